#!/usr/bin/env bash
# What short questions keep beside long work, for docs/performance.md: the rate of 50 connections beside four long jobs, and the p99 of one connection
# that asks jobs of some 50 us beside eight. A new daemon for each measurement, alone and beside in turns; medians.
#   benches/beside.sh [ROUNDS] [SECONDS] [PRIMED...]     9 rounds of 1 s by default; other binaries of primed take turns with this one
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-9} seconds=${2:-1}
shift $(($# < 2 ? $# : 2))
cargo build --release --quiet --bin primed
binaries=(target/release/primed "$@")

folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill -9 "$server"; rm -rf "$folder"' EXIT

# measure BINARY LONG-JOBS CONNECTIONS MIX FIELD: starts a daemon, gives it long jobs, and prints one figure of the report of `primed bench`.
measure() {
    local binary=$1 jobs=$2 connections=$3 mix=$4 field=$5 address=
    : >"$folder/log"
    "$binary" serve --listen 127.0.0.1:0 --data none --keep-answers-mib 0 >"$folder/log" 2>&1 &
    server=$!
    for _ in $(seq 100); do
        address=$(grep -oE -m1 '127\.0\.0\.1:[0-9]+' "$folder/log") && break
        sleep 0.05
    done
    [ -n "$address" ] || { echo "$binary does not start" >&2; exit 1; }
    exec 3<>"/dev/tcp/${address%:*}/${address#*:}"
    for ((job = 0; job < jobs; job++)); do echo "@$job pi 999${job}00000000000000" >&3; done
    sleep 0.3
    target/release/primed bench --connect "$address" -c "$connections" -p 1 -d "${seconds}s" --mix "$mix" --json >"$folder/json" 2>"$folder/bench" || { cat "$folder/bench" >&2; exit 1; }
    exec 3>&-
    kill -9 "$server"
    wait "$server" 2>/dev/null || true
    server=
    echo "$(tr -d '\n' <"$folder/json" | sed -nE "s/.*\"$field\": ([0-9.]+).*/\1/p")"
}
median() { sort -n | awk '{ a[NR] = $1 } END { print (NR % 2) ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2 }'; }

for ((round = 0; round < rounds; round++)); do
    for index in "${!binaries[@]}"; do
        for beside in 0 1; do
            measure "${binaries[$index]}" $((4 * beside)) 50 'isprime 1e18..2e18' replies_per_second >>"$folder/rate.$index.$beside"
            measure "${binaries[$index]}" $((8 * beside)) 1 'nth 1077872..1200000' p99 >>"$folder/p99.$index.$beside"
        done
    done
done
for index in "${!binaries[@]}"; do
    kept=$(paste "$folder/rate.$index.1" "$folder/rate.$index.0" | awk '{ print $1 / $2 }')
    printf '%s: beside four long jobs %.2f of the rate is kept (%.2f to %.2f); p99 of one connection %.0f us alone, %.0f beside eight\n' \
        "${binaries[$index]}" "$(median <<<"$kept")" "$(sort -n <<<"$kept" | head -1)" "$(sort -n <<<"$kept" | tail -1)" \
        "$(median <"$folder/p99.$index.0")" "$(median <"$folder/p99.$index.1")"
done
