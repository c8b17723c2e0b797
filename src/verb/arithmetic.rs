//! Verbs about primes: `nth pi count primes isprime next prev factor`.

use super::call::shortened;
use super::{Call, Registry, Step, Usage, Verb, functions, ranges};
use crate::job::{Job, Method, Pi, Query};
use crate::primes::{MAX_NTH, Natural, WORD_PRIMES};
use crate::proto::{Code, Failure, NumberError, parse_number, parse_short_number};

pub(super) fn register(registry: &mut Registry) {
    for verb in VERBS.into_iter().chain(ranges::VERBS).chain(functions::VERBS) {
        registry.add(verb);
    }
}

/// A verb whose arguments make a [`Query`].
pub(super) struct Arithmetic {
    pub(super) name: &'static str,
    pub(super) usage: &'static str,
    pub(super) about: &'static str,
    pub(super) details: &'static [&'static str],
    pub(super) read: Read,
}

#[cfg(feature = "cli")]
impl Arithmetic {
    /// The question, if all arguments are short and right.
    fn question(&self, call: &Call<'_>) -> Option<Query> {
        let one = match self.read {
            Read::AtOnce(read) | Read::Word { read, .. } => return read(call).ok(),
            Read::Number(one) | Read::NumberForRows(one) | Read::Numbers { one, .. } => one,
        };
        call.only(1, &[]).ok()?;
        one(call.usage(), parse_if_short(call.arg(0)?).ok()?).ok()
    }
}

/// The question about primes that a request without a deadline or progress asks, before anything is looked up: for who
/// has no daemon running. `None` is left to a daemon, which says what is wrong if anything is.
#[cfg(feature = "cli")]
pub(crate) fn question(request: &crate::proto::Request<'_>) -> Option<Query> {
    let verbs = VERBS.into_iter().chain(ranges::VERBS).chain(functions::VERBS);
    let verb = verbs.into_iter().find(|verb| verb.name == request.verb)?;
    let registry = Registry::default();
    let daemon = super::DaemonView {
        metrics: Default::default(),
        clients: Default::default(),
        started: std::time::Instant::now(),
        workers: 1,
    };
    let call = Call::new(&verb, request, &registry, &daemon, None);
    let is_without_terms = call.terms() == Ok(super::call::Terms::default());
    is_without_terms.then(|| verb.question(&call)).flatten()
}

/// How the arguments are read.
pub(super) enum Read {
    /// At once: all of them are short.
    AtOnce(fn(&Call<'_>) -> Result<Query, Failure>),
    /// The same; and most often there is one number below 2^64 alone.
    Word {
        /// The question about that, if it is one.
        one: fn(u64) -> Option<Query>,
        /// What reads any arguments.
        read: fn(&Call<'_>) -> Result<Query, Failure>,
    },
    /// One number N of any length. Where the session runs, a long one would keep others waiting: that one is read by a
    /// worker.
    Number(fn(Usage, Natural) -> Result<Query, Failure>),
    /// The same, where the answer is preceded by rows.
    NumberForRows(fn(Usage, Natural) -> Result<Query, Failure>),
    /// The same for one or several numbers.
    Numbers {
        /// What the arguments are called; those beyond are called as the last one.
        names: &'static [&'static str],
        /// How many arguments there may be.
        most: usize,
        /// The question about one number: nearly all are, and they need no list.
        one: fn(Usage, Natural) -> Result<Query, Failure>,
        /// Whether the answer to the question about several numbers is preceded by rows.
        streams: bool,
        several: fn(Usage, Vec<Natural>) -> Result<Query, Failure>,
    },
}

impl Verb for Arithmetic {
    fn name(&self) -> &'static str {
        self.name
    }

    fn usage(&self) -> &'static str {
        self.usage
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn details(&self) -> &'static [&'static str] {
        self.details
    }

    fn call(&self, call: &Call<'_>) -> Result<Step, Failure> {
        let query = match self.read {
            Read::AtOnce(read) | Read::Word { read, .. } => read(call)?,
            Read::Number(query) => {
                call.only(1, &[])?;
                return about_number(call, query);
            }
            Read::NumberForRows(query) => {
                call.only(1, &[])?;
                return Ok(match about_number(call, query)? {
                    Step::Job(job) => Step::Job(job.streaming()),
                    step => step,
                });
            }
            Read::Numbers {
                names,
                most,
                one,
                streams,
                several,
            } => {
                call.only(most, &[])?;
                let texts = call.args();
                if texts.len() < 2 {
                    return about_number(call, one);
                }
                let name = move |index: usize| names[index.min(names.len() - 1)];
                match numbers(call.usage(), texts, name, parse_if_short) {
                    Ok(numbers) => several(call.usage(), numbers)?,
                    Err(failure) if failure.code == Code::TooBig => {
                        let job = about_long_numbers(call, name, several);
                        return Ok(Step::Job(if streams { job.streaming() } else { job }));
                    }
                    Err(failure) => return Err(failure),
                }
            }
        };
        Ok(Step::from(query))
    }

