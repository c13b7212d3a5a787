//! One request from its first byte to its last, in a blocking thread of its own.

use super::body::{BodyReader, decoded};
use super::engine::{Connection, quote, quote_name};
use super::error::{Exception, Name};
use super::guard::Access;
use super::pipe::pump;
use super::reply::{Packing, Reply};
use super::request::{Parameters, field, form_fields};
use super::server::Shared;
use super::statement::{Class, Statement};
use super::token::{Kind, Token};
use axum::http::HeaderMap;
use std::io::{Read, Write};
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;

/// A request whose key was found good.
pub struct Request {
    /// Its address parameters.
    pub parameters: Parameters,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, not yet read.
    pub body: BodyReader,
    /// What its key and method allow.
    pub access: Access,
}

/// Runs the request and answers it.
pub fn execute(shared: &Shared, request: Request, mut reply: Reply) {
    match run(shared, request, &mut reply) {
        Ok(()) => reply.finish(0),
        Err(exception) => {
            shared.counters.failed(&exception);
            reply.fail(&exception, &shared.engine.version);
        }
    }
}

/// The connection of a request: its own, or its session's.
enum Lease {
    Own(Box<Connection>),
    Session(OwnedMutexGuard<Connection>),
}

impl Lease {
    fn connection(&mut self) -> &mut Connection {
        match self {
            Lease::Own(connection) => connection,
            Lease::Session(guard) => guard,
        }
    }
}

fn run(shared: &Shared, request: Request, reply: &mut Reply) -> Result<(), Exception> {
    let Request {
        mut parameters,
        headers,
        body,
        access,
    } = request;
    let mut source = source(&mut parameters, &headers, body)?;
    let limit = shared.settings.query_bytes_max;
    let mut head = Vec::new();
    source
        .by_ref()
        .take(limit as u64 + 1)
        .read_to_end(&mut head)?;
    let statement = Statement::read(&head)?;
    let inline = matches!(statement.class, Class::InsertData(_));
    if head.len() > limit && (!inline || statement.text.end > limit) {
        let text = format!("Max query size exceeded, at most {limit} bytes");
        return Err(Exception::new(Name::SyntaxError, text));
    }
    shared.guard.check(&head, &statement, access)?;
    let mut lease = lease(shared, &parameters)?;
    let job = Job {
        shared,
        parameters: &parameters,
        headers: &headers,
        head: &head,
        statement: &statement,
    };
    let result = prepare(shared, lease.connection(), &parameters, &headers);
    let result = result.and_then(|()| job.run(lease.connection(), &mut source, reply));
    if let Lease::Session(guard) = &mut lease {
        forget(shared, guard, &parameters);
    }
    result
}

/// The query of the address, a line end, and the body: ClickHouse reads them as one text.
fn source(
    parameters: &mut Parameters,
    headers: &HeaderMap,
    body: BodyReader,
) -> Result<Box<dyn Read>, Exception> {
    let content_type = field(headers, "content-type");
    let mut body: Box<dyn Read> = decoded(
        body,
        field(headers, "content-encoding"),
        parameters.is_on("decompress"),
    )?;
    if content_type.starts_with("multipart/form-data") {
        let form = read_at_most(&mut body, FORM_BYTES_MAX, "form")?;
        let fields = form_fields(content_type, &form)?;
        if fields
            .iter()
            .any(|(name, _)| parameters.get(&format!("{name}_structure")).is_some())
        {
            return Err(Exception::new(
                Name::NotImplemented,
                "External tables are not supported by the embedded store",
            ));
        }
        parameters.extend(fields);
        body = Box::new(std::io::empty());
    }
    let mut text = parameters
        .get("query")
        .unwrap_or_default()
        .as_bytes()
        .to_vec();
    if !text.is_empty() {
        text.push(b'\n');
    }
    Ok(Box::new(std::io::Cursor::new(text).chain(body)))
}

