#!/usr/bin/env bash
# `factor` against PARI's `factorint` and FLINT's `fmpz.factor`: semiprimes of two primes of half the bits, CPU time of whole processes, one thread each,
# the programs taking turns.
#   benches/factor.sh [BITS...]     128 160 192 220 240 by default; needs gp; FLINT if FLINT_PYTHON is a Python with python-flint
# What a process takes for a number of two digits is taken off; shorter numbers take less than that: `cargo bench --bench factor`. Minutes at 240 bits.
set -euo pipefail
cd "$(dirname "$0")/.."
sizes=("$@")
[[ ${#sizes[@]} -gt 0 ]] || sizes=(128 160 192 220 240)
flint=${FLINT_PYTHON:-}
[[ -n ${PRIMED:-} ]] || cargo build --release --quiet
primed=${PRIMED:-target/release/primed}
list=$(mktemp)
trap 'rm -f "$list"' EXIT
TIMEFORMAT='%U %S'

# CPU milliseconds of one run.
cpu() { { time "$@" >/dev/null 2>&1; } 2>&1 | awk '{ printf "%.0f\n", ($1 + $2) * 1000 }'; }
ours() { while read -r n; do "$primed" eval --workers 1 "factor $n"; done <"$list"; }
pari() { { sed 's/.*/print(factorint(&))/' "$list"; } | gp -qf -s 1G; }
by_flint() { "$flint" -c 'import sys, flint; [flint.fmpz(line).factor() for line in sys.stdin]' <"$list"; }
less() { awk -v a="$1" -v b="$2" -v n="$3" 'BEGIN { printf "%.4g", (a > b ? a - b : 0) / n }'; }

echo 15 >"$list"
idle_ours=$(cpu ours)
idle_pari=$(cpu pari)
[[ -z $flint ]] || idle_flint=$(cpu by_flint)
echo "| bits | numbers | primed, ms | PARI, ms | FLINT, ms | share of the faster |"
echo "|---|---|---|---|---|---|"
for bits in "${sizes[@]}"; do
    count=$((bits <= 128 ? 40 : bits <= 160 ? 10 : bits <= 192 ? 4 : bits <= 220 ? 2 : 1))
    gp -qf >"$list" <<END
setrand($bits);
half(bits) = randomprime([3 * 2^(bits - 2), 2^bits]);
for (i = 1, $count, print(half($bits \\ 2) * half($bits - $bits \\ 2)));
END
    a=$(less "$(cpu ours)" "$((idle_ours * count))" "$count")
    b=$(less "$(cpu pari)" "$idle_pari" "$count")
    c=-
    [[ -z $flint ]] || c=$(less "$(cpu by_flint)" "$idle_flint" "$count")
    awk -v bits="$bits" -v n="$count" -v a="$a" -v b="$b" -v c="$c" 'BEGIN {
        least = (c != "-" && c + 0 < b + 0) ? c : b
        printf "| %d | %d | %s | %s | %s | %s |\n", bits, n, a, b, c, (least > 0 ? sprintf("%.2f", a / least) : "-")
    }'
done
