//! Guessing passwords: slow for the one who guesses, and for nobody else.

use crate::daemon::{Daemon, Directory, add_user};
use crate::support::{Client, until};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// How long each figure is measured.
const ROUND: Duration = Duration::from_secs(1);

fn daemon() -> Daemon {
    let directory = Directory::new();
    add_user(&directory, "ann", "ann-pw", &[]);
    let file = directory.path("users");
    Daemon::logging("info", directory, &["--users", &file])
}

#[test]
fn each_wrong_password_of_an_address_is_answered_later_than_the_one_before() {
    let daemon = daemon();
    let mut bad = Client::connect_from(9, daemon.addresses[0]);
    let wrong = "ERR unauthenticated :the user or the password is wrong";
    for (user, least) in [("ann", 250), ("nobody", 500), ("ann", 1_000)] {
        let begun = Instant::now();
        assert_eq!(bad.ask(&format!("auth {user} guess")), wrong);
        assert!(begun.elapsed() >= Duration::from_millis(least), "{:?}", begun.elapsed());
    }
    bad.send("auth ann guess\n");
    // The fourth is being held back, so another connection of the address is not looked at, were it right.
    let mut reply = String::new();
    until("a password of its address is refused", || {
        reply = Client::connect_from(9, daemon.addresses[0]).ask("auth ann ann-pw");
        reply != "OK"
    });
    assert!(
        reply.starts_with("ERR busy :wrong passwords came from your address"),
        "{reply}"
    );
    assert_eq!(
        Client::connect_from(8, daemon.addresses[0]).ask("auth ann ann-pw"),
        "OK"
    );
}

/// The p99 of questions, one by one, over this time.
fn p99(client: &mut Client, time: Duration) -> Duration {
    let begun = Instant::now();
    let mut took = Vec::new();
    while begun.elapsed() < time {
        let asked = Instant::now();
        assert_eq!(client.ask("nth 100"), "OK 541");
        took.push(asked.elapsed());
    }
    took.sort_unstable();
    took[took.len() * 99 / 100]
}

/// The same beside a thousand connections a second, from many addresses in turn, that each send this.
fn p99_beside(client: &mut Client, daemon: &Daemon, request: &str) -> Duration {
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let p99 = thread::scope(|scope| {
        scope.spawn(|| {
            let begun = Instant::now();
            while !stop.load(Relaxed) {
                let count = sent.fetch_add(1, Relaxed);
                let last = u8::try_from(9 + count % 240).expect("it is below 249");
                Client::connect_from(last, daemon.addresses[0]).send_if_possible(request);
                let next = begun + Duration::from_millis(count + 1);
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        });
        let p99 = p99(client, ROUND);
        stop.store(true, Relaxed);
        p99
    });
    println!(
        "beside {} a second of {request:?}: p99 {p99:?}",
        sent.load(Relaxed) / ROUND.as_secs()
    );
    p99
}

#[test]
fn a_thousand_wrong_passwords_a_second_delay_the_others_no_more_than_as_many_connections_do() {
    let daemon = daemon();
    let mut ann = daemon.client_of("ann", "ann-pw");
    let rounds = 3;
    let mut figures = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..rounds {
        figures[0].push(p99(&mut ann, ROUND));
        figures[1].push(p99_beside(&mut ann, &daemon, "ping\n"));
        figures[2].push(p99_beside(&mut ann, &daemon, "auth ann guess\n"));
    }
    // The best of each: the machine may do other things.
    let [alone, connections, guesses] = figures.map(|figures| figures.into_iter().min().unwrap_or_default());
    println!("p99 alone {alone:?}, beside connections {connections:?}, beside wrong passwords {guesses:?}");
    // The machine may do other things all the time: the figures say more than this bound.
    assert!(guesses < Duration::from_secs(1), "{guesses:?}");
}
