//! How the two sides of SSH agree on keys, in the clear: how much of what they said is no login.
//!
//! RFC 4253 section 6 has the packets, section 7 the offers, RFC 5656 section 4 and RFC 4419 section 3 the answers. What is said behind them is
//! encrypted, and its length alone tells a login that failed; an offer of 2 kB, or an RSA key of the host, is as long as a dozen refusals.

use super::sighting::{KeysSeen, Seen};
use crate::model::{PacketView, TcpHeader};

/// What a segment says about keys.
pub(super) fn keys(p: &PacketView<'_>, t: &TcpHeader) -> Option<Seen> {
    let by_client = is_port(t.dst_port);
    if !by_client && !is_port(t.src_port) {
        return None;
    }
    let (offer, answer) = exchange(p.payload());
    if offer == 0 && answer == 0 {
        return None;
    }
    let (client, server, port) = match by_client {
        true => (p.src, p.dst, t.dst_port),
        false => (p.dst, p.src, t.src_port),
    };
    Some(Seen::Keys(KeysSeen {
        client,
        server,
        port,
        by_client,
        offer,
        answer,
        time_ms: p.time_ns.div_euclid(1_000_000),
    }))
}

fn is_port(port: u16) -> bool {
    matches!(port, 22 | 2222)
}

/// Bytes of the offer, and of what goes on from it, that begin in a segment.
fn exchange(segment: &[u8]) -> (u32, u32) {
    let (mut offer, mut answer) = (0, 0);
    let mut rest = segment;
    // the version of the software stands before it
    if rest.starts_with(b"SSH-") {
        let end = rest.iter().take(VERSION_MAX).position(|b| *b == b'\n');
        rest = end.map_or(&[], |end| &rest[end + 1..]);
    }
    while let Some((head, body)) = rest.split_first_chunk::<6>() {
        let length = u32::from_be_bytes([head[0], head[1], head[2], head[3]]);
        if !(12..=PACKET_MAX).contains(&length) {
            break;
        }
        match head[5] {
            20 if is_offer(body) => offer = length + 4,
            // a number of the client, a key of the host and a number of the server
            30 | 32 if is_whole(body, length - 2 - u32::from(head[4]).min(length - 2)) => {
                answer += length + 4;
            }
            31 | 33 if is_key(body) => answer += length + 4,
            _ => break,
        }
        rest = rest.get(length as usize + 4..).unwrap_or_default();
    }
    (offer, answer)
}

/// Whether behind 16 random bytes there is a list of names.
fn is_offer(body: &[u8]) -> bool {
    let names = string(body.get(16..).unwrap_or_default());
    names.is_some_and(|n| n.len() >= 8 && n.iter().take(16).all(u8::is_ascii_graphic))
}

/// Whether one string is all that there is.
fn is_whole(body: &[u8], length: u32) -> bool {
    let of = body.first_chunk::<4>().map(|l| u32::from_be_bytes(*l));
    of.is_some_and(|l| l >= 16 && l.saturating_add(4) == length)
}

/// Whether a key of a host comes first, with its kind by name.
fn is_key(body: &[u8]) -> bool {
    let kind = body.get(4..).and_then(string);
    kind.is_some_and(|k| {
        let known: [&[u8]; 5] = [b"ssh-", b"rsa-", b"ecdsa-", b"sk-", b"x509v3-"];
        known.iter().any(|b| k.starts_with(b))
    })
}

/// A string behind its length, as much of it as there is.
fn string(body: &[u8]) -> Option<&[u8]> {
    let (length, rest) = body.split_first_chunk::<4>()?;
    let length = u32::from_be_bytes(*length);
    let end = rest.len().min(length as usize);
    (length <= PACKET_MAX).then_some(&rest[..end])
}

/// RFC 4253 section 4.2: the version, with its line end, and section 6.1: packets that all have to take.
const VERSION_MAX: usize = 255;
const PACKET_MAX: u32 = 35_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// A packet with a message, and four bytes of padding.
    fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = 2 + body.len() as u32 + 4;
        let mut all = length.to_be_bytes().to_vec();
        all.extend([4, kind]);
        all.extend(body);
        all.extend([0; 4]);
        all
    }

    fn text(t: &[u8]) -> Vec<u8> {
        [&(t.len() as u32).to_be_bytes()[..], t].concat()
    }

    #[test]
    fn what_is_in_the_clear_is_counted() {
        let offer = [&[7; 16][..], &text(b"curve25519-sha256,ecdh-sha2-nistp256")].concat();
        let init = text(&[9; 32]);
        let key = text(&[text(b"ssh-rsa"), text(&[1; 3]), text(&[2; 512])].concat());
        let client = [
            b"SSH-2.0-x\r\n".to_vec(),
            packet(20, &offer),
            packet(30, &init),
        ]
        .concat();
        let (offered, began) = exchange(&client);
        assert_eq!(offered as usize, packet(20, &offer).len());
        assert_eq!(began as usize, packet(30, &init).len());
        // what goes on in the next segment counts as well
        let reply = [key, text(&[3; 32]), text(&[4; 512])].concat();
        let server = [packet(31, &reply), packet(21, &[0; 6])].concat();
        assert_eq!(exchange(&server).1 as usize, packet(31, &reply).len());
        assert_eq!(
            exchange(&server[..600]).1 as usize,
            packet(31, &reply).len()
        );
        assert_eq!(exchange(&server[600..]), (0, 0));
        // what is encrypted behind a length says nothing, whatever it looks like
        for kind in [20, 30, 31, 33] {
            assert_eq!(exchange(&packet(kind, &[0x5a; 90])), (0, 0));
        }
        assert_eq!(exchange(b"SSH-2.0-without an end"), (0, 0));
    }
}
