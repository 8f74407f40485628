//! Mails, to a real server.

use hotswap_notify::{Channels, ChannelsConfig, DeliveryState};
use hotswap_testkit::{Authority, Smtp, SmtpTls, required};

use crate::support::{Place, message};

const USER: &str = "hotswap";
const PASSWORD: &str = "correct horse battery";

fn config(place: &Place, smtp: &Smtp, more: &str) -> String {
    let port = smtp.address().port();
    let password = place.file("password", PASSWORD);
    format!(
        "[[channels]]\nkind = \"email\"\nid = \"mail\"\nserver = \"127.0.0.1\"\nport = {port}\n\
         from = \"HotSwap <hotswap@example.com>\"\nto = [\"ops@example.com\", \"Ann Ö <ann@example.com>\"]\n\
         user = \"{USER}\"\npassword_file = \"{password}\"\n{more}\n"
    )
}

fn header<'a>(mail: &'a str, name: &str) -> Option<&'a str> {
    let head = mail.split("\r\n\r\n").next()?;
    head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// Of an authority that the system does not know.
fn certificate(place: &Place) -> (Authority, hotswap_testkit::Identity) {
    let authority = Authority::new(place.dir.path(), "mail-ca");
    let identity = authority.issue("mail", &["127.0.0.1", "localhost"]);
    (authority, identity)
}

async fn sends(place: &Place, smtp: &Smtp, more: &str) -> hotswap_testkit::Mail {
    let db = place.db().await;
    place.put(&db, &message("k", "rollout.rolled_back")).await;
    let sender = place.sender(&db, &config(place, smtp, more));
    place.until(&db, "k", DeliveryState::Sent).await;
    sender.stop().await;
    smtp.mails().expect("reads").remove(0)
}

#[tokio::test]
async fn a_mail_goes_over_starttls_with_a_password_and_can_be_read() {
    let place = Place::sqlite();
    let (authority, own) = certificate(&place);
    let smtp = Smtp::start(SmtpTls::StartTls(&own.cert, &own.key), Some((USER, PASSWORD)));
    let Some(smtp) = required(smtp) else { return };
    let mail = sends(&place, &smtp, &format!("ca_file = \"{}\"", authority.file().display())).await;
    assert!(mail.encrypted);
    assert_eq!((mail.from.as_str(), mail.to.len()), ("hotswap@example.com", 2));
    let content = mail.content.as_str();
    assert_eq!(header(content, "Subject"), Some("[HotSwap] Rolled back: routes/checkout"));
    assert_eq!(header(content, "Date"), Some("Fri, 15 Jan 2027 08:00:00 +0000"), "that of the event");
    assert_eq!(header(content, "Auto-Submitted"), Some("auto-generated"));
    assert!(header(content, "Message-ID").is_some_and(|id| id.ends_with(".mail@example.com>")), "{content}");
    assert!(content.contains("\r\nReason: errors rose by 7 points\r\n"), "{content}");
    assert!(header(content, "Content-Type").is_some_and(|t| t.starts_with("text/plain")), "{content}");
}

#[tokio::test]
async fn a_mail_goes_over_tls_from_the_start() {
    let place = Place::sqlite();
    let (authority, own) = certificate(&place);
    let smtp = Smtp::start(SmtpTls::Tls(&own.cert, &own.key), Some((USER, PASSWORD)));
    let Some(smtp) = required(smtp) else { return };
    let more = format!("tls = \"tls\"\nca_file = \"{}\"", authority.file().display());
    assert!(sends(&place, &smtp, &more).await.encrypted);
}

#[tokio::test]
async fn to_this_machine_a_mail_goes_in_the_clear_where_that_is_asked_for() {
    let place = Place::sqlite();
    let Some(smtp) = required(Smtp::start(SmtpTls::Plain, Some((USER, PASSWORD)))) else { return };
    assert!(!sends(&place, &smtp, "tls = \"none\"").await.encrypted);
}

