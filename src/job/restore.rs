//! From the bytes of a checkpoint back to a plan, whatever kind it was. Knows the kinds, not what they hold.

use super::{AnyPlan, Count, CountByPi, Damaged, Factor, IsPrime, Next, Nth, Pi, Plan, Prev};

/// Restores the plan that wrote a checkpoint by [`save`](super::Plan::save). It gives the answer the uninterrupted one would have given.
///
/// Streams of rows have no checkpoint: the rows that were sent are gone with their reader.
///
/// # Errors
/// [`Damaged`] if no plan of this version wrote these bytes. Never panics on any bytes.
pub fn restore(bytes: &[u8]) -> Result<Box<dyn AnyPlan>, Damaged> {
    type Restored = Result<Box<dyn AnyPlan>, Damaged>;
    fn boxed<P: AnyPlan + 'static>(plan: P) -> Box<dyn AnyPlan> {
        Box::new(plan)
    }
    const KINDS: [fn(&[u8]) -> Restored; 8] = [
        |bytes| Pi::restore(bytes).map(boxed),
        |bytes| Nth::restore(bytes).map(boxed),
        |bytes| Count::restore(bytes).map(boxed),
        |bytes| CountByPi::restore(bytes).map(boxed),
        |bytes| IsPrime::restore(bytes).map(boxed),
        |bytes| Next::restore(bytes).map(boxed),
        |bytes| Prev::restore(bytes).map(boxed),
        |bytes| Factor::restore(bytes).map(boxed),
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
    use crate::job::{Budget, Method, Query, run_to_end};
    use crate::primes::Natural;
    use proptest::prelude::*;
    use std::cell::Cell;

    fn query() -> impl Strategy<Value = Query> {
        let count = |method| {
            move |(low, length)| Query::Count {
                low,
                last: low + length,
                method,
            }
        };
        prop_oneof![
            (1u64..20_000_000_000).prop_map(Query::Nth),
            (1u64..1_000_000_000_000).prop_map(Query::Pi),
            (0u64..1 << 50, 0u64..1 << 22).prop_map(count(Method::Sieve)),
            (0u64..1 << 20, 1u64 << 36..1 << 38).prop_map(count(Method::Auto)),
            (1u128 << 100..).prop_map(|n| Query::IsPrime(Natural::from(n).pow(3))),
            (1u128 << 90..).prop_map(|n| Query::Next(Natural::from(n).pow(3))),
            (1u128 << 90..).prop_map(|n| Query::Prev(Natural::from(n).pow(3))),
            (1u128..1 << 90).prop_map(Query::Factor),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn a_plan_restored_at_any_point_gives_the_same_answer(query in query(), polls in proptest::collection::vec(0usize..40, 0..12)) {
            let mut plan = query.clone().plan();
            for polls in polls {
                let left = Cell::new(polls);
                let over = || left.replace(left.get().saturating_sub(1)) == 0;
                if plan.advance(Budget::new(&over)).is_some() {
                    break;
                }
                if let Some(bytes) = plan.save() {
                    plan = restore(&bytes).expect("what a plan has written can be read");
                }
            }
            prop_assert_eq!(plan.answer().unwrap_or_else(|| run_to_end(plan.as_mut())), run_to_end(query.plan().as_mut()));
        }

        #[test]
        fn bytes_of_no_plan_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(restore(&bytes).is_err());
        }
    }
}
