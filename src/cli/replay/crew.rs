//! The shards of a replay: they see everything in order of frames, and let time pass together.

use super::super::signatures::Alerts;
use super::summary::ShardUsage;
use crate::batch::Bundle;
use crate::detect::anomaly::{Detectors, Seen, Sighting};
use crate::detect::signature::engine::Engine;
use crate::detect::signature::{Hits, LiveSettings};
use crate::dissect::{FrameHead, link_name, route};
use crate::ledger::{Book, Outcome};
use crate::meter::AHEAD;
use crate::model::{Addr, Datagram, Detection, RowPlace};
use crate::receive::{self, FRAMES_AHEAD, Found, Frame};
use crate::shard::{Back, CaptureShard, ExportShard};
use crate::sink::Outbox;
use crate::sink::ndjson::Writer;
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Shards for export datagrams and for traffic, none or as many of each.
pub(super) struct Crew {
    exports: Vec<ExportShard>,
    captures: Vec<CaptureShard>,
    /// Exporters that were heard.
    exporters: HashSet<Addr>,
    exporters_max: usize,
    receive: receive::Settings,
    /// Latest time of a datagram.
    export_ns: i64,
    /// Latest time of a frame of traffic.
    traffic_ns: i64,
    /// What becomes of what rules raise.
    alerts: Option<Alerts>,
    hits: Hits,
    judge: Option<Judge>,
}

/// The detectors of all shards, and what they found.
struct Judge {
    detectors: Detectors,
    /// What lies behind the frame that all shards have reached.
    waiting: Vec<Sighting>,
    found: BTreeMap<u64, Detection>,
}

/// Where rows go.
pub(super) enum To {
    /// Into files, or nowhere.
    Files {
        /// The files.
        writer: Option<Writer>,
        /// The first one that could not be written.
        fault: Option<anyhow::Error>,
    },
    /// Into the store.
    Store {
        /// The way there.
        outbox: Outbox,
        /// By how much all times are moved.
        shift_ns: i64,
    },
}

impl Crew {
    /// All shards together hear at most `exporters_max` exporters, of those that `receive` lets send, so that what is refused hangs on the
    /// captures alone.
    pub(super) fn new(
        exports: Vec<ExportShard>,
        captures: Vec<CaptureShard>,
        detectors: Option<Detectors>,
        (exporters_max, receive): (usize, receive::Settings),
    ) -> Self {
        Crew {
            judge: detectors.map(|detectors| Judge {
                detectors,
                waiting: vec![],
                found: BTreeMap::new(),
            }),
            exports,
            captures,
            exporters: HashSet::new(),
            exporters_max: exporters_max.min(receive.exporters_max),
            receive,
            export_ns: 0,
            traffic_ns: i64::MIN,
            alerts: None,
            hits: Hits::new(&LiveSettings {
                // nobody is told of them while they come
                incidents_per_day_max: u32::MAX,
                ..LiveSettings::default()
            }),
        }
    }

    /// With somebody who takes what rules raise.
    pub(in crate::cli) fn with_alerts(mut self, alerts: Alerts) -> Self {
        self.alerts = Some(alerts);
        self
    }

    /// Who took what rules raised, and what they cost.
    pub(in crate::cli) fn take_alerts(&mut self) -> Option<Alerts> {
        let mut alerts = self.alerts.take()?;
        let engines = self.captures.iter().filter_map(CaptureShard::rules);
        for (rule, cost) in engines.flat_map(Engine::costs) {
            alerts.cost(rule, cost);
        }
        Some(alerts)
    }

    /// Takes what rules raised: what time raised, or packets of several shards, is brought into one order.
    fn raised(&mut self, by_several: bool) {
        let is_quiet = self.captures.iter().all(CaptureShard::is_quiet);
        let Some(alerts) = self.alerts.as_mut().filter(|_| !is_quiet) else {
            return;
        };
        for shard in &mut self.captures {
            for conflict in shard.take_conflicts() {
                self.hits.conflict(&conflict);
            }
        }
        let shards = self.captures.iter_mut();
        let mut raised: Vec<_> = shards.flat_map(CaptureShard::take_alerts).collect();
        if by_several {
            raised.sort_by_key(|a| (a.pair(), a.flow));
        }
        for alert in &raised {
            alerts.take(alert);
            if !alert.is_ambiguous {
                self.hits.take(alert);
            }
        }
        let shards = self.captures.iter_mut();
        let demoted = shards.flat_map(CaptureShard::take_demotions);
        demoted.for_each(|d| alerts.demoted(&d));
    }

