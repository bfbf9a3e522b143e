//! Random ADDs from a server or a Git repository, with every flag, and ADDs of archives.

use super::dockerfile::Around;
use super::frontend::source;
use super::server;
use crate::bench::random::Random;

/// A random ADD. Not every frontend or builder knows each.
pub(super) fn add(around: &Around<'_>, number: usize, random: &mut Random) -> String {
    let url = around.flags.port.map(|port| format!("http://127.0.0.1:{port}"));
    let flags = random.of(&["", "", "--link ", "--chown=1:2 ", "--chmod=600 ", "--link --chmod=640 "]);
    match (random.below(8), url) {
        (0 | 1, _) if around.flags.git.is_some() => {
            let port = around.flags.git.unwrap_or_default();
            let commit = around.flags.commit.unwrap_or("main");
            let below = format!("{commit}:sub");
            let all = ["main", "first", "main:sub", "refs/heads/main", commit, commit, &below];
            let at = random.of(&all);
            let keep = random.of(&["", "", "--keep-git-dir=true "]);
            format!("ADD {keep}{} /git{number}/", source(port, at))
        }
        (2, Some(url)) => {
            format!("ADD {flags}{url}/{}changes /url{number}/", random.of(server::DIRECTORIES))
        }
        (3, Some(url)) => {
            format!("ADD {flags}{url}/{}stays /url{number}/file", random.of(server::DIRECTORIES))
        }
        (4 | 5, Some(url)) => format!(
            "ADD {flags}--checksum={} {url}/{}stays /sum{number}/",
            server::checksum(),
            random.of(server::DIRECTORIES)
        ),
        (6, _) if around.flags.unpack => format!("ADD --unpack={} arch.tar /un{number}/", random.once_in(2)),
        _ => format!("ADD {flags}sub a* /added{number}/"),
    }
}
