//! HTTP: heads and bodies to the buffers of requests and answers.

use super::super::super::buffer::Buffer;
use super::super::unit::Unit;
use super::files::{self, FileFacts};
use super::upgrade::Upgrade;
use super::{FILE, Said, heads, mime, uri};
use crate::model::AppProto;
use crate::reassemble::app::Head;
use std::borrow::Cow;
use std::collections::VecDeque;

/// What is kept of a connection.
#[derive(Debug, Default)]
pub(super) struct Http {
    bodies: [Body; 2],
    /// Names of what was asked for and not answered yet, where rules ask for names of files.
    asked: VecDeque<Vec<u8>>,
    /// The last answer is an interim one.
    is_interim: bool,
    /// And says that a body may come: the answer to that takes its place, as in libhtp.
    is_continue: bool,
}

/// The body of one direction.
#[derive(Debug, Default)]
struct Body {
    bytes: Vec<u8>,
    /// Bytes that rules were tried with.
    known: usize,
    /// It is a file: what is uploaded, or an answer.
    is_file: bool,
    /// What parts the files of a form.
    boundary: Option<Vec<u8>>,
    is_open: bool,
    /// Bytes of it are missing.
    is_broken: bool,
    /// The name of the file, and what is known of all of it.
    name: Vec<u8>,
    facts: FileFacts,
}

impl Http {
    /// Memory that it takes beside itself.
    pub fn room(&self) -> usize {
        let asked = self
            .asked
            .iter()
            .map(|n| n.capacity() + size_of::<Vec<u8>>());
        let bodies = self.bodies.iter().map(|b| {
            let boundary = b.boundary.as_ref().map_or(0, Vec::capacity);
            b.bytes.capacity() + b.name.capacity() + boundary + b.facts.room()
        });
        asked.chain(bodies).sum()
    }

    /// Bytes of a direction are missing.
    pub fn gap(&mut self, half: usize) {
        let body = &mut self.bodies[half];
        if body.is_open {
            body.is_broken = true;
            body.facts.broken();
        }
    }
}

/// The fields of a head, those of one name joined.
struct Fields<'a> {
    line: Cow<'a, [u8]>,
    raw: Cow<'a, [u8]>,
    list: Vec<(&'a [u8], Cow<'a, [u8]>)>,
}

