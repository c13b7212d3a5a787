//! Mail: SMTP (RFC 5321 sections 3.1, 4.1), IMAP (RFC 9051 sections 2.2, 7.1), POP3 (RFC 1939 sections 3 to 7).

use super::octets::{begins, begins_one, contains, either, is_reply, line, one_of, who};
use super::peek::Verdict::{Is, More, No};
use super::peek::{Confidence, Peek, Verdict};
use crate::model::AppProto;

/// A greeting of a client says most; a reply of three digits alone might be of FTP.
pub(super) fn smtp(peek: &Peek<'_>) -> Verdict {
    let hello = |b: &[u8]| begins_one(b, &[b"EHLO ", b"HELO ", b"LHLO "]);
    let server = who(peek, |b| is_reply(b) == Some(true));
    if who(peek, |b| hello(b) == Some(true)).is_some() {
        return Is(AppProto::Smtp, Confidence::SURE);
    }
    if let Some(server) = server {
        let said = peek.first[server];
        let greeting = line(said).unwrap_or(said).to_ascii_uppercase();
        if contains(&greeting, b"SMTP") {
            return Is(AppProto::Smtp, Confidence::LIKELY);
        }
        if peek.first[1 - server].is_empty() {
            return More;
        }
        if is_mail_command(peek.first[1 - server]) {
            return Is(AppProto::Smtp, Confidence::LIKELY);
        }
        return No;
    }
    either(peek, AppProto::Smtp, Confidence::SURE, |b| {
        one_of([hello(b), is_reply(b)])
    })
}

fn is_mail_command(bytes: &[u8]) -> bool {
    begins_one(bytes, &[b"MAIL FROM:", b"RCPT TO:"]) == Some(true)
}

/// The untagged greeting, or a tagged command that only IMAP has.
pub(super) fn imap(peek: &Peek<'_>) -> Verdict {
    either(
        peek,
        AppProto::Imap,
        Confidence::LIKELY,
        |b| match begins_one(b, &[b"* OK ", b"* PREAUTH ", b"* BYE "]) {
            Some(false) => tagged(b),
            said => said,
        },
    )
}

/// A tag of at most sixteen letters and digits, then a command in the state before login.
fn tagged(bytes: &[u8]) -> Option<bool> {
    let of_tag = |b: &u8| b.is_ascii_alphanumeric() || *b == b'.';
    let tag = bytes.iter().take_while(|b| of_tag(b)).count();
    if tag == 0 || tag > 16 {
        return Some(false);
    }
    match bytes.get(tag) {
        None => None,
        Some(b' ') => begins_one(
            &bytes[tag + 1..],
            &[
                b"CAPABILITY\r",
                b"LOGIN ",
                b"AUTHENTICATE ",
                b"STARTTLS\r",
                b"ID (",
            ],
        ),
        Some(_) => Some(false),
    }
}

/// `+OK` is of Redis, too: beside it a command that only a mail client sends, or the usual port.
pub(super) fn pop3(peek: &Peek<'_>) -> Verdict {
    let Some(server) = who(peek, |b| begins_one(b, &[b"+OK", b"-ERR "]) == Some(true)) else {
        return either(peek, AppProto::Pop3, Confidence::SURE, |b| {
            begins(b, b"+OK")
        });
    };
    let (said, asked) = (peek.first[server], peek.first[1 - server]);
    if asked.is_empty() {
        let greeting = line(said).unwrap_or(said);
        return match peek.has_port(110) || contains(greeting, b"POP3") {
            true => Is(AppProto::Pop3, Confidence::FAIR),
            false => More,
        };
    }
    let commands: &[&[u8]] = &[
        b"USER ", b"APOP ", b"CAPA\r", b"CAPA\n", b"AUTH", b"STLS\r", b"QUIT\r",
    ];
    match begins_one(asked, commands) {
        Some(true) => Is(AppProto::Pop3, Confidence::SURE),
        Some(false) => No,
        None => More,
    }
}

#[cfg(test)]
mod tests {
    use super::super::octets::trial::{is_tcp, more_tcp, not_tcp};
    use super::*;

    #[test]
    fn smtp_is_known_by_either_side() {
        let greeting = b"220 pigeon.eyrie.af.mil ESMTP Sendmail 8.8.7/8.8.7; Sat, ";
        is_tcp(smtp, [b"", greeting], AppProto::Smtp);
        is_tcp(smtp, [b"EHLO delta.peach.mil\r\n", b""], AppProto::Smtp);
        is_tcp(smtp, [b"ehlo delta\r\n", b"220 ready\r\n"], AppProto::Smtp);
        more_tcp(smtp, [b"", b"220 ready\r\n"]);
        more_tcp(smtp, [b"EHL", b""]);
        not_tcp(smtp, b"EHLOdelta");
        not_tcp(smtp, b"2200 ready");
    }

    #[test]
    fn a_reply_to_another_command_is_not_smtp() {
        use super::super::octets::trial::not_on;
        use super::super::peek::Wire;
        let on = (Wire::Tcp, 40_000, 50_000);
        not_on(smtp, on, [b"USER anonymous\r\n", b"220 (vsFTPd 3.0.3)\r\n"]);
    }

    #[test]
    fn imap_greets_or_is_asked() {
        is_tcp(
            imap,
            [b"", b"* OK [CAPABILITY IMAP4rev1 CHILDREN"],
            AppProto::Imap,
        );
        is_tcp(imap, [b"a001 LOGIN mrc secret\r\n", b""], AppProto::Imap);
        is_tcp(imap, [b". CAPABILITY\r\n", b""], AppProto::Imap);
        not_tcp(imap, b"* NO thing");
        not_tcp(imap, b"GET / HTTP/1.1\r\n");
        not_tcp(imap, b"* OKAY");
    }

    #[test]
    fn pop3_is_not_redis() {
        is_tcp(pop3, [b"AUTH\r\n", b"+OK lavad\r\n"], AppProto::Pop3);
        is_tcp(pop3, [b"", b"+OK POP3 server ready\r\n"], AppProto::Pop3);
        more_tcp(pop3, [b"", b"+OK\r\n"]);
        not_tcp(pop3, b"*1\r\n$4\r\nPING\r\n");
        let redis: [&[u8]; 2] = [b"*1\r\n$4\r\nPING\r\n", b"+OK\r\n"];
        let on = (super::super::peek::Wire::Tcp, 40_000, 50_000);
        super::super::octets::trial::not_on(pop3, on, redis);
    }
}