    /// How many of them give rows.
    pub(super) fn lanes(&self) -> usize {
        self.exports.len() + self.captures.len()
    }

    /// Makes no rows: traffic is for rules alone.
    pub(in crate::cli) fn without_rows(mut self) -> Self {
        let shards = self.captures.into_iter();
        self.captures = shards.map(CaptureShard::without_rows).collect();
        self
    }

    /// All times of rows are moved; one shard tells the store what is configured.
    pub(super) fn moved_by(&mut self, shift_ms: i64) {
        let exports = self.exports.iter_mut().map(ExportShard::back);
        let captures = self.captures.iter_mut().map(CaptureShard::back);
        for (n, back) in exports.chain(captures).enumerate() {
            back.set_shift_ms(shift_ms);
            back.declare_if(n == 0);
        }
    }

    /// Takes what a file gave next.
    pub(super) fn take(&mut self, found: &Found<'_>, to: &mut To) {
        match found {
            Found::Datagram(d) => self.datagram(d, to),
            Found::Traffic(f) => self.traffic(f, to),
            Found::Coming(f) => self.comes(f),
        }
    }

    /// The end of all files.
    pub(super) fn finish(&mut self, to: &mut To) {
        self.exports.iter_mut().for_each(ExportShard::finish);
        self.end_conversations(u64::MAX, to);
        self.hits.finish();
        to.last(self);
        let links = self.captures.iter().flat_map(CaptureShard::links_unknown);
        for link in links.collect::<BTreeSet<_>>() {
            let name = link_name(*link);
            eprintln!("frames of link type {link} ({name}) are not looked into");
        }
    }

    /// What all of them counted and booked.
    pub(super) fn end(&mut self) -> (Book, Vec<ShardUsage>) {
        let (mut book, mut usage) = (Book::new(usize::MAX), vec![]);
        for shard in &mut self.exports {
            book.merge(shard.book());
            let names = shard.back().tables().names().clone();
            usage.push((shard.back().drain(), names));
        }
        for shard in &mut self.captures {
            book.merge(shard.book());
            let names = shard.back().tables().names().clone();
            usage.push((shard.back().drain(), names));
        }
        (book, usage)
    }

    /// What was found, in order of time.
    pub(super) fn detections(&self) -> Vec<Detection> {
        let found = self.judge.iter().flat_map(|j| j.found.values());
        let mut found: Vec<Detection> = found.chain(self.hits.ready()).cloned().collect();
        found.sort_by_key(|d| (d.first_ms, d.id));
        // steps that were over when the chain was found do not say so themselves
        let steps = found.iter().flat_map(|d| {
            let steps = d.evidence.steps.iter().map(|s| s.id);
            let all = steps.chain(d.evidence.steps_gone.iter().copied());
            all.map(|id| (id, d.id))
        });
        let chains: BTreeMap<u64, u64> = steps.collect();
        for d in &mut found {
            d.evidence.part_of = chains.get(&d.id).copied().or(d.evidence.part_of);
        }
        found
    }

    /// Lets detectors look at everything up to `frame`, which all shards have told.
    fn judge(&mut self, frame: u64) {
        let Some(judge) = &mut self.judge else { return };
        let exports = self.exports.iter_mut().map(ExportShard::take_sightings);
        let captures = self.captures.iter_mut().map(CaptureShard::take_sightings);
        let alone = exports.len() == 0 && captures.len() == 1;
        let mut upto = None;
        for mut seen in exports.chain(captures) {
            if alone {
                // where one shard tells all, what comes behind a row belongs behind it
                let mut rows = seen.iter().rev();
                upto = rows
                    .find(|s| matches!(s.seen, Seen::Flow(_)))
                    .map(|s| s.place);
            }
            judge.waiting.append(&mut seen);
        }
        judge.look(frame, upto);
    }

