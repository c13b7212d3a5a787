//! What lies on either side of a limit: what somebody could hide behind an exemption, and what the exemption is for.

use super::attacks::{BEGIN_MS, Scene, Tcp, ip};
use super::judged;
use super::scenarios::{INSIDE, OUTSIDE, SERVER};
use flowhouse::detect::anomaly::{
    BurstKind, DeniedSeen, Detectors, DnsSeen, FlowSeen, Known, Seen, Settings, Side,
};
use flowhouse::model::{Addr, AppProto, Detection, Handshake, Severity};

fn found(inject: impl Fn(&mut Scene)) -> Vec<Detection> {
    let mut scene = Scene::new(3, 1);
    scene.office(20);
    inject(&mut scene);
    judged(scene, &Settings::default())
}

fn kinds(found: &[Detection]) -> Vec<&str> {
    found.iter().map(|d| d.kind.name()).collect()
}

/// Changes the rows that were put into a scene from `first` on.
fn change(s: &mut Scene, first: usize, mut how: impl FnMut(&mut FlowSeen)) {
    for (_, seen) in &mut s.seen[first..] {
        if let Seen::Flow(f) = seen {
            how(f);
        }
    }
}

/// Names the application of rows, as a server name or a range does.
pub fn call_it(s: &mut Scene, first: usize, app: &str) {
    change(s, first, |f| (f.known, f.app) = (Known::Named, 4_711));
    s.seen
        .push((BEGIN_MS - 1_000, Seen::Name(4_711, app.into())));
}

fn session(
    s: &mut Scene,
    after_ms: i64,
    (src, dst, port): (Addr, Addr, u16),
    (packets, bytes, back): (u64, u64, u64),
    life_ms: i64,
) {
    s.tcp(Tcp {
        at_ms: BEGIN_MS + after_ms,
        src,
        dst,
        port,
        packets,
        bytes,
        back,
        life_ms,
        handshake: Handshake::Complete,
    });
}

fn calls(s: &mut Scene, n: i64, port: u16, back: u64) -> usize {
    let first = s.seen.len();
    for i in 0..n {
        session(
            s,
            60_000 * i,
            (INSIDE, OUTSIDE, port),
            (9, 1_400, back),
            300,
        );
    }
    first
}

#[test]
fn a_name_that_a_caller_chooses_ends_no_beacon() {
    let beacon = |n: i64, app: &str| {
        let found = found(|s| {
            let first = calls(s, n, 443, 2_200);
            call_it(s, first, app);
        });
        found.iter().find(|d| d.kind.name() == "beacon").cloned()
    };
    for rented in ["cloudfront", "fastly", "aws", "telegram"] {
        let found = beacon(30, rented).unwrap_or_else(|| panic!("{rented}"));
        assert_eq!(found.confidence, 60, "{rented}");
    }
    // of a service of one maker it takes hours, and is less sure
    assert!(beacon(120, "microsoft-365").is_none());
    let late = beacon(300, "microsoft-365").expect("a beacon");
    assert_eq!(late.confidence, 40);
    assert!(!late.evidence.blind.is_empty());
    // a rule is the user's word
    let ruled = found(|s| {
        let first = calls(s, 300, 443, 2_200);
        change(s, first, |f| f.known = Known::Ruled);
    });
    assert!(ruled.is_empty(), "{:?}", kinds(&ruled));
}

#[test]
fn answers_as_long_as_somebody_likes_end_no_beacon() {
    let late = found(|s| {
        calls(s, 300, 443, 30_000);
    });
    assert_eq!(kinds(&late), ["beacon"]);
    assert_eq!(late[0].confidence, 40);
}

#[test]
fn a_port_of_time_or_shells_hides_nothing_where_packets_say_what_is_spoken() {
    for port in [22, 25, 1194, 5228] {
        let with = |spoken: AppProto| {
            found(|s| {
                let first = calls(s, 40, port, 2_200);
                change(s, first, |f| f.spoken = spoken as u8);
            })
        };
        assert_eq!(kinds(&with(AppProto::Http)), ["beacon"], "{port}");
        let meant = match port {
            22 => AppProto::Ssh,
            25 => AppProto::Smtp,
            1194 => AppProto::Openvpn,
            _ => AppProto::Tls,
        };
        let calm = with(meant);
        assert!(calm.is_empty(), "{port}: {:?}", kinds(&calm));
    }
}

