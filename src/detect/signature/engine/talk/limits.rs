//! What one conversation may keep, and what becomes of what is more: it is not read, and counted.

use super::Said;
use crate::detect::signature::engine::wanted::Wanted;
use crate::detect::signature::settings::EngineSettings;

/// How much of bodies, messages and what is open is kept, when bodies are looked at, and what is wanted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub body_max: usize,
    pub body_step: usize,
    pub message_max: usize,
    pub items_max: usize,
    pub wanted: Wanted,
}

impl Limits {
    pub fn of(settings: &EngineSettings, wanted: &Wanted) -> Self {
        Limits {
            body_max: settings.body_bytes_max,
            body_step: settings.body_step_bytes,
            message_max: settings.message_bytes_max,
            items_max: settings.talk_items_max,
            wanted: *wanted,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Limits::of(&EngineSettings::default(), &Wanted::default())
    }
}

impl Said {
    /// A limit of the conversation was met.
    #[cold]
    pub(super) fn lose(&mut self) {
        self.lost += 1;
    }

    /// Keeps what is left of a message that is not whole. One that is longer than is waited for is not read.
    pub(super) fn wait(&mut self, waiting: Vec<u8>, left: usize) -> Vec<u8> {
        self.wait_for(waiting, left, self.limits.message_max)
    }

    /// Likewise, with a limit of its own: the end of a line is looked for again with every piece.
    pub(super) fn wait_for(&mut self, waiting: Vec<u8>, left: usize, most: usize) -> Vec<u8> {
        if left > most.min(self.limits.message_max) {
            self.lose();
            return vec![];
        }
        what_waits(waiting, left)
    }
}

/// What is left of bytes of which some were taken: where none were, as with a long message that comes in short pieces, nothing is copied.
pub(super) fn what_waits(mut waiting: Vec<u8>, left: usize) -> Vec<u8> {
    if left == 0 {
        return vec![];
    }
    waiting.drain(..waiting.len() - left);
    waiting
}

#[cfg(test)]
mod tests {
    use super::super::{FILE, More, OPEN_MAX};
    use super::*;
    use crate::detect::signature::engine::unit::Unit;
    use crate::model::AppProto;

    /// One that keeps two things of a kind, and waits for a hundred bytes.
    fn said(proto: AppProto) -> Said {
        let settings = EngineSettings {
            message_bytes_max: 100,
            talk_items_max: 2,
            ..EngineSettings::default()
        };
        Said {
            proto,
            is_stream: true,
            limits: Limits::of(&settings, &Wanted::default()),
            ..Said::default()
        }
    }

    #[test]
    fn messages_that_are_too_long_are_counted_and_not_kept() {
        let long = |proto, bytes: &[u8]| {
            let mut said = said(proto);
            bytes.chunks(10).for_each(|b| said.bytes(0, b));
            let room = said.more.as_ref().map_or(0, |m| m.room());
            assert!(room < size_of::<More>() + 1_000, "{proto:?}: {room}");
            said.lost
        };
        let modbus = [&[0, 1, 0, 0, 0, 250, 1][..], &[0; 200]].concat();
        assert_eq!(long(AppProto::Modbus, &modbus), 1);
        assert_eq!(long(AppProto::Modbus, &modbus[..100]), 0);
        let smb = [&[0, 0, 4, 0][..], &[0; 200]].concat();
        assert_eq!(long(AppProto::Smb, &smb), 1);
        assert_eq!(long(AppProto::Krb5, &[0, 0, 1, 0]), 1);
        assert_eq!(long(AppProto::Mqtt, &[0x30, 0x80, 0x10]), 1);
        assert_eq!(long(AppProto::Smtp, &[b'a'; 150]), 1);
        let rpc = [&[5, 0, 0, 3, 16, 0, 0, 0, 0, 1][..], &[0; 150]].concat();
        assert_eq!(long(AppProto::Dcerpc, &rpc), 1);
        assert_eq!(
            long(AppProto::Nfs, &[&[0x80, 0, 1, 0][..], &[0; 150]].concat()),
            1
        );
    }

    #[test]
    fn what_gives_way_within_a_conversation_is_counted() {
        let mut smb = said(AppProto::Smb);
        (0..5).for_each(|n| smb.smb_create(n, b"name"));
        assert_eq!(smb.lost, 3);
        (0..5).for_each(|n| smb.smb_file(0, (n, 0), b"what is written"));
        assert_eq!(smb.lost, 6);
        let mut many = said(AppProto::Dns);
        (0..OPEN_MAX).for_each(|_| many.begin(0).is_whole = true);
        assert_eq!(many.lost, 0);
        many.begin(0);
        assert_eq!(many.lost, OPEN_MAX as u64 / 2);
        let mut unit = Unit::new(0, 0, Wanted::default());
        (0..1_030).for_each(|_| unit.add(FILE, b"x"));
        assert_eq!((unit.take_cut(), unit.take_cut()), (6, 0));
    }

    #[test]
    fn what_a_side_says_is_counted_wherever_it_is_kept() {
        let mut unit = Unit::new(0, 0, Wanted::default());
        let grows = |unit: &Unit, before: usize, by: usize| assert!(unit.room() >= before + by);
        let before = unit.room();
        unit.part("filemd5", vec![0; 5_000]);
        grows(&unit, before, 5_000);
        let before = unit.room();
        unit.word("dce_iface", "a".repeat(3_000));
        grows(&unit, before, 3_000);
        let before = unit.room();
        (0..1_000).for_each(|n| unit.number("dns.rrtype", n));
        grows(&unit, before, 8_000);
        let before = unit.room();
        unit.matched.extend(0..1_000);
        grows(&unit, before, 4_000);
    }
}
