//! What a report says, as data: the terminal, the page and the JSON show the same.

use serde::Serialize;

/// A report. Rates are bit/s, estimated from sampled counters where exporters sample; ratios are fractions of 1; times are
/// seconds since 1970 UTC.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    /// First second of the period.
    pub from: i64,
    /// First second after it.
    pub to: i64,
    /// 5-minute samples in it.
    pub samples: u64,
    /// What it was limited to.
    pub exporter: Option<String>,
    /// What it was limited to.
    pub interface: Option<String>,
    /// Percent of the speed from which on a link is over-used.
    pub over_percent: f64,
    /// Percent of the speed below which a link is under-used.
    pub under_percent: f64,
    /// Everything, each byte once for an exporter.
    pub total: Total,
    /// Links by falling utilisation, those of unknown speed behind them.
    pub links: Vec<Link>,
    /// Links that had traffic and are not among `links`, because there are too many.
    pub links_left_out: u64,
    /// Sides of links with a 95th percentile at or above `over_percent`.
    pub over_used: Vec<Flagged>,
    /// Links whose 95th percentile is below `under_percent` in both directions.
    pub under_used: Vec<Flagged>,
    /// Sides with more traffic than the link can carry: a wrong speed, doubled export or a wrong sampling interval.
    pub impossible: Vec<Flagged>,
    /// Links that had traffic and whose speed is not known.
    pub unknown_speed: Vec<Flagged>,
    /// Interfaces that are known by name, without a flow in the period, of exporters that sent.
    pub silent: Vec<Silent>,
    /// Applications, each byte once for an exporter.
    pub applications: Vec<Application>,
    /// Applications that take a disproportionate share of a link.
    pub disproportionate: Vec<Disproportion>,
    /// Applications in classes where the policy does not expect them.
    pub misplaced: Vec<Misplaced>,
    /// Markings that the exporter changed.
    pub remarking: Remarking,
    /// Exporters and what is known of their data.
    pub exporters: Vec<Trust>,
    /// Bandwidth by application over time.
    pub course: Course,
}

/// How far a number can be trusted, as far as sampling goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Certainty {
    /// Whether it is scaled.
    pub sampling: Sampling,
    /// 95 % error that sampling causes: 1.96 s + 1.92 s^2, s = sqrt(variance) / bytes. None where that cannot be told.
    pub relative_error: Option<f64>,
    /// Part of the bytes from exporters that do not say whether they sample.
    pub unknown_share: f64,
}

/// Whether a number is scaled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampling {
    /// Nothing was scaled.
    #[default]
    Exact,
    /// Scaled by known sampling intervals.
    Estimated,
    /// Of at least 1 % of the bytes nobody says whether they were sampled: the number may be too small.
    Unknown,
}

impl Certainty {
    /// Of estimated bytes with the variance that sampling causes, and the part of which nobody knows whether it was sampled.
    pub fn new(variance: f64, bytes: f64, unknown_share: f64) -> Self {
        let (sampling, relative_error) = match variance > 0.0 && bytes > 0.0 {
            _ if unknown_share >= UNKNOWN_MIN => (Sampling::Unknown, None),
            false => (Sampling::Exact, Some(0.0)),
            true => {
                let error = six(crate::model::error_of(variance, bytes));
                (Sampling::Estimated, Some(error))
            }
        };
        Certainty {
            sampling,
            relative_error,
            unknown_share: six(unknown_share),
        }
    }

    /// The error as a part of the number: 0 where it is exact or not known.
    pub fn error(&self) -> f64 {
        self.relative_error.unwrap_or(0.0)
    }
}

/// Sums over everything.
#[derive(Debug, Default, Serialize)]
pub struct Total {
    /// Estimated.
    pub bytes: u64,
    /// Estimated.
    pub packets: u64,
    /// That ended in the period.
    pub flows: u64,
    /// Average over the samples in which an exporter was heard.
    pub bits_per_second: f64,
    /// Start of the clock hour that carried most.
    pub busy_hour: Option<Hour>,
    #[serde(flatten)]
    pub certainty: Certainty,
}

/// An hour and its average.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Hour {
    /// Its first second.
    pub from: i64,
    /// Average.
    pub bits_per_second: f64,
}

/// An interface of an exporter.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Link {
    /// Which one.
    #[serde(flatten)]
    pub name: LinkName,
    /// bit/s; none where it is not known.
    pub speed: Option<u64>,
    /// Role, where there is one.
    pub role: String,
    /// Site, where there is one.
    pub site: String,
    /// QoS policy that names its classes.
    pub policy: String,
    /// Samples in which its exporter was heard: the others say nothing about the link.
    pub samples: u64,
    /// Its directions, ingress first; at most two.
    pub sides: Vec<Side>,
    /// The higher of the two 95th percentiles.
    pub billing: Billing,
    /// Over time, for links that have a plot.
    pub course: Option<SideCourse>,
}

/// What names a link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LinkName {
    /// Exporter.
    pub exporter: String,
    /// ifIndex; 0: the exporter did not say which interface.
    pub if_index: u32,
    /// Name; empty where it is not known.
    pub name: String,
    /// Description or alias.
    pub description: String,
}

