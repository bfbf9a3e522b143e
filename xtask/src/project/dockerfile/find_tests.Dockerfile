ARG BASE
FROM ${BASE} AS first
ARG V=1
ENV E=env
RUN --mount=type=cache,target=rel,id=x-$V echo "quoted \"in\"" $V ${E}  'single $E' \
   # comment
   && echo a\ b
RUN <<EOF
echo $V
set -e
EOF
run <<-EOF cat
	x
	EOF
COPY <<A /a-$V
text
A
ENV V=fromenv
ARG V=fromarg
RUN echo $V
RUN ["echo", "json $V"]
WORKDIR /w