#[test]
fn few_hosts_that_call_a_place_are_told_each() {
    let found = found(|s| {
        for n in 0..6 * 60 {
            let host = ip(10, 0, 1, 30 + (n % 6) as u8);
            session(s, 10_000 * n, (host, OUTSIDE, 443), (9, 1_400, 2_200), 300);
        }
    });
    assert_eq!(kinds(&found), ["beacon"; 6]);
    // the first two are told before it is known that others call, too
    let low = |d: &&Detection| d.severity == Severity::Low;
    assert!(found.iter().filter(low).count() >= 4, "{found:#?}");
}

/// A place that one host in fifty calls is surer than one of few hosts; what its name says may be true, and takes time.
#[test]
fn a_beacon_is_as_bad_as_its_place_is_rare() {
    let of = |hosts: u8| {
        let found = found(|s| {
            for n in 0..60 {
                session(
                    s,
                    60_000 * n,
                    (INSIDE, OUTSIDE, 443),
                    (9, 1_400, 2_200),
                    300,
                );
                for host in 0..hosts {
                    let place = ip(93, 184, host, 1);
                    let pause_ms = s.dice.within(0, 50_000);
                    let at = (ip(10, 0, 6, host), place, 443);
                    session(s, 60_000 * n + pause_ms, at, (9, 1_400, 90_000), 300);
                }
            }
        });
        let beacon = found.iter().find(|d| d.entity.addr() == Some(INSIDE));
        let beacon = beacon.expect("a beacon");
        (beacon.severity, beacon.confidence)
    };
    let (few, many) = (of(4), of(120));
    assert_eq!((few.0, many.0), (Severity::Medium, Severity::Medium));
    assert!(many.1 > few.1, "{few:?} {many:?}");
}

/// Rows of an exporter that tells of each direction by itself.
fn exported(s: &mut Scene, after_ms: i64, (bytes, back): (u64, u64), life_ms: i64) {
    let port = s.dice.within(32_768, 60_999) as u16;
    let (there, answer) = ((INSIDE, port), (SERVER, 22));
    for (from, to, bytes) in [(there, answer, bytes), (answer, there, back)] {
        let row = FlowSeen {
            src: from.0,
            dst: to.0,
            src_port: from.1,
            dst_port: to.1,
            proto: 6,
            tcp_flags: Some(0x1b),
            bytes,
            packets: 22,
            interval: 1,
            start_ms: BEGIN_MS + after_ms,
            end_ms: BEGIN_MS + after_ms + life_ms,
            side: Side::Unknown,
            ..FlowSeen::default()
        };
        s.seen.push((row.end_ms + 15_000, Seen::Flow(row)));
    }
}

#[test]
fn slow_guesses_inside_are_told_by_rows_of_exporters() {
    let of = |(bytes, back): (u64, u64)| {
        found(move |s| (0..60).for_each(|n| exported(s, 40_000 * n, (bytes, back), 2_700)))
    };
    assert_eq!(kinds(&of((3_737, 3_124))), ["brute_force"]);
    // once somebody is in, the server has more to say
    assert!(of((3_900, 3_600)).is_empty());
}

#[test]
fn guesses_over_smb_from_outside_are_told_though_they_rest() {
    let found = found(|s| {
        for n in 0..120 {
            session(
                s,
                9_000 * n,
                (OUTSIDE, SERVER, 445),
                (14, 2_400, 2_300),
                2_200,
            );
        }
    });
    assert_eq!(kinds(&found), ["brute_force"]);
}

#[test]
fn who_is_in_after_slow_guesses_or_a_spray_is_told() {
    let slow = found(|s| {
        for n in 0..110 {
            session(
                s,
                720_000 * n,
                (OUTSIDE, SERVER, 22),
                (22, 3_700, 3_100),
                2_500,
            );
        }
        let at = 720_000 * 110;
        session(s, at, (OUTSIDE, SERVER, 22), (900, 90_000, 400_000), 60_000);
    });
    let mut all = kinds(&slow);
    all.sort_unstable();
    assert_eq!(all, ["brute_force", "brute_force_succeeded"]);
    let spray = found(|s| {
        for n in 0..40 {
            let host = ip(10, 0, 3, 1 + (n % 20) as u8);
            session(s, 5_000 * n, (INSIDE, host, 22), (22, 3_737, 3_124), 2_700);
        }
        let host = ip(10, 0, 3, 7);
        session(
            s,
            300_000,
            (INSIDE, host, 22),
            (900, 90_000, 400_000),
            60_000,
        );
    });
    let mut all = kinds(&spray);
    all.sort_unstable();
    assert_eq!(all, ["brute_force_succeeded", "password_spray"]);
}

