//! How fast the sieve finds primes: by height, and by what is done with them. `cargo bench --bench sieve`.
//!
//! One iteration takes milliseconds, so ranges are short; the figures against primesieve are of whole processes.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use primed::internals::sieve::{Segment, Sieve, Step, primes_up_to};
use std::hint::black_box;

/// Numbers in an iteration.
const NUMBERS: u64 = 10_000_000;

/// Sieves to the end and gives every segment to `take`.
fn each_segment(low: u64, mut take: impl FnMut(Segment<'_>)) {
    let mut sieve = Sieve::new(low, low + NUMBERS - 1);
    loop {
        match sieve.step() {
            Step::Busy => {}
            Step::Segment(segment) => take(segment),
            Step::Done => break,
        }
    }
}

/// Counting 10 million numbers at several heights; above 1e15 most of it is finding the sieving primes.
fn count(c: &mut Criterion) {
    let mut group = c.benchmark_group("count");
    group.throughput(Throughput::Elements(NUMBERS)).sample_size(20);
    for (name, low) in [
        ("0", 0),
        ("1e9", 1_000_000_000),
        ("1e12", 1_000_000_000_000),
        ("1e15", 1_000_000_000_000_000),
    ] {
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut count = 0;
                each_segment(black_box(low), |segment| count += segment.count());
                count
            });
        });
    }
    group.finish();
}

/// Reading the primes out of 10 million numbers at 1e9, the sieving included.
fn walk(c: &mut Criterion) {
    let mut group = c.benchmark_group("walk");
    group.throughput(Throughput::Elements(NUMBERS)).sample_size(20);
    group.bench_function("for_each", |b| {
        b.iter(|| {
            let mut sum = 0_u64;
            each_segment(black_box(1_000_000_000), |segment| {
                segment.for_each(|prime| sum = sum.wrapping_add(prime))
            });
            sum
        });
    });
    group.bench_function("primes", |b| {
        b.iter(|| {
            let mut sum = 0_u64;
            each_segment(black_box(1_000_000_000), |segment| {
                sum = segment.primes().fold(sum, u64::wrapping_add)
            });
            sum
        });
    });
    group.finish();
    c.bench_function("primes_up_to 1e7", |b| b.iter(|| primes_up_to(black_box(10_000_000))));
}

criterion_group!(benches, count, walk);
criterion_main!(benches);
