# FrankenPHP from source. The last stage, `base`, has the files for a runtime image and no
# toolchain.
#
#   settings   checks the request within a second              (no network)
#   pins       finds the available versions                    (Debian's mirror)
#   toolchain  compilers and headers, the same for every set   <- pins
#   sources    sources of PHP and of PECL extensions           <- toolchain, pins
#   libraries  headers and archives as Debian has them today   <- toolchain, packages (LINK=static)
#   php        the library                                     <- libraries, sources  \  these two
#   modules    Go modules, with Caddy compiled                 <- toolchain           /  in parallel
#   static     the binary                                      <- php, modules, main.go
#   layout     shared objects and the other files              <- static, php, settings
#   base       the result                                      <- layout, static
#
# A stage reads only what it needs. Files that change often are bind mounts, not copies, because
# each additional layer costs a flush of the disk. Secrets and cache mounts are in no key and in no
# layer.

ARG BASE_IMAGE=debian:13-slim
ARG LINK=shared

FROM ${BASE_IMAGE} AS debian

FROM debian AS settings
COPY build-static.sh extensions.conf pins.env /builder/
COPY lib/common.sh lib/settings.sh /builder/lib/
COPY frankenphp/go.mod /builder/frankenphp/
ARG PHP_EXTENSIONS=
ARG LINK=shared
RUN /builder/build-static.sh settings

FROM debian AS pins
COPY build-static.sh pins.env /builder/
COPY lib/common.sh lib/apt.sh lib/pins.sh /builder/lib/
ARG PHP_VERSION=
ARG GO_VERSION=
ARG LOCKED=
RUN --mount=type=cache,id=durango-apt-archives,target=/var/cache/apt/archives,sharing=locked \
    --mount=type=cache,id=durango-apt-lists,target=/var/lib/apt/lists,sharing=locked \
    --mount=type=secret,id=ca_certificates,mode=0444 \
    /builder/build-static.sh pins

FROM debian AS toolchain
COPY build-static.sh /builder/
COPY lib/common.sh lib/apt.sh lib/toolchain.sh /builder/lib/
COPY --from=pins /pins/toolchain.env /pins/
RUN --mount=type=bind,source=libraries.list,target=/builder/libraries.list \
    --mount=type=cache,id=durango-apt-archives,target=/var/cache/apt/archives,sharing=locked \
    --mount=type=cache,id=durango-apt-lists,target=/var/lib/apt/lists,sharing=locked \
    --mount=type=secret,id=ca_certificates,mode=0444 \
    /builder/build-static.sh toolchain
# Absolute paths stay the same when a secret changes HOME for git.
ENV CCACHE_DIR=/root/.cache/ccache CCACHE_MAXSIZE=2G GOCACHE=/root/.cache/go-build GOMODCACHE=/go/pkg/mod

FROM toolchain AS sources
COPY lib/sources.sh /builder/lib/
COPY --from=pins /pins/php.env /pins/
RUN --mount=type=cache,id=durango-apt-archives,target=/var/cache/apt/archives,sharing=locked \
    --mount=type=cache,id=durango-apt-lists,target=/var/lib/apt/lists,sharing=locked \
    --mount=type=secret,id=ca_certificates,mode=0444 \
    /builder/build-static.sh sources

# A static binary contains Debian's libraries, so a security update of them must link it again. A
# shared binary gets the updates with the runtime image, whose Dockerfile explains PACKAGES.
FROM debian AS resolve
ARG PACKAGES=
RUN --mount=type=bind,from=runtime,source=debian-packages,target=/tmp/debian-packages \
    --mount=type=bind,source=libraries.list,target=/tmp/libraries.list \
    --mount=type=cache,id=durango-apt-archives,target=/var/cache/durango-archives,sharing=locked \
    --mount=type=cache,id=durango-apt-lists,target=/var/lib/apt/lists,sharing=locked \
    --mount=type=secret,id=ca_certificates,mode=0444 \
    /tmp/debian-packages resolve /tmp/libraries.list /packages /release-files

FROM scratch AS packages
COPY --from=resolve /packages /release-files /

