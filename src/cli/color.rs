//! When output has colours: as `--color` says, else at a terminal, unless NO_COLOR is set or TERM is `dumb`.

use std::fmt::Display;

/// The values of `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Color {
    /// At a terminal, unless NO_COLOR is set or TERM is dumb
    #[default]
    Auto,
    /// Also in a pipe
    Always,
    /// Nowhere
    Never,
}

impl Color {
    /// Decides for the whole process.
    pub(super) fn apply(self) {
        let choice = match self {
            Self::Auto => return,
            Self::Always => true,
            Self::Never => false,
        };
        console::set_colors_enabled(choice);
        console::set_colors_enabled_stderr(choice);
    }
}

/// The code of an error, on standard error.
pub(super) fn error(code: impl Display) -> impl Display {
    console::style(code).for_stderr().red()
}
