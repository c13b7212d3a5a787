//! Generated packets onto an interface or into a file.

use super::{GeneratedFrame, PacketTruth, Packets, pcap_header};
use pcap::{Active, Capture};
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Writes all packets as a capture file.
///
/// # Errors
/// When `out` does not take it.
pub fn write(packets: &mut Packets, out: &mut impl Write) -> io::Result<PacketTruth> {
    out.write_all(&pcap_header())?;
    let mut frame = GeneratedFrame::default();
    while packets.next(&mut frame) {
        out.write_all(&frame.pcap_record())?;
        out.write_all(&frame.bytes)?;
    }
    out.flush()?;
    Ok(packets.truth().clone())
}

/// An interface that packets are sent on.
pub struct Wire(Capture<Active>);

impl Wire {
    /// Opens an interface; needs CAP_NET_RAW.
    ///
    /// # Errors
    /// What libpcap says.
    pub fn open(interface: &str) -> io::Result<Wire> {
        let open = || Capture::from_device(interface)?.snaplen(96).open();
        open().map(Wire).map_err(io::Error::other)
    }

    /// Sends packets, each at its time from now on, or as fast as the interface takes them; until all are sent or `stop` is
    /// raised. Those that were sent by then are what the truth is about.
    ///
    /// # Errors
    /// When the interface does not take them.
    pub fn send(
        &mut self,
        packets: &mut Packets,
        at_once: bool,
        stop: &AtomicBool,
    ) -> io::Result<PacketTruth> {
        let (began, mut first_ns) = (Instant::now(), None);
        let mut frame = GeneratedFrame::default();
        while !stop.load(Ordering::Relaxed) && packets.next(&mut frame) {
            if !at_once {
                let first_ns = *first_ns.get_or_insert(frame.time_ns);
                let due = Duration::from_nanos((frame.time_ns - first_ns).max(0) as u64);
                if let Some(early) = due.checked_sub(began.elapsed()) {
                    std::thread::sleep(early);
                }
            }
            self.put(&frame.bytes)?;
        }
        Ok(packets.truth().clone())
    }

    /// A queue of the kernel that is full is waited for.
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut tries = 0;
        while let Err(error) = self.0.sendpacket(bytes) {
            tries += 1;
            if tries > TRIES_MAX {
                return Err(io::Error::other(error));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

/// Times that a packet is tried, a millisecond apart.
const TRIES_MAX: u32 = 1_000;
