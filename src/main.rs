//! The `winback` command: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    winback::cli::run()
}
