//! What the host counts.

use hotswap_core::MetricDef;

/// What is declared here.
pub const METRICS: &[MetricDef] = &[];
