#!/usr/bin/env bash
# What a second machine brings: the wall time of long questions on one worker, and on 1 + 1 in a cluster of two processes over a NATS server, in turns;
# and what the parts took in messages and bytes. On one machine of two cores or more, with nothing else at work.
#
#   benches/cluster.sh [ROUNDS]     5 by default; needs curl, nc, nats-server (NATS_SERVER says where) and a release build
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-5}
directory=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; wait; rm -rf "$directory"' EXIT
nats=7920
"${NATS_SERVER:-nats-server}" -js -a 127.0.0.1 -p $nats -sd "$directory/nats" >/dev/null 2>&1 &
serve() { target/release/primed serve --listen "127.0.0.1:$1" --workers 1 --keep-answers-mib 0 --store-answers 0 --log error "${@:2}" >/dev/null & }
cluster="--cluster nats://127.0.0.1:$nats"
sleep 1
serve 7921 --data none
serve 7922 --data "$directory/a" $cluster --node-name a --http 127.0.0.1:7924
serve 7923 --data none $cluster --node-name b --workers-only
until [ "$(printf 'nodes\n' | nc -N 127.0.0.1 7922 | grep -c ' state=up ')" = 2 ]; do sleep 0.2; done

median() { sort -g | awk '{all[NR] = $1} END {print all[int((NR + 1) / 2)]}'; }
seconds() {
    local begun=$EPOCHREALTIME
    printf '%s\n' "$2" | nc -N 127.0.0.1 "$1" >"$directory/answer"
    local ended=$EPOCHREALTIME
    grep -q '^OK' "$directory/answer" || { cat "$directory/answer"; exit 1; }
    echo "$begun $ended" | awk '{printf "%.3f\n", $2 - $1}'
}
counters() { curl -s http://127.0.0.1:7924/metrics | awk '/^primed_cluster_(parts|bytes)_total/ {print $2}' | paste -sd' '; }

semiprime=1425371984221205488967891301103440634733655816467226735511353545938232833
for question in "pi 1e18" "count 1e15 1e15+1e11 method=sieve" "factor $semiprime"; do
    before=$(counters)
    for _ in $(seq "$rounds"); do
        seconds 7921 "$question" >>"$directory/one"
        seconds 7922 "$question" >>"$directory/two"
    done
    one=$(median <"$directory/one")
    two=$(median <"$directory/two")
    rm "$directory/one" "$directory/two"
    echo "$question: $one s on one worker, $two s on 1 + 1: $(echo "$one $two" | awk '{printf "%.2f", $1 / $2}') times"
    # In the order of /metrics: parts sent, absorbed, taken back, checked; bytes sent, received.
    echo "$before $(counters)" | awk -v rounds="$rounds" -v cpu="$one" '{
        printf "  a run: %.0f parts sent, %.0f absorbed, %.0f bytes out, %.0f in: %.0f bytes a CPU second\n",
            ($7 - $1) / rounds, ($8 - $2) / rounds, ($11 - $5) / rounds, ($12 - $6) / rounds, ($11 - $5 + $12 - $6) / rounds / cpu }'
done
