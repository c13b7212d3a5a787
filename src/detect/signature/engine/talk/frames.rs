//! HTTP/2 beside its heads and bodies (RFC 9113 section 6): types of frames, errors, settings, windows, priorities.

use super::Said;

impl Said {
    /// A frame, behind what it says in whole: one of the connection is a transaction by itself.
    pub(super) fn frame(&mut self, half: usize, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        if !self.limits.wanted.frames {
            return;
        }
        let unit = match stream {
            0 => self.begin(half),
            _ => self.open(half),
        };
        unit.is_whole |= stream == 0;
        // what says that settings were taken is none
        let says = kind != SETTINGS || !payload.is_empty();
        if let Some(name) = KINDS.get(usize::from(kind)).filter(|_| says) {
            unit.word("http2.frametype", *name);
        }
        let number = |at: usize| {
            let b = payload.get(at..)?.first_chunk::<4>()?;
            Some(u32::from_be_bytes(*b))
        };
        let weight = match kind {
            HEADERS if flags & PRIORITY != 0 => payload.get(4 + usize::from(flags & PADDED != 0)),
            PRIORITY_FRAME => payload.get(4),
            _ => None,
        };
        if let Some(weight) = weight {
            unit.number("http2.priority", (*weight).into());
        }
        let error = match kind {
            RST_STREAM => number(0),
            // Suricata reads it where the last stream is
            GOAWAY => number(0),
            _ => None,
        };
        let name = error.and_then(|n| ERRORS.get(usize::try_from(n).ok()?));
        if let Some(name) = name {
            unit.word("http2.errorcode", *name);
        }
        if let Some(n) = number(0).filter(|_| kind == WINDOW_UPDATE) {
            unit.number("http2.window", (n & 0x7fff_ffff).into());
        }
        if kind == SETTINGS {
            for setting in payload.chunks_exact(6) {
                let id = usize::from(u16::from_be_bytes([setting[0], setting[1]]));
                let value = u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]);
                if let Some(name) = id.checked_sub(1).and_then(|n| SETTINGS_NAMES.get(n)) {
                    unit.word("http2.settings", format!("{name} {value}"));
                }
            }
        }
    }
}

/// Whether a setting, its name and its value, is as asked: `SETTINGS_ENABLE_PUSH=0`.
pub(in super::super) fn is_setting(said: &str, wanted: &str) -> bool {
    use super::super::super::number::Number;
    let at = wanted
        .find(['=', '<', '>', '!', ' '])
        .unwrap_or(wanted.len());
    let (name, condition) = wanted.split_at(at);
    let condition = condition.trim().trim_start_matches('=');
    let value = said
        .split_once(' ')
        .filter(|(n, _)| n.eq_ignore_ascii_case(name));
    let value = value.and_then(|(_, value)| value.parse().ok());
    let holds = Number::parse(condition.trim(), u32::MAX.into());
    value.is_some_and(|value| holds.is_ok_and(|n| n.holds(value)))
}

const HEADERS: u8 = 1;
const PRIORITY_FRAME: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const PADDED: u8 = 8;
const PRIORITY: u8 = 0x20;
/// By type, as rules name them.
#[rustfmt::skip]
const KINDS: &[&str] = &[
    "DATA", "HEADERS", "PRIORITY", "RSTSTREAM", "SETTINGS", "PUSHPROMISE", "PING", "GOAWAY", "WINDOWUPDATE", "CONTINUATION",
];
/// By code (RFC 9113 section 7).
#[rustfmt::skip]
const ERRORS: &[&str] = &[
    "NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR",
    "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED",
];
/// By identifier, from 1 (RFC 9113 section 6.5.2).
#[rustfmt::skip]
const SETTINGS_NAMES: &[&str] = &[
    "SETTINGS_HEADER_TABLE_SIZE", "SETTINGS_ENABLE_PUSH", "SETTINGS_MAX_CONCURRENT_STREAMS", "SETTINGS_INITIAL_WINDOW_SIZE",
    "SETTINGS_MAX_FRAME_SIZE", "SETTINGS_MAX_HEADER_LIST_SIZE",
];

#[cfg(test)]
mod tests {
    use super::is_setting;

    #[test]
    fn settings_are_compared() {
        let said = "SETTINGS_MAX_FRAME_SIZE 16384";
        assert!(is_setting(said, "SETTINGS_MAX_FRAME_SIZE=16384"));
        assert!(is_setting(said, "SETTINGS_MAX_FRAME_SIZE > 16383"));
        assert!(!is_setting(said, "SETTINGS_MAX_FRAME_SIZE<16384"));
        assert!(!is_setting(said, "SETTINGS_ENABLE_PUSH=16384"));
        assert!(!is_setting(said, "SETTINGS_MAX_FRAME_SIZE=x"));
    }
}
