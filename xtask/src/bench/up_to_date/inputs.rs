//! The files of a project with every kind of input that a build may have. The benchmark edits them
//! at random, and the integration tests one by one.

const COMPOSE: &str = r"services:
  app:
    image: IMAGES/app
    build:
      context: ./app
      args:
        FROM_ENV: ${FROM_ENV:-unset}
        FROM_FILE: ${FROM_FILE:-unset}
      additional_contexts:
        extra: ./extra
        lower: docker-image://IMAGES/lower
      secrets: [token]
  lower:
    image: IMAGES/lower
    build: ./lower
secrets:
  token:
    file: ./token
";
const DOCKERFILE: &str = r"FROM BASE AS build
ARG FROM_ENV
ARG FROM_FILE
COPY src /src
RUN --mount=type=secret,id=token echo $FROM_ENV $FROM_FILE WORD >/made
FROM lower
ARG FIXED=one
LABEL fixed=$FIXED
COPY --from=build /made /made
COPY --from=extra . /extra
COPY . /all
";

/// Returns the files by path. `images` is the prefix of the images, `base` the base image, and
/// `word` makes steps that no other project has.
pub fn files(images: &str, base: &str, word: &str) -> Vec<(&'static str, String)> {
    let own = |text: &str| text.replace("IMAGES", images).replace("BASE", base).replace("WORD", word);
    vec![
        ("compose.yaml", own(COMPOSE)),
        (".env", "FROM_FILE=one\n".to_owned()),
        ("token", "secret\n".to_owned()),
        ("app/Dockerfile", own(DOCKERFILE)),
        ("app/.dockerignore", "*.log\n".to_owned()),
        ("app/ignored.log", "log\n".to_owned()),
        ("app/src/a.txt", "a\n".to_owned()),
        ("app/src/deep/b.txt", "b\n".to_owned()),
        ("app/README", "readme\n".to_owned()),
        ("extra/e.txt", "e\n".to_owned()),
        ("lower/Dockerfile", "FROM scratch\nCOPY l.txt /l.txt\n".to_owned()),
        ("lower/l.txt", own("WORD\n")),
    ]
}
