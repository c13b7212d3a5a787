//! Sampling intervals of the configuration that come before what exporters say.

use crate::model::Addr;
use serde::Deserialize;
use std::net::IpAddr;
use std::sync::Arc;

/// One of them: for exporters, and of those for interfaces or samplers where it names some.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Override {
    /// Addresses of exporters, or prefixes of them.
    exporters: Vec<Block>,
    /// Interfaces (ifIndex) at which flows were metered: where they came in, or went out if the record says so.
    interfaces: Vec<u32>,
    /// Samplers or selectors (elements 48, 302) that the record names.
    samplers: Vec<u64>,
    /// 1 in N.
    interval: u32,
}

/// All of them; the last one that fits counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Vec<Override>")]
pub struct Overrides(Arc<[Override]>);

/// Those of one exporter.
#[derive(Clone, Debug)]
pub(super) struct OfExporter(Overrides, Addr);

impl Overrides {
    /// Those that may fit for an exporter, if there are any.
    pub(super) fn of(&self, exporter: Addr) -> Option<OfExporter> {
        let any = self.0.iter().any(|o| o.is_of(exporter));
        any.then(|| OfExporter(self.clone(), exporter))
    }

    /// What cannot be; the texts begin with the key.
    pub(super) fn faults(&self, interval_max: u32) -> Vec<String> {
        let mut faults = Vec::new();
        if self.0.len() > OVERRIDES_MAX {
            let n = self.0.len();
            faults.push(format!(
                "{KEY}: {n} entries, at most {OVERRIDES_MAX} are possible"
            ));
        }
        for (n, o) in (1..).zip(self.0.iter()) {
            if o.exporters.is_empty() {
                faults.push(format!(
                    "{KEY}: entry {n} has no `exporters`: name them, 0.0.0.0/0 and ::/0 are all"
                ));
            }
            if !(1..=interval_max).contains(&o.interval) {
                faults.push(format!("{KEY}: the `interval` of entry {n} must be 1 to {interval_max} (decode.sampling_max)"));
            }
        }
        faults
    }
}

impl OfExporter {
    /// The interval for flows that were metered at this interface, of this sampler.
    pub fn interval(&self, interface: Option<u32>, sampler: Option<u64>) -> Option<u32> {
        let among_interfaces = |o: &Override| {
            o.interfaces.is_empty() || interface.is_some_and(|i| o.interfaces.contains(&i))
        };
        let among_samplers = |o: &Override| {
            o.samplers.is_empty() || sampler.is_some_and(|s| o.samplers.contains(&s))
        };
        let fits = |o: &&Override| o.is_of(self.1) && among_interfaces(o) && among_samplers(o);
        self.0.0.iter().rev().find(fits).map(|o| o.interval)
    }
}

impl Override {
    fn is_of(&self, exporter: Addr) -> bool {
        self.exporters.iter().any(|b| b.has(exporter))
    }
}

impl From<Vec<Override>> for Overrides {
    fn from(all: Vec<Override>) -> Self {
        Overrides(all.into())
    }
}

/// First and last address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct Block(u128, u128);

impl Block {
    fn has(&self, address: Addr) -> bool {
        (self.0..=self.1).contains(&u128::from_be_bytes(address.0))
    }
}

impl TryFrom<String> for Block {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let fault = || format!("`{text}` is no address or prefix, like 192.0.2.1 or 2001:db8::/32");
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length.parse::<u32>().map_err(|_| fault())?)),
            None => (&*text, None),
        };
        let ip: IpAddr = address.parse().map_err(|_| fault())?;
        let bits = if ip.is_ipv4() { 32 } else { 128 };
        let length = length.unwrap_or(bits);
        if length > bits {
            return Err(fault());
        }
        let host = u128::MAX.checked_shr(128 - bits + length).unwrap_or(0);
        let n = u128::from_be_bytes(Addr::from(ip).0);
        Ok(Block(n & !host, n | host))
    }
}

const KEY: &str = "decode.sampling_overrides";
/// Most of them: each record of an exporter that has some is held against all.
const OVERRIDES_MAX: usize = 256;

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// One for an exporter or a prefix.
    pub fn one(exporters: &str, interfaces: &[u32], samplers: &[u64], interval: u32) -> Override {
        Override {
            exporters: vec![Block::try_from(exporters.to_owned()).expect("a prefix")],
            interfaces: interfaces.into(),
            samplers: samplers.into(),
            interval,
        }
    }

    #[test]
    fn the_last_one_that_fits_counts() {
        let all = Overrides::from(vec![
            one("10.0.0.0/8", &[], &[], 10),
            one("2001:db8::/32", &[], &[], 11),
            one("10.1.0.1", &[3, 4], &[], 30),
            one("10.1.0.1", &[], &[7], 70),
            one("10.1.0.1", &[4], &[7], 47),
        ]);
        let ask = |exporter: &str, interface, sampler| {
            let exporter = Addr::from(exporter.parse::<IpAddr>().expect("an address"));
            all.of(exporter)
                .and_then(|o| o.interval(interface, sampler))
        };
        assert_eq!(ask("10.9.9.9", Some(3), Some(7)), Some(10));
        assert_eq!(ask("2001:db8::1", None, None), Some(11));
        assert_eq!(ask("192.0.2.1", Some(3), Some(7)), None);
        assert_eq!(ask("10.1.0.1", Some(3), None), Some(30));
        assert_eq!(ask("10.1.0.1", Some(3), Some(7)), Some(70));
        assert_eq!(ask("10.1.0.1", Some(4), Some(7)), Some(47));
        assert_eq!(ask("10.1.0.1", None, None), Some(10));
        assert!(all.faults(1_000).is_empty());
    }

    #[test]
    fn what_cannot_be_is_said() {
        let nobody = Override {
            interval: 5,
            ..Override::default()
        };
        let wrong = vec![
            nobody,
            one("::/0", &[], &[], 0),
            one("::/0", &[], &[], 1_001),
        ];
        let faults = Overrides::from(wrong).faults(1_000);
        assert_eq!(faults.len(), 3, "{faults:?}");
        let many = vec![Override::default(); 257];
        assert!(Overrides::from(many).faults(1)[0].contains("at most 256"));
        for address in ["10.0.0.0/33", "x", "::/129", "10.0.0.1/"] {
            assert!(Block::try_from(address.to_owned()).is_err(), "{address}");
        }
    }
}
