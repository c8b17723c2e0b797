//! Fuzzing on the stable toolchain: the committed corpus, mutated by a seeded generator, against what must hold for any
//! bytes.
//!
//! A fixed number of executions by default; `PRIMED_FUZZ=60 cargo test --release --test fuzz` goes on for that many
//! seconds each, `PRIMED_FUZZ_EXECUTIONS=10000000` for that many executions, and `PRIMED_SEED=7` begins elsewhere. A
//! failure prints its input. The same targets are driven by coverage with cargo-fuzz, on the nightly toolchain:
//! `fuzz/run request -runs=10000000`; this file is built into its programs, where `fuzz` runs the target on libFuzzer's
//! input. To add a target: 1. a function like those below;
//! 2. a program in `fuzz/fuzz_targets` and `fuzz/Cargo.toml`; 3. examples in `fuzz/corpus`, words in `fuzz/dictionary`.
#![cfg_attr(
    fuzzing,
    allow(
        dead_code,
        unused_imports,
        reason = "a program of cargo-fuzz runs one target, by its own driver"
    )
)]

use bytes::BytesMut;
use primed::codec::{ClientCodec, ServerCodec};
use primed::internals::{Final, Frame, MAX_DIGITS, ParsedLine, Request, parse_line, parse_number};
use primed::{Reader, Writer};
use std::fmt::Debug;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};
use tokio_util::codec::Decoder;

const CORPUS: &str = include_str!("../fuzz/corpus");
const DICTIONARY: &str = include_str!("../fuzz/dictionary");
const EXECUTIONS: u64 = 50_000;

#[cfg(fuzzing)]
thread_local! {
    static INPUT: std::cell::RefCell<Vec<u8>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// SplitMix64 (Steele, Lea, Flood 2014): all the randomness there is, from one seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap_or_default()
    }
}

fn mutated(random: &mut Random, corpus: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let mut bytes = corpus[random.below(corpus.len())].clone();
    for _ in 0..=random.below(6) {
        let at = random.below(bytes.len() + 1);
        match random.below(7) {
            0 => bytes.insert(at, random.next() as u8),
            1 if at < bytes.len() => bytes[at] ^= 1 << random.below(8),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 => bytes.truncate(at),
            4 => drop(bytes.splice(at..at, words[random.below(words.len())].bytes())),
            5 => bytes.extend_from_within(at.min(bytes.len())..),
            _ => bytes.extend_from_slice(&corpus[random.below(corpus.len())]),
        }
    }
    bytes.truncate(40_000);
    bytes
}

/// Runs a function below once, on this input.
#[cfg(fuzzing)]
pub(crate) fn once(input: &[u8], target: fn()) {
    INPUT.replace(input.to_vec());
    target();
}

#[cfg(fuzzing)]
fn fuzz(_: &str, target: impl Fn(&[u8])) {
    INPUT.with_borrow(|input| target(input));
}

#[cfg(not(fuzzing))]
fn fuzz(name: &str, target: impl Fn(&[u8])) {
    let number = |variable: &str| std::env::var(variable).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("PRIMED_SEED").unwrap_or(1);
    let time = number("PRIMED_FUZZ").map(Duration::from_secs);
    let most = number("PRIMED_FUZZ_EXECUTIONS").unwrap_or(EXECUTIONS);
    let corpus: Vec<Vec<u8>> = CORPUS
        .lines()
        .map(|line| line.replace("\\n", "\n").replace("\\r", "\r").into_bytes())
        .collect();
    let words: Vec<&str> = DICTIONARY.lines().collect();
    let mut random = Random(seed);
    let begun = Instant::now();
    let mut executions = 0;
    while time.map_or(executions < most, |time| begun.elapsed() < time) {
        let input = if executions < corpus.len() as u64 {
            corpus[executions as usize].clone()
        } else {
            mutated(&mut random, &corpus, &words)
        };
        if let Err(payload) = catch_unwind(AssertUnwindSafe(|| target(&input))) {
            eprintln!(
                "{name} fails with seed {seed} after {executions} executions on {:?}",
                input.escape_ascii().to_string()
            );
            resume_unwind(payload);
        }
        executions += 1;
    }
    println!(
        "fuzz {name}: {executions} executions, seed {seed}, {:.1?}",
        begun.elapsed()
    );
}

