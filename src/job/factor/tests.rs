//! What comes apart, in any order and from any checkpoint; and what the parts of it cost.

use super::*;
use crate::job::{exercise, run_to_end};
use crate::primes::primality::is_prime_u128;
use crate::primes::primality::search::prev;
use proptest::prelude::*;

fn factors(n: impl Into<Natural>) -> Vec<Natural> {
    match run_to_end(&mut Factor::new(n.into())) {
        Value::Numbers(factors) => factors,
        other => panic!("{other:?}"),
    }
}

fn naturals(factors: &[u128]) -> Vec<Natural> {
    factors.iter().map(|factor| Natural::from(*factor)).collect()
}

fn mersenne(exponent: usize) -> Natural {
    (Natural::ONE << exponent) - 1u8
}

#[test]
fn edges() {
    assert_eq!(factors(1u8), []);
    assert_eq!(factors(2u8), naturals(&[2]));
    assert_eq!(factors(1u128 << 127), naturals(&[2; 127]));
    for prime in [18_446_744_073_709_551_557, u128::MAX - 158, (1 << 127) - 1] {
        assert_eq!(factors(prime), naturals(&[prime]));
    }
    assert_eq!(factors(mersenne(521)), [mersenne(521)]);
    assert_eq!(factors(Natural::ONE << 30_000usize).len(), 30_000);
}

#[test]
fn factors_close_to_each_other_are_found_without_a_search() {
    // A search for factors of 100 digits would not end.
    let power = Natural::from(10u8).pow(99);
    let [p, q] = [&power + 289u16, &power + 303u16];
    assert_eq!(factors(&p * &q), [p.clone(), q.clone()]);
    assert_eq!(factors(&p * &q * 3u8), [Natural::from(3u8), p, q]);
}

#[test]
fn every_small_number_is_the_product_of_its_primes() {
    for n in 1..20_000u32 {
        let found = factors(n);
        assert_eq!(found.iter().product::<Natural>(), Natural::from(n));
        let is_prime = |p: &Natural| u128::try_from(p).is_ok_and(is_prime_u128);
        assert!(found.is_sorted() && found.iter().all(is_prime), "{n}");
    }
}

#[test]
fn numbers_of_history_come_apart() {
    // F. N. Cole, 1903.
    assert_eq!(factors(mersenne(67)), naturals(&[193_707_721, 761_838_257_287]));
    // The fifth Fermat number (L. Euler, 1732), the sixth (F. Landry, 1880), the seventh (M. A. Morrison and J.
    // Brillhart, 1970).
    let fermat = |k: usize| (Natural::ONE << (1 << k)) + 1u8;
    assert_eq!(factors(fermat(5)), naturals(&[641, 6_700_417]));
    assert_eq!(factors(fermat(6)), naturals(&[274_177, 67_280_421_310_721]));
    assert_eq!(
        factors(fermat(7)),
        naturals(&[59_649_589_127_497_217, 5_704_689_200_685_129_054_721])
    );
}

#[test]
fn numbers_with_algebraic_factors_come_apart() {
    for n in [
        mersenne(96),
        mersenne(180),
        mersenne(252),
        mersenne(360),
        (Natural::ONE << 210usize) + 1u8,
    ] {
        let found = factors(n.clone());
        assert_eq!(found.iter().product::<Natural>(), n);
        for p in found {
            assert_eq!(run_to_end(&mut crate::job::IsPrime::new(p)), true.into());
        }
    }
}

#[test]
fn powers_come_apart() {
    let prime = mersenne(89);
    assert_eq!(factors(prime.pow(5)), vec![prime.clone(); 5]);
    assert_eq!(factors(prime.pow(2)), vec![prime.clone(); 2]);
    let mixed = mersenne(61).pow(3) * Natural::from(65_537u32).pow(4) * 49u8;
    let mut expected = naturals(&[7, 7, 65_537, 65_537, 65_537, 65_537]);
    expected.extend(vec![mersenne(61); 3]);
    assert_eq!(factors(mixed), expected);
}

