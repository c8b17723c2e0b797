//! The line that is edited at the prompt, so that replies can be printed above it. Knows no reply.
//!
//! The line editor has a way to print above the prompt, but with it, it waits for a key while pasted lines are in its
//! buffer.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(super) const PROMPT: &str = "primed> ";

/// What the terminal shows in its last line. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Screen(Arc<Mutex<Option<Edited>>>);

/// A line that is being edited.
#[derive(Default)]
struct Edited {
    line: String,
    /// The characters before the cursor.
    cursor: usize,
}

impl Screen {
    /// From now on a line is edited.
    pub(super) fn begin(&self) {
        *self.lock() = Some(Edited::default());
    }

    /// No line is edited any more.
    pub(super) fn end(&self) {
        *self.lock() = None;
    }

    /// The line has changed, or the cursor has moved to this byte of it.
    pub(super) fn edited(&self, line: &str, position: usize) {
        if let Some(edited) = &mut *self.lock() {
            edited.line.clear();
            edited.line.push_str(line);
            edited.cursor = line[..position].chars().count();
        }
    }

    /// Prints lines above the one that is edited.
    pub(super) fn print(&self, text: &str) {
        let screen = self.lock();
        let mut out = io::stdout();
        let drawn = match &*screen {
            Some(Edited { line, cursor }) if out.is_terminal() => {
                let column = PROMPT.len() + cursor;
                format!("\r\x1b[K{text}{PROMPT}{line}\r\x1b[{column}C")
            }
            _ => text.to_owned(),
        };
        // The prompt notices by itself that its terminal is gone.
        let _ = out.write_all(drawn.as_bytes()).and_then(|()| out.flush());
    }

    fn lock(&self) -> MutexGuard<'_, Option<Edited>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
