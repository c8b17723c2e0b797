//! Counts against sieving, against each other when cut, interrupted and resumed in any way, and against the literature.

use super::*;
use crate::job::run_to_end;
use crate::primes::sieve::{Sieve, Step, primes_up_to};
use proptest::prelude::*;

fn count(x: impl Into<u128>) -> u128 {
    let mut plan = Pi::new(x.into());
    run_to_end(&mut plan);
    plan.count().expect("a plan that ran to its end knows its count")
}

/// `pi(x)` for ascending `x`, by sieving.
fn sieved(xs: &[u64]) -> Vec<u64> {
    let mut sieve = Sieve::new(0, xs.last().copied().unwrap_or(0));
    let (mut counts, mut before) = (Vec::new(), 0);
    loop {
        match sieve.step() {
            Step::Busy => {}
            Step::Segment(segment) => {
                let mut counter = segment.counter();
                while let Some(&x) = xs.get(counts.len())
                    && x <= segment.last()
                {
                    counts.push(before + counter.up_to(x));
                }
                before += segment.count();
            }
            Step::Done => return counts,
        }
    }
}

fn agrees_with_sieving(mut xs: Vec<u64>) {
    xs.sort_unstable();
    for (&x, expected) in xs.iter().zip(sieved(&xs)) {
        assert_eq!(count(x), expected.into(), "x = {x}");
    }
}

/// Numbers from a fixed seed (Knuth's linear congruential generator), so that a failure can be repeated.
fn random(seed: u64) -> impl Iterator<Item = u64> {
    std::iter::successors(Some(seed), |state| {
        Some(
            state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407),
        )
    })
    .skip(1)
    .map(|state| state >> 11)
}

#[test]
fn powers_of_ten_agree_with_oeis_a006880() {
    let counts = [
        4_u128,
        25,
        168,
        1229,
        9592,
        78_498,
        664_579,
        5_761_455,
        50_847_534,
        455_052_511,
        4_118_054_813,
        37_607_912_018,
        346_065_536_839,
        3_204_941_750_802,
        29_844_570_422_669,
        279_238_341_033_925,
    ];
    for (exponent, expected) in (1..).zip(counts) {
        assert_eq!(count(10_u128.pow(exponent)), expected, "10^{exponent}");
    }
}

#[test]
#[ignore = "slow: half a minute on one core"]
fn large_powers_of_ten_agree_with_oeis_a006880() {
    assert_eq!(count(10_u128.pow(17)), 2_623_557_157_654_233);
    assert_eq!(count(10_u128.pow(18)), 24_739_954_287_740_860);
}

#[test]
#[ignore = "slow: some minutes on one core for each"]
fn counts_beside_2_to_the_64_agree_with_oeis_a007053_and_a006880() {
    assert_eq!(count(u64::MAX), 425_656_284_035_217_743);
    assert_eq!(count(1_u128 << 64), 425_656_284_035_217_743);
    assert_eq!(count(1_u128 << 65), 837_903_145_466_607_212);
    assert_eq!(count(10_u128.pow(19)), 234_057_667_276_344_607);
    assert_eq!(count(10_u128.pow(20)), 2_220_819_602_560_918_840);
}

#[test]
#[ignore = "slow: hours on one core"]
fn counts_of_hours_agree_with_oeis_a006880_and_a007053() {
    assert_eq!(count(1_u128 << 70), 24_855_455_363_362_685_793);
    assert_eq!(count(10_u128.pow(21)), 21_127_269_486_018_731_928);
    assert_eq!(count(10_u128.pow(22)), 201_467_286_689_315_906_290);
}

#[test]
fn small_counts_agree_with_sieving() {
    agrees_with_sieving((0..2000).chain([999_999, 1_000_000, 1_000_001]).collect());
}

#[test]
fn two_thousand_random_counts_agree_with_sieving() {
    agrees_with_sieving(random(1).take(1500).map(|r| 1_000_000 + r % 99_000_000).collect());
    agrees_with_sieving(random(2).take(500).map(|r| r % 1_000_000_000).collect());
}

#[test]
fn counts_beside_squares_and_cubes_of_primes_agree_with_sieving() {
    let primes = primes_up_to(31_600);
    let squares = primes.iter().rev().step_by(80).map(|&p| u64::from(p).pow(2));
    let cubes = primes
        .iter()
        .map(|&p| u64::from(p).pow(3))
        .filter(|&cube| cube < 1_000_000_000);
    let beside = squares.chain(cubes).flat_map(|n| n - 1..=n + 1);
    agrees_with_sieving(beside.collect());
}

