//! Rows that come apart and contacts that come again: what is answered or asked all day long, and what is not.

use super::attacks::{BEGIN_MS, Scene, ip};
use super::judged;
use super::scenarios::{INSIDE, OUTSIDE, SERVER};
use flowhouse::detect::anomaly::{FlowSeen, Seen, Settings, Side};
use flowhouse::model::{Addr, Detection};

type End = (Addr, u16);

fn found(inject: impl Fn(&mut Scene)) -> Vec<Detection> {
    let mut scene = Scene::new(3, 1);
    scene.office(20);
    inject(&mut scene);
    judged(scene, &Settings::default())
}

fn kinds(found: &[Detection]) -> Vec<&str> {
    found.iter().map(|d| d.kind.name()).collect()
}

/// A row of an exporter of one direction.
fn row([src, dst]: [End; 2], proto: u8, (packets, bytes): (u64, u64), at_ms: i64) -> FlowSeen {
    FlowSeen {
        src: src.0,
        dst: dst.0,
        src_port: src.1,
        dst_port: dst.1,
        proto,
        packets,
        bytes,
        interval: 1,
        start_ms: BEGIN_MS + at_ms,
        end_ms: BEGIN_MS + at_ms,
        ..FlowSeen::default()
    }
}

fn told(s: &mut Scene, after_ms: i64, row: FlowSeen) {
    s.seen.push((BEGIN_MS + after_ms, Seen::Flow(row)));
}

/// A server of many: names, time, polls and pings, whose answers are rows of their own, before or after.
#[test]
fn an_answer_is_one_whenever_its_row_comes() {
    // when the row of an answer comes after that of its question, ms
    for later_ms in [
        Some(-900),
        Some(0),
        Some(1),
        Some(2_000),
        Some(25_000),
        None,
    ] {
        for (proto, port) in [(17, 53), (17, 123), (17, 161), (17, 5_060), (1, 0)] {
            let found = found(|s| {
                for n in 0..60 {
                    let at_ms = 1_000 * n;
                    let from = (INSIDE, if proto == 17 { 40_000 + n as u16 } else { 0 });
                    let ends = [from, (ip(10, 0, 3, n as u8), port)];
                    let [there, back] = [ends, [ends[1], ends[0]]];
                    let ping = |kind: u16| if proto == 1 { kind << 8 } else { 0 };
                    let mut ask = row(there, proto, (1, 84), at_ms);
                    ask.icmp = ping(8);
                    told(s, at_ms + 15_000, ask);
                    if let Some(later_ms) = later_ms {
                        let mut answer = row(back, proto, (1, 84), at_ms);
                        answer.icmp = ping(0);
                        told(s, at_ms + 15_000 + later_ms, answer);
                    }
                }
            });
            let kind = if proto == 1 {
                "host_sweep_icmp"
            } else {
                "host_sweep_udp"
            };
            let wanted = if later_ms.is_some() {
                vec![]
            } else {
                vec![kind]
            };
            assert_eq!(kinds(&found), wanted, "{proto}/{port}, {later_ms:?}");
            // a minute after the last that counts was asked
            for d in &found {
                let after_ms = d.detected_ms - BEGIN_MS;
                assert!((15_000..=110_000).contains(&after_ms), "{port}: {after_ms}");
            }
        }
    }
}

/// A host of telephony asks its phones all day, and half of them are off: those that answer come first, and speak for it.
#[test]
fn what_is_answered_before_the_first_failure_counts() {
    let of = |answered: i64| {
        found(move |s| {
            for n in 0..400 {
                let (phone, at_ms) = (n % 40, n / 40 * 60_000 + n % 40 * 200);
                let ends = [(SERVER, 5_060), (ip(10, 0, 5, 10 + phone as u8), 5_060)];
                told(s, at_ms + 15_000, row(ends, 17, (1, 70), at_ms));
                if phone < answered {
                    let back = [ends[1], ends[0]];
                    told(s, at_ms + 15_001, row(back, 17, (1, 60), at_ms));
                }
            }
        })
    };
    assert!(of(20).is_empty());
    assert_eq!(kinds(&of(2)), ["host_sweep_udp"]);
}

