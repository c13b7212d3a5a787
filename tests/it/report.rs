//! `flowhouse report` on usage whose numbers are known: every figure is computed here a second time, from the rows that were
//! inserted, by other means.

use crate::harness::{Store, directory, exe, run};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Output};

/// An interface name that is an attack on every form of the report.
const HOSTILE: &str = "<script>alert(1)</script>' OR 1=1 -- \\x1b[2J\"";

/// A row of `usage_1m`.
#[derive(Clone, Debug)]
struct Usage {
    minute: i64,
    exporter: &'static str,
    if_index: u32,
    direction: &'static str,
    app: &'static str,
    class: &'static str,
    bytes: u64,
    packets: u64,
    flows: u64,
    interval: u64,
    known: bool,
}

struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// A day of two exporters, minute by minute. The first one is away for an hour.
fn day(from: i64) -> Vec<Usage> {
    let mut dice = Dice(5);
    let mut rows = vec![];
    let sides: [(&str, u32, &str, u64, u64, bool); 8] = [
        ("192.0.2.1", 1, "ingress", 150_000_000, 1, true),
        ("192.0.2.1", 1, "egress", 20_000_000, 1, true),
        ("192.0.2.1", 2, "ingress", 9_000_000, 1, true),
        ("192.0.2.1", 2, "egress", 1_000_000, 1, true),
        ("192.0.2.1", 3, "ingress", 5_000_000, 1, true),
        ("192.0.2.2", 1, "ingress", 600_000, 100, true),
        ("192.0.2.2", 1, "egress", 20_000, 100, true),
        ("192.0.2.2", 9, "ingress", 80_000, 1, false),
    ];
    for minute in 0..1_440 {
        for (exporter, if_index, direction, most, interval, known) in sides {
            let away = exporter == "192.0.2.1" && (600..660).contains(&minute);
            // a quarter of the minutes of the smaller sides has nothing
            if away || most < 10_000_000 && dice.below(4) == 0 {
                continue;
            }
            let apps: [(&str, &str, u64); 4] = [
                ("tls", "standard", 60),
                ("rtp-audio", "telephony", 15),
                ("rtp-audio", "standard", 5),
                ("rsync", "high-throughput-data", 20),
            ];
            for (app, class, percent) in apps {
                // one link carries backup for the most part
                let percent = match (if_index, app) {
                    (3, "rsync") => percent * 5,
                    (2, "rsync") => 1,
                    _ => percent,
                };
                let daily = 40 + 60 * minute / 1_440;
                let bytes = 1 + dice.below(most * percent / 100 * daily as u64 / 100 + 1);
                rows.push(Usage {
                    minute: from + 60 * minute,
                    exporter,
                    if_index,
                    direction,
                    app,
                    class,
                    bytes,
                    packets: 1 + bytes / 800,
                    flows: if app == "rsync" {
                        u64::from(minute % 30 == 0)
                    } else {
                        1 + dice.below(40)
                    },
                    interval,
                    known,
                });
            }
        }
    }
    rows
}

impl Usage {
    /// Any that adds up.
    fn variance(&self) -> u64 {
        (self.interval - 1) * self.bytes * 1_000
    }
}

/// The minutes of the day in which nobody heard an exporter. The first one sent nothing; flows of the second one that began there
/// were told later.
fn unheard(exporter: &str) -> (i64, i64) {
    match exporter {
        "192.0.2.1" => (600, 660),
        _ => (300, 340),
    }
}

fn was_heard(r: &Usage) -> bool {
    let (away, end) = unheard(r.exporter);
    !(away..end).contains(&(r.minute % 86_400 / 60))
}

