//! A job that can be handed over: a question and the way to make its plan. Knows no client and no worker.

#[cfg(feature = "cluster")]
use super::part::{PartOf, PartResult, PartTables, TablesOf};
use super::{AnyPlan, Damaged, Plan, Query, restore, verify};
use crate::caught::Guarded;
use crate::metrics::VerbLabel;
use crate::proto::{Failure, Value};
use std::borrow::Cow;
use std::fmt::{self, Write};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Work that was asked for and is not begun.
pub struct Job {
    question: Question,
    /// True if the answer is preceded by rows. Such a job is never shared between two who ask.
    pub(crate) streams: bool,
    /// True if the answer may be kept and given to a client that asks the same later. It depends on the title and on
    /// nothing else: not on the time, not on what else was asked.
    pub(crate) is_kept: bool,
    /// The verb that asked, for the metrics.
    pub(crate) verb: VerbLabel,
    /// Apart, as a job is moved many times on its way to a worker.
    rare: Option<Box<Extras>>,
}

/// What few jobs have.
#[derive(Default)]
struct Extras {
    /// What a plan of an earlier process has saved, from which this one goes on.
    checkpoint: Option<Arc<[u8]>>,
    /// The question whose answer it verifies.
    verifies: Option<Query>,
    /// Where its CPU time is counted too.
    spent: Option<Spent>,
}

/// CPU time in nanoseconds.
pub type Spent = Arc<AtomicU64>;

enum Question {
    /// A built-in one, which is its own title and plan: nothing is made before it is worked on.
    Query(Query),
    Own {
        title: String,
        make: Box<MakePlan>,
        restore: Restore,
    },
}

type MakePlan = dyn Fn() -> Result<Box<dyn AnyPlan>, Failure> + Send;

/// Reads the checkpoint of a plan.
type Restore = fn(&[u8]) -> Result<Box<dyn AnyPlan>, Damaged>;

impl Job {
    /// A job whose plan is made, where it will run, by `make`; again, if it had to make room for others before it was
    /// begun.
    pub fn new<P: Plan>(title: impl Into<String>, make: impl Fn() -> P + Send + 'static) -> Self {
        Self {
            question: Question::Own {
                title: title.into(),
                make: {
                    let make = Guarded::new(make);
                    Box::new(move || Ok(Box::new(Guarded::new((make.get())()))))
                },
                restore: |bytes| Ok(Box::new(Guarded::<P>::restore(bytes)?)),
            },
            streams: false,
            is_kept: false,
            verb: VerbLabel::default(),
            rare: None,
        }
    }

    /// A job of a built-in question, which plans of several kinds may answer, and which may turn out to be wrong where
    /// it is worked on, because reading it takes long.
    pub(crate) fn of_any(title: String, make: impl Fn() -> Result<Box<dyn AnyPlan>, Failure> + Send + 'static) -> Self {
        Self {
            question: Question::Own {
                title,
                make: Box::new(make),
                restore,
            },
            streams: false,
            is_kept: false,
            verb: VerbLabel::default(),
            rare: None,
        }
    }

    /// The job that verifies the answer to this one by a second way, if there is such a way.
    pub(crate) fn verification(&self) -> Option<Self> {
        match &self.question {
            Question::Query(query) if verify::can_verify(query) => Some(Self::verifying(query, None)),
            _ => None,
        }
    }

    fn verifying(query: &Query, first: Option<Value>) -> Self {
        let mut job = verify::job(query, first);
        job.rare.get_or_insert_default().verifies = Some(query.clone());
        job
    }

    /// True if it verifies an answer.
    pub(crate) fn is_verification(&self) -> bool {
        self.verified().is_some()
    }

    fn verified(&self) -> Option<&Query> {
        self.rare.as_ref()?.verifies.as_ref()
    }

    /// The same job, whose CPU time is counted there too, before its answer is given.
    #[cfg(any(feature = "cluster", test))]
    pub(crate) fn counted(mut self, spent: Spent) -> Self {
        self.rare.get_or_insert_default().spent = Some(spent);
        self
    }

    /// Where its CPU time is counted too.
    pub(crate) fn spent(&self) -> Option<Spent> {
        self.rare.as_ref()?.spent.clone()
    }

    /// The title of the question whose answer it verifies.
    pub(crate) fn verifies(&self) -> Option<String> {
        self.verified().map(ToString::to_string)
    }

    /// The same verification, of this answer.
    pub(crate) fn of_answer(self, first: Value) -> Self {
        match self.verified() {
            Some(query) => Self {
                verb: self.verb,
                ..Self::verifying(query, Some(first))
            },
            None => self,
        }
    }

