//! The command line: one file per command. Only here is anything printed.
//!
//! Every command prints tables for people or, with `--json`, one JSON value for machines; progress goes to standard
//! error and only to a terminal. Exit code 0: done, 1: failed, 2: wrong use, which is also whatever the call names and is
//! not there (a campaign, run, message, contact, pool, route, file …). What a file names is the file's mistake: 1. In JSON, times are RFC 3339 texts in UTC and
//! money is a decimal text with its currency beside it; a failure is `{"error": {"message", "kind"}}`, with the places of
//! the mistakes as `problems` where a file is wrong.

mod backup;
mod check;
mod completions;
mod contact;
mod context;
mod control;
mod coupon;
mod daemon;
mod demo;
mod doctor;
mod doubt;
mod event;
mod gauges;
mod import;
mod init;
mod launch;
mod ledger;
mod lines;
mod message;
mod one_text;
mod optout;
mod phone;
mod plan;
mod print;
mod provider;
mod prune;
mod receipt;
mod rehearse;
mod route;
mod segment;
mod simulated;
mod simulator;
mod status;
mod store;
mod surroundings;
mod terms;
mod test;
mod text;
mod why;
mod why_slow;
mod written;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use context::Context;

/// What a script needs to know of every command.
const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed, or found something wrong; an import of which every row was rejected
  2  wrong use: arguments that make no sense, or a campaign, run, message, contact, pool, route
     or file that the call names and that is not there";

/// Wakes sleeping customers with coupons by SMS, at a lawful hour, and never texts one twice.
#[derive(Debug, Parser)]
#[command(name = "winback", version, max_term_width = 100, after_help = EXIT_CODES)]
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
    Init(init::InitArgs),
    Daemon(daemon::DaemonArgs),
    Demo(demo::DemoArgs),
    Doctor(doctor::DoctorArgs),
    #[command(subcommand)]
    Contact(contact::ContactCommand),
    #[command(subcommand)]
    Event(event::EventCommand),
    #[command(subcommand)]
    Segment(segment::SegmentCommand),
    #[command(subcommand)]
    Coupon(coupon::CouponCommand),
    #[command(subcommand)]
    Optout(optout::OptoutCommand),
    Check(check::CheckArgs),
    Plan(plan::PlanArgs),
    Launch(launch::LaunchArgs),
    Rehearse(rehearse::RehearseArgs),
    Test(test::TestArgs),
    Status(status::StatusArgs),
    Watch(status::WatchArgs),
    Why(why::WhyArgs),
    WhySlow(why_slow::WhySlowArgs),
    /// Stop sending for a campaign until it is resumed.
    Pause(control::ControlArgs),
    /// Go on sending for a paused campaign.
    Resume(control::ControlArgs),
    /// Withdraw everything of a campaign that has not left; its codes return to their pool.
    Cancel(control::ControlArgs),
    #[command(subcommand)]
    Message(message::MessageCommand),
    #[command(subcommand)]
    Receipt(receipt::ReceiptCommand),
    #[command(subcommand)]
    Provider(provider::ProviderCommand),
    #[command(subcommand)]
    Route(route::RouteCommand),
    Text(text::TextArgs),
    Phone(phone::PhoneArgs),
    Simulator(Box<simulator::SimulatorArgs>),
    #[command(subcommand)]
    Store(store::StoreCommand),
    Completions(completions::CompletionsArgs),
    Man(completions::ManArgs),
}

/// A mistake in how a command was called: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WrongUse(pub String);

/// Runs the command that the process was called with.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return print::usage(error, std::env::args_os().any(|given| given == "--json")),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            print::error(&anyhow::Error::new(error).context("the runtime could not be started"), cli.json);
            return ExitCode::FAILURE;
        }
    };
    #[cfg(debug_assertions)]
    if let Some(faults) = crate::config::Config::faults() {
        crate::telemetry::fault::ask(&faults);
    }
    let context = Context::new(cli.config, cli.json);
    let ended = runtime.block_on(dispatch(&context, cli.command));
    // A thread that still waits for standard input must not keep the process.
    runtime.shutdown_background();
    match ended {
        Ok(code) => code,
        Err(error) => {
            print::error(&error, context.json());
            if error.is::<WrongUse>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

async fn dispatch(context: &Context, command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Init(args) => init::run(context, args).await,
        Command::Contact(command) => contact::run(context, command).await,
        Command::Event(command) => event::run(context, command).await,
        Command::Segment(command) => segment::run(context, command).await,
        Command::Coupon(command) => coupon::run(context, command).await,
        Command::Optout(command) => optout::run(context, command).await,
        Command::Check(args) => check::run(context, args).await,
        Command::Doctor(args) => doctor::run(context, args).await,
        Command::Test(args) => test::run(context, args).await,
        Command::Message(command) => message::run(context, command).await,
        Command::Receipt(command) => receipt::run(context, command).await,
        Command::Provider(command) => provider::run(context, command).await,
        Command::Route(command) => route::run(context, command).await,
        Command::Text(args) => text::run(context, &args),
        Command::Phone(args) => phone::run(context, &args),
        Command::Store(command) => store::run(context, command).await,
        Command::Completions(args) => Ok(completions::completions(&args)),
        Command::Man(args) => completions::man(&args),
        Command::Daemon(args) => daemon::run(context, args).await,
        Command::Demo(args) => demo::run(context, args).await,
        Command::Plan(args) => plan::run(context, args).await,
        Command::Launch(args) => launch::run(context, args).await,
        Command::Rehearse(args) => rehearse::run(context, args).await,
        Command::Simulator(args) => simulator::run(context, *args).await,
        Command::Status(args) => status::run(context, args).await,
        Command::Watch(args) => status::watch(context, args).await,
        Command::Why(args) => why::run(context, args).await,
        Command::WhySlow(args) => why_slow::run(context, args).await,
        Command::Pause(args) => control::run(context, args, control::Wish::Pause).await,
        Command::Resume(args) => control::run(context, args, control::Wish::Resume).await,
        Command::Cancel(args) => control::run(context, args, control::Wish::Cancel).await,
    }
}
