//! Sends what exporters say, at a rate, and reports what was sent.

use super::{Exporter, Habits, Pool, Profile, Truth, mmsg};
use crate::model::Addr;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use serde::Serialize;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What to send.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The collector.
    pub to: SocketAddr,
    /// Kinds of exporters; exporter n is of kind n modulo their number.
    pub profiles: Vec<Profile>,
    /// Number of the first exporter; several plans that run beside each other start at different ones.
    pub first_exporter: u32,
    /// How many exporters.
    pub exporters: u32,
    /// How they behave.
    pub habits: Habits,
    /// Flow records a second, all exporters together; 0 for as many as possible.
    pub rate: u64,
    /// End after so many flow records.
    pub flows: Option<u64>,
    /// End after this time.
    pub duration: Option<Duration>,
    /// Where chance comes from.
    pub seed: u64,
    /// Datagrams made beforehand, all exporters together; each exporter has at least enough for its templates.
    pub pool: usize,
    /// Hand runs of equal length to the kernel as one (UDP_SEGMENT).
    pub segment: bool,
}

/// What was sent.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// Datagrams.
    pub datagrams: u64,
    /// Payload bytes.
    pub payload_bytes: u64,
    /// Flow records.
    pub flows: u64,
    /// Seconds from the first datagram to the last.
    pub seconds: f64,
    /// Flow records a second.
    pub flows_per_second: f64,
    /// The worst delay behind the plan, milliseconds.
    pub late_ms: f64,
    /// Times that the collector's port was found closed.
    pub refused: u64,
    /// What the datagrams said.
    #[serde(skip)]
    pub truth: Truth,
}

/// Opens a socket for each exporter, makes the pools and sends until the plan or `stop` ends it. `progress` hears
/// flows sent so far, about ten times a second.
///
/// When the collector is on IPv4 loopback, exporter n sends from its own address, see [`loopback_address`].
pub fn send(plan: &Plan, stop: &AtomicBool, mut progress: impl FnMut(u64)) -> io::Result<Report> {
    let mut exporters = open(plan)?;
    let per_batch = batch(plan.rate);
    let mut report = Report::default();
    let start = Instant::now();
    let (mut flows, mut turn, mut told) = (0u64, 0, start);
    while plan.flows.is_none_or(|n| flows < n) && !stop.load(Ordering::Relaxed) {
        let elapsed = start.elapsed();
        if plan.duration.is_some_and(|d| elapsed >= d) {
            break;
        }
        if told.elapsed() >= PROGRESS {
            progress(flows);
            told = Instant::now();
        }
        if plan.rate > 0 {
            let due = Duration::from_secs_f64(flows as f64 / plan.rate as f64);
            if due > elapsed + WAIT_MIN {
                std::thread::sleep((due - elapsed).min(PROGRESS));
                continue;
            }
            report.late_ms = report
                .late_ms
                .max(elapsed.saturating_sub(due).as_secs_f64() * 1e3);
        }
        flows += exporters[turn].send(per_batch, plan.segment, &mut report)?;
        turn = (turn + 1) % exporters.len();
    }
    report.seconds = start.elapsed().as_secs_f64();
    report.flows = flows;
    report.flows_per_second = flows as f64 / report.seconds.max(1e-9);
    exporters
        .iter()
        .for_each(|e| e.pool.add_truth(&mut report.truth));
    Ok(report)
}

/// The source address of exporter n when it sends over IPv4 loopback: `127.1.0.1`, `127.1.0.2`, ...
pub fn loopback_address(exporter: u32) -> Ipv4Addr {
    let n = exporter;
    Ipv4Addr::new(
        127,
        1 + (n / 62_500 % 250) as u8,
        (n / 250 % 250) as u8,
        1 + (n % 250) as u8,
    )
}

/// The sender's clock, milliseconds since 1970 UTC: generated exporters have clocks of their own.
#[expect(
    clippy::disallowed_methods,
    reason = "an exporter's clock, not the collector's"
)]
pub fn clock_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_millis() as i64)
}

struct Sending {
    pool: Pool,
    socket: Socket,
}

impl Sending {
    /// Sends the next datagrams, up to `count`; gives the flow records in them.
    fn send(&mut self, count: usize, segment: bool, report: &mut Report) -> io::Result<u64> {
        let now_ms = clock_ms();
        let count = if segment { SEGMENTS_MAX } else { count }.min(self.pool.items().len());
        let mut chosen = [0; SEGMENTS_MAX];
        let mut taken = 0;
        let mut bytes = 0;
        while taken < count {
            let next = self.pool.next_length();
            let first = self.pool.items()[chosen[0]].length;
            if segment
                && taken > 0
                && (next != first || bytes + usize::from(next) > SEGMENT_BYTES_MAX)
            {
                break;
            }
            chosen[taken] = self.pool.prepare(now_ms);
            bytes += usize::from(next);
            taken += 1;
        }
        let chosen = &chosen[..taken];
        if segment {
            self.send_run(chosen, report)?;
        } else {
            self.send_each(chosen, report)?;
        }
        report.datagrams += taken as u64;
        report.payload_bytes += bytes as u64;
        Ok(chosen
            .iter()
            .map(|i| u64::from(self.pool.items()[*i].flows))
            .sum())
    }

