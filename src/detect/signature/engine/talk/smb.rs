//! SMB 1 and 2 ([MS-CIFS], [MS-SMB2]): what is written to files and read from them.

use super::Said;

/// What is kept of a connection.
#[derive(Debug, Default)]
pub(super) struct Smb {
    waiting: [Vec<u8>; 2],
    /// Bytes of the file of each direction.
    files: [Vec<u8>; 2],
}

impl Smb {
    /// Memory that it takes beside itself.
    pub fn room(&self) -> usize {
        let kept = self.waiting.iter().chain(&self.files);
        kept.map(Vec::capacity).sum()
    }
}

impl Said {
    /// Bytes of a connection.
    pub(super) fn smb(&mut self, half: usize, bytes: &[u8]) {
        let mut waiting = std::mem::take(&mut self.more().smb.waiting[half]);
        waiting.extend_from_slice(bytes);
        let mut rest = &waiting[..];
        // session messages (RFC 1002 section 4.3.1)
        while let Some(head) = rest.first_chunk::<4>() {
            let len = u32::from_be_bytes([0, head[1] & 1, head[2], head[3]]) as usize;
            let Some(message) = rest.get(4..4 + len) else {
                break;
            };
            if head[0] == 0 {
                self.smb_message(half, message);
            }
            rest = &rest[4 + len..];
        }
        let rest = if rest.len() > WAITING_MAX { &[] } else { rest };
        self.more().smb.waiting[half] = rest.to_vec();
    }

    fn smb_message(&mut self, half: usize, message: &[u8]) {
        match message.first_chunk::<4>() {
            Some(b"\xffSMB") => self.smb1(half, message),
            Some(b"\xfeSMB") => self.smb2(half, message),
            _ => {}
        }
    }

    /// One message of SMB 1, and the commands that follow in it ([MS-CIFS] 2.2.3.4).
    fn smb1(&mut self, half: usize, message: &[u8]) {
        let Some(mut command) = message.get(4).copied() else {
            return;
        };
        let mut at = 32;
        for _ in 0..ANDX_MAX {
            let Some(words) = message.get(at).map(|n| usize::from(*n) * 2) else {
                return;
            };
            let Some(params) = message.get(at + 1..at + 1 + words) else {
                return;
            };
            let word = |n: usize| {
                let b = params.get(n..n + 2)?;
                Some(u16::from_le_bytes([b[0], b[1]]) as usize)
            };
            let data = match (command, half) {
                // READ_ANDX answer: length at 10, offset at 12, high part of the length at 14
                (0x2e, 1) if words >= 24 => {
                    let len = word(10).zip(word(14)).map(|(l, h)| h << 16 | l);
                    word(12).zip(len)
                }
                // WRITE_ANDX: length at 20, offset at 22, high part of the length at 18
                (0x2f, 0) if words >= 24 => {
                    let len = word(20).zip(word(18)).map(|(l, h)| h << 16 | l);
                    word(22).zip(len)
                }
                _ => None,
            };
            if let Some((from, len)) = data {
                let end = from.saturating_add(len).min(message.len());
                self.smb_file(half, message.get(from..end).unwrap_or_default());
            }
            if let (0x04, 0) = (command, half) {
                self.smb_close();
            }
            let is_chained = matches!(
                command,
                0x24 | 0x2d | 0x2e | 0x2f | 0x73 | 0x74 | 0x75 | 0xa2
            );
            let (Some(next), Some(offset)) = (params.first().copied(), word(2)) else {
                return;
            };
            if !is_chained || next == 0xff || offset <= at {
                return;
            }
            (command, at) = (next, offset);
        }
    }

    /// Messages of SMB 2 that may follow each other ([MS-SMB2] 2.2.1).
    fn smb2(&mut self, half: usize, mut message: &[u8]) {
        for _ in 0..ANDX_MAX {
            let long = |at: usize| {
                let b = message.get(at..at + 4)?;
                Some(u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize)
            };
            let Some((head, next)) = message.get(..64).zip(long(20)) else {
                return;
            };
            let command = u16::from_le_bytes([head[12], head[13]]);
            let data = match (command, half) {
                // READ answer: offset at 2, length at 4
                (8, 1) => message.get(66).map(|n| usize::from(*n)).zip(long(68)),
                // WRITE: offset at 2, length at 4
                (9, 0) => message
                    .get(66..68)
                    .map(|b| usize::from(u16::from_le_bytes([b[0], b[1]])))
                    .zip(long(68)),
                _ => None,
            };
            if let Some((from, len)) = data {
                let end = from.saturating_add(len).min(message.len());
                self.smb_file(half, message.get(from..end).unwrap_or_default());
            }
            if (command, half) == (6, 0) {
                self.smb_close();
            }
            match message.get(next..) {
                Some(rest) if next > 0 => message = rest,
                _ => return,
            }
        }
    }

    /// Further bytes of the file of a direction.
    fn smb_file(&mut self, half: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let room = self
            .limits
            .body_max
            .saturating_sub(self.more().smb.files[half].len());
        self.more().smb.files[half].extend_from_slice(&bytes[..bytes.len().min(room)]);
        let file = std::mem::take(&mut self.more().smb.files[half]);
        self.tell_file(half, &file, false);
        self.more().smb.files[half] = file;
    }

    /// A file is closed.
    fn smb_close(&mut self) {
        self.more().smb.files.iter_mut().for_each(Vec::clear);
        self.units.iter_mut().for_each(|u| u.is_whole = true);
    }
}

/// Bytes of a message that is waited for.
const WAITING_MAX: usize = 1 << 18;
/// Commands of one message.
const ANDX_MAX: usize = 16;
