//! Texts that several parts use: a long question cut short, and the failure after a panic. Knows no table and no verb.

use crate::proto::{Code, Failure};

/// A text that a peer typed, short enough to be quoted: its first `most` characters, and dots if there are more.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text.to_owned(),
    }
}

/// Characters of a question that a failure quotes.
const MAX_QUOTED: usize = 40;

/// The failure of a request whose plan, verb or external code panicked.
pub(crate) fn fault(title: &str) -> Failure {
    let title = shortened(title, MAX_QUOTED);
    let text =
        format!("'{title}' failed by a fault in the daemon, of which its log has more; other requests are not touched");
    Failure::new(Code::Internal, text)
}

/// The failure of all requests that waited when an actor panicked and was rebuilt.
pub(super) fn lost() -> Failure {
    let text = "the daemon failed by a fault of its own and has lost this request; ask again";
    Failure::new(Code::Internal, text)
}

/// The failure of requests for which the system has no thread.
pub(super) fn no_thread() -> Failure {
    let text = "the system has no thread for this now; retry-ms=1000";
    Failure::new(Code::Busy, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_does_not_quote_ten_thousand_digits() {
        let text = fault(&format!("isprime {}", "7".repeat(10_000))).text;
        assert!(
            text.starts_with("'isprime 777") && text.contains("777...' failed"),
            "{text}"
        );
        assert!(text.len() < 200, "{text}");
    }

    #[test]
    fn a_text_is_cut_between_characters_and_only_if_it_is_longer() {
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äöüß", 3), "äöü...");
    }
}
