//! Answers that were found lately, and those that the store keeps because they were expensive, for the next client that
//! asks the same. Shared by all threads; knows no client, and of a job its title.
//!
//! quick_cache keeps what was asked for more than once and lets go of the rest; its locks are held for the time of one
//! look.

use super::message::{Policy, Subject, Submit, Work};
use crate::job::Job;
use crate::metrics::Metrics;
use crate::proto::Value;
use crate::store::{KeptAnswer, KeptAnswers, Record, Timestamp};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::{Arc, PoisonError, RwLock};

/// What an answer takes beside the bytes of its question and its value: both of their heads, the requests in table and
/// list, and the allocator's share. So a bound on bytes bounds the number of answers too.
const OVERHEAD_BYTES: u64 = 192;

/// The common answer's weight, about.
const TYPICAL_BYTES: u64 = OVERHEAD_BYTES + 32;

/// Questions by their title, and their answers.
pub struct Answers {
    recent: Option<Cache<String, Value, Weight>>,
    /// Those that the store keeps.
    stored: RwLock<KeptAnswers>,
    /// Whether there may be some: most daemons have none, and need not look.
    has_stored: AtomicBool,
    /// The daemon ends: new questions are refused, those whose answer is here too.
    is_closed: AtomicBool,
    metrics: Arc<Metrics>,
}

impl Answers {
    /// Room for as many as the policy says; none at all for 0 bytes.
    pub fn new(policy: &Policy, metrics: Arc<Metrics>) -> Self {
        let max_bytes = policy.max_answers;
        let items = usize::try_from(max_bytes / TYPICAL_BYTES).unwrap_or(usize::MAX);
        Self {
            recent: (max_bytes > 0).then(|| Cache::with_weighter(items, max_bytes, Weight)),
            stored: RwLock::new(KeptAnswers::new(
                policy.max_stored_answers,
                policy.max_stored_answers_bytes,
            )),
            has_stored: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            metrics,
        }
    }

    /// The answer to the question of this job, if it was found before; counted as such.
    #[inline]
    pub fn find(&self, job: &Job) -> Option<Value> {
        if !job.is_kept || job.streams || !self.has_any() || self.is_closed.load(Relaxed) {
            return None;
        }
        let value = self.get(&job.title())?;
        self.metrics.cache_hits.fetch_add(1, Relaxed);
        Some(value)
    }

    /// Puts the answer in place of the work of a submitted job, if it was found before.
    pub fn substitute(&self, submit: &mut Submit) {
        if let Subject::Work(Work::Plan(job)) = &submit.subject
            && let Some(value) = self.find(job)
        {
            let title = job.title().into_owned();
            submit.subject = Subject::Known { title, value };
        }
    }

