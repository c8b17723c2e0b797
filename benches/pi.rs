//! Counting primes on one thread: whole counts from a fresh plan, and what slicing finely costs.

use criterion::{Criterion, criterion_group, criterion_main};
use primed::{Budget, Query, run_to_end};
use std::hint::black_box;
use std::time::{Duration, Instant};

fn whole(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pi");
    for exponent in [6, 7, 8, 9, 10, 11, 12] {
        let x = 10_u128.pow(exponent);
        group.bench_function(format!("1e{exponent}"), |bencher| {
            bencher.iter(|| run_to_end(&mut *Query::Pi(black_box(x)).plan()));
        });
    }
    group.sample_size(10);
    for exponent in [13, 14, 15] {
        let x = 10_u128.pow(exponent);
        group.bench_function(format!("1e{exponent}"), |bencher| {
            bencher.iter(|| run_to_end(&mut *Query::Pi(black_box(x)).plan()));
        });
    }
}

/// The same count without interruption, and in slices of several lengths.
fn sliced(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("pi 1e13 in slices");
    group.sample_size(10);
    for microseconds in [u64::MAX, 5000, 2000, 1000, 200] {
        let limit = Duration::from_micros(microseconds);
        group.bench_function(format!("{microseconds} us"), |bencher| {
            bencher.iter(|| {
                let mut plan = Query::Pi(black_box(10_000_000_000_000)).plan();
                while let Some(slice) = plan.cut() {
                    let begin = Instant::now();
                    plan.absorb(slice(Budget::new(&|| begin.elapsed() >= limit)));
                }
                plan.answer()
            });
        });
    }
}

criterion_group!(benches, whole, sliced);
criterion_main!(benches);
