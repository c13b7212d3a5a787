//! QUIC version 1 and 2 and the drafts before (RFC 9000, RFC 9001, RFC 9369): the client's hello out of its Initial packets.

use super::hello::ClientHello;
use super::known::Ctx;
use super::peek::{Confidence, Peek, Verdict};
use super::tls::client_hello;
use crate::ledger::Outcome;
use crate::model::AppProto;
use ring::aead::quic::{AES_128, HeaderProtectionKey};
use ring::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};

/// A long header of a version that is known.
pub(super) fn recognise(peek: &Peek<'_>) -> Verdict {
    let b = peek.bytes();
    let is = Verdict::Is(AppProto::Quic, Confidence::SURE);
    // Google's before the standard: with a connection id of eight octets in front of the version, later without
    match b {
        [
            0x09 | 0x0d | 0x0c | 0x08,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            _,
            b'Q',
            b'0',
            b'2'..=b'4',
            b'0'..=b'9',
            ..,
        ] => return is,
        [first, b'Q' | b'T', b'0', b'4' | b'5', b'0'..=b'9', ..] if first & 0xc0 == 0xc0 => {
            return is;
        }
        _ => {}
    }
    let Some(long) = Long::read(b) else {
        return Verdict::No;
    };
    let versions = long.rest.len() >= 4 && long.rest.len() % 4 == 0;
    match long.version {
        0 if versions && !long.dcid.is_empty() | !long.scid.is_empty() => {
            Verdict::Is(AppProto::Quic, Confidence::LIKELY)
        }
        v if Version::of(v).is_some() || v >> 8 == 0x00fa_ceb0 || v >> 8 == 0x00ff_0000 => is,
        v if v & 0x0f0f_0f0f == 0x0a0a_0a0a && b.len() >= 1200 => {
            Verdict::Is(AppProto::Quic, Confidence::LIKELY)
        }
        _ => Verdict::No,
    }
}

/// What is kept of a conversation until its hello is whole.
#[derive(Debug, Default)]
pub(super) struct Quic {
    keys: Option<Box<Keys>>,
    hello: Crypto,
    datagrams: u8,
}

impl Quic {
    /// Takes a datagram; returns whether more is wanted.
    pub fn datagram(&mut self, ctx: &mut Ctx<'_>, half: usize, b: &[u8]) -> bool {
        self.datagrams += 1;
        let mut rest = b;
        let mut is_found = false;
        // several packets may share a datagram (RFC 9000 section 12.2)
        for _ in 0..PACKETS_MAX {
            let Some(initial) = Initial::read(rest) else {
                break;
            };
            rest = &rest[initial.end..];
            if let Some(frames) = self.open(&initial) {
                self.hello.frames(&frames, ctx);
                is_found |= self.tell(ctx, half);
            }
        }
        if let Some(name) = google(b) {
            ctx.known().name(name);
            is_found = true;
        }
        !is_found && self.datagrams < DATAGRAMS_MAX
    }

    /// The frames of a packet that the client sent: with the keys of its first packet, or, behind a Retry, of this one.
    fn open(&mut self, initial: &Initial<'_>) -> Option<Vec<u8>> {
        if let Some(frames) = self.keys.as_ref().and_then(|k| k.open(initial)) {
            return Some(frames);
        }
        let keys = Keys::of_client(initial.version, initial.dcid)?;
        let frames = keys.open(initial)?;
        self.keys = Some(Box::new(keys));
        self.hello = Crypto::default();
        Some(frames)
    }

    /// Memory that it takes beside itself.
    pub fn room(&self) -> usize {
        self.hello.bytes.capacity() + self.keys.as_ref().map_or(0, |_| size_of::<Keys>())
    }

    fn tell(&self, ctx: &mut Ctx<'_>, half: usize) -> bool {
        let Some((head, rest)) = self.hello.start().split_first_chunk::<4>() else {
            return false;
        };
        let len = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
        let Some(body) = rest.get(..len) else {
            return head[0] != 1;
        };
        if let Some(hello) = ClientHello::read(body, 'q') {
            if let Some(known) = ctx.names() {
                // QUIC has no other (RFC 9001 section 4.2)
                known.tls_version = 0x0304;
            }
            client_hello(ctx, half, &hello);
        }
        true
    }
}