fn insert(store: &Store, rows: &[Usage]) {
    let sql = store.sql();
    for chunk in rows.chunks(700) {
        let values: Vec<String> = chunk
            .iter()
            .map(|r| {
                let (eb, ep) = (r.bytes * r.interval, r.packets * r.interval);
                format!(
                    "({},'{}',{},'{}',0,'{}','{}','{}',0,{},{},{},{eb},{ep},{},{},{})",
                    r.minute,
                    r.exporter,
                    r.if_index,
                    r.direction,
                    r.app,
                    r.app,
                    r.class,
                    r.bytes,
                    r.packets,
                    r.flows,
                    r.packets,
                    u8::from(r.known),
                    r.variance()
                )
            })
            .collect();
        sql.run(&format!(
            "INSERT INTO flowhouse.usage_1m (* EXCEPT(est_bytes_unknown)) VALUES {}",
            values.join(",")
        ));
    }
}

fn inventory(store: &Store) {
    let sql = store.sql();
    for statement in [
        "INSERT INTO flowhouse.interfaces (exporter, if_index, name, description, speed, qos_policy, updated_at) VALUES \
         ('192.0.2.1', 1, '$HOSTILE', 'to <b>them</b>', 10000000, 'p', now()), ('192.0.2.1', 2, 'lan', '', 1000000000, 'p', now()), \
         ('192.0.2.1', 4, 'idle', '', 1000000000, '', now()), ('192.0.2.2', 1, 'wan', '', 20000000, 'p', now()), \
         ('203.0.113.9', 1, 'never heard', '', 1000, '', now())",
        "INSERT INTO flowhouse.application_catalog (app, category, relevance, updated_at) VALUES ('rtp-audio', 'voice', 'critical', now()), \
         ('rsync', 'backup', 'neutral', now())",
        "INSERT INTO flowhouse.qos_classes (policy, class, budget_percent, budget_bits, updated_at) VALUES ('p', 'telephony', 5, 0, now()), \
         ('p', 'high-throughput-data', 0, 700000, now()), ('p', 'standard', 0, 0, now())",
        "INSERT INTO flowhouse.qos_expected (policy, category, class, updated_at) VALUES ('p', 'voice', 'telephony', now())",
    ] {
        sql.run(&statement.replace("$HOSTILE", &HOSTILE.replace('\'', "\\'")));
    }
}

fn report(store: &Store, arguments: &[&str]) -> Output {
    let mut command = Command::new(exe());
    command
        .arg("report")
        .args(["--url", &format!("http://{}", store.address)]);
    command
        .arg("--password-file")
        .arg(store.key_file())
        .args(arguments);
    command.output().expect("it runs")
}

fn schema(store: &Store) {
    let url = format!("http://{}", store.address);
    let mut command = Command::new(exe());
    run(command
        .args(["schema", "apply", "--url", &url, "--password-file"])
        .arg(store.key_file()));
}

/// What a side must have been: sums of 5 minutes, from the rows.
struct Truth {
    /// (start, estimated bytes, variance).
    samples: Vec<(i64, u64, u64)>,
    hours: BTreeMap<i64, u64>,
}

fn truth(rows: &[Usage], of: impl Fn(&Usage) -> bool) -> Truth {
    let (mut samples, mut hours) = (BTreeMap::<i64, (u64, u64)>::new(), BTreeMap::new());
    for r in rows.iter().filter(|r| of(r)) {
        let sample = samples.entry(r.minute - r.minute % 300).or_default();
        sample.0 += r.bytes * r.interval;
        sample.1 += r.variance();
        *hours.entry(r.minute - r.minute % 3_600).or_insert(0) += r.bytes * r.interval;
    }
    Truth {
        samples: samples.into_iter().map(|(t, (b, p))| (t, b, p)).collect(),
        hours,
    }
}

impl Truth {
    /// By striking out the highest ones, one after the other.
    fn p95(&self, heard: usize) -> (u64, u64) {
        let mut left: Vec<(u64, u64)> = self.samples.iter().map(|s| (s.1, s.2)).collect();
        left.resize(heard, (0, 0));
        for _ in 0..heard / 20 {
            let highest = left
                .iter()
                .enumerate()
                .max_by_key(|(_, v)| **v)
                .expect("some")
                .0;
            left.swap_remove(highest);
        }
        left.into_iter().max().expect("some")
    }

    fn total(&self) -> u64 {
        self.samples.iter().map(|s| s.1).sum()
    }
}

