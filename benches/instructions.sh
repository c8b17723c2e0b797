#!/usr/bin/env bash
# Instructions a request, counted by valgrind: this tree against what benches/instructions.txt records, or against a commit, which is built for it.
#
#   benches/instructions.sh              fails if a way takes 10 % more than recorded (round trips vary by 4)
#   benches/instructions.sh --write      records what it counts; the commit says why it changed
#   benches/instructions.sh COMMIT       fails if a way takes 10 % more than there
#
# Counts of another compiler are shown, and not judged. What cannot be counted is skipped, and it says why.
set -euo pipefail
cd "$(dirname "$0")/.."
tolerance=10
record=benches/instructions.txt
skip() { echo "instructions are not compared: $*"; exit 0; }
command -v valgrind >/dev/null || skip 'valgrind is not installed'

folder=$PWD/target/instructions
mkdir -p "$folder"
target=$PWD/target
# build SOURCE: builds the bench of a source tree and says where it is. What two trees need is built once.
build() {
    (cd "$1" && cargo bench --quiet --no-run --bench instructions --message-format=json --target-dir "$target" 2>"$folder/errors") |
        sed -nE '/"name":"instructions"/s/.*"executable":"([^"]+)".*/\1/p'
}
# count PROGRAM WAY TIMES
count() { valgrind --tool=callgrind --callgrind-out-file=/dev/null "$@" 2>&1 >/dev/null | sed -nE 's/.*Collected : ([0-9]+).*/\1/p'; }
# a_request PROGRAM WAY: the difference between two runs, so that what happens once does not count. Nothing where valgrind fails.
a_request() {
    local many few
    many=$(count "$1" "$2" 9600) && few=$(count "$1" "$2" 1600) && [ -n "$many" ] && [ -n "$few" ] && [ "$many" -gt "$few" ] || return 0
    echo $(((many - few) / 8000))
}
# each PROGRAM: the ways of a program, and what a request takes on each.
each() {
    local way found
    for way in $("$1"); do
        found=$(a_request "$1" "$way")
        # A way that is not counted would never be found slower.
        [ -n "$found" ] || { echo "$way cannot be counted: valgrind fails" >&2; return 1; }
        echo "$way $found"
    done
}

new=$(build .) || true
[ -n "$new" ] || { cat "$folder/errors"; exit 1; }
each "$new" >"$folder/now"

compiler=$(rustc --version)
judged=yes
case ${1:-} in
--write)
    { echo "# $compiler"; cat "$folder/now"; } >"$record"
    cat "$record"
    exit 0
    ;;
'')
    before=recorded
    [ "$(head -1 "$record")" = "# $compiler" ] || judged=no
    grep -v '^#' "$record" >"$folder/then"
    ;;
*)
    before=$(git rev-parse --short --verify "$1^{commit}")
    rm -rf "$folder/before"
    mkdir "$folder/before"
    git archive "$before" | tar -x -C "$folder/before"
    # A version of its own, by which cargo tells the two programs apart.
    sed -i '0,/^version = .*/s//version = "0.0.0"/' "$folder/before/Cargo.toml"
    old=$(build "$folder/before") || true
    # The command in target/release is that of this tree again.
    build . >/dev/null
    [ -n "$old" ] || skip "$before does not build: $(tail -1 "$folder/errors")"
    each "$old" >"$folder/then"
    ;;
esac

worse=0
printf '%-24s %10s %10s %8s\n' 'instructions a request' "$before" now change
while read -r way b; do
    a=$(sed -n "s/^$way //p" "$folder/then")
    if [ -z "$a" ]; then
        printf '%-24s %10s %10d\n' "$way" - "$b"
        continue
    fi
    printf '%-24s %10d %10d %+7.1f%%\n' "$way" "$a" "$b" "$(awk -v a="$a" -v b="$b" 'BEGIN { print 100 * (b - a) / a }')"
    # What the workers do depends on when their threads wake: it is shown, and not judged.
    case $way in round-trip-job | round-trip-plain | round-trip-deadline | round-trip-submit) continue ;; esac
    [ $((b * 100)) -le $((a * (100 + tolerance))) ] || worse=1
done <"$folder/now"
[ $judged = yes ] || skip "recorded was what $(sed -n '1s/^# //p' "$record") compiles, and this is $compiler"
[ $worse = 0 ] || {
    echo "more than $tolerance % more than $before"
    [ "$before" != recorded ] || echo "if that is meant, run 'benches/instructions.sh --write' and say why in the commit"
    exit 1
}
