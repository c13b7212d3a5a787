//! The answer to one request: headers when the first bytes are known, the rest as it comes, in the client's encoding.

use super::error::{Exception, Name};
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use bytes::Bytes;
use http_body_util::channel::{Channel, Sender};
use std::io::Write;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// How a response is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packing {
    /// As it is.
    Plain,
    /// gzip by `Accept-Encoding`.
    Gzip,
    /// Zstandard by `Accept-Encoding`.
    Zstd,
    /// LZ4 frames by `Accept-Encoding`.
    Lz4,
    /// ClickHouse's checksummed blocks, by `compress=1`.
    Blocks,
}

impl Packing {
    /// Picks the packing from the parameters and headers of a request.
    pub fn choose(compress: bool, http_compression: bool, accept: &str) -> Packing {
        if compress {
            return Packing::Blocks;
        }
        if !http_compression {
            return Packing::Plain;
        }
        let names = accept
            .split(',')
            .map(|part| part.split(';').next().unwrap_or_default().trim());
        let known = names.filter_map(|name| match name {
            "lz4" => Some(Packing::Lz4),
            "zstd" => Some(Packing::Zstd),
            "gzip" => Some(Packing::Gzip),
            _ => None,
        });
        known.into_iter().next().unwrap_or(Packing::Plain)
    }

    fn encoding(self) -> Option<&'static str> {
        match self {
            Packing::Gzip => Some("gzip"),
            Packing::Zstd => Some("zstd"),
            Packing::Lz4 => Some("lz4"),
            Packing::Plain | Packing::Blocks => None,
        }
    }
}

/// What every answer to one request carries.
#[derive(Debug, Clone)]
pub struct Head {
    /// `X-ClickHouse-Query-Id`.
    pub query_id: String,
    /// Extra headers.
    pub fields: Vec<(&'static str, String)>,
    /// When the request came.
    pub started: Instant,
}

/// Builds the response and hands it to the server once its beginning is known.
pub struct Reply {
    head: Head,
    packing: Packing,
    tag: String,
    bytes_max: u64,
    bytes: u64,
    encoder: Option<Encoder>,
}

impl Reply {
    /// An answer that goes to `sender`.
    pub fn new(
        head: Head,
        sender: oneshot::Sender<Response<Body>>,
        handle: Handle,
        stall_max: Duration,
    ) -> Reply {
        let out = Out {
            sender: Some(sender),
            stream: None,
            head: head.clone(),
            buffer: Vec::new(),
            handle,
            stall_max,
            discard: false,
        };
        let tag = head
            .query_id
            .bytes()
            .filter(u8::is_ascii_alphanumeric)
            .take(16)
            .map(char::from)
            .collect();
        Reply {
            head,
            packing: Packing::Plain,
            tag,
            bytes_max: u64::MAX,
            bytes: 0,
            encoder: Some(Encoder::Plain(out)),
        }
    }

    /// Sets the packing, the format's headers and the size limit; before the first byte only.
    pub fn begin(
        &mut self,
        packing: Packing,
        format: &str,
        timezone: &str,
        bytes_max: u64,
    ) -> Result<(), Exception> {
        self.packing = packing;
        self.bytes_max = bytes_max;
        self.head
            .fields
            .push(("x-clickhouse-format", format.to_owned()));
        self.head
            .fields
            .push(("x-clickhouse-timezone", timezone.to_owned()));
        self.head
            .fields
            .push(("x-clickhouse-exception-tag", self.tag.clone()));
        self.head
            .fields
            .push(("content-type", content_type(format).to_owned()));
        if let Some(encoding) = packing.encoding() {
            self.head
                .fields
                .push(("content-encoding", encoding.to_owned()));
        }
        if let Some(Encoder::Plain(mut out)) = self.encoder.take() {
            out.head = self.head.clone();
            self.encoder = Some(Encoder::new(packing, out)?);
        }
        Ok(())
    }

    /// Whether nobody waits for the answer any more.
    pub fn abandoned(&self) -> bool {
        self.encoder
            .as_ref()
            .is_none_or(|encoder| encoder.out().abandoned())
    }

    /// Adds bytes of the result.
    pub fn take(&mut self, bytes: &[u8]) -> Result<(), Exception> {
        self.bytes += bytes.len() as u64;
        if self.bytes > self.bytes_max {
            let text = format!("Limit for result exceeded, max bytes: {}", self.bytes_max);
            return Err(Exception::new(Name::TooManyBytes, text));
        }
        let Some(encoder) = &mut self.encoder else {
            return Ok(());
        };
        Ok(encoder.write_all(bytes)?)
    }

