//! Many datagrams in one system call, and the kernel's own drop counter of a socket.
//!
//! Why not nix: its `MultiHeaders` keep the control and address lengths of the call before, so reuse loses data, and
//! fresh ones allocate for every burst.
#![expect(
    unsafe_code,
    reason = "recvmmsg and SO_MEMINFO have no safe wrapper that can be reused; proofs below"
)]

use crate::model::Addr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// Datagrams taken by one call at most. Measured on loopback: past 64 nothing is gained.
pub(super) const BURST: usize = 64;

/// Room for [`BURST`] datagrams, filled by [`Burst::receive`].
pub(super) struct Burst {
    payloads: Box<[u8]>,
    payload_max: usize,
    stride: usize,
    names: Box<[Name; BURST]>,
    received: Box<[Received; BURST]>,
    count: usize,
}

/// One datagram of a burst.
#[derive(Clone, Copy)]
pub(super) struct Arrival<'a> {
    pub source: Addr,
    pub port: u16,
    /// The datagram was longer than the room for it.
    pub cut: bool,
    pub payload: &'a [u8],
}

/// Bytes of a `sockaddr_in` or `sockaddr_in6`; the kernel writes them, [`Name::parse`] reads them.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
struct Name([u8; NAME_BYTES]);

#[derive(Clone, Copy, Default)]
struct Received {
    length: usize,
    cut: bool,
    source: Addr,
    port: u16,
}

impl Burst {
    /// Room for datagrams of up to `payload_max` bytes each.
    pub fn new(payload_max: usize) -> Self {
        // The odd line keeps the starts of neighbouring payloads out of the same cache sets.
        let stride = payload_max.next_multiple_of(64) + 64;
        Burst {
            payloads: vec![0; stride * BURST].into_boxed_slice(),
            payload_max,
            stride,
            names: Box::new([Name([0; NAME_BYTES]); BURST]),
            received: Box::new([Received::default(); BURST]),
            count: 0,
        }
    }

    /// Takes what the socket has, at most [`BURST`] datagrams, and says how many. With `wait` it blocks for the first
    /// one as long as the socket's receive time-out says. Time-outs, interruptions and an empty socket give 0.
    pub fn receive(&mut self, socket: BorrowedFd<'_>, wait: bool) -> io::Result<usize> {
        self.count = 0;
        // SAFETY: an all-zero iovec or mmsghdr is valid: null pointers with length 0.
        let mut vectors: [libc::iovec; BURST] = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        let mut headers: [libc::mmsghdr; BURST] = unsafe { std::mem::zeroed() };
        for (vector, payload) in vectors
            .iter_mut()
            .zip(self.payloads.chunks_exact_mut(self.stride))
        {
            vector.iov_base = payload.as_mut_ptr().cast();
            vector.iov_len = self.payload_max;
        }
        let vectors = vectors.as_mut_ptr();
        for (i, (header, name)) in headers.iter_mut().zip(self.names.iter_mut()).enumerate() {
            header.msg_hdr.msg_name = ptr::from_mut(name).cast();
            header.msg_hdr.msg_namelen = NAME_BYTES as libc::socklen_t;
            // SAFETY: i < BURST, the length of `vectors`.
            header.msg_hdr.msg_iov = unsafe { vectors.add(i) };
            header.msg_hdr.msg_iovlen = 1;
        }
        let flags = if wait {
            libc::MSG_WAITFORONE
        } else {
            libc::MSG_DONTWAIT
        };
        // SAFETY: `headers` has BURST elements. Each points to one element of `vectors` and of `self.names`, each
        // vector to its own chunk of `self.payloads` of at least `payload_max` bytes. All of these outlive the call,
        // nothing else refers to them during it (they are borrowed exclusively or local), every pointer was made for
        // this call, and the kernel keeps none. Any bytes it writes are valid for `u8` and for the integers of mmsghdr.
        let got = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                BURST as libc::c_uint,
                flags as _,
                ptr::null_mut(),
            )
        };
        if got < 0 {
            let error = io::Error::last_os_error();
            return match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted => Ok(0),
                _ => Err(error),
            };
        }
        let count = (got as usize).min(BURST);
        for ((slot, header), name) in self
            .received
            .iter_mut()
            .zip(&headers)
            .zip(self.names.iter())
            .take(count)
        {
            let (source, port) = name.parse();
            *slot = Received {
                length: (header.msg_len as usize).min(self.payload_max),
                cut: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
                source,
                port,
            };
        }
        self.count = count;
        Ok(count)
    }

    /// The datagrams of the last call, in order of arrival.
    pub fn arrivals(&self) -> impl Iterator<Item = Arrival<'_>> {
        let received = self.received.iter().take(self.count);
        received
            .zip(self.payloads.chunks_exact(self.stride))
            .map(|(r, payload)| Arrival {
                source: r.source,
                port: r.port,
                cut: r.cut,
                payload: &payload[..r.length],
            })
    }
}

