//! TLS to the store: whom we trust, who we are, and what a failed handshake means.

use super::Connection;
use super::secret::{Secret, bounded, password, private};
use super::wire::{Connector, Wire};
use crate::sink::Error;
use clickhouse::Client;
use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Builder, Client as HyperClient};
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{AlertDescription, CertificateError, ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What the files of a connection held when they were read. When they hold something else, clients are made anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Material {
    password: Option<Secret>,
    authorities: Option<Vec<u8>>,
    identity: Option<(Vec<u8>, Secret)>,
}

impl Material {
    /// Reads all files that a connection names.
    pub(super) fn read(connection: &Connection) -> Result<Self, Error> {
        let (material, faults) = Self::read_all(connection);
        faults.into_iter().next().map_or(Ok(material), Err)
    }

    /// What can be read, and what is wrong with the rest.
    fn read_all(connection: &Connection) -> (Self, Vec<Error>) {
        let mut faults = vec![];
        let (password_file, ca_file, certificate_file, key_file) = (
            connection.password_file.as_deref(),
            connection.ca_file.as_deref(),
            connection.certificate_file.as_deref(),
            connection.certificate_key_file.as_deref(),
        );
        let password = match (password_file, &connection.password) {
            (Some(path), _) => kept(password(path), &mut faults),
            (None, Some(text)) => Some(Secret::new(text)),
            (None, None) => std::env::var(super::PASSWORD_VARIABLE)
                .ok()
                .map(Secret::new),
        };
        let mut read =
            |key, path: Option<&Path>| path.and_then(|path| kept(bounded(key, path), &mut faults));
        let authorities = read(CA_FILE, ca_file);
        let certificate = read(
            CERTIFICATE_FILE,
            certificate_file.filter(|_| key_file.is_some()),
        );
        let key = key_file.filter(|_| certificate_file.is_some());
        let key = key.and_then(|path| kept(private_text(path), &mut faults));
        let material = Material {
            password,
            authorities,
            identity: certificate.zip(key),
        };
        (material, faults)
    }

    /// Everything that is wrong with the files of a connection.
    pub(super) fn faults(connection: &Connection) -> Vec<Error> {
        let (material, mut faults) = Self::read_all(connection);
        if connection.uses_tls() {
            // a file that cannot be read is told already
            if material.authorities.is_some() == connection.ca_file.is_some() {
                kept(material.roots(connection), &mut faults);
            }
            kept(
                material.tls_with(connection, RootCertStore::empty()),
                &mut faults,
            );
            kept(server_name(connection), &mut faults);
        }
        faults
    }

    /// A client with a connection pool of its own; it gets its address later.
    pub(super) fn client(&self, connection: &Connection) -> Result<Client, Error> {
        let client = match self.connector(connection)? {
            Connector::Plain(tcp) => Client::with_http_client(pool().build(tcp)),
            Connector::Tls(https) => Client::with_http_client(pool().build(https)),
        };
        Ok(match &self.password {
            Some(password) => client.with_password(password.reveal()),
            None => client,
        })
    }

    /// What sends INSERTs, with a connection pool of its own.
    pub(super) fn wire(&self, connection: &Connection) -> Result<Wire, Error> {
        let connector = self.connector(connection)?;
        let password = self.password.clone();
        Ok(Wire::new(connector, &pool(), connection, password))
    }

    fn connector(&self, connection: &Connection) -> Result<Connector, Error> {
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE));
        tcp.set_connect_timeout(Some(Duration::from_secs(connection.connect_timeout_s)));
        if !connection.uses_tls() {
            return Ok(Connector::Plain(tcp));
        }
        let https = HttpsConnectorBuilder::new().with_tls_config(self.tls(connection)?);
        let https = https.https_or_http();
        Ok(Connector::Tls(match server_name(connection)? {
            None => https.enable_http1().wrap_connector(tcp),
            Some(name) => {
                let resolver = FixedServerNameResolver::new(name);
                https
                    .with_server_name_resolver(resolver)
                    .enable_http1()
                    .wrap_connector(tcp)
            }
        }))
    }

    fn tls(&self, connection: &Connection) -> Result<ClientConfig, Error> {
        self.tls_with(connection, self.roots(connection)?)
    }

    fn tls_with(
        &self,
        connection: &Connection,
        roots: RootCertStore,
    ) -> Result<ClientConfig, Error> {
        let fault = |e: rustls::Error| Error::Tls {
            fault: format!("cannot set up TLS: {e}"),
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(fault)?
            .with_root_certificates(roots);
        let (Some((chain, key)), Some(certificate_file), Some(key_file)) = (
            &self.identity,
            &connection.certificate_file,
            &connection.certificate_key_file,
        ) else {
            return Ok(builder.with_no_client_auth());
        };
        let chain = certificates(CERTIFICATE_FILE, certificate_file, chain)?;
        let key = PrivateKeyDer::from_pem_slice(key.reveal().as_bytes()).map_err(|_| {
            Error::file(
                KEY_FILE,
                key_file,
                "holds no private key in PEM form without a pass phrase (PKCS 8, PKCS 1 or SEC 1)",
            )
        })?;
        builder.with_client_auth_cert(chain, key).map_err(|e| {
            let why = format!("does not fit the certificate in certificate_file: {e}");
            Error::file(KEY_FILE, key_file, why)
        })
    }

    /// The authorities of the connection's own file, or those of the system.
    fn roots(&self, connection: &Connection) -> Result<RootCertStore, Error> {
        let mut roots = RootCertStore::empty();
        if let (Some(pem), Some(path)) = (&self.authorities, &connection.ca_file) {
            for certificate in certificates(CA_FILE, path, pem)? {
                roots.add(certificate).map_err(|e| {
                    let why = format!("holds a certificate that is no authority: {e}");
                    Error::file(CA_FILE, path, why)
                })?;
            }
            return Ok(roots);
        }
        let system = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(system.certs);
        if roots.is_empty() {
            let fault = "this system has no certificate authorities: install its package `ca-certificates`, or name \
                         the store's authority as clickhouse.ca_file";
            return Err(Error::Tls {
                fault: fault.into(),
            });
        }
        Ok(roots)
    }
}

