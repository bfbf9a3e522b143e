//! The items that the integration tests call. They are not a contract for other crates.

pub mod args {
    pub use crate::args::Parsed;
}
pub mod base_image {
    pub use crate::base_image::{BaseImage, state, steps};
    pub mod bootstrap {
        pub use crate::base_image::bootstrap::{BootstrapFacts, steps};
    }
}
pub mod bench {
    pub mod machine {
        pub use crate::bench::machine::{BRIDGE_HOST, CONTAINERD_STORE, SecondDaemon};
    }
    pub mod up_to_date {
        pub mod inputs {
            pub use crate::bench::up_to_date::inputs::files;
        }
    }
}
pub mod cli {
    pub mod help {
        pub use crate::cli::help::readme_list;
    }
    pub mod parse {
        pub use crate::cli::parse::command_line;
    }
    pub mod reference {
        pub use crate::cli::reference::page;
    }
    pub mod table {
        pub use crate::cli::table::{COMMANDS, all};
    }
}
pub mod commands {
    pub mod build {
        pub mod registries {
            pub use crate::commands::build::registries::mounts;
        }
    }
}
pub mod engine {
    pub use crate::engine::{Driver, Engine, OLDEST_BUILDX, Version};
    pub mod daemon_json {
        pub use crate::engine::daemon_json::{Settings, with};
    }
    pub mod disk_usage {
        pub use crate::engine::disk_usage::{Record, Which, read};
    }
    pub mod facts {
        pub use crate::engine::facts::ask_engine;
    }
    pub mod legs {
        pub use crate::engine::legs::{Leg, SAME_EVERYWHERE};
    }
    pub mod registry {
        pub use crate::engine::registry::{Wanted, document};
    }
}
pub mod exec {
    pub mod budget {
        pub use crate::exec::budget::Budget;
    }
    pub mod mounts {
        pub use crate::exec::mounts::{TransferContext, TransferResult, run};
    }
    pub mod registry {
        pub use crate::exec::registry::{Transport, fetch_mounts, publish_mounts};
    }
    pub mod steps {
        pub use crate::exec::steps::run;
    }
}
pub mod host {
    pub use crate::host::Host;
}
pub mod layout {
    pub use crate::layout::Layout;
}
pub mod live {
    pub use crate::live::Quiet;
}
pub mod plan {
    pub mod caches {
        pub use crate::plan::caches::{Caches, Registry};
    }
    pub mod mounts {
        pub use crate::plan::mounts::{Direction, PlannedMount, TransferTemplate};
    }
    pub mod registry_state {
        pub use crate::plan::registry_state::RegistryState;
    }
}
pub mod process {
    pub mod retry {
        pub use crate::process::retry::{read, retry};
    }
}
pub mod project {
    pub mod dockerfile {
        pub use crate::project::dockerfile::words::steps;
    }
    pub mod ignore {
        pub use crate::project::ignore::{Ignore, Matched};
    }
    pub mod image_reference {
        pub use crate::project::image_reference::{check, check_existing};
    }
    pub mod mount {
        pub use crate::project::mount::{MountIdentity, Sharing};
    }
    pub mod pins {
        pub use crate::project::pins::{parse, read};
    }
    pub mod secrets {
        pub use crate::project::secrets::read;
    }
}
pub mod provision {
    pub mod browser {
        pub use crate::provision::browser::find;
    }
}
pub mod record {
    pub mod log {
        pub use crate::record::log::Log;
    }
}
pub mod redact {
    pub use crate::redact::Redactor;
}
pub mod session {
    pub use crate::session::{Globals, Session};
}
pub mod step {
    pub use crate::step::{Action, Command};
}
pub mod store {
    pub mod key {
        pub use crate::store::key::FORMAT;
    }
    pub mod layout_check {
        pub use crate::store::layout_check::{Blob, blobs, verify};
    }
    pub mod mount {
        pub use crate::store::mount::{MountEntry, SavedMount, all, read};
    }
    pub mod mount_image {
        pub use crate::store::mount_image::{RemoteMount, entry};
    }
    pub mod policy {
        pub use crate::store::policy::Policy;
    }
}
