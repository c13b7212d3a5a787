//! Settings of notify.

use super::hours::Hours;
use crate::model::DetectionKind;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

/// `[notify]`: who is told of detections.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Notices that wait for a target at most (count); further ones are dropped and counted. Default 10,000.
    pub queue_max: usize,
    /// Bytes on disk of the notices that wait for a target at most; further ones are dropped and counted. Default 64 MiB.
    pub queue_bytes_max: u64,
    /// Address of Grafana, to which notices link: `https://grafana.example`. Default none: no links.
    pub grafana_url: Option<String>,
    /// New incidents that people are told of on one day (UTC) at most, by severity: `{ low = 50 }`. What is beyond is stored, hidden, and counted;
    /// it is told when it becomes more severe, or goes on on another day. Default `{ low = 200, medium = 500, high = 2000 }`; a severity that is
    /// not named has no limit.
    pub per_day_max: BTreeMap<Level, u32>,
    /// Hours after which a notice that could not be delivered is given up. Default 24.
    pub keep_hours: u64,
    /// Minutes after which a new incident that nobody looked at is escalated, by severity: `{ critical = 15, high = 60 }`. Default none.
    pub escalate_after_min: BTreeMap<Level, u64>,
    /// `[[notify.targets]]`
    pub targets: Vec<Target>,
}

/// `[[notify.targets]]`: one that is told, and of what. All conditions have to hold.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// What it is called in metrics, in the log and on disk: letters, digits, `-` and `_`.
    pub name: String,
    /// `webhook`, `alertmanager`, `syslog` or `email`.
    pub kind: Kind,
    /// Webhook: its URL. Alertmanager: its URL without `/api/v2/alerts`. Syslog: `udp://HOST:PORT`, `tcp://HOST:PORT` or `tls://HOST:PORT`. Email:
    /// `smtp://HOST` (not encrypted: a relay of one's own), `starttls://HOST` or `smtps://HOST`, with `:PORT` where it is not 25, 587 or 465.
    pub to: String,
    /// What webhooks and syslog get, and what is attached to email: `json` (as `detections.ndjson`), `ecs` (Elastic Common Schema) or `ocsf`
    /// (Detection Finding). Default `json`.
    #[serde(default)]
    pub format: Format,
    /// Email: the sender, `flowhouse@example.org` or `Flowhouse <flowhouse@example.org>`.
    #[serde(default)]
    pub from: String,
    /// Email: who gets it, 1 to 50 addresses.
    #[serde(default)]
    pub recipients: Vec<String>,
    /// Email: the name to log in with; its password is in `secret_file`. Default none: no login.
    #[serde(default)]
    pub user: Option<String>,
    /// File whose first line is, for webhooks, the key of the signature (default none: not signed), and for email the password of `user`.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// PEM file of the authority that issued the receiver's certificate. Default: those of the system.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Only of this severity and higher. Default `low`.
    #[serde(default)]
    pub severity: Level,
    /// Only of these kinds. Default all.
    #[serde(default)]
    pub kinds: Vec<String>,
    /// Only about these addresses and networks. Default all.
    #[serde(default)]
    pub entities: Vec<String>,
    /// Only about addresses of named networks in these zones. Default all.
    #[serde(default)]
    pub zones: Vec<String>,
    /// Only at these hours, UTC: `08:00-18:00`, or `22:00-06:00` over midnight. Default always.
    #[serde(default)]
    pub hours: Option<Hours>,
    /// Only on these days, UTC: `mon` to `sun`. Default all.
    #[serde(default)]
    pub days: Vec<Day>,
    /// Notices a minute at most (count); others wait. Default 60.
    #[serde(default = "per_minute_max")]
    pub per_minute_max: u32,
    /// Only what nobody has looked at in time. Default false.
    #[serde(default)]
    pub only_escalated: bool,
    /// Also what people do with an incident: that somebody looks at it, that it has ended, and that it is a step of a chain. Default false; Alertmanager is always told of ends.
    #[serde(default)]
    pub steps: bool,
}

/// What a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An HTTP server that takes JSON.
    Webhook,
    /// Prometheus Alertmanager, API version 2.
    Alertmanager,
    /// RFC 5424.
    Syslog,
    /// RFC 5321.
    Email,
}