fn near(value: &Value, expected: f64) {
    let value = value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"));
    assert!(
        (value - expected).abs() <= 1e-6 + expected.abs() * 1e-9,
        "{value} is not {expected}"
    );
}

#[test]
fn every_figure_is_what_the_rows_say() {
    let dir = directory();
    let store = Store::start(dir.path());
    schema(&store);
    let now = store.sql().numbers("SELECT toUnixTimestamp(now())")[0] as i64;
    let from = now - now % 86_400 - 2 * 86_400;
    let rows = day(from);
    insert(&store, &rows);
    inventory(&store);
    for (exporter, outcome) in [
        ("192.0.2.1", "datagrams_parsed"),
        ("192.0.2.2", "rows_added_metered"),
    ] {
        // heard in the samples in which it had no traffic, too
        let (away, end) = unheard(exporter);
        store.sql().run(&format!(
            "INSERT INTO flowhouse.ledger SELECT toDateTime({from} + 60 * number), '{exporter}', 0, '{outcome}', 2 \
             FROM numbers(1440) WHERE number < {away} OR number >= {end}"
        ));
    }
    let period = [from.to_string(), (from + 86_400).to_string()];
    let period = ["--from", &period[0], "--to", &period[1]];
    let out = report(&store, &[&period[..], &["--json"]].concat());
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let json: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let links = json["links"].as_array().expect("links");
    assert_eq!(links.len(), 5);
    for link in links {
        figures(link, &rows);
    }
    lists(&json);
    once(&json, &rows);
    proportions(&json, &rows);
    forms(&store, &period, dir.path());
}

fn figures(link: &Value, rows: &[Usage]) {
    let (exporter, index) = (
        link["exporter"].as_str().expect("one"),
        link["if_index"].as_u64().expect("one") as u32,
    );
    let heard = if exporter == "192.0.2.1" { 276 } else { 280 };
    assert_eq!(link["samples"], heard, "{exporter}");
    let speed = link["speed"].as_f64();
    let rate = |rate: &Value, bits: f64| {
        near(&rate["bits_per_second"], bits);
        match speed {
            Some(speed) => {
                assert!((rate["utilisation"].as_f64().expect("known") - bits / speed).abs() < 1e-6)
            }
            None => assert!(rate["utilisation"].is_null()),
        }
    };
    let mut highest = 0.0f64;
    for side in link["sides"].as_array().expect("sides") {
        let direction = side["direction"].as_str().expect("one");
        let of_side =
            |r: &Usage| r.exporter == exporter && r.if_index == index && r.direction == direction;
        assert_eq!(side["bytes"], truth(rows, of_side).total());
        let truth = truth(rows, |r| of_side(r) && was_heard(r));
        let bits = |bytes: u64, seconds: u64| bytes as f64 * 8.0 / seconds as f64;
        rate(&side["average"], bits(truth.total(), heard * 300));
        let (p95, variance) = truth.p95(heard as usize);
        rate(&side["p95"], bits(p95, 300));
        highest = highest.max(bits(p95, 300));
        let peak = truth
            .samples
            .iter()
            .max_by_key(|s| (s.1, -s.0))
            .expect("some");
        rate(&side["peak"], bits(peak.1, 300));
        assert_eq!(side["peak_at"], peak.0);
        let hour = truth
            .hours
            .iter()
            .max_by_key(|h| (h.1, -h.0))
            .expect("some");
        let (away, end) = unheard(exporter);
        let of_hour = (0..12).filter(|n| {
            let minute = hour.0 % 86_400 / 60 + 5 * n;
            !(away..end).contains(&minute)
        });
        rate(
            &side["busy_hour"],
            bits(*hour.1, of_hour.count() as u64 * 300),
        );
        assert_eq!(side["busy_hour_at"], *hour.0);
        let over = truth
            .samples
            .iter()
            .filter(|s| speed.is_some_and(|speed| bits(s.1, 300) >= 0.8 * speed));
        assert_eq!(side["samples_over"], over.count());
        let certainty = &side["p95_certainty"];
        match (exporter, index) {
            ("192.0.2.1", _) => assert_eq!(
                (&certainty["sampling"], &certainty["relative_error"]),
                (&"exact".into(), &0.0.into())
            ),
            (_, 1) => {
                assert_eq!(certainty["sampling"], "estimated");
                let error = certainty["relative_error"].as_f64().expect("known");
                let s = (variance as f64).sqrt() / p95 as f64;
                let expected = 1.96 * s + 1.92 * s * s;
                assert!((error - expected).abs() < 1e-6, "{error} {expected}");
            }
            _ => assert_eq!(
                (&certainty["sampling"], &certainty["relative_error"]),
                (&"unknown".into(), &Value::Null)
            ),
        }
        for class in side["classes"].as_array().expect("classes") {
            classes(class, rows, &of_side, speed, heard);
        }
    }
    near(&link["billing"]["bits_per_second"], highest);
}

