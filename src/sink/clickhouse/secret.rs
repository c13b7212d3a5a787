//! What must be told to nobody: the password, and files that are as good as one.

use crate::sink::Error;
use serde::Deserializer;
use serde::de::{self, Visitor};
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Name of the environment variable with the password, used where the configuration has none.
pub const PASSWORD_VARIABLE: &str = "FLOWHOUSE_CLICKHOUSE_PASSWORD";

/// A password. Nothing prints it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Secret(String);

impl Secret {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }

    /// The first line of a file.
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let bytes = private(PASSWORD_FILE, path)?;
        let fault = |why: &str| Error::file(PASSWORD_FILE, path, why);
        let text = String::from_utf8(bytes).map_err(|_| fault("is no text"))?;
        match text.lines().next().map(str::trim) {
            None | Some("") => Err(fault("has no password in its first line")),
            Some(line) => Ok(Secret::new(line)),
        }
    }

    /// The password itself, for the client alone.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(...)")
    }
}

/// Reads a file that only its owner and group may read.
pub(super) fn private(key: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    let fault = |why: String| Error::file(key, path, why);
    let metadata = std::fs::metadata(path).map_err(|e| fault(format!("cannot be read: {e}")))?;
    if is_open(metadata.mode(), path) {
        let cure = "may be read by every account of this machine: run `chmod o-rwx` on it";
        return Err(fault(cure.into()));
    }
    bounded(key, path)
}

/// Whether every account of this machine may read a file.
fn is_open(mode: u32, path: &Path) -> bool {
    mode & OTHERS_READ != 0 && !path.starts_with(MOUNTED)
}

/// Reads a file that may not be larger than any password or certificate chain is.
pub(super) fn bounded(key: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    let fault = |why: String| Error::file(key, path, why);
    let metadata = std::fs::metadata(path).map_err(|e| fault(format!("cannot be read: {e}")))?;
    if metadata.len() > FILE_BYTES_MAX {
        return Err(fault(format!("is larger than {FILE_BYTES_MAX} bytes")));
    }
    std::fs::read(path).map_err(|e| fault(format!("cannot be read: {e}")))
}

/// Takes a password from a configuration. What is no text is refused without being quoted, as the usual message would.
pub(super) fn quiet<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
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

const PASSWORD_FILE: &str = "password_file";

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
        assert!(gone.to_string().contains("clickhouse.password_file"));
    }
}
