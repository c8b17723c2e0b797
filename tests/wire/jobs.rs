//! Long work: shared, cancelled, limited in time, and panicking.

use crate::support::{Client, Probe, daemon, exchange, info, resp, start, until};
use primed::{Daemon, Policy};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

fn probed() -> (primed::Handle, Arc<AtomicU64>) {
    let slices = Arc::new(AtomicU64::new(0));
    let probe = Probe { slices: slices.clone() };
    (start(Daemon::new().verb(probe)), slices)
}

#[test]
fn panics_cost_their_own_requests_and_no_thread() {
    let (daemon, _) = probed();
    assert_eq!(exchange(&daemon, "probe echo 1\n"), "OK 1\n");
    let mut answers = 0;
    let mut errors = 0;
    for _ in 0..100 {
        let requests: String = (0..1000)
            .map(|n| format!("probe {} {n}\n", if n % 100 == 7 { "panic" } else { "echo" }))
            .collect();
        for (n, line) in exchange(&daemon, &requests).lines().enumerate() {
            if line.starts_with("ERR internal :") {
                assert_eq!(n % 100, 7, "only those who asked for it panic");
                errors += 1;
            } else {
                assert_eq!(line, format!("OK {n}"));
                answers += 1;
            }
        }
    }
    assert_eq!((answers, errors), (99_000, 1_000));
    assert_eq!(info(&daemon, "threads_replaced"), 0);
}

#[test]
fn a_panic_where_the_scheduler_lives_costs_one_request_too() {
    let (daemon, _) = probed();
    let text = exchange(&daemon, "probe absorb 1\nprobe stuck 1\nprobe echo 5\n");
    let lines: Vec<&str> = text.lines().collect();
    assert!(
        lines[0].starts_with("ERR internal :") && lines[1].starts_with("ERR internal :"),
        "{text}"
    );
    assert_eq!(lines[2], "OK 5");
}

#[test]
fn a_tag_is_free_as_soon_as_its_cancel_is_answered() {
    let daemon = daemon();
    let mut client = Client::connect(&daemon);
    for n in 0..300u64 {
        client.send(format!("@a pi {}\n", 1_000_000_000_000_000_000 + n));
        assert_eq!(client.ask("cancel @a"), "OK");
        assert_eq!(client.line().as_deref(), Some("@a ERR cancelled :cancelled as asked"));
    }
    // Also in one breath, and exactly one reply each.
    let breath: String = (0..300u64)
        .map(|n| format!("@a pi {}\ncancel @a\n", 2_000_000_000_000_000_000 + n))
        .collect();
    client.send(breath);
    for _ in 0..300 {
        assert_eq!(client.line().as_deref(), Some("OK"));
        assert_eq!(client.line().as_deref(), Some("@a ERR cancelled :cancelled as asked"));
    }
    assert_eq!(client.ask("@a nth 5"), "@a OK 11");
    until("all work ends", || info(&daemon, "jobs") == 0);
}

#[test]
fn two_equal_long_questions_are_computed_once() {
    let (daemon, slices) = probed();
    let ask = |daemon: &primed::Handle| {
        let mut client = Client::connect(daemon);
        client.send("probe slices 200\n");
        client
    };
    let mut clients: Vec<Client> = (0..4).map(|_| ask(&daemon)).collect();
    for client in &mut clients {
        assert_eq!(client.line().as_deref(), Some("OK 200"));
    }
    // Each may have had its own first slice before it was found to be long.
    assert!(
        slices.load(SeqCst) <= 204,
        "{slices:?} slices for four equal questions of 200"
    );
}

#[test]
fn who_leaves_a_shared_question_does_not_take_the_answer_along() {
    let (daemon, slices) = probed();
    let mut first = Client::connect(&daemon);
    first.send("@x probe slices 1000\n");
    until("a part of it is done", || slices.load(SeqCst) >= 100);
    let mut second = Client::connect(&daemon);
    second.send("@z probe slices 1000\n@y probe slices 1\n");
    assert_eq!(second.line().as_deref(), Some("@y OK 1"));
    drop(first);
    assert_eq!(second.line().as_deref(), Some("@z OK 1000"));
    // Each may have had its own first slice before it was found to be long, and the short question had one.
    assert!(
        slices.load(SeqCst) <= 1_004,
        "{slices:?} slices for two equal questions of 1000"
    );
}

