//! Well-known ports and IP protocol numbers.
//!
//! Facts from the IANA Service Name and Transport Protocol Port Number Registry (RFC 6335) and the IANA Protocol
//! Numbers registry. Names are protocols in lower case: Suricata's name where it has one (`krb5`, `dcerpc`, `pgsql`,
//! `rfb`, `ike`, `enip`), else the service name of the registry. A service that wraps its protocol in TLS, or that
//! runs over another protocol, has the outer protocol as `proto` and its own name as `app`. A few ports carry the
//! protocol that is met there today instead of the assignee; they are marked `met`.

/// One assignment.
pub struct WellKnown {
    /// First port.
    pub first: u16,
    /// Last port, `first` for a single one.
    pub last: u16,
    /// [`TCP`], [`UDP`], [`SCTP`], [`DCCP`] bits.
    pub transports: u8,
    /// Protocol spoken.
    pub proto: &'static str,
    /// Application on top; empty where it is the protocol.
    pub app: &'static str,
}

/// Bit of TCP (IP protocol 6).
pub const TCP: u8 = 1;
/// Bit of UDP (IP protocol 17).
pub const UDP: u8 = 2;
/// Bit of SCTP (IP protocol 132).
pub const SCTP: u8 = 4;
/// Bit of DCCP (IP protocol 33).
pub const DCCP: u8 = 8;
const BOTH: u8 = TCP | UDP;
const ALL: u8 = TCP | UDP | SCTP | DCCP;

const fn p(first: u16, transports: u8, proto: &'static str) -> WellKnown {
    on(first, transports, proto, "")
}

const fn on(first: u16, transports: u8, proto: &'static str, app: &'static str) -> WellKnown {
    WellKnown {
        first,
        last: first,
        transports,
        proto,
        app,
    }
}

const fn span(first: u16, last: u16, transports: u8, proto: &'static str) -> WellKnown {
    WellKnown {
        first,
        last,
        transports,
        proto,
        app: "",
    }
}

/// The protocols that IP carries directly, by number. TCP, UDP, SCTP and DCCP are named by their ports.
#[rustfmt::skip]
pub const IP_PROTOCOLS: &[(u8, &str)] = &[
    (1, "icmp"), (2, "igmp"), (3, "ggp"), (4, "ipip"), (5, "st"), (7, "cbt"), (8, "egp"), (9, "igp"), (27, "rdp-ip"),
    (41, "ipv6"), (46, "rsvp"), (47, "gre"), (48, "dsr"), (50, "esp"), (51, "ah"), (54, "narp"), (55, "mobile"),
    (56, "skip"), (58, "icmpv6"), (80, "iso-ip"), (83, "vines"), (88, "eigrp"), (89, "ospf"), (92, "mtp"),
    (93, "ax25"), (94, "ipip"), (95, "micp"), (97, "etherip"), (98, "encap"), (103, "pim"), (105, "scps"),
    (108, "ipcomp"), (111, "ipx-in-ip"), (112, "vrrp"), (113, "pgm"), (115, "l2tp"), (118, "stp"), (121, "smp"),
    (124, "isis"), (133, "fc"), (135, "mobility"), (136, "udplite"), (137, "mpls"), (138, "manet"), (139, "hip"),
    (140, "shim6"), (141, "wesp"), (142, "rohc"), (143, "ethernet"), (144, "aggfrag"),
];