/// What a codec finds in input that comes in pieces of `step` bytes.
fn frames(input: &[u8], limit: usize, step: usize) -> Vec<String> {
    let (mut codec, mut held, mut found, mut from) = (ServerCodec::new(limit), Vec::new(), Vec::new(), 0);
    loop {
        let piece = &input[from..(from + step).min(input.len())];
        from += piece.len();
        held.extend_from_slice(piece);
        loop {
            let (used, frame) = codec.next(&held, from == input.len());
            let Some(frame) = frame else {
                held.drain(..used);
                break;
            };
            found.push(format!("{frame:?}"));
            if matches!(frame, Frame::Answer { is_last: true, .. }) {
                return found;
            }
            held.drain(..used);
        }
        // A request of RESP has at most 64 words, each after a length.
        assert!(held.len() <= limit + 65 * 24, "{} bytes held", held.len());
        if from == input.len() {
            assert!(held.is_empty(), "{held:?} is left");
            return found;
        }
    }
}

#[cfg_attr(not(fuzzing), test)]
pub(crate) fn codec_finds_the_same_in_any_pieces_and_holds_no_more_than_its_limit() {
    fuzz("codec", |input| {
        let limit = usize::from(input.first().copied().unwrap_or_default());
        let step = 1 + usize::from(input.last().copied().unwrap_or_default());
        assert_eq!(frames(input, limit, step), frames(input, limit, input.len().max(1)));
    });
}

/// What a decoder yields for input that comes in pieces of `step` bytes; `most` bytes may be held.
fn decoded<D: Decoder<Item: Debug, Error = io::Error>>(
    mut decoder: D,
    input: &[u8],
    step: usize,
    most: usize,
) -> Vec<String> {
    let (mut held, mut found) = (BytesMut::new(), Vec::new());
    for piece in input.chunks(step) {
        held.extend_from_slice(piece);
        loop {
            match decoder.decode(&mut held) {
                Ok(Some(item)) => found.push(format!("{item:?}")),
                Ok(None) => break,
                Err(error) => {
                    found.push(error.kind().to_string());
                    return found;
                }
            }
        }
        assert!(held.len() <= most, "{} bytes held", held.len());
    }
    while let Ok(Some(item)) = decoder.decode_eof(&mut held) {
        found.push(format!("{item:?}"));
    }
    found
}

#[cfg_attr(not(fuzzing), test)]
pub(crate) fn decoders_yield_the_same_in_any_pieces_and_hold_no_more_than_their_limit() {
    fuzz("framed", |input| {
        let limit = usize::from(input.first().copied().unwrap_or_default());
        let step = 1 + usize::from(input.last().copied().unwrap_or_default());
        let (whole, most) = (input.len().max(1), limit + 65 * 24);
        let server = |step, most| decoded(ServerCodec::new(limit), input, step, most);
        let items = server(step, most);
        assert_eq!(items, server(whole, most));
        // The frames of a session that are requests, and those that have an answer.
        let is_request = |text: &&String| text.starts_with("Request");
        let frames = frames(input, limit, step);
        assert_eq!(items.len(), frames.len());
        assert_eq!(
            items.iter().filter(is_request).count(),
            frames.iter().filter(is_request).count()
        );
        for codec in [ClientCodec::lines, ClientCodec::resp] {
            let client = |step, most| decoded(codec().with_limit(limit), input, step, most);
            assert_eq!(client(step, limit + 2), client(whole, usize::MAX));
        }
    });
}

