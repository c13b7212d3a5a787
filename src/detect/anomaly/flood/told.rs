//! What is told of a victim, and what a flood is made of.

use crate::detect::incident::Handle;

/// The incident of a victim, and what was not added to it yet.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(super) struct Told {
    pub handle: Option<Handle>,
    /// What it was first.
    pub class: Class,
    /// A bit for each class that belongs to it.
    pub classes: u8,
    pub fresh: [u64; CLASSES],
    /// Since when it waits for what may explain it; 0: it does not.
    pub waits_ms: i64,
    /// When any of it was seen last.
    pub at_ms: i64,
    /// The most of each class that was written down.
    pub most: [f32; CLASSES],
}

/// What a flood is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Class {
    Syn,
    Udp,
    SynAck,
    Leases,
    Segments,
    #[default]
    Volume,
}

pub(super) const CLASSES: usize = 6;

impl Told {
    /// Whether a class belongs to the incident.
    pub fn has(&self, class: Class) -> bool {
        self.classes >> class as u8 & 1 == 1
    }
}
