//! The files of `replay --out`: `flows.ndjson`, `usage.ndjson`, `detections.ndjson`, `ledger.json`. Same input, same bytes, whatever the
//! number of shards.

mod detection;
mod ledger;
mod row;
mod usage;

use super::Error;
use crate::ledger::{Book, Gauges};
use crate::model::{Detection, FlowBatch, Names, RowPlace, UsageRow};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use usage::Usage;

pub use detection::{detection, evidence};
pub use ledger::ledger;

/// Writes the files of one run into a directory.
///
/// Rows are merged over the shards by their place ([`RowPlace`]): the frame that caused them, and of rows that time closed
/// there when they expired and their key. Each shard gives its rows in that order. Lines wait until every shard is known to
/// be past their frame.
#[derive(Debug)]
pub struct Writer {
    dir: PathBuf,
    flows: BufWriter<File>,
    lanes: Vec<Lane>,
    usage: Usage,
}

/// What came from one shard and is not written yet.
#[derive(Debug, Default)]
struct Lane {
    lines: VecDeque<(RowPlace, String)>,
    reached: u64,
}

impl Writer {
    /// Creates the directory where it is missing, and starts the files anew.
    pub fn create(dir: &Path, shards: usize) -> Result<Self, Error> {
        std::fs::create_dir_all(dir).map_err(|e| output(dir, e))?;
        let path = dir.join(FLOWS);
        let file = File::create(&path).map_err(|e| output(&path, e))?;
        Ok(Writer {
            dir: dir.to_owned(),
            flows: BufWriter::new(file),
            lanes: (0..shards.max(1)).map(|_| Lane::default()).collect(),
            usage: Usage::default(),
        })
    }

    /// Takes flow rows of `shard`, in order of arrival. `places` has the place of each row, or is empty where all of them
    /// belong to the frame that they came in.
    pub fn flows(
        &mut self,
        shard: usize,
        batch: &FlowBatch,
        places: &[RowPlace],
        names: &Names,
    ) -> Result<(), Error> {
        let lane = &mut self.lanes[shard];
        for row in batch.rows() {
            let place = places.get(row.index()).copied();
            let place = place.unwrap_or(RowPlace::at(row.provenance().frame));
            lane.lines.push_back((place, row::line(batch, row, names)));
            // others of the same frame may come
            lane.reached = lane.reached.max(place.frame.saturating_sub(1));
        }
        self.write()
    }

    /// Takes usage rows of any shard.
    pub fn usage(&mut self, rows: &[UsageRow], names: &Names) {
        rows.iter().for_each(|r| self.usage.add(r, names));
    }

    /// Writes all detections, in this order.
    pub fn detections(&self, found: &[Detection]) -> Result<(), Error> {
        let lines = found.iter().map(|d| format!("{}\n", detection(d)));
        self.file("detections.ndjson", lines.collect())
    }

    /// Notes that `shard` will give no more rows of frames up to `frame`.
    pub fn reached(&mut self, shard: usize, frame: u64) -> Result<(), Error> {
        let lane = &mut self.lanes[shard];
        lane.reached = lane.reached.max(frame);
        self.write()
    }

    /// Ends an input file: writes all that waits, and frames may start anew.
    pub fn end_of_input(&mut self) -> Result<(), Error> {
        self.lanes.iter_mut().for_each(|l| l.reached = u64::MAX);
        self.write()?;
        self.lanes.iter_mut().for_each(|l| l.reached = 0);
        Ok(())
    }

    /// Writes the rest, and the other files.
    pub fn finish(mut self, book: &Book, gauges: &Gauges) -> Result<(), Error> {
        self.end_of_input()?;
        let path = self.dir.join(FLOWS);
        self.flows.flush().map_err(|e| output(&path, e))?;
        let usage: String = self.usage.lines().collect();
        self.file("usage.ndjson", usage)?;
        self.file("ledger.json", format!("{:#}\n", ledger(book, gauges)))
    }

    /// Writes every line whose frame all shards have reached, in order of frames; of one shard every line, for nothing comes before it any more.
    fn write(&mut self) -> Result<(), Error> {
        let all = match self.lanes.len() {
            1 => u64::MAX,
            _ => self.lanes.iter().map(|l| l.reached).min().unwrap_or(0),
        };
        loop {
            let heads = self.lanes.iter().enumerate();
            let heads = heads.filter_map(|(n, l)| Some((l.lines.front()?.0, n)));
            let Some((place, n)) = heads.min() else {
                return Ok(());
            };
            if place.frame > all {
                return Ok(());
            }
            if let Some((_, line)) = self.lanes[n].lines.pop_front() {
                let written = self.flows.write_all(line.as_bytes());
                written.map_err(|e| output(&self.dir.join(FLOWS), e))?;
            }
        }
    }

    fn file(&self, name: &str, text: String) -> Result<(), Error> {
        let path = self.dir.join(name);
        std::fs::write(&path, text).map_err(|e| output(&path, e))
    }
}

fn output(path: &Path, source: std::io::Error) -> Error {
    Error::Output {
        path: path.to_owned(),
        source,
    }
}

