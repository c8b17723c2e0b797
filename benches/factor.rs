//! Factoring: semiprimes with halves of equal length, the hardest numbers of their size.

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use primed::internals::primality::prev;
use primed::{Natural, Query, run_to_end};

/// Semiprimes of exactly this number of bits that look random and are the same every time.
fn semiprimes(bits: u32) -> impl FnMut() -> Natural {
    let mut state = 1u64;
    let mut prime = move |bits: u32| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        // Not below 3/4 of the power of 2, so that the product has all its bits.
        prev((1 << bits) - u128::from(state >> 4) % (1 << (bits - 2))).expect("far above 2")
    };
    move || Natural::from(prime(bits / 2)) * Natural::from(prime(bits - bits / 2))
}

fn factor(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("factor");
    group.sample_size(20);
    for bits in [48, 64, 72, 80, 96, 112, 128, 160] {
        let mut next = semiprimes(bits);
        group.bench_function(format!("{bits} bits"), |bencher| {
            bencher.iter_batched(
                || Query::Factor(next()).plan(),
                |mut plan| run_to_end(&mut *plan),
                BatchSize::SmallInput,
            );
        });
    }
}

criterion_group!(benches, factor);
criterion_main!(benches);