    fn question_about(&self, n: u64) -> Option<Query> {
        match self.read {
            Read::AtOnce(_) => None,
            Read::Word { one, .. } => one(n),
            Read::Number(one) | Read::NumberForRows(one) | Read::Numbers { one, .. } => {
                one(Usage::of(self), n.into()).ok()
            }
        }
    }
}

/// A question about the number N, which is read at once or, if it is long, by the worker.
pub(super) fn about_number(
    call: &Call<'_>,
    query: fn(Usage, Natural) -> Result<Query, Failure>,
) -> Result<Step, Failure> {
    let (usage, text) = (call.usage(), call.required(0, "N")?);
    match parse_if_short(text) {
        Ok(n) => query(usage, n).map(Step::from),
        Err(NumberError::TooBig) => Ok(Step::Job(long(call, text.to_owned(), query))),
        Err(error) => Err(usage.bad_number("N", text, error)),
    }
}

/// Reads a number if that is a matter of microseconds; `TooBig` if not.
fn parse_if_short(text: &str) -> Result<Natural, NumberError> {
    const SHORT: usize = 256;
    match text.len() {
        0..=SHORT => parse_short_number(text),
        _ => Err(NumberError::TooBig),
    }
}

/// The job that reads a long number and then answers the question about it.
fn long(call: &Call<'_>, text: String, query: fn(Usage, Natural) -> Result<Query, Failure>) -> Job {
    let usage = call.usage();
    Job::of_any(call.question(), move || {
        let n = parse_number(&text).map_err(|error| usage.bad_number("N", &text, error))?;
        Ok(query(usage, n)?.plan())
    })
    .kept()
}

/// Reads numbers by one of both readers.
fn numbers<T: AsRef<str>>(
    usage: Usage,
    texts: &[T],
    name: impl Fn(usize) -> &'static str,
    read: fn(&str) -> Result<Natural, NumberError>,
) -> Result<Vec<Natural>, Failure> {
    let number = |(index, text): (usize, &T)| {
        let text = text.as_ref();
        read(text).map_err(|error| usage.bad_number(name(index), text, error))
    };
    texts.iter().enumerate().map(number).collect()
}

/// The job that reads several numbers, of which some are long, and then answers the question about them.
fn about_long_numbers(
    call: &Call<'_>,
    name: impl Fn(usize) -> &'static str + Copy + Send + 'static,
    query: fn(Usage, Vec<Natural>) -> Result<Query, Failure>,
) -> Job {
    let usage = call.usage();
    let texts: Vec<String> = call.args().iter().map(|text| (*text).to_owned()).collect();
    Job::of_any(call.question(), move || {
        Ok(query(usage, numbers(usage, &texts, name, parse_number)?)?.plan())
    })
    .kept()
}

/// The most primes that `next` and `prev` list. They are found one after the other: `primes` is made for more.
const MOST_NEIGHBOURS: u64 = 100_000;

/// A number and how many of its neighbours are wanted.
fn neighbours(usage: Usage, mut numbers: Vec<Natural>) -> Result<(Natural, u64), Failure> {
    match u64::try_from(&numbers[1]) {
        Ok(count) if count <= MOST_NEIGHBOURS => Ok((numbers.swap_remove(0), count)),
        _ => {
            let text = format!(
                "{}: COUNT may be at most {MOST_NEIGHBOURS}; 'primes A B' lists more",
                usage.name
            );
            Err(Failure::new(Code::TooBig, text))
        }
    }
}

