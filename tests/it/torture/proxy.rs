//! A proxy before the store that answers, delays, cuts and resets as a test tells it.

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use hyper::body::Frame;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// What happens to one INSERT.
#[derive(Clone, Copy, Debug)]
pub enum Act {
    /// To the store, and its answer back.
    Pass,
    /// After this time, to the store.
    Slow(Duration),
    /// Not to the store: an exception of ClickHouse.
    Exception(u32, &'static str),
    /// Not to the store: a status without a word.
    Status(u16),
    /// Not to the store: one of the pages that somebody else has ([`page`]).
    Page(usize),
    /// To the store; the answer breaks off.
    CutReply,
    /// To the store; there is no answer.
    NoReply,
    /// Half of the body to the store, then both connections are reset.
    ResetMidBody,
}

/// Says what happens to INSERT number n into a table.
pub type Script = fn(u64, &str) -> Act;

/// A running proxy.
pub struct Proxy {
    pub url: String,
    shared: Arc<Shared>,
    _runtime: tokio::runtime::Runtime,
}

struct Shared {
    store: String,
    script: watch::Sender<Script>,
    inserts: AtomicU64,
    /// INSERTs that were not passed.
    faults: AtomicU64,
    /// Whether somebody else answers everything.
    closed: AtomicBool,
}

impl Proxy {
    /// A proxy before the store at `host:port`.
    pub fn start(store: &str, script: Script) -> Proxy {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("runtime");
        let shared = Arc::new(Shared {
            store: store.to_owned(),
            script: watch::Sender::new(script),
            inserts: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        });
        let app = Router::new().fallback(serve).with_state(shared.clone());
        let app = app.layer(axum::extract::DefaultBodyLimit::disable());
        let bound = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
        let listener = bound.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        runtime.spawn(async move { axum::serve(listener, app).await });
        Proxy {
            url,
            shared,
            _runtime: runtime,
        }
    }

    /// Another script from now on.
    pub fn script(&self, script: Script) {
        self.shared.script.send_replace(script);
    }

    /// Whether from now on a page of somebody else's answers whatever is asked.
    pub fn close(&self, closed: bool) {
        self.shared.closed.store(closed, Relaxed);
    }

    /// INSERTs that did not simply pass.
    pub fn faults(&self) -> u64 {
        self.shared.faults.load(Relaxed)
    }
}

async fn serve(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    if shared.closed.load(Relaxed) {
        return page(shared.faults.fetch_add(1, Relaxed) as usize);
    }
    let path = parts.uri.path_and_query().map_or("/", |p| p.as_str());
    let mut head = format!("{} {path} HTTP/1.1\r\nconnection: close\r\n", parts.method);
    for (name, value) in &parts.headers {
        let hop = ["host", "connection", "content-length", "transfer-encoding"];
        if !hop.contains(&name.as_str()) {
            head += &format!("{name}: {}\r\n", value.to_str().unwrap_or_default());
        }
    }
    head += &format!(
        "host: {}\r\ncontent-length: {}\r\n\r\n",
        shared.store,
        body.len()
    );
    let act = act(&shared, path);
    if !matches!(act, Act::Pass) {
        shared.faults.fetch_add(1, Relaxed);
    }
    match act {
        Act::Pass => pass(&shared, &head, body).await,
        Act::Slow(time) => {
            tokio::time::sleep(time).await;
            pass(&shared, &head, body).await
        }
        Act::Exception(code, text) => exception(code, text),
        Act::Status(code) => StatusCode::from_u16(code)
            .expect("a status")
            .into_response(),
        Act::Page(n) => page(n),
        Act::CutReply => {
            pass(&shared, &head, body).await;
            broken()
        }
        Act::NoReply => {
            pass(&shared, &head, body).await;
            std::future::pending().await
        }
        Act::ResetMidBody => {
            if let Ok(mut store) = TcpStream::connect(&shared.store).await {
                let half = &body[..body.len() / 2];
                let _ = store.write_all(head.as_bytes()).await;
                let _ = store.write_all(half).await;
                reset(store);
            }
            broken()
        }
    }
}

fn act(shared: &Shared, path: &str) -> Act {
    let Some(at) = path.find("INSERT") else {
        return Act::Pass;
    };
    let table: String = path[at..]
        .trim_start_matches(|c: char| c.is_ascii_uppercase() || "+%20".contains(c))
        .chars()
        .take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_')
        .collect();
    let n = shared.inserts.fetch_add(1, Relaxed);
    let script = *shared.script.borrow();
    script(n, &table)
}

/// Closes with a reset instead of an end.
fn reset(stream: TcpStream) {
    if let Ok(stream) = stream.into_std() {
        let socket = socket2::Socket::from(stream);
        let _ = socket.set_linger(Some(Duration::ZERO));
    }
}

/// An answer of the store that never gets whole: the connection ends within it.
pub fn broken() -> Response {
    let response = Response::builder()
        .header("X-ClickHouse-Summary", "{}")
        .header("content-length", 1000);
    response.body(Body::new(Broken(0))).expect("an answer")
}

/// The beginning of a body, and then an error; in between what there is goes out.
struct Broken(u8);

impl hyper::body::Body for Broken {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.0 += 1;
        match self.0 {
            1 => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"never whole"))))),
            2 => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            _ => Poll::Ready(Some(Err(std::io::Error::other("cut")))),
        }
    }
}

