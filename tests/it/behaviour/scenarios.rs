//! Attacks by kind: what each puts into a scene, and what has to be found.

use super::attacks::{BEGIN_MS, Scene, Tcp, ip};
use flowhouse::detect::anomaly::{BurstKind, Settings};
use flowhouse::model::{Addr, Handshake};

/// An attack: its name, the kind that is to be found, about whom, and what it puts into a scene.
pub struct Attack {
    pub name: &'static str,
    pub kind: &'static str,
    pub entity: Addr,
    /// Whether rows can show it; else packets alone do.
    pub in_rows: bool,
    pub inject: fn(&mut Scene),
    /// What there is beside it.
    pub background: fn(&mut Scene),
    pub strike_ms: i64,
    /// What has to be set for it.
    pub tune: fn(&mut Settings),
}

pub const INSIDE: Addr = Addr::from_v4([10, 0, 9, 9]);
pub const OUTSIDE: Addr = Addr::from_v4([198, 51, 100, 7]);
pub const SERVER: Addr = Addr::from_v4([10, 0, 2, 80]);

/// When attacks begin: ordinary traffic was there before.
pub const STRIKE_MS: i64 = BEGIN_MS + 120_000;

pub fn attack(
    name: &'static str,
    kind: &'static str,
    entity: Addr,
    in_rows: bool,
    inject: fn(&mut Scene),
) -> Attack {
    Attack {
        name,
        kind,
        entity,
        in_rows,
        inject,
        background: |s| s.office(20),
        strike_ms: STRIKE_MS,
        tune: |_| {},
    }
}

pub fn all() -> Vec<Attack> {
    let mut all = scans();
    all.extend(floods());
    all.extend(sessions());
    all.extend(packets());
    all.extend(super::weeks::all());
    all.extend(super::rules::all());
    all
}

fn host(n: i64) -> Addr {
    ip(10, 0, 3, n as u8)
}

fn scans() -> Vec<Attack> {
    vec![
        attack("SYN scan of 1,000 ports", "port_scan", OUTSIDE, true, |s| {
            (0..1000).for_each(|n| s.syn(STRIKE_MS + 10 * n, OUTSIDE, SERVER, 1 + n as u16));
        }),
        attack(
            "SYN scan of 50 ports, one a minute",
            "port_scan",
            OUTSIDE,
            true,
            |s| {
                (0..50).for_each(|n| s.syn(STRIKE_MS + 60_000 * n, OUTSIDE, SERVER, 20 + n as u16));
            },
        ),
        attack(
            "SYN sweep of 200 hosts, port 445, from inside",
            "host_sweep_tcp",
            INSIDE,
            true,
            |s| {
                (0..200).for_each(|n| s.syn(STRIKE_MS + 50 * n, INSIDE, host(n), 445));
            },
        ),
        attack(
            "SYN sweep of 40 hosts, one in five minutes",
            "host_sweep_tcp",
            OUTSIDE,
            true,
            |s| {
                (0..40).for_each(|n| s.syn(STRIKE_MS + 300_000 * n, OUTSIDE, host(n), 3389));
            },
        ),
        attack(
            "UDP scan of 300 ports",
            "port_scan_udp",
            OUTSIDE,
            true,
            |s| {
                for n in 0..300 {
                    s.udp(
                        STRIKE_MS + 20 * n,
                        [(OUTSIDE, 50_123), (SERVER, 1 + n as u16)],
                        1,
                        28,
                        false,
                    );
                }
            },
        ),
        attack(
            "UDP sweep of 200 hosts, port 161",
            "host_sweep_udp",
            OUTSIDE,
            true,
            |s| {
                for n in 0..200 {
                    s.udp(
                        STRIKE_MS + 20 * n,
                        [(OUTSIDE, 50_123), (host(n), 161)],
                        1,
                        70,
                        false,
                    );
                }
            },
        ),
    ]
}

