//! What is remembered of one exporter: sessions with their templates, observation domains, sets that wait, names.

use super::layouts::{Layouts, Share};
use super::lend::agreed;
use super::plan::Plan;
use super::position::Touched;
use super::raw::divides;
use super::rows::Frame;
use super::sampling::Samplers;
use super::sessions::{NEVER_NS, Session, SessionKey, Sessions, Slot};
use super::settings::Settings;
use super::template::{FieldSpec, Template, TemplateHeader};
use crate::ledger::{Book, Place};
use crate::model::Addr;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::sync::Arc;

/// All state of one exporter address.
#[derive(Debug, Default)]
pub(super) struct Exporter {
    pub addr: Addr,
    pub sessions: Sessions,
    /// In place: most exporters have one.
    pub domains: SmallVec<[Domain; 1]>,
    pub waiting: VecDeque<Waiting>,
    pub waiting_bytes: usize,
    /// Names and descriptions told so far.
    pub names: NamesTold,
    /// Templates in all sessions.
    pub templates: usize,
    /// Those unused for longest when last looked, the oldest last.
    aged: Vec<Aged>,
    /// Export time of the first datagram, ms.
    pub first_export_ms: Option<i64>,
    pub last_seen_ns: i64,
}

/// Names by what they belong to.
type NamesTold = HashMap<(NameKind, u64), Told, foldhash::quality::RandomState>;

/// A name, its description, and when the inventory heard of it last.
#[derive(Debug)]
pub(super) struct Told {
    pub name: Box<str>,
    pub description: Box<str>,
    pub told_ns: i64,
}

/// What a name belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub(super) enum NameKind {
    Interface,
    Application,
    Vrf,
}

/// A template that may give way: when it was used last, its session and its id.
type Aged = (u64, SessionKey, u16);

/// A template and its plan.
#[derive(Debug)]
pub(super) struct Compiled {
    pub template: Template,
    /// Flow records have one, options data have none.
    pub plan: Option<Plan>,
    /// Its share of what all layouts take.
    pub share: Share,
}

/// An observation domain.
#[derive(Debug)]
pub(super) struct Domain {
    pub version: u8,
    pub domain: u32,
    pub samplers: Samplers,
    /// Element 160 from options data, ms since 1970.
    pub init_ms: Option<i64>,
    pub last_seen_ns: i64,
    /// Where its tally lies.
    pub account: Place,
}

/// A set that awaits its template.
#[derive(Debug)]
pub(super) struct Waiting {
    pub port: u16,
    pub version: u8,
    pub domain: u32,
    pub id: u16,
    /// Sequence number of its datagram, and what its session had decoded before.
    pub sequence: u32,
    pub decoded: u32,
    pub frame: Frame,
    pub body: Box<[u8]>,
}

/// What gave way for something new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Gone {
    /// In all.
    pub entries: usize,
    /// Templates among them.
    pub templates: usize,
}

/// How a template came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lesson {
    /// As before.
    Same,
    /// First of its id.
    New,
    /// Another layout than before; the value says whether that happens too often.
    Changed { alarm: bool },
    /// No room.
    Refused,
}

impl Compiled {
    pub fn new(header: &TemplateHeader, fields: &[FieldSpec], settings: &Settings) -> Self {
        let template = Template::new(header, fields);
        let plan = (!template.options).then(|| Plan::compile(&template, settings));
        Compiled {
            template,
            plan,
            share: Share::default(),
        }
    }

    /// Bytes of memory that it takes.
    pub fn bytes(&self) -> usize {
        let plan = self.plan.as_ref().map_or(0, Plan::heap_bytes);
        LAYOUT_BYTES + size_of::<Compiled>() + size_of_val(&*self.template.fields) + plan
    }
}

impl Exporter {
    pub fn new(addr: Addr) -> Self {
        Exporter {
            addr,
            ..Default::default()
        }
    }

    /// The index of a session, made on first sight, and how much gave way for it: a session and its templates. The open
    /// gaps of a session that gives way are booked.
    pub fn session(
        &mut self,
        key: SessionKey,
        now_ns: i64,
        settings: &Settings,
        (book, touched): (&mut Book, &mut Touched),
    ) -> (usize, Gone) {
        if let Some(i) = self.sessions.position(key) {
            self.sessions[i].heard(now_ns);
            return (i, Gone::default());
        }
        let mut gone = Gone::default();
        if self.sessions.len() >= settings.sessions_max.max(1) {
            gone = self.drop_sessions(1, now_ns, (book, touched));
        }
        (self.sessions.push(Session::new(key, now_ns)), gone)
    }

