//! FTP (RFC 959 section 4.1, RFC 2428): the control connection, and where it says that data will come.

use super::expect::{Endpoint, Expected};
use super::octets::{begins_one, contains, either, is_reply, line, one_of, who};
use super::peek::Verdict::{Is, More, No};
use super::peek::{Confidence, Peek, Verdict};
use crate::model::{Addr, AppProto, PayloadMap};

/// A reply code and a command that mail does not have.
pub(super) fn recognise(peek: &Peek<'_>) -> Verdict {
    let commands = |b: &[u8]| begins_one(b, COMMANDS);
    let Some(server) = who(peek, |b| is_reply(b) == Some(true)) else {
        let asks = who(peek, |b| begins_one(b, ALONE) == Some(true));
        return match asks {
            Some(_) if peek.has_port(21) => Is(AppProto::Ftp, Confidence::FAIR),
            Some(half) if peek.first[1 - half].is_empty() => More,
            _ => either(peek, AppProto::Ftp, Confidence::FAIR, |b| {
                one_of([begins_one(b, ALONE), is_reply(b)]).map(|_| false)
            }),
        };
    };
    let (said, asked) = (peek.first[server], peek.first[1 - server]);
    if !asked.is_empty() {
        return match commands(asked) {
            Some(true) => Is(AppProto::Ftp, Confidence::SURE),
            Some(false) => No,
            None => More,
        };
    }
    let greeting = line(said).unwrap_or(said);
    match contains(greeting, b"FTP") {
        true => Is(AppProto::Ftp, Confidence::LIKELY),
        false => More,
    }
}

/// The endpoint that a line of the control connection names for data: PORT, EPRT, and the replies 227 and 229. `own` is the
/// address of who says it.
pub(super) fn expected(said: &[u8], own: Addr) -> Option<Expected> {
    let at = match said {
        [b'P' | b'p', ..] if begins_one(said, &[b"PORT "]) == Some(true) => {
            numbers(&said[5..], own)?
        }
        [b'E' | b'e', ..] if begins_one(said, &[b"EPRT "]) == Some(true) => bars(&said[5..], own)?,
        [b'2', b'2', b'7', b' ', rest @ ..] => {
            let digit = rest.iter().position(u8::is_ascii_digit)?;
            numbers(&rest[digit..], own)?
        }
        [b'2', b'2', b'9', b' ', rest @ ..] => {
            let open = rest.iter().position(|b| *b == b'(')?;
            bars(&rest[open + 1..], own)?
        }
        _ => return None,
    };
    Some(Expected {
        at,
        proto: AppProto::FtpData,
        payloads: PayloadMap::default(),
    })
}

/// Whether a command sends a file, or asks for one, and its name.
pub(super) fn transfer(said: &[u8]) -> Option<(bool, &[u8])> {
    let (command, name) = said.split_at_checked(5)?;
    let is = |c: &[u8]| command.eq_ignore_ascii_case(c);
    (is(b"STOR ") || is(b"RETR ")).then(|| (is(b"STOR "), name.trim_ascii()))
}

/// `h1,h2,h3,h4,p1,p2`. Behind address translation the address of who said it is the one that is met.
fn numbers(text: &[u8], own: Addr) -> Option<Endpoint> {
    let mut found = [0u8; 6];
    let mut parts = text.split(|b| *b == b',');
    for place in &mut found {
        let part = parts.next()?;
        let digits = part.iter().take_while(|b| b.is_ascii_digit()).count();
        *place = std::str::from_utf8(&part[..digits]).ok()?.parse().ok()?;
    }
    let port = u16::from_be_bytes([found[4], found[5]]);
    (port != 0).then_some(Endpoint { addr: own, port })
}

/// `|family|address|port|`, the first two empty in a reply; the first octet is the one that divides.
fn bars(text: &[u8], own: Addr) -> Option<Endpoint> {
    let divider = *text.first()?;
    let port = text[1..].split(|b| *b == divider).nth(2)?;
    let port: u16 = std::str::from_utf8(port).ok()?.parse().ok()?;
    (port != 0).then_some(Endpoint { addr: own, port })
}

const COMMANDS: &[&[u8]] = &[
    b"USER ",
    b"PASS ",
    b"FEAT\r",
    b"SYST\r",
    b"OPTS ",
    b"HOST ",
    b"PASV\r",
    b"EPSV",
    b"PORT ",
    b"EPRT ",
    b"CLNT ",
    b"AUTH TLS",
    b"AUTH SSL",
    b"TYPE ",
    b"CWD ",
    b"RETR ",
    b"STOR ",
    b"LIST",
    b"PBSZ ",
    b"PROT ",
];

/// Those that need no reply to be believed on the usual port.
const ALONE: &[&[u8]] = &[b"USER ", b"PASV\r", b"EPSV\r", b"FEAT\r", b"SYST\r"];

#[cfg(test)]
mod tests {
    use super::super::octets::trial::{is_on, is_tcp, more_tcp, not_on, not_tcp};
    use super::super::peek::Wire;
    use super::*;

    #[test]
    fn a_greeting_and_a_login() {
        is_tcp(recognise, [b"", b"220 (vsFTPd 3.0.3)\r\n"], AppProto::Ftp);
        is_tcp(
            recognise,
            [b"USER anonymous\r\n", b"220 hello\r\n"],
            AppProto::Ftp,
        );
        is_tcp(
            recognise,
            [b"220 hello\r\n", b"AUTH TLS\r\n"],
            AppProto::Ftp,
        );
        more_tcp(recognise, [b"", b"220 hello\r\n"]);
        is_on(
            recognise,
            (Wire::Tcp, 40_000, 21),
            [b"USER a\r\n", b""],
            AppProto::Ftp,
        );
    }

    #[test]
    fn mail_is_not_ftp() {
        let on = (Wire::Tcp, 40_000, 50_000);
        not_on(recognise, on, [b"EHLO a\r\n", b"220 hello\r\n"]);
        not_on(recognise, on, [b"USER a\r\n", b"+OK hello\r\n"]);
        not_tcp(recognise, b"22x hello");
    }

    #[test]
    fn data_connections_are_announced() {
        let own = Addr::from_v4([10, 0, 0, 1]);
        let port = |said: &[u8]| expected(said, own).map(|e| e.at.port);
        assert_eq!(port(b"PORT 192,168,1,212,197,143\r\n"), Some(50_575));
        assert_eq!(
            port(b"227 Entering Passive Mode (90,130,70,73,100,85).\r\n"),
            Some(25_685)
        );
        assert_eq!(
            port(b"227 Entering Passive Mode 90,130,70,73,100,85\r\n"),
            Some(25_685)
        );
        assert_eq!(port(b"EPRT |2|1080::8:800:200C:417A|5282|\r\n"), Some(5282));
        assert_eq!(
            port(b"229 Entering Extended Passive Mode (|||6446|)\r\n"),
            Some(6446)
        );
        for nothing in [
            &b"PORT 1,2,3,4,5\r\n"[..],
            b"PORT 1,2,3,4,256,1\r\n",
            b"227 no numbers\r\n",
            b"229 (|||0|)\r\n",
            b"229 (|||70000|)\r\n",
            b"229 ",
            b"229 (",
            b"EPRT ",
            b"226 done\r\n",
        ] {
            assert_eq!(port(nothing), None, "{}", nothing.escape_ascii());
        }
    }
}
