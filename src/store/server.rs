//! The HTTP face: who may ask, how many at once, and the way to a blocking thread for each.

use super::body::BodyReader;
use super::engine::Engine;
use super::error::{Exception, Name};
use super::execute::{Request, execute};
use super::guard::{Access, Guard};
use super::key::Keys;
use super::reply::{Head, Reply};
use super::request::{Parameters, check_origin, is_get, presented_key};
use super::scratch::Scratch;
use super::session::Sessions;
use super::settings::Settings;
use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderMap, Response, StatusCode, header};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// What all requests share.
pub struct Shared {
    /// Limits and names.
    pub settings: Settings,
    /// The engine.
    pub engine: Engine,
    /// The rules for SQL.
    pub guard: Guard,
    /// The sessions.
    pub sessions: Sessions,
    /// Where inserts are spooled.
    pub scratch: Scratch,
    /// What happened so far.
    pub counters: Counters,
    keys: Keys,
    turns: Arc<Semaphore>,
    waiting: AtomicU64,
    stopping: AtomicBool,
}

/// What happened so far, each a plain count.
#[derive(Debug, Default)]
pub struct Counters {
    requests: AtomicU64,
    failed: AtomicU64,
    unauthenticated: AtomicU64,
    refused_origin: AtomicU64,
    refused_sql: AtomicU64,
    refused_busy: AtomicU64,
    refused_size: AtomicU64,
}

impl Counters {
    /// Books a request that ended with an exception.
    pub fn failed(&self, exception: &Exception) {
        let also = match exception.code {
            516 => Some(&self.unauthenticated),
            164 | 452 | 497 => Some(&self.refused_sql),
            202 => Some(&self.refused_busy),
            307 => Some(&self.refused_size),
            _ => None,
        };
        for counter in also.into_iter().chain([&self.failed]) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The counters as Prometheus text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let all = [
            ("requests", "requests with a body or query", &self.requests),
            (
                "failed",
                "requests that ended with an exception",
                &self.failed,
            ),
            (
                "unauthenticated",
                "requests without a good key",
                &self.unauthenticated,
            ),
            (
                "refused_origin",
                "requests with an Origin or unknown Host",
                &self.refused_origin,
            ),
            (
                "refused_sql",
                "requests with SQL or settings that are not allowed",
                &self.refused_sql,
            ),
            (
                "refused_busy",
                "requests refused because too many run or wait",
                &self.refused_busy,
            ),
            (
                "refused_size",
                "requests or results that were too large",
                &self.refused_size,
            ),
        ];
        for (name, help, counter) in all {
            let value = counter.load(Ordering::Relaxed);
            let _ = write!(
                out,
                "# HELP flowhouse_store_{name}_total {help}\n# TYPE flowhouse_store_{name}_total counter\nflowhouse_store_{name}_total {value}\n"
            );
        }
        out
    }
}

impl Shared {
    /// Puts together what a started store needs.
    pub fn new(
        settings: Settings,
        engine: Engine,
        guard: Guard,
        keys: Keys,
        scratch: Scratch,
    ) -> Shared {
        Shared {
            sessions: Sessions::new(settings.sessions_max),
            turns: Arc::new(Semaphore::new(settings.requests_max)),
            waiting: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            counters: Counters::default(),
            settings,
            engine,
            guard,
            keys,
            scratch,
        }
    }

    /// Whether running queries should end now.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    /// Asks running queries to end.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// A turn to run, or the reason why there is none.
    async fn turn(&self) -> Result<OwnedSemaphorePermit, Exception> {
        let busy = |text: String| Exception::new(Name::TooManyQueries, text);
        let turns = Arc::clone(&self.turns);
        if let Ok(permit) = Arc::clone(&turns).try_acquire_owned() {
            return Ok(permit);
        }
        let _place = Place::take(&self.waiting);
        if self.waiting.load(Ordering::Relaxed) > self.settings.requests_waiting_max as u64 {
            let running = self.settings.requests_max;
            return Err(busy(format!(
                "Too many simultaneous queries: {running} run, {} wait",
                self.settings.requests_waiting_max
            )));
        }
        match tokio::time::timeout(self.settings.request_wait_max, turns.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(busy(format!(
                "Too many simultaneous queries: no turn within {:?}",
                self.settings.request_wait_max
            ))),
        }
    }
}