fn floods() -> Vec<Attack> {
    fn spoofed(s: &mut Scene) -> Addr {
        let n = s.dice.next();
        ip(
            1 + (n % 120) as u8,
            (n >> 8) as u8,
            (n >> 16) as u8,
            1 + (n >> 24) as u8 % 250,
        )
    }
    vec![
        attack(
            "SYN flood, 20,000 invented sources in 10 s",
            "syn_flood",
            SERVER,
            true,
            |s| {
                for n in 0..20_000 {
                    let src = spoofed(s);
                    s.burst(
                        STRIKE_MS + n / 2,
                        BurstKind::Syn,
                        [(src, 0), (SERVER, 80)],
                        1,
                        44,
                    );
                }
            },
        ),
        attack(
            "DNS amplification, 3,000 resolvers, 10 s",
            "udp_amplification_flood",
            SERVER,
            true,
            |s| {
                for n in 0..30_000 {
                    let src = ip(11, 5, (n % 3000 / 250) as u8, 1 + (n % 250) as u8);
                    s.burst(
                        STRIKE_MS + n / 3,
                        BurstKind::Udp,
                        [(src, 53), (SERVER, 40_000)],
                        3,
                        4_200,
                    );
                }
            },
        ),
        attack(
            "NTP amplification, 200 servers, 10 s",
            "udp_amplification_flood",
            SERVER,
            true,
            |s| {
                for n in 0..20_000 {
                    let src = ip(11, 6, 0, 1 + (n % 200) as u8);
                    s.burst(
                        STRIKE_MS + n / 2,
                        BurstKind::Udp,
                        [(src, 123), (SERVER, 40_000)],
                        10,
                        4_680,
                    );
                }
            },
        ),
        attack(
            "NTP amplification, 2 servers, 30,000 packets a second",
            "udp_amplification_flood",
            SERVER,
            false,
            |s| {
                for n in 0..6_000 {
                    let src = ip(11, 6, 1, 1 + (n % 2) as u8);
                    s.burst(
                        STRIKE_MS + n,
                        BurstKind::Udp,
                        [(src, 123), (SERVER, 40_000)],
                        30,
                        14_040,
                    );
                }
            },
        ),
        attack(
            "memcached, 4 servers, 2,000 packets a second for 4 s",
            "udp_amplification_flood",
            SERVER,
            false,
            |s| {
                for n in 0..4_000 {
                    let src = ip(11, 6, 2, 1 + (n % 4) as u8);
                    s.burst(
                        STRIKE_MS + n,
                        BurstKind::Udp,
                        [(src, 11_211), (SERVER, 40_000)],
                        2,
                        2_800,
                    );
                }
            },
        ),
        attack(
            "TCP reflection, 500 hosts, 20 s",
            "tcp_reflection_flood",
            SERVER,
            true,
            |s| {
                for n in 0..10_000 {
                    let src = ip(11, 7, (n % 500 / 250) as u8, 1 + (n % 250) as u8);
                    s.burst(
                        STRIKE_MS + 2 * n,
                        BurstKind::SynAck,
                        [(src, 443), (SERVER, 40_000)],
                        1,
                        44,
                    );
                }
            },
        ),
        attack(
            "UDP flood of 2,000 sources, 10 s",
            "flood",
            SERVER,
            true,
            |s| {
                for n in 0..20_000 {
                    let src = ip(11, 8, (n % 2000 / 250) as u8, 1 + (n % 250) as u8);
                    s.burst(
                        STRIKE_MS + n / 2,
                        BurstKind::Udp,
                        [(src, 51_234), (SERVER, 9_999)],
                        5,
                        6_000,
                    );
                }
            },
        ),
        attack(
            "carpet bombing of a network, 10 s",
            "carpet_flood",
            ip(10, 0, 3, 0),
            true,
            |s| {
                for n in 0..60_000 {
                    let src = ip(11, 9, (n % 2000 / 250) as u8, 1 + (n % 250) as u8);
                    s.burst(
                        STRIKE_MS + n / 6,
                        BurstKind::Udp,
                        [(src, 51_234), (host(n % 250), 9_999)],
                        1,
                        1_200,
                    );
                }
            },
        ),
    ]
}

/// Sessions that look alike.
fn guesses(s: &mut Scene, port: u16, n: i64, pause_ms: i64, (packets, bytes): (u64, u64)) {
    for i in 0..n {
        let jitter = s.dice.within(0, 12) as u64;
        s.tcp(Tcp {
            at_ms: STRIKE_MS + pause_ms * i,
            src: OUTSIDE,
            dst: SERVER,
            port,
            packets,
            bytes: bytes + 16 * jitter,
            back: bytes,
            life_ms: 2_500,
            handshake: Handshake::Complete,
        });
    }
}

