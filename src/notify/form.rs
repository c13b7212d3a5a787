//! What is told, in the forms that receivers know.

use super::settings::{Format, Level};
use serde_json::{Map, Value, json};

/// Why somebody is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was found.
    New,
    /// It became more severe.
    Raised,
    /// It goes on. Only Alertmanager asks for that.
    Grown,
    /// Nobody looked at it in time.
    Escalated,
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
    const ALL: [Event; 4] = [Event::New, Event::Raised, Event::Grown, Event::Escalated];

    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Event::New => "new",
            Event::Raised => "raised",
            Event::Grown => "grown",
            Event::Escalated => "escalated",
        }
    }
}

impl Notice {
    /// The same for the same telling, however often it is sent.
    pub fn key(&self) -> String {
        let version = &self.incident["version"];
        format!("{}-{version}-{}", self.text("id"), self.event.name())
    }

    /// Reads what [`Notice::stored`] wrote; `None` where it is something else.
    pub(super) fn read(text: &[u8]) -> Option<Notice> {
        let mut value: Value = serde_json::from_slice(text).ok()?;
        let name = value["event"].as_str()?.to_owned();
        Some(Notice {
            event: Event::ALL.into_iter().find(|e| e.name() == name)?,
            incident: value["incident"].take(),
        })
    }

    /// As it waits on disk, and as webhooks get it in their own form.
    pub(super) fn stored(&self) -> Value {
        json!({"event": self.event.name(), "key": self.key(), "incident": self.incident})
    }

    /// Its severity.
    pub fn severity(&self) -> Level {
        Level::named(&self.text("severity"))
    }

    /// Addresses and networks of the entity, as text.
    pub(super) fn entities(&self) -> Vec<String> {
        let value = self.incident["entity"]["value"]
            .as_str()
            .unwrap_or_default();
        let parts = value
            .split(" -> ")
            .map(|p| p.split(' ').next().unwrap_or_default());
        parts.map(str::to_owned).collect()
    }

    pub(super) fn text(&self, key: &str) -> String {
        match &self.incident[key] {
            Value::String(s) => s.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        }
    }

    fn number(&self, key: &str) -> i64 {
        self.incident[key].as_i64().unwrap_or_default()
    }

