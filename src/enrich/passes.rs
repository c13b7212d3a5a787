//! The passes over a batch's columns.

use super::Memory;
use super::marking;
use super::places;
use super::rules::Side;
use super::services::Services;
use super::tables::{Application, Exporter, Learnt, Tables, of_engine};
use crate::model::{AppProto, AppSource, CoreColumns, Field, FlowBatch, Learned, Origin};
use std::ops::Range;
use std::sync::Arc;

/// Fills the names of some rows of a batch: QoS class, application, protocol, networks, countries and AS numbers.
/// Allocates nothing per row.
pub fn enrich(tables: &Tables, memory: &mut Memory, batch: &mut FlowBatch, rows: Range<usize>) {
    let end = rows.end.min(batch.len());
    let rows = rows.start.min(end)..end;
    let seen = by_dscp_and_port(tables, &mut batch.core, rows.clone());
    by_history(tables, memory, batch, rows.clone());
    marking::by_policy(tables, memory, batch, rows.clone());
    if seen & Field::AppId.bit() != 0 {
        by_exporter(tables, batch, rows.clone());
    }
    by_packets(tables, batch, rows.clone());
    if batch.texts.is_some() {
        by_text(tables, batch, rows.clone());
        by_server_name(tables, batch, rows.clone());
    }
    by_range(tables, memory, batch, rows.clone());
    by_rule(tables, memory, batch, rows.clone());
    places::locate(tables, memory, batch, rows);
}

/// Asks what is known of interfaces that some rows name for the first time, before [`enrich`]; `news` gets them as the
/// store keeps them. Returns how many rows name one for which there is no room.
pub fn learn_interfaces(
    tables: &Tables,
    memory: &mut Memory,
    batch: &FlowBatch,
    rows: Range<usize>,
    news: &mut Vec<Learned>,
) -> u64 {
    let c = &batch.core;
    let end = rows.end.min(batch.len());
    let (mut at, mut refused) = (rows.start, 0);
    while at < end {
        let exporter = batch.provenance_of(at).exporter;
        let run = run(batch, at, end);
        let unknown =
            memory.first_unknown(&exporter, &c.in_if[run.clone()], &c.out_if[run.clone()]);
        let Some((n, if_index)) = unknown else {
            at = run.end;
            continue;
        };
        at += n;
        if memory.is_full(&exporter) {
            refused += 1;
            at += 1;
            continue;
        }
        let (interface, policy) = tables.described(&exporter, if_index);
        memory.put_policy(&exporter, if_index, policy);
        news.push(interface);
    }
    refused
}

/// Takes the application names that stand in the records of some rows into the tables, before [`enrich`]. Returns how
/// many rows found no room for theirs: to be counted as names refused.
pub fn learn_names(tables: &mut Arc<Tables>, batch: &FlowBatch, rows: Range<usize>) -> u64 {
    let Some(texts) = &batch.texts else { return 0 };
    let (mut refused, mut last): (u64, &[u8]) = (0, b"");
    for i in rows.start..rows.end.min(batch.len()) {
        let text = batch.text(texts.app_name[i]);
        if text == last {
            continue;
        }
        last = text;
        if !tables.knows_text(text) {
            let exporter = batch.provenance_of(i).exporter;
            let learnt = Arc::make_mut(tables).learn_text(&exporter, text);
            refused += u64::from(learnt == Learnt::Refused);
        }
    }
    refused
}

/// One pass for what needs no more than the row: class by DSCP, application by ports. Returns all presence bits seen.
fn by_dscp_and_port(tables: &Tables, c: &mut CoreColumns, rows: Range<usize>) -> u64 {
    // slices of one length: the bounds are checked here, once
    let n = rows.len();
    let (present, tos) = (part(&c.present, &rows), part(&c.tos, &rows));
    let (src, dst) = (part(&c.src_port, &rows), part(&c.dst_port, &rows));
    let proto = part(&c.proto, &rows);
    let class = part_mut(&mut c.qos_class, &rows);
    let app = part_mut(&mut c.app, &rows);
    let app_proto = part_mut(&mut c.app_proto, &rows);
    let source = part_mut(&mut c.app_source, &rows);
    let confidence = part_mut(&mut c.app_confidence, &rows);
    let services = &tables.config.services;
    let class_of = tables.config.policies.class_of.first().unwrap_or(&[0; 64]);
    let mut seen = 0;
    for i in 0..n {
        seen |= present[i];
        let sent = (present[i] >> Field::Tos as u8 & 1) as u16;
        class[i] = class_of[(tos[i] >> 2) as usize] * sent;
        let s = services.of(proto[i], src[i], dst[i]);
        app[i] = s.app;
        app_proto[i] = s.app_proto;
        source[i] = s.source;
        confidence[i] = s.confidence;
    }
    seen
}

