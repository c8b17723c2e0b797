#!/usr/bin/env bash
# What a user notices while others guess passwords: the p99 of questions one by one, alone, beside others that send `ping`, and beside
# others that send as many wrong passwords. Builds of the daemon take turns, medians of N rounds with a new daemon each.
#
#     cargo build --release --example guessing --bin primed
#     benches/guessing.sh [BINARY...]        ROUNDS=5 SECONDS_EACH=1 RATE=1000 HOLD_MS=0
#
# Each comes on a new connection that stays for HOLD_MS; with HOLD_MS=kept on one of 240 connections.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- target/release/primed
rounds=${ROUNDS:-5} seconds=${SECONDS_EACH:-1} rate=${RATE:-1000} hold=${HOLD_MS:-0} generator=${GENERATOR:-target/release/examples/guessing}
folder=$(mktemp -d) daemon=
trap '[ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$folder"' EXIT
echo secret | "$1" user add "$folder/users" ann >/dev/null 2>&1 || { echo "cannot add a user" >&2; exit 1; }

# round BINARY: the line of the generator.
round() {
    local address
    : >"$folder/out"
    "$1" serve --listen 127.0.0.1:0 --users "$folder/users" --data none >"$folder/out" 2>"$folder/log" &
    daemon=$!
    until address=$(sed -nE 's/.*listens on ([0-9.:]+).*/\1/p' "$folder/out") && [ -n "$address" ]; do sleep 0.1; done
    "$generator" "$address" secret "$seconds" "$rate" "$hold"
    kill "$daemon"
    wait "$daemon" || true
    daemon=
}
median() { sort -n | awk '{ a[NR] = $1 } END { print a[int((NR + 1) / 2)] }'; }

for ((n = 0; n < rounds; n++)); do
    for ((i = 1; i <= $#; i++)); do round "${!i}" >>"$folder/$i"; done
done
echo "$(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg); $rate a second, connections held for: $hold ms, microseconds, medians of $rounds"
echo '| build | p50 alone | p99 alone | beside `ping` | beside wrong passwords | ratio to alone | to `ping` | of `ping`, a second | wrong |'
echo '|---|---|---|---|---|---|---|---|---|'
for ((i = 1; i <= $#; i++)); do
    of() { awk "{ print $1 }" "$folder/$i" | median; }
    echo "| $(basename "${!i}") | $(of '$1') | $(of '$2') | $(of '$3') | $(of '$4') | $(of '$4/$2') | $(of '$4/$3') | $(of '$5') | $(of '$6') |"
done
