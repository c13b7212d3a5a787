//! `flowhouse top` over a store with generated traffic: filters, time ranges, what is read from where, and the screen.

use crate::harness::{Collector, Sql, Store, directory, exe, on_a_terminal, run};
use serde_json::Value;
use std::process::{Command, Stdio};

/// A store with some thousand flows of three exporters, and `top` over it.
struct World {
    _dir: tempfile::TempDir,
    store: Store,
    sql: Sql,
}

impl World {
    fn new() -> World {
        World::exporting(&[])
    }

    /// With more arguments to the generator.
    fn exporting(more: &[&str]) -> World {
        let dir = directory();
        let store = Store::start(dir.path());
        let config = format!(
            "{}[receive]\nlisteners = [\"127.0.0.1:0\"]\n[enrich.networks]\nlist = [\n\
             {{ prefix = \"10.0.0.0/8\", name = \"inside\" }},\n{{ prefix = \"0.0.0.0/1\", name = \"low\" }}]\n",
            store.config()
        );
        let collector = Collector::start(dir.path(), &config);
        let to = collector.udp[0].to_string();
        let mut generate = Command::new(exe());
        generate.args(["generate", "--to", &to, "--rate", "6000", "--flows", "6000"]);
        run(generate.args(["--exporters", "3"]).args(more));
        collector.settle(6_000);
        collector.stop();
        let sql = store.sql();
        World {
            _dir: dir,
            store,
            sql,
        }
    }

    fn top(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(exe());
        command.arg("top").args(arguments);
        command.args(["--url", &format!("http://{}", self.store.address)]);
        command.arg("--key-file").arg(self.store.key_file());
        command
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let text = run(self.top(arguments).args(["--json", "--limit", "10000"]));
        serde_json::from_str(&text).expect("JSON")
    }

    /// Bytes of all rows of a ranking, and whether it read flows one by one.
    fn bytes(&self, arguments: &[&str]) -> (u64, bool) {
        let answer = self.json(arguments);
        let rows = answer["rows"].as_array().expect("rows");
        let bytes = rows.iter().map(|r| r["bytes"].as_u64().expect("bytes"));
        (bytes.sum(), answer["raw_scan"].as_bool().expect("told"))
    }

    fn number(&self, sql: &str) -> u64 {
        self.sql.numbers(sql)[0]
    }
}

