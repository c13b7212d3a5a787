//! Email over SMTP (RFC 5321): plain to a relay of one's own, with STARTTLS (RFC 3207), or with TLS from the start (RFC 8314).

use super::settings::network;
use super::{Fault, Notice, Target};
use crate::secret::Secret;
use lettre::address::Envelope;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Mailbox, Message, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::{Category, Severity};
use lettre::transport::smtp::{Error, SmtpTransport};
use lettre::{Address, Transport};
use std::time::{Duration, SystemTime};

/// A way to people's mailboxes.
#[derive(Debug)]
pub(super) struct Email {
    transport: SmtpTransport,
    from: Mailbox,
    recipients: Vec<Mailbox>,
    target: Target,
    /// Name of this machine, behind the `@` of message ids.
    host: String,
}

impl Email {
    /// Reads what the target names; `host` is the name of this machine.
    ///
    /// # Errors
    /// What cannot be used.
    pub fn new(target: &Target, host: &str) -> Result<Email, String> {
        let (scheme, place) = target.to.split_once("://").unwrap_or_default();
        let (server, port) = server(scheme, place).ok_or("its place has no host")?;
        let host = domain(host);
        let mut transport = SmtpTransport::builder_dangerous(server.clone())
            .port(port)
            .timeout(Some(TIMEOUT))
            .hello_name(ClientId::Domain(host.clone()));
        transport = match scheme {
            "smtps" => transport.tls(Tls::Wrapper(tls(target, server)?)),
            "starttls" => transport.tls(Tls::Required(tls(target, server)?)),
            _ => transport.tls(Tls::None),
        };
        if let (Some(user), Some(path)) = (&target.user, &target.secret_file) {
            let secret = Secret::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
            let password = secret.reveal().to_owned();
            transport = transport.credentials(Credentials::new(user.clone(), password));
        }
        Ok(Email {
            transport: transport.build(),
            from: mailbox(&target.from)?,
            recipients: target
                .recipients
                .iter()
                .map(|r| mailbox(r))
                .collect::<Result<_, _>>()?,
            target: target.clone(),
            host,
        })
    }

    /// Sends one notice to all recipients. When the server refuses it for ever and there are several, each is tried alone: one mailbox that is gone
    /// must not keep the others from hearing of it.
    pub fn send(&self, notice: &Notice, now_ms: i64) -> Result<(), Fault> {
        let message = self.message(notice, now_ms).map_err(Fault::Never)?;
        let message = message.formatted();
        let all: Vec<Address> = self.recipients.iter().map(|r| r.email.clone()).collect();
        match self.hand(&all, &message) {
            Err(Fault::Never(_)) if all.len() > 1 => {}
            other => return other,
        }
        let (mut taken, mut fault) = (0, None);
        for one in &all {
            match self.hand(std::slice::from_ref(one), &message) {
                Ok(()) => taken += 1,
                Err(Fault::Never(why)) => {
                    tracing::warn!("notify target {}: {one}: {why}", self.target.name);
                    fault = Some(Fault::Never(why));
                }
                Err(later) => return Err(later),
            }
        }
        match fault {
            Some(fault) if taken == 0 => Err(fault),
            _ => Ok(()),
        }
    }

    fn hand(&self, to: &[Address], message: &[u8]) -> Result<(), Fault> {
        let from = Some(self.from.email.clone());
        let envelope = Envelope::new(from, to.to_vec()).map_err(|e| Fault::Never(e.to_string()))?;
        match self.transport.send_raw(&envelope, message) {
            Ok(_) => Ok(()),
            Err(error) => Err(judge(&error)),
        }
    }

    fn message(&self, notice: &Notice, now_ms: i64) -> Result<Message, String> {
        let at = SystemTime::UNIX_EPOCH + Duration::from_millis(now_ms.max(0) as u64);
        let thread = format!("<{}@{}>", notice.text("id"), self.host);
        let mut builder = Message::builder()
            .from(self.from.clone())
            .date(at)
            .subject(subject(notice))
            .message_id(Some(format!("<{}@{}>", notice.key(), self.host)))
            // all of one incident stand together, whichever of them came
            .references(thread.clone())
            .in_reply_to(thread)
            .raw_header(raw("Auto-Submitted", "auto-generated"))
            .raw_header(raw("X-Flowhouse-Event", notice.event.name()));
        for recipient in &self.recipients {
            builder = builder.to(recipient.clone());
        }
        let json = notice.form(self.target.format);
        let json = serde_json::to_string_pretty(&json).map_err(|e| e.to_string())?;
        let name = format!("{}.json", notice.text("id"));
        let kind = ContentType::parse("application/json").map_err(|e| e.to_string())?;
        let parts = MultiPart::mixed()
            .singlepart(SinglePart::plain(notice.letter()))
            .singlepart(Attachment::new(name).body(json, kind));
        builder.multipart(parts).map_err(|e| e.to_string())
    }
}

