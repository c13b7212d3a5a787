//! 802.11 data frames, and the headers that capture programs put before them.

use super::walk::{Next, Notes};
use super::wire::{array_at, mac_at, u8_at, u16_at, u32_at, u32_le_at};

/// An 802.11 frame (802.11-2020 section 9.3.2): only data frames that are not encrypted lead on. Of an aggregate the
/// first frame is taken, the others are [`behind`] it.
pub(super) fn frame<N: Notes>(bytes: &[u8], at: usize, notes: &mut N) -> Next {
    body(bytes, at, 1, notes)
}

fn body<N: Notes>(bytes: &[u8], at: usize, align: usize, notes: &mut N) -> Next {
    notes.layer("wlan");
    let Some([kind, flags]) = array_at(bytes, at) else {
        return Next::Cut;
    };
    let (is_data, qos, no_data) = (kind & 0x0c == 0x08, kind & 0x80 != 0, kind & 0x40 != 0);
    if !is_data || no_data || flags & PROTECTED != 0 {
        return Next::Stop;
    }
    let distribution = flags & 0x03;
    let [dst, src] = match distribution {
        0 => [4, 10],
        1 => [16, 10],
        2 => [4, 16],
        _ => [16, 24],
    };
    notes.addresses(mac_at(bytes, at + dst), mac_at(bytes, at + src));
    let mut size = if distribution == 3 { 30 } else { 24 };
    let mut aggregate = false;
    if qos {
        aggregate = u8_at(bytes, at + size).is_some_and(|b| b & 0x80 != 0);
        size += 2;
        // HT control
        if flags & 0x80 != 0 {
            size += 4;
        }
    }
    size = size.next_multiple_of(align);
    if aggregate {
        notes.aggregate(at + size);
        size += SUBFRAME_HEAD;
    }
    Next::Llc(at + size)
}

/// Where the frame behind one of an aggregate starts (A-MSDU, 802.11-2020 section 9.3.2.2): two addresses and a length, then as
/// many octets of LLC, and padding to four octets.
pub fn behind(bytes: &[u8], at: usize) -> Option<usize> {
    let size = usize::from(u16_at(bytes, at + 12)?);
    let next = at + (SUBFRAME_HEAD + size).next_multiple_of(4);
    // what is shorter than a head is padding, or the sum of the frame
    (size > 0 && next + SUBFRAME_HEAD <= bytes.len()).then_some(next)
}

/// What a frame of an aggregate carries.
pub(super) fn subframe<N: Notes>(bytes: &[u8], at: usize, notes: &mut N) -> Next {
    notes.addresses(mac_at(bytes, at), mac_at(bytes, at + 6));
    Next::Llc(at + SUBFRAME_HEAD)
}

/// The header of radiotap.org, little-endian.
pub(super) fn radiotap<N: Notes>(bytes: &[u8], notes: &mut N) -> Next {
    radiotap_at(bytes, 0, notes).unwrap_or(Next::Cut)
}

/// The same, somewhere in a frame.
pub(super) fn radiotap_at<N: Notes>(bytes: &[u8], at: usize, notes: &mut N) -> Option<Next> {
    let size = usize::from(u16_at(bytes, at + 2)?.swap_bytes());
    let first = u32_le_at(bytes, at + 4)?;
    let (mut words, mut word) = (1, first);
    while word & EXTENDED != 0 && words < PRESENCE_WORDS_MAX {
        word = u32_le_at(bytes, at + 4 + words * 4)?;
        words += 1;
    }
    // the time comes first, in eight octets where they are aligned
    let mut flags_at = 4 + words * 4;
    if first & 1 != 0 {
        flags_at = flags_at.next_multiple_of(8) + 8;
    }
    let padded = first & 2 != 0 && u8_at(bytes, at + flags_at)? & DATA_PAD != 0;
    if size < 8 {
        return Some(Next::Stop);
    }
    Some(body(bytes, at + size, if padded { 4 } else { 1 }, notes))
}

/// Prism monitor mode header, or an AVS header that some write under the same link type.
pub(super) fn prism(bytes: &[u8]) -> Next {
    match (u32_at(bytes, 0), u32_le_at(bytes, 4)) {
        (Some(magic), _) if magic >> 12 == 0x80211 => avs(bytes),
        (_, Some(size @ 24..=1024)) => Next::Radio(size as usize),
        (_, Some(_)) => Next::Stop,
        _ => Next::Cut,
    }
}

