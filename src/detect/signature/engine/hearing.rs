//! Streams of connections as they come in order: what is kept of them for rules, and what is said in them.

use super::flow::Flow;
use super::program::Program;
use super::raw::{self, Spare};
use super::talk::Talk;
use crate::detect::signature::settings::EngineSettings;
use crate::ledger::Tally;
use crate::reassemble::app::{Ears, Ends, Heard};
use crate::reassemble::stream::{Piece, Segment};

/// Hears pieces of a stream.
pub(super) struct Hearing<'a> {
    pub ears: &'a mut Ears,
    pub settings: &'a EngineSettings,
    pub program: &'a Program,
    pub raw: &'a mut [raw::Raw; 2],
    pub raw_bytes: &'a mut usize,
    pub spare: &'a mut Spare,
    pub odd: &'a mut Vec<&'static str>,
    /// The connection was picked up in its middle.
    pub midway: bool,
    /// What was not looked at before bytes that are missing, by half.
    pub cut: Vec<(usize, raw::Raw)>,
}

impl Hearing<'_> {
    pub fn piece(&mut self, flow: &mut Flow, piece: &Piece<'_>, time_ns: i64, tally: &mut Tally) {
        let half = usize::from(piece.half);
        flow.counts.stream[half] += piece.bytes.len() as u64;
        if piece.gap > 0 && !matches!(flow.heard, "" | "failed") {
            self.odd.push("stream.reassembly_seq_gap");
        }
        let was_encrypted = flow.is_encrypted;
        if !flow.is_deaf && !flow.is_mute {
            self.hear(flow, piece, time_ns, tally);
        }
        // data of TLS are not looked at from their first record on; SSH is up to the message behind which it is encrypted
        let hides = was_encrypted || flow.is_encrypted && flow.heard == "tls";
        if !hides && self.program.looks_at_stream(half, flow.ports(half)) {
            let before = self.raw[half].room();
            let cut = self.raw[half].push(piece.offset, piece.gap, piece.bytes, self.spare);
            self.cut.extend(cut.map(|cut| (half, cut)));
            *self.raw_bytes = (*self.raw_bytes + self.raw[half].room()).saturating_sub(before);
        }
    }

    fn hear(&mut self, flow: &mut Flow, piece: &Piece<'_>, time_ns: i64, tally: &mut Tally) {
        let half = usize::from(piece.half);
        let (before, talk) = (flow.heard, flow.talk.take());
        let mut talk = talk.unwrap_or_else(|| {
            let mut talk = Box::new(Talk::new(self.settings, &self.program.wanted));
            if self.midway {
                talk.begins_midway();
            }
            talk
        });
        let heard = heard(flow, half, time_ns, piece.bytes);
        let was_one_sided = talk.is_one_sided();
        talk.piece(self.ears, &heard, piece, tally);
        if talk.is_one_sided() && !was_one_sided {
            flow.one_sided_by = half as u8;
        }
        flow.is_encrypted = talk.is_encrypted();
        flow.hears(talk);
        if before.is_empty() && !flow.heard.is_empty() {
            flow.told_by = half as u8;
        }
    }
}

/// Bytes of a conversation as recognisers hear them.
pub(super) fn heard<'a>(flow: &Flow, half: usize, time_ns: i64, bytes: &'a [u8]) -> Heard<'a> {
    let ends = flow.ends();
    Heard {
        ends: Ends {
            proto: flow.key.proto,
            addrs: ends.map(|e| e.0),
            ports: ends.map(|e| e.1),
        },
        half,
        time_ns,
        segment: Segment {
            bytes,
            len: bytes.len() as u32,
            ..Segment::default()
        },
        next: [None; 2],
    }
}
