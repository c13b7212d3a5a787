//! Sessions: connections that outlive a request, each used by one request at a time.

use super::engine::{Connection, Engine};
use super::error::{Exception, Name};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, OwnedMutexGuard};

/// All sessions of the store.
pub struct Sessions {
    all: Mutex<HashMap<String, Entry>>,
    sessions_max: usize,
}

struct Entry {
    connection: Arc<Mutex<Connection>>,
    expires: Instant,
}

impl Sessions {
    /// At most `sessions_max` sessions.
    pub fn new(sessions_max: usize) -> Sessions {
        Sessions {
            all: Mutex::new(HashMap::new()),
            sessions_max,
        }
    }

    /// The connection of session `id`, made when it is new.
    pub fn take(
        &self,
        engine: &Engine,
        id: &str,
        idle: Duration,
        must_exist: bool,
    ) -> Result<OwnedMutexGuard<Connection>, Exception> {
        let mut all = self.all.blocking_lock();
        let now = Instant::now();
        all.retain(|_, entry| entry.expires > now || entry.connection.try_lock().is_err());
        if !all.contains_key(id) {
            if must_exist {
                return Err(Exception::new(
                    Name::SessionNotFound,
                    format!("Session {id} not found"),
                ));
            }
            if all.len() >= self.sessions_max {
                let text = format!("Too many sessions, at most {}", self.sessions_max);
                return Err(Exception::new(Name::TooManyQueries, text));
            }
            let connection = Arc::new(Mutex::new(engine.connect()?));
            all.insert(
                id.to_owned(),
                Entry {
                    connection,
                    expires: now,
                },
            );
        }
        let locked = || {
            Exception::new(
                Name::SessionIsLocked,
                format!("Session {id} is locked by a concurrent client"),
            )
        };
        let entry = all.get_mut(id).ok_or_else(locked)?;
        let guard = Arc::clone(&entry.connection)
            .try_lock_owned()
            .map_err(|_| locked())?;
        entry.expires = now + idle;
        Ok(guard)
    }
}
