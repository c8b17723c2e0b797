//! What users may use beyond the limits of everybody: requests and jobs at once, CPU seconds a minute. Knows no queue.
//!
//! CPU time comes into an account at its rate, up to what a minute gives, and goes out as it is measured: work that is
//! under way goes on, and makes a debt that later requests wait for.

use super::admission::{Kind, Standing};
use crate::auth::UserLimits;
use crate::engine::message::{Account, ClientId, Payer};
use crate::proto::{Code, Failure};
use rustc_hash::FxHashMap;
use std::time::{Duration, Instant};

const MINUTE: f64 = 60.0;

/// The accounts that have limits of their own.
#[derive(Debug, Default)]
pub(super) struct Allowances {
    accounts: FxHashMap<Account, Allowance>,
    /// The clients that have asked, and whose they are.
    clients: FxHashMap<ClientId, Account>,
}

#[derive(Debug)]
struct Allowance {
    limits: UserLimits,
    /// Seconds of CPU time that may be used at this moment.
    left: f64,
    at: Instant,
    /// Whether the limits are known: a job of an earlier process goes on before its user has come back.
    is_known: bool,
}

impl Allowance {
    fn unknown(now: Instant) -> Self {
        Self {
            limits: UserLimits::default(),
            left: 0.0,
            at: now,
            is_known: false,
        }
    }

    fn check_held(&self, account: Account, kind: Kind, held: usize) -> Result<(), Failure> {
        let (most, what) = match kind {
            Kind::Questions => (self.limits.requests, "requests"),
            Kind::Submitted => (self.limits.jobs, "jobs"),
        };
        if most.is_some_and(|most| held >= usize::try_from(most).unwrap_or(usize::MAX)) {
            let text = format!("{account} has {held} {what} under way, and may have no more; retry-ms=1000");
            return Err(Failure::new(Code::Busy, text));
        }
        Ok(())
    }

    fn refill(&mut self, now: Instant) {
        let Some(rate) = self.limits.cpu else {
            return;
        };
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.left = (self.left + passed * f64::from(rate) / MINUTE).min(f64::from(rate));
        self.at = now;
    }
}

impl Allowances {
    /// How much the account of a client may use from now on.
    pub(super) fn set(&mut self, payer: Payer, limits: UserLimits, now: Instant) {
        let Payer { account, client } = payer;
        let Account::User(_) = account else {
            return;
        };
        let allowance = self.accounts.entry(account).or_insert_with(|| Allowance::unknown(now));
        if !allowance.is_known {
            // What was used before is owed, as far as it has not come back.
            allowance.is_known = true;
            allowance.limits = limits;
            allowance.left = limits.cpu.map_or(0.0, |rate| allowance.left + f64::from(rate));
            allowance.refill(now);
        } else if allowance.limits != limits {
            allowance.left = allowance.left.min(limits.cpu.map_or(0.0, f64::from));
            allowance.limits = limits;
        }
        self.clients.insert(client, account);
    }

    /// The account of a client, if it has limits.
    pub(super) fn account_of(&self, client: ClientId) -> Option<Account> {
        self.clients.get(&client).copied()
    }

    /// An account has used CPU time.
    pub(super) fn spend(&mut self, account: Account, cpu: Duration, now: Instant) {
        if let Account::User(_) = account {
            let allowance = self.accounts.entry(account).or_insert_with(|| Allowance::unknown(now));
            if !allowance.is_known || allowance.limits.cpu.is_some() {
                allowance.refill(now);
                allowance.left -= cpu.as_secs_f64();
            }
        }
    }

    /// A client is gone. Its account is kept: a debt is not paid by hanging up. There are as many as there are users.
    pub(super) fn leave(&mut self, client: ClientId) {
        self.clients.remove(&client);
    }

    /// Whether an account may have one more request beside those that it has, which costs no CPU time.
    ///
    /// # Errors
    /// `busy`, with the limit that is reached.
    pub(super) fn check_requests(&self, account: Account, held: usize) -> Result<(), Failure> {
        match self.accounts.get(&account).filter(|allowance| allowance.is_known) {
            Some(allowance) => allowance.check_held(account, Kind::Questions, held),
            None => Ok(()),
        }
    }

