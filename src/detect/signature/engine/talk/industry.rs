//! Control of machines: Modbus/TCP (Messaging Implementation Guide 1.0b), DNP3 (IEEE 1815), EtherNet/IP (CIP volume 2).

use super::super::super::buffer::Buffer;
use super::Said;

/// What is kept of a connection.
#[derive(Debug, Default)]
pub(super) struct Industry {
    waiting: [Vec<u8>; 2],
    /// The application fragment of DNP3 that comes in segments.
    fragment: [Vec<u8>; 2],
}

impl Industry {
    /// Memory that it takes beside itself.
    pub fn room(&self) -> usize {
        let kept = self.waiting.iter().chain(&self.fragment);
        kept.map(Vec::capacity).sum()
    }
}

impl Said {
    /// Bytes of Modbus: messages with their length in them. A transaction is what a client asks.
    pub(super) fn modbus(&mut self, half: usize, bytes: &[u8]) {
        let size = |b: &[u8]| {
            let head = b.first_chunk::<6>()?;
            Some(6 + usize::from(u16::from_be_bytes([head[4], head[5]])))
        };
        self.each_message(half, bytes, size, |said, message| {
            let unit = match half {
                1 => said.begin_answer(),
                _ => said.begin(half),
            };
            unit.is_whole = true;
            let protocol = message.get(2..4);
            if protocol != Some(&[0, 0]) {
                unit.word("modbus.invalid_protocol_id", "");
            }
            // the unit and a function, and no more than a frame holds
            if !(8..=260).contains(&message.len()) {
                unit.word("modbus.invalid_length", "");
                return;
            }
            let function = message[7];
            if half == 0 && function & 0x80 != 0 {
                unit.word("modbus.invalid_length", "");
            }
            if function & 0x7f == 0 || half == 0 && function & 0x80 != 0 {
                unit.word("modbus.invalid_function_code", "");
            }
            let code = message.get(8).filter(|_| half == 1 && function & 0x80 != 0);
            if code.is_some_and(|c| !matches!(c, 1..=8 | 10 | 11)) {
                unit.word("modbus.invalid_exception_code", "");
            }
            if half == 0 {
                unit.part("modbus", message.to_vec());
            }
        });
    }

    /// Bytes of EtherNet/IP: the command of each encapsulation.
    pub(super) fn enip(&mut self, half: usize, bytes: &[u8]) {
        let size = |b: &[u8]| {
            let head = b.first_chunk::<4>()?;
            Some(24 + usize::from(u16::from_le_bytes([head[2], head[3]])))
        };
        self.each_message(half, bytes, size, |said, message| {
            let unit = said.begin(half);
            unit.is_whole = true;
            let command = u16::from_le_bytes([message[0], message[1]]);
            unit.number("enip_command", command.into());
        });
    }

    /// Bytes of DNP3: link frames, whose user data are segments of fragments (IEEE 1815 clauses 8 and 9).
    pub(super) fn dnp3(&mut self, half: usize, bytes: &[u8]) {
        let size = |b: &[u8]| {
            let head = b.first_chunk::<3>()?;
            let data = usize::from(head[2]).saturating_sub(5);
            // a check sum behind each sixteen octets
            Some(10 + data + 2 * data.div_ceil(16))
        };
        let most = self.limits.message_max;
        self.each_message(half, bytes, size, |said, frame| {
            if frame.get(..2) != Some(&[5, 0x64]) {
                return;
            }
            let blocks = frame.get(10..).unwrap_or_default().chunks(18);
            let data: Vec<u8> = blocks
                .flat_map(|b| &b[..b.len().saturating_sub(2)])
                .copied()
                .collect();
            let Some((&transport, segment)) = data.split_first() else {
                return;
            };
            let fragment = &mut said.more().industry.fragment[half];
            if transport & 0x40 != 0 {
                fragment.clear();
            }
            if fragment.len() + segment.len() > most {
                fragment.clear();
                said.lose();
                return;
            }
            fragment.extend_from_slice(segment);
            if transport & 0x80 != 0 {
                let whole = std::mem::take(fragment);
                said.dnp3_fragment(half, &whole);
            }
        });
    }

    fn dnp3_fragment(&mut self, half: usize, bytes: &[u8]) {
        let Some(&[_, function]) = bytes.first_chunk::<2>() else {
            return;
        };
        let unit = self.begin(half);
        unit.is_whole = true;
        unit.add(DNP3_DATA, bytes);
        unit.number("dnp3_func", function.into());
        let is_answer = matches!(function, 129 | 130);
        if let Some(b) = bytes.get(2..4).filter(|_| is_answer) {
            let bits = u16::from_be_bytes([b[0], b[1]]);
            let set = (0..16).filter(|n| bits >> n & 1 != 0);
            set.for_each(|n| unit.number("dnp3_ind", n));
        }
        let mut rest = bytes
            .get(if is_answer { 4 } else { 2 }..)
            .unwrap_or_default();
        while let Some(head) = rest.first_chunk::<3>() {
            let [group, variation, qualifier] = *head;
            let object = u64::from(group) << 8 | u64::from(variation);
            unit.number("dnp3_obj", object);
            let range = match qualifier & 15 {
                0 | 3 => 2,
                1 | 4 => 4,
                2 | 5 => 8,
                6 => 0,
                7 => 1,
                8 => 2,
                _ => return,
            };
            // what is read has no data behind the range
            if function != READ {
                return;
            }
            rest = rest.get(3 + range..).unwrap_or_default();
        }
    }

    /// Cuts bytes into messages whose size their start tells.
    fn each_message(
        &mut self,
        half: usize,
        bytes: &[u8],
        size: impl Fn(&[u8]) -> Option<usize>,
        mut take: impl FnMut(&mut Self, &[u8]),
    ) {
        let mut waiting = std::mem::take(&mut self.more().industry.waiting[half]);
        waiting.extend_from_slice(bytes);
        let mut rest = &waiting[..];
        while let Some(size) = size(rest) {
            let Some((message, tail)) = rest.split_at_checked(size) else {
                break;
            };
            take(self, message);
            rest = tail;
        }
        let left = rest.len();
        self.more().industry.waiting[half] = self.wait(waiting, left);
    }
}

const DNP3_DATA: Buffer = Buffer::named("dnp3.data");
const READ: u8 = 1;
