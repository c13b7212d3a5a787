//! FTP (RFC 959): commands and replies; files on their own connections.

use super::super::super::buffer::Buffer;
use super::{Said, files, what_waits};
use crate::model::Addr;
use crate::reassemble::app::Transfer;

/// What is kept of a connection.
#[derive(Debug, Default)]
pub(super) struct Ftp {
    waiting: [Vec<u8>; 2],
    /// The rest of the line of a direction is not read: it is too long, which was said.
    skips: [bool; 2],
    /// The code of an answer of several lines whose last is still to come.
    several: Option<[u8; 3]>,
    /// An answer has begun that is not the last one of its command.
    is_open: bool,
    looked_at: usize,
    /// Of a data connection what it is for.
    pub(super) transfer: Option<Transfer>,
}

impl Ftp {
    /// Memory that it takes beside itself.
    pub fn room(&self) -> usize {
        let name = self.transfer.as_ref().map_or(0, |t| t.name.capacity());
        self.waiting.iter().map(Vec::capacity).sum::<usize>() + name
    }
}

impl Said {
    /// Bytes of a control connection.
    pub(super) fn ftp(&mut self, half: usize, bytes: &[u8]) {
        let mut waiting = std::mem::take(&mut self.more().ftp.waiting[half]);
        waiting.extend_from_slice(bytes);
        let mut rest = &waiting[..];
        while let Some(end) = rest.iter().position(|b| *b == b'\n') {
            let (line, tail) = rest.split_at(end + 1);
            rest = tail;
            if !std::mem::take(&mut self.more().ftp.skips[half]) {
                self.ftp_line(half, line);
            }
        }
        let mut left = rest.len();
        if left >= LINE_MAX {
            if !std::mem::replace(&mut self.more().ftp.skips[half], true) {
                self.ftp_line(half, rest);
            }
            left = 0;
        }
        self.more().ftp.waiting[half] = what_waits(waiting, left);
    }

    /// A line, or the start of one that is too long.
    fn ftp_line(&mut self, half: usize, line: &[u8]) {
        let is_long = line.len() >= LINE_MAX;
        let line = line.trim_ascii_end();
        self.line(half, line);
        let client = self.client;
        if half == 1 {
            return self.ftp_reply(line, is_long);
        }
        let unit = self.begin(0);
        unit.is_whole = true;
        if is_long {
            unit.word("ftp.request_command_too_long", "");
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

    /// A line of an answer (RFC 959 section 4.2): those of one answer, and what is said before the last one, belong to one command.
    fn ftp_reply(&mut self, line: &[u8], is_long: bool) {
        let ftp = &mut self.more().ftp;
        let code = line.first_chunk::<3>().copied();
        let code = code.filter(|c| c.iter().all(u8::is_ascii_digit));
        let goes_on = ftp.is_open;
        match (ftp.several, code) {
            (None, Some(code)) if line.get(3) == Some(&b'-') => ftp.several = Some(code),
            (Some(first), Some(code)) if first == code && line.get(3) != Some(&b'-') => {
                ftp.several = None;
            }
            _ => {}
        }
        let is_preliminary = code.is_some_and(|c| c[0] == b'1');
        ftp.is_open = ftp.several.is_some() || is_preliminary;
        let unit = match goes_on {
            true => self.begin_again(1),
            false => self.begin_answer(),
        };
        unit.is_whole = true;
        if is_long {
            unit.word("ftp.response_command_too_long", "");
        }
        unit.add(REPLY, line);
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
        if let Some(transfer) = self.more().ftp.transfer.take() {
            let unit = self.open(half);
            let command = if transfer.is_upload { "stor" } else { "retr" };
            unit.word("ftpdata_command", command);
            unit.tell("ftp.file", &transfer.name);
            unit.tell("ftp.upload", command.as_bytes());
            files::begins(unit, &transfer.name);
        }
        self.tell_file(half, &file, is_whole);
        if let Some(unit) = self.units.iter_mut().rfind(|u| u.direction == half) {
            unit.body_bytes = file.len() as u64;
        }
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
/// Bytes of a line with its end. What is as long is not read to its end, and an event (`max-line-length` of Suricata).
const LINE_MAX: usize = 4_096;
