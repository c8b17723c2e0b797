//! `primed man` and `primed completions`: made from the definitions of the arguments, so that they cannot disagree with
//! `--help`.

use anyhow::Context;
use clap::Command;
use clap_complete::Shell;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The arguments of `man`.
#[derive(Debug, clap::Args)]
pub(super) struct Man {
    /// Write a page for the command and one for each of its subcommands to this directory, instead of printing the
    /// first
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
                std::fs::create_dir_all(&directory)
                    .with_context(|| format!("cannot make the directory {}", directory.display()))?;
                let mut command = command;
                command.build();
                write(&command, &directory)?;
            }
            None => io::stdout().write_all(page(&clap_mangen::Man::new(command))?.as_bytes())?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Writes the pages of a command and of its subcommands.
fn write(command: &Command, directory: &Path) -> anyhow::Result<()> {
    for subcommand in command.get_subcommands().filter(|subcommand| !subcommand.is_hide_set()) {
        write(subcommand, directory)?;
    }
    // A page of a subcommand would have no version in its foot.
    let manual = clap_mangen::Man::new(command.clone()).source(concat!("primed ", env!("CARGO_PKG_VERSION")));
    let path = directory.join(manual.get_filename());
    std::fs::write(&path, page(&manual)?).with_context(|| format!("cannot write {}", path.display()))
}

/// A page; the examples that end a help keep their lines, which roff would fill.
fn page(manual: &clap_mangen::Man) -> anyhow::Result<String> {
    let mut page = Vec::new();
    manual.render(&mut page)?;
    let page = String::from_utf8(page)?;
    let Some((before, examples)) = page.split_once(".SH EXTRA\nExamples:\n") else {
        return Ok(page);
    };
    let (examples, after) = examples.split_at(examples.find(".SH ").unwrap_or(examples.len()));
    Ok(format!("{before}.SH EXAMPLES\n.nf\n{examples}.fi\n{after}"))
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
