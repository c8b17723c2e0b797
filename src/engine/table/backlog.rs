//! How many questions wait for their first slice, and how long one more would wait. Knows no question, and no limit.
//!
//! The wait is expected by Little's law: those before it, divided by how many were begun a second lately. The age of
//! the oldest would be known too late: by the time that it has reached a limit under a load of four times what is done,
//! the latest waits four times as long.

use crate::engine::message::{Account, ClientId, Payer};
use rustc_hash::FxHashMap;
use std::time::{Duration, Instant};

/// For how long beginnings are counted until the rate is known anew.
const WINDOW: Duration = Duration::from_millis(10);

/// Questions that wait or are in a batch that is under way.
#[derive(Default)]
pub(super) struct Backlog {
    /// Clients with some.
    clients: FxHashMap<ClientId, usize>,
    /// Accounts with some.
    accounts: FxHashMap<Account, AccountLoad>,
}

/// The questions of an account.
struct AccountLoad {
    waiting: usize,
    /// Clients that they are of.
    clients: usize,
    /// Since when beginnings are counted, and how many there were.
    since: Instant,
    begun: usize,
    /// How long it takes lately until the next is begun; not known before a first window is over. What was before the
    /// account had nothing waiting says nothing about what it asks now.
    pace: Option<Duration>,
}

impl Backlog {
    /// This many more wait.
    pub(super) fn add(&mut self, payer: Payer, count: usize, now: Instant) {
        if count == 0 {
            return;
        }
        let load = self.accounts.entry(payer.account).or_insert_with(|| AccountLoad {
            waiting: 0,
            clients: 0,
            since: now,
            begun: 0,
            pace: None,
        });
        load.waiting += count;
        let waiting = self.clients.entry(payer.client).or_default();
        load.clients += usize::from(*waiting == 0);
        *waiting += count;
    }

    /// This many wait no more.
    pub(super) fn remove(&mut self, payer: Payer, count: usize) {
        let (Some(load), Some(waiting)) = (
            self.accounts.get_mut(&payer.account),
            self.clients.get_mut(&payer.client),
        ) else {
            return;
        };
        load.waiting -= count;
        *waiting -= count;
        if *waiting == 0 {
            self.clients.remove(&payer.client);
            load.clients -= 1;
            if load.clients == 0 {
                self.accounts.remove(&payer.account);
            }
        }
    }

    /// Notes that this many were begun. Of an account that has nothing left to wait for, nothing is noted.
    pub(super) fn begun(&mut self, account: Account, count: usize, now: Instant) {
        let Some(load) = self.accounts.get_mut(&account) else {
            return;
        };
        load.begun += count;
        let elapsed = now - load.since;
        if elapsed >= WINDOW && load.begun > 0 {
            let pace = elapsed.div_f64(load.begun as f64);
            load.pace = Some(load.pace.map_or(pace, |before| (before * 3 + pace) / 4));
            load.since = now;
            load.begun = 0;
        }
    }

    /// How many more questions of a client would be begun within this time. Clients of an account take turns: so one
    /// that has little waiting does not wait for all that others have, and one that has much waits for more than is
    /// there now, because the others go on asking. It may have a third more than an equal part, as long as there is
    /// room for all.
    pub(super) fn room(&self, payer: Payer, patience: Duration) -> usize {
        let Some((load, pace)) = self
            .accounts
            .get(&payer.account)
            .and_then(|load| Some((load, load.pace?)))
        else {
            return usize::MAX;
        };
        let own = self.clients.get(&payer.client).copied().unwrap_or_default();
        let clients = load.clients + usize::from(own == 0);
        let within = patience.div_duration_f64(pace.max(Duration::from_nanos(1))) as usize;
        let part = within / clients;
        let after_all = within.saturating_sub(load.waiting);
        let with_more = part.saturating_add(part / 3).saturating_sub(own).min(after_all);
        with_more.max(part.saturating_sub(own))
    }

    /// How many clients of the account would have questions waiting with one more of this client.
    pub(super) fn clients_with(&self, payer: Payer) -> usize {
        let clients = self.accounts.get(&payer.account).map_or(0, |load| load.clients);
        clients + usize::from(!self.clients.contains_key(&payer.client))
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.clients.is_empty() && self.accounts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn payer(client: u64) -> Payer {
        Payer {
            account: Account::Process,
            client: ClientId(client),
        }
    }

    #[test]
    fn there_is_room_for_what_is_begun_in_time_and_for_a_client_with_little_beside_one_with_much() {
        let start = Instant::now();
        let mut backlog = Backlog::default();
        backlog.add(payer(1), 1_000, start);
        assert_eq!(backlog.room(payer(1), MS), usize::MAX, "nothing is known yet");
        assert_eq!((backlog.clients_with(payer(1)), backlog.clients_with(payer(2))), (1, 2));
        backlog.begun(Account::Process, 20, start + 10 * MS);
        backlog.remove(payer(1), 20);
        assert_eq!(backlog.room(payer(1), 500 * MS), 20);
        assert_eq!(backlog.room(payer(1), 300 * MS), 0);
        assert_eq!(backlog.room(payer(2), 300 * MS), 300, "every other turn is its own");
        backlog.remove(payer(1), 980);
        assert!(backlog.is_empty());
    }

    #[test]
    fn there_is_room_for_all_that_is_begun_in_an_endless_time() {
        let start = Instant::now();
        let mut backlog = Backlog::default();
        backlog.add(payer(1), 1_000_000, start);
        backlog.begun(Account::Process, 900_000, start + 10 * MS);
        assert!(backlog.room(payer(1), Duration::MAX) > 1 << 60);
    }

    #[test]
    fn the_pace_follows_what_is_asked_and_is_forgotten_with_it() {
        let start = Instant::now();
        let mut backlog = Backlog::default();
        backlog.add(payer(1), 10_000, start);
        backlog.begun(Account::Process, 10, start + 10 * MS);
        for window in 2..40 {
            backlog.begun(Account::Process, 1_000, start + window * 10 * MS);
        }
        let room = backlog.room(payer(1), 200 * MS);
        assert!(
            (9_000..=10_000).contains(&room),
            "{room} of 20,000 less those that wait"
        );
        backlog.remove(payer(1), 10_000);
        backlog.add(payer(1), 1, start);
        assert_eq!(backlog.room(payer(1), MS), usize::MAX);
    }
}
