//! Packets for the tests of this room.

use crate::model::{Addr, Envelope, PacketView, TcpHeader, Transport};

/// A packet that a test can change.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub time_ns: i64,
    pub frame: u64,
    pub ends: [(Addr, u16); 2],
    pub transport: Transport,
    pub proto: u8,
    pub tos: u8,
    /// Transport header and payload.
    pub bytes: Vec<u8>,
    pub header: usize,
    pub envelope: Envelope,
}

impl Sample {
    pub fn tcp() -> Self {
        Sample {
            time_ns: 1_000_000_000,
            frame: 1,
            ends: [
                (Addr::from_v4([10, 0, 0, 1]), 40_000),
                (Addr::from_v4([10, 0, 0, 2]), 80),
            ],
            transport: Transport::Tcp(TcpHeader::default()),
            proto: 6,
            tos: 0,
            bytes: vec![0; 20],
            header: 20,
            envelope: Envelope::default(),
        }
    }

    pub fn udp(payload: &[u8]) -> Self {
        Sample {
            transport: Transport::Ports { src: 0, dst: 0 },
            proto: 17,
            bytes: [&[0; 8][..], payload].concat(),
            header: 8,
            ..Sample::tcp()
        }
    }

    pub fn icmp(kind: u8, code: u8) -> Self {
        Sample {
            transport: Transport::Icmp { kind, code },
            proto: 1,
            bytes: vec![0; 8],
            header: 8,
            ..Sample::tcp()
        }
    }

    /// With these TCP fields and payload.
    pub fn segment(mut self, flags: u16, seq: u32, ack: u32, payload: &[u8]) -> Self {
        self.transport = Transport::Tcp(TcpHeader {
            seq,
            ack,
            flags,
            window: 1000,
            ..Default::default()
        });
        self.bytes = [&[0; 20][..], payload].concat();
        self
    }

    pub fn at(mut self, time_ms: i64) -> Self {
        self.time_ns = time_ms * 1_000_000;
        self
    }

    /// From the first end to the second, or back.
    pub fn view(&self, back: bool) -> PacketView<'_> {
        let [mut src, mut dst] = self.ends;
        if back {
            std::mem::swap(&mut src, &mut dst);
        }
        let transport = match self.transport {
            Transport::Tcp(t) => Transport::Tcp(TcpHeader {
                src_port: src.1,
                dst_port: dst.1,
                ..t
            }),
            Transport::Ports { .. } => Transport::Ports {
                src: src.1,
                dst: dst.1,
            },
            other => other,
        };
        let end = self.bytes.len() as u32;
        PacketView {
            time_ns: self.time_ns,
            frame: self.frame,
            interface: 1,
            wire_len: end + 34,
            frames: 1,
            bytes: &self.bytes,
            envelope: &self.envelope,
            src: src.0,
            dst: dst.0,
            ip_len: end + 20,
            ip_id: 0,
            flow_label: 0,
            network_at: 0,
            transport_at: 0,
            payload_at: self.header as u32,
            end,
            payload_len: end - self.header as u32,
            version: 4,
            tos: self.tos,
            ttl: 64,
            proto: self.proto,
            fragment: None,
            transport,
            cut: false,
        }
    }
}
