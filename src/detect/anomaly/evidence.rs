//! Flows that incidents show.

use super::sighting::{DeniedSeen, DnsSeen, FlowSeen};
use super::{TCP, UDP, payload};
use crate::model::{Addr, EvidenceFlow};

/// A flow as evidence.
pub(super) fn evidence(f: &FlowSeen) -> EvidenceFlow {
    let (src_port, dst_port) = match f.proto {
        1 | 58 => (f.icmp >> 8, f.icmp & 0xff),
        _ => (f.src_port, f.dst_port),
    };
    EvidenceFlow {
        src: f.src,
        dst: f.dst,
        src_port,
        dst_port,
        proto: f.proto,
        bytes: f.bytes,
        packets: f.packets,
        start_ms: f.start_ms,
        community_id: String::new(),
    }
}

/// The flow of a packet as evidence, from client to server, with the bytes of that packet.
pub(super) fn packet_evidence(
    client: (Addr, u16),
    server: (Addr, u16),
    proto: u8,
    (bytes, time_ms): (u32, i64),
) -> EvidenceFlow {
    EvidenceFlow {
        src: client.0,
        dst: server.0,
        src_port: client.1,
        dst_port: server.1,
        proto,
        bytes: bytes.into(),
        packets: 1,
        start_ms: time_ms,
        community_id: String::new(),
    }
}

impl DeniedSeen {
    /// The flow of the packet that says it.
    pub(super) fn evidence(&self) -> EvidenceFlow {
        let proto = if self.service == payload::KERBEROS {
            UDP
        } else {
            TCP
        };
        let said = (self.bytes, self.time_ms);
        let client = (self.client, self.client_port);
        packet_evidence(client, (self.server, self.port), proto, said)
    }
}

impl DnsSeen {
    /// The flow of the packet that says it.
    pub(super) fn evidence(&self) -> EvidenceFlow {
        let proto = if self.over_tcp { TCP } else { UDP };
        let said = (self.bytes.into(), self.time_ms);
        packet_evidence(
            (self.client, self.client_port),
            (self.server, 53),
            proto,
            said,
        )
    }
}
