//! A store, a collector and exporters, each of which may be killed at any time.

use super::books::{self, Equation, audit};
use super::exporters::{Exporters, Sent};
use crate::harness::{self, Collector, PATIENCE, Store, assert_laws, total};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Everything that runs in a torture.
pub struct World {
    dir: tempfile::TempDir,
    pub store: Store,
    pub collector: Option<Collector>,
    pub exporters: Option<Exporters>,
    config: String,
    launcher: Vec<String>,
    /// Whether a collector was killed.
    killed: bool,
}

/// The books after the end; the store still runs.
pub struct Closed {
    pub equation: Equation,
    pub ledger: serde_json::Value,
    pub world: World,
}

impl World {
    /// A store and a collector; `config` is added to its configuration, `[receive]` at its end if at all. `url` is where it finds
    /// the store, when that is not the store itself.
    pub fn start(config: &str, url: impl FnOnce(&Store) -> String) -> World {
        Self::under(harness::directory(), config, url, &[])
    }

    /// The same in a directory that is there, with a program that runs the collector.
    pub fn under(
        dir: tempfile::TempDir,
        config: &str,
        url: impl FnOnce(&Store) -> String,
        launcher: &[&str],
    ) -> World {
        let store = Store::start(dir.path());
        let listen = free_port();
        let batch = match config.contains("[batch]") {
            true => "",
            false => "[batch]\nseal_age_ms = 300\n",
        };
        let receive = match config.contains("[receive]") {
            true => "",
            false => "[receive]\n",
        };
        let config = format!(
            "shutdown_grace_s = 60\n{config}\n{receive}listeners = [\"{listen}\"]\n[shard]\nshards = 2\n{batch}\
             [clickhouse]\nurl = \"{}\"\nkey_file = {:?}\n{NETWORKS}",
            url(&store),
            store.key_file(),
        );
        let mut world = World {
            dir,
            store,
            collector: None,
            exporters: None,
            config,
            launcher: launcher.iter().map(|&word| word.to_owned()).collect(),
            killed: false,
        };
        world.run();
        world.exporters = Some(Exporters::start(listen, RATE));
        world
    }

    /// Starts the collector (again).
    pub fn run(&mut self) {
        let collector = Collector::start_under(self.dir.path(), &self.config, &self.launcher);
        self.collector = Some(collector);
    }

    /// `kill -9` of the collector.
    pub fn kill_collector(&mut self) {
        // dropping it kills it
        self.collector = None;
        self.killed = true;
    }

    /// Changes the rate of the exporters.
    pub fn rate(&self, records: u64) {
        self.exporters.as_ref().expect("they send").rate(records);
    }

    /// The running collector.
    pub fn collector(&self) -> &Collector {
        self.collector.as_ref().expect("it runs")
    }

    /// Waits until this run of the collector has stored so many rows.
    pub fn stored(&self, rows: u64) {
        let is_so = || total(&self.collector().ledger(), "rows_acknowledged") >= rows;
        harness::eventually("rows are stored", is_so);
    }

    /// Waits until the store has rows of every exporter.
    pub fn known(&self) {
        self.stored(1);
        let sql = self.store.sql();
        let exporters = "SELECT uniqExact(exporter) FROM flows";
        harness::eventually("all are known", || sql.numbers(exporters) == [3]);
    }

    /// Waits until it is known how far the tables of sums have come: from then on no doubt about them is kept aside for its age.
    pub fn weighable(&self) {
        let marks = self.path().join("state/spool/marks");
        harness::eventually("it is known how far tables have come", || {
            let text = std::fs::read_to_string(&marks).unwrap_or_default();
            let tables = ["usage_1m", "talkers_1m", "network_usage_1m", "ledger"];
            tables
                .iter()
                .all(|t| text.contains(&format!("blocks {t} ")))
        });
    }

    /// Where everything is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Ends everything in order and reads the books; usage must be that of the flows.
    pub fn finish(self) -> (Equation, serde_json::Value) {
        let closed = self.close();
        closed.assert_usage();
        (closed.equation, closed.ledger)
    }

