//! What only whole captures show: connections that are longer than a row, protocols that few scan, keys in the clear.

use super::{found, found_by};
use crate::harness::directory;
use crate::torture::flood::Tape;
use serde_json::Value;
use std::path::Path;

type End = (u32, u16);

const SERVER: u32 = 0x0a00_0216;
const OUTSIDE: u32 = 0xcb00_7109;
const SICK: u32 = 0x0a00_0909;
const HOME: u32 = 0xc000_0207;
const SECOND: u64 = 1_000_000;

/// A connection with exchanges of so many bytes, one after each pause.
pub fn session(tape: &mut Tape, from: End, to: End, exchanges: u32, size: usize, pause: u64) {
    tape.open(from, to);
    let data = vec![b'x'; size];
    let (mut there, mut back) = (100, 500);
    for _ in 0..exchanges {
        tape.micros += pause;
        tape.tcp(from, to, (there, back), 0x18, &data);
        there += size as u32;
        tape.tcp(to, from, (back, there), 0x18, &data);
        back += size as u32;
    }
    tape.tcp(from, to, (there, back), 0x11, b"");
    tape.tcp(to, from, (back, there + 1), 0x11, b"");
    tape.tcp(from, to, (there + 1, back + 1), 0x10, b"");
}

/// What is found in a capture that is made so; the same whatever the number of shards.
pub fn told(make: impl Fn(&mut Tape, u64)) -> Vec<Value> {
    let dir = directory();
    let file = dir.path().join("made.pcap");
    let mut tape = Tape::new(&file);
    let start = tape.micros;
    make(&mut tape, start);
    tape.end();
    let (text, all) = found(&file, "1");
    assert_eq!(text, found(&file, "3").0);
    all
}

pub fn kinds(all: &[Value]) -> Vec<&str> {
    let mut kinds: Vec<&str> = all.iter().filter_map(|d| d["kind"].as_str()).collect();
    kinds.sort_unstable();
    kinds
}

#[test]
fn a_login_after_guesses_that_lasts_for_minutes_is_told() {
    // what is done in it may come at once, or later
    for rest in [2, 20] {
        let all = told(|tape, start| {
            for n in 0..30 {
                tape.micros = start + 5 * n * SECOND;
                let from = (OUTSIDE, 50_000 + n as u16);
                session(tape, from, (SERVER, 22), 9, 150, SECOND / 4);
            }
            tape.micros = start + 200 * SECOND;
            let from = (OUTSIDE, 51_000);
            session(tape, from, (SERVER, 22), 60, 600, rest * SECOND);
        });
        assert_eq!(kinds(&all), ["brute_force", "brute_force_succeeded"]);
    }
}

#[test]
fn calls_that_last_for_minutes_are_calls_once() {
    let all = told(|tape, start| {
        for n in 0..30 {
            tape.micros = start + 200 * n * SECOND;
            let from = (SICK, 30_000 + n as u16);
            session(tape, from, (HOME, 443), 15, 40, 10 * SECOND);
        }
    });
    assert_eq!(kinds(&all), ["beacon"]);
    assert_eq!(all[0]["count"], 30);
}

/// A way in that says as little as its keepalive: each side a few bytes, once in so many seconds, for half a day and more.
#[test]
fn a_connection_of_a_day_is_told_however_slow_its_keepalive_is() {
    let of = |port: u16, pause: u64, hours: u64| {
        told(|tape, _| {
            let exchanges = (hours * 3_600 / pause) as u32;
            let (from, to) = ((SICK, 50_001), (HOME, port));
            session(tape, from, to, exchanges, 36, pause * SECOND);
        })
    };
    for (port, pause) in [(22, 60), (443, 120), (4_444, 300)] {
        let all = of(port, pause, 14);
        assert_eq!(kinds(&all), ["long_connection"], "{port} {pause}");
        assert_eq!(all[0]["count"], 1);
        assert!(of(port, pause, 8).is_empty());
    }
    // the same ends again and again, each time opened anew
    let anew = told(|tape, start| {
        for n in 0..14 {
            tape.micros = start + n * 3_600 * SECOND;
            session(tape, (SICK, 50_001), (HOME, 4_444), 11, 36, 300 * SECOND);
        }
    });
    assert!(!kinds(&anew).contains(&"long_connection"), "{anew:#?}");
}

/// A packet of SCTP with one chunk (RFC 9260).
fn sctp(tape: &mut Tape, from: End, to: End, kind: u8, bytes: usize) {
    let mut rest = vec![0; 8];
    rest.extend([kind, 0]);
    rest.extend((bytes as u16).to_be_bytes());
    rest.resize(8 + bytes, 0);
    tape.packet(from, to, 132, &rest);
}

#[test]
fn scans_by_sctp_are_scans() {
    let (init, init_ack, abort) = (1, 2, 6);
    let ports = told(|tape, start| {
        for n in 0..40 {
            tape.micros = start + n * SECOND / 5;
            let (from, to) = ((OUTSIDE, 40_123), (SERVER, 2_000 + n as u16));
            sctp(tape, from, to, init, 20);
            sctp(tape, to, from, abort, 4);
        }
    });
    assert_eq!(kinds(&ports), ["port_scan"]);
    let hosts = |answers: bool| {
        told(|tape, start| {
            for n in 0..40 {
                tape.micros = start + n * SECOND / 5;
                let (from, to) = ((OUTSIDE, 40_123), (0x0a00_0300 + n as u32, 3868));
                sctp(tape, from, to, init, 20);
                if answers {
                    sctp(tape, to, from, init_ack, 260);
                    sctp(tape, from, to, 10, 240);
                    sctp(tape, to, from, 11, 4);
                }
            }
        })
    };
    assert_eq!(kinds(&hosts(false)), ["host_sweep"]);
    assert!(hosts(true).is_empty());
}

