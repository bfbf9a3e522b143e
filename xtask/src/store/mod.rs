//! The store: layers that BuildKit exported, one generation a key, and the content of cache mounts. Reads only; its writes are [`crate::exec::save`]'s.

pub mod bundle;
pub mod contents;
pub mod damage;
pub mod entry;
pub mod fresh;
pub mod key;
pub mod layout_check;
pub mod lock;
pub mod mount;
pub mod mount_image;
pub mod policy;
pub mod quarantine;
pub mod used;
pub(crate) mod validate;
