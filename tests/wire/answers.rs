//! What is answered, and in which order.

use crate::support::{Client, daemon, exchange, info};

#[test]
fn a_line_that_is_only_a_number_gets_the_bare_prime() {
    assert_eq!(exchange(&daemon(), "100000\n1\n1e6\n"), "1299709\n2\n15485863\n");
}

#[test]
fn every_verb_answers() {
    let daemon = daemon();
    let mut client = Client::connect(&daemon);
    for (request, reply) in [
        ("nth 1e6", "OK 15485863"),
        ("pi 1e9", "OK 50847534"),
        ("count 100 110", "OK 4"),
        ("count 1e6 2e6 method=sieve", "OK 70435"),
        ("isprime 91", "OK no"),
        ("isprime 2^127-1", "OK yes"),
        ("next 1e18", "OK 1000000000000000003"),
        ("prev 2^64", "OK 18446744073709551557"),
        ("factor 360", "OK 2 2 2 3 3 5"),
        ("factor 1", "OK"),
        ("primes 100 110", "OK 4"),
        ("primes 0 100 kind=twins", "OK 8"),
        ("count 0 1e6 kind=quadruplets", "OK 166"),
        ("sum 0 1e6", "OK 37550402023"),
        ("sum 0 1e11", "OK 201467077743744681014"),
        ("gaps 0 1e6", "OK 114 492113 492227"),
        ("gaps 24 29", "OK"),
        ("nth 26 29", "OK 4"),
        ("isprime 7 8 2^127-1 0x1f", "OK yes no yes yes"),
        ("next 100 4", "OK 4"),
        ("prev 8 100", "OK 4"),
        ("totient 2520", "OK 576"),
        ("sigma 28", "OK 56"),
        ("moebius 30", "OK -1"),
        ("radical 360", "OK 30"),
        ("divisors 28", "OK 6"),
        ("root 41", "OK 6"),
        ("root 8", "OK none"),
        ("certify 2^61-1", "OK 2305843009213693951"),
        ("certify 91", "OK composite"),
        ("certify check=[13,[2,3]]", "OK yes"),
        ("certify check=[91,[2,3]]", "OK no"),
        ("PING", "OK pong"),
        ("help", "OK"),
        ("info", "OK"),
    ] {
        assert_eq!(client.ask(request), reply, "{request}");
    }
    assert_eq!(client.ask("quit"), "OK bye");
    assert_eq!(client.line(), None);
}

#[test]
fn what_takes_a_microsecond_needs_no_worker_and_keeps_its_place() {
    let daemon = daemon();
    let mut client = Client::connect(&daemon);
    // The first primes beyond 10^18 (A033873) and 2^64 (A013597). The second takes a worker, and the third waits for
    // its reply.
    client.send("isprime 10^18+3\nisprime 2^64+13\nisprime 10^18+1\n@t isprime 10^18+9\n");
    let mut replies: Vec<_> = (0..4).map(|_| client.line().expect("there are four replies")).collect();
    let tagged = replies.iter().position(|reply| reply == "@t OK yes");
    replies.remove(tagged.expect("a reply with a tag may overtake"));
    assert_eq!(replies, ["OK yes", "OK yes", "OK no"]);
    assert_eq!(info(&daemon, "slices_total"), 1);
}

#[test]
fn a_line_of_a_verb_and_a_number_is_answered_like_any_other_way_to_write_it() {
    let daemon = daemon();
    let verbs = [
        "isprime", "next", "prev", "nth", "pi", "factor", "divisors", "moebius", "ping", "nothing",
    ];
    let numbers = [
        "0",
        "1",
        "2",
        "3",
        "007",
        "91",
        "82025",
        "82026",
        "1299709",
        "1000000000000000003",
    ];
    let all = || verbs.into_iter().flat_map(|verb| numbers.map(|number| (verb, number)));
    let (mut short, mut other) = (String::new(), String::new());
    for (verb, number) in all().filter(|(verb, number)| number.len() < 19 || !["nth", "pi"].contains(verb)) {
        short += &format!("{verb} {number}\n");
        other += &format!("{verb}  {number}\n");
    }
    let expected = exchange(&daemon, &other);
    let wrong = info(&daemon, "errors_total");
    assert_eq!(exchange(&daemon, &short), expected);
    // One by one, and in pieces that end anywhere.
    let mut client = Client::connect(&daemon);
    for piece in short.as_bytes().chunks(7) {
        client.send(std::str::from_utf8(piece).expect("it is ASCII"));
    }
    assert_eq!(client.finish(), expected);
    assert_eq!(info(&daemon, "errors_total"), 3 * wrong);
}

