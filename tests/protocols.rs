//! Protocols of others, over real sockets: order, limits, cancelling and the drain are kept for them.

#[path = "support/mod.rs"]
mod support;

use actix::prelude::*;
use bytes::BytesMut;
use primed::{Accepted, Answer, Daemon, Engine, Finish, Limits, Protocol};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use support::{Client, exchange, info, until};
use tokio_util::codec::{Decoder, Encoder, LinesCodec};

/// Any verb, without `OK`, and a few words of its own.
struct Terse;

impl Protocol for Terse {
    type Codec = LinesCodec;
    type Reply = String;

    fn codec(&self) -> LinesCodec {
        LinesCodec::new_with_max_length(100)
    }

    async fn answer(&self, line: String, engine: &Engine) -> Answer<String> {
        match line.as_str() {
            "" => Answer::Nothing,
            "bye" => Answer::Last("bye".into()),
            "panic" => panic!("as asked"),
            "slow" => {
                let begun = Instant::now();
                while begun.elapsed() < Duration::from_micros(100) {}
                Answer::Reply("slow".into())
            }
            "big" => Answer::Reply("x".repeat(10_000)),
            words => match engine.request(words).await {
                Ok(value) => Answer::Reply(value.to_string()),
                Err(failure) => Answer::Reply(failure.code.to_string()),
            },
        }
    }

    fn malformed(&self, _: tokio_util::codec::LinesCodecError) -> Answer<String> {
        Answer::Last("too long".into())
    }
}

/// A daemon with a foreign listener at the first address and a built-in one at the second.
fn start(daemon: Daemon) -> primed::Handle {
    support::start(daemon.serve(([127, 0, 0, 1], 0).into(), || Terse))
}

/// A row of `info`, asked at the built-in listener.
fn counter(daemon: &primed::Handle, key: &str) -> u64 {
    let mut client = Client::connect_to(daemon.addresses()[1]);
    client.send("info\n");
    let text = client.finish();
    let row = text
        .lines()
        .find_map(|line| line.strip_prefix("= ")?.strip_prefix(key)?.strip_prefix('='));
    row.and_then(|row| row.parse().ok()).expect("info has it")
}

fn jobs(daemon: &primed::Handle) -> u64 {
    counter(daemon, "jobs")
}

#[test]
fn replies_leave_in_the_order_of_the_requests() {
    let daemon = start(Daemon::new());
    let text = exchange(&daemon, "pi 1e11\n\nisprime 2^89-1\nnth 5\nfactor 2^67-1\n");
    assert_eq!(text, "4118054813\nyes\n11\n193707721 761838257287\n");
}

#[test]
fn many_requests_in_one_breath_get_as_many_replies() {
    let daemon = start(Daemon::new());
    let mut client = Client::connect(&daemon);
    let mut stream = client.stream().try_clone().expect("a socket can be shared");
    let writer = std::thread::spawn(move || {
        for _ in 0..1000 {
            stream
                .write_all("nth 5\n".repeat(200).as_bytes())
                .expect("the daemon reads");
        }
        stream.shutdown(std::net::Shutdown::Write).expect("it is connected");
    });
    let mut replies = 0;
    while let Some(line) = client.line() {
        assert_eq!(line, "11");
        replies += 1;
    }
    writer.join().expect("the writer wrote");
    assert_eq!(replies, 200_000);
}

#[test]
fn who_floods_takes_turns_with_the_others() {
    let daemon = start(Daemon::new());
    let mut flooding = TcpStream::connect(daemon.addresses()[0]).expect("the daemon listens");
    // A second of work, all of it there at once.
    let flood = "slow\n".repeat(10_000);
    flooding.write_all(flood.as_bytes()).expect("the daemon reads");
    let mut replies = vec![0; flood.len()];
    flooding.read_exact(&mut replies[..5]).expect("it has begun");
    let mut other = Client::connect(&daemon);
    for _ in 0..20 {
        other.send("nth 5\n");
        assert_eq!(other.line().as_deref(), Some("11"));
    }
    flooding.set_nonblocking(true).expect("a socket takes options");
    let mut count = 5;
    while let Ok(more) = flooding.read(&mut replies) {
        count += more;
    }
    assert!(
        count < flood.len(),
        "the other was answered 20 times only after the flood"
    );
}

