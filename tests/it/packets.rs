//! Every capture of packets in the corpus through `inspect --packets`, held against what tshark says of it; and bent in
//! every way, through dissector and fragments.

use crate::captures::cases;
use crate::harness::{corpus, exe};
use flowhouse::dissect::{Dissected, Dissector, FrameHead, Settings, route};
use flowhouse::ledger::{Gauges, Tally, laws};
use flowhouse::reassemble::fragment::{Added, Fragments};
use flowhouse::reassemble::settings::FragmentSettings;
use flowhouse::receive::{Captures, Frame};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// The lines of one file.
fn inspected(file: &Path) -> Vec<Value> {
    let out = Command::new(exe())
        .args(["inspect", "--packets"])
        .arg(file)
        .output()
        .expect("the binary runs");
    assert!(out.status.success(), "{}: {out:?}", file.display());
    let text = String::from_utf8(out.stdout).expect("text");
    text.lines()
        .map(|l| serde_json::from_str(l).expect("a line of JSON"))
        .collect()
}

/// What of a line contradicts the packet; a field that only one side has is a contradiction, too.
fn contradictions<'a>(line: &Value, want: &Value, keys: &[&'a str]) -> Vec<&'a str> {
    let differs = |key: &&str| {
        let (mut got, want) = (line[key].clone(), &want[key]);
        match (*key, got.as_object_mut()) {
            // tshark's list has no place of IPv6 fragments
            ("fragment", Some(_)) if want.is_null() => return line["next_header"].is_null(),
            ("fragment", Some(place)) => {
                place.remove("id");
            }
            _ => {}
        }
        match *key {
            // broken times have forms of their own there
            "ts" => {
                let time = want.as_str().unwrap_or_default();
                let plain = time.len() < 22 && time.split('.').nth(1).is_some_and(|f| f.len() == 9);
                plain && got != *want && !line["ts"].as_str().is_some_and(is_last)
            }
            // tshark takes the pseudo header off ATM cells
            "len" | "cap" if line["link_type"] == 123 => false,
            _ => got != *want,
        }
    };
    keys.iter().copied().filter(|k| differs(k)).collect()
}

/// Whether a time is the largest that nanoseconds can count.
fn is_last(time: &str) -> bool {
    time == "9223372036.854775807"
}

/// Directions by the outermost header: addresses, protocol, ports; packets and layer-3 bytes. Made of the lines as the
/// list of the expectations was made of tshark's: ports only where one IP header was seen.
fn flows(lines: &[Value]) -> BTreeMap<String, (u64, u64)> {
    let mut flows = BTreeMap::new();
    for line in lines.iter().filter(|l| l["src"].is_string()) {
        let v6 = !line["next_header"].is_null();
        let mut proto = if v6 {
            &line["next_header"]
        } else {
            &line["proto"]
        }
        .clone();
        let mut ports = [Value::Null, Value::Null];
        for (name, number) in [("tcp", 6), ("udp", 17), ("sctp", 132)] {
            let port = |end: &str| line[format!("{name}_{end}")].clone();
            if line["all_ip_headers"].is_null() && port("sport").is_u64() {
                ports = [port("sport"), port("dport")];
                if v6 {
                    proto = json!(number);
                }
            }
        }
        let key = json!([line["src"], line["dst"], proto, ports]).to_string();
        let entry = flows.entry(key).or_insert((0, 0));
        entry.0 += 1;
        entry.1 += line["ip_len"].as_u64().expect("a length");
    }
    flows
}

/// The same of the expectation.
fn expected_flows(list: &[Value]) -> BTreeMap<String, (u64, u64)> {
    let number = |f: &Value, key: &str| f[key].as_u64().expect("a number");
    list.iter()
        .map(|f| {
            let ports = [&f["sport"], &f["dport"]];
            let key = json!([f["src"], f["dst"], f["proto"], ports]).to_string();
            (key, (number(f, "packets"), number(f, "ip_bytes")))
        })
        .collect()
}

