//! Rows a second through `enrich`: by port only, and with an application id of the exporter in every row.

mod everything;

use everything::prefix;
use flowhouse::enrich::{
    Memory, Prefix, PrefixMap, Settings, Tables, enrich, learn, learn_interfaces,
};
use flowhouse::model::{Addr, FLOW_BATCH_ROWS, Field, FlowBatch, Learned, Provenance};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

const EXPORTER: Addr = Addr::from_v4([192, 0, 2, 1]);

fn main() {
    let mut tables = Arc::new(Tables::new(&Settings::default()).expect("defaults are valid"));
    for i in 0..1500 {
        let fact = Learned::Application {
            exporter: EXPORTER,
            app_id: 13 << 56 | i,
            name: format!("application {i}"),
            description: String::new(),
        };
        learn(&mut tables, &fact);
    }
    report("enrich, by port", &tables, &mut batch(false));
    report(
        "enrich, exporter's application id",
        &tables,
        &mut batch(true),
    );
    longest_match();
    let mut everything = Arc::new(everything::tables(&[EXPORTER]));
    report("enrich, everything on", &everything, &mut full(false));
    for i in 0..1500 {
        let fact = Learned::Application {
            exporter: EXPORTER,
            app_id: 13 << 56 | i,
            name: format!("application {i}"),
            description: String::new(),
        };
        learn(&mut everything, &fact);
    }
    report(
        "enrich, everything on, exporter's application id",
        &everything,
        &mut full(true),
    );
}

/// Look-ups of random addresses, none twice.
fn longest_match() {
    let mut random = SmallRng::seed_from_u64(3);
    let all: Vec<(Prefix, u32)> = (1..=100_000).map(|n| (prefix(&mut random), n)).collect();
    let start = Instant::now();
    let map = PrefixMap::new(all.iter().copied());
    let built_ms = start.elapsed().as_millis();
    for (what, v6) in [("IPv4", false), ("IPv6", true)] {
        let addresses: Vec<Addr> = (0..1 << 16).map(|_| address(&mut random, v6)).collect();
        let (mut best, mut values) = (f64::INFINITY, vec![]);
        for _ in 0..20 {
            let start = Instant::now();
            map.get_all(black_box(&addresses), &mut values);
            best = best.min(start.elapsed().as_secs_f64() / addresses.len() as f64);
        }
        println!(
            "longest match of 100,000 prefixes, {what}: {:.1} ns an address; {} KiB, built in {built_ms} ms",
            best * 1e9,
            map.bytes() >> 10
        );
    }
}

fn address(random: &mut SmallRng, v6: bool) -> Addr {
    if v6 {
        let n = u128::from(random.random::<u64>()) << 64 | 0x2000 << 112;
        Addr(n.to_be_bytes())
    } else {
        Addr::from_v4(random.random())
    }
}

/// The batch with random addresses, interfaces and server names.
fn full(ids: bool) -> FlowBatch {
    let mut random = SmallRng::seed_from_u64(5);
    let mut b = batch(ids);
    let names: Vec<_> = (0..2_500)
        .map(|n| {
            b.push_text(format!("host.service{n}.example.com").as_bytes())
                .0
        })
        .collect();
    for i in 0..b.len() {
        let v6 = random.random_bool(0.2);
        b.core.src_addr[i] = address(&mut random, v6);
        b.core.dst_addr[i] = address(&mut random, v6);
        b.core.in_if[i] = random.random_range(1..=500);
        b.core.out_if[i] = random.random_range(1..=500);
        if i % 2 == 0 {
            b.texts_mut().server_name[i] = names[random.random_range(0..names.len())];
        }
    }
    b
}

/// A batch as a datagram of 24 records after the other fills it: half of the rows on ten busy ports.
fn batch(ids: bool) -> FlowBatch {
    let mut random = SmallRng::seed_from_u64(7);
    let mut b = FlowBatch::new();
    let busy = [443, 443, 443, 80, 53, 53, 22, 445, 3389, 123];
    while b.len() < FLOW_BATCH_ROWS {
        let provenance = b.push_provenance(Provenance {
            exporter: EXPORTER,
            ..Provenance::default()
        });
        for _ in 0..24 {
            let c = &mut b.core;
            let known = random.random_bool(0.5);
            let port = if known {
                busy[random.random_range(0..busy.len())]
            } else {
                random.random()
            };
            let (src, dst) = (random.random_range(32768..61000), port);
            let swap = random.random_bool(0.5);
            c.provenance.push(provenance);
            c.src_port.push(if swap { dst } else { src });
            c.dst_port.push(if swap { src } else { dst });
            c.proto
                .push([6, 6, 6, 17, 17, 1][random.random_range(0..6)]);
            c.tos.push(random.random_range(0..64) << 2);
            let bit = if ids { Field::AppId.bit() } else { 0 };
            c.present.push(bit | Field::Tos.bit());
            c.app_id.push(13 << 56 | random.random_range(0..1600));
        }
        b.commit(24);
    }
    b
}

fn report(what: &str, tables: &Tables, b: &mut FlowBatch) {
    let mut best = f64::INFINITY;
    let mut memory = Memory::new();
    for _ in 0..400 {
        let start = Instant::now();
        let mut news = vec![];
        learn_interfaces(tables, &mut memory, b, 0..usize::MAX, &mut news);
        enrich(tables, &mut memory, black_box(b), 0..usize::MAX);
        best = best.min(start.elapsed().as_secs_f64() / b.len() as f64);
    }
    println!(
        "{what}: {:.1} M rows/s, {:.1} ns a row",
        1e-6 / best,
        best * 1e9
    );
}
