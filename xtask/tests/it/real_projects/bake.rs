//! Bake files in HCL and JSON.

use super::RealProject;

const SERVICE: &str = "FROM @BASE@ AS tools\nRUN echo @SALT@ >/tools\nFROM tools AS build\nARG VERSION=0\n\
    COPY . /src\nRUN echo $VERSION >/src/version\nFROM scratch\nCOPY --from=build /src /\n";
const RUBY: &str = "FROM @BASE@ AS gems\nCOPY Gemfile /app/\n\
    RUN --mount=type=cache,id=gems,target=/usr/local/bundle echo @SALT@ >/app/lock\n\
    COPY <<-EOF /app/config.rb\n\tworkers 2\n\tEOF\nFROM gems\nCOPY lib /app/lib\nRUN ls /app/lib >/app/list\n";

pub(super) const PROJECTS: &[RealProject] = &[
    RealProject {
        name: "a matrix of services",
        files: &[
            (
                "docker-bake.hcl",
                "group \"default\" {\n  targets = [\"service\"]\n}\ntarget \"service\" {\n  name = \"service-${item}\"\n  matrix = { item = [\"one\", \"two\"] }\n  context = item\n  args = { VERSION = item }\n  tags = [\"durango-test/rp-${item}\"]\n}\n",
            ),
            ("one/Dockerfile", SERVICE),
            ("one/a", "1"),
            ("two/Dockerfile", SERVICE),
            ("two/a", "2"),
        ],
        args: &["default", "--file", "docker-bake.hcl"],
        edit: ("two/a", "3"),
        reason: "a: content changed",
        cached: "RUN echo @SALT@",
    },
    RealProject {
        name: "functions and inherited targets",
        files: &[
            (
                "docker-bake.hcl",
                "variable \"PREFIX\" { default = \"durango-test\" }\nfunction \"tag\" {\n  params = [name]\n  result = [\"${PREFIX}/rp-${name}:latest\"]\n}\ntarget \"_common\" {\n  args = { VERSION = upper(\"v1\") }\n  labels = { built-by = PREFIX }\n}\ntarget \"app\" {\n  inherits = [\"_common\"]\n  context = \"app\"\n  tags = tag(\"functions\")\n}\n",
            ),
            ("app/Dockerfile", SERVICE),
            ("app/a", "1"),
        ],
        args: &["app", "--file", "docker-bake.hcl"],
        edit: ("app/a", "2"),
        reason: "a: content changed",
        cached: "RUN echo @SALT@",
    },
    RealProject {
        name: "a base target in JSON",
        files: &[
            (
                "docker-bake.json",
                "{\"target\": {\"base\": {\"context\": \"base\"}, \"app\": {\"context\": \"app\", \"contexts\": {\"base\": \"target:base\"}, \"tags\": [\"durango-test/rp-json\"]}}}",
            ),
            ("base/Dockerfile", "FROM @BASE@ AS build\nRUN echo @SALT@ >/base\nCOPY b /b\n"),
            ("base/b", "1"),
            (
                "app/Dockerfile",
                "FROM base AS build\nCOPY a /a\nRUN cat /a /b >/c\nFROM scratch\nCOPY --from=build /c /\n",
            ),
            ("app/a", "1"),
        ],
        args: &["app", "--file", "docker-bake.json"],
        edit: ("base/b", "2"),
        reason: "b: content changed",
        cached: "RUN echo @SALT@",
    },
    RealProject {
        name: "an override of a bake file",
        files: &[
            ("docker-bake.hcl", "target \"app\" {\n  context = \".\"\n  args = { VERSION = \"1\" }\n}\n"),
            (
                "docker-bake.override.hcl",
                "target \"app\" {\n  args = { VERSION = \"2\" }\n  tags = [\"durango-test/rp-override\"]\n}\n",
            ),
            ("Dockerfile", SERVICE),
            ("a", "1"),
            (".dockerignore", "store\nhome\n*.hcl\nDockerfile\n"),
        ],
        args: &["app", "--file", "docker-bake.hcl", "--file", "docker-bake.override.hcl"],
        edit: (
            "docker-bake.override.hcl",
            "target \"app\" {\n  args = { VERSION = \"3\" }\n  tags = [\"durango-test/rp-override\"]\n}\n",
        ),
        reason: "VERSION: `2` -> `3`",
        cached: "RUN echo @SALT@",
    },
    RealProject {
        name: "libraries as contexts of many targets",
        files: &[
            (
                "docker-bake.hcl",
                "group \"all\" { targets = [\"a\", \"b\"] }\ntarget \"a\" {\n  context = \"a\"\n  contexts = { lib = \"./lib\" }\n}\ntarget \"b\" {\n  inherits = [\"a\"]\n  context = \"b\"\n}\n",
            ),
            (
                "a/Dockerfile",
                "FROM @BASE@\nRUN echo @SALT@ >/salt\nCOPY --from=lib *.h /include/\nCOPY main.c /\n",
            ),
            ("a/main.c", "a"),
            (
                "b/Dockerfile",
                "FROM @BASE@\nRUN echo @SALT@ >/salt\nCOPY --from=lib . /include/\nCOPY main.c /\n",
            ),
            ("b/main.c", "b"),
            ("lib/x.h", "x"),
            ("lib/README", "r"),
        ],
        args: &["all", "--file", "docker-bake.hcl"],
        edit: ("lib/README", "s"),
        reason: "lib:README",
        cached: "a / stage-0 / COPY main.c",
    },
    RealProject {
        name: "a Ruby application with a document in its Dockerfile",
        files: &[
            (
                "docker-bake.hcl",
                "target \"app\" {\n  context = \"app\"\n  dockerfile = \"../docker/Dockerfile\"\n  tags = [\"durango-test/rp-ruby\"]\n}\n",
            ),
            ("docker/Dockerfile", RUBY),
            ("app/Gemfile", "x"),
            ("app/lib/a.rb", "a"),
        ],
        args: &["app", "--file", "docker-bake.hcl"],
        edit: ("app/lib/b.rb", "b"),
        reason: "lib/b.rb is new",
        cached: "RUN --mount=type=cache,id=gems",
    },
];
