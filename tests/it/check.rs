//! `flowhouse check` against what it looks at for real: stores that are away, folders, accounts, files that are no text.

use crate::harness::{Collector, Store, directory, exe};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

/// Runs it on a file with these bytes: exit code, and everything that it said, with the file's name as FILE.
fn check(dir: &Path, bytes: impl AsRef<[u8]>, arguments: &[&str]) -> (Option<i32>, String) {
    let file = dir.join("flowhouse.toml");
    fs::write(&file, bytes).expect("written");
    let mut command = Command::new(exe());
    command.arg("check").args(arguments).arg("-c").arg(&file);
    let out = command.output().expect("it runs");
    let said = [out.stdout, out.stderr].concat();
    let said = String::from_utf8_lossy(&said).replace(&*file.to_string_lossy(), "FILE");
    (out.status.code(), said)
}

/// A configuration that is well, with more lines; the state is below `dir`.
fn well(dir: &Path, more: &str) -> String {
    let state = dir.join("state");
    format!(
        "state_dir = {state:?}\n[receive]\nlisteners = [\"127.0.0.1:0\"]\n[control]\nlisten = \"127.0.0.1:0\"\n{more}\n"
    )
}

/// The line that begins with a word and then this subject.
fn line<'a>(said: &'a str, word: &str, subject: &str) -> &'a str {
    let begins = |l: &&str| {
        l.strip_prefix(word)
            .is_some_and(|l| l.trim_start().starts_with(subject))
    };
    let found = said.lines().find(begins);
    found.unwrap_or_else(|| panic!("no {word} {subject}: {said}"))
}

const DROP: &str = "[sink]\nkind = \"drop\"\n";

fn assert_has(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "no `{part}`: {text}");
    }
}

#[test]
fn a_store_that_is_away_has_a_place_and_a_cure() {
    let dir = directory();
    // nobody listens where somebody did
    let gone = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = gone.local_addr().expect("its address");
    drop(gone);
    let one = format!("[clickhouse]\nurl = \"http://{address}\"\n");
    let (code, said) = check(dir.path(), well(dir.path(), &one), &[]);
    assert_eq!(code, Some(1), "{said}");
    let fault = line(&said, "FAULT", "store");
    assert_has(
        fault,
        &[
            "FILE:7:7: http://",
            "nothing listens there: start ClickHouse",
        ],
    );
    let name = "[clickhouse]\nurl = \"http://no-such-host.invalid:8123\"\n";
    let (_, said) = check(dir.path(), well(dir.path(), name), &[]);
    let fault = line(&said, "FAULT", "store");
    assert_has(
        fault,
        &["FILE:7:7: http://", "is not known here: mend the address"],
    );
}

#[test]
fn a_secret_of_notices_that_all_may_read_has_a_place_and_a_cure() {
    let dir = directory();
    let secret = dir.path().join("webhook.key");
    fs::write(&secret, "key").expect("written");
    let may = |mode| fs::set_permissions(&secret, fs::Permissions::from_mode(mode)).expect("ours");
    let more = format!(
        "{DROP}[[notify.targets]]\nname = \"ops\"\nkind = \"webhook\"\nto = \"http://127.0.0.1:9/\"\nsecret_file = {secret:?}\n"
    );
    may(0o644);
    for arguments in [&[][..], &["--offline"]] {
        let (code, said) = check(dir.path(), well(dir.path(), &more), arguments);
        assert_eq!(code, Some(1), "{said}");
        let fault = line(&said, "FAULT", "notify");
        assert_has(
            fault,
            &["FILE:12:15: ", "target ops", "run `chmod o-rwx` on it"],
        );
    }
    may(0o600);
    let (code, said) = check(dir.path(), well(dir.path(), &more), &[]);
    assert_eq!(code, Some(0), "{said}");
    assert_has(line(&said, "ok", "notify"), &["1 target(s)"]);
}

