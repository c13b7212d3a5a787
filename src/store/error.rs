//! What can go wrong: `Error` before the store serves, `Exception` as an answer to a request.

use axum::http::StatusCode;
use std::path::PathBuf;

/// Why the store cannot be installed, started or reached.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file operation failed.
    #[error("{what} {}: {source}", path.display())]
    File {
        /// What was tried.
        what: &'static str,
        /// On which path.
        path: PathBuf,
        /// How it failed.
        source: std::io::Error,
    },
    /// The engine library was not found.
    #[error(
        "the ClickHouse engine library is missing (looked in {looked}); run `flowhouse store install --from WHEEL` with the wheel of `pip download --no-deps {requirement}`, or give --library"
    )]
    LibraryMissing {
        /// The places that were tried.
        looked: String,
        /// What pip downloads.
        requirement: &'static str,
    },
    /// The wheel or library is not what it should be.
    #[error("{0}")]
    Library(String),
    /// The engine refused to start.
    #[error("the engine does not start: {0}")]
    Engine(String),
    /// Databases of the engine reach out of the data folder.
    #[error(
        "the store does not serve {0}: its tables may be files or elsewhere; drop it with another program or give another --data"
    )]
    Databases(String),
    /// Another process uses the data folder.
    #[error("the data folder {} is in use by another store (process {holder}); stop it or give another --data", path.display())]
    InUse {
        /// The data folder.
        path: PathBuf,
        /// Who holds the lock, as far as known.
        holder: String,
    },
    /// The process cannot give up its rights.
    #[error("{0}")]
    Confine(String),
    /// Rights cannot be given up.
    #[error(transparent)]
    Rights(#[from] crate::rights::Error),
    /// A running store cannot be asked.
    #[error("{0}")]
    Client(String),
}

impl Error {
    /// Wraps an I/O error with what was tried on which path.
    pub(super) fn file(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| Error::File { what, path, source }
    }
}

/// An answer in ClickHouse's form: `Code: 62. DB::Exception: text. (SYNTAX_ERROR)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// ClickHouse's error number.
    pub code: u32,
    /// The whole message, code and name included.
    pub text: String,
}

impl Exception {
    /// An exception of our own.
    pub fn new(name: Name, text: impl std::fmt::Display) -> Exception {
        let (code, label) = name.parts();
        Exception {
            code,
            text: format!("Code: {code}. DB::Exception: {text}. ({label})"),
        }
    }

    /// An exception that the engine reported.
    pub fn from_engine(text: &str) -> Exception {
        let start = text.find("Code: ").unwrap_or(0);
        let text = text[start..].trim_end();
        let digits = text
            .strip_prefix("Code: ")
            .and_then(|rest| rest.split('.').next());
        match digits.and_then(|number| number.parse().ok()) {
            Some(code) => Exception {
                code,
                text: text.to_owned(),
            },
            None => Exception::new(Name::Unknown, text),
        }
    }

