# Heredocs, ONBUILD, links, users and shells, networks, secrets, bind mounts, another base.
ARG BASE_IMAGE
ARG OTHER_IMAGE
ARG SALT
FROM ${OTHER_IMAGE} AS parent
ARG SALT
ONBUILD COPY two/trigger /trigger
ONBUILD RUN wc /trigger >/triggered; i=0; while [ $i -lt 500000 ]; do i=$((i+1)); done
RUN echo ${SALT} >/salt

FROM parent AS script
RUN <<EOS
set -e
i=0
while [ $i -lt 700000 ]; do i=$((i+1)); done
echo script >/made
EOS
COPY <<TEXT /etc/text
hello
TEXT

FROM ${BASE_IMAGE} AS bound
ARG SALT
RUN --network=none --mount=type=secret,id=word --mount=type=bind,source=two/bound,target=/bound i=0; while [ $i -lt 700000 ]; do i=$((i+1)); done; cat /bound/* >/made

FROM ${BASE_IMAGE} AS last
ARG SALT
RUN echo ${SALT} >/salt
SHELL ["/bin/sh", "-ec"]
USER nobody
RUN id >/tmp/who; i=0; while [ $i -lt 500000 ]; do i=$((i+1)); done
USER root
COPY --link two/linked /linked
COPY --from=script /made /etc/text /from/
COPY --from=bound /made /bound
RUN wc /from/* /bound >/total; i=0; while [ $i -lt 500000 ]; do i=$((i+1)); done
