//! Floods in rows of exporters that are told by no single row: spread over a network, made of segments, of several kinds at once; and ordinary
//! traffic that is as much.

use super::attacks::{BEGIN_MS, Scene, Tcp, ip};
use super::judged;
use super::scenarios::{OUTSIDE, SERVER, STRIKE_MS};
use flowhouse::detect::anomaly::{BurstKind, FlowSeen, Seen, Settings};
use flowhouse::model::{Addr, Detection, Handshake};

type End = (Addr, u16);

/// A row of an exporter; of packets that were not all seen, what is left.
pub fn row(
    s: &mut Scene,
    [src, dst]: [End; 2],
    proto: u8,
    of: (u64, u64, u16),
    (at_ms, life_ms): (i64, i64),
) {
    let (packets, bytes, flags) = of;
    let n = i64::from(s.interval);
    let seen = (0..packets).filter(|_| s.dice.within(0, n) == 0).count() as u64;
    if seen == 0 {
        return;
    }
    let flow = FlowSeen {
        src: src.0,
        dst: dst.0,
        src_port: src.1,
        dst_port: dst.1,
        proto,
        tcp_flags: (proto == 6).then_some(flags),
        packets: seen,
        bytes: bytes * seen / packets,
        interval: s.interval,
        start_ms: at_ms,
        end_ms: at_ms + life_ms,
        ..FlowSeen::default()
    };
    s.seen.push((at_ms + life_ms + 500, Seen::Flow(flow)));
}

/// Both rows of a datagram service: packets and bytes there and back.
fn udp(s: &mut Scene, ends: [End; 2], there: (u64, u64), back: (u64, u64), at: (i64, i64)) {
    row(s, ends, 17, (there.0, there.1, 0), at);
    if back.0 > 0 {
        row(s, [ends[1], ends[0]], 17, (back.0, back.1, 0), at);
    }
}

/// Ten minutes of what an exporter sees all day: pages and names, both ways.
fn office(s: &mut Scene) {
    for n in 0..3_000 {
        let host = ip(10, 0, 1, 1 + (n % 40) as u8);
        let at_ms = BEGIN_MS + 200 * n;
        let place = ip(93, 184, (n % 7) as u8, 1 + (n % 50) as u8);
        match n % 4 {
            0 => {
                let ends = [(host, 40_000 + n as u16), (ip(10, 0, 0, 53), 53)];
                udp(s, ends, (1, 70), (1, 150), (at_ms, 5));
            }
            _ => s.tcp_exported(Tcp {
                at_ms,
                src: host,
                dst: place,
                port: 443,
                packets: 40,
                bytes: 4_000,
                back: 40_000,
                life_ms: 9_000,
                handshake: Handshake::Complete,
            }),
        }
    }
}

pub fn found(interval: u32, inject: impl Fn(&mut Scene)) -> Vec<Detection> {
    let mut scene = Scene::new(5, interval);
    office(&mut scene);
    inject(&mut scene);
    judged(scene, &Settings::default())
}

pub fn told(found: &[Detection]) -> Vec<String> {
    let of = |d: &Detection| format!("{} {}", d.kind.name(), d.entity);
    found.iter().map(of).collect()
}

pub fn invented(s: &mut Scene) -> Addr {
    let n = s.dice.next();
    ip(
        20 + (n % 100) as u8,
        (n >> 8) as u8,
        (n >> 16) as u8,
        1 + (n >> 24) as u8 % 250,
    )
}

