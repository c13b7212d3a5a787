//! Rules arranged for packets: in the order in which they are tried, and by what has to be seen before one is.

use super::super::buffer::{Buffer, BufferKind};
use super::super::header::{Action, Direction};
use super::super::list::RangeSet;
use super::super::lists::Tuning;
use super::super::number::Number;
use super::super::rule::*;
use super::super::rule_set::RuleSet;
use super::super::settings::Settings;
use super::super::state::{Memory, Names, Rates};
use super::super::transform::Transforms;
use super::addresses::Addresses;
use super::groups::{Gatherings, Groups};
use super::kinds::*;
use super::patterns::{Gathering, Patterns};
use super::ports::Ports;
use super::shelf::{Cache, CacheUse, Shelf};
use super::wanted::Wanted;
use super::wire::{PacketRules, WIRES, Wire, wires};
use std::collections::HashMap;

/// A set of rules that packets can be matched with.
#[derive(Debug)]
pub struct Program {
    /// In the order in which they are tried.
    pub(super) rules: Vec<Compiled>,
    /// Rules about addresses alone.
    pub(super) addresses: Addresses,
    /// Rules about an application protocol and nothing of a packet.
    pub(super) last: Vec<u32>,
    /// Rules about packets, by [`Wire`].
    pub(super) packets: [PacketRules; WIRES],
    /// What is looked for in the streams of TCP.
    /// By direction.
    pub(super) stream: [Groups; 2],
    /// Rules about streams that nothing can be looked for of.
    pub(super) stream_plain: Vec<u32>,
    /// Rules about what decoders and streams raise, by event.
    pub(super) events: HashMap<String, Vec<u32>>,
    /// Ways to look at buffers, by buffer.
    pub(super) views: Vec<Vec<View>>,
    /// Rules about transactions that nothing can be looked for of, by protocol and direction.
    pub(super) plain: HashMap<&'static str, [Vec<u32>; 2]>,
    /// What anybody asks for of what conversations say.
    pub(super) wanted: Wanted,
    /// Some rules let conversations pass for what is in their streams.
    pub(super) passes_streams: bool,
    /// Rules about transactions look at streams, too.
    units_look_at_streams: bool,
    /// Of bits and counters.
    pub(super) names: Names,
    /// Which load of the rules this is, from 1; 0 where they are loaded once.
    pub(super) generation: u64,
    cache_use: CacheUse,
}

/// A rule, and what the engine has to know of it at once.
#[derive(Debug)]
pub(super) struct Compiled {
    pub rule: Rule,
    pub kind: Kind,
    /// What it asks of memory, and changes there.
    pub memory: Memory,
    /// How often it alerts.
    pub rates: Rates,
    /// What is done to the buffer of each group.
    pub transforms: Vec<Transforms>,
    /// The payload of single packets is looked at.
    pub in_packets: bool,
    /// The stream is looked at.
    pub in_streams: bool,
    /// The application protocol must be one of these; none: any.
    pub applications: Vec<&'static str>,
    /// Only streams are to be looked at, and it looks at none: Suricata never raises it.
    pub is_of_no_stream: bool,
    /// What it looks at can grow: it is tried again until that is whole.
    pub grows: bool,
    /// It asks for an application protocol and nothing else of what is sent: once a direction, when that is known.
    pub is_about_protocol: bool,
    /// Places count from the start of what is looked at, or lengths are asked: it is not tried across the edges of chunks.
    pub is_absolute: bool,
}

/// When a rule is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Once a direction of a flow.
    Addresses,
    /// With every packet, or part of a stream.
    Packet,
    /// With every transaction.
    Transaction,
}

/// One way to look at a buffer: through transforms.
#[derive(Debug)]
pub(super) struct View {
    pub transforms: Transforms,
    pub patterns: [Patterns; 2],
}

impl Program {
    /// Arranges the rules of a set, with what was compiled earlier where there is a cache of it.
    ///
    /// # Errors
    /// When there are more contents than a finder takes.
    pub fn new(
        set: &RuleSet,
        tuning: &Tuning,
        settings: &Settings,
        cache: Option<&Cache>,
    ) -> Result<Self, String> {
        Self::named(set, tuning, settings, Names::default(), cache)
    }

    /// What came of the cache.
    pub fn cache_use(&self) -> &CacheUse {
        &self.cache_use
    }

