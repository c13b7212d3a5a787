//! RTP from the sensor's place: what is missing, how unevenly it comes, and what a listener may think of it; round trips by
//! RTCP.

use super::Measured;
use crate::model::{Codec, Measure, PayloadMap, prefetch};

/// The media of all conversations that are measured, in places that are used again.
#[derive(Debug)]
pub(super) struct Medias {
    all: Vec<Media>,
    free: Vec<u32>,
    max: usize,
}

impl Medias {
    /// Room for so many.
    pub fn new(max: usize) -> Self {
        let (all, free) = (vec![], vec![]);
        Medias { all, free, max }
    }

    /// Most bytes of so many.
    pub fn memory_max(max: usize) -> usize {
        max.saturating_mul(size_of::<Media>() + size_of::<u32>())
    }

    /// A place for a conversation, if there is one left.
    pub fn begin(&mut self) -> Option<u32> {
        if let Some(place) = self.free.pop() {
            return Some(place);
        }
        if self.all.len() >= self.max {
            return None;
        }
        self.all.push(Media::default());
        Some((self.all.len() - 1) as u32)
    }

    /// The media of a place; `None` where it is none.
    pub fn at(&mut self, place: u32) -> Option<&mut Media> {
        self.all.get_mut(place as usize)
    }

    /// Calls for what is measured at a place.
    pub fn call(&self, place: u32) {
        if let Some(media) = self.all.get(place as usize) {
            media.halves.iter().for_each(|h| prefetch(&h.sources[0]));
        }
    }

    /// The conversation is over.
    pub fn end(&mut self, place: u32) {
        if let Some(media) = self.at(place) {
            *media = Media::default();
            self.free.push(place);
        }
    }
}

/// The media of a conversation. Half 0 is the side that began.
#[derive(Clone, Debug, Default)]
pub(super) struct Media {
    halves: [Side; 2],
}

/// What one side sent.
#[derive(Clone, Debug, Default)]
struct Side {
    sources: [Source; SOURCES_MAX],
    /// What dynamic payload types stand for, where a session's description said so.
    payloads: PayloadMap,
    /// Packets of a dynamic type while that is not known.
    unnamed: u32,
    /// How many of them there are.
    used: usize,
    /// Missing packets of sources that gave way and were not told yet.
    lost: u32,
    /// Middle of the NTP time of the last sender report, and when it was seen; RFC 3550 section 6.4.1.
    reported: Option<(u32, i64)>,
    rtt_ns: i64,
    rtts: u32,
}

/// A synchronization source (RFC 3550 section 3).
#[derive(Clone, Debug, Default)]
struct Source {
    ssrc: u32,
    /// Sequence numbers with their turns: of the first packet and the highest.
    base: u32,
    highest: u32,
    /// Packets since `base`, late and doubled ones, too.
    received: u32,
    /// What was missing when it was told last.
    lost_told: u32,
    /// Two packets came in a row (RFC 3550 A.1): before that it may be no RTP.
    is_sure: bool,
    /// Number that a source goes on with which was started anew.
    restart: Option<u16>,
    payload: u8,
    /// Packets in a row with another payload type.
    others: u8,
    clock: Clock,
    timestamp: u32,
    last_ns: i64,
    /// Jitter by RFC 3550 A.8, nanoseconds times 16.
    jitter: i64,
    jitters: i64,
    /// How many are added up in `jitters`.
    samples: u32,
    /// Packets since it was told.
    packets: u32,
}

/// Ticks of the timestamp in a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    Known(u32),
    /// It is found by these: timestamp and time of an early packet.
    Since(u32, i64),
}

impl Default for Clock {
    fn default() -> Self {
        Clock::Since(0, 0)
    }
}

/// The fixed header (RFC 3550 section 5.1).
#[derive(Clone, Copy, Debug)]
struct Header {
    payload: u8,
    number: u16,
    timestamp: u32,
    ssrc: u32,
}

impl Media {
    /// Whether no RTP was heard yet.
    pub fn is_silent(&self) -> bool {
        self.halves.iter().all(|h| h.used == 0)
    }

