//! IPv4 (RFC 791) and IPv6 (RFC 8200) with its extension headers.

use super::walk::Notes;
use super::wire::{u8_at, u16_at, u32_at};
use crate::model::{Addr, Fragment};
use etherparse::ip_number as number;

/// One IP header as it was found. Places count from the start of the bytes that were walked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IpHeader {
    /// Where it starts.
    pub at: usize,
    /// Octets of the header that are there, at most the whole header (IPv4 with its options) or 40 (IPv6); what lies behind
    /// them is 0 here.
    pub known: usize,
    /// Octets that the header should have, as above.
    pub size: usize,
    /// 4 or 6.
    pub version: u8,
    /// Traffic class octet.
    pub tos: u8,
    /// Time to live, hop limit.
    pub ttl: u8,
    /// Protocol field of the fixed header.
    pub next_header: u8,
    /// Protocol behind the extension headers; for IPv4 behind an authentication header (RFC 4302).
    pub proto: u8,
    /// Identification of IPv4.
    pub id: u16,
    /// IPv6 flow label.
    pub flow_label: u32,
    /// IPv4 total length; IPv6 payload length + 40, or what a jumbo option says (RFC 2675). 0 where segmentation
    /// offload left none.
    pub len: u32,
    /// Source address.
    pub src: Addr,
    /// Destination address.
    pub dst: Addr,
    /// IPv4: always; IPv6: where there is a fragment header.
    pub fragment: Option<Fragment>,
    /// Where the payload starts (of a fragment: its part of the payload); never behind `end`.
    pub transport_at: usize,
    /// Where the packet ends within the bytes that are there.
    pub end: usize,
    /// Whether the headers can be right: lengths fit each other, the chain of extensions has an end.
    pub sound: bool,
    /// Whether the bytes ended within the headers.
    pub cut: bool,
}

impl IpHeader {
    /// Whether it is a fragment without the start of the payload.
    #[inline]
    pub fn is_later_fragment(&self) -> bool {
        self.fragment.is_some_and(|f| f.offset != 0)
    }

    /// Layer-3 bytes of the packet in a frame of `wire` bytes: as the header says. Where offload left no length, it ends with
    /// the frame; but a hop-by-hop header without the length that should be in it is only itself.
    #[inline]
    pub fn layer3_len(&self, wire: usize) -> u32 {
        match (self.len, self.version, self.next_header) {
            (0, 6, HOP_BY_HOP) => V6_SIZE as u32,
            (0, ..) => wire.saturating_sub(self.at) as u32,
            (len, ..) => len,
        }
    }

    /// Whether the packet is a part of a larger one.
    #[inline]
    pub fn is_fragment(&self) -> bool {
        self.fragment.is_some_and(|f| f.offset != 0 || f.more)
    }

    /// Whether the fixed header is there, and where options follow it at least the start of them.
    #[inline]
    pub fn is_usable(&self) -> bool {
        self.known == self.size || self.version == 4 && self.known > V4_SIZE
    }

    /// Where the packet ends by its own length; behind everything where it does not say.
    #[inline]
    pub fn promised_end(&self) -> usize {
        match self.len {
            0 => usize::MAX,
            len => self.at + len as usize,
        }
    }
}

/// Reads the IP header at `at`; `None` where none can start there.
#[inline]
pub(super) fn read(bytes: &[u8], at: usize, wire: usize) -> Option<IpHeader> {
    let rest = bytes.get(at..)?;
    match rest.first()? >> 4 {
        4 => match rest.first_chunk() {
            Some(fixed) => v4(bytes, at, fixed),
            None => v4(bytes, at, &padded(rest)),
        },
        6 => Some(match rest.first_chunk() {
            Some(fixed) => v6(bytes, at, fixed, V6_SIZE, wire),
            None => v6(bytes, at, &padded(rest), rest.len(), wire),
        }),
        _ => None,
    }
}

/// What is there of a header, with zeros behind it.
#[cold]
fn padded<const N: usize>(rest: &[u8]) -> [u8; N] {
    let mut fixed = [0; N];
    fixed
        .iter_mut()
        .zip(rest)
        .for_each(|(to, from)| *to = *from);
    fixed
}