/// The server's name in a client's hello of Google's QUIC up to Q046, whose handshake is in the clear: the tag CHLO, how many tags
/// there are, each with where its value ends, the values.
fn google(b: &[u8]) -> Option<&[u8]> {
    let head = &b[..b.len().min(GOOGLE_HEAD)];
    let at = head.windows(4).position(|w| w == b"CHLO")?;
    let hello = &b[at..];
    let tags = usize::from(u16::from_le_bytes(hello.get(4..6)?.try_into().ok()?));
    let (tags, values) = hello.get(8..)?.split_at_checked(tags * 8)?;
    let mut begins = 0;
    for tag in tags.chunks_exact(8) {
        let ends = u32::from_le_bytes([tag[4], tag[5], tag[6], tag[7]]) as usize;
        if tag.starts_with(b"SNI\0") {
            return values.get(begins..ends);
        }
        begins = ends;
    }
    None
}

/// The parts of a version that Initial packets depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    salt: &'static [u8; 20],
    labels: [&'static str; 3],
    /// Type of Initial packets.
    initial: u8,
}

impl Version {
    fn of(version: u32) -> Option<Version> {
        let (salt, labels, initial) = match version {
            1 => (SALT_1, LABELS_1, 0),
            0x6b33_43cf => (SALT_2, LABELS_2, 1),
            0xff00_001d..=0xff00_0022 => (SALT_29, LABELS_1, 0),
            0xff00_0017..=0xff00_001c | 0xface_b001 | 0xface_b002 => (SALT_23, LABELS_1, 0),
            _ => return None,
        };
        Some(Version {
            salt,
            labels,
            initial,
        })
    }
}

/// A long header (RFC 8999 section 5.1).
struct Long<'a> {
    first: u8,
    version: u32,
    dcid: &'a [u8],
    scid: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Long<'a> {
    fn read(b: &'a [u8]) -> Option<Self> {
        let (head, rest) = b.split_first_chunk::<6>()?;
        if head[0] & 0x80 == 0 || head[5] > CID_MAX {
            return None;
        }
        let (dcid, rest) = rest.split_at_checked(head[5].into())?;
        let (n, rest) = rest.split_first()?;
        let (scid, rest) = rest.split_at_checked(usize::from(*n))?;
        (*n <= CID_MAX).then_some(Long {
            first: head[0],
            version: u32::from_be_bytes([head[1], head[2], head[3], head[4]]),
            dcid,
            scid,
            rest,
        })
    }
}

/// An Initial packet (RFC 9000 section 17.2.2), protected.
struct Initial<'a> {
    version: Version,
    dcid: &'a [u8],
    bytes: &'a [u8],
    /// Where its packet number starts, and where it ends.
    number_at: usize,
    end: usize,
}

impl<'a> Initial<'a> {
    /// The packet in front; `None` where it is another one.
    fn read(b: &'a [u8]) -> Option<Self> {
        let long = Long::read(b)?;
        let version = Version::of(long.version)?;
        if long.first >> 4 & 3 != version.initial {
            return None;
        }
        let (token, rest) = varint(long.rest)?;
        let rest = rest.get(usize::try_from(token).ok()?..)?;
        let (len, rest) = varint(rest)?;
        let len = usize::try_from(len).ok()?;
        let number_at = b.len() - rest.len();
        (len >= 4 + SAMPLE && len <= rest.len()).then_some(Initial {
            version,
            dcid: long.dcid,
            bytes: b,
            number_at,
            end: number_at + len,
        })
    }
}

/// Keys of one direction.
struct Keys {
    key: LessSafeKey,
    iv: [u8; 12],
    header: HeaderProtectionKey,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keys")
    }
}

impl Keys {
    /// The client's, by the connection id that it chose for the server (RFC 9001 section 5.2).
    fn of_client(version: Version, dcid: &[u8]) -> Option<Keys> {
        let initial = Salt::new(HKDF_SHA256, version.salt).extract(dcid);
        let secret: [u8; 32] = expand(&initial, "client in")?;
        let secret = Prk::new_less_safe(HKDF_SHA256, &secret);
        let [key, iv, header] = version.labels;
        let key: [u8; 16] = expand(&secret, key)?;
        let header: [u8; 16] = expand(&secret, header)?;
        Some(Keys {
            key: LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).ok()?),
            iv: expand(&secret, iv)?,
            header: HeaderProtectionKey::new(&AES_128, &header).ok()?,
        })
    }

    /// The frames of a packet, if these are its keys (RFC 9001 sections 5.3 and 5.4).
    fn open(&self, p: &Initial<'_>) -> Option<Vec<u8>> {
        let sample = p.bytes.get(p.number_at + 4..p.number_at + 4 + SAMPLE)?;
        let mask = self.header.new_mask(sample).ok()?;
        let mut header = p.bytes.get(..p.number_at + 4)?.to_vec();
        header[0] ^= mask[0] & 0x0f;
        let len = usize::from(header[0] & 3) + 1;
        header.truncate(p.number_at + len);
        let mut number = 0u64;
        for (b, m) in header[p.number_at..].iter_mut().zip(&mask[1..]) {
            *b ^= m;
            number = number << 8 | u64::from(*b);
        }
        let mut nonce = self.iv;
        for (n, b) in nonce[4..].iter_mut().zip(number.to_be_bytes()) {
            *n ^= b;
        }
        let mut sealed = p.bytes.get(p.number_at + len..p.end)?.to_vec();
        let nonce = Nonce::assume_unique_for_key(nonce);
        let n = self
            .key
            .open_in_place(nonce, Aad::from(&header), &mut sealed)
            .ok()?
            .len();
        sealed.truncate(n);
        Some(sealed)
    }
}

