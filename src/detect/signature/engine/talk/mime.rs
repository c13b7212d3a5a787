//! Messages of several parts (RFC 2046), and how their content is written (RFC 2045).

use super::files::name_in;

/// What parts a form or a mail, by its `Content-Type`.
pub(super) fn boundary(content_type: &[u8]) -> Option<Vec<u8>> {
    let lower = content_type.to_ascii_lowercase();
    if !lower.trim_ascii().starts_with(b"multipart/") {
        return None;
    }
    let at = find(&lower, b"boundary=", 0)? + b"boundary=".len();
    let rest = &content_type[at..];
    let text = match rest.strip_prefix(b"\"") {
        Some(rest) => rest.split(|b| *b == b'"').next(),
        None => rest
            .split(|b| matches!(b, b';' | b' ' | b'\t' | b'\r' | b'\n' | b','))
            .next(),
    };
    text.filter(|t| !t.is_empty() && t.len() <= BOUNDARY_MAX)
        .map(<[u8]>::to_vec)
}

/// The files of a form: the parts that have a name of a file. The last one may be unfinished.
pub(super) fn files<'a>(body: &'a [u8], boundary: &[u8]) -> Vec<&'a [u8]> {
    let parts = parts(body, boundary);
    let is_file = |head: &[u8]| find(&head.to_ascii_lowercase(), b"filename", 0).is_some();
    let files = parts.into_iter().filter(|(head, _)| is_file(head));
    files.map(|(_, content)| content).collect()
}

/// As [`files`], with their names.
pub(super) fn named_files<'a>(body: &'a [u8], boundary: &[u8]) -> Vec<(Vec<u8>, &'a [u8])> {
    let named = |(head, content): (&[u8], &'a [u8])| {
        let value = field(head, "content-disposition")?;
        Some((name_in(&value, b"filename")?, content))
    };
    parts(body, boundary)
        .into_iter()
        .filter_map(named)
        .collect()
}

/// Head and content of each part.
fn parts<'a>(body: &'a [u8], boundary: &[u8]) -> Vec<(&'a [u8], &'a [u8])> {
    let mark = [b"--", boundary].concat();
    let (mut out, mut at) = (vec![], find(body, &mark, 0));
    while let Some(start) = at {
        let from = start + mark.len();
        if body[from..].starts_with(b"--") || out.len() >= PARTS_MAX {
            break;
        }
        let next = find(body, &mark, from);
        let part = &body[from..next.unwrap_or(body.len())];
        let part = trim_line(part);
        let (head, content) = split_head(part);
        let content = match next {
            Some(_) => content
                .strip_suffix(b"\r\n")
                .or(content.strip_suffix(b"\n"))
                .unwrap_or(content),
            None => content,
        };
        out.push((head, content));
        at = next;
    }
    out
}

fn trim_line(part: &[u8]) -> &[u8] {
    let end = part.iter().position(|b| *b == b'\n');
    end.map_or(b"", |n| &part[n + 1..])
}

/// Head and content of a message.
pub(super) fn split_head(bytes: &[u8]) -> (&[u8], &[u8]) {
    if let Some(rest) = bytes.strip_prefix(b"\r\n").or(bytes.strip_prefix(b"\n")) {
        return (b"", rest);
    }
    let mut at = 0;
    while let Some(n) = bytes[at..].iter().position(|b| *b == b'\n') {
        at += n + 1;
        let rest = &bytes[at..];
        if let Some(content) = rest.strip_prefix(b"\r\n").or(rest.strip_prefix(b"\n")) {
            return (&bytes[..at], content);
        }
    }
    (bytes, b"")
}

/// A field of a head, its lines joined.
pub(super) fn field(head: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut found: Option<Vec<u8>> = None;
    for line in head.split(|b| *b == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.first().is_some_and(|b| matches!(b, b' ' | b'\t')) {
            if let Some(value) = &mut found {
                value.push(b' ');
                value.extend_from_slice(line.trim_ascii());
            }
            continue;
        }
        if found.is_some() {
            break;
        }
        let at = line.iter().position(|b| *b == b':');
        if let Some(at) = at.filter(|n| line[..*n].eq_ignore_ascii_case(name.as_bytes())) {
            found = Some(line[at + 1..].trim_ascii().to_vec());
        }
    }
    found
}

