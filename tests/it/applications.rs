//! `app_proto` of metered rows against what nDPI published of the same captures.

use crate::captures::cases;
use crate::harness::{corpus, directory, exe, run};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

/// Both ends in order, with the IP protocol.
type Key = ((String, u64), (String, u64), u64);

fn key(a: (&Value, &Value), b: (&Value, &Value), proto: u64) -> Key {
    let end = |(address, port): (&Value, &Value)| {
        let text = address.as_str().unwrap_or_default();
        let address = text.parse::<std::net::IpAddr>();
        let text = address.map_or_else(|_| text.to_owned(), |a| a.to_string());
        // nDPI has ports of no other transport
        let port = port.as_u64().filter(|_| matches!(proto, 6 | 17));
        (text, port.unwrap_or(0))
    };
    let (a, b) = (end(a), end(b));
    (a.clone().min(b.clone()), a.max(b), proto)
}

/// `app_proto` of every conversation of a capture: of its last row that has one.
fn metered(file: &Path, dir: &Path) -> HashMap<Key, String> {
    let done = Command::new(exe())
        .args(["replay", "--as", "packets", "--out"])
        .arg(dir)
        .arg(file)
        .output()
        .expect("it runs");
    assert!(done.status.success(), "{}: {done:?}", file.display());
    let rows = std::fs::read_to_string(dir.join("flows.ndjson")).expect("written");
    let mut found = HashMap::new();
    for line in rows.lines() {
        let row: Value = serde_json::from_str(line).expect("JSON");
        let key = key(
            (&row["src_addr"], &row["src_port"]),
            (&row["dst_addr"], &row["dst_port"]),
            row["proto"].as_u64().unwrap_or(0),
        );
        let proto = row["app_proto"].as_str().unwrap_or("unknown");
        let known = found.entry(key).or_insert_with(|| "unknown".to_owned());
        if proto != "unknown" {
            *known = proto.to_owned();
        }
    }
    found
}

/// Conversations of every protocol that has to be known, made by `fuzz/seeds.py`: also of those that the corpus has no capture of.
#[test]
fn what_generated_conversations_say_is_known() {
    let dir = directory();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds.py");
    for port in [None, Some("31337")] {
        let made = dir.path().join(port.unwrap_or("usual"));
        let mut python = Command::new("python3");
        python.arg(&script).arg(&made);
        run(python.args(port.map(|p| ["--port", p]).into_iter().flatten()));
        let mut wrong = vec![];
        let files = std::fs::read_dir(made.join("capture")).expect("made");
        let mut names: Vec<_> = files.map(|f| f.expect("a file").path()).collect();
        names.sort();
        assert!(names.len() > 30, "{names:?}");
        for file in &names {
            let name = file.file_name().and_then(|n| n.to_str()).expect("text");
            let want = match (name, port) {
                ("chunked", _) => "http",
                // these have no octets that are theirs alone
                ("ntp" | "radius", Some(_)) => "unknown",
                ("dns-tcp", _) | ("mdns", Some(_)) => "dns",
                _ => name,
            };
            let found = metered(file, &dir.path().join("rows"));
            let found: Vec<_> = found.into_values().collect();
            if found != [want] {
                wrong.push(format!("{name}: {found:?}, not {want}"));
            }
        }
        assert!(wrong.is_empty(), "{port:?}: {wrong:#?}");
    }
}

/// Flows and bytes, all and those that agree.
#[derive(Clone, Copy, Default)]
struct Agreement {
    flows: u64,
    bytes: u64,
    flows_agree: u64,
    bytes_agree: u64,
}

impl Agreement {
    fn add(&mut self, bytes: u64, agrees: bool) {
        self.flows += 1;
        self.bytes += bytes;
        if agrees {
            self.flows_agree += 1;
            self.bytes_agree += bytes;
        }
    }

    fn add_all(&mut self, other: &Agreement) {
        self.flows += other.flows;
        self.bytes += other.bytes;
        self.flows_agree += other.flows_agree;
        self.bytes_agree += other.bytes_agree;
    }

    /// 95 % of flows and 99 % of bytes.
    fn is_enough(&self) -> bool {
        let flows = 100 * self.flows_agree >= 95 * self.flows;
        flows && 100 * self.bytes_agree >= 99 * self.bytes
    }

