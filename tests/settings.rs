//! The settings of `serve`: one value from the flag, the environment, the file or the default, and its source named.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::process::Command;
use support::spawn;

/// A configuration file of our own, removed in the end.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("primed-{}-{name}.toml", std::process::id()));
        std::fs::write(&path, text).expect("a file can be written");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("the path is text")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What `serve` prints with these flags and this environment, and nothing else.
fn serve(flags: &[&str], environment: &[(&str, &str)]) -> Result<String, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_primed"));
    command
        .arg("serve")
        .args(flags)
        .env_clear()
        .envs(environment.iter().copied());
    let output = command.output().expect("the binary was built");
    let text = |bytes| String::from_utf8(bytes).expect("it prints text");
    match output.status.code() {
        Some(0) => Ok(text(output.stdout)),
        Some(2) => Err(text(output.stderr)),
        status => panic!("exit status {status:?}: {}", text(output.stderr)),
    }
}

fn shown(flags: &[&str], environment: &[(&str, &str)]) -> String {
    serve(&[flags, &["--show-config"]].concat(), environment).expect("the settings are right")
}

/// The value of a setting and its source.
fn setting(shown: &str, name: &str) -> (String, String) {
    let line = shown
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
    let (value, source) = line.and_then(|line| line.split_once(" # ")).expect("it is shown");
    (value.trim().to_owned(), source.to_owned())
}

#[test]
fn the_packaged_file_shows_every_setting_with_its_default() {
    let packaged = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/primed.toml");
    let text = std::fs::read_to_string(packaged).expect("it is packaged");
    assert_eq!(
        text,
        shown(&[], &[]),
        "write it anew: primed serve --show-config > packaging/primed.toml"
    );
}

#[test]
fn what_is_shown_is_a_file_that_makes_the_same_settings() {
    let flags = [
        "--workers",
        "3",
        "--idle-timeout",
        "5min",
        "--listen",
        "127.0.0.1:1,[::1]:2",
    ];
    let first = shown(&flags, &[("PRIMED_LOG", "primed=trace,off")]);
    let file = File::new("again", &first);
    let second = shown(&["--config", file.path()], &[]);
    let values = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.split(" # ").next().unwrap_or_default().trim_end().to_owned())
            .collect()
    };
    assert_eq!(values(&first), values(&second));
    assert!(second.contains("listen = [\"127.0.0.1:1\", \"[::1]:2\"]"), "{second}");
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file_and_that_over_the_default() {
    let file = File::new("order", "max-jobs = 1\nmax-line = 100\n\nmax-in-flight = 1_0\n");
    let environment = [
        ("PRIMED_CONFIG", file.path()),
        ("PRIMED_MAX_JOBS", "2"),
        ("PRIMED_MAX_LINE", "200"),
    ];
    let shown = shown(&["--max-jobs=3"], &environment);
    let expected = |value: &str, source: String| (value.to_owned(), source);
    assert_eq!(setting(&shown, "max-jobs"), expected("3", "--max-jobs".into()));
    assert_eq!(setting(&shown, "max-line"), expected("200", "$PRIMED_MAX_LINE".into()));
    assert_eq!(
        setting(&shown, "max-in-flight"),
        expected("10", format!("{}:4", file.path()))
    );
    assert_eq!(setting(&shown, "max-unsent"), expected("65536", "default".into()));
}

