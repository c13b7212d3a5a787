//! Interfaces asked over SNMP: Debian's snmpd in versions 2c and 3, wrong passwords, kills in mid-poll, ifIndexes that move,
//! hostile values; and the way of names and counters into the store.

mod world;

use crate::harness::{Collector, Store, configure, directory, eventually, exe};
use flowhouse::model::{Addr, CounterSource};
use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use world::{
    AUTH, COMMUNITY, EXPORTER, Made, PRIVACY, Relay, Snmpd, USER, World, kill, pass_on, pdu,
    secret, settings,
};

const TWO: [Made; 2] = [
    Made {
        index: 1,
        name: "Gi0/1",
        alias: "to the provider",
        mbit: 1_000,
        octets: [1 << 40, 5],
    },
    Made {
        index: 7,
        name: "Gi0/7",
        alias: "",
        mbit: 100_000,
        octets: [10, 20],
    },
];

#[test]
fn interfaces_of_this_machine_by_every_version() {
    let dir = directory();
    let snmpd = Snmpd::start(dir.path());
    let open = format!(
        "version = \"3\"\nuser = \"{USER}-open\"\nauth_protocol = \"sha1\"\nauth_password = \"{AUTH}\"\nprivacy_protocol = \"none\""
    );
    for (name, text) in [
        ("2c", snmpd.v2c()),
        ("authPriv", snmpd.v3(USER, AUTH, PRIVACY)),
        ("authNoPriv", settings(snmpd.address, &open)),
    ] {
        let state = dir.path().join(name);
        fs::create_dir(&state).expect("a folder");
        let read = || -> u64 {
            let text = fs::read_to_string("/sys/class/net/lo/statistics/rx_bytes");
            text.expect("lo").trim().parse().expect("a number")
        };
        let before = read();
        let world = World::start(&state, &text);
        world.first();
        let index: u32 = fs::read_to_string("/sys/class/net/lo/ifindex")
            .expect("lo")
            .trim()
            .parse()
            .expect("a number");
        assert_eq!(world.name(index), "lo", "{name}");
        let all = world.counters();
        let lo = all.iter().find(|c| c.if_index == index);
        let lo = lo.expect("counters of lo");
        assert_eq!((lo.source, lo.exporter), (CounterSource::Snmp, EXPORTER));
        assert!(!lo.narrow && !lo.restarted && lo.received_at_ns > 0);
        // snmpd may serve figures that are some seconds old
        assert!(
            lo.in_octets <= read() && lo.in_octets + (1 << 32) > before,
            "{name}: {} of {before}",
            lo.in_octets
        );
        let stats = world.poller.stats();
        assert_eq!((stats.polls, stats.failures.len()), (1, 0), "{stats:?}");
        assert_eq!(stats.up, [(EXPORTER, true)]);
    }
}

#[test]
fn names_aliases_speeds_and_octets_come_from_the_right_columns() {
    let dir = directory();
    let snmpd = Snmpd::made_up(dir.path());
    snmpd.serve(&TWO);
    let world = World::start(dir.path(), &snmpd.v2c());
    world.first();
    let one = world.interface(1).expect("Gi0/1");
    assert_eq!(
        (&*one.name, &*one.description, one.speed),
        ("Gi0/1", "to the provider", 1_000_000_000)
    );
    assert_eq!(world.interface(7).expect("Gi0/7").speed, 100_000_000_000);
    let counters = world.counters();
    let of = |n: usize| {
        (
            counters[n].if_index,
            counters[n].in_octets,
            counters[n].out_octets,
        )
    };
    assert_eq!((of(0), of(1)), ((1, 1 << 40, 5), (7, 10, 20)));
    assert_eq!(counters[0].if_speed, 1_000_000_000);
}

#[test]
fn a_device_without_the_newer_table_is_read_by_the_older() {
    let dir = directory();
    let snmpd = Snmpd::made_up(dir.path());
    let mut lines = String::new();
    for (column, kind, value) in [
        (2, "string", "FastEthernet0/1"),
        (5, "gauge", "100000000"),
        (10, "counter", "4294967290"),
        (16, "counter", "12"),
    ] {
        writeln!(lines, ".1.3.6.1.2.1.2.2.1.{column}.3 {kind} {value}").expect("text");
    }
    snmpd.serve_lines(&lines);
    let world = World::start(dir.path(), &snmpd.v2c());
    world.first();
    let i = world.interface(3).expect("one");
    assert_eq!((&*i.name, i.speed), ("FastEthernet0/1", 100_000_000));
    let [c] = &world.counters()[..] else {
        panic!("one row")
    };
    assert!(c.narrow, "32 bits, which wrap");
    assert_eq!((c.in_octets, c.out_octets), (4_294_967_290, 12));
}

