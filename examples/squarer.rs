//! A number a line, and its square a line: a codec of your own, which decodes lines to numbers.
//!
//!     cargo run --example squarer                  # or with an address: -- 127.0.0.1:9000
//!     printf '12\n-3\n' | nc -N 127.0.0.1 8081
//!
//! Numbers may be as long as a line. The protocol sees only numbers: the codec refuses anything else.
//!
//! Dependencies beside those of every example: `bytes = "1"`.

use bytes::BytesMut;
use primed::{Answer, Daemon, Engine, Natural, Protocol};
use std::io;
use tokio_util::codec::{Decoder, Encoder, LinesCodec};

/// Lines as numbers.
struct NumberLines(LinesCodec);

impl Decoder for NumberLines {
    type Item = Natural;
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Natural>> {
        let Some(line) = self.0.decode(buffer).map_err(io::Error::other)? else {
            return Ok(None);
        };
        let number = line.trim();
        // The sign is lost in the square anyway.
        let digits = number.strip_prefix('-').unwrap_or(number);
        digits.parse().map(Some).map_err(io::Error::other)
    }
}

impl Encoder<Natural> for NumberLines {
    type Error = io::Error;

    fn encode(&mut self, number: Natural, out: &mut BytesMut) -> io::Result<()> {
        self.0.encode(number.to_string(), out).map_err(io::Error::other)
    }
}

struct Squarer;

impl Protocol for Squarer {
    type Codec = NumberLines;
    type Reply = Natural;

    fn codec(&self) -> NumberLines {
        NumberLines(LinesCodec::new())
    }

    async fn answer(&self, number: Natural, _: &Engine) -> Answer<Natural> {
        Answer::Reply(number.sqr())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8081".into());
    let Ok(address) = address.parse() else {
        eprintln!("usage: squarer [ADDRESS:PORT]");
        std::process::exit(2);
    };
    Daemon::new()
        .serve(address, || Squarer)
        .run(|addresses| println!("listening on {}", addresses[0]))?;
    Ok(())
}