const FLOWS: &str = "flows.ndjson";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Outcome;
    use crate::model::{Addr, Provenance};

    fn batch(frames: &[u64]) -> FlowBatch {
        let mut b = FlowBatch::new();
        for &frame in frames {
            let p = b.push_provenance(Provenance {
                frame,
                datagram: frame,
                ..Default::default()
            });
            b.core.provenance.extend([p, p]);
            b.core.record.extend([1, 2]);
            b.commit(2);
        }
        b
    }

    fn replayed(shards: usize, split: usize) -> (String, String, String) {
        let dir = tempfile::tempdir().expect("a directory");
        let mut w = Writer::create(dir.path(), shards).expect("created");
        let names = Names::default();
        for part in [1..split as u64, split as u64..20] {
            for shard in 0..shards {
                let mine = part.clone().filter(|f| *f as usize % shards == shard);
                w.flows(shard, &batch(&mine.collect::<Vec<_>>()), &[], &names)
                    .expect("written");
            }
        }
        let usage = |minute_s, bytes| UsageRow {
            minute_s,
            bytes,
            exporter: Addr::from_v4([192, 0, 2, 9]),
            sampling_known: bytes > 1,
            ..Default::default()
        };
        w.usage(&[usage(60, 1), usage(0, 2), usage(60, 4)], &names);
        let mut book = Book::new(1);
        book.account(([1; 16], 5)).one(Outcome::Rows);
        w.finish(&book, &Gauges::default()).expect("written");
        let read = |name| std::fs::read_to_string(dir.path().join(name)).expect("there");
        (read(FLOWS), read("usage.ndjson"), read("ledger.json"))
    }

    #[test]
    fn lines_stand_in_order_of_frames_for_any_number_of_shards() {
        let one = replayed(1, 10);
        assert_eq!(one.0.lines().count(), 38);
        assert!(one.0.starts_with(r#"{"datagram":1,"record":1,"#));
        for shards in [2, 3, 5] {
            assert_eq!(replayed(shards, 7), one, "{shards} shards");
        }
    }

    #[test]
    fn rows_of_one_frame_stand_in_order_of_their_places() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut w = Writer::create(dir.path(), 2).expect("created");
        let place = |expiry, key| RowPlace {
            frame: 4,
            expiry,
            key: [key; 41],
        };
        let rows = |n: u64| {
            let mut b = batch(&[n]);
            b.truncate(1);
            b
        };
        let steps = [
            (0, 1, place(10, 3)),
            (0, 4, RowPlace::at(4)),
            (1, 2, place(10, 5)),
            (1, 3, place(11, 1)),
        ];
        for (shard, n, place) in steps {
            w.flows(shard, &rows(n), &[place], &Names::default())
                .expect("written");
        }
        w.finish(&Book::new(1), &Gauges::default())
            .expect("written");
        let text = std::fs::read_to_string(dir.path().join(FLOWS)).expect("there");
        let order: Vec<_> = text.lines().map(|l| &l[12..13]).collect();
        assert_eq!(order, ["1", "2", "3", "4"]);
    }

    #[test]
    fn usage_is_one_sorted_line_a_key() {
        let (_, usage, _) = replayed(1, 1);
        let want = concat!(
            r#"{"minute_ms":0,"exporter":"192.0.2.9","if":0,"direction":"ingress","inferred":0,"app_proto":"unknown","#,
            r#""app":"unknown","qos_class":"none","dscp":0,"bytes":2,"packets":0,"flows":0,"est_bytes":0,"#,
            r#""est_packets":0,"sampled_packets":0,"sampling_known":1}"#,
        );
        let lines: Vec<_> = usage.lines().collect();
        assert_eq!(lines[0], want);
        assert!(
            lines.len() == 2 && lines[1].contains(r#""bytes":5,"#) && lines[1].ends_with(r#":0}"#)
        );
    }

    #[test]
    fn usage_of_the_largest_counters_stays_at_the_largest() {
        let (mut usage, names) = (Usage::default(), Names::default());
        let row = UsageRow {
            bytes: u64::MAX,
            packets: u64::MAX,
            sampled_packets: u64::MAX,
            flows: 1,
            ..Default::default()
        };
        usage.add(&row, &names);
        usage.add(&row, &names);
        let lines: Vec<_> = usage.lines().collect();
        let most = format!(r#""bytes":{0},"packets":{0},"flows":2,"#, u64::MAX);
        assert!(lines.len() == 1 && lines[0].contains(&most), "{lines:?}");
    }

    #[test]
    fn the_ledger_has_laws_totals_and_exporters() {
        let (_, _, text) = replayed(1, 1);
        let v: serde_json::Value = serde_json::from_str(&text).expect("json");
        assert_eq!(v["totals"]["rows"], 1);
        assert_eq!(v["exporters"][0]["domain"], 5);
        assert_eq!(v["exporters"][0]["rows"], 1);
        let broken = v["laws"]
            .as_array()
            .expect("a list")
            .iter()
            .filter(|l| l["holds"] == false);
        assert_eq!(
            broken.count(),
            2,
            "a row without flow record, and without an end"
        );
    }
}
