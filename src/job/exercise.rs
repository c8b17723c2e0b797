//! Plays a plan in every way the engine may, and holds the answers against each other: the test that every plan should
//! pass.
//!
//! Knows no plan: it sees what any plan promises, and no more.

use super::{Budget, Plan};
use crate::proto::Value;
use fastrand::Rng;
use std::cell::Cell;
use std::collections::VecDeque;

/// How often a plan is restored in one play: one that begins a piece anew each time may never end if it is stopped for
/// ever.
const RESTARTS: u32 = 20;

/// The answer of the plan that `make` makes, after holding it to its promises: the same answer alone and with several
/// slices under way, whichever comes back first and however small their budgets; the same again from every checkpoint;
/// rows in the same order; progress within 0.0..=1.0 that never falls. If it gives parts away, they are done by plans
/// made of their bytes, out of order, with the same result again, or taken back, and damaged bytes are refused or at
/// least survived.
///
/// ```
/// use primed::{Budget, Plan, Value, exercise};
///
/// /// Adds up the numbers below an end, a thousand a slice.
/// struct Sum { end: u64, cut: u64, absorbed: u64, sum: u64 }
///
/// impl Plan for Sum {
///     type Slice = std::ops::Range<u64>;
///     type Partial = (u64, u64);
///
///     fn cut(&mut self) -> Option<Self::Slice> {
///         let low = self.cut;
///         self.cut = (low + 1000).min(self.end);
///         (low < self.end).then_some(low..self.cut)
///     }
///     fn run(slice: Self::Slice, _: Budget<'_>) -> (u64, u64) {
///         (slice.end - slice.start, slice.sum())
///     }
///     fn absorb(&mut self, (count, sum): (u64, u64)) {
///         self.absorbed += count;
///         self.sum += sum;
///     }
///     fn answer(&mut self) -> Option<Value> {
///         (self.absorbed == self.end).then(|| self.sum.into())
///     }
///     fn progress(&self) -> f64 {
///         self.absorbed as f64 / self.end as f64
///     }
/// }
///
/// let answer = exercise(|| Sum { end: 100_000, cut: 0, absorbed: 0, sum: 0 });
/// assert_eq!(answer, 4_999_950_000.into());
/// ```
///
/// # Panics
/// If the plan breaks a promise, or takes more than a million slices. Give it a small question.
pub fn exercise<P: Plan>(make: impl Fn() -> P) -> Value {
    exercise_with_parts::<P, P>(make)
}

/// The same of a plan whose parts are done by plans of another kind, `E`, elsewhere.
///
/// # Panics
/// As [`exercise`].
pub(super) fn exercise_with_parts<P: Plan, E: Plan>(make: impl Fn() -> P) -> Value {
    let ways = |most, is_resumed, is_shared| Ways {
        most,
        is_resumed,
        is_shared,
    };
    let alone = play::<P, E>(&mut make(), ways(1, false, false), &mut Rng::with_seed(1));
    for seed in 2..12 {
        let mut random = Rng::with_seed(seed);
        for (is_resumed, is_shared) in [(false, false), (true, false), (false, true), (true, true)] {
            let other = play::<P, E>(&mut make(), ways(4, is_resumed, is_shared), &mut random);
            assert!(
                other == alone,
                "played with slices out of order (resumed: {is_resumed}, with parts: {is_shared}), it came to {other:?}; alone, to {alone:?}"
            );
        }
        damage::<P, E>(&mut make(), &mut random);
    }
    alone.0
}

/// How a plan is played.
#[derive(Clone, Copy)]
struct Ways {
    /// The most slices under way at once.
    most: usize,
    /// Whether it is restored from its checkpoints.
    is_resumed: bool,
    /// Whether parts of it are done elsewhere.
    is_shared: bool,
}

/// The most parts under way at once.
const PARTS: usize = 3;