    /// Finds nothing from now on.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Relaxed);
    }

    /// False if it keeps none: then a question needs no title to look for its answer.
    fn has_any(&self) -> bool {
        self.recent.is_some() || self.has_stored.load(Acquire)
    }

    /// The answer to the question of this title.
    pub fn get(&self, title: &str) -> Option<Value> {
        let recent = self.recent.as_ref().and_then(|cache| cache.get(title));
        recent.or_else(|| self.stored(title))
    }

    fn stored(&self, title: &str) -> Option<Value> {
        if !self.has_stored.load(Acquire) {
            return None;
        }
        let stored = self.stored.read().unwrap_or_else(PoisonError::into_inner);
        let value = stored.get(title)?.value.clone();
        self.metrics.stored_answer_hits.fetch_add(1, Relaxed);
        Some(value)
    }

    fn is_refuted(&self, title: &str) -> bool {
        if !self.has_stored.load(Acquire) {
            return false;
        }
        let stored = self.stored.read().unwrap_or_else(PoisonError::into_inner);
        stored.is_refuted(title)
    }

    /// Takes in what the store has at the start, and says what it is to write, if the bounds are lower than before.
    pub(super) fn load(&self, answers: BTreeMap<String, KeptAnswer>) -> Vec<Record> {
        self.change(|stored| stored.load(answers))
    }

    /// Keeps an answer for good, and says what the store is to write.
    pub(super) fn store(&self, answer: KeptAnswer) -> Vec<Record> {
        self.change(|stored| stored.keep(answer))
    }

    /// Forgets the answer of this title, or all; and says what the store is to write.
    pub(super) fn forget(&self, title: Option<&str>) -> Option<Record> {
        if let Some(cache) = &self.recent {
            match title {
                Some(title) => drop(cache.remove(title)),
                None => cache.clear(),
            }
        }
        let Some(title) = title else {
            let (record, forgotten) = self.change(KeptAnswers::forget_all)?;
            // All clients wait for the scheduler. Where there can be no thread, they do.
            let thread = std::thread::Builder::new().name("forgetting".into());
            let _ = thread.spawn(move || drop(forgotten));
            return Some(record);
        };
        self.change(|stored| stored.forget(title))
    }

    /// An answer has failed its verification: it is never given again.
    pub(super) fn refute(&self, title: &str, at: Option<Timestamp>) -> Option<Record> {
        if let Some(cache) = &self.recent {
            drop(cache.remove(title));
        }
        self.change(|stored| stored.refute(title, at))
    }

    /// An answer has passed its verification.
    pub(super) fn verified(&self, title: &str) -> Option<Record> {
        self.change(|stored| stored.verified(title))
    }

    fn change<T>(&self, change: impl FnOnce(&mut KeptAnswers) -> T) -> T {
        let mut stored = self.stored.write().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut stored);
        self.has_stored.store(!stored.is_empty(), Release);
        self.metrics.stored_answers.store(stored.len() as u64, Relaxed);
        changed
    }

    /// Keeps an answer, and forgets others if there is no room; none to a question whose answer was refuted, which may
    /// come from a node that does not know that.
    pub(super) fn keep(&self, title: String, value: Value) {
        if let Some(cache) = &self.recent
            && !self.is_refuted(&title)
        {
            cache.insert(title, value);
        }
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Answers")
            .field(&self.recent.as_ref().map(Cache::len))
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
    use std::time::Duration;

    fn with_room(max_answers: u64) -> Answers {
        let policy = Policy {
            max_answers,
            ..Policy::default()
        };
        Answers::new(&policy, Arc::default())
    }

    #[test]
    fn answers_are_kept_within_their_bytes_and_the_one_asked_for_again_stays() {
        let answers = with_room(1 << 20);
        answers.keep("pi 7".into(), Value::from(4));
        for n in 0..100_000u64 {
            answers.keep(format!("nth {n}"), Value::from(n));
            assert_eq!(answers.get("pi 7"), Some(Value::from(4)));
        }
        let cache = answers.recent.as_ref().expect("there is room");
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
        let answers = with_room(4096);
        answers.keep("long".into(), Value::Text("x".repeat(10_000)));
        assert_eq!(answers.get("long"), None);
        let none = with_room(0);
        none.keep("pi 7".into(), Value::from(4));
        assert_eq!(none.get("pi 7"), None);
    }

    #[test]
    fn an_answer_to_a_question_whose_answer_was_refuted_is_not_given_wherever_it_comes_from() {
        let answers = with_room(4096);
        let wrong = KeptAnswer {
            title: "pi 7".into(),
            value: Value::from(5),
            cost: Duration::from_secs(1),
            found_at: Timestamp::from_millis(7),
            version: "1".into(),
            method: "computed".into(),
            is_refuted: false,
        };
        answers.store(wrong);
        answers.keep("pi 7".into(), Value::from(5));
        assert!(answers.refute("pi 7", None).is_some());
        answers.keep("pi 7".into(), Value::from(5));
        assert_eq!(answers.get("pi 7"), None);
        answers.forget(Some("pi 7"));
        answers.keep("pi 7".into(), Value::from(4));
        assert_eq!(answers.get("pi 7"), Some(Value::from(4)), "it is forgotten");
    }
}
