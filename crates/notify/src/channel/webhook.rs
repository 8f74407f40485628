//! Webhooks, signed as Standard Webhooks 1.0 says: HMAC-SHA256 over `id.timestamp.body`.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hotswap_core::{Timestamp, Violations};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, Url};
use serde_json::json;

use super::{Failure, http};
use crate::WebhookConfig;
use crate::message::Letter;
use crate::secret::{Secret, SecretFile};
use crate::template::moment;

const PREFIX: &str = "whsec_";

pub(super) struct Webhook {
    client: Client,
    url: Url,
    secret: SecretFile,
}

impl std::fmt::Debug for Webhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhook").field("host", &self.url.host_str()).field("secret", &self.secret).finish()
    }
}

impl Webhook {
    pub(super) fn new(config: &WebhookConfig, v: &mut Violations) -> Option<Self> {
        let url = v.take("url", http::address(&config.url.0));
        let secret = SecretFile::new(&config.secret_file);
        v.take("secret_file", secret.read().and_then(|s| keys(&s).map(drop).map_err(str::to_owned)));
        let client = http::client(v, config.ca_file.as_deref(), config.proxy.as_ref());
        Some(Self { client: client?, url: url?, secret })
    }

    pub(super) async fn send(&self, letter: &Letter, now: Timestamp) -> Result<(), Failure> {
        let secret = self.secret.read().map_err(Failure::again)?;
        let keys = keys(&secret).map_err(Failure::again)?;
        let body = body(letter);
        let at = now.seconds();
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &letter.id)
            .header("webhook-timestamp", at)
            .header("webhook-signature", signatures(&keys, &letter.id, at, &body))
            .header("idempotency-key", &letter.id)
            .body(body);
        let mut secrets = http::secrets_of(&self.url);
        secrets.extend(secret.expose().lines().map(|line| Secret::new(line.trim())));
        http::send(request, &secrets, now).await
    }
}

/// What is sent: the shape that Standard Webhooks recommends, with what names and orders the event.
fn body(letter: &Letter) -> String {
    let message = &letter.message;
    json!({
        "type": message.kind(),
        "timestamp": moment(message.at()),
        "key": message.dedupe_key(),
        "subject": message.subject(),
        "data": message.data(),
    })
    .to_string()
}

/// A signature with each key; a receiver takes any that it knows.
fn signatures(keys: &[hmac::Key], id: &str, at: i64, body: &str) -> String {
    let signed = format!("{id}.{at}.{body}");
    let one = |key: &hmac::Key| format!("v1,{}", STANDARD.encode(hmac::sign(key, signed.as_bytes())));
    keys.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// The keys of a file, a line each.
fn keys(secret: &Secret) -> Result<Vec<hmac::Key>, &'static str> {
    const SHAPE: &str = "must be whsec_ and base64 of 24 to 64 random bytes, as (echo -n whsec_; openssl rand -base64 32) makes";
    let key = |line: &str| {
        let bytes = STANDARD.decode(line.trim().strip_prefix(PREFIX)?).ok()?;
        (24..=64).contains(&bytes.len()).then(|| hmac::Key::new(hmac::HMAC_SHA256, &bytes))
    };
    secret.expose().lines().map(key).collect::<Option<Vec<_>>>().ok_or(SHAPE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_that_of_the_specifications_own_libraries() {
        // From the tests of the reference libraries of Standard Webhooks.
        let keys = keys(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).expect("a key");
        let body = r#"{"test": 2432232314}"#;
        let made = signatures(&keys, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
        assert_eq!(made, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn two_secrets_sign_twice_and_a_bad_one_is_refused_without_being_shown() {
        let one = format!("whsec_{}", STANDARD.encode([7; 32]));
        let two = format!("{one}\nwhsec_{}\n", STANDARD.encode([8; 32]));
        let both = signatures(&keys(&Secret::new(two)).expect("two"), "a", 1, "{}");
        assert_eq!(both.split(' ').count(), 2);
        for bad in ["hunter2", "whsec_hunter2", "whsec_aHVudGVyMg==", ""] {
            if let Err(told) = keys(&Secret::new(bad)) {
                assert!(!told.contains("hunter2"), "{told}");
            } else {
                assert_eq!(bad, "");
            }
        }
    }
}
