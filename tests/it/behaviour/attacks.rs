//! Attacks and ordinary traffic made by rule, as facts that detectors look at: rows as exporters and our meter tell them.

use flowhouse::detect::anomaly::{
    ArpSeen, Burst, BurstKind, CallSeen, DeniedSeen, DnsSeen, EchoSeen, FlowSeen, OddSeen, Seen,
    Side, Sighting,
};
use flowhouse::model::{Addr, AppProto, Handshake, RowPlace};

/// A reproducible source of numbers (xorshift64*, Vigna 2016).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From `low` to below `high`.
    pub fn within(&mut self, low: i64, high: i64) -> i64 {
        low + (self.next() >> 8) as i64 % (high - low).max(1)
    }
}

/// What is seen, with its times.
#[derive(Clone, Debug)]
pub struct Scene {
    pub seen: Vec<(i64, Seen)>,
    pub dice: Dice,
    /// 1 in N packets is seen; 1: rows are metered here.
    pub interval: u32,
}

/// A conversation of TCP.
#[derive(Clone, Copy, Debug)]
pub struct Tcp {
    pub at_ms: i64,
    pub src: Addr,
    pub dst: Addr,
    pub port: u16,
    pub packets: u64,
    pub bytes: u64,
    pub back: u64,
    pub life_ms: i64,
    pub handshake: Handshake,
}

/// What is spoken on a port where nobody hides anything.
pub fn spoken(port: u16) -> u8 {
    let spoken = match port {
        21 => AppProto::Ftp,
        22 => AppProto::Ssh,
        80 => AppProto::Http,
        443 => AppProto::Tls,
        445 => AppProto::Smb,
        3389 => AppProto::Rdp,
        _ => AppProto::Unknown,
    };
    spoken as u8
}

pub const BEGIN_MS: i64 = 1_700_000_000_000;

pub fn ip(a: u8, b: u8, c: u8, d: u8) -> Addr {
    Addr::from_v4([a, b, c, d])
}

impl Scene {
    pub fn new(seed: u64, interval: u32) -> Self {
        Scene {
            seen: vec![],
            dice: Dice::new(seed),
            interval,
        }
    }

    /// All facts in order of time.
    pub fn sightings(mut self) -> Vec<Sighting> {
        self.seen.sort_by_key(|s| s.0);
        let of = |(now_ms, seen)| Sighting {
            place: RowPlace::at(1),
            now_ms,
            seen,
        };
        self.seen.into_iter().map(of).collect()
    }

    /// Packets of a row that sampling leaves.
    fn sampled(&mut self, packets: u64) -> u64 {
        let n = i64::from(self.interval);
        match n {
            1 => packets,
            _ => (0..packets).filter(|_| self.dice.within(0, n) == 0).count() as u64,
        }
    }

    pub fn tcp(&mut self, t: Tcp) {
        if self.interval > 1 {
            return self.tcp_exported(t);
        }
        let packets = t.packets;
        let src_port = self.dice.within(32_768, 60_999) as u16;
        let open = t.handshake == Handshake::Complete;
        let flags = if open { 0x1b } else { 0x02 };
        let row = FlowSeen {
            src: t.src,
            dst: t.dst,
            src_port,
            dst_port: t.port,
            proto: 6,
            tcp_flags: Some(flags),
            bytes: t.bytes,
            packets,
            interval: 1,
            back_bytes: Some(t.back),
            back_packets: u64::from(t.back > 0) * packets,
            start_ms: t.at_ms,
            end_ms: t.at_ms + t.life_ms,
            conversation: self.dice.next(),
            handshake: t.handshake,
            side: Side::Initiator,
            metered: true,
            spoken: if open { spoken(t.port) } else { 0 },
            ..FlowSeen::default()
        };
        self.seen
            .push((t.at_ms + t.life_ms + 2_000, Seen::Flow(row)));
    }

