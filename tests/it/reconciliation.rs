//! Flows beside what interfaces counted: generated exporters with one fault each, counters that are made from the same flows,
//! and what the view, `top` and the metrics say of them. Everything goes the way of real data: capture, replay, engine.

use crate::harness::{Collector, Sql, Store, directory, eventually, exe, on_a_terminal, run};
use flowhouse::generate::{Export, Exporter, Habits, Profile};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// The interface that is looked at: an uplink of the generator's edge switch.
const IF: u32 = 49;
const HOUR: i64 = 3_600;
/// Every flow: enough of them that none matters much.
const PACKETS: u64 = 1_000;
const BYTES: u64 = 800_000;

/// What is wrong with an exporter.
#[derive(Clone, Copy, Default)]
struct Fault {
    /// Last byte of its address.
    number: u8,
    /// What it tells of its sampling.
    told: u32,
    /// 1 in so many packets is seen: counters are so many times higher.
    sampled: u64,
    /// A second process exports everything, too.
    twice: bool,
    /// Flows do not say where they went out.
    ingress_only: bool,
    /// So many of ten datagrams never arrive.
    lost: u64,
    /// Life of each flow, seconds; 0: the generator's.
    life: i64,
    /// Who counts: `sflow` or `snmp`, with 32 bits or 64, and whether it was restarted in the middle.
    snmp: bool,
    narrow: bool,
    restarted: bool,
    /// The counters never move.
    still: bool,
}

/// Bytes a second on both sides of the interface.
struct Wire {
    from: i64,
    gained: [Vec<f64>; 2],
}

impl Wire {
    fn new(from: i64, to: i64) -> Wire {
        let seconds = (to - from) as usize + 2;
        Wire {
            from,
            gained: [vec![0.0; seconds], vec![0.0; seconds]],
        }
    }

    /// A flow's bytes, evenly over its life.
    fn carry(&mut self, side: usize, start: i64, end: i64, bytes: f64) {
        let seconds = (end - start).max(1);
        let last = self.gained[side].len() as i64 - 1;
        let at = |t: i64| (t - self.from).clamp(0, last) as usize;
        let (from, to) = (at(start), at(start + seconds));
        self.gained[side][from] += bytes / seconds as f64;
        self.gained[side][to] -= bytes / seconds as f64;
    }

    /// The running totals every 30 seconds up to `to`.
    fn totals(&self, to: i64) -> Vec<(i64, u64, u64)> {
        let (mut rate, mut total, mut rows) = ([0.0; 2], [0.0; 2], vec![]);
        for second in self.from..to {
            if (second - self.from) % 30 == 0 {
                rows.push((second, total[0] as u64, total[1] as u64));
            }
            for side in [0, 1] {
                rate[side] += self.gained[side][(second - self.from) as usize];
                total[side] += rate[side];
            }
        }
        rows
    }
}

/// A capture of several exporters, and what their interfaces counted.
struct World {
    capture: Vec<u8>,
    counters: String,
    now: i64,
}

impl World {
    fn new() -> World {
        let header = [
            0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 1, 0, 0,
            0,
        ];
        World {
            capture: header.into(),
            counters: String::new(),
            now: flowhouse::sink::spool::now_ms() / 1_000,
        }
    }

    /// Four hours of an exporter. Flows that end later count, too, as far as they ran already.
    fn run(&mut self, fault: Fault) {
        let (from, to) = (self.now - 4 * HOUR, self.now - 20);
        let habits = Habits {
            sampling: fault.told.max(1),
            ..Habits::default()
        };
        let number = u32::from(fault.number);
        let mut exporter = Exporter::new(Profile::EdgeSwitch, habits, number, 7, from * 1_000);
        let mut wire = Wire::new(from, to + 2 * HOUR);
        let mut export = Export::default();
        for n in 0.. {
            let at = from + n * 20;
            if at >= to + fault.life {
                break;
            }
            exporter.next(at * 1_000, &mut export);
            alter(&mut export.payload, &fault);
            for f in &export.flows {
                let end = f.end_ms / 1_000;
                let start = if fault.life > 0 {
                    end - fault.life
                } else {
                    f.start_ms / 1_000
                };
                let bytes = (BYTES + 18 * PACKETS) as f64 * fault.sampled.max(1) as f64;
                for (side, interface) in [f.in_if, f.out_if].into_iter().enumerate() {
                    if interface == IF {
                        wire.carry(side, start, end, bytes);
                    }
                }
            }
            if at >= to || (n as u64 * 7) % 10 < fault.lost {
                continue;
            }
            self.frame(at, fault.number, 50_000, &export.payload);
            if fault.twice {
                // another engine
                export.payload[21] ^= 0x80;
                self.frame(at, fault.number, 50_001, &export.payload);
            }
        }
        self.count(&fault, &wire, to);
    }

