//! The tables that parts of one question share: made once, kept for the next part, and let go of. Knows no part and no
//! connection.

use crate::job::PartTables;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Questions whose tables are kept for their next part; more while those of more are being made.
const MAX_TABLES: usize = 4;

/// How long they are kept after the last one.
const TABLES_AGE: Duration = Duration::from_secs(60);

/// The tables of the latest questions.
#[derive(Default)]
pub(super) struct KnownTables {
    all: Mutex<Vec<Tables>>,
    made: Notify,
}

/// What parts of one question share.
struct Tables {
    question: String,
    tables: Arc<PartTables>,
    /// One part makes them, and others that need them wait.
    is_making: bool,
    used: Instant,
}

/// The right to make tables; dropped, it lets others make them that were not made.
pub(super) struct Making(Arc<KnownTables>, Arc<PartTables>);

impl Drop for Making {
    fn drop(&mut self) {
        self.0.made(&self.1);
    }
}

impl KnownTables {
    /// The tables of a question, made or not, and whether this is its first part here.
    pub(super) fn of(&self, question: &str) -> (Arc<PartTables>, bool) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.iter_mut().find(|tables| tables.question == question) {
            known.used = Instant::now();
            return (known.tables.clone(), false);
        }
        // Those that are being made stay, also if that makes more: the next part of their question would make them
        // again beside it.
        while all.len() >= MAX_TABLES {
            let idle = (0..all.len()).filter(|index| !all[*index].is_making);
            let Some(oldest) = idle.min_by_key(|index| all[*index].used) else {
                break;
            };
            all.remove(oldest);
        }
        let tables = Arc::new(PartTables::default());
        all.push(Tables {
            question: question.to_owned(),
            tables: tables.clone(),
            is_making: false,
            used: Instant::now(),
        });
        (tables, true)
    }

    /// Lets go of the tables that no part has used for long: a worker may get no more parts.
    pub(super) fn forget_old(&self, now: Instant) {
        let is_used = |tables: &Tables| now.saturating_duration_since(tables.used) < TABLES_AGE;
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let (kept, old): (Vec<Tables>, _) = all.drain(..).partition(|tables| tables.is_making || is_used(tables));
        *all = kept;
        drop(all);
        // Without the lock, for they may be large.
        drop(old);
    }

    /// The right to make the tables of a question, unless another has it.
    pub(super) fn making(self: &Arc<Self>, question: &str) -> Option<Making> {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.iter_mut().find(|tables| tables.question == question)?;
        if std::mem::replace(&mut known.is_making, true) {
            return None;
        }
        Some(Making(self.clone(), known.tables.clone()))
    }

    /// Ends once a part has made tables, or given that up, after this call.
    pub(super) fn next_made(&self) -> Notified<'_> {
        self.made.notified()
    }

    fn made(&self, tables: &Arc<PartTables>) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.iter_mut().find(|known| Arc::ptr_eq(&known.tables, tables)) {
            known.is_making = false;
            known.used = Instant::now();
        }
        drop(all);
        self.made.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_question_share_tables_that_one_of_them_makes() {
        let known = Arc::new(KnownTables::default());
        let (first, is_new) = known.of("pi 1e18");
        let (second, is_new_again) = known.of("pi 1e18");
        assert!(Arc::ptr_eq(&first, &second) && is_new && !is_new_again);
        let making = known.making("pi 1e18").expect("nobody makes them");
        assert!(known.making("pi 1e18").is_none(), "one does");
        assert!(known.making("pi 1e19").is_none(), "it is not known");
        drop(making);
        assert!(known.making("pi 1e18").is_some(), "they were not made");
    }

    #[test]
    fn tables_are_let_go_of_a_while_after_their_last_part_but_not_as_they_are_made() {
        let known = Arc::new(KnownTables::default());
        let begun = Instant::now();
        let made = Arc::downgrade(&known.of("pi 1e18").0);
        known.of("pi 1e19");
        let making = known.making("pi 1e19").expect("nobody makes them");
        known.forget_old(begun + TABLES_AGE / 2);
        assert!(made.upgrade().is_some(), "another part may come");
        known.forget_old(Instant::now() + TABLES_AGE);
        assert!(made.upgrade().is_none());
        assert!(!known.of("pi 1e19").1, "they are being made");
        drop(making);
    }

    #[test]
    fn the_question_used_longest_ago_makes_room_but_not_one_whose_tables_are_made() {
        let known = Arc::new(KnownTables::default());
        let questions = || {
            let all = known.all.lock().expect("nobody panicked");
            let mut questions: Vec<String> = all.iter().map(|tables| tables.question.clone()).collect();
            questions.sort();
            questions
        };
        for number in 0..MAX_TABLES {
            known.of(&format!("pi {number}"));
        }
        let mut making = vec![known.making("pi 0")];
        known.of("pi 1");
        known.of("one more");
        assert_eq!(questions(), ["one more", "pi 0", "pi 1", "pi 3"]);
        making.extend(["pi 1", "pi 3", "one more"].map(|question| known.making(question)));
        known.of("beside them");
        assert!(making.iter().all(Option::is_some));
        assert_eq!(questions(), ["beside them", "one more", "pi 0", "pi 1", "pi 3"]);
        assert!(known.making("pi 0").is_none(), "one part makes them");
        drop(making);
        known.of("the last");
        assert_eq!(questions().len(), MAX_TABLES);
    }
}