/// Who only tries passwords opens no doors: it is told once, as what it is.
#[test]
fn a_spray_that_is_refused_is_no_movement() {
    let refused = found(|s| {
        for n in 0..40 {
            let host = ip(10, 0, 3, 1 + n as u8);
            session(s, 5_000 * n, (INSIDE, host, 445), (14, 2_400, 2_300), 400);
            s.denied(BEGIN_MS + 5_000 * n + 300, INSIDE, host, 445, "smb");
        }
    });
    assert_eq!(kinds(&refused), ["password_spray"]);
    // by the shape of sessions alone, and where a week was seen
    for after_ms in [0, 8 * 86_400_000] {
        let shaped = found(|s| {
            session(s, 0, (SERVER, INSIDE, 3389), (160, 60_000, 70_000), 9_000);
            for n in 0..40 {
                let host = ip(10, 0, 3, 1 + n as u8);
                let at = after_ms + 5_000 * n;
                session(s, at, (INSIDE, host, 3389), (25, 3_000, 2_900), 2_500);
            }
        });
        assert_eq!(kinds(&shaped), ["password_spray"], "{after_ms}");
    }
    // where the server lets somebody in, the door is open
    let open = found(|s| {
        for n in 0..40 {
            let host = ip(10, 0, 3, 1 + n as u8);
            session(
                s,
                5_000 * n,
                (INSIDE, host, 445),
                (40, 9_000, 12_000),
                3_000,
            );
            s.denied(BEGIN_MS + 5_000 * n + 300, INSIDE, host, 445, "smb");
            let granted = DeniedSeen {
                client: INSIDE,
                server: host,
                port: 445,
                service: "smb",
                time_ms: BEGIN_MS + 5_000 * n + 900,
                ..DeniedSeen::default()
            };
            s.seen.push((granted.time_ms, Seen::Granted(granted)));
        }
    });
    assert!(
        kinds(&open).contains(&"lateral_movement"),
        "{:?}",
        kinds(&open)
    );
}

/// The server's word, after refusals of many hosts.
#[test]
fn a_password_that_is_right_on_one_of_many_hosts_is_told() {
    let found = found(|s| {
        for n in 0..20 {
            let at_ms = BEGIN_MS + 5_000 * n;
            s.denied(at_ms, INSIDE, ip(10, 0, 3, 1 + n as u8), 445, "smb");
        }
        let granted = DeniedSeen {
            client: INSIDE,
            server: ip(10, 0, 3, 99),
            port: 445,
            service: "smb",
            time_ms: BEGIN_MS + 110_000,
            ..DeniedSeen::default()
        };
        s.seen.push((granted.time_ms, Seen::Granted(granted)));
    });
    let mut all = kinds(&found);
    all.sort_unstable();
    assert_eq!(all, ["brute_force_succeeded", "password_spray"]);
}

#[test]
fn connections_beside_guesses_at_a_file_server_hide_them_only_within_one() {
    let of = |aside_ms: i64| {
        found(move |s| {
            for n in 0..40 {
                session(s, 7_000 * n, (OUTSIDE, SERVER, 21), (11, 640, 700), 2_500);
                session(
                    s,
                    7_000 * n + aside_ms,
                    (OUTSIDE, SERVER, 50_000),
                    (4, 300, 200),
                    20,
                );
            }
        })
    };
    assert!(kinds(&of(5_000)).contains(&"brute_force"));
    assert!(!kinds(&of(500)).contains(&"brute_force"));
}

