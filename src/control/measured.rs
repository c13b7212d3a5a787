//! Metrics of what interfaces counted themselves.

use super::families::Page;
use super::{Reconciliation, Snmp};

/// How asking exporters goes.
pub(super) fn snmp(page: &mut Page, s: &Snmp, labels_max: usize) {
    let gauges = [
        ("exporters", "Exporters asked over SNMP.", s.exporters),
        (
            "exporters_refused",
            "Exporters that `[snmp.access]` covers and that are not asked, because `snmp.exporters_max` is reached.",
            s.exporters_refused,
        ),
        (
            "breakers_open",
            "Exporters asked more seldom, because they did not answer three times or more.",
            s.open,
        ),
        ("polls_running", "Polls on their way.", s.asked),
        ("interfaces", "Interfaces known by SNMP.", s.interfaces),
    ];
    for (name, help, value) in gauges {
        page.gauge(
            &format!("flowhouse_snmp_{name}"),
            help,
            [(&[][..], value as f64)],
        );
    }
    counts(page, s);
    let up = s.up.iter().take(labels_max);
    let up: Vec<_> = up
        .map(|(e, up)| ([("exporter", e.clone())], f64::from(u8::from(*up))))
        .collect();
    page.gauge(
        "flowhouse_snmp_up",
        "Whether an exporter answered the last time; the first ones by address, at most `control.exporter_labels_max`.",
        up.iter().map(|(l, up)| (&l[..], *up)),
    );
}

/// How flows compare with what interfaces counted.
pub(super) fn reconciliation(page: &mut Page, r: &Reconciliation) {
    let sides: Vec<_> = (r.sides.iter())
        .map(|s| {
            let labels = [
                ("exporter", s.exporter.clone()),
                ("if_index", s.if_index.to_string()),
                ("interface", s.interface.clone()),
                ("direction", s.direction.clone()),
            ];
            (labels, s.ratio)
        })
        .collect();
    page.gauge(
        "flowhouse_reconciliation_ratio",
        "Bytes by flows over bytes that the interface counted, of its latest 5 minutes; the 200 busiest sides.",
        sides.iter().map(|(l, ratio)| (&l[..], *ratio)),
    );
    let diagnoses: Vec<_> = (r.diagnoses.iter())
        .map(|(d, n)| ([("diagnosis", d.clone())], *n as f64))
        .collect();
    page.gauge(
        "flowhouse_reconciliation_sides",
        "Sides of interfaces by what their latest 5 minutes say of their flows.",
        diagnoses.iter().map(|(l, n)| (&l[..], *n)),
    );
    page.counter(
        "flowhouse_reconciliation_failures_total",
        "Times that the store did not say how flows compare with counters.",
        [(&[][..], r.failures as f64)],
    );
    page.gauge(
        "flowhouse_reconciliation_timestamp_seconds",
        "When it said so last; 0: not yet.",
        [(&[][..], r.at_s as f64)],
    );
}

fn counts(page: &mut Page, s: &Snmp) {
    let counters = [
        ("polls", "Polls that gave everything.", s.polls as f64),
        ("poll_seconds", "Time that all polls took.", s.seconds),
        (
            "octet_rows",
            "Rows of interface counters read.",
            s.counters as f64,
        ),
        (
            "octet_rows_dropped",
            "Rows of interface counters given up because the store did not take them in time (`snmp.counters_max`).",
            s.counters_dropped as f64,
        ),
        (
            "interfaces_refused",
            "Interfaces in answers that found no room (`snmp.interfaces_max`).",
            s.interfaces_refused as f64,
        ),
        (
            "columns_full",
            "Columns cut short at `snmp.interfaces_per_exporter_max`.",
            s.columns_full as f64,
        ),
        ("texts_cut", "Names cut at 64 bytes.", s.texts_cut as f64),
        (
            "values_odd",
            "Values of a wrong kind, and rows without an ifIndex.",
            s.values_odd as f64,
        ),
        (
            "restarts",
            "Times that an exporter was found restarted; its counters begin anew.",
            s.restarts as f64,
        ),
    ];
    for (name, help, value) in counters {
        let name = format!("flowhouse_snmp_{name}_total");
        page.counter(&name, help, [(&[][..], value)]);
    }
    let kinds = (s.failures.iter()).map(|(kind, n)| ([("reason", (*kind).to_owned())], *n));
    let kinds: Vec<_> = kinds.collect();
    page.counter(
        "flowhouse_snmp_poll_failures_total",
        "Polls that gave nothing: what was got before the failure is dropped, the last good answer holds.",
        kinds.iter().map(|(l, n)| (&l[..], *n as f64)),
    );
}