/// What a server's refusal means: a wrong password may be mended, and then what waits must not be gone (RFC 4954: 530, 534, 535, 538).
fn judge(error: &Error) -> Fault {
    let is_final = error.status().is_some_and(|code| {
        code.severity == Severity::PermanentNegativeCompletion
            && code.category != Category::Unspecified3
    });
    let text = told(error);
    match is_final {
        true => Fault::Never(text),
        false => Fault::Later(text),
    }
}

/// An error with what caused it, on one line.
fn told(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text += &format!(": {inner_text}");
        }
        cause = inner.source();
    }
    plain(&text, 512)
}

fn tls(target: &Target, server: String) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(server).certificate_store(CertificateStore::None);
    for root in super::http::roots(target)? {
        // the system's list may have some that cannot be read: others are enough
        if let Ok(root) = Certificate::from_der(root.to_vec()) {
            builder = builder.add_root_certificate(root);
        }
    }
    builder.build_rustls().map_err(|e| e.to_string())
}

/// Host and port of `HOST` or `HOST:PORT`, with the port of the scheme where none is given.
pub(super) fn server(scheme: &str, place: &str) -> Option<(String, u16)> {
    let usual = match scheme {
        "smtps" => 465,
        "starttls" => 587,
        _ => 25,
    };
    let is_bare = network(place).is_some() && !place.contains('/')
        || !place.contains(':')
        || place.ends_with(']');
    if is_bare {
        let host = place.trim_start_matches('[').trim_end_matches(']');
        return (!host.is_empty()).then(|| (host.to_owned(), usual));
    }
    super::syslog::place(place).map(|(host, port)| (host.to_owned(), port))
}

/// An address, with a name before it or without.
pub(super) fn mailbox(text: &str) -> Result<Mailbox, String> {
    let fault = |e: lettre::address::AddressError| format!("{text:?} is no mail address: {e}");
    text.parse().map_err(fault)
}

fn subject(notice: &Notice) -> String {
    let event = match notice.event {
        super::Event::New => String::new(),
        other => format!(", {}", other.name()),
    };
    let (severity, title) = (notice.text("severity"), notice.text("title"));
    plain(&format!("[{severity}{event}] {title}"), SUBJECT_MAX)
}

/// A text without control characters, cut.
fn plain(text: &str, max: usize) -> String {
    let clean = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    clean.take(max).collect()
}

/// A host's name as the right side of a message id.
fn domain(host: &str) -> String {
    let kept = |c: &char| c.is_ascii_alphanumeric() || *c == '-' || *c == '.';
    let host: String = host.chars().filter(kept).take(253).collect();
    match host.trim_matches(['.', '-']) {
        "" => "flowhouse.invalid".to_owned(),
        host => host.to_owned(),
    }
}

fn raw(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// How long one step of a conversation may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest subject, characters.
const SUBJECT_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::super::form::tests::notice;
    use super::*;

    fn email() -> Email {
        let text = "name = \"m\"\nkind = \"email\"\nto = \"smtp://127.0.0.1\"\nfrom = \"Flowhouse <flowhouse@example.org>\"\n\
                    recipients = [\"soc@example.org\", \"Ann <ann@example.org>\"]";
        let target: Target = toml::from_str(text).expect("a target");
        Email::new(&target, "sensor.example").expect("made")
    }

    #[test]
    fn a_letter_is_told_to_be_of_a_machine_and_of_one_thread() {
        let mut n = notice();
        n.incident["title"] = "SYN flood\r\nBcc: all@example.org".into();
        let message = email().message(&n, 1_795_737_600_000).expect("built");
        let text = String::from_utf8(message.formatted()).expect("ASCII");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        for line in [
            "From: Flowhouse <flowhouse@example.org>",
            "To: soc@example.org, Ann <ann@example.org>",
            "Auto-Submitted: auto-generated",
            "Message-ID: <000000000000000a-2-new@sensor.example>",
            "References: <000000000000000a@sensor.example>",
            "Subject: [high] SYN flood  Bcc: all@example.org",
        ] {
            assert!(head.lines().any(|l| l.starts_with(line)), "{line}: {head}");
        }
        assert!(!head.contains("\nBcc:"), "{head}");
        assert!(body.contains("half-open: 900 (threshold 100)"), "{body}");
        assert!(body.contains("filename=\"000000000000000a.json\""));
    }

    #[test]
    fn places_have_usual_ports() {
        let of = |scheme: &str, place: &str| server(scheme, place);
        assert_eq!(of("smtp", "relay"), Some(("relay".into(), 25)));
        assert_eq!(of("starttls", "relay:2525"), Some(("relay".into(), 2525)));
        assert_eq!(of("smtps", "::1"), Some(("::1".into(), 465)));
        assert_eq!(of("smtps", "[::1]:1465"), Some(("::1".into(), 1465)));
        assert_eq!(of("smtp", ""), None);
        assert_eq!(of("smtp", "relay:0"), None);
        assert_eq!(domain("sen sor_1."), "sensor1");
        assert_eq!(domain("..."), "flowhouse.invalid");
    }
}
