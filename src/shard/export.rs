//! Datagrams to rows, for one shard.

use super::{Back, Sealed};
use crate::decode::{Decoder, End, Faults, StateError};
use crate::detect::anomaly::{Namer, Sighting, of_rows};
use crate::ledger::{Book, Outcome};
use crate::model::{Addr, Datagram, FlowBatch, Learned};

/// Decode and everything behind it. Online and offline run this code.
#[derive(Debug)]
pub struct ExportShard {
    decoder: Decoder,
    back: Back,
    open: FlowBatch,
    opened_ns: i64,
    learned: Vec<Learned>,
    /// What detectors look at; nothing where there are none.
    sightings: Option<Vec<Sighting>>,
    namer: Namer,
    book: Book,
}

impl ExportShard {
    /// A shard with its decoder and its back; `book` is empty.
    pub fn new(decoder: Decoder, back: Back, book: Book) -> Self {
        ExportShard {
            decoder,
            back,
            open: FlowBatch::new(),
            opened_ns: 0,
            learned: vec![],
            sightings: None,
            namer: Namer::default(),
            book,
        }
    }

    /// Tells detectors of its rows.
    pub fn with_sightings(mut self) -> Self {
        self.sightings = Some(vec![]);
        self
    }

    /// What detectors look at, since this was called last.
    pub fn take_sightings(&mut self) -> Vec<Sighting> {
        self.sightings
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
    }

    /// Gives it room for what comes next, which others needed before.
    pub fn reuse(&mut self, spare: Vec<Sighting>) {
        if let Some(sightings) = self.sightings.as_mut().filter(|s| s.capacity() == 0) {
            *sightings = spare;
        }
    }

    /// Takes what a decoder knew before a restart, for the exporters that are `mine`.
    ///
    /// # Errors
    /// When the state is damaged or of another format; then nothing changes.
    pub fn restore(
        &mut self,
        bytes: &[u8],
        end: End,
        mine: impl Fn(Addr) -> bool,
    ) -> Result<(), StateError> {
        for fact in self.decoder.restore(bytes, end, mine)? {
            self.back.know(&fact, &mut self.book);
        }
        Ok(())
    }

    /// Decodes a datagram into the open batch. Names that it teaches hold for its own rows and later ones, never for
    /// earlier ones, wherever batches end.
    pub fn datagram(&mut self, d: &Datagram<'_>) {
        let before = self.open.len();
        if before == 0 {
            self.opened_ns = d.received_at_ns;
        }
        self.decoder
            .decode(d, &mut self.open, &mut self.learned, &mut self.book);
        self.teach(before);
    }

    /// Goes on with the last datagram, if there is more to do: when many sets waited for its template the batch is full, or
    /// the inventory, before all are decoded.
    pub fn go_on(&mut self) -> bool {
        let before = self.open.len();
        let book = &mut self.book;
        let more = self.decoder.go_on(&mut self.open, &mut self.learned, book);
        self.teach(before);
        more
    }

    fn teach(&mut self, before: usize) {
        if !self.learned.is_empty() {
            self.back.enrich(&mut self.open, before, &mut self.book);
            self.back.learn(&mut self.learned, &mut self.book);
        }
    }

    /// Says who sent the datagram that is `CALLED_AHEAD` behind the next one.
    pub fn call(&mut self, source: &Addr) {
        self.decoder.call(source, &self.book);
    }

    /// Whether the open batch has to be closed before the next datagram.
    pub fn is_full(&self) -> bool {
        self.open.is_full()
    }

    /// Ends the open batch: its rows are named, booked and handed to the sealer.
    pub fn close_batch(&mut self, now_ns: i64) {
        if self.open.is_empty() {
            self.open.clear();
            self.back.forget_open();
            return;
        }
        let fresh = self.back.fresh_batch();
        let mut batch = std::mem::replace(&mut self.open, fresh);
        if let Some(sightings) = &mut self.sightings {
            let end = batch.len();
            self.back.enrich(&mut batch, end, &mut self.book);
            let names = self.back.tables().names();
            let (named, max) = ((&**names, &mut self.namer), self.back.flow_estimate_max());
            of_rows(&batch, &[], named, max, sightings);
        }
        self.back.take(batch, now_ns, &mut self.book);
    }

