//! Copies of requests.

use hotswap_core::{PoolName, ResourceName as _, Violations};

use super::parts::ALL_BPS;
use crate::draft::MirrorDraft;
use crate::spec::resilience::Numbers;

/// Copies of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Where they go.
    pub pool: PoolName,
    /// Of how many requests, in basis points.
    pub share_bps: u32,
}

impl Mirror {
    pub(super) fn parse(draft: &MirrorDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        let pool = v.take("pool", PoolName::parse(&draft.pool));
        let share_bps = Numbers(&mut v).take("share_bps", draft.share_bps, ALL_BPS, 1..=ALL_BPS);
        match pool {
            Some(pool) if v.is_empty() => Ok(Self { pool, share_bps }),
            _ => Err(v),
        }
    }
}
