//! `flowhouse size`: what a rate of flows asks of the machine, from measured constants.

use super::text;
use anyhow::Result;
use clap::Args;
use clap::builder::RangedU64ValueParser;
use serde::Serialize;

/// What a rate of flows asks of the machine: cores, memory, spool, ClickHouse disk, network.
///
/// The constants were measured with generated exports into the embedded ClickHouse (benches/README.md). They say what was used; `cores` and
/// `memory` of the answer have room for bursts, merges and queries. With several rates, a table.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  flowhouse size --flows-per-second 20000 --exporters 50 --retention-days 30\n  flowhouse size --flows-per-second 1000,10000,100000"
)]
pub struct SizeArguments {
    /// Flow records a second at the busiest hour; several with commas
    #[arg(long, value_name = "N", value_delimiter = ',', required = true, value_parser = RangedU64ValueParser::<u64>::new().range(1..=100_000_000))]
    flows_per_second: Vec<u64>,
    /// Exporters; decides the size of the tables of sums: usage, talkers, networks
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = RangedU64ValueParser::<u64>::new().range(1..=1_000_000))]
    exporters: u64,
    /// Named networks that talk to each other through an exporter, in pairs, each direction one; 0: none have names
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = RangedU64ValueParser::<u64>::new().range(0..=1_000_000))]
    network_pairs: u64,
    /// Days that single flows are kept; sums are kept 30 days by minute, 90 by five minutes, 2 years by hour
    #[arg(long, value_name = "DAYS", default_value_t = 15, value_parser = RangedU64ValueParser::<u64>::new().range(1..=3_650))]
    retention_days: u64,
    /// Hours of an absent store that the spool bridges
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = RangedU64ValueParser::<u64>::new().range(1..=8_760))]
    outage_hours: u64,
    /// Print JSON, one object a rate
    #[arg(long)]
    json: bool,
}

/// What was asked.
#[derive(Clone, Copy, Debug, Serialize)]
struct Load {
    flows_per_second: u64,
    exporters: u64,
    network_pairs: u64,
    retention_days: u64,
    outage_hours: u64,
}

/// What it takes. Bytes are bytes, cores are those that are busy.
#[derive(Clone, Debug, Serialize)]
struct Size {
    #[serde(flatten)]
    load: Load,
    /// Cores to plan: twice what is used, at least 2.
    cores: u64,
    /// Cores that the collector uses.
    collector_cores: f64,
    /// Cores that the store uses for inserts, views and merges; queries come on top.
    store_cores: f64,
    /// Memory to plan: twice what both take, and 2 GiB for queries, in whole GiB.
    memory_bytes: u64,
    collector_memory_bytes: u64,
    store_memory_bytes: u64,
    /// What the spool holds after `outage_hours` without a store.
    spool_bytes: u64,
    /// ClickHouse, all tables with their retention, before replicas.
    disk_bytes: u64,
    flows_disk_bytes: u64,
    usage_disk_bytes: u64,
    talkers_disk_bytes: u64,
    networks_disk_bytes: u64,
    /// From the exporters, Ethernet headers included.
    network_in_bits_per_second: u64,
    datagrams_per_second: u64,
    /// To the store.
    network_out_bits_per_second: u64,
}

/// Runs the subcommand.
///
/// # Errors
/// When standard output fails.
pub fn run(arguments: &SizeArguments) -> Result<()> {
    let load = |&flows_per_second: &u64| Load {
        flows_per_second,
        exporters: arguments.exporters,
        network_pairs: arguments.network_pairs,
        retention_days: arguments.retention_days,
        outage_hours: arguments.outage_hours,
    };
    let sizes: Vec<Size> = arguments
        .flows_per_second
        .iter()
        .map(load)
        .map(size)
        .collect();
    if arguments.json {
        for size in &sizes {
            super::say(serde_json::to_string_pretty(size)?)?;
        }
        return Ok(());
    }
    match &sizes[..] {
        [one] => super::say(list(one)),
        several => super::say(table(several)),
    }
}