    fn count(&mut self, fault: &Fault, wire: &Wire, to: i64) {
        let source = if fault.snmp { "snmp" } else { "sflow" };
        let totals = wire.totals(to);
        let middle = totals.len() / 2;
        let mut base = (0, 0);
        for (n, (at, octets_in, octets_out)) in totals.into_iter().enumerate() {
            let restarted = fault.restarted && n == middle;
            if restarted {
                base = (octets_in, octets_out);
            }
            let shown = |octets: u64| match fault.narrow {
                true => octets % (1 << 32),
                false if fault.still => 0,
                false => octets,
            };
            let (octets_in, octets_out) = (shown(octets_in - base.0), shown(octets_out - base.1));
            let (narrow, restarted) = (u8::from(fault.narrow), u8::from(restarted));
            writeln!(
                self.counters,
                "({at}, '{}', {IF}, '{source}', {narrow}, {restarted}, {octets_in}, {octets_out}),",
                address(fault.number)
            )
            .expect("text");
        }
    }

    fn frame(&mut self, at: i64, exporter: u8, port: u16, payload: &[u8]) {
        let udp = (payload.len() + 8) as u16;
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
        frame.extend((udp + 20).to_be_bytes());
        frame.extend([
            0, 0, 0x40, 0, 64, 17, 0, 0, 198, 51, 100, exporter, 192, 0, 2, 250,
        ]);
        frame.extend(port.to_be_bytes());
        frame.extend(2055u16.to_be_bytes());
        frame.extend(udp.to_be_bytes());
        frame.extend([0, 0]);
        frame.extend(payload);
        let length = frame.len() as u32;
        for word in [at as u32, 0, length, length] {
            self.capture.extend(word.to_le_bytes());
        }
        self.capture.extend(frame);
    }

    /// Replays the capture into a store and puts the counters beside it.
    fn store(&self, dir: &Path, store: &Store) -> Sql {
        let file = dir.join("faults.pcap");
        std::fs::write(&file, &self.capture).expect("written");
        let mut replay = Command::new(exe());
        replay.arg("replay").arg(&file);
        replay.args([
            "--keep-times",
            "--store",
            &format!("http://{}", store.address),
        ]);
        run(replay.arg("--password-file").arg(store.key_file()));
        let sql = store.sql();
        let rows: Vec<&str> = self.counters.lines().collect();
        for rows in rows.chunks(1_000) {
            let rows = rows.concat();
            sql.run(&format!(
                "INSERT INTO flowhouse.interface_counters (received_at, exporter, if_index, source, narrow, restarted, in_octets, out_octets) VALUES {}",
                rows.trim_end_matches(',')
            ));
        }
        // a replay says what became of everything at its end, a running collector every ten seconds
        sql.run(
            "INSERT INTO flowhouse.ledger SELECT toStartOfMinute(now()) - 60 * n, exporter, domain, outcome, intDiv(all, 240) \
             FROM (SELECT exporter, domain, outcome, sum(count) AS all FROM flowhouse.ledger GROUP BY exporter, domain, outcome) \
             ARRAY JOIN range(1, 241) AS n",
        );
        sql
    }
}

/// Flows of one size, with the fault.
fn alter(payload: &mut [u8], fault: &Fault) {
    for record in payload[24..].chunks_exact_mut(48) {
        if fault.ingress_only {
            record[14..16].fill(0);
        }
        record[16..20].copy_from_slice(&(PACKETS as u32).to_be_bytes());
        record[20..24].copy_from_slice(&(BYTES as u32).to_be_bytes());
        if fault.life > 0 {
            let last = u32::from_be_bytes([record[28], record[29], record[30], record[31]]);
            let first = last - fault.life as u32 * 1_000;
            record[24..28].copy_from_slice(&first.to_be_bytes());
        }
    }
}

