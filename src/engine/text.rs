//! Texts that several parts use: a long question cut short, and the failure after a panic. Knows no table and no verb.

use crate::proto::{Code, Failure};

/// A text that a peer typed, short enough to be quoted: its first `most` characters, and dots if there are more.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

/// The failure of a request whose plan, verb or external code panicked.
pub(crate) fn fault(title: &str) -> Failure {
    let text = format!("'{title}' failed by a fault in the daemon; other requests are not touched");
    Failure::new(Code::Internal, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters_and_only_if_it_is_longer() {
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äöüß", 3), "äöü...");
    }
}
