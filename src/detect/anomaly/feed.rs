//! Packets to sightings: what rows do not tell, or tell too late.
//!
//! Floods are counted by the second here, names of DNS, echo messages, ARP, odd flags, refusals and calls are read from
//! single packets. Nothing is kept of a packet but that.

use super::bursts::Bursts;
use super::sighting::{ArpSeen, Burst, BurstKind, EchoSeen, OddSeen, Seen, Sighting};
use super::{payload, reflectors};
use crate::model::{Addr, PacketView, RowPlace, TcpHeader, Transport};

/// Reads packets for one shard.
#[derive(Debug)]
pub struct Feed {
    bursts: Bursts,
    second: i64,
    frame: u64,
    out: Vec<Sighting>,
    lost: u64,
}

impl Feed {
    /// A feed that has seen nothing. `hash_seed` is a secret in `run` and a constant in `replay`.
    pub fn new(hash_seed: u64) -> Self {
        Feed {
            bursts: Bursts::new(hash_seed),
            second: i64::MIN,
            frame: 0,
            out: vec![],
            lost: 0,
        }
    }

    /// Most bytes that it takes.
    pub const fn memory_max() -> usize {
        Bursts::bytes() + SIGHTINGS_MAX * size_of::<Sighting>()
    }

    /// Lets time pass up to the next frame.
    #[inline]
    pub fn advance(&mut self, now_ns: i64, frame: u64) {
        self.frame = frame;
        let second = now_ns.div_euclid(1_000_000_000);
        if second != self.second {
            self.end_second();
            self.second = second;
        }
    }

    /// Reads a packet; `opened` where it completed a handshake of TCP, with whether its sender began that.
    #[inline]
    pub fn packet(&mut self, p: &PacketView<'_>, opened: Option<bool>) {
        match p.transport {
            Transport::Tcp(t) => self.tcp(p, &t, opened),
            Transport::Ports { src, dst } if p.proto == UDP => self.udp(p, src, dst),
            Transport::Icmp { kind, code } => self.icmp(p, kind, code),
            // the rest of a datagram whose head did not come
            _ if p.proto == UDP => self.burst(p, BurstKind::Udp, reflectors::FRAGMENTS, 0),
            _ => self.burst(p, BurstKind::Other, 0, 0),
        }
    }

    /// Takes an ARP packet.
    pub fn arp(&mut self, seen: ArpSeen) {
        self.tell(seen.time_ms, Seen::Arp(seen));
    }

    /// Whether what was seen should be taken soon.
    pub fn is_crowded(&self) -> bool {
        self.out.len() >= SIGHTINGS_MAX / 2
    }

    /// What was seen since this was called last, in order of frames.
    pub fn take(&mut self) -> Vec<Sighting> {
        std::mem::take(&mut self.out)
    }

    /// The end of the input: the second ends, too.
    pub fn finish(&mut self) {
        self.end_second();
    }

    /// Facts that found no room.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    #[inline]
    fn tcp(&mut self, p: &PacketView<'_>, t: &TcpHeader, opened: Option<bool>) {
        let flags = t.flags & SIX;
        if let Some(by_sender) = opened {
            let ends = if by_sender {
                (p.src, p.dst)
            } else {
                (p.dst, p.src)
            };
            self.count(p, ends, BurstKind::Completed, 0, 0);
        }
        // what answers a SYN has no number of its own (RFC 9293, 3.10.7.1)
        if flags == TcpHeader::RST | TcpHeader::ACK && t.seq == 0 {
            self.count(p, (p.dst, p.src), BurstKind::Refused, 0, 0);
        }
        if flags & TcpHeader::SYN != 0 && flags & (TcpHeader::FIN | TcpHeader::RST) == 0 {
            match flags & TcpHeader::ACK {
                0 => self.burst(p, BurstKind::Syn, 0, t.dst_port),
                _ => self.burst(p, BurstKind::SynAck, t.src_port, 0),
            }
        } else if is_odd(flags) && p.fragment.is_none() {
            let time_ms = ms(p.time_ns);
            let odd = OddSeen {
                src: p.src,
                dst: p.dst,
                dst_port: t.dst_port,
                flags,
                time_ms,
            };
            self.tell(time_ms, Seen::Odd(odd));
        }
        if p.payload_len > 0
            && let Some(seen) = payload::of_tcp(p, t)
        {
            self.tell(ms(p.time_ns), seen);
        }
    }

