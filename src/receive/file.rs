//! Capture files to export datagrams: containers, links, IP and fragments are walked here, in file order.

use super::fragment::{Added, FragmentKey, Fragments};
use super::frames::{Fault, Frame, Frames};
use super::mapped::FileBytes;
use crate::dissect::{self, HeaderView};
use crate::ledger::{Outcome, Tally};
use crate::model::{Addr, Datagram, Fragment, prefetch};
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// Why a file is no input. Both are the operator's to cure.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file cannot be opened, read or mapped.
    #[error("cannot read {}: {source}", path.display())]
    CannotRead {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The bytes are neither pcap nor pcapng nor a payload that a collector would know.
    #[error("{} is no capture: neither pcap nor pcapng, and not the payload of one export datagram", path.display())]
    NoCapture {
        /// The file.
        path: PathBuf,
    },
}

/// Which UDP payloads are export datagrams.
#[derive(Clone, Debug)]
pub enum Selection {
    /// All of them.
    Export,
    /// None: every frame is traffic.
    Packets,
    /// Those to a configured port, and those that are consistent with an export protocol throughout.
    Auto {
        /// Destination ports that are export traffic whatever the payload.
        ports: Vec<u16>,
        /// Whether a payload as a whole can only be export traffic.
        looks_like_export: fn(&[u8]) -> bool,
    },
}

