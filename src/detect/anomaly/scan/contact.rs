//! Which rows are a first contact, and which of them failed.

use super::super::keep::Kept;
use super::super::sighting::{FlowSeen, Side};
use crate::model::{AppProto, Handshake};

/// A first contact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Contact {
    pub proto: u8,
    pub port: u16,
    pub failed: bool,
    /// It begins as the ends of calls try each other.
    pub tries: bool,
    /// A segment that may be the end of a connection: it speaks of ports of one host, and not of hosts.
    pub ports_only: bool,
    pub method: Method,
}

/// How a contact was tried, in the words of scanners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) enum Method {
    /// Before a restart.
    #[default]
    Unknown,
    Connect,
    Syn,
    Null,
    Fin,
    Xmas,
    Maimon,
    Ack,
    Udp,
    Init,
    Echo,
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Method::Unknown => "",
            Method::Connect => "connect",
            Method::Syn => "syn",
            Method::Null => "null",
            Method::Fin => "fin",
            Method::Xmas => "xmas",
            Method::Maimon => "maimon",
            Method::Ack => "ack",
            Method::Udp => "udp",
            Method::Init => "init",
            Method::Echo => "echo",
        }
    }
}

impl Contact {
    /// Protocol and port as one number.
    pub fn key(&self) -> u64 {
        u64::from(self.proto) << 16 | u64::from(self.port)
    }
}

impl Kept for Contact {
    fn put(&self, out: &mut Vec<u8>) {
        (self.proto, self.port, self.failed, self.tries).put(out);
    }
    fn get(from: &mut &[u8]) -> Option<Self> {
        let (proto, port, failed, tries) = Kept::get(from)?;
        // how it was tried is told by what comes next
        Some(Contact {
            proto,
            port,
            failed,
            tries,
            ports_only: false,
            method: Method::Unknown,
        })
    }
}

/// Whether a row may be a first contact: what is told soonest.
#[inline]
pub(in super::super) fn may_be_first(f: &FlowSeen) -> bool {
    let flags = f.tcp_flags.unwrap_or(0) & SIX;
    let goes_on = f.proto == TCP && !f.metered && flags & 0x12 == 0x10 && f.interval <= 1;
    f.side != Side::Responder && !f.goes_on && !goes_on
}

/// The first contact that a row is, and whether it failed.
pub(super) fn contact(f: &FlowSeen, answered: bool) -> Option<Contact> {
    if f.side == Side::Responder || f.goes_on {
        return None;
    }
    match f.proto {
        TCP => of_tcp(f),
        UDP => {
            // where packets are sampled, an answer that was not seen says nothing
            let quiet = f.packets <= 3 && !answered && f.back_packets == 0 && f.interval <= 1;
            let traced = (TRACEROUTE.0..=TRACEROUTE.1).contains(&f.dst_port);
            let backwards = !f.metered && f.src_port < f.dst_port && f.src_port < 1024;
            match (quiet, answered || f.back_packets > 0) {
                _ if traced || backwards || expects_no_answer(f) => None,
                (true, _) => of(f, true, Method::Udp),
                (_, true) => of(f, false, Method::Udp),
                _ => None,
            }
        }
        SCTP => of(f, was_aborted(f)?, Method::Init),
        ICMP | ICMPV6 if matches!(f.icmp >> 8, 8 | 128) => {
            let answered = answered || f.back_packets > 0;
            let echo = of(f, !answered, Method::Echo).filter(|_| answered || f.interval <= 1);
            // ICMP of both versions is one
            echo.map(|c| Contact {
                proto: ICMP,
                port: 0,
                ..c
            })
        }
        _ => None,
    }
}

