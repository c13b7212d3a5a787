//! Rules of a running collector: read, arranged, and told of in the log.

use crate::config::Config;
use crate::detect::signature::engine::{Cache, Maker, Program};
use crate::detect::signature::{Loaded, RuleSet};
use rand::Rng;

/// Reads the rules that a configuration names and arranges them; none where it names none. They go on in the place of those `before`, in
/// whose order nothing changes.
///
/// # Errors
/// Which file, variable or limit is at fault; the text begins with the key.
pub fn load(config: &Config, before: Option<&Maker>) -> Result<Option<Maker>, String> {
    let settings = &config.signatures;
    if settings.rules.is_empty() {
        return Ok(None);
    }
    let fault = |why: String| format!("signatures.rules: {why}");
    let loaded = settings.files().load_whole().map_err(fault)?;
    let program = before.map(|m| &**m.program());
    let limits = &settings.limits;
    let cache = settings.rule_cache_file.as_ref().map(Cache::at);
    let (set, tuning) = (&loaded.set, &loaded.tuning);
    let program =
        Program::following(set, tuning, limits, program, cache.as_ref()).map_err(fault)?;
    for fault in program.cache_use().faults() {
        tracing::warn!("signatures.rule_cache_file is {fault}");
    }
    tell(&loaded, program.generation());
    Ok(Some(match before {
        Some(before) => before.with(program),
        None => {
            let seed = rand::rng().random();
            let reassemble = config.reassemble.keyed(seed);
            Maker::new(program, (limits, &settings.engine), &reassemble, seed)
        }
    }))
}

/// What was loaded, in one line.
pub fn summary(set: &RuleSet) -> String {
    let (loaded, refused) = (set.rules.len(), set.refused.len());
    format!("{loaded} rules loaded, {refused} refused")
}

fn tell(loaded: &Loaded, generation: u64) {
    let refused = &loaded.set.refused;
    loaded
        .notes
        .iter()
        .for_each(|n| tracing::warn!("rules: {n}"));
    for refused in refused.iter().take(SHOWN_MAX) {
        tracing::warn!("rules: {refused}");
    }
    if refused.len() > SHOWN_MAX {
        let more = refused.len() - SHOWN_MAX;
        tracing::warn!("rules: {more} more are refused; `flowhouse rules check` names each");
    }
    let summary = summary(&loaded.set);
    tracing::info!("rules: {summary}, generation {generation}");
}

/// Refused rules that are logged one by one.
const SHOWN_MAX: usize = 20;
