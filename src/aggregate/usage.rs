//! The sums of an open bundle.

use super::doubt::Doubt;
use super::metered::Metered;
use super::pending::{NOWHERE, Pending, Whole};
use super::shares::Life;
use super::sums::{Key, Side, SumTable, Sums};
use super::talkers::Talkers;
use super::{Reference, Settings};
use crate::ledger::{Book, Outcome};
use crate::model::{
    Addr, CounterColumns, Field, FlowBatch, InterfaceSide, NetColumns, NetworkRow, Origin,
    Provenance, RowFlags, SamplingSource, TalkerRole, TalkerRow, UsageRow, scale, variance,
};
use foldhash::fast::FixedState;

/// Usage since the last [`Usage::drain`]: partial sums that add up in the store.
#[derive(Debug)]
pub struct Usage {
    sums: SumTable,
    /// The same between networks, each byte once.
    networks: SumTable,
    talkers: Talkers,
    /// Talkers of exporters whose numbers are gone, and how many had to be left out and are not counted yet.
    talked: Vec<TalkerRow>,
    talkers_cut: u64,
    metered: Metered,
    /// Shares of rows of the batch at hand; empty between batches.
    pending: Pending,
    flagged: Vec<(u32, u32)>,
    prorate_max_ms: u64,
    late_max_ms: i64,
    keys_max: usize,
    exporters_max: usize,
    flow_estimate_max: u64,
    reference: Reference,
}

impl Usage {
    /// Nothing observed.
    pub fn new(settings: &Settings) -> Self {
        let hasher = FixedState::with_seed(settings.hash_seed);
        Usage {
            sums: SumTable::new(hasher.clone()),
            networks: SumTable::new(hasher.clone()),
            talkers: Talkers::new(settings, hasher.clone()),
            talked: Vec::new(),
            talkers_cut: 0,
            metered: Metered::new(
                settings.interfaces_per_exporter_max,
                settings.interfaces_max,
                hasher,
            ),
            pending: Pending::new(),
            flagged: Vec::new(),
            prorate_max_ms: u64::from(settings.prorate_max_s) * 1000,
            late_max_ms: i64::from(settings.usage_late_max_s) * 1000,
            keys_max: settings.usage_keys_max,
            exporters_max: settings.exporters_max,
            flow_estimate_max: settings.flow_estimate_max,
            reference: settings.reference,
        }
    }

    /// Books every row of an enriched batch. Sets the flags of rows whose life was cut or whose minutes were clamped,
    /// and counts them; and of rows that do not count for one of their interfaces.
    pub fn observe(&mut self, batch: &mut FlowBatch, book: &mut Book) {
        if self.sums.is_empty() && self.metered.exporters() > self.exporters_max {
            let forgotten = self.metered.exporters() as u64;
            book.other().add(Outcome::Evictions, forgotten);
            // they refer to exporters by number
            self.talked = self.take_talkers();
            self.metered.clear();
        }
        let rows = Rows::new(batch);
        let mut i = 0;
        while i < rows.provenance.len() {
            let provenance = rows.provenance[i];
            let p = batch.provenance_of(i);
            let run = self.run(p);
            let (mut cut, mut clamped, mut refused, mut implausible) = (0, 0, 0, 0);
            while i < rows.provenance.len() && rows.provenance[i] == provenance {
                let (flags, remembered) = self.row(&run, &rows, i);
                if flags != 0 {
                    self.flagged.push((i as u32, flags));
                    cut += u64::from(flags & RowFlags::PRORATE_CUT != 0);
                    clamped += u64::from(flags & RowFlags::USAGE_CLAMPED != 0);
                    implausible += u64::from(flags & RowFlags::COUNTERS_IMPLAUSIBLE != 0);
                }
                refused += u64::from(!remembered);
                i += 1;
                if self.pending.is_full() {
                    self.add_pending(&rows);
                }
            }
            if cut + clamped + refused + implausible > 0 {
                let account = book.account((p.exporter.0, p.domain));
                account.add(Outcome::ProrateCut, cut);
                account.add(Outcome::UsageClamped, clamped);
                account.add(Outcome::InterfacesRefused, refused);
                account.add(Outcome::CountersImplausible, implausible);
            }
        }
        self.add_pending(&rows);
        for (i, flags) in self.flagged.drain(..) {
            batch.core.flags[i as usize] |= flags;
        }
    }

