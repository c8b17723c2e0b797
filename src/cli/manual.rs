//! `primed man` and `primed completions`: made from the definitions of the arguments, so that they cannot disagree with `--help`.

use clap::Command;
use clap_complete::Shell;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// The arguments of `man`.
#[derive(Debug, clap::Args)]
pub(super) struct Man {
    /// Write a page for the command and one for each of its subcommands to this directory, instead of printing the first
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Man {
    /// Makes the pages of this command.
    pub(super) fn run(self, command: Command) -> anyhow::Result<ExitCode> {
        // A page is for every processor and for every build of this version.
        let command = command
            .version(env!("CARGO_PKG_VERSION"))
            .long_version(None)
            .disable_help_subcommand(true);
        match self.dir {
            Some(directory) => {
                std::fs::create_dir_all(&directory)?;
                clap_mangen::generate_to(command, directory)?;
            }
            None => clap_mangen::Man::new(command).render(&mut io::stdout())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The arguments of `completions`.
#[derive(Debug, clap::Args)]
pub(super) struct Completions {
    /// The shell that reads them
    shell: Shell,
}

impl Completions {
    /// Prints the completions of this command.
    pub(super) fn run(self, mut command: Command) -> anyhow::Result<ExitCode> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "primed", &mut script);
        io::stdout().write_all(&script)?;
        Ok(ExitCode::SUCCESS)
    }
}
