//! Named prefixes: from the settings, from files, and what was fetched.

use super::Error;
use super::error::Faults;
use super::prefix_map::PrefixMap;
use super::settings::{Network, Networks as Settings, Remote};
use super::slug::cut;
use crate::model::{Addr, Learned, NameTable};
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Prefixes and their names. Immutable once built.
#[derive(Debug)]
pub struct Networks {
    /// Address to the id of a name in `names`.
    pub map: PrefixMap,
    /// Names; 0 is the empty one.
    pub names: NameTable,
    /// By name: site, tenant, role, zone, number of prefixes.
    attributes: BTreeMap<String, ([String; 4], u32)>,
}

impl Default for Networks {
    fn default() -> Self {
        Networks {
            map: PrefixMap::default(),
            names: NameTable::new(""),
            attributes: BTreeMap::new(),
        }
    }
}

impl Networks {
    /// Of two equal prefixes the later one counts.
    pub fn new<'a>(entries: impl IntoIterator<Item = &'a Network>) -> Networks {
        let mut networks = Networks::default();
        let mut ids: HashMap<&str, u32> = HashMap::new();
        let mut pairs = vec![];
        for e in entries {
            let name = cut(e.name.trim());
            let names = &mut networks.names;
            let id = *ids.entry(name).or_insert_with(|| names.push(name));
            pairs.push((e.prefix, id));
            let texts = [&e.site, &e.tenant, &e.role, &e.zone].map(|t| cut(t.trim()).to_owned());
            let kept = networks.attributes.entry(name.into()).or_default();
            *kept = (texts, kept.1 + 1);
        }
        networks.map = PrefixMap::new(pairs);
        networks
    }

    /// The zone of an address; empty where it has none.
    pub fn zone(&self, address: Addr) -> &str {
        let name = self.names.name(self.map.get(&address));
        self.attributes.get(name).map_or("", |(texts, _)| &texts[3])
    }

    /// What the store is told.
    pub fn declared(&self) -> impl Iterator<Item = Learned> {
        self.attributes.iter().map(|(name, (texts, prefixes))| {
            let [site, tenant, role, zone] = texts.clone();
            Learned::Network {
                name: name.clone(),
                site,
                tenant,
                role,
                zone,
                prefixes: *prefixes,
            }
        })
    }
}

/// Everything that the settings and their files name.
pub fn load(settings: &Settings) -> Result<Vec<Network>, Error> {
    let mut faults = Faults::default();
    let mut all = vec![];
    for entry in &settings.list {
        if entry.get_ref().name.trim().is_empty() {
            faults.add(Error::At {
                at: entry.span().start,
                message: "the network has no name".into(),
            });
        }
        all.push(entry.get_ref().clone());
    }
    for file in &settings.files {
        let found = read(file.get_ref(), settings.file_bytes_max);
        all.extend(faults.take(found).into_iter().flatten());
    }
    let (key, count, max) = ("networks.prefixes_max", all.len(), settings.prefixes_max);
    if count > max {
        faults.add(Error::TooMany { key, count, max });
    }
    faults.end(all)
}

/// The prefixes of one file.
fn read(path: &Path, bytes_max: u64) -> Result<Vec<Network>, Error> {
    let fault = |message: String| Error::file(path, 0, message);
    let size = std::fs::metadata(path)
        .map_err(|e| fault(format!("cannot be read: {e}")))?
        .len();
    if size > bytes_max {
        return Err(fault(format!(
            "{size} bytes are more than networks.file_bytes_max = {bytes_max}"
        )));
    }
    let text = std::fs::read_to_string(path).map_err(|e| fault(format!("cannot be read: {e}")))?;
    let all = match path.extension().and_then(|e| e.to_str()) {
        Some("csv") => csv(path, &text),
        Some("toml") => toml_list(path, &text),
        Some("json") => json(text.as_bytes(), "", &BTreeMap::new())
            .map_err(|(line, m)| Error::file(path, line, m)),
        _ => Err(fault("the name must end in .csv, .toml or .json".into())),
    }?;
    match all.is_empty() {
        true => Err(fault("it names no network: is it cut short?".into())),
        false => Ok(all),
    }
}

