//! Other people's exporters, softflowd and pmacctd of Debian, send a capture of known traffic over UDP to a collector with
//! its embedded store. What SQL says is what was in the capture.

use crate::harness::{Collector, Sql, assert_laws, directory, embedded, eventually, run, total};
use crate::traffic::{Truth, capture};
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

/// A collector, its store and a capture.
struct Scene {
    dir: tempfile::TempDir,
    collector: Collector,
    sql: Sql,
    pcap: PathBuf,
    v4: Truth,
    v6: Truth,
}

impl Scene {
    fn start() -> Scene {
        let dir = directory();
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .expect("a clock");
        let (file, v4, v6) = capture(now.as_secs() as u32 - 30, CONVERSATIONS);
        let pcap = dir.path().join("traffic.pcap");
        std::fs::write(&pcap, file).expect("capture written");
        let config = format!(
            "[receive]\nlisteners = [\"127.0.0.1:0\"]\n{}",
            embedded(dir.path())
        );
        let collector = Collector::start(dir.path(), &config);
        let store = collector.store.clone().expect("it started a store");
        let sql = Sql::new(&store, &dir.path().join("store"));
        Scene {
            dir,
            collector,
            sql,
            pcap,
            v4,
            v6,
        }
    }

    /// Rows, packets and bytes in the store.
    fn stored(&self) -> [u64; 3] {
        let sums = self
            .sql
            .numbers("SELECT count(), sum(packets), sum(bytes) FROM flows");
        [sums[0], sums[1], sums[2]]
    }

    /// Lets an exporter run to its end and asserts that exactly `want` was added.
    fn expect(&self, what: &str, want: &Truth, export: impl FnOnce(SocketAddr)) {
        // before the first rows the tables may not be there yet
        eventually("the schema", || self.collector.page("/readyz").0 == 200);
        let before = self.stored();
        export(self.collector.udp[0]);
        self.collector.settle(before[0] + want.flows);
        let after = self.stored();
        let gained = [0, 1, 2].map(|i| after[i] - before[i]);
        assert_eq!(gained, [want.flows, want.packets, want.bytes], "{what}");
    }

    /// Usage equals the flows, nothing was lost anywhere, the laws hold.
    fn finish(self) -> serde_json::Value {
        let flows = self.stored();
        let usage = "SELECT sum(flows), sum(packets), sum(bytes) FROM usage_once";
        eventually("usage equals flows", || self.sql.numbers(usage) == flows);
        assert_eq!(
            self.collector
                .metric("flowhouse_receive_kernel_drops_total"),
            0.0
        );
        let ledger = self.collector.stop();
        assert_laws(&ledger);
        assert_eq!(total(&ledger, "rows"), flows[0]);
        for quiet in [
            "datagrams_rejected_version",
            "datagrams_rejected_short",
            "datagrams_rejected_header",
            "sets_rejected_length",
            "sets_rejected_template",
            "sets_rejected_record",
            "sets_rejected_id",
            "sets_expired_template",
            "sequence_gaps",
            "sequence_reordered",
            "sample_gaps",
            "fields_malformed",
            "times_impossible",
            "rows_lost_shutdown",
        ] {
            assert_eq!(total(&ledger, quiet), 0, "{quiet}");
        }
        ledger
    }

    fn softflowd(&self, to: SocketAddr, arguments: &[&str]) {
        let file = |name: &str| self.dir.path().join(name);
        let mut command = program("softflowd");
        command
            .arg("-r")
            .arg(&self.pcap)
            .args(["-n", &to.to_string(), "-d", "-a"]);
        command.arg("-c").arg(file("softflowd.ctl"));
        command.arg("-p").arg(file("softflowd.pid"));
        run(command.args(arguments));
    }

    fn pmacctd(&self, plugin: &str) {
        let config = self.dir.path().join("pmacctd.conf");
        let capture = self.pcap.display();
        let text = format!("daemonize: false\npcap_savefile: {capture}\n{plugin}");
        std::fs::write(&config, text).expect("configuration written");
        run(program("pmacctd")
            .arg("-f")
            .arg(&config)
            .current_dir(self.dir.path()));
    }
}

#[test]
fn softflowd_netflow_5_9_and_ipfix() {
    let scene = Scene::start();
    let all = scene.v4.and(&scene.v6);
    for (version, want) in [("5", &scene.v4), ("9", &all), ("10", &all)] {
        scene.expect(&format!("softflowd -v {version}"), want, |to| {
            scene.softflowd(to, &["-v", version]);
        });
    }
    scene.finish();
}

