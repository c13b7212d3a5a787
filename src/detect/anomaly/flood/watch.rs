//! Destinations that are watched by one kind of input, and who asked or sent something.

use super::super::arena::Arena;
use super::super::keyed::{both, network};
use super::super::sighting::{Burst, BurstKind};
use super::super::{Ctx, Hashes, is_group, reflectors};
use super::judge::How;
use super::victim::Victim;
use crate::model::{Addr, prefetch};

/// Destinations that are watched by one kind of input.
#[derive(Debug)]
pub(super) struct Watch {
    pub hosts: Arena<Addr, Victim>,
    pub short_ms: i64,
    /// How many half-open connections count as one of the setting.
    pub scale: u32,
    /// A bit for each place of `hosts` to which something came since they were judged.
    touched: Vec<u64>,
    /// Who asked or opened something in the second before, and in this one: whoever asks first has no place yet, or a window that ends.
    asks: [Vec<Ask>; 2],
    /// Of them, those for which there was no room.
    pub asks_lost: u64,
    /// What was sent by hosts to whom nothing had come yet, by a hash of their network; of rows.
    strangers: Vec<u32>,
    strange_ms: i64,
    /// Rows of those to whom something came, and all; of the last minutes.
    returns: u64,
    came: u64,
    faded_ms: i64,
}

/// What is known of packets beside what is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct From {
    /// 1 in N packets was seen.
    pub interval: u32,
    /// What is shown of it, where its ends are known.
    pub shown: Option<Row>,
}

/// Of a row what a burst does not have.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub proto: u8,
    pub src_port: u16,
    /// As reported.
    pub packets: u64,
}

/// A question to a service, or the begin of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ask {
    /// Who, and its hash.
    pub who: (Addr, u64),
    /// The hash of what: of a question the service, else the host.
    pub what: u64,
    /// Whether it is the begin of a connection.
    pub opens: bool,
}

impl Watch {
    pub fn new(places: usize, short_ms: i64, scale: u32) -> Self {
        let hosts = Arena::with_door(places);
        Watch {
            touched: vec![0; hosts.capacity().div_ceil(64)],
            hosts,
            short_ms,
            scale,
            asks: Default::default(),
            asks_lost: 0,
            strangers: vec![0; if scale > 1 { STRANGERS } else { 0 }],
            strange_ms: i64::MIN,
            returns: 0,
            came: 0,
            faded_ms: i64::MIN,
        }
    }

    /// How what came is judged.
    pub fn how(&self) -> How {
        How {
            scale: self.scale,
            one_way: self.scale > 1 && !self.sees_both_ways(),
            of_many: self.came >= CAME_MIN,
        }
    }

    /// Forgets by and by that both ways were seen.
    pub fn fade(&mut self, now_ms: i64) {
        if now_ms.saturating_sub(self.faded_ms) >= FADES_MS {
            self.faded_ms = now_ms;
            self.returns /= 2;
            self.came /= 2;
        }
        if now_ms.saturating_sub(self.strange_ms) >= self.short_ms {
            self.strange_ms = now_ms;
            self.strangers.iter_mut().for_each(|n| *n /= 2);
        }
    }

    pub fn bytes(places: usize) -> usize {
        // a bit, and who was touched
        let each = size_of::<(Addr, usize)>() + 1;
        Arena::<Addr, Victim>::bytes(places) + places.next_power_of_two() * each
    }

    pub fn clear(&mut self) {
        self.hosts.clear();
        self.touched.fill(0);
        self.asks.iter_mut().for_each(Vec::clear);
        (self.returns, self.came) = (0, 0);
        self.strangers.fill(0);
        (self.faded_ms, self.strange_ms) = (i64::MIN, i64::MIN);
    }

    /// Calls for what packets of a kind need, first for where it is, then for itself.
    #[inline]
    pub fn call(&self, kind: BurstKind, h: Hashes, found: bool) {
        if !found {
            self.hosts.call_again(h.dst);
            self.hosts.call(h.src);
            return;
        }
        match self.hosts.call_place(h.dst) {
            Some(v) => v.call_for(kind, h.src),
            None => self.hosts.call_room_again(h.dst),
        }
        // what it sends needs no more than the first line
        if let Some(v) = self.hosts.call_place(h.src) {
            prefetch(&v.last_ms);
        }
    }

    #[inline]
    pub fn count(&mut self, ctx: &mut Ctx<'_>, b: &Burst, from: From, h: Hashes) {
        if is_group(&b.dst) || b.src == b.dst {
            self.asks_all(ctx, b, h);
            return;
        }
        self.comes(ctx, b, from, h);
        // who was refused is known by who refused
        if b.kind == BurstKind::Refused {
            return;
        }
        let opens = b.kind == BurstKind::Syn;
        if opens || b.kind == BurstKind::Udp && reflectors::is_reflector(b.dst_port) {
            let what = match opens {
                true => h.dst,
                false => both(h.dst, 0, b.dst_port.into()),
            };
            self.ask(Ask {
                who: (b.src, h.src),
                what,
                opens,
            });
        }
        self.leaves(ctx, b, h);
    }

