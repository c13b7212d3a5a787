//! Detectors against the captures of `behaviour`: every attack that must be found is found once, about the right host; nothing is
//! found in ordinary traffic; and the number of shards makes no difference.

mod apart;
mod attacks;
mod calm;
mod doors;
mod doubts;
mod exported;
mod floods;
mod limits;
mod lists;
mod order;
mod rules;
mod scenarios;
mod slow;
mod stored;
mod weeks;
mod wire;

use crate::harness::{corpus, directory, exe, run};
use attacks::Scene;
use flowhouse::detect::anomaly::{Detectors, Seen, Settings};
use flowhouse::model::{Addr, Detection};
use scenarios::{Attack, INSIDE, STRIKE_MS};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// What a replay of a capture finds, as text and as lines.
fn found(capture: &Path, shards: &str) -> (String, Vec<Value>) {
    found_by(capture, shards, "packets")
}

/// The same of what is in it: packets, or what an exporter sent.
fn found_by(capture: &Path, shards: &str, what: &str) -> (String, Vec<Value>) {
    let dir = directory();
    let done = Command::new(exe())
        .args(["replay", "--as", what, "--shards", shards, "--out"])
        .args([dir.path(), capture])
        .output()
        .expect("replay runs");
    assert!(done.status.success(), "{}", capture.display());
    let text = fs::read_to_string(dir.path().join("detections.ndjson")).expect("detections");
    let lines = text.lines().map(|l| serde_json::from_str(l).expect("JSON"));
    let lines = lines.collect();
    (text, lines)
}

/// Addresses of which one, or all of a pair, must be what the detection is about.
fn entity_of(expected: &Value) -> Vec<&str> {
    if let Some(pair) = expected["pair"].as_array() {
        return pair.iter().filter_map(Value::as_str).collect();
    }
    let victim = expected["find"]
        .as_str()
        .is_some_and(|f| f.contains("flood"));
    let key = if victim { "target" } else { "source_address" };
    expected[key].as_str().into_iter().collect()
}

