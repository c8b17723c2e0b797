//! The scheduler and those who work for it: threads of the pool, blocking code, and actors of lanes.

use super::clients::Client;
use super::{Scheduler, now};
use crate::engine::external::{ActorReply, Call, Calls, ExternalPayload, Responder, Token};
use crate::engine::lanes::{Lane, LaneId};
use crate::engine::message::WorkId;
use crate::engine::table::HandedOut;
use crate::engine::task::{Payload, Task};
use crate::engine::text::{fault, no_thread};
use crate::engine::worker::Finished;
use crate::metrics::micros;
use crate::proto::Failure;
use actix::prelude::*;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tokio::sync::mpsc::error::SendError;

/// What an actor says of a call.
#[derive(Message)]
#[rtype(result = "()")]
struct Said {
    work: WorkId,
    what: ActorReply,
}

impl Scheduler {
    /// Starts threads that could not be had before. As long as no plan can be worked on, none is taken in, and those
    /// that are there are given up: nobody knows when there will be a thread.
    pub(super) fn mend_pool(&mut self) {
        self.pool.mend(now());
        if self.pool.has_no_workers() != self.has_no_workers {
            self.has_no_workers = !self.has_no_workers;
            self.table.set_outage(self.has_no_workers.then(no_thread));
            if self.has_no_workers {
                self.table.refuse_plans(&no_thread());
            }
        }
    }

    pub(super) fn hand_out(&mut self) {
        while let free @ 1.. = self.pool.free(Lane::Express) {
            let tasks = self.table.next_express(free);
            #[cfg(test)]
            crate::engine::failpoint::hit();
            if tasks.is_empty() || self.pool.run(Lane::Express, tasks).is_err() {
                break;
            }
        }
        let now = now();
        self.pool.help_bulk(now);
        self.pool.run_queued(now);
        while self.pool.takes_bulk(now)
            && let Some(task) = self.table.next_bulk()
        {
            self.pool.run_bulk(task, now);
        }
    }

    /// Hands out external tasks, as far as their lanes have slots.
    pub(super) fn hand_out_external(&mut self, context: &mut Context<Self>) {
        while let Some(task) = self.table.next_external(|lane| self.pool.takes_external(lane)) {
            let HandedOut {
                work,
                lane,
                client,
                channel,
                payload,
            } = task;
            let spec = self.table.lane_spec(lane);
            match payload {
                ExternalPayload::Blocking(code) => {
                    let task = Task {
                        work,
                        cancel: Arc::default(),
                        payload: Payload::Blocking(code, Token(channel)),
                    };
                    self.pool.open(lane, spec.slots, now());
                    // None is free if the system had no thread for any of them.
                    if self.pool.run(Lane::External(lane), vec![task]).is_err() {
                        self.table.cannot_run(work, no_thread());
                    }
                }
                ExternalPayload::Call(deliver) => {
                    let back = context.address();
                    let back = move |what| back.do_send(Said { work, what });
                    let responder = Responder::new(client.0, channel, Box::new(back));
                    if let Err(failure) = self.call(lane, (deliver, responder)) {
                        self.table.cannot_run(work, failure);
                    }
                }
            }
        }
    }

    /// Gives a call to the host of its lane. A host whose thread has ended, as an actor can end it, is replaced, once a
    /// call: if the next one is gone too, the responder is dropped, which fails the call.
    fn call(&mut self, lane: LaneId, call: Call) -> Result<(), Failure> {
        let Err(SendError(call)) = self.host(lane)?.send(call) else {
            return Ok(());
        };
        let name = self.table.lane_spec(lane).name;
        tracing::error!(
            lane = name,
            "the thread of an actor has ended; a new one takes the call"
        );
        self.hosts.remove(&lane);
        let _ = self.host(lane)?.send(call);
        Ok(())
    }

    /// The host of the actor of a lane, started if it has none.
    fn host(&mut self, lane: LaneId) -> Result<&Calls, Failure> {
        let spec = self.table.lane_spec(lane);
        match self.hosts.entry(lane) {
            Entry::Occupied(host) => Ok(host.into_mut()),
            Entry::Vacant(place) => match spec.actor.as_ref().map(|start| start()) {
                Some(Ok(host)) => Ok(place.insert(host)),
                Some(Err(error)) => {
                    tracing::error!(%error, lane = spec.name, "cannot start the thread of an actor; the call is refused");
                    Err(no_thread())
                }
                None => Err(fault(spec.name)),
            },
        }
    }
}

impl Handler<Finished> for Scheduler {
    type Result = ();

    fn handle(&mut self, finished: Finished, context: &mut Self::Context) {
        let Finished { worker, done, then } = finished;
        let now = now();
        // First of all: a panic in what follows must not cost a worker.
        self.pool.reported(worker, then, &done, now);
        self.metrics.threads_replaced.raise_to(self.pool.replaced());
        self.take_by("a worker's results", context, |this| {
            for done in done {
                this.table.log_slices(worker, &done);
                this.note_slice(worker.lane, &done);
                let slices = done.slices();
                let class = match worker.lane {
                    Lane::External(_) => {
                        this.table.free_slot(done.work, now);
                        &this.metrics.external
                    }
                    Lane::Express => &this.metrics.express,
                    Lane::Bulk | Lane::Reserve => &this.metrics.bulk,
                };
                let cpu_us = micros(done.cpu);
                class.slices.fetch_add(slices, Relaxed);
                class.cpu_us.fetch_add(cpu_us, Relaxed);
                if let Some(client) = this.table.client_of(&done)
                    && let Some(Client { state: Some(state), .. }) = this.clients.get(&client)
                {
                    state.has_used(cpu_us);
                }
                this.table.finished(done, now);
            }
        });
    }
}

impl Handler<Said> for Scheduler {
    type Result = ();

    fn handle(&mut self, Said { work, what }: Said, context: &mut Self::Context) {
        self.handle_by("an actor's answer", context, |this| this.table.said(work, what, now()));
    }
}