    fn add_pending(&mut self, rows: &Rows<'_>) {
        let (sums, networks) = (&mut self.sums, &mut self.networks);
        let addresses = [rows.src_addr, rows.dst_addr];
        self.pending
            .add(sums, networks, &mut self.talkers, addresses);
    }

    /// Flags rows that were booked for an interface before the first record that was metered there, as far as that is now known: to be
    /// called for all batches of a bundle before [`Usage::drain`], which leaves them out, too. Costs nothing where nothing was learned.
    pub fn settle<'a>(&mut self, batches: impl Iterator<Item = &'a mut FlowBatch>) {
        if !self.metered.take_news() {
            return;
        }
        for batch in batches {
            for i in 0..batch.len() {
                let p = batch.provenance_of(i);
                let (run, rows) = (self.run(p), Rows::new(batch));
                let (ingress, egress, _) = self.sides(&run, &rows, i);
                // nothing is inferred of a row whose egress is not known
                if run.is_interface(batch.core.out_if[i]) {
                    batch.core.flags[i] |= elsewhere(&ingress, &egress);
                }
            }
        }
    }

    pub(super) fn metered(&self) -> &Metered {
        &self.metered
    }

    pub(super) fn metered_mut(&mut self) -> &mut Metered {
        &mut self.metered
    }

    /// Estimated bytes or packets of a row above which it is not booked.
    pub fn flow_estimate_max(&self) -> u64 {
        self.flow_estimate_max
    }

    pub(super) fn exporters_max(&self) -> usize {
        self.exporters_max
    }

    /// Whether the bundle should be sealed before the next batch.
    pub fn is_full(&self) -> bool {
        self.sums.len() >= self.keys_max || self.networks.len() >= self.keys_max
    }

    /// How many keys have sums.
    pub fn keys(&self) -> usize {
        self.sums.len()
    }

    /// All sums, one row a key, in order of (minute, exporter, interface, side, inferred, protocol, application,
    /// class, DSCP, sampling unknown); the next bundle starts from nothing. What was inferred of an interface before the first record that
    /// was metered there is left out: within a bundle the order of the records does not matter.
    pub fn drain(&mut self) -> Vec<UsageRow> {
        let mut rows = vec![];
        self.drain_into(&mut rows);
        rows
    }

    /// [`Usage::drain`] into a list that is empty and may have room already.
    pub fn drain_into(&mut self, rows: &mut Vec<UsageRow>) {
        let (addresses, ranks) = self.ranks();
        let (metered, talkers) = (&self.metered, &mut self.talkers);
        rows.reserve(self.sums.len());
        let mut total: Option<((u32, u32), Sums, u64)> = None;
        self.sums.drain(&ranks, self.keys_max, |key, sums| {
            let told = |(if_index, side)| metered.is_metered(key.exporter(), if_index, side);
            if key.inferred().is_some_and(told) {
                if key.is_ingress() {
                    talkers.set_void(key.exporter());
                }
                return;
            }
            rows.push(key.usage_row(addresses[key.exporter() as usize], sums));
            if !key.is_ingress() {
                return;
            }
            let of = (key.minute(), key.exporter());
            match &mut total {
                Some((same, all, unknown)) if *same == of => {
                    all.add(sums);
                    *unknown = unknown.saturating_add(sums.unknown());
                }
                _ => {
                    if let Some(((minute, exporter), all, unknown)) =
                        total.replace((of, *sums, sums.unknown()))
                    {
                        talkers.add_total(minute, exporter, &all, unknown);
                    }
                }
            }
        });
        if let Some(((minute, exporter), all, unknown)) = total {
            talkers.add_total(minute, exporter, &all, unknown);
        }
    }

    /// Traffic between networks of what [`Usage::drain`] gave, in order of minute and exporter; to be called after it.
    pub fn take_networks(&mut self) -> Vec<NetworkRow> {
        let (addresses, ranks) = self.ranks();
        let metered = &self.metered;
        let mut rows = Vec::with_capacity(self.networks.len());
        self.networks.drain(&ranks, self.keys_max, |key, sums| {
            let exporter = key.exporter();
            let told = |in_if| metered.is_metered(exporter, in_if, InterfaceSide::Ingress);
            if !key.inferred_between().is_some_and(told) {
                rows.push(key.network_row(addresses[exporter as usize], sums));
            }
        });
        rows
    }

    /// The talkers of all bundles that were drained since the last call, in order of their minutes; `other` makes them as much as their
    /// usage. To be called after [`Usage::drain`].
    pub fn take_talkers(&mut self) -> Vec<TalkerRow> {
        let addresses: Vec<Addr> = self.metered.addresses().collect();
        let (rows, cut) = self.talkers.flush(&addresses);
        self.talkers_cut += cut;
        let mut all = std::mem::take(&mut self.talked);
        if all.is_empty() {
            return rows;
        }
        all.extend(rows);
        all.sort_by_key(|r| r.minute_s);
        all
    }

    /// How many talkers had to be left out of what [`Usage::take_talkers`] gave, since the last call.
    pub fn take_talkers_cut(&mut self) -> u64 {
        std::mem::take(&mut self.talkers_cut)
    }

    /// Whether talkers should be taken with the next bundle, whenever the last time was.
    pub fn talkers_are_due(&self) -> bool {
        self.talkers.is_full() || !self.talked.is_empty()
    }

    /// The exporters by number, and the rank of each by address.
    fn ranks(&self) -> (Vec<Addr>, Vec<u32>) {
        let addresses: Vec<Addr> = self.metered.addresses().collect();
        let mut by_address: Vec<u32> = (0..addresses.len() as u32).collect();
        by_address.sort_unstable_by_key(|&n| addresses[n as usize]);
        let mut ranks = vec![0u32; addresses.len()];
        for (rank, &number) in by_address.iter().enumerate() {
            ranks[number as usize] = rank as u32;
        }
        (addresses, ranks)
    }

    /// What the rows of one datagram have in common.
    fn run(&mut self, p: &Provenance) -> Run {
        let received_ms = p.received_at_ns.div_euclid(1_000_000);
        let reference_ms = match self.reference {
            Reference::Exported if p.exported_at_ms != 0 => p.exported_at_ms,
            _ => received_ms,
        };
        let bound = |ms: i64| Life::new(ms, ms).last_minute();
        let exporter = self.metered.number(p.exporter);
        self.metered.at(exporter, received_ms);
        Run {
            exporter,
            reference_ms,
            earliest: bound(reference_ms.saturating_sub(self.late_max_ms)),
            latest: bound(reference_ms.saturating_add(AHEAD_MAX_MS)),
            sflow: p.origin == Origin::Sflow,
        }
    }

    /// Books one row, whose shares are then pending; returns the flags to set and whether its interface was remembered.
    #[inline(always)]
    fn row(&mut self, run: &Run, c: &Rows<'_>, i: usize) -> (u32, bool) {
        let (est_bytes, est_packets) = scale(c.bytes[i], c.packets[i], c.sampling_interval[i]);
        if est_bytes.max(est_packets) > self.flow_estimate_max {
            return (RowFlags::COUNTERS_IMPLAUSIBLE, true);
        }
        let mut life = match c.counters.and_then(|counters| counters.booked(i)) {
            Some((from_ms, to_ms)) => Life::new(from_ms, to_ms),
            None => run.life(c.present[i], c.start_ms[i], c.end_ms[i]),
        };
        let mut flags = 0;
        if life.cut(self.prorate_max_ms) {
            flags |= RowFlags::PRORATE_CUT;
        }
        let (first, last) = (life.first_minute(), life.last_minute());
        if first < run.earliest || last > run.latest {
            flags |= RowFlags::USAGE_CLAMPED;
        }
        let (ingress, egress, remembered) = self.sides(run, c, i);
        if run.is_interface(c.out_if[i]) {
            flags |= elsewhere(&ingress, &egress);
        } else if ingress.is_none() {
            flags |= RowFlags::INGRESS_ELSEWHERE;
        }
        let whole = self.whole(ingress, egress, c, i);
        let known = c.known(i);
        let interval = c.sampling_interval[i];
        let per_byte = variance(c.bytes[i], c.packets[i], interval) / c.bytes[i].max(1) as f64;
        let (sums, networks, talkers) = (&self.sums, &self.networks, &self.talkers);
        let talkers_count = ingress.is_some() && talkers.is_on();
        let pending = &mut self.pending;
        let between = c.nets.map_or((0, 0), |n| (n.src_net[i], n.dst_net[i]));
        let mut share = |minute: u32, bytes: u64, packets: u64, last: bool| {
            if bytes == 0 && packets == 0 && !last {
                return;
            }
            let minute = minute.clamp(run.earliest, run.latest);
            let of = u64::from(minute) << 32 | u64::from(run.exporter);
            let (est_bytes, est_packets) = scale(bytes, packets, interval);
            let part = Sums {
                bytes,
                packets,
                flows: u32::from(last),
                est_bytes,
                est_packets,
                doubt: Doubt::new(per_byte * bytes as f64, !known),
            };
            let talkers = (talkers_count && est_bytes > 0).then_some(talkers);
            pending.share(of, &whole, part, sums, talkers);
            if between != (0, 0)
                && let Some(ingress) = &ingress
            {
                let inferred = ingress.inferred.then_some(ingress.if_index);
                pending.between(networks, Key::networks(of, between, inferred, known));
            }
        };
        if first == last {
            share(last, c.bytes[i], c.packets[i], true);
        } else {
            life.split(c.bytes[i], c.packets[i], share);
        }
        (flags, remembered)
    }

    /// What all shares of a row have in common.
    #[inline(always)]
    fn whole(&self, ingress: Option<Side>, egress: Option<Side>, c: &Rows<'_>, i: usize) -> Whole {
        let proto = c.app_proto[i];
        let sides = [ingress, egress].map(|s| s.map_or(NOWHERE, |s| Key::side(s, proto)));
        let names = c.names(i);
        Whole {
            sides,
            hashes: [0, 1].map(|n| self.sums.hash_part(sides[n], names[n])),
            names,
            talkers: [
                self.talkers.hash_part(TalkerRole::Source, &c.src_addr[i]),
                self.talkers
                    .hash_part(TalkerRole::Destination, &c.dst_addr[i]),
            ],
            row: i as u32,
        }
    }

    /// The interfaces that a row counts for, and whether the metering side found room.
    #[inline(always)]
    fn sides(&mut self, run: &Run, c: &Rows<'_>, i: usize) -> (Option<Side>, Option<Side>, bool) {
        use InterfaceSide::{Egress, Ingress};
        let (exporter, in_if, out_if) = (run.exporter, c.in_if[i], c.out_if[i]);
        let out_known = run.is_interface(out_if);
        let told = c.present[i] & Field::Direction.bit() != 0 && c.direction[i] <= 1;
        let at_egress = told && c.direction[i] == 1;
        let (if_index, side) = if at_egress {
            (out_if, Egress)
        } else {
            (in_if, Ingress)
        };
        let mut remembered = true;
        if told && if_index != 0 && (out_known || !at_egress) {
            remembered = self.metered.learn(exporter, if_index, side);
        }
        let m = &self.metered;
        let side = |if_index, side, inferred| Side {
            if_index,
            side,
            inferred,
        };
        let elsewhere = |if_index, side| m.is_metered(exporter, if_index, side);
        let (ingress, egress) = if at_egress {
            let count_ingress = !elsewhere(in_if, Ingress);
            (
                count_ingress.then_some(side(in_if, Ingress, out_known)),
                out_known.then_some(side(out_if, Egress, false)),
            )
        } else {
            let count_egress = out_known && !elsewhere(out_if, Egress);
            (
                Some(side(in_if, Ingress, false)),
                count_egress.then_some(side(out_if, Egress, true)),
            )
        };
        (ingress, egress, remembered)
    }
}

