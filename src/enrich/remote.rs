//! Named prefixes over HTTP: fetched by a thread of their own, kept on disk, handed to shards as a finished version.

use super::networks::{self, Networks};
use super::settings::{Network, Remote, Settings};
use super::tables::Tables;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// Where the current version of the networks is. Shards ask its number between two batches.
#[derive(Debug, Default)]
#[expect(
    clippy::disallowed_types,
    reason = "touched when a version is published, and once by each shard after that"
)]
pub struct Feed {
    version: AtomicU64,
    latest: std::sync::Mutex<Option<Arc<Networks>>>,
}

impl Feed {
    /// The number of the current version; 0 before the first.
    #[inline]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// The current version; `None` before the first.
    pub fn latest(&self) -> Option<Arc<Networks>> {
        let latest = self.latest.lock();
        latest
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    fn publish(&self, networks: Networks) {
        let mut latest = self
            .latest
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        *latest = Some(Arc::new(networks));
        self.version.fetch_add(1, Ordering::Release);
    }
}

/// Starts fetching what the settings name, if they name anything: first what is on disk under `cache`, then over HTTP. The
/// thread ends when the last version of the tables is gone.
///
/// # Errors
/// When the thread cannot be started.
pub fn fetch(settings: &Settings, tables: &Tables, cache: &Path) -> std::io::Result<()> {
    let n = &settings.networks;
    if n.remotes.is_empty() {
        return Ok(());
    }
    let mut fetcher = Fetcher {
        feed: Arc::downgrade(tables.feed()),
        own: networks::load(n).unwrap_or_default(),
        prefixes_max: n.prefixes_max,
        sources: n
            .remotes
            .iter()
            .map(|r| Source::new(r.get_ref(), cache))
            .collect(),
    };
    fetcher.sources.iter_mut().for_each(Source::load);
    fetcher.publish();
    let work = move || fetcher.run();
    std::thread::Builder::new()
        .name("networks".into())
        .spawn(work)?;
    Ok(())
}

struct Fetcher {
    feed: Weak<Feed>,
    /// What is not fetched.
    own: Vec<Network>,
    prefixes_max: usize,
    sources: Vec<Source>,
}

impl Fetcher {
    fn run(mut self) {
        while self.feed.strong_count() > 0 {
            let now = Instant::now();
            let mut changed = false;
            for source in self.sources.iter_mut().filter(|s| s.due <= now) {
                changed |= source.refresh();
            }
            if changed {
                self.publish();
            }
            std::thread::sleep(LOOK);
        }
    }

    /// What the settings say comes last: it counts where a fetched prefix is the same.
    fn publish(&self) {
        let Some(feed) = self.feed.upgrade() else {
            return;
        };
        let fetched = self.sources.iter().map(|s| s.last.len()).sum::<usize>();
        if fetched + self.own.len() > self.prefixes_max {
            let (count, max) = (fetched + self.own.len(), self.prefixes_max);
            tracing::warn!(
                "{count} prefixes are more than networks.prefixes_max = {max}: the networks stay what they were"
            );
            return;
        }
        let all = self.sources.iter().flat_map(|s| &s.last).chain(&self.own);
        feed.publish(Networks::new(all));
    }
}

/// One address and its last good answer.
struct Source {
    remote: Remote,
    agent: ureq::Agent,
    /// The answer; beside it, ending in `.etag`, its entity tag.
    file: PathBuf,
    etag: String,
    last: Vec<Network>,
    due: Instant,
    failures: u32,
}

impl Source {
    fn new(remote: &Remote, cache: &Path) -> Source {
        let timeout = Duration::from_secs(remote.timeout_s.max(1));
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .tls_config(tls());
        let name = remote.url.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |h, b| {
            (h ^ u64::from(b)).wrapping_mul(0x100_0000_01b3)
        });
        Source {
            remote: remote.clone(),
            agent: config.build().into(),
            file: cache.join(format!("networks-{name:016x}.json")),
            etag: String::new(),
            last: vec![],
            due: Instant::now(),
            failures: 0,
        }
    }

    /// The answer that an earlier run kept.
    fn load(&mut self) {
        let Ok(body) = std::fs::read(&self.file) else {
            return;
        };
        match networks::answer(&self.remote, &body) {
            Ok(all) => {
                tracing::info!(
                    "networks: {} prefixes of {} from an earlier run",
                    all.len(),
                    self.remote.url
                );
                self.last = all;
                self.etag =
                    std::fs::read_to_string(self.file.with_extension("etag")).unwrap_or_default();
            }
            Err(error) => tracing::warn!(
                "networks: what was kept of {} is not used: {error}",
                self.remote.url
            ),
        }
    }

    /// Fetches; returns whether there is a new answer. After failures the pauses double up to `interval_s`, and the last
    /// good answer holds.
    fn refresh(&mut self) -> bool {
        let interval = Duration::from_secs(self.remote.interval_s.max(INTERVAL_MIN_S));
        let fetched = self.get();
        let pause = match &fetched {
            Ok(_) => interval,
            Err(_) => PAUSE
                .saturating_mul(1 << self.failures.min(16))
                .min(interval),
        };
        self.due = Instant::now() + pause;
        match fetched {
            Ok(all) => {
                if self.failures > 0 {
                    tracing::info!("networks: {} answers again", self.remote.url);
                }
                self.failures = 0;
                let new = all.is_some();
                self.last = all.unwrap_or_else(|| std::mem::take(&mut self.last));
                new
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                let kept = self.last.len();
                tracing::warn!(
                    "networks: {}: {error}; {kept} prefixes of the last good answer hold; next try in {} s",
                    self.remote.url,
                    pause.as_secs()
                );
                false
            }
        }
    }

