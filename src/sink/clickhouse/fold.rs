//! Too many files: the flow rows of the oldest bundles go, and what is left of these goes together into one file.
//!
//! A bundle without its flows is still a file, so shedding flows alone would shed all of them and help nothing. Usage and the rest keep
//! their bytes and tokens, and wait on.

use super::lanes::Shed;
use super::writer::{Writer, take};
use crate::batch::Table;
use crate::sink::spool::{Ended, Found, format, read_file};

impl Writer {
    /// Puts the oldest bundles together; false where there are none, or that fails.
    pub(super) fn fold(&mut self) -> bool {
        let most = (self.disk.settings().files_max / 64).clamp(2, FOLD_MAX);
        let after = self.unfoldable;
        let gathered = (self.door.shared).with(|lanes| lanes.gather(most, after));
        let Some(&last) = gathered.last() else {
            return false;
        };
        let mut group = vec![];
        let (mut bytes, mut sections) = (0u64, 0);
        let mut is_full = false;
        for number in gathered {
            let Some(found) = self.read(number) else {
                continue;
            };
            let open = found.header.sections.iter().zip(&found.slots);
            let stays = open.filter(|(s, slot)| s.table != Table::Flows && slot.state.is_open());
            bytes += stays.map(|(s, _)| s.body_len).sum::<u64>();
            sections += found.slots.len();
            is_full |=
                group.len() > 1 && (bytes > FOLD_BYTES_MAX || sections > format::SECTIONS_MAX);
            match is_full {
                true => take(found, &self.door),
                false => group.push(found),
            }
        }
        let done = group.len() > 1 && self.put_together(&group);
        if !done {
            // no use to try these again
            self.unfoldable = last;
            for found in &group {
                if let Some(found) = self.read(found.number) {
                    take(found, &self.door);
                }
            }
        }
        done
    }

    /// The file of a bundle that was taken out of the lanes. One that cannot be read stays on disk for the next start.
    fn read(&self, number: u64) -> Option<Found> {
        match read_file(&self.disk.path(number), number) {
            Ok(found) => Some(found),
            Err(error) => {
                tracing::error!(bundle = number, %error, "cannot read from the spool");
                None
            }
        }
    }

    /// Gives up the flow rows of bundles and writes the rest into the file of the last one. A crash before the others are gone leaves
    /// their sections twice, one behind the other: the store skips the second by its token.
    fn put_together(&mut self, group: &[Found]) -> bool {
        for found in group {
            let open = found.header.sections.iter().zip(&found.slots).enumerate();
            let flows =
                open.filter(|(_, (s, slot))| s.table == Table::Flows && slot.state.is_open());
            let (sections, rows): (Vec<_>, Vec<_>) =
                flows.map(|(n, (s, _))| (n, (s.table, s.rows))).unzip();
            if !sections.is_empty() {
                self.give_up(Shed {
                    number: found.number,
                    sections,
                    rows,
                });
            }
        }
        // as it is now, without flows
        let group: Option<Vec<Found>> = group.iter().map(|f| self.read(f.number)).collect();
        let Some(group) = group else {
            return false;
        };
        let folded = match self.disk.fold(&group) {
            Ok(folded) => folded,
            Err(error) => {
                tracing::error!(%error, "cannot put files of the spool together");
                return false;
            }
        };
        let last = folded.number;
        take(folded, &self.door);
        let others = group.iter().filter(|f| f.number != last);
        self.ended.extend(others.map(|found| Ended {
            number: found.number,
            fates: found.fates(),
            positions: None,
            damaged: false,
        }));
        self.retire();
        true
    }
}

/// Most bundles that are put together at once.
const FOLD_MAX: usize = 64;

/// Most bytes that a file is made of so; they are in memory while it is written.
const FOLD_BYTES_MAX: u64 = 16 << 20;