    /// The index of a domain, made on first sight, and how much gave way for it: a domain and its samplers.
    pub fn domain(
        &mut self,
        (version, domain): (u8, u32),
        now_ns: i64,
        settings: &Settings,
    ) -> (usize, usize) {
        let same = |d: &Domain| d.version == version && d.domain == domain;
        if let Some(i) = self.domains.iter().position(same) {
            self.domains[i].last_seen_ns = now_ns;
            return (i, 0);
        }
        let mut gone = 0;
        if self.domains.len() >= settings.domains_max.max(1) {
            let oldest = (0..self.domains.len()).min_by_key(|&i| self.domains[i].last_seen_ns);
            if let Some(old) = oldest.map(|i| self.domains.swap_remove(i)) {
                gone = 1 + old.samplers.len();
            }
        }
        self.domains.push(Domain {
            version,
            domain,
            samplers: Samplers::default(),
            init_ms: None,
            last_seen_ns: now_ns,
            account: Place::default(),
        });
        (self.domains.len() - 1, gone)
    }

    /// Learns a template for session `s`; the second value says how many gave way. `room` says whether the decoder
    /// takes one more.
    pub fn learn(
        &mut self,
        s: usize,
        (header, fields): (&TemplateHeader, &[FieldSpec]),
        (now_ns, stamp, room): (i64, u64, bool),
        (layouts, settings): (&mut Layouts, &Settings),
    ) -> (Lesson, usize) {
        let session = &mut self.sessions[s];
        session.announced = true;
        let place = session.find(header.id);
        if let Ok(i) = place {
            let slot = &mut session.templates[i];
            slot.used = stamp;
            if slot.compiled.template.same_layout(header, fields) {
                return (Lesson::Same, 0);
            }
            slot.compiled = layouts.compiled(header, fields, settings);
            slot.told_ns = NEVER_NS;
            if now_ns.wrapping_sub(slot.changes_since_ns) > MINUTE_NS {
                (slot.changes, slot.changes_since_ns) = (0, now_ns);
            }
            slot.changes = slot.changes.saturating_add(1);
            let alarm = slot.changes > settings.template_changes_max;
            return (Lesson::Changed { alarm }, 0);
        }
        let mut gone = 0;
        if !room || self.templates >= settings.exporter_templates_max {
            if !self.drop_oldest_template() {
                return (Lesson::Refused, 0);
            }
            gone = 1;
        }
        let session = &mut self.sessions[s];
        let (Ok(i) | Err(i)) = session.find(header.id);
        let slot = Slot {
            compiled: layouts.compiled(header, fields, settings),
            used: stamp,
            changes: 0,
            changes_since_ns: now_ns,
            told_ns: NEVER_NS,
        };
        session.templates.insert(i, slot);
        self.templates += 1;
        (Lesson::New, gone)
    }

    /// Drops sessions that may give way; their open gaps are booked.
    pub fn drop_sessions(
        &mut self,
        n: usize,
        now_ns: i64,
        (book, touched): (&mut Book, &mut Touched),
    ) -> Gone {
        let mut gone = Gone::default();
        for _ in 0..n {
            let Some(mut old) = self.sessions.give_way(now_ns) else {
                break;
            };
            old.sequence.flush(book.account((self.addr.0, old.domain)));
            touched.push(old.key(self.addr));
            gone.entries += 1 + old.templates.len();
            gone.templates += old.templates.len();
        }
        self.templates -= gone.templates;
        gone
    }

    /// Drops the domains that were silent for longest.
    pub fn drop_domains(&mut self, n: usize) {
        for _ in 0..n {
            let oldest = (0..self.domains.len()).min_by_key(|&i| self.domains[i].last_seen_ns);
            oldest.map(|i| self.domains.swap_remove(i));
        }
    }

    /// Drops the templates that were not used for longest; how many there were.
    pub fn drop_templates(&mut self, n: usize) -> usize {
        (0..n).take_while(|_| self.drop_oldest_template()).count()
    }

    /// Bytes of the layouts, those that others have, too.
    pub fn template_bytes(&self) -> usize {
        let slots = self.sessions.iter().flat_map(|s| &s.templates);
        slots.map(|slot| slot.compiled.bytes()).sum()
    }

