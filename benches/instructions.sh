#!/usr/bin/env bash
# Instructions a request, counted by valgrind: this commit against the one before, or another: benches/instructions.sh [COMMIT]
# Fails if a way takes 10 % more than before (round trips vary by 4), unless the commit's message has a line 'Instructions: why'. What cannot be counted is
# skipped, and it says why.
set -euo pipefail
cd "$(dirname "$0")/.."
before=${1:-HEAD~1}
tolerance=10
skip() { echo "instructions are not compared: $*"; exit 0; }
command -v valgrind >/dev/null || skip 'valgrind is not installed'

folder=$PWD/target/instructions
mkdir -p "$folder"
# build SOURCE: builds the bench of a source tree and says where it is. What both need is built once. The tree before has a version of its
# own, by which cargo tells the two programs apart.
target=$PWD/target
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

git rev-parse --quiet --verify "$before^{commit}" >/dev/null || skip "there is no commit $before here"
git cat-file -e "$before:benches/instructions.rs" 2>/dev/null || skip "$before does not count instructions yet"
new=$(build .)
[ -n "$new" ] || { cat "$folder/errors"; exit 1; }
rm -rf "$folder/before"
mkdir "$folder/before"
git archive "$before" | tar -x -C "$folder/before"
sed -i '0,/^version = .*/s//version = "0.0.0"/' "$folder/before/Cargo.toml"
old=$(build "$folder/before")
# The command in target/release is that of this tree again.
build . >/dev/null
[ -n "$old" ] || skip "$before does not build: $(tail -1 "$folder/errors")"

worse=0
printf '%-24s %10s %10s %8s\n' 'instructions a request' "$(git rev-parse --short "$before")" now change
known=$("$old")
for way in $("$new"); do
    a=$(grep -qx "$way" <<<"$known" && a_request "$old" "$way") || true
    b=$(a_request "$new" "$way")
    # A way that is not counted would never be found slower.
    [ -n "$b" ] || { echo "$way cannot be counted: valgrind fails"; exit 1; }
    if [ -z "$a" ]; then
        printf '%-24s %10s %10d\n' "$way" - "$b"
        continue
    fi
    printf '%-24s %10d %10d %+7.1f%%\n' "$way" "$a" "$b" "$(awk -v a="$a" -v b="$b" 'BEGIN { print 100 * (b - a) / a }')"
    # What the workers do depends on when their threads wake: it is shown, and not judged.
    case $way in round-trip-job | round-trip-plain | round-trip-deadline | round-trip-submit) continue ;; esac
    [ $((b * 100)) -le $((a * (100 + tolerance))) ] || worse=1
done
[ $worse = 0 ] || git log -1 --format=%B | grep '^Instructions: ' || {
    echo "more than $tolerance % more than $before; if that is meant, give the commit a line 'Instructions: why'"
    exit 1
}
