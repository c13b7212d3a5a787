//! Against the real engine. Needs its library, which `make test` installs.

use super::{bundle, sealer};
use clickhouse::Client;
use flowhouse::batch::{Bundle, Extra, RowRef};
use flowhouse::model::*;
use flowhouse::sink::clickhouse::{Connection, Sink};
use flowhouse::sink::native::{Compression, EncodedSection, Encoder};
use flowhouse::sink::schema::{self, MIGRATIONS, State};
use flowhouse::sink::{Error, Settings, hop};
use flowhouse::store::{SpawnOptions, StoreProcess, library, spawn};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A store of its own with the schema applied.
pub(super) struct Store {
    pub(super) process: StoreProcess,
    runtime: tokio::runtime::Runtime,
    client: Client,
    _folder: tempfile::TempDir,
}

impl Store {
    pub(super) fn start() -> Store {
        let folder = tempfile::tempdir().expect("folder");
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(folder.path(), open).expect("mode");
        let data = folder.path().join("data");
        if let Err(error) = library::find(None, &data) {
            panic!("{error}; `make test` installs it");
        }
        let process = spawn(&SpawnOptions {
            exe: Some(env!("CARGO_BIN_EXE_flowhouse").into()),
            memory_max: Some(2 << 30),
            ..SpawnOptions::new(data)
        })
        .expect("store");
        let client = connection(&process, &process.url).client().expect("client");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("runtime");
        runtime.block_on(schema::apply(&client)).expect("applied");
        Store {
            process,
            runtime,
            client,
            _folder: folder,
        }
    }

    /// The first column of the first row, a number.
    pub(super) fn number(&self, sql: &str) -> u64 {
        let one = format!("SELECT toUInt64(ifNull(x, 0)) FROM ({sql})");
        self.runtime
            .block_on(self.client.query(&one).fetch_one::<u64>())
            .expect(sql)
    }

    pub(super) fn run(&self, sql: &str) {
        self.runtime
            .block_on(self.client.query(sql).execute())
            .expect(sql);
    }

    pub(super) fn now_ns(&self) -> i64 {
        self.number("SELECT toUnixTimestamp(now()) AS x") as i64 * 1_000_000_000
    }

    /// Sends sections as they are, one after the other.
    fn insert(&self, sections: &[EncodedSection]) {
        for s in sections {
            let sql = format!(
                "INSERT INTO {} ({}) FORMAT Native",
                s.table.name(),
                s.columns
            );
            let mut insert = self
                .client
                .insert_formatted_with(sql)
                .with_setting("async_insert", "0");
            insert = insert.with_setting("insert_deduplication_token", &s.token);
            if s.compression == Compression::Lz4 {
                insert = insert.with_setting("decompress", "1");
            }
            let sent = async {
                insert.send(s.body.clone()).await?;
                insert.end().await
            };
            self.runtime
                .block_on(sent)
                .unwrap_or_else(|e| panic!("{}: {e}", s.table.name()));
        }
    }
}

pub(super) fn connection(process: &StoreProcess, url: &str) -> Connection {
    Connection {
        url: url.into(),
        password: Some(process.key.clone()),
        ..Default::default()
    }
}

#[test]
fn migrations_apply_once_and_newer_ones_are_refused() {
    let store = Store::start();
    let block = |f| store.runtime.block_on(f);
    let other = store.client.clone().with_database("elsewhere");
    let lines = store
        .runtime
        .block_on(schema::status(&other))
        .expect("status");
    assert!(lines.iter().all(|l| l.state == State::Pending));
    let missing = block(schema::check(&other)).expect_err("nothing there");
    assert!(
        matches!(
            missing,
            Error::SchemaPending {
                name: "0001_flows.sql"
            }
        ),
        "{missing}"
    );
    assert!(
        store
            .runtime
            .block_on(schema::apply(&store.client))
            .expect("again")
            .is_empty()
    );
    block(schema::check(&store.client)).expect("complete");
    // the statements themselves can be repeated, too
    for m in MIGRATIONS {
        schema::statements(m.sql)
            .into_iter()
            .for_each(|s| store.run(s));
    }
    store.run("INSERT INTO schema_migrations (version, name, checksum) VALUES (99, 'x', 'y')");
    let lines = store
        .runtime
        .block_on(schema::status(&store.client))
        .expect("status");
    assert_eq!(
        lines.last().map(|l| (l.version, l.state)),
        Some((99, State::Unknown))
    );
    let refused = block(schema::check(&store.client)).expect_err("newer");
    assert!(
        matches!(refused, Error::SchemaNewer { store: 99, .. }),
        "{refused}"
    );
    assert!(
        store
            .runtime
            .block_on(schema::apply(&store.client))
            .is_err()
    );
    store.run("TRUNCATE TABLE schema_migrations");
    store.run("INSERT INTO schema_migrations (version, name, checksum) VALUES (1, 'x', 'other')");
    let changed = block(schema::check(&store.client)).expect_err("changed");
    assert!(matches!(changed, Error::SchemaChanged { .. }), "{changed}");
}

