//! What hostile exporters may cost.

use super::*;

/// An options template set: a scope field, then others; (element, length).
fn options(id: u16, scope: (u16, u16), fields: &[(u16, u16)]) -> (u16, Vec<u8>) {
    let mut body = words(&[id, fields.len() as u16 + 1, 1, scope.0, scope.1]);
    for (element, length) in fields {
        body.extend(words(&[*element, *length]));
    }
    (3, body)
}

#[test]
fn what_waited_is_decoded_little_by_little() {
    let mut b = Bench::new(Settings::default());
    for _ in 0..300 {
        b.send(1, &[(256, vec![6; 1200])]);
    }
    assert_eq!(b.decoder.awaiting(), 300);
    b.send(1, &[template(256, &[(0, 4, 1)]), (256, vec![17])]);
    let mut most = 0;
    let mut rows = vec![];
    loop {
        most = most.max(b.out.len());
        rows.extend((0..b.out.len()).map(|i| {
            let p = b.out.provenance_of(i);
            (p.frame, p.datagram, b.out.core.proto[i])
        }));
        b.out.clear();
        if !b.decoder.go_on(&mut b.out, &mut b.learned, &mut b.book) {
            break;
        }
    }
    assert!(most <= LATE_ROWS + 1200 + 1, "{most} rows in a batch");
    assert_eq!(rows.len(), 360_001);
    assert!(rows.iter().all(|r| r.0 == 3010), "where the template came");
    let late: Vec<u64> = rows.iter().filter(|r| r.2 == 6).map(|r| r.1).collect();
    assert!(late.is_sorted());
    assert_eq!(b.count(Outcome::SetsDecodedLate), 300);
    assert_eq!(b.decoder.awaiting(), 0);
}

#[test]
fn what_is_left_is_decoded_before_the_next_datagram() {
    let mut b = Bench::new(Settings::default());
    for _ in 0..10 {
        b.send(1, &[(256, vec![6; 1200])]);
    }
    b.send(1, &[template(256, &[(0, 4, 1)])]);
    assert!(b.decoder.awaiting() > 0);
    b.send(1, &[(256, vec![17])]);
    assert_eq!((b.decoder.awaiting(), b.out.len()), (0, 12_001));
    assert_eq!(b.out.core.proto.last(), Some(&17));
}

#[test]
fn the_inventory_hears_again_what_is_repeated() {
    let mut b = Bench::new(Settings::default());
    let sets = [
        options(300, (10, 4), &[(82, 4)]),
        (300, [&[0, 0, 0, 7][..], b"eth7"].concat()),
    ];
    let told = |b: &mut Bench, second| {
        b.send_at(1, second, &sets);
        b.learned.drain(..).count()
    };
    assert_eq!(told(&mut b, 1000), 2, "a template and a name");
    assert_eq!(told(&mut b, 1600), 0);
    assert_eq!(told(&mut b, 1000 + 3600), 2);
    // another process, perhaps with another store
    let saved = b.decoder.save().text;
    let mut b = Bench::new(Settings::default());
    let restored = b.decoder.restore(&saved, End::Stopped, |_| true);
    assert_eq!(restored.expect("just written").len(), 1);
    assert_eq!(told(&mut b, 4700), 2);
    assert_eq!(told(&mut b, 4800), 0);
}

/// A decoder and what came of the last datagram; many exporters.
struct Crowd {
    decoder: Decoder,
    out: FlowBatch,
    learned: Vec<Learned>,
    book: Book,
    second: i64,
}

impl Crowd {
    fn new(settings: Settings) -> Self {
        Crowd {
            decoder: Decoder::new(settings),
            out: FlowBatch::new(),
            learned: Vec::new(),
            book: Book::new(1_000),
            second: 1000,
        }
    }

