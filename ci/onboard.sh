#!/usr/bin/env bash
# From a fresh clone to a page in the browser: builds the images, starts the container, and prints
# its address. You can run it again at any time: it keeps finished work, and a running container
# keeps its port.
#
#   ci/onboard.sh                          port 80, or the first free one from 8080 on
#   DURANGO_HTTP_PORT=8123 ci/onboard.sh   port 8123
#   docker compose -f builder/compose.yaml down    stops the container
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

fail() {
    printf 'error: %s\n' "$@" >&2
    exit 1
}

# require COMMAND FIX : fails with the fix if the command is missing. Installs nothing.
require() {
    command -v "$1" >/dev/null || fail "no \`$1\` on the PATH"$'\n'"$2"
}

# Succeeds if a program listens on the port.
in_use() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

compose() { docker compose --file builder/compose.yaml "$@"; }

# port VARIABLE CONTAINER-PORT CANDIDATE... : prints the requested port, else the port of the
# running container, else the first free one. Prints nothing else.
port() {
    local variable=$1 inside=$2 running candidate
    local asked=${!variable:-}
    shift 2
    running=$(compose port frankenphp "$inside" 2>/dev/null || true)
    running=${running##*:}
    if [ -n "$asked" ]; then
        if [ "$asked" != "$running" ] && in_use "$asked"; then
            fail "port $asked is in use by another program"$'\n'"name a free one in $variable, or leave it out"
        fi
        echo "$asked"
        return
    fi
    if [ "${running:-0}" != 0 ]; then
        echo "$running"
        return
    fi
    for candidate in "$@"; do
        if ! in_use "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "the ports $1 to $candidate are all in use"$'\n'"name a free one in $variable"
}

# The container needs a moment to start. After a minute without an answer its log has the reason.
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

# A user who is not root reaches the engine as a member of the group `docker`. The group of a new
# engine is not part of this login yet, so the script joins it and starts again inside of it. Does
# nothing if the engine can be reached, or cannot be reached for another reason.
join_group() {
    local answer user
    if answer=$(docker version 2>&1) || [[ $answer != *"permission denied"* ]]; then
        return 0
    fi
    user=$(id -un)
    local remedy="run: sudo usermod -aG docker $user"$'\n'"then log in again and run this again"
    if [ -n "${DURANGO_ONBOARD_IN_GROUP:-}" ] || [ -n "${DOCKER_HOST:-}" ] || ! command -v sg >/dev/null ||
        ! getent group docker >/dev/null; then
        fail "this user may not use the Docker engine" "$remedy"
    fi
    if [[ " $(id -nG "$user") " != *" docker "* ]]; then
        command -v sudo >/dev/null || fail "this user may not use the Docker engine, and there is no \`sudo\`" "$remedy"
        echo "adding $user to the group docker, whose members control the engine like root" >&2
        sudo usermod --append --groups docker "$user"
    fi
    export DURANGO_ONBOARD_IN_GROUP=1
    exec sg docker -c "exec $(printf '%q' "$PWD/ci/onboard.sh")"
}

# An engine that was just installed has a group that this login lacks.
join_group_or_stop() {
    join_group
    exit "$1"
}

require cargo "get Rust from https://rustup.rs, open a new terminal and run this again"
require cc "Rust links with a C compiler (Debian, Ubuntu: apt-get install gcc libc6-dev)"
require curl "install it with your system's packages (Debian, Ubuntu: apt-get install curl)"

join_group

# Plain HTTP on the first day avoids the browser's warning about a local certificate.
export SERVER_NAME=${SERVER_NAME:-:80}
# Checked before the build, which takes minutes the first time.
DURANGO_HTTP_PORT=$(port DURANGO_HTTP_PORT 80 80 $(seq 8080 8099))
DURANGO_HTTPS_PORT=$(port DURANGO_HTTPS_PORT 443 443 $(seq 8443 8462))
export DURANGO_HTTP_PORT DURANGO_HTTPS_PORT

cargo xtask base-build --provision || join_group_or_stop $?
cargo xtask frankenphp
cargo xtask doctor

docker compose version >/dev/null 2>&1 || fail "\`docker\` has no Compose plugin"$'\n'"run: cargo xtask doctor --provision"
compose up --detach --no-build frankenphp
url=http://localhost:$DURANGO_HTTP_PORT/
wait_for_page "$url"
printf '\nIt works: %s\n' "$url"
