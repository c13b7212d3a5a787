//! Gathers what a shard makes and seals it.

use super::order::Sorter;
use super::{
    Batch, Bundle, Content, Crowding, DetectionRow, ExporterRow, Home, LedgerRow, RowRef, Settings,
    Table,
};
use crate::model::{FlowBatch, InterfaceCounters, Learned, Names, NetworkRow, Provenance};
use crate::model::{TalkerRow, UsageRow};
use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

/// Who seals: the first two parts of every token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// UUID of the collector, kept in its state directory.
    pub collector: String,
    /// 128 random bits drawn at each start, so a copied or restored state can never repeat a token.
    pub start: u128,
}

/// What is sealed together with the flow rows.
#[derive(Debug, Default)]
pub struct Extra {
    /// Usage of exactly these flow rows, in order of minutes.
    pub usage: Vec<UsageRow>,
    /// Traffic between networks of these flow rows, in order of minutes.
    pub networks: Vec<NetworkRow>,
    /// Talkers of these and of earlier flow rows, in order of minutes.
    pub talkers: Vec<TalkerRow>,
    /// Outcomes since the last bundle.
    pub ledger: Vec<LedgerRow>,
    /// Inventory and interface counters since the last bundle.
    pub learned: Vec<Learned>,
    /// Versions of incidents, of whatever flow rows.
    pub detections: Vec<DetectionRow>,
}

/// Gathers the batches of one shard and seals them by rows, age or change of day.
#[derive(Debug)]
pub struct Sealer {
    settings: Settings,
    identity: Arc<Identity>,
    sequence: Arc<AtomicU64>,
    flows: Vec<FlowBatch>,
    rows: usize,
    opened_ns: i64,
    sorter: Sorter,
    announced: HashSet<ExporterRow>,
    unannounced: u64,
    crowding: Arc<Crowding>,
    home: (Sender<FlowBatch>, Receiver<FlowBatch>),
    usage_home: (Sender<Vec<UsageRow>>, Receiver<Vec<UsageRow>>),
}

impl Sealer {
    /// A sealer of one shard; `sequence` is shared by all shards of the process.
    pub fn new(settings: Settings, identity: Arc<Identity>, sequence: Arc<AtomicU64>) -> Self {
        Sealer {
            settings,
            identity,
            sequence,
            flows: Vec::new(),
            rows: 0,
            opened_ns: 0,
            sorter: Sorter::default(),
            announced: HashSet::new(),
            unannounced: 0,
            crowding: Arc::default(),
            home: channel(),
            usage_home: channel(),
        }
    }

    /// Seals later while the store has too many parts.
    pub fn follow(mut self, crowding: Arc<Crowding>) -> Self {
        self.crowding = crowding;
        self
    }

    /// Changes the rows and the age at which it seals (reload).
    pub fn set_limits(&mut self, settings: &Settings) {
        self.settings.seal_rows = settings.seal_rows;
        self.settings.seal_age_ms = settings.seal_age_ms;
    }

    /// Announces every exporter once more.
    pub fn forget_announced(&mut self) {
        self.announced.clear();
    }

    /// How often an exporter could not be announced since the last call.
    pub fn take_unannounced(&mut self) -> u64 {
        std::mem::take(&mut self.unannounced)
    }

    /// An empty batch: one that came home, else a new one.
    pub fn fresh(&mut self) -> FlowBatch {
        self.home.1.try_recv().unwrap_or_else(|_| FlowBatch::new())
    }

    /// An empty list for usage rows: the largest of those that came home, else a new one.
    pub fn fresh_usage(&mut self) -> Vec<UsageRow> {
        let came = self.usage_home.1.try_iter();
        came.max_by_key(Vec::capacity).unwrap_or_default()
    }

    /// Takes a filled batch.
    pub fn push(&mut self, batch: FlowBatch, now_ns: i64) {
        if batch.is_empty() {
            self.home.0.send(batch).ok();
            return;
        }
        if self.flows.is_empty() {
            self.opened_ns = now_ns;
        }
        self.rows += batch.len();
        self.flows.push(batch);
    }

