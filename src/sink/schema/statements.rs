//! Splits a file of SQL into statements.

/// The statements of a text, without their closing semicolons and without comments around them. A semicolon inside a
/// string, a quoted name or a comment ends nothing.
pub fn statements(sql: &str) -> Vec<&str> {
    let bytes = sql.as_bytes();
    let (mut all, mut from, mut at) = (Vec::new(), None, 0);
    while at < bytes.len() {
        let rest = &bytes[at..];
        let skip = match bytes[at] {
            b';' => {
                all.extend(from.take().map(|f| sql[f..at].trim_end()));
                1
            }
            b'-' if rest.starts_with(b"--") => end(rest, b"\n"),
            b'/' if rest.starts_with(b"/*") => end(rest, b"*/"),
            quote @ (b'\'' | b'"' | b'`') => {
                from.get_or_insert(at);
                quoted(rest, quote)
            }
            c => {
                if !c.is_ascii_whitespace() {
                    from.get_or_insert(at);
                }
                1
            }
        };
        at += skip;
    }
    all.extend(from.map(|f| sql[f..].trim_end()));
    all
}

/// Length of a comment with what closes it.
fn end(bytes: &[u8], close: &[u8]) -> usize {
    let at = bytes.windows(close.len()).position(|w| w == close);
    at.map_or(bytes.len(), |n| n + close.len())
}

/// Length of a quoted text, quotes included. A quote is escaped by a backslash or by being doubled; a doubled one
/// simply reads as two texts next to each other.
fn quoted(bytes: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b if b == quote => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_bare_semicolon_ends_a_statement() {
        let sql = "-- first; comment\nSELECT ';', 'it''s;', \"a;b\", `c;d`, '\\';' /* ; */;\n\n;SELECT 2 -- end;\n";
        let got = statements(sql);
        assert_eq!(got.len(), 2, "{got:?}");
        assert!(got[0].starts_with("SELECT ';'") && got[0].ends_with("/* ; */"));
        assert!(got[1].starts_with("SELECT 2"));
        assert_eq!(statements("é;'ü\\ß' /* ö"), ["é", "'ü\\ß' /* ö"]);
        assert!(statements(" -- nothing\n ; ;").is_empty());
        assert_eq!(statements("SELECT 'open;"), ["SELECT 'open;"]);
        assert_eq!(statements("SELECT '\\"), ["SELECT '\\"]);
    }
}
