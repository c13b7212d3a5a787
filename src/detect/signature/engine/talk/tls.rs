//! TLS: hellos and certificates.

use super::super::super::buffer::Buffer;
use super::super::unit::{Later, Unit};
use super::super::wanted::Wanted;
use super::{OPEN_MAX, Said};
use crate::reassemble::app::{Certificate, ClientHello, ServerHello};

impl Said {
    /// What a client offers.
    pub(super) fn client_hello(&mut self, half: usize, hello: &ClientHello<'_>) {
        let unit = self.open(half);
        random(unit, hello.random);
        if let Some(name) = hello.server_name() {
            unit.add(SNI, name);
            unit.add(QUIC_SNI, name);
        }
        hello.alpn().for_each(|name| unit.add(ALPN, name));
        if fingerprints(unit, hello) {
            let kept = hello.body.len().min(HELLO_MAX);
            unit.keep(Later::ClientHello(
                hello.carrier,
                hello.body[..kept].to_vec(),
            ));
        }
        version(unit, hello.highest_version());
        unit.word("ssl_state", "client_hello");
        unit.is_whole = true;
    }

    /// What a server chose.
    pub(super) fn server_hello(&mut self, half: usize, hello: &ServerHello) {
        let unit = self.open(half);
        if unit.wants(JA3S_STRING) {
            unit.add(JA3S_STRING, hello.ja3s_text().as_bytes());
        }
        if unit.wants(JA3S_HASH) {
            let text = hello.ja3s_text();
            unit.add(JA3S_HASH, md5_hex(text.as_bytes()).as_bytes());
        }
        if !(unit.wants(JA3S_STRING) && unit.wants(JA3S_HASH)) {
            unit.keep(Later::ServerHello(Box::new(hello.clone())));
        }
        random(unit, &hello.random);
        version(unit, hello.version);
        unit.word("ssl_state", "server_hello");
    }

    /// A client says its keys. Rules that ask for it see a side of its own: the hello was looked at before.
    pub(super) fn client_keys(&mut self, half: usize) {
        if self.limits.wanted.states && self.units.len() < OPEN_MAX {
            let transaction = self.begun[half].saturating_sub(1);
            let mut unit = Unit::new(half, transaction, self.limits.wanted);
            unit.word("ssl_state", "client_keyx");
            unit.is_whole = true;
            self.units.push(unit);
        }
    }

    /// A certificate of a chain.
    pub(super) fn certificate(&mut self, half: usize, place: usize, der: &[u8]) {
        let now_s = self.time_ns.div_euclid(1_000_000_000);
        let unit = self.open(half);
        unit.add(CERTS, der);
        unit.certificates += 1;
        if place > 0 {
            return;
        }
        let wanted = unit.wanted().certificates;
        if !wanted || NAMES_TOLD.iter().any(|b| !unit.wants(*b)) {
            // lines tell all of it
            unit.keep(Later::Certificate(der.to_vec()));
        }
        if !wanted {
            return;
        }
        let Some(c) = Certificate::read(der) else {
            return;
        };
        names(unit, &c);
        let expired = c.not_after_s < now_s;
        if expired {
            unit.word("tls_cert_expired", "");
        } else {
            // also where it does not hold yet, as for Suricata
            unit.word("tls_cert_valid", "");
        }
    }
}

/// What alerts tell of a side and was kept as it came, as buffers.
pub(in super::super) fn told_later(unit: &Unit) -> Unit {
    let mut told = Unit::new(unit.direction, unit.transaction, Wanted::default());
    for kept in unit.kept() {
        match kept {
            Later::ClientHello(carrier, body) => {
                if let Some(hello) = ClientHello::read(body, *carrier) {
                    fingerprints(&mut told, &hello);
                }
            }
            Later::ServerHello(hello) => {
                let text = hello.ja3s_text();
                told.add(JA3S_STRING, text.as_bytes());
                told.add(JA3S_HASH, md5_hex(text.as_bytes()).as_bytes());
            }
            Later::Certificate(der) => {
                if let Some(c) = Certificate::read(der) {
                    names(&mut told, &c);
                }
            }
        }
    }
    told
}