/// Settings of one request end with it; a token that stayed in a session would make later inserts vanish.
fn forget(shared: &Shared, connection: &mut Connection, parameters: &Parameters) {
    let names = parameters
        .settings()
        .map(|(name, _)| name)
        .chain(VALUES_SETTINGS);
    let sets: Vec<String> = names
        .filter(|name| is_plain(name))
        .map(|name| format!("{name} = DEFAULT"))
        .collect();
    let reset = connection.run(&format!("SET {}", sets.join(", ")));
    if let Err(exception) = reset.and_then(|()| shared.engine.set_baseline(connection)) {
        tracing::warn!(%exception, "a session keeps the settings of a request");
    }
}

fn lease(shared: &Shared, parameters: &Parameters) -> Result<Lease, Exception> {
    let Some(id) = parameters.get("session_id").filter(|id| !id.is_empty()) else {
        return Ok(Lease::Own(Box::new(shared.engine.connect()?)));
    };
    let longest = shared.settings.session_idle_max;
    let asked = parameters
        .get("session_timeout")
        .and_then(|text| text.parse().ok())
        .map(Duration::from_secs);
    let idle = asked.unwrap_or(Duration::from_secs(60)).min(longest);
    let guard =
        shared
            .sessions
            .take(&shared.engine, id, idle, parameters.is_on("session_check"))?;
    Ok(Lease::Session(guard))
}

/// Database, settings and query parameters of one request.
fn prepare(
    shared: &Shared,
    connection: &mut Connection,
    parameters: &Parameters,
    headers: &HeaderMap,
) -> Result<(), Exception> {
    let database = parameters
        .get("database")
        .unwrap_or_else(|| field(headers, "x-clickhouse-database"));
    if !database.is_empty() {
        connection.run(&format!("USE {}", quote_name(database)))?;
    }
    let mut sets = Vec::new();
    for (name, value) in parameters.settings() {
        if !is_plain(name) {
            return Err(Exception::new(
                Name::UnknownSetting,
                format!("Unknown setting '{name}'"),
            ));
        }
        shared.guard.check_setting(name, value)?;
        sets.push(format!("{name} = {}", quote(value)));
    }
    for (name, value) in parameters.values() {
        if !is_plain(name) {
            return Err(Exception::new(
                Name::BadArguments,
                format!("Bad name of a query parameter '{name}'"),
            ));
        }
        shared.guard.check_parameter(value)?;
        sets.push(format!("param_{name} = {}", quote(value)));
    }
    if sets.is_empty() {
        return Ok(());
    }
    connection.run(&format!("SET {}", sets.join(", ")))
}

fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Whether the totals of a query would be part of its answer; those of a subquery are not.
fn has_totals(sql: &[u8], tokens: &[Token]) -> bool {
    let mut depth = 0i64;
    tokens.windows(2).any(|pair| {
        depth += match pair[0].kind {
            Kind::Symbol(b'(') => 1,
            Kind::Symbol(b')') => -1,
            _ => 0,
        };
        depth == 0 && pair[0].is(sql, "WITH") && pair[1].is(sql, "TOTALS")
    })
}

/// clickhouse-go's first query, whatever its space and case.
fn is_hello(head: &[u8], statement: &Statement) -> bool {
    let words: Vec<_> = statement
        .tokens
        .iter()
        .take(16)
        .map(|token| String::from_utf8_lossy(token.bytes(head)).to_ascii_lowercase())
        .collect();
    words.join("") == "selectdisplayname(),version(),revision(),timezone()"
}

fn read_at_most(source: &mut dyn Read, limit: u64, what: &str) -> Result<Vec<u8>, Exception> {
    let mut out = Vec::new();
    source.take(limit + 1).read_to_end(&mut out)?;
    match out.len() as u64 > limit {
        true => Err(Exception::new(
            Name::TooManyBytes,
            format!("The {what} is larger than {limit} bytes"),
        )),
        false => Ok(out),
    }
}

