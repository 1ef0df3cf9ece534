//! The command line: one file per command. Only here is anything printed.
//!
//! Every command prints tables for people or, with `--json`, one JSON value for machines; progress goes to standard
//! error and only to a terminal. Exit code 0: done, 1: failed, 2: wrong use.

mod context;
mod control;
mod daemon;
mod launch;
mod plan;
mod print;
mod simulator;
mod status;
mod terms;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::model::run::RunState;

pub use context::Context;

/// Wakes sleeping customers with coupons by SMS, at a lawful hour, and never texts one twice.
#[derive(Debug, Parser)]
#[command(name = "winback", version, max_term_width = 100)]
struct Cli {
    /// The configuration; `winback.toml` in this folder if not given.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON value instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Daemon(daemon::DaemonArgs),
    Plan(plan::PlanArgs),
    Launch(launch::LaunchArgs),
    Simulator(Box<simulator::SimulatorArgs>),
    Status(status::StatusArgs),
    Watch(status::WatchArgs),
    /// Stop sending for a campaign until it is resumed.
    Pause(control::ControlArgs),
    /// Go on sending for a paused campaign.
    Resume(control::ControlArgs),
    /// Withdraw everything of a campaign that has not left; its codes return to their pool.
    Cancel(control::ControlArgs),
}

/// A mistake in how a command was called: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WrongUse(pub String);

/// Runs the command that the process was called with.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            print::error(&anyhow::Error::new(error).context("the runtime could not be started"));
            return ExitCode::FAILURE;
        }
    };
    let context = Context::new(cli.config, cli.json);
    match runtime.block_on(dispatch(&context, cli.command)) {
        Ok(code) => code,
        Err(error) => {
            print::error(&error);
            if error.is::<WrongUse>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

async fn dispatch(context: &Context, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Daemon(args) => daemon::run(context, args).await,
        Command::Plan(args) => plan::run(context, args).await,
        Command::Launch(args) => launch::run(context, args).await,
        Command::Simulator(args) => simulator::run(context, *args).await,
        Command::Status(args) => status::run(context, args).await,
        Command::Watch(args) => status::watch(context, args).await,
        Command::Pause(args) => control::run(context, args, RunState::Paused).await,
        Command::Resume(args) => control::run(context, args, RunState::Running).await,
        Command::Cancel(args) => control::run(context, args, RunState::Cancelling).await,
    }
}
