//! Export datagrams to rows of a `FlowBatch`.
//!
//! Owns: the protocols (NetFlow 5, 7, 9, IPFIX, sFlow 5), templates and their compiled plans, options data, sets that
//! await a template, sequence numbers, what running totals and firewall events counted before. Never: sockets,
//! clocks (time comes with the datagram), names of applications or interfaces inside rows.
//!
//! Templates are read by [`template`] and records by [`plan`] and [`raw`], not by `netflow_parser`: its caches
//! know no session that shares templates under the guards of contracts section 4, it drops the bytes of a field once
//! it has a typed value (what `inspect` shows and what odd lengths need), it gives up a set whose length runs past
//! the datagram where the records before the end can still be trusted, and it allocates per record. It is the oracle:
//! `oracle` holds both equal on every field of random templates and records.

pub mod element;
mod error;
mod exporter;
mod exporters;
mod faults;
mod frame;
mod generations;
pub mod inspect;
mod ipfix;
mod layouts;
mod lend;
mod limits;
mod memory;
mod moves;
mod options;
pub mod oracle;
mod overrides;
mod places;
pub mod plan;
mod position;
mod probe;
pub mod raw;
mod relief;
mod reverse;
mod rows;
mod sampling;
mod sequence;
mod sessions;
mod sets;
mod settings;
pub mod sflow;
mod snapshot;
mod state;
pub mod template;
mod twoway;
mod v5;
mod v9;

pub use error::{Fault, Reason};
pub use faults::{Faults, Share};
pub use position::Touched;
pub use probe::looks_like_export;
pub use sequence::{Arrival, End, Missed, Sequence};
pub use settings::Settings;
pub use sflow::SflowDecoder;
pub use snapshot::{STATE_BYTES_MAX, SavedState, Snapshot};
pub use state::StateError;

use crate::ledger::{Account, Book, Outcome};
use crate::model::{Addr, Datagram, FlowBatch, Learned, RowFlags};
use exporter::Exporter;
use exporters::Exporters;
use sets::{Header, Job, Late, Left, Shared};
use std::sync::Arc;

/// Decodes the datagrams of many exporters; one a shard.
#[derive(Debug)]
pub struct Decoder {
    exporters: Exporters,
    shared: Shared,
    sflow: SflowDecoder,
    touched: position::Touched,
    late: Option<Late>,
}

impl Decoder {
    /// A decoder that knows nothing yet.
    pub fn new(settings: Settings) -> Self {
        let fixed = [5, 7].map(|version| Arc::new(v5::template(version, &settings)));
        Decoder {
            exporters: Exporters::default(),
            sflow: SflowDecoder::new(&settings),
            touched: position::Touched::default(),
            late: None,
            shared: Shared {
                counters: twoway::Counters::new(&settings),
                scratch: rows::Scratch::default(),
                fields: Vec::new(),
                layouts: layouts::Layouts::default(),
                faults: Faults::new(settings.faults_max),
                held: relief::Held::default(),
                templates: 0,
                waiting_sets: 0,
                waiting_bytes: 0,
                stamp: 0,
                fixed,
                news: false,
                settings,
            },
        }
    }

    /// Decodes one datagram: rows go to `out`, facts about the exporter to `learned`, outcomes to `book`. Of sets that waited
    /// for a template in it some may be left for [`Decoder::go_on`], else the next datagram brings them.
    pub fn decode(
        &mut self,
        d: &Datagram<'_>,
        out: &mut FlowBatch,
        learned: &mut Vec<Learned>,
        book: &mut Book,
    ) {
        while self.go_on(out, learned, book) {}
        self.shared.stamp += 1;
        let header = match probe::version(d.payload) {
            Some(0) => {
                if let Some(fault) = self
                    .sflow
                    .decode(d, out, learned, (book, &mut self.touched))
                {
                    self.shared.faults.note(fault);
                }
                return;
            }
            Some(5 | 7) => v5::header(d.payload),
            Some(9) => v9::header(d.payload),
            Some(10) => ipfix::header(d.payload),
            _ if d.payload.len() < 4 => Err(Reason::Short),
            _ => Err(Reason::Version),
        };
        match header {
            Ok(header) => self.parsed(d, header, out, learned, book),
            Err(reason) => self.rejected(d, reason, book),
        }
    }

    /// Says who sent the datagram that is [`CALLED_AHEAD`] behind the next one, so that what is known of that exporter is
    /// in the cache when it is decoded. Purely a matter of speed, with thousands of exporters.
    pub fn call(&mut self, source: &Addr, book: &Book) {
        self.exporters.call(source, book);
    }

    /// Sets that await their template.
    pub fn awaiting(&self) -> u64 {
        self.shared.waiting_sets as u64
    }

