//! The command for a new user: every mistake is one line with a hint.

use std::fs::File;
use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

fn primed(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_primed"));
    command.args(arguments).env("PRIMED_DATA", "none");
    command.output().expect("the binary was built")
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_mistake_is_one_line_that_says_what_to_do_next() {
    for (arguments, expected) in [
        (&["serv"][..], "did you mean 'serve'?"),
        (&["serve", "--wrkers", "3"], "did you mean '--workers'?"),
        (&["serve", "--nothing-like-it"], "try 'primed serve --help'"),
        (&["nothing-like-it"], "try 'primed --help'"),
        (&["serve", "--workers", "0"], "write a whole number from 1 to 1024"),
        (
            &["serve", "--io-threads", "5000"],
            "write a whole number from 1 to 1024",
        ),
        (&["bench", "--connections", "x"], "write a whole number from 1"),
        (&["bench", "--requests", "0"], "0 asks nothing"),
        (&["bench", "--mix", "# nothing"], "a request is missing"),
        (&["serve", "--max-line", "10"], "write a whole number from 64"),
        (&["serve", "--max-memory-mib", "0"], "write a whole number from 1 to"),
        (&["serve", "--keep-answers-mib", "x"], "write a whole number from 0 to"),
        (
            &["user", "add", "f", "ann", "--cpu", "0"],
            "write a whole number from 1 to",
        ),
        (
            &["user", "add", "f", "ann", "--requests", "x"],
            "write a whole number from 1 to",
        ),
        (
            &["serve", "--max-queue-age", "200000000000000d"],
            "write a time of at most 100 years",
        ),
        (&["serve", "--max-queue-age", "400d"], "write a time of at most a year"),
        (&["serve", "--idle-timeout", "0s"], "write a time above 0, such as 30s"),
        (&["serve", "--drain-limit", "soon"], "write a time, such as 30s or 5min"),
        (
            &["serve", "--log", "debg"],
            "write off, error, warn, info, debug or trace",
        ),
        (&["serve", "--log", "info,primed==x"], "like primed=trace"),
        (&["serve", "--listen", "7919"], "like 127.0.0.1:7919"),
        (&["ask", "--connect", "localhost"], "like 127.0.0.1:7919"),
        (&["ask", "--connect", "localhost"], "or unix:PATH"),
        (
            &["ask", "--connect", "/tmp/x.sock"],
            "write unix:/tmp/x.sock for a unix socket",
        ),
        (
            &["bench", "--connect", "unix:/tmp/x.sock"],
            "bench loads addresses of TCP only",
        ),
        (&["serve", "--data", ""], "write a directory, or none"),
        (&["store", "--data=", "check"], "write a directory, or none"),
        (&["ask", "--tls-ca", "ca.pem", "nth", "5"], "add --tls"),
        (
            &["ask", "--tls", "--connect", "unix:/tmp/x.sock", "nth", "5"],
            "leave --tls out",
        ),
        (&["ask", "--password-file", "f", "nth", "5"], "add --user NAME"),
        (&["help", "pi"], "did you mean 'primed ask help pi'?"),
        (&["help", "doctor"], "did you mean 'primed ask help doctor'?"),
        (&["help", "numbers"], "did you mean 'primed ask help numbers'?"),
        (&["help", "nothing-like-it"], "; try 'primed --help'"),
        (&["config", "get"], "did you mean 'primed ask config'?"),
        (&["doctor"], "did you mean 'primed ask doctor'?"),
        (&["evl", "pi", "5"], "did you mean 'eval'?"),
        (&["bench", "-d", "5"], "the unit is missing: write 5s or 5min"),
    ] {
        let output = primed(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(said(&output).lines().count(), 1, "{}", said(&output));
        assert!(said(&output).contains(expected), "{arguments:?}: {}", said(&output));
    }
}

#[test]
fn a_negative_number_is_a_wrong_argument_of_the_verb_and_not_a_flag() {
    let output = primed(&["eval", "factor", "-5"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        said(&output).starts_with("bad-arg: factor: N is '-5'"),
        "{}",
        said(&output)
    );
}

#[test]
fn a_name_that_does_not_resolve_is_a_failure_and_not_bad_usage() {
    for command in ["ask", "bench"] {
        let output = primed(&[command, "--connect", "primed.invalid:7919"]);
        assert_eq!(output.status.code(), Some(1));
        let said = said(&output);
        assert!(
            said.starts_with("primed: cannot resolve 'primed.invalid:7919'"),
            "{said}"
        );
    }
}

#[test]
fn what_anybody_may_use_is_not_opened_to_other_machines() {
    let output = primed(&["serve", "--listen", "127.0.0.1:0,0.0.0.0:0"]);
    assert_eq!(output.status.code(), Some(1));
    let said = said(&output);
    let said = said.lines().last().unwrap_or_default();
    assert!(
        said.starts_with("primed: 0.0.0.0:0 may be reached by other machines"),
        "{said}"
    );
    assert!(said.contains("--no-auth") && !said.contains("--tls-ca"), "{said}");
}

#[test]
fn a_wrong_variable_of_a_client_is_named_as_one() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_primed"));
    let output = command.args(["ask", "pi", "10"]).env("PRIMED_CONNECT", "foo").output();
    let output = output.expect("the binary was built");
    assert_eq!(output.status.code(), Some(2));
    let said = said(&output);
    assert!(
        said.starts_with("primed: invalid value 'foo' for '$PRIMED_CONNECT': write an address"),
        "{said}"
    );
}

#[test]
fn a_setting_of_a_cluster_takes_a_cluster() {
    for flags in [
        &["--workers-only"][..],
        &["--node-name", "a"],
        &["--check", "1%"],
        &["--cluster-credentials", "f"],
        &["--cluster-ca", "f"],
    ] {
        let output = primed(&[&["serve"], flags].concat());
        let expected = format!("{} needs a cluster: --cluster nats://HOST:4222", flags[0]);
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains(&expected), "{}", said(&output));
    }
}

#[test]
fn a_unix_socket_that_is_not_there_is_named_as_one() {
    let output = primed(&["ask", "--connect", "unix:/nowhere/x.sock", "pi", "10"]);
    let said = said(&output);
    let expected = "primed: cannot reach a daemon at unix:/nowhere/x.sock (start one with 'primed serve --listen unix:/nowhere/x.sock')";
    assert!(said.starts_with(expected), "{said}");
}

#[test]
fn eval_says_what_it_cannot_do() {
    for (arguments, expected) in [
        (
            &["eval", ""][..],
            "there is no question; write one, such as 'primed eval pi 1e12'",
        ),
        (
            &["eval", "submit pi 1e3"],
            "'submit' needs a daemon: start one with 'primed serve'",
        ),
        (&["eval", "config", "get"], "'config' needs a daemon"),
        (&["eval", "auth", "ann", "pw"], "'auth' needs a daemon"),
        (&["eval", "monitor"], "'monitor' needs a daemon"),
        (&["eval", "--json", "Kill", "5"], "'Kill' needs a daemon"),
        (&["eval", "exit"], "'exit' needs a daemon"),
        (&["eval", "help", "submit"], "'submit' needs a daemon"),
        (
            &["eval", "pi 1e25"],
            "jobs together may take 2048; a daemon takes more with 'primed serve --max-memory-mib'",
        ),
    ] {
        let output = primed(arguments);
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains(expected), "{}", said(&output));
    }
    let help = String::from_utf8_lossy(&primed(&["eval", "help"]).stdout).into_owned();
    assert!(help.contains("isprime N"), "{help}");
    for verb in [
        "auth ", "submit ", "monitor ", "clients ", "client ", "kill ", "slowlog ", "nodes ",
    ] {
        assert!(!help.lines().any(|line| line.starts_with(verb)), "{help}");
    }
}

