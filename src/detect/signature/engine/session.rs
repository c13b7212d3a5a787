//! A TCP connection as rules see it: how far its handshake is, and which segments are part of it.

use super::talk::answers;
use crate::model::{PacketView, TcpHeader};

/// How far a connection is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// A SYN was seen.
    #[default]
    Opening,
    /// Both sides have sent one.
    Answered,
    /// Data flows.
    Established,
    /// Both sides are done.
    Ended,
    /// One side refused to go on.
    Reset,
}

/// One connection. Side 0 is the one that asked for it.
#[derive(Debug, Default)]
pub(super) struct Session {
    pub stage: Stage,
    /// Sequence number behind the SYN of each side.
    first: [Option<u32>; 2],
    /// Sequence number behind the last octet of each side.
    next: [Option<u32>; 2],
    /// Up to where the other side has said that it has what a side sent.
    acked: [Option<u32>; 2],
    fin: [bool; 2],
    /// Picked up in its middle.
    pub is_midstream: bool,
    /// Data came with the SYN.
    is_fast: bool,
    /// The side that was asked sent a SYN of its own.
    is_split: bool,
    /// By how much the windows of each side are shifted (RFC 7323 section 2.2), where its SYN was seen; none: not at all.
    shifts: [Option<Option<u8>>; 2],
    /// Up to where each side may send, as the other one said, and how wide that window was.
    allowed: [Option<(u32, u32)>; 2],
}

/// What a segment is to its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// None of it: its payload is that of a packet.
    Alien,
    /// Its payload belongs to the stream.
    Stream,
}

impl Session {
    /// A connection that this segment begins, and whether its sender is the side that was asked.
    pub fn begin(t: &TcpHeader, len: u32, midstream: bool) -> Option<(Self, bool)> {
        let syn = t.has(TcpHeader::SYN);
        let ack = t.has(TcpHeader::ACK);
        let mut session = Session::default();
        if t.has(TcpHeader::RST) || syn && t.has(TcpHeader::FIN) {
            return None;
        }
        if syn && !ack {
            session.start(0, t, len);
            return Some((session, false));
        }
        if !midstream || t.has(TcpHeader::FIN) {
            return None;
        }
        session.is_midstream = true;
        if syn {
            session.start(1, t, 0);
            session.first[0] = Some(t.ack);
            session.next[0] = Some(t.ack);
            session.stage = Stage::Answered;
            return Some((session, true));
        }
        session.stage = Stage::Established;
        session.next[0] = Some(t.seq.wrapping_add(len));
        Some((session, false))
    }

    /// Who sent the first segment of a connection that was picked up in its middle.
    pub fn from(mut self, side: usize) -> Self {
        if self.is_midstream && self.stage == Stage::Established && side == 1 {
            self.turn();
        }
        self
    }

    /// Who was taken for the client is the server.
    pub fn turn(&mut self) {
        self.first.swap(0, 1);
        self.next.swap(0, 1);
        self.acked.swap(0, 1);
        self.fin.swap(0, 1);
        self.shifts.swap(0, 1);
        self.allowed.swap(0, 1);
    }

    /// Takes a further segment of a side; `odd` gets what Suricata would raise of it, by its names.
    pub fn segment(
        &mut self,
        side: usize,
        t: &TcpHeader,
        len: u32,
        odd: &mut Vec<&'static str>,
    ) -> Part {
        if t.has(TcpHeader::RST) {
            if t.has(TcpHeader::ACK) && !self.may_acknowledge(side, t) {
                odd.extend(["stream.pkt_invalid_ack", "stream.rst_invalid_ack"]);
            } else if self.is_valid_reset(side, t) {
                self.stage = Stage::Reset;
            }
            return Part::Alien;
        }
        self.look(side, t, len, odd);
        let part = match self.stage {
            Stage::Opening => self.opening(side, t, len),
            Stage::Answered => self.answered(side, t, len),
            Stage::Established => self.established(side, t, len),
            Stage::Ended if !t.has(TcpHeader::SYN) => Part::Stream,
            Stage::Ended | Stage::Reset => Part::Alien,
        };
        if part == Part::Stream {
            self.advance(side, t, len);
        }
        part
    }