    /// Samplers of all domains.
    pub fn samplers(&self) -> usize {
        self.domains.iter().map(|d| d.samplers.len()).sum()
    }

    /// Drops the template that was not used for longest; whether there was one.
    ///
    /// Looks at all templates once for many that go: what is used afterwards is younger than all that were found, so the
    /// oldest of those that were not used since is the oldest of all. An exporter that sends ever new templates costs no more
    /// than reading them does.
    fn drop_oldest_template(&mut self) -> bool {
        for _ in 0..2 {
            while let Some((used, key, id)) = self.aged.pop() {
                let Some(at) = self.sessions.position(key) else {
                    continue;
                };
                let session = &mut self.sessions[at];
                if let Ok(i) = session.find(id)
                    && session.templates[i].used == used
                {
                    session.templates.remove(i);
                    self.templates -= 1;
                    return true;
                }
            }
            self.look_for_aged();
        }
        false
    }

    fn look_for_aged(&mut self) {
        for s in self.sessions.iter() {
            let key = s.parts();
            let slots = s.templates.iter();
            self.aged
                .extend(slots.map(|slot| (slot.used, key, slot.compiled.template.id)));
        }
        let n = self.aged.len().div_ceil(AGED_PART);
        if n < self.aged.len() {
            self.aged.select_nth_unstable(n);
            self.aged.truncate(n);
        }
        self.aged.sort_unstable_by(|a, b| b.cmp(a));
    }

    /// Forgets a template; whether it was there.
    pub fn forget(&mut self, s: usize, id: u16) -> bool {
        let session = &mut self.sessions[s];
        let Ok(i) = session.find(id) else {
            return false;
        };
        session.templates.remove(i);
        self.templates -= 1;
        true
    }

    /// The template that the other sessions of a domain lend one that never announced any, if they agree. Whether a set is
    /// one of its records is for [`divides`] to say.
    pub fn lender(&self, (version, domain): (u8, u32), id: u16) -> Option<&Arc<Compiled>> {
        let others = self.sessions.of(version, domain).filter(|o| o.announced);
        let others = others.map(|o| o.find(id).ok().map(|i| &o.templates[i].compiled));
        agreed(others, |c: &&Arc<Compiled>| &c.template)
    }

    /// The template that other sessions lend session `s`, which never announced any, for a set.
    pub fn fallback(&self, s: usize, id: u16, body: &[u8]) -> Option<&Arc<Compiled>> {
        let this = &self.sessions[s];
        if this.announced {
            return None;
        }
        let lender = self.lender((this.version, this.domain), id);
        lender.filter(|c| divides(&c.template, body))
    }

    /// Drops the templates of sessions that were silent since `before_ns`, and the sessions, whose open gaps
    /// are booked; returns the number of templates.
    pub fn expire_sessions(
        &mut self,
        before_ns: i64,
        book: &mut Book,
        touched: &mut Touched,
    ) -> usize {
        let (mut gone, addr) = (0, self.addr);
        self.sessions.retain(|session| {
            let live = session.last_seen_ns >= before_ns;
            if !live {
                let tally = book.account((addr.0, session.domain));
                session.sequence.flush(tally);
                touched.push(session.key(addr));
                gone += session.templates.len();
            }
            live
        });
        self.templates -= gone;
        gone
    }
}

const MINUTE_NS: i64 = 60_000_000_000;

/// Bytes by which a layout is found: its entry in a hash table that is half full, a list of one, two counts.
const LAYOUT_BYTES: usize = 2 * 33 + 8 + 16;

