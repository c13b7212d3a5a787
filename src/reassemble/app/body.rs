//! Bodies without their content coding: gzip, deflate and brotli (RFC 9110 section 8.4), within budgets.

use super::known::Ctx;
use super::message::Message;
use crate::ledger::Outcome;
use flate2::write::{DeflateDecoder, GzDecoder, ZlibDecoder};
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
    Gzip(Box<GzDecoder<Sink>>),
    Zlib(Box<ZlibDecoder<Sink>>),
    Deflate(Box<DeflateDecoder<Sink>>),
    Brotli(Box<brotli_decompressor::DecompressorWriter<Sink>>),
    /// `deflate`, whose first octet tells which form it is.
    Unsure,
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
}

impl Write for Sink {
    fn write(&mut self, b: &[u8]) -> std::io::Result<usize> {
        if b.len() > self.room {
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

impl Body {
    /// A body begins with this content coding.
    pub fn start(&mut self, ctx: &Ctx<'_>, coding: &[u8]) {
        let is = |name: &str| coding.trim_ascii().eq_ignore_ascii_case(name.as_bytes());
        let sink = Sink::default();
        let coding = match () {
            _ if !ctx.wishes.bodies => Coding::Unread,
            _ if coding.is_empty() || is("identity") => Coding::Plain,
            _ if is("gzip") || is("x-gzip") => Coding::Gzip(Box::new(GzDecoder::new(sink))),
            _ if is("deflate") => Coding::Unsure,
            _ if is("br") => {
                let decoder = brotli_decompressor::DecompressorWriter::new(sink, BUFFER);
                Coding::Brotli(Box::new(decoder))
            }
            _ => Coding::Unread,
        };
        *self = Body {
            coding,
            raw: 0,
            plain: 0,
        };
    }

    /// Bytes of the body.
    pub fn data(&mut self, ctx: &mut Ctx<'_>, half: usize, b: &[u8]) {
        if b.is_empty() {
            return;
        }
        self.raw += b.len();
        if let Coding::Unsure = self.coding {
            // with the header of zlib, as it should have, or without
            self.coding = match b[0] & 0x0f {
                8 => Coding::Zlib(Box::new(ZlibDecoder::new(Sink::default()))),
                _ => Coding::Deflate(Box::new(DeflateDecoder::new(Sink::default()))),
            };
        }
        let s = ctx.settings;
        let by_ratio = self.raw.saturating_mul(s.inflation_max).max(INFLATED);
        let room = by_ratio.min(s.body_bytes_max).saturating_sub(self.plain);
        let done = match &mut self.coding {
            Coding::Unread | Coding::Unsure => return,
            Coding::Plain => {
                let n = b.len().min(s.body_bytes_max.saturating_sub(self.plain));
                self.plain += n;
                if n > 0 {
                    ctx.visitor.message(half, &Message::HttpBody(&b[..n]));
                }
                n == b.len()
            }
            Coding::Gzip(d) => tell(
                &mut **d,
                GzDecoder::get_mut,
                b,
                room,
                &mut self.plain,
                ctx,
                half,
            ),
            Coding::Zlib(d) => tell(
                &mut **d,
                ZlibDecoder::get_mut,
                b,
                room,
                &mut self.plain,
                ctx,
                half,
            ),
            Coding::Deflate(d) => tell(
                &mut **d,
                DeflateDecoder::get_mut,
                b,
                room,
                &mut self.plain,
                ctx,
                half,
            ),
            Coding::Brotli(d) => {
                let sink = brotli_decompressor::DecompressorWriter::get_mut;
                tell(&mut **d, sink, b, room, &mut self.plain, ctx, half)
            }
        };
        if !done {
            ctx.tally.one(Outcome::AppBudgets);
            self.coding = Coding::Unread;
        }
    }

    /// The body is over.
    pub fn end(&mut self, ctx: &mut Ctx<'_>, half: usize) {
        let coding = std::mem::replace(&mut self.coding, Coding::Unread);
        if !matches!(coding, Coding::Unread) {
            ctx.visitor.message(half, &Message::HttpBody(b""));
        }
    }

    /// Bytes are missing: only what is not coded is read on.
    pub fn broken(&mut self) {
        if !matches!(self.coding, Coding::Plain) {
            self.coding = Coding::Unread;
        }
    }

    /// About how much memory it takes.
    pub fn room(&self) -> usize {
        match self.coding {
            Coding::Plain | Coding::Unsure | Coding::Unread => 0,
            Coding::Brotli(_) => 1 << 18,
            _ => 1 << 16,
        }
    }
}

/// Decodes bytes and tells what they became; false where that is too much or no such coding.
fn tell<D: Write>(
    decoder: &mut D,
    sink: impl Fn(&mut D) -> &mut Sink,
    b: &[u8],
    room: usize,
    plain: &mut usize,
    ctx: &mut Ctx<'_>,
    half: usize,
) -> bool {
    sink(decoder).room = room;
    let done = decoder.write_all(b).and_then(|()| decoder.flush()).is_ok();
    let bytes = std::mem::take(&mut sink(decoder).bytes);
    *plain += bytes.len();
    if !bytes.is_empty() {
        ctx.visitor.message(half, &Message::HttpBody(&bytes));
    }
    done
}

const BUFFER: usize = 4096;
/// So much may always come out, whatever the ratio.
const INFLATED: usize = 64 << 10;
