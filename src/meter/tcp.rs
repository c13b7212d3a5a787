//! TCP from the sensor's place: how a connection opens and ends, and how well it goes.
//!
//! What counts as sent again, as late, as a duplicate acknowledgement is what Wireshark's user guide tells of its
//! sequence analysis (section 7.5), so that an operator finds the same numbers there.

use super::Measured;
use crate::model::{Handshake, Measure, PacketView, TcpHeader};

/// A connection. Half 0 is the side that began.
#[derive(Clone, Debug, Default)]
pub(super) struct Tcp {
    halves: [Side; 2],
    syn_ns: i64,
    syn_ack_ns: i64,
    /// Sequence number that acknowledges the SYN-ACK.
    syn_ack_end: u32,
    /// Round trip of the handshake, nanoseconds; 0: not known.
    handshake_ns: i64,
    /// First data of half 0 that half 1 did not answer.
    asked_ns: i64,
    opening: Opening,
    /// The outcome of the handshake was told.
    opening_told: bool,
    first_byte_told: bool,
}

/// How far the handshake is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Opening {
    /// Not seen from its start.
    #[default]
    Unseen,
    Asked,
    Answered,
    Complete,
    Refused,
}

/// What one side sent.
#[derive(Clone, Debug, Default)]
struct Side {
    /// Sequence number behind the highest byte.
    next: u32,
    /// When it rose to that.
    next_ns: i64,
    ack: u32,
    last_dup_ns: i64,
    /// The segment whose acknowledgement is timed ends here.
    timed_end: u32,
    /// When it was sent; 0: none is timed.
    timed_ns: i64,
    window: u16,
    dups: u16,
    /// Sequence number of its first SYN.
    opened: Option<u32>,
    known: bool,
    acked: bool,
    kept_alive: bool,
    fin: bool,
    m: Counts,
    data_rtt_ns: i64,
    data_rtts: u32,
}

/// What was measured of a side since it was told last.
#[derive(Clone, Debug, Default)]
struct Counts {
    /// [`Measure`] bits of the times.
    taken: u32,
    rtt_us: u32,
    ttfb_us: u32,
    retransmits: u32,
    out_of_order: u32,
    dup_acks: u32,
    zero_windows: u32,
    resets: u32,
}

/// What a segment did to its connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Effect {
    /// Both sides took part: no flood looks so.
    pub established: bool,
    /// Closed or reset.
    pub closed: bool,
}

impl Tcp {
    /// Whether a SYN is that of another connection than this one, which is over or was forgotten by its ends.
    pub fn is_renewed_by(&self, t: &TcpHeader, half: usize, is_closed: bool) -> bool {
        let opens = t.flags & (TcpHeader::SYN | TcpHeader::ACK) == TcpHeader::SYN;
        let side = &self.halves[half];
        // a copy of the one that began this connection begins no other, however late it comes
        let again = side.opened == Some(t.seq) || side.known && side.next == t.seq.wrapping_add(1);
        opens
            && !again
            && (is_closed || matches!(self.opening, Opening::Complete | Opening::Unseen))
    }

    /// Whether the first segment that is seen of a half can answer the other half, by what it acknowledges.
    pub fn is_answered_by(&self, half: usize, t: &TcpHeader) -> bool {
        let asked = &self.halves[1 - half];
        asked.known && t.has(TcpHeader::ACK) && distance(t.ack, asked.next) <= WINDOW_ROOM
    }

    /// The sequence numbers at which the halves go on, where that is known.
    pub fn next(&self) -> [Option<u32>; 2] {
        let next = |side: &Side| side.known.then_some(side.next);
        let [a, b] = &self.halves;
        [next(a), next(b)]
    }

    /// Takes a segment of a half.
    #[inline]
    pub fn segment(&mut self, half: usize, p: &PacketView<'_>, t: &TcpHeader) -> Effect {
        let now = p.time_ns;
        self.open(half, now, t);
        self.measure(half, p, t);
        self.time_data(half, p, t);
        let rst = t.has(TcpHeader::RST) && self.is_plausible_reset(half, t);
        let side = &mut self.halves[half];
        side.fin |= t.has(TcpHeader::FIN);
        side.m.resets += u32::from(t.has(TcpHeader::RST));
        if rst && matches!(self.opening, Opening::Asked | Opening::Answered) && half == 1 {
            self.opening = Opening::Refused;
        }
        let [a, b] = &self.halves;
        let data = match self.opening {
            Opening::Complete => true,
            // picked up in its middle: both acknowledge what the other sends
            Opening::Unseen => a.acked && b.acked,
            _ => false,
        };
        Effect {
            established: data,
            closed: rst || a.fin && b.fin,
        }
    }

