//! The scheduler beside a store: what it goes on with, what is to be written, and what has been.

use super::messages::Flush;
use super::{Scheduler, now};
use crate::engine::cluster::EngineEvent;
use crate::engine::restored::Restored;
use crate::metrics::Metrics;
use crate::proto::{Code, Failure};
use crate::store::{Commit, Committed, ErrorKind, Journal, KeptAnswer, StoreError, StoredJob};
use actix::prelude::*;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::Relaxed;
use std::time::SystemTime;
use tokio::sync::oneshot;

/// Makes a job of an earlier process again, of its request.
pub type Rebuild = Box<dyn Fn(StoredJob) -> Restored>;

/// The way to the store, and what is to be written there.
pub(super) struct StoreLink {
    pub(super) rebuild: Rebuild,
    pub(super) journal: Journal,
    pub(super) writer: Recipient<Commit>,
    pub(super) written: Option<oneshot::Sender<()>>,
    /// The latest failure that was logged, until a batch is written.
    pub(super) failure: Option<StoreError>,
}

impl Scheduler {
    /// The same scheduler with a store: it goes on with these jobs, gives out no ID up to `last` again, and has
    /// `writer` write what changes. After a panic it goes on with what `rebuild` makes of each.
    pub fn with_store(
        mut self,
        writer: Recipient<Commit>,
        jobs: Vec<Restored>,
        last: u64,
        answers: BTreeMap<String, KeptAnswer>,
        rebuild: Rebuild,
    ) -> Self {
        let mut journal = Journal::new();
        for record in self.answers.load(answers) {
            journal.push(record);
        }
        let now = now();
        self.table.set_time(now, SystemTime::now().into());
        self.table.restore(jobs, last, now);
        self.has_stored_jobs = true;
        self.store = Some(StoreLink {
            rebuild,
            journal,
            writer,
            written: None,
            failure: None,
        });
        self
    }

    /// Keeps an answer across restarts, unless more of them wait for the store than it may have to write.
    pub(super) fn keep_for_good(&mut self, answer: KeptAnswer) {
        match &mut self.store {
            Some(link) if link.journal.takes_answers() => {
                let records = self.answers.store(answer);
                records.into_iter().for_each(|record| link.journal.push(record));
            }
            Some(_) => {}
            None => drop(self.answers.store(answer)),
        }
    }

    /// Where the store was, if it is not there any more.
    pub(super) fn lost_store(&self) -> Option<String> {
        let link = self.store.as_ref().filter(|link| link.is_replaced());
        link.map(|_| self.metrics.store().place)
    }

    /// Hands the store what is to be written, unless it is writing already: what comes meanwhile shares the next batch.
    pub(super) fn write(&mut self, context: &mut Context<Self>) {
        let Some(link) = &mut self.store else {
            return;
        };
        for record in self.table.take_records() {
            link.journal.push(record);
        }
        let now = now();
        if let Some((error, refused)) = link.journal.fail_overdue(|| self.metrics.store().place, now) {
            link.fails(&error, &self.metrics);
            self.table.withdraw(refused, &unwritten(&error), now);
            self.send();
        }
        // Also of jobs that end meanwhile: nobody knows when the store comes to them.
        let overdue = self
            .store
            .as_ref()
            .and_then(|link| link.journal.overdue())
            .map(cancelled);
        if let Some(failure) = overdue
            && self.table.fail_ends(&failure, now)
        {
            self.send();
        }
        let Some(link) = &mut self.store else {
            return;
        };
        if let Some(batch) = link.journal.next_batch(now) {
            let reply = context.address().recipient();
            link.writer.do_send(Commit { batch, reply });
        }
        if link.journal.is_settled()
            && let Some(written) = link.written.take()
        {
            let _ = written.send(());
        }
    }
}

impl StoreLink {
    /// Logs and shows a failure, unless it is the one that was.
    fn fails(&mut self, error: &StoreError, metrics: &Metrics) {
        if self.failure.as_ref() != Some(error) {
            tracing::error!(%error, "the store cannot be written: submits are refused until it can");
            self.failure = Some(error.clone());
            let shown = error.to_string();
            metrics.set_store(|store| {
                store.failure = shown;
                store.is_replaced = self.is_replaced();
            });
        }
    }

    /// Whether the files of the store are not there any more.
    fn is_replaced(&self) -> bool {
        let failure = self.failure.as_ref();
        failure.is_some_and(|failure| failure.kind == ErrorKind::Replaced)
    }
}

/// The failure of a submit that the store does not take.
pub(super) fn unwritten(error: &StoreError) -> Failure {
    Failure::new(Code::Store, format!("the job is not taken in: {error}; retry-ms=1000"))
}

/// The failure of a cancel that the store does not take.
fn cancelled(error: &StoreError) -> Failure {
    let text = format!("it is cancelled, but that is not on disk: {error}; it goes on if the daemon ends before it is");
    Failure::new(Code::Store, text)
}

impl Handler<Committed> for Scheduler {
    type Result = ();

    fn handle(&mut self, Committed { batch, result }: Committed, context: &mut Self::Context) {
        self.handle_by("the store's answer", context, |this| {
            let now = now();
            let Some(link) = &mut this.store else {
                return;
            };
            let failure = result.as_ref().err().map(unwritten);
            let cancelled = result.as_ref().err().map(cancelled);
            match &result {
                Err(error) => link.fails(error, &this.metrics),
                Ok(()) if link.failure.take().is_some() => {
                    tracing::info!("the store can be written again");
                    this.metrics.set_store(|store| {
                        store.failure.clear();
                        store.is_replaced = false;
                    });
                }
                _ => {}
            }
            if let (Some(cluster), Ok(())) = (&mut this.cluster, &result) {
                cluster.events.push(EngineEvent::Committed(batch.clone()));
            }
            let settled = link.journal.settle(batch, result, now);
            this.table.acknowledge(settled.acknowledged, now);
            this.table.ends_settled(settled.ended, cancelled.as_ref(), now);
            this.table.counted(settled.counted, now);
            if let Some(failure) = failure {
                this.table.withdraw(settled.refused, &failure, now);
            }
        });
    }
}

impl Handler<Flush> for Scheduler {
    type Result = ();

    fn handle(&mut self, Flush { written }: Flush, context: &mut Self::Context) {
        self.handle_by("the end", context, |this| {
            this.metrics
                .states
                .unstored
                .store(this.table.unstored() as u64, Relaxed);
            match &mut this.store {
                Some(link) => link.written = Some(written),
                None => drop(written.send(())),
            }
        });
    }
}
