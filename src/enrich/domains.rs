//! Server names to applications: the longest domain that is the name or stands above it.

use hashbrown::HashTable;

/// Domains by hash. A name is hashed once from its end, and each label is a chance to stop.
#[derive(Debug, Default)]
pub struct Domains {
    table: HashTable<(Box<str>, u32)>,
    /// Bytes of the longest domain: names are not hashed past it.
    longest: usize,
}

impl Domains {
    /// Domains in lower case and their values; of two equal ones the later one counts.
    pub fn new<'a>(domains: impl IntoIterator<Item = (&'a str, u32)>) -> Domains {
        let mut d = Domains::default();
        for (domain, value) in domains {
            let hash = domain.bytes().rev().fold(SEED, step);
            match d.table.find_mut(hash, |e| *e.0 == *domain) {
                Some(e) => e.1 = value,
                None => {
                    let again = |e: &(Box<str>, u32)| e.0.bytes().rev().fold(SEED, step);
                    d.table.insert_unique(hash, (domain.into(), value), again);
                }
            }
            d.longest = d.longest.max(domain.len());
        }
        d
    }

    /// The value of a server name of any case, with or without a dot at its end; 0 where no domain stands above it.
    /// Allocates nothing.
    pub fn get(&self, name: &[u8]) -> u32 {
        let name = name.strip_suffix(b".").unwrap_or(name);
        let least = name.len().saturating_sub(self.longest);
        let (mut hash, mut found) = (SEED, 0);
        for at in (least..name.len()).rev() {
            hash = step(hash, name[at].to_ascii_lowercase());
            if at == 0 || name[at - 1] == b'.' {
                let part = &name[at..];
                let same = |e: &(Box<str>, u32)| e.0.as_bytes().eq_ignore_ascii_case(part);
                if let Some(e) = self.table.find(hash, same) {
                    found = e.1;
                }
            }
        }
        found
    }
}

/// FNV-1a with its bits spread: hash tables look at the upper ones. Only domains of the operator are ever inserted, so
/// nobody outside can make them collide.
#[inline(always)]
fn step(hash: u64, byte: u8) -> u64 {
    let h = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    h ^ h >> 32
}

const SEED: u64 = 0xcbf2_9ce4_8422_2325;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_domain_counts() {
        let d = Domains::new([
            ("google.com", 1),
            ("meet.google.com", 2),
            ("us", 3),
            ("zoom.us", 4),
            ("zoom.us", 5),
        ]);
        assert_eq!(d.table.len(), 4);
        for (name, value) in [
            ("google.com", 1),
            ("www.google.com", 1),
            ("Meet.Google.COM", 2),
            ("a.b.meet.google.com.", 2),
            ("notgoogle.com", 0),
            ("com", 0),
            ("us02web.zoom.us", 5),
            ("x.us", 3),
            ("", 0),
            (".", 0),
            ("google.com.evil.example", 0),
        ] {
            assert_eq!(d.get(name.as_bytes()), value, "{name}");
        }
        assert_eq!(d.get(&[0xff; 255]), 0);
        assert_eq!(Domains::default().get(b"a.example"), 0);
    }
}
