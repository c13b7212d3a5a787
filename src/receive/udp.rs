//! UDP listeners: opened early, run each on a thread of its own.

use super::mmsg::{BURST, Burst, kernel_drops};
use super::route::Moment;
use super::{Error, Published, ReceiveStats, Router, Settings};
use crate::ledger::Book;
use crate::model::Datagram;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Opens every listener of the settings. To be called before privileges are dropped: low ports and full receive
/// buffers need them.
pub fn bind(settings: &Settings) -> Result<Vec<Listener>, Error> {
    if let Some(fault) = settings.faults().into_iter().next() {
        return Err(Error::Settings(fault));
    }
    let addresses = &settings.listeners;
    let mut listeners = Vec::with_capacity(addresses.len());
    for &address in addresses {
        let v4_twin = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
        let has_twin = address.port() != 0 && addresses.contains(&v4_twin);
        let dual = address.is_ipv6() && address.ip().is_unspecified();
        match Listener::open(address, dual && !has_twin, settings) {
            Ok(listener) => listeners.push(listener),
            Err(error) if dual && lacks_ipv6(&error) => {
                if !has_twin {
                    let mut listener =
                        Listener::open(v4_twin, false, settings).map_err(|e| fault(v4_twin, e))?;
                    listener.warnings.push(format!(
                        "the kernel has no IPv6: listening on {v4_twin} instead of {address}"
                    ));
                    listeners.push(listener);
                }
            }
            Err(error) => return Err(fault(address, error)),
        }
    }
    Ok(listeners)
}

/// An open socket that exporters send to.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    address: SocketAddr,
    published: Published,
    pause: Duration,
    warnings: Vec<String>,
}

impl Listener {
    /// The address listened on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the operator should know about this listener and can cure; to be logged once.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The cell in which the state of this listener is published while it runs and after.
    pub fn published(&self) -> Published {
        self.published.clone()
    }

    /// Receives until told to stop, then takes what the socket still holds, sends what is open and ends the streams
    /// to the shards. Never waits for a shard before that.
    ///
    /// After a burst that emptied the socket it pauses for half a millisecond and then takes what came meanwhile
    /// together: a wake-up for each datagram would cost more than the datagram. An idle socket is waited for, so the
    /// first datagram after a silence is taken at once.
    ///
    /// Times come from one clock reading a burst, so they are late by the pause at most while the socket keeps up.
    /// Left out on purpose, measured on loopback at 100,000 datagrams/s: kernel time stamps (5 % more CPU here, and a
    /// stamp on every packet of the machine) and UDP_GRO (nothing gained from ordinary senders; from one that sends
    /// runs of equal length it halves the cost, but a drop of 40 joined datagrams then counts as one).
    pub fn run(self, mut router: Router, stop: &AtomicBool) -> Result<(), Error> {
        let mut burst = Burst::new(DATAGRAM_MAX);
        let mut state = State::new();
        let mut idle = false;
        let mut stop_at = None;
        let result = loop {
            if stop_at.is_none() && stop.load(Ordering::Relaxed) {
                stop_at = Some(Instant::now() + DRAIN_MAX);
            }
            let got = match burst.receive(self.socket.as_fd(), idle && stop_at.is_none()) {
                Ok(got) => got,
                Err(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                    std::thread::sleep(TICK);
                    0
                }
                Err(source) => {
                    break Err(Error::Socket {
                        address: self.address,
                        source,
                    });
                }
            };
            let now = Moment::now();
            state.take(&burst, got, &mut router, now);
            if let Some(shard) = router.gone() {
                break Err(Error::ShardGone(shard));
            }
            router.flush(now, if got == 0 { Duration::ZERO } else { BATCH_AGE });
            if now.at >= state.next_tick || (got == 0 && !idle) {
                state.next_tick = now.at + TICK;
                router.tick(now);
                self.publish(&mut state, &mut router, now, false);
            }
            idle = got == 0;
            if stop_at.is_some_and(|until| idle || now.at >= until) {
                break Ok(());
            }
            if got > 0 && got < BURST && stop_at.is_none() {
                std::thread::sleep(self.pause);
            }
        };
        router.finish(Moment::now(), PATIENCE);
        self.publish(&mut state, &mut router, Moment::now(), true);
        result
    }

