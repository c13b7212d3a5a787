//! The dashboards: every SQL of a panel or variable runs on the embedded store over generated traffic and returns rows, every expression is
//! PromQL over metrics that exist, and the JSON is what Grafana's published types know.

use super::{exported, file, metrics_in, text, tool};
use crate::harness::{Collector, Sql, Store, corpus, directory, eventually, exe, run};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::net::UdpSocket;
use std::process::Command;

const DIR: &str = "deploy/grafana/dashboards";

/// Name and JSON of each dashboard.
fn dashboards() -> Vec<(String, Value)> {
    let entries = std::fs::read_dir(file(DIR)).expect("dashboards").flatten();
    let mut found: Vec<(String, Value)> = entries
        .map(|e| {
            let name = e.file_name().to_string_lossy().into_owned();
            let json = serde_json::from_str(&text(&format!("{DIR}/{name}")));
            (name.clone(), json.unwrap_or_else(|e| panic!("{name}: {e}")))
        })
        .collect();
    found.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(found.len() >= 6);
    found
}

/// Panels that show data.
fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    panels.filter(|p| p["type"] != "row")
}

fn list<'a>(value: &'a Value, what: &str) -> &'a [Value] {
    value[what].as_array().map_or(&[], |v| v)
}

#[test]
fn panels_have_titles_units_and_places() {
    let dashboards = dashboards();
    let uids: BTreeSet<&str> =
        (dashboards.iter().map(|d| d.1["uid"].as_str().expect("uid"))).collect();
    assert_eq!(uids.len(), dashboards.len());
    for (name, dashboard) in &dashboards {
        assert!(
            list(dashboard, "links")
                .iter()
                .any(|l| l["tags"][0] == "flowhouse"),
            "{name}"
        );
        let mut ids = BTreeSet::new();
        let mut places: Vec<[u64; 4]> = vec![];
        for panel in panels(dashboard) {
            let title = panel["title"].as_str().unwrap_or_default();
            let of = format!("{name}: {title}");
            assert!(!title.is_empty(), "{of}");
            assert!(
                panel["description"].as_str().is_some_and(|d| d.len() > 10),
                "{of}"
            );
            assert!(
                panel["fieldConfig"]["defaults"]["unit"].is_string(),
                "{of}: unit"
            );
            assert!(!list(panel, "targets").is_empty(), "{of}: empty");
            assert!(ids.insert(panel["id"].as_u64().expect("id")), "{of}: id");
            let place = ["x", "y", "w", "h"].map(|k| panel["gridPos"][k].as_u64().expect(k));
            let [x, y, w, h] = place;
            assert!(x + w <= 24, "{of}: too wide");
            let meets =
                |p: &[u64; 4]| x < p[0] + p[2] && p[0] < x + w && y < p[1] + p[3] && p[1] < y + h;
            assert!(!places.iter().any(meets), "{of}: lies over another");
            places.push(place);
        }
        for variable in list(&dashboard["templating"], "list") {
            assert!(
                variable["description"].is_string(),
                "{name}: {}",
                variable["name"]
            );
        }
        // links lead to dashboards and variables that there are, and those in notices do
        let incident = serde_json::json!({"id": "0a", "first_ms": 1});
        let told = flowhouse::notify::link("https://grafana.example", &incident);
        let all = text(&format!("{DIR}/{name}")) + &told.expect("a link");
        for link in all.split("/d/").skip(1) {
            let link = link.split('"').next().expect("its end");
            let (uid, query) = link.split_once('?').expect("a query");
            let target = dashboards.iter().find(|d| d.1["uid"] == uid);
            let target = &target.unwrap_or_else(|| panic!("{name}: {uid}")).1;
            for part in query.split('&').filter_map(|p| p.strip_prefix("var-")) {
                let variable = part.split('=').next().expect("a name");
                let known = list(&target["templating"], "list");
                assert!(
                    known.iter().any(|v| v["name"] == variable),
                    "{name}: {link}"
                );
            }
        }
    }
}

