//! A signature rule as a question to stored flows, where all that it asks for is stored.

use crate::detect::signature::{
    Content, Direction, FlowDirection, Group, Number, Protocol, RangeSet, Rule, Step, Test,
    ThresholdKind, Transform, Value,
};
use crate::model::AppProto;
use std::net::{IpAddr, Ipv6Addr};

/// Conditions on rows of `flows` that hold where a rule would have matched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lookup {
    conditions: Vec<String>,
}

impl Lookup {
    /// What of stored flows a rule is about.
    ///
    /// # Errors
    /// What it asks for and flows do not say.
    pub fn of(rule: &Rule) -> Result<Lookup, String> {
        stateless(rule)?;
        let mut lookup = Lookup::default();
        lookup.protocol(rule)?;
        lookup.ends(rule)?;
        lookup.flow(rule)?;
        for test in &rule.tests {
            let condition = asked(test, rule)?;
            lookup.conditions.push(condition);
        }
        for group in &rule.groups {
            lookup.group(group)?;
        }
        let narrows = |c: &String| !WIDE.iter().any(|w| c.starts_with(w));
        match lookup.conditions.iter().any(narrows) {
            true => Ok(lookup),
            false => Err("it asks for nothing but a protocol or a direction: nearly every flow would be found".into()),
        }
    }

    /// The query: placeholder `last`, seconds.
    pub fn sql(&self) -> String {
        let shown =
            |a: &str| format!("replaceRegexpOne(toString({a}), '^::ffff:([0-9.]+)$', '\\\\1')");
        let (src, dst) = (shown("src_addr"), shown("dst_addr"));
        format!(
            "SELECT toString(min(received_at)) AS first, toString(max(received_at)) AS last, count() AS flows, sum(bytes) AS volume,\n    \
             arraySort(groupUniqArray(5)({src})) AS sources, arraySort(groupUniqArray(5)({dst})) AS destinations,\n    \
             arraySort(groupUniqArrayIf(5)(server_name, server_name != '')) AS names, arraySort(groupUniqArray(5)(community_id)) AS community_ids\n\
             FROM flows\nWHERE received_at >= now() - toIntervalSecond({{last:UInt64}})\n    AND {}\nHAVING flows > 0",
            self.conditions.join("\n    AND ")
        )
    }

    fn protocol(&mut self, rule: &Rule) -> Result<(), String> {
        let numbers = match rule.header.protocol {
            Protocol::Packet | Protocol::Ip => return Ok(()),
            Protocol::Ipv4 => {
                let all = "src_addr BETWEEN toIPv6('::ffff:0.0.0.0') AND toIPv6('::ffff:255.255.255.255')";
                self.conditions.push(format!("({all})"));
                return Ok(());
            }
            Protocol::Ipv6 => {
                let all = "src_addr BETWEEN toIPv6('::ffff:0.0.0.0') AND toIPv6('::ffff:255.255.255.255')";
                self.conditions.push(format!("NOT ({all})"));
                return Ok(());
            }
            Protocol::Tcp | Protocol::TcpPacket | Protocol::TcpStream => "proto = 6",
            Protocol::Udp => "proto = 17",
            Protocol::Sctp => "proto = 132",
            Protocol::Icmp => "proto IN (1, 58)",
            Protocol::Icmpv4 => "proto = 1",
            Protocol::Icmpv6 => "proto = 58",
            // a name is of its protocol, which exporters do not always tell
            Protocol::Application(_) if rule.groups.iter().any(is_name) => return Ok(()),
            Protocol::Application(name) => {
                let condition = spoken(name)?;
                self.conditions.push(condition);
                return Ok(());
            }
        };
        self.conditions.push(numbers.into());
        Ok(())
    }

