//! Frames: bytes in, lines out, with a bound on what is held. Knows nothing of what a line means.

use bytes::{Buf, Bytes, BytesMut};
use std::io;
use tokio_util::codec::Decoder;

/// What was found between two line feeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A line, without its LF or CRLF.
    Line(Bytes),
    /// A line longer than the limit. It was skipped; its bytes are gone.
    TooLong,
    /// The input ended behind these bytes, without a line feed.
    Unfinished(Bytes),
}

/// Cuts input into lines of bounded length.
///
/// Holds no bytes itself. A line that is too long is reported once, as soon as the limit is passed, and then skipped as it
/// arrives, so that a peer cannot make anybody hold more than `limit` bytes and one read.
#[derive(Clone, Debug)]
pub struct LineCodec {
    limit: usize,
    /// How much of the buffer has been searched already, so that a line which dribbles in is not searched over again.
    searched: usize,
    skipping: bool,
}

impl LineCodec {
    /// A codec for lines of at most `limit` bytes, the line feed not counted.
    pub const fn new(limit: usize) -> Self {
        Self {
            limit,
            searched: 0,
            skipping: false,
        }
    }

    /// True while the rest of a line that was too long is being skipped.
    pub const fn is_skipping(&self) -> bool {
        self.skipping
    }
}

impl Decoder for LineCodec {
    type Item = Frame;
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Frame>> {
        loop {
            let found = memchr::memchr(b'\n', &buffer[self.searched..]).map(|at| self.searched + at);
            match found {
                Some(end) if self.skipping => {
                    buffer.advance(end + 1);
                    self.skipping = false;
                    self.searched = 0;
                }
                Some(end) => {
                    let mut line = buffer.split_to(end + 1);
                    self.searched = 0;
                    line.truncate(end);
                    if line.last() == Some(&b'\r') {
                        line.truncate(end - 1);
                    }
                    let too_long = line.len() > self.limit;
                    return Ok(Some(if too_long {
                        Frame::TooLong
                    } else {
                        Frame::Line(line.freeze())
                    }));
                }
                None if self.skipping => {
                    buffer.clear();
                    self.searched = 0;
                    return Ok(None);
                }
                // One more than the limit may still be the CR of a line that fits.
                None if buffer.len() > self.limit + 1 => {
                    buffer.clear();
                    self.searched = 0;
                    self.skipping = true;
                    return Ok(Some(Frame::TooLong));
                }
                None => {
                    self.searched = buffer.len();
                    return Ok(None);
                }
            }
        }
    }

    fn decode_eof(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Frame>> {
        if let Some(frame) = self.decode(buffer)? {
            return Ok(Some(frame));
        }
        self.searched = 0;
        let rest = buffer.split();
        Ok((!rest.is_empty()).then(|| match rest.len() > self.limit {
            true => Frame::TooLong,
            false => Frame::Unfinished(rest.freeze()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frames(limit: usize, pieces: &[&[u8]]) -> Vec<Frame> {
        let mut codec = LineCodec::new(limit);
        let mut buffer = BytesMut::new();
        let mut frames = Vec::new();
        for piece in pieces {
            buffer.extend_from_slice(piece);
            while let Some(frame) = codec.decode(&mut buffer).expect("the codec never fails") {
                frames.push(frame);
            }
        }
        while let Some(frame) = codec.decode_eof(&mut buffer).expect("the codec never fails") {
            frames.push(frame);
        }
        frames
    }

    fn line(text: &str) -> Frame {
        Frame::Line(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn lines_end_with_lf_or_crlf() {
        assert_eq!(frames(9, &[b"a\r\n\nb\n"]), [line("a"), line(""), line("b")]);
    }

    #[test]
    fn a_line_that_is_too_long_is_reported_once_and_the_next_is_read() {
        assert_eq!(
            frames(3, &[b"12345678", b"90", b"12\nok\n"]),
            [Frame::TooLong, line("ok")]
        );
        assert_eq!(frames(3, &[b"1234\nok\n"]), [Frame::TooLong, line("ok")]);
        assert_eq!(frames(3, &[b"123\r\nok\n"]), [line("123"), line("ok")]);
        assert_eq!(frames(3, &[b"1234"]), [Frame::TooLong]);
    }

    #[test]
    fn input_that_ends_in_a_line_is_unfinished() {
        assert_eq!(
            frames(9, &[b"a\nbc"]),
            [line("a"), Frame::Unfinished(Bytes::from_static(b"bc"))]
        );
    }

    proptest! {
        #[test]
        fn any_split_of_the_input_gives_the_same_frames(
            input in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(b'a'), any::<u8>()], 0..80),
            cuts in proptest::collection::vec(0usize..80, 0..6),
        ) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(input.len())).collect();
            cuts.sort_unstable();
            let mut pieces = Vec::new();
            let mut from = 0;
            for cut in cuts {
                pieces.push(&input[from..cut]);
                from = cut;
            }
            pieces.push(&input[from..]);
            prop_assert_eq!(frames(7, &pieces), frames(7, &[&input]));
        }
    }
}
