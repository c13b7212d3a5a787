//! Where the store is and how to enter.

use super::secret::quiet;
use super::tls::{Material, explain, knock};
use super::verdict::exception_code;
use crate::sink::Error;
use clickhouse::error::Error as StoreError;
use clickhouse::{Client, Compression};
use serde::Deserialize;
use std::fmt;
use std::path::PathBuf;

/// `[clickhouse]`: one endpoint of ClickHouse's HTTP interface, the replicas of one shard, or several shards.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Connection {
    /// Address, `http://HOST:PORT` or `https://HOST:PORT`.
    pub url: String,
    /// Addresses of the replicas of one shard, the preferred one first; instead of `url`.
    pub urls: Vec<String>,
    /// Addresses of the replicas of each of several shards; instead of `url` and `urls`.
    pub shards: Vec<Vec<String>>,
    /// Name of the cluster whose form of the schema the store has (`ON CLUSTER`): rows go to `<table>_local`.
    pub cluster: Option<String>,
    /// Database with the tables of the schema.
    pub database: String,
    /// User.
    pub user: String,
    /// Password; better kept in `password_file` or in the environment.
    #[serde(deserialize_with = "quiet")]
    pub password: Option<String>,
    /// File whose first line is the password; read again when it changes.
    #[serde(alias = "key_file")]
    pub password_file: Option<PathBuf>,
    /// PEM file of the authorities that may have issued the store's certificate; default: those of the system.
    pub ca_file: Option<PathBuf>,
    /// PEM file of our own certificate (and what is between it and its authority), if the store asks for one.
    pub certificate_file: Option<PathBuf>,
    /// PEM file of its private key.
    pub certificate_key_file: Option<PathBuf>,
    /// Name that the store's certificate is held against, where it is not the host in the address.
    pub server_name: Option<String>,
    /// How many replicas must have the rows before an INSERT counts: "auto" (most of them) or a number from 2.
    pub insert_quorum: Option<String>,
    /// How often each endpoint is asked whether it is well, seconds.
    pub health_interval_s: u64,
    /// Longest pause between two questions to an endpoint that is away, seconds.
    pub health_backoff_max_s: u64,
    /// How long connecting may take, seconds.
    pub connect_timeout_s: u64,
}

impl Default for Connection {
    fn default() -> Self {
        Connection {
            url: DEFAULT_URL.into(),
            urls: Vec::new(),
            shards: Vec::new(),
            cluster: None,
            database: "flowhouse".into(),
            user: DEFAULT_USER.into(),
            password: None,
            password_file: None,
            ca_file: None,
            certificate_file: None,
            certificate_key_file: None,
            server_name: None,
            insert_quorum: None,
            health_interval_s: 5,
            health_backoff_max_s: 60,
            connect_timeout_s: 10,
        }
    }
}

impl Connection {
    /// The addresses of each shard, at least one shard with at least one address.
    pub fn topology(&self) -> Vec<Vec<String>> {
        if !self.shards.is_empty() {
            return self.shards.clone();
        }
        match self.urls.is_empty() {
            false => vec![self.urls.clone()],
            true => vec![vec![self.url.clone()]],
        }
    }

    /// Makes this a connection of one endpoint.
    pub fn at(&mut self, url: &str) {
        self.urls.clear();
        self.shards.clear();
        self.url = url.to_owned();
    }

    /// All addresses, for people.
    pub fn place(&self) -> String {
        self.topology().concat().join(", ")
    }

    /// Whether the schema can be applied from here: not on one of several replicas alone, outside of a cluster's form.
    pub fn can_apply(&self) -> bool {
        self.cluster.is_some() || self.topology().concat().len() == 1
    }