    fn strings(&self, key: &str) -> Vec<&str> {
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
    pub(super) fn form(&self, format: Format) -> Value {
        match format {
            Format::Json => self.stored(),
            Format::Ecs => self.ecs(),
            Format::Ocsf => self.ocsf(),
        }
    }

    /// Figures that decided, one a line.
    fn reasons(&self) -> String {
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

    /// Elastic Common Schema, fields of 8.11.
    fn ecs(&self) -> Value {
        let (source, destination) = self.ends();
        let time = |key: &str| rfc3339(self.number(key));
        let mut o = json!({
            "@timestamp": time("detected_ms"),
            "ecs": {"version": "8.11.0"},
            "message": self.text("title"),
            "event": {
                "kind": "alert", "category": ["intrusion_detection"], "type": ["info"], "action": self.text("kind"),
                "id": self.text("id"), "severity": severity_number(self.severity()), "start": time("first_ms"), "end": time("last_ms"),
                "provider": "flowhouse", "dataset": "flowhouse.detections", "reason": self.reasons(),
            },
            "rule": {"name": self.text("detector"), "category": self.text("kind"), "ruleset": self.text("engine")},
            "threat": {"framework": "MITRE ATT&CK", "technique": {"id": self.strings("attack")}},
            "network": {"community_id": self.community_ids()},
            "related": {"ip": self.addresses()},
            "observer": {"vendor": "Flowhouse", "product": "flowhouse", "type": "ids"},
            "flowhouse": {"event": self.event.name(), "incident": self.incident},
        });
        for (key, ip) in [("source", source), ("destination", destination)] {
            if let Some(ip) = ip {
                o[key] = json!({"ip": ip, "address": ip});
            }
        }
        if let Some(sid) = self.incident["sid"].as_u64() {
            o["rule"]["id"] = sid.to_string().into();
        }
        o
    }

    /// OCSF 1.4, class Detection Finding.
    fn ocsf(&self) -> Value {
        let activity = match self.event {
            Event::New => 1,
            _ => 2,
        };
        let signature = self.incident["engine"] == "signature";
        let attacks = self.strings("attack").into_iter();
        let attacks = attacks.map(|t| json!({"version": "15", "technique": {"uid": t}}));
        let observable =
            |ip: String| json!({"name": "ip", "type_id": 2, "type": "IP Address", "value": ip});
        json!({
            "class_uid": 2004, "class_name": "Detection Finding", "category_uid": 2, "category_name": "Findings",
            "activity_id": activity, "type_uid": 200_400 + activity, "status_id": 1, "is_alert": true,
            "severity_id": ocsf_severity(self.severity()), "severity": self.text("severity"),
            "confidence_score": self.number("confidence"), "time": self.number("detected_ms"),
            "start_time": self.number("first_ms"), "end_time": self.number("last_ms"), "count": self.number("count"),
            "message": self.reasons(),
            "metadata": {"version": "1.4.0", "uid": self.key(), "product": {"name": "Flowhouse", "vendor_name": "Flowhouse", "version": env!("CARGO_PKG_VERSION")}},
            "finding_info": {
                "uid": self.text("id"), "title": self.text("title"), "types": [self.text("kind")],
                "first_seen_time": self.number("first_ms"), "last_seen_time": self.number("last_ms"),
                "created_time": self.number("detected_ms"),
                "analytic": {"name": self.text("detector"), "type_id": if signature { 1 } else { 2 }},
                "attacks": attacks.collect::<Vec<_>>(),
            },
            "observables": self.addresses().into_iter().map(observable).collect::<Vec<_>>(),
            "evidences": self.evidences(),
        })
    }

    fn evidences(&self) -> Vec<Value> {
        let flows = self.incident["evidence"]["flows"]
            .as_array()
            .into_iter()
            .flatten();
        let one = |f: &Value| {
            json!({
                "src_endpoint": {"ip": f["src_addr"], "port": f["src_port"]},
                "dst_endpoint": {"ip": f["dst_addr"], "port": f["dst_port"]},
                "connection_info": {"protocol_num": f["proto"], "community_uid": f["community_id"]},
            })
        };
        flows.map(one).collect()
    }

    /// What `/api/v2/alerts` of Alertmanager takes. The labels name the incident, so that what is told again is the same alert; it ends when
    /// nothing was heard of it for an hour.
    pub(super) fn alertmanager(&self, now_ms: i64) -> Value {
        let mut labels = Map::new();
        let mut label = |key: &str, value: String| labels.insert(key.into(), value.into());
        label("alertname", format!("Flowhouse_{}", self.text("kind")));
        for key in ["id", "kind", "severity", "engine", "detector"] {
            label(if key == "id" { "incident" } else { key }, self.text(key));
        }
        label(
            "entity",
            self.incident["entity"]["value"]
                .as_str()
                .unwrap_or_default()
                .into(),
        );
        if self.event == Event::Escalated {
            label("escalated", "yes".into());
        }
        let annotations = json!({
            "summary": self.text("title"),
            "description": self.reasons(),
            "attack": self.strings("attack").join(", "),
            "counterfactual": self.incident["evidence"]["counterfactual"].as_str().unwrap_or_default(),
        });
        json!([{
            "labels": labels,
            "annotations": annotations,
            "startsAt": rfc3339(self.number("first_ms")),
            "endsAt": rfc3339(now_ms.saturating_add(ALERT_HOLD_MS)),
        }])
    }
}

/// Of ECS: higher is worse.
fn severity_number(level: Level) -> u8 {
    level as u8 + 1
}

/// Of OCSF.
fn ocsf_severity(level: Level) -> u8 {
    level as u8 + 2
}

/// `2026-11-27T21:05:00.123Z`, by the days of the civil calendar.
pub(super) fn rfc3339(ms: i64) -> String {
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

/// How long an alert lasts after it was told last.
const ALERT_HOLD_MS: i64 = 3_600_000;

#[cfg(test)]
pub(super) mod tests {
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
        assert_eq!(
            ocsf["finding_info"]["attacks"][0]["technique"]["uid"],
            "T1498.001"
        );
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
