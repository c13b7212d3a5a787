//! Frames of any link type in sequence, through dissector and fragments: nothing panics, places stay in order and within the
//! bytes, every fragment is accounted for.
#![no_main]

use flowhouse::dissect::{Dissected, Dissector, FrameHead, Settings, ethernet, route};
use flowhouse::ledger::{Gauges, Tally, laws};
use flowhouse::reassemble::fragment::{Added, Fragments};
use flowhouse::reassemble::settings::FragmentSettings;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let settings = FragmentSettings {
        packets_max: 4,
        bytes_max: 4096,
        pieces_max: 8,
        wait_s: 2,
        ..FragmentSettings::default()
    };
    let mut dissector = Dissector::new(&Settings::default());
    let mut fragments = Fragments::new(&settings);
    let mut tally = Tally::default();
    let (mut now, mut seen, mut out) = (0i64, 0u64, 0u64);
    let mut rest = bytes;
    // each frame has its link type, the time since the one before it, and its length in front
    while let Some(([high, low, later, length], after)) = rest.split_first_chunk::<4>() {
        let length = u32::from(high >> 1 & 7) << 8 | u32::from(*length);
        let (frame, next) = after.split_at((length as usize).min(after.len()));
        rest = next;
        now += i64::from(*later) << 24;
        let head = FrameHead {
            time_ns: now,
            frame: seen + 1,
            interface: 1,
            link_type: u16::from_be_bytes([high & 1, *low]),
            wire_len: length << (high >> 6),
        };
        while let Some(lost) = fragments.give_up(now, &mut tally) {
            out += u64::from(lost.frames);
            let outer = lost.envelope.clone();
            dissector.whole(head, &outer, (lost.frames, lost.ip_len), lost.bytes);
        }
        ethernet(frame);
        let routed = route(head.link_type, frame).is_some();
        let Dissected::Ip(view) = dissector.frame(head, frame) else {
            continue;
        };
        assert!(routed && view.end as usize <= frame.len());
        assert!(view.transport_at <= view.payload_at && view.payload_at <= view.end);
        if view.fragment.is_none() {
            continue;
        }
        seen += 1;
        match fragments.add(&view, &mut tally) {
            Added::Waiting => {}
            Added::Refused => out += 1,
            Added::Whole(whole) => {
                out += u64::from(whole.frames);
                for bytes in [Some(whole.bytes), whole.other].into_iter().flatten() {
                    let parts = (whole.frames, whole.ip_len);
                    if let Dissected::Ip(v) = dissector.whole(head, whole.envelope, parts, bytes) {
                        assert!(v.payload_at <= v.end && v.end as usize <= bytes.len());
                    }
                }
            }
        }
    }
    while let Some(lost) = fragments.give_up(i64::MAX, &mut tally) {
        out += u64::from(lost.frames);
    }
    assert_eq!(seen, out);
    for law in laws(&tally, &Gauges::default()) {
        assert!(law.holds(), "{law:?}");
    }
});
