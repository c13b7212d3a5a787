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
    let saved = b.decoder.save();
    let mut b = Bench::new(Settings::default());
    let restored = b.decoder.restore(&saved, End::Stopped, |_| true);
    assert_eq!(restored.expect("just written").len(), 1);
    assert_eq!(told(&mut b, 4700), 2);
    assert_eq!(told(&mut b, 4800), 0);
}
