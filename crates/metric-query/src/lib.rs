//! Counts from Prometheus, or from whatever speaks its HTTP API, and why there are none.
//!
//! ```text
//!   query, time ──► PrometheusClient::instant ──► POST /api/v1/query
//!                                                    │
//!                 one number ◄── Sample ◄────────────┤  a scalar, or a vector of one series
//!                        └─ count(): whole, ≥ 0      │
//!                 QueryError ◄───────────────────────┘  told apart: no data, NaN, several series, a bad query,
//!                                                       a server that refuses, fails, is away or talks nonsense
//! ```
//!
//! That the reasons are told apart is the point. Whoever judges a rollout must not take "no data" for "no errors", nor a
//! query that is broken for a rollout that is.
//!
//! Who may choose the address could otherwise have the process call anything that it can reach: it must be http or https,
//! its host must be among those that the operator [allows](PrometheusOptions::allow), redirects are not followed, and no
//! proxy is taken from the environment. The token is read from its file for each query, and shown nowhere.

mod answer;
mod client;
mod error;
mod sample;

pub use client::{PrometheusClient, PrometheusOptions};
pub use error::QueryError;
pub use sample::{NotACount, Sample};
