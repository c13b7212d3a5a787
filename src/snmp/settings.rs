//! Settings of SNMP.

use crate::enrich::Prefix;
use crate::secret::quiet;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

/// `[snmp]`: names, speeds and counters of interfaces, asked from exporters. Nobody is asked without `access`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Time between two polls of an exporter, seconds (10 to 300: flows are compared with counters every 5 minutes). Default 60.
    pub interval_s: u64,
    /// How long an answer may take, milliseconds. Default 2,000.
    pub timeout_ms: u64,
    /// How often a question is asked again. Default 2; at most 16.
    pub retries: u32,
    /// How long all questions of one poll may take together, seconds. Default 30.
    pub poll_timeout_s: u64,
    /// Exporters polled at the same time (count). Default 16.
    pub concurrent_max: usize,
    /// Longest pause after failures, seconds: from the third failure in a row on pauses double up to it. Default 3,600.
    pub backoff_max_s: u64,
    /// Exporters that are polled (count). Default 4,096; further ones are not, and counted.
    pub exporters_max: usize,
    /// Interfaces of one exporter (count). Default 4,096; further ones are left out, and counted.
    pub interfaces_per_exporter_max: usize,
    /// Interfaces of all exporters together (count). Default 262,144; an exporter whose interfaces find no room has none.
    pub interfaces_max: usize,
    /// Rows of counters that may wait for the store (count). Default 262,144; then the oldest go, counted.
    pub counters_max: usize,
    /// `[snmp.targets]`: where to ask an exporter, by its address: `HOST` or `HOST:PORT`. Default: its own address.
    pub targets: BTreeMap<IpAddr, String>,
    /// `[snmp.access.NAME]`: which exporters are asked, and how.
    pub access: BTreeMap<String, Access>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            interval_s: 60,
            timeout_ms: 2_000,
            retries: 2,
            poll_timeout_s: 30,
            concurrent_max: 16,
            backoff_max_s: 3_600,
            exporters_max: 4_096,
            interfaces_per_exporter_max: 4_096,
            interfaces_max: 262_144,
            counters_max: 262_144,
            targets: BTreeMap::new(),
            access: BTreeMap::new(),
        }
    }
}

/// How some exporters are asked.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Access {
    /// Prefixes of exporters. Of several accesses the one with the longest prefix holds. A whole address is asked from the start
    /// on, others once they have sent a flow or a counter sample.
    pub exporters: Vec<Prefix>,
    /// `2c` or `3`. Default `2c`.
    pub version: Version,
    /// UDP port. Default 161.
    pub port: u16,
    /// Community of version 2c; better kept in `community_file` or in FLOWHOUSE_SNMP_COMMUNITY.
    #[serde(deserialize_with = "quiet")]
    pub community: Option<String>,
    /// File whose first line is the community; read again when it changes.
    pub community_file: Option<PathBuf>,
    /// User of version 3.
    pub user: String,
    /// Context of version 3. Default none.
    pub context: String,
    /// `none`, `md5`, `sha1`, `sha224`, `sha256`, `sha384` or `sha512`. Default `sha256`.
    pub auth_protocol: AuthProtocol,
    /// Password of authentication, 8 characters or more; better kept in a file or in FLOWHOUSE_SNMP_AUTH_PASSWORD.
    #[serde(deserialize_with = "quiet")]
    pub auth_password: Option<String>,
    /// File whose first line it is.
    pub auth_password_file: Option<PathBuf>,
    /// `none`, `aes128`, `aes192`, `aes256`, `aes192-cisco` or `aes256-cisco`. Default `aes128`.
    pub privacy_protocol: PrivacyProtocol,
    /// Password of encryption, 8 characters or more; better kept in a file or in FLOWHOUSE_SNMP_PRIVACY_PASSWORD. Default: that
    /// of authentication.
    #[serde(deserialize_with = "quiet")]
    pub privacy_password: Option<String>,
    /// File whose first line it is.
    pub privacy_password_file: Option<PathBuf>,
}

impl Default for Access {
    fn default() -> Self {
        Access {
            exporters: vec![],
            version: Version::V2c,
            port: 161,
            community: None,
            community_file: None,
            user: String::new(),
            context: String::new(),
            auth_protocol: AuthProtocol::Sha256,
            auth_password: None,
            auth_password_file: None,
            privacy_protocol: PrivacyProtocol::Aes128,
            privacy_password: None,
            privacy_password_file: None,
        }
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access")
            .field("exporters", &self.exporters)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// Version of SNMP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Version {
    /// SNMPv2c: a community in the clear.
    #[default]
    #[serde(rename = "2c")]
    V2c,
    /// SNMPv3: USM.
    #[serde(rename = "3")]
    V3,
}

/// How SNMPv3 authenticates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum AuthProtocol {
    None,
    Md5,
    Sha1,
    Sha224,
    #[default]
    Sha256,
    Sha384,
    Sha512,
}

