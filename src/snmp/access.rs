//! Which exporter is asked where and with which secrets.

use super::error::Error;
use super::settings::{self, AuthProtocol, PrivacyProtocol, Settings, Version, place};
use crate::enrich::Prefix;
use crate::model::Addr;
use crate::secret::Secret;
use async_snmp::{Auth, MasterKeys, UsmConfig};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Whom to ask, and how: the settings, ready to be asked.
#[derive(Debug)]
pub(super) struct Directory {
    /// Longest prefix first.
    prefixes: Vec<(Prefix, usize)>,
    all: Vec<Access>,
    targets: BTreeMap<Addr, String>,
}

/// One entry of the settings with the secrets that it had last.
#[derive(Debug)]
struct Access {
    name: String,
    settings: settings::Access,
    kept: Option<(Secrets, Auth)>,
}

/// What the files and the environment say now.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Secrets {
    Community(Secret),
    Passwords(Option<Secret>, Option<Secret>),
}

impl Directory {
    pub fn new(settings: &Settings) -> Directory {
        let all = settings.access.iter().map(|(name, settings)| Access {
            name: name.clone(),
            settings: settings.clone(),
            kept: None,
        });
        let all: Vec<Access> = all.collect();
        let mut prefixes = vec![];
        for (n, access) in all.iter().enumerate() {
            prefixes.extend(access.settings.exporters.iter().map(|p| (*p, n)));
        }
        prefixes.sort_by_key(|(p, _)| std::cmp::Reverse(p.length()));
        let targets = settings.targets.iter();
        Directory {
            prefixes,
            all,
            targets: targets.map(|(e, t)| (Addr::from(*e), t.clone())).collect(),
        }
    }

    /// Exporters that are named by their whole address.
    pub fn named(&self) -> impl Iterator<Item = Addr> {
        let whole = self.prefixes.iter().filter(|(p, _)| p.length() == 128);
        whole.map(|(p, _)| Addr(p.range().0.to_be_bytes()))
    }

    pub fn is_empty(&self) -> bool {
        self.prefixes.is_empty()
    }

    /// Whether an exporter is to be asked.
    pub fn covers(&self, exporter: &Addr) -> bool {
        self.of(exporter).is_some()
    }

    fn of(&self, exporter: &Addr) -> Option<usize> {
        let fits = self.prefixes.iter().find(|(p, _)| p.contains(exporter));
        fits.map(|(_, n)| *n)
    }

    /// Host, port and credentials of an exporter. Files are read again, keys are made again only when they changed.
    pub fn door(&mut self, exporter: &Addr) -> Result<(String, u16, Auth), Error> {
        let n = self.of(exporter).ok_or(Error::NotNamed)?;
        let access = &mut self.all[n];
        let port = access.settings.port;
        let own = exporter.to_ip().to_string();
        let target = self.targets.get(exporter).map_or(own.as_str(), |t| t);
        let (host, port) = place(target, port).ok_or(Error::NotNamed)?;
        Ok((host, port, access.auth()?))
    }

    /// Reads all secrets once.
    pub fn prove(&mut self) -> Result<(), Error> {
        self.all.iter_mut().try_for_each(|a| a.auth().map(drop))
    }
}

impl Access {
    fn auth(&mut self) -> Result<Auth, Error> {
        let secrets = self.secrets()?;
        if let Some((_, auth)) = self.kept.as_ref().filter(|(kept, _)| *kept == secrets) {
            return Ok(auth.clone());
        }
        let auth = self.build(&secrets)?;
        self.kept = Some((secrets, auth.clone()));
        Ok(auth)
    }

    fn secrets(&self) -> Result<Secrets, Error> {
        let s = &self.settings;
        if s.version == Version::V2c {
            let community = self.secret("community", &s.community, &s.community_file, COMMUNITY)?;
            return Ok(Secrets::Community(community));
        }
        if s.auth_protocol == AuthProtocol::None {
            return Ok(Secrets::Passwords(None, None));
        }
        let (text, file) = (&s.auth_password, &s.auth_password_file);
        let auth = self.secret("auth_password", text, file, AUTH)?;
        let (text, file) = (&s.privacy_password, &s.privacy_password_file);
        let is_set = text.is_some() || file.is_some() || std::env::var_os(PRIVACY).is_some();
        let privacy = match s.privacy_protocol {
            PrivacyProtocol::None => None,
            _ if !is_set => Some(auth.clone()),
            _ => Some(self.secret("privacy_password", text, file, PRIVACY)?),
        };
        Ok(Secrets::Passwords(Some(auth), privacy))
    }

    fn secret(
        &self,
        key: &str,
        text: &Option<String>,
        file: &Option<PathBuf>,
        variable: &'static str,
    ) -> Result<Secret, Error> {
        let key = || format!("snmp.access.{}.{key}", self.name);
        let read = |path: &Path| {
            Secret::read(path).map_err(|e| Error::File {
                key: key() + "_file",
                path: path.to_owned(),
                fault: e.to_string(),
            })
        };
        match (file, text) {
            (Some(path), _) => read(path),
            (None, Some(text)) => Ok(Secret::new(text)),
            (None, None) => match std::env::var(variable) {
                Ok(text) if !text.is_empty() => Ok(Secret::new(text)),
                _ => Err(Error::NoSecret {
                    key: key(),
                    variable,
                }),
            },
        }
    }

