//! Known sets of classes: which code points are in them and which applications belong there.

use super::settings::Preset;

/// A class of a preset.
#[derive(Debug)]
pub struct PresetClass {
    /// Name.
    pub name: &'static str,
    /// Code points.
    pub points: &'static [u8],
    /// Categories of applications that belong here; one may belong into several classes.
    pub categories: &'static [&'static str],
}

const fn class(
    name: &'static str,
    points: &'static [u8],
    categories: &'static [&'static str],
) -> PresetClass {
    PresetClass {
        name,
        points,
        categories,
    }
}

/// The classes of a preset.
pub const fn of(preset: Preset) -> &'static [PresetClass] {
    match preset {
        Preset::Rfc4594 => RFC4594,
        Preset::Rfc8325 => RFC8325,
        Preset::Four => FOUR,
        Preset::Eight => EIGHT,
        Preset::Twelve => TWELVE,
    }
}

/// A code point by number or by name.
pub fn dscp(text: &str) -> Option<u8> {
    if let Ok(n) = text.parse::<u8>() {
        return (n < 64).then_some(n);
    }
    let digit = |b: u8, max: u8| (b'0'..=max).contains(&b).then(|| b - b'0');
    match text.to_ascii_uppercase().as_bytes() {
        b"EF" => Some(46),
        b"VA" | b"VOICE-ADMIT" => Some(44),
        b"LE" => Some(1),
        b"DF" | b"BE" => Some(0),
        [b'C', b'S', n] => digit(*n, b'7').map(|n| n << 3),
        [b'A', b'F', class @ b'1'..=b'4', drop @ b'1'..=b'3'] => {
            Some((class - b'0') << 3 | (drop - b'0') << 1)
        }
        _ => None,
    }
}

const PRIVATE: &[&str] = &[
    "streaming",
    "audio-streaming",
    "social",
    "gaming",
    "peer-to-peer",
    "shopping",
    "advertising",
    "web",
];

/// RFC 4594 figure 3. CS7 is kept for network control (section 3.1), VOICE-ADMIT is telephony (RFC 5865), LE is the
/// lower effort that CS1 was (RFC 8622).
const RFC4594: &[PresetClass] = &[
    class("network-control", &[48, 56], &["network-control"]),
    class("telephony", &[46, 44], &["voice"]),
    class("signaling", &[40], &["signaling"]),
    class("multimedia-conferencing", &[34, 36, 38], &["conferencing"]),
    class("real-time-interactive", &[32], &["conferencing"]),
    class(
        "multimedia-streaming",
        &[26, 28, 30],
        &["streaming", "audio-streaming"],
    ),
    class("broadcast-video", &[24], &["streaming"]),
    class(
        "low-latency-data",
        &[18, 20, 22],
        &["business", "database", "directory", "remote-access"],
    ),
    class("oam", &[16], &["network-management"]),
    class(
        "high-throughput-data",
        &[10, 12, 14],
        &["backup", "update", "email", "storage", "file-transfer"],
    ),
    class(
        "low-priority-data",
        &[8, 1],
        &[
            "backup",
            "update",
            "streaming",
            "audio-streaming",
            "social",
            "gaming",
            "peer-to-peer",
            "shopping",
            "advertising",
        ],
    ),
    class(
        "standard",
        &[0],
        &[
            "update",
            "email",
            "storage",
            "file-transfer",
            "streaming",
            "audio-streaming",
            "social",
            "gaming",
            "peer-to-peer",
            "shopping",
            "advertising",
            "web",
        ],
    ),
];

/// RFC 8325 section 4: the user priorities 6 and 7 (voice), 4 and 5 (video), 0 and 3 (best effort), 1 (background).
const RFC8325: &[PresetClass] = &[
    class("voice", &[46, 44, 48, 56], &["voice", "network-control"]),
    class(
        "video",
        &[40, 34, 36, 38, 32, 26, 28, 30, 24],
        &["conferencing", "signaling", "streaming", "audio-streaming"],
    ),
    class(
        "best-effort",
        &[0, 18, 20, 22, 16, 10, 12, 14],
        &[
            "business",
            "database",
            "directory",
            "remote-access",
            "network-management",
            "update",
            "email",
            "storage",
            "file-transfer",
            "backup",
            "streaming",
            "audio-streaming",
            "social",
            "gaming",
            "peer-to-peer",
            "shopping",
            "advertising",
            "web",
        ],
    ),
    class(
        "background",
        &[8, 1],
        &[
            "backup",
            "update",
            "social",
            "gaming",
            "peer-to-peer",
            "shopping",
            "advertising",
        ],
    ),
];

