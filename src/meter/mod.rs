//! Packets to flow records.
//!
//! Owns: [`Meter`], the table of conversations: both directions tied, told as rows per direction when they end, when they
//! are silent, when they go on for long, and when there is no room. What TCP tells of quality.
//! Never: frames and headers (that is `dissect`), names, usage, the clock: time comes with the packets.

mod ahead;
mod flow;
mod hear;
mod key;
mod rows;
mod rtp;
#[cfg(test)]
mod sample;
mod settings;
mod table;
mod tcp;
mod tie;
mod wheel;

pub use ahead::AHEAD;
pub use settings::Settings;

use crate::ledger::{Book, Outcome};
use crate::model::{
    Addr, AppProto, Codec, FlowBatch, Glance, Handshake, PacketView, RowPlace, TcpHeader,
    Transport, prefetch,
};
use crate::reassemble::app::{Apps, Deaf, Visitor};
use ahead::Ahead;
use flow::{Facts, Flow, NO_PLACE, Stage};
use hear::Ear;
use key::{FlowKey, Way};
use rows::{Reason, Rows, Told};
use rtp::Medias;
use table::Table;
use tcp::Tcp;

/// What was measured of a direction since it was told last.
#[derive(Clone, Debug, Default)]
struct Measured {
    /// [`crate::model::Measure`] bits.
    taken: u32,
    rtt_us: u32,
    data_rtt_us: u32,
    ttfb_us: u32,
    retransmits: u32,
    out_of_order: u32,
    dup_acks: u32,
    zero_windows: u32,
    resets: u32,
    handshake: Handshake,
    dns_rtt_us: u32,
    dns_rcode: u8,
    tls_version: u16,
    cert_expires_s: u32,
    jitter_us: u32,
    lost: u32,
    mos_x100: u16,
    rtp_payload: u8,
    codec: Codec,
}

/// The flow table of one shard.
#[derive(Debug)]
pub struct Meter {
    settings: Settings,
    table: Table,
    tcps: Vec<Tcp>,
    tcps_free: Vec<u32>,
    ahead: Ahead,
    medias: Medias,
    /// Who listens; nobody where headers are enough.
    ear: Option<Ear>,
    rows: Rows,
    /// Places whose time came, in the order in which they are told, and how many of them are.
    due: Vec<u32>,
    due_done: usize,
    /// What is due is everything ([`Meter::finish`]).
    is_ending: bool,
    /// The latest time seen, nanoseconds.
    now_ns: i64,
    frame: u64,
    /// Where the rows of the open batch belong; only where somebody orders them.
    places: Option<Vec<RowPlace>>,
}

impl Meter {
    /// An empty table. `hash_seed` is a secret in `run` and a constant in `replay`.
    pub fn new(settings: &Settings, hash_seed: u64) -> Self {
        Meter {
            settings: settings.clone(),
            table: Table::new(settings.flows(), hash_seed),
            tcps: vec![],
            tcps_free: vec![],
            ahead: Ahead::default(),
            medias: Medias::new(settings.media_max),
            ear: None,
            rows: Rows::new(Addr::from(settings.sensor)),
            due: vec![],
            due_done: 0,
            is_ending: false,
            now_ns: i64::MIN,
            frame: 0,
            places: None,
        }
    }

    /// Keeps where each row belongs, for whoever merges the rows of several shards ([`Meter::take_places`]).
    pub fn with_places(mut self) -> Self {
        self.places = Some(vec![]);
        self
    }

    /// Hears what conversations say.
    pub fn with_apps(self, apps: Apps) -> Self {
        self.with_visitor(apps, Box::new(Deaf))
    }

    /// Hears what conversations say, and lets another one hear it.
    pub fn with_visitor(mut self, apps: Apps, visitor: Box<dyn Visitor + Send>) -> Self {
        self.ear = Some(Ear { apps, visitor });
        self
    }

