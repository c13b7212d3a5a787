//! `detections.ndjson`: one line an incident.

use crate::model::{Detection, Evidence, EvidenceFlow, EvidenceMatch, Figure, Step};
use serde_json::{Map, Value, json};

/// A detection as JSON: the fields of the line, in their order. Numbers with fractions have at most six decimals.
pub fn detection(d: &Detection) -> Value {
    let mut o = Map::new();
    let mut put = |key: &str, value: Value| o.insert(key.to_owned(), value);
    put("id", format!("{:016x}", d.id).into());
    put("version", d.version.into());
    put("engine", d.kind.engine().name().into());
    put("kind", d.kind.name().into());
    put("detector", d.detector.as_str().into());
    if let Some(sid) = d.sid {
        put("sid", sid.into());
    }
    put("severity", d.severity.name().into());
    put("confidence", d.confidence.into());
    put("title", d.title.as_str().into());
    put(
        "entity",
        json!({"type": d.entity.kind(), "value": d.entity.to_string(), "role": d.role.name()}),
    );
    let peers = d.peers.iter().map(|p| Value::from(p.to_string()));
    put("peers", peers.collect());
    put("peers_total", d.peers_total.into());
    put("first_ms", d.first_ms.into());
    put("last_ms", d.last_ms.into());
    put("detected_ms", d.detected_ms.into());
    put("count", d.count.into());
    put("evidence", evidence(&d.evidence));
    if let Some(chain) = d.evidence.part_of {
        put("part_of", format!("{chain:016x}").into());
    }
    put(
        "attack",
        d.attack.iter().map(|t| Value::from(&**t)).collect(),
    );
    Value::Object(o)
}

/// Why a detection was told, as JSON.
pub fn evidence(e: &Evidence) -> Value {
    let facts = e.facts.iter();
    let facts: Map<String, Value> = facts
        .map(|(name, text)| (name.clone().into_owned(), text.as_str().into()))
        .collect();
    let ids = e.flows.iter().map(|f| Value::from(&*f.community_id));
    let mut ids: Vec<Value> = ids.collect();
    ids.dedup();
    let mut told = json!({
        "figures": e.figures.iter().map(figure).collect::<Vec<_>>(),
        "facts": facts,
        "flows": e.flows.iter().map(flow).collect::<Vec<_>>(),
        "community_ids": ids,
        "counterfactual": e.counterfactual,
        "blind": e.blind,
    });
    if !e.matches.is_empty() {
        told["matches"] = e.matches.iter().map(place).collect();
    }
    if !e.steps.is_empty() {
        told["steps"] = e.steps.iter().map(step).collect();
    }
    if !e.steps_gone.is_empty() {
        let ids = e
            .steps_gone
            .iter()
            .map(|id| Value::from(format!("{id:016x}")));
        told["steps_gone"] = ids.collect();
    }
    told
}

/// A step of a chain, with the techniques of its kind.
fn step(s: &Step) -> Value {
    json!({"id": format!("{:016x}", s.id), "kind": s.kind.name(), "title": s.kind.title(), "first_ms": s.first_ms, "attack": s.kind.attack()})
}

/// A place at which a rule held: the bytes as hexadecimal digits, and as text with dots for what is none.
fn place(m: &EvidenceMatch) -> Value {
    let hex: String = m.bytes.iter().map(|b| format!("{b:02x}")).collect();
    let shown = |b: &u8| match b {
        b' '..=b'~' => *b as char,
        _ => '.',
    };
    let text: String = m.bytes.iter().map(shown).collect();
    json!({"buffer": m.buffer, "offset": m.offset, "length": m.length, "bytes": hex, "text": text})
}

fn figure(f: &Figure) -> Value {
    let mut o = Map::new();
    o.insert("name".into(), f.name.as_ref().into());
    o.insert("observed".into(), number(f.observed));
    for (key, value) in [("threshold", f.threshold), ("baseline", f.baseline)] {
        if let Some(value) = value {
            o.insert(key.into(), number(value));
        }
    }
    Value::Object(o)
}

fn flow(f: &EvidenceFlow) -> Value {
    json!({
        "src_addr": f.src.to_string(), "src_port": f.src_port, "dst_addr": f.dst.to_string(), "dst_port": f.dst_port,
        "proto": f.proto, "bytes": f.bytes, "packets": f.packets, "start_ms": f.start_ms, "community_id": f.community_id,
    })
}

/// Whole numbers without a point, others cut to six decimals.
fn number(x: f64) -> Value {
    const WHOLE_MAX: f64 = 9e15;
    if !x.is_finite() {
        return Value::Null;
    }
    if x.fract() == 0.0 && x.abs() < WHOLE_MAX {
        return (x as i64).into();
    }
    ((x * 1e6).round() / 1e6).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Addr, DetectionKind, Entity, EntityRole, Severity};

    #[test]
    fn a_line_has_what_the_contract_names() {
        let a = Addr::from_v4([192, 0, 2, 1]);
        let d = Detection {
            id: 7,
            version: 2,
            kind: DetectionKind::PortScan,
            detector: "scan.vertical".into(),
            sid: None,
            severity: Severity::Medium,
            confidence: 80,
            title: "TCP port scan".into(),
            entity: Entity::Host(a),
            role: EntityRole::Source,
            peers: vec![a],
            peers_total: 1,
            first_ms: 1,
            last_ms: 2,
            detected_ms: 2,
            count: 15,
            evidence: Evidence {
                figures: vec![Figure {
                    name: "share of failed contacts".into(),
                    observed: 2.0 / 3.0,
                    threshold: Some(15.0),
                    baseline: None,
                }],
                ..Evidence::default()
            },
            attack: vec!["T1046".into()],
        };
        let line = detection(&d).to_string();
        assert!(line.starts_with(
            r#"{"id":"0000000000000007","version":2,"engine":"anomaly","kind":"port_scan""#
        ));
        assert!(line.contains(r#""entity":{"type":"host","value":"192.0.2.1","role":"source"}"#));
        assert!(line.contains(r#""observed":0.666667,"threshold":15}"#));
        assert!(!line.contains("sid"));
    }
}