fn pool() -> Builder {
    let mut pool = HyperClient::builder(TokioExecutor::new());
    // the store closes idle connections after 3 s or more
    pool.pool_idle_timeout(POOL_IDLE)
        .pool_timer(hyper_util::rt::TokioTimer::new());
    pool
}

/// The value, or nothing and one fault more.
fn kept<T>(result: Result<T, Error>, faults: &mut Vec<Error>) -> Option<T> {
    result.map_err(|e| faults.push(e)).ok()
}

fn private_text(path: &Path) -> Result<Secret, Error> {
    let text = String::from_utf8(private(KEY_FILE, path)?);
    let text = text.map_err(|_| Error::file(KEY_FILE, path, "is no PEM text"))?;
    Ok(Secret::new(text))
}

fn server_name(connection: &Connection) -> Result<Option<ServerName<'static>>, Error> {
    let name = connection.server_name.clone();
    let name = name.map(|name| {
        ServerName::try_from(name.clone()).map_err(|_| Error::Tls {
            fault: format!("clickhouse.server_name: `{name}` is no host name"),
        })
    });
    name.transpose()
}

fn certificates(
    key: &'static str,
    path: &Path,
    pem: &[u8],
) -> Result<Vec<CertificateDer<'static>>, Error> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(Error::file(
            key,
            path,
            "holds no certificate in PEM form (`-----BEGIN CERTIFICATE-----`)",
        )),
        Err(e) => Err(Error::file(key, path, format!("is no PEM file: {e:?}"))),
    }
}

/// What an error says, with its causes, and with the cure where it is one of TLS, of names or of authentication.
pub(super) fn explain(error: &clickhouse::error::Error, connection: &Connection) -> String {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let (mut text, mut cure) = (String::new(), None);
    while let Some(e) = cause {
        let said = e.to_string();
        if !text.contains(&said) {
            let colon = if text.is_empty() { "" } else { ": " };
            text += &format!("{colon}{said}");
        }
        cure = cure.or_else(|| match tls_error(e) {
            Some(tls) => handshake(tls, connection),
            None => unanswered(e),
        });
        cause = e.source();
    }
    if matches!(error, clickhouse::error::Error::TimedOut) {
        cure = Some(silence(connection));
    }
    if let clickhouse::error::Error::BadResponse(said) = error
        && super::endpoints::is_authentication(said)
    {
        cure = Some(
            "the store does not know this user or this password: mend clickhouse.user or \
             clickhouse.password_file, which is read again by itself"
                .into(),
        );
    }
    if let clickhouse::error::Error::BadResponse(said) = error
        && super::verdict::bars_the_way(said)
    {
        let cure_here = "it was not ClickHouse that answered but a proxy or another server: mend clickhouse.url or the proxy";
        cure = cure.or_else(|| Some(cure_here.into()));
    }
    if let clickhouse::error::Error::BadResponse(said) = error
        && super::verdict::lacks_tables(said)
    {
        let cure_here = "the store lacks the database or a table of ours, and rows wait until it is there again: `flowhouse schema apply`, \
                         or bring it back from a copy";
        cure = Some(cure_here.into());
    }
    match cure {
        Some(cure) => format!("{cure} ({text})"),
        None => text,
    }
}

