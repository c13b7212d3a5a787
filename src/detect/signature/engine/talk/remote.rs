//! Screens, keys and addresses: RFB (RFC 6143), IKE (RFC 2408, RFC 7296), DHCP (RFC 2131, RFC 2132), NFS by ONC RPC (RFC 5531).

use super::super::super::buffer::Buffer;
use super::Said;

/// What is kept of a connection.
#[derive(Debug, Default)]
pub(super) struct Remote {
    waiting: [Vec<u8>; 2],
    rfb: Rfb,
}

impl Remote {
    /// Memory that it takes beside itself.
    pub fn room(&self) -> usize {
        self.waiting.iter().map(Vec::capacity).sum()
    }
}

/// How far the two sides of RFB are.
#[derive(Debug, Default)]
struct Rfb {
    /// Version 3.3: the server alone says how it is to be.
    is_old: bool,
    steps: [u8; 2],
    chosen: Option<u32>,
}

impl Said {
    /// Bytes of RFB.
    pub(super) fn rfb(&mut self, half: usize, bytes: &[u8]) {
        let mut waiting = std::mem::take(&mut self.more().remote.waiting[half]);
        waiting.extend_from_slice(bytes);
        let mut at = 0;
        while let Some(taken) = self.rfb_step(half, &waiting[at..]) {
            at += taken;
            if taken == 0 {
                break;
            }
        }
        let left = waiting.len() - at.min(waiting.len());
        self.more().remote.waiting[half] = self.wait(waiting, left);
    }

