//! Logs.

use std::io::{self, IsTerminal as _};
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

/// The form of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            other => Err(format!("unknown log format \"{other}\"; use text or json")),
        }
    }
}

/// What is logged, and how.
#[derive(Clone, Debug, Default)]
pub struct LogOptions {
    /// The form.
    pub format: LogFormat,
    /// A filter in the syntax of tracing's `EnvFilter`, as "info" or "warn,hotswap=debug".
    pub filter: String,
}

/// Sends the process's log to standard error.
///
/// # Errors
/// Where the filter does not parse, or the log goes somewhere already.
pub fn init_logging(options: &LogOptions) -> Result<(), String> {
    let filter = EnvFilter::try_new(&options.filter)
        .map_err(|e| format!("cannot use the log filter \"{}\": {e}", options.filter))?;
    // Colours are for terminals; in a file they are noise.
    let colours = io::stderr().is_terminal();
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(colours);
    let done = match options.format {
        LogFormat::Text => builder.with_target(false).finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
    };
    done.map_err(|e| format!("cannot start the log: {e}"))
}
