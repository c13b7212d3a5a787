//! How a rule was compiled, in words.

use super::buffer::{Buffer, BufferKind};
use super::content::text_of;
use super::dataset::{Dataset, Listed};
use super::list::{RangeSet, address_of};
use super::rule::*;
use std::fmt::Write as _;

impl Rule {
    /// How the rule was compiled, a line a fact.
    pub fn explain(&self) -> String {
        let mut lines = self.explain_header();
        if self.flow != Flow::default() {
            lines.push(format!("flow       {}", flow(&self.flow)));
        }
        let tests = self.tests.iter().map(test_text);
        lines.extend(tests.map(|t| format!("test       {t}")));
        lines.extend(self.asks.iter().map(|ask| format!("asks       {ask:?}")));
        self.explain_groups(&mut lines);
        lines.extend(self.changes.iter().map(|c| format!("changes    {c:?}")));
        let rates = [
            ("threshold", self.threshold),
            ("filter", self.detection_filter),
        ];
        for (name, rate) in rates {
            lines.extend(rate.map(|r| {
                format!(
                    "{name:10} {:?} {} in {} s, {:?}",
                    r.kind, r.count, r.seconds, r.track
                )
            }));
        }
        lines.extend(self.warnings.iter().map(|w| format!("warning    {w}")));
        lines.join("\n") + "\n"
    }

    fn explain_header(&self) -> Vec<String> {
        let header = &self.header;
        let silent = if self.noalert {
            ", raises no alert"
        } else {
            ""
        };
        let arrow = match header.direction {
            super::header::Direction::Forward => "to        ",
            super::header::Direction::Both => "and back  ",
        };
        let (from, to) = (addresses(&header.source), addresses(&header.destination));
        vec![
            format!(
                "sid {} rev {} gid {}: {}",
                self.sid, self.rev, self.gid, self.about.message
            ),
            format!("action     {:?}{silent}", header.action).to_lowercase(),
            format!("protocol   {}", header.protocol.name()),
            format!("from       {from} ports {}", ports(&header.source_ports)),
            format!("{arrow} {to} ports {}", ports(&header.destination_ports)),
        ]
    }

    fn explain_groups(&self, lines: &mut Vec<String>) {
        let first = self.prefilter.map(|(g, s)| (&self.groups[g], s));
        lines.push(match first {
            Some((group, s)) => format!(
                "first      {} in {}",
                step_text(&group.steps[s], self),
                group.buffer.name()
            ),
            None if self.groups.is_empty() => {
                "first      nothing: header and tests decide".to_owned()
            }
            None => "first      nothing: every candidate is confirmed".to_owned(),
        });
        for group in &self.groups {
            let transforms: String = group
                .transforms
                .iter()
                .map(|t| format!(" > {t:?}"))
                .collect();
            lines.push(format!(
                "in         {}{transforms} ({})",
                group.buffer.name(),
                kind(group.buffer)
            ));
            let steps = group.steps.iter();
            lines.extend(steps.map(|s| format!("             {}", step_text(s, self))));
            let lists = group.lists.iter().map(list_text);
            lines.extend(lists.map(|l| format!("             {l}")));
        }
    }
}

fn kind(buffer: Buffer) -> &'static str {
    match buffer.info().kind {
        BufferKind::Payload => "packet or stream",
        BufferKind::PacketHeader => "packet header",
        BufferKind::Application => "once a transaction",
        BufferKind::Many => "any one of several",
        BufferKind::Decoded => "what was decoded before",
        BufferKind::Told => "for alerts",
    }
}

fn addresses(set: &RangeSet) -> String {
    if set.is_any() {
        return "any".to_owned();
    }
    shown(set, |(low, high)| {
        let (a, b) = (address_of(low), address_of(high));
        if a == b {
            a.to_string()
        } else {
            format!("{a}-{b}")
        }
    })
}

fn ports(set: &RangeSet) -> String {
    if set.is_any() {
        return "any".to_owned();
    }
    shown(set, |(low, high)| {
        if low == high {
            low.to_string()
        } else {
            format!("{low}:{high}")
        }
    })
}

