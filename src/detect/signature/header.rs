//! The header of a rule: action, protocol, who speaks to whom.

use super::list::RangeSet;
use super::settings::Settings;
use super::syntax::RuleText;
use super::variables::Variables;
use serde::Serialize;

/// What the rule's author wants done. Here every action but `pass` raises an alert: this is a sensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Raise an alert.
    Alert,
    /// Look no further at this packet or flow.
    Pass,
    /// Meant to drop the packet.
    Drop,
    /// Meant to refuse the connection, to either or both ends.
    Reject,
}

/// Where a rule looks: the header's protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Any packet, decoded or not.
    Packet,
    /// IPv4 and IPv6.
    Ip,
    /// IPv4 only.
    Ipv4,
    /// IPv6 only.
    Ipv6,
    /// TCP, packets and stream.
    Tcp,
    /// TCP, packets alone.
    TcpPacket,
    /// TCP, the stream alone.
    TcpStream,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
    /// ICMP of both versions.
    Icmp,
    /// ICMP of IPv4.
    Icmpv4,
    /// ICMP of IPv6.
    Icmpv6,
    /// A protocol of the application layer, by Suricata's name.
    #[serde(untagged)]
    Application(&'static str),
}

/// Which direction of a conversation the header means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// `->`
    Forward,
    /// `<>`
    Both,
}

/// A header, proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// What is to be done.
    pub action: Action,
    /// Where to look.
    pub protocol: Protocol,
    /// Source addresses.
    pub source: RangeSet,
    /// Source ports.
    pub source_ports: RangeSet,
    /// One direction or both.
    pub direction: Direction,
    /// Destination addresses.
    pub destination: RangeSet,
    /// Destination ports.
    pub destination_ports: RangeSet,
}

impl Header {
    /// Reads the seven words of a header; a fault has the part that it is in.
    pub(super) fn parse(
        rule: &RuleText,
        variables: &Variables,
        settings: &Settings,
    ) -> Result<Self, (&'static str, String)> {
        let within = |part: &'static str| move |reason: String| (part, reason);
        let [
            action,
            protocol,
            source,
            source_ports,
            arrow,
            destination,
            destination_ports,
        ] = &rule.header;
        let addresses = |text: &str| {
            let set = variables.addresses_of(text, settings);
            set.map_err(within("address"))
        };
        let ports = |text: &str| variables.ports_of(text, settings).map_err(within("port"));
        Ok(Self {
            direction: Direction::parse(arrow).map_err(within("direction"))?,
            action: Action::parse(action).map_err(within("action"))?,
            protocol: Protocol::parse(protocol).map_err(within("protocol"))?,
            source: addresses(source)?,
            source_ports: ports(source_ports)?,
            destination: addresses(destination)?,
            destination_ports: ports(destination_ports)?,
        })
    }
}

impl Direction {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "->" => Ok(Self::Forward),
            "<>" => Ok(Self::Both),
            "<-" => Err("`<-` is no direction: swap the two ends and write `->`".to_owned()),
            "=>" => Err("`=>` is of Suricata 8: write `->`".to_owned()),
            other => Err(format!("`{other}` is no direction: write `->` or `<>`")),
        }
    }
}

impl Action {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "alert" => Ok(Self::Alert),
            "pass" => Ok(Self::Pass),
            "drop" => Ok(Self::Drop),
            "reject" | "rejectsrc" | "rejectdst" | "rejectboth" => Ok(Self::Reject),
            "log" | "activate" | "dynamic" | "block" | "sdrop" | "react" | "rewrite" => Err(
                format!("the action `{text}` is Snort's: write alert, pass, drop or reject"),
            ),
            // such a rule steers what is logged and alerts never
            "config" => Ok(Self::Alert),
            _ => Err(format!(
                "`{text}` is no action: write alert, pass, drop or reject"
            )),
        }
    }
}

