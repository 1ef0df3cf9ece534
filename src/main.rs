//! The `winback` command: parse, run, exit code.

fn main() {}
