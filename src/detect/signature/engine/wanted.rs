//! Which buffers anybody asks for: what nobody asks for is not made.

use super::super::buffer::Buffer;
use super::super::rule::{Rule, Test};
use super::said::TOLD;

/// Buffers that rules look into or alerts tell of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    buffers: [u64; Buffer::COUNT.div_ceil(64)],
    /// What certificates say.
    pub certificates: bool,
    /// Names, sizes and digests of files.
    pub files: bool,
    /// What is odd about messages.
    pub events: bool,
    /// Frames of HTTP/2.
    pub frames: bool,
    /// How far handshakes of TLS are.
    pub states: bool,
    /// MD5, SHA-1 and SHA-256 of files.
    pub digests: [bool; 3],
}

impl Default for Wanted {
    /// All of them.
    fn default() -> Self {
        Wanted {
            buffers: [u64::MAX; Buffer::COUNT.div_ceil(64)],
            certificates: true,
            files: true,
            events: true,
            frames: true,
            states: true,
            digests: [true; 3],
        }
    }
}

impl Wanted {
    /// What rules of a set ask for.
    pub fn of<'a>(rules: impl Iterator<Item = &'a Rule>) -> Self {
        let mut wanted = Wanted {
            buffers: [0; Buffer::COUNT.div_ceil(64)],
            certificates: false,
            files: false,
            events: false,
            frames: false,
            states: false,
            digests: [false; 3],
        };
        for rule in rules {
            rule.groups.iter().for_each(|g| wanted.add(g.buffer));
            for test in &rule.tests {
                match test {
                    Test::Number(name, _) | Test::Word(name, ..) | Test::Flag(name) => {
                        wanted.certificates |= name.starts_with("tls");
                        wanted.states |= *name == "ssl_state";
                        wanted.frames |= name.starts_with("http2");
                        wanted.files |= matches!(*name, "filesize" | "filestore");
                    }
                    Test::Digest(name, ..) => {
                        wanted.files = true;
                        let at = DIGESTS.iter().position(|d| d == name);
                        at.into_iter().for_each(|at| wanted.digests[at] = true);
                    }
                    Test::Event(kind, _) => wanted.events |= *kind == "app-layer-event",
                    _ => {}
                }
            }
        }
        // what alerts about files tell of them
        wanted.files |= wanted.has(FILE_NAME) || wanted.has(FILE);
        if wanted.files {
            wanted.add(FILE_NAME);
        }
        wanted.certificates |= OF_CERTIFICATES.iter().any(|b| wanted.has(*b));
        let told = TOLD.iter().filter(|name| !TOLD_LATER.contains(name));
        told.filter_map(|name| Buffer::told(name))
            .for_each(|b| wanted.add(b));
        wanted
    }

    fn add(&mut self, buffer: Buffer) {
        self.buffers[buffer.place() / 64] |= 1 << (buffer.place() % 64);
    }

    /// Whether somebody asks for a buffer.
    #[inline]
    pub fn has(&self, buffer: Buffer) -> bool {
        self.buffers[buffer.place() / 64] >> (buffer.place() % 64) & 1 != 0
    }

    /// Whether somebody asks for any body.
    pub fn has_bodies(&self) -> bool {
        (0..2).any(|half| self.has_body(half))
    }

    /// Whether somebody asks for the body of requests (0) or answers (1), or for files in them.
    pub fn has_body(&self, half: usize) -> bool {
        let body = [REQUEST_BODY, RESPONSE_BODY][half.min(1)];
        self.files || self.has(body) || self.has(FILE)
    }
}

/// What takes so long to make that it is made for an alert alone, where no rule looks into it.
const TOLD_LATER: &[&str] = &[
    "ja3.hash",
    "ja3.string",
    "ja3s.hash",
    "ja3s.string",
    "ja4.hash",
    "tls.cert_subject",
    "tls.cert_issuer",
    "tls.cert_serial",
    "tls.cert_fingerprint",
];

const OF_CERTIFICATES: &[Buffer] = &[
    Buffer::named("tls.cert_subject"),
    Buffer::named("tls.cert_issuer"),
    Buffer::named("tls.cert_serial"),
    Buffer::named("tls.cert_fingerprint"),
    Buffer::named("tls.subjectaltname"),
];
const REQUEST_BODY: Buffer = Buffer::named("http.request_body");
const RESPONSE_BODY: Buffer = Buffer::named("http.response_body");
const FILE: Buffer = Buffer::named("file.data");
const FILE_NAME: Buffer = Buffer::named("file.name");
const DIGESTS: [&str; 3] = ["filemd5", "filesha1", "filesha256"];

#[cfg(test)]
mod tests {
    use super::super::super::keyword::testing::rule;
    use super::*;

    #[test]
    fn what_rules_look_into_is_wanted_and_what_alerts_tell() {
        let made = rule("http", "http.request_body; content:\"x\";").unwrap();
        let wanted = Wanted::of(std::iter::once(&made));
        assert!(wanted.has_body(0) && !wanted.has_body(1) && !wanted.certificates);
        assert!(wanted.has(Buffer::named("http.host")));
        assert!(!wanted.has(Buffer::named("http.header_names")));
        assert!(!wanted.has(Buffer::named("ja4.hash")));
        let made = rule("http", "filename:\"x\";").unwrap();
        let wanted = Wanted::of(std::iter::once(&made));
        assert!(wanted.files && wanted.has_body(1) && wanted.digests == [false; 3]);
        let made = rule("http", "file.data; content:\"x\";").unwrap();
        let wanted = Wanted::of(std::iter::once(&made));
        assert!(wanted.files && wanted.has(FILE_NAME));
        let made = rule("tls", "tls.cert_issuer; content:\"x\";").unwrap();
        assert!(Wanted::of(std::iter::once(&made)).certificates);
        let made = rule("tls", "tls_cert_expired;").unwrap();
        assert!(Wanted::of(std::iter::once(&made)).certificates);
    }
}
