//! An exporting process.

use super::sampled::Packets;
use super::traffic::{Site, conversation, draw};
use super::{Flow, Passed, Random, sflow, template, v5};
use crate::model::Addr;

/// What kind of exporter it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Profile {
    /// Edge switch, NetFlow 5: 24 access ports, 2 uplinks; sampling only in its header.
    EdgeSwitch,
    /// Router, NetFlow 9: application ids with their names, interface names and its sampler in options data.
    Router,
    /// Gateway, IPFIX: IPv6, 64-bit counters, and application, host and interface names of variable length.
    Gateway,
    /// Switch, sFlow 5: sampled packet headers and interface counters.
    SflowSwitch,
    /// Load, NetFlow 5: 30 records a datagram.
    LoadV5,
    /// Load, NetFlow 9: 24 fields, 67 bytes a record (IPv6 103), 20 % IPv6.
    LoadV9,
    /// Load, IPFIX: 25 fields, 80 bytes a record (IPv6 116), 20 % IPv6.
    LoadIpfix,
}

/// How an exporter behaves.
#[derive(Clone, Copy, Debug)]
pub struct Habits {
    /// 1 in this many packets is seen, so the exporter tells in the protocol's own way. Counters are not scaled.
    pub sampling: u32,
    /// It only tells so: what it reports are whole flows. Else it really sees some packets, and no flow of which it sees none.
    pub only_tells: bool,
    /// Milliseconds by which its clock is ahead of the right one.
    pub clock_ahead_ms: i64,
    /// Every so many datagrams the templates (and options data) come again.
    pub templates_every: u64,
    /// Templates in use: half for IPv4, half for IPv6. At least 2.
    pub templates: u16,
    /// Longest datagram in bytes.
    pub datagram_max: usize,
    /// Report each flow twice: metered where it comes in, and where it goes out (element 61); NetFlow 9 and IPFIX only.
    pub both_directions: bool,
    /// Flows come with their answers, between clients and servers of a network in which nothing is amiss; else each by itself, from
    /// few busy and many rare hosts.
    pub answered: bool,
    /// How many times as many ports and uplinks its kind of device has.
    pub ports_times: u32,
    /// Agent address in sFlow datagrams.
    pub agent: Addr,
}

impl Default for Habits {
    fn default() -> Self {
        Habits {
            sampling: 1,
            only_tells: true,
            clock_ahead_ms: 0,
            templates_every: 100,
            templates: 2,
            datagram_max: 1400,
            both_directions: false,
            answered: false,
            ports_times: 1,
            agent: Addr::from_v4([192, 0, 2, 1]),
        }
    }
}

/// A datagram and what it says.
#[derive(Clone, Debug, Default)]
pub struct Export {
    /// The UDP payload.
    pub payload: Vec<u8>,
    /// The flows in it, in order.
    pub flows: Vec<Flow>,
    /// By how much its sequence number is ahead of the one before: records, datagrams or flows, as the protocol counts.
    pub units: u32,
    /// Records of options data and counters in it.
    pub others: u32,
    /// Whether templates are in it.
    pub templates: bool,
    /// Where numbers stand that must grow when the datagram is sent again.
    pub stamps: Vec<Stamp>,
}

/// A big-endian number in a datagram that grows from one sending to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// Milliseconds in 32 bits at this offset.
    Clock32(u16),
    /// Milliseconds in 64 bits at this offset.
    Clock64(u16),
    /// A 32-bit counter at this offset: sFlow sample sequence (of interface sources, flow samples).
    SampleSequence(u16),
    /// A 32-bit counter at this offset: sFlow sample pool.
    SamplePool(u16),
    /// A 32-bit counter at this offset: sFlow counter sample sequence.
    CounterSequence(u16),
}

impl Export {
    /// Empties it for the next datagram.
    pub fn clear(&mut self) {
        self.payload.clear();
        self.flows.clear();
        self.stamps.clear();
        self.units = 0;
        self.others = 0;
        self.templates = false;
    }
}

