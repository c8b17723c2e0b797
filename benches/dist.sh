#!/usr/bin/env bash
# What one build gains over another: CPU seconds of the same work, the two binaries in turns, medians of N rounds (default 7).
#
#     cargo build --release && cargo build --profile dist && benches/dist.sh [N [OLD NEW]]
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-7} old=${2:-target/release/primed} new=${3:-target/dist/primed}
TIMEFORMAT='%U %S'
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

cpu() { { time "$@" >/dev/null 2>&1; } 2>&1 | awk '{ print $1 + $2 }'; }
median() { sort -n | awk '{ all[NR] = $1 } END { print all[int((NR + 1) / 2)] }'; }

measure() {
    local name=$1
    shift
    : >"$folder/old"
    : >"$folder/new"
    for _ in $(seq "$rounds"); do
        cpu "$old" "$@" >>"$folder/old"
        cpu "$new" "$@" >>"$folder/new"
    done
    awk -v name="$name" -v old="$(median <"$folder/old")" -v new="$(median <"$folder/new")" \
        'BEGIN { printf "%-28s %8.3f s %8.3f s %6.3f\n", name, old, new, new / old }'
}

printf '%-28s %10s %10s %6s\n' work old new ratio
measure 'pi 1e13' eval --workers 1 pi 1e13
measure 'pi 1e15' eval --workers 1 pi 1e15
measure 'sieve to 2e10' eval --workers 1 count 0 2e10 method=sieve
# (2^89-1)(2^107-1), of 59 digits
measure 'factor, 59 digits' eval --workers 1 factor 100433627766186892221372630609062766858404681029709092356097
measure 'wire, 1,000,000 nth' bench -n 1000000 -p 16 -c 16
measure 'wire, 200,000 isprime' bench -n 200000 -p 16 -c 16 -m 'isprime 1e18..2e18'
