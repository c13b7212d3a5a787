//! TLS over TCP: records to handshake messages (RFC 8446 section 5, RFC 5246 section 6.2), until they are encrypted.

use super::hello::{ClientHello, ServerHello};
use super::known::Ctx;
use super::message::Message;
use super::peek::{Confidence, Peek, Verdict};
use crate::ledger::Outcome;
use crate::model::AppProto;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A record that starts a handshake; or, where the beginning was missed, records that follow each other.
pub(super) fn recognise(peek: &Peek<'_>) -> Verdict {
    let b = peek.bytes();
    let Some(&[kind, major, minor, a, l]) = b.first_chunk::<5>() else {
        let may_be = matches!(b, [] | [20..=24] | [20..=24, 3, ..]);
        return if may_be { Verdict::More } else { Verdict::No };
    };
    let len = usize::from(u16::from_be_bytes([a, l]));
    if kind & 0x80 != 0 && is_old_hello(b) {
        return Verdict::Is(AppProto::Tls, Confidence::LIKELY);
    }
    if !matches!(kind, 20..=24) || major != 3 || minor > 4 || len == 0 || len > RECORD_MAX {
        return Verdict::No;
    }
    match (kind, b.get(5..9)) {
        (HANDSHAKE, None) => Verdict::More,
        (HANDSHAKE, Some(&[1 | 2, 0, _, _])) => Verdict::Is(AppProto::Tls, Confidence::SURE),
        (ALERT, _) if len == 2 && matches!(b.get(5), None | Some(1 | 2)) => {
            Verdict::Is(AppProto::Tls, Confidence::LIKELY)
        }
        // picked up in its middle
        _ => match b.get(5 + len..).and_then(|next| next.first_chunk::<3>()) {
            Some([20..=24, 3, 0..=4]) => Verdict::Is(AppProto::Tls, Confidence::SURE),
            Some(_) => Verdict::No,
            None if minor == 3 && kind == DATA => Verdict::Is(AppProto::Tls, Confidence::LIKELY),
            None => Verdict::Is(AppProto::Tls, Confidence::FAIR),
        },
    }
}

/// A hello of SSL 2 that offers more (RFC 5246 appendix E.2).
fn is_old_hello(b: &[u8]) -> bool {
    let Some(head) = b.first_chunk::<11>() else {
        return false;
    };
    let word = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let (len, [ciphers, session, challenge]) = (word(0) & 0x7fff, [5, 7, 9].map(word));
    head[2] == 1
        && matches!(word(3), 0x0002 | 0x0300..=0x0303)
        && ciphers % 3 == 0
        && u32::from(len) == 9 + u32::from(ciphers) + u32::from(session) + u32::from(challenge)
}

/// Both directions of a connection.
#[derive(Debug, Default)]
pub(super) struct Tls {
    halves: [Half; 2],
    course: Course,
}

/// What both directions have come to.
#[derive(Debug, Default)]
struct Course {
    /// The client has version 1.3.
    is_newest: bool,
    /// It sends data before it has an answer (RFC 8446 section 2.3).
    is_early: bool,
    is_answered: bool,
    /// A side changed its cipher: handshake messages that follow are encrypted.
    is_changed: bool,
    /// Data of the application came.
    is_encrypted: bool,
}

#[derive(Debug, Default)]
struct Half {
    /// Header of a record, as far as it came.
    head: Vec<u8>,
    kind: u8,
    /// Bytes of the record that are still to come.
    left: usize,
    /// Handshake messages that are not whole.
    waiting: Vec<u8>,
    /// Nothing more of it is in the clear, but what its records are is told.
    is_quiet: bool,
    is_done: bool,
}

