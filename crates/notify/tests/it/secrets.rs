//! Secrets are shown nowhere.

use std::io::Write;
use std::sync::{Arc, Mutex, OnceLock};

use hotswap_notify::{Channels, ChannelsConfig, DeliveryState, NotifyError};
use hotswap_testkit::{Smtp, SmtpTls, required};
use tracing_subscriber::fmt::MakeWriter;

use crate::receiver::Receiver;
use crate::support::{Place, SIGNING, message};

const PLANTED: &str = "hunter2-PLANTED";

/// Logs, kept.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("lock").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Kept {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// The logs of all tests of this process: what one thread logs is else not known for sure to be logged, since whether
/// anybody listens is remembered for all threads.
fn logs() -> Kept {
    static LOGS: OnceLock<Kept> = OnceLock::new();
    let install = || {
        let logs = Kept::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(logs.clone())
            .finish();
        tracing::subscriber::set_global_default(subscriber).expect("the first");
        logs
    };
    LOGS.get_or_init(install).clone()
}

/// Everything that a secret is part of: a password, an address of Slack, a token in an address, a signing secret.
fn planted(place: &Place, smtp: &Smtp, slack: &Receiver, hook: &Receiver) -> String {
    let password = place.file("password", PLANTED);
    let slack = place.file("slack", &slack.url(&format!("/services/T0/B0/{PLANTED}")));
    let port = smtp.address().port();
    format!(
        "attempts = 2\n[[channels]]\nkind = \"email\"\nid = \"mail\"\nserver = \"127.0.0.1\"\nport = {port}\n\
         tls = \"none\"\nfrom = \"a@example.com\"\nto = [\"b@example.com\"]\nuser = \"u\"\n\
         password_file = \"{password}\"\n[[channels]]\nkind = \"slack\"\nid = \"slack\"\nurl_file = \"{slack}\"\n{}",
        place.webhook("hook", &hook.url(&format!("/?token={PLANTED}")), "")
    )
}

#[tokio::test]
async fn a_planted_secret_is_in_no_log_no_error_and_no_debug() {
    let place = Place::sqlite();
    // The server repeats the password, and the receivers the address and the secret: as bad as can be.
    let Some(smtp) = required(Smtp::start(SmtpTls::Plain, Some(("u", "another")))) else { return };
    let echo = |text: String| Receiver::start((0..2).map(move |_| (500, &[][..], text.clone())));
    let slack = echo(format!("no {PLANTED} here")).await;
    let hook = echo(format!("no {PLANTED} {SIGNING} here")).await;
    let logs = logs();

    let text = planted(&place, &smtp, &slack, &hook);
    let config = ChannelsConfig::from_toml(&text).expect("parses");
    let channels = Channels::load(&config).expect("loads");
    let mut shown = format!("{config:?}\n{channels:?}\n{channels:#?}\n");
    let db = place.db().await;
    place.put(&db, &message("k", "rollout.started")).await;
    let sender = place.sender(&db, &text);
    let dead = place.until(&db, "k", DeliveryState::Dead).await;
    shown.push_str(&format!("{dead:?}\n{}\n", sender.metrics()));
    sender.stop().await;
    let logs = String::from_utf8(logs.0.lock().expect("lock").clone()).expect("text");
    assert!(logs.contains("a notification was given up"), "{logs}");
    assert!(dead.iter().all(|d| d.last_error.contains("[secret]")), "{dead:?}");
    let signing = SIGNING.trim_start_matches("whsec_");
    for (name, text) in [("logs", &logs), ("errors and Debug", &shown)] {
        for secret in [PLANTED, signing] {
            let at = text.find(secret).map(|at| &text[at.saturating_sub(200)..at + 20]);
            assert_eq!(at, None, "{name} show {secret}");
        }
    }
}

#[test]
fn what_is_wrong_with_a_configuration_is_told_without_what_stands_in_it() {
    let place = Place::sqlite();
    let bad = place.file("bad", PLANTED);
    let cases = [
        format!("[[channels]]\nkind = \"email\"\npassword = \"{PLANTED}\""),
        format!("[[channels]]\nkind = \"{PLANTED}\"\nid = \"x\""),
        format!("[[channels]]\nkind = \"slack\"\nid = \"x\"\nurl_file = [\"{PLANTED}\"]"),
        format!("attempts = \"{PLANTED}\""),
        format!("password = {PLANTED}"),
        format!("[[channels]]\nkind = \"slack\"\nid = \"x\"\nurl_file = \"{bad}\""),
        format!(
            "[[channels]]\nkind = \"webhook\"\nid = \"x\"\nurl = \"https://u:{PLANTED}@a.example/\"\nsecret_file = \"{bad}\""
        ),
        format!(
            "[[channels]]\nkind = \"webhook\"\nid = \"x\"\nurl = \"http://a.example/{PLANTED}\"\nsecret_file = \"{bad}\"\nproxy = \"http://u:{PLANTED}@proxy\""
        ),
    ];
    for text in cases {
        let loaded = ChannelsConfig::from_toml(&text).and_then(|config| {
            let debug = format!("{config:?}");
            assert!(!debug.contains(PLANTED), "{debug}");
            Channels::load(&config)
        });
        let error: NotifyError = loaded.expect_err("wrong");
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(PLANTED), "{shown}");
    }
}
