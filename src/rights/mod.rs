//! Giving up what a process may do: the account, the capabilities, the way back.
//!
//! Owns: [`Account`] (who to become), [`give`] (folders to that account), [`Account::become_for_good`], [`retain`] and
//! [`forbid_new_rights`]. Never: a thread; all of this is of the calling thread and what it starts later, so it comes
//! before the first thread. Why a room: the collector and the store both do it, in the same order.

mod account;
mod error;
mod folder;
mod settings;

pub use account::{
    Account, Capability, Change, KEPT_BY_ROOT, forbid_new_rights, give_up, has, retain,
};
pub use error::Error;
pub use folder::{check_reach, give, keep_to_group, tighten};
pub use settings::Settings;
