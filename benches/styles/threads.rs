//! A thread a client: no client waits for another, as long as there are threads.

use super::blocking::talk;
use std::io;
use std::net::TcpListener;
use std::thread;

pub(super) fn serve(listener: &TcpListener) -> io::Result<()> {
    loop {
        let (client, _) = listener.accept()?;
        thread::Builder::new().spawn(move || talk(&client))?;
    }
}
