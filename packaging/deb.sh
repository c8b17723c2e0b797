#!/usr/bin/env bash
# Builds the Debian package of a binary that was compiled before, and prints its path:
#
#     packaging/deb.sh [BINARY [DIRECTORY [VERSION]]]        target/dist/primed, target/debian, the version in Cargo.toml
#
# By dpkg-deb alone, which every Debian has: the package has no library and no build of its own.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -1)
binary=${1:-target/dist/primed} out=${2:-target/debian} version=${3:-$version}
architecture=$(dpkg --print-architecture)
[ -x "$binary" ] || { echo "there is no $binary; build it with 'cargo build --profile dist'" >&2; exit 1; }

mkdir -p "$out"
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"

install -D -m 755 "$binary" "$root/usr/bin/primed"
install -D -m 644 packaging/primed.service "$root/usr/lib/systemd/system/primed.service"
install -D -m 644 packaging/primed.toml "$root/etc/primed/primed.toml"
install -D -m 644 packaging/debian/copyright "$root/usr/share/doc/primed/copyright"
gzip -9nc CHANGELOG.md | install -D -m 644 /dev/stdin "$root/usr/share/doc/primed/changelog.gz"
"$binary" man --dir "$root/usr/share/man/man1"
gzip -9n "$root"/usr/share/man/man1/*.1
for completions in bash:bash-completion/completions/primed zsh:zsh/vendor-completions/_primed fish:fish/vendor_completions.d/primed.fish; do
    file=$root/usr/share/${completions#*:}
    install -d "$(dirname "$file")"
    "$binary" completions "${completions%%:*}" >"$file"
done
find "$root/usr/share" -type d -exec chmod 755 {} + -o -type f -exec chmod 644 {} +

mkdir -p "$root/DEBIAN"
for script in postinst prerm postrm; do install -m 755 packaging/debian/$script "$root/DEBIAN/$script"; done
echo /etc/primed/primed.toml >"$root/DEBIAN/conffiles"
# The newest symbol version that the binary asks of the C library.
libc=$(objdump -T "$binary" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -1)
cat >"$root/DEBIAN/control" <<CONTROL
Package: primed
Version: $version
Architecture: $architecture
Maintainer: the primed developers <primed@localhost>
Installed-Size: $(du -sk --exclude=DEBIAN "$root" | cut -f1)
Depends: libc6 (>= ${libc#GLIBC_}), libgcc-s1, adduser, init-system-helpers
Section: math
Priority: optional
Description: prime daemon
 Answers questions about prime numbers over TCP, in lines or as a server of
 Redis's protocol: the n-th prime, the number of primes up to x, primality,
 factors. Long questions do not delay short ones, and submitted jobs outlive
 the daemon.
CONTROL
(cd "$root" && find usr etc -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)

package=$out/primed_${version}_${architecture}.deb
# Compressed by xz at its default level: a better one costs seconds and gives one percent.
dpkg-deb --root-owner-group --build "$root" "$package" >/dev/null
echo "$package"