/// What the packets said, where our meter heard them: over ports. An application that a port stands for stays where it
/// speaks that protocol.
fn by_packets(tables: &Tables, batch: &mut FlowBatch, rows: Range<usize>) {
    let Some(spoken) = &batch.spoken else { return };
    let c = &mut batch.core;
    for i in rows {
        let proto = tables.config.services.spoken(spoken.spoken[i]);
        if proto == 0 || c.app_source[i] == AppSource::Rule as u8 {
            continue;
        }
        if c.app_proto[i] != proto || c.app[i] == proto {
            c.app[i] = proto;
            c.app_source[i] = AppSource::Packet as u8;
            c.app_confidence[i] = spoken.spoken_confidence[i];
        }
        c.app_proto[i] = proto;
    }
}

/// The exporter's application ids. The exporter is looked up once a datagram, an id once a run of equal ids.
fn by_exporter(tables: &Tables, batch: &mut FlowBatch, rows: Range<usize>) {
    let (mut provenance, mut exporter): (_, Option<&Exporter>) = (None, None);
    let mut last: Option<((u64, u8), Option<Application>)> = None;
    for i in rows {
        let c = &batch.core;
        if c.present[i] & Field::AppId.bit() == 0 || c.app_source[i] == AppSource::Rule as u8 {
            continue;
        }
        if provenance != Some(c.provenance[i]) {
            provenance = Some(c.provenance[i]);
            exporter = tables.exporter(&batch.provenance_of(i).exporter);
            last = None;
        }
        let key = (c.app_id[i], c.proto[i]);
        let found = match last {
            Some((k, found)) if k == key => found,
            _ => match exporter {
                Some(e) => e.application(tables, key.0, key.1),
                None => of_engine(&tables.config.services, key.0, key.1),
            },
        };
        last = Some((key, found));
        if let Some(a) = found {
            set(&mut batch.core, i, a);
        }
    }
}

/// The application names in the records: they are nearer to the flow than the id.
fn by_text(tables: &Tables, batch: &mut FlowBatch, rows: Range<usize>) {
    let Some(texts) = batch.texts.take() else {
        return;
    };
    let mut last: Option<(usize, Option<Application>)> = None;
    for i in rows {
        let text = texts.app_name[i];
        if text.len == 0 || batch.core.app_source[i] == AppSource::Rule as u8 {
            continue;
        }
        let same = last.filter(|(j, _)| {
            batch.core.provenance[*j] == batch.core.provenance[i]
                && batch.text(texts.app_name[*j]) == batch.text(text)
        });
        let found = match same {
            Some((_, found)) => found,
            None => {
                let exporter = tables.exporter(&batch.provenance_of(i).exporter);
                tables.text_named(exporter, batch.text(text))
            }
        };
        last = Some((i, found));
        if let Some(a) = found {
            set(&mut batch.core, i, a);
        }
    }
    batch.texts = Some(texts);
}

/// Where both ports of a row are known ones: the one that was the service side of other flows. Where one is, that is
/// remembered.
fn by_history(tables: &Tables, memory: &mut Memory, batch: &mut FlowBatch, rows: Range<usize>) {
    let services = &tables.config.services;
    let mut at = rows.start;
    while at < rows.end {
        let run = run(batch, at, rows.end);
        at = run.end;
        let p = batch.provenance_of(run.start);
        let (exporter, metered) = (p.exporter, p.origin == Origin::Packets);
        if metered {
            by_side(services, batch, run);
            continue;
        }
        let remembered = memory.of(&exporter);
        let c = &mut batch.core;
        for i in run {
            let (proto, sport, dport) = (c.proto[i], c.src_port[i], c.dst_port[i]);
            let Some((src, dst)) = services.sides(proto, sport, dport) else {
                continue;
            };
            match (src, dst) {
                (0, 0) => {}
                (0, _) => remembered.saw_service(&c.dst_addr[i], proto, dport),
                (_, 0) => remembered.saw_service(&c.src_addr[i], proto, sport),
                _ if Services::is_rule(src) || Services::is_rule(dst) || sport == dport => {}
                _ => {
                    let by_src = remembered.was_service(&c.src_addr[i], proto, sport);
                    let by_dst = remembered.was_service(&c.dst_addr[i], proto, dport);
                    if by_src != by_dst {
                        let s = services.listed(if by_src { src } else { dst });
                        c.app[i] = s.app;
                        c.app_proto[i] = s.app_proto;
                        c.app_confidence[i] = s.confidence;
                    }
                }
            }
        }
    }
}

