//! What can be wrong with the settings of this room and the files they name: all faults of the operator.

use std::path::PathBuf;

/// A fault in the settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// More entries than a table has room for.
    #[error("{key}: {count} entries, at most {max} are possible")]
    TooMany {
        /// Key of the setting.
        key: &'static str,
        /// Entries given.
        count: usize,
        /// Entries possible.
        max: usize,
    },
    /// A range that ends before it begins, or port 0.
    #[error("applications.ports: {first}-{last} is no range of ports")]
    PortRange {
        /// First port.
        first: u16,
        /// Last port.
        last: u16,
    },
    /// A name without a letter or digit.
    #[error("{key}: {name:?} has no letter or digit")]
    EmptyName {
        /// Key of the setting.
        key: &'static str,
        /// What was given.
        name: String,
    },
    /// Neither 0 to 63 nor the name of a code point.
    #[error("{key}: {dscp:?} is no DSCP (0 to 63, CS0 to CS7, AF11 to AF43, EF, VA, LE, DF)")]
    Dscp {
        /// Key of the setting.
        key: &'static str,
        /// What was given.
        dscp: String,
    },
    /// Something of an entry whose place is not known here.
    #[error("{0}")]
    Said(String),
    /// Something at a place of the configuration text.
    #[error("{message}")]
    At {
        /// Where, bytes from the start of the text.
        at: usize,
        /// What is wrong and what to do.
        message: String,
    },
    /// Something inside of a text that is a value of the configuration.
    #[error("{message}")]
    InText {
        /// Where the value begins with its quotes, bytes from the start of the configuration.
        at: usize,
        /// Where in the text itself, bytes: quotes and escapes are not counted.
        inside: usize,
        /// What is wrong and what to do.
        message: String,
    },
    /// Something in a file that the settings name.
    #[error("{}{}: {message}", path.display(), place(*line, *column))]
    File {
        /// The file.
        path: PathBuf,
        /// Line from 1; 0 for the file as such.
        line: usize,
        /// Column from 1; 0 for the line as such.
        column: usize,
        /// What is wrong and what to do.
        message: String,
    },
    /// All that was found.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Many(Vec<Error>),
}

impl Error {
    /// The faults one by one.
    pub fn each(&self) -> Vec<&Error> {
        match self {
            Error::Many(all) => all.iter().flat_map(Error::each).collect(),
            one => vec![one],
        }
    }

    /// Gives a fault without a place the one of its entry.
    pub(super) fn at(self, at: usize) -> Error {
        match self {
            Error::At { .. } | Error::InText { .. } | Error::File { .. } => self,
            Error::Many(all) => Error::Many(all.into_iter().map(|e| e.at(at)).collect()),
            other => Error::At {
                at,
                message: other.to_string(),
            },
        }
    }

    /// A fault of a file.
    pub(super) fn file(path: &std::path::Path, line: usize, message: impl Into<String>) -> Error {
        Error::File {
            path: path.into(),
            line,
            column: 0,
            message: message.into(),
        }
    }
}

/// Gathers faults, so that one look shows all of them.
#[derive(Debug, Default)]
pub(super) struct Faults(Vec<Error>);

impl Faults {
    /// The value of a result, or its fault.
    pub fn take<T>(&mut self, result: Result<T, Error>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                if self.0.len() < FAULTS_MAX {
                    self.0.push(error);
                }
                None
            }
        }
    }

    /// A fault.
    pub fn add(&mut self, error: Error) {
        self.take::<()>(Err(error));
    }

    /// `value`, if there was no fault.
    pub fn end<T>(mut self, value: T) -> Result<T, Error> {
        match self.0.len() {
            0 => Ok(value),
            1 => Err(self.0.remove(0)),
            _ => Err(Error::Many(self.0)),
        }
    }
}

fn place(line: usize, column: usize) -> String {
    match (line, column) {
        (0, _) => String::new(),
        (line, 0) => format!(":{line}"),
        (line, column) => format!(":{line}:{column}"),
    }
}

/// Faults that are kept.
const FAULTS_MAX: usize = 50;
