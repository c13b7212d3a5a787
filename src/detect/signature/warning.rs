//! What makes a rule slow, or keeps it from ever firing.

use super::buffer::{Buffer, BufferKind};
use super::rule::{FastPattern, Rule, Step};
use serde::Serialize;
use std::fmt;

/// Something that the author of a rule should know; the rule is loaded all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Warning {
    /// Nothing can be looked for first: every packet or transaction is confirmed.
    NoPrefilter,
    /// What is looked for first is that short.
    ShortPrefilter(usize),
    /// An expression with nothing before it that narrows where it runs.
    LonePcre,
    /// A condition counts from the last match and there is none before it.
    RelativeToNothing(String),
    /// `dsize` or `bsize` leaves no room for the contents.
    NeverLongEnough,
    /// A bit is asked that no rule of the set sets.
    BitNeverSet(String),
    /// A class that `classification.config` does not have.
    UnknownClass(String),
    /// A system that `reference.config` does not have.
    UnknownReference(String),
    /// Several rules have its sid; where it is listed first.
    SharedSid(String, u32),
    /// The rule neither alerts nor changes anything.
    NoEffect,
}

impl Warning {
    /// Whether the rule can never fire.
    pub fn never_fires(&self) -> bool {
        matches!(
            self,
            Self::NeverLongEnough | Self::BitNeverSet(_) | Self::NoEffect
        )
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPrefilter => f.write_str("slow: no content to look for first"),
            Self::ShortPrefilter(n) => write!(f, "slow: what is looked for first has {n} byte(s)"),
            Self::LonePcre => f.write_str("slow: a pcre without a content"),
            Self::RelativeToNothing(k) => write!(
                f,
                "{k} counts from the last match and there is none before it"
            ),
            Self::NeverLongEnough => {
                f.write_str("never fires: the contents need more bytes than dsize allows")
            }
            Self::BitNeverSet(bit) => write!(f, "never fires: no rule sets the bit {bit}"),
            Self::UnknownClass(c) => write!(f, "the class {c} is not in classification.config"),
            Self::UnknownReference(r) => write!(f, "the system {r} is not in reference.config"),
            Self::SharedSid(file, line) => write!(
                f,
                "has the sid of {file}:{line}: Suricata keeps the first only"
            ),
            Self::NoEffect => f.write_str("never fires: it raises no alert and changes nothing"),
        }
    }
}

/// The warnings of one rule by itself.
pub(super) fn of(rule: &Rule) -> Vec<Warning> {
    let mut warnings = vec![];
    let has_steps = rule.groups.iter().any(|g| !g.steps.is_empty());
    match rule.prefilter.map(|(g, s)| &rule.groups[g].steps[s]) {
        Some(Step::Content(content)) => {
            let length = match content.fast_pattern {
                Some(FastPattern::Part(_, length)) => usize::from(length),
                _ => content.pattern.len(),
            };
            if length < PREFILTER_MIN && rule.groups.iter().all(|g| g.buffer == Buffer::PAYLOAD) {
                warnings.push(Warning::ShortPrefilter(length));
            }
        }
        _ if has_steps => warnings.push(Warning::NoPrefilter),
        _ => {}
    }
    let is_pcre = |s: &Step| matches!(s, Step::Pcre(_));
    let mut steps = rule.groups.iter().flat_map(|g| &g.steps);
    if steps.any(is_pcre) && rule.contents().next().is_none() {
        warnings.push(Warning::LonePcre);
    }
    for group in &rule.groups {
        warnings.extend(
            group
                .steps
                .first()
                .and_then(relative_name)
                .map(Warning::RelativeToNothing),
        );
    }
    if let Some(highest) = rule.payload_highest()
        && rule.payload_needs() > highest
    {
        warnings.push(Warning::NeverLongEnough);
    }
    if rule.noalert && rule.changes.is_empty() {
        warnings.push(Warning::NoEffect);
    }
    warnings
}

impl Rule {
    fn payload_highest(&self) -> Option<u64> {
        use super::rule::Test;
        let highest = self.tests.iter().filter_map(|t| match t {
            Test::Number("dsize", n) => n.highest(),
            _ => None,
        });
        highest.min()
    }

    fn payload_needs(&self) -> u64 {
        let contents = self
            .contents()
            .filter(|(b, c)| b.info().kind == BufferKind::Payload && !c.negated);
        contents
            .map(|(_, c)| c.pattern.len() as u64)
            .max()
            .unwrap_or(0)
    }
}

fn relative_name(step: &Step) -> Option<String> {
    let name = match step {
        Step::Content(c) if c.distance.is_some() || c.within.is_some() => "content",
        Step::Pcre(p) if p.relative => "pcre",
        Step::ByteTest(b) if b.relative => "byte_test",
        Step::IsDataAt(b) if b.relative => "isdataat",
        _ => return None,
    };
    Some(name.to_owned())
}

const PREFILTER_MIN: usize = 3;