    fn build(&self, secrets: &Secrets) -> Result<Auth, Error> {
        let s = &self.settings;
        let (auth, privacy) = match secrets {
            Secrets::Community(community) => {
                return Ok(Auth::v2c(community.reveal().to_owned()));
            }
            Secrets::Passwords(auth, privacy) => (auth, privacy),
        };
        let user = UsmConfig::new(s.user.clone().into_bytes());
        let user = user.context_name(s.context.clone().into_bytes());
        let Some((protocol, password)) = auth_protocol(s.auth_protocol).zip(auth.as_ref()) else {
            return Ok(user.into());
        };
        // the library says too little of a password that is too short, and no more of anything else
        let fault = |e: async_snmp::CryptoError| Error::Keys {
            name: self.name.clone(),
            fault: e.to_string(),
        };
        let mut keys = MasterKeys::new(protocol, password.reveal().as_bytes()).map_err(fault)?;
        if let Some((protocol, password)) =
            privacy_protocol(s.privacy_protocol).zip(privacy.as_ref())
        {
            let password = password.reveal().as_bytes();
            keys = keys.with_privacy(protocol, password).map_err(fault)?;
        }
        Ok(user.with_master_keys(keys).map_err(fault)?.into())
    }
}

fn auth_protocol(p: AuthProtocol) -> Option<async_snmp::AuthProtocol> {
    use async_snmp::AuthProtocol as Theirs;
    Some(match p {
        AuthProtocol::None => return None,
        AuthProtocol::Md5 => Theirs::Md5,
        AuthProtocol::Sha1 => Theirs::Sha1,
        AuthProtocol::Sha224 => Theirs::Sha224,
        AuthProtocol::Sha256 => Theirs::Sha256,
        AuthProtocol::Sha384 => Theirs::Sha384,
        AuthProtocol::Sha512 => Theirs::Sha512,
    })
}

fn privacy_protocol(p: PrivacyProtocol) -> Option<async_snmp::PrivProtocol> {
    use async_snmp::PrivProtocol as Theirs;
    Some(match p {
        PrivacyProtocol::None => return None,
        PrivacyProtocol::Aes128 => Theirs::Aes128,
        PrivacyProtocol::Aes192 => Theirs::Aes192Blumenthal,
        PrivacyProtocol::Aes256 => Theirs::Aes256Blumenthal,
        PrivacyProtocol::Aes192Cisco => Theirs::Aes192Reeder,
        PrivacyProtocol::Aes256Cisco => Theirs::Aes256Reeder,
    })
}

/// Variables of the environment, used where the configuration has neither text nor file.
const COMMUNITY: &str = "FLOWHOUSE_SNMP_COMMUNITY";
const AUTH: &str = "FLOWHOUSE_SNMP_AUTH_PASSWORD";
const PRIVACY: &str = "FLOWHOUSE_SNMP_PRIVACY_PASSWORD";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_holds_and_targets_stand_in_for_exporters() {
        let text = "targets = { \"192.0.2.1\" = \"10.0.0.9:1161\" }\n[access.all]\nexporters = [\"192.0.2.0/24\"]\ncommunity = \"a\"\n[access.one]\nexporters = [\"192.0.2.1\"]\ncommunity = \"b\"\nport = 99";
        let mut d = Directory::new(&toml::from_str(text).expect("parses"));
        let one = Addr::from_v4([192, 0, 2, 1]);
        let other = Addr::from_v4([192, 0, 2, 2]);
        assert_eq!(d.named().collect::<Vec<_>>(), [one]);
        let (host, port, _) = d.door(&one).expect("named");
        assert_eq!((host.as_str(), port), ("10.0.0.9", 1161));
        let (host, port, _) = d.door(&other).expect("named");
        assert_eq!((host.as_str(), port), ("192.0.2.2", 161));
        assert!(!d.covers(&Addr::from_v4([198, 51, 100, 1])));
    }

    #[test]
    fn a_file_is_read_again_and_a_missing_secret_names_its_key() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), "first\n").expect("written");
        let text = format!(
            "[access.a]\nexporters = [\"::/0\"]\ncommunity_file = {:?}\n[access.b]\nexporters = [\"0.0.0.0/0\"]\nversion = \"3\"\nuser = \"u\"",
            file.path()
        );
        let mut d = Directory::new(&toml::from_str(&text).expect("parses"));
        let a = Addr::from_v6([0x20; 16]);
        let community = |auth| match auth {
            Auth::Community { community, .. } => community.as_bytes().to_vec(),
            other => panic!("{other:?}"),
        };
        let first = community(d.door(&a).expect("a file").2);
        std::fs::write(file.path(), "second\n").expect("written");
        assert_ne!(first, community(d.door(&a).expect("a file").2));
        let none = d
            .door(&Addr::from_v4([192, 0, 2, 1]))
            .expect_err("no password");
        let none = none.to_string();
        assert!(
            none.starts_with("snmp.access.b.auth_password") && none.contains(AUTH),
            "{none}"
        );
    }
}
