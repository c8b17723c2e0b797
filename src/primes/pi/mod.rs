//! Counting primes: `pi(x)` for every `x` up to 10^25, by Gourdon's variant of the Deleglise-Rivat algorithm.
//!
//! `pi(x) = A - B + C + D + Phi0 + Sigma` (X. Gourdon, "Computation of pi(x): improvements to the Meissel, Lehmer,
//! Lagarias, Miller, Odlyzko, Deleglise and Rivat method", 2001).
//!
//! Start at `shape` for the parameters; `job::Pi` says how the sums come together; each sum has a file of its own and
//! can be computed in independent pieces. Knows no plan: who computes the pieces, and when, is `job`'s affair.

#[cfg(target_arch = "x86_64")]
mod avx2;
pub(crate) mod easy;
#[cfg(target_arch = "x86_64")]
mod easy_avx2;
#[cfg(target_arch = "x86_64")]
mod easy_avx512;
pub(crate) mod easy_sum;
pub(crate) mod factor;
#[cfg(target_arch = "x86_64")]
mod groups;
pub(crate) mod hard;
#[cfg(target_arch = "x86_64")]
mod hard_avx2;
#[cfg(target_arch = "x86_64")]
mod hard_avx512;
mod hard_kernels;
mod hard_sieve;
mod index;
pub(crate) mod instructions;
pub(crate) mod ordinary;
pub(crate) mod quotient;
pub(crate) mod semiprimes;
pub(crate) mod shape;
pub(crate) mod sigma;
pub(crate) mod table;
pub(crate) mod tables;
pub(crate) mod wheel;

#[cfg(test)]
mod tests {
    use super::instructions::Instructions;
    use super::shape::Shape;
    use super::*;

    fn tables(shape: Shape, instructions: Instructions, near: u64) -> tables::Tables {
        let mut making = tables::Making::new(shape, instructions, near);
        while !making.step() {}
        making.finish()
    }

    fn whole(shape: Shape, instructions: Instructions, near: u64) -> u128 {
        let tables = tables(shape, instructions, near);
        let segment = table::PiTable::new(0, shape.sqrt_x + 1);
        let pi_sqrt_x = segment.pi(shape.sqrt_x);
        let sigma = sigma::of_counts(&tables, pi_sqrt_x) + sigma::of_primes(&tables, easy::all(&tables));
        let phi0 = ordinary::root(&tables) + ordinary::sum(&tables, ordinary::indices(&tables));
        let constants = easy::constants(&tables, easy::all(&tables));
        let mut easy = easy::Leaves::default();
        for b in easy::all(&tables) {
            easy.add(easy::leaves(&tables, &segment, b));
        }
        assert_eq!(easy.count, constants.count);
        let (mut low, mut pieces) = (semiprimes::start(&shape), semiprimes::Piece::default());
        let before = segment.pi(low);
        while low <= shape.sieve_limit() {
            let mut work = semiprimes::Work::new(&shape, low);
            while !work.step() {}
            pieces.append(work.piece());
            low = semiprimes::end(&shape, low);
        }
        let b = pieces.counted_from(before);
        let mut d = hard::Work::default();
        d.begin(&tables, 0, shape.sieve_limit() + 1);
        while d.step(&tables).is_some() {}
        let d = d.finish().sum;
        (sigma + phi0 + easy.sum + constants.sum + d - b as i128) as u128
    }

    #[test]
    fn the_sums_make_pi() {
        for (x, pi) in [
            (1_000_000, 78_498),
            (10_000_000, 664_579),
            (100_000_000, 5_761_455),
            (1_000_000_000, 50_847_534),
            (10_000_000_000, 455_052_511),
        ] {
            for alpha in [1.0, 1.5, 2.0, 2.7, 4.0, 10.0] {
                let shape = Shape::with_alpha(x, alpha);
                for &instructions in Instructions::all() {
                    // As large numbers are divided, and as small ones.
                    for near in [0, easy_sum::EXACT_BY_RECIPROCAL] {
                        assert_eq!(
                            whole(shape, instructions, near),
                            pi,
                            "{shape:?} {instructions:?} {near}"
                        );
                    }
                }
            }
        }
    }

