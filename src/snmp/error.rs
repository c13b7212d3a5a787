//! What can go wrong between us and an exporter that is asked.

use std::path::PathBuf;

/// Why an exporter gave no answer that is used. No text in it comes from the network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No access covers it.
    #[error("no [snmp.access.NAME] names this exporter")]
    NotNamed,
    /// A secret is neither in the configuration nor in the environment.
    #[error("{key} is missing: set {key}_file, or {variable} in the environment")]
    NoSecret {
        /// Key of the setting.
        key: String,
        /// Variable of the environment.
        variable: &'static str,
    },
    /// A file with a secret cannot be used.
    #[error("{key}: {} {fault}", path.display())]
    File {
        /// Key of the setting.
        key: String,
        /// The file.
        path: PathBuf,
        /// Why.
        fault: String,
    },
    /// No keys can be made from the passwords.
    #[error("snmp.access.{name}: {fault}")]
    Keys {
        /// Name of the access.
        name: String,
        /// Why.
        fault: String,
    },
    /// Nothing came back.
    #[error(
        "no answer from {place}: is it there, is SNMP on, may this address ask, is the community right?"
    )]
    Silent {
        /// Whom we asked.
        place: String,
    },
    /// It refuses our credentials.
    #[error("{place} refuses user or password: {why}")]
    Refused {
        /// Whom we asked.
        place: String,
        /// Its word for it.
        why: String,
    },
    /// It cannot be reached.
    #[error("cannot ask {place}: {why}")]
    Unreachable {
        /// Whom we asked.
        place: String,
        /// What the system says.
        why: String,
    },
    /// What it answers makes no sense.
    #[error("{place} answers what is no IF-MIB: {why}")]
    Nonsense {
        /// Whom we asked.
        place: String,
        /// What.
        why: String,
    },
    /// It was restarted while it was asked.
    #[error("{place} was restarted while it was asked: its answers do not belong together")]
    Restarted {
        /// Whom we asked.
        place: String,
    },
    /// It took too long in all.
    #[error("{place} took longer than snmp.poll_timeout_s")]
    Slow {
        /// Whom we asked.
        place: String,
    },
}

impl Error {
    /// A word for metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::NotNamed | Error::NoSecret { .. } | Error::File { .. } | Error::Keys { .. } => {
                "configuration"
            }
            Error::Silent { .. } => "timeout",
            Error::Refused { .. } => "refused",
            Error::Unreachable { .. } => "unreachable",
            Error::Nonsense { .. } => "malformed",
            Error::Restarted { .. } => "restarted",
            Error::Slow { .. } => "slow",
        }
    }

    /// All words of [`Error::kind`].
    pub const KINDS: [&'static str; 7] = [
        "configuration",
        "timeout",
        "refused",
        "unreachable",
        "malformed",
        "restarted",
        "slow",
    ];
}
