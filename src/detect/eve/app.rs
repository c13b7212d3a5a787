//! What an alert says of the application layer.

use super::text::{lossless, optional, text};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::borrow::Cow;

/// What the application layer says of the transaction.
#[derive(Debug, Clone, Default)]
pub enum App<'a> {
    /// Nothing.
    #[default]
    None,
    /// HTTP.
    Http(Http<'a>),
    /// DNS.
    Dns(Dns<'a>),
    /// TLS.
    Tls(Tls<'a>),
}

/// A transaction of HTTP.
#[derive(Debug, Clone, Default)]
pub struct Http<'a> {
    /// Host, without port.
    pub hostname: &'a [u8],
    /// Port of the host field.
    pub port: Option<u16>,
    /// Request target as sent.
    pub url: &'a [u8],
    /// User-Agent.
    pub user_agent: &'a [u8],
    /// Content-Type of the response, without parameters.
    pub content_type: &'a [u8],
    /// Referer.
    pub referer: &'a [u8],
    /// Method.
    pub method: &'a [u8],
    /// Protocol of the request line.
    pub protocol: &'a [u8],
    /// Status code.
    pub status: Option<u16>,
    /// Location of a redirect.
    pub redirect: &'a [u8],
    /// Bytes of the response body so far.
    pub length: u64,
}

/// A message of DNS.
#[derive(Debug, Clone, Default)]
pub struct Dns<'a> {
    /// Whether it answers.
    pub is_answer: bool,
    /// Id.
    pub id: u16,
    /// Name that is asked for.
    pub name: &'a [u8],
    /// Type that is asked for, as text (`A`).
    pub kind: Cow<'a, str>,
    /// Response code as text (`NOERROR`); of an answer.
    pub rcode: Cow<'a, str>,
}

/// A session of TLS.
#[derive(Debug, Clone, Default)]
pub struct Tls<'a> {
    /// Subject of the server's certificate.
    pub subject: &'a str,
    /// Its issuer.
    pub issuer: &'a str,
    /// Its serial number.
    pub serial: &'a str,
    /// SHA-1 of it, bytes in hexadecimal between colons.
    pub fingerprint: &'a str,
    /// Server name that was asked for.
    pub sni: &'a [u8],
    /// Version (`TLS 1.2`).
    pub version: &'a str,
    /// JA3, its text and its hash.
    pub ja3: (&'a str, &'a str),
    /// JA3S, likewise.
    pub ja3s: (&'a str, &'a str),
    /// JA4.
    pub ja4: &'a str,
}

impl Serialize for Http<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        text(&mut map, "hostname", self.hostname)?;
        optional(&mut map, "http_port", self.port)?;
        text(&mut map, "url", self.url)?;
        text(&mut map, "http_user_agent", self.user_agent)?;
        text(&mut map, "http_content_type", self.content_type)?;
        text(&mut map, "http_refer", self.referer)?;
        text(&mut map, "http_method", self.method)?;
        text(&mut map, "protocol", self.protocol)?;
        optional(&mut map, "status", self.status)?;
        text(&mut map, "redirect", self.redirect)?;
        map.serialize_entry("length", &self.length)?;
        map.end()
    }
}

impl Serialize for Tls<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        text(&mut map, "subject", self.subject.as_bytes())?;
        text(&mut map, "issuerdn", self.issuer.as_bytes())?;
        text(&mut map, "serial", self.serial.as_bytes())?;
        text(&mut map, "fingerprint", self.fingerprint.as_bytes())?;
        text(&mut map, "sni", self.sni)?;
        text(&mut map, "version", self.version.as_bytes())?;
        for (key, (string, hash)) in [("ja3", self.ja3), ("ja3s", self.ja3s)] {
            if !hash.is_empty() {
                map.serialize_entry(key, &Fingerprint { hash, string })?;
            }
        }
        text(&mut map, "ja4", self.ja4.as_bytes())?;
        map.end()
    }
}

#[derive(Serialize)]
struct Fingerprint<'a> {
    hash: &'a str,
    string: &'a str,
}

/// DNS as version 2 of Suricata's record has it in alerts: a list of queries, or an answer.
pub(super) struct Queries<'a>(pub &'a Dns<'a>, pub Option<u64>);

impl Serialize for Queries<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("version", &2)?;
        match self.0.is_answer {
            true => map.serialize_entry("answer", &Query(self.0, None))?,
            false => map.serialize_entry("query", &[Query(self.0, self.1)])?,
        }
        map.end()
    }
}

struct Query<'a>(&'a Dns<'a>, Option<u64>);

impl Serialize for Query<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let dns = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", if dns.is_answer { "answer" } else { "query" })?;
        map.serialize_entry("id", &dns.id)?;
        map.serialize_entry("rrname", &lossless(dns.name))?;
        map.serialize_entry("rrtype", &dns.kind)?;
        if dns.is_answer {
            map.serialize_entry("rcode", &dns.rcode)?;
        }
        optional(&mut map, "tx_id", self.1)?;
        map.end()
    }
}
