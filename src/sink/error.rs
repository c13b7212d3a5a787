//! What can go wrong while shipping, by whose fault.

use std::path::PathBuf;

/// An error of this room.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    // operator
    /// A file of `[clickhouse]` cannot be used.
    #[error("clickhouse.{key}: {path} {fault}")]
    File {
        /// The key that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and the cure.
        fault: String,
    },
    /// TLS cannot be set up.
    #[error("{fault}")]
    Tls {
        /// What is wrong, and the cure.
        fault: String,
    },
    /// No endpoint answers.
    #[error("{faults}")]
    Unreachable {
        /// What each of them said.
        faults: String,
    },
    /// The tables have the other form.
    #[error("`flows` in the store is {engine}: {cure}")]
    SchemaForm {
        /// Its engine.
        engine: String,
        /// What to do.
        cure: &'static str,
    },
    /// A migration has a statement without a cluster form.
    #[error("the statement `{statement}` has no form for a cluster: a fault of this program")]
    NoClusterForm {
        /// How it starts.
        statement: String,
    },
    /// The store's schema comes from a newer program.
    #[error(
        "the store has schema version {store}, this program knows {ours}: run the newer flowhouse that made it, or \
         point this one at another database"
    )]
    SchemaNewer {
        /// Newest version in the store.
        store: u32,
        /// Newest version known here.
        ours: u32,
    },
    /// A migration was applied with other contents.
    #[error(
        "the store has {name} with other contents than this program: its tables were made by a different build"
    )]
    SchemaChanged {
        /// The file.
        name: &'static str,
    },
    /// A migration is not applied.
    #[error("the store lacks {name}: run `flowhouse schema apply`")]
    SchemaPending {
        /// The first file that is missing.
        name: &'static str,
    },
    /// Somebody else holds the lock.
    #[error(
        "another process has been applying migrations for two minutes; see the table schema_lock"
    )]
    SchemaLocked,

    // store
    /// A statement failed.
    #[error("{statement}: {source}")]
    Statement {
        /// How the statement starts.
        statement: String,
        /// Why.
        source: clickhouse::error::Error,
    },

    // us or our machine
    /// A thread or a runtime could not be started.
    #[error("cannot start the sink: {0}")]
    Start(std::io::Error),
    /// A compressed body is damaged.
    #[error("the compressed frames are damaged")]
    Frames,
    /// The spool's directory cannot be used.
    #[error(
        "cannot use the spool in {path}: {source} (set `directory` below [spool], or `mode = \"off\"`)"
    )]
    Spool {
        /// The directory or file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Two processes on one spool would overwrite each other's bundles.
    #[error(
        "another process uses the spool in {path} (stop it, or set another `directory` below [spool])"
    )]
    SpoolTaken {
        /// The directory.
        path: PathBuf,
    },
    /// An output file cannot be written.
    #[error("cannot write {path}: {source}")]
    Output {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl Error {
    pub(super) fn file(
        key: &'static str,
        path: &std::path::Path,
        fault: impl Into<String>,
    ) -> Self {
        Error::File {
            key,
            path: path.to_owned(),
            fault: fault.into(),
        }
    }

    /// Whether it is a store that this program must not write to: waiting does not mend that, the operator does.
    pub fn is_refusal(&self) -> bool {
        matches!(
            self,
            Error::SchemaNewer { .. } | Error::SchemaChanged { .. } | Error::SchemaForm { .. }
        )
    }

    pub(super) fn statement(statement: &str, source: clickhouse::error::Error) -> Self {
        let head: Vec<&str> = statement.split_whitespace().take(7).collect();
        Error::Statement {
            statement: head.join(" "),
            source,
        }
    }
}
