//! The thread that writes: a sync actor with a store of its own, so that no session and no scheduler ever waits for a
//! disk.

use super::Store;
use super::error::{ErrorKind, StoreError};
use super::record::Record;
use crate::caught::{Panicked, caught};
use actix::{Actor, Addr, Handler, Message, Recipient, SyncArbiter, SyncContext};
use std::sync::{Mutex, PoisonError};

/// Writes batches, one after the other.
pub struct Writer {
    /// None on a thread that took the place of one that died, which had the store: every batch fails.
    store: Option<Box<dyn Store>>,
}

impl Writer {
    /// Starts the thread.
    pub fn start(store: Box<dyn Store>) -> Addr<Self> {
        let store = Mutex::new(Some(store));
        SyncArbiter::start(1, move || Self {
            store: store.lock().unwrap_or_else(PoisonError::into_inner).take(),
        })
    }

    fn commit(&mut self, batch: &[Record]) -> Result<(), StoreError> {
        let fault = || StoreError::new(ErrorKind::Internal, "store", "the thread that writes has panicked");
        let store = self.store.as_mut().ok_or_else(fault)?;
        // A panic costs this batch; a store rolls back what it had begun.
        caught(|| store.commit(batch)).unwrap_or_else(|Panicked| Err(fault()))
    }
}

impl Actor for Writer {
    type Context = SyncContext<Self>;
}

/// Asks for a batch to be written.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Commit {
    /// What is to be written.
    pub batch: Vec<Record>,
    /// Where the outcome goes.
    pub reply: Recipient<Committed>,
}

/// What became of a batch.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Committed {
    /// The batch.
    pub batch: Vec<Record>,
    /// Whether it is on disk.
    pub result: Result<(), StoreError>,
}

impl Handler<Commit> for Writer {
    type Result = ();

    fn handle(&mut self, Commit { batch, reply }: Commit, _: &mut Self::Context) {
        let result = self.commit(&batch);
        reply.do_send(Committed { batch, result });
    }
}

/// Asks for the store to be closed, after all batches before. Another process may open it then.
#[derive(Message)]
#[rtype(result = "()")]
pub struct CloseWriter;

impl Handler<CloseWriter> for Writer {
    type Result = ();

    fn handle(&mut self, CloseWriter: CloseWriter, _: &mut Self::Context) {
        self.store = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::record::tests::submission;
    use crate::store::{Contents, JobId, MemoryStore};
    use actix::{Context, System};
    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

    struct Listener(UnboundedSender<Committed>);

    impl Actor for Listener {
        type Context = Context<Self>;
    }

    impl Handler<Committed> for Listener {
        type Result = ();

        fn handle(&mut self, committed: Committed, _: &mut Self::Context) {
            let _ = self.0.send(committed);
        }
    }

    /// Panics on an empty batch.
    struct Fragile(MemoryStore);

    impl Store for Fragile {
        fn recover(&mut self) -> Result<Contents, StoreError> {
            self.0.recover()
        }

        fn commit(&mut self, batch: &[Record]) -> Result<(), StoreError> {
            assert!(!batch.is_empty(), "an empty batch");
            self.0.commit(batch)
        }
    }

    #[test]
    fn batches_are_written_in_order_and_a_panic_costs_one_of_them() {
        System::new().block_on(async {
            let disk = MemoryStore::new();
            let writer = Writer::start(Box::new(Fragile(disk.clone())));
            let (sender, mut outcomes) = unbounded_channel();
            let listener = Listener(sender).start();
            let first = vec![Record::Submitted(submission(1))];
            let third = vec![Record::Submitted(submission(2)), Record::Forgotten(JobId(1))];
            for batch in [first.clone(), Vec::new(), third.clone()] {
                writer.do_send(Commit {
                    batch,
                    reply: listener.clone().recipient(),
                });
            }
            for (batch, fails) in [(first, None), (Vec::new(), Some(ErrorKind::Internal)), (third, None)] {
                let outcome = outcomes.recv().await.expect("every batch has an outcome");
                assert_eq!(
                    (outcome.batch, outcome.result.err().map(|error| error.kind)),
                    (batch, fails)
                );
            }
            assert!(disk.contents().jobs.into_keys().eq([JobId(2)]));
        });
    }
}
