//! Ordinary work that looks like an attack: nothing is found in it.

use super::attacks::{BEGIN_MS, Scene, Tcp, ip};
use super::judged;
use super::scenarios::{INSIDE, OUTSIDE, SERVER};
use flowhouse::detect::anomaly::{DeniedSeen, Known, Seen, Settings};
use flowhouse::model::{Addr, AppProto, Handshake};

/// What is done, and what is seen of it.
type Work = (&'static str, fn(&mut Scene));

pub const WORK: &[Work] = &[
    ("git over SSH every four seconds", |s| {
        for n in 0..90 {
            let back = 5_800 + 60 * (n % 7) as u64;
            session(s, 4_000 * n, (INSIDE, SERVER, 22), (20, 4_100), back, 900);
        }
    }),
    ("twenty repositories one after the other", |s| {
        for n in 0..20 {
            session(s, 900 * n, (INSIDE, SERVER, 22), (22, 4_200), 9_000, 850);
        }
    }),
    ("a check over SSH every ten seconds", |s| {
        for n in 0..360 {
            session(s, 10_000 * n, (INSIDE, SERVER, 22), (24, 3_900), 3_600, 600);
        }
    }),
    ("a check over SSH from outside every minute", |s| {
        for n in 0..120 {
            session(
                s,
                60_000 * n,
                (OUTSIDE, SERVER, 22),
                (24, 3_900),
                3_600,
                600,
            );
        }
    }),
    ("checks of two seconds over SSH on ten hosts", |s| {
        for n in 0..600 {
            let host = ip(10, 0, 3, 1 + (n % 10) as u8);
            session(s, 6_000 * n, (INSIDE, host, 22), (24, 3_900), 3_600, 2_000);
        }
    }),
    ("a check of two seconds over SSH every ten seconds", |s| {
        for n in 0..360 {
            session(
                s,
                10_000 * n,
                (INSIDE, SERVER, 22),
                (24, 3_900),
                3_600,
                2_000,
            );
        }
    }),
    ("a partner's files over SSH every minute", |s| {
        for n in 0..120 {
            session(
                s,
                60_000 * n,
                (OUTSIDE, SERVER, 22),
                (40, 5_600),
                5_000,
                1_200,
            );
        }
    }),
    (
        "a camera that brings a picture by FTP every five seconds",
        |s| {
            for n in 0..60 {
                let at = 5_000 * n;
                session(
                    s,
                    at + 500,
                    (INSIDE, SERVER, 50_000),
                    (70, 90_000),
                    3_000,
                    900,
                );
                session(s, at, (INSIDE, SERVER, 21), (14, 820), 900, 3_000);
            }
        },
    ),
    ("a camera whose FTP server says that it may come in", |s| {
        for n in 0..60 {
            let granted = DeniedSeen {
                client: INSIDE,
                server: SERVER,
                port: 21,
                service: "ftp",
                time_ms: BEGIN_MS + 5_000 * n + 300,
                ..DeniedSeen::default()
            };
            s.seen.push((granted.time_ms, Seen::Granted(granted)));
            session(s, 5_000 * n, (INSIDE, SERVER, 21), (14, 820), 900, 3_000);
        }
    }),
    ("forty hosts are managed over SSH", |s| {
        for n in 0..40 {
            let host = ip(10, 0, 3, 1 + n as u8);
            session(
                s,
                3_000 * n,
                (INSIDE, host, 22),
                (160, 60_000),
                70_000,
                9_000,
            );
        }
    }),
    (
        "pings that grow, to find the largest packet of a path",
        |s| {
            for n in 0..80 {
                let (seq, len, hash) = (n as u16, 500 + 13 * n as u16, 1_000 + n as u64);
                for (ends, is_reply) in [((INSIDE, OUTSIDE), false), ((OUTSIDE, INSIDE), true)] {
                    s.echo(BEGIN_MS + 500 * n, ends, is_reply, (seq, len, hash));
                    if let Some((_, Seen::Echo(e))) = s.seen.last_mut() {
                        e.is_pattern = true;
                    }
                }
            }
        },
    ),
    ("a call tries 120 ports of a host", |s| {
        for n in 0..120 {
            let at_ms = BEGIN_MS + 50 * n;
            let port = 49_200 + 61 * n as u16;
            s.udp(at_ms, [(INSIDE, 50_123), (OUTSIDE, port)], 2, 200, false);
        }
    }),
    ("files are fetched over SSH every minute", |s| {
        for n in 0..120 {
            session(
                s,
                60_000 * n,
                (INSIDE, OUTSIDE, 22),
                (44, 5_800),
                5_200,
                1_100,
            );
        }
    }),
    ("a monitor watches what is down among what is not", |s| {
        for n in 0..1_200 {
            let (host, port) = (n % 20, [22, 80, 443, 5432, 8080, 9100][n as usize / 20 % 6]);
            let dst = ip(10, 0, 3, 1 + host as u8);
            match host < 12 {
                true => s.syn(BEGIN_MS + 500 * n, INSIDE, dst, port),
                false => session(s, 500 * n, (INSIDE, dst, port), (6, 600), 900, 40),
            }
        }
    }),
    (
        "a balancer asks again and again for hosts behind it that are all down",
        |s| {
            for n in 0..900 {
                let (host, port) = (n % 10, [80, 443, 8080][n as usize / 10 % 3]);
                s.syn(
                    BEGIN_MS + 500 * n,
                    SERVER,
                    ip(10, 0, 3, 1 + host as u8),
                    port,
                );
            }
        },
    ),
    (
        "files of six servers whose ports for data are closed",
        |s| {
            for n in 0..90 {
                let port = s.dice.within(50_000, 60_000) as u16;
                s.syn(
                    BEGIN_MS + 9_000 * n,
                    INSIDE,
                    ip(203, 0, 113, 1 + (n % 6) as u8),
                    port,
                );
            }
        },
    ),
    ("a list is read over HTTPS every minute", |s| {
        for n in 0..120 {
            session(
                s,
                60_000 * n,
                (INSIDE, OUTSIDE, 443),
                (20, 1_900),
                48_000,
                400,
            );
        }
    }),
    (
        "a service that is known by its name is asked every minute",
        |s| {
            for n in 0..120 {
                session(
                    s,
                    60_000 * n,
                    (INSIDE, OUTSIDE, 443),
                    (9, 1_400),
                    2_200,
                    300,
                );
                if let Some((_, Seen::Flow(f))) = s.seen.last_mut() {
                    f.known = Known::Named;
                }
            }
        },
    ),
    ("twelve hosts ask one place every minute", |s| {
        // they begin one after the other: the first ones are not told before others are seen, for their clocks are not that exact
        for n in 0..720 {
            let host = ip(10, 0, 1, 1 + (n % 12) as u8);
            session(s, 5_000 * n, (host, OUTSIDE, 443), (9, 1_400), 2_200, 300);
        }
    }),
    ("a router asks for everybody", |s| {
        for n in 0..200 {
            let router = (0x0200_0000_0001, ip(10, 0, 0, 1));
            s.arp(BEGIN_MS + 100 * n, 1, router, ip(10, 0, 0, 2 + n as u8));
        }
    }),
    ("a router with another address asks for everybody", |s| {
        let router = (0x0200_0000_0077, ip(10, 0, 0, 77));
        for n in 0..4 {
            let host = (0x0200_0000_0100 + n as u64, ip(10, 0, 0, 100 + n as u8));
            s.arp(BEGIN_MS + n, 1, host, router.1);
        }
        for n in 0..120 {
            s.arp(
                BEGIN_MS + 1_000 + 100 * n,
                1,
                router,
                ip(10, 0, 0, 100 + n as u8),
            );
        }
    }),
    ("pages are tried over an IPv6 that leads nowhere", |s| {
        let src = Addr([0xfd, 0, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
        for n in 0..120 {
            let mut dst = [0x2a, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
            (dst[2], dst[3]) = ((n / 4) as u8, n as u8);
            s.syn(BEGIN_MS + 2_000 * n, src, Addr(dst), 443);
        }
    }),
    ("a server asks for its clients, one after the other", |s| {
        for n in 0..100 {
            let client = (0x0200_0000_0200 + n as u64, ip(10, 0, 9, 100 + n as u8));
            s.arp(BEGIN_MS + 60_000 * n, 1, client, ip(10, 0, 9, 9));
            s.arp(
                BEGIN_MS + 60_000 * n + 900,
                1,
                (0x0200_0000_0009, ip(10, 0, 9, 9)),
                client.1,
            );
        }
    }),
    ("sixty people read mail, and mistype now and then", |s| {
        for n in 0..240 {
            let word = |after_ms: i64| DeniedSeen {
                client: ip(203, 0, 113, 1 + (n % 60) as u8),
                server: SERVER,
                port: 143,
                service: "imap",
                time_ms: BEGIN_MS + 20_000 * n + after_ms,
                ..DeniedSeen::default()
            };
            if n % 3 == 0 {
                s.seen.push((word(0).time_ms, Seen::Denied(word(0))));
            }
            s.seen
                .push((word(4_000).time_ms, Seen::Granted(word(4_000))));
        }
    }),
    ("a resolver asks for its clients", |s| {
        let resolver = ip(10, 0, 0, 53);
        for n in 0..240 {
            let name = format!("{:012x}.net", s.dice.next() >> 16);
            ask(s, 1_000 * n, resolver, ip(9, 9, 9, 9), &name, 3);
            ask(s, 1_000 * n, ip(10, 0, 1, n as u8), resolver, &name, 3);
        }
    }),
    ("a resolver whose clients are not seen", |s| {
        for n in 0..3_000 {
            let word = s.dice.next() >> 16;
            let (name, rcode) = match n % 60 {
                0 => (format!("{word:012x}.net"), 3),
                _ => (format!("www.page{}.example", word % 900), 0),
            };
            ask(s, 100 * n, ip(10, 0, 4, 4), ip(9, 9, 9, 9), &name, rcode);
        }
    }),
    ("a resolver that asks the servers of each domain", |s| {
        for n in 0..120 {
            let name = format!("{:012x}.net", s.dice.next() >> 16);
            let server = ip(192, 5, 6, 1 + n as u8 % 13);
            ask(s, 1_000 * n, ip(10, 0, 4, 4), server, &name, 3);
        }
    }),
    ("a game asks its server again and again", |s| {
        for n in 0..60 {
            let at_ms = BEGIN_MS + 60_000 * n;
            s.udp(
                at_ms,
                [(INSIDE, 51_000 + n as u16), (OUTSIDE, 50_004)],
                8,
                1_400,
                true,
            );
            if let Some((_, Seen::Flow(f))) = s.seen.last_mut() {
                f.spoken = AppProto::Discord as u8;
            }
        }
    }),
    ("a connection outwards of a working day", |s| {
        for n in 0..480 {
            session(
                s,
                60_000 * n,
                (INSIDE, OUTSIDE, 443),
                (40, 4_000),
                4_000,
                58_000,
            );
            if let Some((_, Seen::Flow(f))) = s.seen.last_mut() {
                (f.src_port, f.goes_on) = (50_001, true);
                // told once, with the first row
                if n > 0 {
                    f.handshake = Handshake::None;
                }
            }
        }
    }),
    ("a resolver below a cloud", |s| {
        for n in 0..900 {
            let word = s.dice.next();
            let name = format!("internal-{word:016x}.eu-central-1.elb.amazonaws.com");
            ask(
                s,
                24_000 * n,
                ip(10, 0, 4, 4),
                ip(205, 251, 192, 7),
                &name,
                0,
            );
        }
    }),
    ("long names of a service within a day", |s| {
        for n in 0..90 {
            let name = format!("{:032x}.telemetry.example.org", s.dice.next());
            s.dns(BEGIN_MS + 240_000 * n, INSIDE, &name, 1, None);
        }
    }),
    ("certificates of thirty hosts are asked for", |s| {
        for n in 0..60 {
            let host = ["www", "mail", "customer-portal", "k8s-a1b2c3d4e5f6"][n as usize % 4];
            let name = format!("_acme-challenge.{host}-{}.example.com", n / 4);
            text(s, 3_000 * n, &name);
        }
    }),
    ("a mail server asks who may send", |s| {
        for n in 0..120 {
            let name = match n % 3 {
                0 => format!("_spf.em{}.customer.com", 1_234 + n),
                1 => format!("em{}.customer.com", 1_234 + n),
                _ => format!(
                    "{}._spf.customer.com",
                    ["include", "netblocks", "outbound"][n as usize / 3 % 3]
                ),
            };
            text(s, 5_000 * n, &name);
        }
    }),
    (
        "a mail server asks for keys and places of many who have theirs in one cloud",
        |s| {
            let first = ["contoso", "fabrikam", "adventure", "northwind", "woodgrove"];
            let second = [
                "trading",
                "international",
                "logistics",
                "bank",
                "pharma",
                "telekom",
            ];
            for n in 0..120 {
                let who = format!("{}{}", first[n as usize % 5], second[n as usize / 5 % 6]);
                text(
                    s,
                    4_000 * n,
                    &format!("selector1-{who}-com._domainkey.{who}.onmicrosoft.com"),
                );
                ask(
                    s,
                    4_000 * n,
                    INSIDE,
                    ip(10, 0, 0, 53),
                    &format!("autodiscover.{who}.onmicrosoft.com"),
                    0,
                );
                ask(
                    s,
                    4_000 * n,
                    INSIDE,
                    ip(10, 0, 0, 53),
                    &format!("{who}-com.mail.protection.outlook.com"),
                    0,
                );
            }
        },
    ),
    (
        "a mail server asks lists of addresses of IPv6 whether they send spam",
        |s| {
            for n in 0..120 {
                let nibbles: Vec<String> = format!("{:032x}", s.dice.next())
                    .chars()
                    .map(String::from)
                    .collect();
                ask(
                    s,
                    4_000 * n,
                    INSIDE,
                    ip(10, 0, 0, 53),
                    &format!("{}.list.example.org", nibbles.join(".")),
                    3,
                );
            }
        },
    ),
    ("a scanner of files asks its vendor for their hashes", |s| {
        for n in 0..300 {
            let name = format!(
                "{:016x}{:016x}.files.vendor.example",
                s.dice.next(),
                s.dice.next()
            );
            ask(
                s,
                1_500 * n,
                INSIDE,
                ip(10, 0, 0, 53),
                &name,
                if n % 5 == 0 { 0 } else { 3 },
            );
            if let Some((_, Seen::Dns(d))) = s.seen.last_mut() {
                d.is_verdict = n % 5 == 0;
            }
        }
    }),
];

/// A text is asked for, and answered by a short one.
fn text(s: &mut Scene, after_ms: i64, name: &str) {
    for answer in [None, Some(0)] {
        s.dns(BEGIN_MS + after_ms, INSIDE, name, 16, answer);
    }
}

fn session(
    s: &mut Scene,
    after_ms: i64,
    (src, dst, port): (Addr, Addr, u16),
    (packets, bytes): (u64, u64),
    back: u64,
    life_ms: i64,
) {
    let jitter = s.dice.within(0, 60);
    s.tcp(Tcp {
        at_ms: BEGIN_MS + after_ms + jitter,
        src,
        dst,
        port,
        packets,
        bytes: bytes + jitter as u64,
        back,
        life_ms: life_ms + jitter,
        handshake: Handshake::Complete,
    });
}

/// A question and its answer.
fn ask(s: &mut Scene, after_ms: i64, client: Addr, server: Addr, name: &str, rcode: u8) {
    for answer in [None, Some(rcode)] {
        s.dns(BEGIN_MS + after_ms, client, name, 1, answer);
        if let Some((_, Seen::Dns(d))) = s.seen.last_mut() {
            d.server = server;
        }
    }
}

/// What is found in one of these, with other ordinary traffic beside it.
pub fn found(work: &Work, seed: u64) -> Vec<String> {
    let mut scene = Scene::new(seed, 1);
    scene.office(20);
    (work.1)(&mut scene);
    let found = judged(scene, &Settings::default()).into_iter();
    found
        .map(|d| format!("{}: {} ({})", work.0, d.title, d.detector))
        .collect()
}

#[test]
fn ordinary_work_is_no_attack() {
    let found: Vec<String> = WORK.iter().flat_map(|w| found(w, 7)).collect();
    assert!(found.is_empty(), "{found:#?}");
}
