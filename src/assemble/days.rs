//! Asks the store now and then what hosts inside sent to places outside over days, for the detectors.

use crate::config::Config;
use crate::detect::anomaly::{DaysSeen, Seen, Sighting, UploadSettings, ranges};
use crate::model::{Addr, RowPlace};
use crate::receive::route::Moment;
use crate::shard::{Guest, Sighted};
use crate::sink::clickhouse::Connection;
use crate::sink::schema::{SlowUploads, slow_uploads};
use anyhow::Result;
use std::net::IpAddr;
use std::thread::Builder;
use std::time::{Duration, Instant};

/// Starts the thread that asks. It ends by itself when the shards are gone, and holds up nobody.
///
/// # Errors
/// When the thread cannot be started.
pub(super) fn watch(config: &Config, connection: &Connection, to: Guest) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let connection = connection.clone();
    let sql = question(&config.detect.inside, &config.detect.upload);
    let work = move || {
        let mut pause = FIRST;
        while rests(&to, pause) {
            pause = ROUND;
            let asked = async { tokio::time::timeout(PATIENCE, ask(&connection, &sql)).await };
            let answer = runtime.block_on(asked);
            match answer.unwrap_or_else(|_| Err(anyhow::anyhow!("it takes too long"))) {
                Ok(rows) => tell(&to, &rows),
                Err(error) => {
                    tracing::info!("the store does not say what was sent over days: {error}");
                }
            }
        }
    };
    Builder::new().name("days".into()).spawn(work)?;
    Ok(())
}

/// Waits; false where nobody judges any more.
fn rests(to: &Guest, pause: Duration) -> bool {
    let until = Instant::now() + pause;
    while Instant::now() < until && !to.is_over() {
        std::thread::sleep(LOOK);
    }
    !to.is_over()
}

#[derive(clickhouse::Row, serde::Deserialize)]
struct Row {
    src: String,
    dst: String,
    sent: u64,
    came: u64,
    days: u32,
    first_ms: i64,
    last_ms: i64,
}

fn question(inside: &[String], s: &UploadSettings) -> String {
    slow_uploads(&SlowUploads {
        inside: ranges(inside),
        days: s.days,
        bytes: s.slow_bytes,
        ratio: s.ratio,
    })
}

async fn ask(connection: &Connection, sql: &str) -> Result<Vec<Row>> {
    Ok(connection.reach().await?.query(sql).fetch_all().await?)
}

fn tell(to: &Guest, rows: &[Row]) {
    let now_ms = Moment::now().wall_ns.div_euclid(1_000_000);
    let sightings: Vec<Sighting> = rows.iter().filter_map(|r| sighting(now_ms, r)).collect();
    if sightings.is_empty() {
        return;
    }
    let sighted = Sighted {
        now_ms,
        of_files: false,
        pauses: false,
        sightings,
    };
    match to.tell(sighted) {
        None | Some(0) => {}
        Some(n) => tracing::warn!("detectors are busy: {n} uploads over days wait for next time"),
    }
}

fn sighting(now_ms: i64, r: &Row) -> Option<Sighting> {
    let addr = |text: &str| text.parse::<IpAddr>().ok().map(Addr::from);
    let seen = Seen::Days(DaysSeen {
        src: addr(&r.src)?,
        dst: addr(&r.dst)?,
        sent: r.sent,
        came: r.came,
        days: r.days,
        first_ms: r.first_ms,
        last_ms: r.last_ms,
    });
    Some(Sighting {
        place: RowPlace::at(0),
        now_ms,
        seen,
    })
}

/// When the store is asked first, and how often then.
const FIRST: Duration = Duration::from_secs(900);
/// How often it is looked whether there still is somebody who judges.
const LOOK: Duration = Duration::from_millis(500);
const ROUND: Duration = Duration::from_secs(6 * 3_600);
/// How long the store may think; it is told to stop before.
const PATIENCE: Duration = Duration::from_secs(180);