/// One in so many templates is found at one look for those that may give way.
const AGED_PART: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(element: u16, length: u16) -> [FieldSpec; 1] {
        [FieldSpec {
            pen: 0,
            element,
            length,
            scope: false,
        }]
    }

    fn header(id: u16) -> TemplateHeader {
        TemplateHeader {
            id,
            version: 9,
            options: false,
        }
    }

    fn learn(e: &mut Exporter, s: usize, id: u16, length: u16, stamp: u64) -> Lesson {
        let settings = Settings {
            exporter_templates_max: 2,
            ..Default::default()
        };
        let now = stamp as i64;
        let lesson = (&header(id), &fields(1, length)[..]);
        let house = (&mut Layouts::default(), &settings);
        e.learn(s, lesson, (now, stamp, true), house).0
    }

    #[test]
    fn the_template_unused_for_longest_gives_way() {
        let mut e = Exporter::default();
        let (s, _) = e.session(
            (1, 9, 0),
            0,
            &Settings::default(),
            (&mut Book::new(1), &mut Touched::default()),
        );
        assert_eq!(learn(&mut e, s, 256, 4, 1), Lesson::New);
        assert_eq!(learn(&mut e, s, 257, 4, 2), Lesson::New);
        assert!(e.sessions[s].template(256, 3).is_some());
        assert_eq!(learn(&mut e, s, 258, 4, 4), Lesson::New);
        assert!(e.sessions[s].template(257, 5).is_none());
        assert_eq!(e.templates, 2);
    }

    #[test]
    fn a_flood_of_templates_drops_in_order_of_use_and_looks_rarely() {
        let mut e = Exporter::default();
        let all = Settings {
            exporter_templates_max: 64,
            ..Settings::default()
        };
        let mut layouts = Layouts::default();
        let mut looks = 0;
        for n in 0..2000u64 {
            let key = (1 + (n % 3) as u16, 9, 0);
            let house = (&mut Book::new(1), &mut Touched::default());
            let (s, _) = e.session(key, 0, &all, house);
            let before = e.aged.len();
            let lesson = (&header(256 + n as u16), &fields(1, 4)[..]);
            e.learn(s, lesson, (0, n, true), (&mut layouts, &all));
            looks += usize::from(e.aged.len() > before);
            // the first is in use all the time
            let house = (&mut Book::new(1), &mut Touched::default());
            let (s, _) = e.session((1, 9, 0), 0, &all, house);
            assert!(e.sessions[s].template(256, n).is_some(), "after {n}");
        }
        assert_eq!(e.templates, 64);
        let mut left: Vec<u64> = e
            .sessions
            .iter()
            .flat_map(|s| &s.templates)
            .map(|t| t.used)
            .collect();
        left.sort_unstable();
        assert_eq!(left[..63], (1937..2000).collect::<Vec<_>>());
        assert!(looks <= 2000 / 7 + 1, "{looks}");
    }

    #[test]
    fn layouts_that_change_all_the_time_raise_the_alarm() {
        let mut e = Exporter::default();
        let (s, _) = e.session(
            (1, 9, 0),
            0,
            &Settings::default(),
            (&mut Book::new(1), &mut Touched::default()),
        );
        assert_eq!(learn(&mut e, s, 256, 1, 0), Lesson::New);
        for i in 1..=8 {
            let lesson = learn(&mut e, s, 256, 1 + i, u64::from(i));
            assert_eq!(lesson, Lesson::Changed { alarm: false });
        }
        let lesson = learn(&mut e, s, 256, 1, 9);
        assert_eq!(lesson, Lesson::Changed { alarm: true });
    }

    #[test]
    fn the_fallback_is_guarded() {
        let mut e = Exporter::default();
        let all = Settings::default();
        let (a, _) = e.session(
            (1, 9, 0),
            0,
            &all,
            (&mut Book::new(1), &mut Touched::default()),
        );
        let (b, _) = e.session(
            (2, 9, 0),
            0,
            &all,
            (&mut Book::new(1), &mut Touched::default()),
        );
        let (c, _) = e.session(
            (3, 9, 0),
            0,
            &all,
            (&mut Book::new(1), &mut Touched::default()),
        );
        let (other, _) = e.session(
            (3, 9, 1),
            0,
            &all,
            (&mut Book::new(1), &mut Touched::default()),
        );
        learn(&mut e, a, 256, 4, 1);
        assert!(e.fallback(c, 256, &[1; 8]).is_some());
        assert!(e.fallback(other, 256, &[1; 8]).is_none(), "another domain");
        learn(&mut e, b, 257, 4, 1);
        assert!(
            e.fallback(c, 256, &[1; 8]).is_none(),
            "a live session lacks it"
        );
        e.sessions[b].templates.clear();
        e.templates -= 1;
        learn(&mut e, b, 256, 4, 1);
        assert!(e.fallback(c, 256, &[1; 8]).is_some());
        learn(&mut e, b, 256, 8, 1);
        assert!(e.fallback(c, 256, &[1; 8]).is_none(), "layouts differ");
        let (mut book, mut touched) = (Book::new(1), Touched::default());
        assert_eq!(e.expire_sessions(1, &mut book, &mut touched), 2);
    }
}