fn csv(path: &Path, text: &str) -> Result<Vec<Network>, Error> {
    let mut faults = Faults::default();
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .comment(Some(b'#'))
        .from_reader(text.as_bytes());
    let mut all = vec![];
    for row in reader.deserialize::<Network>() {
        match row {
            Ok(network) if network.name.is_empty() => {
                let line = all.len() + 2;
                faults.add(Error::file(path, line, "the network has no name"));
            }
            Ok(network) => all.push(network),
            Err(error) => {
                let line = error.position().map_or(0, |p| p.line() as usize);
                let what = match error.kind() {
                    csv::ErrorKind::Deserialize { err, .. } => err.to_string(),
                    _ => error.to_string(),
                };
                let cure = "the columns are prefix, name, site, tenant, role, zone, named in the first line";
                faults.add(Error::file(path, line, format!("{what} ({cure})")));
            }
        }
    }
    faults.end(all)
}

fn toml_list(path: &Path, text: &str) -> Result<Vec<Network>, Error> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct List {
        networks: Vec<Network>,
    }
    toml::from_str::<List>(text)
        .map(|l| l.networks)
        .map_err(|error| {
            let at = error.span().map_or(0, |s| s.start.min(text.len()));
            let before = &text.as_bytes()[..at];
            let line = before.iter().filter(|b| **b == b'\n').count() + 1;
            let column = before.iter().rev().take_while(|b| **b != b'\n').count() + 1;
            Error::File {
                path: path.into(),
                line,
                column,
                message: format!(
                    "{} (write [[networks]] with prefix and name)",
                    error.message().trim()
                ),
            }
        })
}

/// The prefixes in a JSON answer; on failure the line (0 where it is of none) and what is wrong.
pub fn json(
    text: &[u8],
    items: &str,
    fields: &BTreeMap<String, String>,
) -> Result<Vec<Network>, (usize, String)> {
    let whole: Value = serde_json::from_slice(text).map_err(|e| (e.line(), e.to_string()))?;
    let list = whole.pointer(items).and_then(Value::as_array);
    let list = list.ok_or_else(|| {
        let place = if items.is_empty() {
            "the answer"
        } else {
            items
        };
        (
            0,
            format!("{place:?} is no list of objects: point `items` to it"),
        )
    })?;
    let mut all = vec![];
    for (n, item) in list.iter().enumerate() {
        let field = |key: &str| {
            let own = format!("/{key}");
            let found = item.pointer(fields.get(key).unwrap_or(&own));
            found.map(text_of).unwrap_or_default()
        };
        let prefix = field("prefix");
        let mut network = Network {
            prefix: prefix
                .parse()
                .map_err(|e| (0, format!("object {}: {e}", n + 1)))?,
            name: field("name"),
            site: field("site"),
            tenant: field("tenant"),
            role: field("role"),
            zone: field("zone"),
        };
        // a field of one's choice, as a description, is often left empty; that it is nowhere is a wrong pointer
        let chosen = fields.get("name").and_then(|p| item.pointer(p));
        if chosen.is_some_and(|v| v.is_null() || v.as_str().is_some_and(|s| s.trim().is_empty())) {
            network.name = prefix.clone();
        }
        if network.name.trim().is_empty() {
            return Err((0, format!("object {} ({prefix}) has no name", n + 1)));
        }
        all.push(network);
    }
    Ok(all)
}