impl Tls {
    /// Takes bytes of a half; returns whether more is wanted.
    pub fn bytes(&mut self, ctx: &mut Ctx<'_>, half: usize, mut b: &[u8]) -> bool {
        let (h, course) = (&mut self.halves[half], &mut self.course);
        while !b.is_empty() && !h.is_done {
            if h.left == 0 {
                let n = b.len().min(5 - h.head.len());
                h.head.extend_from_slice(&b[..n]);
                b = &b[n..];
                if let [kind, major, _, x, y] = h.head[..] {
                    (h.kind, h.left) = (kind, u16::from_be_bytes([x, y]).into());
                    h.head.clear();
                    let is_one = major == 3 && h.left <= RECORD_MAX;
                    h.is_done = !is_one || !h.record(course, ctx.wishes.all);
                }
                continue;
            }
            let n = b.len().min(h.left);
            h.left -= n;
            if h.kind == HANDSHAKE && !h.is_quiet && course.is_clear() {
                h.handshake(course, ctx, half, &b[..n]);
            }
            b = &b[n..];
        }
        !self.halves.iter().all(|h| h.is_done)
    }

    /// Whether neither side says more in the clear.
    pub fn is_quiet(&self) -> bool {
        self.halves.iter().all(|h| h.is_quiet || h.is_done)
    }

    /// Whether data of the application came, which is encrypted. It is known where all messages are wanted.
    pub fn is_encrypted(&self) -> bool {
        self.course.is_encrypted
    }

    /// Bytes are missing: records cannot be found again.
    pub fn gap(&mut self, half: usize) -> bool {
        self.halves[half].is_done = true;
        !self.halves.iter().all(|h| h.is_done)
    }
}

impl Tls {
    /// Memory that it takes beside itself.
    pub fn room(&self) -> usize {
        self.halves.iter().map(|h| h.waiting.capacity()).sum()
    }
}

impl Course {
    /// Whether handshake messages are in the clear. Of version 1.3 a change of cipher says nothing (RFC 8446 appendix D.4).
    fn is_clear(&self) -> bool {
        !self.is_changed || self.is_newest && !self.is_answered
    }
}

impl Half {
    /// A record begins; returns whether the half is read on.
    fn record(&mut self, course: &mut Course, all: bool) -> bool {
        match self.kind {
            HANDSHAKE | ALERT => return true,
            // what comes behind it is encrypted
            CHANGE if all => course.is_changed = true,
            HEARTBEAT if all => return true,
            DATA if all && course.is_early && !course.is_answered => {}
            DATA => {
                course.is_encrypted = true;
                return false;
            }
            // or no TLS
            _ => return false,
        }
        self.is_quiet = true;
        true
    }

    /// Nothing more of it is read in the clear.
    fn hush(&mut self, all: bool) {
        self.is_quiet = true;
        self.is_done = !all;
    }

    fn handshake(&mut self, course: &mut Course, ctx: &mut Ctx<'_>, half: usize, fresh: &[u8]) {
        let all = ctx.wishes.all;
        if self.waiting.len() + fresh.len() > ctx.settings.handshake_bytes_max {
            ctx.tally.one(Outcome::AppBudgets);
            self.hush(all);
            return;
        }
        let waiting = std::mem::take(&mut self.waiting);
        let mut rest = fresh;
        let joined;
        if !waiting.is_empty() {
            joined = [&waiting[..], fresh].concat();
            rest = &joined;
        }
        while let Some((head, tail)) = rest.split_first_chunk::<4>() {
            let len = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
            let Some((body, tail)) = tail.split_at_checked(len) else {
                break;
            };
            rest = tail;
            if message(course, ctx, half, head[0], body) {
                self.hush(all);
                return;
            }
        }
        self.waiting = rest.to_vec();
    }
}

/// A handshake message; returns whether the half said all that is wanted.
fn message(course: &mut Course, ctx: &mut Ctx<'_>, half: usize, kind: u8, body: &[u8]) -> bool {
    match kind {
        1 => {
            if let Some(hello) = ClientHello::read(body, 't') {
                course.is_early = hello.extension(EARLY_DATA).is_some();
                course.is_newest = hello.highest_version() >= TLS_1_3;
                client_hello(ctx, half, &hello);
            }
            !ctx.wishes.all
        }
        2 => {
            course.is_answered = true;
            let Some(hello) = ServerHello::read(body) else {
                return true;
            };
            if let Some(known) = ctx.names() {
                known.tls_version = hello.version;
            }
            ctx.visitor.message(half, &Message::TlsServerHello(&hello));
            // what follows is encrypted
            hello.version >= TLS_1_3
        }
        11 => {
            certificates(ctx, half, body);
            !ctx.wishes.all
        }
        14 => true,
        16 => {
            ctx.visitor.message(half, &Message::TlsClientKeys);
            false
        }
        _ => false,
    }
}

