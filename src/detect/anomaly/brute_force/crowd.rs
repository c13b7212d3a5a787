//! Guesses at one service that many sources share, a few of each.
//!
//! Who mistypes is let in by and by, and so are others; of a crowd that guesses hardly anybody is. Only services count that say who is let in, or whose
//! sessions show it.

use super::super::Ctx;
use super::super::arena::Held;
use super::super::keyed::Distinct;
use super::super::named::Hosts;
use super::spray::Refusal;
use super::{figure, finding};
use crate::detect::incident::{Growth, Handle, PEERS};
use crate::model::{Addr, Entity, EntityRole};

/// Who is refused by a service, and who is let in, within an hour.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    began_ms: i64,
    first_ms: i64,
    last_ms: i64,
    refused: u32,
    sources: Hosts<8, 32>,
    welcome: Distinct<4>,
    handle: Option<Handle>,
}

impl Held for Crowd {
    fn suspicion(&self) -> u32 {
        if self.handle.is_some() {
            u32::MAX
        } else {
            self.sources.count()
        }
    }
    fn last_ms(&self) -> i64 {
        self.last_ms
    }
}

/// Whether a service says whom it lets in.
pub(super) fn says_who(service: &str) -> bool {
    matches!(
        service,
        "ftp" | "smtp" | "pop3" | "imap" | "smb" | "mysql" | "postgresql" | "ssh"
    )
}

impl Crowd {
    fn pass(&mut self, ctx: &Ctx<'_>) {
        if ctx.now_ms.saturating_sub(self.began_ms) > WINDOW_MS {
            *self = Crowd {
                began_ms: ctx.now_ms,
                handle: self.handle,
                ..Crowd::default()
            };
        }
        self.last_ms = ctx.now_ms;
    }

    /// Somebody was let in.
    pub fn welcomes(&mut self, ctx: &Ctx<'_>, client: &Addr) {
        self.pass(ctx);
        self.welcome.add(ctx.keyed.hash(client));
    }

    /// Somebody was refused, or seems to have been.
    pub fn refuses(&mut self, ctx: &mut Ctx<'_>, r: &Refusal) {
        self.pass(ctx);
        if self.refused == 0 {
            self.first_ms = r.first_ms;
        }
        self.refused = self.refused.saturating_add(1);
        self.sources.add(r.client, ctx.keyed.hash(&r.client));
        let sources = self.sources.count();
        if let Some(handle) = self.handle {
            let growth = Growth {
                last_ms: r.last_ms,
                count: 1,
                peer: Some(r.client),
                peers_total: sources.into(),
            };
            if ctx.incidents.grow(handle, &growth) {
                ctx.incidents.figure(handle, SOURCES, sources.into());
                ctx.incidents.show(handle, r.flow.clone());
                return;
            }
            self.handle = None;
        }
        let welcome = self.welcome.count();
        if sources < SOURCES_MIN || welcome.saturating_mul(WELCOME) > sources {
            return;
        }
        let mut finding = finding(
            (r.client, r.server, r.port),
            (r.service, "brute_force.crowd"),
            (self.first_ms, r.last_ms, self.refused.into()),
            vec![
                figure(SOURCES, sources.into(), SOURCES_MIN.into()),
                figure(
                    "sources that were let in",
                    welcome.into(),
                    f64::from(sources / WELCOME),
                ),
            ],
            format!(
                "fewer than {SOURCES_MIN} sources within an hour, or one in {WELCOME} of them let in"
            ),
        );
        finding.entity = Entity::Host(r.server);
        finding.role = EntityRole::Victim;
        finding.about = format!("{} on {} by {PEERS} sources", r.service, r.server);
        finding.peers = self.sources.named(r.client);
        finding.peers_total = sources.into();
        self.handle = ctx.incidents.report(ctx.now_ms, finding);
        if let Some(handle) = self.handle {
            ctx.incidents.show(handle, r.flow.clone());
        }
    }
}

const SOURCES: &str = "sources that were refused within an hour";
const SOURCES_MIN: u32 = 30;
/// Of so many that are refused one may be let in.
const WELCOME: u32 = 5;
const WINDOW_MS: i64 = 3_600_000;
