//! Incidents over HTTP: the list, one of them, its history, and the steps of its life.

use super::access::Peer;
use super::families::Page;
use super::server::Pages;
use super::{Detections, Signatures};
use crate::model::DetectionKind;
use axum::Json;
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::Value;
use std::net::IpAddr;
use std::sync::Arc;

/// Which incidents are asked for. Lists are separated by commas; what is empty asks for all.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Asked {
    /// How far back, seconds.
    pub last_s: u64,
    /// Those that have ended, too.
    pub all: bool,
    /// Those that are suppressed, too.
    pub hidden: bool,
    /// Only those that the budget of a day held back.
    pub held_back: bool,
    /// States.
    pub state: String,
    /// Kinds.
    pub kind: String,
    /// The least severity.
    pub severity: String,
    /// An address or a network, of the entity or of a peer.
    pub entity: String,
    /// Most incidents.
    pub rows: u32,
}

/// How far back a page looks.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Back {
    /// Seconds.
    last_s: u64,
}

impl Default for Back {
    fn default() -> Self {
        Back { last_s: 7 * 86_400 }
    }
}

/// A step in the life of an incident.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The new state.
    pub state: String,
    /// Who says so.
    pub who: String,
    /// Why, if they say so.
    #[serde(default)]
    pub why: Option<String>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// What was asked makes no sense.
    Wrong(String),
    /// There is no such incident.
    Unknown,
    /// The store cannot be asked.
    Away(String),
}

impl Default for Asked {
    fn default() -> Self {
        Asked {
            last_s: 7 * 86_400,
            all: false,
            hidden: false,
            held_back: false,
            state: String::new(),
            kind: String::new(),
            severity: "low".into(),
            entity: String::new(),
            rows: 100,
        }
    }
}

impl Asked {
    /// All that is wrong with it.
    fn fault(&self) -> Option<String> {
        let mut faults = vec![];
        if !["low", "medium", "high", "critical"].contains(&&*self.severity) {
            faults.push("severity is low, medium, high or critical".into());
        }
        if !(1..=10_000).contains(&self.rows) {
            faults.push("rows is 1 to 10000".into());
        }
        let is_kind = |k: &&str| DetectionKind::ALL.iter().any(|d| d.name() == *k);
        let unknown = words(&self.kind).filter(|k| !is_kind(k));
        faults.extend(unknown.map(|k| format!("kind: {k:?} is no kind of detection")));
        if !self.entity.is_empty() && self.network().is_none() {
            let fault = format!("entity: {:?} is no address and no network", self.entity);
            faults.push(fault);
        }
        (!faults.is_empty()).then(|| faults.join("; "))
    }

    /// The entity as a network; `None` where it is none.
    pub fn network(&self) -> Option<String> {
        let (address, bits) = self.entity.split_once('/').unwrap_or((&self.entity, ""));
        let ip: IpAddr = address.parse().ok()?;
        let width = if ip.is_ipv4() { 32 } else { 128 };
        let bits: u8 = match self.entity.contains('/') {
            true => bits.parse().ok()?,
            false => width,
        };
        (bits <= width).then(|| format!("{ip}/{bits}"))
    }
}

/// The words of a list.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|w| !w.is_empty())
}

pub(super) async fn list(State(pages): State<Arc<Pages>>, asked: Query<Asked>) -> Response {
    let Query(asked) = asked;
    match asked.fault() {
        Some(fault) => answer(Err(NoAnswer::Wrong(fault))),
        None => blocking(pages, move |p| p.source.incidents(&asked)).await,
    }
}

/// What was told and what was held back.
pub(super) async fn budget(State(pages): State<Arc<Pages>>, back: Query<Back>) -> Response {
    let last_s = back.last_s;
    blocking(pages, move |p| p.source.incident_budget(last_s)).await
}

pub(super) async fn one(State(pages): State<Arc<Pages>>, Path(id): Path<String>) -> Response {
    blocking(pages, move |p| p.source.incident(&id)).await
}