    #[inline]
    fn udp(&mut self, p: &PacketView<'_>, src: u16, dst: u16) {
        let reflects = |port: u16| {
            if reflectors::is_reflector(port) {
                port
            } else {
                0
            }
        };
        let from = match reflects(src) {
            // two servers that speak from their own port with each other
            port if port != 0 && src == dst => 0,
            port => port,
        };
        self.burst(p, BurstKind::Udp, from, dst);
        if let Some(seen) = payload::of_udp(p, src, dst) {
            self.tell(ms(p.time_ns), seen);
        }
    }

    fn icmp(&mut self, p: &PacketView<'_>, kind: u8, code: u8) {
        self.burst(
            p,
            BurstKind::Icmp,
            0,
            u16::from(kind) << 8 | u16::from(code),
        );
        let is_reply = match (p.proto, kind) {
            (1, 8) | (58, 128) => false,
            (1, 0) | (58, 129) => true,
            _ => return,
        };
        let Some(head) = p.segment().first_chunk::<8>() else {
            return;
        };
        let word = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        let data = p.segment().get(8..).unwrap_or_default();
        let before = p.transport_at.saturating_sub(p.network_at) + 8;
        let promised = p.ip_len.saturating_sub(before) as usize;
        let time_ms = ms(p.time_ns);
        let echo = EchoSeen {
            src: p.src,
            dst: p.dst,
            time_ms,
            is_reply,
            id_seq: (word(4), word(6)),
            len: data.len().max(promised).min(65_535) as u16,
            hash: fnv(data),
            is_pattern: is_pattern(data),
        };
        self.tell(time_ms, Seen::Echo(echo));
    }

    #[inline]
    fn burst(&mut self, p: &PacketView<'_>, kind: BurstKind, src_port: u16, dst_port: u16) {
        self.count(p, (p.src, p.dst), kind, src_port, dst_port);
    }

    #[inline]
    fn count(
        &mut self,
        p: &PacketView<'_>,
        (src, dst): (Addr, Addr),
        kind: BurstKind,
        src_port: u16,
        dst_port: u16,
    ) {
        if self.bursts.is_full() {
            self.end_second();
        }
        let time_ms = ms(p.time_ns);
        self.bursts.add(&Burst {
            src,
            dst,
            kind,
            src_port,
            dst_port,
            bytes: u64::from(p.ip_len),
            packets: p.frames.max(1),
            first_ms: time_ms,
            last_ms: time_ms,
        });
    }

    #[cold]
    fn end_second(&mut self) {
        let bursts = self.bursts.take();
        for b in &bursts {
            // told for the second, whoever saw what of it
            self.tell(self.second * 1_000 + 999, Seen::Burst(*b));
        }
        self.bursts.give_back(bursts);
    }

    fn tell(&mut self, now_ms: i64, seen: Seen) {
        if self.out.len() >= SIGHTINGS_MAX {
            self.lost += 1;
            return;
        }
        self.out.push(Sighting {
            place: RowPlace::at(self.frame),
            now_ms,
            seen,
        });
    }
}

/// Flags of a segment that no connection has: none, FIN alone or with anything but ACK, URG or PSH without ACK, SYN with FIN or RST.
fn is_odd(flags: u16) -> bool {
    use TcpHeader as T;
    let has = |f: u16| flags & f != 0;
    if has(T::SYN) {
        return has(T::FIN) || has(T::RST);
    }
    if has(T::RST) {
        return has(T::FIN);
    }
    !has(T::ACK)
}

