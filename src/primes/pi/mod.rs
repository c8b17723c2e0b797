//! Counting primes: `pi(x)` for every `x` below `2^64`, by Gourdon's variant of the Deleglise-Rivat algorithm.
//!
//! `pi(x) = A - B + C + D + Phi0 + Sigma` (X. Gourdon, "Computation of pi(x): improvements to the Meissel, Lehmer, Lagarias, Miller,
//! Odlyzko, Deleglise and Rivat method", 2001). All sums are modulo 2^64, which is exact because the result fits.
//!
//! Start at [`Shape`] for the parameters and at [`whole`] for how the sums come together; each sum has a file of its own and can be
//! computed in independent pieces. Knows no plan: who computes the pieces, and when, is `job`'s affair.

pub(crate) mod easy;
mod easy_sum;
pub(crate) mod factor;
pub(crate) mod hard;
mod hard_kernels;
mod hard_sieve;
pub(crate) mod level;
pub(crate) mod ordinary;
pub(crate) mod semiprimes;
pub(crate) mod shape;
pub(crate) mod sigma;
pub(crate) mod small;
pub(crate) mod table;
pub(crate) mod tables;
pub(crate) mod wheel;

#[cfg(test)]
mod tests {
    use super::level::Level;
    use super::shape::Shape;
    use super::*;

    fn whole(shape: Shape, level: Level) -> u64 {
        let mut making = tables::Making::new(shape, level);
        while !making.step() {}
        let tables = making.finish();
        let segment = table::PiTable::new(0, shape.sqrt_x + 1, 0);
        let pi_sqrt_x = segment.pi(shape.sqrt_x);
        let sigma = sigma::of_counts(&tables, pi_sqrt_x).wrapping_add(sigma::of_primes(&tables, easy::all(&tables)));
        let phi0 = ordinary::root(&tables).wrapping_add(ordinary::sum(&tables, ordinary::indices(&tables)));
        let constants = easy::constants(&tables, easy::all(&tables));
        let mut easy = easy::Leaves::default();
        for b in easy::all(&tables) {
            easy.add(easy::leaves(&tables, &segment, b));
        }
        assert_eq!(easy.count, constants.count);
        let easy = easy.sum.wrapping_add(constants.sum);
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
        while d.step(&tables) {}
        let d = d.finish().sum;
        sigma
            .wrapping_add(phi0)
            .wrapping_add(easy)
            .wrapping_add(d)
            .wrapping_sub(b)
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
                for &level in Level::all() {
                    assert_eq!(whole(shape, level), pi, "{shape:?} {level:?}");
                }
            }
        }
    }
}
