//! A disk that takes its time: what it was given and has not synced is lost when the daemon crashes.

use crate::store::{Commit, Committed, MemoryStore};
use actix::prelude::*;
use std::time::Duration;

/// Writes batches at the simulation's pace, on the daemon's own thread.
pub(super) struct Disk {
    store: MemoryStore,
    random: fastrand::Rng,
}

impl Disk {
    pub(super) const fn new(store: MemoryStore, random: fastrand::Rng) -> Self {
        Self { store, random }
    }
}

impl Actor for Disk {
    type Context = Context<Self>;
}

impl Handler<Commit> for Disk {
    type Result = ();

    fn handle(&mut self, Commit { batch, reply }: Commit, context: &mut Self::Context) {
        let result = self.store.write(&batch);
        let latency = Duration::from_millis(self.random.u64(1..30));
        context.run_later(latency, move |this, _| {
            this.store.sync();
            reply.do_send(Committed { batch, result });
        });
    }
}
