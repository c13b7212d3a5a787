//! Who may change something over HTTP.
#![expect(
    clippy::disallowed_types,
    reason = "the rules are replaced whole by a reload; only requests take this lock"
)]

use super::{Error, Settings, tls};
use axum::http::{HeaderMap, StatusCode, header};
use rustls::ServerConfig;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

/// The rules in force, replaced whole.
#[derive(Debug)]
pub struct Access(Mutex<Arc<Rules>>);

/// What the settings and the files that they name say. Made in full before anything changes.
pub struct Rules {
    token: Option<String>,
    client_ca: bool,
    hosts: Vec<String>,
    pub(super) exporter_labels_max: usize,
    pub(super) tls: Option<Arc<ServerConfig>>,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer {
    /// The connection brought a certificate that the client authorities have signed.
    pub certified: bool,
}

/// Why a request may not change anything: status and text.
pub(super) type Refusal = (StatusCode, String);

impl Access {
    pub(super) fn new(rules: Rules) -> Arc<Access> {
        Arc::new(Access(Mutex::new(Arc::new(rules))))
    }

    /// Puts new rules in force.
    pub fn replace(&self, rules: Rules) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    pub(super) fn rules(&self) -> Arc<Rules> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Rules {
    /// Reads what the settings name.
    ///
    /// # Errors
    /// Which file cannot be read or does not hold what it should.
    pub fn read(settings: &Settings) -> Result<Rules, Error> {
        let token = settings.token_file.as_deref().map(token).transpose()?;
        Ok(Rules {
            token,
            client_ca: settings.tls_client_ca_file.is_some(),
            hosts: settings.hosts.clone(),
            exporter_labels_max: settings.exporter_labels_max,
            tls: tls::config(settings)?,
        })
    }

    /// Whether a request to a server that listens on `listen` may change something.
    pub(super) fn permit(
        &self,
        listen: SocketAddr,
        peer: Peer,
        headers: &HeaderMap,
    ) -> Result<(), Refusal> {
        self.no_browser(headers)?;
        if peer.certified {
            return Ok(());
        }
        if let Some(token) = &self.token {
            let given = text(headers, header::AUTHORIZATION);
            let given = given.strip_prefix("Bearer ").unwrap_or_default().trim();
            return match equal(token, given) {
                true => Ok(()),
                false => Err((
                    StatusCode::UNAUTHORIZED,
                    "the token is missing or wrong; send `Authorization: Bearer TOKEN` with the first line of \
                     control.token_file"
                        .into(),
                )),
            };
        }
        if self.client_ca {
            let why =
                "a client certificate of control.tls_client_ca_file is needed to change something";
            return Err((StatusCode::FORBIDDEN, why.into()));
        }
        if listen.ip().is_loopback() {
            return Ok(());
        }
        Err((
            StatusCode::FORBIDDEN,
            format!(
                "{listen} is open to the network and asks for no key, so nothing can be changed through it; set \
                 control.token_file, or control.tls_client_ca_file with a certificate, or listen on loopback; SIGHUP works \
                 in any case"
            ),
        ))
    }

    /// A page in somebody's browser must not act through it: browsers say where a page comes from (`Origin`), and a name
    /// that was made to point at this machine is not among ours.
    fn no_browser(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let site = text(headers, "sec-fetch-site");
        if headers.contains_key(header::ORIGIN) || !matches!(site, "" | "none") {
            let why = "requests of web pages (`Origin`, `Sec-Fetch-Site`) may not change anything";
            return Err((StatusCode::FORBIDDEN, why.into()));
        }
        let host = text(headers, header::HOST);
        let name = match host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        };
        let ours = |known: &String| name.eq_ignore_ascii_case(known);
        // a plain address cannot be made to point elsewhere
        let known = name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok();
        if known || self.hosts.iter().any(ours) {
            return Ok(());
        }
        Err((
            StatusCode::FORBIDDEN,
            format!("unknown Host {name:?}: name it in control.hosts to let it change something"),
        ))
    }
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // without the token
        f.debug_struct("Rules")
            .field("hosts", &self.hosts)
            .field("client_ca", &self.client_ca)
            .finish_non_exhaustive()
    }
}

