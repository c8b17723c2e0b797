//! The n-th prime: a close point whose count of primes is known or is counted, then a short walk from there.
//!
//! Does not know how primes are counted ([`super::Pi`]) or sieved ([`crate::primes::walk`]). Start at [`Nth`].
//!
//! Up to the 10^10-th prime the point comes from the built-in table, and all happens in the first slice. Above, it is
//! Riemann's estimate: counting there is nearly all the work, walking the remaining distance of up to some sqrt x about
//! a twentieth.

use super::checkpoint::{Damaged, Reader, Writer};
use super::pi::Pi;
use super::plan::{Budget, Plan};
use crate::primes::sieve::{Sieve, WideSieve};
use crate::primes::walk::{self, Count, Outcome, Stripe, Way, length};
use crate::primes::{MAX_NTH, estimate, known, nth_table};
use crate::proto::Value;
use std::collections::BTreeMap;

const KIND: [u8; 4] = *b"NTH ";
const VERSION: u32 = 2;

/// Up to here the point comes from the table. Beyond, the primes up to an estimate are counted: 4 ms and more.
const TABLED: u128 = 10_000_000_000;

/// The share of the cost that walking has when the point must be counted, measured at n = 10^11..10^14.
const WALK_SHARE: f64 = 0.05;

/// A walk is cut into stripes of at least this many numbers, some 5 ms of sieving.
const LEAST_STRIPE: u128 = 1 << 25;

/// How many numbers a stripe near `x` has at the most. Every stripe finds its sieving primes anew: it should be no
/// shorter than their bound.
fn longest_stripe(x: u128) -> u128 {
    LEAST_STRIPE.max(x.isqrt()).min(WideSieve::LONGEST.into())
}

/// How many stripes may be ahead of the first that is missing, near `x`. Where a sieve holds hundreds of megabytes it
/// is the only one: a walk is rarely longer than a stripe there, because `|pi(x) - R(x)|` is at most a third of
/// `sqrt(x) / ln x` at 10^16..10^20 (A057794).
fn window(x: u128) -> usize {
    if x > 1 << 56 { 1 } else { 64 }
}

/// The `n`-th prime, counted from 1: the first is 2.
pub struct Nth {
    n: u128,
    stage: Stage,
    progress: f64,
}

enum Stage {
    /// Nothing done; a slice may be under way.
    Fresh {
        is_under_way: bool,
    },
    /// Counting the primes up to a point.
    Counting {
        point: u128,
        pi: Box<Pi>,
    },
    /// Walking from a point.
    Walking {
        walk: Box<Walk>,
        counted: bool,
    },
    Done(u128),
}

/// A piece of the work.
pub struct Slice(Work);

enum Work {
    Begin(u128),
    /// Boxed: a piece of a count may carry kilobytes of arrays.
    Count(Box<<Pi as Plan>::Slice>),
    Walk(Piece),
}

/// What a piece brought.
pub struct Partial(Found);

enum Found {
    /// The prime, at once.
    Prime(u128),
    /// No table reaches so far: the primes up to this estimate are to be counted.
    Far(u128),
    /// The walk from a point of the table.
    Near(Box<Walk>, Option<Piece>),
    Counted(Box<<Pi as Plan>::Partial>),
    Walked {
        index: usize,
        outcome: Outcome,
    },
}

/// A stripe on its way.
struct Piece {
    index: usize,
    stripe: Box<Stripe>,
}

impl Nth {
    /// Asks for the `n`-th prime, `1 <= n <=` [`MAX_NTH`].
    pub fn new(n: u128) -> Self {
        debug_assert!((1..=MAX_NTH).contains(&n));
        Self {
            n,
            stage: Stage::Fresh { is_under_way: false },
            progress: 0.0,
        }
    }

    /// The primes up to the point may have been counted.
    fn walk_if_counted(&mut self) {
        if let Stage::Counting { pi, point } = &self.stage
            && let Some(count) = pi.count()
        {
            self.stage = Stage::Walking {
                walk: Box::new(Walk::new(self.n, *point, count)),
                counted: true,
            };
        }
    }