#[inline]
fn v4(bytes: &[u8], at: usize, b: &[u8; V4_SIZE]) -> Option<IpHeader> {
    let size = usize::from(b[0] & 0x0f) * 4;
    if size < V4_SIZE {
        return None;
    }
    let len = usize::from(u16::from_be_bytes([b[2], b[3]]));
    let id = u16::from_be_bytes([b[4], b[5]]);
    let word = u16::from_be_bytes([b[6], b[7]]);
    let sound = len == 0 || len >= size;
    // a length of 0 is what segmentation offload leaves: the packet reaches as far as the bytes do
    let end = if len == 0 || !sound {
        bytes.len()
    } else {
        bytes.len().min(at + len)
    };
    let mut header = IpHeader {
        at,
        known: size.min(bytes.len() - at),
        size,
        version: 4,
        tos: b[1],
        ttl: b[8],
        next_header: b[9],
        proto: b[9],
        id,
        flow_label: 0,
        len: len as u32,
        src: Addr::from_v4([b[12], b[13], b[14], b[15]]),
        dst: Addr::from_v4([b[16], b[17], b[18], b[19]]),
        fragment: Some(Fragment {
            id: id.into(),
            offset: u32::from(word & 0x1fff) * 8,
            more: word & 0x2000 != 0,
        }),
        transport_at: (at + size).min(end),
        end,
        sound,
        cut: at + size > end,
    };
    if header.proto == AUTHENTICATION && word & 0x1fff == 0 && !header.cut {
        extensions(bytes, &mut header);
    }
    Some(header)
}

#[inline]
fn v6(bytes: &[u8], at: usize, b: &[u8; V6_SIZE], known: usize, wire: usize) -> IpHeader {
    let word = u32::from_be_bytes([b[0], b[1], b[2], b[3]]);
    let payload = usize::from(u16::from_be_bytes([b[4], b[5]]));
    let mut src = [0; 16];
    src.copy_from_slice(&b[8..24]);
    let mut dst = [0; 16];
    dst.copy_from_slice(&b[24..40]);
    let len = match (payload, b[6]) {
        (0, NO_NEXT) => V6_SIZE,
        (0, HOP_BY_HOP) => match jumbo(bytes, at + V6_SIZE) {
            len if at.saturating_add(len) <= wire.max(bytes.len()) => len,
            _ => 0,
        },
        (0, _) => 0,
        (n, _) => n + V6_SIZE,
    };
    let end = match len {
        0 => bytes.len(),
        len => bytes.len().min(at.saturating_add(len)),
    };
    let mut header = IpHeader {
        at,
        known,
        size: V6_SIZE,
        version: 6,
        tos: (word >> 20) as u8,
        ttl: b[7],
        next_header: b[6],
        proto: b[6],
        id: 0,
        flow_label: word & 0x000f_ffff,
        len: len as u32,
        src: Addr::from_v6(src),
        dst: Addr::from_v6(dst),
        fragment: None,
        transport_at: (at + V6_SIZE).min(end),
        end,
        sound: true,
        cut: at + V6_SIZE > end,
    };
    if is_extension(header.proto) && !header.cut {
        extensions(bytes, &mut header);
    }
    header
}

/// The length in a jumbo payload option (RFC 2675 section 2) of the hop-by-hop header at `at`, with the fixed header; 0
/// where there is none.
#[cold]
fn jumbo(bytes: &[u8], at: usize) -> usize {
    let size = u8_at(bytes, at + 1).map_or(0, |n| (usize::from(n) + 1) * 8);
    let mut options = bytes
        .get(at + 2..(at + size).min(bytes.len()))
        .unwrap_or_default();
    while let [kind, rest @ ..] = options {
        options = match (*kind, rest) {
            // padding of one octet has no length
            (0, rest) => rest,
            (JUMBO, [4, a, b, c, d, ..]) => {
                let n = u32::from_be_bytes([*a, *b, *c, *d]);
                return (n.min(JUMBO_MAX) as usize) + V6_SIZE;
            }
            (_, [n, rest @ ..]) => rest.get(usize::from(*n)..).unwrap_or_default(),
            (_, []) => return 0,
        };
    }
    0
}

/// Walks the chain of extension headers from `transport_at` on; each is at least eight bytes long, so the walk ends.
#[cold]
fn extensions(bytes: &[u8], header: &mut IpHeader) {
    let bytes = &bytes[..header.end];
    let mut at = header.transport_at;
    for _ in 0..EXTENSIONS_MAX {
        let next = header.proto;
        if !is_extension(next) || header.version == 4 && next != AUTHENTICATION {
            return;
        }
        let (Some(following), Some(length)) = (u8_at(bytes, at), u8_at(bytes, at + 1)) else {
            header.cut = true;
            return;
        };
        let size = match next {
            FRAGMENT => 8,
            AUTHENTICATION => (usize::from(length) + 2) * 4,
            _ => (usize::from(length) + 1) * 8,
        };
        if next == FRAGMENT {
            let (Some(word), Some(id)) = (u16_at(bytes, at + 2), u32_at(bytes, at + 4)) else {
                header.cut = true;
                return;
            };
            header.fragment = Some(Fragment {
                id,
                offset: u32::from(word & 0xfff8),
                more: word & 1 != 0,
            });
        }
        header.proto = following;
        at += size;
        header.transport_at = at.min(bytes.len());
        if at > bytes.len() {
            header.cut = true;
            return;
        }
        if header.fragment.is_some_and(|f| f.offset != 0) {
            return;
        }
    }
    header.sound = false;
}