    /// Ends the open batch without any later stage: its rows are thrown away, which counts as acknowledged (measuring
    /// decode alone).
    pub fn drop_batch(&mut self) {
        self.book
            .other()
            .add(Outcome::RowsAcknowledged, self.open.len() as u64);
        self.open.clear();
        self.back.forget_open();
        self.back.drop_inventory();
    }

    /// Takes the rows of the open batch out, named and booked, instead of sealing them (`replay`); nobody is told the facts.
    pub fn take_rows(&mut self, use_rows: impl FnOnce(&FlowBatch, &Back)) {
        if !self.open.is_empty() {
            self.back.finish_rows(&mut self.open, &mut self.book);
            if let Some(sightings) = &mut self.sightings {
                let names = self.back.tables().names();
                let (named, max) = ((&**names, &mut self.namer), self.back.flow_estimate_max());
                of_rows(&self.open, &[], named, max, sightings);
            }
            use_rows(&self.open, &self.back);
        }
        self.open.clear();
        self.back.drop_inventory();
    }

    /// Whether it is time to seal.
    pub fn due(&self, now_ns: i64) -> bool {
        self.back.due(now_ns) || !self.open.is_empty() && self.back.aged(now_ns - self.opened_ns)
    }

    /// Seals everything up to now, with the positions of the sequences; the `last` time with all outcomes.
    pub fn seal(&mut self, now_ns: i64, last: bool) -> Sealed {
        self.close_batch(now_ns);
        let told = self.back.tells(now_ns, last);
        let sealed = self.back.seal(now_ns, &mut self.book, last);
        let unannounced = self.back.take_unannounced();
        self.book.other().add(Outcome::FactsRefused, unannounced);
        let mut bundle = sealed?;
        self.decoder.positions(told, &mut bundle.positions);
        Some(bundle)
    }

    /// Goes on where the positions of an earlier process are, for the exporters that are `mine`.
    ///
    /// # Errors
    /// When the list is damaged; what stands before the damage holds.
    pub fn resume(
        &mut self,
        positions: &[u8],
        end: End,
        now_ns: i64,
        mine: impl Fn(Addr) -> bool,
    ) -> Result<(), StateError> {
        self.decoder.resume(positions, end, now_ns, mine)
    }

    /// Takes in what bundles of an earlier process held that cannot be read any more, for the exporters that are `mine`.
    ///
    /// # Errors
    /// When the list is damaged; what stands before the damage holds.
    pub fn damaged(&mut self, list: &[u8], mine: impl Fn(Addr) -> bool) -> Result<(), StateError> {
        self.decoder.damaged(list, mine)
    }

    /// Lets time pass without a datagram.
    pub fn tick(&mut self, now_ns: i64) {
        self.decoder.tick(now_ns, &mut self.book);
    }

    /// End of stream: what still awaits its template is counted as expired.
    pub fn finish(&mut self) {
        let expired = self.book.count(Outcome::SetsExpiredTemplate);
        self.decoder.finish(&mut self.book);
        let sets = self.book.count(Outcome::SetsExpiredTemplate) - expired;
        if sets > 0 {
            tracing::warn!(
                "{sets} data sets waited for a template that had not come yet: counted as sets_expired_template"
            );
        }
    }

    /// Rows that are not sealed yet.
    pub fn rows_open(&self) -> u64 {
        self.open.len() as u64 + self.back.rows_waiting()
    }

    /// What is behind decode.
    pub fn back(&mut self) -> &mut Back {
        &mut self.back
    }

    /// The decoder.
    pub fn decoder(&mut self) -> &mut Decoder {
        &mut self.decoder
    }

    /// The counts.
    pub fn book(&mut self) -> &mut Book {
        &mut self.book
    }

    /// Faults since the last call, for the log.
    pub fn take_faults(&mut self) -> Faults {
        self.decoder.take_faults()
    }
}
