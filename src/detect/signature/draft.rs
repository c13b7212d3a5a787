//! A rule while its options are read, and the checks that need the whole of it.

use super::buffer::{Buffer, BufferKind, Case};
use super::dataset::{Datasets, Listed};
use super::error::Fault;
use super::header::{Header, Protocol};
use super::keyword;
use super::lists::{Classifications, References};
use super::rule::*;
use super::settings::Settings;
use super::syntax::{OptionText, RuleText};
use super::variables::Variables;
use super::warning;

/// What rules are read against.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// Limits.
    pub settings: Settings,
    /// Variables of headers.
    pub variables: Variables,
    /// Classes of rules.
    pub classifications: Classifications,
    /// Systems of references.
    pub references: References,
    /// Lists of values that rules name.
    pub datasets: Datasets,
    /// Where files are looked for that rules name: beside the file of the rules.
    pub folder: std::path::PathBuf,
}

/// A rule in the making.
pub(super) struct Draft<'a> {
    pub context: &'a Context,
    pub rule: Rule,
    /// The rule itself says its priority, and what its class has for it.
    pub has_priority: bool,
    pub class_priority: Option<u32>,
    /// The content that modifiers change: group and step.
    pub last: Option<(usize, usize)>,
    /// The last condition that one that counts from a match can count from: group and step.
    recent: Option<(usize, usize)>,
    active: Option<Active>,
    applications: Option<Vec<&'static str>>,
}

/// The sticky buffer that is set.
struct Active {
    buffer: Buffer,
    keyword: String,
    transforms: Vec<Transform>,
    group: Option<usize>,
    /// A transform stands behind conditions on it.
    goes_on: bool,
}

/// Proves one rule.
pub(super) fn compile(text: &RuleText, context: &Context) -> Result<Rule, Fault> {
    let fault = |keyword: &str, reason: String| {
        let place = text.option(keyword).map_or(text.place, |o| o.place);
        Fault::new(place, keyword, reason)
    };
    let header = Header::parse(text, &context.variables, &context.settings)
        .map_err(|(part, reason)| fault(part, reason))?;
    let mut draft = Draft::new(header, text, context);
    for option in &text.options {
        keyword::apply(&mut draft, option)
            .map_err(|reason| Fault::new(option.place, &option.name, reason))?;
    }
    draft.rule.noalert |= text.header[0] == "config";
    draft
        .finish()
        .map_err(|(keyword, reason)| fault(&keyword, reason))
}

type Whole = (String, String);

impl<'a> Draft<'a> {
    fn new(header: Header, text: &RuleText, context: &'a Context) -> Self {
        let applications = match header.protocol {
            Protocol::Application(name) => Some(vec![name]),
            _ => None,
        };
        let rule = Rule {
            header,
            sid: 0,
            rev: 0,
            gid: 1,
            about: About::default(),
            tests: vec![],
            flow: Flow::default(),
            groups: vec![],
            asks: vec![],
            changes: vec![],
            xbits: [false; 2],
            threshold: None,
            detection_filter: None,
            noalert: false,
            bypass: false,
            prefilter: None,
            variables: vec![],
            warnings: vec![],
            raw: text.raw.clone(),
        };
        Self {
            context,
            rule,
            has_priority: false,
            class_priority: None,
            last: None,
            recent: None,
            active: None,
            applications,
        }
    }

    /// Makes a buffer the one that the next conditions are about.
    pub fn set_buffer(&mut self, buffer: Buffer, option: &OptionText) -> Result<(), String> {
        self.buffer_was_used().map_err(|(_, reason)| reason)?;
        self.active = None;
        if buffer != Buffer::PAYLOAD {
            self.rule.header.protocol.has_header(buffer.name())?;
            self.need(buffer.info().protocols, buffer.name())?;
            if buffer.info().kind == BufferKind::Decoded && !self.has_decoder() {
                return Err("needs a base64_decode before it".to_owned());
            }
            self.active = Some(Active {
                buffer,
                keyword: option.name.clone(),
                transforms: vec![],
                group: None,
                goes_on: false,
            });
        }
        Ok(())
    }

