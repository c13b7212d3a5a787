//! Sections sent once each, from the command line.

use super::deliver::Delivery;
use super::verdict::judge;
use super::{Connection, Endpoints};
use crate::sink::native::EncodedSection;
use crate::sink::{Error, Settings};
use std::sync::Arc;

/// Sends sections with their tokens, without a spool behind it.
#[derive(Debug)]
pub struct Once {
    endpoints: Arc<Endpoints>,
    delivery: Delivery,
}

/// What the store did not take.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub struct Unsent {
    /// What it said, or what became of the connection.
    pub text: String,
    /// Whether it surely has none of the rows.
    pub untouched: bool,
}

impl Once {
    /// To the store of a connection.
    ///
    /// # Errors
    /// When the key file cannot be read.
    pub fn new(connection: &Connection) -> Result<Once, Error> {
        let endpoints = Endpoints::new(connection, Arc::default())?;
        let settings = Settings::default();
        let delivery = Delivery::new(endpoints.clone(), &settings, Arc::default());
        Ok(Once {
            endpoints,
            delivery,
        })
    }

    /// Sends a section.
    ///
    /// # Errors
    /// What the store says.
    pub async fn send(&self, section: &EncodedSection) -> Result<(), Unsent> {
        let route = self.endpoints.route(section.table, &section.token);
        let sent = self.delivery.insert(&route, section).await;
        sent.map_err(|error| {
            let fault = judge(&error, &route.failed(&error));
            Unsent {
                untouched: fault.untouched,
                text: fault.text,
            }
        })
    }

    /// How many rows of a section of `flows` the store has.
    ///
    /// # Errors
    /// What the store says.
    pub async fn count(&self, section: &EncodedSection) -> Result<u64, Unsent> {
        let count = self.delivery.count(section).await;
        count.map_err(|fault| Unsent {
            untouched: false,
            text: fault.text,
        })
    }
}
