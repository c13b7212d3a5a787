//! The HTTP server.

use super::access::{Access, Peer, Rules};
use super::detections;
use super::tls::HttpsListener;
use super::{Error, Inventory, Settings, Source, render};
use axum::Router;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::routing::{get, post};
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;

/// A bound listener that does not serve yet: bind while privileged, start when the collector runs.
#[derive(Debug)]
pub struct Server {
    listener: std::net::TcpListener,
    address: SocketAddr,
    access: Arc<Access>,
}

/// A serving thread. Dropping it stops it, too, without waiting.
#[derive(Debug)]
pub struct Running {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Takes the address and reads the files that the settings name.
    pub fn bind(settings: &Settings) -> Result<Server, Error> {
        let access = Access::new(Rules::read(settings)?);
        let fault = |error| Error::Listen {
            address: settings.listen,
            error,
        };
        let listener = std::net::TcpListener::bind(settings.listen).map_err(fault)?;
        listener.set_nonblocking(true).map_err(fault)?;
        let address = listener.local_addr().map_err(fault)?;
        Ok(Server {
            listener,
            address,
            access,
        })
    }

    /// The rules in force, for a reload to replace.
    pub fn access(&self) -> Arc<Access> {
        self.access.clone()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves from a thread with a runtime of its own, until stopped.
    pub fn start(self, source: Arc<dyn Source>) -> Result<Running, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = {
            let _entered = runtime.enter();
            tokio::net::TcpListener::from_std(self.listener)?
        };
        let pages = Arc::new(Pages {
            source,
            inventory: Inventory::default(),
            access: self.access.clone(),
            address: self.address,
        });
        let (stop, stopped) = oneshot::channel::<()>();
        let serve = async move {
            let router = router(Arc::clone(&pages));
            tokio::select! {
                end = serve_all(listener, self.access, router) => {
                    if let Err(error) = end {
                        tracing::error!(%error, "the HTTP side has ended");
                    }
                }
                () = watch(&pages) => {}
                _ = stopped => {}
            }
        };
        let thread = std::thread::Builder::new()
            .name("control".into())
            .spawn(move || runtime.block_on(serve))?;
        Ok(Running {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Running {
    /// Ends the thread and waits for it. Requests on their way are cut.
    pub fn stop(mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the HTTP thread has panicked");
        }
    }
}

/// HTTPS where there is a certificate, else HTTP.
async fn serve_all(
    listener: tokio::net::TcpListener,
    access: Arc<Access>,
    router: Router,
) -> std::io::Result<()> {
    let service = router.into_make_service_with_connect_info::<Peer>();
    match access.rules().tls.is_some() {
        true => axum::serve(HttpsListener::start(listener, access)?, service).await,
        false => axum::serve(listener, service).await,
    }
}

/// What the pages need.
pub(super) struct Pages {
    pub(super) source: Arc<dyn Source>,
    inventory: Inventory,
    pub(super) access: Arc<Access>,
    pub(super) address: SocketAddr,
}

impl Pages {
    fn observe(&self) -> super::Snapshot {
        let snapshot = self.source.snapshot();
        self.inventory.observe(&snapshot.book, now_ms());
        snapshot
    }
}

fn router(pages: Arc<Pages>) -> Router {
    Router::new()
        .route("/", get(async || Html(INDEX)))
        .route("/metrics", get(metrics))
        .route("/healthz", get(async || "alive\n"))
        .route("/readyz", get(readyz))
        .route("/ledger.json", get(ledger))
        .route("/exporters", get(exporters))
        .route("/rules/costs", get(rule_costs))
        .route("/detections", get(detections::list))
        .route("/detections/budget", get(detections::budget))
        .route("/detections/{id}", get(detections::one))
        .route("/detections/{id}/history", get(detections::history))
        .route("/detections/{id}/state", post(detections::step))
        .route("/-/reload", post(reload))
        .with_state(pages)
}

/// Keeps the inventory up to date where nobody asks.
async fn watch(pages: &Pages) {
    let mut tick = tokio::time::interval(WATCH_EVERY);
    loop {
        tick.tick().await;
        pages.observe();
    }
}

async fn metrics(State(pages): State<Arc<Pages>>) -> impl IntoResponse {
    let snapshot = pages.observe();
    let labels_max = pages.access.rules().exporter_labels_max;
    match render(&snapshot, &pages.inventory, labels_max) {
        Ok(text) => (
            StatusCode::OK,
            [(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)],
            text,
        ),
        Err(error) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            [(header::CONTENT_TYPE, "text/plain")],
            format!("{error}\n"),
        ),
    }
}

async fn readyz(State(pages): State<Arc<Pages>>) -> impl IntoResponse {
    let snapshot = pages.source.snapshot();
    match snapshot.not_ready {
        None => {
            let why = snapshot.spooling.map(|w| format!("; spooling: {w}"));
            (
                StatusCode::OK,
                format!("ready{}\n", why.unwrap_or_default()),
            )
        }
        Some(reason) => (StatusCode::SERVICE_UNAVAILABLE, format!("{reason}\n")),
    }
}

async fn ledger(State(pages): State<Arc<Pages>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, JSON)], pages.source.ledger_json())
}

