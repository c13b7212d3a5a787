//! What lines of alerts say (`tests/signatures/lines.py`), key by key as Suricata 7.0.10 wrote them, and odd heads of HTTP and kinds of mails.

use crate::signature::alerts;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Keys that are not compared, and why.
const OTHERWISE: &[(&str, &str)] = &[
    ("alert.rule", "not in Suricata's stock configuration"),
    (
        "app_proto",
        "of a datagram that nobody knows it says failed",
    ),
    ("app_proto_tc", "not told"),
    ("app_proto_ts", "not told"),
    ("community_id", "not in Suricata's stock configuration"),
    ("flow_id", "made of other things"),
    ("http.http_port", "0 where HTTP/0.9 has no host"),
    ("http.length", "of chunks Suricata counts their lines, too"),
    ("matches", "not in Suricata"),
    ("parent_id", "not told"),
    ("packet", "not in Suricata's stock configuration"),
    ("packet_info", "likewise"),
    ("payload", "likewise"),
    ("payload_printable", "likewise"),
    (
        "pcap_cnt",
        "Suricata alerts when it looks, which may be later",
    ),
    ("stream", "not in Suricata's stock configuration"),
    ("timestamp", "as pcap_cnt"),
    ("tls.ja4", "not in Suricata's stock configuration"),
];
/// Clients whose first line is none that Suricata reads at once: of their streams it tells another transaction, or other files.
const ODD_STREAMS: &[&str] = &["10.9.0.37", "10.9.0.43", "10.9.0.44"];
/// Rules about streams and datagrams.
const STREAMS: std::ops::Range<u64> = 60..100;
/// What the server says, which an alert of what was asked does not know yet, where Suricata alerts later.
const ANSWERS: &[&str] = &[
    "http.status",
    "http.length",
    "http.content_range",
    "http.http_content_type",
    "http.response_headers",
    "tls.ja3s",
];

#[test]
fn each_alert_says_what_suricata_says_of_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/signatures");
    let text = std::fs::read_to_string(folder.join("lines.json")).expect("lines");
    let wanted: Vec<Value> = serde_json::from_str(&text).expect("lines");
    let rules = folder.join("lines.rules");
    let got = alerts(&rules, &folder.join("lines.pcap"), &["-k", "none"]);
    let is_odd = |a: &Value| {
        let sid = a["alert"]["signature_id"].as_u64().unwrap_or(0);
        let ends = ["src_ip", "dest_ip"].map(|k| a[k].as_str().unwrap_or_default());
        STREAMS.contains(&sid) && ends.iter().any(|e| ODD_STREAMS.contains(e))
    };
    let [wanted, got] = [wanted, got].map(|mut all| {
        all.retain(|a| !is_odd(a));
        all
    });
    let (mut wanted, mut got) = (by_key(&wanted), by_key(&got));
    let mut wrong = vec![];
    let keys: Vec<String> = wanted.keys().chain(got.keys()).cloned().collect();
    for key in keys {
        let mine = got.remove(&key).unwrap_or_default();
        let theirs = wanted.remove(&key).unwrap_or_default();
        if mine.len() != theirs.len() {
            wrong.push(format!("{key}: {} for {}", mine.len(), theirs.len()));
            continue;
        }
        for (mine, theirs) in mine.iter().zip(&theirs) {
            let (a, b) = (said(mine), said(theirs));
            for name in a.keys().chain(b.keys()) {
                if a.get(name) != b.get(name) {
                    wrong.push(format!(
                        "{key}: {name}: {:?} for {:?}",
                        a.get(name),
                        b.get(name)
                    ));
                }
            }
        }
    }
    wrong.sort();
    wrong.dedup();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The alerts of each rule, direction and transaction.
fn by_key(all: &[Value]) -> BTreeMap<String, Vec<&Value>> {
    let mut map: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for alert in all {
        let parts = ["src_ip", "src_port", "dest_ip", "proto", "tx_id"].map(|k| &alert[k]);
        let parts = parts.map(ToString::to_string).join(" ");
        let key = format!("{} {parts}", alert["alert"]["signature_id"]);
        map.entry(key).or_default().push(alert);
    }
    map
}

/// Keys with dots and what they hold, apart from what is not compared.
fn said(alert: &Value) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    flatten("", alert, &mut all);
    if alert["http"].is_object() && alert["http"]["protocol"].is_null() {
        // where nothing says how long an answer is, Suricata alerts before it ends
        all.retain(|name, _| name != "files" && name != "pkt_src");
    }
    if alert["tx_guessed"] == true {
        // of a stream that is looked at when its connection is over it is not known any more
        all.remove("app_proto_orig");
    }
    if alert["app_proto"] == "ftp-data" {
        // Suricata alerts once the file is closed
        all.retain(|name, _| name != "files");
    }
    let asks = alert["direction"] == "to_server" && alert["proto"] == "TCP";
    let of = |name: &str, prefix: &str| {
        let rest = name.strip_prefix(prefix);
        rest.is_some_and(|r| r.is_empty() || r.starts_with('.'))
    };
    all.retain(|name, value| {
        let otherwise = OTHERWISE.iter().any(|o| of(name, o.0));
        let later = asks && ANSWERS.iter().any(|a| of(name, a));
        // counted to the packet with which it alerts; other protocols have no flow in Suricata
        let flow = of(name, "flow") && alert["proto"] != "UDP";
        let way = name == "direction" && !matches!(alert["proto"].as_str(), Some("UDP" | "TCP"));
        !(otherwise && (name != "app_proto" || value == "\"failed\"") || later || flow || way)
    });
    all
}

fn flatten(name: &str, value: &Value, out: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let dot = if name.is_empty() { "" } else { "." };
                flatten(&format!("{name}{dot}{key}"), value, out);
            }
        }
        // names of files are in an order, and parts of files that Content-Range tells are not told
        Value::Array(list) if name == "files" || name.ends_with("_headers") => {
            let mut list = list.clone();
            for item in list.iter_mut().filter_map(Value::as_object_mut) {
                item.remove("start");
                item.remove("end");
            }
            out.insert(name.to_owned(), Value::from(list).to_string());
        }
        value => {
            out.insert(name.to_owned(), value.to_string());
        }
    }
}
