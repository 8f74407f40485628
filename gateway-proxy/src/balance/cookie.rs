//! Ids of backends, as they stand in sticky cookies. They are made with the configuration, off the hot path.

use std::collections::HashMap;

use hotswap_matcher::{Backend, StickyCookie};
use http::HeaderValue;
use sha2::{Digest as _, Sha256};

/// Bytes of an id.
const ID: usize = 12;
/// SHA-256 works on blocks of so many bytes.
const BLOCK: usize = 64;

/// The ids of a pool's backends, and the cookies that carry them.
#[derive(Debug)]
pub struct StickyIds {
    places: HashMap<Box<[u8]>, usize>,
    cookies: Vec<HeaderValue>,
}

impl StickyIds {
    /// For the backends of a pool of this name.
    pub fn new(cookie: &StickyCookie, pool: &str, backends: &[Backend]) -> Self {
        let salt = cookie.salt.as_deref().unwrap_or(pool);
        let ids = backends.iter().map(|b| id(salt, b.address.as_str()));
        let ids: Vec<String> = ids.collect();
        let line = |id: &String| format!("{}={id}{}", cookie.name, cookie.attributes);
        // Name and attributes were checked when the pool was; a cookie that is empty all the same is not set.
        let cookies =
            ids.iter().map(|id| HeaderValue::try_from(line(id)).unwrap_or(HeaderValue::from_static("")));
        Self {
            cookies: cookies.collect(),
            places: ids.into_iter().enumerate().map(|(at, id)| (id.into_bytes().into(), at)).collect(),
        }
    }

    /// The place of the backend of an id.
    pub fn place(&self, id: &[u8]) -> Option<usize> {
        self.places.get(id).copied()
    }

    /// The Set-Cookie that leads back to a backend.
    pub fn cookie(&self, place: usize) -> Option<&HeaderValue> {
        self.cookies.get(place).filter(|c| !c.is_empty())
    }
}

/// The first bytes of HMAC-SHA256, in hex.
fn id(salt: &str, address: &str) -> String {
    hmac(salt.as_bytes(), address.as_bytes()).iter().take(ID).map(|b| format!("{b:02x}")).collect()
}

/// RFC 2104.
fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut block = [0; BLOCK];
    if key.len() > BLOCK {
        let short = Sha256::digest(key);
        block.iter_mut().zip(short).for_each(|(b, k)| *b = k);
    } else {
        block.iter_mut().zip(key).for_each(|(b, k)| *b = *k);
    }
    let inner = Sha256::new().chain_update(block.map(|b| b ^ 0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(block.map(|b| b ^ 0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use hotswap_matcher::{BackendDraft, BalancingDraft, PoolDraft, PoolSpec, StickyCookieDraft};

    use super::*;

    fn ids(pool: &str, salt: &str) -> StickyIds {
        let backend = |a: &str| BackendDraft { address: a.into(), ..BackendDraft::default() };
        let cookie = StickyCookieDraft { salt: salt.into(), ..StickyCookieDraft::default() };
        let draft = PoolDraft {
            backends: vec![backend("a:1"), backend("b:1")],
            balancing: Some(BalancingDraft { sticky_cookie: Some(cookie), ..BalancingDraft::default() }),
            ..PoolDraft::default()
        };
        let spec = PoolSpec::parse(&draft).expect("valid");
        let backends = spec.backends();
        StickyIds::new(backends.balancing.sticky.as_ref().expect("a cookie"), pool, &backends.backends)
    }

    #[test]
    fn hmac_is_the_one_of_rfc_4231() {
        let hex = |bytes: [u8; 32]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        // Test cases 2 and 6.
        assert_eq!(
            hex(hmac(b"Jefe", b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert_eq!(
            hex(hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First")),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
        );
    }

    #[test]
    fn a_cookie_leads_back_to_its_backend_and_hides_the_address() {
        let ids = ids("pools/p", "");
        let text = ids.cookie(1).expect("there").to_str().expect("text").to_owned();
        let value = text.strip_prefix("hotswap-backend=").and_then(|t| t.split(';').next()).expect("a value");
        assert_eq!((value.len(), ids.place(value.as_bytes())), (24, Some(1)));
        assert!(text.ends_with("; Path=/; SameSite=Lax; HttpOnly") && !text.contains("b:1"), "{text}");
        assert_eq!(ids.place(b"b:1"), None);
        assert!(ids.cookie(2).is_none());
    }

    #[test]
    fn gateways_agree_and_salts_do_not() {
        let first = |pool, salt| ids(pool, salt).cookie(0).cloned().expect("there");
        assert_eq!(first("pools/p", ""), first("pools/p", ""));
        assert_ne!(first("pools/p", ""), first("pools/q", ""));
        assert_eq!(first("pools/p", "s"), first("pools/q", "s"));
    }
}