const VERBS: [Arithmetic; 8] = [
    Arithmetic {
        name: "nth",
        usage: "nth N [LAST]",
        about: "the N-th prime, or the N-th to the LAST-th",
        details: &[
            "N is from 1 to 176846309399143769411680, the number of primes below 10^25.",
            "With LAST the primes are rows, LAST included, and are below 2^64.",
            "nth 1e6 -> OK 15485863",
            "nth 26 29 -> = 101 103 107 109",
            "             OK 4",
        ],
        read: Read::Word {
            one: |n| (1..=WORD_PRIMES).contains(&n).then(|| Query::Nth(n.into())),
            read: read_nth,
        },
    },
    Arithmetic {
        name: "pi",
        usage: "pi X",
        about: "how many primes there are up to X",
        details: &[
            "X is at most 10^25. It is counted by Gourdon's method, on all cores,",
            "without sieving up to X. What needs more memory than the daemon may take",
            "is refused.",
            "pi 1e12 -> OK 37607912018",
        ],
        read: Read::Word {
            one: |x| Some(Query::Pi(x.into())),
            read: |call| {
                call.only(1, &[])?;
                Ok(Query::Pi(call.at_most(0, "X", Pi::MOST, "10^25")?))
            },
        },
    },
    Arithmetic {
        name: "count",
        usage: "count A B [method=auto|sieve] [kind=KIND]",
        about: "how many primes in A..B",
        details: &[
            "A and B are at most 10^25, with kind= at most 2^64; B is not included.",
            "method=sieve looks at every number; auto (the default) takes the faster way.",
            "count 100 110 -> OK 4",
            "kind= counts constellations whose members all lie in A..B: twins (p, p+2),",
            "cousins (p, p+4), sexy (p, p+6), triplets (p, p+2, p+6 or p, p+4, p+6),",
            "quadruplets, quintuplets, sextuplets (the closest sets of 4, 5, 6 primes).",
            "count 0 100 kind=twins -> OK 8",
        ],
        read: Read::AtOnce(|call| {
            call.only(2, &["method", "kind"])?;
            let method = match call.option("method") {
                None => Method::Auto,
                Some(text) if text.eq_ignore_ascii_case("auto") => Method::Auto,
                Some(text) if text.eq_ignore_ascii_case("sieve") => Method::Sieve,
                Some(text) => {
                    return Err(call.bad_arg(format_args!("method is '{}', not auto or sieve", shortened(text))));
                }
            };
            Ok(match ranges::read_kind(call)? {
                Some(kind) => {
                    let (low, last) = read_range(call)?;
                    Query::CountOf { kind, low, last }
                }
                None => {
                    let (low, last) = read_wide_range(call, Pi::MOST, "10^25")?;
                    Query::Count { low, last, method }
                }
            })
        }),
    },
    Arithmetic {
        name: "primes",
        usage: "primes A B [kind=KIND]",
        about: "the primes in A..B as rows, then how many",
        details: &[
            "A and B are at most 2^64; B is not included. Rows begin with '=' and hold up",
            "to 64 primes each. The range may be as long as you like: rows come as fast as",
            "you read.",
            "primes 100 110 -> = 101 103 107 109",
            "                  OK 4",
            "With kind= (see 'help count') a word of a row is a constellation:",
            "primes 0 20 kind=twins -> = 3,5 5,7 11,13 17,19",
            "                          OK 4",
        ],
        read: Read::AtOnce(|call| {
            call.only(2, &["kind"])?;
            match ranges::read_kind(call)? {
                Some(kind) => read_range(call).map(|(low, last)| Query::PrimesOf { kind, low, last }),
                None => {
                    let range = read_range(call).map_err(|failure| match failure.code {
                        Code::TooBig => {
                            let text = format!("{}; 'next A COUNT' lists primes beyond", failure.text);
                            Failure::new(Code::TooBig, text)
                        }
                        _ => failure,
                    });
                    range.map(|(low, last)| Query::Primes { low, last })
                }
            }
        }),
    },
    Arithmetic {
        name: "isprime",
        usage: "isprime N [N ...]",
        about: "yes or no, for each",
        details: &[
            "N may have up to 10000 digits. Below 2^64 the answer is proven; above, it is",
            "the Baillie-PSW test, to which no exception is known.",
            "isprime 2^127-1 -> OK yes",
            "isprime 7 8 9 -> OK yes no no",
        ],
        read: Read::Numbers {
            names: &["N"],
            most: usize::MAX,
            one: |_, n| Ok(Query::IsPrime(n)),
            streams: false,
            several: |_, numbers| Ok(Query::ArePrime(numbers)),
        },
    },
    Arithmetic {
        name: "next",
        usage: "next N [COUNT]",
        about: "the smallest prime above N, or COUNT of them",
        details: &[
            "N may have up to 10000 digits. With COUNT (at most 100000) there are rows.",
            "next 1e18 -> OK 1000000000000000003",
            "next 100 4 -> = 101 103 107 109",
            "              OK 4",
        ],
        read: Read::Numbers {
            names: &["N", "COUNT"],
            most: 2,
            one: |_, n| Ok(Query::Next(n)),
            streams: true,
            several: |usage, numbers| {
                let (n, count) = neighbours(usage, numbers)?;
                Ok(Query::NextPrimes(n, count))
            },
        },
    },
    Arithmetic {
        name: "prev",
        usage: "prev N [COUNT]",
        about: "the largest prime below N, or COUNT of them",
        details: &[
            "N may have up to 10000 digits. With COUNT (at most 100000) there are rows, of",
            "which 2 is the last.",
            "prev 2^64 -> OK 18446744073709551557",
            "prev 100 4 -> = 97 89 83 79",
            "              OK 4",
        ],
        read: Read::Numbers {
            names: &["N", "COUNT"],
            most: 2,
            one: |usage, n| match n > Natural::from(2u8) {
                true => Ok(Query::Prev(n)),
                false => Err(usage.bad_arg(format_args!("no prime is below {n}; N must be at least 3"))),
            },
            streams: true,
            several: |usage, numbers| {
                let (n, count) = neighbours(usage, numbers)?;
                Ok(Query::PrevPrimes(n, count))
            },
        },
    },
    Arithmetic {
        name: "factor",
        usage: "factor N",
        about: "its prime factors, ascending, with repetitions",
        details: &[
            "N may have up to 10000 digits. The larger the second-largest factor, the",
            "longer it takes: two of 36 digits some 12 seconds of a core. What is found",
            "before a deadline is in its error.",
            "factor 360 -> OK 2 2 2 3 3 5",
        ],
        read: Read::Number(|usage, n| {
            if n == Natural::ZERO {
                return Err(usage.bad_arg("every prime divides 0; N must be at least 1"));
            }
            Ok(Query::Factor(n))
        }),
    },
];

