//! Countries and AS numbers from databases in MaxMind's format, flattened once: the format is made to be small on disk, and
//! a look-up in it costs ten times what one in [`PrefixMap`] costs.

use super::Error;
use super::prefix::Prefix;
use super::prefix_map::PrefixMap;
use crate::model::country_id;
use maxminddb::{LookupResult, PathElement, Reader, WithinOptions};
use std::collections::HashMap;
use std::path::Path;

/// Country numbers by address.
pub fn countries(path: &Path) -> Result<PrefixMap, Error> {
    flatten(path, |r| {
        let code = PATHS_COUNTRY.iter().find_map(|p| text(r, p));
        u32::from(code.map_or(0, |c| country_id(&c)))
    })
}

/// AS numbers by address.
pub fn numbers(path: &Path) -> Result<PrefixMap, Error> {
    flatten(path, |r| {
        let number = PATHS_AS
            .iter()
            .find_map(|p| r.decode_path::<u32>(p).ok().flatten());
        let written = || PATHS_AS.iter().find_map(|p| text(r, p));
        let parsed = |t: String| t.trim_start_matches("AS").parse().ok();
        number.or_else(|| written().and_then(parsed)).unwrap_or(0)
    })
}

type Record<'a> = LookupResult<'a, Vec<u8>>;

fn flatten(path: &Path, value: impl Fn(&Record<'_>) -> u32) -> Result<PrefixMap, Error> {
    let fault = |e: &dyn std::fmt::Display| {
        Error::file(
            path,
            0,
            format!("is no database in MaxMind's format that can be read: {e}"),
        )
    };
    let size = std::fs::metadata(path).map_err(|e| fault(&e))?.len();
    if size > BYTES_MAX {
        return Err(fault(&format!(
            "{size} bytes, at most {BYTES_MAX} are possible"
        )));
    }
    let reader = Reader::open_readfile(path).map_err(|e| fault(&e))?;
    let mut known: HashMap<usize, u32> = HashMap::new();
    let mut entries: Vec<(Prefix, u32)> = vec![];
    for record in reader
        .networks(WithinOptions::default())
        .map_err(|e| fault(&e))?
    {
        let record = record.map_err(|e| fault(&e))?;
        let network = record.network().map_err(|e| fault(&e))?;
        // many networks share one record
        let value = match record.offset() {
            Some(offset) => *known.entry(offset).or_insert_with(|| value(&record)),
            None => continue,
        };
        if entries.len() >= NETWORKS_MAX {
            return Err(fault(&format!("more than {NETWORKS_MAX} networks")));
        }
        entries.extend(Prefix::new(network.ip(), network.prefix()).map(|p| (p, value)));
    }
    if !entries.is_empty() && entries.iter().all(|e| e.1 == 0) {
        return Err(fault(
            &"it has neither countries nor AS numbers where this one is looked for",
        ));
    }
    Ok(PrefixMap::new(entries))
}

fn text(record: &Record<'_>, path: &[PathElement<'_>]) -> Option<String> {
    record.decode_path::<String>(path).ok().flatten()
}