    /// What an exporter tells of both directions: flags are those of the packets that it saw.
    pub fn tcp_exported(&mut self, t: Tcp) {
        let port = self.dice.within(32_768, 60_999) as u16;
        let open = t.handshake == Handshake::Complete;
        let there = ([(t.src, port), (t.dst, t.port)], t.bytes, 0x02);
        let back = ([(t.dst, t.port), (t.src, port)], t.back, 0x12);
        for (ends, bytes, first) in [there, back] {
            let mut row = (0, 0);
            for n in 0..if bytes > 0 { t.packets } else { 0 } {
                if self.dice.within(0, i64::from(self.interval)) != 0 {
                    continue;
                }
                row.0 += 1;
                row.1 |= match n {
                    0 => first,
                    n if open && n + 1 == t.packets => 0x11,
                    _ if open => 0x18,
                    _ => first,
                };
            }
            let (packets, flags) = row;
            if packets == 0 {
                continue;
            }
            let [(src, src_port), (dst, dst_port)] = ends;
            let row = FlowSeen {
                src,
                dst,
                src_port,
                dst_port,
                proto: 6,
                tcp_flags: Some(flags),
                bytes: bytes * packets / t.packets,
                packets,
                interval: self.interval,
                start_ms: t.at_ms,
                end_ms: t.at_ms + t.life_ms,
                conversation: self.dice.next(),
                ..FlowSeen::default()
            };
            self.seen
                .push((t.at_ms + t.life_ms + 2_000, Seen::Flow(row)));
        }
    }

    /// A probe that nobody answers.
    pub fn syn(&mut self, at_ms: i64, src: Addr, dst: Addr, port: u16) {
        self.tcp(Tcp {
            at_ms,
            src,
            dst,
            port,
            packets: 1,
            bytes: 44,
            back: 0,
            life_ms: 0,
            handshake: Handshake::Unanswered,
        });
    }

    pub fn udp(
        &mut self,
        at_ms: i64,
        ends: [(Addr, u16); 2],
        packets: u64,
        bytes: u64,
        answered: bool,
    ) {
        let metered = self.interval == 1;
        let [there, back] = ends;
        for (ends, comes) in [([there, back], true), ([back, there], answered && !metered)] {
            let seen = if comes { self.sampled(packets) } else { 0 };
            if seen == 0 {
                continue;
            }
            let [(src, src_port), (dst, dst_port)] = ends;
            let row = FlowSeen {
                src,
                dst,
                src_port,
                dst_port,
                proto: 17,
                bytes: bytes * seen / packets,
                packets: seen,
                interval: self.interval,
                back_bytes: metered.then_some(if answered { bytes } else { 0 }),
                back_packets: u64::from(metered && answered) * packets,
                start_ms: at_ms,
                end_ms: at_ms + 10,
                conversation: self.dice.next(),
                side: if metered {
                    Side::Initiator
                } else {
                    Side::Unknown
                },
                metered,
                ..FlowSeen::default()
            };
            self.seen.push((at_ms + 1_000, Seen::Flow(row)));
        }
    }

    /// Packets of a flood: by the second where packets are seen, else as rows.
    pub fn burst(
        &mut self,
        at_ms: i64,
        kind: BurstKind,
        ends: [(Addr, u16); 2],
        packets: u32,
        bytes: u64,
    ) {
        let [(src, src_port), (dst, dst_port)] = ends;
        if self.interval > 1 {
            match kind {
                BurstKind::Syn => self.syn(at_ms, src, dst, dst_port),
                BurstKind::SynAck => self.syn_ack(at_ms, src, dst, src_port),
                _ => self.udp(at_ms, ends, packets.into(), bytes, false),
            }
            return;
        }
        let burst = Burst {
            src,
            dst,
            kind,
            src_port: if kind == BurstKind::Udp && src_port > 50_000 {
                0
            } else {
                src_port
            },
            dst_port,
            bytes,
            packets,
            first_ms: at_ms,
            last_ms: at_ms,
        };
        self.seen.push((at_ms, Seen::Burst(burst)));
    }

    fn syn_ack(&mut self, at_ms: i64, src: Addr, dst: Addr, port: u16) {
        if self.sampled(1) == 0 {
            return;
        }
        let row = FlowSeen {
            src,
            dst,
            src_port: port,
            dst_port: 40_000,
            proto: 6,
            tcp_flags: Some(0x12),
            bytes: 44,
            packets: 1,
            interval: self.interval,
            start_ms: at_ms,
            end_ms: at_ms,
            ..FlowSeen::default()
        };
        self.seen.push((at_ms + 1_000, Seen::Flow(row)));
    }

