# shellcheck shell=bash
# Unpacks the sources of PHP and of PECL extensions, and generates `configure` again for them. All
# extensions are always unpacked, so the set of extensions doesn't change this stage.

# shellcheck source=apt.sh
source "$here/lib/apt.sh"

# unpack PACKAGE KEY DIR : unpacks the upstream tarball without its tests. They are the larger part
# and slow down the layer.
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