#[test]
fn after_the_last_word_nothing_is_said() {
    let daemon = start(Daemon::new());
    let mut client = Client::connect(&daemon);
    client.send("nth 5\nbye\nnth 6\n");
    assert_eq!(client.line().as_deref(), Some("11"));
    assert_eq!(client.line().as_deref(), Some("bye"));
    assert_eq!(client.line(), None);
}

#[test]
fn what_the_codec_refuses_is_answered_by_the_protocol() {
    let daemon = start(Daemon::new());
    assert_eq!(
        exchange(&daemon, format!("nth 5\n{}\nnth 6\n", "1".repeat(200))),
        "11\ntoo long\n"
    );
}

/// Lines whose codec knows no limit, each answered by its length.
struct Lengths;

impl Protocol for Lengths {
    type Codec = LinesCodec;
    type Reply = String;

    fn codec(&self) -> LinesCodec {
        LinesCodec::new()
    }

    async fn answer(&self, line: String, _: &Engine) -> Answer<String> {
        Answer::Reply(line.len().to_string())
    }

    fn malformed(&self, error: tokio_util::codec::LinesCodecError) -> Answer<String> {
        Answer::Last(error.to_string())
    }
}

#[test]
fn a_frame_beyond_the_limit_is_malformed_however_it_is_cut() {
    let limits = Limits {
        max_line_bytes: 1000,
        ..Limits::default()
    };
    let lengths = Daemon::new()
        .limits(limits)
        .serve(([127, 0, 0, 1], 0).into(), || Lengths);
    let daemon = support::start(lengths);
    let too_long = "a frame may have 1000 bytes";
    for (length, answer) in [(999, "999"), (1000, too_long), (5000, too_long)] {
        let frame = "x".repeat(length) + "\n";
        for at in [0, 1, 500, 998, 999, 1000, length, frame.len()] {
            let (first, rest) = frame.split_at(at.min(frame.len()));
            let mut client = Client::connect(&daemon);
            client.send(format!("\n{first}"));
            // With its answer, the first part has been read, and perhaps judged.
            assert_eq!(client.line().as_deref(), Some("0"));
            client.send_if_possible(rest);
            assert_eq!(
                client.line_if_any().as_deref(),
                Some(answer),
                "{length} bytes, cut at {at}"
            );
        }
        assert_eq!(exchange(&daemon, &frame), format!("{answer}\n"));
        assert_eq!(exchange(&daemon, "xx\n".repeat(2000)), "2\n".repeat(2000));
    }
}

#[test]
fn a_frame_that_has_begun_is_read_also_if_the_limit_is_lowered_meanwhile() {
    actix::System::new().block_on(async {
        let daemon = Daemon::new().workers(1).serve(([127, 0, 0, 1], 0).into(), || Lengths);
        let running = daemon.start().await.expect("it starts");
        let address = running.addresses()[0];
        let begun = tokio::task::spawn_blocking(move || {
            let mut client = Client::connect_to(address);
            client.send(format!("\n{}", "x".repeat(800)));
            // With its answer, the first part has been read.
            assert_eq!(client.line().as_deref(), Some("0"));
            client
        });
        let mut begun = begun.await.expect("it answers");
        let limits = Limits {
            max_line_bytes: 500,
            ..Limits::default()
        };
        running.set_limits(limits).expect("no limit is 0");
        let ended = tokio::task::spawn_blocking(move || {
            begun.send("xx\n");
            assert_eq!(begun.line().as_deref(), Some("802"));
            // The new limit holds for those that connect from now on.
            let mut other = Client::connect_to(address);
            other.send("x".repeat(800) + "\n");
            assert_eq!(other.finish(), "a frame may have 500 bytes\n");
        });
        ended.await.expect("both are answered");
        running.drain(Duration::ZERO).await;
    });
}