pub(super) async fn history(State(pages): State<Arc<Pages>>, Path(id): Path<String>) -> Response {
    blocking(pages, move |p| p.source.incident_history(&id)).await
}

/// 204 where the step was written.
pub(super) async fn step(
    State(pages): State<Arc<Pages>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Path(id): Path<String>,
    headers: HeaderMap,
    Json(step): Json<Step>,
) -> Response {
    if let Err((status, why)) = pages.access.rules().permit(pages.address, peer, &headers) {
        tracing::warn!("a request to change an incident was refused: {why}");
        return (
            status,
            [(header::WWW_AUTHENTICATE, "Bearer")],
            format!("{why}\n"),
        )
            .into_response();
    }
    let says = |text: &String| !text.trim().is_empty() && text.len() <= TEXT_MAX;
    if !says(&step.who) || !step.why.as_ref().is_none_or(says) {
        let fault =
            format!("who, and why where it is given, say something in at most {TEXT_MAX} bytes");
        return answer(Err(NoAnswer::Wrong(fault)));
    }
    blocking(pages, move |p| p.source.incident_step(&id, &step)).await
}

/// The store is asked on a thread that may wait.
async fn blocking(
    pages: Arc<Pages>,
    ask: impl FnOnce(&Pages) -> Result<Value, NoAnswer> + Send + 'static,
) -> Response {
    let asked = tokio::task::spawn_blocking(move || ask(&pages)).await;
    answer(asked.unwrap_or_else(|e| Err(NoAnswer::Away(e.to_string()))))
}

fn answer(of: Result<Value, NoAnswer>) -> Response {
    match of {
        Ok(Value::Null) => StatusCode::NO_CONTENT.into_response(),
        Ok(value) => Json(value).into_response(),
        Err(NoAnswer::Wrong(why)) => (StatusCode::BAD_REQUEST, why + "\n").into_response(),
        Err(NoAnswer::Unknown) => (StatusCode::NOT_FOUND, "no such incident\n").into_response(),
        Err(NoAnswer::Away(why)) => (StatusCode::SERVICE_UNAVAILABLE, why + "\n").into_response(),
    }
}

/// What became of detections, as metrics.
pub(super) fn metrics(page: &mut Page, d: &Detections) {
    untold(page, d);
    told(page, d);
}

/// What people are not told.
fn untold(page: &mut Page, d: &Detections) {
    let hidden = d.suppressed.iter();
    let hidden: Vec<_> = hidden
        .map(|(name, n)| ([("suppression", name.clone())], *n as f64))
        .collect();
    page.counter(
        "flowhouse_detections_suppressed_total",
        "Versions of incidents that a suppression kept from people.",
        hidden.iter().map(|(l, n)| (&l[..], *n)),
    );
    let held_back: Vec<_> = (d.held_back.iter())
        .map(|(severity, n)| ([("severity", (*severity).to_owned())], *n as f64))
        .collect();
    page.counter(
        "flowhouse_detections_held_back_total",
        "Incidents that the budget of a day kept from people.",
        held_back.iter().map(|(l, n)| (&l[..], *n)),
    );
    page.counter(
        "flowhouse_detections_beyond_total",
        "Incidents beyond detect.incidents_per_day_max, neither stored nor told.",
        d.beyond.iter().map(|n| (&[][..], *n as f64)),
    );
}