    /// As [`Program::new`], to go on in the place of another: what conversations remember of that keeps its meaning.
    ///
    /// # Errors
    /// As [`Program::new`].
    pub fn following(
        set: &RuleSet,
        tuning: &Tuning,
        settings: &Settings,
        before: Option<&Program>,
        cache: Option<&Cache>,
    ) -> Result<Self, String> {
        let names = before.map(|p| p.names.clone()).unwrap_or_default();
        let generation = before.map_or(0, |p| p.generation) + 1;
        Ok(Program {
            generation,
            ..Self::named(set, tuning, settings, names, cache)?
        })
    }

    /// Which load of the rules this is, from 1; 0 where they are loaded once.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Where the rules of this one are in another.
    pub(super) fn moved_to(&self, other: &Program) -> Vec<Option<u32>> {
        let places = other.rules.iter().enumerate();
        let places: HashMap<&str, u32> = places
            .map(|(n, c)| (c.rule.raw.as_str(), n as u32))
            .collect();
        let rules = self.rules.iter();
        rules
            .map(|c| places.get(c.rule.raw.as_str()).copied())
            .collect()
    }

    fn named(
        set: &RuleSet,
        tuning: &Tuning,
        settings: &Settings,
        mut names: Names,
        cache: Option<&Cache>,
    ) -> Result<Self, String> {
        let mut rules: Vec<Rule> = set.rules.clone();
        rules.sort_by_key(order);
        let (mut making, mut compiled) = (Making::default(), vec![]);
        for (n, rule) in rules.into_iter().enumerate() {
            let n = u32::try_from(n).map_err(|e| e.to_string())?;
            let made = Compiled::new(rule, &mut names, tuning, settings)?;
            making.add(n, &made);
            compiled.push(made);
        }
        let shelf = cache.map_or_else(Shelf::default, Shelf::open);
        making.finish(compiled, names, settings, shelf)
    }

    /// How many rules there are.
    pub fn len(&self) -> usize {
        self.rules.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// All that is looked for, wherever.
    pub(super) fn patterns(&self) -> impl Iterator<Item = &Patterns> {
        let packets = self
            .packets
            .iter()
            .flat_map(|p| p.payload.iter().chain(&p.alien));
        let groups = packets.chain(&self.stream).flat_map(Groups::patterns);
        let views = self.views.iter().flatten().flat_map(|v| &v.patterns);
        groups.chain(views)
    }

    /// Whether any rule may look at a stream in this direction between these ports.
    #[inline]
    pub(super) fn looks_at_stream(&self, direction: usize, ports: [u16; 2]) -> bool {
        self.units_look_at_streams
            || !self.stream_plain.is_empty()
            || self.stream[direction].concern(ports)
    }
}

/// Transforms of a buffer, and what is looked for behind them, by direction.
type ViewInMaking = (Vec<Transform>, [Gathering; 2]);

/// Indexes in the making.
#[derive(Default)]
struct Making {
    addresses: Vec<u32>,
    payload: [[Gatherings; 2]; WIRES],
    alien: [[Gatherings; 2]; WIRES],
    plain: [Vec<u32>; WIRES],
    stream: [Gatherings; 2],
    stream_plain: Vec<u32>,
    events: HashMap<String, Vec<u32>>,
    views: HashMap<usize, Vec<ViewInMaking>>,
    application: HashMap<&'static str, [Vec<u32>; 2]>,
}

impl Making {
    fn add(&mut self, n: u32, c: &Compiled) {
        match c.kind {
            Kind::Addresses => self.addresses.push(n),
            Kind::Packet => self.add_packet(n, c),
            Kind::Transaction => self.add_transaction(n, c),
        }
    }

    fn add_packet(&mut self, n: u32, c: &Compiled) {
        if let Some(event) = event_of(&c.rule) {
            self.events.entry(event.to_owned()).or_default().push(n);
            return;
        }
        let first = c.first().filter(|(g, _)| g.buffer == Buffer::PAYLOAD);
        let looks = c.rule.groups.iter().any(|g| g.buffer == Buffer::PAYLOAD);
        let header = &c.rule.header;
        let add = |groups: &mut [Gatherings; 2], pattern: &[u8]| {
            directions(&c.rule).for_each(|d| groups[d].add(pattern, n, header));
        };
        if looks && c.in_streams {
            match first {
                Some((_, pattern)) => add(&mut self.stream, pattern),
                None => self.stream_plain.push(n),
            }
        }
        for wire in wires(header.protocol) {
            match first {
                Some((_, pattern)) if c.in_packets || *wire != Wire::Tcp => {
                    add(&mut self.payload[*wire as usize], pattern);
                }
                Some((_, pattern)) => add(&mut self.alien[*wire as usize], pattern),
                None => self.plain[*wire as usize].push(n),
            }
        }
    }

