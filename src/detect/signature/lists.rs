//! The files beside the rules, read as Suricata has them: `classification.config`, `reference.config`,
//! `threshold.config`.

use super::keyword::about::is_class;
use super::keyword::rate;
use super::list::RangeSet;
use super::rule::{Threshold, Track};
use super::settings::Settings;
use super::variables::Variables;
use serde::Serialize;
use std::collections::BTreeMap;

/// One class of rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Classification {
    /// What an alert calls it.
    pub category: String,
    /// The lower, the graver.
    pub priority: u32,
}

/// `classification.config`: short name to class.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Classifications(BTreeMap<String, Classification>);

/// `reference.config`: system to the beginning of its addresses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct References(BTreeMap<String, String>);

/// `threshold.config`: what changes how rules alert.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tuning {
    /// `suppress`
    pub suppressions: Vec<Suppression>,
    /// `threshold`, `event_filter`, `rate_filter`
    pub filters: Vec<Filter>,
}

/// Alerts that are left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suppression {
    /// Group; 0: every one.
    pub gid: u32,
    /// Rule; 0: every one.
    pub sid: u32,
    /// Which address is looked at, and where it must be; none: always left out.
    pub only: Option<(Track, RangeSet)>,
}

/// A rate for rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    /// Group; 0: every one.
    pub gid: u32,
    /// Rule; 0: every one.
    pub sid: u32,
    /// How often.
    pub threshold: Threshold,
    /// What happens then.
    pub kind: FilterKind,
}

/// What a rate does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterKind {
    /// Limits alerts.
    Alerts,
    /// Changes the rule's action for so many seconds.
    Action(super::header::Action, u32),
}

impl Classifications {
    /// Reads the file's text; `Err` has line and reason of each fault, and what could be read.
    pub fn read(text: &str) -> (Self, Vec<(u32, String)>) {
        let mut map = BTreeMap::new();
        let faults = lines(text, |line| {
            let rest = value_of(line, "config classification")?;
            // the text between may have commas
            let parts = rest
                .split_once(',')
                .and_then(|(name, rest)| Some((name, rest.rsplit_once(',')?)));
            let Some((name, (category, priority))) = parts else {
                return Err("is `config classification: name,text,priority`".to_owned());
            };
            let name = name.trim().to_ascii_lowercase();
            if !is_class(&name) {
                return Err(format!("`{name}` is no name of a class"));
            }
            let priority = priority.trim().parse();
            let priority = priority.map_err(|_| "the priority is a number")?;
            let category = category.trim().to_owned();
            // of two with one name the first counts
            map.entry(name)
                .or_insert(Classification { category, priority });
            Ok(())
        });
        (Self(map), faults)
    }

    /// The class of that name, in whichever case.
    pub fn get(&self, name: &str) -> Option<&Classification> {
        self.0.get(&name.to_ascii_lowercase())
    }

    /// Whether no file was read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl References {
    /// Reads the file's text.
    pub fn read(text: &str) -> (Self, Vec<(u32, String)>) {
        let mut map = BTreeMap::new();
        let faults = lines(text, |line| {
            let rest = value_of(line, "config reference")?;
            let (system, prefix) = rest
                .split_once(char::is_whitespace)
                .ok_or("is `config reference: system prefix`")?;
            map.insert(system.trim().to_ascii_lowercase(), prefix.trim().to_owned());
            Ok(())
        });
        (Self(map), faults)
    }

    /// Whether no file was read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the system is known.
    pub fn knows(&self, system: &str) -> bool {
        self.0.contains_key(system)
    }

    /// The address of a reference.
    pub fn address(&self, system: &str, id: &str) -> Option<String> {
        self.0.get(system).map(|prefix| format!("{prefix}{id}"))
    }
}

