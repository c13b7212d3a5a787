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
            "pcap",
            "pcap_parser",
            "memmap2",
            "crossbeam_channel",
            "thiserror",
            "serde",
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
    ("dissect", &[], &["etherparse", "serde"]),
    // a hasher for what waits
    (
        "reassemble",
        &[],
        &[
            "foldhash",
            "hashbrown",
            "serde",
            // parsers, and what they unpack and open with
            "httparse",
            "loona_hpack",
            "tls_parser",
            "x509_parser",
            "simple_dns",
            "flate2",
            "brotli_decompressor",
            "ring",
            "md5",
        ],
    ),
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
    ("meter", &["reassemble"], &["foldhash", "serde"]),
    (
        "aggregate",
        &[],
        &["hashbrown", "foldhash", "thiserror", "serde", "serde_json"],
    ),
    // streams and messages that rules look into; Perl's regular expressions, which rules are written in, many contents at once, hashers and digests
    (
        "detect",
        &["reassemble"],
        &[
            "pcre2",
            "aho_corasick",
            // Hyperscan, where the system has it
            "libloading",
            // large pages for tables
            "libc",
            // one content looked for when a rule is confirmed
            "memchr",
            "foldhash",
            "ring",
            "md5",
            "serde",
            "serde_json",
            "thiserror",
        ],
    ),
    ("batch", &[], &["serde", "thiserror"]),
    (
        "shard",
        &[
            "receive",
            "decode",
            "dissect",
            "reassemble",
            "meter",
            "enrich",
            "aggregate",
            "detect",
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
            // INSERTs, whose answers the client of `clickhouse` does not show
            "hyper",
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
            // free bytes of a file system
            "nix",
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
            "serde",
            "thiserror",
            "tracing",
            "rand",
            "sha2",
            "http_body_util",
        ],
    ),
    (
        "notify",
        &["secret"],
        &[
            // requests and their signature
            "ureq",
            "ring",
            "rustls",
            "rustls_native_certs",
            // mail: its form and SMTP
            "lettre",
            "crossbeam_channel",
            "serde",
            "serde_json",
            "thiserror",
            "tracing",
        ],
    ),
    (
        "control",
        &[],
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
        &["socket2", "libc", "nix", "pcap", "serde", "thiserror"],
    ),
    // names, rules and files are proven by building the tables
    (
        "config",
        &["*settings", "enrich"],
        &["serde", "toml", "strsim", "thiserror"],
    ),
    ("assemble", &["*"], &["*"]),
    ("cli", &["*"], &["*"]),
];

/// Small crates that many rooms use: granted ahead of need.
const EVERYDAY: &[&str] = &["serde", "thiserror", "tracing"];

/// Settings that are not called so: what `config` may name of other rooms beside their `Settings`.
const SETTINGS: &[&str] = &[
    "shard::SHARDS_MAX",
    "sink::clickhouse::Connection",
    "sink::spool::Mode::Off",
];

