-- Names of VRFs, as exporters tell them in options data.

CREATE TABLE IF NOT EXISTS vrfs
(
    exporter IPv6 CODEC(ZSTD(1)),
    vrf UInt32 CODEC(ZSTD(1)) COMMENT 'as in flows.ingress_vrf and flows.egress_vrf',
    name String CODEC(ZSTD(1)),
    updated_at DateTime64(3, 'UTC') CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY (exporter, vrf)
SETTINGS
    non_replicated_deduplication_window = 10000,
    replicated_deduplication_window = 100000,
    replicated_deduplication_window_seconds = 604800;

-- Flows with the names of their VRFs; empty where the exporter told none.
CREATE VIEW IF NOT EXISTS flows_with_vrfs AS
SELECT f.*, f.est_bytes AS est_bytes, f.est_packets AS est_packets,
    i.ingress_vrf_name AS ingress_vrf_name, e.egress_vrf_name AS egress_vrf_name
FROM flows AS f
LEFT JOIN (SELECT exporter AS ingress_exporter, vrf AS ingress_id, name AS ingress_vrf_name FROM vrfs FINAL) AS i
    ON f.exporter = i.ingress_exporter AND f.ingress_vrf = i.ingress_id
LEFT JOIN (SELECT exporter AS egress_exporter, vrf AS egress_id, name AS egress_vrf_name FROM vrfs FINAL) AS e
    ON f.exporter = e.egress_exporter AND f.egress_vrf = e.egress_id;