    /// The same without a look at usage.
    pub fn close(mut self) -> Closed {
        let sent = self.pause();
        self.close_with(sent)
    }

    /// The same after the exporters have ended.
    pub fn close_with(mut self, sent: Vec<Sent>) -> Closed {
        self.settle();
        // for a look at what is wrong
        self.dir
            .disable_cleanup(super::number("FLOWHOUSE_TORTURE_KEEP").is_some());
        let ledger = self.collector.take().expect("it runs").stop();
        assert_laws(&ledger);
        Closed {
            equation: audit(&self.store.sql(), &sent),
            ledger,
            world: self,
        }
    }

    /// Ends the exporters, and waits until everything is where it will stay. Their last datagrams come when there is room
    /// for sure: behind them nothing can be missed unseen.
    pub fn pause(&mut self) -> Vec<Sent> {
        self.rate(0);
        self.settle();
        let sent = self.exporters.take().expect("they send").finish();
        self.settle();
        sent
    }

    /// Waits until nothing is open any more.
    pub fn settle(&self) {
        let mut deadline = Instant::now() + PATIENCE;
        let (mut last, mut quiet) = (serde_json::Value::Null, 0);
        while quiet < 3 {
            assert!(Instant::now() < deadline, "rows stay open: {last:#}");
            std::thread::sleep(Duration::from_millis(100));
            let ledger = self.collector().ledger();
            let of = |ends: &[&str]| {
                let ends = ends.iter().map(|end| total(&ledger, &format!("rows{end}")));
                ends.sum::<u64>()
            };
            let ended = of(&[
                "_acknowledged",
                "_shed",
                "_quarantined",
                "_damaged",
                "_lost_shutdown",
            ]);
            let had = of(&["", "_recovered", "_replayed"]);
            let settled = had == ended && total(&ledger, "rows") == total(&last, "rows")
                // usage and ledger, too
                && self.collector().metric("flowhouse_spool_files") == 0.0;
            quiet = if settled { quiet + 1 } else { 0 };
            if total(&ledger, "rows_acknowledged") > total(&last, "rows_acknowledged") {
                deadline = Instant::now() + PATIENCE;
            }
            last = ledger;
        }
    }
}

impl Closed {
    /// What the table `ledger` says became of rows, once a later process has told what came too late for this one: of rows that
    /// are stored it says that they are.
    pub fn told(&mut self) -> BTreeMap<String, u64> {
        let sql = self.world.store.sql();
        let flows = sql.numbers("SELECT count() FROM flows")[0];
        self.world.run();
        let mut told = BTreeMap::new();
        harness::eventually("the table tells of all rows", || {
            told = books::told(&sql);
            told.get("rows_acknowledged").copied().unwrap_or(0) >= flows
        });
        assert_laws(&self.world.collector.take().expect("it runs").stop());
        println!("told: {told:?}");
        assert_eq!(told["rows_acknowledged"], flows);
        told
    }

    /// Every rollup has the sums of the flows.
    pub fn assert_usage(&self) {
        let sql = self.world.store.sql();
        books::usage(&sql);
        books::talkers(&sql, self.world.killed);
    }
}

/// The store itself, without a proxy.
pub fn direct(store: &Store) -> String {
    format!("http://{}", store.address)
}

fn free_port() -> SocketAddr {
    static COLLECTORS: AtomicU8 = AtomicU8::new(1);
    let address = Ipv4Addr::new(127, 0, 11, COLLECTORS.fetch_add(1, Relaxed));
    let socket = UdpSocket::bind((address, 0)).expect("a free port");
    socket.local_addr().expect("bound")
}

/// Every address is in one of them.
const NETWORKS: &str = "[[enrich.networks.list]]\nprefix = \"0.0.0.0/1\"\nname = \"low\"\n\
    [[enrich.networks.list]]\nprefix = \"128.0.0.0/1\"\nname = \"high\"\n";

/// Flow records a second, all exporters together.
pub const RATE: u64 = 6_000;