fn classes(
    class: &Value,
    rows: &[Usage],
    of_side: &dyn Fn(&Usage) -> bool,
    speed: Option<f64>,
    heard: u64,
) {
    let name = class["class"].as_str().expect("one");
    let all = truth(rows, |r| of_side(r) && r.class == name);
    assert_eq!(class["bytes"], all.total());
    let truth = truth(rows, |r| of_side(r) && r.class == name && was_heard(r));
    let p95 = truth.p95(heard as usize).0 as f64 * 8.0 / 300.0;
    near(&class["p95"]["bits_per_second"], p95);
    let budget = match (speed, name) {
        (Some(speed), "telephony") => Some(speed * 0.05),
        // the interface without a speed has no policy, either
        (Some(_), "high-throughput-data") => Some(700_000.0),
        _ => None,
    };
    assert_eq!(class["budget"].as_f64(), budget, "{class}");
    if let Some(budget) = budget {
        near(&class["budget_used"], (p95 / budget * 1e6).round() / 1e6);
        let over = truth
            .samples
            .iter()
            .filter(|s| s.1 as f64 * 8.0 / 300.0 > budget);
        assert_eq!(class["samples_over"], over.count());
    }
}

fn lists(json: &Value) {
    let names = |list: &str| -> Vec<(String, u64, String)> {
        let list = json[list].as_array().expect(list).iter();
        list.map(|l| {
            let text = |name: &str| l[name].as_str().unwrap_or_default().to_owned();
            (
                text("exporter"),
                l["if_index"].as_u64().expect("one"),
                text("direction"),
            )
        })
        .collect()
    };
    let of =
        |exporter: &str, index, direction: &str| (exporter.to_owned(), index, direction.to_owned());
    assert_eq!(names("over_used"), [of("192.0.2.1", 1, "ingress")]);
    assert_eq!(json["over_used"][0]["clear"], true);
    assert_eq!(names("under_used"), [of("192.0.2.1", 2, "ingress")]);
    assert_eq!(
        names("unknown_speed"),
        [of("192.0.2.1", 3, "ingress"), of("192.0.2.2", 9, "ingress")]
    );
    assert_eq!(
        names("silent"),
        [of("192.0.2.1", 4, "")],
        "an exporter that was never heard has no silent interfaces"
    );
}

