//! Guessing passwords: slow for the one who guesses, and for nobody else.

use crate::daemon::{Daemon, Directory, add_user};
use crate::support::{Client, until};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// How long the others are asked beside it.
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

// By how little they delay them is measured by benches/guessing.sh.
#[test]
fn a_thousand_wrong_passwords_a_second_do_not_stop_the_others() {
    let daemon = daemon();
    let mut ann = daemon.client_of("ann", "ann-pw");
    let stop = AtomicBool::new(false);
    let p99 = thread::scope(|scope| {
        scope.spawn(|| {
            let begun = Instant::now();
            for count in 0.. {
                if stop.load(Relaxed) {
                    return;
                }
                let last = u8::try_from(9 + count % 240).expect("it is below 249");
                Client::connect_from(last, daemon.addresses[0]).send_if_possible("auth ann guess\n");
                let next = begun + Duration::from_millis(count + 1);
                thread::sleep(next.saturating_duration_since(Instant::now()));
            }
        });
        let p99 = p99(&mut ann, ROUND);
        stop.store(true, Relaxed);
        p99
    });
    assert!(p99 < Duration::from_secs(1), "{p99:?}");
}