#[test]
fn long_primes_are_certified_by_curves_and_the_proof_is_checked() {
    let daemon = daemon();
    let mut client = Client::connect(&daemon);
    let reply = client.ask("certify 10^99+289");
    let proof = reply.strip_prefix("OK ").expect("it is prime");
    assert!(proof.starts_with(&format!("[[1{}289,", "0".repeat(96))), "{proof}");
    assert_eq!(client.ask(&format!("certify check={proof}")), "OK yes");
    let another = proof.replacen("289,", "291,", 1);
    assert_eq!(client.ask(&format!("certify check={another}")), "OK no");
    assert_eq!(client.ask("certify 10^99+291"), "OK composite");
    for n in ["0", "1"] {
        let error = client.ask(&format!("certify {n}"));
        assert!(
            error.starts_with("ERR bad-arg :certify: 0 and 1 are neither prime nor composite"),
            "{error}"
        );
    }
    let error = client.ask("certify 2^4096");
    assert_eq!(error, "ERR too-big :certify: N may be at most 2^4096-1");
}

#[test]
fn rows_of_constellations_ranks_neighbours_and_divisors() {
    let daemon = daemon();
    for (request, rows) in [
        ("primes 0 20 kind=twins", "= 3,5 5,7 11,13 17,19\nOK 4\n"),
        (
            "primes 0 20 kind=triplets",
            "= 5,7,11 7,11,13 11,13,17 13,17,19\nOK 4\n",
        ),
        ("nth 26 29", "= 101 103 107 109\nOK 4\n"),
        ("next 100 4", "= 101 103 107 109\nOK 4\n"),
        ("prev 8 100", "= 7 5 3 2\nOK 4\n"),
        ("next 100 0", "OK 0\n"),
        ("divisors 28", "= 1 2 4 7 14 28\nOK 6\n"),
        ("divisors 97#", "OK 33554432\n"),
    ] {
        assert_eq!(exchange(&daemon, format!("{request}\n")), rows, "{request}");
    }
}

#[test]
fn random_primes_differ_also_if_they_are_asked_for_at_once() {
    let daemon = daemon();
    let replies = exchange(
        &daemon,
        "random 200\n".repeat(20) + &"random 300 kind=strong\n".repeat(4),
    );
    let mut primes: Vec<&str> = replies.lines().collect();
    assert!(
        primes.len() == 24 && primes.iter().all(|reply| reply.starts_with("OK ")),
        "{replies}"
    );
    primes.sort_unstable();
    primes.dedup();
    assert_eq!(primes.len(), 24);
    let mut client = Client::connect(&daemon);
    for prime in primes {
        assert_eq!(client.ask(&format!("isprime {}", &prime[3..])), "OK yes");
    }
    for (request, reply) in [
        (
            "random 1",
            "ERR bad-arg :random: BITS must be at least 2 with kind=prime; usage: random BITS [kind=KIND]",
        ),
        (
            "random 64 kind=strong",
            "ERR bad-arg :random: BITS must be at least 128 with kind=strong; usage: random BITS [kind=KIND]",
        ),
        ("random 1e6", "ERR too-big :random: BITS may be at most 33219"),
    ] {
        assert_eq!(client.ask(request), reply);
    }
}

#[test]
fn lines_may_end_with_crlf_and_blank_lines_and_comments_are_ignored() {
    assert_eq!(
        exchange(&daemon(), "\r\n# a comment\n  \nping\r\npi 10\n"),
        "OK pong\nOK 4\n"
    );
}