/// Where both ports are known ones, the one of the side that did not begin: our meter knows it.
fn by_side(services: &Services, batch: &mut FlowBatch, rows: Range<usize>) {
    let Some(quality) = &batch.quality else {
        return;
    };
    let c = &mut batch.core;
    for i in rows {
        let (proto, sport, dport) = (c.proto[i], c.src_port[i], c.dst_port[i]);
        let entry = match services.sides(proto, sport, dport) {
            None | Some((0, _) | (_, 0)) => continue,
            Some((src, dst)) if Services::is_rule(src) || Services::is_rule(dst) => continue,
            Some(_) if sport == dport => continue,
            Some((src, dst)) => match quality.conversation_side[i] {
                1 => dst,
                2 => src,
                _ => continue,
            },
        };
        let s = services.listed(entry);
        c.app[i] = s.app;
        c.app_proto[i] = s.app_proto;
        c.app_confidence[i] = s.confidence;
    }
}

/// Server names: over ports, and over a name of the exporter that is but a protocol's.
fn by_server_name(tables: &Tables, batch: &mut FlowBatch, rows: Range<usize>) {
    let Some(texts) = batch.texts.take() else {
        return;
    };
    let mut last: (&[u8], u32) = (b"", 0);
    let asks = [AppProto::Dns, AppProto::Mdns, AppProto::Llmnr]
        .map(|p| tables.config.services.spoken(p as u8));
    for i in rows {
        let text = texts.server_name[i];
        if text.len == 0 || !may_be_refined(tables, &batch.core, i) {
            continue;
        }
        // the name that is asked for is not who is spoken with
        if is_protocol_heard(&batch.core, i) && asks.contains(&batch.core.app_proto[i]) {
            continue;
        }
        let name = &batch.texts_arena[text.at as usize..][..text.len.into()];
        if last.0 != name {
            last = (name, tables.config.domains.get(name));
        }
        if last.1 != 0 {
            let c = &mut batch.core;
            c.app[i] = last.1;
            c.app_source[i] = AppSource::Name as u8;
            c.app_confidence[i] = BY_NAME;
        }
    }
    batch.texts = Some(texts);
}

/// Published ranges, where nothing better is known.
fn by_range(tables: &Tables, memory: &mut Memory, batch: &mut FlowBatch, rows: Range<usize>) {
    let ranges = &tables.config.rules.ranges;
    if ranges.is_empty() {
        return;
    }
    let c = &mut batch.core;
    ranges.get_all(&c.src_addr[rows.clone()], &mut memory.src);
    ranges.get_all(&c.dst_addr[rows.clone()], &mut memory.dst);
    for (n, i) in rows.enumerate() {
        let (src, dst) = (memory.src[n], memory.dst[n]);
        // what an exporter took from the packets is surer than an address
        let better = c.app_confidence[i] >= BY_RANGE && !is_protocol_heard(c, i);
        if src | dst == 0 || better || !tables.config.services.has_ports(c.proto[i]) {
            continue;
        }
        let to_dst = src == 0 || dst != 0 && c.dst_port[i] <= c.src_port[i];
        c.app[i] = if to_dst { dst } else { src };
        c.app_source[i] = AppSource::Range as u8;
        c.app_confidence[i] = BY_RANGE;
    }
}

