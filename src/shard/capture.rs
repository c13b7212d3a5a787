//! Frames to rows, for one shard.

use super::found::Found;
use super::links::Links;
use super::stray::{Stray, is_tunnel, take_whole, tunnels};
use super::{Back, Ring, RulesChange, Sealed};
use crate::detect::anomaly::{ArpSeen, Feed, Namer, Sighting, of_rows};
use crate::detect::signature::engine::{Alert, Conflict, CostLine, Demoted, Engine};
use crate::dissect::{Dissected, Dissector, FrameHead, Reason, behind, glance};
use crate::ledger::{Book, Outcome, Tally};
use crate::meter::Meter;
use crate::model::{FlowBatch, Learned, PacketView, RowPlace};
use crate::reassemble::fragment::{Added, Fragments, Gathered};
use std::collections::BTreeSet;

/// Dissect, meter and everything behind it: the twin of [`super::ExportShard`] over frames. Online and offline run this code.
#[derive(Debug)]
pub struct CaptureShard {
    dissector: Dissector,
    /// For packets that fragments gave.
    again: Dissector,
    fragments: Fragments,
    strays: Vec<Stray>,
    links_unknown: Links,
    /// Makes rows; nobody where rules alone are asked.
    meter: Option<Meter>,
    /// Matches packets with rules; nothing where there are none.
    rules: Option<Box<Engine>>,
    /// The latest packets, for detections of rules.
    ring: Option<Ring>,
    /// Conversations that rules have hit.
    found: Found,
    /// Fragments that say different things.
    conflicts: Vec<Conflict>,
    /// What detectors look at beside rows; nobody where there are none.
    feed: Option<Feed>,
    sightings: Vec<Sighting>,
    namer: Namer,
    back: Back,
    open: FlowBatch,
    opened_ns: i64,
    book: Book,
}

/// Rules whose costs are published.
const COST_LINES_MAX: usize = 1_000;

impl CaptureShard {
    /// A shard with its meter and its back; `book` is empty.
    pub fn new(
        dissector: Dissector,
        fragments: Fragments,
        meter: Meter,
        back: Back,
        book: Book,
    ) -> Self {
        CaptureShard {
            again: dissector.clone(),
            dissector,
            fragments,
            strays: vec![],
            links_unknown: Links::default(),
            meter: Some(meter),
            rules: None,
            ring: None,
            found: Found::default(),
            conflicts: vec![],
            feed: None,
            sightings: vec![],
            namer: Namer::default(),
            back,
            open: FlowBatch::new(),
            opened_ns: 0,
            book,
        }
    }

    /// Makes no rows: packets are for rules alone.
    pub fn without_rows(mut self) -> Self {
        self.meter = None;
        self
    }

    /// Matches packets with rules, too.
    pub fn with_rules(mut self, engine: Engine) -> Self {
        self.rules = Some(Box::new(engine));
        self
    }

    /// Keeps the latest packets as long as there are rules.
    pub fn with_ring(mut self, ring: Ring) -> Self {
        self.ring = Some(ring);
        self
    }

    /// Conversations that rules have hit.
    pub(super) fn found(&mut self) -> &mut Found {
        &mut self.found
    }

    /// The rules that cost most so far.
    pub(super) fn dearest_rules(&self) -> Vec<CostLine> {
        let rules = self.rules.as_ref();
        rules.map_or(vec![], |r| r.dearest(COST_LINES_MAX))
    }

    /// The latest packets.
    pub fn ring(&mut self) -> Option<&mut Ring> {
        self.ring.as_mut()
    }

    /// Goes on with other rules.
    pub fn change_rules(&mut self, change: &RulesChange) {
        match (change, &mut self.rules) {
            (RulesChange::AsBefore, _) => {}
            (RulesChange::Off, rules) => *rules = None,
            (RulesChange::To(maker), Some(engine)) => engine.replace(maker.program().clone()),
            (RulesChange::To(maker), rules) => *rules = Some(Box::new(maker.engine())),
        }
    }

