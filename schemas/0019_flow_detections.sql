-- The flow of a hit carries the ids of its detections: `SELECT * FROM flows WHERE has(detections, ID)`, or joined with `incidents` by id.

ALTER TABLE flows
    ADD COLUMN IF NOT EXISTS detections Array(UInt64) CODEC(ZSTD(1)) COMMENT 'ids of detections of rules that the flow belongs to, the first four; rows that were stored before the hit have none';
