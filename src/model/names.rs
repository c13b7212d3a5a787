//! Names behind the ids that columns store.

use std::sync::Arc;

/// A list of names; the id is the position. Append-only while it is built, immutable once shared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NameTable(Vec<Arc<str>>);

impl NameTable {
    /// A table with one name, of id 0: what an unset column means.
    pub fn new(unset: &str) -> Self {
        NameTable(vec![unset.into()])
    }

    /// Appends a name and returns its id. Whether it is there already is the caller's business.
    pub fn push(&mut self, name: &str) -> u32 {
        self.0.push(name.into());
        (self.0.len() - 1) as u32
    }

    /// The name of an id; empty where there is none.
    pub fn name(&self, id: u32) -> &str {
        self.0.get(id as usize).map_or("", |n| n)
    }

    /// The name of an id, to be kept.
    pub fn shared(&self, id: u32) -> Option<&Arc<str>> {
        self.0.get(id as usize)
    }

    /// All names, in order of their ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|n| &**n)
    }

    /// Keeps the first `len` names.
    pub fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The names that a bundle's rows refer to. A bundle carries the version it was written with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Applications and the protocols below them (`app`, `app_proto`). Id 0: not classified.
    pub apps: NameTable,
    /// QoS classes (`qos_class`). Id 0: no class.
    pub classes: NameTable,
    /// Named networks (`src_net`, `dst_net`). Id 0: in none. Shared, for there can be many.
    pub networks: Arc<NameTable>,
}

/// The number by which columns store a country: 1 to 676, 0 for what is no pair of letters.
pub fn country_id(code: &str) -> u16 {
    match *code.as_bytes() {
        [a, b] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic() => {
            let place = |c: u8| u16::from(c.to_ascii_uppercase() - b'A');
            1 + place(a) * 26 + place(b)
        }
        _ => 0,
    }
}

/// The two capital letters of a country (ISO 3166); empty for 0.
pub fn country(id: u16) -> &'static str {
    let letters = usize::from(id)
        .checked_sub(1)
        .and_then(|n| COUNTRIES.get(n));
    letters.map_or("", |l| std::str::from_utf8(l).unwrap_or_default())
}

/// How many numbers of countries there are, 0 included.
pub const COUNTRY_IDS: usize = 677;

const COUNTRIES: [[u8; 2]; COUNTRY_IDS - 1] = {
    let mut all = [[0; 2]; COUNTRY_IDS - 1];
    let mut n = 0;
    while n < all.len() {
        all[n] = [b'A' + (n / 26) as u8, b'A' + (n % 26) as u8];
        n += 1;
    }
    all
};

impl Default for Names {
    fn default() -> Self {
        Names {
            apps: NameTable::new("unknown"),
            classes: NameTable::new("none"),
            networks: Arc::new(NameTable::new("")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_have_numbers() {
        for code in ["AA", "DE", "ZZ"] {
            assert_eq!(country(country_id(code)), code);
        }
        assert_eq!((country_id("de"), country_id("AA")), (country_id("DE"), 1));
        assert_eq!((country_id("D"), country_id("1A"), country(0)), (0, 0, ""));
        assert_eq!(country(COUNTRY_IDS as u16), "");
    }
}
