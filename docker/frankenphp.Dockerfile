# The image that serves an application. Two more build contexts come in by name, both from compose.yaml:
#
#   frankenphp-base   what base-build.Dockerfile made: binary, shared objects, list of the packages it needs
#   app               the application; its public/ is served
#
# LINK says what lies under it: Debian for a binary that uses shared libraries, nothing at all for a static one.

ARG BASE_IMAGE=debian:13-slim
ARG LINK=shared

FROM ${BASE_IMAGE} AS runtime-shared
# Bound to the one file it reads, so that a new binary that needs the same packages does not install them again.
RUN --mount=type=bind,from=frankenphp-base,source=/usr/local/share/durango/runtime-packages,target=/tmp/runtime-packages \
    --mount=type=bind,source=install-packages,target=/tmp/install-packages \
    --mount=type=cache,id=durango-apt-archives,target=/var/cache/durango-archives,sharing=locked \
    --mount=type=cache,id=durango-apt-lists,target=/var/lib/apt/lists,sharing=locked \
    --mount=type=secret,id=ca_certificates,mode=0444 \
    /tmp/install-packages /tmp/runtime-packages

FROM scratch AS runtime-static

FROM runtime-${LINK}
WORKDIR /app

# Where Caddy keeps its state; the base makes both writable for whatever user the container runs as.
ENV XDG_CONFIG_HOME=/config XDG_DATA_HOME=/data
ENV GODEBUG=cgocheck=0

COPY --from=frankenphp-base / /
COPY Caddyfile php.ini /etc/frankenphp/
COPY --from=app . /app

VOLUME ["/config", "/data"]
EXPOSE 80 443 443/udp 2019

# The program itself asks, since a static image holds no other one.
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s --start-interval=1s \
    CMD ["frankenphp", "php-cli", "-r", "exit(@file_get_contents('http://localhost:2019/metrics') === false ? 1 : 0);"]

LABEL org.opencontainers.image.title="FrankenPHP" \
      org.opencontainers.image.description="PHP and Caddy in one binary, built from source" \
      org.opencontainers.image.licenses="MIT AND PHP-3.01 AND Apache-2.0"

CMD ["frankenphp", "run", "--config", "/etc/frankenphp/Caddyfile", "--adapter", "caddyfile"]
