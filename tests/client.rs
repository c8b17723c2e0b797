//! The Rust client against a daemon, over real sockets.

#[path = "support/mod.rs"]
mod support;

use futures_util::future::{join_all, try_join_all};
use primed::client::{Error, JobId, Reply};
use primed::{Client, Code, Connector, Constellation, Daemon, Handle, Limits, Natural};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use support::{daemon, info, start};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::time::timeout;

/// No reply takes longer, on the slowest machine.
const PATIENCE: Duration = support::PATIENCE;

/// Runs a conversation with a daemon of its own, and lets nothing wait for ever.
fn talk(conversation: impl AsyncFnOnce(Handle, Client) -> Result<(), Error>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be had").block_on(async {
        let daemon = daemon();
        let client = Client::connect(daemon.addresses()[0])
            .await
            .expect("the daemon listens");
        let conversation = conversation(daemon, client);
        let result = timeout(PATIENCE, conversation).await.expect("nothing waits for ever");
        result.expect("the conversation goes well");
    });
}

/// Waits until the daemon has this number of connections, with the one that asks for it.
async fn until_connections(daemon: &Handle, count: u64) {
    while info(daemon, "connections") != count {
        tokio::task::yield_now().await;
    }
}

/// Waits until the daemon has this number of jobs.
async fn until_jobs(daemon: &Handle, count: u64) {
    while info(daemon, "jobs") != count {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_client_speaks_over_any_stream_and_its_rows_too() {
    let path = std::env::temp_dir().join(format!("primed-client-{}", std::process::id()));
    let daemon = start(Daemon::new().listen(([127, 0, 0, 1], 0).into()).listen_unix(&path));
    let opened = Arc::new(AtomicU64::new(0));
    let (count, to) = (opened.clone(), path.clone());
    let connector = Connector::new(move || {
        count.fetch_add(1, SeqCst);
        tokio::net::UnixStream::connect(to.clone())
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime can be had").block_on(async {
        let client = connector.connect().await.expect("it is there");
        assert_eq!(client.nth(5).await.expect("an answer"), 11);
        let mut primes = client.primes(0..20).await.expect("rows");
        let mut last = None;
        while let Some(prime) = primes.next().await.expect("rows go on") {
            last = Some(prime);
        }
        assert_eq!((last, opened.load(SeqCst)), (Some(19), 2));
        let client = Connector::tcp(daemon.addresses()[0]).connect().await;
        assert_eq!(client.expect("it is there").pi(100).await.expect("an answer"), 25);
        let nobody = Connector::tcp("127.0.0.1:1").user("ann", "two words");
        assert_eq!(nobody.err().and_then(|error| error.code()), Some(Code::BadArg));
    });
}

#[test]
fn every_question_has_a_call_with_its_type() {
    talk(async |_daemon, client| {
        assert_eq!(client.nth(1_000_000).await?, 15_485_863);
        assert_eq!(client.pi(1_000_000_000).await?, 50_847_534);
        assert_eq!(client.count(100..110).await?, 4);
        assert!(
            client
                .is_prime(Natural::from(2u8).pow(127) - Natural::from(1u8))
                .await?
        );
        assert!(!client.is_prime(91u8).await?);
        assert_eq!(client.next(1_000_000_007u64).await?, Natural::from(1_000_000_009u64));
        assert_eq!(client.prev(Natural::from(3u8)).await?, Natural::from(2u8));
        let factors = [274_177, 67_280_421_310_721u64].map(Natural::from);
        assert_eq!(client.factor((1u128 << 64) + 1).await?, factors);
        assert_eq!(client.count_of(Constellation::Twins, 0..1_000_000).await?, 8169);
        assert_eq!(client.sum(0..1_000_000).await?, Natural::from(37_550_402_023u64));
        assert_eq!(client.gaps(0..100).await?, [8, 89, 97]);
        assert!(client.is_prime(client.random(256).await?).await?);
        assert_eq!(client.request::<String>("ping").await?, "pong");
        assert!(client.request::<Vec<String>>("help").await?.len() > 10);
        Ok(())
    });
}

#[test]
fn refusals_are_typed_and_the_conversation_goes_on() {
    talk(async |_daemon, client| {
        let refused = |result: Result<_, Error>| result.expect_err("it is refused").code();
        assert_eq!(refused(client.nth(0).await), Some(Code::BadArg));
        assert_eq!(
            refused(client.pi(1 << 60).deadline(Duration::from_millis(20)).await),
            Some(Code::Deadline)
        );
        let smuggled = client
            .request::<u64>("pi 5\nquit")
            .await
            .expect_err("a request is one line");
        assert_eq!(smuggled.code(), Some(Code::Syntax));
        let empty = client.request::<Reply>("").await.expect_err("nothing is asked");
        assert_eq!(empty.code(), Some(Code::Syntax));
        assert_eq!(client.nth(5).await?, 11);
        Ok(())
    });
}

#[test]
fn what_cannot_be_asked_is_refused_and_keeps_no_place() {
    talk(async |_daemon, client| {
        for words in ["pi \u{e9}", "pi \0", "ping\r", "ping\nping", "\u{7f}"] {
            let refused = client.request::<Reply>(words).await.expect_err("it is no line");
            assert_eq!(refused.code(), Some(Code::Syntax), "{words:?}");
            let refused = client.rows(words).await.err().expect("it is no line");
            assert_eq!(refused.code(), Some(Code::Syntax), "{words:?}");
        }
        // The daemon knows how long is too long. More than may be under way at once.
        let long = format!("isprime {}", "7".repeat(20_000));
        let calls = (0..600).map(|_| client.request::<bool>(long.as_str()).into_future());
        for refused in join_all(calls).await {
            let refused = refused.expect_err("it is too long");
            assert_eq!(refused.code(), Some(Code::LineTooLong));
        }
        assert_eq!(client.nth(5).await?, 11);
        Ok(())
    });
}

/// A server that reads two lines and sends this line; the errors of a client's calls: two at once, and one after them.
async fn received(line: &'static str) -> [Error; 3] {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port can be had");
    let address = listener.local_addr().expect("it is bound");
    let other = async {
        let (stream, _) = listener.accept().await.expect("a client comes");
        let mut stream = BufReader::new(stream);
        for _ in 0..2 {
            stream.read_line(&mut String::new()).await.expect("it asks");
        }
        stream.write_all(line.as_bytes()).await.expect("it reads");
        stream
    };
    let calls = async {
        let client = Client::connect(address).await.expect("it listens");
        let (one, two) = tokio::join!(client.nth(1), client.nth(2));
        let three = client.nth(3).await;
        [one, two, three].map(|result| result.expect_err("there is no answer"))
    };
    // The connection is kept open: it is the line that ends the calls.
    let (_stream, received) = tokio::join!(other, calls);
    received
}

#[test]
fn a_reply_without_a_tag_ends_the_connection_and_all_calls() {
    talk(async |_daemon, _client| {
        for error in received("ERR busy :too many connections\n").await {
            assert_eq!(error.code(), Some(Code::Busy));
            assert_eq!(error.to_string(), "busy :too many connections");
        }
        for error in received("SSH-2.0-OpenSSH_9.2\r\n").await {
            assert!(
                matches!(&error, Error::Unexpected(line) if line == "SSH-2.0-OpenSSH_9.2"),
                "{error}"
            );
        }
        for error in received("@\u{1} OK 7\n").await {
            let is_no_reply = matches!(&error, Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData);
            assert!(is_no_reply, "{error}");
        }
        Ok(())
    });
}

#[test]
fn who_comes_to_a_full_daemon_hears_that_it_is_busy() {
    talk(async |_daemon, _client| {
        let limits = Limits {
            max_connections: 1,
            ..Limits::default()
        };
        let full = start(primed::Daemon::new().limits(limits));
        let first = Client::connect(full.addresses()[0]).await?;
        assert_eq!(first.nth(5).await?, 11);
        for _ in 0..100 {
            let second = Client::connect(full.addresses()[0]).await?;
            let calls = (1..10).map(|n| second.nth(n).into_future());
            for refused in join_all(calls).await {
                let refused = refused.expect_err("it is full");
                assert_eq!(refused.code(), Some(Code::Busy), "{refused}");
            }
        }
        Ok(())
    });
}

#[test]
fn thousands_of_calls_at_once_share_one_connection() {
    talk(async |daemon, client| {
        let calls = (1..=10_000u64).map(|n| client.is_prime(1_000_000_007 + n));
        let primes = try_join_all(calls.map(IntoFuture::into_future)).await?;
        assert_eq!(primes.into_iter().filter(|prime| *prime).count(), 486);
        assert_eq!(info(&daemon, "connections_total"), 2);
        Ok(())
    });
}

#[test]
fn a_call_that_is_dropped_is_cancelled_and_its_cpu_is_free() {
    talk(async |daemon, client| {
        let long: Vec<_> = (0..4u64)
            .map(|n| tokio::spawn(client.pi((1 << 60) - u128::from(n)).into_future()))
            .collect();
        until_jobs(&daemon, 4).await;
        for call in &long {
            call.abort();
        }
        until_jobs(&daemon, 0).await;
        // The connection is whole, and every place on it is free again.
        assert!(join_all(long).await.iter().all(Result::is_err));
        let late = timeout(Duration::from_millis(20), client.pi(1 << 60)).await;
        assert!(late.is_err());
        until_jobs(&daemon, 0).await;
        assert_eq!(client.nth(5).await?, 11);
        Ok(())
    });
}

#[test]
fn a_client_that_floods_can_still_cancel() {
    talk(async |daemon, client| {
        // More than may be under way at once, on either side.
        let long: Vec<_> = (0..2_000u64)
            .map(|n| tokio::spawn(client.pi((1 << 60) - u128::from(n)).into_future()))
            .collect();
        until_jobs(&daemon, 512).await;
        for call in &long {
            call.abort();
        }
        until_jobs(&daemon, 0).await;
        assert_eq!(client.nth(5).await?, 11);
        Ok(())
    });
}

#[test]
fn when_the_last_client_is_dropped_its_connection_is_closed() {
    talk(async |daemon, client| {
        let clone = client.clone();
        let received = Arc::new(AtomicU64::new(0));
        let heard = received.clone();
        let call = clone.pi(1 << 60).progress(Duration::from_millis(100), move |_| {
            heard.fetch_add(1, SeqCst);
        });
        let long = tokio::spawn(call.into_future());
        until_jobs(&daemon, 1).await;
        drop((client, clone));
        // A call keeps its connection: its progress still comes.
        let before = received.load(SeqCst);
        while received.load(SeqCst) < before + 2 {
            tokio::task::yield_now().await;
        }
        long.abort();
        until_connections(&daemon, 1).await;
        until_jobs(&daemon, 0).await;
        Ok(())
    });
}

#[test]
fn progress_is_reported_while_the_answer_is_waited_for() {
    talk(async |_daemon, client| {
        let received = Arc::new(AtomicU64::new(0));
        let heard = received.clone();
        let every = Duration::from_millis(100);
        let call = client.pi(1 << 60).progress(every, move |progress| {
            assert!(progress.percent.is_none_or(|percent| (0.0..100.0).contains(&percent)));
            heard.fetch_add(1, SeqCst);
        });
        let call = call.deadline(Duration::from_secs(1)).await;
        assert_eq!(call.expect_err("it takes minutes").code(), Some(Code::Deadline));
        assert!(received.load(SeqCst) > 0);
        Ok(())
    });
}

#[test]
fn a_listener_that_panics_costs_its_progress_and_no_call_its_answer() {
    talk(async |_daemon, client| {
        let received = Arc::new(AtomicU64::new(0));
        let heard = received.clone();
        let every = Duration::from_millis(100);
        let call = client.pi(1 << 60).progress(every, move |_| {
            heard.fetch_add(1, SeqCst);
            panic!("as asked");
        });
        let other = tokio::spawn(client.pi((1 << 60) - 1).deadline(Duration::from_secs(1)).into_future());
        let call = call.deadline(Duration::from_secs(1)).await;
        assert_eq!(call.expect_err("it takes minutes").code(), Some(Code::Deadline));
        let other = other.await.expect("it is not aborted");
        assert_eq!(other.expect_err("it takes minutes").code(), Some(Code::Deadline));
        assert_eq!(received.load(SeqCst), 1);
        assert_eq!(client.nth(5).await?, 11);
        Ok(())
    });
}

#[test]
fn calls_that_wait_end_with_their_runtime() {
    talk(async |daemon, _client| {
        let address = daemon.addresses()[0];
        let builder = || {
            tokio::runtime::Builder::new_multi_thread()
                .worker_threads(1)
                .enable_all()
                .build()
        };
        let runtime = builder().expect("a runtime can be had");
        let client = runtime.spawn(Client::connect(address)).await.expect("it runs")?;
        let long = tokio::spawn(client.pi(1 << 60).into_future());
        until_jobs(&daemon, 1).await;
        runtime.shutdown_background();
        let error = long
            .await
            .expect("it was not aborted")
            .expect_err("the connection is gone");
        assert!(matches!(error, Error::Closed), "{error}");
        let error = client.nth(5).await.expect_err("the connection is gone");
        assert!(matches!(error, Error::Closed), "{error}");
        Ok(())
    });
}

#[test]
fn jobs_are_submitted_watched_and_cancelled_from_any_client() {
    talk(async |daemon, client| {
        let job = client.submit("pi 1e18").await?;
        let short = client.submit("nth 1e6").await?;
        assert_eq!(client.result(short).await?, "15485863");
        let other = Client::connect(daemon.addresses()[0]).await?;
        assert_eq!(other.jobs().await?.len(), 2);
        let watching = timeout(Duration::from_millis(50), other.watch(job)).await;
        assert!(watching.is_err(), "it takes a minute");
        drop(client);
        until_connections(&daemon, 2).await;
        // The list comes from where a job is cancelled with its connection.
        assert_eq!(other.jobs().await?.len(), 2);
        assert_eq!(info(&daemon, "jobs"), 1, "it goes on when it is not watched");
        other.cancel(job).await?;
        assert_eq!(
            other.result(job).await.expect_err("it was cancelled").code(),
            Some(Code::Cancelled)
        );
        let unknown = other.result(JobId(77)).await.expect_err("there is none");
        assert_eq!(unknown.code(), Some(Code::NoJob));
        until_jobs(&daemon, 0).await;
        Ok(())
    });
}

#[test]
fn primes_come_as_they_are_read_and_stop_when_they_are_dropped() {
    talk(async |daemon, client| {
        let mut primes = client.primes(0..1_000_000).await?;
        let (mut count, mut sum) = (0, 0);
        while let Some(prime) = primes.next().await? {
            count += 1;
            sum += prime;
        }
        // A007504: the sum of the primes below 10^6 is 37550402023.
        assert_eq!((count, sum), (78_498, 37_550_402_023));
        let mut endless = client.primes(0..1 << 50).await?;
        assert_eq!(endless.next().await?, Some(2));
        // Nobody reads on: the others are not held up.
        assert_eq!(client.pi(1_000_000_000).await?, 50_847_534);
        drop(endless);
        until_jobs(&daemon, 0).await;
        Ok(())
    });
}

#[test]
fn a_reply_holds_no_more_rows_than_it_may() {
    talk(async |_daemon, client| {
        let reply = client.request::<Reply>("primes 0 1e7").await;
        assert!(matches!(reply, Err(Error::TooManyRows)), "{reply:?}");
        assert_eq!(client.request::<Reply>("primes 0 10").await?.rows, ["2 3 5 7"]);
        Ok(())
    });
}

#[test]
fn calls_that_wait_end_with_the_daemon() {
    talk(async |daemon, client| {
        let long = tokio::spawn(client.pi(1 << 60).into_future());
        until_jobs(&daemon, 1).await;
        tokio::task::spawn_blocking(|| daemon.stop(Duration::ZERO))
            .await
            .expect("it stops");
        let error = long.await.expect("it was not aborted").expect_err("it cannot be done");
        assert_eq!(error.code(), Some(Code::Cancelled));
        let error = client.nth(5).await.expect_err("there is no daemon");
        assert!(matches!(error, Error::Closed), "{error}");
        Ok(())
    });
}