/// What of a case does not hold.
fn faults(file: &Path, expected: &Value) -> BTreeSet<String> {
    let lines = inspected(file);
    let mut faults = BTreeSet::new();
    let info = &expected["file_info"];
    if json!(lines.len()) != info["packet_blocks"] {
        faults.insert(format!("{} frames", lines.len()));
    }
    let known = |t: &Value| t.as_u64().is_some_and(|t| t <= 0xffff);
    let said = info["linktypes"].as_array().into_iter().flatten();
    let said: BTreeSet<u64> = said
        .filter(|t| known(t))
        .filter_map(Value::as_u64)
        .collect();
    let got: BTreeSet<u64> = lines
        .iter()
        .filter_map(|l| l["link_type"].as_u64())
        .collect();
    if !said.is_empty() && !got.is_subset(&said) {
        faults.insert("link types".into());
    }
    // what tshark did not read at all it cannot judge
    if !expected["tshark_says"].is_null() {
        return faults;
    }
    let list = expected["packet_list"].as_array();
    for (line, want) in lines.iter().zip(list.into_iter().flatten()) {
        faults.extend(
            contradictions(line, want, KEYS)
                .iter()
                .map(|k| k.to_string()),
        );
    }
    let total = expected["ip_flows_total"].as_u64().expect("a number");
    let list = expected["ip_flows"].as_array().expect("a list");
    let (got, want) = (flows(&lines), expected_flows(list));
    let holds = if total as usize == list.len() {
        got == want
    } else {
        got.len() as u64 == total && want.iter().all(|(k, v)| got.get(k) == Some(v))
    };
    if !holds {
        faults.insert("ip_flows".into());
    }
    faults
}

