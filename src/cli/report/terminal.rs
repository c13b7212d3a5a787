//! A report as aligned tables.

use super::figures::*;
use super::period::{SAMPLE_SECONDS, stamp};
use super::{METHOD, share_of};
use crate::cli::text;

/// The report as text; tables have at most `limit` rows.
pub fn text(report: &Report, limit: usize) -> String {
    let mut out = head(report);
    let mut section = |title: String, table: Option<(Table, usize)>| {
        let Some((table, all)) = table.filter(|t| t.1 > 0) else {
            return;
        };
        out += &format!("\n\n{title}\n{}", text::table(&table.0, table.1, table.2));
        if all > limit {
            out += &format!("\n... and {} more (--limit, --json)", all - limit);
        }
    };
    let over = format!(
        "Over-used links (95th percentile at or above {} % of the speed)",
        report.over_percent
    );
    section(over, flagged(&report.over_used, limit));
    let under = format!(
        "Under-used links (95th percentile below {} % of the speed in both directions)",
        report.under_percent
    );
    section(under, flagged(&report.under_used, limit));
    section(
        "More than the link can carry (wrong speed, doubled export or wrong sampling interval)"
            .into(),
        flagged(&report.impossible, limit),
    );
    section("Links of unknown speed (give it in [[enrich.interfaces]], or let the exporter or SNMP tell it)".into(), flagged(&report.unknown_speed, limit));
    section(
        "Interfaces without a flow (unused, or export is not switched on there)".into(),
        silent(report, limit),
    );
    section("Links".into(), links(report, limit));
    section("Classes with a budget".into(), budgets(report, limit));
    section(
        "Applications (each byte once)".into(),
        applications(report, limit),
    );
    section(
        "Applications out of proportion".into(),
        disproportionate(report, limit),
    );
    section(
        "Applications in classes where the policy does not expect them".into(),
        misplaced(report, limit),
    );
    section(
        format!(
            "Changed markings (raw flows since {} UTC)",
            stamp(report.remarking.from)
        ),
        remarked(report, limit),
    );
    section(
        "Exporters: how far to trust the numbers".into(),
        trust(report, limit),
    );
    out += "\n\nHow the numbers are made";
    for line in METHOD {
        out += &format!("\n- {line}");
    }
    out
}