#[test]
fn attacks_are_found_and_ordinary_traffic_is_silent() {
    let Some(corpus) = corpus() else { return };
    let text = fs::read_to_string(corpus.join("behaviour/expect.jsonl")).expect("expectations");
    let mut faults = vec![];
    for line in text.lines() {
        let expected: Value = serde_json::from_str(line).expect("JSON");
        let file = expected["file"].as_str().expect("a file");
        let (one, detections) = found(&corpus.join(file), "1");
        if one != found(&corpus.join(file), "4").0 {
            faults.push(format!("{file}: 1 and 4 shards differ"));
        }
        let kinds: Vec<&str> = detections
            .iter()
            .filter_map(|d| d["kind"].as_str())
            .collect();
        if expected["must_be_silent"] == true && !kinds.is_empty() {
            faults.push(format!("{file}: {kinds:?} in ordinary traffic"));
        }
        if expected["must"] != true {
            continue;
        }
        let right = detections.iter().filter(|d| d["kind"] == expected["find"]);
        let right: Vec<&Value> = right.collect();
        let [only] = right[..] else {
            faults.push(format!(
                "{file}: {} wanted once, {kinds:?} found",
                expected["find"]
            ));
            continue;
        };
        let entity = only["entity"]["value"].as_str().unwrap_or_default();
        if !entity_of(&expected).iter().all(|a| entity.contains(a)) {
            faults.push(format!("{file}: it is about {entity}"));
        }
        let evidence = &only["evidence"];
        if evidence["figures"].as_array().is_none_or(Vec::is_empty)
            || evidence["counterfactual"]
                .as_str()
                .is_none_or(str::is_empty)
        {
            faults.push(format!("{file}: nothing says why"));
        }
        let is_of_arp = expected["find"].as_str().is_some_and(|f| f.contains("arp"));
        if !is_of_arp && evidence["flows"].as_array().is_none_or(Vec::is_empty) {
            faults.push(format!("{file}: no flow shows it"));
        }
    }
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// What detectors find in a scene.
fn judged(scene: Scene, settings: &Settings) -> Vec<Detection> {
    let mut detectors = Detectors::new(settings).expect("settings");
    let mut found = BTreeMap::new();
    let mut take = |detectors: &mut Detectors| {
        for d in detectors.take() {
            found.insert(d.id, d);
        }
    };
    for sighting in scene.sightings() {
        detectors.observe(&sighting);
        take(&mut detectors);
    }
    detectors.finish();
    take(&mut detectors);
    found.into_values().collect()
}

/// Found in how many of the runs, with how many incidents too many, and the seconds to the first word.
#[derive(Default)]
struct Score {
    found: usize,
    extra: usize,
    seconds: Vec<i64>,
}

const SEEDS: u64 = 3;

fn score(attack: &Attack, interval: u32) -> Score {
    let mut score = Score::default();
    for seed in 1..=SEEDS {
        let mut scene = Scene::new(seed, interval);
        let mut settings = Settings::default();
        (attack.tune)(&mut settings);
        (attack.background)(&mut scene);
        (attack.inject)(&mut scene);
        let found = judged(scene, &settings);
        let is_it = |d: &&Detection| {
            let right = d.kind.name() == attack.kind && d.entity.addr() == Some(attack.entity);
            // what was there before is something else
            right && d.last_ms >= attack.strike_ms
        };
        if std::env::var_os("FLOWHOUSE_SHOW").is_some() {
            let beside = found.iter().filter(|d| !is_it(d));
            beside.for_each(|d| {
                eprintln!("{}, 1:{interval}: {} {}", attack.name, d.title, d.detector)
            });
        }
        if let Some(d) = found.iter().find(is_it) {
            score.found += 1;
            score
                .seconds
                .push((d.detected_ms - attack.strike_ms).max(0) / 1000);
        }
        score.extra += found.iter().filter(|d| !is_it(d)).count();
    }
    score.seconds.sort_unstable();
    score
}

/// Whether samples cannot show an attack: so few of its packets are seen that nothing is concluded of them, or it is told by answers
/// and by sessions, of which a few packets say nothing. The evidence of what is found in such rows says so, too (`blind`).
fn is_blind(attack: &Attack, interval: u32) -> bool {
    const SAMPLES_MIN: u64 = 10;
    const BY_ANSWERS: [&str; 7] = [
        "port_scan_udp",
        "host_sweep_udp",
        "brute_force",
        "password_spray",
        "beacon",
        "lateral_movement",
        "new_service",
    ];
    let samples = (1..=SEEDS).map(|seed| {
        let mut scene = Scene::new(seed, interval);
        (attack.inject)(&mut scene);
        let seen = scene.seen.iter().map(|(_, seen)| match seen {
            Seen::Flow(f) => f.packets,
            _ => 0,
        });
        seen.sum::<u64>()
    });
    let few = samples.sum::<u64>() < SAMPLES_MIN * SEEDS;
    interval > 1 && (few || BY_ANSWERS.contains(&attack.kind))
}

/// The table of `docs/detection-quality.md`.
fn quality() -> String {
    let mut table = String::from(QUALITY);
    // runs, found, found beside it, runs that samples can show; by sampling
    let mut sums = [[0; 4]; 3];
    for attack in scenarios::all() {
        let intervals: &[u32] = if attack.in_rows {
            &[1, 100, 1000]
        } else {
            &[1]
        };
        let mut cells = vec![];
        let mut extra = 0;
        for (sum, &interval) in sums.iter_mut().zip(intervals) {
            let score = score(&attack, interval);
            let runs = SEEDS as usize;
            let is_blind = score.found == 0 && is_blind(&attack, interval);
            let shown = if is_blind { 0 } else { runs };
            for (sum, more) in sum.iter_mut().zip([runs, score.found, score.extra, shown]) {
                *sum += more;
            }
            let time = score.seconds.get(score.seconds.len() / 2);
            let time = time.map_or(String::new(), |s| format!(", {s} s"));
            cells.push(match is_blind {
                true => "blind".to_owned(),
                false => format!("{} of {SEEDS}{time}", score.found),
            });
            extra += score.extra;
        }
        cells.resize(3, "-".to_owned());
        table += &format!(
            "| {} | `{}` | {} | {extra} |\n",
            attack.name,
            attack.kind,
            cells.join(" | ")
        );
    }
    table += "\n| | every packet | 1:100 | 1:1000 |\n| --- | --- | --- | --- |\n";
    let rate = |part: usize, whole: usize| format!("{:.3}", part as f64 / whole.max(1) as f64);
    let recall = sums.map(|[runs, found, ..]| rate(found, runs));
    let shown = sums.map(|[_, found, _, shown]| rate(found, shown));
    let precision = sums.map(|[_, found, extra, _]| rate(found, found + extra));
    table += &format!("| recall | {} |\n", recall.join(" | "));
    table += &format!(
        "| recall of what samples can show | {} |\n",
        shown.join(" | ")
    );
    table += &format!("| precision | {} |\n", precision.join(" | "));
    let quiet = [1, 100, 1000].map(|interval| {
        let runs = (1..=SEEDS).map(|seed| {
            let mut scene = Scene::new(seed, interval);
            scene.office(200);
            judged(scene, &Settings::default()).len()
        });
        runs.sum::<usize>().to_string()
    });
    let quiet = quiet.join(", ");
    let weeks: usize = (1..=SEEDS)
        .map(|seed| {
            let mut scene = Scene::new(seed, 1);
            weeks::ordinary(&mut scene);
            judged(scene, &Settings::default()).len()
        })
        .sum();
    let work: usize = (1..=SEEDS)
        .flat_map(|seed| calm::WORK.iter().map(move |w| calm::found(w, seed).len()))
        .sum();
    let kinds = calm::WORK.len();
    table
        + &format!(
            "\nOrdinary traffic alone (200 hosts, ten minutes, {SEEDS} seeds; every packet, 1:100, 1:1000): {quiet} incidents; three weeks of \
             two exporters, with nights, weekends, a backup each night and an administrator: {weeks}; {kinds} kinds of ordinary work that look like \
             attacks (git and checks over SSH, cameras, management of hosts, calls, polls, routers, resolvers): {work}.\n"
        )
}

#[test]
fn what_is_written_of_quality_is_what_is_measured() {
    let measured = quality();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/detection-quality.md");
    if std::env::var_os("FLOWHOUSE_GOLDEN").is_some_and(|v| v == "write") {
        fs::write(&path, &measured).expect("written");
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, measured, "FLOWHOUSE_GOLDEN=write makes it anew");
}

/// The head of the table.
const QUALITY: &str = "# Quality of detection

Made by `FLOWHOUSE_GOLDEN=write cargo test --test it behaviour::`, which also holds it against the code. Each attack is put into ten minutes of made-up office traffic
(20 hosts: pages, names, time; one connection in twenty fails), or into weeks of two exporters where a baseline is needed, with three
seeds, at default settings (rules of policy set as the name says). A cell says in how many of the runs the attack was found
with the right kind about the right host, and the median time from its first packet to the first word; `-` where rows of exporters cannot show it, and `blind` where sampled ones cannot: fewer than ten packets of it were seen, or it is told by
answers and sessions, of which a few packets say nothing. The last column
counts incidents beside the right one, over all cells; many of them are true as well (an upload after a beacon), and count against precision all the same. \"1:100\" and \"1:1000\" are rows of an exporter that samples one packet in so many.

On the real captures of `behaviour` (23 attacks, 38 of ordinary traffic) every attack that has to be found is found once, and nothing is found in ordinary traffic:
the test `attacks_are_found_and_ordinary_traffic_is_silent`.

| Attack | Kind | every packet | 1:100 | 1:1000 | beside it |
| --- | --- | --- | --- | --- | --- |
";

/// Rows and packets of a spoofed flood that goes to a host, to its network, and to others, with attackers inside who take their time.
#[test]
fn a_flood_of_invented_sources_hides_nobody() {
    const SECONDS: i64 = 600;
    const A_SECOND: i64 = 500;
    let mut scene = Scene::new(11, 1);
    let hidden = [
        "SYN sweep of 40 hosts, one in five minutes",
        "SSH guesses, 60 sessions",
        "beacon, 60 s, no jitter, 30 calls",
    ];
    let attacks = scenarios::all();
    let hidden: Vec<&Attack> = attacks
        .iter()
        .filter(|a| hidden.contains(&a.name))
        .collect();
    hidden.iter().for_each(|a| (a.inject)(&mut scene));
    let mut detectors = Detectors::new(&Settings::default()).expect("defaults");
    let mut waiting = scene.clone().sightings().into_iter().peekable();
    let mut found = vec![];
    for second in 0..SECONDS {
        let mut flood = Scene::new(second as u64 + 1, 1);
        for n in 0..A_SECOND {
            let word = flood.dice.next();
            let src = attacks::ip(
                1 + (word % 120) as u8,
                (word >> 8) as u8,
                (word >> 16) as u8,
                (word >> 24) as u8,
            );
            let dst = attacks::ip(10, 1, 0, if n % 4 == 0 { (word >> 40) as u8 } else { 80 });
            let at_ms = STRIKE_MS + second * 1_000 + n;
            flood.burst(
                at_ms,
                flowhouse::detect::anomaly::BurstKind::Syn,
                [(src, 0), (dst, 80)],
                1,
                44,
            );
            flood.syn(at_ms, src, dst, 80);
        }
        for sighting in flood.sightings() {
            while let Some(earlier) = waiting.next_if(|w| w.now_ms <= sighting.now_ms) {
                detectors.observe(&earlier);
            }
            detectors.observe(&sighting);
        }
        found.extend(detectors.take());
    }
    waiting.for_each(|w| detectors.observe(&w));
    detectors.finish();
    found.extend(detectors.take());
    for attack in hidden {
        let is_it =
            |d: &Detection| d.kind.name() == attack.kind && d.entity.addr() == Some(attack.entity);
        assert!(found.iter().any(is_it), "{} is not found", attack.name);
    }
    assert!(found.iter().any(|d| d.kind.name() == "syn_flood"));
    let most = Detectors::memory_max(&Settings::default());
    assert!(most < 200 << 20, "{most} bytes");
}

/// One source that looks around, guesses, moves on and takes away is one incident, whose steps say that they are part of it.
#[test]
fn a_chain_is_one_incident() {
    let mut scene = Scene::new(5, 1);
    scene.office(20);
    let (server, outside) = (scenarios::SERVER, scenarios::OUTSIDE);
    for n in 0..60 {
        scene.syn(STRIKE_MS + 50 * n, INSIDE, server, 1 + n as u16);
    }
    let mut session = |at_ms, dst, port, packets: u64, bytes, back| {
        scene.tcp(attacks::Tcp {
            at_ms,
            src: INSIDE,
            dst,
            port,
            packets,
            bytes,
            back,
            life_ms: 2_500,
            handshake: flowhouse::model::Handshake::Complete,
        });
    };
    for n in 0..30 {
        session(STRIKE_MS + 60_000 + 3_000 * n, server, 22, 22, 3_700, 3_700);
    }
    for n in 0..20 {
        let dst = attacks::ip(10, 0, 3, n as u8);
        session(STRIKE_MS + 200_000 + 5_000 * n, dst, 445, 40, 9_000, 12_000);
    }
    for n in 0..20 {
        session(
            STRIKE_MS + 400_000 + 5_000 * n,
            outside,
            443,
            7_000,
            10_000_000,
            100_000,
        );
    }
    let found = judged(scene, &Settings::default());
    let chains: Vec<&Detection> = found
        .iter()
        .filter(|d| d.kind.name() == "attack_chain")
        .collect();
    let [chain] = chains[..] else {
        panic!("{found:#?}");
    };
    assert_eq!(chain.entity.addr(), Some(INSIDE));
    let steps = &chain.evidence.steps;
    let at = |kind: &str| {
        let at = steps.iter().position(|s| s.kind.name() == kind);
        at.unwrap_or_else(|| panic!("{kind} is no step: {steps:?}"))
    };
    let upload = at("large_upload");
    assert_eq!(at("port_scan"), 0, "{steps:?}");
    assert!(at("brute_force") < upload && at("lateral_movement") < upload);
    assert!(steps.is_sorted_by_key(|s| s.first_ms));
    assert_eq!(chain.count, steps.len() as u64);
    assert_eq!(chain.attack.first().map(|a| &**a), Some("T1046"));
    let has = |id: &str| chain.attack.iter().any(|a| a == id);
    assert!(has("T1110.001") && has("T1567"));
    // whatever else there is belongs to it, and it goes on as long as they do
    let beside: Vec<&Detection> = found.iter().filter(|d| d.id != chain.id).collect();
    assert_eq!(beside.len(), steps.len());
    for step in &beside {
        assert_eq!(step.evidence.part_of, Some(chain.id), "{}", step.title);
        assert!(step.first_ms >= chain.first_ms && step.last_ms <= chain.last_ms);
    }
    assert_eq!(chain.evidence.part_of, None);
    // it names everybody that its steps name, and they name everybody that was reached
    assert!(
        beside
            .iter()
            .all(|s| s.peers.iter().all(|p| chain.peers.contains(p)))
    );
    let reached = (0..20).map(|n| attacks::ip(10, 0, 3, n));
    let reached: Vec<Addr> = reached.collect();
    let moved = beside.iter().find(|d| d.kind.name() == "lateral_movement");
    let moved = moved.expect("a fan-out");
    assert_eq!((&moved.peers, moved.peers_total), (&reached, 20));
    assert_eq!(moved.count, 20);
    assert!(chain.peers_total >= 22, "{}", chain.peers_total);
    // of each step it shows a flow
    let shows = |step: &Detection| {
        let flows = chain.evidence.flows.iter();
        flows.filter(|f| step.evidence.flows.contains(f)).count()
    };
    assert!(beside.iter().all(|step| shows(step) > 0), "{chain:#?}");
    assert_eq!(chain.evidence.flows.len(), steps.len());
}

/// Of sampled packets an answer is mostly missing, and one packet stands for a thousand.
#[test]
fn ordinary_traffic_is_silent_however_it_is_sampled() {
    let dir = directory();
    let (pcap, out) = (dir.path().join("calm.pcap"), dir.path().join("out"));
    let mut found = vec![];
    for protocol in ["v9", "ipfix", "sflow"] {
        for sampling in ["10", "100", "1000"] {
            let mut generate = Command::new(exe());
            // 50 rows a second of so few packets are a network of 50,000 packets a second
            let size = ["--flows", "6000", "--rate", "50", "--seed", "5"];
            generate.args(["generate", "--answered"]).args(size);
            generate.args(["--protocol", protocol, "--sampling", sampling, "--pcap"]);
            run(generate.arg(&pcap));
            run(Command::new(exe())
                .arg("replay")
                .arg("--out")
                .arg(&out)
                .arg(&pcap));
            let detections = fs::read_to_string(out.join("detections.ndjson")).expect("written");
            let first = detections.lines().next().map(str::to_owned);
            found.extend(first.map(|line| format!("{protocol}, 1:{sampling}: {line}")));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// What a host sends every night is usual from the second week on, also where what comes back is a row of its own.
#[test]
fn a_backup_that_comes_every_night_is_told_in_the_first_week_alone() {
    const DAY_MS: i64 = 86_400_000;
    for tell in [Scene::tcp, Scene::tcp_exported] {
        let mut scene = Scene::new(3, 1);
        for hour in 0..21 * 24 {
            let session = attacks::Tcp {
                at_ms: attacks::BEGIN_MS + 3_600_000 * hour,
                src: INSIDE,
                dst: attacks::ip(203, 0, 113, 9),
                port: 443,
                packets: 100_000,
                bytes: if hour % 24 == 2 {
                    300_000_000
                } else {
                    2_000_000
                },
                back: 3_000_000,
                life_ms: 600_000,
                handshake: flowhouse::model::Handshake::Complete,
            };
            tell(&mut scene, session);
        }
        let found = judged(scene, &Settings::default());
        let late = attacks::BEGIN_MS + 8 * DAY_MS;
        let uploads = |d: &&Detection| ["large_upload", "exfiltration"].contains(&d.kind.name());
        assert!(found.iter().filter(uploads).count() >= 5);
        let after: Vec<_> = found
            .iter()
            .filter(uploads)
            .filter(|d| d.first_ms > late)
            .collect();
        assert!(after.is_empty(), "{after:?}");
    }
}
