use std::cell::RefCell;

use hotswap_core::{ResourceName as _, RouteName};
use hotswap_matcher::{
    AccessDraft, ConcurrencyDraft, FaultAbortDraft, FaultDelayDraft, FaultDraft, ForwardDraft,
    RateLimitDraft, RouteDraft, RouteSpec, TrafficDraft,
};

use super::*;
use crate::balance::client::TrustedProxies;
use crate::balance::wish::Sender;
use crate::balance::wish::tests::Head;
use crate::config::{Catalog, Compiled};
use crate::dice::Dice;

fn route(traffic: TrafficDraft) -> RouteDraft {
    RouteDraft {
        forward: Some(ForwardDraft { pool: Some("pools/p".into()), ..ForwardDraft::default() }),
        traffic: Some(Box::new(traffic)),
        ..RouteDraft::default()
    }
}

fn put(catalog: &mut Catalog, traffic: TrafficDraft) -> Compiled {
    let spec = RouteSpec::parse(&route(traffic)).expect("valid");
    catalog.put_route(&name(), Arc::new(spec));
    catalog.compile(1)
}

fn name() -> RouteName {
    RouteName::from_id("r").expect("a name")
}

fn traffic(config: &Compiled) -> &RouteTraffic {
    config.routes().next().and_then(|route| route.traffic()).expect("it has some")
}

fn ask(traffic: &RouteTraffic) -> Result<Option<Box<Admitted>>, Stopped> {
    ask_with(traffic, &RefCell::new(Dice::new()))
}

fn ask_with(traffic: &RouteTraffic, dice: &RefCell<Dice>) -> Result<Option<Box<Admitted>>, Stopped> {
    let trusted = TrustedProxies::default();
    let sender = Sender { peer: [192, 0, 2, 1].into(), trusted: &trusted };
    let mark = &Mark::new(&mut Dice::new());
    let caller = Caller { port: None, sender, now: 1, stages: None, dice, mark, forced: None, secure: false };
    traffic.admit(&Head(vec![]), &caller)
}

fn reason(asked: Result<Option<Box<Admitted>>, Stopped>) -> Option<Reason> {
    match asked {
        Err(Stopped::Refused(reason, _)) => Some(reason),
        Err(Stopped::Answered(_)) | Ok(_) => None,
    }
}

#[test]
fn what_is_refused_takes_nothing_from_what_follows() {
    let mut catalog = Catalog::default();
    let all = TrafficDraft {
        access: Some(AccessDraft { allow: vec!["198.51.100.0/24".into()], deny: vec![] }),
        rate_limit: Some(RateLimitDraft { requests: 1, period_ms: 86_400_000, ..RateLimitDraft::default() }),
        concurrency: Some(ConcurrencyDraft { max_requests: 1, retry_after_s: 0 }),
        ..TrafficDraft::default()
    };
    let config = put(&mut catalog, all.clone());
    assert_eq!(reason(ask(traffic(&config))), Some(Reason::AddressDenied));
    let config = put(&mut catalog, TrafficDraft { access: None, ..all });
    let first = ask(traffic(&config)).expect("passes").expect("holds a place");
    assert_eq!(reason(ask(traffic(&config))), Some(Reason::RateLimited));
    assert_eq!(traffic(&config).state().in_flight(), 1);
    drop(first);
    assert_eq!(traffic(&config).state().in_flight(), 0);
    let counted: Vec<_> = traffic(&config).state().refusals().into_iter().filter(|(_, n)| *n > 0).collect();
    assert_eq!(counted, [(Reason::AddressDenied, 1), (Reason::RateLimited, 1)]);
}

#[test]
fn the_state_of_a_route_lives_as_long_as_the_route() {
    let mut catalog = Catalog::default();
    let limited = TrafficDraft {
        rate_limit: Some(RateLimitDraft { requests: 1, period_ms: 86_400_000, ..RateLimitDraft::default() }),
        ..TrafficDraft::default()
    };
    let config = put(&mut catalog, limited.clone());
    assert_eq!(reason(ask(traffic(&config))), None);
    // Without any for a while, and with them again.
    catalog.put_route(
        &name(),
        Arc::new(
            RouteSpec::parse(&RouteDraft { traffic: None, ..route(TrafficDraft::default()) }).expect("valid"),
        ),
    );
    assert!(catalog.compile(2).routes().all(|route| route.traffic().is_none()));
    let config = put(&mut catalog, limited.clone());
    assert_eq!(reason(ask(traffic(&config))), Some(Reason::RateLimited));
    catalog.remove_route(&name());
    let config = put(&mut catalog, limited);
    assert_eq!(reason(ask(traffic(&config))), None, "another route");
}

#[test]
fn what_is_told_beforehand_is_what_happens_and_takes_nothing() {
    let mut catalog = Catalog::default();
    let all = TrafficDraft {
        access: Some(AccessDraft { allow: vec![], deny: vec!["192.0.2.66".into()] }),
        rate_limit: Some(RateLimitDraft {
            requests: 1,
            period_ms: 86_400_000,
            client_address: Some(true),
            ..RateLimitDraft::default()
        }),
        fault: Some(FaultDraft {
            abort: Some(FaultAbortDraft { status: 503, share_bps: 50 }),
            header: "x-fault".into(),
            ..FaultDraft::default()
        }),
        ..TrafficDraft::default()
    };
    let config = put(&mut catalog, all);
    let told = |client: Option<[u8; 4]>| {
        let client = client.map(std::net::IpAddr::from);
        let all = traffic(&config).outlook(&Head(vec![]), client);
        all.into_iter().map(|o| (o.feature, o.refused)).collect::<Vec<_>>()
    };
    let pass = [("access", None), ("rate_limit", None), ("fault", None)];
    for _ in 0..2 {
        assert_eq!(told(Some([192, 0, 2, 1])), pass);
        assert_eq!(told(None), pass);
    }
    assert_eq!(told(Some([192, 0, 2, 66])).first(), Some(&("access", Some(Reason::AddressDenied))));
    assert_eq!(reason(ask(traffic(&config))), None);
    assert_eq!(told(Some([192, 0, 2, 1])).get(1), Some(&("rate_limit", Some(Reason::RateLimited))));
    assert_eq!(told(Some([192, 0, 2, 2])), pass);
}

#[test]
fn faults_meet_the_shares_of_requests_that_they_say_each_by_itself() {
    const ALL: u32 = 100_000;
    let (delay_bps, abort_bps) = (3_000, 100);
    let delay = Some(FaultDelayDraft { delay_ms: 5, share_bps: delay_bps });
    let abort = Some(FaultAbortDraft { status: 503, share_bps: abort_bps });
    let fault = Some(FaultDraft { delay, abort, ..FaultDraft::default() });
    let config = put(&mut Catalog::default(), TrafficDraft { fault, ..TrafficDraft::default() });
    // Of this seed; each is about its share by any.
    let dice = RefCell::new(Dice::seeded(7));
    let (mut wait, mut fail) = (0, 0);
    for _ in 0..ALL {
        match ask_with(traffic(&config), &dice) {
            Ok(passed) => wait += u32::from(passed.is_some_and(|admitted| admitted.delay().is_some())),
            Err(Stopped::Refused(Reason::FaultInjected, _)) => fail += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    let about = |hits: u32, bps: u32| hits.abs_diff(ALL / 10_000 * bps) < ALL / 200;
    assert!(fail > 0 && about(fail, abort_bps), "{fail}");
    assert!(about(wait, delay_bps), "{wait}: those that fail do not count");
}
