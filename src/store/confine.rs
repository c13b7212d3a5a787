//! Giving up rights before the engine runs: the account first, then the file system and the network.

use super::error::Error;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetStatus, path_beneath_rules,
};
use nix::unistd::{Gid, Uid, User};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The account that a store started as root changes to.
#[derive(Debug, Clone)]
pub struct Account {
    name: String,
    user: Uid,
    group: Gid,
}

/// The account to change to: the named one, else `flowhouse`, else `nobody`. Nothing when not root.
pub fn account(name: Option<&str>) -> Result<Option<Account>, Error> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(None);
    }
    let look = |name: &str| {
        User::from_name(name)
            .map_err(|error| Error::Confine(format!("cannot look up the user {name}: {error}")))
    };
    let names: &[&str] = match &name {
        Some(name) => &[name],
        None => &["flowhouse", "nobody"],
    };
    for name in names {
        if let Some(user) = look(name)? {
            if user.uid.is_root() {
                return Err(Error::Confine(
                    "the store never runs as root; give another --user".to_owned(),
                ));
            }
            return Ok(Some(Account {
                name: user.name,
                user: user.uid,
                group: user.gid,
            }));
        }
    }
    Err(Error::Confine(format!(
        "there is no user {}; create it or give another --user",
        names.join(" or ")
    )))
}

/// Gives a folder and what is in it to the account, unless it owns the folder already.
pub fn give(folder: &Path, account: &Account) -> Result<(), Error> {
    let owner = std::fs::metadata(folder)
        .map_err(Error::file("cannot read", folder))?
        .uid();
    if owner == account.user.as_raw() {
        return Ok(());
    }
    give_all(folder, account)
}

fn give_all(path: &Path, account: &Account) -> Result<(), Error> {
    let status = std::fs::symlink_metadata(path).map_err(Error::file("cannot read", path))?;
    if status.is_dir() {
        for entry in std::fs::read_dir(path)
            .map_err(Error::file("cannot read", path))?
            .flatten()
        {
            give_all(&entry.path(), account)?;
        }
    }
    let (user, group) = (account.user.as_raw(), account.group.as_raw());
    std::os::unix::fs::lchown(path, Some(user), Some(group))
        .map_err(Error::file("cannot change the owner of", path))
}

/// Changes to the account for good. Call before any thread starts.
pub fn drop_rights(account: &Account) -> Result<(), Error> {
    let fail = |what: &'static str| {
        move |error: nix::errno::Errno| Error::Confine(format!("cannot {what}: {error}"))
    };
    nix::unistd::setgroups(&[account.group]).map_err(fail("give up the groups"))?;
    nix::unistd::setgid(account.group).map_err(fail("change the group"))?;
    nix::unistd::setuid(account.user).map_err(fail("change the user"))?;
    if nix::unistd::setuid(Uid::from_raw(0)).is_ok() {
        return Err(Error::Confine(
            "root's rights came back after they were given up".to_owned(),
        ));
    }
    // without this the engine could not read its own files below /proc
    nix::sys::prctl::set_dumpable(true).map_err(fail("stay readable to itself"))?;
    tracing::info!(user = account.name, "changed the account");
    Ok(())
}

/// Forbids this process and its children to gain rights again.
pub fn forbid_new_rights() -> Result<(), Error> {
    nix::sys::prctl::set_no_new_privs()
        .map_err(|error| Error::Confine(format!("cannot forbid new rights: {error}")))
}

/// Says which folder keeps the current account from `path`, and the cure.
pub fn check_reach(path: &Path) -> Result<(), Error> {
    for folder in path.ancestors().collect::<Vec<_>>().into_iter().rev() {
        let access = nix::unistd::access(folder, nix::unistd::AccessFlags::X_OK);
        if folder.is_dir() && access.is_err() {
            let user = User::from_uid(nix::unistd::geteuid())
                .ok()
                .flatten()
                .map_or_else(|| "this user".to_owned(), |user| user.name);
            return Err(Error::Confine(format!(
                "{user} cannot enter {}, which is on the way to {}; use a folder that all can enter (such as below /var/lib), or `chmod o+x {}`",
                folder.display(),
                path.display(),
                folder.display()
            )));
        }
    }
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
