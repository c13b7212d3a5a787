//! What can be set about decoding.

use super::overrides::Overrides;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Limits and rules of the decoder. All limits hold for one shard.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Correct the times of exporters whose clock is off by more than `clock_skew_max_s`, from the time of receipt. Not
    /// configured: `run` does, `inspect` and `replay` do not unless told to.
    #[serde(skip)]
    pub correct_clock: bool,
    /// How far an exporter's header clock may be from the time of receipt, seconds.
    pub clock_skew_max_s: u64,
    /// Lives longer than this are flagged as impossible, seconds.
    pub flow_life_max_s: u64,
    /// Sampling intervals above this are flagged, not applied (1 in N).
    pub sampling_max: u32,
    /// Sampling intervals for exporters that do not tell (address to 1 in N).
    pub sampling: BTreeMap<IpAddr, u32>,
    /// Sampling intervals that come before what exporters say, by exporter, interface and sampler.
    pub sampling_overrides: Overrides,
    /// Take element 23 of a record that also has element 1 as bytes of the reverse direction (old nProbe).
    pub post_is_reverse: bool,
    /// Exporters whose state is kept.
    pub exporters_max: usize,
    /// Sessions (source port, version, domain) kept for one exporter; at least as many as domains.
    pub sessions_max: usize,
    /// The same in all. Shortly before, an eighth of those of the exporter that has most is forgotten.
    pub sessions_all_max: usize,
    /// Observation domains kept for one exporter.
    pub domains_max: usize,
    /// The same in all. Shortly before, an eighth of those of the exporter that has most is forgotten.
    pub domains_all_max: usize,
    /// Templates of one exporter.
    pub exporter_templates_max: usize,
    /// Templates in all. Shortly before, those of the exporter that has most give way.
    pub templates_max: usize,
    /// Bytes of their layouts in all; equal layouts count once.
    pub templates_bytes_max: usize,
    /// Fields of a template.
    pub template_fields_max: usize,
    /// Bytes of a record that a template may describe.
    pub record_bytes_max: usize,
    /// Templates of a session that was silent this long are dropped, seconds.
    pub template_lifetime_s: u64,
    /// Layout changes of one template id a minute above which the alarm is raised.
    pub template_changes_max: u32,
    /// Sets of one exporter that may await their template.
    pub exporter_waiting_sets_max: usize,
    /// Bytes of sets of one exporter that may await their template, at most [`WAITING_BYTES_MAX`]: all of them may come into
    /// one batch.
    pub exporter_waiting_bytes_max: usize,
    /// Sets in all that may await their template.
    pub waiting_sets_max: usize,
    /// Bytes in all of sets that may await their template.
    pub waiting_bytes_max: usize,
    /// How long a set waits for its template, seconds; 0: never waits.
    pub waiting_age_max_s: u64,
    /// Running totals (elements 85, 86) remembered.
    pub totals_max: usize,
    /// Firewall flows (NSEL) remembered between update and teardown.
    pub firewall_flows_max: usize,
    /// Samplers and intervals of interfaces, templates and parts remembered for one exporter.
    pub samplers_max: usize,
    /// The same in all. Shortly before, those of the exporter that has most are forgotten.
    pub samplers_all_max: usize,
    /// Names (interfaces, applications, VRFs) remembered for one exporter.
    pub names_max: usize,
    /// The same in all. Shortly before, those of the exporter that has most are forgotten.
    pub names_all_max: usize,
    /// Faults kept for the log between two readings, and exporters named there; at most 4 faults of one exporter.
    pub faults_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            correct_clock: false,
            clock_skew_max_s: 300,
            flow_life_max_s: 86_400,
            sampling_max: 1_000_000,
            sampling: BTreeMap::new(),
            sampling_overrides: Overrides::default(),
            post_is_reverse: false,
            exporters_max: 16_384,
            sessions_max: 1_024,
            sessions_all_max: 131_072,
            domains_max: 256,
            domains_all_max: 65_536,
            exporter_templates_max: 4_096,
            templates_max: 131_072,
            templates_bytes_max: 64 * 1024 * 1024,
            template_fields_max: 512,
            record_bytes_max: 65_507,
            template_lifetime_s: 86_400,
            template_changes_max: 8,
            exporter_waiting_sets_max: 1_024,
            exporter_waiting_bytes_max: WAITING_BYTES_MAX,
            waiting_sets_max: 65_536,
            waiting_bytes_max: 32 * 1024 * 1024,
            waiting_age_max_s: 1_800,
            totals_max: 65_536,
            firewall_flows_max: 65_536,
            samplers_max: 1_024,
            samplers_all_max: 262_144,
            names_max: 65_536,
            names_all_max: 262_144,
            faults_max: 64,
        }
    }
}

impl Settings {
    /// Values that contradict each other; each text begins with the key.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = self.sampling_overrides.faults(self.sampling_max);
        if self.sessions_max < self.domains_max {
            let least = self.domains_max;
            faults.push(format!(
                "decode.sessions_max must be at least decode.domains_max, {least}: each domain has a session at least"
            ));
        }
        if self.exporter_waiting_bytes_max > WAITING_BYTES_MAX {
            faults.push(format!(
                "decode.exporter_waiting_bytes_max must be at most {WAITING_BYTES_MAX}: all that waits may come into one batch"
            ));
        }
        faults
    }
}

/// What one exporter may let wait at most, bytes: a record may have one byte and give a row for each direction, and a bundle
/// numbers the rows of a batch with 20 bits, those in it before and those of the datagram with the template included.
pub const WAITING_BYTES_MAX: usize = 384 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FLOW_BATCH_ROWS;

    #[test]
    fn what_waits_has_room_in_one_batch() {
        let datagram = 65_507;
        let rows = FLOW_BATCH_ROWS + 2 * (WAITING_BYTES_MAX + datagram);
        assert!(rows < 1 << 20);
        assert_eq!(Settings::default().faults(), Vec::<String>::new());
        let settings = Settings {
            exporter_waiting_bytes_max: WAITING_BYTES_MAX + 1,
            sessions_max: 255,
            ..Default::default()
        };
        let faults = settings.faults();
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].starts_with("decode.sessions_max"));
        assert!(faults[1].starts_with("decode.exporter_waiting_bytes_max"));
    }
}
