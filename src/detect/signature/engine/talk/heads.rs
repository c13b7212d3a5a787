//! What is odd about heads of HTTP, by Suricata's names of events (its `http-events.rules`). What libhtp notes of a head and no other part is told.

use super::super::unit::Unit;
use super::uri;
use crate::reassemble::app::Head;

/// Says what is odd about a request.
pub(super) fn of_request(unit: &mut Unit, head: &Head<'_>) {
    if !unit.wanted().events || head.raw.is_empty() {
        return;
    }
    let line = first_line(head.raw);
    let [method, target, version] = head.first;
    if line.first().is_some_and(|b| matches!(b, b' ' | b'\t')) {
        unit.word("http.request_line_leading_whitespace", "");
    }
    let behind = line.trim_ascii_start().get(method.len()..);
    let gap = behind.unwrap_or_default();
    let blanks = gap.iter().take_while(|b| b.is_ascii_whitespace()).count();
    let (blanks, rest) = gap.split_at(blanks);
    if blanks.iter().any(|b| *b != b' ') {
        unit.word("http.method_delim_non_compliant", "");
    }
    // the target ends with the first space, or the line
    let target_line = rest.split(|b| *b == b' ').next().unwrap_or_default();
    if target_line
        .iter()
        .any(|b| matches!(b, b'\t' | 0x0b | 0x0c | b'\r'))
    {
        unit.word("http.uri_delim_non_compliant", "");
    }
    fields(unit, head, &REQUEST);
    let of_field = head.header("host");
    let of_target = uri::host(target);
    match (of_field, of_target) {
        (None, None) if version == b"HTTP/1.1" => unit.word("http.missing_host_header", ""),
        (Some(a), Some(b)) if is_ambiguous(a.trim_ascii(), b.trim_ascii()) => {
            unit.word("http.host_header_ambiguous", "");
        }
        _ => {}
    }
    // several fields are one with commas
    let is_host_field = |h: &&(&[u8], &[u8])| h.0.eq_ignore_ascii_case(b"host");
    let are_several = head.headers.iter().filter(is_host_field).count() > 1;
    if are_several || of_field.is_some_and(|h| !is_host(h)) {
        unit.word("http.request_header_host_invalid", "");
    }
    if of_target.is_some_and(|h| !is_host(h)) {
        unit.word("http.request_uri_host_invalid", "");
    }
}

/// Says what is odd about an answer; `is_asked`: there was a request that it can be of.
pub(super) fn of_answer(unit: &mut Unit, head: &Head<'_>, is_asked: bool) {
    if !unit.wanted().events || head.raw.is_empty() {
        return;
    }
    let [version, status, _] = head.first;
    if !is_asked {
        unit.word("http.unable_to_match_response_to_request", "");
    }
    if !matches!(version, b"HTTP/0.9" | b"HTTP/1.0" | b"HTTP/1.1") {
        unit.word("http.response_invalid_protocol", "");
    }
    let number = std::str::from_utf8(status)
        .ok()
        .and_then(|s| s.parse::<u16>().ok());
    if !number.is_some_and(|n| (100..1000).contains(&n)) {
        unit.word("http.response_invalid_status", "");
    }
    fields(unit, head, &ANSWER);
    let coding = head.header("transfer-encoding");
    if let Some(coding) = coding {
        let lower = coding.to_ascii_lowercase();
        let chunked = lower.windows(7).any(|w| w == b"chunked");
        if chunked && version != b"HTTP/1.1" {
            unit.word("http.response_chunked_old_proto", "");
        }
        if chunked && lower.trim_ascii() != b"chunked" {
            unit.word("http.response_abnormal_transfer_encoding", "");
        }
        if chunked {
            return;
        }
    }
    // where nothing else says how long the body is
    let kind = head.header("content-type").unwrap_or_default();
    let kind = kind.to_ascii_lowercase();
    let ranges = b"multipart/byteranges";
    if head.header("content-length").is_none() && kind.windows(ranges.len()).any(|w| w == ranges) {
        unit.word("http.response_multipart_byteranges", "");
    }
}

/// Whether the host of a field and that of a target are not the same, with their ports where both have one.
fn is_ambiguous(field: &[u8], target: &[u8]) -> bool {
    let parts = |host: &[u8]| {
        let at = match host.first() {
            Some(b'[') => host
                .iter()
                .position(|b| *b == b']')
                .map_or(host.len(), |n| n + 1),
            _ => host.iter().position(|b| *b == b':').unwrap_or(host.len()),
        };
        let (name, port) = host.split_at(at);
        let port = port.strip_prefix(b":").filter(|p| !p.is_empty());
        (name.to_ascii_lowercase(), port.map(<[u8]>::to_vec))
    };
    let ((a, p), (b, q)) = (parts(field), parts(target));
    a != b || p.is_some() && q.is_some() && p != q
}

/// The number in a length: what is before and behind it counts for nothing, as libhtp has it.
fn length_of(text: &[u8]) -> Option<u64> {
    let from = text.iter().position(u8::is_ascii_digit)?;
    let digits = text[from..].iter().take_while(|b| b.is_ascii_digit());
    Some(digits.fold(0u64, |n, b| {
        n.saturating_mul(10).saturating_add(u64::from(b - b'0'))
    }))
}

/// Names of events that requests and answers have of their own.
struct Names {
    no_colon: &'static str,
    folded: &'static str,
    length: &'static str,
    lengths: &'static str,
}