#[test]
fn conditions_choose_rows_and_the_cheapest_table() {
    let w = World::new();
    let row = &w.sql.rows(
        "SELECT app, dscp, replaceOne(toString(src_addr), '::ffff:', '') FROM flows \
         WHERE app != '' ORDER BY bytes DESC LIMIT 1",
    )[0];
    let [app, dscp, src] = &row[..] else {
        panic!("three columns")
    };
    let of_app = format!("app = {app} and dscp = {dscp}");
    let in_usage = format!("FROM usage_once WHERE app = '{app}' AND dscp = {dscp}");
    let (bytes, raw) = w.bytes(&["classes", "--where", &of_app]);
    assert!(bytes > 0 && !raw);
    assert_eq!(bytes, w.number(&format!("SELECT sum(bytes) {in_usage}")));

    // an address is in no rollup of applications
    let of_host = format!("{of_app} and src in {src}/24");
    let (raw_bytes, raw) = w.bytes(&["apps", "--where", &of_host]);
    let network =
        format!("isIPAddressInRange(replaceOne(toString(src_addr), '::ffff:', ''), '{src}/24')");
    let in_flows = format!("FROM flows WHERE app = '{app}' AND dscp = {dscp} AND {network}");
    assert!(raw && raw_bytes > 0);
    assert_eq!(
        raw_bytes,
        w.number(&format!("SELECT sum(bytes) {in_flows}"))
    );
    let table = run(&mut w.top(&["apps", "--where", &of_host]));
    assert!(
        table.contains("(raw scan of flows: no rollup has src)"),
        "{table}"
    );

    // what is left out by one condition is what the opposite takes
    let all = w.bytes(&["interfaces"]).0;
    let parts: u64 = [format!("not ({of_app})"), of_app.clone()]
        .iter()
        .map(|c| w.bytes(&["interfaces", "--where", c]).0)
        .sum();
    assert_eq!(parts, all);
    let (as_bytes, raw) = w.bytes(&["as", "--where", "as = 0 or as != 0"]);
    assert!(raw && as_bytes > 0);
    for condition in [
        "interface ~ '.' or direction = egress",
        "host = 2001:db8::1",
        "out_if > 0",
    ] {
        w.bytes(&["interfaces", "--where", condition]);
    }

    // a condition on the side of a link is not undone by counting once, from rollups or flows
    let egress = w.number("SELECT sum(bytes) FROM usage_1m WHERE direction = 'egress'");
    assert!(egress > 0);
    for (more, scanned) in [("", false), (" and port >= 0", true)] {
        for what in ["apps", "classes", "exporters"] {
            let condition = format!("direction = egress{more}");
            let (bytes, raw) = w.bytes(&[what, "--where", &condition]);
            assert_eq!((bytes, raw), (egress, scanned), "{what}{more}");
        }
    }
    let (hosts, _) = w.bytes(&["hosts", "--where", "direction = egress"]);
    let out_of = w.number("SELECT sum(bytes) FROM flows WHERE counts_egress");
    assert_eq!(hosts, 2 * out_of);
    // an empty table says why it is
    for (arguments, reason) in [
        (
            &["apps", "--exporter", "192.0.2.99"][..],
            "no exporter 192.0.2.99 is known; there are 3",
        ),
        (
            &["apps", "--where", "app = nosuch"],
            "fits the condition; without it there are",
        ),
        (
            &["apps", "--from", "2020-01-01", "--to", "2020-01-02"],
            "in that time; the last ones are of the hour from 20",
        ),
    ] {
        let said = run(&mut w.top(arguments));
        assert!(said.contains(reason), "{reason}: {said}");
        let because = w.json(arguments)["empty_because"].clone();
        assert!(
            because.as_str().is_some_and(|b| b.contains(reason)),
            "{because}"
        );
    }

    // a value is never read as SQL
    for value in [
        "x' OR 1 = 1 --",
        "\\', 1) OR (1 = 1",
        "{p1:String}",
        "?",
        "a\\",
    ] {
        let (bytes, _) = w.bytes(&["apps", "--where", &format!("app = \"{value}\"")]);
        assert_eq!(bytes, 0, "{value}");
    }
    let out = w
        .top(&["apps", "--where", "app = dns and dcsp = 46"])
        .output();
    let said = String::from_utf8(out.expect("runs").stderr).expect("text");
    assert!(
        said.contains("column 15: no field `dcsp`, did you mean `dscp`?"),
        "{said}"
    );
}

/// Exporters that meter every flow twice, where it comes in and where it goes out: flows one by one give what the rollups have.
#[test]
fn raw_flows_count_once_like_the_rollups() {
    let w = World::exporting(&["--both-directions"]);
    let twice = w.number("SELECT sum(bytes) FROM flows");
    let once = w.number("SELECT sum(bytes) FROM usage_once");
    assert!(once * 5 / 4 < twice, "{once} {twice}");
    for what in ["apps", "classes", "interfaces", "exporters", "networks"] {
        let (rolled, raw) = w.bytes(&[what, "--last", "3h"]);
        assert!(rolled > 0 && !raw, "{what}");
        let (counted, raw) = w.bytes(&[what, "--last", "3h", "--where", "port >= 0"]);
        assert!(raw, "{what}");
        let (counted, rolled) = match what {
            // without those between two networks without a name
            "networks" => {
                let named = "port >= 0 and (src_net != '' or dst_net != '')";
                (w.bytes(&[what, "--last", "3h", "--where", named]).0, rolled)
            }
            _ => (counted, rolled),
        };
        assert_eq!(counted, rolled, "{what}");
    }
    let (all, _) = w.bytes(&["exporters", "--last", "3h"]);
    assert_eq!(all, once);
    // who sends and receives: each flow has two
    let (hosts, raw) = w.bytes(&["hosts", "--last", "3h", "--where", "port >= 0"]);
    assert!(raw && hosts == 2 * once, "{hosts} {once}");
    let sides = "SELECT countIf(counted != booked) FROM \
        (SELECT exporter, if_index, direction, class, code, sum(b) AS counted FROM \
         (SELECT exporter, in_if AS if_index, 'ingress' AS direction, qos_class AS class, dscp AS code, bytes AS b FROM flows WHERE counts_ingress \
          UNION ALL SELECT exporter, out_if, 'egress', egress_qos_class, egress_dscp, bytes FROM flows WHERE counts_egress) \
         GROUP BY exporter, if_index, direction, class, code) AS f \
        FULL JOIN (SELECT exporter, if_index, direction, qos_class AS class, dscp AS code, sum(u.bytes) AS booked FROM usage_1m AS u \
         GROUP BY exporter, if_index, direction, class, code) AS u USING (exporter, if_index, direction, class, code)";
    assert_eq!(w.number(sides), 0);
}

