//! The primes next to a number, of any size: candidates without small factors, tested nearest first, on all workers at
//! once.
//!
//! Does not know how a window is sieved or a number is tested; see [`crate::primes::primality`]. Start at
//! [`Neighbour`].

use super::checkpoint::{Damaged, Reader, Writer};
use super::plan::{Budget, Plan};
use crate::primes::Natural;
use crate::primes::primality::bpsw::Test;
use crate::primes::primality::large::{Large, Residue};
use crate::primes::primality::search::{self, Direction, Window};
use crate::proto::Value;
use dashu_int::ops::BitTest;
use std::marker::PhantomData;
use std::sync::Arc;

const KIND: [u8; 4] = *b"NEAR";
const VERSION: u32 = 1;

/// The smallest prime above a number.
pub type Next = Neighbour<Up>;
/// The largest prime below a number, which must be above 2.
pub type Prev = Neighbour<Down>;

/// Which neighbour is wanted.
pub trait Side: Send + 'static {
    #[doc(hidden)]
    const UP: bool;
}

/// The neighbour above.
#[derive(Debug)]
pub struct Up;
/// The neighbour below.
#[derive(Debug)]
pub struct Down;

impl Side for Up {
    const UP: bool = true;
}
impl Side for Down {
    const UP: bool = false;
}

/// The prime next to a number, on one side.
#[derive(Debug)]
pub struct Neighbour<S> {
    n: Arc<Natural>,
    /// Nothing nearer than this is prime.
    from: u64,
    stage: Stage,
    /// Candidates found composite, in this window and before.
    tested: u64,
    side: PhantomData<S>,
}

#[derive(Debug)]
enum Stage {
    /// The window from `from` on has to be sieved; `None` while a slice does it.
    Sieving(Option<Box<Option<Window>>>),
    Testing(Testing),
    Done(Natural),
}

/// The candidates of one window and what is known of them.
#[derive(Debug)]
struct Testing {
    /// Distances, ascending.
    candidates: Vec<u64>,
    /// The first distance beyond the window.
    end: u64,
    /// Candidates before this one have been handed out.
    handed: usize,
    /// Candidates a bout of tests takes along.
    bout: usize,
    /// Bouts that were interrupted.
    paused: Vec<Bout>,
    /// Where the bouts under way begin.
    under_way: Vec<usize>,
    /// The nearest candidate known to be prime.
    best: Option<usize>,
}

/// A few candidates to be tested one after the other.
#[derive(Debug)]
struct Bout {
    /// Where it began when it was cut.
    began: usize,
    /// The index of the candidate under test; those after it are untested.
    at: usize,
    distances: Vec<u64>,
    test: Option<Box<(Large, Test<Residue>)>>,
}

/// A step of the search.
#[derive(Debug)]
pub struct Slice(Arc<Natural>, Work);

#[derive(Debug)]
enum Work {
    Sieve { from: u64, window: Option<Window> },
    Test(Bout),
}

/// What a step found.
#[derive(Debug)]
pub struct Partial(Found);

#[derive(Debug)]
enum Found {
    /// The answer, at once.
    Answer(Natural),
    /// A window not yet finished.
    Window(Window),
    Candidates {
        distances: Vec<u64>,
        end: u64,
    },
    /// How many composites there were, whether the next one is prime, and what is left otherwise.
    Tested {
        bout: Bout,
        composites: usize,
        prime: bool,
    },
}

impl<S: Side> Neighbour<S> {
    /// Asks for the prime next to `n`. To the side of smaller numbers, `n` must be above 2.
    pub fn new(n: Natural) -> Self {
        Self {
            n: Arc::new(n),
            from: 1,
            stage: Stage::Sieving(Some(Box::new(None))),
            tested: 0,
            side: PhantomData,
        }
    }

    const DIRECTION: Direction = if S::UP { Direction::Up } else { Direction::Down };

    fn at(n: &Natural, distance: u64) -> Natural {
        match Self::DIRECTION {
            Direction::Up => n + distance,
            Direction::Down => n - distance,
        }
    }

    fn test(n: &Natural, mut bout: Bout, budget: Budget<'_>) -> Found {
        let mut composites = 0;
        for distance in &bout.distances {
            let (large, test) = *bout.test.take().unwrap_or_else(|| {
                let large = Large::new(Self::at(n, *distance));
                let test = large.start();
                Box::new((large, test))
            });
            match large.advance(test, || budget.over()) {
                Test::Done(true) => {
                    return Found::Tested {
                        bout,
                        composites,
                        prime: true,
                    };
                }
                Test::Done(false) => composites += 1,
                test => {
                    bout.test = Some(Box::new((large, test)));
                    break;
                }
            }
            if budget.over() {
                break;
            }
        }
        Found::Tested {
            bout,
            composites,
            prime: false,
        }
    }
}