#[test]
fn the_power_of_a_composite_takes_the_work_of_the_composite() {
    let composite = Natural::from(prime_near(61, 1 << 100)) * Natural::from(prime_near(62, 1 << 99));
    let slices = |n: Natural| {
        let (mut plan, mut slices) = (Factor::new(n), 0);
        while Plan::answer(&mut plan).is_none() {
            let slice = Plan::cut(&mut plan).expect("one hand is never idle");
            Plan::absorb(&mut plan, Factor::run(slice, Budget::unlimited()));
            slices += 1;
        }
        (slices, plan.primes)
    };
    let (once, primes) = slices(composite.clone());
    let (thrice, thrice_each) = slices(composite.pow(3));
    assert_eq!(thrice_each, repeated(primes, 3).collect::<Vec<_>>());
    // Trial division and the root; the sieve is one for all.
    assert!(
        thrice <= once + 4,
        "{thrice} slices for the third power, {once} for the composite"
    );
}

#[test]
fn a_long_power_of_a_short_prime_comes_apart_at_once() {
    let prime = Natural::from(1_000_003u32);
    assert_eq!(factors(prime.pow(1_657)), vec![prime; 1_657]);
}

#[test]
fn a_factor_of_fifteen_digits_of_a_long_number_is_found_by_curves() {
    // The largest primes below 10^15 and 2^521 is one.
    let small = Natural::from(999_999_999_999_989u64);
    assert_eq!(factors(&small * mersenne(521)), [small, mersenne(521)]);
}

fn prime_near(bits: u32, seed: u128) -> u128 {
    prev((1 << bits) - (seed >> 2) % (1 << (bits - 1))).expect("above 2")
}

#[test]
fn the_sieve_splits_what_curves_do_not() {
    let (p, q) = (prime_near(82, 1 << 100), prime_near(83, 1 << 99));
    let mut plan = Factor::new(Natural::from(p) * Natural::from(q));
    let mut stages = Vec::new();
    let answer = loop {
        if let Some(answer) = Plan::answer(&mut plan) {
            break answer;
        }
        let stage = Plan::stage(&plan).unwrap_or_default();
        stages.push(stage.split(' ').next().unwrap_or_default().to_owned());
        let slice = Plan::cut(&mut plan).expect("one hand is never idle");
        Plan::absorb(&mut plan, Factor::run(slice, Budget::unlimited()));
    };
    assert_eq!(answer, Value::Numbers(naturals(&[p.min(q), p.max(q)])));
    stages.dedup();
    assert_eq!(stages, ["", "ecm", "sieve", "matrix", ""]);
}

#[test]
fn every_stage_passes_the_exercise() {
    let (p, q) = (prime_near(61, 1 << 100), prime_near(62, 1 << 99));
    let sieved = exercise(|| Factor::new(Natural::from(p) * Natural::from(q)));
    assert_eq!(sieved, Value::Numbers(naturals(&[p.min(q), p.max(q)])));
    let (p, q) = (prime_near(40, 1 << 100), prime_near(44, 1 << 99));
    let n = Natural::from(p) * Natural::from(q) * mersenne(89) * mersenne(13);
    let searched = exercise(|| Factor::new(n.clone()));
    let mut expected = naturals(&[8191, p.min(q), p.max(q)]);
    expected.push(mersenne(89));
    assert_eq!(searched, Value::Numbers(expected));
}

/// Plays a plan with parts of this cost alone: what they came to, in bytes, and how many there were.
fn by_parts(n: Natural, cost: f64) -> (Value, usize, usize) {
    let mut plan = Factor::new(n);
    let (mut parts, mut bytes, mut shared) = (0, 0, None);
    loop {
        if let Some(answer) = Plan::answer(&mut plan) {
            return (answer, parts, bytes);
        }
        if let Some(part) = plan.cut_part(cost) {
            let mut there = Factor::restore(&part).expect("a part");
            shared.iter().for_each(|shared| there.use_shared(shared));
            assert_eq!(run_to_end(&mut there), Value::Nothing);
            assert!((there.progress() - 1.0).abs() < 1e-9);
            let result = there.result().expect("it is done");
            bytes += part.len() + result.len();
            parts += 1;
            plan.absorb_part(&part, &result).expect("its result");
            shared = plan.shared();
        }
        if let Some(slice) = Plan::cut(&mut plan) {
            Plan::absorb(&mut plan, Factor::run(slice, Budget::new(&|| true)));
        }
    }
}

