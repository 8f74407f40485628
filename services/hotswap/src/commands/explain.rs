//! `hotswap explain`: which route takes a request, why, and what the others missed by; of a proxy that is asked, also
//! how its backends stand and which it would choose.

use hotswap_api::route::v1::{
    BackendOutlook, ExplainRequestRequest, ExplainRequestResponse, Header, LoadBalancing, RolloutOutlook,
    SplitOutlook, TrafficOutlook,
};
use tonic::codegen::http::Uri;

use super::describe::fields;
use crate::cli::Explain;
use crate::columns;
use crate::exit::Failure;
use crate::output::{self, Format, View, io_result, print, render};
use crate::proto_json::Document;

/// The field of a route that is for other hosts, and how many such routes a table shows. Where there are thousands of
/// routes, hardly one of these is what somebody looks for.
const HOSTS: &str = "hosts";
const OTHER_HOSTS: usize = 3;

pub(super) async fn run(args: &Explain) -> Result<(), Failure> {
    let request = request(args)?;
    let target = args.client.target()?;
    let view = args.output.view(&target);
    let api = target.connect().await?;
    let told = api.routes.clone().explain_request(request.clone()).await?.into_inner();
    let document = || Document::of("Explanation", "hotswap.route.v1.ExplainRequestResponse", &told);
    let text = match view.format {
        Format::Table | Format::Wide => words(&request, &told, view),
        Format::Name if told.route.is_empty() => String::new(),
        Format::Name => format!("{}\n", told.route),
        Format::Json => output::json(&document()?)?,
        Format::Yaml => output::yaml(&document()?)?,
    };
    print(|out| io_result(out.write_all(text.as_bytes())))
}

/// The request that is described.
fn request(args: &Explain) -> Result<ExplainRequestRequest, Failure> {
    let (host, path) = place(&args.url)?;
    let headers = args.headers.iter().map(|text| header(text)).collect::<Result<_, _>>()?;
    let proxy = args.proxy.as_deref().map(|name| format!("proxies/{}", name.trim_start_matches("proxies/")));
    let proxy = proxy.unwrap_or_default();
    let client_address = args.client_address.clone().unwrap_or_default();
    Ok(ExplainRequestRequest { method: args.method.clone(), host, path, headers, proxy, client_address })
}

/// Host and path of a URL, with or without its scheme; a path alone has no host.
fn place(url: &str) -> Result<(String, String), Failure> {
    let bad = || Failure::usage(format!("{url:?} is no URL, as http://shop.example/cart?item=7 or /cart"));
    let whole =
        if url.starts_with('/') || url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    // What stands behind # never leaves the client.
    let whole = whole.split('#').next().unwrap_or_default();
    let uri: Uri = whole.parse().map_err(|_| bad())?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let path = if path.starts_with('?') { format!("/{path}") } else { path.to_owned() };
    Ok((uri.host().unwrap_or_default().to_owned(), path))
}

/// A header, as "name: value".
fn header(text: &str) -> Result<Header, Failure> {
    let bad = || Failure::usage(format!("-H {text:?} must be NAME: VALUE"));
    let (name, value) = text.split_once(':').ok_or_else(bad)?;
    if name.trim().is_empty() {
        return Err(bad());
    }
    Ok(Header { name: name.trim().to_ascii_lowercase(), value: value.trim().to_owned() })
}

/// What one traffic feature would do.
fn outlook(outlook: &TrafficOutlook) -> String {
    match outlook.gateway_reason.as_str() {
        "" => format!("{}: {}", outlook.feature, outlook.message),
        reason => format!("{}: {reason}, {}", outlook.feature, outlook.message),
    }
}

/// What a pool of a split gets, and why it fails that.
fn share(outlook: &SplitOutlook) -> String {
    let share = format!("{} to {}", columns::share(outlook.share_percent), outlook.pool);
    match outlook.gateway_reason.as_str() {
        "" => share,
        reason => format!("{share}: {reason}"),
    }
}

/// Which revision a rollout would have the request meet.
fn met(outlook: &RolloutOutlook) -> String {
    let arm = if outlook.arm.is_empty() { "by chance" } else { &outlook.arm };
    format!("{} of {}: {arm}; {}", outlook.rollout, outlook.resource, outlook.message)
}

/// The explanation for people.
fn words(request: &ExplainRequestRequest, told: &ExplainRequestResponse, view: View) -> String {
    let or = |text: &str, none: &str| vec![if text.is_empty() { none } else { text }.to_owned()];
    let mut lines = vec![
        ("Request", vec![format!("{} {}{}", request.method, request.host, request.path)]),
        ("Proxy", vec![request.proxy.clone()]),
        ("Route", or(&told.route, "none: the answer is 404")),
    ];
    if !told.route.is_empty() {
        let strategy = if request.proxy.is_empty() { String::new() } else { strategy(told) };
        let is_drawn = !told.split.is_empty() && told.gateway_reason.is_empty();
        let pool = if is_drawn { "by chance" } else { "none" };
        lines.push(("Split", told.split.iter().map(share).collect()));
        lines.extend([("Pool", or(&told.pool, pool)), ("Strategy", vec![strategy])]);
        lines.push(("TLS", told.backend_tls.iter().map(crate::words::backend_tls).collect()));
        lines.push(("Backend", or(&told.backend_address, &turns(request, told))));
    }
    lines.push(("Rollouts", told.rollouts.iter().map(met).collect()));
    lines.push(("Traffic", told.traffic.iter().map(outlook).collect()));
    lines.push(("Answers itself", vec![told.gateway_reason.clone()]));
    lines.push(("Decided by", or(&told.decided_by, "nothing matches")));
    lines.push(("Revision", vec![told.revision.to_string()]));
    lines.push(("Digest", vec![told.digest.iter().map(|b| format!("{b:02x}")).collect()]));
    lines.retain(|(_, values)| values.iter().any(|value| !value.is_empty()));
    let mut text = fields(&lines);
    if !told.backends.is_empty() {
        text.push('\n');
        text.push_str(&backends(told, view));
    }
    if !told.near_misses.is_empty() {
        let most = if view.format == Format::Wide { usize::MAX } else { OTHER_HOSTS };
        let (far, near): (Vec<_>, Vec<_>) = told.near_misses.iter().partition(|miss| miss.field == HOSTS);
        let left_out = far.len() > most;
        let rows = near.into_iter().chain(far.into_iter().take(most)).map(|miss| {
            let failed = or(&miss.failed, "it matches; precedence decided").concat();
            let field = or(&miss.field, "-").concat();
            vec![miss.route.clone().into(), failed.into(), field.into()]
        });
        text.push('\n');
        text.push_str(&render(&["OTHER ROUTE", "MISSED BY", "FIELD"], rows.collect(), view));
        if left_out {
            text.push_str("More are for other hosts; -o wide shows them.\n");
        }
    }
    text
}