/// Keeps what a hello says.
pub(super) fn client_hello(ctx: &mut Ctx<'_>, half: usize, hello: &ClientHello<'_>) {
    if let Some(known) = ctx.names().filter(|k| k.ja4.is_empty()) {
        known.ja4 = hello.ja4().into_bytes();
        if let Some(name) = hello.server_name() {
            known.name(name);
        }
    }
    ctx.visitor.message(half, &Message::TlsClientHello(hello));
}

/// A chain (RFC 5246 section 7.4.2).
fn certificates(ctx: &mut Ctx<'_>, half: usize, body: &[u8]) {
    let mut rest = body.get(3..).unwrap_or_default();
    let mut place = 0;
    while let Some((head, tail)) = rest.split_first_chunk::<3>() {
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let Some((der, tail)) = tail.split_at_checked(len) else {
            return;
        };
        rest = tail;
        if place == ctx.settings.certificates_max {
            ctx.tally.one(Outcome::AppBudgets);
            return;
        }
        // the server's comes first
        if place == 0
            && ctx.names().is_some_and(|k| k.cert_expires_s.is_none())
            && let Ok((_, certificate)) = X509Certificate::from_der(der)
        {
            let expires = certificate.validity().not_after.timestamp();
            ctx.known().cert_expires_s = Some(expires.clamp(0, u32::MAX.into()) as u32);
        }
        ctx.visitor
            .message(half, &Message::TlsCertificate { place, der });
        place += 1;
    }
}

const CHANGE: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;
const HEARTBEAT: u8 = 24;
/// Type of the extension (RFC 8446 section 4.2.10).
const EARLY_DATA: u16 = 42;
/// Longest record (RFC 5246 section 6.2.3).
const RECORD_MAX: usize = (1 << 14) + 2048;
const TLS_1_3: u16 = 0x0304;

#[cfg(test)]
mod tests {
    use super::super::hello::tests::{SNI, client_hello};
    use super::super::known::tests::Rig;
    use super::super::peek::Wire;
    use super::*;

    /// A record of this type.
    fn record(kind: u8, content: &[u8]) -> Vec<u8> {
        let len = (content.len() as u16).to_be_bytes();
        [&[kind, 3, 1], &len[..], content].concat()
    }

    fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
        let len = (body.len() as u32).to_be_bytes();
        [&[kind], &len[1..], body].concat()
    }

    fn hello() -> Vec<u8> {
        handshake(
            1,
            &client_hello(&[0x1301, 0xc02f], &[(0, SNI), (16, b"\x00\x03\x02h2")]),
        )
    }

    fn server_hello(version: Option<[u8; 2]>) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([9; 32]);
        body.extend([0, 0x13, 0x01, 0]);
        if let Some(v) = version {
            body.extend([0, 6, 0, 43, 0, 2, v[0], v[1]]);
        }
        handshake(2, &body)
    }

    fn certificate() -> (Vec<u8>, Vec<u8>) {
        let mut params = rcgen::CertificateParams::new(vec!["example.com".into()]).expect("names");
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
        let key = rcgen::KeyPair::generate().expect("a key");
        let der = params.self_signed(&key).expect("signed").der().to_vec();
        let len = |n: usize| (n as u32).to_be_bytes()[1..].to_vec();
        let list = [len(der.len()), der.clone()].concat();
        (handshake(11, &[len(list.len()), list].concat()), der)
    }

    fn peek(bytes: &[u8]) -> Verdict {
        recognise(&Peek {
            transport: Wire::Tcp,
            src_port: 1,
            dst_port: 2,
            first: [bytes, b""],
            half: 0,
            before: b"",
        })
    }

    #[test]
    fn a_hello_over_records_and_segments() {
        let hello = hello();
        let (a, b) = hello.split_at(20);
        let stream = [
            record(HANDSHAKE, a),
            record(HANDSHAKE, b),
            record(HANDSHAKE, b"xxxx"),
        ]
        .concat();
        for step in [1, 3, 7, stream.len()] {
            let (mut rig, mut tls) = (Rig::default(), Tls::default());
            for piece in stream.chunks(step) {
                assert!(tls.bytes(&mut rig.ctx(), 0, piece));
            }
            let known = rig.known.expect("told");
            assert_eq!(known.server_name, b"example.com");
            assert_eq!(rig.heard.0.len(), 1, "{:?}", rig.heard.0);
            assert!(tls.halves[0].is_done);
        }
        assert_eq!(peek(&stream), Verdict::Is(AppProto::Tls, Confidence::SURE));
        for n in 0..9 {
            assert_eq!(peek(&stream[..n]), Verdict::More, "{n}");
        }
    }

    #[test]
    fn version_and_end_of_validity_of_the_server() {
        let (chain, der) = certificate();
        let stream = record(
            HANDSHAKE,
            &[server_hello(None), chain, handshake(14, b"")].concat(),
        );
        let (mut rig, mut tls) = (Rig::default(), Tls::default());
        for piece in stream.chunks(100) {
            tls.bytes(&mut rig.ctx(), 1, piece);
        }
        let known = rig.known.take().expect("told");
        assert_eq!(
            (known.tls_version, known.cert_expires_s),
            (0x0303, Some(1_893_456_000))
        );
        assert_eq!(rig.heard.0[1], format!("1 0 {}", der.len()));
        assert!(tls.halves[1].is_done);
        let (mut rig, mut tls) = (Rig::default(), Tls::default());
        let hello = record(HANDSHAKE, &server_hello(Some([3, 4])));
        assert!(!tls.bytes(&mut rig.ctx(), 1, &hello) || tls.halves[1].is_done);
        assert_eq!(rig.known.expect("told").tls_version, 0x0304);
    }

    #[test]
    fn what_is_cut_or_bent_says_nothing_wrong() {
        let (chain, _) = certificate();
        let all = [hello(), server_hello(None), chain].concat();
        let stream = record(HANDSHAKE, &all);
        for n in 0..stream.len() {
            let (mut rig, mut tls) = (Rig::default(), Tls::default());
            rig.wishes.all = true;
            tls.bytes(&mut rig.ctx(), 0, &stream[..n]);
            let mut bent = stream.clone();
            bent[n] = !bent[n];
            let mut tls = Tls::default();
            tls.bytes(&mut rig.ctx(), 0, &bent);
            let _ = peek(&bent);
        }
    }

    #[test]
    fn a_handshake_beyond_the_budget_is_counted() {
        let mut rig = Rig::default();
        rig.settings.handshake_bytes_max = 1000;
        let mut tls = Tls::default();
        let endless = record(HANDSHAKE, &[&[1, 0xff, 0xff, 0xff][..], &[0; 900]].concat());
        tls.bytes(&mut rig.ctx(), 0, &endless);
        assert_eq!(rig.tally.count(Outcome::AppBudgets), 0);
        tls.bytes(&mut rig.ctx(), 0, &endless);
        assert_eq!(rig.tally.count(Outcome::AppBudgets), 1);
        assert!(tls.halves[0].is_done && tls.room() < 2000);
    }

    #[test]
    fn others_are_not_taken_for_it() {
        for b in [
            &b"GET / HTTP/1.1\r\n"[..],
            &[0; 40],
            &[0xff; 40],
            b"SSH-2.0-x\r\n",
            b"\x16\x03\x01\x00\x00\x01\0\0\0",
        ] {
            assert_eq!(peek(b), Verdict::No, "{b:?}");
        }
        let old = b"\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10";
        assert_eq!(peek(old), Verdict::Is(AppProto::Tls, Confidence::LIKELY));
        let midst = [record(DATA, &[7; 40]), record(DATA, b"x")].concat();
        assert_eq!(peek(&midst), Verdict::Is(AppProto::Tls, Confidence::SURE));
    }
}
