//! What detectors look at: small facts out of rows and packets, each at its place in the order of the input.

use super::credentials::TriedSeen;
use super::namer::{self, Namer};
use crate::model::{
    Addr, ConversationSide, Field, FlowBatch, Handshake, Names, Origin, RowFlags, RowPlace,
};
use std::sync::Arc;

/// A fact with its place among those of all shards and the clock of the data.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// Its place in the order of the input.
    pub place: RowPlace,
    /// Clock of the data when it was told, ms since 1970 UTC.
    pub now_ms: i64,
    /// What was seen.
    pub seen: Seen,
}

/// What was seen.
#[derive(Clone, Debug)]
pub enum Seen {
    /// A row, exported or metered.
    Flow(FlowSeen),
    /// Packets of one second that may be a flood's.
    Burst(Burst),
    /// A message of DNS.
    Dns(DnsSeen),
    /// An echo request or reply.
    Echo(EchoSeen),
    /// An ARP packet.
    Arp(ArpSeen),
    /// A TCP segment with flags that no connection has.
    Odd(OddSeen),
    /// A name, or a password, is said in the clear.
    Tried(TriedSeen),
    /// A server said that a password is wrong.
    Denied(DeniedSeen),
    /// A server said that one is right.
    Granted(DeniedSeen),
    /// How client and server of SSH agree on keys.
    Keys(KeysSeen),
    /// What is said about a login over HTTP.
    Web(WebSeen),
    /// A call that runs something on another host.
    Call(CallSeen),
    /// A TLS heartbeat that asks for more than it sends.
    Heartbleed(PairSeen),
    /// What a number in later rows is called.
    Name(u64, Arc<str>),
    /// What one host sent to a place in past days, by the store.
    Days(DaysSeen),
}

/// Which side of its conversation a row is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Side {
    /// Nobody says.
    #[default]
    Unknown,
    /// The side that began.
    Initiator,
    /// The other one.
    Responder,
}

/// How it is known which service of whom a row is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Known {
    /// By its port, by what is spoken, or not at all.
    #[default]
    No,
    /// By a server name or a published range: the one who calls chooses the name, and who rents a machine chooses the range.
    Named,
    /// By a rule of the user.
    Ruled,
}

/// A row.
#[derive(Clone, Debug, Default)]
pub struct FlowSeen {
    /// Source address.
    pub src: Addr,
    /// Destination address.
    pub dst: Addr,
    /// Source port.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// IP protocol.
    pub proto: u8,
    /// TCP flags of all packets; `None` where nobody says.
    pub tcp_flags: Option<u16>,
    /// ICMP type times 256 and code.
    pub icmp: u16,
    /// Bytes as reported.
    pub bytes: u64,
    /// Packets as reported.
    pub packets: u64,
    /// 1 in N packets was seen.
    pub interval: u32,
    /// Bytes of the other direction; `None` where that is a row of its own.
    pub back_bytes: Option<u64>,
    /// Packets of the other direction.
    pub back_packets: u64,
    /// First packet, ms since 1970 UTC.
    pub start_ms: i64,
    /// Last packet.
    pub end_ms: i64,
    /// Id of the conversation; 0 where there is none.
    pub conversation: u64,
    /// How the handshake went, where packets told.
    pub handshake: Handshake,
    /// Which side it is of.
    pub side: Side,
    /// Metered from packets here.
    pub metered: bool,
    /// The conversation goes on: the row was told because it is long.
    pub goes_on: bool,
    /// What packets said it is: [`crate::model::AppProto`] as number.
    pub spoken: u8,
    /// How it is known what it is on top.
    pub known: Known,
    /// Exporter.
    pub exporter: Addr,
    /// Ingress and egress interface; 0 where nobody says.
    pub interfaces: (u32, u32),
    /// Metered where it left, by element 61.
    pub at_egress: bool,
    /// DSCP; `None` where nobody says.
    pub dscp: Option<u8>,
    /// That of the other direction, where it is part of this row.
    pub back_dscp: Option<u8>,
    /// Version of TLS as in its records; 0 where there is none.
    pub tls_version: u16,
    /// Event of a firewall (element 233): 1 created, 2 deleted, 3 denied.
    pub firewall_event: u8,
    /// The rule that it comes from, by its hashes; 0: none.
    pub firewall_rule: u64,
    /// Application on top, the number of its name; so are the others. 0: none.
    pub app: u64,
    /// Protocol spoken.
    pub app_proto: u64,
    /// QoS class.
    pub class: u64,
    /// Named networks of the ends.
    pub nets: (u64, u64),
}

/// Who began a flow, with whom, and at which port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ends {
    pub client: Addr,
    pub server: Addr,
    pub port: u16,
    pub forth: bool,
}