const FOUR: &[PresetClass] = &[
    class(
        "real-time",
        &[46, 44, 32, 34, 36, 38],
        &["voice", "conferencing"],
    ),
    class(
        "control",
        &[48, 56, 24, 40, 16],
        &["network-control", "signaling", "network-management"],
    ),
    class(
        "transactional",
        &[18, 20, 22, 26, 28, 30, 10, 12, 14],
        &[
            "business",
            "database",
            "directory",
            "remote-access",
            "email",
        ],
    ),
    class(
        "best-effort",
        &[0, 8, 1],
        &[
            "backup",
            "update",
            "email",
            "storage",
            "file-transfer",
            "streaming",
            "audio-streaming",
            "social",
            "gaming",
            "peer-to-peer",
            "shopping",
            "advertising",
            "web",
        ],
    ),
];

const EIGHT: &[PresetClass] = &[
    class("voice", &[46, 44], &["voice"]),
    class("interactive-video", &[32, 34, 36, 38], &["conferencing"]),
    class("streaming-video", &[26, 28, 30, 40], &["streaming"]),
    class("call-signaling", &[24], &["signaling"]),
    class(
        "network-control",
        &[48, 56, 16],
        &["network-control", "network-management"],
    ),
    class(
        "critical-data",
        &[18, 20, 22, 10, 12, 14],
        &[
            "business",
            "database",
            "directory",
            "remote-access",
            "email",
        ],
    ),
    class(
        "scavenger",
        &[8, 1],
        &[
            "backup",
            "update",
            "streaming",
            "audio-streaming",
            "social",
            "gaming",
            "peer-to-peer",
            "shopping",
            "advertising",
        ],
    ),
    class("best-effort", &[0], PRIVATE),
];

const TWELVE: &[PresetClass] = &[
    class("voice", &[46, 44], &["voice"]),
    class("broadcast-video", &[40], &["streaming"]),
    class("real-time-interactive", &[32], &["conferencing"]),
    class("multimedia-conferencing", &[34, 36, 38], &["conferencing"]),
    class(
        "multimedia-streaming",
        &[26, 28, 30],
        &["streaming", "audio-streaming"],
    ),
    class("network-control", &[48, 56], &["network-control"]),
    class("call-signaling", &[24], &["signaling"]),
    class("operations", &[16], &["network-management"]),
    class(
        "transactional-data",
        &[18, 20, 22],
        &["business", "database", "directory", "remote-access"],
    ),
    class(
        "bulk-data",
        &[10, 12, 14],
        &["backup", "update", "email", "storage", "file-transfer"],
    ),
    class(
        "scavenger",
        &[8, 1],
        &[
            "backup",
            "update",
            "streaming",
            "audio-streaming",
            "social",
            "gaming",
            "peer-to-peer",
            "shopping",
            "advertising",
        ],
    ),
    class("best-effort", &[0], PRIVATE),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_points_have_names() {
        for (text, n) in [
            ("CS6", 48),
            ("cs0", 0),
            ("AF11", 10),
            ("AF43", 38),
            ("EF", 46),
            ("le", 1),
        ] {
            assert_eq!(dscp(text), Some(n), "{text}");
        }
        for text in ["AF44", "AF01", "CS8", "", "-1", "256"] {
            assert_eq!(dscp(text), None, "{text}");
        }
    }

    #[test]
    fn presets_divide_the_code_points() {
        let all = [
            Preset::Rfc4594,
            Preset::Rfc8325,
            Preset::Four,
            Preset::Eight,
            Preset::Twelve,
        ];
        for (preset, classes) in all.into_iter().zip([12, 4, 4, 8, 12]) {
            let preset = of(preset);
            assert_eq!(preset.len(), classes);
            let mut points: Vec<u8> = preset.iter().flat_map(|c| c.points).copied().collect();
            let count = points.len();
            points.sort_unstable();
            points.dedup();
            assert_eq!(points.len(), count, "a code point is in one class");
            // all that RFC 4594 names
            assert_eq!(points.len(), 23);
        }
    }
}
