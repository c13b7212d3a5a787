//! HTTP/1 (RFC 9112): heads, and where the messages between them end.

use super::body::Body;
use super::head::{Framing, Head, end_of_head, is_no_status_line, trimmed, with_head};
use super::http2::Http2;
use super::known::Ctx;
use super::message::Message;
use super::peek::{Confidence, Peek, Verdict};
use super::start_line::{
    METHODS, begins_head, begins_with_word, may_begin, status_line_behind, whole_bare_line,
};
use crate::ledger::Outcome;
use crate::model::AppProto;
use std::collections::VecDeque;

/// A request line or a status line.
pub(super) fn recognise(peek: &Peek<'_>) -> Verdict {
    let b = peek.bytes();
    let line = b
        .iter()
        .position(|c| *c == b'\n')
        .map(|n| b[..n].trim_ascii_end());
    if b.starts_with(b"PRI * HTTP/2.0\r\n") {
        return Verdict::Is(AppProto::Http2, Confidence::SURE);
    }
    if b.starts_with(b"HTTP/1.") {
        return Verdict::Is(AppProto::Http, Confidence::SURE);
    }
    if b"HTTP/1.".starts_with(b) || b"PRI * HTTP/2.0\r\n".starts_with(b) {
        return Verdict::More;
    }
    let method = b
        .iter()
        .take(METHOD_MAX + 1)
        .take_while(|c| is_method(**c))
        .count();
    let known = METHODS.contains(&&b[..method]);
    let wants = |more: bool| if more { Verdict::More } else { Verdict::No };
    match (b.get(method), line) {
        _ if method > METHOD_MAX => Verdict::No,
        (None, _) => wants(METHODS.iter().any(|m| m.starts_with(b))),
        (Some(b' '), Some(line)) => match line.windows(6).any(|w| w == b" HTTP/") {
            true => Verdict::Is(AppProto::Http, Confidence::SURE),
            // HTTP/0.9
            false if line.starts_with(b"GET /") && peek.has_port(80) => {
                Verdict::Is(AppProto::Http, Confidence::FAIR)
            }
            false => Verdict::No,
        },
        (Some(b' '), None) if known => match b.get(method + 1) {
            None => Verdict::More,
            Some(b'/' | b'h') if b.len() > LONG_LINE => {
                Verdict::Is(AppProto::Http, Confidence::LIKELY)
            }
            Some(c) => wants(c.is_ascii_graphic()),
        },
        _ => Verdict::No,
    }
}

fn is_method(c: u8) -> bool {
    c.is_ascii_uppercase() || matches!(c, b'-' | b'_')
}

/// Both directions of a connection.
#[derive(Debug, Default)]
pub(super) struct Http {
    halves: [Half; 2],
    /// Which requests wait for their answers: whether their answers have no body.
    asked: VecDeque<Asked>,
    /// What goes on behind a change of protocol.
    http2: Option<Box<Http2>>,
    /// Who sent a request first.
    client: Option<usize>,
    /// The request that is read is a line without version.
    is_bare: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    Plain,
    Head,
    Connect,
    Upgrade,
    /// A line without version (HTTP/0.9): what is answered is a body from its first byte.
    Bare,
}

#[derive(Debug, Default)]
struct Half {
    stage: Stage,
    /// A head, or the line of a chunk, as far as it came.
    waiting: Vec<u8>,
    /// Lines behind the last chunk.
    trailers: Vec<u8>,
    body: Body,
    /// What the last head says is an answer.
    is_answer: bool,
    /// The last body came in chunks.
    is_chunked: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Head,
    /// So many bytes of a body are to come.
    Length(u64),
    ChunkLine,
    Chunk(u64),
    /// The line behind a chunk.
    ChunkEnd,
    Trailer,
    UntilEnd,
    /// The length of a body is reached, but not the end of the piece that it ends in.
    Behind,
    /// Where the next head begins is not known: bytes are missing.
    Lost,
    Done,
}