/// The contents of a mail that have the name of a file, decoded, with their names: each is a file to rules. What has none is the text of the mail,
/// which Suricata 7 does not show to them.
pub(super) fn contents(message: &[u8], depth: usize, out: &mut Vec<(Vec<u8>, Vec<u8>)>) {
    if out.len() >= PARTS_MAX {
        return;
    }
    let (head, content) = split_head(message);
    let kind = field(head, "content-type").unwrap_or_default();
    if let Some(boundary) = boundary(&kind) {
        if depth < DEPTH_MAX {
            let mark = [b"--", &boundary[..]].concat();
            let mut at = find(content, &mark, 0);
            while let Some(start) = at {
                let from = start + mark.len();
                if content[from..].starts_with(b"--") || out.len() >= PARTS_MAX {
                    break;
                }
                let next = find(content, &mark, from);
                let part = trim_line(&content[from..next.unwrap_or(content.len())]);
                contents(part, depth + 1, out);
                at = next;
            }
        }
        return;
    }
    if is_kind(&kind, b"message/rfc822") && depth < DEPTH_MAX {
        return contents(content, depth + 1, out);
    }
    let coding = field(head, "content-transfer-encoding").unwrap_or_default();
    let disposition = field(head, "content-disposition").unwrap_or_default();
    let name = name_in(&disposition, b"filename").or_else(|| name_in(&kind, b"name"));
    let Some(name) = name else { return };
    let content = match coding.to_ascii_lowercase().as_slice() {
        b"base64" => super::super::super::matcher::base64_of(content),
        b"quoted-printable" => quoted(content),
        // the end of the line before a boundary belongs to it
        _ => without_end(content).to_vec(),
    };
    out.push((name, content));
}