    pub fn dns(&mut self, time_ms: i64, client: Addr, name: &str, kind: u16, rcode: Option<u8>) {
        let dns = DnsSeen {
            client,
            server: ip(10, 0, 0, 53),
            time_ms,
            is_answer: rcode.is_some(),
            rcode: rcode.unwrap_or(0),
            kind,
            bytes: name.len() as u16 + 18,
            name: name.as_bytes().into(),
            ..DnsSeen::default()
        };
        self.seen.push((time_ms, Seen::Dns(dns)));
    }

    pub fn echo(
        &mut self,
        time_ms: i64,
        ends: (Addr, Addr),
        is_reply: bool,
        (seq, len, hash): (u16, u16, u64),
    ) {
        let echo = EchoSeen {
            src: ends.0,
            dst: ends.1,
            time_ms,
            is_reply,
            id_seq: (7, seq),
            len,
            hash,
            is_pattern: false,
        };
        self.seen.push((time_ms, Seen::Echo(echo)));
    }

    pub fn arp(
        &mut self,
        time_ms: i64,
        operation: u16,
        (sender_mac, sender): (u64, Addr),
        target: Addr,
    ) {
        let arp = ArpSeen {
            operation,
            sender_mac,
            sender,
            target_mac: 0,
            target,
            time_ms,
        };
        self.seen.push((time_ms, Seen::Arp(arp)));
    }

    pub fn denied(
        &mut self,
        time_ms: i64,
        client: Addr,
        server: Addr,
        port: u16,
        service: &'static str,
    ) {
        let denied = DeniedSeen {
            client,
            server,
            port,
            service,
            time_ms,
            ..DeniedSeen::default()
        };
        self.seen.push((time_ms, Seen::Denied(denied)));
    }

    pub fn call(
        &mut self,
        time_ms: i64,
        client: Addr,
        server: Addr,
        interface: &'static str,
        operation: Option<u16>,
    ) {
        let call = CallSeen {
            client,
            server,
            port: 445,
            interface,
            operation,
            time_ms,
            ..CallSeen::default()
        };
        self.seen.push((time_ms, Seen::Call(call)));
    }

    pub fn odd(&mut self, time_ms: i64, src: Addr, dst: Addr, flags: u16) {
        let odd = OddSeen {
            src,
            dst,
            dst_port: 80,
            flags,
            time_ms,
        };
        self.seen.push((time_ms, Seen::Odd(odd)));
    }

    /// Ten minutes of an office: pages, names, time, mail; one connection in twenty fails.
    pub fn office(&mut self, hosts: u8) {
        for n in 0..i64::from(hosts) * 120 {
            let src = ip(10, 0, 1, self.dice.within(1, i64::from(hosts)) as u8);
            let at_ms = BEGIN_MS + self.dice.within(0, 600_000);
            let dst = ip(
                93,
                184,
                self.dice.within(1, 20) as u8,
                self.dice.within(1, 250) as u8,
            );
            match n % 10 {
                0 | 1 => self.udp(
                    at_ms,
                    [(src, 40_000 + n as u16 % 20_000), (ip(10, 0, 0, 53), 53)],
                    1,
                    70,
                    true,
                ),
                2 => self.udp(at_ms, [(src, 123), (ip(192, 0, 2, 123), 123)], 1, 76, true),
                _ => {
                    let packets = self.dice.within(8, 60) as u64;
                    let fails = self.dice.within(0, 20) == 0;
                    let (size, life_ms) = (self.dice.within(60, 300), self.dice.within(50, 20_000));
                    self.tcp(Tcp {
                        at_ms,
                        src,
                        dst,
                        port: if n % 3 == 0 { 80 } else { 443 },
                        packets: if fails { 3 } else { packets },
                        bytes: packets * size as u64,
                        back: if fails { 0 } else { packets * 900 },
                        life_ms,
                        handshake: if fails {
                            Handshake::Unanswered
                        } else {
                            Handshake::Complete
                        },
                    });
                }
            }
        }
    }
}
