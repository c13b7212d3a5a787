use super::*;
use crossbeam_channel::{Receiver, bounded};

fn setup(shards: usize, settings: &Settings) -> (Router, Vec<Receiver<DatagramBatch>>) {
    let (senders, receivers) = (0..shards).map(|_| bounded(settings.queue)).unzip();
    (
        Router::new(senders, Intake::new(settings), settings),
        receivers,
    )
}

fn send(router: &mut Router, host: u32, number: u64, now: Moment) {
    let payload = number.to_be_bytes();
    let d = Datagram {
        source: Addr::from_v4(host.to_be_bytes()),
        port: 1,
        received_at_ns: now.wall_ns,
        number,
        frame: 0,
        cut: false,
        payload: &payload,
    };
    router.route(&d, now);
}

fn counts(router: &mut Router) -> [u64; 5] {
    let mut book = Book::new(100);
    router.settle(&mut book);
    [
        Outcome::DatagramsReceived,
        Outcome::DatagramsRouted,
        Outcome::DatagramsDroppedQueue,
        Outcome::DatagramsRefusedAcl,
        Outcome::DatagramsRefusedExporterLimit,
    ]
    .map(|o| book.count(o))
}

#[test]
fn an_exporter_stays_in_one_shard_and_in_order() {
    let settings = Settings {
        batch: 3,
        ..Settings::default()
    };
    let (mut router, receivers) = setup(4, &settings);
    let now = Moment::now();
    (0..400).for_each(|n| send(&mut router, n as u32 % 40, n, now));
    router.flush(now, Duration::ZERO);
    assert_eq!(counts(&mut router), [400, 400, 0, 0, 0]);
    assert_eq!(router.intake().queued(), 400);
    let mut home = HashMap::new();
    for (shard, r) in receivers.iter().enumerate() {
        let mut last = HashMap::new();
        for d in r
            .try_iter()
            .flat_map(|b| b.iter().map(|d| (d.source, d.number)).collect::<Vec<_>>())
        {
            assert_eq!(*home.entry(d.0).or_insert(shard), shard);
            assert!(last.insert(d.0, d.1).is_none_or(|before| before < d.1));
        }
    }
    assert_eq!(home.len(), 40);
    assert_eq!(router.intake().queued(), 0);
}

#[test]
fn a_full_queue_drops_and_every_datagram_is_counted_with_its_exporter() {
    let settings = Settings {
        batch: 4,
        queue: 2,
        ..Settings::default()
    };
    let (mut router, receivers) = setup(1, &settings);
    let now = Moment::now();
    (0..100).for_each(|n| send(&mut router, n as u32 % 2, n, now));
    // two batches queued, one open
    let mut book = Book::new(100);
    router.settle(&mut book);
    assert_eq!(book.count(Outcome::DatagramsReceived), 100);
    assert_eq!(book.count(Outcome::DatagramsRouted), 8);
    assert_eq!(book.count(Outcome::DatagramsDroppedQueue), 88);
    assert!(
        book.accounts()
            .all(|(_, t)| t.count(Outcome::DatagramsDroppedQueue) == 44)
    );
    let got: Vec<u64> = receivers[0]
        .try_iter()
        .flat_map(|b| b.iter().map(|d| d.number).collect::<Vec<_>>())
        .collect();
    assert_eq!(got, (0..8).collect::<Vec<_>>());
    router.finish(now, Duration::ZERO);
    assert_eq!(counts(&mut router), [0, 4, 0, 0, 0]);
    drop(router);
    assert_eq!(receivers[0].recv().unwrap().len(), 4);
    assert!(receivers[0].recv().is_err(), "end of stream");
}