    /// Takes a datagram of a half.
    pub fn datagram(&mut self, half: usize, now_ns: i64, bytes: &[u8]) {
        let Some([first, second]) = bytes.first_chunk::<2>() else {
            return;
        };
        match (first >> 6, second) {
            // a channel of TURN: number, length, what is in it (RFC 8656 section 12.4)
            (1, _) if *first < 0x50 && bytes.len() > 4 && bytes[4] >> 6 == 2 => {
                self.datagram(half, now_ns, &bytes[4..]);
            }
            // RFC 5761 section 4: what shares the port with RTP is told by this
            (2, 192..=223) => self.reports(half, now_ns, bytes),
            (2, _) => {
                if let Some(header) = Header::of(bytes) {
                    self.halves[half].packet(&header, now_ns);
                }
            }
            _ => {}
        }
    }

    /// Whether somebody should look what the dynamic payload types of a half stand for: descriptions may come after the first
    /// media, so it is asked again, ever more rarely.
    pub fn wants_names(&self, half: usize) -> bool {
        self.halves[half].unnamed.is_power_of_two()
    }

    /// What the dynamic payload types of a half stand for.
    pub fn set_names(&mut self, half: usize, payloads: &PayloadMap) {
        let side = &mut self.halves[half];
        (side.payloads, side.unnamed) = (*payloads, 0);
        for source in &mut side.sources[..side.used] {
            if let (Clock::Since(..), Some(p)) = (source.clock, payloads.get(source.payload)) {
                source.clock = Clock::Known(p.clock);
            }
        }
    }

    /// Adds what was measured of a half since this was asked last.
    pub fn take(&mut self, half: usize, m: &mut Measured) {
        let side = &mut self.halves[half];
        if side.rtts > 0 {
            m.data_rtt_us = micros(side.rtt_ns / i64::from(side.rtts));
            m.taken |= Measure::DataRttUs.bit();
            (side.rtt_ns, side.rtts) = (0, 0);
        }
        let sources = side.sources[..side.used]
            .iter()
            .filter(|s| s.is_sure && s.packets > 0);
        let Some(main) = sources.max_by_key(|s| s.packets) else {
            return;
        };
        let lost_of_main = main.lost();
        let described = side.payloads.get(main.payload).map(|p| p.codec);
        let codec = described.unwrap_or(Codec::of_payload(main.payload));
        (m.rtp_payload, m.codec) = (main.payload, codec);
        m.taken |= Measure::RtpPayload.bit() | Measure::Lost.bit();
        if main.samples > 0 {
            m.jitter_us = micros(main.jitters / i64::from(main.samples) / 16);
            m.taken |= Measure::JitterUs.bit();
        }
        let is_audio = match codec {
            Codec::None | Codec::Other => main.is_audio(),
            codec => codec.is_audio(),
        };
        if main.samples >= OPINION_PACKETS && is_audio {
            m.mos_x100 = opinion(codec, m.jitter_us, lost_of_main, main.packets);
            m.taken |= Measure::MosX100.bit();
        }
        m.lost = std::mem::take(&mut side.lost);
        for source in &mut side.sources[..side.used] {
            m.lost = m.lost.saturating_add(source.told());
        }
    }

    /// Times reports from the one of a half to the answer of the other: what lies between them is the way there and back.
    fn reports(&mut self, half: usize, now_ns: i64, mut bytes: &[u8]) {
        let mut blocks_left = BLOCKS_MAX;
        while let Some(part) = Part::of(bytes) {
            if let Some(middle) = part.sent {
                self.halves[half].reported = Some((middle, now_ns));
            }
            for (last, delay) in part.blocks().take(blocks_left) {
                blocks_left -= 1;
                let other = &mut self.halves[1 - half];
                let Some((_, at_ns)) = other.reported.filter(|(middle, _)| *middle == last) else {
                    continue;
                };
                let delay_ns = (i64::from(delay) * NS) >> 16;
                let rtt_ns = now_ns.saturating_sub(at_ns).saturating_sub(delay_ns);
                if (0..RTT_MAX_NS).contains(&rtt_ns) {
                    other.rtt_ns += rtt_ns;
                    other.rtts += 1;
                }
            }
            bytes = part.rest;
        }
    }
}

