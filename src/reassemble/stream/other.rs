//! Octets beside those that were handed out: others for the same place, and those that came after they were given up.

use super::{Half, Streams};

/// Octets of a place for which others stand, or none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Other {
    /// Which direction.
    pub half: u8,
    /// Place of the first byte in the stream.
    pub at: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// No others stand there: they came after what follows them was handed out, because it was acknowledged.
    pub is_late: bool,
}

impl Streams {
    /// Keeps such octets until they are taken.
    pub fn with_others(mut self) -> Self {
        self.others = Some(vec![]);
        self
    }

    /// Those of the latest segment, and of what waited.
    pub fn take_others(&mut self) -> Vec<Other> {
        self.others.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Keeps what lies in the last hole of a half: each octet once.
    pub(super) fn find_late(&mut self, h: &mut Half, half: usize, at: i64, bytes: &[u8]) {
        let end = at + bytes.len() as i64;
        let (from, to) = (at.max(h.hole.0 as i64), end.min(h.hole.1 as i64));
        let place = usize::try_from(from - at).ok();
        let len = usize::try_from(to - from).ok().filter(|len| *len > 0);
        let (Some(place), Some(len)) = (place, len) else {
            return;
        };
        let (from, to) = (from as u64, to as u64);
        match h.hole {
            (begin, end) if to == end && from > begin => h.hole.1 = from,
            _ => h.hole.0 = to,
        }
        keep(
            &mut self.others,
            half,
            from,
            &bytes[place..place + len],
            true,
        );
    }
}

/// Keeps octets, where somebody wants them and there is room.
pub(super) fn keep(
    others: &mut Option<Vec<Other>>,
    half: usize,
    at: u64,
    bytes: &[u8],
    is_late: bool,
) {
    if let Some(others) = others.as_mut().filter(|o| o.len() < OTHERS_MAX) {
        others.push(Other {
            half: half as u8,
            at,
            bytes: bytes.to_vec(),
            is_late,
        });
    }
}

/// Pieces that are kept until they are taken.
const OTHERS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::super::{Segment, Stream};
    use super::*;
    use crate::ledger::Tally;
    use crate::reassemble::settings::StreamSettings;

    #[test]
    fn what_comes_behind_its_acknowledgement_is_kept_once() {
        let mut pool = Streams::new(&StreamSettings::default()).with_others();
        let (mut stream, mut tally, mut said) = (Stream::default(), Tally::default(), vec![]);
        let mut hear = |half: usize, seq: u32, ack: Option<u32>, bytes: &[u8]| {
            let len = bytes.len() as u32;
            let segment = Segment {
                seq,
                ack,
                bytes,
                len,
                ..Segment::default()
            };
            let each = &mut |p: crate::reassemble::stream::Piece<'_>, _: &mut Tally| {
                said.extend_from_slice(p.bytes);
            };
            pool.segment(&mut stream, half, &segment, &mut tally, each);
            pool.take_others()
        };
        assert_eq!(hear(0, 100, None, b"one "), []);
        assert_eq!(hear(0, 114, None, b"four"), []);
        assert_eq!(hear(1, 500, Some(118), b""), []);
        let late = |at: u64, bytes: &[u8]| Other {
            half: 0,
            at,
            bytes: bytes.to_vec(),
            is_late: true,
        };
        // its end, what lies around it, and all of it again
        assert_eq!(hear(0, 108, None, b"three four"), [late(8, b"three ")]);
        assert_eq!(hear(0, 102, None, b"e two thr"), [late(4, b"two ")]);
        assert_eq!(hear(0, 104, None, b"two three "), []);
        assert_eq!(said, b"one four");
    }
}