#[test]
fn grafanas_types_know_every_field() {
    let mut paths = vec![];
    for (name, _) in dashboards() {
        paths.push(file(&format!("{DIR}/{name}")));
    }
    run(tool("python").args(["-c", ROUND_TRIP]).args(paths));
}

/// Reads a dashboard into the types of grafana-foundation-sdk and writes it again: a field that does not come back is one they do not know.
const ROUND_TRIP: &str = r#"
import json, sys
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard
faults = []
def compare(ours, theirs, where):
    if isinstance(ours, dict):
        for key, value in ours.items():
            if isinstance(theirs, dict) and key in theirs:
                compare(value, theirs[key], where + "." + key)
            elif value not in (None, [], {}, "", False, 0):
                faults.append(where + "." + key)
    elif isinstance(ours, list):
        if not isinstance(theirs, list) or len(ours) != len(theirs):
            faults.append(where)
        else:
            for n, pair in enumerate(zip(ours, theirs)):
                compare(*pair, f"{where}[{n}]")
    elif ours != theirs:
        faults.append(f"{where}: {ours!r} became {theirs!r}")
for path in sys.argv[1:]:
    ours = json.load(open(path))
    theirs = json.loads(json.dumps(Dashboard.from_json(json.loads(json.dumps(ours))), cls=JSONEncoder))
    compare(ours, theirs, path.rsplit("/", 1)[1])
sys.exit("\n".join(faults) or 0)
"#;

#[test]
fn expressions_are_promql_over_metrics_that_exist() {
    let known = exported();
    let mut rules = "groups:\n  - name: dashboards\n    rules:\n".to_owned();
    let mut count = 0;
    for (name, dashboard) in dashboards() {
        for panel in panels(&dashboard) {
            for target in list(panel, "targets") {
                let Some(expression) = target["expr"].as_str() else {
                    continue;
                };
                for metric in metrics_in(expression) {
                    assert!(known.contains(&metric), "{name}: no metric {metric}");
                }
                let expression =
                    (expression.replace("$instance", ".*")).replace("$__rate_interval", "1m");
                assert!(!expression.contains('$'), "{name}: {expression}");
                rules += &format!(
                    "      - record: flowhouse:panel{count}\n        expr: '{expression}'\n"
                );
                count += 1;
            }
        }
    }
    assert!(count >= 20);
    let dir = tempfile::tempdir().expect("directory");
    let path = dir.path().join("rules.yml");
    std::fs::write(&path, rules).expect("written");
    run(Command::new("promtool").args(["check", "rules"]).arg(&path));
}

#[test]
fn every_expression_returns_series_of_a_collector_that_is_scraped() {
    if crate::control::skip_prometheus() {
        return;
    }
    let dir = directory();
    let store = Store::start(dir.path());
    let config = "[receive]\nlisteners = [\"127.0.0.1:0\"]\n".to_owned() + &store.config();
    let collector = Collector::start(dir.path(), &config);
    let to = collector.udp[0].to_string();
    let mut generate = Command::new(exe());
    run(generate.args(["generate", "--to", &to, "--flows", "500"]));
    let (prometheus, api) = crate::control::prometheus(dir.path(), collector.http);
    let url = format!("http://{api}/api/v1/query");
    let series = |expression: &str| {
        let mut curl = Command::new("curl");
        curl.args(["-s", "--get", &url, "--data-urlencode"]);
        let out = curl.arg(format!("query={expression}")).output();
        let answer: Value =
            serde_json::from_slice(&out.expect("curl runs").stdout).unwrap_or_default();
        list(&answer["data"], "result").len()
    };
    let mut asked = 0;
    for (name, dashboard) in dashboards() {
        for panel in panels(&dashboard) {
            // what only faults bring
            if panel["description"]
                .as_str()
                .is_some_and(|d| d.contains("Empty is good"))
            {
                continue;
            }
            for expression in list(panel, "targets")
                .iter()
                .filter_map(|t| t["expr"].as_str())
            {
                let expression =
                    (expression.replace("$instance", ".*")).replace("$__rate_interval", "30s");
                eventually(&format!("{name}: {expression}"), || series(&expression) > 0);
                asked += 1;
            }
        }
    }
    assert!(asked >= 20);
    drop(prometheus);
    collector.stop();
}