impl Http {
    /// Takes bytes of a half; returns whether more is wanted.
    pub fn bytes(&mut self, ctx: &mut Ctx<'_>, half: usize, mut b: &[u8]) -> bool {
        while !b.is_empty() {
            if let Some(http2) = &mut self.http2 {
                return http2.bytes(ctx, half, b);
            }
            let h = &mut self.halves[half];
            let n = match h.stage {
                Stage::Done => return self.halves.iter().any(|h| h.stage != Stage::Done),
                Stage::Lost if !begins_head(b) => b.len(),
                Stage::Lost => {
                    h.stage = Stage::Head;
                    0
                }
                Stage::Head => self.head(ctx, half, b),
                Stage::Length(left) => {
                    let n = left.min(b.len() as u64) as usize;
                    h.body.data(ctx, half, &b[..n]);
                    h.stage = match left - n as u64 {
                        0 => Stage::Behind,
                        left => Stage::Length(left),
                    };
                    n
                }
                Stage::Chunk(left) => {
                    let n = left.min(b.len() as u64) as usize;
                    h.body.data(ctx, half, &b[..n]);
                    h.stage = match left - n as u64 {
                        0 => Stage::ChunkEnd,
                        left => Stage::Chunk(left),
                    };
                    n
                }
                Stage::ChunkLine | Stage::ChunkEnd | Stage::Trailer => h.line(ctx, half, b),
                Stage::Behind => h.behind(ctx, half, b),
                Stage::UntilEnd => {
                    h.body.data(ctx, half, b);
                    b.len()
                }
            };
            b = &b[n.min(b.len())..];
        }
        let h = &mut self.halves[half];
        if h.stage == Stage::Behind {
            h.end(ctx, half);
        }
        self.http2.is_some() || self.halves.iter().any(|h| h.stage != Stage::Done)
    }

    /// Bytes are missing. Within a body of known length the next head can be found, and where none was begun one may begin behind them. A head
    /// with a hole is told to who wants `all`, as Suricata tells it; nobody is named by one.
    pub fn gap(&mut self, half: usize, missing: u32, all: bool) -> bool {
        let h = &mut self.halves[half];
        if all && h.stage == Stage::Head && !h.waiting.is_empty() {
            return true;
        }
        h.stage = match h.stage {
            Stage::Length(left) if left >= missing.into() => {
                Stage::Length(left - u64::from(missing))
            }
            Stage::Chunk(left) if left >= missing.into() => Stage::Chunk(left - u64::from(missing)),
            Stage::UntilEnd => Stage::UntilEnd,
            Stage::Done => Stage::Done,
            _ => Stage::Lost,
        };
        h.waiting.clear();
        h.body.broken();
        self.http2.is_none() && self.halves.iter().any(|h| h.stage != Stage::Done)
    }

    /// Whether it goes on as HTTP/2.
    pub fn is_upgraded(&self) -> bool {
        self.http2.is_some()
    }

    /// Memory that it takes beside itself.
    pub fn room(&self) -> usize {
        let halves = self
            .halves
            .iter()
            .map(|h| h.waiting.capacity() + h.trailers.capacity() + h.body.room());
        halves.sum::<usize>() + self.http2.as_ref().map_or(0, |h| h.room())
    }

    /// Reads a head where it is whole; returns how many bytes of `fresh` it took.
    fn head(&mut self, ctx: &mut Ctx<'_>, half: usize, fresh: &[u8]) -> usize {
        let mut waiting = std::mem::take(&mut self.halves[half].waiting);
        let before = waiting.len();
        if before == 0 {
            // empty lines in front of a request (RFC 9112 section 2.2)
            let blank = fresh
                .iter()
                .take_while(|b| matches!(b, b'\r' | b'\n'))
                .count();
            if blank > 0 {
                return blank;
            }
        }
        let whole: &[u8] = match before {
            0 => fresh,
            _ => {
                let room = (ctx.settings.header_bytes_max + 1).saturating_sub(before);
                waiting.extend_from_slice(&fresh[..fresh.len().min(room)]);
                &waiting
            }
        };
        let answers = self.answers(half, whole);
        if answers && ctx.wishes.all {
            if before == 0 {
                self.complete_line(ctx, half);
            }
            if let Some(taken) = self.no_status(ctx, half, whole, before) {
                return taken;
            }
        }
        if !answers && self.asked.back() == Some(&Asked::Bare) {
            // nothing follows a line without version
            self.halves.iter_mut().for_each(|h| h.stage = Stage::Done);
            return fresh.len();
        }
        let bare = match !answers && ctx.wishes.all {
            true => whole_bare_line(whole),
            false => None,
        };
        self.is_bare = bare.is_some();
        let end = bare.or_else(|| end_of_head(whole, before.saturating_sub(3), answers));
        let Some(end) = end else {
            if whole.len() > ctx.settings.header_bytes_max {
                ctx.tally.one(Outcome::AppBudgets);
                self.halves[half].stage = Stage::Done;
                return fresh.len();
            }
            if before == 0 {
                waiting.extend_from_slice(fresh);
            }
            self.halves[half].waiting = waiting;
            return fresh.len();
        };
        let most = ctx.settings.headers_max;
        let is_read = with_head(&whole[..end], most, answers, |head, cut| {
            if cut {
                ctx.tally.one(Outcome::AppBudgets);
            }
            self.told(ctx, half, head);
        });
        if !is_read {
            self.halves[half].stage = Stage::Done;
        }
        end - before
    }

