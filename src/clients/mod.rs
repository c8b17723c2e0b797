//! The clients that are connected: what `clients` shows of each, how one is closed by `kill`, and what they ask, for
//! `monitor`.
//!
//! A session alone changes the figures of its client, once a turn, and the scheduler its CPU time; others read them.
//! One lock for all of them, taken when a connection opens, closes, asks for the first time or is listed, and one for
//! the names of each, taken when it gets one or is listed. No I/O.

mod monitor;

pub use monitor::{MAX_WATCHERS, Monitor, Seen, Watch};

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

/// Where every client of a unix socket comes from: an address that no peer has over TCP, so that shares, limits and
/// delays are not those of loopback.
pub const UNIX: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Where a client comes from, in words.
pub fn address(peer: SocketAddr) -> String {
    if peer == UNIX {
        "unix".into()
    } else {
        canonical(peer).to_string()
    }
}

/// An address as people know it, also where IPv4 comes in by a listener for both.
fn canonical(peer: SocketAddr) -> SocketAddr {
    match peer.ip().to_canonical() {
        IpAddr::V4(address) => SocketAddr::new(address.into(), peer.port()),
        IpAddr::V6(_) => peer,
    }
}

/// The connections of a daemon.
#[derive(Default)]
pub struct Clients {
    connected: Mutex<BTreeMap<u64, Arc<ClientState>>>,
    close: OnceLock<Box<dyn Fn(u64) + Send + Sync>>,
    /// What is asked.
    pub monitor: Monitor,
}

/// One connection, as others see it.
#[derive(Debug)]
pub struct ClientState {
    /// The number that the log and `CLIENT ID` show.
    pub id: u64,
    /// Where it connects from.
    pub peer: SocketAddr,
    since: Instant,
    /// Most have none.
    names: Mutex<Option<Box<Names>>>,
    in_flight: AtomicU32,
    requests: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    /// Microseconds of CPU time that its requests took.
    cpu_us: AtomicU64,
    /// Milliseconds from `since` until something last arrived.
    active_ms: AtomicU64,
}

/// What a connection is called; an empty name is none.
#[derive(Debug, Default)]
struct Names {
    own: Box<str>,
    user: Box<str>,
}

impl Clients {
    /// A connection that was just accepted.
    pub fn add(&self, id: u64, peer: SocketAddr) -> Arc<ClientState> {
        let state = Arc::new(ClientState {
            id,
            peer: canonical(peer),
            since: Instant::now(),
            names: Mutex::default(),
            in_flight: AtomicU32::default(),
            requests: AtomicU64::default(),
            bytes_in: AtomicU64::default(),
            bytes_out: AtomicU64::default(),
            cpu_us: AtomicU64::default(),
            active_ms: AtomicU64::default(),
        });
        self.connected().insert(id, state.clone());
        state
    }

    /// It is closed. False if it was removed before.
    pub fn remove(&self, id: u64) -> bool {
        self.connected().remove(&id).is_some()
    }

    /// The connection with this number.
    pub fn get(&self, id: u64) -> Option<Arc<ClientState>> {
        self.connected().get(&id).cloned()
    }

    /// The number of the connection from this address.
    pub fn at(&self, peer: SocketAddr) -> Option<u64> {
        let (connected, peer) = (self.connected(), canonical(peer));
        let found = connected.iter().find(|(_, state)| state.peer == peer);
        found.map(|(id, _)| *id)
    }

    /// At most `limit` connections with a number above `after`, the earliest first.
    pub fn list(&self, after: u64, limit: usize) -> Vec<Arc<ClientState>> {
        let connected = self.connected();
        let later = connected.range((Excluded(after), Unbounded));
        later.take(limit).map(|(_, state)| state.clone()).collect()
    }

    /// What closes a connection that was killed; the first call counts.
    pub fn close_by(&self, close: impl Fn(u64) + Send + Sync + 'static) {
        let _ = self.close.set(Box::new(close));
    }

    /// Closes a connection at once; what it has under way is cancelled. False if there is none with this number.
    pub fn kill(&self, id: u64) -> bool {
        let is_connected = self.connected().contains_key(&id);
        if is_connected && let Some(close) = self.close.get() {
            close(id);
        }
        is_connected
    }

