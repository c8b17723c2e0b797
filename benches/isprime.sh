#!/usr/bin/env bash
# `isprime` against PARI's `ispseudoprime` for primes of no special form: CPU time of one thread, the programs taking turns, medians.
#   benches/isprime.sh [RUNS]     5 runs by default; needs gp
# What a process takes for nothing, asked for 7, is taken off.
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${1:-5}
cargo build --release --quiet
TIMEFORMAT='%U %S'

# CPU milliseconds of one run.
cpu() { { time "$@" >/dev/null 2>&1; } 2>&1 | awk '{ printf "%.0f\n", ($1 + $2) * 1000 }'; }
median() { sort -n | awk '{ a[NR] = $1 } END { print (NR % 2) ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2 }'; }
ours() { target/release/primed eval --workers 1 "isprime $1"; }
theirs() { echo "print(ispseudoprime($1))" | gp -qf; }

idle_ours=$(for ((run = 0; run < runs; run++)); do cpu ours 7; done | median)
idle_theirs=$(for ((run = 0; run < runs; run++)); do cpu theirs 7; done | median)
echo "| N | primed, ms | PARI, ms | ratio |"
echo "|---|---|---|---|"
for n in 10^299+669 10^499+153 10^999+7 10^1999+7321 1963!-1 10^9999+33603; do
    a=() b=()
    for ((run = 0; run < runs; run++)); do
        a+=("$(cpu ours "$n")")
        b+=("$(cpu theirs "$n")")
    done
    awk -v n="$n" -v a="$(printf '%s\n' "${a[@]}" | median)" -v b="$(printf '%s\n' "${b[@]}" | median)" -v i="$idle_ours" -v j="$idle_theirs" \
        'BEGIN { a -= i; b -= j; printf "| %s | %d | %d | %s |\n", n, a, b, (b > 0 ? sprintf("%.2f", a / b) : "-") }'
done
