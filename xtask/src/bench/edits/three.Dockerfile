# The result of another target, and a separate directory.
ARG BASE_IMAGE
ARG SALT
FROM ${BASE_IMAGE}
ARG SALT
RUN echo ${SALT} >/salt; i=0; while [ $i -lt 500000 ]; do i=$((i+1)); done
COPY --from=library /total /library
COPY --from=assets . /assets
COPY . /all
RUN find /assets /all | wc -l >/count; i=0; while [ $i -lt 500000 ]; do i=$((i+1)); done