    /// Whether what a half says with these bytes is an answer.
    fn answers(&self, half: usize, first: &[u8]) -> bool {
        first.starts_with(b"HTTP/") || self.client.is_some_and(|c| c != half)
    }

    /// What an answer begins with that is no status line: skipped where one follows in the same piece, else a body, as libhtp has it. Returns how many
    /// fresh bytes it took; none where a head begins, or where a line is to come that tells.
    fn no_status(
        &mut self,
        ctx: &mut Ctx<'_>,
        half: usize,
        whole: &[u8],
        before: usize,
    ) -> Option<usize> {
        let fresh = whole.len() - before;
        if self.asked.front() == Some(&Asked::Bare) {
            self.bare_body(ctx, half, whole);
            return Some(fresh);
        }
        if !is_no_status_line(whole) {
            return None;
        }
        // a line that was whole before, and long enough, is taken already
        let new = before.saturating_sub(STATUS);
        let is_line = whole.len() >= STATUS && whole[new..].contains(&b'\n');
        if let Some(at) = status_line_behind(whole, before) {
            return Some(at - before);
        }
        if is_line && whole.ends_with(b"\n") {
            // the next piece may be another answer
            self.bare_body(ctx, half, whole);
            self.halves[half].end(ctx, half);
            return Some(fresh);
        }
        if is_line || whole.len() > ctx.settings.header_bytes_max {
            self.bare_body(ctx, half, whole);
            return Some(fresh);
        }
        None
    }

    /// A first line of a request that an answer comes before the end of is as long as it is.
    fn complete_line(&mut self, ctx: &mut Ctx<'_>, half: usize) {
        let h = &mut self.halves[1 - half];
        if h.stage != Stage::Head || h.waiting.is_empty() || h.waiting.contains(&b'\n') {
            return;
        }
        let waiting = std::mem::take(&mut h.waiting);
        let most = ctx.settings.headers_max;
        // what is answered has a head, even where a version is missing
        self.is_bare = false;
        with_head(&waiting, most, false, |head, _| {
            self.told(ctx, 1 - half, head);
        });
    }

    /// An answer without a head (HTTP/0.9): all that comes is its body.
    fn bare_body(&mut self, ctx: &mut Ctx<'_>, half: usize, bytes: &[u8]) {
        let head = Head {
            first: [b""; 3],
            headers: &[],
            stream: 0,
            raw: b"",
        };
        ctx.visitor.message(half, &Message::HttpResponse(&head));
        let h = &mut self.halves[half];
        h.stage = Stage::UntilEnd;
        h.body.start(ctx, b"");
        h.body.data(ctx, half, bytes);
    }

    /// A head was read: what it says, and what follows it.
    fn told(&mut self, ctx: &mut Ctx<'_>, half: usize, head: &Head<'_>) {
        let is_answer = self.answers(half, head.first[0]);
        let stage = if is_answer {
            ctx.visitor.message(half, &Message::HttpResponse(head));
            self.answered(head)
        } else {
            self.client.get_or_insert(half);
            if let (Some(known), Some(host)) = (ctx.names(), head.host()) {
                known.name(host);
            }
            ctx.visitor.message(half, &Message::HttpRequest(head));
            self.asked(head)
        };
        let h = &mut self.halves[half];
        (h.stage, h.is_answer) = (stage, is_answer);
        h.is_chunked = stage == Stage::ChunkLine;
        if stage == Stage::Done || !ctx.wishes.all {
            h.stage = Stage::Done;
            // one request names the conversation
            if self.client == Some(half) && !ctx.wishes.all {
                self.halves[1 - half].stage = Stage::Done;
            }
            return;
        }
        h.body.start(ctx, &head.all("content-encoding"));
        // what an interim answer or the way to another protocol has behind it is no body
        let goes_on = match is_answer {
            true => head.first[1].starts_with(b"1"),
            false => head.first[0] == b"CONNECT" || head.has("upgrade", "h2c"),
        };
        if stage == Stage::Length(0) && goes_on {
            h.stage = Stage::Head;
            ctx.visitor.message(half, &Message::HttpEnd);
        } else if stage == Stage::Length(0) {
            h.stage = Stage::Behind;
        }
    }

