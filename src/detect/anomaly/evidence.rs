//! Flows that incidents show.

use super::sighting::{DeniedSeen, DnsSeen, EchoSeen, FlowSeen};
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

impl EchoSeen {
    /// The flow of the message, with its type in place of a port (RFC 792, RFC 4443 section 4).
    pub(super) fn evidence(&self) -> EvidenceFlow {
        let (proto, kind) = match (self.src.is_v4(), self.is_reply) {
            (true, false) => (ICMP, 8),
            (true, true) => (ICMP, 0),
            (false, false) => (ICMPV6, 128),
            (false, true) => (ICMPV6, 129),
        };
        let said = (u32::from(self.len) + HEADER, self.time_ms);
        packet_evidence((self.src, kind), (self.dst, 0), proto, said)
    }
}

/// Bytes of an echo message before its data.
const HEADER: u32 = 8;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::community_id;

    #[test]
    fn an_echo_message_and_its_reply_are_one_conversation() {
        let v4 = |n| Addr::from_v4([192, 0, 2, n]);
        let v6 = |n| Addr([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, n]);
        for ends in [(v4(1), v4(2)), (v6(1), v6(2))] {
            let id = |src, dst, is_reply| {
                let f = EchoSeen {
                    src,
                    dst,
                    time_ms: 1,
                    is_reply,
                    id_seq: (7, 1),
                    len: 100,
                    hash: 1,
                    is_pattern: false,
                }
                .evidence();
                assert_eq!(f.bytes, 108);
                community_id(0, f.proto, (f.src, f.src_port), (f.dst, f.dst_port))
            };
            assert_eq!(id(ends.0, ends.1, false), id(ends.1, ends.0, true));
        }
    }
}