#[test]
fn a_wrong_password_is_named_and_costs_nothing_that_was_known() {
    let dir = directory();
    let snmpd = Snmpd::made_up(dir.path());
    snmpd.serve(&TWO);
    World::start(dir.path(), &snmpd.v2c()).first();
    let wrong = settings(snmpd.address, "community = \"another\"");
    for (text, kind) in [
        (wrong, "timeout"),
        (snmpd.v3(USER, "not-the-password", PRIVACY), "refused"),
        (snmpd.v3("nobody", AUTH, PRIVACY), "refused"),
        (snmpd.v3(USER, AUTH, "not-the-password"), "refused"),
    ] {
        let world = World::start(dir.path(), &text);
        world.first();
        let stats = world.poller.stats();
        assert_eq!((stats.polls, world.failures(kind)), (0, 1), "{stats:?}");
        assert_eq!(world.name(1), "Gi0/1", "of the run before");
        assert_eq!(world.counters(), []);
    }
}

#[test]
fn a_password_file_is_read_again() {
    let dir = directory();
    let snmpd = Snmpd::made_up(dir.path());
    snmpd.serve(&TWO);
    let file = secret(dir.path(), "community", "another\n");
    let text = settings(snmpd.address, &format!("community_file = {file:?}"));
    let mut world = World::start(dir.path(), &text);
    world.first();
    assert_eq!(world.failures("timeout"), 1);
    fs::write(&file, format!("{COMMUNITY}\n")).expect("written");
    world.poll();
    assert_eq!(world.name(1), "Gi0/1");
}

#[test]
fn a_kill_in_mid_poll_leaves_the_last_good_answer() {
    let dir = directory();
    let mut snmpd = Snmpd::made_up(dir.path());
    snmpd.serve(&TWO);
    World::start(dir.path(), &snmpd.v2c()).first();
    // of the next answer the first columns are read, then snmpd is gone
    for questions in [1, 2, 4, 6] {
        let renamed = TWO.map(|m| Made {
            name: "other",
            alias: "half an answer",
            ..m
        });
        snmpd.serve(&renamed);
        let (id, asked) = (snmpd.id(), AtomicUsize::new(0));
        let answer = Box::new(move |question: &[u8], theirs: &std::net::UdpSocket| {
            if asked.fetch_add(1, Relaxed) == questions {
                kill(id);
            }
            pass_on(question, theirs)
        });
        let relay = Relay::start(snmpd.address, answer);
        let text = settings(relay.address, &format!("community = \"{COMMUNITY}\""));
        let world = World::start(dir.path(), &text);
        world.first();
        assert_eq!(world.poller.stats().polls, 0);
        let one = world.interface(1).expect("kept");
        assert_eq!(
            (&*one.name, &*one.description),
            ("Gi0/1", "to the provider")
        );
        assert_eq!(world.counters(), [], "octets of half a poll");
        drop((world, relay));
        snmpd.kill();
        snmpd.run();
    }
    // and it is asked again when it is back
    let world = World::start(dir.path(), &snmpd.v2c());
    world.first();
    assert_eq!(world.name(1), "other");
}

#[test]
fn a_device_that_restarts_in_mid_poll_is_not_believed() {
    let dir = directory();
    let mut snmpd = Snmpd::made_up(dir.path());
    snmpd.serve(&TWO);
    // the answer to the first question for the uptime is that of a device that runs for minutes, the one behind the columns
    // that of one that has just started
    eventually("its uptime takes two bytes", || snmpd.uptime_cs() > 200);
    let began = AtomicBool::new(true);
    let answer = Box::new(move |question: &[u8], theirs: &std::net::UdpSocket| {
        let mut reply = pass_on(question, theirs)?;
        if question[pdu(question)] != 0xa0 {
            began.store(false, Relaxed);
        } else if began.load(Relaxed) {
            let at = reply.iter().rposition(|b| *b == 0x43).expect("ticks");
            let length = usize::from(reply[at + 1]);
            reply[at + 2..at + 2 + length].fill(0x7f);
        }
        Some(reply)
    });
    let relay = Relay::start(snmpd.address, answer);
    let text = settings(relay.address, &format!("community = \"{COMMUNITY}\""));
    let mut world = World::start(dir.path(), &text);
    world.first();
    assert_eq!(world.failures("restarted"), 1);
    assert_eq!(
        (world.name(1).as_str(), world.counters().len()),
        ("(none)", 0)
    );
    world.poll();
    assert_eq!(
        (world.name(1).as_str(), world.counters().len()),
        ("Gi0/1", 2)
    );
    snmpd.kill();
}

