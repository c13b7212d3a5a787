//! What comes to one destination, and when that is a flood.

use super::super::arena::Held;
use super::super::keyed::{Crowd, Distinct, both};
use super::super::sighting::{Burst, BurstKind};
use super::super::{Ctx, reflectors};
use super::grow;
use super::half_open::SAMPLES_MIN;
use super::spans::Spans;
use super::told::{Class, Told};
use super::watch::Row;
use crate::model::{Addr, TcpHeader, prefetch};

/// What comes to a destination. Lines of the cache are what counts here: in the first one is what it takes to count connections and what is sent, with
/// the next two what says how much would be lost with it; then comes what nearly every packet changes. What few packets need lies behind, and is
/// not touched where nothing was written there.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub(super) struct Victim {
    pub last_ms: i64,
    pub short_began_ms: i64,
    pub long_began_ms: i64,
    pub first_ms: i64,
    pub sent: u64,
    pub completed: u64,
    pub packets: u64,
    pub syns: u64,
    /// Within the long window: answers of services, and questions to them.
    pub reflected: u64,
    pub syn_acks: u64,
    /// Segments of TCP that belong to no connection: ACK, RST, FIN.
    pub segments: [u64; 3],
    /// Of all, those of rows of a few packets without data, or of no service.
    pub lone: u64,
    /// Bytes of the smallest of `top`, once all of them are taken.
    pub least: u64,
    pub interval: u32,
    /// Which of what lies behind was written to.
    used: u16,
    /// It asked all at once, by multicast or broadcast: whoever answers was asked.
    pub asked_all: bool,
    /// Of `some`, those that there are.
    named: u8,
    pub told: Told,
    pub bytes: u64,
    pub spans: Spans,
    pub sources: Crowd,
    pub udp_ports: Distinct<4>,
    /// Of `syns`, those of rows that show that the SYN was sent again.
    pub again: u64,
    pub syn_ports: Distinct<2>,
    /// Connections that it refused, in this window and in the one before: exporters tell of it sooner than of what was refused.
    pub refused: [u64; 2],
    /// Of `packets`, those of ICMP.
    pub icmp: u64,
    /// Of `packets`, those that hosts inside send to who collects logs and the like.
    pub collected: u64,
    pub leases: u64,
    pub reflected_bytes: u64,
    /// Of `packets`, those of services that reflect.
    pub answers: u64,
    /// Connections that it tried to open itself.
    pub tried: u64,
    /// Connections that it went to answer.
    pub answered: u64,
    pub ports: [(u16, u64); 3],
    pub syn_sources: Crowd,
    /// Sources of earlier windows, of this long window and of the one before.
    pub known: [Distinct<8>; 2],
    pub reflectors: Distinct<8>,
    pub acking: Distinct<8>,
    /// Services that it asked, in this long window and in the one before.
    asked: [Distinct<8>; 2],
    /// Hosts that it opened connections to.
    pub opened: Distinct<8>,
    /// Of a network: who is hit.
    hosts: Distinct<4>,
    /// The first sources.
    some: [Addr; SOME_MAX],
    /// The largest flows whose ends are known.
    pub top: [Shown; TOP],
}

/// A flow as it is kept until it is shown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shown {
    pub src: Addr,
    pub src_port: u16,
    pub dst_port: u16,
    pub proto: u8,
    /// What it is a part of.
    pub class: Class,
    pub packets: u64,
    pub bytes: u64,
    pub start_ms: i64,
}

impl Held for Victim {
    fn suspicion(&self) -> u32 {
        let told = self.told.handle.is_some();
        let mut seen = self.came();
        grow(&mut seen, self.reflected.saturating_add(self.syn_acks));
        if told {
            u32::MAX
        } else {
            seen.min(1 << 30) as u32
        }
    }

    fn last_ms(&self) -> i64 {
        self.last_ms
    }
    fn is_light(&self) -> bool {
        self.suspicion() < 100
    }
    fn forget(&mut self) {
        self.begin_short();
        self.refused = [0; 2];
        self.begin_long();
        if self.used & (ASKED_BEFORE | KNOWN_BEFORE) != 0 {
            self.begin_long();
        }
        (self.short_began_ms, self.long_began_ms) = (0, 0);
        (self.first_ms, self.last_ms) = (0, 0);
        self.told = Default::default();
    }
    fn call_weight(&self) {
        prefetch(&self.last_ms);
        prefetch(&self.reflected);
        prefetch(&self.told);
    }
}

