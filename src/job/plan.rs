//! The one idea: a plan is plain data that cuts off slices, absorbs partials and gives the answer.
//!
//! Knows nothing of who runs a slice, on how many threads, or what the time is.
//!
//! To write a plan:
//! 1. Choose the unit of work that can run alone: a stripe of a sieve, a range of leaves.
//! 2. `cut` hands out such units and remembers which are under way.
//! 3. `run` works until the unit is finished or the budget is over, and returns how far it came.
//! 4. `absorb` adds the partial and takes back what was left.
//! 5. `answer` has the answer once nothing is left.
//! 6. `save` writes down what is absorbed, and `restore` reads it, if a restart should not cost the work that was done.
//! 7. `cut_part` gives a share of the work away as bytes, if other machines should help: they are a checkpoint of a
//!    plan for that share alone, which [`restore`](Plan::restore) makes there.

use super::Damaged;
use crate::proto::Value;
use std::any::Any;
use std::sync::Arc;

/// How long a slice may go on. The code that runs the slice supplies the clock, the limit and the cancel flag.
#[derive(Clone, Copy)]
pub struct Budget<'a>(&'a dyn Fn() -> bool);

impl<'a> Budget<'a> {
    /// A budget that is over as soon as `over` says so.
    pub const fn new(over: &'a dyn Fn() -> bool) -> Self {
        Self(over)
    }

    /// A budget that is never over.
    pub const fn unlimited() -> Budget<'static> {
        Budget(&|| false)
    }

    /// True when the slice is to stop at the next convenient point. Costs about 40 ns: ask every 20 to 200 microseconds
    /// of work.
    #[inline]
    pub fn over(&self) -> bool {
        (self.0)()
    }
}

/// Nanoseconds of work above which a plan [says that it is long](Plan::is_long): some times the first millisecond, as
/// costs are estimates.
pub(super) const LONG: f64 = 5e6;