/// A balancer asks its servers by a SYN that it resets once it is answered; a scan does so once, or twice.
#[test]
fn who_asks_the_same_ports_all_day_is_no_scan() {
    for metered in [true, false] {
        let of = |rounds: i64, pause_ms: i64, hosts: u8, ports: u16| {
            found(move |s| {
                for n in 0..rounds {
                    for (host, port) in (0..hosts).flat_map(|h| (0..ports).map(move |p| (h, p))) {
                        let at_ms = n * pause_ms + 50 * i64::from(host) + i64::from(port);
                        let from = (INSIDE, 40_000 + (at_ms % 20_000) as u16);
                        let ends = [from, (ip(10, 0, 3, host), 8_080 + port)];
                        let mut check = row(ends, 6, (2, 84), at_ms);
                        check.tcp_flags = Some(0x06);
                        if metered {
                            (check.metered, check.side) = (true, Side::Initiator);
                            (check.back_bytes, check.back_packets) = (Some(44), 1);
                        } else {
                            let mut answer = row([ends[1], ends[0]], 6, (1, 44), at_ms);
                            answer.tcp_flags = Some(0x12);
                            told(s, at_ms + 15_000, answer);
                        }
                        told(s, at_ms + 2_000, check);
                    }
                }
            })
        };
        for (pause_ms, hosts, ports) in [(2_000, 20, 1), (5_000, 6, 12), (28_000, 20, 1)] {
            let ordinary = of(20, pause_ms, hosts, ports);
            assert!(ordinary.is_empty(), "{metered}, {pause_ms}: {ordinary:#?}");
        }
        assert_eq!(kinds(&of(1, 1_000, 60, 1)), ["host_sweep_tcp"], "{metered}");
        assert_eq!(kinds(&of(2, 9_000, 60, 1)), ["host_sweep_tcp"], "{metered}");
        assert_eq!(kinds(&of(1, 1_000, 1, 40)), ["port_scan"], "{metered}");
    }
}

/// HAProxy resets what it acknowledges: the answers were asked for, though their rows come later.
#[test]
fn answers_to_connections_that_are_reset_are_no_reflection() {
    let of = |asks: bool| {
        found(move |s| {
            for n in 0..600 {
                let at_ms = 1_000 * (n / 55) * 10 + 50 * (n % 55);
                let ends = [
                    (INSIDE, 40_000 + n as u16),
                    (ip(10, 0, 3, (n % 55) as u8), 8_222),
                ];
                let (mut check, mut answer) = (
                    row(ends, 6, (3, 132), at_ms),
                    row([ends[1], ends[0]], 6, (1, 44), at_ms),
                );
                (check.tcp_flags, answer.tcp_flags) = (Some(0x16), Some(0x12));
                if asks {
                    told(s, at_ms + 1_000, check);
                }
                told(s, at_ms + 15_000, answer);
            }
        })
    };
    assert!(of(true).is_empty());
    assert_eq!(kinds(&of(false)), ["tcp_reflection_flood"]);
}

/// The hosts of one network get answers that they did not ask for: one flood, and of a single host as before.
#[test]
fn answers_all_over_a_network_are_one_flood() {
    let of = |hosts: i64| {
        found(move |s| {
            for n in 0..40 * hosts {
                let service = (ip(198, 51, 100 + (n % 7) as u8, (n / hosts * 5) as u8), 53);
                let ends = [service, (ip(10, 9, 0, 1 + (n % hosts) as u8), 40_000)];
                let at_ms = n * 20_000 / (40 * hosts);
                told(s, at_ms + 15_000, row(ends, 17, (3, 9_000), at_ms));
            }
        })
    };
    assert_eq!(kinds(&of(200)), ["carpet_flood"]);
    assert_eq!(kinds(&of(1)), ["udp_amplification_flood"]);
    assert_eq!(kinds(&of(3)), ["udp_amplification_flood"; 3]);
}

/// A server of leases answers who has no address yet, and who sleeps answers nobody.
#[test]
fn what_expects_no_answer_is_no_sweep() {
    let of = |ports: (u16, u16), bytes: u64| {
        found(move |s| {
            for n in 0..60 {
                let ends = [(SERVER, ports.0), (ip(10, 0, 4, n as u8), ports.1)];
                let first = s.seen.len();
                s.udp(BEGIN_MS + 2_000 * n, ends, 1, bytes, false);
                assert_eq!(s.seen.len(), first + 1);
            }
        })
    };
    assert!(of((67, 68), 328).is_empty());
    assert!(of((50_123, 9), 130).is_empty());
    assert!(of((50_123, 7), 136).is_empty());
    assert_eq!(kinds(&of((50_123, 7), 29)), ["host_sweep_udp"]);
    assert_eq!(kinds(&of((50_123, 161), 130)), ["host_sweep_udp"]);
}

