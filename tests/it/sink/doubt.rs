//! What was sent and got no answer, long ago: whether it is sent again.

use super::engine::{Store, connection};
use super::{bundle, sealer};
use crate::harness::eventually;
use crate::torture::proxy::{Act, Proxy};
use flowhouse::sink::clickhouse::Sink;
use flowhouse::sink::spool::{self, QUARANTINE, Spool, State};
use flowhouse::sink::{Settings, Snapshot, hop};
use std::path::Path;
use std::time::Duration;

/// A sink with a spool in which doubt is old at once.
struct Running {
    sink: Sink,
    outbox: flowhouse::sink::Outbox,
}

fn run(store: &Store, folder: &Path, url: &str) -> Running {
    let settings = Settings {
        backoff_ms: 1,
        backoff_max_ms: 20,
        ..Default::default()
    };
    let doubt = spool::Settings {
        in_doubt_age_max_s: 0,
        ..Default::default()
    };
    let (outbox, inbox) = hop(settings.queue_max);
    let opened = Spool::open(folder, &doubt, inbox.stats()).expect("a spool");
    let sink = Sink::start_held(inbox, &settings, &doubt, Some(opened)).expect("started");
    sink.release(&connection(&store.process, url))
        .expect("released");
    Running { sink, outbox }
}

impl Running {
    /// Until every section has an end.
    fn finish(self) -> Snapshot {
        let stats = self.sink.stats().clone();
        eventually("nothing is left", || stats.snapshot().spool.files == 0);
        self.stop(LONG)
    }

    fn stop(self, grace: Duration) -> Snapshot {
        drop(self.outbox);
        self.sink.stop(grace)
    }
}

const LONG: Duration = Duration::from_secs(120);

/// Bundles of 700 rows whose usage the store takes without an answer; the spool they are left in, and the proxy.
fn left_in_doubt(store: &Store, folder: &Path, bundles: usize) -> (Running, Proxy) {
    // tokens of a second call have to be others
    let mut sealer = sealer(u128::from(store.number("SELECT count() AS x FROM flows")));
    let address = store.process.url.trim_start_matches("http://");
    let proxy = Proxy::start(address, |_, _| Act::Pass);
    let running = run(store, folder, &proxy.url);
    eventually("it is known how far the table has come", || {
        let marks = std::fs::read_to_string(folder.join("marks")).unwrap_or_default();
        marks.contains("blocks usage_1m")
    });
    proxy.script(|_, table| match table {
        "usage_1m" => Act::CutReply,
        _ => Act::Pass,
    });
    let now_ns = store.now_ns();
    for _ in 0..bundles {
        running.outbox.send(bundle(&mut sealer, 700, now_ns));
    }
    let stats = running.sink.stats().clone();
    eventually("they are in doubt", || {
        let now = stats.snapshot();
        now.spool.in_doubt > 0 && now.rows_acknowledged == 700 * bundles as u64
    });
    eventually("and sent once more", || proxy.faults() > 5);
    (running, proxy)
}

/// Blocks that somebody else writes into `usage_1m`, of no bytes.
fn others_write(store: &Store, blocks: u64) {
    for n in 0..blocks {
        let sql = format!(
            "INSERT INTO usage_1m (bytes) SETTINGS insert_deduplication_token = 'other {n}' SELECT 0"
        );
        store.run(&sql);
    }
}

fn usage(store: &Store) -> [u64; 3] {
    ["usage_1m", "usage_5m", "usage_1h"]
        .map(|t| store.number(&format!("SELECT sum(bytes) AS x FROM {t}")))
}

/// As long as the store was away, and whatever the clock says: it forgets by what is written.
#[test]
fn usage_that_is_long_in_doubt_is_sent_again_while_the_store_remembers_it() {
    let store = Store::start();
    let folder = tempfile::tempdir().expect("folder");
    let (running, proxy) = left_in_doubt(&store, folder.path(), 3);
    others_write(&store, 20);
    proxy.script(|_, _| Act::Pass);
    let end = running.finish();
    assert_eq!((end.rows_open, end.spool.quarantined), (0, 0), "{end:?}");
    assert_eq!(usage(&store), [3 * 70_000; 3]);
}

#[test]
fn usage_in_doubt_is_kept_aside_once_the_store_may_have_forgotten_it() {
    let store = Store::start();
    store.run("ALTER TABLE usage_1m MODIFY SETTING non_replicated_deduplication_window = 30");
    let folder = tempfile::tempdir().expect("folder");
    let (running, proxy) = left_in_doubt(&store, folder.path(), 1);
    // each repetition takes a number of a block, too
    others_write(&store, 40);
    proxy.script(|_, _| Act::Pass);
    let end = running.finish();
    assert_eq!((end.rows_open, end.spool.quarantined), (0, 1), "{end:?}");
    assert_eq!(usage(&store), [70_000; 3]);
    let aside = spool::files(&folder.path().join(QUARANTINE));
    let found = spool::read_file(&aside[0].0, 0).expect("sound");
    assert_eq!(found.slots[0].state, State::Sent);
    assert!(found.may_be_there(0));
    let note = &found.header.note;
    assert!(note.contains("remembers the tokens of 30"), "{note}");
}

/// A host that was off: what the process knew is on disk.
#[test]
fn doubt_is_weighed_after_a_restart_by_what_the_process_before_knew() {
    let store = Store::start();
    for known in [true, false] {
        let folder = tempfile::tempdir().expect("folder");
        let before = usage(&store)[0];
        let (running, _proxy) = left_in_doubt(&store, folder.path(), 1);
        let end = running.stop(Duration::ZERO);
        assert_eq!(end.rows_open, 0, "flows are there");
        assert_eq!(spool::files(folder.path()).len(), 1);
        if !known {
            std::fs::remove_file(folder.path().join("marks")).expect("there");
        }
        // a process that has ended holds nothing
        eventually("the spool is free", || !spool::is_taken(folder.path()));
        let running = run(&store, folder.path(), &store.process.url);
        let end = running.finish();
        assert_eq!(end.spool.quarantined, u64::from(!known), "{end:?}");
        assert_eq!(usage(&store), [before + 70_000; 3], "once");
    }
}
