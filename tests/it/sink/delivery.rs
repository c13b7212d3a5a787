//! Delivery against a scripted ClickHouse: whatever it answers, each row has exactly one end.

use super::{bundle, sealer};
use crate::harness::eventually;
use crate::torture::proxy::{broken, page};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use flowhouse::sink::clickhouse::{Connection, Sink};
use flowhouse::sink::native::Compression;
use flowhouse::sink::{Outbox, Settings, Snapshot, hop, spool};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Mutex;

/// One INSERT as the double saw it.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    parameters: HashMap<String, String>,
    body: Bytes,
}

/// What the double answers.
enum Reply {
    Done,
    Exception(u32, &'static str),
    Status(u16),
    /// Takes the rows, and the answer breaks off.
    DoneButCut,
    /// Never answers.
    Silence,
}

type Script = fn(&Seen, usize) -> Reply;

/// A ClickHouse that knows nothing but tokens: what it took, by token, and every attempt.
#[derive(Clone)]
struct Double {
    script: Script,
    attempts: Arc<Mutex<BTreeMap<String, Vec<Seen>>>>,
    taken: Arc<Mutex<BTreeMap<String, usize>>>,
    /// Statements that are no INSERT.
    asked: Arc<Mutex<Vec<String>>>,
    /// Whether somebody else answers everything, and how often that was.
    closed: Arc<AtomicBool>,
    pages: Arc<AtomicUsize>,
}

async fn answer(
    State(double): State<Double>,
    Query(parameters): Query<HashMap<String, String>>,
    body: Bytes,
) -> Response {
    if double.closed.load(Relaxed) {
        return page(double.pages.fetch_add(1, Relaxed));
    }
    let Some(token) = parameters.get("insert_deduplication_token").cloned() else {
        let statement = parameters.get("query").cloned().unwrap_or_default();
        let statement = statement + &String::from_utf8_lossy(&body);
        double.asked.lock().await.push(statement);
        return "1\n".into_response();
    };
    let seen = Seen { parameters, body };
    let attempt = {
        let mut attempts = double.attempts.lock().await;
        let all = attempts.entry(token.clone()).or_default();
        all.push(seen.clone());
        all.len()
    };
    let reply = (double.script)(&seen, attempt);
    if matches!(reply, Reply::Done | Reply::DoneButCut) {
        *double.taken.lock().await.entry(token).or_default() += 1;
    }
    match reply {
        Reply::Done => [("X-ClickHouse-Summary", "{}")].into_response(),
        Reply::Exception(code, text) => {
            let text = format!("Code: {code}. DB::Exception: {text} (version 26.9.2.1)");
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                [("X-ClickHouse-Exception-Code", code.to_string())],
                text,
            )
                .into_response()
        }
        Reply::Status(code) => StatusCode::from_u16(code)
            .expect("a status")
            .into_response(),
        Reply::DoneButCut => broken(),
        Reply::Silence => std::future::pending().await,
    }
}

/// A sink and the double it talks to.
struct Stage {
    runtime: tokio::runtime::Runtime,
    double: Double,
    sink: Sink,
    outbox: Outbox,
}

fn stage(script: Script, settings: Settings) -> Stage {
    stage_in_doubt(script, settings, &spool::Settings::default())
}

fn stage_in_doubt(script: Script, settings: Settings, doubt: &spool::Settings) -> Stage {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("runtime");
    let double = Double {
        script,
        attempts: Arc::default(),
        taken: Arc::default(),
        asked: Arc::default(),
        closed: Arc::default(),
        pages: Arc::default(),
    };
    let app = Router::new().fallback(answer).with_state(double.clone());
    let app = app.layer(axum::extract::DefaultBodyLimit::disable());
    let listener = runtime
        .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
        .expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    runtime.spawn(async move { axum::serve(listener, app).await });
    let connection = Connection {
        url,
        ..Default::default()
    };
    let (outbox, inbox) = hop(settings.queue_max);
    let sink = Sink::start_held(inbox, &settings, doubt, None).expect("started");
    sink.release(&connection).expect("released");
    Stage {
        runtime,
        double,
        sink,
        outbox,
    }
}