    /// No more bytes of a half come: a body that nothing else ends is over.
    pub fn end(&mut self, ctx: &mut Ctx<'_>, half: usize) {
        let h = &mut self.halves[half];
        // whatever a client says is a request for libhtp
        let is_line = |b: &[u8]| {
            ctx.wishes.all && !b.is_empty() && (begins_head(b) || self.client == Some(half))
        };
        if h.stage == Stage::Head && (h.waiting.contains(&b'\n') || is_line(&h.waiting)) {
            // a head that never ended
            let waiting = std::mem::take(&mut h.waiting);
            let most = ctx.settings.headers_max;
            let answers = self.answers(half, &waiting);
            self.is_bare = false;
            with_head(&waiting, most, answers, |head, _| {
                self.told(ctx, half, head);
            });
        } else if ctx.wishes.all && h.stage == Stage::Head && !h.waiting.is_empty() {
            // an answer too short for a status line is a body, too
            let waiting = std::mem::take(&mut h.waiting);
            if self.answers(half, &waiting) && is_no_status_line(&waiting) {
                self.bare_body(ctx, half, &waiting);
            }
        }
        let h = &mut self.halves[half];
        if !matches!(h.stage, Stage::Head | Stage::Lost | Stage::Done) {
            h.end(ctx, half);
            h.stage = Stage::Done;
        }
    }

    fn asked(&mut self, head: &Head<'_>) -> Stage {
        let kind = match head.first[0] {
            b"HEAD" => Asked::Head,
            b"CONNECT" => Asked::Connect,
            _ if head.has("upgrade", "h2c") => Asked::Upgrade,
            _ if self.is_bare => Asked::Bare,
            _ => Asked::Plain,
        };
        if self.asked.len() == ASKED_MAX {
            self.asked.pop_front();
        }
        self.asked.push_back(kind);
        if head.has_bad_length() {
            // nobody knows what follows, and what it would be the answer to
            self.halves.iter_mut().for_each(|h| h.stage = Stage::Done);
            return Stage::Done;
        }
        length(head).unwrap_or(Stage::Length(0))
    }

    fn answered(&mut self, head: &Head<'_>) -> Stage {
        let status = head.first[1];
        let asked = self.asked.front().copied().unwrap_or(Asked::Plain);
        match (status, asked) {
            (b"101", Asked::Upgrade) => {
                self.http2 = Some(Box::default());
                return Stage::Head;
            }
            // another protocol that is not read
            (b"101", _) => {
                self.halves.iter_mut().for_each(|h| h.stage = Stage::Done);
                return Stage::Done;
            }
            ([b'1', ..], _) => return Stage::Length(0),
            ([b'2', ..], Asked::Connect) => {
                self.halves.iter_mut().for_each(|h| h.stage = Stage::Done);
                return Stage::Done;
            }
            _ => {
                self.asked.pop_front();
            }
        }
        if head.has_bad_length() {
            return Stage::Done;
        }
        if asked == Asked::Head || status == b"304" {
            return Stage::Length(0);
        }
        if status == b"204" {
            return length(head).unwrap_or(Stage::Length(0));
        }
        length(head).unwrap_or(Stage::UntilEnd)
    }
}

impl Half {
    /// The body is over.
    fn end(&mut self, ctx: &mut Ctx<'_>, half: usize) {
        if self.stage != Stage::Behind || !self.body.is_empty() {
            self.body.end(ctx, half);
        }
        ctx.visitor.message(half, &Message::HttpEnd);
        self.stage = Stage::Head;
    }