#[test]
fn the_version_has_the_commit_where_it_is_known() {
    let output = String::from_utf8_lossy(&primed(&["-V"]).stdout).into_owned();
    let version = concat!("primed ", env!("CARGO_PKG_VERSION"));
    let commit = output.trim_end().strip_prefix(version).expect("it names the version");
    let is_commit = |text: &str| text.len() >= 7 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(
        commit.is_empty()
            || commit
                .strip_prefix(" (")
                .and_then(|rest| rest.strip_suffix(')'))
                .is_some_and(is_commit),
        "{output}"
    );
}

#[test]
fn the_long_version_has_the_profile_and_the_features_of_the_processor() {
    let output = String::from_utf8_lossy(&primed(&["--version"]).stdout).into_owned();
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(lines.len(), 3, "{output}");
    let short = String::from_utf8_lossy(&primed(&["-V"]).stdout).into_owned();
    assert_eq!(lines[0], short.trim_end());
    let profile = lines[1].strip_prefix("profile: ").expect("it names the profile");
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_primed"));
    let folder = binary.parent().and_then(|folder| folder.file_name());
    assert_eq!(folder.and_then(|name| name.to_str()), Some(profile));
    assert!(lines[2].starts_with("cpu: "), "{output}");
    #[cfg(target_arch = "x86_64")]
    assert_eq!(lines[2].contains("avx2"), is_x86_feature_detected!("avx2"), "{output}");
}

