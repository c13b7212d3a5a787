//! Logins over HTTP in the clear: what is tried, and what the server answers.
//!
//! Credentials are those of an `Authorization` header (RFC 7617 Basic, RFC 7616 Digest, NTLM), or a form with a field for a password, in the
//! address, in the body, or as JSON. Clients of version control and of builds ask once without any and are refused: that is no guess.

use super::feed::fnv;
use super::sighting::{Seen, Web, WebSeen};
use crate::model::{PacketView, TcpHeader};

/// What a segment of a conversation with a server of pages says about logins.
pub(super) fn login(p: &PacketView<'_>, t: &TcpHeader) -> Option<Seen> {
    let bytes = p.payload();
    let (what, by_client) = match (is_port(t.dst_port), is_port(t.src_port)) {
        (true, false) => (request(bytes)?, true),
        (false, true) => (answer(bytes, p.payload_len)?, false),
        _ => return None,
    };
    let ends = [(p.src, t.src_port), (p.dst, t.dst_port)];
    let [(client, client_port), (server, port)] = match by_client {
        true => ends,
        false => [ends[1], ends[0]],
    };
    Some(Seen::Web(WebSeen {
        client,
        client_port,
        server,
        port,
        what,
        bytes: p.ip_len,
        time_ms: p.time_ns.div_euclid(1_000_000),
    }))
}

fn is_port(port: u16) -> bool {
    matches!(port, 80 | 8000 | 8080 | 8888)
}

fn request(bytes: &[u8]) -> Option<Web> {
    let posts = bytes.starts_with(b"POST ") || bytes.starts_with(b"PUT ");
    if !posts && !bytes.starts_with(b"GET ") && !bytes.starts_with(b"HEAD ") {
        // the form of a head that came before it
        let may_be = bytes
            .first()
            .is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'{');
        let words = (may_be && bytes.len() <= FORM_MAX).then(|| form(bytes))??;
        return Some(Web::Form { words });
    }
    let (head, body) = split(bytes);
    let mut lines = head.split(|b| *b == b'\n');
    let target = lines.next()?.split(|b| *b == b' ').nth(1)?;
    let mut parts = target.splitn(2, |b| *b == b'?');
    let path = fnv(parts.next()?);
    let query = parts.next().unwrap_or_default();
    if let Some(words) = lines.take(LINES_MAX).find_map(credentials) {
        return Some(Web::Tried {
            path,
            words,
            is_form: false,
        });
    }
    let words = if posts { form(body) } else { form(query) };
    match words {
        Some(words) => Some(Web::Tried {
            path,
            words,
            is_form: true,
        }),
        None if posts && body.is_empty() => Some(Web::Posts { path }),
        None => None,
    }
}

/// Status, where it leads to, and how long it is.
fn answer(bytes: &[u8], length: u32) -> Option<Web> {
    let status = match bytes.get(..12)? {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', _, b' ', a, b, c] => {
            let digits = [a, b, c].map(|d| u16::from(d.wrapping_sub(b'0')));
            digits
                .iter()
                .all(|d| *d < 10)
                .then(|| digits[0] * 100 + digits[1] * 10 + digits[2])?
        }
        _ => return None,
    };
    if status < 200 {
        return None;
    }
    let (head, _) = split(bytes);
    let (mut place, mut long, mut is_stale) = (0, length, false);
    for line in head.split(|b| *b == b'\n').skip(1).take(LINES_MAX) {
        if let Some(value) = header(line, b"location") {
            place = fnv(value.split(|b| *b == b'?').next().unwrap_or_default());
        } else if let Some(value) = header(line, b"content-length") {
            let digits = std::str::from_utf8(value).ok();
            long = digits.and_then(|d| d.parse().ok()).unwrap_or(length);
        } else if let Some(value) = header(line, b"www-authenticate") {
            is_stale |= value
                .to_ascii_lowercase()
                .windows(10)
                .any(|w| w == b"stale=true");
        }
    }
    Some(Web::Answer {
        // only the number that goes with the password was too old
        status: if is_stale { 0 } else { status },
        place,
        bytes: long,
    })
}

/// The head of a message, as much as a segment has of it, and what is behind it.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let bytes = &bytes[..bytes.len().min(HEAD_MAX)];
    match memchr::memmem::find(bytes, b"\r\n\r\n") {
        Some(at) => (&bytes[..at], &bytes[at + 4..]),
        None => (bytes, &[]),
    }
}

/// The value of a header of this name, which is in lower case.
fn header<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (found, value) = line.split_at_checked(name.len())?;
    let value = value.strip_prefix(b":")?;
    found.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
}

