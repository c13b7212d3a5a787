//! Bytes as rules write them: text, `|hex|`, escapes.

/// Reads what stands between the quotes of a content.
///
/// # Errors
/// What is wrong, and at which byte of the text.
pub fn bytes_of(text: &[u8]) -> Result<Vec<u8>, String> {
    let (mut out, mut at) = (Vec::with_capacity(text.len()), 0);
    while at < text.len() {
        match text[at] {
            b'|' => at = hex_part(text, at + 1, &mut out)?,
            b'\\' => {
                match text.get(at + 1) {
                    Some(&c) if b"\\;:\"".contains(&c) => out.push(c),
                    Some(&c) => {
                        return Err(format!(
                            "`\\{}` is no escape: only \\\\ \\; \\: \\\" are, other bytes are written |xx|",
                            char::from(c)
                        ));
                    }
                    None => return Err("a `\\` at the end".to_owned()),
                }
                at += 2;
            }
            b'"' => {
                return Err("a `\"` inside is written `\\\"` or `|22|`".to_owned());
            }
            byte => {
                out.push(byte);
                at += 1;
            }
        }
    }
    Ok(out)
}

/// Reads hexadecimal digits to the closing bar; gives the offset after it.
fn hex_part(text: &[u8], start: usize, out: &mut Vec<u8>) -> Result<usize, String> {
    let (mut high, mut at) = (None, start);
    while let Some(&byte) = text.get(at) {
        at += 1;
        match byte {
            b'|' if high.is_some() => {
                return Err("an odd number of hexadecimal digits between bars".to_owned());
            }
            b'|' => return Ok(at),
            b' ' | b'\t' => {}
            _ => {
                let digit = char::from(byte)
                    .to_digit(16)
                    .and_then(|d| u8::try_from(d).ok());
                let digit = digit.ok_or_else(|| {
                    format!(
                        "`{}` between bars is no hexadecimal digit",
                        byte.escape_ascii()
                    )
                })?;
                match high.take() {
                    None => high = Some(digit),
                    Some(h) => out.push(h << 4 | digit),
                }
            }
        }
    }
    Err("a `|` is not closed; the byte itself is written |7c|".to_owned())
}

/// Writes bytes so that [`bytes_of`] reads the same.
pub fn text_of(bytes: &[u8]) -> String {
    let mut text = String::new();
    let mut in_bars = false;
    for &byte in bytes {
        let plain = (byte.is_ascii_graphic() || byte == b' ') && !b"|\\;:\"".contains(&byte);
        if plain == in_bars {
            text.push('|');
            in_bars = !plain;
        } else if !plain {
            text.push(' ');
        }
        if plain {
            text.push(char::from(byte));
        } else {
            text += &format!("{byte:02x}");
        }
    }
    if in_bars {
        text.push('|');
    }
    text
}

/// What stands between quotes, and whether a `!` stands before.
pub(super) fn quoted(value: &[u8]) -> Result<(bool, &[u8]), String> {
    let (negated, rest) = match value.strip_prefix(b"!") {
        Some(rest) => (true, rest.trim_ascii_start()),
        None => (false, value),
    };
    let inner = rest
        .strip_prefix(b"\"")
        .ok_or_else(|| "the value must stand in double quotes".to_owned())?;
    if let Some(inner) = inner.strip_suffix(b"\"")
        && inner.iter().rev().take_while(|b| **b == b'\\').count() % 2 == 0
    {
        return Ok((negated, inner));
    }
    let close = inner.iter().position(|b| *b == b'"');
    Err(match close.map(|at| inner[at + 1..].trim_ascii_start()) {
        Some(after) if after.starts_with(b",") => {
            "modifiers after a comma are Snort 3: write them as options of their own (`content:\"a\"; nocase; depth:4;`)"
        }
        Some(_) => "text after the closing quote",
        None => "the closing quote is missing",
    }
    .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_escapes_and_their_near_misses() {
        assert_eq!(bytes_of(br"a|0d 0A|b\;\:\\").unwrap(), b"a\r\nb;:\\");
        assert_eq!(bytes_of(b"|0d0a|").unwrap(), b"\r\n");
        assert_eq!(bytes_of(b"||").unwrap(), b"");
        for bad in [
            &b"|0|"[..],
            b"|0d",
            b"|0g|",
            b"a\\",
            b"a\\n",
            b"a\\|",
            b"a\"b",
            b"|0d 0|",
        ] {
            assert!(bytes_of(bad).is_err(), "{}", bad.escape_ascii());
        }
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(bytes_of(text_of(&all).as_bytes()).unwrap(), all);
    }

    #[test]
    fn quotes() {
        assert_eq!(quoted(b"! \"a\"").unwrap(), (true, &b"a"[..]));
        assert!(quoted(b"\"a\",nocase").unwrap_err().contains("Snort 3"));
        for bad in [&b"a"[..], b"\"a", b"\"", b"\"a\\\"", b"\"a\" b"] {
            assert!(quoted(bad).is_err(), "{}", bad.escape_ascii());
        }
    }
}
