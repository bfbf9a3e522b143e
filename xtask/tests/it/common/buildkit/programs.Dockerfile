# BuildKit's programs for a machine without Go. Debian's Go downloads the version that go.mod
# requires.
ARG BASE_IMAGE=debian:13-slim
FROM ${BASE_IMAGE} AS build
RUN apt-get update && apt-get install --yes --no-install-recommends golang-go && rm -rf /var/lib/apt/lists/*
ARG LDFLAGS
RUN --mount=type=secret,id=ca --mount=type=bind,target=/src \
    cd /src && if [ -s /run/secrets/ca ]; then export SSL_CERT_FILE=/run/secrets/ca; fi && \
    GOTOOLCHAIN=auto GOCACHE=/tmp/go GOPATH=/tmp/path CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "$LDFLAGS" \
        -o /out/ github.com/moby/buildkit/cmd/buildkitd github.com/moby/buildkit/cmd/buildctl && rm -rf /tmp/go /tmp/path
FROM scratch
COPY --from=build /out/ /
