#!/usr/bin/env bash
# Installs the clients of Redis that tests/redis.rs runs, where absent: from Debian, and pinned from npm and PyPI into target/clients.
# A client that cannot be installed is reported on standard error; the test that needs it is printed, so that the caller can skip it.
set -uo pipefail
cd "$(dirname "$0")/../.."
folder=target/clients

from_debian() {
    dpkg --status "$@" >/dev/null 2>&1 && return
    [ -n "${has_updated:-}" ] || apt-get update -qq >&2 || return
    has_updated=yes
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

from_npm() {
    local to=$folder/npm/${1%@*}
    [ -e "$to/$1" ] && return
    command -v npm >/dev/null || from_debian nodejs npm || return
    mkdir -p "$to"
    npm install --silent --no-audit --no-fund --no-save --prefix "$to" "$1" >&2 && touch "$to/$1"
}

from_pypi() {
    local to=$folder/pypi/${1%==*}
    [ -e "$to/$1" ] && return
    command -v pip3 >/dev/null || from_debian python3-pip || return
    pip3 install --quiet --disable-pip-version-check --root-user-action ignore --upgrade --target "$to" "$1" >&2 && touch "$to/$1"
}

# `needs TEST INSTALL...`: the test cannot run unless the command installs what it needs.
needs() {
    local test=$1
    shift
    "$@" && return
    printf '\nSKIPPED, NOT TESTED: %s, for "%s" failed\n\n' "$test" "$*" >&2
    echo "$test"
}

needs redis_py from_pypi redis==8.1.0
needs valkey_glide from_pypi valkey-glide==2.5.3
needs ioredis from_npm ioredis@6.0.0
needs node_redis from_npm redis@6.3.1
needs hiredis from_debian libhiredis-dev gcc
needs go_redis from_debian golang-go golang-gopkg-redis.v5-dev