/// Each host of a network gets a twentieth of what would be a flood of it: over UDP, by SYN, by ACK; in rows of a minute and in those of a moment.
#[test]
fn what_is_spread_over_a_network_is_told_by_rows() {
    let bots = |s: &mut Scene, proto: u8, flags: u16| {
        for minute in 0..3 {
            for n in 0..250 * 60i64 {
                let src = (ip(11, 8, 0, 1 + (n / 250) as u8), 40_000 + (n % 999) as u16);
                let dst = (ip(10, 7, 3, 1 + (n % 250) as u8), 9_999);
                let at_ms = STRIKE_MS + 60_000 * minute + n % 50;
                row(s, [src, dst], proto, (25, 25 * 60, flags), (at_ms, 58_000));
            }
        }
    };
    let spoofed = |s: &mut Scene, proto: u8, flags: u16| {
        for n in 0..120_000i64 {
            let src = (invented(s), 1_024 + (n % 50_000) as u16);
            let dst = (ip(10, 7, 3, 1 + (n % 250) as u8), 80);
            row(s, [src, dst], proto, (1, 60, flags), (STRIKE_MS + n / 4, 0));
        }
    };
    for interval in [1, 100] {
        for (proto, flags) in [(17, 0), (6, 0x02), (6, 0x10), (6, 0x04)] {
            let of = format!("1:{interval}, {proto} {flags:#x}");
            let carpet = ["carpet_flood 10.7.3.0/24"];
            assert_eq!(
                told(&found(interval, |s| spoofed(s, proto, flags))),
                carpet,
                "{of}"
            );
            if proto == 17 {
                assert_eq!(
                    told(&found(interval, |s| bots(s, proto, flags))),
                    carpet,
                    "{of}"
                );
            }
        }
    }
    // nothing else was seen, not even that exporters tell of both ways
    let mut scene = Scene::new(5, 1);
    spoofed(&mut scene, 17, 0);
    let alone = judged(scene, &Settings::default());
    assert_eq!(told(&alone), ["carpet_flood 10.7.3.0/24"]);
    assert!(!alone[0].evidence.flows.is_empty());
}

/// Eight networks side by side, each of which gets what is a carpet of one.
#[test]
fn networks_side_by_side_are_one_incident() {
    let found = found(1, |s| {
        for n in 0..120_000i64 {
            let src = (invented(s), 1_024 + (n % 50_000) as u16);
            let host = n / 8 % 250;
            let dst = (ip(10, 7, (n % 8) as u8, 1 + host as u8), 9_999);
            row(s, [src, dst], 17, (8, 480, 0), (STRIKE_MS + n / 4, 0));
        }
    });
    let [carpet] = &found[..] else {
        panic!("{found:#?}")
    };
    assert_eq!(carpet.kind.name(), "carpet_flood");
    let figures = carpet.evidence.figures.iter();
    let figures = figures.filter(|f| f.name == "networks that are hit");
    let networks: Vec<f64> = figures.map(|f| f.observed).collect();
    assert_eq!(networks, [8.0]);
    let facts = carpet.evidence.facts.iter();
    let others: Vec<&str> = (facts.filter(|f| f.0 == "networks"))
        .flat_map(|f| f.1.split("; "))
        .collect();
    assert_eq!(others.len(), 7, "{others:?}");
    assert_eq!(carpet.count, 8 * 120_000);
}

/// Segments that belong to no connection, of invented sources; the server answers other people all the while.
#[test]
fn floods_of_segments_are_told_by_rows() {
    for interval in [1, 100] {
        for (flags, kind, name) in [
            (0x10, "flood", "ACK"),
            (0x04, "flood", "RST"),
            (0x14, "flood", "RST"),
            (0x11, "flood", "FIN"),
            (0x12, "tcp_reflection_flood", ""),
        ] {
            let found = found(interval, |s| {
                web(s, SERVER, 1_000, 60_000);
                for n in 0..90_000i64 {
                    let ends = [(invented(s), 1_024 + (n % 50_000) as u16), (SERVER, 443)];
                    let at = (STRIKE_MS + n / 3, 0);
                    row(s, ends, 6, (1, 40, flags), at);
                    // a server says that it knows nothing of it
                    if flags == 0x10 {
                        row(s, [ends[1], ends[0]], 6, (1, 40, 0x04), at);
                    }
                }
            });
            let wanted = format!("{kind} {SERVER}");
            assert_eq!(told(&found), [wanted], "1:{interval}, {flags:#x}");
            let facts = &found[0].evidence.facts;
            let segments = facts.iter().find(|f| f.0 == "segments");
            assert_eq!(segments.map_or("", |f| &*f.1), name);
            let flows = &found[0].evidence.flows;
            assert!(
                flows
                    .iter()
                    .all(|f| f.src_port != 0 && f.community_id.starts_with("1:"))
            );
            assert!(!flows.is_empty());
        }
        // few sources, each with one row a minute of very many segments
        let bots = found(interval, |s| {
            for n in 0..600i64 {
                let ends = [(ip(11, 8, 1, 1 + (n % 200) as u8), 40_000), (SERVER, 443)];
                let at = (STRIKE_MS + n / 200 * 60_000, 59_000);
                row(s, ends, 6, (3_000, 3_000 * 40, 0x10), at);
            }
        });
        assert_eq!(told(&bots), [format!("flood {SERVER}")], "1:{interval}");
    }
}

