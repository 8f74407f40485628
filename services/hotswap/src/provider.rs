//! The keys of an identity provider, read from its address or a file, and read again while the process runs.

use std::path::PathBuf;
use std::time::Duration;

use hotswap_auth::{Provider, Verifier};
use hotswap_runtime::{StartError, Supervisor, TaskKind, chain};

/// How often the keys are read. Providers show a new key long before they sign with it.
const ROUND: Duration = Duration::from_secs(60);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// The largest key set, in bytes.
const MAX: usize = 1024 * 1024;

/// Where an identity provider shows its keys.
#[derive(Clone, Debug)]
pub(crate) enum KeysAt {
    /// A file, which somebody else keeps up to date.
    File(PathBuf),
    /// An address, `https://…`, or `http://…` on loopback.
    Url(reqwest::Url),
}

/// Whom to trust beside the local key.
#[derive(Clone, Debug)]
pub(crate) struct ProviderOptions {
    pub(crate) issuer: String,
    pub(crate) keys: KeysAt,
}

type Error = Box<dyn std::error::Error + Send + Sync>;

impl KeysAt {
    /// From what stands on the command line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if !text.contains("://") {
            return Ok(Self::File(text.into()));
        }
        let url: reqwest::Url = text.parse().map_err(|e| format!("{e}"))?;
        let loopback = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        match url.scheme() {
            "https" => Ok(Self::Url(url)),
            "http" if loopback => Ok(Self::Url(url)),
            _ => {
                Err("must be a file or an https:// address: who can change the keys is whom you trust".into())
            }
        }
    }
}

/// Trusts the provider, and follows its keys. A file must be there at the start; an address may be away, and its
/// tokens are then refused until it is read.
///
/// # Errors
/// Where the file can't be read or holds no keys.
pub(crate) async fn follow(
    options: ProviderOptions,
    verifier: Verifier,
    supervisor: &Supervisor,
) -> Result<(), StartError> {
    let client = reqwest::Client::builder().timeout(PATIENCE).build();
    let client = client.map_err(|e| StartError::failed("reading the provider's keys")(e.into()))?;
    match (load(&options, &client).await, &options.keys) {
        (Ok(provider), _) => verifier.trust(provider),
        (Err(error), KeysAt::File(_)) => {
            return Err(StartError::failed("reading the provider's keys")(error));
        }
        (Err(error), KeysAt::Url(_)) => untold(error.as_ref()),
    }
    let shutdown = supervisor.shutdown();
    supervisor.spawn("provider keys", TaskKind::Background, async move {
        loop {
            tokio::select! {
                () = tokio::time::sleep(ROUND) => {}
                () = shutdown.cancelled() => return,
            }
            match load(&options, &client).await {
                Ok(provider) => verifier.trust(provider),
                // Those that were read last stay good: an outage there must not lock everybody out here.
                Err(error) => untold(error.as_ref()),
            }
        }
    });
    Ok(())
}

fn untold(error: &(dyn std::error::Error + Send + Sync + 'static)) {
    tracing::warn!(
        error = chain(error),
        "the provider's keys could not be read; they are read again in 60 s"
    );
}

async fn load(options: &ProviderOptions, client: &reqwest::Client) -> Result<Provider, Error> {
    let bytes = match &options.keys {
        KeysAt::File(path) => tokio::fs::read(path).await.map_err(|e| format!("{}: {e}", path.display()))?,
        KeysAt::Url(url) => fetch(client, url).await?,
    };
    Ok(Provider::new(&options.issuer, &bytes)?)
}

async fn fetch(client: &reqwest::Client, url: &reqwest::Url) -> Result<Vec<u8>, Error> {
    let mut answer = client.get(url.clone()).send().await?.error_for_status()?;
    let mut bytes = Vec::new();
    while let Some(part) = answer.chunk().await? {
        bytes.extend_from_slice(&part);
        if bytes.len() > MAX {
            // Without the address: a password may stand in it.
            return Err(format!("it is larger than {MAX} bytes").into());
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hotswap_auth::{LocalKey, Role, TokenRequest};
    use hotswap_core::{Clock as _, SystemClock, SystemIds};

    use super::*;

    #[test]
    fn keys_come_from_a_file_or_a_place_that_others_can_not_stand_in_for() {
        assert!(matches!(KeysAt::parse("keys.json"), Ok(KeysAt::File(_))));
        assert!(matches!(KeysAt::parse("https://id.example/keys"), Ok(KeysAt::Url(_))));
        assert!(matches!(KeysAt::parse("http://127.0.0.1:1/keys"), Ok(KeysAt::Url(_))));
        for wrong in ["http://id.example/keys", "ftp://a/b", "https://"] {
            assert!(KeysAt::parse(wrong).is_err(), "{wrong}");
        }
    }

    /// Somebody who makes tokens, and his key set.
    fn provider(dir: &std::path::Path) -> (LocalKey, String) {
        let key = LocalKey::load_or_create(dir).expect("a key");
        let set = key.key_set();
        (key, set)
    }

    fn token(of: &LocalKey) -> String {
        let (roles, ttl) = (vec![Role::Viewer], Duration::from_secs(3_600));
        let request = TokenRequest { subject: "them".into(), roles, tenant: None, ttl };
        of.mint(&request, SystemClock.now(), &SystemIds).expect("a token")
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_the_provider_took_away_is_good_no_more_within_a_round() {
        let dirs = [(); 3].map(|()| tempfile::tempdir().expect("a folder"));
        let [(ours, _), (first, set), (second, next)] = [0, 1, 2].map(|n| provider(dirs[n].path()));
        let file = dirs[0].path().join("keys.json");
        std::fs::write(&file, set).expect("written");
        let options = ProviderOptions { issuer: "hotswap".into(), keys: KeysAt::File(file.clone()) };
        let (verifier, supervisor) = (Verifier::new(Arc::new(ours)), Supervisor::new());
        follow(options, verifier.clone(), &supervisor).await.expect("follows");
        let good = |key: &LocalKey| verifier.verify(&token(key), SystemClock.now()).is_ok();
        assert!(good(&first) && !good(&second));

        std::fs::write(&file, "{}").expect("written");
        tokio::time::sleep(ROUND * 2).await;
        assert!(good(&first), "what is no key set changes nothing");

        std::fs::write(&file, next).expect("written");
        tokio::time::sleep(ROUND * 2).await;
        assert!(good(&second) && !good(&first));
    }
}
