//! `hotswap token`.

use std::time::Duration;

use hotswap_auth::{KeyError, LocalKey, TokenRequest};
use hotswap_core::{Clock as _, SystemClock, SystemIds};

use crate::cli::Token;
use crate::exit::Failure;
use crate::output;

pub(super) fn run(args: &Token) -> Result<(), Failure> {
    if args.subject.trim().is_empty() {
        return Err(Failure::usage("--subject must not be empty"));
    }
    let key = LocalKey::load(&args.data_dir).map_err(|error| {
        let failure = Failure::other(&error);
        if matches!(&error, KeyError::File { source, .. } if source.kind() == std::io::ErrorKind::NotFound) {
            return failure.hint("`hotswap up` makes the key on its first start; --data-dir says where");
        }
        failure
    })?;
    let request = TokenRequest {
        subject: args.subject.clone(),
        roles: args.roles.clone(),
        tenant: args.tenant.clone(),
        ttl: args.ttl,
    };
    let token = key.mint(&request, SystemClock.now(), &SystemIds).map_err(Failure::other)?;
    output::line(&token)
}

/// A time as "90s", "15m", "12h" or "30d"; at least a second, at most ten years.
pub(crate) fn parse_ttl(text: &str) -> Result<Duration, String> {
    const MAX: u64 = 3_650 * 86_400;
    let form = || "give a number and a unit: 90s, 15m, 12h or 30d".to_owned();
    let unit = text.chars().last().ok_or_else(form)?;
    let factor = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(form()),
    };
    let number: u64 = text.strip_suffix(unit).unwrap_or_default().parse().map_err(|_| form())?;
    match number.checked_mul(factor) {
        Some(seconds @ 1..=MAX) => Ok(Duration::from_secs(seconds)),
        _ => Err("must be at least a second and at most ten years".to_owned()),
    }
}

/// A pause as "200ms", "5s" or "1m"; at least 100 ms, at most an hour.
pub(crate) fn parse_pause(text: &str) -> Result<Duration, String> {
    let form = || "give a number and a unit: 200ms, 5s or 1m".to_owned();
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(form)?;
    let number: u64 = text[..digits].parse().map_err(|_| form())?;
    let factor = match &text[digits..] {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return Err(form()),
    };
    match number.checked_mul(factor) {
        Some(ms @ 100..=3_600_000) => Ok(Duration::from_millis(ms)),
        _ => Err("must be at least 100ms and at most 60m".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_have_a_unit_and_limits() {
        assert_eq!(parse_pause("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(parse_pause("60m"), Ok(Duration::from_secs(3_600)));
        for bad in ["", "5", "ms", "99ms", "61m", "-1s", "1h", "1 s"] {
            assert!(parse_pause(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn times_have_a_unit_and_limits() {
        assert_eq!(parse_ttl("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_ttl("30d"), Ok(Duration::from_secs(2_592_000)));
        for bad in ["", "h", "1", "1w", "-1h", "0s", "1e3s", "4000d", "99999999999999999999d", "1ü"] {
            assert!(parse_ttl(bad).is_err(), "{bad:?}");
        }
    }
}