    fn datagram(&mut self, d: &Datagram<'_>, to: &mut To) {
        if d.received_at_ns / SECOND_NS > self.export_ns / SECOND_NS {
            self.exports
                .iter_mut()
                .for_each(|s| s.tick(d.received_at_ns));
        }
        let before_ns = self.export_ns;
        self.export_ns = self.export_ns.max(d.received_at_ns);
        to.sample(self, before_ns);
        let exporter = d.exporter();
        let full = self.exporters.len() >= self.exporters_max;
        // a file of one payload does not say who sent it
        let permitted = d.source == Addr::from_v4([0; 4]) || self.receive.permits(d.source);
        let mine = shard_of(exporter, self.exports.len());
        let Some(shard) = self.exports.get_mut(mine) else {
            return;
        };
        if !permitted {
            let tally = shard.book().other();
            tally.one(Outcome::DatagramsReceived);
            tally.one(Outcome::DatagramsRefusedAcl);
            return;
        }
        if full && !self.exporters.contains(&exporter) {
            let tally = shard.book().other();
            tally.one(Outcome::DatagramsReceived);
            tally.one(Outcome::DatagramsRefusedExporterLimit);
            return;
        }
        self.exporters.insert(exporter);
        let tally = shard.book().account((exporter.0, 0));
        tally.one(Outcome::DatagramsReceived);
        tally.one(Outcome::DatagramsRouted);
        shard.datagram(d);
        loop {
            let shard = &mut self.exports[mine];
            if shard.is_full() || to.is_full(shard.back()) {
                to.room(self, d.frame, d.received_at_ns);
            }
            if !self.exports[mine].go_on() {
                break;
            }
        }
    }

    fn traffic(&mut self, f: &Frame<'_>, to: &mut To) {
        let n = self.captures.len();
        if n == 0 {
            return;
        }
        if f.time_ns < self.traffic_ns.saturating_sub(STEP_NS) {
            self.end_conversations(f.number, to);
            self.traffic_ns = i64::MIN;
        }
        if f.time_ns > self.traffic_ns {
            self.traffic_ns = f.time_ns;
            for i in 0..n {
                while !self.captures[i].advance(f.time_ns, f.number) {
                    // others may still tell something at this frame
                    to.room(self, f.number.saturating_sub(1), f.time_ns);
                }
            }
            self.raised(true);
        }
        let i = match n {
            1 => 0,
            _ => route(f.link_type, f.captured)
                .map_or(0, |key| shard_of(Addr(mixed(key.low, key.high)), n)),
        };
        let head = FrameHead {
            time_ns: f.time_ns,
            frame: f.number,
            interface: f.interface,
            link_type: f.link_type,
            wire_len: f.original,
        };
        let tally = self.captures[i].book().other();
        tally.one(Outcome::FramesCaptured);
        self.captures[i].frame(head, f.captured);
        let mut has_strays = false;
        while let Some(stray) = self.captures[i].take_stray() {
            has_strays = true;
            let (low, high) = stray.ends();
            let to = shard_of(Addr(mixed(low, high)), n);
            self.captures[to].stray(&stray);
        }
        self.raised(has_strays);
        for i in 0..n {
            if self.captures[i].is_full() || self.captures[i].has_much_to_see() {
                to.room(self, f.number, f.time_ns);
            }
        }
    }

    /// With several shards nobody looks ahead: it would take as long as it saves.
    fn comes(&mut self, f: &Frame<'_>) {
        if let [shard] = &mut self.captures[..] {
            shard.comes(f.link_type, f.captured);
        }
    }

    /// Tells all conversations at `frame`.
    fn end_conversations(&mut self, frame: u64, to: &mut To) {
        for i in 0..self.captures.len() {
            while !self.captures[i].finish(frame) {
                to.room(self, frame.saturating_sub(1), self.traffic_ns);
            }
        }
        self.raised(true);
    }
}

impl Judge {
    /// Judges what belongs to frames up to `frame`, or before the row of a place.
    fn look(&mut self, frame: u64, upto: Option<RowPlace>) {
        self.waiting.sort_by_key(|s| s.place);
        let is_told = |s: &Sighting| s.place.frame <= frame || Some(s.place) <= upto;
        let reached = self.waiting.partition_point(is_told);
        self.detectors.observe_all(&self.waiting[..reached]);
        self.waiting.drain(..reached);
        if frame == u64::MAX {
            self.detectors.finish();
        }
        for detection in self.detectors.take() {
            self.found.insert(detection.id, detection);
        }
    }
}

impl To {
    pub(super) fn files(writer: Option<Writer>) -> Self {
        To::Files {
            writer,
            fault: None,
        }
    }