#[test]
fn untagged_replies_keep_the_order_of_their_requests() {
    let daemon = daemon();
    let requests: String = (0..300)
        .map(|n| format!("next {}\npi {n}\n", 10_000_000_000u64 + n * 1_000_003))
        .collect();
    let together = exchange(&daemon, &requests);
    let mut client = Client::connect(&daemon);
    let one_by_one: String = requests.lines().map(|request| client.ask(request) + "\n").collect();
    assert_eq!(together, one_by_one);
}

#[test]
fn tagged_replies_overtake_and_bear_their_tags() {
    let daemon = daemon();
    let mut client = Client::connect(&daemon);
    client.send("@long pi 1e18\n@short isprime 1000000007\n");
    assert_eq!(client.line().as_deref(), Some("@short OK yes"));
    assert_eq!(client.ask("@c cancel @long"), "@c OK");
    assert_eq!(
        client.line().as_deref(),
        Some("@long ERR cancelled :cancelled as asked")
    );
    assert_eq!(client.ask("@long ping"), "@long OK pong");
}

#[test]
fn a_request_in_any_pieces_is_the_same_request() {
    let daemon = daemon();
    let mut client = Client::connect(&daemon);
    for cut in 1..10 {
        let (head, tail) = b"isprime 97\n".split_at(cut);
        client.send(head);
        assert_eq!(Client::connect(&daemon).ask("ping"), "OK pong");
        client.send(tail);
        assert_eq!(client.line().as_deref(), Some("OK yes"));
    }
}

#[test]
fn primes_come_as_rows_in_order_and_then_their_number() {
    let daemon = daemon();
    let text = exchange(&daemon, "primes 0 2000000\nping\n");
    let mut expected = 2u64;
    let mut count = 0;
    for row in text.lines().filter_map(|line| line.strip_prefix("= ")) {
        for word in row.split(' ') {
            let prime: u64 = word.parse().expect("rows hold numbers");
            assert_eq!(prime, expected, "the primes come in order and none is left out");
            expected = primed::internals::known::next(prime).unwrap_or_else(|| next_by_division(prime));
            count += 1;
        }
    }
    assert_eq!(count, 148_933, "pi(2000000)");
    assert!(text.ends_with("\nOK 148933\nOK pong\n"));
}

fn next_by_division(n: u64) -> u64 {
    (n + 1..)
        .find(|n| (2..).take_while(|d| d * d <= *n).all(|d| n % d != 0))
        .expect("there is a next prime")
}

#[test]
fn two_streams_in_one_session_do_not_mix() {
    let text = exchange(&daemon(), "primes 0 200000\n@t primes 0 100000\nprimes 10 20\n");
    let untagged: Vec<&str> = text.lines().filter(|line| !line.starts_with('@')).collect();
    let tagged: Vec<&str> = text.lines().filter(|line| line.starts_with('@')).collect();
    assert_eq!(untagged[untagged.len() - 3..], ["OK 17984", "= 11 13 17 19", "OK 4"]);
    assert_eq!(tagged.last(), Some(&"@t OK 9592"));
    let numbers = tagged
        .iter()
        .filter_map(|line| line.strip_prefix("@t = "))
        .flat_map(|row| row.split(' '))
        .count();
    assert_eq!(numbers, 9592);
}

#[test]
fn help_names_every_verb_and_every_error() {
    let daemon = daemon();
    let help = exchange(&daemon, "help\n");
    let errors = exchange(&daemon, "help errors\n");
    let first_word = |row: &str| row.strip_prefix("= ")?.split(' ').next().map(str::to_owned);
    for verb in primed::internals::Registry::default().names() {
        let is_it = |row: &str| first_word(row).is_some_and(|word| word == verb);
        assert!(help.lines().any(is_it), "{verb}");
        let usage = exchange(&daemon, format!("help {verb}\n"));
        assert!(usage.lines().next().is_some_and(is_it), "{usage}");
    }
    for code in primed::Code::ALL {
        assert!(errors.contains(code.as_str()), "{code}");
    }
    for (word, meant) in [
        ("numbrs", "'help numbers'"),
        ("error", "'help errors'"),
        ("prmes", "'primes'"),
    ] {
        let reply = exchange(&daemon, format!("help {word}\n"));
        assert!(
            reply.starts_with("ERR unknown-verb") && reply.contains(meant),
            "{reply}"
        );
    }
    let numbers = exchange(&daemon, "help numbers\n");
    for way in ["1_000_000", "1e6", "2^127", "10**6", "0xff", "20!", "97#", "3*10^12"] {
        assert!(numbers.contains(way), "{way}");
        assert!(
            exchange(&daemon, format!("isprime {way}\n")).starts_with("OK "),
            "{way}"
        );
    }
}