#[test]
fn an_index_that_moves_takes_its_name_along() {
    let dir = directory();
    let mut snmpd = Snmpd::made_up(dir.path());
    snmpd.serve(&TWO);
    let mut world = World::start(dir.path(), &snmpd.v2c());
    world.first();
    assert!(world.counters().iter().all(|c| !c.restarted));
    // restarted, and numbered anew: 7 is now what 1 was
    snmpd.kill();
    let [mut one, mut two] = TWO;
    (one.index, two.index) = (7, 9);
    (one.octets, two.octets) = ([3, 4], [5, 6]);
    snmpd.serve(&[one, two]);
    snmpd.run();
    world.poll();
    let names = [1, 7, 9].map(|i| world.name(i));
    assert_eq!(names, ["(none)", "Gi0/1", "Gi0/7"]);
    let restarted: Vec<_> = world
        .counters()
        .iter()
        .map(|c| (c.if_index, c.restarted))
        .collect();
    // the one that has another name than before is marked in any case, by its uptime or by its name
    assert!(restarted.contains(&(7, true)), "{restarted:?}");
    // without a restart: the names alone tell
    (one.index, two.index) = (9, 7);
    snmpd.serve(&[one, two]);
    world.poll();
    let restarted: Vec<_> = world
        .counters()
        .iter()
        .map(|c| (c.if_index, c.restarted))
        .collect();
    assert_eq!(restarted, [(7, true), (9, true)]);
    assert_eq!([7, 9].map(|i| world.name(i)), ["Gi0/7", "Gi0/1"]);
}

#[test]
fn hostile_values_cost_a_field_and_are_counted() {
    let dir = directory();
    let snmpd = Snmpd::made_up(dir.path());
    let x = ".1.3.6.1.2.1.31.1.1.1";
    let hex = |bytes: &[u8]| -> String {
        let all: Vec<String> = bytes.iter().map(|b| format!("{b:02x}")).collect();
        all.join(" ")
    };
    let lines = format!(
        "{x}.1.1 octet {}\n{x}.1.2 octet {}\n{x}.1.3 gauge 7\n{x}.1.4 string plain\n{x}.1.4294967295 string far\n\
         {x}.1.0 string zero\n{x}.1.5.6 string twice\n{x}.6.1 integer -5\n{x}.6.4 counter64 18446744073709551615\n\
         {x}.10.4 counter64 18446744073709551615\n{x}.15.1 integer -1\n{x}.15.4 gauge 4294967295\n{x}.18.4 octet {}\n",
        hex(&[b'n'; 1_000]),
        hex(b"\x1b[2J\xff\xfename\x07"),
        hex("\u{202e}drawkcab\0".as_bytes()),
    );
    snmpd.serve_lines(&lines);
    let world = World::start(dir.path(), &snmpd.v2c());
    world.first();
    let stats = world.poller.stats();
    assert_eq!((stats.polls, stats.failures.len()), (1, 0), "{stats:?}");
    assert_eq!(world.name(1), "n".repeat(64));
    assert_eq!(world.name(2), "[2J\u{fffd}\u{fffd}name");
    assert_eq!(world.name(3), "", "a number is no name");
    let plain = world.interface(4).expect("plain");
    assert_eq!((&*plain.name, &*plain.description), ("plain", "drawkcab"));
    assert_eq!(
        plain.speed, 0,
        "the greatest number says that it does not know"
    );
    for index in [0, 5, 0xffff_ffff] {
        assert_eq!(world.name(index), "(none)");
    }
    assert!(stats.values_odd >= 5 && stats.texts_cut == 1, "{stats:?}");
    let counters = world.counters();
    let rows: Vec<_> = counters.iter().map(|c| (c.if_index, c.in_octets)).collect();
    assert_eq!(rows, [(4, u64::MAX)], "both directions or none");
}

