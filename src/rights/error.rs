//! Why rights cannot be given up.

use std::path::PathBuf;

/// A fault of giving up rights; all are the operator's or the kernel's.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Operator: no such account.
    #[error(
        "there is no user {0}; create it (`useradd --system --no-create-home {0}`) or name another"
    )]
    NoUser(String),
    /// Operator: no such group.
    #[error("there is no group {0}; create it (`groupadd --system {0}`) or name another")]
    NoGroup(String),
    /// Operator: only root can change the account.
    #[error(
        "started as {now}, which cannot become {wanted}: start as root or as {wanted}, or take the user out of [privileges]"
    )]
    NotRoot {
        /// Who the process is.
        now: String,
        /// Who it should become.
        wanted: String,
    },
    /// Operator: a folder of somebody else.
    #[error("{} belongs to user {owner}, neither to root nor to {account}: it is not given away; `chown -R {account}` it, or name another", path.display())]
    Foreign {
        /// The folder or file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who should own it.
        account: String,
    },
    /// Operator: a file with a second name somewhere else.
    #[error("{} has {links} names (hard links) and is not given away; remove the others", path.display())]
    Linked {
        /// The file.
        path: PathBuf,
        /// How many names it has.
        links: u64,
    },
    /// Operator: a folder on the way cannot be entered.
    #[error("{user} cannot enter {}, which is on the way to {}; use a folder that all can enter (such as below /var/lib), or `chmod o+x {}`", folder.display(), path.display(), folder.display())]
    Unreachable {
        /// The account.
        user: String,
        /// The folder that is closed.
        folder: PathBuf,
        /// What lies behind it.
        path: PathBuf,
    },
    /// A file operation failed.
    #[error("{what} {}: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// How it failed.
        source: std::io::Error,
    },
    /// The kernel refused, or did not do what it said.
    #[error("cannot {what}: {why}")]
    Kernel {
        /// What was tried.
        what: &'static str,
        /// What came of it.
        why: String,
    },
}

impl Error {
    pub(super) fn kernel<E: ToString>(what: &'static str) -> impl Fn(E) -> Error {
        move |why| Error::Kernel {
            what,
            why: why.to_string(),
        }
    }
}