#[test]
fn the_pool_bounds_what_a_hoarding_shard_can_hold() {
    let settings = Settings {
        batch: 1,
        queue: 4,
        ..Settings::default()
    };
    let (mut router, receivers) = setup(1, &settings);
    let now = Moment::now();
    let mut hoard = Vec::new();
    for n in 0..50 {
        send(&mut router, 1, n, now);
        hoard.extend(receivers[0].try_iter());
    }
    assert_eq!((router.batches(), hoard.len()), (7, 6));
    hoard.clear();
    (50..60).for_each(|n| {
        send(&mut router, 1, n, now);
        receivers[0].try_iter().for_each(drop);
    });
    router.finish(now, Duration::ZERO);
    let [received, routed, dropped, ..] = counts(&mut router);
    assert_eq!((received, routed + dropped), (60, 60));
    assert!(routed >= 16, "{routed}");
    assert_eq!(router.batches(), 7);
}

#[test]
fn refused_datagrams_are_counted_and_not_routed() {
    let settings = Settings {
        exporters_max: 2,
        deny: vec!["0.0.0.9".parse().unwrap()],
        ..Settings::default()
    };
    let (mut router, receivers) = setup(1, &settings);
    let now = Moment::now();
    [1, 9, 2, 3, 1, 9, 4]
        .iter()
        .zip(0..)
        .for_each(|(host, n)| send(&mut router, *host, n, now));
    router.finish(now, Duration::ZERO);
    assert_eq!(counts(&mut router), [7, 3, 0, 2, 2]);
    assert_eq!(receivers[0].recv().unwrap().len(), 3);
}

#[test]
fn new_lists_hold_from_the_next_burst_and_numbers_are_used_again() {
    let settings = Settings::default();
    let (mut router, receivers) = setup(1, &settings);
    let now = Moment::now();
    (0..4).for_each(|n| send(&mut router, n as u32 % 2 + 1, n, now));
    router.intake().set_rules(&Settings {
        deny: vec!["0.0.0.2".parse().unwrap()],
        ..Settings::default()
    });
    router.heed();
    (4..8).for_each(|n| send(&mut router, n as u32 % 2 + 1, n, now));
    router.flush(now, Duration::ZERO);
    assert_eq!(counts(&mut router), [8, 6, 0, 2, 0]);
    assert_eq!(receivers[0].recv().unwrap().len(), 6);
    // the number of the forgotten one goes to the next that comes
    router.sweep(60);
    send(&mut router, 3, 8, now);
    assert_eq!(router.exporters.len(), 2);
    // and who is let in again comes back
    router.intake().set_rules(&Settings::default());
    router.heed();
    send(&mut router, 2, 9, now);
    router.flush(now, Duration::ZERO);
    assert_eq!(counts(&mut router), [2, 2, 0, 0, 0]);
    let mut book = Book::new(10);
    router.settle(&mut book);
    assert_eq!(router.index.len(), 3);
}

#[test]
fn idle_shards_hear_the_time_and_silent_exporters_are_forgotten() {
    let settings = Settings {
        exporters_max: 1,
        exporter_idle_s: 300,
        ..Settings::default()
    };
    let (mut router, receivers) = setup(1, &settings);
    let start = Moment::now();
    let later = |s: u64| Moment {
        wall_ns: start.wall_ns + s as i64 * 1_000_000_000,
        at: start.at + Duration::from_secs(s),
    };
    send(&mut router, 1, 0, start);
    router.flush(start, Duration::ZERO);
    assert_eq!(receivers[0].recv().unwrap().len(), 1);
    assert_eq!(counts(&mut router), [1, 1, 0, 0, 0]);
    for s in (60..=600).step_by(60) {
        router.tick(later(s));
    }
    let beat = receivers[0].try_iter().last().unwrap();
    assert_eq!((beat.len(), beat.now_ns()), (0, later(600).wall_ns));
    send(&mut router, 2, 1, later(600));
    assert_eq!(counts(&mut router), [1, 0, 0, 0, 0]);
    assert_eq!(router.exporters.len(), 1, "its place is used again");
}