impl FlowSeen {
    /// Packets times the sampling interval.
    pub fn est_packets(&self) -> u64 {
        self.packets.saturating_mul(u64::from(self.interval.max(1)))
    }

    /// Bytes times the sampling interval.
    pub fn est_bytes(&self) -> u64 {
        self.bytes.saturating_mul(u64::from(self.interval.max(1)))
    }

    /// Who began: as packets tell, or a SYN without an answer, else whose port is the larger one.
    pub(super) fn ends(&self) -> Ends {
        let has_ports = matches!(self.proto, 6 | 17 | 132);
        let alone = self.proto == 6 && self.tcp_flags.is_some_and(|t| t & 0x12 == 0x02);
        let forth = match self.side {
            Side::Initiator => true,
            Side::Responder => false,
            Side::Unknown => !has_ports || alone || self.dst_port <= self.src_port,
        };
        let (client, server, port) = match forth {
            true => (self.src, self.dst, self.dst_port),
            false => (self.dst, self.src, self.src_port),
        };
        Ends {
            client,
            server,
            port: if has_ports { port } else { 0 },
            forth,
        }
    }

    /// How long it lasted, ms.
    pub fn life_ms(&self) -> i64 {
        self.end_ms.saturating_sub(self.start_ms).max(0)
    }
}

/// Kinds of packets that are counted by the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BurstKind {
    /// SYN without ACK.
    Syn,
    /// SYN and ACK.
    SynAck,
    /// A handshake that was completed, by who began it.
    Completed,
    /// UDP.
    Udp,
    /// ICMP and ICMPv6.
    Icmp,
    /// Anything else but TCP.
    Other,
    /// TCP without a SYN, of rows of exporters alone.
    Segment,
    /// A reset that answers a SYN, by who began.
    Refused,
}

/// Packets of one second between two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Burst {
    /// Source address.
    pub src: Addr,
    /// Destination address.
    pub dst: Addr,
    /// What they are.
    pub kind: BurstKind,
    /// Source port; of UDP only where it is one of a service that reflects; of segments their flags; of SYN 1 where a row
    /// shows that it was sent again.
    pub src_port: u16,
    /// Destination port.
    pub dst_port: u16,
    /// Layer-3 bytes.
    pub bytes: u64,
    /// Packets.
    pub packets: u32,
    /// Time of the first, ms since 1970 UTC.
    pub first_ms: i64,
    /// Time of the last.
    pub last_ms: i64,
}

/// A message of DNS.
#[derive(Clone, Debug, Default)]
pub struct DnsSeen {
    /// Who asks.
    pub client: Addr,
    /// Who is asked.
    pub server: Addr,
    /// When, ms since 1970 UTC.
    pub time_ms: i64,
    /// Whether it answers.
    pub is_answer: bool,
    /// Response code.
    pub rcode: u8,
    /// Type that is asked for.
    pub kind: u16,
    /// Bytes of the message.
    pub bytes: u16,
    /// Bytes that the records of an answer carry, of types that tunnels like.
    pub carried: u16,
    /// A hash of these, whatever their order and however long they hold; equal where they are equal.
    pub content: u64,
    /// Whether hardly any spaces are among these, as there are among words.
    pub is_encoded: bool,
    /// Port of who asks.
    pub client_port: u16,
    /// Whether it came over TCP.
    pub over_tcp: bool,
    /// Whether an address of 127.0.0.0/8 answers: what lists say of a name.
    pub is_verdict: bool,
    /// The name, lower case, with dots, at most 255 bytes.
    pub name: Box<[u8]>,
}

/// An echo request or reply of ICMP or ICMPv6.
#[derive(Clone, Copy, Debug)]
pub struct EchoSeen {
    /// Source address.
    pub src: Addr,
    /// Destination address.
    pub dst: Addr,
    /// When, ms since 1970 UTC.
    pub time_ms: i64,
    /// Whether it is a reply.
    pub is_reply: bool,
    /// Identifier and sequence number.
    pub id_seq: (u16, u16),
    /// Bytes behind the header.
    pub len: u16,
    /// A hash of them; equal where they are equal.
    pub hash: u64,
    /// Whether they are a pattern that repeats, or hardly any.
    pub is_pattern: bool,
}

/// An ARP packet.
#[derive(Clone, Copy, Debug)]
pub struct ArpSeen {
    /// 1 asks, 2 answers.
    pub operation: u16,
    /// Hardware address of the sender.
    pub sender_mac: u64,
    /// Its address.
    pub sender: Addr,
    /// Hardware address of the target.
    pub target_mac: u64,
    /// Its address.
    pub target: Addr,
    /// When, ms since 1970 UTC.
    pub time_ms: i64,
}

