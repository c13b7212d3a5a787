//! What is behind decode: names, usage, sealing. The same for exported and metered rows.

use crate::aggregate::{Quality, StateError, Usage};
use crate::batch::{self, Bundle, Extra, LedgerRow, Sealer};
use crate::decode;
use crate::enrich::{self, Learnt, Memory, Tables};
use crate::ledger::{Book, Gains, Outcome};
use crate::model::{Addr, FlowBatch, Learned, UsageRow};
use crate::receive::Intake;
use std::sync::Arc;

/// Inventory facts that ask for sealing. A bundle carries so many and those of one datagram more; what comes on top is
/// counted and waits for the exporter to say it again.
const INVENTORY_MAX: usize = 32_768;

/// Most facts of a bundle, but for those that are configured.
pub const FACTS_MAX: usize = INVENTORY_MAX + decode::FACTS_MAX;

/// Nanoseconds after which the store is told again what is known: it may be another one by now, and facts may have been
/// shed on their way. Exporters repeat theirs, which decode hands on as often.
const TELL_AGAIN_NS: i64 = decode::TELL_AGAIN_NS;

/// Nanoseconds between two bundles that carry outcomes: one row an exporter, domain and outcome is too much each second.
const LEDGER_NS: i64 = 10_000_000_000;

/// Enrich, aggregate, seal.
#[derive(Debug)]
pub struct Back {
    tables: Arc<Tables>,
    memory: Memory,
    declares: bool,
    owner: Option<Owner>,
    /// Interfaces that exporters named when they were asked, and that the store has not been told of.
    untold: Vec<(Addr, u32)>,
    usage: Usage,
    quality: Quality,
    sealer: Sealer,
    inventory: Vec<Learned>,
    gains: Gains,
    enriched: usize,
    evicted: u64,
    ledger_ns: i64,
    told_ns: Option<i64>,
    shift_ms: i64,
}

/// Which exporters are this shard's.
#[derive(Debug)]
struct Owner {
    intake: Arc<Intake>,
    shard: usize,
    shards: usize,
}

/// A sealed bundle, or nothing to seal yet.
pub type Sealed = Option<Bundle>;

impl Back {
    /// The stages behind a decoder.
    pub fn new(tables: Arc<Tables>, usage: Usage, sealer: Sealer) -> Self {
        Back {
            tables,
            memory: Memory::new(),
            declares: false,
            owner: None,
            untold: vec![],
            usage,
            quality: Quality::default(),
            sealer,
            inventory: vec![],
            gains: Gains::default(),
            enriched: 0,
            evicted: 0,
            ledger_ns: 0,
            told_ns: None,
            shift_ms: 0,
        }
    }

    /// The names that rows refer to now.
    pub fn tables(&self) -> &Arc<Tables> {
        &self.tables
    }

    /// Takes over what a reload changed. Tables keep what exporters taught. Everything must be sealed: rows that wait
    /// refer to names of the tables before.
    pub fn reconfigure(&mut self, tables: &Tables, batch: &batch::Settings) {
        debug_assert_eq!(self.rows_waiting(), 0);
        self.tables = Arc::new(tables.clone().taught_by(&self.tables));
        self.sealer.set_limits(batch);
        self.memory.forget_interfaces();
        if self.declares {
            self.inventory.extend(self.tables.declared());
        }
    }

    /// Whether it tells the store, now and after each change, what is configured: one shard does it for all.
    pub fn declare_if(&mut self, declares: bool) {
        self.declares = declares;
        if declares {
            self.inventory.extend(self.tables.declared());
        }
    }

    /// Tells the store of the interfaces of its exporters, too, that no flow named: those that they named when asked.
    pub fn owned(&mut self, intake: &Arc<Intake>, shard: usize, shards: usize) {
        self.owner = Some(Owner {
            intake: intake.clone(),
            shard,
            shards,
        });
    }

    /// What of usage outlives a restart.
    pub fn save(&self) -> Vec<u8> {
        self.usage.save()
    }

    /// Takes what usage knew before a restart, for the exporters that are `mine`.
    ///
    /// # Errors
    /// When the state is damaged or of another format; then nothing changes.
    pub fn restore(
        &mut self,
        bytes: &[u8],
        now_ms: i64,
        mine: impl Fn(Addr) -> bool,
    ) -> Result<(), StateError> {
        self.usage.restore(bytes, now_ms, mine)
    }

