//! Asking ClickHouse and getting rows back.

use crate::sink::clickhouse::Connection;
use anyhow::{Context, Result, bail};
use clickhouse::Client;
use clickhouse::query::Query;
use serde_json::{Map, Value};

/// Most bytes of an answer that are taken in.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// The rows of an answer, each an object in the order of the columns.
pub type Rows = Vec<Map<String, Value>>;

/// A value for a placeholder of a query.
#[derive(Clone, Debug)]
pub enum Bound {
    /// `String`.
    Text(String),
    /// Any type of number.
    Number(f64),
    /// `Array(String)`.
    Texts(Vec<String>),
    /// `Array(UInt32)`.
    Numbers(Vec<u32>),
}

impl Bound {
    fn bound(&self, query: Query, name: &str) -> Query {
        match self {
            Bound::Text(text) => query.param(name, text),
            Bound::Number(number) => query.param(name, number),
            Bound::Texts(texts) => query.param(name, texts),
            Bound::Numbers(numbers) => query.param(name, numbers),
        }
    }
}

/// A client with a small runtime of its own.
pub struct Reader {
    client: Client,
    runtime: tokio::runtime::Runtime,
}

impl Reader {
    /// A reader of the first endpoint that answers.
    ///
    /// # Errors
    /// When the runtime cannot start, and when none answers: what each of them said.
    pub fn new(connection: &Connection) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let client = runtime.block_on(connection.reach())?;
        Ok(Reader { client, runtime })
    }

    /// Runs a query.
    ///
    /// # Errors
    /// What ClickHouse, or the way to it, said.
    pub fn rows(&self, sql: &str) -> Result<Rows> {
        self.rows_with(sql, &[])
    }

    /// Runs a query with values for its placeholders `{name:Type}`. What comes from people or from exporters gets into a query
    /// in this way only.
    ///
    /// # Errors
    /// As [`Reader::rows`].
    pub fn rows_with(&self, sql: &str, values: &[(&str, Bound)]) -> Result<Rows> {
        // `?` is the client's own placeholder
        let text = self
            .runtime
            .block_on(self.fetch(&sql.replace('?', "??"), values))?;
        text.lines()
            .map(|l| serde_json::from_str(l).context("the store's answer is no JSON"))
            .collect()
    }

    /// Runs a query with values for its placeholders `{p0:Type}`, `{p1:Type}`, ...
    ///
    /// # Errors
    /// As [`Reader::rows`].
    pub fn bound_rows(&self, sql: &str, values: &[String]) -> Result<Rows> {
        let names: Vec<String> = (0..values.len()).map(|n| format!("p{n}")).collect();
        let bound = values.iter().map(|v| Bound::Text(v.clone()));
        let named: Vec<_> = names.iter().map(String::as_str).zip(bound).collect();
        self.rows_with(sql, &named)
    }

    /// Runs a statement that gives no rows, with values for its placeholders.
    ///
    /// # Errors
    /// As [`Reader::rows`].
    pub fn run_with(&self, sql: &str, values: &[(&str, Bound)]) -> Result<()> {
        let mut query = self.client.query(sql).with_setting("async_insert", "0");
        for (name, value) in values {
            query = value.bound(query, name);
        }
        Ok(self.runtime.block_on(query.execute())?)
    }

    /// The first row.
    ///
    /// # Errors
    /// As [`Reader::rows`], and when there is none.
    pub fn row(&self, sql: &str) -> Result<Map<String, Value>> {
        self.rows(sql)?
            .into_iter()
            .next()
            .context("the store gave no row")
    }

    async fn fetch(&self, sql: &str, values: &[(&str, Bound)]) -> Result<String> {
        let mut query = self
            .client
            .query(sql)
            .with_setting("output_format_json_quote_64bit_integers", "0");
        for (name, value) in values {
            query = value.bound(query, name);
        }
        let mut cursor = query.fetch_bytes("JSONEachRow")?;
        let mut bytes = vec![];
        while let Some(chunk) = cursor.next().await? {
            if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
                bail!("the answer is larger than {ANSWER_BYTES_MAX} bytes");
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(String::from_utf8(bytes)?)
    }
}

/// A number of a row; 0 where it is none.
pub fn number(row: &Map<String, Value>, name: &str) -> f64 {
    match row.get(name) {
        Some(Value::Number(n)) => n.as_f64().unwrap_or(0.0),
        Some(Value::String(s)) => s.parse().unwrap_or(0.0),
        _ => 0.0,
    }
}

/// A text of a row.
pub fn text(row: &Map<String, Value>, name: &str) -> String {
    match row.get(name) {
        Some(Value::String(s)) => s.clone(),
        Some(Value::Null) | None => String::new(),
        Some(other) => other.to_string(),
    }
}

/// An IPv6 column as people write the address: mapped IPv4 without its prefix.
pub fn address(row: &Map<String, Value>, name: &str) -> String {
    let text = text(row, name);
    text.strip_prefix("::ffff:")
        .filter(|v4| v4.contains('.'))
        .map(str::to_owned)
        .unwrap_or(text)
}