/// Says the fingerprints that are wanted; returns whether some are not.
fn fingerprints(unit: &mut Unit, hello: &ClientHello<'_>) -> bool {
    let mut all = true;
    let mut say = |buffer, text: &dyn Fn() -> String| match unit.wants(buffer) {
        true => unit.add(buffer, text().as_bytes()),
        false => all = false,
    };
    say(JA3_HASH, &|| hello.ja3());
    say(JA3_STRING, &|| hello.ja3_text());
    say(JA4, &|| hello.ja4());
    !all
}

fn names(unit: &mut Unit, c: &Certificate) {
    unit.add(SUBJECT, c.subject.as_bytes());
    unit.add(ISSUER, c.issuer.as_bytes());
    unit.add(SERIAL, c.serial.as_bytes());
    unit.add(FINGERPRINT, c.fingerprint.as_bytes());
    c.names.iter().for_each(|n| unit.add(NAMES, n.as_bytes()));
    unit.number("tls_cert_notbefore", c.not_before_s.max(0) as u64);
    unit.number("tls_cert_notafter", c.not_after_s.max(0) as u64);
}

fn random(unit: &mut Unit, bytes: &[u8]) {
    unit.add(RANDOM, bytes);
    if let Some((time, rest)) = bytes.split_at_checked(4) {
        unit.add(RANDOM_TIME, time);
        unit.add(RANDOM_BYTES, rest);
    }
}

fn version(unit: &mut Unit, version: u16) {
    let (plain, ssl) = match version {
        0x0002 => ("", "sslv2"),
        0x0300 => ("", "sslv3"),
        0x0301 => ("1.0", "tls1.0"),
        0x0302 => ("1.1", "tls1.1"),
        0x0303 => ("1.2", "tls1.2"),
        0x0304 => ("1.3", "tls1.3"),
        _ => return,
    };
    unit.word("tls.version", plain);
    unit.word("ssl_version", ssl);
}

pub(super) fn md5_hex(bytes: &[u8]) -> String {
    use md5::{Digest, Md5};
    let digest = Md5::digest(bytes);
    digest.iter().map(|b| format!("{b:02x}")).collect()
}

const SNI: Buffer = Buffer::named("tls.sni");
const QUIC_SNI: Buffer = Buffer::named("quic.sni");
const ALPN: Buffer = Buffer::named("tls.alpn");
const RANDOM: Buffer = Buffer::named("tls.random");
const RANDOM_TIME: Buffer = Buffer::named("tls.random_time");
const RANDOM_BYTES: Buffer = Buffer::named("tls.random_bytes");
const JA3_HASH: Buffer = Buffer::named("ja3.hash");
const JA3_STRING: Buffer = Buffer::named("ja3.string");
const JA3S_HASH: Buffer = Buffer::named("ja3s.hash");
const JA3S_STRING: Buffer = Buffer::named("ja3s.string");
const JA4: Buffer = Buffer::named("ja4.hash");
const CERTS: Buffer = Buffer::named("tls.certs");
const SUBJECT: Buffer = Buffer::named("tls.cert_subject");
const ISSUER: Buffer = Buffer::named("tls.cert_issuer");
const SERIAL: Buffer = Buffer::named("tls.cert_serial");
const FINGERPRINT: Buffer = Buffer::named("tls.cert_fingerprint");
/// What lines tell of a certificate.
const NAMES_TOLD: [Buffer; 4] = [SUBJECT, ISSUER, SERIAL, FINGERPRINT];
const NAMES: Buffer = Buffer::named("tls.subjectaltname");
/// Bytes of a hello that are kept for alerts.
const HELLO_MAX: usize = 4_096;
