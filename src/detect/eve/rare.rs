//! What alerts say of SIP, SNMP and files in FTP.

use super::text::{lossless, text};
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// A message of SIP (RFC 3261 section 7): its first line.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sip<'a> {
    /// Of a request; empty where it is an answer.
    pub request_line: &'a [u8],
    /// Of an answer.
    pub response_line: &'a [u8],
}

/// A message of SNMP.
#[derive(Debug, Clone, Default)]
pub struct Snmp<'a> {
    /// Version: 1, 2 or 3.
    pub version: u64,
    /// What kind of unit it is, in the words of RFC 3416; empty where that is encrypted.
    pub kind: &'a str,
    /// Object identifiers that it names.
    pub variables: Vec<String>,
    /// Community of versions 1 and 2.
    pub community: &'a [u8],
    /// User of version 3.
    pub user: &'a [u8],
}

/// A file of FTP.
#[derive(Debug, Clone, Copy, Default)]
pub struct FtpData<'a> {
    /// Its name.
    pub name: &'a [u8],
    /// The client sends it.
    pub is_upload: bool,
}

impl Serialize for Sip<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let words = |line: &'_ [u8]| -> Vec<Vec<u8>> {
            line.splitn(3, |b| *b == b' ').map(<[u8]>::to_vec).collect()
        };
        if let [method, uri, version] = &words(self.request_line)[..] {
            text(&mut map, "method", method)?;
            text(&mut map, "uri", uri)?;
            text(&mut map, "version", version)?;
            text(&mut map, "request_line", self.request_line)?;
        }
        if let [version, code, reason] = &words(self.response_line)[..] {
            text(&mut map, "version", version)?;
            text(&mut map, "code", code)?;
            text(&mut map, "reason", reason)?;
            text(&mut map, "response_line", self.response_line)?;
        }
        map.end()
    }
}

impl Serialize for Snmp<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("version", &self.version)?;
        let kind = if self.kind.is_empty() {
            "encrypted"
        } else {
            self.kind
        };
        map.serialize_entry("pdu_type", kind)?;
        if !self.variables.is_empty() {
            map.serialize_entry("vars", &self.variables)?;
        }
        text(&mut map, "community", self.community)?;
        text(&mut map, "usm", self.user)?;
        map.end()
    }
}

impl Serialize for FtpData<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("filename", &lossless(self.name))?;
        map.serialize_entry("command", if self.is_upload { "STOR" } else { "RETR" })?;
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{json, to_value};

    /// As Suricata 7.0.10 wrote them.
    #[test]
    fn messages_are_told_key_by_key() {
        let sip = Sip {
            request_line: b"REGISTER sip:a.example SIP/2.0",
            ..Sip::default()
        };
        let said = json!({"method": "REGISTER", "uri": "sip:a.example", "version": "SIP/2.0", "request_line": "REGISTER sip:a.example SIP/2.0"});
        assert_eq!(to_value(sip).unwrap(), said);
        let sip = Sip {
            response_line: b"SIP/2.0 404 Not Found",
            ..Sip::default()
        };
        let said = json!({"version": "SIP/2.0", "code": "404", "reason": "Not Found", "response_line": "SIP/2.0 404 Not Found"});
        assert_eq!(to_value(sip).unwrap(), said);
        let snmp = Snmp {
            version: 2,
            kind: "get_request",
            variables: vec!["1.3.6.1.2.1".to_owned()],
            community: b"public",
            user: b"",
        };
        let said = json!({"version": 2, "pdu_type": "get_request", "vars": ["1.3.6.1.2.1"], "community": "public"});
        assert_eq!(to_value(snmp).unwrap(), said);
        let file = FtpData {
            name: b"1MB.zip",
            is_upload: false,
        };
        assert_eq!(
            to_value(file).unwrap(),
            json!({"filename": "1MB.zip", "command": "RETR"})
        );
    }
}
