//! SMTP (RFC 5321): commands, and what mails carry.

use super::super::super::buffer::Buffer;
use super::{FILE, Said, files, mime};

/// What is kept of a connection.
#[derive(Debug, Default)]
pub(super) struct Mail {
    waiting: Vec<u8>,
    message: Vec<u8>,
    in_message: bool,
    /// Bytes of messages in chunks that are to come (RFC 3030).
    chunk: usize,
    is_last_chunk: bool,
    looked_at: usize,
    /// Bytes of the message are missing.
    is_broken: bool,
    /// What the client calls itself.
    helo: Vec<u8>,
}

impl Mail {
    /// Memory that it takes beside itself.
    pub fn room(&self) -> usize {
        self.waiting.capacity() + self.message.capacity() + self.helo.capacity()
    }

    /// Bytes of a direction are missing: the next line begins anywhere.
    pub fn gap(&mut self, half: usize) {
        if half == 0 {
            self.waiting = vec![];
            self.is_broken = true;
        }
    }
}

impl Said {
    /// Bytes of a client.
    pub(super) fn mail(&mut self, bytes: &[u8]) {
        let mut waiting = std::mem::take(&mut self.more().mail.waiting);
        waiting.extend_from_slice(bytes);
        let mut rest = &waiting[..];
        while !rest.is_empty() {
            if self.more().mail.chunk > 0 {
                let n = self.more().mail.chunk.min(rest.len());
                self.keep(&rest[..n]);
                self.more().mail.chunk -= n;
                rest = &rest[n..];
                if self.more().mail.chunk == 0 && self.more().mail.is_last_chunk {
                    self.mail_end();
                }
                continue;
            }
            let Some(end) = rest.iter().position(|b| *b == b'\n') else {
                break;
            };
            let (line, tail) = rest.split_at(end + 1);
            rest = tail;
            if self.more().mail.in_message {
                self.mail_line(line);
            } else {
                self.mail_command(line.trim_ascii_end());
            }
        }
        let left = rest.len();
        self.more().mail.waiting = self.wait_for(waiting, left, LINE_MAX);
    }

    fn mail_command(&mut self, line: &[u8]) {
        self.line(0, line);
        let upper = line[..line.len().min(16)].to_ascii_uppercase();
        let value = |skip: usize| line.get(skip..).unwrap_or_default().trim_ascii();
        match upper.as_slice() {
            u if u.starts_with(b"HELO ") || u.starts_with(b"EHLO ") => {
                self.open(0).add(HELO, value(5));
                self.more().mail.helo = value(5)[..value(5).len().min(HELO_MAX)].to_vec();
            }
            u if u.starts_with(b"MAIL FROM:") => {
                let helo = std::mem::take(&mut self.more().mail.helo);
                let unit = self.open(0);
                unit.add(FROM, address(value(10)));
                // it holds for all mails of a connection
                if unit.values(HELO).next().is_none() {
                    unit.tell("smtp.helo", &helo);
                }
                self.more().mail.helo = helo;
            }
            u if u.starts_with(b"RCPT TO:") => {
                self.open(0).add(TO, address(value(8)));
            }
            b"DATA" => {
                self.more().mail.in_message = true;
                let mail = &mut self.more().mail;
                mail.message.clear();
                (mail.looked_at, mail.is_broken) = (0, false);
            }
            u if u.starts_with(b"BDAT ") => {
                let text = String::from_utf8_lossy(value(5)).to_ascii_uppercase();
                let size = text.split(' ').next().and_then(|n| n.parse().ok());
                self.more().mail.chunk = size.unwrap_or(0);
                self.more().mail.is_last_chunk = text.ends_with("LAST");
            }
            b"QUIT" | b"RSET" => self.open(0).is_whole = true,
            _ => {}
        }
    }

    fn mail_line(&mut self, line: &[u8]) {
        if line.trim_ascii_end() == b"." && line.starts_with(b".") {
            self.more().mail.in_message = false;
            self.mail_end();
            return;
        }
        // a dot at the start of a line is sent twice
        let line = match line {
            [b'.', rest @ ..] => rest,
            _ => line,
        };
        self.keep(line);
        if self.more().mail.message.len() - self.more().mail.looked_at >= self.limits.body_step {
            self.tell_mail(false);
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        // what is encoded is longer than what it says
        let room = (2 * self.limits.body_max).saturating_sub(self.more().mail.message.len());
        let part = &bytes[..bytes.len().min(room)];
        self.more().mail.message.extend_from_slice(part);
    }

    fn mail_end(&mut self) {
        self.tell_mail(true);
        self.more().mail.message.clear();
        self.more().mail.looked_at = 0;
    }

    fn tell_mail(&mut self, is_whole: bool) {
        self.more().mail.looked_at = self.more().mail.message.len();
        let mut contents = vec![];
        mime::contents(&self.more().mail.message, 0, &mut contents);
        let limit = self.limits.body_max;
        if is_whole {
            let message = std::mem::take(&mut self.more().mail.message);
            let unit = self.open(0);
            mime::summary(&message, |key, value| unit.tell(key, value));
            self.more().mail.message = message;
        }
        // what is missing is in no digest
        let all = is_whole && !self.more().mail.is_broken;
        let unit = self.open(0);
        for (name, content) in contents.iter().filter(|c| all && !c.0.is_empty()) {
            files::whole(unit, name, content);
        }
        for (n, (_, content)) in contents.iter().enumerate() {
            let content = &content[..content.len().min(limit)];
            match n {
                0 => unit.replace_all(FILE, content),
                _ => unit.add(FILE, content),
            }
        }
        unit.is_whole |= is_whole;
    }
}

/// What stands between angle brackets.
fn address(text: &[u8]) -> &[u8] {
    let inner = text.split(|b| *b == b'<').nth(1).unwrap_or(text);
    inner.split(|b| *b == b'>').next().unwrap_or(inner)
}

const HELO: Buffer = Buffer::named("smtp.helo");
const FROM: Buffer = Buffer::named("smtp.mail_from");
const TO: Buffer = Buffer::named("smtp.rcpt_to");
/// Bytes of a client's name that are kept.
const HELO_MAX: usize = 256;
/// Longest line that is waited for.
const LINE_MAX: usize = 16_384;