#[test]
fn counts_above_the_solo_limit_agree_with_known_ones() {
    // The n-th prime and the numbers beside it: OEIS A006988 gives the 10^9-th, 10^10-th and 10^11-th.
    for (n, prime) in [
        (1_000_000_000_u128, 22_801_763_489_u128),
        (10_000_000_000, 252_097_800_623),
        (100_000_000_000, 2_760_727_302_517),
    ] {
        assert_eq!([prime - 1, prime, prime + 1].map(count), [n - 1, n, n]);
    }
}

#[test]
fn all_instructions_count_the_same() {
    for x in [30_000_000_000_u128, 123_456_789_012, 1_000_000_000_000] {
        let expected = count(x);
        for &instructions in Instructions::all() {
            let mut plan = Pi::with_shape(Shape::new(x), instructions, EXACT_BY_RECIPROCAL);
            run_to_end(&mut plan);
            assert_eq!(plan.count(), Some(expected), "{instructions:?}");
        }
    }
}

/// Plays a plan with several slices out at once, absorbed in an order and interrupted at places that `choices` picks;
/// saves and restores it now and then.
fn play_wildly(x: u128, mut choices: impl Iterator<Item = u64>) -> (u128, usize) {
    let mut plan = Pi::new(x);
    let mut out = Vec::new();
    let mut progress = 0.0;
    let mut restored = 0;
    let mut choose = move |below: u64| choices.next().expect("choices never end") % below;
    loop {
        if let Some(count) = plan.count() {
            return (count, restored);
        }
        assert!(plan.progress() >= progress && plan.progress() <= 1.0);
        progress = plan.progress();
        if choose(40) == 0
            && let Some(bytes) = plan.save()
        {
            assert!(bytes.len() < 100_000);
            plan = Pi::restore(&bytes).expect("what was saved can be restored");
            out.clear();
            progress = 0.0;
            restored += 1;
        }
        while out.len() < 4
            && let Some(slice) = plan.cut()
        {
            out.push(slice);
        }
        let slice = out.swap_remove(choose(out.len() as u64) as usize);
        let steps = std::cell::Cell::new(choose(40) * choose(40));
        let is_over = || {
            steps.set(steps.get().saturating_sub(1));
            steps.get() == 0
        };
        plan.absorb(Pi::run(slice, Budget::new(&is_over)));
    }
}

#[test]
fn a_count_is_the_same_however_it_is_cut_interrupted_and_resumed() {
    let mut restored = 0;
    for (seed, r) in (0..30).zip(random(3)) {
        let x = 20_000_000_000 + u128::from(r) % 200_000_000_000;
        let (played, times) = play_wildly(x, random(seed));
        assert_eq!(played, count(x), "x = {x}");
        restored += times;
    }
    assert!(restored > 10, "restored only {restored} times");
    assert_eq!(play_wildly(1_000_000_000_000, random(77)).0, 37_607_912_018);
    assert_eq!(play_wildly(5_000_000, random(78)).0, 348_513);
}

#[test]
fn damaged_checkpoints_are_refused() {
    let mut plan = Pi::new(100_000_000_000);
    for _ in 0..20 {
        let slice = plan.cut().expect("work is left");
        plan.absorb(Pi::run(slice, Budget::new(&|| true)));
    }
    let bytes = plan.save().expect("a count under way can be saved");
    assert!(Pi::restore(&bytes).is_ok());
    for length in 0..bytes.len() {
        assert!(Pi::restore(&bytes[..length]).is_err());
    }
    assert!(Pi::restore(&[bytes.as_slice(), &[0]].concat()).is_err());
}

proptest! {
    #[test]
    fn no_bytes_make_restoring_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300), x in 0_u128..1 << 90) {
        prop_assert!(Pi::restore(&bytes).is_err());
        let mut header = Writer::new(Pi::KIND, Pi::VERSION);
        header.u128(x);
        bytes.splice(0..0, header.finish());
        let _ = Pi::restore(&bytes);
    }
}

#[test]
fn no_unit_is_a_large_part_of_a_large_count() {
    let mut plan = Pi::new(10_u128.pow(15));
    let mut before = 0.0;
    while Plan::answer(&mut plan).is_none() {
        let unit = Plan::cut(&mut plan).expect("nothing is under way");
        Plan::absorb(&mut plan, Pi::run(unit, Budget::unlimited()));
        let progress = Plan::progress(&plan);
        assert!(progress - before < 0.05, "from {before} to {progress} at once");
        before = progress;
    }
}

#[test]
#[ignore = "slow and needs a quiet machine: compares progress with the clock"]
fn progress_is_about_the_share_of_time() {
    for exponent in [12, 13, 14, 15, 16] {
        progress_of(10_u128.pow(exponent));
    }
}