    /// The sums of single primes and pieces beyond 2^64, leaf by leaf with divisions of double words.
    #[test]
    fn leaves_beyond_2_to_the_64_are_those_of_division() {
        for x in [(1_u128 << 64) + 12_345, 10_u128.pow(20), (1 << 68) - 1] {
            let shape = Shape::with_alpha(x, 1.5);
            let tables = tables(shape, Instructions::best(), easy_sum::EXACT_BY_RECIPROCAL);
            let over = |by: u64| x / u128::from(by);

            let all = easy::all(&tables);
            let (first, turn) = (all.start, tables.index(shape.x_star));
            for piece in [0, 1, shape.y / table::ALIGNMENT, shape.sqrt_x / table::ALIGNMENT / 3] {
                let low = piece * table::ALIGNMENT;
                let segment = table::PiTable::new(low, low + 1000 * table::ALIGNMENT);
                for b in [first, turn - 100, turn, turn + 1, turn + 1000, all.end - 1] {
                    let prime = tables.prime(b);
                    let mut expected = easy::Leaves::default();
                    let mut add = |weight: i128, at: u128| {
                        if (u128::from(segment.low().max(2))..segment.high().into()).contains(&at) {
                            expected.sum += weight * i128::from(segment.pi(at as u64));
                            expected.weight += weight;
                            expected.count += 1;
                        }
                    };
                    if prime > shape.x_star {
                        for &q in tables.primes[b + 1..]
                            .iter()
                            .take_while(|&&q| u128::from(q).pow(2) <= over(prime))
                        {
                            let at = over(prime * u64::from(q));
                            add(if at < shape.y.into() { 2 } else { 1 }, at);
                        }
                        assert_eq!(easy::leaves(&tables, &segment, b), expected, "{x} {low} {b}");
                    }
                }
            }

            // B: a piece beside its end.
            let low = table::ALIGNMENT * (shape.sieve_limit() / 2 / table::ALIGNMENT);
            let mut work = semiprimes::Work::new(&shape, low);
            while !work.step() {}
            let end = semiprimes::end(&shape, low);
            let inside = table::PiTable::new(low, end);
            let (mut sum, mut queries) = (0, 0);
            let mut sieve = crate::primes::sieve::Sieve::new(over(end) as u64, over(low) as u64);
            loop {
                match sieve.step() {
                    crate::primes::sieve::Step::Busy => {}
                    crate::primes::sieve::Step::Segment(segment) => segment.for_each(|p| {
                        if p > shape.y && (low.into()..end.into()).contains(&over(p)) {
                            sum += u128::from(inside.pi(over(p) as u64));
                            queries += 1;
                        }
                    }),
                    crate::primes::sieve::Step::Done => break,
                }
            }
            assert_eq!((work.piece().sum, work.piece().queries), (sum, queries));

            // D: a segment whose leaves are counted one by one.
            let low = hard::ALIGNMENT * (shape.sieve_limit() / 2 / hard::ALIGNMENT);
            let high = low + 64 * hard::ALIGNMENT;
            let mut work = hard::Work::default();
            work.begin(&tables, low, high);
            while work.step(&tables).is_some() {}
            let found = work.finish();
            let mut left: Vec<bool> = (low..high).map(|n| (1..=8).all(|b| n % tables.prime(b) != 0)).collect();
            let mut sum = 0_i128;
            for (b, (&weight, &count)) in (9..).zip(found.weights.iter().zip(&found.counts)) {
                let prime = tables.prime(b);
                assert_eq!(
                    count as usize,
                    left.iter().filter(|&&is_left| is_left).count(),
                    "{x} {b}"
                );
                let ranks: Vec<i64> = left
                    .iter()
                    .scan(0, |rank, &is_left| {
                        *rank += i64::from(is_left);
                        Some(*rank)
                    })
                    .collect();
                let mut expected = 0;
                let most = shape.y.min((over(prime) / u128::from(prime * prime)) as u64);
                let (from, to) = (over(prime) / u128::from(high), over(prime) / u128::from(low));
                for m in from as u64 + 1..=(to as u64).min(most) {
                    let entry = match m {
                        _ if m <= (shape.y / prime).max(prime) || factor::number(factor::index_after(m) - 1) != m => 0,
                        _ => tables.factors.entries()[factor::index_after(m) - 1],
                    };
                    if entry > factor::threshold(b) {
                        let sign = if entry & 1 == 1 { 1 } else { -1 };
                        expected += i64::from(sign);
                        sum += i128::from(i64::from(sign) * ranks[(over(prime * m) - u128::from(low)) as usize]);
                    }
                }
                assert_eq!(weight, expected, "{x} {b}");
                (0..high - low)
                    .filter(|at| (low + at).is_multiple_of(prime))
                    .for_each(|at| left[at as usize] = false);
            }
            assert_eq!((found.sum, found.counts.len() > 200), (sum, true));
        }
    }

    /// The longest segments of D take the multiples of large primes from the factor table; longer ones do not.
    #[test]
    fn listed_multiples_are_those_that_are_crossed_off() {
        let segment = |tables: &tables::Tables, low: u64, high: u64| {
            let mut work = hard::Work::default();
            work.begin(tables, low, high);
            while work.step(tables).is_some() {}
            work.finish()
        };
        // The squares of some of the primes lie after the first of these segments. The last has more primes than there
        // are least prime factors.
        for (x, alpha, low) in [
            (10_u128.pow(15), 20.0, 24_000_000),
            (10_u128.pow(15), 20.0, 160_000_000),
            (10_u128.pow(22), 1.5, 40_000_000_000),
        ] {
            let shape = Shape::with_alpha(x, alpha);
            let low = u64::next_multiple_of(low, hard::ALIGNMENT);
            let middle = hard::end(&shape, low);
            let high = middle + hard::ALIGNMENT;
            for &instructions in Instructions::all() {
                let tables = tables(shape, instructions, easy_sum::EXACT_BY_RECIPROCAL);
                let mut both = segment(&tables, low, middle);
                both.append(&segment(&tables, middle, high));
                let mut whole = segment(&tables, low, high);
                assert!(tables.prime(whole.counts.len()) > 2000);
                whole.counts.truncate(both.counts.len());
                assert_eq!(both, whole, "{instructions:?} {low}");
            }
        }
    }
}
