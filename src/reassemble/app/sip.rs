//! SIP (RFC 3261 section 7) and RTSP (RFC 7826 section 7, RFC 2326); what SIP says of media to come (RFC 8866).

use super::expect::{Endpoint, Expected};
use super::octets::{begins, begins_text, contains, either, line, one_of};
use super::peek::{Confidence, Peek, Verdict};
use crate::model::{Addr, AppProto};

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
    let mut addr = None;
    let mut lines = message;
    for _ in 0..LINES_MAX {
        let Some(said) = line(lines) else { break };
        let end = lines
            .iter()
            .position(|b| *b == b'\n')
            .map_or(lines.len(), |n| n + 1);
        lines = &lines[end..];
        if let Some(text) = said.strip_prefix(b"c=IN IP") {
            addr = connection(text).or(addr);
        }
        let media = [&b"m=audio "[..], b"m=video "];
        let Some(rest) = media.iter().find_map(|m| said.strip_prefix(*m)) else {
            continue;
        };
        let Some((addr, port)) = addr.zip(port_of(rest)) else {
            continue;
        };
        for (port, proto) in [
            (port, AppProto::Rtp),
            (port.wrapping_add(1), AppProto::Rtcp),
        ] {
            if port != 0 {
                let at = Endpoint { addr, port };
                each(Expected { at, proto });
            }
        }
    }
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
        expected(b"m=audio 8000 RTP/AVP 8\r\n", |_| panic!("where?"));
        expected(b"c=IN IP4 nowhere\r\nm=audio 8000 RTP/AVP 8\r\n", |_| {
            panic!("where?")
        });
    }
}
