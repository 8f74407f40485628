//! What is done with requests of a route beside its action.

use serde::{Deserialize, Serialize};

use super::BackendsDraft;

/// All of it, unchecked; what is `None` is off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TrafficDraft {
    /// Which addresses may send requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access: Option<AccessDraft>,
    /// Which pages of other origins may use it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cors: Option<CorsDraft>,
    /// How large a request may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<RequestLimitsDraft>,
    /// How many requests may come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimitDraft>,
    /// How many may be under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<ConcurrencyDraft>,
    /// Makes some fail or wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<FaultDraft>,
    /// Which are logged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_log: Option<AccessLogDraft>,
    /// Which tokens they must bring.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<JwtDraft>,
    /// Where copies go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mirror: Option<MirrorDraft>,
    /// Which answers are compressed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compression: Option<CompressionDraft>,
}

/// Networks, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccessDraft {
    /// These alone; none: all.
    pub allow: Vec<String>,
    /// Never these.
    pub deny: Vec<String>,
}

/// CORS, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CorsDraft {
    /// Whose pages.
    pub origins: Vec<String>,
    /// Methods beside the simple ones.
    pub methods: Vec<String>,
    /// Request headers beside the simple ones.
    pub headers: Vec<String>,
    /// Response headers that pages may read.
    pub expose_headers: Vec<String>,
    /// With cookies and Authorization.
    pub credentials: bool,
    /// How long a browser keeps the answer, in s; 0: as it likes.
    pub max_age_s: u32,
}

/// Limits of a request, unchecked; 0: none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RequestLimitsDraft {
    /// Of the body, in bytes.
    pub max_body_bytes: u64,
    /// Of target and headers, in bytes.
    pub max_head_bytes: u32,
    /// Of the number of headers.
    pub max_headers: u32,
}

/// Tokens, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct JwtDraft {
    /// The public keys, as JSON.
    pub jwks: String,
    /// Algorithms that count.
    pub algorithms: Vec<String>,
    /// What `iss` must be; empty: it is not looked at.
    pub issuer: String,
    /// Of which `aud` must have one; none: it is not looked at.
    pub audiences: Vec<String>,
    /// How far clocks may differ, in s; 0: 60.
    pub leeway_s: u32,
    /// The header that has the bare token; empty: Authorization.
    pub header: String,
    /// Claims that become headers.
    pub claim_headers: Vec<ClaimHeaderDraft>,
    /// The backend does not get the token.
    pub strip_token: bool,
    /// Requests without a token pass.
    pub optional: bool,
    /// Where the keys are fetched; empty: nowhere.
    pub jwks_url: String,
    /// The file that has them; empty: none.
    pub jwks_file: String,
    /// How often, in s; 0: 300, or 10 of a file.
    pub jwks_refresh_s: u32,
}

/// A claim that becomes a header, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClaimHeaderDraft {
    /// The claim.
    pub claim: String,
    /// The header.
    pub header: String,
}

/// A rate limit, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RateLimitDraft {
    /// Requests a period.
    pub requests: u32,
    /// In ms; 0: 1,000.
    pub period_ms: u32,
    /// At once; 0: as `requests`.
    pub burst: u32,
    /// Each client address has its own.
    pub client_address: Option<bool>,
    /// Each value of this header has its own.
    pub header: Option<String>,
    /// Answers do not tell of it.
    pub quiet: bool,
    /// Who shares buckets.
    pub scope: RateScopeDraft,
    /// What becomes of requests without Redis; `None`: not said.
    pub fallback: Option<RateFallbackDraft>,
}

/// Who shares the buckets of a rate limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateScopeDraft {
    /// Each gateway has its own.
    #[default]
    Gateway,
    /// All have the same.
    Fleet,
}

/// What becomes of requests while Redis does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateFallbackDraft {
    /// Each gateway counts by itself.
    Local,
    /// They pass.
    Pass,
    /// They are refused.
    Refuse,
}

/// A limit of requests under way, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ConcurrencyDraft {
    /// The most.
    pub max_requests: u32,
    /// What Retry-After says, in s; 0: 1.
    pub retry_after_s: u32,
}

/// Faults on purpose, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FaultDraft {
    /// Answers some.
    pub abort: Option<FaultAbortDraft>,
    /// Lets some wait.
    pub delay: Option<FaultDelayDraft>,
    /// Only requests with this header; empty: all.
    pub header: String,
}

/// Answers a share, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FaultAbortDraft {
    /// With this status.
    pub status: u32,
    /// In basis points.
    pub share_bps: u32,
}

/// Lets a share wait, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FaultDelayDraft {
    /// For so long, in ms.
    pub delay_ms: u32,
    /// In basis points.
    pub share_bps: u32,
}

/// Copies of requests, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MirrorDraft {
    /// A pool's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Backends of the mirror alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inline: Option<BackendsDraft>,
    /// In basis points; 0: all.
    pub share_bps: u32,
}

/// Compression of answers, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CompressionDraft {
    /// Their names; none: all.
    pub codings: Vec<String>,
    /// Types of content; none: the usual ones.
    pub content_types: Vec<String>,
    /// In bytes; 0: 1,024.
    pub min_length: u32,
    /// 1 to 9; 0: as each coding has it.
    pub quality: u32,
}

/// Which requests are logged, unchecked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccessLogDraft {
    /// Which.
    pub mode: AccessLogModeDraft,
    /// Of those without a reason code, in basis points; 0: all.
    pub share_bps: u32,
}

/// Which requests are logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessLogModeDraft {
    /// All.
    #[default]
    All,
    /// Those with a reason code.
    Errors,
    /// None.
    Off,
}
