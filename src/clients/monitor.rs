//! What is asked, for those who watch: a bounded queue that every session writes to and that each watcher reads at its
//! own pace. A session never waits: a watcher that reads too slowly loses rows, and learns their number. While nobody
//! watches, a request costs one load.

use super::ClientState;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio_util::sync::CancellationToken;

/// Rows that may wait for a watcher.
const MAX_WAITING: usize = 1024;
/// Watchers at once: each request wakes all of them.
pub const MAX_WATCHERS: usize = 16;

/// Where sessions say what they are asked.
pub struct Monitor {
    watchers: AtomicUsize,
    /// Made for the first watcher: a process that answers one question has none.
    rows: OnceLock<broadcast::Sender<Arc<str>>>,
    /// The daemon drains.
    closed: CancellationToken,
    /// The version of the daemon's users, if it has any.
    users: OnceLock<Box<dyn Fn() -> u64 + Send + Sync>>,
}

/// One who watches, until it is dropped.
pub struct Watch {
    clients: Arc<super::Clients>,
    rows: broadcast::Receiver<Arc<str>>,
    /// The version of the users when it began.
    users: u64,
}

/// What comes next for a watcher.
#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    /// A request, as words `key=value`; the request itself comes last.
    Row(Arc<str>),
    /// This number of requests was lost: they came faster than they were taken.
    Lost(u64),
    /// The users have changed: whether this one may still watch is not known.
    Changed,
    /// The daemon drains: there are no more.
    End,
}

impl Default for Monitor {
    fn default() -> Self {
        Self {
            watchers: AtomicUsize::new(0),
            rows: OnceLock::new(),
            closed: CancellationToken::new(),
            users: OnceLock::new(),
        }
    }
}

impl Monitor {
    /// Whether anybody watches.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.watchers.load(Relaxed) > 0
    }

    /// Shows a request to all who watch. `client` and `state`: the connection it came on; without a state it came from
    /// the program around the daemon.
    pub fn show(&self, client: u64, state: Option<&ClientState>, user: Option<&dyn fmt::Display>, request: &str) {
        let address = state.map_or_else(|| "process".to_owned(), ClientState::address);
        let user: &dyn fmt::Display = user.unwrap_or(&"-");
        let at = humantime::format_rfc3339_micros(SystemTime::now());
        let row = format!("at={at} client={client} address={address} user={user} request={request}");
        if let Some(rows) = self.rows.get() {
            // An error says that the last watcher has just left.
            let _ = rows.send(row.into());
        }
    }

    /// Watching ends with what comes after another version of the users.
    pub fn follow_users(&self, version: impl Fn() -> u64 + Send + Sync + 'static) {
        let _ = self.users.set(Box::new(version));
    }

    fn users(&self) -> u64 {
        self.users.get().map_or(0, |version| version())
    }

    /// Ends all watching, now and from now on.
    pub fn close(&self) {
        self.closed.cancel();
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor")
            .field("watchers", &self.watchers.load(Relaxed))
            .finish_non_exhaustive()
    }
}

impl Watch {
    /// Watches from now on. `None` if as many do as may.
    pub fn begin(clients: &Arc<super::Clients>) -> Option<Self> {
        let watchers = &clients.monitor.watchers;
        let one_more = |count| (count < MAX_WATCHERS).then_some(count + 1);
        watchers.fetch_update(Relaxed, Relaxed, one_more).ok()?;
        let rows = clients.monitor.rows.get_or_init(|| broadcast::Sender::new(MAX_WAITING));
        Some(Self {
            clients: clients.clone(),
            rows: rows.subscribe(),
            users: clients.monitor.users(),
        })
    }

    /// Waits for what comes next.
    pub async fn next(&mut self) -> Seen {
        let received = tokio::select! {
            biased;
            () = self.clients.monitor.closed.cancelled() => return Seen::End,
            received = self.rows.recv() => received,
        };
        match received {
            _ if self.users != self.clients.monitor.users() => Seen::Changed,
            Ok(row) => Seen::Row(row),
            Err(RecvError::Lagged(count)) => Seen::Lost(count),
            Err(RecvError::Closed) => Seen::End,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.clients.monitor.watchers.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::Clients;
    use futures_util::FutureExt;

    fn next(watch: &mut Watch) -> Option<Seen> {
        watch.next().now_or_never()
    }

    fn show(clients: &Clients, request: &str) {
        clients.monitor.show(7, None, None, request);
    }

    #[test]
    fn who_watches_sees_what_is_asked_from_then_on_and_nobody_else_makes_it_costly() {
        let clients = Arc::<Clients>::default();
        assert!(!clients.monitor.is_on());
        show(&clients, "nth 1");
        let mut watch = Watch::begin(&clients).expect("there is room");
        assert!(clients.monitor.is_on());
        assert_eq!(next(&mut watch), None);
        show(&clients, "nth 2");
        let Some(Seen::Row(row)) = next(&mut watch) else {
            panic!("it was shown");
        };
        assert!(
            row.starts_with("at=2") && row.ends_with("Z client=7 address=process user=- request=nth 2"),
            "{row}"
        );
        drop(watch);
        assert!(!clients.monitor.is_on());
    }

    #[test]
    fn who_watches_sees_nothing_after_the_users_have_changed() {
        let clients = Arc::<Clients>::default();
        let version = Arc::new(std::sync::atomic::AtomicU64::new(3));
        let current = version.clone();
        clients.monitor.follow_users(move || current.load(Relaxed));
        let mut watch = Watch::begin(&clients).expect("there is room");
        show(&clients, "nth 1");
        assert!(matches!(next(&mut watch), Some(Seen::Row(_))));
        show(&clients, "nth 2");
        version.store(4, Relaxed);
        assert_eq!(next(&mut watch), Some(Seen::Changed));
        let mut watch = Watch::begin(&clients).expect("there is room");
        show(&clients, "nth 3");
        assert!(matches!(next(&mut watch), Some(Seen::Row(_))));
    }

    #[test]
    fn a_slow_watcher_loses_the_oldest_rows_and_knows_how_many() {
        let clients = Arc::<Clients>::default();
        let (mut slow, mut fast) = (
            Watch::begin(&clients).expect("room"),
            Watch::begin(&clients).expect("room"),
        );
        for n in 0..MAX_WAITING + 10 {
            show(&clients, &format!("nth {n}"));
            assert!(matches!(next(&mut fast), Some(Seen::Row(_))));
        }
        assert_eq!(next(&mut slow), Some(Seen::Lost(10)));
        let kept = std::iter::from_fn(|| next(&mut slow)).collect::<Vec<_>>();
        assert_eq!(kept.len(), MAX_WAITING);
        assert!(
            matches!(&kept[0], Seen::Row(row) if row.ends_with("=nth 10")),
            "{:?}",
            kept[0]
        );
    }

    #[test]
    fn watchers_are_few_and_end_with_the_daemon() {
        let clients = Arc::<Clients>::default();
        let mut watching: Vec<Watch> = std::iter::from_fn(|| Watch::begin(&clients)).collect();
        assert_eq!(watching.len(), MAX_WATCHERS);
        clients.monitor.close();
        assert_eq!(next(&mut watching[0]), Some(Seen::End));
        watching.pop();
        assert!(Watch::begin(&clients).is_some_and(|mut late| next(&mut late) == Some(Seen::End)));
    }
}
