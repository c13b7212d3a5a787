//! What must be told to nobody: passwords and communities, and files that are as good as one.
//!
//! Owns: [`Secret`] (nothing prints it), [`private`] and [`bounded`] (how files with secrets are read), [`quiet`] (how they are
//! taken from a configuration). Never: sends one anywhere, says what one is in a message. Why a room: the sink and SNMP keep
//! theirs in the same way.

use serde::Deserializer;
use serde::de::{self, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A password or its like. Nothing prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

/// Why a file with a secret is not used; the fault of who keeps the file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be read.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// Others may read it.
    #[error("may be read by every account of this machine: run `chmod o-rwx` on it")]
    Open,
    /// It is no file for a secret.
    #[error("is larger than {FILE_BYTES_MAX} bytes")]
    Large,
    /// It is no text.
    #[error("is no text")]
    NoText,
    /// There is nothing in its first line.
    #[error("has no password in its first line")]
    Empty,
}

/// A text without what stands before the host of an address in it: a user and a password, perhaps.
pub fn without_user_info(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, address) = rest.split_at(at + 3);
        let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '`');
        let end = address.find(ends).unwrap_or(address.len());
        out += before;
        rest = match address[..end].rfind('@') {
            Some(host) => {
                out += "***";
                &address[host..]
            }
            None => address,
        };
    }
    if out.is_empty() {
        return text.into();
    }
    (out + rest).into()
}

impl Secret {
    /// Keeps a text.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The first line of a file that not everybody may read.
    ///
    /// # Errors
    /// Why it is not used.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = String::from_utf8(private(path)?).map_err(|_| Error::NoText)?;
        match text.lines().next().map(str::trim) {
            None | Some("") => Err(Error::Empty),
            Some(line) => Ok(Secret::new(line)),
        }
    }

    /// The secret itself, for who has to send it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(...)")
    }
}

/// Reads a file that only its owner and group may read.
///
/// # Errors
/// Why it is not used.
pub fn private(path: &Path) -> Result<Vec<u8>, Error> {
    let metadata = std::fs::metadata(path)?;
    if is_open(metadata.mode(), path) {
        return Err(Error::Open);
    }
    bounded(path)
}

/// Whether every account of this machine may read a file.
fn is_open(mode: u32, path: &Path) -> bool {
    mode & OTHERS_READ != 0 && !path.starts_with(MOUNTED)
}

/// Reads a file that may not be larger than any password or certificate chain is.
///
/// # Errors
/// Why it is not used.
pub fn bounded(path: &Path) -> Result<Vec<u8>, Error> {
    if std::fs::metadata(path)?.len() > FILE_BYTES_MAX {
        return Err(Error::Large);
    }
    Ok(std::fs::read(path)?)
}

/// Takes a password from a configuration. What is no text is refused without being quoted, as the usual message would.
///
/// # Errors
/// When it is no text.
pub fn quiet<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    struct Text;
    impl Visitor<'_> for Text {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a text in quotes")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }

        fn visit_i64<E: de::Error>(self, _: i64) -> Result<String, E> {
            Err(E::custom(NO_TEXT))
        }

        fn visit_u64<E: de::Error>(self, _: u64) -> Result<String, E> {
            Err(E::custom(NO_TEXT))
        }

        fn visit_f64<E: de::Error>(self, _: f64) -> Result<String, E> {
            Err(E::custom(NO_TEXT))
        }

        fn visit_bool<E: de::Error>(self, _: bool) -> Result<String, E> {
            Err(E::custom(NO_TEXT))
        }
    }
    from.deserialize_str(Text).map(Some)
}

const NO_TEXT: &str = "the password must be a text in quotes";

/// Permission bit: others may read.
const OTHERS_READ: u32 = 0o004;

/// Where containers get their secrets: readable by all accounts of a container, of which only ours is used.
const MOUNTED: &str = "/run/secrets";

const FILE_BYTES_MAX: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_stands_before_a_host_is_not_shown() {
        for (text, shown) in [
            ("no address: a@b", "no address: a@b"),
            ("at http://store:8123/x", "at http://store:8123/x"),
            ("http://me:hunter2@store", "http://***@store"),
            (
                "\"https://me:p/w@2@a:1\", then http://b and http://x@c",
                "\"https://***@a:1\", then http://b and http://***@c",
            ),
        ] {
            assert_eq!(without_user_info(text), shown);
        }
    }

    #[test]
    fn a_file_that_everybody_may_read_is_refused_and_never_quoted() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "hunter2 \nsecond\n").expect("written");
        let secret = Secret::read(file.path()).expect("private");
        assert_eq!(secret.reveal(), "hunter2");
        assert!(!format!("{secret:?}").contains("hunter2"));
        let open = std::fs::Permissions::from_mode(0o644);
        std::fs::set_permissions(file.path(), open).expect("mode");
        let refused = Secret::read(file.path()).expect_err("open").to_string();
        assert!(
            refused.contains("chmod o-rwx") && !refused.contains("hunter2"),
            "{refused}"
        );
    }

    #[test]
    fn what_a_container_is_given_may_be_readable() {
        for (mode, path, open) in [
            (0o100_644, "/run/secrets/clickhouse_password", false),
            (0o100_644, "/run/secrets/below/password", false),
            (0o100_644, "/run/secrets-not/password", true),
            (0o100_644, "/etc/run/secrets/password", true),
            (0o100_604, "/etc/password", true),
            (0o100_640, "/etc/password", false),
        ] {
            assert_eq!(is_open(mode, Path::new(path)), open, "{mode:o} {path}");
        }
    }

    #[test]
    fn an_empty_or_missing_file_says_so() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let empty = Secret::read(file.path()).expect_err("empty").to_string();
        assert!(empty.contains("has no password"), "{empty}");
        let gone = Secret::read(Path::new("/nonexistent/key")).expect_err("gone");
        assert!(gone.to_string().starts_with("cannot be read"), "{gone}");
    }
}