/// How SNMPv3 encrypts. DES is not there: it needs a count that outlives every crash, and protects nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub enum PrivacyProtocol {
    #[serde(rename = "none")]
    None,
    #[default]
    #[serde(rename = "aes128")]
    Aes128,
    #[serde(rename = "aes192")]
    Aes192,
    #[serde(rename = "aes256")]
    Aes256,
    #[serde(rename = "aes192-cisco")]
    Aes192Cisco,
    #[serde(rename = "aes256-cisco")]
    Aes256Cisco,
}

impl Settings {
    /// What is wrong, in the operator's words; each text begins with the key.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = vec![];
        let ranges = [
            ("interval_s", self.interval_s, 10, 300),
            ("timeout_ms", self.timeout_ms, 50, 60_000),
            ("retries", u64::from(self.retries), 0, 16),
            ("poll_timeout_s", self.poll_timeout_s, 1, 300),
            ("concurrent_max", self.concurrent_max as u64, 1, 256),
            ("backoff_max_s", self.backoff_max_s, 60, 86_400),
            ("exporters_max", self.exporters_max as u64, 1, 65_536),
            (
                "interfaces_per_exporter_max",
                self.interfaces_per_exporter_max as u64,
                1,
                65_536,
            ),
            ("interfaces_max", self.interfaces_max as u64, 1, 1_048_576),
            ("counters_max", self.counters_max as u64, 1, 4_194_304),
        ];
        for (key, n, least, most) in ranges {
            if !(least..=most).contains(&n) {
                faults.push(format!("snmp.{key} must be {least} to {most}"));
            }
        }
        for (exporter, target) in &self.targets {
            if place(target, 161).is_none() {
                faults.push(format!(
                    "snmp.targets: {target:?}, where {exporter} is to be asked, is neither HOST nor HOST:PORT"
                ));
            }
        }
        let mut taken = BTreeMap::new();
        for (name, access) in &self.access {
            let key = format!("snmp.access.{name}");
            faults.extend(access.faults().into_iter().map(|f| format!("{key}.{f}")));
            for prefix in &access.exporters {
                if let Some(other) = taken.insert(*prefix, name) {
                    faults.push(format!(
                        "{key}.exporters: {prefix} is there twice (also in snmp.access.{other}): keep one"
                    ));
                }
            }
        }
        faults
    }

    /// What polling may take in memory, bytes: names once as published and once as read, and counters that wait.
    pub fn memory_max(&self) -> usize {
        if self.access.is_empty() {
            return 0;
        }
        let read = self
            .concurrent_max
            .saturating_mul(self.interfaces_per_exporter_max);
        let interfaces = self.interfaces_max.saturating_add(read);
        interfaces
            .saturating_mul(INTERFACE_BYTES)
            .saturating_add(self.counters_max.saturating_mul(COUNTERS_BYTES))
    }

    /// Files that are read while exporters are asked.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.access.values().flat_map(|a| {
            let all = [
                &a.community_file,
                &a.auth_password_file,
                &a.privacy_password_file,
            ];
            all.into_iter().flatten()
        })
    }
}

impl Access {
    fn faults(&self) -> Vec<String> {
        let mut faults = vec![];
        let mut fault = |wrong: bool, text: &str| {
            if wrong {
                faults.push(text.to_owned());
            }
        };
        fault(
            self.exporters.is_empty(),
            "exporters is empty: name prefixes of exporters, such as [\"192.0.2.0/24\"]",
        );
        fault(self.port == 0, "port must be 1 to 65535");
        let v3 = self.version == Version::V3;
        let pairs = [
            ("community", &self.community, &self.community_file, !v3),
            (
                "auth_password",
                &self.auth_password,
                &self.auth_password_file,
                v3,
            ),
            (
                "privacy_password",
                &self.privacy_password,
                &self.privacy_password_file,
                v3,
            ),
        ];
        for (key, text, file, fits) in pairs {
            fault(
                text.is_some() && file.is_some(),
                &format!("{key} and {key}_file are both set: keep {key}_file"),
            );
            let other = if v3 { "2c" } else { "3" };
            fault(
                !fits && (text.is_some() || file.is_some()),
                &format!("{key} is for version = \"{other}\""),
            );
            let is_password = key != "community";
            let short = text
                .as_ref()
                .is_some_and(|t| t.len() < if is_password { 8 } else { 1 });
            fault(
                short,
                &format!("{key} is too short: RFC 3414 asks for 8 characters or more"),
            );
        }
        fault(
            v3 && self.user.is_empty(),
            "user is missing: version 3 asks for one",
        );
        fault(!v3 && !self.user.is_empty(), "user is for version = \"3\"");
        let no_auth = self.auth_protocol == AuthProtocol::None;
        fault(
            v3 && no_auth && self.privacy_protocol != PrivacyProtocol::None,
            "privacy_protocol needs an auth_protocol: set one, or privacy_protocol = \"none\"",
        );
        faults
    }
}

