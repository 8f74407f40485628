//! The connection to the control plane.

use std::path::{Path, PathBuf};
use std::time::Duration;

use hotswap_api::audit::v1::audit_service_client::AuditServiceClient;
use hotswap_api::gateway::v1::fleet_service_client::FleetServiceClient;
use hotswap_api::rollout::v1::rollout_service_client::RolloutServiceClient;
use hotswap_api::route::v1::route_service_client::RouteServiceClient;
use hotswap_rpc::BearerToken;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

use crate::exit::{Exit, Failure};
use crate::secret::Secret;

/// The longest answer that is read, in bytes. A page holds up to 1,000 resources.
const MAX_ANSWER: usize = 256 << 20;
/// How long a connection may take to open.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// How to trust an https server, and be trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tls {
    /// Who may vouch for the server. `None`: whom this machine trusts.
    pub(crate) ca_file: Option<PathBuf>,
    /// A certificate and its key.
    pub(crate) client: Option<(PathBuf, PathBuf)>,
    /// The name that the server's certificate must bear. `None`: the URL's.
    pub(crate) name: Option<String>,
}

/// Puts the token, where there is one, on every call, and the trace that the caller's environment names.
#[derive(Clone)]
pub(crate) struct Bearer {
    token: Option<BearerToken>,
    traceparent: Option<MetadataValue<Ascii>>,
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(traceparent) = &self.traceparent {
            request.metadata_mut().insert("traceparent", traceparent.clone());
        }
        match &mut self.token {
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
    pub(crate) audit: AuditServiceClient<Transport>,
    pub(crate) rollouts: RolloutServiceClient<Transport>,
}

impl Api {
    /// Connects to `server`; each call may take so long.
    pub(crate) async fn connect(
        server: &str,
        token: Option<&Secret>,
        tls: &Tls,
        limit: Duration,
    ) -> Result<Self, Failure> {
        let endpoint = endpoint(server, tls)?.timeout(limit);
        let channel = endpoint.connect().await.map_err(|e| unreachable(server, &innermost(&e)))?;
        // As other tools that are steps of a traced job do; the server leaves what is none aside.
        let traceparent = std::env::var("TRACEPARENT").ok().and_then(|context| context.parse().ok());
        let bearer = Bearer { token: token.map(bearer).transpose()?, traceparent };
        let routes = RouteServiceClient::with_interceptor(channel.clone(), bearer.clone());
        let fleet = FleetServiceClient::with_interceptor(channel.clone(), bearer.clone());
        let audit = AuditServiceClient::with_interceptor(channel.clone(), bearer.clone());
        let rollouts = RolloutServiceClient::with_interceptor(channel, bearer);
        Ok(Self {
            routes: routes.max_decoding_message_size(MAX_ANSWER),
            fleet: fleet.max_decoding_message_size(MAX_ANSWER),
            audit: audit.max_decoding_message_size(MAX_ANSWER),
            rollouts: rollouts.max_decoding_message_size(MAX_ANSWER),
        })
    }
}

fn unreachable(server: &str, why: &str) -> Failure {
    let hint = hint_for(why)
        .unwrap_or("is the control plane running? `hotswap up` starts it; --server says where it is");
    Failure::new(Exit::Unavailable, format!("can't reach {server}: {why}")).hint(hint)
}

/// A call whose connection broke before there was an answer, as over TLS where the server asks for a certificate: with
/// TLS 1.3 it says so when the client takes the connection to be open, and the client may see no more than its end.
/// `None`: the server answered.
pub(crate) fn broken(status: &Status) -> Option<Failure> {
    let cause = std::error::Error::source(status)?.downcast_ref::<tonic::transport::Error>()?;
    let why = innermost(cause);
    // What the server said of its reasons may have been lost with the connection.
    let hint = hint_for(&why).unwrap_or(
        "does the server ask for a certificate? --client-cert and --client-key give one; if not, is it still running?",
    );
    Some(
        Failure::new(Exit::Unavailable, format!("the connection to the control plane broke: {why}"))
            .hint(hint),
    )
}

/// What may help against a reason that is known.
fn hint_for(why: &str) -> Option<&'static str> {
    Some(if why.contains("UnknownIssuer") {
        "nobody whom this machine trusts vouches for the server; --ca-file names who does"
    } else if why.contains("NotValidForName") {
        "the server's certificate is for another name; --tls-name says which one to expect"
    } else if why.contains("CertificateRequired") || why.contains("HandshakeFailure") {
        "the server asks for a certificate; --client-cert and --client-key give one"
    } else if why.contains("InvalidContentType") {
        "nothing speaks TLS there; the address of a control plane without it begins with http://"
    } else {
        return None;
    })
}