#[test]
fn every_query_returns_rows() {
    let dir = directory();
    let store = Store::start(dir.path());
    fill(&store, dir.path());
    let sql = store.sql();
    let chosen = choose(&sql, "startsWith(address, '127.')");
    // and over what real exporters sent, where the corpus is there
    let mut ones = vec![(chosen.clone(), SOME_GENERATED)];
    if replay(&store, dir.path()) {
        let replayed = choose(&sql, "NOT startsWith(address, '127.')");
        ones.push((replayed, SOME_REPLAYED));
    }
    let now = sql.numbers("SELECT toUnixTimestamp(now())")[0];
    let dashboards = dashboards();
    let (mut queries, mut faults) = (0, vec![]);
    for usage in ["usage_1m", "usage_5m", "usage_1h"] {
        for (name, dashboard) in &dashboards {
            let table = &rollup(name, usage);
            let all = Grafana::over(now, table, BTreeMap::new());
            for (of, query, series, columns) in queries_of(dashboard) {
                let of = format!("{name}: {of}, {table}");
                let rows = ask(&sql, &all.expand(&query));
                if let Some(fault) = shape(&rows, series, &columns) {
                    faults.push(format!("{of}: {fault}"));
                }
                // what is chosen has rows, but where a panel is about less than all traffic
                for (one, some) in &ones {
                    let grafana = Grafana::over(now, table, one.clone());
                    let rows = ask(&sql, &grafana.expand(&query));
                    let is_exported = name != "quality.json";
                    if rows.len() < 3 && is_exported && !some.iter().any(|t| of.contains(t)) {
                        faults.push(format!("{of}: no rows for {one:?}"));
                    }
                    queries += 1;
                }
                queries += 1;
            }
            for variable in list(&dashboard["templating"], "list") {
                let Some(query) = variable["query"].as_str().filter(|q| q.contains("SELECT"))
                else {
                    continue;
                };
                let rows = ask(&sql, &all.expand(query));
                let (of, name) = (name, variable["name"].as_str().expect("name"));
                if name == "table" {
                    // three hours up to now
                    assert_eq!(rows[2..], [[rollup(of, "usage_1m")]]);
                    continue;
                }
                let has = rows.iter().skip(2).any(|r| r[0] == chosen[name]);
                if !has {
                    faults.push(format!("variable {name} does not offer {}", chosen[name]));
                }
                queries += 1;
            }
        }
    }
    println!("{queries} queries");
    assert!(queries > 100 && faults.is_empty(), "{}", faults.join("\n"));
}

