//! One poll of one exporter: the columns of IF-MIB that are of use, and nothing that does not belong together.

use super::error::Error;
use crate::enrich::Interface;
use async_snmp::{Client, Error as Theirs, Oid, Value, ValueKind, oid};
use std::collections::BTreeMap;

/// What an exporter answered.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// By ifIndex.
    pub interfaces: BTreeMap<u32, Row>,
    /// sysUpTime: hundredths of a second since it was started, modulo 2^32.
    pub uptime_cs: u32,
    /// Columns that ended early because there is no room for more interfaces.
    pub full: u64,
    /// Texts that were longer than 64 bytes.
    pub cut: u64,
    /// Values of another kind than the column has, and rows without an ifIndex.
    pub odd: u64,
}

/// One interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub interface: Interface,
    pub octets_in: Option<Octets>,
    pub octets_out: Option<Octets>,
}

/// A running total.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Octets {
    pub count: u64,
    /// It is of 32 bits and wraps.
    pub narrow: bool,
}

/// Asks for everything; gives also the time, ns since 1970 UTC, in the middle of the counters.
pub(super) async fn read(
    client: &Client,
    interfaces_max: usize,
    mut now_ns: impl FnMut() -> i64,
) -> Result<(Reading, i64), Error> {
    let mut poll = Poll {
        client,
        interfaces_max,
        reading: Reading::default(),
    };
    let began = uptime(client).await?;
    poll.names().await?;
    let before_ns = now_ns();
    poll.octets().await?;
    let at_ns = before_ns + (now_ns() - before_ns) / 2;
    let ended = uptime(client).await?;
    if ended < began && began < WRAPS_SOON {
        let place = client.peer_addr().to_string();
        return Err(Error::Restarted { place });
    }
    let mut reading = poll.reading;
    reading.uptime_cs = ended;
    Ok((reading, at_ns))
}

/// sysUpTime: the first question of a poll, so that one who is not there costs no more than one.
pub(super) async fn uptime(client: &Client) -> Result<u32, Error> {
    let place = client.peer_addr().to_string();
    let answer = client.get(&oid!(1, 3, 6, 1, 2, 1, 1, 3, 0)).await;
    let answer = answer.map_err(|e| fault(place.clone(), &e))?;
    match answer.single().map(|v| &v.value) {
        Some(Value::TimeTicks(ticks)) => Ok(*ticks),
        _ => Err(Error::Nonsense {
            place,
            why: "sysUpTime is missing".into(),
        }),
    }
}

struct Poll<'a> {
    client: &'a Client,
    interfaces_max: usize,
    reading: Reading,
}

impl Poll<'_> {
    async fn names(&mut self) -> Result<(), Error> {
        self.texts(IF_NAME, |i| &mut i.name).await?;
        let nameless = |r: &Row| r.interface.name.is_empty();
        if self.lacks(nameless) {
            self.texts(IF_DESCR, |i| &mut i.name).await?;
        }
        self.texts(IF_ALIAS, |i| &mut i.description).await?;
        self.speeds(IF_HIGH_SPEED, 1_000_000).await?;
        if self.lacks(|r| r.interface.speed == 0) {
            self.speeds(IF_SPEED, 1).await?;
        }
        Ok(())
    }

    async fn octets(&mut self) -> Result<(), Error> {
        self.counters(IF_HC_IN_OCTETS, |r| &mut r.octets_in).await?;
        self.counters(IF_HC_OUT_OCTETS, |r| &mut r.octets_out)
            .await?;
        if self.lacks(|r| r.octets_in.is_none()) {
            self.counters(IF_IN_OCTETS, |r| &mut r.octets_in).await?;
        }
        if self.lacks(|r| r.octets_out.is_none()) {
            self.counters(IF_OUT_OCTETS, |r| &mut r.octets_out).await?;
        }
        Ok(())
    }

    /// Whether an interface lacks something, or there is none at all yet.
    fn lacks(&self, lacks: impl Fn(&Row) -> bool) -> bool {
        self.reading.interfaces.is_empty() || self.reading.interfaces.values().any(lacks)
    }

    /// A column of texts; what an earlier column said stays.
    async fn texts(
        &mut self,
        column: &[u32],
        field: fn(&mut Interface) -> &mut Box<str>,
    ) -> Result<(), Error> {
        self.column(column, |row, value, reading| {
            let Value::OctetString(bytes) = value else {
                return false;
            };
            let (text, is_cut) = plain(&bytes);
            reading.cut += u64::from(is_cut);
            let field = field(&mut row.interface);
            if field.is_empty() {
                *field = text.into();
            }
            true
        })
        .await
    }

    async fn speeds(&mut self, column: &[u32], unit: u64) -> Result<(), Error> {
        self.column(column, |row, value, _| {
            let Value::Gauge32(n) = value else {
                return false;
            };
            // ifSpeed at its end says that it cannot say
            if row.interface.speed == 0 && n != u32::MAX {
                row.interface.speed = u64::from(n) * unit;
            }
            true
        })
        .await
    }

    async fn counters(
        &mut self,
        column: &[u32],
        field: fn(&mut Row) -> &mut Option<Octets>,
    ) -> Result<(), Error> {
        self.column(column, |row, value, _| {
            let octets = match value {
                Value::Counter64(count) => Octets {
                    count,
                    narrow: false,
                },
                Value::Counter32(count) => Octets {
                    count: count.into(),
                    narrow: true,
                },
                _ => return false,
            };
            field(row).get_or_insert(octets);
            true
        })
        .await
    }

    /// Walks a column; `take` says whether a value is of its kind.
    async fn column(
        &mut self,
        column: &[u32],
        mut take: impl FnMut(&mut Row, Value, &mut Reading) -> bool,
    ) -> Result<(), Error> {
        let base = Oid::from_slice(column);
        let mut walk = self.client.walk(base).map_err(|e| self.fault(&e))?;
        let mut seen = 0;
        while let Some(answer) = walk.next().await {
            let answer = answer.map_err(|e| self.fault(&e))?;
            if answer.value.kind() == ValueKind::EndOfMibView {
                break;
            }
            seen += 1;
            if seen > self.interfaces_max {
                self.reading.full += 1;
                break;
            }
            let index = match answer.oid.arcs().get(column.len()..) {
                Some([index]) if (1..=INDEX_MAX).contains(index) => *index,
                _ => {
                    self.reading.odd += 1;
                    continue;
                }
            };
            let mut interfaces = std::mem::take(&mut self.reading.interfaces);
            if interfaces.contains_key(&index) || interfaces.len() < self.interfaces_max {
                let row = interfaces.entry(index).or_default();
                let fits = take(row, answer.value, &mut self.reading);
                self.reading.odd += u64::from(!fits);
            }
            self.reading.interfaces = interfaces;
        }
        Ok(())
    }

    fn fault(&self, error: &Theirs) -> Error {
        fault(self.client.peer_addr().to_string(), error)
    }
}

