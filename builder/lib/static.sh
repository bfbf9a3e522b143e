# shellcheck shell=bash
# Links PHP, FrankenPHP and Caddy into one binary and lays out the image that carries it.

# shellcheck source=go.sh
source "$here/lib/go.sh"

out=/out
share=$out/usr/local/share/durango

version_text() {
    local php
    php=$(pin PHP_VERSION /pins/php.env)
    echo "FrankenPHP $(pin FRANKENPHP_VERSION /pins/go.env) PHP ${php%-*} Caddy"
}

# Go does not see the headers outside its modules: their digest in the flags makes it compile FrankenPHP again when they change.
# Other packages that use cgo come out the same under it, so that nothing above them is compiled again.
headers_digest() { (cd /opt/php/include && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 cat) | sha256sum | cut -c1-16; }

# opcache.so and others take their symbols from the binary. The two of the JIT live in an archive member nobody else asks for.
shared_flags() {
    echo "-Wl,-z,pack-relative-relocs -Wl,--export-dynamic,-u,__jit_debug_descriptor,-u,__jit_debug_register_code -Wl,--as-needed $(cat /opt/php/libs) -lstdc++"
}

# The libraries once more as a group, with what they need in turn: archives do not say so themselves.
static_flags() {
    echo "-static-pie -Wl,-z,pack-relative-relocs -Wl,-z,stack-size=0x80000 -Wl,--start-group $(cat /opt/php/libs) $(pkg-config --static --libs-only-l libssl libxml-2.0 libpng libwebp freetype2 2>/dev/null) -lstdc++ -Wl,--end-group"
}

build_binary() {
    local flags text
    text=$(version_text)
    flags=$("${LINK}_flags")
    CGO_CFLAGS+=" -DFRANKENPHP_VERSION=$(pin FRANKENPHP_VERSION /pins/go.env) -DPHP_HEADERS=$(headers_digest)"
    run_go build -trimpath -buildmode=pie -tags "$tags" -o $out/usr/local/bin/frankenphp -ldflags "-w -s -linkmode external \
        -X 'github.com/caddyserver/caddy/v2.CustomVersion=$text' -X github.com/caddyserver/caddy/v2.CustomBinaryName=frankenphp \
        -X 'github.com/caddyserver/caddy/v2/modules/caddyhttp.ServerHeader=FrankenPHP Caddy' -extldflags '$flags'" .
}

# The packages behind the libraries that are really linked: the runtime image installs these, certificates and file types.
runtime_packages() {
    local libraries
    libraries=$(ldd $out/usr/local/bin/frankenphp $out/usr/local/lib/php/extensions/*.so | awk '$2 == "=>" { print $3 }' | sort -u)
    printf 'ca-certificates\nmedia-types\n'
    # A merged /usr: dpkg knows a library by one of its two paths, and complains about the other.
    # shellcheck disable=SC2086,SC2046  # one path a word
    { dpkg -S $libraries $(readlink -f $libraries) 2>/dev/null || true; } | cut -d: -f1 | sort -u | grep -vxE 'libc6|libgcc-s1|gcc-.*-base'
}

# What both kinds of runtime image have. Any user may write Caddy's state, so that the image runs as any user.
lay_out() {
    install -d -m 1777 $out/config $out/config/caddy $out/data $out/data/caddy
    mkdir -p $out/etc/frankenphp/Caddyfile.d $out/etc/frankenphp/php.ini.d
    ln -s frankenphp $out/etc/caddy # the other well-known place of a Caddyfile
    install -D -m 644 -t $share /settings/extensions /settings/left-out
    install -m 644 /pins/resolved.env $share/pins.resolved.env
    install -m 644 /opt/php/LICENSE $share/LICENSE.php
}

lay_out_shared() {
    local object name
    install -D -m 644 -t $out/usr/local/lib/php/extensions /opt/php/extensions/*.so
    for object in "$out"/usr/local/lib/php/extensions/*.so; do
        name=$(basename "$object" .so)
        case $name in
        opcache) echo "zend_extension=$name" ;;
        *) echo "extension=$name" ;;
        esac
    done >$out/etc/frankenphp/php.ini.d/00-shared-objects.ini
    runtime_packages >$share/runtime-packages
}

# All that a program expects to find, since nothing lies under it.
lay_out_static() {
    mkdir -p $out/etc/ssl/certs $out/usr/lib/ssl
    install -d -m 1777 $out/tmp
    cp /etc/ssl/certs/ca-certificates.crt $out/etc/ssl/certs/
    cp /etc/ssl/openssl.cnf $out/etc/ssl/
    ln -s /etc/ssl/openssl.cnf $out/usr/lib/ssl/openssl.cnf # OpenSSL's own names for both
    ln -s /etc/ssl/certs/ca-certificates.crt $out/usr/lib/ssl/cert.pem
    cp /etc/mime.types $out/etc/
    printf 'root:x:0:0:root:/root:/sbin/nologin\nwww-data:x:33:33:www-data:/app:/sbin/nologin\n' >$out/etc/passwd
    printf 'root:x:0:\nwww-data:x:33:\n' >$out/etc/group
    echo 'hosts: files dns' >$out/etc/nsswitch.conf
    : >$share/runtime-packages
}

stage_static() {
    go_setup
    mkdir -p $out/usr/local/bin $share
    build_binary
    setcap cap_net_bind_service=+ep $out/usr/local/bin/frankenphp
    lay_out
    "lay_out_$LINK"
    say "$(du -h $out/usr/local/bin/frankenphp | cut -f1) $(file -b $out/usr/local/bin/frankenphp | cut -d, -f1-4)"
}
