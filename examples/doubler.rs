//! A number a line, and its double a line: requests, replies, and malformed input.
//!
//!     cargo run --example doubler                  # or with an address: -- 127.0.0.1:9000
//!     printf '21\n4\n' | nc -N 127.0.0.1 8080
//!
//! Input that is not a number closes the connection, after the replies to the requests before it.

use primed::{Answer, Daemon, Engine, Protocol};
use tokio_util::codec::LinesCodec;

struct Doubler;

impl Protocol for Doubler {
    type Codec = LinesCodec;
    type Reply = String;

    fn codec(&self) -> LinesCodec {
        LinesCodec::new()
    }

    async fn answer(&self, line: String, _: &Engine) -> Answer<String> {
        match line.trim().parse::<i64>() {
            Ok(number) => Answer::Reply((2 * i128::from(number)).to_string()),
            Err(_) => Answer::Close,
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8080".into());
    let Ok(address) = address.parse() else {
        eprintln!("usage: doubler [ADDRESS:PORT]");
        std::process::exit(2);
    };
    Daemon::new()
        .serve(address, || Doubler)
        .run(|addresses| println!("listening on {}", addresses[0]))?;
    Ok(())
}