    /// Adds a change of the sticky buffer.
    pub fn transform(&mut self, transform: Transform) -> Result<(), String> {
        let active = self.active.as_mut();
        let active = active.ok_or("needs a sticky buffer before it")?;
        // behind contents it is for those that follow
        active.goes_on |= active.group.take().is_some();
        active.transforms.push(transform);
        Ok(())
    }

    /// Adds a condition on the buffer that is set.
    pub fn push(&mut self, step: Step) -> Result<(), String> {
        let group = self.active_group();
        self.push_to(group, step)
    }

    /// Adds a condition that counts from the last match, or from the start; without a sticky buffer it is about what the last match is about.
    pub fn push_counting(&mut self, relative: bool, step: Step) -> Result<(), String> {
        match self.recent.filter(|_| relative && self.active.is_none()) {
            Some((group, _)) => self.push_to(group, step),
            None => self.push(step),
        }
    }

    /// The content that was the last match, if it was one.
    pub fn recent_content(&mut self) -> Option<&mut Content> {
        let (group, step) = self.recent?;
        match self.rule.groups[group].steps.get_mut(step) {
            Some(Step::Content(content)) => Some(content),
            _ => None,
        }
    }

    /// Adds a list that the buffer that is set is looked up in.
    pub fn push_list(&mut self, list: Listed) -> Result<(), String> {
        if self.active.is_none() {
            return Err("needs a sticky buffer before it".to_owned());
        }
        let group = self.active_group();
        self.rule.groups[group].lists.push(list);
        Ok(())
    }

    fn active_group(&mut self) -> usize {
        match &mut self.active {
            None => self.group(Buffer::PAYLOAD, vec![], false),
            Some(active) => match active.group {
                Some(group) => group,
                None => {
                    let (buffer, transforms) = (active.buffer, active.transforms.clone());
                    let many = buffer.info().kind == BufferKind::Many;
                    let group = self.group(buffer, transforms, many);
                    if let Some(active) = &mut self.active {
                        active.group = Some(group);
                    }
                    group
                }
            },
        }
    }

    /// Adds a condition on a buffer that the keyword itself names, as legacy keywords do; that one may be set.
    pub fn push_legacy(&mut self, buffer: Buffer, step: Step) -> Result<(), String> {
        if let Some(active) = &self.active {
            // Suricata has one buffer for both of these
            let bodies = ["file.data", "http.response_body"];
            let same = |b: Buffer| {
                b == buffer || bodies.contains(&b.name()) && bodies.contains(&buffer.name())
            };
            if !same(active.buffer) {
                return self.no_sticky(buffer);
            }
            return self.push(step);
        }
        self.need(buffer.info().protocols, buffer.name())?;
        let group = self.group(buffer, vec![], false);
        self.push_to(group, step)
    }

    /// Whether the rule is about an application protocol.
    pub fn is_of_application(&self) -> bool {
        self.applications.is_some()
    }

    /// Whether a sticky buffer is set.
    pub fn has_sticky(&self) -> bool {
        self.active.is_some()
    }

    /// Whether a relative condition has something before it: without a sticky buffer Suricata asks for it.
    pub fn follows_a_match(&self, buffer: Buffer) -> bool {
        let groups = self.rule.groups.iter().filter(|g| g.buffer == buffer);
        let mut steps = groups.flat_map(|g| &g.steps);
        let moves = |s: &Step| matches!(s, Step::Content(_) | Step::Pcre(_) | Step::ByteJump(_));
        self.active.is_some() || steps.any(moves)
    }

