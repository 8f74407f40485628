//! What a rollout lives through, with nothing that it should not do on the way.

mod at_once;
mod clocks;
mod full;
mod gone;
mod prometheus;
mod traffic;
