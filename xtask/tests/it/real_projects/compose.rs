//! Compose files.

use super::RealProject;

const NODE: &str = "FROM @BASE@ AS deps\nWORKDIR /app\nCOPY package.json ./\n\
    RUN --mount=type=cache,id=npm,target=/root/.npm echo @SALT@ | tee lock /root/.npm/lock\n\
    FROM deps AS build\nCOPY --from=shared . /shared/\nCOPY src src\nRUN cat /shared/*.js src/*.js >bundle.js\n\
    FROM @BASE@\nCOPY --from=build /app/bundle.js /srv/\nHEALTHCHECK CMD test -f /srv/bundle.js\n";
const PHP: &str = "FROM @BASE@ AS vendor\nWORKDIR /app\nCOPY composer.* ./\n\
    RUN --mount=type=cache,id=composer,target=/tmp/cache mkdir vendor && echo @SALT@ >vendor/autoload.php\n\
    FROM @BASE@ AS assets\nCOPY resources /resources\nRUN mkdir /public && cat /resources/*.css >/public/app.css\n\
    FROM @BASE@ AS app\nARG APP_ENV=production\nENV APP_ENV=$APP_ENV\nWORKDIR /app\n\
    COPY --from=vendor /app/vendor vendor\nCOPY --chown=33:33 . .\nCOPY --from=assets /public public\n\
    RUN echo $APP_ENV >env\n";
const PYTHON: &str = "FROM @BASE@ AS wheels\nCOPY requirements.txt /\n\
    RUN --mount=type=cache,id=pip,target=/root/.cache/pip mkdir /wheels && echo @SALT@ >/wheels/a.whl\n\
    FROM @BASE@ AS runtime\nRUN --mount=type=bind,from=wheels,source=/wheels,target=/w cp /w/a.whl /\n\
    COPY app /app\nUSER 1000\nCMD [\"python\"]\nFROM runtime AS test\nRUN false\n";
const RUST: &str = "FROM @BASE@ AS plan\nCOPY Cargo.toml /w/\nRUN echo @SALT@ >/w/recipe.json\n\
    FROM @BASE@ AS build\nCOPY --from=plan /w/recipe.json /w/\n\
    RUN --mount=type=cache,id=crates,target=/usr/local/cargo/registry cp /w/recipe.json /w/deps\n\
    COPY crates /w/crates\n\
    RUN --mount=type=cache,id=target,target=/w/target,sharing=locked cat /w/crates/*/lib.rs >/w/bin\n\
    FROM scratch\nCOPY --from=build /w/bin /bin/app\n";
const GO: &str = "FROM @BASE@ AS build\nWORKDIR /src\n\
    RUN --mount=type=bind,source=go.mod,target=go.mod --mount=type=cache,id=gomod,target=/go/pkg/mod echo @SALT@ >/sum\n\
    RUN --mount=type=bind,target=. --mount=type=cache,id=gobuild,target=/root/.cache cat cmd/*.go /sum >/server\n\
    FROM scratch\nCOPY --from=build /server /server\nENTRYPOINT [\"/server\"]\n";
const ONBUILD: &str =
    "FROM @BASE@\nRUN echo @SALT@ >/base\nONBUILD COPY site /site\nONBUILD RUN ls /site >/listed\n";
const JAVA: &str = "FROM @BASE@ AS build\nCOPY pom.xml /w/\n\
    RUN --mount=type=cache,id=m2,target=/root/.m2 echo @SALT@ >/w/deps\nCOPY --chmod=755 src /w/src\n\
    RUN cat /w/src/main/*.java >/w/app.jar\nFROM @BASE@\nCOPY --from=build /w/app.jar /\n";

