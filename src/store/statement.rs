//! What a statement is and where its parts stand: decided from tokens, so neither case nor comments mislead it.

use super::error::{Exception, Name};
use super::token::{Kind, Token, Tokens};
use std::ops::Range;

/// A statement in its parts. Ranges are bytes of the text it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// How it is run.
    pub class: Class,
    /// The statement without its `FORMAT` clause and closing semicolon; for an insert with data everything before the data's format.
    pub text: Range<usize>,
    /// The settings that follow the format, if any.
    pub settings: Option<Range<usize>>,
    /// The format named in the statement.
    pub format: Option<String>,
    /// The tokens of the statement, without those of inline data.
    pub tokens: Vec<Token>,
}

/// How a statement is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Gives rows and can stand below an `INSERT`.
    Select,
    /// Gives rows but stands only alone: SHOW, DESCRIBE, EXISTS, EXPLAIN, CHECK.
    Report,
    /// An insert whose data follows at this byte.
    InsertData(usize),
    /// Changes something and gives no rows.
    Command,
}

impl Statement {
    /// Reads the statement at the start of `sql`, which may go on with an insert's data.
    pub fn read(sql: &[u8]) -> Result<Statement, Exception> {
        let mut tokens = Vec::new();
        let mut source = Tokens::new(sql);
        let Some(first) = source.next() else {
            return Err(Exception::new(
                Name::SyntaxError,
                "Syntax error: empty query",
            ));
        };
        if first.is(sql, "INSERT") {
            return read_insert(sql, first, source);
        }
        tokens.push(first);
        tokens.extend(source);
        read_whole(sql, tokens)
    }

    /// The first word in upper case.
    pub fn verb(&self, sql: &[u8]) -> String {
        let open = self.tokens.iter().find(|token| !token.is_symbol(b'('));
        open.and_then(|token| token.name(sql))
            .unwrap_or_default()
            .to_ascii_uppercase()
    }
}

fn broken(sql: &[u8], token: &Token) -> Exception {
    let near =
        String::from_utf8_lossy(&sql[token.start..token.end.min(token.start + 40)]).into_owned();
    Exception::new(
        Name::SyntaxError,
        format!(
            "Syntax error: a quote or comment does not end at position {}: {near}",
            token.start
        ),
    )
}

/// Reads up to `FORMAT name`, `VALUES` or, for an insert from a query, to the end.
fn read_insert(sql: &[u8], first: Token, mut source: Tokens<'_>) -> Result<Statement, Exception> {
    let mut tokens = vec![first];
    let mut depth = 0i64;
    let mut settings = None;
    while let Some(token) = source.next() {
        if token.kind == Kind::Broken {
            return Err(broken(sql, &token));
        }
        depth += step(&token);
        if depth == 0 && tokens.len() > 1 {
            if ["SELECT", "WITH", "FROM", "WATCH"]
                .iter()
                .any(|word| token.is(sql, word))
                || token.is_symbol(b';')
            {
                tokens.push(token);
                tokens.extend(source);
                return read_whole(sql, tokens);
            }
            if token.is(sql, "SETTINGS") {
                settings = Some(token.start);
            }
            let format = if token.is(sql, "VALUES") {
                Some(("Values".to_owned(), token.end))
            } else {
                None
            };
            let format = match format {
                None if token.is(sql, "FORMAT") => source
                    .next()
                    .and_then(|name| Some((word(sql, &name)?, name.end))),
                other => other,
            };
            if let Some((format, end)) = format {
                let data = if format == "Values" {
                    end
                } else {
                    data_start(sql, end)
                };
                let text = tokens[0].start..settings.unwrap_or(token.start);
                let settings = settings.map(|start| start..token.start);
                return Ok(Statement {
                    class: Class::InsertData(data),
                    text,
                    settings,
                    format: Some(format),
                    tokens,
                });
            }
        }
        tokens.push(token);
    }
    // INSERT INTO t (SELECT ...) and what the engine should name the fault of
    read_whole(sql, tokens)
}

/// ClickHouse skips blanks and one line end between a format's name and its data.
fn data_start(sql: &[u8], end: usize) -> usize {
    let mut at = end;
    while matches!(sql.get(at), Some(b' ' | b'\t' | 0x0c)) {
        at += 1;
    }
    at += usize::from(sql.get(at) == Some(&b';'));
    at += usize::from(sql.get(at) == Some(&b'\r'));
    at + usize::from(sql.get(at) == Some(&b'\n'))
}

fn step(token: &Token) -> i64 {
    match token.kind {
        Kind::Symbol(b'(' | b'[' | b'{') => 1,
        Kind::Symbol(b')' | b']' | b'}') => -1,
        _ => 0,
    }
}

fn word(sql: &[u8], token: &Token) -> Option<String> {
    (token.kind == Kind::Word).then(|| String::from_utf8_lossy(token.bytes(sql)).into_owned())
}

