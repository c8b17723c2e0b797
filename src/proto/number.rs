//! How numbers are written: `1000000`, `1_000_000`, `1e6`, `1.5e6`, `10**6`, `2^127-1`, `0xff`, `3*2^189+1`, `20!`,
//! `97#-1`. Knows no verb.
//!
//! A short text must not make a huge number: what is computed is bounded by the size of its result, and a text has few
//! operands.

use crate::primes::{Natural, known};
use dashu_int::ops::BitTest;
use std::num::ParseIntError;
use thiserror::Error;

/// The most decimal digits a number may have. Enough for primes of record size a generation ago; short enough that
/// reading one costs well under a millisecond.
pub const MAX_DIGITS: usize = 10_000;

/// Operands of one number. Each costs at most what the longest number costs, so a text of thousands would be read for
/// seconds.
pub const MAX_OPERANDS: usize = 8;

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
    #[error("not a number like 1000000, 1_000_000, 1e6, 10**6 or 2^61-1")]
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
    /// It is made of more than eight numbers.
    #[error("a number may be made of at most {MAX_OPERANDS} others")]
    TooManyOperands,
}

/// Reads a natural number.
///
/// An operand is decimal digits (with `_` between digits), hexadecimal digits after `0x`, `AeB` (A may have a fraction
/// that B makes whole), `A^B` or `A**B`, `A!` (the product of `1..=A`) or `A#` (the product of the primes up to A). Up
/// to eight of them are joined by `*`, `+` and `-`; products come first. There is no sign in front, and there are no
/// parentheses.
///
/// # Errors
/// `NumberError` says what is wrong. What is too big may be computed before it is refused, but nothing of more than 2.2
/// times
/// [`MAX_DIGITS`] digits: a mantissa of 10,000 digits times `1e11073`, which is the largest power of ten that is tried.
pub fn parse_number(text: &str) -> Result<Natural, NumberError> {
    parse(text, LONGEST)
}

/// The same for a number of at most 100 digits that is not made of larger ones: whatever the text, it costs no more
/// than to look at it, while a long number may cost a tenth of a millisecond.
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
    if let Some(words) = parse_words(text) {
        return Ok(Natural::from(words));
    }
    if let Some(rest) = text.strip_prefix('-') {
        return Err(negative_or_malformed(rest, limit));
    }
    let mut scanner = Scanner {
        rest: text,
        operands: 0,
        limit,
    };
    // What is added and what is taken away are kept apart: a sum may be below zero on the way.
    let (mut plus, mut minus) = (scanner.product()?, Natural::ZERO);
    while let Some(sign) = scanner.rest.bytes().next() {
        scanner.rest = &scanner.rest[1..];
        match sign {
            b'+' => plus += scanner.product()?,
            _ => minus += scanner.product()?,
        }
    }
    match plus < minus {
        true => Err(NumberError::Negative),
        false => within(plus - minus, limit),
    }
}

/// Reads operands from left to right.
struct Scanner<'a> {
    rest: &'a str,
    operands: usize,
    limit: Limit,
}

impl<'a> Scanner<'a> {
    /// One operand or several with `*` between them, up to a sign or the end.
    fn product(&mut self) -> Result<Natural, NumberError> {
        let mut product = self.operand()?;
        loop {
            match self.rest.bytes().next() {
                None | Some(b'+' | b'-') => return Ok(product),
                Some(b'*') => {
                    self.rest = &self.rest[1..];
                    let factor = self.operand()?;
                    // The product has as many bits as both together, or one less.
                    if product.bit_len() + factor.bit_len() > self.limit.bits + 1 {
                        return Err(NumberError::TooBig);
                    }
                    product *= factor;
                }
                Some(_) => return Err(NumberError::Malformed),
            }
        }
    }

