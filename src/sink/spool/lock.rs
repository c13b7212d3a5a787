//! Who uses a spool: two processes in one directory would overwrite each other's bundles.

use crate::sink::Error;
use std::fs::{File, TryLockError};
use std::path::Path;

/// Held by the process that uses the directory.
const LOCK: &str = "lock";

/// Whether a process uses the spool in a directory now.
pub fn is_taken(directory: &Path) -> bool {
    let lock = File::open(directory.join(LOCK));
    lock.is_ok_and(|f| matches!(f.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Takes the lock; it is held as long as the file is open.
pub(super) fn lock(directory: &Path) -> Result<File, Error> {
    let path = directory.join(LOCK);
    let fault = |source| Error::Spool {
        path: path.clone(),
        source,
    };
    let file = File::create(&path).map_err(fault)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::SpoolTaken {
            path: directory.to_owned(),
        }),
        Err(TryLockError::Error(source)) => Err(fault(source)),
    }
}
