//! The row definition of `flows`: every column with its type and where its cells come from. `schemas/` has its
//! twin; a test holds the two equal.

use super::block::{Block, Cell, Order, fill};
use crate::batch::{Batch, Bundle, RowRef};
use crate::model::{
    Addr, AppSource, AsPath, COUNTRY_IDS, Codec, ConversationSide, DETECTIONS_MAX, FlowBatch, Half,
    Handshake, MplsStack, NameTable, Origin, Provenance, SamplingSource, TextRef, TunnelKind,
    country,
};
use std::ops::Range;

/// A column of `flows`.
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    /// Writes the cells; false, with nothing written, where all of them are the default.
    pub(super) write: fn(&Rows<'_>, &mut Block) -> bool,
}

/// The rows of one batch, with what the columns need at hand.
pub(super) struct Rows<'a> {
    bundle: &'a Bundle,
    sorted: &'a [RowRef],
    batch_id: u64,
    /// Rows of all flow batches.
    lying: usize,
    /// `sorted` as numbers of rows, counted over all flow batches.
    order: Vec<u32>,
    /// For each of `order`: the provenance, counted likewise.
    provenance: Vec<u32>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(bundle: &'a Bundle, batch: &Batch, range: Range<usize>) -> Self {
        let sorted = &bundle.order[range];
        let (mut starts, mut lying, mut provenances) = (Vec::new(), 0, 0);
        for b in &bundle.flows {
            starts.push((lying, provenances, b.core.provenance.as_slice()));
            lying += b.len() as u32;
            provenances += b.provenances().len() as u32;
        }
        let numbers = sorted.iter().map(|r| {
            let (row, provenance, column) = starts[r.batch()];
            let provenance = provenance + u32::from(column[r.row()]);
            (row + r.row() as u32, provenance)
        });
        let (order, provenance) = numbers.unzip();
        Rows {
            bundle,
            sorted,
            batch_id: batch.id(),
            lying: lying as usize,
            order,
            provenance,
        }
    }

    fn len(&self) -> usize {
        self.order.len()
    }

    /// The cells of a column as they lie; default where a flow batch lacks the group.
    fn lying<T: Copy + Default + 'a>(
        &self,
        pick: impl Fn(&'a FlowBatch) -> Option<&'a [T]>,
    ) -> impl Iterator<Item = T> {
        self.bundle.flows.iter().flat_map(move |b| {
            let column = pick(b);
            let absent = if column.is_none() { b.len() } else { 0 };
            let cells = column.unwrap_or_default().iter().copied();
            cells.chain(std::iter::repeat_n(T::default(), absent))
        })
    }

    /// The cells of a column in order.
    fn sorted<T: Copy + Default + 'a>(
        &self,
        pick: impl Fn(&'a FlowBatch) -> Option<&'a [T]> + Clone,
    ) -> impl Iterator<Item = (&'a FlowBatch, T)> + Clone {
        let flows = &self.bundle.flows;
        self.sorted.iter().map(move |r| {
            let b = &flows[r.batch()];
            let cell = pick(b).and_then(|c| c.get(r.row()));
            (b, cell.copied().unwrap_or_default())
        })
    }

    fn fixed<T: Cell + 'a>(
        &self,
        out: &mut Block,
        pick: impl Fn(&'a FlowBatch) -> Option<&'a [T]>,
    ) -> bool {
        let default = |b| pick(b).is_none_or(|c| T::all_default(c));
        let said = !self.bundle.flows.iter().all(default);
        if said {
            out.gather::<T>(&self.order, self.lying, |mut lying| {
                for b in &self.bundle.flows {
                    let (here, rest) = lying.split_at_mut(b.len() * T::SIZE);
                    lying = rest;
                    match pick(b) {
                        Some(cells) => fill(here, cells.iter().copied()),
                        None => here.fill(0),
                    }
                }
            });
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
            let lay = |lying: &mut [u8]| fill(lying, values.iter().copied());
            out.gather::<T>(&self.provenance, values.len(), lay);
        }
        said
    }

    fn origin(&self, out: &mut Block) -> bool {
        let all = self.bundle.flows.iter().flat_map(|b| b.provenances());
        let ids = all.map(|p| p.origin as u32);
        let name = |id| Origin::from_number(id as u8).name();
        out.low_cardinality(Origin::ALL.len(), name, ids, Order::By(&self.provenance))
    }

    fn numbered(
        &self,
        out: &mut Block,
        pick: impl Fn(&'a FlowBatch) -> &'a [u8],
        count: usize,
        name: fn(u8) -> &'static str,
    ) -> bool {
        let ids = self.lying(|b| Some(pick(b))).map(u32::from);
        out.low_cardinality(count, |id| name(id as u8), ids, Order::By(&self.order))
    }

    /// A numbered column of a group that only metered rows have.
    fn metered(
        &self,
        out: &mut Block,
        pick: impl Fn(&'a FlowBatch) -> Option<&'a [u8]>,
        count: usize,
        name: fn(u8) -> &'static str,
    ) -> bool {
        let some = self.bundle.flows.iter().any(|b| pick(b).is_some());
        let ids = self.lying(pick).map(u32::from);
        some && out.low_cardinality(count, |id| name(id as u8), ids, Order::By(&self.order))
    }

    fn named<T: Copy + Default + Into<u32> + 'a>(
        &self,
        out: &mut Block,
        table: &NameTable,
        pick: impl Fn(&'a FlowBatch) -> &'a [T],
    ) -> bool {
        let ids = self.lying(|b| Some(pick(b))).map(Into::into);
        out.low_cardinality(
            table.len(),
            |id| table.name(id),
            ids,
            Order::By(&self.order),
        )
    }

    fn networks(&self, out: &mut Block, pick: impl Fn(&'a FlowBatch) -> Option<&'a [u32]>) -> bool {
        let table = &self.bundle.names.networks;
        let some = self.bundle.flows.iter().any(|b| pick(b).is_some());
        some && out.low_cardinality(
            table.len(),
            |id| table.name(id),
            self.lying(pick),
            Order::By(&self.order),
        )
    }

    fn egress_class(&self, out: &mut Block) -> bool {
        let table = &self.bundle.names.classes;
        let pick = |b: &'a FlowBatch| b.egress.as_ref().map(|g| g.egress_class.as_slice());
        let some = self.bundle.flows.iter().any(|b| pick(b).is_some());
        some && out.low_cardinality(
            table.len(),
            |id| if id == 0 { "" } else { table.name(id) },
            self.lying(pick).map(u32::from),
            Order::By(&self.order),
        )
    }

    fn countries(
        &self,
        out: &mut Block,
        pick: impl Fn(&'a FlowBatch) -> Option<&'a [u16]>,
    ) -> bool {
        let some = self.bundle.flows.iter().any(|b| pick(b).is_some());
        let ids = self.lying(pick).map(u32::from);
        let name = |id| country(id as u16);
        some && out.low_cardinality(COUNTRY_IDS, name, ids, Order::By(&self.order))
    }

    fn texts(
        &self,
        out: &mut Block,
        pick: impl Fn(&'a FlowBatch) -> Option<&'a [TextRef]> + Clone,
    ) -> bool {
        let said = self.lying(&pick).any(|text| text.len > 0);
        if said {
            self.sorted(pick)
                .for_each(|(b, text)| out.text(b.text(text)));
        }
        said
    }

    fn as_paths(&self, out: &mut Block) -> bool {
        let pick = |b: &'a FlowBatch| b.bgp.as_ref().map(|g| g.dst_as_path.as_slice());
        let paths = self.sorted(pick).map(|(b, path): (_, AsPath)| b.path(path));
        let numbers: usize = paths.clone().map(<[u32]>::len).sum();
        if numbers > 0 {
            out.offsets(self.len(), paths.clone().map(<[u32]>::len));
            out.cells(numbers, paths.flatten().copied());
        }
        numbers > 0
    }

    fn detections(&self, out: &mut Block) -> bool {
        let pick = |b: &'a FlowBatch| b.found.as_ref().map(|g| g.detections.as_slice());
        let ids = |row: [u64; DETECTIONS_MAX]| row.into_iter().filter(|id| *id != 0);
        let rows = self.sorted(pick).map(|(_, row)| row);
        let counts = rows.clone().map(|row| ids(row).count());
        let all: usize = counts.clone().sum();
        if all > 0 {
            out.offsets(self.len(), counts);
            out.cells(all, rows.flat_map(ids));
        }
        all > 0
    }

    /// An array of tuples: offsets, then each part of the tuple as a column of its own.
    fn mpls(&self, out: &mut Block) -> bool {
        let pick = |b: &'a FlowBatch| b.mpls.as_ref().map(|g| g.mpls.as_slice());
        let stacks = self.sorted(pick).map(|(_, stack): (_, MplsStack)| stack);
        let depths = stacks.clone().map(|s| s.iter().count());
        let labels: usize = depths.clone().sum();
        if labels > 0 {
            out.offsets(self.len(), depths);
            let mut entries = Vec::with_capacity(labels);
            stacks.for_each(|s| entries.extend(s.iter()));
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
        r.named(out, &r.bundle.names.apps, |b| &b.core.app_proto)
    }),
    column!("app": "LowCardinality(String)", |r, out| {
        r.named(out, &r.bundle.names.apps, |b| &b.core.app)
    }),
    column!("app_source": "LowCardinality(String)", |r, out| {
        r.numbered(out, |b| &b.core.app_source, AppSource::ALL.len(), |n| {
            AppSource::from_number(n).name()
        })
    }),
    core!(app_confidence: "UInt8"),
    column!("qos_class": "LowCardinality(String)", |r, out| {
        r.named(out, &r.bundle.names.classes, |b| &b.core.qos_class)
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
    column!("src_net": "LowCardinality(String)", |r, out| {
        r.networks(out, |b| b.nets.as_ref().map(|g| g.src_net.as_slice()))
    }),
    column!("dst_net": "LowCardinality(String)", |r, out| {
        r.networks(out, |b| b.nets.as_ref().map(|g| g.dst_net.as_slice()))
    }),
    column!("src_country": "LowCardinality(String)", |r, out| {
        r.countries(out, |b| b.nets.as_ref().map(|g| g.src_country.as_slice()))
    }),
    column!("dst_country": "LowCardinality(String)", |r, out| {
        r.countries(out, |b| b.nets.as_ref().map(|g| g.dst_country.as_slice()))
    }),
    column!("egress_class": "LowCardinality(String)", |r, out| r.egress_class(out)),
    column!("detections": "Array(UInt64)", |r, out| r.detections(out)),
    text!(user_name),
    text!(server_name),
    text!(app_name),
    text!(if_name),
    text!(ja4),
    group!(quality.conversation: "UInt64"),
    group!(quality.measured: "UInt32"),
    group!(quality.rtt_us: "UInt32"),
    group!(quality.data_rtt_us: "UInt32"),
    group!(quality.ttfb_us: "UInt32"),
    group!(quality.retransmits: "UInt32"),
    group!(quality.out_of_order: "UInt32"),
    group!(quality.dup_acks: "UInt32"),
    group!(quality.zero_windows: "UInt32"),
    group!(quality.resets: "UInt32"),
    group!(quality.ce_marks: "UInt32"),
    group!(quality.jitter_us: "UInt32"),
    group!(quality.lost: "UInt32"),
    group!(quality.dns_rtt_us: "UInt32"),
    group!(quality.cert_expires_s: "UInt32"),
    group!(quality.mos_x100: "UInt16"),
    group!(quality.tls_version: "UInt16"),
    group!(quality.dns_rcode: "UInt8"),
    group!(quality.rtp_payload: "UInt8"),
    column!("codec": "LowCardinality(String)", |r, out| {
        r.metered(out, |b| b.quality.as_ref().map(|g| g.codec.as_slice()), Codec::ALL.len(), |n| {
            Codec::from_number(n).name()
        })
    }),
    column!("handshake": "LowCardinality(String)", |r, out| {
        r.metered(out, |b| b.quality.as_ref().map(|g| g.handshake.as_slice()), Handshake::ALL.len(), |n| {
            Handshake::from_number(n).name()
        })
    }),
    column!("conversation_side": "LowCardinality(String)", |r, out| {
        r.metered(out, |b| b.quality.as_ref().map(|g| g.conversation_side.as_slice()), ConversationSide::ALL.len(), |n| {
            ConversationSide::from_number(n).name()
        })
    }),
    group!(tunnel.tunnel_src: "IPv6"),
    group!(tunnel.tunnel_dst: "IPv6"),
    group!(tunnel.tunnel_id: "UInt32"),
    column!("tunnel_kind": "LowCardinality(String)", |r, out| {
        r.metered(out, |b| b.tunnel.as_ref().map(|g| g.tunnel_kind.as_slice()), TunnelKind::ALL.len() + 1, TunnelKind::name_of)
    }),
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
            NetColumns::NAMES,
            EgressColumns::NAMES,
            QualityColumns::NAMES,
            TunnelColumns::NAMES,
            FoundColumns::NAMES,
            TextColumns::NAMES,
        ];
        let stored = |name: &&str| COLUMNS.iter().any(|c| c.name == *name);
        let inner = [
            "provenance",
            "app_id_sent",
            "booked_from_ms",
            "booked_to_ms",
            "rule",
        ];
        for name in groups.concat().iter().filter(|n| !inner.contains(n)) {
            assert!(
                stored(name),
                "{name} is missing in src/sink/native/flows.rs"
            );
        }
    }
}
