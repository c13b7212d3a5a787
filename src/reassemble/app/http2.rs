//! HTTP/2 in the clear (RFC 9113), by prior knowledge or after an upgrade: frames to heads.

use super::head::Head;
use super::known::Ctx;
use super::message::Message;
use super::peek::{Confidence, Peek, Verdict};
use crate::ledger::Outcome;
use crate::model::AppProto;
use loona_hpack::Decoder;

/// What a server sends first: its settings. What a client sends first is told with HTTP/1.
pub(super) fn recognise(peek: &Peek<'_>) -> Verdict {
    let Some(head) = peek.bytes().first_chunk::<9>() else {
        return Verdict::No;
    };
    let len = usize::from(head[2]);
    let settings =
        head[..2] == [0, 0] && len % 6 == 0 && head[3] == SETTINGS && head[4..] == [0; 5];
    let begins = peek.first[1 - peek.half].starts_with(b"PRI * HTTP/2");
    match settings && (begins || len > 0 && len <= 60) {
        true => Verdict::Is(AppProto::Http2, Confidence::LIKELY),
        false => Verdict::No,
    }
}

/// Both directions of a connection.
#[derive(Debug, Default)]
pub(super) struct Http2 {
    halves: [Half; 2],
}

#[derive(Default)]
struct Half {
    /// The preface, the header of a frame, or its payload where it is read.
    waiting: Vec<u8>,
    is_begun: bool,
    frame: Frame,
    /// Bytes of the frame that are still to come.
    left: usize,
    /// A header block that goes on in the next frame.
    block: Vec<u8>,
    decoder: Option<Box<Decoder<'static>>>,
    is_done: bool,
}

impl std::fmt::Debug for Half {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Half")
            .field("frame", &self.frame)
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
}

impl Http2 {
    /// Takes bytes of a half; returns whether more is wanted.
    pub fn bytes(&mut self, ctx: &mut Ctx<'_>, half: usize, mut b: &[u8]) -> bool {
        let h = &mut self.halves[half];
        while !b.is_empty() && !h.is_done {
            let n = h.take(ctx, half, b);
            b = &b[n..];
        }
        // a request names the conversation
        let named = ctx
            .known
            .as_ref()
            .is_some_and(|k| !k.server_name.is_empty());
        !(named && !ctx.wishes.all || self.halves.iter().all(|h| h.is_done))
    }

    /// Bytes are missing: neither frames nor the table of fields can be found again.
    pub fn gap(&mut self, half: usize) -> bool {
        self.halves[half].is_done = true;
        !self.halves.iter().all(|h| h.is_done)
    }

    /// Memory that it takes beside itself.
    pub fn room(&self) -> usize {
        let of = |h: &Half| {
            let table = if h.decoder.is_some() { TABLE_MAX } else { 0 };
            h.waiting.capacity() + h.block.capacity() + table
        };
        self.halves.iter().map(of).sum()
    }
}

impl Half {
    /// Takes some of the bytes; returns how many.
    fn take(&mut self, ctx: &mut Ctx<'_>, half: usize, b: &[u8]) -> usize {
        if !self.is_begun {
            return self.begin(b);
        }
        if self.left == 0 {
            let n = b.len().min(9 - self.waiting.len());
            self.waiting.extend_from_slice(&b[..n]);
            if let [x, y, z, kind, flags, s, t, u, v] = self.waiting[..] {
                self.left = u32::from_be_bytes([0, x, y, z]) as usize;
                let stream = u32::from_be_bytes([s & 0x7f, t, u, v]);
                self.frame = Frame {
                    kind,
                    flags,
                    stream,
                };
                self.waiting.clear();
                if self.left > FRAME_MAX {
                    self.is_done = true;
                }
                if self.left == 0 {
                    self.frame(ctx, half);
                }
            }
            return n;
        }
        let n = b.len().min(self.left);
        self.left -= n;
        match self.frame.kind {
            HEADERS | CONTINUATION | PUSH_PROMISE => {
                if self.waiting.len() + n > ctx.settings.header_bytes_max {
                    ctx.tally.one(Outcome::AppBudgets);
                    self.is_done = true;
                    return b.len();
                }
                self.waiting.extend_from_slice(&b[..n]);
            }
            PRIORITY_FRAME | RST_STREAM | SETTINGS | GOAWAY | WINDOW_UPDATE if ctx.wishes.all => {
                let room = FRAME_KEPT.saturating_sub(self.waiting.len());
                self.waiting.extend_from_slice(&b[..n.min(room)]);
            }
            DATA if ctx.wishes.bodies => ctx.visitor.message(half, &Message::HttpBody(&b[..n])),
            _ => {}
        }
        if self.left == 0 {
            self.frame(ctx, half);
        }
        n
    }