    /// The batches that were taken since the last bundle.
    pub fn gathered(&mut self) -> impl Iterator<Item = &mut FlowBatch> {
        self.flows.iter_mut()
    }

    /// Flow rows that are gathered and not sealed: part of the ledger's gauge.
    pub fn open_rows(&self) -> u64 {
        self.rows as u64
    }

    /// Nanoseconds after which rows are sealed however few they are.
    pub fn seal_age_ns(&self) -> i64 {
        self.settings.seal_age_ms as i64 * 1_000_000 * i64::from(self.crowding.factor())
    }

    /// Whether there are rows enough for a bundle.
    pub fn is_full(&self) -> bool {
        self.rows >= self.settings.seal_rows || self.flows.len() >= BATCHES_MAX
    }

    /// Whether it is time to seal.
    pub fn due(&self, now_ns: i64) -> bool {
        let age_ns = now_ns.saturating_sub(self.opened_ns);
        !self.flows.is_empty()
            && (self.is_full()
                || age_ns >= self.seal_age_ns()
                || day(now_ns) != day(self.opened_ns))
    }

    /// Seals what was gathered, with `extra`; `None` where there is nothing at all.
    pub fn seal(&mut self, now_ns: i64, extra: Extra, names: Arc<Names>) -> Option<Bundle> {
        let flows = std::mem::take(&mut self.flows);
        self.rows = 0;
        let order = self.sorter.sort(&flows);
        let mut parts = Vec::new();
        for (day, range) in days(&flows, &order) {
            parts.push((Table::Flows, day, Content::Flows(range)));
        }
        for (day, rows) in days_of(extra.usage, |r| r.minute_s) {
            parts.push((Table::Usage1m, day, Content::Usage(rows)));
        }
        for (day, rows) in days_of(extra.networks, |r| r.minute_s) {
            parts.push((Table::NetworkUsage1m, day, Content::Networks(rows)));
        }
        for (day, rows) in days_of(extra.talkers, |r| r.minute_s) {
            parts.push((Table::Talkers1m, day, Content::Talkers(rows)));
        }
        for (day, rows) in split(extra.ledger, |r| r.minute_s / DAY_S) {
            parts.push((Table::Ledger, day, Content::Ledger(rows)));
        }
        let exporters = self.announce(&flows);
        if !exporters.is_empty() {
            parts.push((Table::Exporters, 0, Content::Exporters(exporters)));
        }
        inventory(extra.learned, &mut parts);
        if !extra.detections.is_empty() {
            parts.push((
                Table::DetectionEvents,
                0,
                Content::Detections(extra.detections),
            ));
        }
        if parts.is_empty() {
            return None;
        }
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
        let batches = parts.into_iter().map(|(table, partition, content)| Batch {
            table,
            partition,
            token: self.token(sequence, table, partition),
            content,
        });
        Some(Bundle {
            sequence,
            sealed_at_ns: now_ns,
            batches: batches.collect(),
            flows,
            order,
            names,
            positions: Vec::new(),
            home: Some(Home {
                flows: self.home.0.clone(),
                usage: self.usage_home.0.clone(),
            }),
        })
    }

    fn token(&self, sequence: u64, table: Table, partition: u32) -> String {
        let Identity { collector, start } = &*self.identity;
        format!(
            "{collector}/{start:032x}/{sequence}/{}/{partition}",
            table.name()
        )
    }

    /// Exporters that no earlier bundle of this shard announced, since all were announced once more.
    fn announce(&mut self, flows: &[FlowBatch]) -> Vec<ExporterRow> {
        let mut new = Vec::new();
        let mut last = None;
        for p in flows.iter().flat_map(|b| b.provenances()) {
            let row = ExporterRow::from(p);
            if last == Some(row) {
                continue;
            }
            last = Some(row);
            if self.announced.len() < self.settings.inventory_max {
                if self.announced.insert(row) {
                    new.push(row);
                }
            } else if !self.announced.contains(&row) {
                self.unannounced += 1;
            }
        }
        new
    }
}

