//! Mails over SMTP.

use std::fmt;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hotswap_core::{Timestamp, Violations};
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MessageBuilder, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};

use super::{Failure, ca, is_loopback};
use crate::EmailConfig;
use crate::config;
use crate::message::Letter;
use crate::secret::{Secret, SecretFile};
use crate::template::Text;

pub(super) struct Email {
    server: String,
    port: u16,
    tls: Tls,
    login: Option<(String, SecretFile)>,
    from: Mailbox,
    to: Vec<Mailbox>,
    timeout: Duration,
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Email")
            .field("server", &self.server)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl Email {
    pub(super) fn new(config: &EmailConfig, v: &mut Violations) -> Option<Self> {
        let tls = tls(config, v);
        let login = match (&config.user, &config.password_file) {
            (Some(user), Some(path)) => {
                let file = SecretFile::new(path);
                v.take("password_file", file.read());
                Some((user.clone(), file))
            }
            (None, None) => None,
            _ => {
                v.add("user", "user and password_file go together");
                None
            }
        };
        let from = v.take("from", mailbox(&config.from));
        let to: Vec<_> = config.to.iter().filter_map(|to| v.take("to", mailbox(to))).collect();
        if config.to.is_empty() {
            v.add("to", "must have an address");
        }
        let port = config.port.unwrap_or(match config.tls {
            config::Tls::StartTls => 587,
            config::Tls::Tls => 465,
            config::Tls::None => 25,
        });
        let timeout = Duration::from_millis(config.timeout_ms);
        Some(Self { server: config.server.clone(), port, tls: tls?, login, from: from?, to, timeout })
    }

    pub(super) async fn send(&self, channel: &str, letter: &Letter, text: &Text) -> Result<(), Failure> {
        let mail = self.mail(channel, letter, text).map_err(Failure::final_)?;
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(self.server.as_str())
            .port(self.port)
            .tls(self.tls.clone())
            .timeout(Some(self.timeout));
        let mut secrets = Vec::new();
        if let Some((user, file)) = &self.login {
            let password = file.read().map_err(Failure::again)?;
            secrets = forms(user, &password);
            builder = builder.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
        }
        // A connection for each mail: there are few, and an idle one is closed by the server anyway.
        match builder.build().send(mail).await {
            Ok(_) => Ok(()),
            Err(error) => Err(failure(&error, &secrets)),
        }
    }

    fn mail(&self, channel: &str, letter: &Letter, text: &Text) -> Result<lettre::Message, String> {
        let domain = self.from.email.domain();
        let at = letter.message.at();
        let mut builder: MessageBuilder = lettre::Message::builder()
            .from(self.from.clone())
            .subject(format!("[HotSwap] {}", text.title))
            .date(system_time(at))
            // The same whenever it is sent again: mailboxes and lists drop the second one.
            .message_id(Some(format!("<{}.{channel}@{domain}>", letter.id)))
            // All mails of one subject are a thread.
            .references(format!("<{}.{channel}@{domain}>", atom(letter.message.subject())))
            .raw_header(raw("Auto-Submitted", "auto-generated"))
            .raw_header(raw("X-HotSwap-Kind", letter.message.kind()));
        for to in &self.to {
            builder = builder.to(to.clone());
        }
        builder.singlepart(SinglePart::plain(format!("{}\n", text.text))).map_err(|e| e.to_string())
    }
}

fn tls(config: &EmailConfig, v: &mut Violations) -> Option<Tls> {
    let pem = ca(v, config.ca_file.as_deref());
    if config.tls == config::Tls::None {
        if !is_loopback(&config.server) {
            v.add("tls", "may be none only where the server is this machine");
        }
        return Some(Tls::None);
    }
    let mut builder = TlsParameters::builder(config.server.clone());
    if let Some(pem) = pem {
        match Certificate::from_pem(&pem) {
            Ok(certificate) => builder = builder.add_root_certificate(certificate),
            Err(_) => v.add("ca_file", "holds no certificates in PEM"),
        }
    }
    let parameters = v.take("tls", builder.build())?;
    Some(match config.tls {
        config::Tls::StartTls => Tls::Required(parameters),
        _ => Tls::Wrapper(parameters),
    })
}

fn mailbox(text: &str) -> Result<Mailbox, String> {
    text.parse().map_err(|e| format!("{text:?} is no address: {e}"))
}

fn raw(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

/// What may stand in an identity of a mail.
fn atom(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '.' }).collect()
}

/// The time of a mail is that of its event.
fn system_time(at: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(at.0).unwrap_or(0))
}

/// A password as it goes over the wire, and as a server may repeat it.
fn forms(user: &str, password: &Secret) -> Vec<Secret> {
    let plain = STANDARD.encode(format!("\0{user}\0{}", password.expose()));
    vec![password.clone(), Secret::new(STANDARD.encode(password.expose())), Secret::new(plain)]
}

/// What a fault means. 4xx passes. 5xx is final, but where the login is refused: somebody will correct that.
fn failure(error: &lettre::transport::smtp::Error, secrets: &[Secret]) -> Failure {
    let what = secrets.iter().fold(error.to_string(), |what, secret| secret.masked(&what));
    let code = error.status().map(u16::from);
    if error.is_permanent() && !matches!(code, Some(530 | 534 | 535 | 538)) {
        Failure::final_(what)
    } else {
        Failure::again(what)
    }
}
