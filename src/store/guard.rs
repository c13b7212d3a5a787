//! Which SQL may run: nothing that reaches files, network or processes, nothing that lifts a limit.
//!
//! Table functions and engines are an allow-list: of all the names the engine knows, only those listed here pass,
//! wherever in a statement they stand. Names are compared after unquoting and without case.

use super::error::{Exception, Name};
use super::names::{
    DATABASE_ENGINES_ALLOWED, ENGINES, ENGINES_ALLOWED, FUNCTIONS_BY_NAME, FUNCTIONS_REFUSED,
    SETTINGS_REFUSED, SETTINGS_REFUSED_PREFIXES, TABLE_FUNCTIONS, TABLE_FUNCTIONS_ALLOWED,
};
use super::statement::{Class, Statement, has_insert};
use super::token::{Kind, Token, Tokens};
use std::collections::HashSet;

/// What a key allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Everything the guard passes.
    Full,
    /// Only statements that read.
    ReadOnly,
}

/// The rules, with the names of the engine that runs.
#[derive(Debug, Clone)]
pub struct Guard {
    functions: HashSet<String>,
    engines: HashSet<String>,
    limits: Vec<(&'static str, u64)>,
}

impl Guard {
    /// Rules over the names of the pinned engine.
    pub fn new() -> Guard {
        let words = |list: &str, allowed: &[&str]| {
            let refused = list.split_whitespace().map(str::to_ascii_lowercase);
            refused
                .filter(|name| !allowed.contains(&name.as_str()))
                .collect::<HashSet<_>>()
        };
        let mut functions = words(TABLE_FUNCTIONS, TABLE_FUNCTIONS_ALLOWED);
        functions.extend(FUNCTIONS_REFUSED.iter().map(|name| (*name).to_owned()));
        Guard {
            functions,
            engines: words(ENGINES, ENGINES_ALLOWED),
            limits: Vec::new(),
        }
    }

    /// Adds the table functions and the engines that the running engine names.
    pub fn learn<'a>(
        &mut self,
        functions: impl Iterator<Item = &'a str>,
        engines: impl Iterator<Item = &'a str>,
    ) {
        let functions = functions
            .map(str::to_ascii_lowercase)
            .filter(|name| !TABLE_FUNCTIONS_ALLOWED.contains(&name.as_str()));
        self.functions.extend(functions);
        let engines = engines
            .map(str::to_ascii_lowercase)
            .filter(|name| !ENGINES_ALLOWED.contains(&name.as_str()));
        self.engines.extend(engines);
    }

    /// Sets the largest value clients may give to a setting.
    pub fn limit(&mut self, setting: &'static str, largest: u64) {
        self.limits.push((setting, largest));
    }

    /// Refuses a statement that must not run with this access.
    pub fn check(
        &self,
        sql: &[u8],
        statement: &Statement,
        access: Access,
    ) -> Result<(), Exception> {
        let verb = statement.verb(sql);
        let reads = [
            "SELECT", "WITH", "FROM", "SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN",
        ]
        .contains(&verb.as_str());
        let reads = reads
            && matches!(statement.class, Class::Select | Class::Report)
            && !has_insert(sql, &statement.tokens);
        if access == Access::ReadOnly && !reads {
            return Err(Exception::new(
                Name::Readonly,
                format!("Cannot execute query in readonly mode: {verb}"),
            ));
        }
        if !reads {
            check_command(sql, &verb, &statement.tokens)?;
        }
        self.check_tokens(sql, &statement.tokens)
    }

    /// Whether an insert's literal rows hold nothing but what may be evaluated.
    pub fn values_may_be_expressions(&self, data: &[u8]) -> bool {
        let tokens: Vec<Token> = Tokens::new(data).collect();
        tokens.iter().all(|token| token.kind != Kind::Broken)
            && self.check_tokens(data, &tokens).is_ok()
    }

    /// Refuses a setting by its name and value, as given in the address of a request.
    pub fn check_setting(&self, name: &str, value: &str) -> Result<(), Exception> {
        let lower = name.to_ascii_lowercase();
        if SETTINGS_REFUSED.contains(&lower.as_str())
            || SETTINGS_REFUSED_PREFIXES
                .iter()
                .any(|prefix| lower.starts_with(prefix))
        {
            return Err(Exception::new(
                Name::SettingConstraint,
                format!("Setting {name} should not be changed"),
            ));
        }
        let Some((_, largest)) = self.limits.iter().find(|(limited, _)| *limited == lower) else {
            return Ok(());
        };
        match value.parse::<u64>() {
            Ok(given) if (1..=*largest).contains(&given) => Ok(()),
            _ => Err(Exception::new(
                Name::SettingConstraint,
                format!("Setting {name} should be a number from 1 to {largest}"),
            )),
        }
    }