    fn open(address: SocketAddr, dual: bool, settings: &Settings) -> io::Result<Listener> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        if address.is_ipv6() {
            socket.set_only_v6(!dual)?;
        }
        let asked = settings.receive_buffer;
        let granted = set_receive_buffer(&socket, asked, true)?;
        socket.set_read_timeout(Some(TICK))?;
        socket.bind(&address.into())?;
        let address = socket.local_addr()?.as_socket().unwrap_or(address);
        Ok(Listener {
            published: Published::new(ReceiveStats {
                listener: address,
                book: Book::new(settings.exporters_max).with_idle_s(settings.exporter_idle_s),
                datagrams: 0,
                bytes: 0,
                kernel_drops: 0,
                rounds: 0,
                receive_buffer_asked: asked,
                receive_buffer: granted,
                batches: 0,
            }),
            socket,
            address,
            pause: pause(granted),
            warnings: buffer_warning(address, asked, granted)
                .into_iter()
                .collect(),
        })
    }

    fn publish(&self, state: &mut State, router: &mut Router, now: Moment, last: bool) {
        if let Ok(drops) = kernel_drops(self.socket.as_fd()) {
            state.kernel_drops += u64::from(drops.wrapping_sub(state.kernel_drops_seen));
            state.kernel_drops_seen = drops;
        }
        let change = |stats: &mut ReceiveStats| {
            stats.book.tick(now.wall_ns);
            router.settle(&mut stats.book);
            stats.datagrams = state.datagrams;
            stats.bytes = state.bytes;
            stats.kernel_drops = state.kernel_drops;
            stats.rounds += 1;
            stats.batches = router.batches();
        };
        if last {
            self.published.write(change);
        } else {
            self.published.try_write(change);
        }
    }
}

/// What the loop of [`Listener::run`] carries along.
struct State {
    datagrams: u64,
    bytes: u64,
    kernel_drops: u64,
    kernel_drops_seen: u32,
    next_tick: Instant,
}

impl State {
    fn new() -> Self {
        State {
            datagrams: 0,
            bytes: 0,
            kernel_drops: 0,
            kernel_drops_seen: 0,
            next_tick: Instant::now() + TICK,
        }
    }

    fn take(&mut self, burst: &Burst, got: usize, router: &mut Router, now: Moment) {
        if got == 0 {
            return;
        }
        router.heed();
        let first = router.intake().numbers(got as u64);
        for (arrival, number) in burst.arrivals().zip(first..) {
            self.bytes += arrival.payload.len() as u64;
            let datagram = Datagram {
                source: arrival.source,
                port: arrival.port,
                received_at_ns: now.wall_ns,
                number,
                frame: 0,
                cut: arrival.cut,
                payload: arrival.payload,
            };
            router.route(&datagram, now);
        }
        self.datagrams += got as u64;
    }
}

/// Sets the kernel's receive buffer, past its limit where privileges allow, and gives what it books.
fn set_receive_buffer(socket: &Socket, asked: usize, force: bool) -> io::Result<usize> {
    if !force || setsockopt(socket, sockopt::RcvBufForce, &asked).is_err() {
        socket.set_recv_buffer_size(asked)?;
    }
    socket.recv_buffer_size()
}

fn buffer_warning(address: SocketAddr, asked: usize, granted: usize) -> Option<String> {
    (granted / 2 < asked).then(|| {
        format!(
            "receive buffer of {address} is {} KiB instead of {} KiB because the kernel caps it: bursts may be lost \
             (kernel_drops counts them); cure: sysctl -w net.core.rmem_max={asked}, or start with CAP_NET_ADMIN",
            (granted / 2) >> 10,
            asked >> 10,
        )
    })
}

/// How long to let datagrams gather: 0.5 ms, and no longer than the buffer lasts at 16 Gbit/s.
fn pause(buffer: usize) -> Duration {
    Duration::from_nanos((buffer / 2).min(500_000) as u64)
}

fn lacks_ipv6(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)
    )
}