    /// What stands behind a body in the piece that the body ends in: until a line begins another message, it is more of the body, as libhtp has it.
    /// Returns how many bytes it took.
    fn behind(&mut self, ctx: &mut Ctx<'_>, half: usize, b: &[u8]) -> usize {
        let end = b
            .iter()
            .position(|c| *c == b'\n')
            .map_or(b.len(), |n| n + 1);
        let line = &b[..end];
        let is_head = match self.is_answer {
            true => !is_no_status_line(line) || may_begin(line, b"HTTP/"),
            false => {
                let blank = line.trim_ascii_start();
                blank.is_empty() || METHODS.iter().any(|m| begins_with_word(blank, m))
            }
        };
        if is_head {
            self.end(ctx, half);
            return 0;
        }
        // what is coded ended with its length, and behind chunks a line tells once it is whole
        let is_told = !self.is_chunked || line.ends_with(b"\n");
        if self.body.is_plain() && is_told {
            self.body.data(ctx, half, line);
        }
        end
    }

    fn tell_trailers(&mut self, ctx: &mut Ctx<'_>, half: usize) {
        let trailers = std::mem::take(&mut self.trailers);
        let lines = trailers.split(|b| *b == b'\n');
        let fields = lines.filter_map(|line| {
            let at = line.iter().position(|b| *b == b':')?;
            Some((line[..at].trim_ascii(), line[at + 1..].trim_ascii()))
        });
        let fields: Vec<_> = fields.take(ctx.settings.headers_max).collect();
        if !fields.is_empty() {
            ctx.visitor.message(half, &Message::HttpTrailers(&fields));
        }
    }

    /// A line of chunked coding (RFC 9112 section 7.1); returns how many bytes it took.
    fn line(&mut self, ctx: &mut Ctx<'_>, half: usize, b: &[u8]) -> usize {
        let Some(n) = b.iter().position(|c| *c == b'\n') else {
            self.waiting.extend_from_slice(&b[..b.len().min(LINE_MAX)]);
            if self.waiting.len() > LINE_MAX {
                ctx.tally.one(Outcome::AppBudgets);
                self.stage = Stage::Done;
            }
            return b.len();
        };
        self.waiting.extend_from_slice(&b[..n.min(LINE_MAX)]);
        let line = std::mem::take(&mut self.waiting);
        let line = line.trim_ascii();
        match self.stage {
            // whatever stands behind a chunk
            Stage::ChunkEnd => self.stage = Stage::ChunkLine,
            Stage::Trailer if line.is_empty() => {
                self.tell_trailers(ctx, half);
                self.stage = Stage::Behind;
            }
            Stage::Trailer => {
                let room = ctx.settings.header_bytes_max;
                match self.trailers.len() + line.len() < room {
                    true => self.trailers.extend_from_slice(&[line, b"\n"].concat()),
                    false => ctx.tally.one(Outcome::AppBudgets),
                }
            }
            // a line between chunks
            _ if line.is_empty() => {}
            _ => {
                self.stage = match chunk_length(line) {
                    Some(0) => Stage::Trailer,
                    Some(n) => Stage::Chunk(n),
                    // no chunks after all: as it came
                    None => {
                        self.body.data(ctx, half, &[line, b"\n"].concat());
                        Stage::UntilEnd
                    }
                };
            }
        }
        n + 1
    }
}

/// How a body ends by its head; `None` where it does not say.
fn length(head: &Head<'_>) -> Option<Stage> {
    Some(match head.framing()? {
        Framing::Chunks => Stage::ChunkLine,
        Framing::Length(n) => Stage::Length(n),
    })
}

/// The length at the start of a line of chunked coding.
fn chunk_length(line: &[u8]) -> Option<u64> {
    let line = trimmed(line);
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let text = std::str::from_utf8(&line[..digits]).ok()?;
    u64::from_str_radix(text, 16).ok()
}

