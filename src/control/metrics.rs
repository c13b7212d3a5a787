//! The page `/metrics`: a snapshot in Prometheus's text format.

use super::bandwidth;
use super::captured;
use super::detections;
use super::families::Page;
use super::inventory::exporters;
use super::measured;
use super::{Endpoint, Inventory, Listener, Shard, Sink, Snapshot, Spool};
use crate::ledger::{Outcome, Tally, laws};

/// Renders a snapshot. The first `labels_max` exporters of the inventory have labels of their own, all others are
/// summed up as `other`.
///
/// # Errors
/// When the encoder refuses a family; none of ours is refused.
pub fn render(
    s: &Snapshot,
    inventory: &Inventory,
    labels_max: usize,
) -> Result<String, prometheus::Error> {
    let mut page = Page::default();
    let version = [("version", env!("CARGO_PKG_VERSION").to_owned())];
    page.gauge(
        "flowhouse_build_info",
        "The version that runs; always 1.",
        [(&version[..], 1.0)],
    );
    let ready = f64::from(u8::from(s.not_ready.is_none()));
    page.gauge(
        "flowhouse_ready",
        "Whether rows can be delivered or spooled now.",
        [(&[][..], ready)],
    );
    ledger(&mut page, s);
    by_exporter(&mut page, s, inventory, labels_max);
    bandwidth::classes(&mut page, &s.bandwidth, inventory, labels_max);
    bandwidth::applications(&mut page, &s.bandwidth, inventory.applications());
    receive(&mut page, &s.listeners);
    shards(&mut page, &s.shards);
    captured::interfaces(&mut page, &s.captures);
    captured::files(&mut page, &s.captures);
    captured::meters(&mut page, &s.meters);
    captured::quality(&mut page, &s.quality);
    sink(&mut page, &s.sink);
    page.counter(
        "flowhouse_store_restarts_total",
        "Times that the embedded store ended and was started again; 0 with a store of another's.",
        [(&[][..], s.store_restarts as f64)],
    );
    if let Some(snmp) = &s.snmp {
        measured::snmp(&mut page, snmp, labels_max);
    }
    if let Some(reconciliation) = &s.reconciliation {
        measured::reconciliation(&mut page, reconciliation);
    }
    detections::metrics(&mut page, &s.detections);
    if let Some(signatures) = &s.signatures {
        detections::signatures(&mut page, signatures);
    }
    reloads(&mut page, s.reloads);
    page.text()
}

fn ledger(page: &mut Page, s: &Snapshot) {
    let total = s.book.total();
    for &o in Outcome::ALL {
        let name = format!("flowhouse_ledger_{}_total", o.name());
        page.counter(&name, &help(o), [(&[][..], total.count(o) as f64)]);
    }
    let laws = laws(&total, &s.gauges);
    let label = |name: &str| [("law", name.to_owned())];
    let labels: Vec<_> = laws.iter().map(|l| label(l.name)).collect();
    let rows = |value: fn(&crate::ledger::Law) -> f64| {
        let values = laws.iter().map(value).collect::<Vec<_>>();
        labels.iter().map(|l| &l[..]).zip(values)
    };
    page.gauge(
        "flowhouse_ledger_law_left",
        "Left side of a law of the ledger.",
        rows(|l| l.left as f64),
    );
    page.gauge(
        "flowhouse_ledger_law_right",
        "Right side of a law of the ledger.",
        rows(|l| l.right as f64),
    );
    page.gauge(
        "flowhouse_ledger_law_holds",
        "Whether a law holds: 1 at rest; while data is on its way the sides may differ for a moment.",
        rows(|l| f64::from(u8::from(l.holds()))),
    );
    let gauges = [
        (
            "datagrams_queued",
            "Datagrams between receive and decode.",
            s.gauges.datagrams_queued,
        ),
        (
            "sets_awaiting",
            "Sets that await their template.",
            s.gauges.sets_awaiting,
        ),
        (
            "frames_queued",
            "Frames between a reader and dissecting.",
            s.gauges.frames_queued,
        ),
        (
            "fragments_waiting",
            "Fragments that wait for the rest of their packet.",
            s.gauges.fragments_waiting,
        ),
        (
            "rows_open",
            "Rows open in a shard, queued to the sink, spooled or in flight.",
            s.gauges.rows_open,
        ),
    ];
    for (name, help, value) in gauges {
        let name = format!("flowhouse_ledger_{name}");
        page.gauge(&name, help, [(&[][..], value as f64)]);
    }
}

