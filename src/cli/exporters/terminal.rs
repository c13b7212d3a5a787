//! Report cards and the list of exporters as text.

use super::advise::vendors;
use super::card::*;
use crate::cli::report::stamp;
use crate::cli::text;
use serde_json::Value;

/// The list.
pub fn list(rows: &[Value], now: i64) -> String {
    let header = [
        "exporter",
        "protocols",
        "heard",
        "domains",
        "templates",
        "datagrams",
        "rows",
        "missing",
        "lost by us",
        "malformed",
        "sampling unknown",
        "clock off",
    ];
    let lines = rows.iter().map(|r| {
        let number = |name: &str| r[name].as_f64().unwrap_or(0.0);
        let count = |name: &str| text::count(number(name));
        let origins = r["origins"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        let heard = match number("heard") as i64 {
            0 => "not in the period".into(),
            t => ago(now - t),
        };
        let unknown = match number("rows") {
            0.0 => "-".into(),
            rows => text::percent(number("sampling_unknown") / rows),
        };
        vec![
            r["exporter"].as_str().unwrap_or_default().to_owned(),
            match origins.collect::<Vec<_>>() {
                none if none.is_empty() => "no rows yet".into(),
                origins => origins.join(", "),
            },
            heard,
            count("domains"),
            count("templates"),
            count("datagrams"),
            count("rows"),
            count("gaps"),
            count("lost"),
            count("rejected"),
            unknown,
            count("clock_skewed"),
        ]
    });
    let table = text::table(&header, 3, lines);
    format!("{table}\n\n`flowhouse exporters show ADDRESS` tells what is wrong and what to change.")
}

/// The card.
pub fn card(card: &Card, now: i64) -> String {
    let mut out = head(card, now);
    let sections = [
        findings(card),
        configuration(card),
        fields(card),
        templates(card),
        sampling(card),
        lives(card),
        quirks(card),
    ];
    for section in sections.iter().filter(|s| !s.is_empty()) {
        out += "\n\n";
        out += section;
    }
    out
}

fn head(card: &Card, now: i64) -> String {
    let mut out = format!("{}: {}", card.exporter, ways(card));
    let count =
        |name: &str| text::count(card.ledger.get(name).and_then(Value::as_f64).unwrap_or(0.0));
    out += &format!(
        "\nledger from {} to {} UTC: {} datagrams, {} rows",
        stamp(card.from),
        stamp(card.to),
        count("datagrams_parsed"),
        count("rows")
    );
    if let Some(t) = card.last_heard {
        out += &format!("; last heard {}", ago(now - t));
    }
    if let Some(collector) = &card.collector {
        let active = collector["last_active_ms"].as_i64().unwrap_or(0) / 1_000;
        out += &format!(
            "\nthe collector on this machine heard it {}",
            ago(now - active)
        );
    }
    if let Some(clock) = &card.clock {
        let side = if clock.median < 0.0 {
            "ahead of"
        } else {
            "behind"
        };
        out += &format!(
            "\nits clock is {} {side} the collector's (90 % of its datagrams came {} to {} after what it says)",
            text::seconds(clock.median.abs()),
            text::seconds(clock.p5),
            text::seconds(clock.p95)
        );
    }
    out += &format!(
        "\n{} interfaces, {} with a name, {} with a speed; {} application names",
        card.interfaces, card.interfaces_named, card.interfaces_fast, card.applications
    );
    if let Some(latest) = card.latest {
        out += &format!(
            "\nwhat follows about rows is from {} of them, up to {} UTC",
            text::count(card.rows as f64),
            stamp(latest)
        );
    }
    out
}

/// How it exports.
fn ways(card: &Card) -> String {
    let mut ways: Vec<String> = card
        .origins
        .iter()
        .take(10)
        .map(|o| {
            let source = if o.source == card.exporter || o.source == "::" {
                String::new()
            } else {
                format!(" from {}", o.source)
            };
            format!("{} (domain {}{source})", o.origin, o.domain)
        })
        .collect();
    if card.origins.len() > 10 {
        ways.push(format!("{} more", card.origins.len() - 10));
    }
    match ways.is_empty() {
        true => "no rows yet".into(),
        false => ways.join(", "),
    }
}

fn findings(card: &Card) -> String {
    if card.findings.is_empty() {
        return "Nothing to change.".into();
    }
    let mut out = "What to change".to_owned();
    for (n, f) in card.findings.iter().enumerate() {
        let weight = match f.weight {
            Weight::Fault => "fault",
            Weight::Warning => "warning",
            Weight::Hint => "hint",
        };
        out += &format!(
            "\n{:>2}. {weight}: {}\n    {}\n    -> {}",
            n + 1,
            text::printable(&f.what),
            f.why,
            f.cure
        );
    }
    out
}

fn configuration(card: &Card) -> String {
    let topics = !card.is_sflow() && card.findings.iter().any(|f| f.topic.is_some());
    let Some(vendor) = card.vendor else {
        return match topics {
            true => format!(
                "For lines of configuration say whose: --vendor {}",
                vendors()
            ),
            false => String::new(),
        };
    };
    let guessed = if card.vendor_guessed {
        ", by the enterprise elements in its templates; another one: --vendor"
    } else {
        ""
    };
    let mut out = format!("Lines for {}{guessed}", vendor.text());
    for lines in &card.configuration {
        let indented = lines.lines.replace('\n', "\n    ");
        out += &format!("\n  {}:\n    {indented}", lines.topic.text());
    }
    if card.configuration.is_empty() {
        String::new()
    } else {
        out
    }
}

fn fields(card: &Card) -> String {
    if card.rows == 0 {
        return String::new();
    }
    let rows = card.fields.iter().map(|f| {
        let cost = if f.share < 0.95 { f.cost } else { "" };
        vec![
            f.field.into(),
            f.elements.into(),
            cost.into(),
            text::percent(f.share),
        ]
    });
    format!(
        "Fields of its rows\n{}",
        text::table(
            &[
                "field",
                "elements",
                "what it costs not to have it",
                "in rows"
            ],
            3,
            rows
        )
    )
}

fn templates(card: &Card) -> String {
    if card.templates.is_empty() {
        return String::new();
    }
    let shown = card.templates.iter().take(TEMPLATES_SHOWN).map(|t| {
        let mut elements = t
            .elements
            .iter()
            .take(30)
            .cloned()
            .collect::<Vec<_>>()
            .join(" ");
        if t.elements.len() > 30 {
            elements += &format!(" and {} more", t.elements.len() - 30);
        }
        vec![
            if t.options { "options" } else { "data" }.into(),
            if t.planned { "plan" } else { "general" }.into(),
            t.missing.join(", "),
            elements,
            t.id.to_string(),
            t.domain.to_string(),
            t.port.to_string(),
            ago(t.age_seconds),
        ]
    });
    let header = [
        "of",
        "decoded by",
        "missing",
        "elements",
        "template",
        "domain",
        "port",
        "learned",
    ];
    // what is long stands last
    let rows: Vec<Vec<String>> = shown
        .map(|mut r| {
            let elements = r.remove(3);
            r.push(elements);
            r
        })
        .collect();
    let mut header = header.to_vec();
    let elements = header.remove(3);
    header.push(elements);
    let mut out = format!("Templates\n{}", text::table(&header, header.len(), rows));
    if card.templates.len() > TEMPLATES_SHOWN {
        out += &format!(
            "\n... and {} more (--json)",
            card.templates.len() - TEMPLATES_SHOWN
        );
    }
    out
}

fn sampling(card: &Card) -> String {
    if card.sampling.is_empty() {
        return String::new();
    }
    let rows = card.sampling.iter().map(|s| {
        let interval = if s.source == "unknown" {
            "?".into()
        } else {
            format!("1 in {}", s.interval)
        };
        vec![s.source.clone(), interval, text::percent(s.share)]
    });
    format!(
        "Sampling\n{}",
        text::table(&["told by", "interval", "of the rows"], 1, rows)
    )
}

fn lives(card: &Card) -> String {
    let Some(lives) = &card.lives else {
        return String::new();
    };
    let most = lives
        .histogram
        .iter()
        .map(|h| h.1)
        .max()
        .unwrap_or(0)
        .max(1);
    let all: u64 = lives.histogram.iter().map(|h| h.1).sum();
    let rows = lives.histogram.iter().filter(|h| h.1 > 0).map(|(edge, n)| {
        let bar = "#".repeat((n * 40).div_ceil(most) as usize);
        vec![
            edge.map_or("longer".into(), |e| format!("below {e} s")),
            bar,
            text::count(*n as f64),
            text::percent(*n as f64 / all.max(1) as f64),
        ]
    });
    let table = text::table(&["life", "", "flows", "share"], 2, rows);
    let timeout = match (lives.active_timeout, lives.concluded_from) {
        (Some(t), Some("end-reason")) => format!(
            "active time-out {t:.0} s: {} flows say that they ended by it",
            lives.timed_out
        ),
        (Some(t), _) => format!("active time-out probably {t:.0} s: the long lives pile up there"),
        _ => "active time-out: cannot be told from the lives".into(),
    };
    format!(
        "How long its flows live (longest {:.0} s)\n{table}\n{timeout}",
        lives.longest
    )
}

fn quirks(card: &Card) -> String {
    if card.quirks.is_empty() {
        return String::new();
    }
    let rows = card.quirks.iter().map(|q| {
        vec![
            q.name.clone(),
            q.meaning.clone(),
            text::count(q.count as f64),
        ]
    });
    format!(
        "Losses and quirks\n{}",
        text::table(&["what", "meaning", "count"], 2, rows)
    )
}

/// How long something is past.
fn ago(seconds: i64) -> String {
    match seconds {
        s if s < 0 => "in the future".into(),
        s if s < 120 => format!("{s} s ago"),
        s if s < 7_200 => format!("{} min ago", s / 60),
        s if s < 172_800 => format!("{} h ago", s / 3_600),
        s => format!("{} d ago", s / 86_400),
    }
}

/// Templates on the terminal.
const TEMPLATES_SHOWN: usize = 20;
