//! Webhooks and Alertmanager: JSON by POST.

use super::settings::{Format, Kind};
use super::{Fault, Notice, Target};
use crate::secret::Secret;
use ring::hmac;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::sync::Arc;
use std::time::Duration;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// A way to a server.
#[derive(Debug)]
pub(super) struct Http {
    agent: ureq::Agent,
    url: String,
    key: Option<hmac::Key>,
    kind: Kind,
    format: Format,
}

impl Http {
    /// Reads what the target names.
    ///
    /// # Errors
    /// Which file cannot be used.
    pub fn new(target: &Target) -> Result<Http, String> {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .max_redirects(0)
            .http_status_as_error(false)
            .tls_config(tls(target)?);
        let key = match &target.secret_file {
            Some(path) => {
                let secret = Secret::read(path);
                let secret = secret.map_err(|e| format!("{}: {e}", path.display()))?;
                Some(hmac::Key::new(
                    hmac::HMAC_SHA256,
                    secret.reveal().as_bytes(),
                ))
            }
            None => None,
        };
        let url = match target.kind {
            Kind::Alertmanager => format!("{}/api/v2/alerts", target.to.trim_end_matches('/')),
            _ => target.to.clone(),
        };
        Ok(Http {
            agent: ureq::Agent::new_with_config(config.build()),
            url,
            key,
            kind: target.kind,
            format: target.format,
        })
    }

    /// Sends one notice and waits for the answer. However often it is sent, it has the same key.
    pub fn send(&self, notice: &Notice, now_ms: i64) -> Result<(), Fault> {
        let body = match self.kind {
            Kind::Alertmanager => notice.alertmanager(now_ms).to_string(),
            _ => notice.form(self.format).to_string(),
        };
        let mut request = self
            .agent
            .post(&self.url)
            .header("content-type", "application/json")
            .header("idempotency-key", notice.key());
        if let Some(key) = &self.key {
            request = request.header(
                "x-flowhouse-signature",
                signature(key, now_ms / 1000, &body),
            );
        }
        match request.send(body.as_bytes()) {
            Ok(answer) => judge(answer.status().as_u16()),
            Err(error) => Err(Fault::Later(error.to_string())),
        }
    }
}

/// What a status says: 408 and 429 ask to come again, other statuses below 500 will not change.
fn judge(status: u16) -> Result<(), Fault> {
    match status {
        200..=299 => Ok(()),
        400..=499 if status != 408 && status != 429 => {
            Err(Fault::Never(format!("it answered {status}")))
        }
        _ => Err(Fault::Later(format!("it answered {status}"))),
    }
}

/// `t=SECONDS,v1=HEX`: HMAC-SHA256 over the time in seconds, a point, and the body, so that an old request cannot be sent again later.
pub(super) fn signature(key: &hmac::Key, at_s: i64, body: &str) -> String {
    let tag = hmac::sign(key, format!("{at_s}.{body}").as_bytes());
    let hex: String = tag.as_ref().iter().map(|b| format!("{b:02x}")).collect();
    format!("t={at_s},v1={hex}")
}

fn tls(target: &Target) -> Result<TlsConfig, String> {
    let roots = roots(target)?;
    let roots = roots.iter().map(|c| Certificate::from_der(c).to_owned());
    Ok(TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots.collect())))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build())
}

/// Whom the target's certificate may come from.
///
/// # Errors
/// When its file cannot be used.
pub(super) fn roots(target: &Target) -> Result<Vec<CertificateDer<'static>>, String> {
    let Some(path) = &target.ca_file else {
        return Ok(rustls_native_certs::load_native_certs().certs);
    };
    let fault = |e: String| format!("{}: {e}", path.display());
    let pem = crate::secret::bounded(path).map_err(|e| fault(e.to_string()))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err(fault("has no certificate".into())),
        Err(e) => Err(fault(e.to_string())),
    }
}

/// How long one try may take.
const TIMEOUT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_other_tools() {
        // printf '1700000000.{}' | openssl dgst -sha256 -hmac key
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"key");
        assert_eq!(
            signature(&key, 1_700_000_000, "{}"),
            "t=1700000000,v1=9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae"
        );
    }

    #[test]
    fn what_will_not_change_is_not_tried_again() {
        for status in [200, 202, 204] {
            assert!(judge(status).is_ok());
        }
        for status in [400, 401, 404, 410, 422] {
            assert!(matches!(judge(status), Err(Fault::Never(_))));
        }
        for status in [302, 408, 429, 500, 503] {
            assert!(matches!(judge(status), Err(Fault::Later(_))));
        }
    }
}
