//! What is asked: a mix of requests, some more often than others, with random numbers in ranges. Knows no socket.
//!
//! `nth 1..16=90,isprime 2^61-1=10`: nine of ten requests ask for one of the first 16 primes.

use crate::proto::parse_number;
use fastrand::Rng;
use std::str::FromStr;

/// The same questions in every run, so that two runs can be compared.
const SEED: u64 = 7919;

/// Requests and how often each is asked.
#[derive(Clone, Debug)]
pub(super) struct Mix {
    text: String,
    kinds: Vec<Kind>,
    weights: u64,
}

#[derive(Clone, Debug)]
struct Kind {
    weight: u64,
    words: Vec<Word>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Fixed(String),
    /// A random number from the first to the last.
    Range(u64, u64),
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let kinds = text.split(',').map(read_kind).collect::<Result<Vec<_>, _>>()?;
        let weights = kinds.iter().map(|kind| kind.weight).sum();
        if weights == 0 {
            return Err("nothing is asked when every weight is 0".into());
        }
        Ok(Self {
            text: text.to_owned(),
            kinds,
            weights,
        })
    }
}

impl Mix {
    /// As it was typed.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// `REQUEST[=WEIGHT]`. An option of the request (`deadline=5s`) is no weight: a weight is only digits.
fn read_kind(text: &str) -> Result<Kind, String> {
    let text = text.trim();
    let (request, weight) = match text.rsplit_once('=') {
        Some((request, weight)) if !weight.is_empty() && weight.bytes().all(|byte| byte.is_ascii_digit()) => {
            let weight: u32 = weight
                .parse()
                .map_err(|_| format!("the weight {weight} is too large"))?;
            (request, u64::from(weight))
        }
        _ => (text, 1),
    };
    let words: Vec<Word> = request.split_whitespace().map(read_word).collect::<Result<_, _>>()?;
    if words.is_empty() || request.starts_with('#') {
        return Err("a request is missing; write it like 'nth 1..16=90,isprime 2^61-1=10'".into());
    }
    Ok(Kind { weight, words })
}

fn read_word(word: &str) -> Result<Word, String> {
    let Some((first, last)) = word.split_once("..") else {
        return Ok(Word::Fixed(word.to_owned()));
    };
    let number = |text: &str| {
        let number = parse_number(text).map_err(|error| format!("'{word}' is not a range: {error}"))?;
        u64::try_from(number).map_err(|_| format!("'{word}' is not a range: its ends must be below 2^64"))
    };
    let (first, last) = (number(first)?, number(last)?);
    if first > last {
        return Err(format!("the range '{word}' is empty"));
    }
    Ok(Word::Range(first, last))
}

/// How a request is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// A line.
    Line,
    /// An array of bulk strings, as Redis clients send it.
    Resp,
}

/// A stream of requests.
#[derive(Debug)]
pub(super) struct Requests {
    mix: Mix,
    encoding: Encoding,
    random: Rng,
}

impl Requests {
    /// Requests of this mix; streams with different numbers differ.
    pub(super) fn new(mix: Mix, encoding: Encoding, stream: u64) -> Self {
        Self {
            mix,
            encoding,
            random: Rng::with_seed(SEED + stream),
        }
    }

    /// Appends one request.
    pub(super) fn write(&mut self, out: &mut Vec<u8>) {
        let random = &mut self.random;
        let kind = match self.mix.kinds.as_slice() {
            [only] => only,
            kinds => pick(kinds, random.u64(0..self.mix.weights)),
        };
        match self.encoding {
            Encoding::Line => {
                for (index, word) in kind.words.iter().enumerate() {
                    if index > 0 {
                        out.push(b' ');
                    }
                    spell(word, random, |text| out.extend_from_slice(text));
                }
                out.push(b'\n');
            }
            Encoding::Resp => {
                write_header(out, b'*', kind.words.len());
                for word in &kind.words {
                    spell(word, random, |text| {
                        write_header(out, b'$', text.len());
                        out.extend_from_slice(text);
                        out.extend_from_slice(b"\r\n");
                    });
                }
            }
        }
    }
}

/// The kind whose share of the weights holds `at`, which is below their sum.
fn pick(kinds: &[Kind], mut at: u64) -> &Kind {
    for kind in kinds {
        if at < kind.weight {
            return kind;
        }
        at -= kind.weight;
    }
    unreachable!("the weights sum up to more than that")
}

fn spell(word: &Word, random: &mut Rng, put: impl FnOnce(&[u8])) {
    match word {
        Word::Fixed(text) => put(text.as_bytes()),
        Word::Range(first, last) => put(itoa::Buffer::new().format(random.u64(*first..=*last)).as_bytes()),
    }
}

fn write_header(out: &mut Vec<u8>, sign: u8, count: usize) {
    out.push(sign);
    out.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(mix: &str, encoding: Encoding, count: usize) -> String {
        let mut requests = Requests::new(mix.parse().expect("it is a mix"), encoding, 0);
        let mut out = Vec::new();
        for _ in 0..count {
            requests.write(&mut out);
        }
        String::from_utf8(out).expect("requests are text")
    }

    #[test]
    fn a_range_gives_every_number_of_it_and_no_other() {
        let text = asked("nth 1..16", Encoding::Line, 2000);
        let mut numbers: Vec<u64> = text
            .lines()
            .filter_map(|line| line.strip_prefix("nth ")?.parse().ok())
            .collect();
        assert_eq!(numbers.len(), 2000);
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers, (1..=16).collect::<Vec<_>>());
    }

    #[test]
    fn weights_say_how_often_and_options_are_no_weights() {
        let text = asked("nth 5=90, pi 1e3 deadline=5s=10", Encoding::Line, 10_000);
        let often = text.lines().filter(|line| *line == "nth 5").count();
        let seldom = text.lines().filter(|line| *line == "pi 1e3 deadline=5s").count();
        assert_eq!(often + seldom, 10_000);
        assert!((8_700..9_300).contains(&often), "{often}");
        assert_eq!(asked("pi 9 deadline=5s", Encoding::Line, 1), "pi 9 deadline=5s\n");
    }

    #[test]
    fn resp_spells_every_word_as_a_bulk_string() {
        assert_eq!(
            asked("nth 17..17", Encoding::Resp, 1),
            "*2\r\n$3\r\nnth\r\n$2\r\n17\r\n"
        );
    }

    #[test]
    fn what_is_no_mix_is_refused_with_its_reason() {
        for (text, reason) in [
            ("", "a request is missing"),
            ("nth 1,,pi 5", "a request is missing"),
            ("nth 1=0", "nothing is asked"),
            ("nth 5..1", "is empty"),
            ("nth 1..x", "is not a range"),
            ("nth 1..2^64", "below 2^64"),
        ] {
            let error = text.parse::<Mix>().expect_err(text);
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
