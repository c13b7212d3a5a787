//! Floods that are one incident, and what looks like a flood and is none: networks that are hit host by host, answers that are exported before
//! their questions, services that refuse or are dead, and exporters that tell of one direction alone.

use super::attacks::{Scene, ip};
use super::floods::{found, invented, row, told, web};
use super::judged;
use super::scenarios::{OUTSIDE, SERVER, STRIKE_MS};
use flowhouse::detect::anomaly::{BurstKind, Settings};
use flowhouse::model::{Addr, Detection};

/// A row that is exported at a time of its own.
fn row_at(
    s: &mut Scene,
    told_ms: i64,
    ends: [(Addr, u16); 2],
    proto: u8,
    of: (u64, u64, u16),
    at: (i64, i64),
) {
    row(s, ends, proto, of, at);
    if let Some(last) = s.seen.last_mut() {
        last.0 = told_ms;
    }
}

/// What is found where nothing else was seen.
fn alone(interval: u32, inject: impl Fn(&mut Scene)) -> Vec<Detection> {
    let mut scene = Scene::new(5, interval);
    inject(&mut scene);
    judged(scene, &Settings::default())
}

fn none(found: &[Detection], of: &str) {
    assert!(found.is_empty(), "{of}: {found:#?}");
}

/// 64 hosts of a network each get more than is a flood of one, and their rows come host by host, a quarter of a second for each.
#[test]
fn a_network_that_is_exported_host_by_host_is_one_incident() {
    let syn = |s: &mut Scene| {
        for host in 0..64i64 {
            for n in 0..1_700 {
                let ends = [
                    (invented(s), 1_024 + n as u16),
                    (ip(10, 7, 3, 1 + host as u8), 80),
                ];
                let told_ms = STRIKE_MS + 60_000 + 250 * host + n / 7;
                let at = (STRIKE_MS + 35 * n, 0);
                row_at(s, told_ms, ends, 6, (1, 44, 0x02), at);
            }
        }
    };
    let udp = |s: &mut Scene| {
        for host in 0..64i64 {
            for bot in 0..60 {
                let ends = [
                    (ip(11, 8, 0, 1 + bot as u8), 40_000),
                    (ip(10, 7, 3, 1 + host as u8), 9_999),
                ];
                let told_ms = STRIKE_MS + 60_000 + 250 * host + bot;
                let at = (STRIKE_MS, 59_000);
                row_at(s, told_ms, ends, 17, (600, 36_000, 0), at);
            }
        }
    };
    let carpet = ["carpet_flood 10.7.3.0/24"];
    assert_eq!(told(&found(1, syn)), carpet, "SYN");
    assert_eq!(told(&found(1, udp)), carpet, "UDP");
    assert_eq!(told(&alone(1, syn)), carpet, "SYN alone");
}

/// The same in packets, and a network of servers whose connections are completed.
#[test]
fn packets_over_a_network_are_one_incident_unless_they_open_connections() {
    let syn = |s: &mut Scene, answered: bool, a_second: i64| {
        for n in 0..5 * a_second {
            let ends = [(invented(s), 0), (ip(10, 7, 3, 1 + (n % 250) as u8), 443)];
            let at_ms = STRIKE_MS + n * 1_000 / a_second;
            s.burst(at_ms, BurstKind::Syn, ends, 1, 44);
            if answered {
                let back = [ends[1], ends[0]];
                s.burst(at_ms, BurstKind::SynAck, back, 1, 44);
                s.burst(at_ms, BurstKind::Completed, ends, 1, 40);
            }
        }
    };
    let mut attacked = told(&found(1, |s| syn(s, false, 30_000)));
    // more connections are tried within a second than are remembered
    attacked.retain(|d| d != "detector_degraded collector");
    assert_eq!(attacked, ["carpet_flood 10.7.3.0/24"]);
    none(&found(1, |s| syn(s, true, 2_000)), "servers");
}