    /// Bytes of conversations that are kept to read on.
    pub fn heard_bytes(&self) -> usize {
        self.ear.as_ref().map_or(0, |e| e.apps.bytes())
    }

    /// Most bytes that a table with these settings takes.
    pub fn memory_max(settings: &Settings) -> usize {
        let flows = settings.flows();
        (Table::bytes(flows).saturating_add(flows * size_of::<Tcp>()))
            .saturating_add(Medias::memory_max(settings.media_max))
    }

    /// Conversations in the table.
    pub fn flows(&self) -> usize {
        self.table.len()
    }

    /// The exporter of all rows.
    pub fn sensor(&self) -> Addr {
        self.rows.sensor()
    }

    /// Where the rows belong that were made since this was called last.
    pub fn take_places(&mut self) -> Vec<RowPlace> {
        self.places.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Lets time pass up to `now_ns`, at `frame`, the next frame (0 when live). Returns false where `out` is full before
    /// everything that is due was told: then it is to be called again, with room.
    #[must_use]
    pub fn advance(
        &mut self,
        now_ns: i64,
        frame: u64,
        out: &mut FlowBatch,
        book: &mut Book,
    ) -> bool {
        self.frame = frame;
        if now_ns <= self.now_ns && self.due.is_empty() {
            return true;
        }
        if self.now_ns == i64::MIN {
            self.table.start_at(second_of(now_ns));
        }
        self.now_ns = self.now_ns.max(now_ns);
        let until = second_of(self.now_ns);
        loop {
            if !self.tell_due(out, book) {
                return false;
            }
            if self.table.second() >= until {
                return true;
            }
            if self.table.len() == 0 {
                self.table.start_at(until);
                return true;
            }
            self.table.next_second(&mut self.due);
            self.order_due();
        }
    }

    /// Calls for what a packet needs that comes [`AHEAD`] packets after the one that is metered next, by a look at its frame. It
    /// makes no difference but to the time that metering takes.
    #[inline]
    pub fn comes(&mut self, glance: Option<&Glance>) {
        let hash = glance.map(|g| self.table.hash(&FlowKey::probably(g)));
        self.ahead
            .comes(hash, &self.table, &self.tcps, &self.medias);
    }

    /// Meters a packet. Its time must have been passed with [`Meter::advance`]. Writes few rows. Where the packet completed a
    /// handshake of TCP, returns whether its sender began the conversation.
    #[inline]
    pub fn packet(
        &mut self,
        p: &PacketView<'_>,
        out: &mut FlowBatch,
        book: &mut Book,
    ) -> Option<bool> {
        self.frame = p.frame;
        let way = self.table.way(p);
        let place = match self.table.find(&way) {
            Some(place) => self.renewed(place, &way, p, out, book),
            None => match self.asked_elsewhere(&way, p) {
                Some(place) => place,
                None => self.begin(&way, p, out, book),
            },
        };
        let flow = self.table.flow(place);
        let half = flow.half(way.is_low);
        let is_first = !flow.halves[half].seen;
        // all was told, and its time may be far ahead
        let goes_on = flow.halves[half].packets == 0
            && flow.halves[1 - half].packets == 0
            && (!is_first || flow.halves[1 - half].seen);
        flow.halves[half].add(p);
        let (stage, tcp) = (flow.stage, flow.tcp);
        if goes_on {
            self.table.unhang(place);
            let second = due_second(self.due_ns(place).0);
            self.table.hang(place, second);
        }
        if is_first {
            self.table.set_facts(place, half, Facts::of(p));
        }
        if let Some(ear) = &mut self.ear {
            let flow = self.table.flow(place);
            if flow.talk.is_open() && p.payload_len > 0 {
                ear.hear(flow, self.tcps.get(tcp as usize), half, p, book);
            }
            // media share a conversation with what prepares them (RFC 7983)
            if matches!(
                flow.talk.proto().0,
                AppProto::Rtp | AppProto::Rtcp | AppProto::Stun | AppProto::Dtls
            ) {
                self.hear_media(place, half, p, book);
            }
        }
        let next = match p.transport {
            Transport::Tcp(t) if tcp != NO_PLACE => {
                let effect = self.tcps[tcp as usize].segment(half, p, &t);
                match (effect.closed, effect.established) {
                    (true, _) => Stage::Closed,
                    (_, true) => Stage::Established,
                    _ => stage,
                }
            }
            _ if stage == Stage::Doubtful && self.is_two_way(place) => Stage::Established,
            _ => stage,
        };
        // a connection that was closed stays so
        if next == stage || stage == Stage::Closed {
            return None;
        }
        self.promote(place, next);
        (next == Stage::Established && tcp != NO_PLACE).then_some(half == 0)
    }

    /// The end of the input, or of a clock that was set back: everything is told, at `frame`, and the clock starts anew. Returns false where `out` is full before that.
    #[must_use]
    pub fn finish(&mut self, frame: u64, out: &mut FlowBatch, book: &mut Book) -> bool {
        self.frame = frame;
        if !self.is_ending {
            if !self.tell_due(out, book) {
                return false;
            }
            self.table.take_all(&mut self.due);
            self.order_all();
            self.is_ending = true;
        }
        while self.due_done < self.due.len() {
            if out.is_full() {
                return false;
            }
            self.tell_last(out, book);
        }
        self.due.clear();
        self.due_done = 0;
        (self.is_ending, self.now_ns) = (false, i64::MIN);
        true
    }
}

impl Meter {
    /// A conversation that a packet begins.
    #[inline(never)]
    fn begin(
        &mut self,
        way: &Way,
        p: &PacketView<'_>,
        out: &mut FlowBatch,
        book: &mut Book,
    ) -> u32 {
        while let Some(place) = self.table.gives_way() {
            let doubtful = self.table.get(place).stage == Stage::Doubtful;
            book.other().one(match doubtful {
                true => Outcome::FlowsEvictedDoubtful,
                false => Outcome::FlowsEvicted,
            });
            self.tell(place, Reason::Pressure, None, true, out, book);
            self.forget(place);
        }
        let (mut low_began, mut tcp) = (way.is_low, NO_PLACE);
        if let Some(t) = p.tcp() {
            tcp = self.new_tcp();
            low_began ^= is_answer(&t);
        }
        let mut flow = Flow::new(way.key, (way.hash >> 32) as u32, low_began, p.time_ns);
        flow.tcp = tcp;
        let quiet = match tcp {
            NO_PLACE => self.settings.idle_s,
            _ => self.settings.half_open_s,
        };
        let second = due_second(p.time_ns.saturating_add(seconds(quiet)));
        self.table.insert(flow, way.hash, second)
    }