fn progress_of(x: u128) {
    let begin = std::time::Instant::now();
    let mut plan = Pi::new(x);
    let mut points = Vec::new();
    while let Some(slice) = plan.cut() {
        plan.absorb(Pi::run(slice, Budget::unlimited()));
        points.push((begin.elapsed().as_secs_f64(), plan.progress()));
    }
    let total = begin.elapsed().as_secs_f64();
    for (elapsed, progress) in points {
        if (0.1..0.95).contains(&progress) {
            let left = elapsed * (1.0 - progress) / progress;
            let ratio = left / (total - elapsed);
            assert!(
                (0.5..2.0).contains(&ratio),
                "{x} at {progress}: {left} s left instead of {}",
                total - elapsed
            );
        }
    }
}

#[test]
fn memory_is_bounded_for_every_count() {
    let mebibytes = |x, workers| Pi::new(x).memory(workers) >> 20;
    assert!(mebibytes(1000, 64) < 1);
    assert!(mebibytes(10_u128.pow(15), 2) < 32);
    assert!(mebibytes(u64::MAX.into(), 2) < 512);
    assert!(mebibytes(10_u128.pow(20), 1) < 350);
    assert!(mebibytes(10_u128.pow(24), 2) < 2048);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_y_and_either_way_to_divide_count_the_same(x in 20_000_000_000_u128..2_000_000_000_000, alpha in 1.5_f64..30.0) {
        let expected = count(x);
        for near in [0, EXACT_BY_RECIPROCAL] {
            let mut plan = Pi::with_shape(Shape::with_alpha(x, alpha), Instructions::best(), near);
            run_to_end(&mut plan);
            prop_assert_eq!(plan.count(), Some(expected), "{} {}", alpha, near);
        }
    }
}

#[test]
#[ignore = "slow: some minutes on one core"]
fn another_y_counts_the_same_beyond_2_to_the_64() {
    for (x, alpha) in [((1_u128 << 64) + 987_654_321, 20.0), ((1 << 65) - 123_456_789, 70.0)] {
        let mut other = Pi::with_shape(Shape::with_alpha(x, alpha), Instructions::best(), EXACT_BY_RECIPROCAL);
        run_to_end(&mut other);
        assert_eq!(other.count(), Some(count(x)));
    }
}

#[test]
fn a_count_beyond_2_to_the_64_goes_on_from_its_checkpoint() {
    let mut plan = Pi::new(1 << 66);
    for _ in 0..4 {
        let slice = plan.cut().expect("work is left");
        plan.absorb(Pi::run(slice, Budget::new(&|| true)));
    }
    let bytes = plan.save().expect("a count under way can be saved");
    assert_eq!(Pi::restore(&bytes).expect("its own bytes").save(), Some(bytes));
}

#[test]
fn a_count_is_the_same_with_parts_done_elsewhere() {
    for x in [30_000_000_000_u128, 1_000_000_000_000] {
        assert_eq!(crate::job::exercise(|| Pi::new(x)), Value::Number(count(x).into()));
    }
}

#[test]
fn the_parts_of_a_count_share_their_tables() {
    let mut plan = Pi::new(1_000_000_000_000);
    while plan.shared().is_none() {
        let slice = plan.cut().expect("nothing is under way");
        plan.absorb(Pi::run(slice, Budget::unlimited()));
    }
    let part = plan.cut_part(1e6).expect("D has parts");
    let mut there = Pi::restore(&part).expect("a part");
    assert!(there.shared().is_none());
    there.use_shared(&Pi::new(1_000_000_000_001).shared().unwrap_or_else(|| Arc::new(())));
    assert!(there.shared().is_none());
    there.use_shared(&plan.shared().expect("they are made"));
    assert!(there.shared().is_some());
    run_to_end(&mut there);
    let result = there.result().expect("it is done");
    assert_eq!(plan.absorb_part(&part, &result), Ok(()));
    assert_eq!(run_to_end(&mut plan), Value::from(37_607_912_018));
}

fn is_of_a_and_c(plan: &Pi, part: &[u8]) -> bool {
    match &plan.play {
        Play::Together(schedule) => matches!(part::of(schedule, part), Ok(share::Share::Easy(_))),
        _ => false,
    }
}