FROM toolchain AS libraries-shared

FROM toolchain AS libraries-static
RUN --mount=type=bind,from=resolve,source=/packages,target=/tmp/packages \
    --mount=type=bind,from=runtime,source=debian-packages,target=/tmp/debian-packages \
    --mount=type=bind,source=libraries.list,target=/tmp/libraries.list \
    --mount=type=cache,id=durango-apt-archives,target=/var/cache/durango-archives,sharing=locked \
    --mount=type=cache,id=durango-apt-lists,target=/var/lib/apt/lists,sharing=locked \
    --mount=type=secret,id=ca_certificates,mode=0444 \
    /tmp/debian-packages install /tmp/packages /tmp/libraries.list

FROM libraries-${LINK} AS libraries

FROM libraries AS php
COPY libtool-lean /builder/
COPY lib/php.sh /builder/lib/
ARG LINK=shared
ARG CFLAGS="-O2 -fstack-protector-strong -fno-semantic-interposition"
RUN --mount=type=bind,from=settings,source=/settings/configure-options,target=/settings/configure-options \
    --mount=type=bind,from=pins,source=/pins/php.env,target=/pins/php.env \
    --mount=type=bind,from=sources,source=/usr/src/php,target=/usr/src/php,rw \
    --mount=type=cache,id=durango-ccache,target=/root/.cache/ccache,sharing=shared \
    --mount=type=cache,id=durango-php-config,target=/root/.cache/php-config,sharing=shared \
    /builder/build-static.sh php

FROM toolchain AS modules
COPY lib/go.sh lib/modules.sh /builder/lib/
COPY frankenphp/go.mod frankenphp/go.sum /src/
ARG GOFLAGS=-mod=readonly
ARG GO111MODULE=on
RUN --mount=type=cache,id=durango-gomod,target=/go/pkg/mod,sharing=shared \
    --mount=type=cache,id=durango-gobuild,target=/root/.cache/go-build,sharing=shared \
    --mount=type=cache,id=durango-ccache,target=/root/.cache/ccache,sharing=shared \
    --mount=type=secret,id=ca_certificates,mode=0444 \
    --mount=type=secret,id=goenv,mode=0444 \
    --mount=type=secret,id=netrc,mode=0444 \
    /builder/build-static.sh modules

FROM libraries AS static
COPY lib/go.sh lib/static.sh /builder/lib/
ARG LINK=shared
ARG GOFLAGS=-mod=readonly
ARG GO111MODULE=on
RUN --mount=type=bind,source=frankenphp,target=/src \
    --mount=type=bind,from=modules,source=/modules.list,target=/modules.list \
    --mount=type=bind,from=pins,source=/pins,target=/pins \
    --mount=type=bind,from=settings,source=/settings/unlinked,target=/settings/unlinked \
    --mount=type=bind,from=php,source=/opt/php,target=/opt/php \
    --mount=type=cache,id=durango-gomod,target=/go/pkg/mod,sharing=shared \
    --mount=type=cache,id=durango-gobuild,target=/root/.cache/go-build,sharing=shared \
    --mount=type=cache,id=durango-ccache,target=/root/.cache/ccache,sharing=shared \
    --mount=type=secret,id=ca_certificates,mode=0444 \
    --mount=type=secret,id=goenv,mode=0444 \
    --mount=type=secret,id=netrc,mode=0444 \
    /builder/build-static.sh static

FROM toolchain AS layout
COPY lib/layout.sh /builder/lib/
ARG LINK=shared
RUN --mount=type=bind,from=static,source=/out,target=/out \
    --mount=type=bind,from=php,source=/opt/php,target=/opt/php \
    --mount=type=bind,from=pins,source=/pins,target=/pins \
    --mount=type=bind,from=settings,source=/settings,target=/settings \
    /builder/build-static.sh layout

# The binary is the lower layer, so a different set of extensions doesn't write it again.
FROM scratch AS base
COPY --from=static /out /
COPY --from=layout /layout /
LABEL org.opencontainers.image.title="FrankenPHP base" \
      org.opencontainers.image.description="FrankenPHP, built from source: the files of a runtime image"
