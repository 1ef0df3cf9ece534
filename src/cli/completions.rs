//! `winback completions` and `winback man`: what shells and manuals are told about the commands.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _};

use super::{Cli, WrongUse};

/// Completions for a shell, to standard output.
#[derive(Debug, Args)]
pub(super) struct CompletionsArgs {
    /// The shell.
    shell: clap_complete::Shell,
}

/// A manual page in roff, to standard output.
#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// A command, such as `contact import`; the program itself if none is named.
    command: Vec<String>,
}

pub(super) fn completions(args: &CompletionsArgs) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "winback", &mut script);
    write(&script)
}

pub(super) fn man(args: &ManArgs) -> anyhow::Result<ExitCode> {
    let mut root = Cli::command().flatten_help(false);
    root.build();
    let mut command = &root;
    for name in &args.command {
        command = command
            .find_subcommand(name)
            .ok_or_else(|| WrongUse(format!("there is no command `{}`", args.command.join(" "))))?;
    }
    let mut page = Vec::new();
    let title = command.get_bin_name().unwrap_or("winback").replace(' ', "-");
    clap_mangen::Man::new(command.clone()).title(title).render(&mut page)?;
    Ok(write(&page))
}

fn write(text: &[u8]) -> ExitCode {
    let mut out = std::io::stdout().lock();
    // Nobody reads any more: nothing to tell.
    let _ = out.write_all(text).and_then(|()| out.flush());
    ExitCode::SUCCESS
}