/// In every resolution: for each exporter and interval what has an address and what has none is the usage; the bounds hold against the
/// flows; and traffic between networks is that of the flows that have one.
#[test]
fn talkers_and_networks_add_up_in_the_store() {
    let w = World::new();
    for suffix in ["1m", "5m", "1h"] {
        let usage = w.sql.rows(&format!(
            "SELECT time, exporter, sum(bytes), sum(packets), sum(flows), sum(est_bytes) FROM usage_{suffix} \
             WHERE direction = 'ingress' GROUP BY ALL ORDER BY ALL"
        ));
        assert!(usage.len() >= 3);
        for role in ["source", "destination"] {
            let talkers = w.sql.rows(&format!(
                "SELECT time, exporter, sum(bytes), sum(packets), sum(flows), sum(est_bytes) FROM talkers_{suffix} \
                 WHERE role = '{role}' GROUP BY ALL ORDER BY ALL"
            ));
            assert_eq!(talkers, usage, "{role}, {suffix}");
        }
    }
    let rows = w.sql.rows(
        "SELECT count(), countIf(t.bytes > f.bytes), countIf(t.bytes + t.missing < f.bytes) FROM \
         (SELECT exporter, address, sumIf(u.bytes, other = 0) AS bytes, sumIf(u.error_bytes, other = 0) AS missing FROM talkers_1m AS u \
          WHERE role = 'source' AND other = 0 GROUP BY exporter, address) AS t INNER JOIN \
         (SELECT exporter, src_addr AS address, sum(f.bytes) AS bytes FROM flows AS f GROUP BY exporter, address) AS f USING (exporter, address)",
    );
    let found: u64 = rows[0][0].parse().expect("a number");
    assert!(found > 50 && rows[0][1] == "0", "{rows:?}");
    let named = "FROM flows WHERE src_net != '' OR dst_net != ''";
    let want = w.sql.rows(&format!(
        "SELECT src_net, dst_net, sum(bytes) {named} GROUP BY ALL ORDER BY ALL"
    ));
    assert!(want.len() > 1);
    for suffix in ["1m", "5m", "1h"] {
        let sums = format!(
            "SELECT src_net, dst_net, sum(bytes) FROM network_usage_{suffix} GROUP BY ALL ORDER BY ALL"
        );
        assert_eq!(w.sql.rows(&sums), want, "{suffix}");
    }
    let (bytes, raw) = w.bytes(&["networks", "--where", "net = inside"]);
    let inside: u64 = want
        .iter()
        .filter(|r| r[..2].contains(&"inside".to_owned()))
        .map(|r| r[2].parse::<u64>().expect("a number"))
        .sum();
    assert_eq!((bytes, raw), (inside, false));
    let first = &w.sql.rows("SELECT replaceOne(toString(address), '::ffff:', ''), sum(bytes) FROM talkers_1m WHERE other = 0 GROUP BY address ORDER BY sum(est_bytes) DESC LIMIT 1")[0];
    let hosts = w.json(&["hosts"]);
    assert_eq!(
        (&hosts["rows"][0]["address"], hosts["raw_scan"].as_bool()),
        (&Value::from(first[0].as_str()), Some(false))
    );
    assert!(hosts["rows"][0]["error_bytes"].is_u64());
    let (bytes, raw) = w.bytes(&["hosts", "--where", &format!("host = {}", first[0])]);
    assert_eq!((bytes.to_string(), raw), (first[1].clone(), false));
}

