//! What hosts inside sent outside over days.

use crate::model::Addr;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct SlowUploads {
    /// Ranges of addresses that are inside, first and last of each.
    pub inside: Vec<(Addr, Addr)>,
    /// Days back.
    pub days: u32,
    /// Bytes at least.
    pub bytes: u64,
    /// Bytes sent for each that came back, at least.
    pub ratio: f64,
}

/// Pairs of a host inside and one outside, as `src, dst, sent, came, days, first_ms, last_ms`; those that sent most come first. Where several
/// exporters tell of a pair the one counts that saw most. The store may think for two minutes with one thread and a million pairs: what it read by
/// then is what it answers.
pub fn slow_uploads(s: &SlowUploads) -> String {
    let (src, dst) = (inside("src_addr", s), inside("dst_addr", s));
    let (days, bytes, ratio) = (s.days, s.bytes, s.ratio);
    format!(
        "SELECT replaceOne(toString(a.src), '::ffff:', '') AS src, replaceOne(toString(a.dst), '::ffff:', '') AS dst, \
         max(a.s) AS sent, argMax(a.c, a.s) AS came, toUInt32(argMax(a.d, a.s)) AS days, min(a.f) AS first_ms, max(a.l) AS last_ms \
         FROM (SELECT if({src}, src_addr, dst_addr) AS src, if({src}, dst_addr, src_addr) AS dst, exporter, \
         sumIf(bytes * greatest(sampling_interval, 1), {src}) AS s, sumIf(bytes * greatest(sampling_interval, 1), NOT {src}) AS c, \
         uniqExactIf(toDate(received_at), {src}) AS d, min(start_ms) AS f, max(end_ms) AS l \
         FROM flows WHERE received_at >= now() - INTERVAL {days} DAY AND {src} != {dst} \
         GROUP BY src, dst, exporter) AS a GROUP BY a.src, a.dst \
         HAVING sent >= {bytes} AND sent >= {ratio} * came AND days >= {DAYS_MIN} ORDER BY sent DESC, src, dst LIMIT {ROWS_MAX} \
         SETTINGS max_execution_time = 120, timeout_overflow_mode = 'break', max_threads = 1, \
         max_rows_to_group_by = 1000000, group_by_overflow_mode = 'any'"
    )
}

fn inside(column: &str, s: &SlowUploads) -> String {
    let within = |(first, last): &(Addr, Addr)| {
        let [first, last] = [first, last].map(|a| std::net::Ipv6Addr::from(a.0));
        format!("{column} BETWEEN toIPv6('{first}') AND toIPv6('{last}')")
    };
    let all: Vec<String> = s.inside.iter().map(within).collect();
    match all.is_empty() {
        true => "false".to_owned(),
        false => format!("({})", all.join(" OR ")),
    }
}

const DAYS_MIN: u32 = 3;
const ROWS_MAX: usize = 1_000;
