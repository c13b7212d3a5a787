//! The HTTP side under real tools: curl, promtool and a Prometheus that scrapes it. The two last come with Debian's
//! package `prometheus`; FLOWHOUSE_SKIP_PROMETHEUS leaves them out.

use crate::harness::{PATIENCE, run};
use flowhouse::control::{Listener, Running, Server, Settings, Shard, Sink, Snapshot, Source};
use flowhouse::ledger::{Book, Outcome};
use flowhouse::model::Addr;
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A collector that is only told of.
#[derive(Default)]
struct Told {
    away: AtomicBool,
}

impl Source for Told {
    fn snapshot(&self) -> Snapshot {
        let mut book = Book::new(10);
        for (last, domain) in [(1, 0), (1, 256), (2, 0)] {
            let account = book.account((Addr::from_v4([192, 0, 2, last]).0, domain));
            for (i, &outcome) in Outcome::ALL.iter().enumerate() {
                account.add(outcome, i as u64 + 1);
            }
        }
        let listener = Listener {
            address: "[::]:2055".into(),
            datagrams: 7,
            bytes: 9_000,
            kernel_drops: 1,
            receive_buffer_bytes: 1 << 25,
        };
        Snapshot {
            book,
            listeners: vec![listener.clone(), listener],
            shards: vec![
                Shard {
                    records: 10,
                    busy_ns: 2_000,
                    ..Shard::default()
                };
                2
            ],
            sink: Sink {
                inserts: 3,
                latency: vec![(0.01, 1), (0.1, 2)],
                latency_seconds: 0.05,
                errors: [("241".to_string(), 2), ("timeout".to_string(), 1)].into(),
                ..Sink::default()
            },
            not_ready: self
                .away
                .load(Relaxed)
                .then(|| "the store does not answer".into()),
            ..Snapshot::default()
        }
    }

    fn ledger_json(&self) -> String {
        "{\"laws\":[]}\n".into()
    }

    fn reload(&self) -> Result<String, String> {
        match self.away.load(Relaxed) {
            false => Ok("reloaded\n".into()),
            true => Err("a fault\n".into()),
        }
    }
}

fn serve() -> (Running, SocketAddr, Arc<Told>) {
    // not the address on which all others look for free ports
    let settings = Settings {
        listen: "127.0.9.1:0".parse().expect("address"),
        ..Settings::default()
    };
    let server = Server::bind(&settings).expect("a free port");
    let (address, told) = (server.address(), Arc::new(Told::default()));
    let source = Arc::clone(&told);
    (server.start(source).expect("starts"), address, told)
}

/// Status and body of a page.
fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let url = format!("http://{address}{path}");
    let out =
        run(Command::new("curl").args(["-sS", "--max-time", "20", "-w", "\n%{http_code}", &url]));
    let (body, status) = out.rsplit_once('\n').expect("a status line");
    (status.parse().expect("a status"), body.to_owned())
}

/// Whether the tools of Prometheus are left out. When they are only missing, their test fails and says what to install.
pub fn skip_prometheus() -> bool {
    let skip = std::env::var_os("FLOWHOUSE_SKIP_PROMETHEUS").is_some();
    if skip {
        eprintln!("skipped: FLOWHOUSE_SKIP_PROMETHEUS is set");
    }
    skip
}

const MISSING: &str =
    "cannot run it: install Debian's package `prometheus` (or set FLOWHOUSE_SKIP_PROMETHEUS)";

#[test]
fn pages_are_served() {
    let (running, address, told) = serve();
    let (status, index) = get(address, "/");
    assert_eq!(status, 200);
    for path in [
        "/metrics",
        "/ledger.json",
        "/exporters",
        "/healthz",
        "/readyz",
    ] {
        assert!(index.contains(path), "the index names {path}");
        assert_eq!(get(address, path).0, 200, "{path}");
    }
    assert_eq!(get(address, "/nothing").0, 404);
    assert_eq!(get(address, "/ledger.json").1, "{\"laws\":[]}\n");
    let (_, exporters) = get(address, "/exporters");
    let exporters: serde_json::Value = serde_json::from_str(&exporters).expect("JSON");
    assert_eq!(exporters[0]["exporter"], "192.0.2.1");
    assert_eq!(exporters[0]["domains"], serde_json::json!([0, 256]));
    assert_eq!(exporters[1]["counted"]["datagrams_received"], 1);
    told.away.store(true, Relaxed);
    assert_eq!(
        get(address, "/readyz"),
        (503, "the store does not answer\n".into())
    );
    assert_eq!(get(address, "/healthz").0, 200, "alive all the same");
    running.stop();
    crate::harness::eventually("the port is free again", || {
        TcpListener::bind(address).is_ok()
    });
}