/// One flow whose sampling nobody knows does not taint what else its minute, 5 minutes and hour have.
#[test]
fn the_unknown_share_is_that_of_the_bytes() {
    let dir = directory();
    let store = Store::start(dir.path());
    let url = format!("http://{}", store.address);
    let mut apply = Command::new(exe());
    apply.args(["schema", "apply", "--url", &url, "--key-file"]);
    run(apply.arg(store.key_file()));
    let world = World {
        sql: store.sql(),
        _dir: dir,
        store,
    };
    for (table, keys, values) in [
        ("usage", "direction, app", "'ingress', 'web'"),
        ("talkers", "role, address", "'source', '192.0.2.7'"),
        ("network_usage", "src_net", "'inside'"),
    ] {
        world.sql.run(&format!(
            "INSERT INTO flowhouse.{table}_1m (time, {keys}, est_bytes, bytes, packets, est_packets, sampling_known, est_bytes_unknown) VALUES \
             (now(), {values}, 970, 970, 10, 10, 1, 0), (now(), {values}, 30, 30, 1, 1, 0, 30)"
        ));
        for resolution in ["1m", "5m", "1h"] {
            let share =
                format!("SELECT sum(est_bytes_unknown), sum(est_bytes) FROM {table}_{resolution}");
            assert_eq!(
                world.sql.numbers(&share),
                [30, 1_000],
                "{table} {resolution}"
            );
        }
    }
    world.sql.run("OPTIMIZE TABLE flowhouse.usage_5m FINAL");
    for ranked in ["apps", "hosts", "networks"] {
        for time in [
            &["--since", "1h"][..],
            &["--since", "2d"],
            &["--since", "30d"],
        ] {
            let answer = world.json(&[&[ranked], time].concat());
            assert_eq!(
                answer["rows"][0]["sampling_unknown_share"], 0.03,
                "{answer}"
            );
        }
    }
}

#[test]
fn time_ranges_choose_minutes_and_resolution() {
    let w = World::new();
    let total = w.number("SELECT sum(bytes) FROM usage_once");
    for last in ["1h", "1d", "8d", "80d"] {
        assert_eq!(w.bytes(&["apps", "--last", last]).0, total, "{last}");
    }
    let minute = w.number("SELECT toUnixTimestamp(max(time)) FROM usage_once");
    let want = w.number(
        "SELECT sum(bytes) FROM usage_once WHERE time = (SELECT max(time) FROM usage_once)",
    );
    let (from, to) = (minute.to_string(), (minute + 60).to_string());
    let one = w.json(&["exporters", "--from", &from, "--to", &to]);
    let rows = one["rows"].as_array().expect("rows");
    assert_eq!(
        rows.iter()
            .map(|r| r["bytes"].as_u64().unwrap_or(0))
            .sum::<u64>(),
        want
    );
    // the course of a row adds up to its bytes
    for row in w.json(&["apps"])["rows"].as_array().expect("rows") {
        let course = row["course_est_bytes"].as_array().expect("a course");
        let sum: u64 = course.iter().filter_map(Value::as_u64).sum();
        assert_eq!(Some(sum), row["est_bytes"].as_u64());
    }
    let table = run(&mut w.top(&["apps", "--from", "2020-01-01T00:00Z"]));
    assert!(table.contains("course") && table.contains('█'), "{table}");
    for (wrong, what) in [
        (
            ["--from", "2030-01-01", "--to", "2029-01-01"],
            "ends before it begins",
        ),
        (["--from", "yesterday", "--to", "today"], "is no time"),
    ] {
        let out = w.top(&["apps"]).args(wrong).output().expect("runs");
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success() && said.contains(what), "{said}");
    }
}

/// On a terminal of its own: the screen is redrawn, and Ctrl-C leaves the terminal as it was.
#[test]
fn watch_redraws_and_ends_in_order() {
    let w = World::new();
    let out = w.top(&["apps", "--watch"]).stdout(Stdio::piped()).output();
    let said = String::from_utf8(out.expect("runs").stderr).expect("text");
    assert!(said.contains("--watch draws on a terminal"), "{said}");

    let shown = on_a_terminal(&w.top(&["apps", "--watch", "1"]));
    let frames = shown.matches("\u{1b}[H").count();
    assert!(frames >= 3, "{frames} frames: {shown:?}");
    assert!(shown.contains("application"));
    let (open, closed) = (shown.find("\u{1b}[?1049h"), shown.rfind("\u{1b}[?1049l"));
    assert!(open.is_some() && open < closed, "{shown:?}");
    assert!(shown.ends_with("ended with 0\n"), "{shown:?}");
}
