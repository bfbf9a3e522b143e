# shellcheck shell=bash
# Functions of every stage: messages, retries, and the host's settings, which are secrets.

say() { printf '==> %s\n' "$*" >&2; }
warn() { printf 'WARNING: %s\n' "$*" >&2; }

# fail MESSAGE [NEXT-STEP]
fail() {
    printf 'ERROR: %s\n' "$1" >&2
    [ $# -lt 2 ] || printf '       %s\n' "$2" >&2
    exit 1
}

# retry DESCRIPTION COMMAND... : makes three attempts. For downloads only.
retry() {
    local what=$1 attempt
    shift
    for attempt in 1 2 3; do
        "$@" && return 0
        [ "$attempt" = 3 ] && break
        warn "$what: attempt $attempt failed, trying again in $((attempt * 5)) s"
        sleep $((attempt * 5))
    done
    fail "failed to download $what, after 3 attempts" "Check the network and any proxy of this machine, then build again. Finished downloads are kept."
}

# Secrets don't change the result, so they are in no cache key. An empty one (/dev/null) counts as
# missing.
use_secrets() {
    if [ -s /run/secrets/ca_certificates ]; then
        export SSL_CERT_FILE=/run/secrets/ca_certificates GIT_SSL_CAINFO=/run/secrets/ca_certificates APT_CONFIG=/dev/shm/apt.conf
        echo 'Acquire::https::CAInfo "/run/secrets/ca_certificates";' >"$APT_CONFIG"
    fi
    if [ -s /run/secrets/goenv ]; then
        export GOENV=/run/secrets/goenv
    fi
    if [ -s /run/secrets/netrc ]; then
        # Go reads NETRC. git reads only ~/.netrc, so it gets a HOME on a file system that is in no
        # layer.
        export NETRC=/run/secrets/netrc HOME=/dev/shm/home
        mkdir -p "$HOME"
        ln -sf "$NETRC" "$HOME/.netrc"
    fi
}

# pin NAME FILE : prints the value of a KEY=VALUE line, or nothing.
pin() { sed -n "s/^$1=//p" "$2" | tail -n 1; }