    fn operand(&mut self) -> Result<Natural, NumberError> {
        self.operands += 1;
        if self.operands > MAX_OPERANDS {
            return Err(NumberError::TooManyOperands);
        }
        let (text, limit) = (self.word(), self.limit);
        if let Some(rest) = self.rest.strip_prefix("**").or_else(|| self.rest.strip_prefix('^')) {
            self.rest = rest;
            return power(&parse_integer(text, limit)?, &parse_integer(self.word(), limit)?, limit);
        }
        if let Some(rest) = self.rest.strip_prefix('!') {
            self.rest = rest;
            return factorial(&parse_integer(text, limit)?, limit);
        }
        if let Some(rest) = self.rest.strip_prefix('#') {
            self.rest = rest;
            return primorial(&parse_integer(text, limit)?, limit);
        }
        parse_term(text, limit)
    }

    /// Takes what may belong to a number without an operator: letters, digits, `_`, `.`, and a sign right after an `e`
    /// of a decimal number.
    fn word(&mut self) -> &'a str {
        let bytes = self.rest.as_bytes();
        let is_hex = hex_digits(self.rest).is_some();
        let is_part = |at: usize| match bytes[at] {
            b'+' | b'-' => !is_hex && at > 0 && matches!(bytes[at - 1], b'e' | b'E'),
            byte => byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'),
        };
        let end = (0..bytes.len()).find(|at| !is_part(*at)).unwrap_or(bytes.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }
}

/// What follows the `0x` of a hexadecimal number.
fn hex_digits(text: &str) -> Option<&str> {
    text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))
}

/// The common case of a number: up to 19 digits and nothing else. `None` says nothing about any other text.
pub fn parse_word(text: impl AsRef<[u8]>) -> Option<u64> {
    let text = text.as_ref();
    if text.is_empty() || text.len() > 19 {
        return None;
    }
    let (eights, rest) = text.as_chunks();
    let word = eights
        .iter()
        .try_fold(0u64, |word, digits| Some(word * 100_000_000 + eight_digits(*digits)?))?;
    rest.iter().try_fold(word, |word, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| word * 10 + u64::from(digit))
    })
}