fn read_whole(sql: &[u8], mut tokens: Vec<Token>) -> Result<Statement, Exception> {
    if let Some(token) = tokens.iter().find(|token| token.kind == Kind::Broken) {
        return Err(broken(sql, token));
    }
    while tokens.last().is_some_and(|token| token.is_symbol(b';')) {
        tokens.pop();
    }
    if tokens.iter().any(|token| token.is_symbol(b';')) {
        return Err(Exception::new(
            Name::SyntaxError,
            "Syntax error (Multi-statements are not allowed)",
        ));
    }
    let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else {
        return Err(Exception::new(
            Name::SyntaxError,
            "Syntax error: empty query",
        ));
    };
    let whole = first.start..last.end;
    let class = classify(sql, &tokens);
    let clause = match class {
        Class::Select | Class::Report => format_clause(sql, &tokens),
        _ => None,
    };
    let Some(at) = clause else {
        return Ok(Statement {
            class,
            text: whole,
            settings: None,
            format: None,
            tokens,
        });
    };
    let format = word(sql, &tokens[at + 1]);
    let settings = tokens.get(at + 2).map(|token| token.start..whole.end);
    Ok(Statement {
        class,
        text: whole.start..tokens[at].start,
        settings,
        format,
        tokens,
    })
}

/// The last `FORMAT name` outside brackets that ends the statement or stands before its settings.
fn format_clause(sql: &[u8], tokens: &[Token]) -> Option<usize> {
    let mut depth = 0;
    let mut found = None;
    for (at, token) in tokens.iter().enumerate() {
        depth += step(token);
        let named = tokens
            .get(at + 1)
            .is_some_and(|next| next.kind == Kind::Word);
        let ends = tokens
            .get(at + 2)
            .is_none_or(|after| after.is(sql, "SETTINGS"));
        if depth == 0 && at > 0 && token.is(sql, "FORMAT") && named && ends {
            found = Some(at);
        }
    }
    found
}

fn classify(sql: &[u8], tokens: &[Token]) -> Class {
    let first = tokens.iter().find(|token| !token.is_symbol(b'('));
    let Some(first) = first else {
        return Class::Command;
    };
    let verb = first.name(sql).unwrap_or_default();
    match verb.as_str() {
        "with" if has_insert(sql, tokens) => Class::Command,
        "select" | "with" | "from" => Class::Select,
        "show" | "describe" | "desc" | "exists" | "explain" | "check" => Class::Report,
        _ => Class::Command,
    }
}

/// Whether the tokens hold `INSERT INTO`, as in `WITH ... INSERT INTO t SELECT`.
pub(super) fn has_insert(sql: &[u8], tokens: &[Token]) -> bool {
    tokens
        .windows(2)
        .any(|pair| pair[0].is(sql, "INSERT") && pair[1].is(sql, "INTO"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(sql: &str) -> Statement {
        Statement::read(sql.as_bytes()).expect("statement")
    }

    #[test]
    fn select_loses_its_format() {
        let sql = "/* x */ SELECT 1 AS format FORMAT JSON SETTINGS max_threads=1;";
        let statement = read(sql);
        assert_eq!(statement.class, Class::Select);
        assert_eq!(statement.format.as_deref(), Some("JSON"));
        assert_eq!(&sql[statement.text], "SELECT 1 AS format ");
        assert_eq!(
            statement.settings.map(|range| &sql[range]),
            Some("SETTINGS max_threads=1")
        );
    }

    #[test]
    fn insert_finds_its_data() {
        let sql = "INSERT INTO t (a, b) SETTINGS async_insert=0 FORMAT TSV\n1\t2\n";
        let statement = read(sql);
        assert_eq!(
            statement.class,
            Class::InsertData(sql.find("1\t").expect("data"))
        );
        assert_eq!(&sql[statement.text], "INSERT INTO t (a, b) ");
        assert_eq!(
            statement.settings.map(|range| &sql[range]),
            Some("SETTINGS async_insert=0 ")
        );
        let values = read("insert into `format` values (1)");
        assert!(matches!(values.class, Class::InsertData(_)));
        assert_eq!(
            read("insert into t(x) select 1 format").class,
            Class::Command
        );
        assert_eq!(
            read("INSERT INTO t FORMAT Native").format.as_deref(),
            Some("Native")
        );
    }

    #[test]
    fn one_statement_only() {
        assert!(Statement::read(b"SELECT 1; DROP TABLE t").is_err());
        assert!(Statement::read(b"SELECT 'x").is_err());
        assert!(Statement::read(b" -- nothing").is_err());
        assert_eq!(read("SELECT ';' ;;").class, Class::Select);
    }

    #[test]
    fn classes() {
        assert_eq!(read("(SELECT 1) UNION ALL (SELECT 2)").class, Class::Select);
        assert_eq!(
            read("with x as (select 1) insert into t select * from x").class,
            Class::Command
        );
        assert_eq!(read("desc t").class, Class::Report);
        assert_eq!(
            read("create table t (a UInt8) engine=Memory").class,
            Class::Command
        );
    }
}
