//! Scenes that break a policy, and what the policy says of itself.

use super::attacks::{BEGIN_MS, Scene, Tcp, ip};
use super::judged;
use super::scenarios::{Attack, INSIDE, OUTSIDE, SERVER, STRIKE_MS, attack};
use flowhouse::detect::anomaly::{
    AllowSettings, DscpSettings, FlowSeen, PolicySettings, RuleSettings, Seen, Settings,
    ZoneSettings,
};
use flowhouse::model::{Addr, Handshake};

pub fn all() -> Vec<Attack> {
    let ruled = |name, kind, entity, inject| Attack {
        tune: |s| s.policy = policy(),
        ..attack(name, kind, entity, true, inject)
    };
    vec![
        ruled(
            "an office host at a server's database, HTTPS alone is allowed",
            "policy_segmentation",
            INSIDE,
            |s| {
                (0..20).for_each(|n| speak(s, STRIKE_MS + 1_000 * n, (INSIDE, SERVER), 5432, 30));
            },
        ),
        ruled(
            "Telnet to a server, nobody is to use it",
            "policy_cleartext",
            OUTSIDE,
            |s| {
                (0..10).for_each(|n| speak(s, STRIKE_MS + 9_000 * n, (OUTSIDE, SERVER), 23, 400));
            },
        ),
        ruled(
            "an office host marks EF, telephones alone may",
            "policy_dscp",
            INSIDE,
            |s| {
                for n in 0..10 {
                    let row = FlowSeen {
                        dscp: Some(46),
                        ..row(s, STRIKE_MS + 1_000 * n, (INSIDE, OUTSIDE), 5_000)
                    };
                    s.seen.push((row.end_ms + 2_000, Seen::Flow(row)));
                }
            },
        ),
        ruled(
            "a firewall denies one source 200 times",
            "policy_denied",
            OUTSIDE,
            |s| {
                for n in 0..200 {
                    let row = denied(STRIKE_MS + 500 * n, OUTSIDE, SERVER, 1 + n as u16);
                    s.seen.push((row.end_ms, Seen::Flow(row)));
                }
            },
        ),
    ]
}

fn policy() -> PolicySettings {
    let zone = |name: &str, network: &str| ZoneSettings {
        name: name.into(),
        networks: vec![network.into()],
    };
    let allow = |from: &str, to: &str, ports: &[&str]| AllowSettings {
        from: from.into(),
        to: to.into(),
        ports: ports.iter().map(|p| (*p).to_owned()).collect(),
        applications: vec![],
    };
    PolicySettings {
        zones: vec![
            zone("office", "10.0.9.0/24"),
            zone("servers", "10.0.2.0/24"),
            zone("voice", "10.0.7.0/24"),
        ],
        allow: vec![
            allow("office", "servers", &["443/tcp"]),
            allow("office", "voice", &["5060"]),
        ],
        cleartext: vec!["telnet".into()],
        dscp: vec![DscpSettings {
            codes: vec![46],
            zones: vec!["voice".into()],
            applications: vec![],
        }],
        firewall_rules: vec![RuleSettings {
            name: "outside_in, line 3".into(),
            rule: "0x9b3e8f01".into(),
        }],
        ..PolicySettings::default()
    }
}

fn speak(s: &mut Scene, at_ms: i64, (src, dst): (Addr, Addr), port: u16, packets: u64) {
    s.tcp(Tcp {
        at_ms,
        src,
        dst,
        port,
        packets,
        bytes: packets * 200,
        back: packets * 300,
        life_ms: 3_000,
        handshake: Handshake::Complete,
    });
}

fn row(s: &mut Scene, at_ms: i64, (src, dst): (Addr, Addr), packets: u64) -> FlowSeen {
    let n = i64::from(s.interval);
    let seen = (0..packets).filter(|_| s.dice.within(0, n) == 0).count() as u64;
    FlowSeen {
        src,
        dst,
        src_port: 40_000,
        dst_port: 40_002,
        proto: 17,
        bytes: 200 * seen,
        packets: seen,
        interval: s.interval,
        start_ms: at_ms,
        end_ms: at_ms + 900,
        ..FlowSeen::default()
    }
}

fn denied(at_ms: i64, src: Addr, dst: Addr, port: u16) -> FlowSeen {
    FlowSeen {
        src,
        dst,
        src_port: 40_000,
        dst_port: port,
        proto: 17,
        interval: 1,
        start_ms: at_ms,
        end_ms: at_ms,
        firewall_event: 3,
        firewall_rule: 0x1234_5678_0000_0000,
        ..FlowSeen::default()
    }
}

