//! `flowhouse hunt`: whether the stored past knows indicators, and what rules would have found in it.

mod lookup;
mod rules;

use super::connection::ConnectionArguments;
use super::{Partly, text};
use crate::assemble::query::{Bound, Reader, address, number, text as field};
use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

/// Looks for indicators, or for what signature rules are about, in the stored flows: who spoke with them, when first and last, and how much.
///
/// An indicator a line: an address, a network, a domain (with all names below it), a JA4 fingerprint or a Community ID; what follows a `#` or
/// a comma is no part of it. Of a URL the host counts, and what was made harmless (`hxxp://evil[.]example`) is read as it was. Domains and JA4 are known of flows that name them: metered packets, and exporters that send names.
///
/// A rule is asked of flows where they say all that it asks for: addresses, ports, protocols, sizes of flows, ICMP types, and the names of DNS, TLS
/// and HTTP. Others are refused, with the reason. Of a conversation the first name is stored, and names in lower case.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct HuntArguments {
    /// File of indicators; may be given several times
    #[arg(
        long = "indicator",
        value_name = "FILE",
        required_unless_present = "rules"
    )]
    files: Vec<PathBuf>,
    /// A signature rule, or a file or folder of them; may be given several times
    #[arg(long = "rule", value_name = "RULE", conflicts_with = "files")]
    rules: Vec<String>,
    /// Of the rules only that of this number; may be given several times
    #[arg(long, value_name = "SID", requires = "rules")]
    sid: Vec<u32>,
    /// A variable of rule headers: HOME_NET=10.0.0.0/8
    #[arg(long, value_name = "KEY=VALUE", requires = "rules")]
    set: Vec<String>,
    /// How far back: 1h, 7d, 90d
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = super::duration_seconds)]
    last: u64,
    /// JSON with the same data instead of text
    #[arg(long)]
    json: bool,
    /// Print the query, and the values of its placeholders, instead of asking
    #[arg(long, conflicts_with = "json")]
    sql: bool,
    /// Configuration, for where the store is
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    connection: ConnectionArguments,
}

const EXAMPLES: &str = "Examples:
  flowhouse hunt --indicator iocs.txt
  flowhouse hunt --indicator iocs.txt --last 30d --json | jq '.[].indicator'
  flowhouse hunt --indicator iocs.txt --sql
  flowhouse hunt --rule 'alert tls any any -> any any (tls.sni; content:\"c2.example\"; sid:1;)'
  flowhouse hunt --rule emerging-dns.rules --last 30d
  flowhouse hunt --rule local.rules --sid 1000001 --sql";

/// Most indicators of one hunt.
const INDICATORS_MAX: usize = 100_000;
/// Lines that are said to be wrong, and characters of each that are shown.
const FAULTS_MAX: usize = 100;
const SHOWN_MAX: usize = 100;
/// Most of them networks: each flow is compared with all of these.
const NETWORKS_MAX: usize = 1_000;