#[test]
fn every_case_holds_or_its_difference_is_explained() {
    let Some(corpus) = corpus() else { return };
    let cases = cases(&corpus);
    let mut wrong = Vec::new();
    let mut page = String::from(PAGE);
    let mut explained = 0;
    for (file, expected) in &cases {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let faults: Vec<_> = faults(file, expected).into_iter().collect();
        let reason = DIFFERENCES.iter().find(|d| d.0 == name);
        match (faults.is_empty(), reason) {
            (true, None) => {}
            (false, Some((_, reason))) => {
                explained += 1;
                let _ = writeln!(page, "| {name} | {} | {reason} |", faults.join(", "));
            }
            (true, Some(_)) => wrong.push(format!("{name}: holds, the explanation goes")),
            (false, None) => wrong.push(format!("{name}: {faults:?}")),
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    let held = cases.len() - explained;
    let _ = write!(page, "\n{held} of {} cases hold.\n", cases.len());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/dissection.md");
    if std::env::var_os("FLOWHOUSE_BLESS").is_some() {
        std::fs::write(&path, &page).expect("the page is written");
    }
    let there = std::fs::read_to_string(&path).expect("the page is there");
    assert!(
        there == page,
        "docs/dissection.md is out of date: FLOWHOUSE_BLESS=1"
    );
}

/// Dissector and fragments, as the capture shard calls them.
struct PacketPath {
    dissector: Dissector,
    fragments: Fragments,
    tally: Tally,
    frames: u64,
}

impl PacketPath {
    fn new() -> Self {
        PacketPath {
            dissector: Dissector::new(&Settings::default()),
            fragments: Fragments::new(&FragmentSettings::default()),
            tally: Tally::default(),
            frames: 0,
        }
    }

    /// Layer-3 bytes and packets of the frame, or of what it completed.
    fn frame(&mut self, frame: &Frame<'_>, bytes: &[u8]) -> (u64, u64) {
        self.frames += 1;
        let head = FrameHead {
            time_ns: frame.time_ns,
            frame: self.frames,
            interface: frame.interface,
            link_type: frame.link_type,
            wire_len: frame.original,
        };
        let mut counted = (0, 0);
        while let Some(lost) = self.fragments.give_up(head.time_ns, &mut self.tally) {
            counted.0 += u64::from(lost.ip_len);
            counted.1 += u64::from(lost.frames);
        }
        let pair = route(frame.link_type, bytes);
        let Dissected::Ip(view) = self.dissector.frame(head, bytes) else {
            return counted;
        };
        assert!(view.transport_at <= view.payload_at && view.payload_at <= view.end);
        assert!(view.end as usize <= bytes.len());
        assert!(pair.is_some(), "what is a packet is routed");
        let mut of = (u64::from(view.ip_len), 1);
        if view.fragment.is_some() {
            match self.fragments.add(&view, &mut self.tally) {
                Added::Waiting => return counted,
                Added::Refused => {}
                Added::Whole(whole) => {
                    of = (u64::from(whole.ip_len), u64::from(whole.frames));
                    let parts = (whole.frames, whole.ip_len);
                    let again = self
                        .dissector
                        .whole(head, whole.envelope, parts, whole.bytes);
                    if let Dissected::Ip(inner) = again {
                        assert!(inner.fragment.is_none() || inner.frames == 1);
                    }
                }
            }
        }
        (counted.0 + of.0, counted.1 + of.1)
    }

    /// What still waits.
    fn finish(&mut self) -> (u64, u64) {
        let mut counted = (0, 0);
        while let Some(lost) = self.fragments.give_up(i64::MAX, &mut self.tally) {
            counted.0 += u64::from(lost.ip_len);
            counted.1 += u64::from(lost.frames);
        }
        for law in laws(&self.tally, &Gauges::default()) {
            assert!(law.holds(), "{law:?}");
        }
        counted
    }
}

#[test]
fn fragments_account_for_every_packet_and_byte() {
    let Some(corpus) = corpus() else { return };
    let (mut joined, mut compared) = (0, 0);
    for (file, expected) in cases(&corpus) {
        let captures = Captures::open(&[&file], |_| false).expect("a capture");
        let mut path = PacketPath::new();
        // without tunnels the packets are those of the outermost header
        path.dissector = Dissector::new(&Settings {
            tunnel_depth_max: 0,
        });
        let mut sum = (0, 0);
        captures.frames(|frame| {
            let of = path.frame(frame, frame.captured);
            sum = (sum.0 + of.0, sum.1 + of.1);
        });
        let last = path.finish();
        sum = (sum.0 + last.0, sum.1 + last.1);
        joined += path
            .tally
            .count(flowhouse::ledger::Outcome::FragmentsJoined);
        let list = expected["ip_flows"].as_array().expect("a list");
        let whole = expected["ip_flows_total"] == json!(list.len());
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        let differs = DIFFERENCES.iter().any(|d| d.0 == name);
        if whole && !differs && expected["tshark_says"].is_null() {
            let of = |key| list.iter().filter_map(|f| f[key].as_u64()).sum::<u64>();
            assert_eq!(sum, (of("ip_bytes"), of("packets")), "{}", file.display());
            compared += 1;
        }
    }
    assert!(joined > 50, "only {joined} fragments were put together");
    assert!(compared > 500, "only {compared} cases were compared");
}

#[test]
fn cut_and_bent_frames_are_survived() {
    let Some(corpus) = corpus() else { return };
    let mut path = PacketPath::new();
    let mut seed = 1u64;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 33) as usize
    };
    for (file, _) in cases(&corpus) {
        let captures = Captures::open(&[&file], |_| false).expect("a capture");
        let mut n = 0;
        captures.frames(|frame| {
            n += 1;
            let bytes = &frame.captured[..frame.captured.len().min(400)];
            if n > 12 || bytes.is_empty() {
                return;
            }
            for keep in [random() % bytes.len(), random() % bytes.len().min(80)] {
                path.frame(frame, &bytes[..keep]);
            }
            let mut bent = bytes.to_vec();
            for _ in 0..12 {
                let at = random() % bent.len().min(120);
                bent[at] ^= 1 << (random() % 8);
                path.frame(frame, &bent);
            }
            let other = Frame {
                link_type: (random() % 300) as u16,
                ..*frame
            };
            path.frame(&other, bytes);
        });
    }
    path.finish();
    assert!(path.frames > 50_000);
}

