//! The walls of the house: what a room imports, how long functions and files are, which words and constructs are
//! banned, and that every setting is documented. `CONTRIBUTING.md` shows the same map for people.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Room, rooms it may import beside `model` and `ledger`, outside crates it may name.
const ROOMS: &[(&str, &[&str], &[&str])] = &[
    ("model", &[], &[]),
    ("ledger", &[], &[]),
    (
        "receive",
        &["dissect"],
        &[
            "nix",
            "socket2",
            "libc",
            "pcap_parser",
            "memmap2",
            "crossbeam_channel",
            "etherparse",
            "thiserror",
            "serde",
            "foldhash",
            "hashbrown",
            "tracing",
        ],
    ),
    (
        "decode",
        &["dissect"],
        &[
            "netflow_parser",
            "hashbrown",
            "foldhash",
            "smallvec",
            "thiserror",
            "serde",
            "serde_json",
        ],
    ),
    ("dissect", &[], &["etherparse", "thiserror"]),
    (
        "enrich",
        &[],
        &[
            "hashbrown",
            "foldhash",
            "thiserror",
            "serde",
            "serde_json",
            "toml",
            "csv",
            "cel",
            "maxminddb",
            "ureq",
            "rustls",
            "rustls_native_certs",
            "tracing",
        ],
    ),
    (
        "aggregate",
        &[],
        &["hashbrown", "foldhash", "thiserror", "serde"],
    ),
    ("batch", &[], &["serde", "thiserror"]),
    (
        "shard",
        &[
            "receive",
            "decode",
            "dissect",
            "enrich",
            "aggregate",
            "batch",
        ],
        &["crossbeam_channel", "serde", "tracing"],
    ),
    (
        "sink",
        &["batch", "secret"],
        &[
            "clickhouse",
            "rustls",
            "rustls_native_certs",
            "hyper_rustls",
            "hyper_util",
            "tokio",
            "bytes",
            "lz4_flex",
            "crossbeam_channel",
            "serde",
            "serde_json",
            "thiserror",
            "tracing",
            "rand",
            "uuid",
            "cityhash_rs",
            // free bytes of a file system; whether a connection was ever made
            "nix",
            "hyper_util",
        ],
    ),
    ("rights", &[], &["caps", "nix", "serde", "thiserror"]),
    ("secret", &[], &["serde", "thiserror"]),
    (
        "snmp",
        &["enrich", "secret"],
        &[
            "async_snmp",
            "tokio",
            "serde",
            "serde_json",
            "thiserror",
            "tracing",
        ],
    ),
    (
        "store",
        &["rights"],
        &[
            "adbc_core",
            "adbc_driver_manager",
            "arrow_array",
            "arrow_schema",
            "axum",
            "tokio",
            "bytes",
            "zip",
            "landlock",
            "lz4_flex",
            "zstd",
            "flate2",
            "cityhash_rs",
            "nix",
            "libc",
            "serde",
            "serde_json",
            "thiserror",
            "tracing",
            "rand",
            "sha2",
            "http_body_util",
            "hyper",
            "hyper_util",
            "tower",
            "tower_service",
            "futures_util",
            "http_body",
            "http",
        ],
    ),
    (
        "control",
        &["enrich"],
        &[
            "rustls",
            "tokio",
            "tokio_rustls",
            "prometheus",
            "dashmap",
            "axum",
            "serde",
            "serde_json",
            "thiserror",
            "tracing",
        ],
    ),
    (
        "generate",
        &[],
        &[
            "socket2",
            "rand",
            "libc",
            "nix",
            "serde",
            "serde_json",
            "thiserror",
            "anyhow",
        ],
    ),
    (
        "config",
        &["*settings"],
        &["serde", "toml", "strsim", "thiserror"],
    ),
    ("assemble", &["*"], &["*"]),
    ("cli", &["*"], &["*"]),
];

/// Files that may hold `unsafe`, each with its proof inside.
const UNSAFE_FILES: &[&str] = &[
    "src/decode/prefetch.rs",
    "src/assemble/heap.rs",
    "src/receive/mmsg.rs",
    "src/receive/mapped.rs",
    "src/generate/mmsg.rs",
    "src/store/python_stubs.rs",
];

/// Files that are tables or one state machine, and may be longer than 600 lines.
const LONG_FILES: &[&str] = &[
    "src/decode/element.rs",
    "src/enrich/ports.rs",
    "src/store/python_stubs.rs",
];

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

