//! Scenes over weeks: volume by the hour of the week, services, uploads, exporters that fall silent.

use super::attacks::{Scene, Tcp, ip};
use super::judged;
use super::scenarios::{Attack, INSIDE, OUTSIDE, SERVER, attack};
use flowhouse::detect::anomaly::{DaysSeen, FlowSeen, Seen, Settings};
use flowhouse::model::{Addr, Detection, Entity, Handshake, Severity};

pub const FIRST: Addr = Addr::from_v4([192, 0, 2, 1]);
pub const SECOND: Addr = Addr::from_v4([192, 0, 2, 2]);

/// A Monday, 0 o'clock UTC.
const MONDAY_MS: i64 = 1_704_067_200_000;
const DAY_MS: i64 = 86_400_000;
const BUCKET_MS: i64 = 300_000;
/// A Tuesday in the fourth week, 10 o'clock.
const LATE_MS: i64 = MONDAY_MS + 22 * DAY_MS + 10 * 3_600_000;
const AFTER_MS: i64 = 3 * 3_600_000;
const HTTPS: u64 = 77;
const ADMIN: Addr = Addr::from_v4([10, 0, 1, 50]);

pub fn all() -> Vec<Attack> {
    let late = |name, kind, entity, inject| Attack {
        background: weeks,
        strike_ms: LATE_MS,
        ..attack(name, kind, entity, true, inject)
    };
    vec![
        late(
            "an interface carries three times as much",
            "volume_anomaly",
            FIRST,
            |s| {
                for n in 0..12 {
                    carry(
                        s,
                        LATE_MS + n * BUCKET_MS,
                        FIRST,
                        (1, 2),
                        160_000_000 * 300 / 8,
                    );
                }
            },
        ),
        late(
            "an interface carries nothing any more",
            "volume_anomaly",
            FIRST,
            |s| {
                let gone = |f: &FlowSeen| {
                    f.exporter == FIRST && f.interfaces.0 == 3 && f.start_ms >= LATE_MS
                };
                s.seen
                    .retain(|(_, seen)| !matches!(seen, Seen::Flow(f) if gone(f)));
            },
        ),
        late(
            "a server of three weeks offers a shell",
            "new_service",
            SERVER,
            |s| {
                for n in 0..9 {
                    session(s, LATE_MS + 60_000 * n, OUTSIDE, SERVER, 4_444, 4_000);
                }
            },
        ),
        late(
            "80 MB to a place that nobody knew",
            "exfiltration",
            INSIDE,
            |s| {
                for n in 0..16 {
                    let at_ms = LATE_MS + 60_000 * n + s.dice.within(0, 50_000);
                    upload(s, at_ms, INSIDE, OUTSIDE, 5_000_000);
                }
            },
        ),
        late(
            "remote logins on 12 hosts, by one that never did so in weeks",
            "lateral_movement",
            INSIDE,
            |s| {
                for n in 0..12 {
                    let host = ip(10, 0, 9, 1 + n as u8);
                    session(s, LATE_MS + 200_000 * n, INSIDE, host, 3389, 4_000);
                }
            },
        ),
        Attack {
            in_rows: false,
            ..late(
                "40 MB a day to one place, on seven days",
                "exfiltration",
                INSIDE,
                |s| {
                    let days = DaysSeen {
                        src: INSIDE,
                        dst: OUTSIDE,
                        sent: 280_000_000,
                        came: 3_000_000,
                        days: 7,
                        first_ms: LATE_MS - 7 * DAY_MS,
                        last_ms: LATE_MS,
                    };
                    s.seen.push((LATE_MS, Seen::Days(days)));
                },
            )
        },
        Attack {
            background: hours,
            strike_ms: MONDAY_MS + AFTER_MS,
            ..attack(
                "one of two exporters falls silent",
                "exporter_silent",
                SECOND,
                true,
                |s| {
                    let gone =
                        |f: &FlowSeen| f.exporter == SECOND && f.start_ms >= MONDAY_MS + AFTER_MS;
                    s.seen
                        .retain(|(_, seen)| !matches!(seen, Seen::Flow(f) if gone(f)));
                },
            )
        },
    ]
}

/// Three weeks without an attack.
pub fn ordinary(s: &mut Scene) {
    weeks(s);
}