fn address(number: u8) -> String {
    format!("::ffff:198.51.100.{number}")
}

/// Diagnoses of the windows that began at least `age` seconds ago, by side, with their number.
fn diagnoses(sql: &Sql, number: u8, ages: std::ops::Range<i64>) -> BTreeMap<String, u64> {
    let (from, to) = (ages.start, ages.end);
    sql.sums(&format!(
        "SELECT concat(direction, ' ', diagnosis) AS d, count() FROM interface_reconciliation \
         WHERE exporter = '{}' AND if_index = {IF} AND time <= now() - {from} AND time > now() - {to} GROUP BY d",
        address(number)
    ))
}

#[test]
fn every_fault_is_named() {
    let dir = directory();
    let store = Store::start(dir.path());
    let mut world = World::new();
    let fine = Fault::default();
    // number, fault, what is said of ingress and egress
    let cases = [
        (fine, ["agrees", "agrees"]),
        (
            Fault {
                told: 100,
                sampled: 100,
                snmp: true,
                ..fine
            },
            ["agrees", "agrees"],
        ),
        (
            Fault {
                sampled: 1_000,
                snmp: true,
                ..fine
            },
            ["missing_sampling", "missing_sampling"],
        ),
        (
            Fault {
                twice: true,
                ..fine
            },
            ["doubled_export", "doubled_export"],
        ),
        (
            Fault {
                ingress_only: true,
                snmp: true,
                ..fine
            },
            ["agrees", "missing_direction"],
        ),
        (
            Fault { lost: 4, ..fine },
            ["exporter_drops", "exporter_drops"],
        ),
        (
            Fault {
                told: 50,
                sampled: 1,
                ..fine
            },
            ["too_much", "too_much"],
        ),
        (
            Fault {
                narrow: true,
                restarted: true,
                snmp: true,
                ..fine
            },
            ["agrees", "agrees"],
        ),
        (
            Fault {
                still: true,
                ..fine
            },
            ["counter_stands_still", "counter_stands_still"],
        ),
    ];
    for (number, (fault, _)) in (1..).zip(&cases) {
        world.run(Fault { number, ..*fault });
    }
    let long = Fault {
        number: 20,
        life: 1_800,
        ..fine
    };
    world.run(long);
    // counts, and no flow names it
    let silent = Fault {
        number: 21,
        lost: 10,
        ..fine
    };
    world.run(silent);
    let sql = world.store(dir.path(), &store);

    for (number, (_, want)) in (1..).zip(&cases) {
        let found = diagnoses(&sql, number, 600..3 * HOUR);
        for (side, want) in ["ingress", "egress"].into_iter().zip(want) {
            let so = found.get(&format!("{side} {want}")).copied().unwrap_or(0);
            let all: u64 = found
                .iter()
                .filter(|(k, _)| k.starts_with(side))
                .map(|(_, n)| n)
                .sum();
            // of the restarted exporter one window has no difference
            assert!(
                all >= 32 && so * 100 >= all * 95,
                "exporter {number}, {side} {want}: {found:?}"
            );
        }
    }
    // flows that run for half an hour and are told at their end: what is older is right, what is younger lags
    let old = diagnoses(&sql, 20, 2_400..3 * HOUR);
    let agree = old.get("ingress agrees").copied().unwrap_or(0);
    let all: u64 = old
        .iter()
        .filter(|(k, _)| k.starts_with("ingress"))
        .map(|(_, n)| n)
        .sum();
    assert!(agree * 100 >= all * 95, "{old:?}");
    let young = diagnoses(&sql, 20, 600..1_500);
    assert!(
        young.keys().all(|k| k.ends_with(" active_timeout")) && young.len() == 2,
        "{young:?}"
    );
    let none = diagnoses(&sql, 21, 600..3 * HOUR);
    assert!(none.keys().all(|k| k.ends_with(" no_flows")), "{none:?}");

    explained(&sql);
    shown(dir.path(), &store);
}

