//! The transcript in `docs/detections.md`: one incident from its packets to its end, as somebody works through it. What stands there is what the
//! commands say; times, durations and ids are those of the run that wrote it (`FLOWHOUSE_GOLDEN=write cargo test --test it transcript::`).

use crate::detections::json;
use crate::harness::{Store, configure, directory, exe, run};
use std::path::Path;
use std::process::Command;

const DOCS: &str = "docs/detections.md";
const BEGIN: &str = "```\n$ flowhouse replay";

/// A packet of TCP over IPv4, with right checksums where they matter here: that of the IP header.
fn packet(src: [u8; 4], dst: [u8; 4], ports: [u16; 2], flags: u8) -> Vec<u8> {
    let mut p = vec![0x45, 0, 0, 40, 0, 1, 0x40, 0, 64, 6, 0, 0];
    p.extend(src);
    p.extend(dst);
    let words = p
        .chunks(2)
        .map(|w| u32::from(u16::from_be_bytes([w[0], w[1]])));
    let sum: u32 = words.sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    p[10..12].copy_from_slice(&sum.to_be_bytes());
    p.extend(ports.iter().flat_map(|n| n.to_be_bytes()));
    p.extend([0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 4, 0, 0, 0, 0, 0]);
    p
}

/// 10.1.2.3 tries 200 ports of 192.0.2.7 within 10 s; three of them are open.
fn scan(file: &Path) {
    let (scanner, target) = ([10, 1, 2, 3], [192, 0, 2, 7]);
    let mut pcap: Vec<u8> = vec![];
    let head: [u32; 6] = [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65_535, 101];
    pcap.extend(head.iter().flat_map(|w| w.to_le_bytes()));
    let mut put = |at_us: u32, bytes: &[u8]| {
        let length = bytes.len() as u32;
        let words = [
            1_700_000_000 + at_us / 1_000_000,
            at_us % 1_000_000,
            length,
            length,
        ];
        pcap.extend(words.iter().flat_map(|w| w.to_le_bytes()));
        pcap.extend(bytes);
    };
    for port in 1..=200_u16 {
        let (at, from) = (u32::from(port) * 50_000, 40_000 + port);
        let is_open = [22, 80, 179].contains(&port);
        put(at, &packet(scanner, target, [from, port], 0x02));
        let answer = if is_open { 0x12 } else { 0x14 };
        put(at + 200, &packet(target, scanner, [port, from], answer));
        if is_open {
            put(at + 400, &packet(scanner, target, [from, port], 0x04));
        }
    }
    std::fs::write(file, pcap).expect("written");
}

/// What somebody types, with `ID` for the first digits of the incident.
const COMMANDS: &[&str] = &[
    "flowhouse replay --as packets scan.pcap --store http://127.0.0.1:8123",
    "flowhouse detections list",
    "flowhouse detections show ID",
    "flowhouse detections ack ID --who ann --why 'asking the owner of 10.1.2.3'",
    "flowhouse detections true ID --who ann --why 'nobody ordered that scan'",
    "flowhouse hunt --indicator iocs.txt",
    "flowhouse hunt --rule 'alert tcp 10.1.2.3 any -> any 22 (msg:\"SSH of the scanner\"; sid:1;)'",
    "flowhouse detections close ID --who ann --why 'host isolated and rebuilt, case 815'",
    "flowhouse detections history ID",
];

/// The words of a command line; quotes hold words together.
fn words(line: &str) -> Vec<String> {
    let parts = line.split('\'').enumerate();
    let words = parts.flat_map(|(n, part)| match n % 2 {
        0 => part.split_whitespace().map(str::to_owned).collect(),
        _ => vec![part.to_owned()],
    });
    words.collect()
}

