//! Elastic Common Schema.

use super::{Level, Notice, rfc3339};
use serde_json::{Value, json};

impl Notice {
    /// Elastic Common Schema, fields of 8.11.
    pub(super) fn ecs(&self) -> Value {
        let (source, destination) = self.ends();
        let time = |key: &str| rfc3339(self.number(key));
        let mut o = json!({
            "@timestamp": rfc3339(self.at_ms()),
            "ecs": {"version": "8.11.0"},
            "message": self.text("title"),
            "event": {
                "kind": "alert", "category": ["intrusion_detection"], "type": ["info"], "action": self.text("kind"),
                "id": self.text("id"), "severity": severity_number(self.severity()), "start": time("first_ms"), "end": time("last_ms"),
                "provider": "flowhouse", "dataset": "flowhouse.detections", "reason": self.reasons(),
            },
            "rule": {"name": self.text("detector"), "category": self.text("kind"), "ruleset": self.text("engine")},
            "threat": self.threat(),
            "network": {"community_id": self.community_ids()},
            "related": {"ip": self.addresses()},
            "observer": {"vendor": "Flowhouse", "product": "flowhouse", "type": "ids"},
            "flowhouse": {"event": self.event.name(), "incident": self.incident},
        });
        if let Some(link) = self.incident["link"].as_str() {
            o["event"]["url"] = link.into();
        }
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

    /// Techniques and sub-techniques in the lists of ECS.
    fn threat(&self) -> Value {
        let all = self.strings("attack");
        let (of, below): (Vec<&str>, Vec<&str>) = all.into_iter().partition(|t| !t.contains('.'));
        let mut techniques: Vec<&str> = of;
        for technique in below.iter().filter_map(|t| t.split('.').next()) {
            if !techniques.contains(&technique) {
                techniques.push(technique);
            }
        }
        let mut technique = json!({"id": techniques});
        if !below.is_empty() {
            technique["subtechnique"] = json!({"id": below});
        }
        json!({"framework": "MITRE ATT&CK", "technique": technique})
    }
}

/// Of ECS: higher is worse.
fn severity_number(level: Level) -> u8 {
    level as u8 + 1
}

#[cfg(test)]
mod tests {
    use super::super::tests::notice;
    use super::*;
    use crate::notify::Format;

    /// Fields of ECS 8.11 that are used here, with their types (elastic.co/guide/en/ecs/8.11); what is below `flowhouse` is ours.
    const ECS: &[(&str, &str)] = &[
        ("@timestamp", "date"),
        ("ecs.version", "keyword"),
        ("message", "text"),
        ("event.action", "keyword"),
        ("event.category", "keyword"),
        ("event.dataset", "keyword"),
        ("event.end", "date"),
        ("event.id", "keyword"),
        ("event.kind", "keyword"),
        ("event.provider", "keyword"),
        ("event.reason", "keyword"),
        ("event.severity", "long"),
        ("event.start", "date"),
        ("event.type", "keyword"),
        ("event.url", "keyword"),
        ("rule.category", "keyword"),
        ("rule.id", "keyword"),
        ("rule.name", "keyword"),
        ("rule.ruleset", "keyword"),
        ("threat.framework", "keyword"),
        ("threat.technique.id", "keyword"),
        ("threat.technique.subtechnique.id", "keyword"),
        ("network.community_id", "keyword"),
        ("related.ip", "ip"),
        ("observer.product", "keyword"),
        ("observer.type", "keyword"),
        ("observer.vendor", "keyword"),
        ("source.address", "keyword"),
        ("source.ip", "ip"),
        ("destination.address", "keyword"),
        ("destination.ip", "ip"),
    ];

    fn leaves<'a>(path: &str, value: &'a Value, out: &mut Vec<(String, &'a Value)>) {
        match value {
            Value::Object(o) => {
                for (key, value) in o {
                    let dot = if path.is_empty() { "" } else { "." };
                    leaves(&format!("{path}{dot}{key}"), value, out);
                }
            }
            // a list of values is indexed like one value
            Value::Array(all) => all.iter().for_each(|v| leaves(path, v, out)),
            _ => out.push((path.to_owned(), value)),
        }
    }

    #[test]
    fn ecs_has_its_own_fields_and_their_types() {
        let mut n = notice();
        n.incident["sid"] = 7.into();
        n.incident["link"] = "https://g.example/".into();
        let ecs = n.form(Format::Ecs);
        let mut all = vec![];
        leaves("", &ecs, &mut all);
        let is_date = |v: &Value| {
            v.as_str()
                .is_some_and(|t| t.len() == 24 && t.ends_with('Z'))
        };
        let is_ip = |v: &Value| {
            let ip = v.as_str().map(str::parse::<std::net::IpAddr>);
            ip.is_some_and(|ip| ip.is_ok())
        };
        for (path, value) in all.iter().filter(|l| !l.0.starts_with("flowhouse.")) {
            let known = ECS.iter().find(|f| f.0 == path);
            let (_, kind) = known.unwrap_or_else(|| panic!("{path} is no field of ECS"));
            let fits = match *kind {
                "date" => is_date(value),
                "ip" => is_ip(value),
                "long" => value.is_i64(),
                _ => value.is_string(),
            };
            assert!(fits, "{path}: {value} is no {kind}");
        }
        for (path, _) in ECS {
            assert!(all.iter().any(|l| l.0 == *path), "{path} is not used");
        }
    }
}
