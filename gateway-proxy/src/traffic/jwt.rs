//! Tokens that requests must bring: verified once, remembered until they end, and what they say told to backends.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hotswap_core::{Clock as _, SystemClock};
use hotswap_matcher::{Jwt, KeySet, Keys, RequestHead};
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue};
use jsonwebtoken::Validation;
use jsonwebtoken::errors::ErrorKind;
use serde::Deserialize;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::admitted::Admitted;
use crate::keys::Remote;
use crate::reason::Reason;

/// A longer token is none.
const LONGEST: usize = 16 * 1024;
const SHARDS: usize = 16;
/// Tokens that a shard remembers at most. Where there are more, all of them are forgotten: simpler than to choose.
const REMEMBERED: usize = 1_024;

const UNKNOWN_KEY: Bad = Bad("the key is not known");
/// There are no keys to verify it by.
const NO_KEYS: Bad = Bad("there are no keys");
const MISSING: HeaderValue = HeaderValue::from_static("Bearer");

/// Tokens that were verified for one content of a route, by their SHA-256: a signature costs some 40 µs, a hash one.
#[derive(Debug)]
pub(super) struct Verified([Mutex<HashMap<[u8; 32], Arc<Token>>>; SHARDS]);

/// What the tokens of a route are verified by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tokens<'a> {
    /// Those that were.
    pub(super) verified: &'a Verified,
    /// The keys, where they are fetched.
    pub(super) fetched: Option<&'a Remote>,
}

/// A token whose signature is good, and that was meant for the route.
#[derive(Debug)]
struct Token {
    /// By which of the key sets that were fetched; 0: by the one in the route.
    number: u64,
    /// In s since 1970.
    not_before: i64,
    expires: i64,
    told: Vec<(HeaderName, HeaderValue)>,
}

/// Why a token is of no use, as the client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bad(&'static str);