    fn row(&self, name: &str, ours: &str) -> String {
        let percent = |n: u64, of: u64| 100.0 * n as f64 / of.max(1) as f64;
        format!(
            "| {name} | {ours} | {} | {} | {:.1} % | {:.1} % |\n",
            self.flows,
            self.bytes,
            percent(self.flows_agree, self.flows),
            percent(self.bytes_agree, self.bytes),
        )
    }
}

#[test]
fn protocols_agree_with_what_ndpi_published() {
    let Some(corpus) = corpus() else { return };
    let (dir, shows) = (directory(), std::env::var_os("FLOWHOUSE_SHOW").is_some());
    let mut table: BTreeMap<String, Agreement> = BTreeMap::new();
    for (file, expected) in cases(&corpus) {
        let Some(flows) = expected["app_flows"].as_array() else {
            continue;
        };
        let ours = metered(&file, dir.path());
        for flow in flows {
            let app = flow["app"].as_str().expect("a name");
            let master = app.split('.').next().unwrap_or(app);
            if master == "Unknown" {
                continue;
            }
            let l4 = flow["l4"].as_str().unwrap_or_default();
            let key = key(
                (&flow["a"], &flow["a_port"]),
                (&flow["b"], &flow["b_port"]),
                number_of(l4),
            );
            let bytes = ["a_to_b_bytes", "b_to_a_bytes"].map(|k| flow[k].as_u64().unwrap_or(0));
            let got = ours.get(&key).map_or("(no flow)", String::as_str);
            let agrees = names_of(master).contains(&got);
            if shows && !agrees {
                let name = file.file_name().unwrap_or_default().to_string_lossy();
                let sum: u64 = bytes.iter().sum();
                eprintln!("{master}\t{got}\t{sum}\t{name}\t{key:?}\t{app}");
            }
            let entry = table.entry(master.to_owned()).or_default();
            entry.add(bytes.iter().sum(), agrees);
        }
    }
    agree_as_wanted(&table);
    let page = page(&table);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/applications.md");
    if std::env::var_os("FLOWHOUSE_BLESS").is_some() {
        std::fs::write(&path, &page).expect("the page is written");
    }
    let there = std::fs::read_to_string(&path).expect("the page is there");
    assert!(
        there == page,
        "docs/applications.md is out of date: FLOWHOUSE_BLESS=1"
    );
}

/// All protocols that have to be known together, and each by itself but for those of which the page says why.
fn agree_as_wanted(table: &BTreeMap<String, Agreement>) {
    let mut all = Agreement::default();
    for (master, a) in table {
        if !NAMES.iter().any(|n| n.0 == master && n.2) {
            continue;
        }
        all.add_all(a);
        assert!(
            a.is_enough() || EXPLAINED.contains(&&**master),
            "{}",
            a.row(master, "")
        );
    }
    assert!(all.is_enough(), "{}", all.row("all", ""));
}

fn page(table: &BTreeMap<String, Agreement>) -> String {
    let (mut page, mut rest) = (String::from(PAGE), String::new());
    let (mut listed, mut all) = (Agreement::default(), Agreement::default());
    for (master, a) in table {
        let names = NAMES.iter().find(|n| n.0 == master);
        let ours = names.map_or(String::new(), |n| n.1.join(", "));
        all.add_all(a);
        if names.is_some_and(|n| n.2) {
            listed.add_all(a);
            page.push_str(&a.row(master, &ours));
        } else {
            rest.push_str(&a.row(master, &ours));
        }
    }
    page.push_str(&listed.row("**all of these**", ""));
    let _ = write!(page, "\n{REST}{rest}");
    page.push_str(&all.row("**all**", ""));
    page.push_str(WHY);
    page
}

/// What `app_proto` may be where nDPI says this.
fn names_of(master: &str) -> &'static [&'static str] {
    NAMES.iter().find(|n| n.0 == master).map_or(&[], |n| n.1)
}

fn number_of(l4: &str) -> u64 {
    match l4 {
        "ICMP" => 1,
        "IGMP" => 2,
        "TCP" => 6,
        "UDP" => 17,
        "GRE" => 47,
        "ESP" => 50,
        "AH" => 51,
        "ICMPV6" => 58,
        "OSPF" => 89,
        "PIM" => 103,
        "VRRP" => 112,
        "SCTP" => 132,
        other => other.parse().unwrap_or(0),
    }
}