fn bearer(token: &Secret) -> Result<BearerToken, Failure> {
    BearerToken::new(token.expose())
        .ok_or_else(|| Failure::usage("the token holds characters that no token has"))
}

/// Whether a URL is one that can be called.
///
/// # Errors
/// Why not.
pub(crate) fn check(server: &str) -> Result<(), Failure> {
    endpoint(server, &Tls::default()).map(drop)
}

/// The host of a URL.
pub(crate) fn host(server: &str) -> Option<String> {
    Endpoint::from_shared(server.to_owned()).ok()?.uri().host().map(str::to_owned)
}

fn endpoint(server: &str, tls: &Tls) -> Result<Endpoint, Failure> {
    let bad = |why: String| Failure::usage(format!("--server {server}: {why}"));
    let endpoint = Endpoint::from_shared(server.to_owned()).map_err(|e| bad(innermost(&e)))?;
    let scheme = endpoint.uri().scheme_str().unwrap_or_default().to_owned();
    let endpoint = endpoint.connect_timeout(CONNECT_LIMIT);
    match scheme.as_str() {
        "http" => Ok(endpoint),
        "https" => endpoint.tls_config(config(tls)?).map_err(|e| bad(innermost(&e))),
        _ => Err(bad("must begin with http:// or https://".into())),
    }
}

fn config(tls: &Tls) -> Result<ClientTlsConfig, Failure> {
    let mut config = ClientTlsConfig::new();
    config = match &tls.ca_file {
        None => config.with_native_roots(),
        Some(file) => config.ca_certificate(Certificate::from_pem(pem(file, "CERTIFICATE")?)),
    };
    if let Some((cert, key)) = &tls.client {
        config = config.identity(Identity::from_pem(pem(cert, "CERTIFICATE")?, pem(key, "PRIVATE KEY")?));
    }
    if let Some(name) = &tls.name {
        config = config.domain_name(name);
    }
    Ok(config)
}

/// The text of a PEM file that holds what is looked for. A file without it would be taken as an empty one.
fn pem(file: &Path, what: &str) -> Result<String, Failure> {
    let shown = file.display();
    let text =
        std::fs::read_to_string(file).map_err(|e| Failure::usage(format!("can't read {shown}: {e}")))?;
    let holds =
        text.lines().any(|l| l.starts_with("-----BEGIN ") && l.trim_end().ends_with(&format!("{what}-----")));
    if holds { Ok(text) } else { Err(Failure::usage(format!("{shown} holds no {what} in PEM form"))) }
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
        let text = check("127.0.0.1:7400").expect_err("refused").to_string();
        assert!(text.starts_with("--server 127.0.0.1:7400: "), "{text}");
        assert!(check("ftp://a").expect_err("refused").to_string().contains("http://"));
        assert!(check("http://127.0.0.1:7400").is_ok());
    }

    #[test]
    fn a_file_without_a_certificate_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, "-----BEGIN PRIVATE KEY-----\n").expect("written");
        let tls = Tls { ca_file: Some(file), ..Tls::default() };
        let said = endpoint("https://a.example", &tls).expect_err("refused").to_string();
        assert!(said.ends_with("ca.pem holds no CERTIFICATE in PEM form"), "{said}");
    }
}