#[test]
fn known_answers_of_the_encyclopedia_hold() {
    let daemon = daemon();
    let mut client = Client::connect(&daemon);
    // pi(10^k): OEIS A006880. The 10^k-th prime: A006988. Strong pseudoprimes to the first prime bases: A014233.
    for (request, answer) in [
        ("pi 1e10", "455052511"),
        ("pi 1e11", "4118054813"),
        ("pi 1e12", "37607912018"),
        ("nth 1e8", "2038074743"),
        ("nth 1e9", "22801763489"),
        ("nth 1e10", "252097800623"),
        ("isprime 3825123056546413051", "no"),
        ("isprime 318665857834031151167461", "no"),
        ("isprime 3317044064679887385961981", "no"),
        ("pi 0", "0"),
        ("pi 1", "0"),
        ("pi 2", "1"),
        ("isprime 0", "no"),
        ("isprime 1", "no"),
        ("next 0", "2"),
        ("prev 3", "2"),
        ("isprime 18446744073709551557", "yes"),
        ("next 18446744073709551557", "18446744073709551629"),
        ("count 18446744073709551557 2^64", "1"),
        ("count 18446744073709551558 2^64", "0"),
        ("count 2^64 2^64", "0"),
        // Above 2^64 by Miller-Rabin with the bases 2..37 (A014233).
        ("count 2^64-60 2^64+100", "6"),
        ("count 10^23 10^23+1000 method=sieve", "23"),
    ] {
        assert_eq!(client.ask(request), format!("OK {answer}"), "{request}");
    }
}

#[test]
fn a_line_asked_over_and_over_keeps_its_place_among_the_others() {
    let daemon = daemon();
    let round = "nth 7\n5\n@t nth 7\nisprime 2^61-1\nnth 7\nNTH 7\r\nnth 0\n\nping\nquit-not\n";
    let replies = exchange(&daemon, round.repeat(300));
    let once = exchange(&daemon, round);
    // The tagged reply may come earlier or later; the others keep their order.
    let in_order = |text: &str| {
        let untagged = text.lines().filter(|line| !line.starts_with('@'));
        untagged.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(in_order(&once).len(), 8);
    assert_eq!(in_order(&once)[..5], ["OK 17", "11", "OK yes", "OK 17", "OK 17"]);
    assert_eq!(in_order(&replies), in_order(&once.repeat(300)));
    assert_eq!(replies.lines().filter(|line| *line == "@t OK 17").count(), 300);
    let mut client = Client::connect(&daemon);
    for cut in 1..6 {
        // A line that comes in two pieces, between lines that are known.
        client.send(format!("nth 7\n{}", &"nth 7\n"[..cut]));
        assert_eq!(client.line().as_deref(), Some("OK 17"));
        client.send(format!("{}nth 7\n", &"nth 7\n"[cut..]));
        assert_eq!(
            (client.line().as_deref(), client.line().as_deref()),
            (Some("OK 17"), Some("OK 17"))
        );
    }
}

#[test]
fn the_largest_questions_are_begun_with_the_default_limits() {
    let daemon = daemon();
    let mut client = Client::connect(&daemon);
    for question in [
        "nth 425656284035217743",
        "nth 10^22",
        "pi 18446744073709551615",
        "pi 10^24",
        "count 10^20 10^21",
        "primes 0 18446744073709551616",
        "factor 10^9999+7",
    ] {
        let reply = client.ask(&format!("{question} deadline=200ms"));
        assert!(reply.starts_with("ERR deadline"), "{question}: {reply}");
    }
}
