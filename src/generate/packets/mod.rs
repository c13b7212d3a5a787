//! Packets of generated conversations, as a mirror port would show them: handshakes, requests and answers, calls, name
//! look-ups, with what goes wrong on the way.

mod conversation;
mod frame;
mod hello;
mod send;

pub use send::{Wire, write};

use super::random::mix;
use super::{Random, Sums};
use conversation::{Conversation, Step};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// What a meter must find: directions of conversations, their packets and layer 3 bytes, and what went wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PacketTruth {
    /// Everything.
    pub total: Sums,
    /// By name of the application.
    pub by_application: BTreeMap<&'static str, Sums>,
    /// By DSCP.
    pub by_dscp: BTreeMap<u8, Sums>,
    /// TCP segments with data that were sent again.
    pub retransmits: u64,
    /// TCP connections that were refused.
    pub refused: u64,
    /// RTP packets that were lost before the sensor.
    pub rtp_lost: u64,
    /// DNS queries that were answered.
    pub dns_answers: u64,
}

/// Generated packets in order of their times, and what they add up to.
#[derive(Debug)]
pub struct Packets {
    random: Random,
    seed: u64,
    /// Conversations that begin, in all and so far.
    conversations: u64,
    begun: u64,
    /// Time between the beginnings of two.
    every_ns: i64,
    start_ns: i64,
    v6_percent: u64,
    /// Of conversations under way, the time of the next packet.
    next: BinaryHeap<Reverse<(i64, usize)>>,
    under_way: Vec<Conversation>,
    free: Vec<usize>,
    ids: u16,
    truth: PacketTruth,
}

/// A frame of Ethernet.
#[derive(Debug, Default)]
pub struct GeneratedFrame {
    /// When it passes the sensor, nanoseconds since 1970 UTC.
    pub time_ns: i64,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Packets {
    /// Packets of `conversations` conversations, `per_second` of which begin in a second from `start_ns` on. Equal seeds give
    /// equal packets.
    pub fn new(seed: u64, conversations: u64, per_second: u64, start_ns: i64) -> Self {
        Packets {
            random: Random::new(mix(seed) ^ SALT),
            seed,
            conversations,
            begun: 0,
            every_ns: NS / per_second.clamp(1, 1_000_000_000) as i64,
            start_ns,
            v6_percent: 20,
            next: BinaryHeap::new(),
            under_way: vec![],
            free: vec![],
            ids: 0,
            truth: PacketTruth::default(),
        }
    }

    /// The next packet; false at the end.
    pub fn next(&mut self, out: &mut GeneratedFrame) -> bool {
        loop {
            let first = self.next.peek().map_or(i64::MAX, |Reverse((at, _))| *at);
            let begins = self.start_ns + self.begun as i64 * self.every_ns;
            if self.begun < self.conversations && begins <= first {
                self.begin(begins);
                continue;
            }
            let Some(Reverse((_, place))) = self.next.pop() else {
                return false;
            };
            let conversation = &mut self.under_way[place];
            let Some(step) = conversation.steps.pop_front() else {
                self.free.push(place);
                continue;
            };
            if let Some(at_ns) = conversation.next_ns() {
                self.next.push(Reverse((at_ns, place)));
            } else {
                self.free.push(place);
            }
            if self.frame(place, &step, out) {
                return true;
            }
        }
    }

    /// What all packets so far add up to. Complete once [`Packets::next`] has given false.
    pub fn truth(&self) -> &PacketTruth {
        &self.truth
    }

    fn begin(&mut self, at_ns: i64) {
        let number = mix(self.seed).wrapping_add(self.begun);
        self.begun += 1;
        let v6 = self.random.chance(self.v6_percent);
        let conversation = Conversation::draw(&mut self.random, number, v6, at_ns);
        let truth = &mut self.truth;
        truth.retransmits += conversation.told.retransmits;
        truth.refused += conversation.told.refused;
        truth.rtp_lost += conversation.told.rtp_lost;
        truth.dns_answers += conversation.told.dns_answers;
        let flows = u64::from(conversation.told.directions);
        for sums in self.sums(&conversation) {
            sums.flows += flows;
        }
        let next = conversation.next_ns();
        let place = match self.free.pop() {
            Some(place) => {
                self.under_way[place] = conversation;
                place
            }
            None => {
                self.under_way.push(conversation);
                self.under_way.len() - 1
            }
        };
        match next {
            Some(at) => self.next.push(Reverse((at, place))),
            None => self.free.push(place),
        }
    }

    fn sums(&mut self, c: &Conversation) -> [&mut Sums; 3] {
        let truth = &mut self.truth;
        [
            &mut truth.total,
            truth.by_application.entry(c.service.name).or_default(),
            truth.by_dscp.entry(c.dscp).or_default(),
        ]
    }

    /// Writes the packet of a step; false where it was lost on the way.
    fn frame(&mut self, place: usize, step: &Step, out: &mut GeneratedFrame) -> bool {
        if step.is_lost {
            return false;
        }
        self.ids = self.ids.wrapping_add(1);
        let conversation = std::mem::take(&mut self.under_way[place]);
        out.time_ns = step.at_ns;
        let ip_bytes = frame::write(&conversation, step, self.ids, &mut out.bytes);
        for sums in self.sums(&conversation) {
            sums.packets += 1;
            sums.bytes += ip_bytes as u64;
        }
        self.under_way[place] = conversation;
        true
    }
}

/// A capture file (pcap, nanoseconds) begins so.
pub fn pcap_header() -> [u8; 24] {
    let mut header = [0; 24];
    for (n, word) in [0xa1b2_3c4du32, 0x0004_0002, 0, 0, 65_535, 1]
        .iter()
        .enumerate()
    {
        header[4 * n..4 * n + 4].copy_from_slice(&word.to_le_bytes());
    }
    header
}

impl GeneratedFrame {
    /// What stands before its bytes in such a file.
    pub fn pcap_record(&self) -> [u8; 16] {
        let mut record = [0; 16];
        let length = self.bytes.len() as u32;
        let time = [self.time_ns / NS, self.time_ns % NS].map(|t| t as u32);
        for (n, word) in [time[0], time[1], length, length].iter().enumerate() {
            record[4 * n..4 * n + 4].copy_from_slice(&word.to_le_bytes());
        }
        record
    }
}

const NS: i64 = 1_000_000_000;
/// So that exporters and packets of one seed differ.
const SALT: u64 = 0x7061_636b_6574_7321;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dissect::{Dissected, Dissector, FrameHead};