    /// A message of an exporter; a second passes. Whatever it is, no table holds more than it may.
    fn send(&mut self, exporter: u8, sets: &[(u16, Vec<u8>)]) {
        self.second += 1;
        let d = Datagram {
            source: Addr::from_v4([192, 0, 2, exporter]),
            port: 4739,
            received_at_ns: self.second * SECOND_NS,
            number: 1,
            frame: 1,
            cut: false,
            payload: &message(0, sets),
        };
        self.out.clear();
        self.learned.clear();
        let (out, learned) = (&mut self.out, &mut self.learned);
        self.decoder.decode(&d, out, learned, &mut self.book);
        self.decoder.tick(d.received_at_ns, &mut self.book);
        assert_eq!(self.decoder.overfull(), None);
    }

    fn count(&self, o: Outcome) -> u64 {
        self.book.count(o)
    }
}

#[test]
fn nobody_keeps_others_from_their_templates() {
    let settings = Settings {
        templates_max: 256,
        exporter_templates_max: 64,
        ..Settings::default()
    };
    let mut c = Crowd::new(settings);
    for round in 0..3 {
        for id in 256..320 {
            (1..=32).for_each(|attacker| c.send(attacker, &[template(id, &[(0, 7, 2)])]));
        }
        let honest = 100 + round;
        c.send(honest, &[template(300, &[(0, 11, 2)]), (300, vec![0, 80])]);
        assert_eq!(c.out.core.dst_port, [80], "in round {round}");
    }
    let accounts = c.book.accounts();
    let honest = accounts.filter(|((addr, _), _)| addr[15] >= 100);
    let evicted: u64 = honest.map(|(_, t)| t.count(Outcome::Evictions)).sum();
    assert_eq!(evicted, 0, "they hold least");
    assert!(c.count(Outcome::Evictions) >= 3 * 64 * 32 - 256);
}

#[test]
fn templates_are_weighed_by_their_fields() {
    let bytes_max = 1 << 20;
    let settings = Settings {
        templates_bytes_max: bytes_max,
        ..Settings::default()
    };
    let mut c = Crowd::new(settings);
    let mut most = 0;
    for id in 256..512 {
        // each one of its own, as many fields as there may be
        let fields: Vec<_> = (0..512).map(|n| (0, 1 + n, 1 + id % 4)).collect();
        c.send(1, &[template(id, &fields)]);
        most = most.max(c.decoder.shared.layouts.bytes());
    }
    let one = most / c.decoder.shared.templates.max(1);
    assert!(
        most > bytes_max / 2 && most <= bytes_max,
        "{most} bytes, {one} each"
    );
    c.send(2, &[template(300, &[(0, 11, 2)]), (300, vec![0, 80])]);
    assert_eq!(c.out.core.dst_port, [80]);
    assert_eq!(c.count(Outcome::TemplatesRefused), 0);
}

#[test]
fn nobody_keeps_others_from_their_names_and_samplers() {
    let settings = Settings {
        names_all_max: 256,
        samplers_all_max: 256,
        samplers_max: 64,
        ..Settings::default()
    };
    let mut c = Crowd::new(settings);
    let names = options(300, (10, 4), &[(82, 4)]);
    let samplers = options(301, (302, 8), &[(305, 4), (306, 4)]);
    let name = |n: u32| (300, [&n.to_be_bytes()[..], b"eth0"].concat());
    let sampler = |n: u32| {
        let n = u64::from(n).to_be_bytes();
        (301, [&n[..], &[0, 0, 0, 1, 0, 0, 3, 231]].concat())
    };
    for attacker in 1..=8 {
        c.send(attacker, &[names.clone(), samplers.clone()]);
        for n in 1..=64 {
            c.send(attacker, &[name(n), sampler(n)]);
        }
    }
    assert!(c.count(Outcome::Evictions) > 256);
    c.send(9, &[names.clone(), samplers.clone()]);
    c.send(9, &[name(1), sampler(1)]);
    let told = c.learned.len();
    assert_eq!(told, 2, "{:?}", c.learned);
    // one exporter has its limit, over all its domains
    let before = c.count(Outcome::NamesRefused);
    c.send(9, &(2..=65).map(sampler).collect::<Vec<_>>());
    assert_eq!(c.count(Outcome::NamesRefused), before + 1);
}
