//! What programs do on and on and nobody attacks by, beside what looks like it: lists of digests, old passwords, failovers; and what incidents show.

use super::attacks::{BEGIN_MS, Scene, ip};
use super::judged;
use super::scenarios::{INSIDE, OUTSIDE, SERVER};
use flowhouse::detect::anomaly::{
    BurstKind, DeniedSeen, DnsSeen, FlowSeen, KeysSeen, Seen, Settings, Side, TriedSeen,
};
use flowhouse::model::{Addr, Detection, Handshake, Severity};

fn found(inject: impl Fn(&mut Scene)) -> Vec<Detection> {
    let mut scene = Scene::new(5, 1);
    scene.office(20);
    inject(&mut scene);
    judged(scene, &Settings::default())
}

fn kinds(found: &[Detection]) -> Vec<&str> {
    found.iter().map(|d| d.kind.name()).collect()
}

/// A server of mail asks a list for the digest of each address, one in seven seconds, and hardly any is listed.
#[test]
fn lists_of_digests_are_no_tunnel() {
    let of = |digits: usize, rcode: u8, (n, pause_ms): (i64, i64)| {
        found(move |s| {
            for n in 0..n {
                let hex: String = (0..4).map(|_| format!("{:016x}", s.dice.next())).collect();
                let name = format!("{}.hashes.example", &hex[..digits]);
                let at_ms = BEGIN_MS + pause_ms * n;
                s.dns(at_ms, INSIDE, &name, 1, None);
                s.dns(at_ms + 20, INSIDE, &name, 1, Some(rcode));
            }
        })
    };
    let mail = (500, 7_000);
    assert!(of(40, 3, mail).is_empty());
    assert!(of(64, 3, mail).is_empty());
    // answered with something, of another length, or much more of them
    assert_eq!(kinds(&of(40, 0, mail)), ["dns_tunnel"]);
    assert_eq!(kinds(&of(50, 3, mail)), ["dns_tunnel"]);
    assert_eq!(kinds(&of(40, 3, (1_500, 300))), ["dns_tunnel"]);
}

/// Clients that offer little and servers with a large key of the host hide by their keys that nobody is let in.
#[test]
fn a_crowd_is_told_by_what_is_said_behind_the_keys() {
    let of = |behind: u64| {
        found(move |s| {
            for n in 0..120 {
                let at_ms = BEGIN_MS + 12_000 * n;
                let client = ip(198, 51, 100, 1 + (n % 60) as u8);
                let keys = |by_client: bool, offer: u32, answer: u32| KeysSeen {
                    client,
                    server: SERVER,
                    port: 22,
                    by_client,
                    offer,
                    answer,
                    time_ms: at_ms,
                };
                for seen in [keys(true, 700, 48), keys(false, 1_100, 1_900)] {
                    s.seen.push((at_ms, Seen::Keys(seen)));
                }
                let row = FlowSeen {
                    src: client,
                    dst: SERVER,
                    src_port: 40_000 + n as u16,
                    dst_port: 22,
                    proto: 6,
                    tcp_flags: Some(0x1b),
                    packets: 16,
                    bytes: 16 * 52 + 748 + 500,
                    back_bytes: Some(16 * 52 + 3_000 + behind),
                    back_packets: 16,
                    interval: 1,
                    start_ms: at_ms,
                    end_ms: at_ms + 2_500,
                    handshake: Handshake::Complete,
                    side: Side::Initiator,
                    metered: true,
                    conversation: 1 + n as u64,
                    ..FlowSeen::default()
                };
                s.seen.push((at_ms + 3_000, Seen::Flow(row)));
            }
        })
    };
    let crowd = of(450);
    assert_eq!(kinds(&crowd), ["brute_force"]);
    assert_eq!(crowd[0].detector, "brute_force.crowd");
    // somebody is told something
    assert!(of(4_000).is_empty());
}