    /// Whether the connection stands or stood: what a silence of it does not end.
    pub fn is_open(&self) -> bool {
        let [a, b] = &self.halves;
        a.known && b.known && !(a.fin && b.fin)
    }

    /// What was measured of a half since this was asked last; `over` when nothing more will come.
    pub fn take(&mut self, half: usize, over: bool) -> Measured {
        let side = &mut self.halves[half];
        let of = std::mem::take(&mut side.m);
        let mut m = Measured {
            taken: of.taken | COUNTED,
            rtt_us: of.rtt_us,
            ttfb_us: of.ttfb_us,
            retransmits: of.retransmits,
            out_of_order: of.out_of_order,
            dup_acks: of.dup_acks,
            zero_windows: of.zero_windows,
            resets: of.resets,
            ..Default::default()
        };
        if side.data_rtts > 0 {
            m.data_rtt_us = micros(side.data_rtt_ns / i64::from(side.data_rtts));
            m.taken |= Measure::DataRttUs.bit();
            (side.data_rtt_ns, side.data_rtts) = (0, 0);
        }
        if half == 0 && !self.opening_told {
            m.handshake = match self.opening {
                Opening::Complete => Handshake::Complete,
                Opening::Refused => Handshake::Refused,
                Opening::Asked if over => Handshake::Unanswered,
                _ => Handshake::None,
            };
            self.opening_told = m.handshake != Handshake::None;
        }
        m
    }

    /// Follows the handshake.
    fn open(&mut self, half: usize, now: i64, t: &TcpHeader) {
        let syn = t.has(TcpHeader::SYN);
        let ack = t.has(TcpHeader::ACK);
        match (syn, ack) {
            (true, false) if half == 0 && !matches!(self.opening, Opening::Complete) => {
                self.opening = Opening::Asked;
                self.syn_ns = now;
            }
            (true, true) if half == 1 && self.opening == Opening::Asked => {
                self.opening = Opening::Answered;
                self.syn_ack_ns = now;
                self.syn_ack_end = t.seq.wrapping_add(1);
                let rtt = now.saturating_sub(self.syn_ns).max(0);
                self.halves[0].m.set_rtt(rtt);
                self.handshake_ns = rtt;
            }
            (false, true)
                if half == 0
                    && self.opening == Opening::Answered
                    && !t.has(TcpHeader::RST)
                    && !before(t.ack, self.syn_ack_end) =>
            {
                self.opening = Opening::Complete;
                let rtt = now.saturating_sub(self.syn_ack_ns).max(0);
                self.halves[1].m.set_rtt(rtt);
                self.handshake_ns = self.handshake_ns.saturating_add(rtt);
            }
            _ => {}
        }
    }

    /// Counts what a segment is beside data in order.
    fn measure(&mut self, half: usize, p: &PacketView<'_>, t: &TcpHeader) {
        let now = p.time_ns;
        let late = if self.handshake_ns > 0 {
            self.handshake_ns
        } else {
            LATE_NS
        };
        let (side, other) = pair(&mut self.halves, half);
        let odd = t.flags & (TcpHeader::SYN | TcpHeader::FIN | TcpHeader::RST);
        let len = p.payload_len;
        let takes =
            len + u32::from(odd & TcpHeader::SYN != 0) + u32::from(odd & TcpHeader::FIN != 0);
        let end = t.seq.wrapping_add(takes);
        let keeps_alive = side.known && odd == 0 && len <= 1 && t.seq == side.next.wrapping_sub(1);
        side.m.zero_windows += u32::from(t.window == 0 && odd == 0);
        let repeats = side.acked
            && odd == 0
            && len == 0
            && t.window != 0
            && t.window == side.window
            && t.seq == side.next
            && t.ack == side.ack
            && !other.kept_alive;
        if repeats {
            side.m.dup_acks += 1;
            side.dups = side.dups.saturating_add(1);
            side.last_dup_ns = now;
        } else {
            side.dups = 0;
        }
        let seen = side.known
            && takes > 0
            && odd & TcpHeader::RST == 0
            && before(t.seq, side.next)
            && !keeps_alive
            && !(len > 1 && t.seq == side.next.wrapping_sub(1));
        if seen {
            let asked = other.dups >= 2
                && other.ack == t.seq
                && now.saturating_sub(other.last_dup_ns) < ASKED_NS;
            let soon = now.saturating_sub(side.next_ns) < late && side.next != end;
            // what the other side has already is late for nobody
            let spurious = len > 0 && other.acked && !before(other.ack, t.seq.wrapping_add(len));
            if soon && !asked && !spurious {
                side.m.out_of_order += 1;
            } else {
                side.m.retransmits += 1;
                // nobody knows which of the two is acknowledged (Karn)
                side.timed_ns = 0;
            }
        }
        if odd & TcpHeader::SYN != 0 && side.opened.is_none() {
            side.opened = Some(t.seq);
        }
        side.kept_alive = keeps_alive;
        if odd & TcpHeader::RST == 0 && (!side.known || before(side.next, end)) {
            side.known = true;
            side.next = end;
            side.next_ns = now;
        }
        if t.has(TcpHeader::ACK) {
            (side.ack, side.acked) = (t.ack, true);
        }
        side.window = t.window;
    }