impl Tuning {
    /// Reads the file's text.
    pub fn read(
        text: &str,
        variables: &Variables,
        settings: &Settings,
    ) -> (Self, Vec<(u32, String)>) {
        let mut out = Self::default();
        let faults = lines(&joined(text), |line| {
            let (command, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let words = split_outside_brackets(rest);
            match command {
                "suppress" => out
                    .suppressions
                    .push(suppression(&words, variables, settings)?),
                "threshold" | "event_filter" => out.filters.push(filter(&words, false)?),
                "rate_filter" => out.filters.push(filter(&words, true)?),
                _ => {
                    return Err(format!(
                        "`{command}` is none of suppress, threshold, event_filter, rate_filter"
                    ));
                }
            }
            Ok(())
        });
        (out, faults)
    }
}

/// Lines that end with `\\` and the next ones as one; the others keep their numbers.
fn joined(text: &str) -> String {
    let (mut out, mut waiting) = (String::with_capacity(text.len()), 0);
    for line in text.lines() {
        match line.trim_end().strip_suffix('\\') {
            Some(start) if !line.trim_start().starts_with('#') => {
                out.push_str(start);
                waiting += 1;
            }
            _ => {
                out.push_str(line);
                out.push('\n');
                (0..waiting).for_each(|_| out.push('\n'));
                waiting = 0;
            }
        }
    }
    out
}

/// Calls `read` for each line that says something.
fn lines(text: &str, mut read: impl FnMut(&str) -> Result<(), String>) -> Vec<(u32, String)> {
    let mut faults = vec![];
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            faults.extend(read(line).err().map(|reason| (number, reason)));
        }
    }
    faults
}

fn value_of<'a>(line: &'a str, start: &str) -> Result<&'a str, String> {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
    if name != start || value.trim().is_empty() {
        return Err(format!("is no `{start}: ...`"));
    }
    Ok(value.trim())
}

