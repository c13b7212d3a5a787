//! Protocols that are told by what packets say.

macro_rules! protocols {
    ($($variant:ident = $name:literal;)*) => {
        /// A protocol that a conversation speaks. The numbers stay within the process: rows have the name's id.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "each variant is the protocol it names")]
        pub enum AppProto {
            /// Not told.
            #[default]
            Unknown,
            $($variant,)*
        }

        impl AppProto {
            /// Every protocol, in the order of the numbers from 1.
            pub const ALL: &'static [AppProto] = &[$(AppProto::$variant),*];

            /// The name in `app_proto`: Suricata's where it has one, else that of the port registry.
            pub const fn name(self) -> &'static str {
                match self {
                    AppProto::Unknown => "",
                    $(AppProto::$variant => $name,)*
                }
            }
        }
    };
}

protocols! {
    Http = "http"; Http2 = "http2"; Tls = "tls"; Quic = "quic"; Dns = "dns"; Mdns = "mdns"; Llmnr = "llmnr"; Dtls = "dtls";
    Dhcp = "dhcp"; Dhcpv6 = "dhcpv6"; Ntp = "ntp"; Ssh = "ssh"; Smtp = "smtp"; Imap = "imap"; Pop3 = "pop3"; Ftp = "ftp"; FtpData = "ftp-data";
    Sip = "sip"; Rtp = "rtp"; Rtcp = "rtcp"; Smb = "smb"; NetbiosNs = "netbios-ns"; NetbiosDgm = "netbios-dgm"; NetbiosSsn = "netbios-ssn";
    Dcerpc = "dcerpc"; Krb5 = "krb5"; Ldap = "ldap"; Rdp = "rdp"; Snmp = "snmp"; Radius = "radius"; Syslog = "syslog"; Mqtt = "mqtt";
    Modbus = "modbus"; Dnp3 = "dnp3"; Mysql = "mysql"; Pgsql = "pgsql"; Redis = "redis"; Mongodb = "mongodb"; Cassandra = "cassandra";
    OracleTns = "oracle-tns"; MsSql = "ms-sql-s"; Memcache = "memcache"; Bittorrent = "bittorrent"; Wireguard = "wireguard"; Openvpn = "openvpn";
    Ike = "ike"; Esp = "esp"; Ah = "ah"; Stun = "stun"; Icmp = "icmp"; Icmpv6 = "icmpv6"; Igmp = "igmp"; Ospf = "ospf"; Pim = "pim"; Vrrp = "vrrp";
    Gre = "gre"; Sctp = "sctp"; Ssdp = "ssdp"; Tftp = "tftp"; Telnet = "telnet"; Rfb = "rfb"; Rtsp = "rtsp"; Rtmp = "rtmp"; Xmpp = "xmpp"; Irc = "irc";
    Amqp = "amqp"; Coap = "coap"; Bacnet = "bacnet"; S7 = "s7comm"; Iec104 = "iec-104"; Enip = "enip"; Opcua = "opcua"; GtpControl = "gtp-control";
    GtpUser = "gtp-user"; Diameter = "diameter"; Socks = "socks"; Ipp = "ipp"; Nfs = "nfs"; Sunrpc = "sunrpc"; Rsync = "rsync"; Git = "git"; Bgp = "bgp";
    Netflow = "netflow"; Ipfix = "ipfix"; Sflow = "sflow"; Hsrp = "hsrp"; Bfd = "bfd"; Capwap = "capwap"; NatPmp = "nat-pmp"; Lisp = "lisp";
    Nats = "nats"; Ajp = "ajp"; Elasticsearch = "elasticsearch"; Collectd = "collectd"; Someip = "someip"; HartIp = "hart-ip"; Knxnet = "knxnet-ip";
    CiscoSccp = "cisco-sccp"; Svrloc = "svrloc"; Smpp = "smpp"; Mumble = "mumble"; Dropbox = "dropbox-lan"; Roughtime = "roughtime"; Dnscrypt = "dnscrypt";
    WebSocket = "websocket"; L2tp = "l2tp"; Teredo = "teredo"; Rip = "rip"; Ceph = "ceph"; Kafka = "kafka"; Zabbix = "zabbix-agent"; Checkmk = "checkmk-agent";
    Giop = "giop"; Radmin = "radmin"; Afp = "afp"; Fastcgi = "fastcgi"; Openflow = "openflow"; Ethereum = "ethereum"; Edonkey = "edonkey"; Whois = "whois";
    Discord = "discord"; Steam = "steam"; Mms = "mms"; Tpkt = "iso-tsap"; Rsh = "rsh"; Openwire = "openwire"; Haproxy = "haproxy"; MpegTs = "mpeg-ts";
    H323 = "h323"; Eigrp = "eigrp"; Rsvp = "rsvp"; Zoom = "zoom"; Wow = "world-of-warcraft"; Nomachine = "nomachine"; Monero = "monero"; Spotify = "spotify";
    Raft = "raft"; Whatsapp = "whatsapp"; Stratum = "stratum"; X11 = "x11"; Nintendo = "nintendo"; Tailscale = "tailscale";
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_theirs_alone() {
        let names: BTreeSet<_> = AppProto::ALL.iter().map(|p| p.name()).collect();
        assert_eq!(names.len(), AppProto::ALL.len());
        for (n, p) in AppProto::ALL.iter().enumerate() {
            assert_eq!(*p as usize, n + 1);
            assert_eq!(p.name(), p.name().to_ascii_lowercase());
        }
    }
}
