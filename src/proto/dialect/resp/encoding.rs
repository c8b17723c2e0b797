//! How replies look in RESP. Knows values, not where they come from.
//!
//! | value | RESP2 | RESP3 |
//! |---|---|---|
//! | nothing | `+OK` | `+OK` |
//! | number below 2^63 | `:n` | `:n` |
//! | larger number | bulk string | `(n` |
//! | truth | `:1` or `:0` | `#t` or `#f` |
//! | numbers, rows | array | array |
//! | no rows, but a value other than 0 | the value | the value |
//! | text, facts | bulk string | bulk string |
//! | failure | `-CODE text` | `-CODE text` |
//! | progress | not sent | push `>3`: `progress`, tag or null, words |

use super::super::{as_printable, write_printable};
use crate::primes::Natural;
use crate::proto::format::{Dialect, ReplyFormat};
use crate::proto::reply::{Final, Interim};
use crate::proto::{Code, Failure, Tag, Value};
use bytes::BytesMut;

/// Facts that monitors of Redis look for in `INFO`, and ours that say the same. `redis-cli --stat` prints a wrong
/// number for one that is missing.
const REDIS_NAMES: [(&str, &str); 4] = [
    ("connected_clients", "connections"),
    ("total_connections_received", "connections_total"),
    ("total_commands_processed", "requests_total"),
    ("used_memory", "resident_bytes"),
];

/// The protocol of a connection until `HELLO 3`.
pub(super) struct Resp2;

/// The protocol after `HELLO 3`.
pub(super) struct Resp3;

impl Dialect for Resp2 {
    fn name(&self) -> &'static str {
        "RESP2"
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn write_final(&self, out: &mut BytesMut, _: &ReplyFormat, rows: Option<&[String]>, reply: &Final) {
        write_final(out, false, rows, reply);
    }

    /// Nothing: RESP2 has no form for it, and a client would take it for the reply.
    fn write_interim(&self, _: &mut BytesMut, _: Option<&Tag>, _: &Interim) {}
}

impl Dialect for Resp3 {
    fn name(&self) -> &'static str {
        "RESP3"
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn write_final(&self, out: &mut BytesMut, _: &ReplyFormat, rows: Option<&[String]>, reply: &Final) {
        write_final(out, true, rows, reply);
    }

    fn write_interim(&self, out: &mut BytesMut, tag: Option<&Tag>, interim: &Interim) {
        out.extend_from_slice(b">3\r\n$8\r\nprogress\r\n");
        match tag {
            Some(tag) => write_bulk(out, tag.as_bytes()),
            None => out.extend_from_slice(NULL_3),
        }
        write_bulk(out, interim.words().as_bytes());
    }
}

/// Words of `clients`, as clients of Redis look for them in `CLIENT LIST`. No name has blanks, so they occur once a
/// row.
const REDIS_WORDS: [(&str, &str); 5] = [
    (" address=", " addr="),
    (" name=- ", " name= "),
    (" user=- ", " user=default "),
    (" age_s=", " age="),
    (" idle_s=", " idle="),
];

/// The reply to `CLIENT LIST`: one text, a line for each row.
pub(super) struct ClientList;

impl Dialect for ClientList {
    fn name(&self) -> &'static str {
        "RESP clients"
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn write_final(&self, out: &mut BytesMut, _: &ReplyFormat, rows: Option<&[String]>, reply: &Final) {
        match (rows, reply) {
            (Some(rows), Final::Reply(Ok(_))) => {
                let redis = |row: &String| {
                    REDIS_WORDS
                        .iter()
                        .fold(row.clone(), |row, (ours, theirs)| row.replacen(ours, theirs, 1))
                };
                let lines: String = rows.iter().map(|row| redis(row) + "\n").collect();
                write_bulk(out, lines.as_bytes());
            }
            _ => write_final(out, false, rows, reply),
        }
    }

    /// Nothing: it is answered at once.
    fn write_interim(&self, _: &mut BytesMut, _: Option<&Tag>, _: &Interim) {}
}

/// The replies to `CONFIG GET`: facts are a map, which in RESP2 is an array of keys and values.
pub(super) struct Pairs {
    pub(super) is_resp3: bool,
}

impl Dialect for Pairs {
    fn name(&self) -> &'static str {
        "RESP pairs"
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn write_final(&self, out: &mut BytesMut, _: &ReplyFormat, rows: Option<&[String]>, reply: &Final) {
        let Final::Reply(Ok(Value::Facts(facts))) = reply else {
            return write_final(out, self.is_resp3, rows, reply);
        };
        write_map(out, self.is_resp3, facts.len());
        for (key, value) in facts {
            write_bulk(out, key.as_bytes());
            write_bulk(out, value.as_bytes());
        }
    }

    /// Nothing: it is answered at once.
    fn write_interim(&self, _: &mut BytesMut, _: Option<&Tag>, _: &Interim) {}
}

/// Writes the head of a map, which in RESP2 is an array of keys and values.
pub(super) fn write_map(out: &mut BytesMut, is_resp3: bool, pairs: usize) {
    match is_resp3 {
        true => write_length(out, b'%', pairs),
        false => write_length(out, b'*', 2 * pairs),
    }
}

