-- The two sides of a flow. Its class and marking on the egress side may be others than on the ingress side. And where an exporter meters
-- both, a flow has two rows, of which one counts for each interface: `counts_ingress` takes each byte once, like `usage_once`, and
-- `counts_egress` each byte that left through a known interface.

ALTER TABLE flows
    ADD COLUMN IF NOT EXISTS egress_class LowCardinality(String) CODEC(ZSTD(1)) COMMENT 'QoS class at out_if, by its policy and the DSCP that left, where it is not qos_class',
    ADD COLUMN IF NOT EXISTS egress_qos_class LowCardinality(String) ALIAS if(egress_class = '', qos_class, egress_class),
    ADD COLUMN IF NOT EXISTS egress_dscp UInt8 ALIAS bitShiftRight(if(bitTest(present, 55), post_tos, tos), 2),
    ADD COLUMN IF NOT EXISTS counts_ingress UInt8 ALIAS NOT bitTest(flags, 18),
    ADD COLUMN IF NOT EXISTS counts_egress UInt8 ALIAS out_if != 0 AND NOT (origin = 'sflow' AND out_if >= 1073741823) AND NOT bitTest(flags, 19);

CREATE OR REPLACE VIEW flows_with_vrfs AS
SELECT f.*, f.est_bytes AS est_bytes, f.est_packets AS est_packets, f.counts_ingress AS counts_ingress, f.counts_egress AS counts_egress,
    i.ingress_vrf_name AS ingress_vrf_name, e.egress_vrf_name AS egress_vrf_name
FROM flows AS f
LEFT JOIN (SELECT exporter AS ingress_exporter, vrf AS ingress_id, name AS ingress_vrf_name FROM vrfs FINAL) AS i
    ON f.exporter = i.ingress_exporter AND f.ingress_vrf = i.ingress_id
LEFT JOIN (SELECT exporter AS egress_exporter, vrf AS egress_id, name AS egress_vrf_name FROM vrfs FINAL) AS e
    ON f.exporter = e.egress_exporter AND f.egress_vrf = e.egress_id;

-- Usage in a class where the policy of the interface does not expect the application, on each side of a link: in it with what came,
-- out of it with what left. A flow can be in both, so sums are to be taken for one direction.
CREATE OR REPLACE VIEW qos_misuse AS
SELECT
    u.time AS time,
    u.exporter AS exporter,
    u.if_index AS if_index,
    u.direction AS direction,
    i.name AS if_name,
    i.qos_policy AS policy,
    u.app AS app,
    c.category AS category,
    c.relevance AS relevance,
    u.qos_class AS qos_class,
    e.classes AS expected,
    u.dscp AS dscp,
    u.est_bytes AS bytes,
    u.est_packets AS packets,
    u.flows AS flows
FROM usage_1m AS u
LEFT JOIN (SELECT exporter, if_index, name, qos_policy FROM interfaces FINAL) AS i
    ON u.exporter = i.exporter AND u.if_index = i.if_index
LEFT JOIN (SELECT app, category, relevance FROM application_catalog FINAL) AS c
    ON u.app = c.app
LEFT JOIN
(
    SELECT policy, category, groupArray(class) AS classes
    FROM (SELECT policy, category, class, updated_at, max(updated_at) OVER (PARTITION BY policy) AS latest FROM qos_expected FINAL)
    WHERE updated_at = latest
    GROUP BY policy, category
) AS e
    ON i.qos_policy = e.policy AND c.category = e.category
WHERE notEmpty(e.classes) AND NOT has(e.classes, u.qos_class);