    /// The place of a conversation; of a new one where a SYN says that the one before is over.
    #[inline]
    fn renewed(
        &mut self,
        place: u32,
        way: &Way,
        p: &PacketView<'_>,
        out: &mut FlowBatch,
        book: &mut Book,
    ) -> u32 {
        let Transport::Tcp(t) = p.transport else {
            return place;
        };
        if !t.has(TcpHeader::SYN) {
            return place;
        }
        let flow = self.table.get(place);
        let half = flow.half(way.is_low);
        let closed = flow.stage == Stage::Closed;
        let renewed = self
            .tcps
            .get(flow.tcp as usize)
            .is_some_and(|tcp| tcp.is_renewed_by(&t, half, closed));
        if !renewed {
            return place;
        }
        self.tell(place, Reason::End, None, true, out, book);
        self.forget(place);
        self.begin(way, p, out, book)
    }

    fn new_tcp(&mut self) -> u32 {
        match self.tcps_free.pop() {
            Some(place) => {
                self.tcps[place as usize] = Tcp::default();
                place
            }
            None => {
                self.tcps.push(Tcp::default());
                (self.tcps.len() - 1) as u32
            }
        }
    }

    /// Enough of both sides that it is no flood with answers.
    fn is_two_way(&self, place: u32) -> bool {
        let flow = self.table.get(place);
        let [a, b] = &flow.halves;
        flow.tcp == NO_PLACE && a.seen && b.seen && a.packets + b.packets >= TWO_WAY_PACKETS
    }

