//! The answers that are kept across restarts, within bounds: the cheapest are evicted first. Plain data; gives the
//! records of each change.

use super::record::{KeptAnswer, Record, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

/// What an answer takes beside its words: heads, places in the maps, the allocator's share.
const OVERHEAD_BYTES: u64 = 320;

/// Answers by the titles of their questions.
#[derive(Debug)]
pub struct KeptAnswers {
    max_count: usize,
    max_bytes: u64,
    answers: HashMap<String, KeptAnswer>,
    /// In the order of eviction: the cheapest first, and of equally cheap ones the oldest.
    by_cost: BTreeSet<(Duration, Timestamp, String)>,
    bytes: u64,
}

/// How an answer was found that nobody has verified.
pub const COMPUTED: &str = "computed";

/// The same, once a verification has come to the same answer.
const VERIFIED: &str = "computed, verified";

impl KeptAnswers {
    /// Empty, with bounds on the number of answers and on their bytes.
    pub fn new(max_count: usize, max_bytes: u64) -> Self {
        Self {
            max_count,
            max_bytes,
            answers: HashMap::new(),
            by_cost: BTreeSet::new(),
            bytes: 0,
        }
    }

    /// Takes in the answers of the store at the start. The records delete those that exceed the bounds, which may be
    /// lower than before.
    pub fn load(&mut self, answers: BTreeMap<String, KeptAnswer>) -> Vec<Record> {
        for answer in answers.into_values() {
            self.insert(answer);
        }
        self.evict()
    }

    /// Keeps an answer, evicts others if a bound is exceeded, and gives the records to be written. A refuted answer
    /// stays refuted. An answer that costs less than all the others is not kept if there is no space.
    pub fn keep(&mut self, answer: KeptAnswer) -> Vec<Record> {
        let title = answer.title.clone();
        if self.answers.get(&title).is_some_and(|kept| kept.is_refuted) {
            return Vec::new();
        }
        let was_kept = self.answers.contains_key(&title);
        let record = Record::Answer(answer.clone());
        self.insert(answer);
        let mut records = self.evict();
        if self.answers.contains_key(&title) {
            records.push(record);
        } else if !was_kept {
            records.retain(|record| !matches!(record, Record::AnswerForgotten(forgotten) if *forgotten == title));
        }
        records
    }

    /// The answer to the question of this title, unless it was refuted.
    pub fn get(&self, title: &str) -> Option<&KeptAnswer> {
        self.answers.get(title).filter(|answer| !answer.is_refuted)
    }

    /// Whether the answer to the question of this title was refuted.
    pub fn is_refuted(&self, title: &str) -> bool {
        self.answers.get(title).is_some_and(|answer| answer.is_refuted)
    }

    /// Marks an answer as one that failed its verification, perhaps some time ago. None if it is not kept, is marked,
    /// or was found since.
    pub fn refute(&mut self, title: &str, at: Option<Timestamp>) -> Option<Record> {
        let had_it = |answer: &&mut KeptAnswer| !answer.is_refuted && at.is_none_or(|at| answer.found_at <= at);
        let answer = self.answers.get_mut(title).filter(had_it)?;
        answer.is_refuted = true;
        Some(Record::AnswerRefuted(title.to_owned()))
    }

    /// Notes that an answer has passed its verification. None if it is not kept, or that is noted.
    pub fn verified(&mut self, title: &str) -> Option<Record> {
        let answer = self.answers.get_mut(title).filter(|answer| answer.method == COMPUTED)?;
        self.bytes -= weight(answer);
        VERIFIED.clone_into(&mut answer.method);
        self.bytes += weight(answer);
        Some(Record::Answer(answer.clone()))
    }

    /// Forgets an answer, a refuted one too. None if it is not kept.
    pub fn forget(&mut self, title: &str) -> Option<Record> {
        self.remove(title).then(|| Record::AnswerForgotten(title.to_owned()))
    }

    /// Forgets all answers. With the record comes what they were, to be dropped where nobody waits: 100,000 take tens
    /// of milliseconds. None if none is kept.
    pub fn forget_all(&mut self) -> Option<(Record, Self)> {
        if self.is_empty() {
            return None;
        }
        let empty = Self::new(self.max_count, self.max_bytes);
        Some((Record::AnswersForgotten, std::mem::replace(self, empty)))
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// True if none is kept.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    fn insert(&mut self, answer: KeptAnswer) {
        self.remove(&answer.title);
        self.bytes += weight(&answer);
        self.by_cost.insert(rank(&answer));
        self.answers.insert(answer.title.clone(), answer);
    }

    fn remove(&mut self, title: &str) -> bool {
        let Some(answer) = self.answers.remove(title) else {
            return false;
        };
        self.bytes -= weight(&answer);
        self.by_cost.remove(&rank(&answer));
        true
    }

    fn evict(&mut self) -> Vec<Record> {
        let mut records = Vec::new();
        while self.answers.len() > self.max_count || self.bytes > self.max_bytes {
            let Some((_, _, title)) = self.by_cost.pop_first() else {
                break;
            };
            self.remove(&title);
            records.push(Record::AnswerForgotten(title));
        }
        records
    }
}

fn rank(answer: &KeptAnswer) -> (Duration, Timestamp, String) {
    (answer.cost, answer.found_at, answer.title.clone())
}

fn weight(answer: &KeptAnswer) -> u64 {
    let words = 3 * answer.title.len() + answer.method.len() + answer.version.len();
    OVERHEAD_BYTES + (words + answer.value.weight()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::record::tests::answer;

    fn costing(number: u64, seconds: u64) -> KeptAnswer {
        KeptAnswer {
            cost: Duration::from_secs(seconds),
            ..answer(number)
        }
    }

    #[test]
    fn what_cost_the_most_stays() {
        let mut kept = KeptAnswers::new(2, u64::MAX);
        assert_eq!(kept.keep(costing(1, 5)), [Record::Answer(costing(1, 5))]);
        assert_eq!(kept.keep(costing(2, 9)).len(), 1);
        let records = kept.keep(costing(3, 7));
        assert_eq!(
            records,
            [Record::AnswerForgotten("pi 1".into()), Record::Answer(costing(3, 7))]
        );
        assert_eq!(kept.keep(costing(4, 1)), [], "it costs less than the others");
        assert!(kept.get("pi 2").is_some() && kept.get("pi 3").is_some() && kept.len() == 2);
    }

    #[test]
    fn bytes_are_bounded_and_given_back() {
        let mut kept = KeptAnswers::new(usize::MAX, 10_000);
        for number in 0..1_000 {
            kept.keep(costing(number, number));
            assert!(kept.bytes <= 10_000);
        }
        assert!(kept.len() > 20);
        let forgotten = kept.forget_all().map(|(record, answers)| (record, answers.len() > 20));
        assert_eq!(forgotten, Some((Record::AnswersForgotten, true)));
        assert!(kept.is_empty() && kept.bytes == 0 && kept.forget_all().is_none());
        assert_eq!(kept.keep(costing(1, 5)).len(), 1);
    }

    #[test]
    fn the_bytes_of_an_answer_are_given_back_after_its_verification_too() {
        let mut kept = KeptAnswers::new(10, u64::MAX);
        let method = COMPUTED.to_owned();
        kept.keep(KeptAnswer {
            method,
            ..costing(1, 5)
        });
        assert!(kept.verified("pi 1").is_some() && kept.verified("pi 1").is_none());
        assert!(kept.forget("pi 1").is_some() && kept.bytes == 0);
    }

    #[test]
    fn a_refuted_answer_is_never_given_again() {
        let mut kept = KeptAnswers::new(10, u64::MAX);
        kept.keep(costing(1, 5));
        let found_at = kept.answers["pi 1"].found_at;
        assert_eq!(
            kept.refute("pi 1", Some(Timestamp::from_millis(found_at.millis() - 1))),
            None
        );
        assert_eq!(
            kept.refute("pi 1", Some(found_at)),
            Some(Record::AnswerRefuted("pi 1".into()))
        );
        assert_eq!(kept.refute("pi 1", None), None);
        assert!(kept.get("pi 1").is_none());
        assert_eq!(kept.keep(costing(1, 6)), []);
        assert!(kept.forget("pi 1").is_some() && kept.forget("pi 1").is_none());
    }

    #[test]
    fn lower_bounds_at_the_start_forget_what_has_no_room() {
        let stored = (0..10).map(|number| (format!("pi {number}"), costing(number, number)));
        let mut kept = KeptAnswers::new(4, u64::MAX);
        assert_eq!(kept.load(stored.collect()).len(), 6);
        assert!(kept.get("pi 9").is_some() && kept.get("pi 5").is_none());
    }
}