/// A place among the waiting, given back when the client goes away too.
struct Place<'a>(&'a AtomicU64);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicU64) -> Place<'a> {
        waiting.fetch_add(1, Ordering::Relaxed);
        Place(waiting)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The whole HTTP face.
pub fn router(shared: Arc<Shared>) -> axum::Router {
    axum::Router::new().fallback(answer).with_state(shared)
}

async fn answer(State(shared): State<Arc<Shared>>, request: HttpRequest) -> Response<Body> {
    if let Err(exception) = check_origin(request.headers(), &shared.settings) {
        shared
            .counters
            .refused_origin
            .fetch_add(1, Ordering::Relaxed);
        return plain_failure(&shared, &exception);
    }
    match request.uri().path() {
        "/ping" | "/replicas_status" => text("Ok.\n".to_owned()),
        "/" | "/query" | "" if is_greeting(&request) => text("Ok.\n".to_owned()),
        "/" | "/query" | "" | "/metrics" => {
            let answered = ask(&shared, request).await;
            answered.unwrap_or_else(|exception| {
                shared.counters.failed(&exception);
                plain_failure(&shared, &exception)
            })
        }
        path => {
            let mut response = text(format!("There is no handle {path}\n"));
            *response.status_mut() = StatusCode::NOT_FOUND;
            response
        }
    }
}

/// `GET /` without a query is ClickHouse's other way to ask whether it lives.
fn is_greeting(request: &HttpRequest) -> bool {
    is_get(request.method()) && request.uri().query().is_none_or(str::is_empty)
}

async fn ask(shared: &Arc<Shared>, request: HttpRequest) -> Result<Response<Body>, Exception> {
    shared.counters.requests.fetch_add(1, Ordering::Relaxed);
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let parameters = Parameters::read(&parts.uri)?;
    let access = authenticate(shared, &parts.headers, &parameters)?;
    if parts.uri.path() == "/metrics" {
        return Ok(text(shared.counters.text()));
    }
    let access = if is_get(&parts.method) {
        Access::ReadOnly
    } else {
        access
    };
    let permit = shared.turn().await?;
    let query_id = parameters
        .get("query_id")
        .filter(|id| !id.is_empty())
        .map_or_else(random_id, str::to_owned);
    let (sender, receiver) = oneshot::channel();
    let handle = Handle::current();
    let stall_max = shared.settings.stall_max;
    let reply = Reply::new(
        Head {
            query_id,
            fields: Vec::new(),
            started,
        },
        sender,
        handle.clone(),
        stall_max,
    );
    let request = Request {
        parameters,
        headers: parts.headers,
        body: BodyReader::new(body, handle.clone(), stall_max),
        access,
    };
    let shared = Arc::clone(shared);
    handle.spawn_blocking(move || {
        execute(&shared, request, reply);
        drop(permit);
    });
    receiver
        .await
        .map_err(|_| Exception::new(Name::Unknown, "the request's thread failed"))
}

fn authenticate(
    shared: &Shared,
    headers: &HeaderMap,
    parameters: &Parameters,
) -> Result<Access, Exception> {
    let key = presented_key(headers, parameters).unwrap_or_default();
    let refused = "default: Authentication failed: the key is missing or wrong; it is in the file `key` of the data folder";
    shared
        .keys
        .access(&key)
        .ok_or_else(|| Exception::new(Name::AuthenticationFailed, refused))
}

fn random_id() -> String {
    let bytes: [u8; 16] = rand::random();
    let mut out = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        let _ = write!(out, "{byte:02x}");
    }
    out
}

fn text(body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("text/plain; charset=UTF-8"),
    );
    response
}

fn plain_failure(shared: &Shared, exception: &Exception) -> Response<Body> {
    let mut response = text(format!(
        "{} (version {} (flowhouse store))\n",
        exception.text, shared.engine.version
    ));
    *response.status_mut() = exception.status();
    response
        .headers_mut()
        .insert("x-clickhouse-exception-code", exception.code.into());
    if response.status() == StatusCode::UNAUTHORIZED {
        let basic = header::HeaderValue::from_static("Basic realm=\"flowhouse store\"");
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, basic);
    }
    response
}
