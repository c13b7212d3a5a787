//! What a collector says when it cannot start: which thing, why, and what to do.

use crate::harness::{Collector, assert_laws, directory, embedded, eventually_with, exe};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::Command;

/// Runs a collector that must refuse to start and returns what it said.
fn refused(dir: &Path, config: &str, environment: &[(&str, &str)]) -> String {
    let file = dir.join("refused.toml");
    std::fs::write(&file, config).expect("configuration written");
    let mut command = Command::new(exe());
    command.args(["run", "-c"]).arg(&file);
    command.envs(environment.iter().copied());
    let out = command.output().expect("it runs");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(1), "{said}");
    said
}

/// A configuration without a store, on free ports.
fn quiet(state: &Path) -> String {
    format!(
        "state_dir = {state:?}\n[receive]\nlisteners = [\"127.0.0.1:0\"]\n[sink]\nkind = \"drop\"\n[control]\nlisten = \"127.0.0.1:0\"\n"
    )
}

#[test]
fn a_second_collector_on_a_state_directory() {
    let dir = directory();
    let config = "[receive]\nlisteners = [\"127.0.0.1:0\"]\n[sink]\nkind = \"drop\"\n";
    let first = Collector::start(dir.path(), config);
    let said = refused(dir.path(), &quiet(&dir.path().join("state")), &[]);
    assert!(
        said.contains("another collector runs on the state directory"),
        "{said}"
    );
    first.stop();
}

#[test]
fn a_state_directory_that_cannot_be() {
    let dir = directory();
    let file = dir.path().join("file");
    std::fs::write(&file, "").expect("written");
    let said = refused(dir.path(), &quiet(&file.join("state")), &[]);
    assert!(said.contains("cannot create the state directory"), "{said}");
}

#[test]
fn ports_in_use() {
    let dir = directory();
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = udp.local_addr().expect("address").to_string();
    let config = quiet(&dir.path().join("state"));
    let said = refused(
        dir.path(),
        &config.replacen("127.0.0.1:0", &address, 1),
        &[],
    );
    assert!(
        said.contains(&format!("cannot listen on {address}")),
        "{said}"
    );
    assert_eq!(said.matches("in use").count(), 1, "told once: {said}");

    let tcp = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = tcp.local_addr().expect("address").to_string();
    let at = config.rfind("127.0.0.1:0").expect("of control");
    let config = format!(
        "{}{address}{}",
        &config[..at],
        &config[at + "127.0.0.1:0".len()..]
    );
    let said = refused(dir.path(), &config, &[]);
    assert!(said.contains(&address), "{said}");
}

#[test]
fn no_engine_library() {
    let dir = directory();
    let nowhere = dir.path().join("nowhere");
    let data = dir.path().join("store");
    let config = quiet(&dir.path().join("state")).replace(
        "[sink]\nkind = \"drop\"",
        &format!("[store]\nlisten = \"127.0.0.1:0\"\ndata = {data:?}\nlibrary = {nowhere:?}"),
    );
    let said = refused(dir.path(), &config, &[]);
    assert!(
        said.contains("flowhouse store install"),
        "the command to run: {said}"
    );
    assert!(said.contains("[clickhouse]"), "or another store: {said}");
}

#[test]
fn limits_beyond_the_machine() {
    let dir = directory();
    let config = quiet(&dir.path().join("state")).replace(
        "[sink]\n",
        "[batch]\nseal_rows = 1000000\n[sink]\nqueue_max = 1000000\n",
    );
    let said = refused(dir.path(), &config, &[]);
    let (one, other) = (
        "flowhouse: sink.queue_max = 1000000 (",
        ", batch.seal_rows = 1000000 (",
    );
    assert!(said.contains(one) && said.contains(other), "{said}");
}

#[test]
fn check_finds_what_cannot_work() {
    let dir = directory();
    let file = dir.path().join("c.toml");
    for (text, said) in [
        (
            "[shard]\nshards = 100000\n",
            "c.toml:2:1: shard.shards must be",
        ),
        (
            "[decode]\ntemplates_max = 0\n",
            "c.toml:2:1: decode.templates_max",
        ),
        (
            "[clickhouse]\nurl = \"ftp://x\"\n",
            "c.toml:2:1: clickhouse.url",
        ),
        (
            "[enrich.qos.dscp]\n99 = \"voice\"\n",
            "c.toml:1:1: enrich.qos.dscp",
        ),
        (
            "[shard]\nshards = 2\n[receive]\nqueue = 10000000\n",
            "c.toml:4:1: receive.queue = 10000000 (",
        ),
    ] {
        std::fs::write(&file, text).expect("written");
        let out = std::process::Command::new(exe())
            .args(["check", "--offline", "-c"])
            .arg(&file)
            .output()
            .expect("runs");
        let told = [out.stdout, out.stderr].concat();
        let told = String::from_utf8_lossy(&told);
        assert_eq!(out.status.code(), Some(1), "{text}: {told}");
        assert!(told.contains(said), "{text}: {told}");
    }
}

#[test]
fn an_embedded_store_that_dies_is_started_again() {
    let dir = directory();
    let config = format!(
        "[receive]\nlisteners = [\"127.0.0.1:0\"]\n{}",
        embedded(dir.path())
    );
    let collector = Collector::start(dir.path(), &config);
    let first = collector.store_id();
    collector.signal_store("KILL");
    // starting an engine takes as long as the machine lets it
    let work = || collector.store_work();
    eventually_with("another store", work, || {
        let now = collector.store_id();
        !now.is_empty() && now != first
    });
    let restarts = || collector.metric("flowhouse_store_restarts_total");
    eventually_with("it is counted", work, || restarts() == 1.0);
    eventually_with("ready again", work, || {
        collector.metric("flowhouse_sink_delivering") == 1.0
    });
    assert_laws(&collector.stop());
}
