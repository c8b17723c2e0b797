#!/usr/bin/env bash
# The table of docs/numbers.md: primed against primecount, primesieve, PARI/GP and coreutils factor.
# CPU time (user + system) of whole processes, one thread each, the programs taking turns, medians.
#   benches/peers.sh [RUNS]     5 runs by default; programs that are not installed are left out
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${1:-5}
cargo build --release --quiet
primed() { target/release/primed eval --workers 1 "$@"; }
TIMEFORMAT='%U %S'

# CPU milliseconds of one run.
cpu() { { time "$@" >/dev/null 2>&1; } 2>&1 | awk '{ printf "%.0f\n", ($1 + $2) * 1000 }'; }
median() { sort -n | awk '{ a[NR] = $1 } END { print (NR % 2) ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2 }'; }

# compare QUESTION PEER COMMAND...
compare() {
    local question=$1 peer=$2
    shift 2
    command -v "$peer" >/dev/null || return 0
    local ours=() theirs=() run
    for ((run = 0; run < runs; run++)); do
        ours+=("$(cpu primed "$question")")
        theirs+=("$(cpu "$@")")
    done
    local a b
    a=$(printf '%s\n' "${ours[@]}" | median)
    b=$(printf '%s\n' "${theirs[@]}" | median)
    awk -v q="$question" -v p="$peer" -v a="$a" -v b="$b" \
        'BEGIN { printf "| `%s` | %s | %d | %d | %s |\n", q, p, a, b, b ? sprintf("%.2f", a / b) : "-" }'
}
gp_run() { echo "print($1)" | gp -q; }

echo "CPU: $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1), $(nproc) cores; load $(cut -d' ' -f1 /proc/loadavg)"
echo
echo "| question | peer | primed, ms | peer, ms | ratio |"
echo "|---|---|---|---|---|"
for x in 1e12 1e13 1e14 1e15; do compare "pi $x" primecount primecount "$x" -t1; done
for n in 1e9 1e11 1e12 1e13; do compare "nth $n" primecount primecount -n "$n" -t1; done
compare "count 0 1e10 method=sieve" primesieve primesieve -t1 -q 1e10
for low in 1e12 1e15 1e18; do
    compare "count $low $low+1e9 method=sieve" primesieve primesieve -t1 -q "$low" "$low+1e9"
done
compare "isprime 2^4423-1" gp gp_run "ispseudoprime(2^4423-1)"
compare "isprime 10^999+7" gp gp_run "ispseudoprime(10^999+7)"
for n in 13449998204541293377 919104889361190386693453093063 252097800629000000000000000000000000041; do
    compare "factor $n" gp gp_run "factor($n)"
done
compare "factor 13449998204541293377" factor factor 13449998204541293377
compare "count 0 1e10 kind=twins" primesieve primesieve -t1 -q -c2 1e10
compare "count 0 1e10 kind=sextuplets" primesieve primesieve -t1 -q -c6 1e10
compare "totient 919104889361190386693453093063" gp gp_run "eulerphi(919104889361190386693453093063)"
compare "certify 2^127-1" gp gp_run "primecert(2^127-1,1)"