/// What lines tell of a mail beside its files: what is in its head, names of what it carries, addresses in its texts.
pub(super) fn summary(message: &[u8], mut say: impl FnMut(&'static str, &[u8])) {
    say("email", b"");
    let (head, content) = split_head(message);
    for (name, key) in [
        ("from", "email.from"),
        ("to", "email.to"),
        ("cc", "email.cc"),
    ] {
        let Some(value) = field(head, name) else {
            continue;
        };
        match name {
            "from" => say(key, &value),
            _ => {
                let each = value.split(|b| *b == b',').map(<[u8]>::trim_ascii);
                each.filter(|a| !a.is_empty()).for_each(|a| say(key, a));
            }
        }
    }
    let kind = field(head, "content-type").unwrap_or_default();
    let Some(boundary) = boundary(&kind) else {
        return urls(&kind, content, &mut say);
    };
    for (head, content) in parts(content, &boundary) {
        let kind = field(head, "content-type").unwrap_or_default();
        let disposition = field(head, "content-disposition").unwrap_or_default();
        let name = name_in(&disposition, b"filename").or_else(|| name_in(&kind, b"name"));
        if let Some(name) = name {
            say("email.attachment", &name);
        }
        urls(&kind, content, &mut say);
    }
}

/// The addresses in a text, without their schemes.
fn urls(kind: &[u8], text: &[u8], say: &mut impl FnMut(&'static str, &[u8])) {
    if !(kind.is_empty() || is_kind(kind, b"text/plain") || is_kind(kind, b"text/html")) {
        return;
    }
    let mut at = 0;
    while let Some(colon) = find(text, b"://", at) {
        at = colon + 3;
        let before = text[..colon].to_ascii_lowercase();
        if !SCHEMES.iter().any(|s| before.ends_with(s)) {
            continue;
        }
        let ends = |b: &u8| !b.is_ascii_graphic() || matches!(b, b'"' | b'\'' | b'<' | b'>');
        let rest = &text[at..];
        let end = rest.iter().position(ends).unwrap_or(rest.len());
        if end > 0 {
            say("email.url", &rest[..end]);
        }
        at += end;
    }
}

fn is_kind(kind: &[u8], name: &[u8]) -> bool {
    let word = kind.split(|b| *b == b';').next().unwrap_or(kind);
    word.trim_ascii().eq_ignore_ascii_case(name)
}

/// Without the end of its last line.
fn without_end(bytes: &[u8]) -> &[u8] {
    let end = bytes.strip_suffix(b"\r\n").or(bytes.strip_suffix(b"\n"));
    end.unwrap_or(bytes)
}

/// Quoted-printable (RFC 2045 section 6.7).
fn quoted(text: &[u8]) -> Vec<u8> {
    let (mut out, mut at) = (vec![], 0);
    while let Some(&byte) = text.get(at) {
        let digit = |n: usize| {
            let c = char::from(*text.get(n)?);
            c.to_digit(16)
        };
        match (byte, text.get(at + 1), text.get(at + 2)) {
            (b'=', Some(b'\r'), Some(b'\n')) => at += 3,
            (b'=', Some(b'\n'), _) => at += 2,
            (b'=', ..) => match (digit(at + 1), digit(at + 2)) {
                (Some(a), Some(b)) => {
                    out.push((a << 4 | b) as u8);
                    at += 3;
                }
                _ => {
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
    out
}

pub(super) fn find(bytes: &[u8], what: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let at = rest.windows(what.len().max(1)).position(|w| w == what)?;
    Some(from + at)
}

/// Of what addresses in texts are told.
const SCHEMES: [&[u8]; 3] = [b"http", b"https", b"ftp"];
/// Longest boundary that is taken; RFC 2046 has 70.
const BOUNDARY_MAX: usize = 200;
/// Parts of one message.
const PARTS_MAX: usize = 64;
/// Containers within each other.
const DEPTH_MAX: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_forms() {
        let kind = b"multipart/form-data; boundary=\"xy\"";
        let boundary = boundary(kind).unwrap();
        let body = b"--xy\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n--xy\r\nContent-Disposition: form-data; name=f; filename=b\r\n\r\nBYTES\r\n--xy--\r\n";
        assert_eq!(files(body, &boundary), [b"BYTES"]);
        let cut = &body[..body.len() - 14];
        assert_eq!(files(cut, &boundary), [&b"B"[..]]);
    }

    #[test]
    fn mails_are_decoded() {
        let mail = b"Subject: x\r\nContent-Type: multipart/mixed;\r\n boundary=q\r\n\r\n--q\r\nContent-Type: a/b; name=1\r\nContent-Transfer-Encoding: base64\r\n\r\naGVs\r\nbG8=\r\n--q\r\nContent-Type: a/b; name=2\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=3Db=\r\nc\r\n--q--\r\n";
        let mut out = vec![];
        contents(mail, 0, &mut out);
        assert_eq!(out[0].1, b"hello");
        assert_eq!(out[1].1, b"a=bc\r\n");
    }

    #[test]
    fn what_has_a_name_is_a_file_and_the_text_of_a_mail_is_none() {
        let files = |mail: &str| {
            let mut out = vec![];
            contents(mail.as_bytes(), 0, &mut out);
            let text = |b: Vec<u8>| String::from_utf8(b).unwrap();
            let all = out.into_iter().map(|f| (text(f.0), text(f.1)));
            all.collect::<Vec<_>>()
        };
        let file = |name: &str, content: &str| vec![(name.to_owned(), content.to_owned())];
        assert_eq!(files("Subject: s\r\n\r\ntext\r\n"), []);
        assert_eq!(
            files("Content-Type: text/plain; name=\"a.txt\"\r\n\r\ntext\r\n"),
            file("a.txt", "text")
        );
        let parts = |inner: &str| {
            format!(
                "Content-Type: multipart/mixed; boundary=B\r\n\r\n--B\r\nContent-Type: text/plain\r\n\r\ntext\r\n--B\r\n{inner}\r\n--B--\r\n"
            )
        };
        assert_eq!(
            files(&parts("Content-Disposition: attachment\r\n\r\nbytes")),
            []
        );
        assert_eq!(
            files(&parts(
                "Content-Disposition: inline; filename=b.txt\r\n\r\nline\r\nnext"
            )),
            file("b.txt", "line\r\nnext")
        );
        assert_eq!(
            files(&parts(
                "Content-Type: message/rfc822; name=m.eml\r\n\r\nContent-Type: text/plain; name=i.txt\r\n\r\ninner"
            )),
            file("i.txt", "inner")
        );
    }

    #[test]
    fn lines_tell_the_head_of_a_mail_and_what_is_in_it() {
        let mail = "From: a@x.example\r\nTo: b@y.example,\r\n c@y.example\r\nContent-Type: multipart/mixed; boundary=B\r\n\r\n--B\r\nContent-Type: text/plain\r\n\r\nsee http://evil.example/x now\r\n--B\r\nContent-Type: a/b; name=\"f.bin\"\r\n\r\nhttp://not.example/\r\n--B--\r\n";
        let mut said = vec![];
        summary(mail.as_bytes(), |key, value| {
            said.push(format!("{key}={}", String::from_utf8_lossy(value)));
        });
        assert_eq!(
            said,
            [
                "email=",
                "email.from=a@x.example",
                "email.to=b@y.example",
                "email.to=c@y.example",
                "email.url=evil.example/x",
                "email.attachment=f.bin"
            ]
        );
    }
}
