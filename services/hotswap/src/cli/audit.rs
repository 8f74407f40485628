//! `hotswap audit`, and how a control plane keeps its audit log.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use hotswap_audit::{AuditOptions, PublicKey};

use crate::connection::ClientArgs;
use crate::output::OutputArgs;

/// The file that checkpoints are anchored in, in the data folder.
const ANCHORS: &str = "audit-anchors.jsonl";
const DAY: u64 = 86_400;

/// `audit`.
#[derive(Args, Debug)]
pub(crate) struct Audit {
    #[command(subcommand)]
    pub(crate) action: AuditAction,
}

/// What to do with the audit log.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditAction {
    /// Show events, newest first
    #[command(after_help = "Examples:\n  hotswap audit list --filter 'resource = routes/shop'\n  \
                            hotswap audit list --filter 'outcome = denied AND time >= 2026-11-01T00:00:00Z' -o wide")]
    List(AuditList),
    /// Write events to a file that proves itself
    Export(AuditExport),
    /// Verify an export, without a server; or, without a file, the log of a control plane
    #[command(
        after_help = "Ends with 0 where nothing was changed, left out or added, with 1 where something was.\n\n\
                            Examples:\n  hotswap audit verify november.csv --key hotswap/9f86…+1234abcd+AZ…\n  \
                            hotswap audit verify november.csv --keys keys.txt --anchors audit-anchors.jsonl\n  \
                            hotswap audit verify"
    )]
    Verify(AuditVerify),
    /// Legal holds: while one stands, retention drops no event of its chain
    Hold {
        #[command(subcommand)]
        action: HoldAction,
    },
    /// Show the public key that signs the log of a data folder
    Keys {
        /// The data folder that holds the key
        #[arg(long, env = "HOTSWAP_DATA_DIR", default_value = "hotswap-data", value_name = "DIR")]
        data_dir: PathBuf,
    },
}

/// Which chain.
#[derive(Args, Clone, Debug)]
pub(crate) struct ChainArgs {
    /// platform, or tenants/TENANT. Default: the caller's tenant, or the platform
    #[arg(long, default_value = "", hide_default_value = true, value_name = "CHAIN")]
    pub(crate) chain: String,
}

/// `audit list`.
#[derive(Args, Debug)]
pub(crate) struct AuditList {
    /// Show only what meets these conditions (AIP-160): actor, role, tenant, method, resource, revision, outcome,
    /// reason, request_id, source, and time with <, <=, > and >=
    #[arg(long, default_value = "", hide_default_value = true, value_name = "FILTER")]
    pub(crate) filter: String,
    /// Show at most so many
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) chain: ChainArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// The form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ExportForm {
    /// A JSON object a line
    Json,
    /// A row a line, for spreadsheets
    Csv,
}

/// `audit export`.
#[derive(Args, Debug)]
pub(crate) struct AuditExport {
    /// The file, which must not exist; - is standard output
    #[arg(value_name = "FILE|-")]
    pub(crate) to: PathBuf,
    /// The form. Default: csv where the file is called so, else json
    #[arg(long, value_enum, value_name = "FORM")]
    pub(crate) form: Option<ExportForm>,
    /// Take only what meets these conditions, as of `list`; the file shows that others were left out
    #[arg(long, default_value = "", hide_default_value = true, value_name = "FILTER")]
    pub(crate) filter: String,
    #[command(flatten)]
    pub(crate) chain: ChainArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// What to do with legal holds.
#[derive(Debug, Subcommand)]
pub(crate) enum HoldAction {
    /// Place one
    #[command(after_help = "Example:\n  hotswap audit hold place --reason 'case 7'")]
    Place(HoldPlace),
    /// Show them, those that are released too
    List(HoldList),
    /// Release one; a chain without another one is dropped from again
    Release(HoldRelease),
}

/// `audit hold place`.
#[derive(Args, Debug)]
pub(crate) struct HoldPlace {
    /// Why, in 1 to 512 bytes: the number of a case, the name of who asks
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) chain: ChainArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// `audit hold list`.
#[derive(Args, Debug)]
pub(crate) struct HoldList {
    /// Show only those that are not released
    #[arg(long)]
    pub(crate) standing: bool,
    #[command(flatten)]
    pub(crate) chain: ChainArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// `audit hold release`.
#[derive(Args, Debug)]
pub(crate) struct HoldRelease {
    /// `legalHolds/ID`, or its id alone
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// `audit verify`.
#[derive(Args, Debug)]
pub(crate) struct AuditVerify {
    /// An export
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// A public key that may have signed it. May be given several times
    #[arg(long = "key", value_name = "KEY", requires = "file")]
    pub(crate) keys: Vec<PublicKey>,
    /// A file of such keys, one a line
    #[arg(long = "keys", value_name = "FILE", requires = "file")]
    pub(crate) key_file: Option<PathBuf>,
    /// A file of anchors to compare it with
    #[arg(long, value_name = "FILE", requires = "file")]
    pub(crate) anchors: Option<PathBuf>,
    /// Of a control plane: only this chain. Default: the caller's tenant; for the platform, all
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        value_name = "CHAIN",
        conflicts_with = "file"
    )]
    pub(crate) chain: String,
    #[command(flatten)]
    pub(crate) client: ClientArgs,
}

/// What every process of the control plane takes for its audit log.
#[derive(Args, Clone, Debug)]
pub(crate) struct AuditArgs {
    /// How long events of the audit log are kept, in days. Default: seven years
    #[arg(
        long,
        env = "HOTSWAP_AUDIT_RETENTION_DAYS",
        default_value_t = AuditOptions::RETENTION_DAYS,
        hide_default_value = true,
        value_name = "DAYS",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    audit_retention_days: u32,
    /// The file that signed checkpoints of the audit log are appended to; best where the database's owner can't write.
    /// Default: audit-anchors.jsonl in the data folder
    #[arg(long, env = "HOTSWAP_AUDIT_ANCHORS", value_name = "FILE")]
    audit_anchors: Option<PathBuf>,
    /// A public key that signed the audit log before, as `hotswap audit keys` shows it. May be given several times
    #[arg(
        long = "audit-earlier-key",
        env = "HOTSWAP_AUDIT_EARLIER_KEYS",
        value_name = "KEY",
        value_delimiter = ','
    )]
    audit_earlier_keys: Vec<PublicKey>,
}

impl AuditArgs {
    /// How the log is kept, with its anchors in the data folder where nothing else is said.
    pub(crate) fn options(&self, data_dir: &Path) -> AuditOptions {
        AuditOptions {
            earlier_keys: self.audit_earlier_keys.clone(),
            anchors: Some(self.audit_anchors.clone().unwrap_or_else(|| data_dir.join(ANCHORS))),
            retention: Duration::from_secs(u64::from(self.audit_retention_days) * DAY),
        }
    }
}