impl From<&Provenance> for ExporterRow {
    fn from(p: &Provenance) -> Self {
        ExporterRow {
            exporter: p.exporter,
            domain: p.domain,
            origin: p.origin,
            source: p.exporter_source,
        }
    }
}

/// Days since 1970 UTC.
fn day(ns: i64) -> u32 {
    (ns.max(0) / 1_000_000_000) as u32 / DAY_S
}

/// The ranges of `order` that lie in one day each. Days are contiguous because the key starts with the time bucket.
fn days(flows: &[FlowBatch], order: &[RowRef]) -> Vec<(u32, Range<usize>)> {
    let day_of = |r: &RowRef| day(flows[r.batch()].provenance_of(r.row()).received_at_ns);
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < order.len() {
        let day = day_of(&order[at]);
        let end = at + order[at..].partition_point(|r| day_of(r) <= day);
        ranges.push((day, at..end));
        at = end;
    }
    ranges
}

/// Rows by day. They come in order of their minutes, so a day is one piece, and most bundles have one day only.
fn days_of<R>(mut rows: Vec<R>, second: impl Fn(&R) -> u32) -> Vec<(u32, Vec<R>)> {
    let mut days = Vec::new();
    while let Some(last) = rows.last() {
        let day = second(last) / DAY_S;
        let start = rows.partition_point(|r| second(r) / DAY_S < day);
        let rest = (start > 0).then(|| rows.split_off(start));
        days.push((day, rest.unwrap_or_else(|| std::mem::take(&mut rows))));
    }
    days.reverse();
    days
}

/// Rows by partition, in order of the partitions.
fn split<R>(rows: Vec<R>, partition: impl Fn(&R) -> u32) -> BTreeMap<u32, Vec<R>> {
    let mut parts = BTreeMap::<u32, Vec<R>>::new();
    for row in rows {
        parts.entry(partition(&row)).or_default().push(row);
    }
    parts
}

/// Sorts what was learned into its tables. Samplers serve decode alone and have no table.
fn inventory(learned: Vec<Learned>, parts: &mut Vec<(Table, u32, Content)>) {
    let mut tables = BTreeMap::<Table, Vec<Learned>>::new();
    let mut counters = Vec::<InterfaceCounters>::new();
    for l in learned {
        let table = match l {
            Learned::Interface { .. } | Learned::NamedInterface { .. } => Table::Interfaces,
            Learned::Category { .. } => Table::ApplicationCatalog,
            Learned::Network { .. } => Table::Networks,
            Learned::QosClass { .. } => Table::QosClasses,
            Learned::QosCodePoint { .. } => Table::QosCodePoints,
            Learned::QosExpected { .. } => Table::QosExpected,
            Learned::Application { .. } => Table::Applications,
            Learned::Template { .. } => Table::Templates,
            Learned::Counters(c) => {
                counters.push(*c);
                continue;
            }
            Learned::Vrf { .. } => Table::Vrfs,
            Learned::ObservationPoint { .. } => Table::ObservationPoints,
            Learned::Sampler { .. } => continue,
        };
        tables.entry(table).or_default().push(l);
    }
    for (table, rows) in tables {
        parts.push((table, 0, Content::Inventory(rows)));
    }
    for (day, rows) in split(counters, |c| day(c.received_at_ns)) {
        parts.push((Table::InterfaceCounters, day, Content::Counters(rows)));
    }
}

const DAY_S: u32 = 86_400;

