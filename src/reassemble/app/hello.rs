//! The hellos of TLS (RFC 8446 section 4.1), JA3 and JA4.
//!
//! JA3 is what Salesforce published (2017), JA4 the client fingerprint of FoxIO's technical description (2023, BSD-3).

use md5::{Digest, Md5};
use ring::digest::{SHA256, digest};
use std::fmt::Write as _;
use tls_parser::{parse_tls_handshake_client_hello, parse_tls_handshake_server_hello};

/// First message of a client.
#[derive(Clone, Debug)]
pub struct ClientHello<'a> {
    /// The message without its handshake header.
    pub body: &'a [u8],
    /// Version field of the message.
    pub version: u16,
    /// Its random octets.
    pub random: &'a [u8],
    /// Session id; empty where there is none.
    pub session_id: &'a [u8],
    /// Cipher suites, in order.
    pub ciphers: Vec<u16>,
    /// Extensions in order: type and content.
    pub extensions: Vec<(u16, &'a [u8])>,
    /// What carries it: `t` TCP, `q` QUIC, `d` DTLS.
    pub carrier: char,
}

/// First message of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerHello {
    /// The version that was chosen.
    pub version: u16,
    /// The version field of the message.
    pub legacy_version: u16,
    /// Its random octets.
    pub random: Vec<u8>,
    /// The cipher suite that was chosen.
    pub cipher: u16,
    /// Types of the extensions, in order.
    pub extensions: Vec<u16>,
}

impl<'a> ClientHello<'a> {
    /// Reads a message without its handshake header.
    pub fn read(body: &'a [u8], carrier: char) -> Option<Self> {
        let (_, hello) = parse_tls_handshake_client_hello(body).ok()?;
        Some(ClientHello {
            body,
            version: hello.version.0,
            random: hello.random,
            session_id: hello.session_id.unwrap_or_default(),
            ciphers: hello.ciphers.iter().map(|c| c.0).collect(),
            extensions: extensions(hello.ext.unwrap_or_default()).collect(),
            carrier,
        })
    }

