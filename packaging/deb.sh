#!/usr/bin/env bash
# Builds the Debian package of a binary that was compiled before, and prints its path:
#
#     packaging/deb.sh [PROFILE [DIRECTORY [VERSION]]]       dist, target/debian, the version in Cargo.toml
#
# Cargo.toml says what is in the package, for cargo-deb; here is made what the binary itself makes: manual pages and completions.
set -euo pipefail
cd "$(dirname "$0")/.."
profile=${1:-dist} out=${2:-target/debian} version=${3:-}
binary=target/$profile/primed files=target/debian/files
[ -x "$binary" ] || { echo "there is no $binary; build it with 'cargo build --profile $profile'" >&2; exit 1; }
command -v cargo-deb >/dev/null || { echo "cargo-deb is missing: cargo install --locked cargo-deb" >&2; exit 1; }

rm -rf "$files"
mkdir -p "$files" "$out"
"$binary" man --dir "$files/man1"
gzip -9n "$files"/man1/*.1
gzip -9nc CHANGELOG.md >"$files/changelog.gz"
for shell in bash zsh fish; do "$binary" completions $shell >"$files/$shell"; done
# A version of the package that is that of the program, without a revision.
named=(--deb-revision '')
[ -z "$version" ] || named=(--deb-version "$version")
# The binary is stripped already, as its profile says. Prints the path.
cargo deb --quiet --no-build --no-strip --profile "$profile" --output "$out/" "${named[@]}"
