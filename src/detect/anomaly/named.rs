//! The first of many hosts, by name: they are told of once there are many of them.

use super::keep::Kept;
use super::keyed::Distinct;
use crate::model::Addr;

/// The first `N` hosts that came, each once. Room is taken as they come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Named<const N: usize>(Vec<Addr>);

/// How many different hosts there were, with the first `N` by name: as long as all of them are named the number is exact.
#[derive(Clone, Debug, Default)]
pub(super) struct Hosts<const WORDS: usize, const N: usize> {
    bits: Distinct<WORDS>,
    named: Named<N>,
}

impl<const N: usize> Named<N> {
    /// Most bytes beside those of itself; the list doubles as it grows.
    pub const BYTES: usize = N.next_power_of_two() * size_of::<Addr>();

    /// Adds a host: whether it is new; `None` once there is no more room.
    pub fn add(&mut self, host: Addr) -> Option<bool> {
        if self.0.len() >= N {
            return None;
        }
        let is_new = !self.0.contains(&host);
        if is_new {
            self.0.push(host);
        }
        Some(is_new)
    }

    /// Their addresses.
    pub fn all(&self) -> impl Iterator<Item = Addr> {
        self.0.iter().copied()
    }
}

impl<const WORDS: usize, const N: usize> Hosts<WORDS, N> {
    /// Most bytes beside those of itself.
    pub const BYTES: usize = Named::<N>::BYTES;

    /// Adds a host with its hash: whether it is new.
    pub fn add(&mut self, host: Addr, hash: u64) -> bool {
        let seems_new = self.bits.add(hash);
        self.named.add(host).unwrap_or(seems_new)
    }

    /// How many there were: beyond those that are named, about.
    pub fn count(&self) -> u32 {
        let named = self.named.0.len();
        match named < N {
            true => named as u32,
            false => self.bits.count().max(named as u32),
        }
    }

    /// The first of them, and the last.
    pub fn named(&self, last: Addr) -> Vec<Addr> {
        let mut all = self.named.0.clone();
        if !all.contains(&last) {
            all.push(last);
        }
        all
    }
}

impl<const N: usize> Kept for Named<N> {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
    }
    fn get(from: &mut &[u8]) -> Option<Self> {
        let mut all = Vec::get(from)?;
        all.truncate(N);
        Some(Named(all))
    }
}

impl<const WORDS: usize, const N: usize> Kept for Hosts<WORDS, N> {
    fn put(&self, out: &mut Vec<u8>) {
        self.bits.put(out);
        self.named.put(out);
    }
    fn get(from: &mut &[u8]) -> Option<Self> {
        let (bits, named) = Kept::get(from)?;
        Some(Hosts { bits, named })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const N: usize = 32;

    #[test]
    fn the_first_hosts_are_exact_and_later_ones_are_estimated() {
        let host = |n: u32| Addr::from_v4((0x0a00_0000 + n).to_be_bytes());
        let mut hosts = Hosts::<4, N>::default();
        // all hashes fall together
        for n in 0..N as u32 {
            assert!(hosts.add(host(n), 7));
            assert!(!hosts.add(host(n), 7));
            assert_eq!(hosts.count(), n + 1);
        }
        assert!(!hosts.add(host(900), 7) && hosts.add(host(901), 7 << 35));
        let named = hosts.named(host(901));
        assert_eq!(named[..N], (0..N as u32).map(host).collect::<Vec<_>>());
        assert_eq!(named[N..], [host(901)]);
        let mut saved = vec![];
        hosts.put(&mut saved);
        let again = Hosts::<4, N>::get(&mut &saved[..]).expect("whole");
        assert_eq!((again.named(host(901)), again.count()), (named, 32));
    }
}
