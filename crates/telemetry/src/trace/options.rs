//! What is traced, and where it goes.

use std::str::FromStr;

/// Options of tracing, for a process that serves.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TraceOptions {
    /// Where spans are sent: a collector that takes OTLP over gRPC, as http://127.0.0.1:4317 or https://…. Headers
    /// for it come from OTEL_EXPORTER_OTLP_HEADERS. Default: nowhere, and none are made
    #[arg(long, env = "HOTSWAP_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,

    /// The share of calls that are traced, 0 to 1, where the caller has not decided; what the caller decided holds
    #[arg(long, env = "HOTSWAP_TRACE_SAMPLE", value_name = "SHARE", default_value = "1")]
    pub trace_sample: SampleRatio,
}

/// A share of calls, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleRatio(f64);

impl SampleRatio {
    /// The share, 0 to 1.
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Default for SampleRatio {
    fn default() -> Self {
        Self(1.0)
    }
}

impl FromStr for SampleRatio {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<f64>() {
            Ok(share) if (0.0..=1.0).contains(&share) => Ok(Self(share)),
            _ => Err("must be a number from 0 to 1, as 0.01".to_owned()),
        }
    }
}

impl std::fmt::Display for SampleRatio {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_number_from_0_to_1() {
        for good in ["0", "1", "0.01", "1e-3"] {
            let ratio: SampleRatio = good.parse().expect("a share");
            assert_eq!(ratio.to_string().parse(), Ok(ratio), "what is shown can be read back");
        }
        for bad in ["-0.1", "1.01", "NaN", "inf", "", "half", "10%"] {
            assert!(bad.parse::<SampleRatio>().is_err(), "{bad}");
        }
    }
}
