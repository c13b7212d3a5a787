//! One incident for people.

use crate::assemble::query::{Reader, Rows, number, text as field};
use crate::cli::text;
use crate::sink::schema::incidents::{HELD_BACK, PART_OF};
use serde_json::{Map, Value};
use std::net::IpAddr;

/// A field of an incident as text; empty where it has none.
pub fn of(value: &Value, key: &str) -> String {
    match &value[key] {
        Value::String(s) => s.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// A time in ms since 1970 as `2026-11-27 21:05:00`, UTC.
pub fn instant(ms: f64) -> String {
    written((ms / 1000.0) as i64)
}

fn written(seconds: i64) -> String {
    let minute = crate::cli::report::stamp(seconds);
    format!("{minute}:{:02}", seconds.rem_euclid(60))
}

/// The flows of an incident in the store, added up; none where they cannot be asked for, for the rest is worth showing.
pub fn flows(reader: &Reader, incident: &Value) -> Rows {
    let sql = sql(incident).map(|sql| reader.rows(&sql));
    sql.and_then(Result::ok).unwrap_or_default()
}

/// The narrowest suppression that would hide it.
pub fn rule(incident: &Value) -> String {
    let entity = of(&incident["entity"], "value");
    let first = entity.split([' ', '/']).next().unwrap_or_default();
    let scope = match first.parse::<IpAddr>() {
        Ok(ip) => format!(" entity={ip}"),
        Err(_) => String::new(),
    };
    match incident["sid"].as_u64() {
        Some(sid) => format!("sid={sid}{scope}"),
        None => format!("kind={}{scope}", of(incident, "kind")),
    }
}

/// The query that shows the flows of an incident; `None` where it is not about addresses.
pub fn sql(incident: &Value) -> Option<String> {
    let entity = of(&incident["entity"], "value");
    let ip = |text: &str| {
        text.parse::<IpAddr>()
            .ok()
            .map(|ip| format!("toIPv6('{ip}')"))
    };
    let about = match incident["entity"]["type"].as_str()? {
        "host" => {
            let a = ip(&entity)?;
            format!("(src_addr = {a} OR dst_addr = {a})")
        }
        "pair" => {
            let (a, b) = entity.split_once(" -> ")?;
            let (a, b) = (ip(a)?, ip(b)?);
            format!("(src_addr = {a} AND dst_addr = {b} OR src_addr = {b} AND dst_addr = {a})")
        }
        "network" => {
            let (a, bits) = entity.split_once('/')?;
            let (a, bits) = (a.parse::<IpAddr>().ok()?, bits.parse::<u8>().ok()?);
            let bits = if a.is_ipv4() {
                u32::from(bits) + 96
            } else {
                bits.into()
            };
            let range = format!("IPv6CIDRToRange(toIPv6('{a}'), {bits})");
            let within = |column: &str| format!("{column} BETWEEN {range}.1 AND {range}.2");
            format!("({} OR {})", within("src_addr"), within("dst_addr"))
        }
        "interface" => {
            let (a, n) = entity.split_once(' ')?;
            let (a, n) = (ip(a)?, n.parse::<u32>().ok()?);
            format!("exporter = {a} AND (in_if = {n} OR out_if = {n})")
        }
        "exporter" => format!("exporter = {}", ip(&entity)?),
        _ => return None,
    };
    // records of long flows come when these are over
    let from = incident["first_ms"].as_i64()? / 1000 - BEFORE_S;
    let to = incident["last_ms"].as_i64()? / 1000 + AFTER_S;
    // both directions of a conversation are one line, which names the service: the lower port
    let of = |if_lower: &str, else_: &str| {
        format!("replaceOne(toString(if(src_port < dst_port, {if_lower}, {else_})), '::ffff:', '')")
    };
    Some(format!(
        "SELECT {} AS src,\n    {} AS dst,\n    least(src_port, dst_port) AS port, proto, app, count() AS flows,\n    \
         sum(packets) AS packets_all, sum(bytes) AS volume, any(community_id) AS community\n\
         FROM flows\n\
         WHERE received_at BETWEEN toDateTime('{}', 'UTC') AND toDateTime('{}', 'UTC')\n    AND {about}\n\
         GROUP BY src, dst, port, proto, app\nORDER BY flows DESC, volume DESC, src, dst, port\nLIMIT 10",
        of("dst_addr", "src_addr"),
        of("src_addr", "dst_addr"),
        written(from),
        written(to),
    ))
}

/// All that is known of an incident.
pub fn text(incident: &Value, flows: &Rows) -> String {
    let evidence = &incident["evidence"];
    let parts = [
        head(incident),
        steps(evidence),
        figures(evidence),
        facts(evidence),
        peers(incident),
        listed("Flows that show it", evidence_flows(evidence)),
        listed("Flows in the store", stored(flows)),
        silence(incident),
        further(incident),
    ];
    let parts = parts.into_iter().filter(|p| !p.is_empty());
    parts.collect::<Vec<_>>().join("\n\n")
}

/// Where to look next: the dashboard, and the query of its flows.
fn further(incident: &Value) -> String {
    let link = incident["link"].as_str().map(text::printable);
    let parts: Vec<String> = link.into_iter().chain(sql(incident)).collect();
    match parts.is_empty() {
        true => String::new(),
        false => format!("To go on\n{}", parts.join("\n")),
    }
}

fn head(i: &Value) -> String {
    let get = |key: &str| text::printable(&of(i, key));
    let at = |key: &str| instant(i[key].as_f64().unwrap_or(0.0));
    let entity = &i["entity"];
    let mut lines = vec![
        format!("{}  {}", get("id"), get("title")),
        format!(
            "{}, confidence {} %, {} ({}, {})",
            get("severity"),
            get("confidence"),
            get("kind"),
            get("engine"),
            get("detector")
        ),
        format!(
            "{} {} ({})",
            of(entity, "type"),
            text::printable(&of(entity, "value")),
            of(entity, "role")
        ),
        format!(
            "from {} to {} UTC, known {}; {} in all",
            at("first_ms"),
            at("last_ms"),
            at("detected_ms"),
            get("count")
        ),
    ];
    let mut state = format!("state: {}", get("state"));
    if i.get("who").is_some() {
        state += &format!(", {} at {}", get("who"), at("changed_ms"));
    }
    if i.get("why").is_some() {
        state += &format!(": {}", get("why"));
    }
    if i["grew_since"] == true {
        state += "; it grew since";
    }
    lines.push(state);
    match i["hidden_by"].as_str() {
        None => {}
        Some(HELD_BACK) => lines.push("held back by the budget of its day".into()),
        Some(hidden) if hidden.starts_with(PART_OF) => {
            lines.push(format!("a step of the chain {}", get("part_of")));
        }
        Some(_) => lines.push(format!("hidden by the suppression {}", get("hidden_by"))),
    }
    let attack = i["attack"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    let attack: Vec<String> = attack.map(text::printable).collect();
    if !attack.is_empty() {
        lines.push(format!("ATT&CK: {}", attack.join(", ")));
    }
    lines.join("\n")
}

/// The incidents that are steps of a chain, in order of time.
fn steps(evidence: &Value) -> String {
    let all = evidence["steps"].as_array().into_iter().flatten();
    let line = |s: &Value| {
        let attack = s["attack"].as_array().into_iter().flatten();
        let attack: Vec<&str> = attack.filter_map(Value::as_str).collect();
        vec![
            instant(s["first_ms"].as_f64().unwrap_or(0.0)),
            of(s, "id"),
            of(s, "kind"),
            of(s, "title"),
            attack.join(", "),
        ]
    };
    let rows: Vec<_> = all.map(line).collect();
    match rows.is_empty() {
        true => String::new(),
        false => format!(
            "Steps\n{}",
            text::table(&["from, UTC", "id", "kind", "what", "ATT&CK"], 5, rows)
        ),
    }
}

fn figures(evidence: &Value) -> String {
    let all = evidence["figures"].as_array().into_iter().flatten();
    let line = |f: &Value| {
        ["name", "observed", "threshold", "baseline"]
            .map(|k| of(f, k))
            .to_vec()
    };
    let rows: Vec<_> = all.map(line).collect();
    match rows.is_empty() {
        true => String::new(),
        false => format!(
            "Why\n{}",
            text::table(&["figure", "observed", "threshold", "usual"], 1, rows)
        ),
    }
}

fn facts(evidence: &Value) -> String {
    let facts = evidence["facts"].as_object().into_iter().flatten();
    let facts = facts.map(|(k, v)| format!("{k}: {}", v.as_str().unwrap_or_default()));
    let blind = evidence["blind"].as_array().into_iter().flatten();
    let blind = blind
        .filter_map(Value::as_str)
        .map(|b| format!("not judged: {b}"));
    let all: Vec<String> = facts.chain(blind).map(|l| text::printable(&l)).collect();
    all.join("\n")
}

fn peers(i: &Value) -> String {
    let all = i["peers"].as_array().map(Vec::as_slice).unwrap_or_default();
    if all.is_empty() {
        return String::new();
    }
    let shown: Vec<&str> = all
        .iter()
        .filter_map(Value::as_str)
        .take(PEERS_SHOWN)
        .collect();
    let more = i["peers_total"]
        .as_u64()
        .unwrap_or(0)
        .saturating_sub(shown.len() as u64);
    let more = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    format!("With {}{more}", text::printable(&shown.join(", ")))
}

fn evidence_flows(evidence: &Value) -> Vec<Vec<String>> {
    let all = evidence["flows"].as_array().into_iter().flatten();
    let line = |f: &Value| {
        let end = |a: &str, p: &str| format!("{} {}", of(f, a), of(f, p));
        vec![
            end("src_addr", "src_port"),
            end("dst_addr", "dst_port"),
            of(f, "community_id"),
            of(f, "proto"),
            of(f, "packets"),
            of(f, "bytes"),
        ]
    };
    all.map(line).collect()
}

fn stored(flows: &Rows) -> Vec<Vec<String>> {
    let line = |r: &Map<String, Value>| {
        vec![
            field(r, "src"),
            format!("{} {}", field(r, "dst"), field(r, "port")),
            field(r, "community"),
            field(r, "proto"),
            text::count(number(r, "packets_all")),
            text::bytes(number(r, "volume")),
        ]
    };
    flows.iter().map(line).collect()
}

fn listed(title: &str, rows: Vec<Vec<String>>) -> String {
    let header = ["from", "to", "community id", "proto", "packets", "bytes"];
    match rows.is_empty() {
        true => String::new(),
        false => format!("{title}\n{}", text::table(&header, 3, rows)),
    }
}

fn silence(i: &Value) -> String {
    let mut out = String::from("What would silence it");
    let counterfactual = of(&i["evidence"], "counterfactual");
    if !counterfactual.is_empty() {
        out += &format!("\n{}", text::printable(&counterfactual));
    }
    let rule = rule(i);
    out += &format!("\na suppression `{rule}`: see flowhouse detections would-hide '{rule}'");
    out
}

/// Seconds before and after an incident in which its flows may have been received.
const BEFORE_S: i64 = 300;
const AFTER_S: i64 = 1_800;

/// Peers that are named; the rest is counted (--json has up to 100).
const PEERS_SHOWN: usize = 10;
