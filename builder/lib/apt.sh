# shellcheck shell=bash
# Debian packages. Package lists and archives are in cache mounts. Every step must work with an
# empty cache mount, because an earlier step that was cached may never have filled it.

# Adds sources and backports to the image's own mirror. Official images have deb822 files,
# bootstrapped images have one-line files.
apt_sources() {
    local codename file
    use_secrets
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
    rm -f /etc/apt/apt.conf.d/docker-clean # it empties the archives, which are a cache mount here
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ -s "$file" ] || continue
        awk -v code="$codename" '
            /^deb / {
                print; src = $0; sub(/^deb /, "deb-src ", src); print src
                if (sub(" " code " ", " " code "-backports ")) print
            }' "$file" >"$file.new"
        mv "$file.new" "$file"
    done
    for file in /etc/apt/sources.list.d/*.sources; do
        [ -s "$file" ] || continue
        awk -v code="$codename" -v RS= '
            { sub(/Types:[^\n]*/, "Types: deb deb-src"); print $0 "\n" }
            $0 ~ "Suites:[^\n]* ?" code "( |\n)" && !done++ { sub(/Suites:[^\n]*/, "Suites: " code "-backports"); print $0 "\n" }
        ' "$file" >"$file.new"
        mv "$file.new" "$file"
    done
}

# apt-get exits with 0 when some lists failed to download, hence Error-Mode.
apt_update() {
    retry "the package lists" apt-get -qq -o APT::Update::Error-Mode=any -o Acquire::Languages=none update
}

# The lists may be a day old. Usually the mirror still has the packages; if not, apt_install updates
# the lists.
apt_lists() {
    local stamp
    stamp=/var/lib/apt/lists/durango-$(find /etc/apt/sources.list* -type f -print0 | sort -z | xargs -0 cat | sha256sum | cut -c1-12)
    [ -z "$(find /var/lib/apt/lists -path "$stamp" -mmin -1440)" ] || return 0
    apt_update
    touch "$stamp"
}

apt_install() {
    local get=(apt-get -qq -y --no-install-recommends -o APT::Keep-Downloaded-Packages=true -o Acquire::Retries=2)
    "${get[@]}" --download-only install "$@" || {
        apt_update
        retry "Debian packages" "${get[@]}" --download-only install "$@"
    }
    # A machine that crashes loses the image anyway, so dpkg need not wait for the disk.
    DEBIAN_FRONTEND=noninteractive "${get[@]}" -o DPkg::Options::=--force-unsafe-io -o Dpkg::Use-Pty=0 install "$@" >/dev/null
}

# apt_source PACKAGE VERSION [SHA256] : downloads the upstream tarball to the current directory and
# checks it against the mirror's signed list. If the list no longer has it, downloads it from the
# pool and checks it against the digest.
apt_source() {
    apt-get -qq -o Acquire::Retries=2 -o APT::Sandbox::User=root --only-source --download-only --tar-only source "$1=$2" && return
    [ -n "${3:-}" ] && pool_source "$@"
}

# Debian keeps superseded files in its pool for a while. apt's own helper downloads and checks them.
pool_source() {
    local package=$1 version=${2#*:} sha256=$3 letter=${1:0:1} uri pool ending file
    version=${version%-*}
    [[ $package != lib* ]] || letter=${package:0:4}
    for uri in $(apt-get indextargets --format '$(REPO_URI)' | sort -u); do
        for pool in pool/main pool/updates/main; do
            for ending in xz gz; do
                file="${package}_$version.orig.tar.$ending"
                /usr/lib/apt/apt-helper -o APT::Sandbox::User=root download-file \
                    "${uri%/}/$pool/$letter/$package/$file" "$file" "SHA256:$sha256" >/dev/null && return
            done
        done
    done
    return 1
}
