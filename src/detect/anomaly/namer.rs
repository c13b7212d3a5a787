//! Numbers for names that are the same in every shard, whatever ids their tables have.

use super::keep::Kept;
use super::sighting::{FlowSeen, Known};
use crate::model::{AppSource, FlowBatch, NameTable, Names};
use std::collections::HashMap;
use std::sync::Arc;

/// What a shard has told of its names.
#[derive(Debug, Default)]
pub struct Namer {
    apps: Vec<Told>,
    classes: Vec<Told>,
    networks: Vec<Told>,
    fresh: Vec<(u64, Arc<str>)>,
    told_ms: i64,
}

/// A name by its id, its number, and whether that was told lately.
#[derive(Clone, Debug, Default)]
struct Told {
    name: Option<Arc<str>>,
    number: u64,
    lately: bool,
}

impl Namer {
    /// Writes the names of row `i`.
    #[inline]
    pub(super) fn name(&mut self, batch: &FlowBatch, i: usize, names: &Names, flow: &mut FlowSeen) {
        let (c, fresh) = (&batch.core, &mut self.fresh);
        flow.app = number(&mut self.apps, &names.apps, c.app[i], fresh);
        flow.app_proto = number(&mut self.apps, &names.apps, c.app_proto[i], fresh);
        let class = u32::from(c.qos_class[i]);
        flow.class = number(&mut self.classes, &names.classes, class, fresh);
        if let Some(nets) = &batch.nets {
            let mut net = |id| number(&mut self.networks, &names.networks, id, fresh);
            flow.nets = (net(nets.src_net[i]), net(nets.dst_net[i]));
        }
    }

    /// Names whose numbers have to be told; now and then all are told again, for facts may be lost on their way.
    #[inline]
    pub(super) fn fresh(&mut self, now_ms: i64) -> impl Iterator<Item = (u64, Arc<str>)> {
        if now_ms.saturating_sub(self.told_ms) > AGAIN_MS {
            self.told_ms = now_ms;
            let all = [&mut self.apps, &mut self.classes, &mut self.networks];
            all.into_iter().flatten().for_each(|t| t.lately = false);
        }
        self.fresh.drain(..)
    }
}

/// What numbers are called.
#[derive(Debug)]
pub(super) struct Called {
    names: HashMap<u64, Arc<str>>,
    refused: u64,
}

impl Called {
    pub fn new() -> Self {
        Called {
            names: HashMap::new(),
            refused: 0,
        }
    }

    pub const fn bytes() -> usize {
        CALLED_MAX * 2 * (size_of::<(u64, Arc<str>)>() + NAME_BYTES)
    }

    pub fn learn(&mut self, number: u64, name: &Arc<str>) {
        if self.names.len() < CALLED_MAX || self.names.contains_key(&number) {
            self.names.insert(number, name.clone());
        } else {
            self.refused += 1;
        }
    }

    /// The name of a number; the number itself where the name did not come.
    pub fn get(&self, number: u64) -> String {
        match self.names.get(&number) {
            Some(name) => name.to_string(),
            None => format!("{number:016x}"),
        }
    }

    /// The name of a number, where it came.
    pub fn text(&self, number: u64) -> &str {
        self.names.get(&number).map_or("", |name| name)
    }

    /// Names that found no room.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    pub fn put(&self, out: &mut Vec<u8>) {
        let mut all: Vec<(u64, String)> = self
            .names
            .iter()
            .map(|(n, t)| (*n, t.to_string()))
            .collect();
        all.sort_unstable();
        all.put(out);
    }

    pub fn get_all(&mut self, from: &mut &[u8]) -> Option<()> {
        let all: Vec<(u64, String)> = Kept::get(from)?;
        all.into_iter().for_each(|(n, t)| self.learn(n, &t.into()));
        Some(())
    }
}

/// How it is known what a row's application is, by the number of an [`AppSource`].
pub(super) fn known(source: u8) -> Known {
    const NAME: u8 = AppSource::Name as u8;
    const RANGE: u8 = AppSource::Range as u8;
    const RULE: u8 = AppSource::Rule as u8;
    match source {
        NAME | RANGE => Known::Named,
        RULE => Known::Ruled,
        _ => Known::No,
    }
}

#[inline]
fn number(
    told: &mut Vec<Told>,
    table: &NameTable,
    id: u32,
    fresh: &mut Vec<(u64, Arc<str>)>,
) -> u64 {
    let Some(name) = table.shared(id).filter(|_| id != 0) else {
        return 0;
    };
    if let Some(t) = told.get(id as usize)
        && t.lately
        && t.name.as_ref().is_some_and(|n| Arc::ptr_eq(n, name))
    {
        return t.number;
    }
    tell(told, name, id as usize, fresh)
}

#[cold]
fn tell(told: &mut Vec<Told>, name: &Arc<str>, id: usize, fresh: &mut Vec<(u64, Arc<str>)>) -> u64 {
    if told.len() <= id {
        told.resize(id + 1, Told::default());
    }
    let number = number_of(name);
    told[id] = Told {
        name: Some(name.clone()),
        number,
        lately: true,
    };
    fresh.push((number, name.clone()));
    number
}

/// The number of a name: FNV-1a with 64 bits (Fowler, Noll and Vo), never 0.
pub(super) const fn number_of(name: &str) -> u64 {
    let (bytes, mut hash, mut i) = (name.as_bytes(), 0xcbf2_9ce4_8422_2325u64, 0);
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(0x100_0000_01b3);
        i += 1;
    }
    if hash == 0 { 1 } else { hash }
}

const AGAIN_MS: i64 = 600_000;
/// Names that detectors keep; a collector has a few thousand.
const CALLED_MAX: usize = 65_536;
const NAME_BYTES: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_told_once_and_again_after_a_while_or_a_reload() {
        let mut table = NameTable::new("unknown");
        let id = table.push("https");
        let (mut told, mut fresh) = (vec![], vec![]);
        let first = number(&mut told, &table, id, &mut fresh);
        assert_eq!(first, number_of("https"));
        assert_eq!(number(&mut told, &table, id, &mut fresh), first);
        assert_eq!(
            (fresh.len(), number(&mut told, &table, 0, &mut fresh)),
            (1, 0)
        );
        let mut other = NameTable::new("unknown");
        other.push("ssh");
        assert_eq!(number(&mut told, &other, id, &mut fresh), number_of("ssh"));
        assert_eq!(fresh.len(), 2);
        let mut namer = Namer {
            apps: told,
            ..Namer::default()
        };
        assert_eq!(namer.fresh(AGAIN_MS + 1).count(), 0);
        assert!(!namer.apps[id as usize].lately);
    }
}
