//! The saved state, written exporter by exporter: while the process runs a few at a time, so that no datagram waits for it.

use super::Decoder;
use super::exporter::Exporter;
use super::sequence::Sequence;
use super::state::{FORMAT, SavedSender, saved};
use serde::Serialize;

/// A state that is being written.
#[derive(Debug)]
pub struct Snapshot {
    text: Vec<u8>,
    /// The place of the next exporter.
    next: usize,
    unsaved: u64,
}

/// A state that is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedState {
    /// What [`Decoder::restore`] reads.
    pub text: Vec<u8>,
    /// Exporters that found no room in it.
    pub unsaved: u64,
}

impl Default for Snapshot {
    /// Nothing written yet.
    fn default() -> Self {
        Snapshot {
            text: format!(r#"{{"format":{FORMAT},"exporters":["#).into_bytes(),
            next: 0,
            unsaved: 0,
        }
    }
}

impl Snapshot {
    fn add(&mut self, e: &Exporter, running: bool, bytes_max: usize) {
        let before = self.text.len();
        if self.text.last() == Some(&b'}') {
            self.text.push(b',');
        }
        let mut state = saved(e);
        if running {
            let sessions = state.sessions.iter_mut();
            sessions.for_each(|s| s.sequence = Sequence::default());
        }
        if before >= bytes_max || !write(&state, &mut self.text) {
            self.text.truncate(before);
            self.unsaved += 1;
        }
    }

    fn end(mut self, senders: &[SavedSender]) -> SavedState {
        self.text.extend(br#"],"senders":"#);
        write(&senders, &mut self.text);
        self.text.push(b'}');
        SavedState {
            text: self.text,
            unsaved: self.unsaved,
        }
    }
}

impl Decoder {
    /// Everything that should survive a restart, at the end of the process. Same state, same bytes.
    pub fn save(&self) -> SavedState {
        let mut exporters: Vec<&Exporter> = self.exporters.iter().collect();
        exporters.sort_unstable_by_key(|e| e.addr);
        let mut snapshot = Snapshot::default();
        for e in exporters {
            snapshot.add(e, false, STATE_BYTES_MAX);
        }
        let senders = self.sflow.senders();
        let senders = senders.map(|((agent, sub), seen, s)| (agent.0, sub, seen, s.clone()));
        let mut senders: Vec<SavedSender> = senders.collect();
        senders.sort_by_key(|&(agent, sub_agent, ..)| (agent, sub_agent));
        snapshot.end(&senders)
    }

    /// The same in mid-run, some exporters at each call until all are written, with about `items` templates and names. Without
    /// sequence expectations: the process receives past them, and after a kill they would book as missing what was received.
    pub fn save_some(&self, mut snapshot: Snapshot, items: usize) -> Result<SavedState, Snapshot> {
        let mut left = items;
        for e in self.exporters.iter().skip(snapshot.next) {
            snapshot.add(e, true, STATE_BYTES_MAX);
            snapshot.next += 1;
            left = left.saturating_sub(1 + e.templates + e.names.len());
            if left == 0 {
                return Err(snapshot);
            }
        }
        Ok(snapshot.end(&[]))
    }
}

/// Appends a value; false where it cannot be written.
fn write(value: &impl Serialize, text: &mut Vec<u8>) -> bool {
    serde_json::to_writer(text, value).is_ok()
}

/// Bytes of a state after which no further exporter is begun.
pub const STATE_BYTES_MAX: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::super::{End, Settings};
    use super::*;
    use crate::model::Addr;

    fn decoder(exporters: u8) -> Decoder {
        let mut decoder = Decoder::new(Settings::default());
        for n in 0..exporters {
            let mut e = Exporter::new(Addr::from_v4([192, 0, 2, n]));
            e.last_seen_ns = 1;
            decoder.exporters.insert(e);
        }
        decoder
    }

    #[test]
    fn little_by_little_it_is_the_whole_state() {
        for exporters in [0, 1, 10] {
            let first = decoder(exporters);
            let (mut snapshot, mut calls) = (Snapshot::default(), 1);
            let state = loop {
                match first.save_some(snapshot, 3) {
                    Ok(state) => break state,
                    Err(more) => (snapshot, calls) = (more, calls + 1),
                }
            };
            assert_eq!(calls, 1 + exporters / 3);
            assert_eq!(state, first.save());
            let mut second = decoder(0);
            let restored = second.restore(&state.text, End::Crashed, |_| true);
            assert_eq!(restored.expect("just written"), []);
            assert_eq!(second.save(), state);
        }
    }

    #[test]
    fn what_finds_no_room_is_counted_and_the_rest_is_sound() {
        let first = decoder(3);
        let mut snapshot = Snapshot::default();
        let room = snapshot.text.len() + 1;
        first
            .exporters
            .iter()
            .for_each(|e| snapshot.add(e, true, room));
        let state = snapshot.end(&[]);
        assert_eq!(state.unsaved, 2);
        let mut second = decoder(0);
        assert!(second.restore(&state.text, End::Crashed, |_| true).is_ok());
        assert_eq!(second.exporters.len(), 1);
    }
}