    /// Adds a condition on a buffer, whatever is set.
    pub fn push_beside(&mut self, buffer: Buffer, step: Step) -> Result<(), String> {
        self.need(buffer.info().protocols, buffer.name())?;
        let group = self.group(buffer, vec![], false);
        self.push_to(group, step)
    }

    /// Moves the last content to a buffer.
    pub fn move_last(&mut self, buffer: Buffer) -> Result<(), String> {
        self.no_sticky(buffer)?;
        self.need(buffer.info().protocols, buffer.name())?;
        let (from, step) = self.last.ok_or("needs a content before it")?;
        if self.rule.groups[from].buffer != Buffer::PAYLOAD {
            let now = self.rule.groups[from].buffer.name();
            return Err(format!("the content before it already belongs to {now}"));
        }
        let content = self.rule.groups[from].steps.remove(step);
        if matches!(&content, Step::Content(c) if c.rawbytes) {
            return Err("rawbytes and a buffer exclude each other".to_owned());
        }
        let to = self.group(buffer, vec![], false);
        self.push_to(to, content)
    }

    /// The rule is about one of these application protocols.
    pub fn need(&mut self, protocols: &[&'static str], what: &str) -> Result<(), String> {
        let header = self.rule.header.protocol;
        if !header.carries(protocols) {
            return Err(format!(
                "{what} is of {}, the rule of {}",
                protocols.join(" or "),
                header.name()
            ));
        }
        if protocols.is_empty() {
            return Ok(());
        }
        let narrowed: Vec<&'static str> = match &self.applications {
            None => protocols.to_vec(),
            Some(now) => now
                .iter()
                .copied()
                .filter(|n| Protocol::Application(n).carries(protocols))
                .collect(),
        };
        if narrowed.is_empty() {
            let now = self
                .applications
                .as_deref()
                .unwrap_or_default()
                .join(" or ");
            return Err(format!(
                "{what} is of {}, other conditions of {now}",
                protocols.join(" or ")
            ));
        }
        self.applications = Some(narrowed);
        Ok(())
    }

    /// The number of a variable that an earlier step extracts.
    pub fn variable(&self, name: &str) -> Result<Value, String> {
        let at = self.rule.variables.iter().position(|v| v == name);
        let at = at.and_then(|at| u8::try_from(at).ok());
        at.map(Value::Variable).ok_or_else(|| {
            format!("`{name}` is no number, and no byte_extract or byte_math before it names it so")
        })
    }

    /// Gives a variable its number.
    pub fn new_variable(&mut self, name: &str) -> Result<u8, String> {
        let good = name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.contains(|c: char| c.is_ascii_alphabetic())
            && name
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
        if !good {
            return Err(format!("`{name}` is no name of a variable"));
        }
        if let Some(at) = self.rule.variables.iter().position(|v| v == name) {
            return u8::try_from(at).map_err(|e| e.to_string());
        }
        let limit = self.context.settings.variables_max.min(255);
        if self.rule.variables.len() >= limit {
            return Err(format!("more than {limit} variables (variables_max)"));
        }
        self.rule.variables.push(name.to_owned());
        u8::try_from(self.rule.variables.len() - 1).map_err(|e| e.to_string())
    }

    /// The content that a modifier changes.
    pub fn last_content(&mut self) -> Result<&mut Content, String> {
        let (group, step) = self.last.ok_or("needs a content before it")?;
        match self.rule.groups[group].steps.get_mut(step) {
            Some(Step::Content(content)) => Ok(content),
            _ => Err("needs a content before it".to_owned()),
        }
    }

    /// All contents of the rule.
    pub fn contents(&self) -> impl Iterator<Item = &Content> {
        self.rule.contents().map(|(_, c)| c)
    }

    fn group(&mut self, buffer: Buffer, transforms: Vec<Transform>, new: bool) -> usize {
        let same = |g: &Group| g.buffer == buffer && g.transforms == transforms;
        match self.rule.groups.iter().position(same) {
            Some(at) if !new => at,
            _ => {
                self.rule.groups.push(Group {
                    buffer,
                    transforms,
                    steps: vec![],
                    lists: vec![],
                });
                self.rule.groups.len() - 1
            }
        }
    }

