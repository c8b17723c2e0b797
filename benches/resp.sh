#!/usr/bin/env bash
# The table "How fast" of docs/protocol.md: redis-benchmark's own requests against primed (`pi N`, 16 small N) and redis-server (`GET`, 16 keys).
# 50 connections; the servers take turns in every round; medians of requests a second and of the server's CPU time a request.
#   benches/resp.sh [ROUNDS]     5 rounds by default, a minute in all
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5}
cargo build --release --quiet --bin primed

folder=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$folder"' EXIT
target/release/primed serve --listen 127.0.0.1:7923 --log off --data none >/dev/null &
primed=$!
redis-server --port 7925 --bind 127.0.0.1 --save '' --appendonly no --dir "$folder" >/dev/null &
redis=$!
pids=("$primed" "$redis")
for port in 7923 7925; do
    for _ in $(seq 100); do redis-cli -p $port ping >/dev/null 2>&1 && break; sleep 0.1; done
done
for n in $(seq 0 15); do redis-cli -p 7925 set "$(printf '%012d' "$n")" 53 >/dev/null; done

cpu_ns() { cat /proc/"$1"/task/*/schedstat | awk '{ sum += $1 } END { printf "%.0f", sum }'; }
median() { sort -n | awk '{ a[NR] = $1 } END { print (NR % 2) ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2 }'; }
# measure NAME PID PORT DEPTH REQUESTS COMMAND...
measure() {
    local name=$1 pid=$2 port=$3 depth=$4 requests=$5 before
    shift 5
    before=$(cpu_ns "$pid")
    redis-benchmark -p "$port" -c 50 -P "$depth" -n "$requests" -r 16 --csv "$@" 2>/dev/null |
        tail -1 | cut -d, -f2 | tr -d '"' >>"$folder/rate.$name.$depth"
    echo "$((($(cpu_ns "$pid") - before) / requests))" >>"$folder/cpu.$name.$depth"
}
declare -A requests=([1]=70000 [16]=800000 [100]=1600000)
for _ in $(seq "$rounds"); do
    for depth in 1 16 100; do
        measure primed "$primed" 7923 "$depth" "${requests[$depth]}" pi __rand_int__
        measure redis "$redis" 7925 "$depth" "${requests[$depth]}" get __rand_int__
    done
done
printf '%6s %14s %14s %12s %12s\n' depth 'primed /s' 'GET /s' 'primed CPU' 'GET CPU'
for depth in 1 16 100; do
    printf '%6s %14.0f %14.0f %9.0f ns %9.0f ns\n' "$depth" "$(median <"$folder/rate.primed.$depth")" \
        "$(median <"$folder/rate.redis.$depth")" "$(median <"$folder/cpu.primed.$depth")" "$(median <"$folder/cpu.redis.$depth")"
done
