# shellcheck shell=bash
# Links PHP, FrankenPHP and Caddy into one binary.

# shellcheck source=go.sh
source "$here/lib/go.sh"

binary=/out/usr/local/bin/frankenphp

version_text() {
    local php
    php=$(pin PHP_VERSION /pins/php.env)
    echo "FrankenPHP $(pin FRANKENPHP_VERSION /pins/go.env) PHP ${php%-*} Caddy"
}

# Go doesn't see the headers outside its modules. Their digest in the flags makes it compile
# FrankenPHP again when they change. The output of other packages that use cgo is the same with it,
# so Go compiles nothing that depends on them.
headers_digest() { (cd /opt/php/include && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 cat) | sha256sum | cut -c1-16; }

# Compiles the table of the extensions that are linked.
compile_table() {
    local unlinked
    unlinked=$(paste -sd '|' /settings/unlinked)
    sed -E "/^ *EXTENSION\\(($unlinked),/d" /opt/php/extensions.c >/tmp/extensions.c
    $CC -O2 -fPIC -w -c -o /tmp/extensions.o '-DEXTENSION(name, address)=address,' /tmp/extensions.c
}

# Prints the objects of PHP and of the extensions that are linked.
php_objects() {
    local archive
    for archive in /opt/php/archives/*.a; do
        grep -qx "$(basename "$archive" .a)" /settings/unlinked || echo "$archive"
    done | xargs echo /tmp/extensions.o
}

# Shared objects use symbols of the binary, so it keeps and exports all of PHP.
shared_flags() {
    echo "-Wl,--export-dynamic -Wl,--whole-archive $(php_objects) -Wl,--no-whole-archive -Wl,--as-needed $(cat /opt/php/libs)"
}

# Names the libraries a second time as a group with their dependencies, which archives don't list.
static_flags() {
    echo "-static-pie -Wl,-z,stack-size=0x80000 -Wl,--start-group $(php_objects) $(cat /opt/php/libs) $(pkg-config --static --libs-only-l libssl libxml-2.0 libpng libwebp freetype2 2>/dev/null) -lstdc++ -Wl,--end-group"
}

stage_static() {
    local flags text
    go_setup
    text=$(version_text)
    compile_table
    flags="-Wl,-z,pack-relative-relocs -Wl,--wrap=main $("${LINK}_flags")"
    CGO_CFLAGS+=" -DFRANKENPHP_VERSION=$(pin FRANKENPHP_VERSION /pins/go.env) -DPHP_HEADERS=$(headers_digest)"
    mkdir -p "$(dirname $binary)"
    run_go build -trimpath -buildmode=pie -tags "$tags" -o $binary -ldflags "-w -s -linkmode external \
        -X 'github.com/caddyserver/caddy/v2.CustomVersion=$text' -X github.com/caddyserver/caddy/v2.CustomBinaryName=frankenphp \
        -X 'github.com/caddyserver/caddy/v2/modules/caddyhttp.ServerHeader=FrankenPHP Caddy' -extldflags '$flags'" .
    # With this name the program is PHP's command line: see frankenphp/command.c. A hard link,
    # because PHP resolves symbolic links before it sets PHP_BINARY.
    ln $binary "$(dirname $binary)/php"
    say "$(du -h $binary | cut -f1) $(file -b $binary | cut -d, -f1-4)"
}
