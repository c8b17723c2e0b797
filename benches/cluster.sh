#!/usr/bin/env bash
# What more machines bring: the wall time of long questions on a daemon alone, on a cluster of one, of two and of three processes over a NATS
# server, each with one worker, in turns with the daemon alone; and what the parts took in bytes. With nothing else at work.
#
#   benches/cluster.sh [ROUNDS]     5 by default; needs curl, nc, nats-server (NATS_SERVER says where) and a release build
#
# Where there are fewer than four cores, each process is kept to half of one, or to QUOTA percent, by a control group of version 1: as root.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5}
quota=${QUOTA:-50}
groups=/sys/fs/cgroup/cpu/primed-bench
directory=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -rf "$directory"; rmdir $groups-* 2>/dev/null' EXIT
nats=7930
"${NATS_SERVER:-nats-server}" -js -a 127.0.0.1 -p $nats -sd "$directory/nats" >/dev/null 2>&1 &
# Keeps this shell, and what it starts, to its share.
limit() {
    if [ "$(nproc)" -lt 4 ]; then
        mkdir -p "$groups-$1"
        echo $((quota * 1000)) >"$groups-$1/cpu.cfs_quota_us"
        echo 100000 >"$groups-$1/cpu.shares"
        echo $BASHPID >"$groups-$1/tasks"
    fi
}
serve() {
    (
        limit "$1"
        exec target/release/primed serve --listen "127.0.0.1:$1" --workers 1 --keep-answers-mib 0 --store-answers 0 --log error "${@:2}" >/dev/null
    ) &
}
cluster="--cluster nats://127.0.0.1:$nats"
sleep 1
serve 7931 --data none
serve 7932 --data "$directory/a" $cluster --node-name a --http 127.0.0.1:7934
await() { until [ "$(printf 'nodes\n' | nc -N 127.0.0.1 7932 | grep -c ' state=up ')" = "$1" ]; do sleep 0.2; done; }

median() { sort -g | awk '{all[NR] = $1} END {print all[int((NR + 1) / 2)]}'; }
seconds() {
    local begun=$EPOCHREALTIME
    printf '%s\n' "$2" | nc -N 127.0.0.1 "$1" >"$directory/answer"
    local ended=$EPOCHREALTIME
    grep -q '^OK' "$directory/answer" || { cat "$directory/answer"; exit 1; }
    echo "$begun $ended" | awk '{printf "%.3f\n", $2 - $1}'
}
counters() { curl -s http://127.0.0.1:7934/metrics | awk '/^primed_cluster_(parts|bytes)_total/ {print $2}' | paste -sd' '; }

measure() {
    local question
    for question in "pi 1e17" "count 1e15 1e15+3e10 method=sieve" "factor 1178872047612632621191108400530577185470518122214126368031495814977"; do
        before=$(counters)
        for _ in $(seq "$rounds"); do
            seconds 7931 "$question" >>"$directory/alone"
            seconds 7932 "$question" >>"$directory/nodes"
        done
        alone=$(median <"$directory/alone")
        nodes=$(median <"$directory/nodes")
        rm "$directory/alone" "$directory/nodes"
        echo "$question: $alone s alone, $nodes s on $1: $(echo "$alone $nodes" | awk '{printf "%.3f", $1 / $2}') times"
        # In the order of /metrics: parts sent, absorbed, taken back, checked; bytes sent, received.
        echo "$before $(counters)" | awk -v rounds="$rounds" '{
            printf "  a run: %.0f parts sent, %.0f absorbed, %.0f bytes out, %.0f in\n",
                ($7 - $1) / rounds, ($8 - $2) / rounds, ($11 - $5) / rounds, ($12 - $6) / rounds }'
    done
}
await 1
measure 'a cluster of one'
serve 7933 --data none $cluster --node-name b --workers-only
await 2
measure '1 + 1'
serve 7935 --data none $cluster --node-name c --workers-only
await 3
measure '1 + 1 + 1'
