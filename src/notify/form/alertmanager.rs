//! Prometheus Alertmanager.

use super::{Event, Notice, rfc3339};
use serde_json::{Map, Value, json};

impl Notice {
    /// What `/api/v2/alerts` of Alertmanager takes. The labels name the incident, so that what is told again, also as escalated, is the same alert; it ends when
    /// somebody ends the incident, when a chain stands for it, or when nothing was heard of it for an hour.
    pub(in crate::notify) fn alertmanager(&self, now_ms: i64) -> Value {
        let mut labels = Map::new();
        let mut label = |key: &str, value: String| labels.insert(key.into(), value.into());
        label("alertname", format!("Flowhouse_{}", self.text("kind")));
        for key in ["id", "kind", "severity", "engine", "detector"] {
            label(if key == "id" { "incident" } else { key }, self.text(key));
        }
        let ends_at = match self.is_end() {
            true => now_ms,
            false => now_ms.saturating_add(ALERT_HOLD_MS),
        };
        label(
            "entity",
            self.incident["entity"]["value"]
                .as_str()
                .unwrap_or_default()
                .into(),
        );
        let link = self.incident["link"].as_str();
        let mut annotations = json!({
            "summary": self.text("title"),
            "description": self.reasons(),
            "attack": self.strings("attack").join(", "),
            "counterfactual": self.incident["evidence"]["counterfactual"].as_str().unwrap_or_default(),
        });
        // a label would make another alert of it
        if self.event == Event::Escalated {
            annotations["escalated"] = "yes".into();
        }
        let mut alert = json!({
            "labels": labels,
            "annotations": annotations,
            "startsAt": rfc3339(self.number("first_ms")),
            "endsAt": rfc3339(ends_at),
        });
        if let Some(link) = link {
            alert["generatorURL"] = link.into();
        }
        json!([alert])
    }
}

/// How long an alert lasts after it was told last.
const ALERT_HOLD_MS: i64 = 3_600_000;
