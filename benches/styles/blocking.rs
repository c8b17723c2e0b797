//! One thread, one client at a time: the first server of every tutorial. The others wait until it hangs up.

use super::answer::answer;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

pub(super) fn serve(listener: &TcpListener) -> io::Result<()> {
    loop {
        let (client, _) = listener.accept()?;
        // One client's broken connection is not the next one's trouble.
        let _ = talk(&client);
    }
}

pub(super) fn talk(client: &TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    for line in BufReader::new(client).lines() {
        let reply = answer(&line?) + "\n";
        (&*client).write_all(reply.as_bytes())?;
    }
    Ok(())
}
