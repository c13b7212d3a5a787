//! Debian's snmpd on a loopback address of its own, what it is asked through, and a poller without a collector.

use crate::harness::{eventually, run};
use flowhouse::enrich::{Interface, Polled, Tables};
use flowhouse::model::{Addr, InterfaceCounters};
use flowhouse::snmp::{Poller, Settings};
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

pub const COMMUNITY: &str = "hushhush";
pub const USER: &str = "watcher";
pub const AUTH: &str = "auth-hush-1";
pub const PRIVACY: &str = "priv-hush-1";

/// The exporter that all tests ask about: snmpd is at another address.
pub const EXPORTER: Addr = Addr::from_v4([192, 0, 2, 1]);

/// A running snmpd.
pub struct Snmpd {
    child: Option<Child>,
    dir: PathBuf,
    pub address: SocketAddr,
    made_up: bool,
}

/// An interface that does not exist.
#[derive(Clone, Copy)]
pub struct Made {
    pub index: u32,
    pub name: &'static str,
    pub alias: &'static str,
    pub mbit: u32,
    pub octets: [u64; 2],
}

impl Snmpd {
    /// With the interfaces of this machine.
    pub fn start(dir: &Path) -> Snmpd {
        Snmpd::of(dir, false)
    }

    /// With interfaces that [`Snmpd::serve`] and [`Snmpd::serve_lines`] make up.
    pub fn made_up(dir: &Path) -> Snmpd {
        Snmpd::of(dir, true)
    }

    fn of(dir: &Path, made_up: bool) -> Snmpd {
        static ADDRESSES: AtomicU8 = AtomicU8::new(1);
        let address = Ipv4Addr::new(127, 0, 11, ADDRESSES.fetch_add(1, Relaxed));
        let free = UdpSocket::bind((address, 0)).expect("a free port");
        let address = free.local_addr().expect("its address");
        let dir = dir.join(format!("snmpd-{}", address.port()));
        fs::create_dir(&dir).expect("a folder");
        fs::write(dir.join("lines"), "").expect("no lines");
        let mut snmpd = Snmpd {
            child: None,
            dir,
            address,
            made_up,
        };
        drop(free);
        snmpd.run();
        snmpd
    }

    /// Starts it (again) and waits until it answers.
    pub fn run(&mut self) {
        let mut config = format!(
            "rocommunity {COMMUNITY}\nrouser {USER} priv\nrouser {USER}-open auth\n\
             createUser {USER} SHA-256 {AUTH} AES {PRIVACY}\ncreateUser {USER}-open SHA {AUTH}\n"
        );
        let mut snmpd = Command::new("/usr/sbin/snmpd");
        snmpd.args(["-f", "-Lf"]).arg(self.dir.join("log"));
        if self.made_up {
            let agent = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/snmp/agent.py");
            let lines = self.dir.join("lines");
            for table in [".1.3.6.1.2.1.2.2", ".1.3.6.1.2.1.31.1.1"] {
                let (agent, lines) = (agent.display(), lines.display());
                writeln!(
                    config,
                    "pass_persist {table} /usr/bin/python3 {agent} {lines}"
                )
                .expect("text");
            }
            snmpd.args(["-I", "-ifTable,-ifXTable"]);
        }
        let file = self.dir.join("snmpd.conf");
        fs::write(&file, config).expect("written");
        let child = snmpd
            .args(["-C", "-c"])
            .arg(&file)
            .arg(format!("udp:{}", self.address))
            .env("SNMP_PERSISTENT_DIR", self.dir.join("persistent"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.expect("snmpd is installed: `make test` does that"));
        let address = self.address.to_string();
        eventually("snmpd answers", || {
            let get = ["-v2c", "-c", COMMUNITY, "-t", "1", "-r", "0", &address];
            let mut snmpget = Command::new("snmpget");
            let out = snmpget.args(get).arg(".1.3.6.1.2.1.1.3.0").output();
            out.expect("snmpget is installed").status.success()
        });
    }

    /// Interfaces from now on.
    pub fn serve(&self, all: &[Made]) {
        let mut lines = String::new();
        for m in all {
            let i = m.index;
            for (column, kind, value) in [
                (1, "string", m.name.to_owned()),
                (6, "counter64", m.octets[0].to_string()),
                (10, "counter64", m.octets[1].to_string()),
                (15, "gauge", m.mbit.to_string()),
                (18, "string", m.alias.to_owned()),
            ] {
                writeln!(lines, ".1.3.6.1.2.1.31.1.1.1.{column}.{i} {kind} {value}").expect("text");
            }
        }
        self.serve_lines(&lines);
    }

    /// Lines of [`agent.py`].
    pub fn serve_lines(&self, lines: &str) {
        let (to, new) = (self.dir.join("lines"), self.dir.join("lines.new"));
        fs::write(&new, lines).expect("written");
        fs::rename(&new, to).expect("renamed");
    }

    /// sysUpTime.
    pub fn uptime_cs(&self) -> u64 {
        let mut get = Command::new("snmpget");
        get.args(["-v2c", "-c", COMMUNITY, "-Oqvt", &self.address.to_string()]);
        let ticks = run(get.arg(".1.3.6.1.2.1.1.3.0"));
        ticks.trim().parse().expect("ticks")
    }

    pub fn id(&self) -> u32 {
        self.child.as_ref().expect("it runs").id()
    }

    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // the helpers of `pass_persist` end with their pipe
            let _ = child.kill();
            child.wait().expect("it ends");
        }
    }

    /// `[snmp.targets]` and an access by version 2c.
    pub fn v2c(&self) -> String {
        settings(self.address, &format!("community = \"{COMMUNITY}\""))
    }

    /// The same by version 3.
    pub fn v3(&self, user: &str, auth: &str, privacy: &str) -> String {
        let access = format!(
            "version = \"3\"\nuser = {user:?}\nauth_password = {auth:?}\nprivacy_password = {privacy:?}"
        );
        settings(self.address, &access)
    }
}

