//! The sample configuration shows every key with its default, and `check` names every fault.

use super::harness::{directory, exe};
use flowhouse::config::Config;
use std::fs;
use std::path::Path;
use std::process::Command;

fn sample() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/flowhouse.toml");
    fs::read_to_string(path).expect("the sample configuration")
}

/// The sample with its defaults switched on: what stands behind a single `#` and looks like TOML.
fn switched_on() -> String {
    let is_toml = |l: &str| {
        l.starts_with('[')
            || l.split_once(" = ").is_some_and(|(k, _)| {
                k.chars()
                    .all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit())
            })
    };
    let lines = sample();
    let lines = lines
        .lines()
        .filter_map(|l| l.strip_prefix("# "))
        .filter(|l| is_toml(l));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn the_sample_shows_the_defaults() {
    let shown = Config::from_text(&switched_on()).unwrap_or_else(|faults| panic!("{faults:?}"));
    assert_eq!(format!("{shown:#?}"), format!("{:#?}", Config::default()));
    Config::from_text(&sample()).expect("as it stands it changes nothing");
}

#[test]
fn the_sample_has_every_key() {
    let sample = sample();
    let rooms = [
        "receive",
        "receive/capture",
        "shard",
        "decode",
        "enrich",
        "aggregate",
        "batch",
        "sink",
        "control",
        "rights",
        "notify",
        "detect/anomaly",
        "detect/signature",
    ];
    for room in rooms {
        let section = match room {
            "detect/signature" => "signatures",
            _ => room.split('/').next().unwrap_or(room),
        };
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("src/{room}/settings.rs"));
        let text = fs::read_to_string(path).expect("settings");
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (i, line) in lines.iter().enumerate() {
            let Some((key, _)) = line.strip_prefix("pub ").and_then(|l| l.split_once(": ")) else {
                continue;
            };
            if key.contains(' ') || !line.ends_with(',') || lines[i - 1] == "#[serde(skip)]" {
                continue;
            }
            let shown = [
                format!("# {key} = "),
                format!("## {key} = "),
                format!("# [{section}.{key}]"),
            ]
            .iter()
            .any(|k| sample.contains(k.as_str()));
            assert!(
                shown,
                "deploy/flowhouse.toml does not show `{key}` of {room}"
            );
        }
    }
}

#[test]
fn the_sample_has_every_key_of_the_connection() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sink/clickhouse/connection.rs");
    let text = fs::read_to_string(path).expect("the connection");
    let fields = text.split("pub struct Connection {").nth(1);
    let fields = fields.and_then(|t| t.split("\n}").next()).expect("fields");
    let sample = sample();
    let keys = fields.lines().filter_map(|l| {
        let (key, _) = l.trim().strip_prefix("pub ")?.split_once(": ")?;
        Some(key)
    });
    for key in keys {
        let shown = format!("## {key} = ");
        assert!(sample.contains(&shown), "deploy/flowhouse.toml: `{key}`");
    }
    let section = sample.split("## [clickhouse]").nth(1).expect("it is there");
    let section = section.split("# [sink]").next().expect("it ends");
    let lines = section.lines().filter_map(|l| l.strip_prefix("## "));
    let lines = lines.filter(|l| !l.starts_with("url") && !l.starts_with("password "));
    let all = format!("[clickhouse]\n{}", lines.collect::<Vec<_>>().join("\n"));
    Config::from_text(&all).unwrap_or_else(|faults| panic!("{faults:?}"));
}

#[test]
fn faults_of_the_store_have_their_line() {
    let dir = directory();
    let file = dir.path().join("bad.toml");
    for (text, fault) in [
        ("urls = [\"ftp://a\"]", "2:1: clickhouse.urls must be"),
        ("urll = \"x\"", "did you mean `url`?"),
        (
            "shards = [[\"http://a:1\"], [\"http://b:1\"]]",
            "2:1: clickhouse.shards needs clickhouse.cluster",
        ),
        (
            "ca_file = \"/nowhere/ca.pem\"",
            "2:1: clickhouse.ca_file is for addresses",
        ),
        (
            "insert_quorum = \"most\"",
            "2:1: clickhouse.insert_quorum must be",
        ),
        (
            "password_file = \"/nowhere/password\"",
            "2:1: clickhouse.password_file: /nowhere/password cannot be read",
        ),
    ] {
        fs::write(&file, format!("[clickhouse]\n{text}\n")).expect("written");
        let mut check = Command::new(exe());
        let out = check.args(["check", "--offline", "-c"]).arg(&file).output();
        let out = out.expect("runs");
        let said = [&out.stdout[..], &out.stderr[..]].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(out.status.code(), Some(1), "{said}");
        assert!(said.contains(fault), "not `{fault}`: {said}");
    }
}

