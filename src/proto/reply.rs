//! Replies as bytes. Knows how a line is spelt, not when it may be sent.

use super::{Failure, Tag, Value};
use bytes::BytesMut;
use std::fmt::{self, Write};
use std::time::Duration;

/// The one final line of a request.
pub type Reply = Result<Value, Failure>;

/// A line before the final one.
#[derive(Clone, Debug, PartialEq)]
pub enum Interim {
    /// How far the work is.
    Progress {
        /// The share of the cost that is done, 0.0..=1.0.
        done: f64,
        /// How long the rest will take, once that can be told.
        eta: Option<Duration>,
    },
    /// Nothing has moved for so long.
    Stalled(Duration),
    /// Rows of data, each without its line feed.
    Rows(Vec<String>),
}

/// Writes a final line. A bare reply to a bare number has no `OK`.
pub(super) fn write_final(out: &mut BytesMut, tag: Option<&Tag>, is_bare: bool, reply: &Reply) {
    write_tag(out, tag);
    match reply {
        Ok(value) if is_bare => write_value(out, value),
        Ok(Value::Nothing) => out.extend_from_slice(b"OK"),
        Ok(value) => {
            out.extend_from_slice(b"OK ");
            write_value(out, value);
        }
        Err(failure) => {
            out.extend_from_slice(b"ERR ");
            out.extend_from_slice(failure.code.as_str().as_bytes());
            out.extend_from_slice(b" :");
            write_words(out, &failure.text);
        }
    }
    // `OK` with an empty list of factors leaves no space behind it.
    if out.last() == Some(&b' ') {
        out.truncate(out.len() - 1);
    }
    out.extend_from_slice(b"\n");
}

/// Writes interim lines.
pub(super) fn write_interim(out: &mut BytesMut, tag: Option<&Tag>, interim: &Interim) {
    match interim {
        Interim::Rows(rows) => write_rows(out, tag, rows),
        Interim::Progress { done, eta } => {
            write_tag(out, tag);
            // Never "100.0" before the answer is there.
            let percent = (done * 1000.0).floor().clamp(0.0, 999.0) / 10.0;
            write_fmt(out, format_args!("* pct={percent:.1}"));
            if let Some(eta) = eta {
                write_fmt(out, format_args!(" eta={}", short_duration(*eta)));
            }
            out.extend_from_slice(b"\n");
        }
        Interim::Stalled(since) => {
            write_tag(out, tag);
            write_fmt(out, format_args!("* stalled={}\n", short_duration(*since)));
        }
    }
}

/// Writes rows, a line each.
pub(super) fn write_rows(out: &mut BytesMut, tag: Option<&Tag>, rows: &[String]) {
    for row in rows {
        write_tag(out, tag);
        out.extend_from_slice(b"= ");
        write_words(out, row);
        out.extend_from_slice(b"\n");
    }
}

/// A duration in one unit and at most three digits: `85ms`, `18s`, `12min`, `3h`, `40d`.
fn short_duration(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{}ms", duration.as_millis()),
        seconds @ 1..120 => format!("{seconds}s"),
        seconds @ 120..7_200 => format!("{}min", seconds / 60),
        seconds @ 7_200..172_800 => format!("{}h", seconds / 3_600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

fn write_tag(out: &mut BytesMut, tag: Option<&Tag>) {
    if let Some(tag) = tag {
        out.extend_from_slice(b"@");
        out.extend_from_slice(tag.as_bytes());
        out.extend_from_slice(b" ");
    }
}

fn write_value(out: &mut BytesMut, value: &Value) {
    match value {
        Value::Nothing => {}
        Value::Truth(yes) => out.extend_from_slice(if *yes { b"yes" } else { b"no" }),
        Value::Number(number) => match u64::try_from(number) {
            Ok(word) => out.extend_from_slice(itoa::Buffer::new().format(word).as_bytes()),
            Err(_) => write_fmt(out, format_args!("{number}")),
        },
        Value::Numbers(numbers) => {
            for (index, number) in numbers.iter().enumerate() {
                if index > 0 {
                    out.extend_from_slice(b" ");
                }
                write_fmt(out, format_args!("{number}"));
            }
        }
        Value::Text(text) => write_words(out, text),
    }
}

impl fmt::Display for Value {
    /// As a reply spells it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = BytesMut::new();
        write_value(&mut out, self);
        f.write_str(&String::from_utf8_lossy(&out))
    }
}

/// Text from anywhere, as one line of printable ASCII: what else it holds becomes `?`.
fn write_words(out: &mut BytesMut, text: &str) {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        out.extend_from_slice(text.as_bytes());
    } else {
        out.extend(
            text.chars()
                .map(|c| if matches!(c, ' '..='~') { c as u8 } else { b'?' }),
        );
    }
}

fn write_fmt(out: &mut BytesMut, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments)
        .expect("a BytesMut grows, so writing to it cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::Code;

    fn spelt(tag: Option<&str>, is_bare: bool, reply: Reply) -> String {
        let mut out = BytesMut::new();
        write_final(&mut out, tag.and_then(Tag::parse).as_ref(), is_bare, &reply);
        String::from_utf8(out.to_vec()).expect("replies are ASCII")
    }

    #[test]
    fn final_lines_are_spelt_as_documented() {
        assert_eq!(spelt(None, false, Ok(Value::from(15_485_863))), "OK 15485863\n");
        assert_eq!(spelt(None, true, Ok(Value::from(1_299_709))), "1299709\n");
        assert_eq!(spelt(Some("b"), false, Ok(Value::Truth(false))), "@b OK no\n");
        assert_eq!(spelt(None, false, Ok(Value::Nothing)), "OK\n");
        assert_eq!(spelt(None, false, Ok(Value::Numbers(vec![]))), "OK\n");
        assert_eq!(
            spelt(None, false, Ok(Value::Numbers(vec![2u8.into(), 3u8.into()]))),
            "OK 2 3\n"
        );
        assert_eq!(
            spelt(Some("a"), false, Err(Failure::new(Code::Internal, "two\nlines"))),
            "@a ERR internal :two?lines\n"
        );
    }

    #[test]
    fn interim_lines_are_spelt_as_documented() {
        let spelt = |interim| {
            let mut out = BytesMut::new();
            write_interim(&mut out, Tag::parse("a").as_ref(), &interim);
            String::from_utf8(out.to_vec()).expect("interim lines are ASCII")
        };
        let eta = Some(Duration::from_secs(18));
        assert_eq!(
            spelt(Interim::Progress { done: 0.4139, eta }),
            "@a * pct=41.3 eta=18s\n"
        );
        assert_eq!(spelt(Interim::Progress { done: 1.0, eta: None }), "@a * pct=99.9\n");
        assert_eq!(spelt(Interim::Stalled(Duration::from_secs(12))), "@a * stalled=12s\n");
        assert_eq!(
            spelt(Interim::Rows(vec!["101 103".into(), "107".into()])),
            "@a = 101 103\n@a = 107\n"
        );
    }
}