#[test]
fn a_deadline_stops_the_work() {
    let (daemon, slices) = probed();
    let reply = Client::connect(&daemon).ask("probe slices 1000000 deadline=50ms");
    assert_eq!(reply, "ERR deadline :the deadline passed; the work was stopped");
    until("the work stops", || info(&daemon, "jobs") == 0);
    let after = slices.load(SeqCst);
    assert_eq!(Client::connect(&daemon).ask("probe slices 20"), "OK 20");
    assert!(slices.load(SeqCst) <= after + 24, "slices of the stopped job still ran");
}

#[test]
fn who_disconnects_stops_its_work() {
    let daemon = daemon();
    let mut client = Client::connect(&daemon);
    client.send("pi 1e18\npi 999999999999999999\n");
    until("the work begins", || info(&daemon, "jobs") == 2);
    drop(client);
    until("the work stops", || info(&daemon, "jobs") == 0);
}

#[test]
fn who_half_closes_and_then_leaves_stops_its_work() {
    let daemon = daemon();
    let mut client = Client::connect(&daemon);
    client.send("pi 1e18\n");
    client
        .stream()
        .shutdown(std::net::Shutdown::Write)
        .expect("it is connected");
    until("the work begins", || info(&daemon, "slices_total") > 20);
    assert_eq!(
        info(&daemon, "jobs"),
        1,
        "a client that only half-closed still wants its answer"
    );
    drop(client);
    until("the work stops", || info(&daemon, "jobs") == 0);
}

#[test]
fn progress_is_reported_and_never_falls() {
    let (daemon, _) = probed();
    let mut client = Client::connect(&daemon);
    client.send("@p probe slices 400 progress=100ms\n");
    let mut last = -1.0;
    let mut reported = 0;
    loop {
        let line = client.line().expect("the session goes on");
        if line.starts_with("@p * stalled=") {
            continue;
        }
        let Some(progress) = line.strip_prefix("@p * pct=") else {
            assert_eq!(line, "@p OK 400");
            break;
        };
        let percent: f64 = progress
            .split(' ')
            .next()
            .and_then(|text| text.parse().ok())
            .expect("pct is a number");
        assert!(percent >= last && percent < 100.0, "{line} after {last}");
        last = percent;
        reported += 1;
    }
    assert!(reported > 0);
}

#[test]
fn short_questions_are_answered_beside_long_ones() {
    let daemon = daemon();
    let mut long = Client::connect(&daemon);
    long.send("pi 1e18\npi 999999999999999998\npi 999999999999999997\npi 999999999999999996\n");
    until("the long ones run", || info(&daemon, "slices_total") > 20);
    let mut client = Client::connect(&daemon);
    for _ in 0..200 {
        assert_eq!(client.ask("isprime 1000000000000000003"), "OK yes");
    }
    assert_eq!(info(&daemon, "jobs"), 4);
}

#[test]
fn a_submitted_job_goes_on_without_its_client_and_its_answer_is_kept() {
    let (daemon, _) = probed();
    assert_eq!(exchange(&daemon, "submit probe slices 100\n"), "OK job=1\n");
    let mut client = Client::connect(&daemon);
    assert_eq!(client.ask("result 1"), "OK 100");
    assert_eq!(client.ask("result job=1"), "OK 100");
    assert_eq!(client.ask("watch 1"), "OK 100");
    client.send("jobs\n");
    let row = client.line().expect("the session goes on");
    assert!(
        row.starts_with("= id=1 state=done cpu=0.") && row.ends_with("request=probe Slices 100"),
        "{row}"
    );
    assert_eq!(client.line().as_deref(), Some("OK"));
}

#[test]
fn a_known_answer_can_be_submitted_too() {
    let text = exchange(&daemon(), "submit 5\nresult 1\nsubmit nth 7\nresult 2\n");
    assert_eq!(text, "OK job=1\nOK 11\nOK job=2\nOK 17\n");
}

#[test]
fn the_answer_of_a_job_is_not_verified_without_a_store() {
    let text = exchange(&daemon(), "submit 5\nverify 1\nverify 2\n");
    let lines: Vec<&str> = text.lines().collect();
    let reason = "ERR bad-arg :the question of a job is not kept without a store; usage: verify REQUEST";
    assert_eq!(lines[..2], ["OK job=1", reason]);
    assert!(lines[2].starts_with("ERR no-job :there is no job 2"), "{text}");
}

