# The image that serves an application. compose.yaml passes two more build contexts by name:
#
#   frankenphp-base   the result of base-build.Dockerfile: binary, shared objects, list of packages
#   app               the application; its public/ is served
#
# LINK selects the image below: Debian for a binary with shared libraries, scratch for a static one.

ARG BASE_IMAGE=debian:13-slim
ARG LINK=shared

# The versions that Debian's mirror has now. `cargo xtask` asks for them once a day, by building the
# stage `packages`, and sets PACKAGES to the answer: the mirror's changes run these steps again, and
# the installation only if a version changed. Nothing reads PACKAGES itself.
FROM ${BASE_IMAGE} AS resolve
ARG PACKAGES=
RUN --mount=type=bind,source=debian-packages,target=/tmp/debian-packages \
    --mount=type=bind,source=packages.list,target=/tmp/packages.list \
    --mount=type=cache,id=durango-apt-archives,target=/var/cache/durango-archives,sharing=locked \
    --mount=type=cache,id=durango-apt-lists,target=/var/lib/apt/lists,sharing=locked \
    --mount=type=secret,id=ca_certificates,mode=0444 \
    /tmp/debian-packages resolve /tmp/packages.list /packages /release-files

FROM scratch AS packages
COPY --from=resolve /packages /release-files /

FROM ${BASE_IMAGE} AS runtime-shared
# Reads two files, so a new binary that needs the same packages doesn't install them again.
RUN --mount=type=bind,from=resolve,source=/packages,target=/tmp/packages \
    --mount=type=bind,from=frankenphp-base,source=/usr/local/share/durango/runtime-packages,target=/tmp/runtime-packages \
    --mount=type=bind,source=debian-packages,target=/tmp/debian-packages \
    --mount=type=cache,id=durango-apt-archives,target=/var/cache/durango-archives,sharing=locked \
    --mount=type=cache,id=durango-apt-lists,target=/var/lib/apt/lists,sharing=locked \
    --mount=type=secret,id=ca_certificates,mode=0444 \
    /tmp/debian-packages install /tmp/packages /tmp/runtime-packages

FROM scratch AS runtime-static

FROM runtime-${LINK}
WORKDIR /app

# Caddy's state. The base image makes both directories writable for the user below and for group 0.
ENV XDG_CONFIG_HOME=/config XDG_DATA_HOME=/data
ENV GODEBUG=cgocheck=0

COPY --from=frankenphp-base / /
COPY Caddyfile php.ini /etc/frankenphp/
COPY --from=app . /app

VOLUME ["/config", "/data"]
EXPOSE 80 443 443/udp

# www-data of Debian, by number, so that Kubernetes can see that it isn't root. It owns nothing in
# the image except /config, /data, and /tmp. Any other user of group 0 works as well.
USER 33:33

# Asks the ports on which the server really listens, so it needs no admin API, no PHP, and no shell.
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s --start-interval=1s \
    CMD ["frankenphp", "healthcheck"]

LABEL org.opencontainers.image.title="FrankenPHP" \
      org.opencontainers.image.description="PHP and Caddy in one binary, built from source" \
      org.opencontainers.image.licenses="MIT AND PHP-3.01 AND Apache-2.0"

# The adapter turns the admin API off in a Caddyfile that does not configure it.
CMD ["frankenphp", "run", "--config", "/etc/frankenphp/Caddyfile", "--adapter", "caddyfile-admin-off"]
