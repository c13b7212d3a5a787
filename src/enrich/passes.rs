//! The passes over a batch's columns.

use super::tables::{Application, Exporter, Learnt, Tables, of_engine};
use crate::model::{AppSource, CoreColumns, Field, FlowBatch};
use std::ops::Range;
use std::sync::Arc;

/// Fills `qos_class`, `app`, `app_proto`, `app_source` and `app_confidence` of some rows of a batch. Allocates nothing.
///
/// A rule of the user comes first, then the exporter's application id or the name in the record, then the ports. The
/// exporter's name becomes `app`; where it is the name of a protocol it becomes `app_proto`, too, else the ports tell
/// the protocol, and it is unknown where they do not.
pub fn enrich(tables: &Tables, batch: &mut FlowBatch, rows: Range<usize>) {
    let end = rows.end.min(batch.len());
    let rows = rows.start.min(end)..end;
    let seen = by_dscp_and_port(tables, &mut batch.core, rows.clone());
    if seen & Field::AppId.bit() != 0 {
        by_exporter(tables, batch, rows.clone());
    }
    if batch.texts.is_some() {
        by_text(tables, batch, rows);
    }
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
    let (services, class_of) = (&*tables.services, &tables.class_of);
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
                None => of_engine(&tables.services, key.0, key.1),
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
        enrich(&t, &mut b, 0..99);
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
        enrich(&t, &mut b, 0..99);
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
        enrich(&t, &mut b, 0..99);
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
        enrich(&t, &mut b, 0..1);
        enrich(&t, &mut b, 1..3);
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
        enrich(&t, &mut b, 0..99);
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
        enrich(&new, &mut b, 0..99);
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
}
