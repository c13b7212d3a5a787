//! What rules remember of one flow.

use super::rates::Window;

/// Bits, counters and rates of one flow. As long as the flow; at most what the rules name, so the rule set bounds it.
#[derive(Debug, Clone, Default)]
pub struct FlowState(Option<Box<Kept>>);

/// What there is, where there is anything: of most flows nothing is remembered.
#[derive(Debug, Clone, Default)]
struct Kept {
    /// Sorted.
    bits: Vec<u32>,
    counters: Vec<(u32, u32)>,
    /// By the number of the rate.
    windows: Vec<(u64, Window)>,
}

impl FlowState {
    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.0
            .as_ref()
            .is_none_or(|k| k.bits.is_empty() && k.counters.is_empty() && k.windows.is_empty())
    }

    /// The numbers of the bits that are set, in order.
    pub fn bits(&self) -> &[u32] {
        self.0.as_ref().map_or(&[], |k| &k.bits)
    }

    /// The counters by number, in the order in which they came to be.
    pub fn counters(&self) -> &[(u32, u32)] {
        self.0.as_ref().map_or(&[], |k| &k.counters)
    }

    pub(super) fn has(&self, bit: u32) -> bool {
        self.bits().binary_search(&bit).is_ok()
    }

    pub(super) fn set(&mut self, bit: u32) {
        let bits = &mut self.kept().bits;
        if let Err(at) = bits.binary_search(&bit) {
            bits.insert(at, bit);
        }
    }

    pub(super) fn unset(&mut self, bit: u32) {
        if let Some(kept) = &mut self.0
            && let Ok(at) = kept.bits.binary_search(&bit)
        {
            kept.bits.remove(at);
        }
    }

    pub(super) fn counter(&self, id: u32) -> Option<u32> {
        let found = self.counters().iter().find(|c| c.0 == id);
        found.map(|c| c.1)
    }

    pub(super) fn set_counter(&mut self, id: u32, value: u32) {
        let counters = &mut self.kept().counters;
        match counters.iter_mut().find(|c| c.0 == id) {
            Some(counter) => counter.1 = value,
            None => counters.push((id, value)),
        }
    }

    /// The window of a rate; it is made where there is none.
    pub(super) fn window(&mut self, rate: u64) -> &mut Window {
        let windows = &mut self.kept().windows;
        let found = windows.iter().position(|w| w.0 == rate);
        let at = found.unwrap_or_else(|| {
            windows.push((rate, Window::default()));
            windows.len() - 1
        });
        &mut windows[at].1
    }

    fn kept(&mut self) -> &mut Kept {
        self.0.get_or_insert_default()
    }
}