    fn add_transaction(&mut self, n: u32, c: &Compiled) {
        let directions = directions(&c.rule);
        let first = c.first().filter(|(g, _)| {
            let kind = g.buffer.info().kind;
            matches!(kind, BufferKind::Application | BufferKind::Many)
        });
        let Some((group, pattern)) = first else {
            let any = [""];
            let names: &[&'static str] = match c.applications.is_empty() {
                true => &any,
                false => &c.applications,
            };
            for name in names {
                let lists = self.application.entry(name).or_default();
                directions.clone().for_each(|d| lists[d].push(n));
            }
            return;
        };
        let views = self.views.entry(group.buffer.place()).or_default();
        let at = views.iter().position(|v| v.0 == group.transforms);
        let at = at.unwrap_or_else(|| {
            views.push((group.transforms.clone(), Default::default()));
            views.len() - 1
        });
        // what a value ends with is told by its end, but that of one that grows
        let at_end = !c.grows && c.is_at_end(group);
        for d in directions {
            let gathering = &mut views[at].1[d];
            match at_end {
                true => gathering.add_end(pattern, n),
                false => gathering.add(pattern, n),
            }
        }
    }

    fn finish(
        self,
        rules: Vec<Compiled>,
        names: Names,
        settings: &Settings,
        mut shelf: Shelf,
    ) -> Result<Program, String> {
        let shelf = &mut shelf;
        let mut views: Vec<Vec<View>> = (0..Buffer::COUNT).map(|_| vec![]).collect();
        for (buffer, made) in self.views {
            for (transforms, [to_server, to_client]) in made {
                let patterns = [to_server.build(shelf)?, to_client.build(shelf)?];
                let view = View {
                    transforms: Transforms::new(&transforms, settings)?,
                    patterns,
                };
                views[buffer].push(view);
            }
        }
        let headers = |list: &[u32]| -> Vec<(u32, RangeSet, RangeSet)> {
            let of = |n: &u32| {
                let header = &rules[*n as usize].rule.header;
                let ends = [&header.source, &header.destination].map(Clone::clone);
                let [a, b] = ends.clone();
                let [c, d] = ends;
                let back = header.direction == Direction::Both;
                [Some((*n, a, b)), back.then_some((*n, d, c))]
            };
            list.iter().flat_map(of).flatten().collect()
        };
        // most bytes go through streams: they are the first to be searched once where that takes room
        let stream = build(self.stream, shelf)?;
        let mut packets: [PacketRules; WIRES] = Default::default();
        let patterns = self.payload.into_iter().zip(self.alien);
        for (at, ((payload, alien), plain)) in patterns.zip(self.plain).enumerate() {
            packets[at] = PacketRules {
                payload: build(payload, shelf)?,
                alien: build(alien, shelf)?,
                plain: Ports::new(plain, |n| &rules[n as usize].rule.header),
            };
        }
        Ok(Program {
            addresses: Addresses::new(headers(&self.addresses)),
            last: (0..)
                .zip(&rules)
                .filter(|(_, c)| is_of_conversation(c))
                .map(|(n, _)| n)
                .collect(),
            packets,
            stream,
            stream_plain: self.stream_plain,
            events: self.events,
            views,
            plain: self.application,
            wanted: Wanted::of(rules.iter().map(|c| &c.rule)),
            passes_streams: rules.iter().any(passes_streams),
            units_look_at_streams: rules.iter().any(looks_at_stream),
            names,
            rules,
            generation: 0,
            cache_use: std::mem::take(shelf).close(),
        })
    }
}

impl Compiled {
    fn new(
        rule: Rule,
        names: &mut Names,
        tuning: &Tuning,
        settings: &Settings,
    ) -> Result<Self, String> {
        let is_application =
            |b: Buffer| matches!(b.info().kind, BufferKind::Application | BufferKind::Many);
        let mut kind = Kind::Packet;
        let buffers = || rule.groups.iter().map(|g| g.buffer);
        if buffers().any(is_application) || rule.tests.iter().any(is_of_transaction) {
            kind = Kind::Transaction;
        } else if is_about_addresses(&rule) {
            kind = Kind::Addresses;
        }
        let (in_packets, in_streams) = where_it_looks(&rule);
        let bodies = [
            Buffer::named("http.request_body"),
            Buffer::named("http.response_body"),
            Buffer::named("file.data"),
        ];
        let transforms = rule.groups.iter();
        let transforms = transforms.map(|g| Transforms::new(&g.transforms, settings));
        Ok(Compiled {
            kind,
            memory: Memory::of(&rule, names),
            rates: Rates::of(&rule, tuning, number_of(&rule)).0,
            transforms: transforms.collect::<Result<_, _>>()?,
            in_packets,
            in_streams,
            applications: applications(&rule),
            is_of_no_stream: rule.flow.stream == Some(true)
                && !buffers().any(|b| b == Buffer::PAYLOAD),
            is_about_protocol: is_about_protocol(&rule),
            grows: buffers().any(|b| bodies.contains(&b)),
            is_absolute: rule.groups.iter().any(|g| g.steps.iter().any(is_absolute)),
            rule,
        })
    }

