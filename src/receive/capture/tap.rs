//! An interface that is read, on a thread of its own.

use super::{CaptureStats, Direction, FrameRouter, Settings};
use crate::receive::route::Moment;
use crate::receive::{Error, Frame, Published};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::{InterfaceFlags, if_nametoindex};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use pcap::{Active, Capture, Precision};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Opens every interface of the settings. To be called before privileges are dropped.
///
/// # Errors
/// When one cannot be opened, with its name and a cure. With `reopen` one that is away is waited for.
pub fn open(settings: &Settings) -> Result<Vec<Tap>, Error> {
    if let Some(fault) = settings.faults().into_iter().next() {
        return Err(Error::Settings(fault));
    }
    let open = |name: &String| Tap::open(name, settings);
    settings.interfaces.iter().map(open).collect()
}

/// An interface and its ring of frames in the kernel.
pub struct Tap {
    name: String,
    settings: Settings,
    handle: Option<Handle>,
    published: Published<CaptureStats>,
}

struct Handle {
    capture: Capture<Active>,
    link_type: u16,
    if_index: u32,
    /// Drops of kernel and interface as told last.
    drops: [u32; 2],
}

/// What the loop of [`Tap::run`] carries along.
struct State {
    number: u64,
    drops: [u64; 2],
    reopened: u64,
    is_up: bool,
    next_tick: Instant,
    next_look: Instant,
    told: Option<String>,
}

impl Tap {
    /// Opens an interface.
    fn open(name: &str, settings: &Settings) -> Result<Tap, Error> {
        let handle = match Handle::open(name, settings) {
            Ok(handle) => Some(handle),
            Err(why) if settings.reopen && if_nametoindex(name).is_err() => {
                tracing::warn!("{name} cannot be captured yet: {why}");
                None
            }
            Err(why) => return Err(fault(name, why)),
        };
        Ok(Tap {
            published: Published::new(CaptureStats {
                interface: name.to_owned(),
                if_index: handle.as_ref().map_or(0, |h| h.if_index),
                ..CaptureStats::default()
            }),
            name: name.to_owned(),
            settings: settings.clone(),
            handle,
        })
    }

    /// Name of the interface.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The cell in which its state is published while it runs and after.
    pub fn published(&self) -> Published<CaptureStats> {
        self.published.clone()
    }

    /// Reads until told to stop, then takes what the kernel still holds, and ends the streams to the shards. An interface that
    /// goes down is waited for; one that is removed is opened again where there is the right to.
    ///
    /// # Errors
    /// When a shard is gone.
    pub fn run(mut self, mut router: FrameRouter, stop: &AtomicBool) -> Result<(), Error> {
        let now = Instant::now();
        let mut state = State {
            number: 0,
            drops: [0; 2],
            reopened: 0,
            is_up: self.handle.is_some(),
            next_tick: now,
            next_look: now,
            told: None,
        };
        let mut stop_at = None;
        let result = loop {
            if stop_at.is_none() && stop.load(Ordering::Relaxed) {
                stop_at = Some(Instant::now() + DRAIN_MAX);
            }
            let now = Moment::now();
            let got = self.read(&mut state, &mut router, now);
            if let Some(shard) = router.gone() {
                break Err(Error::ShardGone(shard));
            }
            router.flush(now, if got == 0 { Duration::ZERO } else { BATCH_AGE });
            if now.at >= state.next_tick {
                state.next_tick = now.at + TICK;
                router.tick(now);
                self.look(&mut state, now.at);
                self.publish(&mut state, &router, false);
            }
            // what the kernel has gathered in a block that is not full comes when its time is over
            let retired = |until: Instant| got == 0 && now.at + DRAIN_MAX >= until + RETIRE * 2;
            if stop_at.is_some_and(|until| now.at >= until || retired(until)) {
                break Ok(());
            }
            if got == 0 {
                self.wait();
            }
        };
        router.finish(Moment::now(), PATIENCE);
        self.publish(&mut state, &router, true);
        result
    }