impl Victim {
    /// Calls for what counting this needs, from a source of this hash.
    #[inline]
    pub fn call_for(&self, kind: BurstKind, source: u64) {
        prefetch(&self.last_ms);
        prefetch(&self.reflected);
        match kind {
            BurstKind::Completed | BurstKind::Refused => return,
            BurstKind::Syn => prefetch(&self.syn_ports),
            BurstKind::SynAck => {}
            BurstKind::Segment => prefetch(&self.bytes),
            BurstKind::Udp | BurstKind::Icmp | BurstKind::Other => {
                prefetch(&self.bytes);
                prefetch(&self.udp_ports);
            }
        }
        prefetch(&self.spans);
        self.sources.call(source);
    }

    /// The first sources.
    pub fn named(&self) -> &[Addr] {
        &self.some[..usize::from(self.named)]
    }

    /// Adds a source, if it is one of the first.
    #[inline]
    pub fn meet(&mut self, addr: Addr) {
        if let Some(place) = self.some.get_mut(usize::from(self.named)) {
            *place = addr;
            self.named += 1;
        }
    }

    /// Starts windows anew that are over, unless what is in them waits.
    #[inline]
    pub fn begin(&mut self, now_ms: i64, b: &Burst, short_ms: i64) {
        let short = now_ms.saturating_sub(self.short_began_ms);
        if short >= short_ms && self.told.waits_ms == 0 {
            self.remember();
            self.begin_short();
            if short >= 2 * short_ms {
                self.refused = [0; 2];
            }
            self.short_began_ms = now_ms;
            (self.first_ms, self.last_ms) = (b.first_ms, b.last_ms);
        }
        let long = now_ms.saturating_sub(self.long_began_ms);
        if long >= LONG_MS && self.told.waits_ms == 0 {
            self.begin_long();
            if long >= 2 * LONG_MS {
                self.begin_long();
            }
            self.long_began_ms = now_ms;
        }
        self.first_ms = self.first_ms.min(b.first_ms);
        self.last_ms = self.last_ms.max(b.last_ms);
    }

    /// Sources of the short window are known from now on.
    fn remember(&mut self) {
        if self.used & SYNS_USED != 0 {
            self.used |= KNOWN_USED;
            add(&mut self.known[0], self.sources.bits());
        }
    }

    /// Forgets what is of the short window.
    fn begin_short(&mut self) {
        (self.syns, self.completed) = (0, 0);
        (self.packets, self.bytes, self.icmp) = (0, 0, 0);
        (self.sent, self.leases, self.interval) = (0, 0, 0);
        self.collected = 0;
        self.udp_ports = Distinct::default();
        self.segments = [0; 3];
        (self.lone, self.answers, self.tried) = (0, 0, 0);
        (self.answered, self.again) = (0, 0);
        self.refused = [0, self.refused[0]];
        self.forget_fresh([Class::Syn, Class::Leases, Class::Segments, Class::Volume]);
        self.spans = Spans::default();
        self.sources = Crowd::default();
        self.named = 0;
        if self.take_used(TOP_USED) {
            (self.top, self.least) = (Default::default(), 0);
        }
        if self.take_used(SYNS_USED) {
            self.syn_ports = Distinct::default();
            self.syn_sources = Crowd::default();
        }
        if self.take_used(HOSTS_USED) {
            self.hosts = Distinct::default();
        }
    }

    /// What came before belongs to no flood.
    fn forget_fresh<const N: usize>(&mut self, classes: [Class; N]) {
        if self.told.handle.is_none() {
            let fresh = &mut self.told.fresh;
            classes.iter().for_each(|c| fresh[*c as usize] = 0);
        }
    }

    /// Whether something was written there, which is forgotten now.
    fn take_used(&mut self, bit: u16) -> bool {
        let is_used = self.used & bit != 0;
        self.used &= !bit;
        is_used
    }

    /// A host of this network, by its hash, is hit.
    pub fn hit(&mut self, host: u64) {
        self.used |= HOSTS_USED;
        self.hosts.add(host);
    }

