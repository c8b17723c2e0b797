#!/usr/bin/env bash
# What operators' parts cost the wire: a daemon with HTTP, a TLS listener (idle), users, and its metrics scraped once a second, against one without
# any of them. The connections of the first are logged in; the two take turns in every round.
#   benches/operated.sh [ROUNDS] [SECONDS] [BINARY]     7 rounds of 1 s a measurement by default, two minutes in all: requests a second and CPU time
#                                                       of the daemon a request, medians, and the medians of the ratios of each round
#   benches/operated.sh instructions [BINARY]           instructions of the daemon a request by valgrind, which are the same on a busy machine; no scrapes
set -euo pipefail
cd "$(dirname "$0")/.."
certificates=tests/security/certs
folder=$(mktemp -d)
pids=()
trap 'kill "${pids[@]}" 2>/dev/null || true; wait 2>/dev/null || true; rm -rf "$folder"' EXIT

declare -A pid address
login=(--user ann --password-file "$folder/password")
# serve NAME COMMAND...: starts a daemon and notes where it listens. `on` has everything.
serve() {
    local name=$1 flags=()
    shift
    [ "$name" = off ] || flags=(--http 127.0.0.1:0 --users "$folder/users"
        --tls-listen 127.0.0.1:0 --tls-cert $certificates/server.pem --tls-key $certificates/server.key)
    : >"$folder/$name"
    "$@" serve --listen 127.0.0.1:0 --log warn --data none --keep-answers-mib 0 --max-queue-age 10s "${flags[@]}" >"$folder/$name" 2>"$folder/$name.log" &
    pid[$name]=$!
    pids+=($!)
    for _ in $(seq 600); do
        address[$name]=$(sed -nE 's/.*listens on ([0-9.:]+).*/\1/p' "$folder/$name")
        [ -n "${address[$name]}" ] && return
        sleep 0.1
    done
    cat "$folder/$name.log" >&2
    exit 1
}
# load NAME FLAGS...: the generator against a daemon; its summary is in a file.
load() {
    local name=$1 as=()
    shift
    [ "$name" = off ] || as=("${login[@]}")
    "$primed" bench --connect "${address[$name]}" "${as[@]}" "$@" --json >"$folder/json" 2>/dev/null
    grep -q '"errors_total": 0' "$folder/json" || { echo "$name answered with errors" >&2; cat "$folder/json" >&2; exit 1; }
}
# A user whose password is checked within microseconds (argon2id, 8 KiB, one pass): each measurement logs in anew.
new_user() {
    echo secret >"$folder/password"
    echo 'ann operate $argon2id$v=19$m=8,t=1,p=1$YSBzYWx0IGZvciBiZW5jaA$c+3hRiFJulZ+p5yvNPjIKarMqogafArB84xfZfQMHWM' >"$folder/users"
    chmod 600 "$folder/users"
}

if [ "${1:-}" = instructions ]; then
    primed=${2:-target/release/primed}
    new_user
    # counted NAME DEPTH MIX REQUESTS: the instructions of a daemon that answered these and ended.
    counted() {
        local name=$1
        serve "$name" valgrind --tool=callgrind --callgrind-out-file=/dev/null "$primed" >/dev/null
        load "$name" -c 1 -p "$2" -m "$3" -n "$4"
        kill -TERM "${pid[$name]}"
        wait "${pid[$name]}" || true
        sed -nE 's/.*Collected : ([0-9]+).*/\1/p' "$folder/$name.log"
    }
    # The difference of two runs, so that starting and logging in do not count.
    a_request() { echo $((($(counted "$1" "$2" "$3" 24000) - $(counted "$1" "$2" "$3" 4000)) / 20000)); }
    echo '| asked | depth | instructions a request, off | on | on / off |'
    echo '|---|---|---|---|---|'
    for depth in 1 16 100; do
        off=$(a_request off $depth 'nth 1..16') on=$(a_request on $depth 'nth 1..16')
        printf '| `nth 1..16` | %d | %d | %d | %s |\n' $depth "$off" "$on" "$(awk -v a="$off" -v b="$on" 'BEGIN { printf "%.3f", b / a }')"
    done
    exit
fi

rounds=${1:-7} seconds=${2:-1} primed=${3:-target/release/primed}
new_user
serve off "$primed"
serve on "$primed"
until grep -q 'http://' "$folder/on"; do sleep 0.1; done
metrics=$(sed -nE 's,.*(http://[0-9.:]+/).*,\1metrics,p' "$folder/on")
curl -sfu ann:secret "$metrics" | grep -q primed_requests_total
while true; do curl -sfu ann:secret -o /dev/null "$metrics"; sleep 1; done &
pids+=($!)

cpu_ns() { cat /proc/"$1"/task/*/schedstat | awk '{ sum += $1 } END { printf "%.0f", sum }'; }
median() { sort -n | awk '{ a[NR] = $1 } END { print (NR % 2) ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2 }'; }
# measure NAME DEPTH MIX: "REQUESTS-A-SECOND CPU-NANOSECONDS-A-REQUEST"
measure() {
    local before after
    before=$(cpu_ns "${pid[$1]}")
    load "$1" -c 16 -p "$2" -m "$3" -d "${seconds}s"
    after=$(cpu_ns "${pid[$1]}")
    awk -v cpu=$((after - before)) -F'[:,]' \
        '/"replies":/ { n = $2 } /"replies_per_second":/ { rate = $2 } END { printf "%.0f %.1f\n", rate, cpu / n }' "$folder/json"
}

echo "CPU: $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1), $(nproc) cores; load $(cut -d' ' -f1 /proc/loadavg); 16 connections, medians of $rounds"
echo
echo "| asked | depth | off, a second | on | on / off | off, CPU ns a request | on | on / off |"
echo "|---|---|---|---|---|---|---|---|"
for mix in 'nth 1..16' 'isprime 1e18..2e18'; do
    for depth in 1 16 100; do
        : >"$folder/rounds"
        for ((round = 0; round < rounds; round++)); do
            # Each goes first in every other round.
            if ((round % 2)); then
                on=$(measure on $depth "$mix") off=$(measure off $depth "$mix")
            else
                off=$(measure off $depth "$mix") on=$(measure on $depth "$mix")
            fi
            echo "$off $on" >>"$folder/rounds"
        done
        column() { awk "{ print $1 }" "$folder/rounds" | median; }
        printf '| `%s` | %d | %.0f | %.0f | %.3f | %.0f | %.0f | %.3f |\n' "$mix" $depth \
            "$(column '$1')" "$(column '$3')" "$(column '$3 / $1')" "$(column '$2')" "$(column '$4')" "$(column '$4 / $2')"
    done
done
