//! The store: layers that BuildKit exported, a few results a key, and the content of cache mounts. What others add to it is
//! added by [`crate::exec`].

pub mod bundle;
pub mod contents;
pub mod damage;
pub mod entry;
mod format_change;
pub mod fresh;
pub mod key;
pub mod layout_check;
pub mod lock;
pub mod mount;
pub mod mount_image;
pub(crate) mod mount_list;
pub(crate) mod owner;
pub mod policy;
pub mod quarantine;
pub mod used;
pub(crate) mod validate;
pub(crate) mod version;
