//! An INSERT over HTTP, and whose answer it got.
//!
//! The client of the crate `clickhouse` takes every status 200 for an acknowledgement and hides the headers, which alone tell that
//! ClickHouse gave it: the page of a network that asks for a login would end rows for good. So INSERTs go from here, and the rest goes
//! through that client.

use super::Connection;
use super::secret::Secret;
use super::verdict::exception_code;
use bytes::Bytes;
use clickhouse::error::Error;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{HeaderValue, USER_AGENT};
use hyper::http::response::Parts;
use hyper::{Request, Response, StatusCode};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Builder, Client, ResponseFuture};
use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// How connections are made.
#[derive(Clone)]
pub(super) enum Connector {
    Plain(HttpConnector),
    Tls(HttpsConnector<HttpConnector>),
}

/// What sends INSERTs; its clones share their connections.
#[derive(Clone)]
pub(super) struct Wire {
    pool: Pool,
    database: String,
    user: String,
    password: Option<Secret>,
}

#[derive(Clone)]
enum Pool {
    Plain(Client<HttpConnector, Slices>),
    Tls(Client<HttpsConnector<HttpConnector>, Slices>),
}

/// How long an INSERT may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// For each piece of the body.
    pub(super) send: Duration,
    /// For the answer, once the body is sent.
    pub(super) end: Duration,
}

impl Wire {
    pub(super) fn new(
        connector: Connector,
        pool: &Builder,
        connection: &Connection,
        password: Option<Secret>,
    ) -> Wire {
        let pool = match connector {
            Connector::Plain(tcp) => Pool::Plain(pool.build(tcp)),
            Connector::Tls(https) => Pool::Tls(pool.build(https)),
        };
        Wire {
            pool,
            database: connection.database.clone(),
            user: connection.user.clone(),
            password,
        }
    }

    /// Sends an INSERT with its settings to the store at `url`; an error has the form of that client's.
    pub(super) async fn insert(
        &self,
        url: &str,
        sql: &str,
        settings: &[(&str, &str)],
        body: Bytes,
        patience: Patience,
    ) -> Result<(), Error> {
        let (left, watched) = watch::channel(body.len());
        let answer = self.post(url, sql, settings, Slices { rest: body, left })?;
        read(until(answer, watched, patience).await?, patience.end).await
    }

    fn post(
        &self,
        url: &str,
        sql: &str,
        settings: &[(&str, &str)],
        body: Slices,
    ) -> Result<ResponseFuture, Error> {
        let own = [("database", &*self.database), ("query", sql)];
        let query: Vec<String> = own
            .iter()
            .chain(settings)
            .map(|(name, value)| format!("{name}={}", encoded(value)))
            .collect();
        let secret = |text: &str| -> Result<HeaderValue, Error> {
            let mut value = HeaderValue::from_bytes(text.as_bytes())
                .map_err(|e| Error::InvalidParams(e.into()))?;
            value.set_sensitive(true);
            Ok(value)
        };
        let mut request = Request::post(format!(
            "{}/?{}",
            url.trim_end_matches('/'),
            query.join("&")
        ))
        .header(USER_AGENT, concat!("flowhouse/", env!("CARGO_PKG_VERSION")))
        .header("X-ClickHouse-User", secret(&self.user)?);
        if let Some(password) = &self.password {
            request = request.header("X-ClickHouse-Key", secret(password.reveal())?);
        }
        let request = request
            .body(body)
            .map_err(|e| Error::InvalidParams(e.into()))?;
        Ok(match &self.pool {
            Pool::Plain(pool) => pool.request(request),
            Pool::Tls(pool) => pool.request(request),
        })
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // without the password
        f.debug_struct("Wire")
            .field("database", &self.database)
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// The head of the answer, as long as the body moves.
async fn until(
    mut answer: ResponseFuture,
    mut left: watch::Receiver<usize>,
    patience: Patience,
) -> Result<Response<Incoming>, Error> {
    loop {
        let moved = timeout(patience.send, left.changed());
        tokio::select! {
            biased;
            answer = &mut answer => return Ok(answer?),
            moved = moved => match moved {
                Err(_) => return Err(Error::TimedOut),
                Ok(Ok(())) if *left.borrow() > 0 => {}
                // all of it is taken, or nobody takes any more: that is for the answer to tell
                Ok(_) => break,
            },
        }
    }
    let answer = timeout(patience.end, answer).await;
    Ok(answer.map_err(|_| Error::TimedOut)??)
}

/// Whether the answer says that the rows are there.
async fn read(answer: Response<Incoming>, patience: Duration) -> Result<(), Error> {
    let (head, mut body) = answer.into_parts();
    let mut text = vec![];
    let whole = timeout(patience, async {
        while text.len() < TEXT_MAX
            && let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await
        {
            let data = frame?.into_data().unwrap_or_default();
            text.extend_from_slice(&data);
        }
        Ok::<_, Error>(())
    });
    let whole = whole.await.unwrap_or(Err(Error::TimedOut));
    let text = String::from_utf8_lossy(&text);
    match whole {
        // what was said before it broke off is worth more than that it did
        Err(error) if head.status == StatusCode::OK || text.is_empty() => Err(error),
        _ => judge(&head, text.trim()),
    }
}

/// Only a status 200 with a header of ClickHouse's own and nothing else is an acknowledgement. What the store says itself begins with its
/// code; before anything else stands the status.
fn judge(head: &Parts, text: &str) -> Result<(), Error> {
    let is_own = OWN.iter().any(|name| head.headers.contains_key(*name));
    let code = head.headers.get(EXCEPTION_CODE);
    let code = code.and_then(|c| c.to_str().ok()?.parse::<u32>().ok());
    let said = match (head.status, code) {
        (_, Some(code)) if exception_code(text).is_none() => format!("Code: {code}. {text}"),
        (_, Some(_)) => text.to_owned(),
        (StatusCode::OK, None) if is_own && text.is_empty() => return Ok(()),
        // an exception that came up when the head was on its way
        (StatusCode::OK, None) if is_own && text.contains(EXCEPTION) => {
            text[text.find("Code: ").unwrap_or(0)..].to_owned()
        }
        (status, None) if status != StatusCode::OK && is_exception(text) => text.to_owned(),
        (status, None) => {
            let colon = if text.is_empty() { "" } else { ": " };
            let shown: String = text.chars().take(SHOWN_MAX).collect();
            format!("{status}{colon}{shown}")
        }
    };
    Err(Error::BadResponse(said))
}

/// Whether a text is an exception in ClickHouse's own words.
fn is_exception(text: &str) -> bool {
    exception_code(text).is_some()
        && text
            .split_once(". ")
            .is_some_and(|(_, rest)| rest.starts_with(EXCEPTION))
}

/// A text as a value in the query of an address.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(byte.into());
            }
            _ => out += &format!("%{byte:02X}"),
        }
    }
    out
}

