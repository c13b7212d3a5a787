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

    /// All names, in order of their ids.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        self.0.iter().map(|n| &**n)
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
}

impl Default for Names {
    fn default() -> Self {
        Names {
            apps: NameTable::new("unknown"),
            classes: NameTable::new("none"),
        }
    }
}