/// What the library says, without the words that came from the network.
pub(super) fn fault(place: String, error: &Theirs) -> Error {
    match error.exchange_source() {
        Theirs::Timeout { .. } | Theirs::ConstructionTimeout { .. } => Error::Silent { place },
        Theirs::Auth { .. } => Error::Refused {
            place,
            why: "the answer is not signed with the password".into(),
        },
        Theirs::Report { status, .. } => {
            use async_snmp::v3::ReportStatus as R;
            let why = match **status {
                R::UnknownUserName { .. } => "unknown user",
                R::WrongDigest { .. } => "wrong auth_password or auth_protocol",
                R::DecryptionError { .. } => "wrong privacy_password or privacy_protocol",
                R::UnsupportedSecurityLevel { .. } => {
                    "it does not let this user in with this auth_protocol and privacy_protocol"
                }
                R::NotInTimeWindow { .. } => "its clock and boot count do not fit",
                _ => "it gives no reason that is known",
            };
            let why = why.into();
            Error::Refused { place, why }
        }
        // names no host that the configuration does not name
        Theirs::Config(why) => Error::Unreachable {
            place,
            why: why.to_string(),
        },
        Theirs::Network { source, .. } => Error::Unreachable {
            place,
            why: source.to_string(),
        },
        Theirs::Snmp { status, .. } => Error::Nonsense {
            place,
            why: format!("it says {status:?}"),
        },
        Theirs::WalkAborted { reason, .. } => Error::Nonsense {
            place,
            why: reason.to_string(),
        },
        other => Error::Nonsense {
            place,
            why: other.kind().to_string(),
        },
    }
}

/// A text for people: at most 64 bytes, nothing that moves a cursor or turns the direction of writing.
fn plain(bytes: &[u8]) -> (String, bool) {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(TEXT_READ_MAX)]);
    let steers = |c: &char| {
        c.is_control()
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    let kept: String = text.chars().filter(|c| !steers(c)).collect();
    let kept = kept.trim();
    let mut end = kept.len().min(TEXT_MAX);
    while !kept.is_char_boundary(end) {
        end -= 1;
    }
    let is_cut = end < kept.len() || bytes.len() > TEXT_READ_MAX;
    (kept[..end].trim_end().to_owned(), is_cut)
}

/// Bytes of a name.
const TEXT_MAX: usize = 64;
/// Bytes of a text that are looked at: DisplayString has at most 255.
const TEXT_READ_MAX: usize = 1_024;
/// InterfaceIndex of IF-MIB.
const INDEX_MAX: u32 = 0x7fff_ffff;
/// sysUpTime wraps within the next day: 2^32 less 8,640,000 hundredths.
const WRAPS_SOON: u32 = u32::MAX - 8_640_000;

const IF_DESCR: &[u32] = &[1, 3, 6, 1, 2, 1, 2, 2, 1, 2];
const IF_SPEED: &[u32] = &[1, 3, 6, 1, 2, 1, 2, 2, 1, 5];
const IF_IN_OCTETS: &[u32] = &[1, 3, 6, 1, 2, 1, 2, 2, 1, 10];
const IF_OUT_OCTETS: &[u32] = &[1, 3, 6, 1, 2, 1, 2, 2, 1, 16];
const IF_NAME: &[u32] = &[1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 1];
const IF_HC_IN_OCTETS: &[u32] = &[1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 6];
const IF_HC_OUT_OCTETS: &[u32] = &[1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 10];
const IF_HIGH_SPEED: &[u32] = &[1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 15];
const IF_ALIAS: &[u32] = &[1, 3, 6, 1, 2, 1, 31, 1, 1, 1, 18];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_plain_and_short() {
        assert_eq!(plain(b"Gi0/1"), ("Gi0/1".into(), false));
        assert_eq!(plain(b" \x1b[31mred\x00\r\n"), ("[31mred".into(), false));
        assert_eq!(plain("a\u{202e}b".as_bytes()), ("ab".into(), false));
        assert_eq!(plain(b"\xff\xfe"), ("\u{fffd}\u{fffd}".into(), false));
        let (text, is_cut) = plain("ä".repeat(60).as_bytes());
        assert_eq!((text.len(), is_cut), (64, true));
        let (text, is_cut) = plain(&[b'x'; 60_000]);
        assert_eq!((text.len(), is_cut), (64, true));
    }
}
