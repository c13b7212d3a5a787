//! SSH: the line with which each side begins (RFC 4253 section 4.2), and fingerprints of what it offers.

use super::super::super::buffer::Buffer;
use super::Said;
use super::tls::md5_hex;

/// What is kept of a connection.
#[derive(Debug, Default)]
pub(super) struct Ssh {
    halves: [Half; 2],
}

#[derive(Debug, Default)]
struct Half {
    waiting: Vec<u8>,
    has_line: bool,
    is_done: bool,
}

impl Ssh {
    /// Memory that it takes beside itself.
    pub fn room(&self) -> usize {
        self.halves.iter().map(|h| h.waiting.capacity()).sum()
    }
}

impl Said {
    /// Bytes of a connection.
    pub(super) fn ssh(&mut self, half: usize, bytes: &[u8]) {
        let h = &mut self.more().ssh.halves[half];
        if h.is_done {
            return;
        }
        if h.waiting.len() + bytes.len() > WAITING_MAX {
            (h.is_done, h.waiting) = (true, vec![]);
            self.lose();
            return;
        }
        h.waiting.extend_from_slice(bytes);
        if !h.has_line {
            let mut waiting = std::mem::take(&mut h.waiting);
            while let Some(end) = waiting.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = waiting.drain(..=end).collect();
                let line = line.trim_ascii_end();
                if line.starts_with(b"SSH-") {
                    self.more().ssh.halves[half].has_line = true;
                    self.ssh_line(half, line);
                    break;
                }
            }
            self.more().ssh.halves[half].waiting = waiting;
        }
        self.ssh_packets(half);
    }

    fn ssh_line(&mut self, half: usize, line: &[u8]) {
        let mut parts = line[4..].splitn(2, |b| *b == b'-');
        let proto = parts.next().unwrap_or_default();
        let software = parts.next().unwrap_or_default();
        let software = software.split(|b| *b == b' ').next().unwrap_or_default();
        let unit = self.open(half);
        unit.add(PROTO, proto);
        unit.add(SOFTWARE, software);
        unit.word(
            "ssh.protoversion",
            String::from_utf8_lossy(proto).into_owned(),
        );
        if proto.starts_with(b"2") || proto == b"1.99" {
            unit.word("ssh.protoversion", "2_compat");
        }
        unit.word(
            "ssh.softwareversion",
            String::from_utf8_lossy(software).into_owned(),
        );
    }

    /// Packets in the clear (RFC 4253 section 6): what the side offers, up to its new keys.
    fn ssh_packets(&mut self, half: usize) {
        loop {
            let h = &mut self.more().ssh.halves[half];
            let Some(head) = h.waiting.first_chunk::<6>().filter(|_| h.has_line) else {
                return;
            };
            let len = u32::from_be_bytes([head[0], head[1], head[2], head[3]]) as usize;
            let kind = head[5];
            if len > WAITING_MAX {
                (h.is_done, h.waiting) = (true, vec![]);
                self.lose();
                return;
            }
            if h.waiting.len() < 4 + len {
                return;
            }
            let packet: Vec<u8> = h.waiting.drain(..4 + len).collect();
            match kind {
                NEW_KEYS => {
                    (h.is_done, h.waiting) = (true, vec![]);
                    return;
                }
                OFFER => self.ssh_offer(half, packet.get(22..).unwrap_or_default()),
                _ => {}
            }
        }
    }

    /// Whether both sides encrypt.
    pub(super) fn is_encrypted_ssh(&self) -> bool {
        let more = self.more.as_ref();
        more.is_some_and(|m| m.ssh.halves.iter().all(|h| h.is_done))
    }

    /// What a side offers (RFC 4253 section 7.1), and its HASSH.
    fn ssh_offer(&mut self, half: usize, offer: &[u8]) {
        let Some(lists) = lists(offer) else { return };
        // of the client what it sends, of the server likewise
        let side = half;
        let names = [
            &lists[0],
            &lists[2 + side],
            &lists[4 + side],
            &lists[6 + side],
        ];
        let text = names
            .map(|n| String::from_utf8_lossy(n).into_owned())
            .join(";");
        let (string, hash) = if half == 0 {
            (HASSH_STRING, HASSH)
        } else {
            (HASSH_SERVER_STRING, HASSH_SERVER)
        };
        let unit = self.open(half);
        unit.add(string, text.as_bytes());
        unit.add(hash, md5_hex(text.as_bytes()).as_bytes());
        unit.is_whole = true;
    }
}

/// The ten lists of names.
fn lists(mut bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut out = vec![];
    for _ in 0..10 {
        let (len, tail) = bytes.split_first_chunk::<4>()?;
        let (list, tail) = tail.split_at_checked(u32::from_be_bytes(*len) as usize)?;
        out.push(list.to_vec());
        bytes = tail;
    }
    Some(out)
}

const PROTO: Buffer = Buffer::named("ssh.proto");
const SOFTWARE: Buffer = Buffer::named("ssh.software");
const HASSH: Buffer = Buffer::named("ssh.hassh");
const HASSH_STRING: Buffer = Buffer::named("ssh.hassh.string");
const HASSH_SERVER: Buffer = Buffer::named("ssh.hassh.server");
const HASSH_SERVER_STRING: Buffer = Buffer::named("ssh.hassh.server.string");
/// Types of messages (RFC 4250 section 4.1.2).
const OFFER: u8 = 20;
const NEW_KEYS: u8 = 21;
/// Bytes of the lines and of one packet of a side (RFC 4253 section 6.1 asks for 35,000).
const WAITING_MAX: usize = 36_000;
