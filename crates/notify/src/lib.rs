//! Notifications: written with what they tell of, sent later, over any of several channels.
//!
//! ```text
//!   use case ──► Outbox::put(tx) ──► outbox_messages     in the transaction of what it tells: both, or neither
//!                                         │              a key, a kind, a subject, JSON
//!                 Sender, in each replica │
//!                   that has channels       │
//!                   register ─► outbox_channels                    all channels of all replicas
//!                   fan-out ──────────────┴─► outbox_deliveries    one for each of them that wants the kind
//!                   lane, one a channel of its own:
//!                     claim ─► render ─► deliver ─► mark
//!                                 │         │         ├─ sent
//!                      minijinja ─┘         │         ├─ again after a pause: 2 s, doubling, full jitter, Retry-After
//!                                           │         └─ dead: 4xx, 5xx of SMTP, or no attempts left; kept
//!                                           ├─ e-mail   SMTP with STARTTLS or TLS; plain text; a fixed Message-ID
//!                                           ├─ Slack    Block Kit with text beside it
//!                                           └─ webhook  JSON, signed as Standard Webhooks 1.0, Idempotency-Key
//! ```
//!
//! # How often somebody is told
//! Once for each event and channel, and sometimes again. The outbox takes a key once, a message makes one delivery for
//! a channel, and a delivery has one sender at a time. What can't be had is *exactly* once: a receiver may take a message
//! while its answer is lost, or the sender may die between the answer and the mark. Nobody can tell that from a message
//! that did not arrive, and the choice is to lose some or to send some twice. These are sent again, always under the
//! same identity: `webhook-id` and `Idempotency-Key` of a webhook, `Message-ID` of a mail. A receiver that remembers them
//! is told exactly once. Slack remembers none.
//!
//! Messages may arrive in another order than they were put, since one that failed comes later; each tells when it
//! happened.
//!
//! # Claims
//! A claim lasts as long as a delivery may take and 30 s more, by the database's clock. A sender that is frozen for
//! longer than that in the midst of a delivery may be beside another one when it goes on.
//!
//! # Texts
//! A template is a file `<kind>.j2`, or `<kind>.email.j2` or `<kind>.slack.j2` for one kind of channel, in the folder of
//! [`ChannelsConfig::templates`]; its first line is the title, the rest the text. `default.j2` is for kinds without one, and
//! `facts.j2` is what the built-in ones end with. They see `id`, `kind`, `subject`, `at` and `data`. There are built-in ones
//! for `rollout.` and each of `approval_asked`, `approval_reminder`, `approvals_voided`, `started`, `gate_opened`,
//! `paused`, `promoted`, `compared`, `rollback_began`, `rollback_stuck`, `rolled_back`, `frozen`, `rejected`, `expired`,
//! `not_started`. What they show of `data`, where it is there: `words`, `reason`, `detail`, `by`, `rollout`, `exposure`,
//! `url`, `level`, `until`, `from`, `strategy`. A webhook gets `data` as it is.
//!
//! # Secrets
//! The configuration names files; they are read for each delivery, so a changed password needs no restart. Nothing here
//! shows what is in them: not `Debug`, not errors, not logs, not even where a receiver repeats it in its answer.

mod channel;
mod claims;
mod config;
mod error;
mod message;
mod metrics;
mod outbox;
mod retry;
mod secret;
mod sender;
mod sql;
mod template;

pub use channel::Channels;
pub use config::{Address, ChannelConfig, ChannelsConfig, EmailConfig, SlackConfig, Tls, WebhookConfig};
pub use error::NotifyError;
pub use message::Message;
pub use metrics::METRICS;
pub use outbox::{Delivery, DeliveryState, Outbox};
pub use sender::{Sender, SenderOptions, keep_outbox};