impl Stage {
    /// Sends bundles of 100 rows each.
    fn send(&self, bundles: usize) {
        let mut sealer = sealer(1);
        for _ in 0..bundles {
            self.outbox.send(bundle(&mut sealer, 100, NOW_NS));
        }
    }

    /// Ends the sink; also what the double saw: how often it took each token, and the attempts.
    fn stop(
        self,
        grace: Duration,
    ) -> (
        Snapshot,
        BTreeMap<String, usize>,
        BTreeMap<String, Vec<Seen>>,
    ) {
        drop(self.outbox);
        let end = self.sink.stop(grace);
        let taken = self.runtime.block_on(self.double.taken.lock()).clone();
        let attempts = self.runtime.block_on(self.double.attempts.lock()).clone();
        self.runtime.shutdown_background();
        assert_eq!(end.rows_open, 0, "every row has an end");
        let refused = end.rows_quarantined + end.rows_shed;
        let ends = end.rows_acknowledged + refused + end.rows_lost_shutdown;
        assert_eq!(end.rows_taken, ends);
        (end, taken, attempts)
    }
}

fn quick() -> Settings {
    Settings {
        backoff_ms: 1,
        backoff_max_ms: 5,
        compression: Compression::None,
        ..Default::default()
    }
}

const NOW_NS: i64 = 1_760_000_000_000_000_000;
const LONG: Duration = Duration::from_secs(60);

#[test]
fn all_that_passes_is_retried_with_the_same_bytes_and_token() {
    let script: Script = |_, attempt| match attempt {
        1 => Reply::Status(503),
        2 => Reply::Exception(241, "Memory limit (total) exceeded"),
        3 => Reply::Exception(252, "Too many parts (3000 with average size of 1 MiB)"),
        4 => Reply::DoneButCut,
        5 => Reply::Exception(210, "Connection reset"),
        6 => Reply::Exception(47, "Missing columns: transient"),
        _ => Reply::Done,
    };
    let stage = stage(script, quick());
    stage.send(10);
    let (end, taken, attempts) = stage.stop(LONG);
    assert_eq!((end.rows_taken, end.rows_acknowledged), (1000, 1000));
    assert!(
        end.ready && end.retries >= 60 && end.errors["241"] >= 10,
        "{end:?}"
    );
    // flows and usage of each bundle, and the exporter once
    assert_eq!(attempts.len(), 21);
    for (token, seen) in attempts {
        assert_eq!(seen.len(), 7);
        assert!(
            seen.iter().all(|s| *s == seen[0]),
            "{token} was sent with other bytes"
        );
        // it may take a token twice: the token says that it is the same
        assert_eq!(taken[&token], 2);
    }
}

/// A proxy that forgets its routes for a while: more often than rows may be refused, and none of them is given up.
#[test]
fn a_proxy_that_lets_nobody_through_costs_no_rows() {
    let script: Script = |_, attempt| match attempt {
        1..=3 => Reply::Status(403),
        4..=6 => Reply::Status(404),
        7 => Reply::Status(401),
        8 => Reply::Status(408),
        _ => Reply::Done,
    };
    let stage = stage(script, quick());
    stage.send(2);
    let (end, taken, _) = stage.stop(LONG);
    assert_eq!(
        (end.rows_acknowledged, end.rows_quarantined),
        (200, 0),
        "{end:?}"
    );
    assert!(taken.values().all(|n| *n == 1), "{taken:?}");
}

