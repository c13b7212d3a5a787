//! Rarer protocols, lists and events (`tests/signatures/protocols.py`): as many alerts of each rule as Suricata 7.0.10 raised.

use crate::signature::alerts;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Rules that alert otherwise, how often, and why. The list may only become shorter.
const OTHERWISE: &[(u64, u64, &str)] = &[
    (
        206,
        1,
        "Suricata never finds the values of coils that are written together",
    ),
    (
        407,
        1,
        "Suricata makes one kind of digest of a file where rules ask for several",
    ),
    (408, 1, "likewise"),
];

/// The same of `pieces.py`.
const PIECES_OTHERWISE: &[(u64, u64, &str)] =
    &[(3, 1, "Suricata looks twice at what lies behind a hole")];

#[test]
fn rarer_conditions_hold_as_often_as_with_suricata() {
    as_often_as_with_suricata("protocols", OTHERWISE);
}

/// Streams with holes, packets without payload, what passes, and protocols that are told (`tests/signatures/pieces.py`).
#[test]
fn pieces_and_places_are_looked_at_as_often_as_with_suricata() {
    as_often_as_with_suricata("pieces", PIECES_OTHERWISE);
}

/// What conversations are taken for, frames of HTTP/2, values of ASN.1, packets that carry others (`tests/signatures/taken.py`).
#[test]
fn conversations_are_taken_for_what_suricata_takes_them_for() {
    as_often_as_with_suricata("taken", &[]);
}

/// Conditions that count from a match (`tests/signatures/counted.py`).
#[test]
fn conditions_count_from_where_suricata_counts() {
    as_often_as_with_suricata("counted", &[]);
}

