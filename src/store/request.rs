//! What a client asks: address parameters, headers, form fields, key.

use super::error::{Exception, Name};
use super::settings::Settings;
use axum::http::{HeaderMap, Method, Uri, header};

/// The parameters of a request, in order; later ones win.
#[derive(Debug, Clone, Default)]
pub struct Parameters(Vec<(String, String)>);

impl Parameters {
    /// Reads the query part of an address.
    pub fn read(uri: &Uri) -> Result<Parameters, Exception> {
        let query = axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri);
        let pairs = query.map_err(|error| {
            Exception::new(
                Name::BadArguments,
                format!("Cannot read the address: {error}"),
            )
        })?;
        Ok(Parameters(pairs.0))
    }

    /// The value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Whether `name` is switched on.
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name).is_some_and(is_true)
    }

    /// Adds form fields.
    pub fn extend(&mut self, fields: Vec<(String, String)>) {
        self.0.extend(fields);
    }

    /// The query parameters (`param_*`), without their prefix.
    pub fn values(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix("param_")?, value.as_str())))
    }

    /// What is left for the engine: its settings.
    pub fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self
            .0
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()));
        pairs.filter(|(key, _)| !RESERVED.contains(key) && !key.starts_with("param_"))
    }
}

/// A true flag as clients write it.
pub fn is_true(value: &str) -> bool {
    matches!(value, "1" | "true" | "True" | "TRUE")
}

/// A header as text; empty when missing or unreadable.
pub fn field<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// The key a client presents: header, Basic authorization or address, in ClickHouse's order.
pub fn presented_key(headers: &HeaderMap, parameters: &Parameters) -> Option<String> {
    if let Some(key) = headers.get("x-clickhouse-key") {
        return key.to_str().ok().map(str::to_owned);
    }
    if let Some(basic) = field(headers, "authorization").strip_prefix("Basic ") {
        let decoded = base64(basic.trim())?;
        return Some(decoded.split_once(':')?.1.to_owned());
    }
    parameters.get("password").map(str::to_owned)
}

/// Refuses requests that a browser sends for somebody else: with `Origin`, or to a name that is not ours.
pub fn check_origin(headers: &HeaderMap, settings: &Settings) -> Result<(), Exception> {
    if headers.contains_key(header::ORIGIN) {
        return Err(Exception::new(
            Name::AccessDenied,
            "Requests with an Origin are refused",
        ));
    }
    let host = field(headers, "host");
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let listen = settings.listen.ip().to_string();
    let known = ["localhost", "127.0.0.1", "::1", &listen]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known));
    if known
        || settings
            .hosts
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known))
    {
        return Ok(());
    }
    Err(Exception::new(
        Name::AccessDenied,
        format!("Unknown Host {host:?}; name it with --host to allow it"),
    ))
}

/// Whether the method may only read.
pub fn is_get(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// The fields of a `multipart/form-data` body.
pub fn form_fields(content_type: &str, body: &[u8]) -> Result<Vec<(String, String)>, Exception> {
    let bad =
        |why: &str| Exception::new(Name::BadArguments, format!("Cannot read the form: {why}"));
    let boundary = content_type
        .split(';')
        .find_map(|part| part.trim().strip_prefix("boundary="));
    let boundary = format!(
        "--{}",
        boundary
            .ok_or_else(|| bad("no boundary"))?
            .trim_matches('"')
    );
    let mut fields = Vec::new();
    let mut rest =
        after(body, boundary.as_bytes()).ok_or_else(|| bad("no boundary in the body"))?;
    let end = format!("\r\n{boundary}");
    while let Some(part) = rest.strip_prefix(b"\r\n") {
        let head_end = find(part, b"\r\n\r\n").ok_or_else(|| bad("a part without head"))?;
        let head = String::from_utf8_lossy(&part[..head_end]).into_owned();
        let content = &part[head_end + 4..];
        let length = find(content, end.as_bytes()).ok_or_else(|| bad("a part without end"))?;
        let name = head
            .split("name=\"")
            .nth(1)
            .and_then(|text| text.split('"').next())
            .ok_or_else(|| bad("a part without name"))?;
        let value = String::from_utf8(content[..length].to_vec())
            .map_err(|_| bad("a field that is no UTF-8"))?;
        fields.push((name.to_owned(), value));
        rest = &content[length + end.len()..];
    }
    Ok(fields)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn after<'a>(bytes: &'a [u8], what: &[u8]) -> Option<&'a [u8]> {
    find(bytes, what).map(|at| &bytes[at + what.len()..])
}