impl Side {
    fn packet(&mut self, h: &Header, now_ns: i64) {
        let described = self.payloads.get(h.payload).map(|p| p.clock);
        if described.is_none() && h.payload >= DYNAMIC {
            self.unnamed = self.unnamed.saturating_add(1);
        }
        let used = &mut self.sources[..self.used];
        if let Some(source) = used.iter_mut().find(|s| s.ssrc == h.ssrc) {
            source.packet(h, described, now_ns);
            return;
        }
        let fresh = Source::new(h, described, now_ns);
        if let Some(free) = self.sources.get_mut(self.used) {
            *free = fresh;
            self.used += 1;
            return;
        }
        let quiet = |s: &&mut Source| now_ns.saturating_sub(s.last_ns) > GONE_NS;
        let mut gone = self.sources.iter_mut().filter(quiet);
        if let Some(gone) = gone.next() {
            self.lost = self.lost.saturating_add(gone.told());
            *gone = fresh;
        }
    }
}

impl Source {
    /// With the clock that was described for its payload type, if any was.
    fn new(h: &Header, described: Option<u32>, now_ns: i64) -> Self {
        Source {
            ssrc: h.ssrc,
            base: u32::from(h.number),
            highest: u32::from(h.number),
            received: 1,
            payload: h.payload,
            clock: match described.or(clock_of(h.payload)) {
                Some(rate) => Clock::Known(rate),
                None => Clock::Since(h.timestamp, now_ns),
            },
            timestamp: h.timestamp,
            last_ns: now_ns,
            packets: 1,
            ..Default::default()
        }
    }

    /// RFC 3550 A.1: a jump is believed when its number goes on.
    fn packet(&mut self, h: &Header, described: Option<u32>, now_ns: i64) {
        let ahead = h.number.wrapping_sub(self.highest as u16);
        if !self.is_sure {
            if !(1..=SURE_MAX).contains(&ahead) || h.payload != self.payload {
                *self = Source::new(h, described, now_ns);
                return;
            }
            self.is_sure = true;
        }
        let restart = self.restart.take();
        if ahead < DROPOUT_MAX {
            self.highest = self.highest.wrapping_add(u32::from(ahead));
        } else if ahead <= u16::MAX - MISORDER_MAX {
            if restart != Some(h.number) {
                self.restart = Some(h.number.wrapping_add(1));
                return;
            }
            // what was missing before stays so
            let missing = self.lost();
            (self.base, self.highest) = (h.number.into(), h.number.into());
            (self.received, self.lost_told) = (0, 0);
            self.base = self.base.wrapping_sub(missing);
        }
        self.received = self.received.saturating_add(1);
        self.packets = self.packets.saturating_add(1);
        if h.payload == self.payload {
            self.others = 0;
            self.jitter(h, now_ns);
        } else {
            self.others += 1;
            if self.others >= OTHERS_MAX {
                let (base, highest, received) = (self.base, self.highest, self.received);
                *self = Source {
                    base,
                    highest,
                    received,
                    lost_told: self.lost_told,
                    packets: self.packets,
                    is_sure: true,
                    jitters: self.jitters,
                    samples: self.samples,
                    ..Source::new(h, described, now_ns)
                };
            }
        }
    }

    /// RFC 3550 A.8, in nanoseconds, so that it does not depend on the clock.
    fn jitter(&mut self, h: &Header, now_ns: i64) {
        if let Clock::Since(timestamp, at_ns) = self.clock {
            let ticks = h.timestamp.wrapping_sub(timestamp);
            let ns = now_ns.saturating_sub(at_ns);
            if ns >= CLOCK_NS {
                self.clock = match clock_by(ticks, ns) {
                    Some(rate) => Clock::Known(rate),
                    None => Clock::Since(h.timestamp, now_ns),
                };
            }
        } else if let Clock::Known(rate) = self.clock {
            let ticks = h.timestamp.wrapping_sub(self.timestamp) as i32;
            let sent_ns = i64::from(ticks) * NS / i64::from(rate);
            let came_ns = now_ns.saturating_sub(self.last_ns);
            let off = came_ns
                .saturating_sub(sent_ns)
                .saturating_abs()
                .min(OFF_MAX_NS);
            self.jitter += off - ((self.jitter + 8) >> 4);
            self.jitters = self.jitters.saturating_add(self.jitter);
            self.samples += 1;
        }
        (self.timestamp, self.last_ns) = (h.timestamp, now_ns);
    }

