//! A `primed serve` with users or TLS, its log, and files of our own. All of it ends with its handle.

pub(crate) use crate::support::Directory;
use crate::support::{Client, until};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Command, Output, Stdio};

impl Directory {
    /// The path of a file in it.
    pub(crate) fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("the path is text").to_owned()
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.join(name)).expect("it is there")
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.0.join(name), text).expect("a file can be written");
    }

    /// Copies a certificate or key of the tests.
    pub(crate) fn install(&self, from: &str, name: &str) {
        fs::copy(certificate(from), self.0.join(name)).expect("it is there");
    }
}

/// The path of a certificate or key of the tests.
pub(crate) fn certificate(name: &str) -> String {
    format!("{}/tests/security/certs/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Runs the command with this standard input.
pub(crate) fn primed(arguments: &[&str], input: &str) -> Output {
    run(Command::new(env!("CARGO_BIN_EXE_primed")).args(arguments), input)
}

/// Runs a program with this standard input.
pub(crate) fn run(command: &mut Command, input: &str) -> Output {
    let piped = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = piped.spawn().expect("the program is there");
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
    child.wait_with_output().expect("it ends")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Adds a user to the file `users` of a directory.
pub(crate) fn add_user(directory: &Directory, name: &str, password: &str, flags: &[&str]) {
    let file = directory.path("users");
    let arguments = [&["user", "add", &file, name], flags].concat();
    let output = primed(&arguments, &format!("{password}\n"));
    assert!(output.status.success(), "{}", text(&output.stderr));
}

pub(crate) struct Daemon {
    child: Child,
    pub(crate) directory: Directory,
    /// Plain ones first.
    pub(crate) addresses: Vec<SocketAddr>,
    /// That of HTTP.
    pub(crate) http: Option<SocketAddr>,
}

impl Daemon {
    /// A daemon that logs everything to the file `log` of the directory.
    pub(crate) fn start(directory: Directory, flags: &[&str]) -> Self {
        Self::logging("trace", directory, flags)
    }

    /// A daemon that logs as much as this says.
    pub(crate) fn logging(level: &str, directory: Directory, flags: &[&str]) -> Self {
        let log = fs::File::create(directory.0.join("log")).expect("a file can be written");
        let mut child = Command::new(env!("CARGO_BIN_EXE_primed"))
            .args([
                "serve",
                "--workers",
                "2",
                "--data",
                "none",
                "--listen",
                "127.0.0.1:0",
                "--log",
                level,
            ])
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the binary was built");
        let (mut line, mut http) = (String::new(), String::new());
        let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
        out.read_line(&mut line).expect("it says where it listens");
        if flags.contains(&"--http") {
            out.read_line(&mut http).expect("it says where it listens");
        }
        let listens = line
            .split(" listens on ")
            .nth(1)
            .and_then(|rest| rest.split(';').next());
        let listens = listens.unwrap_or_else(|| panic!("it did not start: {}", directory.read("log")));
        let addresses = listens
            .split(" and ")
            .map(|text| text.parse().expect("an address"))
            .collect();
        let http = http.trim_end().trim_end_matches('/').rsplit('/').next();
        Self {
            child,
            directory,
            addresses,
            http: http.and_then(|text| text.parse().ok()),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect_to(self.addresses[0])
    }

    /// A client that has said who it is.
    pub(crate) fn client_of(&self, name: &str, password: &str) -> Client {
        let mut client = self.client();
        assert_eq!(client.ask(&format!("auth {name} {password}")), "OK");
        client
    }

    pub(crate) fn hang_up(&self, logged: &str) {
        kill_process(Pid::from_child(&self.child), Signal::HUP).expect("it lives");
        until(logged, || self.directory.read("log").contains(logged));
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