/// A number of bits, small ones as often as large ones.
fn odd(rng: &mut SmallRng) -> u64 {
    let bits = rng.random_range(0..=64);
    if bits == 0 {
        0
    } else {
        rng.random::<u64>() >> (64 - bits)
    }
}

/// The low bits of a number.
trait Cut {
    fn cut(n: u64) -> Self;
}

macro_rules! cut {
    ($($t:ty),*) => { $( impl Cut for $t {
        fn cut(n: u64) -> Self {
            n as $t
        }
    } )* };
}

cut!(u8, u16, u32, u64, i64);

/// Fills columns of any integer type with odd numbers.
macro_rules! fill {
    ($rng:expr, $rows:expr, $group:expr, $($column:ident),*) => {
        $( $group.$column = (0..$rows).map(|_| Cut::cut(odd($rng))).collect(); )*
    };
}

fn addrs(rng: &mut SmallRng, rows: usize) -> Vec<Addr> {
    let addr = |rng: &mut SmallRng| match rng.random_range(0..3) {
        0 => Addr::UNSPECIFIED,
        1 => Addr::from_v4(rng.random()),
        _ => Addr::from_v6(rng.random()),
    };
    (0..rows).map(|_| addr(rng)).collect()
}

/// A batch with random values in every column of random groups.
fn random_batch(rng: &mut SmallRng, now_ns: i64, first: u64) -> FlowBatch {
    let mut b = FlowBatch::new();
    let rows = rng.random_range(1..60);
    for i in 0..rows {
        let exporter = Addr::from_v4([192, 0, 2, rng.random_range(0..4)]);
        let source = if rng.random() {
            exporter
        } else {
            Addr::from_v4([198, 51, 100, 1])
        };
        let p = b.push_provenance(Provenance {
            exporter,
            exporter_source: source,
            exporter_port: rng.random(),
            domain: odd(rng) as u32,
            origin: Origin::ALL[rng.random_range(0..Origin::ALL.len())],
            received_at_ns: now_ns - rng.random_range(0..3 * 86_400) * 1_000_000_000,
            exported_at_ms: odd(rng) as i64,
            datagram: first + i as u64,
            frame: 0,
        });
        b.core.provenance.push(p);
    }
    random_core(rng, &mut b, rows);
    random_groups(rng, &mut b, rows);
    b.commit(rows);
    b
}

fn random_core(rng: &mut SmallRng, b: &mut FlowBatch, rows: usize) {
    let c = &mut b.core;
    fill!(
        rng, rows, c, bytes, packets, start_ms, end_ms, present, in_if, out_if, src_as, dst_as
    );
    fill!(
        rng,
        rows,
        c,
        sampling_interval,
        flags,
        app_id,
        src_port,
        dst_port,
        vlan,
        tcp_flags,
        record
    );
    fill!(
        rng,
        rows,
        c,
        proto,
        tos,
        src_mask,
        dst_mask,
        direction,
        flow_end_reason,
        forwarding_status
    );
    fill!(rng, rows, c, ip_version, app_confidence);
    c.src_addr = addrs(rng, rows);
    c.dst_addr = addrs(rng, rows);
    if rng.random() {
        c.next_hop = addrs(rng, rows);
    }
    c.app = (0..rows).map(|_| rng.random_range(0..400)).collect();
    c.app_proto = (0..rows).map(|_| rng.random_range(0..3)).collect();
    c.qos_class = (0..rows).map(|_| rng.random_range(0..2)).collect();
    c.sampling_source = (0..rows).map(|_| rng.random_range(0..5)).collect();
    c.app_source = (0..rows).map(|_| rng.random_range(0..7)).collect();
    c.half = (0..rows).map(|_| rng.random_range(0..3)).collect();
}

