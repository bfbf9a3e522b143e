# shellcheck shell=bash
# Resolves the pins to available versions. Writes one small file per consumer, so a later stage
# stays cached as long as its own file is the same, however often this stage runs.

# shellcheck source=apt.sh
source "$here/lib/apt.sh"

log=/tmp/fetch.log

# fetch KIND PACKAGE VERSION [SHA256] : downloads to the archives, where a later stage finds it.
# Returns 0 if it is there and 1 if it is gone. Fails without an answer.
fetch() {
    local attempt
    for attempt in 1 2 3; do
        "fetch_$1" "${@:2}" >"$log" 2>&1 && return 0
        # An index may list a version that the pool no longer has, and a pin a version that the
        # index no longer lists.
        grep -qE ' 404 |Can.t find|Unable to (find|locate)|was not found|no installation candidate' "$log" && return 1
        sleep $((attempt * 5))
    done
    cat "$log" >&2
    fail "failed to download $2 $3, after 3 attempts" "Check the network and any proxy of this machine."
}

fetch_source() { (mkdir -p /var/cache/apt/archives/sources && cd /var/cache/apt/archives/sources && apt_source "$@"); }
fetch_binary() { apt-get -qq -y --no-install-recommends -o Acquire::Retries=2 -o APT::Keep-Downloaded-Packages=true --download-only install "$1=$2"; }

versions() {
    if [ "$1" = source ]; then
        apt-cache madison "$2" | awk -F' *[|] *' '$3 ~ /Sources/ { print $2 }'
    else
        apt-cache madison "$2" | awk -F' *[|] *' '$3 ~ /Packages/ { print $2 }'
    fi | sort -rVu
}

# digest KEY VERSION : prints the pinned digest of a source if VERSION is the pinned one.
digest() { [ "$2" != "$(pin "$1" "$here/pins.env")" ] || pin "${1%_VERSION}_SHA256" "$here/pins.env"; }

# source_digest PACKAGE VERSION : prints the digest of a source that was fetched.
source_digest() {
    local upstream=${2#*:}
    sha256sum </var/cache/apt/archives/sources/"$1_${upstream%-*}".orig.tar.?z | cut -d' ' -f1
}

# resolve KEY KIND PACKAGE : prints KEY=VERSION, and the digest if there is one.
resolve() {
    local key=$1 kind=$2 package=$3 pinned version sha256
    pinned=${!key:-$(pin "$key" "$here/pins.env")}
    sha256=$(digest "$key" "$pinned")
    if fetch "$kind" "$package" "$pinned" $sha256; then
        echo "$key=$pinned"
        [ -z "$sha256" ] || echo "${key%_VERSION}_SHA256=$sha256"
        return
    fi
    [ "$LOCKED" != 1 ] || fail "pins: $key $pinned is gone from the package mirror, and LOCKED=1 forbids a different one" \
        "Choose from: $(versions "$kind" "$package" | xargs), in builder/pins.env or by --build-arg $key=VERSION."
    for version in $(versions "$kind" "$package"); do
        [ "$version" != "$pinned" ] || continue
        fetch "$kind" "$package" "$version" || continue
        warn "pins: $key $pinned is gone, taking $version"
        echo "$key=$version"
        [ "$kind" != source ] || echo "${key%_VERSION}_SHA256=$(source_digest "$package" "$version")"
        return
    done
    fail "pins: no version of $package is available (the pin is $key=$pinned)" "Check that the package mirror of the base image has it."
}

stage_pins() {
    local out=/pins go
    mkdir -p "$out"
    apt_sources
    apt_lists
    go=${GO_VERSION:-$(pin GO_VERSION "$here/pins.env")}
    go=$(sed -E 's/^([0-9]+:)?([0-9]+\.[0-9]+).*/\2/' <<<"$go")

    resolve GO_VERSION binary "golang-$go-go" >"$out/toolchain.env"
    {
        resolve PHP_VERSION source php8.4
        resolve PHP_APCU_VERSION source php-apcu
        resolve PHP_IGBINARY_VERSION source php-igbinary
        resolve PHP_REDIS_VERSION source php-redis
    } >"$out/php.env"
    grep -E '^(FRANKENPHP|CADDY)_VERSION=' "$here/pins.env" >"$out/go.env"
    cat "$out"/*.env >"$out/resolved.env"
    say "pins: $(xargs <"$out/resolved.env")"
}