/// Ports, in order of the first.
#[rustfmt::skip]
pub const WELL_KNOWN: &[WellKnown] = &[
    p(1, TCP, "tcpmux"), p(7, BOTH, "echo"), p(9, ALL, "discard"), p(11, BOTH, "systat"), p(13, BOTH, "daytime"),
    p(17, BOTH, "qotd"), p(18, BOTH, "msp"), p(19, BOTH, "chargen"), p(20, TCP | SCTP, "ftp-data"),
    p(21, TCP | SCTP, "ftp"), p(22, TCP | SCTP, "ssh"), p(23, TCP, "telnet"), p(25, TCP, "smtp"), p(37, BOTH, "time"),
    p(42, BOTH, "nameserver"), p(43, TCP, "whois"), p(49, BOTH, "tacacs"), p(53, BOTH, "dns"), p(63, BOTH, "whoispp"),
    span(67, 68, UDP, "dhcp"), p(69, UDP, "tftp"), p(70, TCP, "gopher"), p(79, TCP, "finger"),
    p(80, TCP | SCTP, "http"), on(80, UDP, "quic", "http3"), p(88, BOTH, "krb5"), p(102, TCP, "iso-tsap"),
    p(104, TCP, "dicom"), p(105, TCP, "csnet-ns"), p(107, TCP, "rtelnet"), p(109, TCP, "pop2"), p(110, TCP, "pop3"),
    p(111, BOTH, "sunrpc"), p(113, TCP, "ident"), p(115, TCP, "sftp"), p(117, TCP, "uucp-path"), p(119, TCP, "nntp"),
    p(123, UDP, "ntp"), on(135, BOTH, "dcerpc", "epmap"), p(137, BOTH, "netbios-ns"), p(138, BOTH, "netbios-dgm"),
    on(139, TCP, "smb", "netbios-ssn"), p(143, TCP, "imap"), p(161, BOTH, "snmp"), on(162, BOTH, "snmp", "snmptrap"),
    p(163, BOTH, "cmip-man"), p(164, BOTH, "cmip-agent"), p(170, TCP, "print-srv"), p(174, BOTH, "mailq"),
    p(177, UDP, "xdmcp"), p(179, TCP | SCTP, "bgp"), p(194, BOTH, "irc"), p(199, TCP, "smux"), p(201, UDP, "at-rtmp"),
    p(202, UDP, "at-nbp"), p(204, UDP, "at-echo"), p(206, UDP, "at-zis"), p(209, BOTH, "qmtp"), p(210, TCP, "z39-50"),
    p(213, UDP, "ipx"), p(220, BOTH, "imap"), p(259, BOTH, "esro-gen"), p(264, TCP, "bgmp"),
    on(280, TCP, "http", "http-mgmt"), p(311, TCP, "asip-webadmin"), p(318, TCP, "pkix-timestamp"),
    on(319, UDP, "ptp", "ptp-event"), on(320, UDP, "ptp", "ptp-general"), p(323, TCP, "rpki-rtr"),
    on(324, TCP, "tls", "rpki-rtr-tls"), p(350, BOTH, "matip-type-a"), p(351, BOTH, "matip-type-b"),
    p(366, TCP, "odmr"), p(369, BOTH, "rpc2portmap"), p(370, BOTH, "codaauth2"), p(371, BOTH, "clearcase"),
    p(383, BOTH, "hp-alarm-mgr"), p(387, BOTH, "aurp"), p(389, BOTH, "ldap"), p(401, BOTH, "ups"),
    p(407, BOTH, "timbuktu"), p(411, TCP, "rmt"), p(427, BOTH, "svrloc"), p(434, UDP, "mobileip"),
    p(443, TCP | SCTP, "tls"), p(443, UDP, "quic"), p(444, BOTH, "snpp"), p(445, BOTH, "smb"),
    on(464, BOTH, "krb5", "kpasswd"), on(465, TCP, "tls", "smtps"), p(496, BOTH, "pim-rp-disc"),
    p(497, BOTH, "retrospect"), p(500, UDP, "ike"), p(502, TCP, "modbus"), p(504, BOTH, "citadel"), p(512, TCP, "exec"),
    p(512, UDP, "comsat"), p(513, TCP, "login"), p(513, UDP, "who"), p(514, TCP, "shell"), p(514, UDP, "syslog"),
    p(515, TCP, "printer"), p(517, UDP, "talk"), p(518, UDP, "ntalk"), p(520, TCP, "efs"), p(520, UDP, "rip"),
    p(521, UDP, "ripng"), p(524, BOTH, "ncp"), p(530, TCP, "courier"), p(532, TCP, "netnews"), p(533, UDP, "netwall"),
    p(540, TCP, "uucp"), p(543, TCP, "klogin"), p(544, TCP, "kshell"), span(546, 547, UDP, "dhcpv6"),
    p(548, TCP, "afp"), p(554, BOTH, "rtsp"), p(556, TCP, "remotefs"), on(563, TCP, "tls", "nntps"),
    on(587, TCP, "smtp", "submission"), on(591, TCP, "http", "http-alt"), on(593, TCP, "dcerpc", "http-rpc-epmap"),
    p(601, TCP, "syslog"), p(607, BOTH, "nqs"), p(623, UDP, "asf-rmcp"), on(631, BOTH, "http", "ipp"),
    on(636, TCP, "tls", "ldaps"), p(639, TCP, "msdp"), p(646, BOTH, "ldp"), p(647, TCP, "dhcp-failover"),
    p(648, TCP, "rrp"), p(654, UDP, "aodv"), p(655, BOTH, "tinc"), p(657, BOTH, "rmc"), p(660, TCP, "mac-srvr-admin"),
    p(666, BOTH, "doom"), p(674, TCP, "acap"), p(691, TCP, "msexch-routing"), p(694, BOTH, "ha-cluster"),
    p(698, UDP, "olsr"), p(700, TCP, "epp"), p(701, UDP, "lmp"), p(702, TCP, "iris-beep"), p(706, TCP, "silc"),
    p(711, TCP, "cisco-tdp"), p(712, UDP, "tbrpf"), on(749, BOTH, "krb5", "kerberos-adm"),
    on(750, UDP, "krb5", "kerberos-iv"), p(830, TCP, "ssh"), p(831, TCP, "netconf-beep"),
    on(832, TCP, "http", "netconf-soap"), p(847, TCP, "dhcp-failover"), p(848, BOTH, "gdoi"),
    on(853, TCP, "tls", "dns-over-tls"), on(853, UDP, "quic", "dns-over-quic"), p(854, BOTH, "dlep"),
    p(860, TCP, "iscsi"), p(861, BOTH, "owamp-control"), p(862, BOTH, "twamp-control"), p(873, TCP, "rsync"),
    p(888, TCP, "accessbuilder"), p(910, BOTH, "kink"), p(953, TCP, "rndc"), on(989, TCP, "tls", "ftps-data"),
    on(990, TCP, "tls", "ftps"), p(991, BOTH, "nas"), on(992, TCP, "tls", "telnets"), on(993, TCP, "tls", "imaps"),
    on(995, TCP, "tls", "pop3s"),

    p(1080, TCP, "socks"), p(1085, TCP, "webobjects"), p(1099, TCP, "rmiregistry"), p(1167, UDP, "cisco-ipsla"),
    p(1194, BOTH, "openvpn"), p(1214, BOTH, "kazaa"), p(1241, TCP, "nessus"), p(1270, TCP, "opsmgr"),
    p(1293, BOTH, "pkt-krb-ipsec"), p(1311, TCP, "rxmon"), p(1344, TCP, "icap"), p(1352, TCP, "lotusnote"),
    p(1414, TCP, "ibm-mqseries"), span(1417, 1420, BOTH, "timbuktu"), p(1433, TCP, "ms-sql-s"),
    p(1434, UDP, "ms-sql-m"), p(1494, BOTH, "ica"), p(1503, TCP, "imtc-mcs"), p(1512, BOTH, "wins"),
    p(1521, TCP, "oracle-tns") /* met */, p(1525, TCP, "orasrv"), p(1527, TCP, "tlisrv"), p(1533, TCP, "virtual-places"),
    p(1547, TCP, "laplink"), p(1575, TCP, "oraclenames"), p(1604, UDP, "icabrowser"), p(1630, TCP, "oraclenet8cman"),
    span(1645, 1646, UDP, "radius") /* met */, p(1649, TCP, "kermit"), p(1677, TCP, "groupwise"), p(1701, UDP, "l2tp"),
    p(1718, UDP, "h323gatedisc"), p(1719, UDP, "h323gatestat"), p(1720, TCP, "h323hostcall"), p(1723, TCP, "pptp"),
    p(1741, TCP, "cisco-net-mgmt"), p(1755, BOTH, "ms-streaming"), p(1801, BOTH, "msmq"), p(1812, BOTH, "radius"),
    on(1813, BOTH, "radius", "radius-acct"), p(1863, TCP, "msnp"), p(1883, TCP, "mqtt"), p(1900, UDP, "ssdp"),
    p(1935, TCP, "rtmp"), p(1985, UDP, "hsrp"), p(1998, TCP, "x25-svc"), p(2000, TCP, "cisco-sccp"),
    p(2049, TCP | UDP | SCTP, "nfs"), p(2055, UDP, "netflow") /* met */, on(2083, TCP, "tls", "radsec"),
    on(2083, UDP, "radius", "radsec"), p(2086, BOTH, "gnunet"), p(2102, UDP, "zephyr-srv"), p(2103, UDP, "zephyr-clt"),
    p(2104, UDP, "zephyr-hm"), p(2123, UDP, "gtp-control"), p(2152, UDP, "gtp-user"),
    p(2181, TCP, "zookeeper") /* met */, p(2222, BOTH, "enip"), p(2302, UDP, "bintec-capi"),
    on(2375, TCP, "http", "docker"), on(2376, TCP, "tls", "docker-s"), on(2377, TCP, "tls", "swarm"),
    p(2379, TCP, "etcd-client"), p(2380, TCP, "etcd-server"), p(2383, TCP, "ms-olap4"), p(2401, TCP, "cvspserver"),
    p(2404, TCP, "iec-104"), p(2427, UDP, "mgcp"), p(2432, BOTH, "codasrv"), p(2447, TCP, "ovwdb"), p(2481, TCP, "giop"),
    on(2483, TCP, "oracle-tns", "ttc"), on(2484, TCP, "tls", "ttc-ssl"), p(2512, TCP, "citrixima"),
    p(2513, TCP, "citrixadmin"), p(2598, BOTH, "citrix-cgp") /* met */, p(2628, TCP, "dict"),
    p(2638, TCP, "sybaseanywhere"), p(2727, UDP, "mgcp"), p(2775, TCP, "smpp"), p(2809, TCP, "corbaloc"),
    on(2811, TCP, "ftp", "gsiftp"), on(2869, TCP, "http", "icslap"), p(2904, SCTP, "m2ua"), p(2905, SCTP, "m3ua"),
    p(2944, TCP | UDP | SCTP, "megaco-h248"), p(2945, TCP | UDP | SCTP, "h248-binary"), p(2947, TCP, "gpsd"),
    p(2948, UDP, "wap-push"), p(2967, BOTH, "ssc-agent"), p(3020, TCP, "cifs"), p(3050, TCP, "gds-db"),
    p(3074, BOTH, "xbox"), on(3128, TCP, "http", "http-proxy") /* met */, p(3130, UDP, "icpv2"), p(3205, BOTH, "isns"),
    p(3225, TCP, "fcip"), p(3260, TCP, "iscsi"), on(3268, TCP, "ldap", "msft-gc"), on(3269, TCP, "tls", "msft-gc-ssl"),
    p(3283, BOTH, "net-assistant"), p(3300, TCP, "ceph"), p(3306, TCP, "mysql"), p(3343, BOTH, "ms-cluster-net"),
    p(3389, BOTH, "rdp"), p(3478, BOTH, "stun"), p(3483, BOTH, "slim-devices"), p(3493, TCP, "nut"),
    p(3544, UDP, "teredo"), p(3551, TCP, "apcupsd"), p(3632, TCP, "distcc"), p(3659, BOTH, "apple-sasl"),
    p(3689, TCP, "daap"), p(3690, TCP, "svn"), p(3702, UDP, "ws-discovery"), p(3724, BOTH, "blizwow"),
    on(3784, UDP, "bfd", "bfd-control"), on(3785, UDP, "bfd", "bfd-echo"), on(3799, UDP, "radius", "radius-dynauth"),
    p(3868, TCP | SCTP, "diameter"), p(3910, TCP, "prnrequest"), p(3911, TCP, "prnstatus"),
    p(4011, UDP, "altserviceboot"), p(4045, BOTH, "npp"), p(4172, BOTH, "pcoip"), p(4190, TCP, "sieve"),
    p(4321, TCP, "rwhois"), p(4341, UDP, "lisp-data"), p(4342, UDP, "lisp-control"), on(4353, TCP, "tls", "f5-iquery"),
    p(4369, TCP, "epmd"), on(4460, TCP, "tls", "ntske"), on(4500, UDP, "ike", "ipsec-nat-t"), p(4569, UDP, "iax"),
    p(4713, TCP, "pulseaudio"), p(4739, TCP | UDP | SCTP, "ipfix"), on(4740, TCP, "tls", "ipfixs"),
    p(4784, UDP, "bfd"), p(4786, TCP, "smart-install"), p(4789, UDP, "vxlan"), p(4790, UDP, "vxlan-gpe"),
    p(4840, BOTH, "opcua"), on(4843, TCP, "tls", "opcua-tls"), on(4848, TCP, "http", "appserv-http"),
    p(4899, TCP, "radmin"), p(4949, TCP, "munin"), p(5003, TCP, "filemaker"), p(5004, UDP | DCCP, "rtp"),
    p(5005, UDP | DCCP, "rtcp"), p(5060, TCP | UDP | SCTP, "sip"), on(5061, TCP | SCTP, "tls", "sips"),
    p(5084, TCP, "llrp"), on(5085, TCP, "tls", "encrypted-llrp"), p(5093, UDP, "sentinel-lm"), p(5094, BOTH, "hart-ip"),
    p(5190, TCP, "aol"), p(5222, TCP, "xmpp"), p(5246, UDP, "capwap-control"), p(5247, UDP, "capwap-data"),
    p(5269, TCP, "xmpp"), p(5298, BOTH, "presence"), on(5349, TCP, "tls", "stuns"), on(5349, UDP, "dtls", "stuns"),
    p(5351, UDP, "nat-pmp"), p(5353, UDP, "mdns"), p(5355, BOTH, "llmnr"), on(5357, TCP, "http", "wsdapi"),
    on(5358, TCP, "tls", "wsdapi-s"), p(5405, BOTH, "netsupport"), p(5432, TCP, "pgsql"), p(5445, TCP, "smbdirect"),
    p(5556, TCP, "freeciv"), p(5568, UDP, "sdt"), p(5631, TCP, "pcanywheredata"), p(5632, UDP, "pcanywherestat"),
    p(5666, TCP, "nrpe"), on(5671, TCP, "tls", "amqps"), p(5672, TCP | SCTP, "amqp"), p(5683, BOTH, "coap"),
    on(5684, UDP, "dtls", "coaps"), on(5684, TCP, "tls", "coaps"), p(5723, TCP, "omhs"), p(5900, TCP, "rfb"),
    on(5984, TCP, "http", "couchdb"), on(5985, TCP, "http", "wsman"), on(5986, TCP, "tls", "wsmans"),
    span(6000, 6063, TCP, "x11"), p(6080, UDP, "gue"), p(6081, UDP, "geneve"), p(6112, TCP, "dtspcd"),
    p(6343, UDP, "sflow"), span(6346, 6347, BOTH, "gnutella"), p(6379, TCP, "redis"),
    on(6432, TCP, "pgsql", "pgbouncer"), on(6443, TCP, "tls", "kubernetes") /* met */, p(6481, TCP, "servicetags"),
    on(6513, TCP, "tls", "netconf-tls"), on(6514, TCP, "tls", "syslog-tls"), on(6514, UDP, "dtls", "syslog-tls"),
    p(6556, TCP, "checkmk-agent"), p(6566, TCP, "sane"), p(6634, UDP, "mpls-pm"), p(6635, UDP, "mpls-udp"),
    p(6640, TCP, "ovsdb"), p(6653, TCP, "openflow"), span(6665, 6669, TCP, "irc"), p(6696, UDP, "babel"),
    on(6697, TCP, "tls", "ircs"), on(6784, UDP, "bfd", "bfd-lag"), span(6881, 6889, BOTH, "bittorrent") /* met */,
    p(7000, UDP, "afs3-fileserver"), p(7001, UDP, "afs3-callback"), p(7002, UDP, "afs3-prserver"),
    p(7003, UDP, "afs3-vlserver"), p(7004, UDP, "afs3-kaserver"), p(7005, UDP, "afs3-volser"), p(7400, UDP, "rtps"),
    p(7474, TCP, "neo4j"), on(7547, TCP, "http", "cwmp"), on(7627, TCP, "http", "soap-http"), p(7680, TCP, "pando-pub"),
    p(7687, TCP, "bolt"), on(8000, TCP, "http", "http-alt") /* met */, on(8008, TCP, "http", "http-alt"),
    on(8080, TCP, "http", "http-alt"), on(8081, TCP, "http", "http-alt") /* met */, on(8088, TCP, "http", "radan-http"),
    on(8118, TCP, "http", "privoxy"), on(8140, TCP, "tls", "puppet"), on(8243, TCP, "tls", "synapse-nhttps"),
    on(8443, TCP, "tls", "https-alt"), p(8472, UDP, "otv"), p(8554, BOTH, "rtsp"), p(8600, UDP, "asterix"),
    p(8610, BOTH, "canon-mfnp"), span(8611, 8614, BOTH, "canon-bjnp"), on(8883, TCP, "tls", "mqtts"),
    on(8888, TCP, "http", "http-alt") /* met */, on(8989, TCP, "tls", "sunwebadmins"),
    p(9042, TCP, "cassandra") /* met */, p(9092, TCP, "kafka") /* met */, p(9100, TCP, "pdl-datastream"),
    p(9101, TCP, "bacula-dir"), p(9102, TCP, "bacula-fd"), p(9103, TCP, "bacula-sd"),
    on(9200, TCP, "http", "elasticsearch") /* met */, p(9306, TCP, "sphinxql"), p(9312, TCP, "sphinxapi"),
    p(9389, TCP, "adws"), p(9418, TCP, "git"), on(9443, TCP, "tls", "tungsten-https"), p(9875, UDP, "sap"),
    p(9899, UDP, "sctp-tunneling"), p(9900, SCTP, "iua"), p(9996, UDP, "netflow") /* met */, p(10000, TCP, "ndmp"),
    p(10050, TCP, "zabbix-agent"), p(10051, TCP, "zabbix-trapper"), p(10080, BOTH, "amanda"), p(10110, BOTH, "nmea-0183"),
    on(10161, TCP, "tls", "snmptls"), on(10161, UDP, "dtls", "snmpdtls"), on(10162, TCP, "tls", "snmptls-trap"),
    p(10500, UDP, "hip-nat-t"), p(10809, TCP, "nbd"), p(11211, BOTH, "memcache"), on(11371, TCP, "http", "hkp"),
    p(12222, UDP, "lwapp-data") /* met */, p(12223, UDP, "lwapp-control") /* met */, p(13720, TCP, "bprd"),
    p(13721, TCP, "bpdbm"), p(13722, TCP, "bpjava-msvc"), p(13724, TCP, "vnetd"), p(13782, TCP, "bpcd"),
    p(13783, TCP, "vopied"), p(14001, SCTP, "sua"), p(17500, BOTH, "db-lsp"), p(18181, TCP, "opsec-cvp"),
    p(18182, TCP, "opsec-ufp"), p(18183, TCP, "opsec-sam"), p(18184, TCP, "opsec-lea"), p(19283, BOTH, "keysrvr"),
    p(19998, TCP, "iec-104-sec"), on(19999, BOTH, "dnp3", "dnp-sec"), p(20000, BOTH, "dnp3"), p(22273, TCP, "wnn6"),
    p(24554, TCP, "binkp"), p(26000, BOTH, "quake"), span(27000, 27009, TCP, "flex-lm"), p(27017, TCP, "mongodb"),
    p(29118, SCTP, "sgsap"), p(29168, SCTP, "sbcap"), p(33060, TCP, "mysqlx"), span(33434, 33523, UDP, "traceroute"),
    p(34962, BOTH, "profinet-rt"), p(34963, BOTH, "profinet-rtm"), p(34964, BOTH, "profinet-cm"),
    p(34980, BOTH, "ethercat"), p(36412, SCTP, "s1ap"), p(36422, SCTP, "x2ap"), p(36443, SCTP, "m2ap"),
    p(38412, SCTP, "ngap"), p(38422, SCTP, "xnap"), p(38462, SCTP, "e1ap"), p(38472, SCTP, "f1ap"),
    p(41794, BOTH, "crestron-cip"), on(41796, TCP, "tls", "crestron-cips"), p(44321, TCP, "pmcd"),
    p(44818, BOTH, "enip"), p(47808, UDP, "bacnet"), p(51820, UDP, "wireguard") /* met */,
];