fn tcp(
    s: &mut Scene,
    at_ms: i64,
    (src, dst, port): (Addr, Addr, u16),
    (packets, bytes): (u64, u64),
    life_ms: i64,
) {
    s.tcp(Tcp {
        at_ms,
        src,
        dst,
        port,
        packets,
        bytes,
        back: bytes,
        life_ms,
        handshake: Handshake::Complete,
    });
}

/// Calls home.
fn calls(s: &mut Scene, n: i64, pause_ms: i64, jitter: i64) {
    for i in 0..n {
        let at_ms = STRIKE_MS + pause_ms * i + s.dice.within(-jitter, jitter + 1);
        s.tcp(Tcp {
            at_ms,
            src: INSIDE,
            dst: OUTSIDE,
            port: 443,
            packets: 9,
            bytes: 1_400,
            back: 2_200,
            life_ms: 300,
            handshake: Handshake::Complete,
        });
    }
}

fn sessions() -> Vec<Attack> {
    vec![
        attack(
            "SSH guesses, 60 sessions",
            "brute_force",
            OUTSIDE,
            true,
            |s| guesses(s, 22, 60, 3_000, (22, 3_700)),
        ),
        attack(
            "SSH guesses from inside, one of 2.7 s in six seconds",
            "brute_force",
            INSIDE,
            true,
            |s| {
                for n in 0..60 {
                    s.tcp(Tcp {
                        at_ms: STRIKE_MS + 6_000 * n,
                        src: INSIDE,
                        dst: SERVER,
                        port: 22,
                        packets: 22,
                        bytes: 3_737,
                        back: 3_124,
                        life_ms: 2_700,
                        handshake: Handshake::Complete,
                    });
                }
            },
        ),
        attack(
            "SSH guesses, one in 50 seconds, 60 sessions",
            "brute_force",
            OUTSIDE,
            true,
            |s| guesses(s, 22, 60, 50_000, (22, 3_700)),
        ),
        attack(
            "SSH guesses, one in twelve minutes, 110 sessions",
            "brute_force",
            OUTSIDE,
            true,
            |s| guesses(s, 22, 110, 720_000, (22, 3_700)),
        ),
        attack(
            "SSH guesses of a program that rests between them, from inside",
            "brute_force",
            INSIDE,
            true,
            |s| {
                for n in 0..60 {
                    let jitter = s.dice.within(0, 60) as u64;
                    tcp(
                        s,
                        STRIKE_MS + 3_000 * n,
                        (INSIDE, SERVER, 22),
                        (15, 2_600 + jitter),
                        200,
                    );
                }
            },
        ),
        attack(
            "SSH guesses at 30 hosts in turn, from inside",
            "password_spray",
            INSIDE,
            true,
            |s| {
                for n in 0..60 {
                    s.tcp(Tcp {
                        at_ms: STRIKE_MS + 3_000 * n,
                        src: INSIDE,
                        dst: host(n % 30),
                        port: 22,
                        packets: 22,
                        bytes: 3_737,
                        back: 3_124,
                        life_ms: 2_700,
                        handshake: Handshake::Complete,
                    });
                }
            },
        ),
        attack(
            "FTP guesses, 40 sessions",
            "brute_force",
            OUTSIDE,
            true,
            |s| guesses(s, 21, 40, 2_000, (11, 609)),
        ),
        attack(
            "RDP guesses, 40 sessions",
            "brute_force",
            OUTSIDE,
            true,
            |s| guesses(s, 3389, 40, 4_000, (25, 3_000)),
        ),
        attack(
            "beacon, 60 s, no jitter, 30 calls",
            "beacon",
            INSIDE,
            true,
            |s| calls(s, 30, 60_000, 0),
        ),
        attack(
            "beacon, 60 s, 20 % jitter, 60 calls",
            "beacon",
            INSIDE,
            true,
            |s| calls(s, 60, 60_000, 12_000),
        ),
        attack(
            "beacon behind a network of content, 60 s, 30 calls",
            "beacon",
            INSIDE,
            true,
            |s| {
                let seen = s.seen.len();
                calls(s, 30, 60_000, 0);
                super::limits::call_it(s, seen, "cloudflare");
            },
        ),
        attack(
            "a connection outwards of 14 hours",
            "long_connection",
            INSIDE,
            true,
            |s| {
                for n in 0..840 {
                    let at_ms = STRIKE_MS + 60_000 * n;
                    let seen = s.seen.len();
                    tcp(s, at_ms, (INSIDE, OUTSIDE, 8443), (40, 4_000), 58_000);
                    for (_, row) in &mut s.seen[seen..] {
                        if let flowhouse::detect::anomaly::Seen::Flow(f) = row {
                            let forth = f.src == INSIDE;
                            let port = if forth {
                                &mut f.src_port
                            } else {
                                &mut f.dst_port
                            };
                            *port = 50_001;
                            f.goes_on = true;
                            // told once, with the first row
                            if f.metered && n > 0 {
                                f.handshake = Handshake::None;
                            }
                        }
                    }
                }
            },
        ),
        attack(
            "a place that refuses, tried each half second for an hour",
            "strobe",
            INSIDE,
            true,
            |s| (0..7_200).for_each(|n| s.syn(STRIKE_MS + 500 * n, INSIDE, OUTSIDE, 4_444)),
        ),
        attack(
            "a place that answers, called each half second for an hour",
            "strobe",
            INSIDE,
            true,
            |s| {
                for n in 0..7_200 {
                    tcp(
                        s,
                        STRIKE_MS + 500 * n,
                        (INSIDE, OUTSIDE, 4_444),
                        (6, 600),
                        90,
                    );
                }
            },
        ),
        attack(
            "upload of 200 MB in ten minutes",
            "large_upload",
            INSIDE,
            true,
            |s| {
                for i in 0..20 {
                    s.tcp(Tcp {
                        at_ms: STRIKE_MS + 30_000 * i,
                        src: INSIDE,
                        dst: OUTSIDE,
                        port: 443,
                        packets: 7_000,
                        bytes: 10_000_000,
                        back: 300_000,
                        life_ms: 20_000,
                        handshake: Handshake::Complete,
                    });
                }
            },
        ),
        attack(
            "remote logins on 30 hosts in ten minutes",
            "lateral_movement",
            INSIDE,
            true,
            |s| {
                for i in 0..30 {
                    s.tcp(Tcp {
                        at_ms: STRIKE_MS + 20_000 * i,
                        src: INSIDE,
                        dst: host(i),
                        port: 445,
                        packets: 40,
                        bytes: 9_000,
                        back: 12_000,
                        life_ms: 3_000,
                        handshake: Handshake::Complete,
                    });
                }
            },
        ),
    ]
}