/// Rules of the user: over everything.
fn by_rule(tables: &Tables, memory: &mut Memory, batch: &mut FlowBatch, rows: Range<usize>) {
    let rules = &tables.config.rules;
    if !rules.any() {
        return;
    }
    rules
        .by_address
        .get_all(&batch.core.src_addr[rows.clone()], &mut memory.src);
    rules
        .by_address
        .get_all(&batch.core.dst_addr[rows.clone()], &mut memory.dst);
    for (n, i) in rows.enumerate() {
        let side = |candidates, port| Side { candidates, port };
        let (proto, sport, dport) = {
            let c = &batch.core;
            (c.proto[i], c.src_port[i], c.dst_port[i])
        };
        let sides = [side(memory.src[n], sport), side(memory.dst[n], dport)];
        if !rules.concern(sides) {
            continue;
        }
        let exporter = batch.provenance_of(i).exporter;
        if let Some(rule) = rules.find(&exporter, proto, sides) {
            let c = &mut batch.core;
            c.app[i] = rule.app;
            if rule.app_proto != 0 {
                c.app_proto[i] = rule.app_proto;
            }
            c.app_source[i] = AppSource::Rule as u8;
            c.app_confidence[i] = BY_RULE;
        }
    }
}

/// Whether what names a row says no more than a port or a protocol.
#[inline(always)]
fn may_be_refined(tables: &Tables, c: &CoreColumns, i: usize) -> bool {
    let source = c.app_source[i];
    source == AppSource::None as u8
        || source == AppSource::Port as u8
        || is_protocol_heard(c, i)
        || source == AppSource::Exporter as u8 && c.app[i] < tables.config.generic_end
}

/// Whether the packets said which protocol it is, and no more than that.
#[inline(always)]
fn is_protocol_heard(c: &CoreColumns, i: usize) -> bool {
    c.app_source[i] == AppSource::Packet as u8 && c.app[i] == c.app_proto[i]
}

/// The rows from `at` on that came in the same datagram.
pub(super) fn run(batch: &FlowBatch, at: usize, end: usize) -> Range<usize> {
    let provenance = &batch.core.provenance[at..end];
    let same = provenance.iter().take_while(|p| **p == provenance[0]);
    at..at + same.count()
}

/// Confidence of a rule of the user.
const BY_RULE: u8 = 95;
/// Confidence of a server name.
const BY_NAME: u8 = 85;
/// Confidence of a published range.
const BY_RANGE: u8 = 70;

#[inline(always)]
fn part<'a, T>(column: &'a [T], rows: &Range<usize>) -> &'a [T] {
    &column[rows.start..][..rows.len()]
}

#[inline(always)]
fn part_mut<'a, T>(column: &'a mut [T], rows: &Range<usize>) -> &'a mut [T] {
    &mut column[rows.start..][..rows.len()]
}

