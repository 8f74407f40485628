//! Parts of an admission, each alone.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hotswap_auth::{LocalKey, Role, TABLE, TokenRequest, Verifier, authorize, row};
use hotswap_core::{Clock as _, SystemClock, SystemIds};

use crate::{Failure, tell};

/// Tokens that are verified for the first time in a round.
const TOKENS: usize = 500;
const TIMES: u32 = 200_000;

pub(crate) fn run(rounds: usize) -> Result<(), Failure> {
    let dir = tempfile::tempdir()?;
    let key = Arc::new(LocalKey::load_or_create(dir.path())?);
    let now = SystemClock.now();
    let mint = |n: usize| {
        let request = TokenRequest {
            subject: format!("user-{n}"),
            roles: vec![Role::Operator],
            tenant: None,
            ttl: Duration::from_secs(3_600),
        };
        key.mint(&request, now, &SystemIds)
    };
    let tokens = (0..TOKENS).map(mint).collect::<Result<Vec<_>, _>>()?;
    let (mut first, mut again, mut looked, mut checked) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..rounds {
        let verifier = Verifier::new(Arc::clone(&key));
        let begun = Instant::now();
        for token in &tokens {
            verifier.verify(token, now)?;
        }
        first.push(begun.elapsed().as_secs_f64() * 1e6 / TOKENS as f64);
        again.push(nanoseconds(|| drop(black_box(verifier.verify(&tokens[0], now)))) / 1e3);
        let mut paths = TABLE.iter().map(|row| row.path).cycle();
        looked.push(nanoseconds(|| {
            let _ = black_box(row(paths.next().unwrap_or_default()));
        }));
        let principal = verifier.verify(&tokens[0], now)?;
        let mut rows = TABLE.iter().cycle();
        checked.push(nanoseconds(|| drop(black_box(rows.next().map(|row| authorize(&principal, row))))));
    }
    tell("a token that is seen for the first time", "µs", &first)?;
    tell("a token that was verified before", "µs", &again)?;
    tell(&format!("the row of a method, of {}", TABLE.len()), "ns", &looked)?;
    tell("whether a role may, by the row", "ns", &checked)
}

/// Of one time.
fn nanoseconds(mut work: impl FnMut()) -> f64 {
    let begun = Instant::now();
    (0..TIMES).for_each(|_| work());
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(TIMES)
}