    /// Which load of the rules is in force; 0: none.
    pub fn generation(&self) -> u64 {
        self.rules.as_ref().map_or(0, |r| r.generation())
    }

    /// Whether rules raised something.
    #[inline]
    pub fn has_alerts(&self) -> bool {
        let rules = self.rules.as_ref();
        rules.is_some_and(|r| r.has_alerts()) || !self.conflicts.is_empty()
    }

    /// Whether rules raised nothing, and none was demoted.
    #[inline]
    pub fn is_quiet(&self) -> bool {
        let rules = self.rules.as_ref();
        !self.has_alerts() && !rules.is_some_and(|r| r.has_demotions())
    }

    /// Octets that were sent twice with different data, since this was asked last.
    pub fn take_conflicts(&mut self) -> Vec<Conflict> {
        let mut all = std::mem::take(&mut self.conflicts);
        if let Some(rules) = &mut self.rules {
            all.append(&mut rules.take_conflicts());
        }
        all
    }

    /// What rules raised since this was asked last.
    pub fn take_alerts(&mut self) -> Vec<Alert> {
        match &mut self.rules {
            Some(rules) if rules.has_alerts() => rules.take_alerts(),
            _ => vec![],
        }
    }

    /// Rules that cost more than they may since this was asked last.
    pub fn take_demotions(&mut self) -> Vec<Demoted> {
        match &mut self.rules {
            Some(rules) if rules.has_demotions() => rules.take_demotions(),
            _ => vec![],
        }
    }

    /// What matches packets with rules.
    pub fn rules(&self) -> Option<&Engine> {
        self.rules.as_deref()
    }

    /// Tells detectors what it sees: rows, and what `feed` reads from packets.
    pub fn with_feed(mut self, feed: Feed) -> Self {
        self.feed = Some(feed);
        self
    }

    /// What detectors look at, since this was called last: rows in their order, then what packets told in that of frames.
    pub fn take_sightings(&mut self) -> Vec<Sighting> {
        let mut all = std::mem::take(&mut self.sightings);
        if let Some(feed) = &mut self.feed {
            all.append(&mut feed.take());
        }
        all
    }

    /// Whether what detectors look at should be taken soon.
    pub fn has_much_to_see(&self) -> bool {
        self.feed.as_ref().is_some_and(Feed::is_crowded)
    }

    /// Lets time pass up to the next frame (0 when live). Returns false where the open batch is full before everything that
    /// is due was told: it has to be closed or taken, and this called again.
    #[must_use]
    pub fn advance(&mut self, now_ns: i64, frame: u64) -> bool {
        if self.open.is_empty() {
            self.opened_ns = now_ns;
        }
        if let Some(feed) = &mut self.feed {
            feed.advance(now_ns, frame);
        }
        let (out, book) = (&mut self.open, &mut self.book);
        let meter = self.meter.as_mut();
        let done = meter.is_none_or(|m| m.advance(now_ns, frame, out, book));
        if done && !self.fragments.is_empty() {
            self.give_up(now_ns);
        }
        if let (true, Some(rules)) = (done, &mut self.rules) {
            rules.advance(now_ns, self.book.other());
        }
        done
    }

    /// Looks at a frame that comes [`crate::meter::AHEAD`] frames after the next one, so that what it needs is at hand then.
    #[inline]
    pub fn comes(&mut self, link_type: u16, bytes: &[u8]) {
        let glance = glance(link_type, bytes);
        if let Some(meter) = &mut self.meter {
            meter.comes(glance.as_ref());
        }
        if let Some(rules) = &mut self.rules {
            rules.comes(glance.as_ref());
        }
    }

    /// Meters a frame that its reader counted. Its time was passed with [`CaptureShard::advance`].
    #[inline]
    pub fn frame(&mut self, head: FrameHead, bytes: &[u8]) {
        self.first(head, bytes);
        if let Some(at) = self.dissector.aggregate() {
            self.others(head, bytes, at);
        }
    }

