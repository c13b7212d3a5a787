//! Values in BER and DER that overflow those who read them (X.690 sections 8.1, 8.5, 8.6).

/// `asn1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Asn1 {
    /// A string of bits that leaves out more of them than it has.
    pub bits: bool,
    /// A number as text that is longer than buffers for one.
    pub reals: bool,
    /// A value that is said to be longer.
    pub longest: Option<u64>,
    /// Where.
    pub offset: i64,
    /// From the end of the last match.
    pub relative: bool,
}

impl Asn1 {
    /// Whether the value at a place, or one within it, is as asked.
    pub fn holds(&self, bytes: &[u8], end: usize) -> bool {
        let from = if self.relative { end as i64 } else { 0 } + self.offset;
        let mut at = match usize::try_from(from) {
            Ok(at) => at,
            Err(_) => return false,
        };
        let (mut found, mut last) = (false, None);
        for _ in 0..VALUES_MAX {
            if last.is_some_and(|last| at >= last) {
                return found;
            }
            let Some(head) = Head::read(bytes, at) else {
                return false;
            };
            let length = usize::try_from(head.length).unwrap_or(usize::MAX);
            let end = head.content_at.saturating_add(length);
            // nothing is said of what is not whole, as in Suricata
            if end > *last.get_or_insert(end).min(&mut bytes.len()) {
                return false;
            }
            found |= self.is_odd(&head, &bytes[head.content_at..end]);
            at = match head.is_made_of_others {
                true => head.content_at,
                false => end,
            };
        }
        false
    }

    fn is_odd(&self, head: &Head, content: &[u8]) -> bool {
        if self.longest.is_some_and(|n| head.length > n) {
            return true;
        }
        let first = content.first().copied().unwrap_or_default();
        match head.tag {
            // more bits are left out than there are
            BIT_STRING if self.bits => {
                head.length > 0 && u64::from(first).div_ceil(8) > head.length
            }
            // as text, longer than a buffer for one
            REAL if self.reals => first & 0xc0 == 0 && head.length >= REAL_TEXT_MAX,
            _ => false,
        }
    }
}

/// Tag and length of a value.
struct Head {
    /// Number and class; that it is made of others is left out.
    tag: u8,
    is_made_of_others: bool,
    length: u64,
    content_at: usize,
}

impl Head {
    fn read(bytes: &[u8], at: usize) -> Option<Head> {
        let tag = *bytes.get(at)?;
        let mut at = at + 1;
        if tag & 0x1f == 0x1f {
            // a number in several octets
            while bytes.get(at)? & 0x80 != 0 {
                at += 1;
            }
            at += 1;
        }
        let first = *bytes.get(at)?;
        let more = match first {
            0..=0x80 => 0,
            _ => usize::from(first & 0x7f),
        };
        let octets = bytes.get(at + 1..at + 1 + more)?;
        let length = match (first, octets) {
            (0..0x80, _) => first.into(),
            // its end is marked
            (0x80, _) => 0,
            (_, octets) if octets.len() > 8 => u64::MAX,
            (_, octets) => octets.iter().fold(0, |n, b| n << 8 | u64::from(*b)),
        };
        Some(Head {
            tag: tag & !0x20,
            is_made_of_others: tag & 0x20 != 0,
            length,
            content_at: at + 1 + more,
        })
    }
}

const BIT_STRING: u8 = 3;
const REAL: u8 = 9;
/// Values that are looked at: Suricata's stock setting.
const VALUES_MAX: usize = 256;
/// Octets of a number as text.
const REAL_TEXT_MAX: u64 = 256;