fn shown(set: &RangeSet, text: impl Fn((u128, u128)) -> String) -> String {
    let ranges = set.ranges();
    let mut out = ranges
        .iter()
        .take(RANGES_SHOWN)
        .map(|r| text(*r))
        .collect::<Vec<_>>()
        .join(", ");
    if ranges.len() > RANGES_SHOWN {
        let _ = write!(out, " and {} more", ranges.len() - RANGES_SHOWN);
    }
    out
}

fn flow(flow: &Flow) -> String {
    let mut words = vec![];
    words.extend(flow.direction.map(|d| match d {
        FlowDirection::ToServer => "to server",
        FlowDirection::ToClient => "to client",
    }));
    words.extend(
        flow.established
            .map(|e| if e { "established" } else { "not established" }),
    );
    words.extend(flow.stateless.then_some("stateless"));
    words.extend(flow.stream.map(|s| {
        if s {
            "rebuilt stream only"
        } else {
            "packets only"
        }
    }));
    words.extend(
        flow.fragments
            .map(|s| if s { "fragments only" } else { "no fragments" }),
    );
    words.join(", ")
}

fn test_text(test: &Test) -> String {
    match test {
        Test::Number(name, number) => format!("{name} {number}"),
        Test::Word(name, negated, words) => {
            format!(
                "{name} {}{}",
                if *negated { "none of " } else { "" },
                words.join(", ")
            )
        }
        Test::Event(kind, name) => format!("{kind} {name}"),
        Test::Flag(name) => (*name).to_owned(),
        Test::AnyNumber(name, numbers) => {
            let all: Vec<_> = numbers.iter().map(ToString::to_string).collect();
            format!("{name} {}", all.join(" or "))
        }
        Test::Digest(name, negated, list) => {
            let not = if *negated { "none of " } else { "" };
            format!("{name} {not}the {} in {}", list.len(), list.name)
        }
        other => format!("{other:?}"),
    }
}

fn list_text(listed: &Listed) -> String {
    let of = |list: &Dataset| format!("the list {} ({} from its file)", list.name, list.len());
    match listed {
        Listed::IsIn(list) => format!("is in {}", of(list)),
        Listed::IsNotIn(list) => format!("is not in {}", of(list)),
        Listed::Add(list) => format!("is new in {}", of(list)),
        Listed::Remove(list) => format!("is taken out of {}", of(list)),
        Listed::Score(list, compare, score) => {
            format!("score {compare:?} {score} in {}", of(list))
        }
    }
}

fn step_text(step: &Step, rule: &Rule) -> String {
    let value = |v: &Value| match v {
        Value::Fixed(n) => n.to_string(),
        Value::Variable(at) => rule
            .variables
            .get(usize::from(*at))
            .cloned()
            .unwrap_or_default(),
    };
    let not = |negated: bool| if negated { "not " } else { "" };
    match step {
        Step::Content(content) => {
            let mut out = format!(
                "{}content \"{}\"",
                not(content.negated),
                text_of(&content.pattern)
            );
            for (name, slot) in [
                ("offset", &content.offset),
                ("depth", &content.depth),
                ("distance", &content.distance),
                ("within", &content.within),
            ] {
                if let Some(v) = slot {
                    let _ = write!(out, " {name} {}", value(v));
                }
            }
            for (name, on) in [
                ("nocase", content.nocase),
                ("at the start", content.startswith),
                ("at the end", content.endswith),
            ] {
                if on {
                    let _ = write!(out, " {name}");
                }
            }
            out
        }
        Step::Pcre(pcre) => format!("{}pcre {}", not(pcre.negated), pcre.text),
        Step::Length(number) => format!("length {number}"),
        Step::IsDataAt(at) => format!(
            "{}data at {}{}",
            not(at.negated),
            value(&at.at),
            if at.relative { " relative" } else { "" }
        ),
        other => format!("{other:?}"),
    }
}

const RANGES_SHOWN: usize = 8;

#[cfg(test)]
mod tests {
    use super::super::keyword::testing::rule;

    #[test]
    fn a_rule_is_explained() {
        let text = rule("http", "flow:established; http.uri; content:\"/a|0a|\"; nocase; bsize:>3; pcre:\"/b/R\"; threshold:type limit,track by_src,count 1,seconds 60;").unwrap().explain();
        for part in [
            "sid 1",
            "protocol   http",
            "to server, established",
            "content \"/a|0a|\" nocase",
            "length >3",
            "pcre /b/R",
            "Limit 1 in 60 s",
        ] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
    }
}