/// Host and port of a target; `None` where it is neither.
pub(super) fn place(target: &str, port: u16) -> Option<(String, u16)> {
    if let Ok(address) = target.parse::<IpAddr>() {
        return Some((address.to_string(), port));
    }
    if let Ok(address) = target.parse::<std::net::SocketAddr>() {
        return (address.port() > 0).then(|| (address.ip().to_string(), address.port()));
    }
    let (host, port) = match target.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok().filter(|p| *p > 0)?),
        None => (target, port),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    (!host.is_empty() && host.len() <= 253 && host.chars().all(plain))
        .then(|| (host.to_owned(), port))
}

/// An interface with its texts.
const INTERFACE_BYTES: usize = 256;
/// A row of counters.
const COUNTERS_BYTES: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> String {
        let settings: Settings = toml::from_str(text).expect("parses");
        settings.faults().join("\n")
    }

    #[test]
    fn what_cannot_work_is_said_with_its_key() {
        assert_eq!(faults(""), "");
        let fine = "[access.a]\nexporters = [\"192.0.2.0/24\"]\n[access.b]\nexporters = [\"192.0.2.1\"]\nversion = \"3\"\nuser = \"u\"\nauth_password = \"12345678\"";
        assert_eq!(faults(fine), "");
        for (text, part) in [
            ("interval_s = 5", "snmp.interval_s must be 10 to 300"),
            (
                "[targets]\n\"192.0.2.1\" = \"a b\"",
                "snmp.targets: \"a b\"",
            ),
            ("[access.a]", "snmp.access.a.exporters is empty"),
            (
                "[access.a]\nexporters = [\"::/0\"]\nuser = \"u\"",
                "snmp.access.a.user is for version",
            ),
            (
                "[access.a]\nexporters = [\"::/0\"]\nversion = \"3\"",
                "snmp.access.a.user is missing",
            ),
            (
                "[access.a]\nexporters = [\"::/0\"]\nversion = \"3\"\nuser = \"u\"\nauth_password = \"short\"",
                "snmp.access.a.auth_password is too short",
            ),
            (
                "[access.a]\nexporters = [\"::/0\"]\nversion = \"3\"\nuser = \"u\"\ncommunity = \"hush\"",
                "snmp.access.a.community is for version = \"2c\"",
            ),
            (
                "[access.a]\nexporters = [\"::/0\"]\ncommunity = \"hush\"\ncommunity_file = \"/x\"",
                "keep community_file",
            ),
            (
                "[access.a]\nexporters = [\"::/0\"]\nversion = \"3\"\nuser = \"u\"\nauth_protocol = \"none\"",
                "privacy_protocol needs an auth_protocol",
            ),
            (
                "[access.a]\nexporters = [\"::/0\"]\n[access.b]\nexporters = [\"::/0\"]",
                "snmp.access.b.exporters: ::/0 is there twice (also in snmp.access.a)",
            ),
        ] {
            let said = faults(text);
            assert!(said.contains(part), "{text}: {said}");
            assert!(
                !said.contains("hush") && !said.contains("short\""),
                "{said}"
            );
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let text = "[access.a]\nexporters = [\"::/0\"]\ncommunity = \"hush\"";
        let settings: Settings = toml::from_str(text).expect("parses");
        assert!(!format!("{settings:?}").contains("hush"));
    }

    #[test]
    fn targets_are_hosts_with_or_without_a_port() {
        let of = |t| place(t, 161).map(|(h, p)| format!("{h} {p}"));
        assert_eq!(of("10.0.0.1").as_deref(), Some("10.0.0.1 161"));
        assert_eq!(of("10.0.0.1:1161").as_deref(), Some("10.0.0.1 1161"));
        assert_eq!(of("2001:db8::1").as_deref(), Some("2001:db8::1 161"));
        assert_eq!(of("[2001:db8::1]:99").as_deref(), Some("2001:db8::1 99"));
        assert_eq!(of("core.example").as_deref(), Some("core.example 161"));
        for wrong in ["", "a b", "a:0", "a:b", "user@host", "a:1:2"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }
}
