//! Notifications on real databases, to real receivers.
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod crashes;
mod mails;
mod outboxes;
mod receiver;
mod retries;
mod secrets;
mod slack;
mod support;
mod webhooks;