    /// Reads what is there, at most some hundred frames.
    fn read(&mut self, state: &mut State, router: &mut FrameRouter, now: Moment) -> usize {
        let Some(handle) = &mut self.handle else {
            return 0;
        };
        let (link_type, interface) = (handle.link_type, handle.if_index);
        let number = &mut state.number;
        let done = handle.capture.dispatch(Some(BURST), |packet| {
            *number += 1;
            let ts = packet.header.ts;
            router.route(
                &Frame {
                    number: *number,
                    // the field of microseconds holds nanoseconds here
                    time_ns: ts.tv_sec.saturating_mul(NS).saturating_add(ts.tv_usec),
                    interface,
                    link_type,
                    captured: packet.data,
                    original: packet.header.len,
                },
                now,
            );
        });
        match done {
            Ok(got) => got,
            Err(pcap::Error::TimeoutExpired) => 0,
            Err(error) => {
                self.lose(state, &error.to_string());
                0
            }
        }
    }

    /// Gives a handle up that gives nothing any more.
    #[cold]
    fn lose(&mut self, state: &mut State, why: &str) {
        let cure = match self.settings.reopen {
            true => "it is opened again when it is back",
            false => "to have it opened again by itself, set capture.reopen = true",
        };
        tracing::warn!("capture of {} ended: {why}; {cure}", self.name);
        self.take_drops(state);
        self.handle = None;
        state.is_up = false;
        state.told = None;
        state.next_look = Instant::now() + LOOK;
    }

    /// Looks after the interface once a second: whether it is up, another of its name, or back.
    fn look(&mut self, state: &mut State, now: Instant) {
        if now < state.next_look {
            return;
        }
        state.next_look = now + LOOK;
        let is_up = is_up(&self.name);
        if is_up != state.is_up && self.handle.is_some() {
            let what = if is_up { "is up" } else { "is down" };
            tracing::warn!("{} {what}", self.name);
        }
        state.is_up = is_up;
        let index = if_nametoindex(&*self.name).ok();
        match (&self.handle, index) {
            (Some(handle), index) if handle.if_index != ANY && index != Some(handle.if_index) => {
                self.lose(state, "the interface was removed");
            }
            (None, Some(_)) => self.reopen(state),
            _ => {}
        }
    }

    fn reopen(&mut self, state: &mut State) {
        match Handle::open(&self.name, &self.settings) {
            Ok(handle) => {
                tracing::info!("{} is captured", self.name);
                self.handle = Some(handle);
                state.reopened += 1;
                state.is_up = is_up(&self.name);
                state.told = None;
            }
            Err(why) => {
                state.is_up = false;
                let text = fault(&self.name, why).to_string();
                // a fault that stays is told once
                if state.told.as_ref() != Some(&text) {
                    tracing::warn!("{text}");
                    state.told = Some(text);
                }
            }
        }
    }

