//! Targets of requests as servers see them: what `http.uri` holds.

/// Path and query, decoded once; of a target with scheme and host these are left out.
pub(super) fn normal(raw: &[u8]) -> Vec<u8> {
    if is_plain(raw) {
        return raw.to_vec();
    }
    let target = without_host(raw);
    let (target, fragment) = cut(target, b'#');
    let (path, query) = cut(target, b'?');
    let mut out = segments(&decoded_path(path));
    if let Some(query) = query {
        out.push(b'?');
        decode(query, &mut out, false);
    }
    if let Some(fragment) = fragment {
        out.push(b'#');
        out.extend_from_slice(fragment);
    }
    out
}

/// Whether there is nothing to do: no sign that is decoded or turned, no host, no empty or dotted segment.
fn is_plain(raw: &[u8]) -> bool {
    let is_odd = |b: &u8| !b.is_ascii_graphic() || matches!(b, b'%' | b'\\' | b'#' | b'+' | b':');
    let path = raw.split(|b| *b == b'?').next().unwrap_or_default();
    let mut pairs = path.windows(2);
    path.first() == Some(&b'/')
        && !raw.iter().any(is_odd)
        && !pairs.any(|p| matches!(p, b"//" | b"/." | b"/;"))
}

/// The host of a target that has one.
pub(in super::super) fn host(raw: &[u8]) -> Option<&[u8]> {
    let at = raw.windows(3).position(|w| w == b"://")?;
    let scheme = &raw[..at];
    if scheme.is_empty() || !scheme.iter().all(u8::is_ascii_alphabetic) {
        return None;
    }
    let rest = &raw[at + 3..];
    let end = rest
        .iter()
        .position(|b| matches!(b, b'/' | b'?' | b'#'))
        .unwrap_or(rest.len());
    Some(&rest[..end])
}

fn without_host(raw: &[u8]) -> &[u8] {
    match host(raw) {
        Some(host) => {
            let at = raw.windows(3).position(|w| w == b"://").unwrap_or(0);
            &raw[at + 3 + host.len()..]
        }
        None => raw,
    }
}

fn cut(bytes: &[u8], at: u8) -> (&[u8], Option<&[u8]>) {
    match bytes.iter().position(|b| *b == at) {
        Some(n) => (&bytes[..n], Some(&bytes[n + 1..])),
        None => (bytes, None),
    }
}

/// Percent signs decoded, backslashes turned, runs of slashes made one.
fn decoded_path(path: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(path.len());
    decode(path, &mut plain, true);
    let mut out: Vec<u8> = Vec::with_capacity(plain.len());
    for byte in plain {
        let byte = if byte == b'\\' { b'/' } else { byte };
        if byte == b'/' && out.last() == Some(&b'/') {
            continue;
        }
        out.push(byte);
    }
    out
}

fn decode(text: &[u8], out: &mut Vec<u8>, unicode: bool) {
    let digit = |at: usize| {
        let c = char::from(*text.get(at)?);
        c.to_digit(16)
    };
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let is_unicode = unicode && matches!(text.get(at + 1), Some(b'u' | b'U'));
        let pair = |n: usize| Some((digit(n)? << 4 | digit(n + 1)?) as u8);
        match byte {
            b'%' if is_unicode && pair(at + 2).is_some() && pair(at + 4).is_some() => {
                out.push(pair(at + 4).unwrap_or_default());
                at += 6;
            }
            b'%' => match pair(at + 1) {
                Some(plain) => {
                    out.push(plain);
                    at += 3;
                }
                None => {
                    out.push(byte);
                    at += 1;
                }
            },
            _ => {
                out.push(byte);
                at += 1;
            }
        }
    }
}

/// Without `.` and `..` (RFC 3986 section 5.2.4).
fn segments(path: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(path.len());
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix(b"../").or(rest.strip_prefix(b"./")) {
            rest = after;
        } else if rest.starts_with(b"/./") {
            rest = &rest[2..];
        } else if rest == b"/." {
            rest = b"/";
        } else if rest.starts_with(b"/../") || rest == b"/.." {
            rest = if rest == b"/.." { b"/" } else { &rest[3..] };
            let keep = out.iter().rposition(|b| *b == b'/').unwrap_or(0);
            out.truncate(keep);
        } else if rest == b"." || rest == b".." {
            rest = b"";
        } else {
            let end = rest[1..].iter().position(|b| *b == b'/');
            let end = end.map_or(rest.len(), |n| n + 1);
            out.extend_from_slice(&rest[..end]);
            rest = &rest[end..];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_queries() {
        for (raw, want) in [
            ("/a/b", "/a/b"),
            ("/a%20b?x=%27+1", "/a b?x='+1"),
            ("//a///b", "/a/b"),
            ("/a/./b/../c", "/a/c"),
            ("/../../etc/passwd", "/etc/passwd"),
            ("/a%2fb", "/a/b"),
            ("/a\\b", "/a/b"),
            ("/%zz%4", "/%zz%4"),
            ("/%u0041", "/A"),
            ("http://www.example.com/a?b", "/a?b"),
            ("*", "*"),
            ("/a#b", "/a#b"),
            ("/%252e", "/%2e"),
        ] {
            let got = normal(raw.as_bytes());
            assert_eq!(String::from_utf8_lossy(&got), want, "{raw}");
        }
        assert_eq!(host(b"http://a:80/b"), Some(&b"a:80"[..]));
        assert_eq!(host(b"/http://a"), None);
    }
}
