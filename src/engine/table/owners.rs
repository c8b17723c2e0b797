//! Names of clients for submitted jobs that no connection of this process holds: one for each account, so that the jobs
//! of an owner share one part of the CPU, as they did on the connection that submitted them. Knows no job.

use crate::engine::message::{Account, ClientId, Payer};
use std::collections::BTreeMap;

/// The clients of owners that have such jobs.
pub(super) struct Owners {
    clients: BTreeMap<Account, ClientId>,
    /// No connection has such a name: theirs count from the other end.
    next: u64,
}

impl Default for Owners {
    fn default() -> Self {
        Self {
            clients: BTreeMap::new(),
            next: u64::MAX,
        }
    }
}

impl Owners {
    /// Who pays for a job of this owner. A store of an earlier version has other words for owners: their jobs are the
    /// process's.
    pub(super) fn payer(&mut self, owner: &str) -> Payer {
        let account = owner.parse().unwrap_or(Account::Process);
        let next = &mut self.next;
        let client = *self.clients.entry(account).or_insert_with(|| {
            let client = ClientId(*next);
            *next -= 1;
            client
        });
        Payer { account, client }
    }

    /// A client holds nothing any more.
    pub(super) fn forget(&mut self, client: ClientId) {
        self.clients.retain(|_, other| *other != client);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_owner_has_one_client_of_its_own_until_that_is_forgotten() {
        let mut owners = Owners::default();
        let (ann, bob) = (owners.payer("ann"), owners.payer("bob"));
        assert_ne!(ann.client, bob.client);
        assert_ne!(ann.account, bob.account);
        assert_eq!(owners.payer("ann"), ann);
        owners.forget(ann.client);
        assert_ne!(owners.payer("ann").client, ann.client, "the name is not used again");
        assert_eq!(owners.payer("bob"), bob);
    }
}