/// Samples of 5 minutes in which the exporter was heard, those without traffic included: of 80 the fifth largest counts, as in the report.
#[test]
fn the_95th_percentile_is_that_of_billing() {
    let dir = directory();
    let store = Store::start(dir.path());
    let sql = store.sql();
    let url = format!("http://{}", store.address);
    let mut apply = Command::new(exe());
    apply.args(["schema", "apply", "--url", &url, "--key-file"]);
    run(apply.arg(store.key_file()));
    nothing_is_no_number(&sql);
    let from = sql.numbers("SELECT toUnixTimestamp(toStartOfFiveMinutes(now())) - 86400")[0];
    sql.run(&format!(
        "INSERT INTO flowhouse.usage_1m (time, exporter, if_index, direction, est_bytes) \
         SELECT toDateTime({from} + 300 * sample + 60 * minute), '192.0.2.1', busy, 'ingress', 300000 \
         FROM (SELECT arrayJoin([4, 5, 20]) AS busy, arrayJoin(range(busy)) AS sample, arrayJoin([0, 1]) AS minute)"
    ));
    sql.run(&format!(
        "INSERT INTO flowhouse.ledger (time, exporter, outcome, count) \
         SELECT toDateTime({from} + 300 * number + 120), '192.0.2.1', 'datagrams_parsed', number < 80 FROM numbers(288)"
    ));
    let dashboards = dashboards();
    let (_, dashboard) = (dashboards.iter().find(|d| d.0 == "interfaces.json")).expect("there");
    let queries = queries_of(dashboard);
    let (_, query, ..) = queries.iter().find(|q| q.0 == "Interfaces").expect("it");
    for table in ["usage_1m", "usage_5m"] {
        let mut grafana = Grafana::over(from, table, BTreeMap::new());
        (grafana.from, grafana.to) = (from, from + 86_400);
        let rows = ask(&sql, &grafana.expand(query));
        let column = |name: &str| rows[0].iter().position(|c| c == name).expect(name);
        let columns = ["interface", "mean", "p95", "peak"].map(column);
        let mut told: Vec<[&str; 4]> = (rows[2..].iter())
            .map(|r| columns.map(|c| &*r[c]))
            .collect();
        told.sort();
        let expected = [
            ["20", "4000", "16000", "16000"],
            ["4", "800", "0", "16000"],
            ["5", "1000", "16000", "16000"],
        ];
        assert_eq!(told, expected, "{table}");
    }
}

/// On a store without rows no query fails, and none says NaN.
fn nothing_is_no_number(sql: &Sql) {
    let now = sql.numbers("SELECT toUnixTimestamp(now())")[0];
    for (name, dashboard) in dashboards() {
        for usage in ["usage_1m", "usage_1h"] {
            let grafana = Grafana::over(now, &rollup(&name, usage), BTreeMap::new());
            for (of, query, ..) in queries_of(&dashboard) {
                let rows = ask(sql, &grafana.expand(&query));
                let odd = |cell: &String| ["nan", "inf", "-nan", "-inf"].contains(&cell.as_str());
                assert!(!rows.iter().flatten().any(odd), "{name}: {of}: {rows:?}");
            }
        }
    }
}

/// What reads flows one by one says so; everything else reads rollups, the ledger or the inventory.
#[test]
fn raw_scans_are_named() {
    let mut raw = 0;
    for (name, dashboard) in dashboards() {
        for panel in panels(&dashboard) {
            let of = format!("{name}: {}", panel["title"]);
            let described = panel["description"].as_str().expect("a description");
            let scans = list(panel, "targets")
                .iter()
                .any(|t| reads_flows(t["rawSql"].as_str().unwrap_or_default()));
            assert_eq!(scans, described.contains("raw scan"), "{of}");
            raw += u32::from(scans);
        }
    }
    assert!(raw >= 3);
}

/// Whether a query reads flows one by one: the table, in whatever form it is named, or a view over it. `x.flows` is a column of the alias x.
fn reads_flows(sql: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    // what stands in quotes is no name
    let unquoted: String = sql.split('\'').step_by(2).collect();
    let text = unquoted.to_lowercase().replace(['`', '"'], "");
    text.split(|c: char| !is_name(c)).any(|name| {
        let (of, name) = name.rsplit_once('.').unwrap_or(("flowhouse", name));
        let view = name.starts_with("flows_") || name == "flow_sightings";
        of == "flowhouse" && (name == "flows" || view)
    })
}

