//! `flowhouse demo`: what a script reads of it.

use crate::harness::{directory, exe, run, total};
use flowhouse::generate::{Exporter, Habits, Profile, capture};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::Command;

#[test]
fn a_script_reads_one_object() {
    let dir = directory();
    // a folder that was there, with a capture of its owner's
    let data = dir.path().join("demo");
    let theirs = data.join("packets/mine.pcap");
    std::fs::create_dir_all(data.join("packets")).expect("made");
    std::fs::write(&theirs, "theirs").expect("written");
    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("there").mode() & 0o777;
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o711)).expect("set");
    let mut demo = Command::new(exe());
    demo.args([
        "demo", "--for", "3s", "--every", "1", "--rate", "600", "--json", "--data",
    ])
    .arg(&data);
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
    assert_eq!(std::fs::read_to_string(&theirs).expect("kept"), "theirs");
    assert_eq!(mode(&data), 0o711);
    let names = std::fs::read_dir(&data).expect("readable");
    let names = names.map(|e| e.expect("an entry").file_name().into_string());
    let mut names: Vec<String> = names.map(|n| n.expect("a name")).collect();
    names.sort();
    assert_eq!(names, ["packets", "state", "store"]);
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

/// What the demo's exporters tell is a network in which nothing is amiss.
#[test]
fn traffic_with_answers_raises_nothing() {
    let dir = directory();
    let start_ms = 1_767_225_600_000;
    let kinds = [
        (Profile::EdgeSwitch, 10),
        (Profile::Router, 10),
        (Profile::Gateway, 1),
    ];
    let exporters = kinds.into_iter().zip(0..).map(|((profile, sampling), n)| {
        let habits = Habits {
            sampling,
            answered: true,
            ..Habits::default()
        };
        Exporter::new(profile, habits, n, u64::from(n) + 1, start_ms)
    });
    let mut exporters: Vec<Exporter> = exporters.collect();
    let file = dir.path().join("calm.pcap");
    let mut out = BufWriter::new(File::create(&file).expect("made"));
    let truth = capture::write(&mut out, &mut exporters, 60_000, 3_000, 2055, start_ms);
    let flows = truth.expect("written").flows;
    out.flush().expect("written");
    let to = dir.path().join("out");
    run(Command::new(exe())
        .args(["replay", "--out"])
        .arg(&to)
        .arg(&file));
    let lines = |name: &str| std::fs::read_to_string(to.join(name)).expect("there");
    assert!(lines("flows.ndjson").lines().count() as u64 >= flows);
    assert_eq!(lines("detections.ndjson"), "");
}
