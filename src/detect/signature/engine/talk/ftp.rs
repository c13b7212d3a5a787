//! FTP (RFC 959): commands and replies; files on their own connections.

use super::super::super::buffer::Buffer;
use super::Said;

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
            unit.add(COMMAND, &line[..at]);
            if let Some(data) = line.get(at + 1..) {
                unit.add(DATA, data);
            }
        }
        let rest = if rest.len() > LINE_MAX { &[] } else { rest };
        self.more().ftp.waiting[half] = rest.to_vec();
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

const COMMAND: Buffer = Buffer::named("ftp.command");
const DATA: Buffer = Buffer::named("ftp.command_data");
const REPLY: Buffer = Buffer::named("ftp.reply");
const LINE_MAX: usize = 4096;