    fn connected(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<ClientState>>> {
        self.connected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients")
            .field("connected", &self.connected().len())
            .finish_non_exhaustive()
    }
}

impl ClientState {
    /// Bytes have arrived.
    #[inline]
    pub fn has_read(&self, count: usize) {
        add(&self.bytes_in, count as u64);
        let since = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.active_ms.store(since, Relaxed);
    }

    /// Bytes have left.
    #[inline]
    pub fn has_written(&self, count: usize) {
        add(&self.bytes_out, count as u64);
    }

    /// Requests were answered.
    #[inline]
    pub fn add_answered(&self, count: u64) {
        add(&self.requests, count);
    }

    /// Its requests took CPU time; the scheduler alone says so.
    #[inline]
    pub fn has_used(&self, cpu_us: u64) {
        add(&self.cpu_us, cpu_us);
    }

    /// How many requests are under way at the end of a turn.
    #[inline]
    pub fn set_in_flight(&self, count: usize) {
        self.in_flight.store(u32::try_from(count).unwrap_or(u32::MAX), Relaxed);
    }

    /// Gives it a name; an empty one takes the name away.
    pub fn set_name(&self, name: &str) {
        self.names().get_or_insert_default().own = name.into();
    }

    /// It has said which user it is.
    pub fn set_user(&self, user: &str) {
        self.names().get_or_insert_default().user = user.into();
    }

    fn names(&self) -> MutexGuard<'_, Option<Box<Names>>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where it connects from, in words.
    pub fn address(&self) -> String {
        address(self.peer)
    }
}

/// Only one adds to each, so that a load and a store do.
#[inline]
fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(count), Relaxed);
}

impl fmt::Display for ClientState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let age = self.since.elapsed();
        let idle = age.as_millis().saturating_sub(self.active_ms.load(Relaxed).into());
        let names = self.names();
        let (name, user) = names.as_ref().map_or(("", ""), |names| (&*names.own, &*names.user));
        write!(
            f,
            "id={} address={} name={} user={} age_s={} idle_s={} in_flight={} requests={} cpu_s={:.1} bytes_in={} bytes_out={}",
            self.id,
            self.address(),
            if name.is_empty() { "-" } else { name },
            if user.is_empty() { "-" } else { user },
            age.as_secs(),
            idle / 1000,
            self.in_flight.load(Relaxed),
            self.requests.load(Relaxed),
            self.cpu_us.load(Relaxed) as f64 / 1e6,
            self.bytes_in.load(Relaxed),
            self.bytes_out.load(Relaxed),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> SocketAddr {
        ([127, 0, 0, 1], 5000).into()
    }

    #[test]
    fn a_list_goes_on_after_the_last_number_seen() {
        let clients = Clients::default();
        for id in 1..=5 {
            clients.add(id, peer());
        }
        clients.remove(3);
        let ids = |after| clients.list(after, 2).iter().map(|state| state.id).collect::<Vec<_>>();
        assert_eq!((ids(0), ids(2), ids(5)), (vec![1, 2], vec![4, 5], vec![]));
    }

    #[test]
    fn only_who_is_connected_is_killed() {
        let clients = Clients::default();
        clients.add(7, peer());
        let closed = Arc::new(AtomicU64::default());
        let order = closed.clone();
        clients.close_by(move |id| order.store(id, Relaxed));
        assert!(!clients.kill(8) && closed.load(Relaxed) == 0);
        assert!(clients.kill(7) && closed.load(Relaxed) == 7);
        assert!(clients.remove(7) && !clients.remove(7) && !clients.kill(7));
    }

    #[test]
    fn figures_are_shown_as_words() {
        let state = Clients::default().add(7, peer());
        state.has_read(10);
        state.has_written(4);
        state.add_answered(2);
        state.set_in_flight(3);
        state.has_used(1_500_000);
        let text = "id=7 address=127.0.0.1:5000 name=- user=- age_s=0 idle_s=0 in_flight=3 requests=2 cpu_s=1.5 bytes_in=10 bytes_out=4";
        assert_eq!(state.to_string(), text);
        state.set_name("web-1");
        state.set_user("ann");
        assert!(state.to_string().contains(" name=web-1 user=ann "));
    }
}
