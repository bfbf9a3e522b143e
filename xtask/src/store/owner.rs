//! The owner of a scratch directory. The kernel's locks work on one machine. Machines that share a
//! store may not see each other's processes, and a process id alone means nothing to them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files::{self, Durability};

/// The file in a scratch directory.
const FILE: &str = "owner.json";

/// The process that made a scratch directory.
#[derive(Debug, Clone, Default, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The host name of the kernel.
    host: String,
    /// The kernel's id of this boot.
    boot: String,
    /// The namespace of the process id.
    namespace: String,
    process: u32,
    /// The start time of the process, in the kernel's ticks since the boot.
    started: String,
}

/// The state of a process that holds no lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    Runs,
    Gone,
    /// In another container of this machine: only the lock can tell.
    Unseen,
    /// On another machine.
    Elsewhere,
}

impl Owner {
    /// Returns this process.
    pub(crate) fn this() -> Self {
        let process = std::process::id();
        Self {
            host: kernel("hostname"),
            boot: kernel("random/boot_id"),
            namespace: namespace(),
            process,
            started: started(process).unwrap_or_default(),
        }
    }

    /// Writes the owner of a directory into it.
    pub(crate) fn write(&self, dir: &Path) -> io::Result<()> {
        files::write(&file(dir), self.text()?.as_bytes(), Durability::Quick)
    }

    /// The content of the file.
    pub(crate) fn text(&self) -> serde_json::Result<String> {
        serde_json::to_string(self)
    }

    /// Reads the owner of a directory.
    pub(crate) fn read(dir: &Path) -> Option<Self> {
        serde_json::from_slice(&files::read(&file(dir)).ok()?).ok()
    }

    /// Returns the state of the owner as `this` process sees it.
    pub(crate) fn life(&self, this: &Self) -> Life {
        if self.boot != this.boot {
            return if self.host == this.host { Life::Gone } else { Life::Elsewhere };
        }
        if self.namespace != this.namespace {
            return Life::Unseen;
        }
        let runs = started(self.process).is_some_and(|started| started == self.started);
        if runs { Life::Runs } else { Life::Gone }
    }
}

/// The file that names the owner of a directory.
pub(crate) fn file(dir: &Path) -> PathBuf {
    dir.join(FILE)
}

fn kernel(name: &str) -> String {
    fs::read_to_string(Path::new("/proc/sys/kernel").join(name)).unwrap_or_default().trim().to_owned()
}

fn namespace() -> String {
    fs::read_link("/proc/self/ns/pid").map_or_else(|_| String::new(), |path| path.display().to_string())
}

/// Returns the 22nd field of `/proc/PID/stat`. The second one is a name in parentheses with
/// arbitrary characters.
fn started(process: u32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    text.rsplit_once(')')?.1.split_whitespace().nth(19).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_host_boot_namespace_and_start() {
        let dir = tempfile::tempdir().expect("a directory");
        assert_eq!(Owner::read(dir.path()), None);
        let this = Owner::this();
        this.write(dir.path()).expect("written");
        assert_eq!(Owner::read(dir.path()), Some(this.clone()));
        let mut ended = std::process::Command::new("true").spawn().expect("it starts");
        ended.wait().expect("it ends");
        let table = [
            (this.clone(), Life::Runs),
            (Owner { process: ended.id(), ..this.clone() }, Life::Gone),
            (Owner { started: "1".into(), ..this.clone() }, Life::Gone),
            (Owner { namespace: "pid:[1]".into(), ..this.clone() }, Life::Unseen),
            (Owner { boot: "before".into(), ..this.clone() }, Life::Gone),
            (Owner { boot: "b".into(), host: "other".into(), ..this.clone() }, Life::Elsewhere),
        ];
        for (owner, life) in table {
            assert_eq!(owner.life(&this), life, "{owner:?}");
        }
    }
}