    /// How many hosts of this network are hit, about.
    pub fn hosts_hit(&self) -> u32 {
        self.hosts.count()
    }

    /// Adds the services that reflect on a host of this network.
    pub fn reflect_on(&mut self, host: &Victim) {
        if host.used & REFLECTORS_USED != 0 {
            self.used |= REFLECTORS_USED;
            add(&mut self.reflectors, &host.reflectors);
        }
    }

    /// Makes it a network of whose hosts nothing was added up yet.
    pub fn forget_hosts(&mut self) {
        self.used &= !(HOSTS_USED | REFLECTORS_USED);
        self.hosts = Distinct::default();
        self.reflectors = Distinct::default();
        self.sources = Crowd::default();
        self.spans = Spans::default();
        self.named = 0;
    }

    /// Forgets what is of the long one.
    fn begin_long(&mut self) {
        (self.reflected, self.reflected_bytes, self.syn_acks) = (0, 0, 0);
        self.forget_fresh([Class::Udp, Class::SynAck]);
        self.asked_all = false;
        self.ports = Default::default();
        if self.take_used(REFLECTORS_USED) {
            self.reflectors = Distinct::default();
        }
        if self.take_used(ACKING_USED) {
            self.acking = Distinct::default();
        }
        if self.take_used(OPENED_USED) {
            self.opened = Distinct::default();
        }
        // what is remembered for one window more
        if self.used & (ASKED_USED | ASKED_BEFORE) != 0 {
            self.asked = [Distinct::default(), self.asked[0]];
            self.pass_on(ASKED_USED, ASKED_BEFORE);
        }
        if self.used & (KNOWN_USED | KNOWN_BEFORE) != 0 {
            self.known = [Distinct::default(), self.known[0]];
            self.pass_on(KNOWN_USED, KNOWN_BEFORE);
        }
    }

    /// What was written to now was written to before.
    fn pass_on(&mut self, now: u16, before: u16) {
        match self.take_used(now) {
            true => self.used |= before,
            false => self.used &= !before,
        }
    }

    /// Counts what comes; `source` is the hash of who sends it.
    pub fn arrives(&mut self, ctx: &Ctx<'_>, b: &Burst, source: u64) {
        let n = u64::from(b.packets);
        let mut fresh = |class: Class| grow(&mut self.told.fresh[class as usize], n);
        match b.kind {
            BurstKind::Completed => {
                // a row is of one connection, and sampled it stands for as many
                let one = match self.interval {
                    0 | 1 => n,
                    interval => interval.into(),
                };
                grow(&mut self.completed, one);
                // one sampled segment without data: whether of a connection, what goes back tells
                if self.interval <= 1 || b.bytes > n.saturating_mul(SMALL) {
                    return;
                }
                self.count_segments(b);
            }
            BurstKind::Refused => return grow(&mut self.refused[0], n),
            BurstKind::Segment => self.count_segments(b),
            BurstKind::Syn => {
                fresh(Class::Syn);
                grow(&mut self.syns, n);
                if b.src_port != 0 {
                    grow(&mut self.again, n);
                }
                grow(&mut self.lone, n);
                self.used |= SYNS_USED;
                self.syn_sources.add(source);
                self.syn_ports.add(ctx.keyed.number(b.dst_port.into()));
            }
            BurstKind::SynAck => {
                fresh(Class::SynAck);
                grow(&mut self.syn_acks, n);
                self.used |= ACKING_USED;
                self.acking.add(source);
            }
            BurstKind::Udp | BurstKind::Icmp | BurstKind::Other => {
                fresh(Class::Volume);
                let pings = if b.kind == BurstKind::Icmp { n } else { 0 };
                grow(&mut self.icmp, pings);
                if b.kind == BurstKind::Udp
                    && reflectors::is_one_way(b.dst_port)
                    && ctx.zones.is_inside(&b.src)
                {
                    grow(&mut self.collected, n);
                }
                self.udp_ports.add(ctx.keyed.number(b.dst_port.into()));
                grow(&mut self.packets, n);
                grow(&mut self.bytes, b.bytes);
                if n <= LONE && b.src_port == 0 {
                    grow(&mut self.lone, n);
                }
                if b.kind == BurstKind::Udp && b.src_port != 0 {
                    self.count_answer(b, source);
                }
                if b.kind == BurstKind::Udp && b.dst_port == DHCP_SERVER {
                    grow(&mut self.told.fresh[Class::Leases as usize], n);
                    self.leases += 1;
                }
            }
        }
        self.spans.add(b.first_ms, n);
        if self.sources.add(source) {
            self.meet(b.src);
        }
    }

