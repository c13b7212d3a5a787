//! What is behind decode: names, usage, sealing. The same for exported and metered rows.

use crate::aggregate::Usage;
use crate::batch::{self, Bundle, Extra, LedgerRow, Sealer};
use crate::enrich::{self, Learnt, Memory, Tables};
use crate::ledger::{Book, Gains, Outcome};
use crate::model::{Addr, FlowBatch, Learned, UsageRow};
use crate::receive::Intake;
use std::sync::Arc;

/// Most inventory facts a bundle carries; what comes on top waits for the exporter to say it again.
const INVENTORY_MAX: usize = 65_536;

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
    sealer: Sealer,
    inventory: Vec<Learned>,
    gains: Gains,
    enriched: usize,
    ledger_ns: i64,
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
            sealer,
            inventory: vec![],
            gains: Gains::default(),
            enriched: 0,
            ledger_ns: 0,
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
            let mine = |e: &Addr| {
                let owner = self.owner.as_ref();
                owner.is_some_and(|o| o.intake.shard(*e, o.shards) == o.shard)
            };
            let told = renamed.iter().filter(|r| r.is_there && mine(&r.exporter));
            self.untold.extend(told.map(|r| (r.exporter, r.if_index)));
        }
        let room = INVENTORY_MAX.saturating_sub(self.inventory.len());
        for (exporter, if_index) in self.untold.drain(..room.min(self.untold.len())) {
            let interface = self.tables.named_interface(&exporter, if_index);
            self.inventory.push(interface);
        }
    }

    /// Takes a fact into the tables, not into the inventory.
    pub fn know(&mut self, fact: &Learned, book: &mut Book) {
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
    }

    /// Takes in what options data and counter samples told; later rows get the new names.
    pub fn learn(&mut self, learned: &mut Vec<Learned>, book: &mut Book) {
        for fact in learned.drain(..) {
            self.know(&fact, book);
            if self.inventory.len() < INVENTORY_MAX {
                self.inventory.push(self.as_stored(fact));
            } else {
                book.other().one(Outcome::NamesRefused);
            }
        }
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
    }

    /// Takes a filled batch.
    pub fn take(&mut self, mut batch: FlowBatch, now_ns: i64, book: &mut Book) {
        self.finish_rows(&mut batch, book);
        self.sealer.push(batch, now_ns);
    }

    /// An empty batch.
    pub fn fresh_batch(&mut self) -> FlowBatch {
        self.sealer.fresh()
    }

    /// Rows gathered and not sealed.
    pub fn rows_waiting(&self) -> u64 {
        self.sealer.open_rows()
    }

    /// Whether rows, age or the day ask for sealing, usage has no room for more keys, or the ledger is due.
    pub fn due(&self, now_ns: i64) -> bool {
        self.sealer.due(now_ns) || self.usage.is_full() || now_ns - self.ledger_ns >= LEDGER_NS
    }

    /// The clock was set back, after everything was sealed.
    pub fn set_clock(&mut self, now_ns: i64) {
        self.ledger_ns = now_ns;
    }

    /// Whether rows of this age have to be sealed.
    pub fn aged(&self, age_ns: i64) -> bool {
        age_ns >= self.sealer.seal_age_ns()
    }

    /// Usage of what was finished since the last call, and the facts that were learned. Networks and talkers go on adding up.
    pub fn drain(&mut self) -> (Vec<UsageRow>, Vec<Learned>) {
        let mut usage = self.sealer.fresh_usage();
        self.usage.drain_into(&mut usage);
        (usage, std::mem::take(&mut self.inventory))
    }

    /// Seals what was gathered together with its usage and the inventory; every ten seconds, and the `last` time, also with
    /// the outcomes and the talkers since then: talkers of ten seconds are found better, and in fewer rows, than those of one.
    pub fn seal(&mut self, now_ns: i64, book: &Book, last: bool) -> Sealed {
        self.catch_up();
        let (usage, learned) = self.drain();
        let networks = self.usage.take_networks();
        let talkers = match self.tells(now_ns, last) || self.usage.talkers_are_due() {
            true => self.usage.take_talkers(),
            false => vec![],
        };
        let ledger = if self.tells(now_ns, last) {
            self.ledger_rows(now_ns, book)
        } else {
            vec![]
        };
        let names = self.tables.names().clone();
        self.sealer.seal(
            now_ns,
            Extra {
                usage,
                networks,
                talkers,
                ledger,
                learned,
            },
            names,
        )
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