/// How a detection is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// As in `detections.ndjson`.
    #[default]
    Json,
    /// Elastic Common Schema 8.11.
    Ecs,
    /// OCSF 1.4, Detection Finding (2004).
    Ocsf,
}

/// A severity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Level {
    #[default]
    Low,
    Medium,
    High,
    Critical,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the names say it")]
pub enum Day {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            queue_max: 10_000,
            queue_bytes_max: 64 << 20,
            grafana_url: None,
            per_day_max: [
                (Level::Low, 200),
                (Level::Medium, 500),
                (Level::High, 2_000),
            ]
            .into(),
            keep_hours: 24,
            escalate_after_min: BTreeMap::new(),
            targets: vec![],
        }
    }
}

impl Level {
    /// The severity of this word; the lowest for others.
    pub fn named(word: &str) -> Level {
        let all = [Level::Low, Level::Medium, Level::High, Level::Critical];
        let found = all.into_iter().find(|l| l.name() == word);
        found.unwrap_or_default()
    }

    /// Its word.
    pub const fn name(self) -> &'static str {
        match self {
            Level::Low => "low",
            Level::Medium => "medium",
            Level::High => "high",
            Level::Critical => "critical",
        }
    }
}

impl Settings {
    /// What is wrong with these settings; each text begins with the key.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = vec![];
        if self.queue_max == 0 || self.queue_max > QUEUE_MAX {
            faults.push(format!("notify.queue_max must be 1 to {QUEUE_MAX}"));
        }
        if self.queue_bytes_max < NOTICE_BYTES_MAX as u64 {
            faults.push(format!(
                "notify.queue_bytes_max must be at least {NOTICE_BYTES_MAX}, for one notice"
            ));
        }
        let is_url = |u: &String| ["http://", "https://"].iter().any(|s| u.starts_with(s));
        if self.grafana_url.as_ref().is_some_and(|u| !is_url(u)) {
            faults.push("notify.grafana_url must begin with http:// or https://".into());
        }
        if self.targets.len() > TARGETS_MAX {
            faults.push(format!("notify.targets: at most {TARGETS_MAX}"));
        }
        for (n, t) in self.targets.iter().enumerate() {
            let fault = t.fault();
            faults.extend(fault.map(|f| format!("notify.targets.{}: {f}", t.name)));
            if self.targets[..n].iter().any(|o| o.name == t.name) {
                faults.push(format!("notify.targets: two are called {:?}", t.name));
            }
        }
        faults
    }
}

impl Settings {
    /// Most bytes of memory that notices take: what is on its way to the threads of targets, and where their queues are on disk.
    pub fn memory_max(&self) -> usize {
        let queue = self.queue_max.saturating_mul(super::queue::WAITING_BYTES);
        let of_each = (HANDED_MAX * NOTICE_BYTES_MAX).saturating_add(queue);
        self.targets.len().saturating_mul(of_each)
    }
}

impl Target {
    fn fault(&self) -> Option<String> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(plain) {
            return Some("a name has 1 to 64 letters, digits, `-` and `_`".into());
        }
        let schemes: &[&str] = match self.kind {
            Kind::Webhook | Kind::Alertmanager => &["http://", "https://"],
            Kind::Syslog => &["udp://", "tcp://", "tls://"],
            Kind::Email => &["smtp://", "starttls://", "smtps://"],
        };
        let scheme = schemes.iter().find_map(|s| self.to.strip_prefix(s));
        let is_place = match (self.kind, scheme) {
            (_, None | Some("")) => false,
            (Kind::Syslog, Some(place)) => super::syslog::place(place).is_some(),
            (Kind::Email, Some(place)) => super::email::server("smtp", place).is_some(),
            _ => true,
        };
        if !is_place {
            return Some(format!(
                "to: {:?} must begin with one of {}, and a host behind it",
                self.to,
                schemes.join(", ")
            ));
        }
        if self.secret_file.is_some() && !matches!(self.kind, Kind::Webhook | Kind::Email) {
            return Some("secret_file is for webhooks and email".into());
        }
        if let Some(fault) = self.mail_fault() {
            return Some(fault);
        }
        let is_kind = |k: &&String| DetectionKind::ALL.iter().any(|a| a.name() == **k);
        if let Some(k) = self.kinds.iter().find(|k| !is_kind(k)) {
            return Some(format!("kinds: `{k}` is no kind of detection"));
        }
        if let Some(e) = self.entities.iter().find(|e| network(e).is_none()) {
            return Some(format!("entities: {e:?} is no address and no network"));
        }
        (self.per_minute_max == 0).then(|| "per_minute_max must be at least 1".into())
    }

    /// What is wrong with the keys of email.
    fn mail_fault(&self) -> Option<String> {
        if self.kind != Kind::Email {
            let some = !self.from.is_empty() || !self.recipients.is_empty() || self.user.is_some();
            return some.then(|| "from, recipients and user are for email".into());
        }
        if !(1..=RECIPIENTS_MAX).contains(&self.recipients.len()) {
            return Some(format!("recipients: 1 to {RECIPIENTS_MAX} are needed"));
        }
        let all = self.recipients.iter().chain([&self.from]);
        if let Some(fault) = all.filter_map(|a| super::email::mailbox(a).err()).next() {
            return Some(fault);
        }
        if self.user.is_some() != self.secret_file.is_some() {
            return Some("user needs secret_file with the password, and that a user".into());
        }
        (self.user.is_some() && self.to.starts_with("smtp://")).then(|| {
            "user: a password is not sent over smtp://: write starttls:// or smtps://".into()
        })
    }
}

