//! The connection to the control plane: where, and with which token.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use hotswap_api::gateway::v1::fleet_service_client::FleetServiceClient;
use hotswap_api::route::v1::route_service_client::RouteServiceClient;
use hotswap_rpc::BearerToken;
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

use crate::exit::{Exit, Failure};

/// The longest answer that is read, in bytes. A page holds up to 1,000 resources.
const MAX_ANSWER: usize = 256 << 20;

/// How to reach the control plane.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ClientArgs {
    /// Where the control plane is: http://HOST:PORT or https://HOST:PORT
    #[arg(long, env = "HOTSWAP_SERVER", default_value = "http://127.0.0.1:7400", value_name = "URL")]
    pub(crate) server: String,
    /// The token to call with
    #[arg(long, env = "HOTSWAP_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// A file that holds the token. Default: admin.token in the data folder, if it is there
    #[arg(long, env = "HOTSWAP_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The data folder of a suite on this machine
    #[arg(long, env = "HOTSWAP_DATA_DIR", default_value = "hotswap-data", value_name = "DIR")]
    data_dir: PathBuf,
    /// Limit for one call, in seconds
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
}

impl ClientArgs {
    /// Connects.
    pub(crate) async fn connect(&self) -> Result<Api, Failure> {
        let token = self.token()?;
        Api::connect(&self.server, token.as_deref(), Duration::from_secs(self.timeout)).await
    }

    /// `--token`, else the file asked for, else the admin token of the data folder, else none.
    fn token(&self) -> Result<Option<String>, Failure> {
        if let Some(token) = &self.token {
            return Ok(Some(token.clone()));
        }
        if let Some(file) = &self.token_file {
            return read_token(file).map(Some);
        }
        let file = self.data_dir.join(ADMIN_TOKEN);
        if file.exists() { read_token(&file).map(Some) } else { Ok(None) }
    }
}

/// The file in the data folder that holds the administrator's token.
pub(crate) const ADMIN_TOKEN: &str = "admin.token";

fn read_token(file: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|e| Failure::usage(format!("can't read the token file {}: {e}", file.display())))?;
    Ok(text)
}

/// Puts the token, where there is one, on every call.
#[derive(Clone)]
pub(crate) struct Bearer(Option<BearerToken>);

impl Interceptor for Bearer {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        match &mut self.0 {
            Some(token) => token.call(request),
            None => Ok(request),
        }
    }
}

type Transport = InterceptedService<Channel, Bearer>;

/// The services, over one connection. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) routes: RouteServiceClient<Transport>,
    pub(crate) fleet: FleetServiceClient<Transport>,
}

impl Api {
    /// Connects to `server`; each call may take so long.
    pub(crate) async fn connect(server: &str, token: Option<&str>, limit: Duration) -> Result<Self, Failure> {
        let endpoint = endpoint(server)?.timeout(limit);
        let channel = endpoint.connect().await.map_err(|e| {
            Failure::new(Exit::Unavailable, format!("can't reach {server}: {}", innermost(&e)))
                .hint("is the control plane running? `hotswap up` starts it; --server says where it is")
        })?;
        let bearer = Bearer(token.map(bearer).transpose()?);
        let routes = RouteServiceClient::with_interceptor(channel.clone(), bearer.clone());
        let fleet = FleetServiceClient::with_interceptor(channel, bearer);
        Ok(Self {
            routes: routes.max_decoding_message_size(MAX_ANSWER),
            fleet: fleet.max_decoding_message_size(MAX_ANSWER),
        })
    }
}

fn bearer(token: &str) -> Result<BearerToken, Failure> {
    BearerToken::new(token).ok_or_else(|| Failure::usage("the token holds characters that no token has"))
}

fn endpoint(server: &str) -> Result<Endpoint, Failure> {
    let bad = |why: String| Failure::usage(format!("--server {server}: {why}"));
    let endpoint = Endpoint::from_shared(server.to_owned()).map_err(|e| bad(innermost(&e)))?;
    let scheme = endpoint.uri().scheme_str().unwrap_or_default().to_owned();
    let endpoint = endpoint.connect_timeout(Duration::from_secs(5));
    match scheme.as_str() {
        "http" => Ok(endpoint),
        "https" => {
            let tls = ClientTlsConfig::new().with_native_roots();
            endpoint.tls_config(tls).map_err(|e| bad(innermost(&e)))
        }
        _ => Err(bad("must begin with http:// or https://".into())),
    }
}

/// What went wrong in the end: transport errors hide it under layers that say little.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_scheme_is_refused_with_the_reason() {
        let text = endpoint("127.0.0.1:7400").expect_err("refused").to_string();
        assert!(text.starts_with("--server 127.0.0.1:7400: "), "{text}");
        assert!(endpoint("ftp://a").expect_err("refused").to_string().contains("http://"));
        assert!(endpoint("http://127.0.0.1:7400").is_ok());
    }
}
