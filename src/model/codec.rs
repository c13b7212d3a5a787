//! Codecs of RTP by the names of their media types.

macro_rules! codecs {
    ($($variant:ident = $n:literal, $name:literal, $audio:literal;)*) => {
        /// A codec of RTP (RFC 3551 section 6, RFC 4855); what a session's description calls otherwise is `other`.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        #[allow(missing_docs, reason = "each variant is the name that IANA registered")]
        pub enum Codec { #[default] $($variant = $n,)* }

        impl Codec {
            /// Every value, in the order of the numbers.
            pub const ALL: &'static [Codec] = &[$(Codec::$variant),*];

            /// The name in NDJSON and ClickHouse: that of the media type.
            pub const fn name(self) -> &'static str {
                match self { $(Codec::$variant => $name,)* }
            }

            /// The value of a number that a column stores; [`Codec::None`] where it is none.
            pub const fn from_number(n: u8) -> Self {
                match n { $($n => Codec::$variant,)* _ => Codec::None }
            }

            /// Whether somebody listens to it: voice and sound, without tones, noise and repairs.
            pub const fn is_audio(self) -> bool {
                match self { $(Codec::$variant => $audio,)* }
            }
        }
    };
}

codecs! {
    None = 0, "", false;
    Other = 1, "other", false;
    Pcmu = 2, "PCMU", true;
    Pcma = 3, "PCMA", true;
    Gsm = 4, "GSM", true;
    G723 = 5, "G723", true;
    Dvi4 = 6, "DVI4", true;
    Lpc = 7, "LPC", true;
    G722 = 8, "G722", true;
    L16 = 9, "L16", true;
    Qcelp = 10, "QCELP", true;
    Cn = 11, "CN", false;
    Mpa = 12, "MPA", true;
    G728 = 13, "G728", true;
    G729 = 14, "G729", true;
    CelB = 15, "CelB", false;
    Jpeg = 16, "JPEG", false;
    Nv = 17, "nv", false;
    H261 = 18, "H261", false;
    Mpv = 19, "MPV", false;
    Mp2t = 20, "MP2T", false;
    H263 = 21, "H263", false;
    Opus = 22, "opus", true;
    Amr = 23, "AMR", true;
    AmrWb = 24, "AMR-WB", true;
    AmrWbPlus = 25, "AMR-WB+", true;
    Evs = 26, "EVS", true;
    Ilbc = 27, "iLBC", true;
    Speex = 28, "speex", true;
    G7221 = 29, "G7221", true;
    G72616 = 30, "G726-16", true;
    G72624 = 31, "G726-24", true;
    G72632 = 32, "G726-32", true;
    G72640 = 33, "G726-40", true;
    G729d = 34, "G729D", true;
    G729e = 35, "G729E", true;
    GsmEfr = 36, "GSM-EFR", true;
    GsmHr = 37, "GSM-HR-08", true;
    Evrc = 38, "EVRC", true;
    Silk = 39, "SILK", true;
    Isac = 40, "iSAC", true;
    L24 = 41, "L24", true;
    Mpeg4Generic = 42, "mpeg4-generic", true;
    Mp4aLatm = 43, "MP4A-LATM", true;
    Ac3 = 44, "ac3", true;
    Bv16 = 45, "BV16", true;
    Bv32 = 46, "BV32", true;
    Clearmode = 47, "CLEARMODE", false;
    TelephoneEvent = 48, "telephone-event", false;
    Red = 49, "red", false;
    Ulpfec = 50, "ulpfec", false;
    Flexfec = 51, "flexfec", false;
    Rtx = 52, "rtx", false;
    T140 = 53, "t140", false;
    H264 = 54, "H264", false;
    H264Svc = 55, "H264-SVC", false;
    H265 = 56, "H265", false;
    H266 = 57, "H266", false;
    Vp8 = 58, "VP8", false;
    Vp9 = 59, "VP9", false;
    Av1 = 60, "AV1", false;
    H2631998 = 61, "H263-1998", false;
    H2632000 = 62, "H263-2000", false;
    Mp4vEs = 63, "MP4V-ES", false;
    Theora = 64, "theora", false;
    Jpeg2000 = 65, "jpeg2000", false;
    Raw = 66, "raw", false;
}