fn random_groups(rng: &mut SmallRng, b: &mut FlowBatch, rows: usize) {
    if rng.random() {
        let (src, dst) = (addrs(rng, rows), addrs(rng, rows));
        let g = b.nat_mut();
        fill!(rng, rows, g, nat_src_port, nat_dst_port, nat_event);
        (g.nat_src_addr, g.nat_dst_addr) = (src, dst);
        let g = b.firewall_mut();
        fill!(
            rng,
            rows,
            g,
            flow_id,
            event_ms,
            fw_ext_event,
            firewall_event
        );
    }
    if rng.random() {
        let g = b.layer2_mut();
        fill!(
            rng,
            rows,
            g,
            src_mac,
            dst_mac,
            post_src_mac,
            post_dst_mac,
            l2_bytes,
            layer2_segment_id
        );
        fill!(
            rng,
            rows,
            g,
            ethertype,
            post_vlan,
            dot1q_vlan,
            post_dot1q_vlan,
            dot1q_customer_vlan
        );
        let g = b.link_mut();
        fill!(
            rng,
            rows,
            g,
            in_phys_if,
            out_phys_if,
            ingress_vrf,
            egress_vrf,
            ipv6_flow_label
        );
        fill!(rng, rows, g, icmp_type_code, ttl, post_tos);
        let g = b.counters_mut();
        fill!(
            rng,
            rows,
            g,
            out_bytes,
            out_packets,
            bytes_total,
            packets_total
        );
    }
    if rng.random() {
        for _ in 0..rows {
            let numbers: Vec<u32> = (0..rng.random_range(0..5))
                .map(|_| odd(rng) as u32)
                .collect();
            let (path, _) = b.push_path(&numbers);
            b.bgp_mut().dst_as_path.push(path);
            let mut stack = MplsStack {
                positions: rng.random_range(0..1 << 10),
                ..Default::default()
            };
            stack
                .entries
                .iter_mut()
                .for_each(|e| *e = rng.random_range(0..1 << 24));
            b.mpls_mut().mpls.push(stack);
        }
        let next_hop = addrs(rng, rows);
        let g = b.bgp_mut();
        fill!(rng, rows, g, src_peer_as, dst_peer_as);
        g.bgp_next_hop = next_hop;
    }
    if rng.random() {
        for _ in 0..rows {
            let mut text = || {
                let bytes: Vec<u8> = (0..rng.random_range(0..200))
                    .map(|_| rng.random())
                    .collect();
                b.push_text(&bytes).0
            };
            let all = [text(), text(), text(), text()];
            let g = b.texts_mut();
            g.user_name.push(all[0]);
            g.server_name.push(all[1]);
            g.app_name.push(all[2]);
            g.if_name.push(all[3]);
        }
    }
}

