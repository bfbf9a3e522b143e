//! Handmade records of builds, for tests without an engine.

use std::fs;

use serde_json::{Value, json};

use super::Project;

/// Returns an outcome as a build of the base image leaves it.
pub fn outcome(id: &str, result: &str, seconds: f64) -> Value {
    let step = |stage: &str, instruction: &str, times: Option<(f64, f64)>, needs: &[usize], cause: Value| {
        json!({"target": "frankenphp-base-builder", "stage": stage, "instruction": instruction, "cached": times.is_none(),
            "seconds": times.map_or(0.0, |(_, seconds)| seconds), "started": times.map(|(started, _)| started),
            "needs": needs, "cause": cause})
    };
    let cause = |kind: &str, detail: &str| json!({"kind": kind, "detail": detail});
    let mounts = "--mount=type=cache,id=durango-gomod,target=/go/pkg/mod,sharing=shared     --mount=type=secret,id=netrc,mode=0444";
    let ran = result != "cached";
    let mut outcome = json!({
        "schema": 1, "build": id, "result": result, "seconds": seconds,
        "targets": [{"name": "frankenphp-base-builder", "image": "durango/frankenphp-base:latest",
            "digest": "sha256:37441cbdb141368ab94915eda940a7f4ae905b2c3a2e90c59f473f4c75d8e56d"}],
        "steps": [
            step("settings", "COPY build-static.sh extensions.conf pins.env /builder/", None, &[], Value::Null),
            step("toolchain", "RUN /builder/build-static.sh toolchain", None, &[0], Value::Null),
            step("php", "COPY lib/common.sh lib/php.sh /builder/lib/", Some((0.4, 0.1)), &[1],
                cause("file", "`lib/php.sh` changed")),
            step("modules", &format!("RUN {mounts}     /builder/build-static.sh modules"), Some((0.5, 19.8)), &[1],
                cause("arg", "`GOFLAGS` was `-trimpath` and is `-trimpath -race`")),
            step("php", &format!("RUN {mounts}     /builder/build-static.sh php"), Some((0.6, 77.2)), &[2],
                cause("parent", "COPY lib/common.sh lib/php.sh /builder/lib/")),
            step("static", &format!("RUN {mounts}     /builder/build-static.sh static"), Some((77.9, 14.3)), &[3, 4],
                cause("parent", "RUN /builder/build-static.sh php")),
            step("base", "COPY --from=static /usr/local/bin/frankenphp-with-a-name-that-is-far-too-long-for-any-phone /usr/local/bin/",
                Some((92.3, 1.1)), &[5], cause("parent", "")),
        ],
        "cache": {"key": "534c40353da7",
            "read": ["/home/somebody/.cache/durango-builder/layers/durango_frankenphp-base_latest/534c40353da7473496d97957904cdb483a372e2288d392e15f8806d6c2ed696e",
                "registry.example/team/cache:durango_frankenphp-base_latest-534c40353da7"],
            "saved": "534c40353da7", "save_seconds": 6.1, "pushed": [], "push_seconds": 0.0,
            "put_back_seconds": 2.2, "take_out_seconds": 1.4,
            "mounts": [
                {"id": "durango-gomod", "target": "/go/pkg/mod", "restored": true, "bytes": 612_000_000, "saved_bytes": 0},
                {"id": "durango-ccache", "target": "/root/.cache/ccache", "restored": true, "bytes": 98_400_000, "saved_bytes": 12_400_000},
            ]},
        "warnings": ["registry.example does not answer within 4 s: the build goes on without it"],
    });
    if !ran {
        outcome["cache"]["saved"] = Value::Null;
        outcome["cache"]["mounts"] = json!([]);
        for step in outcome["steps"].as_array_mut().expect("steps") {
            step["cached"] = true.into();
            step["seconds"] = 0.0.into();
            ["started", "cause"].iter().for_each(|field| step[*field] = Value::Null);
        }
    }
    outcome
}

/// Returns an outcome that failed in its longest step.
pub fn failed(id: &str) -> Value {
    let mut outcome = outcome(id, "failed", 61.0);
    outcome["steps"].as_array_mut().expect("steps").truncate(5);
    outcome["steps"][4]["seconds"] = 60.2.into();
    outcome["targets"][0]["digest"] = Value::Null;
    outcome["cache"] =
        json!({"key": "534c40353da7", "read": outcome["cache"]["read"], "put_back_seconds": 2.2});
    outcome["failure"] = json!({"step": format!("[php 4/4] {}", outcome["steps"][4]["instruction"].as_str().expect("a text")), "exit_code": 2,
        "message": "process \"/bin/sh -c /builder/build-static.sh php\" did not complete successfully: exit code: 2",
        "output": ["checking for libxml-2.0 >= 2.9.4... no", "\u{1b}[31mconfigure: error: Package requirements were not met\u{1b}[0m",
            "No package 'libxml-2.0' found in /usr/lib/x86_64-linux-gnu/pkgconfig:/usr/local/lib/pkgconfig:/usr/share/pkgconfig", "<b>make</b>: *** [all] Error 2"],
        "advice": "add the package that brings it to `builder/lib/apt.sh`", "log": "/home/somebody/.cache/durango-builder/builds/x/build.log"});
    outcome
}

/// Writes a record to a project's store.
pub fn put(project: &Project, id: &str, outcome: &str) {
    let dir = project.store().join("builds").join(id);
    fs::create_dir_all(&dir).expect("made");
    fs::write(dir.join("outcome.json"), outcome).expect("written");
    fs::write(dir.join("plan.json"), "{}").expect("written");
    fs::write(project.store().join("VERSION"), "2").expect("written");
}

/// Returns a store with some builds of the base image: ids, results, times.
pub fn filled() -> Project {
    let project = Project::new(&[]);
    let times = [520.0, 0.6, 14.2, 0.5, 90.4, 0.7, 13.1, 95.5];
    for (day, seconds) in times.iter().enumerate() {
        let id = format!("2026111{day}-101500-{day}a");
        let result = if *seconds < 1.0 { "cached" } else { "built" };
        put(&project, &id, &outcome(&id, result, *seconds).to_string());
    }
    project
}