impl LinkName {
    /// `192.0.2.1 Gi0/0/3`, or the number where the name is not known.
    pub fn text(&self) -> String {
        match (self.name.as_str(), self.if_index) {
            ("", 0) => format!("{} (interface not told)", self.exporter),
            ("", n) => format!("{} ifIndex {n}", self.exporter),
            (name, _) => format!("{} {name}", self.exporter),
        }
    }
}

/// What a link is billed by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Billing {
    /// 95th percentile of the 5-minute averages.
    pub bits_per_second: f64,
    /// Whether that is the egress side.
    pub egress: bool,
    /// Of the speed.
    pub utilisation: Option<f64>,
}

/// A direction of a link.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Side {
    /// `ingress` or `egress`.
    pub direction: String,
    /// Estimated.
    pub bytes: u64,
    /// Estimated.
    pub packets: u64,
    /// That ended in the period.
    pub flows: u64,
    /// Part of the bytes that was booked here without having been metered here.
    pub inferred: f64,
    #[serde(flatten)]
    pub certainty: Certainty,
    /// Over the samples in which the exporter was heard.
    pub average: Rate,
    /// 95th percentile of the 5-minute averages.
    pub p95: Rate,
    /// The sampling error of the sample that is the 95th percentile.
    pub p95_certainty: Certainty,
    /// Highest 5-minute average.
    pub peak: Rate,
    /// Start of that sample.
    pub peak_at: i64,
    /// Its sampling error.
    pub peak_certainty: Certainty,
    /// Average of the clock hour that carried most.
    pub busy_hour: Rate,
    /// Start of that hour.
    pub busy_hour_at: i64,
    /// Samples at or above `over_percent` of the speed.
    pub samples_over: u64,
    /// What it carried, by class.
    pub classes: Vec<ClassUse>,
    /// What it carried, the first applications.
    pub applications: Vec<AppUse>,
}

/// A rate, and what part of the link's speed it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Rate {
    /// bit/s.
    pub bits_per_second: f64,
    /// Of the speed; none where that is not known.
    pub utilisation: Option<f64>,
}

impl Rate {
    /// A rate on a link.
    pub fn new(bits_per_second: f64, speed: Option<u64>) -> Self {
        Rate {
            bits_per_second: six(bits_per_second),
            utilisation: speed.map(|s| six(bits_per_second / s as f64)),
        }
    }
}

/// A QoS class on a side of a link.
#[derive(Clone, Debug, Serialize)]
pub struct ClassUse {
    /// Class.
    pub class: String,
    /// Estimated.
    pub bytes: u64,
    /// Of the side's bytes.
    pub share: f64,
    /// Average.
    pub average: Rate,
    /// 95th percentile of the 5-minute averages.
    pub p95: Rate,
    /// Highest 5-minute average.
    pub peak: Rate,
    /// bit/s that the policy gives it; none where it has no budget or the speed is not known.
    pub budget: Option<f64>,
    /// 95th percentile over budget.
    pub budget_used: Option<f64>,
    /// Samples above the budget.
    pub samples_over: u64,
}

/// An application on a side of a link.
#[derive(Clone, Debug, Serialize)]
pub struct AppUse {
    /// Application.
    pub app: String,
    /// Estimated.
    pub bytes: u64,
    /// Of the side's bytes.
    pub share: f64,
}

/// A link on a list.
#[derive(Clone, Debug, Serialize)]
pub struct Flagged {
    #[serde(flatten)]
    pub name: LinkName,
    /// `ingress` or `egress`: the fuller side.
    pub direction: String,
    /// bit/s; none where it is not known.
    pub speed: Option<u64>,
    /// 95th percentile.
    pub p95: Rate,
    /// Highest 5-minute average.
    pub peak: Rate,
    /// Samples at or above `over_percent`.
    pub samples_over: u64,
    #[serde(flatten)]
    pub certainty: Certainty,
    /// Whether the verdict holds at both ends of the sampling error.
    pub clear: bool,
    /// Whether too few samples were heard for any verdict to be clear.
    pub short: bool,
}

impl Flagged {
    /// How sure the verdict is, in words.
    pub fn sure(&self) -> &'static str {
        match (self.clear, self.short) {
            (true, _) => "clear",
            (_, true) => "short time",
            _ => "within error",
        }
    }
}

/// An interface without flows.
#[derive(Clone, Debug, Serialize)]
pub struct Silent {
    #[serde(flatten)]
    pub name: LinkName,
    /// bit/s; none where it is not known.
    pub speed: Option<u64>,
}

/// An application over all exporters.
#[derive(Clone, Debug, Serialize)]
pub struct Application {
    /// Application.
    pub app: String,
    /// Category of the catalogue.
    pub category: String,
    /// `critical`, `business`, `neutral`, `leisure` or empty.
    pub relevance: String,
    /// Estimated.
    pub bytes: u64,
    /// Of all bytes.
    pub share: f64,
    /// That ended in the period.
    pub flows: u64,
    /// Of all flows.
    pub flow_share: f64,
    /// Average.
    pub bits_per_second: f64,
    /// Ingress interfaces that it used.
    pub links: u64,
    #[serde(flatten)]
    pub certainty: Certainty,
}