fn as_often_as_with_suricata(name: &str, otherwise: &[(u64, u64, &str)]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/signatures");
    let text = std::fs::read_to_string(folder.join(format!("{name}.json"))).expect("counts");
    let mut wanted: BTreeMap<u64, u64> = BTreeMap::new();
    let recorded: BTreeMap<String, u64> = serde_json::from_str(&text).expect("counts");
    wanted.extend(
        recorded
            .iter()
            .map(|(sid, n)| (sid.parse::<u64>().expect("a sid"), *n)),
    );
    wanted.extend(otherwise.iter().map(|(sid, n, _)| (*sid, *n)));
    wanted.retain(|_, n| *n > 0);
    let rules = folder.join(format!("{name}.rules"));
    let capture = folder.join(format!("{name}.pcap"));
    let one = alerts(&rules, &capture, &["-k", "none"]);
    let four = alerts(&rules, &capture, &["-k", "none", "--shards", "4"]);
    assert_eq!(one, four, "the number of shards changes nothing");
    let mut got: BTreeMap<u64, u64> = BTreeMap::new();
    for alert in &one {
        let sid = alert["alert"]["signature_id"].as_u64().expect("a sid");
        *got.entry(sid).or_default() += 1;
    }
    let sids = wanted.keys().chain(got.keys());
    let count = |of: &BTreeMap<u64, u64>, sid: &u64| of.get(sid).copied().unwrap_or(0);
    let mut wrong: Vec<String> = sids
        .filter(|sid| count(&got, sid) != count(&wanted, sid))
        .map(|sid| format!("{sid}: {} for {}", count(&got, sid), count(&wanted, sid)))
        .collect();
    wrong.dedup();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Conversations of `tests/signatures/events.py` in which other events are raised than by Suricata 7.0.10, and why. The list may only become shorter.
const OTHER_EVENTS: &[(&str, &str)] = &[
    (
        "krb5_tcp_des",
        "Suricata does not look at a second request of a connection that nobody answers",
    ),
    (
        "stream_ack_of_server_other_ack",
        "what is acknowledged too early is not remembered",
    ),
    (
        "stream_overlap_longer",
        "octets that were handed out are held against segments that cover them",
    ),
    (
        "stream_overlap_inside",
        "a segment within another one is taken for one that is sent again",
    ),
    ("stream_web_overlap_part", "as the longer one"),
];

#[derive(serde::Deserialize)]
struct Conversation {
    name: String,
    client: String,
    #[serde(default)]
    frames: [u64; 2],
    alerts: BTreeMap<u64, u64>,
}

/// Alerts by conversation and rule that are not Suricata's, but for the conversations that are listed; and how often each rule alerts.
fn held_against_suricata(name: &str, others: &[(&str, &str)]) -> (Vec<String>, BTreeMap<u64, u64>) {
    held_with(name, others, &["-k", "none"])
}

/// The same with options of its own.
fn held_with(
    name: &str,
    others: &[(&str, &str)],
    options: &[&str],
) -> (Vec<String>, BTreeMap<u64, u64>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/signatures");
    let file = |kind: &str| folder.join(format!("{name}.{kind}"));
    let text = std::fs::read_to_string(file("json")).expect("counts");
    let conversations: Vec<Conversation> = serde_json::from_str(&text).expect("counts");
    let lines = alerts(&file("rules"), &file("pcap"), options);
    let mut got: BTreeMap<&str, BTreeMap<u64, u64>> = BTreeMap::new();
    for line in &lines {
        let ends = ["src_ip", "dest_ip"].map(|key| line[key].as_str().unwrap_or_default());
        let frame = line["pcap_cnt"].as_u64().unwrap_or_default();
        let mine = conversations
            .iter()
            .find(|c| ends.contains(&c.client.as_str()));
        // some packets have no addresses
        let framed = conversations
            .iter()
            .find(|c| (c.frames[0]..=c.frames[1]).contains(&frame));
        let name = &mine.or(framed).expect("a conversation").name;
        let sid = line["alert"]["signature_id"].as_u64().expect("a sid");
        *got.entry(name).or_default().entry(sid).or_default() += 1;
    }
    let mut raised = BTreeMap::new();
    let mut wrong = vec![];
    for c in &conversations {
        let got = got.remove(c.name.as_str()).unwrap_or_default();
        raised.extend(got.iter().map(|(sid, n)| (*sid, *n)));
        let is_other = others.iter().any(|o| o.0 == c.name);
        if (got != c.alerts) != is_other {
            wrong.push(format!("{}: {got:?} for {:?}", c.name, c.alerts));
        }
    }
    (wrong, raised)
}

/// What rules keep (`tests/signatures/kept.py`) where it is otherwise than with Suricata 7.0.10, and why. The list may only become shorter.
const OTHER_KEPT: &[(&str, &str)] = &[
    (
        "smb_not_closed",
        "what came of a file that is not closed is looked at",
    ),
    ("smb_goes_on_behind_a_gap", "likewise"),
    ("boxes_with_tags", "Suricata does not follow IMAP to TLS"),
    ("post_in_pieces", "nor POP3"),
];

#[test]
fn lists_files_and_changes_to_tls_are_kept_as_by_suricata() {
    let (wrong, _) = held_against_suricata("kept", OTHER_KEPT);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// First lines that are none of HTTP, bits within one packet, places counted from variables, what one side alone tells (`tests/signatures/odd.py`).
#[test]
fn what_is_odd_is_looked_at_as_by_suricata() {
    let (wrong, _) = held_against_suricata("odd", &[]);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Who speaks in turns, and datagrams (`tests/signatures/turns.py`), where it is otherwise than with Suricata 7.0.10, and why. The list may only become shorter.
const OTHER_TURNS: &[(&str, &str)] = &[
    (
        "three_requests",
        "what waited is looked at before the packet with which it is, and so are the bits that one asks for and the other sets",
    ),
    ("requests_acknowledged_by_server", "likewise"),
    ("mail", "chunks of mail end elsewhere"),
    (
        "question_behind_cut",
        "a third datagram tells the protocol again behind one that is none",
    ),
    ("question_behind_zeros", "likewise"),
    (
        "lease",
        "Suricata tries an offer with the next request once more",
    ),
    ("lease_answers", "likewise"),
    (
        "ticket_behind_junk",
        "a message that is not answered has its type",
    ),
];

#[test]
fn who_speaks_in_turns_is_looked_at_as_by_suricata() {
    let (wrong, _) = held_against_suricata("turns", OTHER_TURNS);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Connections whose beginning or one side is missing (`midway` of `tests/signatures/turns.py`) where it is otherwise than with Suricata 7.0.10, and why. The list
/// may only become shorter.
const OTHER_MIDWAY: &[(&str, &str)] = &[
    (
        "web_behind_an_answer_both",
        "answers to the request that follows are read, too",
    ),
    (
        "secret_server_hello_both",
        "Suricata takes the hello of a server for that of a client",
    ),
    ("secret_server", "likewise"),
    ("secret_server_hello_server", "likewise"),
    (
        "secret_data_both",
        "Suricata looks at records in the midst of TLS",
    ),
    ("secret_data_client", "likewise"),
    ("secret_data_server", "likewise"),
    ("secret_client", "likewise"),
    ("secret_server_hello_client", "likewise"),
    (
        "web_client",
        "of one side alone Suricata reads its first message, and its chunks end elsewhere",
    ),
    ("web_behind_an_answer_server", "likewise"),
    ("web_answers_first_server", "likewise"),
    ("questions_client", "likewise"),
    ("questions_answered_first_server", "likewise"),
    ("mail_later_client", "likewise"),
    ("mail_server", "likewise"),
    ("junk_client", "likewise"),
    ("files_server", "answers of FTP alone are read"),
];

#[test]
fn connections_are_picked_up_in_their_midst_as_by_suricata() {
    let options = ["-k", "none", "--set", "stream.midstream=true"];
    let (wrong, _) = held_with("midway", OTHER_MIDWAY, &options);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Bodies of HTTP (`tests/signatures/bodies.py`) that are read otherwise than by Suricata 7.0.10, and why. The list may only become shorter.
const OTHER_BODIES: &[(&str, &str)] = &[(
    "answer_goes_on_and_another_one_comes",
    "Suricata takes the head of the next answer for more of a body that ends without a line",
)];

#[test]
fn bodies_that_their_heads_do_not_measure_are_read_as_by_suricata() {
    let (wrong, _) = held_against_suricata("bodies", OTHER_BODIES);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn events_are_raised_as_often_as_by_suricata() {
    let (wrong, raised) = held_against_suricata("events", OTHER_EVENTS);
    assert!(wrong.is_empty(), "{wrong:#?}");
    // every event that is said to be raised is, by one of them
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/signatures");
    let text = std::fs::read_to_string(folder.join("events.txt")).expect("names");
    let never = (0..).map(|n| 1000 + 3 * n).zip(text.lines());
    let never: Vec<&str> = never
        .filter(|(sid, _)| !raised.contains_key(sid))
        .map(|(_, name)| name)
        .collect();
    assert_eq!(never, [""; 0]);
}

/// Where conversations of `tests/signatures/edges.py` raise other alerts than with Suricata 7.0.10: names begin so, rules, why. The list may only become shorter.
#[rustfmt::skip]
const OTHER_EDGES: &[(&str, &[u64], &str)] = &[
    ("tls_", &[79, 80, 82, 83, 85, 78], "Suricata asks both directions how far a handshake is"),
    ("tls_", &[19, 20, 21, 22, 128], "chunks of a stream begin elsewhere"),
    (
        "tls_1_2_with_", &[1, 2, 3, 4, 5, 6, 12, 13, 14, 15, 16, 17, 18, 23, 24, 25, 27, 28, 29, 37, 38, 39, 40, 41, 42, 46, 50],
        "Suricata looks twice at what lies behind a hole, and where one side has one at what the other encrypts",
    ),
    ("dns_with_a_hole_in_a_message", &[53, 54], "Suricata takes the end of a name for a length"),
    ("late_", &[3, 15, 19, 20, 21, 27], "chunks begin elsewhere, and Suricata looks twice at some"),
    ("late_request", &[2, 14, 26, 129], "what is late is looked at in HTTP, too"),
    ("web_", &[101, 104, 105, 106, 108], "what must not be in a head is asked once, not with each packet, and of a head that is cut, too"),
    ("web_form_in_pieces", &[67], "a file in pieces is read"),
    ("upgraded_", &[57, 63, 92, 98, 101, 102, 104, 105, 115, 116, 117], "the request that asks for HTTP/2 is not told as one of HTTP/2 again"),
    ("upgraded_", &[21, 22, 106, 107, 108, 123], "chunks begin elsewhere, and 101 is an answer"),
    ("mail_in_chunks", &[70], "Suricata does not look for files in BDAT"),
    ("files_by_ftp", &[75, 121, 122], "the connection of data is not one with its command"),
];

/// Where conversations turn to what is encrypted or to other protocols, what comes late, and how they end.
#[test]
fn conversations_begin_turn_and_end_as_with_suricata() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/signatures");
    let file = |kind: &str| folder.join(format!("edges.{kind}"));
    let text = std::fs::read_to_string(file("json")).expect("counts");
    let conversations: Vec<Conversation> = serde_json::from_str(&text).expect("counts");
    let lines = alerts(&file("rules"), &file("pcap"), &["-k", "none"]);
    let (mut wrong, mut used) = (vec![], vec![]);
    for c in &conversations {
        let mut got: BTreeMap<u64, u64> = BTreeMap::new();
        let ends = |l: &Value| l["src_ip"] == c.client || l["dest_ip"] == c.client;
        for line in lines.iter().filter(|l| ends(l)) {
            let sid = line["alert"]["signature_id"].as_u64().expect("a sid");
            *got.entry(sid).or_default() += 1;
        }
        for sid in got.keys().chain(c.alerts.keys()) {
            let counts = [&got, &c.alerts].map(|of| of.get(sid).copied().unwrap_or(0));
            let other = OTHER_EDGES
                .iter()
                .position(|o| c.name.starts_with(o.0) && o.1.contains(sid));
            if counts[0] != counts[1] && other.is_none() {
                wrong.push(format!("{} {sid}: {} for {}", c.name, counts[0], counts[1]));
            }
            used.extend(other.filter(|_| counts[0] != counts[1]).map(|n| (n, *sid)));
        }
    }
    wrong.dedup();
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (n, (name, sids, _)) in OTHER_EDGES.iter().enumerate() {
        for sid in *sids {
            assert!(
                used.contains(&(n, *sid)),
                "{name} {sid} is as with Suricata now"
            );
        }
    }
}

/// What the checks of suricata-verify ask of a file of events: keys with dots and places, counted over all lines.
#[test]
fn lines_say_what_those_of_suricata_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/signatures");
    let text = std::fs::read_to_string(folder.join("filters.json")).expect("filters");
    let filters: Vec<Value> = serde_json::from_str(&text).expect("filters");
    let rules = folder.join("protocols.rules");
    let lines = alerts(&rules, &folder.join("protocols.pcap"), &["-k", "none"]);
    let mut wrong = vec![];
    for filter in &filters {
        let wanted = filter["match"].as_object().expect("a match");
        let count = lines.iter().filter(|l| fits(l, wanted)).count() as u64;
        if filter["count"] != count {
            let sid = wanted.get("alert.signature_id").unwrap_or(&Value::Null);
            let is = |l: &&Value| l["alert"]["signature_id"] == *sid;
            let line = lines.iter().find(is);
            wrong.push(format!("{filter}: {count} of {line:?}"));
        }
        assert!(filter["count"] != 0, "{filter} asks for nothing");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

fn fits(line: &Value, wanted: &serde_json::Map<String, Value>) -> bool {
    wanted.iter().all(|(key, value)| {
        let text = value.as_str().unwrap_or_default();
        let said = |key: &str| value_of(line, key);
        let of = |key: &str| said(key).and_then(|v| v.as_str().map(str::to_owned));
        if key == "has-key" || key == "not-has-key" {
            return said(text).is_some() == (key == "has-key");
        }
        if let Some(key) = key.strip_suffix(".__startswith") {
            return of(key).is_some_and(|v| v.starts_with(text));
        }
        if let Some(key) = key.strip_suffix(".__contains") {
            return of(key).is_some_and(|v| v.contains(text));
        }
        said(key).as_ref() == Some(value)
    })
}

fn value_of(line: &Value, key: &str) -> Option<Value> {
    let key = key.replace(']', "").replace('[', ".");
    let mut now = line;
    for part in key.split('.') {
        if part == "__len" {
            return Some(now.as_array()?.len().into());
        }
        now = match now {
            Value::Array(list) => list.get(part.parse::<usize>().ok()?)?,
            Value::Object(map) => map.get(part)?,
            _ => return None,
        };
    }
    Some(now.clone())
}