/// Files that may hold `unsafe`, each with its proof inside.
const UNSAFE_FILES: &[&str] = &[
    "src/model/prefetch.rs",
    "src/assemble/heap.rs",
    "src/receive/mmsg.rs",
    "src/receive/mapped.rs",
    "src/generate/mmsg.rs",
    "src/store/python_stubs.rs",
    "src/detect/signature/engine/hyperscan.rs",
    "src/detect/anomaly/pages.rs",
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
    let crates = dependencies();
    let (mut faults, mut used) = (vec![], BTreeSet::new());
    for (path, text) in sources() {
        let Some(room) = room_of(&path) else { continue };
        let Some((_, rooms, outside)) = ROOMS.iter().find(|r| r.0 == room) else {
            faults.push(format!("{path}: room `{room}` is not on the map"));
            continue;
        };
        let code = code_of(&text);
        for (number, other, rest) in mentioned_rooms(&path, &code) {
            let everybodys =
                ["model", "ledger"].contains(&other) && !["model", "ledger"].contains(&room);
            let allowed = other == room
                || everybodys
                // nothing is built on the command line
                || rooms.contains(&"*") && other != "cli"
                || rooms.contains(&other)
                || rooms.contains(&"*settings") && is_setting(other, rest);
            if !allowed {
                faults.push(format!(
                    "{path}:{number}: room `{room}` may not import `{other}`"
                ));
            }
            used.insert((room.to_owned(), other.to_owned()));
        }
        for name in crates.iter().filter(|_| !outside.contains(&"*")) {
            let at = mentions_of_crate(&code, name);
            if let (Some(at), false) = (at, outside.contains(&name.as_str())) {
                let number = line_of(&code, at);
                faults.push(format!(
                    "{path}:{number}: room `{room}` may not use the crate `{name}`"
                ));
            }
            if at.is_some() {
                used.insert((room.to_owned(), name.clone()));
            }
        }
    }
    for (room, rooms, outside) in ROOMS {
        for grant in rooms.iter().chain(*outside) {
            let everyday = grant.starts_with('*') || EVERYDAY.contains(grant);
            if !everyday && !used.contains(&((*room).to_owned(), (*grant).to_owned())) {
                faults.push(format!("`{room}` is granted `{grant}` and does not use it"));
            }
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

#[test]
fn an_import_is_seen_however_it_is_written() {
    let rooms = |path: &str, code: &str| -> Vec<(usize, String, String)> {
        let found = mentioned_rooms(path, code);
        let owned = |(n, room, rest): (usize, &str, &str)| (n, room.to_owned(), rest.to_owned());
        found.into_iter().map(owned).collect()
    };
    let all = |path: &str, code: &str| -> Vec<String> {
        rooms(path, code)
            .into_iter()
            .map(|(_, room, _)| room)
            .collect()
    };
    assert_eq!(all("src/batch/a.rs", "use crate::sink::Error;"), ["sink"]);
    assert_eq!(
        all(
            "src/batch/a.rs",
            "use crate::{sink, decode::{self, shard}};"
        ),
        ["sink", "decode"]
    );
    let lines = "use crate::{\n    model::Addr,\n    sink::{\n        Error, spool::{Mode, Spool},\n    },\n    decode,\n};\n";
    let found = rooms("src/batch/a.rs", lines);
    let places: Vec<_> = found.iter().map(|(n, room, _)| (*n, &room[..])).collect();
    assert_eq!(places, [(2, "model"), (3, "sink"), (6, "decode")]);
    assert_eq!(
        all(
            "src/batch/a.rs",
            "let x = f(crate::sink::x, crate::decode::y);"
        ),
        ["sink", "decode"]
    );
    assert_eq!(
        all("src/batch/a.rs", "use super::super::sink::Error;"),
        ["sink"]
    );
    assert_eq!(
        all("src/batch/mod.rs", "use super::{sink::Error, decode};"),
        ["sink", "decode"]
    );
    assert_eq!(
        all("src/batch/sink/a.rs", "use super::super::sink::b;"),
        [""; 0],
        "a file of its own"
    );

    let settings = "use crate::{enrich};\nfn f() -> enrich::Settings { enrich::Tables::new() }";
    let found = rooms("src/config/a.rs", settings);
    let rest: Vec<_> = found
        .iter()
        .map(|(_, room, rest)| is_setting(room, rest))
        .collect();
    assert_eq!(rest, [true, true, false]);

    assert!(mentions_of_crate("let a = x::serde::y(serde::z);", "serde").is_some());
    assert!(mentions_of_crate("let a = crate::serde::y(my_serde::z);", "serde").is_none());
    assert!(mentions_of_crate("use libc;", "libc").is_some());
    assert!(mentions_of_crate("use {libc as c, std::fmt};", "libc").is_some());
    assert!(mentions_of_crate("fn f(libc: u8) {}", "libc").is_none());
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
    for (room, rooms, crates) in ROOMS {
        let begin = format!("| `{room}` |");
        let row = text.lines().find(|l| l.starts_with(&begin));
        let row = row.unwrap_or_else(|| panic!("CONTRIBUTING.md does not have the room `{room}`"));
        let cells: Vec<_> = row.split('|').collect();
        let missing = |name: &str, cell: &str| {
            let hasher = ["hashbrown", "foldhash"].contains(&name) && cell.contains("a hasher");
            let everyday = EVERYDAY.contains(&name) || name.starts_with('*');
            let dashed = match name {
                "md5" => "md-5".to_owned(),
                _ => name.replace('_', "-"),
            };
            let named = cell.contains(name) || cell.contains(&dashed);
            !everyday && !hasher && !named
        };
        let rooms = rooms.iter().filter(|name| missing(name, cells[3]));
        let crates = crates.iter().filter(|name| missing(name, cells[4]));
        let all: Vec<_> = rooms.chain(crates).collect();
        assert!(all.is_empty(), "the row of `{room}` lacks {all:?}");
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

/// The text before the tests with comments left out; lines keep their numbers.
fn code_of(text: &str) -> String {
    let mut code = String::new();
    for line in text.lines().take_while(|l| !l.starts_with("mod tests")) {
        if !line.trim_start().starts_with("//") {
            code.push_str(line);
        }
        code.push('\n');
    }
    code
}

fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// Rooms that a file names by a path from the crate's root, or by a module that it imported from there: the line, the
/// room, and the path behind it.
fn mentioned_rooms<'a>(path: &str, code: &'a str) -> Vec<(usize, &'a str, &'a str)> {
    let depth = path.split('/').count() - 1 - usize::from(path.ends_with("/mod.rs"));
    let root = "super::".repeat(depth);
    let mut found = vec![];
    for (at, mark) in code
        .match_indices("crate::")
        .chain(code.match_indices(&root))
    {
        if !code[..at].ends_with(is_path) {
            named(code, at + mark.len(), &mut found);
        }
    }
    let modules: BTreeSet<&str> = found
        .iter()
        .filter(|f| f.2.is_empty())
        .map(|f| f.1)
        .collect();
    for module in modules {
        for (at, _) in code.match_indices(&format!("{module}::")) {
            if !code[..at].ends_with(is_path) {
                named(code, at, &mut found);
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    let known = |room: &str| ROOMS.iter().any(|r| r.0 == room);
    let place = |(at, room, rest)| (line_of(code, at), room, rest);
    found
        .into_iter()
        .filter(|f| known(f.1))
        .map(place)
        .collect()
}

/// The first names of the path, or of the paths in braces, that begin here, with what follows them.
fn named<'a>(code: &'a str, at: usize, found: &mut Vec<(usize, &'a str, &'a str)>) {
    let name = |at: usize| {
        let text = &code[at..];
        let end = |t: &str, f: fn(char) -> bool| t.find(|c| !f(c)).unwrap_or(t.len());
        let first = &text[..end(text, |c| c.is_alphanumeric() || c == '_')];
        let rest = text[first.len()..].strip_prefix("::").unwrap_or_default();
        (at, first, &rest[..end(rest, is_path)])
    };
    if !code[at..].starts_with('{') {
        found.push(name(at));
        return;
    }
    let (mut depth, mut fresh) = (0, false);
    for (n, c) in code[at..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ if depth == 1 && fresh && is_path(c) => found.push(name(at + n)),
            _ => {}
        }
        fresh = depth == 1 && (matches!(c, '{' | ',') || fresh && c.is_whitespace());
        if depth == 0 {
            return;
        }
    }
}

fn is_path(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == ':'
}

/// Whether what is named of a room is the room itself, or a setting of it.
fn is_setting(room: &str, rest: &str) -> bool {
    let name = format!("{room}::{rest}");
    rest.is_empty() || rest.contains("ettings") || SETTINGS.contains(&name.as_str())
}

/// Where a crate is named: at the begin of a path, or imported whole.
fn mentions_of_crate(code: &str, name: &str) -> Option<usize> {
    let free = |at: &usize| !code[..*at].ends_with(is_path);
    let paths = code.match_indices(name).map(|(at, _)| at).filter(free);
    let whole = |at: &usize| {
        let rest = &code[at + name.len()..];
        let statement = code[..*at].rfind(['\n', ';']).map_or(0, |n| n + 1);
        let imported = code[statement..*at].trim_start().starts_with("use ");
        rest.starts_with("::") || imported && !rest.starts_with(is_path)
    };
    paths.filter(whole).min()
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

/// Name, first line and length of every function: from its `fn` to the closing brace of the same indent.
fn functions(text: &str) -> Vec<(String, usize, usize)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut found = vec![];
    for (i, line) in lines.iter().enumerate() {
        let trimmed = line.trim_start();
        let Some(at) = trimmed.find("fn ") else {
            continue;
        };
        // a declaration, or a body on the same line
        if trimmed.ends_with([';', '}']) {
            continue;
        }
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
