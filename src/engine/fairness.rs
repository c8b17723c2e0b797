//! Whose turn it is: accounts share the CPU by what they have used, then clients within an account, then jobs within a
//! client. Knows no plan and no clock.
//!
//! Every account, every client of it and every job of that has a virtual time: the CPU time it was given. The one that
//! has had least is next. One that comes (back) starts at the present virtual time, so that no turns are saved up by
//! being away, and nobody is punished for having used the machine while it was idle. An account may be paused: its jobs
//! keep their order and are not handed out.

use super::message::{Account, ClientId, Payer};
use rustc_hash::FxHashMap;
use std::collections::{BTreeSet, VecDeque};

/// A turn is charged this much when it is given, and what it really took when it is over.
pub(super) const CHARGE_US: u64 = 2_000;

/// Whether an account that has `own` of `all` places of `max` may have one more. Those who took all the room must not
/// lock out the others: an account that has less than an equal share may still have one, up to twice as many in all.
pub(super) const fn has_room(own: usize, all: usize, accounts: usize, max: usize) -> bool {
    all < max || own < max / (accounts + 1) && all < 2 * max
}

/// Microseconds of CPU time.
type VirtualTime = u64;

/// Jobs that are ready to be given a slice.
#[derive(Debug)]
pub(super) struct Fair<J> {
    accounts: FxHashMap<Account, Group>,
    clients: FxHashMap<ClientId, Share<J>>,
    /// Accounts with a ready job that are not paused, the one that has had least first.
    order: BTreeSet<(VirtualTime, Account)>,
    now: VirtualTime,
    ready: usize,
}

/// The clients of an account.
#[derive(Debug)]
struct Group {
    time: VirtualTime,
    /// Clients with a ready job, the one that has had least first.
    order: BTreeSet<(VirtualTime, ClientId)>,
    now: VirtualTime,
    /// Clients that are not forgotten.
    clients: usize,
    is_paused: bool,
}

#[derive(Debug)]
struct Share<J> {
    account: Account,
    time: VirtualTime,
    /// Ready jobs, the one that has had least first; equal ones in the order of their names. New ones come last: most
    /// are put at the end.
    jobs: VecDeque<(VirtualTime, J)>,
    now: VirtualTime,
}

impl<J> Default for Fair<J> {
    fn default() -> Self {
        Self {
            accounts: FxHashMap::default(),
            clients: FxHashMap::default(),
            order: BTreeSet::new(),
            now: 0,
            ready: 0,
        }
    }
}

