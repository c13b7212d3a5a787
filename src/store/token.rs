//! SQL in tokens, as ClickHouse's own lexer cuts it: nothing is understood, nothing is refused, nothing panics.
//!
//! Works on bytes because an insert's data may follow the statement; the caller stops before it.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An unquoted name or keyword.
    Word,
    /// A name in backticks or double quotes; its quotes are in the span.
    Quoted,
    /// A string in single quotes or a heredoc.
    Text,
    /// A number.
    Number,
    /// One byte of anything else.
    Symbol(u8),
    /// A quote or comment that never ends: the rest of the input.
    Broken,
}

/// One token and where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Its first byte.
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
}

impl Token {
    /// The bytes of the token.
    pub fn bytes<'a>(&self, sql: &'a [u8]) -> &'a [u8] {
        sql.get(self.start..self.end).unwrap_or_default()
    }

    /// Whether this is the unquoted word `keyword` in any case.
    pub fn is(&self, sql: &[u8], keyword: &str) -> bool {
        self.kind == Kind::Word && self.bytes(sql).eq_ignore_ascii_case(keyword.as_bytes())
    }

    /// Whether this is the symbol `byte`.
    pub fn is_symbol(&self, byte: u8) -> bool {
        self.kind == Kind::Symbol(byte)
    }

    /// The name a word or quoted name stands for, in lower case; nothing for other tokens.
    pub fn name(&self, sql: &[u8]) -> Option<String> {
        match self.kind {
            Kind::Word => Some(String::from_utf8_lossy(self.bytes(sql)).to_ascii_lowercase()),
            Kind::Quoted => Some(unquote(self.bytes(sql)).to_ascii_lowercase()),
            _ => None,
        }
    }

    /// The content of a string; nothing for other tokens.
    pub fn text(&self, sql: &[u8]) -> Option<String> {
        let bytes = self.bytes(sql);
        match (self.kind, bytes.first()) {
            (Kind::Text, Some(b'$')) => {
                let tag = bytes[1..].iter().position(|&byte| byte == b'$')? + 2;
                let inner = bytes.get(tag..bytes.len().checked_sub(tag)?)?;
                Some(String::from_utf8_lossy(inner).into_owned())
            }
            (Kind::Text, _) => Some(unquote(bytes)),
            _ => None,
        }
    }
}

/// Cuts `sql` into tokens; comments and white space are left out.
#[derive(Debug, Clone)]
pub struct Tokens<'a> {
    sql: &'a [u8],
    at: usize,
}

