//! One query to a running store, without a client library: what `flowhouse store sql` needs.

use super::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Sends `sql` to the store at `address` (`host:port`) and copies the answer to `out`.
pub fn query(
    address: &str,
    key: &str,
    format: &str,
    sql: &str,
    out: &mut dyn Write,
) -> Result<(), Error> {
    let fail = |what: &str, error: std::io::Error| {
        Error::Client(format!("{what} the store at {address}: {error}"))
    };
    let mut stream = TcpStream::connect(address).map_err(|error| fail("cannot reach", error))?;
    stream
        .set_read_timeout(Some(READ_MAX))
        .map_err(|error| fail("cannot wait for", error))?;
    let head = format!(
        "POST /?default_format={format} HTTP/1.0\r\nHost: {address}\r\nX-ClickHouse-User: default\r\nX-ClickHouse-Key: {key}\r\nContent-Length: {}\r\n\r\n",
        sql.len()
    );
    stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(sql.as_bytes()))
        .map_err(|error| fail("cannot write to", error))?;
    let (status, rest) = read_head(&mut stream).map_err(|error| fail("cannot read from", error))?;
    if status == 200 {
        let copied = out
            .write_all(&rest)
            .and_then(|()| std::io::copy(&mut stream, out));
        return copied
            .map(drop)
            .map_err(|error| fail("cannot read all from", error));
    }
    let mut text = rest;
    stream
        .read_to_end(&mut text)
        .map_err(|error| fail("cannot read from", error))?;
    Err(Error::Client(
        String::from_utf8_lossy(&text).trim_end().to_owned(),
    ))
}

/// The status and the bytes that came after the head.
fn read_head(stream: &mut TcpStream) -> std::io::Result<(u16, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let length = stream.read(&mut buffer)?;
        bytes.extend_from_slice(&buffer[..length]);
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let line = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let status = line.split(' ').nth(1).and_then(|word| word.parse().ok());
            return Ok((
                status.ok_or_else(|| std::io::Error::other("no HTTP answer"))?,
                bytes.split_off(end + 4),
            ));
        }
        if length == 0 || bytes.len() > HEAD_BYTES_MAX {
            return Err(std::io::Error::other("no HTTP answer"));
        }
    }
}

const READ_MAX: Duration = Duration::from_secs(3600);
const HEAD_BYTES_MAX: usize = 64 << 10;
