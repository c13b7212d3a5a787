//! Each byte once: Community IDs against published vectors, and which exporter counts where several saw a conversation.

use crate::harness::{Sql, Store, directory, eventually, exe, run};
use std::process::Command;

fn applied(store: &Store) -> Sql {
    let mut command = Command::new(exe());
    command.args(["schema", "apply", "--url"]);
    command.arg(format!("http://{}", store.address));
    run(command.arg("--key-file").arg(store.key_file()));
    store.sql()
}

/// Protocol, source, destination, ports; type and code of ICMP where the exporter has a field for it; what the reference
/// implementation of the specification makes of it.
type Vector = (
    u8,
    &'static str,
    &'static str,
    u16,
    u16,
    Option<u16>,
    &'static str,
);

const VECTORS: &[Vector] = &[
    (
        6,
        "128.232.110.120",
        "66.35.250.204",
        34855,
        80,
        None,
        "LQU9qZlK+B5F3KDmev6m5PMibrg=",
    ),
    (
        6,
        "66.35.250.204",
        "128.232.110.120",
        80,
        34855,
        None,
        "LQU9qZlK+B5F3KDmev6m5PMibrg=",
    ),
    (
        17,
        "192.168.1.52",
        "8.8.8.8",
        54585,
        53,
        None,
        "d/FP5EW3wiY1vCndhwleRRKHowQ=",
    ),
    (
        132,
        "192.168.170.8",
        "192.168.170.56",
        7,
        80,
        None,
        "jQgCxbku+pNGw8WPbEc/TS/uTpQ=",
    ),
    // an echo and its answer; type and code in their own field, or as destination port
    (
        1,
        "192.168.0.89",
        "192.168.0.1",
        0,
        0,
        Some(0x800),
        "X0snYXpgwiv9TZtqg64sgzUn6Dk=",
    ),
    (
        1,
        "192.168.0.89",
        "192.168.0.1",
        0,
        0x800,
        None,
        "X0snYXpgwiv9TZtqg64sgzUn6Dk=",
    ),
    (
        1,
        "192.168.0.1",
        "192.168.0.89",
        0,
        0,
        Some(0),
        "X0snYXpgwiv9TZtqg64sgzUn6Dk=",
    ),
    // types without an answer have a direction
    (
        1,
        "10.0.0.2",
        "10.0.0.1",
        0,
        0,
        Some(0x301),
        "JHjlyD5IJJjl3wHWOMj46lLWZag=",
    ),
    (
        58,
        "fe80::1",
        "fe80::2",
        0,
        0,
        Some(0x104),
        "PQpOWBr5/ICePGOnTMaFJZeK2us=",
    ),
    (
        58,
        "fe80::2",
        "fe80::1",
        0,
        0,
        Some(0x104),
        "KP7k20289QLlEmMHLKdRgaeGmfo=",
    ),
    (
        58,
        "fe80::200:86ff:fe05:80da",
        "fe80::260:97ff:fe07:69ea",
        0,
        0,
        Some(0x8700),
        "dGHyGvjMfljg6Bppwm3bg0LO8TY=",
    ),
    (
        6,
        "2001:db8::2",
        "2001:db8::1",
        443,
        50000,
        None,
        "YXqXufkGr4i6TbJJYF83fvyDLZ8=",
    ),
    // equal addresses: the ports decide
    (
        6,
        "10.0.0.1",
        "10.0.0.1",
        90,
        80,
        None,
        "QV0P0fmx0iwyMO2/fPgxnCYVqhY=",
    ),
    (
        17,
        "10.0.0.1",
        "10.0.0.2",
        256,
        1,
        None,
        "6jFk4mVN1Lr88bNiXbDPu5zdjHo=",
    ),
    // protocols without ports
    (
        47,
        "10.1.1.2",
        "10.1.1.1",
        5,
        6,
        None,
        "6bVMFPWneS3bg49/6T1HieDmRMQ=",
    ),
    (
        50,
        "2001:db8::1",
        "2001:db8::2",
        0,
        0,
        None,
        "JIAyWiD7dl1e74CJAdetAUPF/To=",
    ),
];