/// Copies that are kept the same from both sides, and what only goes out: an exporter tells each direction once a minute.
#[test]
fn what_goes_both_ways_is_no_upload_whichever_row_comes_first() {
    for later_ms in [-900, 0, 2_000, 25_000] {
        for back in [0, 55_000_000] {
            let found = found(|s| {
                for n in 1..90 {
                    let at_ms = 60_000 * n;
                    let ends = [(INSIDE, 40_000), (OUTSIDE, 873)];
                    told(s, at_ms, row(ends, 6, (40_000, 60_000_000), at_ms - 1_000));
                    if back > 0 {
                        let answer = row([ends[1], ends[0]], 6, (40_000, back), at_ms - 1_000);
                        told(s, at_ms + later_ms, answer);
                    }
                }
            });
            match &found[..] {
                [] => assert!(back > 0),
                [upload] => {
                    assert_eq!((upload.kind.name(), back), ("large_upload", 0));
                    let waited_ms = upload.detected_ms - BEGIN_MS - 60_000;
                    assert!((0..=31_000).contains(&waited_ms), "{waited_ms}");
                    assert_eq!((upload.count, upload.last_ms), (89, BEGIN_MS + 5_339_000));
                }
                more => panic!("{later_ms}, {back}: {more:#?}"),
            }
        }
    }
}

/// The input ends before the other direction could have come.
#[test]
fn an_upload_is_told_at_the_end_whatever_it_waits_for() {
    let found = found(|s| {
        let ends = [(INSIDE, 40_000), (OUTSIDE, 443)];
        told(s, 600_000, row(ends, 6, (40_000, 60_000_000), 599_000));
    });
    assert_eq!(kinds(&found), ["large_upload"]);
}

/// Segments as scanners send them, and what comes back: closed ports reset.
fn probes(s: &mut Scene, n: i64, flags: u16, bytes: u64, ends: impl Fn(i64) -> [End; 2]) {
    for i in 0..n {
        let [from, to] = ends(i);
        let mut probe = row([from, to], 6, (1, bytes), 100 * i);
        probe.tcp_flags = Some(flags);
        told(s, 15_000 + 100 * i, probe);
        let mut reset = row([to, from], 6, (1, 40), 100 * i);
        reset.tcp_flags = Some(if flags & 0x10 == 0 { 0x14 } else { 0x04 });
        told(s, 15_001 + 100 * i, reset);
    }
}

#[test]
fn segments_that_open_nothing_are_scans_in_rows_as_well() {
    let ports = |n: i64| [(OUTSIDE, 50_123), (SERVER, 20 + n as u16)];
    let hosts = |n: i64| [(OUTSIDE, 50_123), (ip(10, 0, 3, n as u8), 445)];
    let of = |flags: u16, bytes: u64, ends: fn(i64) -> [End; 2]| {
        found(|s| probes(s, 120, flags, bytes, ends))
    };
    // none, FIN and ACK
    for flags in [0x00, 0x11] {
        assert_eq!(kinds(&of(flags, 40, ports)), ["port_scan"], "{flags}");
    }
    assert_eq!(kinds(&of(0x00, 40, hosts)), ["host_sweep_tcp"]);
    // connections of long ago that end on many hosts, and segments with the options of systems
    assert!(of(0x11, 40, hosts).is_empty());
    assert!(of(0x11, 52, ports).is_empty() && of(0x00, 52, ports).is_empty());
}

/// Some exporters tell of all segments that they have no flags.
#[test]
fn who_tells_no_flags_at_all_tells_of_no_scan() {
    let found = found(|s| {
        for n in 0..600 {
            let ends = [(INSIDE, 40_000 + n as u16), (ip(10, 0, 3, n as u8), 445)];
            for ends in [ends, [ends[1], ends[0]]] {
                let mut some = row(ends, 6, (1, 40), 100 * n);
                some.tcp_flags = Some(0);
                told(s, 15_000 + 100 * n, some);
            }
        }
    });
    assert!(found.is_empty(), "{found:#?}");
}

