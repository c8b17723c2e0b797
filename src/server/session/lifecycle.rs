//! The lifecycle of a connection, in any protocol: its phase, and how long its client may keep the session waiting.
//! Knows no request.

use crate::server::Limits;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// How long a client may take to close its half after the session has closed its own.
const LINGER: Duration = Duration::from_secs(2);
/// The same while the daemon shuts down: long enough for a reply on its way, too short to delay a restart noticeably.
const LINGER_WHILE_DRAINING: Duration = Duration::from_millis(300);

/// How far a connection has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::server) enum Phase {
    /// Reads requests.
    #[default]
    Open,
    /// Reads no more; answers what it has accepted.
    Finishing,
    /// Everything is answered and the session's half closed; waits for the client to close its own.
    Lingering,
    /// Over.
    Closed,
}

/// How far a connection has come, and since when its client keeps it waiting.
#[derive(Debug, Default)]
pub(in crate::server) struct Lifecycle {
    phase: Phase,
    input_ended: bool,
    is_draining: bool,
    /// The client owes the rest of a request.
    owes_request: bool,
    /// Since when it may send that: not while the session itself does not read.
    request_since: Option<Instant>,
    /// Since when the client takes nothing of what is written for it.
    unsent_since: Option<Instant>,
    /// Since when nothing is under way, or since when the session waits for the client to close.
    idle_since: Option<Instant>,
}

// Sessions pass here at every turn: a call for each, into another unit of code, costs 6 % of a short request.
impl Lifecycle {
    #[inline]
    pub(in crate::server) const fn phase(&self) -> Phase {
        self.phase
    }

    /// True while requests are read.
    #[inline]
    pub(in crate::server) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// True once the client has sent everything it will send.
    #[inline]
    pub(in crate::server) const fn input_ended(&self) -> bool {
        self.input_ended
    }

    /// True while the daemon shuts down.
    #[inline]
    pub(in crate::server) const fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// The client has closed its half.
    #[inline]
    pub(super) const fn end_input(&mut self) {
        self.input_ended = true;
    }

    /// The daemon shuts down.
    pub(super) const fn drain(&mut self) {
        self.is_draining = true;
    }

    /// Nothing more is read; what was accepted is answered.
    #[inline]
    pub(in crate::server) fn finish(&mut self) {
        if self.is_open() {
            self.phase = Phase::Finishing;
        }
    }

    /// The session has closed its half. The connection is over if the client has closed its own already.
    pub(super) fn linger(&mut self) {
        self.phase = match self.input_ended {
            true => Phase::Closed,
            false => Phase::Lingering,
        };
        self.idle_since = Some(Instant::now());
    }

    /// The client has closed its half too.
    pub(super) const fn close(&mut self) {
        self.phase = Phase::Closed;
    }

    /// The client has completed a request.
    #[inline]
    pub(in crate::server) const fn record_request(&mut self) {
        self.request_since = None;
        self.idle_since = None;
    }

    /// Notes whether the client owes the rest of a request.
    #[inline]
    pub(in crate::server) fn owes(&mut self, holds: bool) {
        self.owes_request = holds;
        keep(&mut self.request_since, holds);
    }

    /// Whether the client owes the rest of a request.
    #[inline]
    pub(super) const fn owes_request(&self) -> bool {
        self.owes_request
    }

    /// Notes whether the session reads. While it does not, the client cannot send what it owes, and it has its whole
    /// time for that once the session reads again.
    #[inline]
    pub(super) fn reads(&mut self, holds: bool) {
        keep(&mut self.request_since, self.owes_request && holds);
    }

    /// The client has taken some of what is written for it.
    #[inline]
    pub(super) const fn record_write(&mut self) {
        self.unsent_since = None;
        self.idle_since = None;
    }

