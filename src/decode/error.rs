//! What can be wrong with a datagram. Nothing here stops the decoder: the part that can be trusted is used.

use crate::ledger::Outcome;
use crate::model::Addr;

/// Why bytes were not used. All are the exporter's fault, or the network's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[allow(missing_docs, reason = "the message says it")]
pub enum Reason {
    #[error("no known export version")]
    Version,
    #[error("shorter than its header")]
    Short,
    #[error("header fields contradict each other")]
    Header,
    #[error("count field does not match the datagram")]
    Count,
    #[error("set length below 4")]
    SetLength,
    #[error("set runs past the datagram")]
    SetOverrun,
    #[error("reserved set id")]
    SetId,
    #[error("template id below 256")]
    TemplateId,
    #[error("template runs past its set")]
    TemplateLength,
    #[error("template without any byte of data")]
    TemplateEmpty,
    #[error("template with too many fields")]
    TemplateFields,
    #[error("template of records longer than a datagram")]
    TemplateRecord,
    #[error("template limit reached")]
    TemplateLimit,
    #[error("template changes its layout too often")]
    TemplateChurn,
    #[error("no room for sets that await a template")]
    WaitingFull,
    #[error("record runs past its set")]
    Record,
    #[error("sample runs past the datagram")]
    Sample,
    #[error("unknown sample or record format")]
    SampleFormat,
}

impl Reason {
    /// What a set with this fault counts as.
    pub fn set_outcome(self) -> Outcome {
        match self {
            Reason::SetId => Outcome::SetsRejectedId,
            Reason::TemplateId
            | Reason::TemplateLength
            | Reason::TemplateEmpty
            | Reason::TemplateFields
            | Reason::TemplateRecord
            | Reason::TemplateLimit
            | Reason::TemplateChurn => Outcome::SetsRejectedTemplate,
            Reason::WaitingFull => Outcome::SetsExpiredTemplate,
            Reason::Record | Reason::Sample | Reason::SampleFormat => Outcome::SetsRejectedRecord,
            _ => Outcome::SetsRejectedLength,
        }
    }
}

/// A fault in a datagram, for one log line: who sent it, where in the payload, what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// UDP source address.
    pub exporter: Addr,
    /// Number of the datagram.
    pub datagram: u64,
    /// Byte offset in the payload.
    pub offset: usize,
    /// What is wrong.
    pub reason: Reason,
}
