//! What is odd about packets and frames without any, and the rules that ask for it.

use super::desk::At;
use super::flow::Flow;
use super::{Engine, Reading, events};
use crate::ledger::Tally;
use crate::model::{Addr, Envelope, PacketView, Transport};

impl Engine {
    /// Takes a frame in which no packet was found: rules may ask why.
    pub fn frame(&mut self, link_type: u16, bytes: &[u8], at: (i64, u64), tally: &mut Tally) {
        if link_type != ETHERNET || self.reading.desk.program.events.is_empty() {
            return;
        }
        let mut odd = vec![];
        events::of_frame(bytes, &mut |event| odd.push(event));
        if odd.is_empty() {
            return;
        }
        let envelope = Envelope::default();
        let p = no_packet(bytes, &envelope, at);
        self.reading.desk.raised(&p, None, &odd, tally);
        self.reading.desk.settle(None, Some(&p));
    }
}

impl Engine {
    /// The fragment with which a packet is whole whose fragments overlapped.
    pub fn fragments_overlap(&mut self, p: &PacketView<'_>, tally: &mut Tally) {
        let event = match p.version {
            4 => "decoder.ipv4.frag_overlap",
            _ => "decoder.ipv6.frag_overlap",
        };
        self.reading.desk.raised(p, None, &[event], tally);
        self.reading.desk.settle(None, Some(p));
    }
}

impl Reading {
    /// Tries the rules about what is odd about a packet, beside what its connection has found so.
    pub(super) fn odd(
        &mut self,
        p: &PacketView<'_>,
        flow: Option<(&mut Flow, &At<'_>)>,
        tally: &mut Tally,
    ) {
        if self.desk.program.events.is_empty() {
            self.odd.clear();
            return;
        }
        let mut odd = std::mem::take(&mut self.odd);
        events::of_packet(p, &mut |event| odd.push(event));
        // Suricata follows three tags and no more
        let is_deep = p.envelope.vlans.as_slice().len() > events::VLANS_MAX;
        if is_deep {
            odd.clear();
            odd.push("decoder.vlan.too_many_layers");
        }
        if is_deep || odd.iter().any(|e| e.ends_with(".trunc_pkt")) {
            // Suricata reads nothing else of it, not even its addresses
            let nothing = no_packet(p.bytes, p.envelope, (p.time_ns, p.frame));
            self.desk.raised(&nothing, None, &odd, tally);
            odd.clear();
        }
        if !odd.is_empty() {
            self.desk.raised(p, flow, &odd, tally);
            odd.clear();
        }
        self.odd = odd;
    }
}

/// A frame without a packet, as rules see it.
fn no_packet<'a>(bytes: &'a [u8], envelope: &'a Envelope, at: (i64, u64)) -> PacketView<'a> {
    PacketView {
        time_ns: at.0,
        frame: at.1,
        interface: 0,
        wire_len: bytes.len() as u32,
        frames: 1,
        bytes,
        envelope,
        src: Addr::UNSPECIFIED,
        dst: Addr::UNSPECIFIED,
        ip_len: 0,
        ip_id: 0,
        flow_label: 0,
        network_at: 0,
        transport_at: 0,
        payload_at: 0,
        end: 0,
        payload_len: 0,
        version: 0,
        tos: 0,
        ttl: 0,
        proto: 0,
        fragment: None,
        transport: Transport::None,
        cut: true,
    }
}

/// LINKTYPE_ETHERNET.
const ETHERNET: u16 = 1;
