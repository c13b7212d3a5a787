//! The sections of the page, in their order.

use super::figures::*;
use super::page::{Cell, rate, section};
use super::period::stamp;
use super::terminal::{certainty, dscp, hours, part, speed};
use super::{plot, share_of};
use crate::cli::text::{self, escaped};

/// All sections; those without anything to tell are empty.
pub fn all(report: &Report) -> Vec<String> {
    let sections = [
        over,
        under,
        course,
        plots,
        links,
        budgets,
        applications,
        proportion,
        misplaced,
        remarked,
        unknown,
        trust,
    ];
    sections.iter().map(|s| s(report)).collect()
}

const FLAGGED: &[&str] = &[
    "link",
    "direction",
    "speed",
    "95th",
    "of the speed",
    "±",
    "peak",
    "of the speed",
    "time over",
    "sure",
];

fn flagged(f: &Flagged) -> Vec<Cell> {
    vec![
        Cell::Link(f.name.clone()),
        Cell::Text(f.direction.clone()),
        Cell::Number(speed(f.speed)),
        rate(f.p95.bits_per_second),
        Cell::Bar(f.p95.utilisation),
        Cell::Number(certainty(&f.certainty)),
        rate(f.peak.bits_per_second),
        Cell::Bar(f.peak.utilisation),
        Cell::Number(hours(f.samples_over)),
        Cell::Mark(f.sure(), !f.clear),
    ]
}

fn over(report: &Report) -> String {
    let lead = format!(
        "95th percentile at or above {} % of the speed.",
        report.over_percent
    );
    let over = section(
        "Over-used links",
        &lead,
        FLAGGED,
        &report.over_used,
        flagged,
    );
    let lead =
        "A wrong speed, doubled export or a wrong sampling interval: these numbers cannot be.";
    over + &section(
        "More than the link can carry",
        lead,
        FLAGGED,
        &report.impossible,
        flagged,
    )
}

fn under(report: &Report) -> String {
    let lead = format!(
        "95th percentile below {} % of the speed in both directions; the fuller one is shown.",
        report.under_percent
    );
    section(
        "Under-used links",
        &lead,
        FLAGGED,
        &report.under_used,
        flagged,
    )
}

fn unknown(report: &Report) -> String {
    let lead = "Nothing can be said about their utilisation: give the speed in [[enrich.interfaces]], or let the exporter or SNMP tell it.";
    let header = ["link", "direction", "95th", "±", "peak"];
    let out = section(
        "Links of unknown speed",
        lead,
        &header,
        &report.unknown_speed,
        |f| {
            vec![
                Cell::Link(f.name.clone()),
                Cell::Text(f.direction.clone()),
                rate(f.p95.bits_per_second),
                Cell::Number(certainty(&f.certainty)),
                rate(f.peak.bits_per_second),
            ]
        },
    );
    let lead = "Unused, or export is not switched on there.";
    out + &section(
        "Interfaces without a flow",
        lead,
        &["interface", "speed"],
        &report.silent,
        |s| vec![Cell::Link(s.name.clone()), Cell::Number(speed(s.speed))],
    )
}

fn course(report: &Report) -> String {
    let plot = plot::stacked(&report.course, report.from);
    format!(
        "<section><h2>Applications over time</h2><p class=\"dim\">Each byte once; averages of {} minutes.</p>{plot}</section>",
        report.course.step / 60
    )
}

fn links(report: &Report) -> String {
    let all: Vec<(&Link, &Side)> = report
        .links
        .iter()
        .flat_map(|l| l.sides.iter().map(move |s| (l, s)))
        .collect();
    let header = [
        "link",
        "direction",
        "speed",
        "average",
        "95th",
        "of the speed",
        "peak",
        "of the speed",
        "at",
        "busy hour",
        "at",
        "heard",
        "±",
    ];
    let lead = "By 95th percentile of the speed. Heard is the part of the period in which the exporter was heard.";
    section("Links", lead, &header, &all, |(l, s)| {
        vec![
            Cell::Link(l.name.clone()),
            Cell::Text(s.direction.clone()),
            Cell::Number(speed(l.speed)),
            rate(s.average.bits_per_second),
            rate(s.p95.bits_per_second),
            Cell::Bar(s.p95.utilisation),
            rate(s.peak.bits_per_second),
            Cell::Bar(s.peak.utilisation),
            Cell::Number(short(s.peak_at)),
            rate(s.busy_hour.bits_per_second),
            Cell::Number(short(s.busy_hour_at)),
            Cell::Number(text::percent(share_of(report, l.samples))),
            Cell::Number(certainty(&s.certainty)),
        ]
    })
}

/// Month, day and time; 0 is never.
fn short(seconds: i64) -> String {
    match seconds {
        0 => "-".into(),
        at => stamp(at).split_off(5),
    }
}

fn budgets(report: &Report) -> String {
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
    all.sort_by(|a, b| {
        b.2.budget_used
            .unwrap_or(0.0)
            .total_cmp(&a.2.budget_used.unwrap_or(0.0))
    });
    let header = [
        "link",
        "direction",
        "class",
        "budget",
        "95th",
        "of the budget",
        "peak",
        "time over",
    ];
    section(
        "Classes with a budget",
        "95th percentile of each class beside what the policy gives it.",
        &header,
        &all,
        |(l, s, c)| {
            vec![
                Cell::Link(l.name.clone()),
                Cell::Text(s.direction.clone()),
                Cell::Text(c.class.clone()),
                rate(c.budget.unwrap_or(0.0)),
                rate(c.p95.bits_per_second),
                Cell::Bar(c.budget_used),
                rate(c.peak.bits_per_second),
                Cell::Number(hours(c.samples_over)),
            ]
        },
    )
}

