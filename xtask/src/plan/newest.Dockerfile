
# The query of `cargo xtask pins --update` for the newest available versions. It is appended to
# builder/base-build.Dockerfile, so that the answer comes from the mirror, keys and Go of a build.

FROM debian AS newest-debian
COPY build-static.sh pins.env /builder/
COPY lib/common.sh lib/apt.sh lib/pins.sh /builder/lib/
# A different one in each call, because an answer from an hour ago is outdated.
ARG NONCE
ARG HELD
RUN --mount=type=cache,id=durango-apt-archives,target=/var/cache/apt/archives,sharing=locked \
    --mount=type=cache,id=durango-apt-lists,target=/var/lib/apt/lists,sharing=locked \
    --mount=type=secret,id=ca_certificates,mode=0444 <<'SCRIPT'
#!/bin/bash
set -euo pipefail
here=/builder
source $here/lib/common.sh
source $here/lib/pins.sh

# The stage `pins` knows the package of each pin. Here it takes the newest version instead of the
# pinned one.
apt_lists() { apt_update; }
resolve() {
    local version pinned
    pinned=$(pin "$1" $here/pins.env)
    if [[ " $HELD " == *" $1 "* ]]; then
        echo "$1=$pinned"
        return
    fi
    for version in $(versions "$2" "$3"); do
        if fetch "$2" "$3" "$version"; then
            echo "$1=$version"
            [ "$2" != source ] || echo "${1%_VERSION}_SHA256=$(source_digest "$3" "$version")"
            return
        fi
        warn "$3 $version is listed, but its mirror does not have it"
    done
    if fetch "$2" "$3" "$pinned" "$(digest "$1" "$pinned")"; then
        echo "$1=$pinned"
        return
    fi
    fail "no version of $3 can be had" "Does the package mirror of the base image carry it?"
}
stage_pins
install -D /pins/resolved.env /newest/debian.env
SCRIPT

FROM toolchain AS newest-go
COPY frankenphp /src
ARG NONCE
ARG HELD
RUN --mount=type=cache,id=durango-gomod,target=/go/pkg/mod,sharing=shared \
    --mount=type=secret,id=ca_certificates,mode=0444 \
    --mount=type=secret,id=goenv,mode=0444 \
    --mount=type=secret,id=netrc,mode=0444 <<'SCRIPT'
#!/bin/bash
set -euo pipefail
here=/builder
source $here/lib/common.sh
use_secrets
export GOTOOLCHAIN=local GOFLAGS=-mod=mod
cd /src
franken=github.com/dunglas/frankenphp/caddy
caddy=github.com/caddyserver/caddy/v2

held() { [[ " $HELD " == *" $1 "* ]]; }
current() { go list -m -f '{{.Version}}' "$1"; }

# raise NAME MODULE [OTHER@VERSION] : raises it to the newest release that this Go can build and
# that doesn't change the other one.
raise() {
    local name=$1 module=$2 before releases version
    shift 2
    before=$(current "$module")
    if ! releases=$(go list -m -versions "$module" 2>/tmp/go.log); then
        warn "the versions of $module cannot be listed: $(head -n 1 /tmp/go.log)"
        echo "$name: $(head -n 1 /tmp/go.log)" >>/newest/unknown
        return
    fi
    for version in $(tr ' ' '\n' <<<"$releases" | sed '1d;/-/d' | sort -rV); do
        [ "$version" != "$before" ] || return 0
        say "trying $module $version"
        ! go get "$module@$version" "$@" 2>/tmp/go.log || return 0
        warn "$module $version cannot be had: $(tail -n 1 /tmp/go.log)"
    done
}

mkdir /newest
cp go.mod /tmp/go.mod.before
if ! held FRANKENPHP_VERSION; then
    keep=()
    ! held CADDY_VERSION || keep=("$caddy@$(current $caddy)")
    raise FRANKENPHP_VERSION $franken "${keep[@]}"
fi
held CADDY_VERSION || raise CADDY_VERSION $caddy "$franken@$(current $franken)"
if ! cmp -s go.mod /tmp/go.mod.before; then
    retry "Go modules" go mod tidy
    cp go.mod go.sum /newest/
fi
printf 'FRANKENPHP_VERSION=%s\nCADDY_VERSION=%s\n' "$(current $franken)" "$(current $caddy)" >/newest/go.env
SCRIPT

FROM scratch AS newest
COPY --from=newest-debian /newest /
COPY --from=newest-go /newest /
