//! `cargo xtask`. Everything is in the library, so that another workspace's xtask can call it.

use std::process::ExitCode;

fn main() -> ExitCode {
    xtask::main()
}