/// The flags of a row with a known egress, by the sides for which it counts.
#[inline(always)]
fn elsewhere(ingress: &Option<Side>, egress: &Option<Side>) -> u32 {
    let flag = |side: &Option<Side>, flag| if side.is_none() { flag } else { 0 };
    flag(ingress, RowFlags::INGRESS_ELSEWHERE) | flag(egress, RowFlags::EGRESS_ELSEWHERE)
}

/// The columns that count here, all of them as long as the batch: said once, it need not be asked for every row.
struct Rows<'a> {
    provenance: &'a [u16],
    present: &'a [u64],
    start_ms: &'a [i64],
    end_ms: &'a [i64],
    direction: &'a [u8],
    in_if: &'a [u32],
    out_if: &'a [u32],
    app_proto: &'a [u32],
    app: &'a [u32],
    qos_class: &'a [u16],
    tos: &'a [u8],
    src_addr: &'a [Addr],
    dst_addr: &'a [Addr],
    bytes: &'a [u64],
    packets: &'a [u64],
    sampling_interval: &'a [u32],
    sampling_source: &'a [u8],
    nets: Option<&'a NetColumns>,
    counters: Option<&'a CounterColumns>,
    post_tos: Option<&'a [u8]>,
    egress_class: Option<&'a [u16]>,
}