#[test]
fn parts_of_curves_and_of_the_sieve_are_done_elsewhere() {
    let (p, q) = (prime_near(64, 1 << 100), prime_near(65, 1 << 99));
    let n = Natural::from(p) * Natural::from(q);
    let expected = Value::Numbers(naturals(&[p.min(q), p.max(q)]));
    assert_eq!(exercise(|| Factor::new(n.clone())), expected);
    let (answer, parts, _) = by_parts(n, 1e6);
    assert_eq!(answer, expected);
    assert!(parts > 4, "{parts}");
    // Curves find the factor of 15 digits.
    let small = Natural::from(999_999_999_999_989u64);
    let n = &small * mersenne(521);
    let (answer, parts, _) = by_parts(n.clone(), 1e7);
    assert_eq!(answer, Value::Numbers(vec![small, mersenne(521)]));
    assert!(parts > 0);
}

/// How long parts, checks and everything else take: `cargo test --release --lib shares_of_a_factor -- --ignored
/// --nocapture`.
#[test]
#[ignore = "slow: a minute on one core; prints what it measures"]
fn shares_of_a_factor() {
    for bits in [200, 220, 240] {
        let (p, q) = (prime_near(bits / 2, 1 << 99), prime_near(bits / 2, 1 << 98));
        let n = Natural::from(p) * Natural::from(q);
        let mut plan = Factor::new(n);
        let now = std::time::Instant::now;
        let (mut elsewhere, mut here, mut absorbing, mut checking, mut bytes, mut parts) =
            (0.0, 0.0, 0.0f64, 0.0, 0, 0);
        let mut shared = None;
        let mut stages: Vec<(String, f64)> = Vec::new();
        while Plan::answer(&mut plan).is_none() {
            if let Some(part) = plan.cut_part(1e9) {
                let begun = now();
                let mut there = Factor::restore(&part).expect("a part");
                shared.iter().for_each(|shared| there.use_shared(shared));
                run_to_end(&mut there);
                let result = there.result().expect("it is done");
                elsewhere += begun.elapsed().as_secs_f64();
                (bytes, parts) = (bytes + part.len() + result.len(), parts + 1);
                let begun = now();
                plan.absorb_part(&part, &result).expect("its result");
                absorbing = absorbing.max(begun.elapsed().as_secs_f64());
                shared = plan.shared();
            }
            while matches!(&plan.stage, Stage::Sieving(sieving) if sieving.is_checking()) {
                let begun = now();
                let slice = Plan::cut(&mut plan).expect("there is something to check");
                Plan::absorb(&mut plan, Factor::run(slice, Budget::unlimited()));
                checking += begun.elapsed().as_secs_f64();
            }
            if plan.cut_part(1.0).map(|part| plan.take_back(&part)).is_none() {
                let stage = Plan::stage(&plan).unwrap_or_default();
                let stage = stage.split(' ').next().unwrap_or_default().to_owned();
                let begun = now();
                let slice = Plan::cut(&mut plan).expect("one hand is never idle");
                Plan::absorb(&mut plan, Factor::run(slice, Budget::unlimited()));
                let took = begun.elapsed().as_secs_f64();
                here += took;
                match stages.last_mut() {
                    Some(last) if last.0 == stage => last.1 += took,
                    _ => stages.push((stage, took)),
                }
            }
        }
        println!(
            "{bits} bits: {parts} parts took {elsewhere:.2} s and {bytes} bytes, all else {here:.3} s {stages:?}; relations were checked in {checking:.3} s, the longest absorbed in {absorbing:.4} s",
        );
    }
}

