//! A value as a kind and words, which is how it is kept and sent.

use crate::primes::Natural;
use crate::proto::Value;
use std::borrow::Cow;

/// A value's kind and words.
pub fn write_value(value: &Value) -> (&'static str, String) {
    match value {
        Value::Nothing => ("nothing", String::new()),
        Value::Number(number) => ("number", number.to_string()),
        Value::Truth(yes) => ("truth", if *yes { "yes" } else { "no" }.to_owned()),
        Value::Numbers(numbers) => {
            let words: Vec<String> = numbers.iter().map(Natural::to_string).collect();
            ("numbers", words.join(" "))
        }
        Value::Text(text) => ("text", text.clone()),
        Value::Facts(facts) => {
            let pairs: Vec<[&str; 2]> = facts
                .iter()
                .map(|(key, value)| [key.as_ref(), value.as_str()])
                .collect();
            ("facts", serde_json::json!(pairs).to_string())
        }
    }
}

/// The value of a kind and words; none if there is none.
pub fn read_value(kind: &str, words: String) -> Option<Value> {
    let natural = |word: &str| word.parse::<Natural>().ok();
    Some(match kind {
        "nothing" if words.is_empty() => Value::Nothing,
        "number" => Value::Number(natural(&words)?),
        "truth" => Value::Truth(match words.as_str() {
            "yes" => true,
            "no" => false,
            _ => return None,
        }),
        "numbers" => Value::Numbers(words.split_ascii_whitespace().map(natural).collect::<Option<_>>()?),
        "text" => Value::Text(words),
        "facts" => Value::Facts(facts(&serde_json::from_str(&words).ok()?)?),
        _ => return None,
    })
}

fn facts(json: &serde_json::Value) -> Option<Vec<(Cow<'static, str>, String)>> {
    let pair = |pair: &serde_json::Value| match pair.as_array()?.as_slice() {
        [key, value] => Some((Cow::Owned(key.as_str()?.to_owned()), value.as_str()?.to_owned())),
        _ => None,
    };
    json.as_array()?.iter().map(pair).collect()
}
