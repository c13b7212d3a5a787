//! The memory of bodies, used again: the encoder writes into it, and the spool is read into it.

#![expect(
    clippy::disallowed_types,
    reason = "taken once for a section of many rows"
)]

use bytes::Bytes;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Buffers that nobody uses, few and bounded. One pool for bodies that are made and bodies that are read back keeps memory the same
/// whether rows come from exporters or from disk.
#[derive(Debug, Default)]
pub struct Buffers(Mutex<Vec<Vec<u8>>>);

impl Buffers {
    /// The largest one, or an empty one.
    pub(super) fn largest(&self) -> Vec<u8> {
        self.lock().pop().unwrap_or_default()
    }

    /// The smallest one, or an empty one.
    pub(super) fn smallest(&self) -> Vec<u8> {
        let mut spare = self.lock();
        match spare.is_empty() {
            true => Vec::new(),
            false => spare.remove(0),
        }
    }

    /// One of `len` bytes, whatever they are: the smallest that is large enough, else the largest.
    pub fn of_len(&self, len: usize) -> Vec<u8> {
        if len < LEN_MIN {
            return vec![0; len];
        }
        let mut buffer = {
            let mut spare = self.lock();
            let at = spare.partition_point(|b| b.capacity() < len);
            match at < spare.len() {
                true => spare.remove(at),
                false => spare.pop().unwrap_or_default(),
            }
        };
        if buffer.capacity() < len {
            // nothing in it is worth moving
            buffer = Vec::new();
        }
        buffer.resize(len, 0);
        buffer
    }

    /// Takes the memory of a body back, where nobody else still holds it.
    pub fn recycle(&self, body: Bytes) {
        if body.len() < LEN_MIN || !body.is_unique() {
            return;
        }
        let buffer = Vec::from(body);
        let mut spare = self.lock();
        if spare.len() < MOST {
            let at = spare.partition_point(|b| b.capacity() < buffer.capacity());
            spare.insert(at, buffer);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Buffers kept at most.
const MOST: usize = 4;

/// Bodies below this are not worth keeping, bytes.
const LEN_MIN: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn spare(buffers: &Buffers) -> Vec<usize> {
        buffers.lock().iter().map(Vec::capacity).collect()
    }

    #[test]
    fn what_fits_best_is_used_again_and_few_are_kept() {
        let buffers = Buffers::default();
        let body = |kib: usize| Bytes::from(vec![1; kib << 10]);
        for kib in [300, 100, 200, 32] {
            buffers.recycle(body(kib));
        }
        assert_eq!(spare(&buffers), [100, 200, 300].map(|kib| kib << 10));
        let taken = buffers.of_len(150 << 10);
        assert_eq!((taken.len(), taken.capacity()), (150 << 10, 200 << 10));
        // one that is too small for all gives way to one that is not
        assert_eq!(buffers.of_len(400 << 10).len(), 400 << 10);
        assert_eq!(spare(&buffers), [100 << 10]);
        assert_eq!(buffers.smallest().capacity(), 100 << 10);
        assert!(buffers.largest().is_empty() && buffers.smallest().is_empty());
        // what somebody holds is not taken
        let held = body(100);
        buffers.recycle(held.clone());
        assert!(spare(&buffers).is_empty());
        assert_eq!(held[0], 1);
        (0..2 * MOST).for_each(|_| buffers.recycle(body(64)));
        assert_eq!(spare(&buffers).len(), MOST);
    }
}