#[test]
fn a_shard_that_is_gone_is_noticed() {
    let settings = Settings {
        batch: 2,
        ..Settings::default()
    };
    let (mut router, receivers) = setup(1, &settings);
    drop(receivers);
    let now = Moment::now();
    (0..3).for_each(|n| send(&mut router, 1, n, now));
    assert_eq!(router.gone(), Some(0));
    router.finish(now, Duration::from_secs(60));
    assert_eq!(counts(&mut router), [3, 0, 3, 0, 0]);
}

/// An sFlow datagram without samples.
fn sflow(agent: u32, sequence: u64) -> Vec<u8> {
    let words = [5, 1, agent, 0, sequence as u32, 0, 0];
    words.iter().flat_map(|w: &u32| w.to_be_bytes()).collect()
}

fn relay(router: &mut Router, relay: u32, agent: u32, number: u64, now: Moment) {
    let d = Datagram {
        source: Addr::from_v4(relay.to_be_bytes()),
        port: 6343,
        received_at_ns: now.wall_ns,
        number,
        frame: 0,
        cut: false,
        payload: &sflow(agent, number),
    };
    router.route(&d, now);
}

#[test]
fn agents_behind_one_address_are_exporters_of_their_own() {
    let (mut router, receivers) = setup(4, &Settings::default());
    let now = Moment::now();
    (0..400).for_each(|n| relay(&mut router, 9, n as u32 % 40 + 100, n, now));
    router.flush(now, Duration::ZERO);
    let mut used = 0;
    for (shard, r) in receivers.iter().enumerate() {
        let batches: Vec<_> = r.try_iter().collect();
        used += usize::from(!batches.is_empty());
        for d in batches.iter().flat_map(DatagramBatch::iter) {
            let agent = Addr::from_v4(d.payload[8..12].try_into().unwrap());
            // where the state of its earlier datagrams is restored
            assert_eq!(router.intake().shard(agent, 4), shard);
        }
    }
    assert!(used > 1, "all of 40 agents are in one shard");
    let mut book = Book::new(100);
    router.settle(&mut book);
    let accounts: Vec<u64> = (book.accounts())
        .map(|(_, t)| t.count(Outcome::DatagramsReceived))
        .collect();
    assert_eq!(accounts, [10; 40]);
}

#[test]
fn agents_behind_one_address_are_bounded() {
    let settings = Settings {
        exporters_max: 10,
        ..Settings::default()
    };
    let (mut router, receivers) = setup(1, &settings);
    let now = Moment::now();
    (0..200).for_each(|n| relay(&mut router, 9, n as u32 % 100 + 100, n, now));
    router.flush(now, Duration::ZERO);
    assert_eq!(counts(&mut router), [200, 20, 0, 0, 180]);
    assert_eq!(router.intake().exporters(), 10);
    assert_eq!(receivers[0].try_iter().map(|b| b.len()).sum::<usize>(), 20);
}

#[test]
fn the_lists_hold_for_whoever_sends_not_for_the_agent() {
    let settings = Settings {
        deny: vec!["0.0.0.9".parse().unwrap(), "0.0.0.100".parse().unwrap()],
        ..Settings::default()
    };
    let (mut router, _receivers) = setup(1, &settings);
    let now = Moment::now();
    let mut number = 0;
    let mut from = |router: &mut Router, host| {
        number += 1;
        relay(router, host, 100, number, now);
        let [_, _, _, refused, _] = counts(router);
        refused
    };
    // known by the first, whatever others say who they are
    assert_eq!(
        [7, 9, 8, 9, 7].map(|n| from(&mut router, n)),
        [0, 1, 0, 1, 0]
    );
    assert_eq!((router.index.len(), router.intake().exporters()), (1, 1));
    // its place goes with the address that it last came from
    router.intake().set_rules(&Settings {
        deny: vec!["0.0.0.7".parse().unwrap()],
        ..Settings::default()
    });
    router.heed();
    assert_eq!((router.index.len(), router.intake().exporters()), (0, 0));
    assert_eq!([7, 9].map(|n| from(&mut router, n)), [1, 0]);
}