    fn promote(&mut self, place: u32, stage: Stage) {
        let flow = self.table.flow(place);
        let quiet = match stage {
            Stage::Closed => self.settings.closed_s,
            _ => self.settings.idle_s,
        };
        let second = due_second(flow.last_ns().saturating_add(seconds(quiet)));
        self.table.set_stage(place, stage, second);
    }

    /// When a conversation is to be looked at, nanoseconds, and why.
    fn due_ns(&self, place: u32) -> (i64, Reason) {
        let s = &self.settings;
        let flow = self.table.get(place);
        let (quiet, reason) = match flow.stage {
            Stage::Closed => (s.closed_s, Reason::End),
            Stage::Doubtful if flow.tcp != NO_PLACE => (s.half_open_s, Reason::Idle),
            _ => (s.idle_s, Reason::Idle),
        };
        let last = flow.last_ns();
        match flow.pending_ns() {
            Some(first) => {
                let silent = last.saturating_add(seconds(quiet));
                let long = first.saturating_add(seconds(s.active_s));
                match silent <= long || flow.stage == Stage::Closed {
                    true => (silent, reason),
                    false => (long, Reason::Active),
                }
            }
            None if self.is_held(flow) => {
                let hold = s.tcp_hold_s.max(quiet);
                (last.saturating_add(seconds(hold)), reason)
            }
            None => (last.saturating_add(seconds(quiet)), reason),
        }
    }

    /// Whether it is remembered over a silence.
    fn is_held(&self, flow: &Flow) -> bool {
        flow.stage == Stage::Established
            && self.tcps.get(flow.tcp as usize).is_some_and(Tcp::is_open)
    }

    /// Of what hangs at the second that came: what is not due yet hangs on, the rest is told in order of the key.
    fn order_due(&mut self) {
        let second = self.table.second();
        let mut due = std::mem::take(&mut self.due);
        due.retain(|&place| {
            let at = due_second(self.due_ns(place).0);
            if at > second {
                self.table.hang(place, at);
            }
            at <= second
        });
        due.sort_by_cached_key(|&place| self.table.get(place).key);
        self.due = due;
        self.due_done = 0;
    }

    /// At the end of the input: in order of when they would have been due, and of the key.
    fn order_all(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        let when = |place: u32| due_second(self.due_ns(place).0);
        due.sort_by_cached_key(|&place| (when(place), self.table.get(place).key));
        self.due = due;
        self.due_done = 0;
    }

    /// Tells those whose time came; false where there is no room for all.
    fn tell_due(&mut self, out: &mut FlowBatch, book: &mut Book) -> bool {
        while self.due_done < self.due.len() {
            if out.is_full() {
                return false;
            }
            let place = self.next_due();
            let (_, reason) = self.due_ns(place);
            let flow = self.table.get(place);
            let had_rows = flow.pending_ns().is_some();
            let stays = match reason {
                Reason::Active => true,
                Reason::Idle => had_rows && self.is_held(flow),
                _ => false,
            };
            let expiry = self.table.second();
            self.tell(place, reason, Some(expiry), !stays, out, book);
            if stays {
                let at = due_second(self.due_ns(place).0);
                self.table.hang(place, at);
            } else {
                self.forget(place);
            }
        }
        self.due.clear();
        self.due_done = 0;
        true
    }

    /// The next of those that are due; what a later one needs is called for.
    fn next_due(&mut self) -> u32 {
        if let Some(&later) = self.due.get(self.due_done + DUE_AHEAD) {
            self.table.call_flow(later);
            self.table.call_facts(later);
        }
        if let Some(&soon) = self.due.get(self.due_done + DUE_AHEAD / 2)
            && let Some(tcp) = self.tcps.get(self.table.get(soon).tcp as usize)
        {
            prefetch(tcp);
        }
        self.due_done += 1;
        self.due[self.due_done - 1]
    }