/// What a part comes to on another machine, of which nothing but its bytes is known there; some are done twice.
fn elsewhere<E: Plan>(part: &[u8], random: &mut Rng) -> Vec<u8> {
    let once = |random: &mut Rng| {
        let mut plan = E::restore(part).expect("a part is a checkpoint of a plan of its own");
        let ways = Ways {
            most: 4,
            is_resumed: random.bool(),
            is_shared: false,
        };
        play::<E, E>(&mut plan, ways, random);
        plan.result()
            .expect("the plan of a part that has its answer has a result")
    };
    let result = once(random);
    if random.u32(..4) == 0 {
        assert!(once(random) == result, "a part that is done again has the same result");
    }
    result
}

/// The costs of parts, in nanoseconds.
const COSTS: [f64; 4] = [1.0, 1e4, 1e6, 1e7];

/// Holds damaged bytes against a plan that gives parts away. It may take some of them for another result, but panics at
/// none.
fn damage<P: Plan, E: Plan>(plan: &mut P, random: &mut Rng) {
    for _ in 0..random.u32(..30) {
        let Some(slice) = plan.cut() else { return };
        plan.absorb(P::run(slice, Budget::new(&|| true)));
    }
    let cost = COSTS[random.usize(..COSTS.len())];
    let Some(part) = plan.cut_part(cost) else { return };
    let result = elsewhere::<E>(&part, random);
    for length in 0..part.len().min(200) {
        let short = &part[..length];
        assert!(E::restore(short).is_err(), "a part that ends early is no part");
        assert!(plan.take_back(short).is_err() && plan.absorb_part(short, &result).is_err());
    }
    for length in 0..result.len().min(200) {
        let is_refused = plan.absorb_part(&part, &result[..length]).is_err();
        assert!(is_refused, "a result that ends early is no result");
    }
    let long = [result.as_slice(), &[0]].concat();
    assert!(
        plan.absorb_part(&part, &long).is_err(),
        "a result with more after its end is none"
    );
    for _ in 0..100 {
        let flipped = |bytes: &[u8], random: &mut Rng| {
            let mut bytes = bytes.to_vec();
            let at = random.usize(..bytes.len());
            bytes[at] ^= 1 << random.u32(..8);
            bytes
        };
        let other = flipped(&part, random);
        let _ = E::restore(&other);
        let is_refused = plan.take_back(&other).is_err() && plan.absorb_part(&other, &result).is_err();
        assert!(is_refused, "this part was never cut");
        let _ = plan.absorb_part(&part, &flipped(&result, random));
    }
}

/// Plays a plan to its end; the answer and the rows before it.
fn play<P: Plan, E: Plan>(plan: &mut P, ways: Ways, random: &mut Rng) -> (Value, Vec<String>) {
    let Ways {
        most,
        is_resumed,
        is_shared,
    } = ways;
    let mut parts: Vec<Vec<u8>> = Vec::new();
    let mut under_way: VecDeque<P::Slice> = VecDeque::new();
    let (mut rows, mut reached) = (Vec::new(), 0.0);
    let mut restarts = if is_resumed { RESTARTS } else { 0 };
    for _ in 0..1_000_000 {
        let taken = plan.rows(64);
        let had_rows = !taken.is_empty();
        rows.extend(taken);
        if let Some(answer) = plan.answer() {
            return (answer, rows);
        }
        let progress = plan.progress();
        assert!(
            (reached..=1.0).contains(&progress),
            "progress went from {reached} to {progress}"
        );
        reached = progress;
        if is_shared && parts.len() < PARTS && random.bool() {
            let cost = COSTS[random.usize(..COSTS.len())];
            parts.extend(plan.cut_part(cost));
        }
        while under_way.len() < 1 + random.usize(..most)
            && let Some(slice) = plan.cut()
        {
            under_way.push_back(slice);
        }
        let next = random.choice(0..under_way.len());
        let Some(slice) = next.and_then(|next| under_way.remove(next)) else {
            if parts.is_empty() {
                assert!(had_rows, "it has no answer, no slice to cut and none under way");
            }
            end_part::<P, E>(plan, &mut parts, random);
            continue;
        };
        let polls = Cell::new(random.u32(..8));
        let over = || polls.replace(polls.get().saturating_sub(1)) == 0;
        let budget = if most == 1 {
            Budget::unlimited()
        } else {
            Budget::new(&over)
        };
        plan.absorb(P::run(slice, budget));
        if random.u32(..3) == 0 {
            end_part::<P, E>(plan, &mut parts, random);
        }
        if restarts > 0
            && random.u32(..4) == 0
            && let Some(bytes) = plan.save()
        {
            *plan = P::restore(&bytes).expect("a plan reads what it has saved");
            // Slices and parts under way count as not done: the restored plan cuts them anew.
            under_way.clear();
            parts.clear();
            // What starts over has less done.
            reached = 0.0;
            restarts -= 1;
        }
    }
    panic!("a million slices have not brought the answer");
}

