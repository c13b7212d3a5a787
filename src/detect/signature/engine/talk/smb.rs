//! SMB 1 and 2 ([MS-CIFS], [MS-SMB2]): what is written to files and read from them, shares, who logs on, and what pipes carry.

use super::super::super::buffer::Buffer;
use super::files::{self, FileFacts};
use super::kept::Kept;
use super::{FILE, Said, dce};

/// What is kept of a connection.
#[derive(Debug, Default)]
pub(super) struct Smb {
    waiting: [Vec<u8>; 2],
    /// Where the next message of a direction begins is not known: bytes are missing.
    is_lost: [bool; 2],
    /// Files of which something came, by number and direction.
    files: Kept<File>,
    /// Names of files that are to be opened, by message; of open ones, by file; files that are read, and from where, by message; shares that
    /// are asked for.
    creates: Kept<Vec<u8>>,
    names: Kept<Vec<u8>>,
    reads: Kept<(u64, u64)>,
    trees: Kept<Vec<u8>>,
}

/// A file in one direction.
#[derive(Debug)]
struct File {
    half: usize,
    /// Its transaction in its direction.
    transaction: u64,
    bytes: Vec<u8>,
    facts: FileFacts,
    /// Where what comes next begins.
    next: u64,
}

impl Smb {
    /// Memory that it takes beside itself.
    pub fn room(&self) -> usize {
        let waiting = self.waiting.iter().map(Vec::capacity).sum::<usize>();
        let names = [&self.creates, &self.names, &self.trees];
        let names = names.map(|k| k.room(Vec::capacity)).iter().sum::<usize>();
        let files = self.files.room(|f| f.bytes.capacity() + f.facts.room());
        waiting + names + files + self.reads.room(|_| 0)
    }

    /// Bytes of a direction are missing.
    pub fn gap(&mut self, half: usize) {
        self.waiting[half] = vec![];
        self.is_lost[half] = true;
    }
}

/// What tells the file of a direction from the same one in the other.
fn number_of(half: usize, fid: u64) -> u64 {
    fid.rotate_left(1) ^ half as u64
}

impl Said {
    /// Bytes of a connection.
    pub(super) fn smb(&mut self, half: usize, bytes: &[u8]) {
        let smb = &mut self.more().smb;
        let mut waiting = std::mem::take(&mut smb.waiting[half]);
        waiting.extend_from_slice(bytes);
        let mut rest = &waiting[..];
        if smb.is_lost[half] {
            let at = memchr::memmem::find(rest, b"SMB").and_then(|n| n.checked_sub(5));
            // a message is found by its mark, behind the four octets of its length
            match at.filter(|n| matches!(rest[n + 4], 0xff | 0xfe)) {
                Some(at) => (rest, smb.is_lost[half]) = (&rest[at..], false),
                None => return,
            }
        }
        // session messages: lengths of 17 bits (RFC 1002 section 4.3.1), or of 24 without NetBIOS ([MS-SMB2] 2.1)
        while let Some(head) = rest.first_chunk::<4>() {
            let len = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
            let Some(message) = rest.get(4..4 + len) else {
                break;
            };
            if head[0] == 0 {
                self.smb_message(half, message);
            }
            rest = &rest[4 + len..];
        }
        let left = rest.len();
        self.more().smb.is_lost[half] |= left > self.limits.message_max;
        self.more().smb.waiting[half] = self.wait(waiting, left);
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
        let Some(head) = message.get(..32) else {
            return;
        };
        let mut command = head[4];
        let of = u64::from(u16::from_le_bytes([head[30], head[31]]));
        let mut at = 32;
        for _ in 0..ANDX_MAX {
            let Some(words) = message.get(at).map(|n| usize::from(*n) * 2) else {
                return;
            };
            let Some(params) = message.get(at + 1..at + 1 + words) else {
                return;
            };
            let data_at = at + 3 + words;
            self.smb1_command(half, command, params, (message, data_at), of);
            let is_chained = matches!(
                command,
                0x24 | 0x2d | 0x2e | 0x2f | 0x73 | 0x74 | 0x75 | 0xa2
            );
            let word = params.get(2..4);
            let offset = word.map(|b| usize::from(u16::from_le_bytes([b[0], b[1]])));
            let (Some(next), Some(offset)) = (params.first().copied(), offset) else {
                return;
            };
            if !is_chained || next == 0xff || offset <= at {
                return;
            }
            (command, at) = (next, offset);
        }
    }