/// A remote's answer.
pub fn answer(remote: &Remote, body: &[u8]) -> Result<Vec<Network>, String> {
    json(body, &remote.items, &remote.fields).map_err(|(_, message)| message)
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(n) => n.to_string(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Addr;

    fn file(name: &str, text: &str) -> (tempfile::TempDir, Settings) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        let settings = toml::from_str(&format!("files = [{:?}]", path.display().to_string()));
        (dir, settings.expect("valid"))
    }

    #[test]
    fn all_forms_say_the_same() {
        let csv = "prefix,name,site,zone\n# ours\n10.1.0.0/16, berlin , ber,inside\n2001:db8::/32,lab,,\n";
        let toml = "[[networks]]\nprefix = \"10.1.0.0/16\"\nname = \"berlin\"\nsite = \"ber\"\nzone = \"inside\"\n[[networks]]\nprefix = \"2001:db8::/32\"\nname = \"lab\"\n";
        let json = r#"[{"prefix":"10.1.0.0/16","name":"berlin","site":"ber","zone":"inside"},{"prefix":"2001:db8::/32","name":"lab"}]"#;
        for (name, text) in [("a.csv", csv), ("a.toml", toml), ("a.json", json)] {
            let (_dir, settings) = file(name, text);
            let all = load(&settings).unwrap_or_else(|e| panic!("{name}: {e}"));
            let n = Networks::new(&all);
            let id = n.map.get(&Addr::from_v4([10, 1, 2, 3]));
            assert_eq!(n.names.name(id), "berlin", "{name}");
            let told: Vec<Learned> = n.declared().collect();
            assert_eq!(told.len(), 2);
            assert!(
                matches!(&told[0], Learned::Network { site, zone, prefixes: 1, .. } if site == "ber" && zone == "inside")
            );
        }
    }

    #[test]
    fn faults_have_their_line() {
        let (_dir, settings) = file(
            "a.csv",
            "prefix,name\n10.0.0.0/8,a\n10.0.0.1/8,b\n10.1.0.0/16,c,d\nx,e\n",
        );
        let fault = load(&settings).expect_err("three");
        let text = fault.to_string();
        assert_eq!(fault.each().len(), 3, "{text}");
        assert!(
            text.contains("a.csv:3: ") && text.contains("did you mean 10.0.0.0/8?"),
            "{text}"
        );
        assert!(text.contains("a.csv:5: "), "{text}");
        let (_dir, settings) = file(
            "a.toml",
            "[[networks]]\nprefix = \"10.0.0.0/8\"\nnam = \"a\"\n",
        );
        assert!(
            load(&settings)
                .expect_err("unknown key")
                .to_string()
                .contains("a.toml:3:1: ")
        );
        let (_dir, mut settings) = file("a.json", "[\n{\"prefix\": }]");
        assert!(
            load(&settings)
                .expect_err("broken")
                .to_string()
                .contains("a.json:2: ")
        );
        settings.file_bytes_max = 3;
        assert!(
            load(&settings)
                .expect_err("large")
                .to_string()
                .contains("file_bytes_max = 3")
        );
        let (_dir, settings) = file("a.yml", "");
        assert!(load(&settings).is_err());
        let gone: Settings = toml::from_str("files = [\"/nowhere/x.csv\"]").expect("valid");
        assert!(
            load(&gone)
                .expect_err("gone")
                .to_string()
                .contains("cannot be read")
        );
    }

    #[test]
    fn answers_are_read_where_the_fields_are() {
        let body = br#"{"results":[{"ip_prefix":"52.94.76.0/22","service":"AMAZON","region":{"slug":"us-west-2"}}]}"#;
        let text = "url = \"http://x\"\nitems = \"/results\"\nfields = { prefix = \"/ip_prefix\", name = \"/service\", site = \"/region/slug\" }";
        let remote: Remote = toml::from_str(text).expect("valid");
        let all = answer(&remote, body).expect("readable");
        assert_eq!((&*all[0].name, &*all[0].site), ("AMAZON", "us-west-2"));
        for empty in ["null", "\"\"", "\" \""] {
            let body =
                format!("{{\"results\":[{{\"ip_prefix\":\"1.0.0.0/8\",\"service\":{empty}}}]}}");
            let all = answer(&remote, body.as_bytes()).expect("readable");
            assert_eq!(&*all[0].name, "1.0.0.0/8");
        }
        for wrong in [
            &b"{}"[..],
            b"{\"results\":[{}]}",
            b"{",
            b"{\"results\":[{\"ip_prefix\":\"1.0.0.0/8\"}]}",
        ] {
            assert!(answer(&remote, wrong).is_err());
        }
    }
}
