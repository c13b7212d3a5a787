//! Exporters whose every record can be told apart: record n of an exporter has n + 1 packets of 40 bytes, and every
//! datagram holds [`RECORDS`] of them. So the store shows which datagrams came, whole or not, and how often.
//! All else in a record is spread as in real traffic: rows take the place on disk that rows take.

use flowhouse::generate::sender::clock_ms;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Flow records of each datagram.
pub const RECORDS: u32 = 20;

/// Bytes of each packet.
pub const BYTES: u64 = 40;

/// Templates and options data go with every so many datagrams.
const TEMPLATES_EVERY: u32 = 50;

/// What an exporter speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    V5,
    V9,
    Ipfix,
}

/// An exporter and the datagrams it sent.
#[derive(Clone, Debug)]
pub struct Sent {
    pub address: Ipv4Addr,
    pub protocol: Protocol,
    pub datagrams: u32,
}

impl Sent {
    /// By how much its sequence number counts datagram `n`.
    pub fn units(&self, n: u32) -> u64 {
        match self.protocol {
            Protocol::V5 => RECORDS.into(),
            Protocol::V9 => 1,
            Protocol::Ipfix => (RECORDS + u32::from(n.is_multiple_of(TEMPLATES_EVERY))).into(),
        }
    }
}

/// They send in a thread of their own until they are told.
pub struct Exporters {
    stop: Arc<AtomicBool>,
    rate: Arc<AtomicU64>,
    thread: JoinHandle<Vec<Sent>>,
}

struct One {
    sent: Sent,
    socket: UdpSocket,
    sequence: u32,
    began_ms: u64,
}

