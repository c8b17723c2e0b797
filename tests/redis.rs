//! The clients of Redis against primed, as their users call them: Redis's own tools and redis-py here, for the others a
//! script each in `tests/clients`.
//!
//! Ignored unless asked for, because they have to be installed: `tests/clients/install.sh` does, and says what is not
//! to be had.

mod support;

use std::io::Write;
use std::process::{Command, Stdio};
use support::{daemon, info, until};

/// What a program prints, trimmed. `PORT` among its arguments is the daemon's.
fn run(daemon: &primed::Handle, program: &str, args: &[&str], input: &str) -> String {
    let port = daemon.addresses()[0].port().to_string();
    let args = args.iter().map(|arg| if *arg == "PORT" { &port } else { *arg });
    let clients = concat!(env!("CARGO_MANIFEST_DIR"), "/target/clients");
    let mut child = Command::new(program)
        .args(args)
        .env("CLIENTS", clients)
        .env(
            "PYTHONPATH",
            format!("{clients}/pypi/redis:{clients}/pypi/valkey-glide"),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program} is not installed: {error}"));
    let mut stdin = child.stdin.take().expect("it is piped");
    let input = input.to_owned();
    let writing = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    writing.join().expect("it does not panic").expect("it reads");
    let text = String::from_utf8(output.stdout).expect("it prints text");
    assert!(output.status.success(), "{program} failed: {text}");
    text.trim().to_owned()
}

fn cli(daemon: &primed::Handle, request: &str) -> String {
    let args: Vec<&str> = ["-p", "PORT"].into_iter().chain(request.split(' ')).collect();
    run(daemon, "redis-cli", &args, "")
}

#[test]
#[ignore = "needs redis-cli"]
fn redis_cli_asks_in_resp2() {
    let daemon = daemon();
    for (request, answer) in [
        ("nth 1e6", "15485863"),
        ("100000", "1299709"),
        ("isprime 2^127-1", "1"),
        ("prev 2^64", "18446744073709551557"),
        ("factor 360", "2\n2\n2\n3\n3\n5"),
        ("primes 100 110", "101\n103\n107\n109"),
        ("pi 1e13 deadline=60s progress=100ms", "346065536839"),
        ("PING", "PONG"),
        ("submit pi 1e12", "job=1"),
        ("result 1", "37607912018"),
    ] {
        assert_eq!(cli(&daemon, request), answer, "{request}");
    }
    assert_eq!(cli(&daemon, "nht 5"), "UNKNOWN-VERB no verb 'nht'; did you mean 'nth'?");
    assert!(cli(&daemon, "info").contains("\nworkers:2"));
    // A script on standard input is one connection.
    let script = "SELECT 0\nnth 5\nECHO bye\n";
    assert_eq!(run(&daemon, "redis-cli", &["-p", "PORT"], script), "OK\n11\nbye");
}

#[test]
#[ignore = "needs redis-cli"]
fn redis_cli_asks_in_resp3() {
    let daemon = daemon();
    assert_eq!(cli(&daemon, "-3 isprime 97"), "(true)");
    assert_eq!(cli(&daemon, "-3 factor 360"), "2\n2\n2\n3\n3\n5");
    let watched = cli(&daemon, "-3 --show-pushes yes pi 1e17 progress=100ms");
    assert!(watched.ends_with("2623557157654233"), "{watched}");
}

#[test]
#[ignore = "needs redis-cli"]
fn redis_cli_pipes_a_hundred_thousand_requests() {
    let daemon = daemon();
    let requests: String = (0..100_000)
        .map(|n| format!("*2\r\n$3\r\nnth\r\n$2\r\n{}\r\n", 10 + n % 16))
        .collect();
    let said = run(&daemon, "redis-cli", &["-p", "PORT", "--pipe"], &requests);
    assert!(said.ends_with("errors: 0, replies: 100000"), "{said}");
}

#[test]
#[ignore = "needs redis-benchmark"]
fn redis_benchmark_measures_it() {
    let daemon = daemon();
    for test in [
        &["-n", "20000", "-P", "16", "nth", "5"][..],
        &["-n", "20000", "-P", "100", "-r", "16", "pi", "__rand_int__"],
        &["-n", "2000", "-t", "ping_mbulk"],
    ] {
        let args: Vec<&str> = ["-p", "PORT", "--csv"].iter().chain(test).copied().collect();
        let said = run(&daemon, "redis-benchmark", &args, "");
        assert_eq!(said.lines().count(), 2, "{said}");
    }
    assert!(info(&daemon, "requests_total") >= 42_000);
    assert_eq!(info(&daemon, "errors_total"), 0);
}