    /// Packets missing that were not told.
    fn lost(&self) -> u32 {
        let expected = self.highest.wrapping_sub(self.base).wrapping_add(1);
        let missing = expected.saturating_sub(self.received);
        missing.saturating_sub(self.lost_told)
    }

    /// Missing packets to tell, once.
    fn told(&mut self) -> u32 {
        if !self.is_sure {
            return 0;
        }
        let lost = self.lost();
        self.lost_told += lost;
        (self.jitters, self.samples, self.packets) = (0, 0, 0);
        lost
    }

    /// By its payload type; of a dynamic one by its clock, for video has 90,000 ticks.
    fn is_audio(&self) -> bool {
        match self.payload {
            0..=12 | 14..=18 => true,
            96.. => matches!(self.clock, Clock::Known(rate) if rate != VIDEO),
            _ => false,
        }
    }
}

impl Header {
    fn of(bytes: &[u8]) -> Option<Self> {
        let b = bytes.first_chunk::<12>()?;
        Some(Header {
            payload: b[1] & 0x7f,
            number: u16::from_be_bytes([b[2], b[3]]),
            timestamp: u32::from_be_bytes([b[4], b[5], b[6], b[7]]),
            ssrc: u32::from_be_bytes([b[8], b[9], b[10], b[11]]),
        })
    }
}

/// A sender or receiver report, or another part of RTCP (RFC 3550 section 6.4).
struct Part<'a> {
    /// The middle 32 bits of the NTP time of a sender report.
    sent: Option<u32>,
    blocks: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Part<'a> {
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let [first, kind, high, low] = *bytes.first_chunk::<4>()?;
        let length = (usize::from(u16::from_be_bytes([high, low])) + 1) * 4;
        let (part, rest) = bytes.split_at_checked(length)?;
        let (sent, at) = match kind {
            SENDER_REPORT => {
                let middle = part.get(10..14)?.try_into().ok()?;
                (Some(u32::from_be_bytes(middle)), 28)
            }
            RECEIVER_REPORT => (None, 8),
            _ => (None, length),
        };
        let count = usize::from(first & 0x1f) * BLOCK;
        let blocks = part.get(at..).unwrap_or_default();
        let blocks = &blocks[..blocks.len().min(count)];
        Some(Part { sent, blocks, rest })
    }

    /// Of each block the last sender report that is answered and the time it lay there, in units of 1/65536 s.
    fn blocks(&self) -> impl Iterator<Item = (u32, u32)> {
        let word =
            |b: &[u8], at: usize| u32::from_be_bytes([b[at], b[at + 1], b[at + 2], b[at + 3]]);
        let blocks = self.blocks.chunks_exact(BLOCK);
        let blocks = blocks.map(move |b| (word(b, 16), word(b, 20)));
        blocks.filter(|(last, _)| *last != 0)
    }
}

/// The clock of a payload type that is assigned (RFC 3551 section 6).
fn clock_of(payload: u8) -> Option<u32> {
    Some(match payload {
        0..=5 | 7..=9 | 12 | 13 | 15 | 18 | 19 => 8_000,
        6 => 16_000,
        10 | 11 => 44_100,
        14 | 25 | 26 | 28 | 31..=34 => VIDEO,
        16 => 11_025,
        17 => 22_050,
        _ => return None,
    })
}

/// The clock that so many ticks in a time are of, if it is one that is usual.
fn clock_by(ticks: u32, ns: i64) -> Option<u32> {
    let rate = i128::from(ticks) * i128::from(NS) / i128::from(ns);
    let near = |usual: &&u32| (rate - i128::from(**usual)).abs() * 25 < i128::from(**usual);
    CLOCKS.iter().find(near).copied()
}