    fn push_to(&mut self, group: usize, step: Step) -> Result<(), String> {
        let is_content = matches!(step, Step::Content(_));
        let limit = self.context.settings.contents_max;
        if is_content && self.contents().count() >= limit {
            return Err(format!("more than {limit} contents (contents_max)"));
        }
        let stands = matches!(
            step,
            Step::Base64Decode(_) | Step::Asn1(_) | Step::Length(_)
        );
        let steps = &mut self.rule.groups[group].steps;
        steps.push(step);
        let place = Some((group, steps.len() - 1));
        if is_content {
            self.last = place;
        }
        if !stands {
            self.recent = place;
        }
        Ok(())
    }

    fn no_sticky(&self, buffer: Buffer) -> Result<(), String> {
        match &self.active {
            None => Ok(()),
            Some(active) => Err(format!(
                "the sticky buffer {} is still set: write {} before the content, or pkt_data before this",
                active.keyword,
                buffer.name()
            )),
        }
    }

    fn has_decoder(&self) -> bool {
        let mut steps = self.rule.groups.iter().flat_map(|g| &g.steps);
        steps.any(|s| matches!(s, Step::Base64Decode(_)))
    }

    fn buffer_was_used(&self) -> Result<(), Whole> {
        match &self.active {
            Some(active) if active.group.is_none() => Err((
                active.keyword.clone(),
                format!(
                    "the buffer {} is set and nothing is asked of it",
                    active.keyword
                ),
            )),
            _ => Ok(()),
        }
    }

    fn finish(mut self) -> Result<Rule, Whole> {
        if !self.active.as_ref().is_some_and(|a| a.goes_on) {
            self.buffer_was_used()?;
        }
        self.rule
            .groups
            .retain(|g| !g.steps.is_empty() || !g.lists.is_empty());
        if self.rule.sid == 0 {
            return Err(("sid".to_owned(), "the rule has no sid".to_owned()));
        }
        self.contents_fit()?;
        self.lengths_fit()?;
        self.directions_agree()?;
        if self.rule.threshold.is_some() && self.rule.detection_filter.is_some() {
            let reason = "threshold and detection_filter exclude each other";
            return Err(("threshold".to_owned(), reason.to_owned()));
        }
        self.rule.prefilter = self.rule.choose_prefilter();
        self.rule.warnings.extend(warning::of(&self.rule));
        Ok(self.rule)
    }

    /// Contents against what their buffer can hold.
    fn contents_fit(&mut self) -> Result<(), Whole> {
        let fault = |reason: String| Err(("content".to_owned(), reason));
        for group in &mut self.rule.groups {
            let info = group.buffer.info();
            for step in &mut group.steps {
                let Step::Content(content) = step else {
                    continue;
                };
                let upper = content.pattern.iter().any(u8::is_ascii_uppercase);
                match info.case {
                    Case::Lower if content.nocase && group.transforms.is_empty() => {
                        return Err((
                            "nocase".to_owned(),
                            format!("{} is in lower case already", info.name),
                        ));
                    }
                    Case::Lower if upper && group.transforms.is_empty() => {
                        return fault(format!(
                            "{} is in lower case: this content can never match ({}.raw is as sent)",
                            info.name, info.name
                        ));
                    }
                    Case::LowerQuietly => {
                        content.nocase = true;
                        content.pattern.make_ascii_lowercase();
                    }
                    _ => {}
                }
                let pattern = &content.pattern;
                let unfit = |t: &&Transform| !content.negated && t.never_leaves(pattern);
                if let Some(transform) = group.transforms.iter().find(unfit) {
                    return fault(format!(
                        "this content can never match what the transform {transform:?} leaves"
                    ));
                }
                let edges = [pattern.first(), pattern.last()];
                let blank = edges.iter().flatten().any(|b| b" \t".contains(b));
                if info.name == "http.method" && blank {
                    return fault("http.method has no blank at either end".to_owned());
                }
                let reason = group.buffer.no_digest(pattern);
                if let Some(reason) = reason.filter(|_| group.transforms.is_empty()) {
                    return fault(reason.to_owned());
                }
            }
        }
        Ok(())
    }

