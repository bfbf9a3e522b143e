//! The store: exported layers, a few results per key, and the content of cache mounts.
//! [`crate::exec`] writes most of it.

pub(crate) mod bundle;
pub(crate) mod cache_config;
pub(crate) mod cache_documents;
pub(crate) mod contents;
pub(crate) mod damage;
pub(crate) mod entry;
mod format_change;
pub(crate) mod fresh;
pub(crate) mod key;
pub(crate) mod layout_check;
pub(crate) mod lock;
pub(crate) mod mount;
pub(crate) mod mount_image;
pub(crate) mod mount_list;
pub(crate) mod owner;
pub(crate) mod policy;
pub(crate) mod quarantine;
pub(crate) mod reserved;
pub(crate) mod sealed;
pub(crate) mod used;
pub(crate) mod validate;
pub(crate) mod version;