#[test]
fn raw_scans_are_known_by_any_form() {
    for sql in [
        "SELECT 1 FROM flows",
        "select 1 from\n\tflowhouse.flows",
        "FROM (SELECT * FROM `flows`)",
        "a JOIN \"flowhouse\".\"flows\" AS f",
        "FROM x, flows",
        "FROM flows_local",
        "FROM flows_once",
        "FROM flow_sightings",
        "FROM cluster('c', flowhouse.flows)",
    ] {
        assert!(reads_flows(sql), "{sql}");
    }
    for sql in [
        "SELECT flow_records FROM usage_1m",
        "SELECT sum(u.flows) FROM usage_1m AS u",
        "SELECT JSONExtractArrayRaw(evidence, 'flows') FROM incidents",
    ] {
        assert!(!reads_flows(sql), "{sql}");
    }
}

/// Title, SQL, kind (series or not) and the columns that the panel formats of every target.
fn queries_of(dashboard: &Value) -> Vec<(String, String, bool, Vec<String>)> {
    let of = |p: &Value| {
        let title = p["title"].as_str().expect("title").to_owned();
        let overrides = list(&p["fieldConfig"], "overrides").iter();
        let named = overrides.filter(|o| o["matcher"]["id"] == "byName" && p["type"] == "table");
        let columns: Vec<String> = named
            .filter_map(|o| Some(o["matcher"]["options"].as_str()?.to_owned()))
            .collect();
        let targets = list(p, "targets").iter();
        let sql =
            targets.filter_map(|t| Some((t["rawSql"].as_str()?.to_owned(), t["format"] == 0)));
        sql.map(|(sql, series)| (title.clone(), sql, series, columns.clone()))
            .collect::<Vec<_>>()
    };
    panels(dashboard).flat_map(of).collect()
}

/// The rollup that a dashboard reads where others read this one of usage.
fn rollup(dashboard: &str, usage: &str) -> String {
    match dashboard {
        "quality.json" => usage.replace("usage", "quality"),
        _ => usage.to_owned(),
    }
}

/// Generated packets, and exports of every protocol, sampled ones, one with a wrong clock, and a datagram that is none.
fn fill(store: &Store, dir: &std::path::Path) {
    // before the collector, whose policies are the latest then
    let capture = dir.join("packets.pcap");
    let mut generate = Command::new(exe());
    run(generate
        .args(["generate", "--packets", "--flows", "2000", "--pcap"])
        .arg(&capture));
    let url = format!("http://{}", store.address);
    let mut replay = Command::new(exe());
    replay.args([
        "replay",
        "--as",
        "packets",
        "--store",
        &url,
        "--password-file",
    ]);
    run(replay.arg(store.key_file()).arg(&capture));
    let config = format!(
        "{}[receive]\nlisteners = [\"127.0.0.1:0\"]\n{}",
        store.config(),
        names()
    );
    let collector = Collector::start(dir, &config);
    let to = collector.udp[0].to_string();
    for more in [
        &["--exporters", "4"][..],
        &[
            "--sampling",
            "100",
            "--exporters",
            "4",
            "--clock-ahead",
            "4000",
        ],
    ] {
        let mut generate = Command::new(exe());
        generate.args([
            "generate", "--to", &to, "--rate", "8000", "--flows", "12000",
        ]);
        run(generate.args(more));
    }
    let stranger = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    stranger.send_to(b"no export at all", &to).expect("sent");
    eventually("it is counted", || {
        collector.metric("flowhouse_ledger_datagrams_rejected_version_total") > 0.0
    });
    collector.settle(24_000);
    // at its end it has written the ledger of its last minute
    collector.stop();
    incidents(&store.sql());
}