impl Exporters {
    /// One exporter of each protocol, `rate` records a second together.
    pub fn start(to: SocketAddr, rate: u64) -> Exporters {
        let stop = Arc::new(AtomicBool::new(false));
        let rate = Arc::new(AtomicU64::new(rate));
        let protocols = [Protocol::V5, Protocol::V9, Protocol::Ipfix];
        let mut all: Vec<One> = (1..).zip(protocols).map(|(n, p)| One::new(n, p)).collect();
        let (stopped, wanted) = (stop.clone(), rate.clone());
        let work = move || {
            let mut due = 0.0;
            let mut last = Instant::now();
            let mut turn = 0;
            while !stopped.load(Relaxed) {
                let passed = last.elapsed();
                last = Instant::now();
                due += wanted.load(Relaxed) as f64 * passed.as_secs_f64() / f64::from(RECORDS);
                // a machine that paused must not make a burst of it
                due = due.min(200.0);
                while due >= 1.0 {
                    all[turn].send(to);
                    turn = (turn + 1) % all.len();
                    due -= 1.0;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            all.iter_mut().for_each(|one| one.send_with_templates(to));
            all.into_iter().map(|one| one.sent).collect()
        };
        Exporters {
            stop,
            rate,
            thread: std::thread::spawn(work),
        }
    }

    /// Changes the rate.
    pub fn rate(&self, records: u64) {
        self.rate.store(records, Relaxed);
    }

    /// Ends; what was sent.
    pub fn finish(self) -> Vec<Sent> {
        self.stop.store(true, Relaxed);
        self.thread.join().expect("the exporters end")
    }
}

impl One {
    fn new(n: u8, protocol: Protocol) -> One {
        let address = Ipv4Addr::new(127, 2, 0, n);
        One {
            sent: Sent {
                address,
                protocol,
                datagrams: 0,
            },
            socket: UdpSocket::bind((address, 0)).expect("a port"),
            sequence: 0,
            // they came up ten minutes ago: flows of a minute lie behind that
            began_ms: now_ms() - 600_000,
        }
    }

    /// Sends until the datagram was one with templates: whatever waits for them is decoded.
    fn send_with_templates(&mut self, to: SocketAddr) {
        loop {
            let templates = self.sent.datagrams.is_multiple_of(TEMPLATES_EVERY);
            self.send(to);
            if templates || self.sent.protocol == Protocol::V5 {
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn send(&mut self, to: SocketAddr) {
        let n = self.sent.datagrams;
        let payload = match self.sent.protocol {
            Protocol::V5 => self.v5(n),
            Protocol::V9 => self.v9(n),
            Protocol::Ipfix => self.ipfix(n),
        };
        // nobody may be there: sent it is all the same
        let _ = self.socket.send_to(&payload, to);
        self.sequence = self.sequence.wrapping_add(self.sent.units(n) as u32);
        self.sent.datagrams += 1;
    }

    fn v5(&self, n: u32) -> Vec<u8> {
        let (now, up) = self.clock();
        let mut out = Vec::with_capacity(24 + 48 * RECORDS as usize);
        put(&mut out, &[(5, 2), (RECORDS.into(), 2), (up, 4)]);
        put(&mut out, &[(now / 1000, 4), (now % 1000 * 1_000_000, 4)]);
        put(&mut out, &[(self.sequence.into(), 4), (0, 4)]);
        for r in records(n) {
            put(
                &mut out,
                &[(r.source, 4), (r.destination, 4), (r.next_hop, 4)],
            );
            put(&mut out, &[(r.in_if, 2), (r.out_if, 2), (r.packets, 4)]);
            put(&mut out, &[(r.packets * BYTES, 4), (up - r.life_ms, 4)]);
            put(&mut out, &[(up, 4), (r.source_port, 2), (r.port, 2)]);
            put(
                &mut out,
                &[(0, 1), (r.flags, 1), (r.protocol, 1), (r.tos, 1)],
            );
            put(&mut out, &[(r.source_as, 2), (r.destination_as, 2)]);
            put(&mut out, &[(r.mask, 1), (24, 1), (0, 2)]);
        }
        out
    }

    fn v9(&self, n: u32) -> Vec<u8> {
        let (now, up) = self.clock();
        let mut sets = vec![];
        let mut count = RECORDS;
        if n.is_multiple_of(TEMPLATES_EVERY) {
            template(&mut sets, 0, &[(22, 4), (21, 4)]);
            count += 1;
        }
        data(&mut sets, n, &[(up, 4)]);
        let mut out = vec![];
        put(&mut out, &[(9, 2), (count.into(), 2), (up, 4)]);
        put(
            &mut out,
            &[(now / 1000, 4), (self.sequence.into(), 4), (7, 4)],
        );
        [out, sets].concat()
    }

    fn ipfix(&self, n: u32) -> Vec<u8> {
        let (now, _) = self.clock();
        let mut sets = vec![];
        if n.is_multiple_of(TEMPLATES_EVERY) {
            template(&mut sets, 2, &[(152, 8), (153, 8)]);
            // options template: domain, sampling interval; and its data: 1 in 16
            for word in [3, 18, 257, 2, 1, 149, 4, 34, 2, 257, 10, 0, 7, 16] {
                put(&mut sets, &[(word, 2)]);
            }
        }
        data(&mut sets, n, &[(now, 8)]);
        let mut out = vec![];
        put(&mut out, &[(10, 2), (16 + sets.len() as u64, 2)]);
        put(
            &mut out,
            &[(now / 1000, 4), (self.sequence.into(), 4), (7, 4)],
        );
        [out, sets].concat()
    }

    /// The time of day and the uptime, ms.
    fn clock(&self) -> (u64, u64) {
        let now = now_ms();
        (now, now - self.began_ms)
    }
}

struct Record {
    source: u64,
    destination: u64,
    in_if: u64,
    out_if: u64,
    packets: u64,
    life_ms: u64,
    source_port: u64,
    port: u64,
    protocol: u64,
    tos: u64,
    next_hop: u64,
    flags: u64,
    source_as: u64,
    destination_as: u64,
    mask: u64,
}

fn records(datagram: u32) -> impl Iterator<Item = Record> {
    (0..u64::from(RECORDS)).map(move |i| {
        let n = u64::from(datagram) * u64::from(RECORDS) + i;
        let chance = spread(n);
        // few servers have most of the flows
        let popular = ((chance >> 16 & 0xfff) * (chance >> 28 & 0xfff)) >> 10;
        Record {
            // clients of the whole internet
            source: 0x0b00_0000 + (chance & 0xbfff_ffff),
            destination: 0xc0a8_0000 + popular,
            in_if: 1 + n % 4,
            out_if: 10 + n % 3,
            packets: n + 1,
            life_ms: n * 7919 % 200_000,
            source_port: 1024 + (chance >> 48) % 64_000,
            port: [443, 53, 22, 123][(n % 4) as usize],
            protocol: if n % 4 % 2 == 1 { 17 } else { 6 },
            tos: [0, 0xb8, 0x28][(n % 3) as usize],
            next_hop: 0x0a00_0001 + ((n % 3) << 8),
            flags: [0x1b, 0, 0x1f, 0][(n % 4) as usize],
            source_as: 1 + (chance >> 8 & 0xffff) % 65_000,
            destination_as: 64_512 + popular % 60,
            mask: 12 + (chance >> 8) % 13,
        }
    })
}

/// A number that looks like chance.
fn spread(n: u64) -> u64 {
    let mut x = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^ (x >> 31)
}

/// A template set of the layout that `data` writes.
fn template(out: &mut Vec<u8>, set: u64, times: &[(u64, u64); 2]) {
    let fields = [(8, 4), (12, 4), (10, 4), (14, 4), (2, 4), (1, 4)];
    let more = [(7, 2), (11, 2), (4, 1), (5, 1), (6, 1), (15, 4)];
    let more = more.iter().chain(&[(16, 4), (17, 4), (9, 1)]);
    let all: Vec<_> = fields.iter().chain(times).chain(more).collect();
    put(out, &[(set, 2), (8 + 4 * all.len() as u64, 2), (256, 2)]);
    put(out, &[(all.len() as u64, 2)]);
    for &&(element, length) in &all {
        put(out, &[(element, 2), (length, 2)]);
    }
}

/// A data set; the one time given is the end of all flows, in the exporter's own counting.
fn data(out: &mut Vec<u8>, datagram: u32, end: &[(u64, usize); 1]) {
    let (end, width) = end[0];
    let record = 24 + 2 * width as u64 + 20;
    put(out, &[(256, 2), (4 + record * u64::from(RECORDS), 2)]);
    for r in records(datagram) {
        put(out, &[(r.source, 4), (r.destination, 4), (r.in_if, 4)]);
        put(
            out,
            &[(r.out_if, 4), (r.packets, 4), (r.packets * BYTES, 4)],
        );
        put(out, &[(end - r.life_ms, width), (end, width)]);
        put(out, &[(r.source_port, 2), (r.port, 2), (r.protocol, 1)]);
        put(out, &[(r.tos, 1), (r.flags, 1), (r.next_hop, 4)]);
        put(out, &[(r.source_as, 4), (r.destination_as, 4), (r.mask, 1)]);
    }
}

fn put(out: &mut Vec<u8>, values: &[(u64, usize)]) {
    for &(value, width) in values {
        out.extend_from_slice(&value.to_be_bytes()[8 - width..]);
    }
}

fn now_ms() -> u64 {
    clock_ms() as u64
}