impl<'a> Fields<'a> {
    fn of(head: &'a Head<'a>) -> Self {
        let end = head.raw.iter().position(|b| matches!(b, b'\r' | b'\n'));
        let (line, rest) = head.raw.split_at(end.unwrap_or(head.raw.len()));
        let breaks = match rest {
            [b'\r', b'\n', ..] => 2,
            rest => rest.len().min(1),
        };
        let mut list: Vec<(&'a [u8], Cow<'a, [u8]>)> = Vec::with_capacity(head.headers.len());
        for (name, value) in head.headers {
            let same = |f: &&mut (&[u8], Cow<'_, [u8]>)| f.0.eq_ignore_ascii_case(name);
            match list.iter_mut().find(same) {
                Some((_, all)) => {
                    let all = all.to_mut();
                    all.extend_from_slice(b", ");
                    all.extend_from_slice(value);
                }
                None => list.push((name, Cow::Borrowed(value))),
            }
        }
        Fields {
            line: Cow::Borrowed(line),
            raw: Cow::Borrowed(&rest[breaks..]),
            list,
        }
        .of_stream(head)
    }

    /// What HTTP/2 has in place of a first line and of raw lines.
    fn of_stream(mut self, head: &Head<'a>) -> Self {
        if head.stream > 0 {
            let [a, b, c] = head.first;
            let line = match a == b"HTTP/2" {
                true => [a, b" ", b, b"\r\n"].concat(),
                false => [a, b" ", b, b" ", c, b"\r\n"].concat(),
            };
            let raw = |(name, value): &(&[u8], &[u8])| [name, &b": "[..], value, b"\r\n"].concat();
            let own = own_field(head).into_iter();
            let fields = own.chain(head.headers.iter().copied());
            let raw = fields.flat_map(|f| raw(&f)).collect();
            (self.line, self.raw) = (Cow::Owned(line), Cow::Owned(raw));
        }
        self
    }

    /// The parts of the first line, as they were sent.
    fn words(&self, head: &Head<'a>) -> [&[u8]; 3] {
        let words = match head.stream {
            0 => words(&self.line),
            _ => None,
        };
        words.unwrap_or(head.first)
    }

    fn get(&self, name: &str) -> Option<&[u8]> {
        let found = self
            .list
            .iter()
            .find(|f| f.0.eq_ignore_ascii_case(name.as_bytes()));
        found.map(|f| f.1.as_ref())
    }

    /// The buffers that requests and answers share.
    fn tell(&self, unit: &mut Unit, cookie: &str, each: Buffer) {
        self.tell_lines(unit, cookie, each);
        unit.add(HEADER_RAW, &self.raw);
        if let Some(value) = self.get(cookie) {
            unit.add(COOKIE, value);
        }
        for (name, buffer) in SHARED {
            if let Some(value) = self.get(name) {
                unit.add(*buffer, value);
            }
        }
    }

    /// The buffers that are put together of all fields.
    fn tell_lines(&self, unit: &mut Unit, cookie: &str, each: Buffer) {
        if ![HEADER, HEADER_NAMES, START, each]
            .iter()
            .any(|b| unit.wants(*b))
        {
            return;
        }
        let is_cookie = |n: &[u8]| n.eq_ignore_ascii_case(cookie.as_bytes());
        let (mut header, mut names) = (vec![], b"\r\n".to_vec());
        let mut start = [&self.line, &b"\r\n"[..]].concat();
        let mut line = vec![];
        if let Some(status) = self.line.strip_prefix(b"HTTP/2 ") {
            header.extend_from_slice(&[b":status: ", status].concat());
            names.extend_from_slice(b":status\r\n");
        }
        for (name, value) in &self.list {
            line.clear();
            line.extend_from_slice(name);
            line.extend_from_slice(b": ");
            line.extend_from_slice(value);
            names.extend_from_slice(name);
            names.extend_from_slice(b"\r\n");
            unit.add(each, &line);
            line.extend_from_slice(b"\r\n");
            start.extend_from_slice(&line);
            if !is_cookie(name) {
                header.extend_from_slice(&line);
            }
        }
        names.extend_from_slice(b"\r\n");
        start.extend_from_slice(b"\r\n");
        if !header.is_empty() {
            unit.add(HEADER, &header);
        }
        if names.len() > b"\r\n\r\n".len() {
            unit.add(HEADER_NAMES, &names);
        }
        if !self.line.is_empty() {
            unit.add(START, &start);
        }
    }
}

impl Said {
    /// A request.
    pub(super) fn request(&mut self, half: usize, head: &Head<'_>) {
        let fields = Fields::of(head);
        let [method, target, version] = fields.words(head);
        self.begin_message(half);
        let content_type = fields.get("content-type").unwrap_or_default();
        let body = &mut self.http.bodies[half];
        body.is_file = matches!(method, b"POST" | b"PUT");
        body.boundary = mime::boundary(content_type);
        if self.limits.wanted.files {
            let path = match method {
                b"CONNECT" => vec![],
                _ => uri::normal(target),
            };
            let end = path.iter().position(|b| *b == b'?').unwrap_or(path.len());
            body.name = path[..end].to_vec();
            let name = body.name.clone();
            // without an answer to the oldest one all that follow would have the name of another
            if self.http.asked.len() >= self.limits.items_max {
                self.http.asked.pop_front();
                self.lose();
            }
            self.http.asked.push_back(name);
        }
        if method == b"CONNECT" && head.stream == 0 {
            self.upgrade = Upgrade::Asked;
        }
        let is_connect = method == b"CONNECT";
        let unit = self.begin(half);
        unit.add(METHOD, method);
        unit.add(URI_RAW, target);
        if unit.wants(URI) {
            // a host and a port are no path
            let path = if is_connect {
                vec![]
            } else {
                uri::normal(target)
            };
            unit.add(URI, &path);
        }
        unit.add(PROTOCOL, version);
        unit.add(REQUEST_LINE, &fields.line);
        let of_field = fields.get("host").or_else(|| fields.get(":authority"));
        let of_target = uri::host(target).or(is_connect.then_some(target));
        if let Some(raw) = of_target.or(of_field).filter(|_| is_whole(head)) {
            unit.add(HOST, &without_port(raw).to_ascii_lowercase());
            // of a target the port is apart
            let is_of_target = of_target.is_some();
            unit.add(HOST_RAW, if is_of_target { without_port(raw) } else { raw });
        }
        for (name, buffer) in OF_REQUESTS {
            if let Some(value) = fields.get(name) {
                unit.add(*buffer, value);
            }
        }
        let known = ["basic ", "digest ", "bearer "];
        let is_known = |v: &[u8]| {
            known.iter().any(|k| {
                v.get(..k.len())
                    .is_some_and(|s| s.eq_ignore_ascii_case(k.as_bytes()))
            })
        };
        if fields.get("authorization").is_some_and(|v| !is_known(v)) {
            unit.word("http.request_auth_unrecognized", "");
        }
        fields.tell(unit, "cookie", REQUEST_HEADER);
        header_names(unit, head);
        heads::of_request(unit, head);
    }

