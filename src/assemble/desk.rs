//! Incidents in the store, for who asks over HTTP, and for escalation, metrics, and telling what people do with them.
#![expect(
    clippy::disallowed_types,
    reason = "written once a minute, read by control"
)]

use super::steps::Steps;
use crate::assemble::query::{Bound, Reader, number, text};
use crate::control::{Asked, LifeTimes, NoAnswer, Step, words};
use crate::model::Severity;
use crate::notify::{self, Event, Level, Notice, Notifier};
use crate::sink::clickhouse::Connection;
use crate::sink::schema::incidents::{
    BUDGET, CHANGE, GOES_ON, HISTORY, LIST, LIVE, ONE, STATES, TIMES, digits, incident, is_said,
    refusal,
};
use anyhow::Result;
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;
use std::time::Duration;

/// A way to the incidents of a store.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    connection: Connection,
    grafana_url: Option<String>,
    times: Arc<Mutex<Vec<LifeTimes>>>,
}

/// The thread that looks again and again. It ends by itself when this is dropped: nothing waits for it.
#[derive(Debug)]
pub(super) struct Watch {
    _stop: Sender<()>,
}

impl Desk {
    pub fn new(connection: &Connection, grafana_url: Option<String>) -> Desk {
        Desk {
            connection: connection.clone(),
            grafana_url,
            times: Arc::default(),
        }
    }

    /// How long it took lately, by severity, as the store told last.
    pub fn times(&self) -> Vec<LifeTimes> {
        self.times
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// As [`crate::control::Source::incidents`].
    pub fn list(&self, asked: &Asked) -> Result<Value, NoAnswer> {
        let reader = self.reader()?;
        if let Some(unknown) = words(&asked.state).find(|s| !STATES.contains(s)) {
            return Err(NoAnswer::Wrong(format!(
                "state: {unknown:?} is none of {}",
                STATES.join(", ")
            )));
        }
        let words = |text: &str| Bound::Texts(words(text).map(str::to_owned).collect());
        let network = asked.network().unwrap_or_default();
        let flag = |is: bool| Bound::Number(f64::from(u8::from(is)));
        let values = [
            ("last", Bound::Number(asked.last_s as f64)),
            ("open", flag(!asked.all && asked.state.is_empty())),
            ("hidden", flag(asked.hidden)),
            ("held", flag(asked.held_back)),
            ("states", words(&asked.state)),
            ("kinds", words(&asked.kind)),
            (
                "severity",
                Bound::Number(f64::from(Level::named(&asked.severity) as u8 + 1)),
            ),
            ("network", Bound::Text(network)),
            ("rows", Bound::Number(f64::from(asked.rows))),
        ];
        let rows = reader.rows_with(LIST, &values).map_err(away)?;
        Ok(rows.iter().map(incident).collect())
    }

    /// As [`crate::control::Source::incident_budget`].
    pub fn budget(&self, last_s: u64) -> Result<Value, NoAnswer> {
        let last = [("last", Bound::Number(last_s as f64))];
        let rows = self.reader()?.rows_with(BUDGET, &last).map_err(away)?;
        Ok(rows.into_iter().map(Value::Object).collect())
    }

    /// As [`crate::control::Source::incident`].
    pub fn one(&self, id: &str) -> Result<Value, NoAnswer> {
        let mut found = self.find(&self.reader()?, id)?;
        let link = |url: &String| notify::link(url, &found);
        if let Some(link) = self.grafana_url.as_ref().and_then(link) {
            found["link"] = link.into();
        }
        Ok(found)
    }

    /// As [`crate::control::Source::incident_history`].
    pub fn history(&self, id: &str) -> Result<Value, NoAnswer> {
        let reader = self.reader()?;
        let id = whole(&self.find(&reader, id)?);
        let rows = reader.rows_with(HISTORY, &[("id", Bound::Text(id))]);
        Ok(rows.map_err(away)?.into_iter().map(Value::Object).collect())
    }

    /// As [`crate::control::Source::incident_step`]. What the same person said last, said again, changes nothing.
    pub fn step(&self, id: &str, step: &Step) -> Result<Value, NoAnswer> {
        if !STATES.contains(&&*step.state) {
            return Err(NoAnswer::Wrong(format!(
                "state is one of {}",
                STATES.join(", ")
            )));
        }
        let reader = self.reader()?;
        let found = self.find(&reader, id)?;
        let id = whole(&found);
        let was = found["state"].as_str().unwrap_or_default();
        if let Some(why) = refusal(&id, was, &step.state) {
            return Err(NoAnswer::Wrong(why));
        }
        let why = step.why.as_deref().unwrap_or_default();
        let said = (&*step.state, &*step.who, why);
        if !is_said(&found, said) {
            write(&reader, &id, said, "api").map_err(away)?;
        }
        Ok(Value::Null)
    }

    /// The one incident whose id begins so.
    fn find(&self, reader: &Reader, id: &str) -> Result<Value, NoAnswer> {
        let id = digits(id).ok_or(NoAnswer::Unknown)?;
        let rows = reader.rows_with(ONE, &[("id", Bound::Text(id.clone()))]);
        match &rows.map_err(away)?[..] {
            [row] => Ok(incident(row)),
            [] => Err(NoAnswer::Unknown),
            _ => Err(NoAnswer::Wrong(format!(
                "more than one incident begins with {id}: give more of its digits"
            ))),
        }
    }

    fn reader(&self) -> Result<Reader, NoAnswer> {
        Reader::new(&self.connection).map_err(away)
    }

    /// Starts the thread that opens again what goes on, escalates what nobody looked at, tells what people did, and asks how long things take. Up to where it has told is
    /// kept below `state`.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn watch(
        &self,
        settings: &notify::Settings,
        state: &Path,
        notifier: Option<Arc<Notifier>>,
    ) -> Result<Watch> {
        let (stop, stopped) = bounded::<()>(0);
        let (desk, after_min) = (self.clone(), settings.escalate_after_min.clone());
        let mut steps = notifier.clone().map(|n| Steps::open(state, n));
        let work = move || {
            let (mut pause, mut said, mut round) = (FIRST, String::new(), 0_u32);
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(pause) {
                pause = ROUND;
                let is_long = round % LONG_ROUND == 0;
                round = round.wrapping_add(1);
                let after_min = is_long.then_some(&after_min);
                match desk.look(after_min, steps.as_mut(), notifier.as_deref()) {
                    Ok(()) => said.clear(),
                    Err(error) if error.to_string() == said => {}
                    // the sink tells of a store that lacks them: at a first start they are just being made
                    Err(error) if lacks_tables(&error) => {}
                    Err(error) => {
                        said = error.to_string();
                        tracing::info!("the store does not say which incidents wait: {said}");
                    }
                }
            }
        };
        Builder::new().name("desk".into()).spawn(work)?;
        Ok(Watch { _stop: stop })
    }