/// One host of a network after the other, a second each.
#[test]
fn a_flood_that_goes_from_host_to_host_is_one_of_the_network() {
    let found = found(1, |s| {
        for host in 0..60i64 {
            for n in 0..2_000 {
                let ends = [(invented(s), 0), (ip(10, 7, 3, 1 + host as u8), 80)];
                let at_ms = STRIKE_MS + 1_000 * host + n / 2;
                s.burst(at_ms, BurstKind::Syn, ends, 1, 44);
            }
        }
    });
    let told = told(&found);
    assert!(told.contains(&"carpet_flood 10.7.3.0/24".to_owned()));
    assert!(told.len() <= 16, "{told:#?}");
}

/// A tunnel between two ports of services, and clocks that ask each other from their own port: each answer is exported four seconds before its question.
#[test]
fn an_answer_that_is_exported_before_its_question_is_no_reflection() {
    for port in [1_194u16, 4_500, 123] {
        for offset in [0, 20_000, 40_000, 57_000] {
            let found = found(1, |s| {
                let ends = [(SERVER, port), (OUTSIDE, port)];
                let back = [ends[1], ends[0]];
                for minute in 0..6 {
                    let at_ms = STRIKE_MS + offset + 60_000 * minute;
                    let told_ms = at_ms + 60_000;
                    let answer = (40_000, 40_000_000, 0);
                    row_at(s, told_ms, back, 17, answer, (at_ms, 59_000));
                    let question = (30_000, 3_000_000, 0);
                    row_at(s, told_ms + 4_000, ends, 17, question, (at_ms, 59_000));
                }
            });
            none(&found, &format!("{port}, {offset}"));
        }
    }
    // nobody asked
    let found = found(1, |s| {
        for n in 0..400i64 {
            let ends = [(ip(11, 6, 2, 1 + (n % 4) as u8), 11_211), (SERVER, 40_000)];
            let at = (STRIKE_MS + 50 * n, 0);
            row(s, ends, 17, (100, 140_000, 0), at);
        }
    });
    assert_eq!(told(&found), [format!("udp_amplification_flood {SERVER}")]);
    let late_ms = found[0].detected_ms - STRIKE_MS;
    assert!(late_ms <= 30_000, "{late_ms}");
}

/// Clients that try a service again and again: it refuses them, or is dead.
#[test]
fn clients_that_try_again_are_no_flood() {
    let client = |n: i64| ip(11, 9, (n / 250) as u8, 1 + (n % 250) as u8);
    // 400 clients, each once in two seconds, for three minutes
    for (refuses, packets) in [(true, 1), (true, 3), (false, 4)] {
        let work = |s: &mut Scene| {
            for round in 0..90i64 {
                for n in 0..400 {
                    let ends = [(client(n), 30_000 + (round * 7) as u16), (SERVER, 443)];
                    let at = (STRIKE_MS + 2_000 * round + 5 * n, 0);
                    row(s, ends, 6, (packets, 44 * packets, 0x02), at);
                    if refuses {
                        let back = [ends[1], ends[0]];
                        row(s, back, 6, (packets, 40 * packets, 0x14), at);
                    }
                }
            }
        };
        let of = format!("rows, refuses: {refuses}, {packets}");
        none(&found(1, work), &of);
        if refuses {
            none(&found(100, work), &of);
        }
    }
    // as many whose system alone tries again, each connection from a new client
    let work = |s: &mut Scene| {
        for n in 0..6_000i64 {
            let ends = [(invented(s), 40_000), (SERVER, 443)];
            row(s, ends, 6, (4, 176, 0x02), (STRIKE_MS + 20 * n, 7_000));
        }
    };
    none(&found(1, work), "rows of one try each");
    for pause_ms in [1_000, 2_500] {
        let found = found(1, |s| {
            for round in 0..60i64 {
                for n in 0..800 {
                    let at_ms = STRIKE_MS + pause_ms * round + pause_ms * n / 800;
                    s.burst(
                        at_ms,
                        BurstKind::Syn,
                        [(client(n), 0), (SERVER, 443)],
                        1,
                        44,
                    );
                }
            }
        });
        none(&found, &format!("packets, {pause_ms} ms"));
    }
}