    /// Notes how the session stands at the end of a turn: whether bytes are unsent, and whether requests are under way.
    /// The clock is read only if that is new.
    #[inline]
    pub(super) fn note(&mut self, has_unsent: bool, is_answered: bool, limits: &Limits) {
        keep(&mut self.unsent_since, has_unsent);
        let is_idle = is_answered && !has_unsent && !self.owes_request;
        let is_limited = is_idle && limits.idle_timeout.is_some();
        keep(&mut self.idle_since, is_limited || self.phase == Phase::Lingering);
    }

    /// When the client will have kept the session waiting for too long: for the rest of a request (also while it takes
    /// replies to others), to take what is written, to close, or for a request.
    #[inline]
    pub(super) fn due(&self, limits: &Limits) -> Option<Instant> {
        let owed_since = [self.request_since, self.unsent_since].into_iter().flatten().min();
        let (since, patience) = match owed_since {
            _ if self.phase == Phase::Lingering && self.is_draining => (self.idle_since?, LINGER_WHILE_DRAINING),
            _ if self.phase == Phase::Lingering => (self.idle_since?, LINGER),
            Some(since) => (since, limits.stall_timeout),
            None => (self.idle_since?, limits.idle_timeout?),
        };
        since.checked_add(patience)
    }
}

#[inline]
fn keep(since: &mut Option<Instant>, holds: bool) {
    *since = holds.then(|| since.unwrap_or_else(Instant::now));
}

