//! What conversations say, and what of it their rows have.

use super::flow::{Flow, NO_PLACE};
use super::tcp::Tcp;
use super::{Measured, Meter};
use crate::ledger::{Book, Outcome};
use crate::model::{Measure, PacketView, TcpHeader, Transport};
use crate::reassemble::app::{Apps, Heard, Visitor};
use crate::reassemble::stream::Segment;

/// Who listens.
pub(super) struct Ear {
    pub apps: Apps,
    pub visitor: Box<dyn Visitor + Send>,
}

impl std::fmt::Debug for Ear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ear")
            .field("apps", &self.apps)
            .finish_non_exhaustive()
    }
}

impl Ear {
    /// Hears the payload of a packet.
    pub fn hear(
        &mut self,
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
                self.apps
                    .segment(&mut flow.talk, &heard, book.other(), &mut *self.visitor);
            }
            Transport::Ports { .. } => {
                self.apps
                    .datagram(&mut flow.talk, &heard, book.other(), &mut *self.visitor);
            }
            _ => {}
        }
    }

    /// Hears what still waits of a conversation that is over.
    pub fn hear_end(&mut self, flow: &mut Flow, now_ns: i64, book: &mut Book) {
        let heard = Heard {
            ends: flow.ends(),
            half: 0,
            time_ns: now_ns,
            segment: Segment::default(),
            next: [None; 2],
        };
        self.apps
            .end(&mut flow.talk, &heard, book.other(), &mut *self.visitor);
    }
}

