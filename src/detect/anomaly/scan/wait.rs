//! Contacts of which it is known later whether they failed: what waits, and what speaks for who asks many.

use super::super::answers::{Answers, Awaited, half_open};
use super::super::sighting::FlowSeen;
use super::super::{Ctx, Hashes, NEAR, is_group};
use super::Scan;
use super::contact::{Contact, TCP, contact, is_half_open, waits_for_answer};

impl Scan {
    /// Whether it failed, and had been tried before.
    pub fn flow(
        &mut self,
        ctx: &mut Ctx<'_>,
        (f, h): (&FlowSeen, Hashes),
        answered: bool,
        answers: &mut Answers,
    ) -> bool {
        if f.proto == TCP && !f.metered && !self.tells_flags(f) {
            return false;
        }
        let Some(mut first) = contact(f, answered) else {
            return false;
        };
        if is_group(&f.dst) || f.src == f.dst || ctx.is_allowed(&f.src) {
            return false;
        }
        let (awaited, again) = match () {
            () if is_half_open(f, &first) => {
                let key = half_open(f, h);
                let n = answers.again(key);
                first.failed = n < ASKED_AGAIN;
                (Some((Awaited::Again, key)), n > 0)
            }
            () if waits_for_answer(f, &first) => (Some((Awaited::Answer, h.back)), false),
            () => (None, false),
        };
        let waits = |(awaited, _): &(Awaited, u64)| first.failed || *awaited == Awaited::Answer;
        let Some(awaited) = awaited.filter(waits) else {
            return self.contact(ctx, (f, h), first) || again;
        };
        for (ahead, found) in [(NEAR, false), (NEAR / 2, true)] {
            if let Some(h) = answers.coming(awaited.0, ahead) {
                self.call(h, found);
            }
        }
        if let Some(oldest) = answers.wait(ctx, (f, h, first), awaited) {
            self.contact(ctx, (&oldest.row(), oldest.hashes()), oldest.contact);
        }
        again
    }

    /// Whether the exporter of a row of TCP tells flags: some say of all that there are none.
    fn tells_flags(&mut self, f: &FlowSeen) -> bool {
        let exporter = u128::from_be_bytes(f.exporter.0);
        let hash = (exporter as u64 ^ (exporter >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        if f.tcp_flags.is_some_and(|t| t != 0) {
            self.flags.add(hash);
            return true;
        }
        self.flags.has(hash)
    }

    /// Makes room for what is answered of a port that nothing failed on yet.
    pub(super) fn begin_answered(&mut self, ctx: &Ctx<'_>, f: &FlowSeen, c: Contact, h: Hashes) {
        let Some(detail) = self.details.entry_at(ctx.keyed, h.src, &f.src) else {
            return;
        };
        if detail.contacts == 0 {
            detail.last_ms = ctx.now_ms;
            detail.ports.begin((c.proto, c.port), f.start_ms);
        }
    }
}

/// Who was seen to ask so often whether a service is there looks for none.
const ASKED_AGAIN: usize = 2;
