//! A client on the codec of the built-in protocol: sends all its requests at once, and prints the replies as they come.
//!
//!     cargo run --example pipeline                                   # asks a daemon at 127.0.0.1:7919
//!     cargo run --example pipeline -- 127.0.0.1:7919 'pi 1e15' 'nth 5'
//!
//! `primed::Client` does this with typed calls. The codec is for programs with a connection of their own: over TLS, a
//! Unix socket, or in tests.
//!
//! Dependencies beside those of every example: `futures-util = { version = "0.3", features = ["sink"] }`.

use futures_util::{SinkExt, StreamExt};
use primed::Failure;
use primed::codec::{ClientCodec, Part, Request, Tag};
use tokio::net::TcpStream;
use tokio_util::codec::Framed;

const REQUESTS: [&str; 4] = ["pi 10^13", "nth 1000000", "primes 90 110", "isprime 2^61"];

/// The requests, each with its number as a tag: replies to tagged requests come as soon as they are known.
fn tagged(requests: &[String]) -> Result<Vec<Request>, Failure> {
    let tagged = requests.iter().enumerate().map(|(number, line)| {
        let tag = Tag::parse(&number.to_string()).expect("digits are a tag");
        Ok(Request::new(line)?.with_tag(tag))
    });
    tagged.collect()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().unwrap_or("127.0.0.1:7919".into());
    let mut requests: Vec<String> = arguments.collect();
    if requests.is_empty() {
        requests = REQUESTS.map(str::to_owned).to_vec();
    }
    let mut framed = Framed::new(TcpStream::connect(address).await?, ClientCodec::lines());
    for request in tagged(&requests)? {
        framed.feed(request).await?;
    }
    framed.flush().await?;
    let mut missing = requests.len();
    while missing > 0 {
        let response = framed.next().await.ok_or("the daemon has closed the connection")??;
        let number = response.tag.and_then(|tag| tag.as_str().parse::<usize>().ok());
        // An error without a tag concerns the connection.
        let request = number
            .and_then(|number| requests.get(number))
            .map_or("the connection", String::as_str);
        match response.part {
            Part::Row(row) => println!("{request}: {row}"),
            Part::Final(reply) => {
                match reply {
                    Ok(value) => println!("{request} = {value}"),
                    Err(failure) => println!("{request} failed: {failure}"),
                }
                missing -= 1;
            }
            _ => {}
        }
    }
    Ok(())
}