#[test]
fn what_is_found_is_named_before_the_end() {
    let n = mersenne(1061);
    let mut plan = Factor::new(&n * 15u8);
    assert_eq!(Plan::found(&plan), None);
    for _ in 0..4000 {
        if Plan::found(&plan).is_some() {
            break;
        }
        let slice = Plan::cut(&mut plan).expect("there is much to do");
        Plan::absorb(&mut plan, Factor::run(slice, Budget::new(&|| true)));
    }
    assert_eq!(Plan::found(&plan), Some(format!("3 5 c320={n}")));
}

/// Plays the plan with several slices out at once that come back in any order.
fn factors_by_many_hands(n: Natural, hands: usize, order: impl Fn(usize) -> usize, rest: u32) -> Vec<Natural> {
    let mut plan = Factor::new(n);
    let (mut out, mut before) = (Vec::new(), 0.0);
    loop {
        if let Some(Value::Numbers(factors)) = Plan::answer(&mut plan) {
            return factors;
        }
        while out.len() < hands {
            let Some(slice) = Plan::cut(&mut plan) else { break };
            out.push(slice);
        }
        let asked = std::cell::Cell::new(0);
        let over = || {
            asked.set(asked.get() + 1);
            asked.get() > rest
        };
        let slice = out.swap_remove(order(out.len()));
        Plan::absorb(&mut plan, Factor::run(slice, Budget::new(&over)));
        assert!(plan.progress() >= before && plan.progress() <= 1.0);
        before = plan.progress();
    }
}

#[test]
fn searches_that_went_further_elsewhere_go_on() {
    let n = Natural::from(prime_near(50, 1 << 90)) * Natural::from(prime_near(60, 1 << 91));
    for (level, done) in [(0, 1), (0, 2), (1, 50), (2, 1), (3, 99), (10, 7)] {
        let mut writer = crate::job::Writer::new(*b"FACT", 3);
        // No prime is known, and one part.
        writer.natural(&n).u64(0).u64(1).natural(&n).u64(0.25_f64.to_bits());
        writer.u64(1).u64(level).u64(done).u64(6);
        let mut plan = Factor::restore(&writer.finish()).expect("it can be read");
        assert_eq!(
            run_to_end(&mut plan),
            run_to_end(&mut Factor::new(n.clone())),
            "{level} {done}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn semiprimes_of_every_size_come_apart_in_any_order(
        p: u128, q: u128, bits in 20u32..=66, other in 20u32..=66, hands in 1usize..5, order: prop::sample::Index, rest in 0u32..60,
    ) {
        let (p, q) = (prime_near(bits, p), prime_near(other, q));
        let found = factors_by_many_hands(Natural::from(p) * Natural::from(q), hands, |n| order.index(n), rest);
        prop_assert_eq!(found, naturals(&[p.min(q), p.max(q)]));
    }

    #[test]
    fn products_of_primes_come_apart(seeds in prop::collection::vec((1u128.., 1u32..40), 1..12)) {
        let primes = seeds.iter().map(|(seed, bits)| crate::primes::primality::search::next(seed >> (128 - bits)).expect("small"));
        let mut expected: Vec<Natural> = primes.map(Natural::from).collect();
        expected.sort_unstable();
        prop_assert_eq!(factors(expected.iter().product::<Natural>()), expected);
    }

    #[test]
    fn broken_checkpoints_are_refused_or_answered(polls in 0usize..3000, at in 0usize..4000, bit in 0u8..8) {
        let (p, q) = (prime_near(61, 1 << 90), prime_near(62, 1 << 91));
        let mut plan = Factor::new(Natural::from(p) * Natural::from(q));
        let left = std::cell::Cell::new(polls);
        let over = || left.replace(left.get().saturating_sub(1)) == 0;
        if crate::job::AnyPlan::advance(&mut plan, Budget::new(&over)).is_none() {
            let mut bytes = Plan::save(&plan).expect("it has a checkpoint");
            let at = at % bytes.len();
            bytes[at] ^= 1 << bit;
            if let Ok(mut plan) = Factor::restore(&bytes) {
                prop_assert!(run_to_end(&mut plan) != Value::Nothing);
            }
        }
    }
}
