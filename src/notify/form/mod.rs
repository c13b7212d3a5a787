//! What is told, in the forms that receivers know.

mod alertmanager;
mod ecs;
mod ocsf;

use super::settings::{Format, Level};
use serde_json::{Value, json};

/// Why somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was found.
    New,
    /// It became more severe.
    Raised,
    /// It goes on. Only Alertmanager asks for that.
    Grown,
    /// Nobody looked at it in time, or somebody wants others to look.
    Escalated,
    /// Somebody looks at it, or says that it is one.
    Acknowledged,
    /// It has ended: it is over, benign, or none.
    Closed,
    /// It is a step of a chain now, which stands for it from here on.
    Joined,
}

/// One telling of one incident.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// Why.
    pub event: Event,
    /// The incident as a line of `detections.ndjson`.
    pub incident: Value,
}

impl Event {
    const ALL: [Event; 7] = [
        Event::New,
        Event::Raised,
        Event::Grown,
        Event::Escalated,
        Event::Acknowledged,
        Event::Closed,
        Event::Joined,
    ];

    /// What people are told of a step to this state; `None` for what is none.
    pub fn of_state(state: &str) -> Option<Event> {
        match state {
            "new" => Some(Event::New),
            "acknowledged" | "true" => Some(Event::Acknowledged),
            "escalated" => Some(Event::Escalated),
            "benign" | "false" | "closed" => Some(Event::Closed),
            _ => None,
        }
    }

    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Event::New => "new",
            Event::Raised => "raised",
            Event::Grown => "grown",
            Event::Escalated => "escalated",
            Event::Acknowledged => "acknowledged",
            Event::Closed => "closed",
            Event::Joined => "joined",
        }
    }
}

impl Notice {
    /// The same for the same telling, however often it is sent, and by whichever collector.
    pub fn key(&self) -> String {
        let version = &self.incident["version"];
        let mut key = format!("{}-{version}-{}", self.text("id"), self.event.name());
        // people may do the same twice
        if let Some(at) = self.incident["changed_ms"].as_i64() {
            key += &format!("-{at}");
        }
        key
    }

    /// The same without what makes it long: evidence and peers.
    pub(in crate::notify) fn shortened(&self) -> Notice {
        let mut short = self.clone();
        if let Some(o) = short.incident.as_object_mut() {
            o.remove("evidence");
            o.remove("peers");
            o.insert("shortened".into(), true.into());
        }
        short
    }

    /// Reads what [`Notice::stored`] wrote; `None` where it is something else.
    pub(in crate::notify) fn read(text: &[u8]) -> Option<Notice> {
        let mut value: Value = serde_json::from_slice(text).ok()?;
        let name = value["event"].as_str()?.to_owned();
        Some(Notice {
            event: Event::ALL.into_iter().find(|e| e.name() == name)?,
            incident: value["incident"].take(),
        })
    }

    /// As it waits on disk, and as webhooks get it in their own form.
    pub(in crate::notify) fn stored(&self) -> Value {
        json!({"event": self.event.name(), "key": self.key(), "incident": self.incident})
    }

    /// Whether it asks for nobody any more.
    pub(in crate::notify) fn is_end(&self) -> bool {
        matches!(self.event, Event::Closed | Event::Joined)
    }

    /// When what is told came about, ms: what people did when they did it, what is new when it was known, all else when it was seen last.
    fn at_ms(&self) -> i64 {
        match (self.incident["changed_ms"].as_i64(), self.event) {
            (Some(at), _) => at,
            (None, Event::New) => self.number("detected_ms"),
            (None, _) => self.number("last_ms").max(self.number("detected_ms")),
        }
    }

    /// Its severity.
    pub fn severity(&self) -> Level {
        Level::named(&self.text("severity"))
    }

    /// Addresses and networks of the entity, as text.
    pub(in crate::notify) fn entities(&self) -> Vec<String> {
        let value = self.incident["entity"]["value"]
            .as_str()
            .unwrap_or_default();
        let parts = value
            .split(" -> ")
            .map(|p| p.split(' ').next().unwrap_or_default());
        parts.map(str::to_owned).collect()
    }

    pub(in crate::notify) fn text(&self, key: &str) -> String {
        match &self.incident[key] {
            Value::String(s) => s.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        }
    }

    fn number(&self, key: &str) -> i64 {
        self.incident[key].as_i64().unwrap_or_default()
    }

    pub(in crate::notify) fn strings(&self, key: &str) -> Vec<&str> {
        let all = self.incident[key].as_array().into_iter().flatten();
        all.filter_map(Value::as_str).collect()
    }

