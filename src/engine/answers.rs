//! Answers that were found lately, for the next client that asks the same. Shared by all threads; knows no request and no plan.
//!
//! quick_cache keeps what was asked for more than once and lets go of the rest; its locks are held for the time of one look.

use crate::proto::Value;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::fmt;

/// What an answer takes beside the bytes of its question and its value: both of their heads, the requests in table and list, and the
/// allocator's share. So a bound on bytes bounds the number of answers too.
const OVERHEAD_BYTES: u64 = 192;

/// The common answer's weight, about.
const TYPICAL_BYTES: u64 = OVERHEAD_BYTES + 32;

/// Questions by their title, and their answers.
pub struct Answers(Option<Cache<String, Value, Weight>>);

impl Answers {
    /// Room for `max_bytes` of answers; none at all for 0.
    pub fn new(max_bytes: u64) -> Self {
        let items = usize::try_from(max_bytes / TYPICAL_BYTES).unwrap_or(usize::MAX);
        Self((max_bytes > 0).then(|| Cache::with_weighter(items, max_bytes, Weight)))
    }

    /// The answer to the question of this title.
    pub fn get(&self, title: &str) -> Option<Value> {
        self.0.as_ref()?.get(title)
    }

    /// Keeps an answer, and forgets others if there is no room.
    pub(super) fn keep(&self, title: String, value: Value) {
        if let Some(cache) = &self.0 {
            cache.insert(title, value);
        }
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Answers")
            .field(&self.0.as_ref().map(Cache::len))
            .finish()
    }
}

#[derive(Clone)]
struct Weight;

impl Weighter<String, Value> for Weight {
    fn weight(&self, title: &String, value: &Value) -> u64 {
        OVERHEAD_BYTES + (title.len() + value.weight()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_kept_within_their_bytes_and_the_one_asked_for_again_stays() {
        let answers = Answers::new(1 << 20);
        answers.keep("pi 7".into(), Value::from(4));
        for n in 0..100_000u64 {
            answers.keep(format!("nth {n}"), Value::from(n));
            assert_eq!(answers.get("pi 7"), Some(Value::from(4)));
        }
        let cache = answers.0.as_ref().expect("there is room");
        assert!(cache.weight() <= 1 << 20, "{} bytes", cache.weight());
        assert!(
            (1_000..=(1 << 20) / 192).contains(&cache.len()),
            "{} answers",
            cache.len()
        );
        assert_eq!(answers.get("nth 99999"), Some(Value::from(99_999)));
    }

    #[test]
    fn an_answer_larger_than_all_room_is_not_kept_and_without_room_none_is() {
        let answers = Answers::new(4096);
        answers.keep("long".into(), Value::Text("x".repeat(10_000)));
        assert_eq!(answers.get("long"), None);
        let none = Answers::new(0);
        none.keep("pi 7".into(), Value::from(4));
        assert_eq!(none.get("pi 7"), None);
    }
}
