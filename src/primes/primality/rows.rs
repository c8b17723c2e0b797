//! The inner loop of products of long numbers: a number times a word is added to another one.
//!
//! Does not know what a residue is; see [`super::words`]. A row takes 2.6 cycles a word on a Zen 2, whose multiplier
//! bounds it at 2, by a multiplication that leaves the flags alone and two chains of carries (E. Ozturk and others,
//! "New Instructions Supporting Large Integer Arithmetic on Intel Architecture Processors", Intel, 2012).
//!
//! Unsafe: four words of two slices at a time, in assembly, for compilers keep no two chains. The function is called
//! where [`available`] says so.
#![allow(unsafe_code)]

use crate::primes::features::has;
use std::arch::asm;

/// Words of a turn of the loop.
const TURN: usize = 4;

/// Whether the processor has both instructions.
pub(super) fn available() -> bool {
    has!("bmi2", "adx")
}

/// `sum += a b`, as long as `a`; what is carried out of it.
///
/// # Safety
/// [`available`] is true.
///
/// # Panics
/// If `sum` is shorter than `a`.
#[target_feature(enable = "bmi2,adx")]
pub(super) unsafe fn add(sum: &mut [u64], a: &[u64], b: u64) -> u64 {
    let sum = &mut sum[..a.len()];
    let turns = a.len() / TURN;
    let mut carry = 0u64;
    if turns > 0 {
        // SAFETY: `turns` turns read and write as many words of both slices as they have, at least.
        unsafe {
            asm!(
                "2:",
                "xor {zero:e}, {zero:e}",
                "mulx {high}, {low}, qword ptr [{a}]",
                "adcx {low}, {carry}",
                "adox {low}, qword ptr [{sum}]",
                "mov qword ptr [{sum}], {low}",
                "mulx {carry}, {low}, qword ptr [{a} + 8]",
                "adcx {low}, {high}",
                "adox {low}, qword ptr [{sum} + 8]",
                "mov qword ptr [{sum} + 8], {low}",
                "mulx {high}, {low}, qword ptr [{a} + 16]",
                "adcx {low}, {carry}",
                "adox {low}, qword ptr [{sum} + 16]",
                "mov qword ptr [{sum} + 16], {low}",
                "mulx {carry}, {low}, qword ptr [{a} + 24]",
                "adcx {low}, {high}",
                "adox {low}, qword ptr [{sum} + 24]",
                "mov qword ptr [{sum} + 24], {low}",
                "adcx {carry}, {zero}",
                "adox {carry}, {zero}",
                "add {a}, 32",
                "add {sum}, 32",
                "dec {turns}",
                "jnz 2b",
                a = inout(reg) a.as_ptr() => _,
                sum = inout(reg) sum.as_mut_ptr() => _,
                turns = inout(reg) turns => _,
                carry = inout(reg) carry,
                zero = out(reg) _,
                low = out(reg) _,
                high = out(reg) _,
                in("rdx") b,
                options(nostack),
            );
        }
    }
    add_portable(&mut sum[turns * TURN..], &a[turns * TURN..], b, carry)
}

/// The same by ordinary instructions, after a carry.
fn add_portable(sum: &mut [u64], a: &[u64], b: u64, carry: u64) -> u64 {
    sum.iter_mut().zip(a).fold(carry, |carry, (sum, a)| {
        let product = u128::from(*a) * u128::from(b) + u128::from(*sum) + u128::from(carry);
        *sum = product as u64;
        (product >> 64) as u64
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(sum: &[u64], a: &[u64], b: u64) {
        if !available() {
            return;
        }
        let (mut fast, mut portable) = (sum.to_vec(), sum.to_vec());
        // SAFETY: the processor has the instructions.
        let carry = unsafe { add(&mut fast, a, b) };
        assert_eq!(carry, add_portable(&mut portable, a, b, 0));
        assert_eq!(fast, portable);
    }

    #[test]
    fn the_largest_words_carry_as_ordinary_instructions_do() {
        for length in 0..40 {
            check(&vec![u64::MAX; length], &vec![u64::MAX; length], u64::MAX);
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