/// More than three weeks of two exporters with three interfaces: days, nights and weekends; pages of a server; a backup each night; somebody
/// who administers some hosts an hour, and after two weeks all of them at once.
fn weeks(s: &mut Scene) {
    s.seen.push((MONDAY_MS, Seen::Name(HTTPS, "https".into())));
    let buckets = (LATE_MS + AFTER_MS - MONDAY_MS) / BUCKET_MS;
    for n in 0..buckets {
        let at_ms = MONDAY_MS + n * BUCKET_MS;
        let (day, hour) = (n / 288 % 7, n / 12 % 24);
        let busy = (7..19).contains(&hour) && day < 5;
        let mbit = if busy { 40 } else { 8 };
        for (exporter, interfaces) in [(FIRST, (1, 2)), (FIRST, (3, 2)), (SECOND, (1, 2))] {
            let noise = s.dice.within(85, 116);
            carry(
                s,
                at_ms,
                exporter,
                interfaces,
                (mbit * noise * 10_000) as u64 * 300 / 8,
            );
        }
        if n % 12 == 0 {
            let client = ip(10, 0, 1, s.dice.within(1, 20) as u8);
            for k in 0..4 {
                session(s, at_ms + 1_000 * k, client, SERVER, 443, 9_000);
            }
        }
        if busy && n % 12 == 3 {
            administer(s, at_ms, hour, 4);
        }
        if n % 288 == 180 && n > 14 * 288 && busy {
            administer(s, at_ms, 0, 40);
        }
        if n % 288 == 24 {
            for k in 0..10 {
                let at_ms = at_ms + 30_000 * k + s.dice.within(0, 28_000);
                upload(s, at_ms, INSIDE, ip(203, 0, 113, 9), 4_000_000);
            }
        }
    }
}

/// Remote logins on so many hosts of one floor, of which each hour of the day has its own.
fn administer(s: &mut Scene, at_ms: i64, hour: i64, hosts: i64) {
    for n in 0..hosts {
        let host = ip(10, 0, 8, (1 + (4 * hour + n) % 48) as u8);
        session(s, at_ms + 10_000 * n, ADMIN, host, 22, 4_000);
    }
}

/// Hours of two exporters that tell something every ten seconds.
fn hours(s: &mut Scene) {
    for n in 0..(AFTER_MS + 3_600_000) / 10_000 {
        for exporter in [FIRST, SECOND] {
            let at_ms = MONDAY_MS + 10_000 * n + s.dice.within(0, 4_000);
            carry(s, at_ms, exporter, (1, 2), 50_000_000);
        }
    }
}

/// Bytes through an exporter.
fn carry(s: &mut Scene, at_ms: i64, exporter: Addr, interfaces: (u32, u32), bytes: u64) {
    let interval = s.interval;
    // a packet of a thousand bytes in so many is seen; of that many the noise is small
    let packets = bytes / 1_000 / u64::from(interval);
    let noise = (packets as f64).sqrt() as i64;
    let packets = packets.saturating_add_signed(if interval > 1 {
        s.dice.within(-noise, noise + 1)
    } else {
        0
    });
    let row = FlowSeen {
        src: ip(203, 0, 113, 80),
        dst: ip(10, 0, 1, 9),
        src_port: 443,
        dst_port: 50_000,
        proto: 6,
        tcp_flags: Some(0x18),
        bytes: packets * 1_000,
        packets,
        interval,
        start_ms: at_ms,
        end_ms: at_ms + 59_000,
        exporter,
        interfaces,
        app: HTTPS,
        ..FlowSeen::default()
    };
    s.seen.push((at_ms + 60_000, Seen::Flow(row)));
}

fn session(s: &mut Scene, at_ms: i64, src: Addr, dst: Addr, port: u16, bytes: u64) {
    s.tcp(Tcp {
        at_ms,
        src,
        dst,
        port,
        packets: 12,
        bytes,
        back: 8 * bytes,
        life_ms: 900,
        handshake: Handshake::Complete,
    });
}

fn upload(s: &mut Scene, at_ms: i64, src: Addr, dst: Addr, bytes: u64) {
    s.tcp(Tcp {
        at_ms,
        src,
        dst,
        port: 443,
        packets: bytes / 1_400,
        bytes,
        back: bytes / 40,
        life_ms: 20_000,
        handshake: Handshake::Complete,
    });
}

