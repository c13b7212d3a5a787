//! Readers of what announces other conversations: the control connection of FTP, SIP, requests of TFTP.

use super::expect::Endpoint;
use super::known::Ctx;
use super::message::Message;
use super::{ftp, peers, sip};
use crate::model::AppProto;

/// What is read on, with the beginnings of lines.
#[derive(Debug)]
pub(super) struct Announcer {
    proto: AppProto,
    lines: [Vec<u8>; 2],
    /// Where data of FTP will come.
    last: Option<Endpoint>,
}

impl Announcer {
    /// Who reads this protocol, if it announces anything.
    pub fn of(proto: AppProto) -> Option<Announcer> {
        let reads = matches!(proto, AppProto::Ftp | AppProto::Sip | AppProto::Tftp);
        reads.then(|| Announcer {
            proto,
            lines: Default::default(),
            last: None,
        })
    }

    /// Takes bytes of a half, or a datagram; returns whether more is wanted.
    pub fn bytes(&mut self, ctx: &mut Ctx<'_>, half: usize, b: &[u8]) -> bool {
        ctx.visitor.message(half, &Message::Other(b));
        match self.proto {
            AppProto::Ftp => self.lines(ctx, half, b) || ctx.wishes.all,
            AppProto::Sip => {
                sip::expected(b, |e| ctx.expect(e));
                true
            }
            _ => {
                let end = ctx.ends.addrs[half];
                if let Some(e) = peers::expected(b, end, ctx.ends.ports[half]) {
                    ctx.expect(e);
                }
                ctx.wishes.all
            }
        }
    }

    /// Reads whole lines; false once TLS hides them (RFC 4217 section 4).
    fn lines(&mut self, ctx: &mut Ctx<'_>, half: usize, mut b: &[u8]) -> bool {
        while let Some(end) = b.iter().position(|c| *c == b'\n') {
            let (line, rest) = b.split_at(end + 1);
            let begun = &mut self.lines[half];
            keep(begun, line);
            if begun.starts_with(b"234 ") {
                return false;
            }
            if let Some(e) = ftp::expected(begun, ctx.ends.addrs[half]) {
                self.last = Some(e.at);
                ctx.expect(e);
            } else if ctx.wishes.all
                && let Some(at) = self.last
                && let Some((is_upload, name)) = ftp::transfer(begun)
            {
                ctx.expectations.transfer(at, is_upload, name);
            }
            begun.clear();
            b = rest;
        }
        keep(&mut self.lines[half], b);
        true
    }

    /// Bytes of a half are missing; returns whether it can go on.
    pub fn gap(&mut self, half: usize) -> bool {
        self.lines[half].clear();
        true
    }

    /// Memory that it takes beside itself.
    pub fn room(&self) -> usize {
        self.lines.iter().map(Vec::capacity).sum()
    }
}

fn keep(line: &mut Vec<u8>, more: &[u8]) {
    let room = LINE_MAX.saturating_sub(line.len());
    line.extend_from_slice(&more[..more.len().min(room)]);
}