    /// Whether an account may have one more beside what it has.
    ///
    /// # Errors
    /// `busy`, with the limit that is reached.
    pub(super) fn check(&mut self, account: Account, standing: Standing, now: Instant) -> Result<(), Failure> {
        let Some(allowance) = self.accounts.get_mut(&account).filter(|allowance| allowance.is_known) else {
            return Ok(());
        };
        allowance.check_held(account, standing.kind, standing.held)?;
        let Some(rate) = allowance.limits.cpu else {
            return Ok(());
        };
        allowance.refill(now);
        if allowance.left > 0.0 {
            return Ok(());
        }
        let wait = Duration::from_secs_f64((-allowance.left * MINUTE / f64::from(rate)).min(3_600.0));
        let retry = wait.as_millis().max(100);
        let text = format!("{account} has used its {rate} s of CPU a minute; retry-ms={retry}");
        Err(Failure::new(Code::Busy, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::UserName;

    fn bob() -> Account {
        Account::User(UserName::parse("bob").expect("a name"))
    }

    fn standing(kind: Kind, held: usize) -> Standing {
        Standing {
            kind,
            held,
            accounts: 1,
            jobs: held,
            title_bytes: 0,
        }
    }

    fn with(limits: UserLimits, now: Instant) -> Allowances {
        let mut allowances = Allowances::default();
        let payer = Payer {
            account: bob(),
            client: ClientId(1),
        };
        allowances.set(payer, limits, now);
        allowances
    }

    #[test]
    fn what_a_job_took_before_its_user_came_back_is_owed() {
        let mut now = Instant::now();
        let mut allowances = Allowances::default();
        allowances.spend(bob(), Duration::from_secs(20), now);
        assert!(allowances.check(bob(), standing(Kind::Questions, 0), now).is_ok());
        now += Duration::from_secs(60);
        let limits = UserLimits {
            cpu: Some(6),
            ..UserLimits::default()
        };
        let payer = Payer {
            account: bob(),
            client: ClientId(1),
        };
        allowances.set(payer, limits, now);
        let refused = allowances.check(bob(), standing(Kind::Questions, 0), now);
        // 20 s less the 6 of a full minute and the 6 of the minute that has passed.
        assert!(refused.is_err_and(|failure| failure.text.ends_with("retry-ms=80000")));
    }

    #[test]
    fn who_has_no_limit_owes_nothing_when_there_is_one() {
        let now = Instant::now();
        let mut allowances = with(UserLimits::default(), now);
        allowances.spend(bob(), Duration::from_secs(999), now);
        let payer = Payer {
            account: bob(),
            client: ClientId(1),
        };
        let limits = UserLimits {
            cpu: Some(6),
            ..UserLimits::default()
        };
        let mut back = Allowances::default();
        back.spend(bob(), Duration::from_secs(999), now);
        back.set(payer, UserLimits::default(), now);
        back.set(payer, limits, now);
        for mut allowances in [allowances, back] {
            allowances.set(payer, limits, now);
            let later = now + Duration::from_secs(1);
            assert!(allowances.check(bob(), standing(Kind::Questions, 0), later).is_ok());
        }
    }

    #[test]
    fn requests_and_jobs_are_limited_each_by_its_own_number() {
        let now = Instant::now();
        let limits = UserLimits {
            requests: Some(2),
            jobs: Some(1),
            cpu: None,
        };
        let mut allowances = with(limits, now);
        let mut may = |limits, held| allowances.check(bob(), standing(limits, held), now).is_ok();
        assert!(may(Kind::Questions, 1) && !may(Kind::Questions, 2));
        assert!(may(Kind::Submitted, 0) && !may(Kind::Submitted, 1));
        assert!(
            allowances
                .check(Account::Process, standing(Kind::Questions, 9), now)
                .is_ok()
        );
    }

    #[test]
    fn cpu_time_comes_back_at_its_rate_and_a_debt_is_not_paid_by_hanging_up() {
        let mut now = Instant::now();
        let limits = UserLimits {
            cpu: Some(6),
            ..UserLimits::default()
        };
        let mut allowances = with(limits, now);
        allowances.spend(bob(), Duration::from_secs(7), now);
        let refused = allowances.check(bob(), standing(Kind::Questions, 0), now);
        let text = refused.expect_err("it owes a second").text;
        assert!(text.ends_with("retry-ms=10000"), "{text}");
        assert_eq!(allowances.account_of(ClientId(1)), Some(bob()));
        allowances.leave(ClientId(1));
        now += Duration::from_secs(9);
        assert!(allowances.check(bob(), standing(Kind::Questions, 0), now).is_err());
        now += Duration::from_secs(2);
        assert!(allowances.check(bob(), standing(Kind::Questions, 0), now).is_ok());
    }
}
