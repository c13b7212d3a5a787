//! The closed list of outcomes.

macro_rules! outcomes {
    ($($(#[doc = $doc:literal])* $variant:ident = $name:literal;)*) => {
        /// One thing that can happen to what arrives. Counters only rise.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(usize)]
        pub enum Outcome { $($(#[doc = $doc])* $variant,)* }

        impl Outcome {
            /// Every outcome, in order.
            pub const ALL: &'static [Outcome] = &[$(Outcome::$variant),*];

            /// How many there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The name in `ledger.json`, the `ledger` table and (with prefix and `_total`) on `/metrics`.
            pub const fn name(self) -> &'static str {
                match self { $(Outcome::$variant => $name,)* }
            }

            /// The outcome of this name.
            pub fn named(name: &str) -> Option<Outcome> {
                Self::ALL.iter().copied().find(|o| o.name() == name)
            }

            /// What is counted, as one sentence; the help text on `/metrics`.
            pub const fn help(self) -> &'static str {
                match self { $(Outcome::$variant => concat!($($doc),*),)* }
            }
        }
    };
}

outcomes! {
    /// Datagrams read from the sockets or from a capture.
    DatagramsReceived = "datagrams_received";
    /// Datagrams handed to a shard.
    DatagramsRouted = "datagrams_routed";
    /// Datagrams refused by the allow and deny lists.
    DatagramsRefusedAcl = "datagrams_refused_acl";
    /// Datagrams refused because the limit of exporters, or of new exporters a minute, was reached.
    DatagramsRefusedExporterLimit = "datagrams_refused_exporter_limit";
    /// Datagrams dropped because the queue to the shard was full.
    DatagramsDroppedQueue = "datagrams_dropped_queue";
    /// Datagrams whose header was understood.
    DatagramsParsed = "datagrams_parsed";
    /// Datagrams rejected: no known version.
    DatagramsRejectedVersion = "datagrams_rejected_version";
    /// Datagrams rejected: shorter than their header, or cut by the receive buffer.
    DatagramsRejectedShort = "datagrams_rejected_short";
    /// Datagrams rejected: header fields contradict each other.
    DatagramsRejectedHeader = "datagrams_rejected_header";
    /// Datagrams whose count field does not match what they hold (v5, v7, sFlow): the whole records or samples up to the count are
    /// used.
    CountsWrong = "counts_wrong";
    /// IPFIX messages whose length is not that of their datagram: the whole sets up to the shorter of the two are used.
    LengthsWrong = "lengths_wrong";
    /// Sets (v5: one a datagram; sFlow: samples) seen.
    Sets = "sets";
    /// Sets whose length runs past their message: the whole records up to its end are used, and the set is counted below as well.
    SetsOverrun = "sets_overrun";
    /// Sets decoded.
    SetsDecoded = "sets_decoded";
    /// Sets rejected: their length is impossible.
    SetsRejectedLength = "sets_rejected_length";
    /// Sets rejected: a template in them is malformed or hostile.
    SetsRejectedTemplate = "sets_rejected_template";
    /// Sets rejected: a record in them runs past the end.
    SetsRejectedRecord = "sets_rejected_record";
    /// Sets rejected: a reserved or unknown set id.
    SetsRejectedId = "sets_rejected_id";
    /// Samples of sFlow that no row is made of: discarded packets (0:5), those of vendors, and formats that are not known.
    SetsRejectedFormat = "sets_rejected_format";
    /// Sets that waited for a template that did not come in time, or for which there was no room to wait.
    SetsExpiredTemplate = "sets_expired_template";
    /// Sets that waited and were decoded when their template came; also in sets_decoded.
    SetsDecodedLate = "sets_decoded_late";
    /// Templates learned for the first time.
    TemplatesLearned = "templates_learned";
    /// Templates that replaced a different layout of the same id.
    TemplatesChanged = "templates_changed";
    /// Layout changes of one template id above the limit a minute; also in templates_changed.
    TemplatesChurning = "templates_churning";
    /// Template withdrawals, counted and ignored.
    TemplatesWithdrawn = "templates_withdrawn";
    /// Templates refused: a limit was reached or the layout is impossible.
    TemplatesRefused = "templates_refused";
    /// Templates dropped because their session was silent for the template lifetime.
    TemplatesExpired = "templates_expired";
    /// Sets decoded with the template of another session of the same exporter.
    TemplateFallbacks = "template_fallbacks";
    /// Records decoded.
    RecordsDecoded = "records_decoded";
    /// Records that were options data.
    RecordsOptions = "records_options";
    /// Records that were interface or other counters.
    RecordsCounters = "records_counters";
    /// Records that were flows.
    RecordsFlow = "records_flow";
    /// Rows added for the reverse direction of two-way records.
    RowsAddedReverse = "rows_added_reverse";
    /// Rows added by metering packets.
    RowsAddedMetered = "rows_added_metered";
    /// Rows made.
    Rows = "rows";
    /// Rows acknowledged by the store.
    RowsAcknowledged = "rows_acknowledged";
    /// Rows shed by policy because everything was full.
    RowsShed = "rows_shed";
    /// Rows set aside because the store refuses them for good.
    RowsQuarantined = "rows_quarantined";
    /// Rows in the spool whose bytes were found torn or changed: set aside with their file.
    RowsDamaged = "rows_damaged";
    /// Rows that an earlier run accepted and left in the spool.
    RowsRecovered = "rows_recovered";
    /// Rows taken back from the quarantine; each of them is counted in rows_quarantined, too.
    RowsReplayed = "rows_replayed";
    /// Rows lost because the process had to end before they were stored.
    RowsLostShutdown = "rows_lost_shutdown";
    /// Rows of usage acknowledged by the store; beside the laws, which are about rows of flows.
    UsageRowsAcknowledged = "usage_rows_acknowledged";
    /// Rows of usage shed by policy because everything was full.
    UsageRowsShed = "usage_rows_shed";
    /// Rows of usage set aside because the store refuses them for good, or because they were in doubt for too long.
    UsageRowsQuarantined = "usage_rows_quarantined";
    /// Rows of usage whose bytes in the spool were found torn or changed.
    UsageRowsDamaged = "usage_rows_damaged";
    /// Rows of usage taken back from the quarantine.
    UsageRowsReplayed = "usage_rows_replayed";
    /// Rows of usage lost because the process had to end before they were stored.
    UsageRowsLostShutdown = "usage_rows_lost_shutdown";
    /// Rows of all other tables (inventory, interface counters, the ledger) acknowledged by the store.
    OtherRowsAcknowledged = "other_rows_acknowledged";
    /// Rows of all other tables shed by policy because everything was full.
    OtherRowsShed = "other_rows_shed";
    /// Rows of all other tables set aside because the store refuses them for good, or because they were in doubt for too long.
    OtherRowsQuarantined = "other_rows_quarantined";
    /// Rows of all other tables whose bytes in the spool were found torn or changed.
    OtherRowsDamaged = "other_rows_damaged";
    /// Rows of all other tables taken back from the quarantine.
    OtherRowsReplayed = "other_rows_replayed";
    /// Rows of all other tables lost because the process had to end before they were stored.
    OtherRowsLostShutdown = "other_rows_lost_shutdown";
    /// Units missing by sequence numbers (v5 flows, v9 packets, IPFIX records, sFlow datagrams): the exporter sent
    /// them and they never arrived here.
    SequenceGaps = "sequence_gaps";
    /// Times that a sequence went back by a little: reordering.
    SequenceReordered = "sequence_reordered";
    /// Datagrams seen twice by their sequence number.
    SequenceDuplicates = "sequence_duplicates";
    /// Times that a sequence started anew: the exporter restarted.
    SequenceRestarts = "sequence_restarts";
    /// Units that were missed between the last durable bundle of a process that crashed and the first datagram after it, in
    /// the unit of sequence_gaps and not among them; gaps that no durable ledger row told are among these.
    LostCrash = "lost_crash";
    /// Units that were sent while the collector was stopped in order, in the unit of sequence_gaps and not among them.
    LostStopped = "lost_stopped";
    /// Units that were in a spool file of which nothing can be read, in the unit of sequence_gaps and not among them: what
    /// the file held, and the gaps that its ledger rows told.
    LostDamaged = "lost_damaged";
    /// Sequences that started anew while the collector was away: what was missed of them nobody can know.
    LostUnknown = "lost_unknown";
    /// sFlow flow samples missing by the samples' own sequence.
    SampleGaps = "sample_gaps";
    /// sFlow datagrams and flow samples whose sequence found no room among those that are followed: what is missing of them
    /// is not known.
    SequencesRefused = "sequences_refused";
    /// Packets that the exporter dropped for want of resources (sFlow `drops`).
    SamplesDroppedByExporter = "samples_dropped_by_exporter";
    /// Fields that no column takes: decoded past, costing one field.
    FieldsUnknown = "fields_unknown";
    /// Fields of an impossible length for their element: treated as absent.
    FieldsMalformed = "fields_malformed";
    /// Trailing bytes that were no whole record, set or sample.
    BytesTrailing = "bytes_trailing";
    /// Rows whose times cannot be meant (flagged).
    TimesImpossible = "times_impossible";
    /// Rows with more bytes or packets than a link can have carried (flagged): kept in flows, not booked in usage.
    CountersImplausible = "counters_implausible";
    /// Rows whose times were corrected for the exporter's wrong clock.
    ClocksCorrected = "clocks_corrected";
    /// Datagrams whose header clock is off by more than the limit.
    ClockSkewed = "clock_skewed";
    /// Rows without a known sampling interval (flagged).
    SamplingUnknown = "sampling_unknown";
    /// Sampling intervals above the limit, not applied.
    SamplingRefused = "sampling_refused";
    /// Names learned from options that found no room.
    NamesRefused = "names_refused";
    /// Facts for the inventory (names, templates, counters, exporters) that found no room on their way to the store.
    FactsRefused = "facts_refused";
    /// Texts and AS paths cut to their limit.
    TextsCut = "texts_cut";
    /// Usage minutes clamped to what may still be booked.
    UsageClamped = "usage_clamped";
    /// Flow lives cut to the pro-rating limit.
    ProrateCut = "prorate_cut";
    /// Talkers among the first of their exporter for which there was no row: their bytes are in `other`.
    TalkersCut = "talkers_cut";
    /// Usage rows without a counter of their own among the metrics: their bytes are in `other` there.
    SeriesRefused = "series_refused";
    /// Rows whose interface found no room among those whose metering side is remembered.
    InterfacesRefused = "interfaces_refused";
    /// Teardown or running totals that could not be turned into a delta.
    TotalsUnknown = "totals_unknown";
    /// Look-ups of an account for which there was no room: counted in domain 0 of the exporter, else with those that have none.
    AccountsRefused = "accounts_refused";
    /// Exporters whose templates and names found no room in the state that a restart reads.
    ExportersUnsaved = "exporters_unsaved";
    /// Entries of bounded tables that gave way to newer ones.
    Evictions = "evictions";
    /// TCP segments not kept because they are too far ahead of what is missing.
    SegmentsRefused = "segments_refused";
    /// TCP segments with other data than an earlier one had for the same place: a sign of evasion.
    SegmentConflicts = "segment_conflicts";
    /// Gaps in TCP streams that were given up: the capture missed them, or a bound was reached.
    StreamGaps = "stream_gaps";
    /// Directions of TCP streams longer than is looked at.
    StreamsCut = "streams_cut";
    /// Messages that named their conversation in vain, because as many conversations as there is room for have a name.
    TalkNamesRefused = "talk_names_refused";
    /// Conversations whose protocol was not looked for, because as many as there is room for were listened to.
    TalksRefused = "talks_refused";
    /// Messages that were longer than is read, or became too long when they were unpacked: the rest of them is not looked at.
    AppBudgets = "app_budgets";
    /// Conversations that others announced (data of FTP, media of SIP) and that were forgotten before they came, because more were announced
    /// than there is room for.
    ExpectationsForgotten = "expectations_forgotten";
    /// Conversations that were told early because the flow table was full.
    FlowsEvicted = "flows_evicted";
    /// The same, of conversations that were one-way or half open: floods and scans.
    FlowsEvictedDoubtful = "flows_evicted_doubtful";
    /// Datagrams of RTP and RTCP that were metered, but whose loss and jitter were not, because as many conversations as there is room
    /// for were measured.
    MediaRefused = "media_refused";
    /// Facts for the detectors that were dropped, because their queue was full: what they find in that time may be too little.
    SightingsDropped = "sightings_dropped";
    /// Frames of traffic captured.
    FramesCaptured = "frames_captured";
    /// Frames of traffic dropped because the queue to the shard was full.
    FramesDroppedQueue = "frames_dropped_queue";
    /// Frames of traffic that were understood: IP packets, and what is known to be none.
    FramesDissected = "frames_dissected";
    /// Frames of traffic rejected: a link type that is not known or never carries IP.
    FramesRejectedLinkType = "frames_rejected_link_type";
    /// Frames of traffic rejected: the capture ends before an IP header does.
    FramesRejectedCut = "frames_rejected_cut";
    /// Frames of traffic rejected: what should be an IP header cannot be one.
    FramesRejectedMalformed = "frames_rejected_malformed";
    /// Frames of traffic rejected: more headers than are followed.
    FramesRejectedDeep = "frames_rejected_deep";
    /// Frames of traffic rejected: a block of a pcapng file whose content makes no sense, or of an interface that the file does not
    /// describe.
    FramesRejectedBlock = "frames_rejected_block";
    /// Packets behind the first one of an aggregate of 802.11 (A-MSDU): each is metered like a frame, the frame is counted once.
    Subframes = "subframes";
    /// The same, of what is no IP packet: not metered.
    SubframesNotIp = "subframes_not_ip";
    /// Frames with ARP; also in frames_dissected.
    FramesArp = "frames_arp";
    /// Frames of 802.3 with LLC (spanning tree and its kin); also in frames_dissected.
    FramesLlc = "frames_llc";
    /// Frames of any other type that is no IP; also in frames_dissected.
    FramesNotIp = "frames_not_ip";
    /// Frames of a capture that carried no export datagram.
    FramesOther = "frames_other";
    /// Frames of a capture that could not be read to a datagram (fragment missing, cut short, unknown link type).
    FramesRejected = "frames_rejected";
    /// IP fragments seen.
    Fragments = "fragments";
    /// Fragments that were put together to packets.
    FragmentsJoined = "fragments_joined";
    /// Fragments whose packet was not complete in time.
    FragmentsExpired = "fragments_expired";
    /// Fragments whose packet had to give way to a newer one.
    FragmentsEvicted = "fragments_evicted";
    /// Fragments that cannot be used: cut, empty, beyond the end of any packet, too many of one packet, or without room.
    FragmentsRejected = "fragments_rejected";
    /// Packets put together of fragments that overlapped.
    FragmentOverlaps = "fragment_overlaps";
    /// Packets put together of fragments that overlapped and said different things; also in fragment_overlaps.
    FragmentConflicts = "fragment_conflicts";
    /// Packets from fragments that turned out to be tunnels: they were handed to the shard of the conversation inside.
    FragmentsRerouted = "fragments_rerouted";
    /// Conversations that rules were tried on and that gave way to others.
    RuleFlowsEvicted = "rule_flows_evicted";
    /// Conversations that were not read for rules any more because there was no room.
    RuleTalksRefused = "rule_talks_refused";
    /// Things that conversations said and that rules were not tried with, or not to their end, because one conversation keeps no more of them:
    /// messages that are too long, sides of transactions, files and calls that are open, values of one side.
    RuleTalksCut = "rule_talks_cut";
    /// Bits of hosts, windows of thresholds and values of lists that gave way to others before their time.
    RuleStatesEvicted = "rule_states_evicted";
    /// Times that a rule was given up because confirming it took more steps than it may.
    RulesGivenUp = "rules_given_up";
    /// Times that a rule was not tried for a while because it had cost more than its budget.
    RulesDemoted = "rules_demoted";
    /// Alerts that rules raised.
    RuleAlerts = "rule_alerts";
    /// Alerts that are in no detection, because as many detections of rules as may be were open or were begun that day.
    RuleAlertsRefused = "rule_alerts_refused";
    /// Alerts that are not in the file of alerts, because the disk was too slow or refused them.
    RuleAlertsUnlogged = "rule_alerts_unlogged";
    /// Captures of detections that were not written, because the disk was too slow or refused them.
    PcapsRefused = "pcaps_refused";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_nobody_shares_one() {
        for (n, &o) in Outcome::ALL.iter().enumerate() {
            assert_eq!((o as usize, Outcome::named(o.name())), (n, Some(o)));
        }
        assert_eq!(Outcome::named("whatever"), None);
    }
}