    /// The same job of another title, if it is not a built-in question, which is its own title.
    pub(crate) fn titled(mut self, other: String) -> Self {
        if let Question::Own { title, .. } = &mut self.question {
            *title = other;
        }
        self
    }

    /// The same job, marked as one that streams rows.
    pub fn streaming(mut self) -> Self {
        self.streams = true;
        self
    }

    /// The same job, marked as one whose answer may be kept.
    pub fn kept(mut self) -> Self {
        self.is_kept = true;
        self
    }

    /// The question as its one canonical text, e.g. `pi 1000000`; or, if its numbers are too long to be read at once,
    /// as it was asked. Two jobs of one title have the same answer.
    pub fn title(&self) -> Cow<'_, str> {
        match &self.question {
            Question::Query(query) => {
                let mut title = String::with_capacity(query.title_bytes());
                write!(title, "{query}").expect("a string takes what is written");
                title.into()
            }
            Question::Own { title, .. } => title.into(),
        }
    }

    /// Bytes of the title, about.
    pub(crate) fn title_bytes(&self) -> usize {
        match &self.question {
            Question::Query(query) => query.title_bytes(),
            Question::Own { title, .. } => title.len(),
        }
    }

    /// True if the answer takes a microsecond or two: no more than to look whether somebody has asked the same.
    pub(crate) fn is_brief(&self) -> bool {
        matches!(&self.question, Question::Query(query) if query.is_brief())
    }

    /// True if it looks for a prime, which takes much longer for some numbers.
    pub(crate) const fn is_search(&self) -> bool {
        matches!(&self.question, Question::Query(query) if query.is_search())
    }

    /// The answer, if no plan is worth making. The first time may take 3 ms, to make a table: for callers that
    /// answer many questions.
    pub(crate) fn at_once(&self) -> Option<Value> {
        match &self.question {
            Question::Query(query) => query.at_once(),
            Question::Own { .. } => None,
        }
    }

    /// The answer, if it is [brief](Self::is_brief) and no table has to be made first: for callers that have a
    /// microsecond.
    pub(crate) fn brief(&self) -> Option<Value> {
        match &self.question {
            Question::Query(query) if query.is_prepared() => query.brief(),
            _ => None,
        }
    }

    /// Makes the plan.
    ///
    /// # Errors
    /// What is wrong with the question.
    pub fn plan(&self) -> Result<Box<dyn AnyPlan>, Failure> {
        if let Some(rare) = &self.rare
            && let Some(checkpoint) = &rare.checkpoint
            && let Ok(plan) = self.restore(checkpoint)
        {
            return Ok(plan);
        }
        match &self.question {
            Question::Query(query) => {
                query.check()?;
                Ok(query.clone().checked_plan())
            }
            Question::Own { make, .. } => make(),
        }
    }

    /// Lets the job go on from a checkpoint that a plan of it has [saved](Plan::save).
    ///
    /// # Errors
    /// Why no plan of it wrote these bytes; the job starts over then.
    pub(crate) fn resume(&mut self, checkpoint: Arc<[u8]>) -> Result<(), Damaged> {
        self.restore(&checkpoint)?;
        self.rare.get_or_insert_default().checkpoint = Some(checkpoint);
        Ok(())
    }

    /// The job that does a part of this one, cut elsewhere: it answers nothing, and puts what the part came to where it
    /// is to go. The tables are those of all parts of this question here.
    ///
    /// # Errors
    /// Why no plan of this question cut these bytes.
    #[cfg(feature = "cluster")]
    pub(crate) fn part(
        &self,
        title: String,
        part: Arc<[u8]>,
        tables: Arc<PartTables>,
        result: PartResult,
    ) -> Result<Self, Damaged> {
        self.restore(&part)?;
        let restore_part: Restore = match &self.question {
            Question::Query(_) => restore,
            Question::Own { restore, .. } => *restore,
        };
        Ok(Self::of_any(title, move || {
            let plan = restore_part(&part)
                .map_err(|damaged| Failure::new(crate::proto::Code::Internal, damaged.to_string()))?;
            Ok(Box::new(PartOf::new(plan, tables.clone(), result.clone())))
        }))
    }

    /// Whether the job of a part would first make tables that are not there.
    ///
    /// # Errors
    /// Why no plan of this question cut these bytes.
    #[cfg(feature = "cluster")]
    pub(crate) fn part_needs_tables(&self, part: &[u8], tables: &PartTables) -> Result<bool, Damaged> {
        Ok(!tables.serve(&mut *self.restore(part)?))
    }

    /// The job that makes the tables of this question's parts before one needs them. `None`: its plan does not begin
    /// with them.
    #[cfg(feature = "cluster")]
    pub(crate) fn tables(self, title: String, tables: Arc<PartTables>) -> Option<Self> {
        self.plan().ok().filter(|plan| plan.needs_shared())?;
        Some(Self::of_any(title, move || {
            Ok(Box::new(TablesOf::new(self.plan()?, tables.clone())))
        }))
    }

    /// Makes the plan from a checkpoint that a plan of this job has [saved](Plan::save).
    ///
    /// # Errors
    /// [`Damaged`] if no plan of this kind of question wrote these bytes. That they are of this question is for the
    /// store and the cluster to see to, which keep them by its job.
    pub fn restore(&self, checkpoint: &[u8]) -> Result<Box<dyn AnyPlan>, Damaged> {
        match &self.question {
            Question::Query(_) => restore(checkpoint),
            Question::Own { restore, .. } => restore(checkpoint),
        }
    }
}

