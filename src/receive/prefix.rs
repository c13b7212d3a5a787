//! Address prefixes for the allow and deny lists.

use crate::model::Addr;
use serde::de::{self, Deserialize, Deserializer, Visitor};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// An address prefix; IPv4 ones are held mapped, so one comparison serves both families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    network: u128,
    mask: u128,
}

impl Prefix {
    /// Whether the address lies in the prefix.
    pub fn contains(&self, address: Addr) -> bool {
        u128::from_be_bytes(address.0) & self.mask == self.network
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    /// Reads `192.0.2.0/24`, `2001:db8::/32` or a plain address.
    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let fault = || PrefixError::Unreadable(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().map_err(|_| fault())?)),
            None => (text, None),
        };
        let ip: IpAddr = address.parse().map_err(|_| fault())?;
        let (width, mapped_bits) = match ip {
            IpAddr::V4(_) => (32, 96),
            IpAddr::V6(_) => (128, 0),
        };
        let bits = bits.unwrap_or(width);
        if bits > width {
            return Err(fault());
        }
        let mask = u128::MAX
            .checked_shl(128 - (mapped_bits + bits))
            .unwrap_or(0);
        let address = u128::from_be_bytes(Addr::from(ip).0);
        let prefix = Prefix {
            network: address & mask,
            mask,
        };
        match prefix.network == address {
            true => Ok(prefix),
            false => Err(PrefixError::HostBits {
                text: text.to_owned(),
                network: format!("{}/{bits}", Addr(prefix.network.to_be_bytes())),
                host: ip,
            }),
        }
    }
}

impl<'de> Deserialize<'de> for Prefix {
    /// Fails while the text is read, not behind it: then the parser knows which element of a list it is.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Prefix;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address prefix in quotation marks, as in \"192.0.2.0/24\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Prefix, E> {
                text.parse().map_err(E::custom)
            }
        }
        from.deserialize_str(Text)
    }
}

/// A text that is no prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrefixError {
    /// It is none.
    Unreadable(String),
    /// It has bits beyond its length: a network or one address is meant.
    HostBits {
        /// As written.
        text: String,
        /// The network that it lies in.
        network: String,
        /// The address in it.
        host: IpAddr,
    },
}

impl fmt::Display for PrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PrefixError::Unreadable(text) => write!(
                f,
                "{text:?} is no address prefix such as 192.0.2.0/24 or 2001:db8::/32"
            ),
            PrefixError::HostBits {
                text,
                network,
                host,
            } => write!(
                f,
                "{text:?} has bits behind its length: write \"{network}\" for the network or \"{host}\" for the one address"
            ),
        }
    }
}

impl std::error::Error for PrefixError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> Addr {
        Addr::from(text.parse::<IpAddr>().unwrap())
    }

    #[test]
    fn both_families_match_by_their_own_length() {
        let p: Prefix = "10.1.0.0/16".parse().unwrap();
        assert!(p.contains(addr("10.1.255.255")));
        assert!(!p.contains(addr("10.2.0.0")));
        let p: Prefix = "2001:db8::/32".parse().unwrap();
        assert!(p.contains(addr("2001:db8:ffff::1")));
        assert!(!p.contains(addr("2001:db9::")));
        let p: Prefix = "192.0.2.7".parse().unwrap();
        assert!(p.contains(addr("192.0.2.7")) && !p.contains(addr("192.0.2.6")));
        assert!("::/0".parse::<Prefix>().unwrap().contains(addr("1.2.3.4")));
        assert!(
            !"0.0.0.0/0"
                .parse::<Prefix>()
                .unwrap()
                .contains(addr("2001::"))
        );
    }

    #[test]
    fn bits_behind_the_length_are_refused_with_both_readings() {
        for (text, network, host) in [
            ("10.1.2.3/16", "10.1.0.0/16", "10.1.2.3"),
            ("192.0.2.128/24", "192.0.2.0/24", "192.0.2.128"),
            ("2001:db8::1/32", "2001:db8::/32", "2001:db8::1"),
            ("1.0.0.0/0", "0.0.0.0/0", "1.0.0.0"),
        ] {
            let said = text.parse::<Prefix>().expect_err(text).to_string();
            let cure = format!("write \"{network}\" for the network or \"{host}\"");
            assert!(said.contains(&cure), "{said}");
        }
    }

    #[test]
    fn what_is_no_prefix_is_refused() {
        for text in [
            "",
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
            "1.2.3.4/",
            "1.2.3.4/x",
        ] {
            assert!(text.parse::<Prefix>().is_err(), "{text}");
        }
    }
}
