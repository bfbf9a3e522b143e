//! The target that `DURANGO_FUZZ` names, for libFuzzer. Its corpus is written to
//! `DURANGO_FUZZ_CORPUS` first.

// libFuzzer has the `main`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(not(fuzzing))]
fn main() {
    println!("run `cargo run --package fuzz`, which compiles this with the flags of libFuzzer");
}

#[cfg(fuzzing)]
mod target {
    use std::path::PathBuf;
    use std::sync::OnceLock;

    use xtask::fuzz::{TARGETS, Target, target};

    static TARGET: OnceLock<&Target> = OnceLock::new();

    fn prepare() {
        let Some(target) = std::env::var("DURANGO_FUZZ").ok().and_then(|name| target(&name)) else {
            TARGETS.iter().for_each(|target| println!("{}", target.name));
            std::process::exit(0);
        };
        let dir = PathBuf::from(std::env::var_os("DURANGO_FUZZ_CORPUS").expect("a directory"));
        for (name, input) in target.corpus().expect("the corpus can be read") {
            std::fs::write(dir.join(name), input).expect("the corpus can be written");
        }
        let _ = TARGET.set(target);
    }

    libfuzzer_sys::fuzz_target!(init: prepare(), |input: &[u8]| {
        (TARGET.get().expect("it was set").run)(input);
    });
}
