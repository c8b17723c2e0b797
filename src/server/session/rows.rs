//! What comes before a reply: rows, by credit, and progress.

use super::Session;
use crate::engine::{Cancel, Grant, ROWS_GRANTED, RequestId};
use crate::proto::{Code, Failure, Final, Interim};

/// Streaming requests of a session that may send rows, and so hold memory, at once. The others wait for one of them to end.
pub(super) const MAX_STREAMS: usize = 2;

/// A request that sends rows, and how many it may send before it is granted more.
pub(super) struct Stream {
    pub(super) place: RequestId,
    pub(super) granted: usize,
}

impl Session {
    pub(super) fn take_interim(&mut self, place: RequestId, interim: Interim) {
        let limit = self.shared.limits.max_unsent_bytes;
        let Interim::Rows(rows) = &interim else {
            // Progress is dropped for a client that does not read: it would pile up as long as the work goes on.
            if self.unsent.len() < limit {
                self.conversation.interim(place, interim, &mut self.unsent);
            }
            return;
        };
        let stream = self.streams.iter().position(|stream| stream.place == place);
        if let Some(index) = stream {
            let granted = &mut self.streams[index].granted;
            *granted = granted.saturating_sub(rows.len());
        }
        self.conversation.interim(place, interim, &mut self.unsent);
        if let Some(index) = stream
            && self.conversation.rows_held(place) > limit
        {
            // Its dialect needs all rows at once.
            self.streams.remove(index);
            self.shared.scheduler.do_send(Cancel {
                client: self.id,
                request: place,
            });
            self.count(false);
            let text = format!(
                "these rows take more than {limit} bytes, and an array begins with its length: ask for less, or in lines"
            );
            let reply = Final::Reply(Err(Failure::new(Code::TooBig, text)));
            self.conversation.close(place, reply, &mut self.unsent);
        }
    }

    /// Everything written is with the client: those who stream may send more.
    pub(super) fn grant_rows(&mut self) {
        let conversation = &self.conversation;
        let streams = self.streams.iter_mut();
        let turns = streams
            .filter(|stream| conversation.may_stream(stream.place))
            .take(MAX_STREAMS);
        for stream in turns.filter(|stream| stream.granted == 0) {
            stream.granted = ROWS_GRANTED;
            self.shared.scheduler.do_send(Grant {
                client: self.id,
                request: stream.place,
                rows: ROWS_GRANTED,
            });
        }
    }
}
