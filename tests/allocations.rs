//! The path of a datagram takes no memory once it has what it needs: counted by the allocator itself, which is why this is
//! a binary of its own.

use flowhouse::decode::{Decoder, Settings};
use flowhouse::generate::{Export, Exporter, Habits, Profile};
use flowhouse::ledger::{Book, Outcome};
use flowhouse::model::{Addr, Datagram, FlowBatch, Learned};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Counts what this thread allocates on its way to the system's allocator: the test harness has threads, too.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    ALLOCATIONS.set(ALLOCATIONS.get() + 1);
}

// SAFETY: every call is handed to `System` unchanged, so its guarantees are System's; the counter is a cell of the thread,
// made without an allocation and never dropped.
#[allow(
    unsafe_code,
    reason = "an allocator is unsafe by its trait; every call is System's"
)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's layout, unchanged.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `System` through `alloc` or `realloc` with this layout.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        count();
        // SAFETY: the pointer came from `System` with this layout; the new size is the caller's.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A decoder with what a shard gives it.
struct Decoding {
    decoder: Decoder,
    out: FlowBatch,
    learned: Vec<Learned>,
    book: Book,
    datagrams: u64,
}

impl Decoding {
    fn new() -> Self {
        Decoding {
            decoder: Decoder::new(Settings::default()),
            out: FlowBatch::new(),
            learned: Vec::new(),
            book: Book::new(16),
            datagrams: 0,
        }
    }

    /// Decodes; tells how often it allocated.
    fn take(&mut self, exports: &[(Addr, Vec<u8>)]) -> u64 {
        let before = ALLOCATIONS.get();
        for (source, payload) in exports {
            if self.out.is_full() {
                self.out.clear();
                self.learned.clear();
            }
            self.datagrams += 1;
            let datagram = Datagram {
                source: *source,
                port: 50_000,
                received_at_ns: NOW_MS * 1_000_000,
                number: self.datagrams,
                frame: 0,
                cut: false,
                payload,
            };
            let (out, learned) = (&mut self.out, &mut self.learned);
            self.decoder.decode(&datagram, out, learned, &mut self.book);
        }
        ALLOCATIONS.get() - before
    }
}

/// Datagrams of three exporters in turns, with how many records of flows and of other things are in them.
fn exports(exporters: &mut [Exporter], datagrams: usize) -> (Vec<(Addr, Vec<u8>)>, u64, u64) {
    let mut export = Export::default();
    let (mut all, mut flows, mut others) = (vec![], 0, 0);
    for n in 0..datagrams {
        let which = n % exporters.len();
        exporters[which].next(NOW_MS, &mut export);
        flows += export.flows.len() as u64;
        others += u64::from(export.others);
        let source = Addr::from_v4([192, 0, 2, which as u8]);
        all.push((source, export.payload.clone()));
    }
    (all, flows, others)
}

/// Exporters that send templates and options data every so many datagrams.
fn exporters(profile: Profile, templates_every: u64) -> Vec<Exporter> {
    let exporter = |n| {
        let habits = Habits {
            agent: Addr::from_v4([192, 0, 2, n as u8]),
            templates_every,
            ..Habits::default()
        };
        Exporter::new(profile, habits, n, 7, NOW_MS)
    };
    (0..3).map(exporter).collect()
}

/// How often a warm decoder allocates for 3,000 datagrams, and records of flows and of other things in them.
fn allocations(profile: Profile, templates_every: u64) -> (u64, u64, u64) {
    let mut exporters = exporters(profile, templates_every);
    let mut decoding = Decoding::new();
    // more than a batch full of rows
    let (warming, before, _) = exports(&mut exporters, 3_000);
    assert!(decoding.take(&warming) > 0, "the allocator counts");
    let (more, flows, others) = exports(&mut exporters, 3_000);
    let allocations = decoding.take(&more);
    let rows = decoding.book.count(Outcome::Rows);
    assert_eq!(rows, before + flows, "{profile:?}: every record is a row");
    (allocations, flows, others)
}

const NOW_MS: i64 = 1_780_000_000_000;

#[test]
fn decoding_allocates_nothing_once_it_is_warm() {
    for profile in [
        Profile::EdgeSwitch,
        Profile::Router,
        Profile::Gateway,
        Profile::SflowSwitch,
        Profile::LoadV5,
        Profile::LoadV9,
        Profile::LoadIpfix,
    ] {
        let (allocations, flows, others) = allocations(profile, 1_000_000);
        // templates and options data were sent before; counters of interfaces go on, each a fact of its own
        let facts = if profile == Profile::SflowSwitch {
            others
        } else {
            0
        };
        assert!(flows > 3_000, "{profile:?}");
        assert!(
            allocations <= facts,
            "{profile:?}: {allocations} for {flows} flows"
        );
    }
}

/// Options data are names, which are texts of their own, and counters of interfaces: for each of them a bounded number,
/// which may only fall.
#[test]
fn what_options_data_allocate_is_bounded() {
    for (profile, most) in [
        (Profile::Router, 6),
        (Profile::Gateway, 6),
        (Profile::SflowSwitch, 1),
    ] {
        let (allocations, _, others) = allocations(profile, 10);
        assert!(others > 0, "{profile:?}");
        assert!(
            allocations <= most * others,
            "{profile:?}: {allocations} for {others} records"
        );
    }
}
