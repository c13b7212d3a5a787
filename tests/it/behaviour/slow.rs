//! What takes hours, or many hosts, and what ordinary work does as slowly or as many.

use super::attacks::{BEGIN_MS, Scene, Tcp, ip};
use super::judged;
use super::limits::call_it;
use super::scenarios::{INSIDE, OUTSIDE, SERVER};
use flowhouse::detect::anomaly::{DeniedSeen, FlowSeen, Seen, Settings, Side};
use flowhouse::model::{Addr, Detection, Handshake};

fn found(inject: impl Fn(&mut Scene)) -> Vec<Detection> {
    let mut scene = Scene::new(5, 1);
    scene.office(20);
    inject(&mut scene);
    judged(scene, &Settings::default())
}

fn kinds(found: &[Detection]) -> Vec<&str> {
    found.iter().map(|d| d.kind.name()).collect()
}

fn session(
    s: &mut Scene,
    at_ms: i64,
    ends: (Addr, Addr, u16),
    sizes: (u64, u64, u64),
    life_ms: i64,
) {
    s.tcp(Tcp {
        at_ms: BEGIN_MS + at_ms,
        src: ends.0,
        dst: ends.1,
        port: ends.2,
        packets: sizes.0,
        bytes: sizes.1,
        back: sizes.2,
        life_ms,
        handshake: Handshake::Complete,
    });
}

const HOUR_MS: i64 = 3_600_000;

/// Who works by day calls home by day: on Monday it is the same as on Friday.
#[test]
fn a_beacon_of_working_hours_is_one_incident() {
    let found = found(|s| {
        for day in [0, 1, 4, 5] {
            for n in 0..480 {
                // nobody works at noon
                let at_ms = day * 24 * HOUR_MS + n * 60_000 + if n < 240 { 0 } else { 2 * HOUR_MS };
                session(s, at_ms, (INSIDE, OUTSIDE, 443), (9, 1_400, 2_200), 300);
            }
        }
    });
    assert_eq!(kinds(&found), ["beacon"]);
}

/// A service that is known by its name has many addresses, and all of an office call it.
#[test]
fn what_everybody_calls_is_no_beacon_whatever_address_it_has() {
    let of = |callers: u8| {
        found(move |s| {
            let first = s.seen.len();
            for n in 0..300 {
                for host in 0..callers {
                    let ends = (ip(10, 0, 1, 1 + host), ip(203, 0, 113, 1 + host), 443);
                    session(
                        s,
                        60_000 * n + 500 * i64::from(host),
                        ends,
                        (9, 1_400, 2_200),
                        300,
                    );
                }
            }
            call_it(s, first, "microsoft-365");
        })
    };
    assert!(of(30).is_empty());
    assert_eq!(of(3).len(), 3);
}

#[test]
fn hosts_that_nobody_has_are_asked_for_slowly() {
    let of = |there: bool, pause_ms: i64| {
        found(move |s| {
            for n in 0..60u8 {
                let host = (0x0200_0000_0100 + u64::from(n), ip(10, 0, 9, 100 + n));
                if there {
                    s.arp(BEGIN_MS + i64::from(n), 1, host, ip(10, 0, 9, 1));
                }
                let at_ms = BEGIN_MS + 10_000 + pause_ms * i64::from(n);
                s.arp(at_ms, 1, (0x0200_0000_0009, ip(10, 0, 9, 9)), host.1);
            }
        })
    };
    let slow = of(false, 120_000);
    assert_eq!(kinds(&slow), ["host_sweep_arp"]);
    assert_eq!(slow[0].detector, "arp.slow_sweep");
    // a server that comes to all of its clients
    assert!(of(true, 120_000).is_empty());
}

#[test]
fn domains_that_do_not_exist_are_asked_for_slowly() {
    let of = |n: i64, others: i64, name: fn(u64) -> String| {
        found(move |s| {
            for i in 0..n {
                let at_ms = BEGIN_MS + 60_000 * i;
                let word = s.dice.next();
                s.dns(at_ms, INSIDE, &name(word), 1, Some(3));
                for other in 0..others {
                    s.dns(at_ms + other, INSIDE, "www.example.org", 1, Some(0));
                }
            }
        })
    };
    let drawn = |word: u64| format!("{:012x}.net", word >> 16);
    let found = of(180, 5, drawn);
    assert_eq!(kinds(&found), ["dga"]);
    // one in thirty answers, some within a day, and names that somebody mistypes
    assert!(of(180, 40, drawn).is_empty());
    assert!(of(40, 5, drawn).is_empty());
    let mistyped = |word: u64| {
        let parts = ["ma", "le", "ri", "to", "nu", "sa", "pe", "lo"];
        let part = |n: u32| parts[(word >> (3 * n)) as usize % 8];
        format!("{}{}{}.com", part(0), part(1), part(2))
    };
    assert!(of(180, 5, mistyped).is_empty());
}

