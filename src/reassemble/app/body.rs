//! Bodies without their content coding: gzip, deflate and brotli (RFC 9110 section 8.4), within budgets.
//!
//! Senders lie about codings, and browsers forgive them: what is packed is told by its first bytes, several codings are undone one
//! after the other, and what cannot be unpacked is told as it came.

use super::known::Ctx;
use super::message::Message;
use crate::ledger::Outcome;
use flate2::write::DeflateDecoder;
use std::io::{Error, Write};

/// A body that is read.
#[derive(Debug, Default)]
pub(super) struct Body {
    coding: Coding,
    /// Bytes that came, and bytes that they became.
    raw: usize,
    plain: usize,
}

#[derive(Default)]
enum Coding {
    /// As it is.
    #[default]
    Plain,
    /// The outermost coding first.
    Packed(Vec<Inflate>),
    /// The bytes that came are kept until something comes out of them.
    Brotli(Box<brotli_decompressor::DecompressorWriter<Sink>>, Vec<u8>),
    /// Nobody wants it, or it cannot be read.
    Unread,
}

impl std::fmt::Debug for Coding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Coding")
    }
}

/// What a decoder gave since it was asked last; past its room it refuses.
#[derive(Debug, Default)]
struct Sink {
    bytes: Vec<u8>,
    room: usize,
    is_full: bool,
}