pub(super) const NULL_2: &[u8] = b"$-1\r\n";
pub(super) const NULL_3: &[u8] = b"_\r\n";

pub(super) fn write_final(out: &mut BytesMut, is_resp3: bool, rows: Option<&[String]>, reply: &Final) {
    match reply {
        Final::Encoded(bytes) => out.extend_from_slice(bytes),
        Final::Reply(Err(failure)) => write_failure(out, failure),
        Final::Reply(Ok(value)) => match rows {
            Some(rows) if !rows.is_empty() || says_none(value) => write_rows(out, is_resp3, rows),
            // A value that is no number of rows is the answer, as that of `divisors` where it only counts them.
            _ => write_value(out, is_resp3, value),
        },
    }
}

/// Whether a value says that there are no rows.
fn says_none(value: &Value) -> bool {
    matches!(value, Value::Nothing) || *value == Value::from(0)
}

fn write_failure(out: &mut BytesMut, failure: &Failure) {
    out.extend_from_slice(b"-");
    match failure.code {
        // The word that clients of Redis know.
        Code::Unauthenticated => out.extend_from_slice(b"NOAUTH"),
        code => out.extend(code.as_str().bytes().map(|byte| byte.to_ascii_uppercase())),
    }
    out.extend_from_slice(b" ");
    write_printable(out, &failure.text);
    out.extend_from_slice(b"\r\n");
}

fn write_value(out: &mut BytesMut, is_resp3: bool, value: &Value) {
    match value {
        Value::Nothing => out.extend_from_slice(b"+OK\r\n"),
        Value::Number(number) => write_number(out, is_resp3, number),
        Value::Truth(yes) => out.extend_from_slice(match (is_resp3, yes) {
            (true, true) => b"#t\r\n",
            (true, false) => b"#f\r\n",
            (false, true) => b":1\r\n",
            (false, false) => b":0\r\n",
        }),
        Value::Numbers(numbers) => {
            write_length(out, b'*', numbers.len());
            for number in numbers {
                write_number(out, is_resp3, number);
            }
        }
        Value::Text(text) => write_text(out, text),
        Value::Facts(facts) => {
            // As Redis does: one text, a line for each fact.
            let known = facts.iter().map(|(key, value)| (key.as_ref(), value.as_str()));
            let renamed = REDIS_NAMES.iter().filter_map(|(redis, ours)| {
                let (_, value) = facts.iter().find(|(key, _)| key == ours)?;
                Some((*redis, value.as_str()))
            });
            // Redis counts connections there that a command like BLPOP holds up; no request here does.
            let blocked = facts
                .iter()
                .any(|(key, _)| key == "connections")
                .then_some(("blocked_clients", "0"));
            let lines = known
                .chain(renamed)
                .chain(blocked)
                .map(|(key, value)| format!("{key}:{value}\r\n"));
            write_bulk(out, lines.collect::<String>().as_bytes());
        }
    }
}

fn write_number(out: &mut BytesMut, is_resp3: bool, number: &Natural) {
    match i64::try_from(number) {
        Ok(word) => write_word(out, b':', word.unsigned_abs()),
        Err(_) if is_resp3 => {
            out.extend_from_slice(b"(");
            out.extend_from_slice(number.to_string().as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        Err(_) => write_bulk(out, number.to_string().as_bytes()),
    }
}

/// Rows as one array: a row of numbers gives its numbers, any other a bulk string.
fn write_rows(out: &mut BytesMut, is_resp3: bool, rows: &[String]) {
    let length = rows.iter().map(|row| numbers(row).map_or(1, Iterator::count)).sum();
    write_length(out, b'*', length);
    for row in rows {
        match numbers(row) {
            None => write_text(out, row),
            Some(numbers) => numbers.for_each(|number| match number >> 63 {
                0 => write_word(out, b':', number),
                _ => write_number(out, is_resp3, &Natural::from(number)),
            }),
        }
    }
}

/// The numbers of a row that is nothing but numbers below 2^64, parted by single spaces.
fn numbers(row: &str) -> Option<impl Iterator<Item = u64>> {
    let read = |word: &str| {
        let is_number = word.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| word.parse::<u64>().ok()).flatten()
    };
    let words = row.split(' ');
    words
        .clone()
        .all(|word| read(word).is_some())
        .then(|| words.filter_map(read))
}

fn write_text(out: &mut BytesMut, text: &str) {
    write_length(out, b'$', text.chars().count());
    out.extend(text.chars().map(as_printable));
    out.extend_from_slice(b"\r\n");
}

/// Writes a bulk string of any bytes.
pub(in crate::proto) fn write_bulk(out: &mut BytesMut, bytes: &[u8]) {
    write_length(out, b'$', bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// Writes the head of a bulk string, an array or a map.
pub(in crate::proto) fn write_length(out: &mut BytesMut, mark: u8, length: usize) {
    write_word(out, mark, length as u64);
}

fn write_word(out: &mut BytesMut, mark: u8, word: u64) {
    let mut digits = itoa::Buffer::new();
    out.extend_from_slice(&[mark]);
    out.extend_from_slice(digits.format(word).as_bytes());
    out.extend_from_slice(b"\r\n");
}
