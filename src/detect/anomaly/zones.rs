//! What is inside.

use crate::model::Addr;
use std::cell::Cell;
use std::net::IpAddr;

/// Networks that are inside.
#[derive(Clone, Debug)]
pub(super) struct Zones {
    networks: Vec<(u128, u32)>,
    /// The last two that were asked for: detectors ask for both ends of a flow in turn.
    last: Cell<[(Addr, bool); 2]>,
}

impl Zones {
    /// Reads networks, as `ADDRESS/BITS`.
    pub fn new(inside: &[String]) -> Result<Self, String> {
        let mut networks = vec![];
        for text in inside {
            let network =
                parse(text).ok_or_else(|| format!("`{text}` is no network, like 192.0.2.0/24"))?;
            networks.push(network);
        }
        let zones = Zones {
            networks,
            last: Cell::default(),
        };
        let inside = zones.look(&Addr::UNSPECIFIED);
        zones.last.set([(Addr::UNSPECIFIED, inside); 2]);
        Ok(zones)
    }

    /// Whether an address is inside.
    #[inline]
    pub fn is_inside(&self, addr: &Addr) -> bool {
        let last = self.last.get();
        if let Some((_, inside)) = last.iter().find(|(a, _)| a == addr) {
            return *inside;
        }
        let inside = self.look(addr);
        self.last.set([(*addr, inside), last[0]]);
        inside
    }

    fn look(&self, addr: &Addr) -> bool {
        let n = u128::from_be_bytes(addr.0);
        let within = |(net, bits): &(u128, u32)| bits_of(n, *bits) == *net;
        self.networks.iter().any(within)
    }
}

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
        let all = Zones::new(&["::/0".into()]).expect("all");
        assert!(all.is_inside(&Addr::from_v4([1, 2, 3, 4])));
    }
}