const METHOD_MAX: usize = 20;
/// A request line of a known method that is as long as this is one.
const LONG_LINE: usize = 256;
/// Longest line of chunked coding.
const LINE_MAX: usize = 1024;
/// Bytes of an answer that tell whether it has a head.
const STATUS: usize = 12;
/// Requests that wait for their answers.
const ASKED_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::super::known::tests::Rig;
    use super::super::message::Wishes;
    use super::super::peek::Wire;
    use super::*;
    use std::io::Write;

    fn rig() -> Rig {
        let wishes = Wishes {
            all: true,
            bodies: true,
        };
        Rig {
            wishes,
            ..Rig::default()
        }
    }

    /// Both halves in turn, in pieces of `step`.
    fn play(rig: &mut Rig, steps: &[(usize, &[u8])], step: usize) -> Http {
        let mut http = Http::default();
        for (half, bytes) in steps {
            for piece in bytes.chunks(step) {
                http.bytes(&mut rig.ctx(), *half, piece);
            }
        }
        http
    }

    /// Messages, the parts of a body as one.
    fn joined(heard: &[String]) -> Vec<String> {
        let is_body = |text: &String| !text.contains("HTTP/") && text.len() > 2;
        let mut all: Vec<String> = vec![];
        for text in heard {
            match all.last_mut() {
                Some(last) if is_body(text) && is_body(last) => last.push_str(&text[2..]),
                _ => all.push(text.clone()),
            }
        }
        all
    }

    #[test]
    fn a_line_alone_is_a_request_and_all_that_is_answered_a_body() {
        for step in [1, 3, 100] {
            let mut rig = rig();
            play(
                &mut rig,
                &[(0, b"GET /a\r\n"), (1, b"HTTP/1.0 200 OK\r\n\r\nx")],
                step,
            );
            assert_eq!(rig.heard.0[..2], ["0 GET /a  0", "1    0"], "{step}");
            let body: String = rig.heard.0[2..].iter().map(|b| &b[2..]).collect();
            assert_eq!(body, "HTTP/1.0 200 OK\r\n\r\nx", "{step}");
        }
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
    fn one_request_names_the_conversation() {
        let mut rig = Rig::default();
        let request = b"GET /x HTTP/1.1\r\nUser-Agent: me\r\nHost: WWW.Example.com:8080\r\n\r\n";
        for step in [1, 5, 100] {
            let http = play(&mut rig, &[(0, request)], step);
            assert_eq!(http.halves.each_ref().map(|h| h.stage), [Stage::Done; 2]);
        }
        assert_eq!(rig.known.expect("told").server_name, b"www.example.com");
        assert_eq!(rig.heard.0[0], "0 GET /x HTTP/1.1 2");
        for n in 0..request.len() {
            let mut http = Http::default();
            let mut rig = Rig::default();
            assert!(http.bytes(&mut rig.ctx(), 0, &request[..n]), "{n}");
        }
    }

    #[test]
    fn requests_in_a_row_with_bodies_of_each_kind() {
        let asked = b"POST /a HTTP/1.1\r\nContent-Length: 4\r\n\r\nbody\
            HEAD /b HTTP/1.1\r\n\r\nGET /c HTTP/1.1\r\n\r\nGET /d HTTP/1.0\r\n\r\n";
        let answered =
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
            5;x=y\r\nhello\r\n3\r\nyou\r\n0\r\nTrailer: 1\r\n\r\n\
            HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n\
            HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n\
            HTTP/1.0 200 OK\r\n\r\nto the end";
        for step in [1, 2, 7, 1000] {
            let mut rig = rig();
            play(&mut rig, &[(0, asked), (1, answered)], step);
            let want = [
                "0 POST /a HTTP/1.1 1",
                "0 body",
                "0 ",
                "0 HEAD /b HTTP/1.1 0",
                "0 GET /c HTTP/1.1 0",
                "0 GET /d HTTP/1.0 0",
                "1 HTTP/1.1 100 Continue 0",
                "1 HTTP/1.1 200 OK 1",
                "1 helloyou",
                "1 ",
                "1 HTTP/1.1 200 OK 1",
                "1 HTTP/1.1 304 Not Modified 1",
                "1 HTTP/1.0 200 OK 0",
                "1 to the end",
            ];
            assert_eq!(joined(&rig.heard.0), want, "{step}");
        }
    }

    #[test]
    fn what_stands_behind_a_body_in_its_piece_is_more_of_it() {
        let asked = b"POST /a HTTP/1.1\r\n\r\nmore\r\nGET /b HTTP/1.1\r\n\r\n";
        let answered =
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokmore\nand\nHTTP/1.1 204 No\r\n\r\n";
        let mut rig = rig();
        play(&mut rig, &[(0, asked), (1, answered)], 1000);
        let want = [
            "0 POST /a HTTP/1.1 0",
            "0 more\r\n",
            "0 ",
            "0 GET /b HTTP/1.1 0",
            "1 HTTP/1.1 200 OK 1",
            "1 okmore\nand\n",
            "1 ",
            "1 HTTP/1.1 204 No 0",
        ];
        assert_eq!(joined(&rig.heard.0), want);
    }

    #[test]
    fn what_is_no_brotli_is_told_as_it_came() {
        let answered = b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n\r\n<html>plain";
        for step in [1, 5, 1000] {
            let mut rig = rig();
            let mut http = play(&mut rig, &[(1, answered)], step);
            http.end(&mut rig.ctx(), 1);
            assert_eq!(joined(&rig.heard.0)[1], "1 <html>plain", "{step}");
        }
    }

    #[test]
    fn bodies_are_unpacked() {
        let text = b"a text that is packed, packed, packed";
        let level = flate2::Compression::default();
        let mut gzip = flate2::write::GzEncoder::new(vec![], level);
        let mut zlib = flate2::write::ZlibEncoder::new(vec![], level);
        let mut raw = flate2::write::DeflateEncoder::new(vec![], level);
        gzip.write_all(text)
            .and(zlib.write_all(text))
            .and(raw.write_all(text))
            .expect("packed");
        // RFC 7932: a window of 16 bits, one uncompressed meta-block, the last empty one
        let n = text.len() - 1;
        let mut brotli = vec![(n << 4) as u8, (n >> 4) as u8, 0x10];
        brotli.extend(text);
        brotli.push(3);
        let packed = [
            ("gzip", gzip.finish()),
            ("deflate", zlib.finish()),
            ("deflate", raw.finish()),
            ("br", Ok(brotli)),
        ];
        for (coding, bytes) in packed {
            let bytes = bytes.expect("packed");
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Encoding: {coding}\r\nContent-Length: {}\r\n\r\n",
                bytes.len()
            );
            for step in [1, 10, 1000] {
                let mut rig = rig();
                play(&mut rig, &[(1, &[head.as_bytes(), &bytes].concat())], step);
                let said = joined(&rig.heard.0);
                assert_eq!(
                    said[1],
                    format!("1 {}", String::from_utf8_lossy(text)),
                    "{coding} {step}"
                );
                assert_eq!(said.len(), 3, "{coding} {step}");
            }
        }
    }

    #[test]
    fn a_bomb_is_given_up_and_counted() {
        let mut gzip = flate2::write::GzEncoder::new(vec![], flate2::Compression::best());
        for _ in 0..64 {
            gzip.write_all(&[0; 1 << 16]).expect("packed");
        }
        let bomb = gzip.finish().expect("packed");
        let head = format!(
            "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
            bomb.len()
        );
        let mut rig = rig();
        rig.settings.inflation_max = 100;
        play(
            &mut rig,
            &[
                (1, &[head.as_bytes(), &bomb].concat()),
                (1, b"HTTP/1.1 204 x\r\n\r\n"),
            ],
            500,
        );
        let told: usize = rig.heard.0.iter().map(String::len).sum();
        assert!(told < 300_000, "{told}");
        assert_eq!(rig.tally.count(Outcome::AppBudgets), 1);
        assert!(
            rig.heard.0.last().expect("one").contains("204"),
            "it goes on behind it"
        );
    }

    #[test]
    fn endless_heads_and_lines_are_given_up() {
        let mut rig = rig();
        rig.settings.header_bytes_max = 1000;
        let http = play(
            &mut rig,
            &[(0, b"GET / HTTP/1.1\r\n"), (0, &[b'a'; 2000])],
            300,
        );
        assert_eq!(
            (http.halves[0].stage, rig.tally.count(Outcome::AppBudgets)),
            (Stage::Done, 1)
        );
        assert!(http.room() < 3000);
        let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let http = play(&mut rig, &[(1, head), (1, &[b'0'; 3000])], 300);
        assert_eq!(
            (http.halves[1].stage, rig.tally.count(Outcome::AppBudgets)),
            (Stage::Done, 2)
        );
        let many = "a: b\r\n".repeat(100);
        rig.settings.headers_max = 40;
        play(
            &mut rig,
            &[(0, format!("GET / HTTP/1.1\r\n{many}\r\n").as_bytes())],
            5000,
        );
        assert_eq!(rig.heard.0.last().expect("one"), "0 GET / HTTP/1.1 40");
        assert_eq!(rig.tally.count(Outcome::AppBudgets), 3);
    }

    #[test]
    fn a_gap_in_a_body_of_known_length_is_passed() {
        let mut rig = rig();
        let mut http = Http::default();
        let head = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc";
        http.bytes(&mut rig.ctx(), 1, head);
        assert!(http.gap(1, 90, true));
        http.bytes(
            &mut rig.ctx(),
            1,
            b"0123456HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
        );
        assert_eq!(rig.heard.0.last().expect("one"), "1 HTTP/1.1 404 No 1");
        // behind other holes a head is looked for where a piece begins
        assert!(http.gap(1, 7, true));
        let known = rig.heard.0.len();
        http.bytes(&mut rig.ctx(), 1, b"the rest of something\r\n\r\n");
        assert_eq!(rig.heard.0.len(), known);
        let found = b"HTTP/1.1 302 Found\r\nContent-Length: 5\r\n\r\n";
        http.bytes(&mut rig.ctx(), 1, found);
        assert!(http.gap(1, 5, true));
        http.bytes(&mut rig.ctx(), 1, b"HTTP/1.1 200 OK\r\n\r\n");
        assert!(rig.heard.0.iter().any(|h| h.starts_with("1 HTTP/1.1 302")));
        assert_eq!(rig.heard.0.last().expect("one"), "1 HTTP/1.1 200 OK 0");
    }

    #[test]
    fn what_the_grammar_forbids_is_read_nevertheless() {
        let mut rig = Rig::default();
        play(
            &mut rig,
            &[(
                0,
                b"GET /a b HTTP/1.1\r\nBad name : x\r\nHost:h.example\r\n\r\n",
            )],
            100,
        );
        assert_eq!(rig.known.expect("told").server_name, b"h.example");
    }

    #[test]
    fn an_upgrade_to_the_second_version() {
        let mut rig = rig();
        let asked =
            b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
        let mut http = Http::default();
        http.bytes(&mut rig.ctx(), 0, &asked[..45]);
        http.bytes(
            &mut rig.ctx(),
            1,
            b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\n\r\n",
        );
        http.bytes(&mut rig.ctx(), 0, &asked[45..]);
        // HEADERS of stream 1: :status 200
        http.bytes(&mut rig.ctx(), 1, b"\0\0\x01\x01\x04\0\0\0\x01\x88");
        assert_eq!(rig.heard.0.last().expect("one"), "1 HTTP/2 200  0");
    }

    #[test]
    fn request_and_status_lines_are_known_and_others_are_not() {
        let is = |v: Verdict| matches!(v, Verdict::Is(AppProto::Http, _));
        for b in [
            &b"GET / HTTP/1.0\r\n"[..],
            b"HTTP/1.1 200",
            b"BREW /pot HTTP/1.1\n",
            b"CONNECT a:1 HTTP/1.1\r\n",
        ] {
            assert!(is(peek(b)), "{b:?}");
        }
        assert!(is(peek(&[b"GET /", &[b'a'; 400][..]].concat())));
        for b in [&b""[..], b"G", b"GET", b"GET /abc", b"HTT", b"PRI * H"] {
            assert_eq!(peek(b), Verdict::More, "{b:?}");
        }
        for b in [
            &b"EHLO x\r\n"[..],
            b"OPTIONS sip:x SIP/2.0\r\n",
            b"get / HTTP/1.1\r\n",
            b"\x16\x03\x01",
            b"USER x\r\n",
        ] {
            assert_eq!(peek(b), Verdict::No, "{b:?}");
        }
        assert_eq!(
            peek(b"PRI * HTTP/2.0\r\n\r\nSM"),
            Verdict::Is(AppProto::Http2, Confidence::SURE)
        );
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_is_taken(
            pieces in proptest::collection::vec((0usize..2, "(GET |POST /|HTTP/1.1 |200 |Transfer-Encoding: chunked\r\n|Content-Length: 5\r\n|\r\n|[0-9a-f]{1,8}|\\PC{0,9}){0,6}"), 0..20),
        ) {
            let (mut rig, mut http) = (rig(), Http::default());
            for (half, text) in pieces {
                http.bytes(&mut rig.ctx(), half, text.as_bytes());
            }
        }
    }
}