/// Who sends the next packet.
type Source = fn(&mut Scene, i64) -> Addr;

/// Floods that nobody answers, slow and fast, of invented sources, of one and of bots; and one that is answered.
#[test]
fn floods_that_nobody_completes_are_found() {
    let sources: [(&str, Source); 3] = [
        ("invented", |s, _| invented(s)),
        ("one", |_, _| OUTSIDE),
        ("bots", |_, n| ip(11, 9, 1, 1 + (n % 40) as u8)),
    ];
    for (name, source) in sources {
        for a_second in [250, 3_000] {
            for rows in [false, true] {
                let found = found(1, |s| {
                    for n in 0..20 * a_second {
                        let at_ms = STRIKE_MS + n * 1_000 / a_second;
                        let src = (source(s, n), 1_024 + (n % 60_000) as u16);
                        match rows {
                            true => row(s, [src, (SERVER, 80)], 6, (1, 44, 0x02), (at_ms, 0)),
                            false => {
                                let ends = [(src.0, 0), (SERVER, 80)];
                                s.burst(at_ms, BurstKind::Syn, ends, 1, 44);
                            }
                        }
                    }
                });
                let wanted = [format!("syn_flood {SERVER}")];
                assert_eq!(told(&found), wanted, "{name}, {a_second}, rows: {rows}");
                let late_ms = found[0].detected_ms - STRIKE_MS;
                let most_ms = if a_second > 1_000 && !rows {
                    3_000
                } else {
                    20_000
                };
                assert!(late_ms <= most_ms, "{name}, {a_second}, {rows}: {late_ms}");
            }
        }
    }
    let answered = found(1, |s| {
        for n in 0..6_000i64 {
            let ends = [(ip(11, 9, 2, 1 + (n % 250) as u8), 0), (SERVER, 80)];
            let at_ms = STRIKE_MS + 2 * n;
            s.burst(at_ms, BurstKind::Syn, ends, 1, 44);
            s.burst(at_ms, BurstKind::SynAck, [ends[1], ends[0]], 1, 44);
        }
    });
    assert_eq!(told(&answered), [format!("syn_flood {SERVER}")]);
}

/// What a flood shows: its own begin, rows of its own, and the numbers that decided; the server is busy all the while.
#[test]
fn a_flood_of_a_busy_server_shows_what_is_its_own() {
    let begin_ms = STRIKE_MS + 45_000;
    let found = found(1, |s| {
        web(s, SERVER, 300, 60_000);
        for n in 0..8_000i64 {
            let ends = [(invented(s), 1_024 + n as u16), (SERVER, 443)];
            row(s, ends, 6, (1, 44, 0x02), (begin_ms + n, 0));
            row(s, [ends[1], ends[0]], 6, (1, 44, 0x12), (begin_ms + n, 0));
            let ntp = [(ip(11, 6, 1, 1 + (n % 90) as u8), 123), (SERVER, 40_000)];
            row(s, ntp, 17, (4, 1_872, 0), (begin_ms + n, 3));
            let dns = [(ip(11, 5, 1, 1 + (n % 90) as u8), 53), (SERVER, 40_000)];
            row(s, dns, 17, (3, 4_200, 0), (begin_ms + n, 3));
        }
    });
    let [flood] = &found[..] else {
        panic!("{found:#?}");
    };
    let early_ms = begin_ms - flood.first_ms;
    assert!((-1_000..5_000).contains(&early_ms), "{early_ms}");
    let flows = &flood.evidence.flows;
    assert!(
        flows.iter().all(|f| f.proto == 17 || f.bytes == 44),
        "{flows:#?}"
    );
    assert!(flows.iter().any(|f| f.packets > 1), "{flows:#?}");
    let half_open = flood.evidence.figures.iter();
    let half_open = half_open.filter(|f| f.name.starts_with("half-open"));
    let limits: Vec<Option<f64>> = half_open.map(|f| f.threshold).collect();
    assert_eq!(limits, [Some(1_500.0)]);
    let blind = &flood.evidence.blind;
    assert!(blind.is_empty(), "{blind:?}");
    for name in ["SYN", "dns", "ntp"] {
        assert!(flood.title.contains(name), "{}", flood.title);
    }
}

