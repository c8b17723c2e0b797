//! Numbers and times in arguments and settings, with errors that say what is wanted.

use std::fmt::Display;
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

/// A whole number that may be 0.
pub(super) fn any(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "write a whole number".into())
}

/// As many threads as a machine may sensibly be asked for: the system's own limits end a process in less kind ways.
const MOST_THREADS: usize = 1024;

/// A number of threads.
pub(super) fn threads(text: &str) -> Result<NonZeroUsize, String> {
    let count = positive(text).ok().filter(|count| count.get() <= MOST_THREADS);
    count.ok_or_else(|| format!("write a whole number from 1 to {MOST_THREADS}"))
}

/// A whole number from 1.
pub(super) fn positive(text: &str) -> Result<NonZeroUsize, String> {
    text.parse().map_err(|_| "write a whole number from 1".into())
}

/// The most MiB of any memory: as many bytes have room in 64 bits.
const MOST_MIB: u64 = 1 << 40;

/// An amount of memory in MiB.
pub(super) fn mib(text: &str) -> Result<u64, String> {
    within(text, 1..=MOST_MIB)
}

/// An amount of memory in MiB, which may be 0.
pub(super) fn any_mib(text: &str) -> Result<u64, String> {
    within(text, 0..=MOST_MIB)
}

/// A limit of a user.
pub(super) fn user_limit(text: &str) -> Result<u32, String> {
    within(text, 1..=u32::MAX)
}

fn within<T>(text: &str, range: RangeInclusive<T>) -> Result<T, String>
where
    T: FromStr + PartialOrd + Display,
{
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("write a whole number from {} to {}", range.start(), range.end()))
}

/// A shorter line has no room for a question about numbers below 2^64 under a tag.
const SHORTEST_LINE_BYTES: usize = 64;

/// How long a line may be.
pub(super) fn line_bytes(text: &str) -> Result<usize, String> {
    let bytes = any(text).ok().filter(|bytes| *bytes >= SHORTEST_LINE_BYTES);
    bytes.ok_or_else(|| format!("write a whole number from {SHORTEST_LINE_BYTES}"))
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long anything may wait: who wants more wants no limit.
const LONGEST_WAIT: Duration = DAY.saturating_mul(366);
/// How long anything may be kept. With more, times would leave the calendar.
const LONGEST_TIME: Duration = DAY.saturating_mul(36_600);

/// A time, which may be 0.
pub(super) fn any_time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|_| match text.parse::<u64>() {
        Ok(_) => format!("the unit is missing: write {text}s or {text}min"),
        Err(_) => "write a time, such as 30s or 5min".into(),
    })?;
    match time <= LONGEST_TIME {
        true => Ok(time),
        false => Err("write a time of at most 100 years".into()),
    }
}

/// A time above 0, for something to wait.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    match any_time(text)? {
        Duration::ZERO => Err("write a time above 0, such as 30s or 5min".into()),
        time if time > LONGEST_WAIT => Err("write a time of at most a year".into()),
        time => Ok(time),
    }
}

/// A time that may be left out: none if it is.
pub(super) type MaybeTime = Option<Duration>;

/// A time above 0, or `none`.
pub(super) fn time_or_none(text: &str) -> Result<MaybeTime, String> {
    match text {
        "none" => Ok(None),
        _ => time(text).map(Some).map_err(|error| format!("{error}, or none")),
    }
}
