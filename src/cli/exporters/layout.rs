//! What templates and rows have, and what a good template would have.

use super::card::Weight;
use crate::decode::element;
use crate::model::Field;

/// A field that a good template has.
#[derive(Debug)]
pub struct Wanted {
    /// What it is.
    pub field: &'static str,
    /// Its information elements, for people.
    pub elements: &'static str,
    /// Bits in `present` of which one is enough; none: the exporter's application names.
    pub bits: &'static [Field],
    /// Elements of which one is enough.
    pub numbers: &'static [u32],
    /// How much it matters.
    pub weight: Weight,
    /// What it costs not to have it.
    pub cost: &'static str,
    /// Of which rows it can be expected.
    pub of: Rows,
    /// Whether sFlow, whose records are packets, can have it.
    pub sampled_packets: bool,
}

/// A part of the rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rows {
    /// All.
    All,
    /// TCP, UDP and SCTP.
    WithPorts,
    /// TCP.
    Tcp,
}

macro_rules! wanted {
    ($($field:literal $elements:literal $weight:ident $of:ident $sampled:literal [$($bit:ident),*] [$($number:literal),*] $cost:literal;)*) => {
        /// What a good template has.
        pub const WANTED: &[Wanted] = &[$(Wanted {
            field: $field, elements: $elements, bits: &[$(Field::$bit),*], numbers: &[$($number),*], weight: Weight::$weight, cost: $cost,
            of: Rows::$of, sampled_packets: $sampled,
        }),*];
    };
}

wanted! {
    "source address" "8, 27" Fault All true [SrcAddr] [8, 27] "nobody can be named";
    "destination address" "12, 28" Fault All true [DstAddr] [12, 28] "nobody can be named";
    "ports" "7, 11" Fault WithPorts true [SrcPort, DstPort] [7, 11, 180, 181, 182, 183] "applications cannot be told";
    "protocol" "4" Fault All true [Proto] [4] "applications cannot be told";
    "bytes" "1 (85, 23, 231)" Fault All true [Bytes] [1, 85, 23, 231, 352] "no bandwidth";
    "packets" "2 (86, 24, 298)" Warning All true [Packets] [2, 86, 24, 298] "no packet rates, and no sampling error bars";
    "first and last packet" "21 and 22, or 150 to 159" Fault All false [StartMs] [22, 150, 152, 154, 156, 158] "bytes are booked to the minute of export instead of the minutes in which they flowed: peaks and 95th percentiles are wrong";
    "ingress interface" "10" Fault All true [InIf] [10, 252] "no utilisation of links";
    "egress interface" "14" Fault All true [OutIf] [14, 253] "no utilisation of links in the direction out";
    "traffic class" "5 (195)" Warning All true [Tos] [5, 195] "QoS classes cannot be told: everything is in the class of DSCP 0";
    "TCP flags" "6" Hint Tcp true [TcpFlags] [6] "scans, resets and unanswered handshakes cannot be told";
    "direction" "61" Hint All false [Direction] [61] "where flows were metered is not known: with metering at ingress and egress both, bytes count twice";
    "end reason" "136" Hint All false [FlowEndReason] [136] "the active time-out can only be guessed";
    "application" "95, 96" Hint All false [] [95, 96] "applications come from addresses and ports alone, not from the router's own inspection";
    "AS numbers" "16, 17" Hint All true [SrcAs, DstAs] [16, 17] "no peers and transit networks, unless a database stands in";
    "VLAN" "58, 243" Hint All true [Vlan, Dot1qVlan] [58, 243] "no VLANs";
}

/// An element of a template's layout: enterprise and number; `None` for scopes of NetFlow 9.
pub fn elements(layout: &str) -> impl Iterator<Item = (Option<(u32, u32)>, &str)> {
    layout.split(',').filter(|f| !f.is_empty()).map(|field| {
        let name = field.split_once('/').map_or(field, |f| f.0);
        let number = name
            .split_once('.')
            .and_then(|(pen, n)| Some((pen.parse().ok()?, n.parse().ok()?)));
        (number, field)
    })
}

/// The name of a column for an element, else its number.
pub fn name(number: Option<(u32, u32)>, field: &str) -> String {
    let known = number.and_then(|(pen, n)| element::find(pen, u16::try_from(n).ok()?));
    let bare = field.split_once('/').map_or(field, |f| f.0);
    match known {
        Some(known) if !known.name.is_empty() => known.name.to_owned(),
        _ => bare.strip_prefix("0.").unwrap_or(bare).to_owned(),
    }
}

/// Whether a data template describes flows: it has addresses and counts something.
pub fn is_of_flows(layout: &str) -> bool {
    let has = |wanted: &[u32]| {
        elements(layout).any(|(n, _)| n.is_some_and(|(pen, n)| pen == 0 && wanted.contains(&n)))
    };
    has(&[8, 27]) && has(&[1, 2, 23, 24, 85, 86, 231, 232])
}

/// What a template of flows has not, beside hints.
pub fn missing(layout: &str) -> Vec<&'static str> {
    let has = |wanted: &Wanted| {
        elements(layout)
            .any(|(n, _)| n.is_some_and(|(pen, n)| pen == 0 && wanted.numbers.contains(&n)))
    };
    let missing = WANTED
        .iter()
        .filter(|w| w.weight != Weight::Hint && !has(w));
    missing.map(|w| w.field).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_are_read() {
        let layout =
            "0.8/4,0.12/4,0.4/1,0.7/2,0.11/2,0.1/8,0.2/8,0.10/4,0.14/4,0.152/8,9.12235/v,s1/4";
        let names: Vec<String> = elements(layout).map(|(n, f)| name(n, f)).collect();
        assert_eq!(names[0], "src_addr");
        assert_eq!(names[10..], ["9.12235", "s1"]);
        assert!(is_of_flows(layout) && !is_of_flows("0.10/4,0.82/32"));
        assert_eq!(missing(layout), ["traffic class"]);
        assert_eq!(missing("0.8/4,0.1/4").len(), 8);
    }
}
