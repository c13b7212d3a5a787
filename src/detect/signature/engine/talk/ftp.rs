//! FTP (RFC 959): commands and replies; files on their own connections.

use super::super::super::buffer::Buffer;
use super::{Said, what_waits};
use crate::model::Addr;

/// What is kept of a connection.
#[derive(Debug, Default)]
pub(super) struct Ftp {
    waiting: [Vec<u8>; 2],
    looked_at: usize,
}

impl Said {
    /// Bytes of a control connection.
    pub(super) fn ftp(&mut self, half: usize, bytes: &[u8]) {
        let mut waiting = std::mem::take(&mut self.more().ftp.waiting[half]);
        waiting.extend_from_slice(bytes);
        let mut rest = &waiting[..];
        let client = self.client;
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            let line = rest[..end].trim_ascii_end();
            rest = &rest[end + 1..];
            let unit = self.begin(half);
            unit.is_whole = true;
            if half == 1 {
                unit.add(REPLY, line);
                continue;
            }
            let at = line.iter().position(|b| *b == b' ').unwrap_or(line.len());
            let argument = line.get(at + 1..).unwrap_or_default();
            if line[..at].eq_ignore_ascii_case(b"PORT")
                && address_of(argument).is_some_and(|a| a != client)
            {
                unit.word("ftpbounce", "");
            }
            unit.add(COMMAND, &line[..at]);
            if let Some(data) = line.get(at + 1..) {
                unit.add(DATA, data);
            }
        }
        let is_long = rest.len() > LINE_MAX;
        let rest = if is_long { &[] } else { rest };
        let left = rest.len();
        self.more().ftp.waiting[half] = what_waits(waiting, left);
        if is_long {
            let unit = self.begin(half);
            unit.is_whole = true;
            unit.word(
                match half {
                    0 => "ftp.request_command_too_long",
                    _ => "ftp.response_command_too_long",
                },
                "",
            );
        }
    }

    /// Bytes of a file.
    pub(super) fn ftp_data(&mut self, half: usize, bytes: &[u8]) {
        let room = self.limits.body_max.saturating_sub(self.file.len());
        self.file.extend_from_slice(&bytes[..bytes.len().min(room)]);
        let fresh = self.file.len() - self.more().ftp.looked_at;
        if fresh >= self.limits.body_step || room <= bytes.len() && fresh > 0 {
            self.tell_ftp_data(half, false);
        }
    }

    /// The file is whole.
    pub(super) fn ftp_data_end(&mut self, half: usize) {
        if !self.file.is_empty() {
            self.tell_ftp_data(half, true);
            self.file.clear();
        }
    }

    fn tell_ftp_data(&mut self, half: usize, is_whole: bool) {
        self.more().ftp.looked_at = self.file.len();
        let file = std::mem::take(&mut self.file);
        self.tell_file(half, &file, is_whole);
        self.file = file;
    }
}

/// The address in the argument of PORT: `h1,h2,h3,h4,p1,p2` (RFC 959 section 4.1.2).
fn address_of(argument: &[u8]) -> Option<Addr> {
    let text = std::str::from_utf8(argument).ok()?;
    let mut numbers = text.split(',').map(|n| n.trim().parse::<u8>());
    let mut octets = [0; 4];
    for octet in &mut octets {
        *octet = numbers.next()?.ok()?;
    }
    Some(Addr::from_v4(octets))
}

const COMMAND: Buffer = Buffer::named("ftp.command");
const DATA: Buffer = Buffer::named("ftp.command_data");
const REPLY: Buffer = Buffer::named("ftp.reply");
const LINE_MAX: usize = 4096;