impl<'a> Rows<'a> {
    #[inline(always)]
    fn new(batch: &'a FlowBatch) -> Self {
        let (c, n) = (&batch.core, batch.len());
        Rows {
            provenance: &c.provenance[..n],
            present: &c.present[..n],
            start_ms: &c.start_ms[..n],
            end_ms: &c.end_ms[..n],
            direction: &c.direction[..n],
            in_if: &c.in_if[..n],
            out_if: &c.out_if[..n],
            app_proto: &c.app_proto[..n],
            app: &c.app[..n],
            qos_class: &c.qos_class[..n],
            tos: &c.tos[..n],
            src_addr: &c.src_addr[..n],
            dst_addr: &c.dst_addr[..n],
            bytes: &c.bytes[..n],
            packets: &c.packets[..n],
            sampling_interval: &c.sampling_interval[..n],
            sampling_source: &c.sampling_source[..n],
            nets: batch.nets.as_deref(),
            counters: batch.counters.as_deref(),
            post_tos: batch.link.as_ref().map(|l| &l.post_tos[..n]),
            egress_class: batch.egress.as_ref().map(|e| &e.egress_class[..n]),
        }
    }

    /// Whether somebody said how a row was sampled.
    #[inline(always)]
    fn known(&self, i: usize) -> bool {
        self.sampling_source[i] != SamplingSource::Unknown as u8
    }

