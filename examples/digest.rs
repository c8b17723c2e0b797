//! Existing blocking code as a verb: the SHA-256 of a large buffer, by a crate that knows nothing of slices.
//!
//!     cargo run --release --example digest                   # or with an address: -- 127.0.0.1:9000
//!     printf 'digest 1e6\n' | nc -N 127.0.0.1 8091
//!     head -c 1000000 /dev/zero | sha256sum                  # the same
//!
//! `Blocking` gives it threads of its own: here two, at the lowest priority. A hundred such questions delay only each
//! other, and their `deadline=`, `cancel` and `progress=` take effect at once, whatever the code does. If the code
//! checks its token now and then, its thread is free at once, too.
//!
//! Dependencies beside those of every example: `sha2 = "0.10"`.

use primed::{Blocking, Daemon, Verb, define};
use sha2::{Digest, Sha256};

/// Bytes that are hashed between two looks at the token: about half a millisecond.
const CHUNK: usize = 1 << 20;

fn digest() -> impl Verb {
    let lane = Blocking::new("digest", 2);
    define("digest N", "the SHA-256 of N zero bytes", move |call| {
        call.only(1, &[])?;
        let total = call.at_most(0, "N", 1usize << 40, "2^40")?;
        Ok(lane.run(call, move |token| {
            let zeros = vec![0; CHUNK.min(total)];
            let mut hasher = Sha256::new();
            let mut hashed = 0;
            while hashed < total && !token.is_cancelled() {
                let chunk = CHUNK.min(total - hashed);
                hasher.update(&zeros[..chunk]);
                hashed += chunk;
                token.progress(hashed as f64 / total as f64);
            }
            // If it was cancelled, this value is dropped.
            let words: Vec<String> = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
            Ok(words.concat().into())
        }))
    })
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:8091".into());
    let Ok(address) = address.parse() else {
        eprintln!("usage: digest [ADDRESS:PORT]");
        std::process::exit(2);
    };
    Daemon::new()
        .verb(digest())
        .listen(address)
        .run(|addresses| println!("listening on {}", addresses[0]))?;
    Ok(())
}
