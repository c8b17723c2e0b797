//! The verb of the simulation: `work N` takes N slices and answers N; `work N fails` panics in its last.

use crate::job::{Budget, Job, Plan};
use crate::proto::{Failure, Value};
use crate::verb::{Call, Step, Verb};

pub(super) struct Work;

impl Verb for Work {
    fn name(&self) -> &'static str {
        "work"
    }

    fn usage(&self) -> &'static str {
        "work N [fails]"
    }

    fn about(&self) -> &'static str {
        "takes N slices"
    }

    fn call(&self, call: &Call<'_>) -> Result<Step, Failure> {
        let total = call.at_most(0, "N", u64::MAX, "2^64-1")?;
        let fails = call.arg(1).is_some();
        let title = format!("work {total} {fails}");
        Ok(Step::Job(Job::new(title, move || WorkPlan {
            total,
            fails,
            cut: 0,
            absorbed: 0,
        })))
    }
}

struct WorkPlan {
    total: u64,
    fails: bool,
    cut: u64,
    absorbed: u64,
}

impl Plan for WorkPlan {
    type Slice = bool;
    type Partial = ();

    fn cut(&mut self) -> Option<bool> {
        self.cut += 1;
        (self.cut <= self.total).then_some(self.fails && self.cut == self.total)
    }

    fn run(panics: bool, budget: Budget<'_>) {
        assert!(!panics, "as asked");
        while !budget.over() {}
    }

    fn absorb(&mut self, (): ()) {
        self.absorbed += 1;
    }

    fn answer(&mut self) -> Option<Value> {
        (self.absorbed == self.total).then(|| Value::from(self.total))
    }

    fn progress(&self) -> f64 {
        self.absorbed as f64 / self.total as f64
    }
}