    /// Link types of frames that nobody reads.
    pub fn links_unknown(&self) -> &BTreeSet<u16> {
        self.links_unknown.all()
    }

    /// Takes the packets behind the first one of an aggregate; they are strays, for their addresses are others.
    #[cold]
    fn others(&mut self, head: FrameHead, bytes: &[u8], mut at: usize) {
        while let Some(next) = behind(bytes, at) {
            at = next;
            let Dissected::Ip(packet) = self.again.subframe(head, bytes, at) else {
                self.book.other().one(Outcome::SubframesNotIp);
                continue;
            };
            let end = behind(bytes, at).unwrap_or(bytes.len());
            self.strays.push(Stray {
                head,
                joined: None,
                around: None,
                bytes: bytes[at..end].to_vec(),
                ends: (packet.src.min(packet.dst), packet.src.max(packet.dst)),
            });
        }
        // they are taken from the end
        self.strays.reverse();
    }

    /// Meters a frame, of an aggregate the first one in it.
    #[inline]
    fn first(&mut self, head: FrameHead, bytes: &[u8]) {
        match self.dissector.frame(head, bytes) {
            Dissected::Ip(packet) => {
                self.book.other().one(Outcome::FramesDissected);
                if let Some(rules) = &mut self.rules {
                    let ring = self.ring.iter_mut();
                    ring.for_each(|ring| ring.keep(&head, bytes, &packet));
                    rules.packet(&packet, self.book.other());
                    tunnels(&mut self.again, &mut self.strays, head, bytes, &packet);
                }
                if packet.fragment.is_none() {
                    let (out, book) = (&mut self.open, &mut self.book);
                    meter(&mut self.meter, &mut self.feed, &packet, out, book);
                    return;
                }
                let before = self.book.other().count(Outcome::FragmentConflicts);
                let mut overlaps = false;
                let found = match self.fragments.add(&packet, self.book.other()) {
                    Added::Waiting => None,
                    Added::Refused => {
                        let (out, book) = (&mut self.open, &mut self.book);
                        meter(&mut self.meter, &mut self.feed, &packet, out, book);
                        None
                    }
                    Added::Whole(g) => {
                        overlaps = g.overlapping;
                        let whole = self.again.whole(
                            head_of(&g, head.link_type),
                            g.envelope,
                            (g.frames, g.ip_len),
                            g.bytes,
                        );
                        take_whole(&g, whole, &mut self.strays)
                    }
                };
                let after = self.book.other().count(Outcome::FragmentConflicts);
                if after > before && self.rules.is_some() {
                    self.conflicts.push(of_fragments(&packet));
                }
                if let (true, Some(rules)) = (overlaps, &mut self.rules) {
                    rules.fragments_overlap(&packet, self.book.other());
                }
                if let Some(whole) = found {
                    if let Some(rules) = &mut self.rules {
                        rules.packet(&whole, self.book.other());
                    }
                    let (out, book) = (&mut self.open, &mut self.book);
                    meter(&mut self.meter, &mut self.feed, &whole, out, book);
                }
            }
            other => {
                count(&other, self.book.other());
                self.links_unknown.note(&other, head.link_type);
                if let (Dissected::Rejected(_), Some(rules)) = (&other, &mut self.rules) {
                    let at = (head.time_ns, head.frame);
                    rules.frame(head.link_type, bytes, at, self.book.other());
                }
                if let (Dissected::Arp(a), Some(feed)) = (&other, &mut self.feed) {
                    feed.arp(ArpSeen {
                        operation: a.operation,
                        sender_mac: a.sender_mac,
                        sender: a.sender,
                        target_mac: a.target_mac,
                        target: a.target,
                        time_ms: head.time_ns.div_euclid(1_000_000),
                    });
                }
            }
        }
    }

    /// A packet that belongs elsewhere, if there is one.
    pub fn take_stray(&mut self) -> Option<Stray> {
        self.strays.pop()
    }