/// A body that is sent in pieces and tells how much of it is left. Where its connection ends before it does, the store has less than it was
/// told, and refuses it.
struct Slices {
    rest: Bytes,
    left: watch::Sender<usize>,
}

impl Body for Slices {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let next = self.rest.len().min(SLICE);
        let slice = self.rest.split_to(next);
        self.left.send_replace(self.rest.len());
        Poll::Ready(Some(Ok(Frame::data(slice))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

/// Headers that ClickHouse's HTTP interface adds to its answers, and nobody else.
const OWN: [&str; 3] = [
    "x-clickhouse-summary",
    "x-clickhouse-query-id",
    "x-clickhouse-server-display-name",
];

const EXCEPTION_CODE: &str = "x-clickhouse-exception-code";

const EXCEPTION: &str = "DB::Exception";

/// Bytes handed to the connection at once.
const SLICE: usize = 1 << 20;

/// Bytes of an answer that are read.
const TEXT_MAX: usize = 64 << 10;

/// Characters of an answer that is not the store's which are shown.
const SHOWN_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, headers: &[(&str, &str)], text: &str) -> Result<(), String> {
        let mut answer = Response::builder().status(status);
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        let (head, ()) = answer.body(()).expect("an answer").into_parts();
        judge(&head, text).map_err(|error| match error {
            Error::BadResponse(said) => said,
            other => panic!("{other}"),
        })
    }

    #[test]
    fn only_clickhouse_acknowledges() {
        let own = [("X-ClickHouse-Query-Id", "1")];
        assert_eq!(said(200, &own, ""), Ok(()));
        assert_eq!(said(200, &[("X-ClickHouse-Summary", "{}")], ""), Ok(()));
        for (status, headers, text, begins) in [
            (200, &[][..], "", "200 OK"),
            (200, &[], "<html>Log in</html>", "200 OK: <html>Log in"),
            (200, &[], "Code: 241. DB::Exception: Memory", "200 OK: Code"),
            (200, &own, "<html>Welcome</html>", "200 OK: <html>"),
            (204, &own, "", "204 No Content"),
            (302, &[], "", "302 Found"),
            (
                502,
                &[],
                "<p>Code: 60. DB::Exception",
                "502 Bad Gateway: <p>",
            ),
            (
                503,
                &[],
                "Code: 7 is what our vault opens with",
                "503 Service",
            ),
        ] {
            let told = said(status, headers, text).expect_err(text);
            assert!(told.starts_with(begins), "{told}");
        }
    }

    #[test]
    fn what_the_store_says_begins_with_its_code() {
        let code = [("X-ClickHouse-Exception-Code", "60")];
        let text = "Code: 60. DB::Exception: no table";
        assert_eq!(said(404, &code, text), Err(text.into()));
        assert_eq!(said(404, &[], text), Err(text.into()));
        assert_eq!(said(500, &code, ""), Err("Code: 60. ".into()));
        let own = [("X-ClickHouse-Query-Id", "1")];
        let late = format!("__exception__\r\nabc\r\n{text}");
        assert_eq!(said(200, &own, &late), Err(text.into()));
    }

    #[test]
    fn values_are_encoded() {
        assert_eq!(encoded("a/1 `é`"), "a%2F1%20%60%C3%A9%60");
    }
}