    fn look(
        &self,
        after_min: Option<&BTreeMap<Level, u64>>,
        steps: Option<&mut Steps>,
        notifier: Option<&Notifier>,
    ) -> Result<()> {
        let steps = steps.filter(|_| notifier.is_some_and(Notifier::has_targets));
        if after_min.is_none() && steps.is_none() {
            return Ok(());
        }
        let reader = Reader::new(&self.connection)?;
        if let Some(steps) = steps {
            steps.tell(&reader)?;
        }
        let Some(after_min) = after_min else {
            return Ok(());
        };
        reopen(&reader)?;
        for (level, minutes) in after_min {
            escalate(&reader, *level, *minutes, notifier)?;
        }
        let last = [("last", Bound::Number(TIMES_S))];
        let rows = reader.rows_with(TIMES, &last)?;
        let times = rows.iter().map(times_of).collect();
        *self.times.lock().unwrap_or_else(PoisonError::into_inner) = times;
        Ok(())
    }
}

/// Whether the store says that it has no such table or database.
fn lacks_tables(error: &anyhow::Error) -> bool {
    let said = format!("{error:#}");
    ["(UNKNOWN_TABLE)", "(UNKNOWN_DATABASE)"]
        .iter()
        .any(|name| said.contains(name))
}

fn times_of(row: &Map<String, Value>) -> LifeTimes {
    let seconds = |key: &str| row.get(key).and_then(Value::as_f64);
    LifeTimes {
        severity: text(row, "severity"),
        incidents: number(row, "incidents") as u64,
        open: (number(row, "incidents") - number(row, "ended")) as u64,
        to_know_s: seconds("mttd_s"),
        to_look_s: seconds("mtta_s"),
        to_end_s: seconds("mttr_s"),
    }
}