#[test]
fn answers_that_turn_in_circles_or_never_end_have_an_end() {
    let dir = directory();
    let snmpd = Snmpd::made_up(dir.path());
    snmpd.serve(&TWO);
    // each walk gets back what it asked: no step forward
    let circle = Box::new(|question: &[u8], theirs: &std::net::UdpSocket| {
        let at = pdu(question);
        if question[at] != 0xa5 {
            return pass_on(question, theirs);
        }
        let mut reply = question.to_vec();
        reply[at] = 0xa2;
        Some(reply)
    });
    // what comes back is no answer at all
    let noise = Box::new(|question: &[u8], _: &std::net::UdpSocket| {
        let mut reply = question.to_vec();
        reply.reverse();
        Some(reply)
    });
    for (relay, kinds) in [
        (Relay::start(snmpd.address, circle), &["malformed"][..]),
        (
            Relay::start(snmpd.address, noise),
            &["timeout", "malformed"],
        ),
    ] {
        let text = settings(relay.address, &format!("community = \"{COMMUNITY}\""));
        let world = World::start(dir.path(), &text);
        world.first();
        let failed: u64 = kinds.iter().map(|k| world.failures(k)).sum();
        assert_eq!(failed, 1, "{:?}", world.poller.stats());
        assert_eq!(world.name(1), "(none)");
    }
}

#[test]
fn more_interfaces_than_there_is_room_for_are_left_out_and_counted() {
    let dir = directory();
    let snmpd = Snmpd::made_up(dir.path());
    let many: Vec<Made> = (1..=50).map(|index| Made { index, ..TWO[0] }).collect();
    snmpd.serve(&many);
    let state = |name: &str| {
        let state = dir.path().join(name);
        fs::create_dir(&state).expect("a folder");
        state
    };
    let few = format!("interfaces_per_exporter_max = 20\n{}", snmpd.v2c());
    let world = World::start(&state("few"), &few);
    world.first();
    assert_eq!(
        (world.name(20).as_str(), world.name(21).as_str()),
        ("Gi0/1", "(none)")
    );
    let stats = world.poller.stats();
    assert!(
        stats.interfaces == 20 && stats.columns_full >= 5,
        "{stats:?}"
    );
    let none = format!("interfaces_max = 49\n{}", snmpd.v2c());
    let world = World::start(&state("none"), &none);
    world.first();
    assert_eq!(world.name(1), "(none)");
    assert_eq!(world.poller.stats().interfaces_refused, 50);
    // rows of counters that nobody takes
    let slow = format!("counters_max = 30\n{}", snmpd.v2c());
    let world = World::start(&state("slow"), &slow);
    world.first();
    assert_eq!(world.poller.stats().counters_dropped, 20);
    let left: Vec<u32> = world.counters().iter().map(|c| c.if_index).collect();
    assert_eq!(left, (21..=50).collect::<Vec<_>>(), "the oldest went");
    // exporters, too
    let seen: Vec<Addr> = (1..=5).map(|n| Addr::from_v4([198, 51, 100, n])).collect();
    let wide = "exporters_max = 3\ntimeout_ms = 50\nretries = 0\n[access.all]\nexporters = [\"198.51.100.0/24\"]\ncommunity = \"x\"";
    let world = World::seeing(&state("wide"), wide, seen);
    eventually("three are asked, two are not", || {
        let s = world.poller.stats();
        (s.exporters, s.exporters_refused) == (3, 2)
    });
}

#[test]
fn pauses_grow_while_nobody_answers_and_end_when_somebody_does() {
    let dir = directory();
    let mut snmpd = Snmpd::made_up(dir.path());
    snmpd.serve(&TWO);
    snmpd.kill();
    let mut world = World::start(dir.path(), &snmpd.v2c());
    world.first();
    assert_eq!(world.poller.stats().open, 0, "once is no habit");
    assert!(world.poller.stats().failures.values().sum::<u64>() == 1);
    snmpd.run();
    world.poll();
    let stats = world.poller.stats();
    assert_eq!(
        (stats.polls, stats.open, &stats.up[..]),
        (1, 0, &[(EXPORTER, true)][..])
    );
}

