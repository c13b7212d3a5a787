//! Syslog (RFC 5424) over UDP (RFC 5426), TCP (RFC 6587, octets counted) and TLS (RFC 5425).

use super::form::rfc3339;
use super::settings::{Format, Level};
use super::{Fault, Notice, Target};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

/// A way to a receiver.
#[derive(Debug)]
pub(super) struct Syslog {
    place: String,
    transport: Transport,
    format: Format,
    host: String,
    stream: Option<Stream>,
}

#[derive(Debug)]
enum Transport {
    Udp,
    Tcp,
    Tls(Arc<ClientConfig>),
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Syslog {
    /// Reads what the target names; `host` is the name of this machine.
    ///
    /// # Errors
    /// Which file cannot be used.
    pub fn new(target: &Target, host: &str) -> Result<Syslog, String> {
        let (scheme, place) = target.to.split_once("://").unwrap_or_default();
        let transport = match scheme {
            "tcp" => Transport::Tcp,
            "tls" => {
                let mut store = RootCertStore::empty();
                store.add_parsable_certificates(super::http::roots(target)?);
                let provider = Arc::new(rustls::crypto::ring::default_provider());
                let config = ClientConfig::builder_with_provider(provider)
                    .with_safe_default_protocol_versions()
                    .map_err(|e| e.to_string())?;
                let config = config.with_root_certificates(store).with_no_client_auth();
                Transport::Tls(Arc::new(config))
            }
            _ => Transport::Udp,
        };
        Ok(Syslog {
            place: place.to_owned(),
            transport,
            format: target.format,
            host: header(host, 255),
            stream: None,
        })
    }

    /// Sends one notice. That a stream took it says no more: the protocol has no answer.
    pub fn send(&mut self, notice: &Notice, now_ms: i64) -> Result<(), Fault> {
        let later = |e: io::Error| Fault::Later(e.to_string());
        let message = self.message(notice, now_ms);
        if matches!(self.transport, Transport::Udp) {
            let message = match message.len() > UDP_BYTES_MAX {
                true => self.message(&notice.shortened(), now_ms),
                false => message,
            };
            return datagram(&self.place, message.as_bytes()).map_err(later);
        }
        let frame = format!("{} {message}", message.len());
        // what was closed by the other side would swallow one message without a word
        let mut stream = match self.stream.take().and_then(Stream::still_open) {
            Some(stream) => stream,
            None => connect(&self.place, &self.transport).map_err(later)?,
        };
        stream.write(frame.as_bytes()).map_err(later)?;
        self.stream = Some(stream);
        Ok(())
    }

    fn message(&self, notice: &Notice, now_ms: i64) -> String {
        let severity = match notice.severity() {
            Level::Critical => 2,
            Level::High => 3,
            Level::Medium => 4,
            Level::Low => 5,
        };
        let kind = header(&notice.text("kind"), 32);
        let body = notice.form(self.format);
        let (priority, at, host) = (FACILITY * 8 + severity, rfc3339(now_ms), &self.host);
        format!("<{priority}>1 {at} {host} flowhouse - {kind} - {body}")
    }
}

impl Stream {
    fn still_open(mut self) -> Option<Stream> {
        self.is_open().then_some(self)
    }

    /// Whether the other side has not closed it. A receiver sends nothing.
    fn is_open(&mut self) -> bool {
        let tcp = match self {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => &mut tls.sock,
        };
        let mut none = [0];
        let looked = tcp.set_nonblocking(true).and_then(|()| tcp.peek(&mut none));
        let is_open = match looked {
            Ok(0) => false,
            // of TLS, what a server says after its handshake
            Ok(_) => true,
            Err(e) => e.kind() == io::ErrorKind::WouldBlock,
        };
        is_open && tcp.set_nonblocking(false).is_ok() && self.drain()
    }

    /// Takes in what a TLS server said: tickets, or the end.
    fn drain(&mut self) -> bool {
        let Stream::Tls(tls) = self else {
            return true;
        };
        if tls.sock.set_nonblocking(true).is_err() {
            return false;
        }
        let mut some = [0; 256];
        let end = match tls.read(&mut some) {
            Ok(0) => false,
            Ok(_) => true,
            Err(e) => e.kind() == io::ErrorKind::WouldBlock,
        };
        end && tls.sock.set_nonblocking(false).is_ok()
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let to: &mut dyn Write = match self {
            Stream::Plain(tcp) => tcp,
            Stream::Tls(tls) => tls,
        };
        to.write_all(bytes)?;
        to.flush()
    }
}

fn connect(place: &str, transport: &Transport) -> io::Result<Stream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for address in place.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(tcp) => {
                tcp.set_write_timeout(Some(TIMEOUT))?;
                tcp.set_read_timeout(Some(TIMEOUT))?;
                let Transport::Tls(config) = transport else {
                    return Ok(Stream::Plain(tcp));
                };
                let host = self::place(place).unwrap_or_default().0.to_owned();
                let name = ServerName::try_from(host).map_err(io::Error::other)?;
                let session =
                    ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
                return Ok(Stream::Tls(Box::new(StreamOwned::new(session, tcp))));
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn datagram(place: &str, bytes: &[u8]) -> io::Result<()> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "its name has no address");
    for address in place.to_socket_addrs()? {
        let any = if address.is_ipv4() {
            "0.0.0.0:0"
        } else {
            "[::]:0"
        };
        let socket = UdpSocket::bind(any)?;
        match socket.send_to(bytes, address) {
            Ok(_) => return Ok(()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Host and port of `HOST:PORT`; the host of IPv6 without its brackets.
pub(super) fn place(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = host
        .strip_prefix('[')
        .and_then(|h| h.strip_suffix(']'))
        .unwrap_or(host);
    let port: u16 = port.parse().ok()?;
    (!host.is_empty() && port != 0).then_some((host, port))
}

/// A field of the header: printable ASCII without spaces, `-` where there is none.
fn header(text: &str, max: usize) -> String {
    let kept: String = text
        .chars()
        .filter(char::is_ascii_graphic)
        .take(max)
        .collect();
    match kept.is_empty() {
        true => "-".into(),
        false => kept,
    }
}

/// Log audit (RFC 5424 table 1).
const FACILITY: u32 = 13;
/// What every receiver should take (RFC 5426 section 3.2).
const UDP_BYTES_MAX: usize = 2_048;
const TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::super::form::tests::notice;
    use super::*;

    #[test]
    fn a_message_has_the_header_of_rfc_5424() {
        let target: Target =
            toml::from_str("name = \"s\"\nkind = \"syslog\"\nto = \"udp://127.0.0.1:514\"")
                .expect("a target");
        let s = Syslog::new(&target, "sen sor\n1").expect("made");
        let said = s.message(&notice(), 1_795_737_600_123);
        assert!(
            said.starts_with(
                "<107>1 2026-11-27T00:00:00.123Z sensor1 flowhouse - syn_flood - {\"event\":\"new\""
            ),
            "{said}"
        );
        assert_eq!(header("", 5), "-");
        let short = notice().shortened();
        assert_eq!(short.incident["shortened"], true);
        assert!(short.incident.get("evidence").is_none());
    }

    #[test]
    fn places() {
        assert_eq!(place("a.example:514"), Some(("a.example", 514)));
        assert_eq!(place("[::1]:6514"), Some(("::1", 6514)));
        for text in ["", "a", ":514", "a:0", "a:99999"] {
            assert_eq!(place(text), None, "{text}");
        }
    }
}
