//! How a protocol is recognised: what a recogniser sees, and what it may say.

use crate::model::AppProto;

/// First bytes of a conversation as far as they came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peek<'a> {
    pub transport: Wire,
    /// Of the side that began; 0 where the transport has no ports.
    pub src_port: u16,
    /// Of the other side.
    pub dst_port: u16,
    /// Of TCP the first bytes of each half, as many as are kept. Of all else the datagram that came, in its half, and the head
    /// of the last one of the other half.
    pub first: [&'a [u8]; 2],
    /// Who just spoke: 0 is the side that began.
    pub half: usize,
    /// Head of the datagram before this one in the same half; empty for TCP, and where there was none.
    pub before: &'a [u8],
}

impl<'a> Peek<'a> {
    /// The bytes of who just spoke.
    pub fn bytes(&self) -> &'a [u8] {
        self.first[self.half]
    }

    /// Whether one of the two ports is this one.
    pub fn has_port(&self, port: u16) -> bool {
        self.src_port == port || self.dst_port == port
    }
}

/// What carries the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    Tcp,
    Udp,
    Sctp,
    /// Another IP protocol; the bytes are what is behind the IP header.
    Ip(u8),
}

impl Wire {
    /// Its bit in the list.
    pub fn bit(self) -> u8 {
        match self {
            Wire::Tcp => TCP,
            Wire::Udp => UDP,
            Wire::Sctp => SCTP,
            Wire::Ip(_) => IP,
        }
    }

    /// Of an IP protocol number.
    pub fn of(proto: u8) -> Wire {
        match proto {
            6 => Wire::Tcp,
            17 | 136 => Wire::Udp,
            132 => Wire::Sctp,
            other => Wire::Ip(other),
        }
    }
}

/// What a recogniser says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is this protocol.
    Is(AppProto, Confidence),
    /// It is not. Of TCP it is not asked again before the other half has spoken.
    No,
    /// So far it may be; more bytes of the conversation tell.
    More,
}

/// How sure: 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Confidence(pub u8);

impl Confidence {
    /// A magic number of four octets or more, or a message that was parsed.
    pub const SURE: Confidence = Confidence(95);
    /// Several fields that fit each other.
    pub const LIKELY: Confidence = Confidence(85);
    /// A form that others might have, too; on the port that it usually has.
    pub const FAIR: Confidence = Confidence(70);
}

/// A recogniser in the list.
#[derive(Debug)]
pub(super) struct Recogniser {
    /// [`TCP`], [`UDP`], [`SCTP`], [`IP`] bits.
    pub wires: u8,
    /// Usual ports: there it is asked first.
    pub ports: &'static [u16],
    /// Whether it is asked on other ports, too.
    pub elsewhere: bool,
    /// First octets that it may be: one of a stream's halves, the datagram.
    pub heads: Heads,
    pub recognise: fn(&Peek<'_>) -> Verdict,
}

/// A set of first octets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heads([u128; 2]);

impl Heads {
    /// From one to another one, both included.
    pub const fn span(from: u8, to: u8) -> Heads {
        Heads([0; 2]).and(from, to)
    }

    /// And those from one to another one.
    pub const fn and(mut self, from: u8, to: u8) -> Heads {
        let mut octet = from;
        loop {
            self.0[(octet >> 7) as usize] |= 1 << (octet & 0x7f);
            if octet >= to {
                return self;
            }
            octet += 1;
        }
    }

    /// Each of these; of letters whatever their case.
    pub const fn text(octets: &[u8]) -> Heads {
        let (mut heads, mut n) = (Heads([0; 2]), 0);
        while n < octets.len() {
            let (upper, lower) = (
                octets[n].to_ascii_uppercase(),
                octets[n].to_ascii_lowercase(),
            );
            heads = heads.and(upper, upper).and(lower, lower);
            n += 1;
        }
        heads
    }

    /// Whether this one is in it.
    pub const fn has(&self, octet: u8) -> bool {
        self.0[(octet >> 7) as usize] >> (octet & 0x7f) & 1 == 1
    }
}

/// Bit of TCP.
pub(super) const TCP: u8 = 1;
/// Bit of UDP.
pub(super) const UDP: u8 = 2;
/// Bit of SCTP.
pub(super) const SCTP: u8 = 4;
/// Bit of all other IP protocols.
pub(super) const IP: u8 = 8;