/// (column as SQL gives it, column as the batch has it): the second list is written from the model alone.
fn columns_of(b: &FlowBatch, i: usize, names: &Names) -> Vec<(&'static str, String)> {
    let p = b.provenance_of(i);
    let hex = |a: Addr| a.0.iter().map(|x| format!("{x:02X}")).collect::<String>();
    let text = |t: &[u8]| t.iter().map(|x| format!("{x:02X}")).collect::<String>();
    let mut all = Vec::new();
    macro_rules! numbers {
        ($group:expr, $($column:ident),*) => { $( all.push((stringify!($column), {
            let cell = $group.map(|g| g.$column[i]);
            cell.unwrap_or_default().to_string()
        })); )* };
    }
    macro_rules! addresses {
        ($group:expr, $($column:ident),*) => { $( all.push((concat!("hex(", stringify!($column), ")"), {
            hex($group.map(|g| g.$column[i]).unwrap_or_default())
        })); )* };
    }
    macro_rules! texts {
        ($($column:ident),*) => { $( all.push((concat!("hex(", stringify!($column), ")"), {
            text(b.texts.as_ref().map_or(&[], |g| b.text(g.$column[i])))
        })); )* };
    }
    let core = Some(&b.core);
    numbers!(
        core,
        bytes,
        packets,
        start_ms,
        end_ms,
        present,
        in_if,
        out_if,
        src_as,
        dst_as,
        sampling_interval
    );
    numbers!(
        core, flags, app_id, src_port, dst_port, vlan, tcp_flags, record, proto, tos, src_mask,
        dst_mask
    );
    numbers!(
        core,
        direction,
        flow_end_reason,
        forwarding_status,
        ip_version,
        app_confidence
    );
    addresses!(core, src_addr, dst_addr, next_hop);
    let nat = b.nat.as_deref();
    numbers!(nat, nat_src_port, nat_dst_port, nat_event);
    addresses!(nat, nat_src_addr, nat_dst_addr);
    numbers!(
        b.firewall.as_deref(),
        flow_id,
        event_ms,
        fw_ext_event,
        firewall_event
    );
    let layer2 = b.layer2.as_deref();
    numbers!(
        layer2,
        src_mac,
        dst_mac,
        post_src_mac,
        post_dst_mac,
        l2_bytes,
        layer2_segment_id,
        ethertype
    );
    numbers!(
        layer2,
        post_vlan,
        dot1q_vlan,
        post_dot1q_vlan,
        dot1q_customer_vlan
    );
    let link = b.link.as_deref();
    numbers!(
        link,
        in_phys_if,
        out_phys_if,
        ingress_vrf,
        egress_vrf,
        ipv6_flow_label,
        icmp_type_code,
        ttl,
        post_tos
    );
    numbers!(
        b.counters.as_deref(),
        out_bytes,
        out_packets,
        bytes_total,
        packets_total
    );
    numbers!(b.bgp.as_deref(), src_peer_as, dst_peer_as);
    addresses!(b.bgp.as_deref(), bgp_next_hop);
    texts!(user_name, server_name, app_name, if_name);
    let path = b.bgp.as_ref().map_or(&[][..], |g| b.path(g.dst_as_path[i]));
    all.push((
        "toString(dst_as_path)",
        format!("{path:?}").replace(' ', ""),
    ));
    let stack = b.mpls.as_ref().map(|g| g.mpls[i]).unwrap_or_default();
    let labels = stack
        .iter()
        .map(|(p, l, e, s)| format!("({p},{l},{e},{})", u8::from(s)));
    all.push((
        "toString(mpls)",
        format!("[{}]", labels.collect::<Vec<_>>().join(",")),
    ));
    all.push(("app", names.apps.name(b.core.app[i]).into()));
    all.push(("app_proto", names.apps.name(b.core.app_proto[i]).into()));
    all.push((
        "qos_class",
        names.classes.name(b.core.qos_class[i].into()).into(),
    ));
    all.push(("half", b.row(i).half().name().into()));
    all.push(("sampling_source", b.row(i).sampling_source().name().into()));
    all.push((
        "app_source",
        AppSource::from_number(b.core.app_source[i]).name().into(),
    ));
    all.push(("origin", p.origin.name().into()));
    all.push(("hex(exporter)", hex(p.exporter)));
    let other = p.exporter_source != p.exporter;
    all.push((
        "hex(exporter_source)",
        hex(if other {
            p.exporter_source
        } else {
            Addr::UNSPECIFIED
        }),
    ));
    all.push(("exporter_port", p.exporter_port.to_string()));
    all.push(("observation_domain", p.domain.to_string()));
    all.push(("exported_ms", p.exported_at_ms.to_string()));
    all.push(("datagram", p.datagram.to_string()));
    all.push((
        "toUnixTimestamp(received_at)",
        (p.received_at_ns / 1_000_000_000).to_string(),
    ));
    all.push(("dscp", (b.core.tos[i] >> 2).to_string()));
    all.push(("ecn", (b.core.tos[i] & 3).to_string()));
    all
}

