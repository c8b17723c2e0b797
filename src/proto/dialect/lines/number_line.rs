//! The line that is sent most: a verb and one number. Read without its words: to take them apart takes longer than most
//! of the answers.

use super::Framing;
use crate::proto::format::ReplyFormat;
use crate::proto::parse_word;
use crate::proto::request::NumberRequest;

/// The longest such line, in bytes.
const LONGEST: usize = 40;

impl Framing {
    /// The line that the input begins with, if it is a verb in lower case, a blank and up to 19 digits, and ends in a
    /// line feed: the request that
    /// [`next`](Self::next) would find.
    #[inline]
    pub(in crate::proto) fn number_request<'a>(&self, input: &'a [u8]) -> Option<NumberRequest<'a>> {
        let input = &input[..input.len().min(LONGEST + 1)];
        let letters = input.iter().position(|byte| !byte.is_ascii_lowercase())?;
        let (verb, rest) = input.split_at(letters);
        let rest = rest.strip_prefix(b" ").filter(|_| letters > 0)?;
        let digits = memchr::memchr(b'\n', rest)?;
        let length = letters + 1 + digits;
        if length > self.limit || self.skipping {
            return None;
        }
        Some(NumberRequest {
            format: ReplyFormat::default(),
            verb,
            number: parse_word(&rest[..digits])?,
            used: length + 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::dialect::{Decoded, Frame};
    use proptest::prelude::*;

    const LIMIT: usize = 16;

    fn found(input: &str) -> Option<NumberRequest<'_>> {
        Framing::new(1_000).number_request(input.as_bytes())
    }

    #[test]
    fn a_verb_and_a_number_are_read_whatever_follows() {
        for (verb, digits) in [("isprime", "7"), ("n", "0007"), ("next", "9999999999999999999")] {
            for followed in ["", "isprime 8\n", "\n", "\0", "x"] {
                let input = format!("{verb} {digits}\n{followed}");
                let expected = NumberRequest {
                    format: ReplyFormat::default(),
                    verb: verb.as_bytes(),
                    number: digits.parse().expect("it is short"),
                    used: verb.len() + digits.len() + 2,
                };
                assert_eq!(found(&input), Some(expected), "{input:?}");
            }
        }
    }

    #[test]
    fn other_lines_are_left_to_the_parser() {
        for line in [
            "",
            "\n",
            "isprime 7",
            "isprime\n",
            "isprime \n",
            " 7\n",
            "7\n",
            "isprime  7\n",
            "isprime 7 \n",
            "isprime 7\r\n",
            "isprime 7 8\n",
            "isprime\t7\n",
            "Isprime 7\n",
            "@a isprime 7\n",
            "isprime 1e6\n",
            "isprime -7\n",
            "isprime 7\0\n",
            "isprime 12345678901234567890\n",
            "isprime 00000000000000000007\n",
            "isprime \u{660}\n",
            "averbofthirtyfourlettersandnotmore 7777777\n",
        ] {
            assert_eq!(found(line), None, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_found_is_what_the_framing_finds(line in "[a-z]{0,8}[ a@#*]?[ 0-9:/]{0,21}\r?\n?.{0,3}") {
            let mut framing = Framing::new(LIMIT);
            let Some(NumberRequest { format, verb, number, used }) = framing.number_request(line.as_bytes()) else {
                return Ok(());
            };
            let Decoded { used: expected, frame: Some(Frame::Request(request)) } = framing.next(line.as_bytes(), false) else {
                return Err(TestCaseError::fail("it is no request"));
            };
            prop_assert_eq!(used, expected);
            prop_assert_eq!(request.verb.as_bytes(), verb);
            prop_assert_eq!(request.args.len(), 1);
            prop_assert_eq!(request.args[0].parse::<u64>(), Ok(number));
            prop_assert!(request.options.is_empty() && request.format == format);
        }
    }
}