fn by_exporter(page: &mut Page, s: &Snapshot, inventory: &Inventory, labels_max: usize) {
    // exporters without an account have no label either
    let mut other = Some(s.book.rest().clone()).filter(|t| !t.is_zero());
    let mut own: Vec<(String, Tally)> = Vec::new();
    for (addr, (tally, _)) in exporters(&s.book) {
        if inventory.number(&addr).is_some_and(|n| n < labels_max) {
            own.push((addr.to_string(), tally));
        } else {
            other.get_or_insert_default().merge(&tally);
        }
    }
    own.extend(other.map(|tally| ("other".to_owned(), tally)));
    let labels: Vec<_> = own
        .iter()
        .map(|(name, _)| [("exporter", name.clone())])
        .collect();
    for &o in Outcome::ALL {
        let counts = labels
            .iter()
            .zip(&own)
            .map(|(l, (_, tally))| (&l[..], tally.count(o) as f64));
        let name = format!("flowhouse_exporter_{}_total", o.name());
        let from_zero = RARE.contains(&o);
        page.counter(
            &name,
            &help(o),
            counts.filter(|(_, n)| from_zero || *n > 0.0),
        );
    }
    page.gauge(
        "flowhouse_control_exporters",
        "Exporters seen since the start.",
        [(&[][..], inventory.len() as f64)],
    );
    page.gauge(
        "flowhouse_control_exporters_unlisted",
        "Exporters that /exporters does not list, because it lists as many as it may.",
        [(&[][..], inventory.unlisted() as f64)],
    );
}

fn receive(page: &mut Page, listeners: &[Listener]) {
    // several sockets may share an address
    let labels: Vec<_> = (listeners.iter().enumerate())
        .map(|(n, l)| [("listener", l.address.clone()), ("socket", n.to_string())])
        .collect();
    let rows = |value: fn(&Listener) -> u64| {
        let values = listeners.iter().map(move |l| value(l) as f64);
        labels.iter().map(|l| &l[..]).zip(values)
    };
    page.counter(
        "flowhouse_receive_datagrams_total",
        "Datagrams read.",
        rows(|l| l.datagrams),
    );
    page.counter(
        "flowhouse_receive_bytes_total",
        "Payload bytes read.",
        rows(|l| l.bytes),
    );
    page.counter(
        "flowhouse_receive_kernel_drops_total",
        "Datagrams that the kernel dropped because the receive buffer was full; also seen as sequence gaps.",
        rows(|l| l.kernel_drops),
    );
    page.gauge(
        "flowhouse_receive_buffer_bytes",
        "Receive buffer in force.",
        rows(|l| l.receive_buffer_bytes),
    );
}

fn shards(page: &mut Page, shards: &[Shard]) {
    let labels: Vec<_> = (0..shards.len())
        .map(|n| [("shard", n.to_string())])
        .collect();
    let rows = |value: fn(&Shard) -> f64| {
        let values = shards.iter().map(value).collect::<Vec<_>>();
        labels.iter().map(|l| &l[..]).zip(values)
    };
    page.gauge(
        "flowhouse_shard_queue_batches",
        "Batches of datagrams that wait for the shard.",
        rows(|s| s.queue as f64),
    );
    page.gauge(
        "flowhouse_shard_queue_max_batches",
        "Batches of datagrams that may wait for the shard.",
        rows(|s| s.queue_max as f64),
    );
    page.gauge(
        "flowhouse_shard_sets_awaiting",
        "Sets that await their template.",
        rows(|s| s.sets_awaiting as f64),
    );
    page.gauge(
        "flowhouse_shard_rows_open",
        "Rows not handed to the sink yet.",
        rows(|s| s.rows_open as f64),
    );
    page.counter(
        "flowhouse_shard_bundles_total",
        "Bundles sealed.",
        rows(|s| s.bundles as f64),
    );
    page.counter(
        "flowhouse_shard_records_total",
        "Records decoded.",
        rows(|s| s.records as f64),
    );
    page.counter(
        "flowhouse_shard_busy_seconds_total",
        "Time spent in decoding and what is behind it.",
        rows(|s| s.busy_ns as f64 / 1e9),
    );
    page.gauge(
        "flowhouse_shard_record_seconds",
        "Mean time a record takes since the start, from datagram to sealed row.",
        rows(|s| s.busy_ns as f64 / 1e9 / s.records.max(1) as f64),
    );
}