fn once(json: &Value, rows: &[Usage]) {
    let ingress = |r: &&Usage| r.direction == "ingress";
    let total: u64 = rows
        .iter()
        .filter(ingress)
        .map(|r| r.bytes * r.interval)
        .sum();
    assert_eq!(json["total"]["bytes"], total);
    // of the link that does not say whether it samples come far less than 1 %
    let unknown: u64 = rows
        .iter()
        .filter(ingress)
        .filter(|r| !r.known)
        .map(|r| r.bytes)
        .sum();
    assert_eq!(json["total"]["sampling"], "estimated");
    near(
        &json["total"]["unknown_share"],
        (unknown as f64 / total as f64 * 1e6).round() / 1e6,
    );
    let mut apps = BTreeMap::<&str, (u64, u64)>::new();
    for r in rows.iter().filter(ingress) {
        let app = apps.entry(r.app).or_default();
        *app = (app.0 + r.bytes * r.interval, app.1 + r.flows);
    }
    for app in json["applications"].as_array().expect("applications") {
        let (bytes, flows) = apps
            .remove(app["app"].as_str().expect("one"))
            .expect("it was sent");
        assert_eq!(
            (&app["bytes"], &app["flows"]),
            (&bytes.into(), &flows.into())
        );
        near(
            &app["share"],
            (bytes as f64 / total as f64 * 1e6).round() / 1e6,
        );
    }
    assert!(apps.is_empty());
    let course = json["course"]["lines"].as_array().expect("lines").iter();
    let drawn: f64 = course
        .flat_map(|l| l["bits_per_second"].as_array().expect("points"))
        .filter_map(Value::as_f64)
        .sum();
    assert!(
        (drawn * 300.0 / 8.0 / total as f64 - 1.0).abs() < 1e-6,
        "the plot has all bytes"
    );
}

fn proportions(json: &Value, rows: &[Usage]) {
    // voice in the class standard, where the policy is known
    let voice = |r: &&Usage| r.app == "rtp-audio" && r.direction == "ingress" && r.if_index < 3;
    let all: u64 = rows
        .iter()
        .filter(|r| r.app == "rtp-audio" && r.direction == "ingress")
        .map(|r| r.bytes * r.interval)
        .sum();
    let wrong: u64 = rows
        .iter()
        .filter(voice)
        .filter(|r| r.class == "standard")
        .map(|r| r.bytes * r.interval)
        .sum();
    let list = json["misplaced"].as_array().expect("a list");
    assert_eq!(list.len(), 1, "{list:?}");
    let found = &list[0];
    assert_eq!(
        (
            &found["app"],
            &found["class"],
            &found["bytes"],
            &found["links"]
        ),
        (
            &"rtp-audio".into(),
            &"standard".into(),
            &wrong.into(),
            &3.into()
        )
    );
    assert_eq!(found["expected"], serde_json::json!(["telephony"]));
    near(
        &found["share_of_app"],
        (wrong as f64 / all as f64 * 1e6).round() / 1e6,
    );
    // shares of every side, the median of the eight is the lower one in the middle
    let mut sides = BTreeMap::<_, BTreeMap<&str, (u64, u64)>>::new();
    for r in rows {
        let app = sides
            .entry((r.exporter, r.if_index, r.direction))
            .or_default()
            .entry(r.app)
            .or_default();
        *app = (app.0 + r.bytes * r.interval, app.1 + r.flows);
    }
    let mut expected = vec![];
    for app in ["tls", "rtp-audio", "rsync"] {
        let share = |s: &BTreeMap<&str, (u64, u64)>, n: fn(&(u64, u64)) -> u64| {
            n(&s[app]) as f64 / s.values().map(n).sum::<u64>() as f64
        };
        let mut shares: Vec<f64> = sides.values().map(|s| share(s, |v| v.0)).collect();
        shares.sort_by(f64::total_cmp);
        for (key, side) in &sides {
            let (bytes, flows) = (share(side, |v| v.0), share(side, |v| v.1));
            if bytes >= 0.1 && (bytes >= 3.0 * shares[3] || bytes >= 10.0 * flows) {
                expected.push((key.0.to_owned(), key.1, key.2.to_owned(), app.to_owned()));
            }
        }
    }
    let list = json["disproportionate"].as_array().expect("a list").iter();
    let mut found: Vec<_> = list
        .map(|d| {
            let text = |name: &str| d[name].as_str().expect("a text").to_owned();
            (
                text("exporter"),
                d["if_index"].as_u64().expect("one") as u32,
                text("direction"),
                text("app"),
            )
        })
        .collect();
    expected.sort();
    found.sort();
    assert!(!expected.is_empty());
    assert_eq!(found, expected);
}

