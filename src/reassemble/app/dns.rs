//! DNS over UDP and TCP (RFC 1035, RFC 7766), multicast DNS (RFC 6762), LLMNR (RFC 4795).

use super::known::{Ctx, Known};
use super::message::Message;
use super::peek::{Confidence, Peek, Verdict, Wire};
use crate::ledger::Outcome;
use crate::model::{Addr, AppProto};
use simple_dns::rdata::RData;

/// A message of DNS.
#[derive(Clone, Copy, Debug)]
pub struct Dns<'a> {
    /// The whole message.
    pub bytes: &'a [u8],
    /// Id.
    pub id: u16,
    /// Whether it answers.
    pub is_answer: bool,
    /// Response code, of the header.
    pub rcode: u8,
    /// Name that is asked for, with dots; empty for the root, and where there is no question.
    pub name: &'a [u8],
    /// Type that is asked for.
    pub kind: u16,
}

impl Dns<'_> {
    /// Names and addresses of an answer.
    pub fn addresses(&self) -> Vec<(String, Addr)> {
        let Ok(packet) = simple_dns::Packet::parse(self.bytes) else {
            return vec![];
        };
        let of = |r: &simple_dns::ResourceRecord<'_>| {
            let address = match &r.rdata {
                RData::A(a) => Addr::from_v4(a.address.to_be_bytes()),
                RData::AAAA(a) => Addr(a.address.to_be_bytes()),
                _ => return None,
            };
            Some((r.name.to_string(), address))
        };
        packet.answers.iter().filter_map(of).collect()
    }
}

/// Takes a message: its name, and what answers cost.
pub(super) fn message(ctx: &mut Ctx<'_>, half: usize, bytes: &[u8]) {
    let Some(header) = bytes.first_chunk::<HEADER>() else {
        return;
    };
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let mut text = [0; NAME];
    let question = (word(4) > 0).then(|| name(bytes, &mut text)).flatten();
    let (len, kind) = question.unwrap_or_default();
    let dns = Dns {
        bytes,
        id: word(0),
        is_answer: header[2] & 0x80 != 0,
        rcode: header[3] & 15,
        name: &text[..len],
        kind,
    };
    let time_ns = ctx.time_ns;
    if let Some(known) = ctx.names() {
        answered(known, &dns, time_ns);
    }
    ctx.visitor.message(half, &Message::Dns(&dns));
}

/// Keeps the name that a message asks for, and how long its answer took.
fn answered(known: &mut Known, dns: &Dns<'_>, time_ns: i64) {
    known.name(dns.name);
    if dns.is_answer {
        let asked = known
            .asked
            .iter_mut()
            .find(|a| a.is_some_and(|a| a.0 == dns.id));
        let since = asked
            .and_then(Option::take)
            .map(|a| time_ns.saturating_sub(a.1));
        let micros = since.map(|ns| u32::try_from(ns.max(0) / 1000).unwrap_or(u32::MAX));
        // of many answers in a row the slowest and the first failure stand for all
        let (slowest, failed) = known.answer.unwrap_or_default();
        let rcode = if failed == 0 { dns.rcode } else { failed };
        known.answer = Some((slowest.max(micros), rcode));
    } else if !known.asked.iter().flatten().any(|a| a.0 == dns.id) {
        // the oldest gives way
        known.asked.rotate_right(1);
        known.asked[0] = Some((dns.id, time_ns));
    }
}

/// Both directions of DNS over TCP: messages behind their length (RFC 1035 section 4.2.2).
#[derive(Debug, Default)]
pub(super) struct DnsTcp {
    waiting: [Vec<u8>; 2],
    /// Bytes are missing, and no message was found behind them.
    is_lost: [bool; 2],
}