fn spool(page: &mut Page, s: &Spool) {
    let gauges = [
        ("bytes", "Bytes of the bundle files.", s.bytes as f64),
        ("files", "Bundle files.", s.files as f64),
        (
            "max_bytes",
            "Bytes that bundle files can take: `spool.bytes_max`, or less where the disk has less to spare.",
            s.max_bytes as f64,
        ),
        (
            "max_files",
            "Bundle files that there may be.",
            s.max_files as f64,
        ),
        (
            "oldest_seconds",
            "Age of the oldest bundle that is not delivered.",
            s.oldest_seconds,
        ),
        (
            "in_doubt",
            "Sections that were sent and have no answer.",
            s.in_doubt as f64,
        ),
        (
            "quarantine_files",
            "Files with rows that the store refuses for good.",
            s.quarantined as f64,
        ),
        (
            "corrupt_files",
            "Files set aside because they are damaged.",
            s.corrupt as f64,
        ),
        (
            "failing",
            "Whether the disk refused the last bundle.",
            f64::from(u8::from(s.failing)),
        ),
    ];
    for (name, help, value) in gauges {
        page.gauge(&format!("flowhouse_spool_{name}"), help, [(&[][..], value)]);
    }
    spool_counters(page, s);
}

fn spool_counters(page: &mut Page, s: &Spool) {
    let counters = [
        ("bundles", "Bundles made durable.", s.bundles as f64),
        ("written_bytes", "Bytes made durable.", s.written as f64),
        (
            "positions_forgotten",
            "Sequences that found no room among the positions: what a crash costs of them is not counted.",
            s.forgotten as f64,
        ),
        (
            "commits",
            "Commits; each makes one or several bundles durable.",
            s.commits as f64,
        ),
        (
            "write_errors",
            "Bundles that could not be written.",
            s.write_errors as f64,
        ),
        ("fsyncs", "Waits for the disk.", s.fsyncs as f64),
        (
            "fsync_seconds",
            "Time spent waiting for the disk.",
            s.fsync_seconds,
        ),
    ];
    for (name, help, value) in counters {
        let name = format!("flowhouse_spool_{name}_total");
        page.counter(&name, help, [(&[][..], value)]);
    }
}

fn sink(page: &mut Page, s: &Sink) {
    let none = &[][..];
    page.gauge(
        "flowhouse_sink_queue_bundles",
        "Bundles that wait for the sink.",
        [(none, s.queue as f64)],
    );
    page.gauge(
        "flowhouse_sink_rows_open",
        "Rows queued, encoded, spooled or in flight.",
        [(none, s.rows_open as f64)],
    );
    page.counter(
        "flowhouse_sink_other_rows_shed_total",
        "Rows of other tables than `flows` given up by policy; those of flows are in the ledger.",
        [(none, s.other_rows_shed as f64)],
    );
    page.counter(
        "flowhouse_sink_inserts_total",
        "INSERTs acknowledged.",
        [(none, s.inserts as f64)],
    );
    page.counter(
        "flowhouse_sink_retries_total",
        "Attempts after the first one.",
        [(none, s.retries as f64)],
    );
    page.counter(
        "flowhouse_sink_raw_bytes_total",
        "Bytes of the acknowledged blocks.",
        [(none, s.bytes_raw as f64)],
    );
    page.counter(
        "flowhouse_sink_sent_bytes_total",
        "Bytes of the acknowledged bodies as sent.",
        [(none, s.bytes_sent as f64)],
    );
    let codes: Vec<_> = s.errors.keys().map(|c| [("code", c.clone())]).collect();
    page.counter(
        "flowhouse_sink_insert_errors_total",
        "Failed attempts by the store's code, or a word for what never reached it.",
        codes
            .iter()
            .map(|c| &c[..])
            .zip(s.errors.values().map(|&n| n as f64)),
    );
    page.histogram(
        "flowhouse_sink_insert_duration_seconds",
        "Time that acknowledged INSERTs took.",
        &s.latency,
        s.inserts,
        s.latency_seconds,
    );
    page.gauge(
        "flowhouse_sink_delivering",
        "Whether the store took what it was sent last.",
        [(none, f64::from(u8::from(s.delivering)))],
    );
    if let Some(s) = &s.spool {
        spool(page, s);
    }
    endpoints(page, s);
}

