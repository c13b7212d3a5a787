//! Files of the spool that are torn or changed while nobody runs, in every part of them: what they held is told, once.

use super::World;
use super::books::Line;
use super::world::{Closed, RATE, direct};
use crate::harness::{eventually, exe, run, total};
use flowhouse::batch::Table;
use flowhouse::sink::spool::format::{self, Header, Slot, State};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// How the collector ends before its files are damaged.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Kill,
    Stop,
}

/// A bundle file, its sound header and what became of its sections.
struct Victim(PathBuf, Header, Vec<Slot>);

impl Victim {
    fn change(&self, how: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(&self.0).expect("readable");
        how(&mut bytes);
        fs::write(&self.0, bytes).expect("written");
    }

    /// Cuts everything off from this byte on.
    fn cut(&self, at: usize) {
        self.change(|bytes| bytes.truncate(at));
    }

    /// Changes a byte in the body of a table; its rows.
    fn spoil(&self, table: Table) -> u64 {
        let of = |s: &&format::SectionHeader| s.table == table;
        let section = self.1.sections.iter().find(of).expect("a section");
        self.change(|bytes| bytes[section.body_at as usize + 3] ^= 1);
        self.rows(|t| t == table)
    }

    /// Whether the store has nothing of it.
    fn is_unsent(&self) -> bool {
        self.2.iter().all(|slot| slot.state == State::Unsent)
    }

    fn rows(&self, of: impl Fn(Table) -> bool) -> u64 {
        let sections = self.1.sections.iter();
        sections.filter(|s| of(s.table)).map(|s| s.rows).sum()
    }
}

/// Spools while the store is away, ends, damages, and delivers the rest while exporters go on.
fn damaged(end: End, damage: impl FnOnce(&[Victim])) -> Closed {
    let mut world = World::start("", direct);
    world.known();
    world.store.kill();
    world.rate(2 * RATE);
    let files = || world.collector().metric("flowhouse_spool_files");
    eventually("bundles wait", || files() > 32.0);
    world.rate(0);
    let spool = world.path().join("state/spool");
    let waiting = || {
        let mut list = Command::new(exe());
        list.args(["spool", "list", "--json", "--directory"])
            .arg(&spool);
        let list: serde_json::Value = serde_json::from_str(&run(&mut list)).expect("JSON");
        list["flow_rows"].as_u64().expect("a number")
    };
    let mut quiet = 0;
    eventually("all of it is durable", || {
        let ledger = world.collector().ledger();
        let rows = total(&ledger, "rows") - total(&ledger, "rows_acknowledged");
        quiet = if rows == waiting() { quiet + 1 } else { 0 };
        quiet > 10
    });
    match end {
        End::Kill => world.kill_collector(),
        End::Stop => drop(world.collector.take().expect("it runs").stop()),
    }
    let entries = fs::read_dir(&spool).expect("a folder").flatten();
    let mut paths: Vec<PathBuf> = entries.map(|e| e.path()).filter(|p| p.is_file()).collect();
    paths.retain(|p| p.extension().is_some_and(|e| e == "fhs"));
    paths.sort();
    let victims = paths.into_iter().map(|path| {
        let (header, slots) = format::image(&fs::read(&path).expect("readable")).expect("sound");
        Victim(path, header, slots)
    });
    let victims: Vec<Victim> = victims
        .filter(|v| v.rows(|t| t == Table::Flows) > 0)
        .collect();
    damage(&victims);
    world.store.run();
    world.run();
    world.rate(RATE);
    world.stored(1_000);
    world.close()
}

/// Headers of files in the middle, one behind the other and alone, and of the last one. Of a file whose flows the store has
/// already, all would be told as damaged (docs/delivery.md).
fn headers(victims: &[Victim]) {
    let victims: Vec<&Victim> = victims.iter().filter(|v| v.is_unsent()).collect();
    victims[2].change(|bytes| bytes[format::PREFIX + 9] ^= 1);
    victims[3].cut(0);
    victims[7].cut(format::PREFIX - 5);
    victims[9].change(|bytes| bytes[..4096.min(victims[9].1.slots_at as usize)].fill(0));
    let last = victims.last().expect("many");
    last.cut(last.1.slots_at as usize - 20);
}

#[test]
fn files_whose_header_is_gone_after_a_kill() {
    let mut closed = damaged(End::Kill, headers);
    closed
        .equation
        .assert_closed("five headers torn after a kill");
    assert!(closed.equation.sum(|l| l.lost_damaged) > 0);
    // nothing durable is behind the last one: as if it had never been
    assert!(closed.equation.sum(|l| l.lost_crash) > 0);
    assert_eq!(closed.told().get("rows_damaged"), None);
}

#[test]
fn files_whose_header_is_gone_after_a_stop() {
    let mut closed = damaged(End::Stop, headers);
    closed
        .equation
        .assert_closed("five headers torn after a stop");
    assert!(closed.equation.sum(|l| l.lost_damaged) > 0);
    assert_eq!(closed.equation.sum(|l| l.lost_crash), 0);
    closed.told();
}

#[test]
fn files_whose_bodies_are_gone() {
    for end in [End::Kill, End::Stop] {
        let [mut flows, mut doubt, mut usage, mut others] = [0; 4];
        let mut closed = damaged(end, |victims| {
            let unsent: Vec<&Victim> = victims.iter().filter(|v| v.is_unsent()).collect();
            // the states of the sections, and all bodies; what may have been sent, the store is asked for
            for v in [&victims[0], unsent[11]] {
                v.cut(v.1.slots_at as usize + 4);
                usage += v.rows(|t| t == Table::Usage1m);
                others += v.rows(|t| t != Table::Usage1m && t != Table::Flows);
            }
            doubt += victims[0].rows(|t| t == Table::Flows);
            // flows are last
            let len = fs::metadata(&unsent[10].0).expect("there").len();
            unsent[10].cut(len as usize - 7);
            unsent[6].spoil(Table::Flows);
            for n in [6, 10, 11] {
                flows += unsent[n].rows(|t| t == Table::Flows);
            }
            usage += unsent[8].spoil(Table::Usage1m);
        });
        println!("{}", closed.equation);
        let lost = |l: &Line| l.lost_crash + l.lost_stopped + l.lost_damaged + l.gaps;
        let ledger = &closed.ledger;
        let damaged = total(ledger, "rows_damaged");
        let missing = closed.equation.rows_missing();
        assert_eq!((missing, closed.equation.sum(lost)), (damaged, 0));
        assert!(
            [flows, flows + doubt].contains(&damaged),
            "{damaged}: {flows}, {doubt}"
        );
        let kinds = ["rows_damaged", "usage_rows_damaged", "other_rows_damaged"];
        let counts = [damaged, usage, others];
        assert_eq!(kinds.map(|k| total(ledger, k)), counts);
        assert_eq!(total(ledger, "rows_quarantined"), 0);
        let told = closed.told();
        assert_eq!(kinds.map(|k| told.get(k).copied().unwrap_or(0)), counts);
    }
}
