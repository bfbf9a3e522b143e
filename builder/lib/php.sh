# shellcheck shell=bash
# PHP for embedding, thread-safe, with the extensions that the settings name: archives for the last
# link, and shared objects. A second build is cheap through ccache, a replacement of libtool (see
# libtool-lean), and configure's results in a cache mount.

prefix=/opt/php
build=/usr/src/build

compiler_identity() { dpkg-query -W -f '${Package}=${Version} ' "gcc-*" "g++-*" "cpp-*" binutils libc6-dev; }

# configure caches its results. They depend on these settings, on PHP, and on every installed
# package, but not on the set of extensions: a cache of another set gives the same output byte for
# byte.
environment=(CC="ccache gcc" CXX="ccache g++" CFLAGS="$CFLAGS -fPIC -w" CXXFLAGS="$CFLAGS -fPIC -w")

configure_cache_key() {
    { echo "${environment[@]}" && cat /pins/php.env && dpkg-query -W && sha256sum /usr/src/php/configure; } | sha256sum | cut -c1-16
}

run_configure() {
    # shellcheck disable=SC2046  # one option a word
    env "${environment[@]}" /usr/src/php/configure --quiet --cache-file=config.cache --prefix=$prefix --with-pic \
        --disable-all --enable-cli --disable-cgi --disable-phpdbg --without-pear \
        --enable-embed=static --enable-zts --enable-zend-max-execution-timers --disable-zend-signals \
        --bindir=/usr/local/bin --with-config-file-path=/etc/frankenphp --with-config-file-scan-dir=/etc/frankenphp/php.ini.d \
        EXTENSION_DIR=/usr/local/lib/php/extensions \
        $(cat /settings/configure-options) >configure.log 2>&1
}

# Wrong cached results cost the time to find them again, never the build.
configure() {
    local kept
    kept=/root/.cache/php-config/$(configure_cache_key)
    if cp "$kept" config.cache 2>/dev/null && ! run_configure; then
        say "configure, without what it remembered"
        rm -f config.cache
    fi
    if [[ ! -e config.cache ]] && ! run_configure; then
        tail -n 30 configure.log >&2
        fail "PHP's configure failed; its last lines are above"
    fi
    if grep -q '^configure: WARNING: unrecognized options' configure.log; then
        fail "$(grep '^configure: WARNING: unrecognized options' configure.log)"
    fi
    cp config.cache "$kept.$$" && mv "$kept.$$" "$kept"
}

# Installs headers, archives, shared objects, and the link options. `make install` would take four
# times as long, for files that nothing reads. FrankenPHP's own code asks the linker for -lphp,
# which is an empty archive here; the last link names the real ones.
install_lean() {
    make -s INSTALL_ROOT= install-headers >/dev/null
    mkdir -p $prefix/lib $prefix/extensions $prefix/archives
    ar cr $prefix/lib/libphp.a
    archive_extensions
    archive_core
    table_of_extensions >$prefix/extensions.c
    find modules -name '*.so' -exec strip --strip-unneeded {} + -exec cp {} $prefix/extensions/ \;
    sh scripts/php-config --libs >$prefix/libs
    cp /usr/src/php/LICENSE $prefix/
}

# archive NAME FIND-ARGUMENT... : of the objects that `find` finds.
archive() {
    local name=$1
    shift
    find "$@" -name '*.o' -print0 | LC_ALL=C sort -z | xargs -0 -r ar cqs "$prefix/archives/$name.a"
}

# Each extension that is no shared object has an archive of its own, so that the last link can leave
# it out.
archive_extensions() {
    local name
    for name in $(cd ext && ls); do
        [ -e "modules/$name.so" ] || archive "$name" "ext/$name"
    done
}

# Everything else, with PHP's own command line, whose main() is renamed. Like embed, that defines
# the pointer to the thread's globals. As weak symbols the two become one.
archive_core() {
    mkdir core
    ld -r -o core/command-line.o sapi/cli/*.o
    objcopy --redefine-sym main=php_cli_main --weaken-symbol=_tsrm_ls_cache core/command-line.o
    archive php core main sapi/embed TSRM Zend ! -name 'internal_functions*'
}

# The source of the table of extensions, preprocessed, because its headers are not installed. The
# line of an extension is `EXTENSION(NAME, ADDRESS)`.
table_of_extensions() {
    sed -i -E 's/^\tphpext_([a-z0-9_]+)_ptr,/EXTENSION(\1, phpext_\1_ptr)/' main/internal_functions.c
    rm main/internal_functions.lo
    make -s LIBTOOL="$here/libtool-lean" EXTRA_CFLAGS='-E -P' main/internal_functions.lo >/dev/null
    cat main/internal_functions.o
}

stage_php() {
    export CCACHE_COMPILERCHECK CCACHE_STATSLOG=/tmp/ccache.log # the mount's own counters also count other builds
    CCACHE_COMPILERCHECK="string:$(compiler_identity)"
    mkdir -p $build
    cd $build
    say "configure"
    configure
    say "make, with $(nproc) jobs"
    # shellcheck disable=SC2016  # make's variables
    make -s -j"$(nproc)" LIBTOOL="$here/libtool-lean" \
        all_targets='$(OVERALL_TARGET) $(PHP_MODULES) $(PHP_ZEND_EX) $(PHP_CLI_OBJS)' >make.log 2>&1 || {
        grep -nE 'error|Error|undefined' make.log | tail -n 15 >&2
        tail -n 15 make.log >&2
        fail "PHP's make failed; its last lines are above"
    }
    install_lean
    say "compiler cache: $(grep -cE '^(direct|preprocessed)_cache_hit' "$CCACHE_STATSLOG") hits, $(grep -c '^cache_miss' "$CCACHE_STATSLOG") misses"
    cd / && rm -rf $build
}