impl Write for Sink {
    fn write(&mut self, b: &[u8]) -> std::io::Result<usize> {
        if b.len() > self.room {
            self.is_full = true;
            return Err(Error::other("more than the budget"));
        }
        self.room -= b.len();
        self.bytes.extend_from_slice(b);
        Ok(b.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// One coding of gzip (RFC 1952), zlib (RFC 1950) or deflate (RFC 1951).
struct Inflate {
    stage: Stage,
    /// First bytes, until something came out of them.
    first: Vec<u8>,
}

enum Stage {
    /// What it is has still to be told.
    Unsure,
    Deflate(Box<DeflateDecoder<Sink>>),
    /// It is none of the three: as it came.
    Plain,
    /// The packed bytes ended.
    Over,
}

impl Inflate {
    fn new() -> Self {
        Inflate {
            stage: Stage::Unsure,
            first: vec![],
        }
    }

    /// Takes bytes and appends what they become; false where that is too much.
    fn take(&mut self, b: &[u8], room: usize, out: &mut Vec<u8>) -> bool {
        match &mut self.stage {
            Stage::Over => true,
            Stage::Plain => {
                let n = b.len().min(room);
                out.extend_from_slice(&b[..n]);
                n == b.len()
            }
            Stage::Unsure => {
                self.first.extend_from_slice(b);
                if self.first.len() < SURE && header(&self.first).is_none() {
                    return true;
                }
                self.begin(room, out)
            }
            Stage::Deflate(_) => self.inflate(b, room, out),
        }
    }

    /// No more comes.
    fn end(&mut self, room: usize, out: &mut Vec<u8>) -> bool {
        match self.stage {
            Stage::Unsure if !self.first.is_empty() => self.begin(room, out),
            _ => true,
        }
    }

    /// Tries the first bytes: behind the header that they seem to have, else without one, else as they are.
    fn begin(&mut self, room: usize, out: &mut Vec<u8>) -> bool {
        let first = std::mem::take(&mut self.first);
        let mut places = [header(&first), Some(0), Some(2)];
        if places[0] == Some(0) {
            places[1] = None;
        }
        for skipped in places.into_iter().flatten() {
            let Some(rest) = first.get(skipped..) else {
                continue;
            };
            self.stage = Stage::Deflate(Box::new(DeflateDecoder::new(Sink::default())));
            let before = out.len();
            let fits = self.inflate(rest, room, out);
            if out.len() > before || !fits {
                return fits;
            }
            if let Stage::Deflate(_) = self.stage {
                // nothing wrong so far
                if first.len() < SURE {
                    self.first = first;
                    self.stage = Stage::Unsure;
                }
                return true;
            }
        }
        self.stage = Stage::Plain;
        self.take(&first, room, out)
    }

    fn inflate(&mut self, b: &[u8], room: usize, out: &mut Vec<u8>) -> bool {
        let Stage::Deflate(decoder) = &mut self.stage else {
            return true;
        };
        decoder.get_mut().room = room;
        let done = decoder.write_all(b).and_then(|()| decoder.flush());
        let sink = decoder.get_mut();
        out.append(&mut sink.bytes);
        let is_full = sink.is_full;
        if done.is_err() {
            // behind the end of what was packed, or broken: what came out stands
            self.stage = Stage::Over;
        }
        !is_full
    }
}

/// Where the packed bytes begin by the header that is there: behind that of gzip or zlib, or at once; `None` while a header is
/// not whole.
fn header(b: &[u8]) -> Option<usize> {
    match b {
        [] | [0x1f] => None,
        [0x1f, 0x8b, ..] => {
            let flags = *b.get(3)?;
            let mut at = 10;
            if flags & 4 != 0 {
                let len = b.get(at..at + 2)?;
                at += 2 + usize::from(u16::from_le_bytes([len[0], len[1]]));
            }
            for text in [8, 16] {
                if flags & text != 0 {
                    at += b.get(at..)?.iter().position(|c| *c == 0)? + 1;
                }
            }
            at += if flags & 2 != 0 { 2 } else { 0 };
            (b.len() >= at).then_some(at)
        }
        [_] => None,
        [a, c, ..] if a & 15 == 8 && u16::from_be_bytes([*a, *c]) % 31 == 0 => Some(2),
        _ => Some(0),
    }
}

impl Body {
    /// A body begins with this content coding.
    pub fn start(&mut self, ctx: &Ctx<'_>, coding: &[u8]) {
        if !ctx.wishes.bodies || coding.is_empty() {
            *self = Body {
                coding: match ctx.wishes.bodies {
                    true => Coding::Plain,
                    false => Coding::Unread,
                },
                ..Body::default()
            };
            return;
        }
        let lower = coding.to_ascii_lowercase();
        let is = |token: &[u8], name: &[u8]| token.windows(name.len()).any(|w| w == name);
        let tokens = || lower.split(|b| *b == b',').map(<[u8]>::trim_ascii);
        let packed = tokens().filter(|t| is(t, b"gzip") || is(t, b"deflate"));
        let layers: Vec<Inflate> = packed.take(LAYERS_MAX).map(|_| Inflate::new()).collect();
        let coding = match () {
            () if !layers.is_empty() => Coding::Packed(layers),
            () if tokens().any(|t| t == b"br") => {
                let sink = Sink::default();
                let decoder = brotli_decompressor::DecompressorWriter::new(sink, BUFFER);
                Coding::Brotli(Box::new(decoder), vec![])
            }
            () => Coding::Plain,
        };
        *self = Body {
            coding,
            ..Body::default()
        };
    }

    /// Bytes of the body.
    pub fn data(&mut self, ctx: &mut Ctx<'_>, half: usize, b: &[u8]) {
        if b.is_empty() {
            return;
        }
        self.raw += b.len();
        let room = self.room_left(ctx);
        let (mut out, mut done) = (vec![], true);
        match &mut self.coding {
            Coding::Unread => return,
            Coding::Plain => {
                let n = b.len().min(room);
                self.plain += n;
                if n > 0 {
                    ctx.visitor.message(half, &Message::HttpBody(&b[..n]));
                }
                done = n == b.len();
            }
            Coding::Packed(layers) => {
                out.extend_from_slice(b);
                for layer in layers {
                    let packed = std::mem::take(&mut out);
                    done &= layer.take(&packed, room, &mut out);
                }
            }
            Coding::Brotli(d, first) => {
                d.get_mut().room = room;
                done = d.write_all(b).and_then(|()| d.flush()).is_ok();
                out = std::mem::take(&mut d.get_mut().bytes);
                let is_first = self.plain == 0 && out.is_empty() && !d.get_mut().is_full;
                if is_first && first.len() + b.len() <= FIRST_MAX {
                    first.extend_from_slice(b);
                } else {
                    *first = vec![];
                }
                if !done && !first.is_empty() {
                    // it is no brotli: as it came
                    let first = std::mem::take(first);
                    self.coding = Coding::Plain;
                    (out, done) = (first, true);
                }
            }
        }
        self.tell(ctx, half, &out);
        if !done {
            ctx.tally.one(Outcome::AppBudgets);
            self.coding = Coding::Unread;
        }
    }

    /// The body is over.
    pub fn end(&mut self, ctx: &mut Ctx<'_>, half: usize) {
        let room = self.room_left(ctx);
        let mut out = vec![];
        if let Coding::Packed(layers) = &mut self.coding {
            for layer in layers {
                let packed = std::mem::take(&mut out);
                if !packed.is_empty() {
                    layer.take(&packed, room, &mut out);
                }
                layer.end(room, &mut out);
            }
        }
        if let Coding::Brotli(_, first) = &mut self.coding {
            out = std::mem::take(first);
        }
        self.tell(ctx, half, &out);
        let coding = std::mem::replace(&mut self.coding, Coding::Unread);
        if !matches!(coding, Coding::Unread) {
            ctx.visitor.message(half, &Message::HttpBody(b""));
        }
    }

    /// Whether nothing of it came.
    pub fn is_empty(&self) -> bool {
        self.raw == 0
    }

    /// Whether what comes is told as it is.
    pub fn is_plain(&self) -> bool {
        matches!(self.coding, Coding::Plain)
    }

    /// Bytes are missing: only what is not coded is read on.
    pub fn broken(&mut self) {
        if !matches!(self.coding, Coding::Plain) {
            self.coding = Coding::Unread;
        }
    }

    /// About how much memory it takes.
    pub fn room(&self) -> usize {
        match &self.coding {
            Coding::Plain | Coding::Unread => 0,
            Coding::Brotli(..) => 1 << 18,
            Coding::Packed(layers) => layers.len() << 16,
        }
    }

    fn tell(&mut self, ctx: &mut Ctx<'_>, half: usize, bytes: &[u8]) {
        self.plain += bytes.len();
        if !bytes.is_empty() {
            ctx.visitor.message(half, &Message::HttpBody(bytes));
        }
    }

    /// How much may still come out.
    fn room_left(&self, ctx: &Ctx<'_>) -> usize {
        let s = ctx.settings;
        let by_ratio = self.raw.saturating_mul(s.inflation_max).max(INFLATED);
        let most = match self.coding {
            Coding::Plain => s.body_bytes_max,
            _ => by_ratio.min(s.body_bytes_max),
        };
        most.saturating_sub(self.plain)
    }
}

const BUFFER: usize = 4096;
/// Bytes of what is said to be brotli that are kept until something comes out of them.
const FIRST_MAX: usize = 16 << 10;
/// So much may always come out, whatever the ratio.
const INFLATED: usize = 64 << 10;
/// Codings of one body that are undone.
const LAYERS_MAX: usize = 3;
/// So many first bytes that gave nothing out are what they seem.
const SURE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn unpacked(b: &[u8], step: usize) -> Vec<u8> {
        let (mut layer, mut out) = (Inflate::new(), vec![]);
        for piece in b.chunks(step) {
            assert!(layer.take(piece, 1 << 20, &mut out));
        }
        layer.end(1 << 20, &mut out);
        out
    }

    #[test]
    fn what_lies_about_its_coding_is_read_nevertheless() {
        let text = b"to be or not to be, that is the question";
        let mut raw = flate2::write::DeflateEncoder::new(vec![], flate2::Compression::default());
        raw.write_all(text).expect("packed");
        let raw = raw.finish().expect("packed");
        let gzip = |flags: u8, more: &[u8]| {
            let head = [0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3];
            [&head[..], more, &raw, &[0; 8]].concat()
        };
        let zlib = [&[0x78, 0x9c], &raw[..], &[9; 4]].concat();
        for step in [1, 3, 1000] {
            for packed in [
                gzip(0, b""),
                gzip(0x20, b""),
                gzip(8, b"name\0"),
                zlib.clone(),
                raw.clone(),
            ] {
                assert_eq!(unpacked(&packed, step), text, "{step}");
            }
            let plain = b"no packed bytes at all, whatever was said of them";
            assert_eq!(unpacked(plain, step), plain, "{step}");
        }
    }
}
