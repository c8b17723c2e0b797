//! A task a client on one thread, as in asyncio: a readiness loop in a library. A long computation
//! stops every task, because no task stops by itself.

use super::answer::answer;
use std::io;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

pub(super) fn serve(listener: std::net::TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::from_std(listener)?;
        loop {
            let (client, _) = listener.accept().await?;
            tokio::spawn(talk(client));
        }
    })
}

async fn talk(client: TcpStream) -> io::Result<()> {
    client.set_nodelay(true)?;
    let (input, mut output) = client.into_split();
    let mut lines = BufReader::new(input).lines();
    while let Some(line) = lines.next_line().await? {
        let reply = answer(&line) + "\n";
        output.write_all(reply.as_bytes()).await?;
    }
    Ok(())
}
