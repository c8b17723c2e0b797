//! Where one reply ends and whether it is an error, whatever server sends it. Knows no socket and keeps no reply.
//!
//! Lines: one line a reply; what `primed` sends before it (`= ` rows, `* ` progress) is no reply; `ERR` and `-` begin
//! errors. RESP: one value a reply, with all its elements; pushed values are no replies.

use super::mix::Encoding;

/// Of an unfinished line, as much as is kept: the beginning says what the line is.
const KEPT: usize = 256;

/// Cuts what a server sends into replies.
#[derive(Debug)]
pub(super) struct Replies {
    encoding: Encoding,
    /// The beginning of a line whose end has not come yet.
    begun: Vec<u8>,
    /// Bytes of a bulk string that are still to come.
    skip: usize,
    /// Values of the present reply that are still to come.
    left: usize,
    /// The current value is a push, not a reply.
    is_pushed: bool,
}

impl Replies {
    pub(super) const fn new(encoding: Encoding) -> Self {
        Self {
            encoding,
            begun: Vec::new(),
            skip: 0,
            left: 0,
            is_pushed: false,
        }
    }

    /// How many replies end in these bytes. Lines that are errors go to `on_error`.
    pub(super) fn take(&mut self, mut bytes: &[u8], mut on_error: impl FnMut(&[u8])) -> u64 {
        let mut ended = 0;
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = &bytes[skipped..];
                ended += u64::from(self.is_complete());
                continue;
            }
            let Some(end) = memchr::memchr(b'\n', bytes) else {
                let room = KEPT.saturating_sub(self.begun.len());
                self.begun.extend_from_slice(&bytes[..room.min(bytes.len())]);
                break;
            };
            let (line, rest) = (&bytes[..end], &bytes[end + 1..]);
            bytes = rest;
            if self.begun.is_empty() {
                ended += u64::from(self.take_line(line, &mut on_error));
            } else {
                let mut whole = std::mem::take(&mut self.begun);
                whole.extend_from_slice(line);
                ended += u64::from(self.take_line(&whole, &mut on_error));
                whole.clear();
                self.begun = whole;
            }
        }
        ended
    }

    /// True if a reply ends with this line.
    fn take_line(&mut self, line: &[u8], on_error: &mut impl FnMut(&[u8])) -> bool {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match self.encoding {
            Encoding::Line => match line {
                [b'=' | b'*', b' ', ..] => false,
                [b'E', b'R', b'R', b' ', ..] | [b'-', b'A'..=b'Z', ..] => {
                    on_error(line);
                    true
                }
                _ => true,
            },
            Encoding::Resp => self.take_value(line, on_error),
        }
    }

    /// True if the value that this line begins (and, but for strings, ends) completes a reply.
    fn take_value(&mut self, line: &[u8], on_error: &mut impl FnMut(&[u8])) -> bool {
        let Some((sign, rest)) = line.split_first() else {
            return false;
        };
        if self.left == 0 {
            self.left = 1;
            self.is_pushed = *sign == b'>';
        }
        // Null, encoded as a length of -1, has no content.
        let length = || {
            std::str::from_utf8(rest)
                .ok()
                .and_then(|text| text.parse::<usize>().ok())
        };
        self.left -= 1;
        match sign {
            b'-' => on_error(line),
            b'$' | b'=' => self.skip = length().map_or(0, |length| length.saturating_add(2)),
            b'!' => {
                self.skip = length().map_or(0, |length| length.saturating_add(2));
                on_error(b"-BULK-ERROR");
            }
            b'*' | b'~' | b'>' => self.expect(length().unwrap_or(0)),
            b'%' => self.expect(length().unwrap_or(0).saturating_mul(2)),
            // An attribute comes before the value it belongs to.
            b'|' => self.expect(length().unwrap_or(0).saturating_mul(2).saturating_add(1)),
            _ => {}
        }
        self.is_complete()
    }

    /// The server says that this many more values belong to the reply.
    const fn expect(&mut self, values: usize) {
        self.left = self.left.saturating_add(values);
    }

    /// True if no reply is incomplete; a push may be.
    const fn is_complete(&self) -> bool {
        self.left == 0 && self.skip == 0 && !self.is_pushed
    }
}

/// The code of an error line: the first word after `ERR` or `-`.
pub(super) fn error_code(line: &[u8]) -> &str {
    let text = std::str::from_utf8(line).unwrap_or("?");
    let words = text
        .strip_prefix("ERR ")
        .or_else(|| text.strip_prefix('-'))
        .unwrap_or(text);
    words.split(' ').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replies and error codes, whatever the pieces in which the bytes come.
    fn heard(encoding: Encoding, text: &str) -> (u64, Vec<String>) {
        let mut heard = Vec::new();
        for piece in 1..=text.len() {
            let mut replies = Replies::new(encoding);
            let mut codes = Vec::new();
            let mut count = 0;
            for bytes in text.as_bytes().chunks(piece) {
                count += replies.take(bytes, |line| codes.push(error_code(line).to_owned()));
            }
            heard.push((count, codes));
        }
        assert!(heard.windows(2).all(|pair| pair[0] == pair[1]), "{heard:?}");
        heard.swap_remove(0)
    }

    #[test]
    fn one_final_line_is_one_reply() {
        let text = "OK 5\n= 2 3 5\n* pct=1.0\nOK 3\n+PONG\r\n-5\nERR busy :later\n7919\n-WRONGTYPE no\r\n";
        let codes = vec!["busy".to_owned(), "WRONGTYPE".into()];
        assert_eq!(heard(Encoding::Line, text), (7, codes));
    }

    #[test]
    fn one_value_with_all_its_elements_is_one_resp_reply() {
        let text = concat!(
            "+OK\r\n",
            ":5\r\n",
            "$5\r\na\r\nbc\r\n",
            "$-1\r\n",
            "$0\r\n\r\n",
            "*2\r\n:1\r\n*2\r\n$1\r\nx\r\n_\r\n",
            "*0\r\n",
            "%1\r\n+key\r\n:1\r\n",
            ">2\r\n+progress\r\n+41.3\r\n",
            "-BUSY later\r\n",
            "|1\r\n+ttl\r\n:3\r\n#t\r\n",
            "*-1\r\n",
        );
        assert_eq!(heard(Encoding::Resp, text), (11, vec!["BUSY".to_owned()]));
    }

    #[test]
    fn lengths_that_no_reply_has_end_no_program() {
        for sign in ["$", "!", "*", "%", "|"] {
            let text = format!("*2\r\n{sign}{}\r\n", u64::MAX);
            assert_eq!(heard(Encoding::Resp, &text).0, 0, "{sign}");
        }
    }

    #[test]
    fn a_line_without_end_is_not_kept() {
        let mut replies = Replies::new(Encoding::Line);
        for _ in 0..1000 {
            assert_eq!(replies.take(&[b'x'; 1000], |_| ()), 0);
        }
        assert!(replies.begun.capacity() <= 2 * KEPT);
        assert_eq!(replies.take(b"\n", |_| ()), 1);
    }
}