fn size(load: Load) -> Size {
    let (rate, exporters) = (load.flows_per_second as f64, load.exporters as f64);
    let collector_cores = COLLECTOR_CORES_BASE + rate * COLLECTOR_CORES_PER_FLOW;
    let store_cores = STORE_CORES_BASE + rate * STORE_CORES_PER_FLOW;
    let collector_memory = COLLECTOR_BYTES_BASE
        + rate * COLLECTOR_BYTES_PER_FLOW_RATE
        + exporters * COLLECTOR_BYTES_PER_EXPORTER;
    let store_memory = STORE_BYTES_BASE + rate * STORE_BYTES_PER_FLOW_RATE;
    let flows_disk = rate * DAY * load.retention_days as f64 * FLOW_BYTES_ON_DISK;
    // no bucket has more keys than two a flow: one for each interface side, for each address
    let disk = |rollups: &[Rollup], keys_per: f64| -> f64 {
        let bytes = rollups.iter().map(|r| {
            let keys = (exporters * keys_per * r.keys).min(2.0 * rate * r.bucket_seconds);
            keys * r.days * DAY / r.bucket_seconds * r.bytes_per_row
        });
        bytes.sum()
    };
    let (usage_disk, talkers_disk) = (disk(&USAGE, 1.0), disk(&TALKERS, 1.0));
    let networks_disk = disk(&NETWORKS, load.network_pairs as f64);
    let cores = (2.0 * (collector_cores + store_cores)).ceil().max(2.0);
    let memory = (2.0 * (collector_memory + store_memory) / GIB).ceil() + QUERY_GIB;
    Size {
        load,
        cores: cores as u64,
        collector_cores: hundredths(collector_cores),
        store_cores: hundredths(store_cores),
        memory_bytes: (memory * GIB) as u64,
        collector_memory_bytes: collector_memory as u64,
        store_memory_bytes: store_memory as u64,
        spool_bytes: (rate * 3600.0 * load.outage_hours as f64 * SENT_BYTES_PER_ROW) as u64,
        disk_bytes: (flows_disk + usage_disk + talkers_disk + networks_disk) as u64,
        flows_disk_bytes: flows_disk as u64,
        usage_disk_bytes: usage_disk as u64,
        talkers_disk_bytes: talkers_disk as u64,
        networks_disk_bytes: networks_disk as u64,
        network_in_bits_per_second: (rate
            * 8.0
            * (WIRE_BYTES_PER_FLOW + DATAGRAMS_PER_FLOW * HEADER_BYTES))
            as u64,
        datagrams_per_second: (rate * DATAGRAMS_PER_FLOW).ceil() as u64,
        network_out_bits_per_second: (rate * 8.0 * SENT_BYTES_PER_ROW) as u64,
    }
}

fn hundredths(n: f64) -> f64 {
    (n * 100.0).round() / 100.0
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / GIB)
}

fn list(s: &Size) -> String {
    let l = s.load;
    let line = |what: &str, value: String, of: String| {
        let line = format!("{what:<16}{value:<14}{of}");
        line.trim_end().to_owned()
    };
    let bits = |n: u64| text::bit_rate(n as f64);
    let lines = [
        line(
            "cores",
            s.cores.to_string(),
            format!(
                "in use: collector {:.2}, ClickHouse {:.2}; queries on top",
                s.collector_cores, s.store_cores
            ),
        ),
        line(
            "memory",
            gib(s.memory_bytes),
            format!(
                "in use: collector {}, ClickHouse {}; 2 GiB for queries",
                gib(s.collector_memory_bytes),
                gib(s.store_memory_bytes)
            ),
        ),
        line(
            "spool",
            text::bytes(s.spool_bytes as f64),
            format!("{} h without ClickHouse", l.outage_hours),
        ),
        line(
            "ClickHouse disk",
            text::bytes(s.disk_bytes as f64),
            format!(
                "flows {} days {}, usage {}, talkers {}, networks {}; times the replicas",
                l.retention_days,
                text::bytes(s.flows_disk_bytes as f64),
                text::bytes(s.usage_disk_bytes as f64),
                text::bytes(s.talkers_disk_bytes as f64),
                text::bytes(s.networks_disk_bytes as f64)
            ),
        ),
        line(
            "network in",
            bits(s.network_in_bits_per_second),
            format!("{} datagrams/s", s.datagrams_per_second),
        ),
        line(
            "network out",
            bits(s.network_out_bits_per_second),
            "to ClickHouse, LZ4".to_owned(),
        ),
    ];
    lines.join("\n")
}

fn table(sizes: &[Size]) -> String {
    let header = [
        "flows/s",
        "cores",
        "memory",
        "spool",
        "ClickHouse disk",
        "network in",
        "network out",
    ];
    text::table(
        &header,
        0,
        sizes.iter().map(|s| {
            vec![
                s.load.flows_per_second.to_string(),
                s.cores.to_string(),
                gib(s.memory_bytes),
                text::bytes(s.spool_bytes as f64),
                text::bytes(s.disk_bytes as f64),
                text::bit_rate(s.network_in_bits_per_second as f64),
                text::bit_rate(s.network_out_bits_per_second as f64),
            ]
        }),
    )
}

/// A table of sums: how many keys an exporter (or a pair of networks of one) fills in a bucket, and what a merged row takes.
struct Rollup {
    bucket_seconds: f64,
    days: f64,
    keys: f64,
    bytes_per_row: f64,
}

const DAY: f64 = 86_400.0;
const MIB: f64 = 1_048_576.0;
const GIB: f64 = 1_073_741_824.0;
/// Ethernet, IPv4 and UDP headers of a datagram.
const HEADER_BYTES: f64 = 42.0;
/// Memory left to queries: a rule, not a measurement.
const QUERY_GIB: f64 = 2.0;

