//! The engine from outside: whole rollouts on a target of the test's own, any order of facts, and a model of several
//! workers that is checked in all its states.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests fail by panicking")]

mod approvals;
mod judging;
mod model;
mod properties;
mod ways_back;
mod ways_forward;
mod world;