/// Two incidents of one entity, of which one grew and was judged.
fn incidents(sql: &Sql) {
    let evidence = r#"{"figures":[{"name":"ports","observed":100,"threshold":15}],"facts":{"method":"syn"},"counterfactual":"86 fewer","community_ids":["1:x="],
        "flows":[{"src_addr":"10.1.2.3","src_port":4,"dst_addr":"192.0.2.1","dst_port":22,"proto":6,"packets":1,"bytes":40,"start_ms":1,"community_id":"1:x="}],
        "blind":["answers were not seen"]}"#;
    for (id, version, kind, severity) in [
        (10, 1, "port_scan", "medium"),
        (10, 2, "port_scan", "medium"),
        (11, 1, "beacon", "high"),
        (12, 1, "detector_degraded", "medium"),
    ] {
        sql.run(&format!(
            "INSERT INTO flowhouse.detection_events (id, version, engine, kind, detector, severity, confidence, title, entity_type, entity, entity_addr, \
             entity_role, peers, peers_total, first_at, last_at, detected_at, count, evidence, attack, updated_at) \
             VALUES ({id}, {version}, 'anomaly', '{kind}', '{kind}', '{severity}', 90, 'One', 'host', '10.1.2.3', '10.1.2.3', 'source', ['192.0.2.1'], 1, \
             now() - 60, now() - 30, now() - 50, 7, '{evidence}', ['T1046'], now() - 20)"
        ));
    }
    for (id, state) in [(10, "acknowledged"), (10, "true"), (11, "closed")] {
        sql.run(&format!(
            "INSERT INTO flowhouse.detection_states (id, state, who, why, via) VALUES ({id}, '{state}', 'ann', '', 'cli')"
        ));
    }
}

/// Captures of real exporters, as if they were sent now; false where there is no corpus.
fn replay(store: &Store, dir: &std::path::Path) -> bool {
    let Some(corpus) = corpus() else {
        return false;
    };
    let config = crate::harness::configure(dir, &names());
    for capture in REPLAYED {
        let mut replay = Command::new(exe());
        replay.args(["replay", "--as", "export", "--config"]);
        replay.arg(&config).arg(corpus.join(capture));
        replay.args(["--store", &format!("http://{}", store.address)]);
        run(replay.env("FLOWHOUSE_CLICKHOUSE_PASSWORD", store.sql().key()));
    }
    true
}

/// Those with many rows, of every protocol.
const REPLAYED: &[&str] = &[
    "flow/ls-netflow-5-valid-01.pcap",
    "flow/nd-netflowv9.pcap",
    "flow/pm-111-mix-sources-01.pcap",
    "flow/ls-ipfix-mikrotik-routeros-6-39-2.pcap",
    "sflow/ak-sflow-1140.pcap",
];

/// Panels that are about less than all generated traffic: faults, templates, what is in the wrong class, what went out where it came in, and flows of
/// those that incidents are about.
const SOME_GENERATED: &[&str] = &[
    "Flows in the store",
    "Its flows, by application",
    "Losses and faults",
    "Templates",
    "in the wrong class",
    "Out, by",
];

/// Panels that need what the largest replayed exporter, one of NetFlow 5, does not have: templates, egress, speeds, named networks.
const SOME_REPLAYED: &[&str] = &[
    "Flows in the store",
    "Its flows, by application",
    "Losses and faults",
    "Doubts about the data",
    "in the wrong class",
    "Templates",
    "Out, by",
    "Utilisation",
    "udgets",
    "Between networks",
    "Talkers",
];

/// Networks, budgets, and speeds of interfaces.
fn names() -> String {
    let mut names = "[enrich.networks]\nlist = [{ prefix = \"10.0.0.0/8\", name = \"clients\" }]\n\
         [enrich.qos.classes.broadcast-video]\nbudget_mbit = 1\n[enrich.qos.classes.standard]\nbudget_percent = 20\n"
        .to_owned();
    for exporter in 1..=4 {
        for index in 1..=64 {
            names += &format!(
                "[[enrich.interfaces]]\nexporter = \"127.1.0.{exporter}\"\nindex = {index}\nspeed_mbit = 100\n"
            );
        }
    }
    names
}