/// An exporter with two lines that carry hardly anything at night, by the clock of people, which is ahead by so much.
fn branch(s: &mut Scene, days: i64, ahead_ms: impl Fn(i64) -> i64) {
    s.seen.push((MONDAY_MS, Seen::Name(HTTPS, "https".into())));
    for n in 0..days * 288 {
        let at_ms = MONDAY_MS + n * BUCKET_MS;
        let bits = if is_busy(at_ms + ahead_ms(at_ms)) {
            40_000_000
        } else {
            60_000
        };
        for (interfaces, part) in [((1, 2), 1), ((2, 1), 2), ((3, 4), 20)] {
            let bits = bits / part / 100 * s.dice.within(85, 116) as u64;
            carry(s, at_ms, FIRST, interfaces, bits * 300 / 8);
        }
    }
}

/// Whether it is 7 to 19 o'clock of a working day.
fn is_busy(at_ms: i64) -> bool {
    let hour = (at_ms - MONDAY_MS).div_euclid(3_600_000);
    (7..19).contains(&(hour % 24)) && hour / 24 % 7 < 5
}

fn of_kind(scene: Scene, kind: &str) -> Vec<Detection> {
    let mut found = judged(scene, &Settings::default());
    found.retain(|d| d.kind.name() == kind);
    found.sort_by_key(|d| (d.first_ms, d.entity.to_string()));
    found
}

fn fact<'a>(d: &'a Detection, name: &str) -> &'a str {
    let facts = &d.evidence.facts;
    facts.iter().find(|f| f.0 == name).map_or("", |f| &f.1)
}

#[test]
fn a_line_that_is_dead_for_two_days_is_one_incident_at_either_end() {
    let mut scene = Scene::new(1, 1);
    branch(&mut scene, 25, |_| 0);
    let gone = |f: &FlowSeen| f.interfaces != (3, 4) && f.start_ms >= LATE_MS;
    let until_ms = LATE_MS + 49 * 3_600_000;
    scene
        .seen
        .retain(|(at_ms, seen)| *at_ms < until_ms && !matches!(seen, Seen::Flow(f) if gone(f)));
    let found = of_kind(scene, "volume_anomaly");
    let entities = [1, 2].map(|n| Entity::Interface(FIRST, n));
    let about: Vec<_> = found.iter().map(|d| d.entity.clone()).collect();
    assert_eq!(about, entities, "{found:#?}");
    for (d, n) in found.iter().zip([1, 2]) {
        assert_eq!((d.severity, d.first_ms), (Severity::Medium, LATE_MS));
        assert!(d.last_ms > until_ms - 3_600_000, "{d:#?}");
        for way in ["in", "out"] {
            let words = format!("interface {n} {way}: nothing any more");
            assert!(fact(d, "series").contains(&words), "{d:#?}");
        }
    }
    let with_it = "application https: less than usual";
    assert!(found.iter().any(|d| fact(d, "with it") == with_it));
}

#[test]
fn that_clocks_are_put_forward_is_no_unusual_volume() {
    let mut scene = Scene::new(1, 1);
    let summer_ms = MONDAY_MS + 20 * DAY_MS + 3_600_000;
    branch(&mut scene, 25, |at_ms| {
        if at_ms >= summer_ms { 3_600_000 } else { 0 }
    });
    assert_eq!(of_kind(scene, "volume_anomaly"), []);
}

#[test]
fn an_exporter_that_sleeps_at_night_is_told_once_of_each_kind_of_day() {
    let mut scene = Scene::new(1, 1);
    let hours = |n: i64| n * 3_600_000;
    // a Wednesday of the second week, for half an hour
    let dead_ms = MONDAY_MS + 9 * DAY_MS + hours(10);
    for n in 0..15 * 1_440 {
        let at_ms = MONDAY_MS + 60_000 * n;
        carry(&mut scene, at_ms, FIRST, (1, 2), 50_000);
        if is_busy(at_ms) && !(dead_ms..dead_ms + hours(1) / 2).contains(&at_ms) {
            carry(&mut scene, at_ms, SECOND, (1, 2), 50_000);
        }
    }
    let found = of_kind(scene, "exporter_silent");
    let told = |d: &Detection| (d.detected_ms - MONDAY_MS) / 60_000;
    // the first night, the first weekend, and what is no night
    let wanted = [hours(19), 5 * DAY_MS + hours(8), 9 * DAY_MS + hours(10)];
    assert_eq!(found.len(), wanted.len(), "{found:#?}");
    for (d, at_ms) in found.iter().zip(wanted) {
        let minutes = told(d) - at_ms / 60_000;
        assert!((5..7).contains(&minutes), "{minutes} {d:#?}");
    }
    let words = fact(&found[2], "longest pause");
    assert!(words.starts_with("432"), "{words}");
    assert!(words.contains("two days, 60 s without"), "{words}");
}