/// An application that takes more of a link than elsewhere, than its flows let expect, or than leisure should.
#[derive(Clone, Debug, Serialize)]
pub struct Disproportion {
    #[serde(flatten)]
    pub name: LinkName,
    /// `ingress` or `egress`.
    pub direction: String,
    /// Application.
    pub app: String,
    /// Relevance of the catalogue.
    pub relevance: String,
    /// Estimated.
    pub bytes: u64,
    /// Of the side's bytes.
    pub share: f64,
    /// Of the side's flows.
    pub flow_share: f64,
    /// Median of its shares over all sides of links.
    pub median_share: f64,
    /// `above-median`, `few-flows`, `leisure`.
    pub reasons: Vec<&'static str>,
}

/// An application in a class where the policy does not expect it.
#[derive(Clone, Debug, Serialize)]
pub struct Misplaced {
    /// Policy.
    pub policy: String,
    /// Application.
    pub app: String,
    /// Category of the catalogue.
    pub category: String,
    /// Relevance of the catalogue.
    pub relevance: String,
    /// Class that it used.
    pub class: String,
    /// Classes in which the policy expects its category.
    pub expected: Vec<String>,
    /// Estimated.
    pub bytes: u64,
    /// Of the application's bytes.
    pub share_of_app: f64,
    /// Of the class's bytes.
    pub share_of_class: f64,
    /// The side of links on which there was more of it: `ingress` or `egress`.
    pub side: String,
    /// Interfaces on which that was seen on this side.
    pub links: u64,
    /// The one with the most bytes of it.
    pub most_on: LinkName,
}

/// Markings that exporters changed, from raw flows of a part of the period.
#[derive(Debug, Default, Serialize)]
pub struct Remarking {
    /// First second that was looked at.
    pub from: i64,
    /// First second after it.
    pub to: i64,
    /// What changed into what.
    pub rows: Vec<Remarked>,
}

/// A marking that an exporter changed.
#[derive(Clone, Debug, Serialize)]
pub struct Remarked {
    /// Exporter.
    pub exporter: String,
    /// Ingress ifIndex.
    pub in_if: u32,
    /// Egress ifIndex.
    pub out_if: u32,
    /// DSCP before the device.
    pub before: u8,
    /// DSCP after it.
    pub after: u8,
    /// Estimated.
    pub bytes: u64,
    /// Rows of flows.
    pub flows: u64,
    /// The application with the most bytes of it.
    pub app: String,
}

/// What is known of the data of an exporter.
#[derive(Clone, Debug, Serialize)]
pub struct Trust {
    /// Exporter.
    pub exporter: String,
    /// Samples in which it was heard.
    pub samples: u64,
    /// Datagrams understood.
    pub datagrams: u64,
    /// Rows made.
    pub rows: u64,
    /// Units missing by sequence numbers.
    pub sequence_gaps: u64,
    /// Units that a crash or a stop of the collector cost.
    pub lost: u64,
    /// Rows without a known sampling interval.
    pub sampling_unknown: u64,
    /// Datagrams whose clock was off.
    pub clock_skewed: u64,
    /// Rows whose times could not be meant.
    pub times_impossible: u64,
    /// Sets that never met their template.
    pub sets_expired: u64,
    /// Rows that were shed or quarantined.
    pub rows_lost: u64,
}

/// Bandwidth of applications over time.
#[derive(Debug, Default, Serialize)]
pub struct Course {
    /// Seconds between two points.
    pub step: i64,
    /// The first applications, then `other`: average bit/s of each step.
    pub lines: Vec<Line>,
}

/// A line of a plot.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Line {
    /// What it is.
    pub name: String,
    /// bit/s at each step.
    pub bits_per_second: Vec<f64>,
}

/// Both sides of a link over time.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SideCourse {
    /// Seconds between two points.
    pub step: i64,
    /// Averages of ingress.
    pub ingress: Vec<f64>,
    /// Averages of egress.
    pub egress: Vec<f64>,
    /// Highest 5-minute averages of ingress within each step.
    pub ingress_peak: Vec<f64>,
    /// Highest 5-minute averages of egress within each step.
    pub egress_peak: Vec<f64>,
}

/// From this part of a number on it counts that an exporter does not say whether it samples.
const UNKNOWN_MIN: f64 = 0.01;

/// Six decimals are enough for anything, and the same on every machine.
pub fn six(x: f64) -> f64 {
    (x * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_follow_the_variance() {
        // 10,000 packets of one length
        let c = Certainty::new(1e4 * 1e6, 1e4 * 1e3, 0.009);
        assert_eq!((c.sampling, c.error()), (Sampling::Estimated, 0.019792));
        assert_eq!(Certainty::new(0.0, 5.0, 0.0).relative_error, Some(0.0));
        let unknown = Certainty::new(1.0, 5.0, 0.01);
        assert_eq!(
            (unknown.sampling, unknown.relative_error),
            (Sampling::Unknown, None)
        );
    }
}