fn forms(store: &Store, period: &[&str], dir: &std::path::Path) {
    let out = report(store, period);
    let text = String::from_utf8(out.stdout).expect("UTF-8");
    assert!(out.status.success() && !text.contains('\u{1b}'));
    for part in [
        "Over-used links",
        "Under-used links",
        "Links of unknown speed",
        "Classes with a budget",
        "5 links",
        "lan",
        "unknown",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let file = dir.join("report.html");
    let out = report(
        store,
        &[period, &["--html", file.to_str().expect("UTF-8")]].concat(),
    );
    assert!(out.status.success() && out.stdout.is_empty());
    let page = fs::read_to_string(&file).expect("written");
    for part in ["<script", "<b>them", "\u{1b}", "://"] {
        assert!(!page.contains(part), "{part}");
    }
    assert!(page.matches("&lt;script&gt;").count() >= 4 && page.matches("<svg").count() == 6);
    // filters: the name is a value, never a part of the query
    let stored = store.sql().rows("SELECT name FROM flowhouse.interfaces FINAL WHERE exporter = toIPv6('192.0.2.1') AND if_index = 1 FORMAT TSVRaw");
    let links = |filter: &[&str]| {
        let out = report(store, &[period, filter, &["--json"]].concat());
        let json: Option<Value> = serde_json::from_slice(&out.stdout).ok();
        (
            json.map(|j| j["links"].as_array().expect("links").len()),
            String::from_utf8_lossy(&out.stderr).into_owned(),
        )
    };
    assert!(stored[0][0].starts_with("<script>") && stored[0][0].contains('\u{1b}'));
    assert_eq!(links(&["--interface", &stored[0][0]]).0, Some(1));
    assert_eq!(links(&["--exporter", "192.0.2.2"]).0, Some(2));
    assert_eq!(
        links(&["--exporter", "192.0.2.2", "--interface", "9"]).0,
        Some(1)
    );
    let (none, said) = links(&["--interface", "x' OR 1=1 --"]);
    assert!(
        none.is_none()
            && said.contains("of that exporter and interface")
            && said.contains("another filter"),
        "{said}"
    );
}

#[test]
fn nothing_to_tell_is_told_with_a_way_out() {
    let dir = directory();
    let store = Store::start(dir.path());
    schema(&store);
    let out = report(&store, &["--last", "1h"]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(1));
    assert!(
        said.contains("no usage yet") && said.contains("flowhouse demo"),
        "{said}"
    );
    store.sql().run("INSERT INTO flowhouse.usage_1m (time, exporter, if_index, direction, app, bytes, est_bytes) VALUES (now() - 7200, '192.0.2.1', 1, 'ingress', 'dns', 1, 1)");
    let out = report(&store, &["--last", "1h"]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(
        said.contains("the store has some from the hour of") && said.contains("another --last"),
        "{said}"
    );
    let out = report(&store, &["--from", "yesterday"]);
    assert_eq!(out.status.code(), Some(2));
    let out = report(&store, &["--last", "200d"]);
    assert!(String::from_utf8_lossy(&out.stderr).contains("at most 92 days"));
}

/// The example, drawn by a real browser where there is one. A page that shows nothing makes a small image.
#[test]
fn a_browser_draws_the_example() {
    let dir = directory();
    let image = dir.path().join("page.png");
    let page = concat!(
        "file://",
        env!("CARGO_MANIFEST_DIR"),
        "/docs/example/report.html"
    );
    let mut browser = Command::new("chromium");
    browser.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--window-size=1100,2400",
    ]);
    browser.arg(format!("--user-data-dir={}", dir.path().display()));
    browser
        .arg(format!("--screenshot={}", image.display()))
        .arg(page);
    match browser.output() {
        Err(_) => {
            use std::io::Write;
            // past what the test harness captures
            let _ = writeln!(
                std::io::stdout(),
                "NOT TESTED: the example report in a browser: no chromium"
            );
        }
        Ok(out) => {
            let size = std::fs::metadata(&image).map_or(0, |m| m.len());
            let said = String::from_utf8_lossy(&out.stderr);
            assert!(size > 100_000, "{size} bytes: {said}");
        }
    }
}