fn endpoints(page: &mut Page, s: &Sink) {
    let labels = |e: &Endpoint| {
        let shard = ("shard", e.shard.to_string());
        [shard, ("endpoint", e.url.clone())]
    };
    let all: Vec<_> = s
        .endpoints
        .iter()
        .map(|e| (labels(e), e.state == "up"))
        .collect();
    page.gauge(
        "flowhouse_sink_endpoint_up",
        "Whether an endpoint of the store answers and takes rows.",
        all.iter().map(|(l, up)| (&l[..], f64::from(u8::from(*up)))),
    );
    let states: Vec<_> = s
        .endpoints
        .iter()
        .map(|e| {
            let [shard, url] = labels(e);
            [shard, url, ("state", e.state.to_owned())]
        })
        .collect();
    page.gauge(
        "flowhouse_sink_endpoint_state",
        "1 for the state of an endpoint: up, down, aside (refused an INSERT lately for a reason of its own), refused \
         (shares no deduplication log with the first of its shard), unknown.",
        states.iter().map(|l| (&l[..], 1.0)),
    );
}

fn reloads(page: &mut Page, r: super::Reloads) {
    let results = [("success", r.succeeded), ("failure", r.failed)];
    let labels = results.map(|(name, _)| [("result", name.to_owned())]);
    page.counter(
        "flowhouse_control_reloads_total",
        "Reloads of the configuration; a failed one changed nothing.",
        labels
            .iter()
            .map(|l| &l[..])
            .zip(results.map(|(_, n)| n as f64)),
    );
    page.gauge(
        "flowhouse_control_reload_successful",
        "0 when the last reload failed: the file is not what is in force.",
        [(&[][..], f64::from(u8::from(!r.last_failed)))],
    );
    page.gauge(
        "flowhouse_control_config_read_timestamp_seconds",
        "When the configuration in force was read.",
        [(&[][..], r.read_at_s as f64)],
    );
}