/// What a file gave.
#[derive(Clone, Copy, Debug)]
pub enum Found<'a> {
    /// An export datagram.
    Datagram(Datagram<'a>),
    /// A frame of traffic; its number counts on over all files.
    Traffic(Frame<'a>),
    /// A frame that is [`FRAMES_AHEAD`] frames ahead, for whoever wants to prepare for it; its turn comes.
    Coming(Frame<'a>),
}

/// What became of the frames of all files. `frames` is the sum of the five kinds below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames read.
    pub frames: u64,
    /// Frames that carried an export datagram or a fragment of one.
    pub frames_export: u64,
    /// Frames handed out as traffic.
    pub frames_traffic: u64,
    /// Frames that carried something else, where only export datagrams are wanted.
    pub frames_other: u64,
    /// Frames that could not be read to a datagram: cut short before it, malformed, of an unknown link type, or
    /// fragments without the rest.
    pub frames_rejected: u64,
    /// Blocks of pcapng files that made no sense.
    pub blocks_rejected: u64,
    /// Export datagrams handed out.
    pub datagrams: u64,
    /// What the operator should know about the files, one line each.
    pub notes: Vec<String>,
}

impl Counts {
    /// Books the frames that gave no datagram.
    pub fn book(&self, tally: &mut Tally) {
        tally.add(Outcome::FramesOther, self.frames_other);
        tally.add(Outcome::FramesRejected, self.frames_rejected);
        tally.add(Outcome::FramesCaptured, self.blocks_rejected);
        tally.add(Outcome::FramesRejectedBlock, self.blocks_rejected);
    }
}

/// Capture files, opened and recognised, ready to be read in order.
#[derive(Debug)]
pub struct Captures {
    files: Vec<(PathBuf, FileBytes, Kind)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Capture,
    Payload,
}

impl Captures {
    /// Opens every file and looks what it is, so that a wrong name is told before any output. A file that is no
    /// capture is taken as one raw UDP payload if its name ends in `.dat` or `.bin`, or if `looks_like_export`.
    pub fn open(
        paths: &[impl AsRef<Path>],
        looks_like_export: fn(&[u8]) -> bool,
    ) -> Result<Self, CaptureError> {
        let mut files = Vec::new();
        for path in paths.iter().map(AsRef::as_ref) {
            let path = path.to_owned();
            let bytes = match FileBytes::open(&path) {
                Ok(bytes) => bytes,
                Err(source) => return Err(CaptureError::CannotRead { path, source }),
            };
            let kind = if Frames::of(&bytes).is_some() {
                Kind::Capture
            } else if is_payload(&path, &bytes, looks_like_export) {
                Kind::Payload
            } else {
                return Err(CaptureError::NoCapture { path });
            };
            files.push((path, bytes, kind));
        }
        Ok(Captures { files })
    }

    /// Bytes of all files, for progress.
    pub fn bytes(&self) -> u64 {
        self.files
            .iter()
            .map(|(_, bytes, _)| bytes.len() as u64)
            .sum()
    }

    /// Hands out every frame of the captures, in order, and returns why files ended early, and how many blocks of them made no
    /// sense. A raw payload has none.
    pub fn frames(&self, mut each: impl FnMut(&Frame<'_>)) -> (Vec<Fault>, u64) {
        let (mut faults, mut rejected) = (Vec::new(), 0);
        for mut frames in self
            .files
            .iter()
            .filter_map(|(_, bytes, _)| Frames::of(bytes))
        {
            frames.by_ref().for_each(|frame| each(&frame));
            faults.extend(frames.fault());
            rejected += frames.blocks_rejected();
        }
        (faults, rejected)
    }

    /// Reads all files in order and hands out each export datagram; where the selection tells export from traffic, what is
    /// traffic is left out ([`Captures::read_all`] has both). Its `number` is its place among the UDP payloads
    /// of its file (from 1, all of them, chosen or not); its `frame` counts on over all files, so it orders the
    /// datagrams of a whole run. A raw payload has source 0.0.0.0 port 0 and its header's export time as clock.
    pub fn read(&self, selection: &Selection, mut each: impl FnMut(&Datagram<'_>)) -> Counts {
        self.read_all(selection, |found| {
            if let Found::Datagram(d) = found {
                each(&d);
            }
        })
    }

    /// Reads all files in order and hands out each export datagram and each frame of traffic, in order of the frame that
    /// completed it. Fragments are told from each other when the last one came: those that turn out to be traffic come
    /// together then.
    pub fn read_all(&self, selection: &Selection, mut each: impl FnMut(Found<'_>)) -> Counts {
        let mut counts = Counts::default();
        for (path, bytes, kind) in &self.files {
            match kind {
                Kind::Payload => raw_payload(bytes, &mut counts, &mut each),
                Kind::Capture => read_capture(path, bytes, selection, &mut counts, &mut each),
            }
        }
        counts
    }
}

/// Whether a file that is no capture is one UDP payload.
fn is_payload(path: &Path, bytes: &[u8], looks_like_export: fn(&[u8]) -> bool) -> bool {
    let named = path
        .extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("dat") || e.eq_ignore_ascii_case("bin"));
    !bytes.is_empty() && bytes.len() <= UDP_PAYLOAD_MAX && (named || looks_like_export(bytes))
}

fn raw_payload(bytes: &[u8], counts: &mut Counts, each: &mut impl FnMut(Found<'_>)) {
    counts.frames += 1;
    counts.frames_export += 1;
    counts.datagrams += 1;
    each(Found::Datagram(Datagram {
        source: Addr::from_v4([0; 4]),
        port: 0,
        received_at_ns: header_clock_ns(bytes),
        number: 1,
        frame: counts.frames,
        cut: false,
        payload: bytes,
    }));
}

/// The export time in a datagram's header: NetFlow 1 to 8 (seconds and nanoseconds at 8), NetFlow 9 (seconds at 8,
/// RFC 3954 section 5.1), IPFIX (seconds at 4, RFC 7011 section 3.1); sFlow has none: 0.
fn header_clock_ns(payload: &[u8]) -> i64 {
    let word = |at: usize| {
        let four = payload.get(at..at + 4)?.try_into().ok()?;
        Some(i64::from(u32::from_be_bytes(four)))
    };
    let clock = match payload {
        [0, 1..=8, ..] => word(8).zip(word(12)).map(|(s, ns)| s * NS + ns),
        [0, 9, ..] => word(8).map(|s| s * NS),
        [0, 10, ..] => word(4).map(|s| s * NS),
        _ => None,
    };
    clock.unwrap_or(0)
}

fn read_capture(
    path: &Path,
    bytes: &FileBytes,
    selection: &Selection,
    counts: &mut Counts,
    each: &mut impl FnMut(Found<'_>),
) {
    let Some(mut frames) = Frames::of(bytes) else {
        return;
    };
    let mut file = OneFile {
        selection,
        counts,
        each,
        first_frame: 0,
        number: 0,
        fragments: Fragments::default(),
        waiting: VecDeque::new(),
    };
    file.first_frame = file.counts.frames;
    let mut ahead = VecDeque::with_capacity(FRAMES_AHEAD + 1);
    let mut called = 0;
    loop {
        if frames.at() >= called {
            bytes.call(called, CALLED_BYTES);
            called += CALLED_BYTES;
        }
        while ahead.len() <= FRAMES_AHEAD
            && let Some(frame) = frames.next()
        {
            file.comes(&frame);
            ahead.push_back(frame);
        }
        let Some(frame) = ahead.pop_front() else {
            break;
        };
        if let Some(soon) = ahead.get(SOON) {
            let lines = soon.captured.chunks(LINE);
            lines.for_each(|line| prefetch(&line[0]));
        }
        file.take(&frame);
    }
    file.fragments.clear();
    file.settle_lost();
    file.release_all();
    let name = path.display();
    match frames.fault() {
        Some(Fault::CutShort(at)) => counts.notes.push(format!(
            "{name}: cut short at byte {at}; every whole frame before it was used"
        )),
        Some(Fault::Broken(at)) => counts.notes.push(format!(
            "{name}: no block at byte {at}; every frame before it was used"
        )),
        None => {}
    }
    let rejected = frames.blocks_rejected();
    if rejected > 0 {
        counts.frames += rejected;
        counts.blocks_rejected += rejected;
        counts.notes.push(format!(
            "{name}: {rejected} blocks made no sense and were left out"
        ));
    }
}

/// How many frames ahead all of a frame is called into the cache; its head comes earlier.
const SOON: usize = 2;
/// Bytes of a cache line.
const LINE: usize = 64;

/// Bytes of a file that are mapped at a time: fewer than the caches have.
const CALLED_BYTES: usize = 1 << 20;

/// One capture file while it is read.
struct OneFile<'s, 'b, F> {
    selection: &'s Selection,
    counts: &'s mut Counts,
    each: &'s mut F,
    first_frame: u64,
    number: u64,
    fragments: Fragments,
    /// Fragments of which nobody knows yet whether they are export: traffic that is not lost.
    waiting: VecDeque<(FragmentKey, Frame<'b>)>,
}

impl<'b, F: FnMut(Found<'_>)> OneFile<'_, 'b, F> {
    fn comes(&mut self, frame: &Frame<'b>) {
        if self.wants_traffic() {
            (self.each)(Found::Coming(*frame));
        }
    }

    fn take(&mut self, frame: &Frame<'b>) {
        self.counts.frames += 1;
        if matches!(self.selection, Selection::Packets) {
            return self.traffic(frame);
        }
        let Some(view) = dissect::frame(frame.link_type, frame.captured) else {
            return self.reject(frame, 1);
        };
        if view.proto.is_some_and(|p| p != UDP) || (view.proto.is_none() && !view.cut) {
            self.other(frame, 1);
        } else if view.is_fragment() {
            self.take_fragment(frame, &view);
        } else {
            let part = view
                .transport_at
                .and_then(|at| frame.captured.get(at..view.end));
            self.take_udp(frame, &view, part.unwrap_or_default(), 1);
        }
    }

    fn take_fragment(&mut self, frame: &Frame<'b>, view: &HeaderView) {
        let Some((fragment, part)) = fragment_of(frame, view) else {
            return self.reject(frame, 1);
        };
        let key = FragmentKey {
            src: view.src_addr.unwrap_or_default(),
            dst: view.dst_addr.unwrap_or_default(),
            id: fragment.id,
            proto: match view.ip_version {
                Some(4) => UDP,
                _ => 0,
            },
        };
        let (offset, more) = (fragment.offset, fragment.more);
        let added = self.fragments.add(key, frame.time_ns, offset, more, part);
        self.settle_lost();
        if self.wants_traffic() {
            return self.settle(key, frame, view, &added);
        }
        match added {
            Added::Waiting => {}
            Added::Refused { frames } => self.reject(frame, frames),
            Added::Whole { payload, frames } => self.take_udp(frame, view, &payload, frames),
        }
    }

    fn settle_lost(&mut self) {
        let lost = self.fragments.take_lost();
        // where traffic is wanted they are among those that wait, and go out as traffic in the end
        if !self.wants_traffic() {
            self.counts.frames_rejected += lost;
        }
    }

    /// Decides for the fragments of a packet whether they are export or traffic, once that can be told.
    fn settle(&mut self, key: FragmentKey, frame: &Frame<'b>, view: &HeaderView, added: &Added) {
        self.waiting.push_back((key, *frame));
        if matches!(added, Added::Waiting) {
            if self.waiting.len() > WAITING_MAX
                && let Some((_, oldest)) = self.waiting.pop_front()
            {
                self.traffic(&oldest);
            }
            return;
        }
        let waiting = std::mem::take(&mut self.waiting);
        let (these, others) = waiting.into_iter().partition(|(k, _)| *k == key);
        self.waiting = others;
        let these: VecDeque<(FragmentKey, Frame<'b>)> = these;
        let export = match added {
            Added::Whole { payload, .. } => self.datagram(frame, view, payload) == Is::Export,
            _ => false,
        };
        if export {
            self.counts.frames_export += these.len() as u64;
        } else {
            these.iter().for_each(|(_, frame)| self.traffic(frame));
        }
    }

    /// Fragments whose rest never came are traffic.
    fn release_all(&mut self) {
        while let Some((_, frame)) = self.waiting.pop_front() {
            self.traffic(&frame);
        }
    }

    fn wants_traffic(&self) -> bool {
        !matches!(self.selection, Selection::Export)
    }

    fn traffic(&mut self, frame: &Frame<'_>) {
        self.counts.frames_traffic += 1;
        (self.each)(Found::Traffic(Frame {
            number: self.first_frame + frame.number,
            ..*frame
        }));
    }

    /// No export: `frames` frames, of which `frame` is the last.
    fn other(&mut self, frame: &Frame<'_>, frames: u64) {
        match self.wants_traffic() {
            true => self.traffic(frame),
            false => self.counts.frames_other += frames,
        }
    }

    /// Cannot be read as export; as traffic it is judged anew.
    fn reject(&mut self, frame: &Frame<'_>, frames: u64) {
        match self.wants_traffic() {
            true => self.traffic(frame),
            false => self.counts.frames_rejected += frames,
        }
    }

    /// Takes a UDP header and what follows it, carried by `frames` frames.
    fn take_udp(&mut self, frame: &Frame<'_>, view: &HeaderView, udp: &[u8], frames: u64) {
        match self.datagram(frame, view, udp) {
            Is::Export => self.counts.frames_export += frames,
            Is::Other => self.other(frame, frames),
            Is::Broken => self.reject(frame, frames),
        }
    }

    /// Tells what a UDP header and what follows it is, and hands out an export datagram.
    fn datagram(&mut self, frame: &Frame<'_>, view: &HeaderView, udp: &[u8]) -> Is {
        let Some((head, rest)) = udp.split_first_chunk::<8>() else {
            return Is::Broken;
        };
        let [s0, s1, d0, d1, l0, l1, ..] = *head;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        if (1..8).contains(&length) {
            return Is::Broken;
        }
        // a length of 0 is what segmentation offload leaves: the datagram reaches as far as the packet
        let payload = match length {
            0 => rest,
            _ => &rest[..rest.len().min(length - 8)],
        };
        self.number += 1;
        if !self.is_export(u16::from_be_bytes([d0, d1]), payload) {
            return Is::Other;
        }
        self.counts.datagrams += 1;
        (self.each)(Found::Datagram(Datagram {
            source: view.src_addr.unwrap_or_default(),
            port: u16::from_be_bytes([s0, s1]),
            received_at_ns: frame.time_ns,
            number: self.number,
            frame: self.first_frame + frame.number,
            cut: payload.len() + 8 < length,
            payload,
        }));
        Is::Export
    }

    fn is_export(&self, port: u16, payload: &[u8]) -> bool {
        match self.selection {
            Selection::Export => true,
            Selection::Packets => false,
            Selection::Auto {
                ports,
                looks_like_export,
            } => ports.contains(&port) || looks_like_export(payload),
        }
    }
}

/// What a UDP datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    Export,
    Other,
    Broken,
}

/// The place of a fragment and its whole data; `None` where the capture cut it.
fn fragment_of<'a>(frame: &Frame<'a>, view: &HeaderView) -> Option<(Fragment, &'a [u8])> {
    let (fragment, network) = (view.fragment?, view.network_at?);
    let end = network + view.ip_len? as usize;
    Some((fragment, frame.captured.get(view.transport_at?..end)?))
}

const NS: i64 = 1_000_000_000;
const UDP: u8 = 17;
/// Fragments that may wait until it is known whether they are export.
const WAITING_MAX: usize = 4_096;
/// How far ahead frames are shown ([`Found::Coming`]).
pub const FRAMES_AHEAD: usize = 18;
/// The largest payload of a UDP datagram over IPv6 without jumbograms.
const UDP_PAYLOAD_MAX: usize = 65_527;

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{IpFragOffset, IpNumber, Ipv4Header, PacketBuilder};
    use std::io::Write;

    fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        PacketBuilder::ethernet2([1; 6], [2; 6])
            .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
            .udp(4000, port)
            .write(&mut bytes, payload)
            .expect("a vector takes it");
        bytes
    }

    fn tcp() -> Vec<u8> {
        let mut bytes = Vec::new();
        PacketBuilder::ethernet2([1; 6], [2; 6])
            .ipv6([1; 16], [2; 16], 64)
            .tcp(1, 2, 3, 4)
            .write(&mut bytes, &[])
            .expect("a vector takes it");
        bytes
    }

    /// The IPv4 packet of a frame in fragments of `size` bytes.
    fn fragments(frame: &[u8], size: usize) -> Vec<Vec<u8>> {
        let payload = &frame[34..];
        let count = payload.len().div_ceil(size);
        (0..count)
            .map(|i| {
                let part = &payload[i * size..payload.len().min((i + 1) * size)];
                let mut ip = Ipv4Header::new(
                    part.len() as u16,
                    64,
                    IpNumber::UDP,
                    [10, 0, 0, 1],
                    [10, 0, 0, 2],
                )
                .expect("short enough");
                ip.identification = 77;
                ip.more_fragments = i + 1 < count;
                ip.fragment_offset = IpFragOffset::try_new((i * size / 8) as u16).expect("13 bits");
                let mut out = frame[..14].to_vec();
                ip.write(&mut out).expect("a vector takes it");
                out.extend(part);
                out
            })
            .collect()
    }

    /// A little-endian pcap of frames, each with its captured and its original length.
    fn capture(frames: &[(&[u8], usize)]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        let mut out = vec![0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0];
        out.extend([0; 12]);
        out.extend([1, 0, 0, 0]);
        for (i, (bytes, original)) in frames.iter().enumerate() {
            for n in [100 + i as u32, 0, bytes.len() as u32, *original as u32] {
                out.extend(n.to_le_bytes());
            }
            out.extend(*bytes);
        }
        file.write_all(&out).expect("written");
        file
    }

    type Seen = (u64, u64, u16, bool, Vec<u8>);

    fn read(paths: &[&Path], selection: &Selection) -> (Vec<Seen>, Counts) {
        let captures = Captures::open(paths, |p| p.starts_with(b"export")).expect("open");
        let mut seen = Vec::new();
        let counts = captures.read(selection, |d| {
            seen.push((d.number, d.frame, d.port, d.cut, d.payload.to_vec()));
        });
        let kinds = counts.frames_export
            + counts.frames_traffic
            + counts.frames_other
            + counts.frames_rejected
            + counts.blocks_rejected;
        assert_eq!(counts.frames, kinds, "every frame has one outcome");
        (seen, counts)
    }

    fn auto(ports: &[u16]) -> Selection {
        Selection::Auto {
            ports: ports.to_vec(),
            looks_like_export: |p| p.starts_with(b"export"),
        }
    }

    #[test]
    fn datagrams_are_numbered_and_chosen() {
        let (a, b, t) = (udp(53, b"query"), udp(9995, b"export 1"), tcp());
        let file = capture(&[(&a, a.len()), (&t, t.len()), (&b, b.len())]);
        let (seen, counts) = read(&[file.path(), file.path()], &Selection::Export);
        let places: Vec<_> = seen.iter().map(|s| (s.0, s.1)).collect();
        assert_eq!(places, [(1, 1), (2, 3), (1, 4), (2, 6)]);
        assert_eq!((counts.frames_export, counts.frames_other), (4, 2));
        let (seen, counts) = read(&[file.path()], &auto(&[]));
        assert_eq!(seen, [(2, 3, 4000, false, b"export 1".to_vec())]);
        assert_eq!((counts.frames_traffic, counts.frames_other), (2, 0));
        assert_eq!(read(&[file.path()], &auto(&[53])).0.len(), 2);
    }

    #[test]
    fn fragments_are_put_together_and_snapped_payload_says_so() {
        let payload: Vec<u8> = (0..3000u32).map(|n| n as u8).collect();
        let whole = udp(2055, &payload);
        let parts = fragments(&whole, 1480);
        let mut frames: Vec<_> = parts.iter().rev().map(|p| (&p[..], p.len())).collect();
        frames.push((&whole[..1000], whole.len()));
        frames.push((&whole[..30], whole.len()));
        frames.push((&parts[0], parts[0].len()));
        let file = capture(&frames);
        let (seen, counts) = read(&[file.path()], &Selection::Export);
        assert_eq!(seen.len(), 2);
        assert_eq!(seen[0], (1, 3, 4000, false, payload.clone()));
        assert_eq!(seen[1], (2, 4, 4000, true, payload[..958].to_vec()));
        assert_eq!((counts.frames_export, counts.frames_rejected), (4, 2));
    }

    #[test]
    fn every_frame_that_is_no_export_is_traffic() {
        let payload: Vec<u8> = (0..3000u32).map(|n| n as u8).collect();
        let plain = fragments(&udp(53, &payload), 1480);
        let export = fragments(&udp(2055, &payload), 1480);
        let (query, other) = (udp(53, b"query"), tcp());
        let mut frames: Vec<&[u8]> = vec![&other, &query, &query[..20]];
        frames.extend(plain.iter().map(|f| &f[..]));
        // the rest of these never comes
        frames.extend(plain[..2].iter().map(|f| &f[..]));
        let all: Vec<_> = frames.iter().map(|f| (*f, f.len())).collect();
        let exported: Vec<_> = export.iter().map(|f| (&f[..], f.len())).collect();
        let files = [capture(&exported), capture(&all)];
        let captures =
            Captures::open(&[files[0].path(), files[1].path()], |_| false).expect("open");
        let seen = |selection: &Selection| {
            let mut traffic = Vec::new();
            let counts = captures.read_all(selection, |found| {
                if let Found::Traffic(frame) = found {
                    traffic.push(frame.number);
                }
            });
            assert_eq!(counts.frames_traffic, traffic.len() as u64);
            (traffic, counts.frames_export, counts.frames)
        };
        let (traffic, export, frames) = seen(&auto(&[2055]));
        assert_eq!(traffic, (4..=frames).collect::<Vec<_>>());
        assert_eq!((export, frames), (3, 11));
        let (traffic, export, _) = seen(&Selection::Packets);
        assert_eq!(traffic, (1..=frames).collect::<Vec<_>>());
        assert_eq!(export, 0);
    }

    #[test]
    fn a_raw_payload_has_the_clock_of_its_header() {
        let dir = tempfile::tempdir().expect("a directory");
        for (head, clock) in [
            ("\0\x09\0\x01\0\0\0\0\0\0\0\x07", 7 * NS),
            ("\0\x0a\0\x10\0\0\0\x08\0\0\0\0", 8 * NS),
            ("\0\x05\0\x01\0\0\0\0\0\0\0\x09\0\0\0\x02", 9 * NS + 2),
            ("\0\0\0\x05\0\0\0\x01\0\0\0\x09\0\0\0\x02", 0),
            ("\0\x05", 0),
        ] {
            let path = dir.path().join("one.dat");
            std::fs::write(&path, head).expect("written");
            let captures = Captures::open(&[&path], |_| false).expect("open");
            let mut clocks = Vec::new();
            captures.read(&auto(&[]), |d| clocks.push((d.number, d.received_at_ns)));
            assert_eq!(clocks, [(1, clock)]);
        }
    }

    #[test]
    fn what_is_no_capture_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notes.txt");
        std::fs::write(&path, "just text").expect("written");
        let open = |p: &Path| Captures::open(&[p], |p| p.starts_with(b"export"));
        assert!(matches!(open(&path), Err(CaptureError::NoCapture { .. })));
        std::fs::write(&path, "export text").expect("written");
        assert!(open(&path).is_ok());
        std::fs::write(&path, "").expect("written");
        assert!(open(&path).is_err());
        let missing = open(&dir.path().join("missing"));
        assert!(matches!(missing, Err(CaptureError::CannotRead { .. })));
    }
}