/// What others than ClickHouse answer: a login page, words of ClickHouse without its headers, nothing at all, the way elsewhere, a gateway
/// with nobody behind it, one with too much to do.
pub fn page(n: usize) -> Response {
    let answers = [
        (StatusCode::OK, "<html>Log in</html>"),
        (
            StatusCode::OK,
            "Code: 241. DB::Exception: Memory limit (version 26.9.2.1)",
        ),
        (StatusCode::NO_CONTENT, ""),
        (StatusCode::FOUND, ""),
        (
            StatusCode::BAD_GATEWAY,
            "<p>Code: 27. DB::Exception: Cannot parse input</p>",
        ),
        (StatusCode::TOO_MANY_REQUESTS, ""),
    ];
    answers[n % answers.len()].into_response()
}

fn exception(code: u32, text: &str) -> Response {
    let text = format!("Code: {code}. DB::Exception: {text} (version 26.9.2.1)");
    let header = [("X-ClickHouse-Exception-Code", code.to_string())];
    (StatusCode::INTERNAL_SERVER_ERROR, header, text).into_response()
}

/// To the store and back; a store that is away looks like one.
async fn pass(shared: &Shared, head: &str, body: Bytes) -> Response {
    match exchange(&shared.store, head, &body).await {
        Ok(response) => response,
        Err(_) => broken(),
    }
}

async fn exchange(store: &str, head: &str, body: &[u8]) -> std::io::Result<Response> {
    let mut stream = TcpStream::connect(store).await?;
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    let mut answer = vec![];
    stream.read_to_end(&mut answer).await?;
    parse(&answer).ok_or_else(|| std::io::ErrorKind::InvalidData.into())
}

/// The answer, its body whole.
fn parse(answer: &[u8]) -> Option<Response> {
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let mut body = answer[end + 4..].to_vec();
    let mut lines = head.split("\r\n");
    let status: u16 = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let mut response = Response::builder().status(status);
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        let name = name.to_ascii_lowercase();
        match name.as_str() {
            "transfer-encoding" => body = unchunk(&body)?,
            "connection" | "content-length" => {}
            _ => response = response.header(name, value),
        }
    }
    response.body(Body::from(body)).ok()
}

fn unchunk(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut out = vec![];
    loop {
        let end = body.windows(2).position(|w| w == b"\r\n")?;
        let size = std::str::from_utf8(&body[..end]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?, 16).ok()?;
        if size == 0 {
            return Some(out);
        }
        out.extend_from_slice(body.get(end + 2..end + 2 + size)?);
        body = body.get(end + 4 + size..)?;
    }
}

#[test]
fn a_broken_answer_begins_and_ends_too_early() {
    use std::io::{Read, Write};
    let proxy = Proxy::start("127.0.0.1:1", |_, _| Act::CutReply);
    let address = proxy.url.trim_start_matches("http://");
    let mut stream = std::net::TcpStream::connect(address).expect("it listens");
    let request =
        "POST /?query=INSERT%20INTO%20flows HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = vec![];
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\nnever whole"),
        "{answer}"
    );
    assert!(answer.contains("content-length: 1000\r\n"), "{answer}");
}