    /// Content of an extension.
    pub fn extension(&self, kind: u16) -> Option<&'a [u8]> {
        let found = self.extensions.iter().find(|e| e.0 == kind);
        found.map(|e| e.1)
    }

    /// Name of the server that is asked for (RFC 6066 section 3).
    pub fn server_name(&self) -> Option<&'a [u8]> {
        // list length, type 0, length of the name
        let ext = self.extension(SERVER_NAME)?;
        match ext {
            [_, _, 0, a, b, name @ ..] => name.get(..usize::from(u16::from_be_bytes([*a, *b]))),
            _ => None,
        }
    }

    /// Application protocols (RFC 7301), in order.
    pub fn alpn(&self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = self
            .extension(ALPN)
            .and_then(|e| e.get(2..))
            .unwrap_or_default();
        std::iter::from_fn(move || {
            let (n, tail) = rest.split_first()?;
            let (name, tail) = tail.split_at_checked(usize::from(*n))?;
            rest = tail;
            Some(name)
        })
    }

    /// The highest version that the client has.
    pub fn highest_version(&self) -> u16 {
        let listed = self.extension(SUPPORTED_VERSIONS).and_then(|e| e.get(1..));
        let listed = listed.map(|e| words(e).filter(|v| !is_grease(*v)).max());
        listed.flatten().unwrap_or(self.version)
    }

    /// The text that JA3 is the MD5 of.
    pub fn ja3_text(&self) -> String {
        let mut text = format!("{},", self.version);
        let list = |text: &mut String, items: &mut dyn Iterator<Item = u16>| {
            for (n, item) in items.filter(|i| !is_grease(*i)).enumerate() {
                let _ = write!(text, "{}{item}", if n > 0 { "-" } else { "" });
            }
        };
        list(&mut text, &mut self.ciphers.iter().copied());
        text.push(',');
        list(&mut text, &mut self.extensions.iter().map(|e| e.0));
        text.push(',');
        let groups = self.extension(GROUPS).and_then(|e| e.get(2..));
        list(&mut text, &mut words(groups.unwrap_or_default()));
        text.push(',');
        let formats = self.extension(POINT_FORMATS).and_then(|e| e.get(1..));
        list(
            &mut text,
            &mut formats.unwrap_or_default().iter().map(|f| u16::from(*f)),
        );
        text
    }

    /// JA3, in hex.
    pub fn ja3(&self) -> String {
        hex(&Md5::digest(self.ja3_text()))
    }

    /// JA4.
    pub fn ja4(&self) -> String {
        let plain = |items: &mut dyn Iterator<Item = u16>| -> Vec<u16> {
            items.filter(|i| !is_grease(*i)).collect()
        };
        let mut ciphers = plain(&mut self.ciphers.iter().copied());
        let mut kinds = plain(&mut self.extensions.iter().map(|e| e.0));
        let version = match self.highest_version() {
            0x0304 => "13",
            0x0303 => "12",
            0x0302 => "11",
            0x0301 => "10",
            0x0300 => "s3",
            0x0002 => "s2",
            0xfeff => "d1",
            0xfefd => "d2",
            0xfefc => "d3",
            _ => "00",
        };
        let mut text = format!(
            "{}{version}{}{:02}{:02}{}_",
            self.carrier,
            if kinds.contains(&SERVER_NAME) {
                'd'
            } else {
                'i'
            },
            ciphers.len().min(99),
            kinds.len().min(99),
            self.alpn_ends(),
        );
        ciphers.sort_unstable();
        text.push_str(&cut_hash(&listed(&ciphers)));
        text.push('_');
        kinds.retain(|k| ![SERVER_NAME, ALPN].contains(k));
        kinds.sort_unstable();
        let mut second = listed(&kinds);
        let algorithms = self
            .extension(SIGNATURE_ALGORITHMS)
            .and_then(|e| e.get(2..));
        let algorithms = plain(&mut words(algorithms.unwrap_or_default()));
        if !algorithms.is_empty() && !second.is_empty() {
            second.push('_');
            second.push_str(&listed(&algorithms));
        }
        text.push_str(&cut_hash(&second));
        text
    }

    /// First and last character of the first application protocol; of what is not alphanumeric its hex.
    fn alpn_ends(&self) -> String {
        let Some(&[first, ..]) = self.alpn().next() else {
            return "00".into();
        };
        let last = self
            .alpn()
            .next()
            .and_then(|a| a.last())
            .copied()
            .unwrap_or(first);
        match first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
            true => [char::from(first), char::from(last)].iter().collect(),
            false => {
                let (first, last) = (format!("{first:02x}"), format!("{last:02x}"));
                format!("{}{}", &first[..1], &last[1..])
            }
        }
    }
}

impl ServerHello {
    /// Reads a message without its handshake header.
    pub fn read(body: &[u8]) -> Option<Self> {
        let (_, hello) = parse_tls_handshake_server_hello(body).ok()?;
        let legacy_version = hello.version.0;
        let (mut version, mut kinds) = (legacy_version, vec![]);
        for (kind, content) in extensions(hello.ext.unwrap_or_default()) {
            if let (SUPPORTED_VERSIONS, [a, b]) = (kind, content) {
                version = u16::from_be_bytes([*a, *b]);
            }
            kinds.push(kind);
        }
        Some(ServerHello {
            version,
            legacy_version,
            random: hello.random.to_vec(),
            cipher: hello.cipher.0,
            extensions: kinds,
        })
    }

    /// The text that JA3S is the MD5 of.
    pub fn ja3s_text(&self) -> String {
        let mut text = format!("{},{},", self.legacy_version, self.cipher);
        for (n, kind) in self.extensions.iter().enumerate() {
            let _ = write!(text, "{}{kind}", if n > 0 { "-" } else { "" });
        }
        text
    }
}

/// Type and content of each extension that is whole.
fn extensions(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (head, tail) = rest.split_first_chunk::<4>()?;
        let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let (content, tail) = tail.split_at_checked(len)?;
        rest = tail;
        Some((u16::from_be_bytes([head[0], head[1]]), content))
    })
}

fn words(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes
        .chunks_exact(2)
        .map(|w| u16::from_be_bytes([w[0], w[1]]))
}

/// Values that mean nothing and keep others from relying on what is not there (RFC 8701).
fn is_grease(n: u16) -> bool {
    n & 0x0f0f == 0x0a0a && n >> 8 == n & 0xff
}