/// Bytes of a line that are looked at.
const LINE_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::super::known::tests::Rig;
    use super::*;
    use crate::ledger::Tally;
    use crate::model::Addr;
    use crate::reassemble::Settings;
    use crate::reassemble::app::{Apps, Deaf, Ends, Heard, Talk, Wishes};
    use crate::reassemble::stream::Segment;

    fn found(rig: &Rig, addr: [u8; 4], port: u16) -> Option<AppProto> {
        let end = Endpoint {
            addr: Addr::from_v4(addr),
            port,
        };
        rig.expectations.find([end, end], rig.time_ns)
    }

    fn ftp() -> Announcer {
        Announcer::of(AppProto::Ftp).expect("it announces")
    }

    #[test]
    fn the_data_connection_is_expected_however_lines_come() {
        let reply = b"220 hello\r\n227 Entering Passive Mode (10,0,0,2,100,85).\r\n";
        for cut in 0..=reply.len() {
            let (mut rig, mut reader) = (Rig::default(), ftp());
            assert!(reader.bytes(&mut rig.ctx(), 1, &reply[..cut]));
            assert!(reader.bytes(&mut rig.ctx(), 1, &reply[cut..]));
            assert_eq!(
                found(&rig, [10, 0, 0, 2], 25_685),
                Some(AppProto::FtpData),
                "{cut}"
            );
        }
    }

    #[test]
    fn lines_have_a_bound_and_tls_ends_them() {
        let (mut rig, mut reader) = (Rig::default(), ftp());
        for _ in 0..100 {
            reader.bytes(&mut rig.ctx(), 0, &[b'x'; 1000]);
        }
        assert!(reader.room() <= 4 * LINE_MAX);
        reader.gap(0);
        reader.bytes(&mut rig.ctx(), 0, b"PORT 10,0,0,1,1,1\n");
        assert_eq!(found(&rig, [10, 0, 0, 1], 257), Some(AppProto::FtpData));
        assert!(!reader.bytes(&mut rig.ctx(), 1, b"234 go on\r\n\x16\x03\x01"));
    }

    #[test]
    fn media_and_transfers() {
        let mut rig = Rig::default();
        let mut sip = Announcer::of(AppProto::Sip).expect("it announces");
        let says = b"INVITE sip:a SIP/2.0\r\n\r\nc=IN IP4 10.0.0.9\r\nm=audio 8000 RTP/AVP 0\r\n";
        assert!(sip.bytes(&mut rig.ctx(), 0, says));
        assert_eq!(found(&rig, [10, 0, 0, 9], 8000), Some(AppProto::Rtp));
        assert_eq!(found(&rig, [10, 0, 0, 9], 8001), Some(AppProto::Rtcp));
        let mut tftp = Announcer::of(AppProto::Tftp).expect("it announces");
        assert!(!tftp.bytes(&mut rig.ctx(), 0, b"\0\x01a\0octet\0"));
        assert_eq!(found(&rig, [10, 0, 0, 1], 40_000), Some(AppProto::Tftp));
        assert!(Announcer::of(AppProto::Http).is_none());
    }

    /// Says `bytes` from one end to the other one, and what it is taken for.
    fn hear(
        apps: &mut Apps,
        talk: &mut Talk,
        ends: &Ends,
        half: usize,
        seq: u32,
        bytes: &[u8],
    ) -> AppProto {
        let heard = Heard {
            ends: *ends,
            half,
            time_ns: 1,
            segment: Segment {
                seq,
                bytes,
                len: bytes.len() as u32,
                ..Default::default()
            },
            next: [None; 2],
        };
        let tally = &mut Tally::default();
        match ends.proto {
            6 => apps.segment(talk, &heard, tally, &mut Deaf),
            _ => apps.datagram(talk, &heard, tally, &mut Deaf),
        }
        talk.proto().0
    }

    fn ends(proto: u8, ports: [u16; 2]) -> Ends {
        Ends {
            proto,
            addrs: [Addr::from_v4([10, 0, 0, 1]), Addr::from_v4([10, 0, 0, 2])],
            ports,
        }
    }

    #[test]
    fn what_was_announced_is_known_by_its_ends() {
        let mut apps = Apps::new(&Settings::default(), Wishes::default());
        let (control, mut talk) = (ends(6, [40_000, 21]), Talk::default());
        hear(
            &mut apps,
            &mut talk,
            &control,
            1,
            1,
            b"220 (vsFTPd 3.0.3)\r\n",
        );
        assert!(talk.is_open());
        hear(
            &mut apps,
            &mut talk,
            &control,
            1,
            21,
            b"227 Entering Passive Mode (10,0,0,2,100,85).\r\n",
        );
        let data = ends(6, [40_001, 25_685]);
        let said = hear(
            &mut apps,
            &mut Talk::default(),
            &data,
            1,
            1,
            b"HTTP/1.1 200 OK\r\n",
        );
        assert_eq!(said, AppProto::FtpData);
        let other = ends(6, [40_001, 25_686]);
        let said = hear(
            &mut apps,
            &mut Talk::default(),
            &other,
            1,
            1,
            b"-rw-r--r-- 1 0 0",
        );
        assert_eq!(said, AppProto::Unknown);
        let asks = b"INVITE sip:a SIP/2.0\r\n\r\nc=IN IP4 10.0.0.2\r\nm=audio 8000 RTP/AVP 0\r\n";
        hear(
            &mut apps,
            &mut Talk::default(),
            &ends(17, [5060, 5060]),
            0,
            0,
            asks,
        );
        let media = ends(17, [9000, 8000]);
        let said = hear(&mut apps, &mut Talk::default(), &media, 0, 0, &[0x80; 172]);
        assert_eq!(said, AppProto::Rtp);
        let said = hear(&mut apps, &mut Talk::default(), &media, 0, 0, b"no media");
        assert_eq!(said, AppProto::Unknown);
    }

    #[test]
    fn what_stun_prepares_is_looked_for() {
        let mut apps = Apps::new(&Settings::default(), Wishes::default());
        let (call, mut talk) = (ends(17, [50_000, 19_305]), Talk::default());
        let stun = [&[0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12]].concat();
        assert_eq!(
            hear(&mut apps, &mut talk, &call, 0, 0, &stun),
            AppProto::Stun
        );
        assert!(talk.is_open());
        let mut rtp = [0x55; 172];
        rtp[..8].copy_from_slice(&[0x80, 0, 0, 1, 0, 0, 0, 0]);
        assert_eq!(
            hear(&mut apps, &mut talk, &call, 0, 0, &rtp),
            AppProto::Stun
        );
        rtp[3] = 2;
        assert_eq!(hear(&mut apps, &mut talk, &call, 0, 0, &rtp), AppProto::Rtp);
        assert!(!talk.is_open());
        let mut talk = Talk::default();
        for _ in 0..32 {
            hear(&mut apps, &mut talk, &call, 0, 0, &stun);
        }
        assert!(!talk.is_open());
        assert_eq!((talk.proto().0, apps.open()), (AppProto::Stun, 0));
    }

    #[test]
    fn what_is_forgotten_is_counted() {
        use crate::ledger::Outcome;
        let (mut rig, mut reader) = (Rig::default(), ftp());
        for port in 0..32 {
            let line = format!("PORT 10,0,0,1,9,{port}\r\n");
            reader.bytes(&mut rig.ctx(), 0, line.as_bytes());
        }
        assert_eq!(rig.tally.count(Outcome::ExpectationsForgotten), 16);
    }
}
