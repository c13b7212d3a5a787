//! SIP (RFC 3261 section 7) and RTSP (RFC 7826 section 7, RFC 2326); what SIP says of media to come (RFC 8866).

use super::expect::{Endpoint, Expected};
use super::octets::{begins, begins_text, contains, either, line, one_of};
use super::peek::{Confidence, Peek, Verdict};
use crate::model::{Addr, AppProto, Codec, PayloadMap};

/// A method with an address of its schemes, or a status line.
pub(super) fn sip(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::Sip, Confidence::SURE, |b| {
        let b = b.trim_ascii_start();
        one_of([
            begins(b, b"SIP/2.0 "),
            request(b, SIP, &[b"sip:", b"sips:", b"tel:"]),
        ])
    })
}

/// As [`sip`]; the address may be `*`, then the version tells.
pub(super) fn rtsp(peek: &Peek<'_>) -> Verdict {
    either(peek, AppProto::Rtsp, Confidence::SURE, |b| {
        one_of([
            begins(b, b"RTSP/1.0 "),
            begins(b, b"RTSP/2.0 "),
            request(b, RTSP, &[b"rtsp://", b"rtspu://", b"rtsps://"]),
            request(b, &[b"OPTIONS "], &[b"* RTSP/"]),
        ])
    })
}

fn request(bytes: &[u8], methods: &[&[u8]], schemes: &[&[u8]]) -> Option<bool> {
    one_of(methods.iter().map(|method| {
        if !begins(bytes, method)? {
            return Some(false);
        }
        let rest = &bytes[method.len()..];
        one_of(schemes.iter().map(|scheme| begins_text(rest, scheme)))
    }))
}

/// The endpoints of audio and video that a SIP message describes, and those of RTCP beside them.
pub(super) fn expected(message: &[u8], mut each: impl FnMut(Expected)) {
    if !contains(message, b"m=") {
        return;
    }
    let (mut addr, mut medium) = (None, None::<Medium>);
    let mut lines = message;
    for _ in 0..LINES_MAX {
        let Some(said) = line(lines) else { break };
        let end = lines
            .iter()
            .position(|b| *b == b'\n')
            .map_or(lines.len(), |n| n + 1);
        lines = &lines[end..];
        if let Some(text) = said.strip_prefix(b"c=IN IP") {
            let told = connection(text);
            match &mut medium {
                // behind its medium it is of that alone (RFC 8866 section 5.7)
                Some(medium) => medium.addr = told.or(medium.addr),
                None => addr = told.or(addr),
            }
        } else if let Some(text) = said.strip_prefix(b"a=rtpmap:") {
            if let (Some(medium), Some((kind, codec, clock))) = (&mut medium, payload(text)) {
                medium.payloads.add(kind, codec, clock);
            }
        } else if said.starts_with(b"m=") {
            medium.take().inspect(|m| m.expect(&mut each));
            let media = [&b"m=audio "[..], b"m=video "];
            let rest = media.iter().find_map(|m| said.strip_prefix(*m));
            medium = Some(Medium {
                addr,
                port: rest.and_then(port_of),
                payloads: PayloadMap::default(),
            });
        }
    }
    medium.inspect(|m| m.expect(&mut each));
}

/// A medium of a session's description.
struct Medium {
    addr: Option<Addr>,
    port: Option<u16>,
    payloads: PayloadMap,
}

impl Medium {
    fn expect(&self, mut each: impl FnMut(Expected)) {
        let Some((addr, port)) = self.addr.zip(self.port) else {
            return;
        };
        for (port, proto) in [
            (port, AppProto::Rtp),
            (port.wrapping_add(1), AppProto::Rtcp),
        ] {
            if port != 0 {
                let (at, payloads) = (Endpoint { addr, port }, self.payloads);
                each(Expected {
                    at,
                    proto,
                    payloads,
                });
            }
        }
    }
}

/// `111 opus/48000/2` (RFC 8866 section 6.6).
fn payload(text: &[u8]) -> Option<(u8, Codec, u32)> {
    let text = std::str::from_utf8(text).ok()?;
    let (kind, rest) = text.trim().split_once(' ')?;
    let mut parts = rest.trim_start().split('/');
    let (name, clock) = (parts.next()?, parts.next()?);
    Some((
        kind.parse().ok()?,
        Codec::of_name(name.as_bytes()),
        clock.trim().parse().ok()?,
    ))
}

/// `4 192.0.2.1` or `6 2001:db8::1`, a time to live behind a slash.
fn connection(text: &[u8]) -> Option<Addr> {
    let text = std::str::from_utf8(text.get(2..)?).ok()?;
    let text = text.split('/').next()?.trim();
    let ip: std::net::IpAddr = text.parse().ok()?;
    (!ip.is_unspecified()).then(|| ip.into())
}

