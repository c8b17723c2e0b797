//! A plan of others, and what it consists of, guarded: a panic as it is dropped is caught. Knows no thread.

use super::{Budget, Damaged, Plan, Shared};
use crate::caught::Guarded;
use crate::proto::Value;

impl<P: Plan> Plan for Guarded<P> {
    type Slice = Guarded<P::Slice>;
    type Partial = Guarded<P::Partial>;

    fn cut(&mut self) -> Option<Self::Slice> {
        self.get_mut().cut().map(Guarded::new)
    }

    fn run(slice: Self::Slice, budget: Budget<'_>) -> Self::Partial {
        Guarded::new(P::run(slice.into_inner(), budget))
    }

    fn absorb(&mut self, partial: Self::Partial) {
        self.get_mut().absorb(partial.into_inner());
    }

    fn answer(&mut self) -> Option<Value> {
        self.get_mut().answer()
    }

    fn progress(&self) -> f64 {
        self.get().progress()
    }

    fn stage(&self) -> Option<String> {
        self.get().stage()
    }

    fn found(&self) -> Option<String> {
        self.get().found()
    }

    fn memory(&self, workers: usize) -> u64 {
        self.get().memory(workers)
    }

    fn is_long(&self) -> bool {
        self.get().is_long()
    }

    fn is_speculative(&self) -> bool {
        self.get().is_speculative()
    }

    fn rows(&mut self, most: usize) -> Vec<String> {
        self.get_mut().rows(most)
    }

    fn save(&self) -> Option<Vec<u8>> {
        self.get().save()
    }

    fn restore(bytes: &[u8]) -> Result<Self, Damaged> {
        P::restore(bytes).map(Self::new)
    }

    fn cut_part(&mut self, cost: f64) -> Option<Vec<u8>> {
        self.get_mut().cut_part(cost)
    }

    fn result(&self) -> Option<Vec<u8>> {
        self.get().result()
    }

    fn absorb_part(&mut self, part: &[u8], result: &[u8]) -> Result<(), Damaged> {
        self.get_mut().absorb_part(part, result)
    }

    fn take_back(&mut self, part: &[u8]) -> Result<(), Damaged> {
        self.get_mut().take_back(part)
    }

    fn needs_shared(&self) -> bool {
        self.get().needs_shared()
    }

    fn shared(&self) -> Option<Shared> {
        self.get().shared()
    }

    fn use_shared(&mut self, shared: &Shared) {
        self.get_mut().use_shared(shared);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Job;

    /// Panics as it is dropped, wherever it is.
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("as asked");
        }
    }

    struct Planted(Bomb);

    impl Plan for Planted {
        type Slice = Bomb;
        type Partial = Bomb;

        fn cut(&mut self) -> Option<Bomb> {
            Some(Bomb)
        }

        fn run(slice: Bomb, _: Budget<'_>) -> Bomb {
            slice
        }

        fn absorb(&mut self, partial: Bomb) {
            std::mem::forget(partial);
        }

        fn answer(&mut self) -> Option<Value> {
            None
        }

        fn progress(&self) -> f64 {
            0.0
        }

        fn restore(_: &[u8]) -> Result<Self, Damaged> {
            Ok(Self(Bomb))
        }
    }

    #[test]
    fn a_panic_of_what_is_dropped_does_not_concern_who_drops_it() {
        let bomb = Bomb;
        let job = Job::new("planted", move || {
            let _held = &bomb;
            Planted(Bomb)
        });
        let mut plan = job.plan().expect("the question is sound");
        let slices = [plan.cut(), plan.cut()];
        let [Some(slice), Some(other)] = slices else {
            panic!("there is always one more");
        };
        drop(other);
        drop(slice(Budget::unlimited()));
        let slice = plan.cut().expect("there is one more");
        plan.absorb(slice(Budget::unlimited()));
        drop(plan);
        drop(job);
    }
}
