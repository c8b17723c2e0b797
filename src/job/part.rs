//! The plan of a part that another machine has cut, as a job of this one: it runs like any other plan, and what it came to goes to
//! the one who ordered it. Knows no machine and no transport.

use super::{AnyPartial, AnyPlan, AnySlice, Budget, Plan, Shared};
use crate::proto::Value;
use std::sync::{Arc, Mutex, PoisonError};

/// What the parts of one question on one machine have in common: the tables that the first of them makes.
#[derive(Debug, Default)]
pub struct PartTables(Mutex<Option<Shared>>);

impl PartTables {
    /// True once they are made.
    pub fn are_made(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn get(&self) -> Option<Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, shared: Shared) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(shared);
    }
}

/// Where the result of a part is put, once it has one.
pub type PartResult = Arc<Mutex<Option<Vec<u8>>>>;

/// Plays the plan of a part; its answer is nothing, its result goes to a [`PartResult`].
pub(super) struct PartOf {
    plan: Box<dyn AnyPlan>,
    tables: Arc<PartTables>,
    result: PartResult,
}

impl PartOf {
    pub(super) fn new(mut plan: Box<dyn AnyPlan>, tables: Arc<PartTables>, result: PartResult) -> Self {
        if let Some(shared) = tables.get() {
            plan.use_shared(&shared);
        }
        Self { plan, tables, result }
    }
}

impl Plan for PartOf {
    type Slice = AnySlice;
    type Partial = AnyPartial;

    fn cut(&mut self) -> Option<AnySlice> {
        self.plan.cut()
    }

    fn run(slice: AnySlice, budget: Budget<'_>) -> AnyPartial {
        slice(budget)
    }

    fn absorb(&mut self, partial: AnyPartial) {
        self.plan.absorb(partial);
        if !self.tables.are_made()
            && let Some(shared) = self.plan.shared()
        {
            self.tables.set(shared);
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
        self.plan.memory(workers)
    }

    fn is_long(&self) -> bool {
        true
    }
}