#[test]
#[cfg(target_arch = "x86_64")]
fn a_variable_keeps_the_program_from_instructions() {
    let with = |cpu: &str, arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_primed"));
        let output = command.args(arguments).env("PRIMED_CPU", cpu).output();
        output.expect("the binary was built")
    };
    let version = |cpu| String::from_utf8_lossy(&with(cpu, &["--version"]).stdout).into_owned();
    assert!(version("portable").contains("cpu: no more than every processor has"));
    assert_eq!(version("avx2").contains("avx2"), is_x86_feature_detected!("avx2"));
    assert!(!version("avx2").contains("avx512"));
    assert_eq!(
        version("avx512").contains("avx512f"),
        is_x86_feature_detected!("avx512f")
    );
    assert!(!version("avx512").contains("avx512vbmi2"));
    for cpu in ["portable", "avx2", "avx512"] {
        for (question, answer) in [("pi 1e11", "4118054813\n"), ("isprime 2^521-1", "yes\n")] {
            let output = with(cpu, &["eval", question]);
            assert_eq!(String::from_utf8_lossy(&output.stdout), answer, "{cpu}");
        }
    }
    let output = with("avx3", &["eval", "pi 10"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        said(&output),
        "primed: $PRIMED_CPU is one of portable, avx2 and avx512, not \"avx3\"\n"
    );
}

/// The subcommands that `--help` lists, with their flags.
fn commands() -> Vec<(String, Vec<String>)> {
    let help = |arguments: &[&str]| String::from_utf8_lossy(&primed(arguments).stdout).into_owned();
    let all = help(&["--help"]);
    let listed = all.lines().skip_while(|line| *line != "Commands:").skip(1);
    let listed = listed.take_while(|line| !line.is_empty());
    // A name has two blanks before it; what goes on in the next line has more.
    let names = listed.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let names: Vec<String> = names
        .filter(|name| !name.is_empty() && *name != "help")
        .map(String::from)
        .collect();
    let flags = |name: &String| {
        let text = help(&[name, "--help"]);
        let words = text.lines().filter_map(|line| {
            let line = line.trim_start();
            let line = line
                .split_once(", ")
                .map_or(line, |(short, long)| if short.len() == 2 { long } else { line });
            line.starts_with("--")
                .then(|| line.split([' ', '=']).next().unwrap_or_default().to_owned())
        });
        words.collect()
    };
    names.iter().map(|name| (name.clone(), flags(name))).collect()
}

