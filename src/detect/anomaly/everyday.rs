//! What calls a place in a rhythm by design, and places that are anybody's.

use super::sighting::FlowSeen;
use crate::model::AppProto;

/// Services of makers that say in packets who they are, calls and tunnels: they knock in a rhythm on the ports that they are given.
#[inline]
pub(super) fn is_rhythmic_app(spoken: u8) -> bool {
    const RHYTHMIC: [AppProto; 16] = [
        AppProto::Discord,
        AppProto::Steam,
        AppProto::Zoom,
        AppProto::Spotify,
        AppProto::Whatsapp,
        AppProto::Nintendo,
        AppProto::Tailscale,
        AppProto::Stun,
        AppProto::Rtp,
        AppProto::Rtcp,
        AppProto::Sip,
        AppProto::Mumble,
        AppProto::Wireguard,
        AppProto::Openvpn,
        AppProto::Mqtt,
        AppProto::Ntp,
    ];
    spoken != 0 && RHYTHMIC.iter().any(|p| *p as u8 == spoken)
}

/// Names, time, leases, mail, messages of chat and push services, copies of files, telephones, sensors, monitoring and tunnels: what is asked in
/// a rhythm by design.
#[inline]
pub(super) const fn is_rhythmic(port: u16) -> bool {
    matches!(
        port,
        20..=22
            | 25
            | 53
            | 67
            | 110
            | 123
            | 143
            | 161
            | 465
            | 500
            | 514
            | 563
            | 587
            | 853
            | 873
            | 989
            | 990
            | 993
            | 995
            | 1194
            | 1883
            | 1900
            | 3478
            | 4500
            | 5060
            | 5061
            | 5222
            | 5223
            | 5228
            | 5353
            | 5671
            | 6514
            | 8883
            | 10_050
            | 10_051
            | 51_820
    )
}

/// The same of UDP that does not say what is spoken: accounting (RFC 2865), ways through address translation, sensors (RFC 7252).
#[inline]
pub(super) const fn is_rhythmic_datagram(port: u16) -> bool {
    matches!(port, 1812 | 1813 | 3479..=3481 | 5683 | 5684 | 19_302..=19_309)
}

/// Whether packets say that what is spoken on such a port is not what it is for.
pub(super) fn speaks_other(f: &FlowSeen) -> bool {
    use AppProto as P;
    let of: &[AppProto] = match f.dst_port {
        20 | 21 => &[P::Ftp, P::FtpData],
        22 => &[P::Ssh],
        25 | 587 => &[P::Smtp],
        53 => &[P::Dns, P::Dnscrypt],
        67 => &[P::Dhcp],
        110 => &[P::Pop3],
        123 => &[P::Ntp, P::Roughtime],
        143 => &[P::Imap],
        161 => &[P::Snmp],
        465 => &[P::Smtp, P::Tls],
        500 | 4500 => &[P::Ike, P::Esp],
        514 => &[P::Syslog, P::Rsh],
        853 => &[P::Tls, P::Dtls, P::Quic, P::Dns],
        873 => &[P::Rsync],
        993 => &[P::Imap, P::Tls],
        995 => &[P::Pop3, P::Tls],
        989 | 990 => &[P::Ftp, P::FtpData, P::Tls],
        1194 => &[P::Openvpn, P::Tls],
        1883 => &[P::Mqtt],
        1900 => &[P::Ssdp],
        3478 => &[P::Stun, P::Dtls],
        5060 => &[P::Sip],
        5061 => &[P::Sip, P::Tls],
        5222 | 5223 => &[P::Xmpp, P::Tls, P::Whatsapp],
        5353 => &[P::Mdns],
        5671 => &[P::Amqp, P::Tls],
        6514 => &[P::Syslog, P::Tls, P::Dtls],
        8883 => &[P::Mqtt, P::Tls],
        10_050 | 10_051 => &[P::Zabbix, P::Tls],
        51_820 => &[P::Wireguard],
        // news and push services
        _ => &[P::Tls],
    };
    f.metered && of.iter().all(|p| *p as u8 != f.spoken)
}

/// Whether an application is a place where anybody can have a machine, a name or an account: that says nothing of whose it is.
pub(super) fn is_rented(app: &str) -> bool {
    const MESSENGERS: [&str; 12] = [
        "slack",
        "mattermost",
        "matrix",
        "whatsapp",
        "telegram",
        "signal",
        "threema",
        "wechat",
        "line",
        "viber",
        "discord",
        "messenger",
    ];
    const STORES: [&str; 7] = [
        "amazon-s3",
        "azure-blob",
        "google-cloud-storage",
        "backblaze",
        "wasabi",
        "mega",
        "tor",
    ];
    MACHINES.contains(&app) || MESSENGERS.contains(&app) || STORES.contains(&app)
}

/// Of these, the ones where it is a machine, or a way to one.
pub(super) fn is_machine(app: &str) -> bool {
    MACHINES.contains(&app)
}

/// Clouds and networks of content.
const MACHINES: [&str; 11] = [
    "aws",
    "azure",
    "google-cloud",
    "digitalocean",
    "hetzner",
    "ovh",
    "cloudflare",
    "fastly",
    "akamai",
    "cloudfront",
    "jsdelivr",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_can_be_rented_is_known_as_such() {
        let catalog = include_str!("../../enrich/catalog.toml");
        let mut n = 0;
        for kind in ["cloud", "content-delivery", "messaging"] {
            let kind = format!("category = \"{kind}\"");
            for line in catalog.lines().filter(|l| l.contains(&kind)) {
                let name = line.split('"').nth(1).expect("a name");
                assert!(is_rented(name), "{name}");
                n += 1;
            }
        }
        assert_eq!(n, 23);
        assert!(!is_rented("microsoft-365") && !is_rented(""));
    }
}
