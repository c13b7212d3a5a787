//! Why something is a flood: the rule that decided, its numbers, and what would have kept it silent.

use super::super::figure;
use super::judge::Vector;
use super::reflected::{FEW_REFLECTORS, HUGE_BYTES, LARGE_BYTES, STRONG_PACKETS};
use super::told::Class;
use super::victim::{LEASES, MANY_SOURCES, SCATTERED, Victim};
use crate::detect::anomaly::FloodSettings;
use crate::model::{DetectionKind, Figure};

/// Which rule of volume, or of answers that nobody asked for, it was.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cause {
    /// So many services answered.
    Services,
    /// Some did, and much.
    Answers,
    /// One that makes most of a question did, and much.
    Strong,
    /// So much was answered, by whomever.
    Huge,
    /// Packets of many sources.
    Sources,
    Packets,
    Bytes,
    Pings,
    /// Packets to many ports.
    Ports,
}

impl Victim {
    /// The kind of a vector, its figures with what decided, and what would have kept it silent.
    pub fn why(&self, s: &FloodSettings, vector: &Vector) -> Why {
        let (cause, unasked) = (vector.cause, f64::from(vector.unasked));
        let over = |name, observed, threshold| figure(name, observed, Some(threshold));
        match vector.class {
            Class::Syn => self.why_half_open(vector.how.half_open(s)),
            Class::Udp => {
                let (mut figures, otherwise) = match self.why_answers(s, cause, unasked) {
                    Some(why) => why,
                    None => self.why_volume(s, cause),
                };
                let per_packet = self.reflected_bytes as f64 / self.reflected.max(1) as f64;
                figures.push(figure(PER_PACKET, per_packet, None));
                let otherwise = format!("{otherwise}, or questions to who answers");
                (DetectionKind::UdpAmplificationFlood, figures, otherwise)
            }
            Class::SynAck => (
                DetectionKind::TcpReflectionFlood,
                vec![over(UNOPENED, unasked, f64::from(s.reflectors / 2))],
                format!(
                    "fewer than {} hosts that answer, or SYNs to them",
                    s.reflectors / 2
                ),
            ),
            Class::Segments => self.why_segments(s),
            Class::Volume => {
                let (figures, otherwise) = self.why_volume(s, cause);
                let otherwise = match cause {
                    Some(Cause::Pings) => otherwise,
                    _ => format!("{otherwise}, or answers of the victim"),
                };
                (DetectionKind::Flood, figures, otherwise)
            }
            Class::Leases => (
                DetectionKind::Flood,
                vec![over(CLIENTS, self.leases as f64, LEASES as f64)],
                format!("fewer than {LEASES} clients in three seconds"),
            ),
        }
    }

    /// The same of half-open connections.
    fn why_half_open(&self, limit: f64) -> Why {
        let begun = self.syns as f64;
        // of sampled packets each segment counts as if it were of another connection
        let (completed, is_sampled) = (self.completed as f64, self.interval > 1);
        let open = if is_sampled {
            self.half_open()
        } else {
            begun - completed
        };
        let refused = self.refused.iter().fold(0, |a, n| n.saturating_add(a));
        let mut figures = vec![figure(HALF_OPEN, open.max(0.0), Some(limit))];
        let what = match is_sampled {
            true => "connections of which more than the begin was seen",
            false => "a fifth of them completed",
        };
        if !is_sampled {
            figures.push(figure(COMPLETED, completed, Some(begun / 5.0)));
        }
        if refused > 0 {
            figures.push(figure(REFUSED, refused as f64, None));
        }
        let otherwise = format!("fewer than {limit} half-open connections, or {what} or refused");
        (DetectionKind::SynFlood, figures, otherwise)
    }

