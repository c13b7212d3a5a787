//! Giving up rights before the engine runs: the account first, then the file system and the network.

use super::error::Error;
use crate::rights::{self, Account};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetStatus, path_beneath_rules,
};
use std::path::Path;

/// The account to change to: the named one, else `flowhouse`, else `nobody`. Nothing when not root.
pub fn account(name: Option<&str>) -> Result<Option<Account>, Error> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(None);
    }
    let names: &[&str] = match &name {
        Some(name) => &[name],
        None => &["flowhouse", "nobody"],
    };
    for name in names {
        match Account::named(name, None) {
            Ok(account) if account.user() == 0 => {
                return Err(Error::Confine(
                    "the store never runs as root; give another --user".to_owned(),
                ));
            }
            Ok(account) => return Ok(Some(account)),
            Err(rights::Error::NoUser(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::Confine(format!(
        "there is no user {}; create it or give another --user",
        names.join(" or ")
    )))
}

/// Changes to the account for good. Call before any thread starts.
pub fn drop_rights(account: &Account) -> Result<(), Error> {
    account.become_for_good(&[])?;
    // without this the engine could not read its own files below /proc
    nix::sys::prctl::set_dumpable(true)
        .map_err(|error| Error::Confine(format!("cannot stay readable to itself: {error}")))?;
    tracing::info!(user = account.name(), "changed the account");
    Ok(())
}

/// Confines the process with Landlock: it writes the engine's `data` and `scratch`, reads the library and what the system
/// has for everybody, and connects nowhere. The folder of the keys is in none of these.
pub fn landlock(data: &Path, scratch: &Path, library: &Path) {
    match restrict(data, scratch, library) {
        Ok(RulesetStatus::FullyEnforced) => tracing::debug!("confined by Landlock"),
        Ok(RulesetStatus::PartiallyEnforced) => {
            tracing::info!("confined by Landlock as far as this kernel can")
        }
        Ok(RulesetStatus::NotEnforced) => tracing::warn!(
            "this kernel has no Landlock: the store is not confined to its folders; use the systemd sandbox"
        ),
        Err(error) => {
            tracing::warn!(%error, "Landlock failed: the store is not confined to its folders")
        }
    }
}

fn restrict(
    data: &Path,
    scratch: &Path,
    library: &Path,
) -> Result<RulesetStatus, landlock::RulesetError> {
    let abi = ABI::V5;
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?;
    let ruleset: RulesetCreated = ruleset
        .handle_access(AccessNet::ConnectTcp)?
        .handle_access(AccessNet::BindTcp)?
        .create()?;
    // the wheel keeps the libraries that its library needs beside its folder
    let needed = library
        .parent()
        .and_then(Path::parent)
        .map(|folder| folder.join("chdb_core.libs"));
    let readable = [library].into_iter().chain(needed.as_deref());
    let status = ruleset
        .add_rules(path_beneath_rules([data, scratch], AccessFs::from_all(abi)))?
        .add_rules(path_beneath_rules(
            readable.chain(SYSTEM.map(Path::new)),
            AccessFs::from_read(abi),
        ))?
        // to remove the scratch folder itself at the end
        .add_rules(path_beneath_rules(scratch.parent(), AccessFs::RemoveDir))?
        .add_rules(path_beneath_rules(["/dev/null"], AccessFs::from_file(abi)))?
        .restrict_self()?;
    Ok(status.ruleset)
}

/// What the loader and the engine read of the system; of `/etc` the loader's cache and the time zone.
const SYSTEM: [&str; 9] = [
    "/proc",
    "/sys",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/timezone",
    "/usr",
    "/lib",
    "/lib64",
    "/dev/urandom",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    /// Rights go for the thread that gives them up, so a thread of its own does.
    #[test]
    fn the_keys_and_etc_are_out_of_reach() {
        let folder = tempfile::tempdir().expect("folder");
        let (engine, scratch) = (folder.path().join("engine"), folder.path().join("scratch"));
        std::fs::create_dir(&engine).expect("folder");
        std::fs::create_dir(&scratch).expect("folder");
        let (key, inside) = (folder.path().join("key"), engine.join("table"));
        std::fs::write(&key, "secret").expect("key");
        std::fs::write(&inside, "rows").expect("table");
        let library = std::env::current_exe().expect("this program");
        let confined = std::thread::spawn(move || {
            let status = restrict(&engine, &scratch, &library).expect("a ruleset");
            if status == RulesetStatus::NotEnforced {
                eprintln!("this kernel has no Landlock: nothing is shown");
                return;
            }
            let fault = |path: &Path| std::fs::read(path).map(drop).map_err(|e| e.kind());
            let beside = engine.join("../key");
            for path in [&key, &beside, Path::new("/etc/passwd")] {
                assert_eq!(fault(path), Err(ErrorKind::PermissionDenied), "{path:?}");
            }
            for path in [&inside, &library, Path::new("/proc/self/status")] {
                assert_eq!(fault(path), Ok(()), "{path:?}");
            }
            std::fs::write(scratch.join("insert"), "rows").expect("scratch");
        });
        confined.join().expect("as said");
    }
}
