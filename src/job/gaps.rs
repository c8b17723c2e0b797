//! `gaps A B`: the longest gap between two consecutive primes of a range, and where it first occurs.
//!
//! Knows nothing of how the range is cut; that is [`Sieved`]'s.

use super::sieved::{Fold, Sieved};
use super::{Damaged, Reader, Writer};
use crate::primes::Natural;
use crate::primes::sieve::Segment;
use crate::proto::Value;

/// Looks for the longest gap.
pub type Gaps = Sieved<Longest>;

/// The longest gap, the first of equally long ones.
#[derive(Clone, Debug)]
pub struct Longest;

impl Gaps {
    /// Between the primes of `low..=last`.
    pub fn new(low: u64, last: u64) -> Self {
        Self::by(Longest, low, last)
    }
}

/// The first and the last prime of a run of numbers, and the prime that its longest gap follows: 0, if it has no two
/// primes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Primes {
    first: u64,
    last: u64,
    longest: u64,
    after: u64,
}

impl Fold for Longest {
    const KIND: [u8; 4] = *b"gaps";
    /// `None`: no primes.
    type Run = Option<Primes>;

    fn of_segment(&self, segment: &Segment<'_>) -> Option<Primes> {
        let mut primes: Option<Primes> = None;
        segment.for_each(|prime| match &mut primes {
            None => {
                primes = Some(Primes {
                    first: prime,
                    last: prime,
                    longest: 0,
                    after: 0,
                })
            }
            Some(run) => {
                if prime - run.last > run.longest {
                    (run.longest, run.after) = (prime - run.last, run.last);
                }
                run.last = prime;
            }
        });
        primes
    }

    fn is_possible(run: &Option<Primes>, low: u64, last: u64) -> bool {
        run.is_none_or(|run| {
            let are_within = low <= run.first && run.last <= last;
            let is_alone = run.first == run.last && (run.longest, run.after) == (0, 0);
            // Where a run is read, this gap ends within it.
            are_within && (is_alone || run.longest > 0 && run.first <= run.after)
        })
    }

    fn join(&self, left: Option<Primes>, right: Option<Primes>) -> Option<Primes> {
        let (Some(left), Some(right)) = (left, right) else {
            return left.or(right);
        };
        // Of equal gaps the leftmost counts.
        let between = right.first.saturating_sub(left.last);
        let (longest, after) = [(between, left.last), (right.longest, right.after)].into_iter().fold(
            (left.longest, left.after),
            |best, gap| if gap.0 > best.0 { gap } else { best },
        );
        Some(Primes {
            first: left.first,
            last: right.last,
            longest,
            after,
        })
    }

    fn answer(&self, whole: &Option<Primes>) -> Value {
        let gap = whole.filter(|run| run.longest > 0);
        let numbers = gap.map(|run| [run.longest, run.after, run.after + run.longest].map(Natural::from));
        Value::Numbers(numbers.map_or_else(Vec::new, Vec::from))
    }

    fn restore(_: &mut Reader<'_>) -> Result<Self, Damaged> {
        Ok(Self)
    }

    fn save_run(run: &Option<Primes>, writer: &mut Writer) {
        let words = run.map_or(vec![], |run| vec![run.first, run.last, run.longest, run.after]);
        writer.words(&words);
    }

    fn restore_run(reader: &mut Reader<'_>) -> Result<Option<Primes>, Damaged> {
        match *reader.words()?.as_slice() {
            [] => Ok(None),
            [first, last, longest, after]
                if after.checked_add(longest).is_some_and(|end| end <= last) && first <= last =>
            {
                Ok(Some(Primes {
                    first,
                    last,
                    longest,
                    after,
                }))
            }
            _ => Err(Damaged::Impossible("gap")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{exercise, run_to_end};
    use crate::primes::sieve::naive;
    use proptest::prelude::*;

    fn gap(low: u64, last: u64) -> Value {
        run_to_end(&mut Gaps::new(low, last))
    }

    fn is(longest: u64, after: u64) -> Value {
        Value::Numbers([longest, after, after + longest].map(Natural::from).to_vec())
    }

    #[test]
    fn maximal_gaps_are_those_on_record() {
        // A005250 and A002386: each maximal gap is the longest of the primes up to its end, and no longer one comes
        // before the next record.
        let records = [
            (1, 2),
            (2, 3),
            (4, 7),
            (6, 23),
            (8, 89),
            (14, 113),
            (18, 523),
            (20, 887),
            (22, 1129),
            (34, 1327),
            (36, 9551),
            (44, 15_683),
            (52, 19_609),
            (72, 31_397),
            (86, 155_921),
            (96, 360_653),
            (112, 370_261),
            (114, 492_113),
            (118, 1_349_533),
            (132, 1_357_201),
            (148, 2_010_733),
            (154, 4_652_353),
            (180, 17_051_707),
            (210, 20_831_323),
            (220, 47_326_693),
        ];
        for pair in records.windows(2) {
            let [(longest, after), (_, next)] = pair else {
                unreachable!()
            };
            assert_eq!(gap(0, after + longest), is(*longest, *after));
            assert_eq!(gap(0, *next), is(*longest, *after));
        }
        assert_eq!(
            gap(1_693_182_318_000_000, 1_693_182_319_000_000),
            is(1132, 1_693_182_318_746_371)
        );
    }

    #[test]
    fn without_two_primes_there_is_no_gap() {
        assert_eq!(gap(24, 30), Value::Numbers(vec![]));
        assert_eq!(gap(1, 0), Value::Numbers(vec![]));
        assert_eq!(gap(2, 2), Value::Numbers(vec![]));
    }

    #[test]
    fn it_is_the_same_however_it_is_cut() {
        assert_eq!(exercise(|| Gaps::new(0, 60_000_000)), is(220, 47_326_693));
    }

    proptest! {
        #[test]
        fn it_is_the_first_longest_gap(low in 0u64..1 << 30, length in 0u64..9000) {
            let primes = naive::primes(low, low + length);
            let gaps = primes.windows(2).map(|two| (two[1] - two[0], two[0]));
            let expected = gaps.rev().max_by_key(|gap| gap.0).map_or(Value::Numbers(vec![]), |(longest, after)| is(longest, after));
            prop_assert_eq!(gap(low, low + length), expected);
        }
    }
}
