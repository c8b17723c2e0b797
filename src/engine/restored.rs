//! A job of an earlier process, on its way from the store back into the engine. Plain data.

use super::message::Subject;
use crate::proto::Failure;
use crate::store::StoredJob;

/// A job that the store had at the start.
#[derive(Debug)]
pub struct Restored {
    /// What the store has of it.
    pub stored: StoredJob,
    /// What it asks, made of its request again, with its checkpoint; or why that can no longer be asked. Not looked at
    /// if it has ended.
    pub subject: Result<Subject, Failure>,
}