#[test]
fn an_idle_timeout_that_is_lowered_closes_connections_that_are_idle() {
    for before in [None, Some(Duration::from_secs(3600))] {
        let patient = Limits {
            idle_timeout: before,
            ..Limits::default()
        };
        let hasty = Limits {
            idle_timeout: Some(Duration::from_millis(300)),
            ..patient
        };
        actix::System::new().block_on(async {
            let any = ([127, 0, 0, 1], 0).into();
            let daemon = Daemon::new().workers(1).limits(patient).io_threads(2);
            let running = daemon.listen(any).serve(any, || Terse).start().await;
            let running = running.expect("it starts");
            let addresses = running.addresses().to_vec();
            let idle = tokio::task::spawn_blocking(move || {
                // Some for each thread.
                let clients = addresses.iter().chain(&addresses).map(|address| {
                    let mut client = Client::connect_to(*address);
                    client.send("nth 5\n");
                    assert!(client.line().is_some_and(|line| line.ends_with("11")));
                    client
                });
                clients.collect::<Vec<_>>()
            });
            let idle = idle.await.expect("they are answered");
            running.set_limits(hasty).expect("no limit is 0");
            let closed = tokio::task::spawn_blocking(move || {
                for mut client in idle {
                    assert_eq!(client.line(), None);
                }
            });
            closed.await.expect("they are closed");
            running.drain(Duration::ZERO).await;
        });
    }
}

#[test]
fn the_list_of_clients_has_the_requests_that_a_protocol_has_answered() {
    let daemon = start(Daemon::new());
    let mut client = Client::connect(&daemon);
    client.send("nth 5\n\nnth 6\n");
    assert_eq!(
        (client.line().as_deref(), client.line().as_deref()),
        (Some("11"), Some("13"))
    );
    let address = client.stream().local_addr().expect("it is connected");
    let mut other = Client::connect_to(daemon.addresses()[1]);
    other.send("clients\n");
    let rows = other.finish();
    let row = rows.lines().find(|row| row.contains(&format!("address={address} ")));
    assert!(row.is_some_and(|row| row.contains(" requests=3 ")), "{rows}");
}

#[test]
fn a_panic_costs_the_connection_it_happened_on() {
    let daemon = start(Daemon::new());
    let mut other = Client::connect(&daemon);
    assert_eq!(exchange(&daemon, "nth 5\npanic\nnth 6\n"), "11\n");
    other.send("nth 6\n");
    assert_eq!(other.line().as_deref(), Some("13"));
}

#[test]
fn what_is_malformed_and_what_panics_counts_as_a_request_with_an_error() {
    let daemon = start(Daemon::new());
    assert_eq!(exchange(&daemon, "nth 5\n\npanic\nnth 6\n"), "11\n");
    assert_eq!(
        exchange(&daemon, format!("nth 5\n{}\nnth 6\n", "1".repeat(200))),
        "11\ntoo long\n"
    );
    assert_eq!(exchange(&daemon, "nth 5\nbye\nnth 6\n"), "11\nbye\n");
    assert_eq!(counter(&daemon, "requests_total"), 7);
    assert_eq!(counter(&daemon, "errors_total"), 2);
}

#[test]
fn hanging_up_frees_the_cpu() {
    let daemon = start(Daemon::new());
    for half_closes in [false, true] {
        let mut client = Client::connect(&daemon);
        client.send("pi 1e18\npi 2e18\n");
        until("the work begins", || jobs(&daemon) == 2);
        if half_closes {
            client
                .stream()
                .shutdown(std::net::Shutdown::Write)
                .expect("it is connected");
            assert_eq!(jobs(&daemon), 2, "who half-closes still wants the answer");
        }
        drop(client);
        until("the work ends", || jobs(&daemon) == 0);
    }
}

#[test]
fn a_stopping_daemon_answers_what_a_protocol_accepted() {
    let daemon = start(Daemon::new());
    let mut client = Client::connect(&daemon);
    client.send("pi 1e14\n");
    until("the work begins", || jobs(&daemon) == 1);
    let stopping = std::thread::spawn(move || daemon.stop(Duration::from_secs(60)));
    assert_eq!(client.line().as_deref(), Some("3204941750802"));
    assert_eq!(client.line(), None);
    drop(client);
    stopping.join().expect("the daemon stops");
}

#[test]
fn a_daemon_that_stops_at_its_limit_cancels_what_is_waited_for() {
    let daemon = start(Daemon::new());
    let mut client = Client::connect(&daemon);
    client.send("pi 1e18\n");
    until("the work begins", || jobs(&daemon) == 1);
    daemon.stop(Duration::from_millis(1));
    assert_eq!(client.line().as_deref(), Some("cancelled"));
    assert_eq!(client.line(), None);
}

