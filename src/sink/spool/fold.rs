//! Less on disk: sections that are given up, and files that are put together.

use super::disk::{Disk, mark_in};
use super::file::{
    Found, Unreadable, none, read_file, read_header, read_section, read_slots, with_body,
};
use super::format::{self, Header, SLOT, Slot, State};
use super::now_ms;
use std::fs::{self, OpenOptions};

impl Disk {
    /// Gives sections up: marks them and cuts off what nobody needs any more. Returns the bytes that became free.
    pub(in crate::sink) fn shed(&self, number: u64, indexes: &[usize]) -> Result<u64, Unreadable> {
        let path = self.path(number);
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        for &index in indexes {
            let slot = Slot {
                state: State::Shed,
                time_ms: now_ms(),
            };
            mark_in(&file, index, slot)?;
        }
        // the marks must not be younger than the cut
        file.sync_data()?;
        let header = read_header(&file)?;
        let slots = read_slots(&file, &header)?;
        let open = header.sections.iter().zip(&slots);
        let needed = open
            .filter(|(_, slot)| slot.state.is_open())
            .map(|(s, _)| s.body_end());
        let bodies_at = header.slots_at + (SLOT * slots.len()) as u64;
        let needed = needed.max().unwrap_or(0).max(bodies_at);
        let len = file.metadata()?.len();
        if needed >= len {
            return Ok(0);
        }
        file.set_len(needed)?;
        self.gauges.shrunk(0, len - needed);
        Ok(len - needed)
    }

    /// Writes what is open of these bundles into the file of the last of them, whose number, positions and states it keeps. The other
    /// files stay as they are.
    pub(in crate::sink) fn fold(&self, group: &[Found]) -> Result<Found, Unreadable> {
        let (last, others) = group
            .split_last()
            .ok_or_else(|| none("nothing to put together"))?;
        let mut sections = vec![];
        for found in group {
            let path = self.path(found.number);
            for (s, slot) in found.header.sections.iter().zip(&found.slots) {
                match slot.state.is_open() {
                    true => sections.push((read_section(&path, s)?, *slot)),
                    false if others.iter().any(|o| o.number == found.number) => {}
                    false => sections.push((with_body(s, Vec::new()), *slot)),
                }
            }
        }
        let sections: Vec<_> = sections.iter().map(|(s, slot)| (s, *slot)).collect();
        let Header {
            sequence,
            created_ms,
            ..
        } = last.header;
        let number = last.number;
        let positions = &last.header.positions;
        let (head, header) = format::start(number, sequence, created_ms, "", positions, &sections);
        let temporary = self.temporary(number);
        let written = self.write(&temporary, &head, &header, &sections);
        let renamed = written.and_then(|(file, len)| {
            self.sync(&file)?;
            fs::rename(&temporary, self.path(number))?;
            self.sync_directory()?;
            Ok(len)
        });
        let len = renamed.inspect_err(|_| drop(fs::remove_file(&temporary)))?;
        self.gauges.replaced(last.len, len);
        read_file(&self.path(number), number)
    }
}
