//! An export datagram on its way from receive to decode.

use super::Addr;

/// One UDP payload with what is known about its arrival.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// UDP source address.
    pub source: Addr,
    /// UDP source port.
    pub port: u16,
    /// Collector clock (in `replay`: the capture's), nanoseconds since 1970 UTC.
    pub received_at_ns: i64,
    /// Number of the datagram: since start, or in the input (from 1).
    pub number: u64,
    /// Number of the input frame that completed it (from 1); 0 when live.
    pub frame: u64,
    /// Whether the payload was cut by the receive buffer or the capture's snap length.
    pub cut: bool,
    /// The UDP payload.
    pub payload: &'a [u8],
}