#[test]
fn manual_pages_and_completions_have_every_command_and_flag() {
    let commands = commands();
    let names: Vec<&str> = commands.iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains(&"serve") && names.contains(&"completions"), "{names:?}");
    let folder = std::env::temp_dir().join(format!("primed-man-{}", std::process::id()));
    let dir = folder.to_str().expect("it is text");
    assert_eq!(primed(&["man", "--dir", dir]).status.code(), Some(0));
    let refused = primed(&["man", "--dir", "/dev/null"]);
    assert!(
        said(&refused).starts_with("primed: cannot make the directory /dev/null: "),
        "{}",
        said(&refused)
    );
    let read = |file: String| {
        let page = std::fs::read_to_string(folder.join(&file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        // roff escapes hyphens.
        page.replace("\\-", "-")
    };
    let first = read("primed.1".into());
    assert!(!first.contains("avx"), "a page is for every processor");
    assert!(
        first.contains(".SH EXAMPLES\n.nf\n") && first.contains("\n.fi\n.SH VERSION"),
        "{first}"
    );
    let serve = read("primed-serve.1".into());
    assert!(
        serve.contains("PRIMED_MAX_JOBS") && serve.contains(concat!("\"primed ", env!("CARGO_PKG_VERSION"), "\"")),
        "{serve}"
    );
    let scripts = ["bash", "zsh", "fish"].map(|shell| {
        let output = primed(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0));
        (shell, String::from_utf8(output.stdout).expect("it is text"))
    });
    for (name, flags) in &commands {
        let page = read(format!("primed-{name}.1"));
        assert!(first.contains(&format!("primed-{name}(1)")), "{name}");
        assert!(flags.contains(&"--help".to_owned()), "{name}: {flags:?}");
        // The value of a flag may be optional: `--no-auth[=<BOOL>]`.
        let flags = flags
            .iter()
            .map(|flag| flag.split(['[', ',', '.', ':']).next().unwrap_or_default().to_owned());
        for flag in flags {
            assert!(page.contains(flag.as_str()), "primed-{name}.1 lacks {flag}");
            for (shell, script) in &scripts {
                // fish has flags without their hyphens.
                let written = if *shell == "fish" {
                    format!("-l {}", &flag[2..])
                } else {
                    flag.clone()
                };
                assert!(
                    script.contains(name.as_str()) && script.contains(&written),
                    "{shell} lacks {name} {flag}"
                );
            }
        }
    }
    let _ = std::fs::remove_dir_all(&folder);
}

#[test]
fn eval_prints_the_tag_of_a_question_as_ask_does() {
    let printed = |arguments: &[&str]| String::from_utf8_lossy(&primed(arguments).stdout).into_owned();
    assert_eq!(printed(&["eval", "@a pi 5"]), "@a 3\n");
    assert_eq!(printed(&["eval", "@a primes 100 104"]), "@a 101 103\n@a 2\n");
    assert_eq!(
        printed(&["eval", "--json", "@a pi 5"]),
        "{\"tag\":\"a\",\"value\":\"3\"}\n"
    );
}

#[test]
fn json_has_an_object_a_line() {
    let json = |arguments: &[&str]| String::from_utf8_lossy(&primed(arguments).stdout).into_owned();
    assert_eq!(
        json(&["eval", "--json", "factor 2^101-1"]),
        "{\"value\":\"7432339208719 341117531003194129\"}\n"
    );
    assert_eq!(
        json(&["eval", "--json", "primes 100 110"]),
        "{\"row\":\"101 103 107 109\"}\n{\"value\":\"4\"}\n"
    );
    let error = json(&["eval", "--json", "nth"]);
    assert!(
        error.starts_with("{\"error\":\"bad-arg\",\"text\":\"nth: N is missing"),
        "{error}"
    );
}

#[test]
fn a_variable_that_is_no_setting_is_a_warning() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_primed"));
    command.args(["serve", "--log", "off", "--listen", "primed.invalid:1"]);
    let output = command
        .env("PRIMED_MAX_JOB", "3")
        // It is for the commands that ask.
        .env("PRIMED_PASSWORD", "secret")
        .output()
        .expect("the binary was built");
    let said = said(&output);
    assert!(
        said.starts_with("primed: $PRIMED_MAX_JOB is not a setting; did you mean $PRIMED_MAX_JOBS?\n"),
        "{said}"
    );
    assert!(!said.contains("PRIMED_PASSWORD"), "{said}");
}

#[test]
fn a_demo_of_an_erring_question_is_refused() {
    let output = primed(&["demo", "nht", "5"]);
    assert_eq!(output.status.code(), Some(1));
    let said = said(&output);
    assert!(
        said.starts_with("primed: the daemon refuses 'nht 5': unknown-verb :no verb 'nht'; did you mean 'nth'?"),
        "{said}"
    );
}

#[test]
fn a_port_in_use_is_reported_with_its_cause_and_a_way_out() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port can be had");
    let address = taken.local_addr().expect("it is bound").to_string();
    let output = primed(&["serve", "--log", "off", "--listen", &address]);
    assert_eq!(output.status.code(), Some(1));
    let said = said(&output);
    assert!(
        said.starts_with(&format!("primed: cannot listen on {address}: ")),
        "{said}"
    );
    assert!(
        said.trim_end().ends_with("choose another address with --listen"),
        "{said}"
    );
}