    /// Times data to its acknowledgement, and a question to the first byte of its answer.
    fn time_data(&mut self, half: usize, p: &PacketView<'_>, t: &TcpHeader) {
        let now = p.time_ns;
        let (side, other) = pair(&mut self.halves, half);
        let end = t.seq.wrapping_add(p.payload_len);
        if p.payload_len > 0 && side.timed_ns == 0 && side.next == end && side.next_ns == now {
            (side.timed_end, side.timed_ns) = (end, now);
        }
        if t.has(TcpHeader::ACK) && other.timed_ns != 0 && !before(t.ack, other.timed_end) {
            let rtt = now.saturating_sub(other.timed_ns).max(0);
            other.data_rtt_ns = other.data_rtt_ns.saturating_add(rtt);
            other.data_rtts += 1;
            other.timed_ns = 0;
        }
        if p.payload_len == 0 || self.first_byte_told {
            return;
        }
        if half == 0 && self.asked_ns == 0 {
            self.asked_ns = now;
        } else if half == 1 {
            self.first_byte_told = true;
            if self.asked_ns != 0 {
                let m = &mut self.halves[1].m;
                m.ttfb_us = micros(now.saturating_sub(self.asked_ns));
                m.taken |= Measure::TtfbUs.bit();
            }
        }
    }

    /// A reset is believed where its sequence number is one that the other side would (RFC 5961 section 3, with the room of
    /// a large window).
    fn is_plausible_reset(&self, half: usize, t: &TcpHeader) -> bool {
        let (side, other) = (&self.halves[half], &self.halves[1 - half]);
        if side.known {
            return distance(t.seq, side.next) <= WINDOW_ROOM;
        }
        // the answer to a SYN: it acknowledges it
        !other.known || t.has(TcpHeader::ACK) && distance(t.ack, other.next) <= 1
    }
}

impl Counts {
    fn set_rtt(&mut self, rtt_ns: i64) {
        self.rtt_us = micros(rtt_ns);
        self.taken |= Measure::RttUs.bit();
    }
}

/// Microseconds of a time that may be anything.
fn micros(ns: i64) -> u32 {
    u32::try_from(ns.max(0) / 1000).unwrap_or(u32::MAX)
}

/// Whether a sequence number is before another (RFC 9293 section 3.4).
#[inline]
fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

/// How far two sequence numbers are from each other.
fn distance(a: u32, b: u32) -> u32 {
    (a.wrapping_sub(b) as i32).unsigned_abs()
}

fn pair(halves: &mut [Side; 2], half: usize) -> (&mut Side, &mut Side) {
    let [a, b] = halves;
    if half == 0 { (a, b) } else { (b, a) }
}

/// Behind this a segment that fills a gap was sent again, where the round trip is not known.
const LATE_NS: i64 = 3_000_000;
/// So soon behind duplicate acknowledgements a segment answers them.
const ASKED_NS: i64 = 20_000_000;
/// How far a reset, or the acknowledgement of an answer, may be from what comes next.
const WINDOW_ROOM: u32 = 1 << 20;
/// What is counted of every connection.
const COUNTED: u32 = Measure::Retransmits.bit()
    | Measure::OutOfOrder.bit()
    | Measure::DupAcks.bit()
    | Measure::ZeroWindows.bit()
    | Measure::Resets.bit();

#[cfg(test)]
mod tests {
    use super::super::sample::Sample;
    use super::*;

    const SYN: u16 = TcpHeader::SYN;
    const ACK: u16 = TcpHeader::ACK;
    const FIN: u16 = TcpHeader::FIN;
    const RST: u16 = TcpHeader::RST;

    /// (half, ms, flags, seq, ack, payload length)
    type Step = (usize, i64, u16, u32, u32, usize);

    fn play(steps: &[Step]) -> (Tcp, Effect) {
        let (mut tcp, mut last) = (Tcp::default(), Effect::default());
        for &(half, ms, flags, seq, ack, len) in steps {
            let s = Sample::tcp().at(ms).segment(flags, seq, ack, &vec![7; len]);
            let view = s.view(half == 1);
            let t = view.tcp().expect("TCP");
            last = tcp.segment(half, &view, &t);
        }
        (tcp, last)
    }

