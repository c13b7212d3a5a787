//! The options of every subcommand that talks to ClickHouse.

use crate::sink::clickhouse::Connection;
use clap::Args;
use std::path::PathBuf;

/// Where the store is. What is not given has the default of the configuration.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Store")]
pub struct ConnectionArguments {
    /// Address of ClickHouse's HTTP interface [default: http://127.0.0.1:8123]
    #[arg(long, value_name = "URL", env = "FLOWHOUSE_CLICKHOUSE_URL")]
    pub url: Option<String>,
    /// Database [default: flowhouse]
    #[arg(long, value_name = "NAME", env = "FLOWHOUSE_CLICKHOUSE_DATABASE")]
    pub database: Option<String>,
    /// User [default: default]
    #[arg(long, value_name = "NAME", env = "FLOWHOUSE_CLICKHOUSE_USER")]
    pub user: Option<String>,
    /// File whose first line is the password
    #[arg(long, value_name = "FILE", env = "FLOWHOUSE_CLICKHOUSE_KEY_FILE")]
    pub key_file: Option<PathBuf>,
    /// Password; a key file keeps it out of the process list
    #[arg(
        long,
        value_name = "PASSWORD",
        env = "FLOWHOUSE_CLICKHOUSE_PASSWORD",
        hide_env_values = true
    )]
    pub password: Option<String>,
}

impl ConnectionArguments {
    /// The connection that the options describe, over `base`.
    pub fn over(&self, base: Connection) -> Connection {
        let given = self.password.is_some() || self.key_file.is_some();
        let key = match given {
            true => (self.password.clone(), self.key_file.clone()),
            false => (base.password, base.key_file),
        };
        Connection {
            url: self.url.clone().unwrap_or(base.url),
            database: self.database.clone().unwrap_or(base.database),
            user: self.user.clone().unwrap_or(base.user),
            password: key.0,
            key_file: key.1,
        }
    }
}