    /// Files that are read while it is in use.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let all = [
            &self.password_file,
            &self.ca_file,
            &self.certificate_file,
            &self.certificate_key_file,
        ];
        all.into_iter().flatten()
    }

    /// Takes the user from the environment where the configuration has none.
    pub fn complete(&mut self) {
        let user = std::env::var(USER_VARIABLE);
        if let (true, Ok(user)) = (self.user == DEFAULT_USER, user) {
            self.user = user;
        }
    }

    /// A client of the first endpoint. Reads the files; connects only when used.
    pub fn client(&self) -> Result<Client, Error> {
        let url = self.topology().concat().remove(0);
        Ok(self.client_of(&self.material()?.client(self)?, &url))
    }

    /// A client of the first endpoint that answers, in the order of the configuration.
    ///
    /// # Errors
    /// What is wrong with the files, or what each endpoint said.
    pub async fn reach(&self) -> Result<Client, Error> {
        if let Some(fault) = self.faults().into_iter().next() {
            return Err(Error::Unreachable { faults: fault });
        }
        let base = self.material()?.client(self)?;
        let mut faults = Vec::new();
        for url in self.topology().concat() {
            let client = self.client_of(&base, &url);
            match ask(&client).await {
                Ok(()) => return Ok(client),
                Err(e) => faults.push(format!("{url}: {}", explain(&e, self))),
            }
        }
        Err(Error::Unreachable {
            faults: faults.join("; "),
        })
    }

    /// What is wrong with the keys as such; each text begins with the key.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut fault = |wrong: bool, text: &str| {
            if wrong {
                faults.push(format!("clickhouse.{text}"));
            }
        };
        self.faults_of_addresses(&mut fault);
        let named = |c: &String| {
            !c.is_empty()
                && c.chars()
                    .all(|c| c.is_alphanumeric() || "_-.{}".contains(c))
        };
        fault(
            self.cluster.as_ref().is_some_and(|c| !named(c)),
            "cluster must be a name of letters, digits and _ - . { }",
        );
        fault(
            self.database.is_empty()
                || !self
                    .database
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || c == '_'),
            "database must be a name of letters, digits and _",
        );
        fault(
            self.password.is_some() && self.password_file.is_some(),
            "password and password_file are both set: keep password_file",
        );
        self.faults_of_tls(&mut fault);
        let quorum =
            |q: &String| q == "auto" || q.parse::<u32>().is_ok_and(|n| (2..=100).contains(&n));
        fault(
            self.insert_quorum.as_ref().is_some_and(|q| !quorum(q)),
            "insert_quorum must be \"auto\" or a number from \"2\", in quotes",
        );
        for (key, n) in [
            ("health_interval_s", self.health_interval_s),
            ("health_backoff_max_s", self.health_backoff_max_s),
            ("connect_timeout_s", self.connect_timeout_s),
        ] {
            fault(
                !(1..=3_600).contains(&n),
                &format!("{key} must be 1 to 3600"),
            );
        }
        faults
    }

    fn faults_of_addresses(&self, fault: &mut impl FnMut(bool, &str)) {
        let own_url = self.url != DEFAULT_URL;
        fault(
            own_url && !self.urls.is_empty(),
            "urls and url are both set: keep one",
        );
        fault(
            !self.shards.is_empty() && (own_url || !self.urls.is_empty()),
            "shards and url or urls are both set: keep shards",
        );
        fault(
            self.shards.iter().any(Vec::is_empty),
            "shards has a shard without an address",
        );
        let key = match (self.shards.is_empty(), self.urls.is_empty()) {
            (false, _) => "shards",
            (true, false) => "urls",
            (true, true) => "url",
        };
        let all = self.topology().concat();
        fault(
            all.iter().any(|u| !is_address(u)),
            &format!(
                "{key} must be http://HOST:PORT or https://HOST:PORT, the address of ClickHouse's HTTP interface; user \
                 and password have keys of their own"
            ),
        );
        let repeated = (1..all.len()).any(|i| all[..i].contains(&all[i]));
        fault(repeated, &format!("{key} has an address twice"));
        fault(
            self.shards.len() > 1 && self.cluster.is_none(),
            "shards needs clickhouse.cluster: only the cluster form of the schema reads all shards",
        );
    }

    fn faults_of_tls(&self, fault: &mut impl FnMut(bool, &str)) {
        let keys = [
            ("ca_file", self.ca_file.is_some()),
            ("certificate_file", self.certificate_file.is_some()),
            ("server_name", self.server_name.is_some()),
        ];
        for (key, is_set) in keys {
            fault(
                is_set && !self.uses_tls(),
                &format!("{key} is for addresses that begin with https://, and there is none"),
            );
        }
        let pair = (
            self.certificate_file.is_some(),
            self.certificate_key_file.is_some(),
        );
        fault(
            pair == (true, false),
            "certificate_file needs certificate_key_file beside it",
        );
        fault(
            pair == (false, true),
            "certificate_key_file needs certificate_file beside it",
        );
    }

    pub(super) fn material(&self) -> Result<Material, Error> {
        Material::read(self)
    }

    /// Everything that is wrong with the files, without connecting: what they hold, and who may read them.
    pub fn file_faults(&self) -> Vec<Error> {
        Material::faults(self)
    }

    /// The addresses at which nobody takes a connection, with the cure: what can be told as long as the files are at fault.
    pub async fn knock(&self) -> Vec<Error> {
        let mut all = vec![];
        for url in self.topology().concat() {
            if let Err(why) = knock(&url, self).await {
                let faults = format!("{url}: {why}");
                all.push(Error::Unreachable { faults });
            }
        }
        all
    }

    pub(super) fn client_of(&self, base: &Client, url: &str) -> Client {
        base.clone()
            .with_url(url)
            .with_database(&self.database)
            .with_user(&self.user)
            .with_product_info("flowhouse", env!("CARGO_PKG_VERSION"))
            .with_compression(Compression::None)
    }

    pub(super) fn uses_tls(&self) -> bool {
        let all = self.topology().concat();
        all.iter().any(|u| u.starts_with("https://"))
    }
}