/// HKDF-Expand-Label without a context (RFC 8446 section 7.1).
fn expand<const N: usize>(secret: &Prk, label: &str) -> Option<[u8; N]> {
    struct Len(usize);
    impl KeyType for Len {
        fn len(&self) -> usize {
            self.0
        }
    }
    let len = (N as u16).to_be_bytes();
    let info: [&[u8]; 5] = [
        &len,
        &[6 + label.len() as u8],
        b"tls13 ",
        label.as_bytes(),
        &[0],
    ];
    let mut out = [0; N];
    secret.expand(&info, Len(N)).ok()?.fill(&mut out).ok()?;
    Some(out)
}

/// The bytes of CRYPTO frames, by their offset.
#[derive(Debug, Default)]
struct Crypto {
    bytes: Vec<u8>,
    /// Ranges that are there, in order, apart from each other.
    there: Vec<(usize, usize)>,
}

impl Crypto {
    /// What is there from the start on.
    fn start(&self) -> &[u8] {
        match self.there.first() {
            Some(&(0, end)) => &self.bytes[..end],
            _ => b"",
        }
    }

    /// Takes the frames of a packet.
    fn frames(&mut self, mut b: &[u8], ctx: &mut Ctx<'_>) {
        while let Some((kind, rest)) = b.split_first() {
            let read = match kind {
                // padding, ping
                0 | 1 => Some(rest),
                2 | 3 => acknowledgement(rest, *kind == 3),
                6 => self.crypto(rest, ctx),
                // nothing else asks for more (RFC 9000 section 12.4)
                _ => None,
            };
            let Some(rest) = read else { return };
            b = rest;
        }
    }

    fn crypto<'a>(&mut self, b: &'a [u8], ctx: &mut Ctx<'_>) -> Option<&'a [u8]> {
        let (offset, rest) = varint(b)?;
        let (len, rest) = varint(rest)?;
        let (data, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
        let end = offset.checked_add(len)?;
        if end > ctx.settings.handshake_bytes_max as u64 || self.there.len() >= RANGES_MAX {
            ctx.tally.one(Outcome::AppBudgets);
            return None;
        }
        let (mut from, mut to) = (offset as usize, end as usize);
        if self.bytes.len() < to {
            self.bytes.resize(to, 0);
        }
        self.bytes[from..to].copy_from_slice(data);
        self.there.retain(|&(a, b)| {
            let touches = a <= to && from <= b;
            if touches {
                (from, to) = (from.min(a), to.max(b));
            }
            !touches
        });
        let place = self.there.partition_point(|&(a, _)| a < from);
        self.there.insert(place, (from, to));
        Some(rest)
    }
}

/// Skips an ACK frame (RFC 9000 section 19.3).
fn acknowledgement(b: &[u8], has_ecn: bool) -> Option<&[u8]> {
    let (_, b) = varint(b)?;
    let (_, b) = varint(b)?;
    let (ranges, b) = varint(b)?;
    let (_, mut b) = varint(b)?;
    let more = ranges
        .checked_mul(2)?
        .checked_add(if has_ecn { 3 } else { 0 })?;
    for _ in 0..more {
        b = varint(b)?.1;
    }
    Some(b)
}

/// A number of variable length (RFC 9000 section 16).
fn varint(b: &[u8]) -> Option<(u64, &[u8])> {
    let first = *b.first()?;
    let (bytes, rest) = b.split_at_checked(1 << (first >> 6))?;
    let n = bytes[1..]
        .iter()
        .fold(u64::from(first & 0x3f), |n, b| n << 8 | u64::from(*b));
    Some((n, rest))
}

const LABELS_1: [&str; 3] = ["quic key", "quic iv", "quic hp"];
const LABELS_2: [&str; 3] = ["quicv2 key", "quicv2 iv", "quicv2 hp"];
const SALT_1: &[u8; 20] =
    b"\x38\x76\x2c\xf7\xf5\x59\x34\xb3\x4d\x17\x9a\xe6\xa4\xc8\x0c\xad\xcc\xbb\x7f\x0a";
const SALT_2: &[u8; 20] =
    b"\x0d\xed\xe3\xde\xf7\x00\xa6\xdb\x81\x93\x81\xbe\x6e\x26\x9d\xcb\xf9\xbd\x2e\xd9";
/// Of the drafts 29 to 32.
const SALT_29: &[u8; 20] =
    b"\xaf\xbf\xec\x28\x99\x93\xd2\x4c\x9e\x97\x86\xf1\x9c\x61\x11\xe0\x43\x90\xa8\x99";
/// Of the drafts 23 to 28.
const SALT_23: &[u8; 20] =
    b"\xc3\xee\xf7\x12\xc7\x2e\xbb\x5a\x11\xa7\xd2\x43\x2b\xb4\x63\x65\xbe\xf9\xf5\x02";
/// Longest connection id (RFC 9000 section 17.2).
const CID_MAX: u8 = 20;
const SAMPLE: usize = 16;
/// Packets of a datagram that are looked at.
const PACKETS_MAX: usize = 8;
/// Datagrams of a conversation that are looked at.
const DATAGRAMS_MAX: u8 = 16;
/// Pieces of a hello that wait.
const RANGES_MAX: usize = 64;
/// How far in a datagram a hello of Google's QUIC begins at the latest.
const GOOGLE_HEAD: usize = 64;

#[cfg(test)]
mod tests {
    use super::super::hello::tests::{SNI, client_hello};
    use super::super::known::tests::Rig;
    use super::super::peek::Wire;
    use super::*;

