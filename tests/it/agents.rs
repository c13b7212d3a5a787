//! sFlow agents that send through one address: each is an exporter of its own, in whichever shard it is and after a restart.

use crate::harness::{Collector, assert_laws, directory, eventually, total};
use std::collections::BTreeMap;
use std::net::UdpSocket;
use std::ops::Range;
use std::path::Path;

const CONFIG: &str = "[receive]\nlisteners = [\"127.0.0.1:0\"]\n[shard]\nshards = 4\n[sink]\nkind = \"drop\"\n\
                      [spool]\nmode = \"off\"\n";
const AGENTS: u32 = 12;

/// A datagram without samples of the agent 10.0.0.1 plus `agent`, sub-agent 0.
fn datagram(agent: u32, sequence: u32) -> Vec<u8> {
    let words = [
        5,
        1,
        0x0a00_0001 + agent,
        0,
        sequence,
        100_000 + sequence,
        0,
    ];
    words.iter().flat_map(|w: &u32| w.to_be_bytes()).collect()
}

/// A run of the collector in which every agent sends these numbers through one socket; the final ledger.
fn run(dir: &Path, numbers: Range<u32>) -> serde_json::Value {
    let sent = u64::from(numbers.end - numbers.start) * u64::from(AGENTS);
    let collector = Collector::start(dir, CONFIG);
    let relay = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    for number in numbers {
        for agent in 0..AGENTS {
            let payload = datagram(agent, number);
            relay.send_to(&payload, collector.udp[0]).expect("sent");
        }
    }
    eventually("all arrive", || {
        total(&collector.ledger(), "datagrams_parsed") == sent
    });
    let ledger = collector.stop();
    assert_laws(&ledger);
    ledger
}

#[test]
fn their_sequences_survive_orderly_stops_whatever_shard_they_come_to() {
    let dir = directory();
    let lost = |numbers| {
        let ledger = run(dir.path(), numbers);
        [
            "lost_stopped",
            "lost_unknown",
            "sequence_gaps",
            "sequence_restarts",
        ]
        .map(|name| total(&ledger, name))
    };
    assert_eq!(lost(1..11), [0; 4]);
    // 1,000 datagrams of each agent were sent to nobody
    assert_eq!(lost(1011..1021), [1000 * u64::from(AGENTS), 0, 0, 0]);
    assert_eq!(lost(1021..1031), [0; 4]);
    assert_eq!(lost(1031..1041), [0; 4]);
}

#[test]
fn the_laws_hold_for_each_of_them() {
    let dir = directory();
    let ledger = run(dir.path(), 1..11);
    let mut exporters: BTreeMap<&str, [u64; 3]> = BTreeMap::new();
    for account in ledger["exporters"].as_array().expect("exporters") {
        let counts = exporters
            .entry(account["exporter"].as_str().expect("an address"))
            .or_default();
        for (count, name) in
            counts
                .iter_mut()
                .zip(["datagrams_received", "datagrams_routed", "datagrams_parsed"])
        {
            *count += account[name].as_u64().unwrap_or(0);
        }
    }
    assert_eq!(exporters.len(), AGENTS as usize, "{exporters:?}");
    assert!(exporters.values().all(|c| *c == [10; 3]), "{exporters:?}");
}
