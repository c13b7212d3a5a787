//! What is wrong with an exporter's data, what that does to the numbers, and what to change.

use super::card::{Card, Finding, Lines, Weight};
use super::vendor::{Topic, Vendor};
use crate::ledger::Outcome;
use serde_json::Value;

/// Fills in the findings of a card, and the lines of configuration that they are about.
pub fn advise(card: &mut Card, now: i64) {
    let mut found = vec![];
    for judge in [
        silence, no_rows, sampling, clock, timeout, templates, losses, times, samples, layouts,
    ] {
        judge(card, now, &mut found);
    }
    for judge in [fields, names, version] {
        judge(card, now, &mut found);
    }
    found.sort_by_key(|f| f.weight);
    // the lines are those of NetFlow and IPFIX
    let sflow = card.is_sflow();
    let fits = |t: Topic| !sflow || t == Topic::Clock;
    let topics = |t: &&Topic| fits(**t) && found.iter().any(|f| f.topic == Some(**t));
    if let Some(vendor) = card.vendor {
        let line = |topic: &Topic| Lines {
            topic: *topic,
            lines: vendor.lines(*topic),
        };
        card.configuration = Topic::ALL.iter().filter(topics).map(line).collect();
    }
    card.findings = found;
}

type Found = Vec<Finding>;

fn add(found: &mut Found, weight: Weight, topic: Option<Topic>, [what, why, cure]: [String; 3]) {
    found.push(Finding {
        weight,
        what,
        why,
        cure,
        topic,
    });
}

fn count(card: &Card, outcome: Outcome) -> u64 {
    let n = card.ledger.get(outcome.name());
    n.and_then(Value::as_u64).unwrap_or(0)
}

fn percent(share: f64) -> String {
    crate::cli::text::percent(share)
}

fn silence(card: &Card, now: i64, found: &mut Found) {
    let quiet = card.last_heard.map(|t| now - t);
    let what = match quiet {
        Some(seconds) if seconds <= SILENT_SECONDS => return,
        Some(seconds) => format!("nothing was heard of it for {} minutes", seconds / 60),
        None => "nothing was heard of it in the period".into(),
    };
    let why = "its links have no numbers since then".into();
    let cure = "look whether it exports, whether its datagrams arrive (tcpdump on the collector's port), and whether receive.deny or receive.allow refuses it".into();
    add(found, Weight::Warning, None, [what, why, cure]);
}

/// Something was heard, but no flow.
fn no_rows(card: &Card, _: i64, found: &mut Found) {
    let datagrams = count(card, Outcome::DatagramsParsed);
    let rows = count(card, Outcome::Rows) + count(card, Outcome::RowsAcknowledged);
    if datagrams == 0 || rows + card.rows > 0 {
        return;
    }
    let heard = [
        (Outcome::TemplatesLearned, "templates"),
        (Outcome::RecordsOptions, "options records"),
        (Outcome::RecordsCounters, "counter samples"),
        (Outcome::SetsExpiredTemplate, "sets without their template"),
    ];
    let heard: Vec<String> = (heard.into_iter())
        .map(|(outcome, name)| (count(card, outcome), name))
        .filter(|(n, _)| *n > 0)
        .map(|(n, name)| format!("{n} {name}"))
        .collect();
    let what = format!("{datagrams} datagrams of it had no flow in them");
    let why = match heard.is_empty() {
        true => "its links have no numbers".into(),
        false => format!(
            "its links have no numbers: all that came is {}",
            heard.join(", ")
        ),
    };
    let cure = "bind the flow monitor to its interfaces; where only its interface counters come, switch flow samples on".into();
    add(found, Weight::Fault, None, [what, why, cure]);
}

fn sampling(card: &Card, _: i64, found: &mut Found) {
    let unknown = card.sampling.iter().filter(|s| s.source == "unknown");
    let unknown: f64 = unknown.map(|s| s.share).sum();
    if unknown > 0.0 {
        let what = format!(
            "{} of its rows come without a sampling interval",
            percent(unknown)
        );
        let why = "they count as unsampled: if it samples 1 in N, its bytes are N times too small; the numbers are marked with `?`".into();
        let cure = format!(
            "let it send its sampler in options data, or write what you know into the collector's configuration: [decode.sampling] \"{}\" = 1 where it does not sample",
            card.exporter
        );
        let weight = if unknown > 0.01 {
            Weight::Fault
        } else {
            Weight::Warning
        };
        add(found, weight, Some(Topic::Sampling), [what, why, cure]);
    }
    let refused = count(card, Outcome::SamplingRefused);
    if refused > 0 {
        let what = format!("{refused} sampling intervals above decode.sampling_max");
        let why = "they were not applied: bytes are too small".into();
        let cure = "raise decode.sampling_max if they are right".into();
        add(
            found,
            Weight::Fault,
            Some(Topic::Sampling),
            [what, why, cure],
        );
    }
}

