//! Channels: where deliveries go.

mod email;
mod http;
mod slack;
mod webhook;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use hotswap_core::{Timestamp, Violations, check_id};

use crate::config::ChannelsConfig;
use crate::message::{Letter, is_pattern};
use crate::template::Templates;
use crate::{ChannelConfig, NotifyError};
use email::Email;
use slack::Slack;
use webhook::Webhook;

/// The channels of a process, checked and ready.
#[derive(Debug)]
pub struct Channels {
    pub(crate) all: Vec<Channel>,
    pub(crate) templates: Templates,
    pub(crate) attempts: u32,
    pub(crate) retry_base: Duration,
    pub(crate) retry_max: Duration,
    pub(crate) keep: Duration,
}

/// One of them.
#[derive(Debug)]
pub(crate) struct Channel {
    pub(crate) id: String,
    pub(crate) timeout: Duration,
    wants: Vec<String>,
    transport: Transport,
}

#[derive(Debug)]
enum Transport {
    Email(Email),
    Slack(Slack),
    Webhook(Webhook),
}

/// Why a delivery did not succeed, without secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) what: String,
    pub(crate) then: Then,
}

/// What to do then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// Try again; not before so long, where the receiver says so.
    Again(Option<Duration>),
    /// Trying again would give the same.
    GiveUp,
}

impl Failure {
    pub(crate) fn again(what: impl fmt::Display) -> Self {
        Self { what: what.to_string(), then: Then::Again(None) }
    }

    pub(crate) fn final_(what: impl fmt::Display) -> Self {
        Self { what: what.to_string(), then: Then::GiveUp }
    }

    fn map(self, change: impl FnOnce(&str) -> String) -> Self {
        Self { what: change(&self.what), ..self }
    }
}

impl Channels {
    /// Checks a configuration, and reads what it names: templates, certificates, and secrets once.
    ///
    /// # Errors
    /// [`NotifyError::Invalid`] with all that is wrong.
    pub fn load(config: &ChannelsConfig) -> Result<Self, NotifyError> {
        let mut v = Violations::new();
        range(&mut v, "attempts", u64::from(config.attempts), 1, 1_000);
        range(&mut v, "retry_base_ms", config.retry_base_ms, 1, 3_600_000);
        range(&mut v, "retry_max_ms", config.retry_max_ms, config.retry_base_ms, 86_400_000);
        range(&mut v, "keep_days", u64::from(config.keep_days), 1, 3_650);
        let templates = match Templates::load(config.templates.as_deref()) {
            Ok(templates) => Some(templates),
            Err(faults) => {
                v.nest("", faults);
                None
            }
        };
        let mut all: Vec<Channel> = Vec::with_capacity(config.channels.len());
        for (i, of) in config.channels.iter().enumerate() {
            let prefix = format!("channels[{i}]");
            if all.iter().any(|channel| channel.id == of.id()) {
                v.add(format!("{prefix}.id"), "another channel has it");
            }
            match Channel::new(of) {
                Ok(channel) => all.push(channel),
                Err(faults) => v.nest(&prefix, faults),
            }
        }
        match templates {
            Some(templates) if v.is_empty() => Ok(Self {
                all,
                templates,
                attempts: config.attempts,
                retry_base: Duration::from_millis(config.retry_base_ms),
                retry_max: Duration::from_millis(config.retry_max_ms),
                keep: Duration::from_secs(u64::from(config.keep_days) * 86_400),
            }),
            _ => Err(v.into()),
        }
    }

    /// The names of the channels.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.all.iter().map(|channel| channel.id.as_str())
    }

    /// Their names, each with the kinds that it wants.
    pub(crate) fn wants(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.all.iter().map(|channel| (channel.id.as_str(), &*channel.wants))
    }
}

impl Channel {
    fn new(config: &ChannelConfig) -> Result<Self, Violations> {
        let mut v = Violations::new();
        v.take("id", check_id(config.id()));
        if config.wants().is_empty() || !config.wants().iter().all(|pattern| is_pattern(pattern)) {
            v.add("wants", "must be kinds, as \"rollout.started\", \"rollout.*\" or \"*\"");
        }
        range(&mut v, "timeout_ms", config.timeout_ms(), 1, 300_000);
        let timeout = Duration::from_millis(config.timeout_ms());
        let transport = match config {
            ChannelConfig::Email(c) => Email::new(c, &mut v).map(Transport::Email),
            ChannelConfig::Slack(c) => Slack::new(c, &mut v).map(Transport::Slack),
            ChannelConfig::Webhook(c) => Webhook::new(c, &mut v).map(Transport::Webhook),
        };
        match transport {
            Some(transport) if v.is_empty() => {
                Ok(Self { id: config.id().to_owned(), timeout, wants: config.wants().to_vec(), transport })
            }
            _ => Err(v),
        }
    }

    /// What it is, for metrics and logs.
    pub(crate) fn kind(&self) -> &'static str {
        match self.transport {
            Transport::Email(_) => "email",
            Transport::Slack(_) => "slack",
            Transport::Webhook(_) => "webhook",
        }
    }

    /// Delivers, within the channel's time.
    pub(crate) async fn deliver(&self, letter: &Letter, templates: &Templates, now: Timestamp) -> Delivered {
        let mut fault = None;
        let work = async {
            match &self.transport {
                Transport::Email(email) => {
                    let text = templates.render(crate::template::Format::Email, letter);
                    fault.clone_from(&text.fault);
                    email.send(&self.id, letter, &text).await
                }
                Transport::Slack(slack) => {
                    let text = templates.render(crate::template::Format::Slack, letter);
                    fault.clone_from(&text.fault);
                    slack.send(letter, &text, now).await
                }
                Transport::Webhook(webhook) => webhook.send(letter, now).await,
            }
        };
        let late = || Failure::again(format!("no answer within {} ms", self.timeout.as_millis()));
        let outcome = tokio::time::timeout(self.timeout, work).await.unwrap_or_else(|_| Err(late()));
        Delivered { outcome, template_fault: fault }
    }
}

/// How a delivery went.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) outcome: Result<(), Failure>,
    /// The template failed, and the data were sent as they are: why.
    pub(crate) template_fault: Option<String>,
}

fn range(v: &mut Violations, field: &str, value: u64, min: u64, max: u64) {
    if !(min..=max).contains(&value) {
        v.add(field, format!("must be {min} to {max}"));
    }
}

/// The bytes of a file of certificates.
fn ca(v: &mut Violations, path: Option<&Path>) -> Option<Vec<u8>> {
    let path = path?;
    let read = std::fs::read(path).map_err(|e| format!("{}: {}", path.display(), e.kind()));
    v.take("ca_file", read)
}

/// Whether a host is this machine.
fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