    /// Meters a packet that another shard found.
    pub fn stray(&mut self, s: &Stray) {
        let tally = self.book.other();
        if let Some(around) = s.around {
            let outer = self.again.around(around, s.head, &s.bytes);
            if let (Dissected::Ip(packet), Some(rules)) = (outer, &mut self.rules) {
                if let Some(ring) = &mut self.ring {
                    ring.keep(&s.head, &s.bytes, &packet);
                }
                // what Suricata does not look into is a packet as any other one
                match is_tunnel(&packet) {
                    true => rules.tunnel(&packet, tally),
                    false => rules.packet(&packet, tally),
                }
            }
            return;
        }
        let inside = match &s.joined {
            Some((outer, counts)) => {
                tally.one(Outcome::FragmentsRerouted);
                self.again.whole(s.head, outer, *counts, &s.bytes)
            }
            None => {
                tally.one(Outcome::Subframes);
                self.again.subframe(s.head, &s.bytes, 0)
            }
        };
        if let Dissected::Ip(packet) = inside {
            if let Some(rules) = &mut self.rules {
                rules.packet(&packet, self.book.other());
            }
            let (out, book) = (&mut self.open, &mut self.book);
            meter(&mut self.meter, &mut self.feed, &packet, out, book);
        }
    }

    /// Ends all conversations at `frame`: at the end of the input, and where the clock was set back. Returns false as
    /// [`CaptureShard::advance`] does.
    #[must_use]
    pub fn finish(&mut self, frame: u64) -> bool {
        self.give_up(i64::MAX);
        if let Some(rules) = &mut self.rules {
            rules.finish(self.book.other());
        }
        if let Some(feed) = &mut self.feed {
            feed.finish();
        }
        let (out, book) = (&mut self.open, &mut self.book);
        let meter = self.meter.as_mut();
        meter.is_none_or(|m| m.finish(frame, out, book))
    }

    /// Whether the open batch has to be closed before the next frame.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.open.is_full()
    }

    /// Ends the open batch: its rows are named, booked and handed to the sealer.
    pub fn close_batch(&mut self, now_ns: i64) {
        self.found.attach(&mut self.open);
        if self.open.is_empty() {
            self.open.clear();
            self.back.forget_open();
            return;
        }
        let fresh = self.back.fresh_batch();
        let mut batch = std::mem::replace(&mut self.open, fresh);
        if self.feed.is_some() {
            let places = self.take_places();
            let end = batch.len();
            self.back.enrich(&mut batch, end, &mut self.book);
            let names = (&**self.back.tables().names(), &mut self.namer);
            let max = self.back.flow_estimate_max();
            of_rows(&batch, &places, names, max, &mut self.sightings);
        }
        self.back.take(batch, now_ns, &mut self.book);
    }

    /// Takes the rows of the open batch out, named and booked, with where each belongs, instead of sealing them (`replay`).
    pub fn take_rows(&mut self, use_rows: impl FnOnce(&FlowBatch, &[RowPlace], &Back)) {
        let places = self.take_places();
        if !self.open.is_empty() {
            self.back.finish_rows(&mut self.open, &mut self.book);
            if self.feed.is_some() {
                let names = (&**self.back.tables().names(), &mut self.namer);
                let max = self.back.flow_estimate_max();
                of_rows(&self.open, &places, names, max, &mut self.sightings);
            }
            use_rows(&self.open, &places, &self.back);
        }
        self.open.clear();
        self.back.drop_inventory();
    }

    /// Whether it is time to seal.
    pub fn due(&self, now_ns: i64) -> bool {
        self.back.due(now_ns) || !self.open.is_empty() && self.back.aged(now_ns - self.opened_ns)
    }

    /// Seals everything up to now; the `last` time with all outcomes.
    pub fn seal(&mut self, now_ns: i64, last: bool) -> Sealed {
        self.close_batch(now_ns);
        self.back.seal(now_ns, &mut self.book, last)
    }

    /// Rows that are not sealed yet.
    pub fn rows_open(&self) -> u64 {
        self.open.len() as u64 + self.back.rows_waiting()
    }

    /// Fragments that wait for the rest of their packet.
    pub fn fragments_waiting(&self) -> u64 {
        self.fragments.frames()
    }

    /// Takes in what is known of the interfaces that are captured.
    pub fn know(&mut self, mut facts: Vec<Learned>) {
        self.back.learn(&mut facts, &mut self.book);
    }

    /// All rows of the open batch were received at this time, nanoseconds: their packets come from a file.
    pub fn received_at(&mut self, now_ns: i64) {
        self.open.set_received_at(now_ns);
    }

    /// What is behind the meter.
    pub fn back(&mut self) -> &mut Back {
        &mut self.back
    }

    /// Conversations that are metered.
    pub fn flows(&self) -> usize {
        self.meter.as_ref().map_or(0, Meter::flows)
    }

    /// The counts.
    pub fn book(&mut self) -> &mut Book {
        &mut self.book
    }

    fn take_places(&mut self) -> Vec<RowPlace> {
        let meter = self.meter.as_mut();
        meter.map(Meter::take_places).unwrap_or_default()
    }

    /// Meters what is left of packets whose fragments do not come.
    #[cold]
    fn give_up(&mut self, now_ns: i64) {
        while let Some(g) = self.fragments.give_up(now_ns, self.book.other()) {
            let head = head_of(&g, g.envelope.link_type);
            let counts = (g.frames, g.ip_len);
            let left = self.again.whole(head, g.envelope, counts, g.bytes);
            if let Dissected::Ip(packet) = left {
                let (out, book) = (&mut self.open, &mut self.book);
                meter(&mut self.meter, &mut self.feed, &packet, out, book);
            }
        }
    }
}

