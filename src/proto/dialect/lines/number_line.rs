//! The line that is sent most: a verb and one number. Read without a request: to take words apart takes longer than most of the answers.

use crate::proto::parse_word;

/// A line of a verb in lower case, a blank and up to 19 decimal digits: what [`parse_line`](super::parse_line) reads too, as a request with this one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberLine<'a> {
    /// The verb.
    pub verb: &'a [u8],
    /// The number.
    pub number: u64,
    /// Bytes of the line without its line feed.
    pub length: usize,
}

impl<'a> NumberLine<'a> {
    /// The longest such line, in bytes.
    const LONGEST: usize = 40;

    /// The line that the input begins with, if it is such a line and ends in a line feed.
    #[inline]
    pub fn first(input: &'a [u8]) -> Option<Self> {
        let input = &input[..input.len().min(Self::LONGEST + 1)];
        let letters = input.iter().position(|byte| !byte.is_ascii_lowercase())?;
        let (verb, rest) = input.split_at(letters);
        let rest = rest.strip_prefix(b" ").filter(|_| letters > 0)?;
        let digits = memchr::memchr(b'\n', rest)?;
        Some(Self {
            verb,
            number: parse_word(&rest[..digits])?,
            length: letters + 1 + digits,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ParsedLine, parse_line};
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_verb_and_a_number_are_read_whatever_follows() {
        for (verb, digits) in [("isprime", "7"), ("n", "0007"), ("next", "9999999999999999999")] {
            for followed in ["", "isprime 8\n", "\n", "\0", "x"] {
                let input = format!("{verb} {digits}\n{followed}");
                let expected = NumberLine {
                    verb: verb.as_bytes(),
                    number: digits.parse().expect("it is short"),
                    length: verb.len() + 1 + digits.len(),
                };
                assert_eq!(NumberLine::first(input.as_bytes()), Some(expected), "{input:?}");
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
            assert_eq!(NumberLine::first(line.as_bytes()), None, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_the_parser_reads(line in "[a-z]{0,8}[ a@#*]?[ 0-9:/]{0,21}\r?\n?.{0,3}") {
            if let Some(NumberLine { verb, number, length }) = NumberLine::first(line.as_bytes()) {
                let bytes = line.as_bytes();
                prop_assert_eq!(bytes[length], b'\n');
                let Ok(ParsedLine::Request(request)) = parse_line(&bytes[..length]) else {
                    return Err(TestCaseError::fail("it is no request"));
                };
                prop_assert_eq!(request.verb.as_bytes(), verb);
                prop_assert_eq!(request.args.len(), 1);
                prop_assert_eq!(request.args[0].parse::<u64>(), Ok(number));
                prop_assert!(request.options.is_empty() && request.format == crate::proto::ReplyFormat::default());
            }
        }
    }
}