fn read_nth(call: &Call<'_>) -> Result<Query, Failure> {
    call.only(2, &[])?;
    let read = |index, name: &str, most, limit: &str| match call.at_most(index, name, most, limit)? {
        0 => Err(call.bad_arg(format_args!("{name} is 0, and primes are counted from 1"))),
        n => Ok(n),
    };
    if call.arg(1).is_none() {
        let limit = "176846309399143769411680, whose prime is the last one below 10^25";
        return Ok(Query::Nth(read(0, "N", MAX_NTH, limit)?));
    }
    let limit = "425656284035217743 in rows, whose prime is the last one below 2^64";
    let most = WORD_PRIMES.into();
    let (first, last) = (read(0, "N", most, limit)?, read(1, "LAST", most, limit)?);
    if last < first {
        return Err(call.bad_arg(format_args!("LAST is below N: {last} < {first}")));
    }
    Ok(Query::NthRows {
        first: first as u64,
        last: last as u64,
    })
}

/// The half-open range A..B, with A and B up to 2^64, as its first and last number.
pub(super) fn read_range(call: &Call<'_>) -> Result<(u64, u64), Failure> {
    let (low, last) = read_wide_range(call, 1 << 64, "2^64")?;
    // Both fit: an empty range is 1..=0.
    Ok((low as u64, last as u64))
}

