//! Conversations that go on as TLS: STARTTLS of mail (RFC 3207, RFC 9051 section 6.2.1, RFC 2595 section 4), AUTH TLS of FTP (RFC 4217 section 4), CONNECT of
//! HTTP (RFC 9110 section 9.3.6).

use super::{Said, Talk};
use crate::model::AppProto;

/// How far a conversation is on its way to TLS.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Upgrade {
    /// Nobody asked for it.
    #[default]
    None,
    /// The client asked.
    Asked,
    /// The server agreed: what follows is TLS.
    Agreed,
}

impl Talk {
    /// What it was before it changed to another protocol; empty where it did not.
    pub fn was(&self) -> &'static str {
        self.said.was
    }
}

impl Said {
    /// Looks for the change in bytes of a protocol of lines.
    pub(super) fn look_for_upgrade(&mut self, half: usize, bytes: &[u8]) {
        for line in bytes.split(|b| *b == b'\n').take(LINES_MAX) {
            let line = &line[..line.len().min(LINE_MAX)];
            match (half, self.upgrade) {
                (0, _) if asks(self.proto, line) => self.upgrade = Upgrade::Asked,
                (1, Upgrade::Asked) => match agrees(self.proto, line) {
                    Some(true) => self.upgrade = Upgrade::Agreed,
                    Some(false) => self.upgrade = Upgrade::None,
                    None => {}
                },
                _ => {}
            }
        }
    }
}

fn asks(proto: AppProto, line: &[u8]) -> bool {
    let line = line.trim_ascii().to_ascii_uppercase();
    match proto {
        AppProto::Smtp => line == b"STARTTLS",
        AppProto::Pop3 => line == b"STLS",
        AppProto::Ftp => line == b"AUTH TLS" || line == b"AUTH SSL",
        // behind a tag
        AppProto::Imap => line.ends_with(b" STARTTLS"),
        _ => false,
    }
}

/// What a server says to it; none where the line is no answer to it.
fn agrees(proto: AppProto, line: &[u8]) -> Option<bool> {
    let code = line.get(..3).filter(|c| c.iter().all(u8::is_ascii_digit));
    match proto {
        AppProto::Smtp => code.map(|c| c == b"220"),
        AppProto::Ftp => code.map(|c| c == b"234"),
        AppProto::Pop3 => match line.first()? {
            b'+' => Some(true),
            b'-' => Some(false),
            _ => None,
        },
        AppProto::Imap => {
            let mut words = line.split(|b| *b == b' ');
            let tag = words.next().filter(|t| !t.is_empty() && *t != b"*")?;
            let word = words.next()?;
            (tag.len() <= TAG_MAX).then(|| word.eq_ignore_ascii_case(b"OK"))
        }
        _ => None,
    }
}

/// Lines of a piece that are looked at, and bytes of one.
const LINES_MAX: usize = 32;
const LINE_MAX: usize = 512;
const TAG_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn after(proto: AppProto, lines: &[(usize, &str)]) -> Upgrade {
        let mut said = Said {
            proto,
            ..Said::default()
        };
        for (half, line) in lines {
            said.look_for_upgrade(*half, line.as_bytes());
        }
        said.upgrade
    }

    #[test]
    fn each_asks_and_agrees_in_its_way() {
        let mail = [
            (0, "EHLO a\r\n"),
            (1, "250 STARTTLS\r\n"),
            (0, "starttls\r\n"),
        ];
        assert_eq!(after(AppProto::Smtp, &mail), Upgrade::Asked);
        let agreed = [&mail[..], &[(1, "220 go ahead\r\n")]].concat();
        assert_eq!(after(AppProto::Smtp, &agreed), Upgrade::Agreed);
        let refused = [&mail[..], &[(1, "454 not now\r\n")]].concat();
        assert_eq!(after(AppProto::Smtp, &refused), Upgrade::None);
        let imap = [(0, "a1 STARTTLS\r\n"), (1, "* OK x\r\na1 OK begin\r\n")];
        assert_eq!(after(AppProto::Imap, &imap), Upgrade::Agreed);
        let pop = [(0, "STLS\r\n"), (1, "+OK begin\r\n")];
        assert_eq!(after(AppProto::Pop3, &pop), Upgrade::Agreed);
        let ftp = [(0, "AUTH TLS\r\n"), (1, "234 go\r\n")];
        assert_eq!(after(AppProto::Ftp, &ftp), Upgrade::Agreed);
        assert_eq!(after(AppProto::Ftp, &pop), Upgrade::None);
        assert_eq!(
            after(AppProto::Smtp, &[(1, "220 ready\r\n")]),
            Upgrade::None
        );
    }
}
