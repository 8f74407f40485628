//! What would become of a request, told without doing it.

use std::net::IpAddr;

use hotswap_core::ResourceName as _;
use hotswap_matcher::{RateKey, RequestHead, Target};

use super::admitted::Admitted;
use super::gcra::Pace;
use super::{RouteTraffic, compress, cors, fault, jwt, limits};
use crate::backend_state::clock;
use crate::reason::Reason;

/// What one feature would do with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// The feature, as the contract names it: "rate_limit".
    pub feature: &'static str,
    /// Why it would refuse the request.
    pub refused: Option<Reason>,
    /// What it found, in words.
    pub message: String,
}

impl RouteTraffic {
    /// What each feature would do, in their order; nothing is taken. `client`: whose request it is, where that was told.
    pub fn outlook(&self, head: &impl RequestHead, client: Option<IpAddr>) -> Vec<Outlook> {
        let spec = &*self.spec;
        let mut all = Vec::new();
        let mut note = |feature, refused, message| all.push(Outlook { feature, refused, message });
        if let Some(access) = &spec.access {
            match client {
                None => note("access", None, "the client's address decides, which was not told".to_owned()),
                Some(client) if limits::may_send(access, client) => {
                    note("access", None, format!("{client} may send requests"));
                }
                Some(client) => {
                    note("access", Some(Reason::AddressDenied), format!("{client} may not send requests"));
                }
            }
        }
        if let Some(cors) = &spec.cors {
            match cors::pass(cors, head, &mut Admitted::default()) {
                Ok(()) => {
                    note("cors", None, "a page may read the answer if its origin is allowed".to_owned())
                }
                Err(None) => note("cors", None, "the gateway answers by itself: allowed".to_owned()),
                Err(Some(reason)) => note("cors", Some(reason), "the gateway answers by itself".to_owned()),
            }
        }
        if let Some(limits) = &spec.limits {
            let refused = limits::pass(limits, head, &mut Admitted::default()).err().flatten();
            let words =
                if refused.is_some() { "the request is too large" } else { "the request is small enough" };
            note("limits", refused, words.to_owned());
        }
        if let Some(jwt) = &spec.jwt {
            let refused = jwt::pass(jwt, self.tokens(), head, &mut Admitted::default()).err().flatten();
            let words = match refused {
                None => "the token is good, or none is needed",
                Some(Reason::TokenMissing) => "no token was told",
                Some(Reason::KeysUnavailable) => "no keys have been fetched yet",
                Some(_) => "the token is not good",
            };
            all.push(Outlook { feature: "jwt", refused, message: words.to_owned() });
        }
        all.extend(self.rate_outlook(head, client));
        if let Some(limit) = &spec.concurrency {
            let (now, most) = (self.state.in_flight(), limit.max_requests);
            let refused = (now >= most).then_some(Reason::ConcurrencyLimit);
            all.push(Outlook {
                feature: "concurrency",
                refused,
                message: format!("{now} of {most} under way"),
            });
        }
        all.extend(self.fault_outlook(head));
        all.extend(self.answer_outlook(head));
        all
    }

    /// What becomes of its answer, and where a copy of it goes.
    fn answer_outlook(&self, head: &impl RequestHead) -> Vec<Outlook> {
        let mut all = Vec::new();
        let spec = &*self.spec;
        if let Some(rules) = &spec.compression {
            let message = match compress::chosen(rules, head) {
                Some(coding) => {
                    format!("{}, where the answer is of such a type and large enough", coding.name())
                }
                None => "the request takes none of them".to_owned(),
            };
            all.push(Outlook { feature: "compression", refused: None, message });
        }
        if let Some(to) = &spec.mirror {
            let whom = match &to.target {
                Target::Pool(pool) => pool.as_str(),
                Target::Inline(_) => "backends of its own",
            };
            let message = format!("{} are copied to {whom}", percent(to.share_bps));
            all.push(Outlook { feature: "mirror", refused: None, message });
        }
        all
    }

    fn rate_outlook(&self, head: &impl RequestHead, client: Option<IpAddr>) -> Option<Outlook> {
        let limit = self.spec.rate_limit.as_ref()?;
        let outlook = |refused, message| Some(Outlook { feature: "rate_limit", refused, message });
        if limit.key == RateKey::ClientAddress && client.is_none() {
            return outlook(None, "the client's address decides, which was not told".to_owned());
        }
        let client = client.unwrap_or(IpAddr::from([0, 0, 0, 0]));
        let told = self.accompany(head);
        let key = self.state.buckets.key(limit, head, told.as_deref(), || client);
        let found = self.state.buckets.look(key, Pace::of(limit), clock::now_ns());
        if found.passes && limit.is_shared {
            return outlook(None, "the Redis of the fleet is asked".to_owned());
        }
        if found.passes {
            return outlook(None, format!("{} more of {} may come at once", found.left + 1, limit.burst));
        }
        let ms = found.wait.div_ceil(1_000_000);
        outlook(Some(Reason::RateLimited), format!("the next may come in {ms} ms"))
    }

    fn fault_outlook(&self, head: &impl RequestHead) -> Option<Outlook> {
        let fault = self.spec.fault.as_ref()?;
        let outlook = |message| Some(Outlook { feature: "fault", refused: None, message });
        if !fault::is_meant(fault, head) {
            return outlook("requests without the header go on".to_owned());
        }
        let abort = fault.abort.map(|(status, bps)| format!("{} get {}", percent(bps), status.as_u16()));
        let delay = fault.delay.map(|(time, bps)| format!("{} wait {} ms", percent(bps), time.as_millis()));
        outlook([abort, delay].into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}

fn percent(bps: u32) -> String {
    format!("{} %", f64::from(bps) / 100.0)
}
