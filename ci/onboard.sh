#!/usr/bin/env bash
# From a fresh clone to a page in the browser: builds the images, starts the container, prints its address. Run it as often as you
# like: what is there is kept, and a container that runs keeps its port.
#
#   ci/onboard.sh                          port 80, or the first free one from 8080 on
#   DURANGO_HTTP_PORT=8123 ci/onboard.sh   that port
#   docker compose -f builder/compose.yaml down    stops it again
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
    printf 'error: %s\n' "$@" >&2
    exit 1
}

# A command of this machine that is missing is named with its remedy; nothing is installed here.
require() {
    command -v "$1" >/dev/null || fail "no \`$1\` on the PATH"$'\n'"$2"
}

# Something listens there, or answers that it must not be tried.
in_use() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

free_port() {
    local port
    for port in "$@"; do
        if ! in_use "$port"; then
            echo "$port"
            return
        fi
    done
    fail "the ports $1 to ${*: -1} are all in use"$'\n'"name a free one: DURANGO_HTTP_PORT=9000 ci/onboard.sh"
}

compose() { docker compose --file builder/compose.yaml "$@"; }

# The port that the container already has, else the one that was asked for, else a free one. Prints nothing but the port.
http_port() {
    local running
    running=$(compose port frankenphp 80 2>/dev/null || true)
    running=${running##*:}
    if [ -n "${DURANGO_HTTP_PORT:-}" ]; then
        if [ "$DURANGO_HTTP_PORT" != "$running" ] && in_use "$DURANGO_HTTP_PORT"; then
            fail "port $DURANGO_HTTP_PORT is in use by another program"$'\n'"name a free one in DURANGO_HTTP_PORT, or leave it out"
        fi
        echo "$DURANGO_HTTP_PORT"
    elif [ "${running:-0}" != 0 ]; then
        echo "$running"
    else
        free_port 80 $(seq 8080 8099)
    fi
}

https_port() {
    local running
    running=$(compose port frankenphp 443 2>/dev/null || true)
    running=${running##*:}
    if [ -n "${DURANGO_HTTPS_PORT:-}" ]; then
        echo "$DURANGO_HTTPS_PORT"
    elif [ "${running:-0}" != 0 ]; then
        echo "$running"
    else
        free_port 443 $(seq 8443 8462)
    fi
}

# The container needs a moment; one that does not answer within a minute has something to say in its log.
wait_for_page() {
    local second
    for second in $(seq 60); do
        if curl --silent --fail --max-time 5 --output /dev/null "$1"; then
            return
        fi
        [ "$second" = 60 ] || sleep 1
    done
    compose logs --tail 20 frankenphp >&2 || true
    fail "$1 does not answer after a minute"$'\n'"the container's last lines are above"
}

require cargo "get Rust from https://rustup.rs, open a new terminal and run this again"
require curl "install it with your system's packages (Debian, Ubuntu: apt-get install curl)"

# Plain HTTP on the first day: no certificate that a browser would warn of.
export SERVER_NAME=${SERVER_NAME:-:80}
# Before the build, which takes minutes the first time.
DURANGO_HTTP_PORT=$(http_port)
DURANGO_HTTPS_PORT=$(https_port)
export DURANGO_HTTP_PORT DURANGO_HTTPS_PORT

cargo xtask base-build --provision
cargo xtask frankenphp
cargo xtask doctor

docker compose version >/dev/null 2>&1 || fail "\`docker\` has no Compose plugin"$'\n'"run: cargo xtask doctor --provision"
compose up --detach --no-build frankenphp
url=http://localhost:$DURANGO_HTTP_PORT/
wait_for_page "$url"
printf '\nIt works: %s\n' "$url"
