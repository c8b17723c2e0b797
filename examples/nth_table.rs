//! Makes `src/primes/nth_table.bin` anew, or verifies it: sieves all numbers the table reaches, which takes half a minute.
//!
//! `cargo run --release --example nth_table` verifies every point; with `-- FILE` it writes the data to FILE and prints the checksum.

use primed::internals::nth_table::{CHECKSUM, POINTS, STEP, checksum, count, expected};
use primed::internals::sieve::{Sieve, Step};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::args().nth(1);
    let (mut data, mut sum, mut wrong) = (Vec::new(), 0u64, 0u64);
    // A sieve of a hundred points at a time: starting one costs less than the sieving.
    for first in (0..POINTS).step_by(100) {
        let last = (first + 100).min(POINTS);
        let mut sieve = Sieve::new(first * STEP + 1, last * STEP);
        let mut point = first + 1;
        loop {
            match sieve.step() {
                Step::Busy => {}
                Step::Segment(segment) => {
                    let mut counter = segment.counter();
                    while point <= last && point * STEP <= segment.last() {
                        let pi = sum + counter.up_to(point * STEP);
                        data.extend_from_slice(&i16::try_from(pi as i64 - expected(point))?.to_le_bytes());
                        wrong += u64::from(file.is_none() && count(point) != Some(pi));
                        point += 1;
                    }
                    sum += segment.count();
                }
                Step::Done => break,
            }
        }
    }
    let found = checksum(&data);
    println!("{} points, checksum {found:#018x}, {wrong} wrong", data.len() / 2);
    match file {
        Some(file) => std::fs::write(file, data)?,
        None if wrong > 0 || found != CHECKSUM => return Err("the table differs from what was sieved".into()),
        None => {}
    }
    Ok(())
}
