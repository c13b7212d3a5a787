//! Flows as a network of many hosts and few popular servers makes them.

use super::random::mix;
use super::service::{SERVICES, SHARES};
use super::{Random, Service};
use crate::model::Addr;

/// A flow with the counters that its exporter reports.
#[derive(Clone, Debug)]
pub struct Flow {
    /// Source address.
    pub source: Addr,
    /// Destination address.
    pub destination: Addr,
    /// Next hop of the route.
    pub next_hop: Addr,
    /// Source port.
    pub source_port: u16,
    /// Destination port (ICMP: type * 256 + code).
    pub destination_port: u16,
    /// IP protocol.
    pub protocol: u8,
    /// Traffic class octet.
    pub tos: u8,
    /// All TCP flags seen; 0 without TCP.
    pub tcp_flags: u8,
    /// Ingress ifIndex.
    pub in_if: u32,
    /// Egress ifIndex.
    pub out_if: u32,
    /// Layer 3 bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// First packet, milliseconds since 1970 by a right clock.
    pub start_ms: i64,
    /// Last packet.
    pub end_ms: i64,
    /// Source autonomous system.
    pub source_as: u32,
    /// Destination autonomous system.
    pub destination_as: u32,
    /// Prefix length of the source's route.
    pub source_mask: u8,
    /// Prefix length of the destination's route.
    pub destination_mask: u8,
    /// VLAN of the client.
    pub vlan: u16,
    /// Element 61: 0 metered at ingress, 1 at egress.
    pub direction: u8,
    /// Element 136.
    pub end_reason: u8,
    /// What it belongs to.
    pub service: &'static Service,
}

impl Flow {
    /// Whether both ends are IPv6.
    pub fn is_v6(&self) -> bool {
        !self.source.is_v4()
    }

    /// The server's port.
    pub fn server_port(&self) -> u16 {
        self.service.port
    }

    /// DSCP of its packets.
    pub fn dscp(&self) -> u8 {
        self.tos >> 2
    }

    fn reversed(self) -> Flow {
        let icmp = self.protocol == 1 || self.protocol == 58;
        Flow {
            source: self.destination,
            destination: self.source,
            source_port: if icmp { 0 } else { self.destination_port },
            destination_port: if icmp {
                self.destination_port
            } else {
                self.source_port
            },
            in_if: self.out_if,
            out_if: self.in_if,
            source_as: self.destination_as,
            destination_as: self.source_as,
            source_mask: self.destination_mask,
            destination_mask: self.source_mask,
            ..self
        }
    }
}

/// The interfaces through which traffic passes: clients behind `access`, servers behind `uplinks`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site {
    pub access: (u32, u32),
    pub uplinks: (u32, u32),
}

/// Draws a flow that ended within the two seconds before `now_ms`; `v6_percent` in a hundred are IPv6.
pub(super) fn draw(random: &mut Random, site: &Site, v6_percent: u64, now_ms: i64) -> Flow {
    let (client, server) = (random.zipf(CLIENTS, 1.02), random.zipf(SERVERS, 1.1));
    let parties = Parties {
        client,
        server,
        service: pick(random),
        v6: random.chance(v6_percent),
        packets_max: 500_000,
    };
    let upstream = random.chance(50);
    let flow = parties.flow(random, site, upstream, now_ms);
    if upstream { flow } else { flow.reversed() }
}

/// Draws a flow and its answer, as a network has them in which nothing is amiss: each service has its own servers, what a client
/// begins is answered, and what begins ends.
pub(super) fn conversation(
    random: &mut Random,
    site: &Site,
    v6_percent: u64,
    now_ms: i64,
) -> [Flow; 2] {
    let service = pick(random);
    let of_service = if WEB.contains(&service.port) { 500 } else { 4 };
    let number = u64::from(service.app_id) << 16 | random.zipf(of_service, 1.1);
    let parties = Parties {
        client: random.below(CALM_CLIENTS),
        server: number,
        service,
        v6: random.chance(v6_percent),
        packets_max: 500,
    };
    let there = parties.flow(random, site, true, now_ms);
    let tcp_flags = if service.protocol == 6 { 0x1b } else { 0 };
    let there = Flow {
        tcp_flags,
        // not faster than 50 packets a second, which is no flood at any usual sampling
        start_ms: there.start_ms.min(there.end_ms - 20 * there.packets as i64),
        ..there
    };
    let typical = u64::from(service.packet_bytes.1);
    let back = Flow {
        bytes: there.packets * typical.max(if parties.v6 { 60 } else { 40 }),
        ..there.clone().reversed()
    };
    [there, back]
}