    /// Application, class and DSCP with which a row came and with which it left, as words of keys.
    #[inline(always)]
    fn names(&self, i: usize) -> [u64; 2] {
        let (app, mut class, mut tos) = (self.app[i], self.qos_class[i], self.tos[i]);
        let known = self.known(i);
        let came = Key::names(app, class, tos, known);
        if let Some(changed) = self.post_tos
            && self.present[i] & Field::PostTos.bit() != 0
        {
            tos = changed[i];
        }
        if let Some(other) = self.egress_class
            && other[i] != 0
        {
            class = other[i];
        }
        [came, Key::names(app, class, tos, known)]
    }
}

/// What the rows of one datagram have in common.
struct Run {
    exporter: u32,
    reference_ms: i64,
    earliest: u32,
    latest: u32,
    sflow: bool,
}

impl Run {
    /// Whether an egress is an interface for which something is booked.
    #[inline(always)]
    fn is_interface(&self, out_if: u32) -> bool {
        out_if != 0 && !(self.sflow && out_if >= SFLOW_INTERNAL)
    }

    /// The life of a row: what is missing of start and end is the other, or the reference time.
    #[inline(always)]
    fn life(&self, present: u64, start_ms: i64, end_ms: i64) -> Life {
        const BOTH: u64 = Field::StartMs.bit() | Field::EndMs.bit();
        const START: u64 = Field::StartMs.bit();
        const END: u64 = Field::EndMs.bit();
        match present & BOTH {
            BOTH => Life::new(start_ms, end_ms),
            START => Life::new(start_ms, start_ms),
            END => Life::new(end_ms, end_ms),
            _ => Life::new(self.reference_ms, self.reference_ms),
        }
    }
}

/// How far ahead of the reference time usage may be booked.
const AHEAD_MAX_MS: i64 = 60_000;
/// sFlow version 5 (section 5.3, `interface`): 0x3fffffff as output says that there is no output interface, because the
/// packet ends in the exporter itself. So nothing is known that it went out of, and nothing is booked; above are the
/// formats of discarded packets and of several interfaces.
const SFLOW_INTERNAL: u32 = 0x3fff_ffff;
#[cfg(test)]
mod tests {
    use super::*;

    /// 2024-01-01 00:00:30 UTC, ms.
    const NOW: i64 = 1_704_067_230_000;
    const MINUTE: i64 = 60_000;

