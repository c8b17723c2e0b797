//! The lanes of workers, the names of lanes and workers, and how far bulk work is cut ahead. Plain data; knows no
//! worker.

/// The kinds of workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    /// First slices, at normal priority.
    Express,
    /// All further slices: in a daemon with clients, where no other thread wants the core.
    Bulk,
    /// The same where others want all cores: workers at the lowest priority that still has a share.
    Reserve,
    /// Blocking code of a lane of its own, at the priority of the reserve.
    External(LaneId),
}

/// Names a worker: its lane, its place in the lane, and which thread in that place it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WorkerId {
    pub(super) lane: Lane,
    pub(super) index: usize,
    pub(super) generation: u64,
}

/// Names a lane of external tasks among those of an engine.
pub(super) type LaneId = usize;

/// Slices that are cut ahead while all of these bulk workers are busy: one that is done finds its next slice while the
/// scheduler takes in its report. Half as many as workers, for reports are taken in one by one, and what is cut is not
/// given to another any more.
pub(super) const fn ahead(workers: usize) -> usize {
    workers.div_ceil(2)
}