/// Why no one backend is told.
fn turns(request: &ExplainRequestRequest, told: &ExplainRequestResponse) -> String {
    let by_address = told.load_balancing() == LoadBalancing::IpHash && request.client_address.is_empty();
    match (request.proxy.is_empty(), told.gateway_reason.is_empty()) {
        (true, _) if told.pool.is_empty() => String::new(),
        (true, _) => "each proxy takes turns".to_owned(),
        (false, false) => String::new(),
        (false, true) if told.backends.is_empty() => String::new(),
        (false, true) if by_address => "by the client's address; --client-address tells it".to_owned(),
        (false, true) => "each of its cores takes turns".to_owned(),
    }
}

/// The name of the strategy, as "round robin".
fn strategy(told: &ExplainRequestResponse) -> String {
    words_of(told.load_balancing().as_str_name(), "LOAD_BALANCING_").replace("unspecified", "")
}

fn words_of(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_ascii_lowercase().replace('_', " ")
}

/// How the backends stand. NEXT is how many cores would choose it.
fn backends(told: &ExplainRequestResponse, view: View) -> String {
    let row = |b: &BackendOutlook| {
        let why: Vec<_> = b.obstacles().map(|o| words_of(o.as_str_name(), "OBSTACLE_")).collect();
        let takes = if b.takes_requests { "takes requests".to_owned() } else { why.join(", ") };
        let next = format!("{} of {}", b.chosen_by_cores, told.cores);
        let cells = [b.address.clone(), takes, b.weight.to_string(), b.active.to_string(), next];
        cells.into_iter().map(Into::into).collect()
    };
    render(
        &["BACKEND", "STANDS", "WEIGHT", "ACTIVE", "NEXT OF CORES"],
        told.backends.iter().map(row).collect(),
        view,
    )
}

#[cfg(test)]
mod tests {
    use hotswap_api::route::v1::NearMiss;

    use super::*;

    #[test]
    fn a_url_is_taken_with_and_without_its_scheme() {
        let of = |url: &str| place(url).map_err(|e| e.to_string());
        let shop = |path: &str| Ok(("shop.example".to_owned(), path.to_owned()));
        assert_eq!(of("http://shop.example:8080/cart?item=7#top"), shop("/cart?item=7"));
        assert_eq!(of("shop.example/cart"), shop("/cart"));
        assert_eq!(of("shop.example"), shop("/"));
        assert_eq!(of("https://shop.example?a=1"), shop("/?a=1"));
        assert_eq!(of("/cart?item=7"), Ok((String::new(), "/cart?item=7".to_owned())));
        assert!(of("http://").is_err_and(|why| why.contains("is no URL")));
        assert!(of("a b").is_err());
    }

    #[test]
    fn of_routes_for_other_hosts_a_few_are_enough() {
        let miss = |route: String, field: &str| NearMiss { route, field: field.into(), failed: "no".into() };
        let hosts = (0..17).map(|i| miss(format!("routes/{i}"), HOSTS));
        let near_misses = [miss("routes/near".into(), "matches[0].path")].into_iter().chain(hosts).collect();
        let told = ExplainRequestResponse { near_misses, ..Default::default() };
        let table = words(&ExplainRequestRequest::default(), &told, View::PLAIN);
        assert!(table.contains("routes/near") && table.ends_with("-o wide shows them.\n"), "{table}");
        assert!(table.contains("routes/2 ") && !table.contains("routes/3 "), "{table}");
    }

    #[test]
    fn a_split_is_told_with_shares_and_reasons() {
        let outlook = |pool: &str, share_percent, reason: &str| SplitOutlook {
            pool: pool.into(),
            share_percent,
            gateway_reason: reason.into(),
            ..Default::default()
        };
        let split = vec![outlook("pools/a", 87.5, ""), outlook("pools/b", 12.5, "POOL_MISSING")];
        let told = ExplainRequestResponse { route: "routes/r".into(), split, ..Default::default() };
        let text = words(&ExplainRequestRequest::default(), &told, View::PLAIN);
        assert!(
            text.contains("87.5 % to pools/a\n") && text.contains("12.5 % to pools/b: POOL_MISSING"),
            "{text}"
        );
        assert!(text.contains("by chance"), "{text}");
    }

    #[test]
    fn a_header_is_a_name_and_a_value() {
        let told = header("X-Tier:  gold ").expect("a header");
        assert_eq!((told.name.as_str(), told.value.as_str()), ("x-tier", "gold"));
        assert!(header("x-tier").is_err() && header(": gold").is_err());
    }
}