/// A server with very many people, who leave, come back and are cut off long after they were served.
pub fn web(s: &mut Scene, server: Addr, people: i64, span_ms: i64) {
    for n in 0..people {
        let (client, port) = (invented(s), 30_000 + (n % 30_000) as u16);
        let at_ms = STRIKE_MS + n * span_ms / people;
        let ends = [(client, port), (server, 443)];
        let back = [ends[1], ends[0]];
        s.tcp_exported(Tcp {
            at_ms,
            src: client,
            dst: server,
            port: 443,
            packets: 20,
            bytes: 2_600,
            back: 40_000,
            life_ms: 2_000,
            handshake: Handshake::Complete,
        });
        // the rest of it, after a pause that ended the rows
        match n % 3 {
            0 => row(s, ends, 6, (1, 40, 0x04), (at_ms + 75_000, 0)),
            1 => {
                row(s, ends, 6, (2, 80, 0x11), (at_ms + 75_000, 10));
                row(s, back, 6, (2, 80, 0x11), (at_ms + 75_000, 10));
            }
            _ => {
                row(s, ends, 6, (1, 52, 0x10), (at_ms + 45_000, 0));
                row(s, back, 6, (1, 52, 0x10), (at_ms + 45_000, 0));
            }
        }
    }
}

type Work = (&'static str, fn(&mut Scene));

/// As much as a flood, and none.
const MUCH: &[Work] = &[
    ("a busy web server", |s| web(s, SERVER, 90_000, 120_000)),
    ("caches of content for very many people", |s| {
        for n in 0..24_000i64 {
            let cache = (ip(10, 8, 1, 1 + (n % 64) as u8), 443);
            let client = (invented(s), 40_000 + (n % 20_000) as u16);
            let at = (STRIKE_MS + 5 * n, 20_000);
            udp(s, [client, cache], (300, 24_000), (900, 1_100_000), at);
        }
    }),
    ("people behind a few addresses", |s| {
        for n in 0..24_000i64 {
            let inside = (
                ip(10, 8, 2, 1 + (n % 200) as u8),
                40_000 + (n % 20_000) as u16,
            );
            let place = (ip(93, 185, (n % 90) as u8, 1 + (n % 200) as u8), 443);
            let at = (STRIKE_MS + 5 * n, 20_000);
            udp(s, [inside, place], (60, 5_000), (700, 900_000), at);
        }
    }),
    ("a test of speed", |s| {
        for n in 0..16i64 {
            let ends = [
                (ip(10, 0, 1, 7), 50_000 + n as u16),
                (ip(93, 186, 0, 9), 443),
            ];
            udp(
                s,
                ends,
                (90_000, 6_000_000),
                (1_200_000, 1_500_000_000),
                (STRIKE_MS, 12_000),
            );
        }
    }),
    ("backups of a whole network to its own store", |s| {
        for n in 0..120i64 {
            let (host, store) = (ip(10, 8, 4, 1 + n as u8), ip(10, 8, 5, 1 + (n % 20) as u8));
            for minute in 0..5 {
                let at = (STRIKE_MS + 60_000 * minute + 20 * n, 59_000);
                let ends = [(host, 40_000 + n as u16), (store, 8_443)];
                let first = if minute == 0 { 0x02 } else { 0 };
                // receivers of now acknowledge much at a time
                row(s, ends, 6, (200_000, 290_000_000, 0x18 | first), at);
                row(s, [ends[1], ends[0]], 6, (5_000, 260_000, 0x10 | first), at);
            }
        }
    }),
    ("a tunnel between two sites", |s| {
        for minute in 0..5 {
            let at = (STRIKE_MS + 60_000 * minute, 59_000);
            let ends = [(OUTSIDE, 0), (ip(10, 8, 6, 1), 0)];
            row(s, ends, 50, (900_000, 1_200_000_000, 0), at);
            row(s, [ends[1], ends[0]], 50, (60_000, 7_000_000, 0), at);
            let wireguard = [(OUTSIDE, 51_820), (ip(10, 8, 6, 2), 51_820)];
            udp(
                s,
                wireguard,
                (900_000, 1_200_000_000),
                (60_000, 7_000_000),
                at,
            );
        }
    }),
    ("very many phones whose connections stay open", |s| {
        for n in 0..60_000i64 {
            let ends = [(invented(s), 40_000 + (n % 20_000) as u16), (SERVER, 5_228)];
            let at = (STRIKE_MS + n, 30);
            row(s, ends, 6, (2, 130, 0x18), at);
            row(s, [ends[1], ends[0]], 6, (1, 52, 0x10), at);
        }
    }),
    ("a host that looks for others is refused by all", |s| {
        for n in 0..60_000i64 {
            let ends = [
                (OUTSIDE, 40_000 + (n % 20_000) as u16),
                (ip(10, 9, (n / 250) as u8, 1 + (n % 250) as u8), 80),
            ];
            row(s, ends, 6, (1, 44, 0x02), (STRIKE_MS + n, 0));
            row(s, [ends[1], ends[0]], 6, (1, 40, 0x14), (STRIKE_MS + n, 0));
        }
    }),
];

#[test]
fn as_much_as_a_flood_is_none_where_it_is_answered() {
    for interval in [1, 100] {
        for (name, work) in MUCH {
            let found = found(interval, work);
            let floods: Vec<_> = found
                .iter()
                .filter(|d| d.kind.name().contains("flood"))
                .collect();
            assert!(floods.is_empty(), "1:{interval}, {name}: {floods:#?}");
        }
    }
}

/// What comes in is all that is seen: a network of people is no victim, however much they read.
#[test]
fn where_answers_are_not_seen_much_is_no_carpet() {
    for interval in [1, 100] {
        let mut scene = Scene::new(5, interval);
        for n in 0..24_000i64 {
            let inside = (
                ip(10, 8, 2, 1 + (n * n % 251) as u8),
                40_000 + (n % 20_000) as u16,
            );
            let place = (ip(93, 185, (n % 90) as u8, 1 + (n % 200) as u8), 443);
            let size = scene.dice.within(1, 3_000) as u64;
            let at = (STRIKE_MS + 5 * n, 20_000);
            row(&mut scene, [place, inside], 17, (size, 1_200 * size, 0), at);
            // and what clients of servers here acknowledge
            let ends = [
                (invented(&mut scene), 40_000),
                (ip(10, 8, 3, 1 + (n % 9) as u8), 443),
            ];
            row(
                &mut scene,
                ends,
                6,
                (20, 1_400, if n % 9 == 0 { 0x1b } else { 0x10 }),
                at,
            );
        }
        let found = judged(scene, &Settings::default());
        let carpets: Vec<_> = found
            .iter()
            .filter(|d| d.kind.name() == "carpet_flood" || d.detector == "flood.segments")
            .collect();
        assert!(carpets.is_empty(), "1:{interval}: {carpets:#?}");
    }
}

/// SYN, answers of resolvers and plain UDP at once are one incident, which names each with its numbers.
#[test]
fn several_floods_of_one_victim_are_one_incident() {
    let attack = |s: &mut Scene, rows: bool| {
        for n in 0..30_000i64 {
            let (at_ms, src) = (STRIKE_MS + n, invented(s));
            let parts = [
                (BurstKind::Syn, (src, 40_000), 443, 6, 44),
                (
                    BurstKind::Udp,
                    (ip(11, 5, (n % 9) as u8, 1 + (n % 250) as u8), 53),
                    40_000,
                    17,
                    1_400,
                ),
                (BurstKind::Udp, (src, 55_000), 9_999, 17, 700),
            ];
            for (kind, from, port, proto, bytes) in parts {
                match rows {
                    true => row(
                        s,
                        [from, (SERVER, port)],
                        proto,
                        (1, bytes, 0x02),
                        (at_ms, 0),
                    ),
                    false => s.burst(at_ms, kind, [from, (SERVER, port)], 1, bytes),
                }
            }
        }
    };
    for (rows, interval) in [(false, 1), (true, 1), (true, 100)] {
        let found = found(interval, |s| attack(s, rows));
        assert_eq!(
            told(&found),
            [format!("syn_flood {SERVER}")],
            "{rows}, 1:{interval}"
        );
        let fact = |name: &str| {
            let fact = found[0].evidence.facts.iter().find(|f| f.0 == name);
            fact.unwrap_or_else(|| panic!("{name}: {:#?}", found[0]))
                .1
                .clone()
        };
        assert_eq!(fact("vectors"), "SYN, dns reflection, volume");
        for (vector, number) in [
            ("vector SYN", "half-open connections"),
            (
                "vector reflection over UDP",
                "services that answered without a question",
            ),
            ("vector volume", "packets a second"),
        ] {
            assert!(fact(vector).contains(number), "{}", fact(vector));
        }
        assert!(
            found[0].title.ends_with("by SYN, dns reflection, volume"),
            "{}",
            found[0].title
        );
        let has = |name: &str| {
            found[0]
                .evidence
                .figures
                .iter()
                .any(|f| f.name.starts_with(name))
        };
        assert!(has("half-open") && has("services that answered") && has("packets a second"));
    }
}

/// Sources are counted beyond what bits can tell, and it is said that this is an estimate.
#[test]
fn very_many_sources_are_estimated() {
    let found = found(1, |s| {
        for n in 0..100_000i64 {
            let src = invented(s);
            s.burst(
                STRIKE_MS + n / 12,
                BurstKind::Syn,
                [(src, 0), (SERVER, 80)],
                1,
                44,
            );
        }
    });
    assert_eq!(told(&found), [format!("syn_flood {SERVER}")]);
    let total = found[0].peers_total;
    assert!((24_000..60_000).contains(&total), "{total}");
    let fact = found[0]
        .evidence
        .facts
        .iter()
        .find(|f| f.0 == "peers_total");
    assert!(fact.is_some_and(|f| f.1.starts_with("an estimate")));
}

/// Hosts inside that were taken over flood a place outside: what each of them sends there is part of the flood, and no upload.
#[test]
fn what_goes_to_a_place_that_is_flooded_is_no_upload() {
    for metered in [false, true] {
        let mut scene = Scene::new(7, 1);
        scene.office(20);
        for (host, second) in (1..=10).flat_map(|h| (0..180).map(move |s| (h, s))) {
            let ends = [(ip(10, 0, 9, host), 40_000), (OUTSIDE, 80)];
            let at_ms = STRIKE_MS + 1_000 * second;
            let (packets, bytes) = (20_000, 20_000_000);
            if metered {
                scene.burst(at_ms, BurstKind::Udp, ends, packets, bytes);
            }
            if second % 60 == 59 {
                let flow = FlowSeen {
                    src: ends[0].0,
                    dst: ends[1].0,
                    src_port: ends[0].1,
                    dst_port: ends[1].1,
                    proto: 17,
                    packets: 60 * u64::from(packets),
                    bytes: 60 * bytes,
                    interval: 1,
                    back_bytes: metered.then_some(0),
                    start_ms: at_ms - 59_000,
                    end_ms: at_ms,
                    metered,
                    ..FlowSeen::default()
                };
                scene.seen.push((at_ms + 500, Seen::Flow(flow)));
            }
        }
        let found = judged(scene, &Settings::default());
        assert_eq!(told(&found).len(), 1, "{found:#?}");
        assert!(found[0].kind.name().ends_with("flood"), "{found:#?}");
    }
}
