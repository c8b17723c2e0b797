//! How long an address waits after a wrong password. Knows no clock.

use rustc_hash::FxHashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

const FIRST_DELAY: Duration = Duration::from_millis(250);
const LONGEST_DELAY: Duration = Duration::from_secs(30);
/// After this time without a wrong password an address begins anew.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);
/// Addresses that are remembered.
const MAX_ADDRESSES: usize = 10_000;

/// The addresses that wrong passwords came from.
#[derive(Debug, Default)]
pub(super) struct Delays {
    addresses: FxHashMap<IpAddr, Penalty>,
}

#[derive(Clone, Copy, Debug)]
struct Penalty {
    delay: Duration,
    until: Instant,
}

impl Delays {
    /// How long this address has to wait, if it has to.
    pub(super) fn left(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let until = self.addresses.get(&address)?.until;
        until.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// A wrong password came from this address: how long it waits now. Each time twice as long.
    pub(super) fn add(&mut self, address: IpAddr, now: Instant) -> Duration {
        let is_old = |penalty: &Penalty| now.saturating_duration_since(penalty.until) > FORGOTTEN_AFTER;
        let before = self.addresses.get(&address).filter(|penalty| !is_old(penalty));
        let delay = before.map_or(FIRST_DELAY, |penalty| (penalty.delay * 2).min(LONGEST_DELAY));
        if self.addresses.len() >= MAX_ADDRESSES && !self.addresses.contains_key(&address) {
            self.addresses.retain(|_, penalty| !is_old(penalty));
            if self.addresses.len() >= MAX_ADDRESSES {
                // Those that may try again by now; a flood from ten thousand addresses is slowed by the checks alone.
                self.addresses.retain(|_, penalty| penalty.until > now);
            }
            if self.addresses.len() >= MAX_ADDRESSES {
                return delay;
            }
        }
        let until = now + delay;
        self.addresses.insert(address, Penalty { delay, until });
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn each_wrong_password_of_an_address_delays_it_twice_as_long() {
        let (mut delays, mut now) = (Delays::default(), Instant::now());
        let [bad, other] = [1, 2].map(|last| IpAddr::from([10, 0, 0, last]));
        let mut waited = Vec::new();
        for _ in 0..9 {
            let delay = delays.add(bad, now);
            assert_eq!(delays.left(bad, now), Some(delay));
            assert_eq!(delays.left(other, now), None);
            now += delay;
            assert_eq!(delays.left(bad, now), None);
            waited.push(delay.as_millis());
        }
        assert_eq!(waited, [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        now += FORGOTTEN_AFTER + Duration::from_secs(1);
        assert_eq!(delays.add(bad, now), FIRST_DELAY);
    }

    #[test]
    fn the_memory_of_addresses_is_bounded() {
        let (mut delays, now) = (Delays::default(), Instant::now());
        for n in 0..2 * MAX_ADDRESSES as u32 {
            delays.add(Ipv4Addr::from_bits(n).into(), now);
        }
        assert!(delays.addresses.len() <= MAX_ADDRESSES);
        let later = now + FIRST_DELAY;
        delays.add(Ipv4Addr::from_bits(u32::MAX).into(), later);
        assert_eq!(delays.addresses.len(), 1);
    }
}
