//! What is rolled out.

use hotswap_api::route::v1::{Certificate, Pool, Route};

use super::super::past;
use super::super::target::Target;
use crate::client::Api;
use crate::exit::{Exit, Failure};
use crate::resource::{Resource, ResourceKind, RevisionOf as _};

/// The full name of a route or pool, as "routes/shop" of "route/shop".
pub(super) fn full_name(given: &str) -> Result<String, Failure> {
    parse(given).map(|(_, name)| name)
}

fn parse(given: &str) -> Result<(ResourceKind, String), Failure> {
    match Target::parse_named(&[given.to_owned()])?.pop() {
        Some((ResourceKind::Certificate, name)) => {
            Err(Failure::usage(format!("{name}: a certificate is live at once; there are no rollouts of it")))
        }
        Some(found) => Ok(found),
        None => Err(Failure::usage(format!("\"{given}\": give it as routes/NAME or pools/NAME"))),
    }
}

/// The newest revision of a subject, which must be a draft.
pub(super) async fn newest_draft(api: &Api, subject: &str) -> Result<i64, Failure> {
    match parse(subject)? {
        (ResourceKind::Route, name) => newest::<Route>(api, &name).await,
        (ResourceKind::Pool, name) => newest::<Pool>(api, &name).await,
        (ResourceKind::Certificate, name) => newest::<Certificate>(api, &name).await,
    }
}

async fn newest<R: Resource>(api: &Api, name: &str) -> Result<i64, Failure> {
    let found = past::read::<R>(api, name, 0, 1).await?;
    let Some(newest) = found.first() else {
        return Err(Failure::new(Exit::NotFound, format!("{name} does not exist")));
    };
    if newest.is_draft() {
        return Ok(newest.this.revision());
    }
    let why = format!("{name} has no draft: its newest revision, {}, is live or was", newest.this.revision());
    let hint = "`hotswap apply -f FILE --draft` makes one; --candidate takes an earlier revision";
    Err(Failure::new(Exit::Conflict, why).hint(hint))
}