    /// The count under way.
    fn counting(&mut self) -> Option<&mut Pi> {
        match &mut self.stage {
            Stage::Counting { pi, .. } => Some(pi),
            _ => None,
        }
    }

    fn share_done(&self) -> f64 {
        match &self.stage {
            Stage::Fresh { .. } => 0.0,
            Stage::Counting { pi, .. } => (1.0 - WALK_SHARE) * pi.progress(),
            Stage::Walking { walk, counted: true } => 1.0 - WALK_SHARE * (1.0 - walk.share_done()),
            Stage::Walking { walk, counted: false } => walk.share_done(),
            Stage::Done(_) => 1.0,
        }
    }
}

/// The first slice: for all that the tables reach it brings the prime itself.
fn begin(n: u128, budget: Budget<'_>) -> Found {
    let small = u64::try_from(n).ok();
    if let Some(prime) = small.and_then(known::nth) {
        return Found::Prime(prime.into());
    }
    let Some((point, count)) = small.and_then(nth_table::near_nth) else {
        return Found::Far(far_point(n));
    };
    let mut walk = Box::new(Walk::new(n, point.into(), count.into()));
    if let Some(prime) = walk::at_once(point, walk.rank(), walk.way) {
        return Found::Prime(prime.into());
    }
    while let Some(Piece { index, stripe }) = walk.cut() {
        match stripe.advance(|| budget.over()) {
            Outcome::Paused(stripe) => return Found::Near(walk, Some(Piece { index, stripe })),
            outcome => {
                if let Some(prime) = walk.absorb(index, outcome) {
                    return Found::Prime(prime);
                }
            }
        }
    }
    Found::Near(walk, None)
}

/// Where to count if no table reaches so far.
fn far_point(n: u128) -> u128 {
    estimate::nth_prime(n).min(Pi::MOST)
}

impl Plan for Nth {
    type Slice = Slice;
    type Partial = Partial;

    fn cut(&mut self) -> Option<Slice> {
        Some(Slice(match &mut self.stage {
            Stage::Fresh { is_under_way } => {
                if std::mem::replace(is_under_way, true) {
                    return None;
                }
                Work::Begin(self.n)
            }
            Stage::Counting { pi, .. } => Work::Count(Box::new(pi.cut()?)),
            Stage::Walking { walk, .. } => Work::Walk(walk.cut()?),
            Stage::Done(_) => return None,
        }))
    }

    fn run(Slice(work): Slice, budget: Budget<'_>) -> Partial {
        Partial(match work {
            Work::Begin(n) => begin(n, budget),
            Work::Count(slice) => Found::Counted(Box::new(Pi::run(*slice, budget))),
            Work::Walk(Piece { index, stripe }) => Found::Walked {
                index,
                outcome: stripe.advance(|| budget.over()),
            },
        })
    }

    fn absorb(&mut self, Partial(found): Partial) {
        match found {
            Found::Prime(prime) => self.stage = Stage::Done(prime),
            Found::Far(point) => {
                self.stage = Stage::Counting {
                    point,
                    pi: Box::new(Pi::new(point)),
                }
            }
            Found::Near(mut walk, piece) => {
                if let Some(Piece { index, stripe }) = piece {
                    walk.absorb(index, Outcome::Paused(stripe));
                }
                self.stage = Stage::Walking { walk, counted: false };
            }
            Found::Counted(partial) => {
                if let Stage::Counting { pi, .. } = &mut self.stage {
                    pi.absorb(*partial);
                    self.walk_if_counted();
                }
            }
            // Stripes that were cut before the prime was found may come back later.
            Found::Walked { index, outcome } => {
                if let Stage::Walking { walk, .. } = &mut self.stage
                    && let Some(prime) = walk.absorb(index, outcome)
                {
                    self.stage = Stage::Done(prime);
                }
            }
        }
        self.progress = self.progress.max(self.share_done());
    }