const REQUEST: Names = Names {
    no_colon: "http.request_field_missing_colon",
    folded: "http.invalid_request_field_folding",
    length: "http.invalid_content_length_field_in_request",
    lengths: "http.duplicate_content_length_field_in_request",
};
const ANSWER: Names = Names {
    no_colon: "http.response_field_missing_colon",
    folded: "http.invalid_response_field_folding",
    length: "http.invalid_content_length_field_in_response",
    lengths: "http.duplicate_content_length_field_in_response",
};

fn fields(unit: &mut Unit, head: &Head<'_>, names: &Names) {
    let mut lines = head.raw.split(|b| *b == b'\n').skip(1);
    let folds = |l: &[u8]| l.first().is_some_and(|b| matches!(b, b' ' | b'\t'));
    if lines
        .clone()
        .next()
        .is_some_and(|l| folds(l) && !l.trim_ascii().is_empty())
    {
        unit.word(names.folded, "");
    }
    if lines.any(|l| !folds(l) && !l.trim_ascii().is_empty() && !l.contains(&b':')) {
        unit.word(names.no_colon, "");
    }
    let is = |a: &[u8], b: &[u8]| a.eq_ignore_ascii_case(b);
    let mut lengths = head
        .headers
        .iter()
        .filter(|h| is(h.0, b"content-length"))
        .map(|h| length_of(h.1));
    let Some(first) = lengths.next() else { return };
    if lengths.any(|l| l.is_none() || l != first) {
        unit.word(names.lengths, "");
    }
    if first.is_none() {
        unit.word(names.length, "");
    }
}

fn first_line(raw: &[u8]) -> &[u8] {
    let line = raw.split(|b| *b == b'\n').next().unwrap_or(raw);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Labels of letters, digits, hyphens and underscores, or an address, and a port.
fn is_host(host: &[u8]) -> bool {
    let host = host.trim_ascii();
    if let Some(rest) = host.strip_prefix(b"[") {
        return rest.contains(&b']');
    }
    let mut parts = host.splitn(2, |b| *b == b':');
    let (name, port) = (parts.next().unwrap_or_default(), parts.next());
    let label = |l: &[u8]| {
        let good = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        !l.is_empty() && l.len() <= 63 && l.iter().all(good)
    };
    let name = name.strip_suffix(b".").unwrap_or(name);
    let has_name = name.len() <= 255 && name.split(|b| *b == b'.').all(label);
    has_name && port.is_none_or(|p| p.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::super::super::wanted::Wanted;
    use super::*;

    fn said(text: &str, is_request: bool) -> Vec<&'static str> {
        let mut unit = Unit::new(0, 0, Wanted::default());
        let raw = text.as_bytes();
        let line = first_line(raw);
        let mut words = line.splitn(3, |b| *b == b' ');
        let mut word = || words.next().unwrap_or_default();
        let first = [word(), word(), word()];
        let lines = text.split("\r\n").skip(1);
        let headers: Vec<(&[u8], &[u8])> = lines
            .filter_map(|l| l.split_once(": "))
            .map(|(n, v)| (n.as_bytes(), v.as_bytes()))
            .collect();
        let head = Head {
            first,
            headers: &headers,
            stream: 0,
            raw,
        };
        match is_request {
            true => of_request(&mut unit, &head),
            false => of_answer(&mut unit, &head, true),
        }
        let names = EVENTS.iter().copied();
        names.filter(|n| unit.words(n).next().is_some()).collect()
    }

    const EVENTS: &[&str] = &[
        "http.missing_host_header",
        "http.host_header_ambiguous",
        "http.request_field_missing_colon",
        "http.request_header_host_invalid",
        "http.duplicate_content_length_field_in_request",
        "http.invalid_content_length_field_in_request",
        "http.response_invalid_status",
        "http.response_chunked_old_proto",
        "http.response_abnormal_transfer_encoding",
    ];

    #[test]
    fn heads_and_what_is_odd_about_them() {
        let asked = |text: &str| said(text, true);
        let none: [&str; 0] = [];
        assert_eq!(asked("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n"), none);
        assert_eq!(
            asked("GET / HTTP/1.1\r\nA: b\r\n\r\n"),
            ["http.missing_host_header"]
        );
        assert_eq!(
            asked("GET http://b.example/ HTTP/1.1\r\nHost: a.example:80\r\n\r\n"),
            ["http.host_header_ambiguous"]
        );
        assert_eq!(
            asked("GET / HTTP/1.1\r\nHost: a b\r\nX\r\n\r\n"),
            [
                "http.request_field_missing_colon",
                "http.request_header_host_invalid"
            ]
        );
        assert_eq!(
            asked(
                "POST / HTTP/1.1\r\nHost: a:8080\r\nContent-Length: x\r\nContent-Length: 1\r\n\r\n"
            ),
            [
                "http.duplicate_content_length_field_in_request",
                "http.invalid_content_length_field_in_request"
            ]
        );
        let answered = |text: &str| said(text, false);
        assert_eq!(answered("HTTP/1.1 200 OK\r\nA: b\r\n\r\n"), none);
        assert_eq!(
            answered("HTTP/1.0 2x OK\r\nTransfer-Encoding: chunked, a\r\n\r\n"),
            [
                "http.response_invalid_status",
                "http.response_chunked_old_proto",
                "http.response_abnormal_transfer_encoding"
            ]
        );
    }
}
