//! How bytes, numbers and times stand in a line.

use super::super::base64;
use crate::model::Addr;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::fmt::Write as _;

pub(super) fn optional<M: SerializeMap, T: Serialize>(
    map: &mut M,
    key: &str,
    value: Option<T>,
) -> Result<(), M::Error> {
    match value {
        Some(value) => map.serialize_entry(key, &value),
        None => Ok(()),
    }
}

pub(super) fn text<M: SerializeMap>(map: &mut M, key: &str, bytes: &[u8]) -> Result<(), M::Error> {
    match bytes {
        [] => Ok(()),
        bytes => map.serialize_entry(key, &lossless(bytes)),
    }
}

/// Text as it is; where it is no UTF-8, bytes above ASCII as `\xNN`.
pub(super) fn lossless(bytes: &[u8]) -> Cow<'_, str> {
    escaped(bytes, |text, byte| write!(text, "\\x{byte:02X}"))
}

/// As [`lossless`], in lower case, as Suricata writes names of DNS.
pub(super) fn lossless_lower(bytes: &[u8]) -> Cow<'_, str> {
    escaped(bytes, |text, byte| write!(text, "\\x{byte:02x}"))
}

fn escaped(bytes: &[u8], escape: fn(&mut String, u8) -> std::fmt::Result) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(bytes.len() + 16);
    for byte in bytes {
        if byte.is_ascii() {
            text.push(char::from(*byte));
        } else {
            let _ = escape(&mut text, *byte);
        }
    }
    Cow::Owned(text)
}

/// Printable ASCII and the ends of lines as they are, all else as dots.
pub(super) fn printable_text(bytes: &[u8]) -> String {
    let shown = |b: &u8| match b {
        b' '..=b'~' | b'\r' | b'\n' => char::from(*b),
        _ => '.',
    };
    bytes.iter().map(shown).collect()
}

pub(super) fn printable<S: Serializer>(bytes: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&printable_text(bytes))
}

pub(super) fn base64_text(bytes: &[u8]) -> String {
    let mut text = String::new();
    base64::encode(bytes, &mut text);
    text
}

/// An address; of IPv6 with all its digits, which is how Suricata writes it.
pub(super) fn address(addr: Addr) -> String {
    if addr.is_v4() {
        return addr.to_ip().to_string();
    }
    let words = addr
        .0
        .chunks_exact(2)
        .map(|w| format!("{:02x}{:02x}", w[0], w[1]));
    words.collect::<Vec<_>>().join(":")
}

pub(super) fn proto_name(proto: u8) -> Cow<'static, str> {
    let name = PROTOCOLS.get(usize::from(proto));
    name.map_or_else(|| proto.to_string().into(), |n| Cow::Borrowed(*n))
}

/// A time in microseconds with the zone, which is UTC: `2026-01-02T03:04:05.678901+0000`.
pub(super) fn timestamp(time_ns: i64) -> String {
    let micros = time_ns.div_euclid(1_000);
    stamp(micros.div_euclid(1_000_000), micros.rem_euclid(1_000_000))
}

fn stamp(seconds: i64, micros: i64) -> String {
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = date(days);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}+0000")
}

/// A time in whole seconds without a zone: `2026-01-02T03:04:05`.
pub(in crate::detect) fn seconds(time_s: i64) -> String {
    // certificates say times that nanoseconds do not reach
    let time_s = time_s.clamp(YEAR_0, YEAR_9999);
    let mut text = stamp(time_s, 0);
    text.truncate("2026-01-02T03:04:05".len());
    text
}

/// The first and the last second that four digits of a year can say.
const YEAR_0: i64 = -62_167_219_200;
const YEAR_9999: i64 = 253_402_300_799;

