//! A notice as a letter to people.

use super::{Event, Notice};
use serde_json::Value;
use std::fmt::Write as _;

impl Notice {
    /// What happened, why somebody is told, and how to go on: lines of text.
    pub(super) fn letter(&self) -> String {
        let i = &self.incident;
        let text = |key: &str| clean(&self.text(key));
        let at = |key: &str| super::form::rfc3339(i[key].as_i64().unwrap_or_default());
        let entity = &i["entity"];
        let of = |key: &str| clean(entity[key].as_str().unwrap_or_default());
        let mut out = format!("{}\n\n", text("title"));
        if let Some(word) = self.what_became() {
            let _ = writeln!(out, "{word}\n");
        }
        let _ = writeln!(
            out,
            "{} severity, confidence {} %, {} ({})\n{} {} ({})\nfrom {} to {}, {} in all",
            text("severity"),
            text("confidence"),
            text("kind"),
            text("detector"),
            of("type"),
            of("value"),
            of("role"),
            at("first_ms"),
            at("last_ms"),
            text("count"),
        );
        let attack = self.strings("attack").join(", ");
        if !attack.is_empty() {
            let _ = writeln!(out, "ATT&CK: {}", clean(&attack));
        }
        let peers = self.strings("peers");
        if !peers.is_empty() {
            let shown: Vec<&str> = peers.iter().take(PEERS_SHOWN).copied().collect();
            let total = i["peers_total"].as_u64().unwrap_or_default();
            let more = total.saturating_sub(shown.len() as u64);
            let more = match more {
                0 => String::new(),
                n => format!(" and {n} more"),
            };
            let _ = writeln!(out, "with {}{more}", clean(&shown.join(", ")));
        }
        let reasons = self.reasons();
        if !reasons.is_empty() {
            let lines: Vec<String> = reasons.lines().map(|l| format!("  {}", clean(l))).collect();
            let _ = writeln!(out, "\nWhy\n{}", lines.join("\n"));
        }
        let flows = self.flows();
        if !flows.is_empty() {
            let _ = writeln!(out, "\nFlows that show it\n{flows}");
        }
        let silent = i["evidence"]["counterfactual"].as_str().unwrap_or_default();
        if !silent.is_empty() {
            let _ = writeln!(out, "\nWhat would have kept it silent\n  {}", clean(silent));
        }
        let _ = writeln!(
            out,
            "\nTo go on\n  flowhouse detections show {}",
            text("id")
        );
        if i["link"].is_string() {
            let _ = writeln!(out, "  {}", text("link"));
        }
        out
    }

    /// Who did what, where people did something.
    fn what_became(&self) -> Option<String> {
        let word = match self.event {
            Event::New if !self.text("who").is_empty() => "It is open again",
            Event::New | Event::Grown => return None,
            Event::Raised => return Some("It became more severe.".into()),
            Event::Escalated => "Escalated",
            Event::Acknowledged => "Somebody looks at it",
            Event::Closed => "It has ended",
            Event::Joined => {
                let whole = clean(&self.text("part_of"));
                return Some(format!("It is part of {whole} now, which is told instead."));
            }
        };
        let (state, who, why) = (self.text("state"), self.text("who"), self.text("why"));
        let by = match (who.is_empty(), why.is_empty()) {
            (true, _) => String::new(),
            (false, true) => format!(" ({})", clean(&who)),
            (false, false) => format!(" ({}: {})", clean(&who), clean(&why)),
        };
        Some(format!("{word}: {}{by}.", clean(&state)))
    }

    fn flows(&self) -> String {
        let flows = self.incident["evidence"]["flows"]
            .as_array()
            .into_iter()
            .flatten();
        let one = |f: &Value| {
            let word = |key: &str| match &f[key] {
                Value::String(s) => clean(s),
                other => other.to_string(),
            };
            format!(
                "  {} {} -> {} {}  protocol {}, {} packets, {} bytes  {}",
                word("src_addr"),
                word("src_port"),
                word("dst_addr"),
                word("dst_port"),
                word("proto"),
                word("packets"),
                word("bytes"),
                word("community_id"),
            )
        };
        flows.map(one).collect::<Vec<_>>().join("\n")
    }
}

/// A text on one line.
fn clean(text: &str) -> String {
    let one = |c: char| if c.is_control() { ' ' } else { c };
    text.chars().map(one).collect()
}

/// Peers that are named; the rest is counted.
const PEERS_SHOWN: usize = 10;

#[cfg(test)]
mod tests {
    use super::super::form::tests::notice;
    use super::*;

    #[test]
    fn a_letter_says_why_and_how_to_go_on() {
        let mut n = notice();
        n.incident["link"] = "https://grafana.example/d/flowhouse-incident?x".into();
        let text = n.letter();
        for part in [
            "SYN flood\n",
            "high severity, confidence 90 %, syn_flood (flood.syn)",
            "host 192.0.2.1 (victim)",
            "with 10.1.2.3\n",
            "  half-open: 900 (threshold 100)",
            "10.1.2.3 4 -> 192.0.2.1 80",
            "801 fewer",
            "flowhouse detections show 000000000000000a",
            "https://grafana.example/",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        n.event = Event::Closed;
        n.incident["state"] = "closed".into();
        n.incident["who"] = "bob\u{7}".into();
        n.incident["why"] = "rebuilt".into();
        assert!(n.letter().contains("It has ended: closed (bob : rebuilt)."));
        (n.event, n.incident["state"]) = (Event::New, "new".into());
        assert!(
            n.letter()
                .contains("It is open again: new (bob : rebuilt).")
        );
    }

    #[test]
    fn an_odd_incident_has_a_letter() {
        let incident =
            serde_json::json!({"entity": [], "peers": 7, "evidence": {"flows": [1, {}]}});
        let n = Notice {
            event: Event::Escalated,
            incident,
        };
        assert!(n.letter().contains("Escalated"));
    }
}