/// A hash of credentials that a header has. The first message of NTLM has none, and tokens are no passwords.
fn credentials(line: &[u8]) -> Option<u64> {
    let value = header(line, b"authorization")?;
    let has = |part: &[u8]| memchr::memmem::find(value, part).is_some();
    let tries = match value.first_chunk::<5>()?.to_ascii_lowercase().as_slice() {
        b"basic" => true,
        b"diges" => has(b"response="),
        // MS-NLMP section 2.2.1.3: signature and type 3, in base 64
        b"ntlm " | b"negot" => has(b"TlRMTVNTUAAD"),
        _ => false,
    };
    tries.then(|| fnv(value))
}

/// A hash of the user and the password of a form, or of JSON; `None` where no field is for a password.
fn form(body: &[u8]) -> Option<u64> {
    let body = &body[..body.len().min(FORM_MAX)];
    let password = field(body, &[b"pass", b"pwd", b"passwd"])?;
    let user = field(body, &[b"user", b"login", b"email", b"name", b"log"]);
    Some(fnv(password) ^ user.map_or(0, fnv).rotate_left(17))
}

/// The value of the first field whose name has one of these words.
fn field<'a>(body: &'a [u8], words: &[&[u8]]) -> Option<&'a [u8]> {
    let is_json = body.first() == Some(&b'{');
    let separator = if is_json { b',' } else { b'&' };
    let of = if is_json { b':' } else { b'=' };
    body.split(|b| *b == separator)
        .take(FIELDS_MAX)
        .find_map(|f| {
            let at = f.iter().position(|b| *b == of)?;
            let (name, value) = (&f[..at.min(NAME_MAX)], &f[at + 1..]);
            let name = name.to_ascii_lowercase();
            let has = |w: &&&[u8]| name.windows(w.len()).any(|n| n == **w);
            words.iter().find(has).map(|_| value)
        })
}

/// Bytes of a head, lines of it, bytes of a form, fields of it and bytes of a field's name that are looked at.
const HEAD_MAX: usize = 4_096;
const LINES_MAX: usize = 64;
const FORM_MAX: usize = 2_048;
const FIELDS_MAX: usize = 32;
const NAME_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Option<(u64, bool)> {
        match request(text.as_bytes())? {
            Web::Tried { words, is_form, .. } => Some((words, is_form)),
            _ => None,
        }
    }

    #[test]
    fn credentials_are_told_from_what_is_none() {
        let with = |a: &str| {
            words(&format!(
                "GET /x HTTP/1.1\r\nHost: a\r\nauthorization: {a}\r\n\r\n"
            ))
        };
        assert!(with("Basic YTpi").is_some() && with("Basic YTpi") != with("Basic YTpj"));
        assert!(with("Digest username=\"a\", response=\"00\"").is_some());
        assert!(with("NTLM TlRMTVNTUAADAAAA").is_some());
        for none in [
            "NTLM TlRMTVNTUAABAAAA",
            "Bearer abc",
            "Digest username=\"a\"",
        ] {
            assert!(with(none).is_none(), "{none}");
        }
        assert!(words("GET /x HTTP/1.1\r\nHost: a\r\n\r\n").is_none());
    }

    #[test]
    fn forms_are_told_by_a_field_for_a_password() {
        let post = |body: &str| words(&format!("POST /login HTTP/1.1\r\nHost: a\r\n\r\n{body}"));
        let one = post("csrf=1&user=ann&Password=one");
        assert!(one.is_some_and(|w| w.1));
        // the token of the form is no password
        assert_eq!(one, post("csrf=2&user=ann&Password=one"));
        assert!(one != post("csrf=1&user=ann&Password=two"));
        assert!(one != post("csrf=1&user=bob&Password=one"));
        assert!(post("{\"username\":\"ann\",\"password\":\"one\"}").is_some());
        assert!(post("q=how to pass an exam").is_none());
        assert!(words("GET /login?username=a&pwd=b HTTP/1.1\r\n\r\n").is_some());
        assert!(matches!(
            request(b"log=admin&pwd=x"),
            Some(Web::Form { .. })
        ));
        assert!(request(&[0xff; 40]).is_none() && request(b"").is_none());
    }

    #[test]
    fn answers_have_a_status_a_place_and_a_length() {
        let of = |text: &str| answer(text.as_bytes(), text.len() as u32);
        let Some(Web::Answer { status, bytes, .. }) =
            of("HTTP/1.1 200 OK\r\nContent-Length: 512\r\n\r\n")
        else {
            panic!("an answer");
        };
        assert_eq!((status, bytes), (200, 512));
        let place = |to: &str| match of(&format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\n\r\n")) {
            Some(Web::Answer { place, .. }) => place,
            _ => panic!("an answer"),
        };
        assert!(place("/login?error=1") == place("/login") && place("/login") != place("/home"));
        let stale = of("HTTP/1.1 401 No\r\nWWW-Authenticate: Digest stale=TRUE\r\n\r\n");
        assert!(matches!(stale, Some(Web::Answer { status: 0, .. })));
        assert!(of("HTTP/1.1 100 Continue\r\n\r\n").is_none() && of("HTTP/1.1 2x0").is_none());
    }
}
