//! What Slack and webhooks share: a client, and what answers mean.

use std::time::Duration;

use hotswap_core::{Timestamp, Violations};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Proxy, RequestBuilder, StatusCode, Url};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use super::{Failure, Then, ca, is_loopback};
use crate::Address;
use crate::secret::Secret;

/// How much of an answer is read, in bytes. It only goes into the error.
const MAX_ANSWER: usize = 300;
/// The longest that a receiver can put us off.
const MAX_AFTER: Duration = Duration::from_secs(6 * 3_600);

/// A client. It follows no redirects, since what is sent is for nobody else, and takes no proxy from the environment.
pub(super) fn client(
    v: &mut Violations,
    ca_file: Option<&std::path::Path>,
    proxy: Option<&Address>,
) -> Option<Client> {
    let mut builder = Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .referer(false)
        .user_agent(concat!("HotSwap/", env!("CARGO_PKG_VERSION")));
    if let Some(pem) = ca(v, ca_file) {
        match Certificate::from_pem_bundle(&pem) {
            Ok(certificates) if !certificates.is_empty() => builder = builder.tls_certs_merge(certificates),
            _ => v.add("ca_file", "holds no certificates in PEM"),
        }
    }
    if let Some(address) = proxy {
        let url = Url::parse(&address.0).ok().filter(|u| u.username().is_empty() && u.password().is_none());
        match url.and_then(|url| Proxy::all(url).ok()) {
            Some(proxy) => builder = builder.proxy(proxy),
            None => v.add("proxy", "must be an address as http://proxy.example.com:3128, without a user"),
        }
    }
    v.take("ca_file", builder.build().map_err(|e| told(&e)))
}

/// An address that may be sent to: https, or http to this machine; no user in it. The text is not shown.
pub(super) fn address(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "must be an address as https://host/path")?;
    let host = url.host_str().ok_or("must be an address as https://host/path")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not hold a user or password");
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(host) => Ok(url),
        _ => Err("must be https, or http to this machine"),
    }
}

/// What of an address may be a secret: all of it, its path, its query, and each part of them that is not short.
pub(super) fn secrets_of(url: &Url) -> Vec<Secret> {
    const SHORT: usize = 6;
    let parts = url.path().split('/').map(str::to_owned);
    let values = url.query_pairs().map(|(_, value)| value.into_owned());
    let mut secrets = vec![url.as_str().to_owned(), url.path().to_owned()];
    secrets.extend(url.query().map(str::to_owned));
    secrets.extend(parts.chain(values));
    secrets.into_iter().filter(|text| text.len() >= SHORT).map(Secret::new).collect()
}

/// Sends, and says what became of it. `secrets` are kept out of what it says.
pub(super) async fn send(request: RequestBuilder, secrets: &[Secret], now: Timestamp) -> Result<(), Failure> {
    let sent = match request.send().await {
        Ok(answer) => judged(answer, now).await,
        Err(error) => Err(Failure::again(told(&error))),
    };
    sent.map_err(|failure| failure.map(|what| secrets.iter().fold(what.to_owned(), |w, s| s.masked(&w))))
}

async fn judged(answer: reqwest::Response, now: Timestamp) -> Result<(), Failure> {
    let status = answer.status();
    if status.is_success() {
        return Ok(());
    }
    let after = after(answer.headers(), now);
    let body = start(answer).await;
    let what = if body.is_empty() { status.to_string() } else { format!("{status}: {body}") };
    Err(Failure { what, then: then(status, after) })
}

/// What a status that is no success means.
fn then(status: StatusCode, after: Option<Duration>) -> Then {
    match status.as_u16() {
        // They say when.
        429 | 503 => Then::Again(after),
        408 | 409 | 425 | 500..=599 => Then::Again(None),
        // The rest of 4xx would be the same again, and a redirect is not followed.
        _ => Then::GiveUp,
    }
}

/// When to come again: seconds, or a date.
fn after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let after = match text.parse::<u64>() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let date = OffsetDateTime::parse(text, &Rfc2822).ok()?.unix_timestamp();
            Duration::from_secs(u64::try_from(date.saturating_sub(now.seconds())).unwrap_or(0))
        }
    };
    Some(after.min(MAX_AFTER))
}

/// How an answer begins, in one line.
async fn start(mut answer: reqwest::Response) -> String {
    let mut bytes = Vec::new();
    while let Ok(Some(part)) = answer.chunk().await {
        bytes.extend_from_slice(&part);
        if bytes.len() >= MAX_ANSWER {
            bytes.truncate(MAX_ANSWER);
            break;
        }
    }
    let text = String::from_utf8_lossy(&bytes);
    let words: Vec<&str> = text.split(|c: char| c.is_whitespace() || c.is_control()).collect();
    words.join(" ").trim().to_owned()
}

/// An error of the client with its causes, and without the address: that is a secret.
fn told(error: &reqwest::Error) -> String {
    let mut text = match () {
        () if error.is_timeout() => "timed out".to_owned(),
        () if error.is_connect() => "can't connect".to_owned(),
        () => "the request failed".to_owned(),
    };
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn only_https_and_this_machine_are_sent_to() {
        for good in ["https://a.example/x?y", "http://127.0.0.1:9/x", "http://[::1]/", "http://localhost:8/"]
        {
            assert!(address(good).is_ok(), "{good}");
        }
        for bad in
            ["http://a.example/", "ftp://a.example/", "https://u:p@a.example/", "a.example", "file:///etc/x"]
        {
            assert!(address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_status_is_passing_or_final() {
        let again = [408, 409, 425, 429, 500, 502, 503, 504];
        let final_ = [301, 302, 307, 400, 401, 403, 404, 410, 413, 422];
        for code in again {
            assert_eq!(then(StatusCode::from_u16(code).expect("a code"), None), Then::Again(None), "{code}");
        }
        for code in final_ {
            assert_eq!(then(StatusCode::from_u16(code).expect("a code"), None), Then::GiveUp, "{code}");
        }
    }

    #[test]
    fn a_receiver_says_when_in_seconds_or_with_a_date_and_not_too_late() {
        let now = Timestamp(784_111_777 * 1_000_000);
        let of = |text: &'static str| {
            after(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]), now)
        };
        assert_eq!(of("17"), Some(Duration::from_secs(17)));
        assert_eq!(of("Sun, 06 Nov 1994 08:50:37 GMT"), Some(Duration::from_secs(60)));
        assert_eq!(of("Sun, 06 Nov 1994 08:48:37 GMT"), Some(Duration::ZERO), "it has passed");
        assert_eq!(of("99999999999"), Some(MAX_AFTER));
        assert_eq!(of("soon"), None);
    }
}
