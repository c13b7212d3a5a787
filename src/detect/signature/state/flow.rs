//! What rules remember of one flow.

use super::rates::Window;

/// Bits, counters and rates of one flow. As long as the flow; at most what the rules name, so the rule set bounds it.
#[derive(Debug, Clone, Default)]
pub struct FlowState {
    /// Sorted.
    bits: Vec<u32>,
    counters: Vec<(u32, u32)>,
    /// By the number of the rate.
    windows: Vec<(u64, Window)>,
}

impl FlowState {
    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.bits.is_empty() && self.counters.is_empty() && self.windows.is_empty()
    }

    /// The numbers of the bits that are set, in order.
    pub fn bits(&self) -> &[u32] {
        &self.bits
    }

    /// The counters by number, in the order in which they came to be.
    pub fn counters(&self) -> &[(u32, u32)] {
        &self.counters
    }

    pub(super) fn has(&self, bit: u32) -> bool {
        self.bits.binary_search(&bit).is_ok()
    }

    pub(super) fn set(&mut self, bit: u32) {
        if let Err(at) = self.bits.binary_search(&bit) {
            self.bits.insert(at, bit);
        }
    }

    pub(super) fn unset(&mut self, bit: u32) {
        if let Ok(at) = self.bits.binary_search(&bit) {
            self.bits.remove(at);
        }
    }

    pub(super) fn counter(&self, id: u32) -> Option<u32> {
        let found = self.counters.iter().find(|c| c.0 == id);
        found.map(|c| c.1)
    }

    pub(super) fn set_counter(&mut self, id: u32, value: u32) {
        match self.counters.iter_mut().find(|c| c.0 == id) {
            Some(counter) => counter.1 = value,
            None => self.counters.push((id, value)),
        }
    }

    /// The window of a rate; it is made where there is none.
    pub(super) fn window(&mut self, rate: u64) -> &mut Window {
        let found = self.windows.iter().position(|w| w.0 == rate);
        let at = found.unwrap_or_else(|| {
            self.windows.push((rate, Window::default()));
            self.windows.len() - 1
        });
        &mut self.windows[at].1
    }
}
