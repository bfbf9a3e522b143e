//! `cache SUB-WORD`: the store and the builder's own cache. One table says which options each
//! sub-word takes.

mod builder;
mod bundle;
mod key;
mod other_format;
mod show;
mod tidy;

use anyhow::Result;

use crate::args::GLOBAL;
use crate::args::Parsed;
use crate::error::usage;
use crate::session::Session;
use crate::text::suggestion;

/// What a sub-word runs; `words` are the free arguments behind it.
type Run = fn(session: &Session, parsed: &Parsed, words: &[String]) -> Result<u8>;

struct Sub {
    name: &'static str,
    /// What it takes beside the global options; every one is in the command's table, too.
    options: &'static [&'static str],
    /// Most free arguments.
    words: usize,
    run: Run,
}

const SUBS: &[Sub] = &[
    Sub {
        name: "key",
        options: &["--file", "--platform", "--build-arg", "--set", "--app"],
        words: usize::MAX,
        run: key::run,
    },
    Sub { name: "ls", options: &[], words: 0, run: show::ls },
    Sub { name: "du", options: &[], words: 0, run: show::du },
    Sub { name: "verify", options: &["--dry-run"], words: 0, run: tidy::verify },
    Sub {
        name: "gc",
        options: &["--budget", "--older-than", "--keep", "--dry-run"],
        words: 0,
        run: tidy::gc,
    },
    Sub {
        name: "clear",
        options: &["--file", "--format", "--dry-run", "--yes"],
        words: usize::MAX,
        run: tidy::clear,
    },
    Sub { name: "export", options: &["--to", "--file", "--dry-run"], words: usize::MAX, run: bundle::export },
    Sub { name: "import", options: &["--from", "--dry-run"], words: 0, run: bundle::import },
];

/// Runs `cache`.
pub(crate) fn run(session: &Session, parsed: &Parsed) -> Result<u8> {
    let (sub, words) = check(parsed)?;
    (sub.run)(session, parsed, words)
}

/// The sub-word and what follows it; wrong words are told before anything is touched.
fn check(parsed: &Parsed) -> Result<(&'static Sub, &[String])> {
    let Some((name, words)) = parsed.free.split_first() else { return Err(usage(unknown(""))) };
    let Some(sub) = SUBS.iter().find(|sub| sub.name == name) else { return Err(usage(unknown(name))) };
    let is_global = |name: &&str| GLOBAL.iter().any(|opt| opt.name == *name);
    if let Some(option) = parsed.given().find(|name| !is_global(name) && !sub.options.contains(name)) {
        let takers: Vec<_> =
            SUBS.iter().filter(|sub| sub.options.contains(&option)).map(|sub| sub.name).collect();
        return Err(usage(format!(
            "`cache {name}` does not take `{option}`\nit is for: cache {}",
            takers.join(", cache ")
        )));
    }
    if words.len() > sub.words {
        return Err(usage(format!(
            "`cache {name}` does not take the argument `{}`\n`cargo xtask cache --help` lists the arguments",
            words[sub.words]
        )));
    }
    Ok((sub, words))
}

fn unknown(name: &str) -> String {
    let names: Vec<_> = SUBS.iter().map(|sub| sub.name).collect();
    format!(
        "unknown `cache {name}`{}\nuse one of {}",
        suggestion(name, names.iter().copied()),
        names.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::parse::command_line;

    fn words(line: &str) -> Result<(&'static str, Vec<String>)> {
        let (_, parsed) = command_line(line.split(' ').map(Into::into).collect())?;
        check(&parsed).map(|(sub, words)| (sub.name, words.to_vec()))
    }

    #[test]
    fn each_sub_word_takes_its_own_options() {
        let table = [
            ("cache lss", "unknown `cache lss`; did you mean `ls`?"),
            ("cache ls --budget 1GB", "`cache ls` does not take `--budget`\nit is for: cache gc"),
            ("cache ls x", "`cache ls` does not take the argument `x`"),
            ("cache gc --yes", "it is for: cache clear"),
            ("cache", "`cache` needs"),
        ];
        for (line, expected) in table {
            let error = words(line).expect_err(line).to_string();
            assert!(error.contains(expected), "{line}: {error}");
        }
        assert_eq!(words("cache --json key app --file a").expect("right").1, ["app"]);
        assert_eq!(words("cache gc --keep 2 --dry-run").expect("right").0, "gc");
    }

    #[test]
    fn every_option_of_the_table_belongs_to_a_sub_word() {
        let command = crate::cli::table::find("cache").expect("there");
        let known: Vec<_> = command.options.iter().copied().flatten().map(|opt| opt.name).collect();
        let taken: Vec<_> = SUBS.iter().flat_map(|sub| sub.options.iter().copied()).collect();
        assert!(
            taken.iter().all(|name| known.contains(name)) && known.iter().all(|name| taken.contains(name))
        );
        assert!(SUBS.iter().all(|sub| command.args.contains(sub.name)));
    }
}
