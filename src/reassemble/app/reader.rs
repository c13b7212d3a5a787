//! Who reads on once the protocol is known.

use super::announce::Announcer;
use super::dns::DnsTcp;
use super::http::Http;
use super::http2::Http2;
use super::known::Ctx;
use super::quic::Quic;
use super::tls::Tls;
use crate::model::AppProto;

/// A parser with what it keeps.
#[derive(Debug)]
pub(super) enum Reader {
    Http(Http),
    Http2(Http2),
    Tls(Tls),
    Dns(DnsTcp),
    Quic(Quic),
    Announcer(Announcer),
}

impl Reader {
    /// Who reads a stream of this protocol, if anybody does.
    pub fn of_stream(proto: AppProto) -> Option<Reader> {
        match proto {
            AppProto::Http => Some(Reader::Http(Http::default())),
            AppProto::Http2 => Some(Reader::Http2(Http2::default())),
            AppProto::Tls => Some(Reader::Tls(Tls::default())),
            AppProto::Dns => Some(Reader::Dns(DnsTcp::default())),
            _ => Announcer::of(proto).map(Reader::Announcer),
        }
    }

    /// Who reads datagrams of this protocol, if anybody does.
    pub fn of_datagrams(proto: AppProto) -> Option<Reader> {
        match proto {
            AppProto::Quic => Some(Reader::Quic(Quic::default())),
            _ => Announcer::of(proto).map(Reader::Announcer),
        }
    }

    /// Takes bytes of a half, or a datagram; returns whether more is wanted.
    pub fn bytes(&mut self, ctx: &mut Ctx<'_>, half: usize, b: &[u8]) -> bool {
        match self {
            Reader::Http(r) => r.bytes(ctx, half, b),
            Reader::Http2(r) => r.bytes(ctx, half, b),
            Reader::Tls(r) => r.bytes(ctx, half, b),
            Reader::Dns(r) => r.bytes(ctx, half, b),
            Reader::Quic(r) => r.datagram(ctx, half, b),
            Reader::Announcer(r) => r.bytes(ctx, half, b),
        }
    }

    /// Bytes of a half are missing; returns whether it can go on. Who wants `all` is told what is around the hole, too.
    pub fn gap(&mut self, half: usize, missing: u32, all: bool) -> bool {
        match self {
            Reader::Http(r) => r.gap(half, missing, all),
            Reader::Http2(r) => r.gap(half),
            Reader::Tls(r) => r.gap(half),
            Reader::Dns(r) => r.gap(half),
            Reader::Quic(_) => true,
            Reader::Announcer(r) => r.gap(half),
        }
    }

    /// No more bytes of a half come.
    pub fn end(&mut self, ctx: &mut Ctx<'_>, half: usize) {
        if let Reader::Http(r) = self {
            r.end(ctx, half);
        }
    }

    /// Of TLS whether neither side says more in the clear, and whether data of the application came.
    pub fn is_secret(&self) -> [bool; 2] {
        match self {
            Reader::Tls(r) => [r.is_quiet(), r.is_encrypted()],
            _ => [false; 2],
        }
    }

    /// Memory that it takes beside itself.
    pub fn room(&self) -> usize {
        match self {
            Reader::Http(r) => r.room(),
            Reader::Http2(r) => r.room(),
            Reader::Tls(r) => r.room(),
            Reader::Dns(r) => r.room(),
            Reader::Quic(r) => r.room(),
            Reader::Announcer(r) => r.room(),
        }
    }
}
