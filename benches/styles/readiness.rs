//! One thread asks the kernel which sockets are ready, and serves those: the `select()` loop, here with `poll(2)`,
//! which has no limit of 1,024. Whatever one client asks is computed before the next one is looked at.

use super::answer::answer;
use rustix::event::{PollFd, PollFlags, poll};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};

struct Client {
    socket: TcpStream,
    /// The beginning of a line.
    input: Vec<u8>,
    /// What the socket has not taken yet.
    output: Vec<u8>,
}

pub(super) fn serve(listener: &TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let mut clients: Vec<Client> = Vec::new();
    loop {
        let mut watched = vec![PollFd::new(listener, PollFlags::IN)];
        for client in &clients {
            let interest = if client.output.is_empty() {
                PollFlags::IN
            } else {
                PollFlags::OUT
            };
            watched.push(PollFd::new(&client.socket, interest));
        }
        poll(&mut watched, None)?;
        let ready: Vec<bool> = watched.iter().map(|watched| !watched.revents().is_empty()).collect();
        let mut is_ready = ready[1..].iter();
        clients.retain_mut(|client| match is_ready.next() {
            Some(true) => client.move_on().is_ok(),
            _ => true,
        });
        while let Ok((socket, _)) = listener.accept() {
            socket.set_nonblocking(true)?;
            socket.set_nodelay(true)?;
            clients.push(Client {
                socket,
                input: Vec::new(),
                output: Vec::new(),
            });
        }
    }
}

impl Client {
    /// Writes, reads and answers what can be done without waiting. An error at the end of the connection.
    fn move_on(&mut self) -> io::Result<()> {
        let mut chunk = [0; 4096];
        if self.output.is_empty() {
            match self.socket.read(&mut chunk)? {
                0 => return Err(ErrorKind::UnexpectedEof.into()),
                count => self.input.extend_from_slice(&chunk[..count]),
            }
            while let Some(end) = self.input.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.input.drain(..=end).collect();
                self.output.extend(answer(&String::from_utf8_lossy(&line)).bytes());
                self.output.push(b'\n');
            }
        }
        match self.socket.write(&self.output) {
            Ok(count) => drop(self.output.drain(..count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }
}
