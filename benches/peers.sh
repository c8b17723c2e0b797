#!/usr/bin/env bash
# The table of docs/numbers.md: primed against primecount, primesieve, PARI/GP and coreutils factor.
# CPU time (user + system) of whole processes, one thread each, the programs taking turns, medians.
#   benches/peers.sh [RUNS]     5 runs by default; programs that are not installed are left out;
#                               of several versions the first on the PATH is measured
set -euo pipefail
cd "$(dirname "$0")/.."
runs=${1:-5}
cargo build --release --quiet
primed() { target/release/primed eval --workers 1 "$@"; }
TIMEFORMAT='%U %S'

complaints=$(mktemp)
trap 'rm -f "$complaints"' EXIT

# CPU milliseconds of one run. One that fails or complains is no figure: gp ends with status 0 after an error.
cpu() {
    local figures
    if ! figures=$({ time "$@" >/dev/null 2>"$complaints"; } 2>&1) || [ -s "$complaints" ]; then
        echo "failed: $*" >&2
        cat "$complaints" >&2
        return 1
    fi
    awk '{ printf "%.0f\n", ($1 + $2) * 1000 }' <<<"$figures"
}
median() { sort -n | awk '{ a[NR] = $1 } END { print (NR % 2) ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2 }'; }

# compare QUESTION PEER COMMAND...
compare() {
    local question=$1 peer=$2
    shift 2
    command -v "$peer" >/dev/null || return 0
    local ours=() theirs=() run a b
    for ((run = 0; run < runs; run++)); do
        a=$(cpu primed "$question")
        b=$(cpu "$@")
        ours+=("$a") theirs+=("$b")
    done
    a=$(printf '%s\n' "${ours[@]}" | median)
    b=$(printf '%s\n' "${theirs[@]}" | median)
    awk -v q="$question" -v p="$peer" -v a="$a" -v b="$b" \
        'BEGIN { printf "| `%s` | %s | %d | %d | %s |\n", q, p, a, b, b ? sprintf("%.2f", a / b) : "-" }'
}
gp_run() { echo "print($1)" | gp -qf -s 1G; }

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
compare "totient 2^211-1" gp gp_run "eulerphi(2^211-1)"
compare "sum 0 1e9" gp gp_run "s=0;forprime(p=2,10^9,s+=p);s"
compare "gaps 0 1e8" gp gp_run "m=0;q=2;forprime(p=3,10^8,if(p-q>m,m=p-q);q=p);m"
compare "nth 1e6 1.1e6" gp gp_run "forprime(p=prime(10^6),prime(11*10^5),print(p))"
compare "sigma 2^160+1" gp gp_run "sigma(2^160+1)"
compare "radical 2^229-1" gp gp_run "factorback(factor(2^229-1)[,1])"
compare "divisors 20!" gp gp_run "for(i=1,#d=divisors(20!),print(d[i]))"
compare "root 2^127-1" gp gp_run "znprimroot(2^127-1)"
compare "next 10^300" gp gp_run "nextprime(10^300)"
compare "next 10^100 100" gp gp_run "p=10^100;for(i=1,100,p=nextprime(p+1);print(p))"
compare "random 1024" gp gp_run "randomprime(2^1024)"
compare "certify 2^127-1" gp gp_run "primecert(2^127-1,1)"
compare "certify 2^521-1" gp gp_run "primecert(2^521-1)"
compare "certify 10^200+357" gp gp_run "primecert(10^200+357)"