impl Protocol {
    /// The protocol by the name that rules use.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let lower = text.to_ascii_lowercase();
        Ok(match lower.as_str() {
            "pkthdr" => Self::Packet,
            "ip" => Self::Ip,
            "ipv4" | "ip4" => Self::Ipv4,
            "ipv6" | "ip6" => Self::Ipv6,
            "tcp" => Self::Tcp,
            "tcp-pkt" => Self::TcpPacket,
            "tcp-stream" => Self::TcpStream,
            "udp" => Self::Udp,
            "sctp" => Self::Sctp,
            "icmp" => Self::Icmp,
            "icmpv4" => Self::Icmpv4,
            "icmpv6" => Self::Icmpv6,
            "file" => {
                return Err("the protocol `file` is Snort 3: write tcp and file.data".to_owned());
            }
            // those of applications are written in lower case
            _ => Self::Application(application(text).ok_or_else(|| {
                format!("`{text}` is no protocol (ip, tcp, tcp-pkt, tcp-stream, udp, icmp, sctp, http, tls, dns, ...)")
            })?),
        })
    }

    /// Its name in rules.
    pub fn name(self) -> &'static str {
        match self {
            Self::Packet => "pkthdr",
            Self::Ip => "ip",
            Self::Ipv4 => "ipv4",
            Self::Ipv6 => "ipv6",
            Self::Tcp => "tcp",
            Self::TcpPacket => "tcp-pkt",
            Self::TcpStream => "tcp-stream",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
            Self::Icmp => "icmp",
            Self::Icmpv4 => "icmpv4",
            Self::Icmpv6 => "icmpv6",
            Self::Application(name) => name,
        }
    }

    /// Whether rules of it may look into a header of a transport.
    pub(super) fn has_header(self, header: &str) -> Result<(), String> {
        use Protocol::{Icmp, Icmpv4, Icmpv6, Sctp, Tcp, TcpPacket, TcpStream, Udp};
        let is_tcp = matches!(self, Tcp | TcpPacket | TcpStream);
        let is_icmp = matches!(self, Icmp | Icmpv4 | Icmpv6);
        let is_other = match header {
            "tcp.hdr" => is_icmp || matches!(self, Udp | Sctp),
            "udp.hdr" => is_icmp || is_tcp || self == Sctp,
            "icmpv4.hdr" | "icmpv6.hdr" => is_tcp || matches!(self, Udp | Sctp),
            _ => false,
        };
        match is_other {
            false => Ok(()),
            true => Err(format!("{header} is not of rules of {}", self.name())),
        }
    }

    /// Whether packets of it can carry what one of `applications` says; an empty list is any.
    pub(super) fn carries(self, applications: &[&str]) -> bool {
        match self {
            Self::Application(name) => {
                applications.is_empty() || applications.iter().any(|a| same_family(name, a))
            }
            Self::Icmp | Self::Icmpv4 | Self::Icmpv6 | Self::Packet => applications.is_empty(),
            _ => true,
        }
    }
}

/// The application protocol's name as it is kept, aliases resolved.
pub(super) fn application(text: &str) -> Option<&'static str> {
    let name = match text {
        "ssl" => "tls",
        "dcerpc_udp" | "dcerpc_tcp" => "dcerpc",
        "ikev2" | "ikev1" => "ike",
        "http1" => "http1",
        other => other,
    };
    APPLICATIONS.iter().find(|a| **a == name).copied()
}

fn same_family(header: &str, wanted: &str) -> bool {
    let http = |n: &str| matches!(n, "http" | "http1" | "http2");
    header == wanted
        || http(header) && wanted == "http"
        || header == "http" && http(wanted)
        || header == "smb" && wanted == "dcerpc"
        || header == "dcerpc" && wanted == "smb"
        || matches!(
            (header, wanted),
            ("quic", "tls") | ("doh2", "http" | "http2" | "dns")
        )
}

#[rustfmt::skip]
const APPLICATIONS: &[&str] = &[
    "http", "http1", "http2", "ftp", "ftp-data", "smtp", "tls", "ssh", "imap", "pop3", "smb", "dcerpc", "dns", "mdns",
    "modbus", "enip", "dnp3", "nfs", "ntp", "tftp", "ike", "krb5", "quic", "dhcp", "sip", "rfb", "mqtt", "pgsql",
    "telnet", "websocket", "ldap", "doh2", "rdp", "snmp", "bittorrent-dht", "irc", "jabber", "msn",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_and_families() {
        assert_eq!(Protocol::parse("ssl"), Ok(Protocol::Application("tls")));
        assert_eq!(Protocol::parse("TCP"), Ok(Protocol::Tcp));
        assert!(Protocol::parse("SSL").is_err());
        assert!(Protocol::parse("file").unwrap_err().contains("Snort 3"));
        assert!(Protocol::parse("nope").is_err());
        let http = Protocol::parse("http").unwrap();
        assert!(http.carries(&["http"]) && http.carries(&[]) && !http.carries(&["tls"]));
        assert!(Protocol::Tcp.carries(&["tls"]) && !Protocol::Icmp.carries(&["tls"]));
    }
}
