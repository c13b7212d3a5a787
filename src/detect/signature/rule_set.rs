//! All rules of some files: what loaded, what was refused, what is doubtful across rules.

use super::draft::{Context, compile};
use super::error::{Fault, Refused};
use super::rule::{Rule, StateChange, StateTest};
use super::syntax::{Entry, Place, read};
use super::warning::Warning;
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

/// A file of rules.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// Its name, as reports give it.
    pub file: &'a str,
    /// What it holds.
    pub bytes: &'a [u8],
}

/// The rules of some files, proven.
#[derive(Debug, Clone, Default)]
pub struct RuleSet {
    /// The rules that loaded, in order.
    pub rules: Vec<Rule>,
    /// File and line of each.
    pub places: Vec<(String, u32)>,
    /// Those that did not.
    pub refused: Vec<Refused>,
    /// Rules that are commented out.
    pub disabled: usize,
    /// Where those are, by sid.
    pub disabled_at: Vec<(u32, String, u32)>,
    /// Classes that rules name and no file has.
    unknown: BTreeSet<String>,
}

/// What `rules check` says.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Enabled rules.
    pub rules: usize,
    /// Rules that loaded.
    pub loaded: usize,
    /// Rules that did not, in order of file and line.
    pub refused: Vec<Refused>,
    /// What is doubtful in rules that loaded.
    pub warnings: Vec<Doubt>,
    /// Rules that are commented out.
    pub disabled: usize,
}

/// A rule and what is doubtful about it.
#[derive(Debug, Clone, Serialize)]
pub struct Doubt {
    /// The rule file.
    pub file: String,
    /// Line of the rule.
    pub line: u32,
    /// The rule.
    pub sid: u32,
    /// Whether it can never fire.
    pub never_fires: bool,
    /// What is doubtful.
    pub reason: String,
}

/// The folder of a file of rules.
fn folder_of(file: &str) -> PathBuf {
    let folder = Path::new(file).parent();
    folder.map_or_else(PathBuf::new, Path::to_owned)
}

