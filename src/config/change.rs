//! What differs between two configurations, key by key.

use super::known::SAMPLE;
use std::collections::BTreeMap;
use toml::{Table, Value};

/// A configuration as dotted keys and their values; keys that the text leaves out have their defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys(BTreeMap<String, String>);

/// A key with another value than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Dotted: `receive.batch`.
    pub key: String,
    /// As TOML, at most 200 characters; a secret is never shown.
    pub old: String,
    /// As `old`.
    pub new: String,
}

impl Keys {
    /// The keys of a text; a text that is no TOML has the defaults.
    pub fn of(text: &str) -> Keys {
        let mut keys = BTreeMap::new();
        for text in [&defaults(), text] {
            let table: Table = toml::from_str(text).unwrap_or_default();
            flatten("", &table, &mut keys);
        }
        Keys(keys)
    }

    /// What `new` changes, in order of the keys.
    pub fn changes(&self, new: &Keys) -> Vec<Change> {
        let mut keys: Vec<&String> = self.0.keys().chain(new.0.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        let differs = |key: &&&String| self.0.get(**key) != new.0.get(**key);
        let change = |key: &String| Change {
            key: key.clone(),
            old: shown(key, self.0.get(key)),
            new: shown(key, new.0.get(key)),
        };
        keys.iter().filter(differs).map(|k| change(k)).collect()
    }

    /// Takes over the value that a key has in `new`.
    pub fn adopt(&mut self, key: &str, new: &Keys) {
        match new.0.get(key) {
            Some(value) => self.0.insert(key.to_owned(), value.clone()),
            None => self.0.remove(key),
        };
    }
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {} -> {}", self.key, self.old, self.new)
    }
}

/// The sample configuration shows every key with its default, and a test holds it equal to the code.
fn defaults() -> String {
    let is_key = |k: &str| {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        !k.is_empty() && k.chars().all(plain)
    };
    let is_toml =
        |l: &&str| l.starts_with('[') || l.split_once(" = ").is_some_and(|(k, _)| is_key(k));
    let lines = SAMPLE.lines().filter_map(|l| l.strip_prefix("# "));
    lines.filter(is_toml).collect::<Vec<_>>().join("\n")
}

fn flatten(prefix: &str, table: &Table, keys: &mut BTreeMap<String, String>) {
    for (name, value) in table {
        let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let name = match !name.is_empty() && name.chars().all(bare) {
            true => name.clone(),
            false => format!("{name:?}"),
        };
        let dot = if prefix.is_empty() { "" } else { "." };
        let key = format!("{prefix}{dot}{name}");
        match value {
            Value::Table(inner) => flatten(&key, inner, keys),
            value => {
                keys.insert(key, value.to_string());
            }
        }
    }
}

/// A value for the log: no secret, no user information of a URL, not too long.
fn shown(key: &str, value: Option<&String>) -> String {
    let Some(value) = value else {
        return "(not set)".into();
    };
    let last = key.rsplit('.').next().unwrap_or_default();
    let is_file = ["_file", "_env"].iter().any(|end| last.ends_with(end));
    if !is_file && SECRETS.iter().any(|s| last.contains(s)) {
        return "(secret)".into();
    }
    let cut: String = value.chars().take(SHOWN_MAX).collect();
    let more = if cut.len() < value.len() { "..." } else { "" };
    match (cut.find("://"), cut.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => {
            format!("{}://(secret){}{more}", &cut[..scheme], &cut[at..])
        }
        _ => cut + more,
    }
}

/// Names of keys whose values are secrets, unless they name a file or a variable of the environment.
const SECRETS: [&str; 5] = ["password", "community", "secret", "token", "key"];

/// Characters of a value that are shown.
const SHOWN_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(old: &str, new: &str) -> Vec<String> {
        let changes = Keys::of(old).changes(&Keys::of(new));
        changes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_key_that_changed_is_named_with_its_default() {
        let old = "log_level = \"info\"\n[receive]\nbatch = 64\ndeny = [\"10.0.0.0/8\"]\n";
        let new = "[receive]\nqueue = 300\n[enrich.qos]\ndscp = { EF = \"gold\" }\n[decode.sampling]\n\"192.0.2.1\" = 10\n";
        let expected = [
            "decode.sampling.\"192.0.2.1\": (not set) -> 10",
            "enrich.qos.dscp.EF: (not set) -> \"gold\"",
            "receive.deny: [\"10.0.0.0/8\"] -> []",
            "receive.queue: 256 -> 300",
        ];
        assert_eq!(lines(old, new), expected);
        assert!(
            lines("", "[receive]\nbatch = 64\n").is_empty(),
            "the default"
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        let old = "[clickhouse]\npassword = \"hunter2\"\nurl = \"http://a:hunter3@b:1\"\nkey_file = \"/x\"\n";
        let new = "[clickhouse]\npassword = \"hunter4\"\nurl = \"http://c:hunter5@d:1\"\nkey_file = \"/y\"\n";
        let expected = [
            "clickhouse.key_file: \"/x\" -> \"/y\"",
            "clickhouse.password: (secret) -> (secret)",
            "clickhouse.url: \"http://(secret)@b:1\" -> \"http://(secret)@d:1\"",
        ];
        assert_eq!(lines(old, new), expected);
        let snmp = |c: &str| format!("[snmp.access.core]\ncommunity = \"{c}\"\n");
        let expected = ["snmp.access.core.community: (secret) -> (secret)"];
        assert_eq!(lines(&snmp("hush"), &snmp("hist")), expected);
    }

    #[test]
    fn adopted_keys_are_no_change_any_more() {
        let (mut old, new) = (
            Keys::of(""),
            Keys::of("[batch]\nseal_rows = 5\n[receive]\nbatch = 2\n"),
        );
        old.adopt("batch.seal_rows", &new);
        let left = old.changes(&new);
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].key, "receive.batch");
    }
}
