//! SIP (RFC 3261 section 7): the first line of each message.

use super::super::super::buffer::Buffer;
use super::Said;

impl Said {
    /// A message, or bytes of a connection: each that begins one is told.
    pub(super) fn sip(&mut self, half: usize, bytes: &[u8]) {
        let end = bytes
            .iter()
            .position(|b| *b == b'\n')
            .unwrap_or(bytes.len());
        let line = bytes[..end].trim_ascii_end();
        if line.len() > LINE_MAX {
            self.lose();
            return;
        }
        let mut parts = line.splitn(3, |b| *b == b' ');
        let (Some(a), Some(b), Some(c)) = (parts.next(), parts.next(), parts.next()) else {
            return;
        };
        if a.starts_with(b"SIP/") {
            let unit = self.begin(half);
            unit.is_whole = true;
            unit.add(PROTOCOL, a);
            unit.add(STAT_CODE, b);
            unit.add(STAT_MSG, c);
            unit.add(RESPONSE_LINE, line);
        } else if c.starts_with(b"SIP/") && a.iter().all(u8::is_ascii_uppercase) {
            let unit = self.begin(half);
            unit.is_whole = true;
            unit.add(METHOD, a);
            unit.add(URI, b);
            unit.add(PROTOCOL, c);
            unit.add(REQUEST_LINE, line);
        }
    }
}

const METHOD: Buffer = Buffer::named("sip.method");
const URI: Buffer = Buffer::named("sip.uri");
const PROTOCOL: Buffer = Buffer::named("sip.protocol");
const REQUEST_LINE: Buffer = Buffer::named("sip.request_line");
const STAT_CODE: Buffer = Buffer::named("sip.stat_code");
const STAT_MSG: Buffer = Buffer::named("sip.stat_msg");
const RESPONSE_LINE: Buffer = Buffer::named("sip.response_line");
/// Bytes of a first line.
const LINE_MAX: usize = 8_192;
