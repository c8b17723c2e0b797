//! Primality of primes, which take the whole test: a word, a double word, and numbers of hundreds and thousands of
//! digits; and of any numbers.

use criterion::{Criterion, criterion_group, criterion_main};
use primed::internals::primality::{is_prime_u64, is_prime_u128};
use primed::{Natural, Query, run_to_end};
use std::hint::black_box;

fn isprime(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("isprime");
    group.bench_function("2^64 - 59", |bencher| {
        bencher.iter(|| is_prime_u64(black_box(u64::MAX - 58)))
    });
    group.bench_function("2^128 - 159", |bencher| {
        bencher.iter(|| is_prime_u128(black_box(u128::MAX - 158)))
    });
    // The golden ratio of 2^64 walks through all words.
    let words = |index: u64| 10u64.pow(18) + (index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 5);
    group.bench_function("1000 numbers above 10^18", |bencher| {
        bencher.iter(|| (0..1000).filter(|index| is_prime_u64(black_box(words(*index)))).count())
    });
    group.sample_size(10);
    let ten = Natural::from(10u8);
    for (name, n) in [
        ("10^120 + 79", ten.pow(120) + 79u8),
        ("10^999 + 7", ten.pow(999) + 7u8),
        ("2^4423 - 1", Natural::ones(4423)),
        ("2^9941 - 1", Natural::ones(9941)),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| run_to_end(&mut *Query::IsPrime(n.clone()).plan()))
        });
    }
    for (name, n) in [("next 10^18", ten.pow(18)), ("next 10^100", ten.pow(100))] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| run_to_end(&mut *Query::Next(n.clone()).plan()))
        });
    }
}

criterion_group!(benches, isprime);
criterion_main!(benches);
