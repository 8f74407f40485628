//! Paging by key (AIP-158): a page ends at a key, and the next begins behind it, so that rows written
//! meanwhile are neither skipped nor shown twice.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::Violations;

const DEFAULT: i32 = 50;
const MAX: i32 = 1_000;

/// Rows on a page: 1 to 1,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSize(u16);

impl PageSize {
    /// 0 is 50, more than 1,000 is 1,000, less than 0 is a fault of `page_size`.
    pub fn parse(size: i32) -> Result<Self, Violations> {
        match size {
            0 => Ok(Self(DEFAULT as u16)),
            1.. => Ok(Self(size.min(MAX) as u16)),
            _ => Err(Violations::one("page_size", "must not be negative")),
        }
    }

    /// The number of rows.
    pub fn get(self) -> usize {
        usize::from(self.0)
    }
}

/// Where a page ended, bound to the list it came from. Opaque to callers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageToken {
    /// Binds the token to its list.
    list: [u8; 8],
    /// The key of the last row.
    key: Vec<String>,
}

impl PageToken {
    /// A token for the row `key` of the list that `list` describes (method, parent, filter, order).
    pub fn new(list: &[&str], key: Vec<String>) -> Self {
        Self { list: binding(list), key }
    }

    /// The text that goes over the wire.
    pub fn encode(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        URL_SAFE_NO_PAD.encode(json)
    }

    /// The key that `token` holds: `None` where it is empty (the first page), a fault of `page_token` where
    /// it is damaged, has not `parts` parts or belongs to another list.
    pub fn decode(token: &str, list: &[&str], parts: usize) -> Result<Option<Vec<String>>, Violations> {
        if token.is_empty() {
            return Ok(None);
        }
        let damaged = || Violations::one("page_token", "is not a token that this method gave");
        let json = URL_SAFE_NO_PAD.decode(token).map_err(|_| damaged())?;
        let token: Self = serde_json::from_slice(&json).map_err(|_| damaged())?;
        if token.key.len() != parts {
            return Err(damaged());
        }
        if token.list != binding(list) {
            return Err(Violations::one(
                "page_token",
                "belongs to a list with another filter, order or parent; begin again without it",
            ));
        }
        Ok(Some(token.key))
    }
}

fn binding(list: &[&str]) -> [u8; 8] {
    let mut hash = Sha256::new();
    for part in list {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    let mut out = [0; 8];
    out.copy_from_slice(&hash.finalize()[..8]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_coerced_and_negative_ones_refused() {
        assert_eq!(PageSize::parse(0).map(PageSize::get), Ok(50));
        assert_eq!(PageSize::parse(5_000).map(PageSize::get), Ok(1_000));
        assert!(PageSize::parse(-1).is_err());
    }

    #[test]
    fn a_token_comes_back_as_it_went() {
        let token = PageToken::new(&["routes", ""], vec!["routes/a".into()]).encode();
        assert_eq!(PageToken::decode(&token, &["routes", ""], 1), Ok(Some(vec!["routes/a".into()])));
    }

    #[test]
    fn a_token_of_another_list_or_a_damaged_one_is_refused() {
        let token = PageToken::new(&["routes", ""], vec!["routes/a".into()]).encode();
        assert!(PageToken::decode(&token, &["routes", "x"], 1).is_err());
        assert!(PageToken::decode(&token[1..], &["routes", ""], 1).is_err());
        assert!(PageToken::decode(&token, &["routes", ""], 2).is_err());
    }
}