    #[derive(Clone, Copy, Debug)]
    struct Row {
        exporter: u8,
        in_if: u32,
        out_if: u32,
        app: u32,
        tos: u8,
        /// Relative to `NOW`, ms.
        start: Option<i64>,
        end: Option<i64>,
        direction: Option<u8>,
        bytes: u64,
        packets: u64,
        interval: u32,
        sflow: bool,
    }

    const ROW: Row = Row {
        exporter: 1,
        in_if: 10,
        out_if: 20,
        app: 3,
        tos: 46 << 2,
        start: Some(0),
        end: Some(0),
        direction: None,
        bytes: 1000,
        packets: 10,
        interval: 1,
        sflow: false,
    };

    fn batch(rows: &[Row]) -> FlowBatch {
        let mut b = FlowBatch::new();
        for r in rows {
            let provenance = b.push_provenance(Provenance {
                exporter: Addr::from_v4([10, 0, 0, r.exporter]),
                origin: if r.sflow {
                    Origin::Sflow
                } else {
                    Origin::Ipfix
                },
                received_at_ns: NOW * 1_000_000 + 999_999,
                ..Provenance::default()
            });
            let c = &mut b.core;
            let bit = |there: bool, f: Field| if there { f.bit() } else { 0 };
            c.provenance.push(provenance);
            c.present.push(
                bit(r.start.is_some(), Field::StartMs)
                    | bit(r.end.is_some(), Field::EndMs)
                    | bit(r.direction.is_some(), Field::Direction),
            );
            c.start_ms.push(NOW + r.start.unwrap_or(7));
            c.end_ms.push(NOW + r.end.unwrap_or(7));
            c.direction.push(r.direction.unwrap_or(0));
            c.in_if.push(r.in_if);
            c.out_if.push(r.out_if);
            c.app.push(r.app);
            c.app_proto.push(r.app + 1);
            c.qos_class.push(u16::from(r.tos >> 4));
            c.tos.push(r.tos);
            c.bytes.push(r.bytes);
            c.packets.push(r.packets);
            c.sampling_interval.push(r.interval.max(1));
            c.sampling_source.push(u8::from(r.interval > 0));
            b.commit(1);
        }
        b
    }

    fn observed(rows: &[Row]) -> (Vec<UsageRow>, FlowBatch, Book) {
        let (mut usage, mut book) = (Usage::new(&Settings::default()), Book::new(100));
        let mut b = batch(rows);
        usage.observe(&mut b, &mut book);
        (usage.drain(), b, book)
    }

    /// (minutes after `NOW`'s, interface, side, inferred, bytes, flows)
    fn short(rows: &[UsageRow]) -> Vec<(i64, u32, &'static str, bool, u64, u64)> {
        let now = NOW.div_euclid(MINUTE);
        rows.iter()
            .map(|u| {
                let m = i64::from(u.minute_s) / 60 - now;
                (m, u.if_index, u.side.name(), u.inferred, u.bytes, u.flows)
            })
            .collect()
    }

    #[test]
    fn a_flow_counts_in_and_out_and_over_its_minutes() {
        let (rows, _, _) = observed(&[Row {
            start: Some(-90_000),
            interval: 8,
            ..ROW
        }]);
        assert_eq!(
            short(&rows),
            [
                (-1, 10, "ingress", false, 666, 0),
                (-1, 20, "egress", true, 666, 0),
                (0, 10, "ingress", false, 334, 1),
                (0, 20, "egress", true, 334, 1),
            ]
        );
        let u = &rows[2];
        assert_eq!(
            (u.est_bytes, u.est_packets, u.sampled_packets),
            (334 * 8, 4 * 8, 4)
        );
        assert_eq!((u.app, u.app_proto, u.qos_class, u.dscp), (3, 4, 11, 46));
        assert_eq!(
            (u.exporter, u.sampling_known),
            (Addr::from_v4([10, 0, 0, 1]), true)
        );
    }