    /// Skips the preface, where there is one.
    fn begin(&mut self, b: &[u8]) -> usize {
        let n = b.len().min(PREFACE.len() - self.waiting.len());
        self.waiting.extend_from_slice(&b[..n]);
        if !PREFACE.starts_with(&self.waiting) {
            // no client: frames from the start
            self.is_done = self.waiting.len() > n;
            self.is_begun = true;
            self.waiting.clear();
            return 0;
        }
        if self.waiting.len() == PREFACE.len() {
            self.waiting.clear();
            self.is_begun = true;
        }
        n
    }

    /// A frame is whole.
    fn frame(&mut self, ctx: &mut Ctx<'_>, half: usize) {
        let payload = std::mem::take(&mut self.waiting);
        self.block_of(ctx, half, &payload);
        let Frame {
            kind,
            flags,
            stream,
        } = self.frame;
        if ctx.wishes.all {
            let payload = &payload;
            let message = Message::Http2Frame {
                kind,
                flags,
                stream,
                payload,
            };
            ctx.visitor.message(half, &message);
        }
        if flags & END_STREAM != 0 && matches!(kind, DATA | HEADERS) {
            ctx.visitor.message(half, &Message::HttpEnd);
        }
    }

    /// Takes the part of a header block that a frame has.
    fn block_of(&mut self, ctx: &mut Ctx<'_>, half: usize, payload: &[u8]) {
        let Frame { kind, flags, .. } = self.frame;
        let Some(fragment) = fragment(kind, flags, payload) else {
            return;
        };
        if self.block.len() + fragment.len() > ctx.settings.header_bytes_max {
            ctx.tally.one(Outcome::AppBudgets);
            self.is_done = true;
            return;
        }
        self.block.extend_from_slice(fragment);
        if flags & END_HEADERS != 0 {
            let block = std::mem::take(&mut self.block);
            if kind == PUSH_PROMISE {
                self.is_done = !self.decode(&block, ctx, |_, _, _| {}, half);
            } else {
                self.is_done = !self.decode(&block, ctx, told, half);
            }
        }
    }

    /// Reads a header block; false where it cannot be read: then the table of fields is lost.
    fn decode(
        &mut self,
        block: &[u8],
        ctx: &mut Ctx<'_>,
        told: impl Fn(&mut Ctx<'_>, usize, &Head<'_>),
        half: usize,
    ) -> bool {
        let decoder = self.decoder.get_or_insert_with(|| {
            let mut decoder = Decoder::new();
            decoder.set_max_allowed_table_size(TABLE_MAX);
            Box::new(decoder)
        });
        let (mut fields, mut bytes, mut cut) = (vec![], 0, false);
        let (fields_max, bytes_max) = (ctx.settings.headers_max, ctx.settings.header_bytes_max);
        let read = decoder.decode_with_cb(block, |name, value| {
            bytes += name.len() + value.len();
            cut |= fields.len() >= fields_max || bytes > bytes_max;
            if !cut {
                fields.push((name.into_owned(), value.into_owned()));
            }
        });
        if cut {
            ctx.tally.one(Outcome::AppBudgets);
        }
        if read.is_err() {
            return false;
        }
        let find = |name: &[u8]| {
            let found = fields.iter().find(|f| f.0 == name);
            found.map(|f| &f.1[..])
        };
        // rules see what stands for a request line among the fields of a request
        let asks = find(b":method").is_some();
        let seen = fields.iter().filter(|f| asks || !f.0.starts_with(b":"));
        let headers: Vec<_> = seen.map(|f| (&f.0[..], &f.1[..])).collect();
        let first = match (find(b":status"), find(b":method")) {
            (Some(status), _) => [b"HTTP/2", status, b""],
            (None, Some(method)) => [method, find(b":path").unwrap_or_default(), b"HTTP/2"],
            // trailers
            (None, None) => return true,
        };
        let head = Head {
            first,
            headers: &headers,
            stream: self.frame.stream,
            raw: b"",
        };
        told(ctx, half, &head);
        true
    }
}

