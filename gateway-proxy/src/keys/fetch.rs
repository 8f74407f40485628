//! Fetching a key set: bounded in time and size, and never from elsewhere than the route says.

use std::error::Error as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hotswap_matcher::KeyPlace;
use hotswap_runtime::StartError;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, StatusCode};

const CONNECT: Duration = Duration::from_secs(3);
const WHOLE: Duration = Duration::from_secs(10);
/// The largest key set, in bytes, as in a route.
const LARGEST: usize = 65_536;
const MOST_REDIRECTS: usize = 3;

/// Where key sets may come from.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct KeyOptions {
    /// Folder of the key sets that routes name by file (jwt.jwks_file). Default: there are none.
    #[arg(long, env = "HOTSWAP_JWKS_DIR", value_name = "DIR")]
    pub jwks_dir: Option<PathBuf>,

    /// File with certificates, in PEM, that key servers (jwt.jwks_url) are believed by, beside those of the system.
    #[arg(long, env = "HOTSWAP_JWKS_CA_FILE", value_name = "FILE")]
    pub jwks_ca_file: Option<PathBuf>,
}

/// Fetches key sets; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher {
    client: Client,
    dir: Option<PathBuf>,
}

impl Fetcher {
    /// One with these options.
    ///
    /// # Errors
    /// Where the file of certificates can't be used.
    pub(crate) fn new(options: &KeyOptions) -> Result<Self, StartError> {
        let mut builder = Client::builder()
            .redirect(Policy::custom(|attempt| {
                let first = attempt.previous().first().map(|url| url.scheme().to_owned());
                if first.as_deref() != Some(attempt.url().scheme()) {
                    attempt.error("it redirects to another scheme")
                } else if attempt.previous().len() > MOST_REDIRECTS {
                    attempt.error("it redirects too often")
                } else {
                    attempt.follow()
                }
            }))
            .no_proxy()
            .referer(false)
            .connect_timeout(CONNECT)
            .timeout(WHOLE)
            .user_agent(concat!("HotSwap/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &options.jwks_ca_file {
            let wrong =
                |what: String| StartError::Option(format!("--jwks-ca-file {}: {what}", path.display()));
            let pem = std::fs::read(path).map_err(|e| wrong(e.kind().to_string()))?;
            let certificates = Certificate::from_pem_bundle(&pem).unwrap_or_default();
            if certificates.is_empty() {
                return Err(wrong("holds no certificates in PEM".into()));
            }
            builder = builder.tls_certs_merge(certificates);
        }
        let client =
            builder.build().map_err(|e| StartError::Option(format!("--jwks-ca-file: {}", told(&e))))?;
        Ok(Self { client, dir: options.jwks_dir.clone() })
    }

    /// The text of a key set, or why there is none.
    pub(super) async fn fetch(&self, place: &KeyPlace) -> Result<String, String> {
        match place {
            KeyPlace::Url(url) => self.ask(url).await,
            KeyPlace::File(name) => {
                let dir = self.dir.clone().ok_or("the gateway has no folder of key sets (--jwks-dir)")?;
                let path = dir.join(name);
                let read = tokio::task::spawn_blocking(move || read(&path)).await;
                read.unwrap_or_else(|_| Err("the file could not be read".into()))
            }
        }
    }

    async fn ask(&self, url: &str) -> Result<String, String> {
        let mut answer = self.client.get(url).send().await.map_err(|e| told(&e))?;
        if answer.status() != StatusCode::OK {
            return Err(format!("the answer is {}", answer.status()));
        }
        let mut bytes = Vec::new();
        while let Some(part) = answer.chunk().await.map_err(|e| told(&e))? {
            if bytes.len() + part.len() > LARGEST {
                return Err(format!("the answer has more than {LARGEST} bytes"));
            }
            bytes.extend_from_slice(&part);
        }
        String::from_utf8(bytes).map_err(|_| "the answer is no text".to_owned())
    }
}

fn read(path: &Path) -> Result<String, String> {
    let about = std::fs::metadata(path).map_err(|e| e.kind().to_string())?;
    if !about.is_file() || about.len() > LARGEST as u64 {
        return Err(format!("is no file of at most {LARGEST} bytes"));
    }
    std::fs::read_to_string(path).map_err(|e| e.kind().to_string())
}

/// An error with its causes.
fn told(error: &reqwest::Error) -> String {
    let mut text = if error.is_timeout() { "timed out".to_owned() } else { "the request failed".to_owned() };
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