#[test]
fn softflowd_tells_its_sampling() {
    let scene = Scene::start();
    let config = ["-v", "9", "-s", "5"];
    eventually("the schema", || scene.collector.page("/readyz").0 == 200);
    scene.softflowd(scene.collector.udp[0], &config);
    let all = scene.v4.and(&scene.v6);
    eventually("all packets are estimated", || {
        scene.sql.numbers("SELECT sum(est_packets) FROM flows") == [all.packets]
    });
    let how = "SELECT DISTINCT sampling_interval, sampling_source FROM flows";
    assert_eq!(scene.sql.rows(how), [["5", "options"]]);
    scene.finish();
}

#[test]
fn pmacctd_netflow_5_9_and_ipfix() {
    let scene = Scene::start();
    let all = scene.v4.and(&scene.v6);
    for (version, want) in [("5", &scene.v4), ("9", &all), ("10", &all)] {
        scene.expect(&format!("nfprobe, version {version}"), want, |to| {
            scene.pmacctd(&format!(
                "aggregate: src_host, dst_host, src_port, dst_port, proto, tos\nplugins: nfprobe[n]\n\
                 nfprobe_receiver[n]: {to}\nnfprobe_version[n]: {version}\n"
            ));
        });
    }
    scene.finish();
}

#[test]
fn pmacctd_sflow_of_every_packet_and_of_one_in_four() {
    let scene = Scene::start();
    let all = scene.v4.and(&scene.v6);
    let each = Truth {
        flows: all.packets,
        ..all.clone()
    };
    let plugin = |to: SocketAddr, rate: u32| {
        format!(
            "plugins: sfprobe[s]\nsfprobe_receiver[s]: {to}\nsfprobe_agentip[s]: 192.0.2.77\nsampling_rate[s]: {rate}\n"
        )
    };
    scene.expect("every packet", &each, |to| scene.pmacctd(&plugin(to, 1)));

    // chance picks the samples: what was sent is read on its way
    let relay = Relay::start(scene.collector.udp[0]);
    let before = scene.stored();
    scene.pmacctd(&plugin(relay.address, 4));
    let samples = relay.stop();
    assert!(samples > 0 && samples < all.packets, "{samples} samples");
    scene.collector.settle(before[0] + samples);
    let after = scene.stored();
    assert_eq!(
        [after[0] - before[0], after[1] - before[1]],
        [samples, samples]
    );
    let sampled = "SELECT count(), sum(est_packets), any(IPv6NumToString(exporter)) FROM flows WHERE sampling_interval = 4";
    let want = [
        samples.to_string(),
        (4 * samples).to_string(),
        "::ffff:192.0.2.77".into(),
    ];
    assert_eq!(scene.sql.rows(sampled), [want]);
    let ledger = scene.finish();
    assert_eq!(total(&ledger, "records_flow"), all.packets + samples);
}

/// Passes sFlow datagrams on and counts the flow samples in them.
struct Relay {
    address: SocketAddr,
    thread: std::thread::JoinHandle<u64>,
}

impl Relay {
    fn start(to: SocketAddr) -> Relay {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("address");
        let thread = std::thread::spawn(move || {
            let (mut buffer, mut samples) = ([0; 65_535], 0);
            loop {
                let length = socket.recv(&mut buffer).expect("received");
                if length == 0 {
                    return samples;
                }
                samples += flow_samples(&buffer[..length]);
                socket.send_to(&buffer[..length], to).expect("passed on");
            }
        });
        Relay { address, thread }
    }

    /// An empty datagram ends it, behind all others.
    fn stop(self) -> u64 {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.send_to(&[], self.address).expect("sent");
        self.thread.join().expect("it ends")
    }
}

/// Flow samples (format 1) in an sFlow datagram of an IPv4 agent: a 28-byte header, then format, length and body of each.
fn flow_samples(datagram: &[u8]) -> u64 {
    let word = |at: usize| u32::from_be_bytes(datagram[at..at + 4].try_into().expect("four bytes"));
    let (mut at, mut samples) = (28, 0);
    for _ in 0..word(24) {
        samples += u64::from(word(at) == 1);
        at += 8 + word(at + 4) as usize;
    }
    samples
}

/// A program of Debian that lives where a user's PATH does not look.
fn program(name: &str) -> Command {
    let path = Path::new("/usr/sbin").join(name);
    assert!(
        path.exists(),
        "{} is missing; `make test` installs it",
        path.display()
    );
    Command::new(path)
}

/// Conversations of the capture: about as many packets, times ten, as a test has patience for.
const CONVERSATIONS: u16 = 120;
