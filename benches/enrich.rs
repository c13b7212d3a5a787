//! Rows a second through `enrich`: by port only, and with an application id of the exporter in every row.

use flowhouse::enrich::{Settings, Tables, enrich, learn};
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
    for _ in 0..400 {
        let start = Instant::now();
        enrich(tables, black_box(b), 0..usize::MAX);
        best = best.min(start.elapsed().as_secs_f64() / b.len() as f64);
    }
    println!(
        "{what}: {:.1} M rows/s, {:.1} ns a row",
        1e-6 / best,
        best * 1e9
    );
}