fn token(path: &Path) -> Result<String, Error> {
    let key = "token_file";
    let path = path.to_path_buf();
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) => return Err(Error::File { key, path, error }),
    };
    let token = text.lines().next().unwrap_or_default().trim();
    let printable = token.bytes().all(|b| b.is_ascii_graphic());
    if !(TOKEN_MIN..=TOKEN_MAX).contains(&token.len()) || !printable {
        let why = format!(
            "must begin with a line of {TOKEN_MIN} to {TOKEN_MAX} visible ASCII characters (`openssl rand -hex 32` makes one)"
        );
        return Err(Error::Content { key, path, why });
    }
    Ok(token.to_owned())
}

fn text(headers: &HeaderMap, name: impl header::AsHeaderName) -> &str {
    let value = headers.get(name);
    value.and_then(|v| v.to_str().ok()).unwrap_or_default()
}

/// Takes the same time wherever the two differ; only the length shows.
fn equal(secret: &str, given: &str) -> bool {
    let differ = |sum: u8, (a, b): (u8, u8)| sum | (a ^ b);
    let sum = secret.bytes().zip(given.bytes()).fold(0, differ);
    secret.len() == given.len() && std::hint::black_box(sum) == 0
}

const TOKEN_MIN: usize = 16;
const TOKEN_MAX: usize = 4_096;

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef";

    fn rules(token: bool, client_ca: bool) -> Rules {
        Rules {
            token: token.then(|| TOKEN.into()),
            client_ca,
            hosts: vec!["collector.example".into()],
            exporter_labels_max: 1,
            tls: None,
        }
    }

    fn status(
        rules: &Rules,
        listen: &str,
        certified: bool,
        fields: &[(&'static str, &str)],
    ) -> u16 {
        let mut headers = HeaderMap::new();
        headers.insert("host", "127.0.0.1:9465".parse().expect("a value"));
        for (name, value) in fields {
            headers.insert(*name, value.parse().expect("a value"));
        }
        let listen = listen.parse().expect("an address");
        let answer = rules.permit(listen, Peer { certified }, &headers);
        answer.map_or_else(|(status, _)| status.as_u16(), |()| 200)
    }

    #[test]
    fn loopback_needs_no_key_and_the_network_does() {
        let (local, open) = ("127.0.0.1:9465", "0.0.0.0:9465");
        let bearer = format!("Bearer {TOKEN}");
        let wrong = format!("Bearer {TOKEN}0");
        let none = rules(false, false);
        assert_eq!(status(&none, local, false, &[]), 200);
        assert_eq!(status(&none, "[::1]:1", false, &[]), 200);
        assert_eq!(status(&none, open, false, &[]), 403);
        let keyed = rules(true, false);
        for listen in [local, open] {
            assert_eq!(status(&keyed, listen, false, &[]), 401);
            assert_eq!(
                status(&keyed, listen, false, &[("authorization", &wrong)]),
                401
            );
            assert_eq!(
                status(&keyed, listen, false, &[("authorization", TOKEN)]),
                401
            );
            assert_eq!(
                status(&keyed, listen, false, &[("authorization", &bearer)]),
                200
            );
        }
        let certified = rules(false, true);
        assert_eq!(status(&certified, open, true, &[]), 200);
        assert_eq!(status(&certified, local, false, &[]), 403);
    }

    #[test]
    fn web_pages_and_foreign_names_are_refused() {
        let rules = rules(false, false);
        let of = |fields: &[(&'static str, &str)]| status(&rules, "127.0.0.1:1", false, fields);
        assert_eq!(of(&[("origin", "http://127.0.0.1:9465")]), 403);
        assert_eq!(of(&[("sec-fetch-site", "cross-site")]), 403);
        for (host, expected) in [
            ("localhost:9465", 200),
            ("[::1]:9465", 200),
            ("192.0.2.1", 200),
            ("Collector.Example", 200),
            ("evil.example:9465", 403),
            ("localhost.evil.example", 403),
            ("", 403),
        ] {
            assert_eq!(of(&[("host", host)]), expected, "{host}");
        }
    }

    #[test]
    fn a_token_is_long_enough_or_refused() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        for (text, good) in [
            ("short\n", false),
            ("", false),
            ("0123456789abcdef\nx", true),
        ] {
            std::fs::write(file.path(), text).expect("written");
            assert_eq!(token(file.path()).is_ok(), good, "{text:?}");
        }
        let error = token(Path::new("/nonexistent")).expect_err("no file");
        assert!(error.to_string().contains("control.token_file"), "{error}");
    }
}
