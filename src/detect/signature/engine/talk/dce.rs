//! DCE/RPC (The Open Group, C706 chapter 12): interfaces, numbers of operations, what calls carry. Over TCP, UDP and the pipes of SMB.

use super::super::super::buffer::Buffer;
use super::Said;
use super::kept::Kept;

/// What is kept of a connection.
#[derive(Debug, Default)]
pub(super) struct Dce {
    waiting: [Vec<u8>; 2],
    /// Stub data of calls whose fragments are not all there.
    stubs: [Vec<u8>; 2],
    /// Interfaces that were asked for.
    interfaces: Kept<Interface>,
    /// Contexts of the last bind, in order.
    asked: Vec<u16>,
    /// Calls that were not answered.
    calls: Kept<Call>,
}

/// What a call asks for, and in which context that is.
#[derive(Clone, Copy, Debug)]
struct Call {
    context: u16,
    operation: u16,
}

#[derive(Debug)]
struct Interface {
    uuid: [u8; 16],
    /// The major part alone is what rules ask for.
    version: u16,
    is_granted: bool,
}

/// The common header of a message over a connection (C706 section 12.6.3.1).
struct Head {
    kind: u8,
    flags: u8,
    little: bool,
    call: u32,
}

impl Dce {
    /// Memory that it takes beside itself.
    pub fn room(&self) -> usize {
        let kept = self.waiting.iter().chain(&self.stubs);
        let kept = kept.map(Vec::capacity).sum::<usize>();
        let asked = self.asked.capacity() * size_of::<u16>();
        kept + asked + self.interfaces.room(|_| 0) + self.calls.room(|_| 0)
    }
}

/// Whether bytes begin a message over a connection, as those in pipes do.
pub(super) fn begins(bytes: &[u8]) -> bool {
    let kinds = [0, 2, 3, 11, 12, 13, 14, 15, 16];
    matches!(bytes, [5, 0 | 1, kind, _, order, _, 0, 0, ..] if kinds.contains(kind) && order & 0xef == 0)
}

impl Said {
    /// Whether a message has begun whose rest is still to come.
    pub(super) fn waits_for_dce(&self, half: usize) -> bool {
        let more = self.more.as_ref();
        more.is_some_and(|m| !m.dce.waiting[half].is_empty())
    }

    /// Bytes of a connection of its own, or of a pipe.
    pub(super) fn dce_stream(&mut self, half: usize, bytes: &[u8]) {
        let mut waiting = std::mem::take(&mut self.more().dce.waiting[half]);
        waiting.extend_from_slice(bytes);
        let mut rest = &waiting[..];
        while let Some(head) = rest.first_chunk::<16>() {
            let little = head[4] & 0x10 != 0;
            let len = usize::from(short(&head[8..], little).unwrap_or(0));
            if head[0] != 5 || len < 16 {
                // no message begins here
                rest = &[];
                break;
            }
            let Some((message, tail)) = rest.split_at_checked(len) else {
                break;
            };
            self.dce_message(half, message);
            rest = tail;
        }
        let left = rest.len();
        self.more().dce.waiting[half] = self.wait(waiting, left);
    }

    /// A message over a connection, or in a pipe.
    pub(super) fn dce_message(&mut self, half: usize, message: &[u8]) {
        let Some(fixed) = message.first_chunk::<16>() else {
            return;
        };
        let little = fixed[4] & 0x10 != 0;
        let head = Head {
            kind: fixed[2],
            flags: fixed[3],
            little,
            call: long(&fixed[12..], little).unwrap_or(0),
        };
        let auth = usize::from(short(&fixed[10..], little).unwrap_or(0));
        // the trailer of the authentication: 8 octets and the value
        let trailer = if auth > 0 { auth + 8 } else { 0 };
        let end = message.len().saturating_sub(trailer).max(16);
        let body = &message[16..end];
        match head.kind {
            REQUEST => {
                let skipped = if head.flags & OBJECT != 0 { 24 } else { 8 };
                let word = |at: usize| short(body.get(at..)?, little);
                let stub = body.get(skipped..).unwrap_or_default();
                if let (Some(context), Some(operation)) = (word(4), word(6)) {
                    let call = Call { context, operation };
                    self.call(half, &head, call, stub);
                }
            }
            RESPONSE => {
                let (calls, number) = (&mut self.more().dce.calls, u64::from(head.call));
                let call = match head.flags & LAST != 0 {
                    true => calls.take(number),
                    false => calls.get(number).copied(),
                };
                let stub = body.get(8..).unwrap_or_default();
                self.stub(half, &head, call, stub);
            }
            BIND | ALTER => self.bind(body.get(8..).unwrap_or_default(), little),
            BIND_ACK | ALTER_ACK => self.granted(body.get(8..).unwrap_or_default(), little),
            _ => {}
        }
    }

    fn call(&mut self, half: usize, head: &Head, call: Call, stub: &[u8]) {
        let most = self.limits.items_max;
        if head.flags & FIRST != 0 && self.more().dce.calls.push(head.call.into(), call, most) {
            self.lose();
        }
        self.stub(half, head, Some(call), stub);
    }

