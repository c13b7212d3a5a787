//! State that outlives a restart: to bytes and back, without trust in what is read.

use super::keyed::{Counted, Distinct};
use crate::model::Addr;

/// What can be written and read back. Reading takes nothing for granted: `None` where bytes are missing or make no sense.
pub(in crate::detect) trait Kept: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn get(from: &mut &[u8]) -> Option<Self>;
}

macro_rules! numbers {
    ($($number:ty),*) => {
        $(impl Kept for $number {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
            fn get(from: &mut &[u8]) -> Option<Self> {
                let (head, rest) = from.split_first_chunk()?;
                *from = rest;
                Some(<$number>::from_le_bytes(*head))
            }
        })*
    };
}

numbers!(u8, u16, u32, u64, i64, f32, f64);

macro_rules! tuples {
    ($($name:ident $at:tt),*) => {
        impl<$($name: Kept),*> Kept for ($($name,)*) {
            fn put(&self, out: &mut Vec<u8>) {
                $(self.$at.put(out);)*
            }
            fn get(from: &mut &[u8]) -> Option<Self> {
                Some(($($name::get(from)?,)*))
            }
        }
    };
}

tuples!(A 0, B 1);
tuples!(A 0, B 1, C 2);
tuples!(A 0, B 1, C 2, D 3);

/// Writes the fields before the semicolon; those behind it begin anew.
macro_rules! kept {
    ($name:ty { $($field:ident),* $(,)? $(; $($fresh:ident),*)? }) => {
        impl $crate::detect::anomaly::keep::Kept for $name {
            fn put(&self, out: &mut Vec<u8>) {
                $(self.$field.put(out);)*
            }
            fn get(from: &mut &[u8]) -> Option<Self> {
                Some(Self {
                    $($field: $crate::detect::anomaly::keep::Kept::get(from)?,)*
                    $($($fresh: Default::default(),)*)?
                })
            }
        }
    };
}
pub(super) use kept;

impl Kept for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn get(from: &mut &[u8]) -> Option<Self> {
        match u8::get(from)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Kept for Addr {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
    fn get(from: &mut &[u8]) -> Option<Self> {
        let (head, rest) = from.split_first_chunk()?;
        *from = rest;
        Some(Addr(*head))
    }
}

impl Kept for String {
    fn put(&self, out: &mut Vec<u8>) {
        self.as_bytes().to_vec().put(out);
    }
    fn get(from: &mut &[u8]) -> Option<Self> {
        String::from_utf8(Vec::get(from)?).ok()
    }
}

impl<T: Kept + Copy + Default, const N: usize> Kept for [T; N] {
    fn put(&self, out: &mut Vec<u8>) {
        self.iter().for_each(|t| t.put(out));
    }
    fn get(from: &mut &[u8]) -> Option<Self> {
        let mut all = [T::default(); N];
        for t in &mut all {
            *t = T::get(from)?;
        }
        Some(all)
    }
}

impl<T: Kept> Kept for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u64).put(out);
        self.iter().for_each(|t| t.put(out));
    }
    fn get(from: &mut &[u8]) -> Option<Self> {
        let n = u64::get(from)?;
        // each takes a byte at least, so that a wrong length asks for no more than there is
        if n > from.len() as u64 {
            return None;
        }
        (0..n).map(|_| T::get(from)).collect()
    }
}

impl<T: Kept> Kept for Box<T> {
    fn put(&self, out: &mut Vec<u8>) {
        T::put(self, out);
    }
    fn get(from: &mut &[u8]) -> Option<Self> {
        T::get(from).map(Box::new)
    }
}

impl<T: Kept> Kept for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(t) = self {
            t.put(out);
        }
    }
    fn get(from: &mut &[u8]) -> Option<Self> {
        Some(match bool::get(from)? {
            true => Some(T::get(from)?),
            false => None,
        })
    }
}

impl<const WORDS: usize> Kept for Distinct<WORDS> {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }
    fn get(from: &mut &[u8]) -> Option<Self> {
        Some(Distinct(Kept::get(from)?))
    }
}

impl<const WORDS: usize> Kept for Counted<WORDS> {
    fn put(&self, out: &mut Vec<u8>) {
        self.bits().put(out);
    }
    fn get(from: &mut &[u8]) -> Option<Self> {
        Distinct::get(from).map(Self::from)
    }
}

/// Puts a frame around state: what it is, which form it has, how long it is, and a sum over it.
pub(super) fn seal(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + HEAD);
    out.extend_from_slice(MAGIC);
    VERSION.put(&mut out);
    (body.len() as u64).put(&mut out);
    sum(body).put(&mut out);
    out.extend_from_slice(body);
    out
}

/// Takes the frame off.
///
/// # Errors
/// What is wrong with it.
pub(super) fn unseal(bytes: &[u8]) -> Result<&[u8], &'static str> {
    let rest = bytes.strip_prefix(MAGIC);
    let mut rest = rest.ok_or("it is no state of detectors")?;
    let short = "it is cut short";
    let version = u32::get(&mut rest).ok_or(short)?;
    if version != VERSION {
        return Err("it has the form of another version");
    }
    let len = u64::get(&mut rest).ok_or(short)?;
    let told = u64::get(&mut rest).ok_or(short)?;
    if len != rest.len() as u64 {
        return Err(short);
    }
    match sum(rest) == told {
        true => Ok(rest),
        false => Err("its sum is wrong"),
    }
}

/// FNV-1a with 64 bits (Fowler, Noll and Vo) over words of eight bytes, then what is left.
fn sum(bytes: &[u8]) -> u64 {
    let step = |h: u64, n: u64| (h ^ n).wrapping_mul(0x100_0000_01b3).rotate_left(29);
    let (words, rest) = bytes.as_chunks::<8>();
    let h = words.iter().fold(0xcbf2_9ce4_8422_2325, |h, w| {
        step(h, u64::from_le_bytes(*w))
    });
    rest.iter().fold(h, |h, b| step(h, u64::from(*b)))
}

const MAGIC: &[u8] = b"flowhouse detectors\n";
/// Grows with each change of what is written.
pub(super) const VERSION: u32 = 10;
const HEAD: usize = MAGIC.len() + 4 + 8 + 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_damaged_is_told_and_not_read() {
        let mut body = vec![];
        (
            7u32,
            vec![(1u64, 2.5f32)],
            Some(Addr::from_v4([192, 0, 2, 1])),
        )
            .put(&mut body);
        let sealed = seal(&body);
        let mut read = unseal(&sealed).expect("whole");
        let back = <(u32, Vec<(u64, f32)>, Option<Addr>)>::get(&mut read);
        assert_eq!(back.map(|b| (b.0, b.1)), Some((7, vec![(1, 2.5)])));
        for at in 0..sealed.len() {
            let mut wrong = sealed.clone();
            wrong[at] ^= 0x10;
            assert!(unseal(&wrong).is_err(), "byte {at}");
            assert!(unseal(&sealed[..at]).is_err(), "{at} bytes");
        }
        // a length that nobody could have written
        let mut long: &[u8] = &[0xff; 16];
        assert!(Vec::<u64>::get(&mut long).is_none());
    }
}