fn refusal(port: u16, service: &'static str, time_ms: i64) -> DeniedSeen {
    DeniedSeen {
        client: INSIDE,
        server: SERVER,
        port,
        service,
        client_port: 40_000,
        bytes: 90,
        time_ms,
    }
}

#[test]
fn a_password_that_is_tried_again_is_no_guess() {
    let of = |passwords: u64| {
        found(move |s| {
            for n in 0..40 {
                let at_ms = BEGIN_MS + 30_000 * n;
                let tried = TriedSeen {
                    client: INSIDE,
                    server: SERVER,
                    port: 143,
                    user: None,
                    words: Some(n as u64 % passwords),
                };
                s.seen.push((at_ms, Seen::Tried(tried)));
                let denied = refusal(143, "imap", at_ms + 2_000 + 3_000 * (n % 2));
                s.seen.push((denied.time_ms, Seen::Denied(denied)));
            }
        })
    };
    assert!(of(1).is_empty());
    assert!(of(2).is_empty());
    let guesses = of(40);
    assert_eq!(kinds(&guesses), ["brute_force"]);
    assert_eq!(guesses[0].severity, Severity::Medium);
    // some look like one of before
    assert!((30..=40).contains(&guesses[0].count));
}

/// Who asks each half minute to the second is a program; as soon as it does not, it may be somebody who guesses.
#[test]
fn refusals_at_an_even_interval_are_low() {
    let of = |hurries: bool| {
        let found = found(move |s| {
            for n in 0..40 {
                let late = if hurries && n > 20 {
                    9_000 * (n % 3)
                } else {
                    0
                };
                let denied = refusal(445, "smb", BEGIN_MS + 30_000 * n + late);
                s.seen.push((denied.time_ms, Seen::Denied(denied)));
            }
        });
        assert_eq!(kinds(&found), ["brute_force"]);
        assert_eq!(found[0].count, 40);
        (
            found[0].severity,
            found[0].title.contains("an old password"),
        )
    };
    assert_eq!(of(false), (Severity::Low, true));
    assert_eq!(of(true), (Severity::Medium, false));
}

#[test]
fn a_failover_is_no_spoofing() {
    let vip = ip(10, 0, 3, 200);
    let of = |pause_ms: i64, macs: [u64; 2], turns: i64| {
        found(move |s| {
            for n in 0..turns {
                let mac = macs[n as usize % 2];
                for i in 0..5 {
                    let at_ms = BEGIN_MS + pause_ms * n + 500 * i;
                    s.arp(at_ms, 1, (mac, vip), vip);
                    // the one before answers once more
                    if i == 0 && n > 0 {
                        let old = macs[(n as usize + 1) % 2];
                        s.arp(at_ms + 300, 2, (old, vip), INSIDE);
                    }
                    s.arp(at_ms + 10_000, 2, (mac, vip), INSIDE);
                }
            }
        })
    };
    let nodes = [0x0200_0800_0001, 0x0200_0800_0002];
    assert!(of(300_000, nodes, 6).is_empty());
    assert!(of(80_000, nodes, 3).is_empty());
    let fight = of(20_000, nodes, 3);
    assert_eq!(kinds(&fight), ["arp_spoofing"]);
    // the address of a virtual router comes back to it, and one that says in between that it is its own is told
    let router = [0x0000_5e00_0105, 0x0200_0800_0002];
    assert_eq!(kinds(&of(10_000, router, 8)), ["arp_spoofing"]);
}

fn figure(d: &Detection, name: &str) -> (f64, Option<f64>) {
    let found = d.evidence.figures.iter().find(|f| f.name == name);
    let found = found.unwrap_or_else(|| panic!("no {name}: {d:?}"));
    (found.observed, found.threshold)
}

