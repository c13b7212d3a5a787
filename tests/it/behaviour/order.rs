//! In which order and in how many places something is done changes nothing of what it is.

use super::attacks::{BEGIN_MS, Scene, ip};
use super::judged;
use super::scenarios::{INSIDE, OUTSIDE};
use flowhouse::detect::anomaly::{BurstKind, Settings};
use flowhouse::model::{Addr, Detection};

fn told(scene: Scene) -> Vec<(&'static str, String, String)> {
    let found = judged(scene, &Settings::default());
    let about = |d: Detection| (d.kind.name(), d.detector, format!("{:?}", d.entity));
    found.into_iter().map(about).collect()
}

/// Forty servers, or devices, each asked and answering at once.
fn asks_forty(client: Addr, kinds: [BurstKind; 2], port: u16, at_ms: i64, step_ms: i64) -> Scene {
    let mut s = Scene::new(1, 1);
    for n in 0..40 {
        let (at, there) = (at_ms + step_ms * n, (ip(172, 20, 0, 10 + n as u8), port));
        let packets = if kinds[0] == BurstKind::Syn { 2 } else { 6 };
        let bytes = u64::from(packets) * 600;
        s.burst(at, kinds[0], [(client, 50_500), there], packets, bytes);
        s.burst(at + 40, kinds[1], [there, (client, 50_500)], packets, bytes);
    }
    // time goes on
    s.burst(
        at_ms + 9_000,
        BurstKind::Icmp,
        [(OUTSIDE, 0), (INSIDE, 0)],
        1,
        60,
    );
    s
}

#[test]
fn who_asks_is_no_victim_whatever_its_address() {
    for client in [ip(10, 0, 0, 5), ip(192, 168, 200, 5)] {
        for kinds in [
            [BurstKind::Syn, BurstKind::SynAck],
            [BurstKind::Udp, BurstKind::Udp],
        ] {
            let port = if kinds[0] == BurstKind::Syn { 443 } else { 161 };
            // within a second, over the end of one, and one after the other
            for (at_ms, step_ms) in [(100, 5), (980, 0), (100, 90), (700, 15)] {
                let scene = asks_forty(client, kinds, port, BEGIN_MS + at_ms, step_ms);
                assert!(told(scene).is_empty(), "{client} {port} {at_ms} {step_ms}");
            }
        }
    }
    // the same answers to nothing
    let mut s = Scene::new(1, 1);
    let victim = ip(10, 0, 0, 5);
    for n in 0..40 {
        let from = (ip(172, 20, 0, 10 + n as u8), 443);
        s.burst(
            BEGIN_MS + 5 * n,
            BurstKind::SynAck,
            [from, (victim, 50_500)],
            2,
            88,
        );
    }
    s.burst(
        BEGIN_MS + 9_000,
        BurstKind::Icmp,
        [(OUTSIDE, 0), (INSIDE, 0)],
        1,
        60,
    );
    assert_eq!(told(s)[0].0, "tcp_reflection_flood");
}

/// Few hosts, each below what is looked at alone, and ports that take each other's places.
#[test]
fn some_ports_of_some_hosts_are_a_scan_in_whatever_order() {
    let ports = [22, 80, 135, 443, 445, 3389, 5985, 8080, 110, 143];
    for (hosts, n_ports) in [(14, 10), (5, 10), (16, 5), (40, 5), (20, 5)] {
        for in_order in [true, false] {
            let mut pairs: Vec<(i64, usize)> = (0..hosts * n_ports as i64)
                .map(|n| (n / n_ports as i64, n as usize % n_ports))
                .collect();
            let mut s = Scene::new(5, 1);
            if !in_order {
                for n in (1..pairs.len()).rev() {
                    let other = s.dice.next() as usize % (n + 1);
                    pairs.swap(n, other);
                }
            }
            for (n, (to, port)) in pairs.into_iter().enumerate() {
                let dst = ip(10, 0, 3, 1 + to as u8);
                s.syn(BEGIN_MS + 100 * n as i64, OUTSIDE, dst, ports[port]);
            }
            let found = told(s);
            let what = format!("{hosts} hosts, {n_ports} ports, {in_order}: {found:?}");
            assert_eq!(found.len(), 1, "{what}");
            assert!(
                ["host_sweep_tcp", "port_scan"].contains(&found[0].0),
                "{what}"
            );
        }
    }
}

/// Ports of many hosts that fail, host by host, port by port, and one port hidden among others.
#[test]
fn a_block_of_hosts_and_ports_is_a_scan_in_whatever_order() {
    let ports = [21, 22, 23, 25, 80, 135, 139, 443, 445];
    let host = |n: i64| ip(10, 0, 3, n as u8);
    type Order = fn(i64) -> (i64, usize);
    let orders: [(&str, Order); 2] = [
        ("host by host", |n| (n / 9, n as usize % 9)),
        ("port by port", |n| (n % 100, n as usize / 100)),
    ];
    for (name, order) in orders {
        let mut s = Scene::new(1, 1);
        for n in 0..900 {
            let (to, port) = order(n);
            s.syn(BEGIN_MS + 20 * n, OUTSIDE, host(to), ports[port]);
        }
        let found = told(s);
        assert_eq!(found.len(), 1, "{name}: {found:?}");
        assert_eq!(found[0].0, "host_sweep_tcp", "{name}");
    }
    let mut s = Scene::new(1, 1);
    for n in 0..200 {
        for other in 0..5 {
            let port = if other == 2 {
                445
            } else {
                s.dice.within(1_024, 60_000)
            };
            s.syn(
                BEGIN_MS + 500 * n + 20 * other,
                INSIDE,
                host(n),
                port as u16,
            );
        }
    }
    let found = told(s);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (found[0].0, found[0].1.as_str()),
        ("host_sweep_tcp", "scan.block")
    );
    // who shares files finds many gone, each at a port of its own
    let mut s = Scene::new(1, 1);
    for n in 0..400 {
        let (to, port) = (
            ip(203, (n / 200) as u8, 113, n as u8),
            s.dice.within(1_024, 60_000),
        );
        s.syn(BEGIN_MS + 300 * n, INSIDE, to, port as u16);
    }
    assert!(told(s).is_empty());
}
