//! What stands between a collector and a store: closed, open, or asking for TLS; and the certificates for that.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// How a gateway treats connections; a change ends those that there are.
#[derive(Clone)]
pub enum Mode {
    /// Closes them at once.
    Closed,
    /// Passes them on.
    Open,
    /// Passes on what comes over TLS.
    Tls(Arc<ServerConfig>),
}

/// A gateway before a store.
pub struct Gateway {
    /// Where it listens.
    pub address: SocketAddr,
    mode: watch::Sender<Mode>,
    _runtime: tokio::runtime::Runtime,
}

impl Gateway {
    /// A gateway before the store at `store`.
    pub fn start(store: &str, mode: Mode) -> Gateway {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("runtime");
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("port");
        let address = listener.local_addr().expect("bound");
        let (mode, modes) = watch::channel(mode);
        let store = store.to_owned();
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (store, mut changes) = (store.clone(), modes.clone());
                let mode = changes.borrow_and_update().clone();
                tokio::spawn(async move {
                    tokio::select! {
                        () = pass(client, store, mode) => {}
                        _ = changes.changed() => {}
                    }
                });
            }
        });
        Gateway {
            address,
            mode,
            _runtime: runtime,
        }
    }

    /// From now on.
    pub fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }
}

async fn pass(mut client: TcpStream, store: String, mode: Mode) {
    let server = || TcpStream::connect(store);
    match mode {
        Mode::Closed => {}
        Mode::Open => {
            if let Ok(mut server) = server().await {
                let _ = copy_bidirectional(&mut client, &mut server).await;
            }
        }
        Mode::Tls(config) => {
            let accepted = TlsAcceptor::from(config).accept(client);
            match accepted.into_fallible().await {
                Ok(mut client) => {
                    if let Ok(mut server) = server().await {
                        let _ = copy_bidirectional(&mut client, &mut server).await;
                    }
                }
                Err((_, mut client)) => {
                    // the alert has to be read before the connection ends
                    let _ = client.shutdown().await;
                    let mut rest = vec![];
                    let drained = client.read_to_end(&mut rest);
                    let _ = tokio::time::timeout(Duration::from_secs(5), drained).await;
                }
            }
        }
    }
}

/// An authority and its name.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub pem: String,
}

/// A certificate with its key, as PEM.
pub struct Identity {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    /// A new authority.
    pub fn new(name: &str) -> Authority {
        let key = KeyPair::generate().expect("key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pem = params.self_signed(&key).expect("signed").pem();
        Authority {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    /// A certificate for `localhost`, valid until the first day of a year.
    pub fn issue(&self, until: i32) -> Identity {
        let key = KeyPair::generate().expect("key");
        let mut params = CertificateParams::new(vec!["localhost".into()]).expect("name");
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// Only who has a certificate of this authority gets in.
    pub fn server(&self, identity: &Identity) -> Mode {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        let own = CertificateDer::from_pem_slice(self.pem.as_bytes()).expect("PEM");
        roots.add(own).expect("an authority");
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
                .build()
                .expect("verifier");
        let chain = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).expect("PEM");
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).expect("PEM");
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![chain], key)
            .expect("they fit");
        Mode::Tls(Arc::new(config))
    }
}

/// Writes a file that only its owner may read, whole or not at all.
pub fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let (to, part) = (dir.join(name), dir.join(format!("{name}.part")));
    std::fs::write(&part, text).expect("written");
    std::fs::set_permissions(&part, std::fs::Permissions::from_mode(0o600)).expect("mode");
    std::fs::rename(&part, &to).expect("in place");
    to
}
