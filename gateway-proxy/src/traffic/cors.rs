//! CORS, as the Fetch standard has it. The gateway answers what browsers ask first; of other requests it only says
//! whose pages may read the answer.

use hotswap_matcher::{Cors, Named, Origins, RequestHead};
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderName, HeaderValue};

use super::admitted::Admitted;
use crate::reason::Reason;

const TRUE: HeaderValue = HeaderValue::from_static("true");
const ANY: HeaderValue = HeaderValue::from_static("*");
const BY_ORIGIN: HeaderValue = HeaderValue::from_static("Origin");
const BY_QUESTION: HeaderValue =
    HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers");

/// The error: the question is answered, or refused.
pub(super) fn pass(
    cors: &Cors,
    head: &impl RequestHead,
    admitted: &mut Admitted,
) -> Result<(), Option<Reason>> {
    admitted.speaks_of_origins();
    let origin = first(head, &ORIGIN);
    let allowed = origin.as_ref().is_some_and(|origin| cors.origins.have(origin.as_bytes()));
    if let (Some(origin), Some(method)) = (&origin, question(head)) {
        admitted.tell(VARY, BY_QUESTION);
        let headers = first(head, &ACCESS_CONTROL_REQUEST_HEADERS);
        if !allowed || !may_use(cors, &method, headers.as_ref()) {
            return Err(Some(Reason::CorsDenied));
        }
        tell_origin(cors, origin, admitted);
        admitted.tell(ACCESS_CONTROL_ALLOW_METHODS, method);
        if let Some(headers) = headers {
            admitted.tell(ACCESS_CONTROL_ALLOW_HEADERS, headers);
        }
        if let Some(age) = &cors.max_age {
            admitted.tell(ACCESS_CONTROL_MAX_AGE, age.clone());
        }
        return Err(None);
    }
    if cors.origins != Origins::Any {
        // Said to all: what is kept of an answer to one must not be given to another.
        admitted.tell(VARY, BY_ORIGIN);
    }
    if let Some(origin) = origin.filter(|_| allowed) {
        tell_origin(cors, &origin, admitted);
        if let Some(names) = &cors.expose_headers {
            admitted.tell(ACCESS_CONTROL_EXPOSE_HEADERS, names.clone());
        }
    }
    Ok(())
}

/// The method that a browser asks for, where that is all that it asks.
fn question(head: &impl RequestHead) -> Option<HeaderValue> {
    if head.method() != "OPTIONS" {
        return None;
    }
    first(head, &ACCESS_CONTROL_REQUEST_METHOD)
}

fn may_use(cors: &Cors, method: &HeaderValue, headers: Option<&HeaderValue>) -> bool {
    let method = method.as_bytes();
    let known = [&b"GET"[..], b"HEAD", b"POST"].contains(&method);
    // Case counts in methods.
    let method = known
        || match &cors.methods {
            Named::Any => true,
            Named::These(methods) => methods.iter().any(|m| m.as_bytes() == method),
        };
    let names = headers.map(|h| h.as_bytes()).unwrap_or_default().split(|b| *b == b',');
    method
        && names.map(|n| n.trim_ascii()).filter(|n| !n.is_empty()).all(|name| {
            // What is no name must not come back in an answer.
            std::str::from_utf8(name)
                .is_ok_and(|name| HeaderName::from_bytes(name.as_bytes()).is_ok() && cors.headers.has(name))
        })
}

fn tell_origin(cors: &Cors, origin: &HeaderValue, admitted: &mut Admitted) {
    let any = cors.origins == Origins::Any;
    admitted.tell(ACCESS_CONTROL_ALLOW_ORIGIN, if any { ANY } else { origin.clone() });
    if cors.credentials {
        admitted.tell(ACCESS_CONTROL_ALLOW_CREDENTIALS, TRUE);
    }
}

/// The only value of a header.
fn first(head: &impl RequestHead, name: &HeaderName) -> Option<HeaderValue> {
    let (mut found, mut more) = (None, false);
    head.header(name, &mut |value| {
        more = found.is_some();
        found = HeaderValue::from_bytes(value).ok();
    });
    found.filter(|_| !more)
}