    /// Takes the next message of a side; returns its length, or none where it is not all there.
    fn rfb_step(&mut self, half: usize, rest: &[u8]) -> Option<usize> {
        let rfb = &mut self.more().remote.rfb;
        let long = |at: usize| {
            let b = rest.get(at..at + 4)?;
            Some(u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
        };
        let step = rfb.steps[half];
        let taken = match (half, step) {
            // the version
            (_, 0) => {
                let line = rest.first_chunk::<12>()?;
                rfb.is_old |= line.starts_with(b"RFB 003.003");
                12
            }
            // what the server offers, or says
            (1, 1) if rfb.is_old => {
                self.rfb_chosen(long(0)?);
                4
            }
            (1, 1) => 1 + usize::from(*rest.first()?),
            (0, 1) if !rfb.is_old => {
                self.rfb_chosen((*rest.first()?).into());
                1
            }
            // the challenge and its answer
            (_, 2) | (0, 1) if rfb.chosen == Some(2) && !(half == 0 && step == 2 && rfb.is_old) => {
                rest.get(..16)?;
                16
            }
            // what other ways of authentication say is not known here
            (1, 2) if !matches!(rfb.chosen, Some(1 | 2)) => return None,
            (1, 2 | 3) => {
                // without authentication old versions say no result
                let result = match rfb.is_old && rfb.chosen == Some(1) {
                    true => 0,
                    false => {
                        let result = long(0)?;
                        let word = ["ok", "fail", "toomany"].get(result as usize);
                        let unit = self.begin(1);
                        unit.is_whole = true;
                        unit.word("rfb.secresult", *word.unwrap_or(&"unknown"));
                        4
                    }
                };
                self.more().remote.rfb.steps[1] = 4;
                return Some(result).filter(|n| *n > 0).or(Some(0));
            }
            // sizes, the format of pixels, the name
            (1, 4) => {
                let len = long(20)? as usize;
                let name = rest.get(24..24 + len.min(NAME_MAX))?;
                let unit = self.begin(1);
                unit.is_whole = true;
                unit.add(RFB_NAME, name);
                24 + name.len()
            }
            _ => rest.len(),
        };
        rest.get(..taken)?;
        let next = &mut self.more().remote.rfb.steps[half];
        *next = next.saturating_add(1);
        Some(taken)
    }

    fn rfb_chosen(&mut self, kind: u32) {
        self.more().remote.rfb.chosen = Some(kind);
        let unit = self.begin(0);
        unit.is_whole = true;
        unit.number("rfb.sectype", kind.into());
    }

    /// A message of IKE, behind the mark that tells it from ESP where there is one (RFC 3948 section 2.2).
    pub(super) fn ike(&mut self, half: usize, bytes: &[u8]) {
        let message = bytes.strip_prefix(&[0; 4]).unwrap_or(bytes);
        let Some(head) = message.first_chunk::<28>() else {
            return;
        };
        let major = head[17] >> 4;
        let encrypted = major == 1 && head[19] & 1 != 0;
        let unit = self.begin(half);
        unit.is_whole = true;
        unit.number("ike.exchtype", head[18].into());
        unit.add(IKE_INITIATOR, hex(&head[..8]).as_bytes());
        unit.add(IKE_RESPONDER, hex(&head[8..16]).as_bytes());
        let (mut next, mut rest) = (head[16], &message[28..]);
        for _ in 0..PAYLOADS_MAX {
            if next == 0 || encrypted {
                return;
            }
            let Some(generic) = rest.first_chunk::<4>() else {
                return;
            };
            let len = usize::from(u16::from_be_bytes([generic[2], generic[3]]));
            let Some(body) = rest.get(4..len) else { return };
            // Suricata 7 tells these of version 1 alone
            match (major, next) {
                (1, 4) => {
                    unit.add(IKE_KEY, body);
                    unit.number("ike.key_exchange_payload_length", body.len() as u64);
                }
                (1, 10) => {
                    unit.add(IKE_NONCE, body);
                    unit.number("ike.nonce_payload_length", body.len() as u64);
                }
                (1, 13) => unit.add(IKE_VENDOR, hex(body).as_bytes()),
                _ => {}
            }
            (next, rest) = (generic[0], &rest[len..]);
        }
    }

    /// A message of DHCP: the times in its options.
    pub(super) fn dhcp(&mut self, half: usize, bytes: &[u8]) {
        let Some(mut options) = bytes.get(240..) else {
            return;
        };
        let unit = self.begin(half);
        unit.is_whole = true;
        while let Some((&kind, tail)) = options.split_first() {
            // times have four octets, whatever their length says, as with Suricata
            let name = match kind {
                0 => {
                    options = tail;
                    continue;
                }
                // what is behind the end is none
                255 => return,
                51 => Some("dhcp.leasetime"),
                58 => Some("dhcp.renewal_time"),
                59 => Some("dhcp.rebinding_time"),
                _ => None,
            };
            let Some((&len, tail)) = tail.split_first() else {
                break;
            };
            let size = if name.is_some() { 4 } else { len.into() };
            // an identifier has at least its kind (RFC 2132 section 9.14)
            let Some((value, rest)) = tail
                .split_at_checked(size)
                .filter(|_| kind != 61 || len > 0)
            else {
                break;
            };
            if let (Some(name), Some(b)) = (name, value.first_chunk::<4>()) {
                unit.number(name, u32::from_be_bytes(*b).into());
            }
            options = rest;
        }
        unit.word("dhcp.truncated_options", "");
    }

    /// Bytes of NFS: version and procedure of each call.
    pub(super) fn nfs(&mut self, half: usize, bytes: &[u8]) {
        if !self.is_stream {
            return self.nfs_call(half, bytes);
        }
        let mut waiting = std::mem::take(&mut self.more().remote.waiting[half]);
        waiting.extend_from_slice(bytes);
        let mut rest = &waiting[..];
        // the mark of a record (RFC 5531 section 11)
        while let Some(mark) = rest.first_chunk::<4>() {
            let len = (u32::from_be_bytes(*mark) & 0x7fff_ffff) as usize;
            let Some(record) = rest.get(4..4usize.saturating_add(len)) else {
                break;
            };
            self.nfs_call(half, record);
            rest = &rest[4 + len..];
        }
        let left = rest.len();
        self.more().remote.waiting[half] = self.wait(waiting, left);
    }

    fn nfs_call(&mut self, half: usize, record: &[u8]) {
        let long = |at: usize| {
            let b = record.get(at..at + 4)?;
            Some(u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
        };
        let is_call = long(4) == Some(0) && long(8) == Some(2) && long(12) == Some(NFS);
        if let (true, Some(version), Some(procedure)) = (is_call, long(16), long(20)) {
            let unit = self.begin(half);
            unit.is_whole = true;
            unit.number("nfs_version", version.into());
            unit.number("nfs_procedure", procedure.into());
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|b| [b >> 4, b & 15]);
    digits
        .map(|d| char::from(b"0123456789abcdef"[usize::from(d)]))
        .collect()
}

const RFB_NAME: Buffer = Buffer::named("rfb.name");
const IKE_INITIATOR: Buffer = Buffer::named("ike.init_spi");
const IKE_RESPONDER: Buffer = Buffer::named("ike.resp_spi");
const IKE_KEY: Buffer = Buffer::named("ike.key_exchange_payload");
const IKE_NONCE: Buffer = Buffer::named("ike.nonce_payload");
const IKE_VENDOR: Buffer = Buffer::named("ike.vendor");
/// Program number of NFS (RFC 1813 section 2).
const NFS: u32 = 100_003;
/// Bytes of the name of a screen.
const NAME_MAX: usize = 1 << 16;
const PAYLOADS_MAX: usize = 64;
