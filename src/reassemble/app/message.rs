//! What conversations say, message by message, borrowed from their bytes.

/// A message of an application protocol.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Message<'a> {
    /// A datagram or piece of a protocol that is not read further.
    Other(&'a [u8]),
}

/// Who listens to messages.
pub trait Visitor {
    /// A message of a half; 0 is the side that began.
    fn message(&mut self, half: usize, message: &Message<'_>);
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deaf;

impl Visitor for Deaf {
    fn message(&mut self, _half: usize, _message: &Message<'_>) {}
}

/// What the visitor of a shard wants beside what flows are named by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// All messages of a conversation, not only those that name it.
    pub all: bool,
    /// Bodies, decoded.
    pub bodies: bool,
}
