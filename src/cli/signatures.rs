//! The rules of `replay` and `rules test`: options of Suricata to an engine, alerts to lines.

use super::Usage;
use super::rule_costs::RuleCosts;
use super::rules::Files;
use super::text;
use crate::detect::signature::engine::{Alert, Cache, Demoted, Maker, Program, RuleCost};
use crate::detect::signature::{EngineSettings, Rule, Settings};
use crate::reassemble;
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Rules, and how packets are matched with them.
#[derive(Clone, Debug, Default, Args)]
pub struct SignatureArguments {
    /// A file of rules, or a folder with `*.rules`; may be given several times. Further ones may follow it
    #[arg(long, value_name = "FILE")]
    pub rules: Vec<PathBuf>,
    /// Whether segments with wrong checksums are left out of their streams
    #[arg(short = 'k', value_enum, default_value_t = Checks::All, value_name = "CHECKS")]
    pub checks: Checks,
    /// A setting by Suricata's name: vars.address-groups.HOME_NET=10.0.0.0/8, stream.midstream=true
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// A threshold.config
    #[arg(long, value_name = "FILE")]
    pub threshold: Option<PathBuf>,
    /// Write what each rule cost and gave into this file, for `rules top`
    #[arg(long, value_name = "FILE")]
    pub costs: Option<PathBuf>,
    /// Keep what was compiled of the rules in this file, so that they are ready sooner the next time
    #[arg(long, value_name = "FILE")]
    pub rule_cache: Option<PathBuf>,
}

/// Which checksums are checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Checks {
    /// Those of TCP.
    #[default]
    All,
    /// None.
    None,
}

impl SignatureArguments {
    /// Files of rules that stand among `files` are rules, too.
    pub fn with(&mut self, files: &mut Vec<PathBuf>) {
        let (rules, rest): (Vec<_>, Vec<_>) = std::mem::take(files)
            .into_iter()
            .partition(|f| f.extension().is_some_and(|e| e == "rules"));
        self.rules.extend(rules);
        *files = rest;
    }

    /// Reads the rules.
    ///
    /// # Errors
    /// When a file cannot be read or a setting means nothing.
    pub(super) fn load(&self, reassemble: &reassemble::Settings) -> Result<Option<Maker>> {
        if self.rules.is_empty() {
            return Ok(None);
        }
        let mut engine = EngineSettings {
            checksums: self.checks == Checks::All,
            ..EngineSettings::default()
        };
        let mut set = vec![];
        let mut threshold = self.threshold.clone();
        for pair in &self.set {
            let Some((key, value)) = pair.split_once('=') else {
                bail!(Usage(format!("--set {pair}: write KEY=VALUE")));
            };
            if key.trim() == "threshold-file" {
                threshold = Some(PathBuf::from(value.trim()));
            } else if !setting(key.trim(), value.trim(), &mut engine)
                .map_err(|fault| Usage(format!("--set {pair}: {fault}")))?
            {
                set.push(pair.clone());
            }
        }
        let files = Files {
            files: self.rules.clone(),
            set,
            threshold,
        };
        let loaded = files.load()?;
        for refused in &loaded.set.refused {
            eprintln!("flowhouse: {refused}");
        }
        let rules = Settings::default();
        let cache = self.rule_cache.as_ref().map(Cache::at);
        let program = Program::new(&loaded.set, &loaded.tuning, &rules, cache.as_ref());
        let program = program.map_err(anyhow::Error::msg)?;
        if let Some(cache) = &cache {
            for fault in program.cache_use().faults() {
                eprintln!("flowhouse: {}: {fault}", cache.path.display());
            }
        }
        let settings = (&rules, &engine);
        Ok(Some(Maker::new(program, settings, reassemble, 0)))
    }
}

/// Takes a setting of Suricata; false where it is none of the engine.
fn setting(key: &str, value: &str, engine: &mut EngineSettings) -> Result<bool> {
    match key {
        "stream.midstream" => {
            engine.midstream = match value {
                "true" | "yes" | "1" => true,
                "false" | "no" | "0" => false,
                _ => bail!("is true or false"),
            };
        }
        "stream.checksum-validation" => engine.checksums = matches!(value, "true" | "yes" | "1"),
        k if k.ends_with("response-body-limit") || k.ends_with("request-body-limit") => {
            engine.body_bytes_max = size(value)?;
        }
        // bodies are unpacked by as many layers as they have
        k if k.ends_with("response-body-decompress-layer-limit") => {}
        _ => return Ok(false),
    }
    Ok(true)
}

/// A number of bytes, as Suricata writes it: 100kb. 0 is no limit.
fn size(text: &str) -> Result<usize> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        _ => bail!("`{text}` is no size"),
    };
    let number: usize = digits.trim().parse()?;
    Ok(match number.saturating_mul(unit) {
        0 => 16 << 20,
        bytes => bytes,
    })
}

/// Takes what rules raise: lines of `alerts.ndjson`, and how many of each rule.
#[derive(Debug, Default)]
pub(super) struct Alerts {
    out: Option<BufWriter<File>>,
    ambiguous: Option<BufWriter<File>>,
    line: Vec<u8>,
    by_rule: BTreeMap<(u32, u32), (u64, String)>,
    /// Hits of each rule that are shown.
    shown: u64,
    fault: Option<anyhow::Error>,
    costs: RuleCosts,
    costs_to: Option<PathBuf>,
}