fn port_of(text: &[u8]) -> Option<u16> {
    let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
    let port = std::str::from_utf8(&text[..digits]).ok()?.parse().ok()?;
    (port != 0).then_some(port)
}

/// Lines of a message that are read for media.
const LINES_MAX: usize = 200;

const SIP: &[&[u8]] = &[
    b"INVITE ",
    b"ACK ",
    b"BYE ",
    b"CANCEL ",
    b"OPTIONS ",
    b"REGISTER ",
    b"PRACK ",
    b"SUBSCRIBE ",
    b"NOTIFY ",
    b"PUBLISH ",
    b"INFO ",
    b"REFER ",
    b"MESSAGE ",
    b"UPDATE ",
];

const RTSP: &[&[u8]] = &[
    b"OPTIONS ",
    b"DESCRIBE ",
    b"ANNOUNCE ",
    b"SETUP ",
    b"PLAY ",
    b"PAUSE ",
    b"TEARDOWN ",
    b"GET_PARAMETER ",
    b"SET_PARAMETER ",
    b"REDIRECT ",
    b"RECORD ",
    b"PLAY_NOTIFY ",
];

#[cfg(test)]
mod tests {
    use super::super::octets::trial::{is_tcp, is_udp, not_tcp, not_udp};
    use super::*;

    #[test]
    fn requests_and_answers() {
        is_udp(
            sip,
            b"REGISTER sip:sip.cybercity.dk SIP/2.0\r\n",
            AppProto::Sip,
        );
        is_udp(sip, b"SIP/2.0 401 Unauthorized\r\n", AppProto::Sip);
        is_udp(sip, b"\r\nOPTIONS sip:a SIP/2.0\r\n", AppProto::Sip);
        is_tcp(
            rtsp,
            [b"OPTIONS rtsp://10.2.2.2:8554/ RTSP/1.0\r\n", b""],
            AppProto::Rtsp,
        );
        is_tcp(rtsp, [b"", b"RTSP/1.0 200 OK\r\n"], AppProto::Rtsp);
        is_tcp(rtsp, [b"OPTIONS * RTSP/1.0\r\n", b""], AppProto::Rtsp);
    }

    #[test]
    fn other_text_is_neither() {
        not_udp(sip, b"OPTIONS * HTTP/1.1\r\n");
        not_udp(sip, b"\r\n\r\n");
        not_udp(sip, b"NOTIFY * HTTP/1.1\r\n");
        not_tcp(rtsp, b"OPTIONS * HTTP/1.1\r\n");
        not_tcp(rtsp, b"PLAYrtsp://a");
        not_tcp(sip, b"GET sip:a HTTP/1.1\r\n");
    }

    #[test]
    fn media_are_announced() {
        let message = b"SIP/2.0 200 OK\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n\
            c=IN IP4 192.168.1.2/127\r\nm=audio 8000 RTP/AVP 8 101\r\nm=image 9000 udptl t38\r\nm=video 0 RTP/AVP 99\r\nm=audio x\r\n";
        let mut found = vec![];
        expected(message, |e| found.push((e.at.port, e.proto)));
        assert_eq!(found, [(8000, AppProto::Rtp), (8001, AppProto::Rtcp)]);
        for end in 0..message.len() {
            expected(&message[..end], |e| assert_eq!(e.at.port & !1, 8000));
        }
        let message = b"c=IN IP4 10.0.0.1\r\nm=audio 8000 RTP/AVP 111 96\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:96 x-new/8000\r\n\
            a=rtpmap:97 \r\na=rtpmap:0 PCMU/8000\r\nm=video 9000 RTP/AVP 97\r\nc=IN IP4 10.0.0.2\r\na=rtpmap:97 H264/90000\r\n";
        let mut found = vec![];
        expected(message, |e| {
            let codec = |n| e.payloads.get(n).map(|p| (p.codec, p.clock));
            found.push((
                e.at.addr,
                e.at.port,
                [codec(111), codec(96), codec(97), codec(0)],
            ));
        });
        let audio = [
            Some((Codec::Opus, 48_000)),
            Some((Codec::Other, 8000)),
            None,
            None,
        ];
        let video = [None, None, Some((Codec::H264, 90_000)), None];
        let end = |n| Addr::from_v4([10, 0, 0, n]);
        assert_eq!(
            found,
            [
                (end(1), 8000, audio),
                (end(1), 8001, audio),
                (end(2), 9000, video),
                (end(2), 9001, video)
            ]
        );
        expected(b"m=audio 8000 RTP/AVP 8\r\n", |_| panic!("where?"));
        expected(b"c=IN IP4 nowhere\r\nm=audio 8000 RTP/AVP 8\r\n", |_| {
            panic!("where?")
        });
    }
}