#[test]
fn a_port_that_says_nothing_has_a_place_and_a_cure() {
    let dir = directory();
    let mute = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = mute.local_addr().expect("its address");
    for (scheme, cure) in [
        ("https", "speaks no TLS"),
        ("http", "is not ClickHouse's HTTP interface"),
    ] {
        let ca = match scheme {
            "https" => ca_file(dir.path()),
            _ => String::new(),
        };
        let store = format!(
            "[clickhouse]\nconnect_timeout_s = 1\n{ca}urls = [\n  \"{scheme}://{address}\",\n]\n"
        );
        let (code, said) = check(dir.path(), well(dir.path(), &store), &[]);
        assert_eq!(code, Some(1), "{said}");
        let fault = line(&said, "FAULT", "store");
        let at = 9 + ca.lines().count();
        let place = format!("FILE:{at}:3: {scheme}://");
        let waited = "no answer within 1 s (clickhouse.connect_timeout_s)";
        assert_has(fault, &[&place, waited, cure]);
    }
}

/// A key with an authority, so that those of the system are not needed.
fn ca_file(dir: &Path) -> String {
    let file = dir.join("ca.pem");
    let key = dir.join("ca.key");
    let mut openssl = Command::new("openssl");
    openssl
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test",
        ])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&file);
    crate::harness::run(&mut openssl);
    format!("ca_file = {file:?}\n")
}

#[test]
fn bytes_that_are_no_text_have_their_place() {
    let dir = directory();
    let latin = b"[receive]\n# \xc3\xa4\n# stra\xdfe\n";
    let (code, said) = check(dir.path(), latin, &["--offline"]);
    assert_eq!(code, Some(1));
    assert_has(
        &said,
        &["FILE:3:7: the byte 0xdf is no UTF-8 (save the file as UTF-8"],
    );
}

#[test]
fn every_fault_of_an_array_is_told_and_nothing_that_follows_from_it() {
    let dir = directory();
    let text = "[receive]\nlisteners = [\n  \"127.0.0.1\",\n  \"x:1\"\n]\nallow = [\"10.1.2.3/16\", \"10.0.0.0/8\", \"fe80::1/10\", 7]\n";
    let (code, said) = check(dir.path(), text, &["--offline"]);
    assert_eq!(code, Some(1));
    let faults = [
        "FILE:3:3: invalid socket address",
        "FILE:4:3: invalid socket address",
        "FILE:6:10: \"10.1.2.3/16\" has bits behind its length: write \"10.1.0.0/16\" for the network or \"10.1.2.3\" for the one address",
        "FILE:6:39: \"fe80::1/10\" has bits",
        "FILE:6:53: invalid type",
        "5 fault(s)",
    ];
    assert_has(&said, &faults);
}

#[test]
fn keys_outside_of_their_table_are_sent_home() {
    let dir = directory();
    let text = "listeners = []\n[clickhouse]\nage_max_s = 1\n[qos]\n";
    let (_, said) = check(dir.path(), text, &["--offline"]);
    let faults = [
        "FILE:1:1: unknown field `listeners`",
        "`listeners` belongs below [receive]",
        "FILE:3:1: unknown field `age_max_s`",
        "`age_max_s` belongs below [spool]",
        "FILE:4:2: unknown field `qos`",
        "`qos` belongs into [enrich.qos]",
    ];
    assert_has(&said, &faults);
}

#[test]
fn spools_that_cannot_be_meant_are_told_without_a_look_at_anything_else() {
    let dir = directory();
    for (keys, fault) in [
        (
            "bytes_max = 1000000",
            "FILE:7:1: spool.bytes_max must have room for one bundle",
        ),
        (
            "directory = \"spool\"",
            "FILE:7:1: spool.directory must be an absolute path",
        ),
        (
            "free_bytes_min = 1000000000000000000",
            "FILE:7:1: spool.free_bytes_min keeps 1000000 TB free",
        ),
    ] {
        let text = well(dir.path(), &format!("[spool]\n{keys}"));
        let (code, said) = check(dir.path(), &text, &["--offline"]);
        assert_eq!(code, Some(1), "{keys}: {said}");
        assert_has(&said, &[fault]);
        // what is off needs no room
        if !keys.starts_with("directory") {
            let off = format!("{text}mode = \"off\"\n");
            let (code, said) = check(dir.path(), off, &["--offline"]);
            assert_eq!(code, Some(0), "{keys}: {said}");
        }
    }
    let (_, said) = check(dir.path(), "state_dir = \"state\"\n", &["--offline"]);
    assert_has(&said, &["FILE:1:1: state_dir must be an absolute path"]);
}