/// Datagrams of a call in a rhythm, each from the next source port, and what comes back.
fn datagrams(
    s: &mut Scene,
    to: End,
    bytes: (u64, u64),
    (step_ms, life_ms): (i64, i64),
    ports: u16,
) {
    for n in 0..100i64 {
        let from = (INSIDE, 40_000 + n as u16 % ports);
        let at_ms = step_ms * n;
        for (ends, bytes) in [([from, to], bytes.0), ([to, from], bytes.1)] {
            let mut some = row(ends, 17, (1, bytes), at_ms);
            some.end_ms += life_ms;
            if bytes > 0 {
                told(s, at_ms + life_ms + 15_000, some);
            }
        }
    }
}

#[test]
fn calls_by_udp_are_beacons_in_rows_as_well() {
    let of = |port: u16, bytes: (u64, u64), times: (i64, i64), ports: u16| {
        found(|s| datagrams(s, (OUTSIDE, port), bytes, times, ports))
    };
    for port in [443, 4_444, 9_999] {
        let calls = of(port, (428, 628), (60_000, 40), 9_000);
        assert_eq!(kinds(&calls), ["beacon"], "{port}");
        assert_eq!(calls[0].entity.addr(), Some(INSIDE));
    }
    for port in [53, 123, 3_478, 3_480, 1_813, 51_820] {
        assert!(
            of(port, (428, 628), (60_000, 40), 9_000).is_empty(),
            "{port}"
        );
    }
    // nobody answers, a page is read, and a tunnel whose rows timeouts cut, or that is kept open
    assert!(of(4_444, (428, 0), (60_000, 40), 9_000).is_empty());
    assert!(of(443, (428, 9_000), (60_000, 40), 9_000).is_empty());
    assert!(of(4_444, (428, 628), (60_000, 59_000), 9_000).is_empty());
    assert!(of(4_444, (60, 60), (25_000, 0), 1).is_empty());
}

/// A router that tells of what goes out, or to some hosts inside, and not of what comes back; and one of which nobody knows.
#[test]
fn questions_whose_answers_are_not_told_of_are_not_judged() {
    for outside in [true, false] {
        let of = |pages: i64, both: bool| {
            found(move |s| {
                for n in 0..300 {
                    let net = if outside { 198 } else { 10 };
                    let to = (ip(net, (n % 100) as u8, 7, n as u8), 161);
                    let ends = [(INSIDE, 40_000 + n as u16), to];
                    told(s, 15_000 + 100 * n, row(ends, 17, (1, 70), 100 * n));
                }
                let place = if outside { OUTSIDE } else { SERVER };
                for n in 0..pages {
                    let ends = [(ip(10, 0, 1, 9), 50_000 + n as u16), (place, 443)];
                    let at_ms = 9_000 + 100 * n;
                    told(s, at_ms, row(ends, 6, (12, 2_400), 100 * n));
                    if both {
                        let back = row([ends[1], ends[0]], 6, (14, 18_000), 100 * n);
                        told(s, at_ms + 1, back);
                    }
                }
            })
        };
        assert!(of(40, false).is_empty(), "{outside}");
        assert_eq!(kinds(&of(40, true)), ["host_sweep_udp"], "{outside}");
        assert_eq!(kinds(&of(0, false)), ["host_sweep_udp"], "{outside}");
    }
}

/// Of samples, a reset shows that a SYN was answered: a balancer some of whose servers are down looks for none.
#[test]
fn who_resets_what_is_answered_sweeps_nothing_in_samples() {
    let of = |up: i64| {
        found(move |s| {
            for n in 0..240 {
                let host = s.dice.within(0, 40);
                let ends = [
                    (INSIDE, 40_000 + n as u16),
                    (ip(10, 0, 3, host as u8), 8_443),
                ];
                let mut some = row(ends, 6, (1, 44), 500 * n);
                let resets = host < up && s.dice.within(0, 2) == 0;
                (some.interval, some.tcp_flags) = (100, Some(if resets { 0x04 } else { 0x02 }));
                told(s, 15_000 + 500 * n, some);
            }
        })
    };
    assert!(of(30).is_empty());
    assert_eq!(kinds(&of(0)), ["host_sweep_tcp"]);
}
