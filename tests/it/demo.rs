//! `flowhouse demo`: what a script reads of it.

use crate::harness::{directory, exe, total};
use std::process::Command;

#[test]
fn a_script_reads_one_object() {
    let dir = directory();
    let mut demo = Command::new(exe());
    demo.args([
        "demo", "--for", "3s", "--every", "1", "--rate", "600", "--json", "--data",
    ])
    .arg(dir.path().join("demo"));
    let out = demo.output().expect("it runs");
    let told = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{told}");
    for part in [
        "first rows in ClickHouse after",
        "bandwidth by application",
        "mirrored traffic by what it says",
        "holds",
    ] {
        assert!(told.contains(part), "no `{part}`: {told}");
    }
    let json: serde_json::Value = serde_json::from_slice(&out.stdout).expect("JSON alone");
    let sent = json["sent"]["flows"].as_u64().expect("a number");
    assert!(sent > 100, "{sent}");
    assert_eq!(json["stored_rows"], sent);
    crate::harness::assert_laws(&json["ledger"]);
    let metered = json["metered"]["rows"].as_u64().expect("a number");
    assert!(metered > 4, "{metered}");
    for key in ["packets", "bytes"] {
        assert_eq!(json["metered"][key], json["mirrored"][key], "{key}");
    }
    assert_eq!(total(&json["ledger"], "rows_acknowledged"), sent + metered);
    for (name, key) in [
        ("applications", "app"),
        ("qos_classes", "qos_class"),
        ("interfaces", "exporter"),
        ("quality", "app_proto"),
    ] {
        let rows = json[name].as_array().expect(name);
        assert!(
            !rows.is_empty() && rows.iter().all(|r| r[key].is_string()),
            "{name}: {rows:?}"
        );
    }
}
