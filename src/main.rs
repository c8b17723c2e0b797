//! The `primed` command: exit codes only. Everything else is in `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    primed::internals::run(std::env::args_os())
}