impl<J: Ord + Copy> Fair<J> {
    /// Makes a job ready. `used` is what [`next`](Self::next) said when it was last handed out, plus its cost since; 0
    /// for a new one.
    pub(super) fn push(&mut self, payer: Payer, job: J, used: VirtualTime) {
        let Payer { account, client } = payer;
        let group = group_of(&mut self.accounts, account, self.now);
        let share = self.clients.entry(client).or_insert_with(|| {
            group.clients += 1;
            Share {
                account,
                time: group.now,
                jobs: VecDeque::new(),
                now: 0,
            }
        });
        debug_assert_eq!(share.account, account, "a client has one account");
        if share.jobs.is_empty() {
            if group.order.is_empty() {
                group.time = group.time.max(self.now);
                if !group.is_paused {
                    self.order.insert((group.time, account));
                }
            }
            share.time = share.time.max(group.now);
            group.order.insert((share.time, client));
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
        let (_, account) = self.order.first()?;
        let (_, client) = self.accounts.get(account)?.order.first()?;
        let (_, job) = self.clients.get(client)?.jobs.front()?;
        Some(*job)
    }

    /// Takes out the job whose turn it is, with the virtual time it has had within its client.
    pub(super) fn next(&mut self) -> Option<(Payer, J, VirtualTime)> {
        let &(time, account) = self.order.first()?;
        let group = self.accounts.get_mut(&account)?;
        let &(share_time, client) = group.order.first()?;
        let share = self.clients.get_mut(&client)?;
        let (used, job) = share.jobs.pop_front()?;
        self.now = self.now.max(time);
        group.now = group.now.max(share_time);
        share.now = share.now.max(used);
        if share.jobs.is_empty() {
            group.order.remove(&(share_time, client));
            if group.order.is_empty() {
                self.order.remove(&(time, account));
            }
        }
        self.ready -= 1;
        Some((Payer { account, client }, job, used))
    }

    /// Notes that a client was given CPU time; `cost` is negative to take back what was charged in advance.
    pub(super) fn charge(&mut self, client: ClientId, cost: i64) {
        let Some(share) = self.clients.get_mut(&client) else {
            return;
        };
        let Some(group) = self.accounts.get_mut(&share.account) else {
            return;
        };
        let before = (share.time, group.time);
        share.time = share.time.saturating_add_signed(cost);
        group.time = group.time.saturating_add_signed(cost);
        if !share.jobs.is_empty() && group.order.remove(&(before.0, client)) {
            group.order.insert((share.time, client));
        }
        if !group.order.is_empty() && self.order.remove(&(before.1, share.account)) {
            self.order.insert((group.time, share.account));
        }
    }

    /// Takes a job out, if it is ready: the first is found at once, for many are taken out in the order of their names.
    pub(super) fn remove(&mut self, client: ClientId, job: J) {
        let Some(share) = self.clients.get_mut(&client) else {
            return;
        };
        let Some(at) = share.jobs.iter().position(|(_, other)| *other == job) else {
            return;
        };
        share.jobs.remove(at);
        self.ready -= 1;
        if share.jobs.is_empty()
            && let Some(group) = self.accounts.get_mut(&share.account)
        {
            group.order.remove(&(share.time, client));
            if group.order.is_empty() {
                self.order.remove(&(group.time, share.account));
            }
        }
    }

    /// Hands out nothing of an account, or its jobs again.
    pub(super) fn set_paused(&mut self, account: Account, is_paused: bool) {
        let group = group_of(&mut self.accounts, account, self.now);
        if group.is_paused != is_paused {
            group.is_paused = is_paused;
            if is_paused {
                self.order.remove(&(group.time, account));
            } else if !group.order.is_empty() {
                group.time = group.time.max(self.now);
                self.order.insert((group.time, account));
            }
        }
        self.forget_account(account);
    }

    /// Forgets a client that has no ready job and will not come back.
    pub(super) fn forget(&mut self, client: ClientId) {
        let Some(share) = self.clients.get(&client).filter(|share| share.jobs.is_empty()) else {
            return;
        };
        let account = share.account;
        self.clients.remove(&client);
        if let Some(group) = self.accounts.get_mut(&account) {
            group.clients -= 1;
        }
        self.forget_account(account);
    }

    fn forget_account(&mut self, account: Account) {
        if let Some(group) = self.accounts.get(&account)
            && group.clients == 0
            && !group.is_paused
        {
            self.accounts.remove(&account);
        }
    }

    /// How many jobs are ready, those of paused accounts included.
    pub(super) const fn len(&self) -> usize {
        self.ready
    }
}

fn group_of(accounts: &mut FxHashMap<Account, Group>, account: Account, now: VirtualTime) -> &mut Group {
    accounts.entry(account).or_insert_with(|| Group {
        time: now,
        order: BTreeSet::new(),
        now: 0,
        clients: 0,
        is_paused: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// A client whose account has no other.
    fn alone(client: u64) -> Payer {
        of_account(client, client)
    }

    fn of_account(account: u64, client: u64) -> Payer {
        Payer {
            account: Account::Address([10, 0, 0, account as u8].into()),
            client: ClientId(client),
        }
    }

    /// Hands out `turns` slices of 1000 us and counts them by job. Jobs stay ready.
    fn play(fair: &mut Fair<u32>, turns: usize) -> HashMap<u32, usize> {
        let mut turns_of = HashMap::new();
        for _ in 0..turns {
            let (payer, job, used) = fair.next().expect("jobs stay ready");
            fair.charge(payer.client, 1000);
            fair.push(payer, job, used + 1000);
            *turns_of.entry(job).or_default() += 1;
        }
        turns_of
    }

    #[test]
    fn twelve_jobs_of_one_client_get_as_much_as_one_job_of_another() {
        let mut fair = Fair::default();
        for job in 0..12 {
            fair.push(alone(1), job, 0);
        }
        fair.push(alone(2), 100, 0);
        let turns_of = play(&mut fair, 240);
        assert_eq!(turns_of[&100], 120);
        assert!((0..12).all(|job| turns_of[&job] == 10));
    }

    #[test]
    fn who_comes_later_starts_at_the_present_and_not_at_zero() {
        let mut fair = Fair::default();
        fair.push(alone(1), 1, 0);
        play(&mut fair, 1000);
        fair.push(alone(2), 2, 0);
        let turns_of = play(&mut fair, 100);
        assert!(turns_of[&1].abs_diff(turns_of[&2]) <= 2, "{turns_of:?}");
    }

    #[test]
    fn who_used_an_idle_machine_is_not_punished() {
        let mut fair = Fair::default();
        fair.push(alone(1), 1, 0);
        fair.push(alone(2), 2, 0);
        fair.remove(ClientId(2), 2);
        play(&mut fair, 1000);
        fair.push(alone(2), 2, 0);
        let turns_of = play(&mut fair, 100);
        assert!(turns_of[&1].abs_diff(turns_of[&2]) <= 2, "{turns_of:?}");
    }

    #[test]
    fn new_jobs_of_a_client_wait_their_turn_in_order() {
        let mut fair = Fair::default();
        for job in [3, 1, 2] {
            fair.push(alone(7), job, 0);
        }
        let order: Vec<u32> = std::iter::from_fn(|| fair.next().map(|(_, job, _)| job)).collect();
        assert_eq!(order, [1, 2, 3]);
        assert_eq!(fair.len(), 0);
    }

    #[test]
    fn fifty_clients_of_an_account_get_as_much_as_one_of_another_and_share_that_equally() {
        let mut fair = Fair::default();
        for client in 1..=50 {
            fair.push(of_account(1, client), client as u32, 0);
        }
        fair.push(of_account(2, 100), 100, 0);
        let turns_of = play(&mut fair, 1_000);
        assert_eq!(turns_of[&100], 500);
        assert!((1..=50).all(|job| turns_of[&job] == 10), "{turns_of:?}");
    }

    #[test]
    fn nothing_is_handed_out_of_a_paused_account_and_its_jobs_keep_their_order() {
        let mut fair = Fair::default();
        let account = alone(1).account;
        fair.push(alone(1), 1, 0);
        fair.set_paused(account, true);
        fair.push(alone(1), 2, 0);
        fair.push(alone(2), 3, 0);
        assert_eq!(fair.next().map(|(_, job, _)| job), Some(3));
        assert!(fair.next().is_none());
        assert_eq!(fair.len(), 2);
        fair.set_paused(account, false);
        assert_eq!(fair.first(), Some(1));
        let order: Vec<u32> = std::iter::from_fn(|| fair.next().map(|(_, job, _)| job)).collect();
        assert_eq!(order, [1, 2]);
        fair.forget(ClientId(1));
        fair.forget(ClientId(2));
        assert!(fair.accounts.is_empty() && fair.clients.is_empty() && fair.order.is_empty());
    }
}