    const DCID: &[u8] = b"\x83\x94\xc8\xf0\x3e\x51\x57\x08";

    fn put_varint(out: &mut Vec<u8>, n: usize) {
        out.extend((n as u16 | 0x4000).to_be_bytes());
    }

    /// An Initial packet of a client with these pieces of the hello.
    fn initial(version: u32, dcid: &[u8], number: u8, pieces: &[(usize, &[u8])]) -> Vec<u8> {
        let v = Version::of(version).expect("known");
        let keys = Keys::of_client(v, dcid).expect("made");
        let mut frames = vec![1];
        for (at, data) in pieces {
            frames.push(6);
            put_varint(&mut frames, *at);
            put_varint(&mut frames, data.len());
            frames.extend(*data);
        }
        frames.resize(frames.len().max(64), 0);
        let mut packet = vec![0xc0 | v.initial << 4];
        packet.extend(version.to_be_bytes());
        packet.push(dcid.len() as u8);
        packet.extend(dcid);
        packet.extend([0, 0]);
        put_varint(&mut packet, 1 + frames.len() + 16);
        let at = packet.len();
        packet.push(number);
        let mut nonce = keys.iv;
        nonce[11] ^= number;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let aad = Aad::from(packet.clone());
        keys.key
            .seal_in_place_append_tag(nonce, aad, &mut frames)
            .expect("sealed");
        packet.extend(frames);
        let mask = keys
            .header
            .new_mask(&packet[at + 4..at + 20])
            .expect("a mask");
        packet[0] ^= mask[0] & 0x0f;
        packet[at] ^= mask[1];
        packet
    }

    fn hello() -> Vec<u8> {
        let body = client_hello(
            &[0x1301],
            &[(0, SNI), (16, b"\x00\x03\x02h3"), (43, b"\x02\x03\x04")],
        );
        let mut message = vec![1, 0];
        message.extend((body.len() as u16).to_be_bytes());
        message.extend(body);
        message
    }

    fn peek(bytes: &[u8]) -> Verdict {
        recognise(&Peek {
            transport: Wire::Udp,
            src_port: 1,
            dst_port: 2,
            first: [bytes, b""],
            half: 0,
            before: b"",
        })
    }

    #[test]
    fn the_name_in_a_hello_of_googles() {
        let mut hello = vec![0xc3];
        hello.extend(b"Q046\x50\x01\x02\x03\x04\x05\x06\x07\x08\0\0\0\x01");
        hello.extend([0x77; 12]);
        hello.extend(
            b"\xa0\x01\x00\x60CHLO\x02\0\0\0PAD\0\x05\0\0\0SNI\0\x14\0\0\0-----www.example.com",
        );
        let mut rig = Rig::default();
        assert!(!Quic::default().datagram(&mut rig.ctx(), 0, &hello));
        let name = rig.known.as_ref().map(|k| k.server_name.clone());
        assert_eq!(name.as_deref(), Some(&b"www.example.com"[..]));
        for end in 0..hello.len() {
            assert_eq!(google(&hello[..end]), None);
        }
        // more tags than there are, and a value that ends before it begins
        hello[38] = 0xff;
        assert_eq!(google(&hello), None);
        hello[38] = 2;
        hello[46] = 0xff;
        assert_eq!(google(&hello), None);
    }

