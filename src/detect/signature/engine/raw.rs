//! The bytes of one direction of a stream, in chunks as rules look at them.

use crate::model::prefetch;

/// What came and was not looked at, and what lies before it.
#[derive(Debug, Default)]
pub(super) struct Raw {
    bytes: Vec<u8>,
    /// Place in the stream of the first byte.
    start: u64,
    /// Where the chunk begins: what is before it was looked at for the last time.
    known: u32,
    /// Up to where contents were looked for.
    seen: u32,
    /// Rules whose content is in the chunk, and those that matched, where there are any.
    rules: Option<Box<Rules>>,
}

/// Rules that a chunk is about.
#[derive(Debug, Default)]
pub(super) struct Rules {
    /// Those whose content is in it.
    pub found: Vec<u32>,
    /// Those that matched.
    pub matched: Vec<u32>,
}

/// A chunk that is to be looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk<'a> {
    /// What was looked at before, and the chunk.
    pub bytes: &'a [u8],
    /// Where the chunk starts in it.
    pub known: usize,
    /// Place of the first byte in the stream.
    pub start: u64,
}

impl<'a> Chunk<'a> {
    /// What was not looked at yet.
    pub fn fresh(&self) -> &'a [u8] {
        &self.bytes[self.known..]
    }

    /// Place of that in the stream.
    pub fn fresh_start(&self) -> u64 {
        self.start + self.known as u64
    }
}

impl Raw {
    /// Takes bytes at a place of the stream.
    pub fn push(&mut self, offset: u64, gap: u32, bytes: &[u8]) {
        if gap > 0 || self.bytes.is_empty() {
            self.bytes.clear();
            (self.start, self.known, self.seen) = (offset, 0, 0);
            self.rules = None;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Bytes of the chunk.
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len() - self.known as usize
    }

    /// Whether something came since it was looked at.
    #[inline]
    pub fn is_fresh(&self) -> bool {
        (self.seen as usize) < self.bytes.len()
    }

    /// What contents of at most this length that end in what is new are in.
    #[inline]
    pub fn unseen(&self, longest: usize) -> &[u8] {
        &self.bytes[(self.seen as usize).saturating_sub(longest)..]
    }

    /// The rules that the chunk is about, to be given back with [`Raw::put`].
    #[inline]
    pub fn take(&mut self) -> Box<Rules> {
        self.rules.take().unwrap_or_default()
    }

    /// Whether rules were found before.
    #[inline]
    pub fn has_rules(&self) -> bool {
        self.rules.is_some()
    }

    /// Gives back what [`Raw::take`] gave.
    pub fn put(&mut self, rules: Box<Rules>) {
        self.rules = Some(rules);
        self.looked();
    }

    /// Contents were looked for up to its end.
    #[inline]
    pub fn looked(&mut self) {
        self.seen = self.bytes.len() as u32;
    }

    /// Calls the place where the next bytes go into the cache.
    #[inline]
    pub fn call(&self) {
        if let Some(last) = self.bytes.last() {
            prefetch(last);
        }
    }

    /// Rules have other numbers from here on, or are gone. What is in the chunk is looked for again.
    pub fn renumber(&mut self, moved: &[Option<u32>]) {
        self.seen = self.known;
        if let Some(rules) = &mut self.rules {
            rules.found.clear();
            renumber(&mut rules.matched, moved);
        }
    }

    /// Memory that it takes.
    pub fn room(&self) -> usize {
        self.bytes.capacity()
    }

    /// What there is.
    pub fn chunk(&self) -> Chunk<'_> {
        Chunk {
            bytes: &self.bytes,
            known: self.known as usize,
            start: self.start,
        }
    }

    /// The chunk was looked at for the last time; so many bytes are kept.
    pub fn looked_at(&mut self, kept: usize) {
        let drop = self.bytes.len().saturating_sub(kept);
        if drop > 0 {
            self.bytes.drain(..drop);
        }
        self.start += drop as u64;
        self.known = self.bytes.len() as u32;
        self.looked();
        self.rules = None;
        if kept == 0 {
            self.bytes = Vec::new();
        }
    }
}

/// Gives rules of a list the numbers that they have now.
pub(super) fn renumber(list: &mut Vec<u32>, moved: &[Option<u32>]) {
    let of = |n: u32| moved.get(n as usize).copied().flatten();
    *list = list.iter().filter_map(|n| of(*n)).collect();
}
