//! The account of a process and its capabilities.

use super::{Error, Settings};
pub use caps::Capability;
use caps::{CapSet, CapsHashSet};
use nix::unistd::{Gid, Group, Uid, User};

/// An account that a process changes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    name: String,
    user: Uid,
    group: Gid,
}

/// What the settings ask for, given who the process is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Become this account.
    To(Account),
    /// Not root: nothing to change.
    Stay,
    /// Root and to stay so, because the settings say so.
    StayRoot,
    /// Root, and there is no account to change to.
    NoAccount,
}

/// What root keeps when there is no account to change to: reading and giving away files, and the embedded store's own
/// change of account. No network, no devices, no other processes.
pub const KEPT_BY_ROOT: &[Capability] = &[
    Capability::CAP_CHOWN,
    Capability::CAP_DAC_OVERRIDE,
    Capability::CAP_DAC_READ_SEARCH,
    Capability::CAP_FOWNER,
    Capability::CAP_KILL,
    Capability::CAP_SETGID,
    Capability::CAP_SETPCAP,
    Capability::CAP_SETUID,
];

impl Change {
    /// What the settings mean for this process.
    ///
    /// # Errors
    /// When an account is named that does not exist or cannot be changed to.
    pub fn of(settings: &Settings) -> Result<Change, Error> {
        let (user, group) = (settings.user.as_deref(), settings.group.as_deref());
        if !nix::unistd::geteuid().is_root() {
            return match user {
                Some(wanted) if wanted != current_name() => Err(Error::NotRoot {
                    now: current_name(),
                    wanted: wanted.to_owned(),
                }),
                _ => Ok(Change::Stay),
            };
        }
        match user {
            Some(name) => {
                let account = Account::named(name, group)?;
                Ok(match account.user.is_root() {
                    true => Change::StayRoot,
                    false => Change::To(account),
                })
            }
            None => match Account::named(OWN, group) {
                Ok(account) => Ok(Change::To(account)),
                Err(Error::NoUser(_)) => Ok(Change::NoAccount),
                Err(error) => Err(error),
            },
        }
    }
}