fn packets() -> Vec<Attack> {
    vec![
        attack(
            "ping sweep of 100 hosts",
            "host_sweep_icmp",
            INSIDE,
            false,
            |s| {
                for n in 0..100 {
                    let row = flowhouse::detect::anomaly::FlowSeen {
                        src: INSIDE,
                        dst: host(n),
                        proto: 1,
                        icmp: 0x0800,
                        bytes: 84,
                        packets: 1,
                        interval: 1,
                        back_bytes: Some(0),
                        start_ms: STRIKE_MS + 50 * n,
                        end_ms: STRIKE_MS + 50 * n,
                        side: flowhouse::detect::anomaly::Side::Initiator,
                        metered: true,
                        ..Default::default()
                    };
                    s.seen.push((
                        row.end_ms + 30_000,
                        flowhouse::detect::anomaly::Seen::Flow(row),
                    ));
                }
            },
        ),
        attack(
            "ARP sweep of 200 hosts",
            "host_sweep_arp",
            INSIDE,
            false,
            |s| {
                (0..200).for_each(|n| {
                    s.arp(STRIKE_MS + 20 * n, 1, (0x0200_0000_0009, INSIDE), host(n))
                });
            },
        ),
        attack(
            "ARP for 60 hosts that nobody has, one in two minutes",
            "host_sweep_arp",
            INSIDE,
            false,
            |s| {
                for n in 0..60 {
                    let at_ms = STRIKE_MS + 120_000 * n;
                    s.arp(
                        at_ms,
                        1,
                        (0x0200_0000_0009, INSIDE),
                        ip(10, 0, 9, 100 + n as u8),
                    );
                }
            },
        ),
        attack(
            "ARP spoofing of a gateway",
            "arp_spoofing",
            ip(10, 0, 0, 1),
            false,
            |s| {
                for n in 0..20 {
                    let mac = if n % 2 == 0 {
                        0x0200_0000_0001
                    } else {
                        0x0200_0000_0009
                    };
                    s.arp(STRIKE_MS + 1_000 * n, 2, (mac, ip(10, 0, 0, 1)), host(n));
                }
            },
        ),
        attack("DNS tunnel, 200 names", "dns_tunnel", INSIDE, false, |s| {
            for n in 0..200 {
                let name = format!("{:032x}{:032x}.t.example.org", s.dice.next(), s.dice.next());
                s.dns(STRIKE_MS + 100 * n, INSIDE, &name, 16, None);
            }
        }),
        attack(
            "DNS tunnel, 15 full names",
            "dns_tunnel",
            INSIDE,
            false,
            |s| {
                for n in 0..15 {
                    let mut word = || format!("{:016x}", s.dice.next());
                    let part = [word(), word(), word()].concat();
                    let name = format!("{part}.{part}.{part}.t.example.org");
                    s.dns(STRIKE_MS + 2_000 * n, INSIDE, &name, 1, None);
                }
            },
        ),
        attack(
            "DNS tunnel, a name in two minutes, 180 names",
            "dns_tunnel",
            INSIDE,
            false,
            |s| {
                for n in 0..180 {
                    let name =
                        format!("{:032x}{:032x}.t.example.org", s.dice.next(), s.dice.next());
                    s.dns(STRIKE_MS + 120_000 * n, INSIDE, &name, 1, None);
                }
            },
        ),
        attack(
            "generated domains, 60 that do not exist",
            "dga",
            INSIDE,
            false,
            |s| {
                for n in 0..60 {
                    let name = format!("{:012x}.net", s.dice.next() >> 16);
                    s.dns(STRIKE_MS + 1_000 * n, INSIDE, &name, 1, Some(3));
                }
            },
        ),
        attack(
            "generated domains, one a minute for three hours",
            "dga",
            INSIDE,
            false,
            |s| {
                for n in 0..180 {
                    let name = format!("{:012x}.net", s.dice.next() >> 16);
                    s.dns(STRIKE_MS + 60_000 * n, INSIDE, &name, 1, Some(3));
                }
            },
        ),
        attack(
            "ICMP tunnel, 60 messages each way",
            "icmp_tunnel",
            INSIDE,
            false,
            |s| {
                for n in 0..60 {
                    let (hash, answer) = (s.dice.next(), s.dice.next());
                    let len = 64 + s.dice.within(0, 900) as u16;
                    s.echo(
                        STRIKE_MS + 200 * n,
                        (INSIDE, OUTSIDE),
                        false,
                        (n as u16, len, hash),
                    );
                    s.echo(
                        STRIKE_MS + 200 * n + 20,
                        (OUTSIDE, INSIDE),
                        true,
                        (n as u16, len + 9, answer),
                    );
                }
            },
        ),
        attack(
            "refused passwords, 30 of a mail box",
            "brute_force",
            OUTSIDE,
            false,
            |s| {
                (0..30).for_each(|n| s.denied(STRIKE_MS + 4_000 * n, OUTSIDE, SERVER, 143, "imap"));
            },
        ),
        attack(
            "refused passwords of mail boxes, 60 sources, three of each",
            "brute_force",
            SERVER,
            false,
            |s| {
                for n in 0..180 {
                    let src = ip(203, 0, 113, 1 + (n % 60) as u8);
                    s.denied(STRIKE_MS + 15_000 * n, src, SERVER, 143, "imap");
                }
            },
        ),
        attack(
            "one password on 40 hosts",
            "password_spray",
            INSIDE,
            false,
            |s| {
                (0..40).for_each(|n| s.denied(STRIKE_MS + 5_000 * n, INSIDE, host(n), 445, "smb"));
            },
        ),
        attack(
            "a service is made and started from afar",
            "lateral_movement",
            INSIDE,
            false,
            |s| {
                s.call(STRIKE_MS, INSIDE, SERVER, "svcctl", None);
                s.call(STRIKE_MS + 50, INSIDE, SERVER, "", Some(12));
                s.call(STRIKE_MS + 90, INSIDE, SERVER, "", Some(19));
            },
        ),
        attack(
            "fingerprints by odd TCP flags",
            "service_scan",
            OUTSIDE,
            false,
            |s| {
                let flags = [0x00, 0x29, 0x2b, 0x08];
                (0..4).for_each(|n| s.odd(STRIKE_MS + 100 * n, OUTSIDE, SERVER, flags[n as usize]));
            },
        ),
    ]
}