fn read_back(store: &Store, bundle: &Bundle) {
    let all = bundle.order.iter().copied();
    let all = all.map(|r: RowRef| columns_of(&bundle.flows[r.batch()], r.row(), &bundle.names));
    let mut want: Vec<_> = all.collect();
    let number = |row: &Vec<(&str, String)>| {
        let datagram = row.iter().find(|(name, _)| *name == "datagram");
        datagram.expect("there").1.parse::<u64>().expect("a number")
    };
    want.sort_by_key(number);
    let columns: Vec<_> = want[0]
        .iter()
        .map(|c| format!("toString({})", c.0))
        .collect();
    let sql = format!(
        "SELECT [{}] FROM flows ORDER BY datagram",
        columns.join(", ")
    );
    let got = store
        .runtime
        .block_on(store.client.query(&sql).fetch_all::<Vec<String>>())
        .expect("read");
    assert_eq!(got.len(), want.len());
    for (got, want) in got.iter().zip(&want) {
        for (got, (name, want)) in got.iter().zip(want) {
            assert_eq!(got, want, "{name}");
        }
    }
}

/// What is encoded, inserted and selected is what was there, for every column and any groups.
#[test]
fn blocks_read_back_as_they_were_written() {
    let store = Store::start();
    let now_ns = store.now_ns();
    let mut names = Names::default();
    (1..400).for_each(|i| drop(names.apps.push(&format!("application-{i}")).to_string()));
    names.classes.push("voice");
    let names = Arc::new(names);
    for seed in 0..12 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let mut sealer = sealer(seed.into());
        for n in 0..rng.random_range(1..12) {
            let batch = random_batch(&mut rng, now_ns, n * 1000);
            sealer.push(batch, now_ns);
        }
        let bundle = sealer
            .seal(now_ns, Extra::default(), names.clone())
            .expect("rows");
        let compression = [Compression::None, Compression::Lz4][seed as usize % 2];
        let encoded = Encoder::new(compression).encode(&bundle);
        assert!(encoded.sections.len() > 1, "several days, and exporters");
        store.insert(&encoded.sections);
        eprintln!("seed {seed}: {} rows", bundle.flow_rows());
        read_back(&store, &bundle);
        let batches = store.number("SELECT uniqExact(batch) AS x FROM flows");
        let flows = bundle.batches.iter().filter(|b| b.table.name() == "flows");
        assert_eq!(batches, flows.count() as u64);
        store.run("TRUNCATE TABLE flows");
    }
}

/// Every small table takes its rows.
#[test]
fn inventory_and_counters_read_back() {
    use flowhouse::batch::LedgerRow;
    use flowhouse::ledger::Outcome;
    let store = Store::start();
    let now_ns = store.now_ns();
    let exporter = Addr::from_v4([192, 0, 2, 1]);
    let interface = |name: &str| Learned::Interface {
        exporter,
        if_index: 3,
        name: name.into(),
        description: String::new(),
        speed: 1_000_000_000,
    };
    let extra = |name| Extra {
        learned: vec![
            interface(name),
            Learned::Application {
                exporter,
                app_id: 3 << 56 | 443,
                name: "https".into(),
                description: "web".into(),
            },
            Learned::Vrf {
                exporter,
                vrf: 9,
                name: name.into(),
            },
            Learned::ObservationPoint {
                exporter,
                priority: 10,
                side: "egress",
            },
            Learned::Template {
                exporter,
                port: 2055,
                version: 9,
                domain: 1,
                id: 256,
                options: true,
                layout: "0.1/4".into(),
                planned: false,
            },
            Learned::Counters(Box::new(InterfaceCounters {
                exporter,
                received_at_ns: now_ns,
                in_octets: 7,
                ..Default::default()
            })),
        ],
        ledger: vec![LedgerRow {
            minute_s: (now_ns / 60_000_000_000 * 60) as u32,
            exporter: exporter.0,
            domain: 1,
            outcome: Outcome::Rows,
            count: 5,
        }],
        ..Default::default()
    };
    let mut sealer = sealer(1);
    let mut encoder = Encoder::new(Compression::Lz4);
    for (n, name) in ["old", "new"].into_iter().enumerate() {
        let sealed_at = now_ns + n as i64 * 1_000_000_000;
        let bundle = sealer
            .seal(sealed_at, extra(name), Arc::default())
            .expect("rows");
        store.insert(&encoder.encode(&bundle).sections);
    }
    let yes = |sql: &str| assert_eq!(store.number(&format!("SELECT {sql} AS x")), 1, "{sql}");
    yes("(SELECT (name, speed) FROM interfaces FINAL) = ('new', 1000000000)");
    yes(
        "(SELECT (app_id, name, description) FROM applications FINAL) = (216172782113784251, 'https', 'web')",
    );
    yes("(SELECT (vrf, name) FROM vrfs FINAL) = (9, 'new')");
    yes("(SELECT (priority, side) FROM observation_points FINAL) = (10, 'egress')");
    yes(
        "(SELECT (port, version, id, options, layout, planned) FROM templates FINAL) = (2055, 9, 256, 1, '0.1/4', 0)",
    );
    yes("(SELECT sum(in_octets) FROM interface_counters) = 14");
    yes("(SELECT (outcome, sum(count)) FROM ledger GROUP BY outcome) = ('rows', 10)");
}

