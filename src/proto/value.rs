//! The value of a reply, before it is encoded in a dialect.

use super::{Code, Failure};
use crate::primes::Natural;
use dashu_int::ops::BitTest;
use std::borrow::Cow;

/// The value of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// No value: it is done.
    Nothing,
    /// A natural number of any size.
    Number(Natural),
    /// Yes or no.
    Truth(bool),
    /// Several numbers, in order.
    Numbers(Vec<Natural>),
    /// Words; without line breaks.
    Text(String),
    /// What is known about something, as keys and values.
    Facts(Vec<(Cow<'static, str>, String)>),
}

impl Value {
    /// Bytes on the heap, about.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Nothing | Self::Truth(_) => 0,
            Self::Number(number) => number.bit_len() / 8,
            Self::Numbers(numbers) => numbers
                .iter()
                .map(|number| size_of_val(number) + number.bit_len() / 8)
                .sum(),
            Self::Text(text) => text.len(),
            Self::Facts(facts) => facts.iter().map(|fact| size_of_val(fact) + fact.1.len()).sum(),
        }
    }
}

impl From<()> for Value {
    fn from((): ()) -> Self {
        Self::Nothing
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u64> for Value {
    fn from(n: u64) -> Self {
        Self::Number(Natural::from(n))
    }
}

impl From<Natural> for Value {
    fn from(n: Natural) -> Self {
        Self::Number(n)
    }
}

impl From<Vec<Natural>> for Value {
    fn from(numbers: Vec<Natural>) -> Self {
        Self::Numbers(numbers)
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Self {
        Self::Truth(yes)
    }
}

impl TryFrom<Value> for u64 {
    type Error = Failure;

    fn try_from(value: Value) -> Result<Self, Failure> {
        match &value {
            Value::Number(number) => Self::try_from(number).map_err(|_| unlike(&value, "a number below 2^64")),
            _ => Err(unlike(&value, "a number")),
        }
    }
}

impl TryFrom<Value> for u128 {
    type Error = Failure;

    fn try_from(value: Value) -> Result<Self, Failure> {
        match &value {
            Value::Number(number) => Self::try_from(number).map_err(|_| unlike(&value, "a number below 2^128")),
            _ => Err(unlike(&value, "a number")),
        }
    }
}

impl TryFrom<Value> for Vec<Natural> {
    type Error = Failure;

    fn try_from(value: Value) -> Result<Self, Failure> {
        match value {
            Value::Numbers(numbers) => Ok(numbers),
            _ => Err(unlike(&value, "numbers")),
        }
    }
}

impl TryFrom<Value> for String {
    type Error = Failure;

    fn try_from(value: Value) -> Result<Self, Failure> {
        match value {
            Value::Text(text) => Ok(text),
            _ => Err(unlike(&value, "words")),
        }
    }
}

impl TryFrom<Value> for bool {
    type Error = Failure;

    fn try_from(value: Value) -> Result<Self, Failure> {
        match value {
            Value::Truth(yes) => Ok(yes),
            _ => Err(unlike(&value, "yes or no")),
        }
    }
}

impl TryFrom<Value> for Natural {
    type Error = Failure;

    fn try_from(value: Value) -> Result<Self, Failure> {
        match value {
            Value::Number(number) => Ok(number),
            _ => Err(unlike(&value, "a number")),
        }
    }
}

/// The value is not of the type that was expected.
fn unlike(value: &Value, wanted: &str) -> Failure {
    let kind = match value {
        Value::Nothing => "nothing",
        Value::Number(_) => "a number",
        Value::Truth(_) => "yes or no",
        Value::Numbers(_) => "several numbers",
        Value::Text(_) => "words",
        Value::Facts(_) => "facts",
    };
    Failure::new(Code::BadArg, format!("the answer is {kind}, not {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_becomes_what_it_is_and_nothing_else() {
        let big = Natural::from(u64::MAX) + 1u8;
        assert_eq!(u128::try_from(Value::from(big.clone())), Ok(1 << 64));
        assert!(u64::try_from(Value::from(big.clone())).is_err());
        assert!(u128::try_from(Value::from(Natural::ONE << 128)).is_err());
        assert_eq!(Vec::try_from(Value::from(vec![big.clone()])), Ok(vec![big]));
        assert_eq!(String::try_from(Value::from("yes no")), Ok("yes no".to_owned()));
        assert!(String::try_from(Value::from(7)).is_err());
        assert!(Vec::<Natural>::try_from(Value::from(true)).is_err());
    }
}
