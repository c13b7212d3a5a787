-- How long it takes, by day and severity, in seconds: from the beginning of an incident until it is known (mttd), from then until somebody
-- looks at it (mtta), and until it is over (mttr). Suppressed incidents are left out, and those of a past that was replayed, which nobody had to look at.
CREATE OR REPLACE VIEW detection_times AS
SELECT
    toDate(i.told_at) AS day,
    i.severity AS severity,
    count() AS incidents,
    countIf(i.changes > 0 AND i.seen_at > toDateTime64(0, 6)) AS seen,
    countIf(NOT i.is_open) AS ended,
    avg(greatest(0, toUnixTimestamp64Milli(i.detected_at) - toUnixTimestamp64Milli(i.first_at)) / 1000) AS mttd_s,
    avgOrNullIf(greatest(0, toUnixTimestamp64Micro(i.seen_at) / 1000 - toUnixTimestamp64Milli(i.told_at)) / 1000, i.seen_at > toDateTime64(0, 6)) AS mtta_s,
    avgOrNullIf(greatest(0, toUnixTimestamp64Micro(i.changed_at) / 1000 - toUnixTimestamp64Milli(i.told_at)) / 1000, NOT i.is_open) AS mttr_s
FROM incidents AS i
WHERE i.hidden_by = '' AND NOT JSONHas(i.evidence, 'facts', 'replayed')
GROUP BY day, severity;