/// Year, month and day of a day since 1970, in eras of 400 years that begin with a March.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// Names of IP protocols, by number, as Suricata writes them.
#[rustfmt::skip]
const PROTOCOLS: &[&str] = &[
    "HOPOPT", "ICMP", "IGMP", "GGP", "IP-in-IP", "ST", "TCP", "CBT", "EGP", "IGP", "BBN-RCC-MON", "NVP-II", "PUP", "ARGUS", "EMCON", "XNET", "CHAOS",
    "UDP", "MUX", "DCN-MEAS", "HMP", "PRM", "XNS-IDP", "TRUNK-1", "TRUNK-2", "LEAF-1", "LEAF-2", "RDP", "IRTP", "ISO-TP4", "NETBLT", "MFE-NSP",
    "MERIT-INP", "DCCP", "3PC", "IDPR", "XTP", "DDP", "IDPR-CMTP", "TP++", "IL", "IPv6", "SDRP", "IPv6-Route", "IPv6-Frag", "IDRP", "RSVP", "GRE",
    "DSR", "BNA", "ESP", "AH", "I-NLSP", "SwIPe", "NARP", "MOBILE", "TLSP", "SKIP", "IPv6-ICMP", "IPv6-NoNxt", "IPv6-Opts", "Any", "CFTP", "Any",
    "SAT-EXPAK", "KRYPTOLAN", "RVD", "IPPC", "Any", "SAT-MON", "VISA", "IPCU", "CPNX", "CPHB", "WSN", "PVP", "BR-SAT-MON", "SUN-ND", "WB-MON",
    "WB-EXPAK", "ISO-IP", "VMTP", "SECURE-VMTP", "VINES", "TTP", "NSFNET-IGP", "DGP", "TCF", "EIGRP", "OSPF", "Sprite-RPC", "LARP", "MTP", "AX.25",
    "OS", "MICP", "SCC-SP", "ETHERIP", "ENCAP", "Any", "GMTP", "IFMP", "PNNI", "PIM", "ARIS", "SCPS", "QNX", "A/N", "IPComp", "SNP", "Compaq-Peer",
    "IPX-in-IP", "VRRP", "PGM", "Any", "L2TP", "DDX", "IATP", "STP", "SRP", "UTI", "SMP", "SM", "PTP", "IS-IS", "FIRE", "CRTP", "CRUDP", "SSCOPMCE",
    "IPLT", "SPS", "PIPE", "SCTP", "FC", "RSVP-E2E-IGNORE", "Mobility", "UDPLite", "MPLS-in-IP", "manet", "HIP", "Shim6", "WESP", "ROHC", "Ethernet",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_of_the_calendar() {
        let day = |days: i64| timestamp(days * 86_400_000_000_000);
        assert_eq!(day(0), "1970-01-01T00:00:00.000000+0000");
        assert_eq!(day(11_016), "2000-02-29T00:00:00.000000+0000");
        assert_eq!(day(19_782), "2024-02-29T00:00:00.000000+0000");
        assert_eq!(day(20_454), "2026-01-01T00:00:00.000000+0000");
        assert_eq!(timestamp(-1), "1969-12-31T23:59:59.999999+0000");
        assert_eq!(seconds(0), "1970-01-01T00:00:00");
        // behind what nanoseconds can say, which ends in 2262
        assert_eq!(seconds(9_224_318_016), "2262-04-22T22:33:36");
        assert_eq!(seconds(253_402_300_799), "9999-12-31T23:59:59");
        assert_eq!(seconds(i64::MAX), "9999-12-31T23:59:59");
        assert_eq!(seconds(-62_167_219_200), "0000-01-01T00:00:00");
        assert_eq!(seconds(i64::MIN), "0000-01-01T00:00:00");
    }

    #[test]
    fn protocols_have_the_names_that_suricata_gives_them() {
        let all = [1, 2, 4, 6, 17, 41, 47, 58, 89, 132, 143, 144, 255].map(proto_name);
        let names = [
            "ICMP",
            "IGMP",
            "IP-in-IP",
            "TCP",
            "UDP",
            "IPv6",
            "GRE",
            "IPv6-ICMP",
            "OSPF",
            "SCTP",
            "Ethernet",
            "144",
            "255",
        ];
        assert_eq!(all, names);
        assert_eq!(lossless(b"a\xff"), "a\\xFF");
        assert_eq!(lossless_lower(b"a\xff"), "a\\xff");
    }
}
