//! The `primed` command: exit codes only. Everything else is in `primed::cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    primed::cli::run(std::env::args_os())
}
