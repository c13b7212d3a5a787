//! Asks the store now and then what hosts inside sent to places outside over days, for the detectors.

use crate::config::Config;
use crate::detect::anomaly::{DaysSeen, Seen, Sighting, UploadSettings, ranges};
use crate::model::{Addr, RowPlace};
use crate::receive::route::Moment;
use crate::shard::{Lookout, Sighted};
use crate::sink::clickhouse::Connection;
use crate::sink::schema::{SlowUploads, slow_uploads};
use anyhow::Result;
use crossbeam_channel::{RecvTimeoutError, Sender, bounded};
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::thread::Builder;
use std::time::Duration;

/// The thread that asks. It ends by itself when this is dropped; from then on it hands nothing over.
#[derive(Debug)]
pub(super) struct Days {
    _stop: Sender<()>,
    _lookout: Arc<Lookout>,
}

impl Days {
    /// Starts it.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(config: &Config, connection: &Connection, lookout: &Lookout) -> Result<Days> {
        let (stop, stopped) = bounded::<()>(0);
        let lookout = Arc::new(lookout.clone());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (connection, to) = (connection.clone(), Arc::downgrade(&lookout));
        let sql = question(&config.detect.inside, &config.detect.upload);
        let work = move || {
            let mut pause = FIRST;
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(pause) {
                pause = ROUND;
                let asked = async { tokio::time::timeout(PATIENCE, ask(&connection, &sql)).await };
                let answer = runtime.block_on(asked);
                match answer.unwrap_or_else(|_| Err(anyhow::anyhow!("it takes too long"))) {
                    Ok(rows) => tell(&to, rows),
                    Err(error) => {
                        tracing::info!("the store does not say what was sent over days: {error}");
                    }
                }
            }
        };
        Builder::new().name("days".into()).spawn(work)?;
        Ok(Days {
            _stop: stop,
            _lookout: lookout,
        })
    }
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

fn tell(to: &Weak<Lookout>, rows: Vec<Row>) {
    let now_ms = Moment::now().wall_ns.div_euclid(1_000_000);
    let sightings: Vec<Sighting> = rows.iter().filter_map(|r| sighting(now_ms, r)).collect();
    if let Some(lookout) = to.upgrade()
        && !sightings.is_empty()
    {
        let dropped = lookout.tell(Sighted {
            now_ms,
            of_files: false,
            sightings,
        });
        if dropped > 0 {
            tracing::warn!("detectors are busy: {dropped} uploads over days are judged next time");
        }
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
const ROUND: Duration = Duration::from_secs(6 * 3_600);
/// How long the store may think; it is told to stop before.
const PATIENCE: Duration = Duration::from_secs(180);