    #[test]
    fn what_no_link_can_carry_is_flagged_counted_and_not_booked() {
        let lie = |bytes, packets, interval| Row {
            bytes,
            packets,
            interval,
            ..ROW
        };
        let most = 1 << 50;
        let mut b = batch(&[
            lie(u64::MAX, 1, 1),
            lie(1, u64::MAX, 1),
            lie(1 << 40, 1, 1 << 11),
            lie(most, 1, 1),
        ]);
        let (mut usage, mut book) = (Usage::new(&Settings::default()), Book::new(9));
        usage.observe(&mut b, &mut book);
        let flags = b.core.flags.iter();
        let lies = flags.map(|f| f & RowFlags::COUNTERS_IMPLAUSIBLE != 0);
        assert_eq!(lies.collect::<Vec<_>>(), [true, true, true, false]);
        assert_eq!(book.count(Outcome::CountersImplausible), 3);
        let rows = usage.drain();
        let ingress = rows.iter().filter(|r| r.if_index == 10);
        assert_eq!(ingress.map(|r| r.est_bytes).sum::<u64>(), most);
    }

    #[test]
    fn each_side_has_the_class_and_marking_that_it_saw() {
        let mut b = batch(&[ROW, ROW, ROW]);
        b.core.present[0] |= Field::PostTos.bit();
        b.link_mut().post_tos[0] = 34 << 2;
        b.egress_mut().egress_class[..2].copy_from_slice(&[5, 6]);
        let mut usage = Usage::new(&Settings::default());
        usage.observe(&mut b, &mut Book::new(1));
        let rows = usage.drain();
        let marks = rows
            .iter()
            .map(|u| (u.if_index, u.qos_class, u.dscp, u.flows));
        let got: Vec<_> = marks.collect();
        assert_eq!(
            got,
            [
                (10, 11, 46, 3),
                (20, 5, 34, 1),
                (20, 6, 46, 1),
                (20, 11, 46, 1)
            ]
        );
    }

    #[test]
    fn without_times_the_minute_known_counts() {
        let at = |start, end| {
            let (rows, _, _) = observed(&[Row {
                start,
                end,
                out_if: 0,
                ..ROW
            }]);
            short(&rows).iter().map(|r| (r.0, r.5)).collect::<Vec<_>>()
        };
        assert_eq!(at(None, None), [(0, 1)]);
        assert_eq!(at(Some(-300_000), None), [(-5, 1)]);
        assert_eq!(at(None, Some(-300_000)), [(-5, 1)]);
        assert_eq!(
            at(Some(0), Some(-300_000)),
            [(-5, 1)],
            "ends before it starts"
        );
    }

    #[test]
    fn impossible_times_are_cut_and_clamped_and_counted() {
        let day = 86_400_000;
        let (rows, b, book) = observed(&[
            Row {
                start: Some(-49 * day),
                out_if: 0,
                bytes: 1210,
                ..ROW
            },
            Row {
                start: Some(-4 * day),
                end: Some(-4 * day),
                out_if: 0,
                ..ROW
            },
            Row {
                start: Some(day),
                end: Some(day),
                out_if: 0,
                ..ROW
            },
            ROW,
        ]);
        let flags = [
            RowFlags::PRORATE_CUT,
            RowFlags::USAGE_CLAMPED,
            RowFlags::USAGE_CLAMPED,
            0,
        ];
        assert_eq!(b.core.flags, flags);
        assert_eq!(book.count(Outcome::ProrateCut), 1);
        assert_eq!(book.count(Outcome::UsageClamped), 2);
        let minutes: Vec<i64> = short(&rows).iter().map(|r| r.0).collect();
        assert_eq!(minutes.first(), Some(&(-2 * 24 * 60)));
        assert_eq!(minutes.last(), Some(&1));
        assert_eq!(
            minutes.iter().filter(|m| (-120..0).contains(*m)).count(),
            120
        );
    }

    #[test]
    fn the_side_of_metering_counts_and_the_other_only_unless_it_meters() {
        let ingress = Row {
            direction: Some(0),
            ..ROW
        };
        let egress = Row {
            direction: Some(1),
            bytes: 7,
            ..ROW
        };
        let (rows, _, _) = observed(&[ingress, egress, ingress]);
        // the first row did not know of the egress metering; the bundle does
        let told = [
            (0, 10, "ingress", false, 2000, 2),
            (0, 20, "egress", false, 7, 1),
        ];
        assert_eq!(short(&rows), told);
        let (rows, _, _) = observed(&[egress, ingress, ingress]);
        assert_eq!(short(&rows), told);
        let (rows, _, _) = observed(&[egress]);
        let both = [
            (0, 10, "ingress", true, 7, 1),
            (0, 20, "egress", false, 7, 1),
        ];
        assert_eq!(short(&rows), both);
        let (rows, _, _) = observed(&[Row {
            out_if: 0,
            ..egress
        }]);
        assert_eq!(short(&rows), [(0, 10, "ingress", false, 7, 1)]);
    }

