//! HTTPS: who connects, and with which certificate.

use super::access::{Access, Peer};
use super::{Error, Settings};
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// What the files of the settings say; `None` where HTTPS is not asked for.
pub(super) fn config(settings: &Settings) -> Result<Option<Arc<ServerConfig>>, Error> {
    let (Some(chain), Some(key)) = (&settings.tls_certificate_file, &settings.tls_key_file) else {
        return Ok(None);
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|e| content("tls_certificate_file", chain, &e))?;
    let builder = match &settings.tls_client_ca_file {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates("tls_client_ca_file", path)? {
                let added = roots.add(certificate);
                added.map_err(|e| content("tls_client_ca_file", path, &e))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                // who only looks needs none
                .allow_unauthenticated()
                .build()
                .map_err(|e| content("tls_client_ca_file", path, &e))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let private =
        PrivateKeyDer::from_pem_file(key).map_err(|e| pem_fault("tls_key_file", key, e))?;
    let config = builder
        .with_single_cert(certificates("tls_certificate_file", chain)?, private)
        .map_err(|e| content("tls_certificate_file", chain, &e))?;
    Ok(Some(Arc::new(config)))
}

/// Connections whose handshake is done. Handshakes run beside each other, so a slow client holds up nobody.
pub(super) struct HttpsListener {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: SocketAddr,
}

impl HttpsListener {
    /// Takes connections from `listener` from now on, each with the certificate of that moment.
    pub fn start(listener: TcpListener, access: Arc<Access>) -> io::Result<HttpsListener> {
        let address = listener.local_addr()?;
        let (sender, ready) = mpsc::channel(HANDSHAKES_MAX);
        let turns = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        tokio::spawn(async move {
            let mut listener = listener;
            while let Ok(turn) = turns.clone().acquire_owned().await {
                // axum's own way waits out a lack of descriptors
                let (stream, peer) = Listener::accept(&mut listener).await;
                let Some(config) = access.rules().tls.clone() else {
                    continue;
                };
                let sender = sender.clone();
                tokio::spawn(async move {
                    let shaken = TlsAcceptor::from(config).accept(stream);
                    match tokio::time::timeout(HANDSHAKE_MAX, shaken).await {
                        Ok(Ok(stream)) => drop(sender.send((stream, peer)).await),
                        Ok(Err(error)) => tracing::debug!("HTTPS handshake with {peer}: {error}"),
                        Err(_) => tracing::debug!("HTTPS handshake with {peer} took too long"),
                    }
                    drop(turn);
                });
            }
        });
        Ok(HttpsListener { ready, address })
    }
}

impl Listener for HttpsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(accepted) => accepted,
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl Connected<IncomingStream<'_, HttpsListener>> for Peer {
    fn connect_info(stream: IncomingStream<'_, HttpsListener>) -> Self {
        let (_, session) = stream.io().get_ref();
        Peer {
            certified: session.peer_certificates().is_some(),
        }
    }
}

impl Connected<IncomingStream<'_, TcpListener>> for Peer {
    fn connect_info(_: IncomingStream<'_, TcpListener>) -> Self {
        Peer { certified: false }
    }
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let fault = |e| pem_fault(key, path, e);
    let list: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path)
        .map_err(fault)?
        .collect();
    match list.map_err(fault)? {
        list if list.is_empty() => Err(content(key, path, &"holds no certificate")),
        list => Ok(list),
    }
}

fn pem_fault(key: &'static str, path: &Path, error: pem::Error) -> Error {
    match error {
        pem::Error::Io(error) => Error::File {
            key,
            path: path.to_path_buf(),
            error,
        },
        error => content(key, path, &error),
    }
}

fn content(key: &'static str, path: &Path, why: &dyn std::fmt::Display) -> Error {
    Error::Content {
        key,
        path: path.to_path_buf(),
        why: format!("is of no use: {why}"),
    }
}

const HANDSHAKES_MAX: usize = 64;
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