#[test]
fn untagged_requests_about_jobs_take_effect_in_the_order_they_were_sent() {
    let (daemon, _) = probed();
    assert_eq!(
        exchange(&daemon, "submit probe slices 100\nresult 1\ncancel 1\nresult 1\n"),
        "OK job=1\nOK 100\nERR no-job :job 1 has ended already; 'result 1' gives its answer\nOK 100\n"
    );
    let text = exchange(
        &daemon,
        "submit probe slices 101\njobs\nsubmit probe slices 102\njobs\nresult 3\n",
    );
    let rows: Vec<usize> = text
        .split("OK\n")
        .map(|list| list.lines().filter(|line| line.starts_with("= id=")).count())
        .collect();
    assert_eq!(rows[..2], [2, 3], "{text}");
    assert!(text.ends_with("OK 102\n"), "{text}");
    let requests = ["SUBMIT probe slices 90", "RESULT 4", "CANCEL 4"];
    let requests = requests.map(|request| resp(&request.split(' ').collect::<Vec<_>>()));
    let text = exchange(&daemon, requests.concat());
    assert!(text.contains("90\r\n-"), "{text}");
}

#[test]
fn a_tag_overtakes_what_waits_for_a_job() {
    let (daemon, _) = probed();
    let mut client = Client::connect(&daemon);
    client.send("submit probe slices 1000000\nresult 1\nsubmit probe slices 1\nresult 2\n@n nth 5\n@c cancel 1\n");
    let mut said: Vec<String> = (0..6).map(|_| client.line().expect("the session goes on")).collect();
    let untagged: Vec<String> = said.extract_if(.., |line| !line.starts_with('@')).collect();
    assert_eq!(
        untagged,
        ["OK job=1", "ERR cancelled :job 1 was cancelled", "OK job=2", "OK 1"]
    );
    said.sort();
    assert_eq!(said, ["@c OK", "@n OK 11"]);
    // Questions pass by: they have no effect on jobs.
    assert_eq!(
        exchange(&daemon, "submit probe slices 50\nresult 3\nnth 5\n"),
        "OK job=3\nOK 50\nOK 11\n"
    );
}

#[test]
fn a_cancelled_job_answers_all_who_wait_and_frees_its_workers() {
    let (daemon, _) = probed();
    let mut client = Client::connect(&daemon);
    assert_eq!(client.ask("submit probe slices 1000000"), "OK job=1");
    client.send("@w watch 1 progress=100ms\n@r result 1\n");
    let progress = client.line().expect("the job makes progress");
    assert!(progress.starts_with("@w * "), "{progress}");
    client.send("@c cancel 1\n");
    let mut last: Vec<String> = Vec::new();
    while last.len() < 3 {
        let line = client.line().expect("the session goes on");
        if !line.contains(" * ") {
            last.push(line);
        }
    }
    last.sort();
    assert_eq!(last[0], "@c OK");
    assert_eq!(last[1], "@r ERR cancelled :job 1 was cancelled");
    assert_eq!(last[2], "@w ERR cancelled :job 1 was cancelled");
    until("the work stops", || info(&daemon, "jobs") == 0);
    assert_eq!(client.ask("result 1"), "ERR cancelled :job 1 was cancelled");
    assert_eq!(client.ask("cancel 1"), "ERR no-job :job 1 was cancelled already");
    assert!(client.ask("result 99").starts_with("ERR no-job :"));
}

#[test]
fn who_asks_the_same_keeps_the_answer_when_the_submitted_job_is_cancelled() {
    let (daemon, _) = probed();
    let mut client = Client::connect(&daemon);
    assert_eq!(client.ask("submit probe slices 300"), "OK job=1");
    until("it is long", || info(&daemon, "slices_total") > 5);
    client.send("@mine probe slices 300\n");
    assert_eq!(client.ask("@c cancel 1"), "@c OK");
    assert_eq!(client.line().as_deref(), Some("@mine OK 300"));
}

#[test]
fn waiting_for_a_result_has_a_deadline_of_its_own() {
    let (daemon, _) = probed();
    let mut client = Client::connect(&daemon);
    assert_eq!(client.ask("submit probe slices 400"), "OK job=1");
    assert!(client.ask("result 1 deadline=20ms").starts_with("ERR deadline :"));
    assert_eq!(client.ask("result 1"), "OK 400");
}

