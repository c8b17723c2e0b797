//! The n-th prime, without lines: the bytes of one read are one request, and the reply is the bare prime.
//!
//!     cargo run --release --example prime_service  # or with an address: -- 127.0.0.1:9000
//!     printf 100000 | nc -N 127.0.0.1 8003
//!
//! The engine does the work: a question for the 10^15th prime delays no other client, and disconnecting stops it.
//!
//! Dependencies beside those of every example: `bytes = "1"`.

use bytes::{Bytes, BytesMut};
use primed::{Answer, Daemon, Engine, Protocol};
use tokio_util::codec::BytesCodec;

struct PrimeService;

impl Protocol for PrimeService {
    type Codec = BytesCodec;
    type Reply = Bytes;

    fn codec(&self) -> BytesCodec {
        BytesCodec::new()
    }

    async fn answer(&self, request: BytesMut, engine: &Engine) -> Answer<Bytes> {
        let number = str::from_utf8(&request).unwrap_or_default();
        // By its words, so that the verb looks at the number: `nth 0` is refused, and so is `nth banana`.
        match engine.request(&format!("nth {}", number.trim())).await {
            Ok(prime) => Answer::Reply(prime.to_string().into()),
            Err(_) => Answer::Close,
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8003".into());
    let Ok(address) = address.parse() else {
        eprintln!("usage: prime_service [ADDRESS:PORT]");
        std::process::exit(2);
    };
    Daemon::new()
        .serve(address, || PrimeService)
        .run(|addresses| println!("listening on {}", addresses[0]))?;
    Ok(())
}
