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

    /// Whether a session may be a login that failed; `stranger` where somebody from outside comes in.
    pub fn fits(&self, f: &FlowSeen, stranger: bool, said: Said) -> bool {
        (self.packets.0..=self.packets.1).contains(&f.packets)
            && f.bytes <= self.bytes_max
            && f.life_ms() <= LIFE_MAX_MS
            && (stranger || !f.metered || self.answers_little(said, (3, 2)))
    }

    /// Whether it hardly can be anything else: small for a login, of a server that took its time to refuse, and that had nothing to say. Of who
    /// comes from outside (`stranger`) it does not count what a server says, for a banner is as long as it likes.
    pub fn fits_closely(&self, f: &FlowSeen, stranger: bool, said: Said) -> bool {
        f.packets <= self.packets.1 / 2
            && f.bytes <= self.bytes_max * 5 / 9
            && f.life_ms() >= REFUSED_MS
            && (stranger || self.answers_little(said, (9, 10)))
    }

    /// Whether a session is as small as a login that failed at once.
    pub fn is_small(&self, f: &FlowSeen, said: Said) -> bool {
        f.packets <= self.packets.1 / 2
            && f.bytes <= self.bytes_max * 5 / 9
            && (!f.metered || self.answers_little(said, (1, 1)))
    }

    /// A server that let nobody in has nothing to say: what comes back from SSH is less than what is sent (3.1 to 3.7 kB of one guess). Once somebody
    /// is in, keys of the host, a channel and what a command says come on top of it.
    ///
    /// Keys that both agree on hide that: an RSA key of the host alone is 1.1 kB. Where it is known how long they are, what is said behind them
    /// counts: of OpenSSH and Dropbear 0.7 to 1.1 bytes for each that is sent where passwords are refused, and 1.3 to 3 where one is right.
    fn answers_little(&self, said: Said, (times, of): (u64, u64)) -> bool {
        let (times, of) = match said.behind_keys {
            true if times <= of => (23, 20),
            _ => (times, of),
        };
        let little = |back: u64| back.saturating_mul(of) <= said.there.saturating_mul(times);
        self.name != SSH || said.back.is_some_and(little)
    }
}

/// How much both sides said, bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    there: u64,
    back: Option<u64>,
    /// Without headers, and without what was said until both had keys.
    behind_keys: bool,
}

impl Said {
    /// What a session said. `both` is what went there and back in sessions before, where each direction is a row of its own; `keys` how long it
    /// took in each direction to agree on keys, bytes, where that was seen.
    pub fn of(f: &FlowSeen, both: (u64, u64), keys: Option<(u32, u32)>) -> Said {
        let Some(back) = f.back_bytes else {
            return Said {
                there: both.0,
                back: Some(both.1).filter(|b| *b > 0),
                behind_keys: false,
            };
        };
        let Some((there_keys, back_keys)) = keys else {
            return Said {
                there: f.bytes,
                back: Some(back),
                behind_keys: false,
            };
        };
        let header = if f.src.is_v4() { HEADERS } else { HEADERS_V6 };
        let rest = |bytes: u64, packets: u64, keys: u32| {
            let headers = packets.saturating_mul(header);
            bytes.saturating_sub(headers.saturating_add(keys.into()))
        };
        Said {
            there: rest(f.bytes, f.packets, there_keys),
            back: Some(rest(back, f.back_packets, back_keys)),
            behind_keys: true,
        }
    }
}

pub(super) const SSH: &str = "ssh";
pub(super) const FTP: &str = "ftp";
const LIFE_MAX_MS: i64 = 120_000;
/// Servers wait before they refuse: PAM two seconds, Windows three.
const REFUSED_MS: i64 = 1_500;
/// Headers of IP and of TCP with its times.
const HEADERS: u64 = 52;
const HEADERS_V6: u64 = 72;
