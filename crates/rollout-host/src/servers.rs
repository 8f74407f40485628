//! Prometheus servers that the operator allows, asked for one number at a time.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use hotswap_core::Timestamp;
use hotswap_metric_query::{PrometheusClient, PrometheusOptions, QueryError};

use crate::{Ask, NoNumber};

/// Clients that are kept, each with its connections.
const MOST: usize = 32;

/// Which servers may be asked, and how.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    /// Hosts that rollouts may name, as "prometheus.example.com" or "10.0.0.7:9090". None: nothing is asked.
    pub allow: Vec<String>,
    /// A file with a bearer token.
    pub token_file: Option<PathBuf>,
    /// A file of certificates (PEM) that are trusted besides those of the system.
    pub ca_file: Option<PathBuf>,
}

/// Asks them.
#[derive(Debug)]
pub struct PrometheusServers {
    options: ServerOptions,
    clients: Mutex<BTreeMap<String, PrometheusClient>>,
}

impl PrometheusServers {
    /// Nothing is asked yet.
    pub fn new(options: ServerOptions) -> Self {
        Self { options, clients: Mutex::default() }
    }

    fn options(&self, address: &str) -> PrometheusOptions {
        let ServerOptions { allow, token_file, ca_file } = self.options.clone();
        // Whoever measures waits no longer than this.
        let timeout = Duration::from_secs(4);
        PrometheusOptions { timeout, token_file, ca_file, ..PrometheusOptions::new(address, allow) }
    }

    fn client(&self, address: &str) -> Result<PrometheusClient, NoNumber> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(address) {
            return Ok(client.clone());
        }
        let client = PrometheusClient::new(&self.options(address)).map_err(no_number)?;
        if clients.len() >= MOST {
            clients.clear();
        }
        clients.insert(address.to_owned(), client.clone());
        Ok(client)
    }
}

impl Ask for PrometheusServers {
    fn admits(&self, address: &str) -> Result<(), String> {
        self.options(address).check_address().map_err(str::to_owned)
    }

    fn number<'a>(
        &'a self,
        address: &'a str,
        query: &'a str,
        at: Timestamp,
    ) -> BoxFuture<'a, Result<f64, NoNumber>> {
        Box::pin(async move {
            let sample = self.client(address)?.instant(query, at).await.map_err(no_number)?;
            // What the server warns of may be missing in the number.
            match sample.warnings.first() {
                Some(warning) => Err(NoNumber::Broken(format!("the server warns: {warning}"))),
                None => Ok(sample.value),
            }
        })
    }
}

fn no_number(error: QueryError) -> NoNumber {
    match error {
        QueryError::NoData { .. } | QueryError::Nan => NoNumber::NoData,
        other => NoNumber::Broken(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_that_nobody_allows_is_not_asked() {
        let servers = PrometheusServers::new(ServerOptions::default());
        let asked = servers.number("http://127.0.0.1:9", "vector(1)", Timestamp(0)).await;
        let Err(NoNumber::Broken(why)) = asked else { panic!("{asked:?}") };
        assert!(why.contains("allow"), "{why}");
        let why = servers.admits("http://127.0.0.1:9").expect_err("nor may it be named");
        assert!(why.contains("--prometheus-allow"), "{why}");
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_broken_and_not_without_data() {
        let options = ServerOptions { allow: vec!["127.0.0.1:9".into()], ..ServerOptions::default() };
        let servers = PrometheusServers::new(options);
        let asked = servers.number("http://127.0.0.1:9", "vector(1)", Timestamp(0));
        assert!(matches!(asked.await, Err(NoNumber::Broken(_))));
    }
}
