//! What conversations say, and what of it their rows have.

use super::Measured;
use super::flow::Flow;
use super::tcp::Tcp;
use crate::ledger::Book;
use crate::model::{Measure, PacketView, TcpHeader, Transport};
use crate::reassemble::app::{Apps, Deaf, Heard};
use crate::reassemble::stream::Segment;

/// Hears the payload of a packet.
pub(super) fn hear(
    apps: &mut Apps,
    flow: &mut Flow,
    tcp: Option<&Tcp>,
    half: usize,
    p: &PacketView<'_>,
    book: &mut Book,
) {
    let mut heard = Heard {
        ends: flow.ends(),
        half,
        time_ns: p.time_ns,
        segment: Segment {
            bytes: p.payload(),
            len: p.payload_len,
            ..Default::default()
        },
        next: [None; 2],
    };
    match p.transport {
        Transport::Tcp(t) => {
            heard.segment.seq = t.seq;
            heard.segment.syn = t.has(TcpHeader::SYN);
            heard.segment.ack = t.has(TcpHeader::ACK).then_some(t.ack);
            heard.next = tcp.map_or([None; 2], Tcp::next);
            apps.segment(&mut flow.talk, &heard, book.other(), &mut Deaf);
        }
        Transport::Ports { .. } => {
            apps.datagram(&mut flow.talk, &heard, book.other(), &mut Deaf);
        }
        _ => {}
    }
}

impl Measured {
    /// With what the conversation said: of TLS both directions have it, of DNS the one that answers.
    pub fn of_talk(&mut self, half: usize, flow: &Flow, answer: Option<(Option<u32>, u8)>) {
        let mut take = |m: Measure| self.taken |= m.bit();
        if let Some(known) = flow.talk.known() {
            if known.tls_version != 0 {
                self.tls_version = known.tls_version;
                take(Measure::TlsVersion);
            }
            if let Some(expires) = known.cert_expires_s {
                self.cert_expires_s = expires;
                take(Measure::CertExpiresS);
            }
        }
        let answers = half == 1 || !flow.halves[1].seen;
        if let Some((rtt_us, rcode)) = answer.filter(|_| answers) {
            self.dns_rcode = rcode;
            take(Measure::DnsRcode);
            if let Some(rtt_us) = rtt_us {
                self.dns_rtt_us = rtt_us;
                take(Measure::DnsRttUs);
            }
        }
    }
}

/// Hears what still waits of a conversation that is over.
pub(super) fn hear_end(apps: &mut Apps, flow: &mut Flow, now_ns: i64, book: &mut Book) {
    let heard = Heard {
        ends: flow.ends(),
        half: 0,
        time_ns: now_ns,
        segment: Segment::default(),
        next: [None; 2],
    };
    apps.end(&mut flow.talk, &heard, book.other(), &mut Deaf);
}
