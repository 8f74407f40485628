//! Copies of requests.

use hotswap_core::Violations;

use super::parts::ALL_BPS;
use crate::draft::MirrorDraft;
use crate::spec::action::Target;
use crate::spec::resilience::Numbers;

/// Copies of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Where they go.
    pub target: Target,
    /// Of how many requests, in basis points.
    pub share_bps: u32,
}

impl Mirror {
    pub(super) fn parse(draft: &MirrorDraft) -> Result<Self, Violations> {
        let mut v = Violations::new();
        let target = Target::parse(&mut v, draft.pool.as_ref(), draft.inline.as_ref());
        let share_bps = Numbers(&mut v).take("share_bps", draft.share_bps, ALL_BPS, 1..=ALL_BPS);
        match target {
            Some(target) if v.is_empty() => Ok(Self { target, share_bps }),
            _ => Err(v),
        }
    }
}
