//! An engine for tests.

use super::{Driver, Engine, Version};

/// Returns the oldest supported engine, with Docker's own builder.
pub(crate) fn engine() -> Engine {
    Engine {
        daemon: String::new(),
        server: "26.1.5".into(),
        buildx: Version(0, 13),
        builder: "default".into(),
        driver: Driver::Docker,
        endpoint: "default".into(),
        containerd_store: true,
        platform: "linux/amd64".into(),
        processors: 2,
        loopback: true,
        is_here: true,
        buildx_program: None,
    }
}
