//! `flowhouse health`: one question to a running collector, for health checks where there is no curl.

use crate::config::Config;
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Asks the collector that runs on this machine whether it is alive. Exit code 0: yes.
///
/// With --ready: whether rows can be delivered or spooled now. Do not restart a collector that is alive but not ready: it goes on receiving, and a
/// restart would cost what it holds.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  flowhouse health -c /etc/flowhouse/flowhouse.toml --ready")]
pub struct HealthArguments {
    /// Configuration of the collector: where its HTTP side listens
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Ask whether rows can be delivered or spooled
    #[arg(long)]
    pub ready: bool,
}

/// How long the collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Most bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 16 << 10;

/// Runs the subcommand.
///
/// # Errors
/// When nobody answers, and the collector's reason when it is not well.
pub fn run(arguments: &HealthArguments) -> Result<()> {
    let config = super::load_config(arguments.config.as_deref())?;
    let page = if arguments.ready {
        "/readyz"
    } else {
        "/healthz"
    };
    let body = page_of(&config, page, ANSWER_BYTES_MAX)?;
    super::say(body.trim())
}

/// A page of the collector that runs on this machine with a configuration, up to a number of bytes.
///
/// # Errors
/// When nobody answers, or not with status 200.
pub(super) fn page_of(config: &Config, page: &str, bytes_max: u64) -> Result<String> {
    let address = reachable(config.control.listen);
    let certificate = config.control.tls_certificate_file.as_deref();
    let scheme = if certificate.is_some() {
        "https"
    } else {
        "http"
    };
    let answer = ask(address, page, certificate, bytes_max)
        .with_context(|| format!("no answer from a collector at {scheme}://{address}{page}"))?;
    let (status, body) = split(&answer)
        .with_context(|| format!("what answers at {scheme}://{address}{page} is no collector"))?;
    ensure!(status == 200, "{} (status {status})", body.trim());
    Ok(body.to_owned())
}

/// Where to reach a listener that may listen on all addresses.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn ask(
    address: SocketAddr,
    page: &str,
    certificate: Option<&Path>,
    bytes_max: u64,
) -> Result<String> {
    if address.port() == 0 {
        bail!("`control.listen` has port 0: nobody can know the port");
    }
    let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET {page} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    match certificate {
        None => exchange(stream, &request, bytes_max),
        Some(file) => {
            let config = Arc::new(Pinned::config(file)?);
            let connection = ClientConnection::new(config, ServerName::from(address.ip()))?;
            exchange(StreamOwned::new(connection, stream), &request, bytes_max)
        }
    }
}

fn exchange(mut stream: impl Read + Write, request: &str, bytes_max: u64) -> Result<String> {
    stream.write_all(request.as_bytes())?;
    let mut answer = vec![];
    match stream.take(bytes_max).read_to_end(&mut answer) {
        // the end of the connection without the end of TLS
        Err(e) if e.kind() == ErrorKind::UnexpectedEof && !answer.is_empty() => {}
        read => drop(read?),
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Takes the one certificate that the collector is configured with, whoever issued it and for whatever name: it is asked by address.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    fn config(file: &Path) -> Result<ClientConfig> {
        let certificate = CertificateDer::from_pem_file(file)
            .with_context(|| format!("cannot read a certificate from {}", file.display()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?
            .dangerous();
        let pinned = Arc::new(Pinned {
            certificate,
            provider,
        });
        let builder = builder.with_custom_certificate_verifier(pinned);
        Ok(builder.with_no_client_auth())
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match *shown == self.certificate {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(rustls::Error::General(
                "it shows another certificate than that of control.tls_certificate_file (a reload takes over a new one)".into(),
            )),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let known = &self.provider.signature_verification_algorithms;
        known.supported_schemes()
    }
}

/// Status and body of an HTTP answer.
fn split(answer: &str) -> Option<(u16, &str)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?;
    Some((status.parse().ok()?, body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_all_addresses_is_reached_by_loopback() {
        let at = |text: &str| reachable(text.parse().expect("address")).to_string();
        assert_eq!(at("0.0.0.0:9465"), "127.0.0.1:9465");
        assert_eq!(at("[::]:9465"), "[::1]:9465");
        assert_eq!(at("192.0.2.1:1"), "192.0.2.1:1");
    }

    #[test]
    fn answers_are_split() {
        let answer = "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\r\naway\n";
        assert_eq!(split(answer), Some((503, "away\n")));
        assert_eq!(split("SSH-2.0-x\r\n"), None);
        assert_eq!(split("HTTP/1.1 x\r\n\r\n"), None);
    }
}