#[test]
fn the_spool_is_looked_at() {
    let dir = directory();
    // a look at the spool belongs to sinks that deliver; whether the store is there does not matter to it
    let spool = |keys: &str| {
        let text = well(
            dir.path(),
            &format!("[spool]\n{keys}\n[clickhouse]\nurl = \"http://127.0.0.1:1\""),
        );
        check(dir.path(), text, &[]).1
    };
    let said = spool("");
    assert_has(line(&said, "ok", "spool"), &["state/spool, up to "]);
    let said = spool("bytes_max = 1000000000000000000");
    assert_has(
        line(&said, "warn", "spool"),
        &["the disk has room for", "rows are shed earlier"],
    );
    // a little less than the disk has in all: more than is free
    let disk = nix::sys::statvfs::statvfs(dir.path()).expect("a disk");
    let size = disk.blocks() * disk.fragment_size();
    let said = spool(&format!("free_bytes_min = {}", size - 1));
    let fault = line(&said, "FAULT", "spool");
    assert_has(
        fault,
        &["FILE:7:1: no room", "make room, or choose another"],
    );
    // a folder below a file
    let file = dir.path().join("file");
    fs::write(&file, b"").expect("written");
    let said = spool(&format!("directory = {:?}", file.join("spool")));
    let fault = line(&said, "FAULT", "spool");
    assert_has(
        fault,
        &[
            "FILE:7:1: cannot write to",
            "give it to who runs the collector",
        ],
    );
    let said = spool("mode = \"off\"");
    assert_has(
        line(&said, "ok", "spool"),
        &["off: a kill costs the rows in memory"],
    );
}