fn flood(s: &mut Scene, sources: u8, (src_port, ports): (u16, u16), bytes: u64) {
    let src = |n: u32| {
        (
            ip(198, 51, 100, 1 + (n % u32::from(sources)) as u8),
            src_port,
        )
    };
    for n in 0..3_000u32 {
        let at_ms = BEGIN_MS + 1_000 * i64::from(n / 300);
        let dst = (SERVER, 1_000 + (n % u32::from(ports)) as u16);
        s.burst(at_ms, BurstKind::Udp, [src(n), dst], 10, bytes);
    }
}

/// Each rule shows the number that it went by.
#[test]
fn a_flood_shows_the_numbers_of_the_rule_that_found_it() {
    let few = found(|s| flood(s, 3, (11_211, 1), 14_000));
    assert_eq!(kinds(&few), ["udp_amplification_flood"]);
    assert!(figure(&few[0], "bytes of answers in a minute").1.is_some());
    let services = "services that answered without a question in a minute";
    assert_eq!(figure(&few[0], services).1, None);
    assert_eq!(figure(&few[0], "bytes a packet").1, None);
    assert!(few[0].evidence.counterfactual.contains("bytes"));
    assert!(!few[0].evidence.flows.is_empty());
    let ports = found(|s| flood(s, 1, (60_000, 900), 900));
    assert_eq!(kinds(&ports), ["flood"]);
    assert_eq!(figure(&ports[0], "ports in the window").1, Some(64.0));
    assert!(ports[0].evidence.counterfactual.contains("64 ports"));
    assert!(!ports[0].evidence.counterfactual.contains("sources"));
}

/// A packet that tells is shown as the flow that it is of.
#[test]
fn what_packets_tell_is_shown_with_its_flow() {
    let of = |found: Vec<Detection>, src: Addr, dst: Addr, port: u16| {
        let flows = found.iter().flat_map(|d| &d.evidence.flows);
        let mut flows = flows.filter(|f| (f.src, f.dst, f.dst_port) == (src, dst, port));
        let flow = flows.next().unwrap_or_else(|| panic!("no flow: {found:?}"));
        assert!(flow.community_id.starts_with("1:"), "{flow:?}");
    };
    let called = found(|s| {
        s.call(BEGIN_MS, INSIDE, SERVER, "svcctl", None);
        s.call(BEGIN_MS + 100, INSIDE, SERVER, "", Some(12));
    });
    of(called, INSIDE, SERVER, 445);
    let refused = found(|s| {
        (0..30).for_each(|n| s.denied(BEGIN_MS + 4_000 * n, OUTSIDE, SERVER, 143, "imap"))
    });
    of(refused, OUTSIDE, SERVER, 143);
    let tunnel = found(|s| {
        for n in 0..60 {
            let word = format!(
                "{:016x}{:016x}{:016x}",
                s.dice.next(),
                s.dice.next(),
                s.dice.next()
            );
            let asked = DnsSeen {
                client: INSIDE,
                server: SERVER,
                client_port: 50_000,
                time_ms: BEGIN_MS + 1_000 * n,
                kind: 1,
                bytes: 90,
                name: format!("{word}.t.example").into_bytes().into(),
                ..DnsSeen::default()
            };
            s.seen.push((asked.time_ms, Seen::Dns(asked)));
        }
    });
    of(tunnel, INSIDE, SERVER, 53);
}

/// A guess that a server refuses is one, though its session is seen, too.
#[test]
fn a_guess_counts_once() {
    let found = found(|s| {
        for n in 0..40 {
            let at_ms = BEGIN_MS + 3_000 * n;
            let tcp = super::attacks::Tcp {
                at_ms,
                src: INSIDE,
                dst: SERVER,
                port: 21,
                packets: 12,
                bytes: 700,
                back: 800,
                life_ms: 2_800,
                handshake: Handshake::Complete,
            };
            s.tcp(tcp);
            let denied = refusal(21, "ftp", at_ms + 2_500);
            s.seen.push((denied.time_ms, Seen::Denied(denied)));
        }
    });
    assert_eq!(kinds(&found), ["brute_force"]);
    assert!((40..=42).contains(&found[0].count), "{}", found[0].count);
}