    fn tell_last(&mut self, out: &mut FlowBatch, book: &mut Book) {
        let place = self.next_due();
        let expiry = due_second(self.due_ns(place).0);
        let reason = match self.table.get(place).stage {
            Stage::Closed => Reason::End,
            _ => Reason::Forced,
        };
        self.tell(place, reason, Some(expiry), true, out, book);
        self.forget(place);
    }

    /// Writes the rows of both directions that had packets; `over` where the conversation ends with them.
    fn tell(
        &mut self,
        place: u32,
        reason: Reason,
        expiry: Option<i64>,
        over: bool,
        out: &mut FlowBatch,
        book: &mut Book,
    ) {
        let flow = self.table.flow(place);
        if let (true, Some(ear)) = (over, &mut self.ear) {
            ear.hear_end(flow, self.now_ns, book);
        }
        let answer = flow.talk.take_answer();
        let flow = self.table.get(place);
        let (tcp, media, mut made) = (flow.tcp, flow.media, 0);
        for half in 0..2 {
            if flow.halves[half].packets == 0 {
                continue;
            }
            let mut measured = match self.tcps.get_mut(tcp as usize) {
                Some(tcp) => tcp.take(half, over),
                None => Measured::default(),
            };
            if let Some(media) = self.medias.at(media) {
                media.take(half, &mut measured);
            }
            measured.of_talk(half, flow, answer);
            let told = Told {
                flow,
                half,
                facts: self.table.facts(place, half),
                measured,
                reason,
            };
            self.rows.push(&told, self.frame, self.now_ns, out);
            made += 1;
            if let Some(places) = &mut self.places {
                places.push(RowPlace {
                    frame: self.frame,
                    expiry: expiry.unwrap_or(i64::MAX),
                    key: expiry.map_or([0; 41], |_| flow.key.bytes()),
                });
            }
        }
        if made > 0 {
            let tally = book.account((self.rows.sensor().0, 0));
            tally.add(Outcome::RowsAddedMetered, made);
            tally.add(Outcome::Rows, made);
            self.table
                .flow(place)
                .halves
                .iter_mut()
                .for_each(|h| h.told());
        }
    }

    fn forget(&mut self, place: u32) {
        let flow = self.table.flow(place);
        if let Some(ear) = &mut self.ear {
            ear.apps.forget(&mut flow.talk);
        }
        if flow.tcp != NO_PLACE {
            self.tcps_free.push(flow.tcp);
        }
        self.medias.end(flow.media);
        self.table.remove(place);
    }
}

/// Whether a first segment is one of the side that was asked: a SYN-ACK, or of a connection that was picked up in its middle
/// one from a well-known port.
fn is_answer(t: &TcpHeader) -> bool {
    match (t.has(TcpHeader::SYN), t.has(TcpHeader::ACK)) {
        (true, ack) => ack,
        (false, _) => t.src_port < WELL_KNOWN && t.dst_port >= WELL_KNOWN,
    }
}

fn seconds(s: u32) -> i64 {
    i64::from(s.min(SILENCE_MAX_S)) * NS
}

fn second_of(ns: i64) -> i64 {
    ns.div_euclid(NS)
}

/// The first second at which a time has come.
fn due_second(ns: i64) -> i64 {
    ns.div_euclid(NS) + i64::from(ns.rem_euclid(NS) > 0)
}

const NS: i64 = 1_000_000_000;
/// No time-out is longer: a day.
const SILENCE_MAX_S: u32 = 86_400;
const WELL_KNOWN: u16 = 1024;
/// How many conversations ahead memory is called for when they are told.
const DUE_AHEAD: usize = 8;
/// A flood and what answers it has two packets a conversation.
const TWO_WAY_PACKETS: u64 = 3;

#[cfg(test)]
mod tests {
    use super::sample::Sample;
    use super::*;
    use crate::model::{Field, Measure, TunnelKind};

