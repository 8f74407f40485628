//! Routes, pools and certificates as the service thinks of them: pure, no transport, no database.

mod candidate;
mod certificate;
mod content;
mod difference;
mod mask;
mod proxy;
mod question;
mod resource;
mod tally;

pub use candidate::{Candidate, CandidateCheck, Tracked};
pub use content::{AnyContent, Content, to_json};
pub use difference::{Difference, differences};
pub use mask::Mask;
pub use proxy::{Breaker, CERTIFICATES, Condition, Conditions, Place, Proxy, ROLLOUTS, Refusal};
pub use question::{Answer, Question, Unanswered};
pub use resource::{AnyResource, Resource, RevisionRecord};
pub use tally::{ArmCounts, ArmTally, BUCKETS, LatencyCounts};