    fn all(seed: u64, conversations: u64) -> (Vec<(i64, Vec<u8>)>, PacketTruth) {
        let mut packets = Packets::new(seed, conversations, 100, 1_000 * NS);
        let (mut frames, mut frame) = (vec![], GeneratedFrame::default());
        while packets.next(&mut frame) {
            frames.push((frame.time_ns, frame.bytes.clone()));
        }
        (frames, packets.truth().clone())
    }

    #[test]
    fn equal_seeds_give_equal_packets_in_order_of_time() {
        let (frames, truth) = all(7, 300);
        assert_eq!((&frames, &truth), (&all(7, 300).0, &all(7, 300).1));
        assert_ne!(frames, all(8, 300).0);
        assert!(frames.is_sorted_by_key(|f| f.0));
        assert_eq!(frames.len() as u64, truth.total.packets);
        let of_applications: u64 = truth.by_application.values().map(|s| s.bytes).sum();
        let of_dscp: u64 = truth.by_dscp.values().map(|s| s.bytes).sum();
        assert_eq!([of_applications, of_dscp], [truth.total.bytes; 2]);
        assert!(truth.by_application.len() > 15, "{truth:?}");
        assert!(truth.retransmits > 0 && truth.rtp_lost > 0 && truth.dns_answers > 20);
    }

    #[test]
    fn every_packet_is_whole_and_its_checksums_are_right() {
        let mut dissector = Dissector::new(&Default::default());
        let (frames, truth) = all(1, 300);
        let mut bytes = 0;
        for (n, (time_ns, frame)) in frames.iter().enumerate() {
            let head = FrameHead {
                time_ns: *time_ns,
                frame: n as u64 + 1,
                interface: 1,
                link_type: 1,
                wire_len: frame.len() as u32,
            };
            let Dissected::Ip(packet) = dissector.frame(head, frame) else {
                panic!("frame {n} is no packet");
            };
            bytes += u64::from(packet.ip_len);
            assert_eq!(packet.ip_len as usize, frame.len() - 14, "frame {n}");
            assert_eq!(frame::transport_sum(&frame[14..]), 0, "frame {n}");
        }
        assert_eq!(bytes, truth.total.bytes);
    }
}
