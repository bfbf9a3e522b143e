# shellcheck shell=bash
# Downloads the Go modules and compiles everything that doesn't need PHP: all of Caddy, into Go's
# build cache. It runs in parallel with the compilation of PHP.

# shellcheck source=go.sh
source "$here/lib/go.sh"

download() {
    local attempt log=/tmp/download.log
    for attempt in 1 2 3; do
        go mod download >"$log" 2>&1 && return
        cat "$log" >&2
        explain_go_failure "$log"
        [ "$attempt" = 3 ] || sleep $((attempt * 5))
    done
    fail "failed to download Go modules, after 3 attempts; the last lines above name them" \
        "Check GOPROXY, GOPRIVATE and the network; behind a proxy with its own CA set DURANGO_CA_BUNDLE to the host's bundle."
}

stage_modules() {
    go_setup
    say "modules"
    download
    say "Caddy"
    run_go build -trimpath -buildmode=pie -tags "$tags" github.com/caddyserver/caddy/v2/cmd github.com/caddyserver/caddy/v2/modules/standard
    # The input of `static`. It changes only if go.mod or go.sum change.
    cat go.mod go.sum >/modules.list
}
