//! Usage rows added up by key, over all shards.

use super::row::Object;
use crate::model::{Addr, InterfaceSide, Names, UsageRow};
use std::collections::BTreeMap;

/// The key of a line, in the order in which lines are sorted. Names and not ids: shards number them differently.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    minute_s: u32,
    exporter: Addr,
    if_index: u32,
    side: u8,
    inferred: bool,
    app_proto: String,
    app: String,
    qos_class: String,
    dscp: u8,
}

/// All usage of a run.
#[derive(Debug, Default)]
pub(super) struct Usage(BTreeMap<Key, UsageRow>);

impl Usage {
    pub(super) fn add(&mut self, row: &UsageRow, names: &Names) {
        let key = Key {
            minute_s: row.minute_s,
            exporter: row.exporter,
            if_index: row.if_index,
            side: row.side as u8,
            inferred: row.inferred,
            app_proto: names.apps.name(row.app_proto).to_owned(),
            app: names.apps.name(row.app).to_owned(),
            qos_class: names.classes.name(row.qos_class.into()).to_owned(),
            dscp: row.dscp,
        };
        let sum = self.0.entry(key).or_insert(UsageRow {
            sampling_known: true,
            ..Default::default()
        });
        sum.bytes = sum.bytes.saturating_add(row.bytes);
        sum.packets = sum.packets.saturating_add(row.packets);
        sum.flows = sum.flows.saturating_add(row.flows);
        sum.est_bytes = sum.est_bytes.saturating_add(row.est_bytes);
        sum.est_packets = sum.est_packets.saturating_add(row.est_packets);
        sum.sampled_packets = sum.sampled_packets.saturating_add(row.sampled_packets);
        sum.sampling_known &= row.sampling_known;
    }

    /// One line a key, sorted.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> + '_ {
        self.0.iter().map(|(key, sum)| line(key, sum))
    }
}

fn line(key: &Key, sum: &UsageRow) -> String {
    let side = match key.side {
        0 => InterfaceSide::Ingress,
        _ => InterfaceSide::Egress,
    };
    let mut o = Object::new();
    o.number("minute_ms", i64::from(key.minute_s) * 1000);
    o.addr("exporter", key.exporter);
    o.number("if", key.if_index);
    o.text("direction", side.name());
    o.number("inferred", u8::from(key.inferred));
    o.text("app_proto", &key.app_proto);
    o.text("app", &key.app);
    o.text("qos_class", &key.qos_class);
    o.number("dscp", key.dscp);
    o.number("bytes", sum.bytes);
    o.number("packets", sum.packets);
    o.number("flows", sum.flows);
    o.number("est_bytes", sum.est_bytes);
    o.number("est_packets", sum.est_packets);
    o.number("sampled_packets", sum.sampled_packets);
    o.number("sampling_known", u8::from(sum.sampling_known));
    o.end()
}