#[cfg_attr(not(fuzzing), test)]
pub(crate) fn resp_is_answered_or_skipped_but_never_taken_for_a_line() {
    fuzz("resp", |input| {
        let words = input.split(|byte| byte.is_ascii_whitespace());
        let words: Vec<&[u8]> = words.filter(|word| !word.is_empty()).collect();
        let mut whole = format!("*{}\r\n", words.len()).into_bytes();
        for word in &words {
            whole.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
            whole.extend_from_slice(word);
            whole.extend_from_slice(b"\r\n");
        }
        let mut codec = ServerCodec::new(4096);
        let (used, frame) = codec.next(&whole, true);
        match frame {
            None => assert!(words.is_empty(), "{words:?} was not answered"),
            Some(Frame::Answer {
                reply: Final::Reply(Err(_)),
                is_last: false,
                ..
            }) => {}
            Some(Frame::Answer { is_last, .. }) => assert!(!is_last || words[0].eq_ignore_ascii_case(b"quit")),
            Some(Frame::Request(_)) => {
                assert!(words.iter().all(|word| word.iter().all(u8::is_ascii_graphic)));
            }
        }
        let skipped = codec.next(&whole[used..], true);
        assert!(
            skipped.1.is_none() && used + skipped.0 == whole.len(),
            "input goes on after the request"
        );
    });
}

#[cfg_attr(not(fuzzing), test)]
pub(crate) fn requests_are_made_of_words_of_their_line() {
    fuzz("request", |input| {
        if let Ok(ParsedLine::Request(request)) = parse_line(input) {
            assert!(input.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\t')));
            assert!(!request.verb.is_empty() && request.args.len() + request.options.len() < Request::MAX_WORDS + 1);
            assert!(request.args.iter().all(|word| !word.contains([' ', '\t'])));
            if request.format.is_bare() {
                assert_eq!((request.verb, request.args.len()), ("nth", 1));
            }
        }
    });
}

#[cfg_attr(not(fuzzing), test)]
pub(crate) fn numbers_are_read_as_they_are_printed_and_never_grow_huge() {
    fuzz("number", |input| {
        let Ok(text) = std::str::from_utf8(input) else {
            return;
        };
        if let Ok(number) = parse_number(text) {
            let printed = number.to_string();
            assert!(printed.len() <= MAX_DIGITS);
            assert_eq!(parse_number(&printed), Ok(number));
        }
    });
}

#[cfg_attr(not(fuzzing), test)]
pub(crate) fn checkpoints_are_read_back_and_damaged_ones_refused() {
    fuzz("checkpoint", |input| {
        let words: Vec<u64> = input.iter().map(|byte| u64::from(*byte) << 40).collect();
        let mut writer = Writer::new(*b"test", 1);
        writer.u64(7).words(&words).bytes(input);
        let good = writer.finish();
        let read = |bytes: &[u8]| {
            let mut reader = Reader::new(bytes, *b"test", 1)?;
            let all = (reader.u64()?, reader.words()?, reader.bytes()?.to_vec());
            reader.finish().map(|()| all)
        };
        assert_eq!(read(&good), Ok((7, words, input.to_vec())));
        assert!(read(&good[..good.len() - 1]).is_err() && read(&[&good[..], &[0]].concat()).is_err());
        // Any bytes at all, and lengths that lie.
        let mut lie = good.clone();
        let at = 16 + usize::from(input.first().copied().unwrap_or_default()) % 8;
        lie[at] ^= 0x80;
        assert!(read(&lie).is_err(), "a length that lies is refused");
        let _ = read(&[b"test\x01\0\0\0", input].concat());
    });
}

#[cfg_attr(not(fuzzing), test)]
pub(crate) fn settings_are_known_ones_and_stand_on_a_line_of_their_file() {
    fuzz("config", |input| {
        let Ok(text) = std::str::from_utf8(input) else {
            return;
        };
        let lines = 1 + text.matches('\n').count();
        match primed::internals::read_config(text, &["listen", "max-jobs", "drain-limit"]) {
            Ok(settings) => {
                assert!(settings.is_sorted_by_key(|setting| setting.line) && settings.len() <= 3);
                for setting in settings {
                    assert!((1..=lines).contains(&setting.line) && !setting.values.is_empty());
                }
            }
            Err(mistake) => assert!((1..=lines).contains(&mistake.line), "{mistake}"),
        }
    });
}
