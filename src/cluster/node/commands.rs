//! What the rules want done: over the connection, whose outcome comes back to the node, or at the engine. Decides
//! nothing.

use super::subscriptions::{Bucket, seen};
use super::{Node, NodeEvent};
use crate::cluster::entry::{answer_to_bytes, digest};
use crate::cluster::links::{LIMIT, Links};
use crate::cluster::member::{Command, EngineNotice, EntryKind, Input};
use crate::engine::{ClusterEvent, Scheduler};
use crate::store::JobId;
use actix::prelude::*;
use async_nats::jetstream::kv;

/// Does what is to be done over the connection.
pub(super) fn carry_out(command: Command, links: Links, me: Addr<Node>) {
    match command {
        Command::Put {
            serial,
            job,
            kind,
            revision,
            bytes,
        } => {
            tokio::spawn(async move {
                let (_, store) = bucket(&links, kind);
                let written = Links::put(store, &job.to_string(), revision, bytes).await;
                me.do_send(NodeEvent::Member(Input::Written(job, serial, written)));
            });
        }
        Command::Read(job, entry) => {
            tokio::spawn(async move {
                if let Some(input) = read_again(&links, job, entry).await {
                    me.do_send(NodeEvent::Member(input));
                }
            });
        }
        Command::Forget(job) => {
            tokio::spawn(async move {
                let removed = links.forget(job).await;
                me.do_send(NodeEvent::Member(Input::Removed(job, removed)));
            });
        }
        Command::Clear(job) => {
            tokio::spawn(async move { links.clear(job).await });
        }
        Command::Save(checkpoint) => {
            tokio::spawn(async move {
                let saved = links.save(&checkpoint).await;
                me.do_send(NodeEvent::Member(Input::Saved(checkpoint.job, saved)));
            });
        }
        Command::Load(job) => {
            tokio::spawn(async move {
                let loaded = links.load(job).await;
                me.do_send(NodeEvent::Member(Input::Loaded(job, loaded)));
            });
        }
        Command::Share(answer) => {
            let key = format!("{:016x}", digest(answer.title.as_bytes()));
            let bytes = answer_to_bytes(&answer);
            tokio::spawn(async move { tokio::time::timeout(LIMIT, links.answers.put(key, bytes.into())).await });
        }
        Command::Notify(_) => {}
    }
}

/// Where entries of this kind are.
const fn bucket(links: &Links, kind: EntryKind) -> (Bucket, &kv::Store) {
    match kind {
        EntryKind::Job => (Bucket::Jobs, &links.jobs),
        EntryKind::Owner => (Bucket::Owners, &links.owners),
    }
}

/// An entry as it is now; `None` if that is not known.
async fn read_again(links: &Links, job: JobId, kind: EntryKind) -> Option<Input> {
    let (bucket, store) = bucket(links, kind);
    let read = tokio::time::timeout(LIMIT, store.entry(job.to_string())).await;
    match read.ok()?.ok()? {
        Some(entry) => seen(bucket, &entry),
        None => Some(Input::Absent(job, kind)),
    }
}

/// Informs the engine.
pub(super) fn notify(scheduler: &Addr<Scheduler>, notice: EngineNotice) {
    let event = match notice {
        EngineNotice::Away(job, node) => {
            tracing::debug!(job = %job.submission.job, node, "another node works on a job");
            ClusterEvent::Away {
                job: Box::new(job),
                node,
            }
        }
        EngineNotice::Ended(job, end) => ClusterEvent::Ended(Box::new((job, end))),
        EngineNotice::EndShared(job) => ClusterEvent::EndShared(job),
        EngineNotice::NotCancelled(job) => ClusterEvent::NotCancelled(job),
        EngineNotice::TakenOver(job) => {
            let done = job.checkpoint.as_ref().map_or(0.0, |checkpoint| checkpoint.progress);
            tracing::info!(job = %job.submission.job, done, "goes on with a job of another node");
            ClusterEvent::TakenOver(Box::new(job))
        }
        EngineNotice::Forgotten(job) => ClusterEvent::Forgotten(job),
        EngineNotice::Answer(answer) => ClusterEvent::Answer(Box::new(answer)),
    };
    scheduler.do_send(event);
}
