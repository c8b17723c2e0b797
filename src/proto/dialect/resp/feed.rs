//! The replies to `MONITOR`: `+OK`, then each row of the verb `monitor` as Redis has it, so that its clients can take
//! it apart. Knows how these rows are written, and nothing of who writes them.
//!
//! `+SECONDS [0 ADDRESS:PORT] "WORD" "WORD"`, where other than TCP has `unix:NAME` in place of the address, and words
//! escape `"` and `\`.

use super::super::write_printable;
use super::encoding::write_final;
use crate::proto::Tag;
use crate::proto::format::{Dialect, ReplyFormat};
use crate::proto::reply::{Final, Interim};
use bytes::BytesMut;
use std::time::UNIX_EPOCH;

/// Each row leaves alone, as a simple string.
pub(super) struct Feed;

impl Dialect for Feed {
    fn name(&self) -> &'static str {
        "RESP feed"
    }

    fn is_strict(&self) -> bool {
        false
    }

    fn write_final(&self, out: &mut BytesMut, _: &ReplyFormat, rows: Option<&[String]>, reply: &Final) {
        write_rows(out, rows.unwrap_or_default());
        write_final(out, false, None, reply);
    }

    fn write_interim(&self, out: &mut BytesMut, _: Option<&Tag>, interim: &Interim) {
        if let Interim::Rows(rows) = interim {
            write_rows(out, rows);
        }
    }
}

fn write_rows(out: &mut BytesMut, rows: &[String]) {
    for row in rows {
        out.extend_from_slice(b"+");
        write_printable(out, as_redis(row).as_deref().unwrap_or(row));
        out.extend_from_slice(b"\r\n");
    }
}

/// A row as Redis has it; `None` if it is none that is about a request.
fn as_redis(row: &str) -> Option<String> {
    if row.starts_with("lost=") {
        // It has no time, and no client.
        return Some(format!("0.000000 [0 unix:primed] \"{row}\""));
    }
    let (head, request) = row.split_once(" request=")?;
    let mut words = head.split(' ');
    let at = humantime::parse_rfc3339(words.next()?.strip_prefix("at=")?).ok()?;
    let since = at.duration_since(UNIX_EPOCH).ok()?;
    let address = words.find_map(|word| word.strip_prefix("address="))?;
    let unix = if address.contains(':') { "" } else { "unix:" };
    let mut text = format!("{}.{:06} [0 {unix}{address}]", since.as_secs(), since.subsec_micros());
    for word in request.split(' ') {
        text.push_str(" \"");
        for c in word.chars() {
            if matches!(c, '"' | '\\') {
                text.push('\\');
            }
            text.push(c);
        }
        text.push('"');
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::as_redis;

    #[test]
    fn a_row_is_as_redis_has_it() {
        for (row, text) in [
            (
                "at=2026-11-28T06:50:00.023456Z client=7 address=127.0.0.1:50312 user=ann request=@a pi 1e16 progress=1s",
                Some(r#"1795848600.023456 [0 127.0.0.1:50312] "@a" "pi" "1e16" "progress=1s""#),
            ),
            (
                r#"at=2026-11-28T06:50:00.5Z client=0 address=process user=- request=a"\ request=b"#,
                Some(r#"1795848600.500000 [0 unix:process] "a\"\\" "request=b""#),
            ),
            ("lost=812", Some(r#"0.000000 [0 unix:primed] "lost=812""#)),
            ("OK", None),
            ("at=soon client=1 address=x user=- request=y", None),
        ] {
            assert_eq!(as_redis(row).as_deref(), text, "{row}");
        }
    }
}