/// What was closed and goes on is new again; who is told of what people do is told of it as well.
fn reopen(reader: &Reader) -> Result<()> {
    let last = [("last", Bound::Number(ESCALATED_S))];
    for row in reader.rows_with(GOES_ON, &last)? {
        let said = ("new", "flowhouse", "it went on after it was closed");
        write(reader, &text(&row, "id"), said, "growth")?;
    }
    Ok(())
}

/// Escalates what is of this severity, new, and older than so many minutes, but for what a replay stored.
fn escalate(
    reader: &Reader,
    level: Level,
    minutes: u64,
    notifier: Option<&Notifier>,
) -> Result<()> {
    let none = || Bound::Texts(vec![]);
    let severity = Severity::ALL.iter().find(|s| s.name() == level.name());
    let values = [
        ("last", Bound::Number(ESCALATED_S)),
        ("open", Bound::Number(1.0)),
        ("hidden", Bound::Number(0.0)),
        ("held", Bound::Number(0.0)),
        ("states", Bound::Texts(vec!["new".into()])),
        ("kinds", none()),
        (
            "severity",
            Bound::Number(f64::from(severity.map_or(0, |s| *s as u8))),
        ),
        ("network", Bound::Text(String::new())),
        ("rows", Bound::Number(ESCALATED_MAX)),
    ];
    let now = number(
        &reader.row("SELECT toUnixTimestamp64Milli(now64(3)) AS now")?,
        "now",
    );
    let why = format!("nobody looked at it within {minutes} min");
    for row in reader.rows_with(LIVE, &values)? {
        let since = number(&row, "told_ms").max(number(&row, "changed_ms"));
        let waited_min = (now - since) / 60_000.0;
        if text(&row, "severity") != level.name() || waited_min < minutes as f64 {
            continue;
        }
        let id = text(&row, "id");
        write(reader, &id, ("escalated", "flowhouse", &why), "escalation")?;
        let whole = reader.rows_with(ONE, &[("id", Bound::Text(id))])?;
        if let (Some(notifier), Some(whole)) = (notifier, whole.first()) {
            notifier.tell(Notice {
                event: Event::Escalated,
                incident: incident(whole),
            });
        }
    }
    Ok(())
}

/// The id of an incident, all digits.
fn whole(incident: &Value) -> String {
    incident["id"].as_str().unwrap_or_default().to_owned()
}

fn write(
    reader: &Reader,
    id: &str,
    (state, who, why): (&str, &str, &str),
    via: &str,
) -> Result<()> {
    let values = [
        ("id", id),
        ("state", state),
        ("who", who),
        ("why", why),
        ("via", via),
    ];
    let values = values.map(|(name, value)| (name, Bound::Text(value.to_owned())));
    reader.run_with(CHANGE, &values)
}

fn away(error: anyhow::Error) -> NoAnswer {
    NoAnswer::Away(format!("the store cannot be asked: {error:#}"))
}

/// When the store is asked first, and how often then what people did; for the rest each fourth time.
const FIRST: Duration = Duration::from_secs(5);
const ROUND: Duration = Duration::from_secs(15);
const LONG_ROUND: u32 = 4;
/// Over which time metrics of a life are taken: 30 days.
const TIMES_S: f64 = 30.0 * 86_400.0;
/// What is older is neither escalated nor opened again any more: two days.
const ESCALATED_S: f64 = 2.0 * 86_400.0;
/// Incidents that are escalated in one round.
const ESCALATED_MAX: f64 = 1_000.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_that_are_not_made_yet_are_waited_for_quietly() {
        let said = |text: &str| anyhow::anyhow!("bad response: {text}").context("asking");
        let missing = "Code: 60. DB::Exception: Unknown table (UNKNOWN_TABLE) (version 26.9.2.1)";
        assert!(lacks_tables(&said(missing)));
        assert!(!lacks_tables(&said(
            "Code: 241. DB::Exception: Memory (MEMORY_LIMIT_EXCEEDED)"
        )));
    }
}