    /// Ends the answer well.
    pub fn finish(mut self, written_rows: u64) {
        let elapsed = self.head.started.elapsed().as_nanos();
        let summary = format!(
            r#"{{"read_rows":"0","read_bytes":"0","written_rows":"{written_rows}","written_bytes":"0","total_rows_to_read":"0","result_rows":"0","result_bytes":"{}","elapsed_ns":"{elapsed}"}}"#,
            self.bytes
        );
        let Some(encoder) = self.encoder.take() else {
            return;
        };
        if let Ok(mut out) = encoder.finish() {
            out.head.fields.push(("x-clickhouse-summary", summary));
            out.finish(StatusCode::OK);
        }
    }

    /// Ends the answer with an exception: as a whole answer, or as a mark in the middle of the stream.
    pub fn fail(mut self, exception: &Exception, version: &str) {
        let text = format!("{} (version {version} (flowhouse store))\n", exception.text);
        let Some(mut encoder) = self.encoder.take() else {
            return;
        };
        if encoder.out().stream.is_some() {
            let mark = format!(
                "\r\n__exception__\r\n{0}\r\n{text}{1} {0}\r\n__exception__\r\n",
                self.tag,
                text.len()
            );
            let _ = encoder.write_all(mark.as_bytes());
            if let Ok(mut out) = encoder.finish() {
                let _ = out.flush();
                out.abort();
            }
            return;
        }
        let Some(mut out) = encoder.into_empty_out() else {
            return;
        };
        out.buffer = text.into_bytes();
        out.head.fields.retain(|(name, _)| {
            !matches!(
                *name,
                "content-encoding" | "content-type" | "x-clickhouse-format"
            )
        });
        out.head
            .fields
            .push(("x-clickhouse-exception-code", exception.code.to_string()));
        out.head
            .fields
            .push(("content-type", "text/plain; charset=UTF-8".to_owned()));
        out.finish(exception.status());
    }
}

/// The encoders over the way out.
enum Encoder {
    Plain(Out),
    Gzip(flate2::write::GzEncoder<Out>),
    Zstd(zstd::Encoder<'static, Out>),
    Lz4(Box<lz4_flex::frame::FrameEncoder<Out>>),
    Blocks(Out, Vec<u8>),
}

impl Encoder {
    fn new(packing: Packing, out: Out) -> Result<Encoder, Exception> {
        Ok(match packing {
            Packing::Plain => Encoder::Plain(out),
            Packing::Gzip => Encoder::Gzip(flate2::write::GzEncoder::new(
                out,
                flate2::Compression::fast(),
            )),
            Packing::Zstd => Encoder::Zstd(zstd::Encoder::new(out, 1)?),
            Packing::Lz4 => Encoder::Lz4(Box::new(lz4_flex::frame::FrameEncoder::new(out))),
            Packing::Blocks => Encoder::Blocks(out, Vec::new()),
        })
    }

    fn out(&self) -> &Out {
        match self {
            Encoder::Plain(out) | Encoder::Blocks(out, _) => out,
            Encoder::Gzip(encoder) => encoder.get_ref(),
            Encoder::Zstd(encoder) => encoder.get_ref(),
            Encoder::Lz4(encoder) => encoder.get_ref(),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Encoder::Plain(out) => out.write_all(bytes),
            Encoder::Gzip(encoder) => encoder.write_all(bytes),
            Encoder::Zstd(encoder) => encoder.write_all(bytes),
            Encoder::Lz4(encoder) => encoder.write_all(bytes),
            Encoder::Blocks(out, pending) => {
                pending.extend_from_slice(bytes);
                if pending.len() >= BLOCK_BYTES {
                    out.write_all(&super::body::block(pending))?;
                    pending.clear();
                }
                Ok(())
            }
        }
    }

    fn finish(self) -> std::io::Result<Out> {
        match self {
            Encoder::Plain(out) => Ok(out),
            Encoder::Gzip(encoder) => encoder.finish(),
            Encoder::Zstd(encoder) => encoder.finish(),
            Encoder::Lz4(encoder) => encoder.finish().map_err(std::io::Error::other),
            Encoder::Blocks(mut out, pending) => {
                if !pending.is_empty() {
                    out.write_all(&super::body::block(&pending))?;
                }
                Ok(out)
            }
        }
    }

    /// The way out without what was written so far.
    fn into_empty_out(mut self) -> Option<Out> {
        self.out_mut().discard = true;
        let mut out = match self {
            Encoder::Plain(out) | Encoder::Blocks(out, _) => out,
            other => other.finish().ok()?,
        };
        out.buffer.clear();
        Some(out)
    }