/// Dropbear against a server with an RSA key of 4,096 bits, inside: six passwords a connection, and a check that logs in and waits.
#[test]
fn guesses_of_a_small_client_inside_are_told_whatever_key_the_host_has() {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures");
    let (_, guesses) = found_by(&captures.join("ssh_guesses_data.pcap"), "2", "packets");
    assert_eq!(kinds(&guesses), ["brute_force"]);
    let (_, checks) = found_by(&captures.join("ssh_checks_data.pcap"), "2", "packets");
    assert!(checks.is_empty(), "{checks:#?}");
}

/// A request and its answer, in a connection that stands; what is behind `|` in the request is sent by itself.
fn page(tape: &mut Tape, from: End, to: End, seq: &mut (u32, u32), texts: [&str; 2]) {
    for part in texts[0].split('|') {
        tape.tcp(from, to, *seq, 0x18, part.as_bytes());
        seq.0 += part.len() as u32;
    }
    tape.tcp(to, from, (seq.1, seq.0), 0x18, texts[1].as_bytes());
    seq.1 += texts[1].len() as u32;
    tape.micros += SECOND;
}

/// What is found in pages: `text` makes request and answer by number.
fn pages(n: u32, text: impl Fn(u32) -> (String, String)) -> Vec<Value> {
    told(|tape, _| {
        let (from, to) = ((OUTSIDE, 40_123), (SERVER, 80));
        tape.open(from, to);
        let mut seq = (100, 500);
        for i in 0..n {
            let (asked, answered) = text(i);
            page(tape, from, to, &mut seq, [&asked, &answered]);
        }
    })
}

const REFUSED: &str =
    "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"a\"\r\nContent-Length: 0\r\n\r\n";
const FINE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"a\":\"b\"}";

#[test]
fn passwords_in_headers_are_guesses_and_the_one_that_is_right_is_told() {
    for scheme in ["Basic", "Digest username=\"ann\", response="] {
        let all = pages(50, |i| {
            let words =
                format!("GET /x HTTP/1.1\r\nHost: a\r\nAuthorization: {scheme} {i:032x}\r\n\r\n");
            (words, if i < 49 { REFUSED } else { FINE }.to_owned())
        });
        assert_eq!(
            kinds(&all),
            ["brute_force", "brute_force_succeeded"],
            "{scheme}"
        );
    }
}

#[test]
fn passwords_in_forms_are_guesses_and_the_one_that_is_right_is_told() {
    // head and form in one segment, in two, and in the address
    for request in [
        "POST /login HTTP/1.1\r\nHost: a\r\n\r\ncsrf=C&user=ann&password=W",
        "POST /login HTTP/1.1\r\nHost: a\r\n\r\n|csrf=C&user=ann&password=W",
        "GET /login?user=ann&password=W HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        for refused in [
            "HTTP/1.1 200 OK\r\nContent-Length: 4500",
            "HTTP/1.1 302 Found\r\nLocation: /login?error",
        ] {
            let all = pages(50, |i| {
                let words = request
                    .replace('W', &format!("w{i}"))
                    .replace('C', &format!("{:x}", i * 7919));
                let right = "HTTP/1.1 302 Found\r\nLocation: /home";
                (
                    words,
                    format!("{}\r\n\r\n", if i < 49 { refused } else { right }),
                )
            });
            assert_eq!(
                kinds(&all),
                ["brute_force", "brute_force_succeeded"],
                "{request}"
            );
        }
    }
}

#[test]
fn who_asks_first_without_a_password_guesses_none() {
    let basic = |words: &str| {
        format!("GET /r.git HTTP/1.1\r\nHost: a\r\nAuthorization: Basic {words}\r\n\r\n")
    };
    let bare = "GET /r.git HTTP/1.1\r\nHost: a\r\n\r\n".to_owned();
    // git and builds: refused, then let in, each time
    let git = pages(400, |i| match i % 2 {
        0 => (bare.clone(), REFUSED.to_owned()),
        _ => (basic("YTpi"), FINE.to_owned()),
    });
    assert!(git.is_empty(), "{git:#?}");
    // a password that is out of date is the same again
    let old = pages(200, |_| (basic("YTpi"), REFUSED.to_owned()));
    assert!(old.is_empty(), "{old:#?}");
    // a check that logs in, and a page that asks for news
    let login = "POST /login HTTP/1.1\r\nHost: a\r\n\r\nuser=check&password=one".to_owned();
    let check = pages(200, |_| (login.clone(), FINE.to_owned()));
    assert!(check.is_empty(), "{check:#?}");
    let news = |i: u32| format!("POST /news HTTP/1.1\r\nHost: a\r\n\r\n{{\"since\":{i}}}");
    let news = pages(200, |i| (news(i), FINE.to_owned()));
    assert!(news.is_empty(), "{news:#?}");
}

/// Very many clients begin a connection: a service that refuses each of them is not flooded, one that says nothing is.
#[test]
fn a_service_that_refuses_is_not_flooded() {
    for refuses in [true, false] {
        let all = told(|tape, start| {
            for n in 0..4_000u64 {
                tape.micros = start + n * SECOND / 200;
                let from = (OUTSIDE + n as u32, 40_000);
                tape.tcp(from, (SERVER, 443), (7_000, 0), 0x02, b"");
                if refuses {
                    tape.tcp((SERVER, 443), from, (0, 7_001), 0x14, b"");
                }
            }
        });
        let wanted: &[&str] = if refuses { &[] } else { &["syn_flood"] };
        assert_eq!(kinds(&all), wanted, "refuses: {refuses}");
    }
}
