//! Makes `src/primes/nth_table/fine.bin` and `coarse.bin` anew, or verifies them: sieves all numbers the table reaches,
//! which takes a minute.
//!
//! `cargo run --release --example nth_table` compares every byte; with `-- FOLDER` it writes the data there and prints
//! sizes and checksums.

use primed::internals::nth_table::{COARSE, FINE, checksum, expected, rice};
use primed::internals::sieve::{Sieve, Step};

/// How many numbers are sieved at a time: starting a sieve costs less than that.
const STRETCH: u64 = 1 << 28;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1);
    let grids = [("fine", &FINE), ("coarse", &COARSE)];
    let mut residuals = grids.map(|_| Vec::new());
    let mut next = grids.map(|(_, grid)| grid.first * grid.step);
    let ends = grids.map(|(_, grid)| grid.last * grid.step);
    let end = ends.into_iter().max().unwrap_or(0);
    let mut sum = 0;
    for low in (0..=end).step_by(STRETCH as usize) {
        let mut sieve = Sieve::new(low, end.min(low + STRETCH - 1));
        loop {
            match sieve.step() {
                Step::Busy => {}
                Step::Segment(segment) => {
                    for (i, (_, grid)) in grids.iter().enumerate() {
                        let mut counter = segment.counter();
                        while next[i] <= segment.last().min(ends[i]) {
                            let pi: u64 = sum + counter.up_to(next[i]);
                            residuals[i].push(pi as i64 - expected(next[i]));
                            next[i] += grid.step;
                        }
                    }
                    sum += segment.count();
                }
                Step::Done => break,
            }
        }
    }
    let mut wrong = Vec::new();
    for ((name, grid), residuals) in grids.into_iter().zip(residuals) {
        let data = rice::encode(&residuals, grid.low_bits)?;
        let found = checksum(&data);
        println!(
            "{name}: {} points, {} bytes, checksum {found:#018x}",
            residuals.len(),
            data.len()
        );
        match &folder {
            Some(folder) => std::fs::write(format!("{folder}/{name}.bin"), data)?,
            None if data != grid.data() || found != grid.checksum => wrong.push(name),
            None => {}
        }
    }
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(format!("the table differs from what was sieved: {wrong:?}").into())
    }
}