impl<'a> Tokens<'a> {
    /// Starts at the first byte.
    pub fn new(sql: &'a [u8]) -> Tokens<'a> {
        Tokens { sql, at: 0 }
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.sql.get(self.at + ahead).copied()
    }

    /// Skips white space and comments; an unfinished comment comes back as a token.
    fn skip(&mut self) -> Option<Token> {
        loop {
            match (self.byte(0)?, self.byte(1)) {
                (b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c, _) => self.at += 1,
                (0xe2, Some(0x80)) if matches!(self.byte(2), Some(0x98..=0x9f)) => {
                    // curly quotes open strings in newer engines: refused, never guessed
                    return Some(self.broken());
                }
                // outside quotes the engine knows no other use of these bytes than white space
                (0x80.., _) => self.at += 1,
                (b'-', Some(b'-')) | (b'#', Some(b' ' | b'!')) | (b'/', Some(b'/')) => {
                    self.skip_line()
                }
                (b'/', Some(b'*')) => {
                    let start = self.at;
                    if !self.skip_comment() {
                        self.at = start;
                        return Some(self.broken());
                    }
                }
                _ => return None,
            }
        }
    }

    /// The rest of the input; nothing comes after it.
    fn broken(&mut self) -> Token {
        let start = std::mem::replace(&mut self.at, self.sql.len());
        Token {
            kind: Kind::Broken,
            start,
            end: self.sql.len(),
        }
    }

    fn skip_line(&mut self) {
        let rest = &self.sql[self.at..];
        self.at += rest
            .iter()
            .position(|&byte| byte == b'\n')
            .unwrap_or(rest.len());
    }

    /// Comments nest in ClickHouse. Returns whether the comment ends.
    fn skip_comment(&mut self) -> bool {
        let mut depth = 0usize;
        while let Some(byte) = self.byte(0) {
            match (byte, self.byte(1)) {
                (b'/', Some(b'*')) => {
                    depth += 1;
                    self.at += 2;
                }
                (b'*', Some(b'/')) => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return true;
                    }
                }
                _ => self.at += 1,
            }
        }
        false
    }

    fn quoted(&mut self, quote: u8, kind: Kind) -> Kind {
        self.at += 1;
        while let Some(byte) = self.byte(0) {
            self.at += 1;
            if byte == b'\\' {
                self.at = (self.at + 1).min(self.sql.len());
            } else if byte == quote {
                if self.byte(0) != Some(quote) {
                    return kind;
                }
                self.at += 1;
            }
        }
        Kind::Broken
    }

    /// `$tag$ ... $tag$`; nothing when the dollar starts no heredoc.
    fn heredoc(&mut self) -> Option<Kind> {
        let rest = &self.sql[self.at..];
        let length = rest[1..].iter().position(|&byte| !is_word(byte))? + 2;
        if rest.get(length - 1) != Some(&b'$') {
            return None;
        }
        let tag = &rest[..length];
        let body = rest[length..]
            .windows(length)
            .position(|window| window == tag)?;
        self.at += length + body + length;
        Some(Kind::Text)
    }

    fn number(&mut self) -> Kind {
        let radix = match (self.byte(0), self.byte(1)) {
            (Some(b'0'), Some(b'x' | b'X')) => 16,
            (Some(b'0'), Some(b'b' | b'B')) => 2,
            _ => 10,
        };
        if radix != 10 {
            self.at += 2;
        }
        self.digits(radix);
        if self.byte(0) == Some(b'.') {
            self.at += 1;
            self.digits(radix);
        }
        let exponent = matches!(
            (radix, self.byte(0)),
            (10, Some(b'e' | b'E')) | (16, Some(b'p' | b'P'))
        );
        if exponent && matches!(self.byte(1), Some(b'+' | b'-')) {
            self.at += 2;
        }
        while self.byte(0).is_some_and(is_word) {
            self.at += 1;
        }
        Kind::Number
    }

    fn digits(&mut self, radix: u32) {
        while self
            .byte(0)
            .is_some_and(|byte| byte == b'_' || char::from(byte).is_digit(radix))
        {
            self.at += 1;
        }
    }

    fn symbol(&mut self, byte: u8) -> Kind {
        self.at += 1;
        Kind::Symbol(byte)
    }

    fn word(&mut self) -> Kind {
        while self
            .byte(0)
            .is_some_and(|byte| is_word(byte) || byte == b'$')
        {
            self.at += 1;
        }
        Kind::Word
    }
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        if let Some(broken) = self.skip() {
            return Some(broken);
        }
        let start = self.at;
        let kind = match self.byte(0)? {
            b'\'' => self.quoted(b'\'', Kind::Text),
            quote @ (b'"' | b'`') => self.quoted(quote, Kind::Quoted),
            b'$' => match self.heredoc() {
                Some(kind) => kind,
                None if self.byte(1).is_some_and(is_word) => self.word(),
                None => self.symbol(b'$'),
            },
            byte if byte.is_ascii_digit() => self.number(),
            byte if is_word(byte) => self.word(),
            byte => self.symbol(byte),
        };
        Some(Token {
            kind,
            start,
            end: self.at,
        })
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Takes off the quotes and undoes doubled quotes and backslash escapes.
fn unquote(bytes: &[u8]) -> String {
    let Some((&quote, rest)) = bytes.split_first() else {
        return String::new();
    };
    let inner = rest.strip_suffix(&[quote]).unwrap_or(rest);
    let mut out = Vec::with_capacity(inner.len());
    let mut at = 0;
    while let Some(&byte) = inner.get(at) {
        at += 1;
        if byte == b'\\' {
            at += escape(&inner[at..], &mut out);
            continue;
        }
        if byte == quote {
            at += 1;
        }
        out.push(byte);
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Appends what the escape after a backslash means and tells how many bytes it took.
fn escape(rest: &[u8], out: &mut Vec<u8>) -> usize {
    let Some(&byte) = rest.first() else { return 0 };
    if byte == b'x' {
        let digits = rest
            .get(1..3)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(value) = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            out.push(value);
            return 3;
        }
    }
    match byte {
        b'n' => out.push(b'\n'),
        b't' => out.push(b'\t'),
        b'r' => out.push(b'\r'),
        b'b' => out.push(8),
        b'f' => out.push(12),
        b'a' => out.push(7),
        b'v' => out.push(11),
        b'e' => out.push(27),
        b'0' => out.push(0),
        b'N' => {}
        other => out.push(other),
    }
    1
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cut(sql: &str) -> Vec<String> {
        Tokens::new(sql.as_bytes())
            .map(|t| String::from_utf8_lossy(t.bytes(sql.as_bytes())).into_owned())
            .collect()
    }

    #[test]
    fn comments_and_space_vanish() {
        assert_eq!(
            cut("SELECT/* a /* b */ c */1--x\n,2 # y\n#!z\n"),
            ["SELECT", "1", ",", "2"]
        );
        assert_eq!(cut("a\u{a0}b\u{3000}c"), ["a", "b", "c"]);
    }

    #[test]
    fn quotes_hold_everything() {
        assert_eq!(
            cut(r"'it''s' 'a\'b' `x``y` $t$ 'raw' $t$ $$ -- $$"),
            ["'it''s'", r"'a\'b'", "`x``y`", "$t$ 'raw' $t$", "$$ -- $$"]
        );
        assert_eq!(
            Tokens::new(b"'open").next().map(|t| t.kind),
            Some(Kind::Broken)
        );
        assert_eq!(
            Tokens::new(b"/* open /* */").next().map(|t| t.kind),
            Some(Kind::Broken)
        );
    }

    #[test]
    fn names_and_texts_are_unquoted() {
        let sql = br#"`Fi\x6ce` "u""rl" 'a\nb' $x$raw\n$x$"#;
        let tokens: Vec<_> = Tokens::new(sql).collect();
        assert_eq!(tokens[0].name(sql).as_deref(), Some("file"));
        assert_eq!(tokens[1].name(sql).as_deref(), Some("u\"rl"));
        assert_eq!(tokens[2].text(sql).as_deref(), Some("a\nb"));
        assert_eq!(tokens[3].text(sql).as_deref(), Some("raw\\n"));
    }

    #[test]
    fn numbers_hide_no_names() {
        assert_eq!(
            cut("0x1e+file(1e+2)"),
            ["0x1e", "+", "file", "(", "1e+2", ")"]
        );
    }

    #[test]
    fn curly_quotes_and_odd_dollars() {
        assert_eq!(
            Tokens::new("‘a’".as_bytes()).next().map(|t| t.kind),
            Some(Kind::Broken)
        );
        assert_eq!(
            cut("$ a $ file( $ a $ $x"),
            ["$", "a", "$", "file", "(", "$", "a", "$", "$x"]
        );
        assert_eq!(cut("file\u{85}("), ["file", "("]);
    }

    #[test]
    fn numbers_and_dots() {
        assert_eq!(
            cut("1e-5 .5 0x1F t.1 1_000"),
            ["1e-5", ".", "5", "0x1F", "t", ".", "1", "1_000"]
        );
    }

    /// Pieces that start or end something, so that random texts hit the rare paths.
    const PIECES: &[&[u8]] = &[
        b"'",
        b"\"",
        b"`",
        b"\\",
        b"$",
        b"$a$",
        b"$ a $",
        b"/*",
        b"*/",
        b"--",
        b"//",
        b"#!",
        b"\n",
        b"0x1e+",
        b"1e",
        b"1.",
        b"-",
        b"e",
        b"\xe2\x80\x98",
        b"\xe2\x80\x99",
        b"\xe2",
        b"\x80",
        b"\0",
        b"\\x6",
        b"file(",
        b" ",
        b";",
        b"{a:b}",
    ];

    proptest! {
        #[test]
        fn pieces_never_loop(picks in proptest::collection::vec(0..PIECES.len(), 0..40)) {
            let sql: Vec<u8> = picks.iter().flat_map(|pick| PIECES[*pick].iter().copied()).collect();
            prop_assert!(Tokens::new(&sql).take(sql.len() + 1).count() <= sql.len());
            for token in Tokens::new(&sql) {
                let _ = (token.name(&sql), token.text(&sql));
            }
        }

        #[test]
        fn never_panics_and_covers_in_order(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut last = 0;
            for token in Tokens::new(&bytes) {
                prop_assert!(token.start >= last && token.end > token.start && token.end <= bytes.len());
                let _ = (token.name(&bytes), token.text(&bytes));
                last = token.end;
            }
        }
    }
}