/// A TCP segment with flags that no connection has.
#[derive(Clone, Copy, Debug)]
pub struct OddSeen {
    /// Source address.
    pub src: Addr,
    /// Destination address.
    pub dst: Addr,
    /// Destination port.
    pub dst_port: u16,
    /// The flags.
    pub flags: u16,
    /// When, ms since 1970 UTC.
    pub time_ms: i64,
}

/// A server said that a password is wrong, or right.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeniedSeen {
    /// Who tried.
    pub client: Addr,
    /// Who answered.
    pub server: Addr,
    /// Port of the server.
    pub port: u16,
    /// What is spoken there.
    pub service: &'static str,
    /// Port of who tried.
    pub client_port: u16,
    /// Layer-3 bytes of the packet that says it.
    pub bytes: u32,
    /// When, ms since 1970 UTC.
    pub time_ms: i64,
}

/// What is said about a login in a conversation over HTTP.
#[derive(Clone, Copy, Debug)]
pub struct WebSeen {
    /// Who tries.
    pub client: Addr,
    /// Port of who tries.
    pub client_port: u16,
    /// Who answers.
    pub server: Addr,
    /// Port of who answers.
    pub port: u16,
    /// What is said.
    pub what: Web,
    /// Layer-3 bytes of the packet.
    pub bytes: u32,
    /// When, ms since 1970 UTC.
    pub time_ms: i64,
}

/// What is said about a login over HTTP; texts as hashes, equal where they are.
#[derive(Clone, Copy, Debug)]
pub enum Web {
    /// Credentials are sent: to a path, in a header or in a form.
    Tried {
        /// The path.
        path: u64,
        /// User and password.
        words: u64,
        /// In a form.
        is_form: bool,
    },
    /// The head of a form, which comes in a later segment.
    Posts {
        /// The path.
        path: u64,
    },
    /// The form to a head.
    Form {
        /// User and password.
        words: u64,
    },
    /// An answer.
    Answer {
        /// Status; 0 where it says nothing about a password.
        status: u16,
        /// Where it leads to; 0: nowhere.
        place: u64,
        /// Bytes of what it carries.
        bytes: u32,
    },
}

/// How one side of SSH agrees on keys, as far as one segment has it (RFC 4253 section 7).
#[derive(Clone, Copy, Debug)]
pub struct KeysSeen {
    /// Who began.
    pub client: Addr,
    /// With whom.
    pub server: Addr,
    /// Port of the server.
    pub port: u16,
    /// Whether the client says it.
    pub by_client: bool,
    /// Bytes of what is offered (message 20); 0: not in this segment.
    pub offer: u32,
    /// Bytes of the numbers and of the key of the host (messages 30 to 33); 0: not in this segment.
    pub answer: u32,
    /// When, ms since 1970 UTC.
    pub time_ms: i64,
}

/// A call of DCE/RPC that runs something on another host, or reads its secrets.
#[derive(Clone, Copy, Debug, Default)]
pub struct CallSeen {
    /// Who calls.
    pub client: Addr,
    /// Who is called.
    pub server: Addr,
    /// Port of the server.
    pub port: u16,
    /// The interface that is bound; empty of a request.
    pub interface: &'static str,
    /// Number of the operation that is requested.
    pub operation: Option<u16>,
    /// Port of who calls.
    pub client_port: u16,
    /// Layer-3 bytes of the packet.
    pub bytes: u32,
    /// When, ms since 1970 UTC.
    pub time_ms: i64,
}

/// What a host inside sent to one outside on so many days.
#[derive(Clone, Copy, Debug)]
pub struct DaysSeen {
    /// Who sent.
    pub src: Addr,
    /// To whom.
    pub dst: Addr,
    /// Bytes sent, times the sampling interval.
    pub sent: u64,
    /// Bytes that came back.
    pub came: u64,
    /// Days on which something was sent.
    pub days: u32,
    /// First flow, ms since 1970 UTC.
    pub first_ms: i64,
    /// Last flow.
    pub last_ms: i64,
}

/// Two hosts at a time.
#[derive(Clone, Copy, Debug)]
pub struct PairSeen {
    /// Who sends.
    pub src: Addr,
    /// To whom.
    pub dst: Addr,
    /// Port of the destination.
    pub port: u16,
    /// When, ms since 1970 UTC.
    pub time_ms: i64,
}

