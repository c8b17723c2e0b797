//! How numbers are written: `1000000`, `1_000_000`, `1e6`, `1.5e6`, `10**6`, `2^127-1`. Knows no verb.

use crate::primes::Natural;
use dashu_int::ops::BitTest;
use thiserror::Error;

/// The most decimal digits a number may have. Enough for primes of record size a generation ago; short enough that reading
/// one costs well under a millisecond.
pub const MAX_DIGITS: usize = 10_000;

/// How large a number may be.
#[derive(Clone, Copy)]
struct Limit {
    digits: usize,
    /// Bits of the largest number with this many digits: `ceil(digits * log2(10))`.
    bits: usize,
}

const LONGEST: Limit = Limit {
    digits: MAX_DIGITS,
    bits: 33_220,
};

/// More than any number with a fast answer; read in a microsecond.
const SHORT: Limit = Limit { digits: 100, bits: 333 };

/// Why a text is not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NumberError {
    /// It is not written like a number.
    #[error("write numbers like 1000000, 1_000_000, 1e6, 10**6 or 2^61-1")]
    Malformed,
    /// It is below zero.
    #[error("numbers here are not negative")]
    Negative,
    /// It is not a whole number.
    #[error("numbers here are whole")]
    Fraction,
    /// It has more than [`MAX_DIGITS`] digits.
    #[error("a number may have at most {MAX_DIGITS} digits")]
    TooBig,
}

/// Reads a natural number.
///
/// The forms are decimal digits (with `_` between digits), `AeB` (A may have a fraction that B makes whole), `A^B` or `A**B`,
/// and one `+` or `-` between two of these.
///
/// # Errors
/// `NumberError` says what is wrong. What is too big may be computed before it is refused, but nothing of more than 2.2 times
/// [`MAX_DIGITS`] digits: a mantissa of 10,000 digits times `1e11073`, which is the largest power of ten that is tried.
pub fn parse_number(text: &str) -> Result<Natural, NumberError> {
    parse(text, LONGEST)
}

/// The same for a number of at most 100 digits that is not made of larger ones: whatever the text, it costs no more than to look at it,
/// while a long number may cost a tenth of a millisecond.
///
/// # Errors
/// As [`parse_number`]; [`NumberError::TooBig`] says nothing of the right limit.
pub fn parse_short_number(text: &str) -> Result<Natural, NumberError> {
    parse(text, SHORT)
}

fn parse(text: &str, limit: Limit) -> Result<Natural, NumberError> {
    if let Some(word) = parse_word(text) {
        return Ok(Natural::from(word));
    }
    if let Some(rest) = text.strip_prefix('-') {
        return Err(negative_or_malformed(rest, limit));
    }
    // A sign right after an `e` belongs to the exponent.
    let split = text
        .char_indices()
        .skip(1)
        .find(|&(at, c)| matches!(c, '+' | '-') && !matches!(text.as_bytes()[at - 1], b'e' | b'E'));
    let number = match split {
        None => parse_term(text, limit)?,
        Some((at, sign)) => {
            let (left, right) = (parse_term(&text[..at], limit)?, parse_term(&text[at + 1..], limit)?);
            match sign {
                '+' => left + right,
                _ if right > left => return Err(NumberError::Negative),
                _ => left - right,
            }
        }
    };
    within(number, limit)
}

/// The common case of a number: up to 19 digits and nothing else. `None` says nothing about any other text.
pub fn parse_word(text: &str) -> Option<u64> {
    if text.is_empty() || text.len() > 19 {
        return None;
    }
    text.bytes().try_fold(0u64, |word, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| word * 10 + u64::from(digit))
    })
}

/// One sign only: a line of thousands of them must not recurse thousands of times.
fn negative_or_malformed(rest: &str, limit: Limit) -> NumberError {
    match rest.starts_with('-') || parse(rest, limit).is_err() {
        true => NumberError::Malformed,
        false => NumberError::Negative,
    }
}

fn within(number: Natural, Limit { digits, bits }: Limit) -> Result<Natural, NumberError> {
    // A number with just this many bits may have one digit too many, so the digits are checked only at the edge.
    if number.bit_len() < bits || (number.bit_len() == bits && number < Natural::from(10u8).pow(digits)) {
        Ok(number)
    } else {
        Err(NumberError::TooBig)
    }
}

fn parse_term(text: &str, limit: Limit) -> Result<Natural, NumberError> {
    if let Some((base, exponent)) = text.split_once("**").or_else(|| text.split_once('^')) {
        return power(&parse_digits(base, limit)?, &parse_digits(exponent, limit)?, limit);
    }
    match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => parse_scientific(mantissa, exponent.strip_prefix('+').unwrap_or(exponent), limit),
        None if text.contains('.') => parse_float(text, limit),
        None => parse_digits(text, limit),
    }
}

fn parse_scientific(mantissa: &str, exponent: &str, limit: Limit) -> Result<Natural, NumberError> {
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    parse_digits(whole, limit)?;
    parse_digits(fraction, limit)?;
    if let Some(positive) = exponent.strip_prefix('-') {
        parse_digits(positive, limit)?;
        return Err(NumberError::Fraction);
    }
    let exponent = parse_digits(exponent, limit)?;
    let shift = usize::try_from(&exponent).map_err(|_| NumberError::TooBig)?;
    let fraction = fraction.trim_end_matches('0');
    let zeros = shift.checked_sub(fraction.len()).ok_or(NumberError::Fraction)?;
    let digits = if fraction.is_empty() {
        parse_digits(whole, limit)?
    } else {
        parse_digits(&[whole, fraction].concat(), limit)?
    };
    Ok(digits * power(&Natural::from(10u8), &Natural::from(zeros), limit)?)
}