#[test]
fn a_wrong_setting_is_reported_with_its_source() {
    let refused = |text: &str, flags: &[&str], environment: &[(&str, &str)]| {
        let file = File::new("wrong", text);
        let flags = [&["--config", file.path()], flags].concat();
        let said = serve(&flags, environment).expect_err("it is wrong");
        assert_eq!(said.lines().count(), 1, "{said}");
        said.replace(file.path(), "FILE")
    };
    for (text, said) in [
        (
            "\nmax_jobs = 1",
            "FILE:2: there is no setting 'max_jobs'; did you mean 'max-jobs'?",
        ),
        (
            "max-jobs = -3",
            "FILE:1: invalid value '-3' for 'max-jobs': write a whole number from 1",
        ),
        (
            "#\ndrain-limit = 3",
            "FILE:2: invalid value '3' for 'drain-limit': the unit is missing: write 3s or 3min",
        ),
        (
            "\nno-auth = 1",
            "FILE:2: invalid value '1' for 'no-auth' [possible values: true, false]",
        ),
        (
            "max-jobs = [1, 2]",
            "FILE:1: 'max-jobs' is not a list: write max-jobs = VALUE",
        ),
        ("max-jobs = \n", "FILE:1: invalid TOML: "),
        (
            "[limits]\nmax-jobs = 1",
            "FILE:1: sections are not allowed, and 'limits' is one",
        ),
        ("config = 'x'", "FILE:1: there is no setting 'config'; "),
    ] {
        assert!(
            refused(text, &[], &[]).starts_with(&format!("primed: {said}")),
            "{}",
            refused(text, &[], &[])
        );
    }
    let said = refused("", &[], &[("PRIMED_MAX_LINE", "x")]);
    assert_eq!(
        said,
        "primed: invalid value 'x' for '$PRIMED_MAX_LINE': write a whole number from 64\n"
    );
    let said = refused("", &[], &[("PRIMED_DATA", "")]);
    assert_eq!(
        said,
        "primed: invalid value '' for '$PRIMED_DATA': write a directory, or none\n"
    );
    let said = refused("", &[], &[("PRIMED_NO_AUTH", "1")]);
    assert_eq!(
        said,
        "primed: invalid value '1' for '$PRIMED_NO_AUTH' [possible values: true, false]\n"
    );
    let said = refused("", &["--max-jobs-per-account", "5"], &[("PRIMED_MAX_JOBS", "x")]);
    assert_eq!(
        said,
        "primed: invalid value 'x' for '$PRIMED_MAX_JOBS': write a whole number from 1\n"
    );
    let said = refused("", &["--max-line", "x"], &[("PRIMED_MAX_LINE", "y")]);
    assert!(
        said.starts_with("primed: invalid value 'x' for '--max-line <BYTES>': "),
        "{said}"
    );
    let file = File::new("latin", "");
    std::fs::write(file.path(), b"# one\ndata = '\xe9'\n").expect("it can be written");
    let said = serve(&["--config", file.path()], &[]).expect_err("it is not UTF-8");
    let expected = format!(
        "primed: {}:2: that is not UTF-8: save the file in this encoding\n",
        file.path()
    );
    assert_eq!(said, expected);
    let said = serve(&["--config", "/nowhere/primed.toml"], &[]).expect_err("there is none");
    assert!(
        said.starts_with("primed: cannot read the configuration /nowhere/primed.toml: "),
        "{said}"
    );
}

#[test]
fn no_password_of_a_cluster_is_shown_or_quoted() {
    let file = File::new("password", "cluster = \"me:SECRET@host\"\n");
    for (flags, environment) in [
        (&["--cluster", "me:SECRET@host:1"][..], &[][..]),
        (&["--cluster", "nats://me:SECRET@host:x"], &[]),
        (&["--cluster", "nats://me:SEC,RET@:1"], &[]),
        (&["--cluster", "nats://a:1@h,nats://me:SECRET@h"], &[]),
        (&["--config", file.path()], &[]),
        (&[], &[("PRIMED_CLUSTER", "me:SECRET@host")]),
    ] {
        let error = serve(flags, environment).expect_err("that is no server");
        assert!(error.contains("luster") || error.contains("CLUSTER"), "{error}");
        assert!(!error.contains("SEC") && !error.contains("RET"), "{error}");
    }
    let shown = shown(&[], &[("PRIMED_CLUSTER", "nats://me:SE,CR@ET@host:1")]);
    assert!(shown.contains("cluster = \"nats://host:1\""), "{shown}");
}

#[test]
fn a_variable_that_is_not_utf_8_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_primed"))
        .arg("serve")
        .env("PRIMED_LOG", std::ffi::OsStr::from_bytes(b"\xff\xfe"))
        .output()
        .expect("the binary was built");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, "primed: the variable PRIMED_LOG is not UTF-8\n");
}

#[test]
fn jobs_get_two_thirds_of_the_addresses_that_the_process_may_have() {
    let serve = "ulimit -v 1024000; exec \"$0\" serve --listen 127.0.0.1:0 --data none --workers 2";
    let (mut child, address) = spawn(Command::new("sh").args(["-c", serve, env!("CARGO_BIN_EXE_primed")]));
    let mut socket = TcpStream::connect(address).expect("it listens");
    socket
        .write_all(b"config get max-memory-mib\nquit\n")
        .expect("it reads");
    let mut replies = String::new();
    socket.read_to_string(&mut replies).expect("it answers and closes");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    let value = replies.lines().find_map(|line| line.strip_prefix("= max-memory-mib="));
    // Of 1,000 MiB 520 are for the program and its two workers. The machine may have less.
    let value: u64 = value.and_then(|value| value.parse().ok()).expect("it is a number");
    assert!((1..=320).contains(&value), "{value}");
}

#[test]
fn a_stack_that_is_too_small_for_the_daemon_is_named() {
    let output = Command::new("sh")
        .args(["-c", "ulimit -s 256; exec \"$0\" serve"])
        .arg(env!("CARGO_BIN_EXE_primed"))
        .output()
        .expect("the binary was built");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    let expected =
        "primed: the limit of the stack is 256 KiB, and the daemon needs 512: raise it (ulimit -s, LimitSTACK=)\n";
    assert_eq!(said, expected);
}
