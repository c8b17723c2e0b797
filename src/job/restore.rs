//! From the bytes of a checkpoint back to a plan, whatever kind it was. Knows the kinds, not what they hold.

use super::sum_to::SumTo;
use super::{
    AnyPlan, ArePrime, Certify, Count, CountByPi, CountConstellations, CountWide, Damaged, Factor, Gaps, IsPrime, Next,
    Nth, OfFactors, Pi, Plan, Prev, Root, Rows, SumByFormula, SumBySieve,
};

/// Restores the plan that wrote a checkpoint by [`save`](super::Plan::save). It gives the answer the uninterrupted one
/// would have given.
///
/// A stream goes on after the rows that were taken.
///
/// # Errors
/// [`Damaged`] if no plan of this version wrote these bytes. Never panics on any bytes.
pub fn restore(bytes: &[u8]) -> Result<Box<dyn AnyPlan>, Damaged> {
    type Restored = Result<Box<dyn AnyPlan>, Damaged>;
    fn boxed<P: AnyPlan + 'static>(plan: P) -> Box<dyn AnyPlan> {
        Box::new(plan)
    }
    const KINDS: &[fn(&[u8]) -> Restored] = &[
        |bytes| Pi::restore(bytes).map(boxed),
        |bytes| Nth::restore(bytes).map(boxed),
        |bytes| Count::restore(bytes).map(boxed),
        |bytes| CountByPi::restore(bytes).map(boxed),
        |bytes| CountConstellations::restore(bytes).map(boxed),
        |bytes| SumBySieve::restore(bytes).map(boxed),
        |bytes| SumTo::restore(bytes).map(boxed),
        |bytes| SumByFormula::restore(bytes).map(boxed),
        |bytes| Gaps::restore(bytes).map(boxed),
        |bytes| CountWide::restore(bytes).map(boxed),
        |bytes| IsPrime::restore(bytes).map(boxed),
        |bytes| Next::restore(bytes).map(boxed),
        |bytes| Prev::restore(bytes).map(boxed),
        |bytes| Factor::restore(bytes).map(boxed),
        |bytes| Rows::restore(bytes).map(boxed),
        |bytes| OfFactors::restore(bytes).map(boxed),
        |bytes| Root::restore(bytes).map(boxed),
        |bytes| Certify::restore(bytes).map(boxed),
        |bytes| ArePrime::restore(bytes).map(boxed),
    ];
    let restored = KINDS.iter().map(|kind| kind(bytes));
    restored
        .into_iter()
        .find(|plan| !matches!(plan, Err(Damaged::Kind)))
        .unwrap_or(Err(Damaged::Kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::{Budget, Function, Method, Query, run_to_end};
    use crate::primes::Natural;
    use crate::primes::constellation::Constellation;
    use crate::proto::Value;
    use proptest::prelude::*;
    use std::cell::Cell;

    fn query() -> impl Strategy<Value = Query> {
        let count = |method| {
            move |(low, length): (u64, u64)| Query::Count {
                low: low.into(),
                last: (low + length).into(),
                method,
            }
        };
        prop_oneof![
            (1u128..20_000_000_000).prop_map(Query::Nth),
            (1u128..1_000_000_000_000).prop_map(Query::Pi),
            (0u64..1 << 50, 0u64..1 << 22).prop_map(count(Method::Sieve)),
            (0u64..1 << 20, 1u64 << 36..1 << 38).prop_map(count(Method::Auto)),
            (0u64..1 << 50, 0u64..1 << 22, 0usize..7).prop_map(|(low, length, kind)| Query::CountOf {
                kind: Constellation::ALL[kind],
                low,
                last: low + length,
            }),
            (0u64..1 << 50, 0u64..1 << 22).prop_map(|(low, length)| Query::Sum {
                low,
                last: low + length
            }),
            (0u64..1 << 20, 1u64 << 33..1 << 35).prop_map(|(low, last)| Query::Sum { low, last }),
            (1u128 << 64..1 << 80, 0u128..1 << 14).prop_map(|(low, length)| Query::Count {
                low,
                last: low + length,
                method: Method::Auto,
            }),
            (0u64..1 << 50, 0u64..1 << 22).prop_map(|(low, length)| Query::Gaps {
                low,
                last: low + length
            }),
            (1u128 << 100..).prop_map(|n| Query::IsPrime(Natural::from(n).pow(3))),
            (1u128 << 90..).prop_map(|n| Query::Next(Natural::from(n).pow(3))),
            (1u128 << 90..).prop_map(|n| Query::Prev(Natural::from(n).pow(3))),
            (1u128..1 << 90).prop_map(|n| Query::Factor(Natural::from(n))),
            (1u128..1 << 90).prop_map(|n| Query::Function(Function::Sigma, n.into())),
            (1u128..1 << 90).prop_map(|n| Query::Root(n.into())),
            (1u128..1 << 90)
                .prop_map(|n| Query::Certify(crate::primes::primality::search::next(n).unwrap_or(2).into())),
            Just(Query::Certify(Natural::from(10u8).pow(39) + 3u8)),
            Just(Query::Certify(Natural::ones(521))),
            Just(Query::CertifyForPari(Natural::ones(521))),
            proptest::collection::vec((1u128 << 90..).prop_map(|n| Natural::from(n).pow(2) + 2u8), 2..4)
                .prop_map(Query::ArePrime),
        ]
    }

    /// The answer of a plan that is saved and restored after each of these many looks at its budget.
    fn resumed(query: &Query, polls: &[usize]) -> Value {
        let mut plan = query.clone().plan();
        for polls in polls {
            let left = Cell::new(*polls);
            let over = || left.replace(left.get().saturating_sub(1)) == 0;
            if plan.advance(Budget::new(&over)).is_some() {
                break;
            }
            if let Some(bytes) = plan.save() {
                plan = restore(&bytes).expect("what a plan has written can be read");
            }
        }
        plan.answer().unwrap_or_else(|| run_to_end(plan.as_mut()))
    }

    #[test]
    fn a_proof_is_the_same_wherever_it_was_interrupted() {
        // n - 1 is 12 * 1951882182011 * 23413588102031, of which each suffices, and
        // 32 * 9 * 11 * 19 * 1663 * 120079 * 1554019 * 27383581, of which two do.
        for (n, primes) in [
            (548_406_785_199_588_676_569_172_093u128, "[23413588102031]"),
            (511_498_837_388_812_346_461_418_977, "[27383581,1554019]"),
        ] {
            let (query, proof) = (Query::Certify(Natural::from(n)), Value::from(format!("[{n},{primes}]")));
            assert_eq!(run_to_end(query.clone().plan().as_mut()), proof);
            for first in 0..20 {
                assert_eq!(resumed(&query, &[first, 27, 14, 7]), proof, "{first}");
                assert_eq!(resumed(&query, &[first, 0]), proof, "{first}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn a_plan_restored_at_any_point_gives_the_same_answer(query in query(), polls in proptest::collection::vec(0usize..40, 0..12)) {
            prop_assert_eq!(resumed(&query, &polls), run_to_end(query.plan().as_mut()));
        }

        #[test]
        fn a_checkpoint_of_another_version_is_named_as_such(query in query(), other in any::<u32>()) {
            let plan = query.plan();
            let mut bytes = plan.save().expect("a plan that has done nothing can be saved");
            let known = u32::from_le_bytes(bytes[4..8].try_into().expect("four bytes"));
            bytes[4..8].copy_from_slice(&other.to_le_bytes());
            let result = restore(&bytes).err();
            prop_assert_eq!(result, (other != known).then_some(Damaged::Version { found: other, known }));
        }

        #[test]
        fn bytes_of_no_plan_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(restore(&bytes).is_err());
        }
    }

    #[test]
    fn parts_are_done_by_plans_restored_from_their_bytes() {
        let method = Method::Sieve;
        // R. E. Powers 1911, and PARI: both are prime.
        let semiprime = ((Natural::ONE << 89usize) - 1u8) * (Natural::from(10u8).pow(20) + 39u8);
        for query in [
            Query::Pi(1_000_000_000_000),
            Query::Nth(20_000_000_000),
            Query::Count {
                low: 40_000_000_000,
                last: 300_000_000_000,
                method: Method::Auto,
            },
            Query::Count {
                low: 1 << 40,
                last: (1 << 40) + (1 << 28),
                method,
            },
            Query::Sum {
                low: 1 << 40,
                last: (1 << 40) + (1 << 27),
            },
            Query::Sum {
                low: 1_000_000_000,
                last: 100_000_000_000,
            },
            Query::Factor(semiprime.clone()),
            Query::Function(Function::Totient, semiprime),
        ] {
            let (mut plan, mut parts) = (query.clone().plan(), 0);
            let answer = loop {
                if let Some(answer) = plan.answer() {
                    break answer;
                }
                match plan.cut_part(1e6) {
                    Some(part) if parts % 5 == 4 => {
                        plan.take_back(&part).expect("it is under way");
                        let slice = plan.cut().expect("it is cut again");
                        plan.absorb(slice(Budget::unlimited()));
                        parts += 1;
                    }
                    Some(part) => {
                        let mut there = restore(&part).expect("a part is a checkpoint");
                        run_to_end(there.as_mut());
                        let result = there.result().expect("it is done");
                        plan.absorb_part(&part, &result).expect("its result");
                        parts += 1;
                    }
                    None => {
                        let slice = plan.cut().expect("nothing is under way");
                        plan.absorb(slice(Budget::unlimited()));
                    }
                }
            };
            assert_eq!(answer, run_to_end(query.clone().plan().as_mut()), "{query}");
            assert!(parts > 2, "{query} has {parts} parts only");
        }
    }

    #[test]
    fn results_that_the_numbers_of_a_part_cannot_have_are_refused() {
        let (low, last) = (1 << 40, (1 << 40) + (1 << 28));
        let kind = Constellation::ALL[0];
        let method = Method::Sieve;
        let count = Query::Count {
            low: low.into(),
            last: last.into(),
            method,
        };
        // A count, a sum or a first prime that is too large comes after the eight bytes of the kind, and after the
        // length of a list.
        let too_large = |at: usize| move |result: &mut Vec<u8>| result[at..at + 8].fill(0xff);
        // The last of the primes that a block counts is missing.
        let too_few = |result: &mut Vec<u8>| {
            result.truncate(result.len() - 32);
            let count = u64::try_from((result.len() - 32) / 32).expect("a length");
            result[24..32].copy_from_slice(&count.to_le_bytes());
        };
        type Alter = Box<dyn Fn(&mut Vec<u8>)>;
        let alterations: [(Query, Alter); 5] = [
            (count, Box::new(too_large(8))),
            (Query::CountOf { kind, low, last }, Box::new(too_large(8))),
            (Query::Sum { low, last }, Box::new(too_large(16))),
            (Query::Gaps { low, last }, Box::new(too_large(16))),
            (Query::Sum { low: 0, last: low }, Box::new(too_few)),
        ];
        for (query, alter) in alterations {
            let mut plan = query.clone().plan();
            let part = loop {
                match plan.cut_part(1e6) {
                    Some(part) => break part,
                    None => {
                        let slice = plan.cut().expect("nothing is under way");
                        plan.absorb(slice(Budget::unlimited()));
                    }
                }
            };
            let mut there = restore(&part).expect("a part is a checkpoint");
            run_to_end(there.as_mut());
            let result = there.result().expect("it is done");
            let mut other = result.clone();
            alter(&mut other);
            assert!(plan.absorb_part(&part, &other).is_err(), "{query}");
            assert_eq!(plan.absorb_part(&part, &result), Ok(()), "{query}");
        }
    }

    /// Plays a question with up to four slices under way, tiny budgets and partials in any order, and cuts it off and
    /// restores it `cuts` times at most; its rows and its answer, and how often it was cut.
    fn play(query: &Query, random: &mut fastrand::Rng, cuts: u32) -> (Vec<String>, Value, u32) {
        let mut plan = query.clone().plan();
        let (mut under_way, mut rows, mut done) = (Vec::new(), Vec::new(), 0);
        loop {
            rows.extend(plan.rows(random.usize(..20)));
            if let Some(value) = plan.answer() {
                return (rows, value, done);
            }
            if done < cuts && random.u32(..6) == 0 {
                let bytes = plan.save().expect("every plan can be saved before its answer");
                plan = restore(&bytes).expect("what a plan has written can be read");
                // Slices under way are lost with the process.
                under_way.clear();
                done += 1;
            }
            while under_way.len() <= random.usize(..4)
                && let Some(slice) = plan.cut()
            {
                under_way.push(slice);
            }
            if !under_way.is_empty() {
                let slice = under_way.swap_remove(random.usize(..under_way.len()));
                let polls = Cell::new(random.u32(..12));
                let over = || polls.replace(polls.get().saturating_sub(1)) == 0;
                plan.absorb(slice(Budget::new(&over)));
            }
        }
    }

    #[test]
    fn resumed_is_uninterrupted_over_a_thousand_cuts_of_every_plan() {
        let digits = |digits: usize| Natural::from(10u8).pow(digits);
        let mersenne = |exponent: usize| (Natural::ONE << exponent) - Natural::ONE;
        let count = |low, last, method| Query::Count { low, last, method };
        for query in [
            Query::Pi(30_000_000_000),
            Query::Pi(1_000_000_000_000),
            Query::Nth(20_000_000_000),
            count(1 << 40, (1 << 40) + (1 << 26), Method::Sieve),
            count(5, 300_000_000_000, Method::Auto),
            Query::IsPrime(mersenne(1279)),
            Query::Next(digits(150)),
            Query::Prev(digits(150)),
            Query::Factor(Natural::from(1_000_000_000_000_000_003u64) * Natural::from(1_000_000_000_000_000_009u64)),
            Query::Primes {
                low: 1 << 40,
                last: (1 << 40) + 3_000_000,
            },
        ] {
            let mut random = fastrand::Rng::with_seed(12);
            let (rows, value, _) = play(&query, &mut random, 0);
            let (mut cuts, mut plays) = (0, 0);
            while cuts < 1_000 {
                let (resumed_rows, resumed_value, done) = play(&query, &mut random, 25);
                assert_eq!((&resumed_rows, &resumed_value), (&rows, &value), "{query}");
                cuts += done;
                plays += 1;
                assert!(plays < 10_000, "{query} is hardly ever cut");
            }
        }
    }

    /// What a scheduler's turn pays: `cargo test --release --lib checkpoints_are_short -- --ignored --nocapture`.
    #[test]
    #[ignore = "slow: a minute on one core; prints what it measures"]
    fn checkpoints_are_short_and_made_in_microseconds() {
        let e = |exponent: u32| 10_u128.pow(exponent);
        for query in [
            Query::Pi(e(15)),
            Query::Pi(e(17)),
            Query::Nth(e(14)),
            Query::Count {
                low: e(18),
                last: e(18) + e(9),
                method: Method::Sieve,
            },
            Query::IsPrime((Natural::ONE << 11_213) - Natural::ONE),
            Query::Next(Natural::from(10u8).pow(1000)),
            Query::Factor(Natural::from(1_000_000_000_000_000_003u64) * Natural::from(1_000_000_000_000_000_009u64)),
            Query::Primes {
                low: 10_u64.pow(12),
                last: 10_u64.pow(12) + 10_u64.pow(8),
            },
        ] {
            let mut plan = query.clone().plan();
            let (mut bytes, mut times) = (0, Vec::new());
            while plan.answer().is_none() {
                plan.rows(usize::MAX);
                let Some(slice) = plan.cut() else { continue };
                let polls = Cell::new(200_u32);
                let over = || polls.replace(polls.get().saturating_sub(1)) == 0;
                plan.absorb(slice(Budget::new(&over)));
                let begun = std::time::Instant::now();
                let saved = plan.save();
                times.push(begun.elapsed());
                bytes = bytes.max(saved.map_or(0, |saved| saved.len()));
            }
            let name: String = query.to_string().chars().take(40).collect();
            // The longest ones show when the thread was interrupted.
            times.sort_unstable();
            let (median, most) = (times[times.len() / 2], times[times.len() * 99 / 100]);
            println!(
                "{name}: at most {bytes} bytes; of {} saves half take {median:?} and 99 % {most:?} at most",
                times.len()
            );
            assert!(bytes < 1 << 20, "{name}");
        }
    }
}
