//! Link types that nobody reads, named when they are met first.

use crate::dissect::{Dissected, Reason, link_name};
use std::collections::BTreeSet;

/// Link types that were met and are not known, or never carry IP.
#[derive(Debug, Default)]
pub(super) struct Links(BTreeSet<u16>);

impl Links {
    /// Takes in what became of a frame.
    pub fn note(&mut self, dissected: &Dissected<'_>, link_type: u16) {
        let is_unknown = matches!(dissected, Dissected::Rejected(Reason::LinkType));
        if is_unknown && self.0.len() < LINKS_MAX && self.0.insert(link_type) {
            let name = link_name(link_type);
            tracing::warn!("frames of link type {link_type} ({name}) are not looked into");
        }
    }

    /// All of them.
    pub fn all(&self) -> &BTreeSet<u16> {
        &self.0
    }
}

/// Most link types that are named.
const LINKS_MAX: usize = 64;