/// Exporters tell of what comes in alone: answers that were asked for, pages over QUIC, tunnels.
#[test]
fn what_is_answered_on_a_way_that_is_not_exported_is_no_flood() {
    let resolver = |s: &mut Scene, bytes: u64| {
        for n in 0..30_000i64 {
            let server = ip(
                93,
                180 + (n % 9) as u8,
                (n % 190) as u8,
                1 + (n % 241) as u8,
            );
            let ends = [(server, 53), (SERVER, 1_024 + (n * 7 % 60_000) as u16)];
            row(s, ends, 17, (1, bytes, 0), (STRIKE_MS + 3 * n, 0));
        }
    };
    none(&alone(1, |s| resolver(s, 220)), "a resolver");
    let reflected = alone(1, |s| resolver(s, 1_400));
    assert_eq!(
        told(&reflected),
        [format!("udp_amplification_flood {SERVER}")]
    );
    let quic = alone(1, |s| {
        for n in 0..6_000i64 {
            let ends = [(invented(s), 40_000 + (n % 20_000) as u16), (SERVER, 443)];
            row(s, ends, 17, (40, 6_000, 0), (STRIKE_MS + 10 * n, 5_000));
        }
    });
    none(&quic, "QUIC");
    let tunnel = alone(1, |s| {
        for minute in 0..5 {
            let ends = [(OUTSIDE, 4_500), (SERVER, 4_500)];
            let at = (STRIKE_MS + 60_000 * minute, 59_000);
            row(s, ends, 17, (40_000, 40_000_000, 0), at);
        }
    });
    none(&tunnel, "a tunnel");
    let flood = alone(1, |s| {
        for n in 0..20_000i64 {
            let ends = [(invented(s), 1_024 + (n % 60_000) as u16), (SERVER, 9_999)];
            row(s, ends, 17, (1, 60, 0), (STRIKE_MS + n, 0));
        }
    });
    assert_eq!(told(&flood), [format!("flood {SERVER}")]);
}

/// Segments without a connection for ten seconds of a minute, as far as one packet in a hundred shows, and resets alone: the server is busy.
#[test]
fn short_and_slow_floods_of_segments_are_found() {
    let flood = |s: &mut Scene, flags: u16, a_second: i64, seconds: i64| {
        for n in 0..a_second * seconds {
            let ends = [(invented(s), 1_024 + (n % 50_000) as u16), (SERVER, 443)];
            let at_ms = STRIKE_MS + 30_000 + n * 1_000 / a_second;
            row(s, ends, 6, (1, 40, flags), (at_ms, 0));
        }
    };
    for (interval, flags, a_second, seconds) in [
        (100, 0x10, 3_000, 10),
        (100, 0x04, 3_000, 10),
        (100, 0x11, 3_000, 10),
        (1, 0x04, 1_250, 40),
    ] {
        let of = |attacked: bool| {
            found(interval, move |s| {
                web(s, SERVER, 1_500, 90_000);
                if attacked {
                    flood(s, flags, a_second, seconds);
                }
            })
        };
        none(&of(false), "a busy server");
        let wanted = [format!("flood {SERVER}")];
        assert_eq!(told(&of(true)), wanted, "1:{interval}, {flags:#x}");
    }
}

/// A server with a hundred connections a second is flooded with fifty times as many SYNs; of a hundred packets one is seen.
#[test]
fn a_flood_of_a_busy_server_is_found_in_samples() {
    let busy = |s: &mut Scene| web(s, SERVER, 9_000, 90_000);
    none(&found(100, busy), "a busy server");
    let found = found(100, |s| {
        busy(s);
        for n in 0..100_000i64 {
            let ends = [(invented(s), 1_024 + (n % 60_000) as u16), (SERVER, 443)];
            row(s, ends, 6, (1, 44, 0x02), (STRIKE_MS + 30_000 + n / 5, 0));
        }
    });
    assert_eq!(told(&found), [format!("syn_flood {SERVER}")]);
}