fn of_tcp(f: &FlowSeen) -> Option<Contact> {
    let flags = f.tcp_flags? & SIX;
    match f.handshake {
        Handshake::Complete => return of(f, false, Method::Connect),
        // who acknowledges was answered, though that was not seen
        Handshake::Unanswered if flags & 0x10 != 0 => return None,
        Handshake::Refused | Handshake::Unanswered => return of(f, true, Method::Syn),
        Handshake::None => {}
    }
    let (few, lone) = (f.packets <= 5, f.packets == 1);
    let forth = f.dst_port < f.src_port;
    let forward = !f.metered && forth;
    let ports_only = |c: Contact| Contact {
        ports_only: true,
        ..c
    };
    match flags {
        // with a reset where somebody answered a half-open probe
        0x02 | 0x06 if few => of(f, true, Method::Syn),
        _ if flags & 0x12 == 0x12 && forward => of(f, false, Method::Connect),
        // of a sampled connection any segment may be what was seen, its first as well: who acknowledges, or resets, was answered
        _ if (flags & 0x14 == 0x10 || flags & 0x06 == 0x04) && forward && f.interval > 1 => {
            of(f, false, Method::Connect)
        }
        0x00 if few && (f.metered || is_bare(f)) => of(f, true, Method::Null),
        0x01 if few => of(f, true, Method::Fin),
        0x29 if few => of(f, true, Method::Xmas),
        0x11 if lone && f.metered && f.back_packets <= 1 => of(f, true, Method::Maimon),
        0x11 if lone && forward && is_bare(f) => of(f, true, Method::Maimon).map(ports_only),
        0x10 if lone && is_reset(f) => of(f, true, Method::Ack),
        0x10 if lone && forth && f.metered && f.back_packets == 0 => {
            of(f, true, Method::Ack).map(ports_only)
        }
        _ => None,
    }
}

fn of(f: &FlowSeen, failed: bool, method: Method) -> Option<Contact> {
    Some(Contact {
        proto: f.proto,
        port: f.dst_port,
        failed,
        tries: f.proto == UDP && f.spoken == AppProto::Stun as u8,
        ports_only: false,
        method,
    })
}

/// Whether a contact that failed may be one that was answered, and whoever answered got a reset.
pub(super) fn is_half_open(f: &FlowSeen, c: &Contact) -> bool {
    let flags = f.tcp_flags.unwrap_or(0) & SIX;
    c.failed && c.proto == TCP && flags == 0x06 && f.handshake == Handshake::None && f.interval <= 1
}

/// Whether a contact may have its answer in a row that comes later. Those that are answered already wait as well, so that they come in turn.
pub(super) fn waits_for_answer(f: &FlowSeen, c: &Contact) -> bool {
    !f.metered && matches!(c.proto, UDP | ICMP) && f.interval <= 1
}

/// Whether a datagram is an answer itself, to who asked all (DHCP, RFC 2131 and 8415), or wakes a host up that cannot answer: six bytes and
/// sixteen times its hardware address, with a password or without.
fn expects_no_answer(f: &FlowSeen) -> bool {
    let leases = matches!((f.src_port, f.dst_port), (67, 68) | (547, 546));
    let headers = if f.src.is_v4() { 28 } else { 48 };
    let payload = (f.bytes / f.packets.max(1)).saturating_sub(headers);
    leases || matches!(f.dst_port, 7 | 9) && matches!(payload, 102 | 106 | 108)
}

/// Whether all that came back is a segment without data.
fn is_reset(f: &FlowSeen) -> bool {
    f.metered && f.back_packets == 1 && f.back_bytes.is_some_and(|b| b <= 60)
}

/// Whether a row has one or two segments of headers without options, as scanners send them, which a frame may fill up.
fn is_bare(f: &FlowSeen) -> bool {
    let headers = if f.src.is_v4() { 46 } else { 60 };
    f.packets <= 2 && f.bytes <= f.packets * headers && f.dst_port != 0 && f.interval <= 1
}

/// Whether nothing came back to an INIT but an ABORT (RFC 9260 sections 3.3.7 and 8.4): an INIT ACK has a cookie and is longer. `None` where that
/// cannot be said.
fn was_aborted(f: &FlowSeen) -> Option<bool> {
    let backwards = !f.metered && f.src_port < f.dst_port;
    let short = f.back_bytes.unwrap_or(0) <= f.back_packets.saturating_mul(ABORT_BYTES);
    let failed = match f.metered {
        true => f.packets <= INITS && short,
        // who is let in sends a cookie and data as well
        false => f.packets <= 2,
    };
    (f.interval <= 1 && !backwards).then_some(failed)
}

pub(super) const TCP: u8 = 6;
pub(super) const UDP: u8 = 17;
pub(super) const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
pub(super) const SCTP: u8 = 132;
/// How often an INIT is sent (RFC 9260 section 16), and an ABORT of it with headers of IPv6.
const INITS: u64 = 9;
const ABORT_BYTES: u64 = 96;
const SIX: u16 = 0x3f;
/// Ports that traceroute counts up from (its manual page), as many as it has hops and probes.
const TRACEROUTE: (u16, u16) = (33_434, 33_625);