    /// Refuses the value of a query parameter that could stand for a function (`{f:Identifier}`).
    pub fn check_parameter(&self, value: &str) -> Result<(), Exception> {
        let ornament = |c: char| c.is_whitespace() || matches!(c, '`' | '"' | '\'');
        let name = value.trim_matches(ornament).to_ascii_lowercase();
        match FUNCTIONS_BY_NAME.contains(&name.as_str()) {
            true => Err(denied(&format!("{name} as a parameter"))),
            false => Ok(()),
        }
    }

    fn check_tokens(&self, sql: &[u8], tokens: &[Token]) -> Result<(), Exception> {
        for (at, token) in tokens.iter().enumerate() {
            let next = tokens.get(at + 1);
            let opens = next.is_some_and(|next| next.is_symbol(b'('));
            if opens && token.is_symbol(b'}') {
                return Err(denied("a parameter in place of a function"));
            }
            let Some(name) = token.name(sql) else {
                continue;
            };
            if opens && self.functions.contains(&name) {
                return Err(denied(&format!("the function {name}")));
            }
            let dot = |other: Option<&Token>| other.is_some_and(|t| t.is_symbol(b'.'));
            let before = at.checked_sub(1).and_then(|n| tokens.get(n));
            if FUNCTIONS_BY_NAME.contains(&name.as_str()) && !dot(before) && !dot(next) {
                let what = format!("{name}, which is a function (a column: write table.{name})");
                return Err(denied(&what));
            }
            match name.as_str() {
                "into" | "from"
                    if next
                        .is_some_and(|next| next.is(sql, "OUTFILE") || next.is(sql, "INFILE")) =>
                {
                    return Err(denied("INTO OUTFILE and FROM INFILE"));
                }
                "engine" => self.check_engine(sql, &tokens[at + 1..])?,
                "source" if opens => self.check_source(sql, &tokens[at + 2..])?,
                "settings" | "set" | "setting" if token.kind == Kind::Word => {
                    self.check_settings(sql, &tokens[at + 1..])?
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn check_engine(&self, sql: &[u8], rest: &[Token]) -> Result<(), Exception> {
        let rest = rest
            .strip_prefix(
                &rest[..usize::from(rest.first().is_some_and(|token| token.is_symbol(b'=')))],
            )
            .unwrap_or(rest);
        let Some(token) = rest.first() else {
            return Ok(());
        };
        if token.is_symbol(b'{') {
            return Err(denied("a parameter in place of an engine"));
        }
        match token.name(sql) {
            Some(name) if self.engines.contains(&name) => {
                Err(denied(&format!("the engine {name}")))
            }
            _ => Ok(()),
        }
    }

    /// A dictionary may only read this store's own tables.
    fn check_source(&self, sql: &[u8], rest: &[Token]) -> Result<(), Exception> {
        let kind = rest
            .first()
            .and_then(|token| token.name(sql))
            .unwrap_or_default();
        if kind != "clickhouse" && kind != "null" {
            return Err(denied(&format!("the dictionary source {kind}")));
        }
        let mut depth = 1;
        for token in rest {
            depth += match token.kind {
                Kind::Symbol(b'(') => 1,
                Kind::Symbol(b')') => -1,
                _ => 0,
            };
            if depth == 0 {
                break;
            }
            let name = token.name(sql).unwrap_or_default();
            if ["host", "port", "secure", "name"].contains(&name.as_str()) {
                return Err(denied(&format!("{name} in a dictionary source")));
            }
            if let Some(inner) = token.text(sql) {
                let tokens: Vec<Token> = Tokens::new(inner.as_bytes()).collect();
                self.check_tokens(inner.as_bytes(), &tokens)?;
            }
        }
        Ok(())
    }

    /// Checks `name = value, name = value ...` after SETTINGS or SET.
    fn check_settings(&self, sql: &[u8], rest: &[Token]) -> Result<(), Exception> {
        let mut at = usize::from(rest.first().is_some_and(|token| token.is_symbol(b'(')));
        while let Some(name) = rest.get(at).and_then(|token| token.name(sql)) {
            at += 1;
            let mut value = String::new();
            if rest.get(at).is_some_and(|token| token.is_symbol(b'=')) {
                at += 1;
                value = rest
                    .get(at)
                    .map(|token| plain(sql, token))
                    .unwrap_or_default();
                at = skip_value(rest, at);
            }
            match name.starts_with("param_") {
                true => self.check_parameter(&value)?,
                false => self.check_setting(&name, &value)?,
            }
            if !rest.get(at).is_some_and(|token| token.is_symbol(b',')) {
                break;
            }
            at += 1;
        }
        Ok(())
    }
}

impl Default for Guard {
    fn default() -> Self {
        Guard::new()
    }
}

fn denied(what: &str) -> Exception {
    Exception::new(
        Name::AccessDenied,
        format!("Not allowed in the embedded store: {what}"),
    )
}

fn plain(sql: &[u8], token: &Token) -> String {
    token
        .text(sql)
        .unwrap_or_else(|| String::from_utf8_lossy(token.bytes(sql)).into_owned())
}

/// One value: a literal or name, with any brackets that follow.
fn skip_value(rest: &[Token], mut at: usize) -> usize {
    let mut depth = 0i64;
    while let Some(token) = rest.get(at) {
        match token.kind {
            Kind::Symbol(b'(' | b'[' | b'{') => depth += 1,
            Kind::Symbol(b')' | b']' | b'}') if depth == 0 => return at,
            Kind::Symbol(b')' | b']' | b'}') => depth -= 1,
            Kind::Symbol(b',') if depth == 0 => return at,
            _ => {}
        }
        at += 1;
    }
    at
}

/// Statements that change something: an allow-list of the first words.
fn check_command(sql: &[u8], verb: &str, tokens: &[Token]) -> Result<(), Exception> {
    let words: Vec<String> = tokens
        .iter()
        .skip(1)
        .take(6)
        .map(|token| token.name(sql).unwrap_or_default())
        .collect();
    let word = |at: usize| words.get(at).map(String::as_str).unwrap_or_default();
    let any = |list: &[&str]| list.contains(&word(0));
    let objects = [
        "table",
        "temporary",
        "database",
        "view",
        "materialized",
        "dictionary",
        "function",
        "index",
        "unique",
        "or",
        "if",
    ];
    let allowed = match verb {
        "INSERT" | "WITH" | "OPTIMIZE" | "TRUNCATE" | "RENAME" | "EXCHANGE" | "UNDROP"
        | "DELETE" | "UPDATE" | "USE" | "CHECK" => true,
        // functions of a user's own may be in languages of the engine's choice, WebAssembly among them
        "CREATE" | "REPLACE" | "ATTACH" if made(&words) == Some("function") => false,
        "CREATE" | "REPLACE" | "DROP" | "DETACH" => any(&objects),
        "ALTER" => {
            any(&["table", "temporary", "database"]) && !words.iter().any(|word| word == "fetch")
        }
        "ATTACH" => any(&objects),
        "SET" => !(any(&["role", "transaction"]) || (word(0) == "default" && word(1) == "role")),
        "KILL" => any(&["query", "mutation"]),
        "SYSTEM" => system_allowed(
            word(0),
            word(1),
            tokens
                .iter()
                .any(|token| token.is(sql, "CACHE") || token.is(sql, "CACHES")),
        ),
        _ => false,
    };
    if !allowed {
        return Err(denied(&format!("{verb} {}", word(0).to_ascii_uppercase())));
    }
    if made(&words) == Some("database") {
        check_database(sql, verb, tokens)?;
    }
    let from_path = tokens
        .windows(2)
        .any(|pair| pair[0].is(sql, "FROM") && pair[1].kind == Kind::Text);
    if matches!(verb, "ATTACH" | "ALTER") && from_path {
        return Err(denied("ATTACH FROM a path"));
    }
    Ok(())
}

/// Databases are made with engines that hold tables, and `default` stays: without it the engine takes no connection.
fn check_database(sql: &[u8], verb: &str, tokens: &[Token]) -> Result<(), Exception> {
    if matches!(verb, "DROP" | "DETACH" | "RENAME") {
        let it = |token: &Token| {
            let name = token.name(sql).unwrap_or_default();
            token.is_symbol(b'{') || DATABASES_NEEDED.contains(&name.as_str())
        };
        return match tokens.iter().any(it) {
            true => Err(denied(&format!(
                "{verb} of a database that the engine needs"
            ))),
            false => Ok(()),
        };
    }
    let named = tokens.iter().position(|token| token.is(sql, "ENGINE"));
    let rest = tokens.get(named.map_or(tokens.len(), |at| at + 1)..);
    let mut rest = rest.unwrap_or_default().iter();
    let engine = rest.find(|token| !token.is_symbol(b'='));
    match engine.map(|token| token.name(sql).unwrap_or_default()) {
        Some(name) if !DATABASE_ENGINES_ALLOWED.contains(&name.as_str()) => {
            Err(denied(&format!("a database of the engine {name}")))
        }
        _ => Ok(()),
    }
}

/// Databases without which the engine answers nothing.
const DATABASES_NEEDED: [&str; 3] = ["default", "system", "information_schema"];

/// What a statement makes: the first word that is no ornament.
fn made(words: &[String]) -> Option<&str> {
    let ornaments = ["or", "replace", "temporary", "if", "not", "exists"];
    let mut words = words.iter().map(String::as_str);
    words.find(|word| !ornaments.contains(word))
}

fn system_allowed(first: &str, second: &str, cache: bool) -> bool {
    match first {
        "flush" | "refresh" | "wait" | "cancel" => true,
        "reload" => second.starts_with("dictionar"),
        "start" | "stop" => {
            ["merges", "ttl", "moves", "view", "views", "cleanup"].contains(&second)
        }
        "drop" | "clear" => cache,
        "sync" => second == "merges",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(sql: &str, access: Access) -> Result<(), Exception> {
        let mut guard = Guard::new();
        guard.limit("max_threads", 2);
        guard.limit("max_memory_usage", 1 << 30);
        let statement = Statement::read(sql.as_bytes())?;
        guard.check(sql.as_bytes(), &statement, access)
    }

    #[test]
    fn refuses_what_reaches_out() {
        for sql in REFUSED {
            assert!(run(sql, Access::Full).is_err(), "passed: {sql}");
        }
    }

    #[test]
    fn passes_what_users_write() {
        for sql in PASSED {
            assert_eq!(run(sql, Access::Full), Ok(()), "refused: {sql}");
        }
    }

    #[test]
    fn read_only_reads() {
        for sql in [
            "SELECT 1",
            "show tables",
            "WITH 1 AS x SELECT x",
            "(select 1)",
            "EXPLAIN SELECT 1",
            "exists t",
            "SELECT 1 SETTINGS max_threads=1",
        ] {
            assert_eq!(run(sql, Access::ReadOnly), Ok(()), "refused: {sql}");
        }
        for sql in [
            "INSERT INTO t VALUES (1)",
            "drop table t",
            "SET max_threads=1",
            "with x as (select 1) insert into t select 1",
            "optimize table t",
            "EXPLAIN INSERT INTO t SELECT 1",
            "SYSTEM FLUSH LOGS",
            "CHECK TABLE t",
            "USE x",
            "KILL QUERY WHERE 1",
        ] {
            assert_eq!(
                run(sql, Access::ReadOnly).map_err(|e| e.code),
                Err(164),
                "{sql}"
            );
        }
    }

    #[test]
    fn functions_have_no_other_way() {
        for sql in [
            "SELECT arrayMap(file, ['/x'])",
            "SELECT arrayMap(`fi\\x6ce`, ['/x'])",
            "SELECT * APPLY file FROM (SELECT '/x' AS a)",
            "SELECT COLUMNS('a') APPLY(\"file\") FROM t",
            "WITH file AS f SELECT arrayMap(f, ['/x'])",
            "SET param_f = 'file'",
            "DROP DATABASE system",
            "DETACH DATABASE `INFORMATION_SCHEMA`",
        ] {
            assert!(run(sql, Access::Full).is_err(), "passed: {sql}");
        }
        for sql in [
            "SELECT t.file FROM t",
            "SELECT 'file'",
            "SELECT profile FROM t",
        ] {
            assert_eq!(run(sql, Access::Full), Ok(()), "refused: {sql}");
        }
        let guard = Guard::new();
        assert!(guard.check_parameter(" `File`").is_err());
        assert_eq!(guard.check_parameter("files"), Ok(()));
    }

    #[test]
    fn values_are_looked_at() {
        let guard = Guard::new();
        assert!(guard.values_may_be_expressions(b"(1, now(), 'file(')"));
        assert!(!guard.values_may_be_expressions(b"(1, file('/etc/passwd'))"));
        assert!(!guard.values_may_be_expressions(b"(1, 'open"));
    }

    const REFUSED: &[&str] = &[
        "SELECT * FROM file('/etc/passwd', 'LineAsString')",
        "SELECT * FROM FiLe ('/etc/passwd')",
        "SELECT * FROM /* a /* b */ */ `file` -- x\n ('/etc/passwd')",
        "SELECT * FROM \"url\"('http://x/', CSV)",
        "SELECT * FROM `fi\\x6ce`('/etc/passwd')",
        "SELECT file('/etc/passwd')",
        "SELECT * FROM numbers(1), s3('x')",
        "SELECT 0x1e+file('/etc/passwd')",
        "SELECT $a$ ' $a$, file('/etc/passwd'), ' '",
        "SELECT * FROM remote('127.0.0.1', system.one)",
        "SELECT * FROM remoteSecure('127.0.0.1', system.one)",
        "SELECT * FROM cluster('default', system.one)",
        "SELECT * FROM executable('id', TSV, 'a String')",
        "SELECT * FROM mysql('h', 'd', 't', 'u', 'p')",
        "SELECT * FROM python(x)",
        "SELECT * FROM eval('select 1')",
        "SELECT * FROM view(SELECT * FROM url('http://x/'))",
        "INSERT INTO FUNCTION file('x', 'TSV') SELECT 1",
        "INSERT INTO TABLE FUNCTION url('http://x/', 'TSV') FORMAT TSV",
        "INSERT INTO t FROM INFILE '/etc/passwd' FORMAT TSV",
        "SELECT 1 INTO /* x */ OUTFILE '/tmp/x'",
        "CREATE TABLE t AS file('/etc/passwd')",
        "CREATE TABLE t (a UInt8) ENGINE = File(TSV)",
        "CREATE TABLE t (a UInt8) engine `URL`('http://x/')",
        "CREATE TABLE t (a UInt8) ENGINE = Distributed(c, d, t)",
        "CREATE TABLE t (a UInt8) ENGINE = {x:Identifier}",
        "CREATE TABLE t (a UInt8) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = local, path = '/etc/')",
        "CREATE DATABASE d ENGINE = Filesystem('/')",
        "CREATE DATABASE d ENGINE = Overlay",
        "CREATE DATABASE IF NOT EXISTS d engine `overlay`('default')",
        "CREATE DATABASE d ENGINE = URL('http://x/')",
        "ATTACH DATABASE d ENGINE = Overlay",
        "CREATE DATABASE d ENGINE = {e:Identifier}",
        "CREATE DATABASE d ENGINE = SomethingNew",
        "CREATE DATABASE d ENGINE = MergeTree",
        "DROP DATABASE default",
        "DROP DATABASE IF EXISTS `default` SYNC",
        "DETACH DATABASE \"default\"",
        "DROP DATABASE {d:Identifier}",
        "RENAME DATABASE default TO d",
        "CREATE DICTIONARY d (a UInt64) PRIMARY KEY a SOURCE(FILE(PATH '/etc/passwd' FORMAT TSV)) LAYOUT(FLAT())",
        "CREATE DICTIONARY d (a UInt64) PRIMARY KEY a SOURCE(CLICKHOUSE(HOST 'x' TABLE 't')) LAYOUT(FLAT())",
        "CREATE DICTIONARY d (a UInt64) PRIMARY KEY a SOURCE(CLICKHOUSE(QUERY 'select * from url(''http://x'')')) LAYOUT(FLAT())",
        "CREATE DICTIONARY d (a UInt64) PRIMARY KEY a SOURCE(EXECUTABLE(COMMAND 'id' FORMAT TSV)) LAYOUT(FLAT())",
        "CREATE DICTIONARY d (a UInt64) PRIMARY KEY a SOURCE(CLICKHOUSE(TABLE 't')) LAYOUT(SSD_CACHE(PATH '/etc/x'))",
        "CREATE USER x",
        "CREATE NAMED COLLECTION x AS a = 1",
        "GRANT ALL ON *.* TO x",
        "CREATE FUNCTION f AS (x) -> file(x)",
        "CREATE FUNCTION f AS (x) -> x + 1",
        "create or replace function f as (x) -> x",
        "CREATE FUNCTION IF NOT EXISTS f AS x -> x",
        "CREATE FUNCTION f LANGUAGE WASM FROM 'm'",
        "BACKUP TABLE t TO Disk('d', 'x')",
        "RESTORE TABLE t FROM Disk('d', 'x')",
        "ATTACH TABLE t FROM '/etc' (a UInt8) ENGINE = MergeTree",
        "SYSTEM SHUTDOWN",
        "SYSTEM KILL",
        "SYSTEM RELOAD CONFIG",
        "SYSTEM STOP LISTEN HTTP",
        "SYSTEM DROP REPLICA 'x'",
        "SET readonly = 0",
        "SET max_memory_usage = 0",
        "SET max_threads = 64",
        "set /* */ `max_threads` = DEFAULT",
        "SELECT 1 SETTINGS max_memory_usage = 99999999999",
        "SELECT 1 SETTINGS max_block_size = 1, max_threads = 900",
        "SELECT 1 SETTINGS dialect = 'kusto'",
        "SELECT 1 FORMAT Template SETTINGS format_template_row = '/etc/passwd'",
        "SELECT 1 SETTINGS additional_result_filter = 'file(1)'",
        "ALTER TABLE t MODIFY SETTING disk = 'x'",
        "SELECT {f:Identifier}(1)",
        "SELECT 1; SELECT file('x')",
        "SELECT ‘x’",
        "EXECUTE AS x SELECT 1",
        "COPY t TO 'x'",
        "SELECT hasColumnInTable('host:9000', 'a', 'b', 'c')",
        "DESCRIBE TABLE url('http://x/')",
        "EXPLAIN SELECT * FROM s3('x')",
        "SELECT * FROM (SELECT * FROM sqlite('/x', 't'))",
    ];

    const PASSED: &[&str] = &[
        "SELECT t.file, url FROM t WHERE s = 'file(1)' -- url(\n",
        "SELECT * FROM numbers(10) AS n JOIN values('a UInt8', 1) AS v ON 1",
        "SELECT engine, readonly FROM system.tables, system.settings WHERE engine = 'File' AND readonly = 0",
        "CREATE TABLE IF NOT EXISTS t (`url` String, a UInt8 CODEC(ZSTD(1))) ENGINE = AggregatingMergeTree ORDER BY a TTL now() SETTINGS index_granularity = 1",
        "CREATE MATERIALIZED VIEW v TO t AS SELECT a FROM b",
        "CREATE DICTIONARY d (a UInt64) PRIMARY KEY a SOURCE(CLICKHOUSE(TABLE 't' DB 'x')) LAYOUT(HASHED()) LIFETIME(60)",
        "CREATE DICTIONARY d (a UInt64) PRIMARY KEY a SOURCE(CLICKHOUSE(QUERY 'select a from t final')) LAYOUT(HASHED()) LIFETIME(60)",
        "INSERT INTO t (a, b) VALUES (1, 2)",
        "INSERT INTO t SELECT number FROM numbers(5)",
        "SYSTEM FLUSH LOGS",
        "SYSTEM RELOAD DICTIONARY d",
        "SYSTEM DROP MARK CACHE",
        "OPTIMIZE TABLE t FINAL",
        "ALTER TABLE t ADD COLUMN x UInt8",
        "ALTER TABLE t DROP PARTITION '2026'",
        "TRUNCATE TABLE t",
        "ALTER TABLE v MODIFY QUERY SELECT 1",
        "ALTER TABLE t MODIFY TTL now()",
        "SET max_threads = 1",
        "SELECT 1 SETTINGS max_threads = 2",
        "INSERT INTO t SETTINGS async_insert = 0, insert_deduplication_token = 'x' FORMAT Native",
        "DROP TABLE IF EXISTS t SYNC",
        "DROP TABLE default.t",
        "CREATE DATABASE d",
        "CREATE DATABASE IF NOT EXISTS d ENGINE = Atomic COMMENT 'x'",
        "CREATE DATABASE d ENGINE Memory",
        "DROP DATABASE IF EXISTS d",
        "CREATE TABLE database (engine UInt8) ENGINE = Memory",
        "RENAME TABLE a TO b",
        "SHOW CREATE TABLE t",
        "EXISTS TABLE t",
        "DESCRIBE t",
        "KILL MUTATION WHERE 1",
        "CREATE OR REPLACE VIEW v AS SELECT 1",
        "CREATE TABLE function (a UInt8) ENGINE = Memory",
        "DROP FUNCTION f",
        "SELECT count() FROM merge('system', '^one$')",
    ];
}