/// Meters a packet, and lets detectors look at it.
#[inline]
fn meter(
    meter: &mut Option<Meter>,
    feed: &mut Option<Feed>,
    packet: &PacketView<'_>,
    out: &mut FlowBatch,
    book: &mut Book,
) {
    let meter = meter.as_mut();
    let opened = meter.and_then(|m| m.packet(packet, out, book));
    if let Some(feed) = feed {
        feed.packet(packet, opened);
    }
}

/// Fragments of a packet that say different things: the last one that came.
#[cold]
fn of_fragments(p: &PacketView<'_>) -> Conflict {
    Conflict {
        time_ns: p.time_ns,
        addrs: [p.src, p.dst],
        ports: [0, 0],
        proto: p.proto,
        direction: None,
        flow: None,
        offset: p.fragment.map_or(0, |f| u64::from(f.offset)),
        readings: [vec![], vec![]],
        rules: vec![],
    }
}

/// The head of a frame that holds what fragments gave.
pub(super) fn head_of(g: &Gathered<'_>, link_type: u16) -> FrameHead {
    FrameHead {
        time_ns: g.last_ns,
        frame: g.frame,
        interface: g.interface,
        link_type,
        wire_len: g.wire_len,
    }
}

/// Counts a frame that is no IP packet.
#[cold]
fn count(dissected: &Dissected<'_>, tally: &mut Tally) {
    let outcome = match dissected {
        Dissected::Ip(_) => return,
        Dissected::Arp(_) => Outcome::FramesArp,
        Dissected::NotIp(Some(ethertype)) if *ethertype < LENGTHS => Outcome::FramesLlc,
        Dissected::NotIp(_) => Outcome::FramesNotIp,
        Dissected::Rejected(reason) => {
            tally.one(match reason {
                Reason::LinkType => Outcome::FramesRejectedLinkType,
                Reason::Cut => Outcome::FramesRejectedCut,
                Reason::Malformed => Outcome::FramesRejectedMalformed,
                Reason::Deep => Outcome::FramesRejectedDeep,
            });
            return;
        }
    };
    tally.one(outcome);
    tally.one(Outcome::FramesDissected);
}

/// Below it a type is the length of an 802.3 frame.
const LENGTHS: u16 = 0x0600;