/// The first step: the answer, if 128 bits hold it.
pub(super) fn at_once(n: &Natural, direction: Direction) -> Option<Natural> {
    let n = u128::try_from(n).ok()?;
    match direction {
        Direction::Up => search::next(n).map(Natural::from),
        Direction::Down => search::prev(n).map(Natural::from),
    }
}

impl Testing {
    fn new(candidates: Vec<u64>, end: u64, bits: usize) -> Self {
        // A candidate of 1000 bits takes a third of a millisecond and the cost grows with the cube: bouts of a few
        // milliseconds.
        let bout = (3_000 / bits).pow(3).clamp(1, 64);
        Self {
            candidates,
            end,
            handed: 0,
            bout,
            paused: Vec::new(),
            under_way: Vec::new(),
            best: None,
        }
    }

    /// Candidates from here on do not matter any more.
    fn limit(&self) -> usize {
        self.best.unwrap_or(self.candidates.len())
    }

    /// The nearest candidate whose fate is open.
    fn first_open(&self) -> usize {
        let paused = self.paused.iter().map(|bout| bout.at);
        paused
            .chain(self.under_way.iter().copied())
            .chain([self.handed])
            .min()
            .unwrap_or(0)
            .min(self.limit())
    }

    fn cut(&mut self) -> Option<Bout> {
        let limit = self.limit();
        self.paused.retain(|bout| bout.at < limit);
        let nearest = (0..self.paused.len()).min_by_key(|i| self.paused[*i].at);
        let mut bout = match nearest {
            Some(i) => self.paused.swap_remove(i),
            None if self.handed < limit => {
                let at = self.handed;
                self.handed = (at + self.bout).min(limit);
                Bout {
                    began: at,
                    at,
                    distances: self.candidates[at..self.handed].to_vec(),
                    test: None,
                }
            }
            None => return None,
        };
        bout.began = bout.at;
        self.under_way.push(bout.began);
        Some(bout)
    }

    fn absorb(&mut self, mut bout: Bout, composites: usize, prime: bool) {
        if let Some(i) = self.under_way.iter().position(|began| *began == bout.began) {
            self.under_way.swap_remove(i);
        }
        bout.at += composites;
        bout.distances.drain(..composites);
        if prime {
            self.best = Some(bout.at.min(self.limit()));
        } else if !bout.distances.is_empty() {
            self.paused.push(bout);
        }
    }
}

impl<S: Side> Plan for Neighbour<S> {
    type Slice = Slice;
    type Partial = Partial;

    fn cut(&mut self) -> Option<Slice> {
        let work = match &mut self.stage {
            Stage::Sieving(window) => Work::Sieve {
                from: self.from,
                window: *window.take()?,
            },
            Stage::Testing(testing) => Work::Test(testing.cut()?),
            Stage::Done(_) => return None,
        };
        Some(Slice(Arc::clone(&self.n), work))
    }

    fn run(Slice(n, work): Slice, budget: Budget<'_>) -> Partial {
        Partial(match work {
            Work::Sieve { from, window } => {
                let fresh = window.is_none();
                if let Some(answer) = fresh.then(|| at_once(&n, Self::DIRECTION)).flatten() {
                    return Partial(Found::Answer(answer));
                }
                let mut window = window.unwrap_or_else(|| Window::new(&n, from));
                if window.sieve(&n, Self::DIRECTION, || budget.over()) {
                    Found::Candidates {
                        distances: window.candidates(),
                        end: window.end(),
                    }
                } else {
                    Found::Window(window)
                }
            }
            Work::Test(bout) => Self::test(&n, bout, budget),
        })
    }

    fn absorb(&mut self, partial: Partial) {
        match partial.0 {
            Found::Answer(prime) => self.stage = Stage::Done(prime),
            Found::Window(window) => self.stage = Stage::Sieving(Some(Box::new(Some(window)))),
            Found::Candidates { distances, end } => {
                self.stage = Stage::Testing(Testing::new(distances, end, self.n.bit_len()));
            }
            Found::Tested {
                bout,
                composites,
                prime,
            } => {
                self.tested += composites as u64;
                // Bouts that began before the answer was known may come back later; they find nothing.
                let Stage::Testing(testing) = &mut self.stage else {
                    return;
                };
                testing.absorb(bout, composites, prime);
                let first_open = testing.first_open();
                if testing.best == Some(first_open) {
                    self.stage = Stage::Done(Self::at(&self.n, testing.candidates[first_open]));
                } else if first_open == testing.candidates.len() {
                    self.from = testing.end;
                    self.stage = Stage::Sieving(Some(Box::new(None)));
                } else {
                    self.from = testing.candidates[first_open];
                }
            }
        }
    }

    fn answer(&mut self) -> Option<Value> {
        match &self.stage {
            Stage::Done(prime) => Some(Value::Number(prime.clone())),
            _ => None,
        }
    }