/// Work that is cut into slices. Several slices of one plan may run at once, on different threads.
///
/// Between two slices the plan is the checkpoint: [`save`](Plan::save) writes what has been absorbed; slices under way
/// count as not yet done.
pub trait Plan: Send + Sized + 'static {
    /// A unit of work, complete in itself: what `run` needs and nothing else.
    type Slice: Send + 'static;
    /// What a slice brings back: its result, and what of the unit is left.
    type Partial: Send + 'static;

    /// Cuts off the next slice. `None`: all is cut, or what is left has to wait until slices under way are absorbed.
    /// Takes microseconds: heavy preparation is a slice too.
    fn cut(&mut self) -> Option<Self::Slice>;

    /// Runs a slice until it is finished or the budget is over. Makes some progress even if the budget is over from the
    /// start.
    fn run(slice: Self::Slice, budget: Budget<'_>) -> Self::Partial;

    /// Takes in the result of a slice, in whatever order slices come back. Takes microseconds.
    fn absorb(&mut self, partial: Self::Partial);

    /// The answer, once every slice is absorbed.
    fn answer(&mut self) -> Option<Value>;

    /// The share of the whole cost that has been absorbed, 0.0..=1.0; never falls.
    fn progress(&self) -> f64;

    /// What it is at, for people, if there is more to say than the share: `sieve relations=61%`. One line; 80
    /// characters of it are sent.
    fn stage(&self) -> Option<String> {
        None
    }

    /// What is known of the answer before it is complete, so that it is not lost if the work is stopped.
    fn found(&self) -> Option<String> {
        None
    }

    /// Upper bound of the bytes the plan and its slices under way on `workers` threads will hold at once; slices that
    /// were cut and wait for a thread count as if they were run.
    fn memory(&self, workers: usize) -> u64 {
        let _ = workers;
        64 << 10
    }

    /// True if the whole work is known to take far more than the millisecond that a job is given at once: then no
    /// worker of the express lane begins it, and all its slices take turns with those of other long jobs. Asked once,
    /// before the first cut.
    fn is_long(&self) -> bool {
        false
    }

    /// True if the result of one slice may make others under way vain. No slice is cut ahead of a free worker then: a
    /// worker that is alone runs them one after the other. Asked as it goes to the bulk workers, which may be after its
    /// first slices.
    fn is_speculative(&self) -> bool {
        false
    }

    /// Finished rows, in order, as lines without their line feeds; at most `most`. A plan that streams stops cutting
    /// while it holds a few rows that nobody took.
    fn rows(&mut self, most: usize) -> Vec<String> {
        let _ = most;
        Vec::new()
    }

    /// What has been absorbed, as versioned bytes: a [`Writer`](super::Writer) makes them. `None`: this plan starts
    /// over.
    fn save(&self) -> Option<Vec<u8>> {
        None
    }

    /// Goes on where [`save`](Self::save) left off: gives the answer that the uninterrupted plan would have given. The
    /// bytes may come from a disk, and be anything: a [`Reader`](super::Reader) never panics.
    ///
    /// # Errors
    /// [`Damaged`] if no plan of this kind and version wrote these bytes.
    fn restore(bytes: &[u8]) -> Result<Self, Damaged> {
        let _ = bytes;
        Err(Damaged::Kind)
    }

    /// Cuts off a part of about `cost` nanoseconds of work, to be done on another machine: the checkpoint of a plan for
    /// this part alone. There [`restore`](Self::restore) makes that plan of it, which is run as any other, and whose
    /// [`result`](Self::result) comes back once it has its answer. `None`: nothing that is worth being sent is left to
    /// be cut now. Takes microseconds.
    ///
    /// A part under way counts as not done, as a slice does. No two parts that are under way at once have the same
    /// bytes.
    fn cut_part(&mut self, cost: f64) -> Option<Vec<u8>> {
        let _ = cost;
        None
    }

    /// What the plan of a part came to, as versioned bytes, for [`absorb_part`](Self::absorb_part) of the plan that it
    /// was cut from. Asked once it has its answer. Of one part it is always the same, however it was cut into slices:
    /// that is how a machine which errs is found.
    fn result(&self) -> Option<Vec<u8>> {
        None
    }

    /// Takes in what a part came to, in whatever order parts come back. Both come from another machine, and may be
    /// anything: if they are refused, the plan is as before. Takes microseconds.
    ///
    /// # Errors
    /// [`Damaged`] if no such part is under way, or this cannot be its result.
    fn absorb_part(&mut self, part: &[u8], result: &[u8]) -> Result<(), Damaged> {
        let _ = (part, result);
        Err(Damaged::Kind)
    }

    /// Takes back a part that will not be done elsewhere: it is cut again, as slices or parts.
    ///
    /// # Errors
    /// [`Damaged`] if no such part is under way.
    fn take_back(&mut self, part: &[u8]) -> Result<(), Damaged> {
        let _ = part;
        Err(Damaged::Kind)
    }

    /// True if this plan would now make what it then [shares](Self::shared), and slow others down that would make it
    /// too. False where making it takes no time that matters.
    fn needs_shared(&self) -> bool {
        false
    }

    /// What this plan has made that others of the same question would make again, such as tables: while it is kept, the
    /// plans of further parts on this machine use it by [`use_shared`](Self::use_shared).
    fn shared(&self) -> Option<Shared> {
        None
    }

    /// Uses what another plan has made, if it is of the same question and this plan has not begun to make it. To be
    /// called before the first cut.
    fn use_shared(&mut self, shared: &Shared) {
        let _ = shared;
    }
}

/// What plans of one question on one machine may share: only they know what it is.
pub type Shared = Arc<dyn Any + Send + Sync>;