#[derive(Deserialize)]
struct Claims {
    exp: f64,
    #[serde(default)]
    nbf: Option<f64>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Default for Verified {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

/// The error: the token is missing or bad.
pub(super) fn pass(
    jwt: &Jwt,
    tokens: Tokens<'_>,
    head: &impl RequestHead,
    admitted: &mut Admitted,
) -> Result<(), Option<Reason>> {
    // Nobody but the gateway says what the token says.
    jwt.claim_headers.iter().for_each(|(_, name)| admitted.leave_out(name));
    let found = match find(jwt, head) {
        Ok(None) if jwt.optional => return Ok(()),
        Ok(None) => {
            admitted.tell(WWW_AUTHENTICATE, MISSING);
            return Err(Some(Reason::TokenMissing));
        }
        Ok(Some(token)) => tokens.token(jwt, &token, SystemClock.now().seconds()),
        Err(bad) => Err(bad),
    };
    match found {
        Ok(token) => {
            if jwt.strip_token {
                admitted.leave_out(jwt.header.as_ref().unwrap_or(&AUTHORIZATION));
            }
            token.told.iter().for_each(|(name, value)| admitted.send(name.clone(), value.clone()));
            Ok(())
        }
        Err(NO_KEYS) => {
            admitted.tell_retry_after(1);
            Err(Some(Reason::KeysUnavailable))
        }
        Err(Bad(why)) => {
            let text = format!("Bearer error=\"invalid_token\", error_description=\"{why}\"");
            admitted.tell(WWW_AUTHENTICATE, HeaderValue::try_from(text).unwrap_or(MISSING));
            Err(Some(Reason::TokenInvalid))
        }
    }
}

/// Whether a byte can stand in the name of a scheme (RFC 9110 section 5.6.2).
fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The token that a request brings; `None`: none.
fn find(jwt: &Jwt, head: &impl RequestHead) -> Result<Option<Vec<u8>>, Bad> {
    let (usual, bare) = (AUTHORIZATION, jwt.header.is_some());
    let name = jwt.header.as_ref().unwrap_or(&usual);
    let (mut found, mut more) = (None, false);
    head.header(name, &mut |value| {
        more |= found.is_some();
        found = Some(value.to_vec());
    });
    if more {
        return Err(Bad("the request has more than one"));
    }
    let Some(value) = found else { return Ok(None) };
    if bare {
        return Ok(Some(value));
    }
    let (scheme, token) = value.split_at_checked(6).unwrap_or((&value, &[][..]));
    match token {
        // Whatever stands between: a backend that reads it loosely must not find a token that nobody looked at.
        [between, ..] if scheme.eq_ignore_ascii_case(b"bearer") && !is_of_a_name(*between) => {
            Ok(Some(token.trim_ascii().to_vec()))
        }
        // Other credentials are no token.
        _ => Ok(None),
    }
}

impl Tokens<'_> {
    /// By the keys in force.
    fn token(self, jwt: &Jwt, token: &[u8], now: i64) -> Result<Arc<Token>, Bad> {
        if let Keys::Inline(keys) = &jwt.keys {
            return self.verified.token(jwt, (keys, 0), token, now);
        }
        let remote = self.fetched.ok_or(NO_KEYS)?;
        let found = remote.found().ok_or(NO_KEYS)?;
        let token = self.verified.token(jwt, (&found.keys, found.number), token, now);
        if token.as_ref().is_err_and(|bad| *bad == UNKNOWN_KEY) {
            // It may be newer than what was fetched.
            remote.want();
        }
        token
    }
}

impl Verified {
    fn token(
        &self,
        jwt: &Jwt,
        (keys, number): (&KeySet, u64),
        token: &[u8],
        now: i64,
    ) -> Result<Arc<Token>, Bad> {
        if token.len() > LONGEST {
            return Err(Bad("the token is too long"));
        }
        let hash = <[u8; 32]>::from(Sha256::digest(token));
        let [first, ..] = &self.0;
        let shard = self.0.get(usize::from(hash[0]) % SHARDS).unwrap_or(first);
        let known = shard.lock().unwrap_or_else(PoisonError::into_inner).get(&hash).cloned();
        let leeway = i64::try_from(jwt.leeway.as_secs()).unwrap_or(i64::MAX);
        // By other keys it may be none.
        let token = match known.filter(|known| known.number == number) {
            Some(known) => known,
            None => {
                let token = Arc::new(verify(jwt, (keys, number), token)?);
                if token.expires.saturating_add(leeway) > now {
                    let mut all = shard.lock().unwrap_or_else(PoisonError::into_inner);
                    if all.len() >= REMEMBERED {
                        all.retain(|_, t| t.expires.saturating_add(leeway) > now);
                    }
                    if all.len() >= REMEMBERED {
                        all.clear();
                    }
                    all.insert(hash, Arc::clone(&token));
                }
                token
            }
        };
        if token.expires.saturating_add(leeway) <= now {
            return Err(Bad("the token has expired"));
        }
        if token.not_before.saturating_sub(leeway) > now {
            return Err(Bad("the token is not valid yet"));
        }
        Ok(token)
    }
}

/// A token whose signature and claims are good, though its time may be up.
fn verify(jwt: &Jwt, (keys, number): (&KeySet, u64), token: &[u8]) -> Result<Token, Bad> {
    let header = jsonwebtoken::decode_header(token).map_err(|_| Bad("it is not a signed JWT"))?;
    if header.crit.is_some() {
        // RFC 7515 section 4.1.11: what must be understood and is not.
        return Err(Bad("the token wants an extension to be understood"));
    }
    if !jwt.algorithms.contains(&header.alg) {
        return Err(Bad("the algorithm is not allowed"));
    }
    let key = keys.key(header.kid.as_deref(), header.alg).ok_or(UNKNOWN_KEY)?;
    let mut validation = Validation::new(header.alg);
    // The library would read the clock; the caller compares.
    validation.validate_exp = false;
    let mut required = vec!["exp"];
    match &jwt.issuer {
        Some(issuer) => {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        None => validation.iss = None,
    }
    validation.validate_aud = !jwt.audiences.is_empty();
    if validation.validate_aud {
        validation.set_audience(&jwt.audiences);
        required.push("aud");
    }
    validation.set_required_spec_claims(&required);
    let data = jsonwebtoken::decode::<Claims>(token, key, &validation).map_err(|e| refusal(e.kind()))?;
    let Claims { exp, nbf, others } = data.claims;
    let told = jwt.claim_headers.iter().filter_map(|(claim, name)| {
        let text = text_of(look_up(&others, claim)?)?;
        Some((name.clone(), HeaderValue::try_from(text).ok()?))
    });
    let told = told.collect();
    // Saturates; a token of the year 292 billion lasts long enough.
    Ok(Token { number, not_before: nbf.unwrap_or(f64::MIN) as i64, expires: exp as i64, told })
}

/// A claim by its name, or by the names that lead to it: "realm_access.roles".
fn look_up<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let (first, rest) = name.split_once('.')?;
    look_up(claims.get(first)?.as_object()?, rest)
}

/// What a header can say: texts, numbers, truth, and lists of them.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Array(all) => {
            let all: Option<Vec<_>> = all.iter().filter(|v| !v.is_array()).map(text_of).collect();
            all.map(|all| all.join(","))
        }
        Value::Null | Value::Object(_) => None,
    }
}

fn refusal(kind: &ErrorKind) -> Bad {
    Bad(match kind {
        ErrorKind::InvalidSignature => "the signature is wrong",
        ErrorKind::InvalidAudience => "the token is for another audience",
        ErrorKind::InvalidIssuer => "the token is of another issuer",
        ErrorKind::MissingRequiredClaim(_) => "a claim is missing",
        _ => "it is not a signed JWT",
    })
}