/// The words, and how far the ratio is trusted.
fn explained(sql: &Sql) {
    let text = |number: u8, side: &str| {
        let rows = sql.rows(&format!(
            "SELECT DISTINCT explanation FROM interface_reconciliation WHERE exporter = '{}' AND direction = '{side}' \
             AND time > now() - 3600",
            address(number)
        ));
        rows.concat().join("\n")
    };
    let sampling = text(3, "ingress");
    assert!(sampling.contains("set decode.sampling"), "{sampling}");
    let factors = sql.numbers(&format!(
        "SELECT toUInt64(min(factor)), toUInt64(max(factor)) FROM interface_reconciliation WHERE exporter = '{}'",
        address(3)
    ));
    assert!(
        factors[0] > 850 && factors[1] < 1_150,
        "1 in 1000: {factors:?}"
    );
    assert!(text(4, "egress").contains("twice"));
    assert!(text(5, "egress").contains("other direction"));
    assert!(text(6, "ingress").contains("by their sequence numbers"));
    let sources =
        sql.sums("SELECT source, uniq(exporter) FROM interface_reconciliation GROUP BY source");
    assert_eq!(
        sources.into_iter().collect::<Vec<_>>(),
        [("sflow".into(), 7), ("snmp".into(), 4)]
    );
    // what counts nothing has no ratio
    let still = sql.numbers(&format!(
        "SELECT countIf(ratio IS NULL), countIf(ratio IS NOT NULL AND diagnosis != 'idle') FROM interface_reconciliation WHERE exporter = '{}'",
        address(9)
    ));
    assert!(still[0] > 60 && still[1] == 0, "{still:?}");
    let errors = sql.numbers(&format!(
        "SELECT countIf(error > 0), countIf(error = 0) > 0 FROM interface_reconciliation WHERE exporter = '{}'",
        address(2)
    ));
    assert!(errors[0] > 0, "sampled: {errors:?}");
}

/// `top` and the metrics say the same.
fn shown(dir: &Path, store: &Store) {
    let mut top = Command::new(exe());
    top.args(["top", "interfaces", "--since", "3h", "--url"]);
    top.arg(format!("http://{}", store.address));
    let said = run(top.arg("--password-file").arg(store.key_file()));
    let drawn = on_a_terminal(top.args(["--watch", "1"]));
    for part in [
        "doubled_export",
        "missing_sampling",
        "set decode.sampling",
        "198.51.100.4",
    ] {
        assert!(said.contains(part), "{part}: {said}");
        let frames = drawn.matches(part).count();
        assert!(frames >= 3, "{part} in {frames} frames: {drawn}");
    }
    let config = format!(
        "[receive]\nlisteners = [\"127.0.0.1:0\"]\n{}",
        store.config()
    );
    let collector = Collector::start(dir, &config);
    let mut page = String::new();
    eventually("the store was asked", || {
        page = collector.page("/metrics").1;
        page.contains("flowhouse_reconciliation_ratio")
    });
    let value = |start: &str| -> f64 {
        let line = page.lines().find(|l| l.starts_with(start));
        let line = line.unwrap_or_else(|| panic!("{start}:\n{page}"));
        let value = line.rsplit(' ').next().expect("a value");
        value.parse().expect("a number")
    };
    let ratio = |number: u8| {
        value(&format!(
            "flowhouse_reconciliation_ratio{{exporter=\"198.51.100.{number}\",if_index=\"{IF}\",interface=\"\",direction=\"ingress\"}}"
        ))
    };
    assert!((ratio(1) - 1.0).abs() < 0.15 && (ratio(4) - 2.0).abs() < 0.3);
    assert!(ratio(3) < 0.0012);
    let sides = |diagnosis: &str| {
        value(&format!(
            "flowhouse_reconciliation_sides{{diagnosis=\"{diagnosis}\"}}"
        ))
    };
    assert_eq!(
        (sides("doubled_export"), sides("missing_direction")),
        (2.0, 1.0)
    );
    assert_eq!(sides("counter_stands_still"), 2.0);
    assert!(!page.contains("flowhouse_reconciliation_ratio{exporter=\"198.51.100.9\""));
    collector.stop();
}