#[test]
fn what_is_no_work_cannot_be_submitted() {
    let daemon = daemon();
    let mut client = Client::connect(&daemon);
    for (request, code) in [
        ("submit", "bad-arg"),
        ("submit primes 5 1e9", "bad-arg"),
        ("submit submit pi 1e9", "bad-arg"),
        ("submit nht 5", "unknown-verb"),
        ("submit pi", "bad-arg"),
        ("result", "bad-arg"),
        ("result x", "bad-arg"),
        ("cancel 5", "no-job"),
        ("cancel job=5", "no-job"),
    ] {
        let reply = client.ask(request);
        assert!(reply.starts_with(&format!("ERR {code} :")), "{request}: {reply}");
    }
}

#[test]
fn long_jobs_for_which_there_is_no_memory_wait_and_are_all_answered() {
    let policy = Policy {
        max_memory: 24 << 20,
        ..Policy::default()
    };
    let daemon = start(Daemon::new().policy(policy));
    let requests: String = (0..40u64).map(|n| format!("pi {}\n", 1_000_000_000_000 + n)).collect();
    let text = exchange(&daemon, requests);
    // The first prime above 10^12 is 10^12 + 39.
    let expected: String = (0..40)
        .map(|n| format!("OK {}\n", if n < 39 { 37_607_912_018u64 } else { 37_607_912_019 }))
        .collect();
    assert_eq!(text, expected);
    assert!(Client::connect(&daemon).ask("pi 1e18").starts_with("ERR too-big :"));
}

#[test]
fn an_answer_found_for_one_client_is_known_to_the_next() {
    let daemon = daemon();
    let mut first = Client::connect(&daemon);
    assert_eq!(first.ask("pi 1e11"), "OK 4118054813");
    let slices = info(&daemon, "slices_total");
    let mut second = Client::connect(&daemon);
    assert_eq!(second.ask("PI 100000000000"), "OK 4118054813");
    assert_eq!(second.ask("submit pi 10**11"), "OK job=1");
    assert_eq!(second.ask("result 1"), "OK 4118054813");
    assert_eq!(info(&daemon, "cache_hits_total"), 2);
    assert_eq!(info(&daemon, "slices_total"), slices);
}

#[test]
fn answers_of_plugged_in_verbs_rows_and_errors_are_not_kept_unless_a_job_says_so() {
    let (daemon, slices) = probed();
    for _ in 0..2 {
        assert_eq!(exchange(&daemon, "probe echo 5\n"), "OK 5\n");
        assert_eq!(exchange(&daemon, "primes 10 12\n"), "= 11\nOK 1\n");
        assert!(exchange(&daemon, "probe panic 5\n").starts_with("ERR internal"));
    }
    assert_eq!(slices.load(SeqCst), 4);
    assert_eq!(info(&daemon, "cache_hits_total"), 0);
}

#[test]
fn without_room_for_answers_every_question_is_worked_out() {
    let policy = Policy {
        max_answers: 0,
        ..Policy::default()
    };
    let daemon = start(Daemon::new().policy(policy));
    assert_eq!(exchange(&daemon, "isprime 2^89-1\n"), "OK yes\n");
    let slices = info(&daemon, "slices_total");
    assert_eq!(exchange(&daemon, "isprime 2^89-1\n"), "OK yes\n");
    assert!(info(&daemon, "slices_total") > slices);
}

/// A daemon that remembers this many submitted jobs.
fn with_finished(count: usize) -> primed::Handle {
    let daemon = daemon();
    let replies = exchange(&daemon, "submit nth 5\n".repeat(count));
    assert_eq!(
        replies.lines().filter(|line| line.starts_with("OK job=")).count(),
        count
    );
    daemon
}

#[test]
fn many_lists_are_answered_one_after_the_other_as_they_are_read() {
    let daemon = with_finished(300);
    let mut reader = Client::connect(&daemon);
    reader.send("jobs\n".repeat(400));
    until("a list waits for its reader", || info(&daemon, "jobs") > 0);
    // A client that asks for more lists than it reads delays no other.
    assert_eq!(Client::connect(&daemon).ask("isprime 2^61-1"), "OK yes");
    let text = reader.finish();
    assert_eq!(text.lines().filter(|line| *line == "OK").count(), 400);
    assert_eq!(text.lines().filter(|line| line.starts_with("= id=")).count(), 400 * 250);
}