/// What the last error says when a sender gives up after two attempts.
async fn fails(place: &Place, smtp: &Smtp, more: &str) -> (u32, String) {
    let db = place.db().await;
    place.put(&db, &message("k", "rollout.rolled_back")).await;
    let sender = place.sender(&db, &format!("attempts = 2\n{}", config(place, smtp, more)));
    let dead = place.until(&db, "k", DeliveryState::Dead).await.remove(0);
    sender.stop().await;
    assert!(smtp.mails().expect("reads").is_empty());
    (dead.attempts, dead.last_error)
}

#[tokio::test]
async fn nothing_is_sent_to_a_server_whose_certificate_nobody_trusts() {
    let place = Place::sqlite();
    let (_authority, own) = certificate(&place);
    let smtp = Smtp::start(SmtpTls::StartTls(&own.cert, &own.key), Some((USER, PASSWORD)));
    let Some(smtp) = required(smtp) else { return };
    let (attempts, error) = fails(&place, &smtp, "").await;
    assert!(attempts == 2 && error.contains("certificate"), "{error}");
}

#[tokio::test]
async fn no_password_goes_to_a_server_without_tls() {
    let place = Place::sqlite();
    let Some(smtp) = required(Smtp::start(SmtpTls::Plain, Some((USER, PASSWORD)))) else { return };
    let (_, error) = fails(&place, &smtp, "").await;
    assert!(error.contains("STARTTLS"), "{error}");
}

#[tokio::test]
async fn an_address_that_is_refused_for_good_ends_it_and_is_named() {
    let place = Place::sqlite();
    let Some(smtp) = required(Smtp::start(SmtpTls::Plain, Some((USER, PASSWORD)))) else { return };
    let text = config(&place, &smtp, "tls = \"none\"").replace("ops@example.com", "refused@example.com");
    let db = place.db().await;
    place.put(&db, &message("k", "rollout.rolled_back")).await;
    let sender = place.sender(&db, &text);
    let dead = place.until(&db, "k", DeliveryState::Dead).await.remove(0);
    sender.stop().await;
    assert_eq!(dead.attempts, 1);
    assert!(dead.last_error.contains("550") && dead.last_error.contains("refused@"), "{}", dead.last_error);
}

#[tokio::test]
async fn a_server_that_is_busy_gets_the_same_mail_later() {
    let place = Place::sqlite();
    let Some(smtp) = required(Smtp::start(SmtpTls::Plain, Some((USER, PASSWORD)))) else { return };
    smtp.set_busy(true).expect("told");
    let db = place.db().await;
    place.put(&db, &message("k", "rollout.rolled_back")).await;
    let sender = place.sender(&db, &format!("attempts = 1000\n{}", config(&place, &smtp, "tls = \"none\"")));
    while place.deliveries(&db, "k").await.first().is_none_or(|d| !d.last_error.contains("451")) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    smtp.set_busy(false).expect("told");
    place.until(&db, "k", DeliveryState::Sent).await;
    sender.stop().await;
    assert_eq!(smtp.mails().expect("reads").len(), 1);
}

#[tokio::test]
async fn a_password_that_is_wrong_is_tried_again_with_what_the_file_says_then() {
    let place = Place::sqlite();
    let Some(smtp) = required(Smtp::start(SmtpTls::Plain, Some((USER, PASSWORD)))) else { return };
    let db = place.db().await;
    place.put(&db, &message("k", "rollout.rolled_back")).await;
    let text = format!("attempts = 1000\n{}", config(&place, &smtp, "tls = \"none\""));
    place.file("password", "old");
    let sender = place.sender(&db, &text);
    while place.deliveries(&db, "k").await.first().is_none_or(|d| !d.last_error.contains("535")) {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    place.file("password", PASSWORD);
    place.until(&db, "k", DeliveryState::Sent).await;
    sender.stop().await;
}

#[test]
fn a_server_elsewhere_is_not_talked_to_in_the_clear() {
    let text = "[[channels]]\nkind = \"email\"\nid = \"mail\"\nserver = \"smtp.example.com\"\ntls = \"none\"\n\
                from = \"nobody\"\nto = []\nuser = \"x\"\n";
    let config = ChannelsConfig::from_toml(text).expect("parses");
    let told = Channels::load(&config).expect_err("wrong").to_string();
    for field in ["channels[0].tls", "channels[0].from", "channels[0].to", "channels[0].user"] {
        assert!(told.contains(field), "{field}: {told}");
    }
}