#[test]
fn names_and_counters_reach_the_store_and_secrets_reach_nothing() {
    let dir = directory();
    let store = Store::start(dir.path());
    let snmpd = Snmpd::made_up(dir.path());
    snmpd.serve(&TWO);
    let base = format!(
        "[receive]\nlisteners = [\"127.0.0.1:0\"]\n{}",
        store.config()
    );
    let snmp = |community: &str| {
        let target = snmpd.address;
        format!(
            "[snmp]\ninterval_s = 10\ntimeout_ms = 400\nretries = 1\n[snmp.targets]\n\"127.0.0.1\" = \"{target}\"\n\
             [snmp.access.lab]\nexporters = [\"127.0.0.0/8\"]\ncommunity = \"{community}\"\n\
             [[enrich.classify]]\nwhen = 'interface.alias.matches(\"provider\")'\nrole = \"internet\"\n\
             [[enrich.interfaces]]\nexporter = \"127.0.0.1\"\nindex = 7\nalias = \"mine\"\n"
        )
    };
    let collector = Collector::start(dir.path(), &format!("{base}{}", snmp("another-hush")));
    // an exporter is asked once it has sent something
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").expect("a port");
    let flow = || {
        let mut v5 = [0u8; 72];
        (v5[1], v5[3]) = (5, 1);
        (v5[24 + 13], v5[24 + 15]) = (1, 7);
        socket.send_to(&v5, collector.udp[0]).expect("sent");
    };
    flow();
    collector.logs("no answer from");
    collector.settle(1);
    configure(dir.path(), &format!("{base}{}", snmp(COMMUNITY)));
    let (status, text) = collector.reload();
    assert_eq!(status, 200, "{text}");
    assert!(
        text.contains("snmp.access.lab.community: (secret) -> (secret)"),
        "{text}"
    );
    let sql = store.sql();
    eventually("counters are stored", || {
        sql.numbers("SELECT count() FROM interface_counters WHERE source = 'snmp'") != [0]
    });
    let counters = sql.rows(
        "SELECT DISTINCT IPv6NumToString(exporter), if_index, in_octets, out_octets, if_speed, narrow, restarted FROM interface_counters ORDER BY if_index",
    );
    let row = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        counters,
        [
            row("::ffff:127.0.0.1 1 1099511627776 5 1000000000 0 0"),
            row("::ffff:127.0.0.1 7 10 20 100000000000 0 0")
        ]
    );
    flow();
    collector.settle(2);
    let names = "SELECT if_index, name, description, role FROM interfaces FINAL ORDER BY if_index";
    let want = [
        ["1", "Gi0/1", "to the provider", "internet"],
        ["7", "Gi0/7", "mine", ""],
    ];
    eventually("names are stored", || sql.rows(names) == want);
    assert_eq!(collector.metric("flowhouse_snmp_up"), 1.0);
    assert!(collector.metric("flowhouse_snmp_polls_total") >= 1.0);
    assert_eq!(collector.metric("flowhouse_snmp_poll_failures_total"), 1.0);
    let (_, metrics) = collector.page("/metrics");
    let mut said = collector.said.clone();
    said.extend(collector.log());
    said.push(metrics);
    collector.stop();
    said.push(fs::read_to_string(dir.path().join("state/snmp.json")).expect("kept"));
    assert!(said.last().is_some_and(|s| s.contains("Gi0/1")));
    for text in said {
        assert!(!text.contains("hush"), "{text}");
    }
}

#[test]
fn check_says_what_is_wrong() {
    let dir = directory();
    let file = dir.path().join("flowhouse.toml");
    let check = |text: &str| {
        fs::write(&file, text).expect("written");
        let mut check = Command::new(exe());
        let out = check.args(["check", "--offline", "-c"]).arg(&file).output();
        let out = out.expect("it runs");
        let said = [out.stdout, out.stderr].concat();
        (
            out.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        )
    };
    let access = "[snmp.access.core]\nexporters = [\"192.0.2.0/24\"]\n";
    for (text, parts) in [
        (
            format!("{access}comunity = \"x\"\n"),
            &["3:1", "comunity", "community"][..],
        ),
        (
            format!("{access}version = \"3\"\n"),
            &["snmp.access.core.user is missing"],
        ),
        (
            access.to_owned(),
            &[
                "snmp.access.core.community is missing",
                "FLOWHOUSE_SNMP_COMMUNITY",
            ],
        ),
        (
            format!("{access}community_file = \"/nonexistent/hush\"\n"),
            &["snmp.access.core.community_file: /nonexistent/hush cannot be read"],
        ),
        (
            "[snmp]\ninterval_s = 900\n".into(),
            &["2:1", "snmp.interval_s must be 10 to 300"],
        ),
        (
            format!("{access}community = 5\n"),
            &["3:", "must be a text in quotes"],
        ),
    ] {
        let (fine, said) = check(&text);
        assert!(!fine, "{text}");
        for part in parts {
            assert!(said.contains(part), "{text}: {part}: {said}");
        }
    }
    let open = secret(dir.path(), "open", "hush\n");
    let text = format!("{access}community_file = {open:?}\n");
    let (fine, said) = check(&text);
    assert!(fine && said.contains("ok     SNMP: 1 access(es)"), "{said}");
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644)).expect("its mode");
    let (fine, said) = check(&text);
    assert!(
        !fine && said.contains("chmod o-rwx") && !said.contains("hush\n"),
        "{said}"
    );
}