/// Passes bytes between clients and the store, and hangs up on the clients at every third answer.
fn cutting_proxy(store: String) -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let answers = Arc::new(AtomicU64::new(0));
    let count = answers.clone();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = TcpStream::connect(&store) else {
                continue;
            };
            let (up, mut down) = (client.try_clone().expect("fd"), client);
            let (mut to, mut from) = (server.try_clone().expect("fd"), server);
            std::thread::spawn(move || std::io::copy(&mut &up, &mut to));
            let count = count.clone();
            std::thread::spawn(move || {
                let mut buffer = [0; 65_536];
                while let Ok(n @ 1..) = from.read(&mut buffer) {
                    // the store has answered, so the rows are in; the client will not know
                    let cut = count.fetch_add(1, Relaxed) % 3 == 1;
                    if cut || down.write_all(&buffer[..n]).is_err() {
                        break;
                    }
                }
                let _ = down.shutdown(Shutdown::Both);
                let _ = from.shutdown(Shutdown::Both);
            });
        }
    });
    (url, answers)
}

#[test]
fn lost_answers_double_nothing_in_flows_and_rollups() {
    let store = Store::start();
    let now_ns = store.now_ns();
    let address = store.process.url.trim_start_matches("http://").to_owned();
    let (url, answers) = cutting_proxy(address);
    let settings = Settings {
        backoff_ms: 1,
        backoff_max_ms: 20,
        ..Default::default()
    };
    let (outbox, inbox) = hop(settings.queue_max);
    let sink = Sink::start(inbox, &connection(&store.process, &url), &settings).expect("started");
    let (bundles, rows) = (15, 700);
    let mut sealer = sealer(3);
    for _ in 0..bundles {
        outbox.send(bundle(&mut sealer, rows, now_ns));
    }
    drop(outbox);
    let end = sink.stop(Duration::from_secs(120));
    let sent = (bundles * rows) as u64;
    assert_eq!((end.rows_acknowledged, end.rows_open), (sent, 0), "{end:?}");
    assert!(
        end.retries >= 5 && answers.load(Relaxed) > 2 * bundles as u64,
        "{end:?}"
    );
    assert_eq!(store.number("SELECT count() AS x FROM flows"), sent);
    assert_eq!(
        store.number("SELECT sum(bytes) AS x FROM flows"),
        sent * 100
    );
    assert_eq!(
        store.number("SELECT sum(est_bytes) AS x FROM flows"),
        sent * 1000
    );
    for table in ["usage_1m", "usage_5m", "usage_1h"] {
        assert_eq!(
            store.number(&format!("SELECT sum(bytes) AS x FROM {table}")),
            sent * 100,
            "{table}"
        );
        let flows = store.number(&format!("SELECT sum(flows) AS x FROM {table}"));
        assert_eq!(flows, 7 * bundles as u64, "{table}");
    }
    assert_eq!(
        store.number("SELECT sum(bytes) AS x FROM usage_once"),
        sent * 100
    );
}
