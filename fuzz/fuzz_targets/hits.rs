//! Rules on packets: rules first, frames behind an empty line. Whatever both are, nothing panics, and what is kept is bounded.
#![no_main]

use flowhouse::detect::signature::engine::{Engine, Program};
use flowhouse::detect::signature::state::Shared;
use flowhouse::detect::signature::{Context, EngineSettings, RuleSet, Source, Tuning};
use flowhouse::dissect::{Dissected, Dissector, FrameHead};
use flowhouse::ledger::Tally;
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

/// Rules that are always there: one of each kind.
const RULES: &str = "alert ip any any -> any any (msg:\"a\"; sid:1;)
alert tcp any any -> any any (content:\"ab\"; content:\"c\"; distance:1; within:4; sid:2;)
alert tcp any any -> any any (content:\"a\"; depth:4; flowbits:set,x; sid:3;)
alert http any any -> any any (http.uri; content:\"/\"; http.header; content:\":\"; sid:4;)
alert http any any -> any any (file.data; content:\"a\"; sid:5;)
alert dns any any -> any any (dns.query; dotprefix; content:\".a\"; sid:6;)
alert tls any any -> any any (tls.sni; content:\"a\"; sid:7;)
alert udp any any -> any any (byte_test:2,>,4,0; pcre:\"/^.a+/\"; threshold:type both,track by_src,count 2,seconds 5; sid:8;)
alert tcp any any -> any any (flags:S; window:1024; tcp.mss:<536; sid:9;)
alert icmp any any -> any any (itype:8; icmp_id:1; sid:10;)
alert smtp any any -> any any (file.data; content:\"a\"; sid:11;)
alert smb any any -> any any (file.data; content:\"a\"; sid:12;)
alert tcp any any -> any any (flow:established; flowbits:isset,x; content:!\"q\"; sid:13;)
";

fuzz_target!(|bytes: &[u8]| {
    let context = Context::default();
    let cut = bytes.windows(2).position(|w| w == b"\n\n");
    let (rules, frames) = bytes.split_at(cut.map_or(0, |n| n + 2));
    let sources = [RULES.as_bytes(), rules].map(|bytes| Source { file: "f", bytes });
    let set = RuleSet::load(&sources, &context);
    let Ok(program) = Program::new(&set, &Tuning::default(), &context.settings, None) else {
        return;
    };
    let settings = EngineSettings {
        flows_max: 4,
        midstream: true,
        checksums: false,
        ..EngineSettings::default()
    };
    let shared = Arc::new(Shared::new(&context.settings, 0));
    let reassemble = Default::default();
    let mut engine = Engine::new(
        Arc::new(program),
        shared,
        &context.settings,
        &settings,
        &reassemble,
        0,
    );
    let (mut dissector, mut tally) = (Dissector::new(&Default::default()), Tally::default());
    let (mut now, mut frame, mut rest) = (0i64, 0u64, frames);
    // each frame is an IP packet with the time since the one before it and its length in front
    while let Some(([later, length], after)) = rest.split_first_chunk::<2>() {
        let (packet, next) = after.split_at(usize::from(*length).min(after.len()));
        rest = next;
        frame += 1;
        now += i64::from(*later) << 30;
        engine.advance(now, &mut tally);
        let head = FrameHead {
            time_ns: now,
            frame,
            interface: 1,
            link_type: 101,
            wire_len: (*length).into(),
        };
        if let Dissected::Ip(packet) = dissector.frame(head, packet) {
            engine.packet(&packet, &mut tally);
        }
        assert!(engine.flows() <= settings.flows_max);
        let mut line = vec![];
        for alert in engine.take_alerts() {
            alert.write(&mut line);
        }
    }
    engine.finish(&mut tally);
    assert_eq!(engine.flows(), 0);
});