#[test]
fn guesses_keep_their_incident_over_a_restart() {
    let settings = Settings::default();
    let mut scene = Scene::new(3, 1);
    for n in 0..120 {
        session(
            &mut scene,
            3_000 * n,
            (OUTSIDE, SERVER, 22),
            (22, 3_700, 3_100),
            2_500,
        );
    }
    let all = scene.sightings();
    let (first, then) = all.split_at(60);
    let mut before = Detectors::new(&settings).expect("defaults");
    before.observe_all(first);
    let saved = before.save();
    before.finish();
    let old = before.take().pop().expect("guesses");
    let mut after = Detectors::restore(&settings, &saved).expect("state");
    after.observe_all(then);
    after.finish();
    let new = after.take().pop().expect("guesses");
    assert_eq!((new.id, new.version > old.version), (old.id, true));
}

#[test]
fn a_first_datagram_of_calls_is_a_contact() {
    let sweep = found(|s| {
        let first = s.seen.len();
        for n in 0..60 {
            let ends = [(OUTSIDE, 50_123), (ip(10, 0, 3, n as u8), 161)];
            s.udp(BEGIN_MS + 20 * n, ends, 1, 70, false);
        }
        change(s, first, |f| f.spoken = AppProto::Stun as u8);
    });
    assert_eq!(kinds(&sweep), ["host_sweep_udp"]);
    // the ends of a call try some dozens of ports, those of services as well
    let call = |ports: i64| {
        found(move |s| {
            let first = s.seen.len();
            for n in 0..ports {
                let ends = [(INSIDE, 50_123), (OUTSIDE, 3_000 + 61 * n as u16)];
                s.udp(BEGIN_MS + 50 * n, ends, 1, 120, false);
            }
            change(s, first, |f| f.spoken = AppProto::Stun as u8);
        })
    };
    assert!(call(80).is_empty());
    assert_eq!(kinds(&call(400)), ["port_scan_udp"]);
}