/// An address or a network: the first address, and the length of its prefix.
pub(super) fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, bits) = text.split_once('/').unwrap_or((text, ""));
    let ip: IpAddr = address.parse().ok()?;
    let width = if ip.is_ipv4() { 32 } else { 128 };
    let bits = if text.contains('/') {
        bits.parse().ok()?
    } else {
        width
    };
    (bits <= width).then_some((ip, bits))
}

fn per_minute_max() -> u32 {
    60
}

/// Notices that may be on their way to the thread of a target.
pub(super) const HANDED_MAX: usize = 256;
/// A notice that is longer is told without evidence and peers.
pub(super) const NOTICE_BYTES_MAX: usize = 64 << 10;
/// Most recipients of a target.
const RECIPIENTS_MAX: usize = 50;
/// Most notices that may be kept for a target.
const QUEUE_MAX: usize = 1_000_000;
/// Most targets.
const TARGETS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_name_the_target() {
        let read = |text: &str| toml::from_str::<Settings>(text).expect("parses");
        let good = "[[targets]]\nname = \"soc\"\nkind = \"syslog\"\nto = \"udp://127.0.0.1:514\"\nhours = \"22:00-06:00\"\ndays = [\"sat\"]\n";
        assert!(read(good).faults().is_empty(), "{:?}", read(good).faults());
        let mail = "[[targets]]\nname = \"m\"\nkind = \"email\"\nto = \"starttls://relay\"\nfrom = \"a@example.org\"\n\
                    recipients = [\"b@example.org\"]\nuser = \"a\"\nsecret_file = \"/p\"\n";
        assert!(read(mail).faults().is_empty(), "{:?}", read(mail).faults());
        assert!(
            read("[escalate_after_min]\ncritical = 15\n")
                .faults()
                .is_empty()
        );
        for (text, part) in [
            (good.replace("udp://127.0.0.1:514", "udp://"), "host"),
            (good.replace("udp://127.0.0.1:514", "http://a"), "udp://"),
            (good.replace("udp://127.0.0.1:514", "tls://a:port"), "host"),
            (good.to_owned() + good, "two are called"),
            (
                good.to_owned() + "entities = [\"10.0.0.0/40\"]\n",
                "10.0.0.0/40",
            ),
            (good.replace("soc", "so c"), "name"),
            (good.to_owned() + "user = \"a\"", "for email"),
            (mail.replace("b@example.org", "b"), "no mail address"),
            (mail.replace("[\"b@example.org\"]", "[]"), "recipients"),
            (mail.replace("starttls", "smtp"), "is not sent over"),
            (mail.replace("secret_file", "ca_file"), "needs secret_file"),
            ("grafana_url = \"grafana\"".into(), "grafana_url"),
            ("queue_bytes_max = 5".into(), "queue_bytes_max"),
        ] {
            let faults = read(&text).faults();
            assert!(
                faults.iter().any(|f| f.contains(part)),
                "{part}: {faults:?}"
            );
        }
        assert!(toml::from_str::<Settings>(&good.replace("06:00", "6")).is_err());
    }
}
