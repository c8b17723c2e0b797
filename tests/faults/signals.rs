//! Signals that do not end the daemon, and what it says as it starts.

use crate::served::{Served, Signal, has_thread};
use crate::support::{Client, until};
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// A file of our own, removed in the end.
struct File(PathBuf);

impl File {
    fn new(name: &str, text: &str) -> Self {
        let file = Self(std::env::temp_dir().join(format!("primed-{}-{name}", std::process::id())));
        file.write(text);
        file
    }

    fn write(&self, text: &str) {
        std::fs::write(&self.0, text).expect("a file can be written");
    }

    fn read(&self) -> String {
        std::fs::read_to_string(&self.0).expect("it is there")
    }

    /// Nobody writes to it, so that its readers wait.
    fn become_fifo(&self) {
        let _ = std::fs::remove_file(&self.0);
        let status = Command::new("mkfifo").arg(&self.0).status();
        assert!(status.expect("coreutils are installed").success());
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

/// A daemon with a log, and where it listens.
struct Logged {
    child: Child,
    log: File,
    address: std::net::SocketAddr,
}

impl Logged {
    fn start(name: &str, flags: &[&str]) -> Self {
        let log = File::new(name, "");
        let errors = std::fs::File::create(&log.0).expect("a file can be written");
        let mut child = Command::new(env!("CARGO_BIN_EXE_primed"))
            .args(["serve", "--workers", "1", "--data", "none"])
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .expect("the binary was built");
        let mut line = [0; 200];
        let out = child.stdout.as_mut().expect("it is piped");
        let count = out.read(&mut line).expect("it says where it listens");
        let line = String::from_utf8_lossy(&line[..count]).into_owned();
        let address = line
            .split(" listens on ")
            .nth(1)
            .and_then(|rest| rest.split(';').next());
        let address = address.and_then(|text| text.parse().ok()).expect("an address");
        Self { child, log, address }
    }

    fn signal(&self, signal: Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).expect("it lives");
    }

    fn logs(&self, words: &str) {
        until(words, || self.log.read().contains(words));
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn signals_that_mean_nothing_to_it_do_not_end_it() {
    let mut served = Served::start(&[]);
    let mut client = served.client();
    for signal in [Signal::HUP, Signal::USR1, Signal::USR2, Signal::ALARM, Signal::XFSZ] {
        for _ in 0..3 {
            served.send(signal);
            assert_eq!(client.ask("nth 4"), "OK 7");
        }
    }
    client.send("quit\n");
    served.signal();
    assert!(served.ended().success());
}

#[test]
fn a_hang_up_signal_reads_the_configuration_again() {
    let file = File::new("hup.toml", "max-connections = 1\nworkers = 1\n");
    let daemon = Logged::start("hup.log", &["--listen", "127.0.0.1:0", "--config", file.path()]);
    let mut first = Client::connect_to(daemon.address);
    assert_eq!(first.ask("nth 4"), "OK 7");
    assert_eq!(
        Client::connect_to(daemon.address).line_if_any().as_deref(),
        Some("ERR busy :too many connections; retry-ms=1000")
    );
    file.write("max-connections = 2\nworkers = 1\nmax-jobs = 7\nlog = \"debug\"\n");
    daemon.signal(Signal::HUP);
    daemon.logs("a setting has changed setting=\"max-connections\" before=\"1\" now=\"2\"");
    daemon.logs("a setting has changed that needs a restart setting=\"max-jobs\" before=\"20000\" now=\"7\"");
    assert_eq!(Client::connect_to(daemon.address).ask("nth 4"), "OK 7");
    daemon.logs("DEBUG");
    file.write("max-connections = 0\n");
    daemon.signal(Signal::HUP);
    daemon.logs("nothing changes");
    file.write("max-connections = 1\nidle-timeout = \"100ms\"\nlog = \"debug\"\n");
    daemon.signal(Signal::HUP);
    daemon.logs("setting=\"idle-timeout\" before=\"none\" now=\"100ms\"");
    // An open session takes the limit up at its next turn.
    assert_eq!(first.ask("nth 4"), "OK 7");
    assert_eq!(first.line(), None, "it has rested for too long");
}

#[test]
fn a_file_that_blocks_its_reader_holds_up_neither_clients_nor_the_end() {
    let file = File::new("blocks.toml", "max-line = 5000\n");
    let mut served = Served::start(&["--config", file.path()]);
    let mut client = served.client();
    file.become_fifo();
    for _ in 0..2 {
        served.send(Signal::HUP);
        until("the file is read", || served.has_thread("reload"));
        assert_eq!(client.ask("nth 4"), "OK 7");
    }
    client.send("quit\n");
    served.signal();
    assert!(served.ended().success());
}

#[test]
fn what_is_set_while_the_files_are_read_holds_after_that() {
    let file = File::new("set.toml", "max-line = 5000\nmax-in-flight = 9\n");
    let daemon = Logged::start("set.log", &["--listen", "127.0.0.1:0", "--config", file.path()]);
    let mut client = Client::connect_to(daemon.address);
    assert_eq!(client.ask("config set max-unsent 70000"), "OK");
    file.become_fifo();
    daemon.signal(Signal::HUP);
    until("the file is read", || has_thread(daemon.child.id(), "reload"));
    assert_eq!(client.ask("config set max-line 6000"), "OK");
    // Read once more, and set after that.
    daemon.signal(Signal::HUP);
    daemon.logs("the files are still being read");
    assert_eq!(client.ask("config set idle-timeout 1h"), "OK");
    for (before, now) in [(9, 8), (8, 7)] {
        file.write(&format!("max-line = 5000\nmax-in-flight = {now}\n"));
        daemon.logs(&format!("setting=\"max-in-flight\" before=\"{before}\" now=\"{now}\""));
    }
    client.send("config get idle-timeout max-in-flight max-line max-unsent\n");
    for row in [
        "idle-timeout=1h",
        "max-in-flight=7",
        "max-line=5000",
        "max-unsent=65536",
    ] {
        assert_eq!(client.line(), Some(format!("= {row}")));
    }
}

#[test]
fn a_hang_up_signal_does_not_end_a_daemon_that_starts() {
    let file = File::new("starts.toml", "");
    file.become_fifo();
    let mut child = Command::new(env!("CARGO_BIN_EXE_primed"))
        .args(["serve", "--workers", "1", "--data", "none", "--listen", "127.0.0.1:0"])
        .args(["--log", "off", "--config", file.path()])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary was built");
    // The first bit of the mask is that of signal 1. It waits for its settings.
    let status = format!("/proc/{}/status", child.id());
    until("SIGHUP is caught", || {
        let status = std::fs::read_to_string(&status).expect("it lives");
        let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.is_some_and(|mask| mask & 1 == 1)
    });
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::HUP).expect("it lives");
    file.write("max-line = 5000\n");
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
    out.read_line(&mut line).expect("it writes text");
    let _ = child.kill();
    let _ = child.wait();
    assert!(line.contains(" listens on "), "{line}");
}

#[test]
fn who_listens_beyond_this_machine_is_warned() {
    let open = Logged::start("open.log", &["--listen", "0.0.0.0:0", "--no-auth"]);
    open.logs("other machines may be able to connect");
    let loopback = Logged::start("loopback.log", &["--listen", "127.0.0.1:0"]);
    loopback.logs("listening");
    assert!(!loopback.log.read().contains("WARN"), "{}", loopback.log.read());
}