    /// Figures of volume, what decided with its threshold, and what would have kept it silent.
    fn why_volume(&self, s: &FloodSettings, cause: Option<Cause>) -> (Vec<Figure>, String) {
        let many = f64::from(s.packets_many_sources);
        let [mut packets, mut bytes] = [None; 2];
        let (more, otherwise) = match cause {
            Some(Cause::Packets) => {
                packets = Some(f64::from(s.packets));
                (None, format!("fewer than {} packets a second", s.packets))
            }
            Some(Cause::Bytes) => {
                bytes = Some(s.bytes as f64);
                (None, format!("fewer than {} bytes a second", s.bytes))
            }
            Some(Cause::Pings) => {
                let pings = self.icmp as f64 / self.seconds();
                let more = figure(PINGS, pings, Some(many));
                (
                    Some(more),
                    format!("fewer than {many} packets of ICMP a second"),
                )
            }
            Some(Cause::Ports) => {
                packets = Some(many);
                let ports = f64::from(self.udp_ports.count());
                let more = figure(PORTS, ports, Some(f64::from(SCATTERED)));
                let otherwise = format!("fewer than {many} packets a second, or {SCATTERED} ports");
                (Some(more), otherwise)
            }
            _ => {
                packets = Some(many);
                let sources = f64::from(self.sources.count());
                let more = figure(SOURCES, sources, Some(f64::from(MANY_SOURCES)));
                let otherwise =
                    format!("fewer than {many} packets a second, or {MANY_SOURCES} sources");
                (Some(more), otherwise)
            }
        };
        let bytes_rate = self.bytes as f64 / self.seconds();
        let mut figures = vec![
            figure(RATE, self.rate(), packets),
            figure(BYTES_RATE, bytes_rate, bytes),
        ];
        figures.extend(more);
        (figures, otherwise)
    }

    /// The same of answers, where they decided.
    fn why_answers(
        &self,
        s: &FloodSettings,
        cause: Option<Cause>,
        unasked: f64,
    ) -> Option<(Vec<Figure>, String)> {
        let (services, least, otherwise) = match cause? {
            Cause::Services => {
                let otherwise = format!("fewer than {} services that answer", s.reflectors);
                (Some(f64::from(s.reflectors)), None, otherwise)
            }
            Cause::Answers => {
                let otherwise = format!(
                    "fewer than {FEW_REFLECTORS} services that answer, or {LARGE_BYTES} bytes of answers in a minute"
                );
                let services = Some(f64::from(FEW_REFLECTORS));
                (services, Some(LARGE_BYTES as f64), otherwise)
            }
            Cause::Strong => {
                let otherwise = format!(
                    "fewer than {LARGE_BYTES} bytes, or {STRONG_PACKETS} packets, of answers in a minute"
                );
                (None, Some(LARGE_BYTES as f64), otherwise)
            }
            Cause::Huge => {
                let otherwise = format!("fewer than {HUGE_BYTES} bytes of answers in a minute");
                (None, Some(HUGE_BYTES), otherwise)
            }
            _ => return None,
        };
        let bytes = self.reflected_bytes as f64;
        let figures = vec![
            figure(UNASKED, unasked, services),
            figure(ANSWERED, bytes, least),
        ];
        Some((figures, otherwise))
    }
}

/// Kind, figures and counterfactual.
pub(super) type Why = (DetectionKind, Vec<Figure>, String);

const HALF_OPEN: &str = "half-open connections in the window";
const REFUSED: &str = "connections that the victim refused in the window and the one before";
const COMPLETED: &str = "completed handshakes in the window";
pub(super) const UNASKED: &str = "services that answered without a question in a minute";
const PER_PACKET: &str = "bytes a packet";
const ANSWERED: &str = "bytes of answers in a minute";
const PORTS: &str = "ports in the window";
const PINGS: &str = "packets of ICMP a second";
pub(super) const SOURCES: &str = "sources in the window";
const UNOPENED: &str = "hosts that answered a SYN that was not sent, in a minute";
pub(super) const RATE: &str = "packets a second";
const BYTES_RATE: &str = "bytes a second";
const CLIENTS: &str = "clients that ask for leases in the window";
