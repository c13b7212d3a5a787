//! Exporters with many sessions and many domains.

use super::*;

impl Bench {
    /// Sends sets as one message of a domain.
    fn of_domain(&mut self, port: u16, domain: u32, at_s: i64, sets: &[(u16, Vec<u8>)]) {
        let mut payload = message(0, sets);
        payload[12..16].copy_from_slice(&domain.to_be_bytes());
        self.number += 1;
        let d = Datagram {
            source: Addr::from_v4([192, 0, 2, 1]),
            port,
            received_at_ns: at_s * SECOND_NS,
            number: self.number,
            frame: self.number,
            cut: false,
            payload: &payload,
        };
        let (decoder, learned) = (&mut self.decoder, &mut self.learned);
        decoder.decode(&d, &mut self.out, learned, &mut self.book);
        if self.out.is_full() {
            self.out.clear();
        }
    }
}

fn one() -> (u16, Vec<u8>) {
    template(256, &[(0, 7, 2)])
}

fn record() -> (u16, Vec<u8>) {
    (256, vec![0, 80])
}

#[test]
fn a_hundred_domains_in_turn_keep_their_templates() {
    let mut b = Bench::new(Settings::default());
    for round in 0..10 {
        for domain in 0..100 {
            let sets = match round {
                0 => vec![one(), record()],
                _ => vec![record()],
            };
            b.of_domain(4739, domain, 1000 + round, &sets);
        }
    }
    assert_eq!(b.out.len(), 1000);
    assert_eq!(b.count(Outcome::Evictions), 0);
}

#[test]
fn a_session_that_proved_itself_does_not_give_way_to_a_flood_of_new_ones() {
    let settings = Settings {
        sessions_max: 16,
        domains_max: 16,
        ..Default::default()
    };
    let mut b = Bench::new(settings);
    for at in [1000, 1001] {
        b.of_domain(4739, 7, at, &[one(), record()]);
    }
    for n in 0..1000u16 {
        // other layouts, so that nobody could lend
        let other = template(256, &[(0, 11, 1 + n % 2)]);
        b.of_domain(10_000 + n, 7, 1002, &[other]);
    }
    b.of_domain(4739, 7, 1003, &[record()]);
    assert_eq!(b.out.core.src_port, [80; 3]);
    let gone = b.count(Outcome::Evictions);
    assert_eq!(gone, 2 * (1000 - 15), "each with its template");
}

#[test]
fn a_session_silent_for_minutes_gives_way() {
    let settings = Settings {
        sessions_max: 2,
        domains_max: 2,
        ..Default::default()
    };
    let mut b = Bench::new(settings);
    for port in [1, 2] {
        b.of_domain(port, 7, 1000, &[one()]);
        b.of_domain(port, 7, 1001, &[record()]);
    }
    b.of_domain(2, 7, 1400, &[record()]);
    // the first is silent for more than five minutes: it goes, and the second stays
    b.of_domain(3, 7, 1401, &[template(256, &[(0, 11, 2)])]);
    b.of_domain(2, 7, 1402, &[record()]);
    assert_eq!(b.out.core.src_port, [80; 4]);
    assert_eq!(b.out.core.dst_port, [0; 4]);
}

#[test]
fn ports_that_change_with_every_datagram_follow_a_new_layout() {
    let settings = Settings {
        sessions_max: 64,
        domains_max: 64,
        ..Default::default()
    };
    let mut b = Bench::new(settings);
    for n in 0..400u16 {
        let layout = if n < 200 { 7 } else { 11 };
        let sets = match n % 10 {
            0 => vec![template(256, &[(0, layout, 2)]), record()],
            _ => vec![record()],
        };
        b.of_domain(10_000 + n, 7, 1000 + i64::from(n), &sets);
    }
    let new = b.out.core.dst_port.iter().filter(|p| **p == 80).count();
    assert_eq!(b.out.len(), 400 - b.decoder.awaiting() as usize);
    assert!(new > 100, "{new}: the old layout is gone with its sessions");
}

#[test]
fn whatever_gives_way_is_counted() {
    let settings = Settings {
        sessions_max: 1,
        domains_max: 1,
        ..Default::default()
    };
    let mut b = Bench::new(settings);
    b.of_domain(1, 7, 1000, &[record()]);
    // session and domain
    b.of_domain(1, 8, 1000, &[record()]);
    assert_eq!(b.count(Outcome::Evictions), 2);
    let options = (3, words(&[400, 2, 1, 302, 2, 305, 2]));
    let samplers = [(400, words(&[5, 512])), (400, words(&[6, 128]))];
    b.of_domain(1, 8, 1000, &[&[options][..], &samplers].concat());
    // session, template, domain, two samplers
    b.of_domain(1, 9, 1000, &[record()]);
    assert_eq!(b.count(Outcome::Evictions), 2 + 5);
}
