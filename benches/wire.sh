#!/usr/bin/env bash
# The table of docs/performance.md: requests a second of primed against redis-server and a bare tokio server, and CPU time a request.
# 50 connections; the servers take turns in every round; medians. The generator is `primed bench`, in a process of its own.
#   benches/wire.sh [ROUNDS] [SECONDS]     5 rounds of 1 s a measurement by default, three minutes in all; without redis-server, two columns
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5} seconds=${2:-1}
cargo build --release --quiet --bin primed --example bare

folder=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$folder"' EXIT

declare -A pid address
# serve NAME COMMAND...: starts a server that says where it listens, "listens on ADDRESS".
serve() {
    local name=$1
    shift
    : >"$folder/$name"
    "$@" >"$folder/$name" 2>/dev/null &
    pid[$name]=$!
    pids+=($!)
    for _ in $(seq 100); do
        address[$name]=$(sed -nE 's/.*listens on ([0-9.:]+).*/\1/p' "$folder/$name")
        [ -n "${address[$name]}" ] && return
        sleep 0.1
    done
    echo "$name does not start" >&2
    exit 1
}
redis() {
    local port=7921
    redis-server --port $port --bind 127.0.0.1 --save '' --appendonly no --dir "$folder" >/dev/null &
    local server=$!
    trap 'kill $server' TERM
    for _ in $(seq 100); do redis-cli -p $port ping >/dev/null 2>&1 && break; sleep 0.1; done
    echo "pid $server listens on 127.0.0.1:$port"
    wait $server
}
# Without answers kept, so that a question beyond the known ones is a job each time.
serve primed target/release/primed serve --listen 127.0.0.1:0 --log off --data none --keep-answers-mib 0
serve bare target/release/examples/bare 127.0.0.1:0
servers=(primed bare)
if command -v redis-server >/dev/null; then
    serve redis redis
    pid[redis]=$(sed -nE 's/pid ([0-9]+) .*/\1/p' "$folder/redis")
    servers+=(redis)
fi

cpu_ns() { cat /proc/"$1"/task/*/schedstat | awk '{ sum += $1 } END { printf "%.0f", sum }'; }
median() { sort -n | awk '{ a[NR] = $1 } END { print (NR % 2) ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2 }'; }

# measure NAME DEPTH MIX: appends "requests-a-second CPU-nanoseconds-a-request" to a file.
measure() {
    local name=$1 depth=$2 mix=$3 before after replies
    before=$(cpu_ns "${pid[$name]}")
    target/release/primed bench --connect "${address[$name]}" -p "$depth" -d "${seconds}s" --mix "$mix" --json >"$folder/json" 2>/dev/null
    after=$(cpu_ns "${pid[$name]}")
    replies=$(sed -nE 's/.*"replies": ([0-9]+),.*/\1/p' "$folder/json")
    grep -q '"errors_total": 0' "$folder/json" || { echo "$name answered with errors" >&2; exit 1; }
    sed -nE 's/.*"replies_per_second": ([0-9.]+).*/\1/p' "$folder/json" >>"$folder/rate.$name"
    echo "$(((after - before) / replies))" >>"$folder/cpu.$name"
}

# row TITLE DEPTH MIX-OF-PRIMED MIX-OF-BARE ('' for none)
row() {
    local title=$1 depth=$2 round name
    declare -A mix=([primed]=$3 [bare]=$4 [redis]=ping)
    rm -f "$folder"/rate.* "$folder"/cpu.*
    for ((round = 0; round < rounds; round++)); do
        for name in "${servers[@]}"; do
            [ -z "${mix[$name]}" ] || measure "$name" "$depth" "${mix[$name]}"
        done
    done
    local cells="| $title | $depth |" ours theirs
    ours=$(median <"$folder/rate.primed")
    for name in primed bare redis; do
        if [ -e "$folder/rate.$name" ]; then
            theirs=$(median <"$folder/rate.$name")
            cells+=$(printf ' %.0f (%.2f us) |' "$theirs" "$(median <"$folder/cpu.$name" | awk '{ print $1 / 1000 }')")
        else
            cells+=' - |'
        fi
    done
    for name in bare redis; do
        if [ -e "$folder/rate.$name" ]; then
            cells+=$(awk -v a="$ours" -v b="$(median <"$folder/rate.$name")" 'BEGIN { printf " %.2f |", a / b }')
        else
            cells+=' - |'
        fi
    done
    echo "$cells"
}

echo "CPU: $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1), $(nproc) cores; load $(cut -d' ' -f1 /proc/loadavg)"
command -v redis-server >/dev/null && redis-server --version | sed -E 's/.*v=([0-9.]+).*/redis-server \1/'
echo
echo "requests a second (CPU time of the server a request); 50 connections, medians of $rounds"
echo
echo "| primed is asked | depth | primed | bare tokio: nth | redis: PING | over bare | over redis |"
echo "|---|---|---|---|---|---|---|"
for depth in 1 16 100; do row '`nth 1..16`' $depth 'nth 1..16' 'nth 1..16'; done
for depth in 16 100; do row '`nth 1..80000`, hardly ever the same twice' $depth 'nth 1..80000' ''; done
for depth in 1 16 100; do row 'a microsecond of work: `isprime 1e18..2e18`' $depth 'isprime 1e18..2e18' ''; done
row 'a microsecond of work: `nth 82026..1e6`' 16 'nth 82026..1e6' ''
for depth in 1 16 100; do row '`isprime` of two such numbers' $depth 'isprime 1e18..2e18 1e18..2e18' ''; done
for depth in 1 16 100; do row 'a microsecond of work: `next 1e18..2e18`' $depth 'next 1e18..2e18' ''; done
for depth in 1 16 100; do row 'a job each: `isprime` of 2^64 and such a number' $depth 'isprime 18446744073709551616 1e18..2e18' ''; done