/// A slice whose type has been forgotten: call it to run it.
pub type AnySlice = Box<dyn FnOnce(Budget<'_>) -> AnyPartial + Send>;

/// A partial whose type has been forgotten. Only the plan that cut the slice can absorb it.
pub type AnyPartial = Box<dyn Any + Send>;

/// A [`Plan`] whose types have been forgotten, so that one queue holds plans of every kind.
///
/// Every [`Plan`] is one, and nothing else: methods may be added.
pub trait AnyPlan: Send + sealed::Sealed {
    /// See [`Plan::cut`].
    fn cut(&mut self) -> Option<AnySlice>;
    /// See [`Plan::absorb`].
    ///
    /// # Panics
    /// If the partial came from a slice of another kind of plan.
    fn absorb(&mut self, partial: AnyPartial);
    /// See [`Plan::answer`].
    fn answer(&mut self) -> Option<Value>;
    /// See [`Plan::progress`].
    fn progress(&self) -> f64;
    /// See [`Plan::stage`].
    fn stage(&self) -> Option<String>;
    /// See [`Plan::found`].
    fn found(&self) -> Option<String>;
    /// See [`Plan::memory`].
    fn memory(&self, workers: usize) -> u64;
    /// See [`Plan::is_long`].
    fn is_long(&self) -> bool;
    /// See [`Plan::is_speculative`].
    fn is_speculative(&self) -> bool;
    /// See [`Plan::rows`].
    fn rows(&mut self, most: usize) -> Vec<String>;
    /// See [`Plan::save`].
    fn save(&self) -> Option<Vec<u8>>;
    /// See [`Plan::cut_part`].
    fn cut_part(&mut self, cost: f64) -> Option<Vec<u8>>;
    /// See [`Plan::result`].
    fn result(&self) -> Option<Vec<u8>>;
    /// See [`Plan::absorb_part`].
    ///
    /// # Errors
    /// As there.
    fn absorb_part(&mut self, part: &[u8], result: &[u8]) -> Result<(), Damaged>;
    /// See [`Plan::take_back`].
    ///
    /// # Errors
    /// As there.
    fn take_back(&mut self, part: &[u8]) -> Result<(), Damaged>;
    /// See [`Plan::needs_shared`].
    fn needs_shared(&self) -> bool;
    /// See [`Plan::shared`].
    fn shared(&self) -> Option<Shared>;
    /// See [`Plan::use_shared`].
    fn use_shared(&mut self, shared: &Shared);
    /// Plays the plan alone on this thread, slice after slice, until the answer is there or the budget is over.
    fn advance(&mut self, budget: Budget<'_>) -> Option<Value>;
}

mod sealed {
    /// Keeps [`AnyPlan`](super::AnyPlan) to plans.
    pub trait Sealed {}
    impl<P: super::Plan> Sealed for P {}
}

impl<P: Plan> AnyPlan for P {
    fn cut(&mut self) -> Option<AnySlice> {
        let slice = Plan::cut(self)?;
        Some(Box::new(move |budget| Box::new(P::run(slice, budget))))
    }

    fn absorb(&mut self, partial: AnyPartial) {
        let partial = partial
            .downcast()
            .expect("a partial goes back to the plan that cut its slice");
        Plan::absorb(self, *partial);
    }

    fn answer(&mut self) -> Option<Value> {
        Plan::answer(self)
    }

    fn progress(&self) -> f64 {
        Plan::progress(self)
    }

    fn stage(&self) -> Option<String> {
        Plan::stage(self)
    }

    fn found(&self) -> Option<String> {
        Plan::found(self)
    }

    fn memory(&self, workers: usize) -> u64 {
        Plan::memory(self, workers)
    }

    fn is_long(&self) -> bool {
        Plan::is_long(self)
    }

    fn is_speculative(&self) -> bool {
        Plan::is_speculative(self)
    }

    fn rows(&mut self, most: usize) -> Vec<String> {
        Plan::rows(self, most)
    }

    fn save(&self) -> Option<Vec<u8>> {
        Plan::save(self)
    }

    fn cut_part(&mut self, cost: f64) -> Option<Vec<u8>> {
        Plan::cut_part(self, cost)
    }

    fn result(&self) -> Option<Vec<u8>> {
        Plan::result(self)
    }

    fn absorb_part(&mut self, part: &[u8], result: &[u8]) -> Result<(), Damaged> {
        Plan::absorb_part(self, part, result)
    }

    fn take_back(&mut self, part: &[u8]) -> Result<(), Damaged> {
        Plan::take_back(self, part)
    }

    fn needs_shared(&self) -> bool {
        Plan::needs_shared(self)
    }

    fn shared(&self) -> Option<Shared> {
        Plan::shared(self)
    }

    fn use_shared(&mut self, shared: &Shared) {
        Plan::use_shared(self, shared);
    }

    fn advance(&mut self, budget: Budget<'_>) -> Option<Value> {
        let mut has_begun = false;
        loop {
            if let Some(value) = Plan::answer(self) {
                return Some(value);
            }
            if has_begun && budget.over() {
                return None;
            }
            let slice = Plan::cut(self)?;
            Plan::absorb(self, P::run(slice, budget));
            has_begun = true;
        }
    }
}

/// Plays a plan that streams no rows to its end on this thread.
///
/// # Panics
/// If the plan stops cutting before it has the answer.
pub fn run_to_end(plan: &mut dyn AnyPlan) -> Value {
    plan.advance(Budget::unlimited())
        .expect("a plan cuts until it has its answer")
}