/// Of these the page says which conversations differ, and why.
const EXPLAINED: [&str; 3] = ["IPSec", "RTP", "TLS"];

/// nDPI's name, the names of `app_proto` that mean the same, and whether it is a protocol that has to be known.
const NAMES: &[(&str, &[&str], bool)] = &[
    ("AFP", &["afp"], false),
    ("AJP", &["ajp"], false),
    ("AMQP", &["amqp"], false),
    ("BACnet", &["bacnet"], false),
    ("BFD", &["bfd", "bfd-control"], false),
    ("BGP", &["bgp"], false),
    ("BitTorrent", &["bittorrent"], true),
    (
        "CAPWAP",
        &["capwap", "capwap-control", "capwap-data"],
        false,
    ),
    ("CHECKMK", &["checkmk-agent"], false),
    ("COAP", &["coap"], false),
    ("Cassandra", &["cassandra"], false),
    ("Ceph", &["ceph"], false),
    ("CiscoSkinny", &["cisco-sccp"], false),
    ("CiscoVPN", &["ike", "ipsec-nat-t"], false),
    ("Corba", &["giop"], false),
    ("DCERPC", &["dcerpc"], false),
    ("DHCP", &["dhcp"], true),
    ("DHCPV6", &["dhcpv6"], true),
    ("DNP3", &["dnp3"], true),
    ("DNS", &["dns"], true),
    ("DNScrypt", &["dnscrypt"], false),
    ("DTLS", &["dtls"], false),
    ("Diameter", &["diameter"], false),
    ("Discord", &["discord", "rtp", "rtcp", "stun"], false),
    ("Dropbox", &["dropbox-lan", "db-lsp"], false),
    ("Elasticsearch", &["elasticsearch"], false),
    ("FTP_CONTROL", &["ftp"], true),
    ("FTP_DATA", &["ftp-data"], true),
    ("FastCGI", &["fastcgi"], false),
    ("GTP", &["gtp-control", "gtp-user"], false),
    ("Git", &["git"], false),
    ("HAProxy", &["haproxy"], false),
    ("HART-IP", &["hart-ip"], false),
    ("HSRP", &["hsrp"], false),
    ("HTTP", &["http"], true),
    ("HTTP2", &["http2"], true),
    ("HTTP_Connect", &["http"], true),
    ("ICMP", &["icmp"], false),
    ("ICMPV6", &["icmpv6"], false),
    ("IEC60870", &["iec-104"], false),
    ("IGMP", &["igmp"], false),
    ("IMAP", &["imap"], true),
    ("IMAPS", &["imap", "tls"], true),
    ("IPSec", &["ike", "ipsec-nat-t", "esp", "ah"], true),
    ("IP_PIM", &["pim"], false),
    ("IRC", &["irc"], false),
    ("ISO9506-1-MMS", &["mms", "iso-tsap"], false),
    ("Jabber", &["xmpp"], false),
    ("KNXnet_IP", &["knxnet-ip"], false),
    ("Kerberos", &["krb5"], true),
    ("LDAP", &["ldap"], true),
    ("LISP", &["lisp", "lisp-control", "lisp-data"], false),
    ("MDNS", &["mdns"], true),
    ("MPEG_TS", &["mpeg-ts"], false),
    ("MQTT", &["mqtt"], true),
    ("Memcached", &["memcache"], false),
    ("Modbus", &["modbus"], true),
    ("Monero", &["monero"], false),
    ("MongoDB", &["mongodb"], true),
    ("MsSQL-TDS", &["ms-sql-s"], false),
    ("Mumble", &["mumble"], false),
    ("MySQL", &["mysql"], true),
    ("NAT-PMP", &["nat-pmp"], false),
    ("NFS", &["nfs", "sunrpc"], false),
    ("NTP", &["ntp"], true),
    ("Nats", &["nats"], false),
    (
        "NetBIOS",
        &["netbios-ns", "netbios-dgm", "netbios-ssn", "smb"],
        false,
    ),
    ("Nintendo", &["nintendo"], false),
    ("NoMachine", &["nomachine"], false),
    ("OpenFlow", &["openflow"], false),
    ("OpenVPN", &["openvpn"], true),
    ("OpenWire", &["openwire"], false),
    ("Oracle", &["oracle-tns"], false),
    ("POP3", &["pop3"], true),
    ("POPS", &["pop3", "tls"], true),
    ("PostgreSQL", &["pgsql"], true),
    ("QUIC", &["quic"], true),
    ("RADIUS", &["radius"], true),
    ("RDP", &["rdp"], true),
    ("RESP", &["redis"], true),
    ("RSH", &["rsh", "shell"], false),
    ("RSYNC", &["rsync"], false),
    ("RTCP", &["rtcp"], true),
    ("RTMP", &["rtmp"], false),
    ("RTP", &["rtp"], true),
    ("RTSP", &["rtsp"], false),
    ("Radius", &["radius"], true),
    ("Radmin", &["radmin"], false),
    ("Raft", &["raft"], false),
    ("Redis", &["redis"], true),
    ("Roughtime", &["roughtime"], false),
    ("S7Comm", &["s7comm", "iso-tsap"], false),
    ("SCTP", &["sctp"], false),
    ("SIP", &["sip"], true),
    ("SMBv1", &["smb"], true),
    ("SMBv23", &["smb"], true),
    ("SMPP", &["smpp"], false),
    ("SMTP", &["smtp"], true),
    ("SMTPS", &["smtp", "tls"], true),
    ("SNMP", &["snmp"], true),
    ("SOAP", &["http"], false),
    ("SOCKS", &["socks"], false),
    ("SOMEIP", &["someip"], false),
    ("SSDP", &["ssdp"], false),
    ("SSH", &["ssh"], true),
    ("STUN", &["stun", "rtp"], true),
    ("Service_Location_Protocol", &["svrloc"], false),
    ("Spotify", &["spotify"], false),
    ("Steam", &["steam"], false),
    ("Syslog", &["syslog"], true),
    ("TFTP", &["tftp"], false),
    ("TLS", &["tls"], true),
    ("Tailscale", &["tailscale"], false),
    ("Telnet", &["telnet"], false),
    ("VRRP", &["vrrp"], false),
    ("WhatsApp", &["whatsapp"], false),
    ("WireGuard", &["wireguard"], true),
    ("WorldOfWarcraft", &["world-of-warcraft"], false),
    ("Zoom", &["zoom"], false),
    ("collectd", &["collectd"], false),
    ("eDonkey", &["edonkey"], false),
];