/// Tells the rows of a batch. `places` has the place of each, or is empty where all belong to the frame that they came in;
/// `names` are those that its rows refer to. A row of more than `estimate_max` bytes or packets, times its interval, is left out, as usage leaves it out.
pub fn of_rows(
    batch: &FlowBatch,
    places: &[RowPlace],
    (names, namer): (&Names, &mut Namer),
    estimate_max: u64,
    out: &mut Vec<Sighting>,
) {
    out.reserve(batch.len());
    let mut i = 0;
    while i < batch.len() {
        let place = places.get(i).copied();
        let place = place.unwrap_or(RowPlace::at(batch.provenance_of(i).frame));
        let mut flow = of_row(batch, i);
        if flow.est_bytes().max(flow.est_packets()) > estimate_max {
            i += 1;
            continue;
        }
        let p = batch.provenance_of(i);
        // of packets in files the time of receipt is another one than their own
        let now_ms = match p.origin {
            Origin::Packets => p.exported_at_ms,
            _ => p.received_at_ns.div_euclid(1_000_000),
        };
        namer.name(batch, i, names, &mut flow);
        let told = |seen| Sighting {
            place,
            now_ms,
            seen,
        };
        let fresh = namer.fresh(now_ms);
        out.extend(fresh.map(|(number, name)| told(Seen::Name(number, name))));
        i += 1;
        if flow.side == Side::Initiator {
            flow.back_bytes = Some(0);
            if i < batch.len() && is_answer_to(batch, i, &flow) {
                let c = &batch.core;
                (flow.back_bytes, flow.back_packets) = (Some(c.bytes[i]), c.packets[i]);
                flow.back_dscp = dscp(batch, i);
                flow.end_ms = flow.end_ms.max(c.end_ms[i]);
                i += 1;
            }
        }
        out.push(told(Seen::Flow(flow)));
    }
}

fn is_answer_to(batch: &FlowBatch, i: usize, flow: &FlowSeen) -> bool {
    batch.quality.as_ref().is_some_and(|q| {
        q.conversation[i] == flow.conversation
            && q.conversation_side[i] == ConversationSide::Responder as u8
    })
}

fn of_row(batch: &FlowBatch, i: usize) -> FlowSeen {
    let (c, p) = (&batch.core, batch.provenance_of(i));
    let has = |f: Field| c.present[i] & f.bit() != 0;
    let received_ms = p.received_at_ns.div_euclid(1_000_000);
    let timed =
        has(Field::StartMs) && has(Field::EndMs) && c.flags[i] & RowFlags::TIME_IMPOSSIBLE == 0;
    let (start_ms, end_ms) = match timed {
        true => (c.start_ms[i], c.end_ms[i]),
        false => (received_ms, received_ms),
    };
    let mut flow = FlowSeen {
        src: c.src_addr[i],
        dst: c.dst_addr[i],
        src_port: c.src_port[i],
        dst_port: c.dst_port[i],
        proto: c.proto[i],
        tcp_flags: has(Field::TcpFlags).then_some(c.tcp_flags[i]),
        bytes: c.bytes[i],
        packets: c.packets[i],
        interval: c.sampling_interval[i].max(1),
        start_ms,
        end_ms,
        metered: p.origin == Origin::Packets,
        goes_on: c.flow_end_reason[i] == ACTIVE_TIMEOUT,
        known: namer::known(c.app_source[i]),
        exporter: p.exporter,
        interfaces: (c.in_if[i], c.out_if[i]),
        at_egress: has(Field::Direction) && c.direction[i] == 1,
        dscp: dscp(batch, i),
        ..FlowSeen::default()
    };
    if let Some(firewall) = &batch.firewall {
        flow.firewall_event = firewall.firewall_event[i];
        flow.firewall_rule = firewall.rule[i];
    }
    if let Some(link) = &batch.link {
        flow.icmp = link.icmp_type_code[i];
    }
    if flow.icmp == 0 && matches!(flow.proto, 1 | 58) {
        // NetFlow has type and code in the destination port
        flow.icmp = flow.dst_port;
    }
    if let Some(q) = &batch.quality {
        flow.conversation = q.conversation[i];
        flow.tls_version = q.tls_version[i];
        flow.handshake = Handshake::from_number(q.handshake[i]);
        flow.side = match ConversationSide::from_number(q.conversation_side[i]) {
            ConversationSide::Initiator => Side::Initiator,
            ConversationSide::Responder => Side::Responder,
            ConversationSide::None => Side::Unknown,
        };
    }
    if let Some(spoken) = &batch.spoken {
        flow.spoken = spoken.spoken[i];
    }
    flow
}

fn dscp(batch: &FlowBatch, i: usize) -> Option<u8> {
    let (c, tos) = (&batch.core, Field::Tos.bit());
    (c.present[i] & tos != 0).then_some(c.tos[i] >> 2)
}

/// IPFIX element 136: active timeout.
const ACTIVE_TIMEOUT: u8 = 2;