/// The help of an outcome on one line.
fn help(o: Outcome) -> String {
    o.help().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What alerts wait for of an exporter: there from 0 on, for a counter that begins above it shows no increase. So many series an
/// exporter with labels; the other outcomes appear when they have happened.
const RARE: [Outcome; 12] = [
    Outcome::DatagramsRejectedVersion,
    Outcome::DatagramsRejectedShort,
    Outcome::DatagramsRejectedHeader,
    Outcome::SetsRejectedLength,
    Outcome::SetsRejectedTemplate,
    Outcome::SetsRejectedRecord,
    Outcome::SetsRejectedId,
    Outcome::SetsExpiredTemplate,
    Outcome::TemplatesRefused,
    Outcome::TemplatesChurning,
    Outcome::SequenceGaps,
    Outcome::ClockSkewed,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Book;
    use crate::model::Addr;

    fn snapshot(exporters: u8) -> Snapshot {
        let mut book = Book::new(1000);
        for n in 1..=exporters {
            for domain in [0, 7] {
                let account = book.account((Addr::from_v4([10, 0, 0, n]).0, domain));
                account.add(Outcome::DatagramsParsed, 5);
            }
        }
        book.other()
            .add(Outcome::DatagramsReceived, 10 * u64::from(exporters));
        book.other()
            .add(Outcome::DatagramsRouted, 10 * u64::from(exporters));
        Snapshot {
            book,
            ..Snapshot::default()
        }
    }

    fn page(s: &Snapshot, labels_max: usize) -> String {
        let inventory = Inventory::default();
        inventory.observe(&s.book, 0);
        render(s, &inventory, labels_max).expect("renders")
    }

    #[test]
    fn totals_and_exporters_add_up_and_labels_are_bounded() {
        let text = page(&snapshot(5), 2);
        assert!(
            text.contains("\nflowhouse_ledger_datagrams_parsed_total 50\n"),
            "{text}"
        );
        let rows: Vec<&str> = text
            .lines()
            .filter(|l| l.starts_with("flowhouse_exporter_datagrams_parsed_total{"))
            .collect();
        assert_eq!(
            rows,
            [
                "flowhouse_exporter_datagrams_parsed_total{exporter=\"10.0.0.1\"} 10",
                "flowhouse_exporter_datagrams_parsed_total{exporter=\"10.0.0.2\"} 10",
                "flowhouse_exporter_datagrams_parsed_total{exporter=\"other\"} 30",
            ]
        );
    }

    #[test]
    fn what_alerts_wait_for_is_there_before_it_happens() {
        let text = page(&snapshot(3), 2);
        for o in RARE {
            let name = format!("flowhouse_exporter_{}_total", o.name());
            let rows: Vec<&str> = text.lines().filter(|l| l.starts_with(&name)).collect();
            assert_eq!(rows.len(), 3, "{name}: {rows:?}");
            assert!(rows.iter().all(|r| r.ends_with(" 0")), "{rows:?}");
        }
        assert!(!text.contains("flowhouse_exporter_texts_cut_total"));
    }

    #[test]
    fn an_exporter_keeps_its_label_when_others_come() {
        let inventory = Inventory::default();
        let mut book = Book::new(10);
        let mut text = String::new();
        for last in [9, 1] {
            let account = book.account((Addr::from_v4([10, 0, 0, last]).0, 0));
            account.one(Outcome::DatagramsParsed);
            inventory.observe(&book, 0);
            let s = Snapshot {
                book: book.clone(),
                ..Snapshot::default()
            };
            text = render(&s, &inventory, 1).expect("renders");
        }
        assert!(text.contains("{exporter=\"10.0.0.9\"} 1"));
        assert!(text.contains("{exporter=\"other\"} 1"));
        assert!(!text.contains("10.0.0.1"));
    }

    #[test]
    fn a_broken_law_shows() {
        let holds = |s: &Snapshot| -> Vec<bool> {
            let text = page(s, 9);
            let rows = text
                .lines()
                .filter(|l| l.starts_with("flowhouse_ledger_law_holds{"));
            rows.map(|l| l.ends_with(" 1")).collect()
        };
        let mut s = snapshot(3);
        let all = holds(&s);
        assert!(all.len() > 5 && all.iter().all(|h| *h), "{all:?}");
        s.gauges.datagrams_queued = 1;
        assert_eq!(holds(&s).iter().filter(|h| !**h).count(), 1);
        let text = page(&s, 9);
        let name = "law=\"datagrams routed = parsed + rejected + queued\"";
        assert!(text.contains(&format!("law_left{{{name}}} 30\n")), "{text}");
        assert!(text.contains(&format!("law_right{{{name}}} 31\n")));
    }

    #[test]
    fn latency_is_cumulative() {
        let mut s = snapshot(1);
        s.sink.latency = vec![(0.1, 3), (1.0, 4)];
        s.sink.inserts = 9;
        let text = page(&s, 9);
        let bucket = |le: &str, n: u64| format!("seconds_bucket{{le=\"{le}\"}} {n}\n");
        for row in [bucket("0.1", 3), bucket("1", 7), bucket("+Inf", 9)] {
            assert!(text.contains(&row), "{row}{text}");
        }
    }
}
