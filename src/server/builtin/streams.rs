//! Streams: requests that send rows, and the credit of each. Knows no socket.

use super::engine_link::EngineLink;
use super::replies::Replies;
use crate::engine::{ROWS_GRANTED, RequestId};
use crate::server::Shared;

/// Streaming plans of a session that may send rows, and so hold memory, at once. The others wait for one of them to
/// end.
const MAX_STREAMS: usize = 2;

/// The requests of a connection that send rows.
#[derive(Default)]
pub(super) struct Streams(Vec<Stream>);

/// A request that sends rows, and how many it may send before it is granted more.
struct Stream {
    id: RequestId,
    is_plan: bool,
    granted: usize,
}

impl Streams {
    /// One more. Gives the rows that it may send at once.
    pub(super) fn begin(&mut self, id: RequestId, is_plan: bool, replies: &Replies) -> usize {
        let is_streaming = |stream: &&Stream| stream.is_plan && replies.may_stream(stream.id);
        let has_room = !is_plan || self.0.iter().filter(is_streaming).count() < MAX_STREAMS;
        let may_send = replies.may_stream(id) && has_room;
        let granted = if may_send { ROWS_GRANTED } else { 0 };
        self.0.push(Stream { id, is_plan, granted });
        granted
    }

    /// Rows of a request have come. True if the request is a stream.
    pub(super) fn record_rows(&mut self, id: RequestId, rows: usize) -> bool {
        let stream = self.0.iter_mut().find(|stream| stream.id == id);
        match stream {
            Some(stream) => {
                stream.granted = stream.granted.saturating_sub(rows);
                true
            }
            None => false,
        }
    }

    /// True if there are none.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The request is over.
    #[inline]
    pub(super) fn end(&mut self, id: RequestId) {
        self.0.retain(|stream| stream.id != id);
    }

    /// Everything written is with the client: the streams whose turn it is may send more.
    #[inline]
    pub(super) fn grant(&mut self, replies: &Replies, engine: &EngineLink, shared: &Shared) {
        let mut plans = 0;
        for stream in self.0.iter_mut().filter(|stream| replies.may_stream(stream.id)) {
            plans += usize::from(stream.is_plan);
            if stream.granted > 0 || (stream.is_plan && plans > MAX_STREAMS) {
                continue;
            }
            stream.granted = ROWS_GRANTED;
            engine.grant(stream.id, ROWS_GRANTED, shared);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{ReplyFormat, Tag};

    #[test]
    fn two_plans_send_at_once_and_the_others_wait_but_for_what_is_no_plan() {
        let (mut replies, mut streams) = (
            Replies::new(crate::engine::ClientId(1), Default::default()),
            Streams::default(),
        );
        let granted: Vec<usize> = [("a", true), ("b", true), ("c", true), ("d", false)]
            .map(|(tag, is_plan)| {
                let format = ReplyFormat {
                    tag: Tag::parse(tag),
                    ..ReplyFormat::default()
                };
                let id = replies.open(Default::default(), &format, true);
                streams.begin(id, is_plan, &replies)
            })
            .into();
        assert_eq!(granted, [ROWS_GRANTED, ROWS_GRANTED, 0, ROWS_GRANTED]);
    }

    #[test]
    fn rows_of_a_request_that_has_ended_are_no_stream() {
        let (mut replies, mut streams) = (
            Replies::new(crate::engine::ClientId(1), Default::default()),
            Streams::default(),
        );
        let id = replies.open(Default::default(), &ReplyFormat::default(), true);
        assert_eq!(streams.begin(id, true, &replies), ROWS_GRANTED);
        assert!(streams.record_rows(id, 10));
        assert_eq!(streams.0[0].granted, ROWS_GRANTED - 10);
        streams.end(id);
        assert!(!streams.record_rows(id, 10));
    }
}