/// What they are told, and how long things take.
fn told(page: &mut Page, d: &Detections) {
    let labels: Vec<_> = (d.targets.iter())
        .map(|t| [("target", t.0.clone())])
        .collect();
    let of = |n: usize| {
        let values = d.targets.iter().map(move |t| t.1[n] as f64);
        labels.iter().map(|l| &l[..]).zip(values)
    };
    let [sent, failed, dropped] = [0, 1, 2].map(of);
    page.counter(
        "flowhouse_notify_sent_total",
        "Notices that a target took.",
        sent,
    );
    page.counter(
        "flowhouse_notify_failed_total",
        "Tries to tell a target that failed.",
        failed,
    );
    let help = "Notices given up: no room, refused by the target, or too old.";
    page.counter("flowhouse_notify_dropped_total", help, dropped);
    page.gauge(
        "flowhouse_notify_waiting",
        "Notices that wait for a target.",
        of(3),
    );
    let labels: Vec<_> = (d.times.iter())
        .map(|t| [("severity", t.severity.clone())])
        .collect();
    let open = d.times.iter().map(|t| t.open as f64);
    let help = "Incidents of the last 30 days that have not ended.";
    page.gauge(
        "flowhouse_incidents_open",
        help,
        labels.iter().map(|l| &l[..]).zip(open),
    );
    type Of = fn(&super::LifeTimes) -> Option<f64>;
    let means: [(&str, &str, Of); 3] = [
        (
            "flowhouse_incidents_mttd_seconds",
            "Mean time from the beginning of an incident until it is known, last 30 days.",
            |t| t.to_know_s,
        ),
        (
            "flowhouse_incidents_mtta_seconds",
            "Mean time from then until somebody looks at it, last 30 days.",
            |t| t.to_look_s,
        ),
        (
            "flowhouse_incidents_mttr_seconds",
            "Mean time until it is over, last 30 days.",
            |t| t.to_end_s,
        ),
    ];
    for (name, help, of) in means {
        let rows = labels.iter().zip(&d.times);
        page.gauge(name, help, rows.filter_map(|(l, t)| Some((&l[..], of(t)?))));
    }
}

/// What rules found, as metrics.
pub(super) fn signatures(page: &mut Page, s: &Signatures) {
    let none = &[][..];
    page.gauge(
        "flowhouse_signature_rules",
        "Rules that packets are matched with.",
        [(none, s.rules as f64)],
    );
    page.gauge(
        "flowhouse_signature_generation",
        "Which load of the rules is in force: it grows with each reload.",
        [(none, s.generation as f64)],
    );
    let classes = s.classes.iter().map(|((severity, category), n)| {
        let labels = [
            ("severity", severity.to_string()),
            ("category", category.clone()),
        ];
        (labels, *n as f64)
    });
    let classes: Vec<_> = classes.collect();
    page.counter(
        "flowhouse_signature_hits_total",
        "Alerts of rules, by severity (1 is the gravest) and category.",
        classes.iter().map(|(l, n)| (&l[..], *n)),
    );
    let label =
        |rule: &str, text: &str| [("rule", rule.to_owned()), ("signature", text.to_owned())];
    let top = s.top.iter().map(|(rule, text, n)| (label(rule, text), *n));
    let other = (s.other > 0).then(|| (label("other", ""), s.other));
    let top: Vec<_> = top.chain(other).collect();
    page.gauge(
        "flowhouse_signature_rule_hits",
        "Alerts since the start of the rules that raised most, and of all others together.",
        top.iter().map(|(l, n)| (&l[..], *n as f64)),
    );
}

/// Longest name and reason, bytes.
const TEXT_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_proven_before_the_store_is_asked() {
        let of = |entity: &str| Asked {
            entity: entity.into(),
            ..Asked::default()
        };
        assert_eq!(of("10.0.0.0/8").network().as_deref(), Some("10.0.0.0/8"));
        assert_eq!(of("::1").network().as_deref(), Some("::1/128"));
        for entity in ["10.0.0.0/33", "x", "10.0.0.1' OR 1"] {
            assert!(of(entity).fault().is_some(), "{entity}");
        }
        assert_eq!(Asked::default().fault(), None);
        let of = |kind: &str| Asked {
            kind: kind.into(),
            ..Asked::default()
        };
        assert_eq!(of("beacon, port_scan,").fault(), None);
        let all = Asked {
            entity: "nowhere".into(),
            ..of("beacon,nosuch,neither")
        };
        let fault = all.fault().expect("a fault");
        let named = ["nosuch", "neither", "nowhere"].map(|word| fault.contains(word));
        assert_eq!(named, [true; 3], "{fault}");
        assert!(
            Asked {
                severity: "bad".into(),
                ..Asked::default()
            }
            .fault()
            .is_some()
        );
    }
}
