//! The two keys of a store: one that may do everything, one that may only read.

use super::error::Error;
use super::guard::Access;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Both keys, as they are in their files.
#[derive(Clone)]
pub struct Keys {
    full: String,
    read_only: String,
}

impl Keys {
    /// Reads the keys of a data folder; makes them when they are missing.
    pub fn ensure(data: &Path) -> Result<Keys, Error> {
        Ok(Keys {
            full: ensure(&data.join(FULL))?,
            read_only: ensure(&data.join(READ_ONLY))?,
        })
    }

    /// What a presented key may do. Takes the same time for every key of a length.
    pub fn access(&self, presented: &str) -> Option<Access> {
        match (
            equal(&self.full, presented),
            equal(&self.read_only, presented),
        ) {
            (true, _) => Some(Access::Full),
            (_, true) => Some(Access::ReadOnly),
            _ => None,
        }
    }
}

/// Where a data folder's full key is.
pub(super) fn full_path(data: &Path) -> PathBuf {
    data.join(FULL)
}

/// Where a data folder's read-only key is.
pub(super) fn read_only_path(data: &Path) -> PathBuf {
    data.join(READ_ONLY)
}

/// Reads a key file.
pub(super) fn read(path: &Path) -> std::io::Result<String> {
    let text = std::fs::read_to_string(path)?;
    let key = text.trim();
    if key.len() != 64 || !key.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(std::io::Error::other(format!(
            "{} holds no key of 64 hexadecimal digits",
            path.display()
        )));
    }
    Ok(key.to_owned())
}

fn ensure(path: &Path) -> Result<String, Error> {
    if !path.exists() {
        let key = random_key().map_err(Error::file("cannot read", "/dev/urandom"))?;
        let fresh = path.with_extension("new");
        let _ = std::fs::remove_file(&fresh);
        let written = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&fresh);
        let written =
            written.and_then(|mut file| writeln!(file, "{key}").and_then(|()| file.sync_all()));
        written
            .and_then(|()| std::fs::rename(&fresh, path))
            .map_err(Error::file("cannot write", path))?;
    }
    read(path).map_err(Error::file("cannot read", path))
}

fn random_key() -> std::io::Result<String> {
    let mut bytes = [0; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }))
}

fn equal(key: &str, presented: &str) -> bool {
    let (key, presented) = (key.as_bytes(), presented.as_bytes());
    let mut difference = u8::from(key.len() != presented.len());
    for (at, byte) in key.iter().enumerate() {
        difference |= byte ^ presented.get(at).copied().unwrap_or(!byte);
    }
    std::hint::black_box(difference) == 0
}

const FULL: &str = "key";
const READ_ONLY: &str = "key.readonly";

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn keys_are_made_once_and_private() {
        let folder = tempfile::tempdir().expect("folder");
        let keys = Keys::ensure(folder.path()).expect("keys");
        let again = Keys::ensure(folder.path()).expect("keys");
        assert_eq!(
            (&keys.full, &keys.read_only),
            (&again.full, &again.read_only)
        );
        assert_ne!(keys.full, keys.read_only);
        let mode = std::fs::metadata(folder.path().join(FULL))
            .expect("file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(keys.access(&keys.full), Some(Access::Full));
        assert_eq!(keys.access(&keys.read_only), Some(Access::ReadOnly));
        for wrong in ["", "x", &keys.full[1..], &format!("{}0", keys.full)] {
            assert_eq!(keys.access(wrong), None);
        }
    }
}