    /// Names the rows of the open batch up to `end`, with the tables of now.
    pub fn enrich(&mut self, batch: &mut FlowBatch, end: usize, book: &mut Book) {
        if self.enriched < end {
            self.catch_up();
            let rows = self.enriched..end;
            let refused = enrich::learn_names(&mut self.tables, batch, rows.clone());
            if refused > 0 {
                book.other().add(Outcome::NamesRefused, refused);
            }
            let (tables, memory, news) = (&self.tables, &mut self.memory, &mut self.inventory);
            let refused = enrich::learn_interfaces(tables, memory, batch, rows.clone(), news);
            if refused > 0 {
                book.other().add(Outcome::InterfacesRefused, refused);
            }
            enrich::enrich(&self.tables, &mut self.memory, batch, rows);
            self.count_evicted(book);
            self.enriched = end;
        }
    }

    /// Takes over networks that were fetched since, and names of interfaces.
    fn catch_up(&mut self) {
        if self.tables.is_behind() {
            Arc::make_mut(&mut self.tables).catch_up();
            if self.declares {
                self.inventory.extend(self.tables.declared_networks());
            }
        }
        if self.tables.has_news() {
            let renamed = Arc::make_mut(&mut self.tables).follow();
            for r in &renamed {
                // rules may say something else of it now
                self.memory.forget(&r.exporter, r.if_index);
            }
            for r in renamed {
                if r.is_there && self.is_mine(&r.exporter) {
                    self.untold.push((r.exporter, r.if_index));
                }
            }
        }
        let room = INVENTORY_MAX.saturating_sub(self.inventory.len());
        for (exporter, if_index) in self.untold.drain(..room.min(self.untold.len())) {
            let interface = self.tables.named_interface(&exporter, if_index);
            self.inventory.push(interface);
        }
    }

    /// Takes a fact into the tables, not into the inventory. Whether it changed them.
    pub fn know(&mut self, fact: &Learned, book: &mut Book) -> bool {
        let named = !matches!(
            fact,
            Learned::Counters(_) | Learned::Template { .. } | Learned::Sampler { .. }
        );
        let learnt = named.then(|| enrich::learn(&mut self.tables, fact));
        match (learnt, fact) {
            (Some(Learnt::Refused), _) => book.other().one(Outcome::NamesRefused),
            // rules may say something else of it now
            (
                Some(Learnt::Changed),
                Learned::Interface {
                    exporter, if_index, ..
                },
            ) => {
                self.memory.forget(exporter, *if_index);
            }
            _ => {}
        }
        learnt == Some(Learnt::Changed)
    }

    /// Takes in what options data and counter samples told; later rows get the new names.
    pub fn learn(&mut self, learned: &mut Vec<Learned>, book: &mut Book) {
        for fact in learned.drain(..) {
            let speed = speed_counted(&fact);
            self.know(&fact, book);
            self.store(fact, book);
            if let Some(speed) = speed.filter(|speed| self.know(speed, book)) {
                self.store(speed, book);
            }
        }
        self.count_evicted(book);
    }

    fn store(&mut self, fact: Learned, book: &mut Book) {
        if self.inventory.len() < FACTS_MAX {
            self.inventory.push(self.as_stored(fact));
        } else {
            book.other().one(Outcome::FactsRefused);
        }
    }

    fn count_evicted(&mut self, book: &mut Book) {
        let forgotten = self.tables.evicted() + self.memory.evicted();
        // a reload starts with new tables
        let more = forgotten.saturating_sub(self.evicted);
        book.other().add(Outcome::Evictions, more);
        self.evicted = forgotten;
    }

    /// A fact as the inventory keeps it: of interfaces, all that is known.
    fn as_stored(&self, fact: Learned) -> Learned {
        match &fact {
            Learned::Interface {
                exporter, if_index, ..
            } => self.tables.named_interface(exporter, *if_index),
            _ => fact,
        }
    }

    /// Moves all times of later rows (`replay --store`).
    pub fn set_shift_ms(&mut self, shift_ms: i64) {
        self.shift_ms = shift_ms;
    }

    /// The open batch was emptied.
    pub fn forget_open(&mut self) {
        self.enriched = 0;
    }

    /// Names and books all rows of the open batch.
    pub fn finish_rows(&mut self, batch: &mut FlowBatch, book: &mut Book) {
        self.enrich(batch, batch.len(), book);
        self.enriched = 0;
        if self.shift_ms != 0 {
            batch.shift_times(self.shift_ms);
        }
        self.usage.observe(batch, book);
        self.quality.observe(batch, self.tables.names());
    }

    /// Takes a filled batch.
    pub fn take(&mut self, mut batch: FlowBatch, now_ns: i64, book: &mut Book) {
        self.finish_rows(&mut batch, book);
        self.sealer.push(batch, now_ns);
    }

    /// Estimated bytes or packets of a row above which nothing is booked of it.
    pub fn flow_estimate_max(&self) -> u64 {
        self.usage.flow_estimate_max()
    }

    /// What packets told of quality since the start.
    pub fn quality(&self) -> &Quality {
        &self.quality
    }

    /// An empty batch.
    pub fn fresh_batch(&mut self) -> FlowBatch {
        self.sealer.fresh()
    }