    const SYN: u16 = TcpHeader::SYN;
    const ACK: u16 = TcpHeader::ACK;
    const FIN: u16 = TcpHeader::FIN;

    /// A meter with its batch and book, fed in order of time.
    struct Rig {
        meter: Meter,
        out: FlowBatch,
        book: Book,
        places: Vec<RowPlace>,
        frame: u64,
    }

    impl Rig {
        fn new(change: impl FnOnce(&mut Settings)) -> Self {
            let mut settings = Settings {
                flows_max: 1000,
                ..Settings::default()
            };
            change(&mut settings);
            Rig {
                meter: Meter::new(&settings, 0).with_places(),
                out: FlowBatch::new(),
                book: Book::new(9),
                places: vec![],
                frame: 0,
            }
        }

        fn pass(&mut self, time_ns: i64) {
            self.frame += 1;
            let (m, frame) = (&mut self.meter, self.frame);
            assert!(m.advance(time_ns, frame, &mut self.out, &mut self.book));
        }

        fn put(&mut self, s: &Sample, back: bool) {
            self.pass(s.time_ns);
            let s = Sample {
                frame: self.frame,
                ..s.clone()
            };
            let (out, book) = (&mut self.out, &mut self.book);
            self.meter.packet(&s.view(back), out, book);
        }

        fn finish(&mut self) {
            let (out, book) = (&mut self.out, &mut self.book);
            assert!(self.meter.finish(u64::MAX, out, book));
            assert_eq!(self.meter.flows(), 0);
            self.places.extend(self.meter.take_places());
            assert_eq!(self.places.len(), self.out.len());
            assert_eq!(self.book.count(Outcome::Rows), self.out.len() as u64);
            assert!(self.places.is_sorted());
        }

        /// (start, end, bytes, packets, reason) of each row, times in milliseconds.
        fn rows(&self) -> Vec<(i64, i64, u64, u64, u8)> {
            let c = &self.out.core;
            let row = |i: usize| {
                let (bytes, packets) = (c.bytes[i], c.packets[i]);
                (
                    c.start_ms[i],
                    c.end_ms[i],
                    bytes,
                    packets,
                    c.flow_end_reason[i],
                )
            };
            (0..self.out.len()).map(row).collect()
        }
    }

    #[test]
    fn a_connection_is_two_rows_that_share_an_id() {
        let mut r = Rig::new(|_| {});
        let t = Sample::tcp;
        r.put(&t().at(1000).segment(SYN, 9, 0, b""), false);
        r.put(&t().at(1010).segment(SYN | ACK, 99, 10, b""), true);
        r.put(&t().at(1020).segment(ACK, 10, 100, b"question"), false);
        r.put(&t().at(1030).segment(ACK | FIN, 100, 18, b"answer"), true);
        r.put(&t().at(1040).segment(ACK | FIN, 18, 107, b""), false);
        r.pass(3_039_000_000);
        assert_eq!(r.out.len(), 0, "closed, and late segments may come");
        r.pass(4_000_000_000);
        r.finish();
        assert_eq!(r.rows(), [(1000, 1040, 128, 3, 3), (1010, 1030, 86, 2, 3)]);
        let (a, b) = (r.out.row(0), r.out.row(1));
        let c = &r.out.core;
        assert_eq!(c.src_addr[0], c.dst_addr[1]);
        assert_eq!((c.src_port[0], c.src_port[1]), (40_000, 80));
        assert_eq!((c.tcp_flags[0], c.tcp_flags[1]), (19, 19));
        assert_eq!((c.sampling_interval[0], c.in_if[0]), (1, 1));
        let q = r.out.quality.as_ref().expect("measured");
        assert!(q.conversation[0] != 0 && q.conversation[0] == q.conversation[1]);
        assert_eq!(a.measure(Measure::RttUs), Some(10_000));
        assert_eq!(b.measure(Measure::TtfbUs), Some(10_000));
        assert_eq!(
            (a.measure(Measure::Retransmits), a.measure(Measure::Lost)),
            (Some(0), None)
        );
        assert_eq!(Handshake::from_number(q.handshake[0]), Handshake::Complete);
        assert!(a.has(Field::TcpFlags) && !a.has(Field::OutIf) && !a.has(Field::Vlan));
        assert_eq!(a.provenance().exporter, Addr::from_v4([127, 0, 0, 1]));
    }