    /// An answer.
    pub(super) fn answer(&mut self, half: usize, head: &Head<'_>) {
        let fields = Fields::of(head);
        let [version, status, reason] = fields.words(head);
        // an answer goes on behind an interim one (RFC 9110 section 15.2)
        let goes_on = std::mem::take(&mut self.http.is_interim);
        match std::mem::take(&mut self.http.is_continue) {
            true => self.begin_body(half),
            false => self.begin_message(half),
        }
        let body = &mut self.http.bodies[half];
        (body.is_file, body.boundary) = (true, None);
        // what a proxy refuses with is nobody's file
        body.is_open = self.upgrade != Upgrade::Asked;
        if self.limits.wanted.files && !status.starts_with(b"1") {
            let asked = self.http.asked.pop_front().unwrap_or_default();
            let field = fields.get("content-disposition").unwrap_or_default();
            body.name = files::name_in(field, b"filename").unwrap_or(asked);
        }
        if self.upgrade == Upgrade::Asked {
            let agreed = status.starts_with(b"2");
            self.upgrade = if agreed {
                Upgrade::Agreed
            } else {
                Upgrade::None
            };
        }
        let is_asked = goes_on || self.begun[1] < self.begun[0];
        self.http.is_interim = status.starts_with(b"1") && status != b"101";
        self.http.is_continue = half == 1 && status == b"100";
        let unit = match (half, goes_on) {
            (1, true) => self.begin_again(1),
            (1, false) => self.begin_answer(),
            _ => self.begin(half),
        };
        unit.add(PROTOCOL, version);
        unit.add(STAT_CODE, status);
        unit.add(STAT_MSG, reason);
        unit.add(RESPONSE_LINE, &fields.line);
        for (name, buffer) in OF_ANSWERS {
            if let Some(value) = fields.get(name) {
                unit.add(*buffer, value);
            }
        }
        fields.tell(unit, "set-cookie", RESPONSE_HEADER);
        if let Some(range) = fields.get("content-range") {
            unit.tell("http.content_range", range);
        }
        header_names(unit, head);
        heads::of_answer(unit, head, is_asked);
    }

    /// Fields behind a body: they are with those of the head.
    pub(super) fn trailers(&mut self, half: usize, fields: &[(&[u8], &[u8])]) {
        let is = |u: &&mut Unit| u.direction == half && !u.is_whole;
        let Some(unit) = self.units.iter_mut().rfind(is) else {
            return;
        };
        let each = [REQUEST_HEADER, RESPONSE_HEADER][half.min(1)];
        let (mut header, mut behind) = (
            unit.values(HEADER).next().unwrap_or_default().to_vec(),
            vec![],
        );
        let mut names = unit.values(HEADER_NAMES).next().map(<[u8]>::to_vec);
        for (name, value) in fields {
            let line = [*name, b": ", value].concat();
            unit.add(each, &line);
            behind.extend_from_slice(&line);
            behind.extend_from_slice(b"\r\n");
            if let Some(names) = &mut names {
                names.truncate(names.len().saturating_sub(2));
                names.extend_from_slice(name);
                names.extend_from_slice(b"\r\n\r\n");
            }
        }
        header.extend_from_slice(&behind);
        unit.replace(HEADER, &header);
        let raw = unit.values(HEADER_RAW).next().unwrap_or_default();
        let raw = [raw, &behind].concat();
        unit.replace(HEADER_RAW, &raw);
        if let Some(names) = names {
            unit.replace(HEADER_NAMES, &names);
        }
    }