impl Account {
    /// The account of this name, with another group where one is named.
    ///
    /// # Errors
    /// When there is no such user or group.
    pub fn named(user: &str, group: Option<&str>) -> Result<Account, Error> {
        let found = User::from_name(user).map_err(Error::kernel("look up the user"))?;
        let found = found.ok_or_else(|| Error::NoUser(user.to_owned()))?;
        let group = match group {
            None => found.gid,
            Some(name) => {
                let group = Group::from_name(name).map_err(Error::kernel("look up the group"))?;
                group.ok_or_else(|| Error::NoGroup(name.to_owned()))?.gid
            }
        };
        Ok(Account {
            name: found.name,
            user: found.uid,
            group,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Number of the user.
    pub fn user(&self) -> u32 {
        self.user.as_raw()
    }

    /// Number of the group.
    pub fn group(&self) -> u32 {
        self.group.as_raw()
    }

    /// Changes to the account for good: groups, group, user, then every capability but `kept`, the bounding set included. Only
    /// the calling thread changes in full, so there must be no other.
    ///
    /// # Errors
    /// When the kernel refuses, or root's rights come back.
    pub fn become_for_good(&self, kept: &[Capability]) -> Result<(), Error> {
        // the user changes before the bounding set is dropped, which needs a capability that would go with root
        caps::securebits::set_keepcaps(true).map_err(Error::kernel("keep capabilities"))?;
        nix::unistd::setgroups(&[self.group]).map_err(Error::kernel("give up the groups"))?;
        nix::unistd::setgid(self.group).map_err(Error::kernel("change the group"))?;
        nix::unistd::setuid(self.user).map_err(Error::kernel("change the user"))?;
        let one = CapsHashSet::from([Capability::CAP_SETPCAP]);
        caps::set(None, CapSet::Effective, &one).map_err(Error::kernel("keep a capability"))?;
        retain(kept)?;
        if !kept.is_empty() {
            let kept = kept.iter().copied().collect();
            caps::set(None, CapSet::Effective, &kept)
                .map_err(Error::kernel("keep a capability"))?;
        }
        caps::securebits::set_keepcaps(false).map_err(Error::kernel("let capabilities go"))?;
        match nix::unistd::setuid(Uid::from_raw(0)) {
            Ok(()) => Err(Error::Kernel {
                what: "give up root",
                why: "its rights came back after they were given up".into(),
            }),
            Err(_) => Ok(()),
        }
    }
}

/// Gives up every capability but `kept`, in all sets of the calling thread. The bounding set is left where it is when the
/// thread has no right to change it: who has no capability cannot gain one from it either once new rights are forbidden.
///
/// # Errors
/// When the kernel refuses.
pub fn retain(kept: &[Capability]) -> Result<(), Error> {
    let read = |set| caps::read(None, set).map_err(Error::kernel("read capabilities"));
    if read(CapSet::Effective)?.contains(&Capability::CAP_SETPCAP) {
        let bounding = read(CapSet::Bounding)?;
        for capability in bounding.into_iter().filter(|c| !kept.contains(c)) {
            caps::drop(None, CapSet::Bounding, capability)
                .map_err(Error::kernel("drop from the bounding set"))?;
        }
    }
    // a kernel of before 4.3 has no ambient set: nothing to clear there
    let _ = caps::clear(None, CapSet::Ambient);
    caps::clear(None, CapSet::Inheritable).map_err(Error::kernel("give up capabilities"))?;
    for set in [CapSet::Effective, CapSet::Permitted] {
        let mut left = read(set)?;
        left.retain(|c| kept.contains(c));
        caps::set(None, set, &left).map_err(Error::kernel("give up capabilities"))?;
    }
    Ok(())
}

/// Gives up one capability, in all sets of the calling thread and of the threads that it starts later.
///
/// # Errors
/// When the kernel refuses.
pub fn give_up(capability: Capability) -> Result<(), Error> {
    if has(Capability::CAP_SETPCAP) {
        caps::drop(None, CapSet::Bounding, capability)
            .map_err(Error::kernel("drop from the bounding set"))?;
    }
    for set in [CapSet::Effective, CapSet::Permitted] {
        caps::drop(None, set, capability).map_err(Error::kernel("give up a capability"))?;
    }
    Ok(())
}

/// Whether the calling thread has a capability in effect.
pub fn has(capability: Capability) -> bool {
    caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false)
}

/// Forbids this process and its children to gain rights again.
///
/// # Errors
/// When the kernel refuses.
pub fn forbid_new_rights() -> Result<(), Error> {
    nix::sys::prctl::set_no_new_privs().map_err(Error::kernel("forbid new rights"))
}

/// The name of the account that the process runs as.
pub(super) fn current_name() -> String {
    let me = nix::unistd::geteuid();
    let user = User::from_uid(me).ok().flatten();
    user.map_or_else(|| format!("user {me}"), |user| user.name)
}

/// The account of our own.
const OWN: &str = "flowhouse";

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(user: Option<&str>, group: Option<&str>) -> Result<Change, Error> {
        Change::of(&Settings {
            user: user.map(str::to_owned),
            group: group.map(str::to_owned),
        })
    }

    #[test]
    fn the_settings_name_an_account() {
        let stranger = wanted(Some("no-such-user"), None).expect_err("no such account");
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped in part: only root changes its account");
            assert!(matches!(stranger, Error::NotRoot { .. }), "{stranger}");
            assert_eq!(wanted(None, None).expect("stays"), Change::Stay);
            return;
        }
        assert!(stranger.to_string().contains("useradd"), "{stranger}");
        assert_eq!(wanted(Some("root"), None).expect("root"), Change::StayRoot);
        let Change::To(nobody) = wanted(Some("nobody"), Some("root")).expect("nobody") else {
            panic!("an account");
        };
        assert_eq!((nobody.name(), nobody.group()), ("nobody", 0));
        let error = wanted(Some("nobody"), Some("no-such-group")).expect_err("no group");
        assert!(error.to_string().contains("groupadd"), "{error}");
    }
}