    #[test]
    fn silence_and_long_life_are_told_and_a_connection_is_remembered() {
        let mut r = Rig::new(|_| {});
        let t = Sample::tcp;
        r.put(&t().at(1000).segment(ACK, 10, 100, b"a"), false);
        r.put(&t().at(1001).segment(ACK, 100, 11, b"b"), true);
        // silent for more than idle_s, and goes on
        r.put(&t().at(100_000).segment(ACK, 11, 101, b"cc"), false);
        for s in 101..190 {
            let seq = 13 + s as u32;
            r.put(&t().at(s * 1000).segment(ACK, seq, 101, b"d"), false);
        }
        r.finish();
        let reasons: Vec<_> = r.rows().iter().map(|r| r.4).collect();
        assert_eq!(reasons, [1, 1, 2, 4]);
        let q = r.out.quality.as_ref().expect("measured");
        assert!(q.conversation.iter().all(|c| *c == q.conversation[0]));
        let packets: u64 = r.out.core.packets.iter().sum();
        assert_eq!(packets, 92);
    }

    #[test]
    fn rows_of_one_second_stand_in_order_of_their_keys() {
        let mut r = Rig::new(|_| {});
        for n in [9, 3, 7, 200, 5] {
            let mut s = Sample::udp(b"x").at(1000 + i64::from(n));
            s.ends[0].0 = Addr::from_v4([10, 0, 1, n]);
            r.put(&s, false);
        }
        r.pass(100_000_000_000);
        r.finish();
        let order: Vec<_> = r.out.core.src_addr.iter().map(|a| a.0[15]).collect();
        assert_eq!(order, [3, 5, 7, 9, 200]);
        assert!(r.places.iter().all(|p| p.frame == 6 && p.expiry == 32));
    }

    #[test]
    fn a_full_batch_makes_the_meter_wait() {
        let mut r = Rig::new(|s| s.flows_max = 20_000);
        for n in 0..9000u16 {
            let mut s = Sample::udp(b"x").at(1000);
            s.ends[0].1 = 1 + n;
            r.put(&s, false);
        }
        let (m, out, book) = (&mut r.meter, &mut r.out, &mut r.book);
        assert!(!m.advance(100_000_000_000, 9001, out, book));
        assert_eq!(out.len(), crate::model::FLOW_BATCH_ROWS);
        out.clear();
        assert!(m.advance(100_000_000_000, 9001, out, book));
        assert_eq!(out.len() + crate::model::FLOW_BATCH_ROWS, 9000);
        assert_eq!(m.take_places().len(), 9000);
    }

    #[test]
    fn a_flood_does_not_push_out_what_is_established() {
        let mut r = Rig::new(|s| s.flows_max = 1000);
        let t = |n: u32| {
            let mut s = Sample::tcp();
            s.ends[0].0 = Addr::from_v4((0x0a01_0000 + n).to_be_bytes());
            s
        };
        for n in 0..200 {
            r.put(&t(n).at(1000).segment(SYN, 9, 0, b""), false);
            r.put(&t(n).at(1000).segment(SYN | ACK, 99, 10, b""), true);
            r.put(&t(n).at(1000).segment(ACK, 10, 100, b""), false);
        }
        for n in 1000..21_000 {
            r.put(&t(n).at(1100).segment(SYN, 9, 0, b""), false);
            // what the victim answers makes no difference
            r.put(&t(n).at(1100).segment(SYN | ACK, 9, 10, b""), true);
            assert!(r.meter.flows() <= 700);
            r.out.clear();
            r.meter.take_places();
        }
        assert_eq!(r.book.count(Outcome::FlowsEvicted), 0);
        assert_eq!(r.book.count(Outcome::FlowsEvictedDoubtful), 19_500);
        for n in 0..200 {
            r.put(&t(n).at(1200).segment(ACK, 10, 100, b"x"), false);
        }
        assert_eq!(r.meter.flows(), 700);
        assert_eq!(r.out.len(), 0, "all of them were still there");
    }