    /// Counts what comes to a destination.
    #[inline]
    pub fn comes(&mut self, ctx: &mut Ctx<'_>, b: &Burst, from: From, h: Hashes) {
        let place = match b.packets <= FEW_PACKETS {
            true => self.hosts.place_again(ctx.keyed, h.dst, &b.dst),
            false => self.hosts.place(ctx.keyed, h.dst, &b.dst),
        };
        if let Some(place) = place
            && let Some((_, v)) = self.hosts.at(place)
        {
            v.begin(ctx.now_ms, b, self.short_ms);
            v.interval = v.interval.max(from.interval);
            v.arrives(ctx, b, h.src);
            if let Some(shown) = from.shown {
                v.keep(b, shown, from.interval);
            }
            self.touch(place);
            self.came += 1;
        }
    }

    /// What came to a place is to be judged.
    #[inline]
    pub fn touch(&mut self, place: usize) {
        self.touched[place / 64] |= 1 << (place % 64);
    }

    /// A host refused what somebody began.
    pub fn refuses(&mut self, ctx: &Ctx<'_>, b: &Burst, h: Hashes) {
        if let Some(v) = self.hosts.find_at(h.src, &b.src) {
            v.begin(ctx.now_ms, b, self.short_ms);
            v.refuses(b);
        }
    }

    /// Counts what a host sends to which something came: who only sends is no victim, and may be invented.
    #[inline]
    pub fn leaves(&mut self, ctx: &Ctx<'_>, b: &Burst, h: Hashes) {
        if let Some(v) = self.hosts.find_at(h.src, &b.src) {
            // what it asks belongs to the window of the answer
            v.begin(ctx.now_ms, b, self.short_ms);
            v.leaves(b);
            self.returns += 1;
        } else if let Some(sent) = self.strangers.get_mut(stranger(ctx, &b.src)) {
            *sent = sent.saturating_add(b.packets);
        }
    }

    /// What hosts of the network of an address sent within a minute or two to whom nothing had come yet, and perhaps some others.
    pub fn strangers(&self, ctx: &Ctx<'_>, addr: &Addr) -> u64 {
        let sent = self.strangers.get(stranger(ctx, addr));
        sent.map_or(0, |n| u64::from(*n))
    }

    /// Whether what hosts send is seen at all: some that something came to have sent lately.
    pub fn sees_both_ways(&self) -> bool {
        self.returns >= RETURNS_MIN
    }

    pub fn ask(&mut self, ask: Ask) {
        match self.asks[1].len() < ASKS_MAX {
            true => self.asks[1].push(ask),
            false => self.asks_lost += 1,
        }
    }

    /// What was asked is counted of those to whom something came by now, in whatever order and second they were seen.
    pub fn ask_again(&mut self) {
        for ask in self.asks.iter().flatten() {
            if let Some(v) = self.hosts.find_at(ask.who.1, &ask.who.0) {
                v.asks(ask.what, ask.opens);
            }
        }
        self.asks.swap(0, 1);
        self.asks[1].clear();
    }

    /// Who asks by multicast or broadcast gets many answers.
    #[cold]
    fn asks_all(&mut self, ctx: &mut Ctx<'_>, b: &Burst, h: Hashes) {
        if b.kind != BurstKind::Udp || !reflectors::is_reflector(b.dst_port) {
            return;
        }
        let place = self.hosts.place(ctx.keyed, h.src, &b.src);
        if let Some((_, v)) = place.and_then(|place| self.hosts.at(place)) {
            v.begin(ctx.now_ms, b, self.short_ms);
            v.asked_all = true;
        }
    }

    /// What came to the one host of each network that got most, in order of networks.
    pub fn most_of_networks(&mut self, touched: &[(Addr, usize)]) -> Vec<(Addr, u64)> {
        let mut all: Vec<(Addr, u64)> = vec![];
        for (addr, place) in touched {
            let came = self.hosts.at(*place).map_or(0, |(_, v)| v.came());
            match all.last_mut() {
                Some(last) if last.0 == network(addr) => last.1 = last.1.max(came),
                _ => all.push((network(addr), came)),
            }
        }
        all
    }

    /// To whom something came since this was called last, in order of addresses, with their places.
    pub fn take_touched(&mut self) -> Vec<(Addr, usize)> {
        let mut all = vec![];
        for (n, word) in self.touched.iter_mut().enumerate() {
            let mut bits = std::mem::take(word);
            while bits != 0 {
                let place = n * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                all.extend(self.hosts.at(place).map(|(addr, _)| (*addr, place)));
            }
        }
        all.sort_unstable();
        all
    }
}

/// Where what strangers of a network sent is counted.
#[inline]
fn stranger(ctx: &Ctx<'_>, addr: &Addr) -> usize {
    ctx.keyed.addr(&network(addr)) as usize % STRANGERS
}

/// So few packets are no loss where there is no room.
const FEW_PACKETS: u32 = 64;
/// Questions of a second.
pub(super) const ASKS_MAX: usize = 16_384;
/// Networks whose strangers are told apart.
pub(super) const STRANGERS: usize = 8_192;
/// So many rows of those to whom something came show that exporters tell of both ways; half of them are forgotten after so long.
const RETURNS_MIN: u64 = 20;
const FADES_MS: i64 = 300_000;
/// Of fewer rows of sampled packets it says nothing that none of them came back.
const CAME_MIN: u64 = 1_000;