/// Names that exporters (NBAR and its kin) use for a protocol we name otherwise.
#[rustfmt::skip]
pub const PROTOCOL_ALIASES: &[(&str, &str)] = &[
    ("ssl", "tls"), ("https", "tls"), ("secure-http", "tls"), ("http-ssl", "tls"), ("ms-wbt-server", "rdp"),
    ("secure-imap", "tls"), ("secure-pop3", "tls"), ("secure-smtp", "tls"), ("secure-ldap", "tls"),
    ("secure-ftp", "tls"), ("secure-telnet", "tls"), ("secure-irc", "tls"), ("secure-nntp", "tls"),
    ("domain", "dns"), ("kerberos", "krb5"), ("isakmp", "ike"), ("ipsec-nat-t", "ike"), ("vnc", "rfb"),
    ("microsoft-ds", "smb"), ("cifs", "smb"), ("netbios-ssn", "smb"), ("postgresql", "pgsql"), ("postgres", "pgsql"),
    ("sqlserver", "ms-sql-s"), ("ms-sql", "ms-sql-s"), ("sqlnet", "oracle-tns"), ("bootp", "dhcp"), ("bootps", "dhcp"),
    ("bootpc", "dhcp"), ("ipv6-icmp", "icmpv6"), ("ping", "icmp"), ("ms-rpc", "dcerpc"), ("msrpc", "dcerpc"),
    ("ipinip", "ipip"), ("rtp-audio", "rtp"), ("rtp-video", "rtp"), ("skinny", "cisco-sccp"), ("h323", "h323hostcall"),
    ("dnp", "dnp3"), ("http2", "http"), ("web", "http"), ("google-quic", "quic"), ("http-alt", "http"),
    ("ipsec", "esp"), ("ethernet-ip", "enip"), ("snmptrap", "snmp"), ("secure-shell", "ssh"), ("xwindows", "x11"),
];
