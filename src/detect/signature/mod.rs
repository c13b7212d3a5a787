//! Suricata's rule language: text to proven [`Rule`]s. Owns the grammar, every keyword and the checks that Suricata 7
//! makes when it loads a rule. Never: packets. One bad rule costs itself only, and says file, line, column, keyword and
//! reason.

mod asn1;
mod buffer;
mod content;
mod dataset;
mod draft;
pub mod engine;
mod error;
mod explain;
mod files;
mod header;
mod hits;
mod keyword;
mod list;
mod lists;
mod matcher;
mod modbus;
mod number;
mod rule;
mod rule_set;
pub mod settings;
pub mod state;
mod syntax;
mod transform;
mod variables;
mod warning;

pub use asn1::Asn1;
pub use buffer::{Buffer, BufferInfo, BufferKind};
pub use content::{bytes_of, text_of};
pub use dataset::{Dataset, Datasets, Listed, ValueKind};
pub use draft::Context;
pub use error::{Fault, Refused};
pub use files::{Files, Loaded};
pub use header::{Action, Direction, Header, Protocol};
pub use hits::{HitCounts, Hits};
pub use keyword::names as keyword_names;
pub use list::RangeSet;
pub use lists::{
    Classification, Classifications, Filter, FilterKind, References, Suppression, Tuning,
};
pub use matcher::{Matcher, Outcome};
pub use modbus::Modbus;
pub use number::Number;
pub use rule::*;
pub use rule_set::{Doubt, Report, RuleSet, Source};
pub use settings::{EngineSettings, LiveSettings, Settings};
pub use syntax::{Entry, OptionText, Place, RuleText, read};
pub use transform::{Scratch, Transforms};
pub use variables::Variables;
pub use warning::Warning;
