//! The plan of a part that another machine has cut, as a job of this one: it runs like any other plan, and what it came
//! to goes to the one who ordered it. Knows no machine and no transport.

use super::{AnyPartial, AnyPlan, AnySlice, Budget, Plan, Shared};
use crate::proto::Value;
use std::sync::{Arc, Mutex, PoisonError};

/// What the parts of one question on one machine have in common: the tables that were last made for one of them.
#[derive(Debug, Default)]
pub struct PartTables(Mutex<Option<Shared>>);

impl PartTables {
    /// Gives a plan what there is, if it fits; false if it would still make its own.
    pub(super) fn serve(&self, plan: &mut dyn AnyPlan) -> bool {
        let shared = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(shared) = shared {
            plan.use_shared(&shared);
        }
        !plan.needs_shared()
    }

    fn set(&self, shared: Shared) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(shared);
    }
}

/// Where the result of a part is put, once it has one.
pub type PartResult = Arc<Mutex<Option<Vec<u8>>>>;

/// Slices of a part that run at once, at the most: a machine does as many parts as it has workers, and each has to have
/// room.
pub const PART_SLICES: usize = 2;

/// Plays the plan of a part; its answer is nothing, its result goes to a [`PartResult`].
pub(super) struct PartOf {
    plan: Box<dyn AnyPlan>,
    /// Where the tables go that it makes.
    tables: Option<Arc<PartTables>>,
    result: PartResult,
    /// Slices that run now.
    under_way: usize,
}

impl PartOf {
    pub(super) fn new(mut plan: Box<dyn AnyPlan>, tables: Arc<PartTables>, result: PartResult) -> Self {
        let is_served = tables.serve(&mut *plan);
        Self {
            plan,
            tables: (!is_served).then_some(tables),
            result,
            under_way: 0,
        }
    }
}

impl Plan for PartOf {
    type Slice = AnySlice;
    type Partial = AnyPartial;

    fn cut(&mut self) -> Option<AnySlice> {
        if self.under_way == PART_SLICES {
            return None;
        }
        let slice = self.plan.cut()?;
        self.under_way += 1;
        Some(slice)
    }

    fn run(slice: AnySlice, budget: Budget<'_>) -> AnyPartial {
        slice(budget)
    }

    fn absorb(&mut self, partial: AnyPartial) {
        self.under_way -= 1;
        self.plan.absorb(partial);
        if self.tables.is_some()
            && let Some(shared) = self.plan.shared()
            && let Some(tables) = self.tables.take()
        {
            tables.set(shared);
        }
    }

    fn answer(&mut self) -> Option<Value> {
        self.plan.answer()?;
        *self.result.lock().unwrap_or_else(PoisonError::into_inner) = self.plan.result();
        Some(Value::Nothing)
    }

    fn progress(&self) -> f64 {
        self.plan.progress()
    }

    fn stage(&self) -> Option<String> {
        self.plan.stage()
    }

    fn memory(&self, workers: usize) -> u64 {
        self.plan.memory(workers.min(PART_SLICES))
    }

    fn is_long(&self) -> bool {
        true
    }
}

/// Makes the tables of a question and no more, by its plan, so that its parts find them; its answer is nothing.
pub(super) struct TablesOf {
    plan: Box<dyn AnyPlan>,
    tables: Arc<PartTables>,
    is_under_way: bool,
}

impl TablesOf {
    pub(super) fn new(plan: Box<dyn AnyPlan>, tables: Arc<PartTables>) -> Self {
        Self {
            plan,
            tables,
            is_under_way: false,
        }
    }
}

impl Plan for TablesOf {
    type Slice = AnySlice;
    type Partial = AnyPartial;

    fn cut(&mut self) -> Option<AnySlice> {
        // What is cut beside it is other work.
        if self.is_under_way || !self.plan.needs_shared() {
            return None;
        }
        let slice = self.plan.cut()?;
        self.is_under_way = true;
        Some(slice)
    }

    fn run(slice: AnySlice, budget: Budget<'_>) -> AnyPartial {
        slice(budget)
    }

    fn absorb(&mut self, partial: AnyPartial) {
        self.is_under_way = false;
        self.plan.absorb(partial);
    }

    fn answer(&mut self) -> Option<Value> {
        if self.plan.needs_shared() {
            return None;
        }
        self.plan
            .shared()
            .into_iter()
            .for_each(|shared| self.tables.set(shared));
        Some(Value::Nothing)
    }

    fn progress(&self) -> f64 {
        0.0
    }

    fn memory(&self, _: usize) -> u64 {
        self.plan.memory(1)
    }

    fn is_long(&self) -> bool {
        true
    }
}

#[cfg(all(test, feature = "cluster"))]
mod tests {
    use super::*;
    use crate::job::{Job, Method, Query, run_to_end};

    #[test]
    fn a_part_waits_for_tables_only_if_it_would_make_them() {
        let (pi, tables) = (Query::Pi(10_u128.pow(13)), Arc::<PartTables>::default());
        let job = Job::from(pi.clone());
        let needs = |part: &[u8]| job.part_needs_tables(part, &tables).expect("it is its part");
        let mut plan = job.plan().expect("it is a question");
        let without = plan.cut_part(1e6).expect("B needs no tables");
        assert!(!needs(&without));
        while plan.needs_shared() {
            let slice = plan.cut().expect("the tables come first");
            plan.absorb(slice(Budget::unlimited()));
        }
        let with = plan.cut_part(1e6).expect("D is not done");
        assert!(needs(&with));

        let making = Job::from(pi).tables("tables".to_owned(), tables.clone());
        let mut making = making.expect("it has tables").plan().expect("it is a plan");
        assert_eq!(run_to_end(&mut *making), Value::Nothing);
        assert!(!needs(&with));
    }

    #[test]
    fn parts_that_share_nothing_do_not_wait() {
        let (low, last) = (10_u64.pow(12), 10_u64.pow(12) + 10_u64.pow(9));
        let job = Job::from(Query::Count {
            low: low.into(),
            last: last.into(),
            method: Method::Sieve,
        });
        let part = job.plan().expect("it is a question").cut_part(1e6).expect("it is long");
        assert!(
            !job.part_needs_tables(&part, &PartTables::default())
                .expect("it is its part")
        );
        assert!(job.tables("tables".to_owned(), Arc::default()).is_none());
    }
}
