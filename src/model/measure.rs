//! What a meter of packets measures of a flow: one bit a measure.

macro_rules! measures {
    ($($(#[$doc:meta])* $variant:ident = $bit:literal, $name:literal, $column:ident;)*) => {
        /// A measure of [`crate::model::QualityColumns`]. Measured as zero is 0, not measured is absent.
        ///
        /// The discriminant is the bit number in [`crate::model::QualityColumns::measured`] and in ClickHouse's
        /// `flows.measured`; it never changes once released.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "each variant is the column it is kept in")]
        pub enum Measure { $($(#[$doc])* $variant = $bit,)* }

        impl Measure {
            /// Every measure, in bit order.
            pub const ALL: &'static [Measure] = &[$(Measure::$variant),*];

            /// The name of its column, as in `flows.ndjson` and ClickHouse.
            pub const fn name(self) -> &'static str {
                match self { $(Measure::$variant => $name,)* }
            }

            /// Its value in row `i`.
            pub fn cell(self, columns: &super::QualityColumns, i: usize) -> u64 {
                match self { $(Measure::$variant => columns.$column[i].into(),)* }
            }
        }
    };
}

measures! {
    RttUs = 0, "rtt_us", rtt_us;
    DataRttUs = 1, "data_rtt_us", data_rtt_us;
    TtfbUs = 2, "ttfb_us", ttfb_us;
    Retransmits = 3, "retransmits", retransmits;
    OutOfOrder = 4, "out_of_order", out_of_order;
    DupAcks = 5, "dup_acks", dup_acks;
    ZeroWindows = 6, "zero_windows", zero_windows;
    Resets = 7, "resets", resets;
    CeMarks = 8, "ce_marks", ce_marks;
    JitterUs = 9, "jitter_us", jitter_us;
    Lost = 10, "lost", lost;
    MosX100 = 11, "mos_x100", mos_x100;
    RtpPayload = 12, "rtp_payload", rtp_payload;
    DnsRttUs = 13, "dns_rtt_us", dns_rtt_us;
    DnsRcode = 14, "dns_rcode", dns_rcode;
    TlsVersion = 15, "tls_version", tls_version;
    CertExpiresS = 16, "cert_expires_s", cert_expires_s;
}

impl Measure {
    /// Its mask in a `measured` word.
    #[inline(always)]
    pub const fn bit(self) -> u32 {
        1 << (self as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::QualityColumns;

    #[test]
    fn bits_are_the_position_in_the_list_and_each_has_a_column() {
        let mut columns = QualityColumns::default();
        columns.align(1);
        for (i, m) in Measure::ALL.iter().enumerate() {
            assert_eq!(*m as usize, i, "{}", m.name());
            assert!(QualityColumns::NAMES.contains(&m.name()), "{}", m.name());
            assert_eq!(m.cell(&columns, 0), 0);
        }
    }
}