/// Tells the names of the extension headers of a packet.
#[inline(always)]
pub(super) fn extension_names<N: Notes>(bytes: &[u8], header: &IpHeader, notes: &mut N) {
    let (mut next, mut at) = (header.next_header, header.at + V6_SIZE);
    if next == AUTHENTICATION && header.version == 4 && header.proto != next {
        notes.layer("ah");
    }
    if header.version == 4 || !is_extension(next) {
        return;
    }
    while at < header.transport_at && is_extension(next) {
        let (Some(following), Some(length)) = (u8_at(bytes, at), u8_at(bytes, at + 1)) else {
            return;
        };
        let length = usize::from(length);
        let (name, size) = match next {
            HOP_BY_HOP => ("ipv6.hopopts", (length + 1) * 8),
            ROUTING => ("ipv6.routing", (length + 1) * 8),
            FRAGMENT => ("ipv6.fraghdr", 8),
            AUTHENTICATION => ("ah", (length + 2) * 4),
            _ => ("ipv6.dstopts", (length + 1) * 8),
        };
        notes.layer(name);
        (next, at) = (following, at + size);
    }
}

#[inline(always)]
fn is_extension(proto: u8) -> bool {
    matches!(
        proto,
        HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION
    )
}

const V4_SIZE: usize = 20;
const V6_SIZE: usize = 40;
/// Most extension headers of a packet; one with more is not sound.
const EXTENSIONS_MAX: usize = 32;
/// Jumbo payload option.
const JUMBO: u8 = 0xc2;
/// Longest jumbogram that is believed, bytes.
const JUMBO_MAX: u32 = 1 << 24;
const HOP_BY_HOP: u8 = number::IPV6_HEADER_HOP_BY_HOP.0;
const ROUTING: u8 = number::IPV6_ROUTE_HEADER.0;
const FRAGMENT: u8 = number::IPV6_FRAGMENTATION_HEADER.0;
const AUTHENTICATION: u8 = number::AUTHENTICATION_HEADER.0;
const NO_NEXT: u8 = number::IPV6_NO_NEXT_HEADER.0;
const DESTINATION: u8 = number::IPV6_DESTINATION_OPTIONS.0;

#[cfg(test)]
mod tests {
    use super::super::sampled_header;

    /// A hop-by-hop header, a routing header and a fragment header before UDP.
    fn chain(offset: u16) -> Vec<u8> {
        let mut b = vec![0x6a, 0xb1, 0x23, 0x45, 0, 32, 0, 3];
        b.extend([1; 16]);
        b.extend([2; 16]);
        b.extend([43, 0, 1, 4, 0, 0, 0, 0]);
        b.extend([44, 0, 0, 0, 0, 0, 0, 0]);
        b.extend([17, 0]);
        b.extend((offset | 1).to_be_bytes());
        b.extend([0, 0, 0, 7]);
        b.extend([0, 53, 0, 54, 0, 8, 0, 0]);
        b
    }

    #[test]
    fn extension_headers_are_walked() {
        let v = sampled_header(12, &chain(0));
        assert_eq!(v.proto, Some(17));
        assert_eq!((v.src_port, v.dst_port), (Some(53), Some(54)));
        assert_eq!((v.tos, v.flow_label), (Some(0xab), Some(0x12345)));
        assert!(v.is_fragment());
        let later = sampled_header(12, &chain(64));
        assert_eq!((later.proto, later.src_port), (Some(17), None));
        assert_eq!(later.fragment.map(|f| f.offset), Some(64));
        for n in 0..chain(0).len() {
            let v = sampled_header(12, &chain(0)[..n]);
            assert_eq!(v.cut, n < 68, "at {n}");
            assert!(v.proto.is_none() || n >= 64);
        }
    }

    #[test]
    fn a_header_length_below_five_words_is_no_header() {
        let v = sampled_header(11, &[0x44; 40]);
        assert_eq!((v.ip_version, v.src_addr), (None, None));
    }

    #[test]
    fn a_jumbo_option_gives_the_length() {
        let mut b = vec![0x60, 0, 0, 0, 0, 0, 0, 64];
        b.extend([1; 32]);
        b.extend([6, 0, 0xc2, 4, 0, 1, 0x86, 0xa0]);
        b.extend([0; 40]);
        let h = super::read(&b, 0, 200_000).expect("a header");
        assert_eq!((h.len, h.proto, h.transport_at), (100_040, 6, 48));
        assert_eq!(h.end, b.len());
        // more than the frame had
        let h = super::read(&b, 0, 2000).expect("a header");
        assert_eq!((h.len, h.layer3_len(2000)), (0, 40));
    }

    #[test]
    fn a_chain_without_end_is_not_sound() {
        let mut b = vec![0x60, 0, 0, 0, 4, 0, 60, 64];
        b.extend([1; 32]);
        b.extend([60, 0, 0, 0, 0, 0, 0, 0].repeat(100));
        assert!(!super::read(&b, 0, 0).expect("a header").sound);
    }
}
