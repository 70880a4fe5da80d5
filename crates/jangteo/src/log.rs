//! What the process says about itself, on standard error: lines for people, or one JSON object a line for machines.
//!
//! The request id is a field of the span that every request, remote call, event and job runs in, so it stands on
//! every line they cause.

use std::io::IsTerminal as _;

use anyhow::{Result, anyhow};
use tracing_subscriber::EnvFilter;

use crate::config::{Log, LogFormat};

/// Begins to log. Errors: something else logs already.
pub fn start(log: &Log) -> Result<()> {
    let filter = EnvFilter::try_new(&log.filter)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let started = match log.format {
        LogFormat::Text => lines.with_ansi(std::io::stderr().is_terminal()).try_init(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).with_span_list(true).try_init(),
    };
    started.map_err(|e| anyhow!("{e}"))
}

/// For the check of the configuration.
pub(crate) fn is_filter(text: &str) -> bool {
    EnvFilter::try_new(text).is_ok()
}
