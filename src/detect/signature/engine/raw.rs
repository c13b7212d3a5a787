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
    /// Where the message begins that goes on, which may be longer than a chunk.
    message: u32,
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

/// Memory of chunks that were let go, for those that come: a list for each size.
#[derive(Debug, Default)]
pub(super) struct Spare([Vec<Vec<u8>>; SIZES.len()]);

impl Spare {
    /// Bytes that it keeps at most.
    pub const BYTES_MAX: usize =
        SPARE_MAX * (SIZES[0] + SIZES[1] + SIZES[2] + SIZES.len() * size_of::<Vec<u8>>());

    /// Makes room for so many bytes more.
    #[inline]
    fn fit(&mut self, bytes: &mut Vec<u8>, more: usize) {
        let needed = bytes.len() + more;
        if needed > bytes.capacity() {
            self.grow(bytes, needed);
        }
    }

    fn grow(&mut self, bytes: &mut Vec<u8>, needed: usize) {
        match SIZES.iter().position(|size| needed <= *size) {
            Some(0) if needed <= SIZES[0] / 2 => {
                let room = needed.next_power_of_two().max(SMALLEST);
                bytes.reserve_exact(room - bytes.len());
            }
            Some(size) => self.move_to(size, bytes),
            None => bytes.reserve(needed - bytes.len()),
        }
    }

    /// Moves bytes into memory of another size.
    fn move_to(&mut self, size: usize, bytes: &mut Vec<u8>) {
        let spare = self.0[size].pop();
        let mut moved = spare.unwrap_or_else(|| Vec::with_capacity(SIZES[size]));
        moved.extend_from_slice(bytes);
        self.keep(std::mem::replace(bytes, moved));
    }

    fn keep(&mut self, mut bytes: Vec<u8>) {
        let size = SIZES.iter().position(|size| bytes.capacity() == *size);
        if let Some(list) = size.map(|n| &mut self.0[n]).filter(|l| l.len() < SPARE_MAX) {
            bytes.clear();
            list.push(bytes);
        }
    }

    /// Takes the memory of a chunk.
    pub fn take(&mut self, raw: &mut Raw) {
        self.keep(std::mem::take(raw).bytes);
    }

    /// Takes the memory that a chunk does not need while nothing comes.
    pub fn shrink(&mut self, raw: &mut Raw) {
        if raw.bytes.len() + SMALLEST <= raw.bytes.capacity() {
            let mut moved = Vec::with_capacity(raw.bytes.len());
            moved.extend_from_slice(&raw.bytes);
            self.keep(std::mem::replace(&mut raw.bytes, moved));
        }
    }
}

impl Raw {
    /// Takes bytes at a place of the stream. What came before bytes that are missing ends there: gives it back where it was not
    /// looked at.
    pub fn push(&mut self, offset: u64, gap: u32, bytes: &[u8], spare: &mut Spare) -> Option<Raw> {
        let mut cut = None;
        if gap > 0 && self.is_fresh() {
            cut = Some(std::mem::take(self));
        }
        if gap > 0 || self.bytes.is_empty() {
            self.bytes.clear();
            (self.start, self.known, self.seen, self.message) = (offset, 0, 0, 0);
            self.rules = None;
        }
        spare.fit(&mut self.bytes, bytes.len());
        self.bytes.extend_from_slice(bytes);
        cut
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

    /// The message that goes on, as far as it is kept.
    pub fn message(&self) -> Chunk<'_> {
        Chunk {
            bytes: &self.bytes[self.message as usize..],
            known: 0,
            start: self.start + u64::from(self.message),
        }
    }

    /// The message is over.
    pub fn end_message(&mut self) {
        self.message = self.bytes.len() as u32;
    }

    /// The chunk was looked at for the last time; so many bytes are kept.
    pub fn looked_at(&mut self, kept: usize, spare: &mut Spare) {
        let drop = self.bytes.len().saturating_sub(kept);
        if drop > 0 {
            self.bytes.drain(..drop);
        }
        self.start += drop as u64;
        self.message = self.message.saturating_sub(drop as u32);
        self.known = self.bytes.len() as u32;
        self.looked();
        self.rules = None;
        if kept == 0 {
            let mut looked = std::mem::take(self);
            (self.start, self.known, self.seen) = (looked.start, looked.known, looked.seen);
            spare.take(&mut looked);
        }
    }
}