    /// What is odd about a segment where the connection is.
    fn look(&self, side: usize, t: &TcpHeader, len: u32, odd: &mut Vec<&'static str>) {
        let (syn, ack) = (t.has(TcpHeader::SYN), t.has(TcpHeader::ACK));
        let is_first = |side: usize| self.first[side] == Some(t.seq.wrapping_add(1));
        let answers = || self.acknowledges(side, t);
        match self.stage {
            Stage::Opening => match (syn, ack, side) {
                (true, true, 1) if !answers() => odd.push("stream.3whs_synack_with_wrong_ack"),
                (true, true, 0) if !self.is_split => {
                    odd.push("stream.3whs_synack_in_wrong_direction");
                }
                _ => {}
            },
            Stage::Answered => odd.extend(match (syn, ack, side) {
                (true, true, 1) if !answers() => {
                    Some("stream.3whs_synack_resend_with_different_ack")
                }
                (true, true, 0) if !self.is_split => {
                    Some("stream.3whs_synack_toserver_on_syn_recv")
                }
                (true, false, 1) => Some("stream.3whs_syn_toclient_on_syn_recv"),
                (true, false, 0) if !is_first(0) => {
                    Some("stream.3whs_syn_resend_diff_seq_on_syn_recv")
                }
                (false, true, 1) if self.next[1] != Some(t.seq) => {
                    Some("stream.3whs_wrong_seq_wrong_ack")
                }
                (false, true, 0) if !answers() => Some(match self.next[0] == Some(t.seq) {
                    true => "stream.3whs_right_seq_wrong_ack_evasion",
                    false => "stream.3whs_wrong_seq_wrong_ack",
                }),
                _ => None,
            }),
            Stage::Established => self.look_at_established(side, t, len, odd),
            Stage::Ended | Stage::Reset => {}
        }
    }

    fn look_at_established(
        &self,
        side: usize,
        t: &TcpHeader,
        len: u32,
        odd: &mut Vec<&'static str>,
    ) {
        let is_first = self.first[side] == Some(t.seq.wrapping_add(1));
        match (t.has(TcpHeader::SYN), t.has(TcpHeader::ACK), side) {
            (true, true, 0) => odd.push("stream.est_synack_toserver"),
            (true, true, _) => {
                let other = self.acked[0].is_some_and(|acked| acked != t.ack);
                // before anything was said the acknowledgement of it may be lost
                let is_silent = self.first == self.next;
                odd.extend(match (other, is_first) {
                    (true, _) => Some("stream.est_synack_resend_with_different_ack"),
                    (false, false) => Some("stream.est_synack_resend_with_diff_seq"),
                    (false, true) if is_silent => None,
                    (false, true) => Some("stream.est_synack_resend"),
                });
            }
            (true, false, 1) => odd.push("stream.est_syn_toclient"),
            (true, false, _) if is_first => odd.push("stream.est_syn_resend"),
            (true, false, _) => odd.push("stream.est_syn_resend_diff_seq"),
            (false, ack, _) => {
                let fin = t.has(TcpHeader::FIN);
                let is_before =
                    self.acked[side].is_some_and(|a| (t.seq.wrapping_sub(a) as i32) < 0);
                if fin && !self.fin[side] && (is_before || self.is_beyond_window(side, t, len + 1))
                {
                    odd.push("stream.fin_out_of_window");
                } else if !fin && self.is_beyond_window(side, t, len) {
                    odd.push("stream.est_packet_out_of_window");
                }
                // what the other side has no room to send
                let beyond =
                    self.allowed[1 - side].map(|(edge, _)| t.ack.wrapping_sub(edge) as i32);
                if ack && beyond.is_some_and(|n| n > 1) {
                    odd.push("stream.pkt_invalid_ack");
                    odd.push("stream.est_invalid_ack");
                }
                let end = t.seq.wrapping_add(len);
                let before = self.acked[side].map(|a| end.wrapping_sub(a) as i32);
                if len > 1 && before.is_some_and(|n| n <= 0) {
                    odd.push("stream.pkt_spurious_retransmission");
                }
            }
        }
    }

    /// Takes in what a segment says of the window of its sender; `shift` is that of the option of a SYN, if there is one, where its
    /// options were captured.
    pub fn window(&mut self, side: usize, t: &TcpHeader, shift: Option<Option<u8>>) {
        let syn = t.has(TcpHeader::SYN);
        if syn {
            self.shifts[side] = shift;
        }
        if !t.has(TcpHeader::ACK) || t.has(TcpHeader::RST) {
            return;
        }
        // what acknowledges more than may have been sent says nothing
        let edge = self.allowed[1 - side].map(|(edge, _)| t.ack.wrapping_sub(edge) as i32);
        if edge.is_some_and(|n| n > 1) || syn && !self.acknowledges(side, t) {
            return;
        }
        let acked = &mut self.acked[1 - side];
        if acked.is_none_or(|now| t.ack.wrapping_sub(now) as i32 > 0) {
            *acked = Some(t.ack);
        }
        let shift = match self.shifts {
            _ if syn => 0,
            [Some(Some(_)), Some(Some(_))] => self.shifts[side].flatten().unwrap_or(0),
            [Some(_), Some(_)] => 0,
            // not known: as wide as any may be
            _ => SHIFT_MAX,
        };
        let width = u32::from(t.window) << shift.min(SHIFT_MAX);
        let edge = t.ack.wrapping_add(width);
        let allowed = &mut self.allowed[1 - side];
        // a window does not shrink (RFC 9293 section 3.8.6.2.1)
        if allowed.is_none_or(|(now, _)| edge.wrapping_sub(now) as i32 > 0) {
            *allowed = Some((edge, width));
        }
    }