/// Where the databases that are about keep the code of a country.
const PATHS_COUNTRY: &[&[PathElement<'_>]] = &[
    &[PathElement::Key("country"), PathElement::Key("iso_code")],
    &[
        PathElement::Key("registered_country"),
        PathElement::Key("iso_code"),
    ],
    &[PathElement::Key("country_code")],
    &[PathElement::Key("country")],
];

/// Where they keep the AS number.
const PATHS_AS: &[&[PathElement<'_>]] = &[
    &[PathElement::Key("autonomous_system_number")],
    &[PathElement::Key("asn")],
    &[PathElement::Key("as_number")],
];

/// Largest database, bytes.
const BYTES_MAX: u64 = 1 << 30;
/// Most networks of a database.
const NETWORKS_MAX: usize = 20_000_000;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::{Addr, country};
    use std::collections::BTreeMap;
    use std::net::IpAddr;
    use std::path::PathBuf;

    /// A value in the format's data section.
    pub enum Datum<'a> {
        Text(&'a str),
        Number(u32),
        Map(Vec<(&'a str, Datum<'a>)>),
        Short(u16),
        Long(u64),
        EmptyList,
    }

    fn write(out: &mut Vec<u8>, datum: &Datum<'_>) {
        match datum {
            Datum::Text(t) => {
                out.push(2 << 5 | t.len() as u8);
                out.extend(t.as_bytes());
            }
            Datum::Number(n) => {
                out.push(6 << 5 | 4);
                out.extend(n.to_be_bytes());
            }
            Datum::Short(n) => {
                out.push(5 << 5 | 2);
                out.extend(n.to_be_bytes());
            }
            Datum::Long(n) => {
                out.extend([8, 2]);
                out.extend(n.to_be_bytes());
            }
            // an extended type: size 0, number 11
            Datum::EmptyList => out.extend([0, 4]),
            Datum::Map(pairs) => {
                out.push(7 << 5 | pairs.len() as u8);
                for (key, value) in pairs {
                    write(out, &Datum::Text(key));
                    write(out, value);
                }
            }
        }
    }

    /// A database of IPv4 prefixes in an IPv6 tree of 24-bit records.
    pub fn database(entries: &[([u8; 4], u8, Datum<'_>)]) -> Vec<u8> {
        const NONE: u32 = u32::MAX;
        let mut nodes = vec![[NONE; 2]];
        let mut data = vec![];
        for (address, length, datum) in entries {
            let offset = data.len() as u32;
            write(&mut data, datum);
            // IPv4 lies under ::/96
            let bits = u128::from(u32::from_be_bytes(*address));
            let mut node = 0;
            for depth in 0..u32::from(*length) + 96 {
                let side = (bits >> (127 - depth) & 1) as usize;
                if depth == u32::from(*length) + 95 {
                    nodes[node][side] = 1 << 31 | offset;
                } else {
                    if nodes[node][side] == NONE {
                        nodes.push([NONE; 2]);
                        nodes[node][side] = nodes.len() as u32 - 1;
                    }
                    node = nodes[node][side] as usize;
                }
            }
        }
        let count = nodes.len() as u32;
        let mut out = vec![];
        for side in nodes.iter().flatten() {
            let record = match *side {
                NONE => count,
                leaf if leaf >> 31 == 1 => count + 16 + (leaf & !(1 << 31)),
                node => node,
            };
            out.extend(&record.to_be_bytes()[1..]);
        }
        out.extend([0; 16]);
        out.extend(data);
        out.extend(b"\xab\xcd\xefMaxMind.com");
        let (n, s) = (Datum::Number, Datum::Short);
        let meta = vec![
            ("node_count", n(count)),
            ("record_size", s(24)),
            ("ip_version", s(6)),
            ("database_type", Datum::Text("Test")),
            ("binary_format_major_version", s(2)),
            ("binary_format_minor_version", s(0)),
            ("build_epoch", Datum::Long(1)),
            ("description", Datum::Map(vec![])),
            ("languages", Datum::EmptyList),
        ];
        write(&mut out, &Datum::Map(meta));
        out
    }

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), bytes).expect("written");
        file
    }

    #[test]
    fn countries_and_numbers_of_every_layout() {
        use Datum::{Map, Number, Text};
        let layouts = [
            Map(vec![("country", Map(vec![("iso_code", Text("DE"))]))]),
            Map(vec![("country_code", Text("DE"))]),
            Map(vec![("country", Text("DE"))]),
        ];
        for layout in layouts {
            let other = Map(vec![("country", Map(vec![("iso_code", Text("US"))]))]);
            let f = file(&database(&[
                ([10, 1, 0, 0], 16, layout),
                ([10, 2, 0, 0], 16, other),
            ]));
            let map = countries(f.path()).expect("readable");
            let of = |a| country(map.get(&Addr::from_v4(a)) as u16);
            assert_eq!(
                (of([10, 1, 2, 3]), of([10, 2, 2, 3]), of([10, 3, 0, 0])),
                ("DE", "US", "")
            );
        }
        for layout in [
            Map(vec![("autonomous_system_number", Number(64_500))]),
            Map(vec![("asn", Text("AS64500"))]),
        ] {
            let f = file(&database(&[([10, 1, 0, 0], 16, layout)]));
            let map = numbers(f.path()).expect("readable");
            assert_eq!(map.get(&Addr::from_v4([10, 1, 0, 0])), 64_500);
        }
    }

    /// MaxMind's databases for tests, as its Python package ships them (`.ci/prepare` fetches it).
    fn shipped() -> Option<PathBuf> {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = || std::env::var_os("HOME").map(|h| PathBuf::from(h).join(".cache"));
        let cached = || cache.or_else(home).map(|c| c.join("flowhouse/maxminddb"));
        let named = std::env::var_os("FLOWHOUSE_MAXMIND").map(PathBuf::from);
        let found = named.or_else(cached)?.join("tests/data");
        if !found.is_dir() {
            println!("NOT TESTED: {} is missing", found.display());
            return None;
        }
        Some(found)
    }

    /// First addresses of the networks of a database by its source, with what is said of the longest network there.
    fn source(path: &Path) -> BTreeMap<Addr, (u8, serde_json::Value)> {
        let text = std::fs::read_to_string(path).expect("the source");
        let list: Vec<BTreeMap<String, serde_json::Value>> =
            serde_json::from_str(&text).expect("a list of networks");
        let mut all = BTreeMap::new();
        for (network, record) in list.into_iter().flatten() {
            let (address, length) = network.split_once('/').expect("a prefix");
            let mut length: u8 = length.parse().expect("its length");
            let mut address: IpAddr = address.parse().expect("its address");
            if let IpAddr::V6(v6) = address
                && let Some(v4) = v6.to_ipv4()
                && length >= 96
            {
                (address, length) = (v4.into(), length - 96);
            }
            let known = all.get(&Addr::from(address)).map_or(0, |k: &(u8, _)| k.0);
            if length >= known {
                all.insert(Addr::from(address), (length, record));
            }
        }
        all
    }

    #[test]
    fn databases_that_are_shipped_for_tests_say_what_their_source_says() {
        let Some(data) = shipped() else {
            return;
        };
        let path = |kind: &str, name: &str, end: &str| data.join(format!("{kind}/{name}.{end}"));
        for name in [
            "GeoIP2-Country-Test",
            "GeoLite2-Country-Test",
            "GeoIP2-City-Test",
        ] {
            let map = countries(&path("test-data", name, "mmdb")).expect(name);
            let source = source(&path("source-data", name, "json"));
            assert!(source.len() > 200, "{name}");
            for (address, (_, record)) in source {
                let code = |of: &str| {
                    record[of]["iso_code"]
                        .as_str()
                        .unwrap_or_default()
                        .to_owned()
                };
                let expected = match code("country") {
                    none if none.is_empty() => code("registered_country"),
                    some => some,
                };
                let told = country(map.get(&address) as u16);
                assert_eq!(told, expected, "{name}: {}", address.to_ip());
            }
        }
        let name = "GeoLite2-ASN-Test";
        let map = numbers(&path("test-data", name, "mmdb")).expect(name);
        let source = source(&path("source-data", name, "json"));
        assert!(source.len() > 500);
        for (address, (_, record)) in source {
            let number = record["autonomous_system_number"].as_u64().unwrap_or(0);
            assert_eq!(u64::from(map.get(&address)), number, "{}", address.to_ip());
        }
    }

    /// Damaged ones, and ones made to take time and memory: an error, or what can be read, soon.
    #[test]
    fn hostile_databases_are_survived() {
        let Some(data) = shipped() else {
            return;
        };
        let folders = [
            "test-data",
            "bad-data/libmaxminddb",
            "bad-data/maxminddb-golang",
            "bad-data/maxminddb-python",
        ];
        let files = folders.map(|f| std::fs::read_dir(data.join(f)).expect(f));
        let (mut read, mut refused) = (0, 0);
        for file in files.into_iter().flatten().flatten() {
            for result in [countries(&file.path()), numbers(&file.path())] {
                read += u32::from(result.is_ok());
                refused += u32::from(result.is_err());
            }
        }
        assert!(read > 10 && refused > 20, "{read} {refused}");
    }

    #[test]
    fn what_is_none_is_refused() {
        assert!(countries(Path::new("/nowhere/x.mmdb")).is_err());
        assert!(countries(file(b"hello").path()).is_err());
        let f = file(&database(&[(
            [10, 1, 0, 0],
            16,
            Datum::Map(vec![("city", Datum::Text("x"))]),
        )]));
        let fault = countries(f.path())
            .expect_err("no country in it")
            .to_string();
        assert!(
            fault.contains("neither countries nor AS numbers"),
            "{fault}"
        );
    }
}