/// What is looked for, by kind.
#[derive(Debug, Default, PartialEq, Eq)]
struct Indicators(BTreeMap<&'static str, Vec<String>>);

/// Runs the subcommand.
///
/// # Errors
/// When a file cannot be read or has no indicator, and when the store cannot be asked. At the end, when lines were no indicators.
pub fn run(arguments: &HuntArguments) -> Result<()> {
    if !arguments.rules.is_empty() {
        return rules::run(arguments);
    }
    let mut indicators = Indicators::default();
    let mut left_out = 0;
    for file in &arguments.files {
        let name = file.display().to_string();
        // a text in another encoding has lines that can be read
        let all = std::fs::read(file).with_context(|| name.clone())?;
        for fault in indicators.read(&String::from_utf8_lossy(&all)) {
            left_out += 1;
            if left_out <= FAULTS_MAX {
                eprintln!("flowhouse: {name}:{fault}");
            }
        }
    }
    ask(arguments, &indicators)?;
    match left_out {
        0 => Ok(()),
        1 => Err(Partly("1 line is no indicator, and was left out".into()).into()),
        n => Err(Partly(format!("{n} lines are no indicators, and were left out")).into()),
    }
}

/// Looks for indicators, or says how.
fn ask(arguments: &HuntArguments, indicators: &Indicators) -> Result<()> {
    let values = indicators.values(arguments.last)?;
    if arguments.sql {
        let shown = values
            .iter()
            .map(|(name, value)| format!("-- {name} = {value:?}\n"));
        return super::say(shown.collect::<String>() + SQL);
    }
    let config = super::load_config(arguments.config.as_deref())?;
    let connection = arguments
        .connection
        .over(super::default_connection(&config));
    let rows = Reader::new(&connection)?.rows_with(SQL, &values)?;
    if arguments.json {
        return super::say(serde_json::to_string_pretty(
            &rows.iter().map(hit).collect::<Vec<_>>(),
        )?);
    }
    let asked = indicators.0.values().map(Vec::len).sum::<usize>();
    if rows.is_empty() {
        return super::say(format!(
            "None of {asked} indicators is in the stored flows of that time."
        ));
    }
    let line = |r: &Map<String, Value>| {
        vec![
            field(r, "indicator"),
            field(r, "kind"),
            field(r, "first"),
            field(r, "last"),
            hosts(r).join(", "),
            text::count(number(r, "flows")),
            text::bytes(number(r, "bytes")),
        ]
    };
    let header = [
        "indicator",
        "kind",
        "first, UTC",
        "last, UTC",
        "with",
        "flows",
        "bytes",
    ];
    let found = rows.len();
    super::say(text::table(&header, 5, rows.iter().map(line)))?;
    super::say(format!("{found} of {asked} indicators were seen."))
}

fn hosts(row: &Map<String, Value>) -> Vec<String> {
    listed(row, "hosts")
}

/// Addresses of a row, as people write them.
fn listed(row: &Map<String, Value>, key: &str) -> Vec<String> {
    let all = row.get(key).and_then(Value::as_array).into_iter().flatten();
    let one = |v: &Value| address(&Map::from_iter([("a".to_owned(), v.clone())]), "a");
    all.map(one).collect()
}

fn hit(row: &Map<String, Value>) -> Value {
    json!({
        "indicator": row["indicator"], "kind": row["kind"], "first": row["first"], "last": row["last"],
        "flows": row["flows"], "bytes": row["bytes"], "hosts": hosts(row),
    })
}

impl Indicators {
    /// Takes the lines of a text; what is wrong with those that are no indicators, each with its number.
    fn read(&mut self, all: &str) -> Vec<String> {
        let mut faults = vec![];
        // editors of some systems put a mark before the text
        let all = all.trim_start_matches('\u{feff}');
        for (number, line) in all.lines().enumerate() {
            let line = line
                .split(['#', ','])
                .next()
                .unwrap_or_default()
                .trim()
                .trim_matches('"');
            if line.is_empty() {
                continue;
            }
            let Some((kind, value)) = indicator(&refanged(line)) else {
                let shown: String = line.chars().take(SHOWN_MAX).collect();
                faults.push(format!(
                    "{}: {shown:?} is no address, network, domain, JA4 or Community ID",
                    number + 1
                ));
                continue;
            };
            let list = self.0.entry(kind).or_default();
            if !list.contains(&value) || list.len() > DISTINCT_MAX {
                list.push(value);
            }
        }
        faults
    }

    fn values(&self, last: u64) -> Result<Vec<(&'static str, Bound)>> {
        let of = |kind: &str| self.0.get(kind).cloned().unwrap_or_default();
        let networks = of("network");
        let count = self.0.values().map(Vec::len).sum::<usize>();
        if count == 0 || count > INDICATORS_MAX || networks.len() > NETWORKS_MAX {
            bail!(
                "{count} indicators, {} of them networks: 1 to {INDICATORS_MAX} and at most {NETWORKS_MAX} are possible",
                networks.len()
            );
        }
        let ranges = networks.iter().filter_map(|n| range(n));
        let (first, end) = ranges.unzip();
        Ok(vec![
            ("last", Bound::Number(last as f64)),
            ("addresses", Bound::Texts(of("address"))),
            ("networks", Bound::Texts(networks)),
            ("firsts", Bound::Texts(first)),
            ("ends", Bound::Texts(end)),
            ("domains", Bound::Texts(of("domain"))),
            ("ja4s", Bound::Texts(of("ja4"))),
            ("communities", Bound::Texts(of("community_id"))),
        ])
    }
}

/// A word as it was before somebody made it harmless for mail and chat (`hxxps://evil[.]example/x`); of a URL the host.
fn refanged(word: &str) -> String {
    const HARMLESS: [(&str, &str); 8] = [
        ("[://]", "://"),
        ("[.]", "."),
        ("(.)", "."),
        ("{.}", "."),
        ("[dot]", "."),
        ("(dot)", "."),
        ("[:]", ":"),
        ("[at]", "@"),
    ];
    let put_back = |word: String, (from, to): &(&str, &str)| word.replace(from, to);
    let word = HARMLESS.iter().fold(word.to_owned(), put_back);
    let Some((scheme, rest)) = word.split_once("://") else {
        return word;
    };
    let known = ["http", "https", "hxxp", "hxxps", "ftp", "fxp", "ws", "wss"];
    if !known.contains(&&*scheme.to_lowercase()) {
        return word;
    }
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    let host = host.rsplit('@').next().unwrap_or_default();
    let v6 = host.strip_prefix('[').and_then(|h| h.split(']').next());
    let host = v6.or_else(|| host.split(':').next());
    host.unwrap_or_default().to_owned()
}

/// What a word is.
fn indicator(word: &str) -> Option<(&'static str, String)> {
    if let Ok(ip) = word.parse::<IpAddr>() {
        return Some(("address", ip.to_string()));
    }
    if word.contains('/') && range(word).is_some() {
        return Some(("network", word.to_owned()));
    }
    if word.starts_with("1:") && word.len() == 30 {
        return Some(("community_id", word.to_owned()));
    }
    // `t13d1516h2_8daaf6152771_e5627efa2ab1`
    let parts: Vec<&str> = word.split('_').collect();
    let hex = |p: &&str| p.len() == 12 && p.bytes().all(|b| b.is_ascii_hexdigit());
    if let [head, rest @ ..] = &parts[..]
        && rest.len() == 2
        && rest.iter().all(hex)
        && head.len() == 10
    {
        return Some(("ja4", word.to_owned()));
    }
    let name = word
        .trim_start_matches("*.")
        .trim_matches('.')
        .to_lowercase();
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && l.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let is_name = name.contains('.') && name.len() <= 253 && name.split('.').all(label);
    is_name.then_some(("domain", name))
}

/// The first and the last address of a network, as the store reads them.
fn range(text: &str) -> Option<(String, String)> {
    let (ip, bits) = text.split_once('/')?;
    let (ip, bits): (IpAddr, u32) = (ip.parse().ok()?, bits.parse().ok()?);
    match ip {
        IpAddr::V4(ip) if bits <= 32 => {
            let mask = u32::MAX.checked_shr(bits).unwrap_or(0);
            let first = ip.to_bits() & !mask;
            let text = |n: u32| {
                std::net::Ipv4Addr::from_bits(n)
                    .to_ipv6_mapped()
                    .to_string()
            };
            Some((text(first), text(first | mask)))
        }
        IpAddr::V6(ip) if bits <= 128 => {
            let mask = u128::MAX.checked_shr(bits).unwrap_or(0);
            let first = ip.to_bits() & !mask;
            let text = |n: u128| std::net::Ipv6Addr::from_bits(n).to_string();
            Some((text(first), text(first | mask)))
        }
        _ => None,
    }
}

/// Up to here what is named twice is told once: lists are short, and long ones are made by machines.
const DISTINCT_MAX: usize = 1_000;

const SQL: &str = "SELECT indicator, kind, toString(min(at)) AS first, toString(max(at)) AS last, count() AS flows, sum(volume) AS bytes,
    arraySort(groupUniqArray(5)(toString(host))) AS hosts
FROM
(
    SELECT replaceRegexpOne(toString(i), '^::ffff:([0-9.]+)$', '\\\\1') AS indicator, 'address' AS kind, received_at AS at, bytes AS volume,
        if(src_addr = i, dst_addr, src_addr) AS host
    FROM flows ARRAY JOIN arrayDistinct([src_addr, dst_addr]) AS i
    WHERE received_at >= now() - toIntervalSecond({last:UInt64}) AND i IN (SELECT toIPv6(arrayJoin({addresses:Array(String)})))
    UNION ALL
    SELECT n.1 AS indicator, 'network' AS kind, received_at AS at, bytes AS volume,
        if(src_addr BETWEEN toIPv6(n.2) AND toIPv6(n.3), dst_addr, src_addr) AS host
    FROM flows ARRAY JOIN arrayFilter(
        n -> src_addr BETWEEN toIPv6(n.2) AND toIPv6(n.3) OR dst_addr BETWEEN toIPv6(n.2) AND toIPv6(n.3),
        arrayZip({networks:Array(String)}, {firsts:Array(String)}, {ends:Array(String)})) AS n
    WHERE received_at >= now() - toIntervalSecond({last:UInt64}) AND notEmpty({networks:Array(String)})
    UNION ALL
    SELECT name AS indicator, 'domain' AS kind, received_at AS at, bytes AS volume, src_addr AS host
    FROM flows ARRAY JOIN arrayMap(
        k -> arrayStringConcat(arraySlice(splitByChar('.', lower(server_name)), k), '.'),
        range(1, length(splitByChar('.', server_name)) + 1)) AS name
    WHERE received_at >= now() - toIntervalSecond({last:UInt64}) AND server_name != '' AND name IN (SELECT arrayJoin({domains:Array(String)}))
    UNION ALL
    SELECT ja4 AS indicator, 'ja4' AS kind, received_at AS at, bytes AS volume, src_addr AS host
    FROM flows WHERE received_at >= now() - toIntervalSecond({last:UInt64}) AND ja4 != '' AND ja4 IN (SELECT arrayJoin({ja4s:Array(String)}))
    UNION ALL
    SELECT community_id AS indicator, 'community_id' AS kind, received_at AS at, bytes AS volume, src_addr AS host
    FROM flows WHERE received_at >= now() - toIntervalSecond({last:UInt64}) AND notEmpty({communities:Array(String)})
        AND community_id IN (SELECT arrayJoin({communities:Array(String)}))
)
GROUP BY indicator, kind ORDER BY last DESC, indicator LIMIT 100000";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_apart() {
        for (word, kind) in [
            ("192.0.2.1", "address"),
            ("2001:db8::1", "address"),
            ("10.0.0.0/8", "network"),
            ("*.Evil.Example.", "domain"),
            ("_dmarc.a-b.example", "domain"),
            ("t13d1516h2_8daaf6152771_e5627efa2ab1", "ja4"),
            ("1:LQU9qZlK+B5F3KDmev6m5PMibrg=", "community_id"),
        ] {
            assert_eq!(indicator(word).map(|i| i.0), Some(kind), "{word}");
        }
        for word in ["", "evil", "10.0.0.0/33", "a..b", "x y.z", "'; DROP"] {
            assert_eq!(indicator(word), None, "{word}");
        }
        assert_eq!(
            indicator("*.Evil.Example.").map(|i| i.1).as_deref(),
            Some("evil.example")
        );
        assert_eq!(
            range("10.1.2.3/8"),
            Some(("::ffff:10.0.0.0".into(), "::ffff:10.255.255.255".into()))
        );
        assert_eq!(
            range("0.0.0.0/0").map(|r| r.1).as_deref(),
            Some("::ffff:255.255.255.255")
        );
        assert_eq!(range("::/0").map(|r| r.0).as_deref(), Some("::"));
    }

    #[test]
    fn files_have_comments_and_faults_have_lines() {
        let mut i = Indicators::default();
        let faults = i.read("# list\n192.0.2.1, seen in May\n\nevil.example # c2\n192.0.2.1\n");
        assert!(faults.is_empty());
        assert_eq!(i.0["address"], ["192.0.2.1"]);
        let faults = i.read("\u{feff}198.51.100[.]7\r\nhxxps://user@Evil[.]two.example:8443/a?b\nhttp://[2001:db8::1]:80/x\nc2(dot)example\n");
        assert!(faults.is_empty());
        assert_eq!(i.0["address"], ["192.0.2.1", "198.51.100.7", "2001:db8::1"]);
        assert_eq!(
            i.0["domain"],
            ["evil.example", "evil.two.example", "c2.example"]
        );
        // what is wrong is said, and what comes behind it is read
        let faults = i.read("a.example\nnonsense\nb.example\n10.0.0.0/33\n");
        assert_eq!(faults.len(), 2);
        assert!(faults[0].starts_with("2: \"nonsense\"") && faults[1].starts_with("4: "));
        assert!(i.0["domain"].iter().any(|d| d == "b.example"));
        assert!(Indicators::default().values(1).is_err());
    }
}
