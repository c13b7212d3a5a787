//! The walk through an sFlow version 5 datagram (sFlow.org, sFlow Version 5, July 2004, section 5.3): header,
//! samples, records. Everything is XDR: big-endian words, opaque data padded to four bytes.

use crate::decode::Reason;
use crate::model::Addr;

/// What stands before the samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Agent address; unspecified where the exporter does not know it.
    pub agent: Addr,
    /// Sub-agent id.
    pub sub_agent: u32,
    /// Sequence number of the datagram.
    pub sequence: u32,
    /// Uptime of the agent, milliseconds.
    pub uptime_ms: u32,
    /// How many samples follow.
    pub samples: u32,
}

impl Header {
    /// Reads the header; what follows it is for [`Samples`]. The error has the byte offset of the fault.
    pub fn read(payload: &[u8]) -> Result<(Header, Reader<'_>), (usize, Reason)> {
        let mut r = Reader::new(payload);
        let short = |r: &Reader<'_>| (r.position(), Reason::Short);
        match r.word() {
            Some(VERSION) => {}
            Some(_) => return Err((0, Reason::Version)),
            None => return Err(short(&r)),
        }
        let agent = match r.word() {
            Some(0) => Some(Addr::UNSPECIFIED),
            Some(1) => r.array().map(Addr::from_v4),
            Some(2) => r.array().map(Addr::from_v6),
            Some(_) => return Err((4, Reason::Header)),
            None => None,
        };
        let header = (|| {
            Some(Header {
                agent: agent?,
                sub_agent: r.word()?,
                sequence: r.word()?,
                uptime_ms: r.word()?,
                samples: r.word()?,
            })
        })();
        match header {
            Some(header) => Ok((header, r)),
            None => Err(short(&r)),
        }
    }
}

/// The enterprise and the format of a sample or a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Private enterprise number; 0 for sFlow.org's.
    pub enterprise: u32,
    /// Number in that enterprise's list.
    pub number: u32,
}

impl Format {
    /// Whether it is one of samples that are sent on purpose, though nothing is made of them: discarded packets (0:5), those of vendors.
    pub fn is_known(&self) -> bool {
        self.enterprise != 0 || self.number == 5
    }

    fn of(word: u32) -> Self {
        Format {
            enterprise: word >> 12,
            number: word & 0xfff,
        }
    }
}

/// A sample or a record: its format and its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// What it is.
    pub format: Format,
    /// Where it starts in the datagram or sample.
    pub at: usize,
    /// Its content.
    pub body: &'a [u8],
}

/// Items one after another, as many as the count before them says.
#[derive(Clone, Debug)]
pub struct Items<'a> {
    reader: Reader<'a>,
    left: u32,
}

impl<'a> Items<'a> {
    /// `count` items from `reader` on.
    pub fn new(reader: Reader<'a>, count: u32) -> Self {
        Items {
            reader,
            left: count,
        }
    }

    /// Bytes behind the items that were taken.
    pub fn rest(&self) -> &'a [u8] {
        self.reader.rest()
    }

    /// Items that were promised and not taken.
    pub fn left(&self) -> u32 {
        self.left
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Item<'a>;

    /// The next item that is wholly there; `None` at the end and where one runs past the bytes ([`Items::left`]
    /// tells which).
    fn next(&mut self) -> Option<Item<'a>> {
        if self.left == 0 {
            return None;
        }
        let mut r = self.reader.clone();
        let at = r.position();
        let format = Format::of(r.word()?);
        let body = r.opaque()?;
        self.reader = r;
        self.left -= 1;
        Some(Item { format, at, body })
    }
}

/// An interface as a flow sample names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface {
    /// 0: `value` is an ifIndex; 1: the packet was discarded, `value` is the reason; 2: several, `value` is how many.
    pub format: u32,
    /// By `format`; the local interface is 0x3fffffff.
    pub value: u32,
}

/// A data source: the instance that was sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Source {
    /// 0: interface, 1: VLAN, 2: physical entity.
    pub class: u32,
    /// Index in that class.
    pub index: u32,
}

/// A flow sample, plain or expanded.
#[derive(Clone, Debug)]
pub struct FlowSample<'a> {
    /// Sequence number of the source's flow samples.
    pub sequence: u32,
    /// Who sampled.
    pub source: Source,
    /// 1 in N.
    pub rate: u32,
    /// Packets that could have been sampled.
    pub pool: u32,
    /// Samples lost in the exporter for want of resources.
    pub drops: u32,
    /// Ingress interface.
    pub input: Interface,
    /// Egress interface.
    pub output: Interface,
    /// The records.
    pub records: Items<'a>,
}

