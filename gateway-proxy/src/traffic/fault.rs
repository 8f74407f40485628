//! Requests that fail or wait on purpose.

use std::cell::RefCell;

use hotswap_matcher::{Fault, RequestHead};

use super::admitted::Admitted;
use crate::dice::Dice;
use crate::reason::Reason;

/// The error: the request is one of those that fail.
pub(super) fn pass(
    fault: &Fault,
    head: &impl RequestHead,
    dice: &RefCell<Dice>,
    admitted: &mut Admitted,
) -> Result<(), Option<Reason>> {
    if !is_meant(fault, head) {
        return Ok(());
    }
    let drawn = |share_bps: u32| dice.borrow_mut().next() % 10_000 < u64::from(share_bps);
    if let Some((delay, share_bps)) = fault.delay
        && drawn(share_bps)
    {
        admitted.wait(delay);
    }
    if let Some((status, share_bps)) = fault.abort
        && drawn(share_bps)
    {
        admitted.answer_with(status);
        return Err(Some(Reason::FaultInjected));
    }
    Ok(())
}

/// Whether the request can be one of those.
pub(super) fn is_meant(fault: &Fault, head: &impl RequestHead) -> bool {
    let Some(name) = &fault.header else { return true };
    let mut there = false;
    head.header(name, &mut |_| there = true);
    there
}