/// Who speaks with whom, and how.
struct Parties {
    client: u64,
    server: u64,
    service: &'static Service,
    v6: bool,
    packets_max: u64,
}

impl Parties {
    /// A flow from the client to the server, with packets as long as those of its side.
    fn flow(&self, random: &mut Random, site: &Site, upstream: bool, now_ms: i64) -> Flow {
        let Parties { service, v6, .. } = *self;
        let packets = (random.unit().powf(-0.8) as u64).clamp(1, self.packets_max);
        let (up, down) = service.packet_bytes;
        let typical = u64::from(if upstream { up } else { down });
        let floor = if v6 { 60 } else { 40 };
        let bytes = packets
            * random.between(
                (typical * 3 / 4).max(floor),
                (typical * 5 / 4).clamp(floor, 1500),
            );
        let life = match packets {
            1 => 0,
            _ => random.below(u64::from(service.life_max_seconds) * 1000) as i64,
        };
        let end_ms = now_ms - random.below(2000) as i64;
        let (c, s) = (mix(self.client), mix(self.server ^ SERVER_SALT));
        let v4_masks = (24, 16 + (s % 9) as u8);
        let (source_mask, destination_mask) = if v6 { (64, 48) } else { v4_masks };
        Flow {
            source: client_address(c, v6),
            destination: server_address(s, v6),
            next_hop: next_hop(s, v6),
            source_port: if service.protocol == 1 {
                0
            } else {
                random.between(32_768, 60_999) as u16
            },
            destination_port: if service.protocol == 1 {
                8 << 8
            } else {
                service.port
            },
            protocol: if service.protocol == 1 && v6 {
                58
            } else {
                service.protocol
            },
            tos: service.dscp << 2,
            tcp_flags: if service.protocol == 6 {
                TCP_FLAGS[random.below(TCP_FLAGS.len() as u64) as usize]
            } else {
                0
            },
            in_if: spread(c, site.access),
            out_if: spread(s, site.uplinks),
            bytes,
            packets,
            start_ms: end_ms - life,
            end_ms,
            source_as: 64_512 + (c >> 40) as u32 % 500,
            destination_as: 1_000 + (s >> 40) as u32 % 60_000,
            source_mask,
            destination_mask,
            vlan: 100 + (self.client % 64) as u16,
            direction: 0,
            end_reason: random.between(1, 4) as u8,
            service,
        }
    }
}

pub(super) fn pick(random: &mut Random) -> &'static Service {
    let mut left = random.below(u64::from(SHARES)) as u32;
    for service in SERVICES {
        if left < service.share {
            return service;
        }
        left -= service.share;
    }
    &SERVICES[0]
}

pub(super) fn client_address(c: u64, v6: bool) -> Addr {
    let b = c.to_be_bytes();
    match v6 {
        false => Addr::from_v4([10, b[5], b[6], b[7]]),
        true => Addr::from_v6([
            0x20,
            0x01,
            0x0d,
            0xb8,
            0,
            1,
            b[0] % 16,
            b[1],
            0,
            0,
            0,
            b[3],
            b[4],
            b[5],
            b[6],
            b[7],
        ]),
    }
}

pub(super) fn server_address(s: u64, v6: bool) -> Addr {
    let b = s.to_be_bytes();
    match v6 {
        false => Addr::from_v4([20 + b[4] % 180, b[5], b[6], b[7]]),
        true => Addr::from_v6([
            0x20, 0x01, 0x0d, 0xb8, 0xff, b[0], b[1], b[2], 0, 0, 0, b[3], b[4], b[5], b[6], b[7],
        ]),
    }
}

fn next_hop(s: u64, v6: bool) -> Addr {
    let last = (s % 16) as u8 + 1;
    match v6 {
        false => Addr::from_v4([172, 16, (s % 4) as u8, last]),
        true => Addr::from_v6([0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]),
    }
}

fn spread(hash: u64, (first, count): (u32, u32)) -> u32 {
    first + (hash >> 20) as u32 % count
}

const CLIENTS: u64 = 1 << 17;
/// Clients of a network in which nothing is amiss.
const CALM_CLIENTS: u64 = 2_000;
/// Ports of services that many servers have.
const WEB: [u16; 2] = [80, 443];
const SERVERS: u64 = 1 << 16;
const SERVER_SALT: u64 = 0x5e17_0000_0000;
const TCP_FLAGS: [u8; 6] = [0x1b, 0x1f, 0x02, 0x18, 0x10, 0x12];