impl Drop for Snmpd {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `[snmp]` without its head: the exporter is asked at `target`.
pub fn settings(target: SocketAddr, access: &str) -> String {
    let exporter = EXPORTER.to_ip();
    format!(
        "timeout_ms = 400\nretries = 1\ninterval_s = 10\ntargets = {{ \"{exporter}\" = \"{target}\" }}\n\
         [access.test]\nexporters = [\"{exporter}\"]\n{access}\n"
    )
}

/// A poller with the tables that it feeds.
pub struct World {
    pub poller: Poller,
    polled: Arc<Polled>,
    settings: Settings,
}

impl World {
    pub fn start(state: &Path, settings: &str) -> World {
        World::seeing(state, settings, vec![])
    }

    /// With exporters that have sent something.
    pub fn seeing(state: &Path, settings: &str, exporters: Vec<Addr>) -> World {
        let settings: Settings = toml::from_str(settings).expect("settings");
        assert!(settings.faults().is_empty(), "{:?}", settings.faults());
        let polled = Arc::new(Polled::default());
        let seen = Box::new(move || exporters.clone());
        let poller = Poller::start(&settings, polled.clone(), state, seen).expect("it starts");
        World {
            poller,
            polled,
            settings,
        }
    }

    /// Waits for the answer to one more poll, whole or not.
    pub fn poll(&mut self) {
        let before = self.polls();
        self.poller.reconfigure(&self.settings);
        self.after(before);
    }

    /// Waits for the first poll.
    pub fn first(&self) {
        self.after(0);
    }

    fn after(&self, before: u64) {
        eventually("a poll", || self.polls() > before);
    }

    fn polls(&self) -> u64 {
        let stats = self.poller.stats();
        stats.polls + stats.failures.values().sum::<u64>()
    }

    /// What flows of an exporter would be told of an interface.
    pub fn interface(&self, if_index: u32) -> Option<Interface> {
        let tables = Tables::new(&Default::default()).expect("defaults");
        let mut tables = tables.following(self.polled.clone());
        tables.follow();
        tables.interface(&EXPORTER, if_index)
    }

    pub fn name(&self, if_index: u32) -> String {
        let interface = self.interface(if_index);
        interface.map_or("(none)".into(), |i| i.name.to_string())
    }

    /// Counters of the polls since the last call, by ifIndex.
    pub fn counters(&self) -> Vec<InterfaceCounters> {
        self.poller.take_counters()
    }

    pub fn failures(&self, kind: &str) -> u64 {
        self.poller.stats().failures.get(kind).copied().unwrap_or(0)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.poller.stop();
    }
}

/// What a relay does with a question: the answer, if there is to be one.
pub type Answer = Box<dyn FnMut(&[u8], &UdpSocket) -> Option<Vec<u8>> + Send>;

/// Stands between poller and snmpd.
pub struct Relay {
    pub address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Asks `to` what `answer` does not say itself: it gets the question and a socket that is connected to snmpd.
    pub fn start(to: SocketAddr, mut answer: Answer) -> Relay {
        let ours = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let address = ours.local_addr().expect("its address");
        let theirs = UdpSocket::bind("127.0.0.1:0").expect("a port");
        theirs.connect(to).expect("connected");
        for s in [&ours, &theirs] {
            s.set_read_timeout(Some(Duration::from_millis(100)))
                .expect("set");
        }
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = spawn(move || {
            let mut bytes = vec![0; 65_536];
            while !told.load(Relaxed) {
                if let Ok((n, from)) = ours.recv_from(&mut bytes)
                    && let Some(reply) = answer(&bytes[..n], &theirs)
                {
                    let _ = ours.send_to(&reply, from);
                }
            }
        });
        Relay {
            address,
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("it ends");
        }
    }
}

/// Asks snmpd.
pub fn pass_on(question: &[u8], snmpd: &UdpSocket) -> Option<Vec<u8>> {
    snmpd.send(question).ok()?;
    let mut bytes = vec![0; 65_536];
    let n = snmpd.recv(&mut bytes).ok()?;
    bytes.truncate(n);
    Some(bytes)
}

/// Place of the PDU's tag in a message of version 2c.
pub fn pdu(message: &[u8]) -> usize {
    let community = message
        .windows(COMMUNITY.len())
        .position(|w| w == COMMUNITY.as_bytes());
    community.expect("version 2c") + COMMUNITY.len()
}

/// A file that only its owner may read.
pub fn secret(dir: &Path, name: &str, text: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = dir.join(name);
    fs::write(&path, text).expect("written");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("its mode");
    path
}

/// Kills by process id.
pub fn kill(id: u32) {
    run(Command::new("kill").args(["-KILL", &id.to_string()]));
}
