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

/// Lines of protocols of which nothing else is read.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// The line of each direction that is not whole.
    waiting: [Vec<u8>; 2],
    /// The tag of the command that asks (IMAP).
    tag: Vec<u8>,
}

impl Lines {
    /// Memory that it takes beside itself.
    pub fn room(&self) -> usize {
        self.tag.capacity() + self.waiting.iter().map(Vec::capacity).sum::<usize>()
    }
}

impl Talk {
    /// What it was before it changed to another protocol; empty where it did not.
    pub fn was(&self) -> &'static str {
        self.said.was
    }
}

impl Said {
    /// Looks for the change in the lines of a direction, however they are cut into segments. Of a line that is long the start is enough.
    pub(super) fn lines(&mut self, half: usize, bytes: &[u8]) {
        let mut line = std::mem::take(&mut self.more().lines.waiting[half]);
        for part in bytes.split_inclusive(|b| *b == b'\n') {
            let room = LINE_MAX.saturating_sub(line.len());
            line.extend_from_slice(&part[..part.len().min(room)]);
            if part.ends_with(b"\n") {
                self.line(half, &line);
                line.clear();
            }
        }
        self.more().lines.waiting[half] = line;
    }

    /// Looks for the change in a line.
    pub(super) fn line(&mut self, half: usize, line: &[u8]) {
        if half == 0 {
            if asks(self.proto, line) {
                self.upgrade = Upgrade::Asked;
                let tag = line.split(|b| *b == b' ').next().unwrap_or_default();
                self.more().lines.tag = tag.to_vec();
            }
            return;
        }
        if self.upgrade == Upgrade::Asked {
            let answer = agrees(self.proto, line, &self.more().lines.tag);
            self.upgrade = match answer {
                Some(true) => Upgrade::Agreed,
                Some(false) => Upgrade::None,
                None => Upgrade::Asked,
            };
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
        AppProto::Imap => {
            let mut words = line.splitn(2, |b| *b == b' ');
            let tag = words.next().unwrap_or_default();
            !tag.is_empty() && words.next() == Some(b"STARTTLS")
        }
        _ => false,
    }
}

/// What a server says to it; none where the line is no answer to it, or not its last one.
fn agrees(proto: AppProto, line: &[u8], tag: &[u8]) -> Option<bool> {
    let code = line.get(..3).filter(|c| c.iter().all(u8::is_ascii_digit));
    // answers of several lines have a hyphen in all but the last
    let code = code.filter(|_| line.get(3) != Some(&b'-'));
    let by_code = |agreed: &[u8]| match code {
        Some(code) if code == agreed => Some(true),
        // what was asked before may be answered now
        Some([b'4' | b'5', ..]) => Some(false),
        _ => None,
    };
    match proto {
        AppProto::Smtp => by_code(b"220"),
        AppProto::Ftp => by_code(b"234"),
        AppProto::Pop3 => match line.first()? {
            b'+' => Some(true),
            b'-' => Some(false),
            _ => None,
        },
        AppProto::Imap => {
            let mut words = line.trim_ascii_end().split(|b| *b == b' ');
            words.next().filter(|t| *t == tag)?;
            words.next().map(|w| w.eq_ignore_ascii_case(b"OK"))
        }
        _ => None,
    }
}

/// Bytes of a line that are looked at.
const LINE_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    fn after(proto: AppProto, lines: &[(usize, &str)]) -> Upgrade {
        let said = |step: usize| {
            let mut said = Said {
                proto,
                ..Said::default()
            };
            for (half, line) in lines {
                line.as_bytes()
                    .chunks(step)
                    .for_each(|part| said.lines(*half, part));
            }
            said.upgrade
        };
        // in one segment each, or octet by octet
        assert_eq!(said(usize::MAX), said(1));
        said(3)
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
        let several = [&mail[..], &[(1, "220-go\r\n")]].concat();
        assert_eq!(after(AppProto::Smtp, &several), Upgrade::Asked);
        let several = [&several[..], &[(1, "220 ahead\r\n")]].concat();
        assert_eq!(after(AppProto::Smtp, &several), Upgrade::Agreed);
        let refused = [&mail[..], &[(1, "454 not now\r\n")]].concat();
        assert_eq!(after(AppProto::Smtp, &refused), Upgrade::None);
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

    #[test]
    fn an_answer_with_another_tag_is_to_something_else() {
        let asked = [
            (0, "a1 NOOP\r\na2 STARTTLS\r\n"),
            (1, "* OK x\r\na1 OK\r\n"),
        ];
        assert_eq!(after(AppProto::Imap, &asked), Upgrade::Asked);
        let agreed = [&asked[..], &[(1, "a2 ok begin\r\n")]].concat();
        assert_eq!(after(AppProto::Imap, &agreed), Upgrade::Agreed);
        let refused = [&asked[..], &[(1, "a2 NO\r\n")]].concat();
        assert_eq!(after(AppProto::Imap, &refused), Upgrade::None);
        let other = [(0, "a1 SEARCH x STARTTLS\r\n"), (1, "a1 OK\r\n")];
        assert_eq!(after(AppProto::Imap, &other), Upgrade::None);
    }

    #[test]
    fn a_line_without_end_takes_little() {
        let mut said = Said {
            proto: AppProto::Imap,
            ..Said::default()
        };
        (0..100).for_each(|_| said.lines(0, &[b'a'; 1_000]));
        assert!(said.more().lines.room() <= 2 * LINE_MAX);
        said.lines(0, b"\r\na STARTTLS\r\n");
        assert_eq!(said.upgrade, Upgrade::Asked);
    }
}