impl Codec {
    /// The codec of a name, in upper and lower case (RFC 4855 section 3); [`Codec::Other`] where it is none of these.
    pub fn of_name(name: &[u8]) -> Self {
        let known = |c: &&Codec| c.name().as_bytes().eq_ignore_ascii_case(name);
        Codec::ALL[2..]
            .iter()
            .find(known)
            .copied()
            .unwrap_or(Codec::Other)
    }

    /// The codec of a payload type that is assigned (RFC 3551 section 6); [`Codec::None`] where it is not.
    pub const fn of_payload(payload: u8) -> Self {
        match payload {
            0 => Codec::Pcmu,
            3 => Codec::Gsm,
            4 => Codec::G723,
            5 | 6 | 16 | 17 => Codec::Dvi4,
            7 => Codec::Lpc,
            8 => Codec::Pcma,
            9 => Codec::G722,
            10 | 11 => Codec::L16,
            12 => Codec::Qcelp,
            13 | 19 => Codec::Cn,
            14 => Codec::Mpa,
            15 => Codec::G728,
            18 => Codec::G729,
            25 => Codec::CelB,
            26 => Codec::Jpeg,
            28 => Codec::Nv,
            31 => Codec::H261,
            32 => Codec::Mpv,
            33 => Codec::Mp2t,
            34 => Codec::H263,
            _ => Codec::None,
        }
    }
}

/// Dynamic payload types that the receiver of media described (RFC 8866 section 6.6): at most so many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PayloadMap {
    entries: [Payload; PAYLOADS_MAX],
}

/// What one payload type stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Payload {
    /// The payload type; 0: there is none.
    kind: u8,
    /// What it is.
    pub codec: Codec,
    /// Ticks of its timestamps in a second.
    pub clock: u32,
}

impl PayloadMap {
    /// Adds a dynamic payload type; false where it is none or there is no room.
    pub fn add(&mut self, kind: u8, codec: Codec, clock: u32) -> bool {
        let sound = (DYNAMIC..128).contains(&kind) && (CLOCK_MIN..=CLOCK_MAX).contains(&clock);
        let free = self
            .entries
            .iter_mut()
            .find(|e| e.kind == 0 || e.kind == kind);
        match free {
            Some(free) if sound => {
                *free = Payload { kind, codec, clock };
                true
            }
            _ => false,
        }
    }

    /// What a payload type stands for, if it was described.
    pub fn get(&self, kind: u8) -> Option<&Payload> {
        self.entries.iter().find(|e| kind != 0 && e.kind == kind)
    }

    /// Whether nothing was described.
    pub fn is_empty(&self) -> bool {
        self.entries[0].kind == 0
    }
}

/// Dynamic payload types of one medium that are kept.
const PAYLOADS_MAX: usize = 6;
/// The first dynamic payload type (RFC 3551 section 3).
const DYNAMIC: u8 = 96;
/// Clocks that may be.
const CLOCK_MIN: u32 = 1_000;
const CLOCK_MAX: u32 = 384_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_each_others() {
        for (i, codec) in Codec::ALL.iter().enumerate() {
            assert_eq!(*codec as usize, i, "{}", codec.name());
            assert_eq!(Codec::from_number(i as u8), *codec);
            if i > 1 {
                assert_eq!(Codec::of_name(codec.name().as_bytes()), *codec);
            }
        }
        assert_eq!(Codec::of_name(b"OPUS"), Codec::Opus);
        for name in [&b""[..], b"other", b"x-new"] {
            assert_eq!(Codec::of_name(name), Codec::Other);
        }
    }

    #[test]
    fn a_map_has_bounds() {
        let mut map = PayloadMap::default();
        assert!(map.is_empty() && map.get(0).is_none());
        assert!(!map.add(8, Codec::Pcma, 8000) && !map.add(96, Codec::Opus, 0));
        for kind in 96..96 + PAYLOADS_MAX as u8 {
            assert!(map.add(kind, Codec::Opus, 48_000));
        }
        assert!(!map.add(127, Codec::Opus, 48_000));
        assert!(map.add(96, Codec::Amr, 8000));
        assert_eq!(
            map.get(96).map(|p| (p.codec, p.clock)),
            Some((Codec::Amr, 8000))
        );
        assert!(map.get(127).is_none());
    }
}