#[test]
fn who_does_not_read_is_not_read_from_and_then_closed() {
    let limits = Limits {
        stall_timeout: Duration::from_millis(500),
        ..Limits::default()
    };
    let daemon = start(Daemon::new().limits(limits));
    let mut stream = TcpStream::connect(daemon.addresses()[0]).expect("the daemon listens");
    stream
        .set_write_timeout(Some(support::PATIENCE))
        .expect("a socket takes options");
    // 10,000 bytes come back for each 4: without a limit, all of it would be taken in at once.
    let error = loop {
        if let Err(error) = stream.write_all("big\n".repeat(1000).as_bytes()) {
            break error;
        }
    };
    assert!(
        matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
        "{error}"
    );
}

#[test]
fn who_dribbles_or_rests_is_closed() {
    let limits = Limits {
        stall_timeout: Duration::from_millis(300),
        idle_timeout: Some(Duration::from_millis(300)),
        ..Limits::default()
    };
    let daemon = start(Daemon::new().limits(limits));
    let begun = Instant::now();
    let mut resting = Client::connect(&daemon);
    let mut dribbling = Client::connect(&daemon);
    dribbling.send("nth");
    assert_eq!((resting.line(), dribbling.line()), (None, None));
    assert!(
        (300..3_000).contains(&begun.elapsed().as_millis()),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn connections_beyond_the_limit_are_closed_and_closed_ones_make_room() {
    let limits = Limits {
        max_connections: 2,
        ..Limits::default()
    };
    let daemon = start(Daemon::new().limits(limits));
    let mut first = Client::connect(&daemon);
    let mut second = Client::connect(&daemon);
    first.send("nth 1\n");
    second.send("nth 2\n");
    assert_eq!(
        (first.line().as_deref(), second.line().as_deref()),
        (Some("2"), Some("3"))
    );
    assert_eq!(Client::connect(&daemon).line_if_any(), None);
    drop(first);
    until("there is room again", || {
        let mut third = Client::connect(&daemon);
        third.send_if_possible("nth 3\n");
        third.line_if_any().as_deref() == Some("5")
    });
}

#[test]
fn sessions_on_threads_of_their_own_do_the_same() {
    let daemon = start(Daemon::new().io_threads(2));
    for _ in 0..4 {
        assert_eq!(
            exchange(&daemon, "nth 5\nisprime 2^89-1\npi 1e11\n"),
            "11\nyes\n4118054813\n"
        );
    }
}

/// A frame that panics, one that never ends, and bytes.
struct Hostile;

impl Decoder for Hostile {
    type Item = BytesMut;
    type Error = std::io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> std::io::Result<Option<BytesMut>> {
        match buffer.first() {
            Some(b'!') => panic!("as asked"),
            Some(b'.') | None => Ok(None),
            Some(_) => Ok(Some(buffer.split())),
        }
    }
}

impl Encoder<BytesMut> for Hostile {
    type Error = std::io::Error;

    fn encode(&mut self, bytes: BytesMut, out: &mut BytesMut) -> std::io::Result<()> {
        out.extend_from_slice(&bytes);
        Ok(())
    }
}

struct Echo;

impl Protocol for Echo {
    type Codec = Hostile;
    type Reply = BytesMut;

    fn codec(&self) -> Hostile {
        Hostile
    }

    async fn answer(&self, request: BytesMut, _: &Engine) -> Answer<BytesMut> {
        Answer::Reply(request)
    }
}

#[test]
fn a_codec_that_panics_or_never_ends_costs_its_connection() {
    let daemon = support::start(Daemon::new().serve(([127, 0, 0, 1], 0).into(), || Echo));
    assert_eq!(exchange(&daemon, "hello"), "hello");
    let mut panicking = Client::connect(&daemon);
    panicking.send("!");
    assert_eq!(panicking.line_if_any(), None);
    let mut endless = Client::connect(&daemon);
    endless.send(".");
    until("it is closed", || {
        endless.send_if_possible([b'.'; 4096]);
        endless.stream().set_nonblocking(true).expect("a socket takes options");
        let end = endless.stream().read(&mut [0; 16]);
        endless.stream().set_nonblocking(false).expect("a socket takes options");
        !matches!(end, Err(error) if error.kind() == ErrorKind::WouldBlock)
    });
    assert_eq!(exchange(&daemon, "still here"), "still here");
    until("both are gone", || counter(&daemon, "connections") == 1);
}

/// A custom actor: answers `tick` for each byte, by a message to itself, and panics at `!`.
struct Ticker {
    accepted: Option<Accepted>,
}

#[derive(Message)]
#[rtype(result = "()")]
struct Tick(Accepted);

impl Actor for Ticker {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.notify(Tick(self.accepted.take().expect("it was just made")));
    }
}

impl Handler<Tick> for Ticker {
    type Result = ();

    fn handle(&mut self, Tick(mut accepted): Tick, context: &mut Self::Context) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let talk = async move {
            while let Ok(byte) = accepted.read_u8().await {
                assert!(byte != b'!', "as asked");
                if accepted.write_all(b"tick\n").await.is_err() {
                    break;
                }
            }
        };
        context.spawn(talk.into_actor(self).map(|(), _, context| context.stop()));
    }
}

