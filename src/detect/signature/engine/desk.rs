//! Which rules match what is looked at, and which of them alert.

use super::super::header::{Action, Protocol};
use super::super::matcher::Matcher;
use super::super::settings::{EngineSettings, Settings};
use super::super::state::{FlowState, Moment, Shared, Verdict};
pub(super) use super::about::At;
use super::about::{About, UDP, flow_scene, looks_at_payload};
use super::alert::Alert;
use super::carried::Carried;
use super::costs::Costs;
use super::flow::Flow;
use super::packet::Headers;
use super::patterns::Marks;
use super::program::{Compiled, Kind, Program};
use super::raw::{Chunk, Raw, Spare};
use super::said;
use super::scene::{Held, Payload, Scene, Trial};
use super::unit::Unit;
use super::wire::Wire;
use crate::ledger::{Outcome, Tally};
use crate::model::{PacketView, Transport};
use std::sync::Arc;

/// What rules are tried with, apart from flows.
#[derive(Debug)]
pub(super) struct Desk {
    pub program: Arc<Program>,
    shared: Arc<Shared>,
    marks: Marks,
    list: Vec<u32>,
    /// Rules of the list that matched.
    found: Vec<u32>,
    /// Rules that matched the chunk which is looked at with a packet: they do not alert for that, too.
    pub streamed: Vec<u32>,
    pub trial: Trial,
    hits: Vec<Hit>,
    pub alerts: Vec<Alert>,
    alert_bytes_max: usize,
    /// The hits of the first reading, while another one is looked at: that changes nothing.
    first: Option<Vec<Hit>>,
    pub costs: Costs,
    /// The packet that is looked at carries another one.
    pub is_tunnel: bool,
}

/// A rule that matched, before it is known whether it alerts.
#[derive(Debug)]
struct Hit {
    rule: u32,
    alert: Alert,
    /// It was found in a stream or a transaction, so that it is about the whole conversation.
    is_of_flow: bool,
}

impl Desk {
    /// With nothing found.
    pub fn new(
        program: Arc<Program>,
        shared: Arc<Shared>,
        rules: &Settings,
        settings: &EngineSettings,
    ) -> Self {
        Desk {
            costs: Costs::new(program.len(), settings),
            marks: Marks::new(program.len(), program.patterns()),
            program,
            shared: shared.clone(),
            list: vec![],
            found: vec![],
            streamed: vec![],
            trial: Trial::new(Matcher::new(rules), shared.clone()),
            hits: vec![],
            alerts: vec![],
            alert_bytes_max: settings.alert_bytes_max,
            first: None,
            is_tunnel: false,
        }
    }

    /// Goes on with other rules.
    pub fn replace(
        &mut self,
        program: Arc<Program>,
        moved: &[Option<u32>],
        settings: &EngineSettings,
    ) {
        self.costs = self.costs.moved(moved, program.len(), settings);
        self.marks = Marks::new(program.len(), program.patterns());
        self.list.clear();
        self.found.clear();
        self.program = program;
    }