    /// Whether it holds templates or options data that it did not hold before the last call.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.shared.news)
    }

    /// Faults since the last call, at most `faults_max` of them with place and reason: for a rate-limited log.
    pub fn take_faults(&mut self) -> Faults {
        let fresh = Faults::new(self.shared.settings.faults_max);
        std::mem::replace(&mut self.shared.faults, fresh)
    }

    /// Drops what is too old: sets that waited too long, templates of silent sessions.
    pub fn tick(&mut self, now_ns: i64, book: &mut Book) {
        let s = &self.shared.settings;
        let age = |seconds: u64| {
            i64::try_from(seconds)
                .unwrap_or(i64::MAX)
                .saturating_mul(SECOND_NS)
        };
        let waited = now_ns.saturating_sub(age(s.waiting_age_max_s));
        let silent = now_ns.saturating_sub(age(s.template_lifetime_s));
        self.sflow.tick(now_ns, book, &mut self.touched);
        let mut held = relief::Held::default();
        for e in self.exporters.iter_mut() {
            let addr = e.addr;
            while let Some(w) = e.waiting.front() {
                if w.frame.provenance.received_at_ns >= waited {
                    break;
                }
                expire_front(e, &mut self.shared, book);
            }
            let gone = e.expire_sessions(silent, book, &mut self.touched);
            self.shared.templates -= gone;
            if gone > 0 {
                book.account((addr.0, 0))
                    .add(Outcome::TemplatesExpired, gone as u64);
            }
            held.add(e);
        }
        self.shared.held = held;
    }

    /// Ends: what still waits expires, open gaps are booked.
    pub fn finish(&mut self, book: &mut Book) {
        self.sflow.finish(book);
        for e in self.exporters.iter_mut() {
            let addr = e.addr;
            while !e.waiting.is_empty() {
                expire_front(e, &mut self.shared, book);
            }
            for s in e.sessions.iter_mut() {
                s.sequence.flush(book.account((addr.0, s.domain)));
            }
        }
    }

    fn rejected(&mut self, d: &Datagram<'_>, reason: Reason, book: &mut Book) {
        book.account((d.source.0, 0)).one(match reason {
            Reason::Version => Outcome::DatagramsRejectedVersion,
            Reason::Short => Outcome::DatagramsRejectedShort,
            _ => Outcome::DatagramsRejectedHeader,
        });
        self.shared.faults.note(Fault {
            exporter: d.source,
            datagram: d.number,
            offset: 0,
            reason,
        });
    }

    fn parsed(
        &mut self,
        d: &Datagram<'_>,
        header: Header,
        out: &mut FlowBatch,
        learned: &mut Vec<Learned>,
        book: &mut Book,
    ) {
        if header.version == 10 && probe::ipfix_length(d.payload) < header.len {
            return self.rejected(d, Reason::Header, book);
        }
        let place = self.place((d.source, header.domain), book);
        let exporter = self.exporters.at(place);
        let (settings, now) = (&self.shared.settings, d.received_at_ns);
        let before = (exporter.sessions.len(), exporter.domains.len());
        exporter.last_seen_ns = now;
        let key = (d.port, header.version, header.domain);
        let house = (&mut *book, &mut self.touched);
        let (session, gone) = exporter.session(key, now, settings, house);
        let domain = (header.version, header.domain);
        let (domain, domain_gone) = exporter.domain(domain, now, settings);
        let grown = before != (exporter.sessions.len(), exporter.domains.len());
        self.shared.held.sessions += exporter.sessions.len() - before.0;
        self.shared.held.domains += exporter.domains.len() - before.1;
        let first = *exporter.first_export_ms.get_or_insert(header.export_ms);
        let mut frame = sets::frame(d, &header, first, settings);
        let account = &mut exporter.domains[domain].account;
        let tally = book.account_at(account, (d.source.0, header.domain));
        self.shared.templates -= gone.templates;
        tally.add(Outcome::Evictions, (gone.entries + domain_gone) as u64);
        tally.one(Outcome::DatagramsParsed);
        if frame.skewed {
            tally.one(Outcome::ClockSkewed);
        }
        let sequence = &mut exporter.sessions[session].sequence;
        let arrival = sequence.arrive(header.sequence, header.stamp(), header.window, tally);
        frame.late = arrival.late;
        frame.flags = u32::from(arrival.again && arrival.moves) * RowFlags::DUPLICATE;
        let mut job = Job {
            datagram: d,
            header,
            exporter,
            shared: &mut self.shared,
            out,
            learned,
            tally,
            frame,
            session,
            domain,
            units: 0,
            suspended: false,
            left: Left::default(),
        };
        let units = job.walk();
        let session = &mut job.exporter.sessions[session];
        session.decoded = session.decoded.wrapping_add(job.units);
        match units {
            Some(units) => session.sequence.advance(arrival, units, job.tally),
            None => session.sequence.suspend(arrival, job.units),
        }
        if !session.touched {
            session.touched = self.touched.push(session.key(d.source));
        }
        self.late = Late::of(d, header, job.left);
        if grown || !learned.is_empty() {
            self.relieve(now, book);
        }
    }

    /// Goes on with the sets that waited for a template of the last datagram and were too many to be decoded at once: the
    /// open batch can be closed before each call. Whether there was anything left to do.
    pub fn go_on(
        &mut self,
        out: &mut FlowBatch,
        learned: &mut Vec<Learned>,
        book: &mut Book,
    ) -> bool {
        let Some(late) = self.late.take() else {
            return false;
        };
        let (d, header) = (late.datagram(), late.header);
        let Some(place) = self.exporters.place(&late.source) else {
            return false;
        };
        let exporter = self.exporters.at(place);
        let (settings, now) = (&self.shared.settings, d.received_at_ns);
        let key = (d.port, header.version, header.domain);
        let Some(session) = exporter.sessions.position(key) else {
            return false;
        };
        let domain = (header.version, header.domain);
        let (domain, _) = exporter.domain(domain, now, settings);
        let frame = sets::frame(&d, &header, header.export_ms, settings);
        let account = &mut exporter.domains[domain].account;
        let tally = book.account_at(account, (d.source.0, header.domain));
        let mut job = Job {
            datagram: &d,
            header,
            exporter,
            shared: &mut self.shared,
            out,
            learned,
            tally,
            frame,
            session,
            domain,
            units: 0,
            suspended: false,
            left: Left::default(),
        };
        late.ids.into_iter().for_each(|id| job.decode_late(id));
        self.late = Late::of(&d, header, job.left);
        true
    }

    /// The place of an exporter, which is made on first sight.
    fn place(&mut self, (addr, domain): (Addr, u32), book: &mut Book) -> usize {
        if let Some(place) = self.exporters.place(&addr) {
            return place;
        }
        self.make_room((addr.0, domain), book);
        self.exporters.insert(Exporter::new(addr))
    }

    /// Makes room for a new exporter, whose account is given: the one silent for longest gives way.
    fn make_room(&mut self, account: Account, book: &mut Book) {
        if self.exporters.len() < self.shared.settings.exporters_max.max(1) {
            return;
        }
        let idle = self
            .exporters
            .iter()
            .min_by_key(|e| (e.last_seen_ns, e.addr));
        let Some(addr) = idle.map(|e| e.addr) else {
            return;
        };
        if let Some(mut gone) = self.exporters.remove(&addr) {
            for s in gone.sessions.iter_mut() {
                s.sequence.flush(book.account((addr.0, s.domain)));
                self.touched.push(s.key(addr));
            }
            let tally = book.account(account);
            self.shared.templates -= gone.templates;
            self.shared.waiting_bytes -= gone.waiting_bytes;
            self.shared.waiting_sets -= gone.waiting.len();
            tally.add(Outcome::SetsExpiredTemplate, gone.waiting.len() as u64);
            tally.one(Outcome::Evictions);
        }
    }
}

