//! What makes the engines of shards, all of the same rules.

use super::super::settings::{EngineSettings, Settings};
use super::super::state::Shared;
use super::{Engine, Program};
use crate::reassemble;
use std::sync::Arc;

/// Rules, what shards remember together, and how packets are matched.
#[derive(Clone, Debug)]
pub struct Maker {
    program: Arc<Program>,
    shared: Arc<Shared>,
    rules: Settings,
    engine: EngineSettings,
    reassemble: reassemble::Settings,
    seed: u64,
}

impl Maker {
    /// With nothing remembered. `seed` is a secret in `run` and a constant in `replay`.
    pub fn new(
        program: Program,
        (rules, engine): (&Settings, &EngineSettings),
        reassemble: &reassemble::Settings,
        seed: u64,
    ) -> Self {
        Maker {
            program: Arc::new(program),
            shared: Arc::new(Shared::new(rules, seed)),
            rules: rules.clone(),
            engine: engine.clone(),
            reassemble: reassemble.clone(),
            seed,
        }
    }

    /// The same with other rules; what was remembered stays.
    pub fn with(&self, program: Program) -> Self {
        Maker {
            program: Arc::new(program),
            ..self.clone()
        }
    }

    /// The rules.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// What shards remember together.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// An engine for a shard.
    pub fn engine(&self) -> Engine {
        Engine::new(
            self.program.clone(),
            self.shared.clone(),
            &self.rules,
            &self.engine,
            &self.reassemble,
            self.seed,
        )
    }
}