/// Four hex digits each, with commas.
fn listed(items: &[u16]) -> String {
    let items: Vec<_> = items.iter().map(|i| format!("{i:04x}")).collect();
    items.join(",")
}

/// The first twelve digits of the SHA-256; zeros of nothing.
fn cut_hash(text: &str) -> String {
    match text.is_empty() {
        true => "0".repeat(12),
        false => hex(&digest(&SHA256, text.as_bytes()).as_ref()[..6]),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, b| {
        let _ = write!(text, "{b:02x}");
        text
    })
}

const SERVER_NAME: u16 = 0;
const GROUPS: u16 = 10;
const POINT_FORMATS: u16 = 11;
const SIGNATURE_ALGORITHMS: u16 = 13;
const ALPN: u16 = 16;
const SUPPORTED_VERSIONS: u16 = 43;

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A client hello without its handshake header, by its parts.
    pub fn client_hello(ciphers: &[u16], extensions: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.push(0);
        body.extend((ciphers.len() as u16 * 2).to_be_bytes());
        body.extend(ciphers.iter().flat_map(|c| c.to_be_bytes()));
        body.extend([1, 0]);
        let mut all = vec![];
        for (kind, content) in extensions {
            all.extend(kind.to_be_bytes());
            all.extend((content.len() as u16).to_be_bytes());
            all.extend(*content);
        }
        body.extend((all.len() as u16).to_be_bytes());
        body.extend(all);
        body
    }

    pub const SNI: &[u8] = b"\x00\x0e\x00\x00\x0bexample.com";

    fn sigs(list: &[u16]) -> Vec<u8> {
        let mut all = (list.len() as u16 * 2).to_be_bytes().to_vec();
        all.extend(list.iter().flat_map(|s| s.to_be_bytes()));
        all
    }

    /// The example of FoxIO's description of JA4, and its order of GREASE.
    #[test]
    fn fingerprints_of_the_published_example() {
        let ciphers = [
            0x0a0a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013,
            0xc014, 0x009c, 0x009d, 0x002f, 0x0035,
        ];
        let algorithms = sigs(&[
            0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601,
        ]);
        let extensions: [(u16, &[u8]); 18] = [
            (0x1a1a, b""),
            (0x0000, SNI),
            (0x0017, b""),
            (0xff01, b"\0"),
            (0x000a, b"\x00\x04\x2a\x2a\x00\x1d"),
            (0x000b, b"\x01\x00"),
            (0x0023, b""),
            (0x0010, b"\x00\x0c\x02h2\x08http/1.1"),
            (0x0005, b"\x01\0\0\0\0"),
            (0x000d, &algorithms),
            (0x0012, b""),
            (0x0033, b""),
            (0x002d, b"\x01\x01"),
            (0x002b, b"\x06\x3a\x3a\x03\x04\x03\x03"),
            (0x001b, b"\x02\x00\x02"),
            (0x4469, b""),
            (0x4a4a, b"\0"),
            (0x0015, b"\0\0"),
        ];
        let body = client_hello(&ciphers, &extensions);
        let hello = ClientHello::read(&body, 't').expect("whole");
        assert_eq!(hello.ja4(), "t13d1516h2_8daaf6152771_e5627efa2ab1");
        assert_eq!(hello.server_name(), Some(&b"example.com"[..]));
        assert_eq!(hello.alpn().collect::<Vec<_>>(), [&b"h2"[..], b"http/1.1"]);
        let text = hello.ja3_text();
        assert!(text.starts_with("771,4865-4866-4867-49195-"), "{text}");
        assert!(text.ends_with("-27-17513-21,29,0"), "{text}");
        assert_eq!(hello.ja3().len(), 32);
        for n in 0..body.len() {
            if let Some(cut) = ClientHello::read(&body[..n], 't') {
                assert!(cut.ja4().len() == 36 && cut.ja3().len() == 32);
            }
        }
    }

    #[test]
    fn a_hello_with_nothing() {
        let body = client_hello(&[], &[]);
        let hello = ClientHello::read(&body, 'q').expect("whole");
        assert_eq!(hello.ja4(), "q12i000000_000000000000_000000000000");
        assert_eq!(hello.server_name(), None);
    }
}
