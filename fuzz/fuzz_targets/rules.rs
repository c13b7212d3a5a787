//! Rule text: reading, proving, explaining and matching with it never panic, and what is read prints as text that reads the same.
#![no_main]

use flowhouse::detect::signature::{
    Classifications, Context, Entry, Matcher, References, RuleSet, Source, Tuning, read,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let context = Context::default();
    let whole = [&b"alert tcp any any -> any any (sid:1; "[..], bytes, b")"].concat();
    for bytes in [bytes, &whole] {
        for entry in read(bytes, &context.settings) {
            if let Entry::Rule(rule) = entry {
                let text = rule.to_string();
                let again = read(text.as_bytes(), &context.settings);
                assert!(matches!(&again[..], [Entry::Rule(again)] if again.to_string() == text));
            }
        }
        let set = RuleSet::load(&[Source { file: "f", bytes }], &context);
        let mut matcher = Matcher::new(&context.settings);
        for rule in &set.rules {
            drop(rule.explain());
            matcher.reset(rule);
            for group in &rule.groups {
                matcher.run(group, bytes);
            }
        }
        let report = set.report();
        assert_eq!(report.rules, report.loaded + report.refused.len());
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Classifications::read(text);
        let _ = References::read(text);
        let _ = Tuning::read(text, &context.variables, &context.settings);
    }
});
