# shellcheck shell=bash
# The settings of Go. Both Go stages source this file, because Go finds compiled packages only under
# the same settings.

go_setup() {
    use_secrets
    export CC="ccache gcc" CXX="ccache g++" CGO_ENABLED=1 GOTOOLCHAIN=local
    # Only directories, the same for every set of extensions. The libraries are named at the last
    # link: here they would be in the key of each package that uses cgo, which is nearly all of
    # them.
    export CGO_CFLAGS="-I/opt/php/include/php -I/opt/php/include/php/main -I/opt/php/include/php/TSRM -I/opt/php/include/php/Zend -I/opt/php/include/php/ext -D_GNU_SOURCE -O2 -w"
    export CGO_LDFLAGS="-L/opt/php/lib"
    # Without netgo and osusergo a static binary would call glibc for host names and users, which
    # fails there. Both links have the same tags, so that they share compiled packages.
    # shellcheck disable=SC2034  # read by the stages
    tags=nowatcher,nomercure,nobadger,nomysql,nopgx,netgo,osusergo
    cd /src
}

# Go reports a wrong checksum but not how to fix it.
explain_go_failure() {
    if grep -qE 'SECURITY ERROR|checksum mismatch' "$1"; then
        fail "go.sum does not match what was downloaded" \
            "If you changed go.mod on purpose, run \`go mod tidy\` in builder/frankenphp; if not, restore go.sum: someone changed a file or a module."
    elif grep -qE 'missing go.sum entry|updates to go.mod needed|no required module provides' "$1"; then
        fail "frankenphp/go.mod or go.sum is not up to date with main.go" "Run \`go mod tidy\` in builder/frankenphp."
    fi
}

# Shows the output as it arrives, and reads it again after a failure.
run_go() {
    local log=/tmp/go.log status=0
    go "$@" 2> >(tee "$log" >&2) || status=$?
    [ $status = 0 ] || { sleep 0.2 && explain_go_failure "$log" && return $status; }
}