    /// Makes room in every open batch. All shards have told what belongs to frames up to `frame`.
    fn room(&mut self, crew: &mut Crew, frame: u64, now_ns: i64) {
        match self {
            To::Files { writer, fault } => {
                if fault.is_none() {
                    *fault = flush(crew, writer.as_mut(), frame).err();
                } else {
                    // the rest is for nobody
                    *fault = flush(crew, None, frame).err().or(fault.take());
                }
            }
            To::Store { outbox, shift_ns } => {
                let now_ns = now_ns.saturating_add(*shift_ns);
                for shard in &mut crew.exports {
                    shard.close_batch(now_ns);
                    if shard.back().is_crowded() {
                        send(shard.seal(now_ns, false), outbox);
                    }
                }
                for shard in &mut crew.captures {
                    shard.close_batch(now_ns);
                    if shard.back().is_crowded() {
                        send(shard.seal(now_ns, false), outbox);
                    }
                }
                crew.judge(frame);
            }
        }
    }

    /// The ledger of the store says in which 5 minutes an exporter was heard: it is told at the end of each.
    fn sample(&mut self, crew: &mut Crew, before_ns: i64) {
        let To::Store { outbox, shift_ns } = self else {
            return;
        };
        let shifted = |ns: i64| ns.saturating_add(*shift_ns);
        let over = shifted(before_ns) / SAMPLE_NS != shifted(crew.export_ns) / SAMPLE_NS;
        if over && before_ns > 0 {
            for shard in &mut crew.exports {
                send(shard.seal(shifted(before_ns), false), outbox);
            }
        }
    }

    /// Whether rows or facts have to go before there are more.
    fn is_full(&self, back: &Back) -> bool {
        match self {
            To::Files { .. } => back.has_much_to_tell(),
            To::Store { .. } => back.is_crowded(),
        }
    }

    /// The end: everything goes.
    fn last(&mut self, crew: &mut Crew) {
        match self {
            To::Files { .. } => self.room(crew, u64::MAX, 0),
            To::Store { outbox, shift_ns } => {
                let now_ns = crew.export_ns.max(crew.traffic_ns);
                let now_ns = now_ns.saturating_add(*shift_ns);
                for shard in &mut crew.exports {
                    send(shard.seal(now_ns, true), outbox);
                }
                for shard in &mut crew.captures {
                    send(shard.seal(now_ns, true), outbox);
                }
                crew.judge(u64::MAX);
            }
        }
    }
}

/// Writes what all shards hold; they have told everything up to `frame`.
fn flush(crew: &mut Crew, mut writer: Option<&mut Writer>, frame: u64) -> Result<()> {
    let mut result = Ok(());
    let exports = crew.exports.len();
    for (n, shard) in crew.exports.iter_mut().enumerate() {
        shard.take_rows(|batch, back| {
            if let (Some(writer), Ok(())) = (&mut writer, &result) {
                result = writer.flows(n, batch, &[], back.tables().names());
            }
        });
    }
    for (n, shard) in crew.captures.iter_mut().enumerate() {
        shard.take_rows(|batch, places, back| {
            if let (Some(writer), Ok(())) = (&mut writer, &result) {
                result = writer.flows(exports + n, batch, places, back.tables().names());
            }
        });
    }
    crew.judge(frame);
    result?;
    if let Some(writer) = writer {
        for n in 0..crew.lanes() {
            writer.reached(n, frame)?;
        }
    }
    Ok(())
}

fn send(bundle: Option<Bundle>, outbox: &Outbox) {
    if let Some(bundle) = bundle {
        outbox.send(bundle);
    }
}

/// Which of `n` shards an exporter belongs to: a constant function, unlike that of `run`, for nobody can attack a file.
fn shard_of(exporter: Addr, n: usize) -> usize {
    (u128::from_be_bytes(exporter.0) % n.max(1) as u128) as usize
}

/// Two addresses as one number, whatever their order.
fn mixed(a: Addr, b: Addr) -> [u8; 16] {
    let [a, b] = [a, b].map(|x| u128::from_be_bytes(x.0));
    let odd = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835_u128;
    (a.wrapping_add(b).wrapping_mul(odd) >> 64).to_be_bytes()
}

const _: () = assert!(FRAMES_AHEAD == AHEAD);
const SECOND_NS: i64 = 1_000_000_000;
/// Samples of the report.
const SAMPLE_NS: i64 = 300 * SECOND_NS;
/// Where the clock goes back by more, another capture begins.
const STEP_NS: i64 = 3_600_000_000_000;