impl DnsTcp {
    /// Takes bytes of a half; returns whether more is wanted.
    pub fn bytes(&mut self, ctx: &mut Ctx<'_>, half: usize, fresh: &[u8]) -> bool {
        let begins = |b: &[u8]| b.len() >= 2 + HEADER && counted(b, true) != Form::Bad;
        if self.is_lost[half] && !begins(fresh) {
            return true;
        }
        self.is_lost[half] = false;
        let waiting = &mut self.waiting[half];
        waiting.extend_from_slice(fresh);
        let mut rest = &waiting[..];
        while let Some((len, tail)) = rest.split_first_chunk::<2>() {
            let Some((whole, tail)) = tail.split_at_checked(u16::from_be_bytes(*len).into()) else {
                break;
            };
            message(ctx, half, whole);
            rest = tail;
        }
        let done = waiting.len() - rest.len();
        waiting.drain(..done);
        if waiting.len() > ctx.settings.header_bytes_max + 2 {
            ctx.tally.one(Outcome::AppBudgets);
            return false;
        }
        true
    }

    /// Bytes of a half are missing: it goes on with a piece that begins as a message does.
    pub fn gap(&mut self, half: usize) -> bool {
        self.waiting[half].clear();
        self.is_lost[half] = true;
        true
    }

    /// Memory that it takes beside itself.
    pub fn room(&self) -> usize {
        self.waiting.iter().map(Vec::capacity).sum()
    }
}

/// The name of the first question as text, and its type.
fn name(b: &[u8], text: &mut [u8; NAME]) -> Option<(usize, u16)> {
    let (mut at, mut len) = (HEADER, 0);
    loop {
        let n = usize::from(*b.get(at)?);
        if n == 0 {
            break;
        }
        let label = b.get(at + 1..at + 1 + n).filter(|_| n < 64)?;
        if len > 0 {
            *text.get_mut(len)? = b'.';
            len += 1;
        }
        text.get_mut(len..len + n)?.copy_from_slice(label);
        (at, len) = (at + 1 + n, len + n);
    }
    let kind = b.get(at + 1..at + 3)?;
    Some((len, u16::from_be_bytes([kind[0], kind[1]])))
}

/// A header that can be one, and a name behind it.
pub(super) fn recognise(peek: &Peek<'_>) -> Verdict {
    // the name service of NetBIOS has the same form (RFC 1002 section 4.2)
    if peek.has_port(137) {
        return Verdict::No;
    }
    let form = match peek.transport {
        Wire::Tcp => counted(peek.bytes(), peek.has_port(53)),
        _ => form(peek.bytes(), peek.has_port(53)),
    };
    match form {
        Form::Good => {}
        Form::Cut if peek.transport == Wire::Tcp => return Verdict::More,
        Form::Cut | Form::Bad => return Verdict::No,
    }
    let known = [
        (5353, AppProto::Mdns),
        (5355, AppProto::Llmnr),
        (53, AppProto::Dns),
    ];
    match known.iter().find(|(port, _)| peek.has_port(*port)) {
        Some((_, proto)) => Verdict::Is(*proto, Confidence::SURE),
        None => Verdict::Is(AppProto::Dns, Confidence::LIKELY),
    }
}

/// What bytes are to a message that may begin with them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Good,
    Bad,
    /// They end before they tell.
    Cut,
}

/// The form of a message behind its length (RFC 1035 section 4.2.2), of which more may come.
fn counted(b: &[u8], is_usual: bool) -> Form {
    let [x, y, rest @ ..] = b else {
        return Form::Cut;
    };
    let len = usize::from(u16::from_be_bytes([*x, *y]));
    match form(&rest[..len.min(rest.len())], is_usual) {
        _ if len < HEADER => Form::Bad,
        Form::Cut if len <= rest.len() => Form::Bad,
        form => form,
    }
}

