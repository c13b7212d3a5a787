//! Keywords that look a value up in a list: `dataset`, `datarep`, `filemd5`, `filesha1`, `filesha256`.

use super::super::dataset::{Listed, ValueKind};
use super::super::draft::Draft;
use super::super::rule::{Compare, Test};
use super::super::syntax::OptionText;
use super::super::warning::Warning;
use super::{Keyword, Need, parts};
use std::path::PathBuf;

#[rustfmt::skip]
pub(super) const KEYWORDS: &[Keyword] = &[
    Keyword { name: "dataset", value: Need::Value, apply: dataset },
    Keyword { name: "datarep", value: Need::Value, apply: datarep },
    Keyword { name: "filemd5", value: Need::Value, apply: digest },
    Keyword { name: "filesha1", value: Need::Value, apply: digest },
    Keyword { name: "filesha256", value: Need::Value, apply: digest },
];

/// What stands behind the name of a list.
#[derive(Default)]
struct Words {
    kind: Option<ValueKind>,
    file: Option<PathBuf>,
    is_saved: bool,
}

/// A command, the name of a list, and `type`, `load`, `state`, `save`, `memcap`, `hashsize`.
fn dataset(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let parts = parts(option);
    let [command, name, words @ ..] = &parts[..] else {
        return Err("is a command, the name of a list, and what it holds".to_owned());
    };
    let words = read_words(draft, words)?;
    if words.is_saved {
        draft.rule.warnings.push(Warning::NotSaved(name.clone()));
    }
    let context = draft.context;
    let file = words.file.as_deref();
    let named = |name: &str| {
        context
            .datasets
            .named(name, words.kind, file, false, &context.settings)
    };
    let list = match command.as_str() {
        "isset" => Listed::IsIn(named(name)?),
        "isnotset" => Listed::IsNotIn(named(name)?),
        "set" => Listed::Add(named(name)?),
        "unset" => Listed::Remove(named(name)?),
        other => {
            return Err(format!(
                "`{other}` is no command: set, unset, isset, isnotset"
            ));
        }
    };
    if let Listed::Add(list) = &list {
        list.grow();
    }
    draft.push_list(list)
}

/// The name of a list, an operator, a score, and as with `dataset`.
fn datarep(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let parts = parts(option);
    let [name, operator, score, words @ ..] = &parts[..] else {
        return Err("is the name of a list, an operator and a score".to_owned());
    };
    let compare = match operator.as_str() {
        "<" => Compare::Less,
        ">" => Compare::Greater,
        "==" | "=" => Compare::Equal,
        other => return Err(format!("`{other}` is no operator: <, >, ==")),
    };
    let score = score
        .parse()
        .map_err(|_| format!("`{score}` is no score from 0 to {}", u16::MAX))?;
    let words = read_words(draft, words)?;
    let context = draft.context;
    let file = words.file.as_deref();
    let list = context
        .datasets
        .named(name, words.kind, file, true, &context.settings)?;
    draft.push_list(Listed::Score(list, compare, score))
}

fn read_words(draft: &Draft<'_>, words: &[String]) -> Result<Words, String> {
    let mut read = Words::default();
    for word in words {
        let (key, value) = word
            .split_once(char::is_whitespace)
            .ok_or_else(|| format!("`{word}` is a key and a value"))?;
        let value = value.trim();
        match key {
            "type" => {
                let kind = ValueKind::parse(value);
                let unknown = || format!("`{value}` is no type: string, md5, sha256, ipv4, ip");
                read.kind = Some(kind.ok_or_else(unknown)?);
            }
            "load" => read.file = Some(draft.context.folder.join(value)),
            "state" => {
                let file = draft.context.folder.join(value);
                (read.file, read.is_saved) = (Some(file).filter(|f| f.exists()), true);
            }
            "save" => read.is_saved = true,
            // how much Suricata keeps of a list: here `list_bytes_max` and `list_entries_max`
            "memcap" | "hashsize" => {}
            other => return Err(format!("`{other}` is not known here")),
        }
    }
    Ok(read)
}

/// A file with digests, `!` before it: in none of them.
fn digest(draft: &mut Draft<'_>, option: &OptionText) -> Result<(), String> {
    let text = option.text();
    let text = text.trim().trim_matches('"');
    let (negated, file) = match text.strip_prefix('!') {
        Some(rest) => (true, rest.trim()),
        None => (false, text),
    };
    let (name, kind) = match option.name.as_str() {
        "filemd5" => ("filemd5", ValueKind::Md5),
        "filesha1" => ("filesha1", ValueKind::Sha1),
        _ => ("filesha256", ValueKind::Sha256),
    };
    let context = draft.context;
    let path = context.folder.join(file);
    let list = context.datasets.digests(&path, kind, &context.settings)?;
    draft.need(super::super::buffer::FILES, name)?;
    draft.rule.tests.push(Test::Digest(name, negated, list));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{refuses, takes};

    #[test]
    fn lists_and_their_near_misses() {
        takes(
            "dns",
            &[
                "dns.query; dataset:set,seen,type string;",
                "dns.query; to_sha256; dataset:isnotset,seen,type sha256, memcap 10mb, hashsize 1024;",
                "dns.query; content:\"a\"; dataset:isset, seen , type string, save seen.lst;",
            ],
        );
        takes("ip", &["ip.src; dataset:isset,bad,type ip;"]);
        refuses(
            "dns",
            &[
                "dataset:isset,seen,type string;",
                "dns.query; dataset:isset,seen;",
                "dns.query; dataset:has,seen,type string;",
                "dns.query; dataset:isset,seen,type word;",
                "dns.query; dataset:isset,seen,type string,load /no/such/file;",
                "dns.query; dataset:isset,seen,type string,colour red;",
                "dns.query; datarep:seen,>;",
                "dns.query; datarep:seen,~,5,type string;",
                "dns.query; datarep:seen,>,70000,type string;",
            ],
        );
        refuses("http", &["filemd5:/no/such/file;"]);
    }
}