/// A number with a decimal point, as programs print a float: `1000000.0` is exactly that whole number, whatever its size. Nothing is
/// rounded: with another fraction it is none.
fn parse_float(text: &str, limit: Limit) -> Result<Natural, NumberError> {
    let (whole, fraction) = text.split_once('.').ok_or(NumberError::Malformed)?;
    let (whole, fraction) = (parse_digits(whole, limit)?, parse_digits(fraction, limit)?);
    match fraction.is_zero() {
        true => Ok(whole),
        false => Err(NumberError::Fraction),
    }
}

fn parse_digits(text: &str, limit: Limit) -> Result<Natural, NumberError> {
    let bytes = text.as_bytes();
    let edges_are_digits =
        bytes.first().is_some_and(u8::is_ascii_digit) && bytes.last().is_some_and(u8::is_ascii_digit);
    if !edges_are_digits || !bytes.iter().all(|byte| byte.is_ascii_digit() || *byte == b'_') {
        return Err(NumberError::Malformed);
    }
    let text = text.trim_start_matches(['0', '_']);
    match text.bytes().filter(u8::is_ascii_digit).count() {
        0 => Ok(Natural::ZERO),
        digits if digits > limit.digits => Err(NumberError::TooBig),
        _ => Natural::from_str_radix(&text.replace('_', ""), 10).map_err(|_| NumberError::Malformed),
    }
}

/// `base ^ exponent`. What cannot fit is refused before it is computed, as far as the length of the base shows: what is computed has up to
/// log2(3) = 1.58 times the bits that fit, for `3^33220`.
fn power(base: &Natural, exponent: &Natural, limit: Limit) -> Result<Natural, NumberError> {
    if *base <= Natural::ONE && *exponent > Natural::ZERO {
        return Ok(base.clone());
    }
    let exponent = usize::try_from(exponent).map_err(|_| NumberError::TooBig)?;
    let least_bits = (base.bit_len() - usize::from(!base.is_zero())).checked_mul(exponent);
    match least_bits {
        Some(bits) if bits <= limit.bits => Ok(base.pow(exponent)),
        _ => Err(NumberError::TooBig),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, NumberError> {
        parse_number(text).map(|number| number.to_string())
    }

    #[test]
    fn every_documented_form_is_read() {
        for text in [
            "1000000",
            "1e6",
            "10**6",
            "10^6",
            "1_000_000",
            "1E6",
            "1.0e6",
            "0.001e9",
            "1e+6",
            "999_999+1",
            "1000000.0",
            "1000000.000",
            "1__000___000",
        ] {
            assert_eq!(read(text).as_deref(), Ok("1000000"), "{text}");
        }
        assert_eq!(
            read("2^127-1").as_deref(),
            Ok("170141183460469231731687303715884105727")
        );
        assert_eq!(read("2^64-59").as_deref(), Ok("18446744073709551557"));
        assert_eq!(read("18446744073709551616").as_deref(), Ok("18446744073709551616"));
        assert_eq!(read("0007").as_deref(), Ok("7"));
        assert_eq!(read("0^0").as_deref(), Ok("1"));
        assert_eq!(read("0e5").as_deref(), Ok("0"));
    }

    #[test]
    fn what_is_no_natural_number_is_refused_with_its_reason() {
        for text in [
            "", "x", "1x", "_1", "1_", "--1", "1e", "e5", "1^", "^2", "1.", ".5", "1..2", ".5e1", "1_.5e1", "1.e5",
            "1+", "+7", "0x10", "1 2", "²",
        ] {
            assert_eq!(read(text), Err(NumberError::Malformed), "{text}");
        }
        assert_eq!(read("-5"), Err(NumberError::Negative));
        assert_eq!(read("2-3"), Err(NumberError::Negative));
        assert_eq!(read("1.5"), Err(NumberError::Fraction));
        assert_eq!(read("1000000.0000000001"), Err(NumberError::Fraction));
        assert_eq!(read("1.55e1"), Err(NumberError::Fraction));
        assert_eq!(read("1e-3"), Err(NumberError::Fraction));
    }

    #[test]
    fn a_number_that_would_be_huge_is_refused_before_it_is_computed() {
        for text in [
            "1e10000",
            "9^99999999999999999999",
            "2^33221",
            "10**10000",
            "1e99999999999999999999",
        ] {
            assert_eq!(read(text), Err(NumberError::TooBig), "{text}");
        }
        assert!(read("1e9999").is_ok());
        assert_eq!(read("10^10000-1").map(|n| n.len()), Ok(MAX_DIGITS));
        assert_eq!(read(&"9".repeat(MAX_DIGITS)).map(|n| n.len()), Ok(MAX_DIGITS));
        assert_eq!(read(&"9".repeat(MAX_DIGITS + 1)), Err(NumberError::TooBig));
        assert_eq!(read("1^999999999").as_deref(), Ok("1"));
    }

    #[test]
    fn a_short_number_is_read_alike_and_a_long_one_left_alone() {
        for text in ["1e6", "2^127-1", "10^100-1", "0_000e3", "1.5", "2-3", "1x"] {
            assert_eq!(parse_short_number(text), parse_number(text), "{text}");
        }
        for text in ["1e100", "10^100", "2^5000-2^5000", &"7".repeat(101)] {
            assert_eq!(parse_short_number(text), Err(NumberError::TooBig), "{text}");
        }
    }
}
