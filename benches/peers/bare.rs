//! The least that a server of lines on tokio can do: one thread, a task a connection, `nth N` from a table. The peer of
//! `wire.sh`.
//!
//! It has no limits, no timeouts, no other verbs and no order to keep; what it costs is what the kernel and tokio cost.
//! `cargo run --release --example bare -- 127.0.0.1:7920`

use bytes::{Buf, BytesMut};
use primed::internals::known;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const READ_BYTES: usize = 16 << 10;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:7920".into());
    let listener = TcpListener::bind(address).await?;
    println!("listens on {}", listener.local_addr()?);
    let table: &'static [u64] = (1..=1000).filter_map(known::nth).collect::<Vec<_>>().leak();
    loop {
        let (socket, _) = listener.accept().await?;
        socket.set_nodelay(true)?;
        tokio::spawn(serve(socket, table));
    }
}

async fn serve(mut socket: TcpStream, table: &'static [u64]) -> std::io::Result<()> {
    let mut input = BytesMut::with_capacity(READ_BYTES);
    let mut output = BytesMut::new();
    while socket.read_buf(&mut input).await? > 0 {
        while let Some(end) = memchr::memchr(b'\n', &input) {
            match answer(&input[..end], table) {
                Some(prime) => {
                    output.extend_from_slice(b"OK ");
                    output.extend_from_slice(itoa::Buffer::new().format(prime).as_bytes());
                    output.extend_from_slice(b"\n");
                }
                None => output.extend_from_slice(b"ERR bad-arg :only 'nth N' with a small N\n"),
            }
            input.advance(end + 1);
        }
        socket.write_all(&output).await?;
        output.clear();
        input.reserve(READ_BYTES);
    }
    Ok(())
}

fn answer(line: &[u8], table: &[u64]) -> Option<u64> {
    let digits = std::str::from_utf8(line).ok()?.trim_end().strip_prefix("nth ")?;
    let n: usize = digits.parse().ok()?;
    table.get(n.checked_sub(1)?).copied()
}