fn split_outside_brackets(text: &str) -> Vec<String> {
    let (mut parts, mut part, mut depth) = (vec![], String::new(), 0usize);
    for c in text.chars() {
        match c {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if c == ',' && depth == 0 {
            parts.push(std::mem::take(&mut part).trim().to_owned());
        } else {
            part.push(c);
        }
    }
    parts.push(part.trim().to_owned());
    parts
}

/// Takes the words of that name out; gives the value.
fn take(words: &mut Vec<String>, name: &str) -> Option<String> {
    let is = |w: &String| w.split_whitespace().next() == Some(name);
    let at = words.iter().position(is)?;
    let word = words.remove(at);
    Some(word[name.len()..].trim().to_owned())
}

fn id(words: &mut Vec<String>, name: &str) -> Result<u32, String> {
    let text = take(words, name).ok_or_else(|| format!("lacks `{name}`"))?;
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

/// A list of addresses may stand without brackets: what follows `ip` and has no name is of it.
fn with_addresses(words: &[String]) -> Vec<String> {
    let mut out: Vec<String> = vec![];
    let named = |w: &str| w.starts_with(|c: char| c.is_ascii_alphabetic()) && !w.contains(':');
    for word in words {
        match out.last_mut() {
            Some(last) if last.starts_with("ip ") && !named(word) => {
                last.push(',');
                last.push_str(word);
            }
            _ => out.push(word.clone()),
        }
    }
    out
}

fn suppression(
    words: &[String],
    variables: &Variables,
    settings: &Settings,
) -> Result<Suppression, String> {
    let mut words = with_addresses(words);
    let (gid, sid) = (id(&mut words, "gen_id")?, id(&mut words, "sig_id")?);
    let track = take(&mut words, "track");
    let address = take(&mut words, "ip");
    if let Some(word) = words.first() {
        return Err(format!("`{word}` is not known here"));
    }
    let only = match (track, address) {
        (None, None) => None,
        (Some(track), Some(list)) => {
            let track = rate::track_of(&track)?;
            if !matches!(track, Track::BySrc | Track::ByDst | Track::ByEither) {
                return Err("suppress tracks by_src, by_dst or by_either".to_owned());
            }
            Some((track, variables.addresses_of(&list, settings)?))
        }
        _ => return Err("`track` and `ip` go together".to_owned()),
    };
    Ok(Suppression { gid, sid, only })
}

fn filter(words: &[String], rated: bool) -> Result<Filter, String> {
    let mut words = words.to_vec();
    let (gid, sid) = (id(&mut words, "gen_id")?, id(&mut words, "sig_id")?);
    let mut kind = FilterKind::Alerts;
    if rated {
        use super::header::Action;
        let action = take(&mut words, "new_action").ok_or("lacks `new_action`")?;
        let action = match action.as_str() {
            "alert" => Action::Alert,
            "pass" => Action::Pass,
            "drop" => Action::Drop,
            "reject" => Action::Reject,
            other => return Err(format!("`{other}` is no action: alert, pass, drop, reject")),
        };
        kind = FilterKind::Action(action, id(&mut words, "timeout")?);
    }
    let threshold = rate::parse(&words, !rated)?;
    Ok(Filter {
        gid,
        sid,
        threshold,
        kind,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_and_references() {
        let (classes, faults) = Classifications::read(
            "# a\n\nconfig classification: bad-unknown,Potentially Bad Traffic, 2\nconfig classification: x,y\nconfig classification: x y,z,0\n\
            config classification: A,one, two, and three,0\nconfig classification: a,other,9\nconfig classification: b,c,300\nconfig classification: d,e,-1\n",
        );
        assert_eq!(classes.get("bad-unknown").unwrap().priority, 2);
        assert_eq!(faults.iter().map(|f| f.0).collect::<Vec<_>>(), [4, 5, 9]);
        let a = classes.get("a").unwrap();
        assert_eq!(
            (a.category.as_str(), a.priority),
            ("one, two, and three", 0)
        );
        assert_eq!(classes.get("B").unwrap().priority, 300);
        let (references, faults) =
            References::read("config reference: cve http://cve/?\nconfig refrence: a b\n");
        assert_eq!(references.address("cve", "1").unwrap(), "http://cve/?1");
        assert_eq!(faults.len(), 1);
    }

    #[test]
    fn tuning_and_its_near_misses() {
        let read = |text: &str| Tuning::read(text, &Variables::default(), &Settings::default());
        let good = "suppress gen_id 1, sig_id 2\nsuppress gen_id 1, sig_id 2, track by_src, ip [10.0.0.0/8, !10.1.1.1]\nsuppress gen_id 1, sig_id 0, track by_either, ip $HOME_NET\n\
            threshold gen_id 1, sig_id 3, type both, track by_dst, count 5, seconds 60\nevent_filter gen_id 1, sig_id 4, type limit, track by_rule, count 1, seconds 1\n\
            rate_filter gen_id 1, sig_id 5, track by_src, count 9, seconds 60, new_action drop, timeout 30\n";
        let (tuning, faults) = read(good);
        assert_eq!(faults, []);
        assert_eq!((tuning.suppressions.len(), tuning.filters.len()), (3, 3));
        let bare = "# \u{fffd} \\\nsuppress gen_id 1, \\\n  sig_id 2, track by_src, \\ \n ip 10.0.0.1,!10.0.0.9, 2001:db8::1\nsuppress gen_id 1\n";
        let (tuning, faults) = read(bare);
        assert_eq!(faults, [(5, "lacks `sig_id`".to_owned())]);
        let (_, list) = tuning.suppressions[0].only.as_ref().unwrap();
        let has = |a: &str| list.contains_address(a.parse().unwrap());
        assert!(has("10.0.0.1") && has("2001:db8::1") && !has("10.0.0.9") && !has("10.0.0.2"));
        for bad in [
            "suppress sig_id 2",
            "suppress gen_id 1, sig_id x",
            "suppress gen_id 1, sig_id 2, track by_src",
            "suppress gen_id 1, sig_id 2, track by_rule, ip 1.2.3.4",
            "suppress gen_id 1, sig_id 2, when never",
            "threshold gen_id 1, sig_id 3, track by_dst, count 5, seconds 60",
            "hush gen_id 1, sig_id 2",
            "rate_filter gen_id 1, sig_id 5, track by_src, count 9, seconds 60, new_action hide, timeout 30",
        ] {
            assert_eq!(read(bad).1.len(), 1, "{bad}");
        }
    }
}