/// Status and body of what curl makes of these arguments.
fn curl(arguments: &[&str]) -> (u16, String) {
    let mut curl = Command::new("curl");
    let out = run(curl
        .args(["-sS", "--max-time", "20", "-w", "\n%{http_code}"])
        .args(arguments));
    let (body, status) = out.rsplit_once('\n').expect("a status line");
    (status.parse().expect("a status"), body.to_owned())
}

#[test]
fn reload_is_for_those_who_may() {
    let (running, address, told) = serve();
    let url = format!("http://{address}/-/reload");
    assert_eq!(curl(&["-X", "POST", &url]), (200, "reloaded\n".into()));
    assert_eq!(curl(&[&url]).0, 405, "looking changes nothing");
    for field in [
        "Origin: http://evil.example",
        "Host: evil.example",
        "Sec-Fetch-Site: cross-site",
    ] {
        assert_eq!(curl(&["-X", "POST", "-H", field, &url]).0, 403, "{field}");
    }
    told.away.store(true, Relaxed);
    assert_eq!(curl(&["-X", "POST", &url]), (422, "a fault\n".into()));
    running.stop();

    // open to the network: no key, nothing is changed; then with one
    let dir = tempfile::tempdir().expect("temporary directory");
    let file = dir.path().join("token");
    std::fs::write(&file, "0123456789abcdef0123456789abcdef\n").expect("written");
    for token_file in [None, Some(file)] {
        let keyed = token_file.is_some();
        let server = Server::bind(&Settings {
            listen: "0.0.0.0:0".parse().expect("address"),
            token_file,
            ..Settings::default()
        });
        let server = server.expect("a free port");
        let url = format!("http://127.0.0.1:{}/-/reload", server.address().port());
        let running = server.start(Arc::new(Told::default())).expect("starts");
        let (status, text) = curl(&["-X", "POST", &url]);
        let bearer = "Authorization: Bearer 0123456789abcdef0123456789abcdef";
        let (with, _) = curl(&["-X", "POST", "-H", bearer, &url]);
        match keyed {
            false => {
                assert_eq!((status, with), (403, 403));
                assert!(text.contains("set control.token_file"), "{text}");
            }
            true => {
                assert_eq!((status, with), (401, 200));
                assert_eq!(
                    curl(&["-X", "POST", "-H", &format!("{bearer}0"), &url]).0,
                    401
                );
            }
        }
        running.stop();
    }
}

#[test]
fn a_client_certificate_stands_for_the_token() {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = |name: &str| dir.path().join(name);
    let write = |name: &str, text: String| std::fs::write(path(name), text).expect("written");
    let authority = |name: &str| {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![]).expect("parameters");
        // its name and that of a leaf have to differ
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("signed");
        write(&format!("{name}.pem"), certificate.pem());
        Issuer::new(params, key)
    };
    let (ours, foreign) = (authority("ours"), authority("foreign"));
    for (name, issuer) in [("server", &ours), ("client", &ours), ("stranger", &foreign)] {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".into()]).expect("parameters");
        let certificate = params.signed_by(&key, issuer).expect("signed");
        write(&format!("{name}.pem"), certificate.pem());
        write(&format!("{name}.key"), key.serialize_pem());
    }
    let server = Server::bind(&Settings {
        listen: "0.0.0.0:0".parse().expect("address"),
        tls_certificate_file: Some(path("server.pem")),
        tls_key_file: Some(path("server.key")),
        tls_client_ca_file: Some(path("ours.pem")),
        ..Settings::default()
    });
    let server = server.expect("a free port");
    let port = server.address().port();
    let running = server.start(Arc::new(Told::default())).expect("starts");
    let text = |name: &str| path(name).display().to_string();
    let ca = text("ours.pem");
    let ask = |more: &[&str], page: &str| {
        let url = format!("https://localhost:{port}{page}");
        curl(&[&["-4", "--cacert", &ca], more, &[&url]].concat())
    };
    assert_eq!(ask(&[], "/healthz"), (200, "alive\n".into()));
    let (status, why) = ask(&["-X", "POST"], "/-/reload");
    assert!(status == 403 && why.contains("client certificate"), "{why}");
    let (cert, key) = (text("client.pem"), text("client.key"));
    let post = ["-X", "POST", "--cert", &cert, "--key", &key];
    assert_eq!(ask(&post, "/-/reload"), (200, "reloaded\n".into()));
    // signed by somebody else: not even a page
    let url = format!("https://localhost:{port}/healthz");
    let mut stranger = Command::new("curl");
    let (cert, key) = (text("stranger.pem"), text("stranger.key"));
    stranger.args([
        "-4",
        "-sS",
        "--max-time",
        "20",
        "--cacert",
        &ca,
        "--cert",
        &cert,
        "--key",
        &key,
        &url,
    ]);
    assert!(!stranger.output().expect("it runs").status.success());
    // a health check needs no authority and no name: it knows the certificate of the configuration
    let health = |shown: &str| {
        let (certificate, key) = (path(shown), path("server.key"));
        let config = format!(
            "[control]\nlisten = \"0.0.0.0:{port}\"\ntls_certificate_file = {certificate:?}\ntls_key_file = {key:?}\n"
        );
        write("asked.toml", config);
        let mut health = Command::new(crate::harness::exe());
        let out = health.args(["health", "-c"]).arg(path("asked.toml"));
        let out = out.output().expect("it runs");
        let said = [out.stdout, out.stderr].concat();
        (
            out.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    };
    assert_eq!(health("server.pem"), (true, "alive\n".into()));
    let (fine, said) = health("client.pem");
    assert!(!fine && said.contains("another certificate"), "{said}");
    running.stop();
}

