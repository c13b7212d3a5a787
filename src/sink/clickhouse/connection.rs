//! Where the store is and how to enter.

use crate::sink::Error;
use clickhouse::{Client, Compression};
use serde::Deserialize;
use std::fmt;
use std::path::PathBuf;

/// `[clickhouse]`: one endpoint of ClickHouse's HTTP interface.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Connection {
    /// Address, `http://HOST:PORT`.
    pub url: String,
    /// Database with the tables of the schema.
    pub database: String,
    /// User.
    pub user: String,
    /// Password; better kept in `key_file`.
    pub password: Option<String>,
    /// File whose first line is the password.
    pub key_file: Option<PathBuf>,
}

impl Default for Connection {
    fn default() -> Self {
        Connection {
            url: "http://127.0.0.1:8123".into(),
            database: "flowhouse".into(),
            user: "default".into(),
            password: None,
            key_file: None,
        }
    }
}

impl Connection {
    /// A client of this endpoint. Reads the key file; connects only when used.
    pub fn client(&self) -> Result<Client, Error> {
        let client = Client::default()
            .with_url(&self.url)
            .with_database(&self.database)
            .with_user(&self.user)
            .with_product_info("flowhouse", env!("CARGO_PKG_VERSION"))
            .with_compression(Compression::None);
        Ok(match self.key()? {
            Some(key) => client.with_password(key),
            None => client,
        })
    }

    fn key(&self) -> Result<Option<String>, Error> {
        let Some(path) = &self.key_file else {
            return Ok(self.password.clone());
        };
        let text = std::fs::read_to_string(path).map_err(|source| Error::KeyFile {
            path: path.clone(),
            source,
        })?;
        Ok(text.lines().next().map(|l| l.trim().to_owned()))
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // without the password
        f.debug_struct("Connection")
            .field("url", &self.url)
            .field("database", &self.database)
            .field("user", &self.user)
            .field("key_file", &self.key_file)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_stays_out_of_logs() {
        let c = Connection {
            password: Some("hunter2".into()),
            ..Default::default()
        };
        assert!(!format!("{c:?}").contains("hunter2"));
    }

    #[test]
    fn the_key_is_the_first_line_of_its_file() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "abc \nsecond\n").expect("written");
        let mut c = Connection {
            key_file: Some(file.path().into()),
            ..Default::default()
        };
        assert_eq!(c.key().expect("readable").as_deref(), Some("abc"));
        c.key_file = Some("/nonexistent/key".into());
        assert!(c.client().is_err());
    }
}
