# Parallel stages, arguments, variables, patterns, modes, mounts.
ARG BASE_IMAGE
ARG SALT
FROM ${BASE_IMAGE} AS common
ARG SALT
ENV MODE=fast
RUN echo ${SALT} >/salt
WORKDIR /src

FROM common AS deps
COPY one/go.mod one/go.sum ./
RUN --mount=type=cache,id=bench-edits,target=/cache cat go.mod go.sum >/deps; i=0; while [ $i -lt 700000 ]; do i=$((i+1)); done

FROM common AS build
COPY --from=deps /deps /deps
ARG LEVEL=1
ARG API_TOKEN=
COPY one/src ./src
RUN i=0; while [ $i -lt 900000 ]; do i=$((i+1)); done; cat src/*.txt | tr -d ' ' >/out; echo $LEVEL >>/out

FROM common AS docs
COPY one/docs/*.md /docs/
RUN i=0; while [ $i -lt 500000 ]; do i=$((i+1)); done; cat /docs/*.md | wc -w >/count

FROM common
COPY --from=build /out /out
COPY --from=docs /count /count
COPY --chmod=644 one/app.ini /etc/app.ini
RUN i=0; while [ $i -lt 500000 ]; do i=$((i+1)); done; wc /out /count /etc/app.ini >/total
LABEL org.example.level=1
CMD ["cat", "/total"]
