//! Capture files of any content: the reader ends, every frame has one outcome, frames are counted from 1 in order,
//! and the same input gives the same datagrams.
#![no_main]

use flowhouse::decode::looks_like_export;
use flowhouse::dissect;
use flowhouse::model::Datagram;
use flowhouse::receive::{Captures, Selection};
use libfuzzer_sys::fuzz_target;
use std::path::PathBuf;

fuzz_target!(|bytes: &[u8]| {
    let file = Temporary::holding(bytes);
    let Ok(captures) = Captures::open(&[&file.0], looks_like_export) else {
        return;
    };
    let mut last = 0;
    captures.frames(|frame| {
        assert_eq!(frame.number, last + 1);
        last += 1;
        if let Some(view) = dissect::frame(frame.link_type, frame.captured) {
            assert!(view.end <= frame.captured.len());
            assert!(view.transport_at.is_none_or(|at| at <= view.end));
        }
    });
    let run = |selection: &Selection| {
        let mut seen = Vec::new();
        let counts = captures.read(selection, |d: &Datagram<'_>| {
            seen.push((d.number, d.frame, d.payload.to_vec()));
        });
        let found = counts.frames_export + counts.frames_traffic;
        let kinds = found + counts.frames_other + counts.frames_rejected;
        assert_eq!(counts.frames, kinds);
        assert_eq!(counts.datagrams, seen.len() as u64);
        assert!(seen.is_sorted_by_key(|s| s.1));
        seen
    };
    let all = run(&Selection::Export);
    assert_eq!(all, run(&Selection::Export));
    let auto = Selection::Auto {
        ports: vec![2055],
        looks_like_export,
    };
    assert!(run(&auto).iter().all(|d| all.contains(d)));
});

/// A file that goes when it is dropped.
struct Temporary(PathBuf);

impl Temporary {
    fn holding(bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("flowhouse-fuzz-{}", std::process::id()));
        std::fs::write(&path, bytes).expect("a file in the temporary directory");
        Temporary(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