impl Alerts {
    /// Into `alerts.ndjson` of a folder, or nowhere.
    pub fn create(folder: Option<&Path>) -> Result<Self> {
        let mut alerts = Self::default();
        if let Some(folder) = folder {
            std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
            let create = |name: &str| {
                let path = folder.join(name);
                let file = File::create(&path).with_context(|| path.display().to_string())?;
                anyhow::Ok(Some(BufWriter::new(file)))
            };
            alerts.out = create("alerts.ndjson")?;
            alerts.ambiguous = create("alerts_ambiguous.ndjson")?;
        }
        Ok(alerts)
    }

    /// Shows the first hits of each rule.
    pub fn showing(mut self, hits: u64) -> Self {
        self.shown = hits;
        self
    }

    /// Writes what rules cost, too, if there is somewhere to write it.
    pub fn with_costs(mut self, path: Option<&Path>) -> Self {
        self.costs_to = path.map(Path::to_owned);
        self
    }

    /// Takes what a rule cost in one shard.
    pub fn cost(&mut self, rule: &Rule, cost: &RuleCost) {
        self.costs.add(rule, cost);
    }

    /// Says that a rule cost too much.
    pub fn demoted(&self, demoted: &Demoted) {
        eprintln!("flowhouse: rule {demoted}");
    }

    /// Takes one.
    pub fn take(&mut self, alert: &Alert) {
        let rule = alert.rule();
        if !alert.is_ambiguous {
            let counted = self.by_rule.entry((rule.gid, rule.sid));
            let (count, _) = counted.or_insert_with(|| (0, rule.about.message.clone()));
            *count += 1;
            if *count <= self.shown
                && let Err(error) = super::say(hit(alert))
            {
                self.fault.get_or_insert(error);
            }
        }
        let out = match alert.is_ambiguous {
            true => &mut self.ambiguous,
            false => &mut self.out,
        };
        if let Some(out) = out {
            self.line.clear();
            alert.write(&mut self.line);
            if let Err(error) = out.write_all(&self.line) {
                self.fault
                    .get_or_insert(anyhow::Error::new(error).context("alerts.ndjson"));
            }
        }
    }

    /// All were taken: lines of how many each rule raised.
    ///
    /// # Errors
    /// When a line could not be written.
    pub fn finish(mut self) -> Result<Vec<String>> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        for out in [&mut self.out, &mut self.ambiguous].into_iter().flatten() {
            out.flush().context("alerts.ndjson")?;
        }
        if let Some(path) = &self.costs_to {
            self.costs.write(path)?;
        }
        let line = |((gid, sid), (count, message)): (&(u32, u32), &(u64, String))| {
            format!("{count:>8}  {gid}:{sid}  {message}")
        };
        Ok(self.by_rule.iter().map(line).collect())
    }
}

/// A hit, for somebody who reads it: the rule, the packet, and each place that matched.
fn hit(alert: &Alert) -> String {
    let rule = alert.rule();
    let [from, to] = [0, 1].map(|n| match (alert.addrs[n], alert.ports[n]) {
        (addr, 0) => addr.to_string(),
        (addr, port) => std::net::SocketAddr::new(addr.to_ip(), port).to_string(),
    });
    let mut text = format!(
        "{}:{}  {}\n    frame {}, {from} -> {to}",
        rule.gid,
        rule.sid,
        text::printable(&rule.about.message),
        alert.frame
    );
    for m in &alert.matches {
        let cut = if m.bytes.len() < m.length as usize {
            "..."
        } else {
            ""
        };
        text += &format!(
            "\n    {} at {}, {} bytes: \"{}\"{cut}",
            m.buffer,
            m.offset,
            m.length,
            m.bytes.escape_ascii()
        );
    }
    text
}

/// Options of Suricata may be one argument: `-k none --set stream.midstream=true`. They are taken apart.
pub(super) fn apart(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut out = vec![];
    for argument in arguments {
        match argument.to_str() {
            Some(text) if text.starts_with("-k ") || text.starts_with("--set ") => {
                out.extend(text.split_whitespace().map(OsString::from));
            }
            _ => out.push(argument),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_in_one_argument() {
        let given = ["flowhouse", "--set a=b -k none", "-k", "all", "a b"];
        let got = apart(given.iter().map(OsString::from));
        let want = [
            "flowhouse",
            "--set",
            "a=b",
            "-k",
            "none",
            "-k",
            "all",
            "a b",
        ];
        assert_eq!(got, want.map(OsString::from));
    }

    #[test]
    fn settings_by_their_names() {
        let mut engine = EngineSettings::default();
        assert!(setting("stream.midstream", "true", &mut engine).unwrap() && engine.midstream);
        assert!(setting("stream.midstream", "maybe", &mut engine).is_err());
        assert!(!setting("HOME_NET", "any", &mut engine).unwrap());
        assert_eq!(size("100kb").unwrap(), 102_400);
        assert!(size("many").is_err());
    }
}
