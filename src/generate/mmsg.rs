//! Many datagrams out in one system call.
#![expect(
    unsafe_code,
    reason = "sendmmsg has no safe wrapper that does not allocate; proof below"
)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Datagrams sent by one call at most.
pub(super) const BATCH: usize = 32;

/// Sends the first payloads, at most [`BATCH`], each as one datagram on a connected socket, and says how many went.
pub(super) fn send(socket: BorrowedFd<'_>, payloads: &[&[u8]]) -> io::Result<usize> {
    let count = payloads.len().min(BATCH);
    // SAFETY: an all-zero iovec or mmsghdr is valid: null pointers with length 0.
    let mut vectors: [libc::iovec; BATCH] = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let mut headers: [libc::mmsghdr; BATCH] = unsafe { std::mem::zeroed() };
    for (vector, payload) in vectors.iter_mut().zip(payloads) {
        vector.iov_base = payload.as_ptr().cast_mut().cast();
        vector.iov_len = payload.len();
    }
    let first = vectors.as_mut_ptr();
    for (i, header) in headers.iter_mut().enumerate().take(count) {
        // SAFETY: i < BATCH, the length of `vectors`.
        header.msg_hdr.msg_iov = unsafe { first.add(i) };
        header.msg_hdr.msg_iovlen = 1;
    }
    // SAFETY: `headers` has at least `count` elements, each pointing to its own vector, each vector to a payload with
    // its length; all outlive the call. The kernel only reads what the vectors point to, and writes only `msg_len`.
    let sent = unsafe {
        libc::sendmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            count as libc::c_uint,
            0,
        )
    };
    if sent < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(sent as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    #[test]
    #[cfg_attr(miri, ignore = "Miri has no sockets")]
    fn each_payload_arrives_as_one_datagram() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        let payloads: Vec<Vec<u8>> = (0..40).map(|n| vec![n as u8; n]).collect();
        let slices: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
        assert_eq!(send(sender.as_fd(), &slices).unwrap(), BATCH);
        assert_eq!(send(sender.as_fd(), &slices[BATCH..]).unwrap(), 8);
        let mut buffer = [0; 100];
        for payload in &payloads {
            let n = receiver.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..n], payload);
        }
    }
}
