//! The first bytes of a conversation, until they tell what is spoken.

use super::taken::{self, Taken};
use super::{FIRST_MAX, PEEK, Stage, Talk};
use crate::ledger::Tally;
use crate::model::AppProto;
use crate::reassemble::app::{Ears, Heard, Listener};
use crate::reassemble::stream::Piece;

/// First bytes of both halves, while they told nothing.
#[derive(Debug, Default)]
pub(super) struct First {
    pub kept: [Vec<u8>; 2],
    /// Nothing more of a half tells.
    pub done: [bool; 2],
    /// A half told nothing, or something else than the other one.
    pub silent: [bool; 2],
    /// What came before is not known.
    pub is_midway: bool,
    /// Who spoke first.
    pub began: Option<usize>,
    /// One half told what is spoken, the other one nothing.
    pub is_one_sided: bool,
}

impl Talk {
    /// Whether a half tells the same as the other one, by which it is known what is spoken.
    pub(super) fn look_back(&mut self, heard: &Heard<'_>, half: usize) {
        let first = &mut self.first;
        let bytes = [&first.kept[0][..], &first.kept[1]];
        let taken = match (self.listener.proto(), half) {
            (AppProto::Http2, 1) => taken::settings(bytes[1]),
            _ => taken::stream(&heard.ends, half, bytes),
        };
        if taken != Taken::More {
            first.silent[half] = taken != Taken::Is(self.listener.proto());
            first.is_one_sided |= taken == Taken::Nobody;
            (first.done[half], first.kept[half]) = (true, vec![]);
        }
    }

    /// Bytes of which it is not known yet what they are.
    pub(super) fn open(
        &mut self,
        ears: &mut Ears,
        heard: &Heard<'_>,
        piece: &Piece<'_>,
        tally: &mut Tally,
    ) {
        let half = usize::from(piece.half);
        let first = &mut self.first;
        let began = *first.began.get_or_insert(half);
        if piece.gap > 0 {
            // what comes behind a hole may begin anew
            (first.kept[half], first.done[half]) = (vec![], false);
        }
        let is_first = first.kept[half].is_empty();
        if first.kept[half].len() + piece.bytes.len() > FIRST_MAX && !is_first {
            return self.fail();
        }
        if !is_first {
            first.kept[half].extend_from_slice(piece.bytes);
        }
        let mut taken = Taken::Nobody;
        if !first.done[half] {
            let mut bytes = [&first.kept[0][..], &first.kept[1]];
            if is_first {
                bytes[half] = piece.bytes;
            }
            taken = taken::stream(&heard.ends, half, bytes);
        }
        if !matches!(taken, Taken::Is(_))
            && let Some(proto @ AppProto::FtpData) = ears.expected(heard)
        {
            taken = Taken::Is(proto);
            if let Some(transfer) = ears.take_transfer(heard) {
                self.said.more().ftp.transfer = Some(transfer);
            }
        }
        match taken {
            Taken::Is(proto)
                if began == 1 && !first.is_midway && taken::begins_with_client(proto) =>
            {
                self.fail();
            }
            Taken::Is(proto) => self.begins(ears, heard, piece, (proto, is_first), tally),
            _ => {
                first.done[half] |= taken == Taken::Nobody;
                if first.done == [true; 2] || piece.bytes.len() > FIRST_MAX {
                    self.fail();
                } else if is_first {
                    first.kept[half].extend_from_slice(piece.bytes);
                }
            }
        }
    }

    /// What is spoken is known: what was kept is heard, and what tells.
    fn begins(
        &mut self,
        ears: &mut Ears,
        heard: &Heard<'_>,
        piece: &Piece<'_>,
        (proto, is_first): (AppProto, bool),
        tally: &mut Tally,
    ) {
        let half = usize::from(piece.half);
        let first = &mut self.first;
        (self.listener, self.stage) = (Listener::known(proto, true), Stage::Known);
        let kept = std::mem::take(&mut first.kept);
        // few bytes that tell nothing yet are heard behind the answer that tells
        let waits = proto == AppProto::Http && half == 1 && !first.done[0];
        let other = &kept[1 - half];
        first.kept[1 - half].extend_from_slice(&other[..other.len().min(PEEK)]);
        first.done[half] = true;
        if !other.is_empty() {
            self.look_back(heard, 1 - half);
        }
        let order = match waits {
            true => [half, 1 - half],
            false => [1 - half, half],
        };
        for n in order {
            let bytes = match n == half && is_first {
                true => piece.bytes,
                false => &kept[n],
            };
            let (heard, half) = (Heard { half: n, ..*heard }, n as u8);
            if !bytes.is_empty() {
                let piece = Piece {
                    half,
                    bytes,
                    gap: 0,
                    ..*piece
                };
                self.hear(ears, &heard, &piece, tally);
            }
        }
    }
}