impl Name {
    /// Address and port; unspecified when the family is neither IPv4 nor IPv6.
    fn parse(&self) -> (Addr, u16) {
        let b = &self.0;
        let port = u16::from_be_bytes([b[2], b[3]]);
        match i32::from(u16::from_ne_bytes([b[0], b[1]])) {
            libc::AF_INET => (Addr::from_v4([b[4], b[5], b[6], b[7]]), port),
            libc::AF_INET6 => {
                let mut address = [0; 16];
                address.copy_from_slice(&b[8..24]);
                (Addr::from_v6(address), port)
            }
            _ => (Addr::UNSPECIFIED, port),
        }
    }
}

/// Datagrams that the kernel dropped at this socket since it was opened, modulo 2^32. It is the counter that
/// SO_RXQ_OVFL attaches to the next datagram, readable at any time (SO_MEMINFO, Linux 4.12).
pub(super) fn kernel_drops(socket: BorrowedFd<'_>) -> io::Result<u32> {
    let mut info = [0u32; MEMINFO_VARS];
    let mut length = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes, the size of `info`, and any bytes are valid u32s.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_MEMINFO,
            info.as_mut_ptr().cast(),
            &mut length,
        )
    };
    match result {
        0 => Ok(info[MEMINFO_DROPS]),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Size of `sockaddr_in6`, the longer of the two names.
const NAME_BYTES: usize = size_of::<libc::sockaddr_in6>();

/// From asm-generic/socket.h and linux/sock_diag.h; libc has neither.
const SO_MEMINFO: libc::c_int = 55;
const MEMINFO_DROPS: usize = 8;
const MEMINFO_VARS: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    #[test]
    fn names_of_both_families_are_read() {
        let mut b = [0; NAME_BYTES];
        b[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
        b[2..8].copy_from_slice(&[0x08, 0x07, 192, 0, 2, 9]);
        assert_eq!(Name(b).parse(), (Addr::from_v4([192, 0, 2, 9]), 2055));
        b[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
        b[8..24].copy_from_slice(&[0x20; 16]);
        assert_eq!(Name(b).parse(), (Addr([0x20; 16]), 2055));
        assert_eq!(Name([0xff; NAME_BYTES]).parse().0, Addr::UNSPECIFIED);
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no sockets")]
    fn a_burst_holds_every_datagram_whole_and_says_which_was_cut() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = socket.local_addr().unwrap();
        let mut burst = Burst::new(100);
        assert_eq!(burst.receive(socket.as_fd(), false).unwrap(), 0);
        for round in 0..3u8 {
            for i in 0..=BURST {
                let size = [0, 1, 100, 101][i % 4];
                sender.send_to(&vec![i as u8 ^ round; size], to).unwrap();
            }
            assert_eq!(burst.receive(socket.as_fd(), true).unwrap(), BURST);
            for (i, a) in burst.arrivals().enumerate() {
                let size = [0, 1, 100, 101][i % 4];
                assert_eq!(a.source, Addr::from_v4([127, 0, 0, 1]));
                assert_eq!(a.port, sender.local_addr().unwrap().port());
                assert_eq!(a.payload, vec![i as u8 ^ round; size.min(100)]);
                assert_eq!(a.cut, size == 101);
            }
            assert_eq!(burst.receive(socket.as_fd(), false).unwrap(), 1);
            assert_eq!(burst.receive(socket.as_fd(), false).unwrap(), 0);
            assert_eq!(burst.arrivals().count(), 0);
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no sockets")]
    fn kernel_drops_are_exact() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket2::SockRef::from(&socket)
            .set_recv_buffer_size(1)
            .unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..200 {
            sender
                .send_to(&[7; 1000], socket.local_addr().unwrap())
                .unwrap();
        }
        let drops = kernel_drops(socket.as_fd()).unwrap();
        let mut burst = Burst::new(2000);
        let mut got = 0;
        loop {
            match burst.receive(socket.as_fd(), false).unwrap() {
                0 => break,
                n => got += n,
            }
        }
        assert!(drops > 0);
        assert_eq!(got + drops as usize, 200);
    }
}
