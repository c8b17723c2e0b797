//! The text of a proof by curves: `[[N,t,s,a,[x,y]],..]`, the form of PARI's `primecert`.

use super::step::{Step, is_chain};
use crate::primes::Natural;
use dashu_int::IBig;
use std::fmt::Write;

/// The certificate that these steps are.
pub(crate) fn written(steps: &[Step]) -> String {
    let mut text = String::from("[");
    for (i, Step { n, t, s, a, x, y }) in steps.iter().enumerate() {
        let comma = if i > 0 { "," } else { "" };
        let _ = write!(text, "{comma}[{n},{t},{s},{a},[{x},{y}]]");
    }
    text + "]"
}

/// Reads a certificate with numbers of at most `longest` digits. `None` if it is none, or if it is plain without a
/// curve that it proves nothing.
pub(crate) fn read(text: &str, longest: usize) -> Option<Vec<Step>> {
    let inner = text.strip_prefix("[[")?.strip_suffix("]]]")?;
    let step = |text: &str| {
        let (numbers, point) = text.split_once(",[")?;
        let mut numbers = numbers.split(',');
        let mut next = || numbers.next().filter(|digits| digits.len() <= longest);
        let (n, t, s, a) = (natural(next()?)?, next()?, natural(next()?)?, natural(next()?)?);
        let (x, y) = point.split_once(',').filter(|(x, y)| x.len().max(y.len()) <= longest)?;
        let t = match t.strip_prefix('-') {
            Some(digits) => -IBig::from(natural(digits)?),
            None => natural(t)?.into(),
        };
        let (x, y) = (natural(x)?, natural(y)?);
        // A word is its own certificate, and no curve is wanted for it.
        let is_whole = numbers.next().is_none() && u64::try_from(&n).is_err();
        is_whole.then_some(Step { n, t, s, a, x, y })
    };
    let steps: Vec<Step> = inner.split("]],[").map(step).collect::<Option<_>>()?;
    is_chain(&steps).then_some(steps)
}

fn natural(digits: &str) -> Option<Natural> {
    let are_digits = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    Natural::from_str_radix(digits, 10).ok().filter(|_| are_digits)
}
