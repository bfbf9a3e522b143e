# shellcheck shell=bash
# Lays out the files other than the binary: shared objects, their ini file, the list of packages
# that they need, and for a static binary the few files that every program expects.

binary=/out/usr/local/bin/frankenphp
out=/layout
objects=$out/usr/local/lib/php/extensions
share=$out/usr/local/share/durango

# The files of both kinds of runtime image. Caddy's state belongs to www-data, the image's user, and
# to group 0: the group of root without capabilities and of platforms that choose the user.
lay_out() {
    install -d -o 33 -g 0 -m 770 $out/config $out/config/caddy $out/data $out/data/caddy
    mkdir -p $out/etc/frankenphp/Caddyfile.d $out/etc/frankenphp/php.ini.d
    ln -s frankenphp $out/etc/caddy # the other well-known place of a Caddyfile
    install -D -m 644 -t $share /settings/extensions /settings/left-out
    install -m 644 /pins/resolved.env $share/pins.resolved.env
    install -m 644 /opt/php/LICENSE $share/LICENSE.php
}

lay_out_shared() {
    local name directive
    mkdir -p $objects
    while read -r name; do
        install -m 644 "/opt/php/extensions/$name.so" $objects/
        [ "$name" = opcache ] && directive=zend_extension || directive=extension
        echo "$directive=$name"
    done </settings/shared-objects >$out/etc/frankenphp/php.ini.d/00-shared-objects.ini
    try_extensions
    runtime_packages >$share/runtime-packages
}

# Every requested extension must load completely now, with all its symbols, and not fail in the
# first request that calls it. No other one may be in the binary.
try_extensions() {
    local ini=/tmp/try
    mkdir -p $ini
    echo "extension_dir=$objects" >$ini/dir.ini
    # shellcheck disable=SC2016  # PHP's variables
    LD_BIND_NOW=1 PHP_INI_SCAN_DIR=$ini:$out/etc/frankenphp/php.ini.d $binary php-cli -r '
        foreach (["extensions" => true, "unlinked" => false] as $file => $wanted) {
            foreach (file("/settings/$file", FILE_IGNORE_NEW_LINES) as $name) {
                if ((extension_loaded($name) || extension_loaded("zend $name")) !== $wanted) {
                    fprintf(STDERR, "%s %s\n", $name, $wanted ? "does not load" : "is loaded");
                    $failed = 1;
                }
            }
        }
        exit($failed ?? 0);' || fail "the binary has another set of extensions than requested; see its messages above"
}

# The runtime image installs these packages: those of the libraries that are really linked,
# certificates, and file types.
runtime_packages() {
    local libraries
    libraries=$(find $binary $objects -type f -exec ldd {} + | awk '$2 == "=>" { print $3 }' | sort -u)
    printf 'ca-certificates\nmedia-types\n'
    # With a merged /usr, dpkg knows a library by one of its two paths and reports an error for the
    # other.
    # shellcheck disable=SC2086,SC2046  # one path a word
    { dpkg -S $libraries $(readlink -f $libraries) 2>/dev/null || true; } | cut -d: -f1 | sort -u | grep -vxE 'libc6|libgcc-s1|gcc-.*-base'
}

# The files that every program expects. A static binary has no Debian below it.
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

stage_layout() {
    lay_out
    "lay_out_$LINK"
}