/// FNV-1a, 64 bits: the same everywhere, for content that is compared within a replay and a run.
pub(super) fn fnv(bytes: &[u8]) -> u64 {
    let step = |h: u64, b: &u8| (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// Whether data are what ping has in them: behind a time (two words of 64 bits, else one) bytes that count up, letters in their order, or what repeats
/// within as many bytes as ping takes for a pattern.
fn is_pattern(data: &[u8]) -> bool {
    let head = if begins_with_time(data) {
        TIME_BYTES
    } else {
        WORD
    };
    let rest = data.get(head..).unwrap_or_default();
    is_regular(data) || is_regular(rest)
}

fn is_regular(data: &[u8]) -> bool {
    let counts = || data.windows(2).all(|w| w[1] == w[0].wrapping_add(1));
    // Windows begins anew behind w, others behind z
    let letters = || {
        let follows = |w: &[u8]| w[1] == w[0] + 1 || w[1] == b'a' && matches!(w[0], b'w' | b'z');
        data.iter().all(u8::is_ascii_lowercase) && data.windows(2).all(follows)
    };
    let repeats = |period: usize| data.iter().zip(&data[period..]).all(|(a, b)| a == b);
    // less than a period and a half shows nothing that repeats
    counts() || letters() || (1..=PERIOD_MAX.min(data.len() * 2 / 3)).any(repeats)
}

/// Whether data begin with seconds since 1970 of this century and a part of a second, in words of 64 or of 32 bits.
fn begins_with_time(data: &[u8]) -> bool {
    const SECONDS: std::ops::Range<u64> = 946_684_800..4_102_444_800;
    let is_time = |seconds: u64, part: u64| SECONDS.contains(&seconds) && part < 1_000_000_000;
    let long = |at: usize| data.get(at..).and_then(|d| d.first_chunk::<8>());
    let short = |at: usize| data.get(at..).and_then(|d| d.first_chunk::<4>());
    let longs = long(0).zip(long(8)).is_some_and(|(a, b)| {
        is_time(u64::from_le_bytes(*a), u64::from_le_bytes(*b))
            || is_time(u64::from_be_bytes(*a), u64::from_be_bytes(*b))
    });
    // with as much behind it as nothing counts in
    let shorts = short(0).zip(short(4)).is_some_and(|(a, b)| {
        let le = (u32::from_le_bytes(*a), u32::from_le_bytes(*b));
        let be = (u32::from_be_bytes(*a), u32::from_be_bytes(*b));
        [le, be].iter().any(|t| is_time(t.0.into(), t.1.into()))
    });
    longs
        || shorts
            && data
                .get(WORD..TIME_BYTES)
                .is_some_and(|d| d.iter().all(|b| *b == 0))
}

fn ms(ns: i64) -> i64 {
    ns.div_euclid(1_000_000)
}

const UDP: u8 = 17;
/// FIN, SYN, RST, PSH, ACK, URG.
const SIX: u16 = 0x3f;
const TIME_BYTES: usize = 16;
/// A time of 32 bits with its part, or one since the start of a machine.
const WORD: usize = 8;
/// As many bytes as ping takes for a pattern.
const PERIOD_MAX: usize = 16;
/// Facts that wait to be taken.
const SIGHTINGS_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ping_sends_is_a_pattern_and_what_somebody_says_is_none() {
        let time = [1_700_000_123u64, 654_321].map(u64::to_le_bytes).concat();
        let with = |rest: Vec<u8>| [time.clone(), rest].concat();
        for n in [0, 3, 40, 300, 1_400] {
            assert!(is_pattern(&with((0..n).map(|b| b as u8).collect())));
            assert!(is_pattern(&with(vec![0; n])));
            // the letters of Windows
            assert!(is_pattern(&with(
                (0..n).map(|b| b'a' + (b % 23) as u8).collect()
            )));
        }
        // letters without a time, and a time of 32 bits
        let letters: Vec<u8> = (0..32).map(|b| b'a' + (b % 23) as u8).collect();
        assert!(is_pattern(&letters));
        let short = [1_700_000_123u32, 654_321].map(u32::to_be_bytes).concat();
        assert!(is_pattern(&[short, (8..64).collect()].concat()));
        // what is said in place of a time, what is short, and what is said twice
        assert!(!is_pattern(
            &[b"sixteen of bytes".to_vec(), vec![0; 40]].concat()
        ));
        assert!(!is_pattern(b"to be read at once"));
        let said = b"whoever reads it twice is no one";
        assert!(!is_pattern(&[time.clone(), said.repeat(2)].concat()));
        let words = b"GET / HTTP/1.1\r\nHost: example.org\r\nAccept: */*\r\n\r\n";
        assert!(!is_pattern(&with(words.to_vec())));
        let mut x = 1u32;
        let mut next = || {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (x >> 24) as u8
        };
        assert!(!is_pattern(&(0..400).map(|_| next()).collect::<Vec<u8>>()));
    }
}
