//! What the operator can set about receiving.

use super::Prefix;
use crate::model::Addr;
use serde::Deserialize;
use std::net::{Ipv6Addr, SocketAddr};

/// `[receive]` of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Addresses to listen on, each `address:port`. `[::]:port` takes IPv4 and IPv6, unless `0.0.0.0:port` is listed,
    /// too; where the kernel has no IPv6 it means `0.0.0.0:port`. Default: ports 2055, 4739 and 6343.
    pub listeners: Vec<SocketAddr>,
    /// Kernel receive buffer of each socket in bytes, as asked for (the kernel books about twice that for its own
    /// overhead). It bridges the moments in which this process does not run. At most 1,073,741,823. Default 32 MiB.
    pub receive_buffer: usize,
    /// Datagrams handed to a shard together, 1 to 1,024. Default 64.
    pub batch: usize,
    /// Batches that may wait for each shard. When so many wait, datagrams are dropped and counted. Default 256.
    pub queue: usize,
    /// Exporters (sFlow: agents) known at a time; datagrams of further ones are refused and counted. Default 16,384.
    pub exporters_max: usize,
    /// New exporters taken a minute; in the first minute after start `exporters_max` are. Default 1,024.
    pub exporters_new_per_minute_max: usize,
    /// Seconds of silence, at least 300, after which an exporter gives up its place among `exporters_max`. Default 86,400.
    pub exporter_idle_s: u64,
    /// Prefixes that datagrams may come from; empty means everywhere. `["192.0.2.0/24", "2001:db8::/32"]`.
    pub allow: Vec<Prefix>,
    /// Prefixes that they may not come from, also when `allow` names them.
    pub deny: Vec<Prefix>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            listeners: [2055, 4739, 6343]
                .map(|port| SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))
                .to_vec(),
            receive_buffer: 32 << 20,
            batch: 64,
            queue: 256,
            exporters_max: 16_384,
            exporters_new_per_minute_max: 1_024,
            exporter_idle_s: 86_400,
            allow: Vec::new(),
            deny: Vec::new(),
        }
    }
}

impl Settings {
    /// Everything that is wrong with these settings, in the operator's words; each begins with its key.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.listeners.is_empty() {
            faults.push("receive.listeners is empty: nothing would be received".into());
        }
        let mut sorted = self.listeners.clone();
        sorted.sort();
        if let Some(twice) = sorted.windows(2).find(|w| w[0] == w[1] && w[0].port() != 0) {
            faults.push(format!("receive.listeners names {} twice", twice[0]));
        }
        if !(1..=BATCH_MAX).contains(&self.batch) {
            faults.push(format!("receive.batch must be 1 to {BATCH_MAX}"));
        }
        if self.receive_buffer > BUFFER_MAX {
            faults.push(format!(
                "receive.receive_buffer must be at most {BUFFER_MAX}: the kernel grants no more"
            ));
        }
        let least = [
            ("queue", self.queue as u64),
            ("exporters_max", self.exporters_max as u64),
            (
                "exporters_new_per_minute_max",
                self.exporters_new_per_minute_max as u64,
            ),
        ];
        let zero = least.iter().filter(|(_, n)| *n == 0);
        faults.extend(zero.map(|(key, _)| format!("receive.{key} must be at least 1")));
        if self.exporter_idle_s < IDLE_MIN_SECONDS {
            faults.push(format!(
                "receive.exporter_idle_s must be at least {IDLE_MIN_SECONDS}"
            ));
        }
        faults
    }

    /// Whether the lists let an address send: `deny` goes before `allow`, and an empty `allow` lets everybody.
    pub fn permits(&self, source: Addr) -> bool {
        permits(&self.allow, &self.deny, source)
    }

    /// The most memory in bytes that the batches of all listeners on their way to `shards` shards can take.
    pub fn batches_bytes_max(&self, shards: usize) -> usize {
        let batches = super::pool::batches_max(self, shards);
        batches
            .saturating_mul(super::pool::ARENA_BYTES)
            .saturating_mul(self.listeners.len())
    }
}

/// Whether lists let an address send.
pub(super) fn permits(allow: &[Prefix], deny: &[Prefix], source: Addr) -> bool {
    let listed = |list: &[Prefix]| list.iter().any(|p| p.contains(source));
    !listed(deny) && (allow.is_empty() || listed(allow))
}

/// What `setsockopt` of Linux grants: half of the largest `int` (`__sock_set_rcvbuf`).
const BUFFER_MAX: usize = (i32::MAX / 2) as usize;
const BATCH_MAX: usize = 1_024;
/// The roster hears once a minute who is alive; less than a few minutes would forget exporters that send.
const IDLE_MIN_SECONDS: u64 = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_named() {
        assert_eq!(Settings::default().faults(), [""; 0]);
        let twice = Settings {
            listeners: vec!["127.0.0.1:1".parse().unwrap(); 2],
            ..Settings::default()
        };
        assert!(twice.faults()[0].contains("127.0.0.1:1 twice"));
        let batch = Settings {
            batch: 0,
            queue: 0,
            ..Settings::default()
        };
        assert_eq!(batch.faults().len(), 2);
        let buffer = Settings {
            receive_buffer: 1 << 30,
            ..Settings::default()
        };
        assert!(buffer.faults()[0].contains("at most 1073741823"));
    }

    #[test]
    fn keys_are_read_and_unknown_ones_refused() {
        let s: Settings =
            toml::from_str("listeners = [\"0.0.0.0:9995\"]\ndeny = [\"10.0.0.0/8\"]").unwrap();
        assert_eq!(s.listeners, vec!["0.0.0.0:9995".parse().unwrap()]);
        assert_eq!(s.deny, vec!["10.0.0.0/8".parse().unwrap()]);
        assert_eq!(s.batch, 64);
        assert!(toml::from_str::<Settings>("listener = 1").is_err());
    }
}
