//! Files of rules and what they are read against, from names to a proven set.

use super::{Classifications, Context, References, RuleSet, Settings, Source, Tuning, Variables};
use std::path::{Path, PathBuf};

/// Which files, and with what.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// Files, folders with `*.rules`, or patterns with `*` and `?` in their last part. `classification.config` and `reference.config` beside
    /// the first, or in the folder above, are read.
    pub rules: Vec<PathBuf>,
    /// Variables of rule headers, by Suricata's names or their own.
    pub variables: Vec<(String, String)>,
    /// A `threshold.config`.
    pub threshold: Option<PathBuf>,
    /// Limits.
    pub settings: Settings,
}

/// What was read.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// The rules.
    pub set: RuleSet,
    /// What changes how they alert.
    pub tuning: Tuning,
    /// Faults that cost no rule: variables that rules do not have, lines of other files that say nothing.
    pub notes: Vec<String>,
    /// How many rules of each file loaded, and how many it has that are not commented out.
    pub by_file: Vec<(PathBuf, usize, usize)>,
}

impl Files {
    /// Reads everything. One bad rule costs itself only.
    ///
    /// # Errors
    /// Which file cannot be read, or which variable cannot be so.
    pub fn load(&self) -> Result<Loaded, String> {
        self.load_with(vec![])
    }

    /// As [`Files::load`], with these rules, which have names, before those of the files.
    ///
    /// # Errors
    /// As [`Files::load`].
    pub fn load_with(&self, mut texts: Vec<(String, Vec<u8>)>) -> Result<Loaded, String> {
        let mut loaded = Loaded::default();
        let context = self.context(&mut loaded)?;
        for path in self.rule_files()? {
            let bytes = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            texts.push((path.display().to_string(), bytes));
        }
        let sources = texts.iter().map(|(file, bytes)| Source { file, bytes });
        loaded.set = RuleSet::load(&sources.collect::<Vec<_>>(), &context);
        let classed = loaded.set.rules.iter();
        let classed = classed.filter(|r| r.about.classtype.is_some()).count();
        if context.classifications.is_empty() && classed > 0 {
            loaded.notes.push(format!(
                "classification.config is not beside the rules and not in the folder above: {classed} rules name a class, \
                 whose priority and text nobody knows"
            ));
        }
        let set = &loaded.set;
        let count = |file: &str| {
            let here = set.places.iter().filter(|p| p.0 == file).count();
            let refused = set.refused.iter().filter(|r| r.file == file).count();
            (PathBuf::from(file), here, here + refused)
        };
        loaded.by_file = texts.iter().map(|(file, _)| count(file)).collect();
        Ok(loaded)
    }

    /// As [`Files::load`], for who must not go on with less than was meant: a file whose rules are all refused is a fault, too.
    ///
    /// # Errors
    /// Which file is at fault and why.
    pub fn load_whole(&self) -> Result<Loaded, String> {
        let loaded = self.load()?;
        if let Some((file, _, all)) = loaded.by_file.iter().find(|f| f.1 == 0 && f.2 > 0) {
            let name = file.display().to_string();
            let first = loaded.set.refused.iter().find(|r| r.file == name);
            let first = first.map(ToString::to_string).unwrap_or_default();
            return Err(format!(
                "{name}: none of its {all} rules can be loaded: {first}"
            ));
        }
        Ok(loaded)
    }

    /// The files that the names stand for, in order.
    ///
    /// # Errors
    /// When a folder cannot be read, or nothing fits a pattern.
    pub fn rule_files(&self) -> Result<Vec<PathBuf>, String> {
        let mut files = vec![];
        for path in &self.rules {
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
            let pattern = name.filter(|n| n.contains(['*', '?']));
            let (folder, pattern) = match &pattern {
                None if !path.is_dir() => {
                    files.push(path.clone());
                    continue;
                }
                None => (path.as_path(), "*.rules"),
                Some(pattern) => (folder_of(path), &**pattern),
            };
            let mut inside = listed(folder, pattern)?;
            if inside.is_empty() {
                return Err(format!("{}: there is no such file", path.display()));
            }
            inside.sort();
            files.append(&mut inside);
        }
        Ok(files)
    }

    /// The variables, and what of them rules do not have.
    ///
    /// # Errors
    /// Which one cannot be so.
    pub fn proven_variables(&self) -> Result<(Variables, Vec<String>), String> {
        let (mut variables, mut notes) = (Variables::default(), vec![]);
        for (key, value) in &self.variables {
            if !set(&mut variables, key, value, &self.settings)? {
                notes.push(format!(
                    "{key}: rules have no such variable; it is left out"
                ));
            }
        }
        Ok((variables, notes))
    }

