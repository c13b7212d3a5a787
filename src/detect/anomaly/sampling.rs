//! What is said of rows of which not every packet was seen.

/// That figures are estimates, where not every packet was seen.
pub(super) fn estimated(interval: u32) -> Option<(&'static str, String)> {
    (interval > 1).then(|| {
        let how = format!("estimates from 1 in {interval} packets");
        ("figures", how)
    })
}

/// That numbers of different things are estimates: bits are counted, and not what set them.
pub(super) fn counted() -> (&'static str, String) {
    let how = "different hosts, ports and names are estimates (linear counting): nearly exact for some dozens, within some percent beyond";
    ("counts", how.to_owned())
}

/// What sampling hides.
pub(super) fn sampled(interval: u32) -> Vec<String> {
    match interval {
        0 | 1 => vec![],
        n => vec![format!(
            "1 in {n} packets was seen: what answered, and small flows, may be missing"
        )],
    }
}
