//! Any text as configuration: it is taken or refused with faults that have their place in it; nothing panics.
#![no_main]

use flowhouse::config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(faults) = Config::from_text(text) {
        assert!(!faults.is_empty());
        assert!(faults.iter().all(|f| f.line <= text.lines().count() + 1));
    }
});
