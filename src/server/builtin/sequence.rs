//! Sequence: untagged requests about submitted jobs take effect in the order in which they were sent. Plain data; knows
//! no socket.
//!
//! `result 1` waits for an answer, so what follows it without a tag waits too: as with Redis, a pipeline does what its
//! lines would do one by one. Questions have no effect on submitted jobs, are computed side by side, and pass this by.

use crate::engine::{Ask, RequestId};
use crate::verb::Terms;
use std::collections::VecDeque;

/// A request that the engine is to be sent.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) id: RequestId,
    pub(super) ask: Ask,
    /// The client saw no jobs but its own when the request was taken in; it may log out before the request is sent.
    pub(super) is_confined: bool,
    pub(super) terms: Terms,
}

/// The untagged requests of a connection about submitted jobs; nothing while there are none.
#[derive(Default)]
pub(super) struct Sequence(Option<Box<Queue>>);

#[derive(Default)]
struct Queue {
    /// The request under way that the others wait for.
    running: Option<RequestId>,
    waiting: VecDeque<Pending>,
    /// The bytes of those that wait.
    bytes: usize,
}

impl Sequence {
    /// Gives the request back if it may take effect now; else it waits.
    pub(super) fn begin(&mut self, request: Pending) -> Option<Pending> {
        let queue = self.0.get_or_insert_default();
        queue.bytes += bytes(&request);
        queue.waiting.push_back(request);
        self.next()
    }

    /// A request is answered: those after it may take effect, as [`next`](Self::next) gives them.
    #[inline]
    pub(super) fn end(&mut self, id: RequestId) {
        let Some(queue) = &mut self.0 else {
            return;
        };
        if queue.running == Some(id) {
            queue.running = None;
        }
        // It may be answered before it takes effect, if the engine has failed.
        queue.waiting.retain(|request| {
            let is_another = request.id != id;
            queue.bytes -= if is_another { 0 } else { bytes(request) };
            is_another
        });
        if queue.running.is_none() && queue.waiting.is_empty() {
            self.0 = None;
        }
    }

    /// The bytes that waiting requests hold.
    #[inline]
    pub(super) fn bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |queue| queue.bytes)
    }

    /// True if there are none.
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The next request that may take effect.
    #[inline]
    pub(super) fn next(&mut self) -> Option<Pending> {
        let queue = self.0.as_mut().filter(|queue| queue.running.is_none())?;
        let next = queue.waiting.pop_front()?;
        queue.bytes -= bytes(&next);
        if waits(&next.ask) {
            queue.running = Some(next.id);
        } else if queue.waiting.is_empty() {
            self.0 = None;
        }
        Some(next)
    }
}

/// The bytes of a request that waits: a job has its words, its question and its title.
fn bytes(request: &Pending) -> usize {
    match &request.ask {
        Ask::Submit(submit) => 3 * submit.request.len(),
        _ => 0,
    }
}

/// True if the request is about submitted jobs.
pub(super) const fn is_about_jobs(ask: &Ask) -> bool {
    !matches!(ask, Ask::Answer(_))
}

/// True if what follows has to wait for the answer. The others take effect as the engine takes them in, in their order,
/// also those that it answers later, when the store has them.
const fn waits(ask: &Ask) -> bool {
    matches!(ask, Ask::Watch(_) | Ask::Result(_) | Ask::List(_))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::JobId;

    fn begin(sequence: &mut Sequence, id: u64, ask: Ask) -> Option<u64> {
        let pending = Pending {
            id: RequestId(id),
            ask,
            is_confined: false,
            terms: Terms::default(),
        };
        sequence.begin(pending).map(|request| request.id.0)
    }

    fn next(sequence: &mut Sequence) -> Option<u64> {
        sequence.next().map(|request| request.id.0)
    }

    #[test]
    fn what_follows_a_request_that_waits_begins_when_that_is_answered() {
        let mut sequence = Sequence::default();
        assert_eq!(begin(&mut sequence, 1, Ask::Cancel(JobId(5))), Some(1));
        assert_eq!(
            begin(&mut sequence, 2, Ask::Result(JobId(6))),
            Some(2),
            "a cancel takes effect as it is taken in"
        );
        assert_eq!(begin(&mut sequence, 3, Ask::Cancel(JobId(6))), None);
        assert_eq!(begin(&mut sequence, 4, Ask::List(Vec::new())), None);
        assert_eq!(begin(&mut sequence, 5, Ask::Cancel(JobId(7))), None);
        sequence.end(RequestId(1));
        assert_eq!(next(&mut sequence), None);
        sequence.end(RequestId(2));
        assert_eq!(
            (next(&mut sequence), next(&mut sequence), next(&mut sequence)),
            (Some(3), Some(4), None)
        );
        sequence.end(RequestId(4));
        assert_eq!((next(&mut sequence), next(&mut sequence)), (Some(5), None));
    }
}
