//! Addresses as every column stores them: 16 bytes, IPv4 mapped.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An IP address in 16 network-order bytes; IPv4 is stored mapped (`::ffff:a.b.c.d`, RFC 4291 section 2.5.5.2).
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Addr(pub [u8; 16]);

impl Addr {
    /// The unspecified address, also the value of an absent column.
    pub const UNSPECIFIED: Addr = Addr([0; 16]);

    /// Maps four network-order bytes.
    #[inline(always)]
    pub const fn from_v4(b: [u8; 4]) -> Self {
        Addr([
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, b[0], b[1], b[2], b[3],
        ])
    }

    /// Takes sixteen network-order bytes as they are.
    #[inline(always)]
    pub const fn from_v6(b: [u8; 16]) -> Self {
        Addr(b)
    }

    /// Whether this is a mapped IPv4 address.
    #[inline(always)]
    pub const fn is_v4(&self) -> bool {
        u128::from_be_bytes(self.0) >> 32 == 0xffff
    }

    /// Whether all bits of the address proper are zero (`0.0.0.0`, `::`).
    #[inline(always)]
    pub const fn is_unspecified(&self) -> bool {
        let n = u128::from_be_bytes(self.0);
        n == 0 || n == 0xffff_0000_0000
    }

    /// The address as the standard library's type, unmapped.
    pub fn to_ip(&self) -> IpAddr {
        if self.is_v4() {
            IpAddr::V4(Ipv4Addr::new(
                self.0[12], self.0[13], self.0[14], self.0[15],
            ))
        } else {
            IpAddr::V6(Ipv6Addr::from(self.0))
        }
    }
}

impl From<IpAddr> for Addr {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => Addr::from_v4(v4.octets()),
            IpAddr::V6(v6) => Addr(v6.octets()),
        }
    }
}

impl fmt::Display for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_ip().fmt(f)
    }
}

impl fmt::Debug for Addr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_ip().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn v4_is_mapped_and_comes_back() {
        let a = Addr::from_v4([192, 0, 2, 1]);
        assert!(a.is_v4());
        assert_eq!(a.to_string(), "192.0.2.1");
        assert_eq!(Addr::from(a.to_ip()), a);
        assert!(Addr::from_v4([0; 4]).is_unspecified());
        assert!(Addr::UNSPECIFIED.is_unspecified());
        assert!(!Addr::UNSPECIFIED.is_v4());
    }
}