fn clock(card: &Card, _: i64, found: &mut Found) {
    let Some(clock) = &card.clock else { return };
    let skewed = count(card, Outcome::ClockSkewed);
    if clock.median.abs() <= CLOCK_SECONDS && skewed == 0 {
        return;
    }
    let behind = if clock.median >= 0.0 {
        "behind"
    } else {
        "ahead of"
    };
    let what = format!(
        "its clock is {} {behind} the collector's",
        crate::cli::text::seconds(clock.median.abs())
    );
    let why = match skewed {
        0 => "bytes are booked to other minutes than those in which they flowed".to_owned(),
        n => format!(
            "{n} datagrams were off by more than decode.clock_skew_max_s: their times were corrected by the time of receipt"
        ),
    };
    let weight = if skewed > 0 {
        Weight::Fault
    } else {
        Weight::Warning
    };
    let cure = "let it and the collector follow the same NTP servers".into();
    add(found, weight, Some(Topic::Clock), [what, why, cure]);
}

fn timeout(card: &Card, _: i64, found: &mut Found) {
    let Some(lives) = &card.lives else { return };
    let (weight, what) = match lives.active_timeout {
        Some(t) if t > TIMEOUT_SECONDS => {
            let what = format!("its active time-out looks like {t:.0} s");
            (Weight::Warning, what)
        }
        None if lives.longest > 2.0 * TIMEOUT_SECONDS => {
            let what = format!("flows of up to {:.0} s come in one piece", lives.longest);
            (Weight::Hint, what)
        }
        _ => return,
    };
    let why = "a long flow is told only when it ends or times out: until then the latest minutes are too low, and are corrected late".into();
    let cure = "set the active time-out to 60 s, the inactive one to 15 s".into();
    add(found, weight, Some(Topic::Timeouts), [what, why, cure]);
}

fn templates(card: &Card, _: i64, found: &mut Found) {
    let expired = count(card, Outcome::SetsExpiredTemplate);
    if expired > 0 {
        let what = format!("{expired} sets never met their template");
        let why = "their records are lost".into();
        let cure = "let it send its templates every 60 s".into();
        add(
            found,
            Weight::Fault,
            Some(Topic::Templates),
            [what, why, cure],
        );
    }
    let late = count(card, Outcome::SetsDecodedLate);
    if expired == 0 && late > 0 {
        let what = format!("{late} sets waited for their template");
        let why = "nothing is lost, their rows came late".into();
        let cure = "let it send its templates every 60 s".into();
        add(
            found,
            Weight::Hint,
            Some(Topic::Templates),
            [what, why, cure],
        );
    }
    let churning = count(card, Outcome::TemplatesChurning);
    if churning > 0 {
        let what = format!("{churning} changes of template layouts beyond what is sensible");
        let why =
            "records may be decoded by the layout of another one: numbers may be wrong".into();
        let cure = "look whether two exporters share this address and domain (NAT, or two processes with one source id)".into();
        add(found, Weight::Fault, None, [what, why, cure]);
    }
    let fallback = card.quirks.iter().any(|q| q.name == "template_fallback");
    if fallback {
        let what = "it sends templates and data from different ports".to_owned();
        let why =
            "data is decoded with the template of another session, as long as all of them agree"
                .into();
        let cure = "nothing, if it is one device; where several stand behind one address, give them different addresses".into();
        add(found, Weight::Hint, None, [what, why, cure]);
    }
}

