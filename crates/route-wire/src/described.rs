//! A request as somebody describes it who wants to know what would become of it, and the explanation.

use std::net::IpAddr;

use hotswap_api::route::v1 as wire;
use hotswap_core::Violations;
use hotswap_matcher::{Explanation, RequestHead, Routed, Split, WeightedPool, parse_host};
use http::HeaderName;

/// Near misses that an explanation has at most.
pub const NEAR_MISSES: usize = 20;

const MAX_HEADERS: usize = 100;

/// A request as it was described.
#[derive(Debug)]
pub struct Described {
    method: String,
    host: String,
    path: String,
    query: Option<String>,
    headers: Vec<(HeaderName, String)>,
    client: Option<IpAddr>,
}

impl Described {
    /// Parses a description; all that is wrong with it is told at once.
    ///
    /// # Errors
    /// Where it describes no request.
    pub fn parse(m: wire::ExplainRequestRequest) -> Result<Self, Violations> {
        let mut v = Violations::new();
        if !m.path.starts_with('/') || m.path.contains('#') {
            v.add("path", "must begin with \"/\", and have no \"#\"");
        }
        let method = if m.method.is_empty() { "GET".to_owned() } else { m.method };
        if http::Method::from_bytes(method.as_bytes()).is_err() {
            v.add("method", "is not a method");
        }
        if m.headers.len() > MAX_HEADERS {
            v.add("headers", format!("must have at most {MAX_HEADERS} entries"));
        }
        let mut headers = Vec::with_capacity(m.headers.len());
        for (i, header) in m.headers.into_iter().enumerate() {
            match HeaderName::from_bytes(header.name.as_bytes()) {
                Ok(name) => headers.push((name, header.value)),
                Err(_) => v.add(format!("headers[{i}].name"), "is not a valid header name"),
            }
        }
        let host =
            v.take("host", parse_host(&m.host).ok_or("is not a host, as \"shop.example\" or \"[::1]:8080\""));
        let client = match m.client_address.as_str() {
            "" => None,
            text => v.take(
                "client_address",
                text.parse().map_err(|_| "is not an address, as \"192.0.2.7\" or \"2001:db8::7\""),
            ),
        };
        v.into_result()?;
        let (path, query) = match m.path.split_once('?') {
            Some((path, query)) => (path.to_owned(), Some(query.to_owned())),
            None => (m.path, None),
        };
        let host = host.map(|host| host.name.into_owned()).unwrap_or_default();
        Ok(Self { method, host, path, query, headers, client })
    }

    /// The address of the client; `None`: it was not told.
    pub fn client(&self) -> Option<IpAddr> {
        self.client
    }
}

impl RequestHead for Described {
    fn method(&self) -> &str {
        &self.method
    }
    fn host(&self) -> &str {
        &self.host
    }
    fn path(&self) -> &str {
        &self.path
    }
    fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }
    fn header(&self, name: &HeaderName, visit: &mut dyn FnMut(&[u8])) {
        self.headers.iter().filter(|(n, _)| n == name).for_each(|(_, value)| visit(value.as_bytes()));
    }
}

/// What the matcher found, as it is told: the route, the rule that decided, and the near misses. The rest is left to
/// whoever knows the backends.
pub fn explanation_to_wire<T: Routed>(
    found: Explanation<'_, T>,
    revision: i64,
) -> wire::ExplainRequestResponse {
    let misses = found.near_misses.into_iter().map(|miss| wire::NearMiss {
        route: miss.route.name().to_string(),
        failed: miss.failed,
        field: miss.field,
    });
    wire::ExplainRequestResponse {
        near_misses: misses.collect(),
        decided_by: found.taken.as_ref().map(|t| t.decided_by.clone()).unwrap_or_default(),
        route: found.taken.map(|t| t.route.name().to_string()).unwrap_or_default(),
        revision,
        ..Default::default()
    }
}

/// The pools of a split with their shares, as they are told; why one takes no requests is left out.
pub fn split_to_wire(split: &Split) -> Vec<wire::SplitOutlook> {
    let outlook = |p: &WeightedPool| wire::SplitOutlook {
        pool: p.pool.to_string(),
        weight: p.weight,
        share_percent: split.percent(p.weight),
        gateway_reason: String::new(),
    };
    split.pools().iter().map(outlook).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(host: &str) -> Option<String> {
        let request =
            wire::ExplainRequestRequest { host: host.into(), path: "/".into(), ..Default::default() };
        Described::parse(request).map(|d| d.host).ok()
    }

    #[test]
    fn a_host_is_read_as_the_gateway_reads_it() {
        for (host, name) in [
            ("", ""),
            ("Shop.Example.", "shop.example"),
            ("shop.example:8080", "shop.example"),
            ("192.0.2.7:80", "192.0.2.7"),
            ("[::1]:8080", "[::1]"),
            ("[2001:DB8::7]", "[2001:db8::7]"),
        ] {
            assert_eq!(described(host).as_deref(), Some(name), "{host}");
        }
        for bad in ["::1", "[::1", "a b", "shop.example:http", "user@shop.example"] {
            assert_eq!(described(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_client_is_an_address_or_is_not_told() {
        let client = |text: &str| {
            let request = wire::ExplainRequestRequest {
                path: "/".into(),
                client_address: text.into(),
                ..Default::default()
            };
            Described::parse(request).map(|d| d.client())
        };
        assert_eq!(client("").expect("none"), None);
        assert_eq!(client("192.0.2.7").expect("one"), Some(IpAddr::from([192, 0, 2, 7])));
        assert!(client("192.0.2.7:80").is_err());
    }
}
