# shellcheck shell=bash
# Compilers, and the headers of every extension that can be asked for: so the set of extensions never changes this stage.

# shellcheck source=apt.sh
source "$here/lib/apt.sh"

tools=(autoconf ca-certificates ccache file g++ gcc git libcap2-bin make media-types pkgconf xz-utils)
libraries=(
    libbrotli-dev libbz2-dev libcurl4-openssl-dev libedit-dev libffi-dev libfreetype-dev libgmp-dev libicu-dev libjpeg-dev
    libldap-dev libonig-dev libpng-dev libpq-dev libsodium-dev libsqlite3-dev libssl-dev libtidy-dev libwebp-dev libxml2-dev
    libxslt1-dev libzip-dev zlib1g-dev
    liblzma-dev libzstd-dev # what the static ones of these need in turn
)

stage_toolchain() {
    local version minor
    version=$(pin GO_VERSION /pins/toolchain.env)
    minor=$(sed -E 's/^([0-9]+:)?([0-9]+\.[0-9]+).*/\2/' <<<"$version")
    apt_sources
    apt_lists
    apt_install "${tools[@]}" "${libraries[@]}" "golang-$minor-go=$version" "golang-$minor-src=$version"
    ln -s "../lib/go-$minor/bin/go" /usr/bin/go
}