#[test]
fn pages_over_ipv6_are_tried_first_by_hosts_inside_alone() {
    let of = |head: [u8; 2]| {
        found(move |s| {
            let mut src = [0; 16];
            (src[0], src[1], src[15]) = (head[0], head[1], 9);
            for n in 0..60 {
                let mut dst = [0xfd, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
                dst[14] = n as u8;
                s.syn(BEGIN_MS + 1_000 * n, Addr(src), Addr(dst), 443);
            }
        })
    };
    assert_eq!(kinds(&of([0x2a, 0])), ["host_sweep_tcp"]);
    assert!(of([0xfd, 0]).is_empty());
}

#[test]
fn shells_on_very_many_hosts_are_told_before_a_week_was_seen() {
    let of = |hosts: i64, port: u16| {
        found(move |s| {
            for n in 0..hosts {
                let host = ip(10, 0, 3, 1 + n as u8);
                session(
                    s,
                    3_000 * n,
                    (INSIDE, host, port),
                    (160, 60_000, 70_000),
                    9_000,
                );
            }
        })
    };
    for port in [22, 5985, 47_001] {
        assert!(of(40, port).is_empty(), "{port}");
        assert_eq!(kinds(&of(90, port)), ["lateral_movement"], "{port}");
    }
}

/// Who was reached before it was clear what for is named all the same.
#[test]
fn hosts_that_were_reached_before_the_threshold_are_named() {
    let hosts: Vec<Addr> = (1..=20).map(|n| ip(10, 0, 3, n)).collect();
    let swept = found(|s| {
        for (n, host) in (0..).zip(&hosts) {
            s.syn(BEGIN_MS + 1_000 * n, INSIDE, *host, 445);
        }
    });
    assert_eq!(kinds(&swept), ["host_sweep_tcp"]);
    assert_eq!(swept[0].peers, hosts);
    let sprayed = found(|s| {
        for (n, host) in (0..).zip(&hosts) {
            s.denied(BEGIN_MS + 1_000 * n, INSIDE, *host, 445, "smb");
        }
    });
    assert_eq!(kinds(&sprayed), ["password_spray"]);
    assert_eq!((&sprayed[0].peers, sprayed[0].peers_total), (&hosts, 20));
}

#[test]
fn forged_questions_make_no_router() {
    let of = |forged: u64| {
        found(move |s| {
            for n in 0..30 {
                let host = (0x0200_0000_0200 + n as u64, ip(10, 0, 1, 1 + n as u8));
                s.arp(BEGIN_MS + 10 * n, 1, host, ip(10, 0, 0, 1));
            }
            for n in 0..forged {
                let host = (0x0200_0000_0900 + n, ip(10, 0, 2, 1 + n as u8));
                s.arp(BEGIN_MS + 400 + n as i64, 1, host, INSIDE);
            }
            for n in 0..100 {
                let own = (0x0200_0000_0009, INSIDE);
                s.arp(BEGIN_MS + 1_000 + 100 * n, 1, own, ip(10, 0, 3, n as u8));
            }
        })
    };
    assert_eq!(kinds(&of(4)), ["host_sweep_arp"]);
    // whom most ask for is one
    assert!(of(60).is_empty());
}

#[test]
fn answers_that_nobody_asked_for_make_no_resolver() {
    let found = found(|s| {
        for n in 0..60 {
            let at_ms = BEGIN_MS + 1_000 * n;
            let forged = DnsSeen {
                client: ip(10, 0, 1, 1 + n as u8),
                server: INSIDE,
                time_ms: at_ms,
                is_answer: true,
                rcode: 0,
                kind: 1,
                bytes: 60,
                name: b"www.example.org".as_slice().into(),
                ..DnsSeen::default()
            };
            s.seen.push((at_ms, Seen::Dns(forged)));
            let name = format!("{:012x}.net", s.dice.next() >> 16);
            s.dns(at_ms + 10, INSIDE, &name, 1, Some(3));
        }
    });
    assert_eq!(kinds(&found), ["dga"]);
}

#[test]
fn a_domain_cannot_name_the_number_of_others() {
    let found = found(|s| {
        for _ in 0..200 {
            let name = format!("{:032x}{:032x}.{{peers}}.com", s.dice.next(), s.dice.next());
            s.dns(BEGIN_MS + 100, INSIDE, &name, 16, None);
        }
    });
    assert_eq!(kinds(&found), ["dns_tunnel"]);
    assert!(found[0].title.contains("{peers}.com"), "{}", found[0].title);
}

/// What a poller is answered by one agent, where only what comes in is exported; by many it is a flood.
#[test]
fn a_poller_whose_questions_are_not_seen_is_no_victim() {
    let of = |agents: i64| {
        found(move |s| {
            for n in 0..2_000 {
                let row = FlowSeen {
                    src: ip(10, 7, 0, 1 + (n % agents) as u8),
                    dst: SERVER,
                    src_port: 161,
                    dst_port: 40_000 + (n % 7) as u16,
                    proto: 17,
                    bytes: 2_800,
                    packets: 2,
                    interval: 1,
                    start_ms: BEGIN_MS + 25 * n,
                    end_ms: BEGIN_MS + 25 * n,
                    ..FlowSeen::default()
                };
                s.seen.push((row.end_ms, Seen::Flow(row)));
            }
        })
    };
    assert!(of(2).is_empty());
    assert_eq!(kinds(&of(40)), ["udp_amplification_flood"]);
}

/// Who collects logs is sent much by hosts inside; the same from outside, or to another port, is a flood.
#[test]
fn what_a_collector_is_sent_from_outside_is_a_flood() {
    let of = |net: u8, port: u16| {
        found(move |s| {
            for n in 0..1_000 {
                let src = ip(net, 0, 50, 1 + (n % 50) as u8);
                let ends = [(src, 51_234), (SERVER, port)];
                s.burst(BEGIN_MS + 20 * n, BurstKind::Udp, ends, 40, 12_000);
            }
        })
    };
    assert!(of(10, 514).is_empty());
    assert_eq!(kinds(&of(11, 514)), ["flood"]);
    assert_eq!(kinds(&of(10, 9_999)), ["flood"]);
}

/// A scan that many share is one incident that names them; who begins later, elsewhere or on another port is another.
#[test]
fn a_scan_that_many_sources_share_is_one_incident() {
    let source = |n: i64| ip(198, 51, 100, 1 + n as u8);
    // each tries some of the ports of a host, or some of the hosts of a network
    for vertical in [true, false] {
        let shared = found(|s| {
            for n in 0..800 {
                let (src, each) = (source(n % 20), n / 20);
                let (dst, port) = match vertical {
                    true => (SERVER, 1 + n as u16),
                    false => (ip(10, 0, 16 + (n % 20) as u8, 1 + each as u8), 445),
                };
                s.syn(BEGIN_MS + 100 * n, src, dst, port);
            }
        });
        let kind = if vertical {
            "port_scan"
        } else {
            "host_sweep_tcp"
        };
        assert_eq!(kinds(&shared), [kind]);
        // more than are named are counted about
        let counted = |n: u32| shared[0].title.contains(&format!("and {n} others"));
        assert!((17..=21).any(counted), "{}", shared[0].title);
        assert!(shared[0].peers.contains(&source(19)) || shared[0].peers.contains(&source(7)));
        assert!(
            (790..=800).contains(&shared[0].count),
            "{}",
            shared[0].count
        );
    }
    let apart = |later_ms: i64, other: Addr, port: u16| {
        found(move |s| {
            for n in 0..100 {
                s.syn(BEGIN_MS + 100 * n, source(1), ip(10, 0, 3, n as u8), 445);
                s.syn(BEGIN_MS + 100 * n, source(2), SERVER, 1 + n as u16);
                let Addr(mut of) = other;
                of[15] = n as u8;
                s.syn(BEGIN_MS + later_ms + 100 * n, source(3), Addr(of), port);
                s.syn(
                    BEGIN_MS + later_ms + 100 * n,
                    source(4),
                    other,
                    1 + n as u16,
                );
            }
        })
        .len()
    };
    assert_eq!(apart(0, ip(10, 7, 3, 9), 445), 4);
    assert_eq!(apart(0, ip(10, 0, 3, 9), 3389), 4);
    assert_eq!(apart(900_000, SERVER, 445), 4);
    assert_eq!(apart(1_000, SERVER, 445), 2);
}

#[test]
fn one_name_whose_answers_each_carry_much_is_a_tunnel() {
    let of = |n: i64, content: fn(u64) -> u64| {
        found(move |s| {
            for i in 0..n {
                s.dns(BEGIN_MS + 5_000 * i, INSIDE, "c.example.org", 16, None);
                s.dns(
                    BEGIN_MS + 5_000 * i + 20,
                    INSIDE,
                    "c.example.org",
                    16,
                    Some(0),
                );
                if let Some((_, Seen::Dns(d))) = s.seen.last_mut() {
                    (d.carried, d.content) = (240, content(i as u64));
                }
            }
        })
    };
    let tunnel = of(60, |n| n);
    assert_eq!(kinds(&tunnel), ["dns_tunnel"]);
    assert_eq!(tunnel[0].detector, "dns.long_answers");
    // a record that somebody does not remember, and one of three that change places
    assert!(of(120, |_| 1).is_empty() && of(120, |n| n % 3).is_empty());
}

#[test]
fn names_whose_answers_are_no_words_are_a_tunnel() {
    let of = |n: u64, name: fn(u64) -> String, is_encoded: bool| {
        found(move |s| {
            for i in 0..n {
                let (at_ms, name) = (BEGIN_MS + 300 * i as i64, name(i));
                s.dns(at_ms, INSIDE, &name, 16, None);
                s.dns(at_ms + 20, INSIDE, &name, 16, Some(0));
                if let Some((_, Seen::Dns(d))) = s.seen.last_mut() {
                    (d.carried, d.content, d.is_encoded) = (240, i, is_encoded);
                }
            }
        })
    };
    let short = |n: u64| {
        let letter = |n: u64| (b'a' + (n % 26) as u8) as char;
        format!("a{}{}.stage.1.example.org", letter(n / 26), letter(n))
    };
    for name in [
        short,
        |n| format!("{n}.example.org"),
        |n| format!("c{n}.example.org"),
    ] {
        let tunnel = of(90, name, true);
        assert_eq!(kinds(&tunnel), ["dns_tunnel"]);
        assert_eq!(tunnel[0].detector, "dns.long_answers");
        // who may send for whom
        assert!(of(90, name, false).is_empty());
    }
    // keys of many who have theirs in one cloud, and what a list says
    assert!(of(400, |n| format!("s1._domainkey.c{n}.example.org"), true).is_empty());
    let listed = |n: u64| format!("{}.{}.0.10.list.example.org", n % 250, n / 250);
    assert!(of(150, listed, true).is_empty());
    assert_eq!(kinds(&of(900, listed, true)), ["dns_tunnel"]);
}

#[test]
fn requests_that_carry_something_new_each_time_need_no_answer() {
    let of = |len: u16, is_new: bool, answered: bool| {
        found(move |s| {
            for n in 0..60 {
                let what = (n as u16, len, if is_new { 1_000 + n as u64 } else { 1 });
                s.echo(BEGIN_MS + 500 * n, (INSIDE, OUTSIDE), false, what);
                if answered {
                    s.echo(BEGIN_MS + 500 * n + 20, (OUTSIDE, INSIDE), true, what);
                }
            }
        })
    };
    for answered in [true, false] {
        assert_eq!(kinds(&of(1_400, true, answered)), ["icmp_tunnel"]);
        // the same again, and what no more than a time fills
        assert!(of(1_400, false, answered).is_empty());
        assert!(of(56, true, answered).is_empty());
    }
}

#[test]
fn a_tunnel_of_names_shows_what_made_it_one() {
    let of = |n: i64, pause_ms: i64, kind: u16, name: fn(u64) -> String| {
        let found = found(move |s| {
            for i in 0..n {
                let name = name(s.dice.next());
                s.dns(BEGIN_MS + pause_ms * i, INSIDE, &name, kind, None);
                s.dns(BEGIN_MS + pause_ms * i + 20, INSIDE, &name, kind, Some(0));
            }
        });
        assert_eq!(kinds(&found), ["dns_tunnel"]);
        let crossed = found[0]
            .evidence
            .figures
            .iter()
            .filter(|f| f.threshold.is_some());
        let numbers: Vec<_> = crossed.map(|f| (f.observed, f.threshold)).collect();
        assert!(numbers.len() == 2, "{numbers:?}");
        assert!(numbers.iter().all(|(o, t)| Some(*o) >= *t), "{numbers:?}");
        found[0].detector.clone()
    };
    let long = |n: u64| format!("{n:016x}{n:016x}.t.example.org");
    let full = |n: u64| format!("{0}.{0}.t.example.org", format!("{n:016x}").repeat(3));
    let short = |n: u64| format!("{:08x}.t.example.org", n as u32);
    assert_eq!(of(60, 1_000, 1, long), "dns.information");
    assert_eq!(of(15, 1_000, 1, full), "dns.full_names");
    assert_eq!(of(40, 1_000, 16, short), "dns.odd_types");
    assert_eq!(of(180, 90_000, 1, long), "dns.slow");
    // at a place of its own, or answered as lists answer, it takes more
    let placed = |n: u64| format!("{n:016x}{n:016x}._domainkey.example.org");
    assert_eq!(of(60, 1_000, 16, placed), "dns.odd_types");
}

#[test]
fn what_answers_like_a_list_is_a_tunnel_where_it_is_asked_for_too_much() {
    let of = |n: i64| {
        found(move |s| {
            for i in 0..n {
                let name = format!("{:016x}{:016x}.t.example.org", s.dice.next(), s.dice.next());
                for answer in [None, Some(0)] {
                    s.dns(BEGIN_MS + 500 * i, INSIDE, &name, 1, answer);
                    if let Some((_, Seen::Dns(d))) = s.seen.last_mut() {
                        d.is_verdict = answer.is_some();
                    }
                }
            }
        })
    };
    assert!(of(300).is_empty());
    assert_eq!(kinds(&of(900)), ["dns_tunnel"]);
}

/// A password is guessed, and one command says much.
#[test]
fn a_login_that_gets_much_after_guesses_is_told() {
    let of = |src: Addr, split: bool, last: (u64, u64, u64), life_ms: i64| {
        found(move |s| {
            for n in 0..40 {
                let at_ms = 3_000 * n;
                both_ways(
                    s,
                    at_ms,
                    (src, SERVER, 22),
                    (22, 3_700, 3_100),
                    2_500,
                    split,
                );
            }
            both_ways(s, 130_000, (src, SERVER, 22), last, life_ms, split);
        })
    };
    let both = ["brute_force", "brute_force_succeeded"];
    for src in [INSIDE, OUTSIDE] {
        for split in [false, true] {
            // in the direction of the server, and in the other one
            for (last, life_ms) in [((40, 4_600, 120_000), 1_100), ((90, 40_000, 4_000), 9_000)] {
                let found = of(src, split, last, life_ms);
                let mut found = kinds(&found);
                found.sort_unstable();
                assert_eq!(found, both, "{src} {split} {last:?}");
            }
            assert_eq!(
                kinds(&of(src, split, (22, 3_700, 3_200), 2_500)),
                ["brute_force"]
            );
        }
    }
}

/// A session as packets tell of it, or (`split`) as exporters do: each direction is a row of its own, and that of the server comes first.
fn both_ways(
    s: &mut Scene,
    after_ms: i64,
    ends: (Addr, Addr, u16),
    sizes: (u64, u64, u64),
    life_ms: i64,
    split: bool,
) {
    session(s, after_ms, ends, sizes, life_ms);
    let Some((at_ms, Seen::Flow(there))) = s.seen.pop() else {
        return;
    };
    if !split {
        s.seen.push((at_ms, Seen::Flow(there)));
        return;
    }
    let row = FlowSeen {
        back_bytes: None,
        back_packets: 0,
        handshake: Handshake::None,
        side: Side::Unknown,
        metered: false,
        ..there
    };
    let back = FlowSeen {
        src: row.dst,
        dst: row.src,
        src_port: row.dst_port,
        dst_port: row.src_port,
        bytes: sizes.2,
        ..row.clone()
    };
    s.seen.push((at_ms, Seen::Flow(back)));
    s.seen.push((at_ms, Seen::Flow(row)));
}

#[test]
fn who_comes_in_every_day_guesses_no_password_of_others() {
    let word = |service: &'static str, port: u16, at_ms: i64| DeniedSeen {
        client: OUTSIDE,
        server: SERVER,
        port,
        service,
        time_ms: BEGIN_MS + at_ms,
        ..DeniedSeen::default()
    };
    let of = |before: bool| {
        found(move |s| {
            let mut say = |at_ms, seen| s.seen.push((BEGIN_MS + at_ms, seen));
            for n in 0..if before { 5 } else { 0 } {
                say(1_000 * n, Seen::Granted(word("imap", 143, 1_000 * n)));
            }
            for n in 0..20 {
                let at_ms = 10_000 + 5_000 * n;
                say(at_ms, Seen::Denied(word("imap", 143, at_ms)));
            }
            say(120_000, Seen::Granted(word("imap", 143, 120_000)));
        })
    };
    assert_eq!(kinds(&of(true)), ["brute_force"]);
    let found = of(false);
    let mut found = kinds(&found);
    found.sort_unstable();
    assert_eq!(found, ["brute_force", "brute_force_succeeded"]);
}