fn losses(card: &Card, _: i64, found: &mut Found) {
    let (gaps, restarts) = (
        count(card, Outcome::SequenceGaps),
        count(card, Outcome::SequenceRestarts),
    );
    if gaps > 0 {
        let v9 = card
            .origins
            .iter()
            .any(|o| ["netflow9", "sflow"].contains(&o.origin.as_str()));
        let (unit, of) = match v9 {
            true => ("datagrams", count(card, Outcome::DatagramsParsed)),
            false => ("records", count(card, Outcome::RecordsDecoded)),
        };
        let share = gaps as f64 / (gaps + of).max(1) as f64;
        let what = format!(
            "{gaps} {unit} missing by their sequence numbers: {} of what it sent",
            percent(share)
        );
        let why = "their bytes are missing".into();
        let cure = "compare with flowhouse_receive_kernel_drops_total: where that rises too, give the receive buffer more room or the machine more cores; otherwise they are lost on the way".into();
        let weight = if share > 0.001 {
            Weight::Fault
        } else {
            Weight::Hint
        };
        add(found, weight, None, [what, why, cure]);
    }
    let lost = count(card, Outcome::LostCrash) + count(card, Outcome::LostStopped);
    if lost > 0 {
        let what = format!("{lost} units were sent while the collector was down");
        let why = "their bytes are missing".into();
        let cure = "let a second collector take over, or restart in quiet hours".into();
        add(found, Weight::Hint, None, [what, why, cure]);
    }
    if restarts > RESTARTS_MAX {
        let what = format!("its sequence numbers started anew {restarts} times");
        let why = "what was lost in between nobody can know".into();
        let cure =
            "look whether it restarts, or whether two exporters share this address and domain"
                .into();
        add(found, Weight::Warning, None, [what, why, cure]);
    }
}

fn times(card: &Card, _: i64, found: &mut Found) {
    let impossible = count(card, Outcome::TimesImpossible);
    if impossible > 0 {
        let share = impossible as f64 / count(card, Outcome::Rows).max(1) as f64;
        let what = format!(
            "{} of its rows end before they start, in the future, or are too long",
            percent(share)
        );
        let why = "their bytes are booked to the minute of export".into();
        let cure = "update its software; where its clock jumps, see to NTP".into();
        let weight = if share > 0.01 {
            Weight::Warning
        } else {
            Weight::Hint
        };
        add(found, weight, Some(Topic::Clock), [what, why, cure]);
    }
}

fn samples(card: &Card, _: i64, found: &mut Found) {
    let dropped = count(card, Outcome::SamplesDroppedByExporter);
    if dropped > 0 {
        let what = format!("it dropped {dropped} samples for want of resources");
        let why = "its bytes are too small, most where it has most traffic".into();
        let cure = "sample fewer packets: a larger interval".into();
        add(
            found,
            Weight::Fault,
            Some(Topic::Sampling),
            [what, why, cure],
        );
    }
    let rejected = [
        Outcome::DatagramsRejectedHeader,
        Outcome::DatagramsRejectedShort,
        Outcome::SetsRejectedLength,
        Outcome::SetsRejectedTemplate,
        Outcome::SetsRejectedRecord,
        Outcome::FieldsMalformed,
    ];
    let rejected: u64 = rejected.iter().map(|o| count(card, *o)).sum();
    if rejected > 0 {
        let what = format!("{rejected} datagrams, sets or fields of it are malformed");
        let why = "what they held is missing".into();
        let cure =
            "look at them with `flowhouse inspect` on a capture; report it to the vendor".into();
        add(found, Weight::Warning, None, [what, why, cure]);
    }
}

fn layouts(card: &Card, _: i64, found: &mut Found) {
    for template in card
        .templates
        .iter()
        .filter(|t| !t.missing.is_empty())
        .take(5)
    {
        let what = format!(
            "template {} of domain {} has no {}",
            template.id,
            template.domain,
            template.missing.join(", ")
        );
        let why = "see below what that costs, for the rows that come by it".into();
        let cure = "add them to the record".into();
        add(found, Weight::Hint, Some(Topic::Record), [what, why, cure]);
    }
}

fn fields(card: &Card, _: i64, found: &mut Found) {
    for field in &card.fields {
        let enough = if field.weight == Weight::Hint {
            SOME
        } else {
            MOST
        };
        if card.rows == 0 || field.share >= enough {
            continue;
        }
        let what = match field.share {
            s if s < SOME => format!("no {} (elements {})", field.field, field.elements),
            s => format!(
                "{} in {} of its rows only (elements {})",
                field.field,
                percent(s),
                field.elements
            ),
        };
        let cure = format!("add {} to the record", field.field);
        add(
            found,
            field.weight,
            Some(Topic::Record),
            [what, field.cost.into(), cure],
        );
    }
}

fn names(card: &Card, _: i64, found: &mut Found) {
    let unnamed = card.interfaces.saturating_sub(card.interfaces_named);
    if unnamed > 0 {
        let what = format!(
            "{unnamed} of its {} interfaces have no name",
            card.interfaces
        );
        let why = "reports show their numbers".into();
        let cure = "let it send its interface table in options data, poll it by SNMP, or write them into [[enrich.interfaces]]".into();
        add(found, Weight::Hint, Some(Topic::Names), [what, why, cure]);
    }
    let slow = card.interfaces.saturating_sub(card.interfaces_fast);
    if slow > 0 {
        let what = format!(
            "the speed of {slow} of its {} interfaces is not known",
            card.interfaces
        );
        let why = "their utilisation cannot be told".into();
        let cure = "poll it by SNMP, or write speed_mbit into [[enrich.interfaces]]".into();
        add(
            found,
            Weight::Warning,
            Some(Topic::Names),
            [what, why, cure],
        );
    }
}

