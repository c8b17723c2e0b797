//! The n-th prime: random n below bounds, each from a fresh plan as a session would ask.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use primed::{Query, run_to_end};

/// Numbers that look random and are the same every time (Knuth's multiplier of MMIX).
fn random() -> impl FnMut() -> u64 {
    let mut state = 1u64;
    move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state >> 20
    }
}

fn nth(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("nth");
    for (name, bound) in [
        ("1e5", 100_000),
        ("1e7", 10_000_000),
        ("1e9", 1_000_000_000),
        ("1e10", 10_000_000_000),
    ] {
        let mut next = random();
        group.bench_function(format!("random n <= {name}"), |bencher| {
            bencher.iter_batched(
                || Query::Nth(u128::from(next() % bound + 1)).plan(),
                |mut plan| run_to_end(&mut *plan),
                BatchSize::SmallInput,
            );
        });
    }
    group.sample_size(10);
    for (name, n) in [("1e11", 100_000_000_000_u128), ("1e12", 1_000_000_000_000)] {
        group.bench_function(name, |bencher| bencher.iter(|| run_to_end(&mut *Query::Nth(n).plan())));
    }
}

criterion_group!(benches, nth);
criterion_main!(benches);
