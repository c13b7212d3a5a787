//! Layouts that several sessions share: one compiled plan for all routers of a make, so that it stays in the cache.

use super::exporter::Compiled;
use super::settings::Settings;
use super::template::{FieldSpec, TemplateHeader};
use hashbrown::HashMap;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Weak};

/// Compiled templates by the hash of their layout. Holds none alive.
#[derive(Debug, Default)]
pub(super) struct Layouts {
    known: HashMap<u64, Vec<Weak<Compiled>>, foldhash::quality::RandomState>,
    /// Entries at which the dead ones are swept.
    sweep_at: usize,
    /// Bytes of all that are alive.
    bytes: Arc<AtomicUsize>,
}

/// What a layout takes of the bytes of all, given back when it goes.
#[derive(Debug, Default)]
pub(super) struct Share {
    all: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for Share {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Relaxed);
    }
}

impl Layouts {
    /// Bytes of all layouts that are in use.
    pub fn bytes(&self) -> usize {
        self.bytes.load(Relaxed)
    }

    /// The compiled form of a template, shared with all that have the same id and layout.
    pub fn compiled(
        &mut self,
        header: &TemplateHeader,
        fields: &[FieldSpec],
        settings: &Settings,
    ) -> Arc<Compiled> {
        let key = (header.id, header.version, header.options, fields);
        let hash = self.known.hasher().hash_one(key);
        let same = |c: &Arc<Compiled>| {
            let t = &c.template;
            (t.id, t.version) == (header.id, header.version) && t.same_layout(header, fields)
        };
        let list = self.known.entry(hash).or_default();
        if let Some(found) = list.iter().filter_map(Weak::upgrade).find(same) {
            return found;
        }
        list.retain(|w| w.strong_count() > 0);
        let mut compiled = Compiled::new(header, fields, settings);
        let bytes = compiled.bytes();
        self.bytes.fetch_add(bytes, Relaxed);
        compiled.share = Share {
            all: self.bytes.clone(),
            bytes,
        };
        let compiled = Arc::new(compiled);
        list.push(Arc::downgrade(&compiled));
        if self.known.len() > self.sweep_at {
            self.known
                .retain(|_, list| list.iter().any(|w| w.strong_count() > 0));
            self.sweep_at = 2 * self.known.len() + 64;
        }
        compiled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_layouts_are_one_and_dead_ones_are_swept() {
        let (mut layouts, settings) = (Layouts::default(), Settings::default());
        let mut of = |id: u16, length: u16| {
            let header = TemplateHeader {
                id,
                version: 9,
                options: false,
            };
            let field = FieldSpec {
                pen: 0,
                element: 1,
                length,
                scope: false,
            };
            layouts.compiled(&header, &[field], &settings)
        };
        let a = of(256, 4);
        assert!(Arc::ptr_eq(&a, &of(256, 4)));
        assert!(!Arc::ptr_eq(&a, &of(257, 4)) && !Arc::ptr_eq(&a, &of(256, 8)));
        for id in 300..3000 {
            of(id, 4);
        }
        assert!(layouts.known.len() < 400, "{}", layouts.known.len());
        assert_eq!(Arc::strong_count(&a), 1);
        assert_eq!(layouts.bytes(), a.bytes());
        drop(a);
        assert_eq!(layouts.bytes(), 0);
    }
}