impl<'a> FlowSample<'a> {
    /// Reads the content of a sample of format 1, or 3 (`expanded`).
    pub fn read(body: &'a [u8], expanded: bool) -> Option<Self> {
        let mut r = Reader::new(body);
        Some(FlowSample {
            sequence: r.word()?,
            source: source(&mut r, expanded)?,
            rate: r.word()?,
            pool: r.word()?,
            drops: r.word()?,
            input: interface(&mut r, expanded)?,
            output: interface(&mut r, expanded)?,
            records: items(r)?,
        })
    }
}

/// A counters sample, plain or expanded.
#[derive(Clone, Debug)]
pub struct CountersSample<'a> {
    /// Sequence number of the source's counters samples.
    pub sequence: u32,
    /// Whose counters.
    pub source: Source,
    /// The records.
    pub records: Items<'a>,
}

impl<'a> CountersSample<'a> {
    /// Reads the content of a sample of format 2, or 4 (`expanded`).
    pub fn read(body: &'a [u8], expanded: bool) -> Option<Self> {
        let mut r = Reader::new(body);
        Some(CountersSample {
            sequence: r.word()?,
            source: source(&mut r, expanded)?,
            records: items(r)?,
        })
    }
}

/// What a sample is, by its format.
#[derive(Clone, Debug)]
pub enum Sample<'a> {
    /// Formats 1 and 3.
    Flow(FlowSample<'a>),
    /// Formats 2 and 4.
    Counters(CountersSample<'a>),
    /// Any other format.
    Other,
    /// A known format whose content ends too soon.
    Broken,
}

impl<'a> Sample<'a> {
    /// Reads a sample.
    pub fn read(item: &Item<'a>) -> Self {
        let Format { enterprise, number } = item.format;
        let read = match (enterprise, number) {
            (0, 1 | 3) => FlowSample::read(item.body, number == 3).map(Sample::Flow),
            (0, 2 | 4) => CountersSample::read(item.body, number == 4).map(Sample::Counters),
            _ => Some(Sample::Other),
        };
        read.unwrap_or(Sample::Broken)
    }
}

fn source(r: &mut Reader<'_>, expanded: bool) -> Option<Source> {
    let (class, index) = pair(r, expanded, 24)?;
    Some(Source { class, index })
}

fn interface(r: &mut Reader<'_>, expanded: bool) -> Option<Interface> {
    let (format, value) = pair(r, expanded, 30)?;
    Some(Interface { format, value })
}

/// Two words, or one word with the first number above `bits`.
fn pair(r: &mut Reader<'_>, expanded: bool, bits: u32) -> Option<(u32, u32)> {
    let word = r.word()?;
    if expanded {
        return Some((word, r.word()?));
    }
    Some((word >> bits, word & ((1 << bits) - 1)))
}

fn items(mut r: Reader<'_>) -> Option<Items<'_>> {
    let count = r.word()?;
    Some(Items::new(r, count))
}

/// Reads XDR from front to back.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Starts at the first byte.
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { bytes, at: 0 }
    }

    /// Bytes read so far.
    pub fn position(&self) -> usize {
        self.at
    }

    /// What is not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The next `N` bytes.
    #[inline]
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, _) = self.rest().split_first_chunk::<N>()?;
        self.at += N;
        Some(*head)
    }

    /// The next 32-bit number.
    #[inline]
    pub fn word(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// The next 64-bit number.
    pub fn double(&mut self) -> Option<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// The next `n` bytes.
    pub fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let bytes = self.rest().get(..n)?;
        self.at += n;
        Some(bytes)
    }

    /// Data of variable length: its length, itself, and padding. Padding that is missing at the end is forgiven.
    pub fn opaque(&mut self) -> Option<&'a [u8]> {
        let n = self.word()? as usize;
        let bytes = self.bytes(n)?;
        self.at = (self.at + n.next_multiple_of(4) - n).min(self.bytes.len());
        Some(bytes)
    }

    /// An address: its kind, then 0, 4 or 16 bytes.
    pub fn address(&mut self) -> Option<Addr> {
        match self.word()? {
            0 => Some(Addr::UNSPECIFIED),
            1 => self.array().map(Addr::from_v4),
            2 => self.array().map(Addr::from_v6),
            _ => None,
        }
    }
}

const VERSION: u32 = 5;