    fn answer(&mut self) -> Option<Value> {
        match self.stage {
            Stage::Done(prime) => Some(Value::Number(prime.into())),
            _ => None,
        }
    }

    fn progress(&self) -> f64 {
        self.progress
    }

    fn memory(&self, workers: usize) -> u64 {
        if self.n <= TABLED {
            return 8 << 20;
        }
        let point = far_point(self.n);
        let longest = longest_stripe(point);
        let stripe = match u64::try_from(point) {
            Ok(point) => Sieve::new(point.saturating_sub(longest as u64), point).memory_bound(),
            Err(_) => WideSieve::new(point - longest, point).memory_bound(),
        };
        // The part that holds the prime may be sieved beside what is still out.
        let sieves = (workers + 1).min(window(point)) as u64;
        Pi::new(point).memory(workers).max(sieves * stripe + (2 << 20))
    }

    fn is_long(&self) -> bool {
        self.n > TABLED
    }

    fn save(&self) -> Option<Vec<u8>> {
        let mut writer = Writer::new(KIND, VERSION);
        writer.u128(self.n);
        match &self.stage {
            Stage::Fresh { .. } | Stage::Done(_) => {
                writer.u64(0);
            }
            Stage::Counting { point, pi } => {
                writer.u64(1).u128(*point).bytes(&pi.save()?);
            }
            Stage::Walking { walk, counted } => {
                writer.u64(2).u128(walk.start).u128(walk.count).u64((*counted).into());
            }
        }
        Some(writer.finish())
    }

    fn restore(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new(bytes, KIND, VERSION)?;
        let n = reader.u128()?;
        if !(1..=MAX_NTH).contains(&n) {
            return Err(Damaged::Impossible("n"));
        }
        let mut plan = Self::new(n);
        match reader.u64()? {
            0 => {}
            1 => {
                let point = reader.u128()?;
                if point != far_point(n) {
                    return Err(Damaged::Impossible("point"));
                }
                let pi = Box::new(Pi::restore_of(point, reader.bytes()?)?);
                plan.stage = Stage::Counting { point, pi };
            }
            2 => {
                let (start, count, counted) = (reader.u128()?, reader.u128()?, reader.u64()? != 0);
                if start > 2 * Pi::MOST {
                    return Err(Damaged::Impossible("start"));
                }
                let off = (count as f64 - estimate::li(start.max(3000) as f64)).abs();
                if off > 2.0 * estimate::error_bound(start.max(3000) as f64) + 500.0 {
                    return Err(Damaged::Impossible("count"));
                }
                plan.stage = Stage::Walking {
                    walk: Box::new(Walk::new(n, start, count)),
                    counted,
                };
            }
            _ => return Err(Damaged::Impossible("stage")),
        }
        reader.finish()?;
        plan.progress = plan.share_done();
        Ok(plan)
    }

    // Its parts are parts of the count: another machine needs to know no more.
    fn cut_part(&mut self, cost: f64) -> Option<Vec<u8>> {
        self.counting()?.cut_part(cost)
    }

    fn absorb_part(&mut self, part: &[u8], result: &[u8]) -> Result<(), Damaged> {
        let pi = self.counting().ok_or(Damaged::Impossible("part"))?;
        pi.absorb_part(part, result)?;
        self.walk_if_counted();
        self.progress = self.progress.max(self.share_done());
        Ok(())
    }

    fn take_back(&mut self, part: &[u8]) -> Result<(), Damaged> {
        let pi = self.counting().ok_or(Damaged::Impossible("part"))?;
        pi.take_back(part)
    }
}

/// The way from a point to the n-th prime, in stripes.
struct Walk {
    n: u128,
    /// `pi(start) = count`; moves on as stripes without the prime come back.
    start: u128,
    count: u128,
    way: Way,
    /// Where the walk began, and how many numbers it is expected to pass.
    origin: u128,
    expected: u128,
    /// How many stripes were cut, and where the next begins; `None` at the end of the numbers.
    cut: usize,
    next: Option<u128>,
    /// How many stripes are done, and what came back of those after them.
    done: usize,
    counted: BTreeMap<usize, Vec<Count>>,
    paused: Vec<Piece>,
    /// The part that holds the prime, once its stripe came back without it.
    part: Option<(u128, u128, u64)>,
    part_cut: bool,
}

