//! What is inside.

use crate::model::Addr;
use std::net::IpAddr;

/// Networks that are inside, each with its mask.
#[derive(Clone, Debug)]
pub(super) struct Zones {
    v4: Vec<(u32, u32)>,
    networks: Vec<(u128, u128)>,
    /// A network holds all addresses of IPv4.
    all_v4: bool,
}

impl Zones {
    /// Reads networks, as `ADDRESS/BITS`.
    pub fn new(inside: &[String]) -> Result<Self, String> {
        let mut zones = Zones {
            v4: vec![],
            networks: vec![],
            all_v4: false,
        };
        for text in inside {
            let (net, bits) =
                parse(text).ok_or_else(|| format!("`{text}` is no network, like 192.0.2.0/24"))?;
            let mask = bits_of(u128::MAX, bits);
            match bits {
                0..=96 if bits_of(MAPPED, bits) == net => zones.all_v4 = true,
                97.. if net >> 32 == MAPPED >> 32 => zones.v4.push((net as u32, mask as u32)),
                _ => {}
            }
            zones.networks.push((net, mask));
        }
        Ok(zones)
    }

    /// Whether an address is inside.
    #[inline]
    pub fn is_inside(&self, addr: &Addr) -> bool {
        let n = u128::from_be_bytes(addr.0);
        match addr.is_v4() {
            true => self.all_v4 || self.v4.iter().any(|(net, mask)| n as u32 & mask == *net),
            false => self.networks.iter().any(|(net, mask)| n & mask == *net),
        }
    }
}

/// What IPv4 is mapped to: `::ffff:0:0/96`.
const MAPPED: u128 = 0xffff_0000_0000;

pub(super) fn parse(text: &str) -> Option<(u128, u32)> {
    let (addr, bits) = text.split_once('/')?;
    let addr: IpAddr = addr.trim().parse().ok()?;
    let bits: u32 = bits.trim().parse().ok()?;
    let (before, most) = if addr.is_ipv4() { (96, 32) } else { (0, 128) };
    let bits = (bits <= most).then_some(before + bits)?;
    let n = u128::from_be_bytes(Addr::from(addr).0);
    Some((bits_of(n, bits), bits))
}

/// The first and the last address of each network; what is no network has none.
pub fn ranges(networks: &[String]) -> Vec<(Addr, Addr)> {
    let found = networks.iter().filter_map(|text| parse(text));
    let range = |(first, bits): (u128, u32)| {
        let last = first | u128::MAX.checked_shr(bits).unwrap_or(0);
        (Addr(first.to_be_bytes()), Addr(last.to_be_bytes()))
    };
    found.map(range).collect()
}

/// The first bits of an address, the others 0.
pub(super) fn bits_of(n: u128, bits: u32) -> u128 {
    n & u128::MAX.checked_shl(128 - bits).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_inside_or_not() {
        let zones = Zones::new(&["10.0.0.0/8".into(), "fc00::/7".into()]).expect("networks");
        let is_inside =
            |a: &str| zones.is_inside(&Addr::from(a.parse::<IpAddr>().expect("address")));
        assert!(is_inside("10.255.0.1") && is_inside("fd00::1"));
        assert!(!is_inside("11.0.0.1") && !is_inside("2001:db8::1"));
        for wrong in ["10.0.0.0", "10.0.0.0/33", "x/8"] {
            assert!(Zones::new(&[wrong.to_owned()]).is_err());
        }
        for (all, v6) in [
            ("::/0", true),
            ("0.0.0.0/0", false),
            ("::ffff:0:0/96", false),
        ] {
            let all = Zones::new(&[all.into()]).expect("all");
            assert!(all.is_inside(&Addr::from_v4([1, 2, 3, 4])));
            let other = Addr::from("2001:db8::1".parse::<IpAddr>().expect("address"));
            assert_eq!(all.is_inside(&other), v6);
        }
    }
}