/// Tries whether somebody takes connections at an address: all that can be asked without the files.
pub(super) async fn knock(url: &str, connection: &Connection) -> Result<(), String> {
    let (scheme, host) = url.split_once("://").unwrap_or_default();
    let host = host.trim_end_matches('/');
    let has_port = host.rsplit(']').next().is_some_and(|end| end.contains(':'));
    let place = match (has_port, scheme) {
        (true, _) => host.to_owned(),
        (false, "https") => format!("{host}:443"),
        (false, _) => format!("{host}:80"),
    };
    let patience = Duration::from_secs(connection.connect_timeout_s);
    let connected = tokio::time::timeout(patience, async {
        let found = tokio::net::lookup_host(&place).await;
        let found: Vec<_> = found
            .map_err(|e| format!("{UNKNOWN_HOST} ({e})"))?
            .collect();
        let connected = tokio::net::TcpStream::connect(&found[..]).await;
        connected.map(drop).map_err(|e| match unanswered(&e) {
            Some(cure) => format!("{cure} ({e})"),
            None => e.to_string(),
        })
    });
    connected.await.unwrap_or_else(|_| Err(silence(connection)))
}

/// What to do where nobody answered in time.
fn silence(connection: &Connection) -> String {
    let seconds = connection.connect_timeout_s;
    let tls = match connection.uses_tls() {
        true => ", or what listens there speaks no TLS (ClickHouse's port for https:// is 8443)",
        false => {
            ", or what listens there is not ClickHouse's HTTP interface (8123; 8443 for https://)"
        }
    };
    format!(
        "no answer within {seconds} s (clickhouse.connect_timeout_s): a packet filter keeps it away{tls}"
    )
}

/// What to do about a connection that was not made or ended early.
fn unanswered(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    use std::io::ErrorKind as Kind;
    let said = error.to_string();
    if said.starts_with("dns error") {
        return Some(UNKNOWN_HOST.into());
    }
    let cure = match error.downcast_ref::<std::io::Error>()?.kind() {
        Kind::ConnectionRefused => "nothing listens there: start ClickHouse, or mend the address",
        Kind::HostUnreachable | Kind::NetworkUnreachable => {
            "there is no way to that address: mend it, or the network"
        }
        Kind::TimedOut => {
            "nobody answers there: start the machine, mend the address, or open the packet filter"
        }
        Kind::ConnectionReset | Kind::ConnectionAborted | Kind::UnexpectedEof => {
            "the other side hung up: is it the port of ClickHouse's HTTP interface (8123; 8443 for https://)?"
        }
        _ => return None,
    };
    Some(cure.into())
}

/// The error of TLS that an error is, or wraps as an I/O error does: not as its source.
fn tls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let io = || error.downcast_ref::<std::io::Error>()?.get_ref();
    let tls = error.downcast_ref::<rustls::Error>();
    tls.or_else(|| io().and_then(|e| tls_error(e)))
}

/// What to do about a failed handshake.
fn handshake(error: &rustls::Error, connection: &Connection) -> Option<String> {
    use AlertDescription as Alert;
    use rustls::Error as E;
    let trusted = match &connection.ca_file {
        Some(path) => format!("the authorities in clickhouse.ca_file {}", path.display()),
        None => "the authorities of this system (clickhouse.ca_file names another one)".into(),
    };
    let ours = match &connection.certificate_file {
        Some(path) => format!("our certificate, clickhouse.certificate_file {}", path.display()),
        None => "us, for clickhouse.certificate_file and certificate_key_file name no certificate of ours".into(),
    };
    Some(match error {
        E::InvalidCertificate(e) => match e {
            CertificateError::UnknownIssuer => {
                format!("the store's certificate was issued by none of {trusted}")
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the store's certificate has expired: renew it on the store".into()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the store's certificate is not valid yet: look at both clocks".into()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the store's certificate is for another name: use that name in the address, or set \
                 clickhouse.server_name to it"
                    .into()
            }
            _ => "the store's certificate is not accepted".into(),
        },
        E::AlertReceived(alert) => match alert {
            Alert::CertificateRequired | Alert::NoCertificate => {
                format!("the store asks for a client certificate and refuses {ours}")
            }
            Alert::CertificateExpired => format!("the store refuses {ours}: it has expired"),
            Alert::UnknownCA => {
                format!("the store refuses {ours}: it does not know who issued it")
            }
            Alert::BadCertificate | Alert::CertificateUnknown | Alert::CertificateRevoked => {
                format!("the store refuses {ours}")
            }
            Alert::HandshakeFailure => {
                format!("the store ended the handshake; it may refuse {ours}")
            }
            _ => return None,
        },
        E::InvalidMessage(_) => "what answers speaks no TLS: is it a port for http://?".into(),
        _ => return None,
    })
}

const UNKNOWN_HOST: &str =
    "the name of the host is not known here: mend the address, or the resolver";

const CA_FILE: &str = "ca_file";
const CERTIFICATE_FILE: &str = "certificate_file";
const KEY_FILE: &str = "certificate_key_file";

const KEEPALIVE: Duration = Duration::from_secs(60);
const POOL_IDLE: Duration = Duration::from_secs(2);