    fn context(&self, loaded: &mut Loaded) -> Result<Context, String> {
        let (variables, notes) = self.proven_variables()?;
        loaded.notes.extend(notes);
        let mut context = Context {
            settings: self.settings.clone(),
            variables,
            ..Context::default()
        };
        if let Some(text) = self.beside("classification.config")? {
            let (read, faults) = Classifications::read(&text);
            note("classification.config", &faults, &mut loaded.notes);
            context.classifications = read;
        }
        if let Some(text) = self.beside("reference.config")? {
            let (read, faults) = References::read(&text);
            note("reference.config", &faults, &mut loaded.notes);
            context.references = read;
        }
        if let Some(path) = &self.threshold {
            let name = path.display().to_string();
            let bytes = std::fs::read(path).map_err(|e| format!("{name}: {e}"))?;
            let text = String::from_utf8_lossy(&bytes);
            let (read, faults) = Tuning::read(&text, &context.variables, &context.settings);
            note(&name, &faults, &mut loaded.notes);
            loaded.tuning = read;
        }
        Ok(context)
    }

    /// A file beside the first rules or, as Debian has them, in the folder above, if it is there.
    fn beside(&self, name: &str) -> Result<Option<String>, String> {
        let first = self.rules.first().map_or(Path::new("."), PathBuf::as_path);
        let folder = if first.is_dir() {
            first
        } else {
            folder_of(first)
        };
        let above = [folder.join(name), folder.join("..").join(name)];
        let Some(path) = above.into_iter().find(|p| p.is_file()) else {
            return Ok(None);
        };
        let bytes = std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }
}

fn set(
    variables: &mut Variables,
    key: &str,
    value: &str,
    settings: &Settings,
) -> Result<bool, String> {
    let taken = variables.set(key, value, settings);
    taken.map_err(|reason| format!("{key} = {value}: {reason}"))
}

fn note(file: &str, faults: &[(u32, String)], notes: &mut Vec<String>) {
    let lines = faults.iter();
    notes.extend(lines.map(|(line, reason)| format!("{file}:{line}: {reason}")));
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    }
}

/// The files of a folder whose names fit.
fn listed(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>, String> {
    let fault = |e: std::io::Error| format!("{}: {e}", folder.display());
    let mut found = vec![];
    for entry in std::fs::read_dir(folder).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if fits(pattern.as_bytes(), name.as_bytes()) && path.is_file() {
            found.push(path);
        }
    }
    Ok(found)
}

/// Whether a name fits a pattern: `*` is any text, `?` one byte.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    // where the last star was, and what it has taken so far
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
            }
            Some(b) if *b == b'?' || *b == name[n] => (p, n) = (p + 1, n + 1),
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (p, n) = (at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_names() {
        for (pattern, name, want) in [
            ("*.rules", "a.rules", true),
            ("*.rules", "a.rules.bak", false),
            ("emerging-*.r?les", "emerging-dns.rules", true),
            ("*a*b", "xaybab", true),
            ("*a*b", "xayba", false),
            ("", "", true),
            ("?", "", false),
        ] {
            assert_eq!(
                fits(pattern.as_bytes(), name.as_bytes()),
                want,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn a_file_without_one_good_rule_is_a_fault_only_for_who_asks() {
        let folder = tempfile::tempdir().unwrap();
        let write =
            |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let rule = "alert tcp any any -> $EXTRA_NET any (content:\"a\"; sid:1;)\n";
        write("a.rules", rule);
        write("b.rules", "nonsense here\n");
        let mut files = Files {
            rules: vec![folder.path().join("?.rules")],
            variables: vec![
                ("EXTRA_NET".into(), "10.0.0.0/8".into()),
                ("no.such.key".into(), "1".into()),
            ],
            ..Files::default()
        };
        let loaded = files.load().unwrap();
        assert_eq!((loaded.set.rules.len(), loaded.set.refused.len()), (1, 1));
        assert_eq!(loaded.notes.len(), 1, "{:?}", loaded.notes);
        let why = files.load_whole().unwrap_err();
        assert!(why.contains("b.rules: none of its 1 rules"), "{why}");
        files.rules = vec![folder.path().join("c*.rules")];
        assert!(files.load().unwrap_err().contains("there is no such file"));
    }
}
