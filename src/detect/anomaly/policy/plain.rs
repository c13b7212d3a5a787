//! Protocols in the clear, or out of date.
//!
//! The list is that of services whose passwords or data anybody on the way can read (RFC 854, 959, 1939, 1282 and others), and of versions
//! of TLS that RFC 7568 and RFC 8996 forbid. Where packets tell what is spoken that counts, else the port.

use super::super::sighting::{Ends, FlowSeen};
use crate::model::AppProto;

/// A protocol: its name, transport, ports, and what packets call it.
#[derive(Debug)]
struct Plain(&'static str, u8, &'static [u16], AppProto);

static PLAIN: [Plain; 17] = [
    Plain("telnet", 6, &[23], AppProto::Telnet),
    Plain("ftp", 6, &[21], AppProto::Ftp),
    Plain("tftp", 17, &[69], AppProto::Tftp),
    Plain("rlogin", 6, &[513], AppProto::Unknown),
    Plain("rexec", 6, &[512], AppProto::Unknown),
    Plain("rsh", 6, &[514], AppProto::Rsh),
    Plain("finger", 6, &[79], AppProto::Unknown),
    Plain("pop3", 6, &[110], AppProto::Pop3),
    Plain("imap", 6, &[143], AppProto::Imap),
    Plain("ldap", 6, &[389], AppProto::Ldap),
    Plain("http", 6, &[80, 8_080], AppProto::Http),
    Plain("vnc", 6, &[5_900, 5_901], AppProto::Rfb),
    Plain("netbios", 6, &[139], AppProto::NetbiosSsn),
    Plain("llmnr", 17, &[5_355], AppProto::Llmnr),
    Plain("x11", 6, &[6_000, 6_001], AppProto::X11),
    Plain("echo-chargen", 17, &[7, 19], AppProto::Unknown),
    Plain(SNMP, 17, &[161, 162], AppProto::Snmp),
];

/// SNMP (RFC 1157, RFC 3584); that nothing tells version 3 (RFC 3414) from it is said where it is told.
pub(super) const SNMP: &str = "snmp";

/// What else can be named: versions of TLS.
const OLD_TLS: [(&str, u16); 3] = [("ssl-3", 0x0300), ("tls-1.0", 0x0301), ("tls-1.1", 0x0302)];

/// Which ones nobody is to use.
#[derive(Debug, Default)]
pub(super) struct Forbidden {
    plain: Vec<&'static Plain>,
    tls: [bool; OLD_TLS.len()],
    any: bool,
}

impl Forbidden {
    /// Reads their names.
    pub fn new(names: &[String], faults: &mut Vec<String>) -> Self {
        let mut f = Forbidden::default();
        for name in names {
            f.any = true;
            if name == "all" {
                (f.plain, f.tls) = (PLAIN.iter().collect(), [true; OLD_TLS.len()]);
            } else if let Some(plain) = PLAIN.iter().find(|p| p.0 == name) {
                f.plain.push(plain);
            } else if let Some(at) = OLD_TLS.iter().position(|t| t.0 == name) {
                f.tls[at] = true;
            } else {
                let all = PLAIN.iter().map(|p| p.0).chain(OLD_TLS.iter().map(|t| t.0));
                let all: Vec<&str> = all.collect();
                let all = all.join(", ");
                faults.push(format!("cleartext: `{name}` is none of all, {all}"));
            }
        }
        f
    }

    /// The forbidden protocol that a flow speaks.
    #[inline]
    pub fn spoken(&self, f: &FlowSeen, ends: &Ends) -> Option<&'static str> {
        if !self.any {
            return None;
        }
        if f.tls_version != 0 {
            let old = OLD_TLS.iter().zip(self.tls);
            let mut old = old.filter(|(t, wanted)| *wanted && t.1 == f.tls_version);
            return old.next().map(|(t, _)| t.0);
        }
        let is_it = |p: &Plain| match f.spoken {
            0 => p.1 == f.proto && p.2.contains(&ends.port) && talks(f),
            spoken => p.3 != AppProto::Unknown && p.3 as u8 == spoken,
        };
        self.plain.iter().find(|p| is_it(p)).map(|p| p.0)
    }
}

/// Whether somebody answers: who knocks at a closed door speaks nothing.
fn talks(f: &FlowSeen) -> bool {
    match (f.proto, f.metered) {
        (6, true) => f.back_packets > 1,
        (6, false) => f.tcp_flags.is_some_and(|t| t & 0x10 != 0 && t & 0x04 == 0) && f.packets > 2,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spoken_counts_before_the_port() {
        let mut faults = vec![];
        let names = ["telnet", "tls-1.0", "gopher", "wais"].map(str::to_owned);
        let forbidden = Forbidden::new(&names, &mut faults);
        assert_eq!(faults.len(), 2);
        let mut f = FlowSeen {
            src_port: 50_000,
            dst_port: 23,
            proto: 6,
            tcp_flags: Some(0x1b),
            packets: 9,
            ..FlowSeen::default()
        };
        assert_eq!(forbidden.spoken(&f, &f.ends()), Some("telnet"));
        f.spoken = AppProto::Ssh as u8;
        assert_eq!(forbidden.spoken(&f, &f.ends()), None);
        (f.spoken, f.dst_port) = (AppProto::Telnet as u8, 2_323);
        assert_eq!(forbidden.spoken(&f, &f.ends()), Some("telnet"));
        (f.spoken, f.tls_version) = (AppProto::Tls as u8, 0x0301);
        assert_eq!(forbidden.spoken(&f, &f.ends()), Some("tls-1.0"));
        f.tls_version = 0x0303;
        assert_eq!(forbidden.spoken(&f, &f.ends()), None);
        let all = Forbidden::new(&["all".to_owned()], &mut faults);
        (f.proto, f.dst_port, f.tls_version, f.spoken) = (17, 161, 0, 0);
        assert_eq!(all.spoken(&f, &f.ends()), Some("snmp"));
        (f.dst_port, f.spoken) = (16_100, AppProto::Snmp as u8);
        assert_eq!(all.spoken(&f, &f.ends()), Some("snmp"));
    }
}