/// AVS header: a magic number and its length, big-endian.
pub(super) fn avs(bytes: &[u8]) -> Next {
    match u32_at(bytes, 4) {
        Some(size @ 8..=1024) => Next::Radio(size as usize),
        Some(_) => Next::Stop,
        None => Next::Cut,
    }
}

/// An 802.11 frame whose frame control has its octets swapped, as Cisco's access points send it in CAPWAP.
pub(super) fn swapped<N: Notes>(bytes: &[u8], at: usize, notes: &mut N) -> Next {
    // the version bits are zero, so the first octet of a data frame shows by its type
    match array_at(bytes, at) {
        Some([kind, _]) if kind & 0x0f == 0x08 => body(bytes, at, 1, notes),
        Some([flags, kind])
            if kind & 0x0f == 0x08 && flags & PROTECTED == 0 && kind & 0x40 == 0 =>
        {
            let distribution = flags & 0x03;
            let mut size = if distribution == 3 { 30 } else { 24 };
            size += if kind & 0x80 != 0 { 2 } else { 0 };
            Next::Llc(at + size)
        }
        Some(_) => Next::Stop,
        None => Next::Cut,
    }
}

/// Two addresses and a length.
const SUBFRAME_HEAD: usize = 14;
const PROTECTED: u8 = 0x40;
/// Another word of presence bits follows.
const EXTENDED: u32 = 1 << 31;
/// Most words of presence bits that are followed.
const PRESENCE_WORDS_MAX: usize = 16;
/// Flag: the header is padded to four octets.
const DATA_PAD: u8 = 0x20;

#[cfg(test)]
mod tests {
    use super::super::{Dissected, Dissector, FrameHead, Settings};
    use super::*;
    use crate::model::PacketView;
    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    /// A frame of an aggregate with UDP from this port, padded where another one follows.
    fn part(port: u16, payload: &[u8], last: bool) -> Vec<u8> {
        let mut ip = Vec::new();
        PacketBuilder::ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .udp(port, 53)
            .write(&mut ip, payload)
            .expect("a vector takes it");
        let mut part = vec![port as u8; 12];
        part.extend((ip.len() as u16 + 8).to_be_bytes());
        part.extend([0xaa, 0xaa, 3, 0, 0, 0, 8, 0]);
        part.extend(ip);
        while !last && !part.len().is_multiple_of(4) {
            part.push(0);
        }
        part
    }

    #[test]
    fn every_frame_of_an_aggregate_is_found() {
        let mut bytes = vec![0x88, 1];
        bytes.extend([0; 22]);
        // QoS control says that it is an aggregate
        bytes.extend([0x80, 0]);
        bytes.extend(part(1, b"a", false));
        bytes.extend(part(2, b"bcd", false));
        bytes.extend(part(3, b"", true));
        let head = FrameHead {
            link_type: 105,
            wire_len: bytes.len() as u32,
            ..Default::default()
        };
        let mut d = Dissector::new(&Settings::default());
        let told = |v: &PacketView<'_>| (v.ports().0, v.ip_len, v.envelope.dst_mac);
        let mac = |n: u8| Some(u64::from_be_bytes([0, 0, n, n, n, n, n, n]));
        let Dissected::Ip(first) = d.frame(head, &bytes) else {
            panic!("a packet");
        };
        assert_eq!((first.ports().0, first.ip_len), (1, 29));
        let mut at = d.aggregate().expect("an aggregate");
        let mut found = vec![];
        while let Some(next) = behind(&bytes, at) {
            at = next;
            let Dissected::Ip(view) = d.subframe(head, &bytes, at) else {
                panic!("a packet");
            };
            found.push(told(&view));
        }
        assert_eq!(found, [(2, 31, mac(2)), (3, 28, mac(3))]);
        // the sum of the frame is no packet
        bytes.extend([1; 4]);
        assert_eq!(behind(&bytes, at), None);
        // the same without the bit
        bytes[24] = 0;
        d.frame(head, &bytes);
        assert_eq!(d.aggregate(), None);
    }

    proptest! {
        #[test]
        fn an_aggregate_of_anything_ends(bytes: Vec<u8>, at in 0usize..64) {
            let (mut at, mut steps) = (at, 0);
            while let Some(next) = behind(&bytes, at) {
                prop_assert!(next > at);
                (at, steps) = (next, steps + 1);
            }
            prop_assert!(steps <= bytes.len() / 4);
        }
    }
}