fn applications(report: &Report) -> String {
    let header = [
        "application",
        "category",
        "relevance",
        "average",
        "bytes",
        "share",
        "of the flows",
        "links",
        "±",
    ];
    section(
        "Applications",
        "Each byte once for an exporter.",
        &header,
        &report.applications,
        |a| {
            vec![
                Cell::Text(a.app.clone()),
                Cell::Text(a.category.clone()),
                Cell::Text(a.relevance.clone()),
                rate(a.bits_per_second),
                Cell::Number(text::bytes(a.bytes as f64)),
                Cell::Number(text::percent(a.share)),
                Cell::Number(text::percent(a.flow_share)),
                Cell::Number(a.links.to_string()),
                Cell::Number(certainty(&a.certainty)),
            ]
        },
    )
}

fn proportion(report: &Report) -> String {
    let header = [
        "link",
        "direction",
        "application",
        "why",
        "bytes",
        "share",
        "median share",
        "of the flows",
    ];
    let lead = "At least 10 % of a side's bytes, and 3 times the median of its shares over all sides, 10 times its share of the flows, or leisure.";
    section(
        "Applications out of proportion",
        lead,
        &header,
        &report.disproportionate,
        |d| {
            vec![
                Cell::Link(d.name.clone()),
                Cell::Text(d.direction.clone()),
                Cell::Text(d.app.clone()),
                Cell::Text(d.reasons.join(", ")),
                Cell::Number(text::bytes(d.bytes as f64)),
                Cell::Number(text::percent(d.share)),
                Cell::Number(text::percent(d.median_share)),
                Cell::Number(text::percent(d.flow_share)),
            ]
        },
    )
}

fn misplaced(report: &Report) -> String {
    let header = [
        "application",
        "category",
        "in class",
        "expected in",
        "policy",
        "most on",
        "side",
        "bytes",
        "of the application",
        "of the class",
    ];
    let lead = "The policy of the interface expects the application's category in other classes.";
    section(
        "Applications in the wrong class",
        lead,
        &header,
        &report.misplaced,
        |m| {
            vec![
                Cell::Text(m.app.clone()),
                Cell::Text(m.category.clone()),
                Cell::Text(m.class.clone()),
                Cell::Text(m.expected.join(", ")),
                Cell::Text(m.policy.clone()),
                Cell::Link(m.most_on.clone()),
                Cell::Text(m.side.clone()),
                Cell::Number(text::bytes(m.bytes as f64)),
                Cell::Number(text::percent(m.share_of_app)),
                Cell::Number(text::percent(m.share_of_class)),
            ]
        },
    )
}

fn remarked(report: &Report) -> String {
    let lead = format!(
        "DSCP before and after the exporter, from raw flows since {} UTC.",
        stamp(report.remarking.from)
    );
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
    section(
        "Changed markings",
        &lead,
        &header,
        &report.remarking.rows,
        |r| {
            vec![
                Cell::Text(r.exporter.clone()),
                Cell::Number(r.in_if.to_string()),
                Cell::Number(r.out_if.to_string()),
                Cell::Text(dscp(r.before)),
                Cell::Text(dscp(r.after)),
                Cell::Text(r.app.clone()),
                Cell::Number(text::bytes(r.bytes as f64)),
                Cell::Number(text::count(r.flows as f64)),
            ]
        },
    )
}

fn plots(report: &Report) -> String {
    let mut out = String::new();
    for link in &report.links {
        let Some(course) = &link.course else { continue };
        let mut apps = String::new();
        for side in &link.sides {
            let list: Vec<String> = side
                .applications
                .iter()
                .map(|a| format!("{} {}", escaped(&a.app), text::percent(a.share)))
                .collect();
            apps += &format!(
                "<p><b>{}</b> {}</p>",
                escaped(&side.direction),
                list.join(", ")
            );
        }
        let billed = match link.billing.egress {
            true => "egress",
            false => "ingress",
        };
        out += &format!(
            "<figure><figcaption>{}<small>{}</small></figcaption><p class=\"dim\">speed {}, 95th percentile {} ({billed}, {} of the speed)</p>{}{apps}</figure>",
            escaped(&link.name.text()),
            escaped(&link.name.description),
            speed(link.speed),
            text::bit_rate(link.billing.bits_per_second),
            part(link.billing.utilisation),
            plot::link(link, course, report.from)
        );
    }
    if out.is_empty() {
        return out;
    }
    let lead = "Ingress above the axis, egress below it; the paler colour is the highest 5 minutes of each step.";
    format!(
        "<section><h2>Links over time</h2><p class=\"dim\">{lead} The first applications of each side with their shares.</p><div class=\"figures\">{out}</div></section>"
    )
}

fn trust(report: &Report) -> String {
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
    section(
        "How far to trust the numbers",
        "What the ledger says of each exporter in the period.",
        &header,
        &report.exporters,
        |t| {
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
            let mut row = vec![
                Cell::Text(t.exporter.clone()),
                Cell::Number(text::percent(share_of(report, t.samples))),
            ];
            row.extend(counts.map(|n| Cell::Number(text::count(n as f64))));
            row
        },
    )
}
