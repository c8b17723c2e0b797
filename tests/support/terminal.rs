//! A program at a terminal, which `script` of util-linux provides.

use super::PATIENCE;
use rustix::process::Pid;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

pub struct Terminal {
    program: Child,
    keys: ChildStdin,
    output: Receiver<Vec<u8>>,
    /// What was shown and not yet looked for.
    seen: String,
}

impl Terminal {
    /// Starts a command of the shell `sh` with these variables. A command that is to be interrupted begins with `exec`:
    /// the shell would end by the signal too.
    pub fn start(command: &str, variables: &[(&str, &str)]) -> Self {
        let mut program = Command::new("script")
            .args(["-qefc", command, "/dev/null"])
            .envs([("TERM", "xterm"), ("SHELL", "/bin/sh")])
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("util-linux is installed");
        let keys = program.stdin.take().expect("it is piped");
        let mut screen = program.stdout.take().expect("it is piped");
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self {
            program,
            keys,
            output,
            seen: String::new(),
        }
    }

    /// Starts a program with its arguments, to be sent a signal, and gives its process. When it has ended, the modes of
    /// the terminal are shown, as `stty -a` does. Where this test was started with signals ignored, the program is not.
    pub fn start_to_kill(program: &str, variables: &[(&str, &str)]) -> (Self, Pid) {
        let command = format!(
            "stty cols 120 rows 30; sh -c 'echo pid=$$; exec env --default-signal=HUP,INT,QUIT,TERM {program}'; stty -a"
        );
        let mut terminal = Self::start(&command, variables);
        terminal.until("pid=");
        let id = terminal.until("\n");
        let id = id.trim().parse().ok().and_then(Pid::from_raw);
        (terminal, id.expect("the shell says it"))
    }

    pub fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("it reads keys");
    }

    /// Waits for a text that is shown; gives what was shown up to its end.
    pub fn until(&mut self, text: &str) -> String {
        let begun = Instant::now();
        loop {
            if let Some(at) = self.seen.find(text) {
                let rest = self.seen.split_off(at + text.len());
                return std::mem::replace(&mut self.seen, rest);
            }
            let left = PATIENCE.saturating_sub(begun.elapsed());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.seen += &String::from_utf8_lossy(&bytes),
                Err(_) => panic!("no '{text}' in: {}", self.seen.escape_debug()),
            }
        }
    }

    /// Waits for the end.
    pub fn end(mut self) -> ExitStatus {
        self.program.wait().expect("it was started")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.program.kill();
        let _ = self.program.wait();
    }
}
