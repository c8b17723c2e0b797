//! The inner loop of products of long numbers: a number times a word is added to another one.
//!
//! Does not know what a residue is; see [`super::words`]. A row takes 1.6 cycles a word on a Zen 2, by a multiplication
//! that leaves the flags alone and two chains of carries (E. Ozturk and others, "New Instructions Supporting Large
//! Integer Arithmetic on Intel Architecture Processors", Intel, 2012). Both chains go through the whole row: folded
//! into a word after every four words, as they were, they cost 2.
//!
//! Unsafe: assembly, for compilers keep no two chains; where a [`Rows`] is, the processor has the instructions.
#![allow(unsafe_code)]

use crate::primes::features::has;
use std::arch::asm;

/// The processor has both instructions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows(());

/// Words of a turn of the loop.
const TURN: usize = 8;

/// A word of the row: the low half of its product, the high half of the one before and the sum make a word of the sum.
#[rustfmt::skip]
macro_rules! word {
    ($place:literal, $before:literal, $high:literal) => {
        concat!(
            "mulx {", $high, "}, {low}, qword ptr [{a} + 8 * ", $place, "]\n",
            "adcx {low}, {", $before, "}\n",
            "adox {low}, qword ptr [{sum} + 8 * ", $place, "]\n",
            "mov qword ptr [{sum} + 8 * ", $place, "], {low}",
        )
    };
}

/// Every second word leaves its high half in the other register.
macro_rules! even {
    ($place:literal) => {
        word!($place, "high", "other")
    };
}
macro_rules! odd {
    ($place:literal) => {
        word!($place, "other", "high")
    };
}

/// Turns of eight words, and the words of the rest, after which the high half is in `$last`. `lea`, `jrcxz` and `jmp`
/// leave the flags alone, and `test` clears them.
macro_rules! row {
    ($sum:ident, $a:ident, $b:ident, $last:literal $(, $word:expr)*) => {{
        let carry: u64;
        // SAFETY: the turns and the words after them are those that both slices have, and the processor has the
        // instructions.
        unsafe {
            asm!(
                "xor {high:e}, {high:e}",
                "xor {zero:e}, {zero:e}",
                "test rcx, rcx",
                "jz 3f",
                "2:",
                even!("0"),
                odd!("1"),
                even!("2"),
                odd!("3"),
                even!("4"),
                odd!("5"),
                even!("6"),
                odd!("7"),
                "lea {a}, [{a} + 64]",
                "lea {sum}, [{sum} + 64]",
                "lea rcx, [rcx - 1]",
                "jrcxz 3f",
                "jmp 2b",
                "3:",
                $($word,)*
                concat!("adcx {", $last, "}, {zero}"),
                concat!("adox {", $last, "}, {zero}"),
                concat!("mov {high}, {", $last, "}"),
                a = inout(reg) $a.as_ptr() => _,
                sum = inout(reg) $sum.as_mut_ptr() => _,
                inout("rcx") $a.len() / TURN => _,
                high = out(reg) carry,
                other = out(reg) _,
                zero = out(reg) _,
                low = out(reg) _,
                in("rdx") $b,
                options(nostack),
            );
        }
        carry
    }};
}

impl Rows {
    /// `None` if the processor lacks the instructions.
    pub(super) fn new() -> Option<Self> {
        has!("bmi2", "adx").then_some(Self(()))
    }

    /// `sum += a b`, as long as `a`; what is carried out of it.
    ///
    /// # Panics
    /// If `sum` is shorter than `a`.
    #[rustfmt::skip]
    pub(super) fn add(self, sum: &mut [u64], a: &[u64], b: u64) -> u64 {
        let sum = &mut sum[..a.len()];
        match a.len() % TURN {
            0 => row!(sum, a, b, "high"),
            1 => row!(sum, a, b, "other", even!("0")),
            2 => row!(sum, a, b, "high", even!("0"), odd!("1")),
            3 => row!(sum, a, b, "other", even!("0"), odd!("1"), even!("2")),
            4 => row!(sum, a, b, "high", even!("0"), odd!("1"), even!("2"), odd!("3")),
            5 => row!(sum, a, b, "other", even!("0"), odd!("1"), even!("2"), odd!("3"), even!("4")),
            6 => row!(sum, a, b, "high", even!("0"), odd!("1"), even!("2"), odd!("3"), even!("4"), odd!("5")),
            _ => row!(sum, a, b, "other", even!("0"), odd!("1"), even!("2"), odd!("3"), even!("4"), odd!("5"), even!("6")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same by ordinary instructions.
    fn add_portable(sum: &mut [u64], a: &[u64], b: u64) -> u64 {
        sum.iter_mut().zip(a).fold(0, |carry, (sum, a)| {
            let product = u128::from(*a) * u128::from(b) + u128::from(*sum) + u128::from(carry);
            *sum = product as u64;
            (product >> 64) as u64
        })
    }

    fn check(sum: &[u64], a: &[u64], b: u64) {
        let Some(rows) = Rows::new() else { return };
        let (mut fast, mut portable) = (sum.to_vec(), sum.to_vec());
        let carry = rows.add(&mut fast, a, b);
        assert_eq!(carry, add_portable(&mut portable, a, b));
        assert_eq!(fast, portable);
    }

    #[test]
    fn the_largest_words_carry_as_ordinary_instructions_do() {
        for length in 0..40 {
            check(&vec![u64::MAX; length], &vec![u64::MAX; length], u64::MAX);
        }
    }

    #[test]
    fn a_longer_sum_keeps_its_other_words() {
        let Some(rows) = Rows::new() else { return };
        for length in 0..20 {
            let mut sum = vec![u64::MAX; length + 3];
            rows.add(&mut sum, &vec![1; length], 1);
            assert_eq!(sum[length..], [u64::MAX; 3]);
        }
    }

    proptest! {
        #[test]
        fn rows_agree_with_ordinary_instructions(
            words in prop::collection::vec((any::<u64>(), any::<u64>()), 0..70),
            b: u64,
        ) {
            let (sum, a): (Vec<u64>, Vec<u64>) = words.into_iter().unzip();
            check(&sum, &a, b);
        }
    }
}