#[test]
fn conversations_have_their_published_names() {
    let dir = directory();
    let store = Store::start(dir.path());
    let sql = applied(&store);
    let rows = VECTORS.iter().enumerate().map(|(n, v)| {
        let (proto, src, dst, sport, dport, icmp, _) = v;
        let present = u64::from(icmp.is_some()) << 51;
        let icmp = icmp.unwrap_or(0);
        format!("(now(), {n}, toIPv6('{src}'), toIPv6('{dst}'), {sport}, {dport}, {proto}, {icmp}, {present})")
    });
    sql.run(&format!(
        "INSERT INTO flowhouse.flows (received_at, datagram, src_addr, dst_addr, src_port, dst_port, proto, icmp_type_code, present) VALUES {}",
        rows.collect::<Vec<_>>().join(", ")
    ));
    let told = sql.rows("SELECT community_id FROM flows ORDER BY datagram");
    assert_eq!(told.len(), VECTORS.len());
    for (v, told) in VECTORS.iter().zip(told) {
        assert_eq!(told, [format!("1:{}", v.6)], "{v:?}");
    }
}

const FIRST: &str = "10.0.0.1";
const SECOND: &str = "10.0.0.2";
const THIRD: &str = "10.0.0.3";

/// A flow of TCP between two hosts: exporter, whether it is the answer, client's port, bytes, sampling interval, start and end (s since the first).
type Flow = (&'static str, bool, u16, u32, u32, u32, u32);

const FLOWS: &[Flow] = &[
    // seen three times
    (FIRST, false, 1000, 100, 1, 0, 9),
    (SECOND, false, 1000, 101, 1, 1, 8),
    (THIRD, false, 1000, 102, 1, 0, 9),
    // the answer came another way
    (SECOND, true, 1000, 50, 1, 0, 9),
    // the same ports again, when the way was another one
    (SECOND, false, 1000, 7, 1, 100, 110),
    // samplers see different packets of it
    (FIRST, false, 2000, 1, 1000, 0, 9),
    (SECOND, false, 2000, 2, 1000, 0, 9),
    // one report for the first, three for the second exporter
    (FIRST, false, 3000, 300, 1, 0, 200),
    (SECOND, false, 3000, 99, 1, 0, 60),
    (SECOND, false, 3000, 98, 1, 61, 120),
    (SECOND, false, 3000, 97, 1, 121, 199),
];

#[test]
fn of_several_exporters_one_counts() {
    let dir = directory();
    let store = Store::start(dir.path());
    let sql = applied(&store);
    let rows = FLOWS.iter().map(|(exporter, answers, port, bytes, interval, since, until)| {
        let ways = match answers {
            true => format!("'192.0.2.9', '192.0.2.1', 80, {port}"),
            false => format!("'192.0.2.1', '192.0.2.9', {port}, 80"),
        };
        format!(
            "(now() - 60, '{exporter}', {ways}, 6, {bytes}, {interval}, (toInt64(toUnixTimestamp(now())) - 600 + {since}) * 1000, \
             (toInt64(toUnixTimestamp(now())) - 600 + {until}) * 1000, bitOr(bitShiftLeft(1, 7), bitShiftLeft(1, 8)), 1, 2)"
        )
    });
    sql.run(&format!(
        "INSERT INTO flowhouse.flows (received_at, exporter, src_addr, dst_addr, src_port, dst_port, proto, bytes, sampling_interval, start_ms, end_ms, \
         present, in_if, out_if) VALUES {}",
        rows.collect::<Vec<_>>().join(", ")
    ));
    let counted = || -> Vec<u64> {
        let rows = sql.rows("SELECT bytes FROM flows_once ORDER BY src_port, bytes");
        rows.iter().map(|r| r[0].parse().expect("bytes")).collect()
    };
    // all are equal: the lowest address
    assert_eq!(counted(), [50, 7, 100, 1, 2, 300]);
    let points = |of: &[(&str, u32, &str)], at: u32| {
        let all = of.iter().chain(&[("::", 100, "ingress")]);
        let rows = all.map(|(e, p, side)| format!("('{e}', {p}, '{side}', {at})"));
        let rows = rows.collect::<Vec<_>>().join(", ");
        sql.run(&format!(
            "INSERT INTO flowhouse.observation_points VALUES {rows}"
        ));
    };
    points(&[(SECOND, 10, "ingress"), (THIRD, 1, "none")], 1);
    assert_eq!(counted(), [50, 7, 101, 1, 2, 97, 98, 99]);
    // it can be taken back: the latest writing holds
    points(&[(THIRD, 1, "egress")], 2);
    assert_eq!(counted(), [50, 7, 102, 1, 2, 300]);
    // nothing is gone
    assert_eq!(
        sql.numbers("SELECT count(), uniqExact(counts) FROM flow_sightings"),
        [11, 2]
    );

    let usage = [
        (FIRST, "ingress", 1),
        (FIRST, "egress", 2),
        (THIRD, "ingress", 4),
        (THIRD, "egress", 8),
    ];
    for (exporter, side, bytes) in usage {
        sql.run(&format!(
            "INSERT INTO flowhouse.usage_1m (time, exporter, direction, bytes) VALUES (now(), '{exporter}', '{side}', {bytes})"
        ));
    }
    assert_eq!(sql.numbers("SELECT sum(bytes) FROM usage_once"), [9]);
    points(&[(THIRD, 1, "none")], 3);
    assert_eq!(sql.numbers("SELECT sum(bytes) FROM usage_once"), [1]);
}

/// The same conversations exported by two routers on their path, from datagram to view.
#[test]
fn what_two_routers_export_of_the_same_traffic_counts_once() {
    let dir = directory();
    let store = Store::start(dir.path());
    let sql = applied(&store);
    let first = dir.path().join("first.pcap");
    let mut generate = Command::new(exe());
    generate.args([
        "generate",
        "--protocol",
        "ipfix",
        "--exporters",
        "1",
        "--seed",
        "5",
    ]);
    generate
        .args(["--rate", "500", "--flows", "3000", "--pcap"])
        .arg(&first);
    run(&mut generate);
    // the second one's datagrams: the same from its own address
    let mut bytes = std::fs::read(&first).expect("capture");
    let (one, two) = ([198, 18, 0, 1], [198, 18, 0, 2]);
    for at in 0..bytes.len() - 4 {
        if bytes[at..at + 4] == one {
            bytes[at..at + 4].copy_from_slice(&two);
        }
    }
    let second = dir.path().join("second.pcap");
    std::fs::write(&second, bytes).expect("written");
    for capture in [&first, &second] {
        let mut replay = Command::new(exe());
        replay.args(["replay", "--store", &format!("http://{}", store.address)]);
        replay.arg("--key-file").arg(store.key_file()).arg(capture);
        run(&mut replay);
    }
    let sums = |table: &str, more: &str| {
        sql.numbers(&format!(
            "SELECT count(), sum(bytes) FROM {table} WHERE {more}"
        ))
    };
    let (one, two) = (
        sums("flows", "exporter = toIPv6('198.18.0.1')"),
        sums("flows", "exporter = toIPv6('198.18.0.2')"),
    );
    assert_eq!(one, two);
    assert!(one[0] >= 3000, "{one:?}");
    // the view ends before the second that has begun
    eventually("the last second has passed", || {
        sql.numbers("SELECT now() > max(received_at) FROM flows") == [1]
    });
    let sides = "exporter = toIPv6('198.18.0.1') AND counts_ingress";
    assert_eq!(sums("flows_once", "1"), sums("flows", sides));
}
