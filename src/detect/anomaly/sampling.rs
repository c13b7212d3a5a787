//! What is said of rows of which not every packet was seen.

/// That figures are estimates, where not every packet was seen.
pub(super) fn estimated(interval: u32) -> Option<(&'static str, String)> {
    (interval > 1).then(|| {
        let how = format!("estimates from 1 in {interval} packets");
        ("figures", how)
    })
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