/// The form of a message; on the usual port also one whose flags nobody uses.
fn form(b: &[u8], is_usual: bool) -> Form {
    let Some(header) = b.first_chunk::<HEADER>() else {
        return Form::Cut;
    };
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let (flags, [questions, answers, authorities, additional]) = (word(2), [4, 6, 8, 10].map(word));
    let (is_answer, opcode, rcode) = (flags >> 15 == 1, flags >> 11 & 15, flags & 15);
    let used = matches!(opcode, 0..=2 | 4..=6) && flags & 0x40 == 0;
    let known = rcode <= 11 && (used || is_usual);
    let few = questions <= 32 && answers <= 512 && authorities <= 512 && additional <= 512;
    let asks = is_answer || rcode == 0 && questions > 0;
    if !known || !few || !asks || questions == 0 && answers == 0 && authorities == 0 {
        return match is_answer && known && rcode != 0 && b.len() == HEADER {
            true => Form::Good,
            false => Form::Bad,
        };
    }
    let at = match behind_name(b, HEADER) {
        Ok(at) => at,
        Err(form) => return form,
    };
    match b.get(at..at + 4) {
        Some(&[x, y, 0 | 0x80, 1 | 3 | 4 | 254 | 255]) if x | y != 0 => Form::Good,
        Some(_) => Form::Bad,
        None => Form::Cut,
    }
}

/// Where a name ends that starts at `at`.
fn behind_name(b: &[u8], mut at: usize) -> Result<usize, Form> {
    let start = at;
    while at - start < NAME {
        match *b.get(at).ok_or(Form::Cut)? {
            0 => return Ok(at + 1),
            n if n >= 0xc0 => return Ok(at + 2),
            n if n < 64 => at += 1 + usize::from(n),
            _ => return Err(Form::Bad),
        }
    }
    Err(Form::Bad)
}

const HEADER: usize = 12;
/// Longest name (RFC 1035 section 3.1).
const NAME: usize = 255;

#[cfg(test)]
mod tests {
    use super::super::known::tests::Rig;
    use super::*;

    fn peek(bytes: &[u8], transport: Wire, port: u16) -> Verdict {
        recognise(&Peek {
            transport,
            src_port: 40_000,
            dst_port: port,
            first: [bytes, b""],
            half: 0,
            before: b"",
        })
    }

    const QUERY: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www\x07example\x03com\x00\x00\x01\x00\x01";

    #[test]
    fn a_query_is_told_by_its_form_and_named_by_its_port() {
        use AppProto::{Dns, Llmnr, Mdns};
        for (port, proto) in [(53, Dns), (5353, Mdns), (5355, Llmnr)] {
            assert_eq!(
                peek(QUERY, Wire::Udp, port),
                Verdict::Is(proto, Confidence::SURE)
            );
        }
        assert_eq!(
            peek(QUERY, Wire::Udp, 99),
            Verdict::Is(Dns, Confidence::LIKELY)
        );
        for n in 0..QUERY.len() {
            assert_eq!(peek(&QUERY[..n], Wire::Udp, 53), Verdict::No, "{n}");
        }
        let framed = [&[0, QUERY.len() as u8], QUERY].concat();
        assert_eq!(
            peek(&framed, Wire::Tcp, 53),
            Verdict::Is(Dns, Confidence::SURE)
        );
        for n in 0..framed.len() {
            assert_eq!(peek(&framed[..n], Wire::Tcp, 53), Verdict::More, "{n}");
        }
        // a message that says it is over before its question is
        let short = [&[0, 20], QUERY].concat();
        assert_eq!(peek(&short, Wire::Tcp, 53), Verdict::No);
    }

    #[test]
    fn what_begins_as_a_message_behind_missing_bytes_is_one() {
        let framed = [&[0, QUERY.len() as u8], QUERY].concat();
        let (mut rig, mut dns) = (Rig::default(), DnsTcp::default());
        dns.bytes(&mut rig.ctx(), 0, &framed[..20]);
        assert!(dns.gap(0));
        dns.bytes(&mut rig.ctx(), 0, &framed[25..]);
        assert_eq!(rig.heard.0.len(), 0);
        dns.bytes(&mut rig.ctx(), 0, &framed[..20]);
        dns.bytes(&mut rig.ctx(), 0, &framed[20..]);
        assert_eq!(rig.heard.0.len(), 1);
    }

    #[test]
    fn others_are_not_taken_for_it() {
        for b in [
            &[0; 40][..],
            &[0xff; 40],
            b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
        ] {
            assert_eq!(peek(b, Wire::Udp, 53), Verdict::No);
        }
    }
}
