//! `cargo xtask`: everything is in the library, so that another workspace's own xtask can call it.

use std::process::ExitCode;

fn main() -> ExitCode {
    xtask::main()
}
