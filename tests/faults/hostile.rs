//! Bytes that no honest client sends, and resets in every state.

use crate::served::{Served, figure, scale, time_until};
use crate::support::{Client, Probe, start};
use socket2::SockRef;
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

#[test]
fn a_line_without_end_takes_no_memory() {
    let served = Served::start(&[]);
    let before = served.memory_kib();
    let mut client = served.client();
    let mib = scale(50, 1024);
    let mut most = 0;
    for _ in 0..mib {
        client.send(vec![b'7'; 1 << 20]);
        most = most.max(served.memory_kib());
    }
    client.send("\nping\n");
    assert!(
        client
            .line()
            .is_some_and(|line| line.starts_with("ERR line-too-long :"))
    );
    assert_eq!(client.line().as_deref(), Some("OK pong"));
    let growth = most.saturating_sub(before);
    figure(
        &format!("a line of {mib} MiB"),
        "<= 64 KiB held",
        format!("{growth} KiB (with the thread's read buffer)"),
    );
    assert!(growth < 4096, "{growth} KiB");
}

#[test]
fn lines_of_any_bytes_get_one_reply_each_at_every_split() {
    let served = Served::start(&["--io-threads", "2"]);
    let lines: [&[u8]; 8] = [
        b"pi \0\n",
        b"\xff\xfe\n",
        b"\xc3\x28\n",
        b"\xed\xa0\x80\n",
        b"\xf8\x88\x80\x80\x80\n",
        b"ping\r\n",
        b"\rping\n",
        b"isprime ---7\r\n",
    ];
    let all = lines.concat();
    for at in 0..=all.len() {
        let mut client = served.client();
        client.send(&all[..at]);
        client.send(&all[at..]);
        let text = client.finish();
        assert_eq!(text.lines().count(), lines.len(), "{text}");
        assert_eq!(text.lines().filter(|line| *line == "OK pong").count(), 1, "{text}");
    }
    for sign in ["-", "+", "_", "(", "9^", "1e"] {
        let reply = served
            .client()
            .ask(&format!("isprime {}", sign.repeat(16_000 / sign.len())));
        assert!(reply.starts_with("ERR "), "{sign}: {reply}");
    }
    figure(
        "hostile bytes, every split",
        "one reply each",
        format!("{} splits", all.len() + 1),
    );
}

#[test]
fn a_reset_in_any_state_leaves_no_work() {
    let served = Served::start(&[]);
    // Submitted by another client: clients that watch it may leave, and it goes on.
    let mut owner = served.client();
    assert_eq!(owner.ask("submit pi 1e18"), "OK job=1");
    let states = [
        "",
        "p",
        "pi 1e18\n",
        "@a pi 1e18\n@a ping\nhel",
        "primes 0 2^64\n",
        "quit\n",
        "submit isprime 10^60+7\n",
        "submit isprime 10^60+7\nresult 1\n",
        "@w watch 1 progress=100ms\n@r result 1\n",
        "submit\n",
        "GET / HTTP/1.1\n",
        "pi 1e18\nquit\n",
    ];
    let descriptors = served.descriptors();
    let count = scale(360, 10_000);
    for n in 0..count {
        let mut client = TcpStream::connect(served.address).expect("it listens");
        client.write_all(states[n % states.len()].as_bytes()).expect("it reads");
        if n % 2 == 0 {
            let _ = client.shutdown(Shutdown::Write);
        }
        SockRef::from(&client)
            .set_linger(Some(Duration::ZERO))
            .expect("a socket takes options");
    }
    let time = time_until("all work of those who reset stops", || served.info("jobs") == 1);
    time_until("their descriptors are closed", || served.descriptors() <= descriptors);
    figure(
        &format!("{count} resets in {} states", states.len()),
        "idle <= 100 ms",
        format!("{time:.0?}"),
    );
    // A submitted job goes on without its client.
    owner.send("jobs\n");
    let mut states = std::collections::BTreeMap::<String, usize>::new();
    while let Some(row) = owner.line().filter(|line| line.starts_with('=')) {
        let state = row.split(' ').find_map(|word| word.strip_prefix("state="));
        *states.entry(state.unwrap_or_default().to_owned()).or_default() += 1;
    }
    assert!(
        states.remove("done") > Some(0) && states.remove("running") == Some(1),
        "{states:?}"
    );
    assert!(states.is_empty(), "{states:?}");
    assert_eq!(owner.ask("cancel 1"), "OK");
}

#[test]
fn ten_thousand_panics_cost_ten_thousand_requests_and_nothing_else() {
    quieten_what_was_asked_for();
    let daemon = start(primed::Daemon::new().verb(Probe {
        slices: Default::default(),
    }));
    let count = scale(1_000, 10_000);
    let mut panics = 0;
    for round in 0..count / 500 {
        let mut client = Client::connect(&daemon);
        client.send(
            (0..500)
                .map(|n| format!("probe panic {round}{n}\nprobe echo {n}\n"))
                .collect::<String>(),
        );
        for (n, pair) in client.finish().lines().collect::<Vec<_>>().chunks(2).enumerate() {
            assert!(pair[0].starts_with("ERR internal :"), "{pair:?}");
            assert_eq!(pair[1], format!("OK {n}"));
            panics += 1;
        }
    }
    assert_eq!(panics, count);
    assert_eq!(crate::support::info(&daemon, "threads_replaced"), 0);
    figure(
        &format!("{count} panics"),
        "each gets an error, 0 threads lost, 0 other requests affected",
        format!("{panics} errors, 0 lost, 0 affected"),
    );
}

/// Ten thousand stack traces hide the one that matters.
fn quieten_what_was_asked_for() {
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if panic.payload_as_str() != Some("as asked") {
            hook(panic);
        }
    }));
}