type Table = (Vec<&'static str>, usize, Vec<Vec<String>>);
type Found = Option<(Table, usize)>;

fn found<T>(
    list: &[T],
    limit: usize,
    left: usize,
    header: &[&'static str],
    row: impl Fn(&T) -> Vec<String>,
) -> Found {
    let rows = list.iter().take(limit).map(row).collect();
    Some(((header.to_vec(), left, rows), list.len()))
}

fn head(report: &Report) -> String {
    let total = &report.total;
    let busy = total.busy_hour.map_or(String::new(), |h| {
        format!(
            "; busy hour {} UTC with {}",
            stamp(h.from),
            text::bit_rate(h.bits_per_second)
        )
    });
    let limited: String = [
        ("exporter", &report.exporter),
        ("interface", &report.interface),
    ]
    .iter()
    .filter_map(|(name, value)| {
        value
            .as_ref()
            .map(|v| format!(", only {name} {}", text::printable(v)))
    })
    .collect();
    let left_out = match report.links_left_out {
        0 => String::new(),
        n => format!(" ({n} more with less traffic are not looked at)"),
    };
    format!(
        "{} to {} UTC: {} samples of 5 minutes, {} links{left_out}{limited}\n{} in {} flows, each byte once; {} on average{busy}; +- {}",
        stamp(report.from),
        stamp(report.to),
        report.samples,
        report.links.len(),
        text::bytes(total.bytes as f64),
        text::count(total.flows as f64),
        text::bit_rate(total.bits_per_second),
        certainty(&total.certainty),
    )
}

/// `exact`, the error that sampling causes, or `?`.
pub(super) fn certainty(c: &Certainty) -> String {
    match (c.sampling, c.relative_error) {
        (Sampling::Exact, _) => "exact".into(),
        (Sampling::Estimated, Some(error)) => text::percent(error),
        _ => "?".into(),
    }
}

/// A part of a speed; `-` where that is not known.
pub(super) fn part(utilisation: Option<f64>) -> String {
    utilisation.map_or("-".into(), text::percent)
}

/// A speed, or that it is not known.
pub(super) fn speed(speed: Option<u64>) -> String {
    speed.map_or("unknown".into(), |s| text::bit_rate(s as f64))
}

/// How long so many samples are.
pub(super) fn hours(samples: u64) -> String {
    let minutes = samples * (SAMPLE_SECONDS as u64 / 60);
    match minutes {
        0 => "-".into(),
        m if m < 60 => format!("{m} min"),
        m => format!("{:.1} h", m as f64 / 60.0),
    }
}

fn link_cells(name: &LinkName) -> Vec<String> {
    let shown = match (name.name.as_str(), name.if_index) {
        ("", 0) => "not told".into(),
        ("", _) => "-".into(),
        (told, _) => told.to_owned(),
    };
    vec![name.exporter.clone(), name.if_index.to_string(), shown]
}

fn flagged(list: &[Flagged], limit: usize) -> Found {
    let header = [
        "exporter",
        "ifIndex",
        "interface",
        "direction",
        "sure",
        "speed",
        "95th",
        "used",
        "+-",
        "peak",
        "peak used",
        "time over",
    ];
    found(list, limit, 5, &header, |f| {
        let mut row = link_cells(&f.name);
        row.extend([
            f.direction.clone(),
            f.sure().into(),
            speed(f.speed),
            text::bit_rate(f.p95.bits_per_second),
            part(f.p95.utilisation),
            certainty(&f.certainty),
            text::bit_rate(f.peak.bits_per_second),
            part(f.peak.utilisation),
            hours(f.samples_over),
        ]);
        row
    })
}

fn silent(report: &Report, limit: usize) -> Found {
    found(
        &report.silent,
        limit,
        4,
        &["exporter", "ifIndex", "interface", "description", "speed"],
        |s| {
            let mut row = link_cells(&s.name);
            row.extend([s.name.description.clone(), speed(s.speed)]);
            row
        },
    )
}

fn links(report: &Report, limit: usize) -> Found {
    let header = [
        "exporter",
        "ifIndex",
        "interface",
        "direction",
        "speed",
        "average",
        "95th",
        "used",
        "peak",
        "used",
        "at (UTC)",
        "busy hour",
        "at (UTC)",
        "heard",
        "+-",
    ];
    let rows = report.links.iter().take(limit).flat_map(|l| {
        l.sides.iter().map(move |s| {
            let mut row = link_cells(&l.name);
            row.extend([s.direction.clone(), speed(l.speed)]);
            row.push(text::bit_rate(s.average.bits_per_second));
            row.extend(rate(&s.p95));
            row.extend(rate(&s.peak));
            row.extend([
                when(s.peak_at),
                text::bit_rate(s.busy_hour.bits_per_second),
                when(s.busy_hour_at),
                text::percent(share_of(report, l.samples)),
                certainty(&s.certainty),
            ]);
            row
        })
    });
    Some(((header.to_vec(), 4, rows.collect()), report.links.len()))
}

fn rate(r: &Rate) -> [String; 2] {
    [text::bit_rate(r.bits_per_second), part(r.utilisation)]
}

fn budgets(report: &Report, limit: usize) -> Found {
    let mut all: Vec<(&Link, &Side, &ClassUse)> = vec![];
    for link in &report.links {
        for side in &link.sides {
            all.extend(
                side.classes
                    .iter()
                    .filter(|c| c.budget.is_some())
                    .map(|c| (link, side, c)),
            );
        }
    }
    let used = |c: &ClassUse| c.budget_used.unwrap_or(0.0);
    all.sort_by(|a, b| used(b.2).total_cmp(&used(a.2)));
    let header = [
        "exporter",
        "ifIndex",
        "interface",
        "direction",
        "class",
        "budget",
        "95th",
        "of budget",
        "of speed",
        "peak",
        "time over",
    ];
    found(&all, limit, 5, &header, |(l, s, c)| {
        let mut row = link_cells(&l.name);
        row.extend([
            s.direction.clone(),
            c.class.clone(),
            text::bit_rate(c.budget.unwrap_or(0.0)),
            text::bit_rate(c.p95.bits_per_second),
            part(c.budget_used),
            part(c.p95.utilisation),
            text::bit_rate(c.peak.bits_per_second),
            hours(c.samples_over),
        ]);
        row
    })
}

fn applications(report: &Report, limit: usize) -> Found {
    let header = [
        "application",
        "category",
        "relevance",
        "average",
        "bytes",
        "share",
        "of flows",
        "links",
        "+-",
    ];
    found(&report.applications, limit, 3, &header, |a| {
        vec![
            a.app.clone(),
            a.category.clone(),
            a.relevance.clone(),
            text::bit_rate(a.bits_per_second),
            text::bytes(a.bytes as f64),
            text::percent(a.share),
            text::percent(a.flow_share),
            a.links.to_string(),
            certainty(&a.certainty),
        ]
    })
}

fn disproportionate(report: &Report, limit: usize) -> Found {
    let header = [
        "exporter",
        "ifIndex",
        "interface",
        "direction",
        "application",
        "why",
        "bytes",
        "share",
        "median",
        "of flows",
    ];
    found(&report.disproportionate, limit, 6, &header, |d| {
        let mut row = link_cells(&d.name);
        row.extend([
            d.direction.clone(),
            d.app.clone(),
            d.reasons.join(", "),
            text::bytes(d.bytes as f64),
            text::percent(d.share),
            text::percent(d.median_share),
            text::percent(d.flow_share),
        ]);
        row
    })
}

/// Day and time; 0 is never.
fn when(seconds: i64) -> String {
    match seconds {
        0 => "-".into(),
        at => stamp(at),
    }
}

fn misplaced(report: &Report, limit: usize) -> Found {
    let header = [
        "policy",
        "application",
        "category",
        "in class",
        "expected in",
        "most on",
        "side",
        "bytes",
        "of the application",
        "of the class",
        "links",
    ];
    found(&report.misplaced, limit, 7, &header, |m| {
        vec![
            m.policy.clone(),
            m.app.clone(),
            m.category.clone(),
            m.class.clone(),
            m.expected.join(", "),
            m.most_on.text(),
            m.side.clone(),
            text::bytes(m.bytes as f64),
            text::percent(m.share_of_app),
            text::percent(m.share_of_class),
            m.links.to_string(),
        ]
    })
}

fn remarked(report: &Report, limit: usize) -> Found {
    let header = [
        "exporter",
        "in",
        "out",
        "before",
        "after",
        "application",
        "bytes",
        "flows",
    ];
    found(&report.remarking.rows, limit, 6, &header, |r| {
        vec![
            r.exporter.clone(),
            r.in_if.to_string(),
            r.out_if.to_string(),
            dscp(r.before),
            dscp(r.after),
            r.app.clone(),
            text::bytes(r.bytes as f64),
            text::count(r.flows as f64),
        ]
    })
}

fn trust(report: &Report, limit: usize) -> Found {
    let header = [
        "exporter",
        "heard",
        "datagrams",
        "rows",
        "missing",
        "lost by us",
        "sampling unknown",
        "clock off",
        "times impossible",
        "sets without template",
        "rows not stored",
    ];
    found(&report.exporters, limit, 1, &header, |t| {
        let mut row = vec![
            t.exporter.clone(),
            text::percent(share_of(report, t.samples)),
        ];
        let counts = [
            t.datagrams,
            t.rows,
            t.sequence_gaps,
            t.lost,
            t.sampling_unknown,
            t.clock_skewed,
            t.times_impossible,
            t.sets_expired,
            t.rows_lost,
        ];
        row.extend(counts.map(|n| text::count(n as f64)));
        row
    })
}

/// `EF (46)`, `AF41 (34)`, `5`.
pub(super) fn dscp(n: u8) -> String {
    let name = match n {
        0 => "DF".into(),
        1 => "LE".into(),
        44 => "VA".into(),
        46 => "EF".into(),
        n if n % 8 == 0 => format!("CS{}", n / 8),
        n if (10..=38).contains(&n) && n % 2 == 0 && n / 8 <= 4 => {
            format!("AF{}{}", n / 8, n % 8 / 2)
        }
        n => return n.to_string(),
    };
    format!("{name} ({n})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_points_have_names() {
        for (n, name) in [
            (0, "DF (0)"),
            (46, "EF (46)"),
            (34, "AF41 (34)"),
            (38, "AF43 (38)"),
            (56, "CS7 (56)"),
            (5, "5"),
            (42, "42"),
        ] {
            assert_eq!(dscp(n), name);
        }
    }

    #[test]
    fn hostile_names_cannot_move_the_cursor() {
        let mut report = Report {
            samples: 1,
            ..Report::default()
        };
        let name = LinkName {
            exporter: "192.0.2.1".into(),
            if_index: 1,
            name: "\u{1b}[2Jeth\u{202e}0\nroot".into(),
            description: String::new(),
        };
        report.silent.push(Silent { name, speed: None });
        let text = text(&report, 5);
        assert!(
            text.contains("[2Jeth")
                && !text.contains('\u{1b}')
                && !text.contains('\u{202e}')
                && !text.contains("\nroot"),
            "{text}"
        );
    }
}