// Measured with benches/sizing.py (benches/README.md, "What a flow costs"): the dearer of two runs, or the line through both.
const COLLECTOR_CORES_BASE: f64 = 0.07;
const COLLECTOR_CORES_PER_FLOW: f64 = 1.3e-6;
const STORE_CORES_BASE: f64 = 0.14;
const STORE_CORES_PER_FLOW: f64 = 7.0e-6;
const STORE_BYTES_BASE: f64 = 400.0 * MIB;
/// From 461 MiB at 50,000 flows/s and 570 MiB at 250,000 (benches/store.py).
const STORE_BYTES_PER_FLOW_RATE: f64 = 900.0;
const COLLECTOR_BYTES_BASE: f64 = 60.0 * MIB;
/// From 60 MiB at 20,000 flows/s and 225 MiB at 250,000 (benches/store.py).
const COLLECTOR_BYTES_PER_FLOW_RATE: f64 = 750.0;
/// From 426 MiB with 10,000 exporters of four templates at 200,000 flows/s (benches/store.py), less the two above.
const COLLECTOR_BYTES_PER_EXPORTER: f64 = 24_000.0;
const WIRE_BYTES_PER_FLOW: f64 = 83.3;
const DATAGRAMS_PER_FLOW: f64 = 0.062;
/// Bodies as sent and spooled, usage and ledger included.
const SENT_BYTES_PER_ROW: f64 = 62.0;
/// 27.1 with generated traffic; 34 is what 5 million flows with random addresses and AS paths took.
const FLOW_BYTES_ON_DISK: f64 = 34.0;
/// Keys: 34 interface sides an exporter, 24 applications and classes a side; rare ones come together in an hour.
const USAGE: [Rollup; 3] = rollups([832.0, 901.0, 1_349.0], [9.0, 10.8, 13.4]);
/// Keys: every ten seconds 50 addresses that send and 50 that receive, and they are others the longer one looks.
const TALKERS: [Rollup; 3] = rollups([271.0, 616.0, 4_262.0], [16.5, 18.1, 18.9]);
/// Keys: pairs that talk every minute. By hour there were too few rows to weigh; they take what those by five minutes do.
const NETWORKS: [Rollup; 3] = rollups([1.0, 1.0, 1.0], [11.4, 15.0, 15.0]);

/// The tables by minute, by five minutes and by hour.
const fn rollups(keys: [f64; 3], bytes_per_row: [f64; 3]) -> [Rollup; 3] {
    const fn of(bucket_seconds: f64, days: f64, keys: f64, bytes_per_row: f64) -> Rollup {
        Rollup {
            bucket_seconds,
            days,
            keys,
            bytes_per_row,
        }
    }
    [
        of(60.0, 30.0, keys[0], bytes_per_row[0]),
        of(300.0, 90.0, keys[1], bytes_per_row[1]),
        of(3_600.0, 730.0, keys[2], bytes_per_row[2]),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(flows_per_second: u64) -> Load {
        Load {
            flows_per_second,
            exporters: 20,
            network_pairs: 128,
            retention_days: 15,
            outage_hours: 24,
        }
    }

    #[test]
    fn the_sums_are_those_of_the_constants() {
        let s = size(load(20_000));
        assert_eq!(s.flows_disk_bytes, 20_000 * 86_400 * 15 * 34);
        assert_eq!(s.spool_bytes, 20_000 * 86_400 * 62);
        assert_eq!(s.datagrams_per_second, 1_240);
        let sums = [
            s.usage_disk_bytes,
            s.talkers_disk_bytes,
            s.networks_disk_bytes,
        ];
        let parts = s.flows_disk_bytes + sums.iter().sum::<u64>();
        assert!(s.disk_bytes.abs_diff(parts) < 4);
        let kept = |buckets: f64, keys: f64, bytes: f64| buckets * 20.0 * keys * bytes;
        let talkers = kept(43_200.0, 271.0, 16.5)
            + kept(25_920.0, 616.0, 18.1)
            + kept(17_520.0, 4_262.0, 18.9);
        assert_eq!(s.talkers_disk_bytes, talkers as u64);
        let networks = kept(43_200.0, 128.0, 11.4) + kept(43_440.0, 128.0, 15.0);
        assert_eq!(s.networks_disk_bytes, networks as u64);
        let none = size(Load {
            network_pairs: 0,
            ..load(20_000)
        });
        assert_eq!(none.networks_disk_bytes, 0);
        assert!((s.collector_cores - 0.1).abs() < 0.005 && (s.store_cores - 0.28).abs() < 0.005);
        assert_eq!(s.memory_bytes % (1 << 30), 0);
    }

    #[test]
    fn more_asks_for_more() {
        let (little, much) = (size(load(1_000)), size(load(1_000_000)));
        assert_eq!(little.cores, 2);
        assert!(much.cores > 10 && much.memory_bytes > little.memory_bytes);
        let many = size(Load {
            exporters: 10_000,
            ..load(1_000)
        });
        assert!(many.usage_disk_bytes > little.usage_disk_bytes);
        // a few flows cannot fill more keys than there are flows
        let few = size(Load {
            exporters: 1_000_000,
            ..load(1)
        });
        assert!(few.usage_disk_bytes < 2 * 730 * 86_400 * 40);
    }
}
