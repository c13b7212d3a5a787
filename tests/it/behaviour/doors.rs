//! Doors of other hosts inside: which count as opened, since when it is known who opens them, and who may ask for what a directory holds.

use super::attacks::{BEGIN_MS, Scene, Tcp, ip};
use super::judged;
use super::scenarios::{INSIDE, SERVER};
use flowhouse::detect::anomaly::Settings;
use flowhouse::model::{Addr, Detection, Handshake, Severity};

const DAY_MS: i64 = 86_400_000;

fn found(inject: impl Fn(&mut Scene)) -> Vec<Detection> {
    let mut scene = Scene::new(3, 1);
    scene.office(20);
    inject(&mut scene);
    judged(scene, &Settings::default())
}

fn kinds(found: &[Detection]) -> Vec<&str> {
    found.iter().map(|d| d.kind.name()).collect()
}

/// Hosts whose port is opened one after the other, as packets or an exporter tell it.
fn opens(
    s: &mut Scene,
    after_ms: i64,
    (hosts, port): (u8, u16),
    (packets, bytes, back): (u64, u64, u64),
    exported: bool,
) {
    for n in 0..hosts {
        let t = Tcp {
            at_ms: BEGIN_MS + after_ms + 5_000 * i64::from(n),
            src: INSIDE,
            dst: ip(10, 0, 3, 1 + n),
            port,
            packets,
            bytes,
            back,
            life_ms: 60,
            handshake: Handshake::Complete,
        };
        if exported {
            s.tcp_exported(t);
        } else {
            s.tcp(t);
        }
    }
}

/// A monitor that connects, or reads a greeting, and goes.
#[test]
fn doors_through_which_hardly_anything_is_said_are_not_opened() {
    for exported in [false, true] {
        let of = |what: (u8, u16), size: (u64, u64, u64)| {
            kinds(&found(|s| opens(s, 0, what, size, exported))).len()
        };
        for port in [135, 445, 3389] {
            assert_eq!(of((20, port), (4, 216, 160)), 0, "{port} {exported}");
        }
        for port in [22, 5985] {
            assert_eq!(of((90, port), (6, 350, 340)), 0, "{port} {exported}");
        }
        assert_eq!(of((20, 445), (8, 1_000, 1_000)), 1, "{exported}");
        // many packets say something, with however few options
        assert_eq!(of((20, 3389), (40, 1_650, 9_000)), 1, "{exported}");
    }
}

/// Where nobody opened such a door for weeks, it is known that nobody does.
#[test]
fn who_opens_doors_is_known_since_the_first_row() {
    let of = |days: i64| {
        found(move |s| {
            let size = (40, 9_000, 12_000);
            opens(s, days * DAY_MS, (10, 3389), size, false);
        })
    };
    assert!(of(2).is_empty());
    assert_eq!(kinds(&of(8)), ["lateral_movement"]);
}

#[test]
fn controllers_replicate_from_each_other_and_nobody_else_does() {
    let (one, other, third) = (SERVER, ip(10, 0, 2, 11), ip(10, 0, 2, 12));
    let asks = |s: &mut Scene, after_ms: i64, client: Addr, server: Addr| {
        s.call(BEGIN_MS + after_ms, client, server, "drsuapi", None);
        s.call(BEGIN_MS + after_ms + 9, client, server, "", Some(3));
    };
    // Kerberos of five clients each, and replication in both directions, of the third to one as well
    let domain = |s: &mut Scene| {
        for n in 0..10 {
            let ends = [
                (ip(10, 0, 1, n), 50_000),
                ([one, other][n as usize % 2], 88),
            ];
            s.udp(BEGIN_MS + 1_000 * i64::from(n), ends, 1, 230, true);
        }
        for n in 1..20 {
            asks(s, 900_000 * n, one, other);
            asks(s, 900_000 * n + 5_000, other, one);
            asks(s, 900_000 * n + 6_000, other, third);
            asks(s, 900_000 * n + 9_000, third, one);
        }
    };
    assert!(found(domain).is_empty());
    let theft = found(|s| {
        domain(s);
        asks(s, 5 * 3_600_000, INSIDE, one);
    });
    assert_eq!(kinds(&theft), ["lateral_movement"]);
    assert_eq!(theft[0].severity, Severity::High);
    assert_eq!(theft[0].entity.addr(), Some(INSIDE));
    // as long as it is not known who they are, it may be one of them
    let early = found(|s| asks(s, 60_000, INSIDE, one));
    assert_eq!(kinds(&early), ["lateral_movement"]);
    assert_eq!(early[0].severity, Severity::Low);
    assert!(!early[0].evidence.blind.is_empty());
}