/// A network that asks for a login, a maintenance page, a proxy that is lost: none of it is the store's, whatever words it has.
#[test]
fn what_is_not_the_stores_own_answer_ends_no_row() {
    let stage = stage(|_, _| Reply::Done, quick());
    stage.double.closed.store(true, Relaxed);
    stage.send(3);
    let stats = stage.sink.stats().clone();
    eventually("every page was shown often", || {
        stats.snapshot().errors["http"] >= 60
    });
    let closed = stats.snapshot();
    assert_eq!(
        (closed.inserts, closed.rows_open, closed.rows_taken),
        (0, 300, 300),
        "{closed:?}"
    );
    eventually("it says so", || {
        let now = stats.snapshot();
        let said = |s: &String| s.contains("it was not ClickHouse that answered");
        !now.ready && now.last_error.as_ref().is_some_and(said) && now.endpoints[0].state == "down"
    });
    stage.double.closed.store(false, Relaxed);
    let (end, taken, attempts) = stage.stop(LONG);
    assert_eq!(end.rows_acknowledged, 300, "{end:?}");
    assert_eq!(attempts.len(), 7, "flows, usage, and the exporter once");
    assert!(taken.values().all(|n| *n == 1), "{taken:?}");
}

/// More often than rows may be refused, and none of them is given up: it is not about them.
#[test]
fn tables_that_are_gone_are_waited_for() {
    let script: Script = |_, attempt| match attempt {
        1..=7 => Reply::Exception(60, "Table flowhouse.flows does not exist"),
        8..=14 => Reply::Exception(81, "Database flowhouse does not exist"),
        _ => Reply::Done,
    };
    assert!(quick().refusals_max < 7);
    let stage = stage(script, quick());
    stage.send(2);
    let stats = stage.sink.stats().clone();
    eventually("it says so", || {
        let last = stats.snapshot().last_error;
        last.is_some_and(|e| e.contains("the store lacks the database or a table of ours"))
    });
    let (end, taken, _) = stage.stop(LONG);
    assert_eq!(end.rows_acknowledged, 200, "{end:?}");
    assert!(taken.values().all(|n| *n == 1), "{taken:?}");
}

#[test]
fn every_insert_names_its_settings() {
    let stage = stage(|_, _| Reply::Done, quick());
    stage.send(1);
    let (_, _, attempts) = stage.stop(LONG);
    for seen in attempts.into_values().flatten() {
        for (name, value) in [
            ("async_insert", "0"),
            ("insert_deduplicate", "1"),
            ("deduplicate_blocks_in_dependent_materialized_views", "1"),
            ("max_insert_threads", "1"),
            ("database", "flowhouse"),
        ] {
            assert_eq!(seen.parameters[name], value);
        }
        assert!(seen.parameters["query"].ends_with(") FORMAT Native"));
    }
}

#[test]
fn a_setting_that_the_store_does_not_know_is_left_out() {
    let script: Script = |seen, _| match seen
        .parameters
        .get("deduplicate_blocks_in_dependent_materialized_views")
    {
        Some(_) => Reply::Exception(
            115,
            "Unknown setting 'deduplicate_blocks_in_dependent_materialized_views'. (UNKNOWN_SETTING)",
        ),
        None => Reply::Done,
    };
    let stage = stage(script, quick());
    stage.send(3);
    let (end, _, attempts) = stage.stop(LONG);
    assert_eq!(end.rows_acknowledged, 300);
    assert!(
        attempts
            .values()
            .flatten()
            .last()
            .is_some_and(|s| s.parameters.contains_key("async_insert"))
    );
}

/// Without a spool, too: nobody knows whether the store still remembers the token.
#[test]
fn flows_that_are_long_in_doubt_are_asked_and_not_sent_again() {
    let doubt = spool::Settings {
        in_doubt_age_max_s: 0,
        ..Default::default()
    };
    let script: Script = |seen, _| match seen.parameters["query"].contains("flows") {
        true => Reply::DoneButCut,
        false => Reply::Done,
    };
    let stage = stage_in_doubt(script, quick(), &doubt);
    stage.send(1);
    let asked = stage.double.asked.clone();
    eventually("the store is asked for the batch", || {
        let asked = asked.blocking_lock();
        asked.iter().any(|sql| sql.contains("WHERE batch = "))
    });
    let (end, _, attempts) = stage.stop(Duration::from_millis(50));
    // the double does not know what it has, so they stay in doubt
    assert_eq!(end.rows_lost_shutdown, 100);
    let sent = attempts
        .iter()
        .filter(|(token, _)| token.contains("/flows/"));
    let sent: Vec<_> = sent.map(|(_, seen)| seen.len()).collect();
    assert_eq!(sent, [1]);
}