/// Batches in a bundle at most: what [`RowRef`] can number, with room to spare.
const BATCHES_MAX: usize = 4_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Addr;

    const DAY_NS: i64 = DAY_S as i64 * 1_000_000_000;

    fn sealer() -> Sealer {
        let identity = Identity {
            collector: "c0".into(),
            start: 7,
        };
        Sealer::new(Settings::default(), Arc::new(identity), Arc::default())
    }

    fn filled(s: &mut Sealer, received_at_ns: i64, rows: usize) -> FlowBatch {
        let mut b = s.fresh();
        b.push_provenance(Provenance {
            exporter: Addr::from_v4([192, 0, 2, 1]),
            received_at_ns,
            ..Default::default()
        });
        b.commit(rows);
        b
    }

    #[test]
    fn seals_by_rows_age_and_day() {
        let mut s = sealer();
        let noon = 20_000 * DAY_NS + DAY_NS / 2;
        assert!(!s.due(noon), "nothing is gathered");
        let b = filled(&mut s, noon, 100);
        s.push(b, noon);
        assert!(!s.due(noon + 999_999_999) && s.due(noon + 1_000_000_000));
        assert_eq!(s.open_rows(), 100);
        // too many parts: bundles get older, not larger than they may
        let crowding = Arc::new(Crowding::default());
        s = s.follow(crowding.clone());
        crowding.grow(0);
        assert!(!s.due(noon + 1_999_999_999) && s.due(noon + 2_000_000_000));
        let b = filled(&mut s, noon, 99_900);
        s.push(b, noon);
        assert!(s.due(noon));
        let bundle = s
            .seal(noon, Extra::default(), Arc::default())
            .expect("rows");
        assert_eq!((bundle.flow_rows(), s.open_rows()), (100_000, 0));
        let midnight = 20_001 * DAY_NS;
        let b = filled(&mut s, midnight - 1, 1);
        s.push(b, midnight - 1);
        assert!(s.due(midnight));
    }

    #[test]
    fn one_batch_a_table_and_day_with_its_token() {
        let mut s = sealer();
        let midnight = 20_001 * DAY_NS;
        for at in [midnight, midnight - 1] {
            let b = filled(&mut s, at, 2);
            s.push(b, midnight);
        }
        let usage = [20_000, 20_002].map(|d| UsageRow {
            minute_s: d * DAY_S,
            ..Default::default()
        });
        let extra = Extra {
            usage: usage.to_vec(),
            ..Default::default()
        };
        let bundle = s.seal(midnight, extra, Arc::default()).expect("rows");
        let tokens: Vec<_> = bundle.batches.iter().map(|b| b.token.as_str()).collect();
        let start = "c0/00000000000000000000000000000007/0";
        let want = [
            "flows/20000",
            "flows/20001",
            "usage_1m/20000",
            "usage_1m/20002",
            "exporters/0",
        ];
        assert_eq!(tokens, want.map(|t| format!("{start}/{t}")));
        let Content::Flows(range) = &bundle.batches[0].content else {
            panic!("flows come first");
        };
        assert_eq!((range.clone(), bundle.order[0]), (0..2, RowRef::new(1, 0)));

        let b = filled(&mut s, midnight, 1);
        s.push(b, midnight);
        let next = s
            .seal(midnight, Extra::default(), Arc::default())
            .expect("rows");
        assert_eq!(next.sequence, 1);
        assert_eq!(next.batches.len(), 1, "the exporter is announced once");
        assert!(s.seal(midnight, Extra::default(), Arc::default()).is_none());
    }

    #[test]
    fn batches_come_home_empty() {
        let mut s = sealer();
        let mut b = filled(&mut s, 0, 10);
        b.nat_mut();
        s.push(b, 0);
        let mut usage = s.fresh_usage();
        assert_eq!(usage.capacity(), 0);
        usage.extend((0..100).map(|_| UsageRow::default()));
        let extra = Extra {
            usage,
            ..Extra::default()
        };
        let bundle = s.seal(0, extra, Arc::default()).expect("rows");
        bundle.recycle();
        let usage = s.fresh_usage();
        assert!(usage.is_empty() && usage.capacity() >= 100);
        assert!(
            s.home
                .1
                .try_recv()
                .is_ok_and(|b| b.is_empty() && b.nat.is_none())
        );
    }
}