    /// The HTTP status that ClickHouse gives with this code.
    pub fn status(&self) -> StatusCode {
        match self.code {
            192..=194 | 516 => StatusCode::UNAUTHORIZED,
            164 | 497 => StatusCode::FORBIDDEN,
            46 | 60 | 81 => StatusCode::NOT_FOUND,
            6
            | 26
            | 27
            | 36
            | 38
            | 41
            | 42
            | 43
            | 44
            | 47
            | 53
            | 57
            | 61..=63
            | 69
            | 70
            | 72
            | 115
            | 158
            | 350
            | 386
            | 452
            | 456
            | 457 => StatusCode::BAD_REQUEST,
            33 | 40 | 271 => StatusCode::BAD_REQUEST,
            307 => StatusCode::PAYLOAD_TOO_LARGE,
            48 => StatusCode::NOT_IMPLEMENTED,
            159 => StatusCode::REQUEST_TIMEOUT,
            202 => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// The exceptions that the store raises itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// The engine said something without a code.
    Unknown,
    /// A body ended too early.
    CannotReadAllData,
    /// A compressed block's checksum is wrong.
    ChecksumDoesntMatch,
    /// A compressed block cannot be expanded.
    CannotDecompress,
    /// A request that makes no sense.
    BadArguments,
    /// Something ClickHouse has and the store has not.
    NotImplemented,
    /// The query is no SQL we can read.
    SyntaxError,
    /// A query that this key or method may not run.
    Readonly,
    /// SQL that reaches out of the store.
    AccessDenied,
    /// No key or a wrong one.
    AuthenticationFailed,
    /// Too many requests at once.
    TooManyQueries,
    /// The session is busy.
    SessionIsLocked,
    /// A session that must exist does not.
    SessionNotFound,
    /// Too many bytes.
    TooManyBytes,
    /// A setting beyond its limit.
    SettingConstraint,
    /// A setting that is no name.
    UnknownSetting,
    /// The peer took or gave no bytes for too long.
    SocketTimeout,
    /// The peer went away.
    NetworkError,
    /// A file operation of our own failed.
    CannotWrite,
}

impl Name {
    fn parts(self) -> (u32, &'static str) {
        match self {
            Name::Unknown => (1002, "UNKNOWN_EXCEPTION"),
            Name::CannotReadAllData => (33, "CANNOT_READ_ALL_DATA"),
            Name::BadArguments => (36, "BAD_ARGUMENTS"),
            Name::ChecksumDoesntMatch => (40, "CHECKSUM_DOESNT_MATCH"),
            Name::NotImplemented => (48, "NOT_IMPLEMENTED"),
            Name::SyntaxError => (62, "SYNTAX_ERROR"),
            Name::UnknownSetting => (115, "UNKNOWN_SETTING"),
            Name::Readonly => (164, "READONLY"),
            Name::TooManyQueries => (202, "TOO_MANY_SIMULTANEOUS_QUERIES"),
            Name::SocketTimeout => (209, "SOCKET_TIMEOUT"),
            Name::NetworkError => (210, "NETWORK_ERROR"),
            Name::CannotDecompress => (271, "CANNOT_DECOMPRESS"),
            Name::TooManyBytes => (307, "TOO_MANY_BYTES"),
            Name::SessionNotFound => (372, "SESSION_NOT_FOUND"),
            Name::SessionIsLocked => (373, "SESSION_IS_LOCKED"),
            Name::SettingConstraint => (452, "SETTING_CONSTRAINT_VIOLATION"),
            Name::AccessDenied => (497, "ACCESS_DENIED"),
            Name::AuthenticationFailed => (516, "AUTHENTICATION_FAILED"),
            Name::CannotWrite => (75, "CANNOT_WRITE_TO_FILE_DESCRIPTOR"),
        }
    }
}

impl From<std::io::Error> for Exception {
    fn from(error: std::io::Error) -> Self {
        match error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<Exception>())
        {
            Some(exception) => exception.clone(),
            None => Exception::new(Name::CannotWrite, error),
        }
    }
}

impl From<Exception> for std::io::Error {
    fn from(exception: Exception) -> Self {
        std::io::Error::other(exception)
    }
}

impl std::fmt::Display for Exception {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Exception {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_text_keeps_its_code() {
        let exception = Exception::from_engine(
            "[chdb] Code: 60. DB::Exception: Unknown table. (UNKNOWN_TABLE)\n",
        );
        assert_eq!(exception.code, 60);
        assert!(exception.text.starts_with("Code: 60."));
        assert_eq!(exception.status(), StatusCode::NOT_FOUND);
        assert_eq!(Exception::from_engine("broken").code, 1002);
    }

    #[test]
    fn exceptions_travel_through_io_errors() {
        let error = std::io::Error::from(Exception::new(Name::ChecksumDoesntMatch, "bad block"));
        assert_eq!(Exception::from(error).code, 40);
    }
}
