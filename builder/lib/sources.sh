# shellcheck shell=bash
# PHP's sources with those of the PECL extensions beside its own, and `configure` made anew for them. All are always there, so that
# the set of extensions does not change this stage either.

# shellcheck source=apt.sh
source "$here/lib/apt.sh"

# unpack PACKAGE KEY DIR : upstream's tarball as released. Tests are the larger part of it, and only slow the layer down.
unpack() {
    local package=$1 key=$2 dir=$3 version upstream archive
    version=$(pin "${key}_VERSION" $pins)
    retry "the source of $package $version" apt_source "$package" "$version" "$(pin "${key}_SHA256" $pins)"
    upstream=${version#*:} upstream=${upstream%-*}
    archive=$(ls "${package}_$upstream".orig.tar.?z)
    mkdir -p "$dir"
    tar -xf "$archive" -C "$dir" --strip-components=1 --no-same-owner --exclude='*/tests'
}

stage_sources() {
    local pins=/pins/php.env name
    use_secrets # the toolchain has extended the list of suites already
    apt_lists
    mkdir -p /var/cache/apt/archives/sources /usr/src/php
    cd /var/cache/apt/archives/sources
    unpack php8.4 PHP /usr/src/php
    for name in apcu igbinary redis; do
        unpack "php-$name" "PHP_${name^^}" "/usr/src/php/ext/$name"
    done
    cd /usr/src/php
    rm -f configure main/php_config.h.in
    ./buildconf --force >/dev/null
    rm -rf autom4te.cache
}