/// The one timer of a session. It is set only for an earlier moment than it has: a later one is looked up when it
/// fires.
#[derive(Debug, Default)]
pub(super) struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Ready if the timer has fired, perhaps before `next`; else it wakes the task at that moment, or before it.
    pub(super) fn poll(&mut self, next: Instant, task: &mut Context<'_>) -> Poll<()> {
        let is_set = self.0.as_ref().is_some_and(|sleep| sleep.deadline() <= next);
        if is_set && self.0.as_ref().is_some_and(|sleep| !sleep.is_elapsed()) {
            return Poll::Pending;
        }
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(next)));
        if !is_set {
            sleep.as_mut().reset(next);
        }
        // Whatever the budget of the task: a timer that is polled when this is used up is set, but wakes nobody.
        let fired = pin!(unconstrained(sleep.as_mut())).poll(task);
        if fired.is_ready() {
            self.0 = None;
        }
        fired
    }

    /// It is set and has not fired.
    pub(super) fn is_waiting(&self) -> bool {
        self.0.as_ref().is_some_and(|sleep| !sleep.is_elapsed())
    }

    /// Gives the timer up if it has fired and nothing waits for it.
    #[inline]
    pub(super) fn drop_if_fired(&mut self) {
        if self.0.as_ref().is_some_and(|sleep| sleep.is_elapsed()) {
            self.0 = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use tokio::task::coop::{consume_budget, has_budget_remaining};

    fn limits() -> Limits {
        Limits {
            idle_timeout: Some(Duration::from_secs(100)),
            stall_timeout: Duration::from_secs(30),
            ..Limits::default()
        }
    }

    /// How long from now until the client will have kept the session waiting for too long.
    fn patience(lifecycle: &Lifecycle, limits: &Limits) -> Option<u64> {
        let due = lifecycle.due(limits)?;
        Some(due.saturating_duration_since(Instant::now()).as_secs())
    }

    fn in_stopped_time(run: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build();
        runtime.expect("a runtime can be built").block_on(run);
    }

    #[test]
    fn half_a_request_and_unsent_replies_are_waited_for_from_the_earlier_of_both() {
        in_stopped_time(async {
            let (limits, mut lifecycle) = (limits(), Lifecycle::default());
            lifecycle.owes(true);
            lifecycle.note(false, true, &limits);
            assert_eq!(patience(&lifecycle, &limits), Some(30));
            tokio::time::advance(Duration::from_secs(10)).await;
            lifecycle.owes(true);
            lifecycle.note(true, true, &limits);
            assert_eq!(patience(&lifecycle, &limits), Some(20));
            lifecycle.record_request();
            assert_eq!(patience(&lifecycle, &limits), Some(30));
            lifecycle.record_write();
            lifecycle.note(false, false, &limits);
            assert_eq!(patience(&lifecycle, &limits), None, "it works on a request");
        });
    }

    #[test]
    fn the_time_for_the_rest_of_a_request_runs_only_while_the_session_reads() {
        in_stopped_time(async {
            let (limits, mut lifecycle) = (limits(), Lifecycle::default());
            lifecycle.owes(true);
            tokio::time::advance(Duration::from_secs(10)).await;
            lifecycle.reads(false);
            lifecycle.note(false, false, &limits);
            assert_eq!(patience(&lifecycle, &limits), None);
            tokio::time::advance(Duration::from_secs(100)).await;
            lifecycle.reads(true);
            lifecycle.note(false, false, &limits);
            assert_eq!(patience(&lifecycle, &limits), Some(30));
            lifecycle.owes(false);
            lifecycle.reads(true);
            assert_eq!(patience(&lifecycle, &limits), None);
        });
    }

    #[test]
    fn a_session_rests_only_when_nothing_is_under_way_and_there_is_a_limit() {
        in_stopped_time(async {
            let (limits, mut lifecycle) = (limits(), Lifecycle::default());
            lifecycle.note(false, true, &limits);
            assert_eq!(patience(&lifecycle, &limits), Some(100));
            lifecycle.note(false, true, &Limits::default());
            assert_eq!(patience(&lifecycle, &Limits::default()), None);
        });
    }

    #[test]
    fn who_has_closed_is_waited_for_two_seconds_and_less_in_a_drain() {
        in_stopped_time(async {
            let (limits, mut lifecycle) = (limits(), Lifecycle::default());
            lifecycle.finish();
            lifecycle.linger();
            assert_eq!(lifecycle.phase(), Phase::Lingering);
            lifecycle.note(false, true, &limits);
            assert_eq!(lifecycle.due(&limits), Some(Instant::now() + LINGER));
            lifecycle.drain();
            assert_eq!(lifecycle.due(&limits), Some(Instant::now() + LINGER_WHILE_DRAINING));
            let mut other = Lifecycle::default();
            other.end_input();
            other.linger();
            assert_eq!(other.phase(), Phase::Closed, "the client has closed first");
            other.finish();
            assert_eq!(other.phase(), Phase::Closed, "no way leads back");
        });
    }

    #[test]
    fn a_timer_that_is_set_when_its_task_may_do_no_more_fires_too() {
        in_stopped_time(async {
            let due = Instant::now() + Duration::from_secs(5);
            let mut timer = Timer::default();
            let fired = poll_fn(|task| {
                while has_budget_remaining() {
                    let _ = pin!(consume_budget()).poll(task);
                }
                timer.poll(due, task)
            });
            let fired = tokio::time::timeout(Duration::from_secs(60), fired).await;
            assert!(fired.is_ok(), "the timer has not woken its task");
            assert_eq!(Instant::now(), due);
        });
    }

    #[test]
    fn the_timer_is_set_forward_at_once_and_backward_when_it_fires() {
        in_stopped_time(async {
            let begun = Instant::now();
            let after = |seconds| begun + Duration::from_secs(seconds);
            let mut timer = Timer::default();
            poll_fn(|task| {
                assert!(timer.poll(after(20), task).is_pending());
                assert!(timer.poll(after(5), task).is_pending());
                Poll::Ready(())
            })
            .await;
            poll_fn(|task| timer.poll(after(9), task)).await;
            assert_eq!(
                begun.elapsed().as_secs(),
                5,
                "it fires at the earliest moment it was set for"
            );
            poll_fn(|task| timer.poll(after(9), task)).await;
            assert_eq!(begun.elapsed().as_secs(), 9);
            timer.drop_if_fired();
            assert!(timer.0.is_none());
        });
    }
}
