# shellcheck shell=bash
# Compilers, and the headers of every extension (libraries.list), so that the set of extensions
# never changes this stage.

# shellcheck source=apt.sh
source "$here/lib/apt.sh"

tools=(autoconf ca-certificates ccache file g++ gcc git make media-types pkgconf xz-utils)
stage_toolchain() {
    local version minor
    version=$(pin GO_VERSION /pins/toolchain.env)
    minor=$(sed -E 's/^([0-9]+:)?([0-9]+\.[0-9]+).*/\2/' <<<"$version")
    apt_sources
    apt_lists
    mapfile -t libraries <"$here/libraries.list"
    apt_install "${tools[@]}" "${libraries[@]}" "golang-$minor-go=$version" "golang-$minor-src=$version"
    ln -s "../lib/go-$minor/bin/go" /usr/bin/go
}