    #[test]
    fn another_connection_of_the_same_ports_is_another_conversation() {
        let mut r = Rig::new(|_| {});
        let t = Sample::tcp;
        r.put(&t().at(1000).segment(SYN, 9, 0, b""), false);
        r.put(
            &t().at(1001).segment(TcpHeader::RST | ACK, 0, 10, b""),
            true,
        );
        r.put(&t().at(1002).segment(SYN, 5000, 0, b""), false);
        r.finish();
        let q = r.out.quality.as_ref().expect("measured");
        assert_eq!(r.out.len(), 3);
        assert_eq!(q.conversation[0], q.conversation[1]);
        assert_ne!(q.conversation[0], q.conversation[2]);
        let handshake = [Handshake::Refused, Handshake::None, Handshake::Unanswered];
        assert_eq!(q.handshake, handshake.map(|h| h as u8));
        assert_eq!(r.places[0], RowPlace::at(3));
    }

    #[test]
    fn what_the_frame_was_wrapped_in() {
        let mut r = Rig::new(|_| {});
        let mut s = Sample::udp(b"inside");
        s.tos = 0xbb;
        s.envelope.src_mac = Some(0x0102_0304_0506);
        s.envelope.vlans.push(7);
        s.envelope.vlans.push(8);
        s.envelope.tunnels.push(crate::model::Tunnel {
            kind: TunnelKind::Gre,
            id: 5,
            src: Addr::from_v4([192, 0, 2, 1]),
            dst: Addr::from_v4([192, 0, 2, 2]),
        });
        r.put(&s, false);
        r.finish();
        let row = r.out.row(0);
        for (field, there) in [
            (Field::SrcMac, true),
            (Field::DstMac, false),
            (Field::Vlan, true),
            (Field::Dot1qCustomerVlan, true),
            (Field::Mpls, false),
            (Field::TcpFlags, false),
        ] {
            assert_eq!(row.has(field), there, "{}", field.name());
        }
        assert_eq!(row.measure(Measure::CeMarks), Some(1));
        let tunnel = r.out.tunnel.as_ref().expect("there");
        assert_eq!((tunnel.tunnel_kind[0], tunnel.tunnel_id[0]), (2, 5));
    }

    proptest::proptest! {
        #[test]
        fn every_byte_is_told_once_whatever_the_times(
            steps in proptest::collection::vec((0u8..6, 0u8..3, proptest::bool::ANY, 0i64..40_000, 0u16..0x40), 0..300),
            flows_max in 1usize..200,
        ) {
            let mut r = Rig::new(|s| s.flows_max = flows_max);
            let (mut bytes, mut packets, mut latest) = (0, 0, 0);
            for (n, kind, back, ms, flags) in steps {
                let mut s = match kind {
                    0 => Sample::udp(b"four"),
                    1 => Sample::tcp().segment(flags, u32::from(n) * 3, 7, &[7; 3][..usize::from(n) % 4]),
                    _ => Sample::icmp(n, 0),
                };
                s.ends[0].1 = u16::from(n) + 1;
                latest += ms;
                s = s.at(latest);
                bytes += s.bytes.len() as u64 + 20;
                packets += 1;
                r.put(&s, back);
            }
            r.finish();
            proptest::prop_assert_eq!(r.out.core.bytes.iter().sum::<u64>(), bytes);
            proptest::prop_assert_eq!(r.out.core.packets.iter().sum::<u64>(), packets);
        }
    }
}
