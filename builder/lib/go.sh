# shellcheck shell=bash
# How Go is called. Both Go stages source this: compiled packages are found again only under the very same settings.

go_setup() {
    use_secrets
    export CC="ccache gcc" CXX="ccache g++" CGO_ENABLED=1 GOTOOLCHAIN=local
    # Directories alone, the same for every set of extensions. The libraries come with the last link: named here they would be in
    # the key of each package that uses cgo, and so of nearly everything.
    export CGO_CFLAGS="-I/opt/php/include/php -I/opt/php/include/php/main -I/opt/php/include/php/TSRM -I/opt/php/include/php/Zend -I/opt/php/include/php/ext -D_GNU_SOURCE -O2 -w"
    export CGO_LDFLAGS="-L/opt/php/lib"
    # Without netgo and osusergo a static binary would ask glibc for names and users, which it then cannot; the same for both
    # links, so that they share what is compiled.
    # shellcheck disable=SC2034  # read by the stages
    tags=nowatcher,nomercure,nobadger,nomysql,nopgx,netgo,osusergo
    cd /src
}

# Go's own message says what is wrong with a checksum, not what to do about it.
explain_go_failure() {
    if grep -qE 'SECURITY ERROR|checksum mismatch' "$1"; then
        fail "go.sum does not match what was downloaded" \
            "If you changed go.mod on purpose, run \`go mod tidy\` in builder/frankenphp; if not, restore go.sum: someone changed a file or a module."
    elif grep -qE 'missing go.sum entry|updates to go.mod needed|no required module provides' "$1"; then
        fail "frankenphp/go.mod or go.sum is not up to date with main.go" "Run \`go mod tidy\` in builder/frankenphp."
    fi
}

# Output is shown as it comes and read again when something failed.
run_go() {
    local log=/tmp/go.log status=0
    go "$@" 2> >(tee "$log" >&2) || status=$?
    [ $status = 0 ] || { sleep 0.2 && explain_go_failure "$log" && return $status; }
}
