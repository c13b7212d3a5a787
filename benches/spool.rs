//! Rows per second from sealed bundles of 100,000 rows to a store that discards them: without a spool, and with every bundle made
//! durable first; beside it what the disk does when it is only written and synced.
//!
//! `cargo bench --bench spool [-- BUNDLES [DIRECTORY]]`. Wall-clock time, the modes in turns, medians of five. Sealing, encoding
//! (LZ4), the discarding server and the spool share the machine.

mod rows;

use flowhouse::batch::{Bundle, Extra, Identity, Sealer, Settings};
use flowhouse::model::{FlowBatch, Names};
use flowhouse::sink::clickhouse::{Connection, Sink};
use flowhouse::sink::spool::{self, Spool};
use flowhouse::sink::{Settings as SinkSettings, Stats, hop};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use rows::{NOW_NS, ROWS, flows, names};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const TURNS: usize = 5;

fn main() {
    let mut numbers = std::env::args().filter_map(|a| a.parse().ok());
    let bundles: usize = numbers.next().unwrap_or(40);
    let place = std::env::args().skip(1).find(|a| Path::new(a).is_dir());
    let dir = match place {
        Some(place) => tempfile::tempdir_in(place),
        None => tempfile::tempdir(),
    };
    let dir = dir.expect("a directory");
    let mut rng = SmallRng::seed_from_u64(1);
    let names = Arc::new(names());
    let flows = flows(&mut rng, &names);
    let url = discarding_store();
    let (mut off, mut always, mut disk) = (vec![], vec![], vec![]);
    let mut written = (0, 0, 0);
    for turn in 0..TURNS {
        off.push(rows_per_second(&flows, &names, bundles, &url, None).0);
        let (rate, reading) = rows_per_second(
            &flows,
            &names,
            bundles,
            &url,
            Some(&dir.path().join(format!("{turn}"))),
        );
        always.push(rate);
        written = (reading.written, reading.fsyncs, reading.fsync_ns);
        disk.push(disk_alone(dir.path(), written.0 / bundles as u64, bundles));
    }
    let (off, always, disk) = (median(off), median(always), median(disk));
    let mib = |bytes: f64| bytes / f64::from(1 << 20);
    println!("off    {:8.0} rows/s", off);
    println!(
        "always {:8.0} rows/s, {:.0} % of off",
        always,
        100.0 * always / off
    );
    println!(
        "always wrote {:.1} MiB a bundle, {:.1} MiB/s; {} waits for the disk, {:.1} ms each",
        mib(written.0 as f64 / bundles as f64),
        mib(written.0 as f64 / (bundles * ROWS) as f64 * always),
        written.1,
        written.2 as f64 / 1e6 / written.1 as f64
    );
    println!(
        "the disk alone: files of that size, one at a time: {:.1} MiB/s, {:.0} rows/s, {:.1} files/s",
        mib(disk * written.0 as f64 / bundles as f64),
        disk * ROWS as f64,
        disk
    );
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

/// From the first bundle handed over to the last acknowledgement.
fn rows_per_second(
    flows: &[FlowBatch],
    names: &Arc<Names>,
    bundles: usize,
    url: &str,
    spool: Option<&Path>,
) -> (f64, spool::Reading) {
    let identity = Arc::new(Identity {
        collector: "bench".into(),
        start: rand::random(),
    });
    let mut sealer = Sealer::new(Settings::default(), identity, Arc::default());
    let (outbox, inbox) = hop(SinkSettings::default().queue_max);
    let stats: Arc<Stats> = inbox.stats().clone();
    // the rows are of 2025
    let settings = spool::Settings {
        age_max_s: 0,
        ..Default::default()
    };
    let spool = spool.map(|dir| Spool::open(dir, &settings, &stats).expect("a spool"));
    let connection = Connection {
        url: url.to_owned(),
        ..Connection::default()
    };
    let sink =
        Sink::start_held(inbox, &SinkSettings::default(), &settings, spool).expect("started");
    sink.release(&connection).expect("released");
    let start = Instant::now();
    for _ in 0..bundles {
        let bundle: Bundle = {
            flows.iter().for_each(|b| sealer.push(b.clone(), NOW_NS));
            let sealed = sealer.seal(NOW_NS, Extra::default(), names.clone());
            sealed.expect("rows")
        };
        outbox.send(bundle);
    }
    let all = (bundles * ROWS) as u64;
    while stats.snapshot().rows_acknowledged < all {
        std::thread::sleep(Duration::from_millis(1));
    }
    let took = start.elapsed();
    drop(outbox);
    sink.stop(Duration::from_secs(60));
    let reading = stats.snapshot().spool;
    (all as f64 / took.as_secs_f64(), reading)
}

/// Files written, synced and renamed one after the other: files a second.
fn disk_alone(dir: &Path, bytes: u64, files: usize) -> f64 {
    let body: Vec<u8> = (0..bytes).map(|i| ((i * 31) >> 3) as u8).collect();
    let start = Instant::now();
    for n in 0..files {
        let (temporary, path) = (dir.join("t"), dir.join(format!("d{n}")));
        let mut file = File::create(&temporary).expect("made");
        file.write_all(&body).expect("written");
        file.sync_data().expect("synced");
        std::fs::rename(&temporary, &path).expect("renamed");
        File::open(dir).and_then(|d| d.sync_all()).expect("synced");
    }
    let rate = files as f64 / start.elapsed().as_secs_f64();
    for n in 0..files {
        std::fs::remove_file(dir.join(format!("d{n}"))).expect("removed");
    }
    rate
}

/// A store that reads whole requests and answers that all is well.
fn discarding_store() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
    url
}

fn answer(stream: TcpStream) -> Option<()> {
    let mut reader = BufReader::with_capacity(1 << 18, stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let (mut line, mut length, mut chunked) = (String::new(), 0, false);
        while line != "\r\n" {
            line.clear();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let lower = line.to_ascii_lowercase();
            chunked |= lower.starts_with("transfer-encoding: chunked");
            if let Some(n) = lower.strip_prefix("content-length:") {
                length = n.trim().parse().ok()?;
            }
        }
        while chunked {
            line.clear();
            reader.read_line(&mut line).ok()?;
            let n = u64::from_str_radix(line.trim(), 16).ok()?;
            discard(&mut reader, n + 2)?;
            chunked = n > 0;
        }
        discard(&mut reader, length)?;
        writer
            .write_all(b"HTTP/1.1 200 OK\r\nX-ClickHouse-Summary: {}\r\nContent-Length: 0\r\n\r\n")
            .ok()?;
    }
}

fn discard(reader: &mut impl BufRead, n: u64) -> Option<()> {
    std::io::copy(&mut reader.take(n), &mut std::io::sink()).ok()?;
    Some(())
}