    /// When what came began to be so much.
    pub fn rose_ms(&self) -> i64 {
        self.spans.rose_ms(self.first_ms, self.last_ms)
    }

    /// Seconds since then.
    pub fn risen_s(&self) -> f64 {
        let risen_ms = self.last_ms.saturating_sub(self.rose_ms());
        (risen_ms as f64 / 1000.0).max(1.0)
    }

    /// Counts what a service sent.
    fn count_answer(&mut self, b: &Burst, source: u64) {
        let n = u64::from(b.packets);
        grow(&mut self.told.fresh[Class::Udp as usize], n);
        grow(&mut self.reflected, n);
        grow(&mut self.answers, n);
        grow(&mut self.reflected_bytes, b.bytes);
        self.used |= REFLECTORS_USED;
        self.reflectors.add(both(source, 0, b.src_port.into()));
        self.count_port(b.src_port, n);
    }

    fn count_segments(&mut self, b: &Burst) {
        let (n, flags) = (u64::from(b.packets), b.src_port);
        let what = match flags {
            f if f & TcpHeader::RST != 0 => 1,
            f if f & TcpHeader::FIN != 0 => 2,
            _ => 0,
        };
        grow(&mut self.told.fresh[Class::Segments as usize], n);
        grow(&mut self.segments[what], n);
        if n <= LONE && flags & TcpHeader::PSH == 0 {
            grow(&mut self.lone, n);
        }
    }

    /// Keeps a flow whose ends are known, if it is one of the largest.
    #[inline]
    pub fn keep(&mut self, b: &Burst, row: Row, interval: u32) {
        let bytes = b.bytes / u64::from(interval.max(1));
        if bytes <= self.least {
            return;
        }
        let class = match b.kind {
            BurstKind::Syn => Class::Syn,
            BurstKind::SynAck => Class::SynAck,
            BurstKind::Segment => Class::Segments,
            BurstKind::Completed if self.interval > 1 => Class::Segments,
            // of a connection
            BurstKind::Completed | BurstKind::Refused => return,
            BurstKind::Udp | BurstKind::Icmp | BurstKind::Other => Class::Volume,
        };
        let smallest = |top: &[Shown; TOP]| {
            let at = (0..TOP).min_by_key(|&at| top[at].bytes);
            at.unwrap_or(0)
        };
        self.used |= TOP_USED;
        self.top[smallest(&self.top)] = Shown {
            src: b.src,
            src_port: row.src_port,
            dst_port: b.dst_port,
            proto: row.proto,
            class,
            packets: row.packets,
            bytes,
            start_ms: b.first_ms,
        };
        self.least = self.top[smallest(&self.top)].bytes;
    }

    /// Counts what it sends.
    pub fn leaves(&mut self, b: &Burst) {
        match b.kind {
            BurstKind::Syn => return grow(&mut self.tried, b.packets.into()),
            BurstKind::SynAck => grow(&mut self.answered, b.packets.into()),
            _ => {}
        }
        grow(&mut self.sent, b.packets.into());
    }

    /// Counts a connection that it refused.
    pub fn refuses(&mut self, b: &Burst) {
        grow(&mut self.refused[0], b.packets.into());
    }

    /// It asked a service, or opened a connection to a host, of this hash.
    pub fn asks(&mut self, what: u64, opens: bool) {
        let (bits, bit) = match opens {
            true => (&mut self.opened, OPENED_USED),
            false => (&mut self.asked[0], ASKED_USED),
        };
        self.used |= bit;
        bits.add(what);
    }

    /// The ports that most came from (Misra and Gries, 1982).
    fn count_port(&mut self, port: u16, n: u64) {
        let known = self.ports.iter_mut().find(|p| p.0 == port && p.1 > 0);
        match known {
            Some(p) => grow(&mut p.1, n),
            None => match self.ports.iter_mut().find(|p| p.1 == 0) {
                Some(free) => *free = (port, n),
                None => self
                    .ports
                    .iter_mut()
                    .for_each(|p| p.1 = p.1.saturating_sub(n)),
            },
        }
    }