    /// A part of a body.
    pub(super) fn body(&mut self, half: usize, bytes: &[u8]) {
        let limits = self.limits;
        if !limits.wanted.has_body(half) {
            return;
        }
        let body = &mut self.http.bodies[half];
        if !body.is_open || bytes.is_empty() {
            return;
        }
        if limits.wanted.files && body.is_file && body.boundary.is_none() {
            if body.facts.is_empty() {
                body.facts = FileFacts::new(&limits.wanted);
                if body.is_broken {
                    body.facts.broken();
                }
            }
            body.facts.take(bytes);
        }
        let is = |u: &&mut Unit| u.direction == half && !u.is_whole;
        if let Some(unit) = self.units.iter_mut().rfind(is) {
            unit.body_bytes += bytes.len() as u64;
        }
        let room = limits.body_max.saturating_sub(body.bytes.len());
        body.bytes
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
        let full = body.bytes.len() >= limits.body_max;
        if body.bytes.len() - body.known >= limits.body_step || full && room > 0 {
            self.tell_body(half);
        }
    }

    /// The message is over, or the conversation is: then what came is a file, too, as with Suricata.
    pub(super) fn body_end(&mut self, half: usize) {
        if !self.http.bodies[half].is_open || half == 1 && self.http.is_continue {
            return;
        }
        self.tell_body(half);
        let body = &mut self.http.bodies[half];
        body.is_open = false;
        let is = |u: &&mut Unit| u.direction == half && !u.is_whole;
        if let Some(unit) = self.units.iter_mut().rfind(is) {
            if !body.facts.is_empty() {
                std::mem::take(&mut body.facts).tell(unit, true);
            }
            // of what was left out nothing is known
            let is_all =
                !body.is_broken && unit.wanted().files && body.bytes.len() < self.limits.body_max;
            if let Some(boundary) = body.boundary.take().filter(|_| is_all) {
                for (name, content) in mime::named_files(&body.bytes, &boundary) {
                    files::whole(unit, &name, content);
                }
            }
            unit.is_whole = true;
        }
        body.bytes.clear();
    }

    fn begin_message(&mut self, half: usize) {
        self.body_end(half);
        self.begin_body(half);
    }

    fn begin_body(&mut self, half: usize) {
        let body = &mut self.http.bodies[half];
        (body.known, body.is_open, body.is_broken) = (0, true, false);
        body.facts = FileFacts::default();
        body.name.clear();
        body.bytes.clear();
    }

    fn tell_body(&mut self, half: usize) {
        let body = &mut self.http.bodies[half];
        if body.bytes.is_empty() || body.bytes.len() == body.known {
            return;
        }
        body.known = body.bytes.len();
        let bytes = std::mem::take(&mut body.bytes);
        let (is_file, boundary) = (body.is_file, body.boundary.clone());
        let name = std::mem::take(&mut body.name);
        let is = |u: &&mut Unit| u.direction == half && !u.is_whole;
        if let Some(unit) = self.units.iter_mut().rfind(is) {
            unit.replace(
                if half == 0 {
                    REQUEST_BODY
                } else {
                    RESPONSE_BODY
                },
                &bytes,
            );
            match boundary {
                Some(boundary) => {
                    let files = mime::files(&bytes, &boundary);
                    if let Some(first) = files.first() {
                        unit.replace_all(FILE, first);
                    }
                    files.iter().skip(1).for_each(|f| unit.add(FILE, f));
                }
                None if is_file => {
                    files::begins(unit, &name);
                    // Suricata shows files that are sent to a server in HTTP/1 alone
                    if half == 1 || self.proto == AppProto::Http {
                        unit.replace(FILE, &bytes);
                    }
                }
                None => {}
            }
        }
        self.http.bodies[half].name = name;
        self.http.bodies[half].bytes = bytes;
    }
}

/// Whether the end of a head was seen: before it Suricata knows no host.
fn is_whole(head: &Head<'_>) -> bool {
    let rest = head.raw.strip_suffix(b"\n").unwrap_or_default();
    let rest = rest.strip_suffix(b"\r").unwrap_or(rest);
    head.stream > 0 || rest.ends_with(b"\n")
}

/// What stands for a status line in HTTP/2: it is no field of an answer's head here.
fn own_field<'a>(head: &Head<'a>) -> Option<(&'a [u8], &'a [u8])> {
    let [version, status, _] = head.first;
    (version == b"HTTP/2").then_some((&b":status"[..], status))
}