fn version(card: &Card, _: i64, found: &mut Found) {
    let old = card
        .origins
        .iter()
        .any(|o| ["netflow5", "netflow7"].contains(&o.origin.as_str()));
    if old {
        let what = "it speaks NetFlow 5 or 7".to_owned();
        let why =
            "no IPv6, no VLANs, AS numbers of 16 bits, no directions, no names, 32-bit counters"
                .into();
        let cure = "let it speak IPFIX or NetFlow 9".into();
        add(
            found,
            Weight::Hint,
            Some(Topic::Templates),
            [what, why, cure],
        );
    }
}

/// What to say where the vendor is not known.
pub fn vendors() -> String {
    use clap::ValueEnum;
    let names = Vendor::value_variants()
        .iter()
        .filter_map(ValueEnum::to_possible_value);
    names
        .map(|v| v.get_name().to_owned())
        .collect::<Vec<_>>()
        .join(", ")
}

/// Longer than this without a datagram is silence.
const SILENT_SECONDS: i64 = 300;
/// A clock may be off by this, the way of the datagram included.
const CLOCK_SECONDS: f64 = 2.0;
/// Longest active time-out that does no harm worth a word.
const TIMEOUT_SECONDS: f64 = 120.0;
/// So many restarts in a period are everyday life.
const RESTARTS_MAX: u64 = 2;
/// A field is there when this share of the rows has it.
const MOST: f64 = 0.95;
/// A field is there at all.
const SOME: f64 = 0.001;

#[cfg(test)]
mod tests {
    use super::super::card::{ClockSeen, Lives, OriginSeen, SamplingSeen};
    use super::*;

    fn findings(change: impl FnOnce(&mut Card)) -> Vec<(Weight, String)> {
        let mut card = Card {
            exporter: "192.0.2.1".into(),
            last_heard: Some(1_000),
            rows: 100,
            ..Card::default()
        };
        change(&mut card);
        advise(&mut card, 1_010);
        card.findings
            .iter()
            .map(|f| (f.weight, f.what.clone()))
            .collect()
    }

    #[test]
    fn a_good_exporter_gets_no_advice() {
        let found = findings(|card| {
            card.interfaces = 2;
            card.interfaces_named = 2;
            card.interfaces_fast = 2;
            card.clock = Some(ClockSeen {
                p5: 0.1,
                median: 0.4,
                p95: 1.1,
            });
            card.lives = Some(Lives {
                active_timeout: Some(60.0),
                ..Lives::default()
            });
            card.ledger.insert("rows".into(), 100.into());
        });
        assert_eq!(found, []);
    }

    #[test]
    fn faults_come_first_and_bring_lines() {
        let mut card = Card {
            exporter: "192.0.2.1".into(),
            vendor: Some(Vendor::CiscoIosXe),
            ..Card::default()
        };
        card.origins.push(OriginSeen {
            origin: "netflow9".into(),
            domain: 0,
            source: String::new(),
            since: 0,
        });
        card.sampling.push(SamplingSeen {
            source: "unknown".into(),
            interval: 1,
            share: 0.5,
        });
        card.lives = Some(Lives {
            active_timeout: Some(1_800.0),
            ..Lives::default()
        });
        card.ledger.insert("sequence_gaps".into(), 10.into());
        card.ledger.insert("datagrams_parsed".into(), 90.into());
        card.ledger.insert("rows".into(), 900.into());
        advise(&mut card, 1_000);
        let told: Vec<&str> = card.findings.iter().map(|f| f.what.as_str()).collect();
        assert!(
            told[0].starts_with("50.0 %")
                && told[1].starts_with("10 datagrams missing by their sequence numbers: 10.0 %"),
            "{told:?}"
        );
        assert!(
            told[2].contains("in the period") && told[3].contains("1800 s"),
            "{told:?}"
        );
        let topics: Vec<Topic> = card.configuration.iter().map(|l| l.topic).collect();
        assert_eq!(topics, [Topic::Timeouts, Topic::Sampling]);
        assert!(
            card.configuration[0]
                .lines
                .contains("cache timeout active 60")
        );
    }
}