/// One exporting process: yields its datagrams one by one. The same seed, number and times give the same bytes.
#[derive(Clone, Debug)]
pub struct Exporter {
    pub(super) profile: Profile,
    pub(super) habits: Habits,
    pub(super) number: u32,
    pub(super) random: Random,
    /// Value of the next header's sequence field.
    pub(super) sequence: u32,
    pub(super) datagrams: u64,
    /// Start of the process, by a right clock.
    pub(super) boot_ms: i64,
    pub(super) template: template::State,
    pub(super) sflow: sflow::State,
    twin: Option<Flow>,
    answer: Option<Flow>,
    passed: Passed,
}

impl Exporter {
    /// An exporter that was started an hour and a bit before `now_ms`.
    pub fn new(profile: Profile, habits: Habits, number: u32, seed: u64, now_ms: i64) -> Self {
        let mut random = Random::new(seed ^ (u64::from(number) << 32) ^ profile as u64);
        Exporter {
            profile,
            habits,
            number,
            boot_ms: now_ms - 3_700_000 - random.below(100_000) as i64,
            random,
            sequence: 0,
            datagrams: 0,
            template: template::State::default(),
            sflow: sflow::State::default(),
            twin: None,
            answer: None,
            passed: Passed::new(),
        }
    }

    /// What passed since the last call in all flows that it met, also in those of which it saw nothing: with sampling that is not only told.
    pub fn take_passed(&mut self) -> Passed {
        std::mem::take(&mut self.passed)
    }

    /// Observation domain, source id or engine.
    pub fn domain(&self) -> u32 {
        match self.profile {
            Profile::EdgeSwitch | Profile::LoadV5 => self.number & 0xffff,
            _ => 1000 + self.number,
        }
    }

    /// Its interfaces as it names them: ifIndex, name, description.
    pub fn interfaces(&self) -> Vec<(u32, String, String)> {
        let Site { access, uplinks } = self.site();
        let names = |(first, count): (u32, u32), name: &'static str, text: &'static str| {
            (0..count).map(move |i| {
                (
                    first + i,
                    format!("{name}{}", i + 1),
                    format!("{text} {}", i + 1),
                )
            })
        };
        let (port, uplink) = match self.profile {
            Profile::Router => ("GigabitEthernet0/0/", "TenGigabitEthernet0/1/"),
            Profile::Gateway => ("ge-0/0/", "xe-0/1/"),
            _ => ("port", "uplink"),
        };
        names(access, port, "office")
            .chain(names(uplinks, uplink, "carrier"))
            .collect()
    }

    /// Writes the next datagram, sent at `now_ms` by a right clock.
    pub fn next(&mut self, now_ms: i64, out: &mut Export) {
        out.clear();
        match self.profile {
            Profile::EdgeSwitch | Profile::LoadV5 => v5::write(self, now_ms, out),
            Profile::SflowSwitch => sflow::write(self, now_ms, out),
            _ => template::write(self, now_ms, out),
        }
        self.sequence = self.sequence.wrapping_add(out.units);
        self.datagrams += 1;
    }

    /// Restarts the process: uptime, sequence and announced templates are gone.
    pub fn restart(&mut self, now_ms: i64) {
        self.boot_ms = now_ms;
        self.sequence = 0;
        self.datagrams = 0;
        self.template = template::State::default();
        self.sflow = sflow::State::default();
        (self.twin, self.answer) = (None, None);
    }

    pub(super) fn site(&self) -> Site {
        let Site { access, uplinks } = self.usual_site();
        let more = self.habits.ports_times.saturating_sub(1);
        Site {
            access: (access.0, access.1 * (1 + more)),
            uplinks: (uplinks.0 + access.1 * more, uplinks.1 * (1 + more)),
        }
    }