/// Writes what the exporter said over what the ports said.
#[inline(always)]
fn set(c: &mut CoreColumns, i: usize, a: Application) {
    c.app[i] = a.app;
    if a.app_proto != 0 {
        c.app_proto[i] = a.app_proto;
    }
    c.app_source[i] = AppSource::Exporter as u8;
    c.app_confidence[i] = a.confidence;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::{Settings, learn};
    use crate::model::{Addr, Learned, Provenance};

    const A: Addr = Addr::from_v4([192, 0, 2, 1]);
    const B: Addr = Addr::from_v4([192, 0, 2, 2]);
    const NBAR: u64 = 13 << 56;

    fn tables() -> Arc<Tables> {
        Arc::new(Tables::new(&Settings::default()).expect("defaults are valid"))
    }

    fn application(exporter: Addr, app_id: u64, name: &str) -> Learned {
        Learned::Application {
            exporter,
            app_id,
            name: name.into(),
            description: String::new(),
        }
    }

    /// Rows of (exporter, protocol, destination port, application id).
    fn batch(rows: &[(Addr, u8, u16, u64)]) -> FlowBatch {
        let mut b = FlowBatch::new();
        for &(exporter, proto, port, app_id) in rows {
            let provenance = b.push_provenance(Provenance {
                exporter,
                ..Provenance::default()
            });
            let c = &mut b.core;
            c.provenance.push(provenance);
            c.proto.push(proto);
            c.src_port.push(51000);
            c.dst_port.push(port);
            c.app_id.push(app_id);
            let id = if app_id == 0 { 0 } else { Field::AppId.bit() };
            c.present.push(id | Field::Tos.bit());
            c.tos.push(46 << 2 | 3);
            b.commit(1);
        }
        b
    }

    fn named(t: &Tables, b: &FlowBatch) -> Vec<(String, String, u8, u8)> {
        let name = |id| t.names().apps.name(id).to_string();
        let c = &b.core;
        (0..b.len())
            .map(|i| {
                (
                    name(c.app_proto[i]),
                    name(c.app[i]),
                    c.app_source[i],
                    c.app_confidence[i],
                )
            })
            .collect()
    }

    fn row(proto: &str, app: &str, source: AppSource, confidence: u8) -> (String, String, u8, u8) {
        (proto.into(), app.into(), source as u8, confidence)
    }

    #[test]
    fn the_exporters_name_is_its_own_and_comes_before_the_port() {
        let mut t = tables();
        for fact in [
            application(A, NBAR | 7, "MS-Teams"),
            application(A, NBAR | 8, "SSL"),
            application(A, NBAR | 1, "unknown"),
            application(B, NBAR | 7, "sip"),
        ] {
            assert_eq!(learn(&mut t, &fact), Learnt::Changed);
            assert_eq!(learn(&mut t, &fact), Learnt::Unchanged);
        }
        let mut b = batch(&[
            (A, 6, 443, NBAR | 7),
            (A, 17, 50000, NBAR | 7),
            (B, 17, 443, NBAR | 7),
            (A, 6, 50000, NBAR | 8),
            (A, 6, 22, NBAR | 1),
            (A, 6, 22, NBAR | 99),
            (A, 17, 4000, 3 << 56 | 53),
            (B, 17, 53, 0),
        ]);
        enrich(&t, &mut Memory::new(), &mut b, 0..99);
        use AppSource::{Exporter as E, Port as P};
        let expected = [
            row("tls", "ms-teams", E, 90),
            row("unknown", "ms-teams", E, 90),
            row("sip", "sip", E, 90),
            row("tls", "ssl", E, 90),
            row("ssh", "ssh", P, 60),
            row("ssh", "ssh", P, 60),
            row("dns", "dns", E, 60),
            row("dns", "dns", P, 60),
        ];
        assert_eq!(named(&t, &b), expected);
    }

    #[test]
    fn a_rule_comes_before_the_exporter() {
        let text = "applications.ports = [{ port = 443, app = \"crm\" }]";
        let settings: Settings = toml::from_str(text).expect("valid");
        let mut t = Arc::new(Tables::new(&settings).expect("valid"));
        learn(&mut t, &application(A, NBAR | 7, "ms-teams"));
        let mut b = batch(&[(A, 6, 443, NBAR | 7)]);
        enrich(&t, &mut Memory::new(), &mut b, 0..99);
        assert_eq!(named(&t, &b), [row("crm", "crm", AppSource::Rule, 95)]);
    }

    #[test]
    fn names_in_records_are_learned_first() {
        let mut t = tables();
        let mut b = batch(&[(A, 6, 443, 0), (A, 6, 443, 0), (A, 6, 443, 0)]);
        for (i, text) in [&b"Zoom Meetings"[..], b"", b"n/a"].into_iter().enumerate() {
            let (r, _) = b.push_text(text);
            b.texts_mut().app_name[i] = r;
        }
        assert_eq!(learn_names(&mut t, &b, 0..99), 0);
        enrich(&t, &mut Memory::new(), &mut b, 0..99);
        let by_port = row("tls", "tls", AppSource::Port, 60);
        let zoom = row("tls", "zoom-meetings", AppSource::Exporter, 90);
        assert_eq!(named(&t, &b), [zoom, by_port.clone(), by_port]);
    }

    #[test]
    fn the_class_is_of_the_dscp_and_none_without_one() {
        let t = tables();
        let mut b = batch(&[(A, 6, 443, 0), (A, 6, 443, 0), (A, 6, 443, 0)]);
        b.core.tos[1] = 0;
        b.core.present[2] = 0;
        enrich(&t, &mut Memory::new(), &mut b, 0..1);
        enrich(&t, &mut Memory::new(), &mut b, 1..3);
        let class = |i: usize| t.names().classes.name(b.core.qos_class[i].into());
        assert_eq!(
            (class(0), class(1), class(2)),
            ("telephony", "standard", "none")
        );
    }

    #[test]
    fn past_its_room_an_exporter_has_other() {
        let settings = Settings {
            names_per_exporter_max: 2,
            ..Settings::default()
        };
        let mut t = Arc::new(Tables::new(&settings).expect("valid"));
        for (id, name, learnt) in [
            (1, "one", Learnt::Changed),
            (2, "two", Learnt::Changed),
            (3, "three", Learnt::Refused),
            (2, "another two", Learnt::Refused),
            (2, "one", Learnt::Changed),
        ] {
            assert_eq!(
                learn(&mut t, &application(A, NBAR | id, name)),
                learnt,
                "{name}"
            );
        }
        let interface = |if_index| Learned::Interface {
            exporter: A,
            if_index,
            name: "Gi0/1".into(),
            description: "x".repeat(99),
            speed: 1_000_000_000,
        };
        for (i, learnt) in [
            (1, Learnt::Changed),
            (1, Learnt::Unchanged),
            (2, Learnt::Changed),
            (3, Learnt::Refused),
        ] {
            assert_eq!(learn(&mut t, &interface(i)), learnt);
        }
        let name = |i| t.interface(&A, i).map(|i| i.name);
        assert_eq!(
            (name(1).as_deref(), name(3).as_deref()),
            (Some("Gi0/1"), Some("other"))
        );
        assert_eq!(t.interface(&A, 1).map(|i| i.description.len()), Some(64));
        assert_eq!(t.interface(&B, 1), None);
        let mut b = batch(&[(A, 6, 443, NBAR | 3), (B, 6, 443, NBAR | 3)]);
        enrich(&t, &mut Memory::new(), &mut b, 0..99);
        let expected = [
            row("tls", "other", AppSource::Exporter, 90),
            row("tls", "tls", AppSource::Port, 60),
        ];
        assert_eq!(named(&t, &b), expected);
    }

    #[test]
    fn what_exporters_taught_survives_new_settings() {
        let mut old = tables();
        learn(&mut old, &application(A, NBAR | 1, "ms-teams"));
        learn(&mut old, &application(A, NBAR | 2, "unclassified"));
        let (if_index, speed, vrf) = (4, 1_000, 9);
        let (name, description) = ("Gi0/4".to_owned(), "to the north".to_owned());
        learn(
            &mut old,
            &Learned::Interface {
                exporter: A,
                if_index,
                name,
                description,
                speed,
            },
        );
        let (exporter, name) = (A, "blue".to_owned());
        learn(
            &mut old,
            &Learned::Vrf {
                exporter,
                vrf,
                name,
            },
        );
        let mut settings = Settings::default();
        settings.qos.dscp.insert("EF".into(), "gold".into());
        let text = "ports = [{ port = 8443, app = \"our-portal\", app_proto = \"tls\" }]";
        settings.applications = toml::from_str(text).expect("valid");
        let new = Tables::new(&settings).expect("valid").taught_by(&old);
        assert_eq!(new.interface(&A, 4), old.interface(&A, 4));
        assert_eq!(new.vrf(&A, 9), Some("blue"));
        assert_eq!(new.facts(), old.facts());
        let rows = [
            (A, 6, 443, NBAR | 1),
            (A, 6, 8443, 0),
            (A, 6, 443, NBAR | 2),
            (B, 6, 443, NBAR | 1),
        ];
        let mut b = batch(&rows);
        enrich(&new, &mut Memory::new(), &mut b, 0..99);
        let expected = [
            row("tls", "ms-teams", AppSource::Exporter, 90),
            row("tls", "our-portal", AppSource::Rule, 95),
            row("tls", "tls", AppSource::Port, 60),
            row("tls", "tls", AppSource::Port, 60),
        ];
        assert_eq!(named(&new, &b), expected);
        let class = new.names().classes.name(b.core.qos_class[0].into());
        assert_eq!(class, "gold");
    }

    #[test]
    fn a_version_in_use_does_not_change() {
        let mut t = tables();
        let old = Arc::clone(&t);
        let names = Arc::clone(t.names());
        learn(&mut t, &application(A, NBAR | 7, "ms-teams"));
        assert_eq!(old.names(), &names);
        assert_eq!(t.names().apps.len(), names.apps.len() + 1);
    }

    fn from(text: &str) -> Arc<Tables> {
        let settings: Settings = toml::from_str(text).expect("readable");
        Arc::new(Tables::new(&settings).unwrap_or_else(|e| panic!("{e}")))
    }

    fn named_by_host(t: &Tables, b: &mut FlowBatch, host: &str) -> (String, String, u8, u8) {
        let (r, _) = b.push_text(host.as_bytes());
        b.texts_mut().server_name.fill(r);
        enrich(t, &mut Memory::new(), b, 0..99);
        named(t, b).remove(0)
    }

    #[test]
    fn a_server_name_refines_what_a_port_or_a_protocol_says() {
        let mut t =
            from("applications.names = [{ app = \"our-crm\", domains = [\"crm.example.com\"] }]");
        learn(&mut t, &application(A, NBAR | 7, "webex-media"));
        learn(&mut t, &application(A, NBAR | 8, "SSL"));
        let teams = row("tls", "microsoft-teams", AppSource::Name, 85);
        let host = "eu-api.Teams.Microsoft.com";
        assert_eq!(
            named_by_host(&t, &mut batch(&[(A, 6, 443, 0)]), host),
            teams
        );
        // the exporter said no more than the protocol
        assert_eq!(
            named_by_host(&t, &mut batch(&[(A, 6, 443, NBAR | 8)]), host),
            teams
        );
        let webex = row("tls", "webex-media", AppSource::Exporter, 90);
        assert_eq!(
            named_by_host(&t, &mut batch(&[(A, 6, 443, NBAR | 7)]), host),
            webex
        );
        let crm = row("unknown", "our-crm", AppSource::Name, 85);
        assert_eq!(
            named_by_host(&t, &mut batch(&[(A, 6, 50_000, 0)]), "www.crm.example.com"),
            crm
        );
        let tls = row("tls", "tls", AppSource::Port, 60);
        assert_eq!(
            named_by_host(&t, &mut batch(&[(A, 6, 443, 0)]), "example.org"),
            tls
        );
    }

    #[test]
    fn ranges_and_rules_look_at_both_ends() {
        let text = "applications.rules = [{ app = \"erp\", prefixes = [\"10.1.0.0/16\"], ports = [8443], app_proto = \"tls\" }]";
        let mut t = from(text);
        learn(&mut t, &application(A, NBAR | 7, "webex-media"));
        let mut b = batch(&[
            (A, 17, 3478, 0),
            (A, 17, 3478, 0),
            (A, 6, 8443, NBAR | 7),
            (A, 1, 0, 0),
            (A, 6, 443, NBAR | 7),
        ]);
        let teams = Addr::from_v4([52, 113, 1, 2]);
        b.core.dst_addr[0] = teams;
        (b.core.src_addr[1], b.core.dst_addr[1]) = (teams, A);
        (b.core.src_port[1], b.core.dst_port[1]) = (3478, 51_000);
        b.core.dst_addr[2] = Addr::from_v4([10, 1, 2, 3]);
        b.core.dst_addr[3] = teams;
        b.core.dst_addr[4] = teams;
        enrich(&t, &mut Memory::new(), &mut b, 0..99);
        let by_range = row("stun", "microsoft-teams", AppSource::Range, 70);
        let expected = [
            by_range.clone(),
            by_range,
            row("tls", "erp", AppSource::Rule, 95),
            row("icmp", "icmp", AppSource::Port, 95),
            row("tls", "webex-media", AppSource::Exporter, 90),
        ];
        assert_eq!(named(&t, &b), expected);
        let plain = from("applications.catalog = false");
        enrich(&plain, &mut Memory::new(), &mut b, 0..1);
        assert_eq!(named(&plain, &b)[0].1, "stun");
    }

    #[test]
    fn history_decides_between_two_known_ports() {
        let t = tables();
        let mut m = Memory::new();
        let mysql = |b: &mut FlowBatch| {
            b.core.src_port[0] = 443;
            b.core.dst_addr[0] = B;
        };
        let mut b = batch(&[(A, 6, 3306, 0)]);
        mysql(&mut b);
        enrich(&t, &mut m, &mut b, 0..1);
        assert_eq!(
            named(&t, &b)[0],
            row("tls", "tls", AppSource::Port, 40),
            "the lower port"
        );
        let mut seen = batch(&[(A, 6, 3306, 0)]);
        seen.core.dst_addr[0] = B;
        enrich(&t, &mut m, &mut seen, 0..1);
        enrich(&t, &mut m, &mut b, 0..1);
        assert_eq!(
            named(&t, &b)[0],
            row("mysql", "mysql", AppSource::Port, 40),
            "its port was the service"
        );
    }

    #[test]
    fn interfaces_have_policies_and_are_told_once() {
        let mut t = from(
            r#"
            classify = [{ when = 'interface.alias == "wan"', role = "wan" }]
            interfaces = [{ exporter = "192.0.2.1", index = 2, name = "Gi0/2", alias = "wan", speed_mbit = 50 }]
            [[qos.policies]]
            name = "branch"
            preset = "4-class"
            roles = ["wan"]"#,
        );
        let mut m = Memory::new();
        let mut b = batch(&[(A, 6, 443, 0), (A, 6, 443, 0), (B, 6, 443, 0)]);
        b.core.in_if.copy_from_slice(&[2, 1, 2]);
        b.core.out_if.copy_from_slice(&[1, 2, 0x3fff_ffff]);
        let mut news = vec![];
        assert_eq!(learn_interfaces(&t, &mut m, &b, 0..99, &mut news), 0);
        assert_eq!(news.len(), 3);
        let Learned::NamedInterface {
            if_index: 2,
            name,
            speed,
            role,
            qos_policy,
            ..
        } = &news[0]
        else {
            panic!("{news:?}")
        };
        assert_eq!(
            (&**name, *speed, &**role, &**qos_policy),
            ("Gi0/2", 50_000_000, "wan", "branch")
        );
        learn_interfaces(&t, &mut m, &b, 0..99, &mut news);
        assert_eq!(news.len(), 3, "told once");
        enrich(&t, &mut m, &mut b, 0..99);
        let classes = |t: &Tables, b: &FlowBatch| -> Vec<String> {
            let name = |c: &u16| t.names().classes.name((*c).into()).to_owned();
            b.core.qos_class.iter().map(name).collect()
        };
        assert_eq!(classes(&t, &b), ["real-time", "telephony", "telephony"]);
        let left = &b.egress.as_ref().expect("other policies").egress_class;
        let left: Vec<&str> = (left.iter().map(|c| t.names().classes.name((*c).into()))).collect();
        assert_eq!(left, ["telephony", "real-time", "none"]);
        // what the exporter says later changes its role
        let alias = Learned::Interface {
            exporter: A,
            if_index: 1,
            name: String::new(),
            description: "wan".into(),
            speed: 0,
        };
        assert_eq!(learn(&mut t, &alias), Learnt::Changed);
        m.forget(&A, 1);
        learn_interfaces(&t, &mut m, &b, 0..99, &mut news);
        assert!(
            matches!(&news[3], Learned::NamedInterface { if_index: 1, role, .. } if role == "wan")
        );
    }

    #[test]
    fn fetched_networks_keep_the_ids_of_rows() {
        let dir = tempfile::tempdir().expect("a folder");
        let text = "[networks]\nlist = [{ prefix = \"10.1.0.0/16\", name = \"berlin\" }]\nremotes = [{ url = \"http://127.0.0.1:1/\" }]";
        let settings: Settings = toml::from_str(text).expect("readable");
        let mut t = Tables::new(&settings).expect("valid");
        let name = "http://127.0.0.1:1/"
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
                (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
            });
        let kept =
            r#"[{"prefix":"10.2.0.0/16","name":"kept"},{"prefix":"10.1.0.0/16","name":"other"}]"#;
        std::fs::write(dir.path().join(format!("networks-{name:016x}.json")), kept)
            .expect("written");
        crate::enrich::fetch(&settings, &t, dir.path()).expect("started");
        assert!(t.is_behind());
        let mut b = batch(&[(A, 6, 443, 0)]);
        (b.core.src_addr[0], b.core.dst_addr[0]) =
            (Addr::from_v4([10, 1, 0, 1]), Addr::from_v4([10, 2, 0, 1]));
        let mut m = Memory::new();
        enrich(&t, &mut m, &mut b, 0..1);
        let nets = |b: &FlowBatch| {
            b.nets
                .as_ref()
                .map(|n| (n.src_net[0], n.dst_net[0]))
                .expect("located")
        };
        let before = nets(&b);
        assert_eq!(before.1, 0);
        t.catch_up();
        assert!(!t.is_behind());
        enrich(&t, &mut m, &mut b, 0..1);
        assert_eq!(
            nets(&b).0,
            before.0,
            "the id is what it was, and the settings come before what is fetched"
        );
        assert_eq!(t.names().networks.name(nets(&b).1), "kept");
    }
}
