//! Whose turn it is: clients share the CPU by what they have used, then jobs within a client. Knows no plan and no clock.
//!
//! Every client, and within a client every job, has a virtual time: the CPU time it was given. The one that has had least is
//! next. A client that comes (back) starts at the present virtual time, so that no turns are saved up by being away, and nobody is
//! punished for having used the machine while it was idle.

use super::message::ClientId;
use rustc_hash::FxHashMap;
use std::collections::{BTreeSet, VecDeque};

/// A turn is charged this much when it is given, and what it really took when it is over.
pub(super) const CHARGE_US: u64 = 2_000;

/// Microseconds of CPU time.
type VirtualTime = u64;

/// Jobs that are ready to be given a slice.
#[derive(Debug)]
pub(super) struct Fair<J> {
    clients: FxHashMap<ClientId, Share<J>>,
    /// Clients with a ready job, the one that has had least first.
    order: BTreeSet<(VirtualTime, ClientId)>,
    now: VirtualTime,
    ready: usize,
}

#[derive(Debug)]
struct Share<J> {
    time: VirtualTime,
    /// Ready jobs, the one that has had least first; equal ones in the order of their names. New ones come last: most are put at the end.
    jobs: VecDeque<(VirtualTime, J)>,
    now: VirtualTime,
}

impl<J> Default for Fair<J> {
    fn default() -> Self {
        Self {
            clients: FxHashMap::default(),
            order: BTreeSet::new(),
            now: 0,
            ready: 0,
        }
    }
}

impl<J: Ord + Copy> Fair<J> {
    /// Makes a job ready. `used` is what [`next`](Self::next) said when it was last handed out, plus its cost since; 0 for a new one.
    pub(super) fn push(&mut self, client: ClientId, job: J, used: VirtualTime) {
        let now = self.now;
        let share = self.clients.entry(client).or_insert_with(|| Share {
            time: now,
            jobs: VecDeque::new(),
            now: 0,
        });
        if share.jobs.is_empty() {
            share.time = share.time.max(now);
            self.order.insert((share.time, client));
        }
        let rank = (used.max(share.now), job);
        let at = match share.jobs.back() {
            Some(last) if *last > rank => share.jobs.partition_point(|other| *other < rank),
            _ => share.jobs.len(),
        };
        share.jobs.insert(at, rank);
        self.ready += 1;
    }

    /// The job whose turn it is, left where it is.
    pub(super) fn first(&self) -> Option<J> {
        let (_, client) = self.order.first()?;
        let (_, job) = self.clients.get(client)?.jobs.front()?;
        Some(*job)
    }

    /// Takes out the job whose turn it is, with the virtual time it has had within its client.
    pub(super) fn next(&mut self) -> Option<(ClientId, J, VirtualTime)> {
        let &(time, client) = self.order.first()?;
        let share = self.clients.get_mut(&client)?;
        let (used, job) = share.jobs.pop_front()?;
        self.now = self.now.max(time);
        share.now = share.now.max(used);
        if share.jobs.is_empty() {
            self.order.remove(&(time, client));
        }
        self.ready -= 1;
        Some((client, job, used))
    }

    /// Notes that a client was given CPU time; `cost` is negative to take back what was charged in advance.
    pub(super) fn charge(&mut self, client: ClientId, cost: i64) {
        let Some(share) = self.clients.get_mut(&client) else {
            return;
        };
        let before = share.time;
        share.time = share.time.saturating_add_signed(cost);
        if share.jobs.is_empty() {
            return;
        }
        if self.order.remove(&(before, client)) {
            self.order.insert((share.time, client));
        }
    }

    /// Takes a job out, if it is ready. `used` as it was pushed or later: the search is by name.
    pub(super) fn remove(&mut self, client: ClientId, job: J) {
        let Some(share) = self.clients.get_mut(&client) else {
            return;
        };
        let before = share.jobs.len();
        share.jobs.retain(|(_, other)| *other != job);
        if share.jobs.len() < before {
            self.ready -= 1;
            if share.jobs.is_empty() {
                self.order.remove(&(share.time, client));
            }
        }
    }

    /// Forgets a client that has no ready job and will not come back.
    pub(super) fn forget(&mut self, client: ClientId) {
        if self.clients.get(&client).is_some_and(|share| share.jobs.is_empty()) {
            self.clients.remove(&client);
        }
    }

    /// How many jobs are ready.
    pub(super) const fn len(&self) -> usize {
        self.ready
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// Hands out `turns` slices of 1000 us and counts them by job. Jobs stay ready.
    fn play(fair: &mut Fair<u32>, turns: usize) -> HashMap<u32, usize> {
        let mut turns_of = HashMap::new();
        for _ in 0..turns {
            let (client, job, used) = fair.next().expect("jobs stay ready");
            fair.charge(client, 1000);
            fair.push(client, job, used + 1000);
            *turns_of.entry(job).or_default() += 1;
        }
        turns_of
    }

    #[test]
    fn twelve_jobs_of_one_client_get_as_much_as_one_job_of_another() {
        let mut fair = Fair::default();
        for job in 0..12 {
            fair.push(ClientId(1), job, 0);
        }
        fair.push(ClientId(2), 100, 0);
        let turns_of = play(&mut fair, 240);
        assert_eq!(turns_of[&100], 120);
        assert!((0..12).all(|job| turns_of[&job] == 10));
    }

    #[test]
    fn who_comes_later_starts_at_the_present_and_not_at_zero() {
        let mut fair = Fair::default();
        fair.push(ClientId(1), 1, 0);
        play(&mut fair, 1000);
        fair.push(ClientId(2), 2, 0);
        let turns_of = play(&mut fair, 100);
        assert!(turns_of[&1].abs_diff(turns_of[&2]) <= 2, "{turns_of:?}");
    }

    #[test]
    fn who_used_an_idle_machine_is_not_punished() {
        let mut fair = Fair::default();
        fair.push(ClientId(1), 1, 0);
        fair.push(ClientId(2), 2, 0);
        fair.remove(ClientId(2), 2);
        play(&mut fair, 1000);
        fair.push(ClientId(2), 2, 0);
        let turns_of = play(&mut fair, 100);
        assert!(turns_of[&1].abs_diff(turns_of[&2]) <= 2, "{turns_of:?}");
    }

    #[test]
    fn new_jobs_of_a_client_wait_their_turn_in_order() {
        let mut fair = Fair::default();
        for job in [3, 1, 2] {
            fair.push(ClientId(7), job, 0);
        }
        let order: Vec<u32> = std::iter::from_fn(|| fair.next().map(|(_, job, _)| job)).collect();
        assert_eq!(order, [1, 2, 3]);
        assert_eq!(fair.len(), 0);
    }
}