fn told(ctx: &mut Ctx<'_>, half: usize, head: &Head<'_>) {
    if head.first[0] == b"HTTP/2" {
        ctx.visitor.message(half, &Message::HttpResponse(head));
        return;
    }
    if let (Some(known), Some(host)) = (ctx.names(), head.host()) {
        known.name(host);
    }
    ctx.visitor.message(half, &Message::HttpRequest(head));
}

/// The part of a header block in a frame (RFC 9113 sections 6.2, 6.6, 6.10).
fn fragment(kind: u8, flags: u8, payload: &[u8]) -> Option<&[u8]> {
    let (mut rest, mut padding) = (payload, 0);
    if kind != CONTINUATION && flags & PADDED != 0 {
        let (n, tail) = rest.split_first()?;
        (rest, padding) = (tail, usize::from(*n));
    }
    let skipped = match kind {
        HEADERS if flags & PRIORITY != 0 => 5,
        HEADERS | CONTINUATION => 0,
        PUSH_PROMISE => 4,
        _ => return None,
    };
    let end = rest.len().checked_sub(padding)?;
    rest.get(skipped..end)
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY_FRAME: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;
/// Longest frame: what peers may agree on is longer, but nobody does.
const FRAME_MAX: usize = 1 << 20;
/// Bytes of a frame that are kept to be told.
const FRAME_KEPT: usize = 512;
/// Largest table of fields.
const TABLE_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::super::known::tests::Rig;
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let len = (payload.len() as u32).to_be_bytes();
        [&len[1..], &[kind, flags, 0, 0, 0, 1], payload].concat()
    }

    /// RFC 7541 appendix C.3.1: GET http://www.example.com/
    const BLOCK: &[u8] = b"\x82\x86\x84\x41\x0fwww.example.com";

    #[test]
    fn a_request_over_frames_and_segments() {
        let padded = [&[3, 0, 0, 0, 0, 16], &BLOCK[..4], &[0; 3]].concat();
        let stream = [
            PREFACE.to_vec(),
            frame(SETTINGS, 0, &[0; 6]),
            frame(HEADERS, PADDED | PRIORITY, &padded),
            frame(CONTINUATION, END_HEADERS, &BLOCK[4..]),
        ]
        .concat();
        for step in [1, 5, 1000] {
            let (mut rig, mut http2) = (Rig::default(), Http2::default());
            for piece in stream.chunks(step) {
                http2.bytes(&mut rig.ctx(), 0, piece);
            }
            assert_eq!(rig.heard.0, ["0 GET / HTTP/2 4"]);
            assert_eq!(rig.known.expect("told").server_name, b"www.example.com");
        }
        for n in 0..stream.len() {
            let mut rig = Rig::default();
            assert!(
                Http2::default().bytes(&mut rig.ctx(), 0, &stream[..n]),
                "{n}"
            );
            let mut bent = stream.clone();
            bent[n] = !bent[n];
            Http2::default().bytes(&mut rig.ctx(), 0, &bent);
        }
    }

    #[test]
    fn fields_without_end_and_without_measure_are_given_up() {
        let mut rig = Rig::default();
        rig.settings.header_bytes_max = 5000;
        let mut http2 = Http2::default();
        http2.bytes(&mut rig.ctx(), 1, &frame(SETTINGS, 0, b""));
        for _ in 0..4 {
            http2.bytes(&mut rig.ctx(), 1, &frame(HEADERS, 0, &[0x82; 2000]));
        }
        assert_eq!(rig.tally.count(Outcome::AppBudgets), 1);
        assert!(http2.room() < 20_000);
        // one long field in the table, told over and over
        let mut block = [&[0x40, 1, b'a', 0x7f, 0xe1, 0x0e][..], &[b'b'; 2000]].concat();
        block.extend([0xbe; 1000]);
        let mut http2 = Http2::default();
        http2.bytes(&mut rig.ctx(), 1, &frame(SETTINGS, 0, b""));
        http2.bytes(&mut rig.ctx(), 1, &frame(HEADERS, END_HEADERS, &block));
        assert_eq!(rig.tally.count(Outcome::AppBudgets), 2);
    }
}