/// Whether it is ClickHouse that answers, and lets us in. It may lack the database yet.
pub(super) async fn ask(client: &Client) -> Result<(), StoreError> {
    let mut rows = client.query("SELECT 1").fetch_bytes("TabSeparated")?;
    let mut said = vec![];
    while said.len() < ANSWER_MAX {
        match rows.next().await {
            Ok(Some(more)) => said.extend_from_slice(&more),
            Ok(None) => break,
            Err(StoreError::BadResponse(e)) if exception_code(&e) == Some(NO_DATABASE) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
    if said == b"1\n" {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&said);
    let shown: String = said.trim().chars().take(ANSWER_SHOWN).collect();
    Err(StoreError::BadResponse(format!("200 OK: {shown}")))
}

/// Whether a text is scheme, host and perhaps port, and nothing else: a user or a password in it would be logged.
fn is_address(url: &str) -> bool {
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    rest.is_some_and(|r| {
        let host = r.strip_suffix('/').unwrap_or(r);
        // an address of IPv6 stands in brackets
        let (name, port) = match host.strip_prefix('[').map(|v6| v6.split_once(']')) {
            Some(Some((v6, port))) if v6.parse::<std::net::Ipv6Addr>().is_ok() => (v6, port),
            Some(_) => return false,
            None => host.split_at(host.find(':').unwrap_or(host.len())),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._:".contains(c);
        let is_port = |p: &str| p.parse::<u16>().is_ok_and(|p| p > 0);
        let has_port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
        !name.is_empty() && name.chars().all(plain) && has_port
    })
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // without the password
        f.debug_struct("Connection")
            .field("topology", &self.topology())
            .field("cluster", &self.cluster)
            .field("database", &self.database)
            .field("user", &self.user)
            .field("password_file", &self.password_file)
            .field("ca_file", &self.ca_file)
            .field("certificate_file", &self.certificate_file)
            .field("server_name", &self.server_name)
            .field("insert_quorum", &self.insert_quorum)
            .finish_non_exhaustive()
    }
}

/// The store's code for a database that is not there.
pub(super) const NO_DATABASE: u32 = 81;
/// Bytes of an answer that are looked at: more than the right one has.
const ANSWER_MAX: usize = 1_024;
const ANSWER_SHOWN: usize = 200;
const DEFAULT_USER: &str = "default";
const USER_VARIABLE: &str = "FLOWHOUSE_CLICKHOUSE_USER";
const DEFAULT_URL: &str = "http://127.0.0.1:8123";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_stays_out_of_logs() {
        let c = Connection {
            password: Some("hunter2".into()),
            ..Default::default()
        };
        assert!(!format!("{c:?} {:?}", c.client().expect("client")).contains("hunter2"));
        let material = c.material().expect("read");
        assert!(!format!("{material:?}").contains("hunter2"));
    }

    #[test]
    fn one_node_replicas_and_shards() {
        let mut c = Connection::default();
        assert_eq!(c.topology(), [[DEFAULT_URL]]);
        c.urls = vec!["http://a:1".into(), "http://b:1".into()];
        assert_eq!(c.topology(), [["http://a:1", "http://b:1"]]);
        assert!(c.faults().is_empty(), "{:?}", c.faults());
        c = Connection {
            shards: vec![vec!["https://a:1".into()], vec!["https://b:1".into()]],
            ..Default::default()
        };
        assert_eq!(c.topology().len(), 2);
        assert!(c.faults()[0].starts_with("clickhouse.shards needs clickhouse.cluster"));
        c.cluster = Some("main".into());
        assert!(c.faults().is_empty(), "{:?}", c.faults());
    }

    #[test]
    fn faults_begin_with_the_key_and_quote_no_password() {
        let fault = |c: &Connection| c.faults().join("\n");
        let secret = "http://me:hunter2@store:8123";
        let mut c = Connection {
            url: secret.into(),
            ..Default::default()
        };
        assert!(fault(&c).starts_with("clickhouse.url must be"));
        assert!(!fault(&c).contains("hunter2"));
        c.url = "http://store:8123".into();
        c.ca_file = Some("/ca.pem".into());
        assert!(fault(&c).starts_with("clickhouse.ca_file is for addresses"));
        c.url = "https://store:8443".into();
        assert_eq!(fault(&c), "");
        c.certificate_file = Some("/me.pem".into());
        assert!(fault(&c).starts_with("clickhouse.certificate_file needs"));
        c.certificate_file = None;
        c.insert_quorum = Some("1".into());
        c.cluster = Some("a' b".into());
        assert_eq!(c.faults().len(), 2);
    }
}