    /// Whether a value has to end with all of the content that is looked for first.
    fn is_at_end(&self, group: &Group) -> bool {
        let place = self.rule.prefilter.and_then(|(_, s)| group.steps.get(s));
        let Some(Step::Content(content)) = place else {
            return false;
        };
        if matches!(content.fast_pattern, Some(FastPattern::Part(..))) {
            return false;
        }
        let length = content.pattern.len() as u64;
        let is_all = |s: &Step| matches!(s, Step::Length(Number::Equal(n)) if *n == length);
        content.endswith || group.steps.iter().any(is_all)
    }

    /// The content that is looked for first, and its group.
    fn first(&self) -> Option<(&Group, &[u8])> {
        let (g, s) = self.rule.prefilter?;
        let group = &self.rule.groups[g];
        let Step::Content(content) = group.steps.get(s)? else {
            return None;
        };
        if content.negated || content.pattern.is_empty() {
            return None;
        }
        let pattern = match content.fast_pattern {
            Some(FastPattern::Part(from, len)) => {
                let from = usize::from(from);
                content.pattern.get(from..from + usize::from(len))?
            }
            _ => &content.pattern,
        };
        Some((group, pattern))
    }
}

fn build(
    [to_server, to_client]: [Gatherings; 2],
    shelf: &mut Shelf,
) -> Result<[Groups; 2], String> {
    Ok([to_server.build(shelf)?, to_client.build(shelf)?])
}

/// The directions that a rule is about.
fn directions(rule: &Rule) -> std::ops::Range<usize> {
    match rule.flow.direction {
        None => 0..2,
        Some(FlowDirection::ToServer) => 0..1,
        Some(FlowDirection::ToClient) => 1..2,
    }
}

/// Whether a rule about transactions looks at the stream beside.
fn looks_at_stream(c: &Compiled) -> bool {
    let mut groups = c.rule.groups.iter();
    c.kind == Kind::Transaction && groups.any(|g| g.buffer == Buffer::PAYLOAD)
}

/// Whether a rule lets conversations pass for what is in a stream.
fn passes_streams(c: &Compiled) -> bool {
    let is_pass = c.rule.header.action == Action::Pass && c.kind == Kind::Packet;
    let mut groups = c.rule.groups.iter();
    is_pass && c.in_streams && groups.any(|g| g.buffer == Buffer::PAYLOAD)
}

/// A number that a rule keeps as long as its text: FNV-1a with 64 bits (Fowler, Noll and Vo).
fn number_of(rule: &Rule) -> u64 {
    let step = |h: u64, b: u8| (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3);
    rule.raw.bytes().fold(0xcbf2_9ce4_8422_2325, step)
}

/// Passes before alerts; who sets bits before who asks, those of `xbits` behind who asks; the graver before the others; then as the files have them.
fn order(rule: &Rule) -> (u8, u8, bool, u32) {
    let action = match rule.header.action {
        Action::Pass => 0,
        Action::Drop => 1,
        Action::Reject => 2,
        Action::Alert => 3,
    };
    let [asks, changes] = rule.xbits;
    let bits = match (rule.changes.is_empty(), rule.asks.is_empty()) {
        _ if asks || changes => 3,
        (false, true) => 0,
        (false, false) => 1,
        (true, false) => 2,
        (true, true) => 3,
    };
    let priority = rule.about.priority.unwrap_or(PRIORITY);
    (action, bits, changes && !asks, priority)
}

/// Of rules that say none.
pub(super) const PRIORITY: u32 = 3;