    /// Tries the rules about packets and addresses.
    pub fn packet(
        &mut self,
        p: &PacketView<'_>,
        flow: Option<(&mut Flow, &At<'_>)>,
        tally: &mut Tally,
    ) {
        // a fragment is looked at as such: its ports are those of what it is a part of
        let ports = match p.fragment {
            Some(_) => (0, 0),
            None => p.ports(),
        };
        let ports = [ports.0, ports.1];
        // of other protocols, and of fragments, rules see headers alone
        let has_payload = matches!(p.proto, 1 | 6 | 17 | 58 | 132) && p.fragment.is_none();
        let encrypted = flow.as_ref().is_some_and(|(f, _)| f.is_encrypted);
        let looks = has_payload && !encrypted && !self.is_tunnel;
        self.mark_packet(p, ports, flow.as_ref().map(|(f, at)| (&**f, *at)), looks);
        if self.marks.is_empty() {
            if let Some((flow, at)) = flow {
                flow.addresses_done[at.direction] = true;
            }
            return;
        }
        self.try_packet(p, ports, flow, (looks, &[]), tally);
    }

    /// Tries the rules about what was raised of a packet.
    pub fn raised(
        &mut self,
        p: &PacketView<'_>,
        flow: Option<(&mut Flow, &At<'_>)>,
        events: &[&'static str],
        tally: &mut Tally,
    ) {
        self.marks.clear();
        let rules = events.iter().filter_map(|e| self.program.events.get(*e));
        rules.flatten().for_each(|n| self.marks.mark(*n));
        if self.marks.is_empty() {
            return;
        }
        let ports = p.ports();
        self.try_packet(p, [ports.0, ports.1], flow, (true, events), tally);
    }

    /// Tries the rules that are marked with a packet.
    fn try_packet(
        &mut self,
        p: &PacketView<'_>,
        ports: [u16; 2],
        flow: Option<(&mut Flow, &At<'_>)>,
        (looks, events): (bool, &[&'static str]),
        tally: &mut Tally,
    ) {
        let program = self.program.clone();
        let mut scene = Scene {
            addrs: [p.src, p.dst],
            ports,
            proto: p.proto,
            version: p.version,
            direction: None,
            established: false,
            is_rebuilt: p.frames > 1,
            application: "",
            is_silent: false,
            packet: Some(Headers { p }),
            payload: match looks && p.payload_len > 0 {
                true => Payload::Packet(p.payload()),
                false => Payload::None,
            },
            unit: None,
            other: None,
            told: [None; 2],
            counts: None,
            events,
            is_decided: false,
            is_told: false,
            time_ns: p.time_ns,
        };
        let (mut in_stream, mut state) = (false, None);
        let counts;
        let mut about = About::default();
        if let Some((flow, at)) = flow {
            flow.addresses_done[at.direction] = true;
            counts = flow.counts;
            scene.direction = Some(at.direction);
            scene.established = at.established;
            scene.application = flow.application;
            scene.is_silent = flow.silent[at.direction];
            (scene.is_decided, scene.is_told) = (flow.is_decided(), at.is_told);
            scene.counts = Some(&counts);
            in_stream = at.in_stream;
            about = About::of(flow, p.frame);
            if p.proto == UDP
                && let Some(talk) = flow.talk.as_deref()
            {
                scene.told = talk.transaction(at.direction);
                about.transaction = scene.told[0].map(|u| u.transaction);
            }
            state = Some(&mut flow.state);
        }
        about.frame = p.frame;
        self.collect();
        self.run(&program, &scene, about, state, in_stream, tally);
    }

    /// Marks the rules that may match a packet; `looks` says whether they see its payload.
    fn mark_packet(
        &mut self,
        p: &PacketView<'_>,
        ports: [u16; 2],
        flow: Option<(&Flow, &At<'_>)>,
        looks: bool,
    ) {
        let (program, marks) = (&self.program, &mut self.marks);
        let rules = &program.packets[Wire::of(p.proto) as usize];
        marks.clear();
        if flow.is_none_or(|(flow, at)| !flow.addresses_done[at.direction]) {
            let found = program.addresses.of(p.src, p.dst);
            found.for_each(|n| marks.mark(n));
        }
        if looks && p.payload_len > 0 {
            let direction = flow.map_or(0, |(_, at)| at.direction);
            rules.payload[direction].scan(p.payload(), ports, marks);
            if !flow.is_some_and(|(_, at)| at.in_stream) {
                rules.alien[direction].scan(p.payload(), ports, marks);
            }
        }
        let plain = rules.plain.of(ports[1]).iter();
        plain.for_each(|n| marks.mark(*n));
    }

    /// Tries the rules about streams with the chunk of a direction. A rule matches a chunk once.
    pub fn stream(
        &mut self,
        flow: &mut Flow,
        raw: &mut Raw,
        direction: usize,
        established: bool,
        tally: &mut Tally,
    ) {
        let (groups, ports) = (&self.program.stream[direction], flow.ports(direction));
        self.marks.clear();
        groups.scan(raw.unseen(groups.longest(ports)), ports, &mut self.marks);
        let plain = &self.program.stream_plain;
        if self.marks.is_empty() && plain.is_empty() && !raw.has_rules() {
            raw.looked();
            return;
        }
        let mut rules = raw.take();
        rules.found.iter().for_each(|n| self.marks.mark(*n));
        rules.found.clear();
        rules.found.extend_from_slice(self.marks.sorted());
        plain.iter().for_each(|n| self.marks.mark(*n));
        let program = self.program.clone();
        let chunk = raw.chunk();
        let counts = flow.counts;
        let application = flow.heard;
        let talk = flow.talk.take();
        let told = talk
            .as_ref()
            .map_or([None; 2], |t| t.transaction(direction));
        let scene = Scene {
            application,
            told,
            payload: Payload::Stream(chunk),
            ..flow_scene(flow, direction, established, &counts)
        };
        let mut about = About::of(flow, flow.last_frame);
        about.application = application;
        about.transaction = told[0].map(|u| u.transaction);
        self.collect();
        self.list.retain(|n| !rules.matched.contains(n));
        self.run(&program, &scene, about, Some(&mut flow.state), false, tally);
        flow.talk = talk;
        self.streamed.extend_from_slice(&self.found);
        rules.matched.append(&mut self.found);
        raw.put(rules);
    }

    /// Tries the rules about an application protocol alone, once more when a connection is over that was not closed.
    pub fn last(&mut self, flow: &mut Flow, direction: usize, tally: &mut Tally) {
        let program = self.program.clone();
        let (counts, application) = (flow.counts, flow.heard);
        let scene = Scene {
            application,
            // what Suricata makes up for it is part of no established connection
            ..flow_scene(flow, direction, false, &counts)
        };
        let mut about = About::of(flow, flow.last_frame);
        about.application = application;
        self.marks.clear();
        program.last.iter().for_each(|n| self.marks.mark(*n));
        self.collect();
        self.run(&program, &scene, about, Some(&mut flow.state), false, tally);
    }

    /// From here on another reading is looked at.
    pub fn begin_other(&mut self) {
        self.first = Some(std::mem::take(&mut self.hits));
        self.trial.is_other = true;
    }

    /// That is over: what would alert in it. Passes, thresholds and suppressions are not asked.
    pub fn end_other(&mut self) -> Vec<Alert> {
        let first = self.first.take().unwrap_or_default();
        self.trial.is_other = false;
        let hits = std::mem::replace(&mut self.hits, first);
        let alerts = hits.into_iter().map(|h| h.alert);
        alerts.filter(|a| a.action != Action::Pass).collect()
    }

    /// As [`Desk::stream`], of another reading.
    pub fn other_stream(
        &mut self,
        flow: &mut Flow,
        chunk: Chunk<'_>,
        direction: usize,
        established: bool,
        tally: &mut Tally,
    ) {
        let mut raw = Raw::default();
        raw.push(chunk.start, 0, chunk.bytes, &mut Spare::default());
        if raw.is_fresh() {
            self.stream(flow, &mut raw, direction, established, tally);
        }
    }

    /// Tries the rules about transactions with one side of one; alerts tell of the other side, too.
    pub fn unit(
        &mut self,
        flow: &mut Flow,
        (unit, other): (&mut Unit, Option<&Unit>),
        application: &'static str,
        (at, chunk, established): (Option<&At<'_>>, Option<Chunk<'_>>, bool),
        tally: &mut Tally,
    ) {
        let program = self.program.clone();
        let direction = unit.direction;
        let waiting = self.mark(unit, application);
        let counts = flow.counts;
        let same_way = at.filter(|a| a.direction == direction);
        let packet = same_way.map(|a| Headers { p: a.p });
        let payload = match (chunk, same_way) {
            (Some(chunk), _) if !chunk.bytes.is_empty() => Payload::Stream(chunk),
            (_, Some(a)) => Payload::Packet(a.p.payload()),
            _ => Payload::None,
        };
        let mut about = About::of(flow, flow.last_frame);
        (about.application, about.transaction) = (application, Some(unit.transaction));
        let list = std::mem::take(&mut self.list);
        let (mut again, mut matched) = (waiting, vec![]);
        again.clear();
        for n in list.iter().copied().filter(|n| !unit.matched.contains(n)) {
            let c = &program.rules[n as usize];
            let scene = Scene {
                application,
                packet,
                payload,
                unit: Some(unit),
                other,
                ..flow_scene(flow, direction, established, &counts)
            };
            self.costs.candidate(n);
            if !scene.admits(c) {
                continue;
            }
            match self.confirm(n, c, &scene, Some(&flow.state), tally) {
                Held::Yes => {
                    matched.push(n);
                    self.matched(&program, n, &scene, about, Some(&mut flow.state));
                }
                Held::NotYet => again.push(n),
                Held::No if c.grows && !unit.is_whole => again.push(n),
                Held::No | Held::GivenUp => {}
            }
        }
        self.list = list;
        unit.waiting = again;
        unit.matched.extend(matched);
        unit.looked_at();
    }

    /// Marks the rules that may match a side of a transaction; gives back the list of those that waited.
    fn mark(&mut self, unit: &mut Unit, application: &'static str) -> Vec<u32> {
        let program = self.program.clone();
        let direction = unit.direction;
        self.marks.clear();
        let mut plain = vec![];
        if !unit.is_begun {
            let lists = [application, ""].into_iter();
            plain = lists.filter_map(|name| program.plain.get(name)).collect();
        }
        plain
            .iter()
            .for_each(|l| unit.waiting.extend_from_slice(&l[direction]));
        for (buffer, bytes) in unit.fresh() {
            for view in &program.views[buffer.place()] {
                let patterns = &view.patterns[direction];
                if patterns.is_empty() {
                    continue;
                }
                let changed = view.transforms.apply(bytes, &mut self.trial.scratch);
                patterns.scan(changed, &mut self.marks);
            }
        }
        let waiting = std::mem::take(&mut unit.waiting);
        waiting.iter().for_each(|n| self.marks.mark(*n));
        self.collect();
        waiting
    }

    fn collect(&mut self) {
        self.costs.look();
        self.list.clear();
        self.list.extend_from_slice(self.marks.sorted());
    }

    /// Tries the rules of the list.
    fn run(
        &mut self,
        program: &Arc<Program>,
        scene: &Scene<'_>,
        about: About,
        mut state: Option<&mut FlowState>,
        in_stream: bool,
        tally: &mut Tally,
    ) {
        let is_packet = !matches!(scene.payload, Payload::Stream(_));
        let list = std::mem::take(&mut self.list);
        self.found.clear();
        for n in list.iter().copied() {
            let c = &program.rules[n as usize];
            // what is in the stream is looked at there
            let elsewhere = is_packet && in_stream && c.in_streams && !c.in_packets;
            let looked = is_packet && in_stream && self.streamed.contains(&n);
            if looked || elsewhere && looks_at_payload(c) {
                continue;
            }
            self.costs.candidate(n);
            if !scene.admits(c) {
                continue;
            }
            match self.confirm(n, c, scene, state.as_deref(), tally) {
                Held::Yes => {
                    self.found.push(n);
                    self.matched(program, n, scene, about, state.as_deref_mut());
                }
                Held::No | Held::NotYet | Held::GivenUp => {}
            }
        }
        self.list = list;
    }

    /// Tries a rule whose header holds, as long as that may cost more.
    fn confirm(
        &mut self,
        n: u32,
        c: &Compiled,
        scene: &Scene<'_>,
        state: Option<&FlowState>,
        tally: &mut Tally,
    ) -> Held {
        let now_ns = scene.time_ns;
        if !self.costs.may_try(n, now_ns) {
            tally.one(Outcome::RulesGivenUp);
            return Held::GivenUp;
        }
        let began = self.costs.clock();
        let held = self.trial.holds(c, scene, state);
        let work = self.trial.take_work();
        if held == Held::Yes && self.first.is_none() {
            self.costs.hit(n);
        }
        if self.costs.tried(n, work, began, held, now_ns) {
            tally.one(Outcome::RulesDemoted);
        }
        if held == Held::GivenUp {
            tally.one(Outcome::RulesGivenUp);
        }
        self.trial.count_evicted(tally);
        held
    }

    /// A rule matched: what it remembers is changed at once, whether it alerts is judged with the others of the packet.
    fn matched(
        &mut self,
        program: &Arc<Program>,
        n: u32,
        scene: &Scene<'_>,
        about: About,
        state: Option<&mut FlowState>,
    ) {
        let c = &program.rules[n as usize];
        if !c.memory.changes_nothing() && self.first.is_none() {
            let moment = Moment::new(scene.time_ns, scene.addrs[0], scene.addrs[1]);
            c.memory.apply(&moment, state, &self.shared);
        }
        let passes = c.rule.header.action == Action::Pass;
        if c.rule.noalert && !passes {
            return;
        }
        let (payload, is_stream) = match scene.payload {
            Payload::None => (&b""[..], false),
            Payload::Packet(bytes) => (bytes, false),
            Payload::Stream(chunk) => (chunk.fresh(), true),
        };
        // as with Suricata, an alert of a packet tells of no transaction but where it is of datagrams and the rule names their protocol
        let is_application = matches!(c.rule.header.protocol, Protocol::Application(_));
        let tells = is_stream || scene.unit.is_some() || scene.proto == UDP && is_application;
        let kept = |b: &[u8]| b[..b.len().min(self.alert_bytes_max)].to_vec();
        let packet = scene.packet.map(|h| h.p);
        let alert = Alert {
            program: program.clone(),
            rule: n,
            action: c.rule.header.action,
            bits: vec![],
            counters: vec![],
            time_ns: scene.time_ns,
            frame: about.frame,
            addrs: scene.addrs,
            ports: scene.ports,
            proto: scene.proto,
            icmp: packet.and_then(|p| match p.transport {
                Transport::Icmp { kind, code } => Some((kind, code)),
                _ => None,
            }),
            application: about.application,
            flow: about.flow.map(|(key, began_ns)| key.number(began_ns)),
            direction: scene.direction,
            transaction: about.transaction.filter(|_| tells),
            counts: scene.counts.copied(),
            payload: kept(payload),
            is_stream,
            said: said::of(scene, tells),
            is_guessed: is_stream && scene.unit.is_none(),
            packet: packet.map(|p| kept(p.packet())).unwrap_or_default(),
            matches: self.trial.matches(&c.rule),
            is_ambiguous: self.first.is_some(),
            carried: Carried::default(),
            was: "",
            silent: [false; 2],
        };
        self.hits.push(Hit {
            rule: n,
            alert,
            is_of_flow: is_stream || scene.unit.is_some() || c.kind == Kind::Addresses,
        });
    }

    /// Judges what matched with a packet, or where a conversation ends without one, in the order of the rules.
    pub fn settle(&mut self, mut flow: Option<&mut Flow>, p: Option<&PacketView<'_>>) {
        if self.hits.is_empty() {
            return;
        }
        let mut hits = std::mem::take(&mut self.hits);
        hits.sort_by_key(|h| h.rule);
        let mut passed = false;
        for mut hit in hits.drain(..) {
            let c = &self.program.rules[hit.rule as usize];
            // addresses alone are judged apart from what else a packet is passed for
            if passed && c.kind != Kind::Addresses {
                continue;
            }
            let a = &hit.alert;
            if !c.rates.is_empty() {
                let moment = Moment::new(a.time_ns, a.addrs[0], a.addrs[1]);
                let state = flow.as_deref_mut().map(|f| &mut f.state);
                match c.rates.judge(&moment, state, &self.shared) {
                    Verdict::Silent => continue,
                    // as a rule that passes: those that follow say nothing of the packet
                    Verdict::Acting(Action::Pass) => {
                        passed = true;
                        continue;
                    }
                    Verdict::Acting(action) => hit.alert.action = action,
                    Verdict::Alert => {}
                }
            }
            if let Some(flow) = flow.as_deref_mut().filter(|_| c.rule.bypass) {
                flow.is_passed = true;
            }
            if c.rule.header.action == Action::Pass {
                if let Some(flow) = flow.as_deref_mut().filter(|_| hit.is_of_flow) {
                    flow.is_passed = true;
                }
                passed = true;
                continue;
            }
            if let Some(flow) = flow.as_deref() {
                hit.alert.bits = flow.state.bits().to_vec();
                hit.alert.counters = flow.state.counters().to_vec();
                hit.alert.silent = flow.silent;
                hit.alert.was = flow.talk.as_ref().map_or("", |t| t.was());
            }
            hit.alert.carried = match (p, flow.as_deref()) {
                (Some(p), _) => Carried::of(p),
                (None, Some(flow)) => Carried::of_end(flow),
                (None, None) => Carried::default(),
            };
            self.alerts.push(hit.alert);
        }
        hits.clear();
        self.hits = hits;
    }
}