fn fault(address: SocketAddr, source: io::Error) -> Error {
    let cure = match source.raw_os_error() {
        Some(libc::EADDRINUSE) => "; another process listens there (ss -ulpn shows which)",
        Some(libc::EACCES) => "; ports below 1024 need CAP_NET_BIND_SERVICE",
        Some(libc::EADDRNOTAVAIL) => "; no interface of this machine has the address",
        _ => "",
    };
    Error::Bind {
        address,
        cure,
        source,
    }
}

/// The longest UDP payload there is.
const DATAGRAM_MAX: usize = 65_535;
/// A batch is sent at this age at the latest.
const BATCH_AGE: Duration = Duration::from_millis(1);
/// Longest wait for a datagram, and time between two publications.
const TICK: Duration = Duration::from_millis(100);
/// How long the socket is emptied after the end was asked for.
const DRAIN_MAX: Duration = Duration::from_millis(500);
/// How long a shard is waited for at the end.
const PATIENCE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Gauges, Outcome, laws};
    use crate::model::Addr;
    use crate::receive::{DatagramBatch, Intake};
    use crossbeam_channel::{Receiver, bounded};
    use std::net::{IpAddr, Ipv6Addr, UdpSocket};
    use std::sync::Arc;
    use std::thread::JoinHandle;

    struct Running {
        address: SocketAddr,
        published: Published,
        intake: Arc<Intake>,
        batches: Receiver<DatagramBatch>,
        stop: Arc<AtomicBool>,
        thread: JoinHandle<Result<(), Error>>,
    }

    fn settings(listener: &str) -> Settings {
        Settings {
            listeners: vec![listener.parse().unwrap()],
            receive_buffer: 1 << 20,
            ..Settings::default()
        }
    }

    fn start(settings: &Settings) -> Running {
        let listener = bind(settings).unwrap().remove(0);
        let (sender, batches) = bounded(settings.queue);
        let intake = Intake::new(settings);
        let router = Router::new(vec![sender], Arc::clone(&intake), settings);
        let stop = Arc::new(AtomicBool::new(false));
        Running {
            address: listener.address(),
            published: listener.published(),
            intake,
            batches,
            stop: Arc::clone(&stop),
            thread: std::thread::spawn(move || listener.run(router, &stop)),
        }
    }

    impl Running {
        /// Stops, and gives the source and payload of every datagram that was routed.
        fn finish(self) -> (ReceiveStats, Vec<(Addr, Vec<u8>)>) {
            self.stop.store(true, Ordering::Relaxed);
            let mut got = Vec::new();
            // the iterator ends because the stream does
            for batch in self.batches.iter() {
                got.extend(batch.iter().map(|d| (d.source, d.payload.to_vec())));
            }
            self.thread.join().unwrap().unwrap();
            assert_eq!(self.intake.queued(), 0);
            let stats = self.published.read();
            let law = laws(&stats.book.total(), &Gauges::default()).remove(0);
            assert!(law.holds(), "{law:?}");
            assert_eq!(
                stats.book.count(Outcome::DatagramsReceived),
                stats.datagrams
            );
            (stats, got)
        }

        fn wait_for(&self, datagrams: u64) {
            while self.published.with(|s| s.datagrams) < datagrams {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    #[test]
    fn both_families_reach_one_listener_and_what_was_sent_before_the_end_arrives() {
        let running = start(&settings("[::]:0"));
        let port = running.address.port();
        let v4 = UdpSocket::bind("127.0.0.2:0").unwrap();
        let v6 = UdpSocket::bind("[::1]:0").unwrap();
        for n in 0..50u8 {
            v4.send_to(&[4, n], (Ipv4Addr::LOCALHOST, port)).unwrap();
            v6.send_to(&[6, n], (Ipv6Addr::LOCALHOST, port)).unwrap();
        }
        let (stats, got) = running.finish();
        let from = |first: u8| {
            got.iter()
                .filter(|(_, p)| p[0] == first)
                .cloned()
                .collect::<Vec<_>>()
        };
        let want = |first, address: Addr| {
            (0..50)
                .map(|n| (address, vec![first, n]))
                .collect::<Vec<_>>()
        };
        assert_eq!(from(4), want(4, Addr::from_v4([127, 0, 0, 2])));
        assert_eq!(
            from(6),
            want(6, Addr::from(IpAddr::from(Ipv6Addr::LOCALHOST)))
        );
        assert_eq!(
            (stats.datagrams, stats.bytes, stats.kernel_drops),
            (100, 200, 0)
        );
        assert_eq!(stats.book.accounts().count(), 2);
    }

    #[test]
    fn under_overload_what_is_not_routed_is_counted_as_dropped() {
        let running = start(&Settings {
            queue: 2,
            batch: 4,
            ..settings("127.0.0.1:0")
        });
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        // fewer at a time than the receive buffer holds: nothing is lost but by the full queue
        for n in 1..=20u64 {
            for _ in 0..50 {
                sender.send_to(&[0; 500], running.address).unwrap();
            }
            running.wait_for(n * 50);
        }
        let (stats, got) = running.finish();
        assert_eq!(stats.book.count(Outcome::DatagramsReceived), 1000);
        assert_eq!(stats.book.count(Outcome::DatagramsRouted), got.len() as u64);
        assert_eq!(
            stats.book.count(Outcome::DatagramsDroppedQueue),
            1000 - got.len() as u64
        );
        assert!(
            got.len() <= 12,
            "two queued batches and the open one at most"
        );
    }

    #[test]
    fn what_the_kernel_drops_before_the_listener_runs_is_counted() {
        let settings = Settings {
            receive_buffer: 4096,
            ..settings("127.0.0.1:0")
        };
        let listener = bind(&settings).unwrap().remove(0);
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..100 {
            sender.send_to(&[0; 1000], listener.address()).unwrap();
        }
        let published = listener.published();
        let (to_shard, batches) = bounded(10);
        let router = Router::new(vec![to_shard], Intake::new(&settings), &settings);
        listener.run(router, &AtomicBool::new(true)).unwrap();
        let stats = published.read();
        assert!(stats.kernel_drops > 0);
        assert_eq!(stats.datagrams + stats.kernel_drops, 100);
        assert_eq!(
            batches.iter().map(|b| b.len() as u64).sum::<u64>(),
            stats.datagrams
        );
    }

    #[test]
    fn denied_exporters_and_idle_time_show() {
        let running = start(&Settings {
            deny: vec!["127.0.0.3".parse().unwrap()],
            ..settings("127.0.0.1:0")
        });
        let bad = UdpSocket::bind("127.0.0.3:0").unwrap();
        let good = UdpSocket::bind("127.0.0.4:0").unwrap();
        bad.send_to(b"no", running.address).unwrap();
        good.send_to(b"yes", running.address).unwrap();
        running.wait_for(2);
        // the batch, then heartbeats whose clock goes on
        let first = running.batches.recv().unwrap();
        assert_eq!(first.len(), 1);
        let beat = running.batches.recv().unwrap();
        assert!(beat.is_empty() && beat.now_ns() > first.now_ns());
        drop((first, beat));
        let (stats, _) = running.finish();
        assert_eq!(stats.book.count(Outcome::DatagramsRefusedAcl), 1);
        assert_eq!(stats.book.count(Outcome::DatagramsRouted), 1);
    }

    #[test]
    fn a_v4_twin_gets_its_own_socket() {
        let free = UdpSocket::bind("0.0.0.0:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let mut s = settings(&format!("0.0.0.0:{free}"));
        s.listeners
            .push(SocketAddr::from((Ipv6Addr::UNSPECIFIED, free)));
        let listeners = bind(&s).unwrap();
        assert_eq!(listeners.len(), 2);
        let taken = bind(&s).unwrap_err().to_string();
        assert!(taken.contains("another process listens there"), "{taken}");
    }

    #[test]
    fn a_capped_buffer_is_told_with_its_cure() {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        let asked = 1 << 30;
        let granted = set_receive_buffer(&socket, asked, false).unwrap();
        let text = buffer_warning("[::]:2055".parse().unwrap(), asked, granted).unwrap();
        assert!(text.contains("net.core.rmem_max=1073741824"), "{text}");
        let granted = set_receive_buffer(&socket, 8192, false).unwrap();
        assert_eq!(
            buffer_warning("[::]:2055".parse().unwrap(), 8192, granted),
            None
        );
    }
}