/// A part comes back, done or not.
fn end_part<P: Plan, E: Plan>(plan: &mut P, parts: &mut Vec<Vec<u8>>, random: &mut Rng) {
    if parts.is_empty() {
        return;
    }
    let part = parts.swap_remove(random.usize(..parts.len()));
    if random.u32(..4) == 0 {
        plan.take_back(&part).expect("the part is under way");
    } else {
        let result = elsewhere::<E>(&part, random);
        plan.absorb_part(&part, &result).expect("a part and its result");
        let is_refused = plan.absorb_part(&part, &result).is_err();
        assert!(is_refused, "a result that comes twice is taken once");
    }
    let is_refused = plan.take_back(&part).is_err();
    assert!(is_refused, "a part that came back is under way no more");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Count, CountByPi, Factor, IsPrime, Next, Nth, Pi, Rows};
    use crate::primes::Natural;

    #[test]
    fn every_built_in_plan_passes() {
        assert_eq!(exercise(|| Pi::new(100_000_000)), 5_761_455.into());
        assert_eq!(exercise(|| Nth::new(1_000_003)), 15_485_927.into());
        assert_eq!(exercise(|| Count::new(0, 100_000_000)), 5_761_455.into());
        assert_eq!(exercise(|| CountByPi::new(0, 100_000_000)), 5_761_455.into());
        assert_eq!(exercise(|| Rows::new(0, 100_000)), 9_592.into());
        let mersenne = Natural::ONE * (Natural::from(1u8) << 521) - Natural::ONE;
        assert_eq!(exercise(|| IsPrime::new(mersenne.clone())), true.into());
        let googol = Natural::from(10u8).pow(100);
        assert_eq!(exercise(|| Next::new(googol.clone())), Value::Number(googol + 267u16));
        let two = Natural::from((1u128 << 89) - 1);
        assert_eq!(exercise(|| Factor::new(two.clone())), Value::Numbers(vec![two]));
    }

    /// Forgets its second slice if the third comes back first.
    struct Forgetful(Vec<u64>, u64);

    impl Plan for Forgetful {
        type Slice = u64;
        type Partial = u64;

        fn cut(&mut self) -> Option<u64> {
            self.1 += 1;
            (self.1 <= 5).then_some(self.1)
        }

        fn run(slice: u64, _: Budget<'_>) -> u64 {
            slice
        }

        fn absorb(&mut self, slice: u64) {
            self.0.push(slice);
        }

        fn answer(&mut self) -> Option<Value> {
            (self.0.len() == 5).then(|| self.0.iter().fold(0, |sum, slice| 10 * sum + slice).into())
        }

        fn progress(&self) -> f64 {
            0.0
        }
    }

    #[test]
    #[should_panic(expected = "out of order")]
    fn a_plan_that_minds_the_order_of_its_slices_does_not_pass() {
        exercise(|| Forgetful(Vec::new(), 0));
    }
}
