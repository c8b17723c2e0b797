//! How replies look in lines. Knows values, not where they come from.

use super::super::{write_fmt, write_printable};
use crate::proto::format::{Dialect, ReplyFormat};
use crate::proto::reply::{Final, Interim};
use crate::proto::{Tag, Value};
use bytes::BytesMut;
use std::fmt;

impl Default for &'static dyn Dialect {
    fn default() -> Self {
        &Lines
    }
}

/// A reply a line; those with tags may overtake, rows leave when they are there.
pub(super) struct Lines;

impl Dialect for Lines {
    fn name(&self) -> &'static str {
        "lines"
    }

    fn is_strict(&self) -> bool {
        false
    }

    fn write_final(&self, out: &mut BytesMut, format: &ReplyFormat, rows: Option<&[String]>, reply: &Final) {
        let tag = format.tag.as_ref();
        write_rows(out, tag, rows.unwrap_or_default());
        let reply = match reply {
            Final::Reply(reply) => reply,
            Final::Encoded(bytes) => return out.extend_from_slice(bytes),
        };
        if let Ok(Value::Facts(facts)) = reply {
            for (key, value) in facts {
                write_tag(out, tag);
                out.extend_from_slice(b"= ");
                write_printable(out, key);
                out.extend_from_slice(b"=");
                write_printable(out, value);
                out.extend_from_slice(b"\n");
            }
        }
        write_tag(out, tag);
        match reply {
            Ok(value) if format.is_bare => write_value(out, value),
            Ok(Value::Nothing | Value::Facts(_)) => out.extend_from_slice(b"OK"),
            Ok(value) => {
                out.extend_from_slice(b"OK ");
                let begins = out.len();
                write_value(out, value);
                // An empty list of factors leaves no space after OK.
                if out.len() == begins {
                    out.truncate(begins - 1);
                }
            }
            Err(failure) => {
                out.extend_from_slice(b"ERR ");
                out.extend_from_slice(failure.code.as_str().as_bytes());
                out.extend_from_slice(b" :");
                write_printable(out, &failure.text);
            }
        }
        out.extend_from_slice(b"\n");
    }

    fn write_interim(&self, out: &mut BytesMut, tag: Option<&Tag>, interim: &Interim) {
        match interim {
            Interim::Rows(rows) => write_rows(out, tag, rows),
            Interim::Progress { .. } | Interim::Stalled(_) => {
                write_tag(out, tag);
                write_fmt(out, format_args!("* {}\n", interim.words()));
            }
        }
    }
}

/// Writes rows, a line each.
fn write_rows(out: &mut BytesMut, tag: Option<&Tag>, rows: &[String]) {
    for row in rows {
        write_tag(out, tag);
        out.extend_from_slice(b"= ");
        write_printable(out, row);
        out.extend_from_slice(b"\n");
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
        Value::Nothing | Value::Facts(_) => {}
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
        Value::Text(text) => write_printable(out, text),
    }
}

impl fmt::Display for Value {
    /// As a line has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = BytesMut::new();
        write_value(&mut out, self);
        f.write_str(&String::from_utf8_lossy(&out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Code, Failure};
    use std::time::Duration;

    fn encoded(tag: Option<&str>, is_bare: bool, reply: Result<Value, Failure>) -> String {
        let mut out = BytesMut::new();
        let format = ReplyFormat {
            tag: tag.and_then(Tag::parse),
            is_bare,
            ..ReplyFormat::default()
        };
        Lines.write_final(&mut out, &format, None, &Final::Reply(reply));
        String::from_utf8(out.to_vec()).expect("replies are ASCII")
    }

    #[test]
    fn final_lines_are_encoded_as_documented() {
        assert_eq!(encoded(None, false, Ok(Value::from(15_485_863))), "OK 15485863\n");
        assert_eq!(encoded(None, true, Ok(Value::from(1_299_709))), "1299709\n");
        assert_eq!(encoded(Some("b"), false, Ok(Value::Truth(false))), "@b OK no\n");
        assert_eq!(encoded(None, false, Ok(Value::Nothing)), "OK\n");
        assert_eq!(encoded(None, false, Ok(Value::Numbers(vec![]))), "OK\n");
        assert_eq!(
            encoded(None, false, Ok(Value::Numbers(vec![2u8.into(), 3u8.into()]))),
            "OK 2 3\n"
        );
        assert_eq!(
            encoded(Some("a"), false, Ok(Value::Facts(vec![("jobs".into(), "3".into())]))),
            "@a = jobs=3\n@a OK\n"
        );
        assert_eq!(
            encoded(
                None,
                false,
                Ok(Value::Facts(vec![("store".into(), "/a\nOK b\u{e9}".into())]))
            ),
            "= store=/a?OK b?\nOK\n"
        );
        assert_eq!(
            encoded(Some("a"), false, Err(Failure::new(Code::Internal, "two\nlines"))),
            "@a ERR internal :two?lines\n"
        );
    }

    #[test]
    fn interim_lines_are_encoded_as_documented() {
        let encoded = |interim| {
            let mut out = BytesMut::new();
            Lines.write_interim(&mut out, Tag::parse("a").as_ref(), &interim);
            String::from_utf8(out.to_vec()).expect("interim lines are ASCII")
        };
        let eta = Some(Duration::from_secs(18));
        assert_eq!(
            encoded(Interim::Progress {
                done: 0.4139,
                eta,
                stage: Some("sieve relations=61%".into()),
            }),
            "@a * pct=41.3 eta=18s stage=sieve relations=61%\n"
        );
        assert_eq!(
            encoded(Interim::Progress {
                done: 1.0,
                eta: None,
                stage: None
            }),
            "@a * pct=99.9\n"
        );
        assert_eq!(encoded(Interim::Stalled(Duration::from_secs(12))), "@a * stalled=12s\n");
        assert_eq!(
            encoded(Interim::Rows(vec!["101 103".into(), "107".into()])),
            "@a = 101 103\n@a = 107\n"
        );
    }
}
