//! Resolves a build: its id, a prefix of it, `latest` or `previous`.

use super::read::{Past, RecordState};

/// Returns the build, or why it was not found, as a message. `builds` has the oldest first.
pub(crate) fn find<'a>(builds: &'a [Past], word: &str) -> Result<&'a Past, String> {
    let back = match word {
        "latest" => Some(0),
        "previous" => Some(1),
        _ => None,
    };
    if let Some(back) = back {
        let mut ended = builds.iter().rev().filter(|build| !matches!(build.state, RecordState::Running));
        return ended.nth(back).ok_or_else(|| match back {
            0 => "no build is recorded here\nbuild one with `cargo xtask build TARGET`".to_owned(),
            _ => "there is only one build\n`cargo xtask history` lists the builds".to_owned(),
        });
    }
    let begin: Vec<&Past> = builds.iter().filter(|build| build.id.starts_with(word)).collect();
    match begin.as_slice() {
        _ if word.is_empty() => {
            Err("an empty argument is not a build's id\n`cargo xtask history` lists the builds".into())
        }
        [build] => Ok(build),
        [] => Err(format!(
            "build `{word}` not found{}\n`cargo xtask history` lists the builds",
            near(builds, word)
        )),
        several => several.iter().copied().find(|build| build.id == word).ok_or_else(|| {
            format!(
                "`{word}` is the prefix of {} builds: {}\ngive more of the id",
                several.len(),
                names(several)
            )
        }),
    }
}

/// Returns the builds with the longest common prefix, the newest first. Without a common prefix,
/// returns the newest builds.
fn near(builds: &[Past], word: &str) -> String {
    let common = |id: &str| id.bytes().zip(word.bytes()).take_while(|(a, b)| a == b).count();
    let distance = |id: &str| (std::cmp::Reverse(common(id)), strsim::damerau_levenshtein(id, word));
    let mut near: Vec<&Past> = builds.iter().rev().collect();
    near.sort_by_key(|build| distance(&build.id));
    near.truncate(3);
    match near.first() {
        None => "; none is recorded".into(),
        Some(first) if common(&first.id) == 0 => {
            let newest: Vec<&Past> = builds.iter().rev().take(3).collect();
            format!("; the newest: {}", names(&newest))
        }
        Some(_) => format!("; near it: {}", names(&near)),
    }
}

/// Returns the first few ids.
fn names(builds: &[&Past]) -> String {
    let ids: Vec<&str> = builds.iter().take(5).map(|build| build.id.as_str()).collect();
    let more = if builds.len() > ids.len() { ", ..." } else { "" };
    format!("{}{more}", ids.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past(id: &str, state: RecordState) -> Past {
        Past { id: id.into(), dir: id.into(), begun: None, state }
    }

    #[test]
    fn ids_beginnings_and_words() {
        let unreadable = || RecordState::Unreadable("x".into());
        let builds = [
            past("20261124-100000-1", unreadable()),
            past("20261125-100000-1", unreadable()),
            past("20261125-100000-1f", unreadable()),
            past("20261125-110000-2", RecordState::Running),
        ];
        let found = |word: &str| find(&builds, word).map(|build| build.id.as_str());
        assert_eq!(found("latest"), Ok("20261125-100000-1f"), "a running build has no outcome yet");
        assert_eq!(found("previous"), Ok("20261125-100000-1"));
        assert_eq!(found("20261124"), Ok("20261124-100000-1"));
        assert_eq!(
            found("20261125-100000-1"),
            Ok("20261125-100000-1"),
            "a whole id, though another begins with it"
        );
        for (word, said) in [
            ("20261125", "is the prefix of 3 builds: 20261125-100000-1, "),
            ("20261125-120000", "build `20261125-120000` not found; near it: 20261125-110000-2, "),
            ("last", "build `last` not found; the newest: 20261125-110000-2, 20261125-100000-1f, "),
            ("", "not a build's id"),
        ] {
            let error = found(word).expect_err(word);
            assert!(error.contains(said), "{error}");
        }
        assert!(find(&[], "latest").expect_err("none").contains("no build is recorded"));
        assert!(find(&[], "2026").expect_err("none").contains("none is recorded"));
    }
}