    #[test]
    fn rows_say_for_which_interfaces_they_count() {
        const IN: u32 = RowFlags::INGRESS_ELSEWHERE;
        const OUT: u32 = RowFlags::EGRESS_ELSEWHERE;
        let ingress = Row {
            direction: Some(0),
            ..ROW
        };
        let egress = Row {
            direction: Some(1),
            ..ROW
        };
        let nameless = Row {
            out_if: 0,
            ..egress
        };
        let rows = [nameless, egress, ROW, ingress, egress, nameless];
        let mut usage = Usage::new(&Settings::default());
        let mut b = batch(&rows);
        usage.observe(&mut b, &mut Book::new(1));
        assert_eq!(b.core.flags, [0, 0, OUT, OUT, IN, IN]);
        usage.settle([&mut b].into_iter());
        assert_eq!(b.core.flags, [0, IN, OUT, OUT, IN, IN]);
        let count = |flag: u32, none: u32| {
            let counts = |i: &usize| b.core.flags[*i] & flag == 0 && rows[*i].out_if != none;
            (0..rows.len()).filter(counts).count() as u64
        };
        let sums = [(10, "ingress", count(IN, 1)), (20, "egress", count(OUT, 0))];
        let drained = usage.drain();
        for (if_index, side, flows) in sums {
            let booked = short(&drained);
            let booked = booked.iter().filter(|r| (r.1, r.2) == (if_index, side));
            assert_eq!(booked.map(|r| r.5).sum::<u64>(), flows, "{side}");
        }
        let mut b = batch(&rows);
        b.core.flags.fill(0);
        usage.settle([&mut b].into_iter());
        assert_eq!(b.core.flags, [0; 6], "nothing new");
    }

    #[test]
    fn special_interfaces_of_sflow_are_no_egress() {
        for out_if in [0x3fff_ffff, 0x4000_0001, 0x8000_0003] {
            let (rows, _, _) = observed(&[Row {
                out_if,
                sflow: true,
                ..ROW
            }]);
            assert_eq!(short(&rows).len(), 1);
            let (rows, _, _) = observed(&[Row { out_if, ..ROW }]);
            assert_eq!(short(&rows).len(), 2, "an ifIndex elsewhere");
        }
    }

    #[test]
    fn replay_holds_times_against_the_export() {
        let mut b = batch(&[Row {
            start: None,
            end: None,
            out_if: 0,
            ..ROW
        }]);
        let p = Provenance {
            exported_at_ms: NOW - 300 * 86_400_000,
            ..*b.provenance_of(0)
        };
        b.core.provenance[0] = b.push_provenance(p);
        let settings = Settings {
            reference: Reference::Exported,
            ..Settings::default()
        };
        let mut usage = Usage::new(&settings);
        usage.observe(&mut b, &mut Book::new(1));
        assert_eq!(short(&usage.drain())[0].0, -300 * 24 * 60);
    }

    #[test]
    fn a_full_table_says_so_and_old_exporters_are_forgotten() {
        let settings = Settings {
            usage_keys_max: 2,
            exporters_max: 1,
            ..Settings::default()
        };
        let (mut usage, mut book) = (Usage::new(&settings), Book::new(9));
        let row = Row {
            direction: Some(1),
            out_if: 20,
            ..ROW
        };
        usage.observe(&mut batch(&[Row { exporter: 2, ..ROW }]), &mut book);
        assert!(usage.is_full());
        usage.observe(&mut batch(&[row]), &mut book);
        assert_eq!(usage.keys(), 4);
        let exporters: Vec<u8> = usage.drain().iter().map(|u| u.exporter.0[15]).collect();
        assert_eq!(exporters, [1, 1, 2, 2]);
        usage.observe(&mut batch(&[ROW]), &mut book);
        assert_eq!(book.count(Outcome::Evictions), 2);
        assert_eq!(usage.keys(), 2, "the egress metering is forgotten, too");
    }
}