pub(super) const PROJECTS: &[RealProject] = &[
    RealProject {
        name: "a Node monorepo with a shared package",
        files: &[
            (
                "compose.yaml",
                "name: rp-node\nservices:\n  api: &node\n    build:\n      context: api\n      additional_contexts: {shared: ./packages/shared}\n  web:\n    build:\n      context: web\n      additional_contexts: {shared: ./packages/shared}\n",
            ),
            ("api/Dockerfile", NODE),
            ("api/package.json", "{}"),
            ("api/src/a.js", "a"),
            ("web/Dockerfile", NODE),
            ("web/package.json", "{}"),
            ("web/src/w.js", "w"),
            ("packages/shared/s.js", "s"),
        ],
        args: &["api", "web", "--file", "compose.yaml"],
        edit: ("packages/shared/s.js", "other"),
        reason: "shared:s.js",
        cached: "COPY package.json",
    },
    RealProject {
        name: "a PHP application with an override file",
        files: &[
            ("compose.yaml", "name: rp-php\nservices:\n  app:\n    build: {context: ., target: app}\n"),
            ("compose.override.yaml", "services:\n  app:\n    build:\n      args: {APP_ENV: local}\n"),
            ("Dockerfile", PHP),
            ("composer.json", "{}"),
            ("composer.lock", "{}"),
            ("resources/a.css", "a"),
            ("public/index.php", "<?php"),
            (".dockerignore", "store\nhome\ncompose.*\n"),
        ],
        args: &["app", "--file", "compose.yaml", "--file", "compose.override.yaml"],
        edit: ("public/index.php", "<?php echo 1;"),
        reason: "public/index.php",
        cached: "RUN --mount=type=cache,id=composer",
    },
    RealProject {
        name: "a Python service that stops before its tests",
        files: &[
            (
                "compose.yaml",
                "name: rp-python\nservices:\n  api:\n    build: {context: ., target: runtime}\n",
            ),
            ("Dockerfile", PYTHON),
            ("requirements.txt", "x\n"),
            ("app/main.py", "1"),
            (".dockerignore", "store\nhome\n"),
        ],
        args: &["api", "--file", "compose.yaml"],
        edit: ("app/main.py", "2"),
        reason: "app/main.py",
        cached: "RUN --mount=type=cache,id=pip",
    },
    RealProject {
        name: "a Rust workspace",
        files: &[
            ("compose.yaml", "name: rp-rust\nservices:\n  app: {build: .}\n"),
            ("Dockerfile", RUST),
            ("Cargo.toml", "[workspace]"),
            ("crates/a/lib.rs", "a"),
            (".dockerignore", "store\nhome\n"),
        ],
        args: &["app", "--file", "compose.yaml"],
        edit: ("crates/a/lib.rs", "b"),
        reason: "crates/a/lib.rs",
        cached: "RUN --mount=type=cache,id=crates",
    },
    RealProject {
        name: "a Go server that binds its sources",
        files: &[
            ("compose.yaml", "name: rp-go\nservices:\n  server: {build: {context: .}}\n"),
            ("Dockerfile", GO),
            ("go.mod", "module x"),
            ("cmd/main.go", "package main"),
            (".dockerignore", "*\n!go.mod\n!cmd\n"),
        ],
        args: &["server", "--file", "compose.yaml"],
        edit: ("cmd/main.go", "package other"),
        reason: "cmd/main.go",
        cached: "RUN --mount=type=bind,source=go.mod",
    },
    RealProject {
        name: "include, extends and profiles",
        files: &[
            (
                "compose.yaml",
                "name: rp-include\ninclude: [tools.yaml]\nservices:\n  app:\n    extends: {file: common.yaml, service: base}\n    build: {args: {NAME: app}}\n",
            ),
            ("common.yaml", "services:\n  base:\n    build: {context: ., args: {NAME: base, LEVEL: 1}}\n"),
            ("tools.yaml", "services:\n  tools:\n    profiles: [tools]\n    build: {context: tools}\n"),
            (
                "Dockerfile",
                "FROM @BASE@\nRUN echo @SALT@ >/salt\nARG NAME\nARG LEVEL\nRUN echo $NAME $LEVEL >/name\nCOPY file /\n",
            ),
            ("tools/Dockerfile", "FROM scratch\nCOPY Dockerfile /\n"),
            ("file", "1"),
            (".dockerignore", "store\nhome\n"),
        ],
        args: &["app", "--file", "compose.yaml"],
        edit: ("common.yaml", "services:\n  base:\n    build: {context: ., args: {NAME: base, LEVEL: 2}}\n"),
        reason: "LEVEL",
        cached: "RUN echo @SALT@",
    },
    RealProject {
        name: "values from .env",
        files: &[
            (
                "compose.yaml",
                "name: rp-env\nservices:\n  app:\n    image: durango-test/rp-env:${TAG}\n    build:\n      context: .\n      args: [\"VERSION=${VERSION:-0}\"]\n",
            ),
            (".env", "TAG=1\nVERSION=1\n"),
            (
                "Dockerfile",
                "FROM @BASE@\nRUN echo @SALT@ >/salt\nARG VERSION\nRUN echo ${VERSION} >/version\n",
            ),
        ],
        args: &["app", "--file", "compose.yaml"],
        edit: (".env", "TAG=2\nVERSION=2\n"),
        reason: "VERSION: `1` -> `2`",
        cached: "RUN echo @SALT@",
    },
    RealProject {
        name: "a site on a base service with ONBUILD",
        files: &[
            (
                "compose.yaml",
                "name: rp-onbuild\nservices:\n  base:\n    image: durango-test/rp-onbuild-base\n    build: base\n  site:\n    build:\n      context: .\n      additional_contexts: {base: \"service:base\"}\n",
            ),
            ("base/Dockerfile", ONBUILD),
            ("Dockerfile", "FROM base\nWORKDIR /site\n"),
            ("site/index.html", "1"),
            (".dockerignore", "store\nhome\n"),
        ],
        args: &["site", "--file", "compose.yaml"],
        edit: ("site/index.html", "2"),
        reason: "site/index.html",
        cached: "RUN echo @SALT@",
    },
    RealProject {
        name: "a Java module with an ignore file of its own",
        files: &[
            (
                "compose.yaml",
                "name: rp-java\nservices:\n  app:\n    build: {context: ., dockerfile: docker/App.Dockerfile}\n",
            ),
            ("docker/App.Dockerfile", JAVA),
            ("docker/App.Dockerfile.dockerignore", "**/*.md\nstore\nhome\n"),
            ("pom.xml", "<x/>"),
            ("src/main/A.java", "a"),
            ("src/README.md", "r"),
        ],
        args: &["app", "--file", "compose.yaml"],
        edit: ("src/main/A.java", "b"),
        reason: "src/main/A.java",
        cached: "RUN --mount=type=cache,id=m2",
    },
];