    fn send_each(&self, chosen: &[usize], report: &mut Report) -> io::Result<()> {
        let mut slices: [&[u8]; mmsg::BATCH] = [&[]; mmsg::BATCH];
        for (slice, item) in slices.iter_mut().zip(chosen) {
            *slice = self.pool.payload(*item);
        }
        let mut left = &slices[..chosen.len()];
        while !left.is_empty() {
            match mmsg::send(self.socket.as_fd(), left) {
                Ok(sent) => left = &left[sent..],
                Err(error) => patience(error, report)?,
            }
        }
        Ok(())
    }

    fn send_run(&self, chosen: &[usize], report: &mut Report) -> io::Result<()> {
        let slices: Vec<_> = chosen
            .iter()
            .map(|i| IoSlice::new(self.pool.payload(*i)))
            .collect();
        let length = slices[0].len() as u16;
        let control = [ControlMessage::UdpGsoSegments(&length)];
        let control: &[_] = if slices.len() > 1 { &control } else { &[] };
        loop {
            match sendmsg::<()>(
                self.socket.as_raw_fd(),
                &slices,
                control,
                MsgFlags::empty(),
                None,
            ) {
                Ok(_) => return Ok(()),
                Err(error) => patience(error.into(), report)?,
            }
        }
    }
}

/// Passes over what is to be tried again: a closed port (reported with the next send), no memory for the moment.
fn patience(error: io::Error, report: &mut Report) -> io::Result<()> {
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => report.refused += 1,
        Some(libc::ENOBUFS | libc::ENOMEM | libc::EAGAIN) => std::thread::sleep(WAIT_MIN),
        Some(libc::EINTR) => {}
        _ => return Err(error),
    }
    Ok(())
}

fn open(plan: &Plan) -> io::Result<Vec<Sending>> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let needed = u64::from(plan.exporters) + 100;
    if soft < needed {
        setrlimit(Resource::RLIMIT_NOFILE, needed.min(hard), hard)?;
    }
    let now_ms = clock_ms();
    let loopback = matches!(plan.to.ip(), IpAddr::V4(ip) if ip.is_loopback());
    let each = plan.pool.div_ceil(plan.exporters.max(1) as usize);
    let mut exporters = Vec::with_capacity(plan.exporters as usize);
    for n in (plan.first_exporter..).take(plan.exporters.max(1) as usize) {
        let profile = plan.profiles[n as usize % plan.profiles.len()];
        let socket = Socket::new(
            Domain::for_address(plan.to),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        socket.set_send_buffer_size(SEND_BUFFER)?;
        let mut habits = plan.habits;
        if loopback {
            let address = loopback_address(n);
            socket.bind(&SocketAddr::from((address, 0)).into())?;
            habits.agent = Addr::from_v4(address.octets());
        }
        socket.connect(&plan.to.into())?;
        let announcing = usize::from(habits.templates / 10) + 10;
        let exporter = Exporter::new(profile, habits, n, plan.seed, now_ms);
        exporters.push(Sending {
            pool: Pool::new(exporter, each.max(announcing), now_ms, plan.segment),
            socket,
        });
    }
    Ok(exporters)
}

/// Datagrams sent at once: about a millisecond's worth.
fn batch(rate: u64) -> usize {
    match rate {
        0 => mmsg::BATCH,
        rate => ((rate / 1000 / 15) as usize).clamp(1, mmsg::BATCH),
    }
}

/// Shorter waits are not slept: the timer is no finer.
const WAIT_MIN: Duration = Duration::from_micros(60);
const PROGRESS: Duration = Duration::from_millis(100);
const SEND_BUFFER: usize = 4 << 20;
/// UDP_SEGMENT takes 64 segments and one IP packet's bytes.
const SEGMENTS_MAX: usize = 64;
const SEGMENT_BYTES_MAX: usize = 65_000;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn what_is_reported_is_what_arrives() {
        for segment in [false, true] {
            let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
            let plan = Plan {
                first_exporter: 0,
                to: receiver.local_addr().unwrap(),
                profiles: vec![Profile::LoadV5, Profile::LoadIpfix],
                exporters: 3,
                habits: Habits::default(),
                rate: 0,
                flows: Some(900),
                duration: None,
                seed: 1,
                pool: 30,
                segment,
            };
            socket2::SockRef::from(&receiver)
                .set_recv_buffer_size(4 << 20)
                .unwrap();
            let report = send(&plan, &AtomicBool::new(false), |_| {}).unwrap();
            let (mut bytes, mut buffer) = (0, [0; 2000]);
            let mut sources = std::collections::BTreeSet::new();
            for _ in 0..report.datagrams {
                let (n, from) = receiver.recv_from(&mut buffer).unwrap();
                bytes += n as u64;
                sources.insert(from.ip());
            }
            receiver.set_nonblocking(true).unwrap();
            assert!(receiver.recv(&mut buffer).is_err());
            assert_eq!(bytes, report.payload_bytes);
            assert!(report.flows >= 900 && report.flows == report.truth.total.flows);
            let want: Vec<IpAddr> = (0..sources.len() as u32)
                .map(|n| loopback_address(n).into())
                .collect();
            assert_eq!(sources.into_iter().collect::<Vec<_>>(), want);
        }
    }

    #[test]
    fn ten_thousand_exporters_have_addresses_of_their_own() {
        let all: std::collections::BTreeSet<_> = (0..20_000).map(loopback_address).collect();
        assert_eq!(all.len(), 20_000);
        assert!(all.iter().all(|a| a.is_loopback()));
    }
}