/// Reads the configuration again; 422 and the reason when it is at fault and nothing was changed.
async fn reload(
    State(pages): State<Arc<Pages>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    headers: HeaderMap,
) -> axum::response::Response {
    if let Err((status, why)) = pages.access.rules().permit(pages.address, peer, &headers) {
        tracing::warn!("a request to reload was refused: {why}");
        let challenge = [(header::WWW_AUTHENTICATE, "Bearer")];
        let why = format!("{why}\n");
        return match status {
            StatusCode::UNAUTHORIZED => (status, challenge, why).into_response(),
            status => (status, why).into_response(),
        };
    }
    let source = pages.source.clone();
    match tokio::task::spawn_blocking(move || source.reload()).await {
        Ok(Ok(text)) => (StatusCode::OK, text).into_response(),
        Ok(Err(why)) => (StatusCode::UNPROCESSABLE_ENTITY, why).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// What rules cost, a line of JSON each.
async fn rule_costs(State(pages): State<Arc<Pages>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, NDJSON)], pages.source.rule_costs())
}

async fn exporters(State(pages): State<Arc<Pages>>) -> impl IntoResponse {
    pages.observe();
    let text = format!("{:#}\n", pages.inventory.json());
    ([(header::CONTENT_TYPE, JSON)], text)
}

#[expect(
    clippy::disallowed_methods,
    reason = "dates the inventory; nothing on the data path asks control for the time"
)]
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |d| d.as_millis() as i64)
}

/// How often the inventory looks by itself.
const WATCH_EVERY: Duration = Duration::from_secs(10);

const NDJSON: &str = "application/x-ndjson";
const JSON: &str = "application/json";

const INDEX: &str = "<!doctype html>
<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Flowhouse</title></head><body>
<h1>Flowhouse</h1>
<ul>
<li><a href=\"/metrics\">/metrics</a>: everything counted, for Prometheus</li>
<li><a href=\"/ledger.json\">/ledger.json</a>: what became of every datagram, set, record and row, and whether it adds up</li>
<li><a href=\"/rules/costs\">/rules/costs</a>: what the rules on packets cost that cost most, a line of JSON each</li>
<li><a href=\"/exporters\">/exporters</a>: who sends, since when, and what was counted of it</li>
<li><a href=\"/detections\">/detections</a>: incidents that are open; <code>/detections/ID</code> and <code>/detections/ID/history</code> for one of them,
<code>POST /detections/ID/state</code> for a step of its life</li>
<li><a href=\"/healthz\">/healthz</a>: the process is alive</li>
<li><a href=\"/readyz\">/readyz</a>: rows can be delivered or spooled</li>
<li><code>POST /-/reload</code>: read the configuration again</li>
</ul>
</body></html>
";