    /// Rows gathered and not sealed.
    pub fn rows_waiting(&self) -> u64 {
        self.sealer.open_rows()
    }

    /// Whether rows, age or the day ask for sealing, there is no room for more, or the ledger is due.
    pub fn due(&self, now_ns: i64) -> bool {
        self.sealer.due(now_ns) || self.is_crowded() || now_ns - self.ledger_ns >= LEDGER_NS
    }

    /// Whether there are rows for a bundle, usage has no room for more keys, or the inventory none for more facts.
    pub fn is_crowded(&self) -> bool {
        self.sealer.is_full() || self.usage.is_full() || self.has_much_to_tell()
    }

    /// Whether the facts of the next datagram may find no room in the inventory.
    pub fn has_much_to_tell(&self) -> bool {
        self.inventory.len() >= INVENTORY_MAX
    }

    /// The clock was set back, after everything was sealed.
    pub fn set_clock(&mut self, now_ns: i64) {
        self.ledger_ns = now_ns;
        self.told_ns = Some(now_ns);
    }

    /// Whether rows of this age have to be sealed.
    pub fn aged(&self, age_ns: i64) -> bool {
        age_ns >= self.sealer.seal_age_ns()
    }

    /// Usage of what was finished since the last call. Networks and talkers go on adding up.
    pub fn drain(&mut self) -> Vec<UsageRow> {
        let mut usage = self.sealer.fresh_usage();
        self.usage.drain_into(&mut usage);
        usage
    }

    /// Throws the facts for the inventory away, where there is none.
    pub fn drop_inventory(&mut self) {
        self.inventory.clear();
    }

    /// Exporters that found no room in the inventory since the last call.
    pub fn take_unannounced(&mut self) -> u64 {
        self.sealer.take_unannounced()
    }

    fn tell_again(&mut self, now_ns: i64) {
        if now_ns - *self.told_ns.get_or_insert(now_ns) < TELL_AGAIN_NS {
            return;
        }
        self.told_ns = Some(now_ns);
        self.memory.forget_interfaces();
        self.sealer.forget_announced();
        if self.declares {
            self.inventory.extend(self.tables.declared());
        }
        let asked = self.tables.asked();
        self.untold = asked.filter(|(e, _)| self.is_mine(e)).collect();
    }

    fn is_mine(&self, exporter: &Addr) -> bool {
        let owner = self.owner.as_ref();
        owner.is_some_and(|o| o.intake.shard(*exporter, o.shards) == o.shard)
    }

    /// Seals what was gathered together with its usage and the inventory; every ten seconds, and the `last` time, also with
    /// the outcomes and the talkers since then: talkers of ten seconds are found better, and in fewer rows, than those of one.
    pub fn seal(&mut self, now_ns: i64, book: &mut Book, last: bool) -> Sealed {
        self.tell_again(now_ns);
        self.catch_up();
        self.usage.settle(self.sealer.gathered());
        let (usage, learned) = (self.drain(), std::mem::take(&mut self.inventory));
        let networks = self.usage.take_networks();
        let talkers = match self.tells(now_ns, last) || self.usage.talkers_are_due() {
            true => self.usage.take_talkers(),
            false => vec![],
        };
        let cut = self.usage.take_talkers_cut();
        book.other().add(Outcome::TalkersCut, cut);
        let ledger = if self.tells(now_ns, last) {
            self.ledger_rows(now_ns, book)
        } else {
            vec![]
        };
        let names = self.tables.names().clone();
        let extra = Extra {
            usage,
            networks,
            talkers,
            ledger,
            learned,
            ..Extra::default()
        };
        let sealed = self.sealer.seal(now_ns, extra, names);
        // no row that waits refers to names of the tables before
        if let Some(tables) = self.tables.tidied() {
            self.tables = Arc::new(tables);
        }
        sealed
    }

    /// Whether a bundle sealed now carries the outcomes.
    pub fn tells(&self, now_ns: i64, last: bool) -> bool {
        last || now_ns - self.ledger_ns >= LEDGER_NS
    }

    /// What the book gained since the last bundle.
    fn ledger_rows(&mut self, now_ns: i64, book: &Book) -> Vec<LedgerRow> {
        self.ledger_ns = now_ns;
        let minute_s = (now_ns.max(0) / 60_000_000_000 * 60) as u32;
        LedgerRow::of(minute_s, &self.gains.of(book))
    }
}

/// The speed of an interface, as its counters tell it.
fn speed_counted(fact: &Learned) -> Option<Learned> {
    match fact {
        Learned::Counters(c) if c.if_speed > 0 => Some(Learned::Interface {
            exporter: c.exporter,
            if_index: c.if_index,
            name: String::new(),
            description: String::new(),
            speed: c.if_speed,
        }),
        _ => None,
    }
}
