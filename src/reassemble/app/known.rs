//! What is known of a conversation by what it said.

use super::Ends;
use super::expect::{Expectations, Expected};
use super::message::{Visitor, Wishes};
use crate::ledger::{Outcome, Tally};
use crate::reassemble::settings::AppSettings;

/// Head and time of a datagram of each half.
pub type Before = [Option<([u8; 12], i64)>; 2];

/// What conversations say of themselves, for their rows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// Name of the server: SNI, host of HTTP, name that was asked for; lower case, at most 255 bytes.
    pub server_name: Vec<u8>,
    /// JA4 fingerprint of the client's hello; empty where there was none.
    pub ja4: Vec<u8>,
    /// TLS version that the server chose; 0: not known.
    pub tls_version: u16,
    /// End of validity of the server's certificate, seconds since 1970.
    pub cert_expires_s: Option<u32>,
    /// Queries of DNS that wait for their answer: id and time.
    pub(super) asked: [Option<(u16, i64)>; ASKED_MAX],
    /// Of RTP, what came before it was known as that: heads and times of the last datagram of each half.
    pub(super) before: Option<Box<Before>>,
    /// Answers since they were told last: microseconds of the slowest whose query was seen, and the first code that is none of success.
    pub(super) answer: Option<(Option<u32>, u8)>,
}

impl Known {
    /// Most bytes of one.
    pub(super) const BYTES_MAX: usize = size_of::<Self>() + NAME_MAX + 64;

    /// Keeps a name if it can be one and there is none yet.
    pub(super) fn name(&mut self, name: &[u8]) {
        let name = name.strip_suffix(b".").unwrap_or(name);
        let fits = !name.is_empty() && name.len() <= NAME_MAX;
        if self.server_name.is_empty() && fits && name.iter().all(u8::is_ascii_graphic) {
            self.server_name
                .extend(name.iter().map(u8::to_ascii_lowercase));
        }
    }
}

/// What a reader has at hand.
pub(super) struct Ctx<'a> {
    pub settings: &'a AppSettings,
    pub wishes: Wishes,
    pub known: &'a mut Option<Box<Known>>,
    pub tally: &'a mut Tally,
    pub visitor: &'a mut dyn Visitor,
    pub time_ns: i64,
    pub ends: &'a Ends,
    pub expectations: &'a mut Expectations,
}

impl Ctx<'_> {
    /// Another conversation is announced.
    pub fn expect(&mut self, expected: Expected) {
        if self.expectations.add(expected, self.time_ns) {
            self.tally.one(Outcome::ExpectationsForgotten);
        }
    }

    pub fn known(&mut self) -> &mut Known {
        self.known.get_or_insert_default()
    }

    /// What conversations are named by; nothing where all messages are told, since whoever wants those names nothing.
    pub fn names(&mut self) -> Option<&mut Known> {
        (!self.wishes.all).then(|| &mut **self.known.get_or_insert_default())
    }
}

/// Queries that may be open at a time; of more the oldest is forgotten.
pub(super) const ASKED_MAX: usize = 4;
/// Longest name.
const NAME_MAX: usize = 255;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::Addr;
    use crate::reassemble::app::Message;

    /// What a reader needs, for tests.
    pub struct Rig {
        pub settings: AppSettings,
        pub wishes: Wishes,
        pub known: Option<Box<Known>>,
        pub tally: Tally,
        pub heard: Heard,
        pub time_ns: i64,
        pub ends: Ends,
        pub expectations: Expectations,
    }

    impl Default for Rig {
        fn default() -> Self {
            Rig {
                settings: AppSettings::default(),
                wishes: Wishes::default(),
                known: None,
                tally: Tally::default(),
                heard: Heard::default(),
                time_ns: 0,
                ends: Ends {
                    proto: 6,
                    addrs: [Addr::from_v4([10, 0, 0, 1]), Addr::from_v4([10, 0, 0, 2])],
                    ports: [40_000, 21],
                },
                expectations: Expectations::new(16, 1_000_000_000, 0),
            }
        }
    }

    /// Messages as texts.
    #[derive(Default)]
    pub struct Heard(pub Vec<String>);

    impl Visitor for Heard {
        fn message(&mut self, half: usize, message: &Message<'_>) {
            self.0.push(match message {
                Message::HttpRequest(h) | Message::HttpResponse(h) => {
                    let [a, b, c] = h.first.map(String::from_utf8_lossy);
                    format!("{half} {a} {b} {c} {}", h.headers.len())
                }
                Message::HttpBody(b) => format!("{half} {}", String::from_utf8_lossy(b)),
                Message::HttpEnd | Message::HttpTrailers(_) | Message::Http2Frame { .. } => return,
                Message::TlsClientHello(h) => format!("{half} {}", h.ja4()),
                Message::TlsServerHello(h) => format!("{half} {:x}", h.version),
                Message::TlsCertificate { place, der } => format!("{half} {place} {}", der.len()),
                Message::Dns(d) => format!("{half} {} {}", d.id, String::from_utf8_lossy(d.name)),
                Message::TlsClientKeys => format!("{half} keys"),
                Message::Other(b) => format!("{half} {}", b.len()),
            });
        }
    }

    impl Rig {
        pub fn ctx(&mut self) -> Ctx<'_> {
            Ctx {
                settings: &self.settings,
                wishes: self.wishes,
                known: &mut self.known,
                tally: &mut self.tally,
                visitor: &mut self.heard,
                time_ns: self.time_ns,
                ends: &self.ends,
                expectations: &mut self.expectations,
            }
        }
    }

    #[test]
    fn a_name_that_is_none_is_not_kept() {
        let mut known = Known::default();
        for bad in [&b""[..], b".", b"a b", b"\xff", &[b'a'; 256]] {
            known.name(bad);
            assert_eq!(known.server_name, b"");
        }
        known.name(b"WWW.Example.COM.");
        known.name(b"other");
        assert_eq!(known.server_name, b"www.example.com");
    }
}