    /// A command of SMB 1: its parameters, and where in the message its data begins; `of` is the number of the message.
    fn smb1_command(
        &mut self,
        half: usize,
        command: u8,
        params: &[u8],
        (message, data_at): (&[u8], usize),
        of: u64,
    ) {
        let word = |n: usize| {
            let b = params.get(n..n + 2)?;
            Some(usize::from(u16::from_le_bytes([b[0], b[1]])))
        };
        let file = |n: usize| word(n).map(|fid| fid as u64);
        let part = |from: Option<usize>, len: Option<usize>| {
            let (from, len) = from.zip(len)?;
            let end = from.saturating_add(len).min(message.len());
            message.get(from..end)
        };
        let long = |low: usize, high: usize| Some(word(high)? << 16 | word(low)?);
        let offset = |high: usize| {
            let low = word(8)? << 16 | word(6)?;
            let high = word(high + 2).zip(word(high)).map(|(b, a)| b << 16 | a);
            Some((high.unwrap_or(0) as u64) << 32 | low as u64)
        };
        let is_unicode = message.get(11).is_some_and(|flags| flags & 0x80 != 0);
        let data = message.get(data_at..).unwrap_or_default();
        match (command, half) {
            // READ_ANDX: whose answer has its length at 10, offset at 12, high part of the length at 14
            (0x2e, 0) => self.smb_read(of, (file(4).unwrap_or(0), offset(20).unwrap_or(0))),
            (0x2e, 1) if params.len() >= 24 => {
                let read = self.more().smb.reads.take(of).unwrap_or((0, 0));
                let bytes = part(word(12), long(10, 14)).unwrap_or_default();
                self.smb_file(half, read, bytes);
            }
            // WRITE_ANDX: length at 20, offset at 22, high part of the length at 18
            (0x2f, 0) if params.len() >= 24 => {
                let bytes = part(word(22), long(20, 18)).unwrap_or_default();
                let place = (file(4).unwrap_or(0), offset(24).unwrap_or(0));
                self.smb_file(half, place, bytes);
            }
            (0x04, 0) => self.smb_close(file(0).unwrap_or(0)),
            // NT_CREATE_ANDX: length of the name at 5, which is padded to an even place
            (0xa2, 0) => {
                let padded = data_at + usize::from(is_unicode && data_at % 2 == 1);
                let name = part(Some(padded), word(5)).unwrap_or_default();
                self.smb_create(of, name);
            }
            (0xa2, 1) => self.smb_created(of, file(5).unwrap_or(0)),
            // TRANSACTION, in pipes: count and offset of the data
            (0x25, 0) => {
                let bytes = part(word(24), word(22)).unwrap_or_default();
                self.smb_pipe(half, bytes);
            }
            (0x25, 1) => {
                let bytes = part(word(14), word(12)).unwrap_or_default();
                self.smb_pipe(half, bytes);
            }
            // TREE_CONNECT_ANDX: the password, then the path, then the service
            (0x75, 0) => {
                let path = data.get(word(6).unwrap_or(0)..).unwrap_or_default();
                let path = plain(until_nul(path, is_unicode));
                self.smb_tree(of, path);
            }
            (0x75, 1) => self.smb_tree_answer(of, data.starts_with(b"IPC")),
            (0x73, 0) => self.smb_logon(data),
            _ => {}
        }
    }

    /// Messages of SMB 2 that may follow each other ([MS-SMB2] 2.2.1).
    fn smb2(&mut self, half: usize, mut message: &[u8]) {
        for _ in 0..ANDX_MAX {
            let Some((head, body)) = message.split_at_checked(64) else {
                return;
            };
            let next = u32::from_le_bytes([head[20], head[21], head[22], head[23]]) as usize;
            self.smb2_command(half, head, body, message);
            match message.get(next..) {
                Some(rest) if next > 0 => message = rest,
                _ => return,
            }
        }
    }

