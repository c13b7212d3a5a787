//! Settings of control.

use serde::Deserialize;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// `[control]`: the HTTP side.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Where to listen; port 0 takes a free one. Default `127.0.0.1:9465`. Pages that only show need no key anywhere; what
    /// changes something is refused on other addresses than loopback until `token_file` or `tls_client_ca_file` is set.
    pub listen: SocketAddr,
    /// Exporters with metrics of their own (count), first come first served; the rest is summed up as `other`. Default
    /// 1,000.
    pub exporter_labels_max: usize,
    /// File whose first line is the token, 16 to 4,096 characters, that requests which change something have to carry
    /// (`Authorization: Bearer TOKEN`). Read again by each reload. Default none.
    pub token_file: Option<PathBuf>,
    /// Names that such requests may use as `Host` beside `localhost` and plain addresses. Default none.
    pub hosts: Vec<String>,
    /// Certificate chain (PEM) to serve HTTPS with, in place of HTTP. Read again by each reload. Default none.
    pub tls_certificate_file: Option<PathBuf>,
    /// Its private key (PEM).
    pub tls_key_file: Option<PathBuf>,
    /// Authorities (PEM) of client certificates: requests with such a certificate may change something.
    pub tls_client_ca_file: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 9465)),
            exporter_labels_max: 1_000,
            token_file: None,
            hosts: Vec::new(),
            tls_certificate_file: None,
            tls_key_file: None,
            tls_client_ca_file: None,
        }
    }
}

impl Settings {
    /// What is wrong with these settings, in the operator's words.
    pub fn fault(&self) -> Option<String> {
        match (&self.tls_certificate_file, &self.tls_key_file) {
            (Some(_), None) => {
                Some("control.tls_certificate_file needs control.tls_key_file, too".into())
            }
            (None, Some(_)) => {
                Some("control.tls_key_file needs control.tls_certificate_file, too".into())
            }
            (None, None) if self.tls_client_ca_file.is_some() => Some(
                "control.tls_client_ca_file needs control.tls_certificate_file and control.tls_key_file, too".into(),
            ),
            _ => None,
        }
    }

    /// Whether requests that change something have a way to be let in from the network.
    pub fn has_key(&self) -> bool {
        self.token_file.is_some() || self.tls_client_ca_file.is_some()
    }

    /// The files that have to be read at start and by each reload.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        let tls = [
            &self.tls_certificate_file,
            &self.tls_key_file,
            &self.tls_client_ca_file,
        ];
        [&self.token_file].into_iter().chain(tls).flatten()
    }
}

/// Applications that get metrics of their own: those that are among so many of the largest when metrics are asked for.
pub(super) const APPLICATIONS_TOP: usize = 50;
/// Applications that have metrics of their own at most, for who has them keeps them.
pub(super) const APPLICATIONS_SHOWN_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_tls_is_a_fault() {
        assert_eq!(Settings::default().fault(), None);
        for (text, key) in [
            ("tls_key_file = \"/k\"", "control.tls_key_file"),
            (
                "tls_certificate_file = \"/c\"",
                "control.tls_certificate_file",
            ),
            ("tls_client_ca_file = \"/a\"", "control.tls_client_ca_file"),
        ] {
            let settings: Settings = toml::from_str(text).expect("parses");
            assert!(
                settings.fault().expect("a fault").starts_with(key),
                "{text}"
            );
        }
    }
}