/// What eight digits write: each is joined with its neighbour, these pairs with theirs, and the fours with each other.
const fn eight_digits(digits: [u8; 8]) -> Option<u64> {
    const ZEROS: u64 = u64::from_ne_bytes([b'0'; 8]);
    const TO_HIGHEST_BIT: u64 = u64::from_ne_bytes([0x80 - 10; 8]);
    const HIGHEST_BITS: u64 = u64::from_ne_bytes([0x80; 8]);
    let ones = u64::from_le_bytes(digits) ^ ZEROS;
    if (ones | ones.wrapping_add(TO_HIGHEST_BIT)) & HIGHEST_BITS != 0 {
        return None;
    }
    let pairs = (ones * 10 + (ones >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    Some((fours * 10_000 + (fours >> 32)) & 0xffff_ffff)
}

/// The next common case: 20 to 38 digits and nothing else.
fn parse_words(text: &str) -> Option<u128> {
    let (high, low) = text.split_at_checked(text.len().checked_sub(19)?)?;
    // Both are below 10^19.
    Some(u128::from(parse_word(high)?) * 10u128.pow(19) + u128::from(parse_word(low)?))
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
    match text.split_once(['e', 'E']) {
        _ if hex_digits(text).is_some() => parse_integer(text, limit),
        Some((mantissa, exponent)) => parse_scientific(mantissa, exponent.strip_prefix('+').unwrap_or(exponent), limit),
        None if text.contains('.') => parse_float(text, limit),
        None => parse_digits(text, limit),
    }
}

/// Decimal or hexadecimal digits.
fn parse_integer(text: &str, limit: Limit) -> Result<Natural, NumberError> {
    let Some(digits) = hex_digits(text) else {
        return parse_digits(text, limit);
    };
    if !are_digits(digits, u8::is_ascii_hexdigit) {
        return Err(NumberError::Malformed);
    }
    let digits = digits.trim_start_matches(['0', '_']);
    if digits.len() - digits.matches('_').count() > limit.bits / 4 + 1 {
        return Err(NumberError::TooBig);
    }
    match digits {
        "" => Ok(Natural::ZERO),
        _ => Natural::from_str_radix(&digits.replace('_', ""), 16).map_err(|_| NumberError::Malformed),
    }
}

/// True for digits, with any number of `_` between two of them.
fn are_digits(text: &str, is_digit: impl Fn(&u8) -> bool) -> bool {
    let bytes = text.as_bytes();
    let is_edge_digit = |edge: Option<&u8>| edge.is_some_and(&is_digit);
    is_edge_digit(bytes.first())
        && is_edge_digit(bytes.last())
        && bytes.iter().all(|byte| is_digit(byte) || *byte == b'_')
}

fn parse_scientific(mantissa: &str, exponent: &str, limit: Limit) -> Result<Natural, NumberError> {
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    parse_digits(whole, limit)?;
    parse_digits(fraction, limit)?;
    let (exponent, is_negative) = match exponent.strip_prefix('-') {
        Some(positive) => (parse_digits(positive, limit)?, true),
        None => (parse_digits(exponent, limit)?, false),
    };
    let fraction = fraction.replace('_', "");
    let fraction = fraction.trim_end_matches('0');
    let digits = [whole, fraction].concat().replace('_', "");
    let significant = digits.trim_matches('0');
    if significant.is_empty() {
        return Ok(Natural::ZERO);
    }
    // The zeros after the significant digits, less than none if some of these are after the point.
    let written = digits.len() - digits.trim_end_matches('0').len();
    let zeros = |shift: usize| match is_negative {
        true => written.checked_sub(fraction.len())?.checked_sub(shift),
        false => (written + shift).checked_sub(fraction.len()),
    };
    let too_big = if is_negative {
        NumberError::Fraction
    } else {
        NumberError::TooBig
    };
    let shift = usize::try_from(&exponent).ok().filter(|shift| *shift <= usize::MAX / 2);
    let zeros = zeros(shift.ok_or(too_big)?).ok_or(NumberError::Fraction)?;
    Ok(parse_digits(significant, limit)? * power(&Natural::from(10u8), &Natural::from(zeros), limit)?)
}

/// A number with a decimal point, as programs print a float: `1000000.0` is exactly that whole number, whatever its
/// size. Nothing is rounded: with another fraction it is none.
fn parse_float(text: &str, limit: Limit) -> Result<Natural, NumberError> {
    let (whole, fraction) = text.split_once('.').ok_or(NumberError::Malformed)?;
    let (whole, fraction) = (parse_digits(whole, limit)?, parse_digits(fraction, limit)?);
    match fraction.is_zero() {
        true => Ok(whole),
        false => Err(NumberError::Fraction),
    }
}

/// Reads an ID: digits alone, without the plus sign that Rust's own parser takes.
///
/// # Errors
/// If it is anything else, or beyond 64 bits.
pub(crate) fn parse_id(text: &str) -> Result<u64, ParseIntError> {
    let digits = if text.starts_with('+') { "+" } else { text };
    digits.parse()
}

fn parse_digits(text: &str, limit: Limit) -> Result<Natural, NumberError> {
    if !are_digits(text, u8::is_ascii_digit) {
        return Err(NumberError::Malformed);
    }
    let text = text.trim_start_matches(['0', '_']);
    match text.bytes().filter(u8::is_ascii_digit).count() {
        0 => Ok(Natural::ZERO),
        digits if digits > limit.digits => Err(NumberError::TooBig),
        _ => Natural::from_str_radix(&text.replace('_', ""), 10).map_err(|_| NumberError::Malformed),
    }
}

/// `base ^ exponent`. What cannot fit is refused before it is computed, as far as the length of the base shows: what is
/// computed has up to log2(3) = 1.58 times the bits that fit, for `3^33220`.
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

/// The product of `1..=n`. What cannot fit is refused before it is computed: `n! > (n / e)^n`.
fn factorial(n: &Natural, limit: Limit) -> Result<Natural, NumberError> {
    let n = u64::try_from(n).map_err(|_| NumberError::TooBig)?;
    let least_bits = n as f64 * (n as f64 / std::f64::consts::E).max(1.0).log2();
    if least_bits > limit.bits as f64 {
        return Err(NumberError::TooBig);
    }
    product(2..=n, limit)
}

/// The product of the primes up to `n`. It has some `n / ln 2` bits: for a larger `n` than the table's none fits.
fn primorial(n: &Natural, limit: Limit) -> Result<Natural, NumberError> {
    let n = u64::try_from(n)
        .ok()
        .filter(|n| *n < known::LIMIT)
        .ok_or(NumberError::TooBig)?;
    let primes = std::iter::successors(known::next(0), |p| known::next(*p));
    product(primes.take_while(|p| *p <= n), limit)
}

/// The product of the factors, multiplied up to a word first; refused as soon as it does not fit.
fn product(factors: impl Iterator<Item = u64>, limit: Limit) -> Result<Natural, NumberError> {
    let (mut product, mut word) = (Natural::ONE, 1u64);
    for factor in factors {
        word = match word.checked_mul(factor) {
            Some(longer) => longer,
            None => {
                product *= word;
                if product.bit_len() > limit.bits {
                    return Err(NumberError::TooBig);
                }
                factor
            }
        };
    }
    Ok(product * word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, NumberError> {
        parse_number(text).map(|number| number.to_string())
    }

    #[test]
    fn an_id_is_digits_alone() {
        assert_eq!(
            (parse_id("007"), parse_id("18446744073709551615")),
            (Ok(7), Ok(u64::MAX))
        );
        for text in [
            "",
            "+",
            "+7",
            "-7",
            " 7",
            "7 ",
            "0x7",
            "1e3",
            "@a",
            "18446744073709551616",
        ] {
            assert!(parse_id(text).is_err(), "{text:?}");
        }
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
            "0xf_42__40",
            "1.0_0e6",
            "0.0_0_1e9",
            "0.001_0e9",
            "1000000e-0",
            "1000000000e-3",
            "1_000_000.00e0",
            "10.0e+5",
        ] {
            assert_eq!(read(text).as_deref(), Ok("1000000"), "{text}");
        }
        assert_eq!(
            read("2^127-1").as_deref(),
            Ok("170141183460469231731687303715884105727")
        );
        assert_eq!(read("2^64-59").as_deref(), Ok("18446744073709551557"));
        assert_eq!(read("18446744073709551616").as_deref(), Ok("18446744073709551616"));
        for digits in 1..=60 {
            let text = &"9876543210".repeat(6)[..digits];
            assert_eq!(read(text).as_deref(), Ok(text));
            assert_eq!(read(&format!("{text}x")), Err(NumberError::Malformed));
            for (at, other) in (0..digits).flat_map(|at| "/:\u{b0}".chars().map(move |other| (at, other))) {
                let mut wrong = text.to_owned();
                wrong.replace_range(at..=at, &other.to_string());
                assert_eq!(read(&wrong), Err(NumberError::Malformed), "{wrong}");
            }
        }
        assert_eq!(read("00000000000000000000000000000000000007").as_deref(), Ok("7"));
        assert_eq!(read("0007").as_deref(), Ok("7"));
        assert_eq!(read("0^0").as_deref(), Ok("1"));
        assert_eq!(read("0e5").as_deref(), Ok("0"));
        assert_eq!(read("0.0e99999").as_deref(), Ok("0"));
        assert_eq!(read("0e-99999999999999999999").as_deref(), Ok("0"));
        assert_eq!(read("1500e-2").as_deref(), Ok("15"));
    }

    #[test]
    fn hexadecimal_digits_factorials_primorials_and_products_are_read() {
        for (text, number) in [
            ("0x10", "16"),
            ("0XdeadBEEF", "3735928559"),
            ("0xdead_beef", "3735928559"),
            ("0x0", "0"),
            ("0x1e+5", "35"),
            ("1e+5", "100000"),
            ("2^0x10", "65536"),
            ("0x10**2", "256"),
            ("0!", "1"),
            ("1!", "1"),
            ("5!", "120"),
            ("20!", "2432902008176640000"),
            ("21!-20!", "48658040163532800000"),
            ("3!+1", "7"),
            ("0#", "1"),
            ("2#", "2"),
            ("10#", "210"),
            ("97#-1", "2305567963945518424753102147331756069"),
            ("3*2^5+1", "97"),
            ("2*3*5*7", "210"),
            ("2**3*5", "40"),
            ("2*3**2", "18"),
            ("1+2*3-7", "0"),
            ("1-2+3", "2"),
            ("0*5", "0"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(number), "{text}");
        }
        assert_eq!(
            read("0xffff_ffff_ffff_ffff_ffff").as_deref(),
            Ok("1208925819614629174706175")
        );
    }

    #[test]
    fn the_largest_operands_are_read_and_the_next_refused() {
        // 3248! has 9998 digits, 3249! 10001; 23026 is between the primes 23021 and 23027.
        assert_eq!(read("3248!").map(|n| n.len()), Ok(9998));
        for text in [
            "3249!",
            "1000000!",
            "99999999999999999999!",
            "1048575#",
            "1048576#",
            "99999999999999999999#",
        ] {
            assert_eq!(read(text), Err(NumberError::TooBig), "{text}");
        }
        assert!(read("22000#").is_ok() && read("24000#") == Err(NumberError::TooBig));
        assert_eq!(read(&format!("0x{}", "f".repeat(8304))).map(|n| n.len()), Ok(10_000));
        assert_eq!(read(&format!("0x{}", "f".repeat(8306))), Err(NumberError::TooBig));
        assert_eq!(read("1e5000*1e4999").map(|n| n.len()), Ok(MAX_DIGITS));
        assert_eq!(read("1e5000*1e5000"), Err(NumberError::TooBig));
        assert_eq!(read("1+1+1+1+1+1+1+1").as_deref(), Ok("8"));
        assert_eq!(read("1+1+1+1+1+1+1+1+1"), Err(NumberError::TooManyOperands));
        assert_eq!(read(&"9*".repeat(30_000)), Err(NumberError::TooManyOperands));
    }

    #[test]
    fn what_is_no_natural_number_is_refused_with_its_reason() {
        for text in [
            "", "x", "1x", "_1", "1_", "--1", "1e", "e5", "1^", "^2", "1.", ".5", "1..2", ".5e1", "1_.5e1", "1.e5",
            "1+", "0x", "0xg", "0x_1", "0x1_", "0x1.8", "x10", "1 2", "²", "+7", "*7", "7*", "7**", "7*+1", "7**2**2",
            "!", "#", "7!!", "7#!", "7!2", "7!^2", "1e3!", "1.5!", "7^2!", "2++3", "2+-3", "(2+3)", "7²", "1e", "1e+",
            "0xfe+", "5-", "--5",
        ] {
            assert_eq!(read(text), Err(NumberError::Malformed), "{text}");
        }
        assert_eq!(read("-5"), Err(NumberError::Negative));
        assert_eq!(read("2-3"), Err(NumberError::Negative));
        assert_eq!(read("2-3-4+4"), Err(NumberError::Negative));
        assert_eq!(read("1.5"), Err(NumberError::Fraction));
        assert_eq!(read("1.55e1"), Err(NumberError::Fraction));
        assert_eq!(read("1000000.0000000001"), Err(NumberError::Fraction));
        assert_eq!(read("1e-3"), Err(NumberError::Fraction));
        assert_eq!(read("1500e-3"), Err(NumberError::Fraction));
        assert_eq!(read("1e-99999999999999999999"), Err(NumberError::Fraction));
        assert_eq!(read("1.5e99999999999999999999"), Err(NumberError::TooBig));
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
        for text in [
            "1e6",
            "2^127-1",
            "10^100-1",
            "0_000e3",
            "1.5",
            "2-3",
            "1x",
            "69!",
            "0xff",
            "200#",
            "1e49*1e49",
        ] {
            assert_eq!(parse_short_number(text), parse_number(text), "{text}");
        }
        for text in [
            "1e100",
            "10^100",
            "2^5000-2^5000",
            "70!",
            "300#",
            "1e60*1e60",
            &"7".repeat(101),
        ] {
            assert_eq!(parse_short_number(text), Err(NumberError::TooBig), "{text}");
        }
    }
}
