//! The password of the store, and files that are as good as one, with the key that names them in every fault.

use crate::secret;
use crate::sink::Error;
use std::path::Path;

pub(super) use crate::secret::{Secret, quiet};

/// Name of the environment variable with the password, used where the configuration has none.
pub const PASSWORD_VARIABLE: &str = "FLOWHOUSE_CLICKHOUSE_PASSWORD";

/// The first line of the password's file.
pub(super) fn password(path: &Path) -> Result<Secret, Error> {
    let key = "password_file";
    Secret::read(path).map_err(|e| Error::file(key, path, e.to_string()))
}

/// Reads a file that only its owner and group may read.
pub(super) fn private(key: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    secret::private(path).map_err(|e| Error::file(key, path, e.to_string()))
}

/// Reads a file that may not be larger than any certificate chain is.
pub(super) fn bounded(key: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    secret::bounded(path).map_err(|e| Error::file(key, path, e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_names_the_key() {
        let gone = password(Path::new("/nonexistent/key")).expect_err("gone");
        assert!(gone.to_string().contains("clickhouse.password_file"));
    }
}