/// A value of each variable, so that there are rows of all of them together.
fn choose(sql: &Sql, of: &str) -> BTreeMap<String, String> {
    let row = sql.rows(&format!(
        "SELECT replaceOne(toString(exporter), '::ffff:', '') AS address, concat(address, '/', toString(if_index)), app, qos_class FROM usage_1m \
         WHERE direction = 'ingress' AND qos_class = 'standard' AND {of} ORDER BY est_bytes DESC LIMIT 1"
    ));
    let names = ["exporter", "interface", "application", "class"].map(str::to_owned);
    let mut chosen: BTreeMap<String, String> = names.into_iter().zip(row[0].clone()).collect();
    let of_incidents = [("incident", "000000000000000a"), ("entity", "10.1.2.3")];
    chosen.extend(of_incidents.map(|(name, value)| (name.to_owned(), value.to_owned())));
    chosen
}

fn ask(sql: &Sql, query: &str) -> Vec<Vec<String>> {
    sql.rows(&format!("{query}\nFORMAT TSVWithNamesAndTypes"))
}

/// What is wrong with an answer (names, types, rows).
fn shape(rows: &[Vec<String>], series: bool, columns: &[String]) -> Option<String> {
    let [names, types, values @ ..] = rows else {
        return Some("no columns".to_owned());
    };
    if let Some(column) = columns.iter().find(|c| !names.contains(c)) {
        return Some(format!("no column {column} among {names:?}"));
    }
    if values.is_empty() {
        return Some("no rows".to_owned());
    }
    let number = |t: &String| ["Int", "UInt", "Float"].iter().any(|n| t.starts_with(n));
    if series && !(types[0].starts_with("DateTime") && types.last().is_some_and(number)) {
        return Some(format!("no series: {types:?}"));
    }
    None
}

/// The macros of the ClickHouse data source and Grafana's variables, for three hours up to now.
struct Grafana {
    from: u64,
    to: u64,
    interval: u64,
    chosen: BTreeMap<String, String>,
}

impl Grafana {
    /// Variables that have no value are `All`.
    fn over(now: u64, table: &str, mut chosen: BTreeMap<String, String>) -> Grafana {
        chosen.insert("table".to_owned(), table.to_owned());
        Grafana {
            from: now - 3 * 3600,
            to: now + 120,
            interval: 60,
            chosen,
        }
    }

    fn expand(&self, sql: &str) -> String {
        let mut text = sql.to_owned();
        while let Some((before, inside, after)) = call(&text, "$__conditionalAll") {
            let (condition, variable) = inside.rsplit_once(',').expect("two parts");
            let variable = variable.trim().trim_start_matches('$');
            let condition = match self.chosen.contains_key(variable) {
                true => condition,
                false => "1=1",
            };
            text = format!("{before}{condition}{after}");
        }
        let (from, to) = (
            format!("toDateTime({})", self.from),
            format!("toDateTime({})", self.to),
        );
        while let Some((before, column, after)) = call(&text, "$__timeFilter") {
            text = format!("{before}{column} >= {from} AND {column} <= {to}{after}");
        }
        while let Some((before, column, after)) = call(&text, "$__timeInterval") {
            let interval = self.interval;
            text = format!(
                "{before}toStartOfInterval(toDateTime({column}), INTERVAL {interval} second){after}"
            );
        }
        text = text
            .replace("$__interval_s", &self.interval.to_string())
            .replace("$__fromTime", &from)
            .replace("$__toTime", &to);
        for (name, value) in &self.chosen {
            text = text
                .replace(&format!("${{{name}:singlequote}}"), &format!("'{value}'"))
                .replace(&format!("${name}"), value);
        }
        assert!(!text.contains('$'), "not expanded: {text}");
        text
    }
}

/// The text before a macro's call, what is in its brackets, and the text behind.
fn call<'a>(text: &'a str, name: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let at = text.find(&format!("{name}("))?;
    let inside = &text[at + name.len() + 1..];
    let mut depth = 1;
    let end = inside.find(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        depth == 0
    })?;
    Some((&text[..at], &inside[..end], &inside[end + 1..]))
}