impl RuleSet {
    /// Reads rules. Of several with one gid and sid the highest revision stays. Rules of one revision that differ in their
    /// header alone all stay: lists of addresses are spread over rules so.
    pub fn load(sources: &[Source<'_>], context: &Context) -> Self {
        let (mut set, mut known) = (Self::default(), HashMap::new());
        let mut context = context.clone();
        for source in sources {
            context.folder = folder_of(source.file);
            for entry in read(source.bytes, &context.settings) {
                set.take(source.file, entry, &context, &mut known);
            }
        }
        set.warn_of_bits();
        set
    }

    /// What `rules check` says.
    pub fn report(&self) -> Report {
        let doubts = self
            .rules
            .iter()
            .zip(&self.places)
            .flat_map(|(rule, (file, line))| {
                rule.warnings.iter().map(move |w| Doubt {
                    file: file.clone(),
                    line: *line,
                    sid: rule.sid,
                    never_fires: w.never_fires(),
                    reason: w.to_string(),
                })
            });
        Report {
            rules: self.rules.len() + self.refused.len(),
            loaded: self.rules.len(),
            refused: self.refused.clone(),
            warnings: doubts.collect(),
            disabled: self.disabled,
        }
    }

    fn take(
        &mut self,
        file: &str,
        entry: Entry,
        context: &Context,
        known: &mut HashMap<(u32, u32), usize>,
    ) {
        let (text, place) = match entry {
            Entry::Disabled(text) => {
                self.disabled += 1;
                let limit = context.settings.rules_max;
                if let Some(sid) = text.sid().filter(|_| self.disabled_at.len() < limit) {
                    let place = (sid, file.to_owned(), text.place.line);
                    self.disabled_at.push(place);
                }
                return;
            }
            Entry::Fault(fault, sid) => return self.refuse(file, fault, sid),
            Entry::Rule(text) => {
                let place = text.place;
                (text, place)
            }
        };
        let limit = context.settings.rules_max;
        if self.rules.len() >= limit {
            let reason = format!("more than {limit} rules (rules_max)");
            return self.refuse(file, Fault::new(place, "", reason), text.sid());
        }
        let mut rule = match compile(&text, context) {
            Ok(rule) => rule,
            Err(fault) => return self.refuse(file, fault, text.sid()),
        };
        self.name_class(&mut rule, context);
        let here = (file.to_owned(), place.line);
        let Some(&at) = known.get(&(rule.gid, rule.sid)) else {
            known.insert((rule.gid, rule.sid), self.rules.len());
            self.rules.push(rule);
            self.places.push(here);
            return;
        };
        let first = &self.rules[at];
        if rule.rev == first.rev
            && rule.header != first.header
            && options(&rule.raw) == options(&first.raw)
        {
            let (file, line) = self.places[at].clone();
            rule.warnings.push(Warning::SharedSid(file, line));
            self.rules.push(rule);
            self.places.push(here);
            return;
        }
        let newer = rule.rev > first.rev;
        let (mut loser, mut winner) = (here, self.places[at].clone());
        let sid = rule.sid;
        if newer {
            std::mem::swap(&mut loser, &mut winner);
            self.rules[at] = rule;
            self.places[at].clone_from(&winner);
        }
        let reason = format!("the sid is taken by {}:{}", winner.0, winner.1);
        let place = Place {
            line: loser.1,
            column: 1,
        };
        self.refuse(&loser.0, Fault::new(place, "sid", reason), Some(sid));
    }

    /// A class that no file has is called nothing at its first rule and unknown from the second one on, as Suricata has it.
    fn name_class(&mut self, rule: &mut Rule, context: &Context) {
        let about = &mut rule.about;
        if let (Some(class), None) = (&about.classtype, &about.category)
            && !context.classifications.is_empty()
            && !self.unknown.insert(class.to_ascii_lowercase())
        {
            about.category = Some("Unknown Classtype".to_owned());
        }
    }

    fn refuse(&mut self, file: &str, fault: Fault, sid: Option<u32>) {
        self.refused.push(Refused {
            file: file.to_owned(),
            line: fault.place.line,
            column: fault.place.column,
            sid,
            keyword: fault.keyword,
            reason: fault.reason,
        });
    }

    /// Bits that are asked and that no rule sets.
    fn warn_of_bits(&mut self) {
        let changes = self.rules.iter().flat_map(|r| &r.changes);
        let set: BTreeSet<_> = changes
            .filter_map(|c| match c {
                StateChange::Set(_, name, _) | StateChange::Toggle(_, name, _) => {
                    Some(name.clone())
                }
                _ => None,
            })
            .collect();
        for rule in &mut self.rules {
            for ask in &rule.asks {
                if let StateTest::IsSet(_, names) = ask
                    && !names.iter().any(|n| set.contains(n))
                {
                    rule.warnings.push(Warning::BitNeverSet(names.join("|")));
                }
            }
        }
    }
}

fn options(raw: &str) -> &str {
    raw.find('(').map_or("", |at| &raw[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> RuleSet {
        let source = Source {
            file: "a.rules",
            bytes: text.as_bytes(),
        };
        RuleSet::load(&[source], &Context::default())
    }

    #[test]
    fn one_bad_rule_costs_itself_only() {
        let set = load(
            "# a comment\n#alert tcp any any -> any any (sid:9;)\nalert tcp any any -> any any (content:\"a\"; sid:1;)\n\
            alert tcp any any -> any any (content:\"a\"; \\\n   nonsense; sid:2;)\nalert tcp any any -> (sid:3;)\n\
            alert tcp any any -> any any (content:\"b\"; sid:4;)\n",
        );
        let report = set.report();
        assert_eq!((report.rules, report.loaded, report.disabled), (4, 2, 1));
        let refused: Vec<_> = report
            .refused
            .iter()
            .map(|r| (r.line, r.column, r.sid, r.keyword.as_str()))
            .collect();
        assert_eq!(
            refused,
            [(5, 4, Some(2), "nonsense"), (6, 22, Some(3), "header")]
        );
        let json = serde_json::to_value(&report.refused[0]).unwrap();
        assert_eq!(
            (json["file"].as_str(), json["line"].as_u64()),
            (Some("a.rules"), Some(5))
        );
    }

    #[test]
    fn the_highest_revision_stays() {
        let rule =
            |rev: u32| format!("alert tcp any any -> any any (content:\"a\"; sid:1; rev:{rev};)\n");
        let set = load(&(rule(1) + &rule(3) + &rule(2)));
        assert_eq!((set.rules.len(), set.rules[0].rev), (1, 3));
        assert_eq!(
            set.refused.iter().map(|r| r.line).collect::<Vec<_>>(),
            [1, 3]
        );
    }

    #[test]
    fn rules_that_differ_in_their_header_share_a_sid() {
        let rule = |to: &str, text: &str| {
            format!("alert ip any any -> {to} any (msg:\"{text}\"; sid:1;)\n")
        };
        let set = load(
            &(rule("1.1.1.1", "a")
                + &rule("2.2.2.2", "a")
                + &rule("2.2.2.2", "b")
                + &rule("1.1.1.1", "a")),
        );
        assert_eq!((set.rules.len(), set.refused.len()), (2, 2));
        assert_eq!(
            set.rules[1].warnings,
            [Warning::SharedSid("a.rules".to_owned(), 1)]
        );
    }

    #[test]
    fn doubts_are_told() {
        let set = load(
            "alert tcp any any -> any any (pcre:\"/a/\"; sid:1;)\nalert tcp any any -> any any (content:\"abcd\"; flowbits:isset,x; sid:2;)\n\
            alert tcp any any -> any any (content:\"abcd\"; noalert; sid:4;)\n",
        );
        let report = set.report();
        let of = |sid: u32| -> Vec<_> {
            report
                .warnings
                .iter()
                .filter(|d| d.sid == sid)
                .map(|d| d.never_fires)
                .collect()
        };
        assert_eq!(
            (of(1), of(2), of(4)),
            (vec![false, false], vec![true], vec![true])
        );
    }
}