/// Mean opinion score times 100 by the E-model (ITU-T G.107) with its default values, of a codec's impairment and robustness
/// (G.113 appendix I), loss at random, and the delay of a buffer that takes twice the jitter; the way's own delay is not
/// known to the sensor and taken as none.
fn opinion(codec: Codec, jitter_us: u32, lost: u32, packets: u32) -> u16 {
    let (impairment, robustness) = match codec {
        Codec::Gsm => (20.0, 10.0),
        Codec::G723 => (15.0, 16.1),
        Codec::G729 => (11.0, 19.0),
        // G.711 with concealment; what else there is has no values there
        _ => (0.0, 25.1),
    };
    let loss = 100.0 * f64::from(lost) / (f64::from(lost) + f64::from(packets)).max(1.0);
    let delay_ms = 2.0 * f64::from(jitter_us) / 1000.0;
    let delayed = 0.024 * delay_ms + 0.11 * (delay_ms - 177.3).max(0.0);
    let equipment = impairment + (95.0 - impairment) * loss / (loss + robustness);
    let r: f64 = 93.2 - delayed - equipment;
    let r = r.clamp(0.0, 100.0);
    let mos = 1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6;
    (mos.max(1.0) * 100.0).round() as u16
}

/// Microseconds of a time that may be anything.
fn micros(ns: i64) -> u32 {
    u32::try_from(ns.max(0) / 1000).unwrap_or(u32::MAX)
}