/// Protocols of which Suricata looks at a stream once a message is whole.
pub(super) const TURNS: &[&str] = &["http", "dns", "tls", "dcerpc", "sip"];
/// Sizes of memory: what is kept before a chunk, a short chunk, and the most that one has mostly: itself, what is before it, a segment.
const SIZES: [usize; 3] = [1 << 10, 2 << 10, 5 << 10];
const SMALLEST: usize = 64;
/// Pieces of spare memory that are kept, of each size: 16 MiB together.
const SPARE_MAX: usize = 2_048;

/// Gives rules of a list the numbers that they have now.
pub(super) fn renumber(list: &mut Vec<u32>, moved: &[Option<u32>]) {
    let of = |n: u32| moved.get(n as usize).copied().flatten();
    *list = list.iter().filter_map(|n| of(*n)).collect();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_grows_and_its_memory_is_used_again() {
        let mut spare = Spare::default();
        let mut raw = Raw::default();
        let mut said = vec![];
        for n in 0..40u8 {
            let bytes = vec![n; 10 * usize::from(n)];
            raw.push(said.len() as u64, 0, &bytes, &mut spare);
            said.extend(bytes);
            assert_eq!(raw.chunk().bytes, said);
        }
        raw.looked_at(4_000, &mut spare);
        let chunk = raw.chunk();
        assert_eq!((chunk.bytes, chunk.known), (&said[3_800..], 4_000));
        assert_eq!((chunk.start, raw.len(), raw.is_fresh()), (3_800, 0, false));
        // larger than what is kept for others
        assert!(raw.room() > SIZES[2]);
        spare.take(&mut raw);
        assert_eq!((raw.room(), spared(&spare)), (0, [1, 1, 0]));
        for _ in 0..2 {
            raw.push(0, 0, &[1; 3_000], &mut spare);
            assert_eq!((raw.room(), spare.0[2].len()), (SIZES[2], 0));
            spare.take(&mut raw);
            assert_eq!((raw.room(), spare.0[2].len()), (0, 1));
        }
        raw.push(0, 0, &[1; 3_000], &mut spare);
        raw.looked_at(0, &mut spare);
        assert_eq!((raw.room(), raw.chunk().start), (0, 3_000));
        assert_eq!(spare.0[2].len(), 1);
    }

    #[test]
    fn a_chunk_that_waits_takes_little() {
        let mut spare = Spare::default();
        let mut raw = Raw::default();
        raw.push(0, 0, &[1; 3_000], &mut spare);
        spare.shrink(&mut raw);
        assert_eq!((raw.room(), spared(&spare)), (3_000, [0, 0, 1]));
        raw.looked_at(1_000, &mut spare);
        spare.shrink(&mut raw);
        assert_eq!((raw.room(), raw.chunk().bytes), (1_000, &[1; 1_000][..]));
        assert_eq!((raw.chunk().start, spared(&spare)), (2_000, [0, 0, 1]));
        raw.push(3_000, 0, &[2; 100], &mut spare);
        assert_eq!((raw.room(), raw.chunk().bytes.len()), (SIZES[1], 1_100));
        assert_eq!(spared(&spare), [0, 0, 1]);
    }

    #[test]
    fn what_is_kept_for_others_has_an_end() {
        let mut spare = Spare::default();
        for size in SIZES {
            for _ in 0..SPARE_MAX + 10 {
                let bytes = Vec::with_capacity(size);
                spare.keep(bytes);
            }
        }
        let lists = spare.0.iter();
        let held = lists.map(|l| {
            let chunks = l.iter().map(Vec::capacity).sum::<usize>();
            chunks + l.capacity() * size_of::<Vec<u8>>()
        });
        let held = held.sum::<usize>();
        assert!(held <= Spare::BYTES_MAX, "{held}");
        assert_eq!(spared(&spare), [SPARE_MAX; 3]);
    }

    fn spared(spare: &Spare) -> [usize; 3] {
        spare.0.each_ref().map(Vec::len)
    }
}