/// dnscat2 that waits asks once a second for a name of its own, of 18 digits: a session, and what was heard so far. A resolver asks for as many
/// names of a network of content, when its clients want them.
#[test]
fn a_tunnel_that_waits_is_told_by_its_pace() {
    let of = |pause_ms: i64, jitter_ms: i64, digits: usize| {
        found(|s| {
            let mut at_ms = BEGIN_MS;
            for n in 0..400 {
                at_ms += pause_ms + s.dice.within(-jitter_ms, jitter_ms + 1);
                let word = format!("{:016x}{:016x}", s.dice.next(), s.dice.next());
                let name = format!("{}.example.org", &word[..digits]);
                let kind = [5, 15, 16][n % 3];
                s.dns(at_ms, INSIDE, &name, kind, None);
                s.dns(at_ms + 20, INSIDE, &name, kind, Some(0));
            }
        })
    };
    for (pause_ms, jitter_ms) in [(1_000, 50), (1_000, 400), (3_000, 200)] {
        let found = of(pause_ms, jitter_ms, 18);
        assert_eq!(kinds(&found), ["dns_tunnel"], "{pause_ms}");
        assert_eq!(found[0].detector, "dns.steady");
    }
    assert!(of(1_000, 50, 5).is_empty());
    // whenever somebody wants them
    let resolver = found(|s| {
        let mut at_ms = BEGIN_MS;
        for _ in 0..400 {
            let wait = s.dice.within(1, 1_000) as f64 / 1_000.0;
            at_ms += (-wait.ln() * 1_000.0) as i64;
            let name = format!("{:016x}ab.example.org", s.dice.next());
            s.dns(at_ms, INSIDE, &name, 1, None);
            s.dns(at_ms + 20, INSIDE, &name, 1, Some(0));
        }
    });
    assert!(resolver.is_empty(), "{resolver:#?}");
}
