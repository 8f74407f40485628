//! Revisions of the configuration: the newest, and whether one was made yet.

use std::time::Duration;

use hotswap_api::route::v1::{Certificate, ExplainRequestRequest, Pool, Route};

use crate::client::Api;
use crate::exit::{Exit, Failure};
use crate::resource::{Query, Resource};

/// Looks, and the time between two: a deletion that another replica made shows a moment later.
const LOOKS: u32 = 5;
const BETWEEN: Duration = Duration::from_millis(200);

/// The newest revision that wrote a route, a pool or a certificate; 0: none did. A deletion leaves no trace in the lists.
pub(super) async fn newest_written(api: &Api) -> Result<i64, Failure> {
    async fn of<R: Resource>(api: &Api) -> Result<i64, Failure> {
        let order_by = "revision desc".to_owned();
        let (page, _) = R::list(api, Query { order_by, page_size: 1, ..Query::default() }).await?;
        Ok(page.first().map_or(0, Resource::revision))
    }
    let of_traffic = of::<Route>(api).await?.max(of::<Pool>(api).await?);
    Ok(of_traffic.max(of::<Certificate>(api).await?))
}

/// The newest revision that anybody can know of.
async fn newest(api: &Api) -> Result<i64, Failure> {
    // Explanations tell which revision they are of, that of a deletion too.
    let anything = ExplainRequestRequest { path: "/".to_owned(), ..ExplainRequestRequest::default() };
    let distributed = api.routes.clone().explain_request(anything).await?.into_inner().revision;
    Ok(newest_written(api).await?.max(distributed))
}

/// Refuses a revision that was not made yet: whoever names one has mistyped it, or means another control plane.
pub(super) async fn check(api: &Api, revision: i64) -> Result<(), Failure> {
    let mut newest_seen = 0;
    for look in 0..LOOKS {
        if look > 0 {
            tokio::time::sleep(BETWEEN).await;
        }
        newest_seen = newest(api).await?;
        if revision <= newest_seen {
            return Ok(());
        }
    }
    let why = format!("there is no revision {revision} yet: the newest is {newest_seen}");
    Err(Failure::new(Exit::NotFound, why).hint("`hotswap history` shows the revisions of a resource"))
}