#[test]
fn a_broken_matrix_says_what_where_since_when_and_how_often() {
    let mut scene = Scene::new(1, 1);
    for n in 0..25 {
        speak(&mut scene, STRIKE_MS + 1_000 * n, (INSIDE, SERVER), 445, 30);
    }
    (0..3).for_each(|n| speak(&mut scene, STRIKE_MS + 60_000 + n, (INSIDE, SERVER), 22, 30));
    // allowed, and between hosts of one zone
    speak(&mut scene, STRIKE_MS, (INSIDE, SERVER), 443, 30);
    speak(&mut scene, STRIKE_MS, (INSIDE, ip(10, 0, 9, 3)), 445, 30);
    let settings = Settings {
        policy: policy(),
        ..Settings::default()
    };
    let found = judged(scene, &settings);
    let broken = found
        .iter()
        .find(|d| d.kind.name() == "policy_segmentation");
    let broken = broken.expect("found");
    assert_eq!((broken.count, broken.peers_total), (28, 1));
    let fact = broken.evidence.facts.iter().find(|f| f.0 == "broken");
    let words = &fact.expect("it says which").1;
    let wanted = [
        "office to servers 445/tcp: 25 flows since 2023-11-14T22:15:20 UTC",
        "office to servers 22/tcp: 3 flows since 2023-11-14T22:16:20 UTC",
    ];
    assert!(wanted.iter().all(|w| words.contains(w)), "{words}");
}

#[test]
fn what_nothing_used_for_a_month_is_told() {
    let mut scene = Scene::new(1, 1);
    for day in 0..32 {
        let at_ms = BEGIN_MS + 86_400_000 * day;
        speak(&mut scene, at_ms, (INSIDE, SERVER), 443, 30);
        let row = denied(at_ms, OUTSIDE, SERVER, 23);
        scene.seen.push((at_ms, Seen::Flow(row)));
    }
    let settings = Settings {
        policy: policy(),
        ..Settings::default()
    };
    let found = judged(scene, &settings);
    let unused: Vec<_> = found
        .iter()
        .filter(|d| d.kind.name() == "policy_unused")
        .collect();
    let [unused] = unused[..] else {
        panic!("{found:?}");
    };
    let fact = |name: &str| {
        let facts = &unused.evidence.facts;
        facts.iter().find(|f| f.0 == name).map(|f| f.1.as_str())
    };
    assert_eq!(fact("cells"), Some("office to voice: 5060"));
    assert_eq!(fact("rules"), Some("outside_in, line 3 (0x9b3e8f01)"));
}

/// Of the end of a call that marks EF, telephones and their protocols alone may.
#[test]
fn marks_are_judged_by_what_is_known_of_a_row() {
    let marks = |change: &dyn Fn(&mut FlowSeen)| {
        let mut scene = Scene::new(1, 1);
        let phone = ip(10, 0, 7, 3);
        let mut call = row(&mut scene, STRIKE_MS, (phone, ip(10, 0, 7, 9)), 50);
        call.dscp = Some(46);
        change(&mut call);
        scene.seen.push((call.end_ms, Seen::Flow(call)));
        let mut settings = Settings {
            policy: policy(),
            ..Settings::default()
        };
        settings.policy.dscp[0].applications = vec!["sip".into(), "rtp".into()];
        let found = judged(scene, &settings);
        let found = found.iter().filter(|d| d.kind.name() == "policy_dscp");
        found.filter_map(|d| d.entity.addr()).collect::<Vec<_>>()
    };
    let (phone, office, server) = (ip(10, 0, 7, 3), ip(10, 0, 9, 3), SERVER);
    assert_eq!(marks(&|_| ()), [], "what it is does not stand in a row");
    assert_eq!(
        marks(&|f| f.metered = true),
        [phone],
        "packets would have told"
    );
    assert_eq!(marks(&|f| f.src = office), [], "it may answer a telephone");
    assert_eq!(marks(&|f| (f.src, f.src_port) = (office, 50_000)), [office]);
    assert_eq!(marks(&|f| (f.proto, f.app) = (6, 9)), [phone]);
    // the server alone marks
    let page = |f: &mut FlowSeen| {
        (f.src, f.dst, f.dst_port, f.metered) = (office, server, 443, true);
        (f.dscp, f.back_dscp, f.back_bytes) = (Some(0), Some(46), Some(9_000));
    };
    assert_eq!(marks(&page), [server]);
}