    /// Whether a segment lies far beyond what the other side has room for: a window is left for what was not captured.
    fn is_beyond_window(&self, side: usize, t: &TcpHeader, len: u32) -> bool {
        let Some((edge, width)) = self.allowed[side].filter(|_| len > 0) else {
            return false;
        };
        i64::from(t.seq.wrapping_sub(edge) as i32) > i64::from(width)
    }

    /// Whether data flows, or flowed.
    pub fn is_established(&self) -> bool {
        self.stage >= Stage::Established
    }

    /// Sequence number behind the last octet that a side sent.
    pub fn end(&self, side: usize) -> Option<u32> {
        self.next[side]
    }

    /// Whether the other side has said that it has all that a side sent.
    pub fn is_acked(&self, side: usize) -> bool {
        self.acked[side].is_some() && self.acked[side] == self.next[side]
    }

    /// Whether a SYN begins another connection between the same ends.
    pub fn is_renewed_by(&self, side: usize, t: &TcpHeader) -> bool {
        let syn = t.has(TcpHeader::SYN) && !t.has(TcpHeader::ACK);
        match self.stage {
            _ if !syn => false,
            Stage::Ended | Stage::Reset => true,
            Stage::Established => {
                side == 0
                    && self.first[0].is_some_and(|f| f != t.seq.wrapping_add(1))
                    && self.fin.iter().any(|f| *f)
            }
            _ => false,
        }
    }

    fn start(&mut self, side: usize, t: &TcpHeader, len: u32) {
        let first = t.seq.wrapping_add(1);
        self.first[side] = Some(first);
        self.next[side] = Some(first.wrapping_add(len));
        self.is_fast |= len > 0;
    }

    fn opening(&mut self, side: usize, t: &TcpHeader, len: u32) -> Part {
        match (t.has(TcpHeader::SYN), t.has(TcpHeader::ACK), side) {
            (true, true, 1) if self.acknowledges(side, t) => {
                self.start(1, t, len);
                self.stage = Stage::Answered;
                Part::Stream
            }
            // the side that was asked asks, too: a handshake of four or five segments
            (true, false, 1) => {
                self.start(1, t, 0);
                self.is_split = true;
                Part::Stream
            }
            (true, true, 0) if self.is_split && self.acknowledges(side, t) => {
                self.stage = Stage::Answered;
                Part::Stream
            }
            (true, false, 0) => {
                self.start(0, t, len);
                Part::Stream
            }
            // data behind a SYN that carried some
            (false, _, 0) if self.is_fast => Part::Stream,
            (false, true, 0) if self.is_split && self.acknowledges(side, t) => {
                self.stage = Stage::Established;
                Part::Stream
            }
            _ => Part::Alien,
        }
    }

    fn answered(&mut self, side: usize, t: &TcpHeader, len: u32) -> Part {
        if t.has(TcpHeader::SYN) {
            // sent again, or the answer of a split handshake
            if side == 1 && t.has(TcpHeader::ACK) && self.acknowledges(side, t) {
                self.start(1, t, len);
            }
            return Part::Stream;
        }
        if !t.has(TcpHeader::ACK) || !self.acknowledges(side, t) {
            return Part::Alien;
        }
        self.stage = Stage::Established;
        Part::Stream
    }

    fn established(&mut self, side: usize, t: &TcpHeader, len: u32) -> Part {
        if t.has(TcpHeader::SYN) || self.is_beyond_window(side, t, len) {
            return Part::Alien;
        }
        // what acknowledges far more than was sent is of another connection, or of nobody
        let acked = self.next[1 - side].map(|n| t.ack.wrapping_sub(n) as i32);
        let beyond = t.has(TcpHeader::ACK) && acked.is_some_and(|n| n > WINDOW_MAX);
        let ahead = self.next[side].map(|n| t.seq.wrapping_sub(n) as i32);
        if beyond || ahead.is_some_and(|n| n.unsigned_abs() > WINDOW_MAX.unsigned_abs()) {
            return Part::Alien;
        }
        Part::Stream
    }

