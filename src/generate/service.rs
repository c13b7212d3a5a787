//! The applications that generated traffic consists of.

/// An application with the shape of its flows.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Service {
    /// Name as in an exporter's application table.
    pub name: &'static str,
    /// Description as in that table.
    pub description: &'static str,
    /// Application id: classification engine 13 in the top byte, selector below (RFC 6759).
    pub app_id: u32,
    /// Server port; 0 without ports.
    pub port: u16,
    /// IP protocol.
    pub protocol: u8,
    /// DSCP that the network marks it with.
    pub dscp: u8,
    /// Share of flows, out of the sum over [`SERVICES`].
    pub share: u32,
    /// Typical bytes of a packet from the client and from the server.
    pub packet_bytes: (u16, u16),
    /// Longest life of a flow in seconds.
    pub life_max_seconds: u32,
    /// Host name of the server; empty when none is sent.
    pub host: &'static str,
}

macro_rules! services {
    ($($name:literal $text:literal $selector:literal $port:literal/$protocol:literal dscp $dscp:literal share $share:literal
       bytes $up:literal:$down:literal life $life:literal host $host:literal;)*) => {
        /// Every application, by falling share.
        pub const SERVICES: &[Service] = &[$(Service {
            name: $name, description: $text, app_id: 13 << 24 | $selector, port: $port, protocol: $protocol, dscp: $dscp,
            share: $share, packet_bytes: ($up, $down), life_max_seconds: $life, host: $host,
        }),*];
    };
}

services! {
    "tls" "Transport Layer Security traffic" 453 443/6 dscp 0 share 300 bytes 180:1150 life 110 host "www.example.com";
    "quic" "QUIC over UDP" 1290 443/17 dscp 0 share 160 bytes 120:1200 life 110 host "video.example.net";
    "dns" "Domain Name System" 72 53/17 dscp 0 share 150 bytes 70:160 life 2 host "";
    "http" "World Wide Web traffic" 3 80/6 dscp 0 share 60 bytes 150:1000 life 60 host "updates.example.org";
    "ms-office-365" "Office suite in the cloud" 1431 443/6 dscp 18 share 50 bytes 300:900 life 300 host "outlook.example.com";
    "rtp-audio" "Voice media" 79 16384/17 dscp 46 share 36 bytes 200:200 life 180 host "";
    "ms-teams-video" "Conference video" 1509 3479/17 dscp 34 share 24 bytes 950:950 life 600 host "meet.example.com";
    "ntp" "Network Time Protocol" 84 123/17 dscp 0 share 24 bytes 76:76 life 1 host "";
    "sip" "Session Initiation Protocol" 64 5060/17 dscp 24 share 18 bytes 500:450 life 30 host "";
    "youtube" "Streamed video" 82 443/6 dscp 26 share 18 bytes 90:1350 life 600 host "stream.example.net";
    "ssh" "Secure Shell" 22 22/6 dscp 16 share 14 bytes 110:140 life 900 host "";
    "smb" "File shares" 44 445/6 dscp 10 share 14 bytes 400:1200 life 300 host "";
    "ms-sql-s" "Relational database" 179 1433/6 dscp 18 share 14 bytes 220:700 life 120 host "";
    "rdp" "Remote desktop" 126 3389/6 dscp 18 share 12 bytes 130:800 life 900 host "";
    "icmp" "Internet Control Message Protocol" 2 0/1 dscp 0 share 12 bytes 84:84 life 10 host "";
    "secure-imap" "Mail access" 47 993/6 dscp 0 share 10 bytes 120:600 life 120 host "mail.example.com";
    "snmp" "Network management" 63 161/17 dscp 16 share 10 bytes 120:300 life 5 host "";
    "smtp" "Mail transfer" 65 25/6 dscp 0 share 8 bytes 900:90 life 30 host "";
    "ipsec-nat-t" "Tunnels through address translation" 1208 4500/17 dscp 0 share 8 bytes 700:700 life 1200 host "";
    "rsync" "Backup" 164 873/6 dscp 8 share 6 bytes 1400:60 life 1800 host "";
    "bittorrent" "Peer-to-peer files" 69 6881/17 dscp 8 share 6 bytes 900:900 life 600 host "";
    "bgp" "Routing" 13 179/6 dscp 48 share 4 bytes 80:80 life 1800 host "";
    "unknown" "Not recognised" 1 27015/17 dscp 0 share 4 bytes 150:250 life 60 host "";
}

/// The sum of all shares.
pub(super) const SHARES: u32 = {
    let (mut i, mut sum) = (0, 0);
    while i < SERVICES.len() {
        sum += SERVICES[i].share;
        i += 1;
    }
    sum
};