    const OPEN: [Step; 3] = [
        (0, 1000, SYN, 100, 0, 0),
        (1, 1030, SYN | ACK, 500, 101, 0),
        (0, 1040, ACK, 101, 501, 0),
    ];

    #[test]
    fn times_of_an_exchange() {
        let mut steps = OPEN.to_vec();
        steps.extend([
            (0, 1100, ACK, 101, 501, 50),
            (1, 1130, ACK, 501, 151, 0),
            (1, 1200, ACK, 501, 151, 10),
            (0, 1210, ACK | FIN, 151, 511, 0),
            (1, 1240, ACK | FIN, 511, 152, 0),
        ]);
        let (mut tcp, effect) = play(&steps);
        assert!(effect.closed && effect.established);
        let (a, b) = (tcp.take(0, true), tcp.take(1, true));
        assert_eq!((a.rtt_us, b.rtt_us), (30_000, 10_000));
        assert_eq!((a.data_rtt_us, b.data_rtt_us), (30_000, 10_000));
        assert_eq!((b.ttfb_us, a.taken & Measure::TtfbUs.bit()), (100_000, 0));
        assert_eq!(
            (a.handshake, b.handshake),
            (Handshake::Complete, Handshake::None)
        );
        assert_eq!((a.retransmits, b.dup_acks, b.out_of_order), (0, 0, 0));
        // told once
        let a = tcp.take(0, true);
        assert_eq!((a.taken, a.handshake), (COUNTED, Handshake::None));
    }

    #[test]
    fn sent_again_late_and_asked_for() {
        let mut steps = OPEN.to_vec();
        steps.extend([
            (0, 1100, ACK, 101, 501, 10),
            (0, 1101, ACK, 121, 501, 10),
            // fills the gap within the round trip
            (0, 1102, ACK, 111, 501, 10),
            (1, 1103, ACK, 501, 131, 0),
            (1, 1104, ACK, 501, 131, 0),
            (1, 1105, ACK, 501, 131, 0),
            (0, 1106, ACK, 141, 501, 10),
            // asked for by two duplicates
            (0, 1107, ACK, 131, 501, 10),
            // long after
            (0, 1400, ACK, 141, 501, 10),
            // asks whether the other side lives
            (0, 1500, ACK, 150, 501, 0),
            (1, 1501, ACK, 501, 131, 0),
        ]);
        let (mut tcp, _) = play(&steps);
        let (a, b) = (tcp.take(0, false), tcp.take(1, false));
        assert_eq!((a.out_of_order, a.retransmits), (1, 2));
        assert_eq!(b.dup_acks, 2);
    }

    #[test]
    fn how_a_handshake_fails() {
        let (mut tcp, effect) = play(&OPEN[..1]);
        assert_eq!(effect, Effect::default());
        assert_eq!(tcp.take(0, false).handshake, Handshake::None);
        assert_eq!(tcp.take(0, true).handshake, Handshake::Unanswered);
        let (mut tcp, effect) = play(&[OPEN[0], (1, 1010, RST | ACK, 0, 101, 0)]);
        assert!(effect.closed);
        assert_eq!(tcp.take(0, true).handshake, Handshake::Refused);
        assert_eq!(tcp.take(1, true).resets, 1);
    }

    #[test]
    fn a_reset_from_nowhere_closes_nothing() {
        let mut steps = OPEN.to_vec();
        steps.push((1, 1100, RST, 500 + (1 << 24), 0, 0));
        assert!(!play(&steps).1.closed);
        steps.push((1, 1100, RST, 501, 0, 0));
        assert!(play(&steps).1.closed);
    }

    #[test]
    fn another_connection_of_the_same_ports() {
        let (tcp, _) = play(&OPEN);
        let syn = |seq| TcpHeader {
            seq,
            flags: SYN,
            ..Default::default()
        };
        assert!(tcp.is_renewed_by(&syn(9999), 0, false));
        // a copy of its SYN behind data
        let (later, _) = play(&[OPEN[0], OPEN[1], OPEN[2], (0, 1100, ACK, 101, 501, 50)]);
        assert!(!later.is_renewed_by(&syn(100), 0, false));
        assert!(!later.is_renewed_by(&syn(100), 0, true));
        assert!(later.is_renewed_by(&syn(101), 0, true));
        let (half_open, _) = play(&OPEN[..1]);
        assert!(!half_open.is_renewed_by(&syn(100), 0, false));
        assert!(!half_open.is_renewed_by(&syn(200), 0, false));
    }
}
