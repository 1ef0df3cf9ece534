//! `winback daemon`: plan, send, receive, serve HTTP, until it is told to stop.

use std::process::ExitCode;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::daemon::Daemon;
use crate::telemetry::log;

use super::Context;

/// Send, receive and serve HTTP until SIGTERM or Ctrl-C; a second signal ends it at once.
#[derive(Debug, Args)]
pub(super) struct DaemonArgs {}

pub(super) async fn run(context: &Context, _args: DaemonArgs) -> anyhow::Result<ExitCode> {
    let config = context.config()?;
    log::start(config.log.format, &config.log.level);
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let daemon = Daemon::start(&config, context.clock()).await?;
    let routes: Vec<&str> = config.routes.keys().map(String::as_str).collect();
    tracing::info!(listen = %daemon.address(), routes = routes.join(","), "running");
    let failed = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        failed = daemon.failed() => Some(failed),
    };
    tracing::info!("stopping: finishing what is under way; a second signal ends at once");
    let finished = tokio::select! {
        finished = daemon.stop() => finished,
        _ = terminate.recv() => false,
        _ = interrupt.recv() => false,
    };
    tracing::info!(finished, "stopped");
    if let Some(failed) = failed {
        anyhow::bail!("{failed}, so the daemon has ended; start it again, and report this if it comes back");
    }
    Ok(if finished { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