    fn ends(&mut self, rule: &Rule) -> Result<(), String> {
        let header = &rule.header;
        let one_way = |from: &str, to: &str| -> Result<Vec<String>, String> {
            let all = [
                addresses(&format!("{from}_addr"), &header.source)?,
                ports(&format!("{from}_port"), &header.source_ports)?,
                addresses(&format!("{to}_addr"), &header.destination)?,
                ports(&format!("{to}_port"), &header.destination_ports)?,
            ];
            Ok(all.into_iter().flatten().collect())
        };
        let forward = one_way("src", "dst")?;
        if header.direction == Direction::Forward || forward.is_empty() {
            self.conditions.extend(forward);
            return Ok(());
        }
        let (forward, back) = (forward.join(" AND "), one_way("dst", "src")?.join(" AND "));
        self.conditions.push(format!("({forward} OR {back})"));
        Ok(())
    }

    fn flow(&mut self, rule: &Rule) -> Result<(), String> {
        let flow = &rule.flow;
        if flow.fragments == Some(true) {
            return Err("it asks for fragments: a flow does not say whether it had some".into());
        }
        // rows of exporters do not say who began
        let side = match flow.direction {
            Some(FlowDirection::ToServer) => Some("initiator"),
            Some(FlowDirection::ToClient) => Some("responder"),
            None => None,
        };
        if let Some(side) = side {
            let condition = format!("conversation_side IN ('', '{side}')");
            self.conditions.push(condition);
        }
        match flow.established {
            Some(false) => Err("it asks for connections that are not established".into()),
            Some(true) => {
                self.conditions.push(ESTABLISHED.into());
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn group(&mut self, group: &Group) -> Result<(), String> {
        let name = group.buffer.name();
        let (column, of) = match name {
            "dns.query" | "dns.query.name" => ("server_name", "'', 'dns', 'mdns', 'llmnr'"),
            "tls.sni" => ("server_name", "'', 'tls', 'quic', 'dtls'"),
            "http.host" | "http.host.raw" => ("server_name", "'', 'http', 'http2', 'websocket'"),
            "ja4.hash" => ("ja4", ""),
            _ => return Err(format!("`{name}` is not stored with flows")),
        };
        if !group.lists.is_empty() {
            return Err(format!("`{name}` is looked up in a list"));
        }
        let mut text = column.to_owned();
        for transform in &group.transforms {
            match transform {
                Transform::Dotprefix => text = format!("concat('.', {text})"),
                // names are stored in lower case
                Transform::ToLowercase => {}
                other => return Err(format!("`{name}` is changed by {other:?} first")),
            }
        }
        self.conditions.push(format!("{column} != ''"));
        if !of.is_empty() {
            self.conditions.push(format!("app_proto IN ({of})"));
        }
        // where the last content ended, as SQL
        let mut end: Option<String> = None;
        for step in &group.steps {
            let condition = match step {
                Step::Content(content) => contained(&text, content, &mut end)?,
                Step::Length(number) => compared(&format!("length({text})"), *number),
                Step::Pcre(_) => {
                    return Err(format!("`{name}` is matched by a regular expression"));
                }
                other => {
                    let word = format!("{other:?}");
                    let word = word.split(['(', ' ']).next().unwrap_or_default().to_owned();
                    return Err(format!("`{name}` is asked for {word}"));
                }
            };
            self.conditions.push(condition);
        }
        Ok(())
    }
}

/// Whether a group is about a name that flows have.
fn is_name(group: &Group) -> bool {
    NAMES.contains(&group.buffer.name())
}

/// What counts or remembers cannot be asked of flows.
fn stateless(rule: &Rule) -> Result<(), String> {
    if !rule.asks.is_empty() {
        return Err("it asks for bits or counters that other rules set".into());
    }
    if rule.detection_filter.is_some() {
        return Err("it counts packets (detection_filter)".into());
    }
    let counts = rule
        .threshold
        .is_some_and(|t| t.kind != ThresholdKind::Limit && t.count > 1);
    match counts {
        true => Err("it counts packets (threshold)".into()),
        false => Ok(()),
    }
}

/// A condition that needs no buffer.
fn asked(test: &Test, rule: &Rule) -> Result<String, String> {
    let to_server = rule.flow.direction != Some(FlowDirection::ToClient);
    let half = |column: &str, of_server: bool, number: Number| match of_server == to_server {
        true => Ok(compared(column, number)),
        false => Err("it asks for the size of the other direction than it matches".to_owned()),
    };
    match test {
        Test::SameIp => Ok("src_addr = dst_addr".into()),
        Test::Number(keyword, number) => match *keyword {
            "ip_proto" => Ok(compared("proto", *number)),
            "tos" => Ok(compared("tos", *number)),
            "itype" => Ok(compared("intDiv(icmp_type_code, 256)", *number)),
            "icode" => Ok(compared("icmp_type_code % 256", *number)),
            "flow.pkts_toserver" => half("packets", true, *number),
            "flow.pkts_toclient" => half("packets", false, *number),
            "flow.bytes_toserver" => half("bytes", true, *number),
            "flow.bytes_toclient" => half("bytes", false, *number),
            "flow.age" => Ok(compared(
                "intDiv(greatest(end_ms - start_ms, 0), 1000)",
                *number,
            )),
            other => Err(format!(
                "`{other}` is of a packet or a message, and not stored"
            )),
        },
        Test::ApplicationProtocol(negated, name) => {
            let condition = spoken(name)?;
            Ok(if *negated {
                format!("NOT ({condition})")
            } else {
                condition
            })
        }
        Test::TcpFlags(_) => {
            Err("it asks for the flags of one packet: a flow has those of all its packets".into())
        }
        Test::StreamSize(..) => Err("it asks for the size of a stream (stream_size)".into()),
        Test::FragmentBits(_) => Err("it asks for flags of fragments".into()),
        Test::Modbus(_) => Err("it asks for what Modbus says".into()),
        Test::Word(keyword, ..)
        | Test::Event(keyword, _)
        | Test::Flag(keyword)
        | Test::AnyNumber(keyword, _)
        | Test::Digest(keyword, ..) => Err(format!(
            "`{keyword}` is of a packet or a message, and not stored"
        )),
    }
}

/// Flows that speak a protocol.
fn spoken(name: &str) -> Result<String, String> {
    let names: &[&str] = match name {
        "http" => &["http", "http2", "websocket"],
        "http1" => &["http"],
        "dcerpc" => &["dcerpc", "smb"],
        other => {
            let known = AppProto::ALL.iter().any(|p| p.name() == other);
            return match known {
                true => Ok(format!("app_proto = '{other}'")),
                false => Err(format!("flows are not told to speak `{other}`")),
            };
        }
    };
    let all: Vec<String> = names.iter().map(|n| format!("'{n}'")).collect();
    Ok(format!("app_proto IN ({})", all.join(", ")))
}

/// A content in a text. `end` is where the one before ended, and then where this one does.
fn contained(text: &str, content: &Content, end: &mut Option<String>) -> Result<String, String> {
    let fixed = |value: &Option<Value>| match value {
        None => Ok(None),
        Some(Value::Fixed(n)) if *n >= 0 => Ok(Some(*n)),
        Some(_) => Err("a content stands where another one says".to_owned()),
    };
    let (offset, depth) = (fixed(&content.offset)?, fixed(&content.depth)?);
    let (distance, within) = (fixed(&content.distance)?, fixed(&content.within)?);
    let is_relative = distance.is_some() || within.is_some();
    if within.is_some() || is_relative && (content.negated || end.is_none()) {
        return Err(
            "contents stand in a distance of each other that flows cannot be asked for".into(),
        );
    }
    let pattern = quoted(&content.pattern)?;
    let length = content.pattern.len();
    let not = if content.negated { "NOT " } else { "" };
    let whole = match (content.startswith, content.endswith) {
        (true, true) => Some(format!("{text} = {pattern}")),
        (true, false) => Some(format!("startsWith({text}, {pattern})")),
        (false, true) => Some(format!("endsWith({text}, {pattern})")),
        (false, false) => None,
    };
    if let Some(whole) = whole {
        *end = match (content.startswith, content.negated) {
            (true, false) => Some(length.to_string()),
            (false, false) => Some(format!("length({text})")),
            (_, true) => end.take(),
        };
        return Ok(format!("{not}{whole}"));
    }
    let from = match (&end, is_relative) {
        (Some(end), true) => format!("({end} + {})", distance.unwrap_or(0)),
        _ => offset.unwrap_or(0).to_string(),
    };
    let part = match (from.as_str(), depth.filter(|_| !is_relative)) {
        ("0", None) => text.to_owned(),
        (from, None) => format!("substring({text}, {from} + 1)"),
        (from, Some(depth)) => format!("substring({text}, {from} + 1, {depth})"),
    };
    let found = format!("position({part}, {pattern})");
    if !content.negated {
        *end = Some(format!("({from} + {found} + {length} - 1)"));
    }
    Ok(format!("{not}{found} > 0"))
}

/// A number compared.
fn compared(what: &str, number: Number) -> String {
    match number {
        Number::Equal(n) => format!("{what} = {n}"),
        Number::Not(n) => format!("{what} != {n}"),
        Number::Less(n) => format!("{what} < {n}"),
        Number::AtMost(n) => format!("{what} <= {n}"),
        Number::Greater(n) => format!("{what} > {n}"),
        Number::AtLeast(n) => format!("{what} >= {n}"),
        Number::Between(a, b) => format!("({what} > {a} AND {what} < {b})"),
        Number::NotBetween(a, b) => format!("NOT ({what} > {a} AND {what} < {b})"),
    }
}

/// Addresses of a column; `None` where any will do.
fn addresses(column: &str, set: &RangeSet) -> Result<Option<String>, String> {
    let text = |n: u128| {
        let ip = Ipv6Addr::from(n);
        let ip = ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4);
        format!("toIPv6('{ip}')")
    };
    listed(column, set, text)
}

fn ports(column: &str, set: &RangeSet) -> Result<Option<String>, String> {
    listed(column, set, |n| n.to_string())
}

fn listed(
    column: &str,
    set: &RangeSet,
    text: impl Fn(u128) -> String,
) -> Result<Option<String>, String> {
    if set.is_any() {
        return Ok(None);
    }
    type Ranges = Vec<(u128, u128)>;
    let (single, wide): (Ranges, Ranges) = set.ranges().iter().partition(|r| r.0 == r.1);
    if wide.len() > RANGES_MAX || single.len() > SINGLE_MAX {
        return Err(format!(
            "it names more than {RANGES_MAX} ranges or {SINGLE_MAX} addresses: write them into a file for --indicator"
        ));
    }
    let mut all: Vec<String> = wide
        .iter()
        .map(|r| format!("{column} BETWEEN {} AND {}", text(r.0), text(r.1)))
        .collect();
    if !single.is_empty() {
        let single: Vec<String> = single.iter().map(|r| text(r.0)).collect();
        all.push(format!("{column} IN ({})", single.join(", ")));
    }
    Ok(Some(match all.len() {
        0 => "false".to_owned(),
        1 => all.remove(0),
        _ => format!("({})", all.join(" OR ")),
    }))
}

/// Bytes as a literal, in lower case as names are stored.
fn quoted(bytes: &[u8]) -> Result<String, String> {
    if !bytes.iter().all(u8::is_ascii_graphic) {
        return Err("a content is no part of a name".into());
    }
    let text = String::from_utf8_lossy(bytes).to_ascii_lowercase();
    Ok(format!(
        "'{}'",
        text.replace('\\', "\\\\").replace('\'', "\\'")
    ))
}

/// Buffers that are the name of a server.
const NAMES: &[&str] = &[
    "dns.query",
    "dns.query.name",
    "tls.sni",
    "http.host",
    "http.host.raw",
];
/// Acknowledgements were seen, where flags were told, and no handshake that failed.
const ESTABLISHED: &str = "(proto != 6 OR ((tcp_flags = 0 OR bitAnd(tcp_flags, 16) != 0) AND handshake NOT IN ('refused', 'unanswered')))";
/// How conditions begin that nearly every flow fulfils.
const WIDE: &[&str] = &[
    "proto ",
    "conversation_side ",
    "(proto != 6",
    "NOT (src_addr",
    "(src_addr BETWEEN toIPv6('::ffff:0.0.0.0')",
    "app_proto IN ('', ",
];
/// Most ranges, and most single addresses, of one end of a rule.
const RANGES_MAX: usize = 1_000;
const SINGLE_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::signature::{Context, RuleSet, Source};

    fn lookup(text: &str) -> Result<Lookup, String> {
        let source = Source {
            file: "test",
            bytes: text.as_bytes(),
        };
        let set = RuleSet::load(&[source], &Context::default());
        assert!(set.refused.is_empty(), "{:?}", set.refused);
        Lookup::of(set.rules.first().expect("a rule"))
    }

    #[test]
    fn what_flows_say_is_asked_of_them() {
        let of = |text: &str| lookup(text).expect(text).conditions.join("; ");
        let sql = of(
            "alert tcp 10.0.0.0/8 any -> [192.0.2.1,192.0.2.9] 443 (msg:\"a\"; flow:established,to_server; sid:1;)",
        );
        for part in [
            "proto = 6",
            "src_addr BETWEEN toIPv6('10.0.0.0') AND toIPv6('10.255.255.255')",
            "dst_addr IN (toIPv6('192.0.2.1'), toIPv6('192.0.2.9'))",
            "dst_port IN (443)",
            "conversation_side IN ('', 'initiator')",
            "bitAnd(tcp_flags, 16)",
        ] {
            assert!(sql.contains(part), "{part}: {sql}");
        }
        let sql = of(
            "alert dns any any -> any any (msg:\"a\"; dns.query; dotprefix; content:\".Evil.example\"; nocase; endswith; sid:1;)",
        );
        assert!(
            sql.contains("endsWith(concat('.', server_name), '.evil.example')"),
            "{sql}"
        );
        let sql = of(
            "alert tls any any -> any any (msg:\"a\"; tls.sni; content:\"c2\"; startswith; content:\"x\"; distance:1; bsize:<20; sid:1;)",
        );
        for part in [
            "startsWith(server_name, 'c2')",
            "position(substring(server_name, (2 + 1) + 1), 'x') > 0",
            "length(server_name) < 20",
        ] {
            assert!(sql.contains(part), "{part}: {sql}");
        }
        let sql = of("alert ip [192.0.2.1] any <> any 53 (msg:\"a\"; sid:1;)");
        assert!(sql.contains("(src_addr IN (toIPv6('192.0.2.1')) AND dst_port IN (53) OR dst_addr IN (toIPv6('192.0.2.1')) AND src_port IN (53))"), "{sql}");
        let sql = of(
            "alert icmp any any -> any any (msg:\"a\"; itype:8; icode:0; flow.bytes_toserver:>1000; sid:1;)",
        );
        assert!(
            sql.contains("intDiv(icmp_type_code, 256) = 8") && sql.contains("bytes > 1000"),
            "{sql}"
        );
    }

    #[test]
    fn what_flows_do_not_say_is_refused_with_the_reason() {
        for (options, part) in [
            ("content:\"x\";", "`pkt_data` is not stored"),
            ("flags:S;", "flags of one packet"),
            ("dsize:>5;", "`dsize`"),
            ("flowbits:isset,x;", "bits or counters"),
            (
                "detection_filter:track by_src,count 5,seconds 60;",
                "detection_filter",
            ),
            (
                "threshold:type both,track by_src,count 5,seconds 60;",
                "threshold",
            ),
            ("tls.sni; pcre:\"/x/\";", "regular expression"),
            (
                "tls.sni; content:\"a\"; content:\"b\"; within:5;",
                "distance of each other",
            ),
            (
                "http.uri; content:\"/x\"; http.host; content:\"a\";",
                "`http.uri`",
            ),
            ("flow:established;", "nearly every flow"),
        ] {
            let text = format!("alert tcp any any -> any any (msg:\"a\"; {options} sid:1;)");
            let why = lookup(&text).expect_err(options);
            assert!(why.contains(part), "{part}: {why}");
        }
    }

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        let sql = lookup(
            "alert dns any any -> any any (msg:\"a\"; dns.query; content:\"a'b|5c|\"; sid:1;)",
        );
        let sql = sql.expect("a lookup").sql();
        assert!(sql.contains(r"'a\'b\\'"), "{sql}");
    }
}
