//! Is it prime? JSON, a request a line: problem 1 of Protohackers (<https://protohackers.com/problem/1>).
//!
//!     cargo run --release --example prime_time     # or with an address: -- 127.0.0.1:9000
//!     echo '{"method":"isPrime","number":97}' | nc -N 127.0.0.1 8004
//!
//! Numbers may have any size up to the daemon's 10000 digits. `7.0` and `7e0` are the integer 7; other fractions and
//! negative numbers are not prime. A malformed request gets one malformed reply, and the connection is closed.
//!
//! Dependencies beside those of every example: `serde_json = { version = "1", features = ["raw_value"] }`.

use primed::{Answer, Code, Daemon, Engine, Protocol};
use serde_json::value::RawValue;
use std::collections::HashMap;
use tokio_util::codec::{LinesCodec, LinesCodecError};

struct PrimeTime;

impl Protocol for PrimeTime {
    type Codec = LinesCodec;
    type Reply = String;

    fn codec(&self) -> LinesCodec {
        LinesCodec::new()
    }

    async fn answer(&self, line: String, engine: &Engine) -> Answer<String> {
        let Some(number) = number_of(&line) else {
            return malformed();
        };
        let is_prime = match number.starts_with('-') {
            true => Ok(false.into()),
            false => match engine.request(&format!("isprime {number}")).await {
                // A JSON number that the daemon takes for none is a fraction.
                Err(failure) if failure.code == Code::BadArg => Ok(false.into()),
                answer => answer,
            },
        };
        match is_prime.and_then(bool::try_from) {
            Ok(prime) => Answer::Reply(format!(r#"{{"method":"isPrime","prime":{prime}}}"#)),
            Err(failure) => Answer::Last(format!(r#"{{"error":"{}"}}"#, failure.code)),
        }
    }

    fn malformed(&self, _: LinesCodecError) -> Answer<String> {
        malformed()
    }
}

fn malformed() -> Answer<String> {
    Answer::Last(r#"{"error":"malformed"}"#.into())
}

/// The number of a request, as it was written, however long it is.
fn number_of(line: &str) -> Option<String> {
    let request: HashMap<String, &RawValue> = serde_json::from_str(line).ok()?;
    let method: String = serde_json::from_str(request.get("method")?.get()).ok()?;
    let number = request.get("number")?.get();
    let is_number = number.starts_with(|first: char| first == '-' || first.is_ascii_digit());
    (method == "isPrime" && is_number).then(|| number.to_owned())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8004".into());
    let Ok(address) = address.parse() else {
        eprintln!("usage: prime_time [ADDRESS:PORT]");
        std::process::exit(2);
    };
    Daemon::new()
        .serve(address, || PrimeTime)
        .run(|addresses| println!("listening on {}", addresses[0]))?;
    Ok(())
}
