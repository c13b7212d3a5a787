//! What conversations say, message by message, borrowed from their bytes.

use super::dns::Dns;
use super::head::Head;
use super::hello::{ClientHello, ServerHello};

/// A message of an application protocol.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Message<'a> {
    /// Request line and header fields.
    HttpRequest(&'a Head<'a>),
    /// Status line and header fields.
    HttpResponse(&'a Head<'a>),
    /// A part of a body, without chunks and content coding. The last one is empty.
    HttpBody(&'a [u8]),
    /// Fields behind a body in chunks, names and values.
    HttpTrailers(&'a [(&'a [u8], &'a [u8])]),
    /// A request or an answer of HTTP/1 is over, its body with it.
    HttpEnd,
    /// First message of a TLS client, in QUIC too.
    TlsClientHello(&'a ClientHello<'a>),
    /// First message of a TLS server.
    TlsServerHello(&'a ServerHello),
    /// A certificate of a chain (DER), and its place in it.
    TlsCertificate {
        /// 0 is that of the server or client itself.
        place: usize,
        /// X.509.
        der: &'a [u8],
    },
    /// What a TLS client says of keys (RFC 5246 section 7.4.7).
    TlsClientKeys,
    /// A frame of HTTP/2, behind what it says in whole.
    Http2Frame {
        /// Its type (RFC 9113 section 6).
        kind: u8,
        /// Its flags.
        flags: u8,
        /// Its stream; 0 is the connection.
        stream: u32,
        /// Its payload; of data nothing, of a long frame its first bytes.
        payload: &'a [u8],
    },
    /// A query or an answer.
    Dns(&'a Dns<'a>),
    /// Bytes of a protocol that is not read further: those that told it.
    Other(&'a [u8]),
}

/// Who listens to messages.
pub trait Visitor {
    /// A message of a half; 0 is the side that began.
    fn message(&mut self, half: usize, message: &Message<'_>);
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deaf;

impl Visitor for Deaf {
    fn message(&mut self, _half: usize, _message: &Message<'_>) {}
}

/// What the visitor of a shard wants beside what flows are named by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// All messages of a conversation, not only those that name it.
    pub all: bool,
    /// Bodies, decoded.
    pub bodies: bool,
}
