//! Who may send requests, and how large they may be.

use std::net::IpAddr;

use hotswap_matcher::{Access, RequestHead, RequestLimits};
use http::header::CONTENT_LENGTH;

use super::admitted::Admitted;
use crate::reason::Reason;

/// Whether a client with this address may send requests.
pub(super) fn may_send(access: &Access, client: IpAddr) -> bool {
    !access.deny.have(client) && (access.allow.is_empty() || access.allow.have(client))
}

/// The error: why the request is too large.
pub(super) fn pass(
    limits: &RequestLimits,
    head: &impl RequestHead,
    admitted: &mut Admitted,
) -> Result<(), Option<Reason>> {
    if limits.max_head_bytes.is_some() || limits.max_headers.is_some() {
        let size = head.size();
        let beyond = |limit: Option<usize>, n: usize| limit.is_some_and(|most| n > most);
        if beyond(limits.max_head_bytes, size.bytes) || beyond(limits.max_headers, size.headers) {
            return Err(Some(Reason::HeadTooLarge));
        }
    }
    if let Some(most) = limits.max_body_bytes {
        let mut announced = None;
        head.header(&CONTENT_LENGTH, &mut |value| {
            announced = std::str::from_utf8(value).ok().and_then(|v| v.trim().parse::<u64>().ok());
        });
        if announced.is_some_and(|length| length > most) {
            return Err(Some(Reason::BodyTooLarge));
        }
        // A body whose length is not told is counted as it comes.
        admitted.limit_body(most);
    }
    Ok(())
}