/// Long tables and the columns of the query cut short.
fn cut(text: &str) -> String {
    let (mut out, mut rows): (Vec<&str>, Option<usize>) = (vec![], None);
    for line in text.lines() {
        match rows {
            _ if line.starts_with("Flows ") => rows = Some(0),
            Some(_) if line.is_empty() => rows = None,
            Some(n) => rows = Some(n + 1),
            None => {}
        }
        match rows {
            Some(4) => out.push("[...]"),
            Some(n) if n > 4 => {}
            _ if line.starts_with("SELECT ") => out.push("SELECT [...]"),
            _ if line.starts_with("    ") && !line.starts_with("    AND") => {}
            _ => out.push(line.trim_end()),
        }
    }
    out.join("\n")
}

/// A text without what is of one run: times and ids.
fn masked(text: &str, id: &str) -> String {
    let text = text.replace(id, "ID").replace(&id[..4], "ID");
    let mut out = String::new();
    for line in text.lines() {
        let line: Vec<String> = line
            .split_whitespace()
            .map(
                |word| match word.bytes().filter(u8::is_ascii_digit).count() {
                    6.. if word.contains("from=") => {
                        word.split("from=").next().unwrap_or_default().to_owned()
                    }
                    6.. if word.matches('-').count() == 2 || word.matches(':').count() == 2 => {
                        word.replace(|c: char| c.is_ascii_digit(), "0")
                    }
                    _ => word.to_owned(),
                },
            )
            .collect();
        // tables are as wide as what is in them
        let line = line.join(" ").replace('-', "");
        out += &line;
        out.push('\n');
    }
    out
}

/// What the commands say, and the id.
fn transcript() -> (String, String) {
    let dir = directory();
    let store = Store::start(dir.path());
    let more = "[notify]\ngrafana_url = \"https://grafana.example\"\n";
    let config = configure(dir.path(), &(store.config() + more));
    run(Command::new(exe())
        .args(["schema", "apply", "-c"])
        .arg(&config));
    scan(&dir.path().join("scan.pcap"));
    std::fs::write(
        dir.path().join("iocs.txt"),
        "192.0.2.7 # ours\nevil.example\n",
    )
    .expect("written");
    let (mut all, mut id) = (String::new(), "none".to_owned());
    for line in COMMANDS {
        let line = line.replace("ID", &id[..4]);
        let typed = words(&line);
        let place = format!("http://{}", store.address);
        let arguments = typed[1..].iter().map(|w| {
            if w == "http://127.0.0.1:8123" {
                place.clone()
            } else {
                w.clone()
            }
        });
        let mut command = Command::new(exe());
        command.args(arguments).arg("-c").arg(&config);
        let out = command.current_dir(dir.path()).output().expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (said, noted) = (text(&out.stdout), text(&out.stderr));
        assert!(out.status.success(), "{line}: {noted}");
        let said = match typed[1].as_str() {
            "replay" => noted
                .lines()
                .chain(said.lines())
                .filter(|l| l.contains("rows are in"))
                .collect::<Vec<_>>()
                .join("\n")
                .replace(&place, "http://127.0.0.1:8123"),
            _ => cut(said.trim_end()),
        };
        all += &format!("$ {line}\n{said}\n\n");
        if id == "none" {
            let list = json(&config, &["list"]);
            id = list[0]["id"].as_str().expect("one incident").to_owned();
        }
    }
    (all.trim_end().to_owned(), id)
}

#[test]
fn the_transcript_of_the_docs_is_what_is_said() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(DOCS);
    let docs = std::fs::read_to_string(&file).expect("the docs");
    let begin = docs.find(BEGIN).expect("a transcript") + 4;
    let end = begin + docs[begin..].find("\n```").expect("its end");
    let (said, id) = transcript();
    if std::env::var_os("FLOWHOUSE_GOLDEN").is_some_and(|v| v == "write") {
        let text = format!("{}{said}{}", &docs[..begin], &docs[end..]);
        std::fs::write(&file, text).expect("written");
        return;
    }
    let there = &docs[begin..end];
    let list = there.split("$ flowhouse detections list\n").nth(1);
    let of_docs = list.and_then(|l| l.lines().nth(1)?.split_whitespace().next());
    let of_docs = of_docs.expect("an id");
    assert_eq!(masked(there, of_docs), masked(&said, &id), "{said}");
}