/// The index of the part that holds the prime, which is sieved once more.
const PART: usize = usize::MAX;

impl Walk {
    fn new(n: u128, start: u128, count: u128) -> Self {
        let way = if n > count { Way::Up } else { Way::Down };
        let next = match way {
            Way::Up => start.checked_add(1),
            Way::Down => Some(start),
        };
        let mut walk = Self {
            n,
            start,
            count,
            way,
            origin: start,
            expected: 0,
            cut: 0,
            next,
            done: 0,
            counted: BTreeMap::new(),
            paused: Vec::new(),
            part: None,
            part_cut: false,
        };
        walk.expected = length(start, walk.rank());
        walk
    }

    /// The rank of the prime, counted from the start.
    fn rank(&self) -> u64 {
        let rank = match self.way {
            Way::Up => self.n - self.count,
            Way::Down => self.count + 1 - self.n,
        };
        u64::try_from(rank).unwrap_or(u64::MAX)
    }

    fn cut(&mut self) -> Option<Piece> {
        if let Some((low, last, rank)) = self.part {
            if let Some(piece) = self.paused.pop() {
                return Some(piece);
            }
            let first = !std::mem::replace(&mut self.part_cut, true);
            return first.then(|| Piece {
                index: PART,
                stripe: Box::new(Stripe::new(low, last, Way::Up, Some(rank))),
            });
        }
        let first = (0..self.paused.len()).min_by_key(|i| self.paused[*i].index);
        if let Some(i) = first {
            return Some(self.paused.swap_remove(i));
        }
        let next = self.next?;
        if self.cut >= self.done + window(next) {
            return None;
        }
        let passed = next.abs_diff(self.origin);
        let left = self.expected.saturating_sub(passed);
        // As far as expected; if that was not far enough, on from where all is counted.
        let numbers = match left {
            0 if self.cut > self.done => return None,
            0 => length(self.start, self.rank()).min(longest_stripe(next)),
            left if left < 2 * LEAST_STRIPE => left,
            left => left.min(longest_stripe(next)),
        };
        let (low, last) = match self.way {
            Way::Up => (next, next.saturating_add(numbers.max(1) - 1)),
            Way::Down => (next.saturating_sub(numbers.max(1) - 1), next),
        };
        self.next = match self.way {
            Way::Up => last.checked_add(1),
            Way::Down => low.checked_sub(1),
        };
        let index = self.cut;
        self.cut += 1;
        let rank = (index == self.done).then(|| self.rank());
        Some(Piece {
            index,
            stripe: Box::new(Stripe::new(low, last, self.way, rank)),
        })
    }

    /// Takes in a stripe; the prime, if it is known now.
    fn absorb(&mut self, index: usize, outcome: Outcome) -> Option<u128> {
        match outcome {
            Outcome::Found(prime) => return Some(prime),
            Outcome::Paused(stripe) => {
                if self.part.is_none() || index == PART {
                    self.paused.push(Piece { index, stripe });
                }
            }
            Outcome::Counted(counts) => {
                self.counted.insert(index, counts);
                while let Some(counts) = self.counted.remove(&self.done) {
                    if self.part.is_none() {
                        self.pass(&counts);
                    }
                    self.done += 1;
                }
            }
        }
        None
    }

    /// Moves the start past the parts of a stripe, up to the part that holds the prime.
    fn pass(&mut self, counts: &[Count]) {
        let ordered: Box<dyn Iterator<Item = &Count>> = match self.way {
            Way::Up => Box::new(counts.iter()),
            Way::Down => Box::new(counts.iter().rev()),
        };
        for part in ordered {
            let rank = self.rank();
            if rank <= part.primes {
                let upwards = if self.way == Way::Up {
                    rank
                } else {
                    part.primes + 1 - rank
                };
                self.part = Some((part.low, part.last, upwards));
                self.paused.clear();
                return;
            }
            (self.start, self.count) = match self.way {
                Way::Up => (part.last, self.count + u128::from(part.primes)),
                Way::Down => (part.low.saturating_sub(1), self.count - u128::from(part.primes)),
            };
        }
    }

