//! Segments and datagrams of a few conversations in any order, through streams, recognisers and parsers: nothing panics, what is
//! kept stays within its bounds, and it is all given back.
#![no_main]

use flowhouse::ledger::Book;
use flowhouse::meter::{Meter, Settings};
use flowhouse::model::{Addr, Envelope, FlowBatch, PacketView, TcpHeader, Transport};
use flowhouse::reassemble;
use flowhouse::reassemble::app::{Apps, Message, Visitor, Wishes};
use libfuzzer_sys::fuzz_target;

/// Asks everything of a message that can be asked.
struct Curious;

impl Visitor for Curious {
    fn message(&mut self, half: usize, message: &Message<'_>) {
        assert!(half < 2);
        match message {
            Message::HttpRequest(head) | Message::HttpResponse(head) => {
                head.host();
            }
            Message::TlsClientHello(hello) => {
                assert_eq!(hello.ja4().len(), 36);
                hello.ja3();
            }
            Message::TlsServerHello(hello) => {
                hello.ja3s_text();
            }
            Message::Dns(dns) => {
                assert!(dns.name.len() < 256);
                dns.addresses();
            }
            _ => {}
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut settings = reassemble::Settings::default();
    settings.app.bytes_max = 1 << 20;
    settings.streams.bytes_max = 1 << 18;
    settings.app.body_bytes_max = 1 << 16;
    let Some((first, mut rest)) = bytes.split_first() else {
        return;
    };
    let wishes = Wishes { all: first & 1 == 1, bodies: first & 2 == 2 };
    let apps = Apps::new(&settings, wishes);
    let mut meter = Meter::new(&Settings::default(), 0).with_visitor(apps, Box::new(Curious));
    let (mut out, mut book, envelope) = (FlowBatch::new(), Book::new(9), Envelope::default());
    let mut seq = [[100u32; 2]; 4];
    let mut now = 1_000_000_000;
    // each packet has its conversation, direction and gap, the port of the server, and its length in front
    while let Some(([what, gap, high, low, length], after)) = rest.split_first_chunk::<5>() {
        let is_tcp = what & 8 == 0;
        // a datagram has no gap: there the bits make it long enough for a handshake of QUIC
        let length = usize::from(*length) | if is_tcp { 0 } else { usize::from(gap & 7) << 8 };
        let (payload, next) = after.split_at(length.min(after.len()));
        rest = next;
        now += 1_000_000;
        let (talk, back) = (usize::from(what & 3), what >> 2 & 1 == 1);
        let mut ports = (40_000 + talk as u16, u16::from_be_bytes([*high, *low]));
        let mut ends = (Addr::from_v4([10, 0, 0, 1]), Addr::from_v4([10, 0, 0, 2]));
        if back {
            (ports, ends) = ((ports.1, ports.0), (ends.1, ends.0));
        }
        let at = seq[talk][usize::from(back)].wrapping_add(i32::from(*gap as i8) as u32);
        let transport = match is_tcp {
            true => Transport::Tcp(TcpHeader {
                src_port: ports.0,
                dst_port: ports.1,
                seq: at,
                ack: seq[talk][usize::from(!back)],
                flags: TcpHeader::ACK | u16::from(what >> 4 & 7),
                ..Default::default()
            }),
            false => Transport::Ports { src: ports.0, dst: ports.1 },
        };
        if is_tcp {
            seq[talk][usize::from(back)] = at.wrapping_add(payload.len() as u32);
        }
        let len = payload.len() as u32;
        let view = PacketView {
            time_ns: now,
            frame: 1,
            interface: 1,
            wire_len: len + 54,
            frames: 1,
            bytes: payload,
            envelope: &envelope,
            src: ends.0,
            dst: ends.1,
            ip_len: len + 40,
            ip_id: 0,
            flow_label: 0,
            network_at: 0,
            transport_at: 0,
            payload_at: 0,
            end: len,
            payload_len: len,
            version: 4,
            tos: 0,
            ttl: 64,
            proto: if is_tcp { 6 } else { 17 },
            fragment: None,
            transport,
            cut: false,
        };
        if !meter.advance(now, 1, &mut out, &mut book) || out.is_full() {
            out.clear();
        }
        meter.packet(&view, &mut out, &mut book);
        let kept = meter.heard_bytes();
        assert!(kept <= (1 << 20) + (1 << 18) + (1 << 17), "{kept}");
    }
    while !meter.finish(2, &mut out, &mut book) {
        out.clear();
    }
    assert_eq!(meter.heard_bytes(), 0);
});
