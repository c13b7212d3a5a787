//! What one side of a transaction says, by buffer: what rules about transactions are tried with.

use super::super::buffer::Buffer;
use super::super::warning::RAISED;
use super::raw::renumber;
use super::wanted::Wanted;
use crate::model::prefetch;
use crate::reassemble::app::ServerHello;
use std::borrow::Cow;

/// One side of one transaction.
#[derive(Debug, Default)]
pub(super) struct Unit {
    /// 0 to the server, 1 to the client.
    pub direction: usize,
    /// Number of the transaction in its conversation, from 0.
    pub transaction: u64,
    bytes: Vec<u8>,
    values: Vec<(Buffer, u32, u32)>,
    numbers: Vec<(&'static str, u64)>,
    words: Vec<(&'static str, Cow<'static, str>)>,
    /// Words that the other side of the transaction was told of, where they are odd.
    shared: usize,
    /// What keywords look at that is no buffer, by the keyword: digests of files, messages.
    parts: Vec<(&'static str, Vec<u8>)>,
    /// What lines tell of it and no rule looks into.
    told: Vec<(&'static str, Vec<u8>)>,
    /// What anybody asks for.
    wanted: Wanted,
    /// What alerts may tell of, as it came.
    later: Vec<Later>,
    /// Values that rules were tried with.
    pub known: usize,
    /// Certificates of its chain.
    pub certificates: u32,
    /// Bytes of its body, as far as bodies are unpacked.
    pub body_bytes: u64,
    /// The lowest byte of numbers goes first, as a header of DCE/RPC says.
    pub dce_little: bool,
    /// Nothing more comes.
    pub is_whole: bool,
    /// Rules that were found and lack something that may come.
    pub waiting: Vec<u32>,
    /// Rules that matched.
    pub matched: Vec<u32>,
    /// Rules were tried with it at least once.
    pub is_begun: bool,
    /// Values that found no room since this was asked last.
    cut: u64,
    /// How often it changed, and what it was when rules were tried last.
    changes: u32,
    tried: (u32, bool),
}

/// What is read when an alert tells of it, because no rule looks into it.
#[derive(Debug)]
pub(super) enum Later {
    /// A client's hello, and what carried it.
    ClientHello(char, Vec<u8>),
    /// A server's hello.
    ServerHello(Box<ServerHello>),
    /// The first certificate of a chain.
    Certificate(Vec<u8>),
}

impl Unit {
    /// One with nothing said, of which this is wanted.
    pub fn new(direction: usize, transaction: u64, wanted: Wanted) -> Self {
        Unit {
            direction,
            transaction,
            wanted,
            ..Self::default()
        }
    }

    /// What anybody asks for.
    #[inline]
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// Whether anybody asks for a buffer.
    #[inline]
    pub fn wants(&self, buffer: Buffer) -> bool {
        self.wanted.has(buffer)
    }

    /// Keeps something for alerts; more of it than one side ever has is left out.
    pub fn keep(&mut self, later: Later) {
        if self.later.len() < LATER_MAX {
            self.later.push(later);
        }
    }

    /// What it said gives way to what follows; rules that matched do not match it again.
    pub fn restart(&mut self) {
        self.bytes.clear();
        self.values.clear();
        self.numbers.clear();
        self.words.clear();
        self.parts.clear();
        self.told.clear();
        self.later.clear();
        self.waiting.clear();
        (self.shared, self.known, self.is_begun) = (0, 0, false);
        self.changes = self.changes.wrapping_add(1);
    }

    /// What was kept for alerts.
    pub fn kept(&self) -> &[Later] {
        &self.later
    }

    /// Calls into the cache what tells whether it changed.
    #[inline]
    pub fn call(&self) {
        prefetch(&self.changes);
        prefetch(&self.is_begun);
    }

    /// Whether nothing changed since rules were tried with it.
    #[inline]
    pub fn is_still(&self) -> bool {
        self.is_begun && self.tried == (self.changes, self.is_whole)
    }

    /// Rules have other numbers from here on. What was said is looked at again.
    pub fn renumber(&mut self, moved: &[Option<u32>]) {
        self.waiting.clear();
        (self.known, self.is_begun) = (0, false);
        renumber(&mut self.matched, moved);
    }

    /// Memory that it takes beside itself.
    pub fn room(&self) -> usize {
        let later = self.later.iter().map(|l| match l {
            Later::ClientHello(_, bytes) | Later::Certificate(bytes) => bytes.capacity(),
            Later::ServerHello(hello) => {
                size_of::<ServerHello>() + hello.random.capacity() + 2 * hello.extensions.capacity()
            }
        });
        let told = self.told.iter().map(|t| t.1.capacity());
        let parts = self.parts.iter().map(|p| p.1.capacity());
        let words = self.words.iter().map(|w| match &w.1 {
            Cow::Owned(word) => word.capacity(),
            Cow::Borrowed(_) => 0,
        });
        let beside = later.chain(parts).chain(words).chain(told).sum::<usize>();
        self.bytes.capacity()
            + beside
            + self.values.capacity() * size_of::<(Buffer, u32, u32)>()
            + self.numbers.capacity() * size_of::<(&str, u64)>()
            + self.words.capacity() * size_of::<(&str, Cow<'_, str>)>()
            + self.parts.capacity() * size_of::<(&str, Vec<u8>)>()
            + self.told.capacity() * size_of::<(&str, Vec<u8>)>()
            + self.later.capacity() * size_of::<Later>()
            + (self.waiting.capacity() + self.matched.capacity()) * size_of::<u32>()
    }

    /// Says what a buffer holds; of a buffer of several values, one more.
    pub fn add(&mut self, buffer: Buffer, bytes: &[u8]) {
        if !self.wants(buffer) {
            return;
        }
        if self.values.len() >= VALUES_MAX || self.bytes.len() + bytes.len() > BYTES_MAX {
            self.cut += 1;
            return;
        }
        self.changes = self.changes.wrapping_add(1);
        if self.values.is_empty() {
            // what one side says mostly
            self.values.reserve(VALUES_FEW);
            self.bytes.reserve(bytes.len().max(BYTES_FEW));
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        let end = self.bytes.len();
        self.values.push((buffer, start as u32, end as u32));
    }

    /// Says what a buffer holds now, in place of what it held.
    pub fn replace(&mut self, buffer: Buffer, bytes: &[u8]) {
        self.remove(buffer);
        self.add(buffer, bytes);
    }

    fn remove(&mut self, buffer: Buffer) {
        if let Some(at) = self.values.iter().position(|v| v.0 == buffer) {
            self.changes = self.changes.wrapping_add(1);
            let (_, from, to) = self.values.remove(at);
            self.known -= usize::from(at < self.known);
            // the last one gives its room back
            if to as usize == self.bytes.len() {
                self.bytes.truncate(from as usize);
            }
        }
    }

    /// Says the first of the values that a buffer has now.
    pub fn replace_all(&mut self, buffer: Buffer, bytes: &[u8]) {
        while self.values.iter().any(|v| v.0 == buffer) {
            self.remove(buffer);
        }
        self.add(buffer, bytes);
    }

    /// Says a number.
    pub fn number(&mut self, name: &'static str, number: u64) {
        self.changes = self.changes.wrapping_add(1);
        self.numbers.push((name, number));
    }

    /// Says a word.
    pub fn word(&mut self, name: &'static str, word: impl Into<Cow<'static, str>>) {
        self.changes = self.changes.wrapping_add(1);
        self.words.push((name, word.into()));
    }

    /// The values of a buffer, in order.
    pub fn values(&self, buffer: Buffer) -> impl Iterator<Item = &[u8]> {
        let of = move |v: &&(Buffer, u32, u32)| v.0 == buffer;
        self.values
            .iter()
            .filter(of)
            .map(|v| &self.bytes[v.1 as usize..v.2 as usize])
    }

    /// Values that rules were not tried with.
    pub fn fresh(&self) -> impl Iterator<Item = (Buffer, &[u8])> {
        self.values[self.known..]
            .iter()
            .map(|v| (v.0, &self.bytes[v.1 as usize..v.2 as usize]))
    }

    /// Rules were tried with all that is there.
    pub fn looked_at(&mut self) {
        self.known = self.values.len();
        self.is_begun = true;
        self.tried = (self.changes, self.is_whole);
    }

    /// The numbers of that name.
    pub fn numbers(&self, name: &str) -> impl Iterator<Item = u64> {
        self.numbers
            .iter()
            .filter(move |n| n.0 == name)
            .map(|n| n.1)
    }

    /// Says what a keyword looks at.
    pub fn part(&mut self, name: &'static str, bytes: Vec<u8>) {
        self.changes = self.changes.wrapping_add(1);
        match self.parts.len() < VALUES_MAX {
            true => self.parts.push((name, bytes)),
            false => self.cut += 1,
        }
    }

    /// How many values found no room since this was asked last.
    pub fn take_cut(&mut self) -> u64 {
        std::mem::take(&mut self.cut)
    }

    /// What the keyword of that name looks at.
    pub fn parts(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let of = self.parts.iter().filter(move |d| d.0 == name);
        of.map(|d| d.1.as_slice())
    }

    /// What is odd about it and was not taken yet: words that say nothing else.
    pub fn take_raised(&mut self) -> Vec<&'static str> {
        let fresh = &self.words[self.shared..];
        let names = fresh.iter().filter(|w| w.1.is_empty()).map(|w| w.0);
        let raised = names.filter(|name| RAISED.contains(name)).collect();
        self.shared = self.words.len();
        raised
    }

    /// Says what is odd about the other side.
    pub fn share(&mut self, name: &'static str) {
        if self.words(name).next().is_none() {
            let is_shared = self.shared == self.words.len();
            self.word(name, "");
            self.shared += usize::from(is_shared);
        }
    }

    /// Says what lines tell of it and no rule looks into; more of it than lines tell is left out.
    pub fn tell(&mut self, name: &'static str, bytes: &[u8]) {
        if self.told.len() < TELLS_MAX {
            let kept = bytes[..bytes.len().min(TELL_MAX)].to_vec();
            self.told.push((name, kept));
        }
    }

    /// What lines tell of it and no rule looks into.
    pub fn tells(&self) -> &[(&'static str, Vec<u8>)] {
        &self.told
    }

    /// The words of that name.
    pub fn words(&self, name: &str) -> impl Iterator<Item = &str> {
        self.words
            .iter()
            .filter(move |w| w.0 == name)
            .map(|w| w.1.as_ref())
    }
}

/// Bytes that one side says at most; what is more is left out.
const BYTES_MAX: usize = 1 << 20;
/// Values likewise.
const VALUES_MAX: usize = 1024;
/// Room that is taken at once.
const VALUES_FEW: usize = 12;
const BYTES_FEW: usize = 256;
/// Things that only lines tell, and bytes of each.
const TELLS_MAX: usize = 64;
const TELL_MAX: usize = 1_024;
/// Things that are kept for alerts.
const LATER_MAX: usize = 4;