#[test]
fn rows_that_are_refused_for_good_let_others_pass_and_are_shed_without_a_spool() {
    let script: Script = |seen, _| {
        let token = &seen.parameters["insert_deduplication_token"];
        match token.contains("/1/flows/") {
            true => Reply::Exception(
                252,
                "Too many partitions for single INSERT block (more than 100)",
            ),
            false => Reply::Done,
        }
    };
    let stage = stage(script, quick());
    stage.send(5);
    let (end, _, attempts) = stage.stop(LONG);
    assert_eq!((end.rows_acknowledged, end.rows_shed), (400, 100));
    assert_eq!(end.rows_quarantined, 0, "nothing is kept");
    assert!(
        end.last_error
            .is_some_and(|e| e.contains("Too many partitions"))
    );
    let refused = attempts
        .iter()
        .find(|(token, _)| token.contains("/1/flows/"))
        .expect("sent");
    assert_eq!(refused.1.len(), quick().refusals_max as usize);
}

#[test]
fn what_there_is_no_time_for_is_lost_and_counted() {
    let stage = stage(
        |_, _| Reply::Silence,
        Settings {
            queue_max: 16,
            ..quick()
        },
    );
    stage.send(12);
    let (end, ..) = stage.stop(Duration::from_millis(50));
    assert_eq!((end.rows_taken, end.rows_lost_shutdown), (1200, 1200));
    assert!(!end.ready || end.inserts == 0);
}

#[test]
fn a_store_that_hangs_holds_the_shards_back() {
    let settings = Settings {
        queue_max: 2,
        in_flight_max: 1,
        ..quick()
    };
    let stage = stage(|_, _| Reply::Silence, settings);
    let outbox = stage.outbox.clone();
    let sender = std::thread::spawn(move || {
        let mut sealer = sealer(1);
        for _ in 0..20 {
            outbox.send(bundle(&mut sealer, 100, NOW_NS));
        }
    });
    // one in flight, one before the window, two queued, one held by the sender: it cannot get further
    let most = 500;
    while stage.sink.stats().snapshot().rows_taken < most {
        std::thread::yield_now();
    }
    std::thread::sleep(Duration::from_millis(100));
    assert_eq!(stage.sink.stats().snapshot().rows_taken, most);
    assert!(!sender.is_finished());
    let Stage { sink, outbox, .. } = stage;
    drop(outbox);
    let end = sink.stop(Duration::ZERO);
    sender.join().expect("set free");
    assert!(end.rows_lost_shutdown >= 300, "{end:?}");
}

#[test]
fn a_store_that_is_away_is_waited_for() {
    let connection = Connection {
        url: "http://127.0.0.1:1".into(),
        ..Default::default()
    };
    let (outbox, inbox) = hop(4);
    let sink = Sink::start(inbox, &connection, &quick()).expect("started");
    // counted from 0 on
    let errors = sink.stats().snapshot().errors;
    let codes = ["network", "timeout", "http", "other", "241", "252", "516"];
    assert!(codes.iter().all(|c| errors[*c] == 0), "{errors:?}");
    outbox.send(bundle(&mut sealer(1), 10, NOW_NS));
    while sink
        .stats()
        .snapshot()
        .errors
        .get("network")
        .is_none_or(|n| *n < 5)
    {
        std::thread::yield_now();
    }
    assert!(!sink.stats().is_ready());
    drop(outbox);
    let end = sink.stop(Duration::ZERO);
    assert_eq!((end.rows_taken, end.rows_lost_shutdown), (10, 10));
}
