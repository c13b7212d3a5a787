//! Logins by the shape of their sessions.

use super::super::sighting::FlowSeen;

/// A login by its shape.
pub(super) struct Shape {
    port: u16,
    pub name: &'static str,
    /// Packets of the client.
    packets: (u64, u64),
    /// Bytes of the client, at most.
    bytes_max: u64,
    /// Sessions that are wanted, in parts of the setting.
    pub times: u32,
}

const fn shape(port: u16, name: &'static str, packets: (u64, u64), bytes_max: u64) -> Shape {
    // sessions of files are short and many where nobody guesses, too
    let times = if matches!(port, 139 | 445) { 3 } else { 1 };
    Shape {
        port,
        name,
        packets,
        bytes_max,
        times,
    }
}

const SHAPES: [Shape; 8] = [
    shape(21, FTP, (5, 40), 3_500),
    shape(22, SSH, (8, 60), 9_000),
    shape(23, "telnet", (6, 100), 6_000),
    shape(139, "smb", (5, 40), 6_000),
    shape(445, "smb", (5, 40), 6_000),
    shape(2222, SSH, (8, 60), 9_000),
    shape(3389, "rdp", (5, 80), 12_000),
    shape(5900, "vnc", (5, 60), 4_000),
];

impl Shape {
    /// That of a port of a known service.
    pub fn of(port: u16) -> Option<&'static Shape> {
        SHAPES.iter().find(|s| s.port == port)
    }

    /// Whether a session may be a login that failed.
    pub fn fits(&self, f: &FlowSeen) -> bool {
        (self.packets.0..=self.packets.1).contains(&f.packets)
            && f.bytes <= self.bytes_max
            && f.life_ms() <= LIFE_MAX_MS
            && self.answers_little(f, 3, 2)
    }

    /// Whether it hardly can be anything else: small for a login, and of a server that took its time to refuse, or of who need not come in
    /// (`stranger`).
    pub fn fits_closely(&self, f: &FlowSeen, stranger: bool) -> bool {
        self.is_small(f) && (stranger || f.metered && f.life_ms() >= REFUSED_MS) && self.times == 1
    }

    /// Whether a session is as small as a login that failed at once.
    pub fn is_small(&self, f: &FlowSeen) -> bool {
        f.packets <= self.packets.1 / 2
            && f.bytes <= self.bytes_max * 5 / 9
            && self.answers_little(f, 1, 1)
    }

    /// A server that let nobody in has nothing to say: what comes back from SSH is less than what is sent (3.1 to 3.7 kB of one guess), while
    /// lists of references, files and folders come on top of it. Nothing is known of what is a row of its own.
    fn answers_little(&self, f: &FlowSeen, times: u64, of: u64) -> bool {
        let back = f.back_bytes.unwrap_or(0);
        self.name != SSH || !f.metered || back * of <= f.bytes * times
    }
}

pub(super) const SSH: &str = "ssh";
pub(super) const FTP: &str = "ftp";
const LIFE_MAX_MS: i64 = 120_000;
/// Servers wait before they refuse: PAM two seconds, Windows three.
const REFUSED_MS: i64 = 1_500;