#[test]
fn rooms_import_what_the_map_grants() {
    let known: BTreeSet<&str> = ROOMS.iter().map(|r| r.0).collect();
    let crates = dependencies();
    let mut faults = vec![];
    for (path, text) in sources() {
        let Some(room) = room_of(&path) else { continue };
        let Some((_, rooms, outside)) = ROOMS.iter().find(|r| r.0 == room) else {
            faults.push(format!("{path}: room `{room}` is not on the map"));
            continue;
        };
        for (number, line) in code_lines(&text) {
            for other in mentioned_rooms(line) {
                let allowed = other == room
                    || ["model", "ledger"].contains(&other) && room != "model" && room != "ledger"
                    || rooms.contains(&"*")
                    || rooms.contains(&other)
                    || rooms.contains(&"*settings")
                        && (line.contains("ettings") || line.contains("settings::"));
                if known.contains(other) && !allowed {
                    faults.push(format!(
                        "{path}:{number}: room `{room}` may not import `{other}`"
                    ));
                }
            }
            for name in &crates {
                if line.contains(&format!("{name}::"))
                    && !preceded(line, name)
                    && !outside.contains(&"*")
                    && !outside.contains(&name.as_str())
                {
                    faults.push(format!(
                        "{path}:{number}: room `{room}` may not use the crate `{name}`"
                    ));
                }
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn files_and_functions_are_short() {
    let mut faults = vec![];
    for (path, text) in sources() {
        let body = text
            .split("\n#[cfg(test)]\nmod tests")
            .next()
            .unwrap_or(&text);
        let lines = body.lines().count();
        if lines > FILE_LINES_MAX && !LONG_FILES.contains(&path.as_str()) {
            faults.push(format!(
                "{path}: {lines} lines before its tests, at most {FILE_LINES_MAX}"
            ));
        }
        for (name, at, length) in functions(body) {
            if length > FUNCTION_LINES_MAX {
                faults.push(format!("{path}:{at}: function `{name}` has {length} lines, at most {FUNCTION_LINES_MAX}"));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn banned_words_and_constructs_stay_out() {
    let banned = [
        ("TODO", "do it or write an issue"),
        ("FIXME", "do it or write an issue"),
        ("todo!(", "finish it"),
        ("unimplemented!(", "finish it"),
        ("dbg!(", "log it or remove it"),
        ("#[ignore", "a test runs or goes"),
        ("/home/", "no paths of a machine"),
        ("/root/", "no paths of a machine"),
    ];
    let mut faults = vec![];
    for (path, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            for (word, cure) in banned {
                if line.contains(word) {
                    faults.push(format!("{path}:{}: `{word}`: {cure}", number + 1));
                }
            }
        }
        let has_unsafe = code_lines(&text).any(|(_, l)| {
            [
                "unsafe {",
                "unsafe fn",
                "unsafe impl",
                "unsafe extern",
                "#[unsafe(",
            ]
            .iter()
            .any(|u| l.contains(u))
        });
        if has_unsafe && !UNSAFE_FILES.contains(&path.as_str()) {
            faults.push(format!("{path}: `unsafe` outside the exempted files"));
        }
        for part in ["utils", "common", "helpers", "types", "misc"] {
            if path.split(['/', '.']).any(|p| p == part) {
                faults.push(format!(
                    "{path}: no `{part}` module: name the file by what it holds"
                ));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn every_setting_is_documented() {
    let mut faults = vec![];
    for (path, text) in sources()
        .into_iter()
        .filter(|(p, _)| p.ends_with("/settings.rs"))
    {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (i, line) in lines.iter().enumerate() {
            let is_field = line.starts_with("pub ")
                && line.contains(':')
                && line.ends_with(',')
                && !line.contains('(');
            if is_field
                && !lines[..i]
                    .iter()
                    .rev()
                    .find(|l| !l.starts_with("#["))
                    .is_some_and(|l| l.starts_with("///"))
            {
                faults.push(format!("{path}:{}: the setting has no text", i + 1));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn the_map_in_contributing_names_every_room() {
    let text = fs::read_to_string(root().join("CONTRIBUTING.md")).expect("CONTRIBUTING.md");
    for (room, ..) in ROOMS {
        assert!(
            text.contains(&format!("| `{room}`")),
            "CONTRIBUTING.md does not have the room `{room}`"
        );
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<(String, String)> {
    fn walk(dir: &Path, out: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).expect("readable source folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, out);
            } else if path.extension().is_some_and(|e| e == "rs") {
                out.push(path);
            }
        }
    }
    let mut paths = vec![];
    walk(&root().join("src"), &mut paths);
    paths.sort();
    paths
        .into_iter()
        .map(|p| {
            let text = fs::read_to_string(&p).expect("readable source");
            (
                p.strip_prefix(root())
                    .expect("below the root")
                    .to_string_lossy()
                    .into_owned(),
                text,
            )
        })
        .collect()
}

fn room_of(path: &str) -> Option<&str> {
    let mut parts = path.split('/').skip(1);
    let room = parts.next()?;
    parts.next().map(|_| room)
}

/// Lines before the tests that are not comments, numbered from 1.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, l)| !l.starts_with("mod tests"))
        .filter(|(_, l)| !l.trim_start().starts_with("//"))
        .map(|(i, l)| (i + 1, l))
}

fn mentioned_rooms(line: &str) -> Vec<&str> {
    line.match_indices("crate::")
        .map(|(at, m)| {
            let rest = &line[at + m.len()..];
            &rest[..rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len())]
        })
        .collect()
}

fn dependencies() -> Vec<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    let table = manifest
        .split("[dependencies]")
        .nth(1)
        .and_then(|t| t.split("\n[").next())
        .unwrap_or_default();
    table
        .lines()
        .filter_map(|l| {
            l.split_once('=')
                .map(|(name, _)| name.trim().replace('-', "_"))
        })
        .filter(|n| !n.is_empty() && !n.starts_with('#'))
        .collect()
}

/// Whether the crate name at its first place in the line is the end of a longer path (`crate::serde::`).
fn preceded(line: &str, name: &str) -> bool {
    let at = line.find(&format!("{name}::")).unwrap_or(0);
    at > 0 && line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':')
}

/// Name, first line and length of every function: from its `fn` to the closing brace of the same indent.
fn functions(text: &str) -> Vec<(String, usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = vec![];
    for (i, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let Some(at) = trimmed.find("fn ") else {
            continue;
        };
        let head = &trimmed[..at];
        if !head.split_whitespace().all(|w| {
            w.starts_with("pub")
                || ["const", "async", "unsafe", "extern", "\"C\""].contains(&w)
                || w.ends_with(')')
        }) {
            continue;
        }
        let indent = line.len() - trimmed.len();
        let close = format!("{}}}", " ".repeat(indent));
        if let Some(end) = lines[i..].iter().position(|l| *l == close) {
            let name: String = trimmed[at + 3..]
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            found.push((name, i + 1, end + 1));
        }
    }
    found
}
