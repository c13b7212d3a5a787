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
    account.become_for_good()?;
    // without this the engine could not read its own files below /proc
    nix::sys::prctl::set_dumpable(true)
        .map_err(|error| Error::Confine(format!("cannot stay readable to itself: {error}")))?;
    tracing::info!(user = account.name(), "changed the account");
    Ok(())
}

/// Confines the process with Landlock: it writes `writable`, reads `readable` and the system's folders, and connects nowhere.
pub fn landlock(writable: &[&Path], readable: &[&Path]) {
    let parents: Vec<&Path> = writable
        .iter()
        .filter_map(|folder| folder.parent())
        .collect();
    match restrict(writable, readable, &parents) {
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
    writable: &[&Path],
    readable: &[&Path],
    parents: &[&Path],
) -> Result<RulesetStatus, landlock::RulesetError> {
    let abi = ABI::V5;
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?;
    let ruleset: RulesetCreated = ruleset
        .handle_access(AccessNet::ConnectTcp)?
        .handle_access(AccessNet::BindTcp)?
        .create()?;
    let system = [
        "/proc",
        "/sys",
        "/etc",
        "/usr",
        "/lib",
        "/lib64",
        "/dev/urandom",
        "/dev/random",
    ]
    .map(Path::new);
    let status = ruleset
        .add_rules(path_beneath_rules(
            writable.iter().copied(),
            AccessFs::from_all(abi),
        ))?
        .add_rules(path_beneath_rules(
            readable.iter().copied().chain(system),
            AccessFs::from_read(abi),
        ))?
        // to remove the scratch folder itself at the end
        .add_rules(path_beneath_rules(
            parents.iter().copied(),
            AccessFs::RemoveDir,
        ))?
        .add_rules(path_beneath_rules(["/dev/null"], AccessFs::from_file(abi)))?
        .restrict_self()?;
    Ok(status.ruleset)
}