    /// `bsize` and `urilen` against the contents.
    fn lengths_fit(&self) -> Result<(), Whole> {
        for group in &self.rule.groups {
            let lengths = group.steps.iter().filter_map(|s| match s {
                Step::Length(n) => n.highest(),
                _ => None,
            });
            let sizes = self.rule.tests.iter().filter_map(|t| match t {
                Test::Number("dsize", n) if group.buffer == Buffer::PAYLOAD => n.highest(),
                _ => None,
            });
            let lengths = lengths.chain(sizes);
            let Some(highest) = lengths.min() else {
                continue;
            };
            for step in &group.steps {
                let Step::Content(content) = step else {
                    continue;
                };
                let offset = match content.offset {
                    Some(Value::Fixed(n)) => u64::try_from(n).unwrap_or(0),
                    _ => 0,
                };
                let needed = offset + content.pattern.len() as u64;
                if !content.negated && needed > highest {
                    let keyword = match group.buffer == Buffer::PAYLOAD {
                        true => "dsize",
                        false => "bsize",
                    };
                    return Err((
                        keyword.to_owned(),
                        format!(
                            "a content needs {needed} bytes of {}, which may have {highest}",
                            group.buffer.name()
                        ),
                    ));
                }
            }
        }
        Ok(())
    }

    /// Buffers of one direction against each other and against `flow`; without `flow` they say it.
    fn directions_agree(&mut self) -> Result<(), Whole> {
        for group in &self.rule.groups {
            if group.buffer.name() == "http.header.raw" && self.rule.flow.direction.is_none() {
                let reason = "needs flow:to_server or flow:to_client";
                return Err((group.buffer.name().to_owned(), reason.to_owned()));
            }
            let wanted = match group.buffer.info().direction {
                's' => FlowDirection::ToServer,
                'c' => FlowDirection::ToClient,
                _ => continue,
            };
            match self.rule.flow.direction {
                None => self.rule.flow.direction = Some(wanted),
                Some(now) if now != wanted => {
                    return Err((
                        group.buffer.name().to_owned(),
                        format!(
                            "{} is only in the other direction than flow or other buffers say",
                            group.buffer.name()
                        ),
                    ));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

impl Rule {
    /// All contents with their buffers.
    pub fn contents(&self) -> impl Iterator<Item = (Buffer, &Content)> {
        self.groups.iter().flat_map(|g| {
            g.steps.iter().filter_map(move |s| match s {
                Step::Content(content) => Some((g.buffer, content)),
                _ => None,
            })
        })
    }

    /// The content that its author marked, else the longest of the buffers that say most.
    fn choose_prefilter(&self) -> Option<(usize, usize)> {
        let mut best: Option<((u32, usize), (usize, usize))> = None;
        for (g, group) in self.groups.iter().enumerate() {
            let searchable = group.buffer.info().kind != BufferKind::Decoded;
            for (s, step) in group.steps.iter().enumerate() {
                let Step::Content(content) = step else {
                    continue;
                };
                if content.fast_pattern.is_some() {
                    return Some((g, s));
                }
                let special = group.buffer != Buffer::PAYLOAD;
                let rank = (u32::from(special), content.pattern.len());
                let usable = searchable && !content.negated && !content.pattern.is_empty();
                if usable && best.is_none_or(|b| rank > b.0) {
                    best = Some((rank, (g, s)));
                }
            }
        }
        best.map(|b| b.1)
    }
}
