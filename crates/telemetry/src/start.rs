//! The telemetry of a process: its log and its spans, which come from the same `tracing` calls.

use std::io;

use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt};

use crate::trace::TraceError;
use crate::{LogFormat, LogOptions, TraceOptions, Traces};

/// Which process it is, for those who look at many.
#[derive(Clone, Debug)]
pub struct Process {
    /// What it does, as "hotswap-gateway".
    pub service: &'static str,
    /// Its build, as "0.1.0".
    pub version: &'static str,
    /// Its own name among those that do the same.
    pub instance: String,
}

/// Telemetry that can't be started.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter of the log does not parse.
    #[error("cannot use the log filter \"{filter}\": {source}")]
    Filter {
        /// What was given.
        filter: String,
        /// Where it fails.
        source: tracing_subscriber::filter::ParseError,
    },
    /// Spans can't be sent.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The process has a log already.
    #[error("cannot start the log: {0}")]
    Started(#[from] tracing_subscriber::util::TryInitError),
}

/// Sends the process's log to standard error, and its spans to the collector, if one is named; inside a tokio
/// runtime.
///
/// # Errors
/// [`TelemetryError`]; nothing is started then.
pub fn start(log: &LogOptions, trace: &TraceOptions, process: &Process) -> Result<Traces, TelemetryError> {
    let log = log_layer(log)?;
    let (traces, tracer) = Traces::start(trace, process)?;
    let spans = tracer.map(|tracer| {
        let layer = tracing_opentelemetry::layer().with_tracer(tracer);
        layer.with_location(false).with_threads(false).with_target(false).with_filter(FilterFn::new(is_ours))
    });
    tracing_subscriber::registry().with(log).with(spans).try_init()?;
    Ok(traces)
}

/// Of what libraries do inside, nothing: spans are few, and each has a meaning to those who operate HotSwap.
fn is_ours(metadata: &Metadata<'_>) -> bool {
    let least = if metadata.is_span() { LevelFilter::DEBUG } else { LevelFilter::INFO };
    metadata.target().starts_with("hotswap") && *metadata.level() <= least
}

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

fn log_layer(options: &LogOptions) -> Result<BoxedLayer, TelemetryError> {
    let filter = EnvFilter::try_new(&options.filter)
        .map_err(|source| TelemetryError::Filter { filter: options.filter.clone(), source })?;
    // Colours are for terminals; in a file they are noise.
    let colours = io::IsTerminal::is_terminal(&io::stderr());
    let layer = fmt::layer().with_writer(io::stderr).with_ansi(colours);
    Ok(match options.format {
        LogFormat::Text => layer.with_target(false).with_filter(filter).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).with_span_list(false).with_filter(filter).boxed(),
    })
}
