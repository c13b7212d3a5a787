//! When segments of TCP that belong to no connection are a flood.
//!
//! Who takes part in connections opens, completes or sends about as many segments as come without data. What of that belongs to the time of the
//! flood is its part of the window.

use super::super::figure;
use super::cause::{SOURCES, Why};
use super::grow;
use super::judge::How;
use super::victim::{MANY_SOURCES, Victim};
use crate::detect::anomaly::FloodSettings;
use crate::model::DetectionKind;

impl Victim {
    /// Whether segments that belong to no connection are too many. Where nothing
    /// that it sends is seen, and nothing shows that it would be, only rows of a few packets without data, by very many sources, are a flood.
    pub fn is_of_segments(&self, rate_max: u32, how: How) -> bool {
        let all = self.all_segments();
        let fast = self.part(all) / self.flood_s() >= f64::from(rate_max);
        if !fast || self.sources.count() < MANY_SOURCES {
            return false;
        }
        let own = self.own_segments();
        let meanwhile = own as f64 * self.flood_s() / self.seconds();
        if meanwhile * OWN_MIN >= all as f64 {
            return false;
        }
        own > 0 || !how.one_way || self.is_of_invented()
    }

    /// What shows that the victim takes part in connections.
    fn own_segments(&self) -> u64 {
        let mut own = self.sent.saturating_add(self.tried);
        if self.interval <= 1 {
            grow(&mut own, self.completed);
        }
        own
    }

    /// Seconds over which most of it came, of the window.
    fn flood_s(&self) -> f64 {
        self.risen_s().max(SHORTEST_S).min(self.seconds())
    }

    /// The figures of a flood of segments, and what would have kept it silent.
    pub fn why_segments(&self, s: &FloodSettings) -> Why {
        let all = self.all_segments() as f64;
        let many = f64::from(s.packets_many_sources);
        let sources = f64::from(self.sources.count());
        let own = self.own_segments() as f64;
        let figures = vec![
            figure(SEGMENTS_S, all / self.flood_s(), Some(many)),
            figure(SOURCES, sources, Some(f64::from(MANY_SOURCES))),
            figure(OWN, own, None),
        ];
        let otherwise = format!(
            "fewer than {many} segments a second, {MANY_SOURCES} sources, or connections of the victim that they may belong to"
        );
        (DetectionKind::Flood, figures, otherwise)
    }

    /// What a tenth of the segments and more are, what most are first.
    pub fn kinds_of_segments(&self) -> String {
        let mut kinds = [0, 1, 2];
        kinds.sort_by_key(|&n| std::cmp::Reverse(self.segments[n]));
        let least = self.all_segments() / 10;
        let kinds = kinds
            .iter()
            .filter(|&&n| self.segments[n] > 0 && self.segments[n] >= least);
        let names: Vec<&str> = kinds.map(|&n| SEGMENTS[n]).collect();
        names.join(", ")
    }

    /// What most segments are.
    pub fn segment(&self) -> &'static str {
        let most = (0..SEGMENTS.len()).max_by_key(|&n| (self.segments[n], SEGMENTS.len() - n));
        SEGMENTS[most.unwrap_or(0)]
    }
}

/// Segments of TCP, as they are counted.
const SEGMENTS: [&str; 3] = ["ACK", "RST", "FIN"];
const SEGMENTS_S: &str = "segments of TCP without a connection, a second";
const OWN: &str = "packets of TCP that the victim sent in the window";
/// So many times as many segments come as the victim sends: of transfers it is two or three.
const OWN_MIN: f64 = 5.0;
/// Rates over less say nothing of rows.
const SHORTEST_S: f64 = 4.0;