const SCRIPT: &str = r#"
import sys, redis
for protocol in (2, 3):
    r = redis.Redis(port=int(sys.argv[1]), protocol=protocol, client_name="test", socket_timeout=60)
    assert r.ping() and r.echo("x") == b"x"
    assert r.client_id() > 0 and r.client_getname() in ("test", b"test")
    assert r.execute_command("nth", 1000) == 7919
    assert r.execute_command("isprime", 97) in ((1,) if protocol == 2 else (True,))
    assert int(r.execute_command("prev", "2^64")) == 2**64 - 59
    assert r.execute_command("factor", 360) == [2, 2, 2, 3, 3, 5]
    assert r.execute_command("primes", 100, 110) == [101, 103, 107, 109]
    assert r.execute_command("pi", "1e14", "progress=100ms") == 3204941750802
    assert r.info()["workers"] == 2
    pipeline = r.pipeline(transaction=False)
    for n in range(10_000):
        pipeline.execute_command("nth", 1 + n % 4)
    assert pipeline.execute() == [2, 3, 5, 7] * 2_500
    try:
        r.execute_command("nht", 5)
        raise SystemExit("an unknown verb was answered")
    except redis.ResponseError as error:
        assert str(error).startswith("UNKNOWN-VERB no verb 'nht'"), error
    with r.monitor() as monitor:
        r.execute_command("pi", 100, "deadline=1min")
        seen = monitor.next_command()
        while not seen["command"].startswith("pi"):
            seen = monitor.next_command()
        assert (seen["command"], seen["client_address"]) == ("pi 100 deadline=1min", "127.0.0.1"), seen
    transaction = r.pipeline()
    transaction.execute_command("nth", 5)
    try:
        transaction.execute()
        raise SystemExit("a transaction was answered")
    except redis.ResponseError as error:
        assert "no transactions" in str(error), error
    r.close()
print("fine")
"#;

#[test]
#[ignore = "needs redis-py"]
fn redis_py_asks_in_both_and_pipelines() {
    let daemon = daemon();
    assert_eq!(run(&daemon, "python3", &["-c", SCRIPT, "PORT"], ""), "fine");
}

/// An example of the documentation, for a daemon on the port of the first argument.
fn example(language: &str, port: &str) -> String {
    let page = include_str!("../docs/protocol.md");
    let fence = format!("```{language}\n");
    let rest = page.split_once(&fence).expect("the page has an example").1;
    let example = rest.split("```").next().expect("a split has a beginning");
    example.replace("7919,", &format!("{port},"))
}

#[test]
#[ignore = "needs redis-py"]
fn the_example_for_redis_py_runs() {
    let daemon = daemon();
    let script = example("python", "int(__import__('sys').argv[1])") + "\nprint(primes[-1])\n";
    assert_eq!(run(&daemon, "python3", &["-c", &script, "PORT"], ""), "7919");
}

#[test]
#[ignore = "needs node-redis"]
fn the_example_for_node_redis_runs() {
    let daemon = daemon();
    let module = "import { createRequire } from 'node:module';\nconst { createClient } = createRequire(`${process.env.CLIENTS}/npm/redis/`)('redis');\n";
    let script = example("js", "process.argv[1]").replace("import { createClient } from 'redis';\n", module);
    let script = script + "\nconsole.log(primes[999]);\nprimed.destroy();\n";
    assert_eq!(
        run(&daemon, "node", &["--input-type=module", "-e", &script, "PORT"], ""),
        "7919"
    );
}

/// A script of `tests/clients` says 'fine' if every answer was as it should be, and else fails, or is ended. It leaves
/// nothing to do.
fn says_fine(command: &str) {
    let daemon = daemon();
    let said = run(
        &daemon,
        "sh",
        &["-c", &format!("exec timeout 300 {command} $0"), "PORT"],
        "",
    );
    assert_eq!(said.lines().last(), Some("fine"), "{said}");
    until("what was asked is stopped", || info(&daemon, "jobs") == 0);
}

#[test]
#[ignore = "needs ioredis"]
fn ioredis_is_answered() {
    says_fine("node tests/clients/ioredis.mjs");
}

#[test]
#[ignore = "needs node-redis"]
fn node_redis_is_answered() {
    says_fine("node tests/clients/node_redis.mjs");
}

#[test]
#[ignore = "needs go-redis"]
fn go_redis_is_answered() {
    says_fine("env GO111MODULE=off GOPATH=/usr/share/gocode go run tests/clients/go_redis.go");
}

#[test]
#[ignore = "needs hiredis"]
fn hiredis_is_answered() {
    says_fine(
        "sh -c 'cc -o target/clients/hiredis tests/clients/hiredis.c -lhiredis && exec target/clients/hiredis $0'",
    );
}

#[test]
#[ignore = "needs valkey-glide"]
fn valkey_glide_is_answered() {
    says_fine("python3 tests/clients/valkey_glide.py");
}

#[test]
#[ignore = "needs crates.io"]
fn the_crate_redis_is_answered() {
    says_fine(
        "cargo run --quiet --locked --manifest-path tests/clients/redis-rs/Cargo.toml --target-dir target/clients/redis-rs --",
    );
}
