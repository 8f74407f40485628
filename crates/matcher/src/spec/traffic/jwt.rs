//! Which tokens requests must bring.

use std::fmt;
use std::time::Duration;

use hotswap_core::Violations;
use http::HeaderName;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};

use super::keys::Keys;
use crate::draft::{ClaimHeaderDraft, JwtDraft};
use crate::spec::balancing::header_name;
use crate::spec::condition::parse_each;
use crate::spec::resilience::Numbers;

const MAX_KEY_SET: usize = 65_536;
const MAX_KEYS: usize = 64;
const RSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// Which tokens requests must bring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwt {
    /// Whose signatures count.
    pub keys: Keys,
    /// With which algorithms.
    pub algorithms: Vec<Algorithm>,
    /// What `iss` must be.
    pub issuer: Option<String>,
    /// Of which `aud` must have one; none: it is not looked at.
    pub audiences: Vec<String>,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// Where the token stands, bare; `None`: in Authorization, behind "Bearer".
    pub header: Option<HeaderName>,
    /// Claims that backends get, and the header of each.
    pub claim_headers: Vec<(String, HeaderName)>,
    /// Backends do not get the token.
    pub strip_token: bool,
    /// Requests without a token pass.
    pub optional: bool,
}

/// Public keys (RFC 7517).
#[derive(Clone)]
pub struct KeySet {
    text: String,
    keys: Vec<Key>,
}

/// A public key.
#[derive(Clone)]
pub struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

impl PartialEq for KeySet {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for KeySet {}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet").field("keys", &self.keys.len()).finish()
    }
}

impl KeySet {
    /// Reads a key set. Keys for encryption and of kinds that are not known are passed over.
    ///
    /// # Errors
    /// Where it is none, has a secret key, or none that can verify a signature.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_KEY_SET {
            return Err("must have at most 65,536 bytes".into());
        }
        let set: JwkSet =
            serde_json::from_str(text).map_err(|e| format!("is not a JSON Web Key Set: {e}"))?;
        if set.keys.len() > MAX_KEYS {
            return Err("must have at most 64 keys".into());
        }
        if set.keys.iter().any(|k| matches!(k.algorithm, AlgorithmParameters::OctetKey(_))) {
            return Err(
                "has a secret key: whoever can read the route could sign tokens; use public keys".into()
            );
        }
        let keys: Vec<_> = set.keys.iter().filter_map(Key::from_jwk).collect();
        if keys.is_empty() {
            return Err("has no public key for signatures: RSA, P-256, P-384 or Ed25519".into());
        }
        Ok(Self { text: text.to_owned(), keys })
    }

    /// The key that a token names, for its algorithm; a token that names none can only mean the only one.
    pub fn key(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&DecodingKey> {
        let mut fitting = self.keys.iter().filter(|k| k.algorithms.contains(&algorithm));
        let found = match id {
            Some(id) => fitting.find(|k| k.id.as_deref() == Some(id)),
            None => fitting.next().filter(|_| fitting.next().is_none()),
        };
        found.map(|k| &k.key)
    }

    fn has_one_for(&self, algorithm: Algorithm) -> bool {
        self.keys.iter().any(|k| k.algorithms.contains(&algorithm))
    }
}

impl Key {
    fn from_jwk(jwk: &Jwk) -> Option<Self> {
        if jwk.common.public_key_use.as_ref().is_some_and(|of| *of != PublicKeyUse::Signature) {
            return None;
        }
        let fitting: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => RSA,
            AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => &[Algorithm::ES256],
            AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P384 => &[Algorithm::ES384],
            AlgorithmParameters::OctetKeyPair(okp) if okp.curve == EllipticCurve::Ed25519 => {
                &[Algorithm::EdDSA]
            }
            _ => return None,
        };
        // A key that says what it is for is for nothing else (RFC 8725 section 3.1).
        let of = |named: KeyAlgorithm| named.to_string().parse::<Algorithm>().ok();
        let algorithms: Vec<_> = match jwk.common.key_algorithm {
            None => fitting.to_vec(),
            Some(named) => fitting.iter().copied().filter(|a| of(named) == Some(*a)).collect(),
        };
        if algorithms.is_empty() {
            return None;
        }
        let key = DecodingKey::from_jwk(jwk).ok()?;
        Some(Self { id: jwk.common.key_id.clone(), algorithms, key })
    }
}

impl Jwt {
    pub(super) fn parse(draft: &JwtDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        let keys = Keys::parse(&mut v, draft);
        let algorithms = parse_each(&mut v, "algorithms", &draft.algorithms, |name| algorithm(name));
        if draft.algorithms.is_empty() || draft.algorithms.len() > 10 {
            v.add("algorithms", "must have 1 to 10 entries, as RS256");
        }
        if let Some(Keys::Inline(keys)) = &keys {
            for (i, algorithm) in algorithms.iter().enumerate() {
                if v.is_empty() && !keys.has_one_for(*algorithm) {
                    v.add(format!("algorithms[{i}]"), "has no key in jwks");
                }
            }
        }
        let text = |v: &mut Violations, field: &str, text: &str| {
            if text.is_empty() || text.len() > 1_024 {
                v.add(field, "must be 1 to 1,024 bytes");
            }
        };
        if !draft.issuer.is_empty() {
            text(&mut v, "issuer", &draft.issuer);
        }
        if draft.audiences.len() > 32 {
            v.add("audiences", "must have at most 32 entries");
        }
        for (i, audience) in draft.audiences.iter().enumerate() {
            text(&mut v, &format!("audiences[{i}]"), audience);
        }
        let leeway = Numbers(&mut v).take("leeway_s", draft.leeway_s, 60, 1..=3_600);
        let header = Some(draft.header.as_str()).filter(|name| !name.is_empty());
        let header = header.and_then(|name| v.take("header", header_name(name)));
        if draft.claim_headers.len() > 32 {
            v.add("claim_headers", "must have at most 32 entries");
        }
        let claim_headers = parse_each(&mut v, "claim_headers", &draft.claim_headers, claim_header);
        match keys {
            Some(keys) if v.is_empty() => Ok(Self {
                keys,
                algorithms,
                issuer: Some(draft.issuer.clone()).filter(|issuer| !issuer.is_empty()),
                audiences: draft.audiences.clone(),
                leeway: Duration::from_secs(u64::from(leeway)),
                header,
                claim_headers,
                strip_token: draft.strip_token,
                optional: draft.optional,
            }),
            _ => Err(v),
        }
    }
}

fn algorithm(name: &str) -> Result<Algorithm, Violations> {
    let bad = || {
        Violations::one("", "must be one of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA")
    };
    let algorithm: Algorithm = name.parse().map_err(|_| bad())?;
    let public = RSA.contains(&algorithm)
        || [Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA].contains(&algorithm);
    if public { Ok(algorithm) } else { Err(bad()) }
}

fn claim_header(draft: &ClaimHeaderDraft) -> Result<(String, HeaderName), Violations> {
    let mut v = Violations::new();
    if draft.claim.is_empty() || draft.claim.len() > 256 {
        v.add("claim", "must be 1 to 256 bytes");
    }
    let header = v.take("header", crate::spec::edits::name(&draft.header));
    match header {
        Some(header) if v.is_empty() => Ok((draft.claim.clone(), header)),
        _ => Err(v),
    }
}
