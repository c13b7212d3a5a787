//! The bytes of one direction of a stream, in chunks as rules look at them.

/// What came and was not looked at, and what lies before it.
#[derive(Debug, Default)]
pub(super) struct Raw {
    bytes: Vec<u8>,
    /// Place in the stream of the first byte.
    start: u64,
    /// Where the chunk begins: what is before it was looked at for the last time.
    known: usize,
    /// Up to where contents were looked for.
    seen: usize,
    /// Rules whose content is in the chunk, and those that matched.
    found: Vec<u32>,
    matched: Vec<u32>,
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
            self.found.clear();
            self.matched.clear();
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Bytes of the chunk.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.known
    }

    /// Whether something came since it was looked at.
    pub fn is_fresh(&self) -> bool {
        self.seen < self.bytes.len()
    }

    /// The rules whose content is in the chunk and those that matched, to be given back with [`Raw::put`]; and where contents
    /// that end in what is new may begin, if they are at most so long.
    pub fn take(&mut self, longest: usize) -> (Vec<u32>, Vec<u32>, usize) {
        let from = self.seen.saturating_sub(longest);
        let (found, matched) = (&mut self.found, &mut self.matched);
        (std::mem::take(found), std::mem::take(matched), from)
    }

    /// Gives back what [`Raw::take`] gave.
    pub fn put(&mut self, found: Vec<u32>, matched: Vec<u32>) {
        (self.found, self.matched) = (found, matched);
        self.seen = self.bytes.len();
    }

    /// Rules have other numbers from here on, or are gone. What is in the chunk is looked for again.
    pub fn renumber(&mut self, moved: &[Option<u32>]) {
        self.found.clear();
        self.seen = self.known;
        renumber(&mut self.matched, moved);
    }

    /// Memory that it takes.
    pub fn room(&self) -> usize {
        self.bytes.capacity()
    }

    /// What there is.
    pub fn chunk(&self) -> Chunk<'_> {
        Chunk {
            bytes: &self.bytes,
            known: self.known,
            start: self.start,
        }
    }

    /// The chunk was looked at for the last time; so many bytes are kept.
    pub fn looked_at(&mut self, kept: usize) {
        let drop = self.bytes.len().saturating_sub(kept);
        self.bytes.drain(..drop);
        self.start += drop as u64;
        (self.known, self.seen) = (self.bytes.len(), self.bytes.len());
        self.found.clear();
        self.matched.clear();
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
