//! Bounds of reassembly.

use serde::Deserialize;

/// `[reassemble]`: what is kept of conversations in packets to read on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// IP fragments.
    pub fragments: FragmentSettings,
    /// TCP streams.
    pub streams: StreamSettings,
    /// What conversations say.
    pub app: AppSettings,
}

impl Settings {
    /// The same with a key of all hashes: a secret in `run`. Without one, as in `replay`, it is a constant.
    pub fn keyed(&self, hash_seed: u64) -> Settings {
        let mut keyed = self.clone();
        keyed.fragments.hash_seed = hash_seed;
        keyed.streams.hash_seed = hash_seed;
        keyed.app.hash_seed = hash_seed;
        keyed
    }
}

/// `[reassemble.app]`: what is read of what conversations say.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AppSettings {
    /// Most conversations that are listened to at a time, of a shard; past it new ones are named by their ports alone.
    /// Default 262,144.
    pub talks_max: usize,
    /// Most conversations in the flow table of which names, fingerprints and times of answers are kept, of a shard; past it further ones
    /// have none. Default 524,288.
    pub names_max: usize,
    /// Bytes that wait to be read, of a shard; past it conversations that need more are given up. Default 64 MiB.
    pub bytes_max: usize,
    /// Bytes of a TLS hello or chain of certificates, and of a QUIC hello. Default 64 KiB.
    pub handshake_bytes_max: usize,
    /// Certificates of a chain that are read. Default 8.
    pub certificates_max: usize,
    /// Bytes of a head of HTTP. Default 64 KiB.
    pub header_bytes_max: usize,
    /// Header fields of a head of HTTP. Default 128.
    pub headers_max: usize,
    /// Bytes of a body of HTTP that are decoded, where somebody wants bodies. Default 1 MiB.
    pub body_bytes_max: usize,
    /// How many times larger than what was sent a body may become. Default 200.
    pub inflation_max: usize,
    /// Conversations that others announce (data of FTP, media of SIP, transfers of TFTP) and that may still come, of a shard; the oldest
    /// gives way. Default 16,384.
    pub expected_max: usize,
    /// Seconds of packet time that they are waited for. Default 180.
    pub expected_wait_s: u32,
    /// Key of hashes ([`Settings::keyed`]); not configured.
    #[serde(skip)]
    pub hash_seed: u64,
}

impl Default for AppSettings {
    fn default() -> Self {
        AppSettings {
            talks_max: 1 << 18,
            names_max: 1 << 19,
            bytes_max: 64 << 20,
            handshake_bytes_max: 64 << 10,
            certificates_max: 8,
            header_bytes_max: 64 << 10,
            headers_max: 128,
            body_bytes_max: 1 << 20,
            inflation_max: 200,
            expected_max: 1 << 14,
            expected_wait_s: 180,
            hash_seed: 0,
        }
    }
}

/// `[reassemble.streams]`: TCP segments that wait for what comes before them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StreamSettings {
    /// Bytes of a direction that are put in order; what comes behind them is not looked at. Default 1 MiB.
    pub depth_max: u64,
    /// Bytes of a direction that wait; past it the gap before them is given up. Default 256 KiB.
    pub waiting_max: usize,
    /// Segments of a direction that wait; past it the gap before them is given up. Default 1,024.
    pub segments_max: u32,
    /// How far ahead a segment may be and wait, bytes. Default 1 MiB.
    pub ahead_max: u32,
    /// Memory of what waits, of a shard; past it gaps are given up. Default 64 MiB.
    pub bytes_max: usize,
    /// Key of hashes ([`Settings::keyed`]); not configured.
    #[serde(skip)]
    pub hash_seed: u64,
}

impl Default for StreamSettings {
    fn default() -> Self {
        StreamSettings {
            depth_max: 1 << 20,
            waiting_max: 256 << 10,
            segments_max: 1024,
            ahead_max: 1 << 20,
            bytes_max: 64 << 20,
            hash_seed: 0,
        }
    }
}

/// `[reassemble.fragments]`: IP fragments that wait for the rest of their packet.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FragmentSettings {
    /// Most packets of which fragments wait, of a shard; the oldest gives way. Default 4,096.
    pub packets_max: usize,
    /// Most bytes that wait, of a shard; the oldest packet gives way. Default 16 MiB.
    pub bytes_max: usize,
    /// Most fragments of one packet; further ones are refused. Default 2,048.
    pub pieces_max: usize,
    /// Seconds of packet time that fragments wait, from the first (RFC 8200 section 4.5). Default 60.
    pub wait_s: u32,
    /// Key of hashes ([`Settings::keyed`]); not configured.
    #[serde(skip)]
    pub hash_seed: u64,
}

impl Default for FragmentSettings {
    fn default() -> Self {
        FragmentSettings {
            packets_max: 4096,
            bytes_max: 16 << 20,
            pieces_max: 2048,
            wait_s: 60,
            hash_seed: 0,
        }
    }
}