    /// A new answer, or `None` where the old one is still right.
    fn get(&mut self) -> Result<Option<Vec<Network>>, String> {
        let mut request = self
            .agent
            .get(&self.remote.url)
            .header("accept", "application/json");
        if !self.etag.is_empty() && !self.last.is_empty() {
            request = request.header("if-none-match", self.etag.as_str());
        }
        if let Some(file) = &self.remote.token_file {
            let token =
                std::fs::read_to_string(file).map_err(|e| format!("{}: {e}", file.display()))?;
            request = request.header("authorization", format!("Bearer {}", token.trim()));
        }
        let mut response = request.call().map_err(|e| e.to_string())?;
        match response.status().as_u16() {
            200 => {}
            304 => return Ok(None),
            status => return Err(format!("the answer is HTTP {status}")),
        }
        let etag = response.headers().get("etag").and_then(|v| v.to_str().ok());
        let etag = etag.unwrap_or_default().to_owned();
        let limit = self.remote.bytes_max;
        let body = response.body_mut().with_config().limit(limit).read_to_vec();
        let body = body.map_err(|e| format!("{e} (bytes_max = {limit})"))?;
        let all = networks::answer(&self.remote, &body)?;
        self.etag = etag;
        if let Err(error) = self.keep(&body) {
            tracing::warn!("networks: {} is not kept: {error}", self.file.display());
        }
        Ok(Some(all))
    }

    /// The tag goes first and comes last: an answer is never taken for one that it is not.
    fn keep(&self, body: &[u8]) -> std::io::Result<()> {
        let tag = self.file.with_extension("etag");
        let part = self.file.with_extension("part");
        if tag.exists() {
            std::fs::remove_file(&tag)?;
        }
        std::fs::write(&part, body)?;
        std::fs::rename(&part, &self.file)?;
        std::fs::write(&tag, &self.etag)
    }
}

/// TLS with the certificates that this machine trusts, which may have those of the operator's own authority.
fn tls() -> TlsConfig {
    let found = rustls_native_certs::load_native_certs().certs;
    let roots = found.iter().map(|c| Certificate::from_der(c).to_owned());
    TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots.collect())))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build()
}

/// Time between two looks whether something is due.
const LOOK: Duration = Duration::from_millis(500);
/// Pause after the first failure.
const PAUSE: Duration = Duration::from_secs(5);
/// Shortest interval, seconds.
const INTERVAL_MIN_S: u64 = 10;

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    /// Answers one request after the other, and gives what was asked.
    fn server(answers: Vec<String>) -> (String, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/prefixes", listener.local_addr().expect("bound"));
        let thread = std::thread::spawn(move || {
            let mut asked = vec![];
            for answer in answers {
                let (mut stream, _) = listener.accept().expect("a client");
                let mut request = vec![];
                let mut byte = [0];
                while !request.ends_with(b"\r\n\r\n")
                    && stream.read(&mut byte).is_ok_and(|n| n == 1)
                {
                    request.push(byte[0]);
                }
                asked.push(String::from_utf8_lossy(&request).to_lowercase());
                stream.write_all(answer.as_bytes()).expect("answered");
            }
            asked
        });
        (url, thread)
    }

    fn http(status: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}"
        )
    }

    #[test]
    fn the_last_good_answer_holds() {
        let good = r#"[{"prefix":"10.0.0.0/8","name":"ten"}]"#;
        let large = format!("[{}]", " ".repeat(500));
        let (url, server) = server(vec![
            http("200 OK", "etag: \"v1\"\r\n", good),
            http("304 Not Modified", "", ""),
            http("500 Oh", "", ""),
            http("200 OK", "", "[{\"prefix\":\"10.0.0.0/99\"}]"),
            http("200 OK", "", &large),
            http("200 OK", "", good),
        ]);
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("token"), "secret\n").expect("written");
        let token = dir.path().join("token").display().to_string();
        let text = format!("url = {url:?}\nbytes_max = 100\ntoken_file = {token:?}");
        let remote: Remote = toml::from_str(&text).expect("valid");
        let mut s = Source::new(&remote, dir.path());
        assert!(s.refresh() && s.last.len() == 1);
        assert!(
            !s.refresh() && s.last.len() == 1 && s.failures == 0,
            "not modified"
        );
        for n in 1..=3 {
            let before = Instant::now();
            assert!(!s.refresh() && s.last.len() == 1 && s.failures == n);
            assert!(s.due >= before + PAUSE);
        }
        // a new process begins with what is on disk
        let mut next = Source::new(&remote, dir.path());
        next.load();
        assert_eq!((next.last.len(), next.etag.as_str()), (1, "\"v1\""));
        assert!(s.refresh() && s.failures == 0);
        let asked = server.join().expect("the server");
        assert!(
            asked[0].contains("authorization: bearer secret")
                && !asked[0].contains("if-none-match")
        );
        assert!(asked[1].contains("if-none-match: \"v1\""), "{}", asked[1]);
    }

    #[test]
    fn nobody_there_is_a_failure() {
        let remote: Remote = toml::from_str("url = \"http://127.0.0.1:1/\"").expect("valid");
        let dir = tempfile::tempdir().expect("a folder");
        let mut s = Source::new(&remote, dir.path());
        assert!(!s.refresh() && s.failures == 1);
    }
}