fn base64(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0u32, 0u32);
    for byte in text.bytes().filter(|byte| *byte != b'=') {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held & 0xff) as u8);
        }
    }
    String::from_utf8(out).ok()
}

/// Parameters that are not settings of the engine.
const RESERVED: &[&str] = &[
    "query",
    "database",
    "default_format",
    "user",
    "password",
    "quota_key",
    "query_id",
    "session_id",
    "session_timeout",
    "session_check",
    "compress",
    "decompress",
    "stacktrace",
    "wait_end_of_query",
    "buffer_size",
    "role",
    "client_protocol_version",
    "add_http_cors_header",
    "http_write_exception_in_output_format",
    "enable_http_compression",
    "http_zlib_compression_level",
    "http_native_compression_disable_checksumming_on_decompress",
    "send_progress_in_http_headers",
    "http_headers_progress_interval_ms",
    "http_make_head_request",
    "http_response_headers",
    "close_session",
    "limit",
    "offset",
];

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().expect("name"), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn parameters_are_told_apart() {
        let uri = "/?query=SELECT+1&param_x=a%20b&max_threads=2&database=d"
            .parse()
            .expect("uri");
        let parameters = Parameters::read(&uri).expect("parameters");
        assert_eq!(parameters.get("query"), Some("SELECT 1"));
        assert_eq!(parameters.values().collect::<Vec<_>>(), [("x", "a b")]);
        assert_eq!(
            parameters.settings().collect::<Vec<_>>(),
            [("max_threads", "2")]
        );
    }

    #[test]
    fn keys_come_three_ways() {
        let none = Parameters::default();
        assert_eq!(
            presented_key(&headers(&[("x-clickhouse-key", "k")]), &none).as_deref(),
            Some("k")
        );
        assert_eq!(
            presented_key(
                &headers(&[("authorization", "Basic ZGVmYXVsdDprZXk=")]),
                &none
            )
            .as_deref(),
            Some("key")
        );
        let mut given = Parameters::default();
        given.extend(vec![("password".to_owned(), "p".to_owned())]);
        assert_eq!(presented_key(&headers(&[]), &given).as_deref(), Some("p"));
        assert_eq!(presented_key(&headers(&[]), &none), None);
    }

    #[test]
    fn strangers_are_refused() {
        let settings = Settings {
            hosts: vec!["box.lan".to_owned()],
            ..Settings::default()
        };
        for good in ["localhost:8123", "127.0.0.1", "[::1]:1", "BOX.lan:8123"] {
            assert!(
                check_origin(&headers(&[("host", good)]), &settings).is_ok(),
                "{good}"
            );
        }
        for bad in ["evil.example", "", "localhost.evil.example:8123"] {
            assert!(
                check_origin(&headers(&[("host", bad)]), &settings).is_err(),
                "{bad}"
            );
        }
        assert!(
            check_origin(
                &headers(&[("host", "localhost"), ("origin", "http://localhost")]),
                &settings
            )
            .is_err()
        );
    }

    #[test]
    fn forms_are_read() {
        let body = b"--x\r\nContent-Disposition: form-data; name=\"param_a\"\r\n\r\n1\r\n2\r\n--x\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT 1\r\n--x--\r\n";
        let fields = form_fields("multipart/form-data; boundary=x", body).expect("form");
        assert_eq!(
            fields,
            [
                ("param_a".to_owned(), "1\r\n2".to_owned()),
                ("query".to_owned(), "SELECT 1".to_owned())
            ]
        );
        assert!(form_fields("multipart/form-data", body).is_err());
        assert!(form_fields("multipart/form-data; boundary=x", b"--x\r\nname=\"").is_err());
    }
}
