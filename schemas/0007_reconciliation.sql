-- What interfaces counted themselves, beside what flows say of them.

ALTER TABLE interface_counters
    ADD COLUMN IF NOT EXISTS source LowCardinality(String) DEFAULT 'sflow' CODEC(ZSTD(1)) COMMENT 'who counted: sflow or snmp (octets and speed alone)',
    ADD COLUMN IF NOT EXISTS narrow UInt8 CODEC(ZSTD(1)) COMMENT '1: octets of 32 bits, which wrap',
    ADD COLUMN IF NOT EXISTS restarted UInt8 CODEC(ZSTD(1)) COMMENT '1: does not go on from the row before (restart, or another interface of the same number)';
