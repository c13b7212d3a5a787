//! What people do with incidents, told to those who want to know.

use super::query::{Bound, Reader, number, text};
use crate::notify::{Event, Notice, Notifier};
use crate::sink::schema::incidents::{ONE, SHOWN, STEPS, incident};
use anyhow::Result;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Steps are told once, whoever took them: over HTTP here, over that of another collector, or on a command line.
pub(super) struct Steps {
    notifier: Arc<Notifier>,
    file: PathBuf,
    /// Up to when steps were told, microseconds by the store's clock; `None` before the first time.
    told_us: Option<i64>,
}

impl Steps {
    /// Goes on where the file in `state` says that the last run was.
    pub fn open(state: &Path, notifier: Arc<Notifier>) -> Steps {
        let file = state.join("notify/steps");
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        Steps {
            notifier,
            told_us: text.trim().parse().ok(),
            file,
        }
    }

    /// Tells what people did since the last time. The first time of all nothing is told: what was done before anybody was to be told of it.
    pub fn tell(&mut self, reader: &Reader) -> Result<()> {
        let Some(after_us) = self.told_us else {
            let now = reader.row("SELECT toUnixTimestamp64Micro(now64(6)) AS now")?;
            return self.keep(number(&now, "now") as i64);
        };
        let after = [("after_us", Bound::Text(after_us.to_string()))];
        for step in reader.rows_with(STEPS, &after)? {
            let id = [("id", Bound::Text(text(&step, "id")))];
            // of an incident that people were not told of they are not told what becomes of it; of one that they were, whatever hides it now
            let shown = reader.rows_with(SHOWN, &id)?;
            let is_shown = shown.first().is_some_and(|row| number(row, "shown") > 0.0);
            let found = match is_shown {
                true => reader.rows_with(ONE, &id)?,
                false => vec![],
            };
            let found = found.first();
            let notice = found.and_then(|whole| notice(incident(whole), &step));
            notice.into_iter().for_each(|n| self.notifier.tell(n));
            self.keep(number(&step, "at_us") as i64)?;
        }
        Ok(())
    }

    fn keep(&mut self, told_us: i64) -> Result<()> {
        self.told_us = Some(told_us);
        let part = self.file.with_extension("part");
        std::fs::write(&part, told_us.to_string())?;
        std::fs::rename(&part, &self.file)?;
        Ok(())
    }
}

/// An incident as it was by a step.
fn notice(mut incident: Value, step: &Map<String, Value>) -> Option<Notice> {
    let event = Event::of_state(&text(step, "state"))?;
    for key in ["state", "who", "why"] {
        incident[key] = text(step, key).into();
    }
    incident["changed_ms"] = (number(step, "at_us") as i64 / 1000).into();
    Some(Notice { event, incident })
}