    fn out_mut(&mut self) -> &mut Out {
        match self {
            Encoder::Plain(out) | Encoder::Blocks(out, _) => out,
            Encoder::Gzip(encoder) => encoder.get_mut(),
            Encoder::Zstd(encoder) => encoder.get_mut(),
            Encoder::Lz4(encoder) => encoder.get_mut(),
        }
    }
}

/// Collects the beginning of an answer; streams once it is longer than that.
struct Out {
    sender: Option<oneshot::Sender<Response<Body>>>,
    stream: Option<Sender<Bytes, std::io::Error>>,
    head: Head,
    buffer: Vec<u8>,
    handle: Handle,
    stall_max: Duration,
    discard: bool,
}

impl Out {
    fn abandoned(&self) -> bool {
        self.sender.as_ref().is_some_and(oneshot::Sender::is_closed)
    }

    fn response(&self, status: StatusCode, body: Body) -> Response<Body> {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(
            "x-clickhouse-server-display-name",
            HeaderValue::from_static("flowhouse"),
        );
        let query_id = HeaderValue::from_str(&self.head.query_id);
        headers.insert(
            "x-clickhouse-query-id",
            query_id.unwrap_or_else(|_| HeaderValue::from_static("invalid")),
        );
        for (name, value) in &self.head.fields {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"flowhouse store\""),
            );
        }
        response
    }

    fn finish(mut self, status: StatusCode) {
        if self.stream.is_some() {
            let _ = self.flush();
            return;
        }
        let body = Body::from(std::mem::take(&mut self.buffer));
        let response = self.response(status, body);
        if let Some(sender) = self.sender.take() {
            let _ = sender.send(response);
        }
    }

    fn abort(mut self) {
        if let Some(stream) = self.stream.take() {
            stream.abort(std::io::Error::other("the query failed"));
        }
    }
}

impl Write for Out {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.discard {
            return Ok(bytes.len());
        }
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= CHUNK_BYTES {
            self.flush_chunk()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        // encoders flush as they please; only a running stream follows
        match self.stream.is_some() && !self.buffer.is_empty() {
            true => self.flush_chunk(),
            false => Ok(()),
        }
    }
}

impl Out {
    fn flush_chunk(&mut self) -> std::io::Result<()> {
        let gone =
            || std::io::Error::from(Exception::new(Name::NetworkError, "The client went away"));
        if let Some(sender) = self.sender.take() {
            let (stream, body) = Channel::new(STREAM_CHUNKS);
            self.stream = Some(stream);
            let response = self.response(StatusCode::OK, Body::new(body));
            sender.send(response).map_err(|_| gone())?;
        }
        let Some(stream) = &mut self.stream else {
            return Err(gone());
        };
        let chunk = Bytes::from(std::mem::take(&mut self.buffer));
        let sent = self.handle.block_on(async {
            tokio::time::timeout(self.stall_max, stream.send_data(chunk)).await
        });
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(gone()),
            Err(_) => Err(Exception::new(
                Name::SocketTimeout,
                "The client takes no more of the response",
            )
            .into()),
        }
    }
}

fn content_type(format: &str) -> &'static str {
    match format {
        "TabSeparated"
        | "TSV"
        | "TabSeparatedWithNames"
        | "TabSeparatedWithNamesAndTypes"
        | "TSVWithNames" => "text/tab-separated-values; charset=UTF-8",
        "JSON" | "JSONCompact" | "JSONStrings" | "JSONColumns" => "application/json; charset=UTF-8",
        "JSONEachRow" | "JSONLines" | "NDJSON" | "JSONCompactEachRow" => {
            "application/x-ndjson; charset=UTF-8"
        }
        "CSV" => "text/csv; charset=UTF-8; header=absent",
        "CSVWithNames" => "text/csv; charset=UTF-8; header=present",
        _ if format.starts_with("Pretty") || format == "Vertical" => "text/plain; charset=UTF-8",
        _ => "application/octet-stream",
    }
}

const CHUNK_BYTES: usize = 256 << 10;
const BLOCK_BYTES: usize = 1 << 20;
const STREAM_CHUNKS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packing_follows_the_client() {
        assert_eq!(Packing::choose(true, true, "gzip"), Packing::Blocks);
        assert_eq!(
            Packing::choose(false, true, "br, zstd;q=0.5, gzip"),
            Packing::Zstd
        );
        assert_eq!(Packing::choose(false, false, "gzip"), Packing::Plain);
        assert_eq!(Packing::choose(false, true, ""), Packing::Plain);
    }
}
