//! Why a rule was not taken.

use super::syntax::Place;
use serde::Serialize;

/// One fault in the text of a rule, before its file is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {keyword}{}{reason}", if keyword.is_empty() { "" } else { ": " })]
pub struct Fault {
    /// Where in the file.
    pub place: Place,
    /// The keyword at fault, or the part of the header; empty for the frame of the rule.
    pub keyword: String,
    /// What is wrong, and what to write instead where that is known.
    pub reason: String,
}

impl Fault {
    pub(super) fn new(place: Place, keyword: &str, reason: impl Into<String>) -> Self {
        Self {
            place,
            keyword: keyword.to_owned(),
            reason: reason.into(),
        }
    }
}

/// A rule that was refused: what `rules check` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{file}:{line}:{column}: {}{keyword}{}{reason}", sid_text(*.sid), if keyword.is_empty() { "" } else { ": " })]
pub struct Refused {
    /// The rule file.
    pub file: String,
    /// Line of the fault, from 1.
    pub line: u32,
    /// Byte in the line, from 1.
    pub column: u32,
    /// The rule's sid, where it could be read.
    pub sid: Option<u32>,
    /// The keyword at fault, or the part of the header (`action`, `protocol`, `address`, `port`, `direction`); empty for the frame of the rule.
    pub keyword: String,
    /// What is wrong.
    pub reason: String,
}

fn sid_text(sid: Option<u32>) -> String {
    sid.map_or_else(String::new, |sid| format!("sid {sid}: "))
}
