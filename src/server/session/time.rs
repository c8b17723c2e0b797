//! How long a client may keep its session waiting, and what is done then.

use super::Session;
use crate::server::pace::WATCH_INTERVAL;
use actix::prelude::*;
use tokio::time::Instant;

impl Session {
    /// Keeps the timers that this state of affairs needs, and no others.
    pub(super) fn keep_time(&mut self, context: &mut Context<Self>) {
        let is_idle = self.unsent.is_empty() && !self.lifecycle.is_owed() && self.conversation.in_flight() == 0;
        self.lifecycle
            .note(!self.unsent.is_empty(), is_idle, &self.shared.limits);
        if let Some(due) = self.lifecycle.due(&self.shared.limits)
            && self.timer.as_ref().is_none_or(|(at, _)| due < *at)
        {
            self.set_timer(due, context);
        }
        let cannot_tell = !self.may_read() && self.conversation.in_flight() > 0;
        if cannot_tell && !self.is_watching {
            self.is_watching = true;
            context.run_later(WATCH_INTERVAL, Self::look_for_client);
        }
    }

    fn set_timer(&mut self, due: Instant, context: &mut Context<Self>) {
        if let Some((_, handle)) = self.timer.take() {
            context.cancel_future(handle);
        }
        let handle = context.run_later(due.saturating_duration_since(Instant::now()), Self::look_for_stall);
        self.timer = Some((due, handle));
    }

    fn look_for_stall(&mut self, context: &mut Context<Self>) {
        self.timer = None;
        if self
            .lifecycle
            .due(&self.shared.limits)
            .is_some_and(|due| due <= Instant::now())
        {
            tracing::debug!(session = self.id, phase = ?self.lifecycle.phase, "the client kept us waiting for too long; closing");
            return context.stop();
        }
        self.keep_time(context);
    }

    /// Not reading, a session does not notice that its client is gone; and after the end of input there is nothing to read.
    fn look_for_client(&mut self, context: &mut Context<Self>) {
        self.is_watching = false;
        if self.socket.is_gone() {
            return context.stop();
        }
        self.keep_time(context);
    }
}
