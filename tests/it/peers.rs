//! Other people's exporters, softflowd and pmacctd of Debian, send a capture of known traffic over UDP to a collector with
//! its embedded store. What SQL says is what was in the capture.

use crate::harness::{Collector, Sql, assert_laws, directory, embedded, eventually, run, total};
use crate::traffic::{Truth, capture};
use flowhouse::generate::sender::clock_ms;
use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A collector, its store and a capture.
struct Scene {
    dir: tempfile::TempDir,
    collector: Collector,
    sql: Sql,
    pcap: PathBuf,
    v4: Truth,
    v6: Truth,
    /// Units missing by sequence numbers; `None` where the exporter's numbers cannot be followed.
    gaps: Option<u64>,
}

impl Scene {
    fn start() -> Scene {
        let dir = directory();
        let now = (clock_ms() / 1_000) as u32;
        let (file, v4, v6) = capture(now - 30, CONVERSATIONS);
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
            gaps: Some(0),
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
        eventually("the schema", || {
            self.collector.metric("flowhouse_sink_delivering") == 1.0
        });
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
        let usage =
            "SELECT sum(flows), sum(packets), sum(bytes) FROM usage_1m WHERE direction = 'ingress'";
        eventually("usage equals flows", || self.sql.numbers(usage) == flows);
        assert_eq!(
            self.collector
                .metric("flowhouse_receive_kernel_drops_total"),
            0.0
        );
        let ledger = self.collector.stop();
        assert_laws(&ledger);
        assert_eq!(total(&ledger, "rows"), flows[0]);
        if let Some(gaps) = self.gaps {
            assert_eq!(total(&ledger, "sequence_gaps"), gaps);
            assert_eq!(total(&ledger, "sequence_reordered"), 0);
        }
        if self.gaps == Some(0) {
            assert_eq!(total(&ledger, "sample_gaps"), 0);
        }
        for quiet in [
            "datagrams_rejected_version",
            "datagrams_rejected_short",
            "datagrams_rejected_header",
            "sets_rejected_length",
            "sets_rejected_template",
            "sets_rejected_record",
            "sets_rejected_id",
            "sets_expired_template",
            "fields_malformed",
            "times_impossible",
            "rows_lost_shutdown",
        ] {
            assert_eq!(total(&ledger, quiet), 0, "{quiet}");
        }
        ledger
    }

    /// Runs softflowd and returns how many records it says it has sent.
    fn softflowd(&self, to: SocketAddr, arguments: &[&str]) -> u64 {
        let mut command = program("softflowd");
        command
            .arg("-r")
            .arg(&self.pcap)
            .args(["-n", &to.to_string()]);
        // with a control socket it would stay at the end of the file
        command.args(["-d", "-c", "none", "-p"]);
        command.arg(self.dir.path().join("softflowd.pid"));
        let said = run(command.args(arguments));
        let records = said
            .split_once(" records)")
            .and_then(|(before, _)| before.rsplit_once('('));
        records
            .and_then(|(_, n)| n.parse().ok())
            .unwrap_or_else(|| panic!("{said}"))
    }

    fn pmacctd(&self, plugin: &str) {
        let config = self.dir.path().join("pmacctd.conf");
        let capture = self.pcap.display();
        let text = format!("daemonize: false\npcap_savefile: {capture}\n{plugin}");
        std::fs::write(&config, text).expect("configuration written");
        let mut command = program("pmacctd");
        command.arg("-f").arg(&config).current_dir(self.dir.path());
        // when its plugin ends before it does, it says so with status 1
        let out = command.output().expect("pmacctd runs");
        assert!(out.status.code().is_some(), "pmacctd: {}", out.status);
    }
}

#[test]
fn softflowd_netflow_5_9_and_ipfix() {
    let mut scene = Scene::start();
    // the sequence of softflowd's IPFIX counts the records of its own message, and leaves options data out
    scene.gaps = None;
    let all = scene.v4.and(&scene.v6);
    for (version, want) in [("5", &scene.v4), ("9", &all), ("10", &all)] {
        scene.expect(&format!("softflowd -v {version}"), want, |to| {
            assert_eq!(scene.softflowd(to, &["-v", version]), want.flows);
        });
    }
    scene.finish();
}

/// What softflowd exports of a conversation, and what our own meter makes of the same packets.
#[test]
fn softflowd_and_our_meter_see_the_same() {
    let scene = Scene::start();
    let all = scene.v4.and(&scene.v6);
    scene.expect("softflowd -v 9", &all, |to| {
        scene.softflowd(to, &["-v", "9"]);
    });
    let exported = crate::capture::stored(&scene.sql, "netflow9");
    let metered = crate::capture::replayed(scene.dir.path(), &scene.pcap);
    // names of applications apart: ours hears what is said, softflowd's rows have ports
    let ends = |rows: crate::capture::Rows| -> crate::capture::Rows {
        let cut = |key: String| {
            key.rsplit_once(' ')
                .map_or(key.clone(), |(k, _)| k.to_owned())
        };
        rows.into_iter()
            .map(|(key, sums)| (cut(key), sums))
            .collect()
    };
    assert_eq!(ends(exported), ends(metered));
    scene.finish();
}

#[test]
fn softflowd_tells_its_sampling_in_the_header_of_netflow_5() {
    sampled_by_softflowd("5", "header");
}