    /// Waits for frames, at most until the next tick.
    fn wait(&self) {
        let Some(handle) = &self.handle else {
            std::thread::sleep(TICK);
            return;
        };
        let mut one = [PollFd::new(handle.capture.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut one, PollTimeout::from(TICK.as_millis() as u16));
        let readable = || one[0].any() == Some(true);
        let error = || {
            one[0]
                .revents()
                .is_some_and(|r| !r.contains(PollFlags::POLLIN))
        };
        if ready.is_err() || readable() && error() {
            // an interface that is down says so again and again
            std::thread::sleep(TICK);
        }
    }

    fn take_drops(&mut self, state: &mut State) {
        let Some(handle) = &mut self.handle else {
            return;
        };
        if let Ok(stats) = handle.capture.stats() {
            let now = [stats.dropped, stats.if_dropped];
            for (n, sum) in state.drops.iter_mut().enumerate() {
                *sum += u64::from(now[n].wrapping_sub(handle.drops[n]));
            }
            handle.drops = now;
        }
    }

    fn publish(&mut self, state: &mut State, router: &FrameRouter, last: bool) {
        self.take_drops(state);
        let if_index = self.handle.as_ref().map(|h| h.if_index);
        let change = |stats: &mut CaptureStats| {
            router.settle(stats);
            [stats.kernel_drops, stats.interface_drops] = state.drops;
            (stats.is_up, stats.reopened) = (state.is_up, state.reopened);
            stats.if_index = if_index.unwrap_or(stats.if_index);
            stats.rounds += 1;
        };
        if last {
            self.published.write(change);
        } else {
            self.published.try_write(change);
        }
    }
}

impl Handle {
    fn open(name: &str, settings: &Settings) -> Result<Handle, String> {
        let told = |e: pcap::Error| {
            let text = e.to_string();
            text.trim_start_matches("libpcap error: ").to_owned()
        };
        let number = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
        let capture = Capture::from_device(name)
            .map_err(told)?
            .snaplen(number(settings.snap_length))
            .buffer_size(number(settings.buffer))
            .promisc(settings.promiscuous)
            .timeout(RETIRE.as_millis() as i32)
            .precision(Precision::Nano)
            .immediate_mode(false);
        let mut capture = capture
            .open()
            .and_then(Capture::setnonblock)
            .map_err(told)?;
        let direction = match settings.direction {
            Direction::Both => pcap::Direction::InOut,
            Direction::In => pcap::Direction::In,
            Direction::Out => pcap::Direction::Out,
        };
        capture.direction(direction).map_err(told)?;
        if !settings.filter.is_empty() {
            capture.filter(&settings.filter, true).map_err(told)?;
        }
        let first = capture.stats().map_err(told)?;
        Ok(Handle {
            link_type: link_type(capture.get_datalink().0),
            if_index: if_nametoindex(name).unwrap_or(ANY),
            drops: [0, first.if_dropped],
            capture,
        })
    }
}

impl std::fmt::Debug for Tap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tap")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// The number of the capture formats for libpcap's own number of a link type, where the two differ.
fn link_type(dlt: i32) -> u16 {
    match dlt {
        11 => 100,
        12 | 14 => 101,
        other => other as u16,
    }
}

/// Whether an interface is up and has a carrier.
fn is_up(name: &str) -> bool {
    let wanted = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
    let Ok(mut all) = getifaddrs() else {
        return false;
    };
    name == "any" || all.any(|a| a.interface_name == name && a.flags.contains(wanted))
}

fn fault(name: &str, why: String) -> Error {
    let lower = why.to_lowercase();
    let cure = if lower.contains("permission") || lower.contains("not permitted") {
        "; capturing needs CAP_NET_RAW: start as root, let systemd give it (docs/operating.md), or set capture.reopen = true \
         where it was given up"
    } else if if_nametoindex(name).is_err() {
        "; there is no interface of this name: `ip link` lists those of this machine"
    } else if lower.contains("not up") {
        "; `ip link set` it up"
    } else {
        ""
    };
    Error::Capture {
        interface: name.to_owned(),
        why,
        cure,
    }
}

const NS: i64 = 1_000_000_000;
/// Frames that are taken before the stop and the time are looked at.
const BURST: usize = 512;
/// After so long the kernel hands over a block of frames that is not full.
const RETIRE: Duration = Duration::from_millis(20);
/// A batch is sent at this age at the latest.
const BATCH_AGE: Duration = Duration::from_millis(1);
/// Longest wait for a frame, and time between two publications.
const TICK: Duration = Duration::from_millis(100);
/// Time between two looks at the interface.
const LOOK: Duration = Duration::from_secs(1);
/// How long the kernel's buffer is emptied after the end was asked for.
const DRAIN_MAX: Duration = Duration::from_millis(500);
/// How long a shard is waited for at the end.
const PATIENCE: Duration = Duration::from_secs(5);
/// The pseudo interface `any` has no number.
const ANY: u32 = 0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_is_not_there_is_named_with_a_cure() {
        let settings = Settings {
            interfaces: vec!["nowhere0".into()],
            ..Settings::default()
        };
        let error = open(&settings).expect_err("no such interface").to_string();
        assert!(error.contains("cannot capture nowhere0: "), "{error}");
        assert!(
            error.contains("`ip link`") || error.contains("CAP_NET_RAW"),
            "{error}"
        );
    }

    #[test]
    fn raw_ip_has_another_number_in_files() {
        assert_eq!([1, 12, 113].map(link_type), [1, 101, 113]);
    }
}