    fn progress(&self) -> f64 {
        match self.stage {
            Stage::Done(_) => 1.0,
            // A search forgets: however long it took, it takes the mean again. So what is left always looks like the
            // mean.
            _ => self.tested as f64 / (self.tested as f64 + search::mean_tests(&self.n)),
        }
    }

    fn memory(&self, workers: usize) -> u64 {
        let bytes = self.n.bit_len() as u64 / 8;
        // The window (14 bits of it for a bit of n), its candidates, and for every worker a number, its reduction and a
        // test.
        4096 + 20 * bytes + (32 * bytes + 4096) * (workers as u64 + 1)
    }

    fn save(&self) -> Option<Vec<u8>> {
        let mut writer = Writer::new(KIND, VERSION);
        writer
            .u64(S::UP.into())
            .u64(self.from)
            .u64(self.tested)
            .natural(&self.n);
        Some(writer.finish())
    }

    fn restore(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new(bytes, KIND, VERSION)?;
        if reader.u64()? != u64::from(S::UP) {
            return Err(Damaged::Kind);
        }
        let (from, tested) = (reader.u64()?, reader.u64()?);
        let n = reader.natural()?;
        reader.finish()?;
        if !S::UP && n <= Natural::from(2u8) {
            return Err(Damaged::Impossible("number"));
        }
        // Far beyond any gap that a search will ever cross, and far from the end of a word.
        if from == 0 || from > 1 << 48 || (n.bit_len() <= 128 && from > 1) {
            return Err(Damaged::Impossible("distance"));
        }
        Ok(Self {
            from,
            tested,
            ..Self::new(n)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::run_to_end;
    use proptest::prelude::*;

    fn next(n: Natural) -> Value {
        run_to_end(&mut Next::new(n))
    }

    fn prev(n: Natural) -> Value {
        run_to_end(&mut Prev::new(n))
    }

    fn power_of_ten(exponent: usize) -> Natural {
        Natural::from(10u8).pow(exponent)
    }

    #[test]
    fn edges() {
        for (n, above) in [(0u64, 2u64), (1, 2), (2, 3), (13, 17), (114, 127)] {
            assert_eq!(next(n.into()), above.into());
        }
        for (n, below) in [
            (3u64, 2u64),
            (4, 3),
            (5, 3),
            (127, 113),
            (18_446_744_073_709_551_557, 18_446_744_073_709_551_533),
        ] {
            assert_eq!(prev(n.into()), below.into());
        }
        // A013597 and A013603: 2^k + 13 and 2^k - 59 for k = 64, + 51 and - 159 for k = 128.
        let double = Natural::ONE << 128;
        assert_eq!(next(&double - 159u8), Value::Number(&double + 51u8));
        assert_eq!(prev(&double + 51u8), Value::Number(&double - 159u8));
        assert_eq!(
            next((Natural::ONE << 64) - 59u8),
            Value::Number((Natural::ONE << 64) + 13u8)
        );
    }

    #[test]
    fn neighbours_of_powers_of_ten() {
        // A033873: 10^k + a is the next prime; A033874: 10^k - b the previous one; as PARI's nextprime and precprime
        // say too.
        for (k, a, b) in [(40, 121u32, 17u32), (60, 7, 161), (99, 289, 621), (100, 267, 797)] {
            assert_eq!(next(power_of_ten(k)), Value::Number(power_of_ten(k) + a), "10^{k}");
            assert_eq!(prev(power_of_ten(k)), Value::Number(power_of_ten(k) - b), "10^{k}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn several_slices_out_and_checkpoints_give_the_same_prime(
            offset: u64, hands in 1usize..5, order in any::<prop::sample::Index>(), rest in 0usize..600, save_every in 2usize..9,
        ) {
            let n = power_of_ten(60) + offset;
            let expected = next(n.clone());
            let mut plan = Next::new(n);
            let (mut out, mut turn, mut before) = (Vec::new(), 0, 0.0);
            while Plan::answer(&mut plan).is_none() {
                while out.len() < hands {
                    let Some(slice) = Plan::cut(&mut plan) else { break };
                    out.push(slice);
                }
                let left = std::cell::Cell::new(rest);
                let over = || { let now = left.get(); left.set(now.saturating_sub(1)); now == 0 };
                let slice = out.swap_remove(order.index(out.len()));
                Plan::absorb(&mut plan, Next::run(slice, Budget::new(&over)));
                prop_assert!(plan.progress() >= before && plan.progress() <= 1.0);
                before = plan.progress();
                turn += 1;
                if turn % save_every == 0 && turn < 40 && Plan::answer(&mut plan).is_none() {
                    plan = Next::restore(&Plan::save(&plan).expect("bytes")).expect("own bytes");
                    out.clear();
                }
            }
            prop_assert_eq!(Plan::answer(&mut plan), Some(expected));
        }
    }
}
