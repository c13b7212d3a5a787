//! Templates of known and unknown elements with records of any bytes: the compiled plan and `netflow_parser` find the
//! same records, the same bytes in every field, and the columns hold what those bytes mean.
#![no_main]

use flowhouse::decode::element::{ELEMENTS, Kind};
use flowhouse::decode::oracle::compare;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((&[version, count, records], rest)) = bytes.split_first_chunk::<3>() else {
        return;
    };
    let version = if version & 1 == 0 { 9 } else { 10 };
    let count = usize::from(count % 24) + 2;
    let Some((picks, data)) = rest.split_at_checked(2 * count) else {
        return;
    };
    let fields: Vec<(u16, u16)> = picks.chunks_exact(2).filter_map(|p| field(p[0], p[1])).collect();
    let length: usize = fields.iter().map(|f| usize::from(f.1)).sum();
    let body = &data[..data.len().min(length * (usize::from(records % 8) + 1))];
    // the library takes zeros for padding
    if length < 4 || body.len() < length || body.windows(4).any(|w| w == [0; 4]) {
        return;
    }
    let mut template = [300u16.to_be_bytes(), (fields.len() as u16).to_be_bytes()].concat();
    for (element, length) in fields {
        template.extend(element.to_be_bytes());
        template.extend(length.to_be_bytes());
    }
    let whole = &body[..body.len() / length * length];
    let id = if version == 9 { 0 } else { 2 };
    let sent = [datagram(version, id, &template), datagram(version, 300, whole)];
    assert_eq!(compare(&sent), Ok(whole.len() / length));
});

/// An element and a length that it may have.
fn field(pick: u8, width: u8) -> Option<(u16, u16)> {
    let e = &ELEMENTS[usize::from(pick) % ELEMENTS.len()];
    let length = match e.kind {
        Kind::Unsigned => [1, 2, 4, 8][usize::from(width) % 4],
        Kind::Float => [4, 8][usize::from(width) % 2],
        Kind::Address if e.accepts(4) => 4,
        Kind::Address => 16,
        Kind::Mac => 6,
        Kind::Mpls(_) => 3,
        Kind::Text | Kind::AppId => 1 + u16::from(width % 9),
        Kind::Time(_) if e.accepts(8) => 8,
        Kind::Time(_) => 4,
        Kind::Rule => 12,
        Kind::Frame => return None,
    };
    (e.pen == 0 && e.number < 0x8000).then_some((e.number, length))
}

fn datagram(version: u8, id: u16, body: &[u8]) -> Vec<u8> {
    let mut set = id.to_be_bytes().to_vec();
    set.extend((body.len() as u16 + 4).to_be_bytes());
    set.extend(body);
    let mut d = vec![0, version];
    if version == 9 {
        d.extend([0, 1, 0, 0, 39, 16, 0, 0, 3, 232, 0, 0, 0, 0, 0, 0, 0, 7]);
    } else {
        d.extend((set.len() as u16 + 16).to_be_bytes());
        d.extend([0, 0, 3, 232, 0, 0, 0, 0, 0, 0, 0, 7]);
    }
    d.extend(set);
    d
}
