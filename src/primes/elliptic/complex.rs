//! Complex numbers in fixed point: integers over a power of 2. As precise as it takes, for a few hundred operations.
//! Knows no discriminant.

use dashu_int::IBig;
use dashu_int::ops::SquareRoot;

/// Real and imaginary part, times `2^bits` of the [`Scale`].
#[derive(Clone, Debug)]
pub(super) struct Complex {
    pub(super) re: IBig,
    pub(super) im: IBig,
}

/// How many bits follow the point. Each operation is wrong by a few units of the last one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale(pub(super) usize);

impl Scale {
    pub(super) fn whole(self, k: u32) -> Complex {
        Complex {
            re: IBig::from(k) << self.0,
            im: IBig::ZERO,
        }
    }

    pub(super) fn mul(self, a: &Complex, b: &Complex) -> Complex {
        Complex {
            re: (&a.re * &b.re - &a.im * &b.im) >> self.0,
            im: (&a.re * &b.im + &a.im * &b.re) >> self.0,
        }
    }

    pub(super) fn square(self, a: &Complex) -> Complex {
        Complex {
            re: ((&a.re + &a.im) * (&a.re - &a.im)) >> self.0,
            im: (&a.re * &a.im) >> (self.0 - 1),
        }
    }

    /// `a^24`
    pub(super) fn power_24(self, a: &Complex) -> Complex {
        let cube = self.mul(&self.square(a), a);
        self.square(&self.square(&self.square(&cube)))
    }

    /// `a / b`, for a `b` that is not 0: with the relative precision of `b`.
    pub(super) fn div(self, a: &Complex, b: &Complex) -> Complex {
        let norm = &b.re * &b.re + &b.im * &b.im;
        Complex {
            re: ((&a.re * &b.re + &a.im * &b.im) << self.0) / &norm,
            im: ((&a.im * &b.re - &a.re * &b.im) << self.0) / &norm,
        }
    }

    /// The root of a number.
    pub(super) fn root(self, k: u32) -> IBig {
        (dashu_int::UBig::from(k) << (2 * self.0)).sqrt().into()
    }

    /// `pi`, by the formula of J. Machin: 16 atan(1/5) - 4 atan(1/239).
    pub(super) fn pi(self) -> IBig {
        let atan = |k: u32| {
            let mut power = (IBig::ONE << self.0) / k;
            let (mut sum, mut n) = (IBig::ZERO, 1u32);
            while power != IBig::ZERO {
                let term = &power / n;
                sum = if n % 4 == 1 { sum + term } else { sum - term };
                power /= k * k;
                n += 2;
            }
            sum
        };
        atan(5) * 16 - atan(239) * 4
    }

    /// `e^z` for a `z` of at most 2^12, whose real part is not above 0: of the 2^k-th part of `z` by the series, then
    /// by `k` squarings, each of which doubles the error.
    pub(super) fn exp(self, z: &Complex) -> Complex {
        let halvings = self.exp_halvings();
        let small = Complex {
            re: &z.re >> halvings,
            im: &z.im >> halvings,
        };
        let mut sum = self.whole(1);
        let mut term = sum.clone();
        let mut n = 1u32;
        while term.re != IBig::ZERO || term.im != IBig::ZERO {
            term = self.mul(&term, &small);
            // Towards 0, so that the terms end.
            term = Complex {
                re: term.re / n,
                im: term.im / n,
            };
            sum.re += &term.re;
            sum.im += &term.im;
            n += 1;
        }
        for _ in 0..halvings {
            sum = self.square(&sum);
        }
        sum
    }

    /// How often [`exp`](Self::exp) halves: as many bits of the result are wrong.
    pub(super) fn exp_halvings(self) -> usize {
        16 + self.0.isqrt() / 2
    }
}
