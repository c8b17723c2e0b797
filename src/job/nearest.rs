//! The primes nearest to a number of more than a word, nearest first: windows of candidates without small factors,
//! tested on all workers at once. [`Neighbour`](super::neighbour) and [`Neighbours`](super::neighbours) have it in
//! common.
//!
//! Does not know how a window is sieved or a number is tested; see [`crate::primes::primality`]. Start at [`Search`].

use super::plan::Budget;
use crate::primes::Natural;
use crate::primes::primality::candidates::Candidates;
use crate::primes::primality::search::{Direction, Window, mean_tests};
use dashu_int::ops::BitTest;
use std::marker::PhantomData;
use std::sync::Arc;

/// On which side of the number the primes are wanted.
pub trait Side: Send + 'static {
    #[doc(hidden)]
    const UP: bool;
}

/// Above it.
#[derive(Debug)]
pub struct Up;
/// Below it.
#[derive(Debug)]
pub struct Down;

impl Side for Up {
    const UP: bool = true;
}
impl Side for Down {
    const UP: bool = false;
}

/// `Up` or `Down` as a value.
pub(super) const fn direction<S: Side>() -> Direction {
    if S::UP { Direction::Up } else { Direction::Down }
}

/// The search under way.
#[derive(Debug)]
pub(super) struct Search<S> {
    n: Arc<Natural>,
    /// Every prime nearer than this is found.
    from: u64,
    /// Primes that are still wanted.
    wanted: u64,
    stage: Stage,
    /// Candidates tested, in this window and before.
    tested: u64,
    side: PhantomData<S>,
}

#[derive(Debug)]
enum Stage {
    /// The window has to be sieved; `None` while a slice does it.
    Sieving(Option<Box<Window>>),
    Testing(Testing),
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
    /// The candidates known to be prime that are not settled yet, ascending.
    primes: Vec<usize>,
}

/// A few candidates to be tested.
#[derive(Debug)]
struct Bout {
    /// Where it began when it was cut.
    began: usize,
    /// The index of the first candidate without a verdict.
    at: usize,
    /// The distances of those without a verdict.
    distances: Vec<u64>,
    /// After as many primes the others do not matter.
    wanted: u64,
    candidates: Option<Box<Candidates>>,
}

/// A step of the search.
#[derive(Debug)]
pub struct Slice(Arc<Natural>, Work);

#[derive(Debug)]
enum Work {
    Sieve(Box<Window>),
    Test(Bout),
}

/// What a step found.
#[derive(Debug)]
pub struct Partial(Found);

#[derive(Debug)]
enum Found {
    /// A window not yet finished.
    Window(Box<Window>),
    Candidates {
        distances: Vec<u64>,
        end: u64,
    },
    /// The verdicts of some candidates, in order, and the bout with what is left.
    Tested(Vec<bool>, Bout),
}

impl<S: Side> Search<S> {
    /// Looks for `wanted` primes next to `n`, which is above 2^64; nothing nearer than `from` (at least 1) is
    /// prime.
    pub(super) fn new(n: Arc<Natural>, wanted: u64, from: u64) -> Self {
        Self {
            stage: Stage::window(&n, wanted, from),
            n,
            from,
            wanted,
            tested: 0,
            side: PhantomData,
        }
    }

    /// The search that has come to `from` after `tested` tests.
    pub(super) fn resumed(n: Arc<Natural>, wanted: u64, [from, tested]: [u64; 2]) -> Self {
        Self {
            tested,
            ..Self::new(n, wanted, from)
        }
    }

    /// What [`resumed`](Self::resumed) goes on from.
    pub(super) fn state(&self) -> [u64; 2] {
        [self.from, self.tested]
    }

    /// The share of the work that is done.
    pub(super) fn progress(&self) -> f64 {
        // A search forgets: however long it took, it takes the mean again. So what is left always looks like the mean.
        let left = mean_tests(&self.n, self.wanted) * self.wanted as f64;
        match self.tested as f64 {
            0.0 => 0.0,
            tested => tested / (tested + left),
        }
    }

    /// Bytes for a search that as many workers make.
    pub(super) fn memory(n: &Natural, wanted: u64, workers: usize) -> u64 {
        let bits = n.bit_len();
        // The window and its candidates, a byte and less for a number; and for every worker numbers and their tests:
        // some ten residues for a number, when many are tested at once, and a reduction of three times as many.
        let at_once = Candidates::at_once(bits) as u64;
        let test = (at_once * 12 + 32) * (bits as u64 / 8 + 16) + 4096;
        4096 + Window::width(bits, wanted) + test * (workers as u64 + 1)
    }

    pub(super) fn cut(&mut self) -> Option<Slice> {
        let work = match &mut self.stage {
            Stage::Sieving(window) => Work::Sieve(window.take()?),
            Stage::Testing(testing) => Work::Test(testing.cut(self.wanted)?),
        };
        Some(Slice(Arc::clone(&self.n), work))
    }