impl From<Query> for Job {
    fn from(query: Query) -> Self {
        Self {
            streams: query.streams(),
            is_kept: !query.is_brief(),
            verb: VerbLabel::default(),
            rare: None,
            question: Question::Query(query),
        }
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Job")
            .field("title", &self.title())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Method, run_to_end};
    use crate::primes::{Natural, rank};
    use proptest::prelude::*;

    fn word() -> impl Strategy<Value = Natural> {
        (any::<u64>(), 1u32..=64).prop_map(|(n, bits)| Natural::from(n >> (64 - bits)))
    }

    fn brief() -> impl Strategy<Value = Query> {
        let below = |limit: u64| (0..limit, 1u32..=24).prop_map(|(n, bits)| n >> (24 - bits));
        prop_oneof![
            word().prop_map(Query::IsPrime),
            word().prop_map(Query::Next),
            word().prop_map(|n| Query::Prev(n.max(3u8.into()))),
            prop::collection::vec(word(), 1..=4).prop_map(Query::ArePrime),
            below(rank::COUNT).prop_map(|n| Query::Nth(u128::from(n) + 1)),
            below(rank::LIMIT).prop_map(|x| Query::Pi(x.into())),
            (below(rank::LIMIT), below(rank::LIMIT)).prop_map(|(low, last)| Query::Count {
                low: low.into(),
                last: last.into(),
                method: Method::Auto,
            }),
        ]
    }

    proptest! {
        #[test]
        fn a_brief_answer_is_that_of_the_plan(query in brief()) {
            let job = Job::from(query);
            prop_assert!(job.is_brief() && !job.is_kept);
            let mut plan = job.plan().expect("the question is sound");
            let answer = run_to_end(plan.as_mut());
            prop_assert_eq!(job.at_once(), Some(answer.clone()));
            if rank::is_made() {
                prop_assert_eq!(job.brief(), Some(answer));
            }
        }

        #[test]
        fn an_answer_without_a_plan_is_that_of_the_plan(numbers in prop::collection::vec((any::<u128>(), 1u32..=128), 1..=16)) {
            let numbers: Vec<Natural> = numbers.into_iter().map(|(n, bits)| Natural::from(n >> (128 - bits))).collect();
            let first = numbers[0].clone();
            for query in [
                Query::IsPrime(first.clone()),
                Query::Next(first.clone()),
                Query::Prev(first.max(3u8.into())),
                Query::ArePrime(numbers),
            ] {
                let job = Job::from(query);
                let mut plan = job.plan().expect("the question is sound");
                prop_assert_eq!(job.at_once(), Some(run_to_end(plan.as_mut())));
            }
        }
    }

    #[test]
    fn what_takes_longer_has_no_brief_answer_and_is_kept() {
        for query in [
            Query::IsPrime(Natural::ONE << 64),
            Query::Next(Natural::ONE << 64),
            Query::ArePrime(vec![7u8.into(); 5]),
            Query::ArePrime(vec![7u8.into(), Natural::ONE << 64]),
            Query::Nth(u128::from(rank::COUNT) + 1),
            Query::Pi(rank::LIMIT.into()),
            Query::Count {
                low: 0,
                last: 10,
                method: Method::Sieve,
            },
            Query::Factor(Natural::from(15u8)),
        ] {
            let job = Job::from(query);
            assert!(!job.is_brief() && job.brief().is_none() && job.is_kept, "{job:?}");
        }
    }
}
