//! Open Cybersecurity Schema Framework.

use super::{Event, Level, Notice};
use serde_json::{Map, Value, json};

impl Notice {
    /// OCSF 1.4, class Detection Finding.
    pub(super) fn ocsf(&self) -> Value {
        let (activity, activity_name) = match self.event {
            Event::New => (1, "Create"),
            Event::Closed => (3, "Close"),
            _ => (2, "Update"),
        };
        let (status, status_name) = match self.incident["state"].as_str() {
            Some("acknowledged" | "true" | "escalated") => (2, "In Progress"),
            Some("benign" | "false") => (3, "Suppressed"),
            Some("closed") => (4, "Resolved"),
            _ => (1, "New"),
        };
        let signature = self.incident["engine"] == "signature";
        let attacks = self.strings("attack").into_iter();
        let attacks = attacks.map(attack);
        let observable =
            |ip: String| json!({"name": "ip", "type_id": 2, "type": "IP Address", "value": ip});
        let mut o = json!({
            "class_uid": 2004, "class_name": "Detection Finding", "category_uid": 2, "category_name": "Findings",
            "activity_id": activity, "activity_name": activity_name, "type_uid": 200_400 + activity,
            "status_id": status, "status": status_name, "is_alert": !self.is_end(),
            "severity_id": ocsf_severity(self.severity()), "severity": capital(self.severity().name()),
            "confidence_score": self.number("confidence"), "time": self.at_ms(),
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
        });
        if let Some(link) = self.incident["link"].as_str() {
            o["finding_info"]["src_url"] = link.into();
        }
        if let Some(why) = self.incident["why"].as_str().filter(|w| !w.is_empty()) {
            o["comment"] = why.into();
        }
        // this class has no place for who did it
        let of = |key: &str| Some((key.to_owned(), Value::from(self.incident[key].as_str()?)));
        let more: Map<String, Value> = ["who", "part_of"].into_iter().filter_map(of).collect();
        if !more.is_empty() {
            o["unmapped"] = more.into();
        }
        o
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
                "connection_info": {"direction_id": 0, "protocol_num": f["proto"], "community_uid": f["community_id"]},
            })
        };
        let evidence = &self.incident["evidence"];
        let said = |key: &str| match &evidence[key] {
            Value::Null => None,
            value => Some((key.to_owned(), value.clone())),
        };
        let said: Map<String, Value> = ["figures", "facts", "counterfactual", "blind"]
            .into_iter()
            .filter_map(said)
            .collect();
        let data = (!said.is_empty()).then(|| json!({"data": said}));
        flows.map(one).chain(data).collect()
    }
}

/// A technique, or a sub-technique below its technique, as OCSF has it.
fn attack(id: &str) -> Value {
    match id.split_once('.') {
        Some((technique, _)) => {
            json!({"version": "15", "technique": {"uid": technique}, "sub_technique": {"uid": id}})
        }
        None => json!({"version": "15", "technique": {"uid": id}}),
    }
}

/// A word with its first letter large, as captions of OCSF are.
fn capital(word: &str) -> String {
    let mut chars = word.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}

/// Of OCSF.
fn ocsf_severity(level: Level) -> u8 {
    level as u8 + 2
}