/// Its options data are about an interface: the one that its records name.
#[test]
fn softflowd_tells_its_sampling_in_options_data_of_netflow_9() {
    sampled_by_softflowd("9", "options");
}

/// One packet in five, of which the collector is told in this way.
fn sampled_by_softflowd(version: &str, source: &str) {
    let scene = Scene::start();
    eventually("the schema", || {
        scene.collector.metric("flowhouse_sink_delivering") == 1.0
    });
    let sent = scene.softflowd(scene.collector.udp[0], &["-v", version, "-s", "5"]);
    scene.collector.settle(sent);
    let [rows, packets, _] = scene.stored();
    assert_eq!(rows, sent);
    let all = scene.v4.packets + scene.v6.packets;
    assert!(packets < all / 4, "{packets} packets of one in five");
    let estimate = "SELECT sum(est_packets) FROM flows";
    assert_eq!(scene.sql.numbers(estimate), [5 * packets]);
    let how = "SELECT DISTINCT sampling_interval, sampling_source FROM flows";
    assert_eq!(scene.sql.rows(how), [["5", source]]);
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
    let mut scene = Scene::start();
    let all = scene.v4.and(&scene.v6);
    // chance picks the samples, and the last ones may stay behind: what was sent is read on its way
    let mut sent = Truth::default();
    for rate in [1, 4] {
        eventually("the schema", || {
            scene.collector.metric("flowhouse_sink_delivering") == 1.0
        });
        let relay = Relay::start(scene.collector.udp[0]);
        scene.pmacctd(&format!(
            "plugins: sfprobe[s]\nsfprobe_receiver[s]: {}\nsfprobe_agentip[s]: 192.0.2.{rate}\nsampling_rate[s]: {rate}\n",
            relay.address
        ));
        let (samples, gaps) = relay.stop();
        // a burst may be more than the socket of the relay holds
        scene.gaps = scene.gaps.map(|before| before + gaps);
        assert!(
            samples.packets > 0 && samples.packets <= all.packets,
            "{samples:?}"
        );
        sent = sent.and(&samples);
        scene.collector.settle(sent.packets);
        assert_eq!(scene.stored(), [sent.packets, sent.packets, sent.bytes]);
        let of_rate = format!(
            "SELECT count(), sum(est_packets), any(IPv6NumToString(exporter)) FROM flows WHERE sampling_interval = {rate}"
        );
        let [n, est] = [samples.packets, samples.packets * rate].map(|n| n.to_string());
        assert_eq!(
            scene.sql.rows(&of_rate),
            [[n, est, format!("::ffff:192.0.2.{rate}")]]
        );
    }
    let ledger = scene.finish();
    assert_eq!(total(&ledger, "records_flow"), sent.packets);
}

/// Passes sFlow datagrams on and counts the flow samples in them, the bytes of the packets that these hold, and
/// what is missing by sequence.
struct Relay {
    address: SocketAddr,
    thread: std::thread::JoinHandle<(Truth, u64)>,
}

impl Relay {
    fn start(to: SocketAddr) -> Relay {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        // the exporter sends a whole file at once: what the relay loses would look like the exporter's gaps
        socket2::SockRef::from(&socket)
            .set_recv_buffer_size(4 << 20)
            .expect("a larger buffer");
        let address = socket.local_addr().expect("address");
        let thread = std::thread::spawn(move || {
            let (mut buffer, mut samples) = ([0; 65_535], Truth::default());
            let (mut next, mut gaps) = (None, 0);
            loop {
                let length = socket.recv(&mut buffer).expect("received");
                if length == 0 {
                    return (samples, gaps);
                }
                let sequence = u32::from_be_bytes(buffer[16..20].try_into().expect("four bytes"));
                gaps += u64::from(sequence - next.unwrap_or(sequence));
                next = Some(sequence + 1);
                samples = samples.and(&flow_samples(&buffer[..length]));
                socket.send_to(&buffer[..length], to).expect("passed on");
            }
        });
        Relay { address, thread }
    }

    /// An empty datagram ends it, behind all others.
    fn stop(self) -> (Truth, u64) {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        socket.send_to(&[], self.address).expect("sent");
        self.thread.join().expect("it ends")
    }
}

/// Flow samples (format 1) in an sFlow datagram of an IPv4 agent: a 28-byte header, then format, length and body of each.
/// The body has 32 bytes, then records; in the sampled header (format 1) Ethernet begins after 16 bytes.
fn flow_samples(datagram: &[u8]) -> Truth {
    let word = |at: usize| u32::from_be_bytes(datagram[at..at + 4].try_into().expect("four bytes"));
    let half = |at: usize| u64::from(u16::from_be_bytes([datagram[at], datagram[at + 1]]));
    let (mut at, mut sum) = (28, Truth::default());
    for _ in 0..word(24) {
        let end = at + 8 + word(at + 4) as usize;
        if word(at) == 1 {
            let mut record = at + 8 + 32;
            while word(record) != 1 {
                record += 8 + word(record + 4) as usize;
            }
            let ethernet = record + 8 + 16;
            sum.packets += 1;
            sum.bytes += match half(ethernet + 12) {
                0x86dd => half(ethernet + 18) + 40,
                _ => half(ethernet + 16),
            };
        }
        at = end;
    }
    sum
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