    pub(super) fn run(Slice(n, work): Slice, budget: Budget<'_>) -> Partial {
        Partial(match work {
            Work::Sieve(mut window) => {
                if window.sieve(&n, direction::<S>(), || budget.over()) {
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

    fn test(n: &Natural, mut bout: Bout, budget: Budget<'_>) -> Found {
        let (mut verdicts, mut primes) = (Vec::new(), 0);
        while verdicts.len() < bout.distances.len() && primes < bout.wanted {
            let untested = &bout.distances[verdicts.len()..];
            let candidates = bout.candidates.get_or_insert_with(|| {
                let some = untested.iter().take(Candidates::at_once(n.bit_len()));
                Box::new(Candidates::new(some.map(|distance| Self::at(n, *distance)).collect()))
            });
            let Some(is_prime) = candidates.advance(|| budget.over()) else {
                break;
            };
            verdicts.push(is_prime);
            primes += u64::from(is_prime);
            if candidates.next().is_none() {
                bout.candidates = None;
            }
        }
        Found::Tested(verdicts, bout)
    }

    fn at(n: &Natural, distance: u64) -> Natural {
        if S::UP { n + distance } else { n - distance }
    }

    /// Takes in a step. The primes that are certain to be the next ones now, nearest first.
    pub(super) fn absorb(&mut self, Partial(found): Partial) -> Vec<Natural> {
        match found {
            Found::Window(window) => self.stage = Stage::Sieving(Some(window)),
            Found::Candidates { distances, end } if distances.is_empty() => {
                self.from = end;
                self.stage = Stage::window(&self.n, self.wanted, end);
            }
            Found::Candidates { distances, end } => {
                self.stage = Stage::Testing(Testing::new(distances, end, self.n.bit_len(), self.wanted));
            }
            Found::Tested(verdicts, bout) => {
                self.tested += verdicts.len() as u64;
                let Stage::Testing(testing) = &mut self.stage else {
                    return Vec::new();
                };
                testing.absorb(bout, &verdicts);
                let (open, settled) = testing.settle(self.wanted);
                let primes: Vec<Natural> = settled
                    .into_iter()
                    .map(|distance| Self::at(&self.n, distance))
                    .collect();
                self.wanted -= primes.len() as u64;
                self.from = testing.candidates.get(open).copied().unwrap_or(testing.end);
                if open == testing.candidates.len() && self.wanted > 0 {
                    self.stage = Stage::window(&self.n, self.wanted, self.from);
                }
                return primes;
            }
        }
        Vec::new()
    }
}

impl Stage {
    fn window(n: &Natural, wanted: u64, from: u64) -> Self {
        Self::Sieving(Some(Box::new(Window::new(n, wanted, from))))
    }
}

impl Testing {
    fn new(candidates: Vec<u64>, end: u64, bits: usize, wanted: u64) -> Self {
        let at_once = Candidates::at_once(bits);
        // A candidate of 1000 bits takes 30 us if eight are tested at once, .3 ms otherwise, and the cost grows with
        // the cube: bouts of about a millisecond.
        let most = match at_once {
            1 => (2_000 / bits).pow(3).clamp(1, 64),
            _ => (2_000 / bits).pow(2).clamp(1, 16) * at_once,
        };
        // Of a search that ends soon no bout should be most.
        let share = candidates.len() * usize::try_from(wanted).unwrap_or(usize::MAX).min(20) / 80;
        Self {
            candidates,
            end,
            handed: 0,
            bout: share.clamp(1, most).next_multiple_of(at_once),
            paused: Vec::new(),
            under_way: Vec::new(),
            primes: Vec::new(),
        }
    }

    /// Candidates from here on do not matter if as many primes are wanted.
    fn limit(&self, wanted: u64) -> usize {
        let last = usize::try_from(wanted - 1).ok().and_then(|last| self.primes.get(last));
        last.map_or(self.candidates.len(), |last| last + 1)
    }

    fn cut(&mut self, wanted: u64) -> Option<Bout> {
        if wanted == 0 {
            return None;
        }
        let limit = self.limit(wanted);
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
                    wanted,
                    candidates: None,
                }
            }
            None => return None,
        };
        bout.began = bout.at;
        self.under_way.push(bout.began);
        Some(bout)
    }

    fn absorb(&mut self, mut bout: Bout, verdicts: &[bool]) {
        if let Some(i) = self.under_way.iter().position(|began| *began == bout.began) {
            self.under_way.swap_remove(i);
        }
        let primes = (bout.at..).zip(verdicts).filter(|(_, is_prime)| **is_prime);
        self.primes.extend(primes.map(|(index, _)| index));
        self.primes.sort_unstable();
        bout.at += verdicts.len();
        bout.distances.drain(..verdicts.len());
        if !bout.distances.is_empty() {
            self.paused.push(bout);
        }
    }

    /// The nearest candidate whose fate is open and matters, and the distances of the primes before it, which are
    /// forgotten.
    fn settle(&mut self, wanted: u64) -> (usize, Vec<u64>) {
        if wanted == 0 {
            return (self.candidates.len(), Vec::new());
        }
        let limit = self.limit(wanted);
        let paused = self.paused.iter().map(|bout| bout.at);
        let under_way = self.under_way.iter().copied();
        let open = paused.chain(under_way).fold(limit.min(self.handed), usize::min);
        let settled = self.primes.partition_point(|index| *index < open);
        let nearest = self.primes.drain(..settled).map(|index| self.candidates[index]);
        (open, nearest.collect())
    }
}