const NS: i64 = 1_000_000_000;
/// Sources of a direction that are measured; another one takes the place of one that is gone.
const SOURCES_MAX: usize = 4;
/// After so long without a packet a source is gone.
const GONE_NS: i64 = 5 * NS;
/// The second packet of a source is at most so far from the first.
const SURE_MAX: u16 = 16;
/// RFC 3550 A.1.
const DROPOUT_MAX: u16 = 3000;
const MISORDER_MAX: u16 = 100;
/// After so many packets of another payload type in a row the codec has changed; fewer are tones or noise.
const OTHERS_MAX: u8 = 16;
/// How long a clock is watched.
const CLOCK_NS: i64 = NS / 2;
/// A packet is never taken as later than this.
const OFF_MAX_NS: i64 = 60 * NS;
/// A round trip is never longer.
const RTT_MAX_NS: i64 = 10 * NS;
/// Blocks of reports that are read of a datagram.
const BLOCKS_MAX: usize = 64;
/// Bytes of a block.
const BLOCK: usize = 24;
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
/// Of fewer packets nobody has an opinion.
const OPINION_PACKETS: u32 = 10;
/// The first dynamic payload type (RFC 3551 section 3).
const DYNAMIC: u8 = 96;
/// The clock of video.
const VIDEO: u32 = 90_000;
const CLOCKS: &[u32] = &[
    8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, VIDEO,
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A packet of a payload type: number, timestamp, source.
    fn packet(payload: u8, number: u16, timestamp: u32, ssrc: u32) -> Vec<u8> {
        let mut b = vec![0x80, payload];
        b.extend(number.to_be_bytes());
        b.extend(timestamp.to_be_bytes());
        b.extend(ssrc.to_be_bytes());
        b
    }

    /// One packet each 20 ms of those that `came`, each so many microseconds late.
    fn call(media: &mut Media, payload: u8, ticks: u32, came: impl Iterator<Item = (u16, i64)>) {
        for (n, late_us) in came {
            let bytes = packet(payload, n.wrapping_add(65_500), u32::from(n) * ticks, 7);
            media.datagram(0, i64::from(n) * 20_000_000 + late_us * 1000, &bytes);
        }
    }

    fn take(media: &mut Media) -> Measured {
        let mut m = Measured::default();
        media.take(0, &mut m);
        m
    }

    #[test]
    fn an_even_call_has_no_jitter_and_the_best_opinion() {
        let mut media = Media::default();
        call(&mut media, 0, 160, (0..500).map(|n| (n, 0)));
        let m = take(&mut media);
        assert_eq!((m.jitter_us, m.lost, m.mos_x100), (0, 0, 441));
        let all = Measure::JitterUs.bit() | Measure::Lost.bit();
        let all = all | Measure::MosX100.bit() | Measure::RtpPayload.bit();
        assert_eq!(m.taken, all);
        let again = take(&mut media);
        assert_eq!((again.taken & Measure::JitterUs.bit(), again.lost), (0, 0));
    }

    #[test]
    fn jitter_comes_to_what_every_packet_is_off() {
        let mut media = Media::default();
        // one on time, the next 4 ms late: each differs by 4 ms from the one before
        let late = |n: u16| (n, i64::from(n % 2) * 4000);
        call(&mut media, 8, 160, (0..2000).map(late));
        let m = take(&mut media);
        assert!((3950..=4000).contains(&m.jitter_us), "{}", m.jitter_us);
    }

    #[test]
    fn what_is_missing_is_told_once_and_late_ones_are_not_missing() {
        let mut media = Media::default();
        let there = (0..400u16).filter(|n| n % 10 != 3);
        call(&mut media, 0, 160, there.clone().map(|n| (n, 0)));
        let m = take(&mut media);
        assert_eq!(m.lost, 40);
        assert!((250..400).contains(&m.mos_x100), "{}", m.mos_x100);
        // one of the missing ones comes, and another is missing
        call(
            &mut media,
            0,
            160,
            [(393, 0), (400, 0), (402, 0)].into_iter(),
        );
        assert_eq!(take(&mut media).lost, 0);
        call(&mut media, 0, 160, [(403, 0), (405, 0)].into_iter());
        assert_eq!(take(&mut media).lost, 1);
    }

    #[test]
    fn a_source_that_starts_anew_loses_nothing() {
        let mut media = Media::default();
        call(&mut media, 0, 160, (0..50).map(|n| (n, 0)));
        call(&mut media, 0, 160, (20_000..20_050).map(|n| (n, 0)));
        assert_eq!(take(&mut media).lost, 0);
        call(&mut media, 0, 160, [(20_051, 0)].into_iter());
        assert_eq!(take(&mut media).lost, 1);
    }

    #[test]
    fn what_was_described_names_the_codec_and_gives_the_clock() {
        let mut payloads = PayloadMap::default();
        payloads.add(111, Codec::Opus, 48_000);
        payloads.add(97, Codec::H264, 90_000);
        for (payload, codec, audio) in [(111, Codec::Opus, true), (97, Codec::H264, false)] {
            let ticks = if audio { 960 } else { 1800 };
            let mut media = Media::default();
            call(&mut media, payload, ticks, (0..1).map(|n| (n, 0)));
            assert!(media.wants_names(0) && !media.wants_names(1));
            media.set_names(0, &payloads);
            // too short for a clock to be found by watching
            call(&mut media, payload, ticks, (1..15).map(|n| (n, 0)));
            assert!(!media.wants_names(0));
            let m = take(&mut media);
            assert_eq!((m.codec, m.jitter_us), (codec, 0));
            assert_ne!(m.taken & Measure::JitterUs.bit(), 0);
            assert_eq!(m.taken & Measure::MosX100.bit() != 0, audio);
        }
        let mut media = Media::default();
        call(&mut media, 8, 160, (0..15).map(|n| (n, 0)));
        assert!(!media.wants_names(0));
        assert_eq!(take(&mut media).codec, Codec::Pcma);
    }

    #[test]
    fn a_dynamic_type_is_measured_by_its_own_clock() {
        for (ticks, audio) in [(960, true), (1800, false), (5000, false)] {
            let mut media = Media::default();
            let late = |n: u16| (n, i64::from(n % 2) * 4000);
            call(&mut media, 111, ticks, (0..2000).map(late));
            let m = take(&mut media);
            let known = ticks != 5000;
            assert_eq!(m.taken & Measure::JitterUs.bit() != 0, known);
            assert_eq!(m.taken & Measure::MosX100.bit() != 0, audio);
            assert_eq!((3900..=4000).contains(&m.jitter_us), known);
        }
    }

    #[test]
    fn tones_leave_the_jitter_alone_and_a_change_of_codec_is_followed() {
        let mut media = Media::default();
        call(&mut media, 0, 160, (0..50).map(|n| (n, 0)));
        // a tone: the timestamp stands still
        for n in 50..60u16 {
            let bytes = packet(101, n.wrapping_add(65_500), 50 * 160, 7);
            media.datagram(0, i64::from(n) * 20_000_000, &bytes);
        }
        call(&mut media, 0, 160, (60..80).map(|n| (n, 0)));
        let m = take(&mut media);
        assert_eq!((m.jitter_us, m.lost, m.rtp_payload), (0, 0, 0));
        call(&mut media, 18, 160, (80..200).map(|n| (n, 0)));
        let m = take(&mut media);
        assert_eq!((m.lost, m.rtp_payload, m.mos_x100), (0, 18, 410));
    }

    #[test]
    fn reports_time_the_way_there_and_back() {
        let mut media = Media::default();
        let mut sent = vec![0x80, 200, 0, 6];
        sent.extend([0; 4]);
        sent.extend([0, 0, 1, 2, 3, 4, 0, 0]);
        sent.extend([0; 12]);
        media.datagram(0, NS, &sent);
        let mut answer = vec![0x81, 201, 0, 7];
        answer.extend([0; 20]);
        answer.extend([1, 2, 3, 4]);
        // it lay there for half a second
        answer.extend(0x8000u32.to_be_bytes());
        media.datagram(1, 2 * NS, &answer);
        let m = take(&mut media);
        assert_eq!(
            (m.data_rtt_us, m.taken),
            (500_000, Measure::DataRttUs.bit())
        );
        for end in 0..answer.len() {
            media.datagram(1, 2 * NS, &answer[..end]);
        }
        assert_eq!(take(&mut media).taken, 0);
    }

    #[test]
    fn what_is_no_rtp_is_not_told_and_channels_of_turn_are_opened() {
        let mut media = Media::default();
        for n in 0..50u16 {
            media.datagram(0, i64::from(n) * NS, &packet(96, n.wrapping_mul(777), 0, 9));
            let mut inside = vec![0x40, 0, 0, 12];
            inside.extend(packet(0, n, u32::from(n) * 8000, 5));
            media.datagram(1, i64::from(n) * NS, &inside);
        }
        assert_eq!(take(&mut media).taken, 0);
        let mut m = Measured::default();
        media.take(1, &mut m);
        assert!(m.taken & Measure::JitterUs.bit() != 0 && m.jitter_us == 0);
    }

    #[test]
    fn opinions_are_those_of_the_model() {
        // G.711: 93.2 is 4.41; G.729 82.2 is 4.10; nothing is worse than 1
        assert_eq!(opinion(Codec::Pcmu, 0, 0, 100), 441);
        assert_eq!(opinion(Codec::G729, 0, 0, 100), 410);
        assert_eq!(opinion(Codec::Pcmu, u32::MAX, 1000, 1), 100);
        let worse: Vec<_> = (0..100)
            .map(|lost| opinion(Codec::Pcma, 20_000, lost, 100))
            .collect();
        assert!(worse.is_sorted_by(|a, b| a >= b));
    }

    proptest! {
        #[test]
        fn anything_is_survived_and_bounded(
            all in proptest::collection::vec((any::<bool>(), any::<i64>(), proptest::collection::vec(any::<u8>(), 0..60), 0u8..4), 0..100)
        ) {
            let mut media = Media::default();
            for (half, now, mut bytes, kind) in all {
                if let (Some(first), true) = (bytes.first_mut(), kind > 0) {
                    *first = 0x80 | *first & 0x3f;
                }
                media.datagram(usize::from(half), now, &bytes);
            }
            for half in 0..2 {
                prop_assert!(media.halves[half].used <= SOURCES_MAX);
                media.take(half, &mut Measured::default());
            }
        }
    }
}