    fn share_done(&self) -> f64 {
        let passed = self.start.abs_diff(self.origin) as f64;
        // The expectation has something to spare.
        (passed / self.expected as f64).min(0.95)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::run_to_end;
    use proptest::prelude::*;

    /// The `n`-th prime below 2^64.
    fn nth(n: u64) -> u64 {
        match run_to_end(&mut Nth::new(n.into())) {
            Value::Number(prime) => u64::try_from(prime).expect("a word"),
            other => panic!("{other:?} is no prime"),
        }
    }

    /// The smallest prime above `n`, by primality tests.
    fn next(n: u64) -> u64 {
        let prime = crate::primes::primality::search::next(n.into()).expect("a larger prime");
        u64::try_from(prime).expect("a word")
    }

    #[test]
    fn powers_of_ten_are_those_of_a006988() {
        for (n, prime) in [
            (1, 2),
            (10, 29),
            (100, 541),
            (1000, 7919),
            (10_000, 104_729),
            (100_000, 1_299_709),
            (1_000_000, 15_485_863),
            (10_000_000, 179_424_673),
            (100_000_000, 2_038_074_743),
            (1_000_000_000, 22_801_763_489),
            (10_000_000_000, 252_097_800_623),
            (100_000_000_000, 2_760_727_302_517),
        ] {
            assert_eq!(nth(n), prime, "{n}");
        }
    }

    #[test]
    fn any_cut_any_order_and_any_checkpoint_lead_to_the_same_prime() {
        let mut random = 9u64;
        let mut below = move |n: u64| {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (random >> 33) % n
        };
        // Above the table: by primecount 7.6, and A006988.
        for (n, prime) in [
            (12_345_678_901_u64, 313_945_524_671),
            (100_000_000_000, 2_760_727_302_517),
        ] {
            let mut plan = Nth::new(u128::from(n));
            let (mut out, mut before, mut turns) = (Vec::new(), 0.0, 0);
            while Plan::answer(&mut plan).is_none() {
                while out.len() < 3 {
                    let Some(slice) = Plan::cut(&mut plan) else { break };
                    out.push(slice);
                }
                let left = std::cell::Cell::new(below(60));
                let over = || left.replace(left.get().saturating_sub(1)) == 0;
                let slice = out.swap_remove(below(out.len() as u64) as usize);
                Plan::absorb(&mut plan, Nth::run(slice, Budget::new(&over)));
                assert!(plan.progress() >= before && plan.progress() <= 1.0);
                before = plan.progress();
                turns += 1;
                if turns % 40 == 0 && turns < 400 && Plan::answer(&mut plan).is_none() {
                    plan = Nth::restore(&Plan::save(&plan).expect("bytes")).expect("own bytes");
                    before = plan.progress();
                    out.clear();
                }
            }
            assert_eq!(Plan::answer(&mut plan), Some(u64::into(prime)), "{n}");
        }
    }

    #[test]
    fn walks_arrive_on_either_side_of_2_64() {
        // pi(2^64), A007053; the primes beside 2^64 are those of `primes::sieve`.
        let (last, count) = (18_446_744_073_709_551_557, 425_656_284_035_217_743);
        let walk = |n, start, count| walk_from(n, start, count, 1, |n| n - 1, u32::MAX);
        assert_eq!(walk(count, u64::MAX.into(), count), last);
        assert_eq!(walk(count, last - 1, count - 1), last);
        assert_eq!(walk(count - 1, last - 1, count - 1), 18_446_744_073_709_551_533);
        let (end, order) = (1 << 64, |n| n / 2);
        assert_eq!(walk_from(count + 3, last, count, 3, order, 4000), end + 51);
        assert_eq!(walk_from(count + 1, end + 60, count + 3, 2, order, 4000), end + 13);
        assert_eq!(walk_from(count, end + 60, count + 3, 2, order, 4000), last);
    }

    #[test]
    fn the_tables_pass_on_to_each_other() {
        // A006880: 82025 primes below 2^20; the next ones are 2^20 + 7 and 2^20 + 13.
        assert_eq!(
            (nth(82_025), nth(82_026), nth(82_027)),
            (1_048_573, 1_048_583, 1_048_589)
        );
        for grid in [&nth_table::FINE, &nth_table::COARSE] {
            let (end, count) = (grid.last * grid.step, grid.count(grid.last).expect("the last point"));
            let (last, first) = (nth(count), nth(count + 1));
            assert!(last <= end && first > end, "{last} {first}");
            assert_eq!(next(last), first);
        }
    }

    /// Walks to the n-th prime from a point with a known count, several stripes at once, coming back in any order.
    fn walk_from(n: u128, start: u128, count: u128, hands: usize, order: impl Fn(usize) -> usize, rest: u32) -> u128 {
        let mut walk = Walk::new(n, start, count);
        let mut kept = start;
        let mut out: Vec<Piece> = Vec::new();
        loop {
            while out.len() < hands {
                let Some(piece) = walk.cut() else { break };
                out.push(piece);
            }
            let Piece { index, stripe } = out.swap_remove(order(out.len()));
            let mut asked = 0;
            let outcome = stripe.advance(|| {
                asked += 1;
                asked > rest
            });
            if let Some(prime) = walk.absorb(index, outcome) {
                return prime;
            }
            // What a checkpoint would keep leads to the same prime. Kept again before it has moved on, it would never
            // arrive.
            if order(7) == 0 && walk.part.is_none() && walk.start != kept {
                kept = walk.start;
                walk = Walk::new(n, walk.start, walk.count);
                out.clear();
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        #[test]
        fn long_walks_in_any_order_arrive(
            n in 50_847_534u64..60_000_000, point in 7300u64..9500, hands in 1usize..5, order: prop::sample::Index, rest in 50u32..5000,
        ) {
            let count = nth_table::FINE.count(point).expect("a point");
            let start = u128::from(point * nth_table::FINE.step);
            let found = walk_from(n.into(), start, count.into(), hands, |n| order.index(n), rest);
            prop_assert_eq!(found, u128::from(nth(n)));
        }
    }

    proptest! {
        #[test]
        fn neighbouring_ranks_are_neighbouring_primes(n in 1u64..10_000_000_000) {
            prop_assert_eq!(next(nth(n)), nth(n + 1));
        }

        #[test]
        fn primes_on_either_side_of_a_point_are_neighbours(point in 8u64..174_000) {
            let grid = &nth_table::FINE;
            let (x, count) = (point * grid.step, grid.count(point).expect("a point"));
            let (last, first) = (nth(count), nth(count + 1));
            prop_assert!(last <= x && first > x && next(last) == first, "{} {}", last, first);
            // And halfway to the next, where the walk turns round.
            let half = u64::midpoint(count, grid.count(point + 1).expect("a point"));
            for n in half - 3..half + 3 {
                prop_assert_eq!(next(nth(n)), nth(n + 1), "{}", n);
            }
        }

        #[test]
        fn the_short_sieve_and_the_long_walk_arrive_at_the_same_prime(n in 82_026u64..1_000_000_000) {
            let (point, count) = nth_table::near_nth(n).expect("in the table");
            let far = walk_from(n.into(), point.into(), count.into(), 1, |n| n - 1, u32::MAX);
            prop_assert_eq!(far, u128::from(nth(n)));
        }

        #[test]
        fn small_ranks_agree_with_the_table_of_answers_walked_from_elsewhere(n in 1u64..82_000, start in 0u64..1 << 20) {
            let count = known::pi(start).expect("in the table");
            let found = walk_from(n.into(), start.into(), count.into(), 1, |n| n - 1, u32::MAX);
            prop_assert_eq!(found, u128::from(known::nth(n).expect("in the table")));
        }
    }
}