    #[test]
    fn keys_are_those_of_the_standard() {
        // RFC 9001 appendix A.1
        let secret = Salt::new(HKDF_SHA256, SALT_1).extract(DCID);
        let client: [u8; 32] = expand(&secret, "client in").expect("made");
        assert_eq!(client[..4], [0xc0, 0x0c, 0xf1, 0x51]);
        let keys = Keys::of_client(Version::of(1).expect("known"), DCID).expect("made");
        assert_eq!(
            keys.iv,
            *b"\xfa\x04\x4b\x2f\x42\xa3\xfd\x3b\x46\xfb\x25\x5c"
        );
        let sample = b"\xd1\xb1\xc9\x8d\xd7\x68\x9f\xb8\xec\x11\xd2\x42\xb1\x23\xdc\x9b";
        assert_eq!(
            keys.header.new_mask(sample),
            Ok([0x43, 0x7b, 0x9a, 0xec, 0x36])
        );
        // RFC 9369 appendix A.1
        let keys = Keys::of_client(Version::of(0x6b33_43cf).expect("known"), DCID).expect("made");
        assert_eq!(
            keys.iv,
            *b"\x91\xf7\x3e\x23\x51\xd8\xfa\x91\x66\x0e\x90\x9f"
        );
    }

    #[test]
    fn a_hello_in_pieces_of_several_packets_in_any_order() {
        let hello = hello();
        for version in [1, 0x6b33_43cf, 0xff00_001d] {
            let mut rig = Rig::default();
            let mut quic = Quic::default();
            let (a, b, c) = (&hello[..10], &hello[10..50], &hello[50..]);
            let first = initial(version, DCID, 0, &[(50, c), (0, a)]);
            let second = initial(version, DCID, 1, &[(10, b)]);
            assert_eq!(peek(&first), Verdict::Is(AppProto::Quic, Confidence::SURE));
            assert!(quic.datagram(&mut rig.ctx(), 0, &first));
            assert!(!quic.datagram(&mut rig.ctx(), 0, &second));
            let known = rig.known.expect("told");
            assert_eq!(known.server_name, b"example.com");
            assert!(known.ja4.starts_with(b"q13d0103h3_"), "{:?}", known.ja4);
            assert_eq!(known.tls_version, 0x0304);
        }
    }

    #[test]
    fn behind_a_retry_there_are_other_keys() {
        let (hello, mut rig, mut quic) = (hello(), Rig::default(), Quic::default());
        let first = initial(1, DCID, 0, &[(0, &hello[..9])]);
        assert!(quic.datagram(&mut rig.ctx(), 0, &first));
        let again = initial(1, b"other", 1, &[(0, &hello)]);
        assert!(!quic.datagram(&mut rig.ctx(), 0, &again));
        assert!(rig.known.is_some());
    }

    #[test]
    fn packets_that_are_cut_or_changed_say_nothing() {
        let hello = hello();
        let whole = initial(1, DCID, 0, &[(0, &hello)]);
        for n in 0..whole.len() {
            let mut rig = Rig::default();
            assert!(Quic::default().datagram(&mut rig.ctx(), 0, &whole[..n]));
            let mut bent = whole.clone();
            bent[n] ^= 0x55;
            let _ = (peek(&whole[..n]), peek(&bent));
            let _ = Quic::default().datagram(&mut rig.ctx(), 0, &bent);
        }
        // two packets in a datagram
        let two = [
            initial(1, DCID, 0, &[(0, &hello[..20])]),
            initial(1, DCID, 1, &[(20, &hello[20..])]),
        ];
        let mut rig = Rig::default();
        assert!(!Quic::default().datagram(&mut rig.ctx(), 0, &two.concat()));
    }

    #[test]
    fn an_offset_beyond_the_budget_is_counted() {
        let mut rig = Rig::default();
        rig.settings.handshake_bytes_max = 1000;
        let far = initial(1, DCID, 0, &[(999, b"xy")]);
        assert!(Quic::default().datagram(&mut rig.ctx(), 0, &far));
        assert_eq!(rig.tally.count(Outcome::AppBudgets), 1);
    }
}