/// A statement that passed the guard, ready to run.
struct Job<'a> {
    shared: &'a Shared,
    parameters: &'a Parameters,
    headers: &'a HeaderMap,
    head: &'a [u8],
    statement: &'a Statement,
}

impl<'a> Job<'a> {
    fn run(
        &self,
        connection: &mut Connection,
        source: &mut dyn Read,
        reply: &mut Reply,
    ) -> Result<(), Exception> {
        let hello = self.parameters.get("client_protocol_version").is_some()
            && is_hello(self.head, self.statement);
        match self.statement.class {
            Class::InsertData(start) => self.insert(connection, start, source),
            Class::Select if hello => self.hello(reply),
            Class::Select => self.select(connection, reply),
            Class::Report => self.report(connection, reply),
            Class::Command => connection.run(self.part(0..self.head.len())?),
        }
    }

    fn part(&self, range: std::ops::Range<usize>) -> Result<&'a str, Exception> {
        std::str::from_utf8(&self.head[range])
            .map_err(|_| Exception::new(Name::SyntaxError, "Syntax error: the query is no UTF-8"))
    }

    fn tail(&self) -> Result<&'a str, Exception> {
        self.statement
            .settings
            .clone()
            .map_or(Ok(""), |range| self.part(range))
    }

    /// Spools the data, then lets the engine read the file: any bytes pass unharmed and faults of views are not lost.
    fn insert(
        &self,
        connection: &mut Connection,
        start: usize,
        rest: &mut dyn Read,
    ) -> Result<(), Exception> {
        let format = self.statement.format.as_deref().unwrap_or("Values");
        let spool = self.shared.scratch.entry("insert");
        let mut file = spool.create()?;
        let limit = self.shared.settings.body_bytes_max;
        let mut data = self.head[start.min(self.head.len())..].chain(rest);
        let mut room = self
            .shared
            .scratch
            .room(self.shared.settings.spool_bytes_max);
        let mut data = data.by_ref().take(limit + 1);
        let mut size = 0;
        loop {
            let part = std::io::copy(&mut data.by_ref().take(SPOOL_STEP), &mut file)?;
            if part == 0 {
                break;
            }
            size += part;
            room.take(part)?;
        }
        if size > limit {
            return Err(Exception::new(
                Name::TooManyBytes,
                format!("The data of an insert is larger than {limit} bytes"),
            ));
        }
        file.flush()?;
        drop(file);
        if size == 0 {
            return Ok(());
        }
        if format.eq_ignore_ascii_case("Values") {
            let whole = size <= self.shared.settings.query_bytes_max as u64;
            let harmless = whole
                && self
                    .shared
                    .guard
                    .values_may_be_expressions(&std::fs::read(spool.path())?);
            if !harmless {
                let sets = VALUES_SETTINGS.map(|name| format!("{name} = 0")).join(", ");
                connection.run(&format!("SET {sets}"))?;
            }
        }
        let into = self.part(self.statement.text.clone())?;
        let path = quote(&spool.path().display().to_string());
        connection.run(&format!(
            "{into} FROM INFILE {path} {} FORMAT {format}",
            self.tail()?
        ))
    }

    fn select(&self, connection: &mut Connection, reply: &mut Reply) -> Result<(), Exception> {
        if has_totals(self.head, &self.statement.tokens) {
            // the result is written by an INSERT, which drops them without a word
            return Err(Exception::new(
                Name::NotImplemented,
                "WITH TOTALS is not supported by the embedded store: ask with WITH ROLLUP, or for the totals in a query of their own",
            ));
        }
        let query = self.part(self.statement.text.clone())?;
        let number = |name: &str| {
            self.parameters
                .get(name)
                .and_then(|text| text.parse::<u64>().ok())
                .unwrap_or(0)
        };
        match (number("limit"), number("offset")) {
            (0, 0) => self.stream(connection, query, reply),
            // below an INSERT the engine does not heed these two settings
            (0, offset) => self.stream(
                connection,
                &format!("SELECT * FROM ({query}\n) OFFSET {offset}"),
                reply,
            ),
            (limit, offset) => {
                let limited = format!("SELECT * FROM ({query}\n) LIMIT {limit} OFFSET {offset}");
                self.stream(connection, &limited, reply)
            }
        }
    }

    /// Rows that only come as Arrow go through a file, so that the engine formats them.
    fn report(&self, connection: &mut Connection, reply: &mut Reply) -> Result<(), Exception> {
        let report = connection.report(self.part(self.statement.text.clone())?)?;
        if report.is_empty() {
            return Ok(());
        }
        let spool = self.shared.scratch.entry("report");
        spool.create()?.write_all(&report.tab_separated())?;
        self.stream(connection, &report.query(spool.path()), reply)
    }

    fn stream(
        &self,
        connection: &mut Connection,
        query: &str,
        reply: &mut Reply,
    ) -> Result<(), Exception> {
        let named = self
            .statement
            .format
            .as_deref()
            .or_else(|| self.parameters.get("default_format"));
        let format = named.unwrap_or_else(|| match field(self.headers, "x-clickhouse-format") {
            "" => "TabSeparated",
            name => name,
        });
        let http_compression = self.parameters.get("enable_http_compression") != Some("0");
        let packing = Packing::choose(
            self.parameters.is_on("compress"),
            http_compression,
            field(self.headers, "accept-encoding"),
        );
        reply.begin(
            packing,
            format,
            &self.shared.engine.timezone,
            self.shared.settings.response_bytes_max,
        )?;
        let pipe = self.shared.scratch.entry("result");
        let target = format!(
            "INSERT INTO FUNCTION file({}, {})",
            quote(&pipe.path().display().to_string()),
            quote(format)
        );
        let sql = format!("{target} {query} {}", self.tail()?);
        let reply = std::cell::RefCell::new(reply);
        let stopping = || self.shared.is_stopping();
        let abandoned = || reply.borrow().abandoned() || stopping();
        pump(
            &self.shared.engine,
            connection,
            &sql,
            &pipe,
            &abandoned,
            &mut |bytes| reply.borrow_mut().take(bytes),
        )
        .map_err(|mut fault| {
            if fault.text.contains("column with this name already exists") {
                fault.text +=
                    " The embedded store needs columns of different names: rename one with AS.";
            }
            fault
        })
    }

    /// clickhouse-go reads this answer in its newest revision, later ones in the revision it is told here: none.
    fn hello(&self, reply: &mut Reply) -> Result<(), Exception> {
        let revision: u64 = self
            .parameters
            .get("client_protocol_version")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0);
        let mut out = Vec::new();
        if revision > 0 {
            out.extend_from_slice(&[1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0]);
        }
        out.extend_from_slice(&[4, 1]);
        let text =
            |text: &str| [&[u8::try_from(text.len()).unwrap_or(0)], text.as_bytes()].concat();
        let zero = 0u32.to_le_bytes().to_vec();
        let engine = &self.shared.engine;
        let columns = [
            ("displayName()", "String", text("flowhouse")),
            ("version()", "String", text(&engine.version)),
            ("revision()", "UInt32", zero),
            ("timezone()", "String", text(&engine.timezone)),
        ];
        for (name, kind, data) in columns {
            out.extend(text(name));
            out.extend(text(kind));
            if revision >= REVISION_WITH_SERIALIZATION {
                out.push(0);
            }
            out.extend(data);
        }
        reply.begin(Packing::Plain, "Native", &engine.timezone, u64::MAX)?;
        reply.take(&out)
    }
}

/// What lets literal rows hold expressions.
const VALUES_SETTINGS: [&str; 2] = [
    "input_format_values_interpret_expressions",
    "input_format_values_deduce_templates_of_expressions",
];
/// Bytes of an insert that are written before they are counted.
const SPOOL_STEP: u64 = 1 << 20;
const FORM_BYTES_MAX: u64 = 4 << 20;
/// From this revision on each column says whether it has a special serialization.
const REVISION_WITH_SERIALIZATION: u64 = 54454;