    /// How many services it asked, about.
    pub fn asked(&self) -> u32 {
        let [mut all, before] = self.asked;
        add(&mut all, &before);
        all.count()
    }

    /// Whether nothing shows that it answers, asks or opens anything.
    pub fn is_mute(&self) -> bool {
        let own = [self.sent, self.tried, self.completed];
        own.iter().chain(&self.refused).all(|n| *n == 0) && self.asked() + self.opened.count() == 0
    }

    /// The port from which most answers came, and how many.
    pub fn most(&self) -> Option<(u16, u64)> {
        let most = self.ports.iter().max_by_key(|p| (p.1, p.0));
        most.copied().filter(|p| p.1 > 0)
    }

    /// Packets of all kinds that floods are made of.
    pub fn came(&self) -> u64 {
        let both = self.packets.saturating_add(self.syns);
        both.saturating_add(self.all_segments())
    }

    /// Segments of TCP that belong to no connection.
    pub fn all_segments(&self) -> u64 {
        self.segments.iter().fold(0, |a, b| a.saturating_add(*b))
    }

    pub fn seconds(&self) -> f64 {
        (self.last_ms.saturating_sub(self.first_ms) as f64 / 1000.0).max(1.0)
    }

    /// Packets a second that are no TCP.
    pub fn rate(&self) -> f64 {
        self.packets as f64 / self.seconds()
    }

    /// What part of a count is sure, where only one packet in so many was seen: 1 where all were.
    pub fn sure(&self, counted: u64) -> f64 {
        let interval = u64::from(self.interval);
        if interval <= 1 {
            return 1.0;
        }
        let seen = counted as f64 / interval as f64;
        if seen < SAMPLES_MIN {
            return 0.0;
        }
        1.0 - 2.0 / seen.sqrt()
    }

    /// By how much two counts of hosts may differ by chance: nothing where all packets were seen.
    pub fn chance(&self, one: u32, other: u32) -> u32 {
        match self.interval {
            0 | 1 => 0,
            _ => (3.0 * (f64::from(one) + f64::from(other)).sqrt()) as u32,
        }
    }

    pub fn fresh_in(&self, now_ms: i64) -> bool {
        now_ms.saturating_sub(self.last_ms) < 5_000
    }
}

/// Adds what others are.
pub(super) fn add(all: &mut Distinct<8>, more: &Distinct<8>) {
    let bits = all.0.iter_mut().zip(more.0);
    bits.for_each(|(a, b)| *a |= b);
}

const TOP_USED: u16 = 1;
const SYNS_USED: u16 = 1 << 1;
const HOSTS_USED: u16 = 1 << 2;
const REFLECTORS_USED: u16 = 1 << 3;
const ACKING_USED: u16 = 1 << 4;
const ASKED_USED: u16 = 1 << 5;
const ASKED_BEFORE: u16 = 1 << 6;
const OPENED_USED: u16 = 1 << 7;
const KNOWN_USED: u16 = 1 << 8;
const KNOWN_BEFORE: u16 = 1 << 9;
/// The window of answers that nobody asked for.
const LONG_MS: i64 = 60_000;
/// So many ports of few sources are a scan.
pub(super) const SCANNED_PORTS: u32 = 8;
/// Flows that are kept to be shown.
pub(super) const TOP: usize = 3;
/// Sources that are named.
const SOME_MAX: usize = 16;
/// Bytes of a segment without data, with all its options.
pub(super) const SMALL: u64 = 100;
/// Packets of a row that has less than a connection needs.
pub(super) const LONE: u64 = 3;
/// Streams have a port or two: so many are none.
pub(super) const SCATTERED: u32 = 64;
/// After so long it is another flood.
pub(super) const GOES_ON_MS: i64 = 300_000;
/// Clients of DHCP that ask within the window: pools have hundreds, and relays ask for them from one address.
pub(super) const LEASES: u64 = 100;
const DHCP_SERVER: u16 = 67;
/// From so many on, sources are many.
pub(super) const MANY_SOURCES: u32 = 20;
pub(super) const CARPET_HOSTS: u32 = 16;