    /// What of its addresses are addresses: those of the entity and the peers.
    fn addresses(&self) -> Vec<String> {
        let peers = self.strings("peers").into_iter().map(str::to_owned);
        let mut all: Vec<String> = self.entities().into_iter().chain(peers).collect();
        all.retain(|a| a.parse::<std::net::IpAddr>().is_ok());
        all.dedup();
        all
    }

    fn community_ids(&self) -> &Value {
        &self.incident["evidence"]["community_ids"]
    }

    /// The incident in a form.
    pub(in crate::notify) fn form(&self, format: Format) -> Value {
        match format {
            Format::Json => self.stored(),
            Format::Ecs => self.ecs(),
            Format::Ocsf => self.ocsf(),
        }
    }

    /// Figures that decided, one a line.
    pub(in crate::notify) fn reasons(&self) -> String {
        let figures = self.incident["evidence"]["figures"]
            .as_array()
            .into_iter()
            .flatten();
        let line = |f: &Value| {
            let threshold = match &f["threshold"] {
                Value::Null => String::new(),
                t => format!(" (threshold {t})"),
            };
            format!(
                "{}: {}{threshold}",
                f["name"].as_str().unwrap_or_default(),
                f["observed"]
            )
        };
        figures.map(line).collect::<Vec<_>>().join("\n")
    }

    /// The entity and the first peer as source and destination.
    fn ends(&self) -> (Option<String>, Option<String>) {
        let is_victim = self.incident["entity"]["role"] == "victim";
        let mut all = self.addresses().into_iter();
        let (entity, other) = (all.next(), all.next());
        match is_victim {
            true => (other, entity),
            false => (entity, other),
        }
    }
}

/// Where the dashboard of an incident is, below the address of Grafana; `None` where the incident has no id.
pub fn link(grafana: &str, incident: &Value) -> Option<String> {
    let id = incident["id"].as_str()?;
    let from = incident["first_ms"].as_i64().unwrap_or_default() - LINK_BEFORE_MS;
    let grafana = grafana.trim_end_matches('/');
    // an incident that goes on is looked at up to now
    Some(format!(
        "{grafana}/d/flowhouse-incident?var-incident={id}&from={from}&to=now"
    ))
}

/// `2026-11-27T21:05:00.123Z`, by the days of the civil calendar.
pub(in crate::notify) fn rfc3339(ms: i64) -> String {
    let (day, rest) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    // years begin in March here, so that a leap day is the last one
    let since = day + 719_468;
    let (era, in_era) = (since.div_euclid(146_097), since.rem_euclid(146_097));
    let year = (in_era - in_era / 1_460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year + year / 4 - year / 100);
    let month = (5 * in_year + 2) / 153;
    let dom = in_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    let (s, ms) = (rest / 1000, rest % 1000);
    format!(
        "{:04}-{month:02}-{dom:02}T{:02}:{:02}:{:02}.{ms:03}Z",
        era * 400 + year + next,
        s / 3600,
        s / 60 % 60,
        s % 60
    )
}

/// What a dashboard shows of the time before an incident.
const LINK_BEFORE_MS: i64 = 600_000;

#[cfg(test)]
pub(in crate::notify) mod tests {
    use super::*;

    pub fn notice() -> Notice {
        let incident = json!({
            "id": "000000000000000a", "version": 2, "engine": "anomaly", "kind": "syn_flood", "detector": "flood.syn",
            "severity": "high", "confidence": 90, "title": "SYN flood", "entity": {"type": "host", "value": "192.0.2.1", "role": "victim"},
            "peers": ["10.1.2.3"], "peers_total": 1, "first_ms": 1_795_737_600_000_i64, "last_ms": 1_795_737_601_500_i64,
            "detected_ms": 1_795_737_601_000_i64, "count": 7,
            "evidence": {"figures": [{"name": "half-open", "observed": 900, "threshold": 100}], "facts": {}, "flows": [{
                "src_addr": "10.1.2.3", "src_port": 4, "dst_addr": "192.0.2.1", "dst_port": 80, "proto": 6, "community_id": "1:x="}],
                "community_ids": ["1:x="], "counterfactual": "801 fewer", "blind": []},
            "attack": ["T1498.001"],
        });
        Notice {
            event: Event::New,
            incident,
        }
    }