/// Whoever writes a matrix of zones wants to mend all of it at once.
#[test]
fn check_names_every_fault_of_a_policy() {
    let dir = directory();
    let file = dir.path().join("policy.toml");
    let text = r#"
[detect.policy]
cleartext = ["telnet", "gopher"]
zones = [
  { name = "office", networks = ["10.0.1.0/24", "10.0.1.0/99"] },
  { name = "office", networks = ["10.0.2.0/24"] },
]
allow = [
  { from = "office", to = "nowhere", ports = ["443/ip"] },
  { from = "office", to = "outside", applications = ["https"] },
]
dscp = [{ codes = [64], zones = ["phones"] }]
firewall_rules = [{ name = "deny", rule = "x" }]
"#;
    fs::write(&file, text).expect("written");
    let out = Command::new(exe())
        .args(["check", "--offline", "-c"])
        .arg(&file)
        .output()
        .expect("runs");
    let text = [out.stdout, out.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    for fault in [
        "`gopher` is none of",
        "`10.0.1.0/99` is no network",
        "`office` is no name of a zone of its own",
        "`nowhere` is no zone",
        "`443/ip` is no port",
        "64 is not 1 to 63",
        "`phones` is no zone",
        "`x` is no hash of a rule",
        "8 fault(s)",
    ] {
        assert!(text.contains(fault), "{fault}: {text}");
    }
}

#[test]
fn check_doubts_applications_that_nothing_is_called_by() {
    let dir = directory();
    let file = dir.path().join("policy.toml");
    let text = r#"
[[enrich.applications.rules]]
app = "till"
ports = [4711]
[detect.policy]
zones = [{ name = "office", networks = ["10.0.1.0/24"] }]
allow = [{ from = "office", to = "outside", applications = ["httpss", "https", "tls", "till"] }]
dscp = [{ codes = [46], zones = ["office"], applications = ["sipp"] }]
"#;
    fs::write(&file, text).expect("written");
    let out = Command::new(exe())
        .args(["check", "--offline", "-c"])
        .arg(&file)
        .output()
        .expect("runs");
    let text = [out.stdout, out.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    for doubt in [
        "detect.policy.allow: no application or protocol is called `httpss`, unless an exporter tells of it; did you mean `https`?",
        "detect.policy.dscp: no application or protocol is called `sipp`, unless",
    ] {
        assert!(text.contains(doubt), "{doubt}: {text}");
    }
    assert_eq!(text.matches("is called `").count(), 2, "{text}");
    assert!(out.status.success(), "{text}");
}

#[test]
fn check_names_every_fault_with_its_line() {
    let dir = directory();
    let file = dir.path().join("bad.toml");
    fs::write(&file, "[receive]\nlisteners = [\"127.0.0.1:0\"]\nbatchh = 3\nqueue = -1\n[batch]\nseal_rows = 0\n").expect("written");
    let out = Command::new(exe())
        .args(["check", "--offline", "-c"])
        .arg(&file)
        .output()
        .expect("runs");
    let text = [out.stdout, out.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert_eq!(out.status.code(), Some(1), "{text}");
    assert!(
        text.contains("bad.toml:3:1: unknown field `batchh`")
            && text.contains("did you mean `batch`?"),
        "{text}"
    );
    assert!(text.contains("bad.toml:4:"), "{text}");
    // what can be read is proven all the same
    assert!(
        text.contains("bad.toml:6:1: batch.seal_rows must be") && text.contains("3 fault(s)"),
        "{text}"
    );

    fs::write(&file, "[batch]\nseal_rows = 0\n").expect("written");
    let out = Command::new(exe())
        .args(["check", "--offline", "-c"])
        .arg(&file)
        .output()
        .expect("runs");
    let text = [out.stdout, out.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    assert!(
        text.contains("bad.toml:2:1: batch.seal_rows must be 1 to 1000000"),
        "{text}"
    );

    fs::write(&file, "[batch]\nseal_rows = 10\n").expect("written");
    let out = Command::new(exe())
        .args(["check", "--offline", "-c"])
        .arg(&file)
        .output()
        .expect("runs");
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
}