#[test]
fn a_taken_address_is_told() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let listen = taken.local_addr().expect("address");
    let error = Server::bind(&Settings {
        listen,
        ..Settings::default()
    })
    .expect_err("taken");
    assert!(error.to_string().contains(&listen.to_string()), "{error}");
}

#[test]
fn promtool_has_no_complaint() {
    if skip_prometheus() {
        return;
    }
    let (running, address, _) = serve();
    let (_, text) = get(address, "/metrics");
    running.stop();
    for family in [
        "flowhouse_ledger_law_holds",
        "flowhouse_sink_insert_duration_seconds_bucket",
        "flowhouse_build_info",
    ] {
        assert!(text.contains(family), "{family} is there");
    }
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("promtool: {e}: {MISSING}"));
    promtool
        .stdin
        .take()
        .expect("piped")
        .write_all(text.as_bytes())
        .expect("it reads");
    let out = promtool.wait_with_output().expect("it ends");
    let said =
        String::from_utf8_lossy(&out.stderr).into_owned() + &String::from_utf8_lossy(&out.stdout);
    assert!(
        out.status.success() && said.trim().is_empty(),
        "promtool: {said}"
    );
}

#[test]
fn prometheus_scrapes_it() {
    if skip_prometheus() {
        return;
    }
    let (running, address, _) = serve();
    let dir = tempfile::tempdir().expect("temporary directory");
    let (mut prometheus, api) = prometheus(dir.path(), address);
    let deadline = Instant::now() + PATIENCE;
    let query = |text: &str| {
        let url = format!("http://{api}/api/v1/query");
        let out = Command::new("curl")
            .args(["-s", "--get", &url, "--data-urlencode"])
            .arg(format!("query={text}"))
            .output();
        let answer: serde_json::Value =
            serde_json::from_slice(&out.expect("curl runs").stdout).unwrap_or_default();
        answer["data"]["result"][0]["value"][1]
            .as_str()
            .map(str::to_owned)
    };
    let mut up = query("up");
    while up.as_deref() != Some("1") {
        let ended = prometheus.0.try_wait().expect("its state");
        assert!(ended.is_none(), "prometheus ended: {}", log(dir.path()));
        assert!(
            Instant::now() < deadline,
            "up is {up:?}: {}",
            log(dir.path())
        );
        std::thread::sleep(Duration::from_millis(100));
        up = query("up");
    }
    assert_eq!(
        query("sum(flowhouse_exporter_datagrams_received_total)").as_deref(),
        Some("3")
    );
    assert_eq!(
        query("flowhouse_ledger_datagrams_received_total").as_deref(),
        Some("3")
    );
    assert_eq!(
        query("count(flowhouse_ledger_law_holds)").as_deref(),
        Some("8")
    );
    assert_eq!(
        query("flowhouse_sink_insert_errors_total{code=\"241\"}").as_deref(),
        Some("2")
    );
    drop(prometheus);
    running.stop();
}

/// A Prometheus that ends with the test.
pub struct Prometheus(Child);

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Scrapes a target every second; the second half is the address of its API.
pub fn prometheus(dir: &Path, target: SocketAddr) -> (Prometheus, SocketAddr) {
    let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let api = free.local_addr().expect("address");
    drop(free);
    let config = dir.join("prometheus.yml");
    let text = format!(
        "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\nscrape_configs:\n  - job_name: flowhouse\n    static_configs:\n      - targets: ['{target}']\n"
    );
    std::fs::write(&config, text).expect("configuration");
    let log = std::fs::File::create(dir.join("log")).expect("log");
    let child = Command::new("prometheus")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            dir.join("data").display()
        ))
        .arg(format!("--web.listen-address={api}"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|e| panic!("prometheus: {e}: {MISSING}"));
    (Prometheus(child), api)
}

fn log(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("log")).unwrap_or_default()
}
