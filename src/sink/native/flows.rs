//! The row definition of `flows`: every column with its type and where its cells come from. `schemas/` has its
//! twin; a test holds the two equal.

use super::block::{Block, Cell};
use crate::batch::{Batch, Bundle, RowRef};
use crate::model::{
    Addr, AppSource, AsPath, FlowBatch, Half, MplsStack, Origin, Provenance, SamplingSource,
    TextRef,
};
use std::ops::Range;

/// A column of `flows`.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    /// Writes the cells; false, with nothing written, where all of them are the default.
    pub(super) write: fn(&Rows<'_>, &mut Block) -> bool,
}

/// The rows of one batch in their order, with what the columns need at hand.
pub(super) struct Rows<'a> {
    bundle: &'a Bundle,
    order: &'a [RowRef],
    batch_id: u64,
    /// For each row: its provenance, counted over all flow batches.
    provenance: Vec<u32>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(bundle: &'a Bundle, batch: &Batch, range: Range<usize>) -> Self {
        let order = &bundle.order[range];
        let mut bases = Vec::with_capacity(bundle.flows.len());
        let mut base = 0;
        for b in &bundle.flows {
            bases.push((base, b.core.provenance.as_slice()));
            base += b.provenances().len() as u32;
        }
        let provenance = order.iter().map(|r| {
            let (base, column) = bases[r.batch()];
            base + u32::from(column[r.row()])
        });
        Rows {
            bundle,
            order,
            batch_id: batch.id(),
            provenance: provenance.collect(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.order.len()
    }

    /// A column of every flow batch; empty where the batch lacks the group.
    fn columns<T>(&self, pick: impl Fn(&'a FlowBatch) -> Option<&'a [T]>) -> Vec<&'a [T]> {
        let column = |b| pick(b).unwrap_or_default();
        self.bundle.flows.iter().map(column).collect()
    }

    /// The cells of a column in order; default where the group is lacking.
    fn gather<'s, T: Copy + Default>(
        &'s self,
        columns: Vec<&'a [T]>,
    ) -> impl Iterator<Item = T> + Clone + use<'s, 'a, T> {
        self.order.iter().map(move |r| {
            let cell = columns.get(r.batch()).and_then(|c| c.get(r.row()));
            cell.copied().unwrap_or_default()
        })
    }

    fn fixed<T: Cell + 'a>(
        &self,
        out: &mut Block,
        pick: impl Fn(&'a FlowBatch) -> Option<&'a [T]>,
    ) -> bool {
        let columns = self.columns(pick);
        let said = !columns.iter().all(|c| T::all_default(c));
        if said {
            out.cells(self.len(), self.gather(columns));
        }
        said
    }

    fn core<T: Cell + 'a>(&self, out: &mut Block, pick: impl Fn(&'a FlowBatch) -> &'a [T]) -> bool {
        self.fixed(out, |b| Some(pick(b)))
    }

    /// A column that depends on the datagram alone.
    fn by_datagram<T: Cell>(&self, out: &mut Block, value: impl Fn(&Provenance) -> T) -> bool {
        let all = self.bundle.flows.iter().flat_map(|b| b.provenances());
        let values: Vec<T> = all.map(value).collect();
        let said = !T::all_default(&values);
        if said {
            let cells = self.provenance.iter().map(|&p| values[p as usize]);
            out.cells(self.len(), cells);
        }
        said
    }

    /// The same with a name.
    fn origin(&self, out: &mut Block) -> bool {
        let all = self.bundle.flows.iter().flat_map(|b| b.provenances());
        let values: Vec<u8> = all.map(|p| p.origin as u8).collect();
        let ids = self.provenance.iter().map(|&p| values[p as usize].into());
        let name = |id| Origin::from_number(id as u8).name();
        out.low_cardinality(Origin::ALL.len(), name, self.len(), ids)
    }

    fn numbered(
        &self,
        out: &mut Block,
        pick: impl Fn(&'a FlowBatch) -> &'a [u8],
        count: usize,
        name: fn(u8) -> &'static str,
    ) -> bool {
        let ids = self.gather(self.columns(|b| Some(pick(b)))).map(u32::from);
        out.low_cardinality(count, |id| name(id as u8), self.len(), ids)
    }

    fn texts(
        &self,
        out: &mut Block,
        pick: impl Fn(&'a FlowBatch) -> Option<&'a [TextRef]>,
    ) -> bool {
        let cells = self.gather(self.columns(pick)).zip(self.order);
        let said = cells.clone().any(|(text, _)| text.len > 0);
        if said {
            cells.for_each(|(text, r)| out.text(self.bundle.flows[r.batch()].text(text)));
        }
        said
    }

    fn as_paths(&self, out: &mut Block) -> bool {
        let pick = |b: &'a FlowBatch| b.bgp.as_ref().map(|g| g.dst_as_path.as_slice());
        let path = |(path, r): (AsPath, &RowRef)| self.bundle.flows[r.batch()].path(path);
        let cells = self.gather(self.columns(pick)).zip(self.order).map(path);
        let numbers: usize = cells.clone().map(<[u32]>::len).sum();
        if numbers > 0 {
            out.offsets(self.len(), cells.clone().map(<[u32]>::len));
            out.cells(numbers, cells.flatten().copied());
        }
        numbers > 0
    }

    /// An array of tuples: offsets, then each part of the tuple as a column of its own.
    fn mpls(&self, out: &mut Block) -> bool {
        let pick = |b: &'a FlowBatch| b.mpls.as_ref().map(|g| g.mpls.as_slice());
        let depth = |s: MplsStack| s.iter().count();
        let stacks = self.gather(self.columns(pick));
        let labels: usize = stacks.clone().map(depth).sum();
        if labels > 0 {
            out.offsets(self.len(), stacks.clone().map(depth));
            let entries: Vec<_> = stacks.flat_map(|s| s.iter().collect::<Vec<_>>()).collect();
            out.cells(labels, entries.iter().map(|e| e.0));
            out.cells(labels, entries.iter().map(|e| e.1));
            out.cells(labels, entries.iter().map(|e| e.2));
            out.cells(labels, entries.iter().map(|e| u8::from(e.3)));
        }
        labels > 0
    }
}

macro_rules! core {
    ($name:ident: $kind:literal) => {
        Column {
            name: stringify!($name),
            kind: $kind,
            write: |r, out| r.core(out, |b| &b.core.$name),
        }
    };
}

macro_rules! group {
    ($group:ident.$name:ident: $kind:literal) => {
        Column {
            name: stringify!($name),
            kind: $kind,
            write: |r, out| r.fixed(out, |b| b.$group.as_ref().map(|g| g.$name.as_slice())),
        }
    };
}

macro_rules! text {
    ($name:ident) => {
        Column {
            name: stringify!($name),
            kind: "String",
            write: |r, out| r.texts(out, |b| b.texts.as_ref().map(|g| g.$name.as_slice())),
        }
    };
}

macro_rules! column {
    ($name:literal: $kind:literal, $write:expr) => {
        Column {
            name: $name,
            kind: $kind,
            write: $write,
        }
    };
}

/// Every stored column. A new one goes to the end of its group, and into a new file in `schemas/`.
pub(super) const COLUMNS: &[Column] = &[
    column!("received_at": "DateTime('UTC')", |r, out| {
        r.by_datagram(out, |p| (p.received_at_ns / 1_000_000_000) as u32)
    }),
    column!("exporter": "IPv6", |r, out| r.by_datagram(out, |p| p.exporter)),
    column!("exporter_source": "IPv6", |r, out| {
        let other = |p: &Provenance| p.exporter_source != p.exporter;
        r.by_datagram(out, |p| if other(p) { p.exporter_source } else { Addr::UNSPECIFIED })
    }),
    column!("exporter_port": "UInt16", |r, out| r.by_datagram(out, |p| p.exporter_port)),
    column!("observation_domain": "UInt32", |r, out| r.by_datagram(out, |p| p.domain)),
    column!("origin": "LowCardinality(String)", |r, out| r.origin(out)),
    column!("exported_ms": "Int64", |r, out| r.by_datagram(out, |p| p.exported_at_ms)),
    column!("datagram": "UInt64", |r, out| r.by_datagram(out, |p| p.datagram)),
    column!("batch": "UInt64", |r, out| {
        out.cells(r.len(), std::iter::repeat_n(r.batch_id, r.len()));
        true
    }),
    core!(present: "UInt64"),
    core!(flags: "UInt32"),
    core!(record: "UInt16"),
    column!("half": "LowCardinality(String)", |r, out| {
        r.numbered(out, |b| &b.core.half, Half::ALL.len(), |n| Half::from_number(n).name())
    }),
    core!(src_addr: "IPv6"),
    core!(dst_addr: "IPv6"),
    core!(src_port: "UInt16"),
    core!(dst_port: "UInt16"),
    core!(proto: "UInt8"),
    core!(bytes: "UInt64"),
    core!(packets: "UInt64"),
    core!(start_ms: "Int64"),
    core!(end_ms: "Int64"),
    core!(in_if: "UInt32"),
    core!(out_if: "UInt32"),
    core!(tos: "UInt8"),
    core!(tcp_flags: "UInt16"),
    core!(next_hop: "IPv6"),
    core!(src_as: "UInt32"),
    core!(dst_as: "UInt32"),
    core!(src_mask: "UInt8"),
    core!(dst_mask: "UInt8"),
    core!(vlan: "UInt16"),
    core!(direction: "UInt8"),
    core!(flow_end_reason: "UInt8"),
    core!(forwarding_status: "UInt8"),
    core!(ip_version: "UInt8"),
    core!(sampling_interval: "UInt32"),
    column!("sampling_source": "LowCardinality(String)", |r, out| {
        r.numbered(out, |b| &b.core.sampling_source, SamplingSource::ALL.len(), |n| {
            SamplingSource::from_number(n).name()
        })
    }),
    core!(app_id: "UInt64"),
    column!("app_proto": "LowCardinality(String)", |r, out| {
        let ids = r.gather(r.columns(|b| Some(b.core.app_proto.as_slice())));
        out.names(&r.bundle.names.apps, r.len(), ids)
    }),
    column!("app": "LowCardinality(String)", |r, out| {
        let ids = r.gather(r.columns(|b| Some(b.core.app.as_slice())));
        out.names(&r.bundle.names.apps, r.len(), ids)
    }),
    column!("app_source": "LowCardinality(String)", |r, out| {
        r.numbered(out, |b| &b.core.app_source, AppSource::ALL.len(), |n| {
            AppSource::from_number(n).name()
        })
    }),
    core!(app_confidence: "UInt8"),
    column!("qos_class": "LowCardinality(String)", |r, out| {
        let ids = r.gather(r.columns(|b| Some(b.core.qos_class.as_slice()))).map(u32::from);
        out.names(&r.bundle.names.classes, r.len(), ids)
    }),
    group!(nat.nat_src_addr: "IPv6"),
    group!(nat.nat_dst_addr: "IPv6"),
    group!(nat.nat_src_port: "UInt16"),
    group!(nat.nat_dst_port: "UInt16"),
    group!(nat.nat_event: "UInt8"),
    group!(firewall.flow_id: "UInt64"),
    group!(firewall.event_ms: "Int64"),
    group!(firewall.fw_ext_event: "UInt16"),
    group!(firewall.firewall_event: "UInt8"),
    group!(layer2.src_mac: "UInt64"),
    group!(layer2.dst_mac: "UInt64"),
    group!(layer2.post_src_mac: "UInt64"),
    group!(layer2.post_dst_mac: "UInt64"),
    group!(layer2.l2_bytes: "UInt64"),
    group!(layer2.layer2_segment_id: "UInt64"),
    group!(layer2.ethertype: "UInt16"),
    group!(layer2.post_vlan: "UInt16"),
    group!(layer2.dot1q_vlan: "UInt16"),
    group!(layer2.post_dot1q_vlan: "UInt16"),
    group!(layer2.dot1q_customer_vlan: "UInt16"),
    group!(link.in_phys_if: "UInt32"),
    group!(link.out_phys_if: "UInt32"),
    group!(link.ingress_vrf: "UInt32"),
    group!(link.egress_vrf: "UInt32"),
    group!(link.ipv6_flow_label: "UInt32"),
    group!(link.icmp_type_code: "UInt16"),
    group!(link.ttl: "UInt8"),
    group!(link.post_tos: "UInt8"),
    group!(counters.out_bytes: "UInt64"),
    group!(counters.out_packets: "UInt64"),
    group!(counters.bytes_total: "UInt64"),
    group!(counters.packets_total: "UInt64"),
    group!(bgp.bgp_next_hop: "IPv6"),
    group!(bgp.src_peer_as: "UInt32"),
    group!(bgp.dst_peer_as: "UInt32"),
    column!("dst_as_path": "Array(UInt32)", |r, out| r.as_paths(out)),
    column!("mpls": "Array(Tuple(pos UInt8, label UInt32, exp UInt8, bos UInt8))", |r, out| r.mpls(out)),
    text!(user_name),
    text!(server_name),
    text!(app_name),
    text!(if_name),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::*;

    #[test]
    fn every_column_of_the_model_is_stored() {
        let groups = [
            CoreColumns::NAMES,
            NatColumns::NAMES,
            FirewallColumns::NAMES,
            Layer2Columns::NAMES,
            LinkColumns::NAMES,
            CounterColumns::NAMES,
            BgpColumns::NAMES,
            MplsColumns::NAMES,
            TextColumns::NAMES,
        ];
        let stored = |name: &&str| COLUMNS.iter().any(|c| c.name == *name);
        for name in groups.concat().iter().filter(|n| **n != "provenance") {
            assert!(
                stored(name),
                "{name} is missing in src/sink/native/flows.rs"
            );
        }
    }
}
