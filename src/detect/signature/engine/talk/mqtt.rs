//! MQTT 3.1, 3.1.1 and 5 (OASIS): who connects, what is published and subscribed.

use super::super::super::buffer::Buffer;
use super::super::unit::Unit;
use super::Said;

/// What is kept of a connection.
#[derive(Debug, Default)]
pub(super) struct Mqtt {
    waiting: [Vec<u8>; 2],
    /// As the client said; properties came with 5.
    version: u8,
    is_connected: bool,
}

impl Mqtt {
    /// Memory that it takes beside itself.
    pub fn room(&self) -> usize {
        self.waiting.iter().map(Vec::capacity).sum()
    }
}

impl Said {
    /// Bytes of a connection.
    pub(super) fn mqtt(&mut self, half: usize, bytes: &[u8]) {
        let mut waiting = std::mem::take(&mut self.more().mqtt.waiting[half]);
        waiting.extend_from_slice(bytes);
        let mut rest = &waiting[..];
        while let Some((&first, tail)) = rest.split_first() {
            let Some((len, tail)) = length(tail) else {
                if tail.len() >= 4 {
                    rest = &[];
                }
                break;
            };
            if len > self.limits.message_max {
                self.lose();
                rest = &[];
                break;
            }
            let Some((body, tail)) = tail.split_at_checked(len) else {
                break;
            };
            self.mqtt_packet(half, first, body);
            rest = tail;
        }
        let left = rest.len();
        self.more().mqtt.waiting[half] = self.wait(waiting, left);
    }

    fn mqtt_packet(&mut self, half: usize, first: u8, body: &[u8]) {
        let kind = first >> 4;
        let mut reader = Reader(body);
        let before = self.more().mqtt.is_connected;
        self.more().mqtt.is_connected |= kind == 1;
        if kind == 1 {
            let version = reader.text().and_then(|_| reader.byte());
            self.more().mqtt.version = version.unwrap_or(0);
        }
        let version = self.more().mqtt.version;
        let unit = self.begin(half);
        unit.is_whole = true;
        if kind == 1 && before {
            unit.word("mqtt.double_connect", "");
        }
        let Some(name) = KINDS.get(usize::from(kind)) else {
            return;
        };
        unit.word("mqtt.type", *name);
        unit.word("mqtt.qos", (first >> 1 & 3).to_string());
        unit.word("mqtt.flags", "");
        for (bit, name) in [(8, "dup"), (1, "retain")] {
            if first & bit != 0 {
                unit.word("mqtt.flags", name);
            }
        }
        if version > 0 {
            unit.number("mqtt.protocol_version", version.into());
        }
        // what is cut says what it has
        let _ = match kind {
            1 => connect(body, unit),
            2 => session(body, unit),
            3 => publish(first, body, version, unit),
            8 => topics(body, version, 1, SUBSCRIBE, unit),
            10 => topics(body, version, 0, UNSUBSCRIBE, unit),
            _ => None,
        };
    }
}

fn connect(body: &[u8], unit: &mut Unit) -> Option<()> {
    let mut r = Reader(body);
    unit.add(PROTOCOL, r.text()?);
    let (version, flags) = (r.byte()?, r.byte()?);
    unit.word("mqtt.connect.flags", "");
    for (bit, name) in FLAGS {
        if flags & bit != 0 {
            unit.word("mqtt.connect.flags", name);
        }
    }
    r.take(2)?;
    if version >= 5 {
        r.properties()?;
    }
    unit.add(CLIENT, r.text()?);
    if flags & 4 != 0 {
        if version >= 5 {
            r.properties()?;
        }
        unit.add(WILL_TOPIC, r.text()?);
        unit.add(WILL_MESSAGE, r.text()?);
    }
    if flags & 0x80 != 0 {
        unit.add(USER, r.text()?);
    }
    if flags & 0x40 != 0 {
        unit.add(PASSWORD, r.text()?);
    }
    Some(())
}

fn session(body: &[u8], unit: &mut Unit) -> Option<()> {
    let mut r = Reader(body);
    let present = r.byte()? & 1 == 1;
    unit.word(
        "mqtt.connack.session_present",
        if present { "yes" } else { "no" },
    );
    unit.word("mqtt.reason_code", r.byte()?.to_string());
    Some(())
}

fn publish(first: u8, body: &[u8], version: u8, unit: &mut Unit) -> Option<()> {
    let mut r = Reader(body);
    unit.add(TOPIC, r.text()?);
    if first & 6 != 0 {
        r.take(2)?;
    }
    if version >= 5 {
        r.properties()?;
    }
    unit.add(MESSAGE, r.0);
    Some(())
}

/// Topics, each with so many bytes of options behind it.
fn topics(body: &[u8], version: u8, options: usize, buffer: Buffer, unit: &mut Unit) -> Option<()> {
    let mut r = Reader(body);
    r.take(2)?;
    if version >= 5 {
        r.properties()?;
    }
    for _ in 0..TOPICS_MAX {
        unit.add(buffer, r.text()?);
        r.take(options)?;
    }
    Some(())
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|b| b[0])
    }

    /// A text with its length before it.
    fn text(&mut self) -> Option<&'a [u8]> {
        let len = self.take(2)?;
        self.take(u16::from_be_bytes([len[0], len[1]]).into())
    }

    fn properties(&mut self) -> Option<()> {
        let (len, rest) = length(self.0)?;
        self.0 = rest;
        self.take(len).map(drop)
    }
}

/// A length of up to four bytes, seven bits each.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut len = 0;
    for n in 0..4 {
        let byte = *bytes.get(n)?;
        len |= usize::from(byte & 0x7f) << (7 * n);
        if byte & 0x80 == 0 {
            return Some((len, &bytes[n + 1..]));
        }
    }
    None
}

const PROTOCOL: Buffer = Buffer::named("mqtt.connect.protocol_string");
const CLIENT: Buffer = Buffer::named("mqtt.connect.clientid");
const USER: Buffer = Buffer::named("mqtt.connect.username");
const PASSWORD: Buffer = Buffer::named("mqtt.connect.password");
const WILL_TOPIC: Buffer = Buffer::named("mqtt.connect.willtopic");
const WILL_MESSAGE: Buffer = Buffer::named("mqtt.connect.willmessage");
const TOPIC: Buffer = Buffer::named("mqtt.publish.topic");
const MESSAGE: Buffer = Buffer::named("mqtt.publish.message");
const SUBSCRIBE: Buffer = Buffer::named("mqtt.subscribe.topic");
const UNSUBSCRIBE: Buffer = Buffer::named("mqtt.unsubscribe.topic");
/// Names of packets by their numbers, as rules have them.
const KINDS: [&str; 16] = [
    "UNASSIGNED",
    "CONNECT",
    "CONNACK",
    "PUBLISH",
    "PUBACK",
    "PUBREC",
    "PUBREL",
    "PUBCOMP",
    "SUBSCRIBE",
    "SUBACK",
    "UNSUBSCRIBE",
    "UNSUBACK",
    "PINGREQ",
    "PINGRESP",
    "DISCONNECT",
    "AUTH",
];
const FLAGS: [(u8, &str); 5] = [
    (0x80, "username"),
    (0x40, "password"),
    (0x20, "will_retain"),
    (0x04, "will"),
    (0x02, "clean_session"),
];
const TOPICS_MAX: usize = 64;
