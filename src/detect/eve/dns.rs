//! DNS as version 2 of Suricata's record has it in alerts: a list of queries, and an answer with its records, also by their types.

use super::app::{Dns, DnsAnswer, DnsMessage};
use super::text::{lossless_lower as lower, optional};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::borrow::Cow;

/// A transaction of DNS and its number.
pub(super) struct Transaction<'a>(pub &'a Dns, pub Option<u64>);

impl Serialize for Transaction<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("version", &2)?;
        if let Some(query) = &self.0.query {
            let all = query.questions.iter();
            let all: Vec<_> = all.map(|q| Question(query, q, self.1)).collect();
            map.serialize_entry("query", &all)?;
        }
        if let Some(answer) = &self.0.answer {
            map.serialize_entry("answer", &Answer(answer))?;
        }
        map.end()
    }
}

struct Question<'a>(&'a DnsMessage, &'a (Vec<u8>, u16), Option<u64>);

impl Serialize for Question<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Question(message, (name, kind), tx_id) = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", "query")?;
        map.serialize_entry("id", &message.id)?;
        map.serialize_entry("rrname", &lower(name))?;
        map.serialize_entry("rrtype", &kind_name(*kind))?;
        optional(&mut map, "tx_id", *tx_id)?;
        optional(&mut map, "z", (message.flags & 0x40 != 0).then_some(true))?;
        map.serialize_entry("opcode", &(message.flags >> 11 & 15))?;
        map.end()
    }
}

struct Answer<'a>(&'a DnsMessage);

impl Serialize for Answer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let message = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("version", &2)?;
        map.serialize_entry("type", "answer")?;
        map.serialize_entry("id", &message.id)?;
        map.serialize_entry("flags", &format!("{:x}", message.flags))?;
        for (bit, key) in [
            (15, "qr"),
            (10, "aa"),
            (9, "tc"),
            (8, "rd"),
            (7, "ra"),
            (6, "z"),
        ] {
            let set = message.flags >> bit & 1 != 0;
            optional(&mut map, key, set.then_some(true))?;
        }
        map.serialize_entry("opcode", &(message.flags >> 11 & 15))?;
        if let Some((name, kind)) = message.questions.first() {
            map.serialize_entry("rrname", &lower(name))?;
            map.serialize_entry("rrtype", &kind_name(*kind))?;
        }
        map.serialize_entry("rcode", &code_name(message.flags & 15))?;
        if !message.answers.is_empty() {
            map.serialize_entry("answers", &message.answers)?;
            map.serialize_entry("grouped", &Grouped(&message.answers))?;
        }
        map.end()
    }
}

impl Serialize for DnsAnswer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("rrname", &lower(&self.name))?;
        map.serialize_entry("rrtype", &kind_name(self.kind))?;
        map.serialize_entry("ttl", &self.ttl)?;
        optional(&mut map, "rdata", self.data.as_deref().map(lower))?;
        map.end()
    }
}

/// The data of records by their types.
struct Grouped<'a>(&'a [DnsAnswer]);

impl Serialize for Grouped<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let known = |a: &&DnsAnswer| a.data.is_some();
        for (at, answer) in self.0.iter().enumerate().filter(|(_, a)| known(a)) {
            let before = self.0[..at].iter().filter(known);
            if before.into_iter().any(|a| a.kind == answer.kind) {
                continue;
            }
            let same = self.0.iter().filter(|a| a.kind == answer.kind);
            let data = same.filter_map(|a| a.data.as_deref());
            let data: Vec<_> = data.map(lower).collect();
            map.serialize_entry(&kind_name(answer.kind), &data)?;
        }
        map.end()
    }
}

/// Names of types (IANA, "Domain Name System Parameters"); others are numbers.
fn kind_name(kind: u16) -> Cow<'static, str> {
    let name = KINDS.iter().find(|k| k.0 == kind);
    name.map_or_else(|| kind.to_string().into(), |k| k.1.into())
}

/// Names of answers' codes.
fn code_name(code: u16) -> Cow<'static, str> {
    let name = CODES.get(usize::from(code));
    name.map_or_else(|| code.to_string().into(), |n| (*n).into())
}

#[rustfmt::skip]
const KINDS: &[(u16, &str)] = &[
    (1, "A"), (2, "NS"), (5, "CNAME"), (6, "SOA"), (10, "NULL"), (11, "WKS"), (12, "PTR"), (13, "HINFO"), (14, "MINFO"), (15, "MX"), (16, "TXT"),
    (17, "RP"), (18, "AFSDB"), (24, "SIG"), (25, "KEY"), (28, "AAAA"), (29, "LOC"), (33, "SRV"), (35, "NAPTR"), (39, "DNAME"), (41, "OPT"),
    (43, "DS"), (44, "SSHFP"), (46, "RRSIG"), (47, "NSEC"), (48, "DNSKEY"), (50, "NSEC3"), (52, "TLSA"), (64, "SVCB"), (65, "HTTPS"), (99, "SPF"),
    (249, "TKEY"), (250, "TSIG"), (251, "IXFR"), (252, "AXFR"), (255, "ANY"),
];
#[rustfmt::skip]
const CODES: &[&str] = &[
    "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE",
];
