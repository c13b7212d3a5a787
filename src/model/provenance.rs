//! Who said it, when, and how sure we are.

use super::Addr;

macro_rules! numbered {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $n:literal, $text:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum $name { #[default] $($(#[$doc])* $variant = $n,)* }

        impl $name {
            /// Every value, in the order of the numbers.
            pub const ALL: &'static [$name] = &[$($name::$variant),*];

            /// The name in NDJSON and ClickHouse.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)* }
            }

            /// The value of a number that a column stores; the default where it is none.
            pub const fn from_number(n: u8) -> Self {
                match n { $($n => $name::$variant,)* _ => $name::ALL[0] }
            }
        }
    };
}

numbered! {
    /// What kind of observation a record is; sums never mix origins by accident.
    Origin {
        /// NetFlow version 5.
        Netflow5 = 0, "netflow5";
        /// NetFlow version 7.
        Netflow7 = 1, "netflow7";
        /// NetFlow version 9 (RFC 3954).
        Netflow9 = 2, "netflow9";
        /// IPFIX (RFC 7011).
        Ipfix = 3, "ipfix";
        /// sFlow version 5.
        Sflow = 4, "sflow";
        /// Metered from packets by ourselves.
        Packets = 5, "packets";
    }
}

numbered! {
    /// Where a sampling interval came from.
    SamplingSource {
        /// Nothing said: the interval is 1 and a flag is set.
        Unknown = 0, "unknown";
        /// In the record itself.
        Record = 1, "record";
        /// From options data.
        Options = 2, "options";
        /// From the header of a v5 datagram or an sFlow sample.
        Header = 3, "header";
        /// From the configuration, for nobody told.
        Config = 4, "config";
        /// From the configuration, whatever was told.
        Override = 5, "override";
    }
}

numbered! {
    /// Where an application name came from.
    AppSource {
        /// Not classified.
        None = 0, "none";
        /// The exporter's application id or name.
        Exporter = 1, "exporter";
        /// What the packets said.
        Packet = 2, "packet";
        /// A server name.
        Name = 3, "name";
        /// A well-known port.
        Port = 4, "port";
        /// A rule of the user.
        Rule = 5, "rule";
        /// A published range of the built-in list.
        Range = 6, "range";
    }
}

numbered! {
    /// Which half of a two-way record a row is.
    Half {
        /// The record is one-way.
        Whole = 0, "";
        /// The forward direction.
        Forward = 1, "fwd";
        /// The reverse direction, endpoints swapped.
        Reverse = 2, "rev";
    }
}

numbered! {
    /// How a TCP handshake went.
    Handshake {
        /// Not seen, or no TCP.
        None = 0, "";
        /// SYN, SYN-ACK and what followed were seen.
        Complete = 1, "complete";
        /// The SYN was answered with RST.
        Refused = 2, "refused";
        /// The SYN was not answered.
        Unanswered = 3, "unanswered";
    }
}

numbered! {
    /// Which side of a metered conversation a row is of: who sent.
    ConversationSide {
        /// Not metered from packets.
        None = 0, "";
        /// The one that began.
        Initiator = 1, "initiator";
        /// The other one.
        Responder = 2, "responder";
    }
}

macro_rules! flags {
    ($($(#[$doc:meta])* $name:ident = $bit:literal, $text:literal;)*) => {
        /// Bits of [`crate::model::CoreColumns::flags`]: what was corrected, guessed or is special about a row.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct RowFlags;

        impl RowFlags {
            $($(#[$doc])* pub const $name: u32 = 1 << $bit;)*

            /// Every flag with its name in NDJSON and SQL, in order of the bits.
            pub const NAMES: &'static [(u32, &'static str)] = &[$((1 << $bit, $text)),*];
        }
    };
}

flags! {
    /// The sampling interval is unknown; 1 was assumed.
    SAMPLING_UNKNOWN = 0, "sampling_unknown";
    /// The sampling interval was above the limit and not applied.
    SAMPLING_REFUSED = 1, "sampling_refused";
    /// The template came from another session of the same exporter.
    TEMPLATE_FALLBACK = 2, "template_fallback";
    /// The life of the flow is impossible as sent (end before start, end in the future, too long).
    TIME_IMPOSSIBLE = 3, "time_impossible";
    /// The exporter's clock was corrected.
    CLOCK_CORRECTED = 4, "clock_corrected";
    /// Usage minutes were clamped to what may still be booked.
    USAGE_CLAMPED = 5, "usage_clamped";
    /// A life longer than the pro-rating limit was cut for usage.
    PRORATE_CUT = 6, "prorate_cut";
    /// Bytes are layer-4 payload (NSEL).
    L4_BYTES = 7, "l4_bytes";
    /// A teardown total could not be turned into a delta; 0 was counted.
    TOTAL_UNKNOWN = 8, "total_unknown";
    /// Bytes and packets come from a total's difference (85, 86).
    FROM_TOTAL = 9, "from_total";
    /// Bytes and packets come from post counters (23, 24).
    FROM_POST = 10, "from_post";
    /// Bytes and packets were taken from a sampled header.
    FROM_HEADER = 11, "from_header";
    /// A text was cut.
    TEXT_CUT = 12, "text_cut";
    /// The record waited for its template.
    DECODED_LATE = 13, "decoded_late";
    /// The sampled header was cut short before all fields were read.
    HEADER_CUT = 14, "header_cut";
    /// The frame is no IP packet.
    NOT_IP = 15, "not_ip";
    /// The AS numbers are of a database: the exporter sent none, or the database comes first.
    AS_LOOKED_UP = 16, "as_looked_up";
    /// The DSCP was another one after the device (elements 55, 98).
    REMARKED = 17, "remarked";
    /// It does not count for its ingress interface: the exporter meters there, and that record counts.
    INGRESS_ELSEWHERE = 18, "ingress_elsewhere";
    /// It does not count for its egress interface: the exporter meters there, and that record counts.
    EGRESS_ELSEWHERE = 19, "egress_elsewhere";
    /// More bytes or packets than a link can have carried: not booked in usage.
    COUNTERS_IMPLAUSIBLE = 20, "counters_implausible";
    /// Octets of a TCP stream came twice with different data: what a receiver read is not sure.
    SEGMENTS_CONFLICT = 21, "segments_conflict";
    /// Its datagram seems to have come twice: nothing was missing at its sequence number.
    DUPLICATE = 22, "duplicate";
    /// Of the traffic class octet only the DSCP was sent (element 195).
    DSCP_ONLY = 23, "dscp_only";
}

/// The datagram that rows came from: one entry a datagram in a batch, rows point at it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Provenance {
    /// Exporter: UDP source address; for sFlow the agent address.
    pub exporter: Addr,
    /// UDP source address.
    pub exporter_source: Addr,
    /// UDP source port.
    pub exporter_port: u16,
    /// Observation domain (v9 source id; v5 engine type x 256 + id; sFlow sub-agent).
    pub domain: u32,
    /// Protocol.
    pub origin: Origin,
    /// Collector clock, nanoseconds since 1970 UTC.
    pub received_at_ns: i64,
    /// Exporter's header clock, ms since 1970 UTC; 0 where the protocol has none.
    pub exported_at_ms: i64,
    /// Number of the export datagram: since start, or in the file (from 1).
    pub datagram: u64,
    /// Number of the input frame that caused the rows (replay's order); 0 when live.
    pub frame: u64,
}