impl Handler<Finish> for Ticker {
    type Result = ();

    fn handle(&mut self, _: Finish, context: &mut Self::Context) {
        context.stop();
    }
}

#[test]
fn any_actor_is_a_session_and_is_asked_to_finish() {
    let daemon = support::start(Daemon::new().serve_with(([127, 0, 0, 1], 0).into(), |accepted| Ticker {
        accepted: Some(accepted),
    }));
    let mut client = Client::connect(&daemon);
    client.send("ab");
    assert_eq!(
        (client.line().as_deref(), client.line().as_deref()),
        (Some("tick"), Some("tick"))
    );
    let mut panicking = Client::connect(&daemon);
    panicking.send("!");
    assert_eq!(panicking.line_if_any(), None);
    client.send("c");
    assert_eq!(client.line().as_deref(), Some("tick"));
    let stopping = std::thread::spawn(move || daemon.stop(Duration::from_secs(60)));
    assert_eq!(client.line_if_any(), None);
    stopping.join().expect("the daemon stops");
}

#[test]
fn the_program_around_the_daemon_asks_without_a_socket_and_what_it_drops_is_cancelled() {
    use primed::Code;
    use primed::Event;
    use primed::Query;
    let daemon = support::daemon();
    let engine = daemon.engine().clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be had");
    runtime.block_on(async {
        let prime: u64 = engine
            .ask(Query::Nth(1_000_000))
            .await
            .expect("it is small")
            .try_into()
            .expect("a number");
        assert_eq!(prime, 15_485_863);
        let refused = engine.request("nth 0").await.expect_err("primes are counted from 1");
        assert_eq!(refused.code, Code::BadArg);
        let late = engine.ask(Query::Pi(1 << 60)).deadline(Duration::from_millis(50)).await;
        assert_eq!(late.expect_err("it takes minutes").code, Code::Deadline);

        let mut events = engine
            .ask(Query::Primes {
                low: 0,
                last: 1_000_000,
            })
            .events();
        let mut primes = 0;
        while let Some(event) = events.next().await {
            match event {
                Event::Interim(primed::Interim::Rows(rows)) => {
                    primes += rows.iter().map(|row| row.split(' ').count()).sum::<usize>();
                }
                Event::Interim(_) => {}
                Event::Final(reply) => assert_eq!(reply, Ok(78_498.into())),
            }
        }
        assert_eq!(primes, 78_498);

        // Who waits for the reply only does not keep it waiting for the rows to be taken.
        assert_eq!(engine.request("primes 0 1e6").await, Ok(78_498.into()));

        let mut long = engine
            .ask(Query::Pi(1 << 60))
            .progress(Duration::from_millis(100))
            .events();
        assert!(matches!(long.next().await, Some(Event::Interim(_))));
        assert_eq!(info(&daemon, "jobs"), 1);
        drop(long);
        until("the work ends", || info(&daemon, "jobs") == 0);
        let dropped = engine.ask(Query::Pi(1 << 60)).into_future();
        until("the work begins", || info(&daemon, "jobs") == 1);
        drop(dropped);
        until("the work ends", || info(&daemon, "jobs") == 0);
    });
    daemon.stop(Duration::ZERO);
    let stopped = runtime.block_on(async { engine.ask(Query::Pi(1 << 60)).await });
    assert_eq!(stopped.expect_err("there is no daemon any more").code, Code::Draining);
}
