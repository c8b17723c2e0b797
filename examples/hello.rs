//! Answers any input with `Hello, Client!` and closes the connection: a first server.
//!
//!     cargo run --example hello                    # or with an address: -- 127.0.0.1:9000
//!     echo anything | nc 127.0.0.1 8002
//!
//! Dependencies beside those of every example: `bytes = "1"`.

use bytes::Bytes;
use primed::{Answer, Daemon, Engine, Protocol};
use tokio_util::codec::BytesCodec;

struct Hello;

impl Protocol for Hello {
    /// The bytes of one read are one request.
    type Codec = BytesCodec;
    type Reply = Bytes;

    fn codec(&self) -> BytesCodec {
        BytesCodec::new()
    }

    async fn answer(&self, _whatever: bytes::BytesMut, _: &Engine) -> Answer<Bytes> {
        Answer::Last(Bytes::from_static(b"Hello, Client!"))
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8002".into());
    let Ok(address) = address.parse() else {
        eprintln!("usage: hello [ADDRESS:PORT]");
        std::process::exit(2);
    };
    Daemon::new()
        .serve(address, || Hello)
        .run(|addresses| println!("listening on {}", addresses[0]))?;
    Ok(())
}
