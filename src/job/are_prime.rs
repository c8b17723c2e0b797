//! `isprime N N ...`: which of several numbers are prime, tested on all workers at once.
//!
//! Knows nothing of how one is tested ([`IsPrime`]).

use super::{Budget, Damaged, IsPrime, Plan, Reader, Writer};
use crate::primes::Natural;
use crate::proto::Value;
use dashu_int::ops::BitTest;

const KIND: [u8; 4] = *b"ISPS";
const VERSION: u32 = 1;

/// Whether each of several numbers is prime: as words, `yes` or `no`, in the order of the numbers.
#[derive(Debug)]
pub struct ArePrime {
    tests: Vec<One>,
}

#[derive(Debug)]
struct One {
    state: State,
    /// A test of a number takes time as the cube of its length; of a composite, what it took until that was known.
    cost: f64,
}

#[derive(Debug)]
enum State {
    Testing(Box<IsPrime>),
    Done(bool),
}

impl One {
    fn new(n: Natural) -> Self {
        Self {
            cost: (n.bit_len() as f64).powi(3),
            state: State::Testing(Box::new(IsPrime::in_order(n))),
        }
    }

    fn progress(&self) -> f64 {
        match &self.state {
            State::Testing(test) => Plan::progress(test.as_ref()),
            State::Done(_) => 1.0,
        }
    }
}

/// A bout of one of the tests.
pub struct Slice(usize, <IsPrime as Plan>::Slice);

/// How far it came.
pub struct Partial(usize, <IsPrime as Plan>::Partial);

impl ArePrime {
    /// Asks which of the numbers are prime.
    pub fn new(numbers: Vec<Natural>) -> Self {
        let tests = numbers.into_iter().map(One::new).collect();
        Self { tests }
    }
}

impl Plan for ArePrime {
    type Slice = Slice;
    type Partial = Partial;

    fn cut(&mut self) -> Option<Slice> {
        let mut tests = self.tests.iter_mut().enumerate();
        tests.find_map(|(index, one)| match &mut one.state {
            State::Testing(test) => Plan::cut(test.as_mut()).map(|slice| Slice(index, slice)),
            State::Done(_) => None,
        })
    }

    fn run(Slice(index, slice): Slice, budget: Budget<'_>) -> Partial {
        Partial(index, IsPrime::run(slice, budget))
    }

    fn absorb(&mut self, Partial(index, partial): Partial) {
        let one = &mut self.tests[index];
        let before = one.progress();
        if let State::Testing(test) = &mut one.state {
            Plan::absorb(test.as_mut(), partial);
            if let Some(Value::Truth(is_prime)) = Plan::answer(test.as_mut()) {
                one.state = State::Done(is_prime);
                if !is_prime {
                    one.cost *= before;
                }
            }
        }
    }

    fn answer(&mut self) -> Option<Value> {
        let word = |one: &One| match one.state {
            State::Testing(_) => None,
            State::Done(true) => Some("yes"),
            State::Done(false) => Some("no"),
        };
        let words: Option<Vec<&str>> = self.tests.iter().map(word).collect();
        Some(words?.join(" ").into())
    }

    fn progress(&self) -> f64 {
        let all: f64 = self.tests.iter().map(|one| one.cost).sum();
        let done: f64 = self.tests.iter().map(|one| one.cost * one.progress()).sum();
        (done / all.max(1.0)).min(1.0)
    }

    fn memory(&self, workers: usize) -> u64 {
        let memory = |one: &One| match &one.state {
            State::Testing(test) => Plan::memory(test.as_ref(), workers),
            State::Done(_) => 0,
        };
        self.tests.iter().map(memory).sum()
    }

    fn save(&self) -> Option<Vec<u8>> {
        let mut writer = Writer::new(KIND, VERSION);
        writer.u64(self.tests.len() as u64);
        for one in &self.tests {
            writer.u64(one.cost.to_bits());
            match &one.state {
                State::Testing(test) => writer.u64(2).bytes(&Plan::save(test.as_ref())?),
                State::Done(is_prime) => writer.u64(u64::from(*is_prime)),
            };
        }
        Some(writer.finish())
    }

    fn restore(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new(bytes, KIND, VERSION)?;
        let mut tests = Vec::new();
        for _ in 0..reader.u64()? {
            let cost = f64::from_bits(reader.u64()?);
            if !(0.0..1e30).contains(&cost) {
                return Err(Damaged::Impossible("cost"));
            }
            let state = match reader.u64()? {
                0 => State::Done(false),
                1 => State::Done(true),
                2 => State::Testing(Box::new(IsPrime::restore(reader.bytes()?)?.in_order_unless_begun())),
                _ => return Err(Damaged::Impossible("state")),
            };
            tests.push(One { state, cost });
        }
        reader.finish()?;
        Ok(Self { tests })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::exercise;

    #[test]
    fn a_composite_that_is_known_at_once_counts_for_nothing() {
        let numbers = || {
            let two = Natural::from(2u8);
            vec![two.pow(1200) * 15u8 + 5u8, two.pow(521) - 1u8, two.pow(607) - 1u8]
        };
        let mut plan = ArePrime::new(numbers());
        while matches!(plan.tests[0].state, State::Testing(_)) {
            let slice = Plan::cut(&mut plan).expect("it is not done");
            Plan::absorb(&mut plan, ArePrime::run(slice, Budget::new(&|| true)));
        }
        assert!(Plan::progress(&plan) < 0.01, "{}", Plan::progress(&plan));
        assert_eq!(exercise(|| ArePrime::new(numbers())), "no yes yes".into());
    }

    #[test]
    fn each_is_answered_in_its_place() {
        let two = Natural::from(2u8);
        let numbers = || {
            vec![
                7u8.into(),
                9u8.into(),
                two.pow(521) - 1u8,
                two.pow(523) - 1u8,
                two.pow(127) - 1u8,
                Natural::ZERO,
            ]
        };
        assert_eq!(exercise(|| ArePrime::new(numbers())), "yes no yes no yes no".into());
    }
}