    fn usual_site(&self) -> Site {
        match self.profile {
            Profile::EdgeSwitch => Site {
                access: (1, 24),
                uplinks: (49, 2),
            },
            Profile::SflowSwitch => Site {
                access: (1, 24),
                uplinks: (49, 1),
            },
            Profile::Router | Profile::Gateway => Site {
                access: (1, 6),
                uplinks: (11, 2),
            },
            Profile::LoadV5 | Profile::LoadV9 | Profile::LoadIpfix => Site {
                access: (500, 24),
                uplinks: (600, 8),
            },
        }
    }

    /// The next flow that it reports, seen until `now_ms`.
    pub(super) fn flow(&mut self, now_ms: i64) -> Flow {
        if let Some(twin) = self.twin.take() {
            return twin;
        }
        let v6_percent = match self.profile {
            Profile::EdgeSwitch | Profile::LoadV5 => 0,
            Profile::Gateway => 40,
            _ => 20,
        };
        let mut flow = self.drawn(v6_percent, now_ms);
        while self.samples() && !self.sample(&mut flow) {
            flow = self.drawn(v6_percent, now_ms);
        }
        if self.habits.both_directions && self.tells_direction() {
            self.twin = Some(Flow {
                direction: 1,
                ..flow.clone()
            });
        }
        flow
    }

    /// The next flow that passed it.
    fn drawn(&mut self, v6_percent: u64, now_ms: i64) -> Flow {
        let site = self.site();
        let mut flow = match self.answer.take() {
            Some(answer) => answer,
            None if self.habits.answered => {
                let [there, back] = conversation(&mut self.random, &site, v6_percent, now_ms);
                self.answer = Some(back);
                there
            }
            None => draw(&mut self.random, &site, v6_percent, now_ms),
        };
        flow.start_ms = flow.start_ms.max(self.boot_ms);
        flow.end_ms = flow.end_ms.max(flow.start_ms);
        if self.profile == Profile::SflowSwitch && self.samples() {
            // samples are sent at once and have no time of their own
            (flow.start_ms, flow.end_ms) = (now_ms, now_ms);
        }
        flow
    }

    /// Whether it really samples.
    pub(super) fn samples(&self) -> bool {
        self.habits.sampling > 1 && !self.habits.only_tells
    }

    /// Leaves of a flow what it sees; false where that is nothing.
    fn sample(&mut self, flow: &mut Flow) -> bool {
        let least = if flow.is_v6() { 60 } else { 40 };
        let packets = Packets::new(flow, least, &mut self.random);
        packets.pass(flow, &mut self.passed);
        let whole = flow.clone();
        (flow.bytes, flow.packets, flow.tcp_flags) = (0, 0, 0);
        let seen = &mut self.sflow.seen;
        packets.sample(self.habits.sampling, &mut self.random, |n, at_ms, bytes| {
            if flow.packets == 0 {
                flow.start_ms = at_ms;
            }
            let flags = packets.flags(&whole, n);
            flow.end_ms = at_ms;
            flow.packets += 1;
            flow.bytes += bytes;
            flow.tcp_flags |= flags;
            if self.profile == Profile::SflowSwitch {
                seen.push((bytes, flags));
            }
        });
        flow.packets > 0
    }

    fn tells_direction(&self) -> bool {
        !matches!(
            self.profile,
            Profile::EdgeSwitch | Profile::LoadV5 | Profile::SflowSwitch
        )
    }

    /// Milliseconds since boot, as its headers and records count.
    pub(super) fn uptime(&self, at_ms: i64) -> u32 {
        (at_ms - self.boot_ms) as u32
    }

    /// A time as its clock shows it.
    pub(super) fn shown(&self, at_ms: i64) -> i64 {
        at_ms + self.habits.clock_ahead_ms
    }
}

/// Appends a number in `width` big-endian bytes.
pub(super) fn put(out: &mut Vec<u8>, value: u64, width: usize) {
    out.extend_from_slice(&value.to_be_bytes()[8 - width.min(8)..]);
}