    fn smb2_command(&mut self, half: usize, head: &[u8], body: &[u8], message: &[u8]) {
        let command = u16::from_le_bytes([head[12], head[13]]);
        let short = |at: usize| {
            let b = body.get(at..at + 2)?;
            Some(usize::from(u16::from_le_bytes([b[0], b[1]])))
        };
        let long = |at: usize| {
            let b = body.get(at..at + 4)?;
            Some(u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize)
        };
        let number = |bytes: &[u8], at: usize| {
            let b = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>);
            b.map_or(0, |b| u64::from_le_bytes(*b))
        };
        let file = |at: usize| number(body, at) ^ number(body, at + 8).rotate_left(32);
        let part = |from: Option<usize>, len: Option<usize>| {
            let (from, len) = from.zip(len)?;
            let end = from.saturating_add(len).min(message.len());
            message.get(from..end)
        };
        let of = number(head, 24);
        match (command, half) {
            (1, 0) => self.smb_logon(body),
            // TREE_CONNECT: place and length of the path; the answer has the kind of the share
            (3, 0) => {
                let path = plain(part(short(4), short(6)).unwrap_or_default());
                self.smb_tree(of, path);
            }
            (3, 1) => self.smb_tree_answer(of, body.get(2) == Some(&2)),
            // CREATE: place and length of the name; the answer has the number of the file
            (5, 0) => {
                let name = part(short(44), short(46)).unwrap_or_default();
                self.smb_create(of, name);
            }
            (5, 1) => self.smb_created(of, file(64)),
            (6, 0) => self.smb_close(file(8)),
            // READ: whose answer has its offset at 2, its length at 4; from where, and of which file, the request says
            (8, 0) => {
                self.smb_read(of, (file(16), number(body, 8)));
            }
            (8, 1) => {
                let read = self.more().smb.reads.take(of).unwrap_or((0, 0));
                let from = body.get(2).map(|n| usize::from(*n));
                self.smb_file(half, read, part(from, long(4)).unwrap_or_default());
            }
            // WRITE: offset of the data at 2, length at 4, place in the file at 8
            (9, 0) => {
                let bytes = part(short(2), long(4)).unwrap_or_default();
                self.smb_file(half, (file(16), number(body, 8)), bytes);
            }
            // IOCTL, in pipes: place and length of what goes in, and of what comes out
            (11, 0) => {
                self.smb_pipe(half, part(long(24), long(28)).unwrap_or_default());
            }
            (11, 1) => {
                self.smb_pipe(half, part(long(32), long(36)).unwrap_or_default());
            }
            _ => {}
        }
    }

    /// A file is to be opened.
    pub(super) fn smb_create(&mut self, of: u64, name: &[u8]) {
        let most = self.limits.items_max;
        if self.more().smb.creates.push(of, plain(name), most) {
            self.lose();
        }
    }

    /// It is open, under this number.
    fn smb_created(&mut self, of: u64, fid: u64) {
        let most = self.limits.items_max;
        if let Some(name) = self.more().smb.creates.take(of)
            && self.more().smb.names.push(fid, name, most)
        {
            self.lose();
        }
    }

    /// A file is to be read from a place in it.
    fn smb_read(&mut self, of: u64, read: (u64, u64)) {
        let most = self.limits.items_max;
        if self.more().smb.reads.push(of, read, most) {
            self.lose();
        }
    }

    /// Further bytes of a file at a place in it, or of a pipe.
    pub(super) fn smb_file(&mut self, half: usize, (fid, place): (u64, u64), bytes: &[u8]) {
        if bytes.is_empty() || self.smb_pipe(half, bytes) {
            return;
        }
        let number = number_of(half, fid);
        let mut file = match self.more().smb.files.take(number) {
            Some(file) => file,
            None => File {
                half,
                transaction: self.begin(half).transaction,
                bytes: vec![],
                facts: FileFacts::new(&self.limits.wanted),
                next: place,
            },
        };
        if place == file.next {
            let room = self.limits.body_max.saturating_sub(file.bytes.len());
            file.facts.take(bytes);
            file.bytes
                .extend_from_slice(&bytes[..bytes.len().min(room)]);
            file.next = place.saturating_add(bytes.len() as u64);
            let name = self.more().smb.names.get(fid).cloned().unwrap_or_default();
            let unit = self.unit_of(half, file.transaction);
            unit.replace(FILE, &file.bytes);
            files::begins(unit, &name);
        }
        // what lies behind a hole is not told as if it followed: for Suricata the file ends before it
        let most = self.limits.items_max;
        if self.more().smb.files.push(number, file, most) {
            self.lose();
        }
    }

    /// A file is closed.
    fn smb_close(&mut self, fid: u64) {
        self.more().smb.names.take(fid);
        for half in 0..2 {
            if let Some(file) = self.more().smb.files.take(number_of(half, fid)) {
                self.smb_over(file, true);
            }
        }
    }

    /// No more of a direction comes: its files are not whole.
    pub(super) fn smb_end(&mut self, half: usize) {
        let files = std::mem::take(&mut self.more().smb.files).into_all();
        for (number, file) in files {
            if file.half == half {
                self.smb_over(file, false);
            } else {
                let most = self.limits.items_max;
                // there is room: some of them were taken out
                let _ = self.more().smb.files.push(number, file, most);
            }
        }
    }

    fn smb_over(&mut self, mut file: File, is_all: bool) {
        let wants_files = self.limits.wanted.files;
        let unit = self.unit_of(file.half, file.transaction);
        if wants_files && !file.facts.is_empty() {
            file.facts.tell(unit, is_all);
        }
        unit.is_whole = true;
    }

    /// What a pipe carries, where that is DCE/RPC; false where it is not.
    fn smb_pipe(&mut self, half: usize, bytes: &[u8]) -> bool {
        let is_dce = dce::begins(bytes) || self.waits_for_dce(half) && !bytes.is_empty();
        if is_dce {
            self.dce_stream(half, bytes);
        }
        is_dce
    }

    /// A share is asked for. What it is, its answer says.
    fn smb_tree(&mut self, of: u64, path: Vec<u8>) {
        let wanted = self.limits.wanted;
        let most = self.limits.items_max;
        let wants = wanted.has(SHARE) || wanted.has(PIPE);
        if wants && self.more().smb.trees.push(of, path, most) {
            self.lose();
        }
    }

    fn smb_tree_answer(&mut self, of: u64, is_pipe: bool) {
        let Some(path) = self.more().smb.trees.take(of) else {
            return;
        };
        let unit = self.begin(0);
        unit.is_whole = true;
        unit.add(if is_pipe { PIPE } else { SHARE }, &path);
    }

    /// Who logs on: the third message of NTLM ([MS-NLMP] 2.2.1.3), wherever in the blob it is.
    fn smb_logon(&mut self, blob: &[u8]) {
        let wanted = self.limits.wanted;
        if !wanted.has(USER) && !wanted.has(DOMAIN) {
            return;
        }
        let Some(message) =
            memchr::memmem::find(blob, b"NTLMSSP\0\x03").and_then(|n| blob.get(n..))
        else {
            return;
        };
        let field = |at: usize| {
            let b = message.get(at..at + 8)?;
            let len = usize::from(u16::from_le_bytes([b[0], b[1]]));
            let from = u32::from_le_bytes([b[4], b[5], b[6], b[7]]) as usize;
            message.get(from..from.saturating_add(len)).map(plain)
        };
        let (domain, user) = (field(28), field(36));
        let unit = self.begin(0);
        unit.is_whole = true;
        if let Some(domain) = domain {
            unit.add(DOMAIN, &domain);
        }
        if let Some(user) = user {
            unit.add(USER, &user);
        }
    }
}

/// A text without its zero octets, as Suricata has texts of SMB.
fn plain(text: &[u8]) -> Vec<u8> {
    let kept = text.iter().copied().filter(|b| *b != 0);
    kept.take(NAME_MAX).collect()
}

fn until_nul(text: &[u8], is_unicode: bool) -> &[u8] {
    if !is_unicode {
        return text.split(|b| *b == 0).next().unwrap_or(text);
    }
    // padded to an even place
    let text = text.strip_prefix(b"\0").unwrap_or(text);
    let end = text.chunks(2).position(|c| c == [0, 0]);
    &text[..end.map_or(text.len(), |n| 2 * n)]
}

const SHARE: Buffer = Buffer::named("smb.share");
const PIPE: Buffer = Buffer::named("smb.named_pipe");
const USER: Buffer = Buffer::named("smb.ntlmssp_user");
const DOMAIN: Buffer = Buffer::named("smb.ntlmssp_domain");
/// Commands of one message.
const ANDX_MAX: usize = 16;
const NAME_MAX: usize = 1_024;
