//! Rows that a plan makes one after the other: words packed into rows of up to 64, waiting to be taken.
//!
//! Knows nothing of what the words are. Plans that sieve have rows of their own ([`super::Rows`]).

use std::collections::VecDeque;

/// Words in a row.
const ROW: usize = 64;

/// Bytes in a row of several words.
const ROW_BYTES: usize = 1300;

/// Bytes of rows that may wait before nothing more is made.
const MOST_HELD: usize = 64 << 10;

/// Rows to be taken.
#[derive(Debug, Default)]
pub(super) struct Listed {
    rows: VecDeque<String>,
    held: usize,
}

impl Listed {
    /// Adds words in rows of their own.
    pub(super) fn extend(&mut self, rows: Vec<String>) {
        self.held += rows.iter().map(String::len).sum::<usize>();
        self.rows.extend(rows);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// True while so much waits that nothing more should be made.
    pub(super) fn is_full(&self) -> bool {
        self.held >= MOST_HELD
    }

    pub(super) fn take(&mut self, most: usize) -> Vec<String> {
        let rows: Vec<String> = self.rows.drain(..most.min(self.rows.len())).collect();
        self.held -= rows.iter().map(String::len).sum::<usize>();
        rows
    }
}

/// Packs words into rows.
pub(super) fn packed(words: impl IntoIterator<Item = String>) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    let mut in_row = 0;
    for word in words {
        match rows.last_mut() {
            Some(row) if in_row < ROW && row.len() + word.len() < ROW_BYTES => {
                row.push(' ');
                row.push_str(&word);
                in_row += 1;
            }
            _ => {
                rows.push(word);
                in_row = 1;
            }
        }
    }
    rows
}
