//! The engine library behind its ADBC entry: one database per process, one connection per request.

use super::error::{Error, Exception, Name};
use super::report::Report;
use adbc_core::options::{AdbcVersion, OptionDatabase, OptionValue};
use adbc_core::{Connection as _, Database as _, Driver as _, Statement as _};
use adbc_driver_manager::{ManagedConnection, ManagedDatabase, ManagedDriver};
use arrow_array::{RecordBatch, RecordBatchReader as _};
use std::path::Path;

/// The loaded engine with its data folder open.
pub struct Engine {
    /// The engine shuts down, and forgets what is in memory, when its last connection closes.
    anchor: Option<Connection>,
    database: ManagedDatabase,
    baseline: String,
    /// What `SELECT version()` says.
    pub version: String,
    /// What `SELECT timezone()` says.
    pub timezone: String,
}

/// One connection: its own settings, database and temporary tables.
pub struct Connection {
    inner: ManagedConnection,
}

impl Engine {
    /// Loads `library` and opens `data`. `baseline` is what every connection sets first.
    pub fn open(library: &Path, data: &Path, baseline: String) -> Result<Engine, Error> {
        let fail = |error: adbc_core::error::Error| Error::Engine(error.message);
        let mut driver = ManagedDriver::load_dynamic_from_filename(
            library,
            Some(b"chdb_adbc_init"),
            AdbcVersion::V110,
        )
        .map_err(fail)?;
        let uri = format!("file:{}", data.display());
        let database = driver
            .new_database_with_opts([(OptionDatabase::Uri, OptionValue::String(uri))])
            .map_err(fail)?;
        let mut engine = Engine {
            anchor: None,
            database,
            baseline,
            version: String::new(),
            timezone: String::new(),
        };
        let fail = |exception: Exception| Error::Engine(exception.text);
        let anchor = engine.anchor.insert(
            engine
                .database
                .new_connection()
                .map(|inner| Connection { inner })
                .map_err(raise)
                .map_err(fail)?,
        );
        anchor.take_files_away().map_err(fail)?;
        let reached = anchor.report(DATABASES_OUTSIDE).map_err(fail)?.rows();
        if !reached.is_empty() {
            let named: Vec<String> = reached.iter().map(|row| row.join(" of engine ")).collect();
            return Err(Error::Databases(named.join(", ")));
        }
        let rows = anchor
            .report("SELECT version(), timezone()")
            .map_err(fail)?
            .rows();
        let mut row = rows.into_iter().next().unwrap_or_default().into_iter();
        engine.version = row.next().unwrap_or_default();
        engine.timezone = row.next().unwrap_or_default();
        if engine.version.is_empty() {
            return Err(Error::Engine("version() cannot be read".to_owned()));
        }
        Ok(engine)
    }

    /// A new connection with the baseline settings.
    pub fn connect(&self) -> Result<Connection, Exception> {
        let inner = self.database.new_connection().map_err(raise)?;
        let mut connection = Connection { inner };
        self.set_baseline(&mut connection)?;
        Ok(connection)
    }

    /// Sets what every connection starts with.
    pub fn set_baseline(&self, connection: &mut Connection) -> Result<(), Exception> {
        connection.run(&self.baseline)
    }

    /// The first column of a query's rows.
    pub fn column(&self, sql: &str) -> Result<Vec<String>, Exception> {
        let rows = self.connect()?.report(sql)?.rows();
        Ok(rows
            .into_iter()
            .filter_map(|row| row.into_iter().next())
            .collect())
    }
}

impl Connection {
    /// Makes `default` a database of tables alone. The engine lays it over the file system at every start: a name that is
    /// no table is a path there, whoever asks. Its tables stay.
    fn take_files_away(&mut self) -> Result<(), Exception> {
        let sql = "SELECT toString(uuid) FROM system.databases WHERE name = 'default' AND engine != 'Atomic'";
        let rows = self.report(sql)?.rows();
        let Some(uuid) = rows.iter().flatten().next() else {
            return Ok(());
        };
        self.run("DETACH DATABASE default")?;
        self.run(&format!(
            "ATTACH DATABASE default UUID {} ENGINE = Atomic",
            quote(uuid)
        ))
    }

    /// Runs a statement and drops its rows.
    pub fn run(&mut self, sql: &str) -> Result<(), Exception> {
        let mut statement = self.inner.new_statement().map_err(raise)?;
        statement.set_sql_query(sql).map_err(raise)?;
        for batch in statement.execute().map_err(raise)? {
            batch.map_err(|error| Exception::from_engine(&error.to_string()))?;
        }
        Ok(())
    }

    /// Runs a statement with few rows and keeps them.
    pub fn report(&mut self, sql: &str) -> Result<Report, Exception> {
        let mut statement = self.inner.new_statement().map_err(raise)?;
        statement.set_sql_query(sql).map_err(raise)?;
        let reader = statement.execute().map_err(raise)?;
        let schema = reader.schema();
        let batches: Result<Vec<RecordBatch>, _> = reader.collect();
        let batches = batches.map_err(|error| Exception::from_engine(&error.to_string()))?;
        Ok(Report::new(&schema, batches))
    }
}

/// Databases whose tables may be files or elsewhere (`names::DATABASE_ENGINES_ALLOWED` are those that may not).
const DATABASES_OUTSIDE: &str = "SELECT name, engine FROM system.databases WHERE lower(engine) NOT IN ('atomic', 'memory', 'ordinary', 'dictionary')";

fn raise(error: adbc_core::error::Error) -> Exception {
    if error.message.is_empty() {
        return Exception::new(Name::Unknown, format!("engine error {:?}", error.status));
    }
    Exception::from_engine(&error.message)
}

/// A string literal.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for c in text.chars() {
        match c {
            '\'' | '\\' => out.extend(['\\', c]),
            '\0' => out.push_str("\\0"),
            _ => out.push(c),
        }
    }
    out.push('\'');
    out
}

/// A quoted name.
pub(super) fn quote_name(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}