const KEYS: &[&str] = &[
    "ts",
    "len",
    "cap",
    "src",
    "dst",
    "ip_len",
    "tos",
    "ttl",
    "proto",
    "next_header",
    "fragment",
    "tcp_sport",
    "tcp_dport",
    "tcp_flags",
    "tcp_payload",
    "udp_sport",
    "udp_dport",
    "sctp_sport",
    "sctp_dport",
    "icmp_type",
    "icmpv6_type",
    "vlan",
    "mpls",
    "gre_proto",
    "vxlan_vni",
    "geneve_vni",
    "gtp_teid",
    "pppoe_session",
    "erspan_id",
    "all_ip_headers",
];

/// Cases that differ from tshark's opinion, and why.
const DIFFERENCES: &[(&str, &str)] = &[
    (
        "ak-mpls-eompls-invalid-cw.pcap",
        "Behind the label stack stands 00000001, a control word by RFC 4385 section 3 (first nibble 0, then a sequence \
         number), and behind it an Ethernet frame with IPv4. tshark's heuristic takes it as a frame without one.",
    ),
    (
        "td-arista_ether.pcap",
        "Time stamps of 48 bits are walked over like those of 64 bits (tcpdump does, too); tshark stops at them.",
    ),
    (
        "td-bigtcp-ipv4-vxlan-ipv4.pcap",
        "Segmentation offload left the lengths of IPv4 and UDP 0; tshark takes UDP as malformed, here the packet ends \
         with the frame and the VXLAN in it is entered.",
    ),
    (
        "td-bigtcp-ipv6-hbh.pcap",
        "The length is that of the jumbo payload option (RFC 2675 section 2); tshark shows the field, which is 0, and 40.",
    ),
    (
        "td-cve2015-0261-crash.pcap",
        "Link type SLIP: 16 octets and then IP; tshark does not know it.",
    ),
    (
        "td-icmp-icmp_print-oobr-2.pcap",
        "Type and code of ICMP are there in frame 3, although the header ends after them.",
    ),
    (
        "td-icmp6_nodeinfo_oobr.pcap",
        "Link type SLIP: 16 octets and then IP; tshark does not know it.",
    ),
    (
        "nd-fuzz-2006-06-26-2594.pcap",
        "Fuzzed. 293 directions instead of 292; the 60 that are listed are equal, which frame is the odd one the list does \
         not show.",
    ),
    (
        "td-timestamp_invalid_micro.pcap",
        "A fraction of more than a second is added to the seconds; tshark drops it.",
    ),
    (
        "td-vxlan_port_8472.pcap",
        "Port 8472 is what Linux uses for VXLAN by default (tcpdump enters it, too); tshark only knows the port of RFC 7348.",
    ),
];

const PAGE: &str = "\
# Dissection

Captures of other projects in every link type, tunnel and state of damage, each read with `flowhouse inspect --packets`:
count of frames, link types, addresses, lengths, fragments, ports, flags, types, tags and tunnel ids of each frame, and
the sums by address, protocol and port, are held against what tshark 4.0 says (`tests/it/packets.rs`). This page is
written by that test (`FLOWHOUSE_BLESS=1 cargo test --test it packets`) and fails it when it is out of date.

tshark's opinion of application layers and of what is malformed is not compared. Sums leave out ports where several IP
headers are in a packet. Times beyond what a capture format can mean, and three link types that tshark does not read
(tags of Broadcom and Marvell switches, MFR), are left out.

These differ, by the standard or because less is given up:

| capture | fields | why |
| --- | --- | --- |
";