/// Each source tries a few times, and hides among others.
#[test]
fn many_sources_that_guess_at_one_service_are_one_incident() {
    let word = |client: u8, at_ms: i64| DeniedSeen {
        client: ip(198, 51, 100, client),
        server: SERVER,
        port: 143,
        service: "imap",
        time_ms: BEGIN_MS + at_ms,
        ..DeniedSeen::default()
    };
    let mail = |refused: u8, granted: u8| {
        found(move |s| {
            for n in 0..180 {
                let at_ms = 10_000 * i64::from(n);
                let seen = word(1 + n % refused, at_ms);
                s.seen.push((BEGIN_MS + at_ms, Seen::Denied(seen)));
                if granted > 0 {
                    let seen = word(1 + n % granted, at_ms + 5_000);
                    s.seen.push((BEGIN_MS + at_ms + 5_000, Seen::Granted(seen)));
                }
            }
        })
    };
    let crowd = mail(60, 0);
    assert_eq!(kinds(&crowd), ["brute_force"]);
    assert_eq!(crowd[0].entity.addr(), Some(SERVER));
    assert!(
        crowd[0].title.contains("by 60 sources") || crowd[0].peers_total > 50,
        "{:?}",
        crowd[0]
    );
    // people mistype, and come in
    assert!(mail(60, 60).is_empty());
    let shells = |back: u64, life_ms: i64| {
        found(move |s| {
            for n in 0..120 {
                let src = ip(198, 51, 100, 1 + (n % 60) as u8);
                session(s, 12_000 * n, (src, SERVER, 22), (22, 3_700, back), life_ms);
            }
        })
    };
    assert_eq!(kinds(&shells(3_100, 2_500)), ["brute_force"]);
    // what builds fetch from a server of git
    assert!(shells(7_900, 1_900).is_empty());
}

/// One probe a minute: pings of which some are answered, and segments with ACK that are all answered by resets.
#[test]
fn sweeps_of_hours_are_sweeps() {
    let of = |row: fn(u8) -> FlowSeen| {
        found(move |s| {
            for n in 0..120u8 {
                let at_ms = BEGIN_MS + 60_000 * i64::from(n);
                let row = FlowSeen {
                    src: INSIDE,
                    dst: ip(10, 0, 7, 1 + n),
                    packets: 1,
                    interval: 1,
                    start_ms: at_ms,
                    end_ms: at_ms,
                    side: Side::Initiator,
                    metered: true,
                    ..row(n)
                };
                s.seen.push((at_ms + 30_000, Seen::Flow(row)));
            }
        })
    };
    let pings = of(|n| FlowSeen {
        proto: 1,
        icmp: 0x0800,
        bytes: 84,
        back_packets: u64::from(n % 3 == 0),
        back_bytes: Some(84 * u64::from(n % 3 == 0)),
        ..FlowSeen::default()
    });
    assert_eq!(kinds(&pings), ["host_sweep_icmp"]);
    let acks = of(|n| FlowSeen {
        proto: 6,
        tcp_flags: Some(0x10),
        src_port: 40_000 + u16::from(n),
        dst_port: 443,
        bytes: 40,
        back_packets: 1,
        back_bytes: Some(40),
        ..FlowSeen::default()
    });
    assert_eq!(kinds(&acks), ["host_sweep_tcp"]);
}

#[test]
fn guesses_at_several_services_are_called_by_all_of_them() {
    let found = found(|s| {
        for n in 0..40 {
            session(
                s,
                3_000 * n,
                (OUTSIDE, SERVER, 22),
                (22, 3_700, 3_100),
                2_500,
            );
            let other = ip(10, 0, 3, 77);
            session(s, 3_000 * n, (OUTSIDE, other, 21), (14, 820, 900), 2_400);
        }
    });
    assert_eq!(kinds(&found), ["brute_force"]);
    let title = &found[0].title;
    let is_whole = ["ssh", "ftp", "2 hosts"].iter().all(|w| title.contains(w));
    assert!(is_whole, "{title}");
}

#[test]
fn what_is_estimated_says_so() {
    let of = |interval: u32| {
        let mut scene = Scene::new(5, interval);
        for n in 0..60 {
            let ends = [(ip(203, 0, 113, n), 40_000), (SERVER, 9_000)];
            for i in 0..10 {
                let at_ms = BEGIN_MS + 100 * i64::from(n) + 6_000 * i;
                scene.udp(at_ms, ends, 60_000, 60_000_000, false);
            }
        }
        judged(scene, &Settings::default())
    };
    let says = |found: &[Detection]| {
        let flood = found.iter().find(|d| d.kind.name().ends_with("flood"));
        let facts = &flood.expect("a flood").evidence.facts;
        facts
            .iter()
            .any(|f| f.0 == "figures" && f.1.contains("1 in 100 packets"))
    };
    assert!(says(&of(100)));
}