/// The same with A and B up to `end`.
fn read_wide_range(call: &Call<'_>, end: u128, limit: &str) -> Result<(u128, u128), Failure> {
    let low = call.at_most(0, "A", end, limit)?;
    let high = call.at_most(1, "B", end, limit)?;
    if high < low {
        return Err(call.bad_arg(format_args!("B is below A: {high} < {low}")));
    }
    // An empty range, wherever it lies, is 1..=0.
    Ok(if low < high { (low, high - 1) } else { (1, 0) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{NumberRequest, ParsedLine, ReplyFormat, parse_line};
    use crate::verb::tests::{daemon, said, shown};

    #[test]
    fn a_verb_and_a_number_ask_what_their_words_ask() {
        let registry = Registry::default();
        let mut asked = 0;
        for (verb, number) in registry.names().flat_map(|verb| {
            let numbers = [
                0,
                1,
                2,
                3,
                10,
                82_025,
                82_026,
                1 << 24,
                WORD_PRIMES,
                WORD_PRIMES + 1,
                u64::MAX / 2,
            ];
            numbers.map(|number| (verb, number))
        }) {
            let line = format!("{verb} {number}");
            let step = registry.step_of(&NumberRequest {
                format: ReplyFormat::default(),
                verb: verb.as_bytes(),
                number,
                used: line.len() + 1,
            });
            if let Some((_, step)) = step {
                asked += 1;
                assert_eq!(shown(step), said(&line), "{line}");
            }
        }
        assert!(asked > 50, "{asked}");
    }

    #[test]
    fn small_questions_are_answered_from_the_table_and_others_become_jobs() {
        assert_eq!(said("nth 1"), "=2");
        assert_eq!(said("NTH 1e3"), "=7919");
        assert_eq!(said("count 0 10"), "=4");
        assert_eq!(said("count 7 7"), "=0");
        assert_eq!(said("pi 1e12"), "job pi 1000000000000");
        assert_eq!(said("count 10 2^64"), "job count 10 18446744073709551616");
        assert_eq!(said("count 0 10 method=sieve"), "job count 0 10 method=sieve");
        assert_eq!(
            said("isprime 2^127-1"),
            "job isprime 170141183460469231731687303715884105727"
        );
    }

    #[test]
    fn the_form_of_a_proof_is_in_its_title_however_long_the_number_is() {
        for n in ["7", "2^127-1", "2^521-1", &"9".repeat(150)] {
            let [plain, pari] = [format!("certify {n}"), format!("certify {n} form=pari")].map(|line| said(&line));
            assert_ne!(plain, pari);
            assert!(
                pari.starts_with("job certify ") && pari.ends_with(" form=pari"),
                "{pari}"
            );
        }
    }

    #[test]
    fn what_is_beyond_a_limit_is_too_big_and_names_the_limit() {
        for (line, limit) in [
            ("pi 10^25+1", "10^25"),
            (
                "pi 10^200-10^200+100",
                "a number on the way to it may have at most 100 digits",
            ),
            ("nth 176846309399143769411681", "176846309399143769411680"),
            ("next 5 1e6", "100000"),
            ("nth 1 425656284035217744", "425656284035217743"),
            ("count 0 2^65 kind=twins", "2^64"),
            ("count 0 10^25+1", "10^25"),
            ("primes 0 2^65", "2^64; 'next A COUNT' lists primes beyond"),
        ] {
            let said = said(line);
            assert!(
                said.starts_with(Code::TooBig.as_str()) && said.contains(limit),
                "{line}: {said}"
            );
        }
    }

    #[test]
    fn a_long_number_is_read_by_the_worker() {
        let long = |line: &str| {
            let Ok(ParsedLine::Request(request)) = parse_line(line.as_bytes()) else {
                panic!("{line} is no request");
            };
            match Registry::default().call(&request, &daemon(), None) {
                Ok((Step::Job(job), _)) if job.title() == line => match job.plan() {
                    Ok(_) => "a plan".to_owned(),
                    Err(failure) => failure.to_string(),
                },
                other => panic!("{line}: {other:?}"),
            }
        };
        assert_eq!(long("isprime 1e9999"), "a plan");
        assert_eq!(long("isprime 7 1e9999"), "a plan");
        assert_eq!(long("next 1e9999 5"), "a plan");
        assert_eq!(long("root 2^1024"), "too-big :root: N may be at most 2^1024-1");
        assert_eq!(
            long("isprime 10^10000"),
            "too-big :isprime: N is too long: a number may have at most 10000 digits"
        );
        assert_eq!(
            long("next 2^5000-2^5001"),
            "bad-arg :next: N is '2^5000-2^5001': numbers here are not negative; usage: next N [COUNT]"
        );
        assert_eq!(
            long("prev 1e200-1e200"),
            "bad-arg :prev: no prime is below 0; N must be at least 3; usage: prev N [COUNT]"
        );
        let rubbish = format!("isprime {}x", "7".repeat(300));
        assert!(long(&rubbish).starts_with("bad-arg :isprime: N is '777"));
    }

    #[test]
    fn the_title_of_a_job_reads_back_as_the_same_question() {
        for line in [
            "pi 1e12",
            "pi 1e22",
            "count 1e20 1e21",
            "count 5 2^64 method=sieve",
            "primes 0 2^64",
            "next 2^89-1",
            "factor 2^100",
            "nth 1e9",
            "nth 1e9 2e9",
            "isprime 2^89-1 2^127-1 7",
            "next 2^89-1 10",
            "prev 2^89-1 10",
            "count 0 1e9 kind=sexy",
            "primes 0 1e9 kind=Twins",
            "sum 0 2^64",
            "gaps 5 2^64",
            "totient 360",
            "moebius 2^100",
            "divisors 0xff",
            "root 97#+1",
            "nth 1e20",
        ] {
            let title = said(line)
                .strip_prefix("job ")
                .map(str::to_owned)
                .expect("these are jobs");
            assert_eq!(said(&title), format!("job {title}"));
        }
    }
}