#[test]
fn an_address_that_is_named_twice_is_refused_at_once() {
    let address = "127.0.0.1:7917";
    for (flag, expected) in [
        ("--listen", "--listen names 127.0.0.1:7917 twice"),
        ("--http", "--listen and --http both name 127.0.0.1:7917"),
    ] {
        let begun = std::time::Instant::now();
        let output = primed(&["serve", "--log", "off", "--listen", address, flag, address]);
        assert_eq!(output.status.code(), Some(1));
        assert!(said(&output).contains(expected), "{}", said(&output));
        assert!(begun.elapsed().as_secs() < 5, "it waits for an address in use");
    }
}

#[test]
fn a_cause_is_printed_once() {
    let output = primed(&["serve", "--log", "off", "--users", "/nowhere/users"]);
    assert_eq!(output.status.code(), Some(1));
    let said = said(&output);
    assert_eq!(said.matches("No such file").count(), 1, "{said}");
}

#[test]
fn a_copy_of_the_store_is_not_written_where_none_can_be() {
    let there = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    for (file, expected) in [
        (there, "it is not overwritten; choose another\n"),
        (
            "/nowhere/copy",
            "there is no directory /nowhere; make it, or choose another\n",
        ),
    ] {
        let output = primed(&["store", "--data", "/nowhere", "backup", file]);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            said(&output).starts_with(&format!("primed: {file}: ")) && said(&output).ends_with(expected),
            "{}",
            said(&output)
        );
    }
}

#[test]
fn output_that_cannot_be_written_is_an_error_and_a_closed_pipe_is_none() {
    let run = |arguments: &[&str], out: Stdio, errors: Stdio| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_primed"));
        let child = command.args(arguments).stdout(out).stderr(errors).spawn();
        child
            .and_then(|child| child.wait_with_output())
            .expect("the binary was built")
    };
    let full = || {
        Stdio::from(
            File::options()
                .write(true)
                .open("/dev/full")
                .expect("the system has it"),
        )
    };
    let closed = || Stdio::from(std::io::pipe().expect("a pipe can be made").1);
    let output = run(&["demo"], full(), Stdio::piped());
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).starts_with("primed: No space left"), "{}", said(&output));
    let output = run(&["demo"], closed(), Stdio::piped());
    assert_eq!((output.status.code(), said(&output)), (Some(0), String::new()));
    for errors in [&full as &dyn Fn() -> Stdio, &closed] {
        let output = run(&["bench", "--requests", "100"], Stdio::piped(), errors());
        assert_eq!(output.status.code(), Some(0));
        assert!(!output.stdout.is_empty());
        let output = run(&["eval", "nth 0"], Stdio::piped(), errors());
        assert_eq!(output.status.code(), Some(1));
        let server = server(b"* pct=41.3 eta=18s\nOK 13\n");
        let ask = ["ask", "--connect", &server, "nth", "6", "progress=1s"];
        let output = run(&ask, Stdio::piped(), errors());
        assert_eq!(
            (output.status.code(), output.stdout.as_slice()),
            (Some(0), &b"13\n"[..])
        );
    }
}

#[test]
fn bytes_that_are_no_text_are_printed_and_not_taken_for_the_end() {
    let server = server(b"OK caf\xe9\n");
    let output = primed(&["ask", "--connect", &server, "nth", "6"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "caf\\u{fffd}\n");
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

/// The address of a server that replies with these bytes to each client, once that has asked all.
fn server(reply: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port can be had");
    let address = listener.local_addr().expect("it is bound").to_string();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let asked = std::io::copy(&mut stream, &mut std::io::sink());
            // A client may have left.
            let _ = asked.and_then(|_| stream.write_all(reply));
        }
    });
    address
}

#[test]
fn help_fits_the_width_it_is_given() {
    for subcommand in ["", "serve", "ask", "eval", "demo", "bench"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_primed"));
        let arguments = subcommand.split_whitespace().chain(["--help"]);
        let output = command.args(arguments).env("COLUMNS", "80").output();
        let help = output.expect("the binary was built").stdout;
        for line in String::from_utf8_lossy(&help).lines() {
            assert!(line.len() <= 80, "{} characters: {line}", line.len());
        }
    }
}