    fn advance(&mut self, side: usize, t: &TcpHeader, len: u32) {
        let end = t.seq.wrapping_add(len);
        let end = end.wrapping_add(u32::from(t.has(TcpHeader::SYN)));
        let is_further = |now: u32| (end.wrapping_sub(now) as i32) > 0;
        if self.next[side].is_none_or(is_further) {
            self.next[side] = Some(end);
        }
        if t.has(TcpHeader::FIN) {
            self.fin[side] = true;
            if self.fin == [true; 2] && self.stage == Stage::Established {
                self.stage = Stage::Ended;
            }
        }
    }

    /// Whether the number that is acknowledged is one that the other side sent with its SYN and behind it.
    fn acknowledges(&self, side: usize, t: &TcpHeader) -> bool {
        let other = 1 - side;
        match (self.first[other], self.next[other]) {
            (Some(first), Some(next)) => {
                let room = next.wrapping_sub(first);
                t.ack.wrapping_sub(first) <= room
            }
            _ => true,
        }
    }

    /// Whether a reset acknowledges what the other side may have sent.
    fn may_acknowledge(&self, side: usize, t: &TcpHeader) -> bool {
        if self.stage == Stage::Opening {
            return self.acknowledges(side, t);
        }
        let beyond = self.allowed[1 - side].map(|(edge, _)| t.ack.wrapping_sub(edge) as i32);
        beyond.is_none_or(|n| n <= 1)
    }

    fn is_valid_reset(&self, side: usize, t: &TcpHeader) -> bool {
        match self.next[side] {
            Some(next) => {
                let away = t.seq.wrapping_sub(next) as i32;
                away.unsigned_abs() <= WINDOW_MAX.unsigned_abs()
            }
            None => !t.has(TcpHeader::ACK) || self.acknowledges(side, t),
        }
    }
}

/// Whether what a side says first is what a server says, and not a client.
pub(super) fn is_answer(p: &PacketView<'_>) -> bool {
    let is_hello = matches!(p.payload(), [22, 3, _, _, _, 2, ..]);
    is_hello || answers(p.ports(), [p.src, p.dst], p.payload())
}

/// Whether a datagram that begins a conversation is an answer of DNS between two servers (RFC 1035 section 4.1.1): elsewhere Suricata looks at ports.
pub(super) fn is_answer_of_datagrams(p: &PacketView<'_>) -> bool {
    p.proto == 17 && p.ports() == (53, 53) && p.payload().get(2).is_some_and(|b| b & 0x80 != 0)
}

/// The widest window (RFC 7323 section 2.3), about.
const WINDOW_MAX: i32 = 1 << 30;
/// The widest shift of a window (RFC 7323 section 2.3).
const SHIFT_MAX: u8 = 14;

/// What this file and its callers raise.
#[rustfmt::skip]
pub(in super::super) const RAISED: &[&str] = &[
    "stream.rst_invalid_ack", "stream.3whs_synack_with_wrong_ack", "stream.3whs_synack_in_wrong_direction",
    "stream.3whs_synack_resend_with_different_ack",
    "stream.3whs_synack_toserver_on_syn_recv", "stream.3whs_syn_toclient_on_syn_recv", "stream.3whs_syn_resend_diff_seq_on_syn_recv",
    "stream.3whs_right_seq_wrong_ack_evasion", "stream.3whs_wrong_seq_wrong_ack",
    "stream.est_synack_toserver", "stream.est_synack_resend_with_different_ack", "stream.est_synack_resend_with_diff_seq",
    "stream.est_synack_resend", "stream.est_syn_toclient", "stream.est_syn_resend", "stream.est_syn_resend_diff_seq",
    "stream.fin_out_of_window", "stream.est_packet_out_of_window", "stream.pkt_invalid_ack", "stream.est_invalid_ack",
    "stream.pkt_spurious_retransmission", "stream.fin_but_no_session", "stream.rst_but_no_session", "stream.pkt_broken_ack",
    "stream.reassembly_overlap_different_data", "stream.reassembly_seq_gap",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_half_the_numbers_away_is_of_another_connection() {
        let segment = |flags, seq| TcpHeader {
            flags,
            seq,
            ..TcpHeader::default()
        };
        let ack = segment(TcpHeader::ACK, 1_000);
        let (mut session, _) = Session::begin(&ack, 0, true).unwrap();
        let far = segment(0, 1_000 + (1 << 31));
        assert_eq!(session.segment(0, &far, 1, &mut vec![]), Part::Alien);
        let reset = segment(TcpHeader::RST, 1_000 + (1 << 31));
        session.segment(0, &reset, 0, &mut vec![]);
        assert_eq!(session.stage, Stage::Established);
    }
}
