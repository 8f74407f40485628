//! Channels as they are configured. Secrets are not in it, but the names of files that hold them.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

use crate::NotifyError;

/// Who is told what, and how hard it is tried. In TOML:
///
/// ```toml
/// templates = "/etc/hotswap/templates"   # overrides of the built-in texts; optional
/// attempts = 20                          # then a delivery is given up
///
/// [[channels]]
/// kind = "email"
/// id = "ops-mail"
/// wants = ["rollout.*"]                  # which kinds; all where it is left out
/// server = "smtp.example.com"
/// user = "hotswap"
/// password_file = "/run/secrets/smtp"
/// from = "HotSwap <hotswap@example.com>"
/// to = ["ops@example.com"]
///
/// [[channels]]
/// kind = "slack"
/// id = "ops-slack"
/// url_file = "/run/secrets/slack"        # the whole address is the secret
///
/// [[channels]]
/// kind = "webhook"
/// id = "pager"
/// url = "https://pager.example.com/hooks/hotswap"
/// secret_file = "/run/secrets/pager"     # whsec_…, a line each; two while it is changed
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChannelsConfig {
    /// A folder of templates that are taken before the built-in ones.
    pub templates: Option<PathBuf>,
    /// After so many attempts a delivery is given up: 1 to 1,000.
    pub attempts: u32,
    /// The ceiling of the first pause, in milliseconds; it doubles with each attempt. Each pause is drawn between zero
    /// and its ceiling.
    pub retry_base_ms: u64,
    /// The highest ceiling, in milliseconds.
    pub retry_max_ms: u64,
    /// How long messages are kept, in days: 1 to 3,650. As long, a key is told once.
    pub keep_days: u32,
    /// The channels.
    pub channels: Vec<ChannelConfig>,
}

impl Default for ChannelsConfig {
    fn default() -> Self {
        Self {
            templates: None,
            attempts: 20,
            retry_base_ms: 2_000,
            retry_max_ms: 3_600_000,
            keep_days: 30,
            channels: Vec::new(),
        }
    }
}

impl ChannelsConfig {
    /// Reads TOML.
    ///
    /// # Errors
    /// [`NotifyError::Syntax`], which shows no line of the text.
    pub fn from_toml(text: &str) -> Result<Self, NotifyError> {
        toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(0, |span| text.get(..span.start).unwrap_or("").lines().count());
            NotifyError::Syntax { what: format!("{} (near line {})", told(error.message()), line.max(1)) }
        })
    }
}

/// A message of the parser without what it quotes: an unknown field's name may stay, a value may not.
fn told(message: &str) -> String {
    if message.starts_with("unknown field") || message.starts_with("missing field") {
        message.to_owned()
    } else if message.starts_with("unknown variant") {
        "a channel's kind is one of email, slack, webhook".to_owned()
    } else {
        message.split(['"', '`', '\'']).next().unwrap_or_default().trim_end_matches([' ', ':']).to_owned()
    }
}

/// One channel.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ChannelConfig {
    /// Mails.
    Email(EmailConfig),
    /// An incoming webhook of Slack.
    Slack(SlackConfig),
    /// A signed webhook.
    Webhook(WebhookConfig),
}

/// Mails over SMTP.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmailConfig {
    /// Its name: in metrics, logs, and the store. One that is renamed is another channel.
    pub id: String,
    /// The kinds it wants: "rollout.started", "rollout.*" or "*".
    #[serde(default = "all")]
    pub wants: Vec<String>,
    /// The server's name or address.
    pub server: String,
    /// Its port; by default 587 with STARTTLS, 465 with TLS, 25 with none.
    #[serde(default)]
    pub port: Option<u16>,
    /// How it is talked to.
    #[serde(default)]
    pub tls: Tls,
    /// A file of certificates (PEM) that are trusted besides those of the system.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Who sends, where the server wants to know.
    #[serde(default)]
    pub user: Option<String>,
    /// A file with the user's password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// The sender, as "HotSwap <hotswap@example.com>".
    pub from: String,
    /// Who gets it: one mail to all. A server that refuses one of them refuses the mail; those who must hear whatever
    /// becomes of others get a channel of their own.
    pub to: Vec<String>,
    /// How long a delivery may take, in milliseconds: 1 to 300,000.
    #[serde(default = "ten_seconds")]
    pub timeout_ms: u64,
}

/// How a mail server is talked to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tls {
    /// In the clear first, and never on without TLS.
    #[default]
    StartTls,
    /// TLS from the start.
    Tls,
    /// In the clear: only to this machine.
    None,
}

/// An incoming webhook of Slack.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlackConfig {
    /// Its name: in metrics, logs, and the store. One that is renamed is another channel.
    pub id: String,
    /// The kinds it wants: "rollout.started", "rollout.*" or "*".
    #[serde(default = "all")]
    pub wants: Vec<String>,
    /// A file with the webhook's address. Who knows it can write, so it is a secret.
    pub url_file: PathBuf,
    /// A file of certificates (PEM) that are trusted besides those of the system.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// A proxy, as "http://proxy.example.com:3128". That of the environment is not taken.
    #[serde(default)]
    pub proxy: Option<Address>,
    /// How long a delivery may take, in milliseconds: 1 to 300,000.
    #[serde(default = "ten_seconds")]
    pub timeout_ms: u64,
}

/// A webhook, signed as <https://www.standardwebhooks.com> says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Its name: in metrics, logs, and the store. One that is renamed is another channel.
    pub id: String,
    /// The kinds it wants: "rollout.started", "rollout.*" or "*".
    #[serde(default = "all")]
    pub wants: Vec<String>,
    /// Where to: https, or http to this machine. What is behind its host is shown nowhere.
    pub url: Address,
    /// A file with the secret that it is signed with: `whsec_` and base64 of 24 to 64 random bytes. Several, a line
    /// each, all sign, so that a receiver can change from one to the other.
    pub secret_file: PathBuf,
    /// A file of certificates (PEM) that are trusted besides those of the system.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// A proxy, as "http://proxy.example.com:3128". That of the environment is not taken.
    #[serde(default)]
    pub proxy: Option<Address>,
    /// How long a delivery may take, in milliseconds: 1 to 300,000.
    #[serde(default = "ten_seconds")]
    pub timeout_ms: u64,
}

/// An address whose `Debug` shows no more than the host: a path or query often holds a token, and the user's part a
/// password.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Address(pub(crate) String);

impl From<&str> for Address {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for Address {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = reqwest::Url::parse(&self.0).ok().and_then(|u| u.host_str().map(str::to_owned));
        f.debug_tuple("Address").field(&host.unwrap_or_default()).finish()
    }
}

impl ChannelConfig {
    /// Its name.
    pub fn id(&self) -> &str {
        match self {
            Self::Email(c) => &c.id,
            Self::Slack(c) => &c.id,
            Self::Webhook(c) => &c.id,
        }
    }

    pub(crate) fn wants(&self) -> &[String] {
        match self {
            Self::Email(c) => &c.wants,
            Self::Slack(c) => &c.wants,
            Self::Webhook(c) => &c.wants,
        }
    }

    pub(crate) fn timeout_ms(&self) -> u64 {
        match self {
            Self::Email(c) => c.timeout_ms,
            Self::Slack(c) => c.timeout_ms,
            Self::Webhook(c) => c.timeout_ms,
        }
    }
}

fn all() -> Vec<String> {
    vec!["*".to_owned()]
}

fn ten_seconds() -> u64 {
    10_000
}