impl Meter {
    /// Measures RTP and RTCP.
    #[inline(never)]
    pub(super) fn hear_media(
        &mut self,
        place: u32,
        half: usize,
        p: &PacketView<'_>,
        book: &mut Book,
    ) {
        if p.proto != UDP {
            return;
        }
        let flow = self.table.flow(place);
        if flow.media == NO_PLACE {
            match self.medias.begin() {
                Some(place) => flow.media = place,
                None => book.other().one(Outcome::MediaRefused),
            }
        }
        if let Some(media) = self.medias.at(flow.media) {
            if media.is_silent() {
                // by two of them it was known as RTP
                for (half, before) in flow.talk.take_before().iter().enumerate() {
                    if let Some((head, at_ns)) = before {
                        media.datagram(half, *at_ns, head);
                    }
                }
            }
            media.datagram(half, p.time_ns, p.payload());
            if let (true, Some(ear)) = (media.wants_names(half), &self.ear)
                && let Some(payloads) = ear.apps.payloads(&flow.ends(), half)
            {
                media.set_names(half, payloads);
            }
        }
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

const UDP: u8 = 17;

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::super::sample::Sample;
    use super::*;
    use crate::model::{AppProto, FlowBatch};
    use crate::reassemble;
    use crate::reassemble::app::Wishes;

    const SYN: u16 = TcpHeader::SYN;
    const ACK: u16 = TcpHeader::ACK;
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n";

    struct Rig {
        meter: Meter,
        out: FlowBatch,
        book: Book,
    }

    impl Rig {
        fn new(change: impl FnOnce(&mut reassemble::Settings)) -> Self {
            let mut settings = reassemble::Settings::default();
            change(&mut settings);
            let apps = Apps::new(&settings, Wishes::default());
            Rig {
                meter: Meter::new(&Settings::default(), 0).with_apps(apps),
                out: FlowBatch::new(),
                book: Book::new(9),
            }
        }

        fn put(&mut self, s: &Sample, back: bool) {
            let view = s.view(back);
            let (out, book) = (&mut self.out, &mut self.book);
            assert!(self.meter.advance(view.time_ns, 1, out, book));
            self.meter.packet(&view, out, book);
        }

        /// Opens a connection and sends these segments of the side that began: place behind the SYN, bytes.
        fn tcp(&mut self, segments: &[(u32, &[u8])]) {
            let at = |ms| Sample::tcp().at(ms);
            self.put(&at(1000).segment(SYN, 99, 0, b""), false);
            self.put(&at(1001).segment(SYN | ACK, 499, 100, b""), true);
            self.put(&at(1002).segment(ACK, 100, 500, b""), false);
            for (place, bytes) in segments {
                self.put(&at(1003).segment(ACK, 100 + place, 500, bytes), false);
            }
        }

        fn finish(&mut self) {
            assert!(self.meter.finish(9, &mut self.out, &mut self.book));
        }

        /// Protocol and server name of each row.
        fn said(&self) -> Vec<(u8, String)> {
            let texts = self.out.texts.as_ref();
            let spoken = self.out.spoken.as_ref();
            let of = |i: usize| {
                let name = texts.map_or(&b""[..], |t| self.out.text(t.server_name[i]));
                let proto = spoken.map_or(0, |s| s.spoken[i]);
                (proto, String::from_utf8_lossy(name).into_owned())
            };
            (0..self.out.len()).map(of).collect()
        }
    }

    #[test]
    fn both_directions_have_what_one_said_in_whatever_pieces() {
        let single: Vec<_> = (0..REQUEST.len())
            .map(|n| (n as u32, &REQUEST[n..=n]))
            .collect();
        let mut backwards = single.clone();
        backwards.reverse();
        let twice: Vec<_> = single.iter().flat_map(|s| [*s, *s]).collect();
        for segments in [
            vec![(0, REQUEST)],
            single,
            backwards,
            twice,
            vec![(20, &REQUEST[20..]), (0, &REQUEST[..30])],
        ] {
            let mut rig = Rig::new(|_| {});
            rig.tcp(&segments);
            rig.finish();
            let want = (AppProto::Http as u8, "www.example.com".to_owned());
            assert_eq!(
                rig.said(),
                [want.clone(), want],
                "{} segments",
                segments.len()
            );
            let field = crate::model::Field::ServerName;
            assert!(rig.out.row(0).has(field) && rig.out.row(1).has(field));
        }
    }

    #[test]
    fn what_waits_when_the_conversation_ends_is_heard() {
        let mut rig = Rig::new(|_| {});
        // the first segment was missed
        rig.tcp(&[(10, REQUEST)]);
        rig.finish();
        assert_eq!(rig.said()[0].0, AppProto::Http as u8);
        assert_eq!(rig.book.count(Outcome::StreamGaps), 1);
    }

    #[test]
    fn where_there_is_no_room_nobody_listens() {
        for change in [
            (|s: &mut reassemble::Settings| s.app.talks_max = 0) as fn(&mut reassemble::Settings),
            |s| s.app.bytes_max = 0,
        ] {
            let mut rig = Rig::new(change);
            rig.tcp(&[(0, &REQUEST[..2]), (2, &REQUEST[2..])]);
            rig.finish();
            assert_eq!(rig.said()[0].0, 0);
            assert_eq!(rig.book.count(Outcome::TalksRefused), 1);
        }
    }

    #[test]
    fn names_are_kept_of_so_many_conversations_at_a_time() {
        let mut rig = Rig::new(|s| s.app.names_max = 1);
        for (port, rows) in [(1, 2), (2, 4)] {
            for n in 0..2 {
                let mut s = Sample::tcp().at(1000).segment(ACK, 100, 500, REQUEST);
                s.ends[0].1 = 40_000 + port * 10 + n;
                rig.put(&s, false);
            }
            rig.finish();
            assert_eq!(rig.out.len(), rows);
        }
        let mut names: Vec<_> = rig.said().into_iter().map(|s| s.1).collect();
        names.sort();
        let name = "www.example.com";
        assert_eq!(names, ["", "", name, name]);
        assert_eq!(rig.book.count(Outcome::TalkNamesRefused), 2);
        assert!(rig.said().iter().all(|s| s.0 == AppProto::Http as u8));
    }

    #[test]
    fn a_call_names_the_codec_of_its_media() {
        let mut rig = Rig::new(|_| {});
        let udp = |bytes: &[u8], ms, ports: [u16; 2]| {
            let mut s = Sample::udp(bytes).at(ms);
            (s.ends[0].1, s.ends[1].1) = (ports[0], ports[1]);
            s
        };
        let rtp = |n: u16| {
            let mut b = vec![0x80, 111];
            b.extend(n.to_be_bytes());
            b.extend((u32::from(n) * 960).to_be_bytes());
            b.extend([0, 0, 0, 7]);
            b
        };
        // the first media are there before their description
        for n in 0..20 {
            let at = 1000 + i64::from(n) * 20;
            rig.put(&udp(&rtp(n), at, [40_000, 8000]), false);
        }
        let addr = Sample::udp(b"").ends[1].0;
        let says = format!(
            "SIP/2.0 200 OK\r\n\r\nc=IN IP4 {addr}\r\nm=audio 8000 RTP/AVP 111\r\na=rtpmap:111 opus/48000/2\r\n"
        );
        rig.put(&udp(says.as_bytes(), 1390, [5060, 5060]), true);
        for n in 20..40 {
            let at = 1000 + i64::from(n) * 20;
            rig.put(&udp(&rtp(n), at, [40_000, 8000]), false);
        }
        rig.finish();
        let q = rig.out.quality.as_ref().expect("measured");
        let codecs: Vec<_> = (0..rig.out.len()).map(|i| q.codec[i]).collect();
        assert!(
            codecs.contains(&(crate::model::Codec::Opus as u8)),
            "{codecs:?}"
        );
    }

    #[test]
    fn octets_that_came_twice_with_other_data_are_flagged() {
        use crate::model::RowFlags;
        for (again, flagged) in [(REQUEST, false), (&REQUEST.to_ascii_uppercase(), true)] {
            let mut rig = Rig::new(|_| {});
            rig.tcp(&[(0, &REQUEST[..20]), (0, &again[..20]), (20, &REQUEST[20..])]);
            rig.finish();
            for i in 0..2 {
                let flags = rig.out.core.flags[i];
                assert_eq!(flags & RowFlags::SEGMENTS_CONFLICT != 0, flagged);
            }
        }
    }

    #[test]
    fn a_query_and_its_answer() {
        let mut rig = Rig::new(|_| {});
        let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\x03com\0\0\x01\0\x01";
        let mut answer = query.to_vec();
        (answer[2], answer[3]) = (0x81, 0x83);
        let dns = |bytes: &[u8], ms| {
            let mut s = Sample::udp(bytes).at(ms);
            s.ends[1].1 = 53;
            s
        };
        rig.put(&dns(query, 1000), false);
        rig.put(&dns(&answer, 1025), true);
        rig.finish();
        let want = (AppProto::Dns as u8, "www.example.com".to_owned());
        assert_eq!(rig.said(), [want.clone(), want]);
        let measured = |i, m| rig.out.row(i).measure(m);
        assert_eq!(measured(1, Measure::DnsRttUs), Some(25_000));
        assert_eq!(measured(1, Measure::DnsRcode), Some(3));
        assert_eq!(measured(0, Measure::DnsRcode), None);
    }
}
