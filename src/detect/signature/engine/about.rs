//! What alerts say of the conversation.

use super::flow::{Flow, Key};

/// What an alert says beside what was looked at.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct About {
    pub frame: u64,
    pub application: &'static str,
    /// What the number of the conversation is made of.
    pub flow: Option<(Key, i64)>,
    pub transaction: Option<u64>,
}

impl About {
    /// Of a conversation as rules about packets see it.
    pub fn of(flow: &Flow, frame: u64) -> Self {
        About {
            frame,
            application: flow.application,
            flow: Some((flow.key, flow.counts.began_ns)),
            transaction: None,
        }
    }
}
