//! What a process holds: memory, descriptors, files, read from outside.

use std::fs;
use std::path::Path;

/// One look at a process.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Resident memory, MiB.
    pub mib: f64,
    pub descriptors: usize,
    pub threads: usize,
    /// Files below its state directory.
    pub files: usize,
}

impl Look {
    pub fn at(id: u32, state: &Path) -> Look {
        let status = fs::read_to_string(format!("/proc/{id}/status")).expect("it runs");
        let field = |name: &str| {
            let line = status.lines().find_map(|l| l.strip_prefix(name));
            let value = line.and_then(|l| l.split_whitespace().next());
            value.and_then(|v| v.parse::<f64>().ok()).expect("a number")
        };
        let descriptors = fs::read_dir(format!("/proc/{id}/fd")).expect("it runs");
        Look {
            mib: field("VmRSS:") / 1024.0,
            descriptors: descriptors.count(),
            threads: field("Threads:") as usize,
            files: files(state),
        }
    }
}

fn files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let count = |e: fs::DirEntry| match e.file_type().is_ok_and(|t| t.is_dir()) {
        true => files(&e.path()),
        false => 1,
    };
    entries.map(count).sum()
}

/// The middle one.
pub fn median(of: impl IntoIterator<Item = f64>) -> f64 {
    let mut all: Vec<f64> = of.into_iter().collect();
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}
