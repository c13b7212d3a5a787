//! The loads of the benches, from the generator: the same for any number of exporters but for that number.
//!
//! v5 with 30 records a datagram; v9 of 24 fields (67 and 103 bytes), IPFIX of 25 fields (80 and 116 bytes), 20 % IPv6, at most
//! 1,400 bytes. Exporters take turns. All templates are known before the load begins; in it, 1 datagram in 100 repeats
//! them, whatever the number of exporters, because each of them is at its own place in its cycle.

use flowhouse::generate::{Export, Exporter, Habits, Profile};
use flowhouse::model::{Addr, Datagram};
use nix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// The protocols by name.
pub const PROFILES: [(&str, Profile); 3] = [
    ("v5", Profile::LoadV5),
    ("v9", Profile::LoadV9),
    ("ipfix", Profile::LoadIpfix),
];

/// Exporters, templates of each, datagrams in all.
#[derive(Clone, Copy)]
pub struct Shape {
    pub exporters: u32,
    pub templates: u16,
    pub datagrams: usize,
    /// Times as many ports as usual.
    pub ports_times: u32,
}

/// One datagram with its exporter.
pub struct Sent {
    pub source: Addr,
    pub bytes: Vec<u8>,
    exporter: u32,
}

/// What is sent once, to announce the templates, and what is sent again and again.
pub struct Load {
    pub announcements: Vec<Sent>,
    pub datagrams: Vec<Sent>,
    /// Records in `datagrams`.
    pub records: u64,
    sequence_at: usize,
    /// By exporter: how far a round takes its sequence number.
    units: Vec<u32>,
    exporters: Vec<Exporter>,
}

/// The clock of the exporters.
pub const NOW_MS: i64 = 1_780_000_000_000;

impl Load {
    /// The first exporters, at most `n`.
    #[allow(dead_code, reason = "each bench takes what it needs of the load")]
    pub fn sources(&self, n: usize) -> Vec<Addr> {
        self.announcements
            .iter()
            .take(n)
            .map(|d| d.source)
            .collect()
    }

    /// The same bytes for the same shape.
    pub fn new(profile: Profile, shape: Shape) -> Load {
        Load::with(profile, shape, Habits::default())
    }

    /// The same of exporters with other habits.
    pub fn with(profile: Profile, shape: Shape, habits: Habits) -> Load {
        let habits = Habits {
            templates: shape.templates,
            templates_every: CYCLE,
            ports_times: shape.ports_times,
            ..habits
        };
        let mut export = Export::default();
        let mut load = Load {
            announcements: Vec::new(),
            datagrams: Vec::new(),
            records: 0,
            sequence_at: match profile {
                Profile::LoadV5 => 16,
                Profile::LoadV9 => 12,
                _ => 8,
            },
            units: vec![0; shape.exporters as usize],
            exporters: Vec::new(),
        };
        for n in 0..shape.exporters {
            let mut exporter = Exporter::new(profile, habits, n, 7, NOW_MS);
            exporter.next(NOW_MS, &mut export);
            let mut announcement = Sent::new(n, &export);
            let mut skipped = 0;
            for _ in 0..u64::from(n) % CYCLE {
                exporter.next(NOW_MS, &mut export);
                skipped += export.units;
            }
            announcement.grow(load.sequence_at, skipped);
            load.announcements.push(announcement);
            load.exporters.push(exporter);
        }
        load.draw(shape.datagrams, |_| NOW_MS);
        load
    }

    /// What the exporters send next, each datagram at its time; sequence numbers go on by themselves.
    pub fn draw(&mut self, datagrams: usize, now_ms: impl Fn(usize) -> i64) {
        let mut export = Export::default();
        self.units.fill(0);
        self.records = 0;
        self.datagrams.clear();
        for i in 0..datagrams {
            let n = i % self.exporters.len();
            self.exporters[n].next(now_ms(i), &mut export);
            self.units[n] += export.units;
            self.records += export.flows.len() as u64;
            self.datagrams.push(Sent::new(n as u32, &export));
        }
    }

    /// Lets the sequence numbers go on, for the next round.
    pub fn advance(&mut self) {
        for d in self.announcements.iter_mut().chain(&mut self.datagrams) {
            d.grow(self.sequence_at, self.units[d.exporter as usize]);
        }
    }
}

impl Sent {
    fn new(n: u32, export: &Export) -> Sent {
        Sent {
            source: Addr::from_v4([10, (n >> 16) as u8, (n >> 8) as u8, n as u8]),
            bytes: export.payload.clone(),
            exporter: n,
        }
    }

    /// Adds to the sequence number at an offset.
    fn grow(&mut self, at: usize, units: u32) {
        let mut word = [0; 4];
        word.copy_from_slice(&self.bytes[at..at + 4]);
        let next = u32::from_be_bytes(word).wrapping_add(units);
        self.bytes[at..at + 4].copy_from_slice(&next.to_be_bytes());
    }

    /// As it is received.
    pub fn datagram(&self, number: u64) -> Datagram<'_> {
        self.datagram_at(number, NOW_MS * 1_000_000)
    }

    /// As it is received at a time.
    pub fn datagram_at(&self, number: u64, received_at_ns: i64) -> Datagram<'_> {
        Datagram {
            source: self.source,
            port: 9_000,
            received_at_ns,
            number,
            frame: 0,
            cut: false,
            payload: &self.bytes,
        }
    }
}

/// CPU time of this thread: what other work on the machine costs does not count.
pub fn cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
        .expect("a clock that Linux has")
        .into()
}

/// Datagrams of an exporter from one announcement of its templates to the next.
const CYCLE: u64 = 100;
