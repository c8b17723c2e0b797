//! The tasks of a connection: each brings the node what others have written or said. Decides nothing.

use super::messages::{PROGRESS_SUBJECT, RECALLED_SUBJECT};
use super::{Node, NodeEvent};
use crate::cluster::ClusterError;
use crate::cluster::entry::{JobEntry, NodeEntry, OwnerEntry, read_answer};
use crate::cluster::links::Links;
use crate::cluster::member::Input;
use crate::cluster::part_worker::node_subject;
use crate::store::JobId;
use actix::prelude::*;
use async_nats::Client;
use async_nats::jetstream::kv;
use futures_util::StreamExt;
use std::collections::BTreeSet;
use std::time::Duration;

/// How long what is shared is not opened again; doubled each time that it is refused, up to [`MAX_PAUSE`].
pub(super) const PAUSE: Duration = Duration::from_secs(1);

/// How long at most.
const MAX_PAUSE: Duration = Duration::from_secs(32);

/// The pause after this number of refusals, one after another.
pub(super) fn pause_after(refusals: u32) -> Duration {
    (PAUSE * 2_u32.pow(refusals.min(5))).min(MAX_PAUSE)
}

/// After this pause it is opened again.
pub(super) fn open_later(me: Addr<Node>, opening: u64, pause: Duration) {
    tokio::spawn(async move {
        tokio::time::sleep(pause).await;
        me.do_send(NodeEvent::Open(opening));
    });
}

/// Brings what other nodes say of parts, and how far their jobs are. If that ends, what is shared is opened again.
pub(super) async fn receive(client: Client, owner: String, name: String, me: Addr<Node>, opening: u64) {
    receive_once(client, owner, name, &me).await;
    tracing::warn!("messages of the cluster are not received any more; opening them again");
    open_later(me, opening, PAUSE);
}

async fn receive_once(client: Client, owner: String, name: String, me: &Addr<Node>) {
    let parts = client.subscribe(node_subject(&owner)).await;
    let (Ok(mut parts), Ok(mut asked), Ok(mut progress), Ok(mut recalled)) = (
        parts,
        client.subscribe(name).await,
        client.subscribe(PROGRESS_SUBJECT).await,
        client.subscribe(RECALLED_SUBJECT).await,
    ) else {
        return;
    };
    loop {
        let happened = tokio::select! {
            message = parts.next() => message.map(|message| NodeEvent::Part(message.payload, message.reply)),
            message = progress.next() => message.map(|message| NodeEvent::Progress(message.payload)),
            message = recalled.next() => message.map(|message| NodeEvent::Recalled(message.payload)),
            message = asked.next() => {
                let Some(message) = message else { return };
                if let Some(reply) = message.reply {
                    let _ = client.publish(reply, owner.clone().into()).await;
                }
                continue;
            }
        };
        let Some(happened) = happened else { return };
        // Not more than it can take: what comes too fast waits at the connection, which lets go of it.
        let _ = me.send(happened).await;
    }
}

/// Brings the entries of all nodes, first those that are there and then each that is written. If that ends, what is
/// shared is opened again: it may have been removed.
pub(super) async fn watch_entries(links: Links, number: Option<u64>, me: Addr<Node>, opening: u64) {
    let watched = watch_once(&links, number, &me).await;
    tracing::warn!(
        ?watched,
        "the entries of the cluster are not seen any more; opening them again"
    );
    open_later(me, opening, PAUSE);
}

async fn watch_once(links: &Links, number: Option<u64>, me: &Addr<Node>) -> Result<(), ClusterError> {
    let buckets = [
        (Bucket::Jobs, &links.jobs),
        (Bucket::Owners, &links.owners),
        (Bucket::Nodes, &links.nodes),
        (Bucket::Answers, &links.answers),
    ];
    let mut watches = Vec::new();
    let (mut missing, mut is_reported) = (BTreeSet::new(), false);
    for (bucket, store) in buckets {
        let values = store.status().await.map_err(ClusterError::refused)?.values();
        if values > 0 {
            missing.insert(bucket);
        }
        let watch = store.watch_with_history(">").await.map_err(ClusterError::refused)?;
        watches.push(watch.map(move |entry| (bucket, entry)));
    }
    // Not more than the node can take: the rest waits at the connection.
    let bring = async |input| me.send(NodeEvent::Member(input)).await.map_err(ClusterError::refused);
    if missing.is_empty() {
        bring(Input::Current).await?;
    }
    let mut all = futures_util::stream::select_all(watches);
    while let Some((bucket, entry)) = all.next().await {
        let entry = entry.map_err(ClusterError::refused)?;
        let is_current = entry.seen_current;
        if let Some(input) = seen(bucket, &entry) {
            bring(input).await?;
        } else if !is_reported && is_job_of(number, bucket, &entry.key) {
            is_reported = true;
            tracing::error!(
                job = entry.key,
                "the entry of a job of this node cannot be read, here and elsewhere: other nodes do not show the job"
            );
        }
        if is_current && missing.remove(&bucket) && missing.is_empty() {
            bring(Input::Current).await?;
        }
    }
    Ok(())
}

/// The buckets whose entries are watched.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bucket {
    Jobs,
    Owners,
    Nodes,
    Answers,
}

/// Whether this is an entry of a job that the node of this number took in.
fn is_job_of(number: Option<u64>, bucket: Bucket, key: &str) -> bool {
    bucket == Bucket::Jobs && number.is_some() && key.parse().ok().map(JobId::node) == number
}

/// What an entry says. `None`: it is of another version, or nobody needs to know.
pub(super) fn seen(bucket: Bucket, entry: &kv::Entry) -> Option<Input> {
    let is_there = entry.operation == kv::Operation::Put;
    let job = || entry.key.parse::<JobId>().ok();
    match bucket {
        Bucket::Jobs if is_there => {
            let read = JobEntry::read(&entry.value)?;
            (read.submission.job == job()?).then_some(Input::JobSeen(job()?, entry.revision, Some(read)))
        }
        Bucket::Jobs => Some(Input::JobSeen(job()?, entry.revision, None)),
        Bucket::Owners if is_there => Some(Input::OwnerSeen(
            job()?,
            entry.revision,
            Some(OwnerEntry::read(&entry.value)?),
        )),
        Bucket::Owners => Some(Input::OwnerSeen(job()?, entry.revision, None)),
        Bucket::Nodes if is_there => {
            let read = NodeEntry::read(&entry.value)?;
            (read.name == entry.key).then_some(Input::NodeSeen(read))
        }
        Bucket::Nodes => Some(Input::NodeLeft(entry.key.clone())),
        Bucket::Answers if is_there => Some(Input::AnswerSeen(read_answer(&entry.value)?)),
        Bucket::Answers => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_of_the_node_in_whose_number_its_key_ends() {
        for (number, bucket, key, is_own) in [
            (Some(457), Bucket::Jobs, "12457", true),
            (Some(457), Bucket::Owners, "12457", false),
            (Some(458), Bucket::Jobs, "12457", false),
            (Some(457), Bucket::Jobs, "x", false),
            (None, Bucket::Jobs, "12457", false),
        ] {
            assert_eq!(is_job_of(number, bucket, key), is_own, "{number:?} {key}");
        }
    }

    #[test]
    fn what_is_refused_again_and_again_is_opened_ever_more_seldom() {
        let pauses = [0, 1, 4, 5, 6, u32::MAX].map(|refusals| pause_after(refusals).as_secs());
        assert_eq!(pauses, [1, 2, 16, 32, 32, 32]);
    }
}
