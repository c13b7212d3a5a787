//! Prefixes as people write them.

use crate::model::Addr;
use serde::{Deserialize, Deserializer, de};
use std::net::IpAddr;
use std::str::FromStr;

/// An IPv4 or IPv6 prefix whose host bits are zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Prefix {
    /// First address; IPv4 in mapped form.
    first: u128,
    /// Length counted in 128 bits: an IPv4 /24 has 120.
    length: u8,
}

impl Prefix {
    /// Any address of a prefix and its length, as an address family counts it. `None` where it is too long.
    pub fn new(address: IpAddr, length: u8) -> Option<Prefix> {
        let (bits, offset) = match address {
            IpAddr::V4(a) => (a.to_ipv6_mapped().to_bits(), 96),
            IpAddr::V6(a) => (a.to_bits(), 0),
        };
        let length = length.checked_add(offset).filter(|l| *l <= 128)?;
        Some(Prefix {
            first: bits & mask(length),
            length,
        })
    }

    /// First and last address as numbers.
    pub fn range(&self) -> (u128, u128) {
        (self.first, self.first | !mask(self.length))
    }

    /// Length, counted in 128 bits.
    pub fn length(&self) -> u8 {
        self.length
    }

    /// Whether it holds IPv4 addresses.
    pub fn is_v4(&self) -> bool {
        self.length >= 96 && self.first >> 32 == V4 >> 32
    }

    /// Whether an address lies in it.
    pub fn contains(&self, address: &Addr) -> bool {
        let address = u128::from_be_bytes(address.0);
        // a short IPv6 prefix does not reach into the mapped addresses: those are IPv4
        address & mask(self.length) == self.first && (self.is_v4() || address >> 32 != V4 >> 32)
    }
}

impl FromStr for Prefix {
    type Err = String;

    fn from_str(text: &str) -> Result<Prefix, String> {
        let text = text.trim();
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let wrong = || format!("{text:?} is no prefix: write 192.0.2.0/24 or 2001:db8::/32");
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let length: u8 = match length {
            None => whole,
            Some(l) => l.parse().ok().filter(|l| *l <= whole).ok_or_else(wrong)?,
        };
        let prefix = Prefix::new(address, length).ok_or_else(wrong)?;
        let given = Prefix::new(address, whole).ok_or_else(wrong)?;
        if given.first != prefix.first {
            return Err(format!(
                "{text:?} has bits set behind its length: did you mean {prefix}?"
            ));
        }
        Ok(prefix)
    }
}

impl std::fmt::Display for Prefix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let length = if self.is_v4() {
            self.length - 96
        } else {
            self.length
        };
        write!(f, "{}/{length}", Addr(self.first.to_be_bytes()))
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Prefix, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(d)?;
        text.parse().map_err(de::Error::custom)
    }
}

fn mask(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}

/// The mapped addresses, ::ffff:0:0/96.
const V4: u128 = 0xffff << 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_are_read_and_written() {
        for text in [
            "10.0.0.0/8",
            "0.0.0.0/0",
            "192.0.2.1/32",
            "2001:db8::/32",
            "::/0",
        ] {
            let p: Prefix = text.parse().expect(text);
            assert_eq!(p.to_string(), text);
        }
        let host: Prefix = " 192.0.2.1 ".parse().expect("a host");
        assert_eq!(host.to_string(), "192.0.2.1/32");
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
            "x/8",
            "10.0.0.0/-1",
        ] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
        let fault = "10.1.2.3/8".parse::<Prefix>().expect_err("host bits");
        assert!(fault.contains("did you mean 10.0.0.0/8?"), "{fault}");
    }

    #[test]
    fn families_do_not_mix() {
        let all6: Prefix = "::/0".parse().expect("valid");
        let all4: Prefix = "0.0.0.0/0".parse().expect("valid");
        let v4 = Addr::from_v4([192, 0, 2, 1]);
        let v6 = Addr(
            "2001:db8::1"
                .parse::<std::net::Ipv6Addr>()
                .expect("valid")
                .octets(),
        );
        assert!(all4.contains(&v4) && !all4.contains(&v6));
        assert!(all6.contains(&v6) && !all6.contains(&v4));
    }
}