const PAGE: &str = "\
# Applications: what packets say, beside nDPI

`flowhouse replay --as packets` reads the captures of the nDPI project, and `app_proto` of each conversation is held against the
master protocol that nDPI publishes for it; by flows and by nDPI's bytes. What nDPI calls unknown is left out. Where two names
mean the same protocol, both are in the table. This page is written by a test (`FLOWHOUSE_BLESS=1 cargo test --test it applications`)
and fails it when it is out of date.

| nDPI | `app_proto` | flows | bytes | flows that agree | bytes that agree |
| --- | --- | --- | --- | --- | --- |
";

const WHY: &str = "
Where both differ, and why:

- TLS: a conversation of RDP that goes on in TLS is `rdp` here; obfuscated OpenVPN on port 443 is `openvpn` here, and a guess by port there.
- NetBIOS: SMB in a session of NetBIOS is `smb` here. STUN: a call that it opened is `rtp` here once two packets of media came in a row.
- RTP, HTTP, DNS: single packets of a capture whose bits were turned at random (`nd-fuzz-*`).
- Jabber: WhatsApp's encrypted stream on port 5223 says nothing of XMPP. IPSec: AH is entered, what is in it is the conversation.
- AJP, CiscoVPN, Azure, Google, AmazonAWS, NordVPN: guesses by port and address there; here the port names what packets do not.
- Activision, EpicGames, LineCall, NoMachine over UDP, SteamDatagramRelay: no fixed octets are published. Media of LINE that is RTP is `rtp` here.
";

const REST: &str = "\
Protocols that are not among those that have to be known:

| nDPI | `app_proto` | flows | bytes | flows that agree | bytes that agree |
| --- | --- | --- | --- | --- | --- |
";