/// `cargo test --release --lib parts_are_short -- --ignored --nocapture`
#[test]
#[ignore = "slow: half a minute on one core; prints what it measures"]
fn parts_are_short() {
    for (exponent, name) in [(17, "B"), (17, "D"), (17, "A + C"), (18, "B"), (18, "D"), (18, "A + C")] {
        for cost in [1.0, 1e9] {
            let mut plan = Pi::new(10_u128.pow(exponent));
            while name != "B" && plan.shared().is_none() {
                let slice = plan.cut().expect("nothing is under way");
                plan.absorb(Pi::run(slice, Budget::unlimited()));
            }
            // A + C is cut once all of D is.
            while name == "A + C" && !plan.cut_part(1e9).is_some_and(|part| is_of_a_and_c(&plan, &part)) {}
            let (mut seconds, mut bytes, mut parts) = (0.0, 0, 0);
            while seconds < 3.0 {
                let Some(part) = plan.cut_part(cost) else { break };
                let mut there = Pi::restore(&part).expect("a part");
                plan.shared().iter().for_each(|shared| there.use_shared(shared));
                let begin = std::time::Instant::now();
                run_to_end(&mut there);
                seconds += begin.elapsed().as_secs_f64();
                let result = there.result().expect("it is done");
                plan.absorb_part(&part, &result).expect("its result");
                (bytes, parts) = (bytes + part.len() + result.len(), parts + 1);
            }
            let rate = bytes as f64 / seconds / 1e3;
            println!("1e{exponent} {name}, parts of {cost} ns: {parts} took {seconds:.2} s, {rate:.2} KB a second");
            // A gigabit a second carries the parts of a thousand machines.
            assert!(cost < 1e9 || rate < 64.0, "{rate} KB a second");
        }
    }
}

/// `cargo test --release --lib parts_carry_the_work -- --ignored --nocapture`
#[test]
#[ignore = "slow: a minute on one core; prints what it measures"]
fn parts_carry_the_work() {
    use std::time::{Duration, Instant};
    for exponent in [16, 17, 18] {
        let mut plan = Pi::new(10_u128.pow(exponent));
        let (mut tables, mut owner, mut absorbing, mut elsewhere) =
            (Duration::ZERO, Duration::ZERO, Duration::ZERO, Duration::ZERO);
        let (mut count, mut longest) = (0, Duration::ZERO);
        while Plan::answer(&mut plan).is_none() {
            let begin = Instant::now();
            // B can be cut before the tables are there, which are to be made only once here.
            if plan.shared().is_some()
                && let Some(part) = plan.cut_part(1e9)
            {
                absorbing += begin.elapsed();
                let mut there = Pi::restore(&part).expect("a part");
                plan.shared().iter().for_each(|shared| there.use_shared(shared));
                let begin = Instant::now();
                run_to_end(&mut there);
                elsewhere += begin.elapsed();
                longest = longest.max(begin.elapsed());
                count += 1;
                let result = there.result().expect("it is done");
                let begin = Instant::now();
                plan.absorb_part(&part, &result).expect("its result");
                absorbing += begin.elapsed();
                continue;
            }
            let slice = plan.cut().expect("nothing is under way");
            plan.absorb(Pi::run(slice, Budget::unlimited()));
            if plan.shared().is_none() || owner.is_zero() && tables.is_zero() {
                tables += begin.elapsed();
            } else {
                owner += begin.elapsed();
            }
        }
        println!(
            "1e{exponent}: {count} parts {:.2} s, the longest {:.2}; tables {:.3}, the rest here {:.3}, cutting and absorbing {:.4} s",
            elsewhere.as_secs_f64(),
            longest.as_secs_f64(),
            tables.as_secs_f64(),
            owner.as_secs_f64(),
            absorbing.as_secs_f64()
        );
    }
}

#[test]
fn parts_of_a_and_c_come_back_in_any_order_or_are_cut_again() {
    let mut plan = Pi::new(10_u128.pow(14));
    while plan.shared().is_none() {
        let slice = plan.cut().expect("nothing is under way");
        plan.absorb(Pi::run(slice, Budget::unlimited()));
    }
    let (mut parts, mut choices, mut leafy) = (Vec::new(), random(5), 0);
    for round in 0..60 {
        parts.extend(plan.cut_part(if round % 2 == 0 { 1e6 } else { 5e6 }));
        if round % 3 == 0 || parts.is_empty() {
            continue;
        }
        let choice = choices.next().expect("choices never end") as usize;
        let part = parts.swap_remove(choice % parts.len());
        leafy += usize::from(is_of_a_and_c(&plan, &part));
        if round % 7 == 1 {
            plan.take_back(&part).expect("it is under way");
            continue;
        }
        let mut there = Pi::restore(&part).expect("a part");
        there.use_shared(&plan.shared().expect("they are made"));
        run_to_end(&mut there);
        let result = there.result().expect("it is done");
        assert_eq!(plan.absorb_part(&part, &result), Ok(()));
    }
    assert!(leafy > 4, "{leafy} of A + C");
    parts
        .iter()
        .for_each(|part| plan.take_back(part).expect("it is under way"));
    assert_eq!(run_to_end(&mut plan), Value::from(3_204_941_750_802));
}