    #[test]
    fn it_comes_back_from_disk_as_it_was() {
        let n = notice();
        assert_eq!(
            Notice::read(n.stored().to_string().as_bytes()),
            Some(n.clone())
        );
        assert_eq!(Notice::read(b"{}"), None);
        assert_eq!(Notice::read(b"\xff"), None);
        assert_eq!(n.key(), "000000000000000a-2-new");
    }

    #[test]
    fn other_forms_have_their_fields() {
        let ecs = notice().form(Format::Ecs);
        assert_eq!(ecs["@timestamp"], "2026-11-27T00:00:01.000Z");
        assert_eq!(ecs["source"]["ip"], "10.1.2.3");
        assert_eq!(ecs["destination"]["ip"], "192.0.2.1");
        assert_eq!(ecs["event"]["severity"], 3);
        assert_eq!(ecs["network"]["community_id"][0], "1:x=");
        let ocsf = notice().form(Format::Ocsf);
        assert_eq!(
            (&ocsf["class_uid"], &ocsf["type_uid"]),
            (&2004.into(), &200_401.into())
        );
        assert_eq!(ocsf["severity_id"], 4);
        let attack = &ocsf["finding_info"]["attacks"][0];
        assert_eq!(attack["technique"]["uid"], "T1498");
        assert_eq!(attack["sub_technique"]["uid"], "T1498.001");
        let technique = &ecs["threat"]["technique"];
        assert_eq!(technique["id"][0], "T1498");
        assert_eq!(technique["subtechnique"]["id"][0], "T1498.001");
        assert_eq!(ocsf["evidences"][0]["dst_endpoint"]["port"], 80);
        let alert = notice().alertmanager(1_795_737_700_000);
        assert_eq!(alert[0]["labels"]["alertname"], "Flowhouse_syn_flood");
        assert_eq!(alert[0]["endsAt"], "2026-11-27T01:01:40.000Z");
        assert_eq!(
            alert[0]["annotations"]["description"],
            "half-open: 900 (threshold 100)"
        );
    }

    #[test]
    fn what_people_do_is_told_in_every_form() {
        let mut n = notice();
        n.event = Event::of_state("benign").expect("an event");
        for (key, value) in [("state", "benign"), ("who", "ann"), ("why", "ours")] {
            n.incident[key] = value.into();
        }
        n.incident["changed_ms"] = 1_795_737_700_000_i64.into();
        n.incident["link"] = link("https://g.example/", &n.incident).into();
        assert_eq!(n.key(), "000000000000000a-2-closed-1795737700000");
        let ocsf = n.form(Format::Ocsf);
        assert_eq!(
            [&ocsf["activity_id"], &ocsf["type_uid"], &ocsf["status_id"]],
            [3, 200_403, 3]
        );
        assert_eq!(
            (&ocsf["is_alert"], &ocsf["comment"]),
            (&false.into(), &"ours".into())
        );
        assert_eq!(ocsf["unmapped"]["who"], "ann");
        assert_eq!(ocsf["time"], 1_795_737_700_000_i64);
        let alert = n.alertmanager(1_795_737_700_000);
        assert_eq!(alert[0]["endsAt"], "2026-11-27T00:01:40.000Z");
        let url = "https://g.example/d/flowhouse-incident?var-incident=000000000000000a&from=1795737000000&to=now";
        assert_eq!(alert[0]["generatorURL"], url);
        assert_eq!(n.form(Format::Ecs)["event"]["url"], url);
        assert_eq!(ocsf["finding_info"]["src_url"], url);
        assert_eq!(Event::of_state("gone"), None);
        // one that a chain stands for asks for nobody
        n = notice();
        n.event = Event::Joined;
        n.incident["part_of"] = "000000000000000c".into();
        let alert = n.alertmanager(1_795_737_700_000);
        assert_eq!(alert[0]["endsAt"], "2026-11-27T00:01:40.000Z");
        let ocsf = n.form(Format::Ocsf);
        assert_eq!(ocsf["unmapped"]["part_of"], "000000000000000c");
        assert_eq!(
            (&ocsf["is_alert"], &ocsf["time"]),
            (&false.into(), &1_795_737_601_500_i64.into())
        );
    }

    #[test]
    fn an_odd_incident_makes_no_form_fail() {
        for incident in [
            json!(null),
            json!({"entity": 7, "peers": {}, "evidence": []}),
            json!([1]),
        ] {
            let n = Notice {
                event: Event::Grown,
                incident,
            };
            for format in [Format::Json, Format::Ecs, Format::Ocsf] {
                n.form(format);
            }
            n.alertmanager(i64::MAX);
        }
    }
}
