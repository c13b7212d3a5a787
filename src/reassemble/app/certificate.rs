//! What a certificate says of itself (RFC 5280), as texts.

use std::fmt::Write as _;
use x509_parser::prelude::{FromDer, X509Certificate};

/// A certificate, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// Whose it is: `C=US, O=Example, CN=www.example.com`.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Serial number: `0A:1B:2C`.
    pub serial: String,
    /// Seconds since 1970 from which it holds.
    pub not_before_s: i64,
    /// Seconds since 1970 after which it does not hold.
    pub not_after_s: i64,
    /// DNS names beside the subject.
    pub names: Vec<String>,
    /// SHA-1 of it: `0a:1b:2c`.
    pub fingerprint: String,
}

impl Certificate {
    /// Reads one (DER).
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, c) = X509Certificate::from_der(der).ok()?;
        let names = c.subject_alternative_name().ok().flatten();
        let names = names.map(|n| {
            let dns = n.value.general_names.iter().filter_map(|g| match g {
                x509_parser::extensions::GeneralName::DNSName(name) => Some((*name).to_owned()),
                _ => None,
            });
            dns.collect()
        });
        let digest = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, der);
        Some(Certificate {
            subject: c.subject().to_string(),
            issuer: c.issuer().to_string(),
            serial: colons(c.raw_serial()).to_uppercase(),
            not_before_s: c.validity().not_before.timestamp(),
            not_after_s: c.validity().not_after.timestamp(),
            names: names.unwrap_or_default(),
            fingerprint: colons(digest.as_ref()),
        })
    }
}

fn colons(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (n, byte) in bytes.iter().enumerate() {
        let _ = write!(text, "{}{byte:02x}", if n > 0 { ":" } else { "" });
    }
    text
}