    /// Stub data of a fragment; with the last one all of it is told.
    fn stub(&mut self, half: usize, head: &Head, call: Option<Call>, stub: &[u8]) {
        if head.flags & FIRST != 0 {
            self.more().dce.stubs[half].clear();
        }
        let limit = self.limits.body_max;
        let kept = &mut self.more().dce.stubs[half];
        let room = limit.saturating_sub(kept.len());
        kept.extend_from_slice(&stub[..stub.len().min(room)]);
        if head.flags & LAST == 0 {
            return;
        }
        let stub = std::mem::take(kept);
        let interfaces = &self.more().dce.interfaces;
        let granted = call.and_then(|c| interfaces.get(c.context.into()));
        let granted = granted
            .filter(|i| i.is_granted)
            .map(|i| (text_of(&i.uuid), i.version));
        let unit = self.begin(half);
        unit.is_whole = true;
        unit.dce_little = head.little;
        if let Some(call) = call {
            unit.number("dce_opnum", call.operation.into());
        }
        if let Some((uuid, version)) = granted {
            unit.word("dce_iface", format!("{uuid} {version}"));
        }
        if !stub.is_empty() {
            unit.add(STUB, &stub);
        }
    }

    /// The interfaces that a client asks for, behind the sizes and the group.
    fn bind(&mut self, list: &[u8], little: bool) {
        let count = list.first().copied().unwrap_or(0);
        let mut rest = list.get(4..).unwrap_or_default();
        self.more().dce.asked.clear();
        for _ in 0..count {
            let Some(item) = rest.first_chunk::<24>() else {
                return;
            };
            let context = short(item, little).unwrap_or(0);
            let interface = Interface {
                uuid: uuid_of(&item[4..20], little),
                version: short(&item[20..], little).unwrap_or(0),
                is_granted: false,
            };
            self.more().dce.asked.push(context);
            let (most, context) = (self.limits.items_max, u64::from(context));
            let known = &mut self.more().dce.interfaces;
            known.take(context);
            if known.push(context, interface, most) {
                self.lose();
            }
            let size = 24 + 20 * usize::from(item[2]);
            rest = rest.get(size..).unwrap_or_default();
        }
    }

    /// What a server says to each of them, behind the sizes and the group: its address, then a result each.
    fn granted(&mut self, body: &[u8], little: bool) {
        let address = usize::from(short(body, little).unwrap_or(0));
        // results begin at a multiple of four octets, counted from the start of the message
        let at = (2 + address).next_multiple_of(4);
        let count = body.get(at).copied().unwrap_or(0);
        let results = body.get(at + 4..).unwrap_or_default();
        let asked = std::mem::take(&mut self.more().dce.asked);
        for (context, result) in asked
            .iter()
            .zip(results.chunks_exact(24))
            .take(count.into())
        {
            let interfaces = &mut self.more().dce.interfaces;
            if let Some(i) = interfaces.get_mut((*context).into()) {
                i.is_granted = short(result, little) == Some(0);
            }
        }
    }

    /// A message without a connection (C706 section 12.5).
    pub(super) fn dce_datagram(&mut self, half: usize, message: &[u8]) {
        let Some(head) = message.first_chunk::<80>() else {
            return;
        };
        let (kind, little) = (head[1], head[4] & 0x10 != 0);
        if head[0] != 4 || !matches!(kind, REQUEST | RESPONSE) {
            return;
        }
        let number = |at: usize| short(&head[at..], little).unwrap_or(0);
        let uuid = uuid_of(&head[24..40], little);
        let unit = self.begin(half);
        unit.is_whole = true;
        unit.dce_little = little;
        unit.number("dce_opnum", number(68).into());
        unit.word("dce_iface", format!("{} {}", text_of(&uuid), number(60)));
        let len = usize::from(number(74)).min(message.len() - 80);
        if len > 0 {
            unit.add(STUB, &message[80..80 + len]);
        }
    }
}

/// A UUID in the order of its text.
fn uuid_of(bytes: &[u8], little: bool) -> [u8; 16] {
    let mut uuid = [0; 16];
    uuid.iter_mut()
        .zip(bytes)
        .for_each(|(to, from)| *to = *from);
    if little {
        uuid[..4].reverse();
        uuid[4..6].reverse();
        uuid[6..8].reverse();
    }
    uuid
}

fn text_of(uuid: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (n, byte) in uuid.iter().enumerate() {
        if matches!(n, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

fn short(bytes: &[u8], little: bool) -> Option<u16> {
    let b = *bytes.first_chunk::<2>()?;
    Some(match little {
        true => u16::from_le_bytes(b),
        false => u16::from_be_bytes(b),
    })
}

fn long(bytes: &[u8], little: bool) -> Option<u32> {
    let b = *bytes.first_chunk::<4>()?;
    Some(match little {
        true => u32::from_le_bytes(b),
        false => u32::from_be_bytes(b),
    })
}

const STUB: Buffer = Buffer::named("dcerpc.stub_data");
const REQUEST: u8 = 0;
const RESPONSE: u8 = 2;
const BIND: u8 = 11;
const BIND_ACK: u8 = 12;
const ALTER: u8 = 14;
const ALTER_ACK: u8 = 15;
const FIRST: u8 = 1;
const LAST: u8 = 2;
const OBJECT: u8 = 0x80;