/// The names of the fields of HTTP/2, each, and what lines tell of it.
fn header_names(unit: &mut Unit, head: &Head<'_>) {
    if head.stream == 0 {
        return;
    }
    unit.tell("http2.stream", head.stream.to_string().as_bytes());
    let own = own_field(head);
    for (name, value) in own.iter().chain(head.headers) {
        unit.tell("http2.field", &[name, &b"\0"[..], value].concat());
    }
    if unit.wants(HEADER_NAME) {
        head.headers
            .iter()
            .for_each(|(name, _)| unit.add(HEADER_NAME, name));
    }
}

/// The three parts of a start line, as it was sent; none where there is no line.
fn words(line: &[u8]) -> Option<[&[u8]; 3]> {
    if line.is_empty() {
        return None;
    }
    let line = line.trim_ascii_start();
    let is_blank = |b: &u8| matches!(b, b' ' | b'\t');
    let first_end = line.iter().position(is_blank).unwrap_or(line.len());
    let (first, rest) = line.split_at(first_end);
    let rest = rest.trim_ascii_start();
    if first.starts_with(b"HTTP/") {
        let end = rest.iter().position(is_blank).unwrap_or(rest.len());
        return Some([first, &rest[..end], rest[end..].trim_ascii_start()]);
    }
    // the target ends with the first space; all that follows is the version, as libhtp has it
    let end = position(rest, b' ').or_else(|| rest.iter().position(is_blank));
    let (target, version) = rest.split_at(end.unwrap_or(rest.len()));
    Some([first, target, version.trim_ascii_start()])
}

fn without_port(host: &[u8]) -> &[u8] {
    let host = host.rsplit(|b| *b == b'@').next().unwrap_or(host);
    match host {
        [b'[', ..] => match position(host, b']') {
            Some(end) => &host[..=end],
            None => host,
        },
        _ => host
            .split(|b| *b == b':')
            .next()
            .unwrap_or(host)
            .trim_ascii(),
    }
}

fn position(bytes: &[u8], byte: u8) -> Option<usize> {
    bytes.iter().position(|b| *b == byte)
}

const URI: Buffer = Buffer::named("http.uri");
const URI_RAW: Buffer = Buffer::named("http.uri.raw");
const METHOD: Buffer = Buffer::named("http.method");
const PROTOCOL: Buffer = Buffer::named("http.protocol");
const REQUEST_LINE: Buffer = Buffer::named("http.request_line");
const REQUEST_BODY: Buffer = Buffer::named("http.request_body");
const RESPONSE_BODY: Buffer = Buffer::named("http.response_body");
const HEADER: Buffer = Buffer::named("http.header");
const HEADER_RAW: Buffer = Buffer::named("http.header.raw");
const HEADER_NAMES: Buffer = Buffer::named("http.header_names");
const START: Buffer = Buffer::named("http.start");
const COOKIE: Buffer = Buffer::named("http.cookie");
const HOST: Buffer = Buffer::named("http.host");
const HOST_RAW: Buffer = Buffer::named("http.host.raw");
const REQUEST_HEADER: Buffer = Buffer::named("http.request_header");
const RESPONSE_HEADER: Buffer = Buffer::named("http.response_header");
const HEADER_NAME: Buffer = Buffer::named("http2.header_name");
const STAT_CODE: Buffer = Buffer::named("http.stat_code");
const STAT_MSG: Buffer = Buffer::named("http.stat_msg");
const RESPONSE_LINE: Buffer = Buffer::named("http.response_line");

const SHARED: &[(&str, Buffer)] = &[
    ("connection", Buffer::named("http.connection")),
    ("content-type", Buffer::named("http.content_type")),
    ("content-length", Buffer::named("http.content_len")),
];
const OF_REQUESTS: &[(&str, Buffer)] = &[
    ("user-agent", Buffer::named("http.user_agent")),
    ("accept", Buffer::named("http.accept")),
    ("accept-language", Buffer::named("http.accept_lang")),
    ("accept-encoding", Buffer::named("http.accept_enc")),
    ("referer", Buffer::named("http.referer")),
];
const OF_ANSWERS: &[(&str, Buffer)] = &[
    ("server", Buffer::named("http.server")),
    ("location", Buffer::named("http.location")),
];