#[test]
fn a_list_fits_an_array_however_many_jobs_there_were() {
    let list = "*1\r\n$4\r\njobs\r\n";
    let text = exchange(&with_finished(3), list);
    assert!(text.starts_with("*3\r\n$"), "{text}");
    let text = exchange(&with_finished(1_000), list);
    assert!(text.starts_with("*250\r\n$"), "{text}");
    assert_eq!(exchange(&daemon(), list), "*0\r\n");
}

#[test]
fn who_watches_too_briefly_hears_that_the_job_goes_on() {
    let daemon = daemon();
    let mut client = Client::connect(&daemon);
    assert_eq!(client.ask("submit pi 1e19"), "OK job=1");
    let text = "ERR deadline :the deadline passed; job 1 goes on, 'result 1' waits for it";
    assert_eq!(client.ask("result 1 deadline=1ms"), text);
    assert_eq!(client.ask("cancel job=1"), "OK");
}

#[test]
fn there_are_as_many_workers_as_asked_for_or_as_cores_whatever_the_other_bounds() {
    let policy = Policy {
        max_jobs: 5_000,
        ..Policy::default()
    };
    let listening = Daemon::new().policy(policy).listen(([127, 0, 0, 1], 0).into());
    let daemon = listening.spawn().expect("a free port can be had");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    assert_eq!(info(&daemon, "workers"), cores as u64);
    let listening = Daemon::new()
        .workers(3)
        .policy(policy)
        .listen(([127, 0, 0, 1], 0).into());
    let daemon = listening.spawn().expect("a free port can be had");
    assert_eq!(info(&daemon, "workers"), 3);
}

#[test]
fn what_is_found_before_a_deadline_is_in_the_error() {
    let daemon = daemon();
    // 2^1061 - 1 has no factor below 140 digits (Childers, 2012).
    let mersenne = "ERR deadline :the deadline passed; the work was stopped; found 3 5 c320=";
    let mut client = Client::connect(&daemon);
    let number = (primed::Natural::ONE << 1061usize) - 1u8;
    let reply = client.ask(&format!("factor {} deadline=300ms", &number * 15u8));
    assert_eq!(reply, format!("{mersenne}{number}"));
    // Who watches the progress sees the stage in words.
    client.send(format!("factor {} progress=100ms deadline=10s\n", number * 15u8));
    let lines = std::iter::from_fn(|| client.line()).take_while(|line| line.starts_with("* "));
    assert!(lines.into_iter().any(|line| line.contains(" stage=ecm curves=")));
}

#[test]
fn submits_that_wait_for_a_result_are_bounded_by_their_bytes_and_answered_in_order() {
    let daemon = daemon();
    let mut client = Client::connect(&daemon);
    assert_eq!(client.ask("submit pi 1e18"), "OK job=1");
    // Three times these bytes are over ten times what a connection may have unsent.
    let long = format!("submit isprime {}\n", "9".repeat(9_000));
    client.send(format!("result 1\n{}isprime 7\n", long.repeat(30)));
    // What is read while they wait is what stops something.
    client.send("@x cancel @y\n");
    let mut other = Client::connect(&daemon);
    assert_eq!(other.ask("cancel 1"), "OK");
    let replies: Vec<String> = (0..33).map_while(|_| client.line()).collect();
    let of_tag = replies.iter().filter(|line| line.starts_with("@x ERR no-job")).count();
    let others: Vec<&String> = replies.iter().filter(|line| !line.starts_with('@')).collect();
    assert_eq!((replies.len(), of_tag), (33, 1), "{replies:?}");
    assert!(others[0].starts_with("ERR cancelled"), "{others:?}");
    let jobs: Vec<String> = (2..32).map(|job| format!("OK job={job}")).collect();
    assert!(
        others[1..31].iter().zip(&jobs).all(|(reply, job)| *reply == job),
        "{others:?}"
    );
    assert_eq!(others[31], "OK yes");
}

#[test]
fn rows_that_are_not_read_are_listed_among_the_jobs() {
    let daemon = daemon();
    let mut stream = Client::connect(&daemon);
    stream.send("primes 0 1e12\n");
    assert!(stream.line().is_some_and(|line| line.starts_with("= 2 3 5")));
    let listed = exchange(&daemon, "jobs\n");
    let row = listed.lines().next().expect("there is one");
    assert!(
        row.contains("state=running") && row.ends_with("request=primes 0 1000000000000"),
        "{listed}"
    );
}