#[test]
fn beside_a_running_collector_it_leaves_alone_what_that_holds() {
    let dir = directory();
    let free = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = free.local_addr().expect("its address");
    drop(free);
    let config = format!("[receive]\nlisteners = [\"{taken}\"]\n{DROP}");
    let collector = Collector::start(dir.path(), &config);
    let whole = fs::read_to_string(dir.path().join("flowhouse.toml")).expect("there");
    let (code, said) = check(dir.path(), &whole, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert_has(line(&said, "warn", "a collector runs on"), &["not tried"]);
    collector.stop();
    // with another state it would be in the way
    let other = whole.replace("/state\"", "/other\"");
    assert_ne!(whole, other, "{whole}");
    let socket = std::net::UdpSocket::bind(taken).expect("free again");
    let (code, said) = check(dir.path(), other, &[]);
    assert_eq!(code, Some(1), "{said}");
    let place = format!("cannot listen on {taken}");
    assert_has(line(&said, "FAULT", "listeners"), &[&place]);
    drop(socket);
}

#[test]
fn the_account_is_looked_at() {
    let dir = directory();
    let account = |keys: &str| {
        let text = well(dir.path(), &format!("{DROP}{keys}"));
        check(dir.path(), text, &[]).1
    };
    let nobody = "[privileges]\nuser = \"no-such-user\"";
    let said = account(nobody);
    if !nix::unistd::geteuid().is_root() {
        assert_has(line(&said, "FAULT", "account"), &["FILE:9:1: started as "]);
        let said = account("");
        assert_has(
            line(&said, "ok", "account"),
            &["stays who it is started as"],
        );
        return;
    }
    let fault = line(&said, "FAULT", "account");
    assert_has(
        fault,
        &["FILE:9:1: there is no user no-such-user; create it"],
    );
    let said = account("[privileges]\nuser = \"nobody\"\ngroup = \"no-such-group\"");
    assert_has(
        line(&said, "FAULT", "account"),
        &["there is no group no-such-group"],
    );
    let said = account("[privileges]\nuser = \"nobody\"");
    assert_has(
        line(&said, "ok", "account"),
        &["becomes nobody after its sockets"],
    );
    let said = account("[privileges]\nuser = \"root\"");
    assert_has(line(&said, "ok", "account"), &["stays root, as told"]);
    let said = account("");
    let own = nix::unistd::User::from_name("flowhouse").expect("looked up");
    match own {
        Some(_) => assert_has(&said, &["becomes flowhouse"]),
        None => assert_has(
            line(&said, "warn", "there is no user flowhouse"),
            &["useradd"],
        ),
    }
}

/// An address where nobody listens.
fn nobody() -> std::net::SocketAddr {
    let gone = TcpListener::bind("127.0.0.1:0").expect("a port");
    gone.local_addr().expect("its address")
}

#[test]
fn without_the_network_files_and_accounts_are_proven() {
    let dir = directory();
    fs::write(dir.path().join("short"), "x\n").expect("written");
    fs::write(dir.path().join("no.pem"), "no certificate\n").expect("written");
    let path = |name: &str| dir.path().join(name);
    let text = format!(
        "{}token_file = {:?}\n[privileges]\nuser = \"no-such-user\"\n[clickhouse]\nurl = \"https://{}\"\nca_file = {:?}\ncertificate_file = {:?}\n\
         certificate_key_file = {:?}\npassword_file = {:?}\n",
        well(dir.path(), ""),
        path("short"),
        nobody(),
        path("no.pem"),
        path("absent.pem"),
        path("absent.key"),
        path("absent"),
    );
    let (code, said) = check(dir.path(), &text, &["--offline"]);
    assert_eq!(code, Some(1), "{said}");
    let lines = |key: &str| {
        let at = text.lines().position(|l| l.starts_with(key));
        at.expect(key) + 1
    };
    for (subject, key, why) in [
        ("control", "token_file", "must begin with a line of "),
        (
            "account",
            "user",
            "there is no user no-such-user; create it",
        ),
        ("store", "ca_file", "holds no certificate in PEM form"),
        ("store", "certificate_file", "absent.pem"),
        ("store", "certificate_key_file", "absent.key"),
        ("store", "password_file", "absent"),
    ] {
        let place = format!("FAULT  {subject}: FILE:{}:", lines(key));
        let found = said.lines().find(|l| l.starts_with(&place));
        let found = found.unwrap_or_else(|| panic!("no {place}: {said}"));
        assert!(found.contains(why), "{found}");
    }
    assert_has(&said, &["6 fault(s)"]);
    // with the network it also says that nobody is there
    let (_, said) = check(dir.path(), &text, &[]);
    assert_has(
        &said,
        &["nothing listens there: start ClickHouse", "7 fault(s)"],
    );
}

#[test]
fn faults_of_the_text_hide_none_of_what_it_names() {
    let dir = directory();
    let text = format!(
        "{}[batch]\nseal_rows = 0\n[clickhouse]\nurl = \"http://{}\"\n",
        well(
            dir.path(),
            &format!("token_file = {:?}", dir.path().join("absent"))
        ),
        nobody(),
    );
    let (code, said) = check(dir.path(), &text, &[]);
    assert_eq!(code, Some(1), "{said}");
    let faults = [
        "FILE:8:1: batch.seal_rows must be 1 to",
        "FAULT  control: FILE:6:1: cannot read ",
        "FILE:10:7: http://",
        "3 fault(s)",
    ];
    assert_has(&said, &faults);
    // an address that is none cannot be asked, but what stands beside it can be looked at
    let text = text.replace("http://", "ftp://") + "password_file = \"/absent\"\n";
    let (_, said) = check(dir.path(), &text, &[]);
    let faults = [
        "FILE:10:1: clickhouse.url must be",
        "FILE:11:1: clickhouse.password_file",
        "4 fault(s)",
    ];
    assert_has(&said, &faults);
}

#[test]
fn all_that_is_wrong_with_a_store_is_told_at_once() {
    let dir = directory();
    let store = Store::start(dir.path());
    let url = store.config();
    let url = url.split('"').nth(1).expect("an address");
    let key = store.key_file();
    let text = |key: &Path| {
        let more = format!(
            "schema_apply = false\n[clickhouse]\ncluster = \"c\"\nshards = [[\"{url}\"], [\"http://{}\"]]\nkey_file = {key:?}\n",
            nobody()
        );
        // a key of the top goes before the tables
        let (top, tables) = more.split_once('\n').expect("two lines");
        format!("{top}\n{}", well(dir.path(), tables))
    };
    let sql = store.sql();
    sql.run("CREATE DATABASE flowhouse");
    sql.run("CREATE TABLE flowhouse.schema_migrations (version UInt32, name String, checksum String, applied_at DateTime64(3, 'UTC') DEFAULT now64(3)) ENGINE = MergeTree ORDER BY version");
    sql.run("INSERT INTO flowhouse.schema_migrations (version, name, checksum) VALUES (9998, 'x', 'x'), (9999, 'y', 'y')");
    let (code, said) = check(dir.path(), text(&key), &[]);
    assert_eq!(code, Some(1), "{said}");
    let faults = [
        "nothing listens there",
        "migration 9998 is Unknown, migration 9999 is Unknown: this flowhouse does not fit",
        "migration(s) are pending: run `flowhouse schema apply`",
        "3 fault(s)",
    ];
    assert_has(&said, &faults);
    // who is not let in learns that, and of the address
    let wrong = dir.path().join("wrong");
    fs::write(&wrong, "wrong\n").expect("written");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(&wrong, private).expect("mode");
    let (_, said) = check(dir.path(), text(&wrong), &[]);
    let faults = [
        "does not know this user or this password",
        "nothing listens there",
        "2 fault(s)",
    ];
    assert_has(&said, &faults);
}

/// What a script reads is what people read.
#[test]
fn json_says_the_same() {
    let dir = directory();
    let said = |text: &str| -> (Option<i32>, serde_json::Value) {
        let file = dir.path().join("flowhouse.toml");
        fs::write(&file, text).expect("written");
        let mut command = Command::new(exe());
        command
            .args(["check", "--offline", "--json", "-c"])
            .arg(&file);
        let out = command.output().expect("it runs");
        let json = serde_json::from_slice(&out.stdout).expect("JSON alone");
        (out.status.code(), json)
    };
    let root = "[privileges]\nuser = \"root\"";
    let fine = well(dir.path(), &format!("{DROP}{root}"));
    let (code, json) = said(&fine);
    assert_eq!((code, &json["faults"]), (Some(0), &0.into()), "{json}");
    let (_, text) = check(dir.path(), &fine, &["--offline"]);
    let text = text.replace("FILE", &dir.path().join("flowhouse.toml").to_string_lossy());
    let findings = json["findings"].as_array().expect("a list");
    assert_eq!(findings.len(), text.lines().count());
    for (finding, line) in findings.iter().zip(text.lines()) {
        let [state, what, text] = ["state", "what", "text"].map(|f| finding[f].as_str());
        assert_eq!(state, Some("ok"));
        assert!(line.starts_with("ok "), "{line}");
        assert!(line.ends_with(&format!(
            "{}: {}",
            what.expect("a text"),
            text.expect("a text")
        )));
    }
    let (code, json) = said("[receive]\nlistners = []\n[batch]\nseal_rows = \"many\"\n");
    assert_eq!((code, &json["faults"]), (Some(1), &2.into()), "{json}");
    let first = json["findings"][0]["text"].as_str().expect("a text");
    assert_has(first, &["flowhouse.toml:2:1", "listners"]);
}

/// It is read more than once, and a pipe gives what it has only once: that is said, and waited for is nothing.
#[test]
fn a_configuration_is_a_regular_file() {
    let dir = directory();
    let pipe = dir.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    for file in [&*pipe, Path::new("/dev/zero"), dir.path()] {
        let mut command = Command::new(exe());
        let out = command.args(["check", "--offline", "-c"]).arg(file);
        let out = out.output().expect("it runs");
        let said = String::from_utf8_lossy(&out.stdout).into_owned();
        assert_eq!(out.status.code(), Some(1), "{said}");
        assert!(said.contains("it is no regular file"), "{said}");
    }
}