impl Job<'_> {
    /// Reads the datagram behind its header; the units its sequence number counts, if they are known.
    fn walk(&mut self) -> Option<u32> {
        let payload = self.datagram.payload;
        match self.header.version {
            9 => self.sets(payload.len()),
            10 => {
                let length = probe::ipfix_length(payload);
                if length != payload.len() {
                    self.tally.one(Outcome::LengthsWrong);
                    self.fault(2, Reason::Header);
                }
                self.sets(length.min(payload.len()));
            }
            version => return v5::records(self, version),
        }
        if self.suspended {
            self.number_waiting();
        }
        match self.header.version {
            9 => Some(1),
            _ if self.suspended => None,
            _ => Some(self.units),
        }
    }
}

fn expire_front(e: &mut Exporter, shared: &mut Shared, book: &mut Book) {
    let Some(w) = e.waiting.pop_front() else {
        return;
    };
    e.waiting_bytes -= w.body.len();
    shared.waiting_bytes -= w.body.len();
    shared.waiting_sets -= 1;
    book.account((e.addr.0, w.domain))
        .one(Outcome::SetsExpiredTemplate);
}

/// Rows of sets that waited for a template which are decoded at once, and the rest of a set.
const LATE_ROWS: usize = 4_096;

/// Most rows that come at once beside those of a batch that is not full: of the longest datagram, of the last set that waited,
/// with records of one byte, and of those before it.
pub const ROWS_AT_ONCE_MAX: usize = 2 * DATAGRAM_MAX + LATE_ROWS;

/// Bytes of the longest UDP payload.
const DATAGRAM_MAX: usize = 65_507;

/// Most names that one datagram teaches, with the sets that waited for its template; further ones are counted, and taken
/// when the exporter repeats them.
pub const FACTS_MAX: usize = 32_768;

/// Nanoseconds after which a name or a template that an exporter repeats is handed on again, though nothing changed: the
/// inventory may be another one, or have lost it.
pub const TELL_AGAIN_NS: i64 = 3_600 * SECOND_NS;

/// How many datagrams ahead [`Decoder::call`] is of [`Decoder::decode`].
pub const CALLED_AHEAD: usize = 2;

const SECOND_NS: i64 = 1_000_000_000;

#[cfg(test)]
mod tests;
