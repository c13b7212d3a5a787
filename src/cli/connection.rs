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
    /// File whose first line is the password; without one, the password is taken from FLOWHOUSE_CLICKHOUSE_PASSWORD
    #[arg(
        long,
        alias = "key-file",
        value_name = "FILE",
        env = "FLOWHOUSE_CLICKHOUSE_PASSWORD_FILE"
    )]
    pub password_file: Option<PathBuf>,
    /// PEM file of the authority that issued the store's certificate [default: those of the system]
    #[arg(long, value_name = "FILE", env = "FLOWHOUSE_CLICKHOUSE_CA_FILE")]
    pub ca_file: Option<PathBuf>,
    /// PEM file of the client certificate, if the store asks for one
    #[arg(long, value_name = "FILE", requires = "certificate_key_file")]
    pub certificate_file: Option<PathBuf>,
    /// PEM file of its private key
    #[arg(long, value_name = "FILE", requires = "certificate_file")]
    pub certificate_key_file: Option<PathBuf>,
}

impl ConnectionArguments {
    /// Whether an address was given on the command line, and not for all subcommands in the environment.
    pub fn is_asked_for(&self) -> bool {
        self.url.is_some() && self.url != std::env::var("FLOWHOUSE_CLICKHOUSE_URL").ok()
    }

    /// The connection that the options describe, over `base`.
    pub fn over(&self, base: Connection) -> Connection {
        let mut c = base;
        if let Some(url) = &self.url {
            c.at(url);
        }
        if self.password_file.is_some() {
            c.password = None;
        }
        let set = |to: &mut Option<PathBuf>, from: &Option<PathBuf>| {
            if from.is_some() {
                to.clone_from(from);
            }
        };
        set(&mut c.password_file, &self.password_file);
        set(&mut c.ca_file, &self.ca_file);
        set(&mut c.certificate_file, &self.certificate_file);
        set(&mut c.certificate_key_file, &self.certificate_key_file);
        c.database = self.database.clone().unwrap_or(c.database);
        c.user = self.user.clone().unwrap_or(c.user);
        c
    }
}
